//! Plans keys, indexes, checks, foreign keys and sequences of the existing tables, as far as the source's rows let them
//! be.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::{super::assembled::Assembled, PlanInputs};
use crate::{
    error::Result,
    model::{
        ColumnPlan, Conversion, Finding, FindingCode, PgType, Severity, TablePlan,
        conversion_plan::{ForeignKeyPlan, IdentityPlan, KeyPlan, RowAddress},
        existing_schema::ExistingTable,
        human_format::counted,
        identifier::quote_ident,
        source_schema::SourceSchema,
    },
    sqlite::profile::{Candidate, KeyScan, keys_without, merged_keys},
};

/// Gives every planned table what the existing schema says.
///
/// # Errors
/// `SourceInvalid` if the file can't be read; `Interrupted`.
pub(super) fn carry(work: &PlanInputs<'_>, connection: &Connection, all: &mut Assembled) -> Result<()> {
    let Assembled { tables, findings, .. } = all;
    for table in tables.iter_mut() {
        let Some(existing) = work.target.tables.iter().find(|existing| existing.name == table.name) else { continue };
        work.stop.check()?;
        unique(connection, table, existing, findings)?;
        table.checks.clone_from(&existing.checks);
        identity(work.schema, table, existing, findings);
    }
    let mut keys = Vec::new();
    for table in tables.iter() {
        let Some(existing) = work.target.tables.iter().find(|existing| existing.name == table.name) else { continue };
        work.stop.check()?;
        keys.push((table.name.clone(), foreign_keys(connection, table, existing, tables, findings)?));
    }
    for (name, keys) in keys {
        if let Some(table) = tables.iter_mut().find(|table| table.name == name) {
            table.foreign_keys = keys;
        }
    }
    Ok(())
}

/// Primary key, UNIQUE constraints and indexes; what the rows break is left out and reported.
fn unique(
    connection: &Connection,
    table: &mut TablePlan,
    existing: &ExistingTable,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    if let Some(key) = &existing.primary_key {
        let has_nulls = |name: &String| {
            table.column(name).is_some_and(|column| {
                column.evidence.nulls > 0 || (column.exceptions.empty_as_null && column.evidence.texts_empty > 0)
            })
        };
        if !key.columns.iter().any(has_nulls) && is_unique(connection, table, &key.columns, &key.name, findings)? {
            table.primary_key = Some(key.clone());
        }
    }
    for key in &existing.uniques {
        if is_unique(connection, table, &key.columns, &key.name, findings)? {
            table.uniques.push(KeyPlan::clone(key));
        }
    }
    for index in &existing.indexes {
        let plain = plain_columns(table, &index.keys).filter(|_| index.unique && index.predicate.is_none());
        let stays = match plain {
            Some(columns) => is_unique(connection, table, &columns, &index.name, findings)?,
            None => true,
        };
        if stays {
            table.indexes.push(index.clone());
        }
    }
    Ok(())
}

/// The columns of an index that has nothing else in it.
fn plain_columns(table: &TablePlan, keys: &[String]) -> Option<Vec<String>> {
    let one = |key: &String| {
        let is_key = |name: &str| *key == name || *key == quote_ident(name);
        table.columns.iter().find(|column| is_key(&column.name)).map(|column| column.name.clone())
    };
    keys.iter().map(one).collect()
}

/// Whether the rows of the source have different values in these columns by the existing types.
fn is_unique(
    connection: &Connection,
    table: &TablePlan,
    columns: &[String],
    key: &str,
    findings: &mut Vec<Finding>,
) -> Result<bool> {
    let Some(scan) = scan(table, columns) else { return Ok(true) };
    let twins = merged_keys(connection, &scan)?;
    if twins == 0 {
        return Ok(true);
    }
    let message = format!(
        "the existing key {key} on {} is not made: {} more than one row",
        columns.join(", "),
        counted(twins, "value has", "values have")
    );
    findings.push(
        Finding::new(FindingCode::KeysMerged, Severity::NeedsDecision, message)
            .at_table(&table.source)
            .at_column(columns.join(", "))
            .counting(twins)
            .choice(format!("--accept keys-merged@{}", table.source)),
    );
    Ok(false)
}

/// How the source's columns behind these are compared; none if one isn't in the source.
fn scan<'a>(table: &'a TablePlan, columns: &[String]) -> Option<KeyScan<'a>> {
    let one = |name: &String| {
        let column = table.column(name)?;
        let is_loaded = column.conversion != Conversion::Absent && column.generated.is_none();
        is_loaded.then(|| (column.source.as_str(), candidate(column)))
    };
    let columns: Vec<(&str, Candidate)> = columns.iter().map(one).collect::<Option<_>>()?;
    let is_virtual = table.address == RowAddress::Ordinal;
    (table.rows > 0 && !columns.is_empty()).then_some(KeyScan {
        table: &table.source,
        columns,
        predicate: None,
        is_virtual,
    })
}

fn candidate(column: &ColumnPlan) -> Candidate {
    Candidate { pg_type: column.pg_type.clone(), conversion: column.conversion }
}

fn foreign_keys(
    connection: &Connection,
    table: &TablePlan,
    existing: &ExistingTable,
    tables: &[TablePlan],
    findings: &mut Vec<Finding>,
) -> Result<Vec<ForeignKeyPlan>> {
    let mut keys = Vec::new();
    for key in &existing.foreign_keys {
        let at = |code, message: String| {
            Finding::new(code, Severity::NeedsDecision, message)
                .at_table(&table.source)
                .at_column(key.columns.join(", "))
        };
        let Some(parent) = tables.iter().find(|parent| parent.name == key.parent) else { continue };
        if !has_key(parent, &key.parent_columns) {
            let message = format!("the foreign key {} is not made: its parent's key is not made", key.name);
            let accept = format!("--accept foreign-key-not-carried@{}", table.source);
            findings.push(at(FindingCode::ForeignKeyNotCarried, message).choice(accept));
            continue;
        }
        let mut key = key.clone();
        let orphans = orphans(connection, table, parent, &key)?;
        if orphans > 0 {
            let message = format!(
                "{} without a parent in {}: the foreign key {} is made NOT VALID, so that it guards new rows only",
                counted(orphans, "row is", "rows are"),
                parent.name,
                key.name
            );
            let accept = format!("--accept orphan-rows@{}", table.source);
            findings.push(at(FindingCode::OrphanRows, message).counting(orphans).choice(accept));
            key.not_valid = true;
        }
        keys.push(key);
    }
    Ok(keys)
}

fn has_key(parent: &TablePlan, columns: &[String]) -> bool {
    let wanted: BTreeSet<&String> = columns.iter().collect();
    let is_same = |columns: &[String]| columns.iter().collect::<BTreeSet<_>>() == wanted;
    let indexes = parent.indexes.iter().filter(|index| index.unique && index.predicate.is_none());
    parent.primary_key.iter().chain(&parent.uniques).any(|key| is_same(&key.columns))
        || indexes.filter_map(|index| plain_columns(parent, &index.keys)).any(|columns| is_same(&columns))
}

fn orphans(connection: &Connection, table: &TablePlan, parent: &TablePlan, key: &ForeignKeyPlan) -> Result<u64> {
    let Some(child) = scan(table, &key.columns) else { return Ok(0) };
    if let Some(parent) = scan(parent, &key.parent_columns) {
        return keys_without(connection, &child, &parent);
    }
    if parent.rows > 0 {
        // The parent's values are made by PostgreSQL.
        return Ok(0);
    }
    // A row is compared with an empty table: itself, without rows.
    let nobody = KeyScan { columns: child.columns.clone(), predicate: Some("false"), ..child };
    keys_without(connection, &child, &nobody)
}

/// The sequence that goes on after the greatest number.
fn identity(schema: &SourceSchema, table: &mut TablePlan, existing: &ExistingTable, findings: &mut Vec<Finding>) {
    let numbered = existing.columns.iter().find_map(|column| Some((column, column.sequence.as_ref()?)));
    let Some((column, sequence)) = numbered else { return };
    let Some(plan) = table.column(&column.name) else { return };
    let most = match column.pg_type {
        PgType::SmallInt => i64::from(i16::MAX),
        PgType::Integer => i64::from(i32::MAX),
        _ => i64::MAX,
    };
    let source = schema.tables.iter().find(|source| source.name == table.source);
    let is_alias = source.is_some_and(|source| source.rowid_alias.as_ref() == Some(&plan.source));
    let counter = if is_alias { schema.sequences.get(&table.source).copied().unwrap_or(0) } else { 0 };
    let greatest = plan.evidence.integer_range.map_or(0, |(_, most)| most).max(counter);
    let next = if greatest < 1 { Some(1) } else { greatest.checked_add(1).filter(|next| *next <= most) };
    if next.is_none() {
        let message = "the highest number of the type is in use, so that no row can be numbered by itself";
        let finding = Finding::new(FindingCode::IdentityExhausted, Severity::Warning, message);
        findings.push(finding.at_table(&table.source).at_column(&plan.source));
    }
    let identity =
        IdentityPlan { column: column.name.clone(), sequence: sequence.name.clone(), next, kind: sequence.kind };
    table.identity = Some(identity);
}
