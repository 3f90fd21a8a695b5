//! Computes, from what PostgreSQL must hold, the row hash that the server computes from what it holds
//! (`postgres::table_digest`), so that one aggregate on the server compares every value of a table.
//!
//! The hash is Bob Jenkins' lookup3 as PostgreSQL has it (`hash_bytes_extended`, `hash_bytes_uint32_extended` in
//! `common/hashfn.c`). Nothing of the loader is used, so that a mistake there is found here. A mistake here makes a
//! difference, and then the rows themselves are compared.

use super::{
    canonical_row::{CanonicalRow, FieldContent},
    expected_value::{INFINITY, MINUS_INFINITY},
    printed_value,
};
use crate::{
    model::{ColumnPlan, PgType},
    postgres::table_digest::{CHAIN_LENGTH, Seed},
};

/// The hash of rows of certain columns.
#[derive(Debug)]
pub(super) struct ServerRowHash {
    types: Vec<PgType>,
    text: Vec<u8>,
}

impl ServerRowHash {
    /// Of rows of these columns. None if a column has a type whose text only the server knows.
    pub(super) fn of(columns: &[&ColumnPlan]) -> Option<Self> {
        let is_known = |column: &&ColumnPlan| {
            let is_other = matches!(
                column.pg_type,
                PgType::Vector(_)
                    | PgType::HalfVec(_)
                    | PgType::RealArray
                    | PgType::DoubleArray
                    | PgType::Bit(_)
                    | PgType::ExistingType(_)
            );
            !is_other && !column.by_text_input()
        };
        let types = columns.iter().map(|column| column.pg_type.clone()).collect();
        columns.iter().all(is_known).then(|| Self { types, text: Vec::new() })
    }

    /// The hash of a row, given as an image with whole values. None if no server can hold the row.
    pub(super) fn hash(&mut self, image: &CanonicalRow) -> Option<i64> {
        let mut done = Vec::new();
        let mut chain = Seed::Digest as u64;
        for (place, (content, pg_type)) in image.contents().zip(&self.types).enumerate() {
            if place > 0 && place.is_multiple_of(CHAIN_LENGTH) {
                done.push(chain.cast_signed().to_string());
                chain = Seed::Digest as u64;
            }
            chain = link(&mut self.text, pg_type, content, chain)?;
        }
        if !done.is_empty() {
            done.push(chain.cast_signed().to_string());
            chain = of_bytes(done.join(":").as_bytes(), Seed::Digest as u64);
        }
        Some(chain.cast_signed())
    }
}

/// The hash of a field whose predecessors have the hash `before`.
fn link(text: &mut Vec<u8>, pg_type: &PgType, content: FieldContent<'_>, before: u64) -> Option<u64> {
    let value = match content {
        FieldContent::Mismatch => return None,
        FieldContent::Null => return Some(of_null(pg_type, before ^ 1)),
        FieldContent::Number(scale, digits) => {
            let special = [(INFINITY, &b"Infinity"[..]), (MINUS_INFINITY, b"-Infinity")];
            let found = special.iter().find(|(image, _)| *image == digits);
            let Some((_, shown)) = found else {
                text.clear();
                printed_value::number(text, scale, digits)?;
                return Some(of_bytes(text, before));
            };
            return Some(of_bytes(shown, before));
        }
        FieldContent::Value(value) => value,
    };
    Some(match pg_type {
        PgType::SmallInt | PgType::Integer => of_word(low(integer(value)?.cast_unsigned()), before),
        PgType::Boolean => of_word(u32::from(*value.first()?), before),
        PgType::BigInt => of_both_halves(integer(value)?, before),
        PgType::Double => {
            let bits = integer(value)?.cast_unsigned();
            let marker = match f64::from_bits(bits) {
                0.0 => bits >> 63,
                _ => of_bytes(&bits.to_le_bytes(), 0),
            };
            of_both_halves(marker.cast_signed(), before)
        }
        PgType::Date | PgType::Time | PgType::Timestamp | PgType::TimestampTz => {
            text.clear();
            match pg_type {
                PgType::Date => printed_value::date(text, integer(value)?)?,
                PgType::Time => printed_value::clock(text, integer(value)?)?,
                _ => printed_value::timestamp(text, integer(value)?, *pg_type == PgType::TimestampTz)?,
            }
            of_bytes(text, before)
        }
        _ => of_bytes(value, before),
    })
}

/// NULL is hashed as a value of its type; the caller has changed the seed.
fn of_null(pg_type: &PgType, seed: u64) -> u64 {
    match pg_type {
        PgType::SmallInt | PgType::Integer | PgType::Boolean => of_word(0, seed),
        PgType::BigInt | PgType::Double => of_both_halves(0, seed),
        PgType::Uuid => of_bytes(&[0; 16], seed),
        _ => of_bytes(&[], seed),
    }
}

fn integer(value: &[u8]) -> Option<i64> {
    value.try_into().ok().map(i64::from_be_bytes)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
const fn low(value: u64) -> u32 {
    value as u32
}

/// `hashint8extended` over that of the upper half.
fn of_both_halves(value: i64, seed: u64) -> u64 {
    of_integer(value, of_integer(value >> 32, seed))
}

/// `hashint8extended`: numbers that fit into 32 bits have the hash of those.
fn of_integer(value: i64, seed: u64) -> u64 {
    let bits = value.cast_unsigned();
    let upper = if value < 0 { !low(bits >> 32) } else { low(bits >> 32) };
    of_word(low(bits) ^ upper, seed)
}

/// Three words under way, in the order a, b, c.
type Words = [u32; 3];

/// Words for `length` bytes of input.
fn start(length: usize, seed: u64) -> Words {
    let first = low(0x9e37_79b9_u64 + length as u64 + 3_923_095);
    if seed == 0 {
        return [first; 3];
    }
    mixed([first.wrapping_add(low(seed >> 32)), first.wrapping_add(low(seed)), first])
}

#[inline]
fn mixed([mut a, mut b, mut c]: Words) -> Words {
    a = a.wrapping_sub(c) ^ c.rotate_left(4);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(6);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(8);
    b = b.wrapping_add(a);
    a = a.wrapping_sub(c) ^ c.rotate_left(16);
    c = c.wrapping_add(b);
    b = b.wrapping_sub(a) ^ a.rotate_left(19);
    a = a.wrapping_add(c);
    c = c.wrapping_sub(b) ^ b.rotate_left(4);
    b = b.wrapping_add(a);
    [a, b, c]
}

#[inline]
fn end([mut a, mut b, mut c]: Words) -> u64 {
    for [turn_c, turn_a, turn_b] in [[14, 11, 25], [16, 4, 14]] {
        c = (c ^ b).wrapping_sub(b.rotate_left(turn_c));
        a = (a ^ c).wrapping_sub(c.rotate_left(turn_a));
        b = (b ^ a).wrapping_sub(a.rotate_left(turn_b));
    }
    c = (c ^ b).wrapping_sub(b.rotate_left(24));
    u64::from(b) << 32 | u64::from(c)
}

fn of_word(word: u32, seed: u64) -> u64 {
    let [a, b, c] = start(4, seed);
    end([a.wrapping_add(word), b, c])
}

fn of_bytes(bytes: &[u8], seed: u64) -> u64 {
    let mut words = start(bytes.len(), seed);
    let (blocks, rest) = bytes.as_chunks::<12>();
    for block in blocks {
        words = mixed(added(words, block, 0));
    }
    let mut last = [0; 12];
    if let Some(filled) = last.get_mut(..rest.len()) {
        filled.copy_from_slice(rest);
    }
    // The third word of the last part leaves its lowest byte to the length.
    end(added(words, &last, 8))
}

/// Adds 12 bytes, least significant first.
#[inline]
fn added([a, b, c]: Words, block: &[u8; 12], third_shift: u32) -> Words {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = *block;
    [
        a.wrapping_add(u32::from_le_bytes([a0, a1, a2, a3])),
        b.wrapping_add(u32::from_le_bytes([b0, b1, b2, b3])),
        c.wrapping_add(u32::from_le_bytes([c0, c1, c2, c3]) << third_shift),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_postgresqls() {
        // SELECT hashtextextended('', 0), hashtextextended('abc', 3), hashtextextended('Hello, wide world!', 10)
        let texts = [of_bytes(b"", 0), of_bytes(b"abc", 3), of_bytes(b"Hello, wide world!", 10)];
        assert_eq!(
            texts.map(u64::cast_signed),
            [-6_939_563_903_564_495_251, 8_038_125_643_135_246_751, -1_498_558_585_468_513_529]
        );
        // SELECT hashint8extended(i, 5) of -1, 0 and 2^40 + 7
        let numbers = [of_integer(-1, 5), of_integer(0, 5), of_integer((1 << 40) + 7, 5)];
        assert_eq!(
            numbers.map(u64::cast_signed),
            [5_111_540_776_065_715_399, -3_324_322_885_839_198_604, -6_246_394_030_670_518_708]
        );
    }
}
