//! The databases of the corpus, each the whole way to the local PostgreSQL and back by verification.
//!
//! The table of results is printed; `scripts/corpus` keeps it in docs/corpus.md (`TURSO2NEON_CORPUS_TABLE` names the
//! file).

use std::{collections::BTreeMap, io::Write, path::Path, sync::Mutex};

use turso2neon::model::{Plan, conversion_plan::Outcome as ObjectOutcome, dropped_objects::DroppedObject};

use crate::support::{Corpus, Run, Target, Tool, Workspace};

/// One line of the table.
struct Outcome {
    database: String,
    tables: usize,
    rows: u64,
    objects: [usize; 3],
    verdict: String,
    findings: String,
    wrong: Option<String>,
}

#[test]
fn every_database_of_the_corpus_arrives_whole_or_is_refused_with_a_reason() {
    let corpus = Corpus::open();
    let target = Target::start();
    let queue = Mutex::new(corpus.files().iter().rev().collect::<Vec<_>>());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(file) = { queue.lock().unwrap().pop() } {
                    let outcome = try_one(file, &target);
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap();
    outcomes.sort_by(|one, other| one.database.cmp(&other.database));
    let table = table(&outcomes);
    print(&table);
    if let Some(path) = std::env::var_os("TURSO2NEON_CORPUS_TABLE") {
        std::fs::write(path, format!("{HEADING}{table}")).unwrap();
    }
    let wrong: Vec<&str> = outcomes.iter().filter_map(|outcome| outcome.wrong.as_deref()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What stands above the table in the docs.
const HEADING: &str = "# Results on real databases\n\n\
    `scripts/corpus` converts the databases of tests/corpus and databases of other projects with `dump`, `plan --accept \
    all`\nand `convert`, and compares every value of every row, and the schema, with `verify --level full`. The following \
    table has\none line for each database. Carried, translated and not carried count tables, keys, indexes, checks, views \
    and triggers.\n\n";

/// Says something even if the test passes.
fn print(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).ok();
}

fn try_one(file: &Path, target: &Target) -> Outcome {
    let database = file.file_name().unwrap().to_string_lossy().into_owned();
    let name = format!("corpus_{}", database.replace(|c: char| !c.is_ascii_alphanumeric(), "_").to_lowercase());
    target.query(&format!("CREATE DATABASE {name}"));
    let workspace = Workspace::new();
    let mut outcome = Outcome {
        database,
        tables: 0,
        rows: 0,
        objects: [0; 3],
        verdict: "equal".to_owned(),
        findings: String::new(),
        wrong: None,
    };
    let local = target.admin_url_of(&name);
    let call = |command: &str| workspace.tool(command).arg("--json").env("TURSO2NEON_LOCAL_URL", &local);
    let steps: [(&str, Tool); 4] = [
        ("dump", call("dump").arg("--source").arg(file)),
        ("plan", call("plan").args(["--accept", "all"])),
        ("convert", call("convert").args(["--accept", "all"])),
        ("verify", call("verify").args(["--against", "local", "--level", "full"])),
    ];
    for (step, tool) in steps {
        let run = tool.run();
        if step == "dump" && workspace.dir().join("dump/checkpoint.json").is_file() {
            let checkpoint = workspace.read_json("dump/checkpoint.json");
            let rows = checkpoint["rows"].as_object().unwrap();
            outcome.tables = rows.len();
            outcome.rows = rows.values().filter_map(serde_json::Value::as_u64).sum();
        }
        if matches!(step, "plan" | "convert") && workspace.dir().join("plan/plan.json").is_file() {
            let plan = plan_as_loaded(&workspace);
            outcome.findings = findings(&plan);
            outcome.objects = [ObjectOutcome::Carried, ObjectOutcome::Translated, ObjectOutcome::NotCarried]
                .map(|kind| plan.objects.iter().filter(|object| object.outcome == kind).count());
        }
        if run.code() != Some(0) {
            judge(&mut outcome, step, &run);
            break;
        }
        if step == "verify" {
            outcome.wrong = unverified(&workspace, &run).map(|what| format!("{}: {what}", outcome.database));
        }
    }
    if outcome.tables == 0 && outcome.wrong.is_none() {
        outcome.wrong = Some(format!("{}: no table was counted", outcome.database));
    }
    drop(workspace);
    target.query(&format!("DROP DATABASE {name} WITH (FORCE)"));
    outcome
}

/// A table that was dumped, but neither verified row by row nor named as skipped.
fn unverified(workspace: &Workspace, run: &Run) -> Option<String> {
    let last = run.last_json();
    let verdicts = last["answer"]["record"]["verified"]["tables"].as_array().unwrap();
    let plan = workspace.read_json("plan/plan.json");
    let findings = plan["findings"].as_array().unwrap();
    let dump = workspace.read_json("dump/checkpoint.json");
    dump["rows"].as_object().unwrap().iter().find_map(|(table, rows)| {
        let skipped = findings.iter().any(|finding| finding["code"] == "table-skipped" && finding["table"] == **table);
        let verified = verdicts.iter().any(|verdict| verdict["table"] == **table && verdict["rows"] == *rows);
        (!skipped && !verified).then(|| format!("{table} with {rows} rows was neither verified nor named as skipped"))
    })
}

/// A refusal that names its reason is an answer; everything else is wrong.
fn judge(outcome: &mut Outcome, step: &str, run: &Run) {
    let last = run.stdout.lines().last().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let message = last.as_ref().and_then(|last| last["message"].as_str()).unwrap_or("no message").to_owned();
    let code = run.code().map_or_else(|| "a signal".to_owned(), |code| code.to_string());
    outcome.verdict = format!("{step} exit {code}: {message}");
    let refused = matches!((step, run.code()), ("plan" | "convert", Some(5)));
    if !refused {
        outcome.wrong = Some(format!("{}: {}\n{}", outcome.database, outcome.verdict, run.stderr));
    }
}

/// The plan without what convert tried and did not create.
fn plan_as_loaded(workspace: &Workspace) -> Plan {
    let plan: Plan = serde_json::from_str(&workspace.read("plan/plan.json")).unwrap();
    if !workspace.dir().join("convert/checkpoint.json").is_file() {
        return plan;
    }
    let checkpoint = workspace.read_json("convert/checkpoint.json");
    let dropped: Vec<DroppedObject> = serde_json::from_value(checkpoint["withheld"].clone()).unwrap_or_default();
    plan.without(&dropped)
}

/// How often each code was found.
fn findings(plan: &Plan) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &plan.findings {
        *counts.entry(finding.code.word()).or_default() += 1;
    }
    let words: Vec<String> = counts.iter().map(|(code, count)| format!("{code} {count}")).collect();
    words.join(", ")
}

fn table(outcomes: &[Outcome]) -> String {
    let mut text = "| Database | Tables | Rows | Carried | Translated | Not carried | Verified | Findings |\n\
                    |---|---:|---:|---:|---:|---:|---|---|\n"
        .to_owned();
    for outcome in outcomes {
        let [carried, translated, left] = outcome.objects;
        text += &format!(
            "| {} | {} | {} | {carried} | {translated} | {left} | {} | {} |\n",
            outcome.database,
            outcome.tables,
            outcome.rows,
            outcome.verdict.replace('|', "/"),
            outcome.findings
        );
    }
    let equal = outcomes.iter().filter(|outcome| outcome.verdict == "equal").count();
    let sum = |part: usize| outcomes.iter().map(|outcome| outcome.objects[part]).sum::<usize>();
    text + &format!(
        "\n{equal} of {} verified equal; of their tables, keys, indexes, checks, views and triggers {} were carried, {} \
         translated\nand {} not carried, each with its reason and its SQL in the report.\n",
        outcomes.len(),
        sum(0),
        sum(1),
        sum(2)
    )
}
