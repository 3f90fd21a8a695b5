//! The statements of an existing schema's objects in the form that the plan decided: weaker where rows of the source
//! break an object.

use super::{
    catalog::{CatalogObject, ObjectFacts, ObjectKind, ObjectName},
    conversion_plan::Plan,
    existing_schema::{WeakenedObject, WeakerForm},
    identifier::{qualified, quote_ident},
};

fn weakened<'a>(plan: &'a Plan, object: &CatalogObject) -> impl Iterator<Item = &'a WeakerForm> {
    plan.weakened.iter().filter(move |weakened| weakened.name == object.name).map(|weakened| &weakened.form)
}

/// Whether the plan leaves the object out.
#[must_use]
pub fn is_dropped(plan: &Plan, object: &CatalogObject) -> bool {
    weakened(plan, object).any(|form| *form == WeakerForm::NotCreated)
}

/// The statements that create an object; none if it is left out.
#[must_use]
pub fn object(plan: &Plan, object: &CatalogObject) -> Vec<String> {
    if is_dropped(plan, object) {
        return Vec::new();
    }
    let is_not_valid = weakened(plan, object).any(|form| *form == WeakerForm::NotValid);
    let mut sql = object.create.clone();
    if let Some(first) = sql.first_mut().filter(|first| is_not_valid && !first.ends_with(" NOT VALID")) {
        first.push_str(" NOT VALID");
    }
    for form in weakened(plan, object) {
        if let (WeakerForm::BaseType { column, base }, ObjectFacts::Table(table)) = (form, &object.facts)
            && let (Some(definition), Some(first)) = (table.column(column), sql.first_mut())
        {
            let written = |data_type: &str| format!("\n  {} {data_type}", quote_ident(column));
            *first = first.replacen(&written(&definition.data_type), &written(base), 1);
        }
    }
    sql
}

/// The statements that weaken columns of tables after they were created. New tables have the types of their columns from
/// the beginning.
#[must_use]
pub fn columns(plan: &Plan, is_there: impl Fn(&ObjectName) -> bool) -> Vec<String> {
    let is_type = |weakened: &&WeakenedObject| matches!(weakened.form, WeakerForm::BaseType { .. });
    plan.weakened.iter().filter(|one| !is_type(one) || is_there(&one.name)).filter_map(column).collect()
}

fn column(weakened: &WeakenedObject) -> Option<String> {
    if weakened.name.kind != ObjectKind::Table {
        return None;
    }
    let alter = |column: &str, what: String| {
        let table = qualified(&weakened.name.schema, &weakened.name.name);
        Some(format!("ALTER TABLE {table} ALTER COLUMN {} {what}", quote_ident(column)))
    };
    match &weakened.form {
        WeakerForm::BaseType { column, base } => alter(column, format!("TYPE {base}")),
        WeakerForm::NullAllowed { column } => alter(column, "DROP NOT NULL".to_owned()),
        WeakerForm::NotCreated | WeakerForm::NotValid => None,
    }
}
