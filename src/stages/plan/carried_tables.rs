//! Tables that an existing schema lacks, as the rules make them: the statements that create them beside it.

use std::collections::BTreeMap;

use super::{make, override_resolution::resolve};
use crate::{
    context::Context,
    error::Result,
    model::{TablePlan, conversion_plan::ForeignKeyPlan, existing_schema::ExistingSchema, overrides::Overrides},
    rules::{
        ddl::{self, Statement},
        identifiers::is_match,
        migration_history,
    },
    sqlite::{catalog, open},
};

/// The statements for the tables of the dump that the schema lacks. Migration histories and tables that are left out are
/// not among them.
///
/// # Errors
/// As for a plan without existing schema.
pub fn statements(ctx: &Context, overrides: &Overrides, existing: &ExistingSchema) -> Result<Vec<Statement>> {
    let dump = ctx.workdir.load_dump()?;
    let overrides = Overrides { existing_schema: None, ..overrides.clone() };
    let schema = catalog::read(&open::read_only(&ctx.workdir.source_db())?)?;
    let selected = resolve(&schema, &overrides)?.selected;
    let matching = |name: &str| existing.tables.iter().find(|table| is_match(name, &table.name));
    let is_history = |name: &str| {
        let table = schema.tables.iter().find(|table| table.name == name);
        let columns = table.into_iter().flat_map(|table| table.columns.iter().map(|column| column.name.as_str()));
        migration_history::recognise(name, columns).is_some()
    };
    let is_missing = |name: &str| matching(name).is_none() && !is_history(name);
    let names =
        schema.tables.iter().zip(selected).filter(|(_, selected)| *selected).map(|(table, _)| table.name.as_str());
    if !names.into_iter().any(is_missing) {
        return Ok(Vec::new());
    }
    let plan = make(ctx, &dump, &overrides)?;
    // A parent that the existing schema has goes by its names there.
    let parents: BTreeMap<&str, &str> = plan
        .tables
        .iter()
        .filter_map(|table| Some((table.name.as_str(), matching(&table.source)?.name.as_str())))
        .collect();
    let tables: Vec<TablePlan> = plan
        .tables
        .iter()
        .filter(|table| is_missing(&table.source))
        .cloned()
        .map(|table| {
            let keys = table.foreign_keys.iter().map(|key| renamed(key, &parents, existing)).collect();
            TablePlan { foreign_keys: keys, ..table }
        })
        .collect();
    let home = &existing.catalog.schema;
    let mut sql: Vec<Statement> = tables.iter().map(|table| ddl::create_table(home, table)).collect();
    for make in [ddl::defaults, ddl::keys, ddl::indexes, ddl::checks, ddl::foreign_keys] {
        sql.extend(tables.iter().flat_map(|table| make(home, table)));
    }
    sql.extend(tables.iter().flat_map(|table| ddl::validations(home, table)));
    Ok(sql)
}

fn renamed(key: &ForeignKeyPlan, parents: &BTreeMap<&str, &str>, existing: &ExistingSchema) -> ForeignKeyPlan {
    let Some(parent) = parents.get(key.parent.as_str()) else { return key.clone() };
    let table = existing.tables.iter().find(|table| table.name == *parent);
    let column = |name: &String| {
        let found = table.and_then(|table| table.columns.iter().find(|column| is_match(name, &column.name)));
        found.map_or_else(|| name.clone(), |column| column.name.clone())
    };
    ForeignKeyPlan {
        parent: (*parent).to_owned(),
        parent_columns: key.parent_columns.iter().map(column).collect(),
        ..key.clone()
    }
}
