//! Defines the methods by which a dump was made.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The method by which a dump was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DumpMethod {
    /// The pages of a Turso database at one revision.
    Pages,
    /// The file of a Turso database's generation.
    Export,
    /// The replication log of a libSQL server.
    Replica,
    /// Rows by SQL, in one transaction.
    Sql,
    /// A copy of a file on this machine.
    File,
}

impl fmt::Display for DumpMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
