//! Converts one cell to one value of a type of the existing schema.

use std::borrow::Cow;

use super::{Altered, Mismatch, Value, number::Number};
use crate::{
    model::{
        cell::SqliteCell,
        conversion_plan::EpochUnit,
        pg_column_type::{Element, TextForm},
    },
    rules::{
        datetime::{self, DAY_MICROSECONDS, Stamp},
        decimal::{DOUBLE_EXACT_MOST, real_text},
        value_shape::json::{Checker, JsonTarget},
    },
};

/// PostgreSQL's first point in time, 4713 BC, in microseconds from 1970.
const TIMESTAMP_FIRST: i64 = -210_866_803_200_000_000;

/// The day of a time that some libraries store with a day.
const TIME_DAYS: [i64; 2] = [0, 10_957];

/// Reads a cell that is not NULL; sets `altered` if the value loses something.
pub(super) fn read<'a>(
    element: Element,
    unit: Option<EpochUnit>,
    cell: SqliteCell<'a>,
    json: &mut Checker,
    altered: &mut Option<Altered>,
) -> Result<Value<'a>, Mismatch> {
    match element {
        Element::Boolean => boolean(cell).map(Value::Boolean),
        Element::SmallInt => integer(cell, i64::from(i16::MIN), i64::from(i16::MAX)),
        Element::Integer => integer(cell, i64::from(i32::MIN), i64::from(i32::MAX)),
        Element::BigInt => integer(cell, i64::MIN, i64::MAX),
        Element::Real => single(&number(cell)?, altered).map(Value::Real),
        Element::Double => double(cell, altered).map(Value::Double),
        Element::Numeric(limits) => numeric(cell, limits),
        Element::Text { form, most } => text(cell, form, most),
        Element::Enum => text(cell, TextForm::Text, None),
        Element::Uuid => uuid(cell).map(Value::Uuid),
        Element::Bytea => match cell {
            SqliteCell::Blob(bytes) | SqliteCell::Text(bytes) => Ok(Value::Bytes(Cow::Borrowed(bytes))),
            SqliteCell::Null | SqliteCell::Integer(_) | SqliteCell::Real(_) => Err(Mismatch::Class),
        },
        Element::Date => date(cell, unit).map(Value::Days),
        Element::Time { digits } => time(cell, digits).map(Value::Clock),
        Element::Timestamp { digits } | Element::TimestampTz { digits } => {
            timestamp(cell, unit, digits, altered).map(Value::Timestamp)
        }
        Element::Json => document(cell, false, json),
        Element::Jsonb => document(cell, true, json),
        Element::Vector(dimensions) => vector(cell, dimensions, altered),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Mismatch> {
    str::from_utf8(bytes).ok().filter(|text| !text.contains('\0')).ok_or(Mismatch::Text)
}

fn boolean(cell: SqliteCell<'_>) -> Result<bool, Mismatch> {
    match cell {
        SqliteCell::Integer(0) => Ok(false),
        SqliteCell::Integer(1) => Ok(true),
        SqliteCell::Integer(_) => Err(Mismatch::Range),
        SqliteCell::Text(word) => match word.to_ascii_lowercase().as_slice() {
            b"true" | b"t" | b"yes" | b"y" | b"on" | b"1" => Ok(true),
            b"false" | b"f" | b"no" | b"n" | b"off" | b"0" => Ok(false),
            _ => Err(Mismatch::Form),
        },
        SqliteCell::Null | SqliteCell::Real(_) | SqliteCell::Blob(_) => Err(Mismatch::Class),
    }
}

/// Any number. Some libraries store numbers beyond a double as their digits in a BLOB.
fn number(cell: SqliteCell<'_>) -> Result<Number, Mismatch> {
    match cell {
        SqliteCell::Integer(value) => Ok(Number::from_integer(value)),
        SqliteCell::Real(value) => Number::from_real(value).ok_or(Mismatch::Range),
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => {
            str::from_utf8(bytes).ok().and_then(Number::from_text).ok_or(Mismatch::Form)
        }
        SqliteCell::Null => Err(Mismatch::Class),
    }
}

fn integer<'a>(cell: SqliteCell<'_>, least: i64, most: i64) -> Result<Value<'a>, Mismatch> {
    let value = match cell {
        SqliteCell::Integer(value) => value,
        other => {
            let number = number(other)?;
            if number.fraction.bytes().any(|byte| byte != b'0') {
                return Err(Mismatch::Digits);
            }
            number.to_integer().ok_or(Mismatch::Range)?
        }
    };
    if (least..=most).contains(&value) { Ok(Value::Integer(value)) } else { Err(Mismatch::Range) }
}

#[expect(clippy::cast_precision_loss, reason = "integers up to 2^53 are exact in a double")]
fn double(cell: SqliteCell<'_>, altered: &mut Option<Altered>) -> Result<f64, Mismatch> {
    match cell {
        SqliteCell::Real(value) => Ok(value),
        SqliteCell::Integer(value) if value.unsigned_abs() <= DOUBLE_EXACT_MOST => Ok(value as f64),
        SqliteCell::Integer(_) => Err(Mismatch::Digits),
        other => {
            let number = number(other)?;
            let value: f64 = plain(&number).parse().map_err(|_| Mismatch::Form)?;
            let back = Number::from_real(value).ok_or(Mismatch::Range)?;
            if back.key() != number.key() {
                *altered = Some(Altered::Rounded);
            }
            Ok(value)
        }
    }
}

/// The nearest 4-byte float.
pub(super) fn single(number: &Number, altered: &mut Option<Altered>) -> Result<f32, Mismatch> {
    let value: f32 = plain(number).parse().map_err(|_| Mismatch::Form)?;
    if !value.is_finite() {
        return Err(Mismatch::Range);
    }
    // Both its shortest digits and its exact value may stand in the source.
    let shortest = Number::from_text(&value.to_string());
    let exact = Number::from_real(f64::from(value));
    if ![shortest, exact].into_iter().flatten().any(|form| form.key() == number.key()) {
        *altered = Some(Altered::Rounded);
    }
    Ok(value)
}

fn plain(number: &Number) -> String {
    format!("{}0{}.{}0", if number.negative { "-" } else { "" }, number.whole, number.fraction)
}

fn numeric<'a>(cell: SqliteCell<'_>, limits: Option<(u16, u16)>) -> Result<Value<'a>, Mismatch> {
    let number = number(cell)?;
    let Some((precision, scale)) = limits else { return Ok(Value::Number(number)) };
    if number.whole.len() > usize::from(precision - scale.min(precision)) {
        return Err(Mismatch::Range);
    }
    number.with_scale(scale).map(Value::Number).ok_or(Mismatch::Digits)
}

fn text(cell: SqliteCell<'_>, form: TextForm, most: Option<u32>) -> Result<Value<'_>, Mismatch> {
    let written = match cell {
        SqliteCell::Text(bytes) => Cow::Borrowed(utf8(bytes)?),
        SqliteCell::Integer(value) => Cow::Owned(value.to_string()),
        SqliteCell::Real(value) => Cow::Owned(real_text(value)),
        SqliteCell::Null | SqliteCell::Blob(_) => return Err(Mismatch::Class),
    };
    let Some(most) = most.and_then(|most| usize::try_from(most).ok()) else { return Ok(Value::Text(written)) };
    let characters = written.chars().count();
    if characters > most {
        return Err(Mismatch::Length);
    }
    // PostgreSQL gives the blanks back.
    let padded = matches!(form, TextForm::Char).then(|| format!("{written}{}", " ".repeat(most - characters)));
    Ok(Value::Text(padded.map_or(written, Cow::Owned)))
}

/// 32 hexadecimal digits with or without the four hyphens, or 16 bytes.
fn uuid(cell: SqliteCell<'_>) -> Result<[u8; 16], Mismatch> {
    match cell {
        SqliteCell::Blob(bytes) if bytes.len() == 16 => bytes.try_into().map_err(|_| Mismatch::Form),
        SqliteCell::Text(text) => {
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
        SqliteCell::Blob(_) => Err(Mismatch::Form),
        SqliteCell::Null | SqliteCell::Integer(_) | SqliteCell::Real(_) => Err(Mismatch::Class),
    }
}

fn stamp(text: &[u8]) -> Result<Stamp, Mismatch> {
    datetime::parse_stamp(text).ok_or(Mismatch::Form)
}

fn epoch(value: i64, unit: Option<EpochUnit>) -> Result<i64, Mismatch> {
    let micros = value.checked_mul(unit.ok_or(Mismatch::Unit)?.microseconds()).ok_or(Mismatch::Range)?;
    if micros >= TIMESTAMP_FIRST { Ok(micros) } else { Err(Mismatch::Range) }
}

fn date(cell: SqliteCell<'_>, unit: Option<EpochUnit>) -> Result<i64, Mismatch> {
    let micros = match cell {
        SqliteCell::Text(text) => stamp(text)?.utc_microseconds(),
        SqliteCell::Integer(value) => epoch(value, unit)?,
        SqliteCell::Null | SqliteCell::Real(_) | SqliteCell::Blob(_) => return Err(Mismatch::Class),
    };
    if micros.rem_euclid(DAY_MICROSECONDS) == 0 {
        Ok(micros.div_euclid(DAY_MICROSECONDS))
    } else {
        Err(Mismatch::Digits)
    }
}

fn time(cell: SqliteCell<'_>, digits: u8) -> Result<i64, Mismatch> {
    let SqliteCell::Text(text) = cell else { return Err(Mismatch::Class) };
    let clock = match datetime::parse_clock(text) {
        Some(clock) => clock,
        None => {
            let stamp = stamp(text)?;
            if stamp.offset_minutes.is_some_and(|offset| offset != 0) || !TIME_DAYS.contains(&stamp.days) {
                return Err(Mismatch::Form);
            }
            stamp.time.ok_or(Mismatch::Form)?
        }
    };
    precise(clock, digits)
}

fn timestamp(
    cell: SqliteCell<'_>,
    unit: Option<EpochUnit>,
    digits: u8,
    altered: &mut Option<Altered>,
) -> Result<i64, Mismatch> {
    let micros = match cell {
        SqliteCell::Text(text) => {
            let stamp = stamp(text)?;
            if stamp.offset_minutes.is_some_and(|offset| offset != 0) {
                *altered = Some(Altered::Shifted);
            }
            stamp.utc_microseconds()
        }
        SqliteCell::Integer(value) => epoch(value, unit)?,
        SqliteCell::Null | SqliteCell::Real(_) | SqliteCell::Blob(_) => return Err(Mismatch::Class),
    };
    precise(micros, digits)
}

fn precise(micros: i64, digits: u8) -> Result<i64, Mismatch> {
    let step = 10_i64.pow(6_u32.saturating_sub(u32::from(digits)));
    if micros.rem_euclid(step) == 0 { Ok(micros) } else { Err(Mismatch::Digits) }
}

/// Some libraries store a document as the bytes of its text.
fn document<'a>(cell: SqliteCell<'a>, binary: bool, json: &mut Checker) -> Result<Value<'a>, Mismatch> {
    let document = match cell {
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => {
            utf8(bytes)?;
            Cow::Borrowed(bytes)
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
fn vector<'a>(
    cell: SqliteCell<'_>,
    dimensions: Option<u32>,
    altered: &mut Option<Altered>,
) -> Result<Value<'a>, Mismatch> {
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
                single(&Number::from_text(item.get()).ok_or(Mismatch::Form)?, altered)
            };
            items.iter().map(one).collect::<Result<_, _>>()?
        }
        SqliteCell::Null | SqliteCell::Integer(_) | SqliteCell::Real(_) => return Err(Mismatch::Class),
    };
    let right = dimensions.is_none_or(|wanted| u32::try_from(values.len()) == Ok(wanted));
    let possible = (1..=16_000).contains(&values.len()) && values.iter().all(|value| value.is_finite());
    if right && possible { Ok(Value::Vector(values)) } else { Err(Mismatch::Dimensions) }
}
