//! The text that PostgreSQL must hold for a cell.

use std::borrow::Cow;

use super::decimal::real_text;
use crate::model::{cell::SqliteCell, conversion_plan::BlobText};

/// The text of a cell as the conversion to text documents it.
pub(super) fn written(cell: SqliteCell<'_>, blobs: BlobText) -> Option<Cow<'_, [u8]>> {
    Some(match cell {
        SqliteCell::Null => return None,
        SqliteCell::Text(bytes) => Cow::Borrowed(bytes),
        SqliteCell::Integer(value) => Cow::Owned(value.to_string().into_bytes()),
        SqliteCell::Real(value) => Cow::Owned(real_text(value).into_bytes()),
        SqliteCell::Blob(blob) if blobs == BlobText::Utf8OrHex && is_text(blob) && !blob.starts_with(b"\\x") => {
            Cow::Borrowed(blob)
        }
        SqliteCell::Blob(blob) => Cow::Owned(hexadecimal(blob).into_bytes()),
    })
}

/// Whether PostgreSQL can hold these bytes as text.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// U+FFFD in UTF-8.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// The bytes with U+FFFD for each NUL and each maximal subpart of an ill-formed sequence, byte by byte along table 3-7
/// of the Unicode standard.
pub(super) fn replace_invalid_utf8(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    let mut at = 0;
    while let Some(first) = bytes.get(at).copied() {
        let (followers, second) = match first {
            1..=0x7f => (0, 0..=0),
            0xc2..=0xdf => (1, 0x80..=0xbf),
            0xe0 => (2, 0xa0..=0xbf),
            0xe1..=0xec | 0xee | 0xef => (2, 0x80..=0xbf),
            0xed => (2, 0x80..=0x9f),
            0xf0 => (3, 0x90..=0xbf),
            0xf1..=0xf3 => (3, 0x80..=0xbf),
            0xf4 => (3, 0x80..=0x8f),
            _ => {
                out.extend_from_slice(REPLACEMENT);
                at += 1;
                continue;
            }
        };
        let mut length = 1;
        while length <= followers
            && let Some(next) = bytes.get(at + length)
            && if length == 1 { second.contains(next) } else { (0x80..=0xbf).contains(next) }
        {
            length += 1;
        }
        let part = bytes.get(at..at + length).unwrap_or_default();
        out.extend_from_slice(if length > followers { part } else { REPLACEMENT });
        at += length;
    }
    out
}

/// `\x` and two lower-case digits for each byte.
pub(super) fn hexadecimal(blob: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    let mut text = String::with_capacity(2 + blob.len() * 2);
    text.push_str("\\x");
    text.extend(blob.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    text
}
