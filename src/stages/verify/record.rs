//! `verify.json`: the last answer, for the report.

use serde::{Deserialize, Serialize};

use super::{Against, Difference, Level, TableVerdict, Verified, VerifyRequest, scope::Scope};
use crate::{
    error::Result,
    workdir::{Workdir, now_s, sealed},
};

/// The format number of `verify.json` that this version writes and reads.
pub const VERIFY_FORMAT: u32 = 1;

const FILE: &str = "verify.json";

/// `verify.json`: what was compared, and the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRecord {
    /// [`VERIFY_FORMAT`].
    pub format: u32,
    /// Version of the tool.
    pub tool: String,
    /// SHA-256 of the dump.
    pub dump_sha256: String,
    /// SHA-256 of `plan.json`.
    pub plan_sha256: String,
    /// Which hop.
    pub against: Against,
    /// How deep.
    pub level: Level,
    /// Source tables that were asked for; empty means all.
    pub asked: Vec<String>,
    /// Per table and side.
    pub tables: Vec<TableVerdict>,
    /// The differences that are named.
    pub differences: Vec<Difference>,
    /// Differences in all, named or not; where too many rows differ, how many there are at least.
    pub difference_count: u64,
    /// Seconds since 1970.
    pub started_s: u64,
    /// Seconds since 1970.
    pub finished_s: u64,
}

/// Stores the answer.
pub(super) fn store(
    workdir: &Workdir,
    request: &VerifyRequest,
    scope: &Scope,
    started_s: u64,
    verified: &Verified,
) -> Result<()> {
    let record = VerifyRecord {
        format: VERIFY_FORMAT,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        dump_sha256: scope.dump.sha256.clone(),
        plan_sha256: scope.plan_sha256.clone(),
        against: request.against,
        level: request.level,
        asked: request.tables.clone(),
        tables: verified.tables.clone(),
        differences: verified.differences.clone(),
        difference_count: verified.difference_count,
        started_s,
        finished_s: now_s(),
    };
    sealed::store(&workdir.root().join(FILE), &record).map(drop)
}

/// The last answer.
///
/// # Errors
/// `ArtifactMissing`, `ArtifactDamaged`, `ArtifactNewer`.
pub fn load_record(workdir: &Workdir) -> Result<VerifyRecord> {
    sealed::load(&workdir.root().join(FILE), VERIFY_FORMAT, "verify")
}
