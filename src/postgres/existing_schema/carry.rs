//! Adds tables to an existing schema: those that only the source has, as the rules make them.

use std::collections::BTreeMap;

use super::{ScratchCluster, copy};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{
        catalog::{Catalog, CatalogObject, ObjectName, OmittedObject},
        existing_schema::ExistingSchema,
    },
    postgres::{Session, catalog, managed::LocalChoice},
    rules::ddl::{Statement, StatementKind},
};

/// The schema with the tables that these statements create beside its own. What refers to its own tables and does not
/// fit them is left out and named.
///
/// # Errors
/// `Config` if PostgreSQL refuses a table; `Local*`.
pub async fn add_tables(
    ctx: &Context,
    local: &LocalChoice,
    existing: ExistingSchema,
    statements: &[Statement],
) -> Result<ExistingSchema> {
    if statements.is_empty() {
        return Ok(existing);
    }
    let cluster = ScratchCluster::open(ctx, local).await?;
    let added = Box::pin(create_and_read(&cluster, &existing.catalog, statements)).await;
    // The first error is the one to report.
    let closed = cluster.close().await;
    let (found, omitted) = added?;
    closed?;
    let mut catalog = existing.catalog;
    append(&mut catalog, found);
    catalog.omitted.extend(omitted);
    Ok(ExistingSchema::new(&existing.origin, existing.is_live, catalog, existing.rows))
}

async fn create_and_read(
    cluster: &ScratchCluster,
    existing: &Catalog,
    statements: &[Statement],
) -> Result<(Catalog, Vec<OmittedObject>)> {
    let session = Session::connect(cluster.endpoint()).await?;
    copy::create_objects(&session, existing, false).await?;
    let mut omitted = Vec::new();
    for statement in statements {
        let Err(error) = session.batch("creating a table that only the source has", &statement.sql).await else {
            continue;
        };
        if session.is_lost() {
            return Err(error);
        }
        let (kind, object) = (statement.kind.word(), &statement.object);
        if statement.kind == StatementKind::Table {
            let what = format!("table {object} can't be created beside the existing schema: {}", error.message());
            return Err(Error::new(Kind::Config, what).at_table(&statement.table).with_hint(
                "give it another name: [tables.\"TABLE\"] name = \"NAME\", or leave it out with --exclude",
            ));
        }
        omitted.push(OmittedObject {
            table: Some(statement.table.clone()),
            what: format!("{kind} {object} of a table that only the source has is not created: {}", error.message()),
            sql: Some(statement.sql.clone()),
        });
    }
    let found = catalog::read(&session, Some(&existing.schema)).await?;
    Ok((found, omitted))
}

/// Appends the objects that a catalog has not, and keeps what they need.
fn append(catalog: &mut Catalog, found: Catalog) {
    let names: Vec<ObjectName> = found.objects.iter().map(|object| object.name.clone()).collect();
    for object in found.objects {
        if catalog.object(&object.name).is_some() {
            continue;
        }
        let places: BTreeMap<&ObjectName, usize> =
            catalog.objects.iter().enumerate().map(|(place, object)| (&object.name, place)).collect();
        let needed = object.needs.iter().filter_map(|need| names.get(*need));
        let needs = needed.filter_map(|name| places.get(name).copied()).collect();
        catalog.objects.push(CatalogObject { needs, ..object });
    }
}
