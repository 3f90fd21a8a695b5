//! Comparison of dump, local PostgreSQL and target, independent of the code that loads.

use serde::{Deserialize, Serialize};

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    postgres::managed::LocalChoice,
    secret::Secret,
};

/// Which hop to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    /// Dump against local PostgreSQL.
    Local,
    /// Local PostgreSQL (or the dump, at level `full`) against target.
    Target,
    /// Both.
    Both,
}

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Row counts.
    Counts,
    /// Server-side digests.
    Digest,
    /// Every value, against the dump.
    Full,
}

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// Which hop.
    pub against: Against,
    /// How deep.
    pub level: Level,
    /// Source tables to look at; empty means all.
    pub tables: Vec<String>,
    /// The target's connection string, unless only the local hop is checked.
    pub target: Option<Secret<String>>,
    /// The schema on the target.
    pub schema: String,
    /// Which local PostgreSQL.
    pub local: LocalChoice,
}

/// One difference. Names places, never values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// `local` or `target`.
    pub side: String,
    /// The source table.
    pub table: String,
    /// The source column, where one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The row's key (names of key columns and the row's position or integer key), where one row is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What differs, such as `value differs`, `row missing`, `row added`, `count differs: 5, expected 6`.
    pub what: String,
}

/// One table's verdict on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableVerdict {
    /// `local` or `target`.
    pub side: String,
    /// The source table.
    pub table: String,
    /// Rows compared.
    pub rows: u64,
    /// Whether everything looked at is equal.
    pub equal: bool,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// How deep it looked.
    pub level: Level,
    /// Per table and side.
    pub tables: Vec<TableVerdict>,
    /// Every difference found, at most 1000 named.
    pub differences: Vec<Difference>,
    /// Differences in all, named or not.
    pub difference_count: u64,
}

/// Compares. Differences are an answer, not an error.
///
/// # Errors
/// Those that keep it from comparing: `Artifact*`, `Local*`, `Target*`.
pub async fn verify(_ctx: &Context, _request: &VerifyRequest) -> Result<Verified> {
    Err(Error::new(Kind::Bug, "not built"))
}
