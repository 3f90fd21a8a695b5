//! What a SQLite file holds, as one digest: equal for equal content, however the pages lie.
//!
//! The digest (SHA-256) runs over the text encoding, `user_version`, `application_id`, every row of `sqlite_schema`
//! except its page numbers, and, for each table with rows of its own in the schema's order, name, number of rows and
//! the SHA-256 of its rows in storage order (rowid order; key order WITHOUT ROWID). A row is its rowid, where it can
//! be selected, then the stored columns; a value is its class and its bytes: 8 little-endian bytes for integers and
//! reals, length and bytes for text and blobs. Virtual generated columns and the entries of indexes follow from the
//! rest and aren't part of it. Text of a UTF-16 database counts as its UTF-16 bytes.

use std::{collections::BTreeMap, path::Path, time::Instant};

use rusqlite::{Connection, Row, types::ValueRef};
use sha2::{Digest, Sha256};

use super::storage_layout::{self, SchemaRow, TableShape};
use crate::{
    context::Cancellation,
    error::{Error, Kind, Result, ResultExt},
    model::cell::SqliteCell,
    source::hrana::{self, Cell},
    sqlite::{error_map, open},
    workdir::hex,
};

/// Rows between two looks at a cancellation request.
const ROWS_PER_LOOK: u64 = 4096;

/// Facts of a database besides schema and rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabaseHeader {
    /// `PRAGMA encoding`.
    pub(super) encoding: String,
    /// `PRAGMA user_version`.
    pub(super) user_version: i64,
    /// `PRAGMA application_id`.
    pub(super) application_id: i64,
}

impl DatabaseHeader {
    /// Whether text is stored as UTF-8.
    pub(super) fn is_utf8(&self) -> bool {
        self.encoding.eq_ignore_ascii_case("UTF-8")
    }
}

/// What a file holds.
#[derive(Debug, Clone)]
pub(super) struct DatabaseContent {
    /// Besides schema and rows.
    pub(super) header: DatabaseHeader,
    /// All rows of `sqlite_schema`.
    pub(super) schema: Vec<SchemaRow>,
    /// Rows and digest per table with rows of its own, in the schema's order.
    pub(super) tables: Vec<TableContent>,
    /// The digest of all, hexadecimal.
    pub(super) sha256: String,
}

impl DatabaseContent {
    /// Rows per table.
    pub(super) fn rows(&self) -> BTreeMap<String, u64> {
        self.tables.iter().map(|table| (table.name.clone(), table.rows)).collect()
    }
}

/// What a table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableContent {
    /// Its name.
    pub(super) name: String,
    /// Its number of rows.
    pub(super) rows: u64,
    /// The digest of its rows.
    pub(super) sha256: [u8; 32],
}

/// Bytes that wait to be hashed together: a call for each value would cost more than copying it.
const WAITING_BYTES: usize = 4096;

/// Takes a table's rows one after the other.
#[derive(Default)]
pub(super) struct ContentHasher {
    hasher: Sha256,
    waiting: Vec<u8>,
    rows: u64,
}

impl ContentHasher {
    /// Adds a value to the present row.
    pub(super) fn value(&mut self, cell: SqliteCell<'_>) {
        match cell {
            SqliteCell::Text(bytes) => self.sized(3, bytes),
            SqliteCell::Blob(bytes) => self.sized(4, bytes),
            SqliteCell::Null => self.waiting.push(0),
            SqliteCell::Integer(value) => {
                self.waiting.push(1);
                self.waiting.extend_from_slice(&value.to_le_bytes());
            }
            SqliteCell::Real(value) => {
                self.waiting.push(2);
                self.waiting.extend_from_slice(&value.to_bits().to_le_bytes());
            }
        }
    }

    fn sized(&mut self, class: u8, bytes: &[u8]) {
        self.waiting.push(class);
        self.waiting.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        if bytes.len() < WAITING_BYTES {
            self.waiting.extend_from_slice(bytes);
        } else {
            // A large value needn't be copied to be hashed.
            self.hash_waiting();
            self.hasher.update(bytes);
        }
    }

    fn hash_waiting(&mut self) {
        self.hasher.update(&self.waiting);
        self.waiting.clear();
    }

    /// Ends the present row.
    pub(super) fn end_row(&mut self) {
        if self.waiting.len() >= WAITING_BYTES {
            self.hash_waiting();
        }
        self.rows += 1;
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// The table's content.
    pub(super) fn finish(mut self, name: &str) -> TableContent {
        self.hash_waiting();
        TableContent { name: name.to_owned(), rows: self.rows, sha256: self.hasher.finalize().into() }
    }
}

/// What happens while a file is read.
pub(super) enum DigestStep<'a> {
    /// A table begins.
    Begin(&'a str),
    /// So many more rows of it are read.
    Rows(&'a str, u64),
    /// It is read: rows, milliseconds.
    End(&'a str, u64, u64),
}

/// Reads a whole file.
///
/// # Errors
/// `SourceInvalid` for a file that can't be read to its end, `Interrupted`.
pub(super) fn read(path: &Path, stop: &Cancellation, on_step: &dyn Fn(DigestStep<'_>)) -> Result<DatabaseContent> {
    let connection = open::read_only(path)?;
    let header = read_header(&connection)?;
    let schema = storage_layout::read_schema(&connection)?;
    let mut tables = Vec::new();
    for shape in storage_layout::shapes(&connection, &schema)? {
        on_step(DigestStep::Begin(&shape.name));
        let begun = Instant::now();
        let table = read_table(&connection, &shape, header.is_utf8(), stop, on_step).at_table(&shape.name)?;
        let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        on_step(DigestStep::End(&shape.name, table.rows, elapsed_ms));
        tables.push(table);
    }
    let sha256 = digest(&header, &schema, &tables);
    Ok(DatabaseContent { header, schema, tables, sha256 })
}

fn read_header(connection: &Connection) -> Result<DatabaseHeader> {
    let sql = "SELECT encoding, user_version, application_id \
               FROM pragma_encoding, pragma_user_version, pragma_application_id";
    connection
        .query_row(sql, [], |row| {
            Ok(DatabaseHeader { encoding: row.get(0)?, user_version: row.get(1)?, application_id: row.get(2)? })
        })
        .map_err(|failure| error_map::describe("reading the header", &failure))
}

fn read_table(
    connection: &Connection,
    shape: &TableShape,
    is_utf8: bool,
    stop: &Cancellation,
    on_step: &dyn Fn(DigestStep<'_>),
) -> Result<TableContent> {
    let failed = |failure: rusqlite::Error| error_map::describe("reading the rows", &failure);
    let sql = if is_utf8 { shape.select(str::to_owned) } else { shape.select(hrana::safe_expression) };
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let width = shape.width();
    let safe_from = if is_utf8 { width } else { usize::from(shape.rowid.is_some()) };
    let mut digest = ContentHasher::default();
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        for column in 0..width {
            if column < safe_from {
                digest.value(borrowed(row, column).map_err(failed)?);
            } else {
                digest.value(from_safe(row, column).map_err(failed)??.as_cell());
            }
        }
        digest.end_row();
        if digest.rows().is_multiple_of(ROWS_PER_LOOK) {
            stop.check()?;
            on_step(DigestStep::Rows(&shape.name, ROWS_PER_LOOK));
        }
    }
    on_step(DigestStep::Rows(&shape.name, digest.rows() % ROWS_PER_LOOK));
    Ok(digest.finish(&shape.name))
}

fn borrowed<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<SqliteCell<'a>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => SqliteCell::Null,
        ValueRef::Integer(value) => SqliteCell::Integer(value),
        ValueRef::Real(value) => SqliteCell::Real(value),
        ValueRef::Text(bytes) => SqliteCell::Text(bytes),
        ValueRef::Blob(bytes) => SqliteCell::Blob(bytes),
    })
}

fn from_safe(row: &Row<'_>, column: usize) -> rusqlite::Result<Result<Cell>> {
    let cell = match row.get_ref(column)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Integer(value),
        ValueRef::Real(value) => Cell::Real(value),
        ValueRef::Text(bytes) => Cell::Text(bytes.to_vec()),
        ValueRef::Blob(bytes) => Cell::Blob(bytes.to_vec()),
    };
    Ok(hrana::from_safe(cell).map_err(|_| Error::new(Kind::Bug, "a value doesn't read back from its safe form")))
}

fn digest(header: &DatabaseHeader, schema: &[SchemaRow], tables: &[TableContent]) -> String {
    let mut all = ContentHasher::default();
    all.value(SqliteCell::Text(b"turso2neon content 1"));
    all.value(SqliteCell::Text(header.encoding.as_bytes()));
    all.value(SqliteCell::Integer(header.user_version));
    all.value(SqliteCell::Integer(header.application_id));
    all.end_row();
    for row in schema {
        for text in [&row.kind, &row.name, &row.table] {
            all.value(SqliteCell::Text(text.as_bytes()));
        }
        all.value(row.sql.as_ref().map_or(SqliteCell::Null, |sql| SqliteCell::Text(sql.as_bytes())));
        all.end_row();
    }
    for table in tables {
        all.value(SqliteCell::Text(table.name.as_bytes()));
        all.value(SqliteCell::Blob(&table.rows.to_le_bytes()));
        all.value(SqliteCell::Blob(&table.sha256));
        all.end_row();
    }
    hex(&all.finish("").sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(script: &str) -> DatabaseContent {
        let file = tempfile::NamedTempFile::new().unwrap();
        let connection = Connection::open(file.path()).unwrap();
        connection.execute_batch(script).unwrap();
        drop(connection);
        read(file.path(), &Cancellation::default(), &|_| ()).unwrap()
    }

    #[test]
    fn equal_content_is_recognised_in_another_layout() {
        let one = content("CREATE TABLE t(a, b REAL); INSERT INTO t(rowid,a,b) VALUES (7,'x',1.0),(9,NULL,2)");
        let other = content(
            "PRAGMA page_size=8192; CREATE TABLE t(a, b REAL); INSERT INTO t(rowid,a,b) VALUES (9,NULL,2.0);
             INSERT INTO t SELECT randomblob(500), 0 FROM json_each('[1,2,3,4,5,6,7,8,9]'); DELETE FROM t WHERE b = 0;
             INSERT INTO t(rowid,a,b) VALUES (7,'x',1)",
        );
        assert_eq!(one.sha256, other.sha256);
        assert_eq!(one.rows(), BTreeMap::from([("t".to_owned(), 2)]));
    }

    #[test]
    fn a_digest_is_that_of_the_bytes_however_they_are_gathered() {
        let values = [vec![b'x'; WAITING_BYTES - 1], Vec::new(), vec![b'y'; WAITING_BYTES], b"short".to_vec()];
        let (mut digest, mut whole) = (ContentHasher::default(), Sha256::new());
        for value in values.iter().cycle().take(2000) {
            digest.value(SqliteCell::Text(value));
            digest.value(SqliteCell::Integer(-2));
            digest.end_row();
            whole.update([3]);
            whole.update((value.len() as u64).to_le_bytes());
            whole.update(value);
            whole.update([1]);
            whole.update((-2_i64).to_le_bytes());
        }
        let expected: [u8; 32] = whole.finalize().into();
        assert_eq!(digest.finish("t").sha256, expected);
    }

    #[test]
    fn every_difference_shows() {
        let base = "CREATE TABLE t(a, b); INSERT INTO t(rowid,a,b) VALUES (1,'x',1.0)";
        let mut seen = std::collections::BTreeSet::from([content(base).sha256]);
        for change in [
            "UPDATE t SET a = 'y'",
            "UPDATE t SET a = x'78'",
            "UPDATE t SET a = NULL",
            "UPDATE t SET a = ''",
            "UPDATE t SET b = 1",
            "UPDATE t SET b = -0.0",
            "UPDATE t SET b = 0.0",
            "UPDATE t SET rowid = 2",
            "UPDATE t SET a = 'x' || char(0)",
            "INSERT INTO t DEFAULT VALUES",
            "DELETE FROM t",
            "CREATE INDEX i ON t(a)",
            "CREATE VIEW v AS SELECT 1",
            "PRAGMA user_version = 1",
            "PRAGMA application_id = 1",
        ] {
            assert!(seen.insert(content(&format!("{base}; {change}")).sha256), "{change}");
        }
        assert!(seen.insert(content(&format!("PRAGMA encoding='UTF-16le'; {base}")).sha256));
    }

    #[test]
    fn utf16_is_read_whatever_it_holds() {
        let script = "PRAGMA encoding='UTF-16le'; CREATE TABLE t(a);
            INSERT INTO t VALUES (CAST(x'00d8' AS TEXT)), ('a'), (x'00'), (9e999), (-9e999), (1), (1.5), (NULL)";
        let one = content(script);
        assert_eq!(one.tables[0].rows, 8);
        assert_ne!(one.sha256, content(&script.replace("x'00d8'", "x'01d8'")).sha256);
        assert_ne!(one.sha256, content(&script.replace("(9e999)", "(1e308)")).sha256);
    }
}
