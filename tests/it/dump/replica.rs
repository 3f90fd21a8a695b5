//! Method `replica` against a real server: the same bytes as libSQL's own replica, and the same content as `sql`.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use turso2neon::model::DumpMethod;
use turso2neon::stages::dump::{DumpRequest, Dumped, Method};

use super::{
    Fixture, code, request_with,
    server::{HARD, assert_equals_servers_file, transfer},
    sql_request,
};
use crate::support::{
    ConnectionFault, FaultProxy, Sqld,
    process::{block_on, must_run},
};

fn replica_request(source: impl Into<String>, token: impl Into<String>) -> DumpRequest {
    DumpRequest { method: Method::Replica, ..request_with(source, token) }
}

/// Rows of about 200 bytes each, in transactions of a thousand.
pub(super) fn fill(server: &Sqld, thousands: u32) {
    server.execute("CREATE TABLE IF NOT EXISTS bulk (id INTEGER PRIMARY KEY, x TEXT)");
    let insert = "INSERT INTO bulk(x) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000)
                  SELECT printf('%0200d', i) FROM n;";
    for _ in 0..thousands {
        server.execute(insert);
    }
}

/// A copy that libSQL's own embedded replica made.
fn embedded_replica(server: &Sqld, token: &str) -> Vec<u8> {
    let module = match std::env::var_os("TURSO2NEON_TEST_LIBSQL_JS") {
        Some(path) => std::path::PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers/libsql-js/node_modules/libsql"),
    };
    assert!(module.is_dir(), "there is no libsql module at {}; scripts/setup fetches it", module.display());
    let directory = tempfile::tempdir().unwrap();
    let script = "const [, module, file, url, token] = process.argv; const Database = require(module);
                  const db = new Database(file, { syncUrl: url, authToken: token }); db.sync(); db.close();";
    let file = directory.path().join("replica.db");
    must_run(Command::new("node").args(["-e", script]).arg(&module).arg(&file).args([&server.url(), token]));
    std::fs::read(file).unwrap()
}

/// The same bytes but for the two that say whether a write-ahead log is used.
fn assert_same_bytes(fixture: &Fixture, mut other: Vec<u8>) {
    let own = std::fs::read(fixture.source_db()).unwrap();
    assert_eq!((&own[18..20], &other[18..20]), (&[1, 1][..], &[2, 2][..]));
    other[18..20].fill(1);
    assert!(own == other, "{} and {} bytes differ", own.len(), other.len());
}

fn proof(dumped: &Dumped) -> String {
    dumped.checkpoint.proof.join("\n")
}

#[test]
fn every_kind_of_object_and_value_is_that_of_sql_and_of_libsqls_own_replica() {
    let server = Sqld::start();
    server.execute(HARD);
    let (fixture, token) = (Fixture::new(), server.read_only_token());
    let dumped = fixture.dump(&request_with(server.url(), &token)).unwrap();
    assert_eq!(dumped.checkpoint.method, DumpMethod::Replica);
    assert!(proof(&dumped).contains("the server has the same"), "{}", proof(&dumped));
    assert_same_bytes(&fixture, embedded_replica(&server, &token));
    assert_equals_servers_file(&server, &fixture, &dumped.checkpoint.content_sha256);
    let other = Fixture::new().dump(&sql_request(server.url(), &token)).unwrap();
    assert_eq!(other.checkpoint.content_sha256, dumped.checkpoint.content_sha256);
    assert_eq!(other.checkpoint.rows, dumped.checkpoint.rows);
    assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
    // What was read as rows before is the same dump still.
    assert!(fixture.dump(&sql_request(server.url(), &token)).unwrap().unchanged);
}

#[test]
fn a_repeated_dump_fetches_what_is_new_and_a_question_is_small() {
    let server = Sqld::start();
    fill(&server, 20);
    let proxy = FaultProxy::to(server.port());
    let (fixture, token) = (Fixture::new(), server.token());
    let request = request_with(proxy.url(), &token);
    let first = fixture.dump(&request).unwrap();
    assert!(first.checkpoint.received_bytes > 4_000_000 && proxy.received() > first.checkpoint.received_bytes);

    let before = proxy.received();
    let again = fixture.dump(&request).unwrap();
    assert!(again.unchanged && again.checkpoint.sha256 == first.checkpoint.sha256);
    assert!(proxy.received() - before < 10_000, "{} bytes to know that nothing changed", proxy.received() - before);

    server.execute("UPDATE bulk SET x = 'new' WHERE id = 7; DELETE FROM bulk WHERE id = 19999");
    let before = proxy.received();
    let changed = fixture.dump(&request).unwrap();
    let received = proxy.received() - before;
    assert!(!changed.unchanged && received < 40_000, "{received} bytes for two rows");
    assert!(changed.checkpoint.received_bytes < received);
    assert!(proof(&changed).contains("brought up to date"), "{}", proof(&changed));
    assert_eq!(fixture.value("SELECT x || (SELECT count(*) FROM bulk) FROM bulk WHERE id = 7"), "new19999");
    assert_same_bytes(&fixture, embedded_replica(&server, &token));

    // A change that leaves the content as it was leaves the dump as it was.
    server.execute("UPDATE bulk SET x = x WHERE id = 7");
    let same = fixture.dump(&request).unwrap();
    assert!(same.unchanged && same.checkpoint.sha256 == changed.checkpoint.sha256);
    server.execute("DELETE FROM bulk WHERE id > 100");
    let smaller = fixture.dump(&request).unwrap();
    assert_eq!(smaller.checkpoint.rows["bulk"], 100);
    assert_same_bytes(&fixture, embedded_replica(&server, &token));
}

#[test]
fn a_server_that_was_restored_or_lost_its_log_is_noticed() {
    let mut server = Sqld::start();
    fill(&server, 2);
    let (fixture, token) = (Fixture::new(), server.token());
    let request = request_with(server.url(), &token);
    fixture.dump(&request).unwrap();
    let backup = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        std::fs::remove_dir_all(to).ok();
        must_run(Command::new("cp").arg("-a").args([from, to]));
    };
    server.stop();
    copy(&server.data_directory(), &backup.path().join("data"));
    server.start_again();
    // An orderly stop changes nothing.
    assert!(fixture.dump(&request).unwrap().unchanged);
    server.execute("UPDATE bulk SET x = 'lost' WHERE id = 1");
    fixture.dump(&request).unwrap();
    assert_eq!(fixture.value("SELECT x FROM bulk WHERE id = 1"), "lost");
    // Restored: fewer frames than the dump has seen.
    server.stop();
    copy(&backup.path().join("data"), &server.data_directory());
    server.start_again();
    let shorter = fixture.dump(&request).unwrap();
    assert_ne!(fixture.value("SELECT x FROM bulk WHERE id = 1"), "lost");
    assert!(!proof(&shorter).contains("up to date"), "{}", proof(&shorter));
    server.execute("UPDATE bulk SET x = 'lost' WHERE id = 1");
    fixture.dump(&request).unwrap();
    // Restored, and as many frames on as the dump has seen; but other ones.
    server.stop();
    copy(&backup.path().join("data"), &server.data_directory());
    server.start_again();
    server.execute("UPDATE bulk SET x = 'kept' WHERE id = 1");
    let restored = fixture.dump(&request).unwrap();
    assert_eq!(fixture.value("SELECT x FROM bulk WHERE id = 1"), "kept");
    assert!(!proof(&restored).contains("up to date"), "{}", proof(&restored));
    // A crash makes the server begin a new log.
    server.kill();
    server.start_again();
    server.execute("UPDATE bulk SET x = 'after' WHERE id = 1");
    let after = fixture.dump(&request).unwrap();
    assert_eq!(fixture.value("SELECT x FROM bulk WHERE id = 1"), "after");
    assert!(!proof(&after).contains("up to date"), "{}", proof(&after));
    assert_same_bytes(&fixture, embedded_replica(&server, &token));
}

#[test]
fn what_the_log_no_longer_holds_comes_as_snapshots() {
    let server = Sqld::start_with(&["--max-log-size", "1"]);
    let (fixture, token) = (Fixture::new(), server.token());
    let request = replica_request(server.url(), &token);
    fill(&server, 5);
    fixture.dump(&request).unwrap();
    for round in 0..4 {
        fill(&server, 5);
        server.execute(&format!("UPDATE bulk SET x = {round} WHERE id % 50 = {round}"));
    }
    let dumped = fixture.dump(&request).unwrap();
    assert_eq!(dumped.checkpoint.rows["bulk"], 25_000);
    assert_same_bytes(&fixture, embedded_replica(&server, &token));
    let fresh = Fixture::new();
    let dumped = fresh.dump(&request).unwrap();
    assert!(proof(&dumped).contains("snapshots"), "{}", proof(&dumped));
    assert_eq!(std::fs::read(fresh.source_db()).unwrap(), std::fs::read(fixture.source_db()).unwrap());
}

#[test]
fn a_chain_of_snapshots_is_read_from_one_to_the_next() {
    let server = Sqld::start_with(&["--max-log-size", "1"]);
    let token = server.token();
    server.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, b BLOB)");
    // Each is larger than a third of the log, and none is overwritten: the server makes a snapshot for some of them
    // and doesn't merge the snapshots.
    for id in 0..12 {
        server.execute(&format!("INSERT INTO big VALUES ({id}, randomblob(300000))"));
    }
    let request = replica_request(server.url(), &token);
    let fixture = Fixture::new();
    let dumped = fixture.dump(&request).unwrap();
    assert_eq!(fixture.value("SELECT count(*) || ' ' || sum(length(b)) FROM big"), "12 3600000");
    let snapshots = (2..20).find(|count| proof(&dumped).contains(&format!("came in {count} snapshots")));
    assert!(snapshots.is_some(), "no chain of snapshots was read: {}", proof(&dumped));
    assert_same_bytes(&fixture, embedded_replica(&server, &token));
    // And once more, brought up to date over the next ones.
    for id in 12..24 {
        server.execute(&format!("INSERT INTO big VALUES ({id}, randomblob(300000))"));
    }
    fixture.dump(&request).unwrap();
    assert_eq!(fixture.value("SELECT count(*) || ' ' || sum(length(b)) FROM big"), "24 7200000");
    assert_same_bytes(&fixture, embedded_replica(&server, &token));
}

#[test]
fn a_dump_is_one_commit_while_others_write() {
    let server = Sqld::start();
    server.execute(
        "CREATE TABLE debit (id INTEGER PRIMARY KEY, cents INT); CREATE TABLE credit (id INTEGER PRIMARY KEY, cents INT);
         INSERT INTO debit VALUES (1, 1000000); INSERT INTO credit VALUES (1, 0);",
    );
    fill(&server, 5);
    let done = AtomicBool::new(false);
    let (transfers, sums) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| block_on(transfer(&server, &done)));
        // The same directory: most of them bring the one before up to date.
        let fixture = Fixture::new();
        let sums: Vec<(String, String)> = (0..12)
            .map(|_| {
                fixture.dump(&replica_request(server.url(), server.read_only_token())).unwrap();
                let sum = fixture.value("SELECT (SELECT cents FROM debit) + (SELECT cents FROM credit)");
                (sum, fixture.value("SELECT cents FROM credit"))
            })
            .collect();
        done.store(true, Ordering::SeqCst);
        (writer.join().unwrap(), sums)
    });
    assert!(transfers > 10, "only {transfers} transfers happened meanwhile");
    assert!(sums.iter().all(|(sum, _)| sum == "1000000"), "{sums:?}");
    assert!(sums.first() != sums.last(), "nothing was written between the dumps: {sums:?}");
}

#[test]
fn a_cut_or_damaged_stream_is_taken_up_again() {
    let server = Sqld::start();
    fill(&server, 10);
    let token = server.token();
    let expected = Fixture::new().dump(&replica_request(server.url(), &token)).unwrap();
    let troubles: [fn(u64) -> ConnectionFault; 3] = [
        |number| ConnectionFault { cut_after: (number < 3).then_some(900_000), ..ConnectionFault::default() },
        |number| ConnectionFault { flip: (number < 2).then_some(700_000), ..ConnectionFault::default() },
        // In the greeting, in a frame's header, in a page.
        |number| ConnectionFault { cut_after: (number < 4).then_some(number * 300 + 5), ..ConnectionFault::default() },
    ];
    for trouble in troubles {
        let proxy = FaultProxy::with_connections(server.port(), trouble);
        let fixture = Fixture::new();
        let dumped = fixture.dump(&replica_request(proxy.url(), &token)).or_else(|error| {
            // No checksum covers the number of a frame's page. The copy fails its check then, and the next one is right.
            assert_eq!(code(&error), "source-invalid", "{error}");
            fixture.dump(&replica_request(proxy.url(), &token))
        });
        assert_eq!(dumped.unwrap().checkpoint.sha256, expected.checkpoint.sha256);
        assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
    }
}

#[test]
fn a_stream_that_always_breaks_is_an_error_and_what_came_is_kept() {
    let server = Sqld::start();
    fill(&server, 10);
    let token = server.token();
    let zero = FaultProxy::to(server.port());
    let expected = Fixture::new().dump(&replica_request(zero.url(), &token)).unwrap();
    let fixture = Fixture::new();
    // The first stream brings some, the others nothing.
    let proxy = FaultProxy::with_connections(server.port(), |number| {
        let cut_after = if number == 0 { 1_500_000 } else { 600 };
        ConnectionFault { cut_after: Some(cut_after), ..ConnectionFault::default() }
    });
    let error = fixture.dump(&replica_request(proxy.url(), &token)).unwrap_err();
    assert_eq!(error.kind().exit(), 3, "{error}");
    assert!(["source-truncated", "source-unreachable"].contains(&code(&error)), "{error}");
    assert_eq!(fixture.listing(), ["part.json", "source.db.part"]);
    let before = zero.received();
    let dumped = fixture.dump(&replica_request(zero.url(), &token)).unwrap();
    assert_eq!(dumped.checkpoint.sha256, expected.checkpoint.sha256);
    assert!(zero.received() - before < before - 1_000_000, "{} of {before}", zero.received() - before);
    assert!(proof(&dumped).contains("interrupted dump was continued"), "{}", proof(&dumped));
}

#[test]
fn a_schema_database_and_an_empty_one_are_read_by_sql() {
    let server = Sqld::start();
    let fixture = Fixture::new();
    let dumped = fixture.dump(&request_with(server.url(), server.token())).unwrap();
    assert_eq!((dumped.checkpoint.method, dumped.checkpoint.rows.len()), (DumpMethod::Sql, 0));
    assert!(dumped.checkpoint.method_reason.contains("empty"), "{}", dumped.checkpoint.method_reason);
    let error = Fixture::new().dump(&replica_request(server.url(), server.token())).unwrap_err();
    assert_eq!((code(&error), error.kind().exit()), ("source-refused", 3));

    let server = Sqld::start_with_namespaces();
    server.create_namespace_as("plan", &serde_json::json!({"shared_schema": true}));
    server.execute_in("plan", "CREATE TABLE t (a)");
    let mut request = request_with(server.url(), server.read_only_token());
    request.namespace = Some("plan".to_owned());
    let dumped = Fixture::new().dump(&request).unwrap();
    assert_eq!((dumped.checkpoint.method, dumped.checkpoint.rows["t"]), (DumpMethod::Sql, 0));
    assert!(dumped.checkpoint.method_reason.contains("schema database"), "{}", dumped.checkpoint.method_reason);
}

#[test]
fn a_refused_token_and_an_unknown_namespace_are_named() {
    let server = Sqld::start_with_namespaces();
    server.create_namespace("one");
    server.execute_in("one", "CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let mut request = replica_request(server.url(), server.read_only_token());
    request.namespace = Some("one".to_owned());
    assert_eq!(Fixture::new().dump(&request).unwrap().checkpoint.rows["t"], 1);
    request.namespace = Some("two".to_owned());
    assert_eq!(code(&Fixture::new().dump(&request).unwrap_err()), "source-refused");
    request.namespace = Some("one".to_owned());
    for (token, why) in [(server.expired_token(), "expired"), ("wrong".to_owned(), "invalid")] {
        request.token = Some(turso2neon::secret::Secret::new(token));
        let error = Fixture::new().dump(&request).unwrap_err();
        assert_eq!(code(&error), "source-denied");
        assert!(error.message().contains(why), "{error}");
    }
}
