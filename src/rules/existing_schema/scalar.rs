//! Converts one cell to one value of a type of the existing schema.

use std::borrow::Cow;

use super::{Altered, CellScan, Mismatch, Note, Value, number::Number};
use crate::{
    model::{cell::SqliteCell, conversion_plan::GuidOrder, pg_column_type::TextForm},
    rules::{
        decimal::{DOUBLE_EXACT_MOST, real_text},
        value_shape::{
            self,
            json::{Checker, JsonTarget},
            jsonb,
        },
    },
};

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Mismatch> {
    str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(Mismatch::Text)
}

pub(super) fn boolean(cell: SqliteCell<'_>) -> Result<bool, Mismatch> {
    match cell {
        SqliteCell::Integer(0) => Ok(false),
        SqliteCell::Integer(1) => Ok(true),
        SqliteCell::Real(0.0) => Ok(false),
        SqliteCell::Real(1.0) => Ok(true),
        SqliteCell::Integer(_) | SqliteCell::Real(_) => Err(Mismatch::Range),
        SqliteCell::Text(word) => match word.to_ascii_lowercase().as_slice() {
            b"true" | b"t" | b"yes" | b"y" | b"on" | b"1" => Ok(true),
            b"false" | b"f" | b"no" | b"n" | b"off" | b"0" => Ok(false),
            _ => Err(Mismatch::Form),
        },
        SqliteCell::Null | SqliteCell::Blob(_) => Err(Mismatch::Class),
    }
}

/// Any number. Some libraries store numbers beyond a double as their digits in a BLOB.
pub(super) fn number(cell: SqliteCell<'_>, scan: &mut CellScan<'_>) -> Result<Number, Mismatch> {
    match cell {
        SqliteCell::Integer(value) => Ok(Number::from_integer(value)),
        SqliteCell::Real(value) => Number::from_real(value).ok_or(Mismatch::Range),
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => {
            let text = str::from_utf8(bytes).map_err(|_| Mismatch::Form)?;
            let number = Number::from_text(text).ok_or(Mismatch::Form)?;
            let digits = text.strip_prefix('-').unwrap_or(text);
            let leads =
                digits.starts_with('+') || (digits.starts_with('0') && !matches!(digits.get(1..2), None | Some(".")));
            if leads || digits.contains(['e', 'E']) {
                scan.note(Note::NumberSpelling);
            }
            Ok(number)
        }
        SqliteCell::Null => Err(Mismatch::Class),
    }
}

pub(super) fn integer<'a>(
    cell: SqliteCell<'_>,
    least: i64,
    most: i64,
    scan: &mut CellScan<'_>,
) -> Result<Value<'a>, Mismatch> {
    let value = match cell {
        SqliteCell::Integer(value) => value,
        other => {
            let number = number(other, scan)?;
            scaled(number, 0, scan).to_integer().ok_or(Mismatch::Range)?
        }
    };
    if (least..=most).contains(&value) { Ok(Value::Integer(value)) } else { Err(Mismatch::Range) }
}

/// The number with so many digits after the point, rounded half away from zero as PostgreSQL does.
pub(super) fn scaled(number: Number, scale: u16, scan: &mut CellScan<'_>) -> Number {
    let (scaled, is_exact) = number.rounded(scale);
    if !is_exact {
        scan.alter(Altered::Rounded);
    }
    scaled
}

#[expect(clippy::cast_precision_loss, reason = "what is not exact is rounded by consent")]
pub(super) fn double(cell: SqliteCell<'_>, scan: &mut CellScan<'_>) -> Result<f64, Mismatch> {
    match cell {
        SqliteCell::Real(value) => Ok(value),
        SqliteCell::Integer(value) => {
            let double = value as f64;
            if value.unsigned_abs() > DOUBLE_EXACT_MOST && format!("{double:.0}") != value.to_string() {
                scan.alter(Altered::Rounded);
            }
            Ok(double)
        }
        other => {
            let number = number(other, scan)?;
            let value: f64 = plain(&number).parse().map_err(|_| Mismatch::Form)?;
            let back = Number::from_real(value).ok_or(Mismatch::Range)?;
            if back.key() != number.key() {
                scan.alter(Altered::Rounded);
            }
            Ok(value)
        }
    }
}

/// The nearest 4-byte float.
pub(super) fn single(number: &Number, scan: &mut CellScan<'_>) -> Result<f32, Mismatch> {
    let value: f32 = plain(number).parse().map_err(|_| Mismatch::Form)?;
    if !value.is_finite() {
        return Err(Mismatch::Range);
    }
    // Both its shortest digits and its exact value may stand in the source.
    let shortest = Number::from_text(&value.to_string());
    let exact = Number::from_real(f64::from(value));
    if ![shortest, exact].into_iter().flatten().any(|form| form.key() == number.key()) {
        scan.alter(Altered::Rounded);
    }
    Ok(value)
}

fn plain(number: &Number) -> String {
    format!("{}0{}.{}0", if number.negative { "-" } else { "" }, number.whole, number.fraction)
}

pub(super) fn numeric<'a>(
    cell: SqliteCell<'_>,
    limits: Option<(u16, u16)>,
    scan: &mut CellScan<'_>,
) -> Result<Value<'a>, Mismatch> {
    let number = number(cell, scan)?;
    let Some((precision, scale)) = limits else { return Ok(Value::Number(number)) };
    let number = scaled(number, scale, scan);
    let fits = number.whole.len() <= usize::from(precision - scale.min(precision));
    if fits { Ok(Value::Number(number)) } else { Err(Mismatch::Range) }
}

pub(super) fn text<'a>(
    cell: SqliteCell<'a>,
    form: TextForm,
    most: Option<u32>,
    scan: &mut CellScan<'_>,
) -> Result<Cow<'a, str>, Mismatch> {
    let written = match cell {
        SqliteCell::Text(bytes) => match utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) if scan.reading.replaces_text => Cow::Owned(value_shape::replaced(bytes)),
            Err(mismatch) => return Err(mismatch),
        },
        SqliteCell::Integer(value) => Cow::Owned(value.to_string()),
        SqliteCell::Real(value) => Cow::Owned(real_text(value)),
        SqliteCell::Null | SqliteCell::Blob(_) => return Err(Mismatch::Class),
    };
    let Some(most) = most.and_then(|most| usize::try_from(most).ok()) else { return Ok(written) };
    let characters = written.chars().count();
    if characters > most {
        scan.alter(Altered::LengthCut);
        return Ok(Cow::Owned(written.chars().take(most).collect()));
    }
    // PostgreSQL gives the blanks back.
    let padded = matches!(form, TextForm::Char).then(|| format!("{written}{}", " ".repeat(most - characters)));
    Ok(padded.map_or(written, Cow::Owned))
}

/// 32 hexadecimal digits with or without the four hyphens, also in braces, or 16 bytes.
pub(super) fn uuid(cell: SqliteCell<'_>, scan: &mut CellScan<'_>) -> Result<[u8; 16], Mismatch> {
    match cell {
        SqliteCell::Blob(bytes) if scan.reading.guid == GuidOrder::Dotnet => {
            value_shape::turned_guid(bytes).ok_or(Mismatch::Form)
        }
        SqliteCell::Blob(bytes) => bytes.try_into().map_err(|_| Mismatch::Form),
        SqliteCell::Text(text) => {
            let inner = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}"));
            let text = inner.unwrap_or(text);
            let hyphens = [8, 13, 18, 23].iter().filter(|at| text.get(**at) == Some(&b'-')).count();
            if !matches!((text.len(), hyphens), (36, 4) | (32, 0)) {
                return Err(Mismatch::Form);
            }
            let mut value: u128 = 0;
            let mut count = 0;
            for letter in text.iter().filter(|letter| **letter != b'-') {
                let digit = char::from(*letter).to_digit(16).ok_or(Mismatch::Form)?;
                value = value << 4 | u128::from(digit);
                count += 1;
            }
            if count == 32 { Ok(value.to_be_bytes()) } else { Err(Mismatch::Form) }
        }
        SqliteCell::Null | SqliteCell::Integer(_) | SqliteCell::Real(_) => Err(Mismatch::Class),
    }
}

/// The text of SQLite's binary JSON; none for bytes that are JSON text themselves, or neither.
pub(super) fn binary_json(bytes: &[u8]) -> Option<String> {
    let is_text = serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok();
    if is_text { None } else { jsonb::text_of(bytes) }
}

/// Some libraries store a document as the bytes of its text.
pub(super) fn document<'a>(cell: SqliteCell<'a>, binary: bool, json: &mut Checker) -> Result<Value<'a>, Mismatch> {
    let document = match cell {
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => {
            let binary = matches!(cell, SqliteCell::Blob(_)).then(|| binary_json(bytes)).flatten();
            match binary {
                Some(text) => Cow::Owned(text.into_bytes()),
                None => Cow::Borrowed(utf8(bytes)?.as_bytes()),
            }
        }
        SqliteCell::Integer(value) => Cow::Owned(value.to_string().into_bytes()),
        SqliteCell::Real(value) if value.is_finite() => Cow::Owned(real_text(value).into_bytes()),
        SqliteCell::Null | SqliteCell::Real(_) => return Err(Mismatch::Class),
    };
    match json.check(&document) {
        None => Err(Mismatch::Form),
        Some(JsonTarget::Json) if binary => Err(Mismatch::Document),
        Some(JsonTarget::Json | JsonTarget::Jsonb) => Ok(Value::Document(document)),
    }
}

/// libSQL's vectors of 4-byte floats, or a JSON array of numbers.
pub(super) fn vector(
    cell: SqliteCell<'_>,
    dimensions: Option<u32>,
    scan: &mut CellScan<'_>,
) -> Result<Vec<f32>, Mismatch> {
    let values: Vec<f32> = match cell {
        SqliteCell::Blob(bytes) => {
            let bytes = if bytes.len() % 4 == 1 { bytes.strip_suffix(&[1]).ok_or(Mismatch::Form)? } else { bytes };
            let (words, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(Mismatch::Form);
            }
            words.iter().map(|word| f32::from_le_bytes(*word)).collect()
        }
        SqliteCell::Text(text) => {
            let items: Vec<&serde_json::value::RawValue> = serde_json::from_slice(text).map_err(|_| Mismatch::Form)?;
            let one = |item: &&serde_json::value::RawValue| {
                single(&Number::from_text(item.get()).ok_or(Mismatch::Form)?, scan)
            };
            items.iter().map(one).collect::<Result<_, _>>()?
        }
        SqliteCell::Null | SqliteCell::Integer(_) | SqliteCell::Real(_) => return Err(Mismatch::Class),
    };
    let right = dimensions.is_none_or(|wanted| u32::try_from(values.len()) == Ok(wanted));
    let possible = (1..=16_000).contains(&values.len()) && values.iter().all(|value| value.is_finite());
    if right && possible { Ok(values) } else { Err(Mismatch::Dimensions) }
}
