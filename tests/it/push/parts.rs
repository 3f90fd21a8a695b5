//! The schema alone, and the rows alone.

use crate::support::Journey;

const SOURCE: &str = "CREATE TABLE owners (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE); \
     INSERT INTO owners (name) VALUES ('a'), ('b'), ('c'); \
     CREATE TABLE pets (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owners (id), kind TEXT CHECK (kind <> '')); \
     CREATE INDEX pets_kind ON pets (kind); INSERT INTO pets VALUES (1, 1, 'cat'), (2, 3, 'dog'); \
     CREATE VIEW cats AS SELECT id, owner FROM pets WHERE kind = 'cat'";

#[test]
fn the_schema_goes_first_and_the_rows_follow() {
    let journey = Journey::from(SOURCE);
    journey.call(&["dump", "convert"]);
    let early = journey.tool("push").arg("--data-only").run().expect_exit(8);
    assert!(early.stderr.contains("push --schema-only` first"), "{}", early.stderr);

    let made = journey.tool("push").arg("--schema-only").run().expect_exit(0);
    assert!(made.stdout.contains("0 rows"), "{}", made.stdout);
    let facts = "SELECT (SELECT count(*) FROM owners) + (SELECT count(*) FROM pets), (SELECT count(*) FROM pg_index \
                 WHERE indrelid IN ('owners'::regclass, 'pets'::regclass)), (SELECT count(*) FROM pg_constraint \
                 WHERE conrelid = 'pets'::regclass AND contype IN ('f', 'c')), to_regclass('cats')::text";
    let found = |journey: &Journey| journey.target.query(facts).remove(0).into_iter().map(Option::unwrap).collect();
    let schema: Vec<String> = found(&journey);
    assert_eq!(schema, ["0", "4", "2", "cats"]);
    assert!(made.stdout.contains("--schema-only asks for"), "{}", made.stdout);
    let status = journey.tool("status").run().expect_exit(0);
    assert!(status.stdout.contains("the tables there have no rows"), "{}", status.stdout);
    journey.tool("push").arg("--schema-only").run().expect_exit(0);
    // What isn't there can't be equal.
    journey.tool("verify").args(["--against", "target"]).run().expect_exit(1);

    // Tables that are there stay the same tables, with what was put on them since.
    journey.target.execute_as_owner("CREATE VIEW mine AS SELECT count(*) AS n FROM pets");
    journey.tool("push").arg("--data-only").run().expect_exit(0);
    assert_eq!(journey.target.value("SELECT n FROM mine"), "2");
    journey.tool("verify").args(["--against", "target", "--level", "full"]).run().expect_exit(0);
    let again = journey.tool("push").arg("--schema-only").run().expect_exit(8);
    assert!(again.stderr.contains("--schema-only creates tables"), "{}", again.stderr);

    // Another structure is no matter of rows.
    journey
        .source
        .execute("ALTER TABLE pets ADD COLUMN born TEXT; INSERT INTO pets VALUES (3, 2, 'cat', '2024-05-01')");
    journey.call(&["dump", "convert"]);
    let changed = journey.tool("push").arg("--data-only").run().expect_exit(8);
    assert!(changed.stderr.contains("structure of table pets changed"), "{}", changed.stderr);
    assert_eq!(journey.target.value("SELECT n FROM mine"), "2");
    for (part, mode) in [("--schema-only", "swap"), ("--schema-only", "diff"), ("--data-only", "create")] {
        journey.tool("push").args([part, "--mode", mode]).run().expect_exit(2);
    }
}

#[test]
fn a_push_after_the_schema_alone_loads_whole_tables() {
    let journey = Journey::from(SOURCE);
    journey.call(&["dump", "convert"]);
    journey.tool("push").arg("--schema-only").run().expect_exit(0);
    let told = journey.tool("push").run().expect_exit(0);
    assert!(told.stdout.contains("have no rows yet"), "{}", told.stdout);
    journey.tool("verify").args(["--level", "full"]).run().expect_exit(0);
    journey.tool("push").arg("--data-only").run().expect_exit(0);
}
