//! Writes `convert/rejects.jsonl`: the rows that the configuration keeps from being loaded, whole and exact, so that
//! they can be repaired and loaded.
//!
//! One JSON object per line: `table`; `rowid`, or `row` (the position from 1) in a table without one; `off_type`, the
//! columns whose cells don't fit; `cells`, each with `column`, `class` and `raw`: TEXT and BLOB as their bytes, INTEGER
//! as 8 bytes big-endian, REAL as its 8 IEEE bytes big-endian, all in hexadecimal. Names are SQLite's.

use std::io::{self, BufWriter, Write};

use rusqlite::Connection;

use super::{load_context::LoadContext, row_encoder::RowEncoder};
use crate::{
    error::{Error, Kind, Result, ResultExt as _},
    file_access,
    model::{TablePlan, cell::SqliteCell},
    sqlite::{self, table_rows::SourceRow},
    workdir::{atomic, hex},
};

/// Rows between two looks at a cancellation request.
const ROWS_PER_LOOK: u64 = 4096;

/// Writes the file, or removes an old one if no row is rejected.
///
/// # Errors
/// `ArtifactIo`, `SourceInvalid`, `Interrupted`; `ArtifactStale` if the dump has other rejected rows than the plan
/// says.
pub(super) fn write(work: &LoadContext) -> Result<()> {
    let path = work.ctx.workdir.rejects();
    let tables: Vec<&TablePlan> = work.plan.tables.iter().filter(|table| table.rejected > 0).collect();
    if tables.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(Kind::ArtifactIo, "removing", &path, &cause))
            }
            Ok(()) | Err(_) => Ok(()),
        };
    }
    let temporary = atomic::unfinished(&path);
    let failed = |cause: &io::Error| Error::io(Kind::ArtifactIo, "writing", &temporary, cause);
    let mut out = BufWriter::new(file_access::create(&temporary).map_err(|cause| failed(&cause))?);
    let connection = sqlite::open::read_only(&work.source)?;
    for table in tables {
        let rows =
            table_rows(work, &connection, table, &mut |line| out.write_all(line).map_err(|cause| failed(&cause)))
                .at_table(&table.source)?;
        if rows != table.rejected {
            let what = format!("{rows} rows are rejected, the plan counts {}", table.rejected);
            return Err(Error::new(Kind::ArtifactStale, what)
                .at_table(&table.source)
                .with_hint("run `turso2neon plan --fresh`, then `turso2neon convert`"));
        }
    }
    let file = out.into_inner().map_err(|cause| failed(cause.error()))?;
    file.sync_all().map_err(|cause| failed(&cause))?;
    atomic::publish(&temporary, &path)
}

fn table_rows(
    work: &LoadContext,
    connection: &Connection,
    table: &TablePlan,
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let failed = |failure: rusqlite::Error| sqlite::error_map::describe("reading the dump", &failure);
    let mut encoder = RowEncoder::new(table)?;
    let mut statement = connection.prepare(&table.source_query()).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let (mut position, mut rejected) = (0, 0);
    while let Some(row) = rows.next().map_err(failed)? {
        let row = SourceRow::Sqlite(row);
        position += 1;
        if position % ROWS_PER_LOOK == 0 {
            work.ctx.stop.check()?;
        }
        let off_type = encoder.rejecting(row);
        if off_type.is_empty() {
            continue;
        }
        rejected += 1;
        let names: Vec<&str> = off_type.iter().map(|column| column.source.as_str()).collect();
        write(line(table, &encoder, row, position, &names).as_bytes())?;
    }
    Ok(rejected)
}

fn line(table: &TablePlan, encoder: &RowEncoder<'_>, row: SourceRow<'_>, position: u64, off_type: &[&str]) -> String {
    let (word, number) = match row.cell(0) {
        SqliteCell::Integer(rowid) if table.address.rowid_name().is_some() => ("rowid", rowid.to_string()),
        _ => ("row", position.to_string()),
    };
    let cells: Vec<String> = encoder
        .cells(row)
        .map(|(column, cell)| {
            format!(
                "{{\"column\":{},\"class\":\"{}\",\"raw\":\"{}\"}}",
                serde_json::Value::from(column.source.as_str()),
                cell.class().word(),
                raw(cell)
            )
        })
        .collect();
    format!(
        "{{\"table\":{},\"{word}\":{number},\"off_type\":{},\"cells\":[{}]}}\n",
        serde_json::Value::from(table.source.as_str()),
        serde_json::Value::from(off_type.to_vec()),
        cells.join(",")
    )
}

fn raw(cell: SqliteCell<'_>) -> String {
    match cell {
        SqliteCell::Null => String::new(),
        SqliteCell::Integer(value) => hex(&value.to_be_bytes()),
        SqliteCell::Real(value) => hex(&value.to_bits().to_be_bytes()),
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => hex(bytes),
    }
}
