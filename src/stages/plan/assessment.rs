//! Writes `plan/assessment.md`, the plan as a document for people. The same plan gives the same bytes.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::model::{
    Finding, Plan, Severity,
    conversion_plan::{OFFTYPE_TABLE, Outcome},
    human_format::{counted, findings_to_decide},
    plan_summary::{self, Section},
};

/// Writes the whole document.
pub(super) fn render(plan: &Plan) -> String {
    let mut text = String::from("# Assessment\n\n");
    verdict(&mut text, plan);
    objects(&mut text, plan);
    findings(&mut text, plan);
    tables(&mut text, plan);
    changed_columns(&mut text, plan);
    notices(&mut text, plan);
    original_sql(&mut text, plan);
    text
}

macro_rules! put {
    ($text:expr, $($words:tt)*) => {
        // Writing to a String cannot fail.
        writeln!($text, $($words)*).ok()
    };
}

fn verdict(text: &mut String, plan: &Plan) {
    let rows: u64 = plan.tables.iter().map(|table| table.rows).sum();
    let columns: usize = plan.tables.iter().map(|table| table.columns.len()).sum();
    let tables = counted(plan.tables.len() as u64, "table", "tables");
    let (columns, rows) = (counted(columns as u64, "column", "columns"), counted(rows, "row", "rows"));
    put!(text, "{tables}, {columns}, {rows}. Made by turso2neon {}.\n", plan.tool);
    let of = |severity: Severity| plan.blocking().filter(|finding| finding.severity == severity).count() as u64;
    let is_refused = |number: u64| counted(number, "finding is refused", "findings are refused");
    match (of(Severity::Refused), of(Severity::NeedsDecision)) {
        (0, 0) => put!(text, "**Ready to load.**\n"),
        (0, open) => put!(text, "**Not ready to load: {}.**\n", findings_to_decide(open)),
        (refused, 0) => put!(text, "**Not ready to load: {}.**\n", is_refused(refused)),
        (refused, open) => {
            put!(text, "**Not ready to load: {}, {}.**\n", is_refused(refused), findings_to_decide(open))
        }
    };
    if plan.has_offtype_cells() {
        put!(text, "The table `{OFFTYPE_TABLE}` keeps the storage class and the raw bytes of cells whose class their");
        put!(text, "PostgreSQL value doesn't show.\n");
    }
    if !plan.extensions.is_empty() {
        put!(text, "Extensions needed: {}.\n", plan.extensions.join(", "));
    }
}

fn objects(text: &mut String, plan: &Plan) {
    let mut kinds: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for object in &plan.objects {
        let [carried, translated, left] = kinds.entry(&object.kind).or_default();
        match object.outcome {
            Outcome::Carried => *carried += 1,
            Outcome::Translated => *translated += 1,
            Outcome::NotCarried => *left += 1,
        }
    }
    put!(text, "## Objects\n");
    put!(text, "| kind | in all | carried | in another form | not carried |\n|---|---:|---:|---:|---:|");
    for (kind, [carried, translated, left]) in &kinds {
        put!(text, "| {kind} | {} | {carried} | {translated} | {left} |", carried + translated + left);
    }
    put!(text, "");
    let other: Vec<_> = plan.objects.iter().filter(|object| object.outcome != Outcome::Carried).collect();
    for object in &other {
        let outcome = if object.outcome == Outcome::NotCarried { "not carried" } else { "in another form" };
        let of = if object.table == object.source { String::new() } else { format!(" of {}", object.table) };
        put!(text, "- {} {}{of}: {outcome}: {}", object.kind, object.source, object.reason);
    }
    if !other.is_empty() {
        put!(text, "");
    }
}

fn findings(text: &mut String, plan: &Plan) {
    put!(text, "## Findings\n");
    put!(text, "{}\n", if plan.findings.is_empty() { "None." } else { EXPLAIN });
    for (severity, title) in STOPPING {
        group(text, title, plan.findings.iter().filter(|finding| finding.severity == severity));
    }
    for section in Section::ALL {
        let others = plan.findings.iter().filter(|finding| STOPPING.iter().all(|(of, _)| finding.severity != *of));
        group(text, section.heading(), others.filter(|finding| finding.code.section() == section));
    }
}

/// Where each code is described.
const EXPLAIN: &str = "`turso2neon explain CODE` describes a code without a network, as docs/findings.md does.";

/// Severities that keep a plan from being loaded.
const STOPPING: [(Severity, &str); 2] =
    [(Severity::Refused, "PostgreSQL can't hold this as planned"), (Severity::NeedsDecision, "Needs a decision")];

fn group<'a>(text: &mut String, title: &str, findings: impl Iterator<Item = &'a Finding>) {
    let findings: Vec<&Finding> = findings.collect();
    if findings.is_empty() {
        return;
    }
    put!(text, "### {title} ({})\n", findings.len());
    for finding in findings {
        one_finding(text, finding);
    }
    put!(text, "");
}

fn one_finding(text: &mut String, finding: &Finding) {
    let place = match finding.place() {
        place if place.is_empty() => String::new(),
        place => format!(" at {place}"),
    };
    let accepted = if finding.accepted { " (accepted)" } else { "" };
    put!(text, "- `{}`{place}{accepted}: {}", finding.code.word(), finding.message);
    for choice in &finding.choices {
        put!(text, "  - choice: `{choice}`");
    }
}

fn tables(text: &mut String, plan: &Plan) {
    put!(text, "## Tables\n\n| table | PostgreSQL name | rows | bytes | columns |\n|---|---|---:|---:|---:|");
    for table in &plan.tables {
        let (source, name) = (cell(&table.source), cell(&table.name));
        put!(text, "| {source} | {name} | {} | {} | {} |", table.rows, table.bytes, table.columns.len());
    }
    put!(text, "");
}

/// A name in a Markdown table.
fn cell(name: &str) -> String {
    name.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// One line for each column whose values are not simply the same value in the declared type.
fn changed_columns(text: &mut String, plan: &Plan) {
    put!(text, "## Columns that are not the same value in the same type\n");
    let decisions = plan_summary::decisions(plan);
    for decision in &decisions {
        put!(text, "- {}", decision.line());
    }
    put!(text, "{}", if decisions.is_empty() { "None.\n" } else { "" });
}

fn notices(text: &mut String, plan: &Plan) {
    let notices = plan_summary::notices(plan);
    if !notices.is_empty() {
        put!(text, "## What applications will notice\n");
        for notice in notices {
            put!(text, "- {notice}");
        }
        put!(text, "");
    }
}

fn original_sql(text: &mut String, plan: &Plan) {
    let with_sql: Vec<(&Finding, &str)> =
        plan.findings.iter().filter_map(|finding| Some((finding, finding.sql.as_deref()?))).collect();
    if with_sql.is_empty() {
        return;
    }
    put!(text, "## Original SQL of what is not carried as it is\n");
    for (finding, sql) in with_sql {
        put!(text, "`{}` at {}:\n", finding.code.word(), finding.place());
        // A fence longer than any in the SQL keeps it whole.
        let longest = sql.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        put!(text, "{fence}sql\n{sql}\n{fence}\n");
    }
}
