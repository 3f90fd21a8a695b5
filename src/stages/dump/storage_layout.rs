//! What `sqlite_schema` says, and how each table stores its rows: enough to read and to write them byte for byte
//! without going through the table's own rules.
//!
//! The engine itself is asked for a table's columns and keys, by loading the schema's text as it would load it from
//! a file: tolerant of functions it doesn't know, and with libSQL's extensions.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use crate::{
    error::{Error, Kind, Result},
    model::identifier::quote_ident,
    sqlite::error_map,
};

/// The statement that reads [`SchemaRow`]s, on any libSQL or SQLite engine.
pub(super) const SCHEMA_SQL: &str =
    "SELECT rowid, type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY rowid";

/// How many columns a result may have (SQLite "Limits", section 3); a table may have as many.
const RESULT_COLUMNS_MOST: usize = 2000;

/// One row of `sqlite_schema`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SchemaRow {
    /// Its place.
    pub(super) rowid: i64,
    /// `table`, `index`, `view` or `trigger`.
    pub(super) kind: String,
    /// The object's name.
    pub(super) name: String,
    /// The table it belongs to.
    pub(super) table: String,
    /// Its SQL; none for indexes that SQLite makes for constraints.
    pub(super) sql: Option<String>,
    /// Whether it has a b-tree: views, triggers and virtual tables have none. Which page it is doesn't matter.
    pub(super) rooted: bool,
}

impl SchemaRow {
    /// Whether it is a table with rows of its own.
    pub(super) fn holds_rows(&self) -> bool {
        self.rooted && self.kind == "table"
    }

    /// Whether an engine could have written it: a kind of object that there is, and the pages that it needs. An engine
    /// that is told to tolerate other entries ignores them, and with them the rows of a table.
    pub(super) fn is_sound(&self) -> bool {
        let is_virtual = || self.sql.as_ref().is_some_and(|sql| sql.to_ascii_lowercase().contains("virtual"));
        let is_table = || {
            let mut words = self.sql.iter().flat_map(|sql| sql.split_whitespace());
            words.nth(1).is_some_and(|word| word.eq_ignore_ascii_case("table"))
        };
        match self.kind.as_str() {
            "table" => self.name == self.table && (self.rooted || is_virtual()),
            "view" => !is_table(),
            "index" | "trigger" => true,
            _ => false,
        }
    }

    /// Whether it is libSQL's vector index, whose content is in a shadow table and whose own b-tree stays empty.
    ///
    /// The older syntax (`USING diskann...`) has no marker function; the shadow table tells it apart.
    pub(super) fn is_vector_index(&self, tables: &BTreeSet<&str>) -> bool {
        let Some(sql) = self.sql.as_ref().filter(|_| self.kind == "index") else { return false };
        let sql = sql.to_ascii_lowercase();
        let shadow = format!("{}_shadow", self.name);
        (sql.contains("libsql_vector_idx") || sql.contains("using")) && tables.contains(shadow.as_str())
    }
}

/// Refuses a schema in which two objects have one name: SQLite never makes one, and reads the first object alone.
///
/// # Errors
/// `SourceInvalid`.
pub(super) fn require_distinct_names(rows: &[SchemaRow]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for row in rows {
        // SQLite finds tables and views by one list of names, indexes and triggers by two others.
        let list = if row.kind == "view" { "table" } else { row.kind.as_str() };
        if !seen.insert((list, row.name.to_ascii_lowercase())) {
            let text = format!(
                "the file is damaged: sqlite_schema has two objects with the name {}, and SQLite reads only one of them",
                row.name
            );
            return Err(Error::new(Kind::SourceInvalid, text).with_hint(
                "restore the file from a copy that is whole; or, in a copy, give one of the objects another name and \
                 SQL in sqlite_schema (`PRAGMA writable_schema`)",
            ));
        }
    }
    Ok(())
}

/// The names of all tables with rows of their own.
pub(super) fn table_names(rows: &[SchemaRow]) -> BTreeSet<&str> {
    rows.iter().filter(|row| row.holds_rows()).map(|row| row.name.as_str()).collect()
}

/// How a table's rows are stored.
#[derive(Debug, Clone)]
pub(super) struct TableShape {
    /// Its place among the schema's rows.
    pub(super) index: usize,
    /// Its name.
    pub(super) name: String,
    /// How the rowid is selected, quoted; none without a rowid, if every name of it is taken by a column, or if the
    /// columns leave no room for it in a result.
    pub(super) rowid: Option<String>,
    /// The columns that a record holds, in the record's order: all but virtual generated ones.
    pub(super) columns: Vec<StoredColumn>,
    /// The key of a WITHOUT ROWID table; empty for others.
    pub(super) key: Vec<KeyColumn>,
}

/// A column as a record holds it.
#[derive(Debug, Clone)]
pub(super) struct StoredColumn {
    /// Its name.
    pub(super) name: String,
    /// Whether it is the rowid's other name: the record then holds NULL in its place.
    pub(super) is_rowid: bool,
}

/// A key column of a WITHOUT ROWID table.
#[derive(Debug, Clone)]
pub(super) struct KeyColumn {
    /// Its place among the stored columns.
    pub(super) column: usize,
    /// Its collation.
    pub(super) collation: String,
    /// DESC.
    pub(super) descending: bool,
}

impl TableShape {
    /// The columns that are read and written as such.
    pub(super) fn values(&self) -> impl Iterator<Item = (usize, &StoredColumn)> {
        self.columns.iter().enumerate().filter(|(_, column)| !column.is_rowid)
    }

    /// How many values a row has: the rowid, where it can be selected, and the columns.
    pub(super) fn width(&self) -> usize {
        usize::from(self.rowid.is_some()) + self.values().count()
    }

    /// The statement that reads all rows in storage order, the rowid first. `form` makes a column's expression.
    ///
    /// `NOT INDEXED` keeps the engine from reading an index instead of the table, but says nothing to it WITHOUT
    /// ROWID; the order, which is the storage's own, does. Columns are qualified, for SQLite takes an unknown name in
    /// double quotes for a text.
    pub(super) fn select(&self, form: impl Fn(&str) -> String) -> String {
        let columns = self.values().map(|(_, column)| form(&format!("t.{}", quote_ident(&column.name))));
        let all: Vec<String> = self.rowid.iter().map(|rowid| format!("t.{rowid}")).chain(columns).collect();
        let order = match self.order() {
            Some(order) => format!(" ORDER BY {order}"),
            None => String::new(),
        };
        format!("SELECT {} FROM {} AS t NOT INDEXED{order}", all.join(", "), quote_ident(&self.name))
    }

    /// The storage order; none where no name of the rowid is left to order by.
    fn order(&self) -> Option<String> {
        if self.key.is_empty() {
            return self.rowid.as_ref().map(|rowid| format!("t.{rowid}"));
        }
        let part = |key: &KeyColumn| {
            let direction = if key.descending { " DESC" } else { "" };
            let name = self.columns.get(key.column).map(|column| quote_ident(&column.name))?;
            Some(format!("t.{name} COLLATE {}{direction}", quote_ident(&key.collation)))
        };
        self.key.iter().map(part).collect::<Option<Vec<_>>>().map(|parts| parts.join(", "))
    }

    /// The statement that counts the rows.
    pub(super) fn count(&self) -> String {
        format!("SELECT count(*) FROM {} NOT INDEXED", quote_ident(&self.name))
    }
}

/// Reads `sqlite_schema` of an open database.
pub(super) fn read_schema(connection: &Connection) -> Result<Vec<SchemaRow>> {
    let failed = |failure: rusqlite::Error| error_map::describe("reading the schema", &failure);
    let mut statement = connection.prepare(SCHEMA_SQL).map_err(failed)?;
    let rows = statement
        .query_map([], |row| {
            Ok(SchemaRow {
                rowid: row.get(0)?,
                kind: row.get(1)?,
                name: row.get(2)?,
                table: row.get(3)?,
                rooted: row.get::<_, Option<i64>>(4)?.unwrap_or(0) != 0,
                sql: row.get(5)?,
            })
        })
        .and_then(Iterator::collect)
        .map_err(failed)?;
    Ok(rows)
}

/// How the tables of a schema that isn't in a file store their rows.
pub(super) fn shapes_of_text(rows: &[SchemaRow]) -> Result<Vec<TableShape>> {
    let failed = |failure: rusqlite::Error| error_map::describe("loading the schema", &failure);
    let model = Connection::open_in_memory().map_err(failed)?;
    install_model(&model, rows).map_err(failed)?;
    // The reset loads the text anew; it also turns the pragma off, which tolerates what can't be parsed.
    model.execute_batch("PRAGMA writable_schema=RESET; PRAGMA writable_schema=ON").map_err(failed)?;
    let found = shapes(&model, rows)?;
    let is_missing =
        |(place, row): &(usize, &SchemaRow)| row.holds_rows() && !found.iter().any(|shape| shape.index == *place);
    match rows.iter().enumerate().find(is_missing) {
        Some((_, row)) => Err(Error::new(Kind::SourceInvalid, "the table's definition can't be parsed")
            .at_table(&row.name)
            .with_hint("this version's engine doesn't know its syntax; export the table on its own")),
        None => Ok(found),
    }
}

/// Gives an empty database in memory this schema, without rows.
pub(super) fn install_model(model: &Connection, rows: &[SchemaRow]) -> rusqlite::Result<()> {
    // The engine wants page numbers that exist, and looks no further before rows are read: any pages will do.
    let page = |place: usize| i64::try_from(place + 2).unwrap_or(2);
    let roots: Vec<i64> =
        rows.iter().enumerate().map(|(place, row)| if row.rooted { page(place) } else { 0 }).collect();
    model.execute_batch(&format!(
        "PRAGMA page_size=512; CREATE TABLE pages(p); INSERT INTO pages VALUES (zeroblob(512 * {}))",
        rows.len() + 4
    ))?;
    install_rows(model, rows, &roots)
}

/// How the tables of an open database store their rows. The connection must have `writable_schema` on. A table whose
/// definition the engine can't parse is left out: nobody can read its rows.
pub(super) fn shapes(connection: &Connection, rows: &[SchemaRow]) -> Result<Vec<TableShape>> {
    let failed = |failure: rusqlite::Error| error_map::describe("loading the schema", &failure);
    let mut without_rowid =
        connection.prepare("SELECT name FROM pragma_table_list WHERE schema = 'main' AND wr").map_err(failed)?;
    let without_rowid: BTreeSet<String> =
        without_rowid.query_map([], |row| row.get(0)).and_then(Iterator::collect).map_err(failed)?;
    let mut columns = connection
        .prepare("SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid")
        .map_err(failed)?;
    let mut tables = Vec::new();
    for (index, row) in rows.iter().enumerate().filter(|(_, row)| row.holds_rows()) {
        let declared: Vec<Declared> = columns
            .query_map([&row.name], |column| {
                Ok(Declared {
                    name: column.get(0)?,
                    class: column.get(1)?,
                    in_key: column.get::<_, i64>(2)? > 0,
                    is_virtual: column.get::<_, i64>(3)? == 2,
                })
            })
            .and_then(Iterator::collect)
            .map_err(failed)?;
        if declared.is_empty() {
            continue;
        }
        let key_index = key_index(connection, &row.name).map_err(failed)?;
        let keyed_by_columns = without_rowid.contains(&row.name);
        let shape = shape_of(index, &row.name, &declared, keyed_by_columns, key_index.as_deref());
        tables.push(match key_index.filter(|_| keyed_by_columns) {
            None => shape,
            Some(name) => with_key(connection, shape, &declared, &name).map_err(failed)?,
        });
    }
    Ok(tables)
}

struct Declared {
    name: String,
    class: String,
    in_key: bool,
    is_virtual: bool,
}

fn shape_of(
    index: usize,
    name: &str,
    declared: &[Declared],
    without_rowid: bool,
    key_index: Option<&str>,
) -> TableShape {
    // An INTEGER PRIMARY KEY that needs no index of its own is the rowid (SQLite "CREATE TABLE", section 5).
    let lone_key = declared.iter().filter(|column| column.in_key).count() == 1;
    let is_rowid = |column: &Declared| {
        !without_rowid
            && key_index.is_none()
            && lone_key
            && column.in_key
            && column.class.eq_ignore_ascii_case("INTEGER")
    };
    let columns: Vec<StoredColumn> = declared
        .iter()
        .filter(|column| !column.is_virtual)
        .map(|column| StoredColumn { name: column.name.clone(), is_rowid: is_rowid(column) })
        .collect();
    let taken = |word: &str| declared.iter().any(|column| column.name.eq_ignore_ascii_case(word));
    let rowid = match columns.iter().find(|column| column.is_rowid) {
        _ if without_rowid => None,
        None if columns.len() >= RESULT_COLUMNS_MOST => None,
        Some(column) => Some(quote_ident(&column.name)),
        None => ["rowid", "_rowid_", "oid"].into_iter().find(|word| !taken(word)).map(str::to_owned),
    };
    TableShape { index, name: name.to_owned(), rowid, columns, key: Vec::new() }
}

/// The index that stands for the primary key, where there is one.
fn key_index(connection: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
    let mut statement =
        connection.prepare_cached("SELECT name FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'")?;
    let mut names = statement.query_map([table], |row| row.get(0))?;
    names.next().transpose()
}

fn with_key(
    connection: &Connection,
    mut shape: TableShape,
    declared: &[Declared],
    index: &str,
) -> rusqlite::Result<TableShape> {
    let mut statement = connection
        .prepare_cached("SELECT cid, coll, desc FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno")?;
    let mut rows = statement.query(params![index])?;
    while let Some(row) = rows.next()? {
        let column: usize = row.get(0)?;
        // Virtual columns hold no place in a record and can't be part of a primary key.
        let before = declared.iter().take(column).filter(|column| column.is_virtual).count();
        shape.key.push(KeyColumn { column: column - before, collation: row.get(1)?, descending: row.get(2)? });
    }
    Ok(shape)
}

/// Replaces `sqlite_schema` by these rows, exactly, each with the page number of its b-tree.
///
/// The engine loads the new text when the schema is reset or the file is opened again.
pub(super) fn install_rows(connection: &Connection, rows: &[SchemaRow], roots: &[i64]) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA writable_schema=ON; DELETE FROM sqlite_schema")?;
    let mut insert = connection.prepare(
        "INSERT INTO sqlite_schema(rowid, type, name, tbl_name, rootpage, sql) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (row, root) in rows.iter().zip(roots) {
        insert.execute(params![row.rowid, row.kind, row.name, row.table, root, row.sql])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(script: &str) -> Vec<SchemaRow> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(script).unwrap();
        read_schema(&connection).unwrap()
    }

    fn shape(rows: &[SchemaRow], name: &str) -> TableShape {
        shapes_of_text(rows).unwrap().into_iter().find(|shape| shape.name == name).unwrap()
    }

    #[test]
    fn the_rowid_has_a_name_unless_columns_take_them_all() {
        let rows = rows_of(
            "CREATE TABLE plain(a, b); CREATE TABLE aliased(a, id INTEGER PRIMARY KEY);
             CREATE TABLE descending(id INTEGER PRIMARY KEY DESC); CREATE TABLE small(id INT PRIMARY KEY);
             CREATE TABLE hidden(rowid, b); CREATE TABLE all_taken(RowId, _rowid_, oid);
             CREATE TABLE named(rowid INTEGER PRIMARY KEY, x); CREATE TABLE random(a) RANDOM ROWID;",
        );
        for (table, rowid, width) in [
            ("plain", Some("rowid"), 3),
            ("aliased", Some("\"id\""), 2),
            ("descending", Some("rowid"), 2),
            ("small", Some("rowid"), 2),
            ("hidden", Some("_rowid_"), 3),
            ("all_taken", None, 3),
            ("named", Some("\"rowid\""), 2),
            ("random", Some("rowid"), 2),
        ] {
            let shape = shape(&rows, table);
            assert_eq!(shape.rowid.as_deref(), rowid, "{table}");
            assert_eq!(shape.width(), width, "{table}");
            assert!(shape.key.is_empty());
        }
    }

    #[test]
    fn a_key_of_columns_keeps_order_collation_and_direction() {
        let rows = rows_of(
            "CREATE TABLE w(v AS (a || b), a TEXT, s AS (length(a)) STORED, b, c,
                PRIMARY KEY(c DESC, a COLLATE NOCASE, c)) WITHOUT ROWID",
        );
        let shape = shape(&rows, "w");
        let stored: Vec<&str> = shape.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(stored, ["a", "s", "b", "c"]);
        let key: Vec<_> = shape.key.iter().map(|key| (key.column, key.collation.as_str(), key.descending)).collect();
        assert_eq!(key, [(3, "BINARY", true), (0, "NOCASE", false)]);
        assert_eq!(shape.rowid, None);
        assert_eq!(
            shape.select(str::to_owned),
            "SELECT t.\"a\", t.\"s\", t.\"b\", t.\"c\" FROM \"w\" AS t NOT INDEXED \
             ORDER BY t.\"c\" COLLATE \"BINARY\" DESC, t.\"a\" COLLATE \"NOCASE\""
        );
    }

    #[test]
    fn the_text_is_loaded_as_from_a_file() {
        // No engine would take these as statements: a function and a module that it doesn't know.
        let mut rows = rows_of("CREATE TABLE t(a, b); CREATE TABLE v(a); CREATE VIEW w AS SELECT 1;");
        rows[0].sql = Some("CREATE TABLE t(a CHECK(nobody_knows(a)), b AS (unknown(a)) STORED)".to_owned());
        rows[1].sql = Some("CREATE VIRTUAL TABLE v USING nowhere(a)".to_owned());
        rows[1].rooted = false;
        let shapes = shapes_of_text(&rows).unwrap();
        assert_eq!(shapes.len(), 1);
        assert_eq!(shapes[0].width(), 3);
    }

    #[test]
    fn a_table_that_cannot_be_parsed_is_named() {
        let mut rows = rows_of("CREATE TABLE t(a)");
        rows[0].sql = Some("CREATE TABLE t(a, )".to_owned());
        let error = shapes_of_text(&rows).unwrap_err();
        assert_eq!((error.kind(), error.table()), (Kind::SourceInvalid, Some("t")));
    }

    #[test]
    fn vector_indexes_are_known_by_marker_and_shadow() {
        let rows = rows_of(
            "CREATE TABLE v(id INTEGER PRIMARY KEY, e F32_BLOB(3)); CREATE INDEX vi ON v(libsql_vector_idx(e));
             CREATE TABLE using_it(a); CREATE INDEX plain ON using_it(a);",
        );
        let tables = table_names(&rows);
        let vector: Vec<&str> =
            rows.iter().filter(|row| row.is_vector_index(&tables)).map(|row| row.name.as_str()).collect();
        assert_eq!(vector, ["vi"]);
    }
}
