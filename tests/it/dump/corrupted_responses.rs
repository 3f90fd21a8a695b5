//! Every network method behind a proxy that corrupts its responses: what comes is the source, value for value, or an
//! error that says what to do; and a later dump from the healed server is right in any case.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, types::Value};
use turso2neon::stages::dump::{DumpRequest, Method};

use super::{
    Fixture,
    export::{self, Original},
    faults::Certificate,
    proxy::{Fault, Proxy},
    request_with,
};
use crate::support::{Rng, Sqld, SyncServer, process::block_on};

/// A method with its source.
struct Subject {
    method: Method,
    port: u16,
    token: String,
    /// The paths whose responses are corrupted.
    paths: Vec<&'static str>,
    /// What a dump must hold.
    content: String,
    /// The file that a dump must equal, value for value.
    reference: Fixture,
}

impl Subject {
    /// Takes the first dump, without faults, as what is expected; the caller compares it with the server's own file.
    fn new(method: Method, port: u16, token: String, paths: &[&'static str]) -> Self {
        let reference = Fixture::new();
        let url = format!("http://127.0.0.1:{port}");
        let dumped = reference.dump(&dump_request(method, &url, &token)).unwrap();
        assert_eq!(dumped.checkpoint.method.to_string(), method.to_string());
        Self { method, port, token, paths: paths.to_vec(), content: dumped.checkpoint.content_sha256, reference }
    }

    fn request(&self, proxy: &Proxy) -> DumpRequest {
        dump_request(self.method, &proxy.url(), &self.token)
    }

    /// One dump through a proxy with this fault in answers to requests to this path, `times` times.
    fn try_one(&self, path: &'static str, fault: &Fault, times: u32) -> &'static str {
        let label = format!("{} {path} {fault:?} {times} times", self.method);
        let corrupted = fault.clone();
        let proxy =
            Proxy::to(
                self.port,
                move |requested, number| {
                    if requested == path && number < times { corrupted.clone() } else { Fault::None }
                },
            );
        let fixture = Fixture::new();
        let outcome = fixture.dump(&self.request(&proxy));
        let answer = match &outcome {
            Ok(dumped) => {
                assert_eq!(dumped.checkpoint.content_sha256, self.content, "{label}");
                assert_same_values(&fixture.source_db(), &self.reference.source_db(), &label);
                "right"
            }
            Err(error) => {
                assert_eq!(error.kind().exit(), 3, "{label}: {error}");
                assert!(!error.hint().is_empty(), "{label}: {error}");
                let said = format!("{error} {} {}", error.hint(), fixture.everything_but_rows());
                assert!(!said.contains("marker") && !said.contains(&self.token), "{label}: {said}");
                assert!(!fixture.source_db().exists(), "{label}: {error}");
                error.kind().code()
            }
        };
        // What was kept of it must not damage the next one.
        let healthy = Proxy::to(self.port, |_, _| Fault::None);
        if outcome.is_ok() {
            fixture.take_for_dump_of(&healthy.url());
        }
        let healed = fixture.dump(&self.request(&healthy)).unwrap_or_else(|error| panic!("{label}, healed: {error}"));
        assert_eq!(healed.checkpoint.content_sha256, self.content, "{label}, healed");
        assert_same_values(&fixture.source_db(), &self.reference.source_db(), &label);
        answer
    }

    /// All faults of the table, each at several places, once and always, side by side.
    fn try_all(&self) {
        let clean = Proxy::to(self.port, |_, _| Fault::None);
        Fixture::new().dump(&self.request(&clean)).unwrap();
        let mut rng = Rng::new(extent().seed);
        let mut below = |end: u64| u64::try_from(rng.below(usize::try_from(end).unwrap())).unwrap();
        let mut cases: Vec<(&'static str, Fault)> = Vec::new();
        for path in &self.paths {
            let length = clean.longest(path);
            assert!(length > 0, "nobody asked for {path}");
            for place in [0, length / 2, length.saturating_sub(1)] {
                cases.push((*path, Fault::Cut(place)));
                cases.push((*path, Fault::End(place)));
            }
            for _ in 0..extent().random {
                let place = below(length);
                cases.push((*path, Fault::Flip(place, u8::try_from(below(8)).unwrap())));
                cases.push((*path, Fault::Drop(place, 1 + below(5000))));
                cases.push((*path, Fault::Repeat(place, 1 + below(5000))));
            }
            cases.push((*path, Fault::Pause(length / 2, Duration::from_millis(1500))));
            for (status, kind, body) in [
                (401, "application/json", "{\"error\":\"marker\"}"),
                (403, "application/json", "{\"error\":\"marker\"}"),
                (404, "text/plain", "marker"),
                (429, "text/plain", "marker"),
                (500, "text/html", "<html>marker</html>"),
                (502, "text/html", "<html>marker</html>"),
                (200, "text/html", "<!doctype html><title>marker</title>"),
                (200, "application/json", "{}"),
                (200, "application/octet-stream", ""),
            ] {
                cases.push((*path, Fault::Instead(status, kind, body)));
            }
            cases.push((*path, Fault::Moved("http://127.0.0.1:9/marker".to_owned())));
            cases.push((*path, Fault::Silence));
        }
        let once = self.try_side_by_side(&cases, 1);
        // What has no checksum and comes in one form only looks true if it is damaged in the same way each time.
        let is_blind = |path: &str| path.contains("Snapshot") || self.method == Method::Export;
        let felt: Vec<_> = cases
            .iter()
            .filter(|(path, fault)| !is_blind(path) || !matches!(fault, Fault::Flip(..)))
            .cloned()
            .collect();
        let always = self.try_side_by_side(&felt, u32::MAX);
        // What passes by itself is survived: a cut, silence, a busy server.
        for ((path, fault), answer) in cases.iter().zip(&once) {
            let passes = matches!(fault, Fault::Cut(_) | Fault::Silence | Fault::Pause(..))
                || matches!(fault, Fault::Instead(429 | 500 | 502, ..));
            assert!(!passes || *answer == "right", "{} {path} {fault:?} once: {answer}", self.method);
        }
        let errors = always.iter().filter(|answer| **answer != "right").count();
        assert!(errors * 2 > always.len(), "{}: only {errors} of {} faults were felt", self.method, always.len());
    }

    fn try_side_by_side(&self, cases: &[(&'static str, Fault)], times: u32) -> Vec<&'static str> {
        let mut answers = Vec::new();
        for batch in cases.chunks(64) {
            std::thread::scope(|scope| {
                let running: Vec<_> =
                    batch.iter().map(|(path, fault)| scope.spawn(move || self.try_one(path, fault, times))).collect();
                answers.extend(running.into_iter().map(|case| case.join().unwrap()));
            });
        }
        answers
    }
}

/// How much is tried: `TURSO2NEON_TEST_FAULTS` asks for more places than the usual few, `TURSO2NEON_TEST_SEED` for
/// other ones.
struct Extent {
    random: u32,
    seed: u64,
}

fn extent() -> Extent {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let random = number("TURSO2NEON_TEST_FAULTS").unwrap_or(1);
    Extent { random: u32::try_from(random).unwrap(), seed: number("TURSO2NEON_TEST_SEED").unwrap_or(7) }
}

fn dump_request(method: Method, url: &str, token: &str) -> DumpRequest {
    DumpRequest { method, ..request_with(url, token) }
}

/// Every value of every table of one file is that of the other, by SQLite's own comparison and class.
fn assert_same_values(one: &Path, other: &Path, label: &str) {
    let values = |path: &Path| {
        let connection = Connection::open(path).unwrap();
        let mut names =
            connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
        let names: Vec<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let mut all = Vec::new();
        for name in names {
            let mut rows = connection.prepare(&format!("SELECT * FROM \"{name}\" NOT INDEXED")).unwrap();
            let width = rows.column_count();
            let mut rows = rows.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                all.extend((0..width).map(|column| row.get::<_, Value>(column).unwrap()));
            }
        }
        all
    };
    assert!(values(one) == values(other), "{label}: the values differ");
}

/// Rows, an index, and texts longer than a page.
const CONTENT: [&str; 5] = [
    "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT, c)",
    "CREATE INDEX i ON t(b)",
    "CREATE TABLE long (x TEXT)",
    "CREATE TABLE u (a UNIQUE)",
    "INSERT INTO u VALUES (1), ('marker'), (x'00ff'), (NULL), (1.5)",
];

fn inserts() -> Vec<String> {
    let rows = |from: u32| {
        let row = |number: u32| format!("({number}, 'marker {number:0120}', {number}.5)");
        let rows: Vec<String> = (from..from + 100).map(row).collect();
        format!("INSERT INTO t VALUES {}", rows.join(","))
    };
    let long = |number: u32| format!("INSERT INTO long VALUES ('{}')", format!("marker {number:06} ").repeat(900));
    (0..8).map(|part| rows(part * 100)).chain((0..8).map(long)).collect()
}

fn sqld(extra: &[&'static str]) -> Sqld {
    let server = Sqld::start_with(extra);
    for sql in CONTENT {
        server.execute(sql);
    }
    for sql in inserts() {
        server.execute(&sql);
    }
    server
}

fn assert_equals_file(file: &Path, content: &str) {
    let own = Fixture::new().dump(&super::request(file.to_str().unwrap())).unwrap();
    assert_eq!(own.checkpoint.content_sha256, content, "the server's own file holds something else");
}

#[test]
fn replica_is_right_or_fails_clearly() {
    let server = sqld(&[]);
    let paths = ["/wal_log.ReplicationLog/Hello", "/wal_log.ReplicationLog/LogEntries"];
    let subject = Subject::new(Method::Replica, server.port(), server.token(), &paths);
    assert_equals_file(&server.data_file(), &subject.content);
    subject.try_all();
}

#[test]
fn replica_with_snapshots_is_right_or_fails_clearly() {
    let server = sqld(&["--max-log-size", "1"]);
    for round in 0..14 {
        server.execute(&format!("UPDATE t SET b = 'marker ' || {round} || b WHERE a % 3 = {}", round % 3));
    }
    let subject = Subject::new(Method::Replica, server.port(), server.token(), &["/wal_log.ReplicationLog/Snapshot"]);
    assert_equals_file(&server.data_file(), &subject.content);
    subject.try_all();
}

#[test]
fn pages_are_right_or_fail_clearly() {
    let mut server = SyncServer::start();
    let inserts = inserts();
    let all: Vec<&str> = CONTENT.iter().copied().chain(inserts.iter().map(String::as_str)).collect();
    server.execute(&all);
    let subject = Subject::new(Method::Pages, server.port(), "unused-token".to_owned(), &["/pull-updates"]);
    subject.try_all();
    server.stop();
    assert_equals_file(&server.data_file(), &subject.content);
}

#[test]
fn sql_is_right_or_fails_clearly() {
    let server = sqld(&[]);
    let subject = Subject::new(Method::Sql, server.port(), server.token(), &["/v3/pipeline", "/v3/cursor"]);
    assert_equals_file(&server.data_file(), &subject.content);
    subject.try_all();
}

#[test]
fn over_tls_the_log_and_the_rows_are_read_and_the_rows_counted() {
    let server = sqld(&[]);
    let certificate = Certificate::make();
    let proxy = Proxy::with_tls(server.port(), certificate.acceptor());
    let mut request = dump_request(Method::Replica, &proxy.url(), &server.read_only_token());
    let error = Fixture::new().dump(&request).unwrap_err();
    assert!(error.message().contains("certificate") && error.hint().contains("--ca-file"), "{error}");
    request.ca_file = Some(certificate.file());
    let log = Fixture::new().dump(&request).unwrap();
    assert_equals_file(&server.data_file(), &log.checkpoint.content_sha256);
    let before = proxy.questions().len();
    let rows = Fixture::new().dump(&DumpRequest { method: Method::Sql, ..request }).unwrap();
    assert_eq!(rows.checkpoint.content_sha256, log.checkpoint.content_sha256);
    assert!(
        rows.checkpoint.proof.iter().any(|line| line.contains("was counted inside the transaction")),
        "{:?}",
        rows.checkpoint.proof
    );
    let questions = proxy.questions().split_off(before);
    assert!(questions.iter().any(|question| question.contains("count(")), "{questions:?}");
}

#[test]
fn basic_authentication_opens_the_log_and_the_rows() {
    // dXNlcjpwYXNz is user:pass.
    let server = Sqld::start_with(&["--http-auth", "basic:dXNlcjpwYXNz"]);
    let sql = "CREATE TABLE t (a); INSERT INTO t VALUES (1)";
    let call = reqwest::Client::new()
        .post(format!("{}/v3/pipeline", server.url()))
        .basic_auth("user", Some("pass"))
        .json(&serde_json::json!({"baton": null, "requests": [{"type": "sequence", "sql": sql}]}));
    assert!(block_on(async move { call.send().await.unwrap().status().is_success() }));
    for method in [Method::Replica, Method::Sql] {
        let url = |user: &str| server.url().replace("http://", &format!("http://{user}@"));
        let dumped = Fixture::new().dump(&DumpRequest { method, ..super::request(url("user:pass")) });
        assert_eq!(dumped.unwrap().checkpoint.rows["t"], 1, "{method}");
        let refused = Fixture::new().dump(&DumpRequest { method, ..super::request(url("user:word")) });
        assert_eq!(super::code(&refused.unwrap_err()), "source-denied", "{method}");
    }
}

#[test]
fn an_export_is_right_or_fails_clearly() {
    let original = std::sync::Arc::new(Original::new());
    let server = export::served(&original, |_, answer| answer);
    let subject = Subject::new(
        Method::Export,
        server.port(),
        "unused-token".to_owned(),
        &["/info", "/export/3", "/sync/3/1/129"],
    );
    assert_equals_file(&original.path(), &subject.content);
    subject.try_all();
}
