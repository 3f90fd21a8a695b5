//! Schemas of every kind, made by the engine itself.

use rusqlite::Connection;

use super::*;
use crate::model::source_schema::{Affinity, IndexKey, IndexOrigin};

fn schema(sql: &str) -> SourceSchema {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(sql).unwrap();
    read(&connection).unwrap()
}

fn one_table(sql: &str) -> SourceTable {
    let mut schema = schema(sql);
    assert_eq!(schema.tables.len(), 1);
    schema.tables.remove(0)
}

#[test]
fn only_an_exact_integer_key_is_the_rowid() {
    for (sql, alias) in [
        ("CREATE TABLE t(id INTEGER PRIMARY KEY)", true),
        ("CREATE TABLE t(id integer primary key)", true),
        ("CREATE TABLE t(id \"INTEGER\" PRIMARY KEY)", true),
        ("CREATE TABLE t(id INTEGER, PRIMARY KEY(id DESC))", true),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT)", true),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY DESC)", false),
        ("CREATE TABLE t(id INT PRIMARY KEY)", false),
        ("CREATE TABLE t(id BIGINT PRIMARY KEY)", false),
        ("CREATE TABLE t(id INTEGER(11) PRIMARY KEY)", false),
        ("CREATE TABLE t(id INTEGER UNSIGNED PRIMARY KEY)", false),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY) WITHOUT ROWID", false),
        ("CREATE TABLE t(id INTEGER, b, PRIMARY KEY(id, b))", false),
    ] {
        let table = one_table(sql);
        assert_eq!(table.rowid_alias.is_some(), alias, "{sql}");
        assert_eq!(table.autoincrement, sql.contains("AUTOINCREMENT"));
    }
}

#[test]
fn the_rowid_is_reached_by_a_name_that_no_column_hides() {
    for (sql, name) in [
        ("CREATE TABLE t(a)", Some("rowid")),
        ("CREATE TABLE t(RowId)", Some("_rowid_")),
        ("CREATE TABLE t(rowid, _rowid_)", Some("oid")),
        ("CREATE TABLE t(rowid, _rowid_, oid)", None),
        ("CREATE TABLE t(a PRIMARY KEY) WITHOUT ROWID", None),
    ] {
        assert_eq!(one_table(sql).rowid_name.as_deref(), name, "{sql}");
    }
}

#[test]
fn text_and_pragmas_complete_each_other() {
    let sql = r#"
        CREATE TABLE parent(a, b, UNIQUE(a, b));
        CREATE TABLE "Child Table"(
            id INTEGER CONSTRAINT pk PRIMARY KEY,
            name TEXT COLLATE nocase NOT NULL ON CONFLICT IGNORE DEFAULT 'x',
            n INT CONSTRAINT positive CHECK (n > 0 AND "n" < 10) REFERENCES parent ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
            twice AS (n * 2) STORED,
            thrice INT GENERATED ALWAYS AS (n * 3) VIRTUAL,
            x, y,
            CONSTRAINT both UNIQUE (x, y) ON CONFLICT REPLACE,
            CHECK (length(name) > 1),
            CONSTRAINT fk FOREIGN KEY (x, y) REFERENCES parent(a, b) MATCH FULL ON UPDATE SET NULL
        );
        CREATE UNIQUE INDEX part ON "Child Table"(lower(name) COLLATE NOCASE DESC, x) WHERE x IS NOT NULL;
    "#;
    let schema = schema(sql);
    let table = schema.tables.iter().find(|table| table.name == "Child Table").unwrap();
    let column = |name: &str| table.columns.iter().find(|column| column.name == name).unwrap();
    assert_eq!(column("name").collation.as_deref(), Some("NOCASE"));
    assert_eq!((column("name").not_null, column("name").default_sql.as_deref()), (true, Some("'x'")));
    assert_eq!(column("n").affinity, Affinity::Integer);
    let twice = column("twice").generated.as_ref().unwrap();
    assert_eq!((twice.stored, twice.expression.as_str()), (true, "n * 2"));
    assert!(!column("thrice").generated.as_ref().unwrap().stored);
    assert_eq!(table.primary_key_name.as_deref(), Some("pk"));
    let checks: Vec<_> = table.checks.iter().map(|check| (check.name.as_deref(), check.expression.as_str())).collect();
    assert_eq!(checks, [(Some("positive"), "n > 0 AND \"n\" < 10"), (None, "length (name) > 1")]);
    let [first, second] = table.foreign_keys.as_slice() else { panic!("two keys") };
    assert_eq!((first.columns.as_slice(), first.parent_columns.as_deref()), (["n".to_owned()].as_slice(), None));
    assert!(first.deferred && first.on_delete == "CASCADE" && first.name.is_none());
    assert_eq!(second.name.as_deref(), Some("fk"));
    assert!(second.match_ignored && !second.deferred && second.on_update == "SET NULL");
    assert_eq!(
        table.unmatched_clauses,
        ["ON CONFLICT IGNORE of NOT NULL (name)", "ON CONFLICT REPLACE of UNIQUE (x, y)"]
    );
    let [both, part] = table.indexes.as_slice() else { panic!("two indexes") };
    assert_eq!((both.constraint_name.as_deref(), both.origin), (Some("both"), IndexOrigin::Unique));
    assert_eq!(part.predicate.as_deref(), Some("x IS NOT NULL"));
    let key = &part.columns[0];
    assert_eq!(key.key, IndexKey::Expression("lower (name)".to_owned()));
    assert_eq!((key.descending, key.collation.as_deref()), (true, Some("NOCASE")));
}

#[test]
fn a_composite_key_keeps_its_own_order() {
    let table = one_table("CREATE TABLE t(b, a, c, PRIMARY KEY(a DESC, c)) WITHOUT ROWID");
    assert_eq!(table.primary_key, ["a", "c"]);
    assert_eq!(table.kind, TableKind::WithoutRowid);
    assert_eq!(table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
}

#[test]
fn random_rowid_is_read_by_this_engine() {
    let schema = schema("CREATE TABLE t(a TEXT CHECK (a <> '')) RANDOM ROWID");
    let table = &schema.tables[0];
    assert!(table.random_rowid && schema.needed_writable_schema);
    assert_eq!(table.checks.len(), 1);
    for (sql, stripped) in [
        ("CREATE TABLE t(a) STRICT, RANDOM ROWID", "CREATE TABLE t(a) STRICT "),
        ("CREATE TABLE t(a) RANDOM ROWID , STRICT", "CREATE TABLE t(a)   STRICT"),
        ("CREATE TABLE t(random, rowid)", "CREATE TABLE t(random, rowid)"),
    ] {
        assert_eq!(ddl_parse::without_random_rowid(sql).0, stripped);
    }
}

#[test]
fn bookkeeping_is_skipped_and_migrations_of_frameworks_are_not() {
    let schema = schema(
        "CREATE TABLE a(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO a VALUES (41); DELETE FROM a;
         CREATE TABLE _prisma_migrations(id); CREATE TABLE __drizzle_migrations(id); CREATE TABLE _cf_KV(k);
         CREATE TABLE _litestream_seq(k); CREATE TABLE libsql_wasm_func_table(k); CREATE TABLE x_content(k);
         CREATE INDEX i ON _cf_KV(k); ANALYZE;",
    );
    let tables: Vec<_> = schema.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(tables, ["a", "_prisma_migrations", "__drizzle_migrations", "x_content"]);
    assert_eq!(schema.sequences.get("a"), Some(&41));
    assert!(schema.skipped.iter().all(|object| !object.loses_rows));
    let index = schema.skipped.iter().find(|object| object.kind == "index").unwrap();
    assert_eq!((index.name.as_str(), index.reason.as_str()), ("i", "its table is skipped"));
}

#[test]
fn virtual_tables_are_distinguished_by_where_their_rows_are() {
    let schema = schema(
        "CREATE TABLE docs(body); CREATE TABLE notes_stat(a);
         CREATE VIRTUAL TABLE own USING fts5(title, body);
         CREATE VIRTUAL TABLE notes USING fts5(x);
         CREATE VIRTUAL TABLE over USING fts5(body, content='docs', content_rowid=rowid);
         CREATE VIRTUAL TABLE none USING fts5(body, content='');
         CREATE VIRTUAL TABLE old USING fts4(body);
         CREATE VIRTUAL TABLE box USING rtree(id, x0, x1);
         CREATE VIRTUAL TABLE words USING fts5vocab(own, row);",
    );
    let tables: Vec<_> = schema.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(tables, ["docs", "notes_stat", "own", "notes", "old", "box"]);
    let own = schema.tables.iter().find(|table| table.name == "own").unwrap();
    let visible: Vec<_> =
        own.columns.iter().filter(|column| !column.hidden).map(|column| column.name.as_str()).collect();
    assert_eq!(visible, ["title", "body"]);
    assert_eq!(own.kind, TableKind::Virtual { module: "fts5".to_owned() });
    let lost: Vec<_> =
        schema.skipped.iter().filter(|object| object.loses_rows).map(|object| object.name.as_str()).collect();
    assert_eq!(lost, ["none"]);
    assert!(schema.skipped.iter().any(|object| object.name == "own_data"));
}

#[test]
fn what_is_broken_is_skipped_and_the_rest_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("broken.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE good(a); CREATE VIEW v AS SELECT * FROM missing; CREATE TABLE bad(a); CREATE TABLE ext(a);
             CREATE TABLE ext_data(a); PRAGMA writable_schema=ON;
             UPDATE sqlite_schema SET sql = 'CREATE TABLE bad(((' WHERE name = 'bad';
             UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE ext USING nosuch(a)', rootpage = 0 WHERE name = 'ext';",
        )
        .unwrap();
    drop(connection);
    let schema = read(&crate::sqlite::open::read_only(&path).unwrap()).unwrap();
    assert_eq!(schema.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(schema.views.len(), 1);
    let skipped: Vec<_> = schema.skipped.iter().map(|object| (object.name.as_str(), object.loses_rows)).collect();
    assert_eq!(skipped, [("bad", true), ("ext", true), ("ext_data", false)]);
}
