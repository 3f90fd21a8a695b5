//! Translates functions of numbers.

use super::{
    Untranslatable,
    literal::Value,
    refuse,
    typed_expr::{ExprType, IntegerRange, NumberBounds, TypedExpr},
};

/// Whether a function is one of these.
pub(super) fn is_one(name: &str) -> bool {
    matches!(name, "abs" | "round" | "sign")
}

/// `name(arguments)`.
pub(super) fn call(name: &str, arguments: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    match (name, arguments) {
        ("abs", [value]) => absolute(value),
        ("round", [value]) => rounded(value),
        ("round", [value, places]) if places.constant == Some(Value::Integer(0)) => rounded(value),
        ("round", [_, _]) => {
            Err(refuse("round() to a number of places rounds decimals in PostgreSQL, doubles in SQLite"))
        }
        ("sign", [value]) => sign(value),
        _ => Err(refuse(format!("the function {name} with these arguments has no exact equivalent"))),
    }
}

fn absolute(value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    match value.kind {
        ExprType::Null => Ok(TypedExpr::constant(Value::Null)),
        ExprType::Int(range) if range.least > i64::MIN.into() => {
            let range = IntegerRange { least: 0, most: range.least.abs().max(range.most.abs()) };
            Ok(TypedExpr::atom(format!("abs({})", value.wide()), ExprType::Int(range)))
        }
        kind @ (ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_)) => {
            Ok(TypedExpr::atom(format!("abs({})", value.sql()), kind))
        }
        _ => Err(value.refusal("is given to abs()")),
    }
}

/// Half away from zero, never -0.0; beyond 2^52 there are no halves.
fn rounded(value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    if value.is_null() {
        return Ok(TypedExpr::constant(Value::Null));
    }
    let Some(span) = value.span() else { return Err(value.refusal("is given to round()")) };
    let number = value.double()?;
    let half = format!("CASE WHEN {number} < 0 THEN -0.5 ELSE 0.5 END");
    let sql = format!(
        "CASE WHEN abs({number}) > 4503599627370496 THEN {number} \
         ELSE trunc({number} + ({half})::double precision) + '0'::double precision END"
    );
    let span =
        NumberBounds { whole: span.whole.saturating_add(1), fraction: 0, integers: IntegerRange::point(0), ..span };
    Ok(TypedExpr::compound(sql, ExprType::Real(span)))
}

fn sign(value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    let number = match value.kind {
        ExprType::Null => return Ok(TypedExpr::constant(Value::Null)),
        ExprType::Int(_) => format!("{}::numeric", value.arg()),
        ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_) => value.sql().to_owned(),
        _ => return Err(value.refusal("is given to sign()")),
    };
    let sql = format!("sign({number})::integer");
    Ok(TypedExpr { narrow: true, ..TypedExpr::atom(sql, ExprType::Int(IntegerRange { least: -1, most: 1 })) })
}
