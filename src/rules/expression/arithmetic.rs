//! Translates arithmetic, CAST and `||`. Whether an operation is exact follows from the numbers that occur: integers
//! must not leave 64 bits (SQLite goes on in floating point, PostgreSQL raises an error), doubles must not overflow or
//! underflow (PostgreSQL raises an error).

use sqlite3_parser::ast::Operator;

use super::{
    Untranslatable,
    literal::{Value, numeric_text, stored},
    refuse,
    typed_expr::{ExprType, IntegerRange, NumberBounds, TypedExpr},
};
use crate::{model::source_schema::Affinity, rules::affinity};

/// Digits before and after the point up to which products and quotients of doubles stay far from their limits.
const DIGITS_MAX: u16 = 300;

/// `left operator right` for arithmetic and bit operators.
pub(super) fn binary(operator: Operator, left: &TypedExpr, right: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    left.uncollated()?;
    right.uncollated()?;
    if left.is_null() || right.is_null() {
        return Ok(TypedExpr::constant(Value::Null));
    }
    let (left, right) = (as_number(left)?, as_number(right)?);
    match (left.range(), right.range()) {
        (Some(one), Some(other)) => integers(operator, &left, one, &right, other),
        _ => doubles(operator, &left, &right),
    }
}

/// Text that is an integer by its making (`strftime('%s')`) counts as that integer.
fn as_number(operand: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    match (&operand.kind, &operand.constant, &operand.current_time) {
        (ExprType::Text, Some(Value::Text(text)), _) => match numeric_text(text) {
            Some(value) => Ok(TypedExpr::constant(value)),
            None => Err(refuse("arithmetic with a text")),
        },
        (ExprType::Text, None, Some(current_time)) if current_time.is_digits() => {
            Ok(TypedExpr::atom(format!("{}::bigint", operand.arg()), ExprType::Int(current_time.range())))
        }
        _ => Ok(operand.clone()),
    }
}

fn integers(
    operator: Operator,
    left: &TypedExpr,
    one: IntegerRange,
    right: &TypedExpr,
    other: IntegerRange,
) -> Result<TypedExpr, Untranslatable> {
    let range = result_range(operator, one, other)
        .filter(|range| range.least >= i64::MIN.into() && range.most <= i64::MAX.into())
        .ok_or_else(|| refuse("the result may leave 64 bits, or the operator is not exact"))?;
    if let (Some(Value::Integer(one)), Some(Value::Integer(other))) = (&left.constant, &right.constant)
        && let Some(value) = fold(operator, *one, *other)
    {
        return Ok(TypedExpr::constant(value));
    }
    if matches!(operator, Operator::LeftShift | Operator::RightShift) {
        let sql = format!("{}::bigint {} {}::integer", left.integer()?, symbol(operator)?, right.integer()?);
        return Ok(TypedExpr::compound(sql, ExprType::Int(range)));
    }
    let (mut one, mut other) = (left.integer()?, right.integer()?);
    // Shorter integers would overflow where 64 bits don't.
    if left.is_narrow() && right.is_narrow() && left.constant.is_none() {
        one = format!("{one}::bigint");
    } else if left.is_narrow() && right.is_narrow() {
        other = format!("{other}::bigint");
    }
    let divides = matches!(operator, Operator::Divide | Operator::Modulus);
    if divides && !matches!(right.constant, Some(Value::Integer(number)) if number != 0) {
        // SQLite gives NULL for a division by zero.
        other = format!("nullif({other}, 0)");
    }
    Ok(TypedExpr::compound(format!("{one} {} {other}", symbol(operator)?), ExprType::Int(range)))
}

/// The integers that can come out; `None` where the operator isn't exact for these.
fn result_range(operator: Operator, one: IntegerRange, other: IntegerRange) -> Option<IntegerRange> {
    let corners = |apply: fn(i128, i128) -> i128| {
        let found =
            [(one.least, other.least), (one.least, other.most), (one.most, other.least), (one.most, other.most)]
                .map(|(left, right)| apply(left, right));
        let least = found.iter().copied().min()?;
        Some(IntegerRange { least, most: found.iter().copied().max()? })
    };
    match operator {
        Operator::Add => corners(|left, right| left + right),
        Operator::Subtract => corners(|left, right| left - right),
        Operator::Multiply => corners(i128::saturating_mul),
        Operator::Divide => {
            let most = one.least.abs().max(one.most.abs());
            Some(IntegerRange { least: if one.least >= 0 && other.least >= 0 { 0 } else { -most }, most })
        }
        Operator::Modulus => {
            let most = (other.least.abs().max(other.most.abs()) - 1).max(0);
            Some(IntegerRange { least: if one.least < 0 { -most } else { 0 }, most })
        }
        Operator::BitwiseAnd | Operator::BitwiseOr => Some(IntegerRange::all()),
        // PostgreSQL takes the distance modulo 64, SQLite shifts everything out, and a negative distance the other way.
        Operator::LeftShift | Operator::RightShift if other.least >= 0 && other.most < 64 => Some(IntegerRange::all()),
        _ => None,
    }
}

fn fold(operator: Operator, one: i64, other: i64) -> Option<Value> {
    let value = match operator {
        Operator::Add => one.checked_add(other)?,
        Operator::Subtract => one.checked_sub(other)?,
        Operator::Multiply => one.checked_mul(other)?,
        Operator::Divide => one.checked_div(other)?,
        Operator::Modulus => one.checked_rem(other)?,
        _ => return None,
    };
    Some(Value::Integer(value))
}

fn symbol(operator: Operator) -> Result<&'static str, Untranslatable> {
    match operator {
        Operator::Add => Ok("+"),
        Operator::Subtract => Ok("-"),
        Operator::Multiply => Ok("*"),
        Operator::Divide => Ok("/"),
        Operator::Modulus => Ok("%"),
        Operator::BitwiseAnd => Ok("&"),
        Operator::BitwiseOr => Ok("|"),
        Operator::LeftShift => Ok("<<"),
        Operator::RightShift => Ok(">>"),
        _ => Err(refuse("an operator has no exact equivalent")),
    }
}

fn doubles(operator: Operator, left: &TypedExpr, right: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    let (Some(one), Some(other)) = (left.span(), right.span()) else {
        let wrong = if left.span().is_none() { left } else { right };
        return Err(wrong.refusal("is calculated with"));
    };
    if one.infinite || other.infinite {
        return Err(refuse("arithmetic with infinities"));
    }
    let real = |operand: &TypedExpr| matches!(operand.kind, ExprType::Real(_));
    let surely_real = real(left) || real(right);
    let (whole, fraction) = match operator {
        Operator::Add | Operator::Subtract => (one.whole.max(other.whole) + 1, one.fraction.max(other.fraction)),
        Operator::Multiply => (one.whole + other.whole, one.fraction + other.fraction),
        Operator::Divide if surely_real => (one.whole + other.fraction, one.fraction + other.whole),
        Operator::Divide => return Err(refuse("a division may be one of integers or not, row by row")),
        _ => return Err(refuse("SQLite cuts the fraction off before this operator")),
    };
    if whole > DIGITS_MAX || fraction > DIGITS_MAX {
        return Err(refuse("the result may leave the range of floating point numbers"));
    }
    // Two cells that happen to be INTEGER are calculated with in 64 bits: the same only within 2^53.
    let integers = result_range(operator, one.integers, other.integers).filter(|range| range.fits_double());
    let integers = match integers {
        Some(range) => range,
        None if surely_real => IntegerRange::point(0),
        None => return Err(refuse("integers beyond 2^53 may come out, which SQLite calculates exactly")),
    };
    let span = NumberBounds { whole, fraction, infinite: false, integers };
    let (one, mut other) = (left.double()?, right.double()?);
    if operator == Operator::Divide && !matches!(right.constant, Some(Value::Real(number)) if number != 0.0) {
        other = format!("nullif({other}, 0)");
    }
    let kind = if surely_real { ExprType::Real(span) } else { ExprType::Double(span) };
    Ok(TypedExpr::compound(format!("{one} {} {other}", symbol(operator)?), kind))
}

/// `-operand`.
pub(super) fn negate(operand: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    operand.uncollated()?;
    match (&operand.constant, operand.kind) {
        (Some(Value::Integer(number)), _) if *number != i64::MIN => Ok(TypedExpr::constant(Value::Integer(-number))),
        (Some(Value::Real(number)), _) => Ok(TypedExpr::constant(Value::Real(-number))),
        (_, ExprType::Null) => Ok(TypedExpr::constant(Value::Null)),
        (_, ExprType::Int(range)) if range.least > i64::MIN.into() => {
            let range = IntegerRange { least: -range.most, most: -range.least };
            Ok(TypedExpr::compound(format!("-{}", operand.wide()), ExprType::Int(range)))
        }
        (_, ExprType::Bool) => Ok(TypedExpr::compound(
            format!("-({})", operand.integer()?),
            ExprType::Int(IntegerRange { least: -1, most: 0 }),
        )),
        // SQLite subtracts from 0, which makes no -0.0.
        (_, kind @ (ExprType::Real(_) | ExprType::Double(_))) => {
            Ok(TypedExpr::compound(format!("'0'::double precision - {}", operand.arg()), kind))
        }
        (_, kind @ ExprType::Numeric(_)) => Ok(TypedExpr::compound(format!("-{}", operand.arg()), kind)),
        _ => Err(operand.refusal("is negated")),
    }
}

/// `~operand`.
pub(super) fn invert(operand: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    operand.uncollated()?;
    if operand.is_null() {
        return Ok(TypedExpr::constant(Value::Null));
    }
    Ok(TypedExpr::compound(format!("~{}::bigint", operand.integer()?), ExprType::Int(IntegerRange::all())))
}

/// `a || b || ...`.
pub(super) fn concatenate(operands: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    let mut parts = Vec::new();
    let mut joined = Some(String::new());
    for operand in operands {
        operand.uncollated()?;
        parts.push(operand.text()?);
        joined = match (joined, operand.constant.clone().map(|value| stored(value, Affinity::Text))) {
            (Some(joined), Some(Value::Text(text))) => Some(joined + &text),
            _ => None,
        };
    }
    match joined {
        Some(text) => Ok(TypedExpr::constant(Value::Text(text))),
        None => Ok(TypedExpr::compound(parts.join(" || "), ExprType::Text)),
    }
}

/// `CAST(operand AS name)`.
pub(super) fn cast(operand: TypedExpr, name: &str) -> Result<TypedExpr, Untranslatable> {
    operand.uncollated()?;
    let affinity = affinity::of(name, false);
    let found = match affinity {
        _ if operand.is_null() => operand,
        Affinity::Integer => to_integer(&operand)?,
        Affinity::Real => to_real(&operand)?,
        Affinity::Numeric => to_numeric(operand)?,
        Affinity::Text if operand.kind == ExprType::Text => operand,
        Affinity::Text => match operand.constant.clone() {
            Some(value @ (Value::Integer(_) | Value::Real(_))) => TypedExpr::constant(stored(value, Affinity::Text)),
            _ => TypedExpr::compound(operand.text()?, ExprType::Text),
        },
        Affinity::Blob if operand.kind == ExprType::Blob => operand,
        Affinity::Blob => return Err(operand.refusal("is cast to a blob")),
    };
    Ok(TypedExpr { affinity: Some(affinity), ..found })
}

fn to_integer(operand: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    match (operand.kind, operand.span()) {
        (ExprType::Int(_), _) => Ok(operand.clone()),
        (ExprType::Bool, _) => Ok(TypedExpr {
            narrow: true,
            ..TypedExpr::atom(operand.integer()?, ExprType::Int(IntegerRange { least: 0, most: 1 }))
        }),
        (ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_), Some(span))
            if span.whole <= 18 && !span.infinite =>
        {
            let most = 10_i128.pow(span.whole.into());
            let range = IntegerRange { least: -most, most };
            Ok(TypedExpr::atom(format!("trunc({})::bigint", operand.sql()), ExprType::Int(range)))
        }
        (ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_), Some(_)) => {
            let number = operand.arg();
            let sql = format!(
                "CASE WHEN {number} >= 9223372036854775807 THEN 9223372036854775807 \
                 WHEN {number} <= -9223372036854775808 THEN '-9223372036854775808'::bigint \
                 ELSE trunc({number})::bigint END"
            );
            Ok(TypedExpr::compound(sql, ExprType::Int(IntegerRange::all())))
        }
        (ExprType::Text, _) => match as_number(operand)? {
            found if matches!(found.kind, ExprType::Int(_)) => Ok(found),
            _ => Err(operand.refusal("is cast to an integer")),
        },
        _ => Err(operand.refusal("is cast to an integer")),
    }
}

fn to_real(operand: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    match (operand.kind, &operand.constant) {
        (ExprType::Real(_), _) => Ok(operand.clone()),
        (_, Some(value @ Value::Integer(_))) => Ok(TypedExpr::constant(stored(value.clone(), Affinity::Real))),
        (ExprType::Bool | ExprType::Int(_) | ExprType::Double(_) | ExprType::Numeric(_), _) => {
            let span = operand.span().unwrap_or(NumberBounds::of_range(IntegerRange::all()));
            // The cast of a 64-bit integer rounds to the nearest double on both sides.
            let sql = match operand.kind {
                ExprType::Int(_) => format!("{}::double precision", operand.arg()),
                _ => operand.double()?,
            };
            Ok(TypedExpr::atom(sql, ExprType::Real(span)))
        }
        _ => Err(operand.refusal("is cast to a floating point number")),
    }
}

/// INTEGER and REAL stay what they are.
fn to_numeric(operand: TypedExpr) -> Result<TypedExpr, Untranslatable> {
    match operand.kind {
        ExprType::Int(_) | ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_) => Ok(operand),
        ExprType::Bool => to_integer(&operand),
        _ => Err(operand.refusal("is cast to a number")),
    }
}
