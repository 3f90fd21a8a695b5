//! Assembles drafts into a plan: names, table plans, what the other rules carry, findings in one order.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    acceptance,
    assembled::Assembled,
    fk_unification::DroppedKey,
    offtype_policy,
    override_resolution::ResolvedOverrides,
    table_draft::{DraftColumn, TableDraft},
    table_outline::ColumnOutline,
    views_triggers,
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        ColumnPlan, Finding, FindingCode, Severity, TablePlan,
        conversion_plan::Origin,
        overrides::{FullText, Identifiers, Overrides},
        source_schema::SourceSchema,
    },
    rules::{
        constraints::{self, ConstraintStats},
        identifiers::{self, Name, Namespace},
    },
};

/// Longest name in bytes (PostgreSQL 4.1.1).
const NAME_BYTES_MOST: usize = 63;

/// Columns that every PostgreSQL table has (PostgreSQL 5.5).
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// The schema as far as its facts are needed: what is left out has no constraints to count.
pub(super) fn counted_schema(schema: &SourceSchema, decisions: &ResolvedOverrides) -> SourceSchema {
    let mut counted = schema.clone();
    for (table, selected) in counted.tables.iter_mut().zip(&decisions.selected) {
        if !selected {
            table.checks.clear();
            table.foreign_keys.clear();
        }
    }
    counted
}

/// Puts everything together.
///
/// # Errors
/// `Config` for a column name of the configuration that can't be used.
pub(super) fn assemble(
    schema: &SourceSchema,
    facts: &ConstraintStats,
    overrides: &Overrides,
    drafts: Vec<TableDraft<'_>>,
    lost: Vec<DroppedKey>,
) -> Result<Assembled> {
    let mut namespace = Namespace::new(overrides.identifiers);
    let mut all = Assembled::default();
    let chosen: Vec<Option<String>> = drafts
        .iter()
        .map(|draft| chosen_name(&draft.outline.source.name, overrides, &mut namespace))
        .collect::<Result<_>>()?;
    for (draft, chosen) in drafts.into_iter().zip(chosen) {
        let name = match chosen {
            Some(name) => name,
            None => {
                let name = namespace.relation(&draft.outline.source.name);
                all.findings.extend(renamed(&draft.outline.source.name, None, &name));
                name.name
            }
        };
        let table = table_plan(draft, name, overrides.identifiers, &mut all.findings)?;
        all.tables.push(table);
    }
    let mut views = BTreeMap::new();
    for view in &schema.views {
        let name = namespace.relation(&view.name);
        all.findings.extend(renamed(&view.name, None, &name));
        views.insert(view.name.clone(), name.name);
    }
    let mut carried_schema = schema.clone();
    for key in lost {
        forget(&mut carried_schema, &key);
        all.objects.push(key.object);
        all.findings.push(key.finding);
    }
    let carried = constraints::carry(&carried_schema, schema, facts, &mut namespace, &mut all.tables);
    if overrides.fts == FullText::Tsvector {
        all.findings.extend(constraints::add_search(schema, &mut namespace, &mut all.tables));
    }
    all.objects.extend(carried.objects);
    all.findings.extend(carried.findings);
    offtype_policy::restrain(&mut all);
    views_triggers::translate(schema, &views, overrides.identifiers, &mut all);
    all.objects.sort_by_cached_key(|object| position(schema, &object.table));
    acceptance::order(&mut all.findings);
    all.findings.dedup();
    Ok(all)
}

/// The name that the configuration gives a table, if it gives one: it must be possible and free.
fn chosen_name(table: &str, overrides: &Overrides, namespace: &mut Namespace) -> Result<Option<String>> {
    let wanted = overrides.tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(table));
    let Some(name) = wanted.and_then(|(_, wanted)| wanted.name.clone()) else { return Ok(None) };
    let wrong = if name.is_empty() || name.len() > NAME_BYTES_MOST || name.contains('\0') {
        "names have 1 to 63 bytes"
    } else if !namespace.reserve(&name) {
        "another table has this name"
    } else {
        return Ok(Some(name));
    };
    Err(Error::new(Kind::Config, format!("tables.\"{table}\": name: {wrong}")))
}

/// Objects stand in the order of their tables, views and the rest after them.
fn position(schema: &SourceSchema, table: &str) -> usize {
    schema.tables.iter().position(|found| found.name == table).unwrap_or(usize::MAX)
}

/// Takes a key out of the schema that is carried.
fn forget(schema: &mut SourceSchema, key: &DroppedKey) {
    let Some(table) = schema.tables.iter_mut().find(|table| table.name == key.table) else { return };
    if key.object.kind == "primary key" {
        table.primary_key.clear();
    }
    table.indexes.retain(|index| key.index.as_ref() != Some(&index.name));
}

fn renamed(table: &str, column: Option<&str>, name: &Name) -> Option<Finding> {
    let reason = name.changed?;
    let message = format!("it is called {} in PostgreSQL: {reason}", name.name);
    let finding = Finding::new(FindingCode::NameChanged, Severity::Info, message).at_table(table);
    Some(match column {
        Some(column) => finding.at_column(column),
        None => finding,
    })
}

fn table_plan(
    draft: TableDraft<'_>,
    name: String,
    identifiers: Identifiers,
    findings: &mut Vec<Finding>,
) -> Result<TablePlan> {
    let source = draft.outline.source;
    let wanted: Vec<&str> = draft.outline.columns.iter().map(|column| column.source.name.as_str()).collect();
    let names = identifiers::columns(&wanted, identifiers);
    findings.extend(draft.findings);
    let mut columns = Vec::with_capacity(draft.columns.len());
    for ((outline, column), name) in draft.outline.columns.iter().zip(draft.columns).zip(names) {
        let chosen = outline.decision.and_then(|decision| decision.name.clone());
        if chosen.is_none() {
            findings.extend(renamed(&source.name, Some(&outline.source.name), &name));
        }
        columns.push(column_plan(outline, column, chosen.unwrap_or(name.name), findings));
    }
    check_names(&source.name, &draft.outline.columns, &columns)?;
    Ok(TablePlan {
        rows: draft.rows,
        bytes: draft.bytes,
        columns,
        rejected: draft.rejected,
        ..TablePlan::new(&source.name, name, draft.outline.address)
    })
}

fn column_plan(
    outline: &ColumnOutline<'_>,
    column: DraftColumn,
    name: String,
    findings: &mut Vec<Finding>,
) -> ColumnPlan {
    let choice = column.choice;
    findings.extend(choice.findings);
    let is_decided = outline.requested.is_some();
    ColumnPlan {
        source: outline.source.name.clone(),
        declared: outline.source.declared.clone(),
        records_off_type: choice.records_off_type,
        exceptions: choice.exceptions,
        rule: choice.rule,
        origin: if is_decided { Origin::Override } else { Origin::Rule },
        evidence: column.profile,
        ..ColumnPlan::new(name, choice.pg_type, choice.conversion, choice.main_class)
    }
}

/// Names of the configuration must be possible and free.
fn check_names(table: &str, outlines: &[ColumnOutline<'_>], columns: &[ColumnPlan]) -> Result<()> {
    let mut taken = BTreeSet::new();
    for (outline, column) in outlines.iter().zip(columns) {
        let is_new = taken.insert(column.name.as_str());
        if outline.decision.is_none_or(|decision| decision.name.is_none()) && is_new {
            continue;
        }
        let wrong = if !is_new {
            "another column of the table has this name"
        } else if column.name.is_empty() || column.name.len() > NAME_BYTES_MOST || column.name.contains('\0') {
            "names have 1 to 63 bytes"
        } else if SYSTEM_COLUMNS.contains(&column.name.as_str()) {
            "PostgreSQL keeps this name for itself"
        } else {
            continue;
        };
        let what = format!("columns.\"{table}.{}\": name: {wrong}", column.source);
        return Err(Error::new(Kind::Config, what));
    }
    Ok(())
}
