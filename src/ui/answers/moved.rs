//! Formats the answers of the stages that move rows.

use serde_json::json;

use super::json as value_of;
use crate::{
    model::{
        LoadCheckpoint,
        checkpoint::LocalServerRecord,
        conversion_plan::ObjectPlan,
        human_format::{bytes, count, counted},
        timestamp::rfc3339_s,
    },
    stages::{
        convert::Converted,
        dump::Dumped,
        push::{Pushed, rollback::RolledBack},
        report,
    },
    ui::{
        Answer,
        std_streams::harmless,
        table::{Align, TextTable},
    },
};

/// `dump`.
#[must_use]
pub fn dumped(dumped: &Dumped) -> Answer {
    let dump = &dumped.checkpoint;
    let mut text = format!(
        "{}{}, {}, {} from {}\n",
        if dumped.unchanged { "Nothing changed: " } else { "" },
        counted(size(dump.rows.len()), "table", "tables"),
        counted(dump.rows.values().sum(), "row", "rows"),
        bytes(dump.size_bytes),
        harmless(&dump.source),
    );
    text.push_str(&format!("method {}: {}\n", dump.method, harmless(&dump.method_reason)));
    for proof in &dump.proof {
        text.push_str(&format!("proof: {}\n", harmless(proof)));
    }
    let mut table = TextTable::new([("TABLE", Align::Left), ("ROWS", Align::Right)]);
    for (name, rows) in &dump.rows {
        table.row([name.clone(), count(*rows)]);
    }
    if !table.is_empty() {
        text.push_str(&format!("\n{}", table.render()));
    }
    Answer::new("dump", text, json!({ "unchanged": dumped.unchanged, "checkpoint": value_of(dump) }))
}

/// `convert`.
#[must_use]
pub fn converted(converted: &Converted) -> Answer {
    let load = &converted.checkpoint;
    let mut text = format!(
        "{}{}, {} in {}\n",
        if converted.unchanged { "Nothing to do: " } else { "" },
        counted(size(load.tables.len()), "table", "tables"),
        counted(load.tables.values().map(|table| table.rows).sum(), "row", "rows"),
        local_words(load),
    );
    let mut table = TextTable::new([("TABLE", Align::Left), ("ROWS", Align::Right), ("SENT = STORED", Align::Left)]);
    for (name, record) in &load.tables {
        let equal = if record.sent_digest == record.read_digest { "equal" } else { "different" };
        table.row([name.clone(), count(record.rows), equal.to_owned()]);
    }
    if !table.is_empty() {
        text.push_str(&format!("\n{}", table.render()));
    }
    text.push_str(&not_carried(&converted.not_carried));
    Answer::new(
        "convert",
        text,
        json!({ "unchanged": converted.unchanged, "checkpoint": value_of(load),
            "not-carried": value_of(&converted.not_carried) }),
    )
}

fn local_words(load: &LoadCheckpoint) -> String {
    match &load.local {
        LocalServerRecord::Managed { version, .. } => format!("the managed PostgreSQL {version}"),
        LocalServerRecord::External { address, version } => format!("PostgreSQL {version} at {address}"),
    }
}

/// The views, triggers and indexes that are not carried, each with its reason; empty if there are none.
pub(super) fn not_carried(objects: &[ObjectPlan]) -> String {
    if objects.is_empty() {
        return String::new();
    }
    let line = |object: &ObjectPlan| {
        let of = if object.source == object.table { String::new() } else { format!(" of {}", object.table) };
        format!("  {} {}{}: {}\n", object.kind, harmless(&object.source), harmless(&of), harmless(&object.reason))
    };
    let lines: String = objects.iter().map(line).collect();
    format!("\nNot carried ({})\n{lines}", objects.len())
}

/// `push`.
#[must_use]
pub fn pushed(pushed: &Pushed) -> Answer {
    let Some(push) = &pushed.checkpoint else {
        let mut text = "Would be done:\n".to_owned();
        for line in &pushed.dry_run {
            text.push_str(&format!("  {}\n", harmless(line)));
        }
        text.push_str(&not_carried(&pushed.not_carried));
        let json = json!({ "dry-run": pushed.dry_run, "plan": &pushed.plan,
            "not-carried": value_of(&pushed.not_carried) });
        return Answer::new("push", text, json);
    };
    let mut text = format!(
        "{}{}, {} at {}, schema {}\n",
        if pushed.unchanged { "Nothing to do: " } else { "" },
        counted(size(push.tables.len()), "table", "tables"),
        counted(push.tables.values().map(|table| table.rows).sum(), "row", "rows"),
        harmless(&push.target),
        harmless(&push.schema),
    );
    if pushed.unchanged {
        text.push_str(&format!("pushed at {}\n", rfc3339_s(push.finished_s)));
    }
    for (what, value) in report::push_lines(push) {
        text.push_str(&format!("{what:<9} {}\n", harmless(&value)));
    }
    let mut table = TextTable::new([
        ("TABLE", Align::Left),
        ("ROWS", Align::Right),
        ("SENT ROWS", Align::Right),
        ("SENT", Align::Right),
        ("ON TARGET", Align::Right),
        ("DIGEST", Align::Left),
    ]);
    for (name, record) in &push.tables {
        table.row([
            name.clone(),
            count(record.rows),
            count(record.sent_rows),
            bytes(record.sent_bytes),
            record.target_bytes.map(bytes).unwrap_or_default(),
            record.server_digest.map(|digest| digest.to_string()).unwrap_or_default(),
        ]);
    }
    if !table.is_empty() {
        text.push_str(&format!("\n{}", table.render()));
    }
    text.push_str(&not_carried(&pushed.not_carried));
    let json = json!({ "unchanged": pushed.unchanged, "checkpoint": value_of(push),
        "not-carried": value_of(&pushed.not_carried) });
    Answer::new("push", text, json)
}

/// `rollback`.
#[must_use]
pub fn rolled_back(back: &RolledBack, points: &[String]) -> Answer {
    let tables = counted(size(back.tables.len()), "table", "tables");
    let target = harmless(&back.target);
    let mut text = match (back.listed, back.tables.is_empty()) {
        (true, true) => format!("Nothing to put back at {target}\n"),
        (true, false) => format!("A rollback would put back {tables} at {target}\n"),
        (false, _) => format!("Put back {tables} at {target}; run rollback again to undo this\n"),
    };
    let mut table = TextTable::new([("TABLE", Align::Left), ("ROWS", Align::Right), ("BY THE PUSH", Align::Left)]);
    for back in &back.tables {
        table.row([back.name.clone(), count(back.rows), back.how.to_owned()]);
    }
    if !table.is_empty() {
        text.push_str(&format!("\n{}", table.render()));
    }
    for point in points {
        text.push_str(&format!("restore point {}\n", harmless(point)));
    }
    let tables: Vec<_> = back
        .tables
        .iter()
        .map(|table| json!({ "name": table.name, "rows": table.rows, "by-the-push": table.how }))
        .collect();
    Answer::new(
        "rollback",
        text,
        json!({ "listed": back.listed, "target": back.target, "tables": tables,
        "restore-points": points }),
    )
}

/// `rollback` whose question was not answered with yes.
#[must_use]
pub fn nothing_put_back() -> Answer {
    Answer::new("rollback", "Nothing was put back\n".to_owned(), json!({ "listed": false, "tables": [] }))
}

/// `rollback --restore-point`.
#[must_use]
pub fn restored(branch: &str, point: &str, preserved: &str) -> Answer {
    let text = format!(
        "Branch {} has the state of {} again; the state before is kept as branch {}\n",
        harmless(branch),
        harmless(point),
        harmless(preserved)
    );
    Answer::new("rollback", text, json!({ "branch": branch, "restore-point": point, "preserved-as": preserved }))
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
