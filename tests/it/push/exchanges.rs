//! Values that change places between rows: pushed, found by `verify`, and put back by `rollback`.
//!
//! Each exchange is looked at alone, because several together may be noticed by luck.

use turso2neon::{
    error::Kind,
    model::{PgType, Plan, conversion_plan::ForeignKeyPlan},
    secret::Secret,
    stages::push::{
        LOCK_WAIT,
        rollback::{RollbackRequest, rollback},
    },
};

use super::fixture::{LocalFixture, column, plan, remote_url, runtime, table};
use crate::support::{Environment, PgVersion, Target, rng};

/// Rows of the table `people`: several buckets of rows.
const PEOPLE: u32 = 6000;

/// A parent with columns of one type beside each other, a child, and a table without a key.
fn tables() -> Plan {
    let people = table(
        "people",
        vec![
            column("id", PgType::BigInt),
            column("mail", PgType::Text),
            column("nick", PgType::Text),
            column("born", PgType::BigInt),
            column("score", PgType::Double),
            column("best", PgType::Double),
        ],
    );
    let mut visits = table(
        "visits",
        vec![column("id", PgType::BigInt), column("person", PgType::BigInt), column("mail", PgType::Text)],
    );
    visits.foreign_keys = vec![ForeignKeyPlan {
        name: "visits_person_fkey".to_owned(),
        columns: vec!["person".to_owned()],
        parent: "people".to_owned(),
        parent_columns: vec!["id".to_owned()],
        on_update: String::new(),
        on_delete: String::new(),
        deferred: false,
        not_valid: false,
    }];
    let mut log = table("log", vec![column("line", PgType::Text), column("born", PgType::BigInt)]);
    log.primary_key = None;
    plan(vec![people, visits, log])
}

fn rows() -> String {
    format!(
        "INSERT INTO people SELECT i, 'm' || i, CASE WHEN i % 3 > 0 THEN 'n' || i END, 4294967296 * i, i / 8.0, \
           CASE WHEN i % 2 = 0 THEN 0 ELSE i END FROM generate_series(1, {PEOPLE}) i; \
         INSERT INTO visits SELECT i, i, 'v' || i FROM generate_series(1, 500) i; \
         INSERT INTO log SELECT 'l' || i, i FROM generate_series(1, 500) i"
    )
}

/// `values` of some rows go to others: pairs of the row that gets a value and the expression for the row it comes from.
fn moved(table: &str, key: &str, column: &str, places: &[(u32, u32)]) -> String {
    let pairs: Vec<String> = places.iter().map(|(to, from)| format!("({to}, {from})")).collect();
    format!(
        "UPDATE {table} t SET {column} = o.{column} FROM (VALUES {}) AS p(gets, gives) \
         JOIN {table} o ON o.{key} = p.gives WHERE t.{key} = p.gets",
        pairs.join(", ")
    )
}

/// One exchange of every kind, in the places that `number` chooses.
fn exchanges(number: u32) -> Vec<(&'static str, String)> {
    let (one, other, third) = (7 + number * 31, 8 + number * 53, 90 + number * 17);
    let (low, high) = (1 + number, PEOPLE - number * 3);
    let within = |column: &str| moved("people", "id", column, &[(one, other), (other, one)]);
    let both = |one: &str, other: &str, id: u32| {
        format!("UPDATE people SET {one} = {other}, {other} = {one} WHERE id = {id} AND {one} IS DISTINCT FROM {other}")
    };
    vec![
        ("within a text column", within("mail")),
        ("within a whole-number column", within("born")),
        ("within a fraction column", within("score")),
        ("in two columns", format!("{}; {}", within("mail"), within("nick"))),
        (
            "of a value with NULL",
            moved("people", "id", "nick", &[(3 * number + 3, one / 3 * 3 + 1), (one / 3 * 3 + 1, 3 * number + 3)]),
        ),
        ("between two texts of a row", both("mail", "nick", one)),
        ("of a fraction with zero in one row", both("score", "best", 2 * one)),
        ("between ranges of rows", moved("people", "id", "mail", &[(low, high), (high, low)])),
        ("rotation of three rows", moved("people", "id", "mail", &[(one, other), (other, third), (third, one)])),
        (
            "between parent and child",
            format!(
                "UPDATE people SET mail = 'v{0}' WHERE id = {0}; UPDATE visits SET mail = 'm{0}' WHERE id = {0}",
                number + 20
            ),
        ),
        (
            "without a key",
            moved("log", "line", "born", &[]).replace(
                "(VALUES ) AS p(gets, gives)",
                &format!("(VALUES ('l{0}', 'l{1}'), ('l{1}', 'l{0}')) AS p(gets, gives)", one % 400 + 1, one % 400 + 2),
            ),
        ),
    ]
}

/// The rows of all tables as text, in their order: nothing of the tool.
fn content(server: &Target, schema: &str) -> Vec<Vec<Option<String>>> {
    let of = |table: &str| format!("SELECT '{table} ' || t::text FROM {schema}.{table} t");
    server.query(&format!("{} UNION ALL {} UNION ALL {} ORDER BY 1", of("people"), of("visits"), of("log")))
}

/// In how many places each kind of exchange is tried.
fn places() -> u32 {
    u32::try_from(rng::times(1)).unwrap()
}

fn every_exchange_arrives_and_goes_back(which: PgVersion) {
    let target = Target::start_on(which);
    let mut fixture = LocalFixture::new(tables(), &rows());
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    for number in 0..places() {
        for (kind, sql) in exchanges(number) {
            let before = content(&target, "public");
            fixture.change(&sql);
            assert_ne!(content(&fixture.server, "shop"), before, "{kind} {number} changes nothing");
            let pushed = fixture.push(&url).0.unwrap();
            assert!(!pushed.unchanged, "{kind} {number} on {which:?}: the push found nothing to do");
            assert_eq!(pushed.checkpoint.unwrap().mode.to_string(), "diff", "{kind} {number}");
            assert!(content(&target, "public") == content(&fixture.server, "shop"), "{kind} {number} on {which:?}");
            let request = RollbackRequest {
                target: Secret::new(url.clone()),
                schema: "public".to_owned(),
                list: false,
                lock_wait: LOCK_WAIT,
            };
            runtime().block_on(rollback(&fixture.context().0, &request)).unwrap();
            assert!(content(&target, "public") == before, "{kind} {number} on {which:?}: not put back");
            assert!(!fixture.push(&url).0.unwrap().unchanged, "{kind} {number} on {which:?}: after the rollback");
            assert!(content(&target, "public") == content(&fixture.server, "shop"), "{kind} {number} on {which:?}");
        }
    }
}

#[test]
fn values_that_change_places_arrive_on_postgresql_14() {
    every_exchange_arrives_and_goes_back(PgVersion::Major(14));
}

#[test]
fn values_that_change_places_arrive_on_postgresql_18() {
    every_exchange_arrives_and_goes_back(PgVersion::Major(18));
}

#[test]
fn a_push_over_somebody_elses_exchange_puts_the_rows_right() {
    let target = Target::start();
    let fixture = LocalFixture::new(tables(), &rows());
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    let before = content(&target, "public");
    for number in 0..places() {
        for (kind, sql) in exchanges(number) {
            target.query(&sql);
            if number == 0 {
                let refused = fixture.push(&url).0.unwrap_err();
                assert_eq!(refused.kind(), Kind::TargetDrifted, "{kind}: {refused}");
            }
            assert!(!fixture.push_over("auto", &url).0.unwrap().unchanged, "{kind} {number}");
            assert!(content(&target, "public") == before, "{kind} {number}");
        }
    }
}

/// Whose mails change places, as the issue of a user had it: a whole tool, a source of its own.
#[test]
fn a_run_after_an_exchange_in_the_source_brings_it() {
    let environment = Environment::from(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, mail TEXT UNIQUE); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) \
         INSERT INTO people SELECT i, 'name' || i, 'mail' || i FROM n",
    );
    environment.call(&["run"]);
    for pair in 1..=2 {
        let (one, other) = (pair * 100, pair * 100 + pair);
        environment.source.execute(&format!(
            "UPDATE people SET mail = 'x' WHERE id = {one}; UPDATE people SET mail = 'mail{one}' WHERE id = {other}; \
             UPDATE people SET mail = 'mail{other}' WHERE id = {one}"
        ));
        environment.call(&["run"]);
        let mails = format!("SELECT string_agg(mail, ' ' ORDER BY id) FROM people WHERE id IN ({one}, {other})");
        assert_eq!(environment.target.value(&mails), format!("mail{other} mail{one}"));
    }
}

fn verify_finds_every_exchange(which: PgVersion) {
    let target = Target::start_on(which);
    let environment = Environment::new();
    environment.source.execute(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, mail TEXT, nick TEXT, born INTEGER, score REAL, best REAL); \
         CREATE TABLE visits (id INTEGER PRIMARY KEY, person INTEGER REFERENCES people(id), mail TEXT); \
         CREATE TABLE log (line TEXT, born INTEGER); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 6000) \
         INSERT INTO people SELECT i, 'm' || i, CASE WHEN i % 3 > 0 THEN 'n' || i END, 4294967296 * i, i / 8.0, \
           CASE WHEN i % 2 = 0 THEN 0.0 ELSE i + 0.0 END FROM n; \
         INSERT INTO visits SELECT id, id, 'v' || id FROM people WHERE id <= 500; \
         INSERT INTO log SELECT 'l' || id, id FROM people WHERE id <= 500",
    );
    let call = |command: &str| environment.tool(command).env("NEON_DATABASE_URL", target.url());
    call("run").run().expect_exit(0);
    for (kind, sql) in (0..places()).flat_map(exchanges) {
        target.query(&format!(
            "CREATE SCHEMA kept; {}",
            ["people", "visits", "log"].map(|table| format!("CREATE TABLE kept.{table} AS TABLE {table}")).join("; ")
        ));
        target.query(&sql);
        let verify = call("verify").args(["--level", "digest", "--against", "target"]).run();
        assert_eq!(verify.code(), Some(1), "{kind} on {which:?}: {}{}", verify.stdout, verify.stderr);
        target.query(
            "TRUNCATE visits, people, log; INSERT INTO people TABLE kept.people; \
             INSERT INTO visits TABLE kept.visits; INSERT INTO log TABLE kept.log; DROP SCHEMA kept CASCADE",
        );
    }
    call("verify").args(["--level", "digest", "--against", "target"]).run().expect_exit(0);
}

#[test]
fn verify_by_digest_finds_exchanges_on_postgresql_14() {
    verify_finds_every_exchange(PgVersion::Major(14));
}

#[test]
fn verify_by_digest_finds_exchanges_on_postgresql_18() {
    verify_finds_every_exchange(PgVersion::Major(18));
}
