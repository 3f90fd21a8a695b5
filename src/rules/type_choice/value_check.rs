//! Checks whether one cell fits one type: the exact test behind a type that the configuration asks for.
//!
//! Invariant: what [`accepts`] takes, the loading code converts without rounding, truncating or guessing.

use crate::{
    model::{
        Conversion, PgType,
        cell::SqliteCell,
        conversion_plan::{BlobText, EpochUnit, ExistingReading, TimeEncoding, VectorEncoding},
        pg_column_type::PgColumnType,
    },
    rules::{
        datetime::{self, DAY_MICROSECONDS},
        decimal::{self, DOUBLE_EXACT_MOST, Decimal},
        existing_schema,
        value_shape::{
            self,
            json::{Checker, JsonTarget},
            jsonb, vector,
        },
    },
};

/// Longest value that PostgreSQL loads in one field, in bytes.
pub const FIELD_BYTES_MOST: u64 = 1_000_000_000;

/// How the configuration says that values are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadingOverride {
    /// As counts of time.
    TimeEncoding(TimeEncoding),
    /// As times of day on 2000-01-01.
    RailsTime,
    /// As UUIDs in .NET's byte order.
    GuidDotnet,
    /// As words of truth.
    BoolWords,
    /// As integers and texts that both mean timestamps.
    AnyTimestamp,
}

/// The conversions that could fill a column of this type, the most usual first; of a reading override those that
/// belong to it.
#[must_use]
pub fn candidates(pg_type: &PgType, reading: Option<ReadingOverride>) -> Vec<Conversion> {
    if let Some(reading) = reading {
        return of_reading(reading);
    }
    let vectors = |encodings: &[VectorEncoding]| -> Vec<Conversion> {
        encodings.iter().map(|encoding| Conversion::Vector { encoding: *encoding }).collect()
    };
    let mut found = match pg_type {
        PgType::SmallInt | PgType::Integer => vec![Conversion::Integer],
        PgType::BigInt => vec![Conversion::Integer, Conversion::IntegerText],
        PgType::Boolean => vec![Conversion::IntegerBoolean, Conversion::WordBoolean],
        PgType::Double => vec![Conversion::Double],
        PgType::Numeric(_) => vec![Conversion::Numeric],
        PgType::Text | PgType::Varchar(_) => vec![Conversion::Text { blobs: BlobText::Hex }],
        PgType::Bytea => vec![Conversion::Bytea],
        PgType::Date => vec![Conversion::Date],
        PgType::Time => vec![Conversion::Time],
        PgType::Timestamp => vec![Conversion::Timestamp],
        PgType::TimestampTz => vec![Conversion::TimestampTz],
        PgType::Uuid => vec![Conversion::UuidText, Conversion::UuidBlob],
        PgType::Json | PgType::Jsonb => vec![Conversion::Json, Conversion::SqliteJsonb],
        PgType::Vector(_) => vectors(&[VectorEncoding::F32, VectorEncoding::Fb16]),
        PgType::HalfVec(_) => vectors(&[VectorEncoding::F16]),
        PgType::RealArray => vectors(&[VectorEncoding::F32, VectorEncoding::F16, VectorEncoding::Fb16]),
        PgType::DoubleArray => vectors(&[VectorEncoding::F64]),
        PgType::Bit(_) => vectors(&[VectorEncoding::F1Bit]),
        PgType::Enum(_) | PgType::ExistingType(_) => Vec::new(),
    };
    // A type means the same whoever names it: what the conversions of the rules do not take is read as beside an
    // existing schema. Texts and bytes keep the rules' own conversion, which takes every cell.
    if !matches!(pg_type, PgType::Text | PgType::Varchar(_) | PgType::Bytea) {
        found.push(Conversion::ExistingType(ExistingReading::exact()));
    }
    found
}

fn of_reading(reading: ReadingOverride) -> Vec<Conversion> {
    let computed = |by: TimeEncoding, unit: Option<EpochUnit>| {
        let integers = unit.map(|unit| Conversion::Epoch { unit });
        integers.into_iter().chain([Conversion::Computed { by }]).collect()
    };
    match reading {
        ReadingOverride::TimeEncoding(by @ TimeEncoding::UnixS) => computed(by, Some(EpochUnit::Seconds)),
        ReadingOverride::TimeEncoding(by @ TimeEncoding::UnixMs) => computed(by, Some(EpochUnit::Milliseconds)),
        ReadingOverride::TimeEncoding(by @ TimeEncoding::UnixUs) => computed(by, Some(EpochUnit::Microseconds)),
        ReadingOverride::TimeEncoding(by) => computed(by, None),
        ReadingOverride::RailsTime => vec![Conversion::RailsTime],
        ReadingOverride::GuidDotnet => vec![Conversion::UuidDotnet],
        ReadingOverride::BoolWords => vec![Conversion::AnyBoolean],
        ReadingOverride::AnyTimestamp => EPOCH_UNITS.map(|unit| Conversion::AnyTimestamp { unit }).to_vec(),
    }
}

/// Whether this non-NULL cell becomes a value of this type through this conversion. The checker is only a buffer.
#[must_use]
pub fn accepts(pg_type: &PgType, conversion: Conversion, cell: SqliteCell<'_>, json: &mut Checker) -> bool {
    match (conversion, cell) {
        (_, SqliteCell::Null)
        | (Conversion::Double, SqliteCell::Real(_))
        | (Conversion::Bytea, _)
        | (Conversion::Json | Conversion::IntegerText, SqliteCell::Integer(_)) => true,
        (Conversion::IntegerText, SqliteCell::Text(text)) => value_shape::whole_number(text).is_some(),
        (Conversion::Integer, SqliteCell::Integer(value)) => match pg_type {
            PgType::SmallInt => i16::try_from(value).is_ok(),
            PgType::Integer => i32::try_from(value).is_ok(),
            _ => true,
        },
        (Conversion::IntegerBoolean | Conversion::AnyBoolean, SqliteCell::Integer(value)) => value == 0 || value == 1,
        (Conversion::AnyBoolean, SqliteCell::Text(text)) => value_shape::bool_word(text).is_some(),
        (Conversion::WordBoolean, SqliteCell::Text(text)) => value_shape::truth(text).is_some(),
        (Conversion::Double, SqliteCell::Integer(value)) => value.unsigned_abs() <= DOUBLE_EXACT_MOST,
        (Conversion::Numeric, SqliteCell::Integer(value)) => fits_numeric(pg_type, Some(Decimal::from_integer(value))),
        (Conversion::Numeric, SqliteCell::Real(value)) => fits_numeric(pg_type, Decimal::from_real(value)),
        (Conversion::Text { .. }, _) => fits_text(pg_type, cell),
        (Conversion::Date, SqliteCell::Text(text)) => datetime::parse_date(text).is_some(),
        (Conversion::Time, SqliteCell::Text(text)) => datetime::parse_clock(text).is_some(),
        (Conversion::Timestamp, SqliteCell::Text(text)) => {
            datetime::parse_stamp(text).is_some_and(|stamp| stamp.offset_minutes.is_none())
        }
        (Conversion::TimestampTz | Conversion::AnyTimestamp { .. }, SqliteCell::Text(text)) => {
            datetime::parse_stamp(text).is_some()
        }
        (Conversion::Epoch { unit }, SqliteCell::Integer(value)) => {
            value.checked_mul(unit.microseconds()).is_some_and(|timestamp| fits_timestamp(pg_type, timestamp))
        }
        (Conversion::AnyTimestamp { unit }, SqliteCell::Integer(value)) => epoch_unit((value, value)) == Some(unit),
        (Conversion::Computed { by }, _) => {
            datetime::decode_time(by, cell).is_some_and(|timestamp| fits_timestamp(pg_type, timestamp))
        }
        (Conversion::RailsTime, SqliteCell::Text(text)) => datetime::parse_rails_clock(text).is_some(),
        (Conversion::UuidText, SqliteCell::Text(text)) => value_shape::uuid(text).is_some(),
        (Conversion::UuidBlob | Conversion::UuidDotnet, SqliteCell::Blob(blob)) => blob.len() == 16,
        (Conversion::SqliteJsonb, SqliteCell::Blob(blob)) => {
            jsonb::text_of(blob).is_some_and(|text| fits_json(pg_type, text.as_bytes(), json))
        }
        (Conversion::Json, SqliteCell::Text(text)) => fits_json(pg_type, text, json),
        (Conversion::Json, SqliteCell::Real(value)) => value.is_finite(),
        (Conversion::Vector { encoding }, SqliteCell::Blob(blob)) => fits_vector(pg_type, encoding, blob),
        (Conversion::ExistingType(reading), cell) => {
            existing_schema::read(PgColumnType::of(pg_type), &reading, cell, json).is_ok()
        }
        _ => false,
    }
}

fn fits_numeric(pg_type: &PgType, value: Option<Decimal>) -> bool {
    match (pg_type, value) {
        (PgType::Numeric(Some((precision, scale))), Some(value)) => {
            value.whole_digits() <= precision.saturating_sub(*scale) && value.scale() <= *scale
        }
        (PgType::Numeric(Some(_)), None) => false,
        _ => true,
    }
}

fn fits_text(pg_type: &PgType, cell: SqliteCell<'_>) -> bool {
    let characters = match cell {
        SqliteCell::Null => 0,
        SqliteCell::Integer(value) => value.to_string().len(),
        SqliteCell::Real(value) => decimal::real_text(value).len(),
        // What no text can hold is counted for itself: see `ColumnProfile::texts_not_storable`.
        SqliteCell::Text(text) => String::from_utf8_lossy(text).chars().count(),
        SqliteCell::Blob(blob) => 2 + 2 * blob.len(),
    };
    match pg_type {
        PgType::Varchar(length) => u32::try_from(characters).is_ok_and(|characters| characters <= *length),
        _ => true,
    }
}

/// PostgreSQL's timestamps begin in 4713 BC, in microseconds since 1970. They end after the last microsecond that 64
/// bits count from 1970.
const TIMESTAMP_LEAST: i64 = -210_866_803_200_000_000;

fn fits_timestamp(pg_type: &PgType, microseconds: i64) -> bool {
    microseconds >= TIMESTAMP_LEAST && (*pg_type != PgType::Date || microseconds.rem_euclid(DAY_MICROSECONDS) == 0)
}

fn fits_json(pg_type: &PgType, text: &[u8], json: &mut Checker) -> bool {
    if str::from_utf8(text).is_err() {
        return false;
    }
    match json.check(text) {
        Some(JsonTarget::Jsonb) => true,
        Some(JsonTarget::Json) => *pg_type == PgType::Json,
        None => false,
    }
}

fn fits_vector(pg_type: &PgType, encoding: VectorEncoding, blob: &[u8]) -> bool {
    match pg_type {
        PgType::Vector(length) | PgType::HalfVec(length) | PgType::Bit(length) => vector::fits(encoding, *length, blob),
        _ => {
            let width = match encoding {
                VectorEncoding::F32 => 4,
                VectorEncoding::F64 => 8,
                VectorEncoding::F16 | VectorEncoding::Fb16 => 2,
                VectorEncoding::F1Bit => return false,
            };
            u32::try_from(blob.len() / width).is_ok_and(|length| vector::fits(encoding, length, blob))
        }
    }
}

/// Bytes that are equal for two cells exactly if their PostgreSQL values are equal. Cells that the conversion doesn't
/// take keep their own bytes.
#[must_use]
pub fn form(pg_type: &PgType, conversion: Conversion, cell: SqliteCell<'_>) -> Vec<u8> {
    let number = |value: i64| value.to_be_bytes().to_vec();
    let known = match (conversion, cell) {
        (Conversion::ExistingType(reading), cell) => existing_schema::form(PgColumnType::of(pg_type), &reading, cell),
        (Conversion::UuidText, SqliteCell::Text(text)) => Some(text.to_ascii_lowercase()),
        (Conversion::Date | Conversion::Timestamp, SqliteCell::Text(text)) => {
            datetime::parse_stamp(text).map(|stamp| number(stamp.wall_microseconds()))
        }
        (Conversion::TimestampTz | Conversion::AnyTimestamp { .. }, SqliteCell::Text(text)) => {
            datetime::parse_stamp(text).map(|stamp| number(stamp.utc_microseconds()))
        }
        (Conversion::AnyTimestamp { unit }, SqliteCell::Integer(value)) => {
            value.checked_mul(unit.microseconds()).map(number)
        }
        (Conversion::Computed { by }, _) => datetime::decode_time(by, cell).map(number),
        (Conversion::Time, SqliteCell::Text(text)) => datetime::parse_clock(text).map(number),
        (Conversion::RailsTime, SqliteCell::Text(text)) => datetime::parse_rails_clock(text).map(number),
        (Conversion::AnyBoolean, SqliteCell::Integer(value)) => Some(vec![u8::from(value != 0)]),
        (Conversion::AnyBoolean, SqliteCell::Text(text)) => {
            value_shape::bool_word(text).map(|truth| vec![u8::from(truth)])
        }
        (Conversion::WordBoolean, SqliteCell::Text(text)) => {
            text.first().map(|letter| vec![letter.to_ascii_lowercase()])
        }
        (Conversion::Numeric, SqliteCell::Integer(value)) => Some(decimal_form(&Decimal::from_integer(value))),
        (Conversion::Numeric, SqliteCell::Real(value)) => Decimal::from_real(value).map(|value| decimal_form(&value)),
        _ => None,
    };
    known.unwrap_or_else(|| written(pg_type, cell))
}

fn decimal_form(value: &Decimal) -> Vec<u8> {
    format!("{}{}e{}", if value.negative { "-" } else { "" }, value.mantissa, value.exponent).into_bytes()
}

/// The bytes that a text or bytea column gets.
fn written(pg_type: &PgType, cell: SqliteCell<'_>) -> Vec<u8> {
    match cell {
        SqliteCell::Null => Vec::new(),
        SqliteCell::Integer(value) => value.to_string().into_bytes(),
        SqliteCell::Real(value) => decimal::real_text(value).into_bytes(),
        SqliteCell::Blob(bytes) if pg_type.is_text() => {
            bytes.iter().fold(String::from("\\x"), |text, byte| text + &format!("{byte:02x}")).into_bytes()
        }
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => bytes.to_vec(),
    }
}

/// The unit in whose window a range of integers lies, if it is one (docs/conversion-rules.md, section 1.6). The
/// windows don't overlap: seconds from 1973 to 2128, milliseconds and microseconds likewise.
#[must_use]
pub fn epoch_unit((least, most): (i64, i64)) -> Option<EpochUnit> {
    let window = |unit: EpochUnit| match unit {
        EpochUnit::Seconds => 100_000_000..=5_000_000_000,
        EpochUnit::Milliseconds => 100_000_000_000..=5_000_000_000_000,
        EpochUnit::Microseconds => 100_000_000_000_000..=5_000_000_000_000_000,
    };
    EPOCH_UNITS.into_iter().find(|unit| window(*unit).contains(&least) && window(*unit).contains(&most))
}

const EPOCH_UNITS: [EpochUnit; 3] = [EpochUnit::Seconds, EpochUnit::Milliseconds, EpochUnit::Microseconds];

/// The type for vectors of this encoding and length, with or without pgvector
/// (docs/conversion-rules.md, section 1.8).
#[must_use]
pub fn vector_types(encoding: VectorEncoding, length: u32, extension: bool) -> PgType {
    let extension = extension && length <= 16_000;
    match encoding {
        VectorEncoding::F32 | VectorEncoding::Fb16 if extension => PgType::Vector(length),
        VectorEncoding::F16 if extension => PgType::HalfVec(length),
        VectorEncoding::F32 | VectorEncoding::Fb16 | VectorEncoding::F16 => PgType::RealArray,
        VectorEncoding::F64 => PgType::DoubleArray,
        VectorEncoding::F1Bit => PgType::Bit(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pg_type: &str, reading: Option<ReadingOverride>, cell: SqliteCell<'_>) -> bool {
        let pg_type: PgType = pg_type.parse().unwrap();
        candidates(&pg_type, reading)
            .into_iter()
            .any(|conversion| accepts(&pg_type, conversion, cell, &mut Checker::default()))
    }

    #[test]
    fn a_value_fits_exactly_or_not_at_all() {
        use SqliteCell::{Blob, Integer, Real, Text};
        for (pg_type, cell, expected) in [
            ("smallint", Integer(32_767), true),
            ("smallint", Integer(32_768), false),
            ("integer", Integer(-2_147_483_648), true),
            ("integer", Integer(2_147_483_648), false),
            ("bigint", Integer(i64::MAX), true),
            ("bigint", Text(b"5"), true),
            ("bigint", Text(b"05"), true),
            ("integer", Text(b"5"), true),
            ("integer", Text(b"5.5"), false),
            ("boolean", Integer(1), true),
            ("boolean", Integer(2), false),
            ("boolean", Text(b"T"), true),
            ("boolean", Text(b"yes"), true),
            ("double precision", Integer(1 << 53), true),
            ("double precision", Integer((1 << 53) + 1), false),
            ("numeric(4,2)", Real(12.34), true),
            ("numeric(4,2)", Real(12.345), false),
            ("numeric(4,2)", Integer(99), true),
            ("numeric(4,2)", Integer(100), false),
            ("numeric(4,2)", Real(f64::INFINITY), false),
            ("numeric", Real(f64::INFINITY), true),
            ("varchar(3)", Text("é!?".as_bytes()), true),
            ("varchar(3)", Text(b"abc "), false),
            ("varchar(3)", Integer(1234), false),
            ("varchar(2)", Text(b"a\0\0"), false),
            ("jsonb", Blob(b"\x0c"), true),
            ("jsonb", Blob(b"\x0e"), false),
            ("text", Blob(b"\xff"), true),
            ("bytea", Text(b"a\0"), true),
            ("date", Text(b"2024-02-29"), true),
            ("date", Text(b"2023-02-29"), false),
            ("time", Text(b"23:59"), true),
            ("timestamp", Text(b"2024-02-29 01:02:03Z"), true),
            ("timestamp", Text(b"2024-02-29 01:02:03+01:00"), false),
            ("inet", Text(b"10.0.0.1"), true),
            ("inet", Text(b"localhost"), false),
            ("uuid", Text(b"00112233445566778899aabbccddeeff"), true),
            ("timestamptz", Text(b"2024-02-29 01:02:03Z"), true),
            ("uuid", Blob(&[0; 16]), true),
            ("uuid", Blob(&[0; 15]), false),
            ("jsonb", Text(b"{\"a\":1,\"a\":2}"), false),
            ("json", Text(b"{\"a\":1,\"a\":2}"), true),
            ("json", Text(b"{"), false),
            ("json", Real(f64::INFINITY), false),
            ("vector(1)", Blob(&[0, 0, 0, 0]), true),
            ("real[]", Blob(&[0, 0, 0, 0]), true),
            ("vector(2)", Blob(&[0, 0, 0, 0]), false),
        ] {
            assert_eq!(takes(pg_type, None, cell), expected, "{pg_type} {cell:?}");
        }
    }

    #[test]
    fn epochs_stay_within_postgresqls_range() {
        let computed = |by: TimeEncoding| Some(ReadingOverride::TimeEncoding(by));
        let (seconds, micros) = (computed(TimeEncoding::UnixS), computed(TimeEncoding::UnixUs));
        assert!(takes("timestamptz", seconds, SqliteCell::Integer(0)));
        assert!(takes("date", seconds, SqliteCell::Integer(86_400)));
        assert!(!takes("date", seconds, SqliteCell::Integer(86_401)));
        assert!(!takes("timestamptz", seconds, SqliteCell::Integer(i64::MAX)));
        assert!(!takes("timestamptz", micros, SqliteCell::Integer(i64::MIN)));
        assert!(takes("timestamptz", seconds, SqliteCell::Real(0.5)));
        assert!(!takes("timestamptz", seconds, SqliteCell::Text(b"5")));
        assert!(takes("timestamptz", computed(TimeEncoding::Julian), SqliteCell::Real(2_460_000.25)));
        assert!(takes("timestamptz", Some(ReadingOverride::AnyTimestamp), SqliteCell::Text(b"2024-01-01")));
        assert!(takes("timestamptz", Some(ReadingOverride::AnyTimestamp), SqliteCell::Integer(1_700_000_000_000)));
        assert!(!takes("timestamptz", Some(ReadingOverride::AnyTimestamp), SqliteCell::Integer(5)));
        assert!(takes("time", Some(ReadingOverride::RailsTime), SqliteCell::Text(b"2000-01-01 07:30:00")));
        assert!(takes("uuid", Some(ReadingOverride::GuidDotnet), SqliteCell::Blob(&[0; 16])));
        assert!(takes("boolean", Some(ReadingOverride::BoolWords), SqliteCell::Text(b"Yes")));
        assert_eq!(epoch_unit((1_700_000_000, 1_700_000_001)), Some(EpochUnit::Seconds));
        assert_eq!(epoch_unit((1_700_000_000_000, 1_700_000_001_000)), Some(EpochUnit::Milliseconds));
        assert_eq!(epoch_unit((1_700_000_000_000_000, 1_700_000_001_000_000)), Some(EpochUnit::Microseconds));
        for range in [(0, 1_700_000_000), (1_700_000_000, 1_700_000_000_000), (2024, 2025)] {
            assert_eq!(epoch_unit(range), None);
        }
    }
}
