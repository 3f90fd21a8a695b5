//! Plans generated columns (docs/conversion-rules.md, section 6.1). PostgreSQL computes those whose expression has an
//! exact equivalent; the others are plain columns with SQLite's values. `convert` compares every value that PostgreSQL
//! computed.

use super::{ConstraintContext, TableContext};
use crate::{
    model::{
        Finding, FindingCode, Severity,
        conversion_plan::Outcome,
        source_schema::{SourceColumn, SourceTable},
    },
    rules::expression::{NameScope, tokens, unquote},
};

/// What an object of this kind is called.
const KIND: &str = "generated column";

/// Fills the generating expressions.
pub(super) fn carry(work: &mut ConstraintContext<'_>, seat: &mut TableContext<'_>) {
    for (column, expression) in in_order(seat.source) {
        let Some(planned) = seat.column(&column.name) else {
            left_out(work, seat, column, expression);
            continue;
        };
        let stored = column.generated.as_ref().is_some_and(|generated| generated.stored);
        let answer = match obstacle(seat.source, column) {
            Some(reason) => Err(reason.to_owned()),
            None if planned.records_off_type => Err("its values have several storage classes".to_owned()),
            None if !planned.exceptions.is_none() => Err("the configuration changes some of its values".to_owned()),
            None => NameScope::new(seat.plan, seat.source, &work.schema.encoding)
                .generated(expression, planned, column.affinity)
                .map_err(|failure| failure.reason),
        };
        let table = seat.source.name.as_str();
        match answer {
            Ok(sql) => {
                if let Some(planned) = seat.column_mut(&column.name) {
                    planned.generated = Some(sql);
                }
                let (outcome, reason) = if stored {
                    (Outcome::Carried, "")
                } else {
                    (
                        Outcome::Translated,
                        "its values are stored, as PostgreSQL before 18 has no other generated columns",
                    )
                };
                work.object(seat.position, KIND, &column.name, table, outcome, reason);
            }
            Err(reason) => plain(work, seat, column, expression, &reason),
        }
    }
}

fn plain(
    work: &mut ConstraintContext<'_>,
    seat: &TableContext<'_>,
    column: &SourceColumn,
    expression: &str,
    reason: &str,
) {
    let table = seat.source.name.as_str();
    work.object(seat.position, KIND, &column.name, table, Outcome::NotCarried, reason);
    let message = format!(
        "the generated column is carried as a plain column with its present values: {reason}; new rows need a trigger \
         or the application to fill it"
    );
    let finding = Finding::new(FindingCode::GeneratedAsPlain, Severity::Warning, message);
    let sql = format!("GENERATED ALWAYS AS ({expression})");
    work.find(finding.at_table(table).at_column(&column.name).with_sql(sql));
}

/// A column whose values are nowhere: SQLite computes them when they are read, and can't here.
fn left_out(work: &mut ConstraintContext<'_>, seat: &TableContext<'_>, column: &SourceColumn, expression: &str) {
    const REASON: &str = "SQLite can't compute its values here, and they are not stored";
    let table = seat.source.name.as_str();
    work.object(seat.position, KIND, &column.name, table, Outcome::NotCarried, REASON);
    let message = format!("the generated column is left out: {REASON}");
    let finding = Finding::new(FindingCode::GeneratedAsPlain, Severity::Warning, message);
    let sql = format!("GENERATED ALWAYS AS ({expression})");
    work.find(finding.at_table(table).at_column(&column.name).with_sql(sql));
}

/// Why the column can't be generated whatever its expression is: PostgreSQL refuses foreign keys that would write it.
fn obstacle(source: &SourceTable, column: &SourceColumn) -> Option<&'static str> {
    let writes = |action: &str| matches!(action, "SET NULL" | "SET DEFAULT");
    let writing = source.foreign_keys.iter().any(|key| {
        key.columns.iter().any(|name| name.eq_ignore_ascii_case(&column.name))
            && (writes(&key.on_delete) || writes(&key.on_update) || key.on_update == "CASCADE")
    });
    writing.then_some("the actions of its foreign key write it, which PostgreSQL forbids")
}

/// Generated columns with their expressions, each after those that it uses.
fn in_order(source: &SourceTable) -> Vec<(&SourceColumn, &str)> {
    let mut waiting: Vec<(&SourceColumn, &str)> = source
        .columns
        .iter()
        .filter_map(|column| Some((column, column.generated.as_ref()?.expression.as_str())))
        .collect();
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        let is_free = |(column, sql): &(&SourceColumn, &str)| {
            !waiting.iter().any(|(other, _)| other.name != column.name && mentions(sql, &other.name))
        };
        // SQLite refuses a circle; what looks like one is a column that is called like a function.
        let next = waiting.iter().position(is_free).unwrap_or(0);
        ordered.push(waiting.remove(next));
    }
    ordered
}

fn mentions(sql: &str, name: &str) -> bool {
    let Some(tokens) = tokens(sql) else { return true };
    tokens
        .iter()
        .any(|(_, start, end)| sql.get(*start..*end).is_some_and(|token| unquote(token).0.eq_ignore_ascii_case(name)))
}
