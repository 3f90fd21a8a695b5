//! The server-side digest of a table: the same SQL on the local PostgreSQL and on the target.
//!
//! `count(*)` and the sum of a 64-bit hash of each row. `hash_record_extended` (PostgreSQL 14 and newer) follows SQL
//! equality, so types whose equality is looser than their bits go in as text. The session settings that text forms
//! depend on are pinned by `session`.

use super::Session;
use crate::{
    error::{Error, Kind, Result},
    model::{
        ColumnPlan, TablePlan,
        name::{qualified, quote_ident},
    },
};

/// The query for one table: one row, one text column `count:sum`.
#[must_use]
pub fn query(schema: &str, table: &str, columns: &[ColumnPlan]) -> String {
    format!("SELECT {} FROM {} AS t", aggregate(columns), qualified(schema, table))
}

/// `count:sum` as an aggregate over an alias `t`.
#[must_use]
pub fn aggregate(columns: &[ColumnPlan]) -> String {
    format!("count(*)::text || ':' || coalesce(sum(hash_record_extended({}, 0)), 0)::text", row(columns))
}

/// The row over an alias `t`, as the digest sees it.
#[must_use]
pub fn row(columns: &[ColumnPlan]) -> String {
    let fields = columns.iter().map(|column| {
        let name = quote_ident(&column.name);
        if column.pg_type.digests_as_text() { format!("t.{name}::text") } else { format!("t.{name}") }
    });
    format!("ROW({})", fields.collect::<Vec<_>>().join(", "))
}

/// The digest of one table.
///
/// # Errors
/// By role; `Bug` if the server answers with something else.
pub async fn of_table(session: &Session, schema: &str, table: &TablePlan) -> Result<String> {
    let rows = session.rows("computing a digest", &query(schema, &table.name, &table.columns), &[]).await?;
    let text = rows.first().and_then(|row| row.try_get::<_, String>(0).ok());
    text.ok_or_else(|| Error::new(Kind::Bug, "the digest query gave no text").at_table(&table.source))
}
