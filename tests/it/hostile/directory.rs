//! A working directory in which others can have put links.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt, chown, lchown, symlink},
    path::{Path, PathBuf},
};

use super::{NOBODY, is_root, set_mode};
use crate::support::{
    fixture::Workspace,
    tool::{Run, Tool},
};

/// Every file and directory that the tool creates, reads or locks in DIR.
const NAMES: [&str; 33] = [
    "archive",
    "lock",
    "log.jsonl",
    "verify.json",
    "verify.tmp",
    "report.json",
    "report.md",
    "report.html",
    "report.tmp",
    "dump",
    "dump/source.db",
    "dump/source.db.part",
    "dump/source.db.part-wal",
    "dump/source.db.part-journal",
    "dump/part.json",
    "dump/part.tmp",
    "dump/checkpoint.json",
    "dump/checkpoint.tmp",
    "plan",
    "plan/plan.json",
    "plan/schema.sql",
    "plan/assessment.md",
    "plan/scratch",
    "convert",
    "convert/checkpoint.json",
    "convert/plan.json",
    "convert/rejects.jsonl",
    "convert/rejects.tmp",
    "convert/postgres.log",
    "convert/pgdata",
    "push",
    "push/checkpoint.json",
    "push/checkpoint.tmp",
];

/// A source, and beside it what must stay as it is.
struct Victim {
    space: Workspace,
}

impl Victim {
    fn new() -> Self {
        let space = Workspace::new();
        space.sqlite("s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
        fs::create_dir(space.path().join("victim")).unwrap();
        for file in ["victim/file", "victim.txt"] {
            fs::write(space.path().join(file), "keep").unwrap();
        }
        Self { space }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.space.path().join(name)
    }

    /// An empty DIR with the directory in which this name is.
    fn fresh_dir(&self, name: &str) -> PathBuf {
        let dir = self.space.dir();
        fs::remove_dir_all(&dir).ok();
        let home = dir.join(Path::new(name).parent().unwrap());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(home).unwrap();
        dir
    }

    fn dump(&self) -> Tool {
        self.space.tool("dump").arg("--source").arg(self.path("s.db")).arg("--json")
    }

    fn facts(path: &Path) -> (u32, u32, u64, (i64, i64)) {
        let facts = fs::metadata(path).unwrap();
        (facts.uid(), facts.mode(), facts.len(), (facts.mtime(), facts.mtime_nsec()))
    }

    /// Owner, mode, size and time of everything outside DIR, and the names there.
    fn state(&self) -> Vec<String> {
        let names = |directory: &Path| -> Vec<PathBuf> {
            let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            names
        };
        let outside = names(self.space.path()).into_iter().chain(names(&self.path("victim")));
        let outside = outside.filter(|path| !path.starts_with(self.space.dir()));
        outside.map(|path| format!("{} {:?}", path.display(), Self::facts(&path))).collect()
    }
}

#[track_caller]
fn expect_unsafe(run: Run, what: &str) {
    assert_eq!(run.last_json()["code"], "dir-unsafe", "{what}: {}", run.stdout);
    run.expect_exit(4);
}

#[test]
fn no_link_in_the_place_of_an_artifact_is_followed() {
    let victim = Victim::new();
    let before = victim.state();
    for name in NAMES {
        for target in ["victim.txt", "victim", "nowhere"] {
            let dir = victim.fresh_dir(name);
            symlink(victim.path(target), dir.join(name)).unwrap();
            expect_unsafe(victim.dump().run(), &format!("{name} -> {target}"));
            assert_eq!(victim.state(), before, "{name} -> {target}");
        }
        for command in ["plan", "convert", "status", "report"] {
            expect_unsafe(victim.space.tool(command).arg("--json").run(), &format!("{command}: {name}"));
        }
        assert_eq!(victim.state(), before, "{name}");
    }
    victim.fresh_dir("dump/source.db");
    victim.dump().run().expect_exit(0);
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let victim = Victim::new();
    for (place, mode) in [("", 0o777), ("", 0o1777), ("dump", 0o757)] {
        let dir = victim.fresh_dir("dump/source.db");
        set_mode(&dir.join(place), mode);
        let run = victim.dump().run();
        assert!(run.last_json()["hint"].as_str().unwrap().contains("chmod go-w"), "{}", run.stdout);
        expect_unsafe(run, place);
        assert!(!dir.join("lock").exists() && !dir.join("dump/source.db").exists());
    }
    // As some users create theirs.
    set_mode(&victim.fresh_dir("lock"), 0o755);
    victim.dump().run().expect_exit(0);
}

#[test]
fn a_directory_of_the_user_can_be_named_by_a_link() {
    let victim = Victim::new();
    let real = victim.path("elsewhere");
    fs::create_dir(&real).unwrap();
    set_mode(&real, 0o700);
    symlink(&real, victim.space.dir()).unwrap();
    victim.dump().run().expect_exit(0);
    assert!(real.join("dump/source.db").is_file());
    if is_root() {
        lchown(victim.space.dir(), Some(NOBODY), Some(NOBODY)).unwrap();
        expect_unsafe(victim.dump().run(), "a link of another user");
    }
}

#[test]
fn root_works_in_no_directory_of_another_user() {
    if !is_root() {
        return;
    }
    let victim = Victim::new();
    for place in ["", "convert"] {
        let dir = victim.fresh_dir("convert/pgdata");
        chown(dir.join(place), Some(NOBODY), Some(NOBODY)).unwrap();
        let run = victim.dump().run();
        let hint = run.last_json()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("without sudo") && hint.contains("--dir"), "{hint}");
        expect_unsafe(run, place);
        assert!(!dir.join("lock").exists());
    }
}

#[test]
fn the_server_s_account_gets_the_data_directory_alone() {
    let victim = Victim::new();
    set_mode(victim.space.path(), 0o755);
    victim.dump().run().expect_exit(0);
    victim.space.tool("convert").run().expect_exit(0);
    let own = rustix::process::geteuid().as_raw();
    let dir = victim.space.dir();
    let mut directories = vec![dir.clone()];
    while let Some(directory) = directories.pop() {
        assert_eq!(fs::metadata(&directory).unwrap().uid(), own, "{}", directory.display());
        for path in fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path == dir.join("convert/pgdata") {
                assert_eq!(fs::metadata(&path).unwrap().uid() == own, !is_root());
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
            } else if path.is_dir() {
                directories.push(path);
            } else {
                let facts = fs::metadata(&path).unwrap();
                assert_eq!((facts.uid(), facts.mode() & 0o777), (own, 0o600), "{}", path.display());
            }
        }
    }
}

#[test]
fn a_checkpoint_cannot_name_another_data_directory() {
    let victim = Victim::new();
    set_mode(victim.space.path(), 0o755);
    victim.dump().run().expect_exit(0);
    victim.space.tool("convert").run().expect_exit(0);
    let path = victim.space.dir().join("convert/checkpoint.json");
    let mut checkpoint = victim.space.read_json("convert/checkpoint.json");
    for pgdata in [victim.path("victim"), PathBuf::from("/var/tmp/pgdata"), PathBuf::from("../victim")] {
        checkpoint["local"]["pgdata"] = pgdata.to_str().unwrap().into();
        checkpoint.as_object_mut().unwrap().remove("checksum");
        turso2neon::workdir::sealed::store(&path, &checkpoint).unwrap();
        fs::write(victim.path("victim/PG_VERSION"), "15\n").unwrap();
        let before = victim.state();
        let run = victim.space.tool("verify").args(["--against", "local", "--json"]).run();
        assert_eq!(run.last_json()["code"], "artifact-damaged", "{}: {}", pgdata.display(), run.stdout);
        assert_eq!(victim.state(), before, "{}", pgdata.display());
    }
}
