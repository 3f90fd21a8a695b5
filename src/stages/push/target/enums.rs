//! Enumerated types of an existing schema: they go where the tables that use them go.

use crate::{
    error::Result,
    model::identifier::{qualified, quote_ident},
    postgres::Session,
    stages::push::target::catalog::names_of,
};

/// Enumerated types of a schema, by name.
///
/// # Errors
/// `Target*`.
pub(crate) async fn of_schema(control: &Session, schema: &str) -> Result<Vec<String>> {
    let sql = "SELECT t.typname::text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
               WHERE n.nspname = $1 AND t.typtype = 'e' ORDER BY 1";
    names_of(control, "listing the enumerated types", sql, &[&schema]).await
}

/// Those of a schema that these tables use.
///
/// # Errors
/// `Target*`.
pub(crate) async fn used(control: &Session, schema: &str, tables: &[u32]) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT t.typname::text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
               JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped \
               WHERE n.nspname = $1 AND t.typtype = 'e' AND a.attrelid = ANY($2) ORDER BY 1";
    names_of(control, "listing the enumerated types", sql, &[&schema, &tables]).await
}

/// The statements that move types from one schema to another.
pub(crate) fn moved(from: &str, names: &[String], to: &str) -> Vec<String> {
    let one = |name: &String| format!("ALTER TYPE {} SET SCHEMA {}", qualified(from, name), quote_ident(to));
    names.iter().map(one).collect()
}

/// The statements that drop types which nothing uses.
pub(crate) fn dropped(schema: &str, names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("DROP TYPE {} RESTRICT", qualified(schema, name))).collect()
}
