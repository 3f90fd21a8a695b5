//! Describes an existing PostgreSQL schema as far as a plan needs it: what an ORM created for PostgreSQL and this tool
//! fills.
//!
//! The catalog has every object. The tables are the same ones as the planning sees them.

use serde::{Deserialize, Serialize};

use super::{
    catalog::{
        Catalog, ColumnDefinition, ConstraintDefinition, ConstraintKind, ObjectFacts, ObjectKind, ObjectName,
        TableDefinition, quote_ident_if_needed,
    },
    constraint::{CheckPlan, ForeignKeyPlan, IdentityKind, IndexPlan, KeyPlan},
    identifier::quote_ident,
    number_series::NumberSeries,
    pg_type::PgType,
};

/// A schema with its tables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExistingSchema {
    /// Where it came from, without secrets: `a file` or the address of a server.
    pub origin: String,
    /// Whether it was read from a database rather than a file: its objects are there.
    #[serde(default)]
    pub is_live: bool,
    /// Extensions that are created.
    pub extensions: Vec<String>,
    /// Enumerated types of the schema that the rows go to.
    pub enums: Vec<EnumType>,
    /// Tables of that schema by name; partitions are left out.
    pub tables: Vec<ExistingTable>,
    /// Every object.
    #[serde(default)]
    pub catalog: Catalog,
    /// Rows of tables that the source lacks, and that others may refer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<ExistingRows>,
}

/// Where a sequence goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceStart {
    /// Its name as SQL writes it in the search path of the catalog.
    pub sequence: String,
    /// Its next number.
    pub next: i64,
}

/// The rows of a table of the existing schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingRows {
    /// The table's schema.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Its columns, in the order of the fields.
    pub columns: Vec<String>,
    /// How many rows.
    pub count: u64,
    /// The rows in COPY's text format.
    pub copy: String,
}

/// An object that is created in a weaker form than the existing schema has it, because rows of the source break it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeakenedObject {
    /// The object; of a column its table.
    pub name: ObjectName,
    /// How it is created.
    #[serde(flatten)]
    pub form: WeakerForm,
}

/// How an object is created that the rows break.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "form")]
pub enum WeakerForm {
    /// It is not created.
    NotCreated,
    /// It is created NOT VALID: it holds for new rows only.
    NotValid,
    /// The column has the type that its domain is made of.
    BaseType {
        /// The column.
        column: String,
        /// The type.
        base: String,
    },
    /// The column takes NULL.
    NullAllowed {
        /// The column.
        column: String,
    },
}

/// An enumerated type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumType {
    /// Its name.
    pub name: String,
    /// Its labels in their order.
    pub labels: Vec<String>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExistingTable {
    /// Its name.
    pub name: String,
    /// Columns in their order.
    pub columns: Vec<ExistingColumn>,
    /// The primary key.
    pub primary_key: Option<KeyPlan>,
    /// UNIQUE constraints.
    pub uniques: Vec<KeyPlan>,
    /// Indexes that belong to no constraint; their SQLite name is empty.
    pub indexes: Vec<IndexPlan>,
    /// CHECK constraints.
    pub checks: Vec<CheckPlan>,
    /// Foreign keys to tables of the same schema.
    pub foreign_keys: Vec<ForeignKeyPlan>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingColumn {
    /// Its name.
    pub name: String,
    /// Its type; of a domain the type that it is made of.
    #[serde(rename = "type")]
    pub pg_type: PgType,
    /// Whether the type is that of a domain, which may have a default.
    #[serde(default)]
    pub is_domain: bool,
    /// NOT NULL.
    pub not_null: bool,
    /// DEFAULT.
    pub default: Option<String>,
    /// Whether every row can get another default.
    #[serde(default)]
    pub is_volatile: bool,
    /// The expression of a generated column.
    pub generated: Option<String>,
    /// The sequence that numbers it.
    pub sequence: Option<ExistingSequence>,
}

/// The sequence behind a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingSequence {
    /// Its name.
    pub name: String,
    /// Its name as SQL writes it in the search path.
    pub written: String,
    /// How the column is tied to it.
    pub kind: IdentityKind,
}

impl ExistingSchema {
    /// A schema with these objects.
    #[must_use]
    pub fn new(origin: &str, is_live: bool, catalog: Catalog, rows: Vec<ExistingRows>) -> Self {
        let tables = catalog
            .tables()
            .filter(|(_, table)| table.partition_of.is_none())
            .map(|(name, table)| ExistingTable::new(&catalog, name, table))
            .collect();
        let enums = catalog.objects.iter().filter(|object| object.name.schema == catalog.schema).filter_map(|object| {
            let ObjectFacts::Labels(labels) = &object.facts else { return None };
            Some(EnumType { name: object.name.name.clone(), labels: labels.clone() })
        });
        let (enums, extensions) = (enums.collect(), extensions(&catalog, is_live));
        Self { origin: origin.to_owned(), is_live, extensions, enums, tables, catalog, rows }
    }

    /// The labels of an enumerated type, by the name that a column's type has.
    #[must_use]
    pub fn labels(&self, name: &str) -> Option<&[String]> {
        let own = self.enums.iter().find(|found| found.name == name).map(|found| found.labels.as_slice());
        own.or_else(|| self.catalog.labels(name))
    }

    /// The numbers that the sequence of a column gives from here on; none if the catalog does not describe it.
    #[must_use]
    pub fn series(&self, table: &str, column: &str) -> Option<NumberSeries> {
        let existing = self.tables.iter().find(|existing| existing.name == table)?;
        let existing = existing.columns.iter().find(|existing| existing.name == column)?;
        let definition = self.catalog.tables().find(|(name, _)| *name == table)?.1.column(column)?;
        if let Some(identity) = &definition.identity {
            return Some(NumberSeries::of(&identity.options, &existing.pg_type));
        }
        let written = &existing.sequence.as_ref()?.written;
        self.catalog.objects.iter().find_map(|object| match &object.facts {
            ObjectFacts::Sequence(sequence) if self.catalog.is_type_name(&object.name, written) => {
                Some(NumberSeries::of(sequence, &existing.pg_type))
            }
            _ => None,
        })
    }
}

/// Extensions that are created: those that a file creates, or those of a database that another object needs. Others only
/// happen to be in the database.
fn extensions(catalog: &Catalog, is_live: bool) -> Vec<String> {
    let is_needed = |place: usize| catalog.objects.iter().any(|object| object.needs.contains(&place));
    let extensions = catalog.objects.iter().enumerate().filter(|(_, object)| object.name.kind == ObjectKind::Extension);
    extensions.filter(|(place, _)| !is_live || is_needed(*place)).map(|(_, object)| object.name.name.clone()).collect()
}

impl ExistingTable {
    fn new(catalog: &Catalog, name: &str, table: &TableDefinition) -> Self {
        let mut existing = Self { name: name.to_owned(), ..Self::default() };
        existing.columns = table.columns.iter().map(|column| ExistingColumn::new(catalog, column)).collect();
        for (name, constraint) in catalog.constraints(name) {
            existing.add_constraint(&catalog.schema, name, constraint);
        }
        for (name, index) in catalog.indexes(name) {
            existing.indexes.push(IndexPlan {
                name: name.name.clone(),
                source: String::new(),
                unique: index.unique,
                method: index.method.clone(),
                keys: index.keys.clone(),
                predicate: index.predicate.clone(),
            });
        }
        existing
    }

    fn add_constraint(&mut self, schema: &str, name: &ObjectName, constraint: &ConstraintDefinition) {
        let name = name.name.clone();
        let not_valid = !constraint.validated;
        match (constraint.kind, &constraint.foreign_key) {
            (ConstraintKind::PrimaryKey, _) => {
                self.primary_key = Some(KeyPlan { name, columns: constraint.columns.clone() });
            }
            (ConstraintKind::Unique, _) => {
                self.uniques.push(KeyPlan { name, columns: constraint.columns.clone() });
            }
            (ConstraintKind::Check, _) => {
                let expression = constraint.expression.clone().unwrap_or_default();
                self.checks.push(CheckPlan { name, expression, not_valid });
            }
            (ConstraintKind::ForeignKey, Some(other)) if other.schema == schema => {
                self.foreign_keys.push(ForeignKeyPlan {
                    name,
                    columns: constraint.columns.clone(),
                    parent: other.table.clone(),
                    parent_columns: other.columns.clone(),
                    on_update: other.on_update.clone(),
                    on_delete: other.on_delete.clone(),
                    deferred: constraint.deferrable && constraint.deferred,
                    not_valid,
                });
            }
            (ConstraintKind::ForeignKey | ConstraintKind::Exclusion, _) => {}
        }
    }
}

impl ExistingColumn {
    fn new(catalog: &Catalog, column: &ColumnDefinition) -> Self {
        Self {
            name: column.name.clone(),
            pg_type: type_of(catalog, column),
            is_domain: column.data_type != column.base_type,
            not_null: column.not_null,
            default: column.default.clone().filter(|_| sequence_of(column).is_none()),
            is_volatile: column.is_volatile,
            generated: column.generated.clone(),
            sequence: sequence_of(column),
        }
    }
}

impl ExistingSequence {
    /// Whether it is in the schema of its table.
    #[must_use]
    pub fn is_near(&self) -> bool {
        // One of another schema is written with that, and a name with a dot in quotes.
        let is_plain = self.written == self.name && !self.name.contains('.');
        is_plain || self.written == quote_ident(&self.name)
    }
}

/// The sequence that gives a column its numbers.
fn sequence_of(column: &ColumnDefinition) -> Option<ExistingSequence> {
    if let Some(identity) = &column.identity {
        let kind = if identity.always { IdentityKind::Always } else { IdentityKind::ByDefault };
        let name = identity.sequence.clone();
        return Some(ExistingSequence { written: quote_ident(&name), name, kind });
    }
    let numbers =
        column.default.as_ref().is_some_and(|text| text.starts_with("nextval(") && text.ends_with("::regclass)"));
    let name = column.sequence.as_ref().filter(|_| numbers)?;
    Some(ExistingSequence { name: unquoted(name), written: name.clone(), kind: IdentityKind::Serial })
}

/// A name without the quotes that `regclass` gives it.
fn unquoted(name: &str) -> String {
    let inner = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    inner.map_or_else(|| name.to_owned(), |name| name.replace("\"\"", "\""))
}

/// The type by the name that `format_type` gives it. Arrays of floats keep that name, because they may hold NULLs.
fn type_of(catalog: &Catalog, column: &ColumnDefinition) -> PgType {
    let written = &column.base_type;
    if column.is_enum {
        let own = catalog.objects.iter().find(|object| {
            matches!(object.facts, ObjectFacts::Labels(_))
                && object.name.schema == catalog.schema
                && quote_ident_if_needed(&object.name.name) == *written
        });
        if let Some(own) = own {
            return PgType::Enum(own.name.name.clone());
        }
        return PgType::ExistingType(written.clone());
    }
    match written.parse() {
        Ok(PgType::ExistingType(_)) | Err(_) => PgType::ExistingType(written.clone()),
        Ok(_) if written.ends_with("[]") || written == "character varying" => PgType::ExistingType(written.clone()),
        Ok(known) => known,
    }
}
