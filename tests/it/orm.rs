//! Object-relational mappers as judges: each makes its tables in SQLite and, by its own migrations, in PostgreSQL; the
//! rows are moved; then the mapper has nothing to change, reads the same values, and goes on working.
//!
//! `tests/orm/run` says what the applications do.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{Target, Workspace};

/// Runs one command of an application in a time zone. Stops the test with everything that it reported.
#[track_caller]
fn mapper(workspace: &Workspace, name: &str, zone: &str, arguments: &[&str]) {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/orm/run");
    let mut command = Command::new("timeout");
    command.arg("120").arg(program).arg(name).args(arguments).stdin(Stdio::null()).current_dir(workspace.path());
    command.env_clear().env("TZ", zone).env("HOME", workspace.path()).env("LANG", "C.UTF-8");
    for variable in ["PATH", "TURSO2NEON_TEST_ORMS"] {
        if let Some(value) = std::env::var_os(variable) {
            command.env(variable, value);
        }
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{name} {} in {zone}: {}\n{}\n{}",
        arguments[0],
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The whole way with one mapper.
#[track_caller]
fn judged_by(name: &str) {
    let workspace = Workspace::new();
    let target = Target::start();
    let (source, url) = (workspace.path().join("app.sqlite"), target.url());
    let file = source.to_str().unwrap();
    mapper(&workspace, name, "UTC", &["sqlite", file]);
    mapper(&workspace, name, "UTC", &["postgres", &url]);
    let before = target.definitions("public");
    let run = workspace.tool("run").args(["--source", file, "--schema-from", "target"]);
    run.env("NEON_DATABASE_URL", &url).run().expect_exit(0);
    assert_eq!(target.definitions("public"), before, "the tables that the mapper made are changed");
    mapper(&workspace, name, "UTC", &["check", &url]);
    // The numbers that `use` takes are gone afterwards.
    let copy = target.copy("");
    mapper(&workspace, name, "UTC", &["use", &url, file]);
    mapper(&workspace, name, "America/New_York", &["use", &copy.url(), file]);
}

#[test]
fn django_finds_nothing_to_change_and_goes_on() {
    judged_by("django");
}

#[test]
fn sqlalchemy_with_alembic_finds_nothing_to_change_and_goes_on() {
    judged_by("sqlalchemy");
}

#[test]
fn drizzle_finds_nothing_to_change_and_goes_on() {
    judged_by("drizzle");
}

#[test]
fn typeorm_finds_nothing_to_change_and_goes_on() {
    judged_by("typeorm");
}

#[test]
fn sequelize_finds_nothing_to_change_and_goes_on() {
    judged_by("sequelize");
}

#[test]
fn knex_finds_nothing_to_change_and_goes_on() {
    judged_by("knex");
}

#[test]
fn mikroorm_finds_nothing_to_change_and_goes_on() {
    judged_by("mikroorm");
}
