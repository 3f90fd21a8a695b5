//! Types from evidence: numbers, booleans, times, identifiers, JSON, text
//! (docs/conversion-rules.md, section 1.4).

use super::fixture::{Expectation, Hazard, judge};

const NUMBERS: &[Hazard] = &[
    Hazard {
        name: "1.4 declared widths mean nothing in SQLite",
        sql: "CREATE TABLE t01(id INTEGER PRIMARY KEY, tiny TINYINT, small SMALLINT, most BIGINT, i8 INT8, \
              big \"UNSIGNED BIG INT\", fp \"FLOATING POINT\", l LONG, mixed INTEGER, huge INTEGER); \
              INSERT INTO t01 VALUES(1, 300, 70000, 9223372036854775807, -1, 4294967296, 3, 7, 1, 9007199254740993), \
              (2, -1, -70000, -9223372036854775808, 1, 0, 2, 8, 1e20, 2.5)",
        must: &[
            Expectation::Type("t01.tiny", "bigint"),
            Expectation::Type("t01.small", "bigint"),
            Expectation::Type("t01.most", "bigint"),
            Expectation::Type("t01.i8", "bigint"),
            Expectation::Type("t01.big", "bigint"),
            Expectation::Type("t01.fp", "bigint"),
            Expectation::Type("t01.l", "bigint"),
            Expectation::Type("t01.mixed", "double precision"),
            Expectation::Type("t01.huge", "numeric"),
            Expectation::Holds(
                "SELECT tiny, small, most, mixed, huge FROM public.t01 ORDER BY id",
                "300|70000|9223372036854775807|1|9007199254740993\n-1|-70000|-9223372036854775808|1e+20|2.5",
            ),
            Expectation::Finding("type-widened", "t01.mixed"),
            Expectation::Finding("type-widened", "t01.huge"),
        ],
    },
    Hazard {
        name: "1.4 floats are eight bytes",
        sql: "CREATE TABLE f(id INTEGER PRIMARY KEY, r REAL, f FLOAT, f4 FLOAT4, d DOUBLE, none); \
              INSERT INTO f VALUES(1, 123456789.123, 0.1, 1, 9e999, -0.0), (2, -9e999, 5e-324, 2, 1.7976931348623157e308, 1.5)",
        must: &[
            Expectation::Type("f.r", "double precision"),
            Expectation::Type("f.f4", "double precision"),
            Expectation::Type("f.none", "double precision"),
            Expectation::Holds(
                "SELECT r, f, f4, d, none FROM public.f ORDER BY id",
                "123456789.123|0.1|1|Infinity|-0\n-Infinity|5e-324|2|1.7976931348623157e+308|1.5",
            ),
        ],
    },
    Hazard {
        name: "1.4 decimals are never rounded",
        sql: "CREATE TABLE dec(id INTEGER PRIMARY KEY, fits DECIMAL(10,2), sum DECIMAL(10,2), wide DECIMAL(5,7), \
              inf DECIMAL(10,2), bare DECIMAL, big NUMERIC, money MONEY); \
              INSERT INTO dec VALUES(1, 10.5, 0.1 + 0.2, 1.5, 9e999, 12.34, 1e20, 5), \
              (2, -99999999.99, 10.25, 12345.6, 1, 7, 0.1, 0.5)",
        must: &[
            Expectation::Type("dec.fits", "numeric(10,2)"),
            Expectation::Type("dec.sum", "numeric"),
            Expectation::Type("dec.wide", "numeric"),
            Expectation::Type("dec.inf", "numeric"),
            Expectation::Type("dec.bare", "numeric"),
            Expectation::Holds(
                "SELECT fits, sum, wide, inf, bare, big, money FROM public.dec ORDER BY id",
                "10.50|0.30000000000000004|1.5|Infinity|12.34|100000000000000000000|5\n\
                 -99999999.99|10.25|12345.6|1|7|0.1|0.5",
            ),
        ],
    },
    Hazard {
        name: "1.4 one odd value widens and is reported",
        sql: "CREATE TABLE off(id INTEGER PRIMARY KEY, n INTEGER, r REAL, d DECIMAL(8,2), word INTEGER, str STRING, \
              blobs BLOB, few TEXT, texts BLOB, nums BLOB); \
              INSERT INTO off VALUES(1, 5, 1.5, 2.5, 'NULL', '007', x'00ff', 'a', 'all text', 1), \
              (2, '', 'N/A', 'abc', 7, 'x', 'text', x'ff00', 'é', 2), (3, 6, 2, 3, 8, '1.50', x'01', 'b', '', NULL)",
        must: &[
            Expectation::Type("off.n", "text"),
            Expectation::Type("off.r", "text"),
            Expectation::Type("off.d", "text"),
            Expectation::Type("off.word", "text"),
            Expectation::Type("off.str", "text"),
            Expectation::Type("off.blobs", "bytea"),
            Expectation::Type("off.few", "text"),
            Expectation::Type("off.texts", "text"),
            Expectation::Type("off.nums", "bigint"),
            Expectation::Finding("type-widened", "off.n"),
            Expectation::Finding("type-widened", "off.r"),
            Expectation::Finding("type-widened", "off.d"),
            Expectation::Finding("class-merged", "off.blobs"),
            Expectation::Finding("class-merged", "off.few"),
            Expectation::OffType("off.blobs", 1),
            Expectation::OffType("off.few", 1),
            Expectation::OffType("off.texts", 0),
            Expectation::Holds(
                "SELECT n, r, d, word, str, blobs, few, texts FROM public.off ORDER BY id",
                "5|1.5|2.5|NULL|7|\\x00ff|a|all text\n|N/A|abc|7|x|\\x74657874|\\xff00|é\n6|2.0|3|8|1.5|\\x01|b|",
            ),
        ],
    },
    Hazard {
        name: "1.4 booleans in every spelling",
        sql: "CREATE TABLE t06(id INTEGER PRIMARY KEY, yes BOOLEAN DEFAULT 1, two BOOLEAN, gap BOOLEAN, word BOOLEAN, tf BOOL, \
              odd BOOLEAN, laravel TINYINT(1) DEFAULT 0, b BIT, plain INTEGER, neg BOOLEAN, checked BOOLEAN CHECK (checked IN (0, 1)), \
              del BOOLEAN NOT NULL DEFAULT FALSE); \
              CREATE INDEX t06_del ON t06(id) WHERE del = 0; \
              INSERT INTO t06 VALUES(1, 1, 2, '', 'true', 't', 'yes', 1, 0, 1, -1, 1, 0), (2, 0, 1, 1, 'false', 'f', 'no', 0, 1, 0, 0, 0, 1)",
        must: &[
            Expectation::Type("t06.yes", "boolean"),
            Expectation::Type("t06.two", "bigint"),
            Expectation::Type("t06.gap", "text"),
            Expectation::Type("t06.word", "boolean"),
            Expectation::Type("t06.tf", "boolean"),
            Expectation::Type("t06.odd", "text"),
            Expectation::Type("t06.laravel", "boolean"),
            Expectation::Type("t06.b", "boolean"),
            Expectation::Type("t06.plain", "bigint"),
            Expectation::Type("t06.neg", "bigint"),
            Expectation::Type("t06.checked", "boolean"),
            Expectation::Index("t06", "WHERE (NOT del)"),
            Expectation::NoConstraint("t06", "CHECK ((checked"),
            Expectation::Finding("advice", "t06.plain"),
            Expectation::Finding("type-widened", "t06.two"),
            Expectation::Finding("type-widened", "t06.gap"),
            Expectation::Holds(
                "SELECT yes, two, gap, word, tf, odd, laravel, b, plain, neg, checked, del FROM public.t06 ORDER BY id",
                "t|2||t|t|yes|t|f|1|-1|t|f\nf|1|1|f|f|no|f|t|0|0|f|t",
            ),
            Expectation::Holds(
                "INSERT INTO public.t06(checked) VALUES (NULL) RETURNING id, yes, laravel, del",
                "3|t|f|f",
            ),
        ],
    },
];

const TIMES: &[Hazard] = &[
    Hazard {
        name: "1.6 integers as times: one window, or nothing",
        sql: "CREATE TABLE t07(id INTEGER PRIMARY KEY, s DATETIME, ms DATETIME, us TIMESTAMP, zero DATETIME, year DATETIME, \
              mixed DATETIME, day DATE, jd DATETIME, created_at INTEGER); \
              INSERT INTO t07 VALUES(1, 1700000000, 1700000000123, 1700000000123456, 0, 2024, 1700000000, 1700000000, 2460310.5, 1700000000), \
              (2, 1710037800, 951782400000, 951782400000000, 1700000000, 2023, 1700000000000, 951782400, 2451545.25, 1700000001)",
        must: &[
            Expectation::Type("t07.s", "timestamp with time zone"),
            Expectation::Type("t07.ms", "timestamp with time zone"),
            Expectation::Type("t07.us", "timestamp with time zone"),
            Expectation::Type("t07.zero", "bigint"),
            Expectation::Type("t07.year", "bigint"),
            Expectation::Type("t07.mixed", "bigint"),
            Expectation::Type("t07.jd", "double precision"),
            Expectation::Type("t07.created_at", "bigint"),
            Expectation::Finding("epoch-assumed", "t07.s"),
            Expectation::Finding("epoch-assumed", "t07.ms"),
            Expectation::Finding("type-widened", "t07.mixed"),
            Expectation::Finding("advice", "t07.created_at"),
            Expectation::Holds(
                "SELECT s AT TIME ZONE 'UTC', ms AT TIME ZONE 'UTC', us AT TIME ZONE 'UTC', jd FROM public.t07 ORDER BY id",
                "2023-11-14 22:13:20|2023-11-14 22:13:20.123|2023-11-14 22:13:20.123456|2460310.5\n\
                 2024-03-10 02:30:00|2000-02-29 00:00:00|2000-02-29 00:00:00|2451545.25",
            ),
        ],
    },
    Hazard {
        name: "1.6 Core Data counts from 2001",
        sql: "CREATE TABLE ZNOTE(Z_PK INTEGER PRIMARY KEY, Z_ENT INTEGER, Z_OPT INTEGER, ZDATE TIMESTAMP, ZTITLE VARCHAR); \
              INSERT INTO ZNOTE VALUES(1, 1, 1, 725846400.25, 'a'), (2, 1, 1, 725846401, 'b')",
        must: &[
            Expectation::Type("ZNOTE.ZDATE", "double precision"),
            Expectation::Holds("SELECT \"ZDATE\" FROM public.\"ZNOTE\" ORDER BY \"Z_PK\"", "725846400.25\n725846401"),
        ],
    },
    Hazard {
        name: "1.5 text that looks like a time to PostgreSQL only",
        sql: "CREATE TABLE t09(id INTEGER PRIMARY KEY, naive DATETIME, zoned DATETIME, ist DATETIME, mixed DATETIME, half DATETIME, \
              net DATETIME, word DATETIME DEFAULT 'now', leap DATE, us DATE, y10k DATE, zero DATETIME, day DATETIME, d DATE, \
              h24 TIME, t TIME, rails TIME, sec60 DATETIME, micro DATETIME, nano DATETIME, go DATETIME, compact DATE); \
              INSERT INTO t09 VALUES(1, '2024-03-10 02:30:00', '2024-03-10T02:30:00Z', '2024-01-02T03:04:05+05:30', '2024-01-02T03:04:05+05:30', \
              '2024-01-02T03:04:05Z', '9999-12-31 23:59:59.9999999', 'today', '2024-02-30', '1/2/2024', '10000-01-01', '0000-00-00 00:00:00', \
              '2024-01-02', '0001-01-01', '24:00:00', '07:30', '2000-01-01 07:30:00', '2024-01-01 00:00:60', '2024-01-01 00:00:00.678901', \
              '2024-01-01 00:00:00.123456789', '2006-01-02 15:04:05.999 +0000 UTC m=+0.0', '20240102'), \
              (2, '1582-10-05T00:00:00.5', '0001-01-01 00:00Z', '2024-01-02 03:04:05.100+05:30', '2024-01-02T03:04:05Z', '2024-01-02 03:04:05', \
              '2024-01-01 00:00:00', 'now', '2024-02-29', '2024-01-02', '2024-01-01', '2024-01-01', '2024-02-29', '9999-12-31', '23:00:00', '23:59:59.999999', \
              '2000-01-01 08:00:00', '2024-01-01 00:00:59', '2024-01-01 00:00:00', '2024-01-01 00:00:00', '2024-01-01', '2024-01-03')",
        must: &[
            Expectation::Type("t09.naive", "timestamp without time zone"),
            Expectation::Type("t09.zoned", "timestamp with time zone"),
            Expectation::Type("t09.ist", "timestamp with time zone"),
            Expectation::Type("t09.mixed", "text"),
            Expectation::Type("t09.half", "text"),
            Expectation::Type("t09.net", "text"),
            Expectation::Type("t09.word", "text"),
            Expectation::Type("t09.leap", "text"),
            Expectation::Type("t09.us", "text"),
            Expectation::Type("t09.y10k", "text"),
            Expectation::Type("t09.zero", "text"),
            Expectation::Type("t09.day", "timestamp without time zone"),
            Expectation::Type("t09.d", "date"),
            Expectation::Type("t09.h24", "text"),
            Expectation::Type("t09.t", "time without time zone"),
            Expectation::Type("t09.rails", "text"),
            Expectation::Type("t09.sec60", "text"),
            Expectation::Type("t09.micro", "timestamp without time zone"),
            Expectation::Type("t09.nano", "text"),
            Expectation::Type("t09.go", "text"),
            Expectation::Type("t09.compact", "text"),
            Expectation::Holds(
                "SELECT naive, zoned AT TIME ZONE 'UTC', ist AT TIME ZONE 'UTC', net, word, d, t, micro FROM public.t09 ORDER BY id",
                "2024-03-10 02:30:00|2024-03-10 02:30:00|2024-01-01 21:34:05|9999-12-31 23:59:59.9999999|today|0001-01-01|07:30:00|2024-01-01 00:00:00.678901\n\
                 1582-10-05 00:00:00.5|0001-01-01 00:00:00|2024-01-01 21:34:05.1|2024-01-01 00:00:00|now|9999-12-31|23:59:59.999999|2024-01-01 00:00:00",
            ),
            Expectation::Holds("INSERT INTO public.t09(d) VALUES (NULL) RETURNING word", "now"),
            Expectation::Finding("spelling-normalised", "t09.ist"),
        ],
    },
    Hazard {
        name: "1.5 keys stay injective: spellings of one instant",
        sql: "CREATE TABLE t09k(at DATETIME UNIQUE, zoned DATETIME PRIMARY KEY); \
              INSERT INTO t09k VALUES('2024-01-01', '2024-01-01T00:00:00Z'), ('2024-01-01 00:00:00', '2024-01-01T00:00:00.0Z'), \
              ('2024-01-01T00:00:00', '2024-01-02T00:00:00Z')",
        must: &[
            Expectation::Type("t09k.at", "text"),
            Expectation::Type("t09k.zoned", "text"),
            Expectation::Constraint("t09k", "UNIQUE (at)"),
            Expectation::Constraint("t09k", "PRIMARY KEY (zoned)"),
            Expectation::Holds("SELECT count(*) FROM public.t09k", "3"),
        ],
    },
];

const KINDS: &[Hazard] = &[
    Hazard {
        name: "1.4 UUIDs as text and as blobs",
        sql: "CREATE TABLE t10(id INTEGER PRIMARY KEY, u UUID, same UUID UNIQUE, braced GUID, bare UUID, bin UUID, net UNIQUEIDENTIFIER, \
              expo UUID, dbin BINARY(16), t TEXT); \
              INSERT INTO t10 VALUES(1, '6F1C9BD0-1111-4000-8000-00000000000A', '6f1c9bd0-1111-4000-8000-00000000000a', \
              '{6f1c9bd0-1111-4000-8000-00000000000a}', '6f1c9bd011114000800000000000000a', x'6f1c9bd0111140008000000000000001', \
              x'd09b1c6f11110040b000000000000001', '1e5', x'6f1c9bd0111140008000000000000001', '6f1c9bd0-1111-4000-8000-00000000000a'), \
              (2, '6f1c9bd0-1111-4000-8000-00000000000b', '6F1C9BD0-1111-4000-8000-00000000000A', '{6f1c9bd0-1111-4000-8000-00000000000b}', \
              '6f1c9bd011114000800000000000000b', x'6f1c9bd0111170008000000000000002', x'd09b1c6f11110041b000000000000001', \
              '6f1c9bd0-1111-4000-8000-00000000000b', x'6f1c9bd0111140008000000000000002', '6f1c9bd0-1111-4000-8000-00000000000b')",
        must: &[
            Expectation::Type("t10.u", "uuid"),
            Expectation::Type("t10.same", "text"),
            Expectation::Type("t10.braced", "text"),
            Expectation::Type("t10.bare", "text"),
            Expectation::Type("t10.bin", "uuid"),
            Expectation::Type("t10.net", "bytea"),
            Expectation::Type("t10.expo", "text"),
            Expectation::Type("t10.dbin", "bytea"),
            Expectation::Type("t10.t", "text"),
            Expectation::Finding("spelling-normalised", "t10.u"),
            Expectation::NoFinding("type-widened", "t10.t"),
            Expectation::Holds(
                "SELECT u, bin, net FROM public.t10 WHERE id = 1",
                "6f1c9bd0-1111-4000-8000-00000000000a|6f1c9bd0-1111-4000-8000-000000000001|\\xd09b1c6f11110040b000000000000001",
            ),
        ],
    },
    Hazard {
        name: "1.7 JSON that jsonb would change or refuse",
        sql: "CREATE TABLE t11(id INTEGER PRIMARY KEY, ok JSON, dup JSON, nul JSON, sur JSON, neg JSON, expo JSON, five JSON, empty JSON, bad JSONB, \
              num JSON, txt TEXT, noise BLOB); \
              INSERT INTO t11 VALUES(1, '{\"b\":1.10, \"a\":[1e2]}', '{\"a\":1,\"a\":2}', '\"a\\u0000b\"', '\"\\ud800\"', '[-0]', '[1e1200]', '{a:1}', '', '{', 7, '{\"a\":1}', x'13')",
        must: &[
            Expectation::Type("t11.ok", "jsonb"),
            Expectation::Type("t11.dup", "json"),
            Expectation::Type("t11.nul", "json"),
            Expectation::Type("t11.sur", "json"),
            Expectation::Type("t11.neg", "json"),
            Expectation::Type("t11.expo", "json"),
            Expectation::Type("t11.five", "text"),
            Expectation::Type("t11.empty", "text"),
            Expectation::Type("t11.bad", "text"),
            Expectation::Type("t11.txt", "text"),
            Expectation::Type("t11.noise", "bytea"),
            Expectation::Holds(
                "SELECT ok, dup, nul, sur, neg, expo, five, empty, bad, txt FROM public.t11",
                "{\"a\": [100], \"b\": 1.10}|{\"a\":1,\"a\":2}|\"a\\u0000b\"|\"\\ud800\"|[-0]|[1e1200]|{a:1}||{|{\"a\":1}",
            ),
        ],
    },
    Hazard {
        name: "1.4 no char(n), and varchar(n) trims blanks silently",
        sql: "CREATE TABLE t12(c CHAR(4) PRIMARY KEY, short VARCHAR(5), over VARCHAR(3), blanks VARCHAR(3), zero VARCHAR(0), \
              wide NVARCHAR(2), big VARCHAR(20000000), clob CLOB); \
              INSERT INTO t12 VALUES('a', 'abcde', 'abcd', 'ab   ', '', '日本', 'x', 'y'), ('a ', 'abc  ', 'a', 'b', NULL, '😀é', '', '')",
        must: &[
            Expectation::Type("t12.c", "character varying(4)"),
            Expectation::Type("t12.short", "character varying(5)"),
            Expectation::Type("t12.over", "text"),
            Expectation::Type("t12.blanks", "text"),
            Expectation::Type("t12.zero", "text"),
            Expectation::Type("t12.wide", "character varying(2)"),
            Expectation::Type("t12.big", "text"),
            Expectation::Type("t12.clob", "text"),
            Expectation::Constraint("t12", "PRIMARY KEY (c)"),
            Expectation::Finding("type-widened", "t12.over"),
            Expectation::Holds(
                "SELECT c, short, over, blanks, wide FROM public.t12 ORDER BY length(c)",
                "a|abcde|abcd|ab   |日本\na |abc  |a|b|😀é",
            ),
        ],
    },
    Hazard {
        name: "1.4 classes that PostgreSQL merges: 1, '1' and x'31'",
        sql: "CREATE TABLE t15(id INTEGER PRIMARY KEY, v UNIQUE); INSERT INTO t15 VALUES(1, 1), (2, '1'), (3, x'31'), (4, 1.0 + 0.5), (5, 'a'); \
              CREATE TABLE t15n(id INTEGER PRIMARY KEY, v NUMERIC UNIQUE); \
              INSERT INTO t15n VALUES(1, 9007199254740992), (2, 9007199254740993), (3, 0.5); \
              CREATE TABLE t15a(id INTEGER PRIMARY KEY, v ANY) STRICT; \
              INSERT INTO t15a VALUES(1, 1), (2, '1'), (3, 1.0), (4, x'31'), (5, -0.0), (6, NULL)",
        must: &[
            Expectation::Type("t15.v", "text"),
            Expectation::Holds("SELECT count(*), count(v) FROM public.t15", "5|5"),
            Expectation::Type("t15n.v", "numeric"),
            Expectation::Constraint("t15n", "UNIQUE (v)"),
            Expectation::Holds("SELECT v FROM public.t15n ORDER BY id", "9007199254740992\n9007199254740993\n0.5"),
            Expectation::Type("t15a.v", "text"),
            Expectation::Holds("SELECT count(*), count(v) FROM public.t15a", "6|5"),
            Expectation::Finding("class-merged", "t15a.v"),
            Expectation::Finding("class-merged", "t15.v"),
        ],
    },
];

/// The SQL of these hazards.
pub(super) fn hazards() -> Vec<&'static str> {
    [NUMBERS, TIMES, KINDS].into_iter().flatten().map(|hazard| hazard.sql).collect()
}

#[test]
fn numbers_and_booleans() {
    judge(NUMBERS);
}

#[test]
fn dates_and_times() {
    judge(TIMES);
}

#[test]
fn identifiers_json_and_text() {
    judge(KINDS);
}
