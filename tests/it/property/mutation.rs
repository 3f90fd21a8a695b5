//! Mutated SQL: neither the schema's reader nor the translators panic, hang or say a thing that isn't so.
//!
//! `TURSO2NEON_TEST_SECONDS` says how long, `TURSO2NEON_TEST_SEED` repeats one round.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use rusqlite::Connection;
use turso2neon::{
    context::{Cancellation, Context},
    error::Kind,
    event::{Event, Sink},
    model::{Plan, source_schema::SourceSchema},
    rules::expression::{self, NameScope},
    sqlite::catalog,
    stages::{
        dump::dump,
        plan::{PlanRequest, plan},
    },
    workdir::Workdir,
};

use crate::{
    hazards,
    support::{Rng, Workspace, fixture::sqlite, plan_builder, process::block_on, rng},
};

/// How long each of the two tries, by default.
const SECONDS: u64 = 3;

/// No single text may take longer.
const HANG: Duration = Duration::from_secs(20);

/// Expressions translated per round.
const EXPRESSIONS: usize = 400;

/// What is thrown in between.
const WORDS: &[&str] = &[
    "(",
    ")",
    ",",
    ";",
    "'",
    "\"",
    "`",
    "[",
    "]",
    "''",
    "\"\"",
    "x'",
    "x'00'",
    "--",
    "/*",
    "*/",
    "NULL",
    "NOT",
    "IS",
    "IN",
    "()",
    "LIKE",
    "GLOB",
    "ESCAPE '\\'",
    "COLLATE",
    "NOCASE",
    "CAST(",
    " AS ",
    "INTEGER",
    "TEXT)",
    "BETWEEN",
    "AND",
    "OR",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "LIMIT",
    "OFFSET",
    "-1",
    "0",
    "1.",
    ".5",
    "1e",
    "1e999",
    "0x",
    "0xFFFFFFFFFFFFFFFFFF",
    "9223372036854775808",
    "-9223372036854775808",
    "1_000",
    "||",
    "->",
    "->>",
    "'$.a'",
    "'$'",
    "<<",
    "%",
    "/",
    "*",
    "~",
    "-",
    "+",
    "=",
    "==",
    "<>",
    "!=",
    "?",
    "?1",
    ":a",
    "@b",
    "$c",
    "json_extract(",
    "substr(",
    "strftime(",
    "'%Y-%m-%d'",
    "'now'",
    "datetime(",
    "coalesce(",
    "round(",
    "abs(",
    "printf(",
    "'%d'",
    "max(",
    "min(",
    "instr(",
    "hex(",
    "length(",
    "random()",
    "count(*)",
    "OVER (",
    "PARTITION BY",
    "FILTER (",
    "EXISTS (",
    "UNION ALL",
    "WITH RECURSIVE c AS (",
    "VALUES (",
    "CREATE TABLE",
    "CREATE VIEW",
    "CREATE TRIGGER",
    "PRIMARY KEY",
    "REFERENCES",
    "GENERATED ALWAYS AS (",
    "STORED",
    "CHECK (",
    "DEFAULT",
    "UNIQUE",
    "ON CONFLICT",
    "WITHOUT ROWID",
    "STRICT",
    "RANDOM ROWID",
    "AUTOINCREMENT",
    "DEFERRABLE",
    "INITIALLY DEFERRED",
    "CONSTRAINT",
    "\u{0}",
    "\u{feff}",
    "é",
    "😀",
    "\u{2028}",
    "\n",
    "\t",
    "RAISE(ABORT, 'x')",
    "NEW.id",
    "OLD.id",
    "rowid",
    "USING fts5(",
    "ISNULL",
    "NOTNULL",
    "REGEXP",
    "MATCH",
    "INDEXED BY",
    "NOT MATERIALIZED",
    "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
];

struct NullSink;

impl Sink for NullSink {
    fn emit(&self, _: &Event) {}
}

/// The text cut into words, strings and signs.
fn pieces(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let end = if is_word(first) {
            rest.find(|letter| !is_word(letter)).unwrap_or(rest.len())
        } else if first.is_whitespace() {
            rest.find(|letter: char| !letter.is_whitespace()).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (piece, after) = rest.split_at(end);
        all.push(piece);
        rest = after;
    }
    all
}

/// One to some changes.
fn mutate(rng: &mut Rng, text: &str, others: &[&str]) -> String {
    let mut all: Vec<String> = pieces(text).into_iter().map(str::to_owned).collect();
    for _ in 0..=rng.below(4) {
        if all.is_empty() {
            return rng.pick(WORDS).to_owned();
        }
        let at = rng.below(all.len());
        match rng.below(9) {
            0 => drop(all.remove(at)),
            1 => all.insert(at, all[at].clone()),
            2 => all.insert(at, format!(" {} ", rng.pick(WORDS))),
            3 => all[at] = rng.pick(WORDS).to_owned(),
            4 => {
                let other = rng.below(all.len());
                all.swap(at, other);
            }
            5 => all.truncate(at),
            6 => {
                let donor = pieces(rng.pick(others));
                let from = rng.below(donor.len().max(1));
                let length = rng.below(12);
                let taken: Vec<String> =
                    donor.iter().skip(from).take(length).map(|piece| (*piece).to_owned()).collect();
                all.splice(at..at, taken);
            }
            7 => {
                let depth = rng.pick(&[2, 30, 1_000]);
                all[at] = format!("{}{}{}", "(".repeat(depth), all[at], ")".repeat(depth));
            }
            _ => {
                let times = rng.pick(&[2, 50, 500]);
                let sign = rng.pick(&[" || ", " AND ", ", ", "NOT ", "- ", "~", " COLLATE NOCASE", " + 1"]);
                all[at] = format!("{} {}", all[at], sign.repeat(times));
            }
        }
    }
    all.concat()
}

/// Calls it in a thread of its own, which may neither panic nor stay away.
fn in_time(what: &str, call: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(move || sender.send(catch_unwind(AssertUnwindSafe(call)).is_ok()).ok())
        .unwrap();
    match receiver.recv_timeout(HANG) {
        Ok(true) => {}
        Ok(false) => panic!("a panic at: {what}"),
        Err(late) => panic!("{late}: no answer within {HANG:?} to: {what}"),
    }
}

/// Everything in parentheses, which is where expressions are.
fn fragments(scripts: &[&'static str]) -> Vec<&'static str> {
    let mut found = Vec::new();
    for script in scripts {
        let mut open = Vec::new();
        for (at, byte) in script.bytes().enumerate() {
            match byte {
                b'(' => open.push(at + 1),
                b')' => found.extend(open.pop().map(|from| &script[from..at])),
                _ => {}
            }
        }
    }
    found.retain(|fragment| fragment.len() < 400);
    found
}

fn dumped(workspace: &Workspace, source: &Path) -> Context {
    let workdir = Workdir::create(&workspace.dir()).unwrap();
    let ctx = Context { workdir, out: Arc::new(NullSink), stop: Cancellation::default() };
    let request = plan_builder::dump_request(source.to_str().unwrap());
    block_on(async { dump(&ctx, &request).await }).unwrap();
    ctx
}

const COLUMNS: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, b TEXT COLLATE NOCASE, c REAL, d BLOB, e BOOLEAN, f DATETIME, g JSON, h DECIMAL(10,2), \
    i, j DATE, k UUID, l TEXT AS (b || 'x'), \"odd \"\"name\" TEXT); \
    INSERT INTO t VALUES (1, 2, 'x', 1.5, x'00', 1, '2024-01-01 00:00:00', '{\"a\":1}', 1.25, 'y', '2024-01-01', '6f1c9bd0-1111-4000-8000-00000000000a', 'z')";

/// A plan and the schema that it is of.
fn planned() -> (Plan, SourceSchema) {
    let workspace = Workspace::new();
    let source = workspace.sqlite("source.db", COLUMNS);
    let ctx = dumped(&workspace, &source);
    let request = PlanRequest::default();
    let planned = block_on(async { plan(&ctx, &request).await }).unwrap();
    (planned.plan, catalog::read(&Connection::open(&source).unwrap()).unwrap())
}

#[test]
fn mutated_expressions_are_translated_or_refused() {
    let scripts = hazards::scripts();
    let fragments = fragments(&scripts);
    assert!(fragments.len() > 100);
    let (plan, schema) = planned();
    let (plan, schema) = (Arc::new(plan), Arc::new(schema));
    let mut seen: BTreeMap<bool, usize> = BTreeMap::new();
    rng::rounds(SECONDS, |seed| {
        let mut rng = Rng::new(seed);
        for _ in 0..EXPRESSIONS {
            let base = rng.pick(&fragments);
            let sql = if rng.once_in(10) { base.to_owned() } else { mutate(&mut rng, base, &fragments) };
            let (plan, schema, text) = (Arc::clone(&plan), Arc::clone(&schema), sql.clone());
            let (sender, receiver) = mpsc::channel();
            in_time(&sql, move || {
                let scope = NameScope::new(&plan.tables[0], &schema.tables[0], "UTF-8");
                let translated = [scope.value(&text), scope.key(&text, Some("NOCASE"))];
                let condition = scope.condition(&text);
                let called = expression::call(&text);
                assert!(called.is_none_or(|call| call.name == call.name.to_ascii_lowercase()));
                for column in &plan.tables[0].columns {
                    expression::default(&text, column).ok();
                }
                sender.send(translated.iter().any(Result::is_ok) || condition.is_ok()).ok();
            });
            *seen.entry(receiver.recv().unwrap()).or_default() += 1;
        }
    });
    println!("{seen:?}: translated");
}

/// A file of some hazards in which the stored text of some objects is another.
fn damaged(rng: &mut Rng, scripts: &[&'static str], path: &Path) -> String {
    let script = format!("PRAGMA foreign_keys=off; PRAGMA ignore_check_constraints=on; {}", rng.pick(scripts));
    sqlite(path, &script);
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("PRAGMA writable_schema=on").unwrap();
    let mut statement = connection.prepare("SELECT rowid, sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
    let entries: Vec<(i64, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    drop(statement);
    let mut text = String::new();
    for _ in 0..=rng.below(3) {
        let (rowid, sql) = &entries[rng.below(entries.len())];
        let changed = mutate(rng, sql, scripts);
        connection
            .execute("UPDATE sqlite_schema SET sql = ?1 WHERE rowid = ?2", rusqlite::params![changed, rowid])
            .unwrap();
        write!(text, "{changed}\n---\n").unwrap();
    }
    text
}

#[test]
fn mutated_schemas_are_read_or_refused() {
    let scripts = hazards::scripts();
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    rng::rounds(SECONDS, |seed| {
        let mut rng = Rng::new(seed);
        let workspace = Workspace::new();
        let source = workspace.path().join("source.db");
        let text = damaged(&mut rng, &scripts, &source);
        let (sent, receiver) = mpsc::channel();
        in_time(&text, move || {
            let workspace = workspace;
            let workdir = Workdir::create(&workspace.dir()).unwrap();
            let ctx = Context { workdir, out: Arc::new(NullSink), stop: Cancellation::default() };
            let request = plan_builder::dump_request(source.to_str().unwrap());
            let end = block_on(async {
                dump(&ctx, &request).await?;
                plan(&ctx, &PlanRequest::default()).await.map(|_| ())
            });
            sent.send(end.err().map(|error| error.kind())).ok();
        });
        let end = match receiver.recv().unwrap() {
            None => "planned",
            Some(Kind::SourceInvalid) => "refused",
            Some(other) => panic!("{other:?} for:\n{text}"),
        };
        *ends.entry(end).or_default() += 1;
    });
    println!("{ends:?}");
}
