//! What hangs on replaced tables, tables of others replaced by name, table after table, and dry runs.

use turso2neon::{
    error::Kind,
    secret::Secret,
    stages::push::{
        LOCK_WAIT, PushRequest,
        rollback::{RollbackRequest, rollback},
    },
};

use super::fixture::{LocalFixture, remote_url, requested, run, runtime, shop_plan, shop_rows};
use crate::support::{Environment, Target};

#[test]
fn policies_triggers_publications_and_options_go_over_to_the_new_tables() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push(&remote_url(&target)).0.unwrap();
    let role = format!("app_{}", target.database());
    target.query(&format!("CREATE ROLE {role}"));
    target.execute_as_owner(&format!(
        "GRANT SELECT ON orders, customers TO {role}; ALTER TABLE orders ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY evens ON orders FOR SELECT TO {role} USING (id % 2 = 0 AND EXISTS (SELECT FROM customers c WHERE c.id = customer)); \
         CREATE TABLE seen (what text); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
           'BEGIN INSERT INTO public.seen VALUES (TG_OP); RETURN NEW; END'; \
         CREATE TRIGGER note AFTER UPDATE ON orders FOR EACH ROW WHEN (NEW.version > 5) EXECUTE FUNCTION note(); \
         CREATE TRIGGER quiet AFTER UPDATE ON orders EXECUTE FUNCTION note(); ALTER TABLE orders DISABLE TRIGGER quiet; \
         ALTER TABLE orders SET (fillfactor = 70); ALTER TABLE orders ALTER customer SET STATISTICS 400; \
         ALTER TABLE customers REPLICA IDENTITY FULL; \
         CREATE PUBLICATION feed FOR TABLE orders (id, amount) WHERE (id > 5), customers"
    ));
    let seen_by_role = format!("BEGIN; SET LOCAL ROLE {role}; SELECT count(*) FROM orders; COMMIT");
    assert_eq!(target.value(&seen_by_role), "10000");
    for version in 2..4 {
        fixture.refill(&shop_rows(version));
        fixture.push_in("swap", &remote_url(&target)).0.unwrap();
        fixture.assert_equal(&target, "public");
        assert_eq!(target.value(&seen_by_role), "10000", "the policy holds");
    }
    assert_eq!(target.value("SELECT count(*) FROM seen"), "0");
    target.execute_as_owner("UPDATE orders SET version = 9 WHERE id = 1");
    assert_eq!(target.value("SELECT count(*) FROM seen"), "1");
    let facts = "SELECT (SELECT string_agg(tgname || tgenabled::text, ' ' ORDER BY tgname) FROM pg_trigger \
                   WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal), \
                 (SELECT reloptions::text FROM pg_class WHERE oid = 'orders'::regclass), \
                 (SELECT attstattarget::text FROM pg_attribute WHERE attrelid = 'orders'::regclass AND attname = 'customer'), \
                 (SELECT relreplident::text FROM pg_class WHERE oid = 'customers'::regclass), \
                 (SELECT string_agg(schemaname || '.' || tablename || coalesce(rowfilter, ''), ' ' ORDER BY tablename) \
                   FROM pg_publication_tables WHERE pubname = 'feed')";
    let found: Vec<String> = target.query(facts).remove(0).into_iter().map(Option::unwrap).collect();
    assert_eq!(found, ["noteO quietD", "{fillfactor=70}", "400", "f", "public.customers public.orders(id > 5)"]);
    // A policy on a table of somebody else that reads one of the pushed tables would stay with the old table.
    target.execute_as_owner(
        "ALTER TABLE seen ENABLE ROW LEVEL SECURITY; CREATE POLICY known ON seen USING (EXISTS (SELECT FROM public.empty))",
    );
    let error = fixture.push_over("swap", &remote_url(&target)).0;
    let error = match error {
        Ok(pushed) => panic!("{:?}", pushed.unchanged),
        Err(error) => error,
    };
    assert!(error.message().contains("policy known on table public.seen uses empty"), "{error}");
    target.query(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_table_of_another_tool_is_replaced_only_by_name_and_comes_back() {
    let target = Target::start();
    target.execute_as_owner(
        "CREATE TABLE orders (old int); INSERT INTO orders VALUES (7); COMMENT ON TABLE orders IS 'mine'",
    );
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let (ctx, _) = fixture.context();
    let request = fixture.request(&remote_url(&target));
    let forced = |name: &str| PushRequest { force_tables: vec![name.to_owned()], ..request.clone() };
    assert_eq!(run(&ctx, &request).err().unwrap().kind(), Kind::TargetOccupied);
    assert_eq!(run(&ctx, &forced("ORDERS")).err().unwrap().kind(), Kind::Usage);
    assert_eq!(target.value("SELECT old FROM orders"), "7");
    assert_eq!(run(&ctx, &forced("orders")).unwrap().checkpoint.unwrap().mode.to_string(), "swap");
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT old FROM turso2neon_previous.orders"), "7");
    assert_eq!(target.value("SELECT obj_description('orders'::regclass)"), "mine");
    assert!(fixture.push(&remote_url(&target)).0.unwrap().unchanged);
    // It comes back alone, with everything that it had, and goes again; a push needs its name once more.
    let turn = || {
        let request = RollbackRequest {
            target: Secret::new(remote_url(&target)),
            schema: "public".to_owned(),
            list: false,
            lock_wait: LOCK_WAIT,
        };
        runtime().block_on(rollback(&ctx, &request)).unwrap()
    };
    let back = turn();
    assert_eq!(back.tables.iter().map(|table| table.name.as_str()).collect::<Vec<_>>(), ["orders"]);
    let there =
        "SELECT string_agg(tablename, ' ' ORDER BY tablename COLLATE \"C\") FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(target.value(there), "orders");
    assert_eq!(target.value("SELECT old || obj_description('orders'::regclass) FROM orders"), "7mine");
    let error = run(&ctx, &request).err().unwrap();
    assert_eq!(error.kind(), Kind::TargetOccupied, "{error}");
    turn();
    assert_eq!(target.value(there), "_sqlite_offtype customers empty orders");
    fixture.assert_equal(&target, "public");
    turn();
    assert_eq!(run(&ctx, &forced("orders")).unwrap().checkpoint.unwrap().mode.to_string(), "swap");
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT old FROM turso2neon_previous.orders"), "7");
}

/// Ends a push in mode `replace` when it has loaded the orders.
const STUMBLE: &str = "CREATE OR REPLACE FUNCTION public.no_more() RETURNS trigger LANGUAGE plpgsql AS \
       'BEGIN RAISE EXCEPTION USING ERRCODE = ''42501''; END'; \
     CREATE TRIGGER no_more BEFORE INSERT ON turso2neon.chunks FOR EACH ROW WHEN (NEW.table_name = 'orders') \
       EXECUTE FUNCTION public.no_more()";

#[test]
fn a_table_that_changed_after_it_was_replaced_is_loaded_again() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    let interrupt = |fixture: &LocalFixture| {
        target.query(STUMBLE);
        fixture.push_in("replace", &url).0.err().unwrap();
        target.query("DROP TRIGGER no_more ON turso2neon.chunks; UPDATE customers SET version = 77 WHERE id = 1");
    };
    fixture.refill(&shop_rows(2));
    interrupt(&fixture);
    assert_eq!(fixture.push_in("replace", &url).0.err().unwrap().kind(), Kind::TargetRejected);
    fixture.push_in("replace", &url).0.unwrap();
    fixture.assert_equal(&target, "public");
    // --fresh looks at no mark.
    fixture.refill(&shop_rows(3));
    interrupt(&fixture);
    let (ctx, _) = fixture.context();
    run(&ctx, &PushRequest { fresh: true, mode: requested("replace"), ..fixture.request(&url) }).unwrap();
    fixture.assert_equal(&target, "public");
    // A run in another mode is none to continue.
    fixture.refill(&shop_rows(4));
    interrupt(&fixture);
    target.query("UPDATE turso2neon.runs SET mode = 'diff' WHERE state <> 'done'");
    assert_eq!(fixture.push_in("replace", &url).0.err().unwrap().kind(), Kind::TargetDrifted);
    fixture.push_over("replace", &url).0.unwrap();
    fixture.assert_equal(&target, "public");
}

#[test]
fn an_interrupted_replace_goes_on_after_the_tables_that_are_done() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push(&remote_url(&target)).0.unwrap();
    let versions = "SELECT (SELECT max(version) FROM customers) || ' ' || (SELECT max(version) FROM orders)";
    for (version, mode) in [(2, "replace"), (3, "auto")] {
        fixture.refill(&shop_rows(version));
        target.query(STUMBLE);
        fixture.push_in("replace", &remote_url(&target)).0.err().unwrap();
        assert_eq!(target.value(versions), format!("{version} {}", version - 1));
        target.query("DROP TRIGGER no_more ON turso2neon.chunks");
        let (pushed, recorder) = fixture.push_in(mode, &remote_url(&target));
        let expected = if mode == "auto" { "swap" } else { mode };
        assert_eq!(pushed.unwrap().checkpoint.unwrap().mode.to_string(), expected, "{:?}", recorder.texts());
        if mode == "replace" {
            let texts = recorder.texts();
            assert!(texts.iter().any(|text| text.starts_with("ORDERS: ")), "{texts:?}");
            assert!(!texts.iter().any(|text| text.starts_with("CUSTOMERS: ")), "{texts:?}");
        }
        fixture.assert_equal(&target, "public");
        let keys = "SELECT string_agg(conname, ' ') FROM pg_constraint WHERE contype = 'f' AND convalidated \
                    AND connamespace = 'public'::regnamespace";
        assert_eq!(target.value(keys), "orders_customer_fkey");
        assert_eq!(target.value("SELECT count(*) FROM turso2neon.chunks"), "0");
        assert!(fixture.push(&remote_url(&target)).0.unwrap().unchanged);
    }
}

#[test]
fn replace_goes_table_after_table_and_keeps_nothing() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push_in("replace", &remote_url(&target)).0.unwrap();
    fixture.refill(&shop_rows(2));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    target.execute_as_owner("CREATE VIEW totals AS SELECT max(version) FROM orders");
    fixture.refill(&shop_rows(3));
    let checkpoint = fixture.push_in("replace", &remote_url(&target)).0.unwrap().checkpoint.unwrap();
    assert_eq!((checkpoint.mode.to_string().as_str(), checkpoint.tables.len()), ("replace", 4));
    assert!(checkpoint.sent_bytes > 500_000);
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT max FROM totals"), "3");
    assert_eq!(target.value("SELECT count(*) FROM pg_class WHERE relname = 'orders' AND relkind = 'r'"), "1");
    let keys = "SELECT string_agg(conname, ' ') FROM pg_constraint WHERE contype = 'f' AND convalidated";
    assert_eq!(target.value(keys), "orders_customer_fkey");
    assert!(fixture.push(&remote_url(&target)).0.unwrap().unchanged);
    // Another structure: the old tables move out first. A view on them stops that before anything happens.
    fixture.plan.tables[1].checks.clear();
    fixture.refill(&shop_rows(4));
    assert_eq!(fixture.push_in("replace", &remote_url(&target)).0.err().unwrap().kind(), Kind::TargetOccupied);
    assert_eq!(target.value("SELECT max(version) FROM orders"), "3");
    target.execute_as_owner("DROP VIEW totals");
    fixture.push_in("replace", &remote_url(&target)).0.unwrap();
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT count(*) FROM pg_class WHERE relname = 'orders' AND relkind = 'r'"), "1");
}

#[test]
fn a_dry_run_counts_what_a_push_then_sends() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let (ctx, _) = fixture.context();
    let dry = |fixture: &LocalFixture, mode: &str| {
        let request = PushRequest { dry_run: true, mode: requested(mode), ..fixture.request(&remote_url(&target)) };
        run(&ctx, &request).unwrap().dry_run
    };
    let lines = dry(&fixture, "auto");
    let sent = fixture.push(&remote_url(&target)).0.unwrap().checkpoint.unwrap().sent_bytes;
    assert!(lines[0].contains(&format!("({sent} bytes in 3 chunks)")), "{lines:?} {sent}");
    assert_eq!(dry(&fixture, "auto"), ["nothing to do: the target holds these tables already"]);
    fixture.refill(&shop_rows(2));
    let before = target.content("turso2neon");
    let lines = dry(&fixture, "auto");
    assert!(lines[0].starts_with("2 of 4 tables differ; 22,000 rows would be touched"), "{lines:?}");
    let lines = dry(&fixture, "swap");
    assert!(lines.iter().any(|line| line.contains("would be replaced: _sqlite_offtype, customers")), "{lines:?}");
    assert_eq!(target.content("turso2neon"), before);
    assert_eq!(target.value("SELECT max(version) FROM orders"), "1");
}

#[test]
fn views_and_triggers_of_the_plan_go_along_in_every_mode_and_never_fire() {
    let environment = Environment::from(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER); CREATE TABLE log (id INTEGER PRIMARY KEY, what INTEGER); \
         CREATE VIEW totals AS SELECT count(*) AS c, sum(n) AS s FROM a; \
         CREATE TRIGGER noted AFTER UPDATE ON a BEGIN INSERT INTO log (what) VALUES (new.id); END; \
         INSERT INTO a VALUES (1, 10), (2, 20)",
    );
    let mode = || environment.workspace.read_json("push/checkpoint.json")["mode"].as_str().unwrap().to_owned();
    let state = "SELECT (SELECT c || ' ' || s FROM totals) || ' ' || (SELECT count(*) FROM log) || ' ' || \
                 (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.a'::regclass AND NOT tgisinternal AND tgenabled = 'O')";
    environment.call(&["dump", "convert", "push"]);
    assert_eq!((mode(), environment.target.value(state)), ("create".to_owned(), "2 30 0 1".to_owned()));
    for (round, requested) in ["auto", "swap", "replace", "auto"].into_iter().enumerate() {
        environment.source.execute("UPDATE a SET n = n + 1 WHERE id = 1");
        environment.call(&["dump", "convert"]);
        environment.tool("push").args(["--mode", requested]).run().expect_exit(0);
        let expected = if requested == "auto" { "diff" } else { requested };
        let (sum, logged) = (31 + round, 1 + round);
        assert_eq!((mode().as_str(), environment.target.value(state)), (expected, format!("2 {sum} {logged} 1")));
        if requested != "replace" {
            environment.tool("rollback").run().expect_exit(0);
            assert_eq!(environment.target.value(state), format!("2 {} {} 1", sum - 1, logged - 1), "after {requested}");
            environment.tool("rollback").run().expect_exit(0);
            assert_eq!(environment.target.value(state), format!("2 {sum} {logged} 1"), "after {requested}");
        }
    }
}
