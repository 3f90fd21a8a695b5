//! Translates aggregates. Sums are exact for integers only: SQLite adds floating point numbers with a correction that
//! PostgreSQL doesn't have, in an order that nobody promises.

use sqlite3_parser::ast::{Distinctness, Expr, FunctionCallOrder, SortedColumn};

use super::{
    order_by,
    projection::same_when_equal,
    select_scope::{AllowedConstructs, SelectScope},
};
use crate::rules::expression::{
    Collation, ExprType, IntegerRange, NumberBounds, TypedExpr, Untranslatable, Value, refuse, unquote,
};

/// More rows than any table has.
const ROWS_MAX: u64 = 1 << 53;

/// Digits that a double holds exactly.
const DIGITS_EXACT: u16 = 15;

/// Whether a function of so many arguments is an aggregate.
pub(super) fn is_aggregate(name: &str, arguments: usize) -> bool {
    match name {
        "count" => arguments <= 1,
        "sum" | "total" | "avg" | "min" | "max" | "json_group_array" | "jsonb_group_array" => arguments == 1,
        "group_concat" => arguments == 1 || arguments == 2,
        "string_agg" | "json_group_object" | "jsonb_group_object" => arguments == 2,
        _ => false,
    }
}

/// A call of an aggregate, as it is written.
#[derive(Debug)]
pub(super) struct AggregateCall<'e, 'b> {
    pub name: String,
    pub distinct: bool,
    pub arguments: &'e [Expr<'b>],
    pub order: &'e [SortedColumn<'b>],
    pub filter: Option<&'e Expr<'b>>,
}

impl<'e, 'b> AggregateCall<'e, 'b> {
    /// Reads a function call.
    pub(super) fn of(expression: &'e Expr<'b>) -> Result<Self, Untranslatable> {
        match expression {
            Expr::FunctionCall { name, distinctness, args, order_by, filter_over } => Ok(Self {
                name: unquote(name.0).0.to_ascii_lowercase(),
                distinct: *distinctness == Some(Distinctness::Distinct),
                arguments: args.unwrap_or_default(),
                order: order_by.as_ref().map_or(&[], |FunctionCallOrder::SortList(terms)| terms),
                filter: filter_over.as_ref().and_then(|tail| tail.filter_clause),
            }),
            Expr::FunctionCallStar { name, filter_over } => Ok(Self {
                name: unquote(name.0).0.to_ascii_lowercase(),
                distinct: false,
                arguments: &[],
                order: &[],
                filter: filter_over.as_ref().and_then(|tail| tail.filter_clause),
            }),
            _ => Err(refuse("it can't be read")),
        }
    }
}

/// Translates an aggregate of the rows of a group.
pub(super) fn call(level: &SelectScope<'_, '_>, expression: &Expr<'_>) -> Result<TypedExpr, Untranslatable> {
    if !level.state.get().aggregates {
        return Err(refuse("an aggregate function stands where none is allowed"));
    }
    level.aggregated.set(true);
    made(level, &AggregateCall::of(expression)?, "", AllowedConstructs::default())
}

/// Translates an aggregate; `over` is the window, with OVER.
pub(super) fn made(
    level: &SelectScope<'_, '_>,
    call: &AggregateCall<'_, '_>,
    over: &str,
    state: AllowedConstructs,
) -> Result<TypedExpr, Untranslatable> {
    let arguments =
        call.arguments.iter().map(|argument| level.operand(argument, state)).collect::<Result<Vec<_>, _>>()?;
    arguments.iter().try_for_each(TypedExpr::uncollated)?;
    if !call.order.is_empty() && call.name != "group_concat" && call.name != "string_agg" && call.name != "count" {
        return Err(refuse("an aggregate has an order of its own"));
    }
    let filter = match call.filter {
        Some(condition) => format!(" FILTER (WHERE {})", level.condition(condition, state)?),
        None => String::new(),
    };
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    if call.distinct {
        arguments.iter().try_for_each(same_when_equal)?;
    }
    let rows = rows(level);
    let tail = format!("{filter}{over}");
    match (call.name.as_str(), arguments.as_slice()) {
        ("count", []) => Ok(counted(format!("count(*){tail}"), rows)),
        ("count", [value]) => {
            let value = if value.is_null() { "NULL::text".to_owned() } else { value.sql.clone() };
            Ok(counted(format!("count({distinct}{value}){tail}"), rows))
        }
        ("sum", [value]) => sum(value, distinct, &tail, rows),
        ("total", [value]) => {
            let sum = sum(value, distinct, &tail, rows)?;
            let span = sum.span().unwrap_or(NumberBounds::of_range(IntegerRange::all()));
            Ok(TypedExpr::atom(format!("coalesce({}, 0)::double precision", sum.sql), ExprType::Real(span)))
        }
        ("avg", [value]) => average(value, distinct, &tail),
        ("min" | "max", [value]) => extreme(level, &call.name, value, &tail),
        ("group_concat" | "string_agg", [value, rest @ ..]) => joined(level, call, value, rest.first(), &tail, state),
        (name, _) => Err(refuse(format!("the aggregate {name} has no exact equivalent"))),
    }
}

fn rows(level: &SelectScope<'_, '_>) -> u64 {
    let sources = level.sources.borrow();
    let product = sources.iter().fold(1_u64, |rows, source| rows.saturating_mul(source.relation.rows.max(1)));
    product.min(ROWS_MAX)
}

fn counted(sql: String, rows: u64) -> TypedExpr {
    TypedExpr::atom(sql, ExprType::Int(IntegerRange { least: 0, most: rows.into() }))
}

/// The range of a sum of so many numbers.
fn summed(range: IntegerRange, rows: u64) -> IntegerRange {
    let bound = |number: i128| number.saturating_mul(rows.into()).clamp(i64::MIN.into(), i64::MAX.into());
    IntegerRange { least: bound(range.least.min(0)), most: bound(range.most.max(0)) }
}

fn sum(value: &TypedExpr, distinct: &str, tail: &str, rows: u64) -> Result<TypedExpr, Untranslatable> {
    match (value.kind, value.range()) {
        (_, Some(range)) => {
            let sql = format!("(sum({distinct}{}){tail})::bigint", value.integer()?);
            Ok(TypedExpr::atom(sql, ExprType::Int(summed(range, rows))))
        }
        (ExprType::Real(span), _)
            if span.fraction == 0 && !span.infinite && span.whole + digits(rows) <= DIGITS_EXACT =>
        {
            let span = NumberBounds { whole: span.whole + digits(rows), ..span };
            Ok(TypedExpr::atom(format!("sum({distinct}{}){tail}", value.sql), ExprType::Real(span)))
        }
        (ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_), _) => {
            Err(refuse("a sum or average of numbers with fractions is rounded otherwise in PostgreSQL"))
        }
        _ => Err(value.refusal("is summed up")),
    }
}

fn digits(rows: u64) -> u16 {
    u16::try_from(rows.max(1).ilog10()).unwrap_or(20) + 1
}

/// Of integers: their exact sum as a double by their number, as SQLite does it.
fn average(value: &TypedExpr, distinct: &str, tail: &str) -> Result<TypedExpr, Untranslatable> {
    let Some(range) = value.range() else {
        return Err(match value.kind {
            ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_) => {
                refuse("a sum or average of numbers with fractions is rounded otherwise in PostgreSQL")
            }
            _ => value.refusal("is averaged"),
        });
    };
    let number = value.integer()?;
    let sql = format!("(sum({distinct}{number}){tail})::double precision / (count({distinct}{number}){tail})");
    let span = NumberBounds { whole: range.digits(), fraction: 20, infinite: false, integers: IntegerRange::point(0) };
    Ok(TypedExpr::compound(sql, ExprType::Real(span)))
}

fn extreme(
    level: &SelectScope<'_, '_>,
    name: &str,
    value: &TypedExpr,
    tail: &str,
) -> Result<TypedExpr, Untranslatable> {
    let binary = value.collation.is_none_or(|(collation, _)| collation == Collation::Binary);
    let argument = match value.kind {
        ExprType::Bool => value.integer()?,
        ExprType::Int(_)
        | ExprType::Real(_)
        | ExprType::Double(_)
        | ExprType::Numeric(_)
        | ExprType::Date
        | ExprType::Stamp
        | ExprType::Epoch(_) => value.sql.clone(),
        ExprType::Text if binary && level.place.statement.catalogue.utf8 => format!("{} COLLATE \"C\"", value.arg()),
        _ => return Err(value.refusal(&format!("is given to {name}()"))),
    };
    let kind = value.range().map_or(value.kind, ExprType::Int);
    Ok(TypedExpr { narrow: value.is_narrow(), ..TypedExpr::atom(format!("{name}({argument}){tail}"), kind) })
}

/// `group_concat(value, separator ORDER BY ...)`. Without an order both sides are free to choose one.
fn joined(
    level: &SelectScope<'_, '_>,
    call: &AggregateCall<'_, '_>,
    value: &TypedExpr,
    separator: Option<&TypedExpr>,
    tail: &str,
    state: AllowedConstructs,
) -> Result<TypedExpr, Untranslatable> {
    let comma = TypedExpr::constant(Value::Text(",".to_owned()));
    let separator = separator.unwrap_or(&comma);
    if separator.constant.is_none() || separator.is_null() {
        return Err(refuse("the separator of group_concat() is no constant"));
    }
    let mut terms = Vec::new();
    for term in call.order {
        let (expression, collation) = order_by::uncollated(&term.expr);
        let mut operand = level.operand(expression, state)?;
        operand.collation = collation.or(operand.collation);
        terms.push(order_by::term(&operand, term, level.place.statement.catalogue.utf8, true)?);
    }
    if call.distinct && !terms.is_empty() {
        return Err(refuse("group_concat(DISTINCT) has an order of its own"));
    }
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let order = if terms.is_empty() { String::new() } else { format!(" ORDER BY {}", terms.join(", ")) };
    let sql = format!("string_agg({distinct}{}, {}{order}){tail}", value.text()?, separator.text()?);
    Ok(TypedExpr::atom(sql, ExprType::Text))
}
