//! A file whose schema lists two objects under one name.

use std::fs;

use rusqlite::Connection;

use crate::support::fixture::Workspace;

/// Gives table `b` the name of table `a`, in any case of letters; the same for views, indexes and triggers.
const CHANGES: [&str; 5] = [
    "UPDATE sqlite_schema SET name = 'a', tbl_name = 'a', sql = replace(sql, 'TABLE b', 'TABLE a') WHERE name = 'b'",
    "UPDATE sqlite_schema SET name = 'A', tbl_name = 'A', sql = replace(sql, 'TABLE b', 'TABLE A') WHERE name = 'b'",
    "UPDATE sqlite_schema SET name = 'a', tbl_name = 'a', sql = 'CREATE VIEW a AS SELECT 1' WHERE name = 'v'",
    "UPDATE sqlite_schema SET name = 'i', sql = replace(sql, 'INDEX j', 'INDEX i') WHERE name = 'j'",
    "UPDATE sqlite_schema SET name = 'g', sql = replace(sql, 'TRIGGER h', 'TRIGGER g') WHERE name = 'h'",
];

const SCRIPT: &str = "
    CREATE TABLE a (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO a VALUES (1, 'one');
    CREATE TABLE b (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO b VALUES (1, 'two'), (2, 'three');
    CREATE VIEW v AS SELECT 1 AS one; CREATE INDEX i ON a (x); CREATE INDEX j ON b (x);
    CREATE TRIGGER g AFTER INSERT ON a BEGIN SELECT 1; END; CREATE TRIGGER h AFTER INSERT ON b BEGIN SELECT 1; END;";

#[test]
fn two_objects_with_one_name_are_refused_and_named() {
    for change in CHANGES {
        let space = Workspace::new();
        let path = space.sqlite("s.db", SCRIPT);
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(&format!("PRAGMA writable_schema = ON; {change}")).unwrap();
        connection.close().unwrap();
        let run = space.tool("dump").arg("--source").arg(&path).arg("--json").run();
        let error = run.last_json();
        assert_eq!(error["code"], "source-invalid", "{change}: {error}");
        assert!(error["message"].as_str().unwrap().contains("two objects with the name"), "{error}");
        run.expect_exit(3);
        assert!(!space.dir().join("dump/source.db").exists());
    }
}

#[test]
fn a_dump_with_two_objects_of_one_name_is_not_planned() {
    let space = Workspace::new();
    let path = space.sqlite("s.db", SCRIPT);
    space.tool("dump").arg("--source").arg(&path).run().expect_exit(0);
    // As an earlier version may have left it.
    let dumped = space.dir().join("dump/source.db");
    let connection = Connection::open(&dumped).unwrap();
    connection.execute_batch(&format!("PRAGMA writable_schema = ON; {}", CHANGES[0])).unwrap();
    connection.close().unwrap();
    let mut checkpoint = space.read_json("dump/checkpoint.json");
    checkpoint.as_object_mut().unwrap().remove("checksum");
    checkpoint["sha256"] = turso2neon::workdir::sha256_of(&dumped).unwrap().into();
    checkpoint["size_bytes"] = fs::metadata(&dumped).unwrap().len().into();
    turso2neon::workdir::sealed::store(&space.dir().join("dump/checkpoint.json"), &checkpoint).unwrap();
    let run = space.tool("plan").arg("--json").run();
    assert_eq!(run.last_json()["code"], "data-refused", "{}", run.stdout);
    run.expect_exit(5);
}
