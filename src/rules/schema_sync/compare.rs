//! Compares two catalogs.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    columns,
    difference::{ChangeWord, Difference, DifferenceKind, Effect},
    words_in_sql::{comment_parts, mentions},
};
use crate::model::{
    catalog::{
        Catalog, CatalogObject, ConstraintDefinition, ObjectFacts, ObjectKind, ObjectName, SequenceDefinition,
        TableDefinition, quote_ident_if_needed,
    },
    identifier::quote_ident,
};

/// All differences, in the order of the objects.
pub type Compared = Vec<Difference>;

/// How two catalogs differ, and what making the second like the first does. Objects that a table brings along and that
/// the other side lacks are named one by one.
#[must_use]
pub fn differences(from: &Catalog, to: &Catalog, privileges: bool) -> Compared {
    let mut found = Vec::new();
    for object in &from.objects {
        match to.object(&object.name) {
            Some(other) => of_both(object, other, &mut found),
            None => found.push(whole(object, ChangeWord::Removed, Effect::Adds)),
        }
    }
    for object in to.objects.iter().filter(|object| from.object(&object.name).is_none()) {
        let sync = if gives_way(from, object) { Effect::Replaces } else { Effect::Drops };
        found.push(whole(object, ChangeWord::Added, sync));
    }
    for object in &from.objects {
        let Some(other) = to.object(&object.name) else { continue };
        comments(object, other, from, &mut found);
        if privileges {
            grants(object, other, &mut found);
        }
    }
    found
}

/// A sequence whose column numbers its rows as an identity on the other side.
pub(super) fn gives_way(from: &Catalog, object: &CatalogObject) -> bool {
    let ObjectFacts::Sequence(SequenceDefinition { owner: Some((table, column)), .. }) = &object.facts else {
        return false;
    };
    let table = ObjectName::new(ObjectKind::Table, &object.name.schema, table);
    table_of(from, &table).and_then(|table| table.column(column)).is_some_and(|column| column.identity.is_some())
}

/// The table of this name.
pub(super) fn table_of<'a>(catalog: &'a Catalog, name: &ObjectName) -> Option<&'a TableDefinition> {
    match &catalog.object(name)?.facts {
        ObjectFacts::Table(table) => Some(table),
        _ => None,
    }
}

fn whole(object: &CatalogObject, change: ChangeWord, sync: Effect) -> Difference {
    let text = Some(definition(object)).filter(|text| !text.is_empty());
    let (before, after) = if change == ChangeWord::Removed { (text, None) } else { (None, text) };
    let (name, part) = (object.name.clone(), DifferenceKind::Object);
    Difference { object: name, column: None, part, change, before, after, sync }
}

/// What is shown of an object.
fn definition(object: &CatalogObject) -> String {
    match &object.facts {
        ObjectFacts::Table(table) => {
            let columns: Vec<String> =
                table.columns.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
            columns.join(", ")
        }
        ObjectFacts::Constraint(constraint) => constraint.definition.clone(),
        ObjectFacts::Labels(labels) => labels.join(", "),
        ObjectFacts::Sequence(sequence) => format!("{} {}", sequence.data_type, sequence.options()),
        ObjectFacts::Domain { .. } | ObjectFacts::Index(_) | ObjectFacts::None => object.create.join(";\n"),
    }
}

fn of_both(one: &CatalogObject, other: &CatalogObject, found: &mut Compared) {
    let part = match (&one.facts, &other.facts) {
        (ObjectFacts::Table(wanted), ObjectFacts::Table(present)) => {
            return tables(&one.name, wanted, present, found);
        }
        (ObjectFacts::Sequence(wanted), ObjectFacts::Sequence(present)) => {
            let owner = |sequence: &SequenceDefinition| sequence.owner.clone();
            if one.create == other.create && owner(wanted) == owner(present) {
                return;
            }
            DifferenceKind::Object
        }
        (ObjectFacts::Labels(_), ObjectFacts::Labels(_)) => DifferenceKind::Labels,
        _ => DifferenceKind::Object,
    };
    // What extensions and schemas contain is compared by itself.
    let is_container = matches!(one.name.kind, ObjectKind::Extension | ObjectKind::Schema);
    if is_container || (one.create == other.create && !matches!(one.facts, ObjectFacts::Sequence(_))) {
        return;
    }
    let sync = effect(one, other);
    let (before, after) = (Some(shown(one)), Some(shown(other)));
    let (object, change) = (one.name.clone(), ChangeWord::Changed);
    found.push(Difference { object, column: None, part, change, before, after, sync });
}

/// The definition with the owner of a sequence.
fn shown(object: &CatalogObject) -> String {
    let text = definition(object);
    match &object.facts {
        ObjectFacts::Sequence(SequenceDefinition { owner: Some((table, column)), .. }) => {
            format!("{text} OWNED BY {table}.{column}")
        }
        _ => text,
    }
}

/// What making the second object like the first does.
pub(super) fn effect(one: &CatalogObject, other: &CatalogObject) -> Effect {
    match (&one.facts, &other.facts) {
        (ObjectFacts::Constraint(wanted), ObjectFacts::Constraint(present)) if is_validation(wanted, present) => {
            Effect::Adds
        }
        (ObjectFacts::Constraint(_), _) => Effect::Narrows,
        (ObjectFacts::Index(wanted), ObjectFacts::Index(present)) if !wanted.unique && !present.unique => {
            Effect::Replaces
        }
        (ObjectFacts::Index(_), _) => Effect::Narrows,
        (ObjectFacts::Labels(wanted), ObjectFacts::Labels(present)) if is_contained(present, wanted) => Effect::Widens,
        (ObjectFacts::Sequence(wanted), ObjectFacts::Sequence(present)) => {
            let is_smaller = wanted.most < present.most || wanted.least > present.least;
            if is_smaller { Effect::Narrows } else { Effect::Replaces }
        }
        (ObjectFacts::Domain { .. }, ObjectFacts::Domain { .. }) => domain_effect(&one.facts, &other.facts),
        _ => match one.name.kind {
            ObjectKind::Type | ObjectKind::Collation => Effect::Narrows,
            ObjectKind::RowSecurity => {
                let is_weaker = other.create.iter().any(|statement| !one.create.contains(statement));
                if is_weaker { Effect::Drops } else { Effect::Adds }
            }
            _ => Effect::Replaces,
        },
    }
}

/// Whether nothing but VALIDATE CONSTRAINT is missing.
pub(super) fn is_validation(wanted: &ConstraintDefinition, present: &ConstraintDefinition) -> bool {
    let plain = |text: &str| text.strip_suffix(" NOT VALID").unwrap_or(text).to_owned();
    wanted.validated && !present.validated && plain(&wanted.definition) == plain(&present.definition)
}

/// Whether the labels stand among the others in the same order.
pub(super) fn is_contained(labels: &[String], others: &[String]) -> bool {
    let mut rest = others.iter();
    labels.iter().all(|label| rest.any(|other| other == label))
}

fn domain_effect(wanted: &ObjectFacts, present: &ObjectFacts) -> Effect {
    let (
        ObjectFacts::Domain { base, not_null, collation, constraints, default, .. },
        ObjectFacts::Domain {
            base: old_base,
            not_null: was_not_null,
            collation: old_collation,
            constraints: old_constraints,
            default: old_default,
            ..
        },
    ) = (wanted, present)
    else {
        return Effect::Narrows;
    };
    let loses_check = old_constraints.iter().any(|constraint| !constraints.contains(constraint));
    if loses_check || (old_default.is_some() && default.is_none()) {
        Effect::Drops
    } else if base != old_base || collation != old_collation || (*not_null && !was_not_null) {
        Effect::Narrows
    } else {
        Effect::Replaces
    }
}

fn tables(name: &ObjectName, wanted: &TableDefinition, present: &TableDefinition, found: &mut Compared) {
    let mut add = |part, before: Option<String>, after: Option<String>, sync| {
        let (object, change) = (name.clone(), ChangeWord::Changed);
        found.push(Difference { object, column: None, part, change, before, after, sync });
    };
    if wanted.unlogged != present.unlogged {
        let word = |table: &TableDefinition| Some(if table.unlogged { "unlogged" } else { "logged" }.to_owned());
        // PostgreSQL empties unlogged tables after a crash.
        let sync = if wanted.unlogged { Effect::Narrows } else { Effect::Replaces };
        add(DifferenceKind::Persistence, word(wanted), word(present), sync);
    }
    if wanted.partition_by != present.partition_by || wanted.partition_of != present.partition_of {
        add(DifferenceKind::Partitioning, partitioning(wanted), partitioning(present), Effect::Narrows);
    }
    if wanted.inherits != present.inherits {
        let is_less = present.inherits.iter().any(|parent| !wanted.inherits.contains(parent));
        let list = |table: &TableDefinition| Some(table.inherits.join(", ")).filter(|list| !list.is_empty());
        let sync = if is_less { Effect::Narrows } else { Effect::Adds };
        add(DifferenceKind::Inheritance, list(wanted), list(present), sync);
    }
    if sorted(&wanted.options) != sorted(&present.options) || sorted(&wanted.settings) != sorted(&present.settings) {
        let list = |table: &TableDefinition| {
            let all: Vec<String> = table.options.iter().chain(&table.settings).cloned().collect();
            Some(all.join(", ")).filter(|list| !list.is_empty())
        };
        add(DifferenceKind::Storage, list(wanted), list(present), Effect::Replaces);
    }
    for column in &wanted.columns {
        match present.column(&column.name) {
            Some(other) => {
                let mut differences = columns::differences(name, column, other);
                // The table is built again.
                let is_key = present.partition_by.iter().any(|key| mentions(key, &column.name));
                for difference in differences.iter_mut().filter(|difference| {
                    is_key && matches!(difference.part, DifferenceKind::Type | DifferenceKind::Generated)
                }) {
                    difference.sync = difference.sync.max(Effect::Narrows);
                }
                found.extend(differences);
            }
            None => found.push(column_alone(name, &column.name, &column.sql(), ChangeWord::Removed)),
        }
    }
    for column in present.columns.iter().filter(|column| wanted.column(&column.name).is_none()) {
        found.push(column_alone(name, &column.name, &column.sql(), ChangeWord::Added));
    }
}

fn sorted(list: &[String]) -> BTreeSet<&String> {
    list.iter().collect()
}

fn partitioning(table: &TableDefinition) -> Option<String> {
    let of = table.partition_of.as_ref().map(|(parent, bounds)| format!("partition of {parent} {bounds}"));
    let by = table.partition_by.as_ref().map(|key| format!("partitioned by {key}"));
    let parts: Vec<String> = of.into_iter().chain(by).collect();
    Some(parts.join(", ")).filter(|text| !text.is_empty())
}

fn column_alone(table: &ObjectName, column: &str, sql: &str, change: ChangeWord) -> Difference {
    let definition = sql.strip_prefix(&format!("{} ", quote_ident(column))).unwrap_or(sql);
    let text = Some(definition.to_owned());
    let is_missing = change == ChangeWord::Removed;
    let (before, after) = if is_missing { (text, None) } else { (None, text) };
    let sync = if is_missing { Effect::Adds } else { Effect::Drops };
    let (object, column, part) = (table.clone(), Some(column.to_owned()), DifferenceKind::Column);
    Difference { object, column, part, change, before, after, sync }
}

/// Comments by what they comment on.
pub(super) fn comments_of(object: &CatalogObject) -> BTreeMap<&str, &str> {
    object.comments.iter().filter_map(|statement| comment_parts(statement)).collect()
}

fn comments(one: &CatalogObject, other: &CatalogObject, from: &Catalog, found: &mut Compared) {
    let (wanted, present) = (comments_of(one), comments_of(other));
    let column = |target: &str| match (one.name.kind, target.strip_prefix("COMMENT ON COLUMN ")) {
        (ObjectKind::Table, Some(_)) => {
            let table = table_of(from, &one.name);
            let columns = table.into_iter().flat_map(|table| &table.columns);
            columns.map(|column| &column.name).find(|name| is_last_part(target, name)).cloned()
        }
        _ => None,
    };
    let mut add = |target: &str, change, before: Option<&str>, after: Option<&str>, sync| {
        let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
        let (object, column, part) = (one.name.clone(), column(target), DifferenceKind::Comment);
        found.push(Difference { object, column, part, change, before, after, sync });
    };
    for (target, text) in &wanted {
        match present.get(target) {
            None => add(target, ChangeWord::Removed, Some(text), None, Effect::Adds),
            Some(old) if old != text => add(target, ChangeWord::Changed, Some(text), Some(old), Effect::Replaces),
            Some(_) => {}
        }
    }
    for (target, text) in present.iter().filter(|(target, _)| !wanted.contains_key(*target)) {
        let is_of_column = one.name.kind == ObjectKind::Table && target.starts_with("COMMENT ON COLUMN ");
        // The comment of a column that is gone goes with it.
        if !is_of_column || column(target).is_some() {
            add(target, ChangeWord::Added, None, Some(text), Effect::Drops);
        }
    }
}

/// Whether a COMMENT ON COLUMN is for this column.
pub(super) fn is_last_part(target: &str, column: &str) -> bool {
    let (plain, quoted) = (quote_ident_if_needed(column), quote_ident(column));
    target.ends_with(&format!(".{plain}")) || target.ends_with(&format!(".{quoted}"))
}

fn grants(one: &CatalogObject, other: &CatalogObject, found: &mut Compared) {
    let mut add = |statement: &String, change| {
        let text = Some(statement.clone());
        let is_missing = change == ChangeWord::Removed;
        let (before, after) = if is_missing { (text, None) } else { (None, text) };
        let sync = if is_missing { Effect::Adds } else { Effect::Drops };
        let (object, part) = (one.name.clone(), DifferenceKind::Privilege);
        found.push(Difference { object, column: None, part, change, before, after, sync });
    };
    for statement in one.grants.iter().filter(|statement| !other.grants.contains(statement)) {
        add(statement, ChangeWord::Removed);
    }
    for statement in other.grants.iter().filter(|statement| !one.grants.contains(statement)) {
        add(statement, ChangeWord::Added);
    }
}
