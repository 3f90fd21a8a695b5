//! Says what PostgreSQL must hold for a cell of a column whose type an existing schema or the configuration gives, by
//! the meaning of the type (docs/conversion-rules.md, section 9.2). Nothing of the loader's rules is used.

mod arrays;

mod texts;

mod times;

use serde_json::value::RawValue;

use super::{
    canonical_row::{CanonicalRow, Mismatch},
    decimal::{DecimalDigits, real_text},
    guid::dotnet_uuid,
    json,
    stored_text::replace_invalid_utf8,
    vector::VectorElements,
};
use crate::model::{
    PgType,
    cell::SqliteCell,
    conversion_plan::{ExistingReading, GuidOrder},
    pg_column_type::{Element, PgColumnType, TextForm},
};

type Fits = Result<(), Mismatch>;

/// The reading of one cell.
struct CellReading<'a> {
    settings: &'a ExistingReading,
    /// Whether the value is cut or rounded.
    loses: bool,
}

/// Appends what PostgreSQL must hold for a cell that is not NULL; for a type that PostgreSQL's text input reads, the
/// text.
pub(super) fn expected(
    image: &mut CanonicalRow,
    pg_type: &PgType,
    settings: &ExistingReading,
    cell: SqliteCell<'_>,
) -> Fits {
    let shape = PgColumnType::of(pg_type);
    if shape.by_text_input() {
        image.value(input_text(pg_type, settings, cell)?.as_bytes());
        return Ok(());
    }
    let mut reading = CellReading { settings, loses: false };
    if settings.exact {
        value(&mut CanonicalRow::default(), shape, &mut reading, cell)?;
        if reading.loses {
            return Err(Mismatch::Loss);
        }
    }
    value(image, shape, &mut reading, cell)
}

/// The text that PostgreSQL reads for a cell that is not NULL.
pub(super) fn input_text(
    pg_type: &PgType,
    settings: &ExistingReading,
    cell: SqliteCell<'_>,
) -> Result<String, Mismatch> {
    let shape = PgColumnType::of(pg_type);
    let mut reading = CellReading { settings, loses: false };
    let text = if shape.array {
        arrays::text(shape.element, cell, &mut reading)?
    } else {
        texts::one(shape.element, cell, &mut reading)?
    };
    if settings.exact && reading.loses { Err(Mismatch::Loss) } else { Ok(text) }
}

fn value(image: &mut CanonicalRow, shape: PgColumnType, reading: &mut CellReading<'_>, cell: SqliteCell<'_>) -> Fits {
    if !shape.array {
        return one(image, shape.element, reading, cell);
    }
    image.value(arrays::image(shape.element, cell, reading)?.bytes());
    Ok(())
}

fn one(image: &mut CanonicalRow, element: Element, reading: &mut CellReading<'_>, cell: SqliteCell<'_>) -> Fits {
    match element {
        Element::Boolean => image.value(&[u8::from(truth(cell)?)]),
        Element::SmallInt => whole(image, cell, i64::from(i16::MIN)..=i64::from(i16::MAX), reading)?,
        Element::Integer => whole(image, cell, i64::from(i32::MIN)..=i64::from(i32::MAX), reading)?,
        Element::BigInt => whole(image, cell, i64::MIN..=i64::MAX, reading)?,
        Element::Real => image.value(&single(cell, reading)?.to_bits().to_be_bytes()),
        Element::Double => image.value(&double(cell, reading)?.to_bits().to_be_bytes()),
        Element::Numeric(limits) => numeric(image, cell, limits, reading)?,
        Element::Text { form, most } => image.value(text(cell, form, most, reading)?.as_bytes()),
        Element::Enum => image.value(text(cell, TextForm::Text, None, reading)?.as_bytes()),
        Element::Uuid => uuid(image, cell, reading.settings.guid)?,
        Element::Bytea => match cell {
            SqliteCell::Blob(bytes) | SqliteCell::Text(bytes) => image.value(bytes),
            _ => return Err(Mismatch::Class),
        },
        Element::Date => image.value(&times::date(cell, reading)?.to_be_bytes()),
        Element::Time { digits } => image.value(&times::time(cell, digits, reading)?.to_be_bytes()),
        Element::Timestamp { digits } => image.value(&times::timestamp(cell, digits, false, reading)?.to_be_bytes()),
        Element::TimestampTz { digits } => image.value(&times::timestamp(cell, digits, true, reading)?.to_be_bytes()),
        Element::Json => {
            let document = document(cell)?;
            if !json::is_json(&document) {
                return Err(Mismatch::Form);
            }
            image.value(&document);
        }
        Element::Jsonb => {
            let meaning = json::meaning(&document(cell)?).ok_or(Mismatch::Form)?;
            if meaning.is_beyond() {
                return Err(Mismatch::Loss);
            }
            image.value(&meaning.text);
        }
        Element::Vector(dimensions) => {
            image.value(&VectorElements::Single(singles(cell, dimensions)?).bytes());
        }
        Element::TextInput(_) => image.value(texts::one(element, cell, reading)?.as_bytes()),
    }
    Ok(())
}

fn truth(cell: SqliteCell<'_>) -> Result<bool, Mismatch> {
    let word = match cell {
        SqliteCell::Integer(number) => number.to_string(),
        SqliteCell::Real(number) => (number + 0.0).to_string(),
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
            if is_number(text) { Ok(text.strip_prefix('+').unwrap_or(text).to_owned()) } else { Err(Mismatch::Form) }
        }
        SqliteCell::Real(_) => Err(Mismatch::Loss),
        SqliteCell::Null => Err(Mismatch::Class),
    }
}

/// Sign, digits with a point, exponent.
fn is_number(text: &str) -> bool {
    let unsigned = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let text = unsigned(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((&text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = unsigned(exponent);
    are_digits(whole)
        && are_digits(fraction)
        && are_digits(&exponent)
        && !exponent.is_empty()
        && !(whole.is_empty() && fraction.is_empty())
}

fn whole(
    image: &mut CanonicalRow,
    cell: SqliteCell<'_>,
    range: std::ops::RangeInclusive<i64>,
    reading: &mut CellReading<'_>,
) -> Fits {
    let value = match cell {
        SqliteCell::Integer(value) => value,
        other => {
            let digits = DecimalDigits::of_number(written(other)?.as_bytes()).ok_or(Mismatch::Form)?;
            let (digits, exact) = digits.rounded(0);
            reading.loses |= !exact;
            digits.floor(0).ok_or(Mismatch::Loss)?.0
        }
    };
    if !range.contains(&value) {
        return Err(Mismatch::Loss);
    }
    image.value(&value.to_be_bytes());
    Ok(())
}

/// Whether a float shows the digits of a text, either by its shortest form or by its exact value.
fn shows(text: &str, forms: &[String]) -> bool {
    let wanted = DecimalDigits::of_number(text.as_bytes());
    forms.iter().any(|form| DecimalDigits::of_number(form.as_bytes()) == wanted)
}

fn single(cell: SqliteCell<'_>, reading: &mut CellReading<'_>) -> Result<f32, Mismatch> {
    let text = written(cell)?;
    let value: f32 = text.parse().map_err(|_| Mismatch::Form)?;
    if !value.is_finite() {
        return Err(Mismatch::Loss);
    }
    reading.loses |= !shows(&text, &[value.to_string(), f64::from(value).to_string()]);
    Ok(value)
}

#[expect(clippy::cast_precision_loss, reason = "the nearest double is what PostgreSQL must hold")]
fn double(cell: SqliteCell<'_>, reading: &mut CellReading<'_>) -> Result<f64, Mismatch> {
    match cell {
        SqliteCell::Real(value) => Ok(value),
        SqliteCell::Integer(value) => {
            let double = value as f64;
            reading.loses |= value.to_string() != format!("{double:.0}");
            Ok(double)
        }
        other => {
            let text = written(other)?;
            let value: f64 = text.parse().map_err(|_| Mismatch::Form)?;
            if !value.is_finite() {
                return Err(Mismatch::Loss);
            }
            reading.loses |= !shows(&text, &[value.to_string()]);
            Ok(value)
        }
    }
}

fn numeric(
    image: &mut CanonicalRow,
    cell: SqliteCell<'_>,
    limits: Option<(u16, u16)>,
    reading: &mut CellReading<'_>,
) -> Fits {
    let text = written(cell)?;
    let mut digits = DecimalDigits::of_number(text.as_bytes()).ok_or(Mismatch::Form)?;
    let shown = match limits {
        Some((precision, scale)) => {
            let (rounded, exact) = digits.rounded(i64::from(scale));
            reading.loses |= !exact;
            digits = rounded;
            if digits.point > i64::from(precision) - i64::from(scale) {
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
        None => i64::try_from(digits.scale()).map_err(|_| Mismatch::Loss)?,
    };
    image.number(u16::try_from(shown).map_err(|_| Mismatch::Loss)?, &digits.groups().ok_or(Mismatch::Loss)?);
    Ok(())
}

fn text(
    cell: SqliteCell<'_>,
    form: TextForm,
    most: Option<u32>,
    reading: &mut CellReading<'_>,
) -> Result<String, Mismatch> {
    let text = match cell {
        SqliteCell::Text(bytes) => match String::from_utf8(bytes.to_vec()) {
            Ok(text) if !text.contains('\0') => text,
            _ if reading.settings.replaces_text => {
                String::from_utf8(replace_invalid_utf8(bytes)).map_err(|_| Mismatch::Form)?
            }
            _ => return Err(Mismatch::Form),
        },
        SqliteCell::Integer(value) => value.to_string(),
        SqliteCell::Real(value) => real_text(value),
        SqliteCell::Null | SqliteCell::Blob(_) => return Err(Mismatch::Class),
    };
    let Some(most) = most.and_then(|most| usize::try_from(most).ok()) else { return Ok(text) };
    let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    reading.loses |= end < text.len();
    let kept = text.get(..end).unwrap_or(&text);
    Ok(if form == TextForm::Char { format!("{kept:most$}") } else { kept.to_owned() })
}

fn uuid(image: &mut CanonicalRow, cell: SqliteCell<'_>, order: GuidOrder) -> Fits {
    let SqliteCell::Text(written) = cell else {
        return match (cell, order) {
            (SqliteCell::Blob(bytes), GuidOrder::Dotnet) => {
                image.value(&dotnet_uuid(bytes).ok_or(Mismatch::Form)?);
                Ok(())
            }
            (SqliteCell::Blob(bytes), GuidOrder::Network) if bytes.len() == 16 => {
                image.value(bytes);
                Ok(())
            }
            _ => Err(Mismatch::Class),
        };
    };
    let inner = match written {
        [b'{', inner @ .., b'}'] => inner,
        plain => plain,
    };
    let parts: Vec<usize> = inner.split(|byte| *byte == b'-').map(<[u8]>::len).collect();
    if parts != [8, 4, 4, 4, 12] && parts != [32] {
        return Err(Mismatch::Form);
    }
    let digits: String = inner.iter().filter(|byte| **byte != b'-').map(|byte| char::from(*byte)).collect();
    let digits = Some(digits).filter(|digits| !digits.starts_with('+')).ok_or(Mismatch::Form)?;
    image.value(&u128::from_str_radix(&digits, 16).map_err(|_| Mismatch::Form)?.to_be_bytes());
    Ok(())
}

fn document(cell: SqliteCell<'_>) -> Result<Vec<u8>, Mismatch> {
    match cell {
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => Ok(bytes.to_vec()),
        SqliteCell::Integer(value) => Ok(value.to_string().into_bytes()),
        SqliteCell::Real(value) if value.is_finite() => Ok(real_text(value).into_bytes()),
        SqliteCell::Null | SqliteCell::Real(_) => Err(Mismatch::Class),
    }
}

/// The bits of the elements of a vector.
fn singles(cell: SqliteCell<'_>, dimensions: Option<u32>) -> Result<Vec<u32>, Mismatch> {
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
    let wanted = dimensions.is_none_or(|wanted| u32::try_from(singles.len()) == Ok(wanted));
    let finite = singles.iter().all(|bits| f32::from_bits(*bits).is_finite());
    if wanted && finite && !singles.is_empty() { Ok(singles) } else { Err(Mismatch::Loss) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_what_only_has_their_characters() {
        for text in ["1", "-1", "+1.50", ".5", "5.", "1e5", "-1.5E-7"] {
            assert!(is_number(text), "{text}");
        }
        for text in ["", "-", ".", "e5", "1e", "+-5", "1.2.3", "2024-01-02", "555-1234", "1e+-5", "1e5e5"] {
            assert!(!is_number(text), "{text}");
        }
    }
}
