//! What PostgreSQL can't hold as it is, and what the configuration says about it: each choice seen in the database,
//! kept beside it, and proved by `verify`, which must notice when something of it is missing.

use crate::support::{Run, Target, Tool, Workspace, programs::PgVersion};

/// A directory, its configuration and the database that is loaded.
struct Fixture {
    workspace: Workspace,
    target: Target,
}

impl Fixture {
    fn new(which: PgVersion, script: &str, config: &str) -> Self {
        let (workspace, target) = (Workspace::new(), Target::start_on(which));
        let source = workspace.sqlite("source.db", script);
        std::fs::write(workspace.path().join("turso2neon.toml"), config).unwrap();
        workspace.tool("dump").arg("--source").arg(&source).run().expect_exit(0);
        Self { workspace, target }
    }

    fn tool(&self, command: &str) -> Tool {
        self.workspace.tool(command).env("TURSO2NEON_LOCAL_URL", self.target.admin_url())
    }

    fn verify(&self) -> Run {
        self.tool("verify").args(["--against", "local", "--level", "full"]).run()
    }

    /// Rows of a query as one text.
    #[track_caller]
    fn expect(&self, sql: &str, expected: &str) {
        let rows = self.target.query(sql);
        let line = |row: &Vec<Option<String>>| {
            row.iter().map(|value| value.clone().unwrap_or_else(|| "NULL".to_owned())).collect::<Vec<_>>().join("|")
        };
        assert_eq!(rows.iter().map(line).collect::<Vec<_>>().join("; "), expected, "{sql}");
    }
}

const OFFTYPE_ROWS: &str = "SELECT table_name, column_name, row_key, storage_class, encode(raw, 'hex') \
                      FROM public._sqlite_offtype ORDER BY table_name, column_name, row_key::numeric";

/// 300 rows, one of which PostgreSQL can't hold as text, a key with such a text, and what refers to it.
const BAD_TEXT: &str = "CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT, doc JSON); \
    INSERT INTO note WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) SELECT i, 'fine', '{}' FROM n; \
    UPDATE note SET body = 'a' || char(0) || CAST(x'ff62e282' AS TEXT), doc = '[\"' || char(0) || '\"]' WHERE id = 7; \
    CREATE TABLE tag(name TEXT PRIMARY KEY); INSERT INTO tag VALUES ('x'), (CAST(x'c328' AS TEXT)); \
    CREATE TABLE tagged(tag TEXT REFERENCES tag(name)); INSERT INTO tagged VALUES ('x')";

#[test]
fn text_that_no_text_can_hold_is_carried_and_its_bytes_are_kept() {
    let fixture = Fixture::new(PgVersion::Newest, BAD_TEXT, "");
    // A value would be changed: that takes a decision.
    fixture.tool("convert").run().expect_exit(1).expect_text("text-not-storable at note.body");
    fixture.tool("convert").args(["--accept", "text-not-storable"]).run().expect_exit(0);
    fixture.expect("SELECT body, doc FROM note WHERE id = 7", "a\u{fffd}\u{fffd}b\u{fffd}|[\"\u{fffd}\"]");
    fixture.expect(OFFTYPE_ROWS, "note|body|7|text|6100ff62e282; note|doc|7|text|5b2200225d");
    fixture.expect("SELECT encode(name, 'hex') FROM tag ORDER BY 1", "78; c328");
    fixture.expect("SELECT pg_typeof(tag)::text, encode(tag, 'hex') FROM tagged", "bytea|78");
    fixture.expect("SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND convalidated", "tagged");
    fixture.verify().expect_exit(0);
    fixture.target.query("DELETE FROM _sqlite_offtype WHERE column_name = 'doc'");
    fixture.verify().expect_exit(1).expect_text("off-type row missing");
    fixture.target.query("UPDATE note SET body = 'a' WHERE id = 7");
    fixture.verify().expect_exit(1).expect_text("2 differences").expect_text("body");
}

#[test]
fn values_off_the_type_are_rejected_or_nulled_only_by_name() {
    let script = "CREATE TABLE parent(id INTEGER PRIMARY KEY, n INTEGER, day DATE, code VARCHAR(3), opt INTEGER); \
        INSERT INTO parent VALUES (1, 5, '2024-01-01', 'a', ''), (2, 'abc', '2024-01-02', 'b', 4), (3, 7, 'soon', 'c', 5), \
            (4, 9, NULL, 'abcdef', ''); \
        CREATE TABLE child(parent INTEGER REFERENCES parent(id)); INSERT INTO child VALUES (1), (2)";
    let config = "[columns.\"parent.n\"]\noff_type = \"reject\"\n[columns.\"parent.day\"]\noff_type = \"reject\"\n\
        [columns.\"parent.code\"]\noff_type = \"null\"\n[columns.\"parent.opt\"]\nempty_as_null = true\n";
    let fixture = Fixture::new(PgVersion::Newest, script, config);
    let plan = fixture.tool("plan").run().expect_exit(0);
    plan.expect_text("accepted").expect_text("rejects.jsonl").expect_text("_sqlite_offtype");
    fixture.tool("convert").run().expect_exit(0);
    fixture.expect("SELECT * FROM parent ORDER BY id", "1|5|2024-01-01|a|NULL; 4|9|NULL|NULL|NULL");
    fixture.expect(OFFTYPE_ROWS, "parent|code|4|text|616263646566; parent|opt|1|text|; parent|opt|4|text|");
    fixture.expect("SELECT convalidated FROM pg_constraint WHERE contype = 'f'", "f");
    let rejects = fixture.workspace.dir().join("convert/rejects.jsonl");
    let text = std::fs::read_to_string(&rejects).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found: Vec<_> =
        lines.iter().map(|line| (&line["rowid"], &line["off_type"], &line["cells"][1]["raw"])).collect();
    assert_eq!(
        format!("{found:?}"),
        r#"[(Number(2), Array [String("n")], String("616263")), (Number(3), Array [String("day")], String("0000000000000007"))]"#
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&rejects).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    fixture.verify().expect_exit(0);
    std::fs::write(&rejects, text.replace("616263", "616264")).unwrap();
    fixture.verify().expect_exit(1).expect_text("rejects.jsonl");
    std::fs::remove_file(&rejects).unwrap();
    fixture.verify().expect_exit(1).expect_text("rejects.jsonl");
}

#[test]
fn a_null_where_none_may_be_is_refused_before_anything_is_loaded() {
    let script = "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, x); INSERT INTO t VALUES (1, 'a', 1)";
    let fixture = Fixture::new(PgVersion::Newest, script, "columns.\"t.n\" = { off_type = \"null\" }");
    fixture.tool("convert").args(["--accept", "all"]).run().expect_exit(5).expect_text("t.n").expect_text("NULL");
    for (config, words) in [
        ("columns.\"t.x\" = { off_type = \"reject\" }", "type"),
        ("columns.\"t.n\" = { off_type = \"drop\" }", "reject, null"),
        ("columns.\"t.n\" = { from = \"julian\", bool_words = true }", "exclude each other"),
        ("columns.\"t.n\" = { from = \"julian\", type = \"uuid\" }", "timestamptz"),
        ("columns.\"t.n\" = { offtype = \"null\" }", "off_type"),
    ] {
        std::fs::write(fixture.workspace.path().join("turso2neon.toml"), config).unwrap();
        fixture.tool("plan").run().expect_exit(2).expect_text(words);
    }
}

#[test]
fn the_configuration_names_how_values_are_read() {
    let script = "CREATE TABLE t(word BOOLEAN, clock TIME, jd DATETIME, ns INTEGER, apple TIMESTAMP, any DATETIME, secs DATETIME, \
            guid BLOB, doc JSONB, ids TEXT); \
        INSERT INTO t VALUES ('Yes', '2000-01-01 07:30:00', 2460000.25, 1700000000123456000, 700000000.25, 1700000000000, \
            1700000000.5, x'00112233445566778899aabbccddeeff', jsonb('{\"a\":[1,\"é\"]}'), '42'), \
            (0, '23:59', 2451545, 0, 0, '2024-01-01 10:00:00+02:00', 5, NULL, NULL, '-7')";
    let settings = [
        ("word", "bool_words = true"),
        ("clock", "from = \"rails_time\""),
        ("jd", "from = \"julian\""),
        ("ns", "from = \"unix_ns\""),
        ("apple", "from = \"core_data\""),
        ("any", "dates = \"auto\""),
        ("secs", "from = \"unix_s\", type = \"timestamp\""),
        ("guid", "from = \"guid_dotnet\""),
        ("ids", "type = \"bigint\""),
    ];
    let config: String = settings.map(|(column, inside)| format!("columns.\"t.{column}\" = {{ {inside} }}\n")).concat();
    let fixture = Fixture::new(PgVersion::Newest, script, &config);
    fixture.tool("convert").run().expect_exit(0);
    fixture.target.query(&format!("ALTER DATABASE {} SET timezone = 'UTC'", fixture.target.database()));
    fixture.expect(
        "SELECT word, clock, jd, ns, apple, \"any\", secs, guid, doc, ids FROM t ORDER BY ids DESC",
        "t|07:30:00|2023-02-24 18:00:00+00|2023-11-14 22:13:20.123456+00|2023-03-08 20:26:40.25+00|2023-11-14 22:13:20+00|\
         2023-11-14 22:13:20.5|33221100-5544-7766-8899-aabbccddeeff|{\"a\": [1, \"é\"]}|42; \
         f|23:59:00|2000-01-01 12:00:00+00|1970-01-01 00:00:00+00|2001-01-01 00:00:00+00|2024-01-01 08:00:00+00|\
         1970-01-01 00:00:05|NULL|NULL|-7",
    );
    fixture.verify().expect_exit(0);
    fixture.target.query("UPDATE t SET doc = '{\"a\": [1]}', jd = jd + interval '1 microsecond' WHERE ids = 42");
    fixture.verify().expect_exit(1).expect_text("2 differences").expect_text("jd").expect_text("doc");
}

#[test]
fn vectors_are_pgvectors_where_it_is() {
    let script = "CREATE TABLE v(a F32_BLOB(2), b F64_BLOB(1), c F16_BLOB(2), d FB16_BLOB(1), e F1BIT_BLOB(8), f F8_BLOB(2)); \
        INSERT INTO v VALUES (x'0000803f000020c0', x'9a9999999999b93f02', x'003c00c005', x'803f06', x'cd0803', \
            x'010200000000803f0000004000000004'), (NULL, NULL, NULL, NULL, NULL, NULL)";
    let types = "SELECT string_agg(format_type(atttypid, atttypmod), ', ' ORDER BY attnum) FROM pg_attribute \
                 WHERE attrelid = 'v'::regclass AND attnum > 0";
    for (which, expected) in [
        (PgVersion::Pgvector, "vector(2), double precision[], halfvec(2), vector(1), bit(8), bytea"),
        (PgVersion::Major(14), "real[], double precision[], real[], real[], bit(8), bytea"),
    ] {
        let fixture = Fixture::new(which, script, "");
        fixture.tool("convert").run().expect_exit(0);
        fixture.expect(types, expected);
        fixture.expect("SELECT b::text, e::text FROM v WHERE e IS NOT NULL", "{0.1}|10110011");
        fixture.verify().expect_exit(0);
    }
}
