//! Tests the plan stage on small databases, one hazard each, and on real ones.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use turso2neon::{
    context::{Cancellation, Context},
    error::{Error, Kind, Result},
    event::{Event, Sink},
    model::{
        ColumnPlan, Conversion, Finding, FindingCode, Plan, Severity,
        cell::StorageClass,
        conversion_plan::{BlobText, EpochUnit, Origin, Outcome},
        overrides::{BadText, ColumnOverride, Encoding, Overrides},
    },
    stages::{
        dump::dump,
        plan::{PlanRequest, Planned, explain, plan, refuse_if_blocked},
    },
    workdir::Workdir,
};

use crate::support::{Corpus, Workspace, plan_builder, process::block_on};

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Sink for Recorder {
    fn emit(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// A dump in a directory of its own, ready to be planned.
struct Fixture {
    workspace: Workspace,
    ctx: Context,
    events: Arc<Recorder>,
}

impl Fixture {
    fn of_script(script: &str) -> Self {
        let workspace = Workspace::new();
        let source = workspace.sqlite("source.db", script);
        Self::of_file(workspace, &source)
    }

    fn of_file(workspace: Workspace, source: &Path) -> Self {
        let events = Arc::new(Recorder::default());
        let workdir = Workdir::create(&workspace.dir()).unwrap();
        let ctx = Context { workdir, out: events.clone(), stop: Cancellation::default() };
        let request = plan_builder::dump_request(source.to_str().unwrap());
        block_on(async { dump(&ctx, &request).await }).unwrap();
        Self { workspace, ctx, events }
    }

    fn try_plan(&self, overrides: &Overrides) -> Result<Planned> {
        let request = PlanRequest { overrides: overrides.clone(), ..PlanRequest::default() };
        block_on(async { plan(&self.ctx, &request).await })
    }

    fn plan_with(&self, overrides: &Overrides) -> Plan {
        self.try_plan(overrides).unwrap().plan
    }

    fn plan(&self) -> Plan {
        self.plan_with(&Overrides::default())
    }
}

fn planned(script: &str) -> Plan {
    Fixture::of_script(script).plan()
}

fn column<'a>(plan: &'a Plan, table: &str, column: &str) -> &'a ColumnPlan {
    let found = plan.table(table).and_then(|found| found.columns.iter().find(|found| found.source == column));
    found.unwrap_or_else(|| panic!("no {table}.{column}"))
}

/// The types of a table's columns in order.
fn types(plan: &Plan, table: &str) -> Vec<String> {
    plan.table(table).unwrap().columns.iter().map(|column| column.pg_type.to_string()).collect()
}

fn finding<'a>(plan: &'a Plan, code: FindingCode, place: &str) -> &'a Finding {
    let found = plan.with_code(code).find(|finding| finding.place() == place);
    found.unwrap_or_else(|| panic!("no {} at {place}: {:?}", code.word(), plan.findings))
}

fn typed(place: &str, pg_type: &str) -> Overrides {
    with_column(place, ColumnOverride { pg_type: Some(pg_type.to_owned()), ..ColumnOverride::default() })
}

fn with_column(place: &str, column: ColumnOverride) -> Overrides {
    Overrides { columns: BTreeMap::from([(place.to_owned(), column)]), ..Overrides::default() }
}

#[test]
fn each_declared_family_gets_its_type_if_every_value_fits() {
    let plan = planned(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT, flag BOOLEAN, r REAL, price DECIMAL(10,2), name VARCHAR(10), \
         note TEXT, raw BLOB, day DATE, at DATETIME, zoned TIMESTAMP, clock TIME, u UUID, j JSON); \
         INSERT INTO t VALUES(1, 7, 1, 1.5, 10.25, 'abc', 'x', x'00', '2024-02-29', '2024-02-29 10:00:00', \
         '2024-02-29T10:00:00Z', '10:00:00', '6f1c9bd0-1111-4000-8000-00000000000a', '{\"a\": 1}')",
    );
    assert_eq!(
        types(&plan, "t"),
        [
            "bigint",
            "bigint",
            "boolean",
            "double precision",
            "numeric(10,2)",
            "varchar(10)",
            "text",
            "bytea",
            "date",
            "timestamp",
            "timestamptz",
            "time",
            "uuid",
            "jsonb"
        ]
    );
    assert!(refuse_if_blocked(&plan).is_ok());
    assert!(plan.findings.iter().all(|finding| finding.severity == Severity::Info), "{:?}", plan.findings);
    let identity = plan.tables[0].identity.as_ref().unwrap();
    assert_eq!((identity.column.as_str(), identity.next), ("id", Some(2)));
}

#[test]
fn values_off_the_declared_type_widen_the_column_loudly() {
    let plan = planned(
        "CREATE TABLE t(n INTEGER, flag BOOLEAN, price DECIMAL(4,2), name VARCHAR(2), day DATE, u UUID, j JSON, raw BLOB);
         INSERT INTO t VALUES(1, 1, 1.25, 'ab', '2024-01-01', '6f1c9bd0-1111-4000-8000-00000000000a', '{}', x'00'),
         ('N/A', 2, 1.125, 'abc', '2024-02-30', '{6f1c9bd0-1111-4000-8000-00000000000a}', '{,}', 'text')",
    );
    assert_eq!(types(&plan, "t"), ["text", "bigint", "numeric", "text", "text", "text", "text", "bytea"]);
    for column in ["n", "flag", "price", "name", "day", "u", "j", "raw"] {
        let finding = finding(&plan, FindingCode::TypeWidened, &format!("t.{column}"));
        assert_eq!(finding.severity, Severity::Warning, "{column}");
    }
    assert!(refuse_if_blocked(&plan).is_ok(), "no value changes, so nothing waits for a decision");
    let message = &finding(&plan, FindingCode::TypeWidened, "t.n").message;
    assert!(message.contains("1 text (first at rowid 2)"), "{message}");
    assert!(finding(&plan, FindingCode::TypeWidened, "t.day").message.contains("rowid 2"));
    let raw = column(&plan, "t", "raw");
    assert!(raw.records_off_type && plan.has_offtype_cells());
}

#[test]
fn integers_in_a_timestamp_are_read_by_the_unit_whose_window_holds_them_all() {
    let plan = planned(
        "CREATE TABLE t(s DATETIME, ms DATETIME, us TIMESTAMP, none DATETIME, both DATETIME);
         INSERT INTO t VALUES(1700000000, 1700000000000, 1700000000000000, 0, 1700000000),
         (1700000001, 1700000001000, 1700000001000000, 1700000000, '2024-01-01 00:00:00')",
    );
    assert_eq!(types(&plan, "t"), ["timestamptz", "timestamptz", "timestamptz", "bigint", "text"]);
    for (name, unit) in [("s", EpochUnit::Seconds), ("ms", EpochUnit::Milliseconds), ("us", EpochUnit::Microseconds)] {
        assert_eq!(column(&plan, "t", name).conversion, Conversion::Epoch { unit });
        finding(&plan, FindingCode::EpochAssumed, &format!("t.{name}"));
    }
    finding(&plan, FindingCode::TypeWidened, "t.none");
    finding(&plan, FindingCode::TypeWidened, "t.both");
}

#[test]
fn what_postgresql_can_not_hold_is_exit_5_with_its_place() {
    for (value, words) in [("'a' || char(0)", "NUL character"), ("CAST(x'ff' AS TEXT)", "invalid UTF-8")] {
        let fixture = Fixture::of_script(&format!(
            "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT); \
             INSERT INTO notes VALUES(3, 'fine'), (9, {value}), (12, {value})"
        ));
        let kept = fixture.plan();
        let body = column(&kept, "notes", "body");
        assert_eq!(
            (body.conversion, body.main_class, body.records_off_type),
            (Conversion::Bytea, StorageClass::Text, false)
        );
        assert_eq!(finding(&kept, FindingCode::TextNotStorable, "notes.body").severity, Severity::Warning);
        let by = |bad_text| ColumnOverride { bad_text: Some(bad_text), ..ColumnOverride::default() };
        let replaced = fixture.plan_with(&with_column("notes.body", by(BadText::Replace)));
        assert!(refuse_if_blocked(&replaced).is_ok() && column(&replaced, "notes", "body").records_off_type);
        let fail = with_column("notes.body", by(BadText::Fail));
        let plan = fixture.plan_with(&fail);
        let refused = finding(&plan, FindingCode::TextNotStorable, "notes.body");
        assert_eq!((refused.severity, refused.count), (Severity::Refused, Some(2)));
        let error = refuse_if_blocked(&plan).unwrap_err();
        assert_eq!((error.kind(), error.kind().exit()), (Kind::DataRefused, 5));
        assert_eq!((error.table(), error.column()), (Some("notes"), Some("body")));
        for part in [words, "storage class text", "rowid 9"] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        assert!(error.hint().contains("bad_text = \"bytea\""), "{}", error.hint());
        // Neither `all` nor the code makes PostgreSQL hold it.
        for code in ["all", "text-not-storable"] {
            let accept = BTreeMap::from([(code.to_owned(), vec!["*".to_owned()])]);
            let plan = fixture.plan_with(&Overrides { accept, ..fail.clone() });
            assert_eq!(refuse_if_blocked(&plan).unwrap_err().kind(), Kind::DataRefused);
        }
        let plan = fixture.plan_with(&typed("notes.body", "bytea"));
        assert!(refuse_if_blocked(&plan).is_ok());
        let body = column(&plan, "notes", "body");
        assert_eq!(
            (body.conversion, body.main_class, body.records_off_type),
            (Conversion::Bytea, StorageClass::Text, false)
        );
        assert_eq!(body.origin, Origin::Override);
    }
}

#[test]
fn columns_that_a_foreign_key_compares_get_one_type() {
    let plan = planned(
        "CREATE TABLE flags(v BOOLEAN PRIMARY KEY); CREATE TABLE uses(f INTEGER REFERENCES FLAGS);
         INSERT INTO flags VALUES(0),(1); INSERT INTO uses VALUES(1);
         CREATE TABLE codes(code TEXT PRIMARY KEY); CREATE TABLE items(code INTEGER REFERENCES codes(code));
         INSERT INTO codes VALUES('5'); INSERT INTO items VALUES(5);
         CREATE TABLE people(id INTEGER PRIMARY KEY); CREATE TABLE pets(owner TEXT REFERENCES people);
         INSERT INTO people VALUES(1);
         CREATE TABLE a(u UUID PRIMARY KEY); CREATE TABLE b(u TEXT REFERENCES a(u), n DECIMAL(4,1));
         INSERT INTO a VALUES('6f1c9bd0-1111-4000-8000-00000000000a');
         INSERT INTO b VALUES('6f1c9bd0-1111-4000-8000-00000000000a', 1.5);",
    );
    assert_eq!((types(&plan, "flags"), types(&plan, "uses")), (vec!["bigint".to_owned()], vec!["bigint".to_owned()]));
    assert_eq!((types(&plan, "codes"), types(&plan, "items")), (vec!["text".to_owned()], vec!["text".to_owned()]));
    assert_eq!(types(&plan, "pets"), ["bigint"], "an empty column follows its parent");
    assert_eq!(
        (types(&plan, "a"), types(&plan, "b")),
        (vec!["text".to_owned()], vec!["text".to_owned(), "numeric(4,1)".to_owned()])
    );
    for table in ["uses", "items", "pets", "b"] {
        assert_eq!(plan.table(table).unwrap().foreign_keys.len(), 1, "{table}: {:?}", plan.findings);
    }
}

#[test]
fn keys_stay_apart_or_step_back_to_text() {
    let plan = planned(
        "CREATE TABLE same(at DATETIME UNIQUE); INSERT INTO same VALUES('2024-01-01 00:00:00'), ('2024-01-01T00:00:00');
         CREATE TABLE other(at DATETIME UNIQUE); INSERT INTO other VALUES('2024-01-01 00:00:00'), ('2024-01-01T00:00:01');
         CREATE TABLE ids(u UUID PRIMARY KEY);
         INSERT INTO ids VALUES('6f1c9bd0-1111-4000-8000-00000000000a'), ('6F1C9BD0-1111-4000-8000-00000000000A');
         CREATE TABLE refs(u UUID REFERENCES ids); INSERT INTO refs VALUES('6f1c9bd0-1111-4000-8000-00000000000a');
         CREATE TABLE pairs(u UUID, n INT, UNIQUE(u, n));
         INSERT INTO pairs VALUES('6f1c9bd0-1111-4000-8000-00000000000a', 1), ('6F1C9BD0-1111-4000-8000-00000000000A', 2);
         CREATE TABLE any(x UNIQUE); INSERT INTO any VALUES(1), ('1'), (x'31');
         CREATE TABLE child(y REFERENCES any(x)); INSERT INTO child VALUES(1);
         CREATE TABLE some(x UNIQUE); INSERT INTO some VALUES(1), ('2'), (x'33');",
    );
    assert_eq!(types(&plan, "same"), ["text"]);
    assert_eq!(types(&plan, "other"), ["timestamp"]);
    assert_eq!((types(&plan, "ids"), types(&plan, "refs")), (vec!["text".to_owned()], vec!["text".to_owned()]));
    assert_eq!(types(&plan, "pairs"), ["uuid", "bigint"]);
    let merged = finding(&plan, FindingCode::KeysMerged, "any.x");
    assert_eq!((merged.severity, merged.count), (Severity::NeedsDecision, Some(1)));
    assert!(plan.table("any").unwrap().uniques.is_empty() && column(&plan, "any", "x").records_off_type);
    let lost = plan.objects.iter().find(|object| object.table == "any" && object.kind == "unique").unwrap();
    assert_eq!(lost.outcome, Outcome::NotCarried);
    let reference = finding(&plan, FindingCode::ForeignKeyNotCarried, "child.y");
    assert_eq!(reference.severity, Severity::NeedsDecision);
    assert!(reference.message.contains("not carried as a constraint"), "{}", reference.message);
    assert_eq!(plan.table("some").unwrap().uniques.len(), 1);
    assert_eq!(column(&plan, "some", "x").conversion, Conversion::Text { blobs: BlobText::Hex });
    assert_eq!(refuse_if_blocked(&plan).unwrap_err().kind(), Kind::PlanBlocked);
}

#[test]
fn the_configuration_decides_types_and_is_held_to_the_values() {
    let fixture = Fixture::of_script(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, at INTEGER, n TEXT, cents money_cents, doc TEXT);
         INSERT INTO t VALUES(1, 1700000000000, 'x', 5, '{}'), (4, 1700000000001, NULL, 6, '{\"a\":1,\"a\":2}');",
    );
    let column_from =
        ColumnOverride { from: Some(Encoding::UnixMs), name: Some("created".to_owned()), ..ColumnOverride::default() };
    let plan = fixture.plan_with(&with_column("t.at", column_from));
    let at = column(&plan, "t", "at");
    assert_eq!((at.pg_type.to_string().as_str(), at.name.as_str()), ("timestamptz", "created"));
    assert_eq!(at.conversion, Conversion::Epoch { unit: EpochUnit::Milliseconds });

    let types = BTreeMap::from([("MONEY_CENTS".to_owned(), "integer".to_owned())]);
    let plan = fixture.plan_with(&Overrides { types, ..Overrides::default() });
    assert_eq!(column(&plan, "t", "cents").pg_type.to_string(), "integer");

    for (place, pg_type, count, rowid) in [("t.n", "bigint", 1, 1), ("t.doc", "jsonb", 1, 4), ("t.at", "integer", 2, 1)]
    {
        let plan = fixture.plan_with(&typed(place, pg_type));
        let refused = finding(&plan, FindingCode::TypeDoesNotFit, place);
        assert_eq!((refused.severity, refused.count), (Severity::Refused, Some(count)), "{place}");
        assert!(refused.message.contains(&format!("rowid {rowid})")), "{}", refused.message);
        assert_eq!(refuse_if_blocked(&plan).unwrap_err().kind(), Kind::DataRefused);
    }
    assert!(refuse_if_blocked(&fixture.plan_with(&typed("t.doc", "json"))).is_ok());
}

#[test]
fn wrong_names_in_the_configuration_get_the_nearest() {
    let fixture = Fixture::of_script("CREATE TABLE users(id INTEGER PRIMARY KEY, name TEXT)");
    let refused = |overrides: Overrides| -> Error { fixture.try_plan(&overrides).unwrap_err() };
    let error = refused(typed("users.nmae", "text"));
    assert_eq!((error.kind(), error.hint()), (Kind::Config, "did you mean `users.name`?"));
    let named = |name: &str| {
        with_column("users.name", ColumnOverride { name: Some(name.to_owned()), ..ColumnOverride::default() })
    };
    for name in ["id", "", "ctid"] {
        assert_eq!(refused(named(name)).kind(), Kind::Config, "{name}");
    }
    let error = refused(Overrides { include: vec!["user".to_owned()], ..Overrides::default() });
    assert_eq!((error.kind(), error.hint()), (Kind::Config, "did you mean `users`?"));
    assert!(!fixture.workspace.dir().join("plan/plan.json").exists(), "nothing half-done");
    let error = explain(&fixture.plan(), "users.nam").unwrap_err();
    assert_eq!((error.kind(), error.hint()), (Kind::Usage, "did you mean `users.name`?"));
}

#[test]
fn tables_can_be_left_out() {
    let fixture = Fixture::of_script(
        "CREATE TABLE parents(id INTEGER PRIMARY KEY); CREATE TABLE children(p REFERENCES parents(id));
         INSERT INTO parents VALUES(1); INSERT INTO children VALUES(1); CREATE TABLE a_log(x)",
    );
    let plan = fixture.plan_with(&Overrides { exclude: vec!["*_LOG".to_owned()], ..Overrides::default() });
    assert_eq!(plan.tables.iter().map(|table| table.source.as_str()).collect::<Vec<_>>(), ["parents", "children"]);
    let left = plan.objects.iter().find(|object| object.source == "a_log").unwrap();
    assert_eq!(left.outcome, Outcome::NotCarried);
    let plan = fixture.plan_with(&Overrides { include: vec!["child*".to_owned()], ..Overrides::default() });
    assert_eq!(plan.tables.len(), 1);
    assert!(plan.with_code(FindingCode::ForeignKeyNotCarried).count() == 1, "{:?}", plan.findings);
}

#[test]
fn accepted_findings_stay_in_the_plan_and_block_no_longer() {
    let fixture = Fixture::of_script("CREATE TABLE any(x UNIQUE); INSERT INTO any VALUES(1), ('1')");
    let plan = fixture.plan();
    assert_eq!(refuse_if_blocked(&plan).unwrap_err().kind().exit(), 1);
    for (code, place, ok) in [
        ("keys-merged", "any", true),
        ("keys-merged", "any.x", true),
        ("keys-merged", "*", true),
        ("all", "*", true),
        ("orphan-rows", "any", false),
    ] {
        let accept = BTreeMap::from([(code.to_owned(), vec![place.to_owned()])]);
        let plan = fixture.plan_with(&Overrides { accept, ..Overrides::default() });
        assert_eq!(refuse_if_blocked(&plan).is_ok(), ok, "{code}@{place}");
        assert_eq!(finding(&plan, FindingCode::KeysMerged, "any.x").accepted, ok);
    }
}

#[test]
fn the_same_input_gives_the_same_bytes_and_a_current_plan_is_kept() {
    // Gaps in the rowids, and values that break a shape at different places.
    let fixture = Fixture::of_script(
        "CREATE TABLE big(id INTEGER PRIMARY KEY, at DATETIME, x, j JSON);
         WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r WHERE n < 59999)
         INSERT INTO big SELECT n * 7 + n / 20000 * 1000000,
             CASE WHEN n % 17003 = 5 THEN 'soon' ELSE '2024-01-01T00:00:00+01:00' END,
             CASE WHEN n % 3 = 0 THEN 1 ELSE '1' END,
             CASE WHEN n % 23003 = 7 THEN '{' ELSE '{}' END FROM r;
         CREATE TABLE w(a TEXT PRIMARY KEY, b) WITHOUT ROWID; INSERT INTO w VALUES('x', 1), ('y', 2.5)",
    );
    let read = |name: &str| std::fs::read(fixture.workspace.dir().join("plan").join(name)).unwrap();
    let files = || ["plan.json", "schema.sql", "assessment.md"].map(read);
    let first = fixture.try_plan(&Overrides::default()).unwrap();
    let before = files();
    assert!(!first.unchanged);
    let again = fixture.try_plan(&Overrides::default()).unwrap();
    assert!(again.unchanged);
    assert_eq!((again.sha256.as_str(), &again.plan), (first.sha256.as_str(), &first.plan));
    for _ in 0..3 {
        let request = PlanRequest { fresh: true, ..PlanRequest::default() };
        let made = block_on(async { plan(&fixture.ctx, &request).await }).unwrap();
        assert!(!made.unchanged);
        assert!(files() == before, "the bytes differ");
    }
    let big = first.plan.table("big").unwrap();
    assert_eq!(big.rows, 60_000);
    assert_eq!(column(&first.plan, "big", "at").evidence.first_off_shape, Some(35));
    let other = fixture.try_plan(&typed("big.x", "text")).unwrap();
    assert!(!other.unchanged && other.sha256 != first.sha256);
}

#[test]
fn a_plan_names_places_and_never_values() {
    let fixture = Fixture::of_script(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b, c DATETIME, d REAL);
         INSERT INTO t VALUES(1, 'hunter2', x'68756e74657232', 'hunter2', 1234.56789), (2, 'hunter2', 'hunter2', 5, 'hunter2')",
    );
    let plan = fixture.plan();
    let mut said = format!("{:?} {:?}", plan, fixture.events.0.lock().unwrap());
    for name in ["plan.json", "schema.sql", "assessment.md"] {
        said.push_str(&fixture.workspace.read(&format!("plan/{name}")));
    }
    said.push_str(&explain(&plan, "t").unwrap());
    for name in ["a", "b", "c", "d"] {
        said.push_str(&explain(&plan, &format!("t.{name}")).unwrap());
    }
    for value in ["hunter2", "68756e74657232", "1234.5"] {
        assert!(!said.contains(value), "{value}");
    }
}

#[test]
fn the_evidence_can_be_read() {
    let fixture = Fixture::of_script(
        "CREATE TABLE users(id INTEGER PRIMARY KEY, created_at DATETIME); \
         INSERT INTO users VALUES(1, '2024-01-01 10:00:00'), (2, NULL), (5, 'yesterday')",
    );
    let plan = fixture.plan();
    let text = explain(&plan, "USERS.created_at").unwrap();
    for part in [
        "users.created_at: DATETIME -> text",
        "text     2, first at rowid 1",
        "null     1",
        "shape timestamp: 1",
        "first value of another shape: rowid 5",
        "type-widened (warning)",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    let text = explain(&plan, "users").unwrap();
    assert!(text.contains("users: 3 rows") && text.contains("primary key (id)"), "{text}");
    let assessment = fixture.workspace.read("plan/assessment.md");
    assert!(assessment.contains("- users.created_at: DATETIME -> text: "), "{assessment}");
    assert!(assessment.contains("| users | users | 3 |"), "{assessment}");
}

#[test]
fn events_report_the_steps_and_a_request_to_stop_is_obeyed() {
    let fixture = Fixture::of_script("CREATE TABLE t(x TEXT); INSERT INTO t VALUES('a'), ('b')");
    fixture.events.0.lock().unwrap().clear();
    fixture.plan();
    let events = fixture.events.0.lock().unwrap().clone();
    let has = |test: &dyn Fn(&Event) -> bool| events.iter().any(test);
    assert!(matches!(events.first(), Some(Event::StageStarted { .. })));
    assert!(has(&|event| matches!(event, Event::TableStarted { table, rows_total: Some(2), .. } if table == "t")));
    assert!(has(&|event| matches!(event, Event::TableFinished { table, rows: 2, .. } if table == "t")));
    assert!(matches!(events.last(), Some(Event::StageFinished { .. })));
    fixture.ctx.stop.request();
    let request = PlanRequest { fresh: true, ..PlanRequest::default() };
    let stopped = block_on(async { plan(&fixture.ctx, &request).await }).unwrap_err();
    assert_eq!(stopped.kind(), Kind::Interrupted);
}

#[test]
fn a_damaged_plan_is_said_to_be_and_made_again_on_request() {
    let fixture = Fixture::of_script("CREATE TABLE t(x)");
    fixture.plan();
    let path = fixture.workspace.dir().join("plan/plan.json");
    std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("public", "private")).unwrap();
    let error = fixture.try_plan(&Overrides::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::ArtifactDamaged);
    assert!(error.hint().contains("plan --fresh"), "{}", error.hint());
    let request = PlanRequest { fresh: true, ..PlanRequest::default() };
    assert!(block_on(async { plan(&fixture.ctx, &request).await }).is_ok());
}

#[test]
fn every_database_of_the_corpus_can_be_planned() {
    let corpus = Corpus::open();
    for file in corpus.files() {
        let fixture = Fixture::of_file(Workspace::new(), file);
        let plan = fixture
            .try_plan(&Overrides::default())
            .unwrap_or_else(|error| panic!("{}: {error:?}", file.display()))
            .plan;
        for table in &plan.tables {
            let values: u64 = table.columns.iter().map(|column| column.evidence.values() + column.evidence.nulls).sum();
            assert_eq!(values, table.rows * table.columns.len() as u64, "{}: {}", file.display(), table.source);
        }
        for finding in &plan.findings {
            assert!(!finding.message.is_empty());
        }
    }
}
