//! A dump is not replaced by that of another source, however the same source is spelled.

use std::{fs, os::unix::fs::symlink};

use crate::support::{Environment, Run, Sqld, Tool, Workspace};

const SCRIPT: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a')";

fn dump(workspace: &Workspace, source: impl AsRef<std::ffi::OsStr>, flags: &[&str]) -> Run {
    let tool: Tool = workspace.tool("dump").arg("--source").arg(source).args(flags).arg("--json");
    tool.run()
}

#[test]
fn another_file_is_refused_and_replaces_the_dump_with_fresh_alone() {
    let workspace = Workspace::new();
    let (one, other) = (workspace.sqlite("one.db", SCRIPT), workspace.sqlite("other.db", SCRIPT));
    dump(&workspace, &one, &[]).expect_exit(0);
    let before = workspace.read("dump/checkpoint.json");
    let refused = dump(&workspace, &other, &[]).expect_exit(8).last_json();
    assert_eq!(refused["code"], "other-source", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("one.db"), "{refused}");
    let hint = refused["hint"].as_str().unwrap();
    assert!(hint.contains("--dir") && hint.contains("--fresh"), "{hint}");
    assert_eq!(workspace.read("dump/checkpoint.json"), before);
    // A file that is not there is no other source.
    let missing = dump(&workspace, workspace.path().join("missing.db"), &[]).expect_exit(3).last_json();
    assert_eq!(missing["code"], "source-invalid");
    dump(&workspace, &other, &["--fresh"]).expect_exit(0);
    assert!(workspace.read("dump/checkpoint.json").contains("other.db"));
    dump(&workspace, &one, &[]).expect_exit(8);
}

#[test]
fn the_same_file_under_another_path_is_the_same_source() {
    let workspace = Workspace::new();
    let file = workspace.sqlite("shop.db", SCRIPT);
    let link = workspace.path().join("link.db");
    symlink(&file, &link).unwrap();
    dump(&workspace, &file, &[]).expect_exit(0);
    for path in ["shop.db", "./shop.db", "link.db", "file:shop.db"] {
        dump(&workspace, path, &[]).expect_exit(0);
    }
    // The file moves, and a link stays in its place.
    let moved = workspace.path().join("moved.db");
    fs::rename(&file, &moved).unwrap();
    symlink(&moved, &file).unwrap();
    for path in [&moved, &file] {
        dump(&workspace, path, &[]).expect_exit(0);
    }
}

#[test]
fn the_same_server_under_another_url_is_the_same_source() {
    let (workspace, server, other) = (Workspace::new(), Sqld::start(), Sqld::start());
    server.execute(SCRIPT);
    other.execute(SCRIPT);
    let token = server.read_only_token();
    let call = |url: &str, flags: &[&str]| {
        let tool = workspace.tool("dump").args(["--source", url]).args(flags).env("TURSO_AUTH_TOKEN", &token);
        tool.arg("--json").run()
    };
    let place = server.url().strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    call(&server.url(), &[]).expect_exit(0);
    for url in [format!("http://{place}/"), format!("libsql://{place}?tls=0"), format!("ws://{place}")] {
        call(&url, &[]).expect_exit(0);
    }
    call(&server.url(), &["--method", "sql"]).expect_exit(0);
    workspace.tool("dump").args(["--source", &format!("{}?authToken={token}", server.url())]).run().expect_exit(0);
    // The scheme says how the server is reached, not which one it is: this one does not speak TLS.
    let encrypted = call(&format!("libsql://{place}"), &[]).expect_exit(3).last_json();
    assert_ne!(encrypted["code"], "other-source", "{encrypted}");
    let tool = workspace.tool("dump").args(["--source", &other.url()]).env("TURSO_AUTH_TOKEN", other.read_only_token());
    assert_eq!(tool.arg("--json").run().expect_exit(8).last_json()["code"], "other-source");
    let namespace = call(&server.url(), &["--namespace", "another"]).expect_exit(8).last_json();
    assert_eq!(namespace["code"], "other-source", "{namespace}");
}

#[test]
fn a_run_with_another_source_leaves_dump_and_target_as_they_are() {
    let environment = Environment::from(SCRIPT);
    environment.call(&["run"]);
    let before = environment.target.content("public");
    let other = environment.workspace.sqlite("other.db", "CREATE TABLE u (id INTEGER PRIMARY KEY)");
    let run = environment.tool("run").env("TURSO_DATABASE_URL", &other).arg("--json").run().expect_exit(8);
    assert_eq!(run.last_json()["code"], "other-source");
    assert_eq!(environment.target.content("public"), before);
    environment.call(&["verify"]);
}
