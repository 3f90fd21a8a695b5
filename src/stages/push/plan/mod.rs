//! What a push will do, as a value: made from the artifacts and from what the target holds, before anything is written.
//!
//! A dry run prints the value that the real push applies.

pub(super) mod alteration;

pub(super) mod in_place;

mod column_renames;

mod live_alteration;

mod missing_objects;

pub(super) mod manifest;

pub(super) mod mode_selection;

pub(super) mod preflight;

pub(super) mod request;

mod server_facts;

pub(super) mod structure;

pub(super) mod structure_changes;

use crate::{
    model::{
        identifier::quote_ident,
        push_plan::{Action, Kept, PlannedTable, PushPlan},
    },
    stages::push::target::{
        record::PushedTableRecord,
        session::{changed_rows_schema, previous_schema},
    },
};

use manifest::Manifest;
use mode_selection::Choice;
use preflight::TargetState;
use request::PushRequest;

/// The plan of a push that does what was chosen. Rows that differ are not in it yet.
pub(super) fn make(
    request: &PushRequest,
    target: &str,
    manifest: &Manifest,
    target_state: &TargetState,
    choice: Choice,
) -> PushPlan {
    let Choice { action, reason, .. } = choice;
    let names = |tables: &[PushedTableRecord]| tables.iter().map(|table| table.name.clone()).collect();
    let none: fn() -> Vec<String> = Vec::new;
    let mut creates = none();
    if action.loads_tables() {
        let schema = format!("CREATE SCHEMA IF NOT EXISTS {}", quote_ident(&request.schema));
        creates.extend(target_state.creates_schema.then_some(schema));
        creates.extend(target_state.creates_extensions.iter().cloned());
    }
    let table = |to_push: &manifest::TableToPush| PlannedTable {
        name: to_push.table.name.clone(),
        source: to_push.table.source.clone(),
        rows: to_push.loaded.as_ref().map(|loaded| loaded.rows),
        changes: None,
        rows_there: target_state.in_place.as_ref().and_then(|tables| tables.rows_there(&to_push.table.name)),
        next_number: None,
    };
    let statements = target_state.in_place.as_ref().map(|in_place| &in_place.statements);
    PushPlan {
        target: target.to_owned(),
        schema: request.schema.clone(),
        action,
        reason,
        tables: manifest.tables.iter().map(table).collect(),
        rows_before: rows_before(&target_state.record.live),
        creates,
        alters: none(),
        altered_tables: none(),
        lost_columns: none(),
        created_objects: statements.map(|all| all.created.clone()).unwrap_or_default(),
        weakened_objects: statements.map(|all| all.weakened.clone()).unwrap_or_default(),
        missing_objects: statements.map(|all| all.not_created.clone()).unwrap_or_default(),
        replaced: if action.loads_tables() { names(&target_state.record.live) } else { none() },
        leaving: if action.loads_tables() {
            target_state.removed_tables(manifest).into_iter().map(str::to_owned).collect()
        } else {
            none()
        },
        kept: kept(request, action),
        drift: target_state.drift.clone(),
        on_drift: request.on_drift,
        changes: target_state.changes.clone(),
        on_type_change: request.on_type_change,
        // A push in mode `diff` drops them only if it changes something.
        dropped: match action {
            Action::Nothing | Action::Diff | Action::Load => none(),
            Action::Create | Action::Swap | Action::ReplaceRows | Action::DropAndCreate => {
                names(&target_state.record.previous)
            }
        },
    }
}

/// Rows of the tables of the last push.
fn rows_before(live: &[PushedTableRecord]) -> Option<u64> {
    let pushed = || live.iter().filter(|table| table.is_pushed());
    pushed().next().is_some().then(|| pushed().map(|table| table.rows).sum())
}

/// What is kept for a rollback.
fn kept(request: &PushRequest, action: Action) -> Kept {
    match action {
        Action::Swap if request.keep_previous => Kept::Tables { schema: previous_schema(&request.schema) },
        Action::Diff | Action::Load if request.keep_previous => {
            Kept::Rows { schema: changed_rows_schema(&request.schema) }
        }
        _ => Kept::Nothing,
    }
}
