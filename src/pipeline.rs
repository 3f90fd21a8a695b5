//! Runs the stages in order, and stops them on request. No other file calls two stages.
//!
//! Invariant: a stage takes its input from the artifacts, never from the stage before it in the same process; what a
//! stage returns is for the user's eyes.

use std::{collections::BTreeMap, future::Future, time::Instant};

use clap::ValueEnum;

use crate::{
    context::Context,
    error::{Error, Kind, Result, ResultExt},
    event::Event,
    model::{
        Plan, Stage, checkpoint::LoadState, existing_schema::ExistingSchema, overrides::Overrides, timestamp::rfc3339_s,
    },
    postgres::{
        PgEndpoint, Role, Session,
        existing_schema::{SchemaFrom, add_tables},
        managed::{HeldServer, LocalChoice, LocalServer, installation::Installation},
        pgvector,
    },
    secret::Secret,
    stages::{
        convert::{self, ConvertRequest, Converted},
        dump::{self, DumpRequest, Dumped, Method},
        plan::{self, PlanRequest, Planned},
        push::{self, PushRequest, Pushed},
        report::{
            run_record::RunResult,
            verify_record::{ServerMarks, VerifyRecord},
        },
        schema_trial,
        verify::{self, Against, VerifyLevel, VerifyRequest},
    },
};

/// Whether vectors become pgvector types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum VectorMode {
    /// If the local PostgreSQL offers the extension pgvector
    #[default]
    Auto,
    /// Yes
    On,
    /// No
    Off,
}

/// What a plan is made with, before it is known whether the server offers pgvector.
#[derive(Debug, Clone, Default)]
pub struct PlanDecisions {
    /// The user's decisions; `vector_extension` is decided here.
    pub overrides: Overrides,
    /// What to do about pgvector.
    pub vector: VectorMode,
    /// The local PostgreSQL that will hold the tables.
    pub local: LocalChoice,
    /// The schema that gives the types: a file of SQL, a database, or the target.
    pub schema_from: Option<SchemaFrom>,
    /// The schema of it that the rows go to, if one is named.
    pub target_schema: Option<String>,
    /// Tables that only the source has are added to that schema.
    pub carry_missing: bool,
}

impl PlanDecisions {
    /// The overrides with everything decided, the existing schema read. A schema that was given once stays: without a
    /// new one the stored plan's is taken, unless `fresh` forgets it.
    ///
    /// # Errors
    /// Those of reading the schema; `Local*` if the server named by `--local-url` must be asked and can't be.
    pub async fn decided(&self, ctx: &Context, fresh: bool) -> Result<Overrides> {
        let existing_schema = match &self.schema_from {
            Some(from) => Some(Box::new(self.existing_schema(ctx, from).await?)),
            None if fresh => None,
            // What is wrong with a stored plan is the planning's to say.
            None => ctx.workdir.load_plan().ok().and_then(|plan| plan.existing_schema),
        };
        let vector_extension = match self.vector {
            VectorMode::On => true,
            VectorMode::Off => false,
            VectorMode::Auto => pgvector::offered(&self.local).await?,
        };
        Ok(Overrides { existing_schema, vector_extension, ..self.overrides.clone() })
    }

    async fn existing_schema(&self, ctx: &Context, from: &SchemaFrom) -> Result<ExistingSchema> {
        let sources = plan::SourceTables::read(ctx, &self.overrides)?;
        let fed = |name: &str| sources.feed(name);
        let existing = Box::pin(from.load(ctx, &self.local, self.target_schema.as_deref(), &fed)).await?;
        if !self.carry_missing {
            return Ok(existing);
        }
        let missing = plan::carried_tables::statements(ctx, &self.overrides, &existing)?;
        Box::pin(add_tables(ctx, &self.local, existing, &missing)).await
    }

    /// The overrides in every form that they can take, without a look at a server: where only one could tell whether
    /// it offers pgvector, both. The existing schema is left out.
    #[must_use]
    pub fn forms(&self) -> Vec<Overrides> {
        let answers: &[bool] = match self.vector {
            VectorMode::On => &[true],
            VectorMode::Off => &[false],
            VectorMode::Auto => &[false, true],
        };
        let form = |answer: &bool| Overrides { vector_extension: *answer, ..self.overrides.clone() };
        answers.iter().map(form).collect()
    }
}

/// What `run` needs for all its stages.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// For `dump`.
    pub dump: DumpRequest,
    /// For `plan` and `convert`.
    pub decisions: PlanDecisions,
    /// For `convert`; its overrides are those of `decisions`.
    pub convert: ConvertRequest,
    /// For `push`, and for the target of `verify`.
    pub push: PushRequest,
    /// How deep to verify.
    pub level: VerifyLevel,
}

/// What came of `run`.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The dump.
    pub dumped: Dumped,
    /// The plan.
    pub planned: Planned,
    /// The local load.
    pub converted: Converted,
    /// The push.
    pub pushed: Pushed,
    /// The verification.
    pub verified: VerifyRecord,
    /// Whether it is that of an earlier run, since which nothing has changed.
    pub verified_before: bool,
    /// Milliseconds per stage.
    pub stages_ms: BTreeMap<Stage, u64>,
}

impl Ran {
    /// What the record of the run says of it.
    #[must_use]
    pub fn result(&self) -> RunResult<'_> {
        RunResult {
            dump: &self.dumped.checkpoint,
            plan: &self.planned.plan,
            push: self.pushed.plan.as_ref(),
            unchanged: self.pushed.unchanged,
        }
    }
}

/// Source to `DIR/dump`.
///
/// # Errors
/// Those of the stage.
pub async fn dump(ctx: &Context, request: &DumpRequest) -> Result<Dumped> {
    dump::dump(ctx, request).await.in_stage(Stage::Dump)
}

/// Dump to `DIR/plan`. A plan with findings that block is an answer, not an error.
///
/// # Errors
/// Those of the stage.
pub async fn plan(ctx: &Context, decisions: &PlanDecisions, fresh: bool) -> Result<Planned> {
    let overrides = decisions.decided(ctx, fresh).await.in_stage(Stage::Plan)?;
    let request = PlanRequest { overrides, any_vector: decisions.vector == VectorMode::Auto, fresh };
    plan_with(ctx, request, &decisions.local).await
}

/// The plan of a SQLite file, made in a directory of its own.
///
/// # Errors
/// Those of `dump` and `plan`.
pub async fn plan_of_file(ctx: &Context, file: &Secret<String>, decisions: &PlanDecisions) -> Result<Plan> {
    let request = DumpRequest {
        source: file.clone(),
        token: None,
        method: Method::Auto,
        ca_file: None,
        namespace: None,
        fresh: true,
        platform: None,
        block_writes: false,
        exclude: Vec::new(),
        archive: None,
    };
    Box::pin(dump(ctx, &request)).await?;
    Ok(Box::pin(plan(ctx, decisions, true)).await?.plan)
}

async fn plan_with(ctx: &Context, request: PlanRequest, local: &LocalChoice) -> Result<Planned> {
    let trial = async |plan: &Plan| schema_trial::run(ctx, local, plan).await;
    Box::pin(plan::tried(ctx, &request, trial)).await.in_stage(Stage::Plan)
}

/// Dump and plan to the local PostgreSQL.
///
/// # Errors
/// Those of the stage, which are those of `plan` too.
pub async fn convert(ctx: &Context, decisions: &PlanDecisions, request: &ConvertRequest) -> Result<Converted> {
    let overrides = decisions.decided(ctx, false).await.in_stage(Stage::Convert)?;
    convert_with(ctx, overrides, request).await
}

async fn convert_with(ctx: &Context, overrides: Overrides, request: &ConvertRequest) -> Result<Converted> {
    announce(ctx, Stage::Convert);
    request.check().in_stage(Stage::Convert)?;
    let dump = ctx.workdir.load_dump().in_stage(Stage::Convert)?;
    let planning = PlanRequest { overrides: overrides.clone(), ..PlanRequest::default() };
    let planned = plan_with(ctx, planning, &request.local).await?;
    plan::refuse_if_blocked(&planned.plan).in_stage(Stage::Convert)?;
    let request = ConvertRequest { overrides, ..request.clone() };
    Box::pin(convert::convert(ctx, &request, &dump, planned)).await
}

/// The local PostgreSQL to the target.
///
/// # Errors
/// Those of the stage.
pub async fn push(ctx: &Context, request: &PushRequest) -> Result<Pushed> {
    if !request.dry_run {
        announce(ctx, Stage::Push);
    }
    push::push(ctx, request).await.in_stage(Stage::Push)
}

/// Comparison; the verdict is kept in `DIR/verify.json`. Differences are an answer, not an error.
///
/// # Errors
/// Those of the stage.
pub async fn verify(ctx: &Context, request: &VerifyRequest) -> Result<VerifyRecord> {
    if request.tables.is_empty() {
        announce(ctx, Stage::Verify);
    }
    let started = Instant::now();
    let verified = verify::verify(ctx, request).await.in_stage(Stage::Verify)?;
    let record = VerifyRecord::new(&ctx.workdir, request, verified, elapsed_ms(started)).in_stage(Stage::Verify)?;
    record.store(&ctx.workdir).in_stage(Stage::Verify)?;
    Ok(record)
}

/// The stages one after the other, each from the artifacts of those before it.
///
/// # Errors
/// Those of the stages; `PlanBlocked` or `DataRefused` if the plan's findings stop it.
pub async fn run(ctx: &Context, request: &RunRequest) -> Result<Ran> {
    let mut request = request.clone();
    let held = HeldServer::default();
    if !request.push.local.keep_running {
        request.convert.local.held = Some(held.clone());
        request.push.local.held = Some(held.clone());
    }
    let ran = Box::pin(run_stages(ctx, &request, &held)).await;
    let released = held.release().await;
    ran.and_then(|ran| released.map(|_| ran))
}

async fn run_stages(ctx: &Context, request: &RunRequest, held: &HeldServer) -> Result<Ran> {
    Box::pin(look_ahead(ctx, request)).await?;
    let mut stages_ms = BTreeMap::new();
    let mut started = Instant::now();
    let mut lap = |stage: Stage| {
        stages_ms.insert(stage, elapsed_ms(started));
        started = Instant::now();
    };
    let dumped = Box::pin(dump(ctx, &request.dump)).await?;
    lap(Stage::Dump);
    let overrides = Box::pin(request.decisions.decided(ctx, request.dump.fresh)).await.in_stage(Stage::Plan)?;
    let planning = PlanRequest { overrides: overrides.clone(), any_vector: false, fresh: request.dump.fresh };
    let planned = Box::pin(plan_with(ctx, planning, &request.decisions.local)).await?;
    plan::refuse_if_blocked(&planned.plan).in_stage(Stage::Plan)?;
    if !is_loaded(ctx, &planned) {
        let refused = push::refuse_undecided(ctx, &request.push, &planned.plan, &dumped.checkpoint.source);
        Box::pin(refused).await.in_stage(Stage::Push)?;
    }
    lap(Stage::Plan);
    skipped(ctx, Stage::Plan, planned.unchanged, "the plan was made from this dump and configuration");
    let converted = Box::pin(convert_with(ctx, overrides, &request.convert)).await?;
    lap(Stage::Convert);
    skipped(ctx, Stage::Convert, converted.unchanged, "the local PostgreSQL holds this dump and plan");
    let schema = push::schema_for(&planned.plan, &request.push.schema);
    let pushed = Box::pin(push(ctx, &PushRequest { schema: schema.clone(), ..request.push.clone() })).await?;
    lap(Stage::Push);
    let verification = request.verification(schema);
    let verifying = verify_unless_unchanged(ctx, &verification, &pushed, held);
    let (verified, verified_before) = Box::pin(verifying).await?;
    lap(Stage::Verify);
    Ok(Ran { dumped, planned, converted, pushed, verified, verified_before, stages_ms })
}

/// Verifies at the end of `run`. What an earlier run has compared is not compared again if all artifacts are the same, the
/// files of the local PostgreSQL and the target's catalog have not changed, and the push has just found the target's rows
/// unchanged by their digests. Also says whether that is so.
async fn verify_unless_unchanged(
    ctx: &Context,
    request: &VerifyRequest,
    pushed: &Pushed,
    held: &HeldServer,
) -> Result<(VerifyRecord, bool)> {
    let local = || {
        let load = ctx.workdir.load_convert().ok()?;
        LocalServer::unchanged_mark(&ctx.workdir, &load.local)
    };
    // Before the comparison, so that what changes meanwhile is compared by the next run. A role that may not read all of
    // the catalog gives no mark.
    let target = match verify::target_mark(ctx, request).await {
        Ok(mark) => Some(mark),
        Err(error) if error.kind() == Kind::Interrupted => return Err(error),
        Err(_) => None,
    };
    let known =
        VerifyRecord::load(&ctx.workdir).ok().filter(|known| pushed.unchanged && known.answers(&ctx.workdir, request));
    if let Some(known) = known
        && let Some(marks) = &known.servers
        && Some(&marks.target) == target.as_ref()
        && Some(&marks.local) == local().as_ref()
    {
        let (level, time) = (known.verified.level, rfc3339_s(known.finished_s));
        let why = format!("everything was compared at level {level} at {time}, and nothing has changed since");
        skipped(ctx, Stage::Verify, true, &why);
        return Ok((known, true));
    }
    let mut record = verify(ctx, request).await?;
    // What the files say counts only when the server is stopped, and only if nobody wrote to it meanwhile.
    let is_unchanged = held.release().await.in_stage(Stage::Verify)?;
    record.servers = local().filter(|_| is_unchanged).zip(target).map(|(local, target)| ServerMarks { local, target });
    record.store(&ctx.workdir).in_stage(Stage::Verify)?;
    Ok((record, false))
}

/// Whether the local PostgreSQL was loaded with this plan already.
fn is_loaded(ctx: &Context, planned: &Planned) -> bool {
    let loaded = ctx.workdir.load_convert().ok();
    loaded.is_some_and(|load| load.state == LoadState::Done && load.plan_sha256 == planned.sha256)
}

/// What would stop a later stage is found before hours are spent on the first: no PostgreSQL on this machine, a target
/// that doesn't let us in.
async fn look_ahead(ctx: &Context, request: &RunRequest) -> Result<()> {
    if request.convert.local.url.is_none() {
        Installation::find(&request.convert.local).in_stage(Stage::Convert)?;
    }
    let target = PgEndpoint::parse(&request.push.target, Role::Target).in_stage(Stage::Push)?.endpoint;
    let session = Session::connect_with_retry(ctx, Stage::Push, &target).await.in_stage(Stage::Push)?;
    push::removal::refuse_if_finished(&session, &request.push.schema).await.in_stage(Stage::Push)?;
    ctx.out.detail(format!("the target {} answers", target.address()));
    Ok(())
}

impl RunRequest {
    fn verification(&self, schema: String) -> VerifyRequest {
        VerifyRequest {
            against: Against::Both,
            level: self.level,
            tables: Vec::new(),
            target: Some(self.push.target.clone()),
            schema,
            local: self.push.local.clone(),
        }
    }
}

/// Stages that return at once say nothing themselves.
fn skipped(ctx: &Context, stage: Stage, unchanged: bool, why: &str) {
    if unchanged {
        ctx.out.info(format!("{stage}: nothing to do: {why}"));
    }
}

/// Says how much a stage is going to move, as far as the artifacts show. What is wrong with them is the stage's to say.
fn announce(ctx: &Context, stage: Stage) {
    let Ok(dump) = ctx.workdir.load_dump() else { return };
    let planned = ctx.workdir.load_plan().ok().filter(|plan| plan.dump_sha256 == dump.sha256);
    let (tables, rows) = match planned {
        Some(plan) => (plan.tables.len(), plan.tables.iter().map(|table| table.rows).sum()),
        None => (dump.rows.len(), dump.rows.values().sum()),
    };
    ctx.out.emit(&Event::Expected { stage, tables: u64::try_from(tables).unwrap_or(u64::MAX), rows });
}

/// Does the work, and lets the user stop it: it is not begun if a stop was requested already, and dropped on an abort.
/// Stages themselves end after their present batch.
///
/// # Errors
/// Those of the work; `Interrupted`.
pub async fn interruptible<T>(ctx: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
    ctx.stop.check()?;
    ctx.stop.set_cancellable(true);
    let done = tokio::select! {
        biased;
        done = work => done,
        () = ctx.stop.aborted() => Err(Error::new(Kind::Interrupted, "stopped on request; what was committed is kept")),
    };
    ctx.stop.set_cancellable(false);
    done
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
