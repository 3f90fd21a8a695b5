//! Writes the statements that change types, domains, sequences and options in place.

use crate::model::{
    catalog::{CatalogObject, ObjectFacts, ObjectName, SequenceDefinition},
    identifier::{qualified, quote_ident, quote_literal},
};

/// ALTER TYPE for each label that is missing, with the label. The positions are those of the wanted labels.
pub(super) fn labels(name: &ObjectName, wanted: &[String], present: &[String]) -> Vec<(String, String)> {
    let whole = qualified(&name.schema, &name.name);
    let mut found = Vec::new();
    let mut before: Option<&String> = None;
    for label in wanted {
        if !present.contains(label) {
            let place = match (before, present.first()) {
                (Some(before), _) => format!(" AFTER {}", quote_literal(before)),
                (None, Some(first)) => format!(" BEFORE {}", quote_literal(first)),
                (None, None) => String::new(),
            };
            let sql = format!("ALTER TYPE {whole} ADD VALUE {}{place}", quote_literal(label));
            found.push((label.clone(), sql));
        }
        before = Some(label);
    }
    found
}

/// The changes of a domain over the same type.
pub(super) fn domain(name: &ObjectName, wanted: &ObjectFacts, present: &ObjectFacts) -> Vec<String> {
    let (
        ObjectFacts::Domain { not_null, default, constraints, .. },
        ObjectFacts::Domain { not_null: was_not_null, default: old_default, constraints: old_constraints, .. },
    ) = (wanted, present)
    else {
        return Vec::new();
    };
    let whole = format!("ALTER DOMAIN {}", qualified(&name.schema, &name.name));
    let mut found = Vec::new();
    for (name, _) in old_constraints.iter().filter(|constraint| !constraints.contains(constraint)) {
        found.push(format!("{whole} DROP CONSTRAINT {}", quote_ident(name)));
    }
    if default != old_default {
        found.push(match default {
            Some(default) => format!("{whole} SET DEFAULT {default}"),
            None => format!("{whole} DROP DEFAULT"),
        });
    }
    if not_null != was_not_null {
        found.push(format!("{whole} {} NOT NULL", if *not_null { "SET" } else { "DROP" }));
    }
    for (name, definition) in constraints.iter().filter(|constraint| !old_constraints.contains(constraint)) {
        found.push(format!("{whole} ADD CONSTRAINT {} {definition}", quote_ident(name)));
    }
    found
}

/// The changes of a sequence, its owner excepted.
pub(super) fn sequence(wanted: &CatalogObject, present: &CatalogObject) -> Vec<String> {
    let (ObjectFacts::Sequence(new), ObjectFacts::Sequence(old)) = (&wanted.facts, &present.facts) else {
        return Vec::new();
    };
    let whole = format!("ALTER SEQUENCE {}", qualified(&wanted.name.schema, &wanted.name.name));
    let mut found = Vec::new();
    let is_unlogged = |object: &CatalogObject| object.create.iter().any(|sql| sql.starts_with("CREATE UNLOGGED "));
    if is_unlogged(wanted) != is_unlogged(present) {
        found.push(format!("{whole} SET {}", if is_unlogged(wanted) { "UNLOGGED" } else { "LOGGED" }));
    }
    found.extend(sequence_options(&whole, new, old));
    found
}

/// ALTER SEQUENCE with all options, if one differs.
pub(super) fn sequence_options(alter: &str, new: &SequenceDefinition, old: &SequenceDefinition) -> Option<String> {
    let is_same = new.data_type == old.data_type && new.options() == old.options();
    (!is_same).then(|| format!("{alter} AS {} {}", new.data_type, new.options()))
}

/// The owner of a sequence.
pub(super) fn owned_by(name: &ObjectName, sequence: &SequenceDefinition) -> String {
    let owner = match &sequence.owner {
        Some((table, column)) => format!("{}.{}", qualified(&name.schema, table), quote_ident(column)),
        None => "NONE".to_owned(),
    };
    format!("ALTER SEQUENCE {} OWNED BY {owner}", qualified(&name.schema, &name.name))
}

/// Row-level security from what is there to what these statements switch on.
pub(super) fn row_security(wanted: &[String], present: &CatalogObject) -> Vec<String> {
    let gone = present.create.iter().filter(|statement| !wanted.contains(statement));
    let undone = gone.map(|statement| match statement.strip_suffix(" FORCE ROW LEVEL SECURITY") {
        Some(table) => format!("{table} NO FORCE ROW LEVEL SECURITY"),
        None => statement.replace(" ENABLE ROW LEVEL SECURITY", " DISABLE ROW LEVEL SECURITY"),
    });
    let new = wanted.iter().filter(|statement| !present.create.contains(statement)).cloned();
    undone.chain(new).collect()
}

/// Replica identity and cluster index from what is there to what these statements set.
pub(super) fn table_option(wanted: &[String], present: &CatalogObject) -> Vec<String> {
    let table = format!("ALTER TABLE {}", qualified(&present.name.schema, &present.name.table));
    let has = |list: &[String], words: &str| list.iter().any(|statement| statement.contains(words));
    let mut found = Vec::new();
    if has(&present.create, " REPLICA IDENTITY ") && !has(wanted, " REPLICA IDENTITY ") {
        found.push(format!("{table} REPLICA IDENTITY DEFAULT"));
    }
    if has(&present.create, " CLUSTER ON ") && !has(wanted, " CLUSTER ON ") {
        found.push(format!("{table} SET WITHOUT CLUSTER"));
    }
    found.extend(wanted.iter().filter(|statement| !present.create.contains(statement)).cloned());
    found
}
