//! What users of the target rely on does not change without a decision: types, nullability, keys, and what is there.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Run, Target, Tool, Workspace, fixture::sqlite};

/// A file as source, a target, and a directory.
struct Nightly {
    workspace: Workspace,
    target: Target,
    source: PathBuf,
}

impl Nightly {
    /// After a first run.
    fn after(script: &str) -> Self {
        let workspace = Workspace::new();
        let source = workspace.sqlite("shop.db", script);
        let nightly = Self { workspace, target: Target::start(), source };
        nightly.run(&[]).expect_exit(0);
        nightly
    }

    fn tool(&self, workspace: &Workspace, command: &str) -> Tool {
        let tool = workspace.tool(command).env("NEON_DATABASE_URL", self.target.url());
        tool.env("TURSO_DATABASE_URL", &self.source).arg("--json")
    }

    fn call(&self, command: &str, flags: &[&str]) -> Run {
        self.tool(&self.workspace, command).args(flags).run()
    }

    fn run(&self, flags: &[&str]) -> Run {
        self.call("run", flags)
    }

    fn column_type(&self, column: &str) -> String {
        self.target.value(&format!(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'prices'::regclass AND attname = '{column}'"
        ))
    }
}

/// The changes that were reported as events.
fn changes(run: &Run) -> Vec<Value> {
    run.json_lines().into_iter().filter(|line| line["type"] == "structure-changed").collect()
}

/// The call stopped for want of a decision, and reported changes of these parts and objects.
#[track_caller]
fn undecided(run: Run, expected: &[(&str, &str)]) -> Value {
    let run = run.expect_exit(1);
    let found = changes(&run);
    let mut found: Vec<(&str, String)> = found
        .iter()
        .map(|change| {
            let member = change["member"].as_str().map(|member| format!(".{member}")).unwrap_or_default();
            (change["part"].as_str().unwrap(), format!("{}{member}", change["object"].as_str().unwrap()))
        })
        .collect();
    found.sort();
    let mut expected: Vec<(&str, String)> = expected.iter().map(|(part, place)| (*part, (*place).to_owned())).collect();
    expected.sort();
    assert_eq!(found, expected);
    let last = run.last_json();
    assert_eq!(last["code"], "type-changed", "{last}");
    assert!(last["hint"].as_str().unwrap().contains("--on-type-change follow"), "{last}");
    last
}

const PRICES: &str = "CREATE TABLE prices (id INTEGER PRIMARY KEY, amount DECIMAL(10,2) NOT NULL); \
     INSERT INTO prices (amount) VALUES (1.5), (2.25)";
const LINE: &str = "prices.amount: numeric(10,2) -> text, because of 1 value (first at rowid 3)";

#[test]
fn one_odd_value_changes_no_type_until_somebody_decides() {
    let nightly = Nightly::after(PRICES);
    sqlite(&nightly.source, "INSERT INTO prices (amount) VALUES ('n/a')");
    let loaded = nightly.workspace.read("convert/checkpoint.json");
    let last = undecided(nightly.run(&[]), &[("type", "prices.amount")]);
    assert!(last["message"].as_str().unwrap().contains(LINE), "{last}");
    assert!(!last.to_string().contains("n/a"), "{last}");
    assert_eq!(nightly.workspace.read("convert/checkpoint.json"), loaded, "everything was loaded before the stop");
    // A push by itself stops before it writes, and a dry run says the same.
    nightly.call("convert", &[]).expect_exit(0);
    let record = nightly.target.content("turso2neon");
    for flags in [&["--dry-run"][..], &[], &["--mode", "swap"], &["--mode", "replace"], &["--fresh"]] {
        let last = undecided(nightly.call("push", flags), &[("type", "prices.amount")]);
        assert!(last["message"].as_str().unwrap().contains(LINE), "{flags:?}: {last}");
    }
    assert_eq!(nightly.target.content("turso2neon"), record);
    assert_eq!(nightly.column_type("amount"), "numeric(10,2)");
    // Another machine has the record on the target alone.
    let elsewhere = Workspace::new();
    undecided(nightly.tool(&elsewhere, "run").run(), &[("type", "prices.amount")]);
    // For people, one line for each change.
    let shown =
        Tool::new(["push", "--dir"]).arg(nightly.workspace.dir()).env("NEON_DATABASE_URL", nightly.target.url());
    let shown = shown.arg("-q").run().expect_exit(1);
    assert!(shown.stderr.contains(&format!("warning: {LINE}\n")), "{}", shown.stderr);
    let dry = nightly.call("push", &["--dry-run", "--on-type-change", "follow"]).expect_exit(0).last_json();
    assert!(dry["answer"]["dry-run"].to_string().contains(LINE), "{dry}");
    let followed = nightly.run(&["--on-type-change", "follow"]).expect_exit(0);
    assert_eq!(changes(&followed).len(), 1);
    let plan = &followed.last_json()["answer"]["push"]["checkpoint"]["plan"];
    assert_eq!((&plan["on_type_change"], &plan["changes"][0]["after"]), (&"follow".into(), &"text".into()), "{plan}");
    assert_eq!(nightly.column_type("amount"), "text");
    assert!(nightly.workspace.read("push/checkpoint.json").contains("of 1 value (first at rowid 3)"));
    assert!(
        nightly.workspace.read("report.md").contains("numeric(10,2) -> text"),
        "the report does not name the change"
    );
    nightly.run(&[]).expect_exit(0);
}

#[test]
fn the_line_that_the_hint_names_keeps_the_type() {
    let nightly = Nightly::after(PRICES);
    sqlite(&nightly.source, "INSERT INTO prices (amount) VALUES ('n/a')");
    let last = undecided(nightly.run(&[]), &[("type", "prices.amount")]);
    let line = last["hint"].as_str().unwrap().split('`').nth(1).unwrap().to_owned();
    std::fs::write(nightly.workspace.path().join("turso2neon.toml"), line).unwrap();
    nightly.run(&["--accept", "type-does-not-fit"]).expect_exit(0);
    assert_eq!(
        (nightly.column_type("amount").as_str(), nightly.target.value("SELECT count(*) FROM prices").as_str()),
        ("numeric(10,2)", "2")
    );
}

#[test]
fn a_record_that_an_earlier_version_left_is_compared_by_the_catalog() {
    let nightly = Nightly::after(
        "CREATE TABLE parents (id INTEGER PRIMARY KEY); INSERT INTO parents VALUES (1); \
         CREATE TABLE prices (id INTEGER PRIMARY KEY, amount DECIMAL(10,2) NOT NULL, code TEXT UNIQUE, \
           parent INTEGER REFERENCES parents (id), born DATETIME, free VARCHAR(9)); \
         CREATE INDEX by_amount ON prices (amount); CREATE UNIQUE INDEX by_free ON prices (free); \
         INSERT INTO prices VALUES (1, 1.5, 'a', 1, '2024-02-29 12:34:56', 'x'), (2, 2.25, 'b', 1, NULL, NULL)",
    );
    nightly.target.query("ALTER TABLE turso2neon.tables DROP COLUMN contract");
    nightly.run(&[]).expect_exit(0);
    // Every table gets another fingerprint, and none another contract.
    let config = nightly.workspace.path().join("turso2neon.toml");
    std::fs::write(&config, "[sql]\nafter = ['SELECT 1']").unwrap();
    nightly.run(&[]).expect_exit(0);
    nightly.target.query("ALTER TABLE turso2neon.tables DROP COLUMN contract");
    sqlite(&nightly.source, "INSERT INTO prices (amount) VALUES ('n/a')");
    let last = undecided(nightly.run(&[]), &[("type", "prices.amount")]);
    assert!(last["message"].as_str().unwrap().contains(LINE), "{last}");
}

#[test]
fn every_kind_of_change_is_named_and_additions_are_none() {
    let nightly = Nightly::after(
        "CREATE TABLE parents (id INTEGER PRIMARY KEY); INSERT INTO parents VALUES (1); \
         CREATE TABLE leaving (id INTEGER PRIMARY KEY); \
         CREATE TABLE prices (id INTEGER PRIMARY KEY, code TEXT NOT NULL, parent INTEGER REFERENCES parents (id), \
           old TEXT, note TEXT, UNIQUE (code, note)); \
         CREATE INDEX by_note ON prices (note); INSERT INTO prices VALUES (1, 'a', 1, 'o', 'n'); \
         CREATE VIEW codes AS SELECT code FROM prices; \
         CREATE TRIGGER noted AFTER INSERT ON prices BEGIN UPDATE prices SET note = 'x' WHERE id = 99; END",
    );
    sqlite(
        &nightly.source,
        "DROP VIEW codes; DROP TABLE leaving; ALTER TABLE prices RENAME TO before; \
         CREATE TABLE prices (id INTEGER PRIMARY KEY, code TEXT, parent INTEGER, note TEXT, more TEXT UNIQUE, \
           UNIQUE (code)); \
         INSERT INTO prices SELECT id, code, parent, note, NULL FROM before; DROP TABLE before; \
         CREATE INDEX by_more ON prices (more); CREATE TABLE arriving (id INTEGER PRIMARY KEY)",
    );
    undecided(
        nightly.run(&[]),
        &[
            ("table", "leaving"),
            ("column", "prices.old"),
            ("nullability", "prices.code"),
            ("unique", "prices.prices_code_key"),
            ("unique", "prices.prices_code_note_key"),
            ("foreign-key", "prices.prices_parent_fkey"),
            ("index", "prices.by_note"),
            ("view", "codes"),
            ("trigger", "noted"),
        ],
    );
    nightly.run(&["--on-type-change", "follow"]).expect_exit(0);
    // New tables, columns, indexes and views concern nobody.
    sqlite(
        &nightly.source,
        "ALTER TABLE prices ADD COLUMN later TEXT; CREATE INDEX by_later ON prices (later, code); \
         CREATE TABLE last (id INTEGER PRIMARY KEY, price INTEGER REFERENCES prices (id)); \
         CREATE VIEW codes AS SELECT code FROM prices",
    );
    let run = nightly.run(&[]).expect_exit(0);
    assert!(changes(&run).is_empty());
    assert_eq!(nightly.target.value("SELECT count(*) FROM codes"), "1");
}

const VIEW: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'); \
     CREATE INDEX shuffled ON t (printf('%.3g', id)); CREATE VIEW odd AS SELECT total_changes() AS n FROM t";

#[test]
fn what_is_not_carried_is_in_the_answer_and_strict_requires_a_decision() {
    let nightly = Nightly::after(VIEW);
    let names = |list: &Value| -> Vec<String> {
        let names = list.as_array().unwrap().iter().map(|object| format!("{} {}", object["kind"], object["source"]));
        names.map(|name| name.replace('"', "")).collect()
    };
    for command in ["convert", "push", "run"] {
        let answer = nightly.call(command, &[]).expect_exit(0).last_json();
        assert_eq!(names(&answer["answer"]["not-carried"]), ["index shuffled", "view odd"], "{command}: {answer}");
    }
    let shown = nightly.workspace.tool("convert").run().expect_exit(0);
    assert!(shown.stdout.contains("Not carried (2)\n  index shuffled of t: "), "{}", shown.stdout);
    assert!(shown.stdout.contains("\n  view odd: "), "{}", shown.stdout);
    for (command, flags) in [("plan", &["--strict"][..]), ("convert", &["--strict"]), ("run", &["--strict"])] {
        let last = nightly.call(command, flags).expect_exit(1).last_json();
        assert_eq!(last["code"], "plan-blocked", "{command}: {last}");
    }
    let accept = ["--accept", "view-not-carried@odd", "--accept", "index-not-carried@t.shuffled"];
    nightly.run(&[&["--strict"][..], &accept].concat()).expect_exit(0);
    std::fs::write(nightly.workspace.path().join("turso2neon.toml"), "strict = true").unwrap();
    let plan = nightly.call("plan", &[]).expect_exit(0).last_json();
    assert_eq!((&plan["answer"]["unchanged"], &plan["answer"]["blocking"]), (&true.into(), &0.into()), "{plan}");
    nightly.call("plan", &["--fresh"]).expect_exit(1);
}
