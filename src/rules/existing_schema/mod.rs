//! Converts cells by the meaning of the types of an existing schema: 0 and 1 are booleans in a `boolean` column, a JSON
//! array in text is an array in an array column.
//!
//! Invariant: what [`read`] answers is the value itself, never the nearest one, except where [`ReadValue::altered`]
//! says so (numbers that become 4-byte floats, offsets of points in time).

pub mod number;

mod scalar;

use std::borrow::Cow;

use serde_json::value::RawValue;

use self::number::Number;
use crate::{
    model::{
        cell::SqliteCell,
        conversion_plan::EpochUnit,
        pg_column_type::{Element, PgColumnType, TextForm},
    },
    rules::value_shape::json::Checker,
};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `boolean`.
    Boolean(bool),
    /// Any of the integer types.
    Integer(i64),
    /// `real`.
    Real(f32),
    /// `double precision`.
    Double(f64),
    /// `numeric`.
    Number(Number),
    /// Characters, an enumerated type's label.
    Text(Cow<'a, str>),
    /// `bytea`.
    Bytes(Cow<'a, [u8]>),
    /// `uuid`.
    Uuid([u8; 16]),
    /// `date`: days from 1970-01-01.
    Days(i64),
    /// `time`: microseconds from midnight.
    Clock(i64),
    /// `timestamp`, `timestamptz`: microseconds from 1970-01-01.
    Timestamp(i64),
    /// `json`, `jsonb`: the document's text.
    Document(Cow<'a, [u8]>),
    /// `vector`.
    Vector(Vec<f32>),
}

/// A cell that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadValue<'a> {
    /// What it says.
    pub content: ReadContent<'a>,
    /// What the value loses, if anything.
    pub altered: Option<Altered>,
}

/// One value or an array.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadContent<'a> {
    /// One value.
    One(Value<'a>),
    /// An array, with its NULLs.
    Many(Vec<Option<Value<'a>>>),
}

/// What a value loses on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Altered {
    /// Digits: the type has fewer.
    Rounded,
    /// The offset from UTC: the point in time stays.
    Shifted,
}

/// Why a cell is no value of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mismatch {
    /// This tool has no encoder for the type.
    NoEncoder,
    /// The storage class holds nothing of the kind.
    Class,
    /// The text isn't of the form.
    Form,
    /// The number is out of the type's range.
    Range,
    /// More digits than the type has.
    Digits,
    /// More characters than the type has.
    Length,
    /// An integer in a column of times whose unit isn't known.
    Unit,
    /// Not a label of the enumerated type.
    Label,
    /// Text that PostgreSQL can't hold: a NUL character, or not UTF-8.
    Text,
    /// JSON that `jsonb` changes or refuses.
    Document,
    /// Another number of dimensions, or an element that is not finite.
    Dimensions,
}

impl Mismatch {
    /// The end of the sentence "3 values ...".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoEncoder => "are of a type that this tool can't write",
            Self::Class => "are of a storage class that doesn't go with the type",
            Self::Form => "are not written as the type's values are",
            Self::Range => "are out of the type's range",
            Self::Digits => "have more digits than the type",
            Self::Length => "have more characters than the type",
            Self::Unit => "are integers whose unit is not plain from their size",
            Self::Label => "are no label of the enumerated type",
            Self::Text => "hold a NUL character or are not UTF-8",
            Self::Document => "are JSON that jsonb doesn't keep (repeated keys, \\u0000, huge numbers)",
            Self::Dimensions => "have another number of dimensions than the type, or an element that is not finite",
        }
    }
}

/// The longest text that is kept of a value when two are compared; longer ones are hashed by the caller.
const MANY_MOST: usize = 1 << 28;

/// Reads a cell that is not NULL. The checker is only a buffer.
///
/// # Errors
/// The reason why it is no value of the type.
pub fn read<'a>(
    shape: PgColumnType,
    unit: Option<EpochUnit>,
    cell: SqliteCell<'a>,
    json: &mut Checker,
) -> Result<ReadValue<'a>, Mismatch> {
    let mut altered = None;
    let content = if shape.array {
        ReadContent::Many(array(shape.element, unit, cell, json, &mut altered)?)
    } else {
        ReadContent::One(scalar::read(shape.element, unit, cell, json, &mut altered)?)
    };
    Ok(ReadValue { content, altered })
}

/// A JSON array in text.
fn array<'a>(
    element: Element,
    unit: Option<EpochUnit>,
    cell: SqliteCell<'a>,
    json: &mut Checker,
    altered: &mut Option<Altered>,
) -> Result<Vec<Option<Value<'a>>>, Mismatch> {
    let (SqliteCell::Text(text) | SqliteCell::Blob(text)) = cell else { return Err(Mismatch::Class) };
    if text.len() > MANY_MOST {
        return Err(Mismatch::Length);
    }
    let items: Vec<&RawValue> = serde_json::from_slice(text).map_err(|_| Mismatch::Form)?;
    items.into_iter().map(|item| item_of(element, unit, item.get(), json, altered)).collect()
}

fn item_of<'a>(
    element: Element,
    unit: Option<EpochUnit>,
    item: &str,
    json: &mut Checker,
    altered: &mut Option<Altered>,
) -> Result<Option<Value<'a>>, Mismatch> {
    let value = match item.as_bytes().first() {
        _ if item == "null" => return Ok(None),
        _ if element == Element::Json => Value::Document(Cow::Owned(item.as_bytes().to_vec())),
        Some(b'"') => {
            let text: String = serde_json::from_str(item).map_err(|_| Mismatch::Form)?;
            owned(scalar::read(element, unit, SqliteCell::Text(text.as_bytes()), json, altered)?)
        }
        Some(b't' | b'f') if element == Element::Boolean => Value::Boolean(item == "true"),
        Some(b'-' | b'0'..=b'9') if matches!(element, Element::Text { .. } | Element::Enum | Element::Uuid) => {
            return Err(Mismatch::Form);
        }
        Some(b'-' | b'0'..=b'9') => match item.parse::<i64>() {
            Ok(number) => owned(scalar::read(element, unit, SqliteCell::Integer(number), json, altered)?),
            Err(_) => owned(scalar::read(element, unit, SqliteCell::Text(item.as_bytes()), json, altered)?),
        },
        _ => return Err(Mismatch::Form),
    };
    Ok(Some(value))
}

/// The same value, borrowing nothing.
fn owned(value: Value<'_>) -> Value<'static> {
    match value {
        Value::Boolean(value) => Value::Boolean(value),
        Value::Integer(value) => Value::Integer(value),
        Value::Real(value) => Value::Real(value),
        Value::Double(value) => Value::Double(value),
        Value::Number(value) => Value::Number(value),
        Value::Text(value) => Value::Text(Cow::Owned(value.into_owned())),
        Value::Bytes(value) => Value::Bytes(Cow::Owned(value.into_owned())),
        Value::Uuid(value) => Value::Uuid(value),
        Value::Days(value) => Value::Days(value),
        Value::Clock(value) => Value::Clock(value),
        Value::Timestamp(value) => Value::Timestamp(value),
        Value::Document(value) => Value::Document(Cow::Owned(value.into_owned())),
        Value::Vector(value) => Value::Vector(value),
    }
}

/// Bytes that are equal for two cells exactly if PostgreSQL takes their values as equal; none for a cell that is no
/// value of the type.
#[must_use]
pub fn form(shape: PgColumnType, unit: Option<EpochUnit>, cell: SqliteCell<'_>) -> Option<Vec<u8>> {
    let read = read(shape, unit, cell, &mut Checker::default()).ok()?;
    let mut bytes = Vec::new();
    match read.content {
        ReadContent::One(value) => append_form(&mut bytes, shape.element, &value),
        ReadContent::Many(values) => {
            for value in values {
                bytes.push(u8::from(value.is_some()));
                let mut one = Vec::new();
                if let Some(value) = value {
                    append_form(&mut one, shape.element, &value);
                }
                bytes.extend_from_slice(&one.len().to_be_bytes());
                bytes.append(&mut one);
            }
        }
    }
    Some(bytes)
}

fn append_form(bytes: &mut Vec<u8>, element: Element, value: &Value<'_>) {
    match value {
        Value::Boolean(value) => bytes.push(u8::from(*value)),
        Value::Integer(value) | Value::Days(value) | Value::Clock(value) | Value::Timestamp(value) => {
            bytes.extend_from_slice(&value.to_be_bytes());
        }
        // Adding 0.0 makes one zero of both.
        Value::Real(value) => bytes.extend_from_slice(&(value + 0.0).to_be_bytes()),
        Value::Double(value) => bytes.extend_from_slice(&(value + 0.0).to_be_bytes()),
        Value::Number(value) => bytes.extend_from_slice(value.key().as_bytes()),
        Value::Text(value) => match element {
            Element::Text { form: TextForm::Citext, .. } => bytes.extend_from_slice(value.to_lowercase().as_bytes()),
            Element::Text { form: TextForm::Char, .. } => {
                bytes.extend_from_slice(value.trim_end_matches(' ').as_bytes());
            }
            _ => bytes.extend_from_slice(value.as_bytes()),
        },
        Value::Bytes(value) | Value::Document(value) => bytes.extend_from_slice(value),
        Value::Uuid(value) => bytes.extend_from_slice(value),
        Value::Vector(values) => values.iter().for_each(|value| bytes.extend_from_slice(&(value + 0.0).to_be_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::PgType;

    fn read_as<'a>(sql: &str, cell: SqliteCell<'a>) -> Result<ReadValue<'a>, Mismatch> {
        let pg_type = sql.parse().unwrap_or_else(|_| PgType::ExistingType(sql.to_owned()));
        read(PgColumnType::of(&pg_type).unwrap(), Some(EpochUnit::Milliseconds), cell, &mut Checker::default())
    }

    #[test]
    fn cells_are_read_by_what_the_type_means() {
        use SqliteCell::{Blob, Integer, Real, Text};
        for (sql, cell, expected) in [
            ("boolean", Integer(1), Ok(Value::Boolean(true))),
            ("boolean", Text(b"No"), Ok(Value::Boolean(false))),
            ("boolean", Integer(2), Err(Mismatch::Range)),
            ("smallint", Integer(40_000), Err(Mismatch::Range)),
            ("integer", Real(3.0), Ok(Value::Integer(3))),
            ("integer", Real(3.5), Err(Mismatch::Digits)),
            ("bigint", Text(b"-12"), Ok(Value::Integer(-12))),
            ("numeric(6,2)", Real(12.5), Ok(Value::Number(Number::from_text("12.50").unwrap()))),
            ("numeric(6,2)", Real(12.555), Err(Mismatch::Digits)),
            ("numeric(6,2)", Integer(10_000), Err(Mismatch::Range)),
            ("varchar(2)", Text("äöü".as_bytes()), Err(Mismatch::Length)),
            ("character(3)", Text(b"a"), Ok(Value::Text("a  ".into()))),
            ("text", Text(b"a\0"), Err(Mismatch::Text)),
            ("uuid", Text(b"00112233445566778899aabbccddeeff"), Ok(Value::Uuid(hex_16()))),
            ("uuid", Text(b"00112233-4455-6677-8899-AABBCCDDEEFF"), Ok(Value::Uuid(hex_16()))),
            ("uuid", Blob(b"x"), Err(Mismatch::Form)),
            ("date", Text(b"1970-01-03"), Ok(Value::Days(2))),
            ("date", Text(b"1970-01-03T00:00:00.000Z"), Ok(Value::Days(2))),
            ("date", Text(b"1970-01-03 01:00"), Err(Mismatch::Digits)),
            ("timestamptz", Integer(1_500), Ok(Value::Timestamp(1_500_000))),
            ("timestamp", Text(b"1970-01-01T00:00:01Z"), Ok(Value::Timestamp(1_000_000))),
            ("timestamp(3) without time zone", Text(b"1970-01-01 00:00:00.0001"), Err(Mismatch::Digits)),
            ("time", Text(b"2000-01-01 00:01:00"), Ok(Value::Clock(60_000_000))),
            ("jsonb", Text(b"{\"a\":1,\"a\":2}"), Err(Mismatch::Document)),
            ("json", Text(b"{"), Err(Mismatch::Form)),
            ("vector(2)", Text(b"[1, 2.5]"), Ok(Value::Vector(vec![1.0, 2.5]))),
            ("vector(3)", Text(b"[1, 2.5]"), Err(Mismatch::Dimensions)),
            ("real", Real(0.1), Ok(Value::Real(0.1))),
        ] {
            let found = read_as(sql, cell).map(|read| read.content);
            assert_eq!(found, expected.map(ReadContent::One), "{sql} {cell:?}");
        }
    }

    fn hex_16() -> [u8; 16] {
        0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes()
    }

    #[test]
    fn json_arrays_become_arrays() {
        let many = |sql: &str, text: &'static [u8]| match read_as(sql, SqliteCell::Text(text)).map(|read| read.content)
        {
            Ok(ReadContent::Many(values)) => Ok(values),
            Ok(ReadContent::One(_)) => panic!("{sql}"),
            Err(mismatch) => Err(mismatch),
        };
        assert_eq!(many("text[]", b"[\"a\", null]"), Ok(vec![Some(Value::Text("a".into())), None]));
        assert_eq!(many("integer[]", b"[1,2]"), Ok(vec![Some(Value::Integer(1)), Some(Value::Integer(2))]));
        assert_eq!(many("boolean[]", b"[true]"), Ok(vec![Some(Value::Boolean(true))]));
        assert_eq!(many("text[]", b"[]"), Ok(Vec::new()));
        assert_eq!(many("text[]", b"[1]"), Err(Mismatch::Form));
        assert_eq!(many("integer[]", b"[[1]]"), Err(Mismatch::Form));
        assert_eq!(many("text[]", b"a,b"), Err(Mismatch::Form));
    }

    #[test]
    fn what_is_lost_is_said() {
        let altered = |sql: &str, cell| read_as(sql, cell).unwrap().altered;
        assert_eq!(altered("real", SqliteCell::Real(0.1)), None);
        assert_eq!(altered("real", SqliteCell::Real(0.123_456_789)), Some(Altered::Rounded));
        assert_eq!(altered("timestamptz", SqliteCell::Text(b"2024-01-01T00:00:00+02:00")), Some(Altered::Shifted));
        assert_eq!(altered("timestamptz", SqliteCell::Text(b"2024-01-01T00:00:00Z")), None);
    }

    #[test]
    fn equal_values_have_equal_forms() {
        let of = |sql: &str, cell| {
            let pg_type = sql.parse().unwrap_or_else(|_| PgType::ExistingType(sql.to_owned()));
            form(PgColumnType::of(&pg_type).unwrap(), None, cell)
        };
        assert_eq!(of("citext", SqliteCell::Text(b"Ab")), of("citext", SqliteCell::Text(b"aB")));
        assert_ne!(of("text", SqliteCell::Text(b"Ab")), of("text", SqliteCell::Text(b"aB")));
        assert_eq!(of("numeric", SqliteCell::Text(b"1.50")), of("numeric", SqliteCell::Real(1.5)));
        assert_eq!(of("integer", SqliteCell::Integer(7)), of("bigint", SqliteCell::Text(b"7")));
    }
}
