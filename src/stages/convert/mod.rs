//! Dump and plan to the local PostgreSQL.

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{LoadCheckpoint, overrides::Overrides},
    postgres::managed::LocalChoice,
};

/// What to convert and where to.
#[derive(Debug, Clone, Default)]
pub struct ConvertRequest {
    /// The user's decisions, for the plan.
    pub overrides: Overrides,
    /// Which local PostgreSQL.
    pub local: LocalChoice,
    /// Connections that load at once; 0 means one per core.
    pub jobs: usize,
    /// Create the schema without rows.
    pub schema_only: bool,
    /// Load rows into tables that are there.
    pub data_only: bool,
    /// Forget the earlier result.
    pub fresh: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Converted {
    /// The checkpoint.
    pub checkpoint: LoadCheckpoint,
    /// Whether it was done already for this dump and plan.
    pub unchanged: bool,
}

/// Makes or loads the plan, refuses if findings block, loads, and proves what it loaded.
///
/// # Errors
/// Those of `plan`; `Local*` kinds (exit 6); `DataRefused` (exit 5).
pub async fn convert(_ctx: &Context, _request: &ConvertRequest) -> Result<Converted> {
    Err(Error::new(Kind::Bug, "not built"))
}
