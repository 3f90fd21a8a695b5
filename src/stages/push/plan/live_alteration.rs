//! What a file that the schema was read from has more than the tables of the application on the target: columns, wider
//! types, labels. Nothing of the application's is removed, and what it changed otherwise stays.

use std::collections::BTreeSet;

use crate::{
    model::{
        Plan,
        catalog::{Catalog, CatalogObject, ColumnDefinition, ObjectFacts, ObjectKind, ObjectName, TableDefinition},
        existing_schema::{ExistingSchema, WeakerForm},
        identifier::qualified,
        structure_change::TypeChangePolicy,
    },
    rules::schema_sync::{self, Allowed, Change, Difference, DifferenceKind, Timing},
    stages::push::{plan::alteration::Alteration, target::live_tables::LiveTable},
};

/// What is altered; none if nothing is, or not all of it is possible. `found` is the catalog of the target, `tables` are
/// the plan's tables that are there.
pub(super) fn find(
    plan: &Plan,
    existing: &ExistingSchema,
    found: &Catalog,
    tables: &[LiveTable],
    policy: TypeChangePolicy,
) -> Option<Alteration> {
    // A database was read as it was then. Servers of different versions print a schema differently.
    if existing.is_live || existing.catalog.version / 10_000 != found.version / 10_000 {
        return None;
    }
    let is_there = |name: &str| tables.iter().any(|table| table.name == name);
    let home = existing.catalog.schema.as_str();
    let is_table = |object: &CatalogObject| object.name.kind == ObjectKind::Table && is_there(&object.name.name);
    let is_labels = |object: &CatalogObject| matches!(object.facts, ObjectFacts::Labels(_));
    let is_new_type = |object: &CatalogObject| {
        let mut new = existing.catalog.tables().filter(|(name, _)| is_there(name)).flat_map(|(name, table)| {
            let there = of_table(found, home, name);
            table.columns.iter().filter(move |column| there.is_some_and(|there| there.column(&column.name).is_none()))
        });
        new.any(|column| existing.catalog.is_type_name(&object.name, &column.data_type))
    };
    let is_wanted = |object: &CatalogObject| {
        let is_type = is_labels(object) && (found.object(&object.name).is_some() || is_new_type(object));
        object.name.schema == home && (is_table(object) || is_type)
    };
    let mut wanted = existing.catalog.clone().only(is_wanted);
    let is_in_both = |object: &CatalogObject| {
        let is_type = is_labels(object) && existing.catalog.object(&object.name).is_some();
        object.name.schema == home && (is_table(object) || is_type)
    };
    let mut present = found.clone().only(is_in_both);
    for object in wanted.objects.iter_mut().chain(&mut present.objects) {
        object.comments.clear();
        object.grants.clear();
        object.grant_roles.clear();
    }
    for object in &mut wanted.objects {
        if let ObjectFacts::Table(table) = &mut object.facts
            && let Some(there) = of_table(&present, home, &object.name.name)
        {
            *table = extended(plan, &object.name, table, there);
        }
    }
    between(&wanted, &present, home, policy)
}

fn of_table<'a>(catalog: &'a Catalog, schema: &str, name: &str) -> Option<&'a TableDefinition> {
    match &catalog.object(&ObjectName::new(ObjectKind::Table, schema, name))?.facts {
        ObjectFacts::Table(table) => Some(table),
        _ => None,
    }
}

/// The table that is there, with the columns, types and nullability that the file has.
fn extended(plan: &Plan, name: &ObjectName, wanted: &TableDefinition, there: &TableDefinition) -> TableDefinition {
    let mut table = there.clone();
    let planned = plan.tables.iter().find(|planned| planned.name == name.name);
    let is_pushed =
        |column: &str| planned.is_some_and(|planned| planned.pushed_columns().any(|pushed| pushed.name == column));
    for column in &wanted.columns {
        match table.columns.iter_mut().find(|old| old.name == column.name) {
            None => table.columns.push(weakened(plan, name, column)),
            // What the target fills itself, and what the plan weakens, is left as it is.
            Some(_) if !is_pushed(&column.name) || weakened(plan, name, column) != *column => {}
            Some(old) => {
                old.data_type.clone_from(&column.data_type);
                old.base_type.clone_from(&column.base_type);
                old.collation.clone_from(&column.collation);
                (old.is_enum, old.not_null) = (column.is_enum, column.not_null);
            }
        }
    }
    table
}

/// A column in the form that the plan gives it.
fn weakened(plan: &Plan, table: &ObjectName, column: &ColumnDefinition) -> ColumnDefinition {
    let mut made = column.clone();
    for weakened in plan.weakened.iter().filter(|weakened| weakened.name == *table) {
        match &weakened.form {
            WeakerForm::BaseType { column, base } if *column == made.name => made.data_type.clone_from(base),
            WeakerForm::NullAllowed { column } if *column == made.name => made.not_null = false,
            _ => {}
        }
    }
    made
}

fn between(wanted: &Catalog, present: &Catalog, home: &str, policy: TypeChangePolicy) -> Option<Alteration> {
    let allowed = Allowed { drops: false, narrows: policy == TypeChangePolicy::Follow, privileges: false };
    let made = schema_sync::statements(wanted, present, allowed, &[]).ok()?;
    let is_needed = |difference: &Difference| difference.part != DifferenceKind::Nullability;
    if made.changes.is_empty() || made.withheld.iter().any(is_needed) {
        return None;
    }
    let differences = schema_sync::differences(wanted, present, false);
    let of_tables = differences.iter().filter(|found| found.object.kind == ObjectKind::Table);
    let altered: BTreeSet<String> =
        of_tables.filter(|found| !made.withheld.contains(found)).map(|found| found.object.name.clone()).collect();
    let (before, inside): (Vec<Change>, Vec<Change>) =
        made.changes.into_iter().partition(|change| change.timing == Timing::Before);
    let sql = |changes: Vec<Change>| changes.into_iter().map(|change| change.sql).collect();
    Some(Alteration {
        before: sql(before),
        inside: sql(inside),
        search_path: made.search_path,
        locked: altered.iter().map(|name| qualified(home, name)).collect(),
        altered,
        ..Alteration::default()
    })
}
