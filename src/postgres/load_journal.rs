//! What the local PostgreSQL itself knows of a load: rows in a schema of the tool's own that commit together with what
//! they speak of. They are the authority on which tables the tool made and which chunks are loaded, whatever happened
//! to the tool or its checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use super::{Session, copy::row_digest::RowDigest, session::Row};
use crate::{
    error::{Error, Result},
    model::identifier::{quote_ident, quote_literal},
};

/// The schema of the markers.
pub const SCHEMA: &str = "turso2neon";

const TABLES: &str = "\
CREATE SCHEMA IF NOT EXISTS turso2neon;
CREATE TABLE IF NOT EXISTS turso2neon.load (load_key text NOT NULL, scope text NOT NULL, finished boolean NOT NULL);
CREATE TABLE IF NOT EXISTS turso2neon.made (schema_name text NOT NULL, table_name text NOT NULL, oid bigint NOT NULL);
CREATE TABLE IF NOT EXISTS turso2neon.made_object (schema_name text NOT NULL, kind text NOT NULL,
  object_name text NOT NULL, oid bigint NOT NULL);
CREATE TABLE IF NOT EXISTS turso2neon.created (object text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS turso2neon.dropping (number integer PRIMARY KEY, after_tables boolean NOT NULL,
  statement text NOT NULL);
CREATE TABLE IF NOT EXISTS turso2neon.chunk (table_name text NOT NULL, number integer NOT NULL, low bigint, high bigint,
  row_count bigint NOT NULL, byte_count bigint NOT NULL, digest text NOT NULL,
  ledger_count bigint NOT NULL, ledger_digest text NOT NULL, PRIMARY KEY (table_name, number))";

words! {
    /// How much of the plan a load carries out.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum LoadScope: word {
        /// Tables, rows, keys and indexes.
        All = "all",
        /// Everything but rows.
        Schema = "schema",
        /// Rows alone, into tables that are there.
        Data = "data",
    }
}

/// The load that the markers belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedLoad {
    /// The digest of what is loaded: another dump or plan has another key.
    pub key: String,
    /// How much of it.
    pub scope: LoadScope,
    /// Whether it came to its end.
    pub finished: bool,
}

/// A chunk that was committed with this row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedChunk {
    /// PostgreSQL's name of the table.
    pub table: String,
    /// Which chunk of the table, from 0.
    pub number: u32,
    /// First and last rowid of a part of a table; none for a whole table.
    pub bounds: Option<(i64, i64)>,
    /// Rows.
    pub rows: u64,
    /// Bytes of these rows in COPY's binary format.
    pub bytes: u64,
    /// Their digest as they were sent.
    pub digest: RowDigest,
    /// Rows of the off-type table that came with them.
    pub offtype_rows: u64,
    /// The digest of these.
    pub offtype_digest: RowDigest,
}

/// A table that the tool made and that is still the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CreatedTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
}

/// Makes the marker tables unless they are there.
///
/// # Errors
/// By role and SQLSTATE.
pub async fn prepare(session: &Session) -> Result<()> {
    session.batch("making the marker tables", TABLES).await
}

/// The load that is recorded; none on a server that knows of none.
///
/// # Errors
/// By role and SQLSTATE.
pub async fn recorded(session: &Session) -> Result<Option<RecordedLoad>> {
    let doing = "reading the load's marker";
    if !session.query_value::<bool>(doing, "SELECT to_regclass('turso2neon.load') IS NOT NULL", &[]).await? {
        return Ok(None);
    }
    let rows = session.query_rows(doing, "SELECT load_key, scope, finished FROM turso2neon.load", &[]).await?;
    let load = |row: &Row<'_>| Ok(RecordedLoad { key: row.get(0)?, scope: row.parse(1)?, finished: row.get(2)? });
    rows.first().map(load).transpose().map_err(not_ours)
}

/// The statements that record this load as the only one; what was loaded before keeps its markers.
#[must_use]
pub fn record_sql(load: &RecordedLoad) -> String {
    format!(
        "DELETE FROM turso2neon.load; INSERT INTO turso2neon.load VALUES ({}, {}, {})",
        quote_literal(&load.key),
        quote_literal(load.scope.word()),
        load.finished
    )
}

/// The statements that forget the load and its chunks; the tables that were made stay known.
pub const FORGET: &str = "DELETE FROM turso2neon.chunk; DELETE FROM turso2neon.load";

/// The statement that records a table as made, for the transaction that makes it.
#[must_use]
pub fn made_sql(schema: &str, table: &str) -> String {
    let (schema_text, table_text) = (quote_literal(schema), quote_literal(table));
    let name = quote_literal(&format!("{}.{}", quote_ident(schema), quote_ident(table)));
    format!("INSERT INTO turso2neon.made SELECT {schema_text}, {table_text}, {name}::regclass::oid::bigint")
}

/// The statement that forgets a table, for the transaction that drops it.
#[must_use]
pub fn unmade_sql(made: &CreatedTable) -> String {
    format!(
        "DELETE FROM turso2neon.made WHERE schema_name = {} AND table_name = {}",
        quote_literal(&made.schema),
        quote_literal(&made.table)
    )
}

/// The statement that records a view (`view`) or a trigger function (`function`) as made, for the transaction that
/// makes it.
#[must_use]
pub fn made_object_sql(schema: &str, kind: &str, name: &str) -> String {
    let whole = format!("{}.{}", quote_ident(schema), quote_ident(name));
    let (class, whole) = if kind == "view" { ("regclass", whole) } else { ("regprocedure", format!("{whole}()")) };
    format!(
        "INSERT INTO turso2neon.made_object SELECT {}, {}, {}, {}::{class}::oid::bigint",
        quote_literal(schema),
        quote_literal(kind),
        quote_literal(name),
        quote_literal(&whole)
    )
}

/// The statement that forgets a view or function, for the transaction that drops it.
#[must_use]
pub fn unmade_object_sql(kind: &str, schema: &str, name: &str) -> String {
    format!(
        "DELETE FROM turso2neon.made_object WHERE kind = {} AND schema_name = {} AND object_name = {}",
        quote_literal(kind),
        quote_literal(schema),
        quote_literal(name)
    )
}

/// Drops the views, triggers and trigger functions that the tool made and that are there still, those that were made
/// last first, and never with CASCADE.
///
/// # Errors
/// By role and SQLSTATE.
pub async fn drop_objects(session: &Session) -> Result<()> {
    let doing = "dropping views and triggers of an earlier load";
    let sql = "SELECT format('DROP TRIGGER %I ON %s', g.tgname, g.tgrelid::regclass) FROM turso2neon.made_object m \
               JOIN pg_trigger g ON g.tgfoid::bigint = m.oid WHERE m.kind = 'function' AND NOT g.tgisinternal \
               UNION ALL SELECT format('DROP FUNCTION %s', p.oid::regprocedure) FROM turso2neon.made_object m \
               JOIN pg_proc p ON p.oid::bigint = m.oid WHERE m.kind = 'function'";
    let mut drops: Vec<String> = session.query_column(doing, sql, &[]).await?;
    let sql = "SELECT format('DROP VIEW %s', c.oid::regclass) FROM turso2neon.made_object m \
               JOIN pg_class c ON c.oid::bigint = m.oid WHERE m.kind = 'view' AND c.relkind = 'v' ORDER BY m.oid DESC";
    drops.extend(session.query_column::<String>(doing, sql, &[]).await?);
    drops.push("DELETE FROM turso2neon.made_object".to_owned());
    session.batch(doing, &drops.join("; ")).await
}

/// The statement that records an object of an existing schema as created, for the transaction that creates it.
#[must_use]
pub fn created_sql(object: &str) -> String {
    format!("INSERT INTO turso2neon.created VALUES ({})", quote_literal(object))
}

/// The statement that forgets which objects of an existing schema are created after the rows.
pub const FORGET_CREATED: &str = "DELETE FROM turso2neon.created";

/// The objects of an existing schema that are created after the rows and that are there.
///
/// # Errors
/// By role and SQLSTATE.
pub async fn created_objects(session: &Session) -> Result<BTreeSet<String>> {
    let sql = "SELECT object FROM turso2neon.created";
    Ok(session.query_column("reading which objects are created", sql, &[]).await?.into_iter().collect())
}

/// The statements that record how the objects of an existing schema are dropped: before its tables, and after them.
#[must_use]
pub fn record_drops(drops: &[Vec<String>; 2]) -> Vec<String> {
    let [before, after] = drops;
    let all = before.iter().map(|sql| (false, sql)).chain(after.iter().map(|sql| (true, sql)));
    let rows =
        (1..).zip(all).map(|(number, (is_after, sql))| format!("({number}, {is_after}, {})", quote_literal(sql)));
    vec![
        "DELETE FROM turso2neon.dropping".to_owned(),
        format!("INSERT INTO turso2neon.dropping VALUES {}", rows.collect::<Vec<_>>().join(", ")),
    ]
}

/// Drops the objects of an existing schema that an earlier load created, those before its tables or those after them.
///
/// # Errors
/// By role and SQLSTATE.
pub async fn drop_existing_schema(session: &Session, after_tables: bool) -> Result<()> {
    let doing = "dropping the objects of an earlier load";
    let condition = if after_tables { "after_tables" } else { "NOT after_tables" };
    let sql = format!("SELECT statement FROM turso2neon.dropping WHERE {condition} ORDER BY number");
    let statements: Vec<String> = session.query_column(doing, &sql, &[]).await?;
    if statements.is_empty() {
        return Ok(());
    }
    let forget = format!("DELETE FROM turso2neon.dropping WHERE {condition}; {FORGET_CREATED}");
    session.batch(doing, &format!("BEGIN; {}; {forget}; COMMIT", statements.join("; "))).await
}

/// The statement that forgets the chunks of a table, for the transaction that drops it.
#[must_use]
pub fn forget_chunks_sql(table: &str) -> String {
    format!("DELETE FROM turso2neon.chunk WHERE table_name = {}", quote_literal(table))
}

/// The tables that the tool made and that are there still. A table of the same name that somebody else made later has
/// another identity and isn't among them.
///
/// # Errors
/// By role and SQLSTATE.
pub async fn made(session: &Session) -> Result<Vec<CreatedTable>> {
    let sql = "SELECT m.schema_name, m.table_name FROM turso2neon.made m JOIN pg_class c ON c.oid::bigint = m.oid \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = m.schema_name AND c.relname = m.table_name ORDER BY 1, 2";
    let rows = session.query_rows("reading which tables were made", sql, &[]).await?;
    let made = |row: &Row<'_>| Ok(CreatedTable { schema: row.get(0)?, table: row.get(1)? });
    rows.iter().map(made).collect::<Result<_>>().map_err(not_ours)
}

/// The statement that records a chunk, for the transaction that loads it. A second one for the same chunk fails.
#[must_use]
pub fn chunk_sql(chunk: &CommittedChunk) -> String {
    let bound = |bound: Option<i64>| bound.map_or_else(|| "NULL".to_owned(), |number| number.to_string());
    format!(
        "INSERT INTO turso2neon.chunk VALUES ({}, {}, {}, {}, {}, {}, '{}', {}, '{}')",
        quote_literal(&chunk.table),
        chunk.number,
        bound(chunk.bounds.map(|bounds| bounds.0)),
        bound(chunk.bounds.map(|bounds| bounds.1)),
        chunk.rows,
        chunk.bytes,
        chunk.digest,
        chunk.offtype_rows,
        chunk.offtype_digest
    )
}

/// The chunks that are committed, by table and number.
///
/// # Errors
/// By role and SQLSTATE.
pub async fn chunks(session: &Session) -> Result<BTreeMap<(String, u32), CommittedChunk>> {
    let sql = "SELECT table_name, number, low, high, row_count, byte_count, digest, ledger_count, ledger_digest \
               FROM turso2neon.chunk";
    let rows = session.query_rows("reading which chunks are loaded", sql, &[]).await?;
    let chunk = |row: &Row<'_>| {
        let chunk = CommittedChunk {
            table: row.get(0)?,
            number: row.get::<i32>(1)?.cast_unsigned(),
            bounds: row.get::<Option<i64>>(2)?.zip(row.get(3)?),
            rows: row.count(4)?,
            bytes: row.count(5)?,
            digest: row.parse(6)?,
            offtype_rows: row.count(7)?,
            offtype_digest: row.parse(8)?,
        };
        Ok(((chunk.table.clone(), chunk.number), chunk))
    };
    rows.iter().map(chunk).collect::<Result<_>>().map_err(not_ours)
}

/// The markers are of a form that this tool doesn't write.
fn not_ours(error: Error) -> Error {
    error.with_hint("drop the schema turso2neon and the tables that were loaded, then run `turso2neon convert` again")
}
