//! Reads all rows of a table, or those of a range of rowids: from the pages where that is possible, else through SQLite.

use std::{ops::ControlFlow, path::Path};

use rusqlite::{Connection, Row, types::ValueRef};

use super::{
    error_map, open,
    pages::{PageFile, Record, ScanEnd, TableLayout, scan},
};
use crate::{
    error::{Error, Kind, Result},
    model::cell::SqliteCell,
};

/// A row of a table: the cells of the columns that were asked for, after the rowid where there is one.
#[derive(Debug, Clone, Copy)]
pub enum SourceRow<'a> {
    /// As SQLite gives it.
    Sqlite(&'a Row<'a>),
    /// As a page of the table holds it.
    Page(&'a Record<'a>),
}

impl<'a> SourceRow<'a> {
    /// The cell of this position; NULL for a position that the query doesn't have.
    #[inline]
    #[must_use]
    pub fn cell(self, index: usize) -> SqliteCell<'a> {
        match self {
            Self::Page(record) => record.cell(index),
            Self::Sqlite(row) => row.get_ref(index).map_or(SqliteCell::Null, cell_of),
        }
    }
}

/// The value as the model's word for it.
#[inline]
#[must_use]
pub fn cell_of(value: ValueRef<'_>) -> SqliteCell<'_> {
    match value {
        ValueRef::Null => SqliteCell::Null,
        ValueRef::Integer(value) => SqliteCell::Integer(value),
        ValueRef::Real(value) => SqliteCell::Real(value),
        ValueRef::Text(text) => SqliteCell::Text(text),
        ValueRef::Blob(blob) => SqliteCell::Blob(blob),
    }
}

/// What is read of a table.
#[derive(Debug, Clone)]
pub struct TableQuery {
    /// The table.
    pub table: String,
    /// The columns, by their names in SQLite.
    pub columns: Vec<String>,
    /// Reads every row: the rowid first where there is one, then the columns.
    pub every: String,
    /// As `every`, from the rowid `?1` on in the order of rowids; none without rowid. It has no end, because comparing
    /// each rowid in SQLite costs more than leaving off.
    pub from_rowid: Option<String>,
}

/// A dump file that is read.
#[derive(Debug)]
pub struct TableReader {
    connection: Connection,
    pages: Option<PageFile>,
}

impl TableReader {
    /// Opens a file.
    ///
    /// # Errors
    /// As [`open::read_only`].
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self { connection: open::read_only(path)?, pages: PageFile::open(path) })
    }

    /// The connection to the same file.
    #[must_use]
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Hands over the rows, those from `first` on if it is given, until `each` breaks off.
    ///
    /// # Errors
    /// `SourceInvalid` if the file can't be read; those of `each`.
    pub fn rows<E: From<Error>>(
        &mut self,
        query: &TableQuery,
        first: Option<i64>,
        mut each: impl FnMut(SourceRow<'_>) -> std::result::Result<ControlFlow<()>, E>,
    ) -> std::result::Result<(), E> {
        let mut first = first;
        if let (Some(pages), Some(_)) = (&mut self.pages, &query.from_rowid) {
            let columns: Vec<&str> = query.columns.iter().map(String::as_str).collect();
            if let Some(layout) = TableLayout::of(&self.connection, &query.table, &columns) {
                let end = scan(pages, &layout, first.unwrap_or(i64::MIN), |record| each(SourceRow::Page(record)))?;
                let last = match end {
                    ScanEnd::Complete => return Ok(()),
                    // Nothing follows the greatest rowid.
                    ScanEnd::OutOfOrder | ScanEnd::Unexpected { last: Some(i64::MAX) } => {
                        let what = "the pages of the table in the dump are damaged: its rows are not in the order of their rowids";
                        let error = Error::new(Kind::SourceInvalid, what);
                        return Err(error.with_hint("run `turso2neon dump --fresh`").into());
                    }
                    ScanEnd::Unexpected { last } => last,
                };
                first = last.map(|last| last.saturating_add(1)).or(first);
            }
        }
        let failed = |failure: rusqlite::Error| E::from(error_map::describe("reading the rows", &failure));
        let sql = query.from_rowid.as_ref().filter(|_| first.is_some()).unwrap_or(&query.every);
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = match first {
            Some(first) => statement.query([first]),
            None => statement.query([]),
        }
        .map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            if each(SourceRow::Sqlite(row))?.is_break() {
                break;
            }
        }
        Ok(())
    }
}
