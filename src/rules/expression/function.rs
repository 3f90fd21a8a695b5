//! Functions of SQLite with an exact equivalent in PostgreSQL (rule book, 5.2).

use super::{
    Untranslatable, arithmetic, compare,
    compare::Comparison,
    literal::Value,
    moment,
    operand::{Kind, Operand, Range, unify},
    pattern, random, refuse,
    scope::Scope,
};
use crate::model::source_schema::Affinity;

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
        ("min" | "max", [_, _, ..]) => extreme(&name, arguments),
        ("abs", [value]) => absolute(value),
        ("typeof", [value]) => class_of(value),
        ("length", [value]) => length(value),
        ("octet_length", [value]) if value.kind == Kind::Blob => Ok(count(format!("octet_length({})", value.sql()))),
        ("lower" | "upper", [value]) => fold_case(&name, value),
        ("substr" | "substring", [value, start]) => substring(value, start, None),
        ("substr" | "substring", [value, start, length]) => substring(value, start, Some(length)),
        ("trim" | "ltrim" | "rtrim", [value]) => trim(&name, value, None),
        ("trim" | "ltrim" | "rtrim", [value, set]) => trim(&name, value, Some(set)),
        // A value that is no text comes back as it is where nothing is looked for.
        ("replace", [value, from, to]) if matches!(value.kind, Kind::Text | Kind::Null) => {
            Ok(texts(&format!("replace({}, {}, {})", value.text()?, from.text()?, to.text()?), &[value, from, to]))
        }
        ("instr", [value, part]) if both(value, part, Kind::Text) => {
            Ok(count(format!("strpos({}, {})", value.text()?, part.text()?)))
        }
        ("hex", [value]) => hex(value),
        ("json_valid", [value]) => json_valid(value),
        ("likely" | "unlikely", [value]) | ("likelihood", [value, _]) => Ok(value.clone().plain()),
        ("like", [pattern, value]) => pattern::like(value, false, pattern, None),
        ("like", [pattern, value, escape]) => pattern::like(value, false, pattern, Some(escape)),
        ("glob", [pattern, value]) => pattern::glob(value, false, pattern),
        ("date" | "time" | "datetime" | "strftime" | "unixepoch" | "julianday", _) => {
            moment::call(scope, &name, arguments)
        }
        ("random" | "randomblob", _) if scope.is_default() => random::call(&name, arguments),
        _ => Err(refuse(format!("the function {name} with these arguments has no exact equivalent"))),
    }
}

fn count(sql: String) -> Operand {
    let range = Range { least: 0, most: i32::MAX.into() };
    Operand { narrow: true, ..Operand::atom(sql, Kind::Int(range)) }
}

fn both(one: &Operand, other: &Operand, kind: Kind) -> bool {
    one.kind == kind && other.kind == kind
}

/// A function of texts: NULL where an argument is the literal NULL.
fn texts(sql: &str, arguments: &[&Operand]) -> Operand {
    if arguments.iter().any(|argument| argument.is_null()) {
        return Operand::constant(Value::Null);
    }
    Operand::atom(sql, Kind::Text)
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
fn extreme(name: &str, arguments: &[Operand]) -> Result<Operand, Untranslatable> {
    let (branches, kind, narrow) = unify(arguments)?;
    if !matches!(kind, Kind::Int(_) | Kind::Real(_) | Kind::Double(_) | Kind::Numeric(_) | Kind::Date) {
        return Err(refuse(format!("{name} of values that are no numbers has no exact equivalent")));
    }
    let nulls: Vec<String> = branches.iter().map(|branch| format!("{branch} IS NULL")).collect();
    let function = if name == "min" { "least" } else { "greatest" };
    let sql = format!("CASE WHEN {} THEN NULL ELSE {function}({}) END", nulls.join(" OR "), branches.join(", "));
    Ok(Operand { narrow, ..Operand::compound(sql, kind) })
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

fn class_of(value: &Operand) -> Result<Operand, Untranslatable> {
    match (value.class, &value.constant) {
        (Some(class), Some(_)) => Ok(Operand::constant(Value::Text(class.to_owned()))),
        (Some(class), None) => Ok(Operand::atom(value.arg(), Kind::ClassOf(class))),
        (None, _) => Err(value.refusal("is given to typeof()")),
    }
}

fn length(value: &Operand) -> Result<Operand, Untranslatable> {
    match value.kind {
        Kind::Null => Ok(Operand::constant(Value::Null)),
        Kind::Blob => Ok(count(format!("octet_length({})", value.sql()))),
        Kind::Text | Kind::Written | Kind::Int(_) => Ok(count(format!("length({})", value.text()?))),
        _ => Err(value.refusal("is given to length()")),
    }
}

/// Under "C" only A to Z are folded, as SQLite does without ICU.
fn fold_case(name: &str, value: &Operand) -> Result<Operand, Untranslatable> {
    match value.kind {
        Kind::Text | Kind::Written => Ok(Operand::atom(format!("{name}({} COLLATE \"C\")", value.arg()), Kind::Text)),
        _ => Err(value.refusal(&format!("is given to {name}()"))),
    }
}

fn substring(value: &Operand, start: &Operand, length: Option<&Operand>) -> Result<Operand, Untranslatable> {
    const INEXACT: &str = "substr() with such arguments has no exact equivalent";
    let known = |operand: &Operand| match operand.constant {
        Some(Value::Integer(number)) => i32::try_from(number).map_err(|_| refuse(INEXACT)),
        _ => Err(refuse(INEXACT)),
    };
    let (start, length) = (known(start)?, length.map(known).transpose()?);
    // Of a blob: SQLite gives NULL for an empty one.
    let sql = match value.kind {
        Kind::Text | Kind::Written | Kind::Int(_) => value.text()?,
        _ => return Err(value.refusal("is given to substr()")),
    };
    let sql = match (start, length) {
        (1.., None) => format!("substr({sql}, {start})"),
        (1.., Some(length @ 0..)) => format!("substr({sql}, {start}, {length})"),
        // From the end; a text that is shorter is taken whole on both sides.
        (..=-1, None) => format!("right({sql}, {})", start.unsigned_abs()),
        _ => return Err(refuse(INEXACT)),
    };
    Ok(Operand::atom(sql, Kind::Text))
}

fn trim(name: &str, value: &Operand, set: Option<&Operand>) -> Result<Operand, Untranslatable> {
    let function = if name == "trim" { "btrim" } else { name };
    let sql = match set {
        None => format!("{function}({}, ' ')", value.text()?),
        Some(set) if set.kind == Kind::Text => format!("{function}({}, {})", value.text()?, set.text()?),
        Some(set) => return Err(set.refusal(&format!("is given to {name}()"))),
    };
    Ok(texts(&sql, &[value]))
}

/// `hex(NULL)` is the empty text.
fn hex(value: &Operand) -> Result<Operand, Untranslatable> {
    match value.kind {
        Kind::Blob => Ok(Operand::atom(format!("coalesce(upper(encode({}, 'hex')), '')", value.sql()), Kind::Text)),
        _ => Err(value.refusal("is given to hex()")),
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

/// `CAST(value AS INTEGER)` for callers that have an operand.
pub(super) fn to_integer(value: Operand) -> Result<Operand, Untranslatable> {
    arithmetic::cast(value, "INTEGER").map(|found| Operand { affinity: Some(Affinity::Integer), ..found })
}
