//! Tests that status and report are read from the artifacts alone: what they say follows from the digests in them.

use std::{fs, path::Path};

use serde_json::{Value, json};
use turso2neon::{
    model::{
        DumpCheckpoint, DumpMethod, Finding, FindingCode, LoadCheckpoint, Plan, PushCheckpoint, Severity,
        checkpoint::{LoadState, LocalServerRecord, PushedTable, TableRecord},
        overrides::Overrides,
    },
    stages::{
        report::{Report, Verdict, verify_record::VerifyRecord},
        status::{CheckpointState, Status, status},
        verify::{Against, TableVerdict, Verified, VerifyLevel},
    },
    workdir::{Workdir, modified_ns, sealed, sha256_of},
};

use crate::support::{Environment, Target, Tool, Workspace, plan_builder};

const TABLE: &str = "no<t>|e";

/// A finished migration of one table of three rows, as the stages would leave it.
struct Finished {
    workspace: Workspace,
    workdir: Workdir,
}

impl Finished {
    fn new() -> Self {
        let workspace = Workspace::new();
        let workdir = Workdir::create(&workspace.dir()).unwrap();
        for stage in ["dump", "plan", "convert", "push"] {
            workdir.subdir(stage).unwrap();
        }
        let finished = Self { workspace, workdir };
        finished.dump("three rows");
        finished.plan(Vec::new());
        finished.load(LoadState::Done);
        finished.push("2:3:77");
        finished.verify(Against::Both, 0);
        finished
    }

    fn dump(&self, content: &str) {
        let path = self.workdir.source_db();
        fs::write(&path, content).unwrap();
        let facts = fs::metadata(&path).unwrap();
        let checkpoint = DumpCheckpoint {
            format: 1,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            engine: "test".to_owned(),
            source: "https://shop.example".to_owned(),
            method: DumpMethod::Sql,
            left_out: Vec::new(),
            method_reason: "works everywhere".to_owned(),
            proof: vec!["one read transaction".to_owned()],
            consistency_mark: None,
            encoding: "UTF-8".to_owned(),
            user_version: 0,
            application_id: 0,
            size_bytes: facts.len(),
            sha256: sha256_of(&path).unwrap(),
            content_sha256: String::new(),
            modified_ns: modified_ns(&facts),
            stamp: None,
            rows: [(TABLE.to_owned(), 3)].into(),
            received_bytes: 30,
            started_s: 100,
            finished_s: 103,
        };
        sealed::store(&self.workdir.dump_checkpoint(), &checkpoint).unwrap();
    }

    fn plan(&self, findings: Vec<Finding>) {
        let table = json!({
            "source": TABLE, "name": "note", "rows": 3, "bytes": 30, "address": { "by": "rowid", "name": "rowid" },
            "columns": [
                { "source": "id", "name": "id", "declared": "INTEGER", "type": "bigint",
                  "conversion": { "how": "integer" }, "main_class": "integer", "rule": "integers stay integers",
                  "origin": "rule", "evidence": { "integers": 3 } },
                { "source": "seen", "name": "seen", "declared": "DATETIME", "type": "timestamptz",
                  "conversion": { "how": "epoch", "unit": "unix_ms" }, "main_class": "integer",
                  "rule": "integers that are milliseconds since 1970", "origin": "override",
                  "evidence": { "integers": 3 } }
            ]
        });
        let object = |kind: &str, name: &str, outcome: &str, reason: &str| json!({ "kind": kind, "source": name, "table": TABLE, "outcome": outcome, "reason": reason });
        let plan = Plan {
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            dump_sha256: self.workdir.load_dump().unwrap().sha256,
            overrides_sha256: Overrides::default().sha256(),
            objects: vec![
                serde_json::from_value(object("table", TABLE, "carried", "")).unwrap(),
                serde_json::from_value(object("view", "recent", "not-carried", "views are not translated")).unwrap(),
            ],
            findings,
            ..plan_builder::plan("public", vec![serde_json::from_value(table).unwrap()])
        };
        sealed::store(&self.workdir.plan_json(), &plan).unwrap();
    }

    fn load(&self, state: LoadState) {
        let record = TableRecord {
            rows: 3,
            sent_digest: "5eed".to_owned(),
            read_digest: "5eed".to_owned(),
            server_digest: "2:3:77".parse().ok(),
        };
        let checkpoint = LoadCheckpoint {
            format: 1,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            dump_sha256: self.workdir.load_dump().unwrap().sha256,
            plan_sha256: sha256_of(&self.workdir.plan_json()).unwrap(),
            local: LocalServerRecord::External { address: "here:5432/db".to_owned(), version: "15.1".to_owned() },
            state,
            tables: [(TABLE.to_owned(), record)].into(),
            dropped: Vec::new(),
            phases_ms: [("load".to_owned(), 1500)].into(),
            started_s: 110,
            finished_s: 112,
        };
        sealed::store(&self.workdir.convert_checkpoint(), &checkpoint).unwrap();
    }

    fn push(&self, digest: &str) {
        let server_digest = digest.parse().ok();
        let (sent_bytes, target_bytes) = (1234, Some(16_384));
        let pushed = PushedTable { rows: 3, server_digest, chunks: 1, sent_rows: 3, sent_bytes, target_bytes };
        let checkpoint = json!({
            "format": 1, "tool": env!("CARGO_PKG_VERSION"), "run_key": "key",
            "plan_sha256": sha256_of(&self.workdir.plan_json()).unwrap(), "target": "neon.example:5432/neondb",
            "schema": "public", "mode": "create", "replaced": [], "previous_schema": null, "state": "done",
            "tables": { TABLE: pushed }, "sent_bytes": 1234, "compared_bytes": 56, "phases_ms": { "load": 40 },
            "restore_point": "turso2neon-before-7", "account": { "why": "the target has none of these tables",
                "sent_rows": 3, "elapsed_ms": 2500, "kept": false, "tables_bytes": 16384, "database_bytes": 8_000_000 },
            "started_s": 120, "finished_s": 121,
        });
        let checkpoint: PushCheckpoint = serde_json::from_value(checkpoint).unwrap();
        sealed::store(&self.workdir.push_checkpoint(), &checkpoint).unwrap();
    }

    fn verify(&self, against: Against, difference_count: u64) {
        let verdict = |side: &str| TableVerdict {
            side: side.to_owned(),
            table: TABLE.to_owned(),
            rows: 3,
            equal: difference_count == 0,
        };
        let tables = match against {
            Against::Local => vec![verdict("local")],
            Against::Target => vec![verdict("target")],
            Against::Both => vec![verdict("local"), verdict("target")],
        };
        let at = |not: Against, path: &Path| if against == not { None } else { sha256_of(path).ok() };
        let record = VerifyRecord {
            format: 1,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            against,
            requested_tables: Vec::new(),
            dump_sha256: self.workdir.load_dump().unwrap().sha256,
            plan_sha256: sha256_of(&self.workdir.plan_json()).unwrap(),
            convert_sha256: at(Against::Target, &self.workdir.convert_checkpoint()),
            push_sha256: at(Against::Local, &self.workdir.push_checkpoint()),
            target: (against != Against::Local).then(|| "neon.example:5432/neondb".to_owned()),
            schema: (against != Against::Local).then(|| "public".to_owned()),
            verified: Verified { level: VerifyLevel::Full, tables, differences: Vec::new(), difference_count },
            finished_s: 130,
            elapsed_ms: 700,
            rejects_sha256: None,
            servers: None,
        };
        record.store(&self.workdir).unwrap();
    }

    /// Changes what the last verification says of itself.
    fn reverify(&self, change: impl Fn(&mut VerifyRecord)) {
        self.verify(Against::Both, 0);
        let mut record = VerifyRecord::load(&self.workdir).unwrap();
        change(&mut record);
        record.store(&self.workdir).unwrap();
    }

    fn status(&self) -> Status {
        status(&self.workdir, &[Overrides::default()])
    }

    #[track_caller]
    fn is(&self, expected: [CheckpointState; 5]) {
        let found: Vec<CheckpointState> = self.status().checkpoints.iter().map(|checkpoint| checkpoint.state).collect();
        assert_eq!(found, expected, "{:#?}", self.status());
        let next = expected.iter().position(|state| *state != CheckpointState::Current);
        assert_eq!(self.status().next, next.map(|index| self.status().checkpoints[index].stage));
    }

    #[track_caller]
    fn judged(&self, verdict: Verdict, because: &str) {
        let report = Report::build(&self.workdir).unwrap();
        assert_eq!(report.verdict, verdict, "{}", report.because);
        assert!(report.because.contains(because), "{}", report.because);
    }
}

use CheckpointState::{Blocked, Current, Different, Missing, Stale, Unfinished, Unusable};

#[test]
fn a_finished_migration_is_current_and_equal() {
    let done = Finished::new();
    done.is([Current; 5]);
    done.judged(Verdict::Equal, "level full");
}

#[test]
fn a_new_dump_makes_everything_after_it_stale() {
    let done = Finished::new();
    done.dump("four rows!");
    done.is([Current, Stale, Stale, Stale, Stale]);
    done.judged(Verdict::Incomplete, "no current plan");
}

#[test]
fn a_new_plan_makes_the_loads_stale() {
    let done = Finished::new();
    done.plan(vec![Finding::new(FindingCode::Advice, Severity::Info, "an index would help")]);
    done.is([Current, Current, Stale, Stale, Stale]);
    done.judged(Verdict::Incomplete, "doesn't hold this plan");
}

#[test]
fn another_configuration_makes_the_plan_stale() {
    let done = Finished::new();
    let other = Overrides { vector_extension: true, ..Overrides::default() };
    let state = |overrides: &[Overrides]| status(&done.workdir, overrides).checkpoints[1].state;
    assert_eq!(state(std::slice::from_ref(&other)), Stale);
    // Where only a server could tell, either is good.
    assert_eq!(state(&[other, Overrides::default()]), Current);
}

#[test]
fn a_plan_that_waits_says_so() {
    let done = Finished::new();
    let finding =
        Finding::new(FindingCode::OrphanRows, Severity::NeedsDecision, "3 rows have no parent").at_table(TABLE);
    done.plan(vec![finding]);
    done.is([Current, Blocked, Stale, Stale, Stale]);
    done.judged(Verdict::Incomplete, "1 finding needs a decision");
    let advice = done.status().advice;
    assert!(advice.contains("turso2neon plan"), "{advice}");
}

#[test]
fn an_interrupted_load_continues() {
    let done = Finished::new();
    done.load(LoadState::Loading);
    assert_eq!(done.status().checkpoints[2].state, Unfinished);
    done.judged(Verdict::Incomplete, "doesn't hold this plan yet");
}

#[test]
fn other_content_on_the_target_is_not_called_pushed() {
    let done = Finished::new();
    done.push("2:3:78");
    done.is([Current, Current, Current, Stale, Stale]);
    done.judged(Verdict::Incomplete, "the target doesn't hold");
}

#[test]
fn differences_and_half_a_verification_are_no_proof() {
    let done = Finished::new();
    done.verify(Against::Both, 2);
    done.is([Current, Current, Current, Current, Different]);
    done.judged(Verdict::Different, "2 differences");
    done.verify(Against::Local, 0);
    done.is([Current, Current, Current, Current, Stale]);
    done.judged(Verdict::Incomplete, "the target is not verified yet");
}

#[test]
fn a_verification_of_something_else_is_no_proof() {
    let done = Finished::new();
    let all_but_the_last = [Current, Current, Current, Current, Stale];
    done.reverify(|record| record.target = Some("other.example:5432/neondb".to_owned()));
    done.is(all_but_the_last);
    done.judged(Verdict::Incomplete, "not the database and schema pushed to");
    assert_eq!(Report::build(&done.workdir).unwrap().tables[0].target_equal, None);
    done.reverify(|record| record.schema = Some("app".to_owned()));
    done.is(all_but_the_last);
    done.judged(Verdict::Incomplete, "not the database and schema pushed to");
    // Before the last load or push, whatever the clock says; or before checkpoints were recorded.
    for digest in [Some(String::new()), None] {
        done.reverify(|record| record.convert_sha256.clone_from(&digest));
        done.is(all_but_the_last);
        done.judged(Verdict::Incomplete, "what was loaded is not verified yet");
        done.reverify(|record| record.push_sha256.clone_from(&digest));
        done.is(all_but_the_last);
        done.judged(Verdict::Incomplete, "the target is not verified yet");
    }
}

#[test]
fn counts_and_one_hop_are_no_proof() {
    let done = Finished::new();
    done.reverify(|record| record.verified.level = VerifyLevel::Counts);
    done.judged(Verdict::Incomplete, "only row counts");
    done.verify(Against::Target, 0);
    done.judged(Verdict::Incomplete, "only the target was compared");
}

#[test]
fn the_target_of_a_verification_is_the_one_that_was_connected_to() {
    let environment =
        Environment::from("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x')");
    environment.call(&["run"]);
    let other = Target::start();
    environment.tool("push").env("NEON_DATABASE_URL", other.url()).run().expect_exit(0);
    let verify = || environment.tool("verify").args(["--against", "both"]);
    let verdict = || {
        environment.call(&["report"]);
        environment.workspace.read_json("report.json")["verdict"].clone()
    };
    verify().run().expect_exit(0);
    assert_eq!(verdict(), json!("incomplete"));
    verify().env("NEON_DATABASE_URL", other.url()).run().expect_exit(0);
    assert_eq!(verdict(), json!("equal"));
}

#[test]
fn damage_and_absence_are_distinguished() {
    let done = Finished::new();
    fs::write(done.workdir.push_checkpoint(), "{}").unwrap();
    done.is([Current, Current, Current, Unusable, Stale]);
    assert!(Report::build(&done.workdir).is_err());
    fs::remove_file(done.workdir.push_checkpoint()).unwrap();
    done.is([Current, Current, Current, Missing, Current]);
    done.judged(Verdict::Incomplete, "nothing was pushed yet");
}

#[test]
fn the_report_holds_everything_and_lets_no_name_out() {
    let done = Finished::new();
    let finding = Finding::new(FindingCode::ViewNotCarried, Severity::Warning, "a <view> isn't carried")
        .at_table("recent")
        .with_sql("CREATE VIEW recent AS SELECT '<script>' FROM x");
    done.plan(vec![finding]);
    done.load(LoadState::Done);
    done.push("2:3:77");
    done.verify(Against::Both, 0);
    let run = done.workspace.tool("report").run().expect_exit(0);
    assert!(run.stdout.starts_with("# Migration report: equal\n"), "{}", run.stdout);
    for text in [
        "https://shop.example",
        "no\\<t>\\|e as note",
        "neon.example:5432/neondb",
        "one read transaction",
        "timestamptz",
        "milliseconds since 1970",
        "views are not translated",
        "SELECT '<script>' FROM x",
        "2:3:77",
        "level full: equal",
        "convert: load | 1.5 s",
        "mode: create: the target has none of these tables",
        "sent: 3 rows, 1.2 kB in 2.5 s",
        "compared: 56 B of hashes received",
        "on target: 16.3 kB with indexes; the whole database 8.0 MB",
        "turso2neon rollback --restore-point turso2neon-before-7",
        " | 3 | 1.2 kB | 16.3 kB |",
    ] {
        assert!(run.stdout.contains(text), "{text} is missing:\n{}", run.stdout);
    }
    assert!(!run.stdout.contains("| id |"), "a column that stays the same is listed");
    let html = done.workspace.tool("report").args(["--format", "html"]).run().expect_exit(0).stdout;
    assert!(!html.contains("<script>") && html.contains("&lt;script&gt;") && html.contains("no&lt;t&gt;|e"), "{html}");
    assert!(!html.contains("src=") && !html.contains("href="), "something is fetched from elsewhere");
    let report: Value = done.workspace.read_json("report.json");
    assert_eq!((&report["verdict"], &report["tables"][0]["target_equal"]), (&json!("equal"), &json!(true)));
    assert_eq!(
        (&report["target"]["account"]["sent_rows"], &report["tables"][0]["sent_bytes"]),
        (&json!(3), &json!(1234))
    );
    for text in ["the target has none of these tables", "3 rows, 1.2 kB in 2.5 s", "<td class=\"number\">16.3 kB</td>"]
    {
        assert!(html.contains(text), "{text} is missing:\n{html}");
    }
    assert_eq!(report["decisions"].as_array().map(Vec::len), Some(1), "{}", report["decisions"]);
    assert_eq!(done.workspace.read("report.html"), html);
}

#[test]
fn status_in_json_is_what_status_says() {
    let done = Finished::new();
    let last = done.workspace.tool("status").args(["--json"]).run().expect_exit(0).last_json();
    assert_eq!(last["answer"]["checkpoints"].as_array().map(Vec::len), Some(5), "{last}");
    assert_eq!(last["answer"]["next"], Value::Null);
    let nowhere = Tool::new(["status", "--json"]).run().expect_exit(0).last_json();
    assert_eq!(nowhere["answer"]["next"], "dump");
}

#[test]
fn the_report_begins_with_the_last_run() {
    let environment = crate::support::Environment::from(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v DECIMAL(10,2)); INSERT INTO t VALUES (1, 1.5), (2, 2.5); \
         CREATE TABLE same (id INTEGER PRIMARY KEY); CREATE VIRTUAL TABLE f USING fts5(x); INSERT INTO f VALUES ('y')",
    );
    let head = || {
        let text = environment.workspace.read("report.md");
        text.lines().take(10).map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    let expect = |parts: &[&str]| {
        let head = head();
        for part in parts {
            assert!(head.contains(part), "no `{part}` in\n{head}");
        }
    };
    let run = environment.tool("run").run().expect_exit(0);
    assert!(run.stdout.contains("3 tables created, 3 rows inserted"), "{}", run.stdout);
    expect(&["report: equal", "On the target: 3 tables created, 3 rows inserted", "first completed run"]);
    let report = environment.workspace.read("report.md");
    assert!(report.contains("3 of them loaded; not loaded") && report.contains("f_content"), "{report}");

    environment.source.execute("DELETE FROM t WHERE id = 1; UPDATE t SET v = 3; INSERT INTO t VALUES (7, 1), (8, 1)");
    let run = environment.tool("run").run().expect_exit(0);
    let effect = "2 rows inserted, 1 updated, 1 deleted in 1 of 3 tables";
    assert!(run.stdout.contains(effect), "{}", run.stdout);
    expect(&[effect, "rows in the source instead of"]);
    environment.call(&["run"]);
    expect(&["On the target: nothing was changed", "the same number of rows, columns, types and findings"]);

    // A run that failed is the last run, whatever the stages before it were.
    environment.target.execute_as_owner("DELETE FROM t WHERE id = 7");
    environment.tool("run").run().expect_exit(8);
    expect(&["report: failed", "failed at stage push (target-drifted)", "the last completed run ended at"]);
    let html = environment.workspace.read("report.html");
    assert!(html.contains("failed at stage push (target-drifted)"), "{html}");
    environment.tool("report").run().expect_exit(0);
    expect(&["report: failed"]);
    environment.tool("run").args(["--on-drift", "overwrite"]).run().expect_exit(0);
    expect(&["report: equal", "1 row inserted, 0 updated, 0 deleted in 1 of 3 tables", "the same number of rows"]);
}
