//! Rows that can't be loaded as they are: those with a cell that its column's conversion doesn't take.

use rusqlite::Connection;

use super::{Candidate, workers::cell};
use crate::{
    error::Result,
    model::{cell::SqliteCell, name::quote_ident},
    rules::{shape::json::Checker, type_choice::fit},
    sqlite::cause,
};

/// The columns of a table whose misfits keep a row from being loaded.
#[derive(Debug)]
pub struct MisfitScan<'a> {
    /// The table.
    pub table: &'a str,
    /// Columns, what becomes of their cells, and whether an empty TEXT is read as NULL.
    pub columns: Vec<(&'a str, Candidate, bool)>,
    /// Whether the table can be told not to use an index.
    pub is_virtual: bool,
}

/// How many rows have a misfit in one of the columns.
///
/// # Errors
/// `SourceInvalid` if the file can't be read.
pub fn rows_with_misfits(connection: &Connection, scan: &MisfitScan<'_>) -> Result<u64> {
    let failed = |failure: rusqlite::Error| cause::describe("counting rows to reject", &failure).at_table(scan.table);
    let columns: Vec<String> = scan.columns.iter().map(|(name, ..)| format!("t.{}", quote_ident(name))).collect();
    let hint = if scan.is_virtual { "" } else { " NOT INDEXED" };
    let sql = format!("SELECT {} FROM {} AS t{hint}", columns.join(", "), quote_ident(scan.table));
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query(()).map_err(failed)?;
    let (mut count, mut json) = (0, Checker::default());
    while let Some(row) = rows.next().map_err(failed)? {
        for (at, (_, candidate, empty_as_null)) in scan.columns.iter().enumerate() {
            let value = cell(row.get_ref(at).map_err(failed)?);
            let is_null = *empty_as_null && value == SqliteCell::Text(b"");
            if !is_null && !fit::accepts(&candidate.pg_type, candidate.conversion, value, &mut json) {
                count += 1;
                break;
            }
        }
    }
    Ok(count)
}
