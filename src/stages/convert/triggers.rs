//! Creates the triggers, last of all, because they must not fire on the load. Each is created and tried with a row of
//! its table in a transaction that is rolled back, because PostgreSQL looks into the body of a function only when it
//! runs. What fails for the body's sake is dropped; what a constraint or the trigger itself refuses is as it should be.

use std::{collections::BTreeSet, sync::Arc};

use tokio_postgres::error::SqlState;

use super::load_context::{LoadContext, SessionPool};
use crate::{
    error::{Error, Result},
    model::{
        DroppedObject, TablePlan,
        dropped_objects::DroppedObjectKind,
        identifier::{qualified, quote_ident, quote_list},
        view_trigger_plan::{Timing, TriggerPlan},
    },
    postgres::{Session, load_journal},
    rules::ddl,
};

const PHASE: &str = "triggers";

/// Whether an error speaks against the statement itself: its class is 42 without "insufficient privilege", or it asks
/// for what the server doesn't support.
fn is_own_fault(error: &Error) -> bool {
    error.is_of_sqlstate_class(&["42", "0A"]) && error.sqlstate() != Some(&SqlState::INSUFFICIENT_PRIVILEGE)
}

/// Creates the plan's triggers, and says which of them had to be dropped. `missing` are the views that were.
///
/// # Errors
/// `LocalUnreachable`, `Interrupted`.
pub(super) async fn create(
    work: &Arc<LoadContext>,
    pool: &SessionPool,
    missing: &BTreeSet<String>,
) -> Result<Vec<DroppedObject>> {
    let session = pool.first()?;
    let mut dropped = Vec::new();
    work.phase(PHASE, work.plan.triggers.len());
    for trigger in &work.plan.triggers {
        work.ctx.stop.check()?;
        let used = std::iter::once(trigger.relation.as_str()).chain(trigger.body.relations());
        let reason = match used.into_iter().find(|name| missing.contains(*name)) {
            Some(name) => Some(format!("it uses the view {name}, which is not carried")),
            None => attempt(work, session, trigger).await?,
        };
        if let Some(reason) = reason {
            dropped.push(DroppedObject {
                kind: DroppedObjectKind::Trigger,
                table: table_of(work, trigger),
                object: trigger.name.clone(),
                source: trigger.source.clone(),
                reason,
                sql: trigger.sql.clone(),
                guards: false,
            });
        }
        work.stepped(PHASE, 1);
    }
    Ok(dropped)
}

/// The source's name of the table or view.
pub(super) fn table_of(work: &LoadContext, trigger: &TriggerPlan) -> String {
    let tables = work.plan.tables.iter().map(|table| (&table.name, &table.source));
    let views = work.plan.views.iter().map(|view| (&view.name, &view.source));
    let found = tables.chain(views).find(|(name, _)| **name == trigger.relation);
    found.map_or_else(|| trigger.relation.clone(), |(_, source)| source.clone())
}

/// Creates one trigger. Gives the reason if it can't stay; nothing is left of it then.
async fn attempt(work: &LoadContext, session: &Session, trigger: &TriggerPlan) -> Result<Option<String>> {
    let schema = &work.plan.schema;
    let [function, fires] = ddl::create_trigger(schema, trigger);
    let record = load_journal::made_object_sql(schema, "function", &trigger.function);
    let sql = format!("{}; {}; {record}", function.sql, fires.sql);
    if let Err(refused) = session.batch("creating a trigger", &sql).await {
        let why = judged(session, refused)?;
        return Ok(Some(format!("PostgreSQL refuses the translated trigger: {why}")));
    }
    let table = work.plan.tables.iter().find(|table| table.name == trigger.relation);
    let Some(table) = table.filter(|_| trigger.timing != Timing::InsteadOf) else { return Ok(None) };
    let tried = session.batch("trying a trigger", &trial(schema, table, trigger)).await;
    if session.is_lost() {
        return tried.map(|()| None);
    }
    session.batch("ending the trial of a trigger", "ROLLBACK").await?;
    let Err(refused) = tried else { return Ok(None) };
    if !is_own_fault(&refused) {
        return Ok(None);
    }
    let drop = format!(
        "DROP TRIGGER {} ON {}; DROP FUNCTION {}(); {}",
        quote_ident(&trigger.name),
        qualified(schema, &trigger.relation),
        qualified(schema, &trigger.function),
        load_journal::unmade_object_sql("function", schema, &trigger.function)
    );
    session.batch("dropping a trigger", &drop).await?;
    Ok(Some(format!("the translated trigger fails when it fires: {}", refused.message())))
}

/// An error that is the trigger's own, in words; the server's going away is none.
fn judged(session: &Session, error: Error) -> Result<String> {
    if session.is_lost() { Err(error) } else { Ok(error.message().to_owned()) }
}

/// One row of the table goes through what fires the trigger.
fn trial(schema: &str, table: &TablePlan, trigger: &TriggerPlan) -> String {
    let whole = qualified(schema, &table.name);
    let one = format!("{whole}.ctid = (SELECT t.ctid FROM {whole} AS t LIMIT 1)");
    let columns = quote_list(table.loaded_columns().map(|column| column.name.as_str()));
    let work = match trigger.event.as_str() {
        "INSERT" => format!(
            "CREATE TEMPORARY TABLE turso2neon_row ON COMMIT DROP AS SELECT {columns} FROM {whole} LIMIT 1; \
             SET LOCAL session_replication_role = replica; DELETE FROM {whole} WHERE {one}; \
             SET LOCAL session_replication_role = origin; \
             INSERT INTO {whole} ({columns}) SELECT {columns} FROM pg_temp.turso2neon_row"
        ),
        "DELETE" => format!("DELETE FROM {whole} WHERE {one}"),
        _ => {
            let first = table.loaded_columns().next().map(|column| column.name.as_str());
            let column = quote_ident(trigger.columns.first().map(String::as_str).or(first).unwrap_or_default());
            format!("UPDATE {whole} SET {column} = {column} WHERE {one}")
        }
    };
    format!("BEGIN; SET LOCAL statement_timeout = '60s'; {work}")
}
