//! Tests the command line: help, exit codes, settings, signals, and what never reaches a screen.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read,
    net::TcpListener,
    time::Duration,
};

use clap::CommandFactory;
use serde_json::Value;
use turso2neon::{
    cli::{args::Args, config_file},
    error::Kind,
    secret::Secret,
};

use crate::support::{Environment, Target, Tool, Workspace, process::free_port, target};

const SMALL: &str =
    "CREATE TABLE note (id INTEGER PRIMARY KEY, words TEXT); INSERT INTO note VALUES (1, 'a'), (2, 'b')";

/// A workspace with a dump of two rows.
pub(super) fn dumped() -> Workspace {
    let workspace = Workspace::new();
    let source = workspace.sqlite("small.db", SMALL);
    workspace.tool("dump").arg("--source").arg(source).run().expect_exit(0);
    workspace
}

fn document(name: &str) -> String {
    fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The exit codes and the codes of the tables in the section "Exit codes".
fn documented_codes(text: &str) -> (BTreeSet<u8>, BTreeMap<String, u8>) {
    let (_, section) = text.split_once("## Exit codes").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut exits = BTreeSet::new();
    let mut codes = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let Ok(exit) = cells[0].parse::<u8>() else { continue };
        exits.insert(exit);
        for code in cells[1].split(", ").filter_map(|cell| cell.strip_prefix('`')?.strip_suffix('`')) {
            codes.insert(code.to_owned(), exit);
        }
    }
    (exits, codes)
}

/// The commands and flags of the whole tree.
fn tree() -> BTreeMap<String, BTreeSet<String>> {
    let flags =
        |command: &clap::Command| command.get_arguments().filter_map(|arg| arg.get_long()).map(str::to_owned).collect();
    let mut root = Args::command();
    root.build();
    root.get_subcommands().map(|command| (command.get_name().to_owned(), flags(command))).collect()
}

#[test]
fn help_names_every_command_and_no_value_of_the_environment() {
    let help = Tool::new(["--help"]).run().expect_exit(0);
    for command in tree().keys() {
        assert!(help.stdout.contains(&format!("\n  {command}  ")), "{command} is not in the help");
    }
    for command in ["dump", "push", "convert", "run", "doctor"] {
        let help = Tool::new([command, "--help"])
            .env("TURSO_DATABASE_URL", "libsql://canary-host")
            .env("TURSO_AUTH_TOKEN", "canary-token")
            .env("NEON_DATABASE_URL", "postgres://canary-user")
            .env("TURSO2NEON_LOCAL_URL", "postgres://canary-local")
            .env("TURSO2NEON_DIR", "/canary-dir")
            .run()
            .expect_exit(0);
        assert!(!help.stdout.contains("canary"), "{}", help.stdout);
    }
    let version = Tool::new(["--version"]).run().expect_exit(0);
    assert_eq!(version.stdout.trim(), concat!("turso2neon ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn nothing_typed_shows_the_help_as_an_error() {
    let run = Tool::new::<&str>([]).run().expect_exit(2);
    assert!(run.stdout.is_empty() && run.stderr.contains("Usage: turso2neon"), "{run:?}");
}

#[test]
fn the_documented_exit_codes_are_those_of_the_code() {
    let expected_exits: BTreeSet<u8> = Kind::ALL.iter().map(|kind| kind.exit()).chain([0]).collect();
    let expected_codes: BTreeMap<String, u8> =
        Kind::ALL.iter().map(|kind| (kind.code().to_owned(), kind.exit())).collect();
    let (exits, _) = documented_codes(&document("README.md"));
    assert_eq!(exits, expected_exits, "README.md");
    let (exits, codes) = documented_codes(&document("docs/output.md"));
    assert_eq!(exits, expected_exits, "docs/output.md");
    assert_eq!(codes, expected_codes, "docs/output.md");
}

#[test]
fn every_flag_has_a_key_of_its_name() {
    let flags: BTreeSet<String> = tree().into_values().flatten().collect();
    // The last five are consents and questions of one call; `accept` is a table.
    let unkeyed = ["config", "help", "version", "accept", "force-table", "restore-point", "list", "apply", "rename"];
    let keys: BTreeSet<String> = config_file::keys().into_iter().collect();
    for flag in flags.iter().filter(|flag| !unkeyed.contains(&flag.as_str())) {
        assert!(keys.contains(flag), "--{flag} has no key");
    }
    for key in &keys {
        assert!(flags.contains(key), "the key {key} has no flag");
    }
}

#[test]
fn arguments_that_can_hold_a_secret_have_a_parser_that_cannot_fail() {
    let mut root = Args::command();
    root.build();
    let mut secrets = 0;
    for command in root.get_subcommands() {
        for arg in command.get_arguments() {
            let name = arg.get_id().as_str();
            let secret = arg.get_value_parser().type_id() == TypeId::of::<Secret<String>>();
            let dangerous = name == "source" || name == "target" || name.contains("url") || name.contains("token");
            // The token's file is a path; its messages don't name it.
            assert!(secret || !dangerous || name == "auth_token_file", "{} {name}", command.get_name());
            assert!(arg.get_env().is_none(), "{} {name} is read from the environment by clap", command.get_name());
            secrets += u32::from(secret);
        }
    }
    assert!(secrets >= 8, "only {secrets} arguments can hold a secret");
}

/// Exit code 2, nothing on stdout, an error and a hint on stderr; the same in JSON. Nothing is left behind.
#[track_caller]
fn is_usage(args: &[&str], said: &str) {
    let workspace = Workspace::new();
    let call = || Tool::new(args).current_dir(workspace.path());
    let run = call().run().expect_exit(2).expect_text("hint: ").expect_text(said);
    assert!(run.stdout.is_empty() && run.stderr.starts_with("error: "), "{run:?}");
    let last = call().arg("--json").run().expect_exit(2).last_json();
    assert_eq!((last["type"].as_str(), last["exit"].as_u64()), (Some("error"), Some(2)), "{last}");
    assert_eq!(fs::read_dir(workspace.path()).unwrap().count(), 0, "{args:?} left something");
}

#[test]
fn what_makes_no_sense_is_exit_2() {
    is_usage(&["dmup"], "did you mean `dump`?");
    is_usage(&["dump"], "TURSO_DATABASE_URL");
    is_usage(&["dump", "--source", ""], "--source is empty");
    is_usage(&["dump", "--source", "a", "--source", "b"], "--source is given twice");
    is_usage(&["dump", "--source", "x.db", "--auth-token-file", "/nowhere/token"], "--auth-token-file");
    is_usage(&["run", "--source", "x.db"], "NEON_DATABASE_URL");
    is_usage(&["push"], "NEON_DATABASE_URL");
    is_usage(&["push", "--target", ""], "--target is empty");
    is_usage(&["push", "--target", "x", "--mode", "replce"], "replace");
    is_usage(&["push", "--neon-project", "p"], "NEON_API_KEY");
    is_usage(&["push", "--target", "x", "--jobs", "0"], "from 1 to 256");
    is_usage(&["push", "--target", "x", "--schema", ""], "--schema");
    is_usage(&["convert", "--schema-only", "--data-only"], "exclude each other");
    is_usage(&["convert", "--accept", "orphans"], "orphan-rows");
    is_usage(&["plan", "--explain", "a", "--format", "sql"], "exclude each other");
    is_usage(&["verify", "--level", "deep"], "full");
    is_usage(&["rollback"], "NEON_DATABASE_URL");
    is_usage(&["status", "-q", "-v"], "exclude each other");
    is_usage(&["status", "--config", "nowhere.toml"], "nowhere.toml");
    is_usage(&["completions", "basic"], "bash");
}

#[test]
fn documents_travel_inside_json_too() {
    let workspace = dumped();
    for (command, format, begin) in
        [("plan", "sql", "-- "), ("plan", "md", "# "), ("report", "html", "<!doctype html>"), ("report", "md", "# ")]
    {
        let plain = workspace.tool(command).args(["--format", format]).run().expect_exit(0);
        let last = workspace.tool(command).args(["--json", "--format", format]).run().expect_exit(0).last_json();
        let text = last["answer"]["text"].as_str().unwrap();
        assert!(plain.stdout.starts_with(begin) && text.starts_with(begin), "{}", plain.stdout);
        assert_eq!(last["answer"]["format"], format);
    }
    let plan = workspace.tool("plan").args(["--format", "json"]).run().expect_exit(0);
    let printed: Value = serde_json::from_str(&plan.stdout).unwrap();
    assert_eq!(printed["tables"][0]["rows"], 2);
    assert_eq!(plan.stdout, workspace.read("plan/plan.json"));
    let last = workspace.tool("report").args(["--json", "--format", "json"]).run().expect_exit(0).last_json();
    assert_eq!(last["answer"]["source"]["rows"], 2, "{last}");
}

#[test]
fn a_wrong_configuration_is_exit_2_and_is_not_quoted() {
    let workspace = Workspace::new();
    let config = workspace.path().join("turso2neon.toml");
    for (text, said) in [
        ("taget = 'canary'", "did you mean `target`?"),
        ("target = 'canary", "line 1"),
        ("jobs = 'canary'", "from 1 to 256"),
        ("mode = 'canary'", "auto, create"),
        ("[columns.users]\ntype = 'text'", "table.column"),
        ("[types]\nmoney = 'canary(2,'", "PostgreSQL type"),
        ("[accept]\norphan-row = ['x']", "orphan-rows"),
        ("sample = 3", "not in this version"),
    ] {
        fs::write(&config, text).unwrap();
        let run = workspace.tool("status").run().expect_exit(2).expect_text(said).expect_text("turso2neon.toml");
        assert!(!run.stderr.contains("canary") || text.starts_with("[types]"), "{text}: {}", run.stderr);
    }
    fs::write(&config, "").unwrap();
    workspace.tool("status").run().expect_exit(0);
}

#[test]
fn flag_environment_file_default_in_this_order() {
    let workspace = Workspace::new();
    let source = workspace.sqlite("small.db", SMALL);
    fs::write(workspace.path().join("turso2neon.toml"), "dir = 'from-file'\nsource = 'small.db'\n").unwrap();
    let call = || Tool::new(["dump"]).current_dir(workspace.path());
    let made = |name: &str| workspace.path().join(name).join("dump/source.db").exists();
    call().run().expect_exit(0);
    assert!(made("from-file"));
    call().env("TURSO2NEON_DIR", "from-environment").run().expect_exit(0);
    assert!(made("from-environment"));
    call().env("TURSO2NEON_DIR", "unused").args(["--dir", "from-flag"]).run().expect_exit(0);
    assert!(made("from-flag") && !made("unused"));
    call().env("TURSO2NEON_DIR", "").env("TURSO_DATABASE_URL", "").run().expect_exit(0);
    call().env("TURSO_DATABASE_URL", "missing.db").run().expect_exit(3);
    call().env("TURSO_DATABASE_URL", "missing.db").arg("--source").arg(&source).run().expect_exit(0);
    fs::write(workspace.path().join("other.toml"), "dir = 'from-other'\nsource = 'small.db'\n").unwrap();
    call().args(["--config", "other.toml"]).run().expect_exit(0);
    assert!(made("from-other"));
}

#[test]
fn each_side_has_its_exit_code() {
    let workspace = dumped();
    let nobody = format!("postgresql://u:p@127.0.0.1:{}/d", free_port());
    workspace.tool("dump").args(["--source", "missing.db"]).run().expect_exit(3).expect_text("missing.db");
    Tool::new(["report", "--dir", "nowhere"]).run().expect_exit(4).expect_text("turso2neon dump");
    Tool::new(["doctor", "--pg-bin", "/nowhere"]).run().expect_exit(6).expect_text("/nowhere");
    workspace.tool("doctor").args(["--target", &nobody]).run().expect_exit(7).expect_text("target");
    // The first failing side decides.
    workspace.tool("doctor").args(["--source", "missing.db", "--target", &nobody]).run().expect_exit(3);
    let lock = File::options().write(true).open(workspace.dir().join("lock")).unwrap();
    lock.lock().unwrap();
    let locked = workspace.tool("dump").args(["--source", "small.db"]).run().expect_exit(8);
    assert!(locked.stderr.contains("at work"), "{}", locked.stderr);
    workspace.tool("clean").arg("--yes").run().expect_exit(8);
    workspace.tool("status").run().expect_exit(0);
}

#[test]
fn an_unwritable_directory_is_exit_4() {
    let workspace = Workspace::new();
    workspace.sqlite("small.db", SMALL);
    let file = workspace.path().join("file");
    fs::write(&file, "").unwrap();
    let run = Tool::new(["dump", "--source", "small.db", "--dir", "file"]).current_dir(workspace.path()).run();
    run.expect_exit(4).expect_text("file");
}

#[test]
fn the_first_ctrl_c_is_exit_130_with_the_way_on() {
    // A server that takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let workspace = Workspace::new();
    let source = format!("http://{}", silent.local_addr().unwrap());
    for json in [false, true] {
        let tool = workspace.tool("dump").args(["--source", &source]);
        let running = if json { tool.arg("--json").spawn() } else { tool.spawn() };
        let (mut stream, _) = silent.accept().unwrap();
        // The request has begun, so the tool is past its start.
        stream.read_exact(&mut [0; 4]).unwrap();
        running.interrupt();
        let run = running.wait().expect_exit(130);
        if json {
            let last = run.last_json();
            assert_eq!((last["type"].as_str(), last["code"].as_str()), (Some("error"), Some("interrupted")), "{last}");
        } else {
            run.expect_text("hint: run the same command again");
        }
    }
}

#[test]
fn a_signal_that_comes_before_the_work_begins_is_exit_130_too() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("http://{}", silent.local_addr().unwrap());
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM].repeat(5) {
        let workspace = Workspace::new();
        let mut running = workspace.tool("dump").args(["--source", &source]).spawn();
        // The directory is the first thing that it makes.
        while !workspace.dir().exists() && !running.ended() {
            std::thread::yield_now();
        }
        running.signal(signal);
        running.wait().expect_exit(130).expect_text("hint: run the same command again");
    }
}

#[test]
fn clean_removes_its_own_and_asks_first() {
    let workspace = dumped();
    fs::write(workspace.dir().join("notes.txt"), "mine").unwrap();
    workspace.tool("clean").run().expect_exit(2).expect_text("--yes");
    assert!(workspace.dir().join("dump/source.db").exists());
    workspace.tool("clean").arg("--yes").run().expect_exit(0).expect_text("notes.txt");
    let left: Vec<_> = fs::read_dir(workspace.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["notes.txt"]);
    fs::remove_file(workspace.dir().join("notes.txt")).unwrap();
    workspace.tool("clean").arg("--yes").run().expect_exit(0);
    assert!(!workspace.dir().exists());
}

#[test]
fn doctor_and_status_leave_nothing_behind() {
    let workspace = Workspace::new();
    workspace.sqlite("small.db", SMALL);
    let call = |command: &str| workspace.tool(command).timeout(Duration::from_secs(60));
    let doctor = call("doctor").args(["--source", "small.db"]).run().expect_exit(0);
    for word in ["directory", "source", "local", "target"] {
        assert!(doctor.stdout.contains(word), "{}", doctor.stdout);
    }
    let status = call("status").run().expect_exit(0);
    assert!(
        status.stdout.contains("missing") && status.stdout.contains("next: `turso2neon dump`"),
        "{}",
        status.stdout
    );
    assert!(!workspace.dir().exists());
}

#[test]
fn the_shell_and_the_manual_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Tool::new(["completions", shell]).run().expect_exit(0);
        assert!(script.stdout.contains("keep-running"), "{shell}");
    }
    let manual = Tool::new(["man"]).run().expect_exit(0);
    assert!(manual.stdout.contains(".TH turso2neon"), "{}", manual.stdout);
    for command in tree().keys() {
        assert!(manual.stdout.contains(&format!("COMMAND {}", command.to_uppercase())), "{command}");
    }
}

#[test]
fn verify_looks_where_it_was_pushed() {
    let environment = Environment::from(SMALL);
    environment.call(&["dump", "convert"]);
    environment.tool("push").args(["--schema", "moved"]).run().expect_exit(0);
    let run = environment.tool("verify").run().expect_exit(0);
    assert!(run.stdout.contains("Equal at level full"), "{}", run.stdout);
    environment.target.query("UPDATE moved.note SET words = 'z' WHERE id = 2");
    let run = environment.tool("verify").run().expect_exit(1);
    for word in ["Different", "note", "words", "target"] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    assert!(run.stderr.contains("error: verify: 1 difference in 1 table"), "{}", run.stderr);
    let last = environment.tool("verify").arg("--json").run().expect_exit(1).last_json();
    assert_eq!((last["type"].as_str(), last["code"].as_str()), (Some("result"), Some("different")), "{last}");
    let status = environment.tool("status").run().expect_exit(0);
    assert!(status.stdout.contains("different"), "{}", status.stdout);
}

#[test]
fn a_run_looks_ahead_and_reports_to_github() {
    let workspace = Workspace::new();
    let target = Target::start();
    workspace.sqlite("small.db", SMALL);
    let summary = workspace.path().join("summary.md");
    let run = |url: String| {
        let tool = workspace.tool("run").args(["--source", "small.db", "--no-progress"]).env("NEON_DATABASE_URL", url);
        tool.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", &summary).run()
    };
    run(target.url().replace(target::PASSWORD, "wrong-password"))
        .expect_exit(7)
        .expect_text("::error title=turso2neon push");
    assert!(!workspace.dir().join("dump").exists(), "hours were spent before the password was tried");
    assert!(fs::read_to_string(&summary).unwrap().contains("turso2neon run failed"));
    fs::remove_file(&summary).unwrap();
    let done = run(target.url()).expect_exit(0);
    for word in ["dump ", "plan ", "convert ", "push ", "equal, every hop, level full", "report.html"] {
        assert!(done.stdout.contains(word), "{word}: {}", done.stdout);
    }
    assert!(fs::read_to_string(&summary).unwrap().starts_with("# Migration report: equal"));
    let again = run(target.url()).expect_exit(0);
    assert_eq!(again.stdout.matches("unchanged: ").count(), 4, "{}", again.stdout);
}
