//! Checks that every finding and every kind of error is named by a test.

use std::fs;

use super::{lines_outside_tests, report, root, test_sources};
use crate::reading::sources;

/// What stands as `Variant = "word",` in the enum with this head: variant and word.
fn words(path: &str, head: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join(path)).unwrap();
    let body = text.split(head).nth(1).unwrap().split("\n    }\n").next().unwrap();
    let arms = body.lines().filter_map(|line| line.trim().split_once(" = \""));
    arms.map(|(variant, word)| (variant.to_owned(), word.trim_end_matches(['"', ',']).to_owned())).collect()
}

/// The text of all tests: files below `tests`, and what stands behind `#[cfg(test)]` in `src`.
fn tests() -> String {
    let integration = test_sources().into_iter().map(|(_, text)| text);
    let units = sources()
        .into_iter()
        .map(|source| source.text.lines().skip(lines_outside_tests(&source.text)).collect::<Vec<_>>().join("\n"));
    integration.chain(units).collect()
}

#[test]
fn every_finding_and_every_kind_of_error_is_named_by_a_test() {
    let findings = words("src/model/finding.rs", "pub enum FindingCode: word {");
    let kinds = words("src/error.rs", "pub enum Kind: code {");
    assert!(findings.len() > 20 && kinds.len() > 20, "the lists are read wrongly");
    let tests = tests();
    let mut problems = Vec::new();
    for (kind, list) in [("FindingCode", findings), ("Kind", kinds)] {
        for (variant, word) in list {
            let forms = [format!("{kind}::{variant}"), format!("\"{word}\""), format!("{word}@")];
            if !forms.iter().any(|form| tests.contains(form)) {
                problems.push(format!("no test names {kind}::{variant} or \"{word}\""));
            }
        }
    }
    report(&problems);
}
