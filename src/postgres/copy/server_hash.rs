//! The row hash of `postgres::table_digest`, computed from the bytes of a COPY instead of by the server.
//!
//! So the rows that were sent can be compared with those that a table holds by one aggregate on the server, without
//! reading them back. The functions are PostgreSQL's (`hash_bytes_extended` and the functions of its hash operator classes,
//! `common/hashfn.c`), which have given the same values since version 11. A mistake here can only report a difference where
//! there is none: the other side is computed by the server itself on what it stores.

use super::{binary_decode, server_text};
use crate::{
    model::{ColumnPlan, PgType},
    postgres::table_digest::{CHAIN_LENGTH, Seed},
};

/// What the value of a column is hashed as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HashForm {
    /// `hashint4extended`.
    Int,
    /// Both halves of 64 bits.
    BigInt,
    /// Both halves of `hashfloat8extended`, which does not tell the zeros apart.
    Double,
    /// The bytes of the field.
    Bytes,
    /// The text that the server shows.
    Text,
}

/// Hashes the rows of one table as the server does.
#[derive(Debug)]
pub(super) struct ServerRowHasher {
    columns: Vec<(HashForm, PgType)>,
    text: server_text::TextWriter,
}

impl ServerRowHasher {
    /// For rows of these columns. None if one of them has a type whose text only the server knows.
    pub(super) fn new<'a>(columns: impl Iterator<Item = &'a ColumnPlan>) -> Option<Self> {
        let form = |column: &ColumnPlan| Some((form_of(&column.pg_type)?, column.pg_type.clone()));
        let columns = columns.map(form).collect::<Option<Vec<_>>>()?;
        Some(Self { columns, text: server_text::TextWriter::default() })
    }

    /// The hash of a row, field count included. None if a field is not what its type sends.
    pub(super) fn hash(&mut self, row: &[u8]) -> Option<i64> {
        let mut chains: Vec<i64> = Vec::new();
        let mut so_far = Seed::Digest as u64;
        for (index, (value, (form, pg_type))) in binary_decode::fields(row).zip(&self.columns).enumerate() {
            if index > 0 && index % CHAIN_LENGTH == 0 {
                chains.push(so_far.cast_signed());
                so_far = Seed::Digest as u64;
            }
            let seed = so_far ^ u64::from(value.is_none());
            so_far = match form {
                HashForm::Int => hash_u32(int_of(value)?, seed),
                HashForm::BigInt => {
                    both_halves(value.map_or(Some(0), |value| Some(i64::from_be_bytes(value.try_into().ok()?)))?, seed)
                }
                HashForm::Double => both_halves(double_bits(value)?, seed),
                HashForm::Bytes if *pg_type == PgType::Uuid => hash_bytes(value.unwrap_or(&[0; 16]), seed),
                HashForm::Bytes => hash_bytes(value.unwrap_or_default(), seed),
                HashForm::Text => match value {
                    None => hash_bytes(&[], seed),
                    Some(value) => hash_bytes(self.text.of(pg_type, value)?, seed),
                },
            };
        }
        if chains.is_empty() {
            return Some(so_far.cast_signed());
        }
        chains.push(so_far.cast_signed());
        let joined = chains.iter().map(i64::to_string).collect::<Vec<_>>().join(":");
        Some(hash_bytes(joined.as_bytes(), Seed::Digest as u64).cast_signed())
    }
}

fn form_of(pg_type: &PgType) -> Option<HashForm> {
    Some(match pg_type {
        PgType::SmallInt | PgType::Integer | PgType::Boolean => HashForm::Int,
        PgType::BigInt => HashForm::BigInt,
        PgType::Double => HashForm::Double,
        PgType::Uuid | PgType::Bytea | PgType::Text | PgType::Varchar(_) | PgType::Json => HashForm::Bytes,
        PgType::Numeric(_)
        | PgType::Date
        | PgType::Time
        | PgType::Timestamp
        | PgType::TimestampTz
        | PgType::Jsonb
        | PgType::Bit(_) => HashForm::Text,
        PgType::Vector(_)
        | PgType::HalfVec(_)
        | PgType::RealArray
        | PgType::DoubleArray
        | PgType::Enum(_)
        | PgType::ExistingType(_) => return None,
    })
}

/// An integer of up to 32 bits, or a boolean; 0 for NULL.
fn int_of(value: Option<&[u8]>) -> Option<u32> {
    let number = match value {
        None => 0,
        Some([byte]) => i32::from(*byte),
        Some([high, low]) => i32::from(i16::from_be_bytes([*high, *low])),
        Some(value) => i32::from_be_bytes(value.try_into().ok()?),
    };
    Some(number.cast_unsigned())
}

/// What stands for a double precision value: the hash of its bits, and for the zeros 0 and 1.
fn double_bits(value: Option<&[u8]>) -> Option<i64> {
    let Some(value) = value else { return Some(0) };
    let bits = u64::from_be_bytes(value.try_into().ok()?);
    let number = f64::from_bits(bits);
    Some(if number == 0.0 {
        i64::from(number.is_sign_negative())
    } else {
        let bits = if number.is_nan() { f64::NAN.to_bits() } else { bits };
        hash_bytes(&bits.to_le_bytes(), 0).cast_signed()
    })
}

/// `hashint8extended` of the value, with that of its upper half as seed.
fn both_halves(value: i64, seed: u64) -> u64 {
    hash_i64(value, hash_i64(value >> 32, seed))
}

fn hash_i64(value: i64, seed: u64) -> u64 {
    let bits = value.cast_unsigned();
    let (low, high) = (lower(bits), lower(bits >> 32));
    hash_u32(low ^ if value >= 0 { high } else { !high }, seed)
}

/// The lower 32 bits.
fn lower(bits: u64) -> u32 {
    u32::try_from(bits & 0xffff_ffff).unwrap_or_default()
}

/// The state of the hash: three words that are mixed (Bob Jenkins, lookup3).
struct State(u32, u32, u32);

impl State {
    fn new(length: usize, seed: u64) -> Self {
        // The length of a value is below 2^30.
        let start = 0x9e37_79b9_u32.wrapping_add(u32::try_from(length).unwrap_or(u32::MAX)).wrapping_add(3_923_095);
        let mut state = Self(start, start, start);
        if seed != 0 {
            state.0 = state.0.wrapping_add(lower(seed >> 32));
            state.1 = state.1.wrapping_add(lower(seed));
            state.mix();
        }
        state
    }

    /// Adds a word to each; the third is moved up by so many bits.
    #[inline]
    fn add(&mut self, block: [u8; 12], third_shift: u32) {
        let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = block;
        self.0 = self.0.wrapping_add(u32::from_le_bytes([a0, a1, a2, a3]));
        self.1 = self.1.wrapping_add(u32::from_le_bytes([b0, b1, b2, b3]));
        self.2 = self.2.wrapping_add(u32::from_le_bytes([c0, c1, c2, c3]) << third_shift);
    }

    #[inline]
    fn mix(&mut self) {
        let Self(a, b, c) = self;
        for (turn_a, turn_b, turn_c) in [(4, 6, 8), (16, 19, 4)] {
            *a = a.wrapping_sub(*c) ^ c.rotate_left(turn_a);
            *c = c.wrapping_add(*b);
            *b = b.wrapping_sub(*a) ^ a.rotate_left(turn_b);
            *a = a.wrapping_add(*c);
            *c = c.wrapping_sub(*b) ^ b.rotate_left(turn_c);
            *b = b.wrapping_add(*a);
        }
    }

    fn finish(self) -> u64 {
        let Self(mut a, mut b, mut c) = self;
        c = (c ^ b).wrapping_sub(b.rotate_left(14));
        a = (a ^ c).wrapping_sub(c.rotate_left(11));
        b = (b ^ a).wrapping_sub(a.rotate_left(25));
        c = (c ^ b).wrapping_sub(b.rotate_left(16));
        a = (a ^ c).wrapping_sub(c.rotate_left(4));
        b = (b ^ a).wrapping_sub(a.rotate_left(14));
        c = (c ^ b).wrapping_sub(b.rotate_left(24));
        u64::from(b) << 32 | u64::from(c)
    }
}

/// `hash_bytes_uint32_extended`.
fn hash_u32(value: u32, seed: u64) -> u64 {
    let mut state = State::new(4, seed);
    state.0 = state.0.wrapping_add(value);
    state.finish()
}

/// `hash_bytes_extended` of a little-endian machine.
fn hash_bytes(bytes: &[u8], seed: u64) -> u64 {
    let mut state = State::new(bytes.len(), seed);
    let (blocks, rest) = bytes.as_chunks::<12>();
    for block in blocks {
        state.add(*block, 0);
        state.mix();
    }
    let mut last = [0; 12];
    for (to, byte) in last.iter_mut().zip(rest) {
        *to = *byte;
    }
    // The lowest byte of the third word is the length's.
    state.add(last, 8);
    state.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_are_postgresqls() {
        // SELECT hashtextextended('', 0), hashtextextended('abc', 3), hashtextextended('Hello, wide world!', 10)
        let texts = [hash_bytes(b"", 0), hash_bytes(b"abc", 3), hash_bytes(b"Hello, wide world!", 10)];
        assert_eq!(
            texts.map(u64::cast_signed),
            [-6_939_563_903_564_495_251, 8_038_125_643_135_246_751, -1_498_558_585_468_513_529]
        );
        // SELECT hashint8extended(i, 5) of -1, 0 and 2^40 + 7
        let numbers = [hash_i64(-1, 5), hash_i64(0, 5), hash_i64((1 << 40) + 7, 5)];
        assert_eq!(
            numbers.map(u64::cast_signed),
            [5_111_540_776_065_715_399, -3_324_322_885_839_198_604, -6_246_394_030_670_518_708]
        );
        // SELECT hashfloat8extended(d, 0) of 1.5 and NaN
        let doubles = [1.5_f64, f64::NAN].map(|number| double_bits(Some(&number.to_be_bytes())).unwrap());
        assert_eq!(doubles, [6_158_159_405_676_898_674, 4_719_788_943_832_604_568]);
    }
}
