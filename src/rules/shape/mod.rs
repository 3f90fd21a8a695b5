//! What a TEXT or BLOB looks like: the recognisers that a type choice stands on.
//!
//! Each recogniser is exact: what it accepts, the loading code can convert without losing anything but spelling; what
//! it doesn't accept keeps the column text or bytea (conversion rule book, 1.2 and 1.5 to 1.8). No recogniser keeps a
//! value.

pub mod json;

pub mod vector;

use super::datetime;
use crate::model::conversion_plan::VectorEncoding;

/// Names under which shapes are counted in a column's profile.
pub mod word {
    /// `YYYY-MM-DD`.
    pub const DATE: &str = "date";
    /// A date with a time, without zone.
    pub const TIMESTAMP: &str = "timestamp";
    /// A date with a time and a zone.
    pub const ZONED: &str = "timestamp+zone";
    /// `HH:MM[:SS[.f]]`.
    pub const TIME: &str = "time";
    /// Canonical 8-4-4-4-12 text.
    pub const UUID: &str = "uuid";
    /// `t` or `f`.
    pub const LETTER: &str = "t/f";
    /// `true` or `false`.
    pub const TRUTH: &str = "true/false";
    /// JSON that `jsonb` keeps without loss.
    pub const JSONB: &str = "json for jsonb";
    /// JSON that only `json` keeps.
    pub const JSON: &str = "json for json only";
    /// 16 bytes with version and variant where RFC 9562 has them.
    pub const UUID_BYTES: &str = "uuid bytes";
    /// The same with version 4.
    pub const UUID_BYTES_V4: &str = "uuid bytes, version 4";
    /// 16 bytes with version 4 where .NET's byte order puts it.
    pub const UUID_BYTES_SWAPPED: &str = "uuid bytes, version 4 in .NET order";
    /// A vector of the declared length, all numbers finite.
    pub const VECTOR: &str = "vector";
}

/// What to look for in the TEXT cells of a column besides what is always counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextShape {
    /// Dates and timestamps.
    Stamp,
    /// Times of day, and dates and timestamps.
    Clock,
    /// Canonical UUIDs.
    Uuid,
    /// JSON documents.
    Json,
    /// `t`, `f`, `true`, `false`.
    Truth,
}

/// What to look for in the BLOB cells of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobShape {
    /// UUIDs as 16 bytes.
    Uuid,
    /// Vectors of this encoding and length.
    Vector(VectorEncoding, u32),
}

/// What a profile has to look for in one column. Looking costs time, so that nothing is looked for without need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// In TEXT cells.
    pub text: Option<TextShape>,
    /// In BLOB cells.
    pub blob: Option<BlobShape>,
    /// Digits before and after the point of numbers.
    pub decimal_digits: bool,
    /// TEXT that looks like a number.
    pub number_texts: bool,
    /// The declared length in characters.
    pub characters: Option<u32>,
}

/// Whether bytes are all ASCII, and whether a NUL is among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// No byte above 0x7f.
    pub ascii: bool,
    /// A zero byte.
    pub nul: bool,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Looks at every byte once, eight at a time.
#[inline]
#[must_use]
pub fn scan(bytes: &[u8]) -> Scan {
    let (mut high, mut zero) = (0_u64, 0_u64);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        high |= word;
        zero |= word.wrapping_sub(ONES) & !word;
    }
    let mut tail_zero = false;
    for byte in rest {
        high |= u64::from(*byte);
        tail_zero |= *byte == 0;
    }
    Scan { ascii: high & HIGH == 0, nul: tail_zero || zero & HIGH != 0 }
}

/// What a date or timestamp text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StampKind {
    /// A date alone.
    Date,
    /// Without zone.
    Naive,
    /// With this offset in minutes.
    Zoned(i32),
}

/// Recognises a date or timestamp, and whether PostgreSQL prints it the same way as `timestamp` (as `date` for a date
/// alone).
#[inline]
#[must_use]
pub fn stamp(text: &[u8]) -> Option<(StampKind, bool)> {
    if let Some(found) = usual_stamp(text) {
        return Some(found);
    }
    let found = datetime::parse_stamp(text)?;
    match (found.time, found.offset_minutes) {
        (None, _) => Some((StampKind::Date, true)),
        (Some(_), None) => {
            let printed = text.get(10) == Some(&b' ') && text.get(11..).is_some_and(clock_as_printed);
            Some((StampKind::Naive, printed))
        }
        (Some(_), Some(offset)) => Some((StampKind::Zoned(offset), false)),
    }
}

/// The spelling of most timestamps, recognised without reading more of a date than it takes to know that it exists.
/// `None` says nothing.
#[inline]
fn usual_stamp(text: &[u8]) -> Option<(StampKind, bool)> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, between, h1, h2, b':', n1, n2, b':', s1, s2] = *head else {
        return None;
    };
    let digit = |byte: u8| byte.wrapping_sub(b'0');
    let most = |one: u8, other: u8| digit(one).max(digit(other));
    let greatest = most(y1, y2).max(most(y3, y4)).max(most(m1, m2)).max(most(d1, d2));
    let greatest = greatest.max(most(h1, h2)).max(most(n1, n2)).max(most(s1, s2));
    if greatest > 9 || !matches!(between, b' ' | b'T') {
        return None;
    }
    let pair = |one: u8, other: u8| digit(one) * 10 + digit(other);
    let exists = (pair(y1, y2) > 0 || pair(y3, y4) > 0)
        && (1..=12).contains(&pair(m1, m2))
        && (1..=28).contains(&pair(d1, d2))
        && pair(h1, h2) <= 23
        && pair(n1, n2) <= 59
        && pair(s1, s2) <= 59;
    match rest {
        [] if exists => Some((StampKind::Naive, between == b' ')),
        [b'Z'] if exists => Some((StampKind::Zoned(0), false)),
        _ => None,
    }
}

/// Recognises a time of day, and whether PostgreSQL prints it the same way.
#[must_use]
pub fn clock(text: &[u8]) -> Option<bool> {
    datetime::parse_clock(text).map(|_| clock_as_printed(text))
}

/// PostgreSQL prints seconds always, and a fraction without trailing zeros.
fn clock_as_printed(clock: &[u8]) -> bool {
    match clock.len() {
        8 => true,
        0..=8 => false,
        _ => clock.last() != Some(&b'0'),
    }
}

/// Recognises a canonical UUID text, and whether PostgreSQL prints it the same way (lower case).
#[must_use]
pub fn uuid(text: &[u8]) -> Option<bool> {
    let text = <&[u8; 36]>::try_from(text).ok()?;
    let [a1, a2, a3, a4, a5, a6, a7, a8, b'-', b1, b2, b3, b4, b'-', c1, c2, c3, c4, b'-', d1, d2, d3, d4, b'-', ..] =
        *text
    else {
        return None;
    };
    let [.., e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11, e12] = *text;
    let mut upper = 0;
    for digits in [
        [a1, a2, a3, a4, a5, a6, a7, a8],
        [b1, b2, b3, b4, c1, c2, c3, c4],
        [d1, d2, d3, d4, e1, e2, e3, e4],
        [e5, e6, e7, e8, e9, e10, e11, e12],
    ] {
        let word = u64::from_le_bytes(digits);
        let low = word | (ONES * 0x20);
        let letters = within(low, b'a', b'f');
        if word & HIGH != 0 || within(word, b'0', b'9') | letters != HIGH {
            return None;
        }
        // The bit 0x20 tells lower from upper case.
        upper |= (letters >> 2) & !word;
    }
    Some(upper & (ONES * 0x20) == 0)
}

/// The high bit of each byte that lies between two others; all bytes must be ASCII.
const fn within(word: u64, least: u8, most: u8) -> u64 {
    let not_below = word.wrapping_add(ONES * (0x80 - least as u64));
    let above = word.wrapping_add(ONES * (0x7f - most as u64));
    not_below & !above & HIGH
}

/// What a word of truth is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// `t` or `f` in any case.
    Letter,
    /// `true` or `false` in any case.
    Word,
}

/// Recognises `t`, `f`, `true`, `false` in any ASCII case.
#[must_use]
pub fn truth(text: &[u8]) -> Option<Truth> {
    if text.eq_ignore_ascii_case(b"t") || text.eq_ignore_ascii_case(b"f") {
        return Some(Truth::Letter);
    }
    (text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false")).then_some(Truth::Word)
}

/// Whether a text could be mistaken for a number that is written as text (decimal digits, or what
/// [`super::decimal::real_text`] writes). Says yes to a few spellings more than those.
#[must_use]
pub fn like_number(text: &[u8]) -> bool {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let rest = skip_digits(unsigned);
    if rest.len() == unsigned.len() {
        return unsigned == b"Inf";
    }
    let rest = rest.strip_prefix(b".").map_or(rest, skip_digits);
    match rest {
        [] => true,
        [b'e', b'+' | b'-', power @ ..] => skip_digits(power).is_empty(),
        _ => false,
    }
}

fn skip_digits(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.get(end..).unwrap_or_default()
}

/// How 16 bytes look as a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UuidBytes {
    /// Version 1 to 8 in byte 6, where RFC 9562 has it.
    pub network: bool,
    /// Version 4 in byte 6.
    pub network_v4: bool,
    /// Version 4 in byte 7, where .NET's `Guid` has it.
    pub swapped_v4: bool,
}

/// Looks for a UUID's version in 16 bytes that show its variant.
#[must_use]
pub fn uuid_bytes(blob: &[u8]) -> UuidBytes {
    let [_, _, _, _, _, _, sixth, seventh, eighth, ..] = *blob else { return UuidBytes::default() };
    if blob.len() != 16 || eighth & 0xc0 != 0x80 {
        return UuidBytes::default();
    }
    let version = sixth >> 4;
    UuidBytes { network: (1..=8).contains(&version), network_v4: version == 4, swapped_v4: seventh >> 4 == 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scan_finds_every_nul_and_high_byte_wherever_it_is() {
        for length in 0..40 {
            let plain = vec![b'x'; length];
            assert_eq!(scan(&plain), Scan { ascii: true, nul: false });
            for at in 0..length {
                let mut bytes = plain.clone();
                bytes[at] = 0;
                assert_eq!(scan(&bytes), Scan { ascii: true, nul: true }, "{at} of {length}");
                bytes[at] = 0x80;
                assert_eq!(scan(&bytes), Scan { ascii: false, nul: false }, "{at} of {length}");
            }
        }
    }

    #[test]
    fn stamps_know_how_postgresql_prints_them() {
        for (text, expected) in [
            ("2024-01-02", Some((StampKind::Date, true))),
            ("2024-01-02 03:04:05", Some((StampKind::Naive, true))),
            ("2024-01-02 03:04:05.5", Some((StampKind::Naive, true))),
            ("2024-01-02 03:04:05.50", Some((StampKind::Naive, false))),
            ("2024-01-02 03:04", Some((StampKind::Naive, false))),
            ("2024-01-02T03:04:05", Some((StampKind::Naive, false))),
            ("2024-01-02T03:04:05Z", Some((StampKind::Zoned(0), false))),
            ("2024-01-02 03:04:05+05:30", Some((StampKind::Zoned(330), false))),
            ("now", None),
            ("2024-01-02 03:04:05.1234567", None),
        ] {
            assert_eq!(stamp(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(clock(b"03:04"), Some(false));
        assert_eq!(clock(b"03:04:05"), Some(true));
        assert_eq!(clock(b"03:04:05.10"), Some(false));
        assert_eq!(clock(b"24:00:00"), None);
    }

    #[test]
    fn uuids_are_canonical_or_nothing() {
        assert_eq!(uuid(b"6f1c9bd0-0000-4000-8000-00000000000a"), Some(true));
        assert_eq!(uuid(b"6F1C9BD0-0000-4000-8000-00000000000a"), Some(false));
        assert_eq!(uuid(b"{6f1c9bd0-0000-4000-8000-0000000000}"), None);
        assert_eq!(uuid(b"6f1c9bd000004000800000000000000a"), None);
        let mut blob = [0x11_u8; 16];
        let none = UuidBytes::default();
        assert_eq!(uuid_bytes(&blob), none);
        blob[8] = 0x91;
        assert_eq!(uuid_bytes(&blob), UuidBytes { network: true, ..none });
        blob[7] = 0x41;
        assert_eq!(uuid_bytes(&blob), UuidBytes { network: true, network_v4: false, swapped_v4: true });
        blob[6] = 0x01;
        assert_eq!(uuid_bytes(&blob), UuidBytes { swapped_v4: true, ..none });
        assert_eq!(uuid_bytes(&blob[1..]), none);
    }

    #[test]
    fn numbers_written_as_text_are_noticed() {
        for text in ["1", "-1", "1.0", "1.0e+20", "Inf", "-Inf", "9223372036854775807", "0.1"] {
            assert!(like_number(text.as_bytes()), "{text}");
        }
        for text in ["", "abc", "2024-01-02", "1a", "0x10", " 1", "-"] {
            assert!(!like_number(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn words_of_truth() {
        assert_eq!(truth(b"T"), Some(Truth::Letter));
        assert_eq!(truth(b"False"), Some(Truth::Word));
        assert_eq!(truth(b"yes"), None);
        assert_eq!(truth(b""), None);
    }
}
