//! The schema alone, and the rows alone.

use crate::support::Environment;

const SOURCE: &str = "CREATE TABLE owners (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE); \
     INSERT INTO owners (name) VALUES ('a'), ('b'), ('c'); \
     CREATE TABLE pets (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owners (id), kind TEXT CHECK (kind <> '')); \
     CREATE INDEX pets_kind ON pets (kind); INSERT INTO pets VALUES (1, 1, 'cat'), (2, 3, 'dog'); \
     CREATE VIEW cats AS SELECT id, owner FROM pets WHERE kind = 'cat'";

#[test]
fn the_schema_goes_first_and_the_rows_follow() {
    let environment = Environment::from(SOURCE);
    environment.call(&["dump", "convert"]);
    let early = environment.tool("push").arg("--data-only").run().expect_exit(8);
    assert!(early.stderr.contains("push --schema-only` first"), "{}", early.stderr);

    let made = environment.tool("push").arg("--schema-only").run().expect_exit(0);
    assert!(made.stdout.contains("0 rows"), "{}", made.stdout);
    let facts = "SELECT (SELECT count(*) FROM owners) + (SELECT count(*) FROM pets), (SELECT count(*) FROM pg_index \
                 WHERE indrelid IN ('owners'::regclass, 'pets'::regclass)), (SELECT count(*) FROM pg_constraint \
                 WHERE conrelid = 'pets'::regclass AND contype IN ('f', 'c')), to_regclass('cats')::text";
    let found =
        |environment: &Environment| environment.target.query(facts).remove(0).into_iter().map(Option::unwrap).collect();
    let schema: Vec<String> = found(&environment);
    assert_eq!(schema, ["0", "4", "2", "cats"]);
    assert!(made.stdout.contains("--schema-only asks for"), "{}", made.stdout);
    let status = environment.tool("status").run().expect_exit(0);
    assert!(status.stdout.contains("the tables there have no rows"), "{}", status.stdout);
    environment.tool("push").arg("--schema-only").run().expect_exit(0);
    // What isn't there can't be equal.
    environment.tool("verify").args(["--against", "target"]).run().expect_exit(1);

    // Tables that are there stay the same tables, with what was put on them since.
    environment.target.execute_as_owner("CREATE VIEW mine AS SELECT count(*) AS n FROM pets");
    environment.tool("push").arg("--data-only").run().expect_exit(0);
    assert_eq!(environment.target.value("SELECT n FROM mine"), "2");
    environment.tool("verify").args(["--against", "target", "--level", "full"]).run().expect_exit(0);
    let again = environment.tool("push").arg("--schema-only").run().expect_exit(8);
    assert!(again.stderr.contains("--schema-only creates tables"), "{}", again.stderr);

    // Another structure is no matter of rows.
    environment
        .source
        .execute("ALTER TABLE pets ADD COLUMN born TEXT; INSERT INTO pets VALUES (3, 2, 'cat', '2024-05-01')");
    environment.call(&["dump", "convert"]);
    let changed = environment.tool("push").arg("--data-only").run().expect_exit(8);
    assert!(changed.stderr.contains("structure of table pets changed"), "{}", changed.stderr);
    assert_eq!(environment.target.value("SELECT n FROM mine"), "2");
    for (part, mode) in [("--schema-only", "swap"), ("--schema-only", "diff"), ("--data-only", "create")] {
        environment.tool("push").args([part, "--mode", mode]).run().expect_exit(2);
    }
}

#[test]
fn a_push_after_the_schema_alone_loads_whole_tables() {
    let environment = Environment::from(SOURCE);
    environment.call(&["dump", "convert"]);
    environment.tool("push").arg("--schema-only").run().expect_exit(0);
    let output = environment.tool("push").run().expect_exit(0);
    assert!(output.stdout.contains("have no rows yet"), "{}", output.stdout);
    environment.tool("verify").args(["--level", "full"]).run().expect_exit(0);
    environment.tool("push").arg("--data-only").run().expect_exit(0);
}
