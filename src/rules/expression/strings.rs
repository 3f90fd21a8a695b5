//! Functions of texts and blobs.

use super::{
    Untranslatable,
    literal::Value,
    name_resolution::Scope,
    printf, refuse,
    typed_expr::{Kind, Operand, Range},
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
pub(super) fn call(scope: &Scope<'_>, name: &str, arguments: &[Operand]) -> Result<Operand, Untranslatable> {
    match (name, arguments) {
        ("length", [value]) => length(value),
        ("octet_length", [value]) => bytes(scope, value),
        ("lower" | "upper", [value]) => fold_case(name, value),
        ("substr" | "substring", [value, start]) => substring(value, start, None),
        ("substr" | "substring", [value, start, length]) => substring(value, start, Some(length)),
        ("trim" | "ltrim" | "rtrim", [value]) => trim(name, value, None),
        ("trim" | "ltrim" | "rtrim", [value, set]) => trim(name, value, Some(set)),
        // A value that is no text comes back as it is where nothing is looked for.
        ("replace", [value, from, to]) if matches!(value.kind, Kind::Text | Kind::Null) => {
            Ok(texts(&format!("replace({}, {}, {})", value.text()?, from.text()?, to.text()?), &[value, from, to]))
        }
        ("instr", [value, part]) if value.kind == Kind::Text && part.kind == Kind::Text => {
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

fn count(sql: String) -> Operand {
    Operand { narrow: true, ..Operand::atom(sql, Kind::Int(Range { least: 0, most: LENGTH_MAX })) }
}

/// A function of texts: NULL where an argument is the literal NULL.
fn texts(sql: &str, arguments: &[&Operand]) -> Operand {
    if arguments.iter().any(|argument| argument.is_null()) {
        return Operand::constant(Value::Null);
    }
    Operand::atom(sql, Kind::Text)
}

fn length(value: &Operand) -> Result<Operand, Untranslatable> {
    match value.kind {
        Kind::Null => Ok(Operand::constant(Value::Null)),
        Kind::Blob => Ok(count(format!("octet_length({})", value.sql()))),
        Kind::Text | Kind::Written | Kind::Int(_) => Ok(count(format!("length({})", value.text()?))),
        _ => Err(value.refusal("is given to length()")),
    }
}

fn bytes(scope: &Scope<'_>, value: &Operand) -> Result<Operand, Untranslatable> {
    match value.kind {
        Kind::Null => Ok(Operand::constant(Value::Null)),
        Kind::Blob => Ok(count(format!("octet_length({})", value.sql()))),
        Kind::Text | Kind::Written | Kind::Int(_) if scope.utf8() => {
            Ok(count(format!("octet_length({})", value.text()?)))
        }
        _ => Err(value.refusal("is given to octet_length()")),
    }
}

/// Under "C" only A to Z are folded, as SQLite does without ICU.
fn fold_case(name: &str, value: &Operand) -> Result<Operand, Untranslatable> {
    match value.kind {
        Kind::Null => Ok(Operand::constant(Value::Null)),
        Kind::Text | Kind::Written => Ok(Operand::atom(format!("{name}({} COLLATE \"C\")", value.arg()), Kind::Text)),
        Kind::Int(_) => Ok(Operand::compound(value.text()?, Kind::Text)),
        _ => Err(value.refusal(&format!("is given to {name}()"))),
    }
}

/// PostgreSQL counts places before the first character as SQLite does, but has no negative places and lengths.
fn substring(value: &Operand, start: &Operand, length: Option<&Operand>) -> Result<Operand, Untranslatable> {
    if value.is_null() || start.is_null() || length.is_some_and(Operand::is_null) {
        return Ok(Operand::constant(Value::Null));
    }
    // Of a blob: SQLite gives NULL for an empty one.
    let sql = match value.kind {
        Kind::Text | Kind::Written | Kind::Int(_) => value.text()?,
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
    let Some(length) = length else { return Ok(Operand::atom(format!("substr({sql}, {at})"), Kind::Text)) };
    let (lengths, length) = place(length)?;
    let sql = if lengths.least >= 0 {
        format!("substr({sql}, {at}, {length})")
    } else if first.least < 0 {
        return Err(refuse("substr() of a negative length from the end has no exact equivalent"));
    } else if lengths.most < 0 {
        format!("substr({sql}, {at} - {}, {})", -lengths.least, -lengths.least)
    } else {
        let back = format!("substr({sql}, {at} + {length}, -({length}))");
        return Ok(Operand::compound(
            format!("CASE WHEN {length} >= 0 THEN substr({sql}, {at}, {length}) ELSE {back} END"),
            Kind::Text,
        ));
    };
    Ok(Operand::atom(sql, Kind::Text))
}

/// An integer of 32 bits: its range, and the SQL. Negative ones are constants, unless a sign is asked for later.
fn place(operand: &Operand) -> Result<(Range, String), Untranslatable> {
    let inexact = || refuse("substr() with such arguments has no exact equivalent");
    let range = operand.range().ok_or_else(inexact)?;
    let fits = range.least >= -LENGTH_MAX && range.most <= LENGTH_MAX + 1000;
    if !fits || (range.most < 0 && operand.constant.is_none()) {
        return Err(inexact());
    }
    let sql = match operand.constant {
        Some(_) => operand.arg(),
        None => format!("{}::integer", Operand::compound(operand.integer()?, operand.kind).arg()),
    };
    Ok((range, sql))
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
fn hex(scope: &Scope<'_>, value: &Operand) -> Result<Operand, Untranslatable> {
    let bytes = match value.kind {
        Kind::Blob => value.sql().to_owned(),
        // Converting depends on the database's encoding, for which an index can't be made.
        Kind::Text | Kind::Written | Kind::Int(_) if scope.is_at_present() && scope.utf8() => {
            format!("convert_to({}, 'UTF8')", value.text()?)
        }
        _ => return Err(value.refusal("is given to hex()")),
    };
    Ok(Operand::atom(format!("coalesce(upper(encode({bytes}, 'hex')), '')"), Kind::Text))
}

fn constant_characters(characters: &[Operand]) -> Result<Operand, Untranslatable> {
    let one = |operand: &Operand| match operand.constant {
        Some(Value::Integer(number)) if number > 0 => u32::try_from(number).ok().and_then(char::from_u32),
        _ => None,
    };
    let text: Option<String> = characters.iter().map(one).collect();
    let text =
        text.ok_or_else(|| refuse("char() of something that is no constant character has no exact equivalent"))?;
    Ok(Operand::constant(Value::Text(text)))
}

/// NULL for the empty text.
fn first_character(value: &Operand) -> Result<Operand, Untranslatable> {
    let range = Range { least: 0, most: 0x0010_FFFF };
    let sql = format!("nullif(ascii({}), 0)", value.text()?);
    Ok(Operand { narrow: true, ..Operand::atom(sql, Kind::Int(range)) })
}

fn quoted(value: &Operand) -> Result<Operand, Untranslatable> {
    let sql = match value.kind {
        Kind::Null => return Ok(Operand::constant(Value::Text("NULL".to_owned()))),
        Kind::Int(_) | Kind::Bool => value.text()?,
        Kind::Text => format!("'''' || replace({}, '''', '''''') || ''''", value.text()?),
        Kind::Blob => format!("'X''' || upper(encode({}, 'hex')) || ''''", value.sql()),
        _ => return Err(value.refusal("is given to quote()")),
    };
    Ok(Operand::atom(format!("coalesce({sql}, 'NULL')"), Kind::Text))
}

/// NULL counts as the empty text.
fn joined(values: &[Operand]) -> Result<Operand, Untranslatable> {
    let one = |value: &Operand| Ok(format!("coalesce({}, '')", value.text()?));
    let parts = values.iter().map(one).collect::<Result<Vec<_>, Untranslatable>>()?;
    Ok(Operand::compound(parts.join(" || "), Kind::Text))
}
