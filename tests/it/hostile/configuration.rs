//! A configuration file that somebody else put into the current directory.

use std::{
    fs,
    os::unix::fs::{chown, lchown, symlink},
    path::Path,
};

use super::{NOBODY, is_root, set_mode};
use crate::support::{fixture::Workspace, tool::Run};

/// A directory whose programs record that they ran, a source, and a configuration that names them.
fn workspace() -> Workspace {
    let space = Workspace::new();
    let bin = space.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for program in ["postgres", "initdb", "pg_controldata", "pg_config"] {
        let script = format!("#!/bin/sh\necho ran >> '{}'\n", space.path().join("ran").display());
        fs::write(bin.join(program), script).unwrap();
        set_mode(&bin.join(program), 0o755);
    }
    space.sqlite("s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY)");
    configure(&space, &format!("pg-bin = \"{}\"", bin.display()));
    space
}

fn configure(space: &Workspace, text: &str) {
    fs::write(space.path().join("turso2neon.toml"), text).unwrap();
    set_mode(&space.path().join("turso2neon.toml"), 0o644);
}

fn ran(space: &Workspace) -> bool {
    space.path().join("ran").exists()
}

#[track_caller]
fn expect_refused(run: Run, space: &Workspace, named: &Path) {
    let error = run.last_json();
    assert_eq!(error["code"], "config", "{}", run.stdout);
    assert!(error["message"].as_str().unwrap().contains(named.to_str().unwrap()), "{error}");
    assert!(!ran(space), "a program ran");
    run.expect_exit(2);
}

#[test]
fn the_file_that_is_read_is_named_once_on_stderr_and_in_the_log() {
    let space = workspace();
    configure(&space, "jobs = 2");
    let named = format!("the configuration is read from {}", space.path().join("turso2neon.toml").display());
    let count = |text: &str| text.matches(&named).count();
    let run = space.tool("dump").arg("--source").arg(space.path().join("s.db")).run().expect_exit(0);
    assert_eq!(count(&run.stderr), 1, "{}", run.stderr);
    assert_eq!(count(&space.read("log.jsonl")), 1);
    for command in ["status", "doctor"] {
        assert_eq!(count(&space.tool(command).run().stderr), 1, "{command}");
    }
    fs::rename(space.path().join("turso2neon.toml"), space.path().join("other.toml")).unwrap();
    let run = space.tool("status").args(["--config", "other.toml"]).run().expect_exit(0);
    assert!(run.stderr.contains("other.toml"), "{}", run.stderr);
    assert!(!space.tool("status").run().stderr.contains("the configuration"));
}

#[test]
fn a_file_that_others_can_write_runs_nothing() {
    let space = workspace();
    let file = space.path().join("turso2neon.toml");
    for mode in [0o666, 0o646] {
        set_mode(&file, mode);
        for command in ["status", "plan", "doctor"] {
            expect_refused(space.tool(command).arg("--json").run(), &space, Path::new("turso2neon.toml"));
        }
        expect_refused(space.tool("status").arg("--json").arg("--config").arg(&file).run(), &space, &file);
    }
    // The same file is the user's own again.
    set_mode(&file, 0o600);
    space.tool("doctor").run();
    assert!(ran(&space), "the programs would not have run anyway");
}

#[test]
fn a_file_of_another_user_runs_nothing() {
    if !is_root() {
        return;
    }
    let space = workspace();
    let file = space.path().join("turso2neon.toml");
    chown(&file, Some(NOBODY), None).unwrap();
    for command in ["status", "plan", "doctor"] {
        let run = space.tool(command).arg("--json").run();
        assert!(run.last_json()["hint"].as_str().unwrap().contains("without sudo"), "{}", run.stdout);
        expect_refused(run, &space, Path::new("turso2neon.toml"));
    }
    expect_refused(space.tool("status").arg("--json").arg("--config").arg(&file).run(), &space, &file);
    // A link of that user to a file of root's, and a pipe that nobody writes to.
    chown(&file, Some(0), None).unwrap();
    fs::rename(&file, space.path().join("roots.toml")).unwrap();
    symlink("roots.toml", &file).unwrap();
    lchown(&file, Some(NOBODY), None).unwrap();
    expect_refused(space.tool("status").arg("--json").run(), &space, Path::new("turso2neon.toml"));
    fs::remove_file(&file).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RWXU).unwrap();
    chown(&file, Some(NOBODY), None).unwrap();
    expect_refused(space.tool("status").arg("--json").run(), &space, Path::new("turso2neon.toml"));
}

#[test]
fn a_file_of_statements_that_others_can_write_is_not_run() {
    let space = workspace();
    configure(&space, "[sql]\nbefore = [\"before.sql\"]");
    fs::write(space.path().join("before.sql"), "CREATE SCHEMA x;").unwrap();
    set_mode(&space.path().join("before.sql"), 0o666);
    space.tool("dump").arg("--source").arg(space.path().join("s.db")).run().expect_exit(0);
    expect_refused(space.tool("convert").arg("--json").run(), &space, Path::new("before.sql"));
}
