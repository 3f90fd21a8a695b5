//! Loads the inputs of a verification: the artifacts, checked to belong together, and the requested tables.

use super::{Against, VerifyLevel, VerifyRequest};
use crate::{
    error::{Error, Kind, Result},
    model::{
        DumpCheckpoint, LoadCheckpoint, Plan, PushCheckpoint, TablePlan, checkpoint::LoadState, similar_name::nearest,
    },
    workdir::{Workdir, sha256_of},
};

/// The artifacts of the stages before.
#[derive(Debug)]
pub(super) struct VerifyInputs {
    /// The dump.
    pub(super) dump: DumpCheckpoint,
    /// The plan.
    pub(super) plan: Plan,
    /// The load, where the local PostgreSQL takes part.
    pub(super) convert: Option<LoadCheckpoint>,
    /// The push, where the target takes part and this tool recorded one.
    pub(super) push: Option<PushCheckpoint>,
    /// The tables asked for, in the plan's order.
    pub(super) tables: Vec<TablePlan>,
}

/// Whether the local PostgreSQL is needed.
pub(super) fn needs_local(request: &VerifyRequest) -> bool {
    request.against != Against::Target || request.level == VerifyLevel::Digest
}

/// Whether the target is needed.
pub(super) fn needs_target(request: &VerifyRequest) -> bool {
    request.against != Against::Local
}

impl VerifyInputs {
    /// Loads the artifacts and refuses what doesn't belong together.
    ///
    /// # Errors
    /// `ArtifactMissing`, `ArtifactDamaged`, `ArtifactNewer`, `ArtifactStale`; `Usage` for a table that isn't planned.
    pub(super) fn load(workdir: &Workdir, request: &VerifyRequest) -> Result<Self> {
        let dump = workdir.load_dump()?;
        let plan = workdir.load_plan()?;
        if plan.dump_sha256 != dump.sha256 {
            return Err(stale("the plan was made from another dump", "plan"));
        }
        let plan_sha256 = sha256_of(&workdir.plan_json())?;
        let convert = if needs_local(request) { Some(workdir.load_convert()?) } else { None };
        if let Some(convert) = &convert {
            if convert.dump_sha256 != dump.sha256 || convert.plan_sha256 != plan_sha256 {
                return Err(stale("the local PostgreSQL was filled from another dump or plan", "convert"));
            }
            if convert.state != LoadState::Done {
                return Err(stale("the local PostgreSQL was not loaded completely", "convert"));
            }
        }
        let push = if needs_target(request) { load_push(workdir, &plan_sha256)? } else { None };
        let of_push = push.as_ref().map(|push| push.dropped.as_slice());
        let dropped = convert.as_ref().map(|convert| convert.dropped.as_slice()).or(of_push);
        let plan = workdir.load_executed_plan(plan, &plan_sha256, dropped.unwrap_or_default())?;
        let tables = select(&plan, &request.tables)?;
        Ok(Self { dump, plan, convert, push, tables })
    }
}

/// Checks that the dump is bit for bit the file that its checkpoint describes.
///
/// # Errors
/// `ArtifactDamaged`, `ArtifactIo`.
pub(super) fn prove_dump(workdir: &Workdir, sha256: &str) -> Result<()> {
    if sha256_of(&workdir.source_db())? == sha256 {
        return Ok(());
    }
    Err(Error::new(Kind::ArtifactDamaged, "dump/source.db is not the file that its checkpoint describes")
        .with_hint("run `turso2neon dump --fresh`"))
}

/// The push, if there was one. A target that this tool didn't fill can be compared, too.
fn load_push(workdir: &Workdir, plan_sha256: &str) -> Result<Option<PushCheckpoint>> {
    let push = match workdir.load_push() {
        Ok(push) => push,
        Err(error) if error.kind() == Kind::ArtifactMissing => return Ok(None),
        Err(error) => return Err(error),
    };
    if push.plan_sha256 != plan_sha256 {
        return Err(stale("the target was filled from another plan", "push"));
    }
    if push.state != LoadState::Done {
        return Err(stale("the target was not loaded completely", "push"));
    }
    Ok(Some(push))
}

fn stale(what: &str, stage: &str) -> Error {
    Error::new(Kind::ArtifactStale, what).with_hint(format!("run `turso2neon {stage}`"))
}

/// The tables of these names (in SQLite, ASCII case doesn't matter); all without names.
fn select(plan: &Plan, names: &[String]) -> Result<Vec<TablePlan>> {
    for name in names {
        if !plan.tables.iter().any(|table| table.source.eq_ignore_ascii_case(name)) {
            let near = nearest(name, plan.tables.iter().map(|table| &table.source));
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            let error = Error::new(Kind::Usage, format!("the plan has no table `{name}`"));
            return Err(match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            });
        }
    }
    let requested =
        |table: &&TablePlan| names.is_empty() || names.iter().any(|name| table.source.eq_ignore_ascii_case(name));
    Ok(plan.tables.iter().filter(requested).cloned().collect())
}
