//! Encodes one SQLite cell as one field of binary COPY, exactly as `model::Conversion` defines it.

use std::io::Write as _;

use super::{
    existing_schema::ExistingColumnForm,
    refusal::{EncodeError, OFF_PLAN, OUT_OF_RANGE},
    vector::VectorForm,
};
use crate::{
    model::{
        ColumnPlan, Conversion, PgType,
        cell::SqliteCell,
        conversion_plan::{BlobText, EpochUnit, TimeEncoding},
    },
    postgres::copy::binary_encode,
    rules::{
        datetime::{self, DAY_MICROSECONDS},
        decimal::{DOUBLE_EXACT_MOST, Decimal, real_text},
        type_choice::value_check::epoch_unit,
        value_shape::{bool_word, jsonb, replaced, turned_guid, whole_number},
    },
    workdir::hex,
};

/// 4713-11-24 BC, PostgreSQL's first date, in days from 2000-01-01.
const DATE_FIRST: i64 = -2_451_545;

/// A conversion and its target type, resolved once per table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum CellForm {
    SmallInt,
    Integer,
    BigInt,
    IntegerText,
    IntegerBoolean,
    WordBoolean,
    AnyBoolean,
    Double,
    Numeric(Option<(u16, u16)>),
    /// What PostgreSQL can't hold is replaced only where the off-type table keeps it.
    Text {
        blobs: BlobText,
        characters_max: Option<u32>,
        replaces: bool,
    },
    Bytea,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    EpochTimestamp(EpochUnit),
    EpochDate(EpochUnit),
    RailsTime,
    EncodedTimestamp(TimeEncoding),
    EncodedDate(TimeEncoding),
    AnyTimestamp(EpochUnit),
    UuidText,
    UuidBlob,
    UuidDotnet,
    SqliteJson,
    SqliteJsonb,
    Json,
    Jsonb,
    Vector(VectorForm),
    ExistingType(ExistingColumnForm),
}

impl CellForm {
    /// The form of a column; none if its conversion can't give its type.
    pub(super) fn of(column: &ColumnPlan) -> Option<Self> {
        let form = match (column.conversion, &column.pg_type) {
            (Conversion::Integer, PgType::SmallInt) => Self::SmallInt,
            (Conversion::Integer, PgType::Integer) => Self::Integer,
            (Conversion::Integer, PgType::BigInt) => Self::BigInt,
            (Conversion::IntegerBoolean, PgType::Boolean) => Self::IntegerBoolean,
            (Conversion::WordBoolean, PgType::Boolean) => Self::WordBoolean,
            (Conversion::Double, PgType::Double) => Self::Double,
            (Conversion::Numeric, PgType::Numeric(limits)) => Self::Numeric(*limits),
            (Conversion::IntegerText, PgType::BigInt) => Self::IntegerText,
            (Conversion::AnyBoolean, PgType::Boolean) => Self::AnyBoolean,
            (Conversion::Text { blobs }, PgType::Text) => {
                Self::Text { blobs, characters_max: None, replaces: column.records_off_type }
            }
            (Conversion::Text { blobs }, PgType::Varchar(n)) => {
                Self::Text { blobs, characters_max: Some(*n), replaces: column.records_off_type }
            }
            (Conversion::Bytea, PgType::Bytea) => Self::Bytea,
            (Conversion::Date, PgType::Date) => Self::Date,
            (Conversion::Time, PgType::Time) => Self::Time,
            (Conversion::Timestamp, PgType::Timestamp) => Self::Timestamp,
            (Conversion::TimestampTz, PgType::TimestampTz) => Self::TimestampTz,
            (Conversion::Epoch { unit }, PgType::Timestamp | PgType::TimestampTz) => Self::EpochTimestamp(unit),
            (Conversion::Epoch { unit }, PgType::Date) => Self::EpochDate(unit),
            (Conversion::RailsTime, PgType::Time) => Self::RailsTime,
            (Conversion::Computed { by }, PgType::Timestamp | PgType::TimestampTz) => Self::EncodedTimestamp(by),
            (Conversion::Computed { by }, PgType::Date) => Self::EncodedDate(by),
            (Conversion::AnyTimestamp { unit }, PgType::TimestampTz) => Self::AnyTimestamp(unit),
            (Conversion::UuidText, PgType::Uuid) => Self::UuidText,
            (Conversion::UuidDotnet, PgType::Uuid) => Self::UuidDotnet,
            (Conversion::SqliteJsonb, PgType::Json) => Self::SqliteJson,
            (Conversion::SqliteJsonb, PgType::Jsonb) => Self::SqliteJsonb,
            (Conversion::UuidBlob, PgType::Uuid) => Self::UuidBlob,
            (Conversion::Json, PgType::Json) => Self::Json,
            (Conversion::Json, PgType::Jsonb) => Self::Jsonb,
            (Conversion::Vector { encoding }, target) => Self::Vector(VectorForm::of(encoding, target)?),
            (Conversion::ExistingType(reading), target) => Self::ExistingType(ExistingColumnForm::of(target, reading)),
            _ => return None,
        };
        Some(form)
    }

    /// Appends the cell as a field.
    ///
    /// # Errors
    /// [`EncodeError`]; what was appended so far is then of no use.
    #[inline]
    pub(super) fn write(&self, cell: SqliteCell<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match (self, cell) {
            (_, SqliteCell::Null) => binary_encode::null(out),
            (Self::ExistingType(form), cell) => form.write(cell, out)?,
            (Self::BigInt | Self::IntegerText, SqliteCell::Integer(value)) => binary_encode::int8(out, value),
            (Self::IntegerText, SqliteCell::Text(text)) => {
                binary_encode::int8(out, whole_number(text).ok_or(OFF_PLAN)?);
            }
            (Self::Text { characters_max: None, replaces: false, .. }, SqliteCell::Text(text)) => {
                binary_encode::bytes(out, storable(text)?)?;
            }
            (Self::Double, SqliteCell::Real(value)) => binary_encode::float8(out, value),
            (Self::Integer, SqliteCell::Integer(value)) => {
                binary_encode::int4(out, i32::try_from(value).map_err(|_| OUT_OF_RANGE)?);
            }
            (Self::SmallInt, SqliteCell::Integer(value)) => {
                binary_encode::int2(out, i16::try_from(value).map_err(|_| OUT_OF_RANGE)?);
            }
            (Self::IntegerBoolean | Self::AnyBoolean, SqliteCell::Integer(value @ (0 | 1))) => {
                binary_encode::boolean(out, value == 1);
            }
            (Self::AnyBoolean, SqliteCell::Text(word)) => binary_encode::boolean(out, bool_word(word).ok_or(OFF_PLAN)?),
            (Self::WordBoolean, SqliteCell::Text(word)) => binary_encode::boolean(out, truth(word).ok_or(OFF_PLAN)?),
            (Self::Double, SqliteCell::Integer(value)) => binary_encode::float8(out, exact_double(value)?),
            (Self::Numeric(limits), SqliteCell::Integer(value)) => {
                numeric(out, Decimal::from_integer(value), *limits)?;
            }
            (Self::Numeric(limits), SqliteCell::Real(value)) => numeric_of_real(out, value, *limits)?,
            (Self::Text { characters_max, replaces: true, .. }, SqliteCell::Text(text)) if storable(text).is_err() => {
                write_text(out, SqliteCell::Text(replaced(text).as_bytes()), BlobText::Hex, *characters_max)?;
            }
            (Self::Text { blobs, characters_max, .. }, cell) => write_text(out, cell, *blobs, *characters_max)?,
            (Self::Bytea, SqliteCell::Blob(bytes) | SqliteCell::Text(bytes)) => binary_encode::bytes(out, bytes)?,
            (Self::UuidBlob, SqliteCell::Blob(bytes)) if bytes.len() == 16 => binary_encode::bytes(out, bytes)?,
            (Self::UuidText, SqliteCell::Text(text)) => binary_encode::bytes(out, &uuid(text).ok_or(OFF_PLAN)?)?,
            (Self::Json, SqliteCell::Text(text)) => binary_encode::bytes(out, storable(text)?)?,
            (Self::Jsonb, SqliteCell::Text(text)) => binary_encode::jsonb(out, storable(text)?)?,
            (Self::Json | Self::Jsonb, SqliteCell::Real(value)) if !value.is_finite() => return Err(OFF_PLAN),
            (Self::Bytea | Self::Json, cell) => number_text(out, cell)?,
            (Self::Jsonb, cell) => {
                let at = binary_encode::begin(out);
                out.push(1);
                number(out, cell)?;
                binary_encode::end(out, at)?;
            }
            (Self::Vector(form), SqliteCell::Blob(bytes)) => form.write(bytes, out)?,
            (Self::UuidDotnet, SqliteCell::Blob(bytes)) => {
                binary_encode::bytes(out, &turned_guid(bytes).ok_or(OFF_PLAN)?)?;
            }
            (Self::SqliteJson, SqliteCell::Blob(bytes)) => {
                binary_encode::bytes(out, jsonb::text_of(bytes).ok_or(OFF_PLAN)?.as_bytes())?;
            }
            (Self::SqliteJsonb, SqliteCell::Blob(bytes)) => {
                binary_encode::jsonb(out, jsonb::text_of(bytes).ok_or(OFF_PLAN)?.as_bytes())?;
            }
            _ => return self.write_timestamp(cell, out),
        }
        Ok(())
    }

    /// Dates and times.
    fn write_timestamp(&self, cell: SqliteCell<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match (self, cell) {
            (Self::Date, SqliteCell::Text(text)) => {
                let days = datetime::parse_date(text).ok_or(OFF_PLAN)? - binary_encode::EPOCH_DAYS;
                binary_encode::int4(out, i32::try_from(days).map_err(|_| OUT_OF_RANGE)?);
            }
            (Self::Time, SqliteCell::Text(text)) => {
                binary_encode::int8(out, datetime::parse_clock(text).ok_or(OFF_PLAN)?);
            }
            (Self::Timestamp, SqliteCell::Text(text)) => {
                let stamp = datetime::parse_stamp(text).filter(|stamp| stamp.offset_minutes.is_none());
                binary_encode::int8(
                    out,
                    stamp.ok_or(OFF_PLAN)?.wall_microseconds() - binary_encode::EPOCH_MICROSECONDS,
                );
            }
            (Self::TimestampTz | Self::AnyTimestamp(_), SqliteCell::Text(text)) => {
                let stamp = datetime::parse_stamp(text).ok_or(OFF_PLAN)?;
                binary_encode::int8(out, stamp.utc_microseconds() - binary_encode::EPOCH_MICROSECONDS);
            }
            (Self::EpochTimestamp(unit), SqliteCell::Integer(value)) => {
                binary_encode::int8(out, epoch(value, *unit)?);
            }
            (Self::AnyTimestamp(unit), SqliteCell::Integer(value)) => {
                if epoch_unit((value, value)) != Some(*unit) {
                    return Err(OFF_PLAN);
                }
                binary_encode::int8(out, epoch(value, *unit)?);
            }
            (Self::EpochDate(unit), SqliteCell::Integer(value)) => date(out, epoch(value, *unit)?)?,
            (Self::EncodedTimestamp(by), cell) => {
                binary_encode::int8(out, in_range(datetime::decode_time(*by, cell).ok_or(OFF_PLAN)?)?);
            }
            (Self::EncodedDate(by), cell) => date(out, in_range(datetime::decode_time(*by, cell).ok_or(OFF_PLAN)?)?)?,
            (Self::RailsTime, SqliteCell::Text(text)) => {
                binary_encode::int8(out, datetime::parse_rails_clock(text).ok_or(OFF_PLAN)?);
            }
            _ => return Err(OFF_PLAN),
        }
        Ok(())
    }
}

/// Text that PostgreSQL can hold: UTF-8 without NUL.
fn storable(text: &[u8]) -> Result<&[u8], EncodeError> {
    if str::from_utf8(text).is_err() {
        return Err(EncodeError("is not valid UTF-8"));
    }
    if text.contains(&0) {
        return Err(EncodeError("holds a NUL character"));
    }
    Ok(text)
}

fn truth(word: &[u8]) -> Option<bool> {
    let is = |other: &[u8]| word.eq_ignore_ascii_case(other);
    if is(b"t") || is(b"true") {
        Some(true)
    } else if is(b"f") || is(b"false") {
        Some(false)
    } else {
        None
    }
}

#[expect(clippy::cast_precision_loss, reason = "integers up to 2^53 are exact in a double")]
fn exact_double(value: i64) -> Result<f64, EncodeError> {
    if value.unsigned_abs() <= DOUBLE_EXACT_MOST { Ok(value as f64) } else { Err(OUT_OF_RANGE) }
}

fn numeric_of_real(out: &mut Vec<u8>, value: f64, limits: Option<(u16, u16)>) -> Result<(), EncodeError> {
    match (Decimal::from_real(value), limits) {
        (Some(decimal), limits) => numeric(out, decimal, limits),
        (None, None) if value.is_infinite() => {
            binary_encode::numeric_infinity(out, value > 0.0);
            Ok(())
        }
        (None, _) => Err(OUT_OF_RANGE),
    }
}

fn numeric(out: &mut Vec<u8>, value: Decimal, limits: Option<(u16, u16)>) -> Result<(), EncodeError> {
    let Some((precision, scale)) = limits else {
        binary_encode::numeric(out, &value, value.scale());
        return Ok(());
    };
    // The server would round what doesn't fit.
    if value.scale() > scale || value.whole_digits() > precision - scale {
        return Err(OUT_OF_RANGE);
    }
    binary_encode::numeric(out, &value, scale);
    Ok(())
}

fn write_text(
    out: &mut Vec<u8>,
    cell: SqliteCell<'_>,
    blobs: BlobText,
    characters_max: Option<u32>,
) -> Result<(), EncodeError> {
    let at = binary_encode::begin(out);
    text(out, cell, blobs)?;
    let written = out.get(at..).unwrap_or_default();
    let most = characters_max.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    if written.len() > most {
        // The server would cut off blanks beyond the limit.
        let characters = written.iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
        if characters > most {
            return Err(EncodeError("has more characters than the type holds"));
        }
    }
    binary_encode::end(out, at)?;
    Ok(())
}

/// Appends a cell as `Conversion::Text` writes it.
pub(super) fn text(out: &mut Vec<u8>, cell: SqliteCell<'_>, blobs: BlobText) -> Result<(), EncodeError> {
    match cell {
        SqliteCell::Text(text) => out.extend_from_slice(storable(text)?),
        SqliteCell::Blob(bytes)
            if blobs == BlobText::Utf8OrHex && storable(bytes).is_ok() && !bytes.starts_with(b"\\x") =>
        {
            out.extend_from_slice(bytes);
        }
        SqliteCell::Blob(bytes) => {
            out.extend_from_slice(b"\\x");
            out.extend_from_slice(hex(bytes).as_bytes());
        }
        SqliteCell::Null | SqliteCell::Integer(_) | SqliteCell::Real(_) => number(out, cell)?,
    }
    Ok(())
}

fn number_text(out: &mut Vec<u8>, cell: SqliteCell<'_>) -> Result<(), EncodeError> {
    let at = binary_encode::begin(out);
    number(out, cell)?;
    binary_encode::end(out, at)?;
    Ok(())
}

fn number(out: &mut Vec<u8>, cell: SqliteCell<'_>) -> Result<(), EncodeError> {
    match cell {
        // Writing to a Vec cannot fail.
        SqliteCell::Integer(value) => write!(out, "{value}").map_err(|_| OFF_PLAN),
        SqliteCell::Real(value) => {
            out.extend_from_slice(real_text(value).as_bytes());
            Ok(())
        }
        SqliteCell::Null | SqliteCell::Text(_) | SqliteCell::Blob(_) => Err(OFF_PLAN),
    }
}

fn epoch(value: i64, unit: EpochUnit) -> Result<i64, EncodeError> {
    in_range(value.checked_mul(unit.microseconds()).ok_or(OUT_OF_RANGE)?)
}

/// A date of microseconds since 2000.
fn date(out: &mut Vec<u8>, timestamp: i64) -> Result<(), EncodeError> {
    if timestamp.rem_euclid(DAY_MICROSECONDS) != 0 {
        return Err(EncodeError("is not midnight, so it is no date"));
    }
    let days = timestamp / DAY_MICROSECONDS;
    let days = i32::try_from(days).ok().filter(|days| i64::from(*days) >= DATE_FIRST);
    binary_encode::int4(out, days.ok_or(OUT_OF_RANGE)?);
    Ok(())
}

/// Microseconds since 1970 as microseconds since 2000.
fn in_range(microseconds: i64) -> Result<i64, EncodeError> {
    let timestamp = microseconds.checked_sub(binary_encode::EPOCH_MICROSECONDS);
    timestamp
        .filter(|timestamp| (binary_encode::TIMESTAMP_FIRST..binary_encode::TIMESTAMP_END).contains(timestamp))
        .ok_or(OUT_OF_RANGE)
}

/// The 16 bytes of `8-4-4-4-12` hexadecimal digits.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != 36 {
        return None;
    }
    let mut bytes = [0_u8; 16];
    let mut digits = 0_usize;
    for (position, letter) in text.iter().enumerate() {
        if matches!(position, 8 | 13 | 18 | 23) {
            if *letter != b'-' {
                return None;
            }
            continue;
        }
        let digit = u8::try_from(char::from(*letter).to_digit(16)?).ok()?;
        let place = bytes.get_mut(digits / 2)?;
        *place = (*place << 4) | digit;
        digits += 1;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(form: &CellForm, cell: SqliteCell<'_>) -> bool {
        form.write(cell, &mut Vec::new()).is_err()
    }

    fn value(form: &CellForm, cell: SqliteCell<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        form.write(cell, &mut out).unwrap();
        let length = i32::from_be_bytes([out[0], out[1], out[2], out[3]]);
        assert_eq!(usize::try_from(length), Ok(out.len() - 4));
        out.split_off(4)
    }

    #[test]
    fn what_the_conversion_does_not_name_is_refused() {
        let text = CellForm::Text { blobs: BlobText::Hex, characters_max: Some(3), replaces: false };
        for (form, cell) in [
            (&CellForm::SmallInt, SqliteCell::Integer(32_768)),
            (&CellForm::Integer, SqliteCell::Integer(1 << 31)),
            (&CellForm::BigInt, SqliteCell::Real(1.0)),
            (&CellForm::BigInt, SqliteCell::Text(b"1")),
            (&CellForm::IntegerBoolean, SqliteCell::Integer(2)),
            (&CellForm::WordBoolean, SqliteCell::Text(b"yes")),
            (&CellForm::Double, SqliteCell::Integer((1 << 53) + 1)),
            (&CellForm::Numeric(Some((4, 2))), SqliteCell::Integer(100)),
            (&CellForm::Numeric(Some((4, 2))), SqliteCell::Real(0.125)),
            (&CellForm::Numeric(Some((4, 2))), SqliteCell::Real(f64::INFINITY)),
            (&text, SqliteCell::Text(b"abcd")),
            (&text, SqliteCell::Text(b"abc ")),
            (&text, SqliteCell::Text(b"a\0")),
            (&text, SqliteCell::Text(b"\xff")),
            (&CellForm::Date, SqliteCell::Text(b"2024-02-30")),
            (&CellForm::Timestamp, SqliteCell::Text(b"2024-01-01 00:00:00Z")),
            (&CellForm::EpochTimestamp(EpochUnit::Seconds), SqliteCell::Integer(i64::MAX)),
            (&CellForm::EpochDate(EpochUnit::Seconds), SqliteCell::Integer(1)),
            (&CellForm::UuidText, SqliteCell::Text(b"00112233445566778899aabbccddeeff")),
            (&CellForm::UuidBlob, SqliteCell::Blob(&[0; 15])),
            (&CellForm::Json, SqliteCell::Real(f64::INFINITY)),
            (&CellForm::Jsonb, SqliteCell::Blob(b"{}")),
        ] {
            assert!(refused(form, cell), "{form:?} {cell:?}");
        }
    }

    #[test]
    fn numbers_and_blobs_have_a_text() {
        let text = CellForm::Text { blobs: BlobText::Utf8OrHex, characters_max: None, replaces: false };
        assert_eq!(value(&text, SqliteCell::Integer(-7)), b"-7");
        assert_eq!(value(&text, SqliteCell::Real(1e20)), b"1.0e+20");
        assert_eq!(value(&text, SqliteCell::Blob(b"ab")), b"ab");
        assert_eq!(value(&text, SqliteCell::Blob(b"\x00\xff")), b"\\x00ff");
        assert_eq!(value(&text, SqliteCell::Blob(b"\\xff")), b"\\x5c786666");
        assert_eq!(value(&CellForm::Bytea, SqliteCell::Integer(12)), b"12");
        assert_eq!(value(&CellForm::Json, SqliteCell::Real(0.5)), b"0.5");
        assert_eq!(value(&CellForm::Jsonb, SqliteCell::Integer(5)), b"\x015");
        let limited = CellForm::Text { blobs: BlobText::Hex, characters_max: Some(3), replaces: false };
        assert_eq!(value(&limited, SqliteCell::Text("äöü".as_bytes())), "äöü".as_bytes());
    }

    #[test]
    fn a_uuid_is_sixteen_bytes_in_any_case() {
        let bytes = value(&CellForm::UuidText, SqliteCell::Text(b"00112233-4455-6677-8899-AabbCCddeeff"));
        assert_eq!(hex(&bytes), "00112233445566778899aabbccddeeff");
    }
}
