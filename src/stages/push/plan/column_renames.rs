//! Which columns of the last push the source has under another name now, with the evidence for it.
//!
//! SQLite's ALTER TABLE RENAME COLUMN keeps the place of a column, and ADD COLUMN appends (SQLite's manual, ALTER TABLE).
//! So a column of another name between columns that stayed was renamed. At the end of a table it may as well be a column
//! that was dropped and one that was added. Then the values decide.

use crate::{
    error::Result,
    model::{
        Plan, TablePlan,
        catalog::{Catalog, ColumnDefinition, TableDefinition},
        table_digest::DigestColumn,
    },
    postgres::{Session, table_digest},
    rules::schema_sync::Rename,
};

/// The columns of `present` that `wanted` has under another name. `control` is the target, `reader` the local server.
///
/// # Errors
/// `Local*`, `Target*`.
pub(super) async fn find(
    (control, reader): (&Session, &Session),
    (wanted, present): (&Catalog, &Catalog),
    plan: &Plan,
) -> Result<Vec<Rename>> {
    let mut found = Vec::new();
    for (name, new) in wanted.tables() {
        let old = present.tables().find(|(old, _)| *old == name).map(|(_, table)| table);
        let planned = plan.tables.iter().find(|table| table.name == name);
        let Some((old, planned)) = old.zip(planned) else { continue };
        let pairs = pairs(new, old);
        let is_last = |at: usize| new.columns.iter().skip(at).all(|column| old.column(&column.name).is_none());
        let place = |name: &str| new.columns.iter().position(|column| column.name == name);
        let by_values = pairs.iter().any(|(_, new)| place(&new.name).is_none_or(is_last));
        let schemas = (present.schema.as_str(), plan.schema.as_str());
        if by_values && !have_same_values((control, reader), schemas, planned, &pairs).await? {
            continue;
        }
        found.extend(pairs.iter().map(|(old, new)| Rename {
            table: name.to_owned(),
            column: Some(old.name.clone()),
            new: new.name.clone(),
        }));
    }
    Ok(found)
}

/// Columns in the same place and of the same type, with the names that only one of the tables has; none if the tables
/// differ otherwise in their columns or their order.
fn pairs<'a>(new: &'a TableDefinition, old: &'a TableDefinition) -> Vec<(&'a ColumnDefinition, &'a ColumnDefinition)> {
    let is_pair = |old_column: &ColumnDefinition, new_column: &ColumnDefinition| {
        let is_alone = old.column(&new_column.name).is_none() && new.column(&old_column.name).is_none();
        is_alone && old_column.data_type == new_column.data_type && old_column.generated.is_none()
    };
    let mut pairs = Vec::new();
    // New columns follow the others.
    if new.columns.len() < old.columns.len() {
        return pairs;
    }
    for (old_column, new_column) in old.columns.iter().zip(&new.columns) {
        if old_column.name == new_column.name {
            continue;
        }
        if !is_pair(old_column, new_column) {
            return Vec::new();
        }
        pairs.push((old_column, new_column));
    }
    pairs
}

/// Whether the renamed columns have the same values for the same keys on both servers.
async fn have_same_values(
    (control, reader): (&Session, &Session),
    (there, here): (&str, &str),
    planned: &TablePlan,
    pairs: &[(&ColumnDefinition, &ColumnDefinition)],
) -> Result<bool> {
    let is_renamed = |name: &str| pairs.iter().any(|(_, new)| new.name == name);
    let keys = planned.primary_key.iter().flat_map(|key| &key.columns).filter(|name| !is_renamed(name));
    let names = keys.map(String::as_str).chain(pairs.iter().map(|(_, new)| new.name.as_str()));
    let local: Vec<DigestColumn> = names.filter_map(|name| planned.column(name)).map(DigestColumn::from).collect();
    let old_name = |name: &str| pairs.iter().find(|(_, new)| new.name == name).map(|(old, _)| old.name.clone());
    let renamed = |column: &DigestColumn| DigestColumn {
        name: old_name(&column.name).unwrap_or_else(|| column.name.clone()),
        ..column.clone()
    };
    let remote: Vec<DigestColumn> = local.iter().map(renamed).collect();
    let doing = "comparing the values of columns";
    let (here, there) = (
        table_digest::recorded_query(here, &planned.name, &local),
        table_digest::recorded_query(there, &planned.name, &remote),
    );
    let (here, there) = tokio::try_join!(
        reader.query_value::<String>(doing, &here, &[]),
        control.query_value::<String>(doing, &there, &[])
    )?;
    Ok(here == there)
}
