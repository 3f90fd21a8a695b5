//! Reads the rows of plain tables from the pages of a database file (SQLite "Database File Format"), several times faster
//! than through SQLite's virtual machine.
//!
//! Decisions: only tables with a rowid and without generated columns in a UTF-8 file without a journal are read here (see
//! [`TableLayout`]). Whatever is not as the format says ends the reading; the caller goes on with SQLite after the last
//! row that was handed over, and SQLite decides what it is. Verification reads through SQLite alone, so that a mistake
//! here is found there.

mod file;

mod layout;

mod record;

mod table_scan;

pub use file::PageFile;
pub use layout::TableLayout;
pub use record::Record;
pub use table_scan::{ScanEnd, scan};

/// The file is not as the format says, or not as this module expects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unexpected;

/// A variable-length integer and the bytes after it (section 1.6).
#[inline]
fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Unexpected> {
    if let [first @ 0..0x80, rest @ ..] = bytes {
        return Ok((u64::from(*first), rest));
    }
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(9).enumerate() {
        let rest = bytes.get(place + 1..).unwrap_or_default();
        if place == 8 {
            return Ok((value << 8 | u64::from(*byte), rest));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if *byte < 0x80 {
            return Ok((value, rest));
        }
    }
    Err(Unexpected)
}

/// Two bytes, most significant first.
#[inline]
fn u16_at(bytes: &[u8], at: usize) -> Result<usize, Unexpected> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk::<2>).ok_or(Unexpected)?;
    Ok(usize::from(u16::from_be_bytes(*found)))
}

/// Four bytes, most significant first.
#[inline]
fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Unexpected> {
    let found = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).ok_or(Unexpected)?;
    Ok(u32::from_be_bytes(*found))
}

#[cfg(test)]
mod tests;
