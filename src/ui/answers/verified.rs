//! Formats the answers of `verify` and `run`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde_json::json;

use super::{json as value_of, moved::not_carried};
use crate::{
    error::{Error, Kind},
    model::{
        Finding, Severity, Stage,
        human_format::{bytes, count, counted, duration},
        push_plan::PushPlan,
        timestamp::rfc3339_s,
    },
    pipeline::Ran,
    stages::{report::verify_record::VerifyRecord, verify::VerifyLevel},
    ui::{
        Answer,
        std_streams::harmless,
        table::{Align, TextTable},
    },
};

/// Differences that are shown as text; the rest is in `verify.json`.
const SHOWN_MAX: usize = 50;

/// `verify`.
#[must_use]
pub fn verified(record: &VerifyRecord) -> Answer {
    let answer = Answer::new("verify", text(record), json!({ "equal": record.equal(), "record": value_of(record) }));
    match refusal(record) {
        Some(reason) => answer.refused(reason),
        None => answer,
    }
}

/// The verdict of a verification that found differences.
fn refusal(record: &VerifyRecord) -> Option<Error> {
    let number = record.verified.difference_count;
    let unequal = record.verified.tables.iter().filter(|table| !table.equal).map(|table| &table.table);
    let unequal: BTreeSet<&String> = unequal.collect();
    (!record.equal()).then(|| {
        let differences = counted(number, "difference", "differences");
        let tables = counted(u64::try_from(unequal.len()).unwrap_or(u64::MAX), "table", "tables");
        let error = Error::new(Kind::Different, format!("{differences} in {tables}")).in_stage(Stage::Verify);
        match record.verified.level {
            VerifyLevel::Full => error.with_hint(
                "the table above names places; `turso2neon push --fresh` (or `convert --fresh`) loads again",
            ),
            _ => error,
        }
    })
}

fn text(record: &VerifyRecord) -> String {
    let verdict = if record.equal() { "Equal" } else { "Different" };
    let mut text = format!("{verdict} at level {}\n", record.verified.level);
    let mut rows: BTreeMap<&str, (u64, &str, &str)> = BTreeMap::new();
    for table in &record.verified.tables {
        let word = if table.equal { "equal" } else { "different" };
        let entry = rows.entry(&table.table).or_insert((table.rows, "", ""));
        if table.side == "local" { entry.1 = word } else { entry.2 = word }
    }
    let mut table = TextTable::new([
        ("TABLE", Align::Left),
        ("ROWS", Align::Right),
        ("LOCAL", Align::Left),
        ("TARGET", Align::Left),
    ]);
    for (name, (number, local, target)) in rows {
        table.row([name.to_owned(), count(number), local.to_owned(), target.to_owned()]);
    }
    if !table.is_empty() {
        text.push_str(&format!("\n{}", table.render()));
    }
    text + &differences(record)
}

fn differences(record: &VerifyRecord) -> String {
    if record.verified.differences.is_empty() {
        return String::new();
    }
    let mut table = TextTable::new([
        ("SIDE", Align::Left),
        ("TABLE", Align::Left),
        ("COLUMN", Align::Left),
        ("KEY", Align::Left),
        ("WHAT", Align::Left),
    ]);
    for difference in record.verified.differences.iter().take(SHOWN_MAX) {
        table.row([
            difference.side.clone(),
            difference.table.clone(),
            difference.column.clone().unwrap_or_default(),
            difference.key.clone().unwrap_or_default(),
            difference.what.clone(),
        ]);
    }
    let shown = record.verified.differences.len().min(SHOWN_MAX);
    let more = record.verified.difference_count.saturating_sub(u64::try_from(shown).unwrap_or(u64::MAX));
    let rest = if more > 0 { format!("and {} more\n", count(more)) } else { String::new() };
    format!("\n{}{rest}", table.render())
}

/// `run`: one line per stage, the verdict, and where the report is.
#[must_use]
pub fn ran(ran: &Ran, report: &Path) -> Answer {
    let mut table = TextTable::new([("STAGE", Align::Left), ("TIME", Align::Right), ("RESULT", Align::Left)]);
    for (stage, result) in results(ran) {
        let time = ran.stages_ms.get(&stage).map(|ms| duration(*ms)).unwrap_or_default();
        table.row([stage.to_string(), time, result]);
    }
    let plan = &ran.planned.plan;
    let findings = tally(&plan.findings);
    let shown = if ran.verified.equal() { String::new() } else { differences(&ran.verified) };
    let not_carried = not_carried(&ran.pushed.not_carried);
    let report = report.display().to_string();
    let account = ran.pushed.checkpoint.as_ref().map(|push| &push.account);
    let settings = account.iter().flat_map(|account| &account.frameworks);
    let frameworks = settings.map(|setting| harmless(setting).to_string() + "\n").collect::<Vec<_>>().concat();
    let text = format!(
        "{}\nplan: {findings}\nreport: {}\n{frameworks}{not_carried}{shown}",
        table.render(),
        harmless(&report)
    );
    let json = json!({
        "dump": { "unchanged": ran.dumped.unchanged, "checkpoint": value_of(&ran.dumped.checkpoint) },
        "plan": { "unchanged": ran.planned.unchanged, "findings": value_of(&plan.findings) },
        "convert": { "unchanged": ran.converted.unchanged, "checkpoint": value_of(&ran.converted.checkpoint) },
        "push": { "unchanged": ran.pushed.unchanged, "checkpoint": value_of(&ran.pushed.checkpoint) },
        "verify": { "equal": ran.verified.equal(), "unchanged": ran.verified_before, "record": value_of(&ran.verified) },
        "not-carried": value_of(&ran.pushed.not_carried),
        "stages_ms": value_of(&ran.stages_ms),
    });
    let answer = Answer::new("run", text, json);
    match refusal(&ran.verified) {
        Some(reason) => answer.refused(reason),
        None => answer,
    }
}

fn results(ran: &Ran) -> [(Stage, String); 5] {
    let dump = &ran.dumped.checkpoint;
    let load = &ran.converted.checkpoint;
    let rows = |tables: usize, rows: u64| {
        let tables = u64::try_from(tables).unwrap_or(u64::MAX);
        format!("{}, {}", counted(tables, "table", "tables"), counted(rows, "row", "rows"))
    };
    let mark = |unchanged: bool| if unchanged { "unchanged: " } else { "" };
    let pushed = ran.pushed.checkpoint.as_ref().map(|push| {
        let moved = rows(push.tables.len(), push.tables.values().map(|table| table.rows).sum());
        let effect = ran.pushed.plan.as_ref().filter(|_| !ran.pushed.unchanged).map(PushPlan::effect);
        let what = effect.unwrap_or(moved);
        format!("{}{what} at {}, schema {}", mark(ran.pushed.unchanged), push.target, push.schema)
    });
    let verdict = if ran.verified.equal() { "equal" } else { "different" };
    let time = rfc3339_s(ran.verified.finished_s);
    let when =
        if ran.verified_before { format!(", compared {time}; nothing has changed since") } else { String::new() };
    [
        (
            Stage::Dump,
            format!(
                "{}{}, {} from {}",
                mark(ran.dumped.unchanged),
                rows(dump.rows.len(), dump.rows.values().sum()),
                bytes(dump.size_bytes),
                dump.source
            ),
        ),
        (Stage::Plan, format!("{}{} columns decided", mark(ran.planned.unchanged), columns(ran))),
        (
            Stage::Convert,
            format!(
                "{}{}",
                mark(ran.converted.unchanged),
                rows(load.tables.len(), load.tables.values().map(|table| table.rows).sum())
            ) + &not_loaded(ran),
        ),
        (Stage::Push, pushed.unwrap_or_default()),
        (Stage::Verify, format!("{verdict}, every hop, level {}{when}", ran.verified.verified.level)),
    ]
}

/// Why fewer tables are loaded than were dumped.
fn not_loaded(ran: &Ran) -> String {
    let missing = ran.dumped.checkpoint.rows.len().saturating_sub(ran.converted.checkpoint.tables.len());
    match missing {
        0 => String::new(),
        _ => format!(" ({missing} of the dump are internal or excluded; the report names them)"),
    }
}

/// `13 warnings, 12 notes, 1 of them accepted`.
fn tally(findings: &[Finding]) -> String {
    let number = |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let accepted = findings.iter().filter(|finding| finding.accepted).count();
    let words = [
        (number(Severity::Refused) + number(Severity::NeedsDecision), "decision", "decisions"),
        (number(Severity::Warning), "warning", "warnings"),
        (number(Severity::Info), "note", "notes"),
    ];
    let parts = words.into_iter().filter(|(number, ..)| *number > 0);
    let mut parts: Vec<String> =
        parts.map(|(number, one, many)| counted(u64::try_from(number).unwrap_or(u64::MAX), one, many)).collect();
    if parts.is_empty() {
        return "nothing to report".to_owned();
    }
    if accepted > 0 {
        parts.push(format!("{accepted} of them accepted"));
    }
    parts.join(", ")
}

fn columns(ran: &Ran) -> String {
    let number: usize = ran.planned.plan.tables.iter().map(|table| table.columns.len()).sum();
    count(u64::try_from(number).unwrap_or(u64::MAX))
}
