//! The local PostgreSQL to the target.
//!
//! Look at the target (`target`, `plan::preflight`), make a plan (`plan`), apply it. Whole tables go into a staging
//! schema, chunk by chunk, each committed with its marker (`load`), and take their places in one transaction
//! (`cutover`); rows that differ are changed in one transaction (`diff`). The target keeps a record of what this tool
//! pushed (`target::record`), by which a later push knows its own tables, and an interrupted one its committed chunks.
//! Imports go in this direction only: `target`, `plan`, `load`, `diff`, `cutover`, `executor`.
//!
//! Decisions: a push that loses its connection begins anew from the look, in the same process as in another one: there
//! is one way to continue, and it is always in use. Only chunks are tried again on the spot, because beginning anew
//! would waste what the other workers have under way.

mod cutover;

mod diff;

mod executor;

mod load;

mod plan;

mod schema_change;

mod target;

pub use cutover::{removal, rollback};
pub use plan::request::{PushPart, PushRequest, Pushed, schema_for};
pub use schema_change::SchemaChange;
pub use target::lock_acquisition::LOCK_WAIT;

use std::time::Instant;

use crate::{
    context::Context,
    error::{Kind, Result, ResultExt},
    event::Event,
    model::{
        Plan, Stage,
        drift::DriftPolicy,
        human_format::counted,
        push_plan::{PushMode, RequestedMode},
        structure_change::TypeChangePolicy,
    },
    postgres::{Parsed, PgEndpoint, Role, Session},
};

use executor::PushExecutor;
use plan::{manifest::Manifest, structure_changes};
use target::{
    contract,
    record::{PushedTableRecord, TargetRecord},
    session::previous_schema,
    source_identity,
};

/// Pushes what `convert` loaded.
///
/// Safe to repeat, and to interrupt at any moment: until the cutover readers of the target see what they saw before.
///
/// # Errors
/// `Artifact*` (exit 4), `Local*` (6), `Target*` (7), `TargetOccupied` and `Locked` (8), `Usage` (2).
pub async fn push(ctx: &Context, request: &PushRequest) -> Result<Pushed> {
    Box::pin(run(ctx, request)).await.in_stage(Stage::Push)
}

async fn run(ctx: &Context, request: &PushRequest) -> Result<Pushed> {
    plan::request::check(request)?;
    let mut request = request.clone();
    if let Ok(plan) = ctx.workdir.load_plan() {
        request.schema = schema_for(&plan, &request.schema);
    }
    if request.part == PushPart::Rows && request.mode == RequestedMode::Auto {
        // Never other tables in the place of those that are there.
        request.mode = RequestedMode::Diff;
    }
    let request = &request;
    let Parsed { endpoint, notes } = PgEndpoint::parse(&request.target, Role::Target)?;
    let manifest = Manifest::load(ctx, &request.schema, request.part)?;
    if !request.fresh {
        refuse_damaged_checkpoint(ctx)?;
    }
    ctx.out.emit(&Event::StageStarted { stage: Stage::Push });
    for note in notes {
        ctx.out.info(note);
    }
    let begun = Instant::now();
    let mut pushed = PushExecutor::new(ctx, request, &endpoint, &manifest).run().await?;
    pushed.not_carried = manifest.plan.not_carried();
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let summary = summary(&pushed, &manifest, endpoint.address());
    ctx.out.emit(&Event::StageFinished { stage: Stage::Push, elapsed_ms, summary });
    Ok(pushed)
}

/// Refuses a plan whose push would change tables that are in use without a decision, before the plan is carried out.
/// What else speaks against a push is left to the push. `source` is where the plan's dump came from.
///
/// # Errors
/// `TypeChanged`, `Target*`.
pub async fn refuse_undecided(ctx: &Context, request: &PushRequest, plan: &Plan, source: &str) -> Result<()> {
    // Which tables others changed and keep their structure is known when the rows are compared.
    if request.on_type_change == TypeChangePolicy::Follow || request.on_drift == DriftPolicy::Keep {
        return Ok(());
    }
    let endpoint = PgEndpoint::parse(&request.target, Role::Target)?.endpoint;
    let control = Box::pin(Session::connect_with_retry(ctx, Stage::Push, &endpoint)).await?;
    let schema = &schema_for(plan, &request.schema);
    let record = Box::pin(TargetRecord::read(&control, schema, &previous_schema(schema))).await?;
    let stays = |table: &PushedTableRecord| plan.tables.iter().any(|planned| planned.name == table.name);
    let is_other = source_identity::read(&control, schema).await?.is_some_and(|known| known != source);
    if is_other || !record.live.iter().any(stays) {
        return Ok(());
    }
    let live = contract::read(&control, schema).await?;
    let changes = structure_changes::find(&live, &record.live_objects, plan);
    for change in &changes {
        ctx.out.emit(&Event::StructureChanged(change.clone()));
    }
    if changes.is_empty() { Ok(()) } else { Err(structure_changes::undecided(&changes)) }
}

/// Whether the artifacts are there that a push takes its tables from.
///
/// # Errors
/// `Artifact*` (exit 4), `Usage` (2).
pub fn ready(ctx: &Context, schema: &str, part: PushPart) -> Result<()> {
    Manifest::load(ctx, schema, part).map(drop).in_stage(Stage::Push)
}

/// The target's record is the authority on what was pushed, but a checkpoint that can't be read must not be replaced
/// in silence: somebody changed it, or a newer version wrote it.
fn refuse_damaged_checkpoint(ctx: &Context) -> Result<()> {
    match ctx.workdir.load_push() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == Kind::ArtifactMissing => Ok(()),
        Err(error) => Err(error),
    }
}

fn summary(pushed: &Pushed, manifest: &Manifest, address: &str) -> String {
    let tables = counted(u64::try_from(manifest.tables.len()).unwrap_or(u64::MAX), "table", "tables");
    match &pushed.checkpoint {
        Some(_) if pushed.unchanged => format!("nothing to do: {address} holds these {tables} already"),
        Some(checkpoint) => {
            let rows: u64 = checkpoint.tables.values().map(|table| table.rows).sum();
            let verb = match checkpoint.mode {
                PushMode::Swap | PushMode::Replace => "replaced",
                PushMode::Diff => "changed",
                PushMode::Load => "loaded",
                PushMode::Create | PushMode::Rollback => "created",
            };
            format!("{verb} {tables} with {} on {address}", counted(rows, "row", "rows"))
        }
        None => format!("{tables} would be pushed to {address}; nothing was written"),
    }
}
