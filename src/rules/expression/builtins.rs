//! Functions of SQLite with an exact equivalent in PostgreSQL (docs/conversion-rules.md, section 5.2).

use super::{
    Untranslatable, arithmetic, compare,
    compare::Comparison,
    datetime_functions, like_glob,
    literal::Value,
    name_resolution::Scope,
    numbers, random, refuse, strings,
    typed_expr::{Collation, Kind, Operand, Range, unify},
};
use crate::model::{PgType, source_schema::Affinity};

/// `name(arguments)`.
pub(super) fn call(scope: &Scope<'_>, name: &str, arguments: &[Operand]) -> Result<Operand, Untranslatable> {
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

fn coalesce(arguments: &[Operand]) -> Result<Operand, Untranslatable> {
    let (branches, kind, narrow) = unify(arguments)?;
    Ok(Operand { narrow, ..Operand::atom(format!("coalesce({})", branches.join(", ")), kind) })
}

fn nullif(scope: &Scope<'_>, value: &Operand, other: &Operand) -> Result<Operand, Untranslatable> {
    if value.is_null() {
        return Ok(Operand::constant(Value::Null));
    }
    if matches!(value.kind, Kind::Opaque(_) | Kind::Json | Kind::Written) {
        return Err(value.refusal("is given to nullif()"));
    }
    // The arguments of a function are compared without affinity; the collation is that of a column on the left.
    let equal = compare::compare(scope, Comparison::Equals, &value.clone().plain(), &other.clone().plain())?;
    let sql = format!("CASE WHEN {} THEN NULL ELSE {} END", equal.condition()?, value.arg());
    Ok(Operand { narrow: value.narrow, ..Operand::compound(sql, value.kind) })
}

fn choose(condition: &Operand, then: &Operand, otherwise: Option<&Operand>) -> Result<Operand, Untranslatable> {
    let null = Operand::constant(Value::Null);
    let (branches, kind, narrow) = unify(&[then.clone(), otherwise.unwrap_or(&null).clone()])?;
    let sql = format!("CASE WHEN {} THEN {} END", condition.condition()?, branches.join(" ELSE "));
    Ok(Operand { narrow, ..Operand::compound(sql, kind) })
}

/// `min(a, b)` and `max(a, b)` are NULL if one argument is; `least` and `greatest` pass over NULL.
fn extreme(scope: &Scope<'_>, name: &str, arguments: &[Operand]) -> Result<Operand, Untranslatable> {
    let (mut branches, kind, narrow) = unify(arguments)?;
    let binary = arguments.iter().all(|one| one.collation.is_none_or(|(collation, _)| collation == Collation::Binary));
    if kind == Kind::Text && binary && scope.utf8() {
        branches = branches.into_iter().map(|branch| format!("({branch} COLLATE \"C\")")).collect();
    } else if !matches!(kind, Kind::Int(_) | Kind::Real(_) | Kind::Double(_) | Kind::Numeric(_) | Kind::Date) {
        return Err(refuse(format!("{name} of values that are no numbers has no exact equivalent")));
    }
    let nulls: Vec<String> = branches.iter().map(|branch| format!("{branch} IS NULL")).collect();
    let function = if name == "min" { "least" } else { "greatest" };
    let sql = format!("CASE WHEN {} THEN NULL ELSE {function}({}) END", nulls.join(" OR "), branches.join(", "));
    Ok(Operand { narrow, ..Operand::compound(sql, kind) })
}

fn class_of(value: &Operand) -> Result<Operand, Untranslatable> {
    match (value.class, &value.constant) {
        (Some(class), Some(_)) => Ok(Operand::constant(Value::Text(class.to_owned()))),
        (Some(class), None) => Ok(Operand::atom(value.arg(), Kind::ClassOf(class))),
        (None, _) => Err(value.refusal("is given to typeof()")),
    }
}

fn json_valid(value: &Operand) -> Result<Operand, Untranslatable> {
    match value.kind {
        // The type admits nothing else.
        Kind::Json => Ok(Operand {
            never_false: true,
            ..Operand::compound(format!("{} IS NOT NULL OR NULL", value.arg()), Kind::Bool)
        }),
        Kind::Int(_) | Kind::Null => Err(value.refusal("is given to json_valid()")),
        _ => Err(refuse("json_valid() of a column that is no JSON type needs PostgreSQL 16")),
    }
}

/// 0 for JSON that is no array.
fn json_array_length(value: &Operand) -> Result<Operand, Untranslatable> {
    let prefix = match (&value.kind, &value.origin) {
        (Kind::Json, Some((PgType::Jsonb, _))) => "jsonb",
        (Kind::Json, Some((PgType::Json, _))) => "json",
        _ => return Err(value.refusal("is given to json_array_length()")),
    };
    let sql = value.arg();
    let length = format!("WHEN {prefix}_typeof({sql}) = 'array' THEN {prefix}_array_length({sql})");
    let range = Range { least: 0, most: 1 << 30 };
    let sql = format!("CASE WHEN {sql} IS NULL THEN NULL {length} ELSE 0 END");
    Ok(Operand { narrow: true, ..Operand::compound(sql, Kind::Int(range)) })
}

/// `CAST(value AS INTEGER)` for callers that have an operand.
pub(super) fn to_integer(value: Operand) -> Result<Operand, Untranslatable> {
    arithmetic::cast(value, "INTEGER").map(|found| Operand { affinity: Some(Affinity::Integer), ..found })
}
