//! Subqueries in expressions.

use sqlite3_parser::ast::{Expr, Select};

use super::{
    select::{self, Selected},
    select_scope::{Level, Place, State},
};
use crate::rules::expression::{Kind, Operand, Scope, Untranslatable, member, refuse};

/// Translates a subquery, EXISTS, or IN over a subquery.
pub(super) fn part(level: &Level<'_, '_>, expression: &Expr<'_>, depth: usize) -> Result<Operand, Untranslatable> {
    match expression {
        Expr::Subquery(select) => scalar(level, select, depth),
        Expr::Exists(select) => {
            let selected = inner(level, select, depth)?;
            Ok(Operand::atom(format!("EXISTS ({})", selected.sql), Kind::Bool))
        }
        Expr::InSelect { lhs, not, rhs } => {
            let value = level.operand(lhs, level.state.get())?;
            among(level, &value, *not, &inner(level, rhs, depth)?)
        }
        _ => Err(refuse("IN names a table")),
    }
}

fn inner(level: &Level<'_, '_>, select: &Select<'_>, depth: usize) -> Result<Selected, Untranslatable> {
    let place = Place {
        statement: level.place.statement,
        parent: Some(level),
        withs: level.place.withs.clone(),
        depth: depth.max(level.place.depth) + 2,
    };
    select::select(&place, select)
}

/// The first column of the first row.
fn scalar(level: &Level<'_, '_>, select: &Select<'_>, depth: usize) -> Result<Operand, Untranslatable> {
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
    let found = Operand { atomic: true, collation: None, moment: None, ..column.operand.clone() };
    Ok(Operand { sql, ..found })
}

fn among(level: &Level<'_, '_>, value: &Operand, not: bool, selected: &Selected) -> Result<Operand, Untranslatable> {
    let [column] = selected.columns.as_slice() else {
        return Err(refuse("row values have no exact equivalent here"));
    };
    let alias = super::relations::free_name("q", &mut level.place.statement.taken.borrow_mut());
    let item = super::relations::under(&alias, &column.operand);
    // The collation is that of the left side alone.
    let item = Operand { collation: None, ..item };
    let (left, right) = member(&Scope::of_query(level), value, &item)?;
    let not = if not { "NOT " } else { "" };
    let sql = format!("{left} {not}IN (SELECT {right} FROM ({}) AS {alias})", selected.sql);
    Ok(Operand::compound(sql, Kind::Bool))
}

/// Where nothing but columns may stand.
pub(super) const PLAIN: State = State { aliases: false, aggregates: false, windows: false, notes: false };
