//! What exceeds PostgreSQL's limits: keys that are too long for a B-tree, keys with too many columns, rows that are too
//! wide for a page, tables with too many columns.

use serde_json::Value;

use crate::support::{Target, Workspace};

/// The findings of the stored plan with this code: place and severity.
fn found(workspace: &Workspace, code: &str) -> Vec<(String, String)> {
    let plan = workspace.read_json("plan/plan.json");
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = plan["findings"].as_array().unwrap().iter().filter(|finding| finding["code"] == code);
    findings
        .map(|finding| {
            (format!("{}.{}", word(&finding["table"]), word(&finding["column"])), word(&finding["severity"]))
        })
        .collect()
}

#[test]
fn keys_that_postgresql_cannot_have_change_their_form_or_are_named() {
    let columns: Vec<String> = (0..33).map(|number| format!("c{number}")).collect();
    let workspace = Workspace::new();
    let source = workspace.sqlite(
        "source.db",
        &format!(
            "CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT, code TEXT UNIQUE); CREATE INDEX note_text ON note(text);
             INSERT INTO note VALUES (1, hex(zeroblob(2000)) || 'a', hex(zeroblob(2000)) || 'b'), (2, 'short', 'short');
             CREATE TABLE wide({0}, UNIQUE({0})); INSERT INTO wide(c0) VALUES (1)",
            columns.join(", ")
        ),
    );
    let local = Target::start();
    let call = |command: &str| workspace.tool(command).env("TURSO2NEON_LOCAL_URL", local.admin_url());
    call("dump").arg("--source").arg(source).run().expect_exit(0);
    call("plan").run().expect_exit(1).expect_text("the uniqueness that it guards is lost");
    let pair = |place: &str, severity: &str| (place.to_owned(), severity.to_owned());
    assert_eq!(found(&workspace, "unique-not-carried"), [pair("wide.sqlite_autoindex_wide_1", "needs-decision")]);
    let mut changed = found(&workspace, "index-changed");
    changed.sort();
    assert_eq!(changed, [pair("note.note_text", "warning"), pair("note.sqlite_autoindex_note_1", "warning")]);
    call("convert").args(["--accept", "unique-not-carried@wide.sqlite_autoindex_wide_1"]).run().expect_exit(0);
    call("verify").args(["--against", "local", "--level", "full"]).run().expect_exit(0);
    let refused = local.try_query("INSERT INTO note(id, code) SELECT 3, code FROM note WHERE id = 1").unwrap_err();
    assert_eq!(refused.0, "23P01", "{refused:?}");
}

#[test]
fn a_row_that_fits_no_page_needs_a_decision_and_too_many_columns_are_refused() {
    let names = |count: u32| (0..count).map(|number| format!("c{number} REAL")).collect::<Vec<_>>().join(", ");
    let values = (0..1100).map(|number| format!("{number}.5")).collect::<Vec<_>>().join(", ");
    let workspace = Workspace::new();
    let source = workspace.sqlite(
        "source.db",
        &format!(
            "CREATE TABLE wide({}); INSERT INTO wide VALUES ({values}); CREATE TABLE wider({})",
            names(1100),
            names(1601)
        ),
    );
    workspace.tool("dump").arg("--source").arg(source).run().expect_exit(0);
    workspace.tool("plan").run().expect_exit(5).expect_text("row-too-wide");
    let mut found = found(&workspace, "row-too-wide");
    found.sort();
    let pair = |place: &str, severity: &str| (place.to_owned(), severity.to_owned());
    assert_eq!(found, [pair("wide.", "needs-decision"), pair("wider.", "refused")]);
    // Accepting doesn't help where PostgreSQL can't have the table.
    workspace.tool("plan").args(["--accept", "all"]).run().expect_exit(5);
    workspace.tool("plan").args(["--accept", "row-too-wide@wide", "--exclude", "wider"]).run().expect_exit(0);
}
