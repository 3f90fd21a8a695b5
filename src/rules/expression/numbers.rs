//! Functions of numbers.

use super::{
    Untranslatable,
    literal::Value,
    refuse,
    typed_expr::{Kind, Operand, Range, Span},
};

/// Whether a function is one of these.
pub(super) fn is_one(name: &str) -> bool {
    matches!(name, "abs" | "round" | "sign")
}

/// `name(arguments)`.
pub(super) fn call(name: &str, arguments: &[Operand]) -> Result<Operand, Untranslatable> {
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

fn absolute(value: &Operand) -> Result<Operand, Untranslatable> {
    match value.kind {
        Kind::Null => Ok(Operand::constant(Value::Null)),
        Kind::Int(range) if range.least > i64::MIN.into() => {
            let range = Range { least: 0, most: range.least.abs().max(range.most.abs()) };
            Ok(Operand::atom(format!("abs({})", value.wide()), Kind::Int(range)))
        }
        kind @ (Kind::Real(_) | Kind::Double(_) | Kind::Numeric(_)) => {
            Ok(Operand::atom(format!("abs({})", value.sql()), kind))
        }
        _ => Err(value.refusal("is given to abs()")),
    }
}

/// Half away from zero, never -0.0; beyond 2^52 there are no halves.
fn rounded(value: &Operand) -> Result<Operand, Untranslatable> {
    if value.is_null() {
        return Ok(Operand::constant(Value::Null));
    }
    let Some(span) = value.span() else { return Err(value.refusal("is given to round()")) };
    let number = value.double()?;
    let half = format!("CASE WHEN {number} < 0 THEN -0.5 ELSE 0.5 END");
    let sql = format!(
        "CASE WHEN abs({number}) > 4503599627370496 THEN {number} \
         ELSE trunc({number} + ({half})::double precision) + '0'::double precision END"
    );
    let span = Span { whole: span.whole.saturating_add(1), fraction: 0, integers: Range::point(0), ..span };
    Ok(Operand::compound(sql, Kind::Real(span)))
}

fn sign(value: &Operand) -> Result<Operand, Untranslatable> {
    let number = match value.kind {
        Kind::Null => return Ok(Operand::constant(Value::Null)),
        Kind::Int(_) => format!("{}::numeric", value.arg()),
        Kind::Real(_) | Kind::Double(_) | Kind::Numeric(_) => value.sql().to_owned(),
        _ => return Err(value.refusal("is given to sign()")),
    };
    let sql = format!("sign({number})::integer");
    Ok(Operand { narrow: true, ..Operand::atom(sql, Kind::Int(Range { least: -1, most: 1 })) })
}
