//! Translates functions of texts and blobs.

use super::{
    Untranslatable,
    literal::Value,
    name_resolution::NameScope,
    printf, refuse,
    typed_expr::{ExprType, IntegerRange, TypedExpr},
};

/// More characters than a PostgreSQL value has.
const LENGTH_MAX: i128 = 1 << 30;

/// Whether a function is one of these.
pub(super) fn is_one(name: &str) -> bool {
    matches!(
        name,
        "length"
            | "octet_length"
            | "lower"
            | "upper"
            | "substr"
            | "substring"
            | "trim"
            | "ltrim"
            | "rtrim"
            | "replace"
            | "instr"
            | "hex"
            | "char"
            | "unicode"
            | "quote"
            | "concat"
            | "printf"
            | "format"
    )
}

/// `name(arguments)`.
pub(super) fn call(scope: &NameScope<'_>, name: &str, arguments: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    match (name, arguments) {
        ("length", [value]) => length(value),
        ("octet_length", [value]) => bytes(scope, value),
        ("lower" | "upper", [value]) => fold_case(name, value),
        ("substr" | "substring", [value, start]) => substring(value, start, None),
        ("substr" | "substring", [value, start, length]) => substring(value, start, Some(length)),
        ("trim" | "ltrim" | "rtrim", [value]) => trim(name, value, None),
        ("trim" | "ltrim" | "rtrim", [value, set]) => trim(name, value, Some(set)),
        // A value that is no text comes back as it is where nothing is looked for.
        ("replace", [value, from, to]) if matches!(value.kind, ExprType::Text | ExprType::Null) => {
            Ok(texts(&format!("replace({}, {}, {})", value.text()?, from.text()?, to.text()?), &[value, from, to]))
        }
        ("instr", [value, part]) if value.kind == ExprType::Text && part.kind == ExprType::Text => {
            Ok(count(format!("strpos({}, {})", value.text()?, part.text()?)))
        }
        ("hex", [value]) => hex(scope, value),
        ("char", characters) => constant_characters(characters),
        ("unicode", [value]) => first_character(value),
        ("quote", [value]) => quoted(value),
        ("concat", values @ [_, ..]) => joined(values),
        ("printf" | "format", [text, values @ ..]) => printf::call(text, values),
        _ => Err(refuse(format!("the function {name} with these arguments has no exact equivalent"))),
    }
}

fn count(sql: String) -> TypedExpr {
    TypedExpr { narrow: true, ..TypedExpr::atom(sql, ExprType::Int(IntegerRange { least: 0, most: LENGTH_MAX })) }
}

/// A function of texts: NULL where an argument is the literal NULL.
fn texts(sql: &str, arguments: &[&TypedExpr]) -> TypedExpr {
    if arguments.iter().any(|argument| argument.is_null()) {
        return TypedExpr::constant(Value::Null);
    }
    TypedExpr::atom(sql, ExprType::Text)
}

fn length(value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    match value.kind {
        ExprType::Null => Ok(TypedExpr::constant(Value::Null)),
        ExprType::Blob => Ok(count(format!("octet_length({})", value.sql()))),
        ExprType::Text | ExprType::Written | ExprType::Int(_) => Ok(count(format!("length({})", value.text()?))),
        _ => Err(value.refusal("is given to length()")),
    }
}

fn bytes(scope: &NameScope<'_>, value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    match value.kind {
        ExprType::Null => Ok(TypedExpr::constant(Value::Null)),
        ExprType::Blob => Ok(count(format!("octet_length({})", value.sql()))),
        ExprType::Text | ExprType::Written | ExprType::Int(_) if scope.utf8() => {
            Ok(count(format!("octet_length({})", value.text()?)))
        }
        _ => Err(value.refusal("is given to octet_length()")),
    }
}

/// Under "C" only A to Z are folded, as SQLite does without ICU.
fn fold_case(name: &str, value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    match value.kind {
        ExprType::Null => Ok(TypedExpr::constant(Value::Null)),
        ExprType::Text | ExprType::Written => {
            Ok(TypedExpr::atom(format!("{name}({} COLLATE \"C\")", value.arg()), ExprType::Text))
        }
        ExprType::Int(_) => Ok(TypedExpr::compound(value.text()?, ExprType::Text)),
        _ => Err(value.refusal(&format!("is given to {name}()"))),
    }
}

/// PostgreSQL counts places before the first character as SQLite does, but has no negative places and lengths.
fn substring(value: &TypedExpr, start: &TypedExpr, length: Option<&TypedExpr>) -> Result<TypedExpr, Untranslatable> {
    if value.is_null() || start.is_null() || length.is_some_and(TypedExpr::is_null) {
        return Ok(TypedExpr::constant(Value::Null));
    }
    // Of a blob: SQLite gives NULL for an empty one.
    let sql = match value.kind {
        ExprType::Text | ExprType::Written | ExprType::Int(_) => value.text()?,
        _ => return Err(value.refusal("is given to substr()")),
    };
    let (first, from) = place(start)?;
    let at = if first.most < 0 {
        format!("length({sql}) + 1 - {}", -first.most)
    } else if first.least >= 0 {
        from
    } else {
        return Err(refuse("substr() from a place that may be before or after the end"));
    };
    let Some(length) = length else { return Ok(TypedExpr::atom(format!("substr({sql}, {at})"), ExprType::Text)) };
    let (lengths, length) = place(length)?;
    let sql = if lengths.least >= 0 {
        format!("substr({sql}, {at}, {length})")
    } else if first.least < 0 {
        return Err(refuse("substr() of a negative length from the end has no exact equivalent"));
    } else if lengths.most < 0 {
        format!("substr({sql}, {at} - {}, {})", -lengths.least, -lengths.least)
    } else {
        let back = format!("substr({sql}, {at} + {length}, -({length}))");
        return Ok(TypedExpr::compound(
            format!("CASE WHEN {length} >= 0 THEN substr({sql}, {at}, {length}) ELSE {back} END"),
            ExprType::Text,
        ));
    };
    Ok(TypedExpr::atom(sql, ExprType::Text))
}

/// An integer of 32 bits: its range, and the SQL. Negative ones are constants, unless a sign is asked for later.
fn place(operand: &TypedExpr) -> Result<(IntegerRange, String), Untranslatable> {
    let inexact = || refuse("substr() with such arguments has no exact equivalent");
    let range = operand.range().ok_or_else(inexact)?;
    let fits = range.least >= -LENGTH_MAX && range.most <= LENGTH_MAX + 1000;
    if !fits || (range.most < 0 && operand.constant.is_none()) {
        return Err(inexact());
    }
    let sql = match operand.constant {
        Some(_) => operand.arg(),
        None => format!("{}::integer", TypedExpr::compound(operand.integer()?, operand.kind).arg()),
    };
    Ok((range, sql))
}

fn trim(name: &str, value: &TypedExpr, set: Option<&TypedExpr>) -> Result<TypedExpr, Untranslatable> {
    let function = if name == "trim" { "btrim" } else { name };
    let sql = match set {
        None => format!("{function}({}, ' ')", value.text()?),
        Some(set) if set.kind == ExprType::Text => format!("{function}({}, {})", value.text()?, set.text()?),
        Some(set) => return Err(set.refusal(&format!("is given to {name}()"))),
    };
    Ok(texts(&sql, &[value]))
}

/// `hex(NULL)` is the empty text.
fn hex(scope: &NameScope<'_>, value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    let bytes = match value.kind {
        ExprType::Blob => value.sql().to_owned(),
        // Converting depends on the database's encoding, for which an index can't be made.
        ExprType::Text | ExprType::Written | ExprType::Int(_) if scope.is_at_present() && scope.utf8() => {
            format!("convert_to({}, 'UTF8')", value.text()?)
        }
        _ => return Err(value.refusal("is given to hex()")),
    };
    Ok(TypedExpr::atom(format!("coalesce(upper(encode({bytes}, 'hex')), '')"), ExprType::Text))
}

fn constant_characters(characters: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    let one = |operand: &TypedExpr| match operand.constant {
        Some(Value::Integer(number)) if number > 0 => u32::try_from(number).ok().and_then(char::from_u32),
        _ => None,
    };
    let text: Option<String> = characters.iter().map(one).collect();
    let text =
        text.ok_or_else(|| refuse("char() of something that is no constant character has no exact equivalent"))?;
    Ok(TypedExpr::constant(Value::Text(text)))
}

/// NULL for the empty text.
fn first_character(value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    let range = IntegerRange { least: 0, most: 0x0010_FFFF };
    let sql = format!("nullif(ascii({}), 0)", value.text()?);
    Ok(TypedExpr { narrow: true, ..TypedExpr::atom(sql, ExprType::Int(range)) })
}

fn quoted(value: &TypedExpr) -> Result<TypedExpr, Untranslatable> {
    let sql = match value.kind {
        ExprType::Null => return Ok(TypedExpr::constant(Value::Text("NULL".to_owned()))),
        ExprType::Int(_) | ExprType::Bool => value.text()?,
        ExprType::Text => format!("'''' || replace({}, '''', '''''') || ''''", value.text()?),
        ExprType::Blob => format!("'X''' || upper(encode({}, 'hex')) || ''''", value.sql()),
        _ => return Err(value.refusal("is given to quote()")),
    };
    Ok(TypedExpr::atom(format!("coalesce({sql}, 'NULL')"), ExprType::Text))
}

/// NULL counts as the empty text.
fn joined(values: &[TypedExpr]) -> Result<TypedExpr, Untranslatable> {
    let one = |value: &TypedExpr| Ok(format!("coalesce({}, '')", value.text()?));
    let parts = values.iter().map(one).collect::<Result<Vec<_>, Untranslatable>>()?;
    Ok(TypedExpr::compound(parts.join(" || "), ExprType::Text))
}
