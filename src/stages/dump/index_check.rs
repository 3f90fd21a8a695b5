//! Whether an index holds what its table holds, in linear time: either is read from one end to the other, and the
//! digests of the entries are added up, so that their order doesn't matter.

use std::hash::{DefaultHasher, Hasher};

use rusqlite::{Connection, types::ValueRef};

use crate::model::identifier::quote_ident;

/// What comparing a table's indexes came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct IndexComparison {
    /// The first index that holds something else.
    pub(super) different: Option<String>,
    /// Indexes that can't be compared so: partial ones, those of expressions, those of a foreign collation, and those
    /// of tables whose rowid no query can name.
    pub(super) left_out: usize,
}

/// The number of entries, and the sum of their digests.
type EntrySum = (u64, u64);

/// Compares each index of a table with the table.
///
/// # Errors
/// What the engine says of pages that it can't read.
pub(super) fn compare(connection: &Connection, table: &str) -> rusqlite::Result<IndexComparison> {
    let mut compared = IndexComparison::default();
    let mut list = connection.prepare("SELECT name, partial FROM pragma_index_list(?1)")?;
    let found = list.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(String, bool)> = found.collect::<rusqlite::Result<_>>()?;
    for (index, is_partial) in found {
        let Some(columns) = columns(connection, table, &index)?.filter(|_| !is_partial) else {
            compared.left_out += 1;
            continue;
        };
        let select = |by: &str| format!("SELECT {columns} FROM {} {by}", quote_ident(table));
        let by_index = sum(connection, &select(&format!("INDEXED BY {}", quote_ident(&index))));
        match by_index {
            Ok(by_index) if by_index == sum(connection, &select("NOT INDEXED"))? => {}
            Ok(_) => {
                compared.different = Some(index);
                break;
            }
            // The engine has no such plan, or not what it takes to read the index.
            Err(failure) if failure.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => compared.left_out += 1,
            Err(failure) => return Err(failure),
        }
    }
    Ok(compared)
}

/// What an index holds, as a list for SELECT: its columns, and the rowid that leads to the row. None if not all of it
/// can be selected.
fn columns(connection: &Connection, table: &str, index: &str) -> rusqlite::Result<Option<String>> {
    let mut info = connection.prepare("SELECT cid, name FROM pragma_index_xinfo(?1)")?;
    let found = info.query_map([index], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(i64, Option<String>)> = found.collect::<rusqlite::Result<_>>()?;
    let mut names = Vec::new();
    for (column, name) in found {
        let name = match column {
            -1 => rowid(connection, table)?.map(str::to_owned),
            column => name.filter(|_| column >= 0).map(|name| quote_ident(&name)),
        };
        let Some(name) = name else { return Ok(None) };
        names.push(name);
    }
    Ok((!names.is_empty()).then(|| names.join(", ")))
}

/// A name of the rowid that no column of the table has (SQLite: "ROWIDs and the INTEGER PRIMARY KEY").
fn rowid(connection: &Connection, table: &str) -> rusqlite::Result<Option<&'static str>> {
    let mut list = connection.prepare("SELECT 1 FROM pragma_table_xinfo(?1) WHERE name = ?2 COLLATE NOCASE")?;
    for name in ["rowid", "_rowid_", "oid"] {
        if !list.exists([table, name])? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn sum(connection: &Connection, sql: &str) -> rusqlite::Result<EntrySum> {
    let mut statement = connection.prepare(sql)?;
    let width = statement.column_count();
    let mut rows = statement.query([])?;
    let (mut count, mut sum) = (0, 0_u64);
    while let Some(row) = rows.next()? {
        let mut hasher = DefaultHasher::new();
        for column in 0..width {
            add(&mut hasher, row.get_ref(column)?);
        }
        sum = sum.wrapping_add(hasher.finish());
        count += 1;
    }
    Ok((count, sum))
}

fn add(hasher: &mut DefaultHasher, value: ValueRef<'_>) {
    let mut sized = |class: u8, bytes: &[u8]| {
        hasher.write_u8(class);
        hasher.write_u64(bytes.len() as u64);
        hasher.write(bytes);
    };
    match value {
        ValueRef::Null => sized(0, &[]),
        ValueRef::Integer(value) => sized(1, &value.to_le_bytes()),
        ValueRef::Real(value) => sized(2, &value.to_bits().to_le_bytes()),
        ValueRef::Text(bytes) => sized(3, bytes),
        ValueRef::Blob(bytes) => sized(4, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_indexes_of_every_kind_are_not_blamed() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(a REAL, b TEXT COLLATE NOCASE, c, d AS (a * 2), UNIQUE (b, a));
                 INSERT INTO t VALUES (1, 'x', NULL), (2.5, 'X', x'00'), (-0.0, NULL, 9e999), (NULL, NULL, '');
                 ALTER TABLE t ADD COLUMN e DEFAULT 'later';
                 CREATE INDEX i1 ON t(c DESC); CREATE INDEX i2 ON t(d); CREATE INDEX i3 ON t(e, c);
                 CREATE INDEX i4 ON t(lower(b)); CREATE INDEX i5 ON t(a) WHERE a > 1;
                 CREATE TABLE w(a, b, PRIMARY KEY (b DESC, a)) WITHOUT ROWID; CREATE INDEX i6 ON w(a);
                 INSERT INTO w VALUES (1, 2), ('x', 'y');",
            )
            .unwrap();
        let compared = compare(&connection, "t").unwrap();
        assert_eq!(compared.different, None);
        assert_eq!(compared.left_out, 2);
        assert_eq!(compare(&connection, "w").unwrap(), IndexComparison::default());
    }

    #[test]
    fn an_index_whose_entries_lead_to_each_others_rows_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        let connection = Connection::open(&path).unwrap();
        // The index of `other` has the entries of `t`, with the rowids exchanged.
        connection
            .execute_batch(
                "CREATE TABLE t(a, rowid); INSERT INTO t VALUES ('one', 1), ('two', 2); CREATE INDEX i ON t(a);
                 CREATE TABLE other(a, rowid); INSERT INTO other VALUES ('two', 1), ('one', 2);
                 CREATE INDEX j ON other(a); PRAGMA writable_schema=ON;
                 UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'j')
                 WHERE name = 'i';",
            )
            .unwrap();
        drop(connection);
        let connection = Connection::open(&path).unwrap();
        assert_eq!(compare(&connection, "t").unwrap().different.as_deref(), Some("i"));
        assert_eq!(compare(&connection, "other").unwrap(), IndexComparison::default());
    }

    #[test]
    fn an_index_of_a_table_that_hides_its_rowid_is_left_out() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(rowid, _rowid_, oid, a); INSERT INTO t VALUES (1, 2, 3, 4); CREATE INDEX i ON t(a)",
            )
            .unwrap();
        assert_eq!(compare(&connection, "t").unwrap(), IndexComparison { different: None, left_out: 1 });
    }

    #[test]
    fn an_index_of_something_else_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'one'), (2, 'two'); CREATE INDEX i ON t(b);
                 CREATE TABLE o(b); INSERT INTO o VALUES ('one'), ('tw0'); CREATE INDEX j ON o(b);
                 PRAGMA writable_schema=ON;
                 UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'j')
                 WHERE name = 'i';",
            )
            .unwrap();
        drop(connection);
        let connection = Connection::open(&path).unwrap();
        assert_eq!(compare(&connection, "t").unwrap().different.as_deref(), Some("i"));
        assert_eq!(compare(&connection, "o").unwrap(), IndexComparison::default());
    }
}
