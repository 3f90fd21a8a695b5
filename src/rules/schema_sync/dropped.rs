//! Finds what has to be dropped: what is gone, what can only be replaced as a whole, and what depends on either or on a
//! column that is altered.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    columns::{same_type, widens},
    compare::{is_contained, is_validation, table_of},
    words_in_sql::mentions,
};
use crate::model::catalog::{
    Catalog, CatalogObject, ColumnDefinition, ConstraintKind, ObjectFacts, ObjectKind, ObjectName, TableDefinition,
};

/// What becomes of the columns of a table that stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ColumnWork {
    /// They are removed.
    pub(super) gone: BTreeSet<String>,
    /// They are dropped and added again: generated columns.
    pub(super) added_again: BTreeSet<String>,
    /// Their type or collation changes.
    pub(super) retyped: BTreeSet<String>,
    /// Of these, those whose type accepts every present value as it is.
    pub(super) widened: BTreeSet<String>,
    /// Their default is dropped first.
    pub(super) released: BTreeSet<String>,
}

impl ColumnWork {
    fn is_altered(&self, column: &str) -> bool {
        self.gone.contains(column) || self.added_again.contains(column) || self.retyped.contains(column)
    }

    fn altered(&self) -> impl Iterator<Item = &String> {
        self.gone.iter().chain(&self.added_again).chain(&self.retyped)
    }
}

/// What is dropped, and what is done to columns.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    /// Places in the present catalog.
    pub(super) places: BTreeSet<usize>,
    /// By table.
    pub(super) columns: BTreeMap<ObjectName, ColumnWork>,
}

impl Dropped {
    /// What has to be dropped for `present` to become `wanted`.
    pub(super) fn find(wanted: &Catalog, present: &Catalog) -> Self {
        let mut dropped = Self::default();
        for (place, object) in present.objects.iter().enumerate() {
            let is_dropped = match wanted.object(&object.name) {
                None => true,
                Some(other) => is_replaced(other, object),
            };
            if is_dropped {
                dropped.places.insert(place);
            }
        }
        loop {
            let before = (dropped.places.len(), dropped.columns.clone());
            dropped.look_at_columns(wanted, present);
            dropped.add_users_of_columns(wanted, present);
            dropped.add_dependents(wanted, present);
            if before == (dropped.places.len(), dropped.columns.clone()) {
                return dropped;
            }
        }
    }

    /// Whether the object of this name is dropped.
    pub(super) fn has(&self, present: &Catalog, name: &ObjectName) -> bool {
        self.places.iter().any(|place| present.objects.get(*place).is_some_and(|object| object.name == *name))
    }

    /// The objects of these kinds that are dropped.
    fn of_kinds<'a>(&'a self, present: &'a Catalog, kinds: &'a [ObjectKind]) -> impl Iterator<Item = &'a ObjectName> {
        let objects = self.places.iter().filter_map(|place| present.objects.get(*place));
        objects.map(|object| &object.name).filter(|name| kinds.contains(&name.kind))
    }

    fn look_at_columns(&mut self, wanted: &Catalog, present: &Catalog) {
        let kinds =
            [ObjectKind::Function, ObjectKind::Type, ObjectKind::Domain, ObjectKind::Sequence, ObjectKind::Collation];
        let names: Vec<ObjectName> = self.of_kinds(present, &kinds).cloned().collect();
        for (name, table) in present.all_tables() {
            let Some(other) = table_of(wanted, name) else { continue };
            let work = column_work(present, &names, other, table);
            let is_key_altered =
                table.partition_by.iter().any(|key| work.altered().any(|column| mentions(key, column)));
            if is_key_altered && let Some(place) = place_of(present, name) {
                self.places.insert(place);
            }
            self.columns.insert(name.clone(), work);
        }
    }

    /// Objects that read a column that is altered. PostgreSQL itself keeps keys, checks and indexes over a type that
    /// becomes wider.
    fn add_users_of_columns(&mut self, wanted: &Catalog, present: &Catalog) {
        for (place, object) in present.objects.iter().enumerate() {
            let is_table = matches!(object.name.kind, ObjectKind::Table | ObjectKind::Sequence);
            if is_table || self.places.contains(&place) {
                continue;
            }
            let tables = object.needs.iter().filter_map(|need| present.objects.get(*need));
            let tables = tables.map(|needed| &needed.name).filter(|name| name.kind == ObjectKind::Table);
            let is_user = tables.into_iter().any(|table| self.is_user(object, table))
                || is_foreign_key_of_changed_persistence(wanted, present, object);
            if is_user {
                self.places.insert(place);
            }
        }
    }

    fn is_user(&self, object: &CatalogObject, table: &ObjectName) -> bool {
        let Some(work) = self.columns.get(table) else { return false };
        let stays = match &object.facts {
            ObjectFacts::Constraint(constraint) => constraint.kind != ConstraintKind::ForeignKey,
            ObjectFacts::Index(_) => true,
            _ => false,
        };
        let reads = |column: &&String| object.create.iter().any(|sql| mentions(sql, column));
        work.altered().filter(|column| !stays || !work.widened.contains(*column)).any(|column| reads(&column))
    }

    fn add_dependents(&mut self, wanted: &Catalog, present: &Catalog) {
        // Needs come first, so one pass sees chains.
        for (place, object) in present.objects.iter().enumerate() {
            let needs = object.needs.iter().filter(|need| self.places.contains(need));
            let needs = needs.filter_map(|need| present.objects.get(*need));
            if needs.into_iter().any(|needed| goes_with(wanted, present, object, needed)) {
                self.places.insert(place);
            }
        }
    }
}

/// A foreign key between a table that becomes logged or unlogged and another.
fn is_foreign_key_of_changed_persistence(wanted: &Catalog, present: &Catalog, object: &CatalogObject) -> bool {
    let ObjectFacts::Constraint(constraint) = &object.facts else { return false };
    let Some(key) = &constraint.foreign_key else { return false };
    let changes = |schema: &str, table: &str| {
        let name = ObjectName::new(ObjectKind::Table, schema, table);
        let unlogged = |catalog| table_of(catalog, &name).map(|table| table.unlogged);
        unlogged(wanted) != unlogged(present)
    };
    changes(&object.name.schema, &object.name.table) || changes(&key.schema, &key.table)
}

/// Whether an object has to be dropped with one that it needs.
fn goes_with(wanted: &Catalog, present: &Catalog, object: &CatalogObject, needed: &CatalogObject) -> bool {
    match (object.name.kind, needed.name.kind) {
        (_, ObjectKind::Schema | ObjectKind::Extension) | (ObjectKind::Sequence, _) => false,
        // A child of a table that is made again, if it stays its child.
        (ObjectKind::Table, ObjectKind::Table) => {
            let is_parent = |parent: &String| present.is_type_name(&needed.name, parent);
            table_of(wanted, &object.name).is_some_and(|table| {
                table.inherits.iter().any(is_parent)
                    || table.partition_of.as_ref().is_some_and(|(parent, _)| is_parent(parent))
            })
        }
        // Its columns are altered instead.
        (ObjectKind::Table, _) | (ObjectKind::Type | ObjectKind::Domain, ObjectKind::Function) => false,
        _ => true,
    }
}

fn place_of(catalog: &Catalog, name: &ObjectName) -> Option<usize> {
    catalog.objects.iter().position(|object| object.name == *name)
}

/// Whether a changed object is dropped and created again.
fn is_replaced(wanted: &CatalogObject, present: &CatalogObject) -> bool {
    if let (ObjectFacts::Table(wanted), ObjectFacts::Table(present)) = (&wanted.facts, &present.facts) {
        let parent = |table: &TableDefinition| table.partition_of.as_ref().map(|(parent, _)| parent.clone());
        return wanted.partition_by != present.partition_by || parent(wanted) != parent(present);
    }
    if wanted.create == present.create {
        return false;
    }
    match (&wanted.facts, &present.facts) {
        (ObjectFacts::Constraint(wanted), ObjectFacts::Constraint(present)) => !is_validation(wanted, present),
        (ObjectFacts::Labels(wanted), ObjectFacts::Labels(present)) => !is_contained(present, wanted),
        (
            ObjectFacts::Domain { base, collation, .. },
            ObjectFacts::Domain { base: old_base, collation: old_collation, .. },
        ) => base != old_base || collation != old_collation,
        _ => match present.name.kind {
            ObjectKind::Function => head(wanted) != head(present),
            ObjectKind::Sequence
            | ObjectKind::RowSecurity
            | ObjectKind::TableOption
            | ObjectKind::Schema
            | ObjectKind::Extension => false,
            _ => true,
        },
    }
}

/// The part of a function that CREATE OR REPLACE cannot change: names and defaults of arguments, and the result.
fn head(function: &CatalogObject) -> &str {
    let text = function.create.first().map(String::as_str).unwrap_or_default();
    text.split_once("\n LANGUAGE ").map_or(text, |(head, _)| head)
}

fn column_work(
    present: &Catalog,
    dropped: &[ObjectName],
    wanted: &TableDefinition,
    table: &TableDefinition,
) -> ColumnWork {
    let mut work = ColumnWork::default();
    for column in &table.columns {
        let name = column.name.clone();
        let Some(other) = wanted.column(&name) else {
            work.gone.insert(name);
            continue;
        };
        let is_of_dropped_type = dropped.iter().any(|dropped| is_of_type(present, dropped, column));
        let is_retyped = !same_type(other, column) || is_of_dropped_type;
        if is_added_again(other, column) || (is_retyped && column.generated.is_some()) {
            work.added_again.insert(name);
        } else if is_retyped {
            if !is_of_dropped_type && other.collation == column.collation && widens(&column.data_type, &other.data_type)
            {
                work.widened.insert(name.clone());
            }
            work.retyped.insert(name);
        }
    }
    // Generated columns over altered ones; they do not read each other.
    for column in &table.columns {
        let Some(expression) = &column.generated else { continue };
        let reads_altered = table.columns.iter().any(|other| {
            other.name != column.name && work.is_altered(&other.name) && mentions(expression, &other.name)
        });
        let is_kept = !work.is_altered(&column.name);
        if is_kept && (reads_altered || dropped.iter().any(|name| mentions(expression, plain_name(name)))) {
            work.added_again.insert(column.name.clone());
        }
    }
    for column in &table.columns {
        let Some(default) = &column.default else { continue };
        let other = wanted.column(&column.name);
        let goes = other.is_none_or(|other| other.default.is_none());
        let uses_dropped = dropped.iter().any(|name| mentions(default, plain_name(name)));
        if goes || uses_dropped || work.retyped.contains(&column.name) {
            work.released.insert(column.name.clone());
        }
    }
    work
}

fn is_added_again(wanted: &ColumnDefinition, present: &ColumnDefinition) -> bool {
    match (&wanted.generated, &present.generated) {
        (None, None) => false,
        (None, Some(_)) => present.is_virtual,
        (Some(_), None) => true,
        (Some(one), Some(other)) => one != other || wanted.is_virtual != present.is_virtual,
    }
}

/// Whether the column's type is this type or an array of it, or its collation is this one.
pub(super) fn is_of_type(catalog: &Catalog, name: &ObjectName, column: &ColumnDefinition) -> bool {
    match name.kind {
        ObjectKind::Type | ObjectKind::Domain => catalog.is_type_name(name, column.data_type.trim_end_matches("[]")),
        ObjectKind::Collation => column.collation.as_ref().is_some_and(|written| catalog.is_type_name(name, written)),
        _ => false,
    }
}

/// A name as expressions have it: a function's without its arguments and quotes.
fn plain_name(name: &ObjectName) -> &str {
    let text = name.name.as_str();
    if name.kind != ObjectKind::Function {
        return text;
    }
    let text = text.rsplit_once('(').map_or(text, |(text, _)| text);
    text.trim_matches('"')
}
