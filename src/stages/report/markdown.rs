//! Writes the report as Markdown, for people, pull requests and GitHub's step summary.

use super::{Report, TablePart, run_record::RunRecord};
use crate::model::{
    Finding, Severity,
    human_format::{bytes, count, duration, tables_and_rows},
    plan_summary::Section,
    timestamp::rfc3339_s,
};

/// More tables than this are in `report.json` alone.
const TABLES_MAX: usize = 500;
/// How many tables that are not loaded are named in one line.
const NOT_LOADED_NAMED: usize = 8;

/// The whole document.
pub(super) fn render(report: &Report) -> String {
    let mut text = format!("# Migration report: {}\n\n{}.\n", report.verdict, sentence(&report.because));
    text.push_str(&run(report));
    text.push_str(&facts(report));
    text.push_str(&tables(report));
    text.push_str(&push(report));
    text.push_str(&findings(report));
    text.push_str(&decisions(report));
    text.push_str(&objects(report));
    text.push_str(&notices(report));
    text.push_str(&differences(report));
    text.push_str(&timings(report));
    text.push_str(&format!("\nMade by turso2neon {} at {}.\n", report.tool, rfc3339_s(report.made_s)));
    text
}

/// How the last run ended and what it changed.
fn run(report: &Report) -> String {
    let lines: Vec<_> = report.run.iter().flat_map(RunRecord::lines).collect();
    let line = |(what, value): &(&str, String)| format!("- {what}: {}\n", prose(value));
    if lines.is_empty() { String::new() } else { format!("\n{}", lines.iter().map(line).collect::<String>()) }
}

/// A sentence begins with a capital.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Headings of the severities that stop a load, worst first.
const SEVERITIES: [(Severity, &str); 2] =
    [(Severity::Refused, "PostgreSQL can't hold it"), (Severity::NeedsDecision, "Needs a decision")];

/// The lines of the summary: what, and its value.
pub(super) fn summary(report: &Report) -> Vec<(&'static str, String)> {
    let source = &report.source;
    let mut lines = vec![
        ("Source", format!("{} (method {})", source.source, source.method)),
        ("Dumped", format!("{}, {}", rfc3339_s(source.finished_s), bytes(source.size_bytes))),
        ("Content", content(report)),
        ("SHA-256 of the dump", source.sha256.clone()),
    ];
    if let Some(local) = &report.local {
        lines.push(("Local", local.clone()));
    }
    if let Some(target) = &report.target {
        lines.push(("Target", format!("{}, schema {}", target.target, target.schema)));
        let pushed = if target.finished_s == 0 { "not finished".to_owned() } else { rfc3339_s(target.finished_s) };
        lines.push(("Pushed", format!("{pushed}, mode {}, {} sent", target.mode, bytes(target.sent_bytes))));
    }
    if let Some(record) = &report.verification {
        let result = if record.equal() { "equal" } else { "different" };
        lines
            .push(("Verified", format!("{}, level {}: {result}", rfc3339_s(record.finished_s), record.verified.level)));
    }
    lines
}

/// Tables and rows of the dump, and why fewer of them are loaded.
fn content(report: &Report) -> String {
    let source = &report.source;
    let all = tables_and_rows(source.tables, source.rows);
    if source.not_loaded.is_empty() {
        return all;
    }
    let loaded = u64::try_from(report.tables.iter().filter(|table| table.name.is_some()).count()).unwrap_or(u64::MAX);
    let more = source.not_loaded.len().saturating_sub(NOT_LOADED_NAMED);
    let mut names = source.not_loaded.iter().take(NOT_LOADED_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        names.push_str(&format!(" and {more} more"));
    }
    format!(
        "{all}; {} of them loaded; not loaded, because they hold the content of virtual tables or bookkeeping, or are \
         excluded: {names}",
        count(loaded)
    )
}

/// One word for a verified hop.
pub(super) fn hop(equal: Option<bool>, rows: Option<u64>) -> &'static str {
    match (equal, rows) {
        (Some(true), _) => "equal",
        (Some(false), _) => "different",
        (None, Some(_)) => "loaded",
        (None, None) => "",
    }
}

/// A time that was measured in whole seconds.
pub(super) fn spent(milliseconds: u64) -> String {
    if milliseconds == 0 { "under 1 s".to_owned() } else { duration(milliseconds) }
}

fn facts(report: &Report) -> String {
    let mut text = "\n| | |\n|---|---|\n".to_owned();
    for (what, value) in summary(report) {
        text.push_str(&format!("| {what} | {} |\n", cell(&value)));
    }
    if !report.source.proof.is_empty() {
        text.push_str("\nWhat proves that the dump is one complete snapshot:\n\n");
        for proof in &report.source.proof {
            text.push_str(&format!("- {}\n", cell(proof)));
        }
    }
    text
}

fn tables(report: &Report) -> String {
    let mut text =
        "\n## Tables\n\n| Table | Rows | Bytes | Local | Target | Digest |\n|---|---:|---:|---|---|---|\n".to_owned();
    for table in report.tables.iter().take(TABLES_MAX) {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            cell(&names(table)),
            count(table.rows),
            table.bytes.map(bytes).unwrap_or_default(),
            hop(table.local_equal, table.local_rows),
            hop(table.target_equal, table.target_rows),
            cell(table.target_digest.as_deref().or(table.local_digest.as_deref()).unwrap_or("")),
        ));
    }
    if report.tables.len() > TABLES_MAX {
        text.push_str(&format!("\n{} more tables are in report.json.\n", report.tables.len() - TABLES_MAX));
    }
    text
}

fn push(report: &Report) -> String {
    let Some(target) = &report.target else { return String::new() };
    let mut text = "\n## Push\n\n".to_owned();
    for (what, value) in &target.lines {
        text.push_str(&format!("- {what}: {}\n", prose(value)));
    }
    let rows: Vec<_> = report.tables.iter().filter_map(sent).take(TABLES_MAX).collect();
    if !rows.is_empty() {
        text.push_str("\n| Table | Rows sent | Bytes sent | Bytes on the target |\n|---|---:|---:|---:|\n");
    }
    for [table, rows, sent, there] in rows {
        text.push_str(&format!("| {} | {rows} | {sent} | {there} |\n", cell(&table)));
    }
    text
}

/// What the push sent of a table: its name, rows, bytes, and the bytes on the target.
pub(super) fn sent(table: &TablePart) -> Option<[String; 4]> {
    let there = table.target_bytes.map(bytes).unwrap_or_default();
    Some([names(table), count(table.sent_rows?), bytes(table.sent_bytes?), there])
}

/// The table's name, and its new one where it differs.
pub(super) fn names(table: &TablePart) -> String {
    match &table.name {
        Some(name) if *name != table.source => format!("{} as {name}", table.source),
        Some(_) => table.source.clone(),
        None => format!("{} (left out)", table.source),
    }
}

/// Findings under their headings: what stops a load by severity, the rest by subject.
pub(super) fn groups(report: &Report) -> Vec<(&'static str, Vec<&Finding>)> {
    let stops = |finding: &Finding| SEVERITIES.iter().any(|(severity, _)| finding.severity == *severity);
    let of = |wanted: &dyn Fn(&Finding) -> bool| report.findings.iter().filter(|one| wanted(one)).collect::<Vec<_>>();
    let stopping = SEVERITIES.iter().map(|(severity, heading)| (*heading, of(&|one| one.severity == *severity)));
    let others = Section::ALL
        .iter()
        .map(|section| (section.heading(), of(&|one| !stops(one) && one.code.section() == *section)));
    stopping.chain(others).filter(|(_, findings)| !findings.is_empty()).collect()
}

fn findings(report: &Report) -> String {
    let mut text = String::new();
    for (heading, findings) in groups(report) {
        text.push_str(&format!("\n## {heading} ({})\n\n", findings.len()));
        for finding in findings {
            text.push_str(&one_finding(finding));
        }
    }
    if !text.is_empty() {
        text.push_str("\n`turso2neon explain CODE` describes the code of a finding.\n");
    }
    text
}

fn notices(report: &Report) -> String {
    if report.notices.is_empty() {
        return String::new();
    }
    let lines: Vec<String> = report.notices.iter().map(|notice| format!("- {}", prose(notice))).collect();
    format!("\n## What applications will notice\n\n{}\n", lines.join("\n"))
}

fn one_finding(finding: &Finding) -> String {
    let place = finding.place();
    let at = if place.is_empty() { String::new() } else { format!(" {}", cell(&place)) };
    let accepted = if finding.accepted { " (accepted)" } else { "" };
    let number = finding.count.map(|number| format!(" (count {})", count(number))).unwrap_or_default();
    let mut text = format!("- **{}**{at}{number}{accepted}: {}\n", finding.code.word(), prose(&finding.message));
    for choice in finding.choices.iter().filter(|_| finding.blocks()) {
        text.push_str(&format!("  - choice: `{}`\n", choice.replace('`', "'").replace('\n', " ")));
    }
    if let Some(sql) = &finding.sql {
        text.push_str(&fenced(sql));
    }
    text
}

/// A code block whose fence is longer than any row of backticks in it.
fn fenced(sql: &str) -> String {
    let longest = sql.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    let body = sql.lines().collect::<Vec<_>>().join("\n  ");
    format!("\n  {fence}sql\n  {body}\n  {fence}\n")
}

fn decisions(report: &Report) -> String {
    if report.decisions.is_empty() {
        return String::new();
    }
    let mut text = "\n## Columns with another type or form\n\n".to_owned();
    for decision in &report.decisions {
        let offtype = if decision.records_off_type { "; storage classes are kept in `_sqlite_offtype`" } else { "" };
        text.push_str(&format!("- {}{offtype}\n", prose(&decision.line)));
    }
    text
}

fn objects(report: &Report) -> String {
    let mut text = String::new();
    if !report.carried.is_empty() {
        let kinds = report.carried.iter().map(|(kind, number)| format!("{} {kind}", count(*number)));
        text.push_str(&format!("\n## Objects\n\nCarried: {}.\n", kinds.collect::<Vec<_>>().join(", ")));
    }
    if report.objects.is_empty() {
        return text;
    }
    text.push_str("\n| Object | Table | Outcome | Why |\n|---|---|---|---|\n");
    for object in &report.objects {
        text.push_str(&format!(
            "| {} {} | {} | {} | {} |\n",
            cell(&object.kind),
            cell(&object.source),
            cell(&object.table),
            outcome(object.outcome),
            prose(&object.reason)
        ));
    }
    text
}

/// What becomes of an object, as words.
pub(super) fn outcome(outcome: crate::model::conversion_plan::Outcome) -> &'static str {
    use crate::model::conversion_plan::Outcome;
    match outcome {
        Outcome::Carried => "carried",
        Outcome::Translated => "translated",
        Outcome::NotCarried => "not carried",
    }
}

fn differences(report: &Report) -> String {
    let Some(record) = report.verification.as_ref().filter(|record| !record.equal()) else { return String::new() };
    let mut text = format!(
        "\n## Differences ({})\n\n| Side | Table | Column | Key | What |\n|---|---|---|---|---|\n",
        count(record.verified.difference_count)
    );
    for difference in &record.verified.differences {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} |\n",
            cell(&difference.side),
            cell(&difference.table),
            cell(difference.column.as_deref().unwrap_or("")),
            cell(difference.key.as_deref().unwrap_or("")),
            cell(&difference.what)
        ));
    }
    text
}

fn timings(report: &Report) -> String {
    let mut text = "\n## Time\n\n| Stage | Time |\n|---|---:|\n".to_owned();
    for timing in &report.timings {
        let phase = if timing.phase.is_empty() { String::new() } else { format!(": {}", cell(&timing.phase)) };
        text.push_str(&format!("| {}{phase} | {} |\n", timing.stage, spent(timing.elapsed_ms)));
    }
    text
}

/// Text that can't leave its table cell or become markup. An underscore inside a word stays as it is: it is no markup
/// there (GitHub Flavored Markdown, 6.4), and names are full of them.
fn cell(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(letter) = letters.next() {
        let inside = before.is_alphanumeric() && letters.peek().is_some_and(|next| next.is_alphanumeric());
        match letter {
            '_' if inside => safe.push(letter),
            '|' | '\\' | '`' | '*' | '_' | '~' | '[' | '<' => {
                safe.push('\\');
                safe.push(letter);
            }
            letter if letter.is_control() => safe.push(' '),
            letter => safe.push(letter),
        }
        before = letter;
    }
    safe
}

/// A sentence of this program: as [`cell`], but what stands between backticks is code.
fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return cell(text);
    }
    let quoted = parts.iter().enumerate().map(|(index, part)| match index % 2 {
        0 => cell(part),
        // Backslashes escape nothing in code, but the bar of a table.
        _ => format!("`{}`", part.replace(char::is_control, " ").replace('|', "\\|")),
    });
    quoted.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_cell() {
        assert_eq!(cell("a|b\nc<script>_ x_y"), "a\\|b c\\<script>\\_ x_y");
        assert_eq!(prose("texts `A|B_` <i>"), "texts `A\\|B_` \\<i>");
        assert_eq!(prose("one ` <i>"), "one \\` \\<i>");
    }

    #[test]
    fn a_fence_is_longer_than_what_it_holds() {
        assert_eq!(fenced("a ``` b"), "\n  ````sql\n  a ``` b\n  ````\n");
    }
}
