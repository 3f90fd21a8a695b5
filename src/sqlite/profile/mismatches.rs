//! Finds cells that a conversion doesn't accept: which row has the first, how many rows have one.

use std::ops::ControlFlow;

use rusqlite::{Row, functions::FunctionFlags, types::ValueRef};

use super::{Candidate, Mismatches};
use crate::{
    error::{Error, Result, ResultExt as _},
    model::{cell::SqliteCell, identifier::quote_ident},
    rules::{type_choice::value_check, value_shape::json::Checker},
    sqlite::{
        error_map,
        table_rows::{SourceRow, TableQuery, TableReader},
    },
};

/// Rows between two looks at a cancellation request.
const ROWS_PER_LOOK: i64 = 4096;

/// Looks at columns of one table again.
pub struct MismatchScan<'a> {
    /// The dump.
    pub reader: &'a mut TableReader,
    /// The table.
    pub table: &'a str,
    /// The name of its rowid; places are positions from 1 without one.
    pub rowid: Option<&'a str>,
    /// Whether the table accepts NOT INDEXED.
    pub is_virtual: bool,
    /// Called now and then; its error ends the look.
    pub check: &'a dyn Fn() -> Result<()>,
}

impl MismatchScan<'_> {
    /// How many rows have a cell in one of these columns that isn't taken. With each column what becomes of its cells,
    /// and whether an empty TEXT is read as NULL.
    ///
    /// # Errors
    /// `SourceInvalid` if the file can't be read; what `check` returns.
    pub fn rows_with_mismatches(&mut self, columns: &[(&str, Candidate, bool)]) -> Result<u64> {
        let names: Vec<&str> = columns.iter().map(|(name, ..)| *name).collect();
        let (mut count, mut json) = (0, Checker::default());
        self.cells(&names, |_, row, first| {
            for (at, (_, candidate, empty_as_null)) in columns.iter().enumerate() {
                let value = row.cell(first + at);
                let is_null = *empty_as_null && value == SqliteCell::Text(b"");
                if !is_null && !value_check::accepts(&candidate.pg_type, candidate.conversion, value, &mut json) {
                    count += 1;
                    break;
                }
            }
            true
        })?;
        Ok(count)
    }

    /// Where the first cell is that leaves none of these candidates possible.
    ///
    /// # Errors
    /// As [`Self::rows_with_mismatches`].
    pub fn first_mismatch(&mut self, column: &str, mut candidates: Vec<Candidate>) -> Result<Option<i64>> {
        let (mut found, mut json) = (None, Checker::default());
        self.cells(&[column], |place, row, first| {
            let value = row.cell(first);
            candidates.retain(|one| value_check::accepts(&one.pg_type, one.conversion, value, &mut json));
            if candidates.is_empty() {
                found = Some(place);
            }
            found.is_none()
        })?;
        Ok(found)
    }

    /// Texts of a UTF-16 database that SQLite itself reads as other texts: a surrogate without its partner takes the
    /// next character with it (SQLite, `utf.c`). Those that aren't valid UTF-8 then are left out.
    ///
    /// # Errors
    /// As [`Self::rows_with_mismatches`].
    pub fn misread_surrogates(&self, column: &str, big_endian: bool) -> Result<Mismatches> {
        let failed = |failure: rusqlite::Error| error_map::describe("looking at UTF-16 texts", &failure);
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        self.reader
            .connection()
            .create_scalar_function("turso2neon_misread", 2, flags, move |context| {
                let (read, units) = (context.get_raw(0), context.get_raw(1));
                Ok(match (read, units) {
                    (ValueRef::Text(read), ValueRef::Blob(units)) => is_misread(read, units, big_endian),
                    _ => false,
                })
            })
            .map_err(failed)?;
        let name = qualified(column);
        let judged = format!("typeof({name}) = 'text' AND turso2neon_misread({name}, CAST({name} AS BLOB))");
        let mut found = Mismatches::default();
        self.rows(&[judged], |place, row, first| {
            if row.get::<_, bool>(first)? {
                found.count += 1;
                found.first.get_or_insert(place);
            }
            Ok(true)
        })?;
        Ok(found)
    }

    /// Hands over each row with its place and the position of the first of these columns, until stopped.
    fn cells(&mut self, columns: &[&str], mut each: impl FnMut(i64, SourceRow<'_>, usize) -> bool) -> Result<()> {
        let rowid = self.rowid.map(|name| format!("t.{name}"));
        let first = usize::from(rowid.is_some());
        let every = self.query(&columns.iter().map(|column| qualified(column)).collect::<Vec<_>>());
        let query = TableQuery {
            table: self.table.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            from_rowid: rowid.map(|rowid| format!("{every} WHERE {rowid} >= ?1 ORDER BY {rowid}")),
            every,
        };
        let (check, mut position) = (self.check, 0);
        let each_row = |row: SourceRow<'_>| {
            position += 1;
            if position % ROWS_PER_LOOK == 0 {
                check()?;
            }
            let place = match row.cell(0) {
                SqliteCell::Integer(rowid) if first == 1 => rowid,
                _ => position,
            };
            Ok::<_, Error>(if each(place, row, first) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        };
        self.reader.rows(&query, None, each_row).at_table(self.table)
    }

    /// Reads these expressions of each row, after the rowid where there is one.
    fn query(&self, expressions: &[String]) -> String {
        let rowid = self.rowid.map(|name| format!("t.{name}"));
        let list: Vec<String> = rowid.into_iter().chain(expressions.iter().cloned()).collect();
        let hint = if self.is_virtual { "" } else { " NOT INDEXED" };
        format!("SELECT {} FROM {} AS t{hint}", list.join(", "), quote_ident(self.table))
    }

    /// Hands over each row with its place and the position of the first of these expressions, until stopped.
    fn rows(
        &self,
        expressions: &[String],
        mut each: impl FnMut(i64, &Row<'_>, usize) -> rusqlite::Result<bool>,
    ) -> Result<()> {
        let failed =
            |failure: rusqlite::Error| error_map::describe("looking at values again", &failure).at_table(self.table);
        let first = usize::from(self.rowid.is_some());
        let mut statement = self.reader.connection().prepare(&self.query(expressions)).map_err(failed)?;
        let mut rows = statement.query(()).map_err(failed)?;
        let mut position = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            position += 1;
            if position % ROWS_PER_LOOK == 0 {
                (self.check)()?;
            }
            let place = if first == 1 { row.get(0).map_err(failed)? } else { position };
            if !each(place, row, first).map_err(failed)? {
                break;
            }
        }
        Ok(())
    }
}

fn qualified(column: &str) -> String {
    format!("t.{}", quote_ident(column))
}

/// Whether the UTF-8 form is valid although the units hold a surrogate without its partner.
fn is_misread(read: &[u8], units: &[u8], big_endian: bool) -> bool {
    let unit = |pair: &[u8; 2]| if big_endian { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) };
    let units = units.as_chunks::<2>().0.iter().map(unit);
    str::from_utf8(read).is_ok() && char::decode_utf16(units).any(|found| found.is_err())
}
