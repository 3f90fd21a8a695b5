//! One record: the fields of a row (SQLite "Database File Format", section 2.1).

use super::{Unexpected, layout::Field, varint};
use crate::model::cell::SqliteCell;

/// Bytes of the longest header: 32,767 columns of three bytes each, and the length itself.
const HEADER_MOST: usize = 98_307;

/// A row as its wanted columns.
#[derive(Debug)]
pub struct Record<'a> {
    pub(super) rowid: i64,
    pub(super) payload: &'a [u8],
    pub(super) stored: &'a [StoredField],
    pub(super) fields: &'a [Field],
}

/// A field of a record: its serial type, and where its content begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredField {
    serial: u64,
    start: usize,
}

impl Record<'_> {
    /// The rowid.
    #[must_use]
    pub const fn rowid(&self) -> i64 {
        self.rowid
    }

    /// The cell of a wanted column; NULL for one that isn't wanted.
    #[inline]
    #[must_use]
    pub fn cell(&self, index: usize) -> SqliteCell<'_> {
        match self.fields.get(index) {
            Some(Field::Rowid) => SqliteCell::Integer(self.rowid),
            Some(Field::Stored { place, is_real }) => match self.stored.get(*place) {
                Some(field) => field.value(self.payload, *is_real),
                None => SqliteCell::Null,
            },
            None => SqliteCell::Null,
        }
    }
}

impl StoredField {
    #[inline]
    fn value<'a>(&self, payload: &'a [u8], is_real: bool) -> SqliteCell<'a> {
        let length = content_length(self.serial);
        // The fields were measured when the record was read.
        let bytes = payload.get(self.start..self.start + length).unwrap_or_default();
        match self.serial {
            0 => SqliteCell::Null,
            7 => {
                let real = bytes.first_chunk().map_or(0.0, |bytes| f64::from_be_bytes(*bytes));
                // SQLite has no NaN: it reads one as NULL.
                if real.is_nan() { SqliteCell::Null } else { SqliteCell::Real(real) }
            }
            1..=9 => number(integer(self.serial, bytes), is_real),
            serial if serial % 2 == 0 => SqliteCell::Blob(bytes),
            _ => SqliteCell::Text(bytes),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "as SQLite itself converts an integer of a REAL column")]
fn number(value: i64, is_real: bool) -> SqliteCell<'static> {
    if is_real { SqliteCell::Real(value as f64) } else { SqliteCell::Integer(value) }
}

#[inline]
fn integer(serial: u64, bytes: &[u8]) -> i64 {
    match serial {
        8 => 0,
        9 => 1,
        _ => {
            let negative = bytes.first().is_some_and(|first| *first >= 0x80);
            bytes.iter().fold(if negative { -1 } else { 0 }, |value, byte| value << 8 | i64::from(*byte))
        }
    }
}

/// Bytes of the content of a field. Serial types 10 and 11 are refused when a record is read.
#[inline]
fn content_length(serial: u64) -> usize {
    match serial {
        0 | 8 | 9 => 0,
        1..=4 => usize::try_from(serial).unwrap_or(0),
        5 => 6,
        6 | 7 => 8,
        _ => usize::try_from((serial - 12) / 2).unwrap_or(usize::MAX),
    }
}

/// Measures the fields of a record, the first `wanted` ones at most.
///
/// # Errors
/// [`Unexpected`] for a record that is not as the format says.
pub(super) fn measure(payload: &[u8], wanted: usize, stored: &mut Vec<StoredField>) -> Result<(), Unexpected> {
    stored.clear();
    let (header, after_length) = varint(payload)?;
    // SQLite refuses longer headers, too.
    let header = usize::try_from(header).ok().filter(|header| *header <= HEADER_MOST).ok_or(Unexpected)?;
    let length_bytes = payload.len() - after_length.len();
    let mut serials = payload.get(length_bytes..header).ok_or(Unexpected)?;
    let mut start = header;
    while !serials.is_empty() && stored.len() < wanted {
        let (serial, rest) = varint(serials)?;
        if matches!(serial, 10 | 11) {
            return Err(Unexpected);
        }
        stored.push(StoredField { serial, start });
        start = start.checked_add(content_length(serial)).filter(|end| *end <= payload.len()).ok_or(Unexpected)?;
        serials = rest;
    }
    // The fields fill the payload.
    if serials.is_empty() && start != payload.len() { Err(Unexpected) } else { Ok(()) }
}
