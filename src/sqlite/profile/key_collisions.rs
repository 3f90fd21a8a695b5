//! Finds keys that would become equal: rows that SQLite distinguishes and PostgreSQL wouldn't.

use rusqlite::{Connection, functions::FunctionFlags, types::ValueRef};

use super::Candidate;
use crate::{
    error::Result,
    model::identifier::quote_ident,
    rules::type_choice::value_check,
    sqlite::{error_map, table_rows::cell_of},
};

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
    /// Whether the table accepts NOT INDEXED.
    pub is_virtual: bool,
}

/// How many different keys have a twin after conversion; rows with a NULL in the key have none.
///
/// SQLite sorts on disk if it must, so that memory stays bounded.
///
/// # Errors
/// `SourceInvalid` if the file can't be read.
pub fn merged_keys(connection: &Connection, key: &KeyScan<'_>) -> Result<u64> {
    let failed = |failure: rusqlite::Error| error_map::describe("comparing keys", &failure).at_table(key.table);
    know_forms(connection, key.columns.iter().map(|(_, candidate)| candidate.clone()).collect()).map_err(failed)?;
    let mut conditions = key.present("t");
    conditions.extend(key.predicate.map(|predicate| format!("({predicate})")));
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1)",
        key.from("t"),
        conditions.join(" AND "),
        key.forms("t", 0)
    );
    connection.query_row(&sql, (), |row| row.get(0)).map_err(failed)
}

/// How many rows of `child` have a key, without NULL, that no row of `parent` has.
///
/// # Errors
/// `SourceInvalid` if the file can't be read.
pub fn keys_without(connection: &Connection, child: &KeyScan<'_>, parent: &KeyScan<'_>) -> Result<u64> {
    let failed = |failure: rusqlite::Error| error_map::describe("looking for parents", &failure).at_table(child.table);
    let both = child.columns.iter().chain(&parent.columns);
    know_forms(connection, both.map(|(_, candidate)| candidate.clone()).collect()).map_err(failed)?;
    // The parents' keys become an index of SQLite's own, on disk if they must.
    let mut parents = parent.present("p");
    parents.extend(parent.predicate.map(|predicate| format!("({predicate})")));
    let sql = format!(
        "SELECT count(*) FROM {} WHERE {} AND ({}) NOT IN (SELECT {} FROM {} WHERE {})",
        child.from("t"),
        child.present("t").join(" AND "),
        child.forms("t", 0),
        parent.forms("p", child.columns.len()),
        parent.from("p"),
        parents.join(" AND ")
    );
    connection.query_row(&sql, (), |row| row.get(0)).map_err(failed)
}

impl KeyScan<'_> {
    fn from(&self, alias: &str) -> String {
        format!("{} AS {alias}{}", quote_ident(self.table), if self.is_virtual { "" } else { " NOT INDEXED" })
    }

    /// Conditions that no column is NULL.
    fn present(&self, alias: &str) -> Vec<String> {
        self.columns.iter().map(|(name, _)| format!("{alias}.{} IS NOT NULL", quote_ident(name))).collect()
    }

    fn forms(&self, alias: &str, first: usize) -> String {
        let form = |(at, (name, _)): (usize, &(&str, Candidate))| {
            format!("{FUNCTION}({}, {alias}.{})", first + at, quote_ident(name))
        };
        self.columns.iter().enumerate().map(form).collect::<Vec<_>>().join(", ")
    }
}

/// Makes the function known: the number of a form and a value to the value's form.
fn know_forms(connection: &Connection, forms: Vec<Candidate>) -> rusqlite::Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function(FUNCTION, 2, flags, move |context| {
        let form = usize::try_from(context.get::<i64>(0)?).ok().and_then(|at| forms.get(at));
        let value = context.get_raw(1);
        Ok(form
            .filter(|_| value != ValueRef::Null)
            .map(|form| value_check::form(&form.pg_type, form.conversion, cell_of(value))))
    })
}
