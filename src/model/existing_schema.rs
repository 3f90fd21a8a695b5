//! Describes an existing PostgreSQL schema as far as a plan needs it: what an ORM created for PostgreSQL and this tool
//! fills.
//!
//! Names are PostgreSQL's. SQL fragments name no schema: they are read with the schema in the search path.

use serde::{Deserialize, Serialize};

use super::{
    constraint::{CheckPlan, ForeignKeyPlan, IdentityKind, IndexPlan, KeyPlan},
    pg_type::PgType,
};

/// A schema with its tables.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExistingSchema {
    /// Where it came from, without secrets: `a file` or the address of a server.
    pub origin: String,
    /// Extensions that its types, defaults and indexes need.
    pub extensions: Vec<String>,
    /// Enumerated types.
    pub enums: Vec<EnumType>,
    /// Tables by name.
    pub tables: Vec<ExistingTable>,
    /// What it holds besides, and is not created: one sentence each.
    pub left_out: Vec<OmittedObject>,
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
    /// Foreign keys.
    pub foreign_keys: Vec<ForeignKeyPlan>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub pg_type: PgType,
    /// NOT NULL.
    pub not_null: bool,
    /// DEFAULT.
    pub default: Option<String>,
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
    /// How the column is tied to it.
    pub kind: IdentityKind,
}

/// Something of the existing schema that is not created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OmittedObject {
    /// The table it belongs to, if it belongs to one.
    pub table: Option<String>,
    /// What it is and why it is left out.
    pub what: String,
    /// Its SQL, where the server prints it.
    pub sql: Option<String>,
}

impl ExistingSchema {
    /// The labels of an enumerated type.
    #[must_use]
    pub fn labels(&self, name: &str) -> Option<&[String]> {
        self.enums.iter().find(|found| found.name == name).map(|found| found.labels.as_slice())
    }
}
