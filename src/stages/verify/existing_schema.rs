//! Says what PostgreSQL must hold for a cell of a column whose type an existing schema decides, by the meaning of the
//! type. Nothing of the loader's rules is used.

use serde_json::value::RawValue;

use super::{
    canonical_row::{CanonicalRow, Mismatch},
    datetime,
    decimal::{DecimalDigits, real_text},
    json,
    vector::VectorElements,
};
use crate::model::{
    PgType,
    cell::SqliteCell,
    conversion_plan::EpochUnit,
    pg_column_type::{Element, PgColumnType, TextForm},
};

type Fits = Result<(), Mismatch>;

/// 2^53: up to here every integer is a double.
const EXACT: u64 = 9_007_199_254_740_992;

/// Appends what PostgreSQL must hold for a cell that is not NULL.
pub(super) fn expected(
    image: &mut CanonicalRow,
    pg_type: &PgType,
    unit: Option<EpochUnit>,
    cell: SqliteCell<'_>,
) -> Fits {
    let shape = PgColumnType::of(pg_type).ok_or(Mismatch::Class)?;
    if !shape.array {
        return one(image, shape.element, unit, cell);
    }
    let (SqliteCell::Text(text) | SqliteCell::Blob(text)) = cell else { return Err(Mismatch::Class) };
    let items: Vec<&RawValue> = serde_json::from_slice(text).map_err(|_| Mismatch::Form)?;
    let mut inner = CanonicalRow::default();
    for item in items {
        let item = item.get();
        if item == "null" {
            inner.null();
        } else if shape.element == Element::Json {
            inner.value(item.as_bytes());
        } else if item.starts_with('"') {
            let text: String = serde_json::from_str(item).map_err(|_| Mismatch::Form)?;
            one(&mut inner, shape.element, unit, SqliteCell::Text(text.as_bytes()))?;
        } else if let Ok(number) = item.parse::<i64>() {
            one(&mut inner, shape.element, unit, SqliteCell::Integer(number))?;
        } else {
            one(&mut inner, shape.element, unit, SqliteCell::Text(item.as_bytes()))?;
        }
    }
    image.value(inner.bytes());
    Ok(())
}

fn one(image: &mut CanonicalRow, element: Element, unit: Option<EpochUnit>, cell: SqliteCell<'_>) -> Fits {
    match element {
        Element::Boolean => image.value(&[u8::from(truth(cell)?)]),
        Element::SmallInt => whole(image, cell, i64::from(i16::MIN)..=i64::from(i16::MAX))?,
        Element::Integer => whole(image, cell, i64::from(i32::MIN)..=i64::from(i32::MAX))?,
        Element::BigInt => whole(image, cell, i64::MIN..=i64::MAX)?,
        Element::Real => image.value(&single(cell)?.to_bits().to_be_bytes()),
        Element::Double => image.value(&double(cell)?.to_bits().to_be_bytes()),
        Element::Numeric(limits) => numeric(image, cell, limits)?,
        Element::Text { form, most } => text(image, cell, form, most)?,
        Element::Enum => text(image, cell, TextForm::Text, None)?,
        Element::Uuid => uuid(image, cell)?,
        Element::Bytea => match cell {
            SqliteCell::Blob(bytes) | SqliteCell::Text(bytes) => image.value(bytes),
            _ => return Err(Mismatch::Class),
        },
        Element::Date => {
            let timestamp = timestamp(cell, unit)?;
            if timestamp.rem_euclid(datetime::DAY) != 0 {
                return Err(Mismatch::Loss);
            }
            image.value(&timestamp.div_euclid(datetime::DAY).to_be_bytes());
        }
        Element::Time { digits } => {
            let SqliteCell::Text(written) = cell else { return Err(Mismatch::Class) };
            let clock = match datetime::clock(written) {
                Some(clock) => clock,
                None => datetime::timestamp(written).ok_or(Mismatch::Form)?.wall.rem_euclid(datetime::DAY),
            };
            image.value(&kept(clock, digits)?.to_be_bytes());
        }
        Element::Timestamp { digits } | Element::TimestampTz { digits } => {
            image.value(&kept(timestamp(cell, unit)?, digits)?.to_be_bytes());
        }
        Element::Json => image.value(&document(cell)?),
        Element::Jsonb => {
            let meaning = json::meaning(&document(cell)?).ok_or(Mismatch::Form)?;
            if meaning.loses {
                return Err(Mismatch::Loss);
            }
            image.value(&meaning.hash.to_be_bytes());
        }
        Element::Vector(dimensions) => vector(image, cell, dimensions)?,
    }
    Ok(())
}

fn truth(cell: SqliteCell<'_>) -> Result<bool, Mismatch> {
    let word = match cell {
        SqliteCell::Integer(number) => number.to_string(),
        SqliteCell::Text(word) => String::from_utf8_lossy(word).to_ascii_lowercase(),
        _ => return Err(Mismatch::Class),
    };
    if ["1", "true", "t", "yes", "y", "on"].contains(&word.as_str()) {
        Ok(true)
    } else if ["0", "false", "f", "no", "n", "off"].contains(&word.as_str()) {
        Ok(false)
    } else {
        Err(Mismatch::Form)
    }
}

/// A number's plain or exponential text.
fn written(cell: SqliteCell<'_>) -> Result<String, Mismatch> {
    match cell {
        SqliteCell::Integer(value) => Ok(value.to_string()),
        SqliteCell::Real(value) if value.is_finite() => Ok(real_text(value)),
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| Mismatch::Form)?;
            let text = text.strip_prefix('+').unwrap_or(text);
            let mut digits = text.bytes().filter(u8::is_ascii_digit);
            let known = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
            if known && digits.next().is_some() { Ok(text.to_owned()) } else { Err(Mismatch::Form) }
        }
        SqliteCell::Real(_) => Err(Mismatch::Loss),
        SqliteCell::Null => Err(Mismatch::Class),
    }
}

fn whole(image: &mut CanonicalRow, cell: SqliteCell<'_>, range: std::ops::RangeInclusive<i64>) -> Fits {
    let value = match cell {
        SqliteCell::Integer(value) => value,
        other => {
            let digits = DecimalDigits::of_number(written(other)?.as_bytes()).ok_or(Mismatch::Form)?;
            if digits.scale() != 0 {
                return Err(Mismatch::Loss);
            }
            let zeros = digits.point - i64::try_from(digits.significant.len()).map_err(|_| Mismatch::Loss)?;
            let zeros = usize::try_from(zeros).ok().filter(|zeros| *zeros <= 19).ok_or(Mismatch::Loss)?;
            let sign = if digits.negative { "-" } else { "" };
            let text = format!("{sign}0{}{}", String::from_utf8_lossy(&digits.significant), "0".repeat(zeros));
            text.parse().map_err(|_| Mismatch::Loss)?
        }
    };
    if !range.contains(&value) {
        return Err(Mismatch::Loss);
    }
    image.value(&value.to_be_bytes());
    Ok(())
}

fn single(cell: SqliteCell<'_>) -> Result<f32, Mismatch> {
    let value: f32 = written(cell)?.parse().map_err(|_| Mismatch::Form)?;
    if value.is_finite() { Ok(value) } else { Err(Mismatch::Loss) }
}

#[expect(clippy::cast_precision_loss, reason = "only integers that are doubles get here")]
fn double(cell: SqliteCell<'_>) -> Result<f64, Mismatch> {
    match cell {
        SqliteCell::Real(value) => Ok(value),
        SqliteCell::Integer(value) if value.unsigned_abs() <= EXACT => Ok(value as f64),
        SqliteCell::Integer(_) => Err(Mismatch::Loss),
        other => written(other)?.parse().map_err(|_| Mismatch::Form),
    }
}

fn numeric(image: &mut CanonicalRow, cell: SqliteCell<'_>, limits: Option<(u16, u16)>) -> Fits {
    let text = written(cell)?;
    let digits = DecimalDigits::of_number(text.as_bytes()).ok_or(Mismatch::Form)?;
    let needed = i64::try_from(digits.scale()).map_err(|_| Mismatch::Loss)?;
    let shown = match limits {
        Some((precision, scale)) => {
            if needed > i64::from(scale) || digits.point > i64::from(precision) - i64::from(scale) {
                return Err(Mismatch::Loss);
            }
            i64::from(scale)
        }
        // What stands in a text after the point is shown, zeros too.
        None if matches!(cell, SqliteCell::Text(_) | SqliteCell::Blob(_)) => {
            let (number, power) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
            let places = number.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            let places = i64::try_from(places).map_err(|_| Mismatch::Loss)?;
            places.saturating_sub(power.parse::<i64>().map_err(|_| Mismatch::Form)?).max(0)
        }
        None => needed,
    };
    image.number(u16::try_from(shown).map_err(|_| Mismatch::Loss)?, &digits.groups().ok_or(Mismatch::Loss)?);
    Ok(())
}

fn text(image: &mut CanonicalRow, cell: SqliteCell<'_>, form: TextForm, most: Option<u32>) -> Fits {
    let number;
    let bytes = match cell {
        SqliteCell::Text(bytes) => bytes,
        SqliteCell::Integer(value) => {
            number = value.to_string();
            number.as_bytes()
        }
        SqliteCell::Real(value) => {
            number = real_text(value);
            number.as_bytes()
        }
        SqliteCell::Null | SqliteCell::Blob(_) => return Err(Mismatch::Class),
    };
    let Some(most) = most.and_then(|most| usize::try_from(most).ok()) else {
        image.value(bytes);
        return Ok(());
    };
    let count = bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    let missing = most.checked_sub(count).ok_or(Mismatch::Loss)?;
    if form == TextForm::Char {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len() + missing, b' ');
        image.value(&padded);
    } else {
        image.value(bytes);
    }
    Ok(())
}

fn uuid(image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Fits {
    let SqliteCell::Text(written) = cell else {
        return match cell {
            SqliteCell::Blob(bytes) if bytes.len() == 16 => {
                image.value(bytes);
                Ok(())
            }
            _ => Err(Mismatch::Class),
        };
    };
    let parts: Vec<usize> = written.split(|byte| *byte == b'-').map(<[u8]>::len).collect();
    if parts != [8, 4, 4, 4, 12] && parts != [32] {
        return Err(Mismatch::Form);
    }
    let digits: String = written.iter().filter(|byte| **byte != b'-').map(|byte| char::from(*byte)).collect();
    image.value(&u128::from_str_radix(&digits, 16).map_err(|_| Mismatch::Form)?.to_be_bytes());
    Ok(())
}

/// A point in time in microseconds from 1970, in UTC.
fn timestamp(cell: SqliteCell<'_>, unit: Option<EpochUnit>) -> Result<i64, Mismatch> {
    match cell {
        SqliteCell::Text(written) => {
            let timestamp = datetime::timestamp(written).ok_or(Mismatch::Form)?;
            Ok(timestamp.wall - timestamp.east.unwrap_or(0))
        }
        SqliteCell::Integer(value) => {
            let factor = unit.ok_or(Mismatch::Form)?.microseconds();
            value.checked_mul(factor).ok_or(Mismatch::Loss)
        }
        _ => Err(Mismatch::Class),
    }
}

/// The time if the type's digits show all of it.
fn kept(micros: i64, digits: u8) -> Result<i64, Mismatch> {
    let hidden = usize::from(6_u8.saturating_sub(digits));
    let text = format!("{:06}", micros.unsigned_abs());
    let loses = text.bytes().rev().take(hidden).any(|digit| digit != b'0');
    if loses { Err(Mismatch::Loss) } else { Ok(micros) }
}

fn document(cell: SqliteCell<'_>) -> Result<Vec<u8>, Mismatch> {
    match cell {
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => Ok(bytes.to_vec()),
        SqliteCell::Integer(value) => Ok(value.to_string().into_bytes()),
        SqliteCell::Real(value) => Ok(real_text(value).into_bytes()),
        SqliteCell::Null => Err(Mismatch::Class),
    }
}

fn vector(image: &mut CanonicalRow, cell: SqliteCell<'_>, dimensions: Option<u32>) -> Fits {
    let singles: Vec<u32> = match cell {
        SqliteCell::Blob(blob) => {
            let data = if blob.len() % 2 == 1 { blob.strip_suffix(&[1]).ok_or(Mismatch::Form)? } else { blob };
            let (words, rest) = data.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(Mismatch::Form);
            }
            words.iter().map(|word| u32::from_le_bytes(*word)).collect()
        }
        SqliteCell::Text(text) => {
            let items: Vec<&RawValue> = serde_json::from_slice(text).map_err(|_| Mismatch::Form)?;
            let one = |item: &&RawValue| item.get().parse::<f32>().map(f32::to_bits).map_err(|_| Mismatch::Form);
            items.iter().map(one).collect::<Result<_, _>>()?
        }
        _ => return Err(Mismatch::Class),
    };
    if dimensions.is_some_and(|wanted| u32::try_from(singles.len()) != Ok(wanted)) {
        return Err(Mismatch::Loss);
    }
    image.value(&VectorElements::Single(singles).bytes());
    Ok(())
}
