//! Encodes cells as fields of binary COPY by the types of an existing schema.

use super::refusal::{EncodeError, OUT_OF_RANGE, TOO_LONG};
use crate::{
    model::{
        PgType,
        cell::SqliteCell,
        conversion_plan::ExistingReading,
        pg_column_type::{Element, PgColumnType, TextForm},
    },
    postgres::copy::binary_encode,
    rules::{
        existing_schema::{self, ArrayValue, Mismatch, ReadContent, Value, number::Number},
        value_shape::json::Checker,
    },
};

/// The type of a column and how its cells are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ExistingColumnForm {
    shape: PgColumnType,
    reading: ExistingReading,
}

impl ExistingColumnForm {
    /// The form of a column of this type.
    pub(super) fn of(pg_type: &PgType, reading: ExistingReading) -> Self {
        Self { shape: PgColumnType::of(pg_type), reading }
    }

    /// Appends the cell as a field.
    ///
    /// # Errors
    /// [`EncodeError`] for a cell that is no value of the type.
    pub(super) fn write(&self, cell: SqliteCell<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let refused = |mismatch: Mismatch| EncodeError(of_one(mismatch));
        let read = existing_schema::read(self.shape, &self.reading, cell, &mut Checker::default()).map_err(refused)?;
        match read.content {
            ReadContent::One(value) => write_one(out, self.shape.element, &value),
            ReadContent::Many(array) => write_many(out, self.shape.element, &array),
        }
    }
}

/// The end of the sentence "a cell ...".
fn of_one(mismatch: Mismatch) -> &'static str {
    match mismatch {
        Mismatch::Class => "is of a storage class that the type does not take",
        Mismatch::Form => "does not have the form of the type's values",
        Mismatch::Range => "is out of the type's range",
        Mismatch::Digits => "has more digits than the type",
        Mismatch::Length => "has more characters than the type",
        Mismatch::Unit => "is a number whose time unit is not known",
        Mismatch::Label => "is not a label of the enumerated type",
        Mismatch::Text => "contains a NUL character or is not UTF-8",
        Mismatch::Document => "is JSON that jsonb does not keep",
        Mismatch::Dimensions => "has another number of dimensions than the type",
    }
}

/// PostgreSQL's numbers for the types of arrays' elements (`pg_type.dat`).
fn element_number(element: Element) -> u32 {
    match element {
        Element::Boolean => 16,
        Element::Bytea => 17,
        Element::BigInt => 20,
        Element::SmallInt => 21,
        Element::Integer => 23,
        Element::Text { form: TextForm::Varchar, .. } => 1043,
        Element::Text { form: TextForm::Char, .. } => 1042,
        Element::Text { form: TextForm::Text | TextForm::Citext, .. }
        | Element::Enum
        | Element::Vector(_)
        | Element::TextInput(_) => 25,
        Element::Json => 114,
        Element::Jsonb => 3802,
        Element::Real => 700,
        Element::Double => 701,
        Element::Date => 1082,
        Element::Time { .. } => 1083,
        Element::Timestamp { .. } => 1114,
        Element::TimestampTz { .. } => 1184,
        Element::Numeric(_) => 1700,
        Element::Uuid => 2950,
    }
}

/// `array_send`: dimensions, whether there are NULLs, the element type, lengths and lower bounds, elements.
fn write_many(out: &mut Vec<u8>, element: Element, array: &ArrayValue<'_>) -> Result<(), EncodeError> {
    let at = binary_encode::begin(out);
    let dimensions = i32::try_from(array.lengths.len()).map_err(|_| TOO_LONG)?;
    let has_nulls = i32::from(array.items.iter().any(Option::is_none));
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&has_nulls.to_be_bytes());
    out.extend_from_slice(&element_number(element).to_be_bytes());
    for length in &array.lengths {
        let length = i32::try_from(*length).map_err(|_| TOO_LONG)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
    }
    for value in &array.items {
        match value {
            None => binary_encode::null(out),
            Some(value) => write_one(out, element, value)?,
        }
    }
    binary_encode::end(out, at)?;
    Ok(())
}

fn write_one(out: &mut Vec<u8>, element: Element, value: &Value<'_>) -> Result<(), EncodeError> {
    match (value, element) {
        (Value::Boolean(value), _) => binary_encode::boolean(out, *value),
        (Value::Integer(value), Element::SmallInt) => {
            binary_encode::int2(out, i16::try_from(*value).map_err(|_| OUT_OF_RANGE)?);
        }
        (Value::Integer(value), Element::Integer) => {
            binary_encode::int4(out, i32::try_from(*value).map_err(|_| OUT_OF_RANGE)?);
        }
        (Value::Integer(value), _) => binary_encode::int8(out, *value),
        (Value::Real(value), _) => binary_encode::bytes(out, &value.to_be_bytes())?,
        (Value::Double(value), _) => binary_encode::float8(out, *value),
        (Value::Number(value), _) => number(out, value)?,
        (Value::Text(value), _) => binary_encode::bytes(out, value.as_bytes())?,
        (Value::Bytes(value), _) => binary_encode::bytes(out, value)?,
        (Value::Uuid(value), _) => binary_encode::bytes(out, value)?,
        (Value::Days(days), _) => {
            binary_encode::int4(out, i32::try_from(days - binary_encode::EPOCH_DAYS).map_err(|_| OUT_OF_RANGE)?);
        }
        (Value::Clock(micros), _) => binary_encode::int8(out, *micros),
        (Value::Timestamp(micros), _) => {
            let timestamp = micros.checked_sub(binary_encode::EPOCH_MICROSECONDS);
            let fits = timestamp
                .filter(|timestamp| (binary_encode::TIMESTAMP_FIRST..binary_encode::TIMESTAMP_END).contains(timestamp));
            binary_encode::int8(out, fits.ok_or(OUT_OF_RANGE)?);
        }
        (Value::Document(text), Element::Jsonb) => binary_encode::jsonb(out, text)?,
        (Value::Document(text), _) => binary_encode::bytes(out, text)?,
        (Value::Vector(values), _) => {
            let at = binary_encode::begin(out);
            binary_encode::vector_head(out, u16::try_from(values.len()).map_err(|_| TOO_LONG)?);
            for value in values {
                out.extend_from_slice(&value.to_be_bytes());
            }
            binary_encode::end(out, at)?;
        }
    }
    Ok(())
}

/// `numeric_send`: count, weight, sign, display scale, groups of four digits.
fn number(out: &mut Vec<u8>, value: &Number) -> Result<(), EncodeError> {
    let (weight, groups) = value.groups();
    let count = i16::try_from(groups.len()).map_err(|_| OUT_OF_RANGE)?;
    let scale = i16::try_from(value.fraction.len()).map_err(|_| OUT_OF_RANGE)?;
    let sign: u16 = if value.negative { 0x4000 } else { 0 };
    let at = binary_encode::begin(out);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    for group in &groups {
        out.extend_from_slice(&group.to_be_bytes());
    }
    binary_encode::end(out, at)?;
    Ok(())
}
