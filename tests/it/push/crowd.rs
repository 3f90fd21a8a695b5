//! Cutovers of tables that somebody reads at every moment: they succeed, nobody is failed, and who is in the way of one
//! that can't is named.

use std::time::{Duration, Instant};

use turso2neon::{error::Kind as ErrorKind, model::{PgType, Plan}, stages::push::PushRequest};

use super::{
    depot::{Depot, column, plan, remote_url, run, table},
    readers::{Crowd, KINDS, Kind, Reader},
};
use crate::support::Target;

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
    let mut depot = Depot::new(versioned(tables), &set_version(tables, 1));
    let url = remote_url(target);
    depot.push(&url).0.unwrap();
    let names: Vec<String> = (0..tables).map(|number| format!("t{number:02}")).collect();
    let crowd = Crowd::gather(target, &names.iter().map(String::as_str).collect::<Vec<_>>(), readers);
    let mut times = Vec::new();
    for version in 2..2 + cutovers {
        depot.change(&set_version(tables, version));
        let checkpoint = depot.push_in("swap", &url).0.unwrap().checkpoint.unwrap();
        times.push(checkpoint.phases_ms["cutover"]);
    }
    let seen = crowd.disperse();
    for one in &seen {
        assert!(one.reads > 0 && one.versions > 1, "{one:?}");
    }
    depot.assert_equal(target, "public");
    times.sort_unstable();
    (times, seen.iter().map(|one| one.longest).max().unwrap())
}

/// The campaign: how long cutovers and readers take. `TURSO2NEON_TEST_CUTOVERS` asks for it and says how many each.
#[test]
fn cutovers_are_measured_under_every_kind_of_crowd() {
    let Some(cutovers) = std::env::var("TURSO2NEON_TEST_CUTOVERS").ok().map(|text| text.parse().unwrap()) else { return };
    let target = Target::start_alone("max_connections = 200");
    let none = Duration::ZERO;
    let tight = |count: usize, think: u64| -> Vec<Reader> {
        let one = |number: usize| Reader {
            kind: KINDS[number / 2 % 5],
            reversed: number % 2 == 1,
            think: Duration::from_millis(think),
            pause: none,
        };
        (0..count).map(one).collect()
    };
    let transactions = |count: usize, think: u64| -> Vec<Reader> {
        let one = |number: usize| Reader {
            kind: [Kind::RepeatableRead, Kind::ReadCommitted][number / 2 % 2],
            reversed: number % 2 == 1,
            think: Duration::from_millis(think),
            pause: none,
        };
        (0..count).map(one).collect()
    };
    let filter = std::env::var("CROWD").unwrap_or_default();
    for (what, tables, readers) in [
        ("4 in tight loops", 3, tight(4, 0)),
        ("8 in tight loops", 3, tight(8, 0)),
        ("10 in tight loops", 30, tight(10, 0)),
        ("4 transactions of 50 ms", 3, transactions(4, 17)),
        ("4 transactions of 50 ms", 30, transactions(4, 2)),
        ("4 transactions of 1.5 s", 3, transactions(4, 500)),
        ("4 transactions of 1.5 s", 30, transactions(4, 50)),
    ] {
        if !format!("{what} {tables}").contains(&filter) {
            continue;
        }
        let begun = Instant::now();
        let (times, longest) = swap_under(&target, tables, &readers, cutovers);
        std::io::Write::write_all(
            &mut std::fs::OpenOptions::new().create(true).append(true).open("/tmp/cutover/measured.txt").unwrap(),
            format!(
                "{what}, {tables} tables: {cutovers} swaps, median {} ms, max {} ms, longest read {} ms, all in {} s {times:?}\n",
                times[times.len() / 2],
                times.last().unwrap(),
                longest.as_millis(),
                begun.elapsed().as_secs()
            )
            .as_bytes(),
        )
        .unwrap();
    }
}
