//! Counts what the rows say about constraints: orphans, broken checks, NULLs in primary keys, the highest keys.

use rusqlite::Connection;

use super::error_map;
use crate::{
    error::Result,
    model::{
        identifier::quote_ident,
        source_schema::{SourceForeignKey, SourceSchema, SourceTable, TableKind},
    },
    rules::constraints::{ConstraintStats, Reference, ViolatedConstraint, resolve},
};

/// How a query that counts rows begins.
const COUNT: &str = "SELECT count(*) ";

/// How many rows are named.
const PLACES: u32 = 5;

/// Counts what [`crate::rules::constraints::carry`] needs beyond column profiles. What this engine can't count (a check
/// that calls an unknown function) is absent from the answer.
///
/// # Errors
/// `SourceInvalid` if the file can't be read.
pub fn read(connection: &Connection, schema: &SourceSchema) -> Result<ConstraintStats> {
    let mut facts = ConstraintStats::default();
    for table in schema.tables.iter().filter(|table| !matches!(table.kind, TableKind::Virtual { .. })) {
        let at_table =
            |failure: &rusqlite::Error| error_map::describe("counting for keys", failure).at_table(&table.name);
        if let Some(alias) = &table.rowid_alias {
            let sql = format!("SELECT max(t.{}) FROM main.{} AS t", quote_ident(alias), quote_ident(&table.name));
            let greatest: Option<i64> =
                connection.query_row(&sql, [], |row| row.get(0)).map_err(|failure| at_table(&failure))?;
            facts.greatest_alias.extend(greatest.map(|greatest| (table.name.clone(), greatest)));
        }
        if let Some(sql) = null_keys(table) {
            let nulls = count(connection, &sql).map_err(|failure| at_table(&failure))?;
            if nulls > 0 {
                facts.nulls_in_primary_key.insert(table.name.clone(), nulls);
                first(connection, table, ViolatedConstraint::PrimaryKey, &sql, &mut facts);
            }
        }
        checks(connection, table, &mut facts);
        for (number, key) in table.foreign_keys.iter().enumerate() {
            let Ok(reference) = resolve(schema, key) else { continue };
            let sql = orphans(table, key, &reference);
            // A key that SQLite can't compare is reported by `carry` as not countable.
            let Ok(orphans) = count(connection, &sql) else { continue };
            if orphans > 0 {
                first(connection, table, ViolatedConstraint::ForeignKey(number), &sql, &mut facts);
            }
            facts.orphans.insert((table.name.clone(), number), orphans);
        }
    }
    Ok(facts)
}

fn count(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    connection.query_row(sql, [], |row| row.get(0))
}

/// Keeps the rowids of the first of the rows that `sql` counts.
fn first(
    connection: &Connection,
    table: &SourceTable,
    broken: ViolatedConstraint,
    sql: &str,
    facts: &mut ConstraintStats,
) {
    let Some(rowid) = &table.rowid_name else { return };
    let Some(rest) = sql.strip_prefix(COUNT) else { return };
    // The table's alias differs from query to query, but is its only one outside of subqueries.
    let sql = format!("SELECT {rowid} {rest} ORDER BY 1 LIMIT {PLACES}");
    let rowids = connection.prepare(&sql).and_then(|mut statement| {
        statement.query_map([], |row| row.get::<_, i64>(0)).and_then(Iterator::collect::<rusqlite::Result<Vec<i64>>>)
    });
    if let Ok(rowids) = rowids {
        facts.first.insert((table.name.clone(), broken), rowids);
    }
}

/// Rows with a NULL in a primary key that admits it.
fn null_keys(table: &SourceTable) -> Option<String> {
    if table.rowid_alias.is_some() || table.primary_key.is_empty() || table.kind != TableKind::Rowid {
        return None;
    }
    let tests: Vec<String> =
        table.primary_key.iter().map(|column| format!("t.{} IS NULL", quote_ident(column))).collect();
    Some(format!("{COUNT}FROM main.{} AS t NOT INDEXED WHERE {}", quote_ident(&table.name), tests.join(" OR ")))
}

/// One pass for all checks of a table; one for each if they can't be counted together.
fn checks(connection: &Connection, table: &SourceTable, facts: &mut ConstraintStats) {
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
    for (number, rows) in found {
        if rows > 0 {
            let expression = table.checks.get(number).map_or("", |check| check.expression.as_str());
            let sql = format!("{COUNT}FROM main.{} NOT INDEXED WHERE NOT ({expression}\n)", quote_ident(&table.name));
            first(connection, table, ViolatedConstraint::Check(number), &sql, facts);
        }
        facts.check_violations.insert((table.name.clone(), number), rows);
    }
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
        "{COUNT}FROM main.{} AS c NOT INDEXED WHERE {} AND NOT EXISTS (SELECT 1 FROM main.{} AS p WHERE {})",
        quote_ident(&table.name),
        known.join(" AND "),
        quote_ident(&reference.parent.name),
        matches.join(" AND ")
    )
}
