//! Lists `sqlite_schema` and classifies each entry: user data, or bookkeeping of SQLite, libSQL and their companions
//! (docs/conversion-rules.md, section 6.5; docs/conversion-rules.md, section 6.6). The bookkeeping of frameworks
//! (`_prisma_migrations` and the like) is user data.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, types::ValueRef};

use super::virtual_tables::{self, RowLocation};
use crate::{error::Result, model::source_schema::TableKind, sqlite::error_map};

/// Tables that belong to replication and hosting, not to the application, in lower case.
const COMPANIONS: [(&str, &str); 9] = [
    ("libsql_vector_meta_shadow", "bookkeeping of libSQL's vector indexes"),
    ("libsql_wasm_func_table", "libSQL's registry of WebAssembly functions"),
    ("turso_cdc", "the Turso engine's record of changes"),
    ("turso_cdc_version", "the Turso engine's record of changes"),
    ("turso_sync_last_change_id", "bookkeeping of Turso's synchronization"),
    ("_litestream_seq", "bookkeeping of Litestream"),
    ("_litestream_lock", "bookkeeping of Litestream"),
    ("_cf_kv", "bookkeeping of Cloudflare"),
    ("_cf_metadata", "bookkeeping of Cloudflare"),
];

/// What the names of the Turso engine's own tables begin with, in lower case.
pub const TURSO_INTERNAL: &str = "__turso_internal_";

/// Shadow tables of modules that this engine doesn't know and so can't name.
const SHADOW_SUFFIXES: [&str; 11] =
    ["data", "idx", "content", "docsize", "config", "segments", "segdir", "stat", "node", "parent", "rowid"];

/// One row of `sqlite_schema`.
#[derive(Debug, Clone)]
pub(super) struct SchemaEntry {
    pub kind: String,
    pub name: String,
    pub table: String,
    pub sql: Option<String>,
    /// Whether name and text are valid UTF-8.
    pub readable: bool,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ObjectRole {
    Table { kind: TableKind, strict: bool },
    View,
    Trigger,
    Index,
    Skipped { reason: String, loses_rows: bool },
}

/// What `PRAGMA table_list` says about a table or view.
#[derive(Debug, Clone)]
struct TableListEntry {
    kind: String,
    without_rowid: bool,
    strict: bool,
}

/// The whole of `sqlite_schema` with what the engine made of it.
pub(super) struct SchemaObjects {
    entries: Vec<SchemaEntry>,
    listed: BTreeMap<String, TableListEntry>,
    /// Lower-case names of libSQL's vector index tables.
    vector_shadows: BTreeSet<String>,
}

impl SchemaObjects {
    pub(super) fn read(connection: &Connection) -> Result<Self> {
        let entries = entries(connection).map_err(|failure| error_map::describe("reading the schema", &failure))?;
        let listed =
            listed(connection).map_err(|failure| error_map::describe("reading the list of tables", &failure))?;
        let vector_shadows = vector_shadows(connection, &entries);
        Ok(Self { entries, listed, vector_shadows })
    }

    pub(super) fn entries(&self) -> &[SchemaEntry] {
        &self.entries
    }

    /// The stored SQL of an index.
    pub(super) fn index(&self, name: &str) -> Option<(usize, &SchemaEntry)> {
        self.entries.iter().enumerate().find(|(_, entry)| entry.kind == "index" && entry.name == name)
    }

    pub(super) fn role(&self, connection: &Connection, entry: &SchemaEntry) -> ObjectRole {
        let skipped = |reason: &str, loses_rows| ObjectRole::Skipped { reason: reason.to_owned(), loses_rows };
        if !entry.readable {
            return skipped("its name or SQL is not valid UTF-8", entry.kind == "table");
        }
        match entry.kind.as_str() {
            "view" => ObjectRole::View,
            "trigger" => ObjectRole::Trigger,
            "index" => ObjectRole::Index,
            "table" => self.table_role(connection, entry),
            _ => skipped("it is of a kind that SQLite doesn't have", true),
        }
    }

    fn table_role(&self, connection: &Connection, entry: &SchemaEntry) -> ObjectRole {
        let skipped = |reason: String, loses_rows| ObjectRole::Skipped { reason, loses_rows };
        let lower = entry.name.to_ascii_lowercase();
        if lower == "sqlite_sequence" {
            return skipped("SQLite's counters; they are carried into the identity columns".to_owned(), false);
        }
        if lower.starts_with("sqlite_") {
            return skipped("an internal table of SQLite".to_owned(), false);
        }
        if let Some((_, reason)) = COMPANIONS.iter().find(|(name, _)| *name == lower) {
            return skipped((*reason).to_owned(), false);
        }
        if lower.starts_with(TURSO_INTERNAL) {
            return skipped("bookkeeping of the Turso engine".to_owned(), false);
        }
        if self.vector_shadows.contains(&lower) {
            return skipped("holds a vector index of libSQL".to_owned(), false);
        }
        if let Some(virtual_table) = virtual_tables::parse(entry.sql.as_deref().unwrap_or_default()) {
            return match virtual_tables::content(connection, &entry.name, &virtual_table) {
                RowLocation::Own => {
                    ObjectRole::Table { kind: TableKind::Virtual { module: virtual_table.module }, strict: false }
                }
                RowLocation::Elsewhere(reason) => skipped(reason, false),
                RowLocation::Lost(reason) => skipped(reason, true),
            };
        }
        match self.listed.get(&entry.name) {
            None => skipped("SQLite can't read its declaration".to_owned(), true),
            Some(found) if self.is_only_copy(connection, &lower) => ObjectRole::Table {
                kind: if found.without_rowid { TableKind::WithoutRowid } else { TableKind::Rowid },
                strict: found.strict,
            },
            Some(found) if found.kind == "shadow" => skipped("holds the content of a virtual table".to_owned(), false),
            Some(_) if self.is_unknown_shadow(connection, &lower) => {
                skipped("holds the content of a virtual table whose module is not known".to_owned(), false)
            }
            Some(found) => ObjectRole::Table {
                kind: if found.without_rowid { TableKind::WithoutRowid } else { TableKind::Rowid },
                strict: found.strict,
            },
        }
    }

    /// Whether the table holds the texts of a full-text index that can't be opened here.
    fn is_only_copy(&self, connection: &Connection, lower: &str) -> bool {
        let Some(owner) = lower.strip_suffix("_content") else { return false };
        let owner = self.entries.iter().find(|entry| entry.kind == "table" && entry.name.eq_ignore_ascii_case(owner));
        owner.is_some_and(|owner| {
            let parsed = virtual_tables::parse(owner.sql.as_deref().unwrap_or_default());
            parsed.is_some_and(|found| virtual_tables::is_text_index(&found.module))
                && !virtual_tables::opens(connection, &owner.name)
        })
    }

    /// Whether the name is that of a shadow table of a virtual table that can't be opened here; for the others
    /// `table_list` knows.
    fn is_unknown_shadow(&self, connection: &Connection, lower: &str) -> bool {
        let Some((owner, suffix)) = lower.rsplit_once('_') else { return false };
        let owner = self.entries.iter().find(|entry| entry.kind == "table" && entry.name.eq_ignore_ascii_case(owner));
        SHADOW_SUFFIXES.contains(&suffix)
            && owner.is_some_and(|owner| {
                let sql = owner.sql.as_deref().unwrap_or_default();
                virtual_tables::parse(sql).is_some() && !virtual_tables::opens(connection, &owner.name)
            })
    }
}

fn entries(connection: &Connection) -> rusqlite::Result<Vec<SchemaEntry>> {
    let mut statement =
        connection.prepare("SELECT s.type, s.name, s.tbl_name, s.sql FROM main.sqlite_schema AS s ORDER BY s.rowid")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let mut readable = true;
        let mut text = |index: usize| -> rusqlite::Result<Option<String>> {
            Ok(match row.get_ref(index)? {
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    readable &= std::str::from_utf8(bytes).is_ok();
                    Some(String::from_utf8_lossy(bytes).into_owned())
                }
                ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => None,
            })
        };
        let kind = text(0)?.unwrap_or_default();
        let name = text(1)?.unwrap_or_default();
        let table = text(2)?.unwrap_or_default();
        let sql = text(3)?;
        found.push(SchemaEntry { kind, name, table, sql, readable });
    }
    Ok(found)
}

fn listed(connection: &Connection) -> rusqlite::Result<BTreeMap<String, TableListEntry>> {
    let mut statement = connection
        .prepare("SELECT l.name, l.type, l.wr, l.strict FROM pragma_table_list AS l WHERE l.schema = 'main'")?;
    let rows = statement.query_map([], |row| {
        // An unreadable name is one that no entry is looked up by.
        let name = row.get(0).unwrap_or_default();
        Ok((name, TableListEntry { kind: row.get(1)?, without_rowid: row.get(2)?, strict: row.get(3)? }))
    })?;
    rows.collect()
}

/// `<index>_shadow` of every vector index, and what a failed one left behind (columns `index_key..., data`).
fn vector_shadows(connection: &Connection, entries: &[SchemaEntry]) -> BTreeSet<String> {
    let is_vector = |entry: &&SchemaEntry| {
        let sql = entry.sql.as_deref().unwrap_or_default();
        entry.kind == "index" && sql.to_ascii_lowercase().contains("libsql_vector_idx")
    };
    let shadow = |entry: &SchemaEntry| format!("{}_shadow", entry.name).to_ascii_lowercase();
    let mut found: BTreeSet<String> = entries.iter().filter(is_vector).map(shadow).collect();
    if entries.iter().any(|entry| entry.name.eq_ignore_ascii_case("libsql_vector_meta_shadow")) {
        let left = entries.iter().filter(|entry| entry.kind == "table").map(|entry| entry.name.to_ascii_lowercase());
        found.extend(left.filter(|name| name.ends_with("_shadow") && has_vector_columns(connection, name)));
    }
    found
}

fn has_vector_columns(connection: &Connection, table: &str) -> bool {
    let sql = "SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE name <> 'rowid' ORDER BY cid";
    let names = connection.prepare(sql).and_then(|mut query| query.query_map([table], |row| row.get(0))?.collect());
    let names: Vec<String> = names.unwrap_or_default();
    match names.as_slice() {
        [keys @ .., last] if last == "data" => !keys.is_empty() && keys.iter().all(|key| key.starts_with("index_key")),
        _ => false,
    }
}
