//! Which source the tables of a schema came from: so that a push from another database doesn't take them away.

use crate::{error::Result, model::identifier::quote_literal, postgres::Session};

/// The source of the last push into this schema, if the record knows it.
///
/// # Errors
/// `Target*`.
pub(crate) async fn read(control: &Session, schema: &str) -> Result<Option<String>> {
    // A record made by an earlier version of this tool lacks the table.
    let sql = "SELECT to_regclass('turso2neon.origins') IS NOT NULL";
    if !control.query_value::<bool>("looking for the origin", sql, &[]).await? {
        return Ok(None);
    }
    let sql = "SELECT source FROM turso2neon.origins WHERE target_schema = $1";
    Ok(control.query_column("reading the origin", sql, &[&schema]).await?.into_iter().next())
}

/// Remembers the source of a push that succeeded. `source` holds no secret.
///
/// # Errors
/// `Target*`.
pub(crate) async fn note(control: &Session, schema: &str, source: &str) -> Result<()> {
    let sql = format!(
        "INSERT INTO turso2neon.origins AS o VALUES ({}, {}) \
         ON CONFLICT (target_schema) DO UPDATE SET source = EXCLUDED.source, previous = o.source",
        quote_literal(schema),
        quote_literal(source)
    );
    control.batch("recording the origin", &sql).await
}

/// Remembers that a rollback put back what the push before brought.
///
/// # Errors
/// `Target*`.
pub(crate) async fn swap(control: &Session, schema: &str) -> Result<()> {
    let sql = format!(
        "UPDATE turso2neon.origins SET source = coalesce(previous, source), previous = source WHERE target_schema = {}",
        quote_literal(schema)
    );
    control.batch("recording the origin", &sql).await
}
