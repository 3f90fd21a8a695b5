//! The local PostgreSQL to the target.

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::PushCheckpoint,
    postgres::managed::LocalChoice,
    secret::Secret,
};

/// What to push and where to.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The target's connection string.
    pub target: Secret<String>,
    /// Which local PostgreSQL.
    pub local: LocalChoice,
    /// `auto` or `create` (other modes are refused until they exist).
    pub mode: String,
    /// Connections that load at once; 0 means the default.
    pub jobs: usize,
    /// The schema on the target.
    pub schema: String,
    /// Everything but writing.
    pub dry_run: bool,
    /// Forget the earlier result: push even if nothing changed.
    pub fresh: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The checkpoint; none after a dry run.
    pub checkpoint: Option<PushCheckpoint>,
    /// Whether the target held this content already.
    pub unchanged: bool,
    /// What would be done, one line each, after a dry run.
    pub dry_run: Vec<String>,
}

/// Pushes what `convert` loaded.
///
/// # Errors
/// `Artifact*` (exit 4), `Local*` (6), `Target*` (7), `TargetOccupied` and `Locked` (8).
pub async fn push(_ctx: &Context, _request: &PushRequest) -> Result<Pushed> {
    Err(Error::new(Kind::Bug, "not built"))
}
