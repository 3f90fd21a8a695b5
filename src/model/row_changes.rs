//! How many rows of a table are inserted, updated and deleted.

use serde::{Deserialize, Serialize};

/// How many rows of a table change, between the target and what is pushed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowChanges {
    /// Rows that are new.
    pub inserted: u64,
    /// Rows that get other values.
    pub updated: u64,
    /// Rows that are removed.
    pub deleted: u64,
}
