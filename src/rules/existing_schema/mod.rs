//! Converts cells by the meaning of the types of an existing schema: 0 and 1 are booleans in a `boolean` column, a JSON
//! array in text is an array in an array column.
//!
//! Invariant: what [`read`] answers is the value itself, never another one, except where [`ReadValue::altered`] says so.
//! Where the reading is exact, nothing is altered.

pub mod number;

pub mod zone;

mod array;

mod scalar;

mod text_input;

mod time;

use std::borrow::Cow;

use self::number::Number;
use crate::{
    model::{
        cell::SqliteCell,
        conversion_plan::ExistingReading,
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
    /// What the value loses.
    pub altered: Vec<Altered>,
    /// What was taken for granted, or is spelled otherwise.
    pub notes: Vec<Note>,
}

/// One value or an array.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadContent<'a> {
    /// One value. An array whose text PostgreSQL reads is one value too.
    One(Value<'a>),
    /// An array.
    Many(ArrayValue<'a>),
}

/// An array, with its NULLs.
#[derive(Debug, Clone, PartialEq)]
pub struct ArrayValue<'a> {
    /// The length of each dimension; empty for an empty array.
    pub lengths: Vec<usize>,
    /// All elements, those of the last dimension one after the other.
    pub items: Vec<Option<Value<'a>>>,
}

/// What a value loses on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Altered {
    /// Digits of a number: the type has fewer.
    Rounded,
    /// Digits of a second: the type has fewer.
    FractionCut,
    /// The time of day in a date.
    TimeCut,
    /// Characters beyond the type's length.
    LengthCut,
    /// The offset from UTC: the point in time stays.
    Shifted,
    /// The clock showed the time twice or never in the zone that the configuration names.
    Ambiguous,
}

/// What a user should know of a value that keeps its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// A time without zone is taken as UTC.
    NaiveAsUtc,
    /// A time without zone is taken in the zone that the configuration names.
    NaiveInZone,
    /// A time goes into a type without zone.
    ZoneNotKept,
    /// A text is a number without its leading zeros, its plus sign or its exponent.
    NumberSpelling,
    /// A text is loaded as its bytes.
    TextAsBytes,
    /// An integer is taken as microseconds of an interval.
    Microseconds,
    /// The meaning of the value depends on the server's `lc_monetary`.
    Money,
}

/// The state of the reading of one cell.
pub(in crate::rules::existing_schema) struct CellScan<'s> {
    pub(in crate::rules::existing_schema) reading: &'s ExistingReading,
    pub(in crate::rules::existing_schema) json: &'s mut Checker,
    altered: Vec<Altered>,
    notes: Vec<Note>,
}

impl CellScan<'_> {
    pub(in crate::rules::existing_schema) fn alter(&mut self, altered: Altered) {
        if !self.altered.contains(&altered) {
            self.altered.push(altered);
        }
    }

    pub(in crate::rules::existing_schema) fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Why a cell is no value of the type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mismatch {
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
            Self::Class => "are of a storage class that the type does not take",
            Self::Form => "do not have the form of the type's values",
            Self::Range => "are out of the range of the type",
            Self::Digits => "have more digits than the type",
            Self::Length => "have more characters than the type",
            Self::Unit => "are numbers whose time unit is ambiguous",
            Self::Label => "are not a label of the enumerated type",
            Self::Text => "contain a NUL character or are not UTF-8",
            Self::Document => "are JSON that jsonb does not keep (repeated keys, \\u0000, huge numbers)",
            Self::Dimensions => "have another number of dimensions than the type, or an element that is not finite",
        }
    }
}

/// Reads a cell that is not NULL. The checker is only a buffer.
///
/// # Errors
/// The reason why it is no value of the type.
pub fn read<'a>(
    shape: PgColumnType,
    reading: &ExistingReading,
    cell: SqliteCell<'a>,
    json: &mut Checker,
) -> Result<ReadValue<'a>, Mismatch> {
    let mut scan = CellScan { reading, json, altered: Vec::new(), notes: Vec::new() };
    let content = if !shape.array {
        ReadContent::One(read_one(shape.element, cell, &mut scan)?)
    } else if shape.by_text_input() {
        let array = array::read(shape.element, cell, &mut scan)?;
        ReadContent::One(Value::Text(Cow::Owned(array::text_of(shape.element, &array)?)))
    } else {
        ReadContent::Many(array::read(shape.element, cell, &mut scan)?)
    };
    match scan.altered.first() {
        Some(Altered::LengthCut) if reading.exact => Err(Mismatch::Length),
        Some(_) if reading.exact => Err(Mismatch::Digits),
        _ => Ok(ReadValue { content, altered: scan.altered, notes: scan.notes }),
    }
}

/// Reads a cell that is not NULL; notes in `scan` what the value loses.
fn read_one<'a>(element: Element, cell: SqliteCell<'a>, scan: &mut CellScan<'_>) -> Result<Value<'a>, Mismatch> {
    match element {
        Element::Boolean => scalar::boolean(cell).map(Value::Boolean),
        Element::SmallInt => scalar::integer(cell, i64::from(i16::MIN), i64::from(i16::MAX), scan),
        Element::Integer => scalar::integer(cell, i64::from(i32::MIN), i64::from(i32::MAX), scan),
        Element::BigInt => scalar::integer(cell, i64::MIN, i64::MAX, scan),
        Element::Real => scalar::single(&scalar::number(cell, scan)?, scan).map(Value::Real),
        Element::Double => scalar::double(cell, scan).map(Value::Double),
        Element::Numeric(limits) => scalar::numeric(cell, limits, scan),
        Element::Text { form, most } => scalar::text(cell, form, most, scan).map(Value::Text),
        Element::Enum => scalar::text(cell, TextForm::Text, None, scan).map(Value::Text),
        Element::Uuid => scalar::uuid(cell, scan).map(Value::Uuid),
        Element::Bytea => match cell {
            SqliteCell::Blob(bytes) => Ok(Value::Bytes(Cow::Borrowed(bytes))),
            SqliteCell::Text(bytes) => {
                scan.note(Note::TextAsBytes);
                Ok(Value::Bytes(Cow::Borrowed(bytes)))
            }
            SqliteCell::Null | SqliteCell::Integer(_) | SqliteCell::Real(_) => Err(Mismatch::Class),
        },
        Element::Date => time::date(cell, scan).map(Value::Days),
        Element::Time { digits } => time::time(cell, digits, scan).map(Value::Clock),
        Element::Timestamp { digits } => time::timestamp(cell, digits, false, scan).map(Value::Timestamp),
        Element::TimestampTz { digits } => time::timestamp(cell, digits, true, scan).map(Value::Timestamp),
        Element::Json => scalar::document(cell, false, scan.json),
        Element::Jsonb => scalar::document(cell, true, scan.json),
        Element::Vector(dimensions) => scalar::vector(cell, dimensions, scan).map(Value::Vector),
        Element::TextInput(syntax) => text_input::read(syntax, cell, scan).map(Value::Text),
    }
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
pub fn form(shape: PgColumnType, reading: &ExistingReading, cell: SqliteCell<'_>) -> Option<Vec<u8>> {
    let read = read(shape, reading, cell, &mut Checker::default()).ok()?;
    let mut bytes = Vec::new();
    match read.content {
        ReadContent::One(value) => append_form(&mut bytes, shape.element, &value),
        ReadContent::Many(array) => {
            array.lengths.iter().for_each(|length| bytes.extend_from_slice(&length.to_be_bytes()));
            for value in array.items {
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
mod tests;
