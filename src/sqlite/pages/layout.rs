//! Where the columns of a table are in its records.

use rusqlite::{Connection, OptionalExtension as _};

use crate::{model::source_schema::Affinity, rules::affinity};

/// How the wanted columns of a plain table are read from its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableLayout {
    /// The first page of the table.
    pub(super) root: u32,
    /// The wanted columns, in their order.
    pub(super) fields: Vec<Field>,
    /// Fields that a record must have: a column that was added later and has a default is absent from older records.
    pub(super) least_fields: usize,
}

/// Where a wanted column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// It is the rowid.
    Rowid,
    /// The field of this number, counted from 0.
    Stored {
        place: usize,
        /// Integers in it stand for reals (SQLite "Datatypes", section 3).
        is_real: bool,
    },
}

struct StoredColumn {
    name: String,
    is_key: bool,
    is_real: bool,
    has_default: bool,
}

impl TableLayout {
    /// The layout for the rowid and these columns of a table, in this order. None for a table that is to be read through
    /// SQLite.
    #[must_use]
    pub fn of(connection: &Connection, table: &str, columns: &[&str]) -> Option<Self> {
        Self::read(connection, table, columns).ok().flatten()
    }

    fn read(connection: &Connection, table: &str, columns: &[&str]) -> rusqlite::Result<Option<Self>> {
        let kind = "SELECT name = ?1 AND type IN ('table', 'shadow') AND NOT wr FROM pragma_table_list(?1) \
                    WHERE schema = 'main'";
        let is_plain: Option<bool> = connection.query_row(kind, [table], |row| row.get(0)).optional()?;
        let roots = "SELECT max(rootpage), count(*) FROM sqlite_schema \
                     WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
        let (root, count): (Option<u32>, i64) =
            connection.query_row(roots, [table], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let (Some(true), Some(root), 1) = (is_plain, root, count) else { return Ok(None) };
        let Some(stored) = stored_columns(connection, table)? else { return Ok(None) };
        let key_index = "SELECT count(*) FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'";
        let key_indexes: i64 = connection.query_row(key_index, [table], |row| row.get(0))?;
        // A primary key of one column without an index of its own is the rowid (SQLite "CREATE TABLE", section 5).
        let has_alias = key_indexes == 0 && stored.iter().filter(|column| column.is_key).count() == 1;
        let mut fields = vec![Field::Rowid];
        let mut least_fields = 0;
        for wanted in columns {
            let Some(place) = stored.iter().position(|column| column.name == *wanted) else { return Ok(None) };
            let Some(column) = stored.get(place) else { return Ok(None) };
            if has_alias && column.is_key {
                fields.push(Field::Rowid);
                continue;
            }
            if column.has_default {
                least_fields = least_fields.max(place + 1);
            }
            fields.push(Field::Stored { place, is_real: column.is_real });
        }
        Ok(Some(Self { root, fields, least_fields }))
    }
}

/// The columns in the order of a record's fields; none where a column is generated or hidden.
fn stored_columns(connection: &Connection, table: &str) -> rusqlite::Result<Option<Vec<StoredColumn>>> {
    let sql = "SELECT name, type, pk, dflt_value IS NOT NULL, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([table])?;
    let mut columns = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(4)? != 0 {
            return Ok(None);
        }
        let declared: Option<String> = row.get(1)?;
        columns.push(StoredColumn {
            name: row.get(0)?,
            is_key: row.get::<_, i64>(2)? > 0,
            // A STRICT table differs in ANY alone, which is no real either way.
            is_real: affinity::of(&declared.unwrap_or_default(), false) == Affinity::Real,
            has_default: row.get(3)?,
        });
    }
    Ok(Some(columns))
}
