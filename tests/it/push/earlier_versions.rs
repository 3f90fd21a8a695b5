//! What an earlier version left: its digests saw not every change, so they count as unknown, never as equal.

use serde_json::Value;
use turso2neon::{model::checkpoint::CHECKPOINT_FORMAT, workdir::sealed};

use crate::support::Environment;

const PEOPLE: &str = "CREATE TABLE people (id INTEGER PRIMARY KEY, mail TEXT); \
     CREATE TABLE quiet (id INTEGER PRIMARY KEY, word TEXT); INSERT INTO quiet VALUES (1, 'one'); \
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) \
     INSERT INTO people SELECT i, 'mail' || i FROM n";

/// Mails of two rows that change places on the target, as they were left by the digest of version 1.
const EXCHANGE: &str = "UPDATE people SET mail = 'mail' || (11 - id) WHERE id IN (5, 6)";

/// The mails of these two rows.
fn mails(environment: &Environment) -> String {
    environment.target.value("SELECT string_agg(mail, ' ' ORDER BY id) FROM people WHERE id IN (5, 6)")
}

/// Gives the record on the target the digests of version 1: `rows:sum`.
fn age_record(environment: &Environment) {
    environment.target.query(
        "UPDATE turso2neon.tables SET digest = row_count || ':77', run_key = 'of version 1'; \
         UPDATE turso2neon.undo SET digest = split_part(digest, ':', 2) || ':77'",
    );
}

/// Gives the checkpoint of a stage the digests of version 1.
fn age_checkpoint(environment: &Environment, stage: &str) {
    let path = environment.workspace.dir().join(stage).join("checkpoint.json");
    let mut checkpoint: Value = sealed::load(&path, CHECKPOINT_FORMAT, stage).unwrap();
    for table in checkpoint["tables"].as_object_mut().unwrap().values_mut() {
        let rows = table["rows"].to_string();
        table["server_digest"] = format!("{rows}:77").into();
    }
    sealed::store(&path, &checkpoint).unwrap();
}

#[test]
fn a_run_over_an_old_record_compares_and_repairs() {
    let environment = Environment::from(PEOPLE);
    environment.call(&["run"]);
    for aged in [&["convert", "push"][..], &["push"], &["convert"], &[]] {
        age_record(&environment);
        for stage in aged {
            age_checkpoint(&environment, stage);
        }
        environment.target.query(EXCHANGE);
        let run = environment.tool("run").run().expect_exit(0);
        assert_eq!(mails(&environment), "mail5 mail6", "{aged:?}: {}", run.stderr);
    }
    let again = environment.tool("push").run().expect_exit(0);
    assert!(again.stdout.contains("Nothing to do"), "{}", again.stdout);
}

#[test]
fn a_push_of_what_an_earlier_version_loaded_compares_with_the_local_rows() {
    let environment = Environment::from(PEOPLE);
    environment.call(&["run"]);
    age_record(&environment);
    age_checkpoint(&environment, "convert");
    age_checkpoint(&environment, "push");
    environment.target.query(EXCHANGE);
    environment.call(&["push"]);
    assert_eq!(mails(&environment), "mail5 mail6");
    // What the checkpoint of convert says can't be compared with anything.
    let verify = environment.tool("verify").args(["--level", "digest"]).run().expect_exit(4);
    assert!(verify.stderr.contains("turso2neon convert"), "{}", verify.stderr);
    environment.call(&["convert", "push"]);
    environment.tool("verify").args(["--level", "digest"]).run().expect_exit(0);
}

#[test]
fn rows_that_an_earlier_version_kept_are_not_put_back_on_its_word() {
    let environment = Environment::from(PEOPLE);
    environment.call(&["run"]);
    environment.source.execute("UPDATE people SET mail = 'new' WHERE id = 5");
    environment.call(&["run"]);
    age_record(&environment);
    let rollback = environment.tool("rollback").run().expect_exit(4);
    assert!(rollback.stderr.contains("earlier version") && rollback.stderr.contains("nothing was changed"));
    assert_eq!(mails(&environment), "new mail6");
    // The next push knows what it keeps, of tables that it doesn't touch, too.
    environment.source.execute("UPDATE people SET mail = 'newer' WHERE id = 5");
    environment.call(&["run", "rollback"]);
    assert_eq!(mails(&environment), "new mail6");
    environment.call(&["rollback"]);
    assert_eq!(mails(&environment), "newer mail6");
}
