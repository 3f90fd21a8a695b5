//! Tests bad input and broken artifacts: each has its exit code and its hint, and leaves nothing half-done.

use std::path::Path;

use crate::support::{
    Environment, Run, Target, Tool, Workspace,
    http_stub::{Answer, HttpStub},
    process::free_port,
    target,
};

const SMALL: &str =
    "CREATE TABLE note (id INTEGER PRIMARY KEY, words TEXT); INSERT INTO note VALUES (1, 'a'), (2, 'b')";

/// Exit code, an error with a hint on standard error, and the same as the last JSON line when asked for JSON.
#[track_caller]
fn refused(tool: impl Fn() -> Tool, exit: i32) -> Run {
    let plain = tool().run().expect_exit(exit).expect_text("hint:");
    assert!(!plain.stdout.contains("hint:"), "the error went to standard output: {}", plain.stdout);
    let last = tool().arg("--json").run().expect_exit(exit).last_json();
    assert_eq!(last["type"], "error", "{last}");
    assert_eq!(last["exit"], exit, "{last}");
    for key in ["code", "message", "hint"] {
        assert!(last[key].as_str().is_some_and(|text| !text.is_empty()), "no {key}: {last}");
    }
    plain
}

#[track_caller]
fn refused_dump(workspace: &Workspace, source: &str, token: &str, exit: i32) -> Run {
    let tool = || workspace.tool("dump").env("TURSO_DATABASE_URL", source).env("TURSO_AUTH_TOKEN", token);
    let run = refused(tool, exit);
    assert!(!workspace.dir().join("dump/source.db").exists(), "a refused dump left a file called complete");
    assert!(!workspace.dir().join("dump/checkpoint.json").exists(), "a refused dump left a checkpoint");
    run
}

#[test]
fn a_source_that_cannot_be_used_is_refused() {
    let environment = Environment::from(SMALL);
    let workspace = &environment.workspace;
    let url = environment.source.url();
    let token = environment.source.token();

    refused_dump(workspace, &url, "not-a-token", 3);
    refused_dump(workspace, &url, &environment.source.expired_token(), 3).expect_text("token");
    refused_dump(workspace, &format!("http://127.0.0.1:{}", free_port()), &token, 3);
    let missing = workspace.path().join("missing.db");
    refused_dump(workspace, missing.to_str().unwrap(), "", 3);
    assert!(!missing.exists(), "a mistyped path was created");
    let prose = workspace.path().join("prose.txt");
    std::fs::write(&prose, "This is no database.\n".repeat(300)).unwrap();
    refused_dump(workspace, prose.to_str().unwrap(), "", 3);
    refused_dump(workspace, workspace.path().to_str().unwrap(), "", 3);
    let page =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\nconnection: close\r\n\r\n<html>hi</html>";
    for answer in [&page[..], b"220 mail.example ESMTP\r\n"] {
        let stub = HttpStub::start(move |_| Answer::raw(answer));
        refused_dump(workspace, &stub.url(), &token, 3);
    }
}

#[test]
fn a_source_that_makes_no_sense_is_a_matter_of_usage() {
    let workspace = Workspace::new();
    for source in ["ftp://db.example/shop", "libsql://", "http://[::1"] {
        let run = workspace.tool("dump").env("TURSO_DATABASE_URL", source).run();
        assert!(matches!(run.code(), Some(2 | 3)), "{source}: {run:?}");
        run.expect_text("hint:");
    }
    workspace.tool("dump").run().expect_exit(2).expect_text("TURSO_DATABASE_URL");
    workspace.tool("dump").arg("--no-such-flag").run().expect_exit(2);
    workspace.tool("push").run().expect_exit(2).expect_text("NEON_DATABASE_URL");
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let workspace = Workspace::new();
    let source = workspace.sqlite("small.db", SMALL);
    let occupied = workspace.path().join("a-file");
    std::fs::write(&occupied, "in the way").unwrap();
    for directory in [occupied.as_path(), Path::new("/proc/turso2neon"), occupied.join("below").as_path()] {
        let tool = || workspace.tool("dump").replace("--dir", directory).arg("--source").arg(&source);
        refused(tool, 4);
    }
    assert_eq!(std::fs::read_to_string(&occupied).unwrap(), "in the way");
}

#[test]
fn a_full_disk_is_refused_and_what_was_there_stays() {
    let workspace = Workspace::new();
    let big = "CREATE TABLE big (a); INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
               WHERE i < 4000) SELECT hex(randomblob(1000)) FROM n";
    let source = workspace.sqlite("big.db", big);
    let small = workspace.path().join("small-disk");
    std::fs::create_dir(&small).unwrap();
    // A file system of 2 MB in a mount namespace of its own, gone with the process.
    let script = "mount -t tmpfs -o size=2m tmpfs \"$1\" 2>/dev/null || exit 99; \
                  \"$2\" dump --dir \"$1/migration\" --source \"$3\"; code=$?; find \"$1\" -name source.db; exit $code";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
        .args([small.as_path(), crate::support::bin(), &source])
        .output()
        .unwrap();
    if matches!(output.status.code(), Some(1 | 99)) && String::from_utf8_lossy(&output.stderr).lines().count() <= 1 {
        println!("this machine lets nobody mount a small file system; a full disk wasn't tried");
        return;
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains("hint:"), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "a short file is called complete");
}

#[test]
fn a_machine_without_postgresql_gets_a_hint_how_to_install_one() {
    let workspace = Workspace::new();
    let source = workspace.sqlite("small.db", SMALL);
    workspace.tool("dump").arg("--source").arg(&source).run().expect_exit(0);
    let empty = workspace.path().join("no-programs");
    std::fs::create_dir(&empty).unwrap();
    refused(|| workspace.tool("convert").arg("--pg-bin").arg(&empty), 6).expect_text("PostgreSQL");
    let nobody = format!("postgresql://nobody@127.0.0.1:{}/nothing", free_port());
    refused(|| workspace.tool("convert").env("TURSO2NEON_LOCAL_URL", &nobody), 6);
}

#[test]
fn a_target_that_cannot_be_used_is_refused() {
    let environment = Environment::from(SMALL);
    environment.call(&["dump", "plan", "convert"]);
    let target = &environment.target;
    let push = |url: String, exit: i32| {
        refused(|| environment.tool("push").env("NEON_DATABASE_URL", &url), exit);
    };
    push(target.url().replace(target::PASSWORD, "wrong-password"), 7);
    push(target.url().replace(target.database(), "no_such_database"), 7);
    let foreign_ca = target.foreign_ca_file();
    push(target.url().replace(target.ca_file().to_str().unwrap(), foreign_ca.to_str().unwrap()), 7);
    // Without a CA of its own the system's certificates decide, and they don't know this server.
    push(format!("{}?sslmode=verify-full", target.url_without_parameters()), 7);
    push(target.url().replace(&format!(":{}/", target.port()), &format!(":{}/", free_port())), 7);
    push("postgresql://owner@/".to_owned() + &"x".repeat(10) + "?sslmode=sometimes", 2);
    assert_eq!(target.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"), "0");
}

#[test]
fn tables_of_others_on_the_target_are_left_alone() {
    let environment = Environment::from(SMALL);
    environment.call(&["dump", "plan", "convert"]);
    environment.target.execute_as_owner("CREATE TABLE note (mine text); INSERT INTO note VALUES ('precious')");
    refused(|| environment.tool("push"), 8).expect_text("note");
    assert_eq!(environment.target.value("SELECT mine FROM note"), "precious");
    // Another schema is free.
    environment.tool("push").args(["--schema", "moved"]).run().expect_exit(0);
    assert_eq!(environment.target.value("SELECT count(*) FROM moved.note"), "2");
    assert_eq!(environment.target.value("SELECT mine FROM note"), "precious");
}

#[test]
fn a_stage_without_the_one_before_it_is_refused() {
    let workspace = Workspace::new();
    let target = Target::start();
    refused(|| workspace.tool("plan"), 4).expect_text("dump");
    refused(|| workspace.tool("convert"), 4).expect_text("dump");
    refused(|| workspace.tool("push").env("NEON_DATABASE_URL", target.url()), 4);
    refused(|| workspace.tool("verify").args(["--against", "local"]), 4);
    workspace.tool("status").run().expect_exit(0);
}

#[test]
fn a_damaged_dump_is_noticed() {
    let workspace = Workspace::new();
    let source = workspace.sqlite("small.db", SMALL);
    workspace.tool("dump").arg("--source").arg(&source).run().expect_exit(0);
    let dump = workspace.dir().join("dump/source.db");
    let whole = std::fs::read(&dump).unwrap();
    let mut flipped = whole.clone();
    // One bit of the last cell: the page stays a valid page.
    let last = flipped.iter().rposition(|byte| *byte == b'a').unwrap();
    flipped[last] ^= 1;
    for damage in [flipped, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        std::fs::write(&dump, damage).unwrap();
        refused(|| workspace.tool("convert"), 4).expect_text("dump");
    }
    std::fs::remove_file(&dump).unwrap();
    refused(|| workspace.tool("convert"), 4).expect_text("dump");
}

#[test]
fn damaged_and_newer_documents_are_noticed() {
    let environment = Environment::from(SMALL);
    environment.call(&["run"]);
    for (file, command) in [
        ("dump/checkpoint.json", "plan"),
        ("dump/checkpoint.json", "convert"),
        ("plan/plan.json", "convert"),
        ("plan/plan.json", "push"),
        ("convert/checkpoint.json", "convert"),
        ("convert/checkpoint.json", "push"),
        ("push/checkpoint.json", "push"),
        ("push/checkpoint.json", "verify"),
    ] {
        let path = environment.workspace.dir().join(file);
        let whole = std::fs::read_to_string(&path).unwrap();
        assert!(whole.contains("note") && whole.contains("\"format\": 1"), "{file}: {whole}");
        let damages = [
            whole.replacen("note", "nose", 1),
            whole.replace("\"format\": 1", "\"format\": 999"),
            whole[..whole.len() / 2].to_owned(),
            "[]".to_owned(),
            String::new(),
        ];
        for damage in damages {
            std::fs::write(&path, &damage).unwrap();
            let run = environment.tool(command).arg("--json").run();
            assert_eq!(run.code(), Some(4), "{command} with a damaged {file}: {run:?}");
            let last = run.last_json();
            let code = if damage.contains("\"format\": 999") { "artifact-newer" } else { "artifact-damaged" };
            assert_eq!(last["code"], code, "{command} with a damaged {file}: {last}");
            assert!(!last["hint"].as_str().unwrap().is_empty(), "{last}");
        }
        std::fs::write(&path, whole).unwrap();
    }
    environment.call(&["run"]);
}

#[test]
fn stale_artifacts_are_noticed() {
    let environment = Environment::from(SMALL);
    environment.call(&["run"]);
    environment.source.execute("INSERT INTO note VALUES (3, 'c')");
    environment.call(&["dump"]);
    // The local PostgreSQL still holds the old rows: pushing or proving them would be a lie.
    refused(|| environment.tool("push"), 4).expect_text("convert");
    refused(|| environment.tool("verify"), 4);
    let status = environment.tool("status").run().expect_exit(0);
    assert!(status.stdout.contains("stale"), "{}", status.stdout);
    assert_eq!(environment.target.value("SELECT count(*) FROM note"), "2");
    environment.call(&["convert", "push", "verify"]);
    assert_eq!(environment.target.value("SELECT count(*) FROM note"), "3");
}

#[test]
fn findings_that_need_a_decision_stop_the_load() {
    let workspace = Workspace::new();
    let rule = "CREATE TABLE other (a); CREATE TABLE note (words TEXT CHECK (printf('%5s', words) <> 'x')); INSERT INTO note VALUES ('a')";
    let source = workspace.sqlite("rule.db", rule);
    workspace.tool("dump").arg("--source").arg(&source).run().expect_exit(0);
    workspace.tool("plan").run().expect_exit(1).expect_text("check-not-carried");
    refused(|| workspace.tool("convert"), 1);
    assert!(!workspace.dir().join("convert/checkpoint.json").exists(), "something was loaded");
    workspace.tool("convert").args(["--accept", "check-not-carried@other"]).run().expect_exit(1);
    workspace.tool("convert").args(["--accept", "check-not-carried@note"]).run().expect_exit(0);
    workspace.tool("verify").args(["--against", "local", "--level", "full"]).run().expect_exit(0);
}

#[test]
fn a_value_that_postgresql_cannot_hold_is_named_before_anything_is_loaded() {
    let workspace = Workspace::new();
    let source =
        workspace.sqlite("nul.db", "CREATE TABLE note (words TEXT); INSERT INTO note VALUES ('a'), ('a' || char(0))");
    workspace.tool("dump").arg("--source").arg(&source).run().expect_exit(0);
    let config = workspace.path().join("turso2neon.toml");
    std::fs::write(&config, "[columns.\"note.words\"]\nbad_text = \"fail\"\n").unwrap();
    for command in ["plan", "convert"] {
        let run = workspace.tool(command).args(["--accept", "all"]).run().expect_exit(5);
        run.expect_text("note.words").expect_text("rowid 2").expect_text("text");
    }
    assert!(!workspace.dir().join("convert/checkpoint.json").exists(), "something was loaded");
    std::fs::write(&config, "[columns.\"note.words\"]\ntype = \"bytea\"\n").unwrap();
    workspace.tool("convert").run().expect_exit(0);
    workspace.tool("verify").args(["--against", "local", "--level", "full"]).run().expect_exit(0);
}

#[test]
fn one_run_at_a_time_works_in_a_directory() {
    let environment = Environment::with_sample_db(1);
    environment.call(&["dump"]);
    let first = environment.tool("convert").spawn();
    // The lock is taken before anything else; a slow start is waited for.
    let lock = environment.workspace.dir().join("lock");
    let mut second = None;
    for _ in 0..2000 {
        if std::fs::read_to_string(&lock).is_ok_and(|text| text.trim() == first.pid().to_string()) {
            second = Some(environment.tool("convert").run());
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let pid = first.pid().to_string();
    let first = first.wait().expect_exit(0);
    let second = second.expect("the first run never held the lock");
    assert!(second.elapsed < first.elapsed, "the second run waited");
    second.expect_exit(8).expect_text("hint:").expect_text(&pid);
}

#[test]
fn a_local_server_that_does_not_answer_is_unreachable() {
    let environment = Environment::from(SMALL);
    environment.call(&["dump", "plan"]);
    let url = format!("postgresql://postgres@127.0.0.1:{}/postgres", free_port());
    let call = || environment.tool("convert").args(["--local-url", &url]);
    refused(call, 6);
    assert_eq!(call().arg("--json").run().last_json()["code"], "local-unreachable");
    assert!(!environment.workspace.dir().join("convert/checkpoint.json").exists(), "a load that never was is recorded");
}
