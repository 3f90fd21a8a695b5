//! Values of the types that an existing schema or the configuration gives: consents, settings, and types that
//! PostgreSQL's own text input reads.

use serde_json::Value;

use crate::support::{Target, Workspace};

const TYPES: &str = r"CREATE TYPE mood AS ENUM ('ok', 'so, so');
CREATE TABLE inputs (id integer PRIMARY KEY, ip inet, net cidr, mac macaddr, span interval, clock timetz, flags bit(3),
  spread int4range, several int4multirange, place point, price money, moods mood[], docs jsonb[], grid integer[],
  tags text[], spans interval[], words tsvector, label name, number oid);
CREATE TABLE cuts (id integer PRIMARY KEY, millis timestamp(3), whole timestamptz(0), amount numeric(6,2), ratio real,
  short varchar(3), day date, count integer, big double precision, body text, doc json, uid uuid, berlin timestamptz,
  julian timestamptz, unix timestamptz, code integer);
CREATE TABLE parents (id integer PRIMARY KEY, size integer NOT NULL);
CREATE TABLE children (id integer PRIMARY KEY, parent integer REFERENCES parents, state mood);";

const SOURCE: &str = r#"CREATE TABLE inputs (id INTEGER PRIMARY KEY, ip TEXT, net TEXT, mac TEXT, span, clock TEXT, flags TEXT,
  spread TEXT, several TEXT, place TEXT, price REAL, moods TEXT, docs TEXT, grid TEXT, tags TEXT, spans TEXT, words TEXT,
  label TEXT, number INTEGER);
INSERT INTO inputs VALUES
 (1, '2001:DB8::1', '10.0.0.0/8', '0800.2b01.0203', 86405000007, '01:02:03.5-0330', '101', '[1,4)', '{[1,2],[5,6]}',
  '(1.5,2)', 12.5, '["ok", null, "so, so"]', '[{"a":1}, [2]]', '[[1,2],[3,4]]', 'a, b "c"', '[1000000, "1 day"]', 'cat',
  'long', 7),
 (2, '192.168.0.1/24', NULL, NULL, '1.02:03:04.5000000', NULL, NULL, NULL, NULL, NULL, NULL, '{ok}', '[]', '{{1},{2}}',
  '', NULL, NULL, NULL, NULL),
 (3, NULL, NULL, NULL, '1970-01-02 00:00:05', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
  NULL, NULL);
CREATE TABLE cuts (id INTEGER PRIMARY KEY, millis TEXT, whole TEXT, amount REAL, ratio REAL, short TEXT, day TEXT,
  count REAL, big INTEGER, body TEXT, doc TEXT, uid BLOB, berlin TEXT, julian REAL, unix INTEGER DEFAULT (unixepoch()),
  code TEXT);
INSERT INTO cuts VALUES
 (1, '2024-01-02 03:04:05.6789123', '2024-01-02T03:04:05.999Z', 1.005, 0.123456789, 'äöüß', '2024-01-02 03:04:05', 2.5,
  9007199254740993, 'a' || char(0), '', x'33221100554477468899aabbccddeeff', '2024-07-01 12:00:00', 2440587.5, 5, '007'),
 (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 'b', '{"a":1}', NULL, '2024-10-27 02:30:00', NULL, 1700000000, '8');
CREATE TABLE parents (id INTEGER PRIMARY KEY, size);
CREATE TABLE children (id INTEGER PRIMARY KEY, parent INTEGER, state TEXT);
INSERT INTO parents VALUES (1, 5), (2, 'big');
INSERT INTO children VALUES (1, 1, 'ok'), (2, 2, 'unknown');"#;

const SETTINGS: &str = r#"[columns."inputs.tags"]
list = "comma"
[columns."cuts.body"]
bad_text = "replace"
[columns."cuts.doc"]
empty_as_null = true
[columns."cuts.berlin"]
zone = "Europe/Berlin"
[columns."cuts.julian"]
from = "julian"
[columns."parents.size"]
off_type = "reject"
[columns."children.state"]
off_type = "null"
"#;

/// `code@place severity` of every finding.
fn findings(workspace: &Workspace) -> Vec<String> {
    let plan = workspace.read_json("plan/plan.json");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let one = |finding: &Value| {
        let place = [text(finding, "table"), text(finding, "column")].join(".");
        let accepted = if finding["accepted"] == true { " accepted" } else { "" };
        format!("{}@{place} {}{accepted}", text(finding, "code"), text(finding, "severity"))
    };
    plan["findings"].as_array().unwrap().iter().map(one).collect()
}

/// The choices of the findings about a column.
fn choices(workspace: &Workspace, table: &str, column: &str) -> Vec<String> {
    let plan = workspace.read_json("plan/plan.json");
    let all = plan["findings"].as_array().unwrap().iter();
    let here = all.filter(|finding| finding["table"] == table && finding["column"] == column);
    let choices = here.filter_map(|finding| finding["choices"].as_array()).flatten();
    choices.map(|choice| choice.as_str().unwrap().to_owned()).collect()
}

fn row(target: &Target, sql: &str) -> String {
    let rows = target.query(&format!("SET timezone='UTC'; {sql}"));
    let cells = rows.into_iter().next().unwrap().into_iter();
    cells.map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join(" | ")
}

#[test]
fn values_are_cut_by_consent_changed_by_settings_and_read_by_postgresql() {
    let workspace = Workspace::new();
    let source = workspace.sqlite("app.db", SOURCE);
    let schema = workspace.path().join("schema.sql");
    std::fs::write(&schema, TYPES).unwrap();
    std::fs::write(workspace.path().join("turso2neon.toml"), SETTINGS).unwrap();
    workspace.tool("dump").arg("--source").arg(source).run().expect_exit(0);
    workspace.tool("plan").arg("--schema-from").arg(&schema).run().expect_exit(1);
    let found = findings(&workspace);
    for (expected, number) in [
        ("type-does-not-fit@cuts.millis needs-decision", 1),
        ("type-does-not-fit@cuts.whole needs-decision", 1),
        ("type-does-not-fit@cuts.amount needs-decision", 1),
        ("type-does-not-fit@cuts.ratio needs-decision", 1),
        ("value-too-long@cuts.short needs-decision", 1),
        ("type-does-not-fit@cuts.day needs-decision", 1),
        ("type-does-not-fit@cuts.count needs-decision", 1),
        ("type-does-not-fit@cuts.big needs-decision", 1),
        ("type-does-not-fit@cuts.berlin needs-decision", 1),
        ("type-does-not-fit@inputs.price needs-decision", 1),
        ("text-not-storable@cuts.body warning", 1),
        ("type-does-not-fit@cuts.doc info", 1),
        ("epoch-assumed@cuts.unix info", 1),
        ("spelling-normalised@cuts.code info", 1),
        ("advice@cuts.uid info", 1),
        ("advice@cuts.millis info", 1),
        ("type-does-not-fit@parents.size needs-decision accepted", 1),
        ("type-does-not-fit@children.state needs-decision accepted", 1),
        ("orphan-rows@children.children_parent_fkey warning", 1),
    ] {
        assert_eq!(found.iter().filter(|finding| *finding == expected).count(), number, "{expected}: {found:#?}");
    }
    assert!(!found.iter().any(|finding| finding.contains("refused")), "{found:#?}");
    let shown = workspace.read("plan/plan.json");
    assert!(shown.contains("9999-99-99 99:99:99.9999999") && !shown.contains("03:04:05"), "{shown}");

    let target = Target::start();
    // The schema stays part of the plan.
    let run = workspace.tool("run").arg("--source").arg("app.db");
    let run = run.args(["--accept", "type-does-not-fit", "--accept", "value-too-long"]);
    run.env("NEON_DATABASE_URL", target.url()).run().expect_exit(0);
    let of_inputs = "SELECT ip, net, mac, span, clock, flags, spread, several, place, price::numeric, moods, docs, grid, \
                     tags, spans, words, label, number FROM inputs WHERE id = ";
    assert_eq!(
        row(&target, &format!("{of_inputs}1")),
        "2001:db8::1 | 10.0.0.0/8 | 08:00:2b:01:02:03 | 1 day 00:00:05.000007 | 01:02:03.5-03:30 | 101 | [1,4) | \
         {[1,3),[5,7)} | (1.5,2) | 12.50 | {ok,NULL,\"so, so\"} | {\"{\\\"a\\\": 1}\",[2]} | {{1,2},{3,4}} | \
         {a,\"b \\\"c\\\"\"} | {00:00:01,\"1 day\"} | 'cat' | long | 7"
    );
    assert_eq!(
        row(&target, "SELECT ip, span, moods, docs, grid, tags FROM inputs WHERE id = 2"),
        "192.168.0.1/24 | 1 day 02:03:04.5 | {ok} | {} | {{1},{2}} | {}"
    );
    assert_eq!(row(&target, "SELECT span FROM inputs WHERE id = 3"), "1 day 00:00:05");
    assert_eq!(
        row(
            &target,
            "SELECT millis, whole, amount, ratio, short, day, count, big, body, doc, uid, berlin, julian, unix, code \
             FROM cuts WHERE id = 1"
        ),
        "2024-01-02 03:04:05.678 | 2024-01-02 03:04:05+00 | 1.01 | 0.12345679 | äöü | 2024-01-02 | 3 | \
         9.007199254740992e+15 | a\u{fffd} | - | 00112233-4455-4677-8899-aabbccddeeff | 2024-07-01 10:00:00+00 | \
         1970-01-01 00:00:00+00 | 1970-01-01 00:00:05+00 | 7"
    );
    assert_eq!(row(&target, "SELECT berlin FROM cuts WHERE id = 2"), "2024-10-27 00:30:00+00");
    assert_eq!(row(&target, "SELECT count(*), max(id) FROM parents"), "1 | 1");
    assert_eq!(row(&target, "SELECT parent, state FROM children WHERE id = 2"), "2 | -");
    assert_eq!(
        row(
            &target,
            "SELECT string_agg(column_name || ' ' || encode(raw, 'hex'), ', ' ORDER BY 1) FROM _sqlite_offtype"
        ),
        "body 6100, doc , state 756e6b6e6f776e"
    );

    // One bit of a value, and one element of an array.
    target.execute_as_owner("UPDATE inputs SET ip = '2001:db8::3', docs[1] = '{\"a\":3}' WHERE id = 1");
    let verify = workspace.tool("verify").args(["--level", "full", "--against", "target"]);
    let answer = verify.env("NEON_DATABASE_URL", target.url()).run();
    answer.expect_exit(1).expect_text("inputs  ip").expect_text("inputs  docs");
}

#[test]
fn findings_offer_the_setting_that_solves_them() {
    let workspace = Workspace::new();
    let source = workspace.sqlite(
        "app.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, doc TEXT, tags TEXT, at INTEGER, mixed INTEGER, uid BLOB, size TEXT); \
         INSERT INTO t VALUES (1, '', 'a,b', 5, 1700000000, randomblob(16), 'secret'), \
         (2, '1', '{c}', 1700000000, 1700000000000, x'00', '1');",
    );
    let schema = workspace.path().join("schema.sql");
    std::fs::write(
        &schema,
        "CREATE TABLE t(id int PRIMARY KEY, doc json, tags text[], at timestamptz, mixed timestamptz, uid uuid, size int NOT NULL)",
    )
    .unwrap();
    workspace.tool("dump").arg("--source").arg(source).run().expect_exit(0);
    let plan = |toml: &str| {
        std::fs::write(workspace.path().join("turso2neon.toml"), toml).unwrap();
        workspace.tool("plan").run()
    };
    // All columns are named at once.
    let mut answer = workspace.tool("plan").arg("--schema-from").arg(&schema).run().expect_exit(5);
    for column in ["doc", "tags", "mixed", "uid", "size"] {
        answer = answer.expect_text(&format!("t.{column}"));
    }
    for (column, first) in [
        ("doc", "columns.\"t.doc\" = { empty_as_null = true }"),
        ("tags", "columns.\"t.tags\" = { list = \"comma\" }"),
        ("at", "columns.\"t.at\" = { from = \"unix_s\" }"),
        ("mixed", "columns.\"t.mixed\" = { from = \"unix_ms\" }"),
        ("uid", "columns.\"t.uid\" = { off_type = \"null\" }"),
        ("size", "columns.\"t.size\" = { off_type = \"reject\" }"),
    ] {
        assert_eq!(choices(&workspace, "t", column).first().map(String::as_str), Some(first), "{column}");
    }
    assert!(findings(&workspace).contains(&"epoch-assumed@t.at needs-decision".to_owned()));
    assert!(!workspace.read("plan/plan.json").contains("secret"));
    for (toml, said) in [
        ("[columns.\"t.doc\"]\nfrom = \"unix_s\"", "from does not go with json"),
        ("[columns.\"t.at\"]\nzone = \"Europe/Berlim\"", "did you mean `Europe/Berlin`?"),
        ("zone = \"nowhere\"", "zone is not the name of a time zone"),
        ("[columns.\"t.at\"]\ntype = \"text\"", "types and names come from the existing schema"),
    ] {
        plan(toml).expect_exit(2).expect_text(said);
    }
}

#[test]
fn a_type_of_the_configuration_takes_the_same_values() {
    let workspace = Workspace::new();
    let source = workspace.sqlite(
        "app.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, uid TEXT, ip TEXT, span INTEGER, at TEXT, tags TEXT, note TEXT); \
         INSERT INTO t VALUES (1, '00112233445566778899aabbccddeeff', '::1', 5000000, '2024-01-02 03:04:05.678', '[\"a\"]', 'x'), \
         (2, NULL, '10.0.0.1', NULL, NULL, NULL, NULL);",
    );
    let types = |note: &str| {
        format!(
            "[columns.\"t.uid\"]\ntype = \"uuid\"\n[columns.\"t.ip\"]\ntype = \"inet\"\n[columns.\"t.span\"]\ntype = \
             \"interval\"\n[columns.\"t.at\"]\ntype = \"timestamp(3)\"\n[columns.\"t.tags\"]\ntype = \"text[]\"\n\
             [columns.\"t.note\"]\ntype = \"{note}\"\n"
        )
    };
    workspace.tool("dump").arg("--source").arg(source).run().expect_exit(0);
    std::fs::write(workspace.path().join("turso2neon.toml"), types("inet")).unwrap();
    workspace.tool("plan").run().expect_exit(5).expect_text("t.note");
    std::fs::write(workspace.path().join("turso2neon.toml"), types("varchar(5)")).unwrap();
    workspace.tool("convert").run().expect_exit(0);
    workspace.tool("verify").args(["--against", "local", "--level", "full"]).run().expect_exit(0);
    let sql = workspace.read("plan/schema.sql");
    for expected in
        ["\"uid\" uuid", "\"ip\" inet", "\"span\" interval", "timestamp(3) without time zone", "\"tags\" text[]"]
    {
        assert!(sql.contains(expected), "{expected}: {sql}");
    }
}

#[test]
fn times_with_short_offsets_are_those_of_postgresql() {
    let workspace = Workspace::new();
    let clocks = ["10:00:00+02", "10:00-15", "10:00:00.5+0530", "23:59:59.123456-03:30", "00:00Z", "10:00:00 +02"];
    let rows: Vec<String> =
        clocks.iter().map(|clock| format!("('{clock}', '{clock}', '2024-01-02 {clock}')")).collect();
    let create = "CREATE TABLE t (written TEXT, clock TEXT, at TEXT)";
    let source = workspace.sqlite("app.db", &format!("{create}; INSERT INTO t VALUES {};", rows.join(", ")));
    let schema = workspace.path().join("schema.sql");
    std::fs::write(&schema, "CREATE TABLE t (written text, clock timetz, at timestamptz)").unwrap();
    let target = Target::start();
    let run = |code: i32| {
        let run = workspace.tool("run").arg("--source").arg(&source).arg("--schema-from").arg(&schema);
        let run = run.args(["--accept", "spelling-normalised"]);
        run.env("NEON_DATABASE_URL", target.url()).run().expect_exit(code)
    };
    run(0);
    let same = "clock::text = written::timetz::text AND at = ('2024-01-02 ' || written)::timestamptz";
    assert_eq!(row(&target, &format!("SELECT count(*), count(*) FILTER (WHERE {same}) FROM t")), "6 | 6");
    // PostgreSQL refuses the first; the others have no form of a time.
    for wrong in ["10:00:00+16", "10:00:00+2", "10:00:00+02:", "10+02"] {
        workspace.sqlite("app.db", &format!("DELETE FROM t; INSERT INTO t (clock) VALUES ('{wrong}')"));
        run(5).expect_text("t.clock");
    }
}

#[test]
fn bits_beside_known_types_alone_arrive() {
    let workspace = Workspace::new();
    let create = "CREATE TABLE t (id INTEGER PRIMARY KEY, flags TEXT, name TEXT)";
    let source =
        workspace.sqlite("app.db", &format!("{create}; INSERT INTO t VALUES (1, '101', 'x'), (2, NULL, 'y');"));
    let schema = workspace.path().join("schema.sql");
    std::fs::write(&schema, "CREATE TABLE t (id bigint PRIMARY KEY, flags bit(3), name text)").unwrap();
    let target = Target::start();
    let run = workspace.tool("run").arg("--source").arg(&source).arg("--schema-from").arg(&schema);
    run.env("NEON_DATABASE_URL", target.url()).run().expect_exit(0);
    assert_eq!(
        row(&target, "SELECT string_agg(coalesce(flags::text, '-'), ' ' ORDER BY id), count(name) FROM t"),
        "101 - | 2"
    );
}
