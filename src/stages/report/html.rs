//! Writes the report as one HTML file: no scripts, nothing from elsewhere, readable in the dark and on paper.

use maud::{Markup, PreEscaped, html};

use super::{
    DecisionPart, ObjectPlan, Report, TablePart, TimingPart,
    markdown::{groups, hop, names, outcome, sent, sentence, spent, summary},
    run_record::RunRecord,
};
use crate::{
    model::{
        Finding,
        human_format::{bytes, count},
        timestamp::rfc3339_s,
    },
    stages::verify::Difference,
};

const STYLE: &str = include_str!("style.css");

/// The whole document.
pub(super) fn render(report: &Report) -> String {
    let verdict = report.verdict.word();
    let document = html! {
        (PreEscaped("<!doctype html>\n"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { "Migration report: " (verdict) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Migration report " span class={ "verdict " (verdict) } { (verdict) } }
                p { (sentence(&report.because)) "." }
                (run(report))
                (facts(report))
                (differences(report))
                (tables(report))
                (push(report))
                (findings(report))
                (decisions(report))
                (objects(report))
                @if !report.notices.is_empty() {
                    h2 { "What applications will notice" }
                    (list(&report.notices))
                }
                (timings(report))
                footer { "Made by turso2neon " (report.tool) " at " (rfc3339_s(report.made_s)) "." }
            }
        }
    };
    printable(&document.into_string()) + "\n"
}

/// The text without control characters, which values may bring.
fn printable(text: &str) -> String {
    let one = |letter: char| if letter.is_control() && !matches!(letter, '\n' | '\t') { '\u{fffd}' } else { letter };
    text.chars().map(one).collect()
}

fn list(lines: &[String]) -> Markup {
    html! {
        ul {
            @for line in lines { li { (line) } }
        }
    }
}

/// How the last run ended and what it changed.
fn run(report: &Report) -> Markup {
    let lines = report.run.iter().flat_map(RunRecord::lines);
    list(&lines.map(|(what, value)| format!("{what}: {value}")).collect::<Vec<_>>())
}

fn grid(headers: &[&str], rows: &[Markup]) -> Markup {
    html! {
        div class="scroll" {
            table {
                @if !headers.is_empty() {
                    tr { @for header in headers { th { (header) } } }
                }
                @for row in rows { tr { (row) } "\n" }
            }
        }
    }
}

fn verdict_cell(word: &str) -> Markup {
    let class = match word {
        "equal" => Some("good"),
        "different" => Some("bad"),
        _ => None,
    };
    html! { td class=[class] { (word) } }
}

fn facts(report: &Report) -> Markup {
    let rows: Vec<Markup> =
        summary(report).iter().map(|(what, value)| html! { th { (what) } td { (value) } }).collect();
    html! {
        (grid(&[], &rows))
        @if !report.source.proof.is_empty() {
            p { "What proves that the dump is one complete snapshot:" }
            (list(&report.source.proof))
        }
    }
}

fn tables(report: &Report) -> Markup {
    let row = |table: &TablePart| {
        html! {
            td { (names(table)) }
            td class="number" { (count(table.rows)) }
            td class="number" { (table.bytes.map(bytes).unwrap_or_default()) }
            (verdict_cell(hop(table.local_equal, table.local_rows)))
            (verdict_cell(hop(table.target_equal, table.target_rows)))
            td class="mono" { (table.target_digest.as_deref().or(table.local_digest.as_deref()).unwrap_or("")) }
        }
    };
    let rows: Vec<Markup> = report.tables.iter().map(row).collect();
    html! { h2 { "Tables" } (grid(&["Table", "Rows", "Bytes", "Local", "Target", "Digest"], &rows)) }
}

fn push(report: &Report) -> Markup {
    let Some(target) = &report.target else { return html! {} };
    let facts: Vec<Markup> = target.lines.iter().map(|(what, value)| html! { th { (what) } td { (value) } }).collect();
    let row = |[table, numbers @ ..]: [String; 4]| {
        html! { td { (table) } @for number in numbers { td class="number" { (number) } } }
    };
    let rows: Vec<Markup> = report.tables.iter().filter_map(sent).map(row).collect();
    html! {
        h2 { "Push" }
        (grid(&[], &facts))
        (grid(&["Table", "Rows sent", "Bytes sent", "Bytes on the target"], &rows))
    }
}

fn findings(report: &Report) -> Markup {
    html! {
        @for (heading, findings) in groups(report) {
            h2 { (heading) " (" (findings.len()) ")" }
            ul { @for finding in findings { (one_finding(finding)) } }
        }
    }
}

fn one_finding(finding: &Finding) -> Markup {
    html! {
        li {
            strong { (finding.code.word()) } " " (finding.place())
            @if let Some(number) = finding.count { " (count " (count(number)) ")" }
            @if finding.accepted { " (accepted)" }
            ": " (finding.message)
            @for choice in finding.choices.iter().filter(|_| finding.blocks()) {
                br; "choice: " code { (choice) }
            }
            @if let Some(sql) = &finding.sql { pre { (sql) } }
        }
    }
}

fn decisions(report: &Report) -> Markup {
    if report.decisions.is_empty() {
        return html! {};
    }
    let row = |decision: &DecisionPart| {
        html! {
            td { (decision.table) "." (decision.column) }
            td class="mono" { (decision.declared) }
            td class="mono" { (decision.pg_type) }
            td {
                (decision.reason) "; " (decision.counts)
                @if !decision.options.is_empty() { "; option: " (decision.options.join(" or ")) }
                @if decision.records_off_type { "; storage classes are kept in _sqlite_offtype" }
            }
        }
    };
    let rows: Vec<Markup> = report.decisions.iter().map(row).collect();
    html! {
        h2 { "Columns with another type or form" }
        (grid(&["Column", "Declared", "PostgreSQL", "Why"], &rows))
    }
}

fn objects(report: &Report) -> Markup {
    let kinds: Vec<String> = report.carried.iter().map(|(kind, number)| format!("{} {kind}", count(*number))).collect();
    let row = |object: &ObjectPlan| {
        html! {
            td { (object.kind) " " (object.source) }
            td { (object.table) }
            td { (outcome(object.outcome)) }
            td { (object.reason) }
        }
    };
    let rows: Vec<Markup> = report.objects.iter().map(row).collect();
    html! {
        @if !kinds.is_empty() { h2 { "Objects" } p { "Carried: " (kinds.join(", ")) "." } }
        @if !rows.is_empty() { (grid(&["Object", "Table", "Outcome", "Why"], &rows)) }
    }
}

fn differences(report: &Report) -> Markup {
    let Some(record) = report.verification.as_ref().filter(|record| !record.equal()) else { return html! {} };
    let row = |difference: &Difference| {
        html! {
            td { (difference.side) }
            td { (difference.table) }
            td { (difference.column.as_deref().unwrap_or("")) }
            td class="mono" { (difference.key.as_deref().unwrap_or("")) }
            td { (difference.what) }
        }
    };
    let rows: Vec<Markup> = record.verified.differences.iter().map(row).collect();
    html! {
        h2 { "Differences (" (count(record.verified.difference_count)) ")" }
        (grid(&["Side", "Table", "Column", "Key", "What"], &rows))
    }
}

fn timings(report: &Report) -> Markup {
    let row = |timing: &TimingPart| {
        html! {
            td { (timing.stage) @if !timing.phase.is_empty() { ": " (timing.phase) } }
            td class="number" { (spent(timing.elapsed_ms)) }
        }
    };
    let rows: Vec<Markup> = report.timings.iter().map(row).collect();
    html! { h2 { "Time" } (grid(&["Stage", "Time"], &rows)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_stays_text() {
        let found = printable(&list(&["<b a=\"1\">&\u{1b}".to_owned()]).into_string());
        assert_eq!(found, "<ul><li>&lt;b a=&quot;1&quot;&gt;&amp;\u{fffd}</li></ul>");
    }
}
