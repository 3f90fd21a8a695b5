//! A file on this machine as the source.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use turso2neon::model::DumpMethod;
use turso2neon::stages::dump::Method;

use super::{Fixture, code, listing, request};
use crate::support::{Sqld, fixture, process::block_on};

/// A directory with a source, and what it looks like before anybody reads it.
struct Original {
    directory: tempfile::TempDir,
    path: PathBuf,
}

impl Original {
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        Self { directory, path }
    }

    fn with(name: &str, script: &str) -> Self {
        let original = Self::new(name);
        fixture::sqlite(&original.path, script);
        original
    }

    /// Every file with its bytes.
    fn state(&self) -> Vec<(String, Vec<u8>)> {
        let read = |name: String| {
            let bytes = fs::read(self.directory.path().join(&name)).unwrap();
            (name, bytes)
        };
        listing(self.directory.path()).into_iter().map(read).collect()
    }

    fn source(&self) -> String {
        self.path.to_str().unwrap().to_owned()
    }
}

/// Copies a database as a backup program would: the files as they lie there, while it is open.
fn snatch(from: &Path, to: &Path) {
    for ending in ["", "-wal", "-journal"] {
        let named = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        if named(from).exists() {
            fs::copy(named(from), named(to)).unwrap();
        }
    }
}

#[test]
fn what_is_only_in_the_log_is_part_of_the_dump() {
    let living = Original::new("living.db");
    let connection = Connection::open(&living.path).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a); INSERT INTO t VALUES ('old');
             PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES ('new')",
        )
        .unwrap();
    let original = Original::new("my #1 app?.db");
    snatch(&living.path, &original.path);
    drop(connection);
    assert_eq!(original.state().len(), 2, "the log must be there");
    let before = original.state();
    let fixture = Fixture::new();
    let dumped = fixture.dump(&request(original.source())).unwrap();
    assert!(original.state() == before, "the original has changed: {:?}", listing(original.directory.path()));
    assert_eq!(fixture.value("SELECT group_concat(a) FROM t"), "old,new");
    assert_eq!(dumped.checkpoint.method, DumpMethod::File);
    assert_eq!(dumped.checkpoint.rows["t"], 2);
    assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
    // Reading the dump must not put anything beside it.
    turso2neon::sqlite::open::read_only(&fixture.source_db()).unwrap();
    assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
}

#[test]
fn an_original_is_untouched_whatever_its_journal() {
    for mode in ["DELETE", "PERSIST", "TRUNCATE", "WAL"] {
        let script =
            format!("PRAGMA journal_mode={mode}; CREATE TABLE t(a); INSERT INTO t VALUES ('x'); PRAGMA user_version=7");
        let original = Original::with("o.db", &script);
        let before = original.state();
        let fixture = Fixture::new();
        let dumped = fixture.dump(&request(original.source())).unwrap();
        assert!(original.state() == before, "{mode}");
        assert_eq!(fixture.value("SELECT a FROM t"), "x", "{mode}");
        assert_eq!(fixture.value("PRAGMA journal_mode"), "delete", "{mode}");
        assert_eq!(dumped.checkpoint.user_version, 7);
        assert!(fixture.dump(&request(original.source())).unwrap().unchanged, "{mode}");
    }
}

#[test]
fn a_transaction_that_a_crash_interrupted_is_not_part_of_the_dump() {
    let living = Original::with("living.db", "CREATE TABLE t(a); INSERT INTO t VALUES (randomblob(200000)), ('kept')");
    let connection = Connection::open(&living.path).unwrap();
    connection
        .execute_batch("PRAGMA cache_size=2; BEGIN; UPDATE t SET a = zeroblob(200000); PRAGMA cache_spill=1")
        .unwrap();
    let original = Original::new("crashed.db");
    snatch(&living.path, &original.path);
    connection.execute_batch("ROLLBACK").unwrap();
    assert_eq!(original.state().len(), 2, "the journal must be there");
    let before = original.state();
    let fixture = Fixture::new();
    fixture.dump(&request(original.source())).unwrap();
    assert!(original.state() == before);
    assert_eq!(fixture.value("SELECT a FROM t WHERE typeof(a) = 'text'"), "kept");
}

#[test]
fn a_file_that_a_server_is_writing_gives_one_moment() {
    let server = Sqld::start();
    server.execute(
        "CREATE TABLE debit (cents INT); CREATE TABLE filler (x); CREATE TABLE credit (cents INT);
         INSERT INTO debit VALUES (1000000); INSERT INTO credit VALUES (0);
         INSERT INTO filler WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60000)
             SELECT printf('%0200d', i) FROM n;",
    );
    let done = std::sync::atomic::AtomicBool::new(false);
    let sums: Vec<String> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                server.execute(
                    "BEGIN; UPDATE debit SET cents = cents - 7; UPDATE filler SET x = x || '!' WHERE rowid = 1;
                                UPDATE credit SET cents = cents + 7; COMMIT;",
                );
            }
        });
        let sums = (0..5)
            .map(|_| {
                let fixture = Fixture::new();
                fixture.dump(&request(server.data_file().to_str().unwrap())).unwrap();
                fixture.value("SELECT (SELECT cents FROM debit) + (SELECT cents FROM credit)")
            })
            .collect();
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        sums
    });
    assert!(sums.iter().all(|sum| sum == "1000000"), "{sums:?}");
    // The server goes on as if nobody had looked.
    server.execute("UPDATE credit SET cents = cents + 1");
}

#[test]
fn file_urls_and_links_are_followed() {
    let original = Original::with("a b.db", "CREATE TABLE t(a); INSERT INTO t VALUES ('x')");
    let link = original.directory.path().join("link");
    std::os::unix::fs::symlink(&original.path, &link).unwrap();
    for source in [
        format!("file:{}", original.source().replace(' ', "%20")),
        format!("file://{}?mode=ro", original.source().replace(' ', "%20")),
        link.to_str().unwrap().to_owned(),
    ] {
        let fixture = Fixture::new();
        fixture.dump(&request(source)).unwrap();
        assert_eq!(fixture.value("SELECT a FROM t"), "x");
    }
}

#[test]
fn what_is_no_database_is_refused_and_never_created() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("empty.db"), "").unwrap();
    fs::write(path("text.db"), "CREATE TABLE t (a);\n".repeat(100)).unwrap();
    fs::write(path("short.db"), "SQLite format 3\0").unwrap();
    fixture::sqlite(&path("mvcc.db"), "CREATE TABLE t(a)");
    let mut bytes = fs::read(path("mvcc.db")).unwrap();
    bytes[18..20].fill(0xff);
    fs::write(path("mvcc.db"), bytes).unwrap();
    fixture::sqlite(&path("cut.db"), "CREATE TABLE t(a); INSERT INTO t VALUES (randomblob(50000))");
    let bytes = fs::read(path("cut.db")).unwrap();
    fs::write(path("cut.db"), &bytes[..20_000]).unwrap();
    let before = listing(directory.path());
    for name in ["missing.db", "empty.db", "text.db", "short.db", "mvcc.db", "cut.db", ".", "missing/x.db"] {
        let fixture = Fixture::new();
        let error = fixture.dump(&request(path(name).to_str().unwrap())).unwrap_err();
        assert_eq!((code(&error), error.kind().exit()), ("source-invalid", 3), "{name}: {error}");
        assert!(fixture.listing().is_empty(), "{name}: {:?}", fixture.listing());
    }
    assert_eq!(listing(directory.path()), before);
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let original = Original::with("o.db", "CREATE TABLE t(a)");
    let fixture = Fixture::new();
    fs::create_dir(fixture.dir()).unwrap();
    fs::write(fixture.dir().join("dump"), "in the way").unwrap();
    let error = fixture.dump(&request(original.source())).unwrap_err();
    assert_eq!((code(&error), error.kind().exit()), ("artifact-io", 4));
    assert!(error.message().contains("dump"), "{error}");
}

#[test]
fn what_an_interrupted_dump_left_is_cleared_away() {
    let original = Original::with("o.db", "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.dir().join("dump")).unwrap();
    for name in ["source.db.part", "source.db.part-wal", "source.db.part-journal"] {
        fs::write(fixture.dir().join("dump").join(name), "left").unwrap();
    }
    fixture.dump(&request(original.source())).unwrap();
    assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
    assert_eq!(fixture.value("SELECT a FROM t"), "1");
}

#[test]
fn methods_that_do_not_fit_are_usage_errors() {
    let original = Original::with("o.db", "CREATE TABLE t(a)");
    for method in [Method::Sql, Method::Pages, Method::Replica, Method::Export] {
        let fixture = Fixture::new();
        let mut request = request(original.source());
        request.method = method;
        let error = fixture.dump(&request).unwrap_err();
        assert_eq!((code(&error), error.kind().exit()), ("usage", 2), "{method}");
    }
    let mut request = request(original.source());
    request.namespace = Some("n".to_owned());
    assert_eq!(code(&Fixture::new().dump(&request).unwrap_err()), "usage");
}

#[test]
fn utf16_is_kept() {
    let original = Original::with(
        "wide.db",
        "PRAGMA encoding='UTF-16be'; CREATE TABLE t(a); INSERT INTO t VALUES ('ü𝄞' || char(0)), (CAST(x'd800' AS TEXT))",
    );
    let fixture = Fixture::new();
    let dumped = fixture.dump(&request(original.source())).unwrap();
    assert_eq!(dumped.checkpoint.encoding, "UTF-16be");
    assert_eq!(fixture.value("SELECT group_concat(hex(CAST(a AS BLOB))) FROM t"), "00FCD834DD1E0000,D800");
}

/// Changes one byte of a file's text, and sets its modification time back.
fn touch_secretly(path: &Path) {
    let before = fs::metadata(path).unwrap().modified().unwrap();
    let bytes = fs::read(path).unwrap();
    let at = bytes.windows(6).position(|window| window == b"marker").unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"M", u64::try_from(at).unwrap()).unwrap();
    file.set_modified(before).unwrap();
}

fn damaged(fixture: &Fixture) -> bool {
    let loaded = turso2neon::workdir::Workdir::open(&fixture.dir()).unwrap().load_dump();
    loaded.is_err_and(|error| code(&error) == "artifact-damaged")
}

#[test]
fn a_dump_that_was_written_to_is_noticed_though_size_and_time_are_the_same() {
    let original = Original::with("o.db", "CREATE TABLE t(a); INSERT INTO t VALUES ('marker')");
    let fixture = Fixture::new();
    fixture.dump(&request(original.source())).unwrap();
    assert!(!damaged(&fixture));
    touch_secretly(&fixture.source_db());
    assert!(damaged(&fixture));
}

#[test]
fn a_dump_that_is_written_to_while_the_next_one_finds_no_change_is_not_taken_for_sound() {
    struct Meddler(PathBuf);
    impl turso2neon::event::Sink for Meddler {
        fn emit(&self, event: &turso2neon::event::Event) {
            if matches!(event, turso2neon::event::Event::PhaseStarted { phase: "check", .. }) {
                fs::write(&self.0, fs::read(&self.0).unwrap().repeat(2)).unwrap();
            }
        }
    }
    let original = Original::with("o.db", "CREATE TABLE t(a); INSERT INTO t VALUES ('marker')");
    let fixture = Fixture::new();
    fixture.dump(&request(original.source())).unwrap();
    let ctx = turso2neon::context::Context {
        workdir: turso2neon::workdir::Workdir::open(&fixture.dir()).unwrap(),
        out: std::sync::Arc::new(Meddler(fixture.source_db())),
        stop: turso2neon::context::Cancellation::default(),
    };
    let again = block_on(async { turso2neon::stages::dump::dump(&ctx, &request(original.source())).await }).unwrap();
    assert!(again.unchanged);
    assert!(damaged(&fixture));
}
