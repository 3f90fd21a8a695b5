//! Plans the columns of an existing table: where their values come from, and which of them don't fit.

use super::{
    super::override_resolution::nearest,
    PlanInputs, SurveyedTable,
    matching::TableMatch,
    values::{ColumnMismatches, Occurrences},
};
use crate::{
    model::{
        ColumnPlan, Conversion, Finding, FindingCode, Severity, TablePlan,
        cell::StorageClass,
        column_profile::ColumnProfile,
        conversion_plan::{EpochUnit, Origin, TimeEncoding},
        existing_schema::{ExistingColumn, ExistingTable},
        human_format::counted,
        pg_column_type::{Element, PgColumnType},
        source_schema::SourceColumn,
    },
    rules::{
        existing_schema::{Altered, Mismatch},
        type_choice::{
            column_setting,
            value_check::{self, ReadingOverride},
        },
    },
};

/// The plan of an existing column; its values come from the source's column at this position, if there is one.
pub(super) fn plan(
    work: &PlanInputs<'_>,
    seen: &SurveyedTable<'_>,
    (table, source): (usize, Option<usize>),
    target: &ExistingColumn,
    findings: &mut Vec<Finding>,
) -> ColumnPlan {
    let declared = source.and_then(|at| work.schema.tables.get(table)?.columns.get(at));
    let Some(declared) = declared else { return absent(target) };
    let profile = profile_of(seen, declared).cloned().unwrap_or_default();
    let decision = source.and_then(|at| work.decisions.columns.get(&(table, at)));
    let conversion = match decision.and_then(|decision| decision.reading) {
        Some(reading) => requested_conversion(reading, target),
        None => None,
    };
    let conversion = conversion
        .unwrap_or_else(|| Conversion::ExistingType { unit: assumed(seen, declared, target, &profile, findings) });
    let exceptions = decision.map(|decision| decision.exceptions).unwrap_or_default();
    let classes = profile.classes();
    let main_class = classes.into_iter().rev().max_by_key(|class| profile.count(*class)).unwrap_or(StorageClass::Text);
    ColumnPlan {
        source: declared.name.clone(),
        declared: declared.declared.clone(),
        conversion,
        main_class,
        exceptions,
        rule: format!("the existing schema says {}", target.pg_type),
        evidence: profile,
        ..absent(target)
    }
}

/// A column that the source lacks.
pub(super) fn absent(target: &ExistingColumn) -> ColumnPlan {
    ColumnPlan {
        not_null: target.not_null,
        default: target.default.clone(),
        generated: target.generated.clone(),
        rule: "only the existing schema has it".to_owned(),
        origin: Origin::Override,
        ..ColumnPlan::new(&target.name, target.pg_type.clone(), Conversion::Absent, StorageClass::Null)
    }
}

/// How the configuration wants a column of this type to be read, if it says more than the type.
fn requested_conversion(reading: ReadingOverride, target: &ExistingColumn) -> Option<Conversion> {
    let unit = match reading {
        ReadingOverride::TimeEncoding(TimeEncoding::UnixS) => EpochUnit::Seconds,
        ReadingOverride::TimeEncoding(TimeEncoding::UnixMs) => EpochUnit::Milliseconds,
        ReadingOverride::TimeEncoding(TimeEncoding::UnixUs) => EpochUnit::Microseconds,
        // The type's own reading knows these.
        ReadingOverride::BoolWords | ReadingOverride::AnyTimestamp => return None,
        ReadingOverride::TimeEncoding(_) | ReadingOverride::RailsTime | ReadingOverride::GuidDotnet => {
            return value_check::candidates(&target.pg_type, Some(reading)).into_iter().next();
        }
    };
    Some(Conversion::ExistingType { unit: Some(unit) })
}

fn profile_of<'a>(seen: &'a SurveyedTable<'_>, column: &SourceColumn) -> Option<&'a ColumnProfile> {
    let at = seen.outline.columns.iter().position(|found| found.source.name == column.name)?;
    seen.survey.columns.get(at).map(|survey| &survey.profile)
}

/// The unit of the integers in a column of times, if their size shows it.
fn assumed(
    seen: &SurveyedTable<'_>,
    column: &SourceColumn,
    target: &ExistingColumn,
    profile: &ColumnProfile,
    findings: &mut Vec<Finding>,
) -> Option<EpochUnit> {
    let element = PgColumnType::of(&target.pg_type).filter(|shape| !shape.array)?.element;
    if !matches!(element, Element::Date | Element::Timestamp { .. } | Element::TimestampTz { .. }) {
        return None;
    }
    let unit = value_check::epoch_unit(profile.integer_range?)?;
    let text = match unit.microseconds() {
        1_000_000 => "seconds",
        1_000 => "milliseconds",
        _ => "microseconds",
    };
    let message = format!("integers are read as {text} since 1970-01-01 UTC, because all lie in that unit's window");
    let table = &seen.outline.source.name;
    findings.push(
        Finding::new(FindingCode::EpochAssumed, Severity::Info, message)
            .at_table(table)
            .at_column(&column.name)
            .counting(profile.integers)
            .choice(column_setting(table, &column.name, "from = \"unix_s\"")),
    );
    Some(unit)
}

fn places(table: &TablePlan, found: &Occurrences) -> String {
    let word = if table.address.rowid_name().is_some() { "rowid" } else { "row" };
    let first: Vec<String> = found.first.iter().map(i64::to_string).collect();
    format!("first at {word} {}", first.join(", "))
}

/// What the second reading found.
pub(super) fn judge(table: &TablePlan, column: &ColumnPlan, verdict: &ColumnMismatches, findings: &mut Vec<Finding>) {
    let at = |code, severity, message: String, found: &Occurrences| {
        let finding = Finding::new(code, severity, message);
        finding.at_table(&table.source).at_column(&column.source).counting(found.count)
    };
    for (mismatch, found) in &verdict.mismatches {
        let message = format!(
            "{} of {} can't be {}: they {} ({})",
            counted(found.count, "value", "values"),
            column.evidence.values(),
            column.pg_type,
            mismatch.words(),
            places(table, found)
        );
        let mut finding = at(FindingCode::TypeDoesNotFit, Severity::Refused, message, found);
        if *mismatch == Mismatch::Unit {
            finding = finding.choice(column_setting(&table.source, &column.source, "from = \"unix_ms\""));
        }
        let choice = "correct the values in the source and dump again, or the type in the existing schema";
        findings.push(finding.choice(choice));
    }
    for (altered, found) in &verdict.altered {
        let (code, words) = match altered {
            Altered::Rounded => (FindingCode::TypeDoesNotFit, "would be rounded to the type's digits"),
            Altered::Shifted => {
                (FindingCode::SpellingNormalised, "would lose the offset from UTC; the point in time stays")
            }
        };
        let message = format!("{} {words} ({})", counted(found.count, "value", "values"), places(table, found));
        let accept = format!("--accept {}@{}.{}", code.word(), table.source, column.source);
        findings.push(at(code, Severity::NeedsDecision, message, found).choice(accept));
    }
}

/// NULLs where the existing schema allows none, and columns that nothing fills.
pub(super) fn nulls(table: &mut TablePlan, target: &ExistingTable, findings: &mut Vec<Finding>) {
    let (rows, source) = (table.rows, table.source.clone());
    for (column, existing) in table.columns.iter_mut().zip(&target.columns) {
        let at = |code, severity, message: String| {
            Finding::new(code, severity, message).at_table(&source).at_column(&column.source)
        };
        if column.conversion == Conversion::Absent {
            let filled = existing.default.is_some() || existing.generated.is_some() || existing.sequence.is_some();
            if rows > 0 && existing.not_null && !filled {
                let message = format!(
                    "the existing column {} is NOT NULL, and the source has nothing for it in {}",
                    existing.name,
                    counted(rows, "row", "rows")
                );
                findings.push(
                    at(FindingCode::NotNullViolated, Severity::Refused, message)
                        .counting(rows)
                        .choice(format!("[columns.\"{source}.COLUMN\"] name = \"{}\"", existing.name))
                        .choice("give the column a default in the existing schema"),
                );
            } else if rows > 0 && filled && existing.generated.is_none() {
                let message = if existing.is_volatile || existing.sequence.is_some() {
                    "the source has no such column: each row gets a default of its own, which it keeps on the target"
                } else {
                    "the source has no such column: its rows get the default"
                };
                findings.push(at(FindingCode::Advice, Severity::Info, message.to_owned()));
            }
            continue;
        }
        let emptied = if column.exceptions.empty_as_null { column.evidence.texts_empty } else { 0 };
        let nulls = column.evidence.nulls + emptied;
        if existing.not_null && nulls > 0 && existing.generated.is_none() {
            let in_key = target.primary_key.as_ref().is_some_and(|key| key.columns.contains(&existing.name));
            let (code, without) = if in_key {
                (FindingCode::NullsInPrimaryKey, "without the primary key")
            } else {
                (FindingCode::NotNullViolated, "without NOT NULL")
            };
            let message = format!(
                "{} NULL where the existing schema allows none: the column is made {without}",
                if nulls == 1 { "1 value is".to_owned() } else { format!("{nulls} values are") }
            );
            let accept = format!("--accept {}@{source}.{}", code.word(), column.source);
            findings.push(at(code, Severity::NeedsDecision, message).counting(nulls).choice(accept));
            column.not_null = false;
        }
    }
}

/// Columns of the source that the existing table lacks.
pub(super) fn unmatched(
    seen: &SurveyedTable<'_>,
    target: &ExistingTable,
    found: &TableMatch,
    findings: &mut Vec<Finding>,
) {
    let source = seen.outline.source;
    for (at, column) in source.columns.iter().enumerate().filter(|(_, column)| !column.hidden) {
        if found.columns.values().any(|taken| *taken == at) {
            continue;
        }
        let values = profile_of(seen, column).map_or(0, ColumnProfile::values);
        let severity = if column.generated.is_some() || values == 0 { Severity::Info } else { Severity::NeedsDecision };
        let message = format!(
            "the existing table {} has no such column: {} left out",
            target.name,
            counted(values, "value is", "values are")
        );
        let mut finding = Finding::new(FindingCode::ColumnSkipped, severity, message)
            .at_table(&source.name)
            .at_column(&column.name)
            .counting(values);
        if severity == Severity::NeedsDecision {
            let free = target.columns.iter().enumerate().filter(|(existing, _)| !found.columns.contains_key(existing));
            if let Some(near) = nearest(&column.name, free.map(|(_, existing)| existing.name.clone())) {
                finding = finding.choice(column_setting(&source.name, &column.name, &format!("name = \"{near}\"")));
            }
            finding = finding.choice(format!("--accept column-skipped@{}.{}", source.name, column.name));
        }
        findings.push(finding);
    }
}
