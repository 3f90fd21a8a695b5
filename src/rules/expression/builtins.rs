//! Translates functions of SQLite with an exact equivalent in PostgreSQL (docs/conversion-rules.md, section 5.2).

use super::{
    Untranslatable, arithmetic, compare,
    compare::Comparison,
    datetime_functions, like_glob,
    literal::Value,
    name_resolution::NameScope,
    numbers, random, refuse, strings,
    typed_expr::{Collation, ExprType, IntegerRange, TypedExpr, unify},
};
use crate::model::{PgType, source_schema::Affinity};

/// `name(arguments)`.
pub(super) fn call(scope: &NameScope<'_>, name: &str, arguments: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    let name = name.to_ascii_lowercase();
    if arguments.iter().any(|argument| argument.uncollated().is_err()) {
        return Err(refuse("COLLATE inside an expression has no exact equivalent"));
    }
    match (name.as_str(), arguments) {
        ("coalesce", [_, _, ..]) | ("ifnull", [_, _]) => coalesce(arguments),
        ("nullif", [value, other]) => nullif(scope, value, other),
        ("iif" | "if", [condition, then, rest @ ..]) if rest.len() <= 1 => choose(condition, then, rest.first()),
        ("min" | "max", [_, _, ..]) => extreme(scope, &name, arguments),
        ("typeof", [value]) => class_of(value),
        ("json_valid", [value]) => json_valid(value),
        ("json_array_length", [value]) => json_array_length(value),
        ("likely" | "unlikely", [value]) | ("likelihood", [value, _]) => Ok(value.clone().plain()),
        ("like", [pattern, value]) => like_glob::like(value, false, pattern, None),
        ("like", [pattern, value, escape]) => like_glob::like(value, false, pattern, Some(escape)),
        ("glob", [pattern, value]) => like_glob::glob(value, false, pattern),
        ("date" | "time" | "datetime" | "strftime" | "unixepoch" | "julianday", _) => {
            datetime_functions::call(scope, &name, arguments)
        }
        ("random" | "randomblob", _) if scope.is_default() => random::call(&name, arguments),
        (_, arguments) if numbers::is_one(&name) => numbers::call(&name, arguments),
        (_, arguments) if strings::is_one(&name) => strings::call(scope, &name, arguments),
        _ => Err(refuse(format!("the function {name} with these arguments has no exact equivalent"))),
    }
}

fn coalesce(arguments: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    let (branches, kind, narrow) = unify(arguments)?;
    Ok(TypedExpr { narrow, ..TypedExpr::atom(format!("coalesce({})", branches.join(", ")), kind) })
}

fn nullif(scope: &NameScope<'_>, value: &TypedExpr, other: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    if value.is_null() {
        return Ok(TypedExpr::constant(Value::Null));
    }
    if matches!(value.kind, ExprType::Opaque(_) | ExprType::Json | ExprType::Written) {
        return Err(value.refusal("is given to nullif()"));
    }
    // The arguments of a function are compared without affinity; the collation is that of a column on the left.
    let equal = compare::compare(scope, Comparison::Equals, &value.clone().plain(), &other.clone().plain())?;
    let sql = format!("CASE WHEN {} THEN NULL ELSE {} END", equal.condition()?, value.arg());
    Ok(TypedExpr { narrow: value.narrow, ..TypedExpr::compound(sql, value.kind) })
}

fn choose(condition: &TypedExpr, then: &TypedExpr, otherwise: Option<&TypedExpr>) -> Result<TypedExpr, Untranslatable> {
    let null = TypedExpr::constant(Value::Null);
    let (branches, kind, narrow) = unify(&[then.clone(), otherwise.unwrap_or(&null).clone()])?;
    let sql = format!("CASE WHEN {} THEN {} END", condition.condition()?, branches.join(" ELSE "));
    Ok(TypedExpr { narrow, ..TypedExpr::compound(sql, kind) })
}

/// `min(a, b)` and `max(a, b)` are NULL if one argument is; `least` and `greatest` pass over NULL.
fn extreme(scope: &NameScope<'_>, name: &str, arguments: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    let (mut branches, kind, narrow) = unify(arguments)?;
    let binary = arguments.iter().all(|one| one.collation.is_none_or(|(collation, _)| collation == Collation::Binary));
    if kind == ExprType::Text && binary && scope.utf8() {
        branches = branches.into_iter().map(|branch| format!("({branch} COLLATE \"C\")")).collect();
    } else if !matches!(
        kind,
        ExprType::Int(_) | ExprType::Real(_) | ExprType::Double(_) | ExprType::Numeric(_) | ExprType::Date
    ) {
        return Err(refuse(format!("{name} of values that are no numbers has no exact equivalent")));
    }
    let nulls: Vec<String> = branches.iter().map(|branch| format!("{branch} IS NULL")).collect();
    let function = if name == "min" { "least" } else { "greatest" };
    let sql = format!("CASE WHEN {} THEN NULL ELSE {function}({}) END", nulls.join(" OR "), branches.join(", "));
    Ok(TypedExpr { narrow, ..TypedExpr::compound(sql, kind) })
}

fn class_of(value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    match (value.class, &value.constant) {
        (Some(class), Some(_)) => Ok(TypedExpr::constant(Value::Text(class.to_owned()))),
        (Some(class), None) => Ok(TypedExpr::atom(value.arg(), ExprType::ClassOf(class))),
        (None, _) => Err(value.refusal("is given to typeof()")),
    }
}

fn json_valid(value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    match value.kind {
        // The type admits nothing else.
        ExprType::Json => Ok(TypedExpr {
            never_false: true,
            ..TypedExpr::compound(format!("{} IS NOT NULL OR NULL", value.arg()), ExprType::Bool)
        }),
        ExprType::Int(_) | ExprType::Null => Err(value.refusal("is given to json_valid()")),
        _ => Err(refuse("json_valid() of a column that is no JSON type needs PostgreSQL 16")),
    }
}

/// 0 for JSON that is no array.
fn json_array_length(value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    let prefix = match (&value.kind, &value.origin) {
        (ExprType::Json, Some((PgType::Jsonb, _))) => "jsonb",
        (ExprType::Json, Some((PgType::Json, _))) => "json",
        _ => return Err(value.refusal("is given to json_array_length()")),
    };
    let sql = value.arg();
    let length = format!("WHEN {prefix}_typeof({sql}) = 'array' THEN {prefix}_array_length({sql})");
    let range = IntegerRange { least: 0, most: 1 << 30 };
    let sql = format!("CASE WHEN {sql} IS NULL THEN NULL {length} ELSE 0 END");
    Ok(TypedExpr { narrow: true, ..TypedExpr::compound(sql, ExprType::Int(range)) })
}

/// `CAST(value AS INTEGER)` for callers that have an operand.
pub(super) fn to_integer(value: TypedExpr) -> Result<TypedExpr, Untranslatable> {
    arithmetic::cast(value, "INTEGER").map(|found| TypedExpr { affinity: Some(Affinity::Integer), ..found })
}
