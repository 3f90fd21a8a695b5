//! Finds the rows that PostgreSQL refuses, by inserting them one after the other into an empty table of the form that it
//! refused to give to all of them.

use super::{ROW, Trial, TrialTable};
use crate::{
    error::Result,
    model::identifier::{qualified, quote_ident, quote_list},
};

/// The name that a trial table has while another one stands in its place.
const ASIDE: &str = "turso2neon_all_rows";

/// How many rows are refused, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RefusedRows {
    /// How many.
    pub(super) count: u64,
    /// The first three, by rowid or position.
    pub(super) first: Vec<i64>,
}

/// A column whose value is changed on the way. `r` is the row.
pub(super) struct Replacement<'a> {
    /// The column.
    pub(super) column: &'a str,
    /// Its new value.
    pub(super) expression: String,
}

impl Trial<'_> {
    /// The rows of a trial table that don't go into an empty one which these statements have been applied to. Nothing of
    /// it stays.
    ///
    /// # Errors
    /// `LocalRejected`, `LocalUnreachable`.
    pub(super) async fn refused_rows(
        &self,
        table: &TrialTable<'_>,
        statements: &[String],
        replacement: Option<&Replacement<'_>>,
    ) -> Result<RefusedRows> {
        let written = qualified(&table.name.schema, &table.name.name);
        let name = quote_ident(&table.name.name);
        let aside = qualified(&table.name.schema, ASIDE);
        let mut sql = vec![
            "BEGIN".to_owned(),
            format!("ALTER TABLE {written} RENAME TO {ASIDE}"),
            format!("CREATE TABLE {written} (LIKE {aside} INCLUDING GENERATED)"),
        ];
        sql.extend(statements.iter().cloned());
        sql.push("CREATE TEMP TABLE turso2neon_refused (place bigint) ON COMMIT DROP".to_owned());
        self.session.batch("looking for rows that are refused", &sql.join("; ")).await?;
        let columns = self.plain_columns(&table.name.schema, &table.name.name).await?;
        let values: Vec<String> = columns
            .iter()
            .map(|column| match replacement.filter(|replacement| replacement.column == column) {
                Some(replacement) => replacement.expression.clone(),
                None => format!("(r).{}", quote_ident(column)),
            })
            .collect();
        let list = quote_list(columns.iter().map(String::as_str));
        // Without the name of the schema the table's name is looked up in the search path, where it is first.
        let block = format!(
            "DO $trial$ DECLARE r {aside}; BEGIN FOR r IN SELECT * FROM {aside} ORDER BY {ROW} LOOP BEGIN \
             INSERT INTO {written} ({list}) SELECT {}; EXCEPTION WHEN OTHERS THEN \
             INSERT INTO turso2neon_refused VALUES ((r).{ROW}); END; END LOOP; END $trial$",
            values.join(", ")
        );
        debug_assert!(!name.is_empty(), "tables have names");
        self.session.batch("looking for rows that are refused", &block).await?;
        let sql = "SELECT count(*), coalesce((array_agg(place ORDER BY place))[1:3], '{}') FROM turso2neon_refused";
        let row = self.session.query_row("counting rows that are refused", sql, &[]).await?;
        let refused = RefusedRows { count: row.count(0)?, first: row.get(1)? };
        self.session.batch("ending a trial", "ROLLBACK").await?;
        Ok(refused)
    }

    /// The columns of a table that are not generated.
    async fn plain_columns(&self, schema: &str, table: &str) -> Result<Vec<String>> {
        let sql = "SELECT a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                   JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
                   AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum";
        self.session.query_column("reading the columns of a trial table", sql, &[&schema, &table]).await
    }
}
