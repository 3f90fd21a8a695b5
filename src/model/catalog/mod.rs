//! Describes the objects of a PostgreSQL database: what an ORM or a file of SQL created, as statements that create it
//! again and as facts that can be compared.
//!
//! SQL in here is written for [`Catalog::search_path`]: objects of the schemas in it appear without their schema.

mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::identifier::{qualified, quote_ident, quote_literal};

pub use table::{
    ColumnDefinition, ConstraintDefinition, ConstraintKind, ForeignKeyDefinition, IdentityDefinition, IndexDefinition,
    TableDefinition,
};

/// The objects of a database, each after those that it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Catalog {
    /// `server_version_num` of the server that printed the definitions.
    pub version: i32,
    /// The schema whose tables the source's rows go to.
    pub schema: String,
    /// Schemas in which names are looked up: `schema`, then those of extensions.
    pub search_path: Vec<String>,
    /// Objects in an order in which they can be created.
    pub objects: Vec<CatalogObject>,
    /// Objects that are not described, because this tool does not create them: one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omitted: Vec<OmittedObject>,
}

/// An object that this tool does not create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OmittedObject {
    /// The table it belongs to, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// What it is and why it is left out.
    pub what: String,
    /// Its SQL, where the server prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

words! {
    /// What an object is. The order is that in which objects are created where no dependency says otherwise.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum ObjectKind: word {
        /// A schema.
        Schema = "schema",
        /// An extension.
        Extension = "extension",
        /// A collation.
        Collation = "collation",
        /// An enumerated, composite or range type.
        Type = "type",
        /// A domain.
        Domain = "domain",
        /// A sequence that is not of an identity column.
        Sequence = "sequence",
        /// A function or procedure.
        Function = "function",
        /// A table, with its columns, defaults and storage options.
        Table = "table",
        /// A primary key, UNIQUE, CHECK, FOREIGN KEY or EXCLUDE constraint.
        Constraint = "constraint",
        /// An index that belongs to no constraint.
        Index = "index",
        /// The replica identity, cluster index and similar options of a table that name an index.
        TableOption = "table option",
        /// Extended statistics.
        Statistics = "statistics",
        /// A view.
        View = "view",
        /// A materialized view.
        MaterializedView = "materialized view",
        /// A rewrite rule.
        Rule = "rule",
        /// A trigger.
        Trigger = "trigger",
        /// Row-level security of a table.
        RowSecurity = "row-level security",
        /// A row-level security policy.
        Policy = "policy",
    }
}

/// When an object is created: with the tables, or when the rows are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before rows are loaded.
    BeforeRows,
    /// After rows are loaded.
    AfterRows,
}

/// What identifies an object within a database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// What it is.
    pub kind: ObjectKind,
    /// Its schema, or that of its table; empty for a schema or extension.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// The relation that it belongs to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub table: String,
    /// Its name; a function's with the types of its arguments.
    pub name: String,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogObject {
    /// Its name.
    #[serde(flatten)]
    pub name: ObjectName,
    /// When it is created.
    pub phase: Phase,
    /// The statements that create it.
    pub create: Vec<String>,
    /// What can be compared of it besides its statements.
    #[serde(default, skip_serializing_if = "ObjectFacts::is_none")]
    pub facts: ObjectFacts,
    /// Statements that comment on it and its columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comments: Vec<String>,
    /// Statements that grant rights on it and its columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// The role that each of `grants` names; none for PUBLIC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant_roles: Vec<Option<String>>,
    /// Roles that `create` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Objects that it needs, by their place in the catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<usize>,
}

/// What is known of an object besides the statements that create it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectFacts {
    /// Nothing.
    #[default]
    None,
    /// A table.
    Table(TableDefinition),
    /// A constraint.
    Constraint(ConstraintDefinition),
    /// An index.
    Index(IndexDefinition),
    /// The labels of an enumerated type, in their order.
    Labels(Vec<String>),
    /// A domain: the type that it is made of, and its CHECK conditions on `VALUE`.
    Domain {
        /// The type, as `format_type` writes it.
        base: String,
        /// Whether it refuses NULL.
        not_null: bool,
        /// Conditions.
        checks: Vec<String>,
        /// DEFAULT.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<String>,
        /// A collation that is not the type's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        collation: Option<String>,
        /// The names of its checks with what follows `ADD CONSTRAINT name`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        constraints: Vec<(String, String)>,
    },
    /// The options of a sequence.
    Sequence(SequenceDefinition),
}

impl ObjectFacts {
    const fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }
}

/// A sequence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SequenceDefinition {
    /// `smallint`, `integer` or `bigint`.
    pub data_type: String,
    /// START WITH.
    pub start: i64,
    /// INCREMENT BY.
    pub increment: i64,
    /// MINVALUE.
    pub least: i64,
    /// MAXVALUE.
    pub most: i64,
    /// CACHE.
    pub cache: i64,
    /// CYCLE.
    pub cycles: bool,
    /// The table and column that own it, both in the sequence's schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<(String, String)>,
    /// The next number, where it has given numbers; not part of the definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<i64>,
}

impl SequenceDefinition {
    /// The options as CREATE SEQUENCE and ALTER SEQUENCE take them.
    #[must_use]
    pub fn options(&self) -> String {
        format!(
            "INCREMENT BY {} MINVALUE {} MAXVALUE {} START WITH {} CACHE {}{}",
            self.increment,
            self.least,
            self.most,
            self.start,
            self.cache,
            if self.cycles { " CYCLE" } else { " NO CYCLE" }
        )
    }

    /// The statement after which the sequence of this name goes on where it is; none if it has given no number.
    fn state(&self, name: &str) -> Option<String> {
        let next = self.next?;
        if (self.least..=self.most).contains(&next) {
            return Some(format!("ALTER SEQUENCE {name} RESTART WITH {next}"));
        }
        // It has given its last number.
        let last = if self.increment < 0 { self.least } else { self.most };
        Some(format!("SELECT setval({}, {last}, true)", quote_literal(name)))
    }

    /// The same sequence without what changes with every number.
    #[must_use]
    pub fn without_state(&self) -> Self {
        Self { next: None, ..self.clone() }
    }
}

impl ObjectName {
    /// An object that belongs to no relation.
    #[must_use]
    pub fn new(kind: ObjectKind, schema: &str, name: &str) -> Self {
        Self { kind, schema: schema.to_owned(), table: String::new(), name: name.to_owned() }
    }

    /// An object of a relation.
    #[must_use]
    pub fn of_table(kind: ObjectKind, schema: &str, table: &str, name: &str) -> Self {
        Self { table: table.to_owned(), ..Self::new(kind, schema, name) }
    }

    /// The words that name it in a message, such as `index t_path of table app.t`. The schema `home` is not named.
    #[must_use]
    pub fn words(&self, home: &str) -> String {
        let prefix =
            if self.schema.is_empty() || self.schema == home { String::new() } else { self.schema.clone() + "." };
        match (self.table.is_empty(), self.kind) {
            (true, kind) => format!("{} {prefix}{}", kind.word(), self.name),
            (false, ObjectKind::RowSecurity | ObjectKind::TableOption) => {
                format!("{} of table {prefix}{}", self.kind.word(), self.table)
            }
            (false, kind) => format!("{} {} of table {prefix}{}", kind.word(), self.name, self.table),
        }
    }
}

impl CatalogObject {
    /// The statements after which the sequences of this object go on where they are in the schema.
    #[must_use]
    pub fn sequence_states(&self) -> Vec<String> {
        let of_identity = |column: &ColumnDefinition| {
            let identity = column.identity.as_ref()?;
            identity.options.state(&qualified(&self.name.schema, &identity.sequence))
        };
        match &self.facts {
            ObjectFacts::Sequence(sequence) => {
                sequence.state(&qualified(&self.name.schema, &self.name.name)).into_iter().collect()
            }
            ObjectFacts::Table(table) => table.columns.iter().filter_map(of_identity).collect(),
            _ => Vec::new(),
        }
    }

    /// The statements that drop it, never with CASCADE.
    #[must_use]
    pub fn drop(&self) -> Vec<String> {
        let ObjectName { schema, table, name, .. } = &self.name;
        let (whole, relation) = (qualified(schema, name), qualified(schema, table));
        let quoted = quote_ident(name);
        vec![match self.name.kind {
            ObjectKind::Schema => format!("DROP SCHEMA {quoted}"),
            ObjectKind::Extension => format!("DROP EXTENSION {quoted}"),
            ObjectKind::Collation => format!("DROP COLLATION {whole}"),
            ObjectKind::Type => format!("DROP TYPE {whole}"),
            ObjectKind::Domain => format!("DROP DOMAIN {whole}"),
            // One that a table owns has gone with the table.
            ObjectKind::Sequence => format!("DROP SEQUENCE IF EXISTS {whole}"),
            // Its name is written for the search path.
            ObjectKind::Function => format!("DROP ROUTINE {name}"),
            ObjectKind::Table => format!("DROP TABLE {whole}"),
            ObjectKind::Constraint => format!("ALTER TABLE {relation} DROP CONSTRAINT {quoted}"),
            ObjectKind::Index => format!("DROP INDEX {whole}"),
            ObjectKind::TableOption => {
                return vec![
                    format!("ALTER TABLE {relation} REPLICA IDENTITY DEFAULT"),
                    format!("ALTER TABLE {relation} SET WITHOUT CLUSTER"),
                ];
            }
            ObjectKind::Statistics => format!("DROP STATISTICS {whole}"),
            ObjectKind::View => format!("DROP VIEW {whole}"),
            ObjectKind::MaterializedView => format!("DROP MATERIALIZED VIEW {whole}"),
            ObjectKind::Rule => format!("DROP RULE {quoted} ON {relation}"),
            ObjectKind::Trigger => format!("DROP TRIGGER {quoted} ON {relation}"),
            ObjectKind::RowSecurity => {
                format!("ALTER TABLE {relation} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY")
            }
            ObjectKind::Policy => format!("DROP POLICY {quoted} ON {relation}"),
        }]
    }
}

impl Catalog {
    /// The object of this name.
    #[must_use]
    pub fn object(&self, name: &ObjectName) -> Option<&CatalogObject> {
        self.objects.iter().find(|object| object.name == *name)
    }

    /// The objects that are created before or after the rows.
    pub fn in_phase(&self, phase: Phase) -> impl Iterator<Item = &CatalogObject> {
        self.objects.iter().filter(move |object| object.phase == phase)
    }

    /// The tables of [`Self::schema`] with their names.
    pub fn tables(&self) -> impl Iterator<Item = (&str, &TableDefinition)> {
        self.all_tables()
            .filter(|(name, _)| name.schema == self.schema)
            .map(|(name, table)| (name.name.as_str(), table))
    }

    /// The tables of all schemas.
    pub fn all_tables(&self) -> impl Iterator<Item = (&ObjectName, &TableDefinition)> {
        self.objects.iter().filter_map(|object| match &object.facts {
            ObjectFacts::Table(table) => Some((&object.name, table)),
            _ => None,
        })
    }

    /// The constraints of a table of [`Self::schema`].
    pub fn constraints<'a>(
        &'a self,
        table: &'a str,
    ) -> impl Iterator<Item = (&'a ObjectName, &'a ConstraintDefinition)> {
        self.objects_of(table).filter_map(|object| match &object.facts {
            ObjectFacts::Constraint(constraint) => Some((&object.name, constraint)),
            _ => None,
        })
    }

    /// The indexes of a table of [`Self::schema`] that belong to no constraint.
    pub fn indexes<'a>(&'a self, table: &'a str) -> impl Iterator<Item = (&'a ObjectName, &'a IndexDefinition)> {
        self.objects_of(table).filter_map(|object| match &object.facts {
            ObjectFacts::Index(index) => Some((&object.name, index)),
            _ => None,
        })
    }

    /// Everything that belongs to a table of [`Self::schema`].
    pub fn objects_of<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a CatalogObject> {
        self.objects.iter().filter(move |object| object.name.schema == self.schema && object.name.table == table)
    }

    /// The labels of an enumerated type, by the name that columns of it have.
    #[must_use]
    pub fn labels(&self, type_name: &str) -> Option<&[String]> {
        self.objects.iter().find_map(|object| match &object.facts {
            ObjectFacts::Labels(labels) if self.is_written_as(&object.name, type_name) => Some(labels.as_slice()),
            _ => None,
        })
    }

    /// Whether columns of this type have this type name.
    #[must_use]
    pub fn is_type_name(&self, name: &ObjectName, type_name: &str) -> bool {
        self.is_written_as(name, type_name)
    }

    /// Whether a type or relation is written like this in the search path.
    fn is_written_as(&self, name: &ObjectName, written: &str) -> bool {
        let (plain, quoted) = (quote_ident_if_needed(&name.name), quote_ident(&name.name));
        let schemas = [quote_ident_if_needed(&name.schema), quote_ident(&name.schema)];
        let is_whole = |schema: &String| {
            let rest = written.strip_prefix(schema.as_str()).and_then(|rest| rest.strip_prefix('.'));
            rest.is_some_and(|rest| rest == plain || rest == quoted)
        };
        let is_near = written == plain || written == quoted || written == name.name;
        schemas.iter().any(is_whole) || (is_near && self.search_path.contains(&name.schema))
    }

    /// The table that a partition is a part of in the end; any other table itself.
    #[must_use]
    pub fn partition_root<'a>(&'a self, name: &'a ObjectName) -> &'a ObjectName {
        let mut root = name;
        // A partition has a parent that was created before it.
        for _ in 0..self.objects.len() {
            let Some(ObjectFacts::Table(TableDefinition { partition_of: Some((parent, _)), .. })) =
                self.object(root).map(|object| &object.facts)
            else {
                break;
            };
            match self.all_tables().find(|(other, _)| self.is_written_as(other, parent)) {
                Some((other, _)) => root = other,
                None => break,
            }
        }
        root
    }

    /// The catalog with these objects alone.
    #[must_use]
    pub fn only(mut self, is_kept: impl Fn(&CatalogObject) -> bool) -> Self {
        let kept: Vec<bool> = self.objects.iter().map(is_kept).collect();
        let kept_places = kept.iter().enumerate().filter(|(_, kept)| **kept).map(|(old, _)| old);
        let places: BTreeMap<usize, usize> = kept_places.enumerate().map(|(new, old)| (old, new)).collect();
        let mut keep = kept.iter();
        self.objects.retain(|_| keep.next().copied().unwrap_or(true));
        for object in &mut self.objects {
            object.needs = object.needs.iter().filter_map(|need| places.get(need).copied()).collect();
        }
        self
    }

    /// The statement that makes names be looked up as the definitions expect it.
    #[must_use]
    pub fn set_search_path(&self, local: bool) -> String {
        let names: Vec<String> = self.search_path.iter().map(|schema| quote_ident(schema)).collect();
        let names = if names.is_empty() { quote_literal("") } else { names.join(", ") };
        format!("SET {}search_path = {names}", if local { "LOCAL " } else { "" })
    }
}

/// A name as `format_type` writes it: quoted where it must be.
#[must_use]
pub fn quote_ident_if_needed(name: &str) -> String {
    let mut letters = name.chars();
    let plain = letters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    if plain { name.to_owned() } else { quote_ident(name) }
}
