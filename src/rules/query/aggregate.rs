//! Aggregates. Sums are exact for integers only: SQLite adds floating point numbers with a correction that PostgreSQL
//! doesn't have, in an order that nobody promises.

use sqlite3_parser::ast::{Distinctness, Expr, FunctionCallOrder, SortedColumn};

use super::{
    order_by,
    projection::same_when_equal,
    select_scope::{Level, State},
};
use crate::rules::expression::{Collation, Kind, Operand, Range, Span, Untranslatable, Value, refuse, unquote};

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
pub(super) struct Written<'e, 'b> {
    pub name: String,
    pub distinct: bool,
    pub arguments: &'e [Expr<'b>],
    pub order: &'e [SortedColumn<'b>],
    pub filter: Option<&'e Expr<'b>>,
}

impl<'e, 'b> Written<'e, 'b> {
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
pub(super) fn call(level: &Level<'_, '_>, expression: &Expr<'_>) -> Result<Operand, Untranslatable> {
    if !level.state.get().aggregates {
        return Err(refuse("an aggregate function stands where none is allowed"));
    }
    level.aggregated.set(true);
    made(level, &Written::of(expression)?, "", State::default())
}

/// Translates an aggregate; `over` is the window, with OVER.
pub(super) fn made(
    level: &Level<'_, '_>,
    call: &Written<'_, '_>,
    over: &str,
    state: State,
) -> Result<Operand, Untranslatable> {
    let arguments =
        call.arguments.iter().map(|argument| level.operand(argument, state)).collect::<Result<Vec<_>, _>>()?;
    arguments.iter().try_for_each(Operand::uncollated)?;
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
            let span = sum.span().unwrap_or(Span::of_range(Range::all()));
            Ok(Operand::atom(format!("coalesce({}, 0)::double precision", sum.sql), Kind::Real(span)))
        }
        ("avg", [value]) => average(value, distinct, &tail),
        ("min" | "max", [value]) => extreme(level, &call.name, value, &tail),
        ("group_concat" | "string_agg", [value, rest @ ..]) => joined(level, call, value, rest.first(), &tail, state),
        (name, _) => Err(refuse(format!("the aggregate {name} has no exact equivalent"))),
    }
}

fn rows(level: &Level<'_, '_>) -> u64 {
    let sources = level.sources.borrow();
    let product = sources.iter().fold(1_u64, |rows, source| rows.saturating_mul(source.relation.rows.max(1)));
    product.min(ROWS_MAX)
}

fn counted(sql: String, rows: u64) -> Operand {
    Operand::atom(sql, Kind::Int(Range { least: 0, most: rows.into() }))
}

/// The range of a sum of so many numbers.
fn summed(range: Range, rows: u64) -> Range {
    let bound = |number: i128| number.saturating_mul(rows.into()).clamp(i64::MIN.into(), i64::MAX.into());
    Range { least: bound(range.least.min(0)), most: bound(range.most.max(0)) }
}

fn sum(value: &Operand, distinct: &str, tail: &str, rows: u64) -> Result<Operand, Untranslatable> {
    match (value.kind, value.range()) {
        (_, Some(range)) => {
            let sql = format!("(sum({distinct}{}){tail})::bigint", value.integer()?);
            Ok(Operand::atom(sql, Kind::Int(summed(range, rows))))
        }
        (Kind::Real(span), _) if span.fraction == 0 && !span.infinite && span.whole + digits(rows) <= DIGITS_EXACT => {
            let span = Span { whole: span.whole + digits(rows), ..span };
            Ok(Operand::atom(format!("sum({distinct}{}){tail}", value.sql), Kind::Real(span)))
        }
        (Kind::Real(_) | Kind::Double(_) | Kind::Numeric(_), _) => {
            Err(refuse("a sum or average of numbers with fractions is rounded otherwise in PostgreSQL"))
        }
        _ => Err(value.refusal("is summed up")),
    }
}

fn digits(rows: u64) -> u16 {
    u16::try_from(rows.max(1).ilog10()).unwrap_or(20) + 1
}

/// Of integers: their exact sum as a double by their number, as SQLite does it.
fn average(value: &Operand, distinct: &str, tail: &str) -> Result<Operand, Untranslatable> {
    let Some(range) = value.range() else {
        return Err(match value.kind {
            Kind::Real(_) | Kind::Double(_) | Kind::Numeric(_) => {
                refuse("a sum or average of numbers with fractions is rounded otherwise in PostgreSQL")
            }
            _ => value.refusal("is averaged"),
        });
    };
    let number = value.integer()?;
    let sql = format!("(sum({distinct}{number}){tail})::double precision / (count({distinct}{number}){tail})");
    let span = Span { whole: range.digits(), fraction: 20, infinite: false, integers: Range::point(0) };
    Ok(Operand::compound(sql, Kind::Real(span)))
}

fn extreme(level: &Level<'_, '_>, name: &str, value: &Operand, tail: &str) -> Result<Operand, Untranslatable> {
    let binary = value.collation.is_none_or(|(collation, _)| collation == Collation::Binary);
    let argument = match value.kind {
        Kind::Bool => value.integer()?,
        Kind::Int(_)
        | Kind::Real(_)
        | Kind::Double(_)
        | Kind::Numeric(_)
        | Kind::Date
        | Kind::Stamp
        | Kind::Epoch(_) => value.sql.clone(),
        Kind::Text if binary && level.place.statement.catalogue.utf8 => format!("{} COLLATE \"C\"", value.arg()),
        _ => return Err(value.refusal(&format!("is given to {name}()"))),
    };
    let kind = value.range().map_or(value.kind, Kind::Int);
    Ok(Operand { narrow: value.is_narrow(), ..Operand::atom(format!("{name}({argument}){tail}"), kind) })
}

/// `group_concat(value, separator ORDER BY ...)`. Without an order both sides are free to choose one.
fn joined(
    level: &Level<'_, '_>,
    call: &Written<'_, '_>,
    value: &Operand,
    separator: Option<&Operand>,
    tail: &str,
    state: State,
) -> Result<Operand, Untranslatable> {
    let comma = Operand::constant(Value::Text(",".to_owned()));
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
    Ok(Operand::atom(sql, Kind::Text))
}
