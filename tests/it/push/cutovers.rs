//! Tests many cutovers under readers, and faults at random times: a reader never sees an error or a mix, and a repeated
//! push always ends in the state that an undisturbed one has.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_postgres::NoTls;
use turso2neon::{
    model::checkpoint::LoadState,
    stages::push::{PushRequest, push},
};

use super::{
    fixture::{LocalFixture, remote_url, remote_url_at, requested, run, runtime, shop_plan, shop_rows},
    readers::{KINDS, Reader, ReaderPool},
};
use crate::support::{FaultProxy, Target, rng};

/// Few rows, all of version 1.
pub(super) fn few_rows() -> String {
    shop_rows(1).replace("2000)", "150)").replace("20000)", "400)").replace("% 2000", "% 150")
}

/// Gives every row another version, a few rows other keys, and the artifacts to match.
fn next_version(fixture: &mut LocalFixture, version: usize) {
    fixture.change(&format!(
        "UPDATE customers SET version = {version}; UPDATE orders SET version = {version}; \
         UPDATE customers SET email = 'v' || (id + {version}) % 150 || '@example.com'; \
         DELETE FROM orders WHERE id = 1000 + {version}; INSERT INTO orders VALUES (1001 + {version}, 7, {version}, 1)"
    ));
}

/// Reads both tables until stopped: in one statement, in READ COMMITTED or REPEATABLE READ transactions, in either
/// order. Gives the number of reads and of versions seen.
fn spawn_reader(target: &Target, kind: usize, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<(usize, usize)> {
    let mut config = tokio_postgres::Config::new();
    config.host_path(target.socket_directory()).port(target.port()).user("postgres").dbname(target.database());
    std::thread::spawn(move || {
        runtime().block_on(async {
            let (client, connection) = config.connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            let of = |table: &str| format!("SELECT min(version) || ' ' || max(version) FROM {table}");
            let [first, second] =
                if kind.is_multiple_of(2) { ["customers", "orders"] } else { ["orders", "customers"] };
            let (mut seen, mut reads) = (std::collections::BTreeSet::new(), 0);
            while !stop.load(Ordering::SeqCst) {
                let (one, two): (String, String) = if kind < 2 {
                    let row =
                        client.query_one(&format!("SELECT ({}), ({})", of(first), of(second)), &[]).await.unwrap();
                    (row.get(0), row.get(1))
                } else {
                    let level = if kind < 4 { "REPEATABLE READ" } else { "READ COMMITTED" };
                    client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}")).await.unwrap();
                    let one = client.query_one(&of(first), &[]).await.unwrap().get(0);
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    let two = client.query_one(&of(second), &[]).await.unwrap().get(0);
                    client.batch_execute("COMMIT").await.unwrap();
                    (one, two)
                };
                for text in [&one, &two] {
                    let (low, high) = text.split_once(' ').unwrap();
                    assert_eq!(low, high, "a table holds two versions");
                }
                // Two statements of a READ COMMITTED transaction may see what is committed between them, as always.
                assert!(one == two || kind >= 4, "{first} has {one}, {second} has {two}");
                seen.insert(one);
                reads += 1;
                // Somebody holds each table at every moment if nobody ever thinks: then nothing can be replaced.
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            (reads, seen.len())
        })
    })
}

#[test]
fn readers_notice_nothing_of_many_cutovers() {
    let cutovers = rng::times(20);
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &few_rows());
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    // Every kind, in either order.
    let readers = (0..10).map(|number| Reader {
        kind: KINDS[number / 2],
        reversed: number % 2 == 1,
        think: Duration::from_millis(2),
        pause: Duration::from_millis(35),
    });
    let reader_pool = ReaderPool::gather(&target, &["customers", "orders"], &readers.collect::<Vec<_>>());
    for version in 2..=cutovers + 1 {
        next_version(&mut fixture, version);
        let mode = if version % 2 == 0 { "diff" } else { "swap" };
        let (ctx, _) = fixture.context();
        let request = PushRequest { mode: requested(mode), jobs: 1, ..fixture.request(&url) };
        assert_eq!(run(&ctx, &request).unwrap().checkpoint.unwrap().mode.to_string(), mode);
    }
    for (number, seen) in reader_pool.disperse().into_iter().enumerate() {
        assert!(seen.reads > 2 * cutovers && seen.versions > cutovers / 5, "reader {number}: {seen:?}");
    }
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_change_whose_commit_was_not_answered_is_looked_up() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &few_rows());
    fixture.push(&remote_url(&target)).0.unwrap();
    target.query(
        "CREATE FUNCTION public.linger() RETURNS trigger LANGUAGE plpgsql AS \
           'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'; \
         CREATE CONSTRAINT TRIGGER linger AFTER UPDATE ON turso2neon.tables DEFERRABLE INITIALLY DEFERRED \
           FOR EACH ROW WHEN (NEW.name = 'orders') EXECUTE FUNCTION public.linger()",
    );
    next_version(&mut fixture, 2);
    let network = FaultProxy::to(target.port());
    let request = fixture.request(&remote_url_at(&target, network.port()));
    let (ctx, recorder) = fixture.context();
    let pushed = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| run(&ctx, &request));
        let deadline = Instant::now() + Duration::from_secs(60);
        let committing = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                          AND state = 'active' AND query = 'COMMIT'";
        while target.value(committing) == "0" {
            assert!(Instant::now() < deadline && !pushing.is_finished(), "the change is never committed");
        }
        network.hold_answers();
        while target.value("SELECT min(version) FROM orders") != "2" {
            assert!(Instant::now() < deadline, "the commit doesn't happen");
        }
        network.cut();
        pushing.join().unwrap().unwrap()
    });
    assert!(recorder.retries() > 0);
    let checkpoint = pushed.checkpoint.unwrap();
    assert_eq!((checkpoint.mode.to_string().as_str(), checkpoint.state), ("diff", LoadState::Done));
    assert_eq!(target.value("SELECT count(*) FROM turso2neon.runs WHERE mode = 'diff'"), "1");
    fixture.assert_equal(&target, "public");
}

/// How many faults are tried: `TURSO2NEON_TEST_FAULTS` asks for more than the usual few.
fn faults() -> usize {
    std::env::var("TURSO2NEON_TEST_FAULTS").ok().map_or(4, |text| text.parse().unwrap())
}

#[test]
fn after_a_fault_at_any_moment_a_repeated_push_ends_in_the_right_state() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &few_rows());
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let reader = spawn_reader(&target, 2, Arc::clone(&stop));
    let runtime = runtime();
    let usual = AtomicUsize::new(300);
    for round in 0..faults() {
        next_version(&mut fixture, round + 2);
        let (ctx, _) = fixture.context();
        let mode = ["diff", "swap", "auto"][round % 3];
        let request = PushRequest { mode: requested(mode), ..fixture.request(&url) };
        let begun = Instant::now();
        let pushing = runtime.spawn({
            let (ctx, request) = (ctx.clone(), request.clone());
            async move { push(&ctx, &request).await }
        });
        // Spread over the time that a push takes, by a number without pattern.
        let delay_ms = (round * 7919 + 13) % 100 * usual.load(Ordering::SeqCst) / 100;
        std::thread::sleep(Duration::from_millis(delay_ms as u64));
        if round % 2 == 0 {
            // The tool dies.
            pushing.abort();
            drop(runtime.block_on(pushing));
        } else {
            // The server ends every session of the tool.
            target.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                 AND application_name LIKE 'turso2neon%'",
            );
            runtime.block_on(pushing).unwrap().unwrap();
            usual.store(usize::try_from(begun.elapsed().as_millis()).unwrap().clamp(100, 2000) / 2, Ordering::SeqCst);
        }
        let (ctx, _) = fixture.context();
        run(&ctx, &PushRequest { mode: requested("auto"), ..request }).unwrap();
        fixture.assert_equal(&target, "public");
        assert_eq!(target.value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '\\_turso2neon%'"), "0");
    }
    stop.store(true, Ordering::SeqCst);
    assert!(reader.join().unwrap().0 > 50);
}
