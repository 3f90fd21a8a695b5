//! Plans the columns of an existing table: where their values come from, and which of them don't fit.

use rusqlite::Connection;

use super::{
    super::override_resolution::ResolvedOverride, PlanInputs, SurveyedTable, matching::TableMatch, units,
    values::ColumnMismatches,
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        ColumnPlan, Conversion, Finding, FindingCode, PgType, Severity, TablePlan,
        cell::StorageClass,
        column_profile::ColumnProfile,
        conversion_plan::{ExistingReading, GuidOrder, OffType, Origin, ZoneName},
        existing_schema::{ExistingColumn, ExistingTable},
        human_format::counted,
        overrides::BadText,
        pg_column_type::{Element, InputSyntax, PgColumnType},
        similar_name::nearest,
        source_schema::{SourceColumn, SourceTable},
    },
    rules::type_choice::{column_setting, toml_text, value_check::ReadingOverride},
};

/// The plan of an existing column; its values come from the source's column at this position, if there is one.
///
/// # Errors
/// `Config` for a setting that does not go with the type; `SourceInvalid`.
pub(super) fn plan(
    work: &PlanInputs<'_>,
    connection: &Connection,
    seen: &SurveyedTable<'_>,
    (table, source): (usize, Option<usize>),
    target: &ExistingColumn,
    findings: &mut Vec<Finding>,
) -> Result<ColumnPlan> {
    let declared = source.and_then(|at| work.schema.tables.get(table)?.columns.get(at));
    let Some(declared) = declared else { return Ok(absent(target)) };
    let profile = profile_of(seen, declared).cloned().unwrap_or_default();
    let nothing = ResolvedOverride::default();
    let decision = source.and_then(|at| work.decisions.columns.get(&(table, at))).unwrap_or(&nothing);
    let place = format!("{}.{}", seen.outline.source.name, declared.name);
    let shape = PgColumnType::of(&target.pg_type);
    let mut reading = requested_reading(&place, decision, target, work.decisions.zone, &profile)?;
    let counts = matches!(shape.element, Element::Date | Element::Timestamp { .. } | Element::TimestampTz { .. });
    if counts && !shape.array && reading.count.is_none() {
        let numbers = profile.integers + profile.reals;
        reading.count = units::assumed(connection, seen, declared, numbers, findings)?;
    }
    let classes = profile.classes();
    let main_class = classes.into_iter().rev().max_by_key(|class| profile.count(*class)).unwrap_or(StorageClass::Text);
    let labels = match &target.pg_type {
        PgType::Enum(name) if decision.exceptions.off_type.is_some() => work.target.labels(name).unwrap_or_default(),
        _ => &[],
    };
    Ok(ColumnPlan {
        source: declared.name.clone(),
        declared: declared.declared.clone(),
        conversion: Conversion::ExistingType(reading),
        main_class,
        records_off_type: reading.replaces_text,
        exceptions: decision.exceptions,
        labels: labels.to_vec(),
        rule: format!("the existing schema says {}", target.pg_type),
        evidence: profile,
        ..absent(target)
    })
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

/// How the configuration wants a column of this type to be read.
///
/// # Errors
/// `Config` for a setting that does not go with the type.
pub(super) fn requested_reading(
    place: &str,
    decision: &ResolvedOverride,
    target: &ExistingColumn,
    zone: Option<ZoneName>,
    profile: &ColumnProfile,
) -> Result<ExistingReading> {
    let shape = PgColumnType::of(&target.pg_type);
    let is_timestamp = matches!(shape.element, Element::Timestamp { .. } | Element::TimestampTz { .. });
    let is_time = is_timestamp || shape.element == Element::Date;
    let mut reading = ExistingReading { list: decision.list, ..ExistingReading::default() };
    let wrong = match decision.reading {
        Some(ReadingOverride::TimeEncoding(by)) => {
            reading.count = Some(by);
            let is_interval = shape.element == Element::TextInput(InputSyntax::Interval);
            (!is_time && !is_interval).then_some("from")
        }
        Some(ReadingOverride::GuidDotnet) => {
            reading.guid = GuidOrder::Dotnet;
            (shape.element != Element::Uuid).then_some("from")
        }
        // What the type's own reading covers.
        Some(ReadingOverride::RailsTime) => (!matches!(shape.element, Element::Time { .. })).then_some("from"),
        Some(ReadingOverride::AnyTimestamp) => (!is_time).then_some("dates"),
        Some(ReadingOverride::BoolWords) => (shape.element != Element::Boolean).then_some("bool_words"),
        None => None,
    };
    let is_zoned = matches!(shape.element, Element::TimestampTz { .. });
    reading.zone = decision.zone.or(zone).filter(|_| is_zoned);
    let is_text = matches!(shape.element, Element::Text { .. }) && !shape.array;
    reading.replaces_text = is_text && profile.texts_not_storable() > 0 && decision.bad_text != Some(BadText::Fail);
    let wrong = wrong
        .or((decision.zone.is_some() && !is_zoned).then_some("zone"))
        .or((decision.list.is_some() && !shape.array).then_some("list"))
        .or((decision.bad_text == Some(BadText::Bytea) && shape.element != Element::Bytea).then_some("bad_text"));
    match wrong {
        Some(key) => {
            let what = format!("columns.\"{place}\": {key} does not go with {} of the existing schema", target.pg_type);
            Err(Error::new(Kind::Config, what).with_hint("remove the key"))
        }
        None => Ok(reading),
    }
}

fn profile_of<'a>(seen: &'a SurveyedTable<'_>, column: &SourceColumn) -> Option<&'a ColumnProfile> {
    let at = seen.outline.columns.iter().position(|found| found.source.name == column.name)?;
    seen.survey.columns.get(at).map(|survey| &survey.profile)
}

/// NULLs where the existing schema allows none, and columns that nothing fills.
pub(super) fn nulls(
    table: &mut TablePlan,
    target: &ExistingTable,
    verdicts: &[ColumnMismatches],
    free: &[&str],
    findings: &mut Vec<Finding>,
) {
    let (rows, source) = (table.rows, table.source.clone());
    for ((column, existing), verdict) in table.columns.iter_mut().zip(&target.columns).zip(verdicts) {
        let at = |code, severity, message: String| {
            Finding::new(code, severity, message).at_table(&source).at_column(&column.source)
        };
        if column.conversion == Conversion::Absent {
            // The trial tells whether a domain has a default.
            let filled = existing.default.is_some()
                || existing.generated.is_some()
                || existing.sequence.is_some()
                || existing.is_domain;
            if rows > 0 && existing.not_null && !filled {
                let message = format!(
                    "the existing column {} is NOT NULL, and the source has nothing for it in {}",
                    existing.name,
                    counted(rows, "row", "rows")
                );
                let mut finding = at(FindingCode::NotNullViolated, Severity::Refused, message).counting(rows);
                if let Some(near) = nearest(&existing.name, free) {
                    let name = format!("name = {}", toml_text(&existing.name));
                    finding = finding.choice(column_setting(&source, near, &name));
                }
                findings.push(finding.choice("give the column a default in the existing schema"));
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
        // Empty texts that become NULL are counted as NULL already.
        let replaced = if column.exceptions.off_type == Some(OffType::Null) { verdict.misfits() } else { 0 };
        let nulls = column.evidence.nulls + replaced;
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

/// The source's columns that no column of the existing table takes.
pub(super) fn left_over<'a>(source: &'a SourceTable, found: &TableMatch) -> Vec<&'a str> {
    let columns = source.columns.iter().enumerate();
    let free = columns.filter(|(at, column)| !column.hidden && !found.columns.values().any(|taken| taken == at));
    free.map(|(_, column)| column.name.as_str()).collect()
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
                finding =
                    finding.choice(column_setting(&source.name, &column.name, &format!("name = {}", toml_text(&near))));
            }
            finding = finding.choice(format!("--accept column-skipped@{}.{}", source.name, column.name));
        }
        findings.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::conversion_plan::RowAddress;

    /// What can be done about a required column `total` that the source lacks, while it has these columns left.
    fn choices(free: &[&str]) -> Vec<String> {
        let existing = ExistingColumn {
            name: "total".to_owned(),
            is_domain: false,
            pg_type: PgType::BigInt,
            not_null: true,
            default: None,
            is_volatile: false,
            generated: None,
            sequence: None,
        };
        let mut table = TablePlan::new("items", "items", RowAddress::Ordinal);
        table.rows = 1;
        table.columns = vec![absent(&existing)];
        let target = ExistingTable { name: "items".to_owned(), columns: vec![existing], ..ExistingTable::default() };
        let mut findings = Vec::new();
        nulls(&mut table, &target, &[ColumnMismatches::default()], free, &mut findings);
        findings.remove(0).choices
    }

    #[test]
    fn a_column_that_lacks_values_is_only_related_to_a_similar_one() {
        let default = "give the column a default in the existing schema";
        let near = "columns.\"items.totals\" = { name = \"total\" }";
        assert_eq!(choices(&["label", "totals"]), [near, default]);
        assert_eq!(choices(&["label"]), [default]);
        assert_eq!(choices(&[]), [default]);
    }
}
