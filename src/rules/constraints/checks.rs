//! Plans CHECK constraints (docs/conversion-rules.md, section 4.2).

use super::{ConstraintContext, TableContext, ViolatedConstraint};
use crate::{
    model::{
        Finding, FindingCode, Severity,
        cell::StorageClass,
        conversion_plan::{CheckPlan, Outcome},
        identifier::quote_ident,
        source_schema::SourceCheck,
    },
    rules::expression::{Condition, JsonGuard, NameScope},
};

/// CHECK constraints; NOT VALID where rows break them.
pub(super) fn carry(work: &mut ConstraintContext<'_>, seat: &mut TableContext<'_>) {
    let source = seat.source;
    for (number, check) in source.checks.iter().enumerate() {
        let condition = NameScope::new(seat.plan, source, &work.schema.encoding).condition(&check.expression);
        let object = check.name.as_deref().unwrap_or(&check.expression);
        let violations = work.facts.check_violations.get(&(source.name.clone(), number)).copied();
        let condition = match condition {
            Err(failure) => by_cast(seat, check).filter(|_| violations == Some(0)).ok_or(failure),
            translated => translated,
        };
        match condition {
            Ok(condition) if condition.never_false => {
                let reason = "the column's type admits nothing else";
                work.object(seat.position, "check", object, &source.name, Outcome::Translated, reason);
            }
            Ok(condition) => {
                add(work, seat, (number, check), condition.sql, violations);
            }
            Err(failure) => {
                work.object(seat.position, "check", object, &source.name, Outcome::NotCarried, &failure.reason);
                let message = format!("the check can't be translated: {}", failure.reason);
                let mut finding = Finding::new(FindingCode::CheckNotCarried, Severity::NeedsDecision, message)
                    .at_table(&source.name)
                    .with_sql(format!("CHECK ({})", check.expression));
                finding.column.clone_from(&check.name);
                work.find(finding);
            }
        }
    }
}

/// The condition of a check that wants JSON in a text column.
fn by_cast(seat: &TableContext<'_>, check: &SourceCheck) -> Option<Condition> {
    let guard = JsonGuard::read(&check.expression)?;
    let column = seat.plan.columns.iter().find(|column| column.source.eq_ignore_ascii_case(&guard.column))?;
    let only_texts = column.pg_type.is_text() && column.main_class == StorageClass::Text && !column.records_off_type;
    only_texts.then(|| Condition { sql: guard.condition(&column.name), never_false: false })
}

fn add(
    work: &mut ConstraintContext<'_>,
    seat: &mut TableContext<'_>,
    (number, check): (usize, &SourceCheck),
    expression: String,
    violations: Option<u64>,
) {
    let table = seat.source.name.as_str();
    let object = check.name.as_deref().unwrap_or(&check.expression);
    let made_up = format!("{}_check", seat.plan.name);
    let name = work.constraint(seat.position, table, check.name.as_deref(), &made_up);
    let not_valid = violations != Some(0);
    if not_valid {
        let what = match violations {
            Some(_) => format!("rows break this check{}", work.facts.places(table, ViolatedConstraint::Check(number))),
            None => "whether rows break this check can't be found out in SQLite".to_owned(),
        };
        let message = format!(
            "{what}; it is carried NOT VALID and guards new and changed rows; after repair: \
             ALTER TABLE {} VALIDATE CONSTRAINT {}",
            quote_ident(&seat.plan.name),
            quote_ident(&name)
        );
        let mut finding = Finding::new(FindingCode::CheckViolated, Severity::Warning, message).at_table(table);
        finding.column = Some(name.clone());
        finding.count = violations;
        work.find(finding.with_sql(format!("CHECK ({})", check.expression)));
        work.object(seat.position, "check", object, table, Outcome::Translated, "NOT VALID, as rows break it");
    } else {
        work.object(seat.position, "check", object, table, Outcome::Carried, "");
    }
    seat.plan.checks.push(CheckPlan { name, expression, not_valid });
}

/// NOT NULL; a check that is NOT VALID where rows are NULL all the same.
pub(super) fn not_null(work: &mut ConstraintContext<'_>, seat: &mut TableContext<'_>) {
    let source = seat.source;
    for column in source.columns.iter().filter(|column| column.not_null) {
        let Some(planned) = seat.column_mut(&column.name) else { continue };
        let nulls = planned.evidence.nulls;
        if nulls == 0 {
            planned.not_null = true;
            continue;
        }
        let (quoted, made_up) = (quote_ident(&planned.name), format!("{}_{}_not_null", seat.plan.name, column.name));
        let name = work.constraint(seat.position, &source.name, None, &made_up);
        let message = format!(
            "rows have NULL in this NOT NULL column; it is guarded by a check that is NOT VALID; after repair: \
             ALTER TABLE {} VALIDATE CONSTRAINT {}",
            quote_ident(&seat.plan.name),
            quote_ident(&name)
        );
        let finding = Finding::new(FindingCode::NotNullViolated, Severity::Warning, message);
        work.find(finding.at_table(&source.name).at_column(&column.name).counting(nulls));
        let expression = format!("{quoted} IS NOT NULL");
        seat.plan.checks.push(CheckPlan { name, expression, not_valid: true });
    }
}
