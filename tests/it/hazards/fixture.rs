//! Many hazards in one SQLite file, taken the whole way to a PostgreSQL of one version and asked there.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{PgVersion, Target, Workspace};

/// The versions on which every hazard is judged: the oldest and the newest.
pub(super) const JUDGES: [PgVersion; 2] = [PgVersion::Major(14), PgVersion::Major(18)];

/// One hazard of docs/conversion-rules.md. Its tables and views have names of their own.
pub(super) struct Hazard {
    /// Its section of docs/conversion-rules.md and what it is.
    pub(super) name: &'static str,
    /// Makes it in SQLite. Foreign keys and checks aren't enforced.
    pub(super) sql: &'static str,
    /// What must hold afterwards.
    pub(super) must: &'static [Expectation],
}

/// What PostgreSQL, the plan or the report must hold.
pub(super) enum Expectation {
    /// The column `table.column` of PostgreSQL has this type.
    Type(&'static str, &'static str),
    /// The query gives these rows: cells joined by `|`, rows by a line break, NULL as `~`.
    Holds(&'static str, &'static str),
    /// PostgreSQL refuses the statement with this SQLSTATE.
    Refuses(&'static str, &'static str),
    /// The table has a constraint with this definition.
    Constraint(&'static str, &'static str),
    /// The table has no constraint whose definition begins so.
    NoConstraint(&'static str, &'static str),
    /// The table has an index whose definition contains this.
    Index(&'static str, &'static str),
    /// The table has no index whose definition contains this.
    NoIndex(&'static str, &'static str),
    /// The plan has a finding of this code at this place.
    Finding(&'static str, &'static str),
    /// The plan has no finding of this code at this place.
    NoFinding(&'static str, &'static str),
    /// The source's object of this kind and name has this outcome.
    Object(&'static str, &'static str, &'static str),
    /// The off-type table has so many cells of this column.
    OffType(&'static str, usize),
    /// The relation isn't in the target.
    Absent(&'static str),
}

/// Makes a SQLite file with what only a lax connection may write.
pub(super) fn make(workspace: &Workspace, script: &str) -> PathBuf {
    let path = workspace.path().join("source.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA foreign_keys=off; PRAGMA ignore_check_constraints=on").unwrap();
    connection.execute_batch(script).unwrap();
    path
}

/// Takes all hazards the whole way, on each of [`JUDGES`], and stops the test with everything that doesn't hold.
pub(super) fn judge(hazards: &[Hazard]) {
    judge_on(&JUDGES, hazards);
}

/// The same on these servers.
pub(super) fn judge_on(judges: &[PgVersion], hazards: &[Hazard]) {
    let script: String = hazards.iter().map(|hazard| format!("{};\n", hazard.sql)).collect();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let tasks: Vec<_> = judges.iter().map(|which| scope.spawn(|| judge_one(*which, hazards, &script))).collect();
        tasks.into_iter().flat_map(|task| task.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} don't hold:\n{}", wrong.len(), wrong.join("\n"));
}

fn judge_one(which: PgVersion, hazards: &[Hazard], script: &str) -> Vec<String> {
    let workspace = Workspace::new();
    let source = make(&workspace, script);
    let arrived = LoadedFile::take(which, workspace, &source);
    let mut wrong = Vec::new();
    for hazard in hazards {
        for must in hazard.must {
            if let Err(held) = arrived.ask(must) {
                wrong.push(format!("{} ({which:?}): {must}: {held}", hazard.name));
            }
        }
    }
    wrong
}

/// A file that went the whole way.
pub(super) struct LoadedFile {
    _workspace: Workspace,
    /// The database it went to.
    pub(super) target: Target,
    plan: Value,
    types: BTreeMap<String, String>,
    constraints: BTreeSet<(String, String)>,
    indexes: BTreeSet<(String, String)>,
}

impl LoadedFile {
    /// dump, plan, convert and verify, all of which must end with 0; every finding is accepted.
    pub(super) fn take(which: PgVersion, workspace: Workspace, source: &std::path::Path) -> Self {
        let target = Target::start_on(which);
        let local = target.admin_url();
        let call = |command: &str| workspace.tool(command).env("TURSO2NEON_LOCAL_URL", &local);
        call("dump").arg("--source").arg(source).run().expect_exit(0);
        call("plan").args(["--accept", "all"]).run().expect_exit(0);
        call("convert").args(["--accept", "all"]).run().expect_exit(0);
        call("verify").args(["--against", "local", "--level", "full"]).run().expect_exit(0);
        Self::look(workspace, target)
    }

    fn look(workspace: Workspace, target: Target) -> Self {
        let pairs = |sql: &str| -> Vec<(String, String)> {
            target.query(sql).into_iter().map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap())).collect()
        };
        let here =
            "JOIN pg_class c ON c.oid = REL JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public'";
        let types = format!(
            "SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a {} \
             WHERE a.attnum > 0 AND NOT a.attisdropped",
            here.replace("REL", "a.attrelid")
        );
        let constraints = format!(
            "SELECT c.relname, pg_get_constraintdef(k.oid) FROM pg_constraint k {}",
            here.replace("REL", "k.conrelid")
        );
        let indexes = format!(
            "SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i {}",
            here.replace("REL", "i.indrelid")
        );
        Self {
            types: pairs(&types).into_iter().collect(),
            constraints: pairs(&constraints).into_iter().collect(),
            indexes: pairs(&indexes).into_iter().collect(),
            plan: workspace.read_json("plan/plan.json"),
            _workspace: workspace,
            target,
        }
    }

    /// What holds instead, unless it holds.
    pub(super) fn ask(&self, must: &Expectation) -> Result<(), String> {
        match must {
            Expectation::Type(column, expected) => {
                same(self.types.get(*column).map_or("no such column", String::as_str), expected)
            }
            Expectation::Holds(sql, expected) => {
                let rows = self.target.try_query(&format!("SET timezone = 'Asia/Tokyo'; {sql}"));
                same(
                    &rows.map(|rows| shown(&rows)).unwrap_or_else(|(state, message)| format!("{state} {message}")),
                    expected,
                )
            }
            Expectation::Refuses(sql, state) => match self.target.try_query(&format!("BEGIN; {sql}; COMMIT")) {
                Ok(_) => Err("it is taken".to_owned()),
                Err((found, message)) => same(&found, state).map_err(|_| format!("{found} {message}")),
            },
            Expectation::Constraint(table, definition) => {
                let held = definitions(&self.constraints, table);
                if held.contains(definition) { Ok(()) } else { Err(format!("{held:?}")) }
            }
            Expectation::NoConstraint(table, start) => {
                let held = definitions(&self.constraints, table);
                if held.iter().any(|found| found.starts_with(start)) { Err(format!("{held:?}")) } else { Ok(()) }
            }
            Expectation::Index(table, part) => {
                let held = definitions(&self.indexes, table);
                if held.iter().any(|found| found.contains(part)) { Ok(()) } else { Err(format!("{held:?}")) }
            }
            Expectation::NoIndex(table, part) => {
                let held = definitions(&self.indexes, table);
                if held.iter().any(|found| found.contains(part)) { Err(format!("{held:?}")) } else { Ok(()) }
            }
            Expectation::Finding(code, place) => {
                let found = self.findings();
                let wanted = format!("{code}@{place}");
                if found.contains(&wanted) { Ok(()) } else { Err(near(&found, place)) }
            }
            Expectation::NoFinding(code, place) => {
                if self.findings().contains(&format!("{code}@{place}")) {
                    Err("it is there".to_owned())
                } else {
                    Ok(())
                }
            }
            Expectation::Object(kind, source, outcome) => self.object(kind, source, outcome),
            Expectation::OffType(column, expected) => self.offtype(column, *expected),
            Expectation::Absent(relation) => {
                let found = self.target.value(&format!(
                    "SELECT count(*) FROM pg_class WHERE relname = '{relation}' AND relnamespace = 'public'::regnamespace"
                ));
                same(&found, "0")
            }
        }
    }

    /// `code@place` of all findings.
    fn findings(&self) -> BTreeSet<String> {
        let part = |finding: &Value, key: &str| finding[key].as_str().map(str::to_owned);
        let findings = self.plan["findings"].as_array().unwrap().iter();
        findings
            .map(|finding| {
                let place = [part(finding, "table"), part(finding, "column")];
                let place: Vec<String> = place.into_iter().flatten().collect();
                format!("{}@{}", finding["code"].as_str().unwrap(), place.join("."))
            })
            .collect()
    }

    fn object(&self, kind: &str, source: &str, outcome: &str) -> Result<(), String> {
        let objects = self.plan["objects"].as_array().unwrap();
        let found: Vec<String> = objects
            .iter()
            .filter(|object| object["kind"] == kind && object["source"] == source)
            .map(|object| {
                format!("{} ({})", object["outcome"].as_str().unwrap(), object["reason"].as_str().unwrap_or(""))
            })
            .collect();
        if found.len() == 1 && found[0].starts_with(outcome) { Ok(()) } else { Err(format!("{found:?}")) }
    }

    fn offtype(&self, column: &str, expected: usize) -> Result<(), String> {
        let (table, column) = column.split_once('.').unwrap();
        let there = self.target.value("SELECT to_regclass('public._sqlite_offtype') IS NOT NULL");
        let found = if there == "t" {
            self.target.value(&format!(
                "SELECT count(*) FROM public._sqlite_offtype WHERE table_name = '{table}' AND column_name = '{column}'"
            ))
        } else {
            "0".to_owned()
        };
        same(&found, &expected.to_string())
    }
}

fn same(found: &str, expected: &str) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("holds {found}")) }
}

fn definitions<'a>(all: &'a BTreeSet<(String, String)>, table: &str) -> Vec<&'a str> {
    all.iter().filter(|(found, _)| found == table).map(|(_, definition)| definition.as_str()).collect()
}

/// Findings of the same table.
fn near(found: &BTreeSet<String>, place: &str) -> String {
    let table = place.split('.').next().unwrap();
    let near: Vec<&String> =
        found.iter().filter(|found| found.split('@').nth(1).is_some_and(|at| at.starts_with(table))).collect();
    format!("{near:?}")
}

fn shown(rows: &[Vec<Option<String>>]) -> String {
    let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "~".to_owned());
    rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|")).collect::<Vec<_>>().join("\n")
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Type(column, expected) => write!(out, "{column} is {expected}"),
            Self::Holds(sql, expected) => write!(out, "{sql} gives {expected:?}"),
            Self::Refuses(sql, state) => write!(out, "{sql} is refused with {state}"),
            Self::Constraint(table, definition) => write!(out, "{table} has {definition}"),
            Self::NoConstraint(table, start) => write!(out, "{table} has no {start}"),
            Self::Index(table, part) => write!(out, "{table} has the index {part}"),
            Self::NoIndex(table, part) => write!(out, "{table} has no index {part}"),
            Self::Finding(code, place) => write!(out, "the plan says {code} at {place}"),
            Self::NoFinding(code, place) => write!(out, "the plan doesn't say {code} at {place}"),
            Self::Object(kind, source, outcome) => write!(out, "{kind} {source} is {outcome}"),
            Self::OffType(column, expected) => write!(out, "{column} has {expected} cells in the off-type table"),
            Self::Absent(relation) => write!(out, "{relation} isn't in the target"),
        }
    }
}
