//! Formats what the tool has on the target, and the answers of the commands that remove it.

use serde_json::{Value, json};

use super::json as value_of;
use crate::{
    model::{
        conversion_plan::OFFTYPE_TABLE,
        human_format::{bytes, counted},
        tool_objects::{FinishMark, ToolObjects, ToolSchema},
    },
    stages::push::removal::{Removal, RemovalScope},
    ui::{
        Answer,
        std_streams::harmless,
        table::{Align, TextTable},
    },
};

/// How many objects of a schema are named.
const NAMED: usize = 8;

/// What a look at the target found.
#[derive(Debug, Clone)]
pub enum OnTarget {
    /// No target is named.
    NotAsked,
    /// What the tool has there.
    Found(ToolObjects),
    /// The target could not be looked at; why.
    Failed(String),
}

impl OnTarget {
    /// As lines after the checkpoints; empty if no target is named.
    pub(super) fn text(&self) -> String {
        match self {
            Self::NotAsked => String::new(),
            Self::Failed(why) => format!("\nThe target was not looked at: {}\n", harmless(why)),
            Self::Found(objects) => found(objects),
        }
    }

    /// For programs; null if no target is named.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::NotAsked => Value::Null,
            Self::Failed(why) => json!({ "error": why }),
            Self::Found(objects) => value_of(objects),
        }
    }
}

fn found(objects: &ToolObjects) -> String {
    let target = harmless(&objects.target);
    let mut text = if objects.schemas.is_empty() {
        format!("\nThe tool has no objects at {target}\n")
    } else {
        format!("\nThe tool has these schemas at {target}:\n{}", schemas(&objects.schemas))
    };
    for mark in &objects.finished {
        let schema = harmless(&mark.schema);
        text.push_str(&format!("the migration into schema {schema} was finished at {}\n", mark.finished_at));
    }
    text
}

/// A table of schemas, each with its purpose, size and what is in it.
fn schemas(schemas: &[ToolSchema]) -> String {
    let mut table = TextTable::new([
        ("SCHEMA", Align::Left),
        ("SIZE", Align::Right),
        ("PURPOSE", Align::Left),
        ("CONTENT", Align::Left),
    ]);
    for schema in schemas {
        let of = schema.target_schema.as_ref().map(|of| format!(" (schema {of})")).unwrap_or_default();
        let purpose = format!("{}{of}", schema.purpose.words());
        table.row([schema.name.clone(), bytes(schema.bytes()), purpose, content(schema)]);
    }
    table.render()
}

fn content(schema: &ToolSchema) -> String {
    let first = schema.objects.iter().take(NAMED);
    let mut names: Vec<String> = first.map(|object| format!("{} {}", object.kind, object.name)).collect();
    let more = schema.objects.len().saturating_sub(NAMED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    if names.is_empty() { "empty".to_owned() } else { names.join(", ") }
}

/// What a removal removes and leaves, for the person who is asked.
#[must_use]
pub fn removal_list(removal: &Removal, scope: RemovalScope) -> String {
    let (target, schema) = (harmless(&removal.target), harmless(&removal.schema));
    let mut text = if removal.schemas.is_empty() {
        format!("There is nothing to remove at {target} for schema {schema}.\n")
    } else {
        format!("To remove at {target}:\n{}", schemas(&removal.schemas))
    };
    if scope != RemovalScope::UnfinishedPushes {
        let tables = counted(u64::try_from(removal.tables.len()).unwrap_or(u64::MAX), "table", "tables");
        text.push_str(&format!("To keep: {tables} of the application in schema {schema}, with all rows.\n"));
        if removal.keeps_offtype {
            text.push_str(&format!("To keep: {OFFTYPE_TABLE}, which holds values that fit no column type.\n"));
        }
        text.push_str(match scope {
            RemovalScope::MigrationAndMark => {
                "Afterwards nothing marks the migration as finished. A push refuses tables that it did not push, \
                 unless --force-table names them.\n"
            }
            _ => "Afterwards `run`, `push` and `rollback` refuse this schema from every machine. `rollback` is no longer \
                  possible.\n",
        });
    }
    text
}

/// `finish --dry-run`.
#[must_use]
pub fn to_remove(removal: &Removal, scope: RemovalScope) -> Answer {
    Answer::new("finish", removal_list(removal, scope), document(removal, removal.mark.as_ref(), false))
}

/// `finish`.
#[must_use]
pub fn finished(removal: &Removal, scope: RemovalScope, mark: Option<&FinishMark>) -> Answer {
    let (target, schema) = (harmless(&removal.target), harmless(&removal.schema));
    let freed = bytes(removal.schemas.iter().map(ToolSchema::bytes).sum());
    let number = counted(u64::try_from(removal.schemas.len()).unwrap_or(u64::MAX), "schema", "schemas");
    let mut text = match (scope, &removal.mark) {
        (RemovalScope::MigrationAndMark, _) => {
            format!("Schema {schema} at {target} has no mark of this tool any more\n")
        }
        (_, Some(mark)) => {
            format!("The migration into schema {schema} at {target} was finished at {}\n", mark.finished_at)
        }
        (_, None) => format!("The migration into schema {schema} at {target} is finished\n"),
    };
    text.push_str(&format!("removed {number} of the tool's, {freed}\n"));
    for schema in &removal.schemas {
        text.push_str(&format!("  {} ({})\n", harmless(&schema.name), schema.purpose.words()));
    }
    text.push_str(
        "left to do by hand:\n  \
         remove scheduled jobs that run turso2neon, and their secrets\n  \
         delete the source database when you no longer need it, and its tokens\n  \
         `turso2neon clean` removes the local artifacts\n",
    );
    Answer::new("finish", text, document(removal, mark, true))
}

/// `clean --target`.
#[must_use]
pub fn target_cleaned(removal: &Removal) -> Answer {
    let target = harmless(&removal.target);
    let mut text = if removal.schemas.is_empty() {
        format!("Unfinished pushes left nothing at {target} for schema {}\n", harmless(&removal.schema))
    } else {
        format!("Removed at {target}, {}:\n", bytes(removal.schemas.iter().map(ToolSchema::bytes).sum()))
    };
    for schema in &removal.schemas {
        text.push_str(&format!("  {} ({})\n", harmless(&schema.name), schema.purpose.words()));
    }
    Answer::new("clean", text, document(removal, removal.mark.as_ref(), true))
}

/// The answer of a command whose question was not answered with yes.
#[must_use]
pub fn nothing_removed(command: &'static str) -> Answer {
    Answer::new(command, "Nothing was removed\n".to_owned(), json!({ "removed": [] }))
}

fn document(removal: &Removal, mark: Option<&FinishMark>, is_done: bool) -> Value {
    json!({
        "target": removal.target,
        "schema": removal.schema,
        "dry-run": !is_done,
        "removed": value_of(&removal.schemas),
        "tables": removal.tables,
        "finished": value_of(&mark),
    })
}
