//! Translates terms of ORDER BY. NULL is less than everything in SQLite, and greater in PostgreSQL unless it is said.

use sqlite3_parser::ast::{Expr, Literal, NullsOrder, SortOrder, SortedColumn};

use super::{
    projection::{OutputColumn, sort_key},
    select_scope::{AllowedConstructs, SelectScope},
};
use crate::rules::expression::{Collation, TypedExpr, Untranslatable, refuse, unquote};

/// An expression without its COLLATE, and that.
pub(super) fn uncollated<'e, 'b>(expression: &'e Expr<'b>) -> (&'e Expr<'b>, Option<(Collation, bool)>) {
    match expression {
        Expr::Collate(inner, name) => (inner, Some((Collation::named(&unquote(name).0), true))),
        other => (other, None),
    }
}

/// What a term of a SELECT's own ORDER BY orders by: the number or name of a result, or any expression.
pub(super) fn value(
    level: &SelectScope<'_, '_>,
    term: &SortedColumn<'_>,
    outputs: &[OutputColumn],
    state: AllowedConstructs,
) -> Result<TypedExpr, Untranslatable> {
    let (expression, collation) = uncollated(&term.expr);
    let mut operand = match expression {
        Expr::Literal(Literal::Numeric(token)) if !token.contains('.') => {
            let at = token.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
            let output = at.and_then(|at| outputs.get(at));
            output
                .map(|output| output.operand.clone())
                .ok_or_else(|| refuse("it orders by a column that isn't there"))?
        }
        Expr::Id(id) => match level.result(&unquote(id.0).0) {
            // A result's name comes before a column's.
            Some(result) => level.operand(result, AllowedConstructs { aliases: false, ..state })?,
            None => level.operand(expression, state)?,
        },
        _ => level.operand(expression, state)?,
    };
    operand.collation = collation.or(operand.collation);
    Ok(operand)
}

/// A term as PostgreSQL needs it.
pub(super) fn term(
    operand: &TypedExpr,
    term: &SortedColumn<'_>,
    utf8: bool,
    exact: bool,
) -> Result<String, Untranslatable> {
    // A constant would be read as the number of a column.
    let key = if operand.constant.is_some() { "NULL::text".to_owned() } else { sort_key(operand, utf8, exact)? };
    let descending = term.order == Some(SortOrder::Desc);
    let nulls_first = match term.nulls {
        Some(NullsOrder::First) => true,
        Some(NullsOrder::Last) => false,
        None => !descending,
    };
    let direction = if descending { " DESC" } else { "" };
    let nulls = if nulls_first { " NULLS FIRST" } else { " NULLS LAST" };
    Ok(format!("{key}{direction}{nulls}"))
}
