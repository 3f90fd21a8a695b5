//! Formats the answers of `plan`.

use serde_json::{Value, json};

use super::json as value_of;
use crate::{
    error::Error,
    model::{
        Finding, Plan, Severity,
        human_format::{bytes, count, counted},
        plan_summary::same_value_same_type,
    },
    stages::plan::{Explanation, Planned},
    ui::{
        Answer,
        std_streams::harmless,
        table::{Align, TextTable},
    },
};

/// Severities, worst first, and what stands above their findings.
const HEADINGS: [(Severity, &str); 4] = [
    (Severity::Refused, "PostgreSQL can't hold it"),
    (Severity::NeedsDecision, "Needs a decision"),
    (Severity::Warning, "Warnings"),
    (Severity::Info, "Notes"),
];

/// `plan`, with the verdict if the plan blocks.
#[must_use]
pub fn planned(planned: &Planned, verdict: Option<Error>) -> Answer {
    let plan = &planned.plan;
    let json = json!({
        "unchanged": planned.unchanged,
        "sha256": planned.sha256,
        "tables": plan.tables.len(),
        "rows": plan.tables.iter().map(|table| table.rows).sum::<u64>(),
        "blocking": plan.blocking().count(),
        "findings": value_of(&plan.findings),
    });
    let answer = Answer::new("plan", plan_text(plan), json);
    match verdict {
        Some(reason) => answer.refused(reason),
        None => answer,
    }
}

/// `plan --format json|md|sql`: the artifact itself.
#[must_use]
pub fn plan_document(text: String, json: Value, verdict: Option<Error>) -> Answer {
    let answer = Answer::new("plan", text, json).raw();
    match verdict {
        Some(reason) => answer.refused(reason),
        None => answer,
    }
}

/// `plan --explain`.
#[must_use]
pub fn explained(place: &str, explained: &Explanation) -> Answer {
    let json = json!({ "place": place, "text": explained.text, "settings": value_of(&explained.settings) });
    Answer::new("plan", explained.text.clone(), json)
}

/// Tables and findings.
#[must_use]
pub fn plan_text(plan: &Plan) -> String {
    let rows = plan.tables.iter().map(|table| table.rows).sum();
    let mut text = format!(
        "{}, {}; {}\n",
        counted(u64::try_from(plan.tables.len()).unwrap_or(u64::MAX), "table", "tables"),
        counted(rows, "row", "rows"),
        tally(plan)
    );
    let tables = tables(plan);
    if !tables.is_empty() {
        text.push_str(&format!("\n{}", tables.render()));
    }
    for (severity, heading) in HEADINGS {
        let findings: Vec<&Finding> = plan.findings.iter().filter(|finding| finding.severity == severity).collect();
        if !findings.is_empty() {
            text.push_str(&format!("\n{heading} ({})\n", findings.len()));
            for finding in findings {
                text.push_str(&one(finding));
            }
        }
    }
    if plan.blocking().next().is_some() {
        text.push_str("\n`turso2neon explain CODE` describes the code of a finding\n");
    }
    text
}

fn tally(plan: &Plan) -> String {
    if plan.findings.is_empty() {
        return "no findings".to_owned();
    }
    let blocking = plan.blocking().count();
    let all = counted(u64::try_from(plan.findings.len()).unwrap_or(u64::MAX), "finding", "findings");
    match blocking {
        0 => format!("{all}, none needs a decision"),
        1 => format!("{all}, 1 needs a decision"),
        more => format!("{all}, {more} need a decision"),
    }
}

fn tables(plan: &Plan) -> TextTable {
    let mut table = TextTable::new([
        ("TABLE", Align::Left),
        ("ROWS", Align::Right),
        ("BYTES", Align::Right),
        ("COLUMNS", Align::Right),
        ("OTHER TYPE", Align::Right),
        ("INDEXES", Align::Right),
        ("FOREIGN KEYS", Align::Right),
    ]);
    for one in &plan.tables {
        let name = if one.name == one.source { one.source.clone() } else { format!("{} as {}", one.source, one.name) };
        table.row([
            name,
            count(one.rows),
            bytes(one.bytes),
            one.columns.len().to_string(),
            one.columns.iter().filter(|column| !same_value_same_type(column)).count().to_string(),
            one.indexes.len().to_string(),
            one.foreign_keys.len().to_string(),
        ]);
    }
    table
}

fn one(finding: &Finding) -> String {
    let place = finding.place();
    let at = if place.is_empty() { String::new() } else { format!(" at {}", harmless(&place)) };
    let accepted = if finding.accepted { " (accepted)" } else { "" };
    let number = finding.count.map(|number| format!(" (count {})", count(number))).unwrap_or_default();
    let mut text = format!("  {}{at}{number}{accepted}: {}\n", finding.code.word(), harmless(&finding.message));
    if finding.blocks() {
        for choice in &finding.choices {
            text.push_str(&format!("    choice: {}\n", harmless(choice)));
        }
    }
    text
}
