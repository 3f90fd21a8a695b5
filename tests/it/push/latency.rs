//! Pushes over a long and narrow network: how often the tool waits for an answer, and how much of the line it uses.
//!
//! `TURSO2NEON_TEST_LINK=1` adds one large table at 40 ms and 200 Mbit/s; with a release build
//! `scripts/bench.d/link.sh` measures the same with the tool as it is installed.

use std::time::{Duration, Instant};

use turso2neon::{
    model::{PgType, Plan},
    postgres::{PgEndpoint, Role, Session},
    secret::Secret,
};

use super::fixture::{LocalFixture, column, plan, remote_url_at, runtime, table, wide_plan, wide_rows};
use crate::support::{FaultProxy, Target, network::Network};

/// Far, and wide enough.
const FAR: Network = Network { round_trip: Duration::from_millis(5), bits_per_s: 0 };

/// So many small tables, each with a key, an index and a foreign key to the one before it.
fn many_tables(number: usize) -> (Plan, String) {
    let mut fill = String::new();
    let one = |number: usize| {
        let name = format!("t{number:03}");
        let mut table = table(
            &name,
            vec![column("id", PgType::BigInt), column("before", PgType::BigInt), column("name", PgType::Text)],
        );
        table.indexes = vec![turso2neon::model::conversion_plan::IndexPlan {
            name: format!("{name}_name"),
            source: format!("{name}_name"),
            unique: false,
            method: "btree".to_owned(),
            keys: vec!["\"name\"".to_owned()],
            predicate: None,
        }];
        if number > 0 {
            table.foreign_keys = vec![turso2neon::model::conversion_plan::ForeignKeyPlan {
                name: format!("{name}_before"),
                columns: vec!["before".to_owned()],
                parent: format!("t{:03}", number - 1),
                parent_columns: vec!["id".to_owned()],
                on_update: String::new(),
                on_delete: String::new(),
                deferred: false,
                not_valid: false,
            }];
        }
        table
    };
    let tables: Vec<_> = (0..number).map(one).collect();
    for table in &tables {
        fill.push_str(&format!("INSERT INTO {} SELECT i, i, 'n' || i FROM generate_series(1, 20) i; ", table.name));
    }
    (plan(tables), fill)
}

#[test]
fn many_small_tables_need_few_round_trips() {
    const TABLES: usize = 100;
    let target = Target::start();
    let (plan, fill) = many_tables(TABLES);
    let mut fixture = LocalFixture::new(plan, &fill);
    // Each push over a proxy of its own, so that each is counted alone.
    let count = |fixture: &LocalFixture, what: &str| {
        let proxy = FaultProxy::with_network(target.port(), FAR);
        let begun = Instant::now();
        fixture.push(&remote_url_at(&target, proxy.port())).0.unwrap();
        let elapsed = begun.elapsed();
        let (trips, connections) = (proxy.round_trips(), proxy.connections());
        println!("{what}: {trips} round trips on {connections} connections, {elapsed:?}");
        trips
    };
    let created = count(&fixture, "create");
    fixture.assert_equal(&target, "public");
    let unchanged = count(&fixture, "unchanged");
    fixture.change("UPDATE t042 SET name = 'changed' WHERE id = 7");
    let changed = count(&fixture, "diff");
    fixture.assert_equal(&target, "public");
    assert!(created < 8 * TABLES as u64, "{created} round trips for a new schema");
    assert!(unchanged < 2 * TABLES as u64, "{unchanged} round trips where nothing changed");
    assert!(changed < 2 * TABLES as u64, "{changed} round trips for one row");
}

#[test]
fn a_session_needs_as_many_round_trips_as_the_protocol() {
    let target = Target::start();
    let trips = || {
        let proxy = FaultProxy::with_network(target.port(), FAR);
        let url = Secret::new(remote_url_at(&target, proxy.port()));
        let endpoint = PgEndpoint::parse(&url, Role::Target).unwrap().endpoint;
        let runtime = runtime();
        let session = runtime.block_on(Session::connect(&endpoint)).unwrap();
        // The end of a session is announced, too, but nobody waits for it.
        let trips = proxy.round_trips();
        drop(session);
        trips
    };
    // TCP, the question for TLS, TLS, the startup packet, SCRAM's two steps, settings and identity; and the tickets
    // that TLS sends by itself. An answer that arrives in pieces on a busy machine counts twice, so the least counts.
    let least = (0..3).map(|_| trips()).min().unwrap();
    assert!(least <= 8, "{least}");
}

#[test]
fn a_large_table_uses_the_line() {
    let real = std::env::var("TURSO2NEON_TEST_LINK").is_ok_and(|value| value == "1");
    // By default a narrow line and a small table, to see that nothing waits where it could send.
    let (rows, megabits) = if real { (300_000, 200) } else { (8_000, 30) };
    let target = Target::start();
    let fixture = LocalFixture::new(wide_plan(), &wide_rows(rows, 1));
    let network = Network { round_trip: Duration::from_millis(40), bits_per_s: megabits * 1_000_000 };
    let proxy = FaultProxy::with_network(target.port(), network);
    let (pushed, _) = fixture.push(&remote_url_at(&target, proxy.port()));
    let checkpoint = pushed.unwrap().checkpoint.unwrap();
    let (sent, load_ms) = (checkpoint.sent_bytes, checkpoint.phases_ms["load"]);
    let line_ms = sent * 8 / (megabits * 1000);
    println!("{sent} bytes: {load_ms} ms, the line alone {line_ms} ms, phases {:?}", checkpoint.phases_ms);
    // Connecting, beginning and committing take a dozen round trips whatever the size; the rest is the line's. Without
    // the variable others may use the machine meanwhile.
    let most_ms = if real { line_ms * 100 / 85 } else { line_ms * 2 + 1500 };
    assert!(load_ms <= most_ms, "{load_ms} ms for {sent} bytes, which the line carries in {line_ms} ms");
    fixture.assert_equal(&target, "public");
}
