//! Values and objects at their extremes: every method brings the same ones, value for value and object for object,
//! and what PostgreSQL can hold of them arrives there.

use std::{collections::BTreeMap, time::Duration};

use rusqlite::{Connection, types::ValueRef};
use turso2neon::model::DumpMethod;
use turso2neon::stages::dump::{DumpRequest, Method};

use super::{Fixture, request, request_with, server::assert_equals_servers_file, sql_request};
use crate::support::{Sqld, SyncServer, Tool, Workspace};

/// A table's most: SQLite takes no more.
const COLUMNS: usize = 2000;

const NUMBERS: &[&str] = &[
    "9223372036854775807",
    "-9223372036854775808",
    "0",
    "-1",
    "9007199254740993",
    "-9007199254740993",
    "-0.0",
    "0.0",
    "1.0",
    "9e999",
    "-9e999",
    "9e999 - 9e999",
    "5e-324",
    "-5e-324",
    "2.2250738585072011e-308",
    "2.2250738585072014e-308",
    "1.7976931348623157e308",
    "-1.7976931348623157e308",
    "9218868437227405312.0",
    "9223372036854775807.0",
    "-9223372036854775808.0",
    "1e-300",
    "0.1 + 0.2",
    "1e22",
    "123456789012345680.0",
    "NULL",
    "''",
    "x''",
    "'0'",
    "'1e400'",
];

/// Bytes of texts: NUL in every place, no UTF-8 of every kind, and what is hard in JSON.
const TEXTS: &[&str] = &[
    "",
    "00",
    "0000",
    "610062",
    "00616263",
    "61626300",
    "ff",
    "c0af",
    "c3",
    "eda080",
    "f4908080",
    "f09d849e",
    "efbbbf61",
    "e280a8",
    "225c2f080c0a0d09",
    "7f",
    "1b5b6d",
    "61ff0000c3",
    "e2808f",
    "cc81",
];

fn several(table: &str, values: impl IntoIterator<Item = String>) -> String {
    let rows: Vec<String> = values.into_iter().map(|value| format!("({value})")).collect();
    format!("INSERT INTO {table} VALUES {};\n", rows.join(", "))
}

fn numbers() -> String {
    let mut script = "CREATE TABLE numbers (bare, i INTEGER, r REAL, n NUMERIC, t TEXT, b BLOB);
                      CREATE TABLE kept (i INT, r REAL, a ANY) STRICT;\n"
        .to_owned();
    script += &several("numbers", NUMBERS.iter().map(|number| [*number; 6].join(", ")));
    script += &several("kept", NUMBERS.iter().take(6).map(|whole| format!("{whole}, {whole} * 0.5, {whole}")));
    script
}

fn texts() -> String {
    let text = |hex: &&str| format!("CAST(x'{hex}' AS TEXT), x'{hex}'");
    format!(
        "CREATE TABLE texts (id INTEGER PRIMARY KEY, t TEXT, b BLOB); CREATE INDEX by_text ON texts(t COLLATE NOCASE, b);
         CREATE TABLE text_keys (t TEXT PRIMARY KEY, b) WITHOUT ROWID;\n{}{}
         INSERT INTO texts(t) VALUES (printf('%.*c', 3000000, 'x')), (replace(hex(zeroblob(40000)), '00', char(0x10ffff)));\n",
        several("texts(t, b)", TEXTS.iter().map(text)),
        several("text_keys", TEXTS.iter().map(text)),
    )
}

/// Tables of the most columns: with a rowid that exceeds the columns of a result, with one that is a column, and
/// without.
fn wide() -> String {
    let names = |count: usize| (0..count).map(|at| format!("c{at}")).collect::<Vec<_>>().join(", ");
    let values = |count: usize, from: usize| {
        let value = |at: usize| match at % 4 {
            0 => format!("{}", at + from),
            1 => format!("'{at}'"),
            2 => format!("x'{:04x}'", at + from),
            _ => "NULL".to_owned(),
        };
        (0..count).map(value).collect::<Vec<_>>().join(", ")
    };
    let mut script = format!(
        "CREATE TABLE wide ({}); CREATE TABLE wide_keyed (id INTEGER PRIMARY KEY, {});
         CREATE TABLE wide_plain ({}, PRIMARY KEY (c1998, c0)) WITHOUT ROWID;\n",
        names(COLUMNS),
        names(COLUMNS - 1),
        names(COLUMNS),
    );
    for row in 0..3 {
        script += &several("wide", [values(COLUMNS, row)]);
        script += &several("wide_keyed", [format!("{}, {}", row * 1000, values(COLUMNS - 1, row))]);
        script += &several("wide_plain", [values(COLUMNS, row)]);
    }
    script
}

const OBJECTS: &str = r#"
CREATE TABLE computed (v1 AS (a + 1), a INT, s1 TEXT AS (a || 'ü') STORED, v2 AS (v1 * 2) VIRTUAL NOT NULL, b TEXT
  DEFAULT 'x''y', s2 AS (length(s1) + v1) STORED UNIQUE, CHECK (v2 > 0));
INSERT INTO computed(a) VALUES (1), (9007199254740993), (30); CREATE INDEX on_virtual ON computed(v2, s1 DESC) WHERE v1 > 1;
CREATE TABLE by_three (a TEXT COLLATE NOCASE, b REAL, c BLOB, d, PRIMARY KEY (c, b DESC, a)) WITHOUT ROWID;
INSERT INTO by_three VALUES ('A', -0.0, x'', 1), ('a', 9e999, x'00', NULL), ('b', -9e999, x'', 'x'), ('B', 1, x'ff', x'');
CREATE TABLE random (a, b TEXT) RANDOM ROWID; INSERT INTO random VALUES (1, 'x'), (2, NULL), (3, 'y'); DELETE FROM random WHERE a = 2;
CREATE TABLE random_key (id INTEGER PRIMARY KEY, a) RANDOM ROWID; INSERT INTO random_key(a) VALUES ('x'), ('y');
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO counted VALUES (9223372036854775806, 'x');
CREATE TABLE ends (id INTEGER PRIMARY KEY, a); INSERT INTO ends VALUES (-9223372036854775808, 1), (9223372036854775807, 2);
CREATE TABLE "" ("" , " ", "a""b'c`d]", "täb	line
end", "select", "🦀"); INSERT INTO "" VALUES (1, 2.5, 'x', x'00', NULL, '');
CREATE TABLE [from] (a); INSERT INTO [from] VALUES (1); CREATE TABLE 'quoted''name' (a); INSERT INTO 'quoted''name' VALUES (2);
CREATE TABLE "Ünï ""çödé"" 名前" ("列" INTEGER PRIMARY KEY, "_rowid_", "rowid" TEXT); INSERT INTO "Ünï ""çödé"" 名前" VALUES (5, 6, 7);
CREATE TABLE "temp" (oid, rowid, _rowid_); INSERT INTO "temp" VALUES (1, 2, 3), (0, 0, 0);
CREATE INDEX "an ""odd"" index" ON "Ünï ""çödé"" 名前"("rowid" COLLATE RTRIM, lower("_rowid_"));
CREATE VIEW "a view's name" AS SELECT "列" AS "x y" FROM "Ünï ""çödé"" 名前";
CREATE TRIGGER "on -- it" AFTER INSERT ON [from] BEGIN SELECT 1; /* stays */ END;
CREATE VIRTUAL TABLE found USING fts5(title, body, prefix = '2 3', tokenize = 'unicode61 remove_diacritics 2');
INSERT INTO found VALUES ('Ein Titel', 'Wörter laufen'), ('', 'other words'), (NULL, char(0) || 'after'); DELETE FROM found WHERE rowid = 2;
CREATE TABLE articles (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO articles VALUES (-7, 'outside words'), (1000000000000, 'far words');
CREATE VIRTUAL TABLE outside USING fts5(body, content = 'articles', content_rowid = 'id'); INSERT INTO outside(outside) VALUES ('rebuild');
CREATE VIRTUAL TABLE contentless USING fts5(body, content = ''); INSERT INTO contentless(rowid, body) VALUES (3, 'kept nowhere');
CREATE VIRTUAL TABLE grams USING fts5(body, tokenize = 'trigram'); INSERT INTO grams VALUES ('abcdefg');
CREATE TABLE vectors (id INTEGER PRIMARY KEY, e F32_BLOB(3), d F64_BLOB(3), h F16_BLOB(3), q F8_BLOB(3), z F1BIT_BLOB(3));
CREATE INDEX by_e ON vectors(libsql_vector_idx(e)); CREATE INDEX by_d ON vectors(libsql_vector_idx(d, 'metric=l2'));
CREATE INDEX by_e_late ON vectors(libsql_vector_idx(e, 'compress_neighbors=float8', 'max_neighbors=20'));
INSERT INTO vectors VALUES (1, vector('[1,2,3]'), vector64('[1,2,3e300]'), vector16('[1,2,3]'), vector8('[1,2,3]'), vector1bit('[1,-2,3]')),
  (2, vector('[4,5,6]'), NULL, NULL, NULL, NULL), (3, NULL, NULL, NULL, NULL, NULL), (-4, vector('[-1,0,10]'), vector64('[0,0,0]'), NULL, NULL, NULL);
CREATE TABLE unindexed (e F32_BLOB(3)); INSERT INTO unindexed VALUES (vector('[3e38,-3e38,1e-45]')), (x''), (x'00');
DELETE FROM vectors WHERE id = 2; CREATE INDEX by_nothing ON vectors(libsql_vector_idx(h));
PRAGMA user_version = -2147483648;
"#;

/// All of it.
fn fill(server: &mut Sqld) {
    server.execute(&[numbers(), texts(), wide(), OBJECTS.to_owned()].concat());
    // The server refuses this pragma; but it takes over a file that it finds.
    server.stop();
    Connection::open(server.data_file()).unwrap().pragma_update(None, "application_id", i32::MAX).unwrap();
    std::fs::remove_file(server.data_file().with_file_name("wallog")).unwrap();
    server.start_again();
}

/// Every object's text, and every stored value with its class, as the engine shows them.
#[derive(Debug, PartialEq)]
struct Everything {
    objects: Vec<(String, String, String, Option<String>)>,
    rows: BTreeMap<String, Vec<Vec<String>>>,
    pragmas: Vec<i64>,
}

fn everything(fixture: &Fixture) -> Everything {
    let connection = Connection::open(fixture.source_db()).unwrap();
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid").unwrap();
    let objects: Vec<(String, String, String, Option<String>)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .and_then(Iterator::collect)
        .unwrap();
    let tables = objects.iter().filter(|(kind, ..)| kind == "table").map(|(_, name, ..)| name.clone());
    let rows = tables.chain(["sqlite_schema".to_owned()]).map(|name| {
        let columns = if name == "sqlite_schema" { "type, name" } else { "*" };
        let sql = format!("SELECT {columns} FROM \"{}\" NOT INDEXED", name.replace('"', "\"\""));
        // A virtual table takes no hint.
        let plain = sql.replace(" NOT INDEXED", "");
        let mut statement = connection.prepare(&sql).or_else(|_| connection.prepare(&plain)).unwrap();
        let width = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| (0..width).map(|at| row.get_ref(at).map(shown)).collect();
        let rows: Vec<Vec<String>> = statement.query_map([], row).and_then(Iterator::collect).unwrap();
        (name, rows)
    });
    let rows = rows.collect();
    let pragma = |name| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).unwrap();
    Everything { objects, rows, pragmas: ["user_version", "application_id"].map(pragma).to_vec() }
}

fn shown(value: ValueRef<'_>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => format!("integer {number}"),
        ValueRef::Real(number) => format!("real {:016x}", number.to_bits()),
        ValueRef::Text(bytes) => format!("text {}", hex(bytes)),
        ValueRef::Blob(bytes) => format!("blob {}", hex(bytes)),
    }
}

/// Stops the test at the first difference, which would be lost among all the others.
fn assert_same(one: &Everything, other: &Everything) {
    assert_eq!(one.objects, other.objects);
    assert_eq!(one.pragmas, other.pragmas);
    for (name, rows) in &one.rows {
        for (place, (left, right)) in rows.iter().zip(&other.rows[name]).enumerate() {
            let cell = left.iter().zip(right).position(|(left, right)| left != right);
            assert!(cell.is_none(), "{name} row {place}: {} and {}", left[cell.unwrap()], right[cell.unwrap()]);
        }
        assert_eq!(rows.len(), other.rows[name].len(), "{name}");
    }
    assert_eq!(one, other);
}

#[test]
fn both_methods_of_a_libsql_server_bring_the_same_extremes() {
    let mut server = Sqld::start();
    fill(&mut server);
    let token = server.read_only_token();
    let (replica, sql) = (Fixture::new(), Fixture::new());
    let pages = replica.dump(&request_with(server.url(), &token)).unwrap();
    let rows = sql.dump(&sql_request(server.url(), &token)).unwrap();
    assert_eq!((pages.checkpoint.method, rows.checkpoint.method), (DumpMethod::Replica, DumpMethod::Sql));
    let (held, other) = (everything(&replica), everything(&sql));
    assert_same(&held, &other);
    assert_eq!(pages.checkpoint.content_sha256, rows.checkpoint.content_sha256);
    assert_equals_servers_file(&server, &sql, &rows.checkpoint.content_sha256);
    assert_eq!(held.pragmas, [-2_147_483_648, 2_147_483_647]);

    assert_what_went_in(&held, |_| true);
    assert_eq!(held.rows["texts"][TEXTS.len()][1].len(), "text ".len() + 6_000_000);
    for (table, width) in [("wide", COLUMNS), ("wide_keyed", COLUMNS), ("wide_plain", COLUMNS)] {
        assert_eq!((held.rows[table].len(), held.rows[table][0].len()), (3, width), "{table}");
    }
    // Not by the vector indexes: with a deletion and such values what a search finds hangs on where it begins.
    for fixture in [&replica, &sql] {
        for (question, answer) in [
            ("SELECT group_concat(rowid) FROM found WHERE found MATCH 'worter'", "1"),
            ("SELECT rowid FROM outside WHERE outside MATCH 'far'", "1000000000000"),
            ("SELECT rowid FROM contentless WHERE contentless MATCH 'nowhere'", "3"),
            ("SELECT rowid FROM grams WHERE grams MATCH 'cde'", "1"),
            ("SELECT count(*) FROM computed INDEXED BY on_virtual WHERE v1 > 1 AND v2 = 62", "1"),
            ("SELECT seq FROM sqlite_sequence WHERE name = 'counted'", "9223372036854775806"),
        ] {
            assert_eq!(fixture.value(question), answer, "{question}");
        }
    }
}

/// By its class and its bytes.
fn assert_what_went_in(held: &Everything, is_kept: impl Fn(&[u8]) -> bool) {
    let of = |table: &str, row: usize, column: usize| held.rows[table][row][column].clone();
    for (row, expected) in [
        (0, "integer 9223372036854775807"),
        (1, "integer -9223372036854775808"),
        (6, "real 8000000000000000"),
        (9, "real 7ff0000000000000"),
        (10, "real fff0000000000000"),
        (11, "null"),
        (12, "real 0000000000000001"),
        (18, "real 43dffc0000000000"),
    ] {
        assert_eq!(of("numbers", row, 0), expected, "{}", NUMBERS[row]);
    }
    let bytes = |hex: &str| {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect::<Vec<u8>>()
    };
    for (row, hex) in TEXTS.iter().enumerate().filter(|(_, hex)| is_kept(&bytes(hex))) {
        assert_eq!((of("texts", row, 1), of("texts", row, 2)), (format!("text {hex}"), format!("blob {hex}")));
    }
}

/// Words of statements that the Turso engine refuses: it has no RANDOM ROWID, no FTS5, no vector index and fewer kinds
/// of vectors, and WITHOUT ROWID and generated columns only as experiments.
const NOT_THE_ENGINES: &[&str] = &[
    "text_keys",
    "wide_plain",
    "computed",
    "by_three",
    "random",
    "on -- it",
    "END",
    "found",
    "outside",
    "contentless",
    "grams",
    "vector",
];

#[test]
fn the_pages_of_a_turso_engine_bring_its_extremes() {
    let mut server = SyncServer::start();
    let script = [numbers(), texts(), wide(), OBJECTS.to_owned()].concat();
    let is_the_engines =
        |text: &&str| !text.trim().is_empty() && !NOT_THE_ENGINES.iter().any(|word| text.contains(word));
    let statements: Vec<&str> = script.split_inclusive(';').filter(is_the_engines).collect();
    assert!(statements.len() > 25);
    server.execute(&statements);
    let fixture = Fixture::new();
    let dumped = fixture.dump(&DumpRequest { method: Method::Pages, ..request(server.url()) }).unwrap();
    let held = everything(&fixture);
    // The engine itself repairs what is no UTF-8.
    assert_what_went_in(&held, |bytes| std::str::from_utf8(bytes).is_ok());
    for table in ["wide", "wide_keyed"] {
        assert_eq!((held.rows[table].len(), held.rows[table][2].len()), (3, COLUMNS), "{table}");
    }
    server.stop();
    let own = Fixture::new();
    let file = own.dump(&request(server.data_file().to_str().unwrap())).unwrap();
    assert_same(&held, &everything(&own));
    assert_eq!(dumped.checkpoint.content_sha256, file.checkpoint.content_sha256);
}

/// What the tool may have in memory whatever it does, and how often the largest value besides. Of the 64 MB that are
/// its limit, 17 are for the program itself, which is larger here than what users run, and isn't counted.
const MEMORY_KB: u64 = (64 - 17) * 1024;
const COPIES: u64 = 4;

/// Runs a call and gives the most memory that it had, in kB, without the program itself.
fn peak_kb(tool: Tool) -> u64 {
    let mut running = tool.timeout(Duration::from_secs(600)).spawn();
    let status = format!("/proc/{}/status", running.pid());
    let mut peak = 0;
    while !running.ended() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kilobytes.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(1));
    }
    running.wait().expect_exit(0);
    peak
}

/// Bytes of a value of which a libSQL server takes and sends two in a row, and no more.
const SENT_BYTES_MOST: u64 = 2_000_000;

/// A server that was given a file with a value of so many bytes, which it couldn't send itself, and with tables as wide
/// as PostgreSQL's may be, and wider.
fn giants(bytes: u64) -> Sqld {
    let values: Vec<String> =
        (1..1600).map(|at| if at % 4 == 0 { at.to_string() } else { "NULL".to_owned() }).collect();
    let names: Vec<String> = (1..1600).map(|at| format!("c{at} INTEGER")).collect();
    let (names, values) = (names.join(", "), values.join(", "));
    let mut server = Sqld::start();
    server.stop();
    let connection = Connection::open(server.data_file()).unwrap();
    connection
        .execute_batch(&format!(
            "CREATE TABLE giants (id INTEGER PRIMARY KEY, b BLOB, t TEXT); INSERT INTO giants VALUES (1, randomblob({bytes}), 'x'),
             (2, x'', replace(hex(zeroblob({})), '00', '\"\\ü')), (3, zeroblob(100000), NULL);
             CREATE TABLE widest (id INTEGER PRIMARY KEY, {names}); INSERT INTO widest VALUES (1, {values});
             CREATE TABLE too_wide (id INTEGER PRIMARY KEY, {names}, last)",
            bytes / 8,
        ))
        .unwrap();
    drop(connection);
    std::fs::remove_file(server.data_file().with_file_name("wallog")).unwrap();
    server.start_again();
    server
}

/// `TURSO2NEON_TEST_BLOB_MB` says how large the value is; 32 are enough to tell its copies from all else.
#[test]
fn a_giant_value_takes_no_more_memory_than_four_of_it_and_ends_in_postgresql() {
    let given = std::env::var("TURSO2NEON_TEST_BLOB_MB").ok();
    let bytes = given.map_or(32, |text| text.parse::<u64>().unwrap()) * 1_000_000;
    let source = giants(bytes);
    let workspace = Workspace::new();
    let call = |command: &str, args: &[&str]| {
        workspace
            .tool(command)
            .args(args)
            .env("TURSO_DATABASE_URL", source.url())
            .env("TURSO_AUTH_TOKEN", source.token())
    };
    // Row by row the server can't send it: that is said, and nothing is left.
    let sent = call("dump", &["--method", "sql"]).run().expect_exit(3).expect_text("a method that copies pages");
    assert!(sent.stderr.contains("giants"), "{}", sent.stderr);
    assert!(!workspace.dir().join("dump/source.db").exists());

    let mut peaks = vec![("dump", peak_kb(call("dump", &[])))];
    assert_eq!(workspace.read_json("dump/checkpoint.json")["method"], "replica");
    call("plan", &[]).run().expect_exit(5).expect_text("1601 columns are more than PostgreSQL's 1600");
    let without = ["--exclude", "too_wide", "--accept", "all"];
    peaks.push(("plan", peak_kb(call("plan", &without))));
    peaks.push(("convert", peak_kb(call("convert", &without))));
    peaks.push(("verify", peak_kb(call("verify", &["--against", "local", "--level", "full"]))));
    assert_bounded(&peaks, bytes);
}

#[test]
fn the_largest_value_that_is_sent_as_a_row_takes_no_more_memory_than_four_of_it() {
    let source = Sqld::start();
    source.execute(&format!(
        "CREATE TABLE t (b BLOB, c); INSERT INTO t VALUES (randomblob({SENT_BYTES_MOST}), zeroblob({SENT_BYTES_MOST}));
         INSERT INTO t SELECT c, b FROM t; INSERT INTO t SELECT randomblob({SENT_BYTES_MOST}), c FROM t"
    ));
    let workspace = Workspace::new();
    let call = workspace.tool("dump").args(["--source", &source.url(), "--method", "sql"]);
    let peak = peak_kb(call.env("TURSO_AUTH_TOKEN", source.token()));
    assert_bounded(&[("dump", peak)], SENT_BYTES_MOST);
}

fn assert_bounded(peaks: &[(&str, u64)], bytes: u64) {
    let limit = MEMORY_KB + COPIES * bytes / 1024;
    println!("{peaks:?} of {limit}");
    assert!(peaks.iter().all(|(_, peak)| (1000..limit).contains(peak)), "more than {limit} kB: {peaks:?}");
}
