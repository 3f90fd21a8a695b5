//! Renames tables and columns of the present catalog, as the user says that they were renamed in the desired one.

use super::{
    Change, Timing, compare::table_of, difference::Effect, words_in_sql::mentions, words_in_sql::with_name_replaced,
};
use crate::model::{
    catalog::{Catalog, CatalogObject, ObjectFacts, ObjectKind, ObjectName, quote_ident_if_needed},
    identifier::{qualified, quote_ident},
};

/// A table or column that has another name on the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// The table that is renamed, or whose column is, by its old or its new name.
    pub table: String,
    /// The column that is renamed.
    pub column: Option<String>,
    /// The new name.
    pub new: String,
}

/// A rename that does not fit: what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenameProblem(pub String);

impl Rename {
    /// `OLD=NEW` for a table, `TABLE.OLD=NEW` or `TABLE.OLD=TABLE.NEW` for a column.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (old, new) = text.split_once('=')?;
        let (table, column) = match old.split_once('.') {
            Some((table, column)) => (table, Some(column.to_owned())),
            None => (old, None),
        };
        let new = match (&column, new.split_once('.')) {
            (Some(_), Some((_, new))) => new,
            (None, Some(_)) => return None,
            (_, None) => new,
        };
        let is_whole = !table.is_empty() && !new.is_empty() && column.as_deref() != Some("");
        is_whole.then(|| Self { table: table.to_owned(), column, new: new.to_owned() })
    }
}

/// The present catalog after the renames, and their statements.
///
/// # Errors
/// The first rename that does not fit.
pub(super) fn apply(from: &Catalog, to: &Catalog, renames: &[Rename]) -> Result<(Catalog, Vec<Change>), RenameProblem> {
    let mut present = to.clone();
    let mut changes = Vec::new();
    for rename in renames.iter().filter(|rename| rename.column.is_none()) {
        changes.push(table(from, &mut present, &rename.table, &rename.new)?);
    }
    for rename in renames {
        let Some(old) = &rename.column else { continue };
        let table = renames
            .iter()
            .find(|other| other.column.is_none() && other.table == rename.table)
            .map_or(&rename.table, |other| &other.new);
        changes.push(column(from, &mut present, table, old, &rename.new)?);
    }
    Ok((present, changes))
}

fn table(from: &Catalog, present: &mut Catalog, old: &str, new: &str) -> Result<Change, RenameProblem> {
    let schema = present.schema.clone();
    let name = |table: &str| ObjectName::new(ObjectKind::Table, &schema, table);
    if table_of(present, &name(old)).is_none() {
        return Err(RenameProblem(format!("there is no table {old} to be renamed")));
    }
    if table_of(present, &name(new)).is_some() {
        return Err(RenameProblem(format!("table {new} is there already")));
    }
    if from.object(&ObjectName::new(ObjectKind::Table, &from.schema, new)).is_none() {
        return Err(RenameProblem(format!("the other side has no table {new}")));
    }
    let at = present.objects.iter().position(|object| object.name == name(old));
    let users = users(present, at);
    for (place, object) in present.objects.iter_mut().enumerate() {
        if Some(place) == at {
            new.clone_into(&mut object.name.name);
        }
        if object.name.schema == schema && object.name.table == old {
            new.clone_into(&mut object.name.table);
        }
        if users.contains(&place) {
            replace(object, old, new);
        }
        in_facts(object, &schema, old, new);
    }
    let sql = format!("ALTER TABLE {} RENAME TO {}", qualified(&schema, old), quote_ident(new));
    Ok(Change { object: format!("table {old}"), effect: Effect::Replaces, timing: Timing::Inside, sql })
}

/// Facts that name a table.
fn in_facts(object: &mut CatalogObject, schema: &str, old: &str, new: &str) {
    let (written, rewritten) = (quote_ident_if_needed(old), quote_ident_if_needed(new));
    match &mut object.facts {
        ObjectFacts::Table(table) => {
            let parents = table.inherits.iter_mut().chain(table.partition_of.as_mut().map(|(parent, _)| parent));
            for parent in parents.filter(|parent| **parent == written) {
                parent.clone_from(&rewritten);
            }
        }
        ObjectFacts::Sequence(sequence) if object.name.schema == schema => {
            if let Some((table, _)) = sequence.owner.as_mut().filter(|(table, _)| table == old) {
                new.clone_into(table);
            }
        }
        ObjectFacts::Constraint(constraint) => {
            let key = constraint.foreign_key.as_mut().filter(|key| key.schema == schema && key.table == old);
            if let Some(key) = key {
                new.clone_into(&mut key.table);
            }
        }
        _ => {}
    }
}

fn column(from: &Catalog, present: &mut Catalog, table: &str, old: &str, new: &str) -> Result<Change, RenameProblem> {
    let schema = present.schema.clone();
    let name = ObjectName::new(ObjectKind::Table, &schema, table);
    let has = |catalog: &Catalog, column: &str| table_of(catalog, &name).is_some_and(|t| t.column(column).is_some());
    if !has(present, old) {
        return Err(RenameProblem(format!("there is no column {table}.{old} to be renamed")));
    }
    if has(present, new) {
        return Err(RenameProblem(format!("column {table}.{new} is there already")));
    }
    if !has(from, new) {
        return Err(RenameProblem(format!("the other side has no column {table}.{new}")));
    }
    let at = present.objects.iter().position(|object| object.name == name);
    let users = users(present, at);
    for (place, object) in present.objects.iter_mut().enumerate().filter(|(place, _)| users.contains(place)) {
        let is_child =
            matches!(&object.facts, ObjectFacts::Table(child) if child.column(old).is_some_and(|c| c.is_inherited));
        replace(object, old, new);
        if let ObjectFacts::Table(definition) = &mut object.facts
            && (Some(place) == at || is_child)
        {
            for column in definition.columns.iter_mut().filter(|column| column.name == old) {
                new.clone_into(&mut column.name);
            }
        }
    }
    for object in &mut present.objects {
        if let ObjectFacts::Sequence(sequence) = &mut object.facts
            && let Some((_, column)) = sequence.owner.as_mut().filter(|owner| owner.0 == table && owner.1 == old)
        {
            new.clone_into(column);
        }
    }
    let (whole, old_name) = (qualified(&schema, table), quote_ident(old));
    let sql = format!("ALTER TABLE {whole} RENAME COLUMN {old_name} TO {}", quote_ident(new));
    Ok(Change { object: format!("column {table}.{old}"), effect: Effect::Replaces, timing: Timing::Inside, sql })
}

/// The places of an object and of those that need it, directly or through others.
fn users(catalog: &Catalog, at: Option<usize>) -> Vec<usize> {
    let mut users: Vec<usize> = at.into_iter().collect();
    for (place, object) in catalog.objects.iter().enumerate() {
        if !users.contains(&place) && object.needs.iter().any(|need| users.contains(need)) {
            users.push(place);
        }
    }
    users
}

/// The name in the SQL of an object. PostgreSQL rewrites all but the bodies of functions, which are texts.
fn replace(object: &mut CatalogObject, old: &str, new: &str) {
    if object.name.kind == ObjectKind::Function {
        return;
    }
    let replace = |text: &mut String| {
        if mentions(text, old) {
            *text = with_name_replaced(text, old, new);
        }
    };
    object.create.iter_mut().chain(&mut object.comments).chain(&mut object.grants).for_each(replace);
    match &mut object.facts {
        ObjectFacts::Table(table) => {
            table.settings.iter_mut().for_each(replace);
            table.partition_by.iter_mut().for_each(replace);
            let texts = table.columns.iter_mut().flat_map(|column| column.generated.iter_mut());
            texts.for_each(replace);
        }
        ObjectFacts::Constraint(constraint) => {
            replace(&mut constraint.definition);
            constraint.expression.iter_mut().for_each(replace);
            constraint.columns.iter_mut().filter(|column| *column == old).for_each(|column| new.clone_into(column));
        }
        ObjectFacts::Index(index) => {
            index.keys.iter_mut().chain(index.predicate.iter_mut()).for_each(replace);
            for column in index.columns.iter_mut().flatten().filter(|column| *column == old) {
                new.clone_into(column);
            }
        }
        _ => {}
    }
}
