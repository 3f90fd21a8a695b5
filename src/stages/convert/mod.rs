//! Loads the dump into the local PostgreSQL as the plan says.
//!
//! Order: tables and rows (`load`), the trial of what was translated (`equivalence_check`), keys, indexes and
//! constraints (`post_load`), then the proof (`readback`), and only then durability and the word `done` in the
//! checkpoint. The authority on what is loaded are the markers that commit with the rows (`postgres::load_journal`), so
//! that an interrupted load continues after its last committed chunk.

mod encode_cell;

mod refusal;

mod row_encoder;

mod post_load;

mod existing_objects;

mod existing_schema;

mod prepare;

mod chunking;

mod offtype;

mod load;

mod progress;

mod readback;

mod reader;

mod rejects;

mod load_steps;

mod equivalence_check;

mod trial_load;

mod triggers;

mod vector;

mod text_input;

mod views;

mod load_context;

use std::collections::BTreeMap;

use load_context::{LoadContext, PhaseTimer};
use load_steps::LoadSteps;

use super::plan::{self, Planned};
use crate::{
    context::Context,
    error::{Error, Kind, Result, ResultExt as _},
    event::Event,
    model::{
        DumpCheckpoint, LoadCheckpoint, Plan, Stage,
        checkpoint::{CHECKPOINT_FORMAT, LoadState, LocalServerRecord},
        conversion_plan::{ObjectPlan, PLAN_FORMAT},
        dropped_objects::{DroppedObject, ExecutedPlan},
        human_format,
        overrides::Overrides,
    },
    postgres::{
        Session,
        copy::row_digest,
        load_journal::{self, LoadScope},
        managed::{LocalChoice, LocalServer},
    },
    workdir::{now_s, sealed, sha256_of_bytes},
};

pub(in crate::stages) use trial_load::load_rows;

/// Connections that a server of usual settings can spare.
const JOBS_MAX: usize = 32;

/// What to convert and where to.
#[derive(Debug, Clone, Default)]
pub struct ConvertRequest {
    /// The user's decisions, for the plan.
    pub overrides: Overrides,
    /// Which local PostgreSQL.
    pub local: LocalChoice,
    /// Connections that load at once, at most 32; 0 means one per core.
    pub jobs: usize,
    /// Create the schema without rows.
    pub schema_only: bool,
    /// Load rows into tables that are there.
    pub data_only: bool,
    /// Forget the earlier result.
    pub fresh: bool,
}

impl ConvertRequest {
    /// Checks what can be checked without looking anywhere.
    ///
    /// # Errors
    /// `Usage` for flags that exclude each other.
    pub fn check(&self) -> Result<()> {
        self.scope().map(drop)
    }

    fn scope(&self) -> Result<LoadScope> {
        match (self.schema_only, self.data_only) {
            (false, false) => Ok(LoadScope::All),
            (true, false) => Ok(LoadScope::Schema),
            (false, true) => Ok(LoadScope::Data),
            (true, true) => Err(Error::new(Kind::Usage, "--schema-only and --data-only exclude each other")),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Converted {
    /// The checkpoint.
    pub checkpoint: LoadCheckpoint,
    /// Whether it was done already for this dump and plan.
    pub unchanged: bool,
    /// Views, triggers and indexes of the source that the local PostgreSQL does not have.
    pub not_carried: Vec<ObjectPlan>,
}

/// Loads what is planned, and proves what it loaded. The plan is one that no finding blocks.
///
/// May be repeated: an interrupted load of the same dump and plan is continued. Dropping the future stops a managed
/// server and leaves what is committed.
///
/// # Errors
/// `Local*` kinds (exit 6); `DataRefused` (exit 5); `TargetOccupied` (exit 8) for `--local-url` with tables of somebody
/// else.
pub async fn convert(
    ctx: &Context,
    request: &ConvertRequest,
    dump: &DumpCheckpoint,
    planned: Planned,
) -> Result<Converted> {
    Box::pin(run(ctx, request, dump, planned)).await.in_stage(Stage::Convert)
}

async fn run(ctx: &Context, request: &ConvertRequest, dump: &DumpCheckpoint, planned: Planned) -> Result<Converted> {
    let scope = request.scope()?;
    let former = former(ctx, request, dump, &planned)?;
    let key = load_key(dump, &planned);
    let mut named = match &request.local.url {
        Some(_) => Some(LocalServer::open_for_load(ctx, &request.local).await?),
        None => None,
    };
    let done = former.as_ref().filter(|former| former.state == LoadState::Done && scope != LoadScope::Schema);
    if let Some(done) = done
        && is_there(ctx, named.as_ref(), done, &key).await?
    {
        let not_carried = planned.plan.without(&done.dropped).not_carried();
        return Ok(Converted { checkpoint: done.clone(), unchanged: true, not_carried });
    }
    let interrupted = former.filter(|former| former.state == LoadState::Loading);
    ctx.out.emit(&Event::StageStarted { stage: Stage::Convert });
    report_expected(ctx, &planned.plan);
    let mut clock = PhaseTimer::start();
    if named.is_none() {
        if scope != LoadScope::Data && interrupted.is_none() {
            LocalServer::set_aside(&ctx.workdir).await?;
        }
        named = Some(LocalServer::open_for_load(ctx, &request.local).await?);
    }
    let server = named.ok_or_else(|| Error::new(Kind::Bug, "no server to load into"))?;
    clock.record("server");
    ctx.workdir.subdir("convert")?;
    let mut checkpoint = begun(dump, &planned, server.record());
    checkpoint.dropped = interrupted.map(|former| former.dropped).unwrap_or_default();
    sealed::store(&ctx.workdir.convert_checkpoint(), &checkpoint)?;
    let plan = planned.plan.clone().without(&checkpoint.dropped);
    let work = LoadContext { ctx: ctx.clone(), plan, source: ctx.workdir.source_db(), scope, key };
    let (begun, mut dropped) = (checkpoint.clone(), std::mem::take(&mut checkpoint.dropped));
    let keep = |dropped: &[DroppedObject]| {
        let kept = LoadCheckpoint { dropped: dropped.to_vec(), ..begun.clone() };
        sealed::store(&ctx.workdir.convert_checkpoint(), &kept).map(drop)
    };
    let mut steps = LoadSteps { server: &server, request, clock: &mut clock, dropped: &mut dropped, keep: &keep };
    let loaded = match Box::pin(steps.take(work)).await {
        Ok(loaded) => loaded,
        Err(error) => {
            let error = server.explain(error);
            // The first error is the one to report; a server that doesn't stop is found by the next command.
            server.close().await.ok();
            return Err(error);
        }
    };
    if let Err(refused) = report_dropped(ctx, &dropped, request) {
        server.close().await?;
        return Err(refused);
    }
    checkpoint.dropped = dropped;
    let not_carried = store_executed_plan(ctx, planned.plan, &checkpoint)?.not_carried();
    server.close_durable(loaded.next_transaction).await?;
    clock.record("durable");
    checkpoint.phases_ms = clock.phases_ms();
    if scope != LoadScope::Schema {
        checkpoint.tables = loaded.tables;
        checkpoint.state = LoadState::Done;
        checkpoint.finished_s = now_s();
    }
    sealed::store(&ctx.workdir.convert_checkpoint(), &checkpoint)?;
    ctx.out.emit(&Event::StageFinished {
        stage: Stage::Convert,
        elapsed_ms: clock.total_ms(),
        summary: summary(&checkpoint),
    });
    Ok(Converted { checkpoint, unchanged: false, not_carried })
}

/// Stores the plan as it was carried out, and gives it back.
fn store_executed_plan(ctx: &Context, plan: Plan, checkpoint: &LoadCheckpoint) -> Result<Plan> {
    let (plan, plan_sha256) = (plan.without(&checkpoint.dropped), checkpoint.plan_sha256.clone());
    let executed = ExecutedPlan { format: PLAN_FORMAT, plan_sha256, plan };
    sealed::store(&ctx.workdir.executed_plan(), &executed)?;
    Ok(executed.plan)
}

/// Says what was dropped, and refuses to go on without the consent that some of it needs.
fn report_dropped(ctx: &Context, dropped: &[DroppedObject], request: &ConvertRequest) -> Result<()> {
    for one in dropped {
        ctx.out.emit(&Event::Found(one.finding()));
    }
    plan::refuse_if_unguarded(dropped, &request.overrides)
}

/// The checkpoint of an earlier load of the same dump and plan into the same kind of server.
fn former(
    ctx: &Context,
    request: &ConvertRequest,
    dump: &DumpCheckpoint,
    planned: &Planned,
) -> Result<Option<LoadCheckpoint>> {
    if request.fresh {
        return Ok(None);
    }
    let former = match ctx.workdir.load_convert() {
        Ok(former) => former,
        Err(error) if error.kind() == Kind::ArtifactMissing => return Ok(None),
        Err(error) => return Err(error),
    };
    let same_kind = match former.local {
        LocalServerRecord::Managed { .. } => request.local.url.is_none(),
        LocalServerRecord::External { .. } => request.local.url.is_some(),
    };
    // An earlier version recorded another kind of digest: what it loaded can't be compared with the target.
    let comparable = former.tables.values().all(|table| table.server_digest.is_some());
    let same = same_kind && former.dump_sha256 == dump.sha256 && former.plan_sha256 == planned.sha256 && comparable;
    Ok(same.then_some(former))
}

/// Whether a finished load is still where its checkpoint says; `named` is the server that the user named, if so.
async fn is_there(ctx: &Context, named: Option<&LocalServer>, done: &LoadCheckpoint, key: &str) -> Result<bool> {
    let Some(server) = named else { return Ok(LocalServer::is_there(&ctx.workdir, &done.local)) };
    let session = Session::connect(server.endpoint()).await?;
    let recorded = load_journal::recorded(&session).await?;
    let finished = recorded.is_some_and(|load| load.key == key && load.finished && load.scope != LoadScope::Schema);
    Ok(finished && address(server.record()) == address(&done.local))
}

fn address(record: &LocalServerRecord) -> Option<&str> {
    match record {
        LocalServerRecord::External { address, .. } => Some(address),
        LocalServerRecord::Managed { .. } => None,
    }
}

/// What identifies a load: the same key means the same rows in the same chunks.
fn load_key(dump: &DumpCheckpoint, planned: &Planned) -> String {
    let (tool, form) = (env!("CARGO_PKG_VERSION"), row_digest::FORM);
    sha256_of_bytes(format!("{} {} {tool} {form}", dump.sha256, planned.sha256).as_bytes())
}

fn report_expected(ctx: &Context, plan: &Plan) {
    let tables = u64::try_from(plan.tables.len()).unwrap_or(u64::MAX);
    let rows = plan.tables.iter().map(crate::model::TablePlan::loaded_rows).sum();
    ctx.out.emit(&Event::Expected { stage: Stage::Convert, tables, rows });
}

fn begun(dump: &DumpCheckpoint, planned: &Planned, local: &LocalServerRecord) -> LoadCheckpoint {
    LoadCheckpoint {
        format: CHECKPOINT_FORMAT,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        dump_sha256: dump.sha256.clone(),
        plan_sha256: planned.sha256.clone(),
        local: local.clone(),
        state: LoadState::Loading,
        tables: BTreeMap::new(),
        dropped: Vec::new(),
        phases_ms: BTreeMap::new(),
        started_s: now_s(),
        finished_s: 0,
    }
}

fn summary(checkpoint: &LoadCheckpoint) -> String {
    if checkpoint.state == LoadState::Loading {
        return "the schema is there, without rows; `turso2neon convert --data-only` loads them".to_owned();
    }
    let rows: u64 = checkpoint.tables.values().map(|table| table.rows).sum();
    let dropped = match checkpoint.dropped.len() {
        0 => String::new(),
        1 => "; 1 object not created, because its trial failed: see `turso2neon report`".to_owned(),
        count => format!("; {count} objects not created, because their trials failed: see `turso2neon report`"),
    };
    let tables = u64::try_from(checkpoint.tables.len()).unwrap_or(u64::MAX);
    format!("{}, digests equal{dropped}", human_format::tables_and_rows(tables, rows))
}
