//! Makes the migration report from the artifacts alone, for people (Markdown, HTML) and programs (JSON).
//!
//! `report.json` is a public contract: fields are only ever added. Nothing in it is a row value or a secret; SQL of
//! objects that are not carried is in it, to be finished by hand.

pub mod run_record;

pub mod verify_record;

mod push_summary;

mod markdown;

mod parts;

mod html;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::push_summary::push_lines;
use self::{
    run_record::{RunOutcome, RunRecord},
    verify_record::VerifyRecord,
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        DumpCheckpoint, Finding, LoadCheckpoint, Plan, PushCheckpoint, TablePlan,
        checkpoint::{LoadState, PushAccount},
        conversion_plan::ObjectPlan,
        dump_method::DumpMethod,
        human_format, plan_summary,
    },
    stages::verify::{Against, VerifyLevel},
    workdir::{Workdir, atomic, now_s, sha256_of},
};

/// The version of `report.json` that is written.
pub const REPORT_FORMAT: u32 = 1;

words! {
    /// The report's one-word answer.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Verdict: word {
        /// Everything that was moved was verified equal, and all stages are done.
        Equal = "equal",
        /// Verification found differences.
        Different = "different",
        /// Something isn't done or isn't verified yet.
        Incomplete = "incomplete",
        /// The last run failed; the stages are those of an earlier run.
        Failed = "failed",
    }
}

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// Version of the tool.
    pub tool: String,
    /// Seconds since 1970.
    pub made_s: u64,
    /// The answer.
    pub verdict: Verdict,
    /// Why, as a sentence.
    pub because: String,
    /// The last run, if nothing was pushed or verified after it.
    pub run: Option<RunRecord>,
    /// The dump.
    pub source: SourcePart,
    /// Per table, in the source's order.
    pub tables: Vec<TablePart>,
    /// Columns that are not the same value in the same type.
    pub decisions: Vec<DecisionPart>,
    /// Objects that are translated or not carried.
    pub objects: Vec<ObjectPlan>,
    /// Objects that are simply carried, per kind.
    pub carried: BTreeMap<String, u64>,
    /// What the plan noticed, with SQL to finish by hand.
    pub findings: Vec<Finding>,
    /// What applications will notice besides the findings.
    pub notices: Vec<String>,
    /// The local PostgreSQL, as words.
    pub local: Option<String>,
    /// The target.
    pub target: Option<TargetPart>,
    /// The last verification of this dump and plan.
    pub verification: Option<VerifyRecord>,
    /// Time per stage and phase.
    pub timings: Vec<TimingPart>,
}

/// Where the rows came from.
#[derive(Debug, Clone, Serialize)]
pub struct SourcePart {
    /// Without secrets.
    pub source: String,
    /// How it was read.
    pub method: DumpMethod,
    /// What proves that the copy is one snapshot and complete.
    pub proof: Vec<String>,
    /// Seconds since 1970.
    pub finished_s: u64,
    /// Size of the dump.
    pub size_bytes: u64,
    /// SHA-256 of the dump.
    pub sha256: String,
    /// Tables in it.
    pub tables: u64,
    /// Rows in it.
    pub rows: u64,
    /// Tables in it that are not loaded: they hold the content of virtual tables or bookkeeping, or are excluded.
    pub not_loaded: Vec<String>,
}

/// One table on its way.
#[derive(Debug, Clone, Serialize)]
pub struct TablePart {
    /// SQLite's name.
    pub source: String,
    /// PostgreSQL's name; none for a table that is not in the plan.
    pub name: Option<String>,
    /// Rows in the dump.
    pub rows: u64,
    /// Estimated bytes of all values.
    pub bytes: Option<u64>,
    /// Rows in the local PostgreSQL.
    pub local_rows: Option<u64>,
    /// Digest of the rows that PostgreSQL gave back, equal to that of the rows sent.
    pub local_digest: Option<String>,
    /// Rows on the target.
    pub target_rows: Option<u64>,
    /// Server-side digest on the target, equal to the local one; none if it isn't known.
    pub target_digest: Option<String>,
    /// Rows that the push sent.
    pub sent_rows: Option<u64>,
    /// Bytes of these rows.
    pub sent_bytes: Option<u64>,
    /// Bytes that the table takes on the target, with indexes and large values.
    pub target_bytes: Option<u64>,
    /// The verification's word on the local hop.
    pub local_equal: Option<bool>,
    /// The verification's word on the target.
    pub target_equal: Option<bool>,
}

/// One column whose values change their type or form.
#[derive(Debug, Clone, Serialize)]
pub struct DecisionPart {
    /// SQLite's table.
    pub table: String,
    /// SQLite's column.
    pub column: String,
    /// The declared type.
    pub declared: String,
    /// PostgreSQL's type.
    #[serde(rename = "type")]
    pub pg_type: String,
    /// The rule, as a sentence.
    pub rule: String,
    /// The rule, then what was found about the values.
    pub reason: String,
    /// How many values of which storage class.
    pub counts: String,
    /// Lines for the configuration that decide otherwise.
    pub options: Vec<String>,
    /// All of it as one line.
    pub line: String,
    /// Whether the configuration decided.
    pub configured: bool,
    /// Whether storage classes are kept in the off-type table.
    #[serde(rename = "ledger")]
    pub records_off_type: bool,
}

/// Where the rows went.
#[derive(Debug, Clone, Serialize)]
pub struct TargetPart {
    /// `host:port/database`.
    pub target: String,
    /// The schema.
    pub schema: String,
    /// How.
    pub mode: String,
    /// Whether it holds what the local tables hold.
    pub current: bool,
    /// Seconds since 1970; 0 while loading.
    pub finished_s: u64,
    /// Bytes of row data sent.
    pub sent_bytes: u64,
    /// Bytes of hashes received to find what differs.
    pub compared_bytes: u64,
    /// The Neon branch that keeps the state before the push, if one was made.
    pub restore_point: Option<String>,
    /// Where replaced tables are kept, if any were.
    pub previous_schema: Option<String>,
    /// Why it went so, rows sent, sizes.
    pub account: PushAccount,
    /// How to take the push back.
    pub way_back: String,
    /// The account as lines: what, and its value.
    #[serde(skip)]
    lines: Vec<(&'static str, String)>,
}

/// Time spent.
#[derive(Debug, Clone, Serialize)]
pub struct TimingPart {
    /// The stage.
    pub stage: &'static str,
    /// Its part; empty for the whole stage.
    pub phase: String,
    /// Time in milliseconds.
    pub elapsed_ms: u64,
}

impl Report {
    /// Puts the report together.
    ///
    /// # Errors
    /// `ArtifactMissing` without a dump; `ArtifactDamaged` and `ArtifactNewer` of any artifact that is there.
    pub fn build(workdir: &Workdir) -> Result<Self> {
        let dump = workdir.load_dump()?;
        let plan = there(workdir.load_plan())?.filter(|plan| plan.dump_sha256 == dump.sha256);
        let plan_sha256 = if plan.is_some() { sha256_of(&workdir.plan_json())? } else { String::new() };
        let convert = there(workdir.load_convert())?
            .filter(|load| load.dump_sha256 == dump.sha256 && load.plan_sha256 == plan_sha256);
        let push = there(workdir.load_push())?.filter(|push| push.plan_sha256 == plan_sha256);
        let plan = match (plan, &convert) {
            (Some(plan), Some(load)) => Some(workdir.load_executed_plan(plan, &plan_sha256, &load.dropped)?),
            (plan, _) => plan,
        };
        let verification = there(VerifyRecord::load(workdir))?
            .filter(|record| record.dump_sha256 == dump.sha256 && record.plan_sha256 == plan_sha256);
        let target = push.as_ref().map(|push| target_part(push, convert.as_ref()));
        let (verdict, because) = judge(workdir, plan.as_ref(), convert.as_ref(), push.as_ref(), verification.as_ref());
        let later_s =
            push.as_ref().map(|push| push.finished_s).max(verification.as_ref().map(|record| record.finished_s));
        let run = RunRecord::load(workdir).ok().filter(|run| later_s.is_none_or(|later_s| later_s <= run.finished_s));
        let (verdict, because) = match &run {
            Some(RunRecord { outcome: RunOutcome::Failed { .. }, .. }) => (
                Verdict::Failed,
                format!("the last run failed; the stages below are those that are complete: {because}"),
            ),
            _ => (verdict, because),
        };
        Ok(Self {
            format: REPORT_FORMAT,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            made_s: now_s(),
            verdict,
            because,
            run,
            tables: table_parts(&dump, plan.as_ref(), convert.as_ref(), push.as_ref(), verification.as_ref()),
            decisions: plan.as_ref().map(parts::decision_parts).unwrap_or_default(),
            objects: plan.as_ref().map(parts::changed_objects).unwrap_or_default(),
            carried: plan.as_ref().map(parts::carried_objects).unwrap_or_default(),
            findings: plan.as_ref().map(|plan| plan.findings.clone()).unwrap_or_default(),
            notices: plan.as_ref().map(plan_summary::notices).unwrap_or_default(),
            local: convert.as_ref().map(|load| parts::local_words(&load.local)),
            timings: parts::timing_parts(&dump, convert.as_ref(), push.as_ref(), verification.as_ref()),
            source: source_part(&dump, plan.as_ref()),
            target,
            verification,
        })
    }

    /// `report.json`.
    ///
    /// # Errors
    /// `Bug` if it can't be written as JSON.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|_| Error::new(Kind::Bug, "the report can't be written as JSON"))
    }

    /// `report.md`.
    #[must_use]
    pub fn markdown(&self) -> String {
        markdown::render(self)
    }

    /// `report.html`: one file without scripts and without anything from elsewhere.
    #[must_use]
    pub fn html(&self) -> String {
        html::render(self)
    }

    /// Writes all three into the working directory.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub fn store(&self, workdir: &Workdir) -> Result<()> {
        atomic::write(&workdir.report("json"), self.json()?.as_bytes())?;
        atomic::write(&workdir.report("md"), self.markdown().as_bytes())?;
        atomic::write(&workdir.report("html"), self.html().as_bytes())
    }
}

/// An artifact that may not be there yet.
fn there<T>(loaded: Result<T>) -> Result<Option<T>> {
    match loaded {
        Ok(artifact) => Ok(Some(artifact)),
        Err(error) if error.kind() == Kind::ArtifactMissing => Ok(None),
        Err(error) => Err(error),
    }
}

fn judge(
    workdir: &Workdir,
    plan: Option<&Plan>,
    convert: Option<&LoadCheckpoint>,
    push: Option<&PushCheckpoint>,
    verification: Option<&VerifyRecord>,
) -> (Verdict, String) {
    let incomplete = |why: &str| (Verdict::Incomplete, why.to_owned());
    let Some(plan) = plan else { return incomplete("the dump has no current plan yet") };
    let blocking = plan.blocking().count();
    if blocking > 0 {
        return (Verdict::Incomplete, human_format::findings_to_decide(blocking as u64));
    }
    let Some(load) = convert.filter(|load| load.state == LoadState::Done) else {
        return incomplete("the local PostgreSQL doesn't hold this plan yet");
    };
    let Some(record) = verification.filter(|record| record.is_of_load(workdir)) else {
        return incomplete("what was loaded is not verified yet");
    };
    if !record.equal() {
        let differences = human_format::counted(record.verified.difference_count, "difference", "differences");
        return (Verdict::Different, format!("verification found {differences}"));
    }
    if !record.requested_tables.is_empty() {
        return incomplete("only some tables were verified");
    }
    if record.verified.level == VerifyLevel::Counts {
        return incomplete("only row counts were compared");
    }
    match push {
        None => incomplete("nothing was pushed yet; the local PostgreSQL is verified equal"),
        Some(push) if !is_current(push, load) => incomplete("the target doesn't hold this conversion yet"),
        Some(_) if !record.is_of_push(workdir) => incomplete("the target is not verified yet"),
        Some(push) if !record.is_at(push) => incomplete("what was verified is not the database and schema pushed to"),
        Some(_) if record.against == Against::Target => incomplete("only the target was compared"),
        Some(_) => (
            Verdict::Equal,
            format!(
                "source, local PostgreSQL and target were compared at level {} and are equal",
                record.verified.level
            ),
        ),
    }
}

fn source_part(dump: &DumpCheckpoint, plan: Option<&Plan>) -> SourcePart {
    let is_planned = |name: &&String| plan.is_none_or(|plan| plan.table(name).is_some());
    SourcePart {
        source: dump.source.clone(),
        method: dump.method,
        proof: dump.proof.clone(),
        finished_s: dump.finished_s,
        size_bytes: dump.size_bytes,
        sha256: dump.sha256.clone(),
        tables: u64::try_from(dump.rows.len()).unwrap_or(u64::MAX),
        rows: dump.rows.values().sum(),
        not_loaded: dump.rows.keys().filter(|name| !is_planned(name)).cloned().collect(),
    }
}

fn target_part(push: &PushCheckpoint, convert: Option<&LoadCheckpoint>) -> TargetPart {
    TargetPart {
        target: push.target.clone(),
        schema: push.schema.clone(),
        mode: push.mode.to_string(),
        current: convert.is_some_and(|load| is_current(push, load)),
        finished_s: push.finished_s,
        sent_bytes: push.sent_bytes,
        compared_bytes: push.compared_bytes,
        restore_point: push.restore_point.clone(),
        previous_schema: push.previous_schema.clone(),
        account: push.account.clone(),
        way_back: push.way_back(),
        lines: push_lines(push),
    }
}

fn is_current(push: &PushCheckpoint, load: &LoadCheckpoint) -> bool {
    push.state == LoadState::Done && same_content(load, push)
}

/// Whether the target got exactly what the local tables hold.
#[must_use]
pub fn same_content(load: &LoadCheckpoint, push: &PushCheckpoint) -> bool {
    load.tables.len() == push.tables.len()
        && load.tables.iter().all(|(name, table)| {
            let pushed = push.tables.get(name).and_then(|pushed| pushed.server_digest);
            pushed.is_some() && pushed == table.server_digest
        })
}

fn table_parts(
    dump: &DumpCheckpoint,
    plan: Option<&Plan>,
    convert: Option<&LoadCheckpoint>,
    push: Option<&PushCheckpoint>,
    verification: Option<&VerifyRecord>,
) -> Vec<TablePart> {
    let planned: Vec<&TablePlan> = plan.map(|plan| plan.tables.iter().collect()).unwrap_or_default();
    let names = planned.iter().map(|table| &table.source);
    let others = dump.rows.keys().filter(|name| planned.iter().all(|table| table.source != **name));
    let all: Vec<&String> = names.chain(others).collect();
    let part = |source: &String| {
        let table = planned.iter().find(|table| table.source == *source);
        let local = convert.and_then(|load| load.tables.get(source));
        let target = push.and_then(|push| push.tables.get(source));
        let verdict = |side: &str| {
            let of_this = |record: &&VerifyRecord| side == "local" || push.is_some_and(|push| record.is_at(push));
            let mut tables = verification.filter(of_this)?.verified.tables.iter();
            tables.find(|table| table.side == side && table.table == *source).map(|table| table.equal)
        };
        TablePart {
            source: source.clone(),
            name: table.map(|table| table.name.clone()).or_else(|| plan.is_none().then(|| source.clone())),
            rows: table.map_or_else(|| dump.rows.get(source).copied().unwrap_or(0), |table| table.rows),
            bytes: table.map(|table| table.bytes),
            local_rows: local.map(|record| record.rows),
            local_digest: local.map(|record| record.read_digest.clone()),
            target_rows: target.map(|pushed| pushed.rows),
            target_digest: target.and_then(|pushed| pushed.server_digest).map(|digest| digest.to_string()),
            sent_rows: target.map(|pushed| pushed.sent_rows),
            sent_bytes: target.map(|pushed| pushed.sent_bytes),
            target_bytes: target.and_then(|pushed| pushed.target_bytes),
            local_equal: verdict("local"),
            target_equal: verdict("target"),
        }
    };
    all.into_iter().map(part).collect()
}
