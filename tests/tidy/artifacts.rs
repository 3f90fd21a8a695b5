//! Checks that `docs/artifacts.md` names every field of the files in the working directory.

use std::{collections::BTreeSet, fs};

use super::{report, root};

/// Files whose public structs are written as JSON.
const WRITTEN: &[&str] = &[
    "src/model/checkpoint.rs",
    "src/model/conversion_plan.rs",
    "src/model/view_trigger_plan.rs",
    "src/model/dropped_objects.rs",
    "src/model/finding.rs",
    "src/stages/report/verify_record.rs",
    "src/stages/report/mod.rs",
];

#[test]
fn every_field_of_an_artifact_is_documented() {
    let document = fs::read_to_string(root().join("docs/artifacts.md")).unwrap();
    let words: BTreeSet<&str> = document.split('`').skip(1).step_by(2).collect();
    let mut problems = Vec::new();
    for path in WRITTEN {
        let text = fs::read_to_string(root().join(path)).unwrap();
        let mut renamed = None;
        for line in text.lines().map(str::trim) {
            if let Some(after) = line.strip_prefix("#[serde(rename = \"") {
                renamed = after.split('"').next();
            } else if let Some((name, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": ")) {
                let is_field = name.chars().all(|c| c.is_alphanumeric() || c == '_');
                let name = renamed.take().unwrap_or(name);
                if is_field && !words.contains(name) {
                    problems.push(format!("{path}: `{name}` is not in docs/artifacts.md"));
                }
            }
        }
    }
    report(&problems);
}
