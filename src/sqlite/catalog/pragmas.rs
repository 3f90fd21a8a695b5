//! Reads the facts that SQLite's pragmas report (docs/conversion-rules.md, section 8.2).

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::{ddl_parse::DeclaredIndex, objects::SchemaObjects};
use crate::model::source_schema::{IndexKey, IndexOrigin, SourceForeignKey, SourceIndex, SourceIndexColumn};

/// One row of `table_xinfo`.
#[derive(Debug, Clone)]
pub(super) struct ColumnInfo {
    pub name: String,
    pub declared: String,
    pub not_null: bool,
    pub default_sql: Option<String>,
    /// Place in the primary key from 1, 0 outside it.
    pub key_position: i64,
    pub hidden: bool,
    /// A generated column, and whether it is STORED.
    pub generated: Option<bool>,
}

/// Columns in declared order, generated and hidden ones included.
pub(super) fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<ColumnInfo>> {
    let mut statement = connection.prepare(
        "SELECT x.name, x.type, x.\"notnull\", x.dflt_value, x.pk, x.hidden \
         FROM pragma_table_xinfo(?1, 'main') AS x ORDER BY x.cid",
    )?;
    let rows = statement.query_map([table], |row| {
        let hidden: i64 = row.get(5)?;
        Ok(ColumnInfo {
            name: row.get(0)?,
            declared: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
            not_null: row.get(2)?,
            default_sql: row.get(3)?,
            key_position: row.get(4)?,
            hidden: hidden == 1,
            generated: match hidden {
                2 => Some(false),
                3 => Some(true),
                _ => None,
            },
        })
    })?;
    rows.collect()
}

/// The indexes of a table in the order of `sqlite_schema`.
pub(super) fn indexes(
    connection: &Connection,
    table: &str,
    listing: &SchemaObjects,
) -> rusqlite::Result<Vec<SourceIndex>> {
    let mut statement = connection.prepare(
        "SELECT l.name, l.\"unique\", l.origin, l.partial FROM pragma_index_list(?1, 'main') AS l ORDER BY l.seq DESC",
    )?;
    let rows = statement.query_map([table], |row| {
        let origin = match row.get::<_, String>(2)?.as_str() {
            "pk" => IndexOrigin::PrimaryKey,
            "u" => IndexOrigin::Unique,
            _ => IndexOrigin::Created,
        };
        Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?, origin, row.get::<_, bool>(3)?))
    })?;
    let mut found = Vec::new();
    for row in rows {
        let (name, unique, origin, partial) = row?;
        let entry = listing.index(&name);
        let sql = entry.and_then(|(_, entry)| entry.sql.clone());
        let declared = sql.as_deref().and_then(DeclaredIndex::parse).unwrap_or_default();
        let columns = index_columns(connection, &name, &declared)?;
        // A predicate that can't be read must not look like none.
        let predicate = partial.then(|| declared.predicate.clone().unwrap_or_default());
        let position = entry.map_or(0, |(position, _)| position);
        found.push((position, SourceIndex { name, origin, constraint_name: None, unique, columns, predicate, sql }));
    }
    found.sort_by_key(|(position, _)| *position);
    Ok(found.into_iter().map(|(_, index)| index).collect())
}

fn index_columns(
    connection: &Connection,
    index: &str,
    declared: &DeclaredIndex,
) -> rusqlite::Result<Vec<SourceIndexColumn>> {
    let mut statement = connection.prepare(
        "SELECT x.cid, x.name, x.\"desc\", x.coll FROM pragma_index_xinfo(?1, 'main') AS x WHERE x.key = 1 \
         ORDER BY x.seqno",
    )?;
    let rows = statement.query_map([index], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, Option<String>>(1)?,
            row.get::<_, bool>(2)?,
            row.get::<_, Option<String>>(3)?,
        ))
    })?;
    let mut found = Vec::new();
    for (position, row) in rows.enumerate() {
        let (column, name, descending, collation) = row?;
        let key = match (column, name) {
            (0.., Some(name)) => IndexKey::Column(name),
            (-1, _) => IndexKey::Rowid,
            _ => IndexKey::Expression(declared.keys.get(position).cloned().unwrap_or_default()),
        };
        let collation = collation.map(|name| name.to_ascii_uppercase()).filter(|name| name != "BINARY");
        found.push(SourceIndexColumn { key, descending, collation });
    }
    Ok(found)
}

/// Foreign keys in declared order: SQLite numbers them from the last.
pub(super) fn foreign_keys(connection: &Connection, table: &str) -> rusqlite::Result<Vec<SourceForeignKey>> {
    let mut statement = connection.prepare(
        "SELECT f.id, f.\"table\", f.\"from\", f.\"to\", f.on_update, f.on_delete \
         FROM pragma_foreign_key_list(?1, 'main') AS f ORDER BY f.id DESC, f.seq",
    )?;
    let rows = statement.query_map([table], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, String>(2)?,
            row.get::<_, Option<String>>(3)?,
            row.get::<_, String>(4)?,
            row.get::<_, String>(5)?,
        ))
    })?;
    let mut found: BTreeMap<i64, SourceForeignKey> = BTreeMap::new();
    for row in rows {
        let (id, parent, from, to, on_update, on_delete) = row?;
        // Numbered from the last: the map's order is the declared one.
        let key = found.entry(-id).or_insert_with(|| SourceForeignKey {
            name: None,
            columns: Vec::new(),
            parent,
            parent_columns: to.is_some().then(Vec::new),
            on_update,
            on_delete,
            deferred: false,
            match_ignored: false,
        });
        key.columns.push(from);
        if let (Some(columns), Some(to)) = (&mut key.parent_columns, to) {
            columns.push(to);
        }
    }
    Ok(found.into_values().collect())
}
