//! Queries of the target's catalog.

use crate::{
    error::{Error, Result},
    postgres::{Parameter, Session},
};

/// One text column as a list.
pub(crate) async fn names_of(
    control: &Session,
    doing: &str,
    sql: &str,
    parameters: &[&dyn Parameter],
) -> Result<Vec<String>> {
    let rows = control.rows(doing, sql, parameters).await?;
    rows.iter().map(|row| row.try_get(0).map_err(|failure| unreadable(control, &failure))).collect()
}

/// The error for an answer of the catalog that can't be decoded.
pub(crate) fn unreadable(control: &Session, failure: &tokio_postgres::Error) -> Error {
    control.error("reading the target's catalog", failure)
}

/// What the tables of a schema take: name, bytes with indexes and large values, bytes of the whole database.
///
/// # Errors
/// `Target*`.
pub(crate) async fn table_sizes(control: &Session, schema: &str) -> Result<Vec<(String, u64, u64)>> {
    let sql = "SELECT c.relname::text, pg_total_relation_size(c.oid), (SELECT pg_database_size(current_database())) \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'";
    let rows = control.rows("asking for the size of the tables", sql, &[&schema]).await?;
    let read = |row: &tokio_postgres::Row| {
        let bytes = |column: usize| row.try_get::<_, i64>(column).map(|bytes| u64::try_from(bytes).unwrap_or(0));
        Ok((row.try_get(0)?, bytes(1)?, bytes(2)?))
    };
    rows.iter().map(|row| read(row).map_err(|failure| unreadable(control, &failure))).collect()
}
