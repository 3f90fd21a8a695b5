//! Cutovers of tables that somebody reads or writes at every moment: they succeed, nobody is failed, and who is in the
//! way of one that can't is named.

use std::time::{Duration, Instant};

use tokio_postgres::NoTls;
use turso2neon::{
    error::Kind as ErrorKind,
    model::{PgType, Plan},
    secret::Secret,
    stages::push::{
        PushRequest,
        rollback::{RollbackRequest, rollback},
    },
};

use super::{
    fixture::{
        LocalFixture, column, plan, remote_url, requested, run, runtime, shop_plan, shop_rows, table, wide_plan,
        wide_rows,
    },
    readers::{KINDS, Kind, Reader, ReaderPool},
};
use crate::support::{Target, target::OWNER};

/// This many tables with a version.
fn versioned(count: usize) -> Plan {
    let one = |number: usize| {
        table(&format!("t{number:02}"), vec![column("id", PgType::BigInt), column("version", PgType::Integer)])
    };
    plan((0..count).map(one).collect())
}

fn set_version(tables: usize, version: u64) -> String {
    let one = |number| {
        format!("TRUNCATE t{number:02}; INSERT INTO t{number:02} SELECT i, {version} FROM generate_series(1, 20) i; ")
    };
    (0..tables).map(one).collect()
}

/// Pushes new versions by `swap` and gives what the cutovers took in milliseconds, sorted.
fn swap_under(target: &Target, tables: usize, readers: &[Reader], cutovers: u64) -> (Vec<u64>, Duration) {
    let mut fixture = LocalFixture::new(versioned(tables), &set_version(tables, 1));
    let url = remote_url(target);
    fixture.push(&url).0.unwrap();
    let names: Vec<String> = (0..tables).map(|number| format!("t{number:02}")).collect();
    let reader_pool = ReaderPool::gather(target, &names.iter().map(String::as_str).collect::<Vec<_>>(), readers);
    let mut times = Vec::new();
    for version in 2..2 + cutovers {
        fixture.change(&set_version(tables, version));
        let checkpoint = fixture.push_in("swap", &url).0.unwrap().checkpoint.unwrap();
        times.push(checkpoint.phases_ms["cutover"]);
    }
    let seen = reader_pool.disperse();
    for one in &seen {
        assert!(one.reads > 0 && one.versions > 1, "{one:?}");
    }
    fixture.assert_equal(target, "public");
    times.sort_unstable();
    (times, seen.iter().map(|one| one.longest).max().unwrap())
}

/// Readers that never pause, half of them in reversed order.
fn restless(count: usize, kinds: &[Kind], think_ms: u64) -> Vec<Reader> {
    let one = |number: usize| Reader {
        kind: kinds[number / 2 % kinds.len()],
        reversed: number % 2 == 1,
        think: Duration::from_millis(think_ms),
        pause: Duration::ZERO,
    };
    (0..count).map(one).collect()
}

#[test]
fn tables_that_are_read_at_every_moment_are_replaced_and_put_back() {
    // Whoever stands in a circle is let through after this time, so it makes the test short.
    let target = Target::start_alone("deadlock_timeout = '150ms'");
    let mut fixture = LocalFixture::new(versioned(3), &set_version(3, 1));
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    let readers = restless(8, &[Kind::RepeatableRead, Kind::ReadCommitted, Kind::Prepared, Kind::OlderSnapshot], 3);
    let reader_pool = ReaderPool::gather(&target, &["t00", "t01", "t02"], &readers);
    for (version, mode) in (2..).zip(["swap", "diff"]) {
        fixture.change(&set_version(3, version));
        fixture.push_in(mode, &url).0.unwrap();
        let request = RollbackRequest {
            target: Secret::new(url.clone()),
            schema: "public".to_owned(),
            list: false,
            lock_wait: Duration::from_secs(60),
        };
        runtime().block_on(rollback(&fixture.context().0, &request)).unwrap();
        assert_eq!(target.value("SELECT max(version) FROM t01"), (version - 1).to_string());
        fixture.push_in(mode, &url).0.unwrap();
    }
    for seen in reader_pool.disperse() {
        assert!(seen.reads > 10 && seen.versions >= 2 && seen.longest < Duration::from_secs(10), "{seen:?}");
    }
    fixture.assert_equal(&target, "public");
}

/// A session of somebody else.
async fn application(target: &Target, user: &str) -> tokio_postgres::Client {
    let mut config = tokio_postgres::Config::new();
    config.host_path(target.socket_directory()).port(target.port()).user(user).dbname(target.database());
    config.application_name("night shift");
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[test]
fn who_is_in_the_way_is_named_and_a_repeat_does_only_the_cutover() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    let runtime = runtime();
    let client = runtime.block_on(application(&target, OWNER));
    let open = |sql: &str| runtime.block_on(client.batch_execute(sql)).unwrap();
    open("BEGIN; UPDATE orders SET version = 4711 WHERE id = 3");
    fixture.refill(&shop_rows(2));
    // A writer stands in the way of a change of rows, and of a replacement too: that isn't tried instead.
    for mode in ["swap", "auto"] {
        let (ctx, _) = fixture.context();
        let request = PushRequest { mode: requested(mode), lock_wait: Duration::from_secs(2), ..fixture.request(&url) };
        let begun = Instant::now();
        let error = run(&ctx, &request).err().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(25), "{mode}: {:?}", begun.elapsed());
        assert_eq!((error.kind(), error.kind().exit()), (ErrorKind::TargetRejected, 7), "{error}");
        for word in ["(night shift), idle in transaction, in a transaction for ", "so nothing was changed"] {
            assert!(error.message().contains(word), "{mode}: {error}");
        }
        assert!(!error.message().contains("4711") && !error.message().contains("UPDATE"), "{error}");
        assert_eq!(target.value("SELECT max(version) FROM orders"), "1");
        if mode == "swap" {
            let parts = "SELECT count(*) FROM turso2neon.chunks";
            assert_eq!(target.value(parts), "3", "what was loaded is kept");
            open("ROLLBACK");
            let (pushed, recorder) = fixture.push_in("swap", &url);
            pushed.unwrap();
            assert!(recorder.texts().iter().any(|text| text == "continuing after 3 committed chunks"));
            fixture.assert_equal(&target, "public");
            fixture.refill(&shop_rows(1));
            fixture.push(&url).0.unwrap();
            fixture.refill(&shop_rows(2));
            open("BEGIN; UPDATE orders SET version = 4711 WHERE id = 3");
        }
    }
    open("ROLLBACK");
    fixture.push(&url).0.unwrap();
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_snapshot_from_before_the_load_never_sees_a_part_of_a_table() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(wide_plan(), &wide_rows(50, 1));
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    fixture.refill(&wide_rows(70_000, 2));
    let runtime = runtime();
    // Of whom the tool's role may know little.
    let client = runtime.block_on(application(&target, "postgres"));
    runtime.block_on(client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")).unwrap();
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| fixture.push_in("swap", &url).0);
        let deadline = Instant::now() + Duration::from_secs(60);
        let staged = "SELECT CASE WHEN to_regclass('turso2neon.tables') IS NULL THEN 0 \
                      ELSE (SELECT count(*) FROM turso2neon.tables WHERE state = 'staged') END";
        while target.value(staged) == "0" {
            assert!(Instant::now() < deadline && !pushing.is_finished(), "the tables are never staged");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!pushing.is_finished(), "the cutover doesn't wait");
        let locks_sql = "SELECT count(*) FROM pg_locks WHERE relation = 'wide'::regclass AND mode LIKE '%Exclusive%'";
        assert_eq!(target.value(locks_sql), "0", "the table is not locks_sql for yet");
        let row = runtime.block_on(client.query_one("SELECT count(*), max(version) FROM wide", &[])).unwrap();
        assert_eq!((row.get::<_, i64>(0), row.get::<_, i32>(1)), (50, 1));
        runtime.block_on(client.batch_execute("COMMIT")).unwrap();
        let checkpoint = pushing.join().unwrap().unwrap().checkpoint.unwrap();
        assert!(checkpoint.tables["WIDE"].chunks > 1);
    });
    fixture.assert_equal(&target, "public");
}

/// How long cutovers and readers take. `TURSO2NEON_TEST_CUTOVERS` asks for every kind of readers, with so many cutovers
/// each.
#[test]
fn cutovers_are_measured_with_readers_of_every_kind() {
    let cutovers = std::env::var("TURSO2NEON_TEST_CUTOVERS").ok().map(|text| text.parse().unwrap());
    let target = Target::start_alone("max_connections = 200");
    let transactions = |count, think| restless(count, &[Kind::RepeatableRead, Kind::ReadCommitted], think);
    let cases = [
        ("10 in tight loops", 30, restless(10, &KINDS, 0)),
        ("4 transactions of 50 ms", 3, transactions(4, 17)),
        ("4 in tight loops", 3, restless(4, &KINDS, 0)),
        ("8 in tight loops", 3, restless(8, &KINDS, 0)),
        ("4 transactions of 50 ms", 30, transactions(4, 2)),
        ("4 transactions of 1.5 s", 3, transactions(4, 500)),
        ("4 transactions of 1.5 s", 30, transactions(4, 50)),
    ];
    for (what, tables, readers) in cases.into_iter().take(if cutovers.is_some() { 7 } else { 2 }) {
        let cutovers = cutovers.unwrap_or(2);
        let (times, longest) = swap_under(&target, tables, &readers, cutovers);
        println!(
            "{what}, {tables} tables: {cutovers} swaps, median {} ms, longest {} ms; longest read {} ms",
            times[times.len() / 2],
            times[times.len() - 1],
            longest.as_millis()
        );
        assert!(longest < Duration::from_secs(20), "{what}: a reader waited for {longest:?}");
    }
}
