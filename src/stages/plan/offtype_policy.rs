//! Applies the off-type policy to values that don't fit a configured type: the one place where a value is left out or
//! becomes NULL, and only because somebody named the column.

use super::{assembled::Assembled, override_resolution::ResolvedOverride, table_outline::TableOutline};
use crate::{
    model::{
        ColumnPlan, Conversion, Finding, FindingCode, Severity, TablePlan,
        catalog::{ObjectKind, ObjectName},
        conversion_plan::{OFFTYPE_TABLE, OffType, RowAddress},
        existing_schema::{WeakenedObject, WeakerForm},
    },
    rules::type_choice::{self, ColumnInput, ColumnRole, TypeChoice, counted},
    sqlite::profile::{Candidate, ColumnSurvey, Mismatches},
};

/// The file of rejected rows, as messages name it.
const REJECTS: &str = "convert/rejects.jsonl";

/// The type of the configuration, and what doesn't fit it.
pub(super) fn decided(
    subject: &ColumnInput<'_>,
    candidates: &[Candidate],
    survey: &ColumnSurvey,
) -> Option<(TypeChoice, Mismatches)> {
    let (candidate, mismatches) =
        candidates.iter().zip(&survey.mismatches).min_by_key(|(_, mismatches)| mismatches.count)?;
    let mut choice = subject.choice(candidate.pg_type.clone(), candidate.conversion, "the configuration decides");
    if choice.pg_type.is_text() && subject.profile.texts_not_storable() > 0 {
        choice.findings.push(type_choice::bad_text_in_chosen(subject));
    }
    if matches!(choice.conversion, Conversion::ExistingType(_)) && subject.profile.values() > 0 {
        let message =
            "values are read by the meaning of the type: numbers lose leading zeros, times without zone are UTC";
        let finding = subject.finding(FindingCode::SpellingNormalised, Severity::Info, message);
        choice.findings.push(finding.counting(subject.profile.values()));
    }
    Some((choice, *mismatches))
}

/// Notes what becomes of values that don't fit, or refuses them.
pub(super) fn apply(
    subject: &ColumnInput<'_>,
    outline: &TableOutline<'_>,
    decision: Option<&ResolvedOverride>,
    mismatches: Mismatches,
    choice: &mut TypeChoice,
) {
    let Some(decision) = decision else { return };
    let exceptions = decision.exceptions;
    if exceptions.empty_as_null {
        choice.exceptions.empty_as_null = true;
        if subject.profile.texts_empty > 0 {
            let what = counted(subject.profile.texts_empty, "empty text");
            nulled(subject, outline, choice, subject.profile.texts_empty, &what);
        }
    }
    let Some(first) = mismatches.first else { return };
    choice.exceptions.off_type = exceptions.off_type;
    let what = format!(
        "{} of {} can't be {} exactly (first at {})",
        counted(mismatches.count, "value"),
        subject.profile.values(),
        choice.pg_type,
        subject.place_of(first)
    );
    match exceptions.off_type {
        None => choice.findings.push(does_not_fit(subject, &what, mismatches.count)),
        Some(OffType::Null) => nulled(subject, outline, choice, mismatches.count, &what),
        Some(OffType::Reject) => {
            let message =
                format!("{what}: their rows are left out and written to {REJECTS}, as the configuration says");
            choice.findings.push(agreed(subject, message, mismatches.count));
        }
    }
}

fn does_not_fit(subject: &ColumnInput<'_>, what: &str, count: u64) -> Finding {
    let finding = subject.finding(FindingCode::TypeDoesNotFit, Severity::Refused, what).counting(count);
    let finding = finding
        .choice("leave the type to the rules, or name one that holds every value")
        .choice("correct the values in the source and dump again")
        .choice("add off_type = \"reject\" to the column in the configuration");
    if subject.column.not_null {
        finding
    } else {
        finding.choice("add off_type = \"null\" to the column in the configuration")
    }
}

/// A loss that the configuration asks for by the column's name.
fn agreed(subject: &ColumnInput<'_>, message: String, count: u64) -> Finding {
    let mut finding = subject.finding(FindingCode::TypeDoesNotFit, Severity::NeedsDecision, message).counting(count);
    finding.accepted = true;
    finding
}

fn nulled(subject: &ColumnInput<'_>, outline: &TableOutline<'_>, choice: &mut TypeChoice, count: u64, what: &str) {
    let name = &subject.column.name;
    let is_primary = outline.source.primary_key.iter().any(|key| key.eq_ignore_ascii_case(name));
    let obstacle = if subject.column.not_null || is_primary || subject.role == ColumnRole::RowidAlias {
        Some("the column takes no NULL")
    } else if *subject.address == RowAddress::Ordinal {
        Some("its rows have no key under which the values could be kept")
    } else {
        None
    };
    if let Some(obstacle) = obstacle {
        let message = format!("{what}, which can't become NULL, because {obstacle}");
        let finding = subject.finding(FindingCode::TypeDoesNotFit, Severity::Refused, message).counting(count);
        choice.findings.push(finding.choice(subject.typed("off_type = \"reject\"")));
        return;
    }
    choice.records_off_type = true;
    let message = format!(
        "{what}: they become NULL, and their class and raw bytes are kept in the table {OFFTYPE_TABLE}, as the configuration says"
    );
    choice.findings.push(agreed(subject, message, count));
}

/// What other objects of the plan can no longer promise where values are changed or rows are left out.
pub(super) fn restrain(all: &mut Assembled) {
    restrain_keys(all, None);
    let Assembled { tables, findings, .. } = all;
    for table in tables.iter_mut() {
        make_plain(table, findings);
    }
}

/// Makes foreign keys NOT VALID that refer to changed values or to rows that are left out. `existing` is the schema of an
/// existing schema's tables.
pub(super) fn restrain_keys(all: &mut Assembled, existing: Option<&str>) {
    let changed: Vec<(String, Vec<String>)> = all
        .tables
        .iter()
        .map(|table| {
            let columns = table.columns.iter().filter(|column| table.rejected > 0 || is_nulled(column));
            (table.name.clone(), columns.map(|column| column.name.clone()).collect())
        })
        .collect();
    let is_changed = |table: &str, columns: &[String]| {
        let of_table = changed.iter().find(|(name, _)| name == table);
        of_table.is_some_and(|(_, names)| columns.iter().any(|column| names.contains(column)))
    };
    let Assembled { tables, findings, weakened, .. } = all;
    for table in tables.iter_mut() {
        for key in table.foreign_keys.iter_mut().filter(|key| !key.not_valid) {
            if is_changed(&key.parent, &key.parent_columns) {
                key.not_valid = true;
                // Only an existing schema has objects that are weakened by name.
                if let Some(schema) = existing {
                    let name = ObjectName::of_table(ObjectKind::Constraint, schema, &table.name, &key.name);
                    weakened.push(WeakenedObject { name, form: WeakerForm::NotValid });
                }
                let message = format!(
                    "the foreign key guards new rows only, because the configuration leaves out rows or values of {}",
                    key.parent
                );
                let finding = Finding::new(FindingCode::OrphanRows, Severity::Warning, message);
                findings.push(finding.at_table(&table.source).at_column(&key.name));
            }
        }
    }
}

/// PostgreSQL would compute a generated column from the changed values.
fn make_plain(table: &mut TablePlan, findings: &mut Vec<Finding>) {
    let altered = |column: &&ColumnPlan| {
        let is_replaced =
            matches!(column.conversion, Conversion::Text { .. }) && column.evidence.texts_not_storable() > 0;
        is_nulled(column) || is_replaced
    };
    let names: Vec<String> = table.columns.iter().filter(altered).map(|column| column.name.to_lowercase()).collect();
    for column in &mut table.columns {
        let reads = |expression: &String| names.iter().any(|name| expression.to_lowercase().contains(name));
        if column.generated.as_ref().is_some_and(reads) {
            column.generated = None;
            let message = "the generated column is carried as a plain column with its present values, because values that \
                           it is computed from are changed";
            let finding = Finding::new(FindingCode::GeneratedAsPlain, Severity::Warning, message);
            findings.push(finding.at_table(&table.source).at_column(&column.source));
        }
    }
}

fn is_nulled(column: &ColumnPlan) -> bool {
    column.exceptions.empty_as_null || column.exceptions.off_type == Some(OffType::Null)
}
