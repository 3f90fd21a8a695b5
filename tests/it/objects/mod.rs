//! Tests keys, constraints, indexes, defaults and identities on a real PostgreSQL.

mod fixture;

mod corpus;

mod loaded;

mod unknown;

mod vector;

use fixture::Planned;
use turso2neon::model::{FindingCode, Severity, conversion_plan::Outcome};

use crate::support::Target;

#[test]
fn keys_keep_their_columns_names_and_order() {
    let planned = Planned::of(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, x TEXT, y TEXT, CONSTRAINT pair UNIQUE(y, x), UNIQUE(x), UNIQUE(id));
         CREATE TABLE b(c TEXT, a INT, PRIMARY KEY(a DESC, c)) WITHOUT ROWID;
         CREATE TABLE c(k TEXT CONSTRAINT own PRIMARY KEY, UNIQUE(k, k));
         CREATE TABLE a_pkey(x); CREATE INDEX a_x_key ON b(a);
         INSERT INTO a VALUES (1, 'p', 'q'), (2, NULL, NULL), (3, NULL, NULL); INSERT INTO b VALUES ('x', 1);",
    );
    let a = planned.table("a");
    assert_eq!(a.primary_key.as_ref().unwrap().name, "a_pkey_1");
    let uniques: Vec<_> = a.uniques.iter().map(|key| (key.name.as_str(), key.columns.join(","))).collect();
    assert_eq!(uniques, [("pair", "y,x".to_owned()), ("a_x_key_1", "x".to_owned())]);
    assert_eq!(planned.table("b").primary_key.as_ref().unwrap().columns, ["a", "c"]);
    assert_eq!(planned.table("c").primary_key.as_ref().unwrap().name, "own");
    assert_eq!(planned.outcome("unique", "sqlite_autoindex_a_3"), Outcome::Translated);
    planned.create(&Target::start(), true);
}

#[test]
fn a_primary_key_with_nulls_becomes_unique() {
    let planned = Planned::of(
        "CREATE TABLE t(a TEXT, b INT, PRIMARY KEY(a, b)); INSERT INTO t VALUES (NULL, 1), (NULL, 1), ('x', NULL), ('x', 2);
         CREATE TABLE child(a TEXT, b INT, FOREIGN KEY(a, b) REFERENCES t);",
    );
    let table = planned.table("t");
    assert!(table.primary_key.is_none());
    assert_eq!(table.uniques[0].columns, ["a", "b"]);
    let finding = planned.finding(FindingCode::NullsInPrimaryKey);
    assert_eq!((finding.count, finding.severity), (Some(3), Severity::Warning));
    assert_eq!(planned.table("child").foreign_keys.len(), 1);
    planned.create(&Target::start(), true);
}

#[test]
fn identities_go_on_where_the_source_is() {
    let planned = Planned::of(
        "CREATE TABLE plain(id INTEGER PRIMARY KEY); INSERT INTO plain VALUES (7);
         CREATE TABLE auto(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO auto VALUES (41); DELETE FROM auto;
         CREATE TABLE empty(id INTEGER PRIMARY KEY);
         CREATE TABLE below(id INTEGER PRIMARY KEY); INSERT INTO below VALUES (-5);
         CREATE TABLE full(id INTEGER PRIMARY KEY); INSERT INTO full VALUES (9223372036854775807);
         CREATE TABLE plain_id_seq(x); CREATE TABLE none(id INT PRIMARY KEY); INSERT INTO none VALUES (3);",
    );
    let next = |table: &str| planned.table(table).identity.as_ref().map(|identity| identity.next);
    assert_eq!(next("plain"), Some(Some(8)));
    assert_eq!(next("auto"), Some(Some(42)));
    assert_eq!(next("empty"), Some(Some(1)));
    assert_eq!(next("below"), Some(Some(1)));
    assert_eq!(next("full"), Some(None));
    assert_eq!(next("none"), None);
    assert_eq!(planned.finding(FindingCode::IdentityExhausted).table.as_deref(), Some("full"));
    let target = Target::start();
    planned.create(&target, true);
    assert_eq!(target.value("INSERT INTO auto DEFAULT VALUES RETURNING id"), "42");
    assert_eq!(target.value("INSERT INTO plain DEFAULT VALUES RETURNING id"), "8");
    assert_eq!(target.value("INSERT INTO below DEFAULT VALUES RETURNING id"), "1");
}

#[test]
fn broken_constraints_are_kept_for_new_rows() {
    let planned = Planned::of(
        "CREATE TABLE parent(id INTEGER PRIMARY KEY); INSERT INTO parent VALUES (1);
         CREATE TABLE t(id INTEGER PRIMARY KEY, n INT CONSTRAINT positive CHECK (n > 0), m INT CHECK (m < 10),
                        p INT REFERENCES parent, must TEXT);
         INSERT INTO t VALUES (1, -1, 1, 1, NULL), (2, 5, 2, 99, NULL), (3, NULL, NULL, NULL, 'x');
         PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, 'must TEXT', 'must TEXT NOT NULL') WHERE name = 't';
         PRAGMA writable_schema=RESET;",
    );
    let table = planned.table("t");
    let checks: Vec<_> = table.checks.iter().map(|check| (check.name.as_str(), check.not_valid)).collect();
    assert_eq!(checks, [("t_must_not_null", true), ("positive", true), ("t_check", false)]);
    assert!(table.foreign_keys[0].not_valid);
    for (code, count) in
        [(FindingCode::CheckViolated, 1), (FindingCode::OrphanRows, 1), (FindingCode::NotNullViolated, 2)]
    {
        let finding = planned.finding(code);
        assert_eq!((finding.count, finding.severity), (Some(count), Severity::Warning), "{code:?}");
        assert!(finding.message.contains("VALIDATE CONSTRAINT"));
    }
    let target = Target::start();
    planned.create(&target, true);
    let invalid =
        target.value("SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint WHERE NOT convalidated");
    assert_eq!(invalid, "positive,t_must_not_null,t_p_fkey");
}

#[test]
fn foreign_keys_find_their_parents_as_sqlite_does() {
    let planned = Planned::of(
        "CREATE TABLE Parent(\"Id\" INTEGER PRIMARY KEY, code TEXT UNIQUE, a INT, b INT, loose INT, UNIQUE(a, b));
         CREATE UNIQUE INDEX part ON Parent(loose) WHERE loose > 0;
         CREATE TABLE nokey(x); CREATE VIEW seen AS SELECT 1 AS x;
         CREATE TABLE child(
            i INT REFERENCES parent, c TEXT REFERENCES PARENT(CODE) ON DELETE SET NULL ON UPDATE CASCADE,
            x INT, y INT, me INTEGER PRIMARY KEY, up INT REFERENCES child DEFERRABLE INITIALLY DEFERRED,
            l INT REFERENCES parent(loose), m INT REFERENCES missing, k INT REFERENCES nokey, v INT REFERENCES seen(x),
            t TEXT REFERENCES parent(\"Id\"), two INT REFERENCES parent(a), n INT REFERENCES parent(nowhere),
            CONSTRAINT swapped FOREIGN KEY(x, y) REFERENCES parent(b, a) MATCH FULL);
         INSERT INTO Parent VALUES (1, 'a', 2, 3, 1); INSERT INTO child(i, c, x, y, t) VALUES (1, 'a', 3, 2, 'word');",
    );
    let child = planned.table("child");
    let keys: Vec<_> = child
        .foreign_keys
        .iter()
        .map(|key| (key.name.as_str(), key.parent.as_str(), key.parent_columns.join(","), key.deferred, key.not_valid))
        .collect();
    assert_eq!(
        keys,
        [
            ("child_i_fkey", "Parent", "Id".to_owned(), false, false),
            ("child_c_fkey", "Parent", "code".to_owned(), false, false),
            ("child_up_fkey", "child", "me".to_owned(), true, false),
            ("swapped", "Parent", "b,a".to_owned(), false, false),
        ]
    );
    assert_eq!(child.foreign_keys[1].on_delete, "SET NULL");
    let refused: Vec<_> = planned
        .carried
        .findings
        .iter()
        .filter(|finding| finding.code == FindingCode::ForeignKeyNotCarried)
        .map(|finding| (finding.column.as_deref().unwrap(), finding.severity))
        .collect();
    assert_eq!(
        refused,
        [
            ("l", Severity::Warning),
            ("m", Severity::Warning),
            ("k", Severity::Warning),
            ("v", Severity::Warning),
            ("t", Severity::NeedsDecision),
            ("two", Severity::Warning),
            ("n", Severity::Warning),
        ]
    );
    planned.create(&Target::start(), true);
}

#[test]
fn indexes_keep_order_predicate_expression_and_collation() {
    let planned = Planned::of(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT NOT NULL, b INT, f BOOLEAN, mail TEXT COLLATE NOCASE, j JSON, big TEXT, day DATE);
         CREATE INDEX plain ON t(a, b DESC); CREATE INDEX backwards ON t(a DESC, b);
         CREATE UNIQUE INDEX live ON t(a) WHERE f = 0; CREATE INDEX low ON t(lower(a), substr(mail, 1, 3) DESC);
         CREATE UNIQUE INDEX mails ON t(mail); CREATE INDEX again ON t(a COLLATE NOCASE, id);
         CREATE INDEX path ON t(json_extract(j, '$.a.b')); CREATE INDEX long ON t(big); CREATE INDEX pair ON t(a, big);
         CREATE UNIQUE INDEX longer ON t(big, b); CREATE INDEX odd ON t(date(a)); CREATE INDEX when_ ON t(a) WHERE date(a) > '2';
         CREATE UNIQUE INDEX worse ON t(a) WHERE round(b, 1) > 5; CREATE INDEX days ON t(day) WHERE day >= '2024-01-01';
         INSERT INTO t VALUES (1, 'x', NULL, 0, 'É', '{}', printf('%.*c', 3000, 'y'), NULL), (2, 'x', 1, 1, 'é', NULL, 'z', '2024-05-05');",
    );
    let keys = |name: &str| {
        let index = planned.table("t").indexes.iter().find(|index| index.source == name).unwrap();
        format!("{} {} {}", index.method, index.keys.join(", "), index.predicate.as_deref().unwrap_or("-"))
    };
    assert_eq!(keys("plain"), r#"btree "a", "b" DESC NULLS LAST -"#);
    assert_eq!(keys("backwards"), r#"btree "a" DESC, "b" NULLS FIRST -"#);
    assert_eq!(keys("live"), r#"btree "a" NOT "f""#);
    assert_eq!(keys("low"), r#"btree (lower("a" COLLATE "C")) NULLS FIRST, (substr("mail", 1, 3)) DESC NULLS LAST -"#);
    assert_eq!(keys("mails"), r#"btree lower("mail" COLLATE "C") NULLS FIRST -"#);
    assert_eq!(keys("again"), r#"btree lower("a" COLLATE "C"), "id" -"#);
    assert_eq!(keys("path"), r#"btree ("j" #>> '{a,b}') NULLS FIRST -"#);
    assert_eq!(keys("long"), r#"hash "big" -"#);
    assert_eq!(keys("days"), r#"btree "day" NULLS FIRST "day" >= '2024-01-01'::date"#);
    assert_eq!(keys("pair"), r#"btree "a", left("big", 649) NULLS FIRST -"#);
    assert_eq!(keys("longer"), r#"btree md5("big") NULLS FIRST, "b" NULLS FIRST -"#);
    for (name, severity) in
        [("odd", Severity::Warning), ("when_", Severity::Warning), ("worse", Severity::NeedsDecision)]
    {
        assert_eq!(planned.outcome("index", name), Outcome::NotCarried);
        let finding = planned.carried.findings.iter().find(|found| found.column.as_deref() == Some(name)).unwrap();
        assert_eq!(finding.severity, severity, "{name}");
        assert!(finding.sql.is_some());
    }
    planned.create(&Target::start(), true);
}

#[test]
fn keys_without_case_keep_their_meaning() {
    let planned = Planned::of(
        "CREATE TABLE tag(name TEXT COLLATE NOCASE PRIMARY KEY, alias TEXT UNIQUE COLLATE NOCASE, ref TEXT COLLATE NOCASE UNIQUE, pad TEXT COLLATE RTRIM UNIQUE);
         CREATE TABLE use_(t TEXT REFERENCES tag, r TEXT REFERENCES tag(ref));
         INSERT INTO tag VALUES ('Key', 'É', 'r', 'x'), ('other', 'é', 's', 'y'); INSERT INTO use_ VALUES ('KEY', 'r'), ('Key', 's');",
    );
    let tag = planned.table("tag");
    assert_eq!(tag.primary_key.as_ref().unwrap().columns, ["name"]);
    assert_eq!(tag.uniques.iter().map(|key| key.columns.join(",")).collect::<Vec<_>>(), ["ref"]);
    let folded: Vec<_> = tag.indexes.iter().map(|index| (index.unique, index.keys.join(","))).collect();
    assert_eq!(
        folded,
        [
            (true, r#"lower("name" COLLATE "C")"#.to_owned()),
            (true, r#"lower("alias" COLLATE "C")"#.to_owned()),
            (true, r#"lower("ref" COLLATE "C")"#.to_owned()),
            (true, r#"rtrim("pad", ' ')"#.to_owned()),
        ]
    );
    let keys: Vec<_> = planned.table("use_").foreign_keys.iter().map(|key| key.not_valid).collect();
    assert_eq!(keys, [true, false], "SQLite matches KEY with Key, PostgreSQL doesn't");
    assert!(planned.has(FindingCode::CollationChanged));
    let target = Target::start();
    planned.create(&target, true);
    assert_eq!(target.value("SELECT count(*) FROM tag"), "2");
}

#[test]
fn defaults_are_values_of_the_chosen_type_whatever_the_zone() {
    let planned = Planned::of(
        "CREATE TABLE t(
            i INT DEFAULT '7', x TEXT DEFAULT 5, n NUMERIC DEFAULT 1.5, f BOOLEAN DEFAULT 1, g BOOLEAN DEFAULT 'f', h INT DEFAULT TRUE,
            bare TEXT DEFAULT pending, dq TEXT DEFAULT \"quoted\", hex INT DEFAULT 0x1F, neg INT DEFAULT -5, b BLOB DEFAULT x'00ff',
            none TEXT DEFAULT NULL, stamp TEXT DEFAULT CURRENT_TIMESTAMP, at DATETIME DEFAULT CURRENT_TIMESTAMP,
            at2 TIMESTAMP DEFAULT (datetime('now')), day DATE DEFAULT CURRENT_DATE, d TEXT DEFAULT (date('now')), c TEXT DEFAULT current_time,
            u INT DEFAULT (unixepoch()), s INT DEFAULT (strftime('%s', 'now')), ms INT DEFAULT (unixepoch() * 1000),
            jd INT DEFAULT (CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)), r REAL DEFAULT 2,
            iso TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')), id TEXT DEFAULT (lower(hex(randomblob(16)))),
            uid UUID DEFAULT (lower(hex(randomblob(16)))), rnd INT DEFAULT (random()), soon TEXT DEFAULT (datetime('now', '+1 day')),
            gpkg TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ',CURRENT_TIMESTAMP)), zoned TIMESTAMP DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
            js JSON DEFAULT '{\"a\":1}', e TEXT DEFAULT '', q TEXT DEFAULT 'it''s', both TEXT DEFAULT ('a' || 'b'),
            bad INT DEFAULT 'abc', local TEXT DEFAULT (datetime('now', 'localtime')), gone TEXT DEFAULT (sqlite_version()),
            lost INT DEFAULT CURRENT_TIMESTAMP, sub INT DEFAULT (unixepoch('subsec') * 1000));",
    );
    let default = |column: &str| planned.column("t", column).default.clone().unwrap_or_else(|| "-".to_owned());
    for (column, expected) in [
        ("i", "7"),
        ("x", "'5'"),
        ("n", "1.5"),
        ("f", "true"),
        ("g", "false"),
        ("h", "1"),
        ("bare", "'pending'"),
        ("dq", "'quoted'"),
        ("hex", "31"),
        ("neg", "-5"),
        ("b", "'\\x00ff'"),
        ("none", "-"),
        ("stamp", "to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"),
        ("at", "(now() AT TIME ZONE 'UTC')"),
        ("uid", "gen_random_uuid()"),
        ("js", "'{\"a\":1}'::jsonb"),
        ("both", "'ab'"),
        ("q", "'it''s'"),
        ("e", "''"),
        ("bad", "-"),
        ("local", "-"),
        ("gone", "-"),
        ("lost", "-"),
    ] {
        assert!(default(column).starts_with(expected), "{column}: {}", default(column));
    }
    let lost: Vec<_> = planned
        .carried
        .findings
        .iter()
        .filter(|finding| finding.code == FindingCode::DefaultNotCarried)
        .map(|finding| finding.column.clone().unwrap())
        .collect();
    assert_eq!(lost, ["bad", "local", "gone", "lost"]);
    let target = Target::start();
    planned.create(&target, false);
    target.query("SET timezone = 'Asia/Tokyo'; INSERT INTO t DEFAULT VALUES");
    let near = |expression: &str| {
        let seconds =
            format!("abs(extract(epoch FROM {expression}) - extract(epoch FROM now() AT TIME ZONE 'UTC')) < 60");
        assert_eq!(target.value(&format!("SELECT ({seconds})::text FROM t")), "true", "{expression}");
    };
    for timestamp in [
        "stamp::timestamp",
        "at",
        "at2",
        "rtrim(iso, 'Z')::timestamp",
        "rtrim(gpkg, 'Z')::timestamp",
        "zoned",
        "to_timestamp(u) AT TIME ZONE 'UTC'",
        "to_timestamp(s) AT TIME ZONE 'UTC'",
        "to_timestamp(ms / 1000.0) AT TIME ZONE 'UTC'",
        "to_timestamp(jd / 1000.0) AT TIME ZONE 'UTC'",
        "to_timestamp(sub / 1000.0) AT TIME ZONE 'UTC'",
        "soon::timestamp - interval '1 day'",
        "(d || ' ' || c)::timestamp",
    ] {
        near(timestamp);
    }
    assert_eq!(target.value("SELECT (day = (now() AT TIME ZONE 'UTC')::date)::text FROM t"), "true");
    assert_eq!(target.value("SELECT length(id) || iso FROM t WHERE id ~ '^[0-9a-f]{32}$' AND iso ~ '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z$'").len(), 26);
}

#[test]
fn checks_are_carried_implied_or_refused() {
    let planned = Planned::of(
        "CREATE TABLE t(f BOOLEAN CHECK (f IN (0, 1)), j JSON CHECK (json_valid(j)), i INT CHECK (typeof(i) IN ('integer', 'null')),
                        kind TEXT CHECK (kind IN ('a', 'b')), n INT, m INT, x TEXT,
                        CONSTRAINT same CHECK (n <> m), CONSTRAINT same CHECK (n < 100), CHECK (date(x) = x), CHECK (x LIKE 'a%'));
         CREATE TABLE u(n INT CONSTRAINT same CHECK (n > 0)); INSERT INTO t VALUES (1, '{}', 5, 'a', 1, 2, NULL);",
    );
    let table = planned.table("t");
    let names: Vec<_> = table.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(names, ["t_check", "same", "same_1", "t_check_1"]);
    assert_eq!(planned.table("u").checks[0].name, "same");
    let implied = planned.carried.objects.iter().filter(|object| object.reason.contains("admits nothing else")).count();
    assert_eq!(implied, 3);
    let finding = planned.finding(FindingCode::CheckNotCarried);
    assert_eq!((finding.severity, finding.sql.as_deref()), (Severity::NeedsDecision, Some("CHECK (date (x) = x)")));
    planned.create(&Target::start(), true);
}

#[test]
fn what_is_not_carried_is_reported_with_its_sql() {
    let planned = Planned::of(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, twice AS (printf('%e', a)), u TEXT UNIQUE ON CONFLICT REPLACE);
         CREATE VIRTUAL TABLE f USING fts5(x); CREATE VIRTUAL TABLE g USING fts5(a, content='t');
         INSERT INTO f VALUES ('word');",
    );
    for (code, severity) in
        [(FindingCode::GeneratedAsPlain, Severity::Warning), (FindingCode::VirtualTableAsPlain, Severity::Warning)]
    {
        let finding = planned.finding(code);
        assert_eq!(finding.severity, severity);
        assert!(finding.sql.is_some(), "{code:?}");
    }
    assert!(planned.has(FindingCode::ClauseNotCarried) && planned.has(FindingCode::TableSkipped));
    assert_eq!(planned.outcome("table", "f"), Outcome::Translated);
    assert_eq!(planned.outcome("table", "g"), Outcome::NotCarried);
    planned.create(&Target::start(), true);
}
