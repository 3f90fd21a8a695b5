//! Translates window functions.

use sqlite3_parser::ast::{Expr, FrameBound, FrameClause, FrameExclude, FrameMode, FunctionTail, Over, Window};

use super::{
    aggregate::{self, AggregateCall, is_aggregate},
    order_by,
    projection::same_when_equal,
    select_scope::{AllowedConstructs, SelectScope},
};
use crate::rules::expression::{
    ExprType, IntegerRange, NumberBounds, TypedExpr, Untranslatable, Value, refuse, unify, unquote,
};

/// Translates a call with OVER.
pub(super) fn call(level: &SelectScope<'_, '_>, expression: &Expr<'_>) -> Result<TypedExpr, Untranslatable> {
    let (Expr::FunctionCall { filter_over: Some(tail), .. } | Expr::FunctionCallStar { filter_over: Some(tail), .. }) =
        expression
    else {
        return Err(refuse("it can't be read"));
    };
    let state = level.state.get();
    if !state.windows {
        return Err(refuse("a window function stands where none is allowed"));
    }
    let inner = AllowedConstructs { windows: false, aliases: false, ..state };
    let over = format!(" OVER ({})", definition(level, tail, inner)?);
    let call = AggregateCall::of(expression)?;
    if is_aggregate(&call.name, call.arguments.len()) {
        return aggregate::made(level, &call, &over, inner);
    }
    if call.filter.is_some() || call.distinct {
        return Err(refuse("a window function has a filter"));
    }
    let arguments =
        call.arguments.iter().map(|argument| level.operand(argument, inner)).collect::<Result<Vec<_>, _>>()?;
    arguments.iter().try_for_each(TypedExpr::uncollated)?;
    function(&call.name, &arguments, &over)
}

fn function(name: &str, arguments: &[TypedExpr], over: &str) -> Result<TypedExpr, Untranslatable> {
    let counting = ExprType::Int(IntegerRange { least: 0, most: 1 << 53 });
    let share =
        ExprType::Real(NumberBounds { whole: 1, fraction: 20, infinite: false, integers: IntegerRange::point(0) });
    match (name, arguments) {
        ("row_number" | "rank" | "dense_rank", []) => Ok(TypedExpr::atom(format!("{name}(){over}"), counting)),
        ("percent_rank" | "cume_dist", []) => Ok(TypedExpr::atom(format!("{name}(){over}"), share)),
        ("ntile", [count]) => {
            let count = positive(count)?;
            Ok(TypedExpr { narrow: true, ..TypedExpr::atom(format!("ntile({count}){over}"), counting) })
        }
        ("first_value" | "last_value", [value]) => picked(value, &format!("{name}({}){over}", value.sql)),
        ("nth_value", [value, place]) => {
            picked(value, &format!("nth_value({}, {}){over}", value.sql, positive(place)?))
        }
        ("lag" | "lead", [value]) => picked(value, &format!("{name}({}){over}", value.sql)),
        ("lag" | "lead", [value, offset]) => {
            picked(value, &format!("{name}({}, {}){over}", value.sql, not_negative(offset)?))
        }
        ("lag" | "lead", [value, offset, otherwise]) => {
            let (branches, kind, narrow) = unify(&[value.clone(), otherwise.clone()])?;
            let [value, otherwise] = branches.as_slice() else { return Err(refuse("it can't be read")) };
            // A constant has to be of the same type as the value.
            let cast = match kind {
                ExprType::Int(_) => "::bigint",
                ExprType::Text => "::text",
                ExprType::Numeric(_) => "::numeric",
                _ => "",
            };
            let offset = not_negative(offset)?;
            let sql = format!("{name}({value}{cast}, {offset}, {otherwise}{cast}){over}");
            Ok(TypedExpr { narrow: narrow && cast.is_empty(), ..TypedExpr::atom(sql, kind) })
        }
        _ => Err(refuse(format!("the window function {name} has no exact equivalent"))),
    }
}

/// The value of another row.
fn picked(value: &TypedExpr, sql: &str) -> Result<TypedExpr, Untranslatable> {
    match value.kind {
        ExprType::Null | ExprType::ClassOf(_) => Err(value.refusal("is given to a window function")),
        ExprType::Text if value.constant.is_some() => Err(refuse("a constant is given to a window function")),
        kind => Ok(TypedExpr { narrow: value.narrow, origin: value.origin.clone(), ..TypedExpr::atom(sql, kind) }),
    }
}

fn number(operand: &TypedExpr) -> Result<i32, Untranslatable> {
    match operand.constant {
        Some(Value::Integer(number)) => {
            i32::try_from(number).map_err(|_| refuse("a number of a window function is too large"))
        }
        _ => Err(refuse("a number of a window function is no constant")),
    }
}

fn positive(operand: &TypedExpr) -> Result<i32, Untranslatable> {
    number(operand).and_then(|number| if number > 0 { Ok(number) } else { Err(refuse("a window function of no row")) })
}

fn not_negative(operand: &TypedExpr) -> Result<i32, Untranslatable> {
    number(operand)
        .and_then(|number| if number >= 0 { Ok(number) } else { Err(refuse("a window function looks backwards")) })
}

/// What stands in the parentheses after OVER.
fn definition(
    level: &SelectScope<'_, '_>,
    tail: &FunctionTail<'_>,
    state: AllowedConstructs,
) -> Result<String, Untranslatable> {
    match tail.over_clause {
        Some(Over::Window(window)) => window_sql(level, window, state),
        Some(Over::Name(name)) => {
            let name = unquote(name.0).0;
            let named = level.windows.borrow().iter().find(|(own, _)| own.eq_ignore_ascii_case(&name)).cloned();
            let (_, window) = named.ok_or_else(|| refuse("it names a window that isn't there"))?;
            window_sql(level, window, state)
        }
        None => Err(refuse("it can't be read")),
    }
}

fn window_sql(
    level: &SelectScope<'_, '_>,
    window: &Window<'_>,
    state: AllowedConstructs,
) -> Result<String, Untranslatable> {
    if window.base.is_some() {
        return Err(refuse("a window is made from another window"));
    }
    let mut parts = Vec::new();
    let mut keys = Vec::new();
    for expression in window.partition_by.unwrap_or_default() {
        let operand = level.operand(expression, state)?;
        operand.uncollated()?;
        same_when_equal(&operand)?;
        keys.push(operand.arg());
    }
    if !keys.is_empty() {
        parts.push(format!("PARTITION BY {}", keys.join(", ")));
    }
    let mut terms = Vec::new();
    for term in window.order_by.unwrap_or_default() {
        let (expression, collation) = order_by::uncollated(&term.expr);
        let mut operand = level.operand(expression, state)?;
        operand.collation = collation.or(operand.collation);
        terms.push(order_by::term(&operand, term, level.place.statement.catalogue.utf8, true)?);
    }
    if !terms.is_empty() {
        parts.push(format!("ORDER BY {}", terms.join(", ")));
    }
    if let Some(frame) = &window.frame_clause {
        parts.push(frame_sql(level, frame)?);
    }
    Ok(parts.join(" "))
}

fn frame_sql(level: &SelectScope<'_, '_>, frame: &FrameClause<'_>) -> Result<String, Untranslatable> {
    let mode = match frame.mode {
        FrameMode::Groups => "GROUPS",
        FrameMode::Range => "RANGE",
        FrameMode::Rows => "ROWS",
    };
    let bound = |bound: &FrameBound<'_>| {
        let rows = |expression: &Expr<'_>| {
            if frame.mode == FrameMode::Range {
                return Err(refuse("a RANGE frame of a distance"));
            }
            not_negative(&level.operand(expression, AllowedConstructs::default())?)
        };
        Ok(match bound {
            FrameBound::CurrentRow => "CURRENT ROW".to_owned(),
            FrameBound::Following(count) => format!("{} FOLLOWING", rows(count)?),
            FrameBound::Preceding(count) => format!("{} PRECEDING", rows(count)?),
            FrameBound::UnboundedFollowing => "UNBOUNDED FOLLOWING".to_owned(),
            FrameBound::UnboundedPreceding => "UNBOUNDED PRECEDING".to_owned(),
        })
    };
    let range = match &frame.end {
        Some(end) => format!("{mode} BETWEEN {} AND {}", bound(&frame.start)?, bound(end)?),
        None => format!("{mode} {}", bound(&frame.start)?),
    };
    let excluded = match frame.exclude {
        None | Some(FrameExclude::NoOthers) => "",
        Some(FrameExclude::CurrentRow) => " EXCLUDE CURRENT ROW",
        Some(FrameExclude::Group) => " EXCLUDE GROUP",
        Some(FrameExclude::Ties) => " EXCLUDE TIES",
    };
    Ok(range + excluded)
}
