//! Keys that would become equal: rows that SQLite tells apart and PostgreSQL wouldn't.

use rusqlite::{Connection, functions::FunctionFlags, types::ValueRef};

use super::{Candidate, workers::cell};
use crate::{error::Result, model::name::quote_ident, rules::type_choice::fit, sqlite::cause};

/// The name of the function that gives a value's form in PostgreSQL.
const FUNCTION: &str = "turso2neon_form";

/// A key of a table and how its columns are converted.
#[derive(Debug)]
pub struct KeyScan<'a> {
    /// The table.
    pub table: &'a str,
    /// Columns and what becomes of their cells.
    pub columns: Vec<(&'a str, Candidate)>,
    /// The predicate of a partial index.
    pub predicate: Option<&'a str>,
    /// Whether the table can be told not to use an index.
    pub is_virtual: bool,
}

/// How many different keys have a twin after conversion; rows with a NULL in the key have none.
///
/// SQLite sorts on disk if it must, so that memory stays bounded.
///
/// # Errors
/// `SourceInvalid` if the file can't be read.
pub fn merged_keys(connection: &Connection, key: &KeyScan<'_>) -> Result<u64> {
    let failed = |failure: rusqlite::Error| cause::describe("comparing keys", &failure).at_table(key.table);
    let forms: Vec<Candidate> = key.columns.iter().map(|(_, candidate)| candidate.clone()).collect();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection
        .create_scalar_function(FUNCTION, 2, flags, move |context| {
            let form = usize::try_from(context.get::<i64>(0)?).ok().and_then(|at| forms.get(at));
            let value = context.get_raw(1);
            Ok(form
                .filter(|_| value != ValueRef::Null)
                .map(|form| fit::form(&form.pg_type, form.conversion, cell(value))))
        })
        .map_err(failed)?;
    let columns: Vec<String> = key.columns.iter().map(|(name, _)| format!("t.{}", quote_ident(name))).collect();
    let mut conditions: Vec<String> = columns.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    conditions.extend(key.predicate.map(|predicate| format!("({predicate})")));
    let forms: Vec<String> =
        columns.iter().enumerate().map(|(at, column)| format!("{FUNCTION}({at}, {column})")).collect();
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {} AS t{} WHERE {} GROUP BY {} HAVING count(*) > 1)",
        quote_ident(key.table),
        if key.is_virtual { "" } else { " NOT INDEXED" },
        conditions.join(" AND "),
        forms.join(", ")
    );
    connection.query_row(&sql, (), |row| row.get(0)).map_err(failed)
}
