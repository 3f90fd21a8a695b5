//! Whether the finished file is sound: the engine's own check of each table's b-tree, records and indexes.

use std::{
    panic::AssertUnwindSafe,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{
    file_builder, index_check,
    storage_layout::{self, SchemaRow},
};
use crate::{
    context::Cancellation,
    error::{Error, Kind, Result, ResultExt},
    model::identifier::{quote_ident, quote_literal},
    sqlite::{catalog::TURSO_INTERNAL, error_map, open},
};

/// Messages about rows that break what their table declares. Such rows are the source's own; they are kept.
const BROKEN_RULES: [&str; 5] =
    ["NULL value in ", "non-", "NUMERIC value in ", "TEXT value in ", "CHECK constraint failed in "];

/// Files up to this many bytes are checked in all depth: the page cache holds the whole of them.
const SMALL_BYTES_MAX: u64 = 8 << 20;

/// Complaints about one table after which SQLite stops (`PRAGMA integrity_check`). It takes a table or another limit,
/// not both.
const COMPLAINTS_MAX: usize = 100;

/// The page cache in KiB.
const CACHE_KIB: u32 = 8 * 1024;

/// What the check found besides damage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct IntegrityReport {
    /// Tables with rows that break what the table declares.
    pub(super) with_broken_rules: Vec<String>,
    /// Tables that the engine can't check, because their definition needs a function that it doesn't have.
    pub(super) unchecked: Vec<String>,
    /// Tables whose indexes could not be checked, for the same reason.
    pub(super) without_indexes: Vec<String>,
    /// Whether the file is small enough for the engine's own, slow check of the indexes.
    pub(super) small: bool,
    /// Tables that are sound.
    pub(super) sound: usize,
}

/// The table that lists the objects.
const SCHEMA_TABLE: &str = "sqlite_schema";

/// Checks every table with rows of its own and its indexes. `on_table` is called after each, `working` now and then while
/// one takes long.
///
/// Small files by `PRAGMA integrity_check`. It looks each row up in each index, which takes minutes in a large file;
/// there `PRAGMA quick_check` looks at the trees and records, and [`index_check`] compares what an index holds with
/// what its table holds, reading either from one end to the other.
///
/// # Errors
/// `SourceInvalid` for damage, with the table; `Interrupted`.
pub(super) fn integrity(
    path: &Path,
    stop: &Cancellation,
    on_table: &dyn Fn(),
    working: &Arc<Heartbeat>,
) -> Result<IntegrityReport> {
    let size = std::fs::metadata(path).map_or(0, |facts| facts.len());
    check(path, stop, on_table, working, size <= SMALL_BYTES_MAX)
}

fn check(
    path: &Path,
    stop: &Cancellation,
    on_table: &dyn Fn(),
    working: &Arc<Heartbeat>,
    small: bool,
) -> Result<IntegrityReport> {
    let prepared = |connection: Connection| {
        watch(&connection, stop, working);
        open::limit_lengths(&connection);
        let cache = connection.execute_batch(&format!("PRAGMA cache_size=-{CACHE_KIB}"));
        cache.map_err(|failure| error_map::describe("checking the file", &failure))?;
        Ok::<_, Error>(connection)
    };
    let connection = prepared(open::without_stand_ins(path)?)?;
    let schema = storage_layout::read_schema(&connection)?;
    // Entries that cannot be reached in the tree of the schema are not read at all.
    let of_schema = pragma(&connection, "quick_check", SCHEMA_TABLE)
        .map_err(|failure| error_map::describe("checking the file", &failure))?;
    if let Some(damage) = of_schema.iter().find(|complaint| is_damage(complaint)) {
        return Err(damaged(damage, SCHEMA_TABLE, false)).at_table(SCHEMA_TABLE);
    }
    if let Some(row) = schema.iter().find(|row| !row.is_sound()) {
        return Err(damaged("malformed entry in the schema", &row.name, false)).at_table(&row.name);
    }
    let mut checked = IntegrityReport::default();
    // The Turso engine's own tables lack what SQLite expects of such a table, and are never carried.
    let is_internal = |row: &SchemaRow| row.name.to_ascii_lowercase().starts_with(TURSO_INTERNAL);
    for table in schema.iter().filter(|row| row.holds_rows() && !is_internal(row)) {
        let looked = check_table(&connection, &table.name, small);
        let looked = match looked {
            // The table can still be looked at alone, with something in the place of what is missing.
            Err(failure) if is_lack(&failure) => pragma(&prepared(open::read_only(path)?)?, "quick_check", &table.name)
                .map(|complaints| TableCheck { complaints: only_damage(complaints), left_out: 1 }),
            looked => looked,
        };
        match looked {
            Ok(TableCheck { complaints, left_out }) => {
                if let Some(damage) = complaints.iter().find(|complaint| is_damage(complaint)) {
                    let of_index = is_of_index(&connection, &table.name);
                    return Err(damaged(damage, &table.name, of_index)).at_table(&table.name);
                }
                if left_out > 0 {
                    checked.without_indexes.push(table.name.clone());
                }
                if complaints.is_empty() {
                    checked.sound += 1;
                } else {
                    checked.with_broken_rules.push(table.name.clone());
                }
            }
            Err(failure) if is_lack(&failure) => checked.unchecked.push(table.name.clone()),
            Err(failure) => {
                stop.check()?;
                return Err(error_map::describe("checking the file", &failure)).at_table(&table.name);
            }
        }
        on_table();
    }
    checked.small = small;
    Ok(checked)
}

/// What looking at one table came to.
struct TableCheck {
    complaints: Vec<String>,
    /// Indexes that were not looked at.
    left_out: usize,
}

fn check_table(connection: &Connection, table: &str, small: bool) -> rusqlite::Result<TableCheck> {
    let mut complaints = pragma(connection, if small { "integrity_check" } else { "quick_check" }, table)?;
    // Complaints about rows that break rules can hide an index that lacks a row.
    if small && complaints.len() < COMPLAINTS_MAX {
        return Ok(TableCheck { complaints, left_out: 0 });
    }
    let compared = index_check::compare(connection, table)?;
    complaints.extend(compared.different.map(|index| format!("rows differ from index {index}")));
    Ok(TableCheck { complaints, left_out: compared.left_out })
}

fn only_damage(complaints: Vec<String>) -> Vec<String> {
    complaints.into_iter().filter(|complaint| is_damage(complaint)).collect()
}

/// What is reported now and then while a check takes long.
pub(super) type Heartbeat = dyn Fn() + Send + Sync;

/// How often that is.
const WORKING_EVERY: Duration = Duration::from_secs(10);

/// Lets a cancellation request end the check, and tells that it goes on.
fn watch(connection: &Connection, stop: &Cancellation, working: &Arc<Heartbeat>) {
    let watched = AssertUnwindSafe((stop.clone(), working.clone()));
    let mut reported = Instant::now();
    connection.progress_handler(
        file_builder::INSTRUCTIONS_PER_LOOK,
        Some(move || {
            let (stop, working) = &*watched;
            if reported.elapsed() >= WORKING_EVERY {
                reported = Instant::now();
                working();
            }
            stop.check().is_err()
        }),
    );
}

/// Whether the engine lacks a function or collation that a definition names, or computes a value that is too long.
fn is_lack(failure: &rusqlite::Error) -> bool {
    matches!(failure.sqlite_error_code(), Some(rusqlite::ErrorCode::Unknown | rusqlite::ErrorCode::TooBig))
}

fn pragma(connection: &Connection, pragma: &str, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA main.{pragma}({})", quote_literal(table)))?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect)?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

fn is_damage(complaint: &str) -> bool {
    !BROKEN_RULES.iter().any(|rule| complaint.starts_with(rule))
}

/// Whether the table itself is sound, so that the damage is in an index: an index holds something else, or the check
/// that looks up no row in an index finds nothing.
fn is_of_index(connection: &Connection, table: &str) -> bool {
    index_check::compare(connection, table).is_ok_and(|compared| compared.different.is_some())
        || pragma(connection, "quick_check", table).is_ok_and(|complaints| only_damage(complaints).is_empty())
}

fn damaged(complaint: &str, table: &str, of_index: bool) -> Error {
    // Names and numbers of pages and rows, never values.
    let first = complaint.lines().find(|line| !line.starts_with("***")).unwrap_or_default();
    let hint = if of_index {
        format!("nothing was kept; run `REINDEX {}` on the source, then `turso2neon dump` again", quote_ident(table))
    } else {
        "nothing was kept; run `turso2neon dump --fresh`; if it comes again, `PRAGMA integrity_check` on the source \
         says the same: repair it (sqlite3's .recover) or restore a backup"
            .to_owned()
    };
    Error::new(Kind::SourceInvalid, format!("the database is damaged: {first}")).with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Arc<Heartbeat> {
        Arc::new(|| ())
    }

    #[test]
    fn rows_that_break_rules_are_no_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("odd.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE odd(a, b); INSERT INTO odd VALUES (NULL, 'x'); CREATE TABLE fine(a);
                 CREATE TABLE own(a); PRAGMA writable_schema=ON;
                 UPDATE sqlite_schema SET sql='CREATE TABLE odd(a INT NOT NULL, b INTEGER CHECK(b > 0)) STRICT'
                 WHERE name='odd';
                 UPDATE sqlite_schema SET sql='CREATE TABLE own(a, b NOT NULL AS (nobody_knows(a)))' WHERE name='own';",
            )
            .unwrap();
        drop(connection);
        let checked = integrity(&path, &Cancellation::default(), &|| (), &quiet()).unwrap();
        assert_eq!(checked.with_broken_rules, ["odd"]);
        assert_eq!(checked.unchecked, ["own"]);
        assert_eq!(checked.sound, 1);
    }

    #[test]
    fn an_entry_of_the_schema_that_is_no_object_is_damage() {
        for damage in ["type = 'tab\x01e'", "rootpage = 0", "type = 'view'"] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("entry.db");
            let connection = Connection::open(&path).unwrap();
            connection
                .execute_batch(&format!(
                    "CREATE TABLE t(a); CREATE VIEW v AS SELECT 1; CREATE VIRTUAL TABLE f USING fts5(a);
                     PRAGMA writable_schema=ON; UPDATE sqlite_schema SET {damage} WHERE name = 't'"
                ))
                .unwrap();
            drop(connection);
            let error = integrity(&path, &Cancellation::default(), &|| (), &quiet()).unwrap_err();
            assert_eq!((error.kind(), error.table()), (Kind::SourceInvalid, Some("t")), "{damage}");
        }
    }

    #[test]
    fn an_index_that_the_engine_cannot_order_is_left_out_of_the_check() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("foreign.db");
        let connection = Connection::open(&path).unwrap();
        connection.create_collation("own", |a, b| b.cmp(a)).unwrap();
        connection
            .execute_batch("CREATE TABLE t(a COLLATE own); INSERT INTO t VALUES ('a'), ('b'); CREATE INDEX i ON t(a)")
            .unwrap();
        drop(connection);
        let checked = integrity(&path, &Cancellation::default(), &|| (), &quiet()).unwrap();
        assert_eq!((checked.sound, checked.without_indexes.as_slice()), (1, &["t".to_owned()][..]));
    }

    #[test]
    fn a_value_that_its_index_does_not_have_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("changed.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE t(a, b); INSERT INTO t VALUES ('marker-1', 1); CREATE INDEX i ON t(a)")
            .unwrap();
        drop(connection);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(8).position(|window| window == b"marker-1").unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        for small in [true, false] {
            let error = check(&path, &Cancellation::default(), &|| (), &quiet(), small).unwrap_err();
            assert_eq!((error.kind(), error.table()), (Kind::SourceInvalid, Some("t")));
            assert!(error.hint().contains("REINDEX") && !error.message().contains("marker"), "{error}");
        }
    }

    #[test]
    fn rows_that_break_rules_do_not_hide_an_index_that_lacks_a_row() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hidden.db");
        let connection = Connection::open(&path).unwrap();
        // The index of `o` has the entries of `t` but the last.
        connection
            .execute_batch(
                "CREATE TABLE t(a, b); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 250)
                 INSERT INTO t SELECT CASE WHEN i > 149 THEN i END, i FROM n; CREATE INDEX i ON t(b);
                 CREATE TABLE o(b); INSERT INTO o SELECT b FROM t WHERE b < 250; CREATE INDEX j ON o(b);
                 PRAGMA writable_schema=ON;
                 UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'j')
                 WHERE name = 'i';
                 UPDATE sqlite_schema SET sql = 'CREATE TABLE t(a NOT NULL, b)' WHERE name = 't'",
            )
            .unwrap();
        drop(connection);
        for small in [true, false] {
            let error = check(&path, &Cancellation::default(), &|| (), &quiet(), small).unwrap_err();
            assert_eq!((error.kind(), error.table()), (Kind::SourceInvalid, Some("t")));
            assert!(error.message().contains("index i"), "{error}");
        }
    }

    #[test]
    fn damage_is_an_error_with_its_table() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("damaged.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(a); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 900)
                 INSERT INTO t SELECT printf('%0100d', i) FROM n",
            )
            .unwrap();
        drop(connection);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[4096 * 5..4096 * 5 + 100].fill(0x55);
        std::fs::write(&path, bytes).unwrap();
        let error = integrity(&path, &Cancellation::default(), &|| (), &quiet()).unwrap_err();
        assert_eq!((error.kind(), error.table()), (Kind::SourceInvalid, Some("t")));
    }
}
