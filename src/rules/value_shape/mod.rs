//! Recognises what a TEXT or BLOB contains, for the type choice.
//!
//! Each recogniser is exact: what it accepts, the loading code can convert without losing anything but spelling; what
//! it doesn't accept keeps the column text or bytea (docs/conversion-rules.md, section 1.2). No recogniser
//! keeps a value.

pub mod json;

pub mod json_walk;

pub mod jsonb;

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
    /// SQLite's JSONB with a document that PostgreSQL's `jsonb` keeps without loss.
    pub const SQLITE_JSONB: &str = "JSONB blob for jsonb";
    /// SQLite's JSONB with a document that only `json` keeps.
    pub const SQLITE_JSON: &str = "JSONB blob for json only";
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
    /// SQLite's JSONB.
    Jsonb,
    /// Vectors of this encoding and length.
    Vector(VectorEncoding, u32),
}

/// What a profile has to look for in one column. Looking costs time, so that nothing is looked for without need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WantedShapes {
    /// In TEXT cells.
    pub text: Option<TextShape>,
    /// In BLOB cells.
    pub blob: Option<BlobShape>,
    /// Digits before and after the point of numbers.
    pub decimal_digits: bool,
    /// TEXT that looks like a number.
    pub number_texts: bool,
    /// TEXT that is an integer to the letter.
    pub whole_texts: bool,
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

/// The spelling of most timestamps, `YYYY-MM-DD[ T]HH:MM:SS[Z]`, eight bytes at a time. `None` says nothing.
#[inline]
fn usual_stamp(text: &[u8]) -> Option<(StampKind, bool)> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [y1, y2, y3, y4, s1, m1, m2, s2, d1, d2, between, clock @ ..] = *head;
    let date = YEAR_MONTH.read([y1, y2, y3, y4, s1, m1, m2, s2])?;
    let clock = CLOCK.read(clock)?;
    let (d1, d2) = (d1.wrapping_sub(b'0'), d2.wrapping_sub(b'0'));
    if d1 > 2 || d2 > 9 || !matches!(between, b' ' | b'T') {
        return None;
    }
    let pair = |word: u64, at: u32| (word >> (8 * at) & 0xff) * 10 + (word >> (8 * at + 8) & 0xff);
    let exists = date & 0xffff_ffff != 0
        && (1..=12).contains(&pair(date, 5))
        && (1..=28).contains(&(d1 * 10 + d2))
        && pair(clock, 0) <= 23
        && pair(clock, 3) <= 59
        && pair(clock, 6) <= 59;
    match rest {
        [] if exists => Some((StampKind::Naive, between == b' ')),
        [b'Z'] if exists => Some((StampKind::Zoned(0), false)),
        _ => None,
    }
}

/// Eight bytes of digits with other characters between them.
struct Digits {
    /// Those characters, each in its byte.
    marks: u64,
    /// 0xff in each byte that holds one.
    places: u64,
}

/// `YYYY-MM-`.
const YEAR_MONTH: Digits = Digits { marks: 0x2d00_002d_0000_0000, places: 0xff00_00ff_0000_0000 };
/// `HH:MM:SS`.
const CLOCK: Digits = Digits { marks: 0x0000_3a00_003a_0000, places: 0x0000_ff00_00ff_0000 };

impl Digits {
    /// The digits' values, each in its byte.
    #[inline]
    const fn read(&self, text: [u8; 8]) -> Option<u64> {
        // A mark leaves 0 and a digit its value; anything else is carried beyond 0x7f.
        let values = u64::from_le_bytes(text) ^ (self.marks | ((ONES * 0x30) & !self.places));
        let limits = ((ONES * 0x76) & !self.places) | ((ONES * 0x7f) & self.places);
        if (values.wrapping_add(limits) | values) & HIGH == 0 { Some(values) } else { None }
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
    if [text[8], text[13], text[18], text[23]] != *b"----" {
        return None;
    }
    let mut upper = 0;
    for digits in [
        [text[0], text[1], text[2], text[3], text[4], text[5], text[6], text[7]],
        [text[9], text[10], text[11], text[12], text[14], text[15], text[16], text[17]],
        [text[19], text[20], text[21], text[22], text[24], text[25], text[26], text[27]],
        [text[28], text[29], text[30], text[31], text[32], text[33], text[34], text[35]],
    ] {
        let word = u64::from_le_bytes(digits);
        let letters = within(word | (ONES * 0x20), b'a', b'f');
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
pub enum BooleanWord {
    /// `t` or `f` in any case.
    Letter,
    /// `true` or `false` in any case.
    Word,
}

/// Recognises `t`, `f`, `true`, `false` in any ASCII case.
#[must_use]
pub fn truth(text: &[u8]) -> Option<BooleanWord> {
    if text.eq_ignore_ascii_case(b"t") || text.eq_ignore_ascii_case(b"f") {
        return Some(BooleanWord::Letter);
    }
    (text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false")).then_some(BooleanWord::Word)
}

/// Reads a word that people take for true or false, in any ASCII case.
#[must_use]
pub fn bool_word(text: &[u8]) -> Option<bool> {
    let is_one_of = |words: [&str; 6]| words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    if is_one_of(["t", "true", "y", "yes", "on", "1"]) {
        Some(true)
    } else if is_one_of(["f", "false", "n", "no", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// Whether PostgreSQL can hold the text: UTF-8 without NUL.
#[must_use]
pub fn is_storable(text: &[u8]) -> bool {
    str::from_utf8(text).is_ok_and(|text| !text.contains('\0'))
}

/// The text with U+FFFD for each NUL and for each maximal subpart of an ill-formed sequence.
#[must_use]
pub fn replaced(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace('\0', "\u{fffd}")
}

/// The 16 bytes of a .NET `Guid` in network order, or the other way round: the first three fields turned.
#[must_use]
pub fn turned_guid(blob: &[u8]) -> Option<[u8; 16]> {
    let [a, b, c, d, e, f, g, h, rest @ ..] = *<&[u8; 16]>::try_from(blob).ok()?;
    let mut turned = [d, c, b, a, f, e, h, g, 0, 0, 0, 0, 0, 0, 0, 0];
    turned.get_mut(8..)?.copy_from_slice(&rest);
    Some(turned)
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

/// Reads a 64-bit integer as SQLite prints it, and nothing else.
#[must_use]
pub fn whole_number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_plain = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if is_plain { str::from_utf8(text).ok()?.parse().ok() } else { None }
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
mod tests;
