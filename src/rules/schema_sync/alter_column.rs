//! Writes the statements that change columns in place.

use super::{alter_object::sequence_options, columns::same_identity, difference::Effect, dropped::ColumnWork};
use crate::model::{
    catalog::{ColumnDefinition, IdentityDefinition, ObjectName, TableDefinition},
    identifier::{qualified, quote_ident, quote_literal},
};

/// An effect and a statement.
pub(super) type Step = (Effect, String);

/// Types whose casts among each other PostgreSQL has.
const NUMBERS: [&str; 6] = ["smallint", "integer", "bigint", "numeric", "real", "double precision"];

/// One ALTER TABLE for all columns whose type changes, so that the rows are written once.
pub(super) fn types(
    table: &ObjectName,
    wanted: &TableDefinition,
    present: &TableDefinition,
    work: &ColumnWork,
) -> Option<Step> {
    let mut actions = Vec::new();
    let mut effect = Effect::Widens;
    for new in &wanted.columns {
        let Some(old) = present.column(&new.name).filter(|old| work.retyped.contains(&old.name)) else { continue };
        // A parent's column brings its children's along.
        if old.is_inherited && new.is_inherited {
            continue;
        }
        let name = quote_ident(&new.name);
        let collation = new.collation.as_ref().map(|collation| format!(" COLLATE {collation}")).unwrap_or_default();
        let mut action = format!("ALTER COLUMN {name} TYPE {}{collation}", new.data_type);
        if !work.widened.contains(&new.name) {
            effect = Effect::Narrows;
            if let Some(value) = conversion(&name, &old.data_type, &new.data_type) {
                action.push_str(&format!(" USING {value}"));
            }
        }
        actions.push(action);
    }
    let sql = format!("ALTER TABLE {} {}", qualified(&table.schema, &table.name), actions.join(", "));
    (!actions.is_empty()).then_some((effect, sql))
}

/// How a value is converted; none for the cast of an assignment, which refuses texts that are too long, and rounds or cuts
/// numbers and times. An explicit cast would cut texts off, too.
fn conversion(column: &str, old: &str, new: &str) -> Option<String> {
    let base = |name: &str| name.split_once('(').map_or(name, |(base, _)| base).to_owned();
    let is_text = |name: &str| matches!(base(name).as_str(), "text" | "character varying" | "character" | "name");
    let is_number = |name: &str| NUMBERS.contains(&base(name).as_str());
    let is_time = |name: &str| name == "date" || name.starts_with("timestamp");
    let is_whole = |name: &str| matches!(name, "smallint" | "integer" | "bigint");
    if is_text(new) {
        return (!is_text(old)).then(|| format!("{column}::text"));
    }
    if is_number(old) && is_whole(new) && !is_whole(old) {
        // A fraction is refused, not rounded.
        return Some(format!("trim_scale({column}::numeric)::text::{new}"));
    }
    if (is_number(old) && is_number(new)) || (is_time(old) && is_time(new)) {
        return None;
    }
    if matches!((old, new), ("boolean", "integer") | ("integer", "boolean")) {
        return Some(format!("{column}::{new}"));
    }
    Some(format!("{column}::text::{new}"))
}

/// Statements for the columns that both sides have, without their types.
pub(super) fn rest(table: &ObjectName, new: &ColumnDefinition, old: &ColumnDefinition, work: &ColumnWork) -> Vec<Step> {
    let column =
        format!("ALTER TABLE {} ALTER COLUMN {}", qualified(&table.schema, &table.name), quote_ident(&new.name));
    let mut found = Vec::new();
    if new.generated.is_none() && old.generated.is_some() && !(old.is_inherited && new.is_inherited) {
        found.push((Effect::Widens, format!("{column} DROP EXPRESSION")));
    }
    if new.not_null && !old.not_null {
        found.push((Effect::Narrows, format!("{column} SET NOT NULL")));
    }
    if old.not_null && !new.not_null {
        found.push((Effect::Widens, format!("{column} DROP NOT NULL")));
    }
    let is_released = work.released.contains(&new.name);
    match &new.default {
        Some(default) if is_released || new.default != old.default => {
            found.push((Effect::Replaces, format!("{column} SET DEFAULT {default}")));
        }
        Some(_) | None => {}
    }
    match (&new.identity, &old.identity) {
        (Some(new_identity), None) => {
            found.push((Effect::Replaces, format!("{column} ADD {}", identity_words(new_identity))));
            found.extend(past_rows(table, &new.name, new_identity));
        }
        (Some(one), Some(other)) if !same_identity(Some(one), Some(other)) => {
            found.extend(identity(table, &column, one, other));
        }
        _ => {}
    }
    found
}

fn identity_words(identity: &IdentityDefinition) -> String {
    let when = if identity.always { "ALWAYS" } else { "BY DEFAULT" };
    format!(
        "GENERATED {when} AS IDENTITY (SEQUENCE NAME {} {})",
        quote_ident(&identity.sequence),
        identity.options.options()
    )
}

fn identity(table: &ObjectName, column: &str, new: &IdentityDefinition, old: &IdentityDefinition) -> Vec<Step> {
    let mut found = Vec::new();
    if new.always != old.always {
        let when = if new.always { "ALWAYS" } else { "BY DEFAULT" };
        found.push(format!("{column} SET GENERATED {when}"));
    }
    let sequence = |name: &str| format!("ALTER SEQUENCE {}", qualified(&table.schema, name));
    if new.sequence != old.sequence {
        found.push(format!("{} RENAME TO {}", sequence(&old.sequence), quote_ident(&new.sequence)));
    }
    found.extend(sequence_options(&sequence(&new.sequence), &new.options, &old.options));
    found.into_iter().map(|sql| (Effect::Replaces, sql)).collect()
}

/// Moves the new sequence of an identity past the numbers that the rows have.
pub(super) fn past_rows(table: &ObjectName, column: &str, identity: &IdentityDefinition) -> Option<Step> {
    let options = &identity.options;
    (options.increment > 0).then(|| {
        let limits = (options.least, options.most);
        (Effect::Replaces, next_number(table, column, &identity.sequence, limits))
    })
}

/// `setval` to the highest number of the rows, if the sequence can give it.
pub(super) fn next_number(table: &ObjectName, column: &str, sequence: &str, (least, most): (i64, i64)) -> String {
    let (whole, column) = (qualified(&table.schema, &table.name), quote_ident(column));
    let sequence = quote_literal(&qualified(&table.schema, sequence));
    format!(
        "SELECT pg_catalog.setval({sequence}, max({column})) FROM {whole} HAVING max({column}) BETWEEN {least} AND {most}"
    )
}
