//! Builds a database file from a schema's text and rows, byte for byte what the source stores.
//!
//! Rows are not inserted into the tables as declared: their rules would change them (affinity converts values that
//! an `ALTER TABLE` left behind), refuse them (NOT NULL, STRICT) or compute them anew (generated columns). Each
//! table begins as a plain one without types, of the same storage: rowid or key, record of the same columns. Shadow
//! tables of virtual tables are tables like others. When all rows are in, `sqlite_schema` is replaced by the
//! source's own text, then each index is filled by the engine under its real definition. Vector indexes have their
//! content in shadow tables and stay as they came.

use std::{panic::AssertUnwindSafe, path::Path};

use rusqlite::{
    Connection, ErrorCode, OpenFlags, Statement, ToSql,
    functions::FunctionFlags,
    types::{Null, ToSqlOutput, ValueRef},
};

use super::{
    content_digest::DatabaseHeader,
    storage_layout::{self, SchemaRow, TableShape},
};
use crate::{
    context::Cancellation,
    error::{Error, Kind, Result, ResultExt},
    file_access,
    model::identifier::quote_ident,
    source::hrana::Cell,
    sqlite::error_map,
};

/// Page cache and sorter memory in KiB.
const CACHE_KIB: u32 = 8 * 1024;

/// Bytes of a row after which its memory is given back at once.
const LARGE_ROW_BYTES: usize = 1 << 20;

/// Instructions of the engine between two looks at a cancellation request.
pub(super) const INSTRUCTIONS_PER_LOOK: i32 = 100_000;

/// A file that is being built. Unreadable until [`FileBuilder::finish`] has returned.
pub(super) struct FileBuilder {
    connection: Connection,
    /// The first page of each schema row's b-tree; 0 for those that have none.
    roots: Vec<i64>,
    is_utf8: bool,
    stop: Cancellation,
}

impl FileBuilder {
    /// Makes the file (0600) with an empty b-tree for everything that has one.
    ///
    /// # Errors
    /// `ArtifactIo`; `SourceInvalid` for a key that this engine can't order.
    pub(super) fn begin(
        path: &Path,
        page_bytes: u32,
        header: &DatabaseHeader,
        schema: &[SchemaRow],
        shapes: &[TableShape],
        stop: &Cancellation,
    ) -> Result<Self> {
        create_private(path)?;
        let connection = open_fast(path, stop)?;
        let failed = |failure: rusqlite::Error| describe("making the file", stop, &failure);
        // Both only count before the first page is written.
        connection
            .execute_batch(&format!(
                "PRAGMA encoding='{}'; PRAGMA page_size={page_bytes}; PRAGMA auto_vacuum=NONE;
                 PRAGMA writable_schema=ON; BEGIN",
                header.encoding.replace('\'', "")
            ))
            .map_err(failed)?;
        let mut roots = vec![0; schema.len()];
        let mut next_shape = shapes.iter().peekable();
        for ((index, row), root) in schema.iter().enumerate().zip(&mut roots).filter(|((_, row), _)| row.rooted) {
            let sql = match next_shape.next_if(|shape| shape.index == index) {
                Some(shape) => plain_table(shape),
                None => empty_index(index),
            };
            *root = make(&connection, &sql, index).map_err(failed).at_table(&row.name)?;
        }
        Ok(Self { connection, roots, is_utf8: header.is_utf8(), stop: stop.clone() })
    }

    /// A statement that takes a table's rows.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub(super) fn rows_of(&self, shape: &TableShape) -> Result<RowWriter<'_>> {
        let rowid = shape.rowid.as_ref().map(|_| "rowid".to_owned());
        let columns: Vec<String> =
            rowid.into_iter().chain(shape.values().map(|(place, _)| column_name(place))).collect();
        let parameter = |number: usize| {
            if self.is_utf8 {
                format!("?{number}")
            } else {
                // The bytes are those of the file's encoding, and bound text would be taken for UTF-8.
                format!("iif(?{0}, CAST(?{number} AS TEXT), ?{number})", number + columns.len())
            }
        };
        let parameters: Vec<String> = (1..=columns.len()).map(parameter).collect();
        let sql = format!(
            "INSERT INTO {}({}) VALUES ({})",
            plain_name(shape.index),
            columns.join(", "),
            parameters.join(", ")
        );
        let statement = self.prepare(&sql)?;
        Ok(RowWriter { restore: self, sql, statement, width: columns.len() })
    }

    fn prepare(&self, sql: &str) -> Result<Statement<'_>> {
        self.connection.prepare(sql).map_err(|failure| describe("preparing the rows", &self.stop, &failure))
    }

    /// Gives the file its schema and fills the indexes. `on_index` is called after each index.
    ///
    /// # Errors
    /// `ArtifactIo`; `SourceInvalid` if the source's rows break a unique index of the source; `Interrupted`.
    pub(super) fn finish(
        self,
        path: &Path,
        header: &DatabaseHeader,
        schema: &[SchemaRow],
        on_index: &dyn Fn(),
    ) -> Result<()> {
        let failed = |failure: rusqlite::Error| describe("writing the schema", &self.stop, &failure);
        storage_layout::install_rows(&self.connection, schema, &self.roots).map_err(failed)?;
        self.connection
            .execute_batch(&format!(
                "PRAGMA user_version={}; PRAGMA application_id={}; COMMIT",
                header.user_version, header.application_id
            ))
            .map_err(failed)?;
        self.connection.close().map_err(|(_, failure)| failed(failure))?;
        // Opened anew, the file has the schema that was written.
        let connection = open_fast(path, &self.stop)?;
        connection.execute_batch("PRAGMA writable_schema=ON; BEGIN").map_err(failed)?;
        for index in filled_indexes(schema) {
            fill(&connection, index, &self.stop)?;
            on_index();
        }
        connection.execute_batch("COMMIT").map_err(failed)?;
        connection.close().map_err(|(_, failure)| failed(failure))
    }
}

/// Takes one table's rows.
pub(super) struct RowWriter<'a> {
    restore: &'a FileBuilder,
    sql: String,
    statement: Statement<'a>,
    width: usize,
}

impl RowWriter<'_> {
    /// Stores a row: the rowid, where there is one, then the columns.
    ///
    /// # Errors
    /// `ArtifactIo`; `SourceInvalid` for a row without the number of values that the table has, or with a key that
    /// is there already.
    pub(super) fn push(&mut self, row: &[Cell]) -> Result<()> {
        if row.len() != self.width {
            return Err(Error::new(Kind::SourceRefused, "a row hasn't as many values as the table has columns"));
        }
        self.bind(row)
            .and_then(|()| self.statement.raw_execute().map(|_| ()))
            .map_err(|failure| describe("storing a row", &self.restore.stop, &failure))?;
        let bytes: usize = row.iter().map(Cell::bytes).sum();
        if bytes >= LARGE_ROW_BYTES {
            // A statement keeps its parameters and its last record until the next row.
            self.statement = self.restore.prepare(&self.sql)?;
        }
        Ok(())
    }

    fn bind(&mut self, row: &[Cell]) -> rusqlite::Result<()> {
        for (index, cell) in row.iter().enumerate() {
            if self.restore.is_utf8 {
                self.statement.raw_bind_parameter(index + 1, BoundCell(cell))?;
                continue;
            }
            let is_text = matches!(cell, Cell::Text(_));
            match cell {
                Cell::Text(bytes) => self.statement.raw_bind_parameter(index + 1, bytes.as_slice())?,
                _ => self.statement.raw_bind_parameter(index + 1, BoundCell(cell))?,
            }
            self.statement.raw_bind_parameter(index + 1 + self.width, is_text)?;
        }
        Ok(())
    }
}

struct BoundCell<'a>(&'a Cell);

impl ToSql for BoundCell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Cell::Null => ValueRef::Null,
            Cell::Integer(value) => ValueRef::Integer(*value),
            Cell::Real(value) => ValueRef::Real(*value),
            Cell::Text(bytes) => ValueRef::Text(bytes),
            Cell::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// The indexes that hold entries, in the schema's order.
pub(super) fn filled_indexes(schema: &[SchemaRow]) -> Vec<&SchemaRow> {
    let tables = storage_layout::table_names(schema);
    schema.iter().filter(|row| row.rooted && row.kind == "index" && !row.is_vector_index(&tables)).collect()
}

/// Makes an empty file that nobody else can read.
///
/// # Errors
/// `ArtifactIo`.
pub(super) fn create_private(path: &Path) -> Result<()> {
    file_access::create_new(path).map(|_| ()).map_err(|cause| Error::io(Kind::ArtifactIo, "creating", path, &cause))
}

/// Opens a file of the working directory to fill it: no journal, for a half-made file is thrown away anyway.
fn open_fast(path: &Path, stop: &Cancellation) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |failure: rusqlite::Error| describe("opening the new file", stop, &failure);
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE;
             PRAGMA foreign_keys=OFF; PRAGMA ignore_check_constraints=ON; PRAGMA cache_size=-{CACHE_KIB}"
        ))
        .map_err(failed)?;
    look_for_stop(&connection, stop);
    Ok(connection)
}

/// Lets a cancellation request end whatever statement is running.
pub(super) fn look_for_stop(connection: &Connection, stop: &Cancellation) {
    let stop = AssertUnwindSafe(stop.clone());
    connection.progress_handler(
        INSTRUCTIONS_PER_LOOK,
        Some(move || {
            let stop = &stop;
            stop.check().is_err()
        }),
    );
}

/// The error for a failed call on the file that is being made.
pub(super) fn describe(doing: &str, stop: &Cancellation, failure: &rusqlite::Error) -> Error {
    if let Err(interrupted) = stop.check() {
        return interrupted;
    }
    match failure.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            Error::new(Kind::ArtifactIo, format!("{doing}: the working directory can't be written"))
        }
        Some(ErrorCode::ConstraintViolation) => {
            Error::new(Kind::SourceInvalid, format!("{doing}: a key that must be unique is there twice"))
                .with_hint("the source breaks its own key; `PRAGMA integrity_check` on the source shows where")
        }
        Some(_) | None => error_map::describe(doing, failure),
    }
}

/// Makes a table and gives its first page.
///
/// Its row is taken out of `sqlite_schema` at once: the engine still knows the table, and needn't search an ever
/// longer schema for the next one.
fn make(connection: &Connection, sql: &str, index: usize) -> rusqlite::Result<i64> {
    connection.execute_batch(sql)?;
    let root = connection
        .prepare_cached("SELECT rootpage FROM sqlite_schema WHERE name = ?1")?
        .query_row([plain_name(index)], |row| row.get(0))?;
    connection.prepare_cached("DELETE FROM sqlite_schema")?.execute([])?;
    Ok(root)
}

/// The name of a table until the schema is written.
fn plain_name(index: usize) -> String {
    format!("r{index}")
}

/// A table of an index's storage.
fn empty_index(index: usize) -> String {
    format!("CREATE TABLE {}(k PRIMARY KEY) WITHOUT ROWID", plain_name(index))
}

fn column_name(place: usize) -> String {
    format!("c{place}")
}

/// A table of the same storage without any rule: no types, so no conversion; no constraint but the key.
fn plain_table(shape: &TableShape) -> String {
    let mut parts: Vec<String> = (0..shape.columns.len()).map(column_name).collect();
    if shape.key.is_empty() {
        return format!("CREATE TABLE {}({})", plain_name(shape.index), parts.join(", "));
    }
    let key: Vec<String> = shape
        .key
        .iter()
        .map(|key| {
            let direction = if key.descending { " DESC" } else { "" };
            format!("{} COLLATE {}{direction}", column_name(key.column), quote_ident(&key.collation))
        })
        .collect();
    parts.push(format!("PRIMARY KEY({})", key.join(", ")));
    format!("CREATE TABLE {}({}) WITHOUT ROWID", plain_name(shape.index), parts.join(", "))
}

/// Fills an index from its table.
///
/// A function that this engine doesn't know (an extension of the server) is stood in for by one that gives NULL: the
/// index then has an entry for every row, and nobody who lacks the function can look anything up by it.
fn fill(connection: &Connection, index: &SchemaRow, stop: &Cancellation) -> Result<()> {
    let sql = format!("REINDEX main.{}", quote_ident(&index.name));
    let mut stood_in = Vec::new();
    loop {
        let failure = match connection.execute_batch(&sql) {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let unknown = unknown_function(&failure).filter(|name| !stood_in.contains(name));
        let Some(name) = unknown else {
            let doing = format!("filling the index {}", index.name);
            return Err(describe(&doing, stop, &failure)).at_table(&index.table);
        };
        let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
        connection
            .create_scalar_function(name.as_str(), -1, flags, |_| Ok(Null))
            .map_err(|failure| describe("standing in for a function", stop, &failure))?;
        stood_in.push(name);
    }
}

fn unknown_function(failure: &rusqlite::Error) -> Option<String> {
    let rusqlite::Error::SqliteFailure(_, Some(message)) = failure else { return None };
    let name = message.strip_prefix("unknown function: ").or_else(|| message.strip_prefix("no such function: "))?;
    Some(name.trim_end_matches("()").to_owned())
}
