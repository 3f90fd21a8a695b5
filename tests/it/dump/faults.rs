//! A server between the tool and a real libSQL server, which spoils the answers in scripted ways.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
};

use turso2neon::{error::Error, event::Event, stages::dump::DumpRequest};

use super::{Desk, code, sql_request};
use crate::support::{
    Sqld,
    process::{block_on, must_run},
};

/// What becomes of the answer to a request: its number among the requests to that path (from 0), and the body as the
/// real server gave it.
type Script = dyn Fn(&str, u32, Vec<u8>) -> Reply + Send + Sync;

enum Reply {
    /// Status, content type, body; complete.
    Whole(u16, &'static str, Vec<u8>),
    /// A body that ends before its announced end.
    Cut(Vec<u8>),
    /// The same request belongs elsewhere.
    Moved(String),
    /// The connection closes without a word.
    Silence,
}

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

struct Spoiler {
    port: u16,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Spoiler {
    fn start(server: &Sqld, script: impl Fn(&str, u32, Vec<u8>) -> Reply + Send + Sync + 'static) -> Self {
        Self::launch(server, None, script)
    }

    fn launch(
        server: &Sqld,
        tls: Option<native_tls::TlsAcceptor>,
        script: impl Fn(&str, u32, Vec<u8>) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let (url, stopped) = (server.url(), stop.clone());
        let thread = std::thread::spawn(move || {
            let script: Arc<Script> = Arc::new(script);
            let counts = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (script, counts, url, tls) = (script.clone(), counts.clone(), url.clone(), tls.clone());
                let stream = stream.unwrap();
                std::thread::spawn(move || match tls {
                    None => serve(stream, &url, &*script, &counts),
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream) {
                            serve(stream, &url, &*script, &counts);
                        }
                    }
                });
            }
        });
        Self { port, stop, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Spoiler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
        self.thread.take().unwrap().join().unwrap();
    }
}

fn serve(mut stream: impl Read + Write, url: &str, script: &Script, counts: &[AtomicU32; 2]) {
    let mut reader = BufReader::new(&mut stream);
    let (mut path, mut token, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end();
        if path.is_empty() {
            line.split(' ').nth(1).unwrap().clone_into(&mut path);
        } else if line.is_empty() {
            break;
        } else if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "authorization" => value.trim().clone_into(&mut token),
                "content-length" => length = value.trim().parse().unwrap(),
                "accept-encoding" => assert_eq!(value.trim(), "gzip", "servers choke on brotli"),
                _ => {}
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let answer = relay(url, &path, &token, &body);
    let count = counts[usize::from(path == "/v3/cursor")].fetch_add(1, Ordering::SeqCst);
    let head = |status: u16, kind: &str, length: usize| {
        format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")
    };
    let bytes = match script(&path, count, answer) {
        Reply::Whole(status, kind, body) => [head(status, kind, body.len()).into_bytes(), body].concat(),
        Reply::Cut(body) => [head(200, "text/plain", body.len() + 1000).into_bytes(), body].concat(),
        Reply::Moved(place) => {
            let head = format!("HTTP/1.1 307 X\r\nlocation: {place}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            head.into_bytes()
        }
        Reply::Silence => return,
    };
    stream.write_all(&bytes).ok();
}

/// The real server's answer to the same request.
fn relay(url: &str, path: &str, token: &str, body: &[u8]) -> Vec<u8> {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {token}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let body = answer.split_off(end);
    if head.contains("transfer-encoding: chunked") { unchunked(&body) } else { body }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 2 + size + 2..];
    }
}

fn whole(body: Vec<u8>) -> Reply {
    Reply::Whole(200, "text/plain", body)
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

/// Dumps well, then through the spoiler: the second must fail and leave the first as it was.
fn spoiled(server: &Sqld, script: impl Fn(&str, u32, Vec<u8>) -> Reply + Send + Sync + 'static) -> Error {
    let desk = Desk::new();
    desk.dump(&sql_request(server.url(), server.token())).unwrap();
    let state = |desk: &Desk| {
        let read = |name: &str| std::fs::read(desk.dir().join("dump").join(name)).unwrap();
        (desk.listing(), read("source.db"), read("checkpoint.json"))
    };
    let before = state(&desk);
    let spoiler = Spoiler::start(server, script);
    let error = desk.dump(&sql_request(spoiler.url(), server.token())).unwrap_err();
    assert!(state(&desk) == before, "the dump before has changed after: {error}");
    assert_eq!(error.kind().exit(), 3, "{error}");
    assert_eq!(error.stage().unwrap().word(), "dump");
    let said = format!("{error} {} {}", error.hint(), desk.everything_but_rows());
    assert!(!said.contains("marker") && !said.contains(&server.token()), "{said}");
    error
}

#[test]
fn an_answer_that_ends_early_is_never_a_dump() {
    let server = source();
    let length = {
        let desk = Desk::new();
        let dumped = desk.dump(&sql_request(server.url(), server.token())).unwrap();
        usize::try_from(dumped.checkpoint.received_bytes).unwrap()
    };
    // Side by side, for each one waits between its tries.
    std::thread::scope(|scope| {
        for part in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let at = length * part / 8;
                let error = spoiled(server, move |path, _, mut body| {
                    if path == "/v3/cursor" {
                        body.truncate(at);
                        return if part % 2 == 0 { Reply::Cut(body) } else { whole(body) };
                    }
                    whole(body)
                });
                assert!(["source-truncated", "source-refused"].contains(&code(&error)), "{at}: {error}");
            });
        }
        scope.spawn(|| {
            let error = spoiled(&server, |path, _, body| {
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
                spoiled(&server, |path, _, body| if path == "/v3/cursor" { Reply::Silence } else { whole(body) });
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
            let error = spoiled(&server, without(|line| line.contains("marker77\""), 1));
            assert_eq!((code(&error), error.table()), ("source-truncated", Some("t")));
        });
        scope.spawn(|| {
            // Nothing after the first table's rows: the guards skipped it.
            let error = spoiled(&server, |path, _, body| {
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
            let error = spoiled(&server, without(|line| line.contains("step_end"), 5));
            assert_eq!(code(&error), "source-refused");
        });
    });
}

#[test]
fn what_is_no_libsql_server_is_refused() {
    let server = source();
    let page = b"<!doctype html><title>marker</title>".to_vec();
    let always = |status: u16, kind: &'static str, body: Vec<u8>| {
        move |_: &str, _: u32, _: Vec<u8>| Reply::Whole(status, kind, body.clone())
    };
    let in_cursor = |status: u16, kind: &'static str, body: Vec<u8>| {
        move |path: &str, _: u32, real: Vec<u8>| {
            if path == "/v3/cursor" { Reply::Whole(status, kind, body.clone()) } else { whole(real) }
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
            scope.spawn(move || assert_eq!(code(&spoiled(server, always(status, kind, page))), expected, "{status}"));
            scope.spawn(move || {
                assert_eq!(code(&spoiled(server, in_cursor(status, kind, other))), expected, "{status}");
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
    let error = spoiled(&server, blocked);
    assert_eq!(code(&error), "source-denied");
    assert!(error.hint().contains("quota"), "{}", error.hint());
}

#[test]
fn a_passing_failure_is_survived_without_a_trace_in_the_dump() {
    let server = source();
    let clean = Desk::new();
    let expected = clean.dump(&sql_request(server.url(), server.token())).unwrap();
    let spoiler = Spoiler::start(&server, |path, count, mut body| match (path, count) {
        ("/v3/pipeline", 0) => Reply::Whole(503, "text/plain", Vec::new()),
        ("/v3/cursor", 0) => {
            body.truncate(body.len() / 2);
            Reply::Cut(body)
        }
        ("/v3/cursor", 1) => Reply::Silence,
        _ => whole(body),
    });
    let desk = Desk::new();
    let dumped = desk.dump(&sql_request(spoiler.url(), server.token())).unwrap();
    assert_eq!(dumped.checkpoint.content_sha256, expected.checkpoint.content_sha256);
    let retries = desk.events().iter().filter(|event| matches!(event, Event::Retrying { .. })).count();
    assert_eq!(retries, 3);
    assert_eq!(desk.listing(), ["checkpoint.json", "source.db"]);
}

#[test]
fn a_changed_schema_between_question_and_snapshot_is_asked_again() {
    let server = source();
    let (url, token) = (server.url(), server.token());
    let spoiler = Spoiler::start(&server, move |path, count, body| {
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
    let desk = Desk::new();
    desk.dump(&sql_request(spoiler.url(), server.token())).unwrap();
    assert_eq!(desk.value("SELECT group_concat(DISTINCT late) FROM t"), "x");
}

#[test]
fn a_certificate_is_trusted_only_if_its_authority_is() {
    let server = source();
    let certificate = Certificate::make();
    let spoiler = Spoiler::launch(&server, Some(certificate.acceptor()), |_, _, body| whole(body));
    let port = spoiler.port;
    let mut request = sql_request(format!("wss://127.0.0.1:{port}"), server.token());
    let error = Desk::new().dump(&request).unwrap_err();
    assert_eq!(code(&error), "source-unreachable");
    assert!(error.message().contains("certificate") && error.hint().contains("--ca-file"), "{error}");
    request.ca_file = Some(certificate.file());
    let dumped = Desk::new().dump(&request).unwrap();
    assert_eq!(dumped.checkpoint.source, format!("https://127.0.0.1:{port}"));
    let named = DumpRequest {
        source: turso2neon::secret::Secret::new(format!("libsql://localhost:{port}")),
        ..request.clone()
    };
    assert!(Desk::new().dump(&named).unwrap_err().message().contains("certificate"), "another name was taken");
    for file in ["key.pem", "missing.pem"] {
        request.ca_file = Some(certificate.directory.path().join(file));
        assert_eq!(code(&Desk::new().dump(&request).unwrap_err()), "usage", "{file}");
    }
}

#[test]
fn a_redirection_is_followed_on_the_same_host_alone() {
    let server = source();
    let other = server.url();
    let moved = |place: String| {
        Spoiler::start(&server, move |path, count, body| match (path, count) {
            ("/v3/pipeline", 0) => Reply::Moved(place.clone()),
            _ => whole(body),
        })
    };
    let spoiler = moved("/v3/pipeline".to_owned());
    Desk::new().dump(&sql_request(spoiler.url(), server.token())).unwrap();
    let spoiler = moved(format!("{other}/v3/pipeline"));
    let error = Desk::new().dump(&sql_request(spoiler.url(), server.token())).unwrap_err();
    assert_eq!(code(&error), "source-refused");
    assert!(error.message().contains("redirects"), "{error}");
}

#[test]
fn a_wish_to_stop_ends_the_dump_and_keeps_the_one_before() {
    let server = source();
    let desk = Desk::new();
    desk.dump(&sql_request(server.url(), server.token())).unwrap();
    let before = std::fs::read(desk.source_db()).unwrap();
    let stop = desk.stop.clone();
    let spoiler = Spoiler::start(&server, move |path, _, body| {
        if path == "/v3/cursor" {
            stop.wish();
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        whole(body)
    });
    let begun = std::time::Instant::now();
    let error = desk.dump(&sql_request(spoiler.url(), server.token())).unwrap_err();
    assert_eq!((code(&error), error.kind().exit()), ("interrupted", 130));
    assert!(begun.elapsed().as_secs() < 5);
    assert_eq!(std::fs::read(desk.source_db()).unwrap(), before);
    assert_eq!(desk.listing(), ["checkpoint.json", "source.db"]);
}
