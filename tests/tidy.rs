//! The house checks itself: who may import whom, how large a file may get, which words stay out.
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

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Lines a source file may have, its tests not counted.
const FILE_LINES_MAX: usize = 500;

/// Lines of code a function may have.
const FUNCTION_LINES_MAX: usize = 70;

/// Which rooms a room may import besides itself, from the ground up. `stages/x` stands for one stage.
const IMPORTS: &[(&str, &[&str])] = &[
    // Words: nouns everybody speaks.
    ("model", &[]),
    ("secret", &[]),
    ("error", &["model"]),
    ("event", &["model", "error"]),
    // Rules decide; they see words alone.
    ("rules", &["model", "error"]),
    // Doors: one per outside system, none knows another.
    ("source", &["model", "error", "event", "secret", "context"]),
    // Reading values asks the rules what they look like; these are pure, so this still goes down.
    ("sqlite", &["model", "error", "event", "rules"]),
    ("workdir", &["model", "error", "event"]),
    ("context", &["model", "error", "event", "workdir"]),
    ("postgres", &["model", "error", "event", "secret", "context", "workdir", "rules"]),
    // Stages use rules and doors, and of the other stages only what the way there has made.
    ("stages/dump", &["WORDS", "rules", "source", "sqlite"]),
    ("stages/plan", &["WORDS", "rules", "sqlite"]),
    ("stages/convert", &["WORDS", "rules", "sqlite", "postgres", "stages/plan"]),
    ("neon", &["model", "error", "event", "secret", "context", "workdir"]),
    ("stages/push", &["WORDS", "rules", "postgres", "neon", "stages/plan"]),
    // Verification that shared code with the loading would repeat its mistakes.
    ("stages/verify", &["WORDS", "rules", "sqlite", "postgres", "stages/plan"]),
    // What is told about the stages, from their artifacts.
    ("stages/report", &["WORDS", "stages/verify"]),
    ("stages/status", &["WORDS", "stages/report"]),
    ("stages/doctor", &["WORDS", "source", "sqlite", "postgres", "stages/dump"]),
    ("stages/clean", &["WORDS"]),
    // The way and the front.
    ("pipeline", &["WORDS", "sqlite", "source", "postgres", "stages"]),
    ("ui", &["WORDS", "stages", "pipeline"]),
    ("cli", &["WORDS", "rules", "source", "sqlite", "postgres", "neon", "stages", "pipeline", "ui"]),
];

/// What `WORDS` stands for in [`IMPORTS`].
const WORDS: &[&str] = &["model", "error", "event", "secret", "context", "workdir"];

/// Where a secret is turned back into text, and how often in each file.
const EXPOSED: &[(&str, usize)] = &[
    ("src/cli/settings.rs", 1),
    ("src/neon/api.rs", 1),
    ("src/postgres/endpoint/mod.rs", 1),
    ("src/postgres/given/mod.rs", 1),
    ("src/source/endpoint.rs", 1),
    ("src/source/http.rs", 2),
    ("src/source/platform.rs", 1),
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

struct Source {
    /// Relative to the repository.
    path: String,
    text: String,
    /// Without comments, strings and tests; the same lines.
    code: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    files_below(&root().join("src"), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.retain(|path| !path.ends_with("tests.rs"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = without_tests(&without_words(&text));
        Source { path: relative(&path), text, code }
    };
    paths.into_iter().map(read).collect()
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Blanks comments and the inside of strings and character literals; keeps every line break.
fn without_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = literal_length(rest);
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.push('"');
            out.extend(rest[..length].chars().filter(|character| *character == '\n'));
            out.push('"');
            rest = &rest[length..];
        }
        // A word that ends in r or b doesn't begin a string.
        let word = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').map(char::len_utf8).sum::<usize>();
        if (first.is_alphanumeric() || first == '_') && word > 0 {
            out.push_str(&rest[..word]);
            rest = &rest[word..];
        }
    }
    out
}

/// How many bytes the comment, string or character literal at the beginning takes; 0 if there is none.
fn literal_length(rest: &str) -> usize {
    let until = |start: usize, end: &str| rest[start..].find(end).map_or(rest.len(), |at| start + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until(2, "*/");
    }
    let prefix = rest.len() - rest.trim_start_matches(['b', 'c', 'r']).len();
    let quoted = &rest[prefix.min(2)..];
    if prefix <= 2 && rest[..prefix].contains('r') {
        let hashes = quoted.len() - quoted.trim_start_matches('#').len();
        if quoted[hashes..].starts_with('"') {
            return until(prefix + hashes + 1, &format!("\"{}", "#".repeat(hashes)));
        }
    } else if prefix <= 1 && quoted.starts_with('"') {
        return prefix + escaped_length(quoted, '"');
    } else if prefix <= 1 && quoted.starts_with('\'') {
        let inside = &quoted[1..];
        let lifetime = !inside.starts_with('\\') && inside.chars().nth(1) != Some('\'');
        return if lifetime { 0 } else { prefix + escaped_length(quoted, '\'') };
    }
    0
}

fn escaped_length(quoted: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in quoted.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    quoted.len()
}

/// Blanks every `#[cfg(test)]` item; keeps every line break.
fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        let item = &rest[at..];
        let end = match (item.find('{'), item.find(';')) {
            (Some(open), semicolon) if semicolon.is_none_or(|semicolon| open < semicolon) => {
                open + block(&item[open..])
            }
            (_, Some(semicolon)) => semicolon + 1,
            (_, None) => item.len(),
        };
        out.extend(item[..end].chars().filter(|character| *character == '\n'));
        rest = &item[end..];
    }
    out.push_str(rest);
    out
}

/// How many bytes the block that begins here takes, braces included.
fn block(code: &str) -> usize {
    let mut depth = 0;
    for (at, character) in code.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Every path in the code that begins at `crate` or leaves the module by `super`, as rooms below `src`.
fn imports(source: &Source) -> BTreeSet<Vec<String>> {
    let module = module_of(&source.path);
    let mut found = BTreeSet::new();
    let bytes = source.code.as_bytes();
    for start in ["crate::", "super::"] {
        for (at, _) in source.code.match_indices(start) {
            let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
            let chained = at > 1 && &source.code[at - 2..at] == "::";
            // `pub(in crate::x)` names a place, it imports nothing.
            if word_before || chained || source.code[..at].ends_with("(in ") {
                continue;
            }
            let mut base = if start == "crate::" { Vec::new() } else { module.clone() };
            let mut rest = if start == "crate::" { &source.code[at + 7..] } else { &source.code[at..] };
            while let Some(after) = rest.strip_prefix("super::") {
                base.pop();
                rest = after;
            }
            expand(rest, &base, &mut found);
        }
    }
    found
}

/// `src/a/b.rs` is `a::b`, `src/a/mod.rs` is `a`.
fn module_of(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').filter(|part| !["mod", "lib", "main"].contains(part)).map(str::to_owned).collect()
}

/// Adds the paths of a use tree, as deep as rooms go.
fn expand(tree: &str, base: &[String], found: &mut BTreeSet<Vec<String>>) {
    let tree = tree.trim_start();
    if tree.starts_with('{') {
        let inside = &tree[1..block(tree) - 1];
        for branch in branches(inside) {
            expand(branch, base, found);
        }
        return;
    }
    let length = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    let mut path = base.to_vec();
    if length > 0 {
        path.push(tree[..length].to_owned());
    }
    match tree[length..].strip_prefix("::") {
        Some(rest) if path.len() < 3 => expand(rest, &path, found),
        _ => {
            found.insert(path);
        }
    }
}

/// Splits the inside of a group at its own commas.
fn branches(inside: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// `stages/x` for a stage, else the folder or file directly below `src`.
fn room(path: &[String]) -> String {
    match path {
        [stages, stage, ..] if stages == "stages" => format!("stages/{stage}"),
        [first, ..] => first.clone(),
        [] => "lib".to_owned(),
    }
}

#[test]
fn imports_go_down_only() {
    let rooms: BTreeMap<&str, &[&str]> = IMPORTS.iter().copied().collect();
    let mut problems = Vec::new();
    for source in sources() {
        let own = room(&module_of(&source.path));
        if own == "lib" || own == "stages" {
            continue;
        }
        let Some(allowed) = rooms.get(own.as_str()) else {
            problems.push(format!("{}: a room that tests/tidy.rs doesn't know: add it to IMPORTS", source.path));
            continue;
        };
        for path in imports(&source) {
            let other = room(&path);
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
fn every_room_of_the_table_exists() {
    let rooms: BTreeSet<String> = sources().iter().map(|source| room(&module_of(&source.path))).collect();
    let gone = IMPORTS.iter().filter(|(name, _)| !rooms.contains(*name));
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

/// Lines that aren't part of a `#[cfg(test)] mod`.
fn lines_outside_tests(text: &str) -> usize {
    let code = without_words(text);
    let mut inside = 0;
    let mut rest = code.as_str();
    while let Some(at) = rest.find("#[cfg(test)]") {
        let item = &rest[at..];
        let end = item.find('{').map_or(item.len(), |open| open + block(&item[open..]));
        inside += item[..end].lines().count();
        rest = &item[end..];
    }
    text.lines().count() - inside
}

/// Name and lines of code of every function with a body.
fn functions(code: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let end = rest.find(['{', ';']).unwrap_or(rest.len());
        if !name.is_empty() && rest[end..].starts_with('{') {
            let body = &rest[end..end + block(&rest[end..])];
            found.push((name, body.lines().filter(|line| !line.trim().is_empty()).count().saturating_sub(2)));
        }
    }
    found
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
        let own = room(&module_of(&source.path));
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

mod own_eyes {
    //! The checks above read code with the functions below; these can fail too.

    use super::*;

    #[test]
    fn words_are_told_from_code() {
        let code = without_words("a // crate::x\n\"crate::y \\\" z\" r#\"crate::\"q\"# 'c' b'\\'' &'a str /* { */ end");
        assert!(!code.contains("crate"), "{code}");
        assert!(code.contains("&'a str") && code.ends_with("end"), "{code}");
    }

    #[test]
    fn tests_are_told_from_code() {
        let code = without_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { if x { } }\n}\nfn c() {}");
        assert!(code.contains("fn a") && code.contains("fn c") && !code.contains("fn b"), "{code}");
        assert_eq!(code.lines().count(), 6);
    }

    #[test]
    fn use_trees_are_expanded() {
        let text = "use crate::{a::B, stages::{plan::X, convert}, c::{self, D}};\nuse super::super::stages::push::Y; fn f() { crate::g::h(); }";
        let source =
            Source { path: "src/postgres/managed/x.rs".to_owned(), text: String::new(), code: text.to_owned() };
        let found: BTreeSet<String> = imports(&source).iter().map(|path| room(path)).collect();
        let expected = ["a", "stages/plan", "stages/convert", "c", "postgres", "g"];
        assert_eq!(found, expected.iter().map(|name| (*name).to_owned()).collect());
    }

    #[test]
    fn functions_are_measured() {
        let code = "fn a() {\n 1\n\n}\npub async fn b(\n x: u8,\n) -> u8 {\n x\n}\ntrait T { fn c(&self); }";
        assert_eq!(functions(code), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    }
}
