//! What rows of the source break in an existing schema: each kind is found by the plan with the rows, nothing fails
//! later, and with consent the rest is created.

use serde_json::Value;

use crate::support::{Run, Target, Workspace};

/// One case: a file of SQLite and one of PostgreSQL.
struct Case {
    workspace: Workspace,
    target: Target,
    local: Target,
}

impl Case {
    fn new(schema: &str, source: &str) -> Self {
        let target = Target::start();
        let case = Self { workspace: Workspace::new(), local: target.beside(), target };
        std::fs::write(case.workspace.path().join("schema.sql"), schema).unwrap();
        case.workspace.sqlite("app.db", &format!("PRAGMA foreign_keys = OFF; {source}"));
        case.call("dump", &["--source", "app.db"]).expect_exit(0);
        case
    }

    fn call(&self, command: &str, flags: &[&str]) -> Run {
        let tool = self.workspace.tool(command).args(flags).env("TURSO2NEON_LOCAL_URL", self.local.admin_url());
        tool.env("NEON_DATABASE_URL", self.target.url()).run()
    }

    fn plan(&self, code: i32) -> Run {
        self.call("plan", &["--schema-from", "schema.sql"]).expect_exit(code)
    }

    /// `code@place severity count first` of the findings that block.
    fn blocking(&self) -> Vec<String> {
        let plan = self.workspace.read_json("plan/plan.json");
        let mut found = Vec::new();
        for finding in plan["findings"].as_array().unwrap() {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            if !["needs-decision", "refused"].contains(&text("severity").as_str()) {
                continue;
            }
            let place = [text("table"), text("column")].join(".");
            let message = text("message");
            let first = message
                .split_once("first at rowid ")
                .map_or("-", |(_, rest)| rest.find([')', ';']).map_or(rest, |end| &rest[..end]));
            let count = finding["count"].as_u64().unwrap_or(0);
            found.push(format!("{}@{} {count} {first}", text("code"), place.trim_end_matches('.')));
        }
        found.sort();
        found
    }

    /// Everything after the plan, with consent, into the target. Then the target is compared.
    fn load(&self) {
        self.call("convert", &["--accept", "all"]).expect_exit(0);
        self.call("verify", &["--against", "local", "--level", "full"]).expect_exit(0);
        self.call("push", &[]).expect_exit(0);
        self.call("verify", &["--level", "full"]).expect_exit(0);
    }

    /// The constraints and indexes of a table on the target; those that are not valid are marked.
    fn guards(&self, table: &str) -> String {
        self.target.value(&format!(
            "SELECT string_agg(name, ' ' ORDER BY name) FROM (
               SELECT conname || CASE WHEN convalidated THEN '' ELSE '(not-valid)' END FROM pg_constraint
                WHERE conrelid = '{table}'::regclass
               UNION SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{table}'::regclass) AS g(name)"
        ))
    }

    fn messages(&self) -> String {
        let plan = self.workspace.read_json("plan/plan.json");
        let all = plan["findings"].as_array().unwrap().iter();
        all.filter_map(|finding: &Value| finding["message"].as_str()).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn keys_that_rows_break_are_left_out_with_what_needs_them() {
    let case = Case::new(
        "CREATE COLLATION nocase (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = false);
         CREATE TABLE p (id integer PRIMARY KEY, code text UNIQUE, name text, wide text, span int4range,
           EXCLUDE USING gist (span WITH &&));
         CREATE UNIQUE INDEX p_name ON p (name COLLATE nocase);
         CREATE UNIQUE INDEX p_wide ON p (wide);
         CREATE TABLE c (id integer PRIMARY KEY, p_code text REFERENCES p (code), p_id integer REFERENCES p (id));
         ALTER TABLE p REPLICA IDENTITY USING INDEX p_id;",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT, name TEXT, wide TEXT, span TEXT);
         INSERT INTO p VALUES (1, 'a', 'x', 'w', '[1,4)'), (2, 'a', 'X', 'w', '[3,5)'), (3, 'b', 'y', hex(randomblob(4000)), NULL);
         CREATE TABLE c (id INTEGER PRIMARY KEY, p_code TEXT, p_id INTEGER); INSERT INTO c VALUES (1, 'a', 1);",
    );
    // A schema that does not load names the line and PostgreSQL's reason.
    case.plan(2).expect_text("schema.sql: line 7").expect_text("\"p_id\"");
    let schema = std::fs::read_to_string(case.workspace.path().join("schema.sql")).unwrap();
    let schema = schema.replace("ALTER TABLE p REPLICA IDENTITY USING INDEX p_id;", "ALTER TABLE p CLUSTER ON p_name;");
    std::fs::write(case.workspace.path().join("schema.sql"), schema).unwrap();
    case.plan(1);
    assert_eq!(
        case.blocking(),
        [
            "clause-not-carried@p 0 -",
            "foreign-key-not-carried@c 0 -",
            "index-not-carried@p.wide 1 3",
            "keys-merged@p.code 1 2",
            "keys-merged@p.p_name 1 2",
            "keys-merged@p.span 1 2",
            "keys-merged@p.wide 1 2",
        ]
    );
    case.load();
    assert_eq!(case.guards("p"), "p_pkey");
    assert_eq!(case.guards("c"), "c_p_id_fkey c_pkey");
}

#[test]
fn nulls_and_checks_that_rows_break_are_weakened_by_consent() {
    let case = Case::new(
        "CREATE DOMAIN short AS text CHECK (length(VALUE) < 3) NOT NULL;
         CREATE TABLE t (id integer, part integer, n integer NOT NULL DEFAULT 5, d short, e integer CHECK (10 / e > 0),
           g text GENERATED ALWAYS AS (nullif(lower(d), 'ab')) STORED NOT NULL, PRIMARY KEY (id, part));
         CREATE TABLE f (a integer, b integer, UNIQUE (a, b)); INSERT INTO f VALUES (1, 1);
         CREATE TABLE m (id integer PRIMARY KEY, a integer, b integer, FOREIGN KEY (a, b) REFERENCES f (a, b) MATCH FULL);",
        "CREATE TABLE t (id INTEGER, part INTEGER, n INTEGER, d TEXT, e INTEGER);
         INSERT INTO t VALUES (1, 1, 1, 'x', 1), (2, NULL, NULL, 'xyz', 0), (3, 3, 3, 'AB', 20), (4, 4, 4, NULL, 5);
         CREATE TABLE m (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER);
         INSERT INTO m VALUES (1, 1, 1), (2, NULL, NULL), (3, 1, NULL), (4, 1, 2);",
    );
    case.plan(1);
    assert_eq!(
        case.blocking(),
        [
            "check-violated@t.d 2 2, 4",
            "check-violated@t.e 2 2, 3",
            "not-null-violated@t.g 2 3, 4",
            "not-null-violated@t.n 1 -",
            "nulls-in-primary-key@t.part 1 -",
            "orphan-rows@m.a, b 2 3, 4",
        ]
    );
    case.load();
    assert_eq!(case.guards("t"), "t_e_check(not-valid)");
    assert_eq!(case.guards("m"), "m_a_b_fkey(not-valid) m_pkey");
    assert_eq!(case.target.value("SELECT count(*) || ' ' || count(n) || ' ' || count(g) FROM t"), "4 3 2");
}

#[test]
fn what_nothing_can_hold_is_refused_with_the_rows() {
    let case = Case::new(
        "CREATE TABLE events (id integer, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
         CREATE UNIQUE INDEX events_1_id ON events_1 (id);
         CREATE FUNCTION nothing() RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
         CREATE TABLE t (id integer PRIMARY KEY, ip inet UNIQUE, n integer, part integer GENERATED ALWAYS AS (10 / n) STORED,
           own text NOT NULL DEFAULT nothing(), cut varchar(2) DEFAULT 'abc', k text UNIQUE);",
        "CREATE TABLE events (id INTEGER PRIMARY KEY, at TEXT);
         INSERT INTO events VALUES (1, '2024-02-03'), (2, '2023-02-03'), (3, '2026-01-01');
         CREATE TABLE t (id INTEGER PRIMARY KEY, ip TEXT, n INTEGER, k TEXT);
         INSERT INTO t VALUES (1, '::1', 1, 'k'), (2, 'nowhere', 0, 'k'), (3, NULL, 2, NULL);",
    );
    case.plan(5);
    assert_eq!(
        case.blocking(),
        [
            "check-violated@events 2 2, 3",
            "default-not-carried@t.cut 0 -",
            "generated-value-differs@t.part 1 2",
            "keys-merged@t.k 1 2",
            "not-null-violated@t.own 3 1, 2, 3",
            "type-does-not-fit@t.ip 1 2",
        ]
    );
    case.call("convert", &["--accept", "all"]).expect_exit(5);
    assert!(!case.messages().contains("nowhere"));
}

#[test]
fn views_and_partitions_are_filled_or_left_out() {
    let schema = "
        CREATE TABLE p (id integer NOT NULL, kind text, n integer CHECK (n < 100)) PARTITION BY LIST (kind);
        CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a');
        CREATE TABLE p_other PARTITION OF p DEFAULT;
        ALTER TABLE p_a ALTER COLUMN n SET NOT NULL;
        CREATE UNIQUE INDEX p_a_n ON p_a (n);
        CREATE VIEW v AS SELECT n, 10 / (n - 5) AS part FROM p;
        CREATE MATERIALIZED VIEW m AS SELECT n, count(part) FROM v GROUP BY n;
        CREATE UNIQUE INDEX m_n ON m (n);
        CREATE VIEW mv AS SELECT n FROM m;
        CREATE MATERIALIZED VIEW kinds AS SELECT kind FROM p;
        CREATE UNIQUE INDEX kinds_kind ON kinds (kind);";
    let case = Case::new(
        schema,
        "CREATE TABLE p (id INTEGER PRIMARY KEY, kind TEXT, n INTEGER);
         INSERT INTO p VALUES (1, 'a', 5), (2, 'a', 7), (3, 'b', 7), (4, NULL, 8);",
    );
    case.plan(1);
    assert_eq!(
        case.blocking(),
        ["index-not-carried@kinds 0 -", "index-not-carried@m 0 -", "view-not-carried@m 0 -", "view-not-carried@mv 0 -"]
    );
    case.load();
    assert_eq!(case.target.value("SELECT (SELECT count(*) FROM kinds) || ' ' || (SELECT count(*) FROM p_a)"), "4 2");
    assert_eq!(
        case.target.value("SELECT (to_regclass('m') IS NULL)::text || ' ' || (to_regclass('v') IS NULL)"),
        "true false"
    );
}

#[test]
fn a_live_target_gets_weaker_guards_in_the_transaction_of_the_rows() {
    let schema = "CREATE TABLE p (id integer PRIMARY KEY, code text UNIQUE, n integer NOT NULL CHECK (n > 0));
         CREATE TABLE c (id integer PRIMARY KEY, p_code text REFERENCES p (code), p_id integer REFERENCES p (id));";
    let case = Case::new(
        schema,
        "CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT, n INTEGER);
         INSERT INTO p VALUES (1, 'a', 1), (2, 'a', -1), (3, 'b', NULL);
         CREATE TABLE c (id INTEGER PRIMARY KEY, p_code TEXT, p_id INTEGER); INSERT INTO c VALUES (1, 'a', 9);",
    );
    case.target.execute_as_owner(schema);
    let run = |flags: &[&str]| case.call("run", &[&["--source", "app.db", "--schema-from", "target"], flags].concat());
    let guards = || format!("{} | {}", case.guards("p"), case.guards("c"));
    let rows = "SELECT (SELECT count(*) FROM p) || ' ' || (SELECT count(*) FROM c)";
    let before = guards();
    run(&[]).expect_exit(1);
    assert_eq!((guards(), case.target.value(rows)), (before, "0 0".to_owned()));
    run(&["--accept", "all"]).expect_exit(0);
    assert_eq!(guards(), "p_n_check(not-valid) p_pkey | c_p_id_fkey(not-valid) c_pkey");
    assert_eq!(case.target.value(rows), "3 1");
    // Changed rows that break the checks again.
    case.workspace.sqlite("app.db", "UPDATE p SET n = -2 WHERE id = 2; INSERT INTO c VALUES (2, NULL, 8)");
    run(&["--accept", "all"]).expect_exit(0);
    assert_eq!(case.target.value("SELECT string_agg(n::text, ',' ORDER BY id) FROM p"), "1,-2");
    assert_eq!(case.target.value(rows), "3 2");
    assert_eq!(guards(), "p_n_check(not-valid) p_pkey | c_p_id_fkey(not-valid) c_pkey");
}

#[test]
fn a_schema_that_does_not_load_names_the_line() {
    let case = Case::new("", "CREATE TABLE t (id INTEGER PRIMARY KEY)");
    let refused = |sql: &str, line: &str, reason: &str| {
        std::fs::write(case.workspace.path().join("schema.sql"), sql).unwrap();
        case.plan(2).expect_text(&format!("schema.sql: line {line}")).expect_text(reason);
    };
    refused("CREATE TABLE t (id int);\n\nCREATE TABEL u (id int);", "3", "syntax error at or near \"TABEL\"");
    refused("CREATE TABLE t (id int);\nCREATE EXTENSION no_such;", "2", "install the extension");
    refused("-- first\nCREATE TABLE t (id uuid DEFAULT\n  no_such());", "2", "function no_such() does not exist");
    refused("CREATE TABLE t (id int REFERENCES u (id));", "1", "relation \"u\" does not exist");
}

#[test]
fn rows_of_a_parent_and_of_its_heir_are_refused_together() {
    let case = Case::new(
        "CREATE TABLE p (id integer PRIMARY KEY); CREATE TABLE m () INHERITS (p); CREATE TABLE c (more text) INHERITS (m);",
        "CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);
         CREATE TABLE c (id INTEGER PRIMARY KEY, more TEXT); INSERT INTO c VALUES (2, 'x');",
    );
    case.plan(5);
    assert_eq!(case.blocking(), ["clause-not-carried@c 1 -"]);
    case.call("plan", &["--schema-from", "schema.sql", "--exclude", "p"]).expect_exit(0);
}
