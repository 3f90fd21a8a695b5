//! Loads columns whose types PostgreSQL's own text input reads: rows go into a temporary table in which these columns
//! are `text`, and from there into their table, in one transaction.
//!
//! The proof has two parts. The temporary table is read back and compared, by digest, with what was sent. Of the same
//! rows, with the texts that PostgreSQL prints of the values, a second digest is made. It is the chunk's: when the load
//! has ended, the table is read back and compared with it.

use std::pin::pin;

use futures_util::StreamExt as _;

use super::{readback::MalformedStream, row_encoder::ChunkTotals};
use crate::{
    error::{Error, Kind, Result},
    model::{
        ColumnPlan, TablePlan,
        identifier::{qualified, quote_ident},
    },
    postgres::{
        Session,
        copy::{
            self,
            binary_decode::{self, RowCutter},
            binary_encode,
            row_digest::{RowDigest, RowHasher},
        },
    },
};

/// The schema of temporary tables.
const SCHEMA: &str = "pg_temp";

/// The temporary table.
const TABLE: &str = "turso2neon_text_input";

/// Creates the temporary table for the rows of a table.
///
/// # Errors
/// `LocalRejected`, `LocalUnreachable`.
pub(super) async fn begin(session: &Session, schema: &str, table: &TablePlan) -> Result<()> {
    let column = |column: &ColumnPlan| {
        let name = quote_ident(&column.name);
        if column.by_text_input() { format!("t.{name}::text AS {name}") } else { format!("t.{name}") }
    };
    let list: Vec<String> = table.loaded_columns().map(column).collect();
    let from = qualified(schema, &table.name);
    let sql = format!(
        "CREATE TEMP TABLE {} ON COMMIT DROP AS SELECT {} FROM {from} AS t WITH NO DATA",
        quote_ident(TABLE),
        list.join(", ")
    );
    session.batch("creating a temporary table", &sql).await
}

/// The statement that sends rows into the temporary table.
pub(super) fn copy_statement(table: &TablePlan) -> String {
    copy::statement(SCHEMA, TABLE, &table.copy_columns())
}

/// Carries the rows from the temporary table into their table, proves both, and drops the temporary table. Returns
/// the digest of the rows with the texts that PostgreSQL prints.
///
/// # Errors
/// `DataRefused`, `LocalRejected`, `LocalUnreachable`.
pub(super) async fn end(session: &Session, schema: &str, table: &TablePlan, totals: &ChunkTotals) -> Result<RowDigest> {
    let types = types(session, schema, table).await?;
    let value = |column: &ColumnPlan, name: String| match types.iter().find(|(name, _)| *name == column.name) {
        Some((_, pg_type)) if column.by_text_input() => format!("{name}::{pg_type}"),
        _ => name,
    };
    let named = |column: &ColumnPlan| format!("s.{}", quote_ident(&column.name));
    let values: Vec<String> = table.loaded_columns().map(|column| value(column, named(column))).collect();
    let staged = qualified(SCHEMA, TABLE);
    let insert = format!(
        "WITH inserted AS (INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {staged} AS s RETURNING 1) \
         SELECT count(*) FROM inserted",
        qualified(schema, &table.name),
        table.copy_columns(),
        values.join(", ")
    );
    let inserted = session.query_row("reading texts by their type", &insert, &[]).await?.count(0)?;
    let raw = table.loaded_columns().map(named);
    let read = table.loaded_columns().filter(|column| column.by_text_input());
    let shown = read.map(|column| format!("({})::text", value(column, named(column))));
    let list: Vec<String> = raw.chain(shown).collect();
    let sql = format!("COPY (SELECT {} FROM {staged} AS s) TO STDOUT (FORMAT binary)", list.join(", "));
    let found = digests(session, &sql, table).await?;
    if (inserted, found.rows, found.sent) != (totals.rows, totals.rows, totals.digest) {
        let what = format!("{} rows were sent, {} were staged and {inserted} inserted", totals.rows, found.rows);
        return Err(Error::new(Kind::LocalRejected, what)
            .with_hint("run `turso2neon convert --fresh`; if it happens twice, report it"));
    }
    session.batch("dropping a temporary table", &format!("DROP TABLE {staged}")).await?;
    Ok(found.shown)
}

/// The types of a table's columns without their length and precision: with these a cast would cut silently what an
/// insertion refuses.
async fn types(session: &Session, schema: &str, table: &TablePlan) -> Result<Vec<(String, String)>> {
    let sql = "SELECT a.attname::text, format_type(a.atttypid, -1) FROM pg_attribute a \
               WHERE a.attrelid = $1::text::regclass AND a.attnum > 0 AND NOT a.attisdropped";
    let name = qualified(schema, &table.name);
    let rows = session.query_rows("looking at types", sql, &[&name]).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Two digests of the staged rows.
#[derive(Default)]
struct StagedDigests {
    rows: u64,
    /// As they were sent.
    sent: RowDigest,
    /// With the texts that PostgreSQL prints.
    shown: RowDigest,
}

async fn digests(session: &Session, sql: &str, table: &TablePlan) -> Result<StagedDigests> {
    let doing = "reading rows back";
    let stream = Box::pin(session.client().copy_out(sql)).await.map_err(|failure| session.error(doing, &failure))?;
    let mut stream = pin!(stream);
    let by_text: Vec<bool> = table.loaded_columns().map(ColumnPlan::by_text_input).collect();
    let fields = i16::try_from(by_text.len()).map_err(|_| Error::new(Kind::Bug, "more columns than a row can have"))?;
    let (mut hasher, mut cutter) = (RowHasher::new(table.loaded_columns()), RowCutter::default());
    let mut found = StagedDigests::default();
    let (mut sent, mut shown) = (Vec::new(), Vec::new());
    while let Some(message) = stream.next().await {
        let message = message.map_err(|failure| session.error(doing, &failure))?;
        cutter.feed(&message, |row| {
            let mut printed = binary_decode::fields(row).skip(by_text.len());
            sent.clear();
            shown.clear();
            binary_encode::row(&mut sent, fields);
            binary_encode::row(&mut shown, fields);
            for (field, by_text) in binary_decode::fields(row).zip(&by_text) {
                append(&mut sent, field)?;
                append(&mut shown, if *by_text { printed.next().flatten() } else { field })?;
            }
            found.sent.add(hasher.hash(&sent)?);
            found.shown.add(hasher.hash(&shown)?);
            found.rows += 1;
            Ok::<(), MalformedStream>(())
        })?;
    }
    cutter.finish().map_err(MalformedStream::from)?;
    Ok(found)
}

fn append(out: &mut Vec<u8>, field: Option<&[u8]>) -> std::result::Result<(), MalformedStream> {
    match field {
        None => binary_encode::null(out),
        Some(field) => binary_encode::bytes(out, field).map_err(|_| MalformedStream)?,
    }
    Ok(())
}
