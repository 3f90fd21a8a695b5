//! Translates subqueries in expressions.

use sqlite3_parser::ast::{Expr, Select};

use super::{
    select::{self, TranslatedSelect},
    select_scope::{AllowedConstructs, ScopeContext, SelectScope},
};
use crate::rules::expression::{ExprType, NameScope, TypedExpr, Untranslatable, member, refuse};

/// Translates a subquery, EXISTS, or IN over a subquery.
pub(super) fn part(
    level: &SelectScope<'_, '_>,
    expression: &Expr<'_>,
    depth: usize,
) -> Result<TypedExpr, Untranslatable> {
    match expression {
        Expr::Subquery(select) => scalar(level, select, depth),
        Expr::Exists(select) => {
            let selected = inner(level, select, depth)?;
            Ok(TypedExpr::atom(format!("EXISTS ({})", selected.sql), ExprType::Bool))
        }
        Expr::InSelect { lhs, not, rhs } => {
            let value = level.operand(lhs, level.state.get())?;
            among(level, &value, *not, &inner(level, rhs, depth)?)
        }
        _ => Err(refuse("IN names a table")),
    }
}

fn inner(level: &SelectScope<'_, '_>, select: &Select<'_>, depth: usize) -> Result<TranslatedSelect, Untranslatable> {
    let place = ScopeContext {
        statement: level.place.statement,
        parent: Some(level),
        withs: level.place.withs.clone(),
        depth: depth.max(level.place.depth) + 2,
    };
    select::select(&place, select)
}

/// The first column of the first row.
fn scalar(level: &SelectScope<'_, '_>, select: &Select<'_>, depth: usize) -> Result<TypedExpr, Untranslatable> {
    let selected = inner(level, select, depth)?;
    let [column] = selected.columns.as_slice() else {
        return Err(refuse("a subquery of several columns stands for a value"));
    };
    // PostgreSQL raises an error for a second row, which SQLite doesn't look at.
    let limit = if selected.single { "" } else { " LIMIT 1" };
    let sql = match (selected.single || !selected.limited, limit) {
        (true, limit) => format!("({}{limit})", selected.sql),
        (false, limit) => format!("(SELECT * FROM ({}) AS only{limit})", selected.sql),
    };
    let found = TypedExpr { atomic: true, collation: None, current_time: None, ..column.operand.clone() };
    Ok(TypedExpr { sql, ..found })
}

fn among(
    level: &SelectScope<'_, '_>,
    value: &TypedExpr,
    not: bool,
    selected: &TranslatedSelect,
) -> Result<TypedExpr, Untranslatable> {
    let [column] = selected.columns.as_slice() else {
        return Err(refuse("row values have no exact equivalent here"));
    };
    let alias = super::relations::free_name("q", &mut level.place.statement.taken.borrow_mut());
    let item = super::relations::under(&alias, &column.operand);
    // The collation is that of the left side alone.
    let item = TypedExpr { collation: None, ..item };
    let (left, right) = member(&NameScope::of_query(level), value, &item)?;
    let not = if not { "NOT " } else { "" };
    let sql = format!("{left} {not}IN (SELECT {right} FROM ({}) AS {alias})", selected.sql);
    Ok(TypedExpr::compound(sql, ExprType::Bool))
}

/// Where nothing but columns may stand.
pub(super) const PLAIN: AllowedConstructs =
    AllowedConstructs { aliases: false, aggregates: false, windows: false, notes: false };
