//! Values and files that PostgreSQL or a plain reader can't take (docs/conversion-rules.md, section 1.8;
//! docs/conversion-rules.md, section 2.1; docs/conversion-rules.md, section 6.7).

use rusqlite::Connection;

use super::fixture::{Expectation, Hazard, JUDGES, LoadedFile, judge, judge_on};
use crate::support::{PgVersion, Workspace};

const TEXTS: &[Hazard] = &[
    Hazard {
        name: "2.1 NUL and invalid UTF-8 in text",
        sql: "CREATE TABLE bad(id INTEGER PRIMARY KEY, few TEXT, key TEXT UNIQUE, many TEXT, short VARCHAR(10), fine TEXT); \
              WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300) \
              INSERT INTO bad SELECT i, 'text ' || i, 'key ' || i, CASE WHEN i % 2 THEN CAST(x'c080ff' AS TEXT) ELSE 'ok' END, 'ok', 'fine' FROM n; \
              UPDATE bad SET few = 'a' || char(0) || 'b' WHERE id = 2; UPDATE bad SET few = CAST(x'61ff62' AS TEXT) WHERE id = 3; \
              UPDATE bad SET key = 'k' || char(0) WHERE id = 2; UPDATE bad SET key = CAST(x'eda080' AS TEXT) WHERE id = 3; \
              UPDATE bad SET short = CAST(x'00' AS TEXT) WHERE id = 9; \
              UPDATE bad SET fine = char(65534) || char(64976) || char(65279) || char(1) || char(8205) || char(1114111) WHERE id = 4",
        must: &[
            Expectation::Type("bad.few", "text"),
            Expectation::Type("bad.key", "bytea"),
            Expectation::Type("bad.many", "bytea"),
            Expectation::Type("bad.fine", "text"),
            Expectation::Holds("SELECT few FROM public.bad WHERE id = 2", "a\u{fffd}b"),
            Expectation::OffType("bad.few", 2),
            Expectation::Holds("SELECT key FROM public.bad WHERE id = 3", "\\xeda080"),
            Expectation::Holds("SELECT many FROM public.bad WHERE id = 1", "\\xc080ff"),
            Expectation::Constraint("bad", "UNIQUE (key)"),
            Expectation::Finding("text-not-storable", "bad.few"),
            Expectation::Finding("text-not-storable", "bad.key"),
            Expectation::Finding("text-not-storable", "bad.many"),
            Expectation::Holds(
                "SELECT fine = U&'\\FFFE\\FDD0\\FEFF\\0001\\200D\\+10FFFF' FROM public.bad WHERE id = 4",
                "t",
            ),
            Expectation::Holds(
                "SELECT raw FROM public._sqlite_offtype WHERE column_name = 'few' ORDER BY row_key",
                "\\x610062\n\\x61ff62",
            ),
        ],
    },
    Hazard {
        name: "2.3 keys that are longer than an index takes",
        sql: "CREATE TABLE long(id INTEGER PRIMARY KEY, u TEXT UNIQUE, i TEXT, two TEXT, small TEXT); CREATE INDEX long_i ON long(i); \
              CREATE UNIQUE INDEX long_two ON long(two, small); CREATE TABLE longpk(k TEXT PRIMARY KEY, v INT); \
              INSERT INTO long VALUES (1, hex(randomblob(2000)), hex(randomblob(2000)), hex(randomblob(2000)), 'a'), (2, 'x', 'y', 'z', 'b'), (3, NULL, NULL, NULL, NULL); \
              INSERT INTO longpk SELECT u, id FROM long WHERE u IS NOT NULL",
        must: &[
            Expectation::Holds("SELECT count(*), max(length(u)) FROM public.long", "3|4000"),
            Expectation::Holds("SELECT count(*) FROM public.longpk", "2"),
            Expectation::Constraint("long", "EXCLUDE USING hash (u WITH =)"),
            Expectation::Constraint("longpk", "EXCLUDE USING hash (k WITH =)"),
            Expectation::Refuses("INSERT INTO public.long(u) VALUES ('x')", "23P01"),
            Expectation::Refuses("INSERT INTO public.longpk VALUES ('x', 1)", "23P01"),
            Expectation::Index("long", "long_i ON public.long USING"),
            Expectation::Refuses("INSERT INTO public.long(two, small) VALUES ('z', 'b')", "23505"),
        ],
    },
];

const JSONB: &[Hazard] = &[Hazard {
    name: "1.7 SQLite's own binary JSON",
    sql: "CREATE TABLE t11b(id INTEGER PRIMARY KEY, j JSONB, b BLOB, t JSON); \
          INSERT INTO t11b VALUES(1, jsonb('{\"a\": [1, \"x\", null]}'), x'13', '{}'), (2, jsonb('[true]'), x'00', jsonb('{\"k\":1}'))",
    must: &[
        Expectation::Type("t11b.j", "jsonb"),
        Expectation::Type("t11b.b", "bytea"),
        Expectation::Holds("SELECT j FROM public.t11b ORDER BY id", "{\"a\": [1, \"x\", null]}\n[true]"),
    ],
}];

/// The SQL of these hazards.
pub(super) fn hazards() -> Vec<&'static str> {
    [TEXTS, JSONB].into_iter().flatten().map(|hazard| hazard.sql).collect()
}

#[test]
fn text_that_postgresql_refuses_and_keys_that_are_too_long() {
    judge(TEXTS);
}

#[test]
fn binary_json() {
    judge(JSONB);
}

#[test]
fn utf_16_files_hold_the_same_text() {
    judge(&[Hazard {
        name: "6.7 a file in UTF-16",
        sql: "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t13(id INTEGER PRIMARY KEY, v TEXT UNIQUE, \"é日\" TEXT DEFAULT 'ü', b BLOB); \
              INSERT INTO t13 VALUES (1, 'Käse 日本 😀', 'a', x'00ff'), (2, '', NULL, NULL), (3, 'é', 'é', x''); CREATE INDEX \"i😀\" ON t13(\"é日\")",
        must: &[
            Expectation::Holds(
                "SELECT v, \"é日\", b FROM public.t13 ORDER BY id",
                "Käse 日本 😀|a|\\x00ff\n|~|~\né|é|\\x",
            ),
            Expectation::Holds("INSERT INTO public.t13(v) VALUES ('x') RETURNING \"é日\"", "ü"),
            Expectation::Index("t13", "\"i😀\""),
        ],
    }]);
}

#[test]
fn tables_wider_than_postgresql_are_reported_and_the_rest_arrives() {
    let columns: Vec<String> = (0..1700).map(|number| format!("c{number} INT")).collect();
    let workspace = Workspace::new();
    let script = format!(
        "CREATE TABLE wide({}); INSERT INTO wide(c0, c1699) VALUES (1, 2); CREATE TABLE narrow(v INT); INSERT INTO narrow VALUES (7)",
        columns.join(", ")
    );
    let source = workspace.sqlite("source.db", &script);
    workspace.tool("dump").arg("--source").arg(&source).run().expect_exit(0);
    let refused = workspace.tool("plan").args(["--accept", "all"]).run();
    assert!([1, 5].contains(&refused.code().unwrap()), "{refused:?}");
    let refused = refused.expect_text("wide");
    drop(refused);
    std::fs::remove_dir_all(workspace.dir()).unwrap();
    std::fs::write(workspace.path().join("turso2neon.toml"), "exclude = [\"wide\"]\n").unwrap();
    let arrived = LoadedFile::take(JUDGES[0], workspace, &source);
    assert_eq!(arrived.target.value("SELECT v FROM public.narrow"), "7");
}

#[test]
fn rows_that_are_only_in_the_wal_arrive() {
    for which in JUDGES {
        let workspace = Workspace::new();
        let source = workspace.path().join("source.db");
        let writer = Connection::open(&source).unwrap();
        writer
            .execute_batch(
                "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; CREATE TABLE t30(id INTEGER PRIMARY KEY, v TEXT); \
                 INSERT INTO t30 VALUES (1, 'only in the wal')",
            )
            .unwrap();
        let copy = workspace.path().join("copy.db");
        std::fs::copy(&source, &copy).unwrap();
        std::fs::copy(workspace.path().join("source.db-wal"), workspace.path().join("copy.db-wal")).unwrap();
        drop(writer);
        let arrived = LoadedFile::take(which, workspace, &copy);
        assert_eq!(arrived.target.value("SELECT v FROM public.t30"), "only in the wal");
    }
}

const VECTORS: &str = "CREATE TABLE t31(id INTEGER PRIMARY KEY, e F32_BLOB(3), d F64_BLOB(2), bits F1BIT_BLOB(10), ragged F32_BLOB(2), word F32_BLOB(2), nan F32_BLOB(1), free F32_BLOB(4), h F16_BLOB(3), bf FB16_BLOB(2)); \
    INSERT INTO t31 VALUES (1, vector32('[1, 2.5, -3]'), vector64('[0.1, 2]'), vector1bit('[1, -1, 1, 1, -1, -1, -1, -1, 1, 1]'), vector32('[1, 2]'), '[1,2]', x'0000c07f', vector32('[1, 2, 3, 4]'), vector16('[1, 0.5, -2]'), vectorb16('[1, 2]')), \
    (2, vector32('[0, 0, 0]'), NULL, NULL, vector32('[1, 2, 3]'), vector32('[1, 2]'), vector32('[1]'), NULL, NULL, NULL); \
    CREATE INDEX t31_idx ON t31(libsql_vector_idx(e, 'metric=cosine'))";

#[test]
fn vectors_become_pgvectors() {
    judge_on(
        &[PgVersion::Pgvector],
        &[Hazard {
            name: "1.8 with pgvector",
            sql: VECTORS,
            must: &[
                Expectation::Type("t31.e", "vector(3)"),
                Expectation::Type("t31.d", "double precision[]"),
                Expectation::Type("t31.bits", "bit(10)"),
                Expectation::Type("t31.ragged", "bytea"),
                Expectation::Type("t31.nan", "bytea"),
                Expectation::Type("t31.h", "halfvec(3)"),
                Expectation::Type("t31.bf", "vector(2)"),
                Expectation::Holds(
                    "SELECT e, d, bits, h, bf FROM public.t31 WHERE id = 1",
                    "[1,2.5,-3]|{0.1,2}|1011000011|[1,0.5,-2]|[1,2]",
                ),
                Expectation::Index("t31", "USING hnsw (e vector_cosine_ops)"),
            ],
        }],
    );
}

#[test]
fn vectors_become_arrays_where_the_extension_is_missing() {
    judge(&[Hazard {
        name: "1.8 without pgvector",
        sql: VECTORS,
        must: &[
            Expectation::Type("t31.e", "real[]"),
            Expectation::Type("t31.d", "double precision[]"),
            Expectation::Type("t31.bits", "bit(10)"),
            Expectation::Type("t31.ragged", "bytea"),
            Expectation::Holds("SELECT e, d, bits FROM public.t31 WHERE id = 1", "{1,2.5,-3}|{0.1,2}|1011000011"),
            Expectation::Finding("vector-extension-missing", "t31.e"),
            Expectation::Finding("index-not-carried", "t31.t31_idx"),
        ],
    }]);
}

#[test]
fn random_rowids_are_read_and_go_on_counting() {
    judge(&[Hazard {
        name: "6.7 RANDOM ROWID",
        sql: "CREATE TABLE t32(v TEXT) RANDOM ROWID; INSERT INTO t32 VALUES ('a'), ('b'); CREATE TABLE t32plain(id INTEGER PRIMARY KEY, v); INSERT INTO t32plain VALUES (1, 2)",
        must: &[
            Expectation::Holds("SELECT v FROM public.t32 ORDER BY v", "a\nb"),
            Expectation::Holds("SELECT id, v FROM public.t32plain", "1|2"),
        ],
    }]);
}

#[test]
fn every_page_size_and_vacuum_mode_is_read() {
    let workspace = Workspace::new();
    for (number, size) in [512, 1024, 4096, 65536].into_iter().enumerate() {
        let vacuum = number % 3;
        let script = format!(
            "PRAGMA page_size={size}; PRAGMA auto_vacuum={vacuum}; CREATE TABLE p(id INTEGER PRIMARY KEY, v TEXT, b BLOB); \
             INSERT INTO p VALUES (1, hex(zeroblob(70000)), zeroblob(200000)), (2, 'x', NULL); DELETE FROM p WHERE id = 2; INSERT INTO p VALUES (3, 'y', x'01')"
        );
        let source = workspace.sqlite(&format!("pages{size}.db"), &script);
        let arrived = LoadedFile::take(JUDGES[1], Workspace::new(), &source);
        assert_eq!(
            arrived.target.value("SELECT sum(length(v)) || ' ' || sum(octet_length(b)) FROM public.p"),
            "140001 200001"
        );
    }
}
