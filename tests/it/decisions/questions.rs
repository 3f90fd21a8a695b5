//! Questions, and consent that accepts nothing more, leave everything that was made as it is.

use crate::support::{Environment, Tool};

/// Two texts of hundreds that PostgreSQL can't hold: two findings that need a decision.
const SHOP: &str = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT); \
     CREATE TABLE codes (id INTEGER PRIMARY KEY, code TEXT); \
     WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300) \
     INSERT INTO customers SELECT i, 'customer ' || i FROM n; \
     INSERT INTO codes SELECT id, 'code of ' || name FROM customers; \
     UPDATE customers SET name = 'b' || char(0) WHERE id = 2; UPDATE codes SET code = char(0) WHERE id = 1";

/// A call without consent.
fn plain(environment: &Environment, command: &str) -> Tool {
    let tool = environment.workspace.tool(command).env("TURSO_DATABASE_URL", environment.source.url());
    tool.env("TURSO_AUTH_TOKEN", environment.source.read_only_token())
        .env("NEON_DATABASE_URL", environment.target.url())
}

/// Identities of the tables on the target.
fn tables(environment: &Environment) -> String {
    let sql = "SELECT string_agg(oid || '/' || relfilenode, ' ' ORDER BY oid) FROM pg_class \
               WHERE relnamespace = 'public'::regnamespace";
    environment.target.value(sql)
}

#[test]
fn questions_after_a_run_make_nothing_stale() {
    let environment = Environment::from(SHOP);
    environment.call(&["run"]);
    let (plan, pushed) = (environment.workspace.read("plan/plan.json"), tables(&environment));
    let questions: [&[&str]; 6] = [
        &["--explain", "customers.name"],
        &["--format", "md"],
        &["--format", "json"],
        &["--format", "sql"],
        &[],
        &["--accept", "text-not-storable@customers"],
    ];
    for flags in questions {
        plain(&environment, "plan").args(flags).run().expect_exit(0);
        assert!(environment.workspace.read("plan/plan.json") == plan, "{flags:?}: another plan");
    }
    let status = plain(&environment, "status").arg("--json").run().expect_exit(0).last_json();
    assert_eq!(status["answer"]["next"], serde_json::Value::Null, "{status}");
    plain(&environment, "verify").run().expect_exit(0);
    for command in ["convert", "push"] {
        let answer = plain(&environment, command).arg("--json").run().expect_exit(0).last_json();
        assert_eq!(answer["answer"]["unchanged"], true, "{command}: {answer}");
    }
    let run = plain(&environment, "run").arg("--json").run().expect_exit(0).last_json();
    for stage in ["plan", "convert", "push"] {
        assert_eq!(run["answer"][stage]["unchanged"], true, "{stage}: {run}");
    }
    assert_eq!(tables(&environment), pushed);
}

#[test]
fn consent_that_accepts_nothing_more_loads_nothing_again() {
    let environment =
        Environment::from("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a')");
    plain(&environment, "run").run().expect_exit(0);
    for flags in [&["--accept", "all"][..], &["--accept", "orphan-rows"]] {
        let converted = plain(&environment, "convert").args(flags).arg("--json").run().expect_exit(0).last_json();
        assert_eq!(converted["answer"]["unchanged"], true, "{converted}");
        let run = plain(&environment, "run").args(flags).arg("--json").run().expect_exit(0).last_json();
        assert_eq!(run["answer"]["convert"]["unchanged"], true, "{run}");
    }
}

#[test]
fn consent_adds_up_until_the_configuration_changes_or_fresh_forgets_it() {
    let environment = Environment::from(SHOP);
    environment.call(&["dump"]);
    let plan = |flags: &[&str]| plain(&environment, "plan").args(flags).run();
    plan(&["--accept", "text-not-storable@customers"]).expect_exit(1);
    plan(&["--accept", "text-not-storable@codes.code"]).expect_exit(0);
    plan(&[]).expect_exit(0);
    let config = environment.workspace.path().join("turso2neon.toml");
    std::fs::write(&config, "identifiers = 'lower'").unwrap();
    plan(&[]).expect_exit(1);
    // The same consent in the configuration is configuration.
    std::fs::write(&config, "[accept]\ntext-not-storable = ['customers', 'codes']").unwrap();
    plan(&[]).expect_exit(0);
    std::fs::remove_file(&config).unwrap();
    plan(&["--accept", "all"]).expect_exit(0);
    plan(&["--fresh"]).expect_exit(1);
}
