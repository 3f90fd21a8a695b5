//! A server between the tool and a real libSQL server, which changes the answers.

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use turso2neon::{error::Error, event::Event, stages::dump::DumpRequest};

use super::{Fixture, code, sql_request};
use crate::support::{
    Sqld,
    http_stub::{Answer, HttpStub, Request},
    process::{block_on, must_run},
};

/// A certificate for 127.0.0.1 that is its own authority.
pub(super) struct Certificate {
    directory: tempfile::TempDir,
}

impl Certificate {
    pub(super) fn make() -> Self {
        let directory = tempfile::tempdir().unwrap();
        must_run(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"])
                .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"])
                .current_dir(directory.path()),
        );
        Self { directory }
    }

    pub(super) fn file(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    pub(super) fn acceptor(&self) -> native_tls::TlsAcceptor {
        let read = |name: &str| std::fs::read(self.directory.path().join(name)).unwrap();
        native_tls::TlsAcceptor::new(native_tls::Identity::from_pkcs8(&read("cert.pem"), &read("key.pem")).unwrap())
            .unwrap()
    }
}

/// Passes requests on to the server. The script makes the answer from the path, the number of the request among those
/// to that path (from 0), and the body that the server gave.
fn relayed(
    server: &Sqld,
    script: impl Fn(&str, u32, Vec<u8>) -> Answer + Send + Sync + 'static,
) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    let (url, counts) = (server.url(), [AtomicU32::new(0), AtomicU32::new(0)]);
    move |request| {
        assert!(["", "gzip"].contains(&request.header("accept-encoding")), "servers choke on brotli");
        let (_, body) = request.relay(&url);
        let count = counts[usize::from(request.path == "/v3/cursor")].fetch_add(1, Ordering::SeqCst);
        script(&request.path, count, body)
    }
}

/// A server before the real one.
fn before(server: &Sqld, script: impl Fn(&str, u32, Vec<u8>) -> Answer + Send + Sync + 'static) -> HttpStub {
    HttpStub::start(relayed(server, script))
}

fn answer(status: u16, kind: &str, body: &[u8]) -> Answer {
    Answer::new(status, &format!("content-type: {kind}\r\n"), body)
}

fn whole(body: Vec<u8>) -> Answer {
    answer(200, "text/plain", &body)
}

fn lines(body: &[u8]) -> Vec<String> {
    String::from_utf8(body.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

fn joined(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

fn source() -> Sqld {
    let server = Sqld::start();
    server.execute(
        "CREATE TABLE t (a, b); CREATE INDEX i ON t(a); CREATE TABLE u (a);
         INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500)
             SELECT i, 'marker' || i FROM n;
         INSERT INTO u VALUES (1), (2), (3);",
    );
    server
}

/// Dumps well, then through a bad server: the second must fail and leave the first as it was.
fn refused(server: &Sqld, script: impl Fn(&str, u32, Vec<u8>) -> Answer + Send + Sync + 'static) -> Error {
    let fixture = Fixture::new();
    fixture.dump(&sql_request(server.url(), server.token())).unwrap();
    let state = |fixture: &Fixture| {
        let read = |name: &str| std::fs::read(fixture.dir().join("dump").join(name)).unwrap();
        (fixture.listing(), read("source.db"), read("checkpoint.json"))
    };
    let stub = before(server, script);
    fixture.take_for_dump_of(&stub.url());
    let first = state(&fixture);
    let error = fixture.dump(&sql_request(stub.url(), server.token())).unwrap_err();
    assert!(state(&fixture) == first, "the dump before has changed after: {error}");
    assert_eq!(error.kind().exit(), 3, "{error}");
    assert_eq!(error.stage().unwrap().word(), "dump");
    let said = format!("{error} {} {}", error.hint(), fixture.everything_but_rows());
    assert!(!said.contains("marker") && !said.contains(&server.token()), "{said}");
    error
}

#[test]
fn an_answer_that_ends_early_is_never_a_dump() {
    let server = source();
    let length = {
        let fixture = Fixture::new();
        let dumped = fixture.dump(&sql_request(server.url(), server.token())).unwrap();
        usize::try_from(dumped.checkpoint.received_bytes).unwrap()
    };
    // Side by side, for each one waits between its tries.
    std::thread::scope(|scope| {
        for part in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let at = length * part / 8;
                let error = refused(server, move |path, _, mut body| {
                    if path == "/v3/cursor" {
                        body.truncate(at);
                        return if part % 2 == 0 { Answer::cut(&body) } else { whole(body) };
                    }
                    whole(body)
                });
                assert!(["source-truncated", "source-refused"].contains(&code(&error)), "{at}: {error}");
            });
        }
        scope.spawn(|| {
            let error = refused(&server, |path, _, body| {
                let mut all = lines(&body);
                if path == "/v3/cursor" {
                    assert!(all.pop().unwrap().contains("replication_index"));
                    return whole(joined(&all));
                }
                whole(body)
            });
            assert_eq!(code(&error), "source-truncated");
        });
        scope.spawn(|| {
            let error =
                refused(&server, |path, _, body| if path == "/v3/cursor" { Answer::silence() } else { whole(body) });
            assert_eq!(code(&error), "source-unreachable");
        });
    });
}

#[test]
fn a_lost_row_statement_or_transaction_is_noticed() {
    let server = source();
    let without = |unwanted: fn(&str) -> bool, most: usize| {
        move |path: &str, _: u32, body: Vec<u8>| {
            if path != "/v3/cursor" {
                return whole(body);
            }
            let mut left = most;
            let mut all = lines(&body);
            all.retain(|line| {
                let drop = left > 0 && unwanted(line);
                left -= usize::from(drop);
                !drop
            });
            whole(joined(&all))
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let error = refused(&server, without(|line| line.contains("marker77\""), 1));
            assert_eq!((code(&error), error.table()), ("source-truncated", Some("t")));
        });
        scope.spawn(|| {
            // Nothing after the first table's rows: the guards skipped it.
            let error = refused(&server, |path, _, body| {
                if path != "/v3/cursor" {
                    return whole(body);
                }
                let all = lines(&body);
                let end = all.iter().rposition(|line| line.contains("marker")).unwrap() + 2;
                let kept = [&all[..end], &all[all.len() - 1..]].concat();
                whole(joined(&kept))
            });
            assert_eq!(code(&error), "source-changed");
        });
        scope.spawn(|| {
            let error = refused(&server, without(|line| line.contains("step_end"), 5));
            assert_eq!(code(&error), "source-refused");
        });
    });
}

#[test]
fn what_is_no_libsql_server_is_refused() {
    let server = source();
    let page = b"<!doctype html><title>marker</title>".to_vec();
    let always =
        |status: u16, kind: &'static str, body: Vec<u8>| move |_: &str, _: u32, _: Vec<u8>| answer(status, kind, &body);
    let in_cursor = |status: u16, kind: &'static str, body: Vec<u8>| {
        move |path: &str, _: u32, real: Vec<u8>| {
            if path == "/v3/cursor" { answer(status, kind, &body) } else { whole(real) }
        }
    };
    std::thread::scope(|scope| {
        for (status, kind, expected) in [
            (200, "text/html; charset=utf-8", "source-refused"),
            (200, "application/json", "source-refused"),
            (401, "application/json", "source-denied"),
            (403, "application/json", "source-denied"),
            (404, "text/plain", "source-refused"),
            (400, "text/plain", "source-refused"),
            (302, "text/plain", "source-refused"),
            (429, "text/plain", "source-unreachable"),
            (500, "text/html", "source-unreachable"),
            (503, "text/html", "source-unreachable"),
        ] {
            let (page, server) = (page.clone(), &server);
            let other = page.clone();
            scope.spawn(move || assert_eq!(code(&refused(server, always(status, kind, page))), expected, "{status}"));
            scope.spawn(move || {
                assert_eq!(code(&refused(server, in_cursor(status, kind, other))), expected, "{status}");
            });
        }
    });
}

#[test]
fn a_server_that_blocks_reading_names_the_quota() {
    let server = source();
    let blocked = |path: &str, _: u32, body: Vec<u8>| {
        if path != "/v3/cursor" {
            return whole(body);
        }
        let begun = lines(&body)[..3].to_vec();
        let refusal = r#"{"type":"step_error","step":1,"error":{"message":"marker","code":"BLOCKED"}}"#;
        whole(joined(&[begun, vec![refusal.to_owned()]].concat()))
    };
    let error = refused(&server, blocked);
    assert_eq!(code(&error), "source-denied");
    assert!(error.hint().contains("quota"), "{}", error.hint());
}

#[test]
fn a_passing_failure_is_survived_without_a_trace_in_the_dump() {
    let server = source();
    let clean = Fixture::new();
    let expected = clean.dump(&sql_request(server.url(), server.token())).unwrap();
    let stub = before(&server, |path, count, mut body| match (path, count) {
        ("/v3/pipeline", 0) => answer(503, "text/plain", b""),
        ("/v3/cursor", 0) => {
            body.truncate(body.len() / 2);
            Answer::cut(&body)
        }
        ("/v3/cursor", 1) => Answer::silence(),
        _ => whole(body),
    });
    let fixture = Fixture::new();
    let dumped = fixture.dump(&sql_request(stub.url(), server.token())).unwrap();
    assert_eq!(dumped.checkpoint.content_sha256, expected.checkpoint.content_sha256);
    let retries = fixture.events().iter().filter(|event| matches!(event, Event::Retrying { .. })).count();
    assert_eq!(retries, 3);
    assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
}

#[test]
fn a_changed_schema_between_question_and_snapshot_is_asked_again() {
    let server = source();
    let (url, token) = (server.url(), server.token());
    let stub = before(&server, move |path, count, body| {
        if (path, count) == ("/v3/pipeline", 0) {
            let sql = "ALTER TABLE t ADD COLUMN late DEFAULT 'x'";
            let call = reqwest::Client::new()
                .post(format!("{url}/v3/pipeline"))
                .bearer_auth(&token)
                .json(&serde_json::json!({"baton": null, "requests": [{"type": "execute", "stmt": {"sql": sql}}]}));
            block_on(async { call.send().await.unwrap() });
        }
        whole(body)
    });
    let fixture = Fixture::new();
    fixture.dump(&sql_request(stub.url(), server.token())).unwrap();
    assert_eq!(fixture.value("SELECT group_concat(DISTINCT late) FROM t"), "x");
}

#[test]
fn a_certificate_is_trusted_only_if_its_authority_is() {
    let server = source();
    let certificate = Certificate::make();
    let stub = HttpStub::with_tls(certificate.acceptor(), relayed(&server, |_, _, body| whole(body)));
    let port = stub.port();
    let mut request = sql_request(format!("wss://127.0.0.1:{port}"), server.token());
    let error = Fixture::new().dump(&request).unwrap_err();
    assert_eq!(code(&error), "source-unreachable");
    assert!(error.message().contains("certificate") && error.hint().contains("--ca-file"), "{error}");
    request.ca_file = Some(certificate.file());
    let dumped = Fixture::new().dump(&request).unwrap();
    assert_eq!(dumped.checkpoint.source, format!("https://127.0.0.1:{port}"));
    let named = DumpRequest {
        source: turso2neon::secret::Secret::new(format!("libsql://localhost:{port}")),
        ..request.clone()
    };
    assert!(Fixture::new().dump(&named).unwrap_err().message().contains("certificate"), "another name was taken");
    for file in ["key.pem", "missing.pem"] {
        request.ca_file = Some(certificate.directory.path().join(file));
        assert_eq!(code(&Fixture::new().dump(&request).unwrap_err()), "usage", "{file}");
    }
}

#[test]
fn a_redirection_is_followed_on_the_same_host_alone() {
    let server = source();
    let other = server.url();
    let moved = |place: String| {
        before(&server, move |path, count, body| match (path, count) {
            ("/v3/pipeline", 0) => Answer::new(307, &format!("location: {place}\r\n"), b""),
            _ => whole(body),
        })
    };
    let stub = moved("/v3/pipeline".to_owned());
    Fixture::new().dump(&sql_request(stub.url(), server.token())).unwrap();
    let stub = moved(format!("{other}/v3/pipeline"));
    let error = Fixture::new().dump(&sql_request(stub.url(), server.token())).unwrap_err();
    assert_eq!(code(&error), "source-refused");
    assert!(error.message().contains("redirects"), "{error}");
}

#[test]
fn a_request_to_stop_ends_the_dump_and_keeps_the_one_before() {
    let server = source();
    let fixture = Fixture::new();
    fixture.dump(&sql_request(server.url(), server.token())).unwrap();
    let first = std::fs::read(fixture.source_db()).unwrap();
    let stop = fixture.stop.clone();
    let stub = before(&server, move |path, _, body| {
        if path == "/v3/cursor" {
            stop.request();
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        whole(body)
    });
    fixture.take_for_dump_of(&stub.url());
    let begun = std::time::Instant::now();
    let error = fixture.dump(&sql_request(stub.url(), server.token())).unwrap_err();
    assert_eq!((code(&error), error.kind().exit()), ("interrupted", 130));
    assert!(begun.elapsed().as_secs() < 5);
    assert_eq!(std::fs::read(fixture.source_db()).unwrap(), first);
    assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
}
