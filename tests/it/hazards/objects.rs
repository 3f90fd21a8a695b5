//! Defaults, generated columns, views, triggers, virtual and internal tables
//! (docs/conversion-rules.md, section 5.1; docs/conversion-rules.md, section 6.1).

use super::fixture::{Expectation, Hazard, judge};

const DEFAULTS: &[Hazard] = &[
    Hazard {
        name: "5.1 constant defaults",
        sql: "CREATE TABLE t23(id INTEGER PRIMARY KEY, s TEXT DEFAULT 'it''s', word TEXT DEFAULT bare, five TEXT DEFAULT 5, seven INT DEFAULT '7', \
              bad INT DEFAULT 'abc', flag BOOLEAN DEFAULT 1, off BOOLEAN DEFAULT '0', yes INT DEFAULT TRUE, hex INT DEFAULT 0x1F, \
              huge REAL DEFAULT 9223372036854775808, raw BLOB DEFAULT x'00ff', neg INT DEFAULT -5, plus REAL DEFAULT +1.5, long VARCHAR(2) DEFAULT 'longer', \
              nul TEXT DEFAULT NULL, expr INT DEFAULT (1 + 2 * 3), cat TEXT DEFAULT ('a' || 'b'), day DATE DEFAULT '2024-02-29', d DECIMAL(10,2) DEFAULT 1.5); \
              INSERT INTO t23(id) VALUES (1); UPDATE t23 SET bad = 3, long = 'xx'; \
              INSERT INTO t23 VALUES (2, 'x', 'x', 'x', 1, 2, 0, 1, 1, 1, 1.5, x'01', 1, 1, 'x', 'x', 1, 'x', '2024-01-01', 1)",
        must: &[
            Expectation::Holds(
                "INSERT INTO public.t23(bad) VALUES (NULL) RETURNING s, word, five, seven, flag, off, yes, hex, huge, raw, neg, plus, nul, expr, cat, day, d",
                "it's|bare|5|7|t|f|1|31|9.223372036854776e+18|\\x00ff|-5|1.5|~|7|ab|2024-02-29|1.50",
            ),
            Expectation::Type("t23.bad", "bigint"),
            Expectation::Finding("default-not-carried", "t23.bad"),
        ],
    },
    Hazard {
        name: "5.1 defaults that are functions, in UTC",
        sql: "CREATE TABLE t23f(id INTEGER PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP, low DATETIME DEFAULT current_timestamp, dt DATETIME DEFAULT (datetime('now')), \
              day DATE DEFAULT CURRENT_DATE, tm TIME DEFAULT CURRENT_TIME, epoch INT DEFAULT (unixepoch()), s INT DEFAULT (strftime('%s', 'now')), \
              ms INT DEFAULT (cast((julianday('now') - 2440587.5) * 86400000 AS INTEGER)), iso TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), \
              id32 TEXT DEFAULT (lower(hex(randomblob(16)))), blob BLOB DEFAULT (randomblob(16)), rnd INT DEFAULT (random()), \
              here TEXT DEFAULT (datetime('now', 'localtime')), \
              uuid TEXT DEFAULT (lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-4' || substr(lower(hex(randomblob(2))), 2) || '-' || \
              substr('89ab', abs(random()) % 4 + 1, 1) || substr(lower(hex(randomblob(2))), 2) || '-' || lower(hex(randomblob(6))))); \
              INSERT INTO t23f(id) VALUES (1)",
        must: &[
            Expectation::Holds(
                "INSERT INTO public.t23f(here) VALUES (NULL) RETURNING at = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), \
                 abs(extract(epoch FROM low - (now() AT TIME ZONE 'UTC'))) < 2, abs(extract(epoch FROM dt - (now() AT TIME ZONE 'UTC'))) < 2, \
                 day::text = to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD'), abs(epoch - extract(epoch FROM now())) < 2, s::text ~ '^\\d{10}$', ms::text ~ '^\\d{13}$', \
                 iso ~ '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$', id32 ~ '^[0-9a-f]{32}$', octet_length(blob), rnd IS NOT NULL, \
                 uuid ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'",
                "t|t|t|t|t|t|t|t|t|16|t|t",
            ),
            Expectation::Finding("default-not-carried", "t23f.here"),
        ],
    },
    Hazard {
        name: "6.1 generated columns",
        sql: "CREATE TABLE t24(id INTEGER PRIMARY KEY, a INT, b INT, s TEXT, r REAL, total INT GENERATED ALWAYS AS (a + b) STORED, \
              virt INT AS (a * 2) VIRTUAL, chain INT AS (virt + 1), low TEXT AS (lower(s)) STORED, rt TEXT AS ('x' || r), j JSON, \
              k TEXT AS (json_extract(j, '$.k')), fmt TEXT AS (strftime('%W', s)) VIRTUAL); \
              INSERT INTO t24(id, a, b, s, r, j) VALUES (1, 2, 3, 'AbÉ', 1.0, '{\"k\":\"v\"}'), (2, NULL, 4, NULL, 0.5, NULL)",
        must: &[
            Expectation::Holds(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'public.t24'::regclass AND attgenerated = 's' AND attname IN ('total', 'virt', 'chain', 'low') ORDER BY 1",
                "chain\nlow\ntotal\nvirt",
            ),
            Expectation::Holds(
                "SELECT total, virt, chain, low, rt, k FROM public.t24 ORDER BY id",
                "5|4|5|abÉ|x1.0|v\n~|~|~|~|x0.5|~",
            ),
            Expectation::Finding("generated-as-plain", "t24.fmt"),
            Expectation::Holds(
                "INSERT INTO public.t24(a, b, s) VALUES (7, 8, 'Q') RETURNING total, virt, chain, low",
                "15|14|15|q",
            ),
        ],
    },
];

const TABLES: &[Hazard] = &[
    Hazard {
        name: "6.5 virtual tables: the only copy of the rows, or none",
        sql: "CREATE VIRTUAL TABLE t27own USING fts5(title, body); INSERT INTO t27own VALUES ('a', 'some words'), ('b', NULL); \
              CREATE TABLE t27docs(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO t27docs VALUES (1, 'x'); \
              CREATE VIRTUAL TABLE t27ext USING fts5(body, content='t27docs', content_rowid='id'); \
              CREATE VIRTUAL TABLE t27less USING fts5(body, content=''); INSERT INTO t27less(rowid, body) VALUES (1, 'gone'); \
              CREATE VIRTUAL TABLE t27four USING fts4(subject, body); INSERT INTO t27four VALUES ('s', 'b'); \
              CREATE VIRTUAL TABLE t27rt USING rtree(id, x0, x1); INSERT INTO t27rt VALUES (1, 1.5, 2.5), (7, -1, 0.1); \
              CREATE TABLE notes_content(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO notes_content VALUES (1, 'mine'); \
              CREATE TRIGGER t27ai AFTER INSERT ON t27docs BEGIN INSERT INTO t27ext(rowid, body) VALUES (new.id, new.body); END",
        must: &[
            Expectation::Holds("SELECT title, body FROM public.t27own ORDER BY title", "a|some words\nb|~"),
            Expectation::Holds("SELECT subject, body FROM public.t27four", "s|b"),
            Expectation::Holds(
                "SELECT id, x0, x1 FROM public.t27rt ORDER BY id",
                "1|1.5|2.5\n7|-1|0.10000000149011612",
            ),
            Expectation::Holds("SELECT v FROM public.notes_content", "mine"),
            Expectation::Absent("t27own_data"),
            Expectation::Absent("t27own_content"),
            Expectation::Absent("t27four_segments"),
            Expectation::Absent("t27rt_node"),
            Expectation::Absent("t27ext"),
            Expectation::Absent("t27less"),
            Expectation::Finding("virtual-table-as-plain", "t27own"),
            Expectation::Finding("table-skipped", "t27ext"),
            Expectation::Finding("table-not-readable", "t27less"),
            Expectation::Object("trigger", "t27ai", "not-carried"),
            Expectation::Holds("INSERT INTO public.t27docs(body) VALUES ('new') RETURNING body", "new"),
        ],
    },
    Hazard {
        name: "6.6 internal tables of the engines stay, tables of the tools are carried",
        sql: "CREATE TABLE \"__drizzle_migrations\"(id SERIAL PRIMARY KEY, hash text NOT NULL, created_at numeric); \
              INSERT INTO \"__drizzle_migrations\"(hash, created_at) VALUES ('abc', 1700000000000), ('def', 1700000000001); \
              CREATE TABLE _cf_KV(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID; CREATE TABLE _cf_METADATA(key INTEGER PRIMARY KEY, value BLOB); \
              CREATE TABLE _litestream_seq(id INTEGER PRIMARY KEY, seq INTEGER); CREATE TABLE _litestream_lock(id INTEGER); \
              CREATE TABLE d1_migrations(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL); \
              INSERT INTO d1_migrations(name, applied_at) VALUES ('0001', '2024-01-01 00:00:00'); \
              CREATE TABLE schema_migrations(version VARCHAR NOT NULL PRIMARY KEY); INSERT INTO schema_migrations VALUES ('20240101000000')",
        must: &[
            Expectation::Holds(
                "SELECT id, hash, created_at FROM public.\"__drizzle_migrations\" ORDER BY hash",
                "~|abc|1700000000000\n~|def|1700000000001",
            ),
            Expectation::Constraint("__drizzle_migrations", "UNIQUE (id)"),
            Expectation::Absent("_cf_KV"),
            Expectation::Absent("_cf_METADATA"),
            Expectation::Absent("_litestream_seq"),
            Expectation::Absent("_litestream_lock"),
            Expectation::Finding("table-skipped", "_cf_KV"),
            Expectation::Finding("table-skipped", "_litestream_seq"),
            Expectation::Holds("SELECT name, applied_at FROM public.d1_migrations", "0001|2024-01-01 00:00:00"),
            Expectation::Holds("SELECT version FROM public.schema_migrations", "20240101000000"),
        ],
    },
    Hazard {
        name: "6.7 what a file stores and what it means",
        sql: "CREATE TABLE t34(id INTEGER PRIMARY KEY, a TEXT, r REAL); INSERT INTO t34 VALUES (1, 'old', 3), (-7, 'neg', 4.5); \
              ALTER TABLE t34 ADD COLUMN added TEXT DEFAULT 'late'; ALTER TABLE t34 ADD COLUMN num INT DEFAULT 9; ALTER TABLE t34 ADD COLUMN nul INT; \
              ALTER TABLE t34 ADD COLUMN v INT AS (id * 2) VIRTUAL; INSERT INTO t34(id, a, r, added, num, nul) VALUES (2, 'new', 5, 'x', 1, 2); \
              ALTER TABLE t34 RENAME COLUMN a TO renamed; \
              CREATE TABLE t34wr(b TEXT, a INT, c INT, PRIMARY KEY(a, c, a)) WITHOUT ROWID; INSERT INTO t34wr VALUES ('x', 2, 1), ('y', 1, 2); \
              CREATE TABLE t34big(id INTEGER PRIMARY KEY, v TEXT, w BLOB); INSERT INTO t34big VALUES (1, hex(zeroblob(100000)), zeroblob(300000)); \
              CREATE TABLE t34del(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t34del SELECT value, hex(zeroblob(500)) FROM \
              (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 400) SELECT value FROM n); DELETE FROM t34del WHERE id % 3 <> 0; \
              CREATE TABLE t34drop(a, b, c); INSERT INTO t34drop VALUES (1, 2, 3); ALTER TABLE t34drop DROP COLUMN b",
        must: &[
            Expectation::Holds(
                "SELECT id, renamed, r, added, num, nul, v FROM public.t34 ORDER BY id",
                "-7|neg|4.5|late|9|~|-14\n1|old|3|late|9|~|2\n2|new|5|x|1|2|4",
            ),
            Expectation::Holds("SELECT b, a, c FROM public.t34wr ORDER BY b", "x|2|1\ny|1|2"),
            Expectation::Constraint("t34wr", "PRIMARY KEY (a, c)"),
            Expectation::Holds("SELECT length(v), octet_length(w) FROM public.t34big", "200000|300000"),
            Expectation::Holds("SELECT count(*), sum(id) FROM public.t34del", "133|26733"),
            Expectation::Holds("SELECT a, c FROM public.t34drop", "1|3"),
        ],
    },
];

const QUERIES: &[Hazard] = &[
    Hazard {
        name: "6.3 views that give the same rows",
        sql: "CREATE TABLE t25(id INTEGER PRIMARY KEY, name TEXT, n INT, flag BOOLEAN, r REAL); \
              INSERT INTO t25 VALUES (1, 'Ann', 5, 1, 1.5), (2, 'bob', NULL, 0, NULL), (3, 'ANN', 7, 1, 2.5), (4, NULL, 5, NULL, -0.5); \
              CREATE VIEW t25plain AS SELECT id, name FROM t25 WHERE flag; \
              CREATE VIEW t25count AS SELECT n, count(*), max(id) FROM t25 GROUP BY n; \
              CREATE VIEW t25dup AS SELECT a.id, b.id FROM t25 a JOIN t25 b ON b.id = a.id + 1; \
              CREATE VIEW t25like AS SELECT id FROM t25 WHERE name LIKE 'a%'; \
              CREATE VIEW t25div(half, isn) AS SELECT n / 2, name IS NULL FROM t25; \
              CREATE VIEW t25nested AS SELECT id FROM t25plain WHERE id > 1; \
              CREATE VIEW t25null AS SELECT id, ifnull(n, 0) AS n FROM t25 ORDER BY n, id; \
              CREATE VIEW t25win AS SELECT id, row_number() OVER (ORDER BY id) AS rn FROM t25; \
              CREATE VIEW t25cte AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 4) SELECT x FROM c; \
              CREATE VIEW t25broken AS SELECT gone FROM nowhere; \
              CREATE VIEW t25bare AS SELECT name, n FROM t25 GROUP BY n; \
              CREATE VIEW t25rowid AS SELECT rowid FROM t25log; CREATE TABLE t25log(v)",
        must: &[
            Expectation::Holds("SELECT id, name FROM public.t25plain ORDER BY id", "1|Ann\n3|ANN"),
            Expectation::Holds(
                "SELECT n, \"count(*)\", \"max(id)\" FROM public.t25count ORDER BY n NULLS FIRST",
                "~|1|2\n5|2|4\n7|1|3",
            ),
            Expectation::Holds("SELECT id, \"id:1\" FROM public.t25dup ORDER BY id", "1|2\n2|3\n3|4"),
            Expectation::Holds("SELECT id FROM public.t25like ORDER BY id", "1\n3"),
            Expectation::Holds(
                "SELECT half, isn FROM public.t25div ORDER BY half NULLS FIRST, isn",
                "~|f\n2|f\n2|t\n3|f",
            ),
            Expectation::Holds("SELECT id FROM public.t25nested", "3"),
            Expectation::Holds("SELECT rn FROM public.t25win WHERE id = 3", "3"),
            Expectation::Holds("SELECT sum(x) FROM public.t25cte", "10"),
            Expectation::Object("view", "t25plain", "translated"),
            Expectation::Finding("view-not-carried", "t25broken"),
            Expectation::Finding("view-not-carried", "t25bare"),
            Expectation::Object("view", "t25broken", "not-carried"),
            Expectation::Absent("t25broken"),
            Expectation::Absent("t25bare"),
        ],
    },
    Hazard {
        name: "6.4 triggers",
        sql: "CREATE TABLE t26(id INTEGER PRIMARY KEY, v INT, updated_at TEXT, hits INT DEFAULT 0); CREATE TABLE t26log(id INTEGER PRIMARY KEY, what TEXT, ref INT); \
              INSERT INTO t26 VALUES (1, 1, 'never', 0); \
              CREATE TRIGGER t26touch AFTER UPDATE ON t26 FOR EACH ROW BEGIN UPDATE t26 SET updated_at = 'now' WHERE id = NEW.id; END; \
              CREATE TRIGGER t26ins AFTER INSERT ON t26 BEGIN INSERT INTO t26log(what, ref) VALUES ('insert', NEW.id); END; \
              CREATE TRIGGER t26del AFTER DELETE ON t26 WHEN OLD.v > 5 BEGIN INSERT INTO t26log(what, ref) VALUES ('delete', OLD.id); END; \
              CREATE TRIGGER t26no BEFORE INSERT ON t26 WHEN NEW.v < 0 BEGIN SELECT RAISE(ABORT, 'no negatives'); END; \
              CREATE TRIGGER t26case BEFORE UPDATE OF v ON t26 BEGIN SELECT CASE WHEN NEW.v > 100 THEN RAISE(FAIL, 'too much') END; END; \
              CREATE TRIGGER t26app AFTER INSERT ON t26log BEGIN SELECT my_function(NEW.id); END",
        must: &[
            Expectation::Holds("SELECT count(*) FROM public.t26log", "0"),
            Expectation::Holds("SELECT updated_at FROM public.t26", "never"),
            Expectation::Holds(
                "UPDATE public.t26 SET v = 2 WHERE id = 1; SELECT v, updated_at FROM public.t26",
                "2|now",
            ),
            Expectation::Holds("INSERT INTO public.t26(v) VALUES (9); SELECT what, ref FROM public.t26log", "insert|2"),
            Expectation::Holds(
                "DELETE FROM public.t26 WHERE id = 2; SELECT what, ref FROM public.t26log ORDER BY id",
                "insert|2\ndelete|2",
            ),
            Expectation::Refuses("INSERT INTO public.t26(v) VALUES (-1)", "23000"),
            Expectation::Refuses("UPDATE public.t26 SET v = 101", "23000"),
            Expectation::Object("trigger", "t26touch", "translated"),
            Expectation::Object("trigger", "t26app", "not-carried"),
            Expectation::Finding("trigger-not-carried", "t26log.t26app"),
        ],
    },
    Hazard {
        name: "6.3 the rowid that nobody declared",
        sql: "CREATE TABLE t36(name TEXT, rowid_ INT); INSERT INTO t36 VALUES ('a', 1), ('b', 2); CREATE VIEW t36v AS SELECT rowid, name FROM t36; \
              CREATE TABLE t36own(rowid TEXT, oid TEXT, _rowid_ TEXT); INSERT INTO t36own VALUES ('x', 'y', 'z'); \
              CREATE INDEX t36i ON t36(rowid_ COLLATE NOCASE); CREATE UNIQUE INDEX t36u ON t36(name COLLATE NOCASE)",
        must: &[
            Expectation::Holds("SELECT rowid, oid, _rowid_ FROM public.t36own", "x|y|z"),
            Expectation::Object("view", "t36v", "not-carried"),
            Expectation::Finding("view-not-carried", "t36v"),
            Expectation::Index("t36", "(rowid_ NULLS FIRST)"),
            Expectation::Index("t36", "(lower((name COLLATE \"C\"))"),
        ],
    },
];

/// The SQL of these hazards.
pub(super) fn hazards() -> Vec<&'static str> {
    [DEFAULTS, TABLES, QUERIES].into_iter().flatten().map(|hazard| hazard.sql).collect()
}

#[test]
fn defaults_and_generated_columns() {
    judge(DEFAULTS);
}

#[test]
fn virtual_and_internal_tables() {
    judge(TABLES);
}

#[test]
fn views_and_triggers() {
    judge(QUERIES);
}
