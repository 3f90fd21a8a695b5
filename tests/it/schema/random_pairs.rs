//! Random pairs of schemas: after the statements of a synchronisation have run, the second is like the first. What
//! PostgreSQL's own `pg_dump` writes agrees.
//!
//! `TURSO2NEON_TEST_SECONDS` says how long, `TURSO2NEON_TEST_SEED` repeats one round.

use std::{collections::BTreeSet, process::Command};

use turso2neon::{
    model::catalog::Catalog,
    postgres::{PgEndpoint, Role, Session, catalog, existing_schema::create_objects},
    rules::schema_sync::{self, Allowed, Difference, Timing},
    secret::Secret,
};

use super::random_schemas;
use crate::support::{PgVersion, Rng, Target, process::block_on, process::must_run, rng};

/// How long each version is tried, by default.
const SECONDS: u64 = 3;

/// Databases of one server.
struct Databases {
    first: Target,
    second: Target,
    copies: [Target; 2],
    major: u32,
}

impl Databases {
    fn on(version: PgVersion, major: u32) -> Self {
        let first = Target::start_on(version);
        let (second, copies) = (first.beside(), [first.beside(), first.beside()]);
        Self { first, second, copies, major }
    }

    fn reset(&self) {
        for target in [&self.first, &self.second, &self.copies[0], &self.copies[1]] {
            target.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        }
    }
}

async fn session(target: &Target) -> Session {
    let endpoint = PgEndpoint::parse(&Secret::new(target.admin_url()), Role::Target).unwrap().endpoint;
    Session::connect(&endpoint).await.unwrap()
}

async fn read(target: &Target) -> Catalog {
    catalog::read(&session(target).await, Some("public")).await.unwrap()
}

/// As the server prints it when it is created once more: printed expressions are not always printed again as they are.
async fn normal(catalog: &Catalog, copy: &Target) -> Catalog {
    copy.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
    create_objects(&session(copy).await, catalog, false).await.unwrap();
    read(copy).await
}

async fn differences(databases: &Databases) -> Vec<Difference> {
    let (first, second) = (read(&databases.first).await, read(&databases.second).await);
    let direct = schema_sync::differences(&first, &second, false);
    if direct.is_empty() {
        return direct;
    }
    let first = normal(&first, &databases.copies[0]).await;
    let second = normal(&second, &databases.copies[1]).await;
    schema_sync::differences(&first, &second, false)
}

/// Makes the second database like the first. The error names the statement.
async fn synchronise(databases: &Databases) -> Result<(), String> {
    let (first, second) = (read(&databases.first).await, read(&databases.second).await);
    let sync = schema_sync::statements(&first, &second, Allowed::ALL, &[]).unwrap();
    assert!(sync.withheld.is_empty());
    let session = session(&databases.second).await;
    session.batch("path", "SET search_path = public").await.unwrap();
    let (before, inside): (Vec<_>, Vec<_>) = sync.changes.iter().partition(|change| change.timing == Timing::Before);
    for change in before {
        session.batch("label", &change.sql).await.map_err(|error| format!("{}: {error}", change.sql))?;
    }
    session.batch("begin", "BEGIN").await.unwrap();
    for change in &inside {
        if let Err(error) = session.batch("change", &change.sql).await {
            let all: Vec<&str> = inside.iter().map(|change| change.sql.as_str()).collect();
            return Err(format!("{}\n{error}\nin:\n{}", change.sql, all.join(";\n")));
        }
    }
    session.batch("commit", "COMMIT").await.map_err(|error| error.to_string())
}

fn fill(target: &Target, statements: &[String]) {
    for statement in statements {
        target.query(statement);
    }
}

fn one_pair(databases: &Databases, seed: u64) {
    let mut rng = Rng::new(seed);
    let (one, other) =
        (random_schemas::random(&mut rng, databases.major), random_schemas::random(&mut rng, databases.major));
    for (wanted, present) in [(&one, &other), (&other, &one)] {
        databases.reset();
        fill(&databases.first, wanted);
        fill(&databases.second, present);
        let shown = || format!("wanted:\n{};\n\npresent:\n{};\n", wanted.join(";\n"), present.join(";\n"));
        if let Err(what) = block_on(synchronise(databases)) {
            panic!("{what}\n{}", shown());
        }
        let left = block_on(differences(databases));
        let lines: Vec<String> = left.iter().map(|difference| difference.line("public", "A", "B")).collect();
        assert!(left.is_empty(), "{}\n{left:#?}\n{}", lines.join("\n"), shown());
        if databases.major <= newest_dump() {
            let (first, second) = (dumped(&databases.first), dumped(&databases.second));
            let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
                one.difference(other).cloned().collect::<Vec<_>>().join("\n--\n")
            };
            let (missing, more) = (only(&first, &second), only(&second, &first));
            assert!(first == second, "pg_dump: missing:\n{missing}\n\nadditional:\n{more}\n\n{}", shown());
        }
    }
}

/// The major version of the `pg_dump` of this machine.
fn newest_dump() -> u32 {
    let bin = Target::start().bin_dir().join("pg_dump");
    let text = String::from_utf8(must_run(Command::new(bin).arg("--version"))).unwrap();
    text.split_whitespace().find_map(|word| word.split('.').next()?.parse().ok()).unwrap()
}

/// What `pg_dump` writes, statement by statement, with the columns of tables in alphabetical order.
fn dumped(target: &Target) -> BTreeSet<String> {
    let mut command = Command::new(Target::start().bin_dir().join("pg_dump"));
    command.args(["--schema-only", "--no-owner", "--no-privileges", "-d"]).arg(target.admin_url());
    let text = String::from_utf8(must_run(&mut command)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('\\') && !line.starts_with("--") && !line.is_empty());
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split(";\n").map(in_order).collect()
}

fn in_order(statement: &str) -> String {
    let mut lines: Vec<&str> = statement.lines().map(|line| line.trim_end_matches(',')).collect();
    if statement.starts_with("CREATE TABLE") || statement.starts_with("CREATE UNLOGGED TABLE") {
        lines.sort_unstable();
    }
    lines.join("\n")
}

fn campaign(databases: &Databases) {
    rng::rounds(SECONDS, |seed| one_pair(databases, seed));
}

#[test]
fn pairs_become_alike_on_the_oldest_version() {
    campaign(&Databases::on(PgVersion::Major(14), 14));
}

#[test]
fn pairs_become_alike_on_the_newest_version() {
    campaign(&Databases::on(PgVersion::Major(18), 18));
}
