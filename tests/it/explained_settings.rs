//! `plan --explain TABLE.COLUMN`: each setting that applies, with what it would do to the values.

use crate::support::Workspace;

const SOURCE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, n INTEGER, at INTEGER, ok TEXT, raw TEXT); \
    INSERT INTO t VALUES (1, 5, 1700000000, 'yes', 'a'), (2, '', 1700000001, 'no', CAST(x'6100' AS TEXT)), \
    (3, 'secret', 1700000002, 'off', 'b'), (4, NULL, NULL, NULL, NULL)";

#[test]
fn each_setting_is_listed_with_what_it_does() {
    let workspace = Workspace::new();
    let source = workspace.sqlite("app.db", SOURCE);
    workspace.tool("dump").arg("--source").arg(source).run().expect_exit(0);
    for (column, expected) in [
        (
            "n",
            &[
                "the 3 values as planned, text: 3 exact",
                "columns.\"t.n\" = { empty_as_null = true } -> text: 2 exact, 1 NULL",
                "columns.\"t.n\" = { off_type = \"null\" } -> bigint: 1 exact, 2 NULL",
                "columns.\"t.n\" = { off_type = \"reject\" } -> bigint: 1 exact, 2 rejected",
                "columns.\"t.n\" = { type = \"bigint\" } -> bigint: 1 exact, 2 not fitting",
            ][..],
        ),
        ("at", &["columns.\"t.at\" = { type = \"timestamptz\", from = \"unix_s\" } -> timestamptz: 3 exact"]),
        ("ok", &["columns.\"t.ok\" = { bool_words = true } -> boolean: 3 exact"]),
        (
            "raw",
            &[
                "columns.\"t.raw\" = { bad_text = \"replace\" } -> text: 2 exact, 1 altered",
                "columns.\"t.raw\" = { bad_text = \"bytea\" } -> bytea: 3 exact",
                "columns.\"t.raw\" = { bad_text = \"fail\" } -> text: 2 exact, 1 not fitting",
            ],
        ),
    ] {
        let place = format!("t.{column}");
        let mut answer = workspace.tool("plan").args(["--vector", "off", "--explain", &place]).run().expect_exit(0);
        for line in expected {
            answer = answer.expect_text(line);
        }
    }
}
