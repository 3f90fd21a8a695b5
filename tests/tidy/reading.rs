//! Reads source files: what is code, which modules it names, how long its functions are.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A source file.
pub(super) struct Source {
    /// Relative to the repository.
    pub(super) path: String,
    pub(super) text: String,
    /// Without comments, strings and tests; the same lines.
    pub(super) code: String,
}

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
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

pub(super) fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

pub(super) fn sources() -> Vec<Source> {
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

/// Blanks comments and the inside of strings and character literals; keeps every line break.
pub(super) fn without_words(text: &str) -> String {
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

/// Every path in the code that begins at `crate` or leaves the module by `super`, as areas below `src`.
pub(super) fn imports(source: &Source) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for start in ["crate::", "super::"] {
        for at in words(&source.code, start) {
            let (base, rest) = begin(&source.code[at..], &module_of(&source.path));
            expand(rest, &base, 3, &mut found);
        }
    }
    found
}

/// Every path in the code that leads to a module of the package, in full, and whether it is in a `pub use`.
pub(super) fn names(source: &Source, modules: &BTreeSet<Vec<String>>) -> BTreeSet<(Vec<String>, bool)> {
    let module = module_of(&source.path);
    let children = modules.iter().filter(|other| other.len() == module.len() + 1 && other.starts_with(&module));
    let starts = children.filter_map(|child| child.last()).map(|child| format!("{child}::"));
    let mut found = BTreeSet::new();
    for start in starts.chain(["crate::".to_owned(), "super::".to_owned()]) {
        for at in words(&source.code, &start) {
            let (base, rest) = begin(&source.code[at..], &module);
            let statement = source.code[..at].rfind([';', '}', '{']).map_or(0, |end| end + 1);
            let before = source.code[statement..at].trim();
            let is_passed_on = before.starts_with("pub") && before.ends_with("use");
            let mut paths = BTreeSet::new();
            expand(rest, &base, usize::MAX, &mut paths);
            found.extend(paths.into_iter().map(|path| (path, is_passed_on)));
        }
    }
    found
}

/// Where a path can begin in the code.
fn words(code: &str, start: &str) -> Vec<usize> {
    let begins = |at: &usize| {
        let before = &code[..*at];
        let in_word = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        // `pub(in crate::x)` names a place, it imports nothing.
        !in_word && !before.ends_with("::") && !before.ends_with("(in ")
    };
    code.match_indices(start).map(|(at, _)| at).filter(begins).collect()
}

/// Where a path leads to that begins in this module, and what follows.
fn begin<'a>(path: &'a str, module: &[String]) -> (Vec<String>, &'a str) {
    if let Some(rest) = path.strip_prefix("crate::") {
        return (Vec::new(), rest);
    }
    let (mut base, mut rest) = (module.to_vec(), path);
    while let Some(after) = rest.strip_prefix("super::") {
        base.pop();
        rest = after;
    }
    (base, rest)
}

/// `src/a/b.rs` is `a::b`, `src/a/mod.rs` is `a`.
pub(super) fn module_of(path: &str) -> Vec<String> {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').filter(|part| !["mod", "lib", "main"].contains(part)).map(str::to_owned).collect()
}

/// Adds the paths of a use tree, at most so deep.
fn expand(tree: &str, base: &[String], depth: usize, found: &mut BTreeSet<Vec<String>>) {
    let tree = tree.trim_start();
    if tree.starts_with('{') {
        let inside = &tree[1..block(tree) - 1];
        for branch in branches(inside) {
            expand(branch, base, depth, found);
        }
        return;
    }
    let length = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    let mut path = base.to_vec();
    if length > 0 {
        path.push(tree[..length].to_owned());
    }
    match tree[length..].strip_prefix("::") {
        Some(rest) if path.len() < depth => expand(rest, &path, depth, found),
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
pub(super) fn area(path: &[String]) -> String {
    match path {
        [stages, stage, ..] if stages == "stages" => format!("stages/{stage}"),
        [first, ..] => first.clone(),
        [] => "lib".to_owned(),
    }
}

/// Lines that aren't part of a `#[cfg(test)] mod`.
pub(super) fn lines_outside_tests(text: &str) -> usize {
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
pub(super) fn functions(code: &str) -> Vec<(String, usize)> {
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

mod own_eyes {
    //! The checks read code with the functions above; these can fail too.

    use super::*;

    #[test]
    fn words_are_distinguished_from_code() {
        let code = without_words("a // crate::x\n\"crate::y \\\" z\" r#\"crate::\"q\"# 'c' b'\\'' &'a str /* { */ end");
        assert!(!code.contains("crate"), "{code}");
        assert!(code.contains("&'a str") && code.ends_with("end"), "{code}");
    }

    #[test]
    fn tests_are_distinguished_from_code() {
        let code = without_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { if x { } }\n}\nfn c() {}");
        assert!(code.contains("fn a") && code.contains("fn c") && !code.contains("fn b"), "{code}");
        assert_eq!(code.lines().count(), 6);
    }

    #[test]
    fn use_trees_are_expanded() {
        let text = "use crate::{a::B, stages::{plan::X, convert}, c::{self, D}};\nuse super::super::stages::push::Y; fn f() { crate::g::h(); }";
        let source =
            Source { path: "src/postgres/managed/x.rs".to_owned(), text: String::new(), code: text.to_owned() };
        let found: BTreeSet<String> = imports(&source).iter().map(|path| area(path)).collect();
        let expected = ["a", "stages/plan", "stages/convert", "c", "postgres", "g"];
        assert_eq!(found, expected.iter().map(|name| (*name).to_owned()).collect());
    }

    #[test]
    fn functions_are_measured() {
        let code = "fn a() {\n 1\n\n}\npub async fn b(\n x: u8,\n) -> u8 {\n x\n}\ntrait T { fn c(&self); }";
        assert_eq!(functions(code), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    }
}
