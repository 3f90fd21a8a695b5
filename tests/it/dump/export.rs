//! Method `export`, against a script: there is no server to be had that speaks it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
};

use rusqlite::Connection;
use serde_json::json;
use turso2neon::model::DumpMethod;
use turso2neon::stages::dump::{DumpRequest, Dumped, Method};

use super::{Fixture, code, request};
use crate::support::http_stub::HttpStub;

const PAGE: usize = 4096;

/// Status and body.
pub(super) type Answer = (u16, Vec<u8>);

/// A database as such a server has it: the file of generation 3, and the frames since.
pub(super) struct Original {
    directory: tempfile::TempDir,
    file: Vec<u8>,
    frames: Vec<u8>,
}

impl Original {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("o.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "PRAGMA page_size=4096; PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a, b);
                 INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000)
                     SELECT i, printf('%0200d', i) FROM n;
                 PRAGMA wal_checkpoint(TRUNCATE);",
            )
            .unwrap();
        let file = std::fs::read(&path).unwrap();
        connection
            .execute_batch("UPDATE t SET b = 'new' WHERE a % 7 = 0 AND a < 4000; CREATE INDEX i ON t(a); DELETE FROM t WHERE a = 9")
            .unwrap();
        let log = std::fs::read(directory.path().join("o.db-wal")).unwrap();
        Self { directory, file, frames: log[32..].to_vec() }
    }

    pub(super) fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("o.db")
    }

    fn frame_count(&self) -> usize {
        self.frames.len() / (24 + PAGE)
    }

    /// What the server answers to a path.
    fn answer(&self, path: &str, generation: u64) -> Answer {
        let words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match words[..] {
            ["info"] => (200, json!({"current_generation": generation}).to_string().into_bytes()),
            ["export", "3"] => (200, self.file.clone()),
            ["sync", "3", from, to] => {
                let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
                let count = self.frame_count();
                if from > count {
                    let end = json!({"status": "checkpoint_needed", "generation": generation, "max_frame_no": count,
                                     "baton": null});
                    return (400, end.to_string().into_bytes());
                }
                let bytes = |frame: usize| (frame - 1) * (24 + PAGE);
                (200, self.frames[bytes(from)..bytes(to.min(count + 1))].to_vec())
            }
            _ => (404, b"{}".to_vec()),
        }
    }
}

fn export_request(source: impl Into<String>) -> DumpRequest {
    DumpRequest { method: Method::Export, ..request(source) }
}

pub(super) fn served(
    original: &Arc<Original>,
    corrupt: impl Fn(&str, Answer) -> Answer + Send + Sync + 'static,
) -> HttpStub {
    let original = original.clone();
    HttpStub::start(move |request| {
        let path = request.path.as_str();
        corrupt(path, original.answer(path, 3))
    })
}

fn content_of_file(path: &Path) -> Dumped {
    Fixture::new().dump(&request(path.to_str().unwrap())).unwrap()
}

#[test]
fn the_file_and_its_frames_are_the_database() {
    let original = Arc::new(Original::new());
    assert!(original.frame_count() > 128, "one request for frames is too few: {}", original.frame_count());
    let server = served(&original, |_, answer| answer);
    let fixture = Fixture::new();
    let dumped = fixture.dump(&export_request(server.url())).unwrap();
    assert_eq!(dumped.checkpoint.method, DumpMethod::Export);
    assert_eq!(dumped.checkpoint.content_sha256, content_of_file(&original.path()).checkpoint.content_sha256);
    assert_eq!(fixture.value("SELECT b FROM t WHERE a = 7"), "new");
    assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
    // The same is found by itself.
    assert_eq!(Fixture::new().dump(&request(server.url())).unwrap().checkpoint.method, DumpMethod::Export);
}

#[test]
fn what_is_not_whole_is_no_dump() {
    type Change = fn(&str, Answer) -> Answer;
    let original = Arc::new(Original::new());
    let cases: [(&str, Change); 5] = [
        ("source-truncated", |path, (status, mut body)| {
            body.truncate(if path.starts_with("/export") { body.len() - 100 } else { body.len() });
            (status, body)
        }),
        // A page less: the header counts more.
        ("source-truncated", |path, (status, mut body)| {
            let less = if path.starts_with("/export") { PAGE } else { 0 };
            body.truncate(body.len() - less);
            (status, body)
        }),
        // Today's client takes both for the end.
        ("source-unreachable", |path, answer| if path.contains("/129/") { (500, b"{}".to_vec()) } else { answer }),
        ("source-refused", |path, answer| if path.contains("/129/") { (400, b"{}".to_vec()) } else { answer }),
        ("source-truncated", |path, (status, mut body)| {
            body.truncate(if path.contains("/129/") { 24 + PAGE - 1 } else { body.len() });
            (status, body)
        }),
    ];
    std::thread::scope(|scope| {
        for (expected, corrupt) in cases {
            let original = &original;
            scope.spawn(move || {
                let server = served(original, corrupt);
                let fixture = Fixture::new();
                let error = fixture.dump(&export_request(server.url())).unwrap_err();
                let close = ["source-refused", "source-truncated"];
                assert!(code(&error) == expected || close.contains(&code(&error)), "{expected}: {error}");
                assert!(fixture.listing().is_empty(), "{:?}", fixture.listing());
            });
        }
    });
}

#[test]
fn another_generation_begins_all_again() {
    let original = Arc::new(Original::new());
    let (exports, generation) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(4)));
    let (counted, source) = (exports.clone(), original.clone());
    // The end of the first try's frames names a generation that the second question doesn't.
    let server = HttpStub::start(move |request| {
        let path = request.path.as_str();
        if path.starts_with("/export") && counted.fetch_add(1, Ordering::SeqCst) == 1 {
            generation.store(3, Ordering::SeqCst);
        }
        let present = if path == "/info" { 3 } else { generation.load(Ordering::SeqCst) };
        source.answer(path, present)
    });
    Fixture::new().dump(&export_request(server.url())).unwrap();
    // One in vain, and two that must be the same.
    assert_eq!(exports.load(Ordering::SeqCst), 3);
}
