//! Encodes cells as fields of binary COPY by the types of an existing schema.

use super::refusal::{EncodeError, OUT_OF_RANGE, TOO_LONG};
use crate::{
    model::{
        PgType,
        cell::SqliteCell,
        conversion_plan::EpochUnit,
        pg_column_type::{Element, PgColumnType, TextForm},
    },
    postgres::copy::binary_encode,
    rules::{
        existing_schema::{self, Mismatch, ReadContent, Value, number::Number},
        value_shape::json::Checker,
    },
};

/// The type of a column and the unit of its integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ExistingColumnForm {
    /// None for a type without encoder, whose column holds only NULL.
    shape: Option<PgColumnType>,
    unit: Option<EpochUnit>,
}

impl ExistingColumnForm {
    /// The form of a column of this type.
    pub(super) fn of(pg_type: &PgType, unit: Option<EpochUnit>) -> Self {
        Self { shape: PgColumnType::of(pg_type), unit }
    }

    /// Appends the cell as a field.
    ///
    /// # Errors
    /// [`EncodeError`] for a cell that is no value of the type.
    pub(super) fn write(&self, cell: SqliteCell<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let refused = |mismatch: Mismatch| EncodeError(of_one(mismatch));
        let shape = self.shape.ok_or_else(|| refused(Mismatch::NoEncoder))?;
        let read = existing_schema::read(shape, self.unit, cell, &mut Checker::default()).map_err(refused)?;
        match read.content {
            ReadContent::One(value) => write_one(out, shape.element, &value),
            ReadContent::Many(values) => write_many(out, shape.element, &values),
        }
    }
}

/// The end of the sentence "a cell ...".
fn of_one(mismatch: Mismatch) -> &'static str {
    match mismatch {
        Mismatch::NoEncoder => "is of a type that this tool can't write",
        Mismatch::Class => "is of a storage class that doesn't go with the type",
        Mismatch::Form => "is not written as the type's values are",
        Mismatch::Range => "is out of the type's range",
        Mismatch::Digits => "has more digits than the type",
        Mismatch::Length => "has more characters than the type",
        Mismatch::Unit => "is an integer whose unit is not known",
        Mismatch::Label => "is no label of the enumerated type",
        Mismatch::Text => "holds a NUL character or is not UTF-8",
        Mismatch::Document => "is JSON that jsonb doesn't keep",
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
        Element::Text { form: TextForm::Text | TextForm::Citext, .. } | Element::Enum | Element::Vector(_) => 25,
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

/// `array_send`: dimensions, whether there are NULLs, the element type, length and lower bound, elements.
fn write_many(out: &mut Vec<u8>, element: Element, values: &[Option<Value<'_>>]) -> Result<(), EncodeError> {
    let at = binary_encode::begin(out);
    let dimensions = i32::from(!values.is_empty());
    let has_nulls = i32::from(values.iter().any(Option::is_none));
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&has_nulls.to_be_bytes());
    out.extend_from_slice(&element_number(element).to_be_bytes());
    if !values.is_empty() {
        let length = i32::try_from(values.len()).map_err(|_| TOO_LONG)?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
    }
    for value in values {
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
