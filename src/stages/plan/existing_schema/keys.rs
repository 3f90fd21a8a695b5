//! Plans keys, indexes, checks, foreign keys and sequences of the existing tables as the existing schema has them. What
//! the rows break is found by the trial.

use std::collections::BTreeMap;

use super::{super::assembled::Assembled, PlanInputs};
use crate::model::{
    Conversion, Finding, FindingCode, Severity, TablePlan,
    conversion_plan::IdentityPlan,
    existing_schema::{ExistingColumn, SequenceStart},
    identifier::quote_ident,
    number_series::NumberSeries,
    source_schema::SourceSchema,
};

/// Gives every planned table what the existing schema says.
pub(super) fn carry(work: &PlanInputs<'_>, all: &mut Assembled) {
    // Several columns can take their numbers from one sequence: it goes on after the greatest number of all.
    let mut sequences: BTreeMap<String, Option<i64>> = BTreeMap::new();
    let mut defaults: BTreeMap<String, u64> = BTreeMap::new();
    for table in &mut all.tables {
        let Some(existing) = work.target.tables.iter().find(|existing| existing.name == table.name) else { continue };
        table.primary_key.clone_from(&existing.primary_key);
        table.uniques.clone_from(&existing.uniques);
        table.indexes.clone_from(&existing.indexes);
        table.checks.clone_from(&existing.checks);
        table.foreign_keys.clone_from(&existing.foreign_keys);
        for column in &existing.columns {
            let Some(sequence) = &column.sequence else { continue };
            let series = work.target.series(&existing.name, &column.name);
            let series = series.unwrap_or_else(|| NumberSeries::ascending(&column.pg_type));
            let taken = defaults.entry(sequence.written.clone()).or_default();
            if table.column(&column.name).is_some_and(|plan| plan.conversion == Conversion::Absent) {
                *taken = taken.saturating_add(table.rows);
            }
            let next = next_number((work, *taken), table, series, column, &mut all.findings);
            let known = sequences.entry(sequence.written.clone()).or_insert(next);
            *known = known.zip(next).map(|(one, other)| series.later(one, other));
            if table.identity.is_none() && sequence.is_near() {
                let (column, sequence, kind) = (column.name.clone(), sequence.name.clone(), sequence.kind);
                table.identity = Some(IdentityPlan { column, sequence, next, kind });
            }
        }
    }
    for table in &mut all.tables {
        let Some(identity) = &mut table.identity else { continue };
        let found = sequences
            .iter()
            .find(|(written, _)| **written == identity.sequence || **written == quote_ident(&identity.sequence));
        let Some(written) = found.map(|(written, _)| written.clone()) else { continue };
        identity.next = sequences.get(&written).copied().flatten();
    }
    let is_planned = |written: &String| {
        all.tables
            .iter()
            .filter_map(|table| table.identity.as_ref())
            .any(|identity| *written == identity.sequence || *written == quote_ident(&identity.sequence))
    };
    let others = sequences.into_iter().filter(|(written, _)| !is_planned(written));
    all.sequences = others.filter_map(|(sequence, next)| Some(SequenceStart { sequence, next: next? })).collect();
}

/// The number of a column's sequence beyond those that its rows have; none if there is none left. Rows take `defaults`
/// numbers from the sequence itself.
fn next_number(
    (work, defaults): (&PlanInputs<'_>, u64),
    table: &TablePlan,
    series: NumberSeries,
    column: &ExistingColumn,
    findings: &mut Vec<Finding>,
) -> Option<i64> {
    let Some(plan) = table.column(&column.name) else { return Some(series.start) };
    let range = plan.evidence.integer_range;
    let mut used = if series.descends() { range.map(|(least, _)| least) } else { range.map(|(_, most)| most) };
    if !series.descends() {
        used = used.max(counter(work.schema, table, &plan.source));
    }
    if let Some(steps) = defaults.checked_sub(1) {
        let given = series.nth(steps);
        used = Some(used.map_or(given, |used| series.later(used, given)));
    }
    let next = series.after(used);
    if next.is_none() {
        let message = "the last number that its sequence can give is in use, so that no row can be numbered by itself";
        let finding = Finding::new(FindingCode::IdentityExhausted, Severity::Warning, message);
        findings.push(finding.at_table(&table.source).at_column(&plan.source));
    }
    next
}

/// The number that SQLite's AUTOINCREMENT has reached.
fn counter(schema: &SourceSchema, table: &TablePlan, column: &String) -> Option<i64> {
    let source = schema.tables.iter().find(|source| source.name == table.source);
    let is_alias = source.is_some_and(|source| source.rowid_alias.as_ref() == Some(column));
    if is_alias { schema.sequences.get(&table.source).copied() } else { None }
}
