//! What the last push replaced or changed, put back; and what is kept until the next push stands.

use turso2neon::{
    error::{Error, Kind},
    secret::Secret,
    stages::push::{
        LOCK_WAIT, PushRequest,
        rollback::{RollbackRequest, RolledBack, rollback},
    },
};

use super::fixture::{LocalFixture, remote_url, requested, run, runtime, shop_plan, shop_rows};
use crate::support::Target;

fn roll_back(fixture: &LocalFixture, target: &Target, list: bool) -> Result<RolledBack, Error> {
    let request = RollbackRequest {
        target: Secret::new(remote_url(target)),
        schema: "public".to_owned(),
        list,
        lock_wait: LOCK_WAIT,
    };
    runtime().block_on(rollback(&fixture.context().0, &request))
}

#[test]
fn replaced_tables_come_back_and_go_again() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    assert_eq!(roll_back(&fixture, &target, false).err().unwrap().kind(), Kind::Usage);
    fixture.push(&remote_url(&target)).0.unwrap();
    assert!(roll_back(&fixture, &target, true).unwrap().tables.is_empty());
    let first = target.content("public");
    fixture.refill(&shop_rows(2));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    let second = target.content("public");
    let listed = roll_back(&fixture, &target, true).unwrap();
    assert_eq!((listed.listed, listed.tables.len(), listed.tables[3].how), (true, 4, "replaced"));
    assert_eq!(target.content("public"), second);
    roll_back(&fixture, &target, false).unwrap();
    assert_eq!(target.content("public"), first);
    assert_eq!(fixture.workdir().load_push().unwrap().mode.to_string(), "rollback");
    // Identity, keys and the way forward are intact.
    target.execute_as_owner("INSERT INTO customers (email) VALUES ('new@example.com')");
    target.execute_as_owner("DELETE FROM customers WHERE id >= 5000");
    roll_back(&fixture, &target, false).unwrap();
    assert_eq!(target.content("public"), second);
    // Somebody's view would stay with the newer tables.
    target.execute_as_owner("CREATE VIEW totals AS SELECT sum(amount) FROM orders");
    let error = roll_back(&fixture, &target, false).err().unwrap();
    assert_eq!((error.kind(), error.kind().exit()), (Kind::TargetOccupied, 8), "{error}");
    assert!(error.message().contains("view public.totals uses orders"), "{error}");
    target.execute_as_owner("DROP VIEW totals");
    roll_back(&fixture, &target, false).unwrap();
    fixture.push(&remote_url(&target)).0.unwrap();
    fixture.assert_equal(&target, "public");
}

#[test]
fn changed_rows_are_changed_back_and_forth() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push(&remote_url(&target)).0.unwrap();
    let first = target.content("public");
    fixture.plan.tables[0].identity.as_mut().unwrap().next = Some(6000);
    fixture.change(
        "DELETE FROM orders WHERE customer = 5; DELETE FROM customers WHERE id = 5; \
         UPDATE customers SET email = CASE id WHEN 6 THEN 'c7@example.com' ELSE 'c6@example.com' END WHERE id IN (6, 7); \
         INSERT INTO customers (id, email, version) VALUES (2001, 'more@example.com', 1); \
         UPDATE _sqlite_offtype SET raw = '\\x01'",
    );
    assert_eq!(fixture.push(&remote_url(&target)).0.unwrap().checkpoint.unwrap().mode.to_string(), "diff");
    let second = target.content("public");
    assert_ne!(first, second);
    let listed = roll_back(&fixture, &target, true).unwrap();
    let how: Vec<&str> = listed.tables.iter().map(|table| table.how).collect();
    assert_eq!(how, ["changed", "changed", "unchanged", "changed"]);
    roll_back(&fixture, &target, false).unwrap();
    assert_eq!(target.content("public"), first);
    let next = "SELECT last_value || ' ' || is_called FROM customers_id_seq";
    assert_eq!(target.value(next), "5000 false");
    roll_back(&fixture, &target, false).unwrap();
    assert_eq!((target.content("public"), target.value(next)), (second, "6000 false".to_owned()));
    // A row that somebody wrote since is not lost.
    target.execute_as_owner("UPDATE orders SET version = 3 WHERE id = 40");
    let error = roll_back(&fixture, &target, false).err().unwrap();
    assert_eq!(error.kind(), Kind::TargetOccupied, "{error}");
    assert_eq!(target.value("SELECT version FROM orders WHERE id = 40"), "3");
    // The next push keeps its own; one with --no-keep-previous keeps nothing.
    assert_eq!(fixture.push_over("auto", &remote_url(&target)).0.unwrap().checkpoint.unwrap().mode.to_string(), "diff");
    fixture.assert_equal(&target, "public");
    fixture.change("UPDATE orders SET version = 5 WHERE id = 40");
    let (ctx, _) = fixture.context();
    run(&ctx, &PushRequest { keep_previous: false, ..fixture.request(&remote_url(&target)) }).unwrap();
    assert!(roll_back(&fixture, &target, true).unwrap().tables.is_empty());
    assert_eq!(target.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'turso2neon_undo'"), "0");
}

#[test]
fn a_push_that_fails_leaves_what_the_last_one_kept() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push(&remote_url(&target)).0.unwrap();
    let first = target.content("public");
    fixture.refill(&shop_rows(2));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    fixture.refill(&shop_rows(3));
    // The cutover itself fails, at its very end.
    target.query(
        "CREATE FUNCTION public.no_more() RETURNS trigger LANGUAGE plpgsql AS \
           'BEGIN RAISE EXCEPTION USING ERRCODE = ''42501''; END'; \
         CREATE TRIGGER no_more BEFORE UPDATE ON turso2neon.runs FOR EACH ROW WHEN (NEW.state = 'done') \
           EXECUTE FUNCTION public.no_more()",
    );
    fixture.push_in("swap", &remote_url(&target)).0.err().unwrap();
    assert_eq!(target.value("SELECT max(version) FROM orders"), "2");
    assert_eq!(roll_back(&fixture, &target, true).unwrap().tables.len(), 4);
    target.query("DROP TRIGGER no_more ON turso2neon.runs");
    roll_back(&fixture, &target, false).unwrap();
    assert_eq!(target.content("public"), first);
    let (ctx, _) = fixture.context();
    let request =
        PushRequest { keep_previous: false, mode: requested("swap"), ..fixture.request(&remote_url(&target)) };
    run(&ctx, &request).unwrap();
    assert!(roll_back(&fixture, &target, true).unwrap().tables.is_empty());
    assert_eq!(target.value("SELECT count(*) FROM pg_class WHERE relname = 'orders' AND relkind = 'r'"), "1");
    assert_eq!(target.value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '\\_turso2neon%'"), "0");
}
