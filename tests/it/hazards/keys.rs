//! Identity, names and constraints (docs/conversion-rules.md, section 1.9;
//! docs/conversion-rules.md, section 3.1; docs/conversion-rules.md, section 4.1).

use super::fixture::{Expectation, Hazard, judge};

const IDENTITY: &[Hazard] = &[
    Hazard {
        name: "1.9 the counter goes on where SQLite's stands",
        sql: "CREATE TABLE t02auto(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO t02auto(v) VALUES (1), (2), (3); \
              DELETE FROM t02auto WHERE id > 1; \
              CREATE TABLE t02plain(id INTEGER PRIMARY KEY, v); INSERT INTO t02plain VALUES (41, 1); \
              CREATE TABLE t02neg(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO t02neg VALUES (-5, 1); \
              CREATE TABLE t02max(id INTEGER PRIMARY KEY, v); INSERT INTO t02max VALUES (9223372036854775807, 1); \
              CREATE TABLE t02odd(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO t02odd VALUES (7, 1); \
              UPDATE sqlite_sequence SET seq = 'many' WHERE name = 't02odd'; \
              CREATE TABLE t02empty(id INTEGER PRIMARY KEY, v)",
        must: &[
            Expectation::Holds("INSERT INTO public.t02auto(v) VALUES (4) RETURNING id", "4"),
            Expectation::Holds("INSERT INTO public.t02plain(v) VALUES (4) RETURNING id", "42"),
            Expectation::Holds("INSERT INTO public.t02neg(v) VALUES (4) RETURNING id", "1"),
            Expectation::Holds("INSERT INTO public.t02odd(v) VALUES (4) RETURNING id", "8"),
            Expectation::Holds("INSERT INTO public.t02empty(v) VALUES (4) RETURNING id", "1"),
            Expectation::Holds("INSERT INTO public.t02plain VALUES (7, 7) RETURNING id", "7"),
            Expectation::Finding("identity-exhausted", "t02max.id"),
            Expectation::Refuses("INSERT INTO public.t02max(v) VALUES (4)", "23505"),
            Expectation::Refuses("INSERT INTO public.t02plain VALUES (NULL, 7)", "23502"),
        ],
    },
    Hazard {
        name: "1.9 which columns count by themselves",
        sql: "CREATE TABLE t02int(id INT PRIMARY KEY, v); INSERT INTO t02int VALUES (1, 1); \
              CREATE TABLE t02desc(id INTEGER PRIMARY KEY DESC, v); INSERT INTO t02desc VALUES (1, 1), (NULL, 2), (NULL, 3); \
              CREATE TABLE t02table(id INTEGER, v, PRIMARY KEY(id DESC)); INSERT INTO t02table VALUES (1, 1); \
              CREATE TABLE t02quoted(id \"INTEGER\" PRIMARY KEY, v); INSERT INTO t02quoted VALUES (1, 1); \
              CREATE TABLE t02wide(id INTEGER(11) PRIMARY KEY, v); INSERT INTO t02wide VALUES (1, 1); \
              CREATE TABLE t02wr(id INTEGER PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO t02wr VALUES (1, 1)",
        must: &[
            Expectation::Holds(
                "SELECT c.relname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                 WHERE a.attidentity = 'd' AND c.relname IN ('t02int', 't02desc', 't02table', 't02quoted', 't02wide', 't02wr') ORDER BY 1",
                "t02quoted\nt02table",
            ),
            Expectation::Constraint("t02int", "PRIMARY KEY (id)"),
            Expectation::Constraint("t02desc", "UNIQUE (id)"),
            Expectation::Constraint("t02wr", "PRIMARY KEY (id)"),
            Expectation::Finding("nulls-in-primary-key", "t02desc.id"),
        ],
    },
    Hazard {
        name: "4.1 NULLs in primary keys",
        sql: "CREATE TABLE t03(code TEXT PRIMARY KEY, v); INSERT INTO t03 VALUES ('a', 1), (NULL, 2), (NULL, 3); \
              CREATE TABLE t03two(a INT, b INT, v, PRIMARY KEY(a, b)); INSERT INTO t03two VALUES (1, 1, 1), (1, NULL, 2), (1, NULL, 3); \
              CREATE TABLE t03ok(code TEXT PRIMARY KEY, v); INSERT INTO t03ok VALUES ('a', 1); \
              CREATE TABLE t03wr(b, a, c, PRIMARY KEY(a, c)) WITHOUT ROWID; INSERT INTO t03wr VALUES (1, 2, 3); \
              CREATE TABLE t03child(p TEXT REFERENCES t03(code)); INSERT INTO t03child VALUES ('a'), (NULL)",
        must: &[
            Expectation::Constraint("t03", "UNIQUE (code)"),
            Expectation::NoConstraint("t03", "PRIMARY KEY"),
            Expectation::Constraint("t03two", "UNIQUE (a, b)"),
            Expectation::Constraint("t03ok", "PRIMARY KEY (code)"),
            Expectation::Constraint("t03wr", "PRIMARY KEY (a, c)"),
            Expectation::Constraint("t03child", "FOREIGN KEY (p) REFERENCES t03(code)"),
            Expectation::Holds("SELECT count(*) FROM public.t03", "3"),
            Expectation::Finding("nulls-in-primary-key", "t03.code"),
        ],
    },
];

const NAMES: &[Hazard] = &[
    Hazard {
        name: "3.1 names in another case",
        sql: "CREATE TABLE \"T16Parent\"(\"Id\" INTEGER PRIMARY KEY, \"Mixed Case\" TEXT, É, é); \
              CREATE TABLE t16child(\"pId\" INT REFERENCES T16PARENT(ID), v); \
              CREATE INDEX \"T16Idx\" ON t16PARENT(\"MIXED CASE\" desc); \
              INSERT INTO T16parent VALUES (1, 'x', 1, 2); INSERT INTO t16child VALUES (1, 2)",
        must: &[
            Expectation::Constraint("t16child", "FOREIGN KEY (\"pId\") REFERENCES \"T16Parent\"(\"Id\")"),
            Expectation::Index("T16Parent", "(\"Mixed Case\" DESC NULLS LAST)"),
            Expectation::Holds("SELECT \"É\", \"é\" FROM public.\"T16Parent\"", "1|2"),
        ],
    },
    Hazard {
        name: "3.1 names that PostgreSQL forbids or cuts",
        sql: "CREATE TABLE \"\"(\"\" INT); INSERT INTO \"\" VALUES (1); \
              CREATE TABLE t17(ctid INT, xmin TEXT, xmin_ TEXT, oid INT, CTID_ INT, tableoid INT, \"select\" INT, \"a\"\"b\" INT, \"100%\" INT, \
              \"$1\" INT, \"a\\b\" INT, \"line\nbreak\" INT, \"-- x; DROP\" INT, \"😀\" INT, \"dot.ted\" INT); \
              INSERT INTO t17 VALUES (1, 'a', 'b', 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13); \
              CREATE TABLE \"a_table_whose_name_is_much_longer_than_the_sixty_three_bytes_of_postgresql_one\"( \
              \"a_column_whose_name_is_much_longer_than_the_sixty_three_bytes_of_postgresql_one\" INT, \
              \"a_column_whose_name_is_much_longer_than_the_sixty_three_bytes_of_postgresql_two\" INT); \
              INSERT INTO \"a_table_whose_name_is_much_longer_than_the_sixty_three_bytes_of_postgresql_one\" VALUES (1, 2); \
              CREATE TABLE \"a_table_whose_name_is_much_longer_than_the_sixty_three_bytes_of_postgresql_two\"(v INT); \
              CREATE TABLE \"日本語日本語日本語日本語日本語日本語日本語日本語日本語\"(v INT); \
              CREATE TABLE \"pg_class\"(v INT); INSERT INTO \"pg_class\" VALUES (5); CREATE TABLE \"text\"(v INT); CREATE TABLE \"user\"(v INT)",
        must: &[
            Expectation::Holds("SELECT \"_unnamed\" FROM public.\"_unnamed\"", "1"),
            Expectation::Holds("SELECT \"ctid_1\" IS NOT NULL OR true FROM (SELECT 1 AS ctid_1) x", "t"),
            Expectation::Holds(
                "SELECT xmin_, oid, \"CTID_\", tableoid_, \"select\", \"a\"\"b\" FROM public.t17",
                "b|2|3|4|5|6",
            ),
            Expectation::Holds(
                "SELECT \"100%\", \"$1\", \"a\\b\", \"line\nbreak\", \"-- x; DROP\", \"😀\", \"dot.ted\" FROM public.t17",
                "7|8|9|10|11|12|13",
            ),
            Expectation::Holds(
                "SELECT count(*), max(octet_length(relname)) <= 63 FROM pg_class WHERE relname LIKE 'a_table_whose_name_is_%' AND relkind = 'r'",
                "2|t",
            ),
            Expectation::Holds(
                "SELECT count(*) FROM pg_attribute WHERE attname LIKE 'a_column_whose_name_is_%' AND attnum > 0",
                "2",
            ),
            Expectation::Holds("SELECT v FROM public.pg_class", "5"),
            Expectation::Finding("name-changed", "t17.ctid"),
            Expectation::Finding("name-changed", "t17.xmin"),
            Expectation::Finding(
                "name-changed",
                "a_table_whose_name_is_much_longer_than_the_sixty_three_bytes_of_postgresql_one",
            ),
        ],
    },
    Hazard {
        name: "3.2 one namespace for tables, keys, indexes and sequences",
        sql: "CREATE TABLE t18(id INTEGER PRIMARY KEY, mail TEXT UNIQUE); INSERT INTO t18 VALUES (1, 'a'); \
              CREATE TABLE t18_pkey(v INT); CREATE TABLE t18_id_seq(v INT); CREATE TABLE t18_mail_key(v INT); \
              CREATE TABLE t18b(id INT, v INT, CONSTRAINT same UNIQUE(id), CONSTRAINT same UNIQUE(v)); \
              CREATE TABLE t18c(id INT, CONSTRAINT same PRIMARY KEY(id), CONSTRAINT twice CHECK(id > 0), CONSTRAINT twice CHECK(id < 9)); \
              CREATE INDEX t18_idx ON t18(mail); CREATE TABLE t18x(a INT); \
              CREATE VIEW t18_view AS SELECT id FROM t18; CREATE INDEX t18_view_key ON t18x(a)",
        must: &[
            Expectation::Constraint("t18", "PRIMARY KEY (id)"),
            Expectation::Constraint("t18", "UNIQUE (mail)"),
            Expectation::Holds("INSERT INTO public.t18(mail) VALUES ('b') RETURNING id", "2"),
            Expectation::Constraint("t18b", "UNIQUE (id)"),
            Expectation::Constraint("t18b", "UNIQUE (v)"),
            Expectation::Constraint("t18c", "PRIMARY KEY (id)"),
            Expectation::Constraint("t18c", "CHECK ((id > 0))"),
            Expectation::Constraint("t18c", "CHECK ((id < 9))"),
            Expectation::Holds("SELECT count(*) FROM public.t18_pkey, public.t18_id_seq, public.t18_mail_key", "0"),
        ],
    },
];

const CONSTRAINTS: &[Hazard] = &[
    Hazard {
        name: "4.4 foreign keys in all their forms",
        sql: "CREATE TABLE t19p(id INTEGER PRIMARY KEY, a INT, b INT, u TEXT, UNIQUE(b, a)); \
              CREATE UNIQUE INDEX t19p_u ON t19p(u); CREATE UNIQUE INDEX t19p_part ON t19p(a) WHERE a > 0; \
              INSERT INTO t19p VALUES (1, 2, 3, 'x'), (2, 3, 4, 'y'); \
              CREATE TABLE t19text(p TEXT REFERENCES t19p); INSERT INTO t19text VALUES ('1'), ('2'), (NULL); \
              CREATE TABLE t19imp(p INT REFERENCES t19p ON DELETE CASCADE ON UPDATE SET NULL); INSERT INTO t19imp VALUES (1); \
              CREATE TABLE t19two(a INT, b INT, FOREIGN KEY(a, b) REFERENCES t19p(a, b) MATCH FULL DEFERRABLE INITIALLY DEFERRED); \
              INSERT INTO t19two VALUES (2, 3), (NULL, 7); \
              CREATE TABLE t19idx(u TEXT REFERENCES t19p(u) ON DELETE RESTRICT); INSERT INTO t19idx VALUES ('x'); \
              CREATE TABLE t19part(a INT REFERENCES t19p(a)); INSERT INTO t19part VALUES (2); \
              CREATE TABLE t19gone(a INT REFERENCES nowhere(x)); INSERT INTO t19gone VALUES (2); \
              CREATE TABLE t19col(a INT REFERENCES t19p(nothere)); INSERT INTO t19col VALUES (2); \
              CREATE TABLE t19view(a INT REFERENCES t19v(id)); CREATE VIEW t19v AS SELECT id FROM t19p; INSERT INTO t19view VALUES (1); \
              CREATE TABLE t19orph(id INTEGER PRIMARY KEY, p INT REFERENCES t19p(id)); INSERT INTO t19orph VALUES (1, 1), (2, 99), (3, 98); \
              CREATE TABLE t19self(id INTEGER PRIMARY KEY, up INT REFERENCES t19self(id)); INSERT INTO t19self VALUES (1, 2), (2, 1); \
              CREATE TABLE t19ca(id INTEGER PRIMARY KEY, b INT REFERENCES t19cb(id)); CREATE TABLE t19cb(id INTEGER PRIMARY KEY, a INT REFERENCES t19ca(id)); \
              INSERT INTO t19ca VALUES (1, 1); INSERT INTO t19cb VALUES (1, 1); \
              CREATE TABLE t19bool(id BOOLEAN PRIMARY KEY); INSERT INTO t19bool VALUES (0), (1); \
              CREATE TABLE t19int(b INT REFERENCES t19bool(id)); INSERT INTO t19int VALUES (1)",
        must: &[
            Expectation::Type("t19text.p", "bigint"),
            Expectation::Constraint("t19text", "FOREIGN KEY (p) REFERENCES t19p(id)"),
            Expectation::Constraint(
                "t19imp",
                "FOREIGN KEY (p) REFERENCES t19p(id) ON UPDATE SET NULL ON DELETE CASCADE",
            ),
            Expectation::Constraint("t19two", "FOREIGN KEY (a, b) REFERENCES t19p(a, b) DEFERRABLE INITIALLY DEFERRED"),
            Expectation::Constraint("t19idx", "FOREIGN KEY (u) REFERENCES t19p(u) ON DELETE RESTRICT"),
            Expectation::NoConstraint("t19part", "FOREIGN KEY"),
            Expectation::NoConstraint("t19gone", "FOREIGN KEY"),
            Expectation::NoConstraint("t19col", "FOREIGN KEY"),
            Expectation::NoConstraint("t19view", "FOREIGN KEY"),
            Expectation::Holds(
                "SELECT count(*) FROM public.t19part, public.t19gone, public.t19col, public.t19view",
                "1",
            ),
            Expectation::Constraint("t19orph", "FOREIGN KEY (p) REFERENCES t19p(id) NOT VALID"),
            Expectation::Holds("SELECT count(*) FROM public.t19orph", "3"),
            Expectation::Refuses("INSERT INTO public.t19orph VALUES (9, 97)", "23503"),
            Expectation::Constraint("t19self", "FOREIGN KEY (up) REFERENCES t19self(id)"),
            Expectation::Constraint("t19ca", "FOREIGN KEY (b) REFERENCES t19cb(id)"),
            Expectation::Constraint("t19cb", "FOREIGN KEY (a) REFERENCES t19ca(id)"),
            Expectation::Type("t19int.b", "bigint"),
            Expectation::Type("t19bool.id", "bigint"),
            Expectation::Constraint("t19int", "FOREIGN KEY (b) REFERENCES t19bool(id)"),
            Expectation::Finding("orphan-rows", "t19orph.p"),
        ],
    },
    Hazard {
        name: "4.3 NOCASE folds ASCII only",
        sql: "CREATE TABLE t20(id INTEGER PRIMARY KEY, mail TEXT COLLATE NOCASE UNIQUE, n INT COLLATE NOCASE UNIQUE, r TEXT COLLATE RTRIM UNIQUE); \
              INSERT INTO t20 VALUES (1, 'É', 1, 'a'), (2, 'é', 2, 'b'), (3, 'Key', 3, 'c  '), (4, '²', 4, ''), (5, '2', 5, 'd'); \
              CREATE TABLE t20c(m TEXT REFERENCES t20(mail)); INSERT INTO t20c VALUES ('Key'), ('KEY'); \
              CREATE INDEX t20_i ON t20(mail COLLATE BINARY)",
        must: &[
            Expectation::Index("t20", "btree (lower((mail COLLATE \"C\")))"),
            Expectation::Index("t20", "rtrim(r, ' '::text)"),
            Expectation::Holds("SELECT count(*) FROM public.t20", "5"),
            Expectation::Holds("SELECT count(*) FROM public.t20c", "2"),
            Expectation::Constraint("t20c", "FOREIGN KEY (m) REFERENCES t20(mail) NOT VALID"),
            Expectation::Refuses("INSERT INTO public.t20(mail, n, r) VALUES ('KEY', 9, 'z')", "23505"),
            Expectation::Refuses("INSERT INTO public.t20(mail, n, r) VALUES ('x', 9, 'a   ')", "23505"),
            Expectation::Finding("collation-changed", "t20.mail"),
        ],
    },
    Hazard {
        name: "1.7 a check that wants JSON in a text column",
        sql: "CREATE TABLE t11c(id INTEGER PRIMARY KEY, d TEXT NOT NULL CHECK (JSON_VALID(\"d\") OR \"d\" IS NULL), e TEXT CHECK (json_valid(e))); \
              INSERT INTO t11c VALUES (1, '{\"b\": 1, \"a\": [ ]}', NULL), (2, 'null', '1')",
        must: &[
            Expectation::Type("t11c.d", "text"),
            Expectation::Holds("SELECT d FROM public.t11c WHERE id = 1", "{\"b\": 1, \"a\": [ ]}"),
            Expectation::Refuses("INSERT INTO public.t11c(d) VALUES ('{')", "22P02"),
            Expectation::Refuses("INSERT INTO public.t11c(d, e) VALUES ('1', 'x')", "22P02"),
            Expectation::Holds("INSERT INTO public.t11c(d) VALUES ('[1]') RETURNING e IS NULL", "t"),
        ],
    },
    Hazard {
        name: "4.2 rows that break what the schema says",
        sql: "CREATE TABLE t22(id INTEGER PRIMARY KEY, a INT CHECK (a > 0), b TEXT CHECK (typeof(b) = 'text'), c INT CHECK (c < 100)); \
              INSERT INTO t22 VALUES (1, -1, 'x', 5), (2, 5, 'y', 6); \
              CREATE TABLE t22n(id INTEGER PRIMARY KEY, v TEXT, w TEXT); INSERT INTO t22n VALUES (1, NULL, 'a'), (2, 'b', 'b'); \
              PRAGMA writable_schema=on; UPDATE sqlite_schema SET sql = replace(sql, 'v TEXT, w TEXT', 'v TEXT NOT NULL, w TEXT NOT NULL') WHERE name = 't22n'; \
              PRAGMA writable_schema=off",
        must: &[
            Expectation::Constraint("t22", "CHECK ((a > 0)) NOT VALID"),
            Expectation::Constraint("t22", "CHECK ((c < 100))"),
            Expectation::Constraint("t22", "CHECK ((b IS NOT NULL))"),
            Expectation::Finding("check-violated", "t22.t22_check"),
            Expectation::Finding("not-null-violated", "t22n.v"),
            Expectation::Holds("SELECT count(*), count(v) FROM public.t22n", "2|1"),
            Expectation::Refuses("INSERT INTO public.t22n(w) VALUES ('c')", "23514"),
            Expectation::Refuses("INSERT INTO public.t22n(v) VALUES ('c')", "23502"),
            Expectation::Refuses("INSERT INTO public.t22(a) VALUES (0)", "23514"),
        ],
    },
    Hazard {
        name: "4.1 ON CONFLICT clauses have no place in PostgreSQL",
        sql: "CREATE TABLE t33(id INTEGER PRIMARY KEY ON CONFLICT REPLACE, v TEXT NOT NULL ON CONFLICT IGNORE DEFAULT 'x', u INT UNIQUE ON CONFLICT REPLACE); \
              INSERT INTO t33 VALUES (1, 'a', 1)",
        must: &[
            Expectation::Constraint("t33", "PRIMARY KEY (id)"),
            Expectation::Constraint("t33", "UNIQUE (u)"),
            Expectation::Finding("clause-not-carried", "t33"),
        ],
    },
];

const INDEXES: &[Hazard] = &[
    Hazard {
        name: "6.2 partial, expression, descending indexes",
        sql: "CREATE TABLE t21(id INTEGER PRIMARY KEY, mail TEXT, del INT, kind TEXT, n INT, j JSON); \
              CREATE UNIQUE INDEX t21_part ON t21(mail) WHERE del = 0; CREATE UNIQUE INDEX t21_lower ON t21(lower(mail), id); \
              CREATE INDEX t21_two ON t21(kind, n DESC); CREATE INDEX t21_where ON t21(n) WHERE kind IS NOT NULL AND n > 5; \
              CREATE UNIQUE INDEX t21_random ON t21(mail) WHERE abs(length(hex(kind))) GLOB '9*' AND del = 7; \
              INSERT INTO t21 VALUES (1, 'a', 0, 'x', 1, '{}'), (2, 'a', 1, 'y', 2, '{}'), (3, 'A', 0, NULL, 3, '{}'), (4, 'a', 1, 'z', 4, NULL)",
        must: &[
            Expectation::Index(
                "t21",
                "UNIQUE INDEX t21_part ON public.t21 USING btree (mail NULLS FIRST) WHERE (del = 0)",
            ),
            Expectation::Index("t21", "(lower((mail COLLATE \"C\"))"),
            Expectation::Index("t21", "t21_two ON public.t21 USING btree (kind NULLS FIRST, n DESC NULLS LAST)"),
            Expectation::Index("t21", "t21_where ON public.t21 USING btree (n NULLS FIRST) WHERE"),
            Expectation::Refuses("INSERT INTO public.t21(mail, del) VALUES ('a', 0)", "23505"),
            Expectation::Holds("INSERT INTO public.t21(mail, del) VALUES ('a', 1) RETURNING del", "1"),
        ],
    },
    Hazard {
        name: "2.3 more key columns than an index takes",
        sql: "CREATE TABLE t21w(c1,c2,c3,c4,c5,c6,c7,c8,c9,c10,c11,c12,c13,c14,c15,c16,c17,c18,c19,c20,c21,c22,c23,c24,c25,c26,c27,c28,c29,c30,c31,c32,c33); \
              CREATE INDEX t21w_all ON t21w(c1,c2,c3,c4,c5,c6,c7,c8,c9,c10,c11,c12,c13,c14,c15,c16,c17,c18,c19,c20,c21,c22,c23,c24,c25,c26,c27,c28,c29,c30,c31,c32,c33); \
              INSERT INTO t21w(c1, c33) VALUES (1, 2)",
        must: &[
            Expectation::NoIndex("t21w", "c33"),
            Expectation::Finding("index-not-carried", "t21w.t21w_all"),
            Expectation::Object("index", "t21w_all", "not-carried"),
        ],
    },
];

/// The SQL of these hazards.
pub(super) fn hazards() -> Vec<&'static str> {
    [IDENTITY, NAMES, CONSTRAINTS, INDEXES].into_iter().flatten().map(|hazard| hazard.sql).collect()
}

#[test]
fn identity_and_primary_keys() {
    judge(IDENTITY);
}

#[test]
fn names() {
    judge(NAMES);
}

#[test]
fn constraints() {
    judge(CONSTRAINTS);
}

#[test]
fn indexes() {
    judge(INDEXES);
}
