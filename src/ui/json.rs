//! Writes JSON Lines for programs on standard output, and for `log.jsonl`.
//!
//! Every line is an object with `v` (the version of this contract, 1), `type` and `time` (RFC 3339, UTC). Fields are
//! only ever added. Units are in the names: `_ms`, `_bytes`, `_rows`.

use serde_json::{Map, Value, json};
use tokio_postgres::error::SqlState;

use super::{Answer, progress::TableProgress};
use crate::{error::Error, event::Event, model::timestamp::rfc3339_ms};

/// The version of the lines' contract.
pub const LINE_VERSION: u32 = 1;

/// The line for an event at a time in milliseconds since 1970. `done` says how far the event's table is.
pub(super) fn event_line(event: &Event, done: Option<TableProgress>, now_ms: u64) -> String {
    match serde_json::to_value(event) {
        Ok(Value::Object(mut fields)) => {
            if let Some(done) = done {
                fields.insert("rows_done".to_owned(), Value::from(done.rows));
                fields.insert("rows_total".to_owned(), Value::from(done.rows_total));
            }
            stamped(fields, now_ms)
        }
        Ok(_) | Err(_) => stamped(fields(json!({ "type": "note", "level": "detail", "text": "(not shown)" })), now_ms),
    }
}

/// The last line of a command that worked. `code`, `message` and `hint` are null unless the answer is no.
pub(super) fn result_line(answer: &Answer, now_ms: u64) -> String {
    let reason = answer.verdict.as_ref();
    let line = json!({
        "type": "result",
        "command": answer.command,
        "exit": answer.exit,
        "code": reason.map(|reason| reason.kind().code()),
        "message": reason.map(Error::message),
        "hint": reason.map(Error::hint),
        "answer": answer.json,
    });
    stamped(fields(line), now_ms)
}

/// The last line of a command that failed.
pub(super) fn error_line(error: &Error, now_ms: u64) -> String {
    let line = json!({
        "type": "error",
        "code": error.kind().code(),
        "exit": error.kind().exit(),
        "stage": error.stage().map(crate::model::Stage::word),
        "table": error.table(),
        "column": error.column(),
        "sqlstate": error.sqlstate().map(SqlState::code),
        "message": error.message(),
        "hint": error.hint(),
    });
    stamped(fields(line), now_ms)
}

/// The first line of a command in the log.
pub(super) fn command_line(command: &str, now_ms: u64) -> String {
    let line = json!({
        "type": "command-started",
        "command": command,
        "tool": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
    });
    stamped(fields(line), now_ms)
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

fn stamped(mut fields: Map<String, Value>, now_ms: u64) -> String {
    fields.insert("v".to_owned(), Value::from(LINE_VERSION));
    fields.insert("time".to_owned(), Value::from(rfc3339_ms(now_ms)));
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Kind,
        model::{Finding, FindingCode, Severity, Stage},
    };

    #[test]
    fn every_line_has_version_type_and_time() {
        let events = [
            Event::StageStarted { stage: Stage::Dump },
            Event::Found(Finding::new(FindingCode::OrphanRows, Severity::NeedsDecision, "m").at_table("t")),
            Event::Committed { stage: Stage::Push, table: "t".to_owned(), rows: 1, bytes: 2 },
        ];
        for event in events {
            let line: Value = serde_json::from_str(&event_line(&event, None, 0)).unwrap();
            assert_eq!(line["v"], 1);
            assert!(line["type"].is_string(), "{line}");
            assert_eq!(line["time"], "1970-01-01T00:00:00.000Z");
        }
    }

    #[test]
    fn an_error_has_every_field_of_the_contract() {
        let error = Error::new(Kind::TargetFull, "m").in_stage(Stage::Push).at_table("t");
        let error = error.with_sqlstate(SqlState::DISK_FULL);
        let line: Value = serde_json::from_str(&error_line(&error, 0)).unwrap();
        for field in ["v", "type", "time", "code", "stage", "table", "column", "sqlstate", "message", "hint", "exit"] {
            assert!(line.get(field).is_some(), "{field}");
        }
        assert_eq!((&line["exit"], &line["stage"], &line["column"]), (&json!(7), &json!("push"), &Value::Null));
        assert_eq!(line["sqlstate"], "53100");
    }
}
