//! Reads the rows of tables that only the existing schema has: rows that a file of SQL inserts, and rows of a database
//! that other tables refer to.

use futures_util::TryStreamExt;

use crate::{
    error::{Error, Kind, Result},
    model::{
        catalog::{Catalog, CatalogObject, ObjectFacts, ObjectKind, ObjectName, Phase},
        existing_schema::ExistingRows,
        identifier::{qualified, quote_list},
    },
    postgres::Session,
};

/// Rows of one table that are kept in the plan at most, in bytes.
const TABLE_BYTES_MAX: usize = 8 << 20;

/// The rows of these tables.
///
/// # Errors
/// `Config` for a table with more rows than a plan can hold; by role.
pub(super) async fn of_tables(
    session: &Session,
    catalog: &Catalog,
    is_wanted: impl Fn(&ObjectName) -> bool,
) -> Result<Vec<ExistingRows>> {
    let mut found = Vec::new();
    for object in catalog.in_phase(Phase::BeforeRows).filter(|object| is_wanted(&object.name)) {
        let ObjectFacts::Table(table) = &object.facts else { continue };
        // The rows of a partitioned table are those of its partitions.
        if table.partition_by.is_some() {
            continue;
        }
        let columns: Vec<String> = table
            .columns
            .iter()
            .filter(|column| column.generated.is_none())
            .map(|column| column.name.clone())
            .collect();
        let name = qualified(&object.name.schema, &object.name.name);
        let (count, copy) = read(session, &name, &columns).await?;
        if count > 0 {
            let (schema, table) = (object.name.schema.clone(), object.name.name.clone());
            found.push(ExistingRows { schema, table, columns, count, copy });
        }
    }
    Ok(found)
}

/// Counts the rows that these tables of the main schema have, for tables that have some.
///
/// # Errors
/// By role.
pub(super) async fn count(session: &Session, catalog: &mut Catalog, tables: &[String]) -> Result<()> {
    for name in tables {
        let sql = format!("SELECT count(*) FROM {}", qualified(&catalog.schema, name));
        let row = session.query_row("counting rows of the existing schema", &sql, &[]).await?;
        let rows = row.count(0)?;
        let table = ObjectName::new(ObjectKind::Table, &catalog.schema, name);
        let object = catalog.objects.iter_mut().find(|object| object.name == table);
        if let Some(CatalogObject { facts: ObjectFacts::Table(table), .. }) = object.filter(|_| rows > 0) {
            table.rows = Some(rows);
        }
    }
    Ok(())
}

async fn read(session: &Session, name: &str, columns: &[String]) -> Result<(u64, String)> {
    let doing = "reading rows of the existing schema";
    let list = quote_list(columns.iter().map(String::as_str));
    let sql = format!("COPY (SELECT {list} FROM ONLY {name}) TO STDOUT");
    let opened = session.client().copy_out(&sql).await.map_err(|failure| session.error(doing, &failure))?;
    let mut stream = Box::pin(opened);
    let mut bytes = Vec::new();
    while let Some(part) = stream.try_next().await.map_err(|failure| session.error(doing, &failure))? {
        bytes.extend_from_slice(&part);
        if bytes.len() > TABLE_BYTES_MAX {
            return Err(Error::new(
                Kind::Config,
                format!("table {name} of the existing schema has too many rows for a plan"),
            )
            .with_hint("the source has no such table; leave its rows out of the file, or fill it after the push"));
        }
    }
    let copy = String::from_utf8(bytes)
        .map_err(|_| Error::new(Kind::Config, format!("the rows of table {name} are not UTF-8")))?;
    let count = u64::try_from(copy.matches('\n').count()).unwrap_or(u64::MAX);
    Ok((count, copy))
}
