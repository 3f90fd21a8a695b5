//! Reads the source's schema as it is stored: from pragmas, and by the parser what they lack.
//!
//! Invariant: every row of `sqlite_schema` ends up in the [`SourceSchema`] exactly once, as a table, an index of a
//! table, a view, a trigger or a skipped object. A broken object never fails the read.

mod objects;

pub use objects::TURSO_INTERNAL;

mod ddl_parse;

mod virtual_tables;

mod pragmas;

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, types::ValueRef};

use super::{error_map, open};
use crate::{
    error::{Error, Kind, Result},
    model::{
        identifier::quote_ident,
        source_schema::{SkippedObject, SourceColumn, SourceObject, SourceSchema, SourceTable, TableKind},
    },
    rules::affinity,
};
use ddl_parse::DeclaredTable;
use objects::{ObjectRole, SchemaEntry, SchemaObjects};

/// Reads the whole schema. A broken object never fails the read; it is skipped with its reason.
///
/// # Errors
/// `SourceInvalid` if the file can't be read; `DataRefused` if two objects have one name.
pub fn read(connection: &Connection) -> Result<SourceSchema> {
    let encoding = connection
        .query_row("PRAGMA encoding", [], |row| row.get(0))
        .map_err(|failure| error_map::describe("reading the encoding", &failure))?;
    let listing = SchemaObjects::read(connection)?;
    require_distinct_names(listing.entries())?;
    let mut schema = SourceSchema { encoding, ..SourceSchema::default() };
    for entry in listing.entries() {
        match listing.role(connection, entry) {
            ObjectRole::Table { kind, strict } => match table(connection, &listing, entry, kind, strict) {
                Ok(table) => schema.tables.push(table),
                Err(failure) => {
                    let reason = error_map::describe("reading its columns", &failure).message().to_owned();
                    schema.skipped.push(entry.skipped(reason, true));
                }
            },
            ObjectRole::View => {
                // A view of tables that are gone is an error here, and of no columns.
                let columns = pragmas::columns(connection, &entry.name).unwrap_or_default();
                let columns = columns.into_iter().map(|column| column.name).collect();
                schema.views.push(SourceObject { columns, ..entry.object() });
            }
            ObjectRole::Trigger => schema.triggers.push(entry.object()),
            // Indexes come with their tables; what is left over is looked for below.
            ObjectRole::Index => {}
            ObjectRole::Skipped { reason, loses_rows } => schema.skipped.push(entry.skipped(reason, loses_rows)),
        }
    }
    skip_stray_indexes(&mut schema, &listing);
    schema.sequences = sequences(connection, &schema);
    schema.needed_writable_schema = schema.tables.iter().any(|table| table.random_rowid);
    Ok(schema)
}

/// Refuses a schema in which two objects have one name: SQLite reads the first alone, so that the rows of the other one
/// would be lost.
fn require_distinct_names(entries: &[SchemaEntry]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.readable) {
        let list = if entry.kind == "view" { "table" } else { entry.kind.as_str() };
        if !seen.insert((list, entry.name.to_ascii_lowercase())) {
            let text = format!("sqlite_schema has two objects with the name {}", entry.name);
            return Err(Error::new(Kind::DataRefused, text)
                .with_hint("run `turso2neon dump` again, from a copy of the source that is whole"));
        }
    }
    Ok(())
}

impl SchemaEntry {
    fn skipped(&self, reason: impl Into<String>, loses_rows: bool) -> SkippedObject {
        SkippedObject {
            kind: self.kind.clone(),
            name: self.name.clone(),
            reason: reason.into(),
            loses_rows,
            sql: self.sql.clone().unwrap_or_default(),
            table: self.table.clone(),
            with_its_table: false,
        }
    }

    fn object(&self) -> SourceObject {
        SourceObject {
            name: self.name.clone(),
            table: self.table.clone(),
            sql: self.sql.clone().unwrap_or_default(),
            columns: Vec::new(),
        }
    }
}

fn table(
    connection: &Connection,
    listing: &SchemaObjects,
    entry: &SchemaEntry,
    kind: TableKind,
    strict: bool,
) -> rusqlite::Result<SourceTable> {
    let sql = entry.sql.clone().unwrap_or_default();
    let (text, random_rowid) = ddl_parse::without_random_rowid(&sql);
    let is_virtual = matches!(kind, TableKind::Virtual { .. });
    let (declared, unread) = match DeclaredTable::parse(&text) {
        _ if is_virtual => (DeclaredTable::default(), None),
        Ok(declared) => (declared, None),
        Err(reason) => (DeclaredTable::default(), Some(reason)),
    };
    let found = pragmas::columns(connection, &entry.name)?;
    let mut primary_key: Vec<_> = found.iter().filter(|column| column.key_position > 0).collect();
    primary_key.sort_by_key(|column| column.key_position);
    let primary_key: Vec<String> = primary_key.iter().map(|column| column.name.clone()).collect();
    let mut columns: Vec<SourceColumn> = found.iter().map(|column| source_column(column, &declared, strict)).collect();
    hide_uncomputable(connection, &entry.name, &mut columns);
    let mut indexes = if is_virtual { Vec::new() } else { pragmas::indexes(connection, &entry.name, listing)? };
    declared.name_constraints(&mut indexes);
    let mut foreign_keys = if is_virtual { Vec::new() } else { pragmas::foreign_keys(connection, &entry.name)? };
    declared.complete_foreign_keys(&mut foreign_keys);
    let mut unmatched_clauses = declared.clauses.clone();
    unmatched_clauses.extend(
        unread.map(|reason| format!("everything but columns, keys and indexes ({reason}; the pragmas give no more)")),
    );
    let mut table = SourceTable {
        name: entry.name.clone(),
        kind,
        strict,
        random_rowid,
        sql,
        rowid_name: None,
        columns,
        primary_key,
        primary_key_name: declared.primary_key_name.clone(),
        rowid_alias: None,
        autoincrement: declared.autoincrement,
        indexes,
        foreign_keys,
        checks: declared.checks,
        unmatched_clauses,
    };
    table.rowid_name = rowid_name(&table);
    table.rowid_alias = rowid_alias(&table);
    Ok(table)
}

fn source_column(column: &pragmas::ColumnInfo, declared: &DeclaredTable, strict: bool) -> SourceColumn {
    let text = declared.column(&column.name);
    let generated = column.generated.map(|stored| crate::model::source_schema::GeneratedColumn {
        stored,
        expression: text.and_then(|text| text.generated.clone()).unwrap_or_default(),
    });
    SourceColumn {
        name: column.name.clone(),
        affinity: affinity::of(&column.declared, strict),
        declared: column.declared.clone(),
        not_null: column.not_null,
        default_sql: column.default_sql.clone(),
        generated,
        collation: text.and_then(|text| text.collation.clone()).filter(|name| name != "BINARY"),
        hidden: column.hidden,
    }
}

/// Hides generated columns that only the application can compute, because SELECT of one fails. A stored one is computed
/// by nobody who reads. One pass for all of a table, another for each if they can't be computed together.
fn hide_uncomputable(connection: &Connection, table: &str, columns: &mut [SourceColumn]) {
    let can_read = |names: &[&str]| {
        let counts: Vec<String> = names.iter().map(|name| format!("count(t.{})", quote_ident(name))).collect();
        let sql = format!("SELECT {} FROM main.{} AS t NOT INDEXED", counts.join(", "), quote_ident(table));
        connection.query_row(&sql, [], |_| Ok(())).is_ok()
    };
    let computed = |column: &SourceColumn| column.generated.as_ref().is_some_and(|generated| !generated.stored);
    let names: Vec<&str> =
        columns.iter().filter(|column| computed(column)).map(|column| column.name.as_str()).collect();
    if names.is_empty() {
        return;
    }
    let lengths = open::limit_lengths(connection);
    let lost: Vec<String> = if can_read(&names) {
        Vec::new()
    } else {
        names.iter().filter(|name| !can_read(&[**name])).map(|name| (*name).to_owned()).collect()
    };
    open::restore_lengths(connection, lengths);
    for column in columns.iter_mut().filter(|column| lost.contains(&column.name)) {
        column.hidden = true;
    }
}

fn rowid_name(table: &SourceTable) -> Option<String> {
    let free = |name: &&str| !table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
    match table.kind {
        TableKind::Rowid => ["rowid", "_rowid_", "oid"].into_iter().find(free).map(str::to_owned),
        TableKind::WithoutRowid | TableKind::Virtual { .. } => None,
    }
}

/// The single primary key column declared exactly `INTEGER`, unless the key has an index of its own, as
/// `INTEGER PRIMARY KEY DESC` has (SQLite "CREATE TABLE", section 5).
fn rowid_alias(table: &SourceTable) -> Option<String> {
    let [name] = table.primary_key.as_slice() else { return None };
    let column = table.columns.iter().find(|column| column.name == *name)?;
    let indexed =
        table.indexes.iter().any(|index| index.origin == crate::model::source_schema::IndexOrigin::PrimaryKey);
    let alias = table.kind == TableKind::Rowid && column.declared.eq_ignore_ascii_case("INTEGER") && !indexed;
    alias.then(|| name.clone())
}

fn skip_stray_indexes(schema: &mut SourceSchema, listing: &SchemaObjects) {
    for entry in listing.entries().iter().filter(|entry| entry.kind == "index") {
        let held = schema.tables.iter().flat_map(|table| &table.indexes).any(|index| index.name == entry.name);
        if !held {
            let table_skipped = schema
                .skipped
                .iter()
                .any(|object| object.kind == "table" && object.name.eq_ignore_ascii_case(&entry.table));
            let reason = match foreign_index(entry.sql.as_deref().unwrap_or_default()) {
                _ if table_skipped => "its table is skipped".to_owned(),
                Some(reason) => reason,
                None => "SQLite can't read its declaration".to_owned(),
            };
            let skipped = entry.skipped(reason, false);
            schema.skipped.push(SkippedObject { with_its_table: table_skipped, ..skipped });
        }
    }
}

/// What an index of the Turso engine is; none for one that SQLite has too.
#[must_use]
pub fn foreign_index(sql: &str) -> Option<String> {
    let method = index_method(sql)?;
    Some(match method.as_str() {
        "fts" => "a full-text index of the Turso engine (USING fts)".to_owned(),
        _ => format!("an index of the Turso engine (USING {method})"),
    })
}

/// The method of an index, `CREATE INDEX ... USING method`, in lower case; none for a plain one.
fn index_method(sql: &str) -> Option<String> {
    let head = sql.split('(').next().unwrap_or_default();
    let words: Vec<String> = head.split_ascii_whitespace().map(str::to_ascii_lowercase).collect();
    let method = words.iter().rposition(|word| word == "using").and_then(|place| words.get(place + 1))?;
    method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then(|| method.clone())
}

/// Counters under the catalogue's spelling of the table. Other values than integers are no counters.
fn sequences(connection: &Connection, schema: &SourceSchema) -> BTreeMap<String, i64> {
    let mut counters = BTreeMap::new();
    // Without an AUTOINCREMENT table there is no sqlite_sequence, and a damaged one holds no counters.
    let Ok(mut statement) = connection.prepare("SELECT s.name, s.seq FROM sqlite_sequence AS s") else {
        return counters;
    };
    let Ok(mut rows) = statement.query([]) else { return counters };
    while let Ok(Some(row)) = rows.next() {
        let (Ok(name), Ok(ValueRef::Integer(counter))) = (row.get::<_, String>(0), row.get_ref(1)) else { continue };
        if let Some(table) = schema.tables.iter().find(|table| table.name.eq_ignore_ascii_case(&name)) {
            let known = counters.entry(table.name.clone()).or_insert(counter);
            *known = counter.max(*known);
        }
    }
    counters
}

#[cfg(test)]
mod tests;
