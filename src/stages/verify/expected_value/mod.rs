//! Computes what PostgreSQL must hold for a cell of the dump, from the documentation of [`Conversion`] and from nothing
//! of the loader.

use super::{
    canonical_row::{CanonicalRow, Mismatch},
    datetime,
    decimal::{DecimalDigits, real_text},
    existing_schema,
    guid::dotnet_uuid,
    json,
    stored_text::{is_text, replace_invalid_utf8, written},
    vector,
};
use crate::model::{
    ColumnPlan, Conversion, PgType,
    cell::SqliteCell,
    conversion_plan::{BlobText, EpochUnit, Exceptions, OffType, Origin, TimeEncoding, VectorEncoding},
    pg_column_type::{Element, PgColumnType},
};

/// From 1970 to 2001.
const SECONDS_TO_2001: i64 = 11_323 * 86_400;

/// 4713-11-24 BC, with which PostgreSQL's timestamps begin, in microseconds from 1970.
const FIRST_TIMESTAMP: i64 = -2_440_588 * datetime::DAY;

/// 2^53: up to here every integer is a double.
const EXACT: u64 = 9_007_199_254_740_992;

/// How the cells of one column are read.
#[derive(Debug, Clone)]
pub(super) struct ColumnReading {
    conversion: Conversion,
    pg_type: PgType,
    /// The user chose the type, and with it what the type forgets.
    chosen: bool,
    /// What becomes of cells that don't fit.
    exceptions: Exceptions,
    /// Text that PostgreSQL can't hold is replaced, because the off-type table keeps it.
    replaces: bool,
    /// The labels of an enumerated type, where other values are exceptions.
    labels: Vec<String>,
    /// PostgreSQL reads a text, and what it prints of it is compared.
    by_text: bool,
}

/// What becomes of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellOutcome {
    /// It is loaded, as what the image says.
    Kept,
    /// It became NULL, because it doesn't fit.
    Nulled,
    /// Its row is left out.
    Rejected,
}

impl ColumnReading {
    /// Of a planned column.
    pub(super) fn of(column: &ColumnPlan) -> Self {
        Self {
            conversion: column.conversion,
            pg_type: column.pg_type.clone(),
            chosen: column.origin == Origin::Override,
            exceptions: column.exceptions,
            replaces: column.records_off_type,
            labels: column.labels.clone(),
            by_text: column.by_text_input(),
        }
    }

    /// The expression that reads the column in SQLite. SQLite itself reads its binary JSON; a text of that column is
    /// read as a blob, because the conversion takes no text.
    pub(super) fn expression(&self, column: &str) -> String {
        let shape = PgColumnType::of(&self.pg_type);
        let is_document = shape.array || matches!(shape.element, Element::Json | Element::Jsonb);
        if matches!(self.conversion, Conversion::ExistingType(_)) && is_document {
            format!(
                "CASE WHEN typeof({column}) = 'blob' AND json_valid({column}, 8) AND NOT json_valid(CAST({column} AS TEXT)) \
                 THEN json({column}) ELSE {column} END"
            )
        } else if self.conversion == Conversion::SqliteJsonb {
            format!(
                "CASE typeof({column}) WHEN 'blob' THEN CASE WHEN json_valid({column}, 8) THEN json({column}) ELSE {column} \
                 END WHEN 'text' THEN CAST({column} AS BLOB) ELSE {column} END"
            )
        } else {
            column.to_owned()
        }
    }

    /// Whether a cell of this column can keep its row from being loaded.
    pub(super) fn rejects(&self) -> bool {
        self.exceptions.off_type == Some(OffType::Reject)
    }

    /// Appends to the image what PostgreSQL must hold for this cell.
    pub(super) fn append(&self, image: &mut CanonicalRow, cell: SqliteCell<'_>) -> CellOutcome {
        if cell == SqliteCell::Null {
            image.null();
            return CellOutcome::Kept;
        }
        if self.exceptions.empty_as_null && cell == SqliteCell::Text(b"") {
            image.null();
            return CellOutcome::Nulled;
        }
        let done = self.try_append(image, cell);
        match (done, self.exceptions.off_type) {
            (Ok(()), _) => CellOutcome::Kept,
            (Err(_), Some(OffType::Null)) => {
                image.null();
                CellOutcome::Nulled
            }
            (Err(mismatch), off_type) => {
                image.mismatch(mismatch);
                if off_type.is_some() { CellOutcome::Rejected } else { CellOutcome::Kept }
            }
        }
    }

    /// The text that PostgreSQL reads for this cell, if it is one that PostgreSQL has to read. What [`Self::append`]
    /// answers for it is that it is kept.
    pub(super) fn input_text(&self, cell: SqliteCell<'_>) -> Option<String> {
        let Conversion::ExistingType(settings) = self.conversion else { return None };
        let is_empty = self.exceptions.empty_as_null && cell == SqliteCell::Text(b"");
        if !self.by_text || cell == SqliteCell::Null || is_empty {
            return None;
        }
        existing_schema::input_text(&self.pg_type, &settings, cell).ok()
    }

    fn label(&self, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
        match cell {
            SqliteCell::Text(text) if !self.labels.is_empty() => {
                let known = self.labels.iter().any(|label| label.as_bytes() == text);
                if known { Ok(()) } else { Err(Mismatch::Form) }
            }
            _ => Ok(()),
        }
    }

    /// Nothing is appended if there is a mismatch.
    fn try_append(&self, image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
        match self.conversion {
            Conversion::Integer => self.integer(image, cell),
            Conversion::IntegerText => integer_text(image, cell),
            Conversion::IntegerBoolean => integer_boolean(image, cell),
            Conversion::WordBoolean => word_boolean(image, cell),
            Conversion::Double => double(image, cell),
            Conversion::Numeric => self.numeric(image, cell),
            Conversion::AnyBoolean => any_boolean(image, cell),
            Conversion::Text { blobs } => self.text(image, cell, blobs),
            Conversion::Bytea => bytea(image, cell),
            Conversion::Date => number(image, cell, datetime::date),
            Conversion::Time => number(image, cell, datetime::clock),
            Conversion::Timestamp => number(image, cell, |text| {
                let timestamp = datetime::timestamp(text)?;
                timestamp.east.is_none().then_some(timestamp.wall)
            }),
            Conversion::TimestampTz => number(image, cell, |text| {
                let timestamp = datetime::timestamp(text)?;
                Some(timestamp.wall - timestamp.east.unwrap_or(0))
            }),
            Conversion::Epoch { unit } => self.epoch(image, cell, unit),
            Conversion::RailsTime => number(image, cell, |text| {
                datetime::clock(text.strip_prefix(b"2000-01-01 ").or(text.strip_prefix(b"2000-01-01T")).unwrap_or(text))
            }),
            Conversion::Computed { by } => self.computed(image, cell, by),
            Conversion::AnyTimestamp { unit } => self.any_timestamp(image, cell, unit),
            Conversion::UuidDotnet => uuid_dotnet(image, cell),
            Conversion::UuidText => uuid_text(image, cell),
            Conversion::UuidBlob => uuid_blob(image, cell),
            // The engine has read the blob: see `expression`.
            Conversion::SqliteJsonb => match cell {
                SqliteCell::Text(_) => self.json(image, cell),
                SqliteCell::Blob(_) => Err(Mismatch::Form),
                _ => Err(Mismatch::Class),
            },
            Conversion::Json => self.json(image, cell),
            Conversion::Vector { encoding } => self.vector(image, cell, encoding),
            Conversion::ExistingType(settings) => {
                self.label(cell)?;
                existing_schema::expected(image, &self.pg_type, &settings, cell)
            }
            Conversion::Absent => Err(Mismatch::Class),
        }
    }

    fn text(&self, image: &mut CanonicalRow, cell: SqliteCell<'_>, blobs: BlobText) -> Result<(), Mismatch> {
        let replaced = match cell {
            SqliteCell::Text(bytes) if self.replaces && !is_text(bytes) => Some(replace_invalid_utf8(bytes)),
            _ => None,
        };
        let cell = replaced.as_deref().map_or(cell, SqliteCell::Text);
        let written = written(cell, blobs).ok_or(Mismatch::Class)?;
        if let PgType::Varchar(most) = self.pg_type {
            let beginnings = written.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
            if u32::try_from(beginnings).map_or(true, |count| count > most) {
                return Err(Mismatch::Loss);
            }
        }
        image.value(&written);
        Ok(())
    }

    fn integer(&self, image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
        let SqliteCell::Integer(value) = cell else { return Err(Mismatch::Class) };
        let fits = match self.pg_type {
            PgType::SmallInt => i16::try_from(value).is_ok(),
            PgType::Integer => i32::try_from(value).is_ok(),
            _ => true,
        };
        if !fits {
            return Err(Mismatch::Loss);
        }
        image.value(&value.to_be_bytes());
        Ok(())
    }

    fn numeric(&self, image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
        let (precision, scale) = match self.pg_type {
            PgType::Numeric(Some((precision, scale))) => (Some(i64::from(precision)), scale),
            _ => (None, 0),
        };
        let digits = match cell {
            SqliteCell::Integer(value) => DecimalDigits::of_integer(value),
            SqliteCell::Real(value) => match DecimalDigits::of_real(value) {
                Some(digits) => digits,
                None if precision.is_none() && !value.is_nan() => {
                    image.number(0, if value > 0.0 { INFINITY } else { MINUS_INFINITY });
                    return Ok(());
                }
                None => return Err(Mismatch::Loss),
            },
            _ => return Err(Mismatch::Class),
        };
        let needed = u16::try_from(digits.scale()).map_err(|_| Mismatch::Loss)?;
        let shown = match precision {
            None => needed,
            Some(precision) if needed <= scale && digits.point <= precision - i64::from(scale) => scale,
            Some(_) => return Err(Mismatch::Loss),
        };
        image.number(shown, &digits.groups().ok_or(Mismatch::Loss)?);
        Ok(())
    }

    fn epoch(&self, image: &mut CanonicalRow, cell: SqliteCell<'_>, unit: EpochUnit) -> Result<(), Mismatch> {
        let SqliteCell::Integer(value) = cell else { return Err(Mismatch::Class) };
        let unit = match unit {
            EpochUnit::Seconds => 1_000_000,
            EpochUnit::Milliseconds => 1_000,
            EpochUnit::Microseconds => 1,
        };
        self.timestamp(image, value.checked_mul(unit).ok_or(Mismatch::Loss)?)
    }

    /// Microseconds since 1970.
    fn timestamp(&self, image: &mut CanonicalRow, time: i64) -> Result<(), Mismatch> {
        match self.pg_type {
            _ if time < FIRST_TIMESTAMP => return Err(Mismatch::Loss),
            PgType::Date if time % datetime::DAY == 0 => image.value(&(time / datetime::DAY).to_be_bytes()),
            PgType::Date => return Err(Mismatch::Loss),
            _ => image.value(&time.to_be_bytes()),
        }
        Ok(())
    }

    fn computed(&self, image: &mut CanonicalRow, cell: SqliteCell<'_>, by: TimeEncoding) -> Result<(), Mismatch> {
        let (places, zero) = match by {
            TimeEncoding::UnixS => (6, 0),
            TimeEncoding::UnixMs => (3, 0),
            TimeEncoding::UnixUs => (0, 0),
            TimeEncoding::UnixNs => (-3, 0),
            TimeEncoding::CoreData => (6, SECONDS_TO_2001 * 1_000_000),
            TimeEncoding::Julian => return self.timestamp(image, datetime::julian(cell).ok_or(Mismatch::Form)?),
        };
        let digits = match cell {
            SqliteCell::Integer(value) => DecimalDigits::of_integer(value),
            SqliteCell::Real(value) if value == 0.0 && value.is_sign_negative() => return Err(Mismatch::Loss),
            SqliteCell::Real(value) => DecimalDigits::of_real(value).ok_or(Mismatch::Loss)?,
            _ => return Err(Mismatch::Class),
        };
        let time = digits.shifted(places).and_then(|time| time.checked_add(zero)).ok_or(Mismatch::Loss)?;
        self.timestamp(image, time)
    }

    fn any_timestamp(&self, image: &mut CanonicalRow, cell: SqliteCell<'_>, unit: EpochUnit) -> Result<(), Mismatch> {
        match cell {
            SqliteCell::Integer(value) => {
                // Each window is 1e8 to 5e9 seconds in its unit.
                let scale = match unit {
                    EpochUnit::Seconds => 1,
                    EpochUnit::Milliseconds => 1_000,
                    EpochUnit::Microseconds => 1_000_000,
                };
                if value < 100_000_000 * scale || value > 5_000_000_000 * scale {
                    return Err(Mismatch::Form);
                }
                self.epoch(image, cell, unit)
            }
            _ => number(image, cell, |text| {
                let timestamp = datetime::timestamp(text)?;
                Some(timestamp.wall - timestamp.east.unwrap_or(0))
            }),
        }
    }

    fn json(&self, image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
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
            SqliteCell::Null | SqliteCell::Blob(_) => return Err(Mismatch::Class),
        };
        if self.pg_type == PgType::Json {
            if self.exceptions.off_type.is_some() && !json::is_json(document) {
                return Err(Mismatch::Form);
            }
            image.value(document);
            return Ok(());
        }
        let meaning = json::meaning(document).ok_or(Mismatch::Form)?;
        if meaning.loses && !self.chosen || meaning.is_beyond() && self.exceptions.off_type.is_some() {
            return Err(Mismatch::Loss);
        }
        image.value(&meaning.text);
        Ok(())
    }

    fn vector(&self, image: &mut CanonicalRow, cell: SqliteCell<'_>, encoding: VectorEncoding) -> Result<(), Mismatch> {
        let SqliteCell::Blob(blob) = cell else { return Err(Mismatch::Class) };
        let elements = vector::of_blob(encoding, blob).ok_or(Mismatch::Form)?;
        if self.exceptions.off_type.is_some() && !elements.fit(&self.pg_type) {
            return Err(Mismatch::Loss);
        }
        image.value(&elements.as_type(&self.pg_type)?.bytes());
        Ok(())
    }
}

/// The image of `Infinity` in `numeric`.
pub(super) const INFINITY: &[u8] = b"+inf";

/// The image of `-Infinity` in `numeric`.
pub(super) const MINUS_INFINITY: &[u8] = b"-inf";

/// A number that prints as the very text.
fn integer_text(image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
    let value = match cell {
        SqliteCell::Integer(value) => value,
        SqliteCell::Text(text) => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
            number.filter(|number| number.to_string().as_bytes() == text).ok_or(Mismatch::Form)?
        }
        _ => return Err(Mismatch::Class),
    };
    image.value(&value.to_be_bytes());
    Ok(())
}

fn integer_boolean(image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
    match cell {
        SqliteCell::Integer(0) => image.value(&[0]),
        SqliteCell::Integer(1) => image.value(&[1]),
        SqliteCell::Integer(_) => return Err(Mismatch::Loss),
        _ => return Err(Mismatch::Class),
    }
    Ok(())
}

fn word_boolean(image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
    let SqliteCell::Text(word) = cell else { return Err(Mismatch::Class) };
    match word.to_ascii_lowercase().as_slice() {
        b"t" | b"true" => image.value(&[1]),
        b"f" | b"false" => image.value(&[0]),
        _ => return Err(Mismatch::Form),
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "only integers that are doubles get here")]
fn double(image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
    let value = match cell {
        SqliteCell::Real(value) => value,
        SqliteCell::Integer(value) if value.unsigned_abs() <= EXACT => value as f64,
        SqliteCell::Integer(_) => return Err(Mismatch::Loss),
        _ => return Err(Mismatch::Class),
    };
    image.value(&value.to_bits().to_be_bytes());
    Ok(())
}

fn bytea(image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
    match cell {
        SqliteCell::Blob(bytes) => image.value(bytes),
        other => image.value(&written(other, BlobText::Hex).ok_or(Mismatch::Class)?),
    }
    Ok(())
}

fn any_boolean(image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
    let truth = match cell {
        SqliteCell::Integer(value @ (0 | 1)) => value == 1,
        SqliteCell::Text(word) => match word.to_ascii_lowercase().as_slice() {
            b"1" | b"t" | b"y" | b"on" | b"yes" | b"true" => true,
            b"0" | b"f" | b"n" | b"no" | b"off" | b"false" => false,
            _ => return Err(Mismatch::Form),
        },
        _ => return Err(Mismatch::Class),
    };
    image.value(&[u8::from(truth)]);
    Ok(())
}

fn uuid_dotnet(image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
    let SqliteCell::Blob(bytes) = cell else { return Err(Mismatch::Class) };
    image.value(&dotnet_uuid(bytes).ok_or(Mismatch::Form)?);
    Ok(())
}

fn number(image: &mut CanonicalRow, cell: SqliteCell<'_>, read: impl Fn(&[u8]) -> Option<i64>) -> Result<(), Mismatch> {
    let SqliteCell::Text(written) = cell else { return Err(Mismatch::Class) };
    image.value(&read(written).ok_or(Mismatch::Form)?.to_be_bytes());
    Ok(())
}

fn uuid_text(image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
    let SqliteCell::Text(written) = cell else { return Err(Mismatch::Class) };
    if !written.split(|byte| *byte == b'-').map(<[u8]>::len).eq([8, 4, 4, 4, 12]) {
        return Err(Mismatch::Form);
    }
    let mut value: u128 = 0;
    for byte in written.iter().filter(|byte| **byte != b'-') {
        let digit = char::from(*byte).to_digit(16).ok_or(Mismatch::Form)?;
        value = value << 4 | u128::from(digit);
    }
    image.value(&value.to_be_bytes());
    Ok(())
}

fn uuid_blob(image: &mut CanonicalRow, cell: SqliteCell<'_>) -> Result<(), Mismatch> {
    match cell {
        SqliteCell::Blob(bytes) if bytes.len() == 16 => {
            image.value(bytes);
            Ok(())
        }
        SqliteCell::Blob(_) => Err(Mismatch::Form),
        _ => Err(Mismatch::Class),
    }
}

#[cfg(test)]
mod tests;
