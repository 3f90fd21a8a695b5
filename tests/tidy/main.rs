//! Checks the source code: who may import whom, how large a file may get, which words are not allowed.
//!
//! Owns no opinion that the compiler or clippy already has. Standard library only. Every allow-list here fails when
//! an entry is no longer needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a broken rule should stop the test"
)]

mod artifacts;

mod documents;

mod reading;

mod circles;
mod tested_codes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
};

use circles::{circles, module_graph};
use reading::{area, files_below, functions, imports, lines_outside_tests, module_of, relative, root, sources};

/// Lines a source file may have, its tests not counted.
const FILE_LINES_MAX: usize = 500;

/// Lines of code a function may have.
const FUNCTION_LINES_MAX: usize = 70;

/// Which areas an area may import besides itself, from the lowest layer up. `stages/x` stands for one stage.
const IMPORTS: &[(&str, &[&str])] = &[
    // Words: nouns everybody speaks.
    ("words", &[]),
    ("model", &[]),
    ("secret", &[]),
    ("tls_failure", &[]),
    ("tls_roots", &[]),
    ("error", &["model"]),
    ("event", &["model", "error"]),
    ("file_access", &[]),
    ("program", &[]),
    // Rules decide; they see words alone.
    ("rules", &["model", "error"]),
    // Doors: one per outside system, none knows another.
    ("source", &["model", "error", "event", "file_access", "secret", "tls_failure", "tls_roots", "context", "retry"]),
    // Reading values asks the rules what they look like; these are pure, so this still goes down.
    ("sqlite", &["model", "error", "event", "rules", "worker_pool"]),
    ("workdir", &["model", "error", "event", "file_access"]),
    ("context", &["model", "error", "event", "workdir"]),
    ("retry", &["model", "error", "event", "context"]),
    ("worker_pool", &["error", "context"]),
    (
        "postgres",
        &[
            "model",
            "error",
            "event",
            "file_access",
            "program",
            "secret",
            "tls_failure",
            "tls_roots",
            "context",
            "workdir",
            "rules",
            "retry",
        ],
    ),
    // Stages use rules and doors, and of the other stages only what the way there has made.
    ("stages/dump", &["WORDS", "rules", "source", "sqlite"]),
    ("stages/plan", &["WORDS", "rules", "sqlite"]),
    ("stages/convert", &["WORDS", "rules", "sqlite", "postgres", "stages/plan"]),
    // A plan's existing schema is tried on rows that are loaded as they would be.
    ("stages/schema_trial", &["WORDS", "postgres", "stages/plan", "stages/convert"]),
    ("neon", &["model", "error", "event", "secret", "tls_roots", "context", "workdir", "retry"]),
    ("stages/push", &["WORDS", "rules", "postgres", "neon", "stages/plan"]),
    // Verification that shared code with the loading would repeat its mistakes.
    ("stages/verify", &["WORDS", "sqlite", "postgres"]),
    // What is reported about the stages, from their artifacts.
    ("stages/report", &["WORDS", "stages/verify"]),
    ("stages/status", &["WORDS", "postgres", "stages/plan", "stages/report"]),
    ("stages/doctor", &["WORDS", "source", "sqlite", "postgres", "stages/dump", "stages/push"]),
    ("stages/clean", &["WORDS"]),
    ("stages/schema", &["WORDS", "rules", "postgres", "stages/push"]),
    // The way and the front.
    ("pipeline", &["WORDS", "sqlite", "source", "postgres", "stages"]),
    ("ui", &["WORDS", "stages", "pipeline"]),
    ("cli", &["WORDS", "rules", "source", "sqlite", "postgres", "neon", "stages", "pipeline", "ui"]),
];

/// What verification must not import of the areas that it may import: code that loading uses to make values.
const NOT_IN_VERIFICATION: &[&str] =
    &["postgres::copy", "postgres::load_journal", "postgres::existing_schema", "sqlite::profile"];

/// Modules that may import each other in a circle: three grammars, because expressions hold queries and the other way
/// round; and push.
const CIRCLES: &[&str] = &["rules::expression", "rules::query", "rules::trigger", "stages::push"];

/// What `WORDS` stands for in [`IMPORTS`].
const WORDS: &[&str] =
    &["model", "error", "event", "file_access", "secret", "context", "workdir", "retry", "worker_pool"];

/// Where a secret is turned back into text, and how often in each file.
const EXPOSED: &[(&str, usize)] = &[
    ("src/cli/environment.rs", 1),
    ("src/cli/settings/mod.rs", 1),
    ("src/neon/api.rs", 1),
    ("src/postgres/endpoint/mod.rs", 1),
    ("src/postgres/endpoint/password.rs", 3),
    ("src/postgres/existing_schema/mod.rs", 2),
    ("src/source/endpoint.rs", 1),
    ("src/source/http.rs", 2),
    ("src/source/turso_api.rs", 1),
    ("src/source/token.rs", 2),
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "manager", "handler", "info", "data", "misc", "types"];

/// Words that stay out of everything that is kept in the repository, spelled in halves so that this file may hold
/// them, each with the reason.
const BANNED: &[(&str, &str, &str)] = &[
    ("to", "do!", "unfinished code"),
    ("unimple", "mented!", "unfinished code"),
    ("FIX", "ME", "unfinished code"),
    ("TO", "DO", "unfinished code"),
    ("for n", "ow", "unfinished code"),
    ("not b", "uilt", "unfinished code"),
    ("/wo", "rk/", "a path of one machine"),
    ("/ro", "ot/", "a path of one machine"),
    ("crates", ".io", "a registry's host"),
    ("npm", "js.", "a registry's host"),
    ("pypi", ".org", "a registry's host"),
    ("deb.deb", "ian.org", "a registry's host"),
];

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn imports_go_down_only() {
    let areas: BTreeMap<&str, &[&str]> = IMPORTS.iter().copied().collect();
    let mut problems = Vec::new();
    for source in sources() {
        let own = area(&module_of(&source.path));
        if own == "lib" || own == "stages" {
            continue;
        }
        let Some(allowed) = areas.get(own.as_str()) else {
            problems.push(format!("{}: an area that tests/tidy doesn't know: add it to IMPORTS", source.path));
            continue;
        };
        for path in imports(&source) {
            let other = area(&path);
            let known = other == own
                || other == "lib"
                || allowed.contains(&other.as_str())
                || (allowed.contains(&"WORDS") && WORDS.contains(&other.as_str()))
                || (allowed.contains(&"stages") && other.starts_with("stages"));
            if !known {
                problems.push(format!("{}: {own} must not import {other} ({})", source.path, path.join("::")));
            }
        }
    }
    report(&problems);
}

#[test]
fn verification_uses_nothing_of_the_loading_code() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/stages/verify/")) {
        for path in imports(source) {
            let path = path.join("::");
            if NOT_IN_VERIFICATION.iter().any(|forbidden| path.starts_with(forbidden)) {
                problems.push(format!("{}: imports {path}, which belongs to loading", source.path));
            }
        }
    }
    report(&problems);
}

#[test]
fn modules_do_not_import_each_other_in_circles() {
    let sources = sources();
    let graph = module_graph(&sources);
    let is_in = |module: &str, part: &str| module == part || module.starts_with(&format!("{part}::"));
    let mut needed = BTreeSet::new();
    let mut problems = Vec::new();
    for circle in circles(&graph) {
        for module in &circle {
            match CIRCLES.iter().find(|allowed| is_in(module, allowed)) {
                Some(allowed) => {
                    needed.insert(*allowed);
                }
                None => problems.push(format!("{module} is part of a circle: {}", circle.join(", "))),
            }
        }
    }
    let gone = CIRCLES.iter().filter(|allowed| !needed.contains(*allowed));
    problems.extend(gone.map(|allowed| format!("CIRCLES names {allowed}, which is part of no circle any more")));
    report(&problems);
}

#[test]
fn every_room_of_the_table_exists() {
    let areas: BTreeSet<String> = sources().iter().map(|source| area(&module_of(&source.path))).collect();
    let gone = IMPORTS.iter().filter(|(name, _)| !areas.contains(*name));
    report(&gone.map(|(name, _)| format!("IMPORTS names {name}, which isn't there")).collect::<Vec<_>>());
}

#[test]
fn files_and_functions_fit_on_the_desk() {
    let mut problems = Vec::new();
    for source in sources() {
        let tests = source.text.lines().count() - lines_outside_tests(&source.text);
        let lines = source.text.lines().count() - tests;
        if lines > FILE_LINES_MAX {
            problems.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", source.path));
        }
        for (name, lines) in functions(&source.code) {
            if lines > FUNCTION_LINES_MAX {
                problems.push(format!("{}: fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}", source.path));
            }
        }
    }
    report(&problems);
}

/// The integration tests' files: path and text.
fn test_sources() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    files_below(&root().join("tests/it"), &mut paths);
    paths.into_iter().map(|path| (relative(&path), fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn test_files_are_small() {
    let large = test_sources().into_iter().filter(|(_, text)| text.lines().count() > FILE_LINES_MAX);
    report(&large.map(|(path, _)| format!("{path} has more than {FILE_LINES_MAX} lines")).collect::<Vec<_>>());
}

#[test]
fn every_module_says_what_it_is() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    report(&silent.map(|source| format!("{}: begins without a module doc", source.path)).collect::<Vec<_>>());
}

#[test]
fn every_sql_file_says_what_it_is() {
    let mut paths = Vec::new();
    files_below(&root().join("src"), &mut paths);
    files_below(&root().join("tests"), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    let silent = paths.iter().filter(|path| !fs::read_to_string(path).unwrap().starts_with("--"));
    report(&silent.map(|path| format!("{}: begins without a comment", relative(path))).collect::<Vec<_>>());
}

#[test]
fn names_say_what_is_inside() {
    let mut problems = Vec::new();
    for source in sources() {
        for part in module_of(&source.path) {
            if EMPTY_NAMES.contains(&part.as_str()) {
                problems.push(format!("{}: {part} says nothing", source.path));
            }
        }
    }
    report(&problems);
}

#[test]
fn some_words_stay_out() {
    let mut problems = Vec::new();
    for path in kept_files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (number, line) in text.lines().enumerate() {
            for (first, second, reason) in BANNED {
                let word = format!("{first}{second}");
                // The lock file names its registry by itself.
                if line.contains(&word) && path != "Cargo.lock" {
                    problems.push(format!("{path}:{}: {word}: {reason}", number + 1));
                }
            }
        }
    }
    report(&problems);
}

/// Everything that belongs to the repository: no build results, no version control.
fn kept_files() -> Vec<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && ![".git", "target", "migration"].contains(&name.as_str()) {
            files_below(&path, &mut paths);
        } else if path.is_file() && name != ".git" {
            paths.push(path);
        }
    }
    paths.iter().map(|path| relative(path)).collect()
}

#[test]
fn secrets_are_opened_only_where_they_are_used() {
    let mut found = BTreeMap::new();
    for source in sources() {
        let count = source.code.matches(".expose()").count();
        if count > 0 {
            found.insert(source.path, count);
        }
    }
    let allowed: BTreeMap<String, usize> = EXPOSED.iter().map(|(path, count)| ((*path).to_owned(), *count)).collect();
    let mut problems = Vec::new();
    for (path, count) in &found {
        match allowed.get(path) {
            Some(expected) if expected == count => {}
            Some(expected) => problems.push(format!("{path}: expose() {count} times, EXPOSED says {expected}")),
            None => problems.push(format!("{path}: expose() {count} times, EXPOSED doesn't name it")),
        }
    }
    let gone = allowed.keys().filter(|path| !found.contains_key(*path));
    problems.extend(gone.map(|path| format!("{path}: no expose() any more, EXPOSED still names it")));
    report(&problems);
}

#[test]
fn only_the_ui_has_a_voice() {
    let mut problems = Vec::new();
    for source in sources() {
        let own = area(&module_of(&source.path));
        for voice in ["io::stdout", "io::stderr", "print!", "println!", "eprint!", "eprintln!"] {
            if own != "ui" && source.code.contains(voice) {
                problems.push(format!("{}: {voice} outside ui", source.path));
            }
        }
    }
    report(&problems);
}

#[test]
fn scripts_can_be_started() {
    let mut problems = Vec::new();
    for path in kept_files() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        let executable = fs::metadata(root().join(&path)).unwrap().permissions().mode() & 0o111 != 0;
        if text.starts_with("#!/") && !executable {
            problems.push(format!("{path}: has a #! line and isn't executable"));
        }
    }
    report(&problems);
}
