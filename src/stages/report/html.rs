//! The report as one HTML file: no scripts, nothing from elsewhere, readable in the dark and on paper.

use super::{
    Report,
    markdown::{groups, hop, names, outcome, sent, sentence, spent, summary, word},
};
use crate::model::{
    Finding,
    human_format::{bytes, count},
    timestamp::rfc3339_s,
};

const STYLE: &str = include_str!("style.css");

/// The whole document.
pub(super) fn render(report: &Report) -> String {
    let verdict = word(report.verdict);
    let mut body = format!(
        "<h1>Migration report <span class=\"verdict {verdict}\">{verdict}</span></h1>\n<p>{}.</p>\n",
        escape(&sentence(&report.because))
    );
    body.push_str(&facts(report));
    body.push_str(&differences(report));
    body.push_str(&tables(report));
    body.push_str(&push(report));
    body.push_str(&findings(report));
    body.push_str(&decisions(report));
    body.push_str(&objects(report));
    if !report.notices.is_empty() {
        let lines: Vec<String> = report.notices.iter().map(|notice| format!("<li>{}</li>", escape(notice))).collect();
        let lines = lines.join("\n");
        body.push_str(&format!("<h2>What applications will notice</h2>\n<ul>\n{lines}\n</ul>\n"));
    }
    body.push_str(&timings(report));
    body.push_str(&format!(
        "<footer>Made by turso2neon {} at {}.</footer>\n",
        escape(&report.tool),
        rfc3339_s(report.made_s)
    ));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>Migration report: {verdict}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

/// A table of ready cells.
struct Grid(String);

impl Grid {
    fn new(headers: &[&str]) -> Self {
        let head = match headers {
            [] => String::new(),
            _ => format!("<tr><th>{}</th></tr>\n", headers.join("</th><th>")),
        };
        Self(format!("<div class=\"scroll\"><table>\n{head}"))
    }

    fn row(&mut self, cells: &[String]) {
        self.0.push_str(&format!("<tr>{}</tr>\n", cells.concat()));
    }

    fn end(self) -> String {
        self.0 + "</table></div>\n"
    }
}

fn text(value: &str) -> String {
    format!("<td>{}</td>", escape(value))
}

fn number(value: &str) -> String {
    format!("<td class=\"number\">{}</td>", escape(value))
}

fn mono(value: &str) -> String {
    format!("<td class=\"mono\">{}</td>", escape(value))
}

fn verdict_cell(word: &str) -> String {
    let class = match word {
        "equal" => " class=\"good\"",
        "different" => " class=\"bad\"",
        _ => "",
    };
    format!("<td{class}>{word}</td>")
}

fn facts(report: &Report) -> String {
    let mut grid = Grid::new(&[]);
    for (what, value) in summary(report) {
        grid.row(&[format!("<th>{what}</th>"), text(&value)]);
    }
    let mut html = grid.end();
    if !report.source.proof.is_empty() {
        html.push_str("<p>What proves that the dump is one complete snapshot:</p>\n<ul>\n");
        for proof in &report.source.proof {
            html.push_str(&format!("<li>{}</li>\n", escape(proof)));
        }
        html.push_str("</ul>\n");
    }
    html
}

fn tables(report: &Report) -> String {
    let mut grid = Grid::new(&["Table", "Rows", "Bytes", "Local", "Target", "Digest"]);
    for table in &report.tables {
        grid.row(&[
            text(&names(table)),
            number(&count(table.rows)),
            number(&table.bytes.map(bytes).unwrap_or_default()),
            verdict_cell(hop(table.local_equal, table.local_rows)),
            verdict_cell(hop(table.target_equal, table.target_rows)),
            mono(table.target_digest.as_deref().or(table.local_digest.as_deref()).unwrap_or("")),
        ]);
    }
    format!("<h2>Tables</h2>\n{}", grid.end())
}

fn push(report: &Report) -> String {
    let Some(target) = &report.target else { return String::new() };
    let mut facts = Grid::new(&[]);
    for (what, value) in &target.lines {
        facts.row(&[format!("<th>{what}</th>"), text(value)]);
    }
    let mut grid = Grid::new(&["Table", "Rows sent", "Bytes sent", "Bytes on the target"]);
    for [table, rows, bytes, there] in report.tables.iter().filter_map(sent) {
        grid.row(&[text(&table), number(&rows), number(&bytes), number(&there)]);
    }
    format!("<h2>Push</h2>\n{}{}", facts.end(), grid.end())
}

fn findings(report: &Report) -> String {
    let mut html = String::new();
    for (heading, findings) in groups(report) {
        html.push_str(&format!("<h2>{} ({})</h2>\n<ul>\n", escape(heading), findings.len()));
        for finding in findings {
            html.push_str(&one_finding(finding));
        }
        html.push_str("</ul>\n");
    }
    html
}

fn one_finding(finding: &Finding) -> String {
    let accepted = if finding.accepted { " (accepted)" } else { "" };
    let number = finding.count.map(|number| format!(" (count {})", count(number))).unwrap_or_default();
    let mut html = format!(
        "<li><strong>{}</strong> {}{number}{accepted}: {}",
        finding.code.word(),
        escape(&finding.place()),
        escape(&finding.message)
    );
    for choice in finding.choices.iter().filter(|_| finding.blocks()) {
        html.push_str(&format!("<br>choice: <code>{}</code>", escape(choice)));
    }
    if let Some(sql) = &finding.sql {
        html.push_str(&format!("<pre>{}</pre>", escape(sql)));
    }
    html + "</li>\n"
}

fn decisions(report: &Report) -> String {
    if report.decisions.is_empty() {
        return String::new();
    }
    let mut grid = Grid::new(&["Column", "Declared", "PostgreSQL", "Why"]);
    for decision in &report.decisions {
        let ledger = if decision.ledger { "; storage classes are kept in _sqlite_offtype" } else { "" };
        let options = match decision.options.as_slice() {
            [] => String::new(),
            options => format!("; option: {}", options.join(" or ")),
        };
        grid.row(&[
            text(&format!("{}.{}", decision.table, decision.column)),
            mono(&decision.declared),
            mono(&decision.pg_type),
            text(&format!("{}; {}{options}{ledger}", decision.reason, decision.counts)),
        ]);
    }
    format!("<h2>Columns with another type or form</h2>\n{}", grid.end())
}

fn objects(report: &Report) -> String {
    let kinds: Vec<String> = report.carried.iter().map(|(kind, number)| format!("{} {kind}", count(*number))).collect();
    let mut html = String::new();
    if !kinds.is_empty() {
        html.push_str(&format!("<h2>Objects</h2>\n<p>Carried: {}.</p>\n", escape(&kinds.join(", "))));
    }
    if report.objects.is_empty() {
        return html;
    }
    let mut grid = Grid::new(&["Object", "Table", "Outcome", "Why"]);
    for object in &report.objects {
        grid.row(&[
            text(&format!("{} {}", object.kind, object.source)),
            text(&object.table),
            text(outcome(object.outcome)),
            text(&object.reason),
        ]);
    }
    html + &grid.end()
}

fn differences(report: &Report) -> String {
    let Some(record) = report.verification.as_ref().filter(|record| !record.equal()) else { return String::new() };
    let mut grid = Grid::new(&["Side", "Table", "Column", "Key", "What"]);
    for difference in &record.verified.differences {
        grid.row(&[
            text(&difference.side),
            text(&difference.table),
            text(difference.column.as_deref().unwrap_or("")),
            mono(difference.key.as_deref().unwrap_or("")),
            text(&difference.what),
        ]);
    }
    format!("<h2>Differences ({})</h2>\n{}", count(record.verified.difference_count), grid.end())
}

fn timings(report: &Report) -> String {
    let mut grid = Grid::new(&["Stage", "Time"]);
    for timing in &report.timings {
        let phase = if timing.phase.is_empty() { String::new() } else { format!(": {}", timing.phase) };
        grid.row(&[text(&format!("{}{phase}", timing.stage)), number(&spent(timing.elapsed_ms))]);
    }
    format!("<h2>Time</h2>\n{}", grid.end())
}

fn escape(value: &str) -> String {
    let mut safe = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(letter),
            letter if letter.is_control() => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_stays_text() {
        assert_eq!(escape("<b a=\"1\">&\u{1b}"), "&lt;b a=&quot;1&quot;&gt;&amp;\u{fffd}");
    }
}
