//! What others changed on the target is never overwritten unasked.

use turso2neon::{
    error::Kind,
    model::{
        drift::{DriftPolicy, TableDrift},
        push_plan::Action,
        row_changes::RowChanges,
    },
    secret::Secret,
    stages::push::{
        LOCK_WAIT, PushRequest,
        rollback::{RollbackRequest, rollback},
    },
};

use super::cutovers::few_rows;
use super::fixture::{LocalFixture, remote_url, requested, run, runtime, shop_plan, shop_rows};
use crate::support::{PgVersion, Target};

const EDITS: &str = "INSERT INTO orders SELECT i, 1, 0, 7 FROM generate_series(30001, 30003) i; \
                     UPDATE orders SET amount = amount + 1 WHERE id IN (10, 11); DELETE FROM orders WHERE id = 12";

fn pushed(target: &Target) -> (LocalFixture, PushRequest) {
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let request = fixture.request(&remote_url(target));
    run(&fixture.context().0, &request).unwrap();
    (fixture, request)
}

fn orders(drift: &[TableDrift]) -> Option<RowChanges> {
    drift.iter().find(|table| table.name == "orders").and_then(|table| table.rows)
}

#[test]
fn rows_of_others_are_counted_and_the_push_stops() {
    for version in [PgVersion::Major(14), PgVersion::Major(18)] {
        let target = Target::start_on(version);
        let (mut fixture, request) = pushed(&target);
        target.query(EDITS);
        let before = target.content("public");
        let text = "table orders: 3 rows inserted, 2 changed, 1 deleted";
        // Whether the source changed or not.
        for change in [None, Some(2)] {
            if let Some(version) = change {
                fixture.refill(&shop_rows(version));
            }
            for mode in ["auto", "diff", "swap", "replace"] {
                let (fresh, dry_run) = (mode == "diff", mode == "replace");
                let request = PushRequest { mode: requested(mode), fresh, dry_run, ..request.clone() };
                let error = run(&fixture.context().0, &request).unwrap_err();
                assert_eq!((error.kind(), error.kind().exit()), (Kind::TargetDrifted, 8), "{mode}: {error}");
                assert!(error.message().contains(text), "{mode}: {error}");
                assert!(error.hint().contains("--on-drift overwrite"), "{}", error.hint());
            }
        }
        assert_eq!(target.content("public"), before);
    }
}

#[test]
fn overwritten_rows_are_reported_and_come_back_by_rollback() {
    let target = Target::start();
    let (mut fixture, request) = pushed(&target);
    for (version, mode, action) in [(2, "auto", Action::Diff), (3, "swap", Action::Swap)] {
        target.query(EDITS);
        let edited = target.content("public");
        fixture.refill(&shop_rows(version));
        let request = PushRequest { mode: requested(mode), on_drift: DriftPolicy::Overwrite, ..request.clone() };
        let (ctx, recorder) = fixture.context();
        let plan = run(&ctx, &request).unwrap().plan.unwrap();
        assert_eq!(plan.action, action);
        assert_eq!(orders(&plan.drift), Some(RowChanges { inserted: 3, updated: 2, deleted: 1 }));
        assert!(recorder.texts().iter().any(|text| text.contains("overwritten: table orders: 3 rows")));
        let kept = ctx.workdir.load_push().unwrap().plan.unwrap();
        assert_eq!(orders(&kept.drift), orders(&plan.drift));
        fixture.assert_equal(&target, "public");
        fixture.rollback(&request.target);
        assert_eq!(target.content("public"), edited, "{mode}");
        // The rows of others are theirs after a rollback, too, and one flag leads out.
        assert_eq!(run(&ctx, &request_refusing(&request)).unwrap_err().kind(), Kind::TargetDrifted, "{mode}");
        run(&ctx, &request).unwrap();
        fixture.assert_equal(&target, "public");
        assert!(run(&ctx, &request_refusing(&request)).is_ok());
    }
}

impl LocalFixture {
    /// Undoes the last push.
    fn rollback(&self, target: &Secret<String>) {
        let request =
            RollbackRequest { target: target.clone(), schema: "public".to_owned(), list: false, lock_wait: LOCK_WAIT };
        runtime().block_on(rollback(&self.context().0, &request)).unwrap();
    }
}

fn request_refusing(request: &PushRequest) -> PushRequest {
    PushRequest { on_drift: DriftPolicy::Refuse, mode: requested("auto"), ..request.clone() }
}

#[test]
fn kept_tables_stay_and_the_others_are_pushed() {
    let target = Target::start();
    let (mut fixture, request) = pushed(&target);
    target.query(EDITS);
    let edited = target.value("SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o");
    let request = PushRequest { on_drift: DriftPolicy::Keep, ..request };
    for version in [2, 3] {
        fixture.refill(&shop_rows(version));
        let (ctx, recorder) = fixture.context();
        let pushed = run(&ctx, &request).unwrap();
        assert!(!pushed.unchanged);
        assert!(recorder.texts().iter().any(|text| text.contains("left as it is: table orders: 3 rows inserted")));
        assert!(!pushed.checkpoint.unwrap().tables.contains_key("ORDERS"));
        assert_eq!(target.value("SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o"), edited);
        assert_eq!(target.value("SELECT DISTINCT version FROM customers"), version.to_string());
    }
    // Whole tables can't be replaced around one that stays.
    let swap = PushRequest { mode: requested("swap"), ..request };
    let error = run(&fixture.context().0, &swap).unwrap_err();
    assert_eq!(error.kind(), Kind::TargetDrifted);
    assert!(error.message().contains("others changed: orders"), "{error}");
    assert_eq!(target.value("SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o"), edited);
    // All of them may be such tables.
    target.query(
        "UPDATE customers SET version = 9 WHERE id = 1; DELETE FROM _sqlite_offtype; INSERT INTO empty DEFAULT VALUES",
    );
    fixture.refill(&shop_rows(4));
    run(&fixture.context().0, &PushRequest { mode: requested("auto"), ..swap }).unwrap();
    assert_eq!(target.value("SELECT version FROM customers WHERE id = 1"), "9");
}

#[test]
fn changes_of_the_structure_are_named() {
    for (edit, text) in [
        ("ALTER TABLE orders ADD COLUMN note text", "column note was added"),
        ("ALTER TABLE orders DROP COLUMN amount", "column amount was dropped"),
        ("ALTER TABLE orders ALTER COLUMN amount TYPE numeric(20,4)", "column amount was altered"),
        ("ALTER TABLE orders ALTER COLUMN version SET NOT NULL", "column version was altered"),
        ("ALTER TABLE customers ALTER COLUMN version SET DEFAULT 8", "column version was altered"),
        ("ALTER TABLE orders DROP CONSTRAINT orders_amount", "constraint orders_amount was dropped"),
        (
            "DROP INDEX orders_customer; CREATE INDEX orders_customer ON orders (version)",
            "index orders_customer was altered",
        ),
        ("ALTER TABLE orders RENAME TO purchases", "table orders: the table was dropped, renamed or moved"),
    ] {
        let target = Target::start();
        let fixture = LocalFixture::new(shop_plan(), &few_rows());
        let request = fixture.request(&remote_url(&target));
        run(&fixture.context().0, &request).unwrap();
        target.execute_as_owner(edit);
        let before = target.definitions("public");
        let error = run(&fixture.context().0, &request).unwrap_err();
        assert_eq!(error.kind(), Kind::TargetDrifted, "{edit}: {error}");
        assert!(error.message().contains(text), "{edit}: {error}");
        assert_eq!(target.definitions("public"), before);
        if !edit.contains("RENAME") {
            let request = PushRequest { on_drift: DriftPolicy::Overwrite, ..request };
            let plan = run(&fixture.context().0, &request).unwrap().plan.unwrap();
            assert_eq!(plan.action, Action::Swap, "{edit}");
            fixture.assert_equal(&target, "public");
            assert!(run(&fixture.context().0, &request_refusing(&request)).unwrap().unchanged, "{edit}");
        }
    }
}

#[test]
fn what_a_push_leaves_alone_is_no_drift() {
    let target = Target::start();
    let (mut fixture, request) = pushed(&target);
    target.execute_as_owner(
        "CREATE INDEX of_others ON orders (amount); GRANT SELECT ON orders TO PUBLIC; \
         COMMENT ON TABLE orders IS 'a comment'; CREATE TABLE others (id int); INSERT INTO others VALUES (1)",
    );
    assert!(run(&fixture.context().0, &request).unwrap().unchanged);
    fixture.refill(&shop_rows(2));
    assert_eq!(run(&fixture.context().0, &request).unwrap().plan.unwrap().action, Action::Diff);
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT count(*) FROM pg_indexes WHERE indexname = 'of_others'"), "1");
}

#[test]
fn a_target_without_any_of_the_tables_is_a_new_one() {
    let target = Target::start();
    let (fixture, request) = pushed(&target);
    target.execute_as_owner("DROP TABLE orders, customers, empty, _sqlite_offtype");
    assert_eq!(run(&fixture.context().0, &request).unwrap().plan.unwrap().action, Action::Create);
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_row_that_is_changed_while_the_push_runs_is_not_taken_back() {
    let target = Target::start();
    let (mut fixture, request) = pushed(&target);
    fixture.change("UPDATE orders SET amount = 3 WHERE id = 1");
    let error = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            target
                .try_query("BEGIN; UPDATE orders SET amount = 99 WHERE id = 20000; SELECT pg_sleep(5); COMMIT")
                .unwrap()
        });
        let begun =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
        while target.value(begun) != "1" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // It waits for the writer's transaction, which it could not see when it compared.
        let error = run(&fixture.context().0, &request).unwrap_err();
        writer.join().unwrap();
        error
    });
    assert_eq!(error.kind(), Kind::TargetDrifted, "{error}");
    assert!(error.message().contains("while the push ran: ORDERS"), "{error}");
    let amounts = "SELECT string_agg(amount::text, ' ' ORDER BY id) FROM orders WHERE id IN (1, 20000)";
    assert_eq!(target.value(amounts), "0.01 99.00");
}

#[test]
fn a_record_that_cannot_be_read_stops_the_push() {
    let target = Target::start();
    let (mut fixture, request) = pushed(&target);
    fixture.refill(&shop_rows(2));
    target.execute_as_owner("UPDATE turso2neon.tables SET columns = '{}' WHERE name = 'orders'");
    let before = target.content("public");
    let error = run(&fixture.context().0, &request).unwrap_err();
    assert_eq!((error.kind(), error.table()), (Kind::ArtifactNewer, Some("orders")), "{error}");
    assert_eq!(target.content("public"), before);
}
