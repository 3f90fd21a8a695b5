//! A disk that is full: the directory on a small file system of its own, in a mount namespace that ends with the tool.
//!
//! Where this account may not mount, nothing can be tried here; the unit tests of `error` and of the managed server
//! remain.

use std::process::{Command, Stdio};

use super::{is_root, set_mode};
use crate::support::{bin, fixture::Workspace};

/// Runs calls of the tool with DIR on a disk of this size; gives the last line of its output, and the status.
fn on_small_disk(space: &Workspace, megabytes: u32, calls: &[&str]) -> Option<(serde_json::Value, i32)> {
    let dir = space.dir();
    std::fs::create_dir_all(&dir).unwrap();
    let mount = format!("mount -t tmpfs -o size={megabytes}m,mode=755 tmpfs '{}' || exit 99", dir.display());
    let tool = format!("'{}' --dir '{}' --json", bin().display(), dir.display());
    let calls: Vec<String> = calls.iter().map(|call| format!("{tool} {call}")).collect();
    let output = Command::new("unshare")
        .args([if is_root() { "-m" } else { "-Urm" }, "sh", "-c", &format!("{mount}; {}", calls.join("; "))])
        .current_dir(space.path())
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let status = output.status.code().unwrap();
    if status == 99 || text.is_empty() {
        println!("a disk cannot be mounted here: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some((serde_json::from_str(text.lines().last().unwrap()).unwrap(), status))
}

fn expect_named(space: &Workspace, answer: Option<(serde_json::Value, i32)>, code: &str, exit: i32) {
    let Some((error, status)) = answer else { return };
    assert_eq!((error["code"].as_str(), status), (Some(code), exit), "{error}");
    let told = format!("{} {}", error["message"], error["hint"]);
    assert!(told.contains("disk") && told.contains(space.dir().to_str().unwrap()), "{told}");
    assert!(error["hint"].as_str().unwrap().contains("--dir"), "{error}");
}

/// A source with so many rows of one megabyte that cannot be compressed.
fn source(space: &Workspace, rows: u32) {
    set_mode(space.path(), 0o755);
    let rows = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {rows}) \
         INSERT INTO t SELECT i, randomblob(1000000) FROM n"
    );
    space.sqlite("s.db", &format!("CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB); {rows}"));
}

#[test]
fn a_dump_that_has_no_room_names_the_disk() {
    let space = Workspace::new();
    source(&space, 6);
    let answer = on_small_disk(&space, 4, &["dump --source s.db"]);
    expect_named(&space, answer, "artifact-io", 4);
}

#[test]
fn a_cluster_that_has_no_room_names_the_disk() {
    let space = Workspace::new();
    source(&space, 1);
    let answer = on_small_disk(&space, 40, &["dump --source s.db", "convert"]);
    // Without root's rights the server is not started in a name space of users.
    expect_named(&space, answer.filter(|_| is_root()), "local-unreachable", 6);
}

#[test]
fn rows_that_have_no_room_in_the_local_server_name_the_disk() {
    let space = Workspace::new();
    source(&space, 50);
    let Some((error, status)) = on_small_disk(&space, 125, &["dump --source s.db", "convert"]).filter(|_| is_root())
    else {
        return;
    };
    assert_eq!(status, 6, "{error}");
    let hint = error["hint"].as_str().unwrap();
    assert!(hint.contains("disk") && hint.contains(space.dir().join("convert/pgdata").to_str().unwrap()), "{error}");
}
