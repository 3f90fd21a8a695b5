//! Translates a whole SELECT: WITH, set operations, VALUES, ORDER BY, LIMIT.

use std::{collections::BTreeSet, rc::Rc};

use sqlite3_parser::ast::{
    CompoundOperator, Distinctness, Expr, Limit, Literal, OneSelect, Select, SelectBody, SortedColumn,
};

use super::{
    cte, order_by,
    projection::{OutputColumn, emitted, same_when_equal},
    relations::{Relation, RelationColumn, RelationName, free_name},
    select_core::{self, SelectCore},
    select_scope::{ScopeContext, SelectScope},
    subquery::PLAIN,
};
use crate::rules::expression::{TypedExpr, Untranslatable, Value, refuse, unify, unquote};

/// A translated SELECT.
#[derive(Debug, Clone)]
pub(in crate::rules) struct TranslatedSelect {
    pub sql: String,
    /// The columns, each by its name alone.
    pub columns: Vec<RelationColumn>,
    /// At most so many rows.
    pub rows: u64,
    /// At most one row.
    pub single: bool,
    /// It ends with LIMIT or OFFSET.
    pub limited: bool,
}

impl TranslatedSelect {
    /// What may be selected from it.
    pub(in crate::rules) fn relation(self) -> Relation {
        let home = RelationName::Statement(String::new());
        Relation { home, columns: self.columns, keys: Vec::new(), rows: self.rows, rowid: None }
    }
}

/// Translates a SELECT.
pub(in crate::rules) fn select(
    place: &ScopeContext<'_>,
    select: &Select<'_>,
) -> Result<TranslatedSelect, Untranslatable> {
    let (withs, head) = cte::clause(place, select.with.as_ref())?;
    let place = ScopeContext { withs, ..place.clone() };
    let terms = select.order_by.unwrap_or_default();
    let limit = select.limit.map(|limit| bounds(&place, limit)).transpose()?.unwrap_or_default();
    let limited = limit.sql().is_some();
    let sole = select.body.compounds.as_ref().is_none_or(sqlite3_parser::Vec::is_empty);
    let distinct = matches!(select.body.select, OneSelect::Select { distinctness: Some(Distinctness::Distinct), .. });
    let plain = sole && matches!(select.body.select, OneSelect::Select { .. });
    let mut selected = if plain && (!distinct || terms.is_empty()) {
        one(&select_core::core(&place, &select.body.select, terms, limited)?)?
    } else {
        let (made, wrapped) = combined(&place, &select.body)?;
        if terms.is_empty() { made } else { ordered(&place, made, &wrapped, terms, limited)? }
    };
    if let Some(limit) = limit.sql() {
        selected.sql.push_str(&limit);
    }
    if let Some(most) = limit.most {
        selected.rows = selected.rows.min(most);
    }
    selected.single |= limit.most.is_some_and(|most| most <= 1);
    selected.limited = limited;
    selected.sql = format!("{head}{}", selected.sql);
    Ok(selected)
}

/// Names for the columns that can be distinguished.
pub(in crate::rules) fn names<'o>(outputs: impl Iterator<Item = &'o OutputColumn>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    outputs.map(|output| free_name(&output.name, &mut taken)).collect()
}

/// The columns of a SELECT as those who read from it see them.
pub(in crate::rules) fn columns(
    outputs: &[OutputColumn],
    operands: &[TypedExpr],
    names: &[String],
) -> Vec<RelationColumn> {
    let column = |((output, operand), name): ((&OutputColumn, &TypedExpr), &String)| RelationColumn {
        source: output.name.clone(),
        operand: TypedExpr { sql: name.clone(), atomic: true, constant: None, current_time: None, ..operand.clone() },
    };
    outputs.iter().zip(operands).zip(names).map(column).collect()
}

fn one(core: &SelectCore) -> Result<TranslatedSelect, Untranslatable> {
    let operands = core.outputs.iter().map(|output| emitted(&output.operand)).collect::<Result<Vec<_>, _>>()?;
    if core.distinct {
        operands.iter().try_for_each(same_when_equal)?;
    }
    let names = names(core.outputs.iter());
    let mut sql = core.sql(&operands, &names);
    if !core.order.is_empty() {
        sql.push_str(&format!(" ORDER BY {}", core.order.join(", ")));
    }
    let columns = columns(&core.outputs, &operands, &names);
    Ok(TranslatedSelect { sql, columns, rows: core.rows, single: core.single, limited: false })
}

/// The results of the first SELECT as they are written, for ORDER BY.
pub(in crate::rules) type WrittenColumns<'b> = Vec<(String, Option<&'b Expr<'b>>)>;

/// Several SELECTs, or one whose rows have to be ordered from outside.
fn combined<'b>(
    place: &ScopeContext<'_>,
    body: &SelectBody<'b>,
) -> Result<(TranslatedSelect, WrittenColumns<'b>), Untranslatable> {
    let mut parts: Vec<(Option<CompoundOperator>, SelectCore)> = Vec::new();
    let first = select_core::rows(place, &body.select)?;
    parts
        .extend(first.into_iter().enumerate().map(|(at, core)| ((at > 0).then_some(CompoundOperator::UnionAll), core)));
    for compound in body.compounds.iter().flatten() {
        let rows = select_core::rows(place, &compound.select)?;
        let operator = |at| if at == 0 { compound.operator } else { CompoundOperator::UnionAll };
        // VALUES of several rows is one operand.
        if rows.len() > 1 && compound.operator != CompoundOperator::UnionAll {
            return Err(refuse("a set operation with VALUES of several rows"));
        }
        parts.extend(rows.into_iter().enumerate().map(|(at, core)| (Some(operator(at)), core)));
    }
    let written = written(&body.select);
    Ok((united(&parts)?, written))
}

fn written<'b>(select: &OneSelect<'b>) -> WrittenColumns<'b> {
    let OneSelect::Select { columns, .. } = select else { return Vec::new() };
    columns.iter().map(select_core::written).collect()
}

/// The parts of a compound query in common types.
fn united(parts: &[(Option<CompoundOperator>, SelectCore)]) -> Result<TranslatedSelect, Untranslatable> {
    let width = parts.first().map_or(0, |(_, core)| core.outputs.len());
    if parts.iter().any(|(_, core)| core.outputs.len() != width) {
        return Err(refuse("its SELECTs have different numbers of columns"));
    }
    let dedupes = parts.iter().any(|(operator, core)| {
        core.distinct || matches!(operator, Some(other) if *other != CompoundOperator::UnionAll)
    });
    let mut by_part: Vec<Vec<TypedExpr>> = vec![Vec::new(); parts.len()];
    let mut merged = Vec::new();
    for column in 0..width {
        let operands: Vec<TypedExpr> =
            parts.iter().filter_map(|(_, core)| Some(core.outputs.get(column)?.operand.clone())).collect();
        let emitted = in_common(&operands)?;
        if dedupes {
            emitted.iter().try_for_each(same_when_equal)?;
        }
        merged.extend(emitted.first().map(|first| joined(first, &operands)));
        for (part, operand) in by_part.iter_mut().zip(emitted) {
            part.push(operand);
        }
    }
    let Some((_, first)) = parts.first() else { return Err(refuse("its SQL can't be read")) };
    let names = names(first.outputs.iter());
    let mut sql = String::new();
    let mut rows = 0_u64;
    for ((operator, core), operands) in parts.iter().zip(&by_part) {
        let own = core.sql(operands, &names);
        sql = match operator {
            None => own,
            // From left to right, whatever binds tighter in PostgreSQL.
            Some(operator) => format!("({sql}) {} ({own})", word(*operator)),
        };
        rows = rows.saturating_add(core.rows);
    }
    let columns = columns(&first.outputs, &merged, &names);
    let single = parts.len() == 1 && first.single;
    Ok(TranslatedSelect { sql, columns, rows, single, limited: false })
}

pub(in crate::rules) const fn word(operator: CompoundOperator) -> &'static str {
    match operator {
        CompoundOperator::Union => "UNION",
        CompoundOperator::UnionAll => "UNION ALL",
        CompoundOperator::Except => "EXCEPT",
        CompoundOperator::Intersect => "INTERSECT",
    }
}

/// Values of one column in one type.
pub(in crate::rules) fn in_common(operands: &[TypedExpr]) -> Result<Vec<TypedExpr>, Untranslatable> {
    let first = operands.first().and_then(|operand| operand.origin.as_ref());
    if first.is_some() && operands.iter().all(|operand| operand.origin.as_ref() == first) {
        return operands.iter().map(emitted).collect();
    }
    let (branches, kind, narrow) = unify(operands)?;
    branches
        .into_iter()
        .zip(operands)
        .map(|(sql, operand)| {
            let made = TypedExpr { narrow, collation: operand.collation, ..TypedExpr::compound(sql, kind) };
            emitted(&made)
        })
        .collect()
}

/// A column of a compound query: its affinity is only known where all parts agree.
pub(in crate::rules) fn joined(emitted: &TypedExpr, operands: &[TypedExpr]) -> TypedExpr {
    let affinity = operands.first().and_then(|first| first.affinity);
    let agree = operands.iter().all(|operand| operand.affinity == affinity && !operand.vague);
    let mut column = emitted.clone();
    column.affinity = affinity;
    column.vague = !agree;
    // The range is that of all parts, which the common type has.
    column
}

/// Orders a query from outside, by its columns.
fn ordered<'b>(
    place: &ScopeContext<'_>,
    inner: TranslatedSelect,
    written: &WrittenColumns<'b>,
    terms: &[SortedColumn<'b>],
    exact: bool,
) -> Result<TranslatedSelect, Untranslatable> {
    let alias = free_name("q", &mut place.statement.taken.borrow_mut());
    let utf8 = place.statement.catalogue.utf8;
    let mut keys = Vec::new();
    for term in terms {
        let (expression, collation) = order_by::uncollated(&term.expr);
        let at = position(expression, &inner.columns, written)
            .ok_or_else(|| refuse("it orders by something that is no result"))?;
        let column = inner.columns.get(at).ok_or_else(|| refuse("it orders by a column that isn't there"))?;
        let mut operand = super::relations::under(&alias, &column.operand);
        operand.collation = collation.or(operand.collation);
        keys.push(order_by::term(&operand, term, utf8, exact)?);
    }
    let sql = format!("SELECT {alias}.* FROM ({}) AS {alias} ORDER BY {}", inner.sql, keys.join(", "));
    Ok(TranslatedSelect { sql, ..inner })
}

/// Which result a term of ORDER BY means.
fn position(expression: &Expr<'_>, columns: &[RelationColumn], written: &WrittenColumns<'_>) -> Option<usize> {
    if let Expr::Literal(Literal::Numeric(token)) = expression {
        return token.parse::<usize>().ok()?.checked_sub(1);
    }
    if let Expr::Id(id) = expression {
        let name = unquote(id.0).0;
        if let Some(at) = columns.iter().position(|column| column.source.eq_ignore_ascii_case(&name)) {
            return Some(at);
        }
    }
    written.iter().position(|(_, other)| other.is_some_and(|other| super::select_scope::equal(other, expression)))
}

/// LIMIT and OFFSET.
#[derive(Debug, Clone, Copy, Default)]
struct LimitBounds {
    most: Option<u64>,
    skipped: u64,
}

impl LimitBounds {
    fn sql(self) -> Option<String> {
        let most = self.most.map(|most| format!(" LIMIT {most}"));
        let skipped = (self.skipped > 0).then(|| format!(" OFFSET {}", self.skipped));
        (most.is_some() || skipped.is_some()).then(|| most.unwrap_or_default() + &skipped.unwrap_or_default())
    }
}

fn bounds(place: &ScopeContext<'_>, limit: &Limit<'_>) -> Result<LimitBounds, Untranslatable> {
    let level = SelectScope::new(ScopeContext { parent: None, withs: Rc::default(), ..place.clone() })?;
    let number = |expression: &Expr<'_>| match level.operand(expression, PLAIN)?.constant {
        Some(Value::Integer(number)) => Ok(number),
        _ => Err(refuse("LIMIT is no constant")),
    };
    let first = number(&limit.expr)?;
    let second = limit.offset.as_ref().map(number).transpose()?;
    let (most, skipped) = match second {
        Some(second) if place.statement.comma_limits => (second, first),
        second => (first, second.unwrap_or(0)),
    };
    // Negative: no limit, nothing skipped.
    Ok(LimitBounds { most: u64::try_from(most).ok(), skipped: u64::try_from(skipped).unwrap_or(0) })
}
