//! Dump to decisions: `plan/plan.json`, `plan/schema.sql`, `plan/assessment.md`.

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{Plan, overrides::Overrides},
};

/// What to plan with.
#[derive(Debug, Clone, Default)]
pub struct PlanRequest {
    /// The user's decisions.
    pub overrides: Overrides,
    /// Make the plan even if a current one is there.
    pub fresh: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan as stored.
    pub plan: Plan,
    /// SHA-256 of the file `plan.json`.
    pub sha256: String,
    /// Whether the stored plan was current already.
    pub unchanged: bool,
}

/// Makes the plan, or loads the stored one if it was made from this dump, these overrides and this version.
/// Returns it even if findings block loading; see [`refuse_if_blocked`].
///
/// # Errors
/// `ArtifactMissing` without a dump, `Config` for overrides that name what isn't there, `SourceInvalid` if the dump
/// can't be read.
pub async fn plan(_ctx: &Context, _request: &PlanRequest) -> Result<Planned> {
    Err(Error::new(Kind::Bug, "not built"))
}

/// The verdict on a plan before anything is loaded: `DataRefused` (exit 5) if PostgreSQL can't hold a value as
/// planned, `PlanBlocked` (exit 1) if a finding needs a decision.
///
/// # Errors
/// As said, with the number of findings and the first place.
pub fn refuse_if_blocked(_plan: &Plan) -> Result<()> {
    Err(Error::new(Kind::Bug, "not built"))
}

/// The evidence for one table or column as text for people.
///
/// # Errors
/// `Usage` if there is no such table or column, with the nearest name.
pub fn explain(_plan: &Plan, _place: &str) -> Result<String> {
    Err(Error::new(Kind::Bug, "not built"))
}
