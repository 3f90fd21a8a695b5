//! The first push, the one that has nothing to do, and the ones that replace what an earlier one pushed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_postgres::NoTls;
use turso2neon::{
    error::Kind,
    model::{checkpoint::LoadState, conversion_plan::IndexPlan},
};

use super::fixture::{LocalFixture, remote_url, run, runtime, shop_plan, shop_rows};
use crate::support::Target;

#[test]
fn a_first_push_creates_everything_and_a_second_has_nothing_to_do() {
    let target = Target::start();
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let (pushed, recorder) = fixture.push(&remote_url(&target));
    let checkpoint = pushed.unwrap().checkpoint.unwrap();
    assert_eq!((checkpoint.mode.to_string().as_str(), checkpoint.state), ("create", LoadState::Done));
    assert_eq!(checkpoint.tables["ORDERS"].rows, 20_000);
    assert_eq!(checkpoint.tables.len(), 4);
    assert!(checkpoint.replaced.is_empty() && checkpoint.sent_bytes > 500_000);
    assert_eq!(recorder.committed()["ORDERS"].0, 20_000);
    assert_eq!(recorder.retries(), 0);
    fixture.assert_equal(&target, "public");
    assert_eq!(fixture.workdir().load_push().unwrap(), checkpoint);

    // Keys, checks, defaults, sequences and generated columns are there and at work.
    target.execute_as_owner("INSERT INTO customers (email) VALUES ('new@example.com')");
    assert_eq!(
        target.value("SELECT id || ' ' || version || ' ' || twice FROM customers WHERE id >= 5000"),
        "5000 7 14"
    );
    let constraints = "SELECT string_agg(conname, ' ' ORDER BY conname) FROM pg_constraint WHERE convalidated \
                       AND connamespace = 'public'::regnamespace";
    assert_eq!(
        target.value(constraints),
        "customers_email_key customers_pkey orders_amount orders_customer_fkey orders_pkey"
    );
    assert_eq!(target.value("SELECT to_regclass('public.orders_customer')::text"), "orders_customer");
    let rest = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '\\_turso2neon%'";
    assert_eq!(target.value(rest), "0");
    assert_eq!(target.value("SELECT count(*) FROM turso2neon.chunks"), "0");
    target.execute_as_owner("DELETE FROM customers WHERE id >= 5000");

    let (pushed, recorder) = fixture.push(&remote_url(&target));
    let pushed = pushed.unwrap();
    assert!(pushed.unchanged);
    assert_eq!(pushed.checkpoint.unwrap(), checkpoint);
    assert!(recorder.committed().is_empty());
}

#[test]
fn rows_changed_on_the_target_are_noticed_and_pushed_again() {
    let target = Target::start();
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push(&remote_url(&target)).0.unwrap();
    target.execute_as_owner("UPDATE orders SET amount = amount + 1 WHERE id = 77");
    let (pushed, recorder) = fixture.push_over("auto", &remote_url(&target));
    let pushed = pushed.unwrap();
    assert!(!pushed.unchanged);
    assert_eq!(pushed.checkpoint.unwrap().mode.to_string(), "diff");
    assert!(recorder.texts().iter().any(|text| text.contains("overwritten: table orders")));
    fixture.assert_equal(&target, "public");
    // With --fresh the same content goes out once more.
    let (ctx, _) = fixture.context();
    let request = turso2neon::stages::push::PushRequest { fresh: true, ..fixture.request(&remote_url(&target)) };
    assert!(!run(&ctx, &request).unwrap().unchanged);
}

#[test]
fn tables_of_the_same_name_of_others_are_left_alone() {
    let target = Target::start();
    target.execute_as_owner(
        "CREATE TABLE orders (a int); INSERT INTO orders VALUES (1); CREATE VIEW customers AS SELECT 1 AS x; \
         CREATE TYPE empty AS ENUM ('a')",
    );
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let (pushed, _) = fixture.push_in("swap", &remote_url(&target));
    let error = pushed.err().unwrap();
    assert_eq!((error.kind(), error.kind().exit()), (Kind::TargetOccupied, 8), "{error}");
    for name in ["table orders", "view customers", "type empty"] {
        assert!(error.message().contains(name), "{name} in {error}");
    }
    assert_eq!(target.value("SELECT count(*) FROM orders"), "1");
    assert_eq!(target.value("SELECT count(*) FROM pg_namespace WHERE nspname ~ 'turso2neon'"), "0");
    // Another schema is free.
    let (ctx, _) = fixture.context();
    let request =
        turso2neon::stages::push::PushRequest { schema: "app".to_owned(), ..fixture.request(&remote_url(&target)) };
    run(&ctx, &request).unwrap();
    fixture.assert_equal(&target, "app");
}

#[test]
fn a_dry_run_says_what_would_happen_and_writes_nothing() {
    let target = Target::start();
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let (ctx, _) = fixture.context();
    let request = turso2neon::stages::push::PushRequest { dry_run: true, ..fixture.request(&remote_url(&target)) };
    let pushed = run(&ctx, &request).unwrap();
    assert!(pushed.checkpoint.is_none());
    assert!(pushed.dry_run[0].contains("4 tables with 22,000 rows"), "{:?}", pushed.dry_run);
    assert_eq!(target.value("SELECT count(*) FROM pg_namespace WHERE nspname ~ 'turso2neon'"), "0");
    assert!(!fixture.workdir().push_checkpoint().exists());
}

#[test]
fn a_target_without_rights_or_disk_space_is_refused_with_all_reasons() {
    let target = Target::start();
    target.query(&format!(
        "ALTER DATABASE {} OWNER TO postgres; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
         ALTER DATABASE {0} SET neon.max_cluster_size = '1MB'",
        target.database()
    ));
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let error = fixture.push_in("swap", &remote_url(&target)).0.err().unwrap();
    assert_eq!(error.kind(), Kind::TargetDenied, "{error}");
    for words in ["may not create schemas", "may not create tables in schema public", "the project may hold 1 MB"] {
        assert!(error.message().contains(words), "{words} in {error}");
    }
}

#[test]
fn replacement_keeps_grants_comments_and_the_old_tables() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    let role = format!("reader_{}", target.database());
    target.query(&format!("CREATE ROLE {role}"));
    target.execute_as_owner(&format!(
        "GRANT SELECT ON customers TO {role} WITH GRANT OPTION; GRANT UPDATE (version) ON orders TO {role}; \
         GRANT SELECT ON empty TO PUBLIC; GRANT USAGE ON SEQUENCE customers_id_seq TO {role}; \
         COMMENT ON TABLE orders IS 'it''s'; COMMENT ON COLUMN orders.amount IS 'net'"
    ));
    fixture.refill(&shop_rows(2));
    let checkpoint = fixture.push_in("swap", &remote_url(&target)).0.unwrap().checkpoint.unwrap();
    assert_eq!(checkpoint.mode.to_string(), "swap");
    assert_eq!(checkpoint.previous_schema.as_deref(), Some("turso2neon_previous"));
    assert_eq!(checkpoint.replaced, ["_sqlite_offtype", "customers", "empty", "orders"]);
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT max(version) || ' ' || count(*) FROM turso2neon_previous.orders"), "1 20000");
    let facts = format!(
        "SELECT has_table_privilege('{role}', 'customers', 'SELECT WITH GRANT OPTION'), \
           has_column_privilege('{role}', 'orders', 'version', 'UPDATE'), has_table_privilege('{role}', 'orders', 'SELECT'), \
           has_table_privilege('{role}', 'empty', 'SELECT'), has_sequence_privilege('{role}', 'customers_id_seq', 'USAGE'), \
           obj_description('orders'::regclass), col_description('orders'::regclass, 4)"
    );
    let found: Vec<String> = target.query(&facts).remove(0).into_iter().map(Option::unwrap).collect();
    assert_eq!(found, ["t", "t", "f", "t", "t", "it's", "net"]);
    target.execute_as_owner("INSERT INTO customers (email) VALUES ('new@example.com')");
    assert_eq!(target.value("SELECT max(id) FROM customers"), "5000");
    // A third push drops what the second kept, and a table that the plan no longer has goes there too.
    fixture.plan.tables.retain(|table| table.name != "empty");
    fixture.refill(&shop_rows(3));
    fixture.push_over("swap", &remote_url(&target)).0.unwrap();
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT max(version) FROM turso2neon_previous.orders"), "2");
    assert_eq!(target.value("SELECT to_regclass('public.empty') IS NULL"), "t");
    target.query(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn what_others_built_on_our_tables_is_named_and_stops_the_replacement() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    target.execute_as_owner(
        "CREATE VIEW totals AS SELECT sum(amount) FROM orders; \
         CREATE TABLE notes (customer bigint REFERENCES customers); \
         CREATE FUNCTION first_of(customers) RETURNS bigint LANGUAGE sql AS 'SELECT $1.id'; \
         CREATE INDEX by_score ON customers (score); \
         ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON orders USING (true)",
    );
    fixture.refill(&shop_rows(2));
    let error = fixture.push_in("swap", &remote_url(&target)).0.err().unwrap();
    assert_eq!(error.kind(), Kind::TargetOccupied, "{error}");
    for words in [
        "view public.totals uses orders",
        "constraint notes_customer_fkey on table public.notes uses customers",
        "function public.first_of(public.customers) uses customers",
        "index by_score on customers",
    ] {
        assert!(error.message().contains(words), "{words} in {error}");
    }
    assert_eq!(target.value("SELECT max(version) FROM orders"), "1");
    target.execute_as_owner("DROP FUNCTION first_of; DROP TABLE notes; DROP VIEW totals; DROP INDEX by_score");
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    assert_eq!(target.value("SELECT max(version) FROM orders"), "2");
    // What can go over goes over.
    let policies = "SELECT count(*) FROM pg_policy WHERE polname = 'mine' AND polrelid = 'public.orders'::regclass";
    assert_eq!(target.value(policies), "1");
}

#[test]
fn readers_see_the_old_tables_or_the_new_ones_and_never_an_error() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3).map(|order| spawn_reader(&target, order, Arc::clone(&stop))).collect();
    for version in 2..6 {
        fixture.refill(&shop_rows(version));
        assert_eq!(
            fixture.push_in("swap", &remote_url(&target)).0.unwrap().checkpoint.unwrap().mode.to_string(),
            "swap"
        );
    }
    stop.store(true, Ordering::SeqCst);
    for reader in readers {
        let (reads, versions) = reader.join().unwrap();
        assert!(reads > 50 && versions > 2, "{reads} reads of {versions} versions");
    }
}

/// Reads both tables, in one statement or in a transaction in either order, until stopped. Gives the number of
/// reads and of versions seen.
fn spawn_reader(target: &Target, order: usize, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<(usize, usize)> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(target.socket_directory()).port(target.port()).user("postgres").dbname(target.database());
    std::thread::spawn(move || {
        runtime().block_on(async {
            let (client, connection) = config.connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            let customers = "SELECT min(version) || ' ' || count(*) FROM customers";
            let orders = "SELECT min(version) || ' ' || count(*) FROM orders";
            let mut seen = std::collections::BTreeSet::new();
            let mut reads = 0;
            while !stop.load(Ordering::SeqCst) {
                let texts: Vec<String> = if order == 0 {
                    let row = client.query_one(&format!("SELECT ({customers}), ({orders})"), &[]).await.unwrap();
                    vec![row.get(0), row.get(1)]
                } else {
                    let [first, second] = if order == 1 { [customers, orders] } else { [orders, customers] };
                    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
                    let one: String = client.query_one(first, &[]).await.unwrap().get(0);
                    tokio::time::sleep(Duration::from_millis(3)).await;
                    let two: String = client.query_one(second, &[]).await.unwrap().get(0);
                    client.batch_execute("COMMIT").await.unwrap();
                    if order == 1 { vec![one, two] } else { vec![two, one] }
                };
                let version = texts[0].split(' ').next().unwrap().to_owned();
                assert_eq!(texts, [format!("{version} 2000"), format!("{version} 20000")]);
                seen.insert(version);
                reads += 1;
            }
            (reads, seen.len())
        })
    })
}

#[test]
fn a_reader_that_stays_for_long_delays_the_cutover_and_nobody_else() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    fixture.refill(&shop_rows(2));
    let mut config = tokio_postgres::Config::new();
    config.host_path(target.socket_directory()).port(target.port()).user("postgres").dbname(target.database());
    let runtime = runtime();
    let (client, connection) = runtime.block_on(config.connect(NoTls)).unwrap();
    runtime.spawn(connection);
    runtime.block_on(client.batch_execute("BEGIN; SELECT count(*) FROM customers")).unwrap();
    let (url, held) = (remote_url(&target), Instant::now());
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| fixture.push_in("swap", &url).0.unwrap());
        // While the cutover waits, others still read: behind queue sessions they wait for as long as a round lasts.
        let (mut slowest, mut reads) = (Duration::ZERO, 0);
        while held.elapsed() < Duration::from_secs(4) {
            let began = Instant::now();
            target.value("SELECT count(*) FROM customers");
            slowest = slowest.max(began.elapsed());
            reads += 1;
        }
        assert!(!pushing.is_finished());
        assert!(slowest < Duration::from_secs(5), "{slowest:?}");
        assert!(reads > 10, "only {reads} reads");
        runtime.block_on(client.batch_execute("COMMIT")).unwrap();
        pushing.join().unwrap();
    });
    assert_eq!(target.value("SELECT min(version) FROM customers"), "2");
}

#[test]
fn maintenance_of_a_table_is_waited_for_without_disturbing_readers_and_writers() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    fixture.refill(&shop_rows(2));
    let mut config = tokio_postgres::Config::new();
    config.host_path(target.socket_directory()).port(target.port()).user("postgres").dbname(target.database());
    let runtime = runtime();
    let (client, connection) = runtime.block_on(config.connect(NoTls)).unwrap();
    runtime.spawn(connection);
    // The lock of VACUUM.
    runtime.block_on(client.batch_execute("BEGIN; LOCK TABLE customers IN SHARE UPDATE EXCLUSIVE MODE")).unwrap();
    let url = remote_url(&target);
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| fixture.push_in("swap", &url).0.unwrap());
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'ShareUpdateExclusiveLock'";
        let deadline = Instant::now() + Duration::from_secs(60);
        while target.value(waiting) == "0" {
            assert!(Instant::now() < deadline, "the cutover doesn't wait");
        }
        let began = Instant::now();
        target.execute_as_owner("UPDATE customers SET version = version WHERE id = 1");
        assert!(began.elapsed() < Duration::from_secs(2), "a writer waits: {:?}", began.elapsed());
        runtime.block_on(client.batch_execute("COMMIT")).unwrap();
        pushing.join().unwrap();
    });
    assert_eq!(target.value("SELECT min(version) FROM customers"), "2");
}

#[test]
fn extensions_are_created_where_operators_are_found_and_missing_ones_are_named() {
    let target = Target::start();
    let mut plan = shop_plan();
    plan.extensions = vec!["pg_trgm".to_owned()];
    plan.tables[0].indexes.push(IndexPlan {
        name: "customers_email_trgm".to_owned(),
        source: String::new(),
        unique: false,
        method: "gin".to_owned(),
        keys: vec!["\"email\" gin_trgm_ops".to_owned()],
        predicate: None,
    });
    let mut fixture = LocalFixture::new(plan, &shop_rows(1));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    fixture.assert_equal(&target, "public");
    assert_eq!(
        target.value("SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_trgm'"),
        "public"
    );
    assert_eq!(target.value("SELECT to_regclass('public.customers_email_trgm') IS NOT NULL"), "t");
    fixture.plan.extensions.push("no_such_extension".to_owned());
    fixture.refill(&shop_rows(2));
    let error = fixture.push_in("swap", &remote_url(&target)).0.err().unwrap();
    assert_eq!(error.kind(), Kind::TargetRejected, "{error}");
    assert!(error.message().contains("extension no_such_extension is not available"), "{error}");
}
