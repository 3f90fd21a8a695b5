//! Whether the finished file is sound: the engine's own check of each table's b-tree and records.

use std::path::Path;

use rusqlite::Connection;

use super::{layout, restore};
use crate::{
    context::Stop,
    error::{Error, Kind, Result, ResultExt},
    model::name::quote_literal,
    sqlite::{cause, open},
};

/// Messages about rows that break what their table declares. Such rows are the source's own; they are kept.
const BROKEN_RULES: [&str; 5] =
    ["NULL value in ", "non-", "NUMERIC value in ", "TEXT value in ", "CHECK constraint failed in "];

/// What the check found besides damage.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Checked {
    /// Tables with rows that break what the table declares.
    pub(super) with_broken_rules: Vec<String>,
    /// Tables that the engine can't check, because their definition needs a function that it doesn't have.
    pub(super) unchecked: Vec<String>,
    /// Tables that are sound.
    pub(super) sound: usize,
}

/// Checks every table with rows of its own (`PRAGMA quick_check`). `told` is called after each.
///
/// # Errors
/// `SourceInvalid` for damage, with the table; `Interrupted`.
pub(super) fn quick_check(path: &Path, stop: &Stop, told: &dyn Fn()) -> Result<Checked> {
    let connection = open::without_stand_ins(path)?;
    restore::look_for_stop(&connection, stop);
    let schema = layout::read_schema(&connection)?;
    let mut checked = Checked::default();
    for table in schema.iter().filter(|row| row.holds_rows()) {
        match check_table(&connection, &table.name) {
            Ok(complaints) => match complaints.iter().find(|complaint| is_damage(complaint)) {
                Some(damage) => return Err(damaged(damage)).at_table(&table.name),
                None if complaints.is_empty() => checked.sound += 1,
                None => checked.with_broken_rules.push(table.name.clone()),
            },
            Err(failure) if failure.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => {
                checked.unchecked.push(table.name.clone());
            }
            Err(failure) => {
                stop.check()?;
                return Err(cause::describe("checking the file", &failure)).at_table(&table.name);
            }
        }
        told();
    }
    Ok(checked)
}

fn check_table(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA main.quick_check({})", quote_literal(table)))?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0)).and_then(Iterator::collect)?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

fn is_damage(complaint: &str) -> bool {
    !BROKEN_RULES.iter().any(|rule| complaint.starts_with(rule))
}

fn damaged(complaint: &str) -> Error {
    // Names and numbers of pages and rows, never values.
    let first = complaint.lines().find(|line| !line.starts_with("***")).unwrap_or_default();
    Error::new(Kind::SourceInvalid, format!("the database is damaged: {first}"))
        .with_hint("repair the source first (sqlite3's .recover), or restore it from a backup")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let checked = quick_check(&path, &Stop::default(), &|| ()).unwrap();
        assert_eq!(checked.with_broken_rules, ["odd"]);
        assert_eq!(checked.unchecked, ["own"]);
        assert_eq!(checked.sound, 1);
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
        let error = quick_check(&path, &Stop::default(), &|| ()).unwrap_err();
        assert_eq!((error.kind(), error.table()), (Kind::SourceInvalid, Some("t")));
    }
}
