//! Objects that only the loaded rows can prove, through dump, plan, convert and verify.

use serde_json::Value;
use turso2neon::{
    model::{Plan, TablePlan},
    workdir::{Workdir, sealed},
};

use crate::support::{PgVersion, Target, Workspace};

/// A source, a DIR and the server that is loaded.
pub(super) struct Loaded {
    pub(super) workspace: Workspace,
    pub(super) local: Target,
}

impl Loaded {
    /// Dumps and plans what the script makes.
    pub(super) fn plan(script: &str) -> Self {
        Self::plan_on(Target::start(), script, "")
    }

    /// The same with a server and a configuration.
    pub(super) fn plan_on(local: Target, script: &str, config: &str) -> Self {
        let workspace = Workspace::new();
        let source = workspace.sqlite("app.db", script);
        std::fs::write(workspace.path().join("turso2neon.toml"), config).unwrap();
        let loaded = Self { workspace, local };
        loaded.workspace.tool("dump").args(["--source".as_ref(), source.as_os_str()]).run().expect_exit(0);
        loaded.call("plan", &["--accept", "all"]);
        loaded
    }

    pub(super) fn call(&self, command: &str, more: &[&str]) {
        self.workspace.tool(command).args(more).run().expect_exit(0);
    }

    pub(super) fn convert(&self) {
        self.call("convert", &["--accept", "all", "--local-url", &self.local.admin_url()]);
    }

    /// Compares everything with the dump, the schema included.
    pub(super) fn verify(&self) {
        let url = self.local.admin_url();
        self.call("verify", &["--against", "local", "--level", "full", "--local-url", &url]);
    }

    pub(super) fn stored_plan(&self) -> Plan {
        Workdir::create(&self.workspace.dir()).unwrap().load_plan().unwrap()
    }

    /// Puts mistakes into the plan.
    fn damage(&self, table: &str, change: impl FnOnce(&mut TablePlan)) {
        let mut plan = self.stored_plan();
        change(plan.tables.iter_mut().find(|found| found.source == table).unwrap());
        sealed::store(&self.workspace.dir().join("plan/plan.json"), &plan).unwrap();
    }

    /// Kind, source name and reason of what was dropped.
    fn dropped(&self) -> Vec<(String, String, String)> {
        let text = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        let checkpoint = self.workspace.read_json("convert/checkpoint.json");
        let list = checkpoint["withheld"].as_array().cloned().unwrap_or_default();
        list.iter().map(|one| (text(one, "kind"), text(one, "source"), text(one, "reason"))).collect()
    }
}

const GENERATED: &str = "
    CREATE TABLE g(id INTEGER PRIMARY KEY, a INT, b INT, t TEXT, r REAL,
        s INT AS (a + b) STORED, v INT AS (s * 2) VIRTUAL, w TEXT AS (lower(t) || '-' || a), n INT NOT NULL AS (length(t)),
        neg BOOLEAN AS (a < 0), q REAL AS (a / b), up TEXT AS (upper(t)) UNIQUE, text_of_real TEXT AS (r || ''));
    INSERT INTO g(a, b, t, r) VALUES (1, 2, 'Hello', 1.5), (NULL, 3, 'ÄÖ x', NULL), (-5, 0, '', 0.1);
    CREATE TABLE act(id INTEGER PRIMARY KEY, x INT AS (id % 2) REFERENCES g ON DELETE SET NULL); INSERT INTO act VALUES (1);
    CREATE INDEX by_v ON g(v); CREATE INDEX twice ON g(a * 2) WHERE a > 0;
    CREATE TABLE c(id INTEGER PRIMARY KEY, x INT, CONSTRAINT positive CHECK (x > 0), CHECK (x < 100));
    INSERT INTO c VALUES (1, 5), (2, NULL), (3, 99);";

#[test]
fn postgresql_computes_generated_columns_as_sqlite_does() {
    let loaded = Loaded::plan_on(Target::start_on(PgVersion::Major(14)), GENERATED, "");
    loaded.convert();
    assert_eq!(loaded.dropped(), []);
    loaded.verify();
    let generated = "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attgenerated = 's'";
    assert_eq!(loaded.local.value(generated), "s,v,w,n,neg,q,up");
    // A target gets them generated, too.
    let target = Target::start_on(PgVersion::Major(18));
    let (local_url, target_url) = (loaded.local.admin_url(), target.admin_url());
    loaded.call("push", &["--local-url", &local_url, "--target", &target_url]);
    assert_eq!(target.value(generated), "s,v,w,n,neg,q,up");
    let both = ["--against", "both", "--level", "full", "--local-url", &local_url, "--target", &target_url];
    loaded.call("verify", &both);
    target.query("INSERT INTO g(a, b, t) VALUES (7, 2, 'É')");
    let row = "SELECT concat_ws('|', s, v, w, n, neg, q, up) FROM g WHERE a = 7";
    assert_eq!(target.value(row), "9|18|É-7|1|f|3|É");
}

#[test]
fn what_the_rows_disprove_is_not_created() {
    let loaded = Loaded::plan(GENERATED);
    loaded.damage("g", |table| {
        for (name, expression) in [("v", "(a + b) * 3"), ("up", "now()::text"), ("q", "1 / a")] {
            table.columns.iter_mut().find(|column| column.name == name).unwrap().generated =
                Some(expression.to_owned());
        }
        let index = table.indexes.iter_mut().find(|index| index.name == "twice").unwrap();
        index.predicate = Some("\"a\" < 5".to_owned());
    });
    loaded.damage("c", |table| table.checks[0].expression = "\"x\" > 6".to_owned());
    // 1 / a is no error here, but gives other values than a / b.
    loaded.convert();
    let dropped = loaded.dropped();
    let names: Vec<(&str, &str)> = dropped.iter().map(|(kind, source, _)| (kind.as_str(), source.as_str())).collect();
    assert_eq!(
        names,
        [("generated", "up"), ("generated", "q"), ("generated", "v"), ("check", "positive"), ("index", "twice")]
    );
    assert!(dropped[0].2.contains("immutable"), "{dropped:?}");
    assert!(dropped[2].2.contains("different answers"), "{dropped:?}");
    assert!(dropped[3].2.contains("holds for 3 in SQLite and for 2 in PostgreSQL"), "{dropped:?}");
    let executed = loaded.workspace.read_json("convert/plan.json");
    let table = |name: &str| executed["plan"]["tables"].as_array().unwrap().iter().find(|one| one["source"] == name);
    let names = |list: &Value| list.as_array().into_iter().flatten().map(|one| one["name"].to_string()).collect();
    let (checks, indexes): (Vec<String>, Vec<String>) =
        (names(&table("c").unwrap()["checks"]), names(&table("g").unwrap()["indexes"]));
    assert!(checks.len() == 1 && !checks[0].contains("positive"), "{checks:?}");
    assert!(!indexes.is_empty() && !indexes.iter().any(|name| name.contains("twice")), "{indexes:?}");
    loaded.verify();
    assert_eq!(loaded.local.value("SELECT string_agg(v::text, ',' ORDER BY id) FROM g"), "6,-10");
    loaded.call("report", &["--format", "json"]);
}

#[test]
fn what_guards_data_is_left_out_with_consent_only() {
    let loaded = Loaded::plan("CREATE TABLE c(x INT CONSTRAINT positive CHECK (x > 0)); INSERT INTO c VALUES (5), (9)");
    loaded.call("plan", &[]);
    loaded.damage("c", |table| table.checks[0].expression = "\"x\" > 6".to_owned());
    let url = loaded.local.admin_url();
    for _ in 0..2 {
        let refused = loaded.workspace.tool("convert").args(["--local-url", &url]).run().expect_exit(1);
        refused.expect_text("c.positive").expect_text("--accept check-not-carried@c.positive");
    }
    // Nothing that may be pushed.
    loaded.workspace.tool("push").args(["--local-url", &url, "--target", &url]).run().expect_exit(4);
}

#[test]
fn a_column_that_stops_the_copy_is_loaded_plain() {
    let loaded = Loaded::plan(GENERATED);
    loaded.damage("g", |table| {
        table.columns.iter_mut().find(|column| column.name == "q").unwrap().generated = Some("a / b".to_owned());
    });
    loaded.convert();
    let dropped = loaded.dropped();
    assert_eq!(dropped.len(), 7, "PostgreSQL doesn't say which column it was: {dropped:?}");
    assert!(dropped.iter().all(|(_, _, reason)| reason.contains("22012")), "{dropped:?}");
    loaded.verify();
    loaded.call("status", &[]);
}
