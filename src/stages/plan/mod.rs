//! Plans the conversion of a dump: writes `plan/plan.json`, `plan/schema.sql`, `plan/assessment.md`.
//!
//! The plan is a pure function of the dump and the configuration: no clock, no number of cores and no order of work is
//! in it, so that the same input gives the same bytes. It reads the dump once for all values, and again only for keys
//! whose values might become equal.

mod fk_unification;

mod assemble;

mod assessment;

mod override_resolution;

mod table_outline;

mod table_draft;

mod assembled;

mod offtype_policy;

mod explain;

mod setting_effect;

mod settings_by_rules;

mod existing_schema;

mod views_triggers;

mod rescan;

mod acceptance;

mod stored_plan;

pub mod carried_tables;

use std::time::Instant;

use rusqlite::Connection;

use crate::{
    context::Context,
    error::{Error, Kind, Result, ResultExt},
    event::Event,
    model::{
        DumpCheckpoint, Finding, Plan, Stage, checkpoint::LeftOutObject, conversion_plan::PLAN_FORMAT,
        existing_schema::WeakenedObject, human_format, overrides::Overrides, source_schema::SkippedObject,
        source_schema::SourceSchema,
    },
    rules::{ddl, identifiers},
    sqlite::{
        catalog, constraint_stats, open,
        profile::{self, SurveyProgress, TableSurvey},
    },
    workdir::{atomic, sealed, sha256_of},
};
use assembled::Assembled;
use override_resolution::ResolvedOverrides;
use stored_plan::StoredPlan;
use table_draft::TableDraft;
use table_outline::TableOutline;

pub use acceptance::{refuse_if_blocked, refuse_if_unguarded};
pub use explain::{Explanation, explain};
pub use setting_effect::SettingEffect;
pub use stored_plan::made_with;

/// The schema that the tables go to on the local PostgreSQL.
const LOCAL_SCHEMA: &str = "public";

/// What to plan with.
#[derive(Debug, Clone, Default)]
pub struct PlanRequest {
    /// The user's decisions.
    pub overrides: Overrides,
    /// Take a stored plan as it is with regard to pgvector: no server is named that could tell.
    pub any_vector: bool,
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

/// What the trial of an existing schema found.
#[derive(Debug, Default)]
pub struct TrialOutcome {
    /// What rows break.
    pub findings: Vec<Finding>,
    /// What is therefore created in a weaker form.
    pub weakened: Vec<WeakenedObject>,
}

/// Makes the plan, or loads the stored one if it was made from this dump, these overrides and this version, and if
/// what is accepted now decides nothing that waits for a decision. Returns it even if findings block loading; see [`refuse_if_blocked`].
///
/// May be dropped and repeated: the stored plan is replaced as a whole or not at all.
///
/// # Errors
/// `ArtifactMissing` without a dump, `ArtifactDamaged` and `ArtifactNewer` for a stored plan that can't be used (unless
/// `fresh`), `Config` for overrides that name what isn't there, `SourceInvalid` if the dump can't be read.
pub async fn plan(ctx: &Context, request: &PlanRequest) -> Result<Planned> {
    tried(ctx, request, async |_| Ok(TrialOutcome::default())).await
}

/// As [`plan`]; a plan with an existing schema is handed to `trial`, which finds what the rows break of it.
///
/// # Errors
/// As [`plan`], and those of the trial.
pub async fn tried(
    ctx: &Context,
    request: &PlanRequest,
    trial: impl AsyncFnOnce(&Plan) -> Result<TrialOutcome>,
) -> Result<Planned> {
    let began = Instant::now();
    let drafted = {
        let (ctx, request) = (ctx.clone(), request.clone());
        in_thread(move || draft(&ctx, &request)).await.in_stage(Stage::Plan)?
    };
    let (mut plan, overrides) = match drafted {
        Draft::Stored(planned) => return Ok(*planned),
        Draft::New(plan, overrides) => (*plan, *overrides),
    };
    if plan.existing_schema.is_some() {
        let outcome = Box::pin(trial(&plan)).await.in_stage(Stage::Plan)?;
        plan.findings.extend(outcome.findings);
        for weakened in outcome.weakened {
            existing_schema::weaken(&mut plan.tables, &weakened);
            plan.weakened.push(weakened);
        }
    }
    if overrides.strict {
        acceptance::be_strict(&mut plan.findings);
    }
    acceptance::accept(&mut plan.findings, &overrides.accepted());
    acceptance::order(&mut plan.findings);
    let ctx = ctx.clone();
    in_thread(move || store(&ctx, plan, began)).await.in_stage(Stage::Plan)
}

async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Error::new(Kind::Bug, "the planning thread panicked"))?
}

/// A plan before the existing schema was tried.
enum Draft {
    /// The stored one is current.
    Stored(Box<Planned>),
    /// A new one, and what it was made with.
    New(Box<Plan>, Box<Overrides>),
}

fn draft(ctx: &Context, request: &PlanRequest) -> Result<Draft> {
    let dump = ctx.workdir.load_dump()?;
    let mut forms = vec![request.overrides.clone()];
    if request.any_vector {
        let vector_extension = !request.overrides.vector_extension;
        forms.push(Overrides { vector_extension, ..request.overrides.clone() });
    }
    let stored = if request.fresh { None } else { StoredPlan::load(ctx, &dump, &forms)? };
    let mut overrides = request.overrides.clone();
    if let Some(mut stored) = stored {
        let decides = stored.agree(&request.overrides);
        let is_whole = ctx.workdir.schema_sql().is_file() && ctx.workdir.assessment().is_file();
        if is_whole && !decides {
            let sha256 = sha256_of(&ctx.workdir.plan_json())?;
            return Ok(Draft::Stored(Box::new(Planned { plan: stored.plan, sha256, unchanged: true })));
        }
        overrides = stored.overrides;
    }
    ctx.out.emit(&Event::StageStarted { stage: Stage::Plan });
    let plan = make(ctx, &dump, &overrides)?;
    Ok(Draft::New(Box::new(plan), Box::new(overrides)))
}

fn store(ctx: &Context, plan: Plan, began: Instant) -> Result<Planned> {
    ctx.stop.check()?;
    ctx.workdir.subdir("plan")?;
    atomic::write(&ctx.workdir.schema_sql(), ddl::schema_sql(&plan).as_bytes())?;
    atomic::write(&ctx.workdir.assessment(), assessment::render(&plan).as_bytes())?;
    // Last, because it is what makes the other two current.
    let sha256 = sealed::store(&ctx.workdir.plan_json(), &plan)?;
    for finding in &plan.findings {
        ctx.out.emit(&Event::Found(finding.clone()));
    }
    let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    ctx.out.emit(&Event::StageFinished { stage: Stage::Plan, elapsed_ms, summary: summary(&plan) });
    Ok(Planned { plan, sha256, unchanged: false })
}

fn make(ctx: &Context, dump: &DumpCheckpoint, overrides: &Overrides) -> Result<Plan> {
    let path = ctx.workdir.source_db();
    let connection = open::read_only(&path)?;
    let mut schema = catalog::read(&connection)?;
    schema.skipped.extend(dump.left_out.iter().map(left_out));
    let decisions = override_resolution::resolve(&schema, overrides)?;
    let outlines = table_outline::outlines(&schema, &decisions, overrides.vector_extension);
    let scans: Vec<_> = outlines.iter().map(TableOutline::scan).collect();
    let surveys = profile::survey(&path, &scans, &|progress| report_progress(ctx, dump, progress))?;
    let all = match &overrides.existing_schema {
        Some(existing) => {
            let stop = &ctx.stop;
            let work = existing_schema::PlanInputs {
                target: existing,
                schema: &schema,
                overrides,
                decisions: &decisions,
                path: &path,
                stop,
            };
            work.assemble(&outlines, &surveys)?
        }
        None => by_rules(ctx, &connection, &schema, overrides, &decisions, outlines, surveys)?,
    };
    let mut extensions =
        overrides.existing_schema.as_ref().map(|existing| existing.extensions.clone()).unwrap_or_default();
    for needed in all.tables.iter().flat_map(|table| &table.columns).filter_map(|column| column.pg_type.extension()) {
        if !extensions.iter().any(|name| name == needed) {
            extensions.push(needed.to_owned());
        }
    }
    Ok(Plan {
        format: PLAN_FORMAT,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        dump_sha256: dump.sha256.clone(),
        overrides_sha256: overrides.sha256(),
        consents: overrides.consents.clone(),
        schema: match &overrides.existing_schema {
            Some(existing) => existing.catalog.schema.clone(),
            None => LOCAL_SCHEMA.to_owned(),
        },
        extensions,
        tables: all.tables,
        views: all.views,
        triggers: all.triggers,
        objects: all.objects,
        findings: all.findings,
        existing_schema: overrides.existing_schema.clone(),
        weakened: all.weakened,
        sequences: all.sequences,
        hooks: overrides.sql.clone(),
    })
}

/// The evidence for one table or column, and what each setting would do to the values of a column.
///
/// # Errors
/// `Usage` if there is no such table or column; `SourceInvalid` if the dump can't be read; `Interrupted`.
pub async fn explain_settings(ctx: &Context, plan: Plan, overrides: &Overrides, place: &str) -> Result<Explanation> {
    // What the commands give is not always all that the plan was made with: the schema and pgvector are in the plan.
    let vector_extension = overrides.vector_extension || plan.extensions.iter().any(|name| name == "vector");
    let existing_schema = plan.existing_schema.clone();
    let overrides = Overrides { existing_schema, vector_extension, ..overrides.clone() };
    let (ctx, place) = (ctx.clone(), place.to_owned());
    in_thread(move || explain::with_settings(&ctx, &plan, &overrides, &place)).await
}

/// Names of the dump's tables, as tables of an existing schema are matched with them.
pub struct SourceTables {
    /// Names of the source.
    sources: Vec<String>,
    /// Names that the configuration gives tables.
    chosen: Vec<String>,
}

impl SourceTables {
    /// The tables that the dump has.
    ///
    /// # Errors
    /// `ArtifactMissing` without a dump, `SourceInvalid`.
    pub fn read(ctx: &Context, overrides: &Overrides) -> Result<Self> {
        ctx.workdir.load_dump()?;
        let connection = open::read_only(&ctx.workdir.source_db())?;
        let sources = catalog::read(&connection)?.tables.into_iter().map(|table| table.name).collect();
        let chosen = overrides.tables.values().filter_map(|table| table.name.clone()).collect();
        Ok(Self { sources, chosen })
    }

    /// Whether a table of the existing schema gets rows of the source.
    #[must_use]
    pub fn feed(&self, existing: &str) -> bool {
        self.chosen.iter().any(|name| name == existing)
            || self.sources.iter().any(|source| identifiers::is_match(source, existing))
    }
}

/// What the source has and the dump hasn't.
fn left_out(object: &LeftOutObject) -> SkippedObject {
    let is_owner = object.kind == "table" || object.kind == "view";
    SkippedObject {
        kind: object.kind.clone(),
        name: object.name.clone(),
        reason: format!("the dump leaves it out: {}", object.reason),
        loses_rows: object.kind == "table" && !object.excluded,
        sql: object.sql.clone(),
        table: if is_owner { object.name.clone() } else { object.table.clone() },
        with_its_table: !is_owner && object.with_its_table,
    }
}

/// Tables, objects and findings by docs/conversion-rules.md.
fn by_rules<'a>(
    ctx: &Context,
    connection: &Connection,
    schema: &'a SourceSchema,
    overrides: &Overrides,
    decisions: &'a ResolvedOverrides,
    outlines: Vec<TableOutline<'a>>,
    surveys: Vec<TableSurvey>,
) -> Result<Assembled> {
    let mut drafts: Vec<TableDraft<'_>> = outlines
        .into_iter()
        .zip(surveys)
        .map(|(outline, survey)| TableDraft::new(outline, survey, overrides.vector_extension))
        .collect();
    ctx.stop.check()?;
    let lost = fk_unification::reach(connection, schema, &mut drafts)?;
    rescan::look(&ctx.workdir.source_db(), &mut drafts, &|| ctx.stop.check())?;
    ctx.stop.check()?;
    let facts = constraint_stats::read(connection, &assemble::counted_schema(schema, decisions))?;
    assemble::assemble(schema, &facts, overrides, drafts, lost)
}

fn report_progress(ctx: &Context, dump: &DumpCheckpoint, progress: SurveyProgress<'_>) -> Result<()> {
    ctx.stop.check()?;
    let stage = Stage::Plan;
    ctx.out.emit(&match progress {
        SurveyProgress::Started { table } => {
            Event::TableStarted { stage, table: table.to_owned(), rows_total: dump.rows.get(table).copied() }
        }
        // Nothing is written: rows are done when they are read.
        SurveyProgress::Read { table, rows, bytes } => Event::Committed { stage, table: table.to_owned(), rows, bytes },
        SurveyProgress::Finished { table, rows, elapsed_ms } => {
            Event::TableFinished { stage, table: table.to_owned(), rows, elapsed_ms }
        }
    });
    Ok(())
}

fn summary(plan: &Plan) -> String {
    let rows: u64 = plan.tables.iter().map(|table| table.rows).sum();
    let number = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
    let decisions = match plan.blocking().count() {
        0 => "nothing to decide".to_owned(),
        blocking => human_format::findings_to_decide(number(blocking)),
    };
    let profiled = human_format::tables_and_rows(number(plan.tables.len()), rows);
    let findings = human_format::counted(number(plan.findings.len()), "finding", "findings");
    format!("{profiled} profiled, {findings}, {decisions}")
}
