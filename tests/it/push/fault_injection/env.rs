//! What all cases share: two versions of a source, converted once; a target server of their own
//! with databases in every state that a push may find; a small disk; and how long an undisturbed call takes.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{super::fixture::remote_url_at, reader::look};
use crate::support::{
    FaultProxy, Target, Tool, Workspace,
    fault_proxy::{Fault, Script},
    process::must_run,
    target::{OWNER, PASSWORD},
};

/// The tables of the source.
pub(super) const TABLES: [&str; 5] = ["owners", "items", "loose", "pairs", "bodies"];

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mode {
    Create,
    Diff,
    Swap,
    Replace,
    /// `rollback` after `swap`.
    TablesBack,
    /// `rollback` after `diff`.
    RowsBack,
}

impl Mode {
    pub(super) const ALL: [Self; 6] =
        [Self::Create, Self::Diff, Self::Swap, Self::Replace, Self::TablesBack, Self::RowsBack];

    pub(super) fn is_rollback(self) -> bool {
        matches!(self, Self::TablesBack | Self::RowsBack)
    }

    /// The words of the call.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Create => &["push", "--mode", "create"],
            Self::Diff => &["push", "--mode", "diff"],
            Self::Swap => &["push", "--mode", "swap"],
            Self::Replace => &["push", "--mode", "replace"],
            Self::TablesBack | Self::RowsBack => &["rollback"],
        }
    }
}

/// How an undisturbed call goes.
#[derive(Debug, Clone)]
pub(super) struct Baseline {
    pub(super) took: Duration,
    /// Lines of its log.
    pub(super) lines: usize,
    /// In both directions.
    pub(super) bytes: u64,
    pub(super) commits: u64,
    /// By how much the database grows.
    pub(super) growth: u64,
    /// What is on the target afterwards.
    pub(super) objects: Vec<String>,
    /// What is in DIR afterwards.
    pub(super) files: Vec<String>,
}

/// The shared part.
pub(super) struct Env {
    pub(super) local: [Target; 2],
    pub(super) remote: Target,
    /// DIR with the old rows, and with the new ones.
    dirs: [Workspace; 2],
    /// Databases to copy: empty; with the old rows; then swapped; or changed.
    empty: Target,
    old: Target,
    swapped: Target,
    changed: Target,
    /// What a reader sees of the old rows, and of the new ones.
    pub(super) pictures: [String; 2],
    pub(super) disk: Option<SmallDisk>,
    usual: RefCell<BTreeMap<Mode, Baseline>>,
}

/// One DIR, one database.
pub(super) struct CaseEnv {
    directory: tempfile::TempDir,
    /// Lines that the log had before.
    former_lines: usize,
    pub(super) target: Target,
    local: String,
}

impl Env {
    pub(super) fn prepare() -> Self {
        let local = Target::start_alone("");
        let local = [local.beside(), local];
        let dirs = [0, 1].map(|version| converted(version, &local[version]));
        let remote = Target::start_alone("max_connections = 60");
        allow_clear_text(&remote);
        let empty = remote.beside();
        let mut env = Self {
            local,
            dirs,
            old: empty.copy(""),
            swapped: remote.beside(),
            changed: remote.beside(),
            pictures: [String::new(), String::new()],
            disk: SmallDisk::on(&remote),
            usual: RefCell::default(),
            empty,
            remote,
        };
        // The old rows stand where something newer stood, which is kept.
        env.push_into(1, &env.old, "create");
        env.pictures[1] = look(&env.old);
        env.push_into(0, &env.old, "swap");
        env.pictures[0] = look(&env.old);
        assert_ne!(env.pictures[0], env.pictures[1]);
        env.swapped = env.old.copy("");
        env.push_into(1, &env.swapped, "swap");
        env.changed = env.old.copy("");
        env.push_into(1, &env.changed, "diff");
        env
    }

    fn push_into(&self, version: usize, target: &Target, mode: &str) {
        let directory = copy_of(&self.dirs[version].dir());
        let tool = Tool::new(["push", "--mode", mode, "--dir"]).arg(directory.path().join("migration"));
        let url = remote_url_at(target, target.port());
        let local = self.local[version].admin_url();
        tool.env("NEON_DATABASE_URL", url).env("TURSO2NEON_LOCAL_URL", local).run().expect_exit(0);
        // Nobody may be connected to what is copied.
        wait_until_alone(target);
    }

    /// A DIR and a database as this mode finds them. On the small disk if there is a `disk`.
    pub(super) fn scene(&self, mode: Mode, disk: Option<&SmallDisk>) -> CaseEnv {
        let template = match mode {
            Mode::Create => &self.empty,
            Mode::Diff | Mode::Swap | Mode::Replace => &self.old,
            Mode::TablesBack => &self.swapped,
            Mode::RowsBack => &self.changed,
        };
        let clause = disk.map_or(String::new(), |_| format!("TABLESPACE {}", SmallDisk::NAME));
        let mut scene = CaseEnv {
            directory: copy_of(&self.dirs[1].dir()),
            former_lines: 0,
            target: template.copy(&clause),
            local: self.local[1].admin_url(),
        };
        scene.former_lines = scene.lines();
        scene
    }

    /// What a reader sees before the call, and what afterwards.
    pub(super) fn course(&self, mode: Mode) -> [&str; 2] {
        let [old, new] = [self.pictures[0].as_str(), self.pictures[1].as_str()];
        match mode {
            Mode::Create => [super::reader::NOTHING, new],
            Mode::Diff | Mode::Swap | Mode::Replace => [old, new],
            Mode::TablesBack | Mode::RowsBack => [new, old],
        }
    }

    /// A call of `verify` that knows the old rows.
    pub(super) fn verify_old(&self, target: &Target) -> Tool {
        let directory = self.dirs[0].dir();
        let words = ["verify", "--against", "target", "--level", "full", "--dir"];
        Tool::new(words).arg(directory).env("NEON_DATABASE_URL", remote_url_at(target, target.port()))
    }

    /// How an undisturbed call of this mode goes; tried once.
    pub(super) fn usual(&self, mode: Mode) -> Baseline {
        if let Some(usual) = self.usual.borrow().get(&mode) {
            return usual.clone();
        }
        let scene = self.scene(mode, None);
        let before = size(&scene.target);
        // What TLS adds to the bytes and to the time is little.
        let proxy = scene.proxy(true, Fault::None);
        let run = scene.call(mode, &scene.plain_url(proxy.port())).run().expect_exit(0);
        assert_eq!(look(&scene.target), self.course(mode)[1], "{mode:?}");
        let (bytes, commits) = (proxy.bytes(), proxy.commits());
        let growth = size(&scene.target).saturating_sub(before);
        let (objects, files) = (scene.objects(), scene.files());
        let usual = Baseline { took: run.elapsed, lines: scene.lines(), bytes, commits, growth, objects, files };
        println!("{mode:?} undisturbed: {:?}, {bytes} bytes, {commits} commits, grows by {growth}", usual.took);
        self.usual.borrow_mut().insert(mode, usual.clone());
        usual
    }
}

impl CaseEnv {
    fn dir(&self) -> PathBuf {
        self.directory.path().join("migration")
    }

    pub(super) fn url(&self) -> String {
        self.url_at(self.target.port())
    }

    pub(super) fn url_at(&self, port: u16) -> String {
        remote_url_at(&self.target, port)
    }

    /// A proxy to the target. `plain` says that the tool connects without TLS.
    pub(super) fn proxy(&self, plain: bool, fault: Fault) -> FaultProxy {
        let port = self.target.port();
        FaultProxy::start(move || port, Script { fault, reads_messages: plain, ..Script::default() })
    }

    /// Without TLS, which is allowed on loopback.
    pub(super) fn plain_url(&self, port: u16) -> String {
        format!("postgresql://{OWNER}:{PASSWORD}@127.0.0.1:{port}/{}?sslmode=disable", self.target.database())
    }

    /// A call of the tool on this DIR.
    pub(super) fn tool(&self, words: &[&str], url: &str) -> Tool {
        let tool = Tool::new(words).arg("--dir").arg(self.dir()).timeout(Duration::from_secs(100));
        tool.env("NEON_DATABASE_URL", url).env("TURSO2NEON_LOCAL_URL", &self.local)
    }

    /// The call of this mode.
    pub(super) fn call(&self, mode: Mode, url: &str) -> Tool {
        self.tool(mode.words(), url).arg("--json")
    }

    /// Everything on the target that isn't PostgreSQL's own: schemas with the number of their relations, the record's
    /// rows by state.
    pub(super) fn objects(&self) -> Vec<String> {
        let sql = "SELECT 'schema ' || n.nspname || ' ' || count(c.oid) || ' ' || \
                     (SELECT count(*) FROM pg_proc p WHERE p.pronamespace = n.oid) FROM pg_namespace n \
                   LEFT JOIN pg_class c ON c.relnamespace = n.oid \
                   WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' GROUP BY n.oid, n.nspname \
                   UNION ALL SELECT 'tables ' || state || ' ' || count(*) FROM turso2neon.tables GROUP BY state \
                   UNION ALL SELECT 'objects ' || state || ' ' || count(*) FROM turso2neon.objects GROUP BY state \
                   UNION ALL SELECT 'undo ' || count(*) FROM turso2neon.undo \
                   UNION ALL SELECT DISTINCT 'runs ' || state FROM turso2neon.runs \
                   UNION ALL SELECT 'chunks ' || count(*) FROM turso2neon.chunks ORDER BY 1";
        self.target.query(sql).into_iter().filter_map(|mut row| row.swap_remove(0)).collect()
    }

    /// The files in DIR.
    pub(super) fn files(&self) -> Vec<String> {
        let listing = must_run(Command::new("find").arg(".").args(["-type", "f"]).current_dir(self.dir()));
        let mut files: Vec<String> = String::from_utf8(listing).unwrap().lines().map(str::to_owned).collect();
        files.sort();
        files
    }

    /// How many lines the call has added to the log.
    pub(super) fn lines(&self) -> usize {
        let log = std::fs::read_to_string(self.dir().join("log.jsonl")).unwrap_or_default();
        log.lines().count().saturating_sub(self.former_lines)
    }

    /// Sessions of the tool that the server still has.
    pub(super) fn sessions(&self) -> String {
        self.target
            .value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename <> 'postgres'")
    }
}

/// A file system that can be full, with a tablespace on it. There is none for users who may not mount one.
pub(super) struct SmallDisk {
    place: tempfile::TempDir,
}

impl SmallDisk {
    const NAME: &'static str = "small";
    const DISK_SIZE: &'static str = "1g";

    fn on(server: &Target) -> Option<Self> {
        let place = tempfile::Builder::new().prefix("t2n-disk-").tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={},mode=0755", Self::DISK_SIZE))
            .arg("t2n")
            .arg(place.path());
        if !mount.output().is_ok_and(|done| done.status.success()) {
            println!("no file system can be mounted here: disks stay empty");
            return None;
        }
        let home = place.path().join("space");
        std::fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(place.path(), None, None).unwrap();
        must_run(Command::new("chown").arg("postgres").arg(place.path()).arg(&home));
        server.query(&format!("CREATE TABLESPACE {} LOCATION '{}'", Self::NAME, home.display()));
        Some(Self { place })
    }

    /// Leaves so many bytes free.
    pub(super) fn leave(&self, bytes: u64) {
        let facts = rustix::fs::statvfs(self.place.path()).unwrap();
        let used = (facts.f_blocks - facts.f_bfree) * facts.f_frsize;
        self.resize(&(used + bytes).to_string());
    }

    /// Restores the free disk space.
    pub(super) fn extend(&self) {
        self.resize(Self::DISK_SIZE);
    }

    fn resize(&self, size: &str) {
        must_run(Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(self.place.path()));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.place.path()).output().ok();
    }
}

fn size(target: &Target) -> u64 {
    target.value("SELECT pg_database_size(current_database())").parse().unwrap()
}

pub(super) fn wait_until_alone(target: &Target) {
    let sessions =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..500 {
        if target.value(sessions) == "0" {
            // This very session has to end, too.
            std::thread::sleep(Duration::from_millis(50));
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("somebody stays connected to {}", target.database());
}

fn allow_clear_text(target: &Target) {
    let rules = target.socket_directory().join("data/pg_hba.conf");
    let mut file = std::fs::OpenOptions::new().append(true).open(rules).unwrap();
    writeln!(file, "hostnossl all all 127.0.0.1/32 scram-sha-256").unwrap();
    target.query("SELECT pg_reload_conf()");
}

fn copy_of(dir: &Path) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    must_run(Command::new("cp").arg("-Rp").arg(dir).arg(directory.path().join("migration")));
    directory
}

/// A DIR whose rows of this version are in the local database.
fn converted(version: usize, local: &Target) -> Workspace {
    let workspace = Workspace::new();
    let source = workspace.sqlite("source.db", &script(version, rows()));
    workspace.tool("dump").arg("--source").arg(source).run().expect_exit(0);
    let convert = workspace.tool("convert").args(["--accept", "all"]).env("TURSO2NEON_LOCAL_URL", local.admin_url());
    convert.run().expect_exit(0);
    workspace
}

/// Rows of the largest table: `TURSO2NEON_TEST_FAULTS_ROWS` asks for more than the usual few.
fn rows() -> u64 {
    std::env::var("TURSO2NEON_TEST_FAULTS_ROWS").ok().map_or(4000, |text| text.parse().unwrap())
}

/// The source. Rows of `loose` have no key, and each is there several times. The second version differs from the first
/// in every table: rows came, went and changed, and some exchanged their unique values.
fn script(version: usize, rows: u64) -> String {
    let series =
        |count: u64| format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    let mut script = format!(
        "PRAGMA foreign_keys = off; BEGIN;
         CREATE TABLE owners (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, joined INTEGER);
         CREATE TABLE items (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owners(id) ON DELETE CASCADE,
           amount REAL CHECK (amount >= 0), note TEXT);
         CREATE INDEX items_by_owner ON items (owner);
         CREATE TABLE loose (word TEXT, number INTEGER);
         CREATE TABLE pairs (a TEXT NOT NULL, b INTEGER NOT NULL, value BLOB, PRIMARY KEY (a, b)) WITHOUT ROWID;
         CREATE TABLE bodies (id INTEGER PRIMARY KEY, body TEXT);
         CREATE VIEW busy AS SELECT owner, count(*) AS items FROM items GROUP BY owner;
         {0} INSERT INTO owners SELECT i, 'owner ' || i, 1600000000 + i FROM n;
         {1} INSERT INTO items SELECT i, i % {2} + 1, i * 0.25, 'note ' || (i * 7919 % 1000) FROM n;
         {3} INSERT INTO loose SELECT 'word ' || (i % 50), i % 7 FROM n;
         {3} INSERT INTO pairs SELECT 'pair ' || (i / 10), i, x'00ff' FROM n;
         {4} INSERT INTO bodies SELECT i, hex(zeroblob(900)) || i FROM n;",
        series(rows / 10),
        series(rows),
        rows / 10,
        series(rows / 4),
        series(rows / 8),
    );
    if version == 1 {
        script.push_str(
            "UPDATE owners SET name = 'x' || name WHERE id IN (3, 4);
             UPDATE owners SET name = CASE id WHEN 3 THEN 'owner 4' ELSE 'owner 3' END WHERE id IN (3, 4);
             INSERT INTO owners (name, joined) VALUES ('somebody', 1), ('nobody', NULL);
             DELETE FROM items WHERE id % 33 = 0; UPDATE items SET note = 'changed', amount = 1.5 WHERE id % 20 = 0;
             INSERT INTO items SELECT id + 1000000, owner, amount, 'added' FROM items WHERE id % 50 = 1;
             DELETE FROM loose WHERE rowid % 10 = 0; INSERT INTO loose SELECT word, number FROM loose WHERE rowid % 9 = 1;
             UPDATE pairs SET value = x'01' WHERE b % 11 = 0; DELETE FROM pairs WHERE b % 13 = 0;
             UPDATE bodies SET body = body || '!' WHERE id % 10 = 0; DELETE FROM bodies WHERE id % 17 = 0;",
        );
    }
    script + " COMMIT;"
}
