//! Translates WITH, including recursive common table expressions.

use std::rc::Rc;

use sqlite3_parser::ast::{
    CommonTableExpr, CompoundOperator, FromClause, Materialized, OneSelect, Select, SelectTable, With,
};

use super::{
    projection::{OutputColumn, same_when_equal},
    relations::{Relation, RelationColumn, RelationName, free_name},
    select::{self, in_common, joined, names},
    select_core::{self, SelectCore},
    select_scope::{CteList, ScopeContext},
};
use crate::rules::expression::{ExprType, IntegerRange, TypedExpr, Untranslatable, refuse, unquote};

/// How far a counter is taken to get in a query that reads itself: more steps than anybody waits for.
const STEPS: i128 = 1 << 52;

/// How much a counter may grow in one step.
const STEP_MAX: i128 = 1 << 20;

/// Rows that a query which reads itself is taken to have at most.
const ROWS: u64 = 1 << 32;

/// The queries that can be seen after the clause, and its SQL with a blank at the end.
pub(super) fn clause(place: &ScopeContext<'_>, with: Option<&With<'_>>) -> Result<(CteList, String), Untranslatable> {
    let Some(with) = with else { return Ok((place.withs.clone(), String::new())) };
    let mut withs = (*place.withs).clone();
    let mut parts = Vec::new();
    let mut recursive = false;
    for query in with.ctes {
        let place = ScopeContext { withs: Rc::new(withs.clone()), depth: place.depth + 2, ..place.clone() };
        let name = unquote(query.tbl_name.0).0;
        let quoted = free_name(&name, &mut place.statement.taken.borrow_mut());
        let reads_itself = reads_itself(query.select, &name);
        recursive |= reads_itself;
        let (sql, mut relation) =
            if reads_itself { own_rows(&place, query, &name, &quoted)? } else { plain(&place, query)? };
        let columns: Vec<&str> = relation.columns.iter().map(|column| column.operand.sql.as_str()).collect();
        let how = match query.materialized {
            Materialized::Any => "",
            Materialized::Yes => "MATERIALIZED ",
            Materialized::No => "NOT MATERIALIZED ",
        };
        parts.push(format!("{quoted} ({}) AS {how}({sql})", columns.join(", ")));
        relation.home = RelationName::Statement(quoted);
        withs.push((name, Rc::new(relation)));
    }
    let word = if recursive { "WITH RECURSIVE " } else { "WITH " };
    Ok((Rc::new(withs), format!("{word}{} ", parts.join(", "))))
}

/// Renames columns to the list after the query's name.
fn renamed(columns: Vec<RelationColumn>, query: &CommonTableExpr<'_>) -> Result<Vec<RelationColumn>, Untranslatable> {
    let Some(list) = query.columns else { return Ok(columns) };
    if list.len() != columns.len() {
        return Err(refuse("a WITH names more or fewer columns than its query has"));
    }
    let name = |column: &sqlite3_parser::ast::IndexedColumn<'_>| unquote(column.col_name.0).0;
    let outputs: Vec<OutputColumn> = list
        .iter()
        .zip(&columns)
        .map(|(wanted, column)| OutputColumn { name: name(wanted), operand: column.operand.clone() })
        .collect();
    let operands: Vec<TypedExpr> = columns.into_iter().map(|column| column.operand).collect();
    Ok(select::columns(&outputs, &operands, &names(outputs.iter())))
}

fn plain(place: &ScopeContext<'_>, query: &CommonTableExpr<'_>) -> Result<(String, Relation), Untranslatable> {
    let selected = select::select(place, query.select)?;
    let sql = selected.sql.clone();
    let relation = selected.relation();
    Ok((sql, Relation { columns: renamed(relation.columns, query)?, ..relation }))
}

/// Whether a SELECT after the first reads the query's own name.
fn reads_itself(select: &Select<'_>, name: &str) -> bool {
    select.body.compounds.iter().flatten().any(|compound| match &compound.select {
        OneSelect::Select { from: Some(from), .. } => mentions(from, name, 0),
        OneSelect::Select { .. } | OneSelect::Values(_) => false,
    })
}

fn mentions(from: &FromClause<'_>, name: &str, depth: usize) -> bool {
    if depth > 20 {
        return false;
    }
    let in_table = |table: &SelectTable<'_>| match table {
        SelectTable::Table(found, ..) => found.db_name.is_none() && unquote(found.name.0).0.eq_ignore_ascii_case(name),
        SelectTable::Sub(inner, _) => mentions(inner, name, depth + 1),
        SelectTable::TableCall(..) | SelectTable::Select(..) => false,
    };
    from.select.is_some_and(in_table) || from.joins.iter().flatten().any(|join| in_table(&join.table))
}

/// A query that reads itself: one SELECT to begin with, one that goes on.
fn own_rows(
    place: &ScopeContext<'_>,
    query: &CommonTableExpr<'_>,
    name: &str,
    quoted: &str,
) -> Result<(String, Relation), Untranslatable> {
    let select = query.select;
    let [step] = select.body.compounds.as_ref().map_or(&[][..], |compounds| compounds.as_slice()) else {
        return Err(refuse("a query that reads itself has more than two SELECTs"));
    };
    if select.with.is_some() || select.order_by.is_some() || select.limit.is_some() {
        return Err(refuse("a query that reads itself has WITH, ORDER BY or LIMIT of its own"));
    }
    let dedupes = match step.operator {
        CompoundOperator::Union => true,
        CompoundOperator::UnionAll => false,
        CompoundOperator::Except | CompoundOperator::Intersect => {
            return Err(refuse("a query that reads itself uses EXCEPT or INTERSECT"));
        }
    };
    let [first] = select_core::rows(place, &select.body.select)?
        .try_into()
        .map_err(|_| refuse("a query that reads itself begins with several rows of VALUES"))?;
    let mut assumed: Vec<TypedExpr> = first.outputs.iter().map(|output| output.operand.clone()).collect();
    // Each pass knows the types better; a third pass settles what the second found.
    for _ in 0..3 {
        let columns = columns_of(&first, &assumed, query)?;
        let relation = Relation {
            home: RelationName::Statement(quoted.to_owned()),
            columns,
            keys: Vec::new(),
            rows: ROWS,
            rowid: None,
        };
        let mut withs = (*place.withs).clone();
        withs.push((name.to_owned(), Rc::new(relation.clone())));
        let [second] = select_core::rows(&ScopeContext { withs: Rc::new(withs), ..place.clone() }, &step.select)?
            .try_into()
            .map_err(|_| refuse("a query that reads itself goes on with VALUES"))?;
        let [anchors, steps, next] = common(&first, &second, &assumed)?;
        if next.iter().zip(&assumed).all(|(next, assumed)| fits(assumed, next)) {
            if dedupes {
                anchors.iter().try_for_each(same_when_equal)?;
            }
            let names: Vec<String> = relation.columns.iter().map(|column| column.operand.sql.clone()).collect();
            let sql = format!(
                "{} {} {}",
                first.sql(&anchors, &names),
                select::word(step.operator),
                second.sql(&steps, &names)
            );
            return Ok((sql, relation));
        }
        assumed = next;
    }
    Err(refuse("the types of a query that reads itself change from step to step"))
}

/// The columns as the steps see them: counters may have come far.
fn columns_of(
    first: &SelectCore,
    assumed: &[TypedExpr],
    query: &CommonTableExpr<'_>,
) -> Result<Vec<RelationColumn>, Untranslatable> {
    let names = names(first.outputs.iter());
    let widened: Vec<TypedExpr> = assumed
        .iter()
        .map(|operand| {
            let kind = match operand.kind {
                ExprType::Int(range) => ExprType::Int(widened(range, STEPS)),
                kind => kind,
            };
            super::projection::emitted(operand).map(|emitted| TypedExpr { kind, ..emitted })
        })
        .collect::<Result<_, _>>()?;
    renamed(select::columns(&first.outputs, &widened, &names), query)
}

fn widened(range: IntegerRange, by: i128) -> IntegerRange {
    IntegerRange { least: range.least - by, most: range.most + by }
}

/// The anchor's and the step's values in common types, and what the columns are then.
fn common(
    first: &SelectCore,
    second: &SelectCore,
    assumed: &[TypedExpr],
) -> Result<[Vec<TypedExpr>; 3], Untranslatable> {
    if first.outputs.len() != second.outputs.len() {
        return Err(refuse("its SELECTs have different numbers of columns"));
    }
    let (mut anchors, mut steps, mut next) = (Vec::new(), Vec::new(), Vec::new());
    for ((one, other), assumed) in first.outputs.iter().zip(&second.outputs).zip(assumed) {
        let pair = [one.operand.clone(), other.operand.clone()];
        let made: [TypedExpr; 2] = in_common(&pair)?.try_into().map_err(|_| refuse("it can't be read"))?;
        let mut column = joined(&made[0], &pair);
        // A counter that stays within its steps keeps its first range.
        if let (ExprType::Int(range), ExprType::Int(known)) = (column.kind, assumed.kind)
            && within(range, widened(known, STEPS + STEP_MAX))
        {
            column.kind = ExprType::Int(known);
        }
        let [anchor, step] = made;
        anchors.push(anchor);
        steps.push(step);
        next.push(column);
    }
    Ok([anchors, steps, next])
}

fn within(inner: IntegerRange, outer: IntegerRange) -> bool {
    inner.least >= outer.least && inner.most <= outer.most
}

/// Whether the step gives what was assumed of the columns.
fn fits(assumed: &TypedExpr, next: &TypedExpr) -> bool {
    let same = match (assumed.kind, next.kind) {
        (ExprType::Int(one), ExprType::Int(other)) => one == other,
        (one, other) => std::mem::discriminant(&one) == std::mem::discriminant(&other),
    };
    same && assumed.vague == next.vague && (assumed.origin.is_none() || assumed.origin == next.origin)
}
