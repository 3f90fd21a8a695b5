//! Compares indexes with the plan: the plan writes a key part as it stands in the parentheses, the catalog keeps its
//! expression, order, operator class and collation apart.

use super::{
    catalog::{Index, IndexKey, Table},
    expressions::ExpressionPair,
    schema_notes::{Notes, ServerComparison},
};
use crate::model::{TablePlan, conversion_plan::IndexPlan};

/// A planned key part, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PlannedKey {
    expression: String,
    descending: bool,
    nulls_first: bool,
    class: Option<String>,
    collation: Option<String>,
}

/// Compares the indexes of a table; what only the server can compare goes to `pairs`.
pub(super) fn compare(notes: &mut Notes<'_>, table: &TablePlan, found: &Table, pairs: &mut Vec<ServerComparison>) {
    for planned in &table.indexes {
        match found.indexes.get(&planned.name) {
            None => notes.table(format!("index {} is missing", planned.name)),
            Some(there) if !there.valid => notes.table(format!("index {} is not valid", planned.name)),
            Some(there) => match differs(planned, there) {
                Some(what) => notes.table(format!("index {}: {what}", planned.name)),
                None => pairs.extend(doubts(planned, there)),
            },
        }
    }
    for name in found.indexes.keys() {
        if !table.indexes.iter().any(|planned| planned.name == *name) {
            notes.table(format!("index {name} added"));
        }
    }
}

fn differs(planned: &IndexPlan, there: &Index) -> Option<&'static str> {
    if (planned.unique && !planned.is_exclusion()) != there.unique {
        return Some(if there.unique { "it is unique" } else { "it is not unique" });
    }
    if planned.method != there.method {
        return Some("its access method differs");
    }
    if planned.keys.len() != there.keys.len() || there.included != 0 {
        return Some("its columns differ");
    }
    if there.nulls_equal {
        return Some("NULLS NOT DISTINCT is added");
    }
    if planned.predicate.is_some() != there.predicate.is_some() {
        return Some(if there.predicate.is_some() { "a predicate is added" } else { "its predicate is missing" });
    }
    planned.keys.iter().zip(&there.keys).find_map(|(planned, there)| key_differs(&take_apart(planned), there))
}

fn key_differs(planned: &PlannedKey, there: &IndexKey) -> Option<&'static str> {
    if (planned.descending, planned.nulls_first) != (there.descending, there.nulls_first) {
        return Some("the order of a column differs");
    }
    let same_class = match (&planned.class, there.class.strip_prefix('*')) {
        (None, default) => default.is_some(),
        (Some(name), default) => default.unwrap_or(&there.class) == name,
    };
    if !same_class {
        return Some("the operator class of a column differs");
    }
    let same_collation = match &planned.collation {
        Some(name) => there.collation.as_ref() == Some(name),
        None => !there.collated,
    };
    (!same_collation).then_some("the collation of a column differs")
}

/// The expressions, each with the words for when they differ.
fn doubts(planned: &IndexPlan, there: &Index) -> Vec<ServerComparison> {
    let doubt = |words: &str, planned_text: String, found: String| {
        let pair = ExpressionPair { planned: planned_text, found, as_type: None };
        (None, format!("index {}: {words}", planned.name), pair)
    };
    let keys = planned.keys.iter().zip(&there.keys);
    let keys = keys.map(|(one, two)| doubt("its columns differ", take_apart(one).expression, two.expression.clone()));
    let predicates = planned.predicate.iter().zip(&there.predicate);
    let predicates = predicates.map(|(one, two)| doubt("its predicate differs", one.clone(), two.clone()));
    keys.chain(predicates).collect()
}

/// `expression [COLLATE "c"] [class] [ASC | DESC] [NULLS FIRST | NULLS LAST]` (PostgreSQL manual, CREATE INDEX).
fn take_apart(key: &str) -> PlannedKey {
    let mut rest = key.trim();
    let mut ends_with = |words: &str| {
        let cut = rest.len().checked_sub(words.len())?;
        let (head, tail) = rest.split_at_checked(cut)?;
        let found = tail.eq_ignore_ascii_case(words);
        if found {
            rest = head.trim_end();
        }
        found.then_some(())
    };
    let nulls = if ends_with(" NULLS FIRST").is_some() { Some(true) } else { ends_with(" NULLS LAST").map(|()| false) };
    let descending = ends_with(" DESC").is_some();
    if !descending {
        ends_with(" ASC");
    }
    let mut class = None;
    if let Some((head, word)) = rest.rsplit_once(' ') {
        let is_class = word.ends_with("_ops") && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_class {
            class = Some(word.to_owned());
            rest = head.trim_end();
        }
    }
    let mut collation = None;
    if let Some((head, name)) = rest.rsplit_once(" COLLATE ") {
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
        if let Some(name) = name.filter(|name| !name.contains('"')) {
            collation = Some(name.to_owned());
            rest = head.trim_end();
        }
    }
    PlannedKey { expression: rest.to_owned(), descending, nulls_first: nulls.unwrap_or(descending), class, collation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_parts_come_apart() {
        let key = |expression: &str| PlannedKey {
            expression: expression.to_owned(),
            descending: false,
            nulls_first: false,
            class: None,
            collation: None,
        };
        assert_eq!(take_apart("\"a\""), key("\"a\""));
        assert_eq!(take_apart("\"a\" NULLS FIRST"), PlannedKey { nulls_first: true, ..key("\"a\"") });
        assert_eq!(take_apart("\"a\" DESC"), PlannedKey { descending: true, nulls_first: true, ..key("\"a\"") });
        assert_eq!(take_apart("\"a\" DESC NULLS LAST"), PlannedKey { descending: true, ..key("\"a\"") });
        assert_eq!(take_apart("lower(\"a\" COLLATE \"C\") asc"), key("lower(\"a\" COLLATE \"C\")"));
        let collated = PlannedKey { collation: Some("C".to_owned()), ..key("\"a\"") };
        assert_eq!(take_apart("\"a\" COLLATE \"C\""), collated);
        let vector = PlannedKey { class: Some("vector_l2_ops".to_owned()), ..key("\"v\"") };
        assert_eq!(take_apart("\"v\" vector_l2_ops"), vector);
        assert_eq!(take_apart("\"x DESC\""), key("\"x DESC\""));
    }
}
