//! Files that need what only their application has, or that exceeds PostgreSQL's limits: every row that can be read is
//! carried, the rest is named.

use rusqlite::{Connection, functions::FunctionFlags};
use turso2neon::model::{Finding, FindingCode, Plan, conversion_plan::Outcome};

use super::loaded::Loaded;
use crate::support::{Target, Workspace};

fn finding<'a>(plan: &'a Plan, code: FindingCode, place: &str) -> &'a Finding {
    let found = plan.with_code(code).find(|finding| finding.place() == place);
    found.unwrap_or_else(|| panic!("no {} at {place} in {:#?}", code.word(), plan.findings))
}

fn outcome(plan: &Plan, kind: &str, source: &str) -> Outcome {
    let found = plan.objects.iter().find(|object| object.kind == kind && object.source == source);
    found.unwrap_or_else(|| panic!("no {kind} {source} in {:#?}", plan.objects)).outcome
}

/// A file made with the application's own collation and function.
fn with_application(name: &str, workspace: &Workspace, script: &str) {
    let connection = Connection::open(workspace.path().join(name)).unwrap();
    connection.create_collation("german", |one, two| one.to_lowercase().cmp(&two.to_lowercase())).unwrap();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection
        .create_scalar_function("own", 1, flags, |context| {
            Ok(context.get::<Option<String>>(0)?.map(|text| text.len().to_string()))
        })
        .unwrap();
    connection.execute_batch(script).unwrap();
}

#[test]
fn collations_and_functions_of_the_application_cost_no_row() {
    let workspace = Workspace::new();
    with_application(
        "app.db",
        &workspace,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, n TEXT COLLATE german, u TEXT UNIQUE COLLATE german, m INT,
            stored TEXT AS (own(n)) STORED, computed TEXT AS (own(n)) VIRTUAL, CHECK (own(n) IS NOT NULL));
         CREATE INDEX by_n ON t(m, n); CREATE INDEX by_own ON t(own(n)); CREATE INDEX some ON t(m) WHERE own(n) > '0';
         CREATE TABLE w(k TEXT COLLATE german PRIMARY KEY, v) WITHOUT ROWID;
         CREATE TABLE child(k TEXT REFERENCES w(k));
         CREATE TABLE j(id INTEGER PRIMARY KEY, doc TEXT);
         INSERT INTO t(n, u, m) VALUES ('b', 'x', 1), ('A', 'Y', 2), ('c', NULL, 3);
         INSERT INTO w VALUES ('b', 1), ('A', 2), ('C', 3); INSERT INTO child VALUES ('b'), ('a');
         INSERT INTO j(doc) VALUES ('{\"a\":1}'), ('broken'); ALTER TABLE j ADD COLUMN a AS (json_extract(doc, '$.a'));",
    );
    let loaded = Loaded { workspace, local: Target::start() };
    loaded.call("dump", &["--source", &loaded.workspace.path().join("app.db").to_string_lossy()]);
    loaded.call("plan", &["--accept", "all"]);
    loaded.convert();
    loaded.verify();
    let plan = loaded.stored_plan();
    let rows: Vec<u64> = plan.tables.iter().map(|table| table.rows).collect();
    assert_eq!(rows, [3, 3, 2, 2]);
    assert_eq!(loaded.local.value("SELECT string_agg(stored, ',' ORDER BY id) FROM t"), "1,1,1");
    assert_eq!(finding(&plan, FindingCode::OrphanRows, "child.k").count, Some(1));
    finding(&plan, FindingCode::OrphanRows, "child.k").message.find("first at rowid 2").unwrap();
    for (kind, source) in [
        ("generated column", "stored"),
        ("generated column", "computed"),
        ("generated column", "a"),
        ("index", "by_own"),
        ("index", "some"),
    ] {
        assert_eq!(outcome(&plan, kind, source), Outcome::NotCarried, "{source}");
    }
    assert_eq!(outcome(&plan, "index", "by_n"), Outcome::Translated);
    assert_eq!(plan.with_code(FindingCode::CheckNotCarried).count(), 1);
}

#[test]
fn virtual_tables_and_broken_declarations_are_carried_as_far_as_they_can_be_read() {
    let script = "
        CREATE VIRTUAL TABLE docs USING fts5(title, body); INSERT INTO docs VALUES ('one', 'first words');
        CREATE VIRTUAL TABLE tok USING fts5(a); INSERT INTO tok VALUES ('kept');
        CREATE VIRTUAL TABLE place USING rtree(id, x0, x1, +label); INSERT INTO place VALUES (1, 0.1, 0.2, 'l');
        CREATE TABLE my_content(x TEXT); INSERT INTO my_content VALUES ('user data');
        CREATE TABLE strict(a INT, b ANY) STRICT; INSERT INTO strict VALUES (1, 2);
        CREATE TABLE bad(a TEXT); INSERT INTO bad VALUES ('y');
        PRAGMA writable_schema=ON;
        UPDATE sqlite_schema SET sql = 'CREATE VIRTUAL TABLE tok USING fts5(a, tokenize=own)' WHERE name = 'tok';
        UPDATE sqlite_schema SET sql = 'CREATE TABLE bad(a TEXT,,)' WHERE name = 'bad';
        INSERT INTO sqlite_schema VALUES ('view', 'lost', 'lost', 0, 'CREATE VIEW lost AS SELEC 1');
        INSERT INTO sqlite_schema VALUES ('table', 'vecs', 'vecs', 0, 'CREATE VIRTUAL TABLE vecs USING vec0(e float[3])');";
    let loaded = Loaded::plan_on(Target::start(), script, "fts = \"tsvector\"");
    loaded.convert();
    loaded.verify();
    let plan = loaded.stored_plan();
    let names: Vec<&str> = plan.tables.iter().map(|table| table.source.as_str()).collect();
    assert_eq!(names, ["docs", "tok_content", "place", "my_content", "strict"]);
    for name in ["bad", "vecs"] {
        finding(&plan, FindingCode::TableNotReadable, name);
    }
    let search = "SELECT title FROM docs WHERE to_tsvector('simple', coalesce(title, '') || ' ' || coalesce(body, '')) \
                  @@ plainto_tsquery('simple', 'words')";
    assert_eq!(loaded.local.value(search), "one");
    assert_eq!(
        loaded
            .local
            .value("SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE relname = 'docs_search_idx'"),
        "gin"
    );
    assert_eq!(loaded.local.value("SELECT c0 FROM tok_content"), "kept");
}

#[test]
fn keys_longer_than_a_b_tree_takes_keep_their_uniqueness() {
    let long = "printf('%.*c', 9000, 'x')";
    let script = format!(
        "CREATE TABLE k(t TEXT PRIMARY KEY, n INT, u TEXT UNIQUE COLLATE NOCASE, UNIQUE(n, t));
         CREATE UNIQUE INDEX some ON k(t) WHERE n > 0; CREATE INDEX plain ON k(n, t DESC);
         CREATE TABLE child(t TEXT REFERENCES k);
         INSERT INTO k VALUES ('a' || {long}, 1, 'A' || {long}), ('b' || {long}, 2, 'B' || {long});
         INSERT INTO child SELECT t FROM k;"
    );
    let loaded = Loaded::plan(&script);
    loaded.convert();
    loaded.verify();
    let plan = loaded.stored_plan();
    let form = |source: &str| {
        let table = plan.table("k").unwrap();
        let index = table.indexes.iter().find(|index| index.source == source).unwrap();
        format!("{} {}", index.method, index.keys.join(", "))
    };
    assert_eq!(form("sqlite_autoindex_k_1"), "hash \"t\"");
    assert_eq!(form("sqlite_autoindex_k_2"), "hash lower(\"u\" COLLATE \"C\")");
    assert_eq!(form("sqlite_autoindex_k_3"), "btree \"n\", md5(\"t\")");
    finding(&plan, FindingCode::ForeignKeyNotCarried, "child.t");
    let refused = |insert: &str| {
        let sql = format!("DO $$ BEGIN {insert}; RAISE 'taken'; EXCEPTION WHEN exclusion_violation THEN NULL; END $$");
        loaded.local.query(&sql);
    };
    refused("INSERT INTO k SELECT t, 3, NULL FROM k LIMIT 1");
    refused("INSERT INTO k SELECT 'c', 4, lower(u) FROM k LIMIT 1");
    // What verify must notice: the guard is gone.
    loaded.local.query("ALTER TABLE k DROP CONSTRAINT k_pkey");
    let url = loaded.local.admin_url();
    let verify = loaded.workspace.tool("verify").args(["--against", "local", "--local-url", &url]).run();
    assert_eq!(verify.code(), Some(1));
    verify.expect_text("k_pkey");
}
