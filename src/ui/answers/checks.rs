//! Formats the answers of the commands that only look.

use serde_json::json;

use super::{OnTarget, json as value_of};
use crate::{
    model::{
        human_format::{bytes, count},
        timestamp::rfc3339_s,
    },
    stages::{
        clean::Cleaned,
        doctor::{DoctorReport, Grade},
        status::Status,
    },
    ui::{
        Answer,
        std_streams::harmless,
        table::{Align, TextTable},
    },
};

/// `status`.
#[must_use]
pub fn status(status: &Status, on_target: &OnTarget) -> Answer {
    let mut table = TextTable::new([
        ("STAGE", Align::Left),
        ("STATE", Align::Left),
        ("TABLES", Align::Right),
        ("ROWS", Align::Right),
        ("FINISHED", Align::Left),
        ("", Align::Left),
    ]);
    for checkpoint in &status.checkpoints {
        let words: Vec<&str> =
            [checkpoint.why.as_str(), checkpoint.holds.as_str()].into_iter().filter(|text| !text.is_empty()).collect();
        table.row([
            checkpoint.stage.to_string(),
            checkpoint.state.word().to_owned(),
            checkpoint.tables.map(count).unwrap_or_default(),
            checkpoint.rows.map(count).unwrap_or_default(),
            checkpoint.finished_s.map(rfc3339_s).unwrap_or_default(),
            words.join("; "),
        ]);
    }
    let text = format!("{}\nnext: {}\n{}", table.render(), harmless(&status.advice), on_target.text());
    let mut json = value_of(status);
    if let Some(fields) = json.as_object_mut() {
        fields.insert("target".to_owned(), on_target.json());
    }
    Answer::new("status", text, json)
}

/// `doctor`.
#[must_use]
pub fn doctor(examination: &DoctorReport) -> Answer {
    let mut table =
        TextTable::new([("", Align::Left), ("WHERE", Align::Left), ("WHAT", Align::Left), ("FOUND", Align::Left)]);
    for check in &examination.checks {
        table.row([
            check.grade.word().to_owned(),
            check.side.word().to_owned(),
            check.name.to_owned(),
            check.found.clone(),
        ]);
    }
    let mut text = table.render();
    // What to do about the first failure is the hint below.
    let first = examination.checks.iter().position(|check| check.grade == Grade::Fail);
    for (index, check) in examination.checks.iter().enumerate() {
        if check.todo.is_empty() || Some(index) == first {
            continue;
        }
        text.push_str(&format!("\n{} {}: {}\n", check.side.word(), check.name, harmless(&check.todo)));
    }
    let answer = Answer::new("doctor", text, value_of(examination));
    match examination.refusal() {
        Some(reason) => answer.refused(reason),
        None => answer,
    }
}

/// `clean`.
#[must_use]
pub fn cleaned(cleaned: &Cleaned) -> Answer {
    let mut text = match cleaned.removed.len() {
        0 => "Nothing to remove\n".to_owned(),
        number => format!("Removed {number} artifacts, {}\n", bytes(cleaned.freed_bytes)),
    };
    for path in &cleaned.kept {
        text.push_str(&format!("kept, not made by this tool: {}\n", harmless(path)));
    }
    Answer::new(
        "clean",
        text,
        json!({ "removed": cleaned.removed, "kept": cleaned.kept, "freed_bytes": cleaned.freed_bytes }),
    )
}
