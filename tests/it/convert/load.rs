//! Keys, constraints, interruption and repetition.

use std::sync::Arc;

use turso2neon::{
    error::Kind,
    event::Event,
    model::{
        Plan, TablePlan,
        checkpoint::LoadState,
        conversion_plan::{CheckPlan, ForeignKeyPlan, IdentityPlan, IndexPlan, KeyPlan, RowAddress},
    },
    postgres::managed::LocalChoice,
    secret::Secret,
    stages::convert::ConvertRequest,
};

use super::fixture::{Fixture, Recorder, integer, plan, table, text};
use crate::support::Target;

/// Rows by the thousand in two tables; the large one is said to be so large that it is loaded in ranges.
pub(super) const ROWS: &str = "CREATE TABLE large (id INTEGER PRIMARY KEY, name TEXT);
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
     INSERT INTO large SELECT i * 3, 'name ' || i FROM n;
     CREATE TABLE small (id INTEGER PRIMARY KEY, name TEXT);
     INSERT INTO small SELECT id, name FROM large LIMIT 100;";

pub(super) fn rows_plan() -> Plan {
    let columns = || vec![integer("id"), text("name")];
    let mut large = table("large", 20_000, columns());
    large.bytes = 640 << 20;
    large.primary_key = Some(key("large_pkey", &["id"]));
    plan(vec![table("small", 100, columns()), large])
}

fn key(name: &str, columns: &[&str]) -> KeyPlan {
    KeyPlan { name: name.to_owned(), columns: columns.iter().map(|&column| column.to_owned()).collect() }
}

fn family_plan() -> Plan {
    let mut parent = table("parent", 3, vec![integer("id"), text("name")]);
    parent.columns[0].not_null = true;
    parent.columns[1].default = Some("'none'".to_owned());
    parent.primary_key = Some(key("parent_pkey", &["id"]));
    parent.uniques = vec![key("parent_name_key", &["name"])];
    parent.checks = vec![
        CheckPlan { name: "parent_positive".to_owned(), expression: "\"id\" > 0".to_owned(), not_valid: false },
        CheckPlan { name: "parent_short".to_owned(), expression: "length(\"name\") < 3".to_owned(), not_valid: true },
    ];
    parent.identity = Some(IdentityPlan {
        column: "id".to_owned(),
        sequence: "parent_id_seq".to_owned(),
        next: Some(41),
        kind: turso2neon::model::conversion_plan::IdentityKind::ByDefault,
    });
    let mut child = table("child", 3, vec![integer("id"), integer("parent"), integer("other")]);
    child.indexes = vec![IndexPlan {
        name: "child_parent_idx".to_owned(),
        source: "child_parent_idx".to_owned(),
        unique: false,
        method: "btree".to_owned(),
        keys: vec!["\"parent\" DESC NULLS LAST".to_owned()],
        predicate: Some("\"parent\" > 1".to_owned()),
    }];
    let foreign = |name: &str, column: &str, not_valid: bool| ForeignKeyPlan {
        name: name.to_owned(),
        columns: vec![column.to_owned()],
        parent: "parent".to_owned(),
        parent_columns: vec!["id".to_owned()],
        on_update: "NO ACTION".to_owned(),
        on_delete: "CASCADE".to_owned(),
        deferred: !not_valid,
        not_valid,
    };
    child.foreign_keys =
        vec![foreign("child_parent_fkey", "parent", false), foreign("child_other_fkey", "other", true)];
    plan(vec![child, parent])
}

const FAMILY_SQL: &str = "CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
     INSERT INTO parent VALUES (1, 'one'), (2, 'two'), (40, NULL);
     CREATE TABLE child (id INTEGER PRIMARY KEY, parent INTEGER, other INTEGER);
     INSERT INTO child VALUES (1, 1, 99), (2, 40, 2), (3, NULL, NULL);";

const CATALOG_SQL: &str = "
     SELECT conname, contype, convalidated, condeferred FROM pg_constraint
       WHERE connamespace = 'public'::regnamespace AND contype <> 'n' ORDER BY 1;
     SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexname = 'child_parent_idx';
     SELECT last_value, is_called FROM public.parent_id_seq;
     SELECT column_default FROM information_schema.columns WHERE table_schema = 'public' AND column_name = 'name';
     SELECT * FROM public.parent ORDER BY 1;
     SELECT * FROM public.child ORDER BY 1;
     SELECT relname, reltuples FROM pg_class WHERE relname IN ('parent', 'child') ORDER BY 1";

fn catalog_rows() -> Vec<&'static str> {
    vec![
        "child_other_fkey|f|f|f",
        "child_parent_fkey|f|t|t",
        "parent_name_key|u|t|f",
        "parent_pkey|p|t|f",
        "parent_positive|c|t|f",
        "parent_short|c|f|f",
        "CREATE INDEX child_parent_idx ON public.child USING btree (parent DESC NULLS LAST) WHERE (parent > 1)",
        "41|f",
        "'none'::text",
        "1|one",
        "2|two",
        "40|∅",
        "1|1|99",
        "2|40|2",
        "3|∅|∅",
        "child|3",
        "parent|3",
    ]
}

#[test]
fn keys_constraints_defaults_and_next_numbers_arrive() {
    let fixture = Fixture::new(FAMILY_SQL);
    let converted = fixture.convert(&family_plan(), &ConvertRequest::default()).unwrap();
    assert_eq!(fixture.query(&converted.checkpoint.local, CATALOG_SQL), catalog_rows());
    let checkpoint = fixture.workdir.load_convert().unwrap();
    assert_eq!(checkpoint, converted.checkpoint);
    assert_eq!(checkpoint.state, LoadState::Done);
    let phases: Vec<&str> = checkpoint.phases_ms.keys().map(String::as_str).collect();
    for phase in ["server", "data", "keys", "indexes", "foreign keys", "digest", "durable"] {
        assert!(phases.contains(&phase), "{phase} in {phases:?}");
    }
    let parent = &checkpoint.tables["parent"];
    assert_eq!((parent.rows, &parent.sent_digest), (3, &parent.read_digest));
    assert_eq!(parent.server_digest.map(|digest| digest.rows), Some(3));
}

#[test]
fn a_constraint_that_the_rows_break_is_named() {
    let fixture = Fixture::new(FAMILY_SQL);
    let mut plan = family_plan();
    plan.tables[1].checks[0].expression = "\"id\" < 10".to_owned();
    let error = fixture.convert(&plan, &ConvertRequest::default()).unwrap_err();
    assert_eq!((error.kind(), error.table()), (Kind::LocalRejected, Some("parent")));
    assert!(error.message().contains("parent_positive"), "{error}");
}

#[test]
fn a_schema_alone_takes_its_rows_later() {
    let fixture = Fixture::new(FAMILY_SQL);
    let schema = ConvertRequest { schema_only: true, ..ConvertRequest::default() };
    let converted = fixture.convert(&family_plan(), &schema).unwrap();
    assert_eq!(fixture.workdir.load_convert().unwrap().state, LoadState::Loading);
    let local = &converted.checkpoint.local;
    let sql = "SELECT count(*) FROM public.parent; SELECT count(*) FROM pg_constraint WHERE conname LIKE 'child%fkey'";
    assert_eq!(fixture.query(local, sql), ["0", "2"]);
    let data = ConvertRequest { data_only: true, ..ConvertRequest::default() };
    let converted = fixture.convert(&family_plan(), &data).unwrap();
    assert_eq!(fixture.query(&converted.checkpoint.local, CATALOG_SQL), catalog_rows());
    assert_eq!(converted.checkpoint.state, LoadState::Done);
}

#[test]
fn rows_alone_need_tables() {
    let fixture = Fixture::new(FAMILY_SQL);
    let data = ConvertRequest { data_only: true, ..ConvertRequest::default() };
    let error = fixture.convert(&family_plan(), &data).unwrap_err();
    assert_eq!(error.kind(), Kind::LocalRejected);
    assert!(error.hint().contains("--schema-only"), "{}", error.hint());
    let both = ConvertRequest { schema_only: true, ..data };
    assert_eq!(fixture.convert(&family_plan(), &both).unwrap_err().kind(), Kind::Usage);
}

#[test]
fn a_load_without_rowid_and_generated_columns_arrives() {
    let fixture = Fixture::new(
        "CREATE TABLE k (b TEXT, a INTEGER, v TEXT, g AS (a * 2), PRIMARY KEY (a, b)) WITHOUT ROWID;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO k SELECT 'b' || (i % 7), i, 'value ' || i FROM n;",
    );
    let mut generated = integer("g");
    generated.generated = Some("\"a\" * 2".to_owned());
    let mut keyed = table("k", 5000, vec![text("b"), integer("a"), generated, text("v")]);
    keyed.address = RowAddress::PrimaryKey;
    keyed.bytes = 200 << 20;
    keyed.primary_key = Some(key("k_pkey", &["a", "b"]));
    let converted = fixture.convert(&plan(vec![keyed]), &ConvertRequest::default()).unwrap();
    let sql = "SELECT count(*), sum(a), sum(g), count(DISTINCT v) FROM public.k; SELECT * FROM public.k WHERE a = 8";
    assert_eq!(fixture.query(&converted.checkpoint.local, sql), ["5000|12502500|25005000|5000", "b1|8|16|value 8"]);
}

#[test]
fn an_interrupted_load_continues_after_its_last_commit() {
    let fixture = Fixture::new(ROWS);
    let undisturbed = fixture.convert(&rows_plan(), &ConvertRequest::default()).unwrap().checkpoint;
    // With six connections the large table alone would be loaded last: it is loaded in ranges, by any number later.
    let fresh = ConvertRequest { fresh: true, jobs: 6, ..ConvertRequest::default() };
    let first = Arc::new(Recorder::default());
    let error = fixture.convert_heard(&rows_plan(), &fresh, &first, Some(3)).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    assert!(Fixture::servers(&fixture.pgdata()).is_empty());
    assert_eq!(fixture.workdir.load_convert().unwrap().state, LoadState::Loading);
    let committed: usize = first.committed().values().map(Vec::len).sum();
    assert!((3..11).contains(&committed), "{committed}");

    let second = Arc::new(Recorder::default());
    let again = ConvertRequest { jobs: 1, ..ConvertRequest::default() };
    let converted = fixture.convert_heard(&rows_plan(), &again, &second, None).unwrap();
    // What was committed before is reported first, then the rest; every row once.
    let reported = second.committed();
    assert_eq!(reported["large"].iter().sum::<u64>(), 20_000);
    assert_eq!(reported["large"].len(), 10);
    assert_eq!(second.count(|event| matches!(event, Event::TableFinished { rows: 20_000, .. })), 1);
    assert_eq!(converted.checkpoint.tables, undisturbed.tables);
    let sql = "SELECT count(*), count(DISTINCT id), max(id) FROM public.large";
    assert_eq!(fixture.query(&converted.checkpoint.local, sql), ["20000|20000|60000"]);
}

#[test]
fn an_unchanged_input_is_not_loaded_again_and_a_changed_one_is() {
    let mut fixture = Fixture::new(ROWS);
    let request = ConvertRequest::default();
    let first = fixture.convert(&rows_plan(), &request).unwrap();
    assert!(!first.unchanged);
    let heard = Arc::new(Recorder::default());
    let second = fixture.convert_heard(&rows_plan(), &request, &heard, None).unwrap();
    assert!(second.unchanged && heard.count(|_| true) == 0);
    assert_eq!(second.checkpoint, first.checkpoint);

    fixture.change("INSERT INTO small VALUES (1000000, 'new')");
    let mut plan = rows_plan();
    plan.tables[0].rows = 101;
    let third = fixture.convert(&plan, &request).unwrap();
    assert!(!third.unchanged);
    assert_ne!(third.checkpoint.tables["small"], first.checkpoint.tables["small"]);
    assert_eq!(third.checkpoint.tables["large"], first.checkpoint.tables["large"]);
    assert_eq!(fixture.query(&third.checkpoint.local, "SELECT count(*) FROM public.small"), ["101"]);

    std::fs::remove_dir_all(fixture.pgdata()).unwrap();
    assert!(!fixture.convert(&plan, &request).unwrap().unchanged);
}

#[test]
fn rows_that_the_plan_does_not_count_stop_the_load() {
    let fixture = Fixture::new(ROWS);
    let mut plan = rows_plan();
    plan.tables[0].rows = 99;
    let error = fixture.convert(&plan, &ConvertRequest::default()).unwrap_err();
    assert_eq!((error.kind(), error.table()), (Kind::ArtifactStale, Some("small")));
}

pub(super) fn external(target: &Target) -> ConvertRequest {
    let url = Some(Secret::new(target.admin_url()));
    ConvertRequest { local: LocalChoice { url, ..LocalChoice::default() }, ..ConvertRequest::default() }
}

#[test]
fn keys_of_a_complete_table_are_built_while_another_loads() {
    let target = Target::start();
    let fixture = Fixture::new(
        "CREATE TABLE large (id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000)
         INSERT INTO large SELECT i, 'a name of some length, number ' || i FROM n;
         CREATE TABLE small (id INTEGER PRIMARY KEY, name TEXT);
         INSERT INTO small SELECT id, name FROM large LIMIT 100",
    );
    let whole = |name: &str, rows, bytes| {
        let mut table = table(name, rows, vec![integer("id"), text("name")]);
        table.bytes = bytes;
        table.primary_key = Some(key(&format!("{name}_pkey"), &["id"]));
        table
    };
    let plan = plan(vec![whole("small", 100, 5_000), whole("large", 400_000, 20 << 20)]);
    fixture.convert(&plan, &ConvertRequest { jobs: 2, ..external(&target) }).unwrap();
    // After the rows the key of the larger table would be built first.
    let order = "SELECT ((SELECT oid FROM pg_class WHERE relname = 'small_pkey') < \
                         (SELECT oid FROM pg_class WHERE relname = 'large_pkey'))::text";
    assert_eq!(target.value(order), "true");
    assert_eq!(target.value("SELECT count(*) FROM large WHERE id > 0"), "400000");
}

#[test]
fn a_server_of_the_users_keeps_what_others_created() {
    let target = Target::start();
    let fixture = Fixture::new(ROWS);
    target.query("CREATE TABLE public.small (mine text); CREATE TABLE public.other (mine text)");
    let error = fixture.convert(&rows_plan(), &external(&target)).unwrap_err();
    assert_eq!((error.kind(), error.kind().exit(), error.table()), (Kind::TargetOccupied, 8, Some("small")));
    target.query("DROP TABLE public.small");
    let first = fixture.convert(&rows_plan(), &external(&target)).unwrap();
    assert!(!fixture.pgdata().exists());
    assert!(fixture.convert(&rows_plan(), &external(&target)).unwrap().unchanged);
    assert_eq!(target.value("SELECT count(*) FROM public.large"), "20000");

    let mut changed = rows_plan();
    changed.tables[0].columns[1].not_null = true;
    let second = fixture.convert(&changed, &external(&target)).unwrap();
    assert!(!second.unchanged);
    assert_eq!(second.checkpoint.tables, first.checkpoint.tables);
    assert_eq!(target.value("SELECT count(*) FROM public.other"), "0");

    // A table of the same name that somebody else made meanwhile is not part of the load.
    target.query("DROP TABLE public.small; CREATE TABLE public.small (mine text)");
    let fresh = ConvertRequest { fresh: true, ..external(&target) };
    let error = fixture.convert(&changed, &fresh).unwrap_err();
    assert_eq!(error.kind(), Kind::TargetOccupied);
    assert_eq!(target.value("SELECT count(*) FROM public.small"), "0");
}

#[test]
fn many_small_tables_with_keys_and_foreign_keys_arrive() {
    let count = 150_u64;
    let mut script = String::new();
    let mut tables: Vec<TablePlan> = Vec::new();
    for number in 0..count {
        script.push_str(&format!(
            "CREATE TABLE t{number} (id INTEGER PRIMARY KEY, next INTEGER, name TEXT);
             INSERT INTO t{number} VALUES (1, 2, 'a'), (2, 1, 'b');"
        ));
        let mut table = table(&format!("t{number}"), 2, vec![integer("id"), integer("next"), text("name")]);
        table.primary_key = Some(key(&format!("t{number}_pkey"), &["id"]));
        table.foreign_keys = vec![ForeignKeyPlan {
            name: format!("t{number}_next_fkey"),
            columns: vec!["next".to_owned()],
            parent: format!("t{}", (number + 1) % count),
            parent_columns: vec!["id".to_owned()],
            on_update: String::new(),
            on_delete: String::new(),
            deferred: false,
            not_valid: false,
        }];
        tables.push(table);
    }
    let fixture = Fixture::new(&script);
    let converted = fixture.convert(&plan(tables), &ConvertRequest::default()).unwrap();
    assert_eq!(u64::try_from(converted.checkpoint.tables.len()).unwrap(), count);
    let sql = "SELECT count(*), count(*) FILTER (WHERE convalidated) FROM pg_constraint WHERE contype IN ('p', 'f')
               AND connamespace = 'public'::regnamespace";
    assert_eq!(fixture.query(&converted.checkpoint.local, sql), ["300|300"]);
}
