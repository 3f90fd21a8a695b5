//! What the rows say about constraints: orphans, broken checks, NULLs in primary keys, the highest keys.

use rusqlite::Connection;

use super::cause;
use crate::{
    error::Result,
    model::{
        name::quote_ident,
        source_schema::{SourceForeignKey, SourceSchema, SourceTable, TableKind},
    },
    rules::keys::{ConstraintFacts, Reference, resolve},
};

/// Counts what [`crate::rules::keys::carry`] needs beyond column profiles. What this engine can't count (a check that
/// calls an unknown function) is absent from the answer.
///
/// # Errors
/// `SourceInvalid` if the file can't be read.
pub fn read(connection: &Connection, schema: &SourceSchema) -> Result<ConstraintFacts> {
    let mut facts = ConstraintFacts::default();
    for table in schema.tables.iter().filter(|table| !matches!(table.kind, TableKind::Virtual { .. })) {
        let at_table = |failure: &rusqlite::Error| cause::describe("counting for keys", failure).at_table(&table.name);
        if let Some(alias) = &table.rowid_alias {
            let sql = format!("SELECT max(t.{}) FROM main.{} AS t", quote_ident(alias), quote_ident(&table.name));
            let greatest: Option<i64> =
                connection.query_row(&sql, [], |row| row.get(0)).map_err(|failure| at_table(&failure))?;
            facts.greatest_alias.extend(greatest.map(|greatest| (table.name.clone(), greatest)));
        }
        if let Some(sql) = null_keys(table) {
            let nulls = count(connection, &sql).map_err(|failure| at_table(&failure))?;
            facts.nulls_in_primary_key.extend((nulls > 0).then(|| (table.name.clone(), nulls)));
        }
        checks(connection, table, &mut facts);
        for (number, key) in table.foreign_keys.iter().enumerate() {
            let orphans = resolve(schema, key).ok().map(|reference| orphans(table, key, &reference));
            // A key that SQLite can't compare is reported by `carry` as not countable.
            if let Some(Ok(orphans)) = orphans.map(|sql| count(connection, &sql)) {
                facts.orphans.insert((table.name.clone(), number), orphans);
            }
        }
    }
    Ok(facts)
}

fn count(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    connection.query_row(sql, [], |row| row.get(0))
}

/// Rows with a NULL in a primary key that admits it.
fn null_keys(table: &SourceTable) -> Option<String> {
    if table.rowid_alias.is_some() || table.primary_key.is_empty() || table.kind != TableKind::Rowid {
        return None;
    }
    let tests: Vec<String> =
        table.primary_key.iter().map(|column| format!("t.{} IS NULL", quote_ident(column))).collect();
    Some(format!("SELECT count(*) FROM main.{} AS t WHERE {}", quote_ident(&table.name), tests.join(" OR ")))
}

/// One pass for all checks of a table; one for each if they can't be counted together.
fn checks(connection: &Connection, table: &SourceTable, facts: &mut ConstraintFacts) {
    let broken = |number: usize| {
        let expression = table.checks.get(number).map_or("", |check| check.expression.as_str());
        format!("count(CASE WHEN NOT ({expression}) THEN 1 END)")
    };
    let query = |counts: &[String]| {
        // `NOT INDEXED` keeps a vector index, which only its own module can read, from answering for the table.
        format!("SELECT {} FROM main.{} NOT INDEXED", counts.join(", "), quote_ident(&table.name))
    };
    let numbers: Vec<usize> = (0..table.checks.len()).collect();
    if numbers.is_empty() {
        return;
    }
    let all: Vec<String> = numbers.iter().copied().map(broken).collect();
    let together = connection.query_row(&query(&all), [], |row| {
        numbers.iter().map(|number| row.get(*number)).collect::<rusqlite::Result<Vec<u64>>>()
    });
    let each = |number: &usize| Some((*number, count(connection, &query(&[broken(*number)])).ok()?));
    let found: Vec<(usize, u64)> = match together {
        Ok(counts) => numbers.iter().copied().zip(counts).collect(),
        Err(_) => numbers.iter().filter_map(each).collect(),
    };
    facts.check_violations.extend(found.into_iter().map(|(number, rows)| ((table.name.clone(), number), rows)));
}

/// Rows without NULL in the key that have no parent by PostgreSQL's comparison: the parent's affinity, as in SQLite,
/// but exact where SQLite compares under a collation.
fn orphans(table: &SourceTable, key: &SourceForeignKey, reference: &Reference<'_>) -> String {
    let mut known = Vec::new();
    let mut matches = Vec::new();
    for (child, parent) in key.columns.iter().zip(&reference.columns) {
        let (child, quoted) = (format!("c.{}", quote_ident(child)), format!("p.{}", quote_ident(parent)));
        known.push(format!("{child} IS NOT NULL"));
        let declared = reference.parent.columns.iter().find(|column| column.name == *parent);
        let collation = declared.and_then(|column| column.collation.as_deref());
        // An index under a collation of the application's own has an order that only the application knows.
        if matches!(collation, None | Some("NOCASE" | "RTRIM")) {
            // The plus sign takes the child's affinity away.
            matches.push(format!("{quoted} = +{child}"));
        }
        if collation.is_some() {
            matches.push(format!("{quoted} COLLATE BINARY = +{child}"));
        }
    }
    format!(
        "SELECT count(*) FROM main.{} AS c NOT INDEXED WHERE {} AND NOT EXISTS (SELECT 1 FROM main.{} AS p WHERE {})",
        quote_ident(&table.name),
        known.join(" AND "),
        quote_ident(&reference.parent.name),
        matches.join(" AND ")
    )
}
