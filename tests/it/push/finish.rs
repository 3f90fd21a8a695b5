//! The end of a migration: what the tool has on the target is listed and removed, and no push follows.

use turso2neon::{error::Kind, secret::Secret};

use super::fixture::{LocalFixture, remote_url, run, shop_plan, shop_rows};
use crate::support::{Environment, Target};

const SHOP: &str = "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL); \
                    INSERT INTO products VALUES (1, 'a'), (2, 'b'); \
                    CREATE VIEW names AS SELECT name FROM products; \
                    CREATE TABLE dates (d INTEGER); INSERT INTO dates VALUES (1)";

/// The schemas of the tool's.
const SCHEMAS: &str = "SELECT coalesce(string_agg(nspname, ' ' ORDER BY nspname), '') FROM pg_namespace \
                       WHERE nspname LIKE '%turso2neon%'";

/// Pushes twice, so that replaced tables and then changed rows are kept.
fn migrated() -> Environment {
    let environment = Environment::from(SHOP);
    environment.call(&["run"]);
    environment.source.execute("ALTER TABLE products ADD COLUMN price REAL");
    environment.tool("run").args(["--mode", "swap"]).run().expect_exit(0);
    environment
}

#[test]
fn nothing_of_the_tool_is_left_and_no_push_follows_from_anywhere() {
    let environment = migrated();
    let target = &environment.target;
    assert_eq!(target.value(SCHEMAS), "turso2neon turso2neon_previous");
    let before = target.content("public");
    // The questions list it and change nothing.
    for command in [&["finish", "--dry-run"][..], &["status"], &["doctor"]] {
        let (name, flags) = command.split_first().unwrap();
        let output = environment.tool(name).args(flags).run().expect_exit(0);
        assert!(output.stdout.contains("turso2neon_previous"), "{command:?}: {}", output.stdout);
    }
    environment.tool("finish").run().expect_exit(2).expect_text("--yes");
    assert_eq!(target.value(SCHEMAS), "turso2neon turso2neon_previous");

    let archive = environment.workspace.path().join("archive");
    let output = environment.tool("finish").args(["--yes", "--archive"]).arg(&archive).run().expect_exit(0);
    assert!(output.stdout.contains("removed 1 schema of the tool's"), "{}", output.stdout);
    assert!(archive.join("latest/source.db.gz").exists());
    assert_eq!(target.value(SCHEMAS), "turso2neon");
    assert_eq!(
        target.value(
            "SELECT string_agg(relname, ' ') FROM pg_class WHERE relkind = 'r' \
                             AND relnamespace = 'turso2neon'::regnamespace"
        ),
        "lifecycle"
    );
    assert_eq!(target.content("public"), before);
    assert_eq!(target.value("SELECT count(*) FROM public.names"), "2");

    // The application goes on, and a job that was forgotten does not touch its rows.
    target.execute_as_owner("INSERT INTO products VALUES (3, 'c', 4.5)");
    environment.source.execute("DELETE FROM products");
    let written = target.content("public");
    let fresh = environment.workspace.path().join("another");
    for flags in [&[][..], &["--fresh"], &["--on-drift", "overwrite"], &["--mode", "replace"]] {
        for dir in [None, Some(&fresh)] {
            let tool = environment.tool("run").args(flags);
            let tool = dir.map_or_else(|| environment.tool("run").args(flags), |dir| tool.replace("--dir", dir));
            let refused = tool.run().expect_exit(8);
            assert!(refused.stderr.contains("was finished at 20"), "{}", refused.stderr);
            assert!(refused.stderr.contains("finish --purge"), "{}", refused.stderr);
        }
    }
    for command in ["push", "rollback"] {
        environment.tool(command).run().expect_exit(8).expect_text("finished");
    }
    assert_eq!(target.content("public"), written);
    // Before the source is read again.
    assert!(!fresh.join("dump/source.db").exists());
    let status = environment.tool("status").run().expect_exit(0);
    assert!(status.stdout.contains("the migration into schema public was finished at 20"), "{}", status.stdout);

    // A second time there is nothing to do; then the mark goes, too, and the tables are those of others.
    environment.tool("finish").arg("--yes").run().expect_exit(0).expect_text("was finished at");
    environment.tool("finish").args(["--yes", "--purge"]).run().expect_exit(0).expect_text("no mark");
    assert_eq!(target.value(SCHEMAS), "");
    assert_eq!(target.content("public"), written);
    environment.tool("run").run().expect_exit(8);
    assert_eq!(target.content("public"), written);
}

#[test]
fn other_schemas_and_objects_of_others_are_kept() {
    let environment = migrated();
    let target = &environment.target;
    environment.tool("push").args(["--schema", "other"]).run().expect_exit(0);
    let finish = || environment.tool("finish").args(["--yes", "--schema", "public"]);
    target.execute_as_owner("CREATE VIEW old AS SELECT * FROM turso2neon_previous.products");
    let refused = finish().run().expect_exit(8);
    assert!(refused.stderr.contains("view public.old uses products"), "{}", refused.stderr);
    target.execute_as_owner("DROP VIEW old");
    // What somebody else put into the tool's schema is not dropped with it.
    target.execute_as_owner("CREATE TABLE turso2neon_previous.mine (x int)");
    finish().run().expect_exit(7);
    assert_eq!(target.value("SELECT count(*) FROM turso2neon_previous.products"), "2");
    target.execute_as_owner("DROP TABLE turso2neon_previous.mine");
    finish().run().expect_exit(0);
    // The other schema's pushes go on.
    environment.source.execute("INSERT INTO products VALUES (9, 'z', 1)");
    environment.call(&["dump", "convert"]);
    environment.tool("push").args(["--schema", "public"]).run().expect_exit(8).expect_text("finished");
    environment.tool("push").args(["--schema", "other"]).run().expect_exit(0);
    assert_eq!(target.value("SELECT count(*) FROM other.products"), "3");
    assert_eq!(target.value("SELECT count(*) FROM public.products"), "2");
    // The last one takes the record along, but for the marks.
    environment.tool("finish").args(["--yes", "--schema", "other", "--purge"]).run().expect_exit(0);
    assert_eq!(target.value(SCHEMAS), "turso2neon");
    environment.tool("push").args(["--schema", "public"]).run().expect_exit(8).expect_text("finished");
    finish().arg("--purge").run().expect_exit(0);
    assert_eq!(target.value(SCHEMAS), "");
}

#[test]
fn what_an_interrupted_push_left_is_named_and_removed() {
    let target = Target::start();
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let request = fixture.request(&remote_url(&target));
    run(&fixture.context().0, &request).unwrap();
    let before = target.content("public");
    // What a push leaves that was killed while it loaded: rows in staging tables, committed with the run's record.
    target.execute_as_owner(
        "CREATE SCHEMA _turso2neon_stage_abc; COMMENT ON SCHEMA _turso2neon_stage_abc IS 'turso2neon staging of run 7'; \
         CREATE TABLE _turso2neon_stage_abc.orders AS SELECT * FROM orders; \
         INSERT INTO turso2neon.runs (run_key, target_schema, staging_schema, layout, mode, tool, state) \
           VALUES ('k', 'public', '_turso2neon_stage_abc', 'l', 'swap', '0.1.0', 'loading'); \
         CREATE SCHEMA _turso2neon_stage_lost; COMMENT ON SCHEMA _turso2neon_stage_lost IS 'turso2neon staging of run 8'; \
         CREATE SCHEMA _turso2neon_stage_of_others",
    );
    let tool = |arguments: &[&str]| {
        let dir = fixture.workdir().root().to_owned();
        crate::support::Tool::new(arguments).args(["--dir"]).arg(dir).env("NEON_DATABASE_URL", remote_url(&target))
    };
    let status = tool(&["status"]).run();
    assert!(status.stdout.contains("_turso2neon_stage_abc"), "{}", status.stdout);
    assert!(status.stdout.contains("tables of an unfinished push (schema public)"), "{}", status.stdout);
    tool(&["clean", "--target"]).run().expect_exit(2).expect_text("--yes");
    let output = tool(&["clean", "--target", "--yes"]).run().expect_exit(0);
    assert!(output.stdout.contains("_turso2neon_stage_lost"), "{}", output.stdout);
    assert_eq!(target.value(SCHEMAS), "_turso2neon_stage_of_others turso2neon");
    assert_eq!(target.content("public"), before);
    assert!(run(&fixture.context().0, &request).unwrap().unchanged);
    assert!(fixture.workdir().root().join("plan/plan.json").exists());
    tool(&["clean", "--target", "--yes"]).run().expect_exit(0).expect_text("left nothing");
}

#[test]
fn a_push_that_never_came_to_its_end_is_not_finished_but_cleaned() {
    let environment = Environment::from(SHOP);
    environment.call(&["dump", "convert"]);
    environment.tool("finish").arg("--yes").run().expect_exit(2).expect_text("clean --target");
    environment
        .target
        .execute_as_owner("CREATE SCHEMA turso2neon_previous; CREATE TABLE turso2neon_previous.mine (x int)");
    environment.tool("clean").args(["--target", "--yes"]).run().expect_exit(0).expect_text("left nothing");
    assert_eq!(environment.target.value("SELECT count(*) FROM turso2neon_previous.mine"), "0");
}

#[test]
fn a_running_push_and_a_half_replaced_target_are_not_finished() {
    let target = Target::start();
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let request = fixture.request(&remote_url(&target));
    run(&fixture.context().0, &request).unwrap();
    target.execute_as_owner(
        "INSERT INTO turso2neon.runs (run_key, target_schema, staging_schema, layout, mode, tool, state) \
         VALUES ('k', 'public', '', '', 'replace', '0.1.0', 'loading')",
    );
    let scope = turso2neon::stages::push::removal::RemovalScope::Migration;
    let removal = turso2neon::stages::push::removal::RemovalRequest {
        target: Secret::new(remote_url(&target)),
        schema: "public".to_owned(),
        scope,
        lock_wait: turso2neon::stages::push::LOCK_WAIT,
    };
    let look =
        || super::fixture::runtime().block_on(turso2neon::stages::push::removal::look(&fixture.context().0, &removal));
    let error = look().unwrap_err();
    assert_eq!(error.kind(), Kind::TargetOccupied, "{error}");
    assert!(error.message().contains("mode replace was interrupted"), "{error}");
    target.execute_as_owner("DELETE FROM turso2neon.runs WHERE run_key = 'k'");
    // Tables were dropped, and what they had is kept for their successors.
    target.execute_as_owner(
        "INSERT INTO turso2neon.carried VALUES ('public', 1, 'orders', 'GRANT SELECT ON orders TO x')",
    );
    assert_eq!(look().unwrap_err().kind(), Kind::TargetOccupied);
    target.execute_as_owner("DELETE FROM turso2neon.carried");
    assert!(look().unwrap().tables.contains(&"orders".to_owned()));
}

#[test]
fn a_record_that_an_earlier_version_made_is_removed_too() {
    let environment = migrated();
    let target = &environment.target;
    target.execute_as_owner("DROP TABLE turso2neon.undo, turso2neon.origins, turso2neon.carried");
    let run = environment.tool("finish").args(["--yes", "--json"]).run().expect_exit(0);
    let answer = &run.last_json()["answer"];
    assert_eq!(answer["finished"]["schema"], "public", "{answer}");
    assert_eq!(target.value(SCHEMAS), "turso2neon");
    environment.tool("run").run().expect_exit(8);
}

/// A command on a terminal, where this is typed.
fn on_a_terminal(environment: &Environment, words: &str, typed: &str) -> String {
    let tool = crate::support::tool::bin().display();
    let dir = environment.workspace.dir();
    let command = format!("'{tool}' {words} --dir '{}' --color never", dir.display());
    let mut script = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("NEON_DATABASE_URL", environment.target.url())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = script.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, typed.as_bytes()).unwrap();
    let output = script.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_person_is_asked_before_anything_is_put_back_or_removed() {
    let environment = migrated();
    let before = environment.target.content("public");
    let said = on_a_terminal(&environment, "rollback", "n\n");
    assert!(said.contains("no longer in these tables") && said.contains("Nothing was put back"), "{said}");
    assert_eq!(environment.target.content("public"), before);
    let said = on_a_terminal(&environment, "finish", "n\n");
    assert!(said.contains("turso2neon_previous") && said.contains("Nothing was removed"), "{said}");
    assert_eq!(environment.target.value(SCHEMAS), "turso2neon turso2neon_previous");
    let said = on_a_terminal(&environment, "rollback", "y\n");
    assert!(said.contains("Put back"), "{said}");
    assert_ne!(environment.target.content("public"), before);
    let said = on_a_terminal(&environment, "finish", "y\n");
    assert!(said.contains("is finished"), "{said}");
    assert_eq!(environment.target.value(SCHEMAS), "turso2neon");
}
