//! Method `pages` against the Turso engine's own sync server.

use turso2neon::model::DumpMethod;
use turso2neon::stages::dump::{DumpRequest, Dumped, Method};

use super::{Fixture, code, request};
use crate::support::{
    ConnectionFault, FaultProxy, SyncServer,
    fault_proxy::Script,
    http_stub::{HttpStub, Request},
    process::block_on,
};

fn pages_request(source: impl Into<String>) -> DumpRequest {
    DumpRequest { method: Method::Pages, ..request(source) }
}

pub(super) fn fill(server: &SyncServer, hundreds: u32) {
    for round in 0..hundreds {
        let row = |at: u32| format!("('{:0180}', {}.5, x'{:02x}00')", round * 100 + at, at, at);
        let rows: Vec<String> = (0..100).map(row).collect();
        server.execute(&[&format!("INSERT INTO t(b, c, d) VALUES {}", rows.join(","))]);
    }
}

pub(super) fn source() -> SyncServer {
    let server = SyncServer::start();
    server.execute(&[
        "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c REAL, d BLOB)",
        "CREATE UNIQUE INDEX \"odd index\" ON t(b, a)",
        "CREATE TABLE \"sel\"\"ect\" (x UNIQUE, y DEFAULT 'ü')",
        "INSERT INTO \"sel\"\"ect\"(x) VALUES (9223372036854775807), (-0.0), (1e308), (NULL), (x''), ('')",
        "CREATE VIEW v AS SELECT a FROM t",
    ]);
    fill(&server, 30);
    server
}

fn proof(dumped: &Dumped) -> String {
    dumped.checkpoint.proof.join("\n")
}

#[test]
fn the_pages_are_the_servers_file() {
    let mut server = source();
    let fixture = Fixture::new();
    let dumped = fixture.dump(&request(server.url())).unwrap();
    assert_eq!(dumped.checkpoint.method, DumpMethod::Pages);
    assert_eq!(dumped.checkpoint.rows["t"], 3000);
    assert_eq!(
        fixture.value("SELECT group_concat(typeof(x), ',') FROM (SELECT x FROM \"sel\"\"ect\" ORDER BY rowid)"),
        "integer,real,real,null,blob,text"
    );
    assert_eq!(fixture.value("PRAGMA integrity_check"), "ok");
    assert!(proof(&dumped).contains("they came twice"), "{}", proof(&dumped));
    assert!(proof(&dumped).contains("the server has the same"), "{}", proof(&dumped));
    assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
    server.stop();
    let own = Fixture::new().dump(&request(server.data_file().to_str().unwrap())).unwrap();
    assert_eq!(own.checkpoint.content_sha256, dumped.checkpoint.content_sha256);
}

#[test]
fn a_repeated_dump_fetches_what_changed() {
    let server = source();
    let (fixture, proxy) = (Fixture::new(), FaultProxy::to(server.port()));
    let first = fixture.dump(&request(proxy.url())).unwrap();
    let before = proxy.received();
    assert!(before > 500_000);
    assert!(fixture.dump(&request(proxy.url())).unwrap().unchanged);
    assert!(proxy.received() - before < 32_000, "{} bytes to know that nothing changed", proxy.received() - before);
    server.execute(&["UPDATE t SET b = 'new' WHERE a = 7", "CREATE TABLE late (z)"]);
    let before = proxy.received();
    let changed = fixture.dump(&request(proxy.url())).unwrap();
    assert!(!changed.unchanged && proxy.received() - before < 120_000, "{} bytes", proxy.received() - before);
    assert!(proof(&changed).contains("brought up to date"), "{}", proof(&changed));
    assert!(changed.checkpoint.size_bytes > first.checkpoint.size_bytes);
    assert_eq!(fixture.value("SELECT b || (SELECT count(*) FROM late) FROM t WHERE a = 7"), "new0");
    let fresh = Fixture::new();
    fresh.dump(&pages_request(server.url())).unwrap();
    assert!(std::fs::read(fresh.source_db()).unwrap() == std::fs::read(fixture.source_db()).unwrap());
}

#[test]
fn an_interrupted_dump_asks_for_the_pages_that_are_missing() {
    let server = source();
    let expected = Fixture::new().dump(&pages_request(server.url())).unwrap();
    // Cut twice, then whole; and cut always, then continued by another call.
    let proxy = FaultProxy::with_connections(server.port(), |number| ConnectionFault {
        cut_after: (number < 2).then_some(300_000),
        ..ConnectionFault::default()
    });
    let dumped = Fixture::new().dump(&pages_request(proxy.url())).unwrap();
    assert_eq!(dumped.checkpoint.sha256, expected.checkpoint.sha256);
    assert!(proxy.received() < expected.checkpoint.received_bytes + 200_000);

    let port = server.port();
    let fixture = Fixture::new();
    let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let heal = broken.clone();
    let proxy = FaultProxy::with_connections(port, move |number| {
        let broken = broken.load(std::sync::atomic::Ordering::SeqCst);
        let cut = if number == 0 { 400_000 } else { 300 };
        ConnectionFault { cut_after: broken.then_some(cut), ..ConnectionFault::default() }
    });
    let error = fixture.dump(&pages_request(proxy.url())).unwrap_err();
    assert_eq!((code(&error), error.kind().exit()), ("source-truncated", 3), "{error}");
    assert_eq!(fixture.listing(), ["part.json", "source.db.part"]);
    heal.store(false, std::sync::atomic::Ordering::SeqCst);
    let before = proxy.received();
    let dumped = fixture.dump(&pages_request(proxy.url())).unwrap();
    assert_eq!(dumped.checkpoint.sha256, expected.checkpoint.sha256);
    assert!(proxy.received() - before < expected.checkpoint.received_bytes - 300_000);
    assert!(proof(&dumped).contains("interrupted"), "{}", proof(&dumped));
}

#[test]
fn another_database_in_the_same_place_is_noticed() {
    let (server, other) = (source(), source());
    other.execute(&["UPDATE t SET b = 'other' WHERE a = 1"]);
    server.execute(&["UPDATE t SET b = 'first' WHERE a = 1"]);
    let port = std::sync::Arc::new(std::sync::atomic::AtomicU16::new(server.port()));
    let switch = port.clone();
    let proxy = FaultProxy::start(move || port.load(std::sync::atomic::Ordering::SeqCst), Script::default());
    let fixture = Fixture::new();
    let first = fixture.dump(&request(proxy.url())).unwrap();
    assert_eq!(fixture.value("SELECT b FROM t WHERE a = 1"), "first");
    // The same revision, by its number alone.
    switch.store(other.port(), std::sync::atomic::Ordering::SeqCst);
    let second = fixture.dump(&request(proxy.url())).unwrap();
    assert_eq!(second.checkpoint.consistency_mark, first.checkpoint.consistency_mark);
    assert_eq!(fixture.value("SELECT b FROM t WHERE a = 1"), "other");
}

#[test]
fn a_server_with_another_history_is_read_from_the_beginning() {
    let (server, behind, beside) = (source(), SyncServer::start(), source());
    server.execute(&["UPDATE t SET b = 'first' WHERE a = 7", "UPDATE t SET c = 1 WHERE a = 2000"]);
    // Fewer revisions; and as many, with another one before the last.
    behind.execute(&["CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", "INSERT INTO t VALUES (7, 'behind')"]);
    beside.execute(&["UPDATE t SET b = 'beside' WHERE a = 7", "UPDATE t SET c = 1 WHERE a = 2000"]);
    let port = std::sync::Arc::new(std::sync::atomic::AtomicU16::new(server.port()));
    let switch = port.clone();
    let proxy = FaultProxy::start(move || port.load(std::sync::atomic::Ordering::SeqCst), Script::default());
    let fixture = Fixture::new();
    for (place, value) in [(&server, "first"), (&behind, "behind"), (&server, "first"), (&beside, "beside")] {
        switch.store(place.port(), std::sync::atomic::Ordering::SeqCst);
        let dumped = fixture.dump(&pages_request(proxy.url())).unwrap();
        assert!(!dumped.unchanged && !proof(&dumped).contains("up to date"), "{value}: {}", proof(&dumped));
        assert_eq!(fixture.value("SELECT b FROM t WHERE a = 7"), value);
    }
    // A change that leaves the content as it was costs what it changed.
    beside.execute(&["UPDATE t SET b = b WHERE a = 7"]);
    let before = proxy.received();
    assert!(fixture.dump(&pages_request(proxy.url())).unwrap().unchanged);
    assert!(proxy.received() - before < 120_000, "{} bytes", proxy.received() - before);
}

#[test]
fn a_database_of_the_newer_form_is_left_to_sql() {
    let server = SyncServer::start();
    server.execute(&["PRAGMA journal_mode = 'mvcc'", "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)"]);
    let error = Fixture::new().dump(&pages_request(server.url())).unwrap_err();
    assert_eq!((code(&error), error.kind().exit()), ("source-refused", 3), "{error}");
    // A server that says so is not even asked for pages.
    let mode = r#"{"results":[{"type":"ok","response":{"type":"execute","result":
        {"rows":[[{"type":"text","value":"mvcc"}]]}}}]}"#;
    let stub = HttpStub::start(move |request| {
        let is_mode = request.body.contains("journal_mode");
        if is_mode { (200, mode.as_bytes().to_vec()) } else { (404, Vec::new()) }
    });
    Fixture::new().dump(&request(stub.url())).unwrap_err();
    let lines: Vec<String> = stub.requests().iter().map(Request::line).collect();
    assert!(lines.len() >= 2 && lines.iter().all(|line| line.contains("/v3/") || line.contains("/v2/")), "{lines:?}");
}

#[test]
fn a_database_without_pages_to_send_is_no_dump() {
    let server = SyncServer::start();
    let error = Fixture::new().dump(&pages_request(server.url())).unwrap_err();
    assert_eq!((code(&error), error.kind().exit()), ("source-refused", 3), "{error}");
    // The answer is read by the messages it holds, not believed by its status.
    let status = block_on(async move {
        let call = reqwest::Client::new().post(format!("{}/pull-updates", server.url()));
        call.send().await.unwrap().status()
    });
    assert!(status.is_success());
}

#[test]
fn a_mark_is_not_kept_for_another_source() {
    let (server, other) = (source(), source());
    let fixture = Fixture::new();
    let first = fixture.dump(&request(server.url())).unwrap();
    assert!(first.checkpoint.consistency_mark.is_some());
    // The same rows: the file would stay, and its pages would be from the first server's log.
    assert_eq!(code(&fixture.dump(&request(other.url())).unwrap_err()), "other-source");
    let second = fixture.dump(&DumpRequest { fresh: true, ..request(other.url()) }).unwrap();
    assert!(!second.unchanged);
    assert_eq!(second.checkpoint.source, other.url());
}
