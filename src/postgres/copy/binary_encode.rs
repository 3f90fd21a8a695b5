//! One field of a row: its length and PostgreSQL's binary form, appended to a buffer.

use crate::rules::decimal::Decimal;

/// Days from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
pub const EPOCH_DAYS: i64 = 10_957;

/// Microseconds from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
pub const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;

/// The earliest timestamp that PostgreSQL takes, 4713-11-24 BC, in microseconds from 2000-01-01.
pub const TIMESTAMP_FIRST: i64 = -211_813_488_000_000_000;

/// The first timestamp that PostgreSQL refuses, 294277-01-01, in microseconds from 2000-01-01.
pub const TIMESTAMP_END: i64 = 9_223_371_331_200_000_000;

/// Object identifiers of element types in arrays (PostgreSQL `pg_type.dat`).
const OID_FLOAT4: u32 = 700;
const OID_FLOAT8: u32 = 701;

/// Digits per group of a `numeric`.
const GROUP: u128 = 10_000;

const NUMERIC_POSITIVE: u16 = 0x0000;
const NUMERIC_NEGATIVE: u16 = 0x4000;
const NUMERIC_INFINITY: u16 = 0xD000;
const NUMERIC_MINUS_INFINITY: u16 = 0xF000;

/// What `numeric_send` gives as the display scale of an infinity: the bits that the server's short header has there.
const INFINITY_SCALE: u16 = 32;

/// A value is longer than the format's 31-bit length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// The number of fields, before the fields of a row.
pub fn row(out: &mut Vec<u8>, fields: i16) {
    out.extend_from_slice(&fields.to_be_bytes());
}

/// NULL.
pub fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(&(-1_i32).to_be_bytes());
}

/// `boolean`.
pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(&[0, 0, 0, 1, u8::from(value)]);
}

/// `smallint`.
pub fn int2(out: &mut Vec<u8>, value: i16) {
    let [a, b] = value.to_be_bytes();
    out.extend_from_slice(&[0, 0, 0, 2, a, b]);
}

/// `integer`, and `date` as days from 2000-01-01.
pub fn int4(out: &mut Vec<u8>, value: i32) {
    let [a, b, c, d] = value.to_be_bytes();
    out.extend_from_slice(&[0, 0, 0, 4, a, b, c, d]);
}

/// `bigint`, and `time`, `timestamp`, `timestamptz` as microseconds.
pub fn int8(out: &mut Vec<u8>, value: i64) {
    eight(out, value.to_be_bytes());
}

/// `double precision`, bit for bit.
pub fn float8(out: &mut Vec<u8>, value: f64) {
    eight(out, value.to_be_bytes());
}

/// Length and bytes in one append: these fields are most of what a load writes.
fn eight(out: &mut Vec<u8>, bytes: [u8; 8]) {
    let mut field = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    if let Some(place) = field.last_chunk_mut() {
        *place = bytes;
    }
    out.extend_from_slice(&field);
}

/// `text`, `varchar`, `json`, `bytea`, `uuid`: the bytes themselves.
///
/// # Errors
/// [`TooLong`]; nothing is appended then.
pub fn bytes(out: &mut Vec<u8>, value: &[u8]) -> Result<(), TooLong> {
    let length = i32::try_from(value.len()).map_err(|_| TooLong)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

/// `jsonb`: version 1 and the text.
///
/// # Errors
/// [`TooLong`].
pub fn jsonb(out: &mut Vec<u8>, text: &[u8]) -> Result<(), TooLong> {
    let at = begin(out);
    out.push(1);
    out.extend_from_slice(text);
    end(out, at)
}

/// Leaves room for a length; [`end`] fills it in.
#[must_use]
pub fn begin(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

/// Fills in the length of what was appended since [`begin`].
///
/// # Errors
/// [`TooLong`].
pub fn end(out: &mut [u8], at: usize) -> Result<(), TooLong> {
    let length = i32::try_from(out.len().saturating_sub(at)).map_err(|_| TooLong)?;
    let place = at.checked_sub(4).and_then(|start| out.get_mut(start..at)).ok_or(TooLong)?;
    place.copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// `numeric`, with this many digits shown after the point. The digits are those that the server stores: groups of
/// four without leading and trailing zero groups, so that it sends back the same bytes.
pub fn numeric(out: &mut Vec<u8>, value: &Decimal, scale: u16) {
    let shift = value.exponent.rem_euclid(4);
    let mut rest = u128::from(value.mantissa) * 10_u128.pow(shift.unsigned_abs());
    let mut power = (value.exponent - shift) / 4;
    // A mantissa of 20 digits, shifted by 3, has at most 6 groups; least significant first.
    let mut groups = [0_u16; 7];
    let mut count = 0_usize;
    while rest > 0 {
        let group = u16::try_from(rest % GROUP).unwrap_or(0);
        rest /= GROUP;
        if group == 0 && count == 0 {
            power += 1;
        } else if let Some(place) = groups.get_mut(count) {
            *place = group;
            count += 1;
        }
    }
    let digits = i16::try_from(count).unwrap_or(0);
    let weight = if count == 0 { 0 } else { power + i32::from(digits) - 1 };
    let sign = if value.negative && count > 0 { NUMERIC_NEGATIVE } else { NUMERIC_POSITIVE };
    out.extend_from_slice(&(8 + 2 * i32::from(digits)).to_be_bytes());
    out.extend_from_slice(&digits.to_be_bytes());
    out.extend_from_slice(&i16::try_from(weight).unwrap_or(0).to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&scale.to_be_bytes());
    for group in groups.iter().take(count).rev() {
        out.extend_from_slice(&group.to_be_bytes());
    }
}

/// `numeric` infinity of this sign (PostgreSQL 14 and newer).
pub fn numeric_infinity(out: &mut Vec<u8>, positive: bool) {
    let sign = if positive { NUMERIC_INFINITY } else { NUMERIC_MINUS_INFINITY };
    out.extend_from_slice(&[0, 0, 0, 8, 0, 0, 0, 0]);
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&INFINITY_SCALE.to_be_bytes());
}

/// pgvector's `vector` and `halfvec`: the count of dimensions, then each element as its IEEE bytes, which the caller
/// appends before [`end`].
pub fn vector_head(out: &mut Vec<u8>, dimensions: u16) {
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
}

/// `real[]` of one dimension.
///
/// # Errors
/// [`TooLong`].
pub fn real_array(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = f32>) -> Result<(), TooLong> {
    let at = begin(out);
    array_head(out, OID_FLOAT4, values.len())?;
    for value in values {
        out.extend_from_slice(&4_i32.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    end(out, at)
}

/// `double precision[]` of one dimension.
///
/// # Errors
/// [`TooLong`].
pub fn double_array(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = f64>) -> Result<(), TooLong> {
    let at = begin(out);
    array_head(out, OID_FLOAT8, values.len())?;
    for value in values {
        float8(out, value);
    }
    end(out, at)
}

/// The server sends an empty array as one of no dimensions.
fn array_head(out: &mut Vec<u8>, element: u32, count: usize) -> Result<(), TooLong> {
    let dimensions = i32::from(count > 0);
    out.extend_from_slice(&dimensions.to_be_bytes());
    out.extend_from_slice(&0_i32.to_be_bytes());
    out.extend_from_slice(&element.to_be_bytes());
    if count > 0 {
        let count = i32::try_from(count).map_err(|_| TooLong)?;
        out.extend_from_slice(&count.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(value: &Decimal, scale: u16) -> Vec<i64> {
        let mut out = Vec::new();
        numeric(&mut out, value, scale);
        out.chunks(2).skip(2).map(|pair| i64::from(u16::from_be_bytes([pair[0], pair[1]]))).collect()
    }

    #[test]
    fn numerics_are_groups_of_four_digits() {
        assert_eq!(digits(&Decimal::from_integer(0), 0), [0, 0, 0, 0]);
        assert_eq!(digits(&Decimal::from_integer(10_000), 0), [1, 1, 0, 0, 1]);
        assert_eq!(digits(&Decimal::from_integer(-12_345), 0), [2, 1, 0x4000, 0, 1, 2345]);
        assert_eq!(digits(&Decimal::from_real(12.5).unwrap(), 2), [2, 0, 0, 2, 12, 5000]);
        assert_eq!(digits(&Decimal::from_real(0.0001).unwrap(), 4), [1, 65_535, 0, 4, 1]);
        assert_eq!(digits(&Decimal::from_real(1e300).unwrap(), 0), [1, 75, 0, 0, 1]);
        assert_eq!(digits(&Decimal::from_integer(i64::MIN), 0), [5, 4, 0x4000, 0, 922, 3372, 368, 5477, 5808]);
    }

    #[test]
    fn lengths_are_filled_in() {
        let mut out = Vec::new();
        jsonb(&mut out, b"{}").unwrap();
        assert_eq!(out, [0, 0, 0, 3, 1, b'{', b'}']);
        out.clear();
        real_array(&mut out, [].into_iter()).unwrap();
        assert_eq!(out, [0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 188]);
    }
}
