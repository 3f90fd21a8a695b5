//! Tests views from SQLite to PostgreSQL 14 to 18: each arrives with SQLite's rows, or is listed with its reason.

pub(crate) mod fixture;

mod functions;

mod end_to_end;

mod triggers;

use fixture::{Fixture, ObjectOutcome};
use turso2neon::model::{Finding, FindingCode};

use crate::support::MAJORS;

const TABLES: &str = "PRAGMA foreign_keys=off;
CREATE TABLE customers (id INTEGER PRIMARY KEY, Name TEXT NOT NULL, email TEXT COLLATE NOCASE, country TEXT,
  active BOOLEAN, score REAL, credit DECIMAL(10,2), born DATE, seen DATETIME, uid UUID, extra JSON, photo BLOB);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id), status TEXT, cents INTEGER,
  quantity INTEGER, placed_at DATETIME);
CREATE TABLE tree (id INTEGER PRIMARY KEY, parent_id INTEGER, label TEXT);
CREATE TABLE pairs (a TEXT, b TEXT, n INTEGER, PRIMARY KEY (a, b));
CREATE TABLE empty (id INTEGER PRIMARY KEY, v TEXT);
INSERT INTO customers VALUES
  (1, 'Änne', 'A@example.com', 'DE', 1, 1.5, 10.5, '1970-01-01', '2024-01-02 03:04:05', '00112233-4455-6677-8899-aabbccddeeff', '{\"theme\":\"dark\",\"n\":1}', x'00ff'),
  (2, 'bob', 'b@example.com', NULL, 0, -2.25, 0, '2024-02-29', '2024-06-30 23:59:59', '10112233-4455-6677-8899-aabbccddeeff', '{\"theme\":\"light\",\"n\":2.5}', NULL),
  (3, 'Ünal', 'a@EXAMPLE.com', 'TR', 1, NULL, -3.25, NULL, NULL, NULL, NULL, x''),
  (4, '日本', NULL, 'JP', NULL, 1e10, 99999999.99, '9999-12-31', '2024-01-02 03:04:06', '20112233-4455-6677-8899-aabbccddeeff', '[1,true,null]', x'61'),
  (5, '', '', 'DE', 1, 0.0, NULL, '2000-06-15', '1999-12-31 00:00:00', '30112233-4455-6677-8899-aabbccddeeff', '{\"theme\":null}', NULL);
INSERT INTO orders VALUES (1, 1, 'open', 1250, 2, '2024-01-02 10:00:00'), (2, 1, 'paid', 99, 1, '2024-01-03 10:00:00'),
  (3, 2, 'paid', 0, NULL, '2024-01-03 11:30:00'), (4, NULL, NULL, NULL, 7, NULL), (5, 4, 'open', -500, -1, '2024-02-29 23:59:59'),
  (6, 4, 'void', 123456789, 3, '2023-12-31 00:00:00'), (7, 9, 'OPEN', 5, 0, '2024-01-02 10:00:00');
INSERT INTO tree VALUES (1, NULL, 'root'), (2, 1, 'a'), (3, 1, 'b'), (4, 2, 'aa'), (5, 4, 'aaa'), (6, NULL, 'other');
INSERT INTO pairs VALUES ('x', 'y', 1), ('x', 'z', 2), ('y', 'y', NULL);
";

/// Views that arrive.
const CARRIED: &[&str] = &[
    // Columns of every kind, stars, names.
    "SELECT * FROM customers",
    "SELECT c.*, o.id AS order_id FROM customers c JOIN orders o ON o.customer_id = c.id",
    "SELECT id, id, NAME, count(*) OVER () FROM Customers",
    "SELECT 1, 'two', NULL, x'03', 4.5, 1 = 1, -9223372036854775808 AS least",
    "SELECT [id] AS \"odd \"\" name\", `Name` AS [select] FROM customers AS \"order\"",
    "SELECT main.customers.id FROM customers WHERE 0",
    // Conditions.
    "SELECT id, name FROM customers WHERE active = 1",
    "SELECT id FROM customers WHERE active AND score > 0 OR email LIKE 'a@%'",
    "SELECT id, name FROM customers WHERE email = 'A@EXAMPLE.COM'",
    "SELECT id FROM customers WHERE name GLOB '[a-z]*' OR country IS NOT 'DE'",
    "SELECT id FROM customers WHERE born BETWEEN '1990-01-01' AND '2024-12-31'",
    "SELECT id FROM customers WHERE seen >= '2024-01-01' AND seen < '2024-01-02 03:04:06'",
    "SELECT id FROM customers WHERE uid = '10112233-4455-6677-8899-aabbccddeeff' OR uid IS NULL",
    "SELECT id AS n, id + 1 AS m FROM (SELECT id FROM customers AS q) WHERE n > 2 AND m < 6",
    // Joins.
    "SELECT c.name, o.status FROM customers c, orders o WHERE c.id = o.customer_id",
    "SELECT c.name, o.status FROM customers c LEFT JOIN orders o ON o.customer_id = c.id AND o.status = 'paid'",
    "SELECT c.name, o.id FROM orders o RIGHT JOIN customers c ON o.customer_id = c.id",
    "SELECT c.name, o.id FROM orders o FULL OUTER JOIN customers c ON o.customer_id = c.id",
    "SELECT a.id, b.id FROM tree a, tree b LEFT JOIN tree c ON c.parent_id = a.id WHERE a.id = b.parent_id",
    "SELECT * FROM (SELECT id, label FROM tree) JOIN (SELECT id, parent_id FROM tree) USING (id)",
    "SELECT * FROM tree NATURAL JOIN (SELECT id, cents FROM orders)",
    "SELECT id, t.id, o.id, label FROM tree t FULL JOIN orders o USING (id)",
    "SELECT t.id FROM (tree t JOIN orders o ON o.id = t.id) LEFT JOIN empty e ON e.id = o.id",
    "SELECT * FROM tree CROSS JOIN pairs",
    // Groups.
    "SELECT o.customer_id, sum(o.cents) AS total, count(*) AS n, avg(o.cents), min(status), max(placed_at) FROM orders o GROUP BY o.customer_id",
    "SELECT c.id, c.name, count(o.id) AS n FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id",
    "SELECT status AS s, count(*) AS n, total(cents), sum(cents) / 100.0 AS euro FROM orders GROUP BY s HAVING n > 1 OR s IS NULL OR count(*) > 0 AND s <> ''",
    "SELECT lower(status) AS s, count(DISTINCT customer_id) FROM orders GROUP BY 1 ORDER BY 2 DESC, 1",
    "SELECT count(*), sum(cents), max(id) FROM orders WHERE id > 100",
    "SELECT sum(cents > 0), count(*) FILTER (WHERE status = 'open') FROM orders",
    "SELECT customer_id % 2 AS odd, group_concat(id, '-' ORDER BY id DESC) AS ids FROM orders GROUP BY odd",
    "SELECT a, max(n), count(n) * 2 + 1 FROM pairs GROUP BY a",
    "SELECT a, b, n FROM pairs GROUP BY a, b",
    "SELECT count(*) AS n FROM orders HAVING count(*) > 3",
    // Distinct, order, limit.
    "SELECT DISTINCT country FROM customers ORDER BY country DESC",
    "SELECT name FROM customers ORDER BY name COLLATE NOCASE, id DESC LIMIT 3",
    "SELECT id, name FROM customers ORDER BY 2 LIMIT 2 OFFSET 1",
    "SELECT id FROM orders ORDER BY cents DESC NULLS FIRST, id LIMIT 1, 3",
    "SELECT id FROM orders ORDER BY id LIMIT -1 OFFSET 4",
    "SELECT name AS id FROM customers ORDER BY id",
    "SELECT id FROM customers ORDER BY seen DESC, extra IS NULL",
    // Set operations.
    "SELECT id FROM customers UNION SELECT customer_id FROM orders EXCEPT SELECT 9 INTERSECT SELECT id FROM tree",
    "SELECT 'c' AS kind, name AS what FROM customers UNION ALL SELECT 'o', status FROM orders ORDER BY 2, kind",
    "SELECT id, score FROM customers UNION ALL SELECT id, cents FROM orders",
    "VALUES (1, 'a'), (2, NULL), (NULL, 'c')",
    "SELECT column1 + 1 AS n FROM (VALUES (1), (2))",
    // Subqueries.
    "SELECT name, (SELECT count(*) FROM orders o WHERE o.customer_id = c.id) AS n FROM customers c",
    "SELECT name, (SELECT status FROM orders o WHERE o.customer_id = c.id ORDER BY o.id DESC) AS last FROM customers c",
    "SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE cents > 0)",
    "SELECT name FROM customers c WHERE NOT EXISTS (SELECT 1 FROM orders WHERE customer_id = c.id)",
    "SELECT name FROM customers WHERE id NOT IN (SELECT customer_id FROM orders WHERE customer_id IS NOT NULL)",
    "SELECT id FROM tree WHERE id = (SELECT max(t.id) FROM tree t WHERE t.parent_id IS tree.parent_id)",
    "SELECT email FROM customers c WHERE email IN (SELECT upper(email) FROM customers)",
    // WITH.
    "WITH big(n, s) AS (SELECT id, status FROM orders WHERE cents > 10) SELECT s, n FROM big ORDER BY n",
    "WITH a AS MATERIALIZED (SELECT id FROM tree), b AS (SELECT id + 1 AS id FROM a) SELECT a.id FROM a JOIN b USING (id)",
    "WITH RECURSIVE up(id, label, depth, path) AS (SELECT id, label, 0, label FROM tree WHERE parent_id IS NULL \
     UNION ALL SELECT t.id, t.label, up.depth + 1, up.path || '/' || t.label FROM tree t JOIN up ON t.parent_id = up.id) \
     SELECT * FROM up ORDER BY path",
    "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 20) SELECT x, x + x AS twice FROM c",
    "WITH RECURSIVE c(x, y) AS (SELECT 1, NULL UNION SELECT x + 1, 'n' || x FROM c WHERE x < 5) SELECT * FROM c",
    // Windows.
    "SELECT id, row_number() OVER (PARTITION BY customer_id ORDER BY id) AS n FROM orders",
    "SELECT id, rank() OVER w, dense_rank() OVER w, percent_rank() OVER w, ntile(3) OVER w FROM orders WINDOW w AS (ORDER BY status, id)",
    "SELECT id, sum(cents) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW), avg(quantity) OVER (ORDER BY id) FROM orders",
    "SELECT id, lag(status) OVER (ORDER BY id), lead(cents, 2, -1) OVER (ORDER BY id), first_value(status) OVER (ORDER BY id) FROM orders",
    "SELECT status, count(*) AS n, rank() OVER (ORDER BY count(*) DESC, status) AS r FROM orders GROUP BY status",
    // Functions.
    "SELECT upper(name), length(name), substr(name, 2, 2), trim(' x '), replace(email, '@', ' at '), instr(email, '@') FROM customers",
    "SELECT CASE WHEN active THEN 'yes' WHEN active IS NULL THEN 'unknown' ELSE 'no' END AS word, typeof(id), typeof(country) FROM customers",
    "SELECT coalesce(country, 'none') || ':' || id AS tag, abs(score), -credit, round(score) FROM customers",
    "SELECT date(seen) AS day, strftime('%Y-%m', placed_at) AS month FROM customers JOIN orders ON orders.id = customers.id",
];

/// Views that don't, and a part of the reason.
const LOST: &[(&str, &str)] = &[
    ("SELECT name, max(id) FROM customers GROUP BY country", "neither grouped nor in an aggregate"),
    ("SELECT sum(score) FROM customers", "rounded otherwise"),
    ("SELECT value FROM customers, json_each(customers.extra)", "table function json_each"),
    ("SELECT rowid FROM pairs", "rowid"),
    ("SELECT country FROM customers GROUP BY email", "collation other than BINARY"),
    ("SELECT soundex(name) FROM customers", ""),
    ("SELECT name FROM sqlite_schema", "SQLite's own tables"),
    ("SELECT (id, name) = (1, 'x') FROM customers", "row values"),
    ("SELECT id FROM customers WHERE name", "condition"),
    ("SELECT printf('%e', score) FROM customers", "printf"),
    ("SELECT quantity << cents FROM orders", ""),
    ("SELECT id FROM customers LIMIT (SELECT 2)", "LIMIT"),
];

#[test]
fn views_arrive_with_their_rows_on_every_version() {
    let mut script = TABLES.to_owned();
    for (at, sql) in CARRIED.iter().enumerate() {
        script.push_str(&format!("CREATE VIEW v{at} AS {sql};\n"));
    }
    let fixture = Fixture::new(&script);
    let names: Vec<String> = (0..CARRIED.len()).map(|at| format!("v{at}")).collect();
    let texts = |outcomes: &[(String, ObjectOutcome)]| {
        outcomes
            .iter()
            .filter_map(|(name, outcome)| match outcome {
                ObjectOutcome::Carried => None,
                ObjectOutcome::Lost(reason) => {
                    let at: usize = name[1..].parse().unwrap();
                    Some(format!("{}\n    {reason}", CARRIED[at]))
                }
            })
            .collect::<Vec<_>>()
            .join("\n")
    };
    let planned = texts(&fixture.planned(&names));
    for major in MAJORS {
        let found = texts(&fixture.converted(major, &names));
        assert!(found.is_empty() && planned.is_empty(), "PostgreSQL {major}:\n{planned}\n{found}");
    }
}

#[test]
fn what_has_no_equivalent_is_listed_with_its_reason_and_its_sql() {
    let mut script = TABLES.to_owned();
    for (at, (sql, _)) in LOST.iter().enumerate() {
        script.push_str(&format!("CREATE VIEW v{at} AS {sql};\n"));
    }
    script.push_str("CREATE VIEW later AS SELECT * FROM v0; CREATE VIEW broken AS SELECT * FROM gone;");
    let fixture = Fixture::new(&script);
    let plan = fixture.plan();
    let reason = |name: &str| -> &Finding {
        let found = plan.with_code(FindingCode::ViewNotCarried).find(|finding| finding.place() == name);
        found.unwrap_or_else(|| panic!("{name} is carried"))
    };
    for (at, (sql, part)) in LOST.iter().enumerate() {
        let finding = reason(&format!("v{at}"));
        assert!(finding.message.contains(part), "{sql}: {}", finding.message);
        assert!(finding.sql.as_deref().is_some_and(|kept| kept.contains(sql)), "{sql}");
    }
    assert!(reason("later").message.contains("it uses v0, a view that is not carried"));
    assert!(reason("broken").message.contains("SQLite itself can't read it"));
    assert!(plan.views.is_empty());
}
