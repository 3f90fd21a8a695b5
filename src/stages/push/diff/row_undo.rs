//! What a push that changed rows in place keeps, so that `rollback` can change them back: the old form of changed and
//! deleted rows, and the identities of new ones, in a schema of its own on the target.
//!
//! Invariant: it is written in the transaction that changes the rows, and replaces what the push before kept.

use crate::{
    error::Result,
    model::{
        TableDigest, TablePlan,
        column_profile::ColumnProfile,
        identifier::{qualified, quote_ident, quote_literal},
    },
    postgres::{Session, session::Row, table_digest},
    rules::ddl,
    stages::push::{
        diff::{ChangedRows, TableChange},
        target::session::changed_rows_schema,
    },
};

/// One table as it was before the last push.
#[derive(Debug, Clone)]
pub(crate) struct RecordedUndo {
    /// Its name.
    pub name: String,
    /// SQLite's name.
    pub source: String,
    /// Digest of its structure.
    pub fingerprint: String,
    /// What had been pushed.
    pub run_key: String,
    /// Its digest; none if an earlier version recorded another kind of digest.
    pub digest: Option<TableDigest>,
    /// The run that kept it.
    pub run_id: i64,
    /// The number of its kept rows; none if none changed.
    pub number: Option<i32>,
    /// The next number of its identity column, if that changed.
    pub next: Option<i64>,
    /// The digest of what was pushed last before; none if an earlier version kept the rows. It differs from `digest`
    /// if others had changed rows.
    pub pushed_digest: Option<TableDigest>,
    /// Its plan, if anything of it changed.
    pub plan: Option<TablePlan>,
    /// It had no rows, and all that it has now are of the push.
    pub was_empty: bool,
}

impl RecordedUndo {
    /// Whether the push changed anything of the table.
    pub(crate) fn is_changed(&self) -> bool {
        self.number.is_some() || self.next.is_some() || self.was_empty
    }

    /// Whether no push had brought the table into the record before.
    pub(crate) fn was_unrecorded(&self) -> bool {
        self.run_key.is_empty()
    }
}

/// Everything that the last push kept.
///
/// # Errors
/// `Target*`.
pub(crate) async fn read(control: &Session, schema: &str) -> Result<Vec<RecordedUndo>> {
    let doing = "reading what the last push kept";
    let there = control.query_rows(doing, "SELECT 1 WHERE to_regclass('turso2neon.undo') IS NOT NULL", &[]).await?;
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT name, source, fingerprint, run_key, digest, run_id, number, next, plan, \
                 to_jsonb(u) ->> 'pushed_digest', \
                 coalesce((to_jsonb(u) ->> 'was_empty')::boolean, false) FROM turso2neon.undo u \
               WHERE target_schema = $1 ORDER BY name COLLATE \"C\"";
    let rows = control.query_rows(doing, sql, &[&schema]).await?;
    let read = |row: &Row<'_>| {
        Ok(RecordedUndo {
            name: row.get(0)?,
            source: row.get(1)?,
            fingerprint: row.get(2)?,
            run_key: row.get(3)?,
            digest: row.get::<&str>(4)?.parse().ok(),
            run_id: row.get(5)?,
            number: row.get(6)?,
            next: row.get(7)?,
            pushed_digest: row.get::<Option<&str>>(9)?.and_then(|text| text.parse().ok()),
            plan: row.get::<Option<&str>>(8)?.and_then(|text| serde_json::from_str(text).ok()),
            was_empty: row.get(10)?,
        })
    };
    rows.iter().map(read).collect()
}

/// The relations that hold the kept rows of one table, in the form in which they are applied.
pub(crate) fn rows(schema: &str, run_id: i64, number: i32) -> ChangedRows {
    let name = |word: &str| qualified(&changed_rows_schema(schema), &format!("{run_id}_{number}_{word}"));
    ChangedRows { inserts: name("ins"), updates: name("upd"), deletes: name("del") }
}

/// The statements that keep the rows which a change is about to touch. `nexts` are the next numbers of identity columns
/// that will change, by table; `equal` are the tables that the change does not touch, with the digests that they were
/// found to have, and `empty` those that have no rows yet and get all of theirs.
pub(crate) fn keep(
    schema: &str,
    run_id: i64,
    items: &[TableChange<'_>],
    nexts: &[(&TablePlan, i64)],
    equal: &[(&str, TableDigest)],
    empty: &[&TablePlan],
) -> Vec<String> {
    let home = changed_rows_schema(schema);
    let comment = format!("turso2neon: rows that the last push into schema {schema} changed");
    let mut sql =
        vec![format!("CREATE SCHEMA IF NOT EXISTS {}", quote_ident(&home)), ddl::comment_on_schema(&home, &comment)];
    let mut values = Vec::new();
    for (item, number) in items.iter().zip(0_i32..) {
        let (shape, table) = (&item.shape, item.shape.table);
        let kept = rows(schema, run_id, number);
        let old = shape.before_update(schema, &item.rows.updates);
        sql.push(format!(
            "CREATE TABLE {} AS {}",
            kept.inserts,
            shape.named(&shape.stored_columns("t."), schema, &item.rows.deletes)
        ));
        sql.push(format!("CREATE TABLE {} AS {old}", kept.updates));
        sql.push(format!("CREATE TABLE {} AS {}", kept.deletes, shape.list_of(&item.rows.inserts)));
        let digest = table_digest::query(schema, &table.name, table.compared_columns());
        values.push(format!(
            "({}, {number}, ({digest}), NULL::bigint, {}, NULL::boolean)",
            quote_literal(&table.name),
            written(table)
        ));
    }
    let next = |(table, next): &(&TablePlan, i64)| {
        format!("({}, NULL, NULL, {next}, {}, NULL)", quote_literal(&table.name), written(table))
    };
    values.extend(nexts.iter().map(next));
    let untouched = |(name, digest): &(&str, TableDigest)| {
        format!("({}, NULL, {}, NULL, NULL, NULL)", quote_literal(name), quote_literal(&digest.to_string()))
    };
    values.extend(equal.iter().map(untouched));
    let filled = |table: &&TablePlan| {
        let digest = quote_literal(&TableDigest::EMPTY.to_string());
        format!("({}, NULL, {digest}, NULL, {}, true)", quote_literal(&table.name), written(table))
    };
    values.extend(empty.iter().map(filled));
    values.push("(NULL::text, NULL::integer, NULL::text, NULL::bigint, NULL::text, NULL::boolean)".to_owned());
    let place = quote_literal(schema);
    sql.push(format!("DELETE FROM turso2neon.undo WHERE target_schema = {place}"));
    sql.push(format!(
        "INSERT INTO turso2neon.undo (target_schema, run_id, name, source, fingerprint, run_key, digest, number, next, plan, \
           pushed_digest, was_empty) \
         SELECT t.target_schema, {run_id}, t.name, t.source, t.fingerprint, t.run_key, \
           coalesce(max(v.digest), t.digest), max(v.number), max(v.next), max(v.plan), t.digest, bool_or(v.was_empty) \
         FROM turso2neon.tables t LEFT JOIN (VALUES {}) AS v(name, number, digest, next, plan, was_empty) ON v.name = t.name \
         WHERE t.target_schema = {place} AND t.state = 'live' \
         GROUP BY t.target_schema, t.name, t.source, t.fingerprint, t.run_key, t.digest",
        values.join(", ")
    ));
    sql
}

/// A table's plan as a literal, without what the profile saw in its values.
fn written(table: &TablePlan) -> String {
    let mut table = table.clone();
    table.columns.iter_mut().for_each(|column| column.evidence = ColumnProfile::default());
    serde_json::to_string(&table).map_or_else(|_| "NULL".to_owned(), |text| quote_literal(&text))
}

/// The statements that drop what a former push kept.
pub(crate) fn drop_kept<'a>(schema: &str, kept: impl IntoIterator<Item = &'a RecordedUndo>) -> Vec<String> {
    let numbered = kept.into_iter().filter_map(|table| Some((table.run_id, table.number?)));
    let names: Vec<String> = numbered
        .map(|(run_id, number)| rows(schema, run_id, number))
        .flat_map(|ChangedRows { inserts, updates, deletes }| [inserts, updates, deletes])
        .collect();
    if names.is_empty() { Vec::new() } else { vec![format!("DROP TABLE IF EXISTS {} RESTRICT", names.join(", "))] }
}

/// The same where nothing is kept instead.
pub(crate) fn forget(schema: &str, kept: &[RecordedUndo]) -> Vec<String> {
    if kept.is_empty() {
        return Vec::new();
    }
    let mut sql = drop_kept(schema, kept);
    sql.push(format!("DELETE FROM turso2neon.undo WHERE target_schema = {}", quote_literal(schema)));
    sql.push(format!("DROP SCHEMA IF EXISTS {} RESTRICT", quote_ident(&changed_rows_schema(schema))));
    sql
}
