//! What the Turso engine makes beyond SQLite: custom types, full-text indexes, MVCC databases, its own tables.

use turso2neon::{
    model::{DumpMethod, finding::FindingCode},
    stages::{
        dump::{DumpRequest, Method},
        plan::{PlanRequest, Planned, plan},
    },
};

use super::{Fixture, code, request};
use crate::support::{SyncServer, process::block_on};

impl Fixture {
    fn plan(&self) -> Planned {
        let workdir = turso2neon::workdir::Workdir::create(&self.dir()).unwrap();
        let ctx = turso2neon::context::Context { workdir, out: self.events.clone(), stop: self.stop.clone() };
        block_on(async { plan(&ctx, &PlanRequest::default()).await }).unwrap()
    }
}

/// Whether the plan has such a finding at this table, with this word in its message.
fn has(planned: &Planned, code: FindingCode, table: &str, word: &str) -> bool {
    let findings = planned.plan.findings.iter();
    findings
        .filter(|finding| finding.code == code && finding.message.contains(word))
        .any(|finding| finding.table.as_deref() == Some(table))
}

#[test]
fn a_table_that_sqlite_cannot_read_is_named_and_the_others_come() {
    let server = SyncServer::start_with(&["--experimental-custom-types", "--experimental-views"]);
    server.execute(&[
        "CREATE TABLE a(id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO a VALUES (1, 'x'), (2, 'y')",
        "CREATE TYPE cents BASE integer ENCODE value * 100 DECODE value / 100",
        "CREATE TABLE ct(id INTEGER PRIMARY KEY, p cents) STRICT",
        "INSERT INTO ct VALUES (1, 5)",
    ]);
    let fixture = Fixture::new();
    let error = fixture.dump(&request(server.url())).unwrap_err();
    assert_eq!(code(&error), "source-invalid", "{error}");
    assert!(error.message().contains("tables: ct") && error.hint().contains("--exclude ct"), "{error}");
    let excluding = DumpRequest { exclude: vec!["CT".to_owned()], ..request(server.url()) };
    let dumped = fixture.dump(&excluding).unwrap();
    assert_eq!(dumped.checkpoint.method, DumpMethod::Pages, "{}", dumped.checkpoint.method_reason);
    assert_eq!(fixture.value("SELECT group_concat(v) FROM a"), "x,y");
    assert_eq!(fixture.value("PRAGMA integrity_check(a)"), "ok");
    let left: Vec<&str> = dumped.checkpoint.left_out.iter().map(|object| object.name.as_str()).collect();
    assert_eq!(left, ["ct"]);
    let planned = fixture.plan();
    assert!(has(&planned, FindingCode::TableSkipped, "__turso_internal_types", "Turso engine"));
    assert_eq!(planned.plan.tables.iter().map(|table| table.source.as_str()).collect::<Vec<_>>(), ["a"]);
    assert!(dumped.checkpoint.left_out[0].excluded);
    assert!(has(&planned, FindingCode::TableSkipped, "ct", "excluded") && planned.plan.blocking().count() == 0);
}

#[test]
fn a_full_text_index_is_named_at_its_table() {
    let server = SyncServer::start_with(&["--experimental-index-method"]);
    server.execute(&[
        "CREATE TABLE docs(id INTEGER PRIMARY KEY, body TEXT)",
        "CREATE INDEX docs_fts ON docs USING fts(body)",
        "INSERT INTO docs VALUES (1, 'hello world')",
    ]);
    let fixture = Fixture::new();
    fixture.dump(&request(server.url())).unwrap();
    let planned = fixture.plan();
    assert!(has(&planned, FindingCode::IndexNotCarried, "docs", "fts"), "{:?}", planned.plan.findings);
    let object = planned.plan.objects.iter().find(|object| object.source == "docs_fts").unwrap();
    assert_eq!(object.table, "docs");
    let internal = "__turso_internal_fts_dir_docs_fts";
    assert!(has(&planned, FindingCode::TableSkipped, internal, "Turso engine"), "{:?}", planned.plan.findings);
    assert_eq!(planned.plan.tables.len(), 1);
}

#[test]
fn the_record_of_changes_is_no_table_of_the_user() {
    let server = SyncServer::start();
    server.execute(&[
        "CREATE TABLE a(id INTEGER PRIMARY KEY, v TEXT)",
        "PRAGMA unstable_capture_data_changes_conn('full')",
        "INSERT INTO a VALUES (1, 'x')",
    ]);
    let fixture = Fixture::new();
    fixture.dump(&request(server.url())).unwrap();
    let planned = fixture.plan();
    assert!(has(&planned, FindingCode::TableSkipped, "turso_cdc", "record of changes"), "{:?}", planned.plan.findings);
    assert_eq!(planned.plan.tables.iter().map(|table| table.source.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn the_hint_for_an_mvcc_database_leads_to_a_dump() {
    let mut server = SyncServer::start();
    server.execute(&[
        "PRAGMA journal_mode = 'mvcc'",
        "CREATE TABLE a(id INTEGER PRIMARY KEY, v TEXT)",
        "INSERT INTO a VALUES (1, 'x'), (2, 'y')",
    ]);
    for method in [Method::Auto, Method::Sql] {
        let error = Fixture::new().dump(&DumpRequest { method, ..request(server.url()) }).unwrap_err();
        assert_eq!(code(&error), "source-refused");
        assert!(error.message().contains("cursors") && error.hint().contains("journal_mode = 'wal'"), "{error}");
    }
    server.stop();
    let file = server.data_file();
    let error = Fixture::new().dump(&request(file.display().to_string())).unwrap_err();
    assert!(error.hint().contains("journal_mode = 'wal'"), "{}", error.hint());
    SyncServer::run_on(&file, "PRAGMA journal_mode = 'wal'");
    let fixture = Fixture::new();
    fixture.dump(&request(file.display().to_string())).unwrap();
    assert_eq!(fixture.value("SELECT group_concat(v) FROM a"), "x,y");
}

#[test]
fn where_no_method_works_the_error_says_why_each_failed() {
    // A database that was checkpointed: the server lends none of its pages, and has no cursors.
    let server = SyncServer::start();
    server.execute(&["CREATE TABLE a(v)", "INSERT INTO a VALUES (1)", "PRAGMA wal_checkpoint(TRUNCATE)"]);
    let error = match Fixture::new().dump(&request(server.url())) {
        // The pages may still be there; then there is nothing to say.
        Ok(dumped) => return assert_eq!(dumped.checkpoint.method, DumpMethod::Pages),
        Err(error) => error,
    };
    for method in ["not pages: ", "not export: ", "not replica: ", "(method sql;"] {
        assert!(error.message().contains(method), "{error}");
    }
}
