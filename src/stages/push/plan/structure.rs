//! Whether the tables on the target have the structure that would be pushed.

use std::collections::BTreeSet;

use crate::{
    error::Result,
    postgres::{Session, session::Row},
    stages::push::{
        plan::{manifest::Manifest, preflight::TargetState},
        target::objects,
    },
};

/// The first difference of structure between the tables of the last push and those that would be pushed, if any; then
/// rows can't be changed in place. `replaces` if foreign keys may be missing, because a push in mode `replace` drops
/// them and creates them again.
///
/// # Errors
/// `Local*`, `Target*`.
pub(crate) async fn difference(
    control: &Session,
    reader: &Session,
    manifest: &Manifest,
    target_state: &TargetState,
    schema: &str,
    replaces: bool,
) -> Result<Option<String>> {
    let is_kept = |name: &str| target_state.kept.contains(name);
    let live = || target_state.record.live.iter().filter(|table| !is_kept(&table.name));
    let to_push = || manifest.tables.iter().filter(|to_push| !is_kept(&to_push.table.name));
    let there: BTreeSet<&str> = live().map(|table| table.name.as_str()).collect();
    let wanted: BTreeSet<&str> = to_push().map(|to_push| to_push.table.name.as_str()).collect();
    if let Some(name) = wanted.symmetric_difference(&there).next() {
        let words = if there.contains(name) { "is no longer in the plan" } else { "is new" };
        return Ok(Some(format!("table {name} {words}")));
    }
    for to_push in to_push() {
        let Some(pushed) = live().find(|pushed| pushed.name == to_push.table.name) else { continue };
        if pushed.fingerprint != to_push.fingerprint {
            return Ok(Some(format!("the structure of table {} changed", pushed.name)));
        }
        let comes_back = |part: &str| {
            replaces && to_push.table.foreign_keys.iter().any(|key| part == format!("constraint {}", key.name))
        };
        if let Some(part) = pushed.lost.iter().find(|part| !comes_back(part)) {
            return Ok(Some(format!("{part} of table {} is gone from the target", pushed.name)));
        }
    }
    if !objects::are_there(&manifest.plan, schema, &target_state.record.live_objects) {
        return Ok(Some("views or triggers changed".to_owned()));
    }
    let (here, remote) = tokio::try_join!(columns(reader, &manifest.plan.schema), columns(control, schema))?;
    let altered = here.iter().find(|column| wanted.contains(column.0.as_str()) && !remote.contains(*column));
    Ok(altered.map(|(table, column, _)| format!("column {column} of table {table} was altered on the target")))
}

/// Columns of a schema's tables: table, column, type.
pub(super) async fn columns(session: &Session, schema: &str) -> Result<BTreeSet<(String, String, String)>> {
    // A domain is its base type.
    let sql = "SELECT c.relname::text, a.attname::text, coalesce(b.typname, t.typname) || ' ' || \
                 CASE WHEN b.oid IS NULL THEN a.atttypmod ELSE t.typtypmod END || ' ' || a.attgenerated::text \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
               JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type b ON t.typtype = 'd' AND b.oid = t.typbasetype \
               WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped";
    let rows = session.query_rows("reading the columns of the tables", sql, &[&schema]).await?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    rows.iter().map(read).collect()
}
