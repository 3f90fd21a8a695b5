//! Random schemas and random values of all storage classes, through the tool and back: what PostgreSQL holds, with the
//! off-type table, rebuilds every cell of the SQLite file.
//!
//! `TURSO2NEON_TEST_SECONDS` says how long, `TURSO2NEON_TEST_SEED` repeats one round.

mod existing_features;

mod existing_schemas;

mod oracle;

mod mutation;

mod schema;

use schema::Database;

use crate::support::{PgVersion, Rng, Target, Workspace, rng};

/// How long it tries, by default.
const SECONDS: u64 = 5;

#[test]
fn what_postgresql_holds_rebuilds_every_cell() {
    let targets = [Target::start(), Target::start_on(PgVersion::Major(14)), Target::start_on(PgVersion::Major(18))];
    let mut arrived = 0;
    rng::rounds(SECONDS, |seed| {
        let mut rng = Rng::new(seed);
        let workspace = Workspace::new();
        let source = workspace.path().join("source.db");
        let database = Database::make(&mut rng, &source);
        let target = &targets[rng.below(targets.len())];
        target.query("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS _turso2neon CASCADE");
        let local = target.admin_url();
        let call = |command: &str| workspace.tool(command).env("TURSO2NEON_LOCAL_URL", &local);
        let script = || database.script.clone();
        let run = |tool: crate::support::Tool| {
            let run = tool.run();
            assert!(run.code() == Some(0), "{}\n{:?}\n{}", script(), run.args, run.stderr);
        };
        run(call("dump").arg("--source").arg(&source));
        run(call("plan").args(["--accept", "all"]));
        run(call("convert").args(["--accept", "all"]));
        run(call("verify").args(["--against", "local", "--level", "full"]));
        let plan = serde_json::from_str(&workspace.read("plan/plan.json")).unwrap();
        if let Err(what) = oracle::compare(&source, &plan, target) {
            panic!("{what}\n{}", script());
        }
        arrived += 1;
    });
    assert!(arrived > 0);
}
