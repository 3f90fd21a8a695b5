//! What others changed on the target since the last push.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{human_format::counted, row_changes::RowChanges};

/// What a push does with tables that others changed on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DriftPolicy {
    /// Stop before anything is changed, and name the tables
    #[default]
    Refuse,
    /// Replace what others changed; it is kept for a rollback like everything that a push replaces
    Overwrite,
    /// Leave these tables as they are, and push the others
    Keep,
}

/// What others changed in one table since the last push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDrift {
    /// PostgreSQL's name.
    pub name: String,
    /// SQLite's name.
    pub source: String,
    /// Whether the rows are not those that were pushed.
    pub rows_differ: bool,
    /// How many rows others inserted, updated and deleted; none if that cannot be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<RowChanges>,
    /// What changed in the structure, one sentence for each column, constraint or index.
    pub structure: Vec<String>,
}

impl fmt::Display for TableDrift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.rows {
            Some(RowChanges { inserted, updated, deleted }) => {
                parts.push(format!(
                    "{} inserted, {updated} changed, {deleted} deleted",
                    counted(inserted, "row", "rows")
                ));
            }
            None if self.rows_differ => parts.push("rows were changed".to_owned()),
            None => {}
        }
        parts.extend(self.structure.iter().cloned());
        write!(f, "table {}: {}", self.name, parts.join(", "))
    }
}
