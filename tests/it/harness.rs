//! Tests the fixtures themselves.

use crate::support::{MAJORS, PgVersion, Sqld, Target, fixture, sample_db, target};

#[test]
fn the_libsql_server_knows_its_tokens() {
    let server = Sqld::start();
    server.execute("CREATE TABLE t (a, b); INSERT INTO t VALUES (1, NULL), ('x', x'00ff')");
    let rows = server.query("SELECT a, b FROM t ORDER BY rowid");
    assert_eq!(rows, [[Some("1".to_owned()), None], [Some("x".to_owned()), Some("AP8".to_owned())]]);
    let status = |token: String, sql: &str| {
        let body = serde_json::json!({"requests": [{"type": "execute", "stmt": {"sql": sql}}]});
        let call = reqwest::Client::new().post(format!("{}/v3/pipeline", server.url())).bearer_auth(token).json(&body);
        crate::support::process::block_on(async { call.send().await.unwrap().status().as_u16() })
    };
    assert_eq!(status(server.read_only_token(), "SELECT 1"), 200);
    assert_eq!(status(server.read_only_token(), "DELETE FROM t"), 403);
    assert_eq!(status(server.expired_token(), "SELECT 1"), 401);
    assert_eq!(status("nonsense".to_owned(), "SELECT 1"), 401);
}

#[test]
fn the_libsql_server_keeps_its_data_over_a_restart() {
    let mut server = Sqld::start();
    server.execute("CREATE TABLE t (a); INSERT INTO t VALUES (42)");
    server.stop();
    server.start_again();
    assert_eq!(server.query("SELECT a FROM t"), [[Some("42".to_owned())]]);
}

#[test]
fn the_libsql_server_separates_namespaces() {
    let server = Sqld::start_with_namespaces();
    server.create_namespace("one");
    server.create_namespace("two");
    server.execute_in("one", "CREATE TABLE only_in_one (a)");
    server.execute_in("two", "CREATE TABLE only_in_two (a)");
    for (namespace, table) in [("one", "only_in_one"), ("two", "only_in_two")] {
        assert_eq!(server.query_in(namespace, "SELECT name FROM sqlite_schema"), [[Some(table.to_owned())]]);
    }
}

#[test]
fn the_target_takes_verified_tls_with_scram_and_nothing_less() {
    let target = Target::start();
    let psql = |url: &str, sql: &str| {
        let program = target.bin_dir().join("psql");
        let output = std::process::Command::new(program).args(["-XAtc", sql, url]).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (ok, said, refusal) = psql(&target.url(), "SELECT current_user, current_database()");
    assert!(ok, "{refusal}");
    assert_eq!(said.trim(), format!("{}|{}", target::OWNER, target.database()));
    let (ok, ..) = psql(&format!("{}?sslmode=disable", target.url_without_parameters()), "SELECT 1");
    assert!(!ok, "the target takes a connection without TLS");
    let foreign = format!(
        "{}?sslmode=verify-full&sslrootcert={}",
        target.url_without_parameters(),
        target.foreign_ca_file().display()
    );
    assert!(!psql(&foreign, "SELECT 1").0, "a foreign CA is trusted");
    let wrong = target.url().replace(target::PASSWORD, "wrong");
    assert!(!psql(&wrong, "SELECT 1").0, "a wrong password is taken");
}

#[test]
fn each_target_is_a_database_of_its_own() {
    let (one, two) = (Target::start(), Target::start());
    one.execute_as_owner("CREATE TABLE t (a int); INSERT INTO t VALUES (7)");
    assert_eq!(one.value("SELECT tableowner FROM pg_tables WHERE tablename = 't'"), target::OWNER);
    assert_eq!(one.value("SELECT a FROM t"), "7");
    assert_eq!(two.value("SELECT count(*) FROM pg_tables WHERE tablename = 't'"), "0");
}

#[test]
fn every_supported_major_version_runs_here() {
    std::thread::scope(|scope| {
        for major in MAJORS {
            scope.spawn(move || {
                let target = Target::start_on(PgVersion::Major(major));
                let version = target.value("SHOW server_version_num");
                assert_eq!(version[..2], major.to_string());
                assert_eq!(target.value("SELECT 'B' < 'a'"), "t");
            });
        }
    });
}

#[test]
fn one_server_has_pgvector() {
    let target = Target::start_on(PgVersion::Pgvector);
    assert_eq!(target.value("CREATE EXTENSION vector; SELECT '[1,2,3]'::vector(3) <-> '[1,2,3]'"), "0");
}

#[test]
fn the_sample_database_has_the_rows_it_promises() {
    let workspace = fixture::Workspace::new();
    let path = workspace.path().join("shop.db");
    fixture::small_sample_db(&path);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let mut in_all = 0;
    for (table, rows) in sample_db::tables(1) {
        let found: u32 =
            connection.query_row(&format!("SELECT count(*) FROM {table} NOT INDEXED"), [], |row| row.get(0)).unwrap();
        assert_eq!(found, rows, "{table}");
        in_all += rows;
    }
    assert_eq!(in_all, 1_099);
    assert_eq!(sample_db::tables(100).iter().map(|(_, rows)| rows).sum::<u32>(), 100_000);
    let highest: i64 =
        connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'orders'", [], |row| row.get(0)).unwrap();
    assert!(highest > 150, "the deleted tail of orders is forgotten");
}
