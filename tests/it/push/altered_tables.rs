//! Tables of the last push get another structure by ALTER TABLE: what is attached to them stays, and rows follow.

use std::sync::Arc;

use turso2neon::{
    context::{Cancellation, Context},
    error::Kind,
    event::{Event, Sink},
    model::{
        PgType, Plan,
        conversion_plan::{ForeignKeyPlan, IndexPlan},
        push_plan::{Action, PushMode},
        row_changes::RowChanges,
        structure_change::TypeChangePolicy,
    },
    stages::push::{
        PushRequest, Pushed,
        rollback::{RollbackRequest, rollback},
    },
};

use super::fixture::{LocalFixture, column, plan, remote_url, run, runtime, table};
use crate::support::Target;

/// Parents and children, without anything that would have to stay.
fn family() -> Plan {
    let parents = table("parents", vec![column("id", PgType::BigInt), column("name", PgType::Text)]);
    let mut children = table(
        "children",
        vec![column("id", PgType::BigInt), column("parent", PgType::BigInt), column("age", PgType::Integer)],
    );
    children.columns[2].not_null = true;
    children.foreign_keys = vec![key("children_parent_fkey", "parent")];
    plan(vec![parents, children])
}

fn key(name: &str, column: &str) -> ForeignKeyPlan {
    ForeignKeyPlan {
        name: name.to_owned(),
        columns: vec![column.to_owned()],
        parent: "parents".to_owned(),
        parent_columns: vec!["id".to_owned()],
        on_update: String::new(),
        on_delete: String::new(),
        deferred: false,
        not_valid: false,
    }
}

fn index(name: &str, column: &str) -> IndexPlan {
    IndexPlan {
        name: name.to_owned(),
        source: name.to_owned(),
        unique: false,
        method: "btree".to_owned(),
        keys: vec![format!("\"{column}\"")],
        predicate: None,
    }
}

const ROWS: &str = "INSERT INTO parents SELECT i, 'p' || i FROM generate_series(1, 50) i; \
     INSERT INTO children SELECT i, i % 50 + 1, i FROM generate_series(1, 200) i";

/// A target after a push of [`family`], with a view of others on both tables, a grant, and a policy.
fn pushed() -> (Target, LocalFixture, String) {
    let (target, fixture) = (Target::start(), LocalFixture::new(family(), ROWS));
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    target.query(
        "CREATE VIEW of_others AS SELECT c.id, p.name FROM children c JOIN parents p ON p.id = c.parent; \
         GRANT SELECT ON parents, children TO PUBLIC; CREATE POLICY everybody ON parents USING (true)",
    );
    (target, fixture, url)
}

/// What is attached to the tables, with their OIDs.
fn attached(target: &Target) -> String {
    target.value(
        "SELECT string_agg(concat_ws(' ', c.oid, c.relname, c.relacl, p.polname), ', ' ORDER BY c.relname) \
         FROM pg_class c LEFT JOIN pg_policy p ON p.polrelid = c.oid \
         WHERE c.relname IN ('parents', 'children', 'of_others') AND c.relnamespace = 'public'::regnamespace",
    )
}

fn definition(target: &Target, table: &str) -> String {
    target.value(&format!(
        "SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), \
           CASE WHEN attnotnull THEN 'NOT NULL' END), ', ' ORDER BY attname) \
         FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"
    ))
}

fn altered(pushed: &Pushed) -> &[String] {
    let plan = pushed.plan.as_ref().unwrap();
    assert_eq!(plan.action, Action::Diff, "{plan:?}");
    &plan.alters
}

fn back(fixture: &LocalFixture, request: &PushRequest) {
    let request = RollbackRequest {
        target: request.target.clone(),
        schema: request.schema.clone(),
        list: false,
        lock_wait: request.lock_wait,
    };
    runtime().block_on(rollback(&fixture.context().0, &request)).unwrap();
}

#[test]
fn additions_keep_what_is_attached_and_a_rollback_restores_rows() {
    let (target, mut fixture, url) = pushed();
    let (before, rows) = (attached(&target), target.content("public"));
    let mut age = column("born", PgType::Integer);
    age.default = Some("7".to_owned());
    fixture.plan.tables[0].columns.push(age);
    fixture.plan.tables[1].indexes = vec![index("children_age", "age")];
    let mut pets = table("pets", vec![column("id", PgType::BigInt), column("owner", PgType::BigInt)]);
    pets.foreign_keys = vec![key("pets_owner_fkey", "owner")];
    fixture.plan.tables.push(pets);
    fixture.refill(
        "INSERT INTO parents SELECT i, 'p' || i, 1900 + i FROM generate_series(1, 50) i; \
         INSERT INTO children SELECT i, i % 50 + 1, i FROM generate_series(2, 200) i; \
         INSERT INTO pets SELECT i, i FROM generate_series(1, 9) i",
    );
    let request = PushRequest { on_type_change: TypeChangePolicy::Decide, ..fixture.request(&url) };
    let dry = run(&fixture.context().0, &PushRequest { dry_run: true, ..request.clone() }).unwrap();
    assert_eq!(target.content("public"), rows);
    let says = |text: &str| dry.dry_run.iter().any(|line| line.contains(text));
    assert!(says("would run: ALTER TABLE \"public\".\"parents\" ADD COLUMN \"born\" integer"), "{:?}", dry.dry_run);
    assert!(says("would run: CREATE INDEX children_age ON children"), "{:?}", dry.dry_run);
    assert!(says("CREATE TABLE \"public\".\"pets\"") && says("would keep their new structure"), "{:?}", dry.dry_run);
    let pushed = run(&fixture.context().0, &request).unwrap();
    assert_eq!(altered(&pushed), altered(&dry));
    let checkpoint = pushed.checkpoint.as_ref().unwrap();
    assert_eq!(checkpoint.mode, PushMode::Diff);
    assert!(checkpoint.way_back().ends_with("the tables keep their new structure"), "{}", checkpoint.way_back());
    assert_eq!(attached(&target), before);
    fixture.assert_equal(&target, "public");
    assert!(run(&fixture.context().0, &request).unwrap().unchanged);

    back(&fixture, &request);
    let counts = "SELECT (SELECT count(*) FROM parents WHERE born = 7) || ' ' || (SELECT count(*) FROM children) || ' ' || \
                  (SELECT count(*) FROM pets)";
    assert_eq!(target.value(counts), "50 200 0");
    // The source as it was before has another structure than the tables now.
    fixture.plan = family();
    fixture.refill(ROWS);
    let follow = PushRequest { keep_previous: false, ..fixture.request(&url) };
    let removed = run(&fixture.context().0, &follow).unwrap();
    assert!(!removed.unchanged);
    assert_eq!(removed.plan.unwrap().lost_columns, ["parents.born"]);
    assert_eq!(target.value("SELECT to_regclass('public.pets') IS NULL"), "t");
    assert_eq!(
        (attached(&target), definition(&target, "parents")),
        (before, "id bigint NOT NULL, name text".to_owned())
    );
    fixture.assert_equal(&target, "public");
}

#[test]
fn types_nullability_and_columns_change_in_place_after_a_decision() {
    let (target, mut fixture, url) = pushed();
    let before = attached(&target);
    let children = &mut fixture.plan.tables[1];
    children.columns[2] = column("age", PgType::BigInt);
    children.columns.push(column("note", PgType::Text));
    fixture.refill(&ROWS.replace("i % 50 + 1, i FROM", "i % 50 + 1, 5000000000 + i, 'n' FROM"));
    let request = fixture.request(&url);
    let undecided = PushRequest { on_type_change: TypeChangePolicy::Decide, ..request.clone() };
    assert_eq!(run(&fixture.context().0, &undecided).unwrap_err().kind(), Kind::TypeChanged);
    let widened = run(&fixture.context().0, &request).unwrap();
    assert!(altered(&widened).iter().any(|sql| sql.contains("\"age\" TYPE bigint")), "{:?}", altered(&widened));
    assert_eq!(definition(&target, "children"), "age bigint, id bigint NOT NULL, note text, parent bigint");
    fixture.assert_equal(&target, "public");

    fixture.plan.tables[1].columns.pop();
    fixture.refill(ROWS);
    assert_eq!(run(&fixture.context().0, &undecided).unwrap_err().kind(), Kind::TypeChanged);
    let (narrower, recorder) = fixture.push(&url);
    assert_eq!(altered(&narrower.unwrap()), ["ALTER TABLE \"public\".\"children\" DROP COLUMN \"note\""]);
    let warned = "will not restore the values of columns that are removed: children.note";
    assert!(recorder.texts().iter().any(|text| text.contains(warned)), "{:?}", recorder.texts());
    assert_eq!(attached(&target), before);
    back(&fixture, &request);
    assert_eq!(target.value("SELECT count(*) || ' ' || min(age) FROM children"), "200 5000000001");
    fixture.push(&url).0.unwrap();
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_column_is_renamed_where_its_place_or_its_values_show_it() {
    let (target, mut fixture, url) = pushed();
    let before = attached(&target);
    // The last column of its table, and one between others.
    fixture.plan.tables[0].columns[1] = column("title", PgType::Text);
    fixture.plan.tables[1].columns[1] = column("mother", PgType::BigInt);
    fixture.plan.tables[1].foreign_keys = vec![key("children_mother_fkey", "mother")];
    fixture.refill(ROWS);
    let renamed = fixture.push(&url).0.unwrap();
    let count = |pushed: &Pushed| altered(pushed).iter().filter(|sql| sql.contains(" RENAME COLUMN ")).count();
    assert_eq!(count(&renamed), 2, "{:?}", altered(&renamed));
    let plan = renamed.plan.as_ref().unwrap();
    assert!(
        plan.tables.iter().all(|table| table.changes.is_none_or(|changes| changes == RowChanges::default())),
        "{plan:?}"
    );
    assert_eq!((attached(&target), plan.lost_columns.len()), (before.clone(), 0));
    fixture.assert_equal(&target, "public");

    // Other values in the last place may be another column. A view of others holds the old one.
    fixture.plan.tables[0].columns[1] = column("motto", PgType::Text);
    fixture.refill(&ROWS.replace("'p'", "'q'"));
    assert!(fixture.push(&url).0.unwrap_err().message().contains("of_others"));
    target.query("DROP VIEW of_others");
    let other = fixture.push(&url).0.unwrap();
    assert_eq!((count(&other), other.plan.unwrap().lost_columns), (0, vec!["parents.title".to_owned()]));
    fixture.assert_equal(&target, "public");

    // ALTER TABLE can't put a column between others.
    fixture.plan.tables[1].columns.insert(1, column("between", PgType::Text));
    fixture.refill(&ROWS.replace("'p'", "'q'").replace("SELECT i, i % 50", "SELECT i, 'b', i % 50"));
    let placed = fixture.push(&url).0.unwrap().plan.unwrap();
    assert_eq!((placed.action, placed.alters.len()), (Action::Swap, 0));
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_table_is_renamed_where_its_rows_show_it() {
    let (target, mut fixture, url) = pushed();
    let of_table = "SELECT oid || ' ' || relacl::text FROM pg_class WHERE relname = ";
    let (before, rows) = (
        target.value(&format!("{of_table}'parents'")),
        target.value("SELECT md5(string_agg(o::text, '' ORDER BY id)) FROM of_others o"),
    );
    fixture.plan.tables[0].name = "people".to_owned();
    fixture.plan.tables[0].source = "people".to_owned();
    fixture.plan.tables[1].foreign_keys[0].parent = "people".to_owned();
    fixture.refill(&ROWS.replace("parents", "people"));
    let undecided = PushRequest { on_type_change: TypeChangePolicy::Decide, ..fixture.request(&url) };
    assert_eq!(run(&fixture.context().0, &undecided).unwrap_err().kind(), Kind::TypeChanged);
    let renamed = fixture.push(&url).0.unwrap();
    assert!(
        altered(&renamed).contains(&"ALTER TABLE \"public\".\"parents\" RENAME TO \"people\"".to_owned()),
        "{:?}",
        altered(&renamed)
    );
    assert_eq!(target.value(&format!("{of_table}'people'")), before);
    assert_eq!(target.value("SELECT md5(string_agg(o::text, '' ORDER BY id)) FROM of_others o"), rows);
    assert_eq!(target.value("SELECT to_regclass('parents') IS NULL"), "t");
    fixture.assert_equal(&target, "public");
    assert!(run(&fixture.context().0, &undecided).unwrap().unchanged);
    // Other rows: another table.
    fixture.plan.tables[0].name = "persons".to_owned();
    fixture.plan.tables[0].source = "persons".to_owned();
    fixture.plan.tables[1].foreign_keys[0].parent = "persons".to_owned();
    fixture.refill(&ROWS.replace("parents", "persons").replace("'p'", "'q'"));
    assert!(fixture.push(&url).0.unwrap_err().message().contains("of_others"));
}

#[test]
fn what_rows_or_objects_of_others_stand_against_is_replaced_as_before() {
    let (target, mut fixture, url) = pushed();
    // Rows that are there have no value for it.
    let mut required = column("required", PgType::Text);
    required.not_null = true;
    fixture.plan.tables[1].columns.push(required);
    fixture.refill(&ROWS.replace("i % 50 + 1, i FROM", "i % 50 + 1, i, 'r' FROM"));
    let refused = fixture.push(&url).0.unwrap_err();
    assert!(refused.message().contains("of_others"), "{refused}");
    target.query("DROP VIEW of_others");
    let (pushed, recorder) = fixture.push(&url);
    let plan = pushed.unwrap().plan.unwrap();
    assert_eq!((plan.action, plan.alters.len()), (Action::Swap, 0));
    assert!(recorder.texts().iter().any(|text| text.contains("can't be altered")), "{:?}", recorder.texts());
    fixture.assert_equal(&target, "public");
    // Rows that others changed are not hidden by the digest of the altered table.
    fixture.plan.tables[1].columns.push(column("more", PgType::Text));
    fixture.refill(&ROWS.replace("i % 50 + 1, i FROM", "i % 50 + 1, i, 'r', 'm' FROM"));
    target.query("UPDATE children SET age = -1 WHERE id = 3");
    assert_eq!(fixture.push(&url).0.unwrap_err().kind(), Kind::TargetDrifted);
    let over = fixture.push_over("auto", &url).0.unwrap();
    assert_eq!(altered(&over).len(), 1);
    fixture.assert_equal(&target, "public");
}

/// Interrupts the push when it has altered tables.
struct AfterAltering(Cancellation);

impl Sink for AfterAltering {
    fn emit(&self, event: &Event) {
        if let Event::Note { text, .. } = event
            && text.starts_with("altered: ")
        {
            self.0.request();
        }
    }
}

#[test]
fn a_push_that_ends_after_altering_is_continued_with_the_rows() {
    let (target, mut fixture, url) = pushed();
    fixture.plan.tables[1].columns.push(column("note", PgType::Text));
    let pets = table("pets", vec![column("id", PgType::BigInt)]);
    fixture.plan.tables.push(pets);
    fixture.refill(&(ROWS.replace("i % 50 + 1, i FROM", "i % 50 + 1, i, 'n' FROM") + "; INSERT INTO pets VALUES (1)"));
    let stop = Cancellation::default();
    let ctx = Context { workdir: fixture.workdir(), out: Arc::new(AfterAltering(stop.clone())), stop };
    assert_eq!(run(&ctx, &fixture.request(&url)).unwrap_err().kind(), Kind::Interrupted);
    // Readers see the old rows with the new column.
    assert_eq!(target.value("SELECT count(*) || ' ' || count(note) FROM children"), "200 0");
    assert_eq!(target.value("SELECT count(*) FROM pets"), "0");
    let request = PushRequest { on_type_change: TypeChangePolicy::Decide, ..fixture.request(&url) };
    let continued = run(&fixture.context().0, &request).unwrap();
    assert!(altered(&continued).is_empty() && !continued.unchanged);
    fixture.assert_equal(&target, "public");
    assert!(run(&fixture.context().0, &request).unwrap().unchanged);
    back(&fixture, &request);
    assert_eq!(target.value("SELECT count(*) || ' ' || count(note) FROM children"), "200 0");
    run(&fixture.context().0, &request).unwrap();
    fixture.assert_equal(&target, "public");
}
