//! Plans keys, indexes, checks, foreign keys and sequences of the existing tables as the existing schema has them. What
//! the rows break is found by the trial.

use std::collections::BTreeMap;

use super::{super::assembled::Assembled, PlanInputs};
use crate::model::{
    Conversion, Finding, FindingCode, PgType, Severity, TablePlan,
    catalog::{ObjectFacts, SequenceDefinition},
    conversion_plan::IdentityPlan,
    existing_schema::{ExistingColumn, ExistingTable, SequenceStart},
    identifier::quote_ident,
    source_schema::SourceSchema,
};

/// Gives every planned table what the existing schema says.
pub(super) fn carry(work: &PlanInputs<'_>, all: &mut Assembled) {
    // Several columns can take their numbers from one sequence: it goes on after the greatest number of all.
    let mut sequences: BTreeMap<String, Option<i64>> = BTreeMap::new();
    for table in &mut all.tables {
        let Some(existing) = work.target.tables.iter().find(|existing| existing.name == table.name) else { continue };
        table.primary_key.clone_from(&existing.primary_key);
        table.uniques.clone_from(&existing.uniques);
        table.indexes.clone_from(&existing.indexes);
        table.checks.clone_from(&existing.checks);
        table.foreign_keys.clone_from(&existing.foreign_keys);
        for column in &existing.columns {
            let Some(sequence) = &column.sequence else { continue };
            let next = next_number(work, table, existing, column, &mut all.findings);
            let known = sequences.entry(sequence.written.clone()).or_insert(next);
            *known = known.zip(next).map(|(one, other)| one.max(other));
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

/// The number after the greatest one of a column that a sequence numbers; none if there is none left.
fn next_number(
    work: &PlanInputs<'_>,
    table: &TablePlan,
    existing: &ExistingTable,
    column: &ExistingColumn,
    findings: &mut Vec<Finding>,
) -> Option<i64> {
    let options = options_of(work, existing, column).unwrap_or_else(|| SequenceDefinition {
        start: 1,
        increment: 1,
        most: i64::MAX,
        ..SequenceDefinition::default()
    });
    let Some(plan) = table.column(&column.name) else { return Some(options.start) };
    let most = options.most.min(match column.pg_type {
        PgType::SmallInt => i64::from(i16::MAX),
        PgType::Integer => i64::from(i32::MAX),
        _ => i64::MAX,
    });
    let greatest =
        plan.evidence.integer_range.map_or(0, |(_, most)| most).max(counter(work.schema, table, &plan.source));
    // Numbers that the rows take by default come from the sequence itself.
    let defaults =
        if plan.conversion == Conversion::Absent { i64::try_from(table.rows).unwrap_or(i64::MAX) } else { 0 };
    let taken = defaults.checked_sub(1).filter(|_| defaults > 0);
    let taken = taken.map_or(0, |steps| steps.saturating_mul(options.increment.max(1)).saturating_add(1));
    let start = options.start.max(1).saturating_add(taken);
    let next = if greatest < start { Some(start) } else { greatest.checked_add(1) }.filter(|next| *next <= most);
    if next.is_none() {
        let message = "the highest number of the type is in use, so that no row can be numbered by itself";
        let finding = Finding::new(FindingCode::IdentityExhausted, Severity::Warning, message);
        findings.push(finding.at_table(&table.source).at_column(&plan.source));
    }
    next
}

/// The number that SQLite's AUTOINCREMENT has reached.
fn counter(schema: &SourceSchema, table: &TablePlan, column: &String) -> i64 {
    let source = schema.tables.iter().find(|source| source.name == table.source);
    let is_alias = source.is_some_and(|source| source.rowid_alias.as_ref() == Some(column));
    if is_alias { schema.sequences.get(&table.source).copied().unwrap_or(0) } else { 0 }
}

/// The options of the sequence that numbers a column.
fn options_of(work: &PlanInputs<'_>, table: &ExistingTable, column: &ExistingColumn) -> Option<SequenceDefinition> {
    let catalog = &work.target.catalog;
    let definition = catalog.tables().find(|(name, _)| *name == table.name)?.1.column(&column.name)?;
    if let Some(identity) = &definition.identity {
        return Some(identity.options.clone());
    }
    let name = &column.sequence.as_ref()?.name;
    catalog.objects.iter().find_map(|object| match &object.facts {
        ObjectFacts::Sequence(sequence) if object.name.name == *name => Some(sequence.clone()),
        _ => None,
    })
}
