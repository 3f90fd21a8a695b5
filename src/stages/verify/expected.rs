//! What PostgreSQL must hold for a cell of the dump, read from the documentation of
//! [`Conversion`] and from nothing of the loader.

use super::{
    civil,
    digits::{Digits, real_text},
    given,
    image::{Misfit, RowImage},
    json, vector,
};
use crate::model::{
    ColumnPlan, Conversion, PgType,
    cell::SqliteCell,
    conversion_plan::{BlobText, EpochUnit, Origin, VectorEncoding},
};

/// 2^53: up to here every integer is a double.
const EXACT: u64 = 9_007_199_254_740_992;

/// How the cells of one column are read.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    conversion: Conversion,
    pg_type: PgType,
    /// The user chose the type, and with it what the type forgets.
    chosen: bool,
}

impl Reading {
    /// Of a planned column.
    pub(super) fn of(column: &ColumnPlan) -> Self {
        Self {
            conversion: column.conversion,
            pg_type: column.pg_type.clone(),
            chosen: column.origin == Origin::Override,
        }
    }

    /// Appends to the image what PostgreSQL must hold for this cell.
    pub(super) fn append(&self, image: &mut RowImage, cell: SqliteCell<'_>) {
        if cell == SqliteCell::Null {
            return image.null();
        }
        let done = match self.conversion {
            Conversion::Integer => self.integer(image, cell),
            Conversion::IntegerBoolean => integer_boolean(image, cell),
            Conversion::WordBoolean => word_boolean(image, cell),
            Conversion::Double => double(image, cell),
            Conversion::Numeric => self.numeric(image, cell),
            Conversion::Text { blobs } => text(image, cell, blobs),
            Conversion::Bytea => bytea(image, cell),
            Conversion::Date => number(image, cell, civil::date),
            Conversion::Time => number(image, cell, civil::clock),
            Conversion::Timestamp => number(image, cell, |text| {
                let moment = civil::moment(text)?;
                moment.east.is_none().then_some(moment.wall)
            }),
            Conversion::TimestampTz => number(image, cell, |text| {
                let moment = civil::moment(text)?;
                Some(moment.wall - moment.east.unwrap_or(0))
            }),
            Conversion::Epoch { unit } => self.epoch(image, cell, unit),
            Conversion::UuidText => uuid_text(image, cell),
            Conversion::UuidBlob => uuid_blob(image, cell),
            Conversion::Json => self.json(image, cell),
            Conversion::Vector { encoding } => self.vector(image, cell, encoding),
            Conversion::Given { unit } => given::expected(image, &self.pg_type, unit, cell),
            Conversion::Absent => Err(Misfit::Class),
        };
        if let Err(misfit) = done {
            image.misfit(misfit);
        }
    }

    fn integer(&self, image: &mut RowImage, cell: SqliteCell<'_>) -> Result<(), Misfit> {
        let SqliteCell::Integer(value) = cell else { return Err(Misfit::Class) };
        let fits = match self.pg_type {
            PgType::SmallInt => i16::try_from(value).is_ok(),
            PgType::Integer => i32::try_from(value).is_ok(),
            _ => true,
        };
        if !fits {
            return Err(Misfit::Loss);
        }
        image.value(&value.to_be_bytes());
        Ok(())
    }

    fn numeric(&self, image: &mut RowImage, cell: SqliteCell<'_>) -> Result<(), Misfit> {
        let (precision, scale) = match self.pg_type {
            PgType::Numeric(Some((precision, scale))) => (Some(i64::from(precision)), scale),
            _ => (None, 0),
        };
        let digits = match cell {
            SqliteCell::Integer(value) => Digits::of_integer(value),
            SqliteCell::Real(value) => match Digits::of_real(value) {
                Some(digits) => digits,
                None if precision.is_none() && !value.is_nan() => {
                    image.number(0, if value > 0.0 { INFINITY } else { MINUS_INFINITY });
                    return Ok(());
                }
                None => return Err(Misfit::Loss),
            },
            _ => return Err(Misfit::Class),
        };
        let needed = u16::try_from(digits.scale()).map_err(|_| Misfit::Loss)?;
        let shown = match precision {
            None => needed,
            Some(precision) if needed <= scale && digits.point <= precision - i64::from(scale) => scale,
            Some(_) => return Err(Misfit::Loss),
        };
        image.number(shown, &digits.groups().ok_or(Misfit::Loss)?);
        Ok(())
    }

    fn epoch(&self, image: &mut RowImage, cell: SqliteCell<'_>, unit: EpochUnit) -> Result<(), Misfit> {
        let SqliteCell::Integer(value) = cell else { return Err(Misfit::Class) };
        let unit = match unit {
            EpochUnit::Seconds => 1_000_000,
            EpochUnit::Milliseconds => 1_000,
            EpochUnit::Microseconds => 1,
        };
        let time = value.checked_mul(unit).ok_or(Misfit::Loss)?;
        match self.pg_type {
            PgType::Date if time % civil::DAY == 0 => image.value(&(time / civil::DAY).to_be_bytes()),
            PgType::Date => return Err(Misfit::Loss),
            _ => image.value(&time.to_be_bytes()),
        }
        Ok(())
    }

    fn json(&self, image: &mut RowImage, cell: SqliteCell<'_>) -> Result<(), Misfit> {
        let written;
        let document = match cell {
            SqliteCell::Text(text) => text,
            SqliteCell::Integer(value) => {
                written = value.to_string();
                written.as_bytes()
            }
            SqliteCell::Real(value) => {
                written = real_text(value);
                written.as_bytes()
            }
            SqliteCell::Null | SqliteCell::Blob(_) => return Err(Misfit::Class),
        };
        if self.pg_type == PgType::Json {
            image.value(document);
            return Ok(());
        }
        let meaning = json::meaning(document).ok_or(Misfit::Form)?;
        if meaning.loses && !self.chosen {
            return Err(Misfit::Loss);
        }
        image.value(&meaning.hash.to_be_bytes());
        Ok(())
    }

    fn vector(&self, image: &mut RowImage, cell: SqliteCell<'_>, encoding: VectorEncoding) -> Result<(), Misfit> {
        let SqliteCell::Blob(blob) = cell else { return Err(Misfit::Class) };
        let elements = vector::of_blob(encoding, blob).ok_or(Misfit::Form)?;
        image.value(&elements.as_type(&self.pg_type)?.bytes());
        Ok(())
    }
}

/// The image of `Infinity` in `numeric`.
pub(super) const INFINITY: &[u8] = b"+inf";

/// The image of `-Infinity` in `numeric`.
pub(super) const MINUS_INFINITY: &[u8] = b"-inf";

fn integer_boolean(image: &mut RowImage, cell: SqliteCell<'_>) -> Result<(), Misfit> {
    match cell {
        SqliteCell::Integer(0) => image.value(&[0]),
        SqliteCell::Integer(1) => image.value(&[1]),
        SqliteCell::Integer(_) => return Err(Misfit::Loss),
        _ => return Err(Misfit::Class),
    }
    Ok(())
}

fn word_boolean(image: &mut RowImage, cell: SqliteCell<'_>) -> Result<(), Misfit> {
    let SqliteCell::Text(word) = cell else { return Err(Misfit::Class) };
    match word.to_ascii_lowercase().as_slice() {
        b"t" | b"true" => image.value(&[1]),
        b"f" | b"false" => image.value(&[0]),
        _ => return Err(Misfit::Form),
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "only integers that are doubles get here")]
fn double(image: &mut RowImage, cell: SqliteCell<'_>) -> Result<(), Misfit> {
    let value = match cell {
        SqliteCell::Real(value) => value,
        SqliteCell::Integer(value) if value.unsigned_abs() <= EXACT => value as f64,
        SqliteCell::Integer(_) => return Err(Misfit::Loss),
        _ => return Err(Misfit::Class),
    };
    image.value(&value.to_bits().to_be_bytes());
    Ok(())
}

/// Appends the text of a cell as the conversion to text documents it.
fn text(image: &mut RowImage, cell: SqliteCell<'_>, blobs: BlobText) -> Result<(), Misfit> {
    match cell {
        SqliteCell::Null => return Err(Misfit::Class),
        SqliteCell::Text(bytes) => image.value(bytes),
        SqliteCell::Integer(value) => image.value(value.to_string().as_bytes()),
        SqliteCell::Real(value) => image.value(real_text(value).as_bytes()),
        SqliteCell::Blob(blob) => {
            let is_text = !blob.contains(&0) && std::str::from_utf8(blob).is_ok();
            if blobs == BlobText::Utf8OrHex && is_text {
                image.value(blob);
            } else {
                image.value(hexadecimal(blob).as_bytes());
            }
        }
    }
    Ok(())
}

/// `\x` and two lower-case digits for each byte.
pub(super) fn hexadecimal(blob: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    let mut text = String::with_capacity(2 + blob.len() * 2);
    text.push_str("\\x");
    text.extend(blob.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    text
}

fn bytea(image: &mut RowImage, cell: SqliteCell<'_>) -> Result<(), Misfit> {
    match cell {
        SqliteCell::Blob(bytes) => {
            image.value(bytes);
            Ok(())
        }
        other => text(image, other, BlobText::Hex),
    }
}

fn number(image: &mut RowImage, cell: SqliteCell<'_>, read: impl Fn(&[u8]) -> Option<i64>) -> Result<(), Misfit> {
    let SqliteCell::Text(written) = cell else { return Err(Misfit::Class) };
    image.value(&read(written).ok_or(Misfit::Form)?.to_be_bytes());
    Ok(())
}

fn uuid_text(image: &mut RowImage, cell: SqliteCell<'_>) -> Result<(), Misfit> {
    let SqliteCell::Text(written) = cell else { return Err(Misfit::Class) };
    if !written.split(|byte| *byte == b'-').map(<[u8]>::len).eq([8, 4, 4, 4, 12]) {
        return Err(Misfit::Form);
    }
    let mut value: u128 = 0;
    for byte in written.iter().filter(|byte| **byte != b'-') {
        let digit = char::from(*byte).to_digit(16).ok_or(Misfit::Form)?;
        value = value << 4 | u128::from(digit);
    }
    image.value(&value.to_be_bytes());
    Ok(())
}

fn uuid_blob(image: &mut RowImage, cell: SqliteCell<'_>) -> Result<(), Misfit> {
    match cell {
        SqliteCell::Blob(bytes) if bytes.len() == 16 => {
            image.value(bytes);
            Ok(())
        }
        SqliteCell::Blob(_) => Err(Misfit::Form),
        _ => Err(Misfit::Class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::verify::image::{Mark, Shape};

    fn reading(conversion: Conversion, pg_type: PgType) -> Reading {
        Reading { conversion, pg_type, chosen: false }
    }

    fn mark(reading: &Reading, cell: SqliteCell<'_>) -> Mark {
        let mut image = RowImage::default();
        reading.append(&mut image, cell);
        image.marks().remove(0)
    }

    #[test]
    fn cells_that_a_conversion_does_not_name_never_fit() {
        for (conversion, pg_type, cell, misfit) in [
            (Conversion::Integer, PgType::BigInt, SqliteCell::Text(b"1"), Misfit::Class),
            (Conversion::Integer, PgType::SmallInt, SqliteCell::Integer(40_000), Misfit::Loss),
            (Conversion::IntegerBoolean, PgType::Boolean, SqliteCell::Integer(2), Misfit::Loss),
            (Conversion::WordBoolean, PgType::Boolean, SqliteCell::Text(b"yes"), Misfit::Form),
            (Conversion::Double, PgType::Double, SqliteCell::Integer(i64::MAX), Misfit::Loss),
            (Conversion::Numeric, PgType::Numeric(Some((4, 2))), SqliteCell::Real(1.005), Misfit::Loss),
            (Conversion::Numeric, PgType::Numeric(Some((4, 2))), SqliteCell::Integer(100), Misfit::Loss),
            (Conversion::Numeric, PgType::Numeric(Some((4, 2))), SqliteCell::Real(f64::INFINITY), Misfit::Loss),
            (Conversion::Date, PgType::Date, SqliteCell::Text(b"2024-02-30"), Misfit::Form),
            (Conversion::Timestamp, PgType::Timestamp, SqliteCell::Text(b"2024-02-20 00:00Z"), Misfit::Form),
            (Conversion::Epoch { unit: EpochUnit::Seconds }, PgType::Date, SqliteCell::Integer(1), Misfit::Loss),
            (Conversion::UuidText, PgType::Uuid, SqliteCell::Text(b"{0}"), Misfit::Form),
            (Conversion::UuidBlob, PgType::Uuid, SqliteCell::Blob(b"0"), Misfit::Form),
            (Conversion::Json, PgType::Jsonb, SqliteCell::Text(b"{\"a\":1,\"a\":2}"), Misfit::Loss),
            (Conversion::Json, PgType::Jsonb, SqliteCell::Text(b"{a:1}"), Misfit::Form),
        ] {
            let found = mark(&reading(conversion, pg_type), cell).shape;
            assert_eq!(found, Shape::Misfit(misfit), "{conversion:?}");
        }
    }

    #[test]
    fn numbers_show_their_scale() {
        let scale = |pg_type, cell| match mark(&reading(Conversion::Numeric, pg_type), cell).shape {
            Shape::Number { scale } => scale,
            other => panic!("{other:?}"),
        };
        assert_eq!(scale(PgType::Numeric(None), SqliteCell::Real(1.5)), 1);
        assert_eq!(scale(PgType::Numeric(None), SqliteCell::Integer(7)), 0);
        assert_eq!(scale(PgType::Numeric(Some((5, 2))), SqliteCell::Real(1.5)), 2);
        assert_eq!(scale(PgType::Numeric(Some((2, 2))), SqliteCell::Real(0.25)), 2);
    }

    #[test]
    fn a_choice_of_the_user_covers_what_jsonb_forgets() {
        let chosen = Reading { conversion: Conversion::Json, pg_type: PgType::Jsonb, chosen: true };
        let found = mark(&chosen, SqliteCell::Text(b"{\"a\":1,\"a\":2}"));
        assert_eq!(found, mark(&chosen, SqliteCell::Text(b"{\"a\":2}")));
    }

    #[test]
    fn blobs_in_text_are_hexadecimal_unless_they_are_text() {
        let hex = reading(Conversion::Text { blobs: BlobText::Hex }, PgType::Text);
        let either = reading(Conversion::Text { blobs: BlobText::Utf8OrHex }, PgType::Text);
        assert_eq!(mark(&hex, SqliteCell::Blob(b"ab")), mark(&hex, SqliteCell::Text(b"\\x6162")));
        assert_eq!(mark(&either, SqliteCell::Blob(b"ab")), mark(&hex, SqliteCell::Text(b"ab")));
        assert_eq!(mark(&either, SqliteCell::Blob(b"a\0")), mark(&hex, SqliteCell::Text(b"\\x6100")));
    }
}
