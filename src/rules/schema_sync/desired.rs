//! The catalog to be reached: the desired one, with what is not allowed left as it is at present.

use std::collections::BTreeSet;

use super::{
    Allowed,
    compare::Compared,
    difference::{ChangeWord, Difference, DifferenceKind},
    words_in_sql::comment_parts,
};
use crate::model::catalog::{
    Catalog, CatalogObject, ColumnDefinition, ObjectFacts, ObjectKind, ObjectName, TableDefinition,
};

/// What of a column goes together: a default is of the column's type, a sequence is an identity's or a default's.
const TOGETHER: [DifferenceKind; 4] =
    [DifferenceKind::Type, DifferenceKind::Default, DifferenceKind::Generated, DifferenceKind::Identity];

/// The catalog to be reached, and the differences that stay.
pub(super) fn catalog(
    from: &Catalog,
    present: &Catalog,
    compared: &Compared,
    allowed: Allowed,
) -> (Catalog, Vec<Difference>) {
    let kept = kept_columns(present, compared, allowed);
    let is_kept = |difference: &Difference| {
        let column = difference.column.as_ref().filter(|_| TOGETHER.contains(&difference.part));
        let of_column = column.is_some_and(|column| kept.contains(&(difference.object.clone(), column.clone())));
        let of_sequence = difference.part == DifferenceKind::Object
            && [from, present]
                .iter()
                .any(|catalog| owner_of(catalog, &difference.object).is_some_and(|owner| kept.contains(&owner)));
        !allowed.allows(difference.sync) || of_column || of_sequence
    };
    let mut wanted = from.clone();
    let mut withheld = Vec::new();
    for difference in compared.iter().filter(|difference| is_kept(difference)) {
        take_back(&mut wanted, present, difference);
        withheld.push(difference.clone());
    }
    (wanted, withheld)
}

/// Columns that stay as they are because a part of their change is not allowed, here or in a parent of the table.
fn kept_columns(present: &Catalog, compared: &Compared, allowed: Allowed) -> BTreeSet<(ObjectName, String)> {
    let refused = compared.iter().filter(|difference| !allowed.allows(difference.sync));
    let refused = refused.filter(|difference| TOGETHER.contains(&difference.part));
    let mut kept: BTreeSet<(ObjectName, String)> =
        refused.filter_map(|difference| Some((difference.object.clone(), difference.column.clone()?))).collect();
    // Parents come first.
    for (name, table) in present.all_tables() {
        let parents = table.inherits.iter().chain(table.partition_of.as_ref().map(|(parent, _)| parent));
        let parents: Vec<&String> = parents.collect();
        let of_parent = |column: &&ColumnDefinition| {
            let mut kept = kept.iter().filter(|(_, kept)| *kept == column.name);
            column.is_inherited
                && kept.any(|(table, _)| parents.iter().any(|parent| present.is_type_name(table, parent)))
        };
        let found: Vec<String> = table.columns.iter().filter(of_parent).map(|column| column.name.clone()).collect();
        kept.extend(found.into_iter().map(|column| (name.clone(), column)));
    }
    kept
}

/// The table and column that own a sequence.
fn owner_of(catalog: &Catalog, name: &ObjectName) -> Option<(ObjectName, String)> {
    let ObjectFacts::Sequence(sequence) = &catalog.object(name)?.facts else { return None };
    let (table, column) = sequence.owner.clone()?;
    Some((ObjectName::new(ObjectKind::Table, &name.schema, &table), column))
}

fn take_back(wanted: &mut Catalog, present: &Catalog, difference: &Difference) {
    let Some(kept) = present.object(&difference.object) else {
        // Its place stays, because others are counted from it.
        if let Some(object) = wanted.objects.iter_mut().find(|object| object.name == difference.object) {
            object.create.clear();
            object.comments.clear();
            object.grants.clear();
            object.facts = ObjectFacts::None;
        }
        return;
    };
    if difference.change == ChangeWord::Added && difference.part == DifferenceKind::Object {
        // Its needs are places of the other catalog.
        wanted.objects.push(CatalogObject { needs: Vec::new(), ..kept.clone() });
        return;
    }
    let Some(object) = wanted.objects.iter_mut().find(|object| object.name == kept.name) else { return };
    match difference.part {
        DifferenceKind::Comment => {
            let is_same = |statement: &&String| {
                let text = comment_parts(statement).map(|(_, text)| text);
                text == difference.after.as_deref()
            };
            object.comments.extend(kept.comments.iter().filter(is_same).cloned());
        }
        DifferenceKind::Privilege => object.grants.extend(difference.after.iter().cloned()),
        _ => match (&mut object.facts, &kept.facts) {
            (ObjectFacts::Table(table), ObjectFacts::Table(kept)) => in_table(table, kept, difference),
            (facts, kept_facts) => {
                facts.clone_from(kept_facts);
                object.create.clone_from(&kept.create);
            }
        },
    }
}

fn in_table(table: &mut TableDefinition, kept: &TableDefinition, difference: &Difference) {
    let Some(name) = &difference.column else {
        match difference.part {
            DifferenceKind::Partitioning => {
                table.partition_by.clone_from(&kept.partition_by);
                table.partition_of.clone_from(&kept.partition_of);
            }
            DifferenceKind::Inheritance => table.inherits.clone_from(&kept.inherits),
            DifferenceKind::Persistence => table.unlogged = kept.unlogged,
            _ => {}
        }
        return;
    };
    let Some(kept) = kept.column(name) else { return };
    let Some(column) = table.columns.iter_mut().find(|column| column.name == *name) else {
        table.columns.push(kept.clone());
        return;
    };
    in_column(column, kept, difference.part);
}

fn in_column(column: &mut ColumnDefinition, kept: &ColumnDefinition, part: DifferenceKind) {
    match part {
        DifferenceKind::Type => {
            column.data_type.clone_from(&kept.data_type);
            column.base_type.clone_from(&kept.base_type);
            column.collation.clone_from(&kept.collation);
        }
        DifferenceKind::Nullability => column.not_null = kept.not_null,
        DifferenceKind::Default => column.default.clone_from(&kept.default),
        DifferenceKind::Generated => {
            column.generated.clone_from(&kept.generated);
            column.is_virtual = kept.is_virtual;
            column.default.clone_from(&kept.default);
        }
        DifferenceKind::Identity => column.identity.clone_from(&kept.identity),
        _ => {}
    }
}
