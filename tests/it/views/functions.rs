//! Each function and operator that is translated, over NULL, empty, negative, unicode and large inputs: the same
//! values on SQLite and on PostgreSQL 14 to 18. Each expression is the column of a view, and `convert` compares its
//! rows.

use super::fixture::{Fixture, ObjectOutcome};
use crate::support::MAJORS;

const INPUTS: &str = "
CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, j INTEGER, big INTEGER, f BOOLEAN, r REAL, n DECIMAL(12,4), x TEXT,
  y TEXT, b BLOB, day DATE, at DATETIME, s INTEGER, doc JSON, u UUID);
INSERT INTO t VALUES
 (1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (2, 0, 1, 0, 0, 0.0, 0, '', '', x'', '1970-01-01', '1970-01-01 00:00:00', 0, '[]', '00000000-0000-0000-0000-000000000000'),
 (3, -7, 2, -9223372036854775808, 1, -2.5, -2.5, 'abc', 'b', x'00ff61', '2024-02-29', '2024-02-29 23:59:59.999', -1, '[1,2,3]', 'ffffffff-0000-0000-0000-00000000000a'),
 (4, 7, -3, 9223372036854775807, 1, 2.5, 1234.5678, 'Äbc Ünï', 'Ü', x'c3a9', '9999-12-31', '9999-12-31 23:59:59', 253402300799, '{\"a\":[]}', '00000000-0000-0000-0000-000000000001'),
 (5, 100000, 12, 9007199254740993, 0, 0.49999999999999994, 0.0001, '日本語', '本', x'e697a5', '0001-01-01', '0001-01-01 00:00:00', 1700000000, '\"s\"', NULL),
 (6, -100000, -1, 1, 0, 1e15, 99999999.9999, '  padded ', ' ', x'20', '2000-12-31', '1999-12-31 12:34:56.789', 951782400, '5', '0000000a-0000-0000-0000-000000000000'),
 (7, 42, 3, -1, 1, -0.3, 10, 'O''Brien \\ %_%', '''', x'27', '1582-10-15', '2024-03-10 02:30:00.0015', 1704067199, 'null', NULL);
CREATE TABLE k (id INTEGER PRIMARY KEY, grp TEXT, v INTEGER, w REAL, z TEXT);
INSERT INTO k VALUES (1,'a',1,1.0,'x'),(2,'a',NULL,2.0,'y'),(3,'b',-5,NULL,NULL),(4,NULL,7,4.0,'é'),(5,'b',1000000,-8.0,'E'),(6,'a',1,1.0,'x');
";

/// Expressions over one row.
const VALUES: &[&str] = &[
    // Operators.
    "i + j, i - j, i * j, i / j, i % j, -i, +i, ~i, i & j, i | j, i << 2, i >> 1",
    "i + 0.5, r * 2, r / 4.0, r - i, -r, n + 1, i * 1.5",
    "i = j, i <> j, i < j, i <= j, i > j, i >= j, i == 7, i IS j, i IS NOT j, x IS NULL, x NOTNULL, x ISNULL",
    "x = 'abc', x < 'b', x > y, x <= 'Z', x BETWEEN 'A' AND 'b', x NOT BETWEEN '' AND 'a'",
    "i IN (7, -7, NULL), x IN ('abc', ''), i NOT IN (0), i IN (), x NOT IN (), f IN (0, 1), day IN ('2024-02-29')",
    "f AND i, f OR i > 0, NOT f, NOT i, i IS TRUE, f IS NOT FALSE, (i > 0) + 1",
    "big = 9007199254740993, big > 9007199254740992.0, big <> -1, big < 1e19",
    "x || '-' || i, x || y, i || j, 'v' || f, NULL || x",
    "x LIKE 'a%', x LIKE 'ä%', x LIKE '%\\%', x LIKE '%!_!%' ESCAPE '!', x NOT LIKE '_b%', i LIKE '1%', x LIKE y",
    "x GLOB 'a*', x GLOB '*[ ]*', x GLOB '[^a-z]*', x GLOB '???', x NOT GLOB '*b*'",
    "CASE WHEN i > 0 THEN 'p' WHEN i < 0 THEN 'n' END, CASE i WHEN 7 THEN 1 ELSE 2.5 END, CASE x WHEN 'abc' THEN y ELSE x END",
    "CAST(i AS TEXT), CAST(r AS INTEGER), CAST(i AS REAL), CAST(f AS INTEGER), CAST(n AS REAL), CAST(x AS TEXT), CAST('12' AS INTEGER), CAST(i AS NUMERIC)",
    "day < '2024-01-01', day = '2024-02-29', at >= '2024-01-01', at < '2024-03-10 02:30:01', at > '2024-02-29', at IS NOT NULL",
    // Functions of numbers.
    "abs(i), abs(r), abs(n), abs(-5), abs(NULL)",
    "round(r), round(i), round(n), round(2.5), round(-0.5), round(r, 0)",
    "sign(i), sign(r), sign(n), sign(big)",
    "min(i, j), max(i, j), min(i, 3, j), max(r, i), min(n, 1), max(x, y), min(x, y, 'b')",
    "coalesce(i, j, 0), ifnull(x, 'none'), nullif(i, 7), nullif(x, ''), iif(f, 'yes', 'no'), iif(i > 0, i, NULL), coalesce(NULL, r)",
    "typeof(i), typeof(r), typeof(x), typeof(b), typeof(f), typeof(day), likely(i), unlikely(f), likelihood(i, 0.5)",
    // Functions of texts.
    "length(x), length(b), length(i), octet_length(x), octet_length(b), unicode(x), char(65, 228, 26085)",
    "lower(x), upper(x), lower(y), upper('straße é'), lower(i)",
    "substr(x, 2), substr(x, 0), substr(x, -2), substr(x, -20), substr(x, 99), substr(i, 2)",
    "substr(x, 2, 2), substr(x, 0, 2), substr(x, -2, 1), substr(x, -4, 2), substr(x, 1, 0), substr(x, 3, -2), substr(x, 2, -9), substr(x, 0, -3)",
    "substr(x, instr(x, 'b') + 1), substr(x, 1, instr(x, 'b') - 1), substr(x, length(x), 1), substring(x, 2, length(y))",
    "trim(x), ltrim(x), rtrim(x), trim(x, 'a '), ltrim(x, 'Äa'), rtrim(x, 'cï_%'), trim(y, '''')",
    "replace(x, 'b', 'BB'), replace(x, '', 'z'), replace(x, 'c', ''), replace(x, y, '<>')",
    "instr(x, 'b'), instr(x, ''), instr(x, '本'), instr(x, y), instr('abc', 'd')",
    "hex(x), hex(b), hex(i), quote(x), quote(i), quote(b), quote(NULL)",
    "concat(x, i, NULL, y)",
    "printf('%d', i), printf('%05d|%s|%%', abs(j), x), format('%8d', i), printf('plain'), printf('%s', big)",
    "like('a%', x), like('A!%', x, '!'), glob('a*', x)",
    // JSON.
    "json_array_length(doc), json_valid(doc)",
    // Dates.
    "date(day), time(day), datetime(day), strftime('%Y-%m-%dT%H:%M:%S', day), julianday(day), unixepoch(day)",
    "date(at), time(at), datetime(at), strftime('%Y%m%d %H:%M:%f', at), strftime('%j', at), strftime('%w', at), strftime('%s', at), julianday(at), unixepoch(at)",
    "date(day, 'start of month'), date(day, 'start of year', '+10 days'), date(at, 'start of day')",
    "datetime(s, 'unixepoch'), date(s, 'unixepoch'), strftime('%H', s, 'unixepoch'), strftime('%Y', at) + 1, CAST(strftime('%m', day) AS INTEGER)",
    "julianday(at) - julianday(day), strftime('%M', at) || ':' || strftime('%S', at)",
];

/// What leads beyond the first or the last year at the ends of time.
const DATED: &[&str] =
    &["date(day, 'weekday 0'), date(day, 'weekday 3'), date(at, 'weekday 6'), datetime(at, '-1 hour', '+90 seconds')"];

/// Aggregates and window functions over groups.
const GROUPS: &[&str] = &[
    "SELECT grp, count(*), count(v), count(DISTINCT v), sum(v), sum(DISTINCT v), total(v), avg(v), avg(DISTINCT v) FROM k GROUP BY grp",
    "SELECT count(*), count(v), sum(v), total(v), avg(v), min(v), max(w), min(z), max(z) FROM k",
    "SELECT count(*), sum(v), total(v), avg(v), min(z), group_concat(z) FROM k WHERE id > 100",
    "SELECT grp, min(v), max(v), min(w), max(w), min(z), max(z), max(v > 0) FROM k GROUP BY grp",
    "SELECT grp, group_concat(z, '/' ORDER BY id), group_concat(v ORDER BY v DESC, id), string_agg(z, ';' ORDER BY z, id) FROM k GROUP BY grp",
    "SELECT grp, count(*) FILTER (WHERE v > 0), sum(v) FILTER (WHERE z IS NOT NULL), max(v) FILTER (WHERE 0) FROM k GROUP BY grp",
    "SELECT id, row_number() OVER (ORDER BY v, id), rank() OVER (ORDER BY v), dense_rank() OVER (ORDER BY v DESC) FROM k",
    "SELECT id, percent_rank() OVER (ORDER BY v), cume_dist() OVER (ORDER BY z), ntile(4) OVER (ORDER BY id) FROM k",
    "SELECT id, lag(v) OVER w, lag(v, 2) OVER w, lead(z, 1, 'none') OVER w, first_value(v) OVER w, last_value(z) OVER w, nth_value(v, 2) OVER w FROM k WINDOW w AS (PARTITION BY grp ORDER BY id)",
    "SELECT id, sum(v) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), count(*) OVER (ORDER BY v GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW EXCLUDE TIES), avg(v) OVER (PARTITION BY grp) FROM k",
    "SELECT id, max(z) OVER (ORDER BY id RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW), min(v) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING), group_concat(id, '') OVER (ORDER BY id) FROM k",
    "SELECT grp, sum(sum(v)) OVER (ORDER BY grp), row_number() OVER (ORDER BY count(*) DESC, grp) FROM k GROUP BY grp",
];

#[test]
fn functions_give_the_same_values_on_every_version() {
    let mut queries = Vec::new();
    queries.extend(VALUES.iter().map(|list| format!("SELECT id, {list} FROM t")));
    queries.extend(
        DATED.iter().map(|list| format!("SELECT id, {list} FROM t WHERE day BETWEEN '1000-01-01' AND '9000-01-01'")),
    );
    queries.extend(GROUPS.iter().map(|&sql| sql.to_owned()));
    let mut script = INPUTS.to_owned();
    for (at, sql) in queries.iter().enumerate() {
        script.push_str(&format!("CREATE VIEW v{at} AS {sql};\n"));
    }
    let fixture = Fixture::new(&script);
    let names: Vec<String> = (0..queries.len()).map(|at| format!("v{at}")).collect();
    let mut wrong = String::new();
    for major in MAJORS {
        for ((_, outcome), sql) in fixture.converted(major, &names).iter().zip(&queries) {
            if let ObjectOutcome::Lost(reason) = outcome {
                wrong.push_str(&format!("{major}: {sql}\n    {reason}\n"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
