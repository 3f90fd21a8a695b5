//! What the tool prints: JSON lines, narration, colours, the log, and annotations for GitHub.

use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::cli::dumped;
use crate::support::{Tool, bin};

#[test]
fn every_json_line_has_its_fields_and_the_last_one_is_the_answer() {
    let workspace = dumped();
    let calls = [
        workspace.tool("dump").args(["--source", "small.db"]),
        workspace.tool("dump").args(["--source", "missing.db"]),
        workspace.tool("status"),
        workspace.tool("report"),
        workspace.tool("doctor"),
        workspace.tool("push"),
        workspace.tool("verify"),
        workspace.tool("bogus"),
        Tool::new(["completions", "bash"]),
        Tool::new(["man"]),
        workspace.tool("clean").arg("--yes"),
    ];
    for call in calls {
        let run = call.arg("--json").run();
        assert!(run.stderr.is_empty(), "{:?} spoke: {}", run.args, run.stderr);
        let lines = run.json_lines();
        for line in &lines {
            assert_eq!(line["v"], 1, "{line}");
            assert!(line["type"].is_string() && is_timestamp(&line["time"]), "{line}");
        }
        let last = lines.last().unwrap();
        let ends = lines.iter().filter(|line| line["type"] == "result" || line["type"] == "error").count();
        assert_eq!(ends, 1, "{:?}", run.args);
        assert_eq!(last["exit"].as_i64(), run.code().map(i64::from), "{last}");
        let expected: &[&str] = match last["type"].as_str() {
            Some("result") => &["command", "answer", "code", "message", "hint"],
            Some("error") => &["code", "stage", "table", "column", "message", "hint"],
            other => panic!("{:?} ends with {other:?}", run.args),
        };
        for field in expected {
            assert!(last.get(field).is_some(), "{field} is missing: {last}");
        }
    }
}

/// `2026-01-31T23:59:59.250Z`.
fn is_timestamp(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T')
}

#[test]
fn json_with_v_narrates_on_stderr_too() {
    let workspace = dumped();
    let run = workspace.tool("dump").args(["--source", "small.db", "--json", "-v"]).run().expect_exit(0);
    assert!(run.stderr.contains("dump: "), "{}", run.stderr);
    assert_eq!(run.last_json()["type"], "result");
}

#[test]
fn the_narration_is_lines_where_there_is_no_terminal() {
    let workspace = dumped();
    let call = || workspace.tool("dump").args(["--source", "small.db"]);
    let plain = call().run().expect_exit(0);
    assert!(plain.stderr.contains("dump: note: done, 2 rows in "), "{}", plain.stderr);
    assert!(!plain.stderr.contains(['\r', '\u{1b}']), "{:?}", plain.stderr);
    let quiet = call().arg("-q").run().expect_exit(0);
    assert!(quiet.stderr.is_empty() && quiet.stdout.contains("2 rows"), "{quiet:?}");
    let loud = call().args(["-v", "-v"]).run().expect_exit(0);
    assert!(loud.stderr.contains("committed"), "{}", loud.stderr);
}

#[test]
fn colours_follow_the_flag_and_the_variable() {
    let colour = |tool: Tool| tool.run().stderr.contains('\u{1b}');
    assert!(!colour(Tool::new(["dump"])), "without a terminal");
    assert!(colour(Tool::new(["push", "--dir", "nowhere", "--target", "x", "--color", "always"])));
    assert!(!colour(Tool::new(["push", "--dir", "nowhere", "--target", "x"]).env("NO_COLOR", "1")));
}

#[test]
fn the_log_keeps_every_event_for_its_owner_alone() {
    let workspace = dumped();
    workspace.tool("dump").args(["--source", "missing.db", "-q"]).run().expect_exit(3);
    let text = workspace.read("log.jsonl");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<&str> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types.iter().filter(|kind| **kind == "command-started").count(), 2);
    assert!(types.contains(&"table-finished") && types.contains(&"result"), "{types:?}");
    assert_eq!(types.last(), Some(&"error"));
    let mode = |path: &str| fs::metadata(workspace.dir().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("log.jsonl"), mode(".")), (0o600, 0o700));
}

#[test]
fn a_reader_who_leaves_is_no_failure() {
    let workspace = dumped();
    let call = |args: &[&str]| {
        let mut child = Command::new(bin())
            .args(args)
            .arg("--dir")
            .arg(workspace.dir())
            .current_dir(workspace.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said)
    };
    assert_eq!(call(&["report"]), (Some(0), String::new()));
    assert_eq!(call(&["status", "--json"]), (Some(0), String::new()));
    // The dump is made though nobody listens.
    fs::remove_dir_all(workspace.dir().join("dump")).unwrap();
    assert_eq!(call(&["dump", "--source", "small.db", "-q"]), (Some(0), String::new()));
    assert!(workspace.dir().join("dump/source.db").exists());
}

#[test]
fn an_answer_that_cannot_be_written_is_not_lost_in_silence() {
    let workspace = dumped();
    let call = |command: &str| {
        let output = Command::new(bin())
            .args([command, "--source", "small.db", "--dir"])
            .arg(workspace.dir())
            .current_dir(workspace.path())
            .stdout(File::options().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (exit, said) = call("doctor");
    assert!(exit == Some(4) && said.contains("the answer could not be written"), "{exit:?} {said}");
    // The work of a dump is done all the same.
    let (exit, said) = call("dump");
    assert!(exit == Some(0) && said.contains("the answer could not be written"), "{exit:?} {said}");
}

#[test]
fn github_gets_annotations_and_the_summary() {
    let workspace = dumped();
    let summary = workspace.path().join("summary.md");
    let inside = |tool: Tool| tool.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary);
    inside(workspace.tool("report")).run().expect_exit(0);
    assert!(fs::read_to_string(&summary).unwrap().starts_with("# Migration report"));
    let failed = inside(workspace.tool("dump").args(["--source", "missing.db"])).run().expect_exit(3);
    assert!(failed.stderr.lines().any(|line| line.starts_with("::error title=turso2neon dump::dump: ")), "{failed:?}");
    let json = inside(workspace.tool("dump").args(["--source", "missing.db", "--json"])).run().expect_exit(3);
    json.json_lines();
    assert!(json.stderr.starts_with("::error "), "{}", json.stderr);
    let outside = workspace.tool("dump").args(["--source", "missing.db"]).run().expect_exit(3);
    assert!(!outside.stderr.contains("::error"), "{}", outside.stderr);
}
