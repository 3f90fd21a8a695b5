//! Finds the rows that PostgreSQL refuses, by inserting them in their order into an empty table of the form that it
//! refused to give to all of them.
//!
//! Rows are inserted in blocks. A block that is refused is halved until single rows are left, so that the number of
//! subtransactions depends on the rows that are refused and hardly on those of the table. A block is taken exactly if
//! each of its rows would be taken after the rows before it.

use super::{ROW, Trial, TrialTable};
use crate::{
    error::Result,
    model::identifier::{qualified, quote_ident, quote_list},
};

/// The name that a trial table has while another one stands in its place.
pub(super) const ASIDE: &str = "turso2neon_all_rows";

/// What the table with all rows is called while they are inserted. No column has this name.
pub(super) const SOURCE: &str = "turso2neon_source";

/// How many rows are inserted at once.
const BLOCK: usize = 2000;

/// How many rows are refused, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RefusedRows {
    /// How many.
    pub(super) count: u64,
    /// The first three, by rowid or position.
    pub(super) first: Vec<i64>,
}

/// The rows that are refused, by PostgreSQL's reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    /// All of them.
    pub(super) all: RefusedRows,
    /// Those that break an integrity constraint (SQLSTATE class 23).
    pub(super) integrity: RefusedRows,
    /// The others, such as values for which an expression fails.
    pub(super) others: RefusedRows,
}

impl Refusals {
    /// Rows that all break an integrity constraint.
    pub(super) fn of_integrity(rows: RefusedRows) -> Self {
        Self { all: rows.clone(), integrity: rows, others: RefusedRows::default() }
    }
}

/// A column whose value is changed on the way.
pub(super) struct Replacement<'a> {
    /// The column.
    pub(super) column: &'a str,
    /// Its new value; [`SOURCE`] is the table.
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
    ) -> Result<Refusals> {
        let written = qualified(&table.name.schema, &table.name.name);
        let empty = format!("CREATE TABLE {written} (LIKE {} INCLUDING GENERATED)", aside(table));
        let statements: Vec<String> = std::iter::once(empty).chain(statements.iter().cloned()).collect();
        self.rows_not_taken(table, &statements, replacement).await
    }

    /// The same for a table that the statements create themselves.
    ///
    /// # Errors
    /// `LocalRejected`, `LocalUnreachable`.
    pub(super) async fn rows_not_taken(
        &self,
        table: &TrialTable<'_>,
        statements: &[String],
        replacement: Option<&Replacement<'_>>,
    ) -> Result<Refusals> {
        let written = qualified(&table.name.schema, &table.name.name);
        let aside = aside(table);
        let mut sql = vec!["BEGIN".to_owned(), format!("ALTER TABLE {written} RENAME TO {ASIDE}")];
        sql.extend(statements.iter().cloned());
        sql.push(format!("CREATE INDEX ON {aside} ({ROW})"));
        sql.push("CREATE TEMP TABLE turso2neon_refused (place bigint, state text) ON COMMIT DROP".to_owned());
        self.session.batch("looking for rows that are refused", &sql.join("; ")).await?;
        let columns = self.plain_columns(&table.name.schema, &table.name.name).await?;
        let values: Vec<String> = columns
            .iter()
            .map(|column| match replacement.filter(|replacement| replacement.column == column) {
                Some(replacement) => replacement.expression.clone(),
                None => format!("{SOURCE}.{}", quote_ident(column)),
            })
            .collect();
        let list = quote_list(columns.iter().map(String::as_str));
        let insert = format!(
            "INSERT INTO {written} ({list}) SELECT {} FROM {aside} AS {SOURCE} \
             WHERE {SOURCE}.{ROW} BETWEEN turso2neon_a AND turso2neon_b ORDER BY {SOURCE}.{ROW}",
            values.join(", ")
        );
        self.session.batch("looking for rows that are refused", &block(&aside, &insert)).await?;
        let (all, integrity, others) = (
            self.counted("true").await?,
            self.counted("state LIKE '23%'").await?,
            self.counted("state NOT LIKE '23%'").await?,
        );
        self.session.batch("ending a trial", "ROLLBACK").await?;
        Ok(Refusals { all, integrity, others })
    }

    async fn counted(&self, condition: &str) -> Result<RefusedRows> {
        let sql = format!(
            "SELECT count(*), coalesce((array_agg(place ORDER BY place))[1:3], '{{}}') FROM turso2neon_refused WHERE {condition}"
        );
        let row = self.session.query_row("counting rows that are refused", &sql, &[]).await?;
        Ok(RefusedRows { count: row.count(0)?, first: row.get(1)? })
    }

    /// The columns of a table that are not generated.
    pub(super) async fn plain_columns(&self, schema: &str, table: &str) -> Result<Vec<String>> {
        let sql = "SELECT a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                   JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
                   AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum";
        self.session.query_column("reading the columns of a trial table", sql, &[&schema, &table]).await
    }
}

/// The trial table that has all rows, while another one stands in its place.
pub(super) fn aside(table: &TrialTable<'_>) -> String {
    qualified(&table.name.schema, ASIDE)
}

/// The block of PL/pgSQL that inserts all rows by `insert`, which takes those from `turso2neon_a` to `turso2neon_b`. Its
/// variables have names that no column has.
fn block(aside: &str, insert: &str) -> String {
    // A stack of ranges, whose top is the next one, with the number of rows in each.
    format!(
        "DO $trial$ DECLARE turso2neon_a bigint; turso2neon_b bigint; turso2neon_rows bigint; turso2neon_middle bigint;
           turso2neon_top integer; turso2neon_froms bigint[]; turso2neon_tos bigint[]; turso2neon_sizes bigint[];
         BEGIN
           FOR turso2neon_a, turso2neon_b, turso2neon_rows IN
             SELECT min(s.{ROW}), max(s.{ROW}), count(*) FROM (
               SELECT {ROW}, (row_number() OVER (ORDER BY {ROW}) - 1) / {BLOCK} AS part FROM {aside}) AS s
             GROUP BY s.part ORDER BY s.part
           LOOP
             turso2neon_froms[1] := turso2neon_a; turso2neon_tos[1] := turso2neon_b;
             turso2neon_sizes[1] := turso2neon_rows; turso2neon_top := 1;
             WHILE turso2neon_top > 0 LOOP
               turso2neon_a := turso2neon_froms[turso2neon_top]; turso2neon_b := turso2neon_tos[turso2neon_top];
               turso2neon_rows := turso2neon_sizes[turso2neon_top]; turso2neon_top := turso2neon_top - 1;
               BEGIN
                 {insert};
               EXCEPTION WHEN OTHERS THEN
                 IF turso2neon_rows = 1 THEN
                   INSERT INTO turso2neon_refused VALUES (turso2neon_a, SQLSTATE);
                 ELSE
                   turso2neon_middle := (SELECT {ROW} FROM {aside} WHERE {ROW} BETWEEN turso2neon_a AND turso2neon_b
                                          ORDER BY {ROW} OFFSET turso2neon_rows / 2 LIMIT 1);
                   turso2neon_top := turso2neon_top + 2;
                   turso2neon_froms[turso2neon_top - 1] := turso2neon_middle;
                   turso2neon_tos[turso2neon_top - 1] := turso2neon_b;
                   turso2neon_sizes[turso2neon_top - 1] := turso2neon_rows - turso2neon_rows / 2;
                   turso2neon_froms[turso2neon_top] := turso2neon_a;
                   turso2neon_tos[turso2neon_top] := turso2neon_middle - 1;
                   turso2neon_sizes[turso2neon_top] := turso2neon_rows / 2;
                 END IF;
               END;
             END LOOP;
           END LOOP;
         END $trial$"
    )
}
