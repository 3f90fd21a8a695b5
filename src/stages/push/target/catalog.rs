//! Queries of the target's catalog.

use crate::{
    error::Result,
    postgres::{Parameter, Session},
};

/// One text column as a list.
pub(crate) async fn names_of(
    control: &Session,
    doing: &str,
    sql: &str,
    parameters: &[&dyn Parameter],
) -> Result<Vec<String>> {
    control.query_column(doing, sql, parameters).await
}

/// What the tables of a schema take: name, bytes with indexes and large values, bytes of the whole database.
///
/// # Errors
/// `Target*`.
pub(crate) async fn table_sizes(control: &Session, schema: &str) -> Result<Vec<(String, u64, u64)>> {
    let sql = "SELECT c.relname::text, pg_total_relation_size(c.oid), (SELECT pg_database_size(current_database())) \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'";
    let rows = control.query_rows("asking for the size of the tables", sql, &[&schema]).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.count(1)?, row.count(2)?))).collect()
}
