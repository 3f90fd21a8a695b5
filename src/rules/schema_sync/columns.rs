//! Compares columns, and says which changes of a type widen it.

use super::difference::{ChangeWord, Difference, DifferenceKind, Effect};
use crate::model::catalog::{ColumnDefinition, IdentityDefinition, ObjectName};

/// The differences between two columns of one name.
pub(super) fn differences(table: &ObjectName, from: &ColumnDefinition, to: &ColumnDefinition) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut add = |part, before: Option<String>, after: Option<String>, sync| {
        let column = Some(from.name.clone());
        let change = ChangeWord::Changed;
        found.push(Difference { object: table.clone(), column, part, change, before, after, sync });
    };
    if !same_type(from, to) {
        let same_collation = from.collation == to.collation;
        let is_wider = same_collation && widens(&to.data_type, &from.data_type);
        let sync = if is_wider { Effect::Widens } else { Effect::Narrows };
        add(DifferenceKind::Type, Some(written_type(from)), Some(written_type(to)), sync);
    }
    if from.not_null != to.not_null {
        let words = |column: &ColumnDefinition| Some(if column.not_null { "NOT NULL" } else { "NULL" }.to_owned());
        let sync = if from.not_null { Effect::Narrows } else { Effect::Widens };
        add(DifferenceKind::Nullability, words(from), words(to), sync);
    }
    if from.default != to.default {
        let sync = match (&from.default, &from.identity) {
            (Some(_), _) => Effect::Replaces,
            // An identity takes the place of the default.
            (None, Some(_)) => Effect::Replaces,
            (None, None) => Effect::Drops,
        };
        add(DifferenceKind::Default, from.default.clone(), to.default.clone(), sync);
    }
    if from.generated != to.generated || from.is_virtual != to.is_virtual {
        let sync = match (&from.generated, &to.generated) {
            (Some(_), Some(_)) => Effect::Replaces,
            // The values that were stored are lost.
            (Some(_), None) => Effect::Drops,
            (None, _) if to.is_virtual => Effect::Drops,
            (None, _) => Effect::Widens,
        };
        add(DifferenceKind::Generated, written_generated(from), written_generated(to), sync);
    }
    if !same_identity(from.identity.as_ref(), to.identity.as_ref()) {
        let sync = match (&from.identity, &from.default) {
            (Some(_), _) => Effect::Replaces,
            (None, Some(_)) => Effect::Replaces,
            (None, None) => Effect::Drops,
        };
        add(DifferenceKind::Identity, written_identity(from), written_identity(to), sync);
    }
    found
}

/// Whether type and collation are the same.
pub(super) fn same_type(one: &ColumnDefinition, other: &ColumnDefinition) -> bool {
    one.data_type == other.data_type && one.collation == other.collation
}

/// Whether both number rows in the same way.
pub(super) fn same_identity(one: Option<&IdentityDefinition>, other: Option<&IdentityDefinition>) -> bool {
    match (one, other) {
        (None, None) => true,
        (Some(one), Some(other)) => {
            one.always == other.always
                && one.sequence == other.sequence
                && one.options.data_type == other.options.data_type
                && one.options.options() == other.options.options()
        }
        _ => false,
    }
}

fn written_type(column: &ColumnDefinition) -> String {
    let collation = column.collation.as_ref().map(|name| format!(" COLLATE {name}")).unwrap_or_default();
    format!("{}{collation}", column.data_type)
}

fn written_generated(column: &ColumnDefinition) -> Option<String> {
    let kept = if column.is_virtual { " VIRTUAL" } else { "" };
    column.generated.as_ref().map(|expression| format!("{expression}{kept}"))
}

fn written_identity(column: &ColumnDefinition) -> Option<String> {
    let identity = column.identity.as_ref()?;
    let when = if identity.always { "ALWAYS" } else { "BY DEFAULT" };
    Some(format!("{when} ({} {})", identity.sequence, identity.options.options()))
}

/// Whether a column of the second type accepts every value of the first, unchanged.
pub(super) fn widens(old: &str, new: &str) -> bool {
    if old == new {
        return true;
    }
    let ((old_base, old_limits), (new_base, new_limits)) = (parts(old), parts(new));
    let (old_base, new_base) = (old_base.as_str(), new_base.as_str());
    let whole_digits = |name: &str| match name {
        "smallint" => Some(5),
        "integer" => Some(10),
        "bigint" => Some(19),
        _ => None,
    };
    match (whole_digits(old_base), whole_digits(new_base)) {
        (Some(old), Some(new)) => return old < new,
        (Some(digits), None) if new_base == "numeric" => {
            return match new_limits.as_slice() {
                [] => true,
                [precision] => *precision >= digits,
                // A negative scale rounds digits before the point.
                [precision, scale, ..] => *scale >= 0 && precision - scale >= digits,
            };
        }
        _ => {}
    }
    match (old_base, new_base) {
        ("real", "double precision") | ("character varying", "text") => true,
        ("character varying", "character varying") => match (old_limits.first(), new_limits.first()) {
            (_, None) => true,
            (Some(old), Some(new)) => old <= new,
            (None, Some(_)) => false,
        },
        ("numeric", "numeric") => match (old_limits.as_slice(), new_limits.as_slice()) {
            (_, []) => true,
            ([], _) => false,
            (old, new) => {
                let scale = |limits: &[i64]| limits.get(1).copied().unwrap_or(0);
                let whole = |limits: &[i64]| limits.first().copied().unwrap_or(0) - scale(limits);
                scale(old) <= scale(new) && whole(old) <= whole(new)
            }
        },
        (one, other) if one == other && (one.starts_with("timestamp") || one.starts_with("time")) => {
            match (old_limits.first(), new_limits.first()) {
                (_, None) => true,
                (Some(old), Some(new)) => old <= new,
                (None, Some(_)) => false,
            }
        }
        _ => false,
    }
}

/// A type without its limits, and the limits: `numeric(10,2)`, `timestamp(3) with time zone`.
fn parts(written: &str) -> (String, Vec<i64>) {
    let Some((before, rest)) = written.split_once('(') else { return (written.to_owned(), Vec::new()) };
    let Some((limits, after)) = rest.split_once(')') else { return (written.to_owned(), Vec::new()) };
    let limits: Option<Vec<i64>> = limits.split(',').map(|limit| limit.trim().parse().ok()).collect();
    match limits {
        Some(limits) => (format!("{before}{after}"), limits),
        None => (written.to_owned(), Vec::new()),
    }
}
