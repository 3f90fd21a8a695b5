//! Objects that a dump leaves out: those whose text this engine can't read, and tables that the user excludes.
//!
//! A text that can't be read makes SQLite refuse the whole file. Such an object is therefore removed from the copy, and
//! named in the checkpoint. Its pages are given back, so that the file has no page without a use.
//!
//! Invariant: no other object changes. What belongs to a removed table (indexes, triggers) goes with it.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{Connection, OpenFlags, params};
use wildmatch::WildMatch;

use super::{
    resume_state,
    storage_layout::{self, SchemaRow},
};
use crate::{
    error::{Error, Kind, Result},
    model::{checkpoint::LeftOutObject, identifier::quote_ident},
    sqlite::{
        catalog::{self, TURSO_INTERNAL},
        error_map, open,
    },
};

/// Why an object is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reason {
    /// The engine can't read its definition.
    Unreadable,
    /// It is an index of a kind that another engine has.
    ForeignIndex(String),
    /// Its table is left out.
    WithTable,
    /// It serves a table of the Turso engine's own.
    OfEngine,
    /// The user excludes it.
    Excluded,
}

impl Reason {
    fn words(&self) -> &str {
        match self {
            Self::Unreadable => "this tool's engine can't read its definition",
            Self::ForeignIndex(reason) => reason,
            Self::WithTable => "its table is left out",
            Self::OfEngine => "it serves a table of the Turso engine's own",
            Self::Excluded => "it is excluded",
        }
    }
}

/// An object that is left out, and its place in `sqlite_schema`.
#[derive(Debug, Clone)]
pub(super) struct LeftOut {
    pub(super) rowid: i64,
    pub(super) object: LeftOutObject,
}

/// Who has the rows of a table whose definition this engine can't read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowsOwner {
    /// A server, whose engine can read the table: leaving it out would lose rows, so the user has to exclude it.
    Server,
    /// A file, which nobody here can read.
    File,
}

/// What is left out of a schema.
///
/// # Errors
/// `SourceInvalid` with the names of tables that can't be read, or if two objects have one name; `ArtifactIo` if the
/// engine has no memory.
pub(super) fn choose(rows: &[SchemaRow], excluded: &[String], owner: RowsOwner) -> Result<Vec<LeftOut>> {
    storage_layout::require_distinct_names(rows)?;
    let mut reasons = unreadable(rows)?;
    for row in rows.iter().filter(|row| row.kind == "table" && is_excluded(&row.name, excluded)) {
        reasons.insert(row.rowid, Reason::Excluded);
    }
    if owner == RowsOwner::Server {
        refuse_unreadable(rows, &reasons)?;
    }
    let gone = |name: &str| {
        let mut owners = rows.iter().filter(|row| matches!(row.kind.as_str(), "table" | "view"));
        owners.any(|owner| owner.name.eq_ignore_ascii_case(name) && reasons.contains_key(&owner.rowid))
    };
    let dependents: Vec<i64> = rows
        .iter()
        .filter(|row| matches!(row.kind.as_str(), "index" | "trigger") && gone(&row.table))
        .map(|row| row.rowid)
        .collect();
    // What serves a table that is never carried needs no word of its own.
    let of_engine =
        |row: &&SchemaRow| row.kind == "index" && row.table.to_ascii_lowercase().starts_with(TURSO_INTERNAL);
    for row in rows.iter().filter(of_engine) {
        reasons.entry(row.rowid).and_modify(|reason| *reason = Reason::OfEngine);
    }
    for rowid in dependents {
        reasons.entry(rowid).or_insert(Reason::WithTable);
    }
    let object = |row: &SchemaRow| {
        let reason = reasons.get(&row.rowid)?;
        let object = LeftOutObject {
            kind: row.kind.clone(),
            name: row.name.clone(),
            table: row.table.clone(),
            excluded: *reason == Reason::Excluded,
            with_its_table: matches!(reason, Reason::WithTable | Reason::OfEngine),
            reason: reason.words().to_owned(),
            sql: row.sql.clone().unwrap_or_default(),
        };
        Some(LeftOut { rowid: row.rowid, object })
    };
    Ok(rows.iter().filter_map(object).collect())
}

/// The rows of such a table would be lost.
fn refuse_unreadable(rows: &[SchemaRow], reasons: &BTreeMap<i64, Reason>) -> Result<()> {
    let is_lost = |row: &&SchemaRow| row.kind == "table" && reasons.get(&row.rowid) == Some(&Reason::Unreadable);
    let names: Vec<&str> = rows.iter().filter(is_lost).map(|row| row.name.as_str()).collect();
    let Some(first) = names.first() else { return Ok(()) };
    let text = format!("SQLite can't read the definitions of these tables: {}", names.join(", "));
    Err(Error::new(Kind::SourceInvalid, text).with_hint(format!(
        "nothing was kept; --exclude {first} leaves a table out, or create it without custom types and new syntax"
    )))
}

/// Removes from a copy what is left out of it.
///
/// # Errors
/// `ArtifactIo`; `SourceInvalid` if the copy can't be read.
pub(super) fn remove(part: &Path, excluded: &[String], owner: RowsOwner) -> Result<Vec<LeftOut>> {
    let rows = {
        let connection = open::without_stand_ins(part)?;
        storage_layout::read_schema(&connection)?
    };
    let left_out = choose(&rows, excluded, owner)?;
    if left_out.is_empty() {
        return Ok(left_out);
    }
    // The file no longer is what the method has read, so that no later run may continue it.
    resume_state::forget(part)?;
    let failed = |failure: rusqlite::Error| error_map::describe("leaving objects out", &failure);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(part, flags)?;
        connection.execute_batch(
            "PRAGMA writable_schema=ON; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
             PRAGMA locking_mode=EXCLUSIVE; PRAGMA foreign_keys=OFF; PRAGMA secure_delete=OFF; BEGIN",
        )?;
        Ok::<_, rusqlite::Error>(connection)
    };
    let placeholders = open().and_then(|connection| replace_by_tables(&connection, &left_out)).map_err(failed)?;
    // Opened anew, the file has nothing but texts that can be read.
    let drop_all = |connection: Connection| {
        for name in &placeholders {
            connection.execute_batch(&format!("DROP TABLE {}", quote_ident(name)))?;
        }
        connection.execute_batch("COMMIT")?;
        connection.close().map_err(|(_, failure)| failure)
    };
    open().and_then(drop_all).map_err(failed)?;
    Ok(left_out)
}

/// Makes each object with pages a plain table, which the engine can drop whatever it was, and removes the others. Gives
/// the names of the tables.
fn replace_by_tables(connection: &Connection, left_out: &[LeftOut]) -> rusqlite::Result<Vec<String>> {
    let mut placeholders = Vec::new();
    for LeftOut { rowid, .. } in left_out {
        let root: Option<i64> =
            connection.query_row("SELECT rootpage FROM sqlite_schema WHERE rowid = ?1", [rowid], |row| row.get(0))?;
        if root.unwrap_or(0) <= 0 {
            connection.execute("DELETE FROM sqlite_schema WHERE rowid = ?1", [rowid])?;
            continue;
        }
        let name = format!("turso2neon left out {rowid}");
        connection.execute(
            "UPDATE sqlite_schema SET type = 'table', name = ?2, tbl_name = ?2, sql = ?3 WHERE rowid = ?1",
            params![rowid, name, format!("CREATE TABLE {}(x)", quote_ident(&name))],
        )?;
        placeholders.push(name);
    }
    connection.execute_batch("COMMIT")?;
    Ok(placeholders)
}

/// The sentence of the proof about what is left out.
pub(super) fn note(left_out: &[LeftOut]) -> Option<String> {
    let names: Vec<String> = left_out
        .iter()
        .map(|left| format!("{} {} ({})", left.object.kind, left.object.name, left.object.reason))
        .collect();
    (!names.is_empty()).then(|| format!("not part of the dump: {}", names.join(", ")))
}

fn is_excluded(name: &str, patterns: &[String]) -> bool {
    let lower = name.to_ascii_lowercase();
    !lower.starts_with("sqlite_")
        && patterns.iter().any(|pattern| WildMatch::new(&pattern.to_ascii_lowercase()).matches(&lower))
}

/// The places of the rows whose text the engine can't read, with the reason.
fn unreadable(rows: &[SchemaRow]) -> Result<BTreeMap<i64, Reason>> {
    let all: Vec<&SchemaRow> = rows.iter().collect();
    let mut found = BTreeMap::new();
    if loads(&all)? {
        return Ok(found);
    }
    let (owners, others): (Vec<&SchemaRow>, Vec<&SchemaRow>) =
        all.into_iter().partition(|row| matches!(row.kind.as_str(), "table" | "view"));
    for row in &owners {
        if !loads(&[row])? {
            found.insert(row.rowid, Reason::Unreadable);
        }
    }
    for row in others {
        let owner = owners.iter().find(|owner| owner.name.eq_ignore_ascii_case(&row.table));
        // What belongs to no table is for the plan to name; what belongs to an unreadable one goes with it.
        let Some(owner) = owner.filter(|owner| !found.contains_key(&owner.rowid)) else { continue };
        if !loads(&[owner, row])? {
            let foreign = row.sql.as_deref().filter(|_| row.kind == "index").and_then(catalog::foreign_index);
            found.insert(row.rowid, foreign.map_or(Reason::Unreadable, Reason::ForeignIndex));
        }
    }
    Ok(found)
}

/// Whether the engine loads these rows as it loads a file's schema, without tolerance.
fn loads(rows: &[&SchemaRow]) -> Result<bool> {
    let failed = |failure: rusqlite::Error| error_map::describe("loading the schema", &failure);
    let model = Connection::open_in_memory().map_err(failed)?;
    let rows: Vec<SchemaRow> = rows.iter().map(|row| (*row).clone()).collect();
    storage_layout::install_model(&model, &rows).map_err(failed)?;
    // The reset also turns the tolerance off.
    let loaded = model
        .execute_batch("PRAGMA writable_schema=RESET")
        .and_then(|()| model.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())));
    Ok(loaded.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(script: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("source.db");
        Connection::open(&path).unwrap().execute_batch(script).unwrap();
        (directory, path)
    }

    #[test]
    fn an_unreadable_table_costs_itself_and_what_belongs_to_it() {
        let (_directory, path) = file(
            "CREATE TABLE kept(a UNIQUE); INSERT INTO kept VALUES (1), (2); CREATE TABLE bad(a UNIQUE, b);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)
             INSERT INTO bad SELECT i, printf('%050d', i) FROM n;
             CREATE INDEX bad_i ON bad(b); CREATE TRIGGER bad_t AFTER INSERT ON bad BEGIN SELECT 1; END;
             CREATE VIEW v AS SELECT a FROM kept; CREATE INDEX kept_i ON kept(a); PRAGMA writable_schema=ON;
             UPDATE sqlite_schema SET sql='CREATE TABLE bad(a UNIQUE, b cents(1) NEW SYNTAX 2) STRICT' WHERE name='bad';
             UPDATE sqlite_schema SET sql='CREATE INDEX kept_i ON kept USING fts (a)' WHERE name='kept_i'",
        );
        assert!(Connection::open(&path).unwrap().prepare("SELECT a FROM kept").is_err());
        let error = remove(&path, &[], RowsOwner::Server).unwrap_err();
        assert!(error.message().ends_with("tables: bad") && error.hint().contains("--exclude bad"), "{error}");
        let names: Vec<(String, String)> = remove(&path, &[], RowsOwner::File)
            .unwrap()
            .into_iter()
            .map(|left| (left.object.kind, left.object.name))
            .collect();
        let expected =
            [("table", "bad"), ("index", "sqlite_autoindex_bad_1"), ("index", "bad_i"), ("trigger", "bad_t")];
        let expected = expected.into_iter().chain([("index", "kept_i")]);
        assert_eq!(names, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())).collect::<Vec<_>>());
        let connection = Connection::open(&path).unwrap();
        let one = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(one("SELECT group_concat(a) FROM v"), "1,2");
        assert_eq!(one("PRAGMA integrity_check"), "ok");
        assert_eq!(one("SELECT group_concat(name) FROM sqlite_schema"), "kept,sqlite_autoindex_kept_1,v");
        assert!(remove(&path, &[], RowsOwner::Server).unwrap().is_empty());
    }

    #[test]
    fn an_excluded_table_goes_with_its_indexes() {
        let (_directory, path) = file("CREATE TABLE log_a(a UNIQUE); CREATE TABLE b(a); INSERT INTO b VALUES ('x')");
        let left = remove(&path, &["LOG_*".to_owned()], RowsOwner::Server).unwrap();
        assert!(left.len() == 2 && left[0].object.excluded && !left[1].object.excluded);
        let connection = Connection::open(&path).unwrap();
        assert_eq!(connection.query_row("SELECT a FROM b", [], |row| row.get::<_, String>(0)).unwrap(), "x");
    }
}
