//! Checks that what the source cites from `docs/conversion-rules.md` exists there, in one form of citation.

use std::{collections::BTreeSet, fs};

use super::{
    reading::{files_below, relative},
    report, root,
};

const RULES: &str = "docs/conversion-rules.md";

#[test]
fn every_cited_section_exists() {
    let document = fs::read_to_string(root().join(RULES)).unwrap();
    let sections = sections(&document);
    let mut problems = Vec::new();
    let mut citations = 0;
    for (path, text) in rust_files() {
        for (number, line) in text.lines().enumerate() {
            for after in line.split(&format!("{RULES},")).skip(1) {
                citations += 1;
                if !begins_with_a_section(after, &sections) {
                    problems.push(format!("{path}:{}: not `{RULES}, section N.M` of a heading there", number + 1));
                }
            }
        }
    }
    report(&problems);
    assert!(citations > 0, "nothing cites {RULES}");
}

#[test]
fn the_conversion_rules_have_one_name() {
    let other = ["rule", "book"].join(" ");
    let named = rust_files().into_iter().filter(|(_, text)| words(text).to_lowercase().contains(&other));
    report(&named.map(|(path, _)| format!("{path}: `{other}`; cite {RULES}")).collect::<Vec<_>>());
}

/// The numbers of the headings `### N.M Title`.
fn sections(document: &str) -> BTreeSet<&str> {
    document.lines().filter_map(|line| line.strip_prefix("### ")?.split(' ').next()).collect()
}

/// Whether ` section N.M` follows, and N.M is one of the sections. The full stop of a sentence isn't part of it.
fn begins_with_a_section(after: &str, sections: &BTreeSet<&str>) -> bool {
    let Some(rest) = after.strip_prefix(" section ") else { return false };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    sections.contains(rest[..end].trim_end_matches('.'))
}

/// The text as one line, without the marks of comments.
fn words(text: &str) -> String {
    text.split_whitespace().filter(|word| !word.starts_with("//")).collect::<Vec<_>>().join(" ")
}

/// Path and text of every Rust file in `src` and `tests`.
fn rust_files() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    files_below(&root().join("src"), &mut paths);
    files_below(&root().join("tests"), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    paths.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn citations_are_read() {
    let sections = sections("# Rules\n## 1. Types\n### 1.4 Type rules\n### 10.1 Findings");
    assert_eq!(sections.len(), 2);
    for right in [" section 1.4", " section 1.4.", " section 1.4, step 1", " section 10.1; more"] {
        assert!(begins_with_a_section(right, &sections), "{right}");
    }
    for wrong in ["", " section", " section 1", " section 1.5", " section 10.12", " 1.4", " sections 1.4 and 10.1"] {
        assert!(!begins_with_a_section(wrong, &sections), "{wrong}");
    }
    assert!(words("//! by the rule\n    //! paper").contains("rule paper"));
}
