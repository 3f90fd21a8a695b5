//! The pages are read as SQLite reads them, and damaged ones without a panic.

use std::ops::ControlFlow;

use proptest::prelude::*;
use rusqlite::{Connection, params_from_iter, types::Value};

use super::{PageFile, ScanEnd, TableLayout, scan};
use crate::{
    model::cell::SqliteCell,
    sqlite::table_rows::{TableQuery, TableReader, cell_of},
};

/// A row: its rowid and its cells.
type OwnedRow = (i64, Vec<Value>);

fn owned(cell: SqliteCell<'_>) -> Value {
    match cell {
        SqliteCell::Null => Value::Null,
        SqliteCell::Integer(value) => Value::Integer(value),
        SqliteCell::Real(value) => Value::Real(value),
        // Of a text the bytes count, which need not be UTF-8.
        SqliteCell::Text(bytes) => Value::Text(bytes.iter().map(|byte| char::from(*byte)).collect()),
        SqliteCell::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}

fn rowid(cell: SqliteCell<'_>) -> i64 {
    match cell {
        SqliteCell::Integer(rowid) => rowid,
        other => panic!("a rowid is an integer, not {}", other.class()),
    }
}

struct Sample {
    dir: tempfile::TempDir,
    connection: Connection,
}

impl Sample {
    fn new(setup: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let connection = Connection::open(dir.path().join("x.db")).unwrap();
        connection.execute_batch(setup).unwrap();
        Self { dir, connection }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("x.db")
    }

    fn query(&self) -> TableQuery {
        let mut statement = self.connection.prepare("SELECT name FROM pragma_table_xinfo('t')").unwrap();
        let columns: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let every = format!("SELECT rowid, {} FROM t NOT INDEXED", columns.join(", "));
        let from_rowid = Some(format!("{every} WHERE rowid >= ?1 ORDER BY rowid"));
        TableQuery { table: "t".to_owned(), columns, every, from_rowid }
    }

    fn by_sqlite(&self) -> rusqlite::Result<Vec<OwnedRow>> {
        let query = self.query();
        let mut statement = self.connection.prepare(&query.every)?;
        let mut rows = statement.query([])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let cells = (1..=query.columns.len()).map(|at| row.get_ref(at).map(|value| owned(cell_of(value))));
            found.push((row.get(0)?, cells.collect::<rusqlite::Result<_>>()?));
        }
        Ok(found)
    }

    /// None if the table isn't read from its pages.
    fn by_pages(&self, first: i64) -> Option<(Vec<OwnedRow>, ScanEnd)> {
        let query = self.query();
        let columns: Vec<&str> = query.columns.iter().map(String::as_str).collect();
        let layout = TableLayout::of(&self.connection, "t", &columns)?;
        let mut file = PageFile::open(&self.path())?;
        let mut found = Vec::new();
        let end = scan(&mut file, &layout, first, |record| {
            let cells = (1..=columns.len()).map(|at| owned(record.cell(at))).collect();
            found.push((record.rowid(), cells));
            Ok::<_, std::convert::Infallible>(ControlFlow::Continue(()))
        });
        let Ok(end) = end;
        Some((found, end))
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        prop_oneof![
            any::<i64>(),
            -200_i64..200,
            Just(0),
            Just(1),
            Just(i64::MIN),
            Just(i64::MAX),
            (0_u32..63).prop_map(|bits| 1 << bits),
            (0_u32..63).prop_map(|bits| -(1_i64 << bits))
        ]
        .prop_map(Value::Integer),
        any::<f64>().prop_map(Value::Real),
        (-1000_i32..1000).prop_map(|number| Value::Real(f64::from(number))),
        ".{0,20}".prop_map(Value::Text),
        (0_usize..9000).prop_map(|length| Value::Text("x".repeat(length))),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Value::Blob),
        (0_usize..70_000).prop_map(|length| Value::Blob(vec![7; length])),
    ]
}

const TABLES: &[&str] = &[
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b REAL, c TEXT, d)",
    "CREATE TABLE t(a REAL, b INTEGER PRIMARY KEY DESC, c NUMERIC, d BLOB)",
    "CREATE TABLE t(a TEXT PRIMARY KEY, b DOUBLE, c INT, d TEXT)",
    "CREATE TABLE t(a INT PRIMARY KEY, b, c FLOAT, d VARCHAR(5))",
    "CREATE TABLE t(a, b ANY, c REAL, d REAL)",
    "CREATE TABLE t(c REAL, d TEXT, b TEXT, a INTEGER, PRIMARY KEY(a AUTOINCREMENT))",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn plain_tables_are_read_as_sqlite_reads_them(
        table in proptest::sample::select(TABLES),
        page_size in proptest::sample::select(vec![512, 1024, 4096, 65_536]),
        rows in proptest::collection::vec((any::<Option<i64>>(), proptest::collection::vec(value(), 3)), 0..60),
        copies in 1_i64..20,
        gap in 2_i64..7,
        added in proptest::bool::ANY,
        from in any::<i64>(),
    ) {
        let sample = Sample::new(&format!("PRAGMA page_size={page_size}; {table}; CREATE INDEX i ON t(d)"));
        for (rowid, values) in &rows {
            let others = if table.contains("b INTEGER PRIMARY KEY DESC") { "a, c, d" } else { "b, c, d" };
            let sql = format!("INSERT OR IGNORE INTO t(rowid, {others}) VALUES (?1, ?2, ?3, ?4)");
            let rowid = rowid.map_or(Value::Null, Value::Integer);
            // A row that the table refuses, such as one beyond the greatest rowid, is left out.
            sample.connection.execute(&sql, params_from_iter(std::iter::once(&rowid).chain(values))).ok();
        }
        sample.connection.execute_batch(&format!(
            "INSERT OR IGNORE INTO t(c, d) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {copies} * 20) \
             SELECT i, hex(zeroblob(i * 3)) FROM n WHERE NOT EXISTS (SELECT 1 FROM t WHERE rowid = 9223372036854775807); \
             DELETE FROM t WHERE rowid % {gap} = 0"
        )).unwrap();
        if added {
            sample.connection.execute_batch("ALTER TABLE t ADD COLUMN e REAL; UPDATE t SET e = 5 WHERE rowid % 3 = 0").unwrap();
        }
        let expected = sample.by_sqlite().unwrap();
        prop_assert_eq!(sample.by_pages(i64::MIN).unwrap(), (expected.clone(), ScanEnd::Complete));
        let later: Vec<OwnedRow> = expected.iter().filter(|(rowid, _)| *rowid >= from).cloned().collect();
        prop_assert_eq!(sample.by_pages(from).unwrap().0, later);
    }

    #[test]
    fn damaged_files_end_without_a_panic(
        damage in proptest::collection::vec((any::<u32>(), any::<u8>()), 1..30),
        page_size in proptest::sample::select(vec![512, 4096]),
    ) {
        let mut sample = Sample::new(&format!(
            "PRAGMA page_size={page_size}; CREATE TABLE t(a INTEGER PRIMARY KEY, b, c); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) \
             INSERT INTO t SELECT i, i * 1.5, hex(zeroblob(i * 7 % 900)) FROM n"
        ));
        let mut bytes = std::fs::read(sample.path()).unwrap();
        for (at, byte) in damage {
            // The schema stays as it is.
            let at = page_size + at as usize % (bytes.len() - page_size);
            bytes[at] = byte;
        }
        std::fs::write(sample.path(), &bytes).unwrap();
        // The former connection has pages from before the damage.
        sample.connection = Connection::open(sample.path()).unwrap();
        let (rows, end) = sample.by_pages(i64::MIN).unwrap();
        // SQLite finds damage where the pages end, or reads the same rows.
        if end == ScanEnd::Complete && let Ok(by_sqlite) = sample.by_sqlite() {
            prop_assert_eq!(&rows, &by_sqlite);
        }
        let is_ordered = rows.windows(2).all(|pair| pair[0].0 < pair[1].0);
        prop_assert!(is_ordered);
        if let ScanEnd::Unexpected { last } = end {
            prop_assert_eq!(last, rows.last().map(|(rowid, _)| *rowid));
        }
    }
}

#[test]
fn an_empty_page_in_a_tree_is_no_end() {
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT i, hex(i) FROM n";
    let sample =
        Sample::new(&format!("PRAGMA page_size=512; CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t {rows}"));
    let whole = std::fs::read(sample.path()).unwrap();
    let pages = whole.chunks(512).enumerate().filter(|(_, page)| matches!(page[0], 5 | 13)).map(|(at, _)| at * 512);
    for page in pages.skip(1) {
        let mut bytes = whole.clone();
        bytes[page + 3..page + 5].fill(0);
        std::fs::write(sample.path(), &bytes).unwrap();
        assert!(matches!(sample.by_pages(i64::MIN).unwrap().1, ScanEnd::Unexpected { .. }), "page at {page}");
    }
}

#[test]
fn rows_in_another_order_are_damage() {
    let sample = Sample::new(
        "PRAGMA page_size=512; CREATE TABLE t(a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 5), (2, 6), (3, 7)",
    );
    let mut bytes = std::fs::read(sample.path()).unwrap();
    // The second page is the table's. The pointers to its cells follow eight bytes.
    bytes[512 + 8..512 + 14].rotate_left(2);
    std::fs::write(sample.path(), &bytes).unwrap();
    assert_eq!(sample.by_pages(i64::MIN).unwrap().1, ScanEnd::OutOfOrder);
    let mut reader = TableReader::open(&sample.path()).unwrap();
    let read = reader.rows(&sample.query(), None, |_| Ok::<_, crate::error::Error>(ControlFlow::Continue(())));
    assert_eq!(read.unwrap_err().kind(), crate::error::Kind::SourceInvalid);
}

#[test]
fn other_tables_are_left_to_sqlite() {
    for setup in [
        "CREATE TABLE t(a TEXT PRIMARY KEY, b) WITHOUT ROWID",
        "CREATE TABLE t(a, b AS (a + 1))",
        "CREATE TABLE t(a, b AS (a + 1) STORED)",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "CREATE VIEW t AS SELECT 1 AS a",
        "PRAGMA encoding='UTF-16le'; CREATE TABLE t(a)",
        "PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (1)",
    ] {
        let sample = Sample::new(setup);
        let layout = TableLayout::of(&sample.connection, "t", &["a"]);
        assert!(layout.is_none() || PageFile::open(&sample.path()).is_none(), "{setup}");
    }
}

#[test]
fn a_row_older_than_a_column_with_a_default_is_read_by_sqlite() {
    let sample = Sample::new(
        "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2), (3); ALTER TABLE t ADD COLUMN b DEFAULT 'new'; \
         UPDATE t SET b = 'set' WHERE a = 1",
    );
    let (rows, end) = sample.by_pages(i64::MIN).unwrap();
    assert_eq!((rows.len(), end), (1, ScanEnd::Unexpected { last: Some(1) }));
    let mut found = Vec::new();
    let mut reader = TableReader::open(&sample.path()).unwrap();
    reader
        .rows(&sample.query(), None, |row| {
            found.push((rowid(row.cell(0)), vec![owned(row.cell(1)), owned(row.cell(2))]));
            Ok::<_, crate::error::Error>(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(found, sample.by_sqlite().unwrap());
}
