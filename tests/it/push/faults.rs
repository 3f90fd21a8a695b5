//! Lost connections, lost answers, interruptions, damaged chunks, two pushes at once.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use turso2neon::{
    error::Kind,
    model::checkpoint::LoadState,
    stages::push::{PushRequest, push},
};

use super::fixture::{
    LocalFixture, remote_url, remote_url_at, requested, run, runtime, shop_plan, shop_rows, wide_plan, wide_rows,
};
use crate::support::{FaultProxy, Target};

/// Waits until a query on the target says `t`.
fn wait_until(target: &Target, condition: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while target.value(condition) != "t" {
        assert!(Instant::now() < deadline, "never true: {condition}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

const COPIES: &str =
    "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%' AND state = 'active'";

#[test]
fn sessions_that_the_server_ends_in_the_middle_of_a_chunk_are_replaced() {
    let target = Target::start();
    let fixture = LocalFixture::new(wide_plan(), &wide_rows(200_000, 1));
    let url = remote_url(&target);
    let done = AtomicBool::new(false);
    let (checkpoint, recorder, kills) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| {
            let mut kills = 0;
            while !done.load(Ordering::SeqCst) && kills < 6 {
                kills += target.query(&format!("SELECT pg_terminate_backend(pid) {COPIES} LIMIT 1")).len();
                std::thread::sleep(Duration::from_millis(40));
            }
            kills
        });
        let (pushed, recorder) = fixture.push_in("swap", &url);
        done.store(true, Ordering::SeqCst);
        (pushed.unwrap().checkpoint.unwrap(), recorder, killer.join().unwrap())
    });
    assert!(kills > 0, "nothing was ended");
    assert!(recorder.retries() > 0);
    assert!(recorder.texts().iter().any(|text| text.contains("connection was lost")), "{:?}", recorder.texts());
    assert!(checkpoint.tables["WIDE"].chunks > 2);
    assert_eq!(recorder.committed()["WIDE"].0, 200_000);
    assert!(checkpoint.sent_bytes >= recorder.committed()["WIDE"].1);
    assert_eq!(target.value("SELECT count(*) || ' ' || count(DISTINCT id) FROM wide"), "200000 200000");
    fixture.assert_equal(&target, "public");
}

#[test]
fn an_interrupted_push_continues_from_its_committed_chunks() {
    let target = Target::start();
    let fixture = LocalFixture::new(wide_plan(), &wide_rows(200_000, 1));
    let mut request = fixture.request(&remote_url(&target));
    request.jobs = 1;
    let (ctx, recorder) = fixture.context();
    let runtime = runtime();
    // As kill -9 would: the push is dropped in the middle of the second chunk.
    let pushing = runtime.spawn({
        let (ctx, request) = (ctx.clone(), request.clone());
        async move { push(&ctx, &request).await }
    });
    while recorder.committed().is_empty() {
        std::thread::sleep(Duration::from_millis(2));
    }
    pushing.abort();
    assert!(runtime.block_on(pushing).is_err());
    let first = recorder.committed()["WIDE"];
    assert!(first.0 > 0 && first.0 < 200_000);
    assert_eq!(fixture.workdir().load_push().unwrap().state, LoadState::Loading);
    assert_eq!(target.value("SELECT to_regclass('public.wide') IS NULL"), "t");

    // As Ctrl-C would: stopped after the chunk that is under way.
    let (ctx, recorder) = fixture.context();
    ctx.stop.request();
    assert_eq!(run(&ctx, &request).err().unwrap().kind(), Kind::Interrupted);
    assert!(recorder.committed().get("WIDE").is_none_or(|sum| sum.0 < 200_000));

    let (ctx, recorder) = fixture.context();
    let checkpoint = run(&ctx, &request).unwrap().checkpoint.unwrap();
    assert!(recorder.texts().iter().any(|text| text.contains("continuing after")), "{:?}", recorder.texts());
    assert_eq!(recorder.committed()["WIDE"].0, 200_000);
    assert!(checkpoint.sent_bytes >= recorder.committed()["WIDE"].1);
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '\\_turso2neon%'"), "0");
}

#[test]
fn chunks_of_another_content_or_layout_are_thrown_away() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(wide_plan(), &wide_rows(140_000, 1));
    let mut request = fixture.request(&remote_url(&target));
    request.jobs = 1;
    let runtime = runtime();
    let interrupt = |fixture: &LocalFixture| {
        let (ctx, recorder) = fixture.context();
        let request = request.clone();
        let pushing = runtime.spawn(async move { push(&ctx, &request).await });
        while recorder.committed().is_empty() {
            std::thread::sleep(Duration::from_millis(2));
        }
        pushing.abort();
        assert!(runtime.block_on(pushing).is_err());
    };
    interrupt(&fixture);
    // The same rows in another order: the same run key, but other chunks.
    fixture.refill(&wide_rows(140_000, 1).replace(") i", ") AS g(i) ORDER BY i DESC"));
    interrupt(&fixture);
    fixture.refill(&wide_rows(130_000, 2));
    let (ctx, recorder) = fixture.context();
    run(&ctx, &request).unwrap();
    assert!(!recorder.texts().iter().any(|text| text.contains("continuing after")));
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '\\_turso2neon%'"), "0");
    assert_eq!(target.value("SELECT count(*) FROM turso2neon.runs"), "1");
}

/// Makes commits that touch this table of the record slow, so that a test can cut the connection in between.
fn slow_commits(target: &Target, table: &str) {
    target.query(&format!(
        "CREATE FUNCTION public.linger() RETURNS trigger LANGUAGE plpgsql AS \
           'BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END'; \
         CREATE CONSTRAINT TRIGGER linger AFTER UPDATE ON turso2neon.{table} DEFERRABLE INITIALLY DEFERRED \
           FOR EACH ROW EXECUTE FUNCTION public.linger()"
    ));
}

#[test]
fn a_chunk_whose_commit_was_not_answered_is_looked_up_and_not_sent_twice() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    slow_commits(&target, "chunks");
    fixture.refill(&shop_rows(2));
    let network = FaultProxy::to(target.port());
    let mut request = fixture.request(&remote_url_at(&target, network.port()));
    (request.jobs, request.mode) = (1, requested("swap"));
    let (ctx, recorder) = fixture.context();
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| run(&ctx, &request));
        let committing = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() \
                          AND state = 'active' AND query LIKE 'UPDATE turso2neon.chunks%'";
        wait_until(&target, committing);
        network.hold_answers();
        wait_until(&target, "SELECT count(*) = 1 FROM turso2neon.chunks");
        std::thread::sleep(Duration::from_millis(100));
        network.cut();
        pushing.join().unwrap().unwrap();
    });
    assert!(recorder.retries() > 0);
    assert_eq!(recorder.committed()["ORDERS"].0, 20_000);
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_cutover_whose_commit_was_not_answered_is_looked_up() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    slow_commits(&target, "runs");
    fixture.refill(&shop_rows(2));
    let network = FaultProxy::to(target.port());
    let mut request = fixture.request(&remote_url_at(&target, network.port()));
    request.mode = requested("swap");
    let (ctx, recorder) = fixture.context();
    let pushed = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| run(&ctx, &request));
        let committing = "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() \
                          AND state = 'active' AND query LIKE 'BEGIN; SET LOCAL synchronous_commit = on%'";
        wait_until(&target, committing);
        network.hold_answers();
        wait_until(&target, "SELECT min(version) = 2 FROM public.orders");
        network.cut();
        pushing.join().unwrap().unwrap()
    });
    assert!(recorder.retries() > 0);
    assert!(!pushed.unchanged);
    let checkpoint = pushed.checkpoint.unwrap();
    assert_eq!((checkpoint.mode.to_string().as_str(), checkpoint.state), ("swap", LoadState::Done));
    assert_eq!(checkpoint.replaced.len(), 4);
    assert_eq!(target.value("SELECT count(*) FROM turso2neon.runs WHERE state = 'done'"), "2");
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_server_that_restarts_is_waited_for() {
    let target = Target::start();
    let fixture = LocalFixture::new(wide_plan(), &wide_rows(140_000, 1));
    let url = remote_url(&target);
    let recorder = std::thread::scope(|scope| {
        let pushing = scope.spawn(|| fixture.push_in("swap", &url));
        wait_until(&target, &format!("SELECT count(*) > 0 {COPIES}"));
        // Everything at once, the deciding session too, as a restarted compute would.
        assert!(target.cut_connections() > 1);
        let (pushed, recorder) = pushing.join().unwrap();
        pushed.unwrap();
        recorder
    });
    assert!(recorder.retries() > 1);
    assert_eq!(recorder.committed()["WIDE"].0, 140_000);
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_row_that_changes_on_the_way_is_found_before_the_cutover() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    fixture.refill(&shop_rows(2));
    // One bit of one row changes on the target as it arrives.
    target.query(
        "CREATE FUNCTION public.damage() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN \
           IF lower(NEW.table_name) = 'orders' THEN \
             EXECUTE (SELECT format('UPDATE %I.orders SET amount = amount + 0.01 WHERE id = 9', nspname) \
               FROM pg_namespace WHERE nspname LIKE '\\_turso2neon\\_stage%'); \
           END IF; RETURN NULL; END$$; \
         CREATE TRIGGER damage AFTER UPDATE ON turso2neon.chunks FOR EACH ROW EXECUTE FUNCTION public.damage()",
    );
    let error = fixture.push_in("swap", &remote_url(&target)).0.err().unwrap();
    assert_eq!(error.kind(), Kind::TargetRejected, "{error}");
    assert!(error.message().contains("differs from the local PostgreSQL in: ORDERS"), "{error}");
    assert_eq!(target.value("SELECT max(version) FROM public.orders"), "1");
    target.query("DROP TRIGGER damage ON turso2neon.chunks");
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_local_table_that_changed_since_convert_is_not_cut_over() {
    let target = Target::start();
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.server.query("UPDATE shop.orders SET amount = 0 WHERE id = 5");
    let error = fixture.push_in("swap", &remote_url(&target)).0.err().unwrap();
    assert_eq!((error.kind(), error.kind().exit()), (Kind::ArtifactStale, 4), "{error}");
    assert_eq!(target.value("SELECT to_regclass('public.orders') IS NULL"), "t");
}

#[test]
fn a_full_target_is_said_at_once() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push_in("swap", &remote_url(&target)).0.unwrap();
    target.query(
        "CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS \
           'BEGIN RAISE EXCEPTION ''could not extend file'' USING ERRCODE = ''53100''; END'; \
         CREATE TRIGGER full_disk BEFORE UPDATE ON turso2neon.chunks FOR EACH ROW EXECUTE FUNCTION public.full_disk()",
    );
    fixture.refill(&shop_rows(2));
    let (pushed, recorder) = fixture.push_in("swap", &remote_url(&target));
    let error = pushed.err().unwrap();
    assert_eq!((error.kind(), error.kind().exit()), (Kind::TargetFull, 7), "{error}");
    assert_eq!(recorder.retries(), 0);
    assert_eq!(target.value("SELECT max(version) FROM public.orders"), "1");
}

#[test]
fn an_interrupted_replacement_goes_on_table_after_table() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    let tables = || {
        target.value(
            "SELECT string_agg(relname || ' ' || oid, ', ' ORDER BY relname) FROM pg_class \
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
        )
    };
    let before = tables();
    fixture.refill(&shop_rows(2));
    let runtime = runtime();
    let (ctx, recorder) = fixture.context();
    let request = PushRequest { mode: requested("replace"), ..fixture.request(&url) };
    let pushing = runtime.spawn(async move { push(&ctx, &request).await });
    // As kill -9 would, when the first table has its new rows.
    while !recorder.texts().iter().any(|text| text.contains("rows replaced")) {
        std::thread::sleep(Duration::from_millis(1));
    }
    pushing.abort();
    assert!(runtime.block_on(pushing).is_err());
    let keys = "SELECT count(*) FROM pg_constraint WHERE conname = 'orders_customer_fkey'";
    assert_eq!(target.value(keys), "0");
    fixture.push_in("replace", &url).0.unwrap();
    assert_eq!(tables(), before, "tables that are in use were dropped");
    assert_eq!(target.value(keys), "1");
    fixture.assert_equal(&target, "public");
}

#[test]
fn tables_that_a_change_could_not_drop_go_with_the_next_push() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    fixture.refill(&shop_rows(2));
    fixture.push_in("swap", &url).0.unwrap();
    fixture.change("UPDATE orders SET amount = 0 WHERE id = 5");
    let kept = "SELECT count(*) FROM pg_tables WHERE schemaname = 'turso2neon_previous'";
    assert_ne!(target.value(kept), "0");
    std::thread::scope(|scope| {
        // Somebody reads a table that the push before has replaced.
        let reader = scope.spawn(|| {
            target.try_query("BEGIN; LOCK TABLE turso2neon_previous.orders IN ACCESS SHARE MODE; SELECT pg_sleep(60)")
        });
        wait_until(
            &target,
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
        );
        let (_, recorder) = fixture.push_in("diff", &url);
        assert!(recorder.texts().iter().any(|text| text.contains("still there")), "{:?}", recorder.texts());
        target.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND wait_event = 'PgSleep'",
        );
        reader.join().unwrap().unwrap_err();
    });
    assert_ne!(target.value(kept), "0");
    assert!(fixture.push_in("diff", &url).0.unwrap().unchanged);
    assert_eq!(target.value(kept), "0");
}

#[test]
fn a_killed_tool_leaves_no_long_statement_behind() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    // The change of the rows takes longer than the next push waits for the lock.
    target.query(
        "CREATE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(30); RETURN NULL; END'; \
         CREATE TRIGGER dawdle AFTER UPDATE ON turso2neon.tables EXECUTE FUNCTION public.dawdle()",
    );
    fixture.change("UPDATE orders SET amount = 0 WHERE id = 5");
    let runtime = runtime();
    let (ctx, _) = fixture.context();
    let request = fixture.request(&url);
    let pushing = runtime.spawn(async move { push(&ctx, &request).await });
    wait_until(
        &target,
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
    );
    pushing.abort();
    assert!(runtime.block_on(pushing).is_err());
    target.query(
        "CREATE OR REPLACE FUNCTION public.dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    );
    fixture.push(&url).0.unwrap();
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_second_push_is_kept_out_while_one_is_at_work() {
    let target = Target::start();
    let fixture = LocalFixture::new(wide_plan(), &wide_rows(140_000, 1));
    let other = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target);
    std::thread::scope(|scope| {
        let pushing = scope.spawn(|| fixture.push_in("swap", &url));
        wait_until(&target, &format!("SELECT count(*) > 0 {COPIES}"));
        // Nothing is committed meanwhile, so that it is at work for longer than the other one waits.
        scope.spawn(|| {
            target.query("LOCK TABLE turso2neon.chunks IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(6)");
        });
        wait_until(
            &target,
            "SELECT count(*) > 0 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'turso2neon.chunks'::regclass",
        );
        let error = other.push(&url).0.err().unwrap();
        assert_eq!((error.kind(), error.kind().exit()), (Kind::Locked, 8), "{error}");
        pushing.join().unwrap().0.unwrap();
    });
    fixture.assert_equal(&target, "public");
}

#[test]
fn sessions_behind_a_killed_tool_are_ended() {
    let target = Target::start();
    let fixture = LocalFixture::new(wide_plan(), &wide_rows(140_000, 1));
    let network = FaultProxy::to(target.port());
    let request = fixture.request(&remote_url_at(&target, network.port()));
    let (ctx, _) = fixture.context();
    let runtime = runtime();
    let pushing = runtime.spawn({
        let request = request.clone();
        async move { push(&ctx, &request).await }
    });
    wait_until(&target, &format!("SELECT count(*) > 0 {COPIES}"));
    // The network goes silent: the server doesn't learn that the tool is gone, except for the session with the lock.
    network.hold_answers();
    pushing.abort();
    assert!(runtime.block_on(pushing).is_err());
    target.query(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    let (pushed, _) = fixture.push_in("swap", &remote_url(&target));
    pushed.unwrap();
    fixture.assert_equal(&target, "public");
    drop(network);
}

#[test]
fn a_local_server_that_was_lost_during_a_replacement_in_place_is_connected_again() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    fixture.refill(&shop_rows(2));
    let resting = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    let recorder = std::thread::scope(|scope| {
        // While somebody reads, the tool has asked the local server for the digests and can't touch the tables.
        let reader =
            scope.spawn(|| target.try_query("BEGIN; LOCK TABLE orders IN ACCESS SHARE MODE; SELECT pg_sleep(120)"));
        wait_until(&target, &format!("SELECT count(*) > 0 {resting}"));
        let pushing = scope.spawn(|| fixture.push_in("replace", &url));
        wait_until(
            &target,
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%LOCK TABLE%' \
             AND application_name LIKE 'turso2neon%'",
        );
        assert!(fixture.server.cut_connections() > 0);
        target.query(&format!("SELECT pg_terminate_backend(pid) {resting}"));
        reader.join().unwrap().unwrap_err();
        let (pushed, recorder) = pushing.join().unwrap();
        pushed.unwrap();
        recorder
    });
    assert!((1..10).contains(&recorder.retries()), "{:?}", recorder.texts());
    fixture.assert_equal(&target, "public");
}
