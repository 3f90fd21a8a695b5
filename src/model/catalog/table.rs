//! Describes tables with their columns, constraints and indexes.

use serde::{Deserialize, Serialize};

use super::SequenceDefinition;
use crate::model::identifier::quote_ident;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TableDefinition {
    /// Columns in their order.
    pub columns: Vec<ColumnDefinition>,
    /// UNLOGGED.
    #[serde(default)]
    pub unlogged: bool,
    /// `PARTITION BY` with its method and key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_by: Option<String>,
    /// The parent and the bounds of a partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_of: Option<(String, String)>,
    /// Tables that it inherits from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inherits: Vec<String>,
    /// Storage options, such as `fillfactor=70`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Statements that follow CREATE TABLE: the storage of columns and their statistics targets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    /// Rows that are in it, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

impl TableDefinition {
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnDefinition> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// CREATE TABLE with columns, defaults, NOT NULL, identity and generated columns. `written` is the table's name.
    #[must_use]
    pub fn create_sql(&self, written: &str) -> String {
        let unlogged = if self.unlogged { "UNLOGGED " } else { "" };
        let options = match self.options.as_slice() {
            [] => String::new(),
            options => format!(" WITH ({})", options.join(", ")),
        };
        let partition_by = self.partition_by.as_ref().map(|key| format!(" PARTITION BY {key}")).unwrap_or_default();
        if let Some((parent, bounds)) = &self.partition_of {
            return format!("CREATE {unlogged}TABLE {written} PARTITION OF {parent} {bounds}{partition_by}{options}");
        }
        let own = self.columns.iter().filter(|column| !column.is_inherited);
        let own: Vec<String> = own.map(ColumnDefinition::sql).collect();
        let list = if own.is_empty() { String::new() } else { format!("\n  {}\n", own.join(",\n  ")) };
        let inherits = match self.inherits.as_slice() {
            [] => String::new(),
            parents => format!(" INHERITS ({})", parents.join(", ")),
        };
        format!("CREATE {unlogged}TABLE {written} ({list}){inherits}{partition_by}{options}")
    }
}

/// A column.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: String,
    /// Its type, as `format_type` writes it.
    #[serde(rename = "type")]
    pub data_type: String,
    /// The type that a domain is made of in the end; the type itself otherwise.
    pub base_type: String,
    /// Whether the base type is an enumerated one.
    #[serde(default)]
    pub is_enum: bool,
    /// A collation that is not the type's own, with COLLATE's argument.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<String>,
    /// NOT NULL.
    #[serde(default)]
    pub not_null: bool,
    /// DEFAULT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether the default calls a function that is not immutable, so that every row can have another value.
    #[serde(default)]
    pub is_volatile: bool,
    /// The expression of a generated column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<String>,
    /// Whether a generated column is computed when it is read (PostgreSQL 18, CREATE TABLE, VIRTUAL).
    #[serde(default)]
    pub is_virtual: bool,
    /// An identity column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityDefinition>,
    /// The sequence, by its name in the search path, that the default takes numbers from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<String>,
    /// Whether a constraint, an index or a generated column reads it.
    #[serde(default)]
    pub is_read: bool,
    /// Whether only a parent of its table declares it.
    #[serde(default)]
    pub is_inherited: bool,
}

impl ColumnDefinition {
    /// The column as CREATE TABLE and ADD COLUMN take it.
    #[must_use]
    pub fn sql(&self) -> String {
        let mut text = format!("{} {}", quote_ident(&self.name), self.data_type);
        if let Some(collation) = &self.collation {
            text.push_str(&format!(" COLLATE {collation}"));
        }
        if let Some(expression) = &self.generated {
            let kept = if self.is_virtual { "VIRTUAL" } else { "STORED" };
            text.push_str(&format!(" GENERATED ALWAYS AS ({expression}) {kept}"));
        }
        if let Some(identity) = &self.identity {
            let when = if identity.always { "ALWAYS" } else { "BY DEFAULT" };
            text.push_str(&format!(
                " GENERATED {when} AS IDENTITY (SEQUENCE NAME {} {})",
                quote_ident(&identity.sequence),
                identity.options.options()
            ));
        }
        if let Some(default) = &self.default {
            text.push_str(&format!(" DEFAULT {default}"));
        }
        if self.not_null {
            text.push_str(" NOT NULL");
        }
        text
    }
}

/// How an identity column numbers rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityDefinition {
    /// GENERATED ALWAYS instead of BY DEFAULT.
    pub always: bool,
    /// The name of its sequence.
    pub sequence: String,
    /// Its options.
    pub options: SequenceDefinition,
}

/// What a constraint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConstraintKind {
    /// PRIMARY KEY.
    PrimaryKey,
    /// UNIQUE.
    Unique,
    /// CHECK.
    Check,
    /// FOREIGN KEY.
    ForeignKey,
    /// EXCLUDE.
    Exclusion,
}

impl ConstraintKind {
    /// The words that name it in a message.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::PrimaryKey => "primary key",
            Self::Unique => "unique constraint",
            Self::Check => "check constraint",
            Self::ForeignKey => "foreign key",
            Self::Exclusion => "exclusion constraint",
        }
    }
}

/// A constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConstraintDefinition {
    /// What it is.
    pub kind: ConstraintKind,
    /// Its columns.
    pub columns: Vec<String>,
    /// What follows `ADD CONSTRAINT name`.
    pub definition: String,
    /// The condition of a check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The other side of a foreign key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_key: Option<ForeignKeyDefinition>,
    /// Whether it holds for the rows that are there, as far as PostgreSQL knows.
    pub validated: bool,
    /// DEFERRABLE.
    #[serde(default)]
    pub deferrable: bool,
    /// INITIALLY DEFERRED.
    #[serde(default)]
    pub deferred: bool,
}

/// What a foreign key refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKeyDefinition {
    /// The schema of the table.
    pub schema: String,
    /// The table.
    pub table: String,
    /// Its columns.
    pub columns: Vec<String>,
    /// MATCH FULL.
    #[serde(default)]
    pub match_full: bool,
    /// `ON UPDATE` action.
    pub on_update: String,
    /// `ON DELETE` action.
    pub on_delete: String,
}

/// An index that belongs to no constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexDefinition {
    /// UNIQUE.
    pub unique: bool,
    /// The access method.
    pub method: String,
    /// The key columns, if they are plain columns in the default order and collation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Each key as CREATE INDEX has it.
    pub keys: Vec<String>,
    /// The condition of a partial index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
}
