//! Tables that the source no longer has: said before they leave the target, and refused where nothing would stay.

use crate::support::{Environment, Tool};

/// A push that may take tables away.
fn following(environment: &Environment) -> Tool {
    environment.tool("push").args(["--on-type-change", "follow"])
}

#[test]
fn tables_that_leave_are_named_and_a_source_that_lost_them_all_is_refused() {
    let environment = Environment::from(
        "CREATE TABLE kept (id INTEGER PRIMARY KEY); INSERT INTO kept VALUES (1), (2); \
         CREATE TABLE leaving (id INTEGER PRIMARY KEY); INSERT INTO leaving VALUES (7)",
    );
    environment.call(&["run"]);
    environment.source.execute("DROP TABLE leaving");
    environment.call(&["dump", "convert"]);
    let output = following(&environment).args(["--dry-run"]).run().expect_exit(0);
    assert!(output.stdout.contains("these are no longer in the plan and would be gone: leaving"), "{}", output.stdout);
    let output = following(&environment).run().expect_exit(0);
    let said = "no longer in the plan and leave schema public: leaving; `turso2neon rollback` can put them back";
    assert!(output.stderr.contains(said), "{}", output.stderr);
    assert_eq!(environment.target.value("SELECT to_regclass('public.leaving')::text IS NULL"), "t");
    environment.call(&["rollback"]);
    assert_eq!(environment.target.value("SELECT id FROM public.leaving"), "7");
    following(&environment).run().expect_exit(0);

    // Another database, with a table of the same name, pushed to the same place by mistake.
    let other =
        environment.workspace.sqlite("other.db", "CREATE TABLE kept (id INTEGER PRIMARY KEY); CREATE TABLE o (v)");
    let dir = environment.workspace.path().join("other");
    let tool = |command: &str| environment.tool(command).replace("--dir", &dir);
    tool("dump").args(["--source", other.to_str().unwrap()]).run().expect_exit(0);
    tool("convert").run().expect_exit(0);
    environment.source.execute("CREATE TABLE new (id INTEGER PRIMARY KEY)");
    environment.call(&["dump", "convert", "push"]);
    let refused = tool("push").run().expect_exit(8);
    assert!(refused.stderr.contains("came from another source, http://127.0.0.1"), "{}", refused.stderr);
    assert_eq!(environment.target.value("SELECT count(*) FROM public.kept"), "2");
    tool("push").args(["--force-table", "new"]).run().expect_exit(0);
    assert_eq!(environment.target.value("SELECT count(*) FROM public.kept"), "0");
    environment.call(&["rollback"]);
    assert_eq!(environment.target.value("SELECT count(*) FROM public.kept"), "2");
    environment.source.execute("DROP TABLE new");

    environment.source.execute("DROP TABLE kept");
    let output = environment.tool("dump").run().expect_exit(0);
    assert!(output.stderr.contains("the source has no tables"), "{}", output.stderr);
    environment.call(&["convert"]);
    let refused = environment.tool("push").run().expect_exit(8);
    assert!(refused.stderr.contains("none of the tables of the last push is in the plan"), "{}", refused.stderr);
    assert_eq!(environment.target.value("SELECT count(*) FROM public.kept"), "2");

    // A push that was refused half way is no reason to take the rollback after it for unfinished.
    environment.call(&["rollback"]);
    let status = environment.tool("status").run();
    assert!(!status.stdout.contains("unfinished"), "{}", status.stdout);
}

#[test]
fn a_replacement_in_place_names_the_tables_that_leave_too() {
    let environment = Environment::from(
        "CREATE TABLE kept (id INTEGER PRIMARY KEY); INSERT INTO kept VALUES (1); \
         CREATE TABLE leaving (id INTEGER PRIMARY KEY); INSERT INTO leaving VALUES (7)",
    );
    environment.call(&["run"]);
    environment.source.execute("DROP TABLE leaving");
    environment.source.execute("ALTER TABLE kept ADD COLUMN new TEXT");
    environment.call(&["dump", "convert"]);
    let output = following(&environment).args(["--mode", "replace"]).run().expect_exit(0);
    let said = "no longer in the plan and leave schema public: leaving; none is kept";
    assert!(output.stderr.contains(said), "{}", output.stderr);
    assert_eq!(environment.target.value("SELECT to_regclass('public.leaving')::text IS NULL"), "t");
}
