//! What the record of pushes says of tables that stay in place while their rows change.

use crate::{
    model::{TableDigest, TablePlan, identifier::quote_literal, table_digest::DigestColumn},
    stages::push::target::table_properties::PARTS,
};

/// What the record says of a live table.
pub(crate) struct LiveTableRecord<'a> {
    /// Its name.
    pub name: &'a str,
    /// SQLite's name.
    pub source: &'a str,
    /// Digest of its structure.
    pub fingerprint: &'a str,
    /// The digest of its rows.
    pub digest: TableDigest,
    /// The columns that the digest covers, as JSON; none after a rollback, which wrote rows of others, too.
    pub columns: Option<String>,
}

/// The statement that enters a table which is on the target and which no push has brought. `digest` is an expression for
/// the digest of its rows; `is_adopted` if the application made it.
pub(crate) fn enter(schema: &str, name: &str, digest: &str, is_adopted: bool) -> String {
    let (place, table) = (quote_literal(schema), quote_literal(name));
    format!(
        "INSERT INTO turso2neon.tables (target_schema, state, name, source, oid, run_id, run_key, fingerprint, row_count, \
           digest, chunk_count, parts, is_adopted) \
         SELECT {place}, 'live', {table}, {table}, c.oid, 0, '', '', 0, {digest}, 0, {PARTS}, {is_adopted} \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = {place} AND c.relname = {table} \
         ON CONFLICT (target_schema, state, name) DO UPDATE SET oid = EXCLUDED.oid, run_id = 0, run_key = '', \
           fingerprint = '', digest = EXCLUDED.digest, parts = EXCLUDED.parts, columns = NULL, structure = NULL, \
           contract = NULL, is_adopted = EXCLUDED.is_adopted"
    )
}

/// The statement that forgets live tables of these names; none without names.
pub(crate) fn forget_live(schema: &str, names: &[&str]) -> Option<String> {
    let list: Vec<String> = names.iter().map(|name| quote_literal(name)).collect();
    let place = quote_literal(schema);
    (!list.is_empty()).then(|| {
        format!(
            "DELETE FROM turso2neon.tables WHERE target_schema = {place} AND state = 'live' AND name IN ({})",
            list.join(", ")
        )
    })
}

/// The columns that the digest of a table covers, as the record has them.
pub(crate) fn digest_columns(table: &TablePlan) -> String {
    let columns: Vec<DigestColumn> = table.compared_columns().into_iter().map(DigestColumn::from).collect();
    serde_json::to_string(&columns).unwrap_or_default()
}

/// The statement that records the new content of tables which stay in place; none without tables.
pub(crate) fn live(schema: &str, run_id: i64, run_key: &str, tables: &[LiveTableRecord<'_>]) -> Option<String> {
    if tables.is_empty() {
        return None;
    }
    let values = tables.iter().map(|table| {
        let [name, source, fingerprint, digest] =
            [table.name, table.source, table.fingerprint, &table.digest.to_string()].map(quote_literal);
        let columns = table.columns.as_ref().map_or("NULL".to_owned(), |columns| quote_literal(columns));
        format!("({name}, {source}, {fingerprint}, {digest}, {}::bigint, {columns}::text)", table.digest.rows)
    });
    Some(format!(
        "UPDATE turso2neon.tables t SET run_id = {run_id}, run_key = {}, source = v.source, fingerprint = v.fingerprint, \
         digest = v.digest, row_count = v.row_count, columns = coalesce(v.columns, t.columns), \
         pushed_xid = CASE WHEN v.columns IS NOT NULL THEN pg_current_xact_id()::text END \
         FROM (VALUES {}) AS v(name, source, fingerprint, digest, row_count, columns) \
         WHERE t.target_schema = {} AND t.state = 'live' AND t.name = v.name",
        quote_literal(run_key),
        values.collect::<Vec<_>>().join(", "),
        quote_literal(schema)
    ))
}
