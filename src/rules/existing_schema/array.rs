//! Reads arrays: a JSON array, PostgreSQL's own text of an array, or a list that the configuration describes.

use serde_json::value::RawValue;

use super::{ArrayValue, CellScan, Mismatch, Value, owned, read_one, scalar};
use crate::model::{
    cell::SqliteCell,
    conversion_plan::ListForm,
    pg_column_type::{Element, InputSyntax},
};

/// The longest text of an array.
const BYTES_MOST: usize = 1 << 28;

/// PostgreSQL's most dimensions.
const DIMENSIONS_MOST: usize = 6;

/// What stands in an array, before its type is considered.
enum Item {
    Null,
    /// Characters.
    Text(String),
    /// A JSON number, literal or object.
    Json(String),
    Array(Vec<Item>),
}

/// Reads a cell.
pub(super) fn read<'a>(
    element: Element,
    cell: SqliteCell<'_>,
    scan: &mut CellScan<'_>,
) -> Result<ArrayValue<'a>, Mismatch> {
    let decoded;
    let text = match cell {
        SqliteCell::Text(bytes) => bytes,
        SqliteCell::Blob(bytes) => match scalar::binary_json(bytes) {
            Some(text) => {
                decoded = text;
                decoded.as_bytes()
            }
            None => bytes,
        },
        SqliteCell::Null | SqliteCell::Integer(_) | SqliteCell::Real(_) => return Err(Mismatch::Class),
    };
    if text.len() > BYTES_MOST {
        return Err(Mismatch::Length);
    }
    let text = scalar::utf8(text)?;
    let items = if scan.reading.list == Some(ListForm::Comma) {
        comma_list(text)
    } else if text.trim_start().starts_with('{') {
        literal(text).ok_or(Mismatch::Form)?
    } else {
        json_items(text, matches!(element, Element::Json | Element::Jsonb), 1)?
    };
    let mut array = ArrayValue { lengths: Vec::new(), items: Vec::new() };
    if !items.is_empty() {
        append(element, items, 0, &mut array, scan)?;
    }
    Ok(array)
}

fn comma_list(text: &str) -> Vec<Item> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| Item::Text(item.trim().to_owned())).collect()
}

fn json_items(text: &str, flat: bool, depth: usize) -> Result<Vec<Item>, Mismatch> {
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| Mismatch::Form)?;
    if depth > DIMENSIONS_MOST {
        return Err(Mismatch::Form);
    }
    let item = |raw: &&RawValue| {
        let raw = raw.get();
        Ok(match raw.as_bytes().first() {
            _ if raw == "null" => Item::Null,
            _ if flat => Item::Json(raw.to_owned()),
            Some(b'"') => Item::Text(serde_json::from_str(raw).map_err(|_| Mismatch::Form)?),
            Some(b'[') => Item::Array(json_items(raw, flat, depth + 1)?),
            _ => Item::Json(raw.to_owned()),
        })
    };
    items.iter().map(item).collect()
}

/// PostgreSQL's own text of an array (PostgreSQL, "Array Input and Output Syntax"), without bounds.
fn literal(text: &str) -> Option<Vec<Item>> {
    let mut letters = text.trim().chars().peekable();
    let items = braces(&mut letters, 1)?;
    letters.next().is_none().then_some(items)
}

fn braces(letters: &mut std::iter::Peekable<std::str::Chars<'_>>, depth: usize) -> Option<Vec<Item>> {
    letters.next_if_eq(&'{').filter(|_| depth <= DIMENSIONS_MOST)?;
    let mut items = Vec::new();
    loop {
        while letters.next_if(char::is_ascii_whitespace).is_some() {}
        match letters.peek()? {
            '}' if items.is_empty() => {
                letters.next();
                return Some(items);
            }
            '{' => items.push(Item::Array(braces(letters, depth + 1)?)),
            '"' => items.push(quoted(letters)?),
            _ => items.push(bare(letters)?),
        }
        while letters.next_if(char::is_ascii_whitespace).is_some() {}
        match letters.next()? {
            ',' => {}
            '}' => return Some(items),
            _ => return None,
        }
    }
}

fn quoted(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Item> {
    letters.next();
    let mut text = String::new();
    loop {
        match letters.next()? {
            '"' => return Some(Item::Text(text)),
            '\\' => text.push(letters.next()?),
            letter => text.push(letter),
        }
    }
}

fn bare(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Item> {
    let mut text = String::new();
    while let Some(letter) = letters.next_if(|letter| !matches!(letter, ',' | '}' | '{' | '"')) {
        text.push(if letter == '\\' { letters.next()? } else { letter });
    }
    let text = text.trim_end();
    match text {
        "" => None,
        _ if text.eq_ignore_ascii_case("null") => Some(Item::Null),
        _ => Some(Item::Text(text.to_owned())),
    }
}

/// Appends the items of one level. All arrays of a level have the same length.
fn append(
    element: Element,
    items: Vec<Item>,
    level: usize,
    array: &mut ArrayValue<'_>,
    scan: &mut CellScan<'_>,
) -> Result<(), Mismatch> {
    match array.lengths.get(level) {
        None if array.items.is_empty() => array.lengths.push(items.len()),
        Some(length) if *length == items.len() => {}
        _ => return Err(Mismatch::Form),
    }
    let nested = items.iter().filter(|item| matches!(item, Item::Array(_))).count();
    if (nested > 0 && nested != items.len()) || (nested == 0 && array.lengths.len() != level + 1) {
        return Err(Mismatch::Form);
    }
    for item in items {
        let value = match item {
            Item::Array(items) if items.is_empty() => return Err(Mismatch::Form),
            Item::Array(items) => {
                append(element, items, level + 1, array, scan)?;
                continue;
            }
            Item::Null => None,
            Item::Text(text) => Some(owned(read_one(element, SqliteCell::Text(text.as_bytes()), scan)?)),
            Item::Json(raw) => Some(of_json(element, &raw, scan)?),
        };
        array.items.push(value);
    }
    Ok(())
}

/// A JSON number, literal or object.
fn of_json(element: Element, raw: &str, scan: &mut CellScan<'_>) -> Result<Value<'static>, Mismatch> {
    let is_number = raw.bytes().next().is_some_and(|byte| byte == b'-' || byte.is_ascii_digit());
    match element {
        Element::Json | Element::Jsonb => Ok(owned(read_one(element, SqliteCell::Text(raw.as_bytes()), scan)?)),
        Element::Boolean if matches!(raw, "true" | "false") => Ok(Value::Boolean(raw == "true")),
        Element::Text { .. } | Element::Enum | Element::Uuid => Err(Mismatch::Form),
        _ if is_number => match raw.parse::<i64>() {
            Ok(number) => Ok(owned(read_one(element, SqliteCell::Integer(number), scan)?)),
            Err(_) => Ok(owned(read_one(element, SqliteCell::Text(raw.as_bytes()), scan)?)),
        },
        _ => Err(Mismatch::Form),
    }
}

/// The text that PostgreSQL's array input function reads.
pub(super) fn text_of(element: Element, array: &ArrayValue<'_>) -> Result<String, Mismatch> {
    let separator = if element == Element::TextInput(InputSyntax::Box) { ';' } else { ',' };
    let mut items = Vec::with_capacity(array.items.len());
    for item in &array.items {
        items.push(match item {
            None => "NULL".to_owned(),
            Some(Value::Text(text)) => quote(text),
            Some(Value::Document(text)) => quote(str::from_utf8(text).map_err(|_| Mismatch::Text)?),
            Some(Value::Vector(values)) => {
                let shown: Vec<String> = values.iter().map(f32::to_string).collect();
                quote(&format!("[{}]", shown.join(",")))
            }
            Some(_) => return Err(Mismatch::Class),
        });
    }
    // From the innermost level outwards.
    for length in array.lengths.iter().rev() {
        let groups = items.chunks((*length).max(1));
        items = groups.map(|group| format!("{{{}}}", group.join(&separator.to_string()))).collect();
    }
    Ok(items.pop().unwrap_or_else(|| "{}".to_owned()))
}

fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
