//! Reads libSQL's vector blobs, and the arrays and bit strings of PostgreSQL, element by element.

use super::canonical_row::Mismatch;
use crate::model::{PgType, conversion_plan::VectorEncoding};

/// The elements of a vector as bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum VectorElements {
    /// IEEE half precision.
    Half(Vec<u16>),
    /// IEEE single precision.
    Single(Vec<u32>),
    /// IEEE double precision.
    Double(Vec<u64>),
    /// Bits, the first one first.
    Bits(Vec<bool>),
}

/// Reads a blob of libSQL.
pub(super) fn of_blob(encoding: VectorEncoding, blob: &[u8]) -> Option<VectorElements> {
    match encoding {
        VectorEncoding::F32 => {
            let data = if blob.len() % 2 == 1 { blob.strip_suffix(&[1])? } else { blob };
            Some(VectorElements::Single(little(data, u32::from_le_bytes)?))
        }
        VectorEncoding::F64 => Some(VectorElements::Double(little(blob.strip_suffix(&[2])?, u64::from_le_bytes)?)),
        VectorEncoding::F16 => Some(VectorElements::Half(little(blob.strip_suffix(&[5])?, u16::from_le_bytes)?)),
        VectorEncoding::Fb16 => {
            let halves = little(blob.strip_suffix(&[6])?, u16::from_le_bytes)?;
            Some(VectorElements::Single(halves.into_iter().map(|half| u32::from(half) << 16).collect()))
        }
        VectorEncoding::F1Bit => {
            let body = blob.strip_suffix(&[3])?;
            let trailing = usize::from(*body.last()?);
            let count = (body.len() * 8).checked_sub(trailing)?;
            let bit = |at: usize| body.get(at / 8).map(|byte| byte >> (at % 8) & 1 == 1);
            Some(VectorElements::Bits((0..count).map(bit).collect::<Option<_>>()?))
        }
    }
}

fn little<const N: usize, T>(data: &[u8], read: fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (chunks, rest) = data.as_chunks::<N>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| read(*chunk)).collect())
}

fn big<const N: usize, T>(data: &[u8], read: fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (chunks, rest) = data.as_chunks::<N>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| read(*chunk)).collect())
}

impl VectorElements {
    /// The same elements in the element type of `pg_type`.
    pub(super) fn as_type(&self, pg_type: &PgType) -> Result<Self, Mismatch> {
        match (self, pg_type) {
            (Self::Single(_), PgType::Vector(_) | PgType::RealArray)
            | (Self::Double(_), PgType::DoubleArray)
            | (Self::Half(_), PgType::HalfVec(_))
            | (Self::Bits(_), PgType::Bit(_)) => Ok(self.clone()),
            (Self::Half(halves), PgType::Vector(_) | PgType::RealArray) => halves
                .iter()
                .map(|half| single_of_half(*half))
                .collect::<Option<_>>()
                .map(Self::Single)
                .ok_or(Mismatch::Loss),
            (Self::Single(singles), PgType::DoubleArray) => singles
                .iter()
                .map(|single| double_of_single(*single))
                .collect::<Option<_>>()
                .map(Self::Double)
                .ok_or(Mismatch::Loss),
            (Self::Half(halves), PgType::DoubleArray) => halves
                .iter()
                .map(|half| double_of_single(single_of_half(*half)?))
                .collect::<Option<_>>()
                .map(Self::Double)
                .ok_or(Mismatch::Loss),
            (Self::Double(doubles), PgType::Vector(_) | PgType::RealArray) => doubles
                .iter()
                .map(|double| single_of_double(*double))
                .collect::<Option<_>>()
                .map(Self::Single)
                .ok_or(Mismatch::Loss),
            _ => Err(Mismatch::Class),
        }
    }

    /// Whether there are as many elements as the type says, all of them numbers.
    pub(super) fn fit(&self, pg_type: &PgType) -> bool {
        let (count, finite) = match self {
            Self::Half(all) => (all.len(), all.iter().all(|bits| bits & 0x7c00 != 0x7c00)),
            Self::Single(all) => (all.len(), all.iter().all(|bits| f32::from_bits(*bits).is_finite())),
            Self::Double(all) => (all.len(), all.iter().all(|bits| f64::from_bits(*bits).is_finite())),
            Self::Bits(all) => (all.len(), true),
        };
        let wanted = match pg_type {
            PgType::Vector(n) | PgType::HalfVec(n) | PgType::Bit(n) => usize::try_from(*n).ok(),
            _ => Some(count),
        };
        finite && wanted == Some(count)
    }

    /// Width of an element in bytes (0: a bit), how many there are, and their bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (width, count) = match self {
            Self::Half(all) => (2, all.len()),
            Self::Single(all) => (4, all.len()),
            Self::Double(all) => (8, all.len()),
            Self::Bits(all) => (0, all.len()),
        };
        let mut bytes = vec![width];
        bytes.extend_from_slice(&count.to_be_bytes());
        match self {
            Self::Half(all) => all.iter().for_each(|bits| bytes.extend_from_slice(&bits.to_be_bytes())),
            Self::Single(all) => all.iter().for_each(|bits| bytes.extend_from_slice(&bits.to_be_bytes())),
            Self::Double(all) => all.iter().for_each(|bits| bytes.extend_from_slice(&bits.to_be_bytes())),
            Self::Bits(all) => bytes.extend(all.iter().map(|bit| u8::from(*bit))),
        }
        bytes
    }
}

fn double_of_single(bits: u32) -> Option<u64> {
    let single = f32::from_bits(bits);
    (!single.is_nan()).then(|| f64::from(single).to_bits())
}

#[expect(clippy::cast_possible_truncation, reason = "what doesn't come back is refused")]
fn single_of_double(bits: u64) -> Option<u32> {
    let double = f64::from_bits(bits);
    let single = double as f32;
    (f64::from(single).to_bits() == bits).then_some(single.to_bits())
}

/// Exact: every half is a single (IEEE 754-2008, 3.6).
fn single_of_half(half: u16) -> Option<u32> {
    let sign = if half & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(half & 0x3ff);
    let magnitude = match (half >> 10) & 0x1f {
        0 => fraction / 16_777_216.0,
        0x1f if half.trailing_zeros() >= 10 => f32::INFINITY,
        0x1f => return None,
        exponent => (1.0 + fraction / 1024.0) * 2.0_f32.powi(i32::from(exponent) - 15),
    };
    Some((sign * magnitude).to_bits())
}

/// Reads what PostgreSQL sends for `vector(n)`, `halfvec(n)`, `real[]`, `double precision[]` and `bit(n)`.
pub(super) fn of_server(pg_type: &PgType, sent: &[u8]) -> Option<VectorElements> {
    match pg_type {
        PgType::Vector(_) => Some(VectorElements::Single(big(counted(sent, 4)?, u32::from_be_bytes)?)),
        PgType::HalfVec(_) => Some(VectorElements::Half(big(counted(sent, 2)?, u16::from_be_bytes)?)),
        PgType::RealArray => Some(VectorElements::Single(array(sent, 700, u32::from_be_bytes)?)),
        PgType::DoubleArray => Some(VectorElements::Double(array(sent, 701, u64::from_be_bytes)?)),
        PgType::Bit(_) => bits(sent).map(VectorElements::Bits),
        _ => None,
    }
}

/// The elements behind pgvector's header: count and an unused number, 16 bits each.
fn counted(sent: &[u8], width: usize) -> Option<&[u8]> {
    let (count, rest) = sent.split_first_chunk::<2>()?;
    let (_unused, data) = rest.split_first_chunk::<2>()?;
    (usize::from(u16::from_be_bytes(*count)) * width == data.len()).then_some(data)
}

/// One dimension from 1, no NULL (PostgreSQL `array_send`).
fn array<const N: usize, T>(sent: &[u8], element: i32, read: fn([u8; N]) -> T) -> Option<Vec<T>> {
    let mut rest = sent;
    let dimensions = int(&mut rest)?;
    let _has_null = int(&mut rest)?;
    if int(&mut rest)? != element {
        return None;
    }
    if dimensions == 0 {
        return rest.is_empty().then(Vec::new);
    }
    let count = usize::try_from(int(&mut rest)?).ok()?;
    if dimensions != 1 || int(&mut rest)? != 1 {
        return None;
    }
    let mut all = Vec::with_capacity(count.min(sent.len()));
    for _ in 0..count {
        if usize::try_from(int(&mut rest)?).ok()? != N {
            return None;
        }
        let (value, after) = rest.split_first_chunk::<N>()?;
        all.push(read(*value));
        rest = after;
    }
    rest.is_empty().then_some(all)
}

fn bits(sent: &[u8]) -> Option<Vec<bool>> {
    let mut rest = sent;
    let count = usize::try_from(int(&mut rest)?).ok()?;
    let bit = |at: usize| rest.get(at / 8).map(|byte| byte >> (7 - at % 8) & 1 == 1);
    (rest.len() == count.div_ceil(8)).then(|| (0..count).map(bit).collect::<Option<_>>()).flatten()
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_widen_exactly() {
        for (half, single) in [
            (0x3c00, 1.0_f32),
            (0xc000, -2.0),
            (0x0001, 5.960_464_5e-8),
            (0x7bff, 65504.0),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
            (0x8000, -0.0),
        ] {
            assert_eq!(single_of_half(half), Some(single.to_bits()), "{half:x}");
        }
        assert_eq!(single_of_half(0x7e00), None);
    }

    #[test]
    fn a_double_that_a_single_cannot_hold_is_a_loss() {
        let vector = VectorElements::Double(vec![0.5_f64.to_bits()]);
        assert_eq!(vector.as_type(&PgType::Vector(1)), Ok(VectorElements::Single(vec![0.5_f32.to_bits()])));
        let vector = VectorElements::Double(vec![0.1_f64.to_bits()]);
        assert_eq!(vector.as_type(&PgType::Vector(1)), Err(Mismatch::Loss));
    }

    #[test]
    fn blobs_and_server_values_meet() {
        let mut blob = 1.5_f32.to_le_bytes().to_vec();
        let expected = VectorElements::Single(vec![1.5_f32.to_bits()]);
        assert_eq!(of_blob(VectorEncoding::F32, &blob), Some(expected.clone()));
        blob.push(1);
        assert_eq!(of_blob(VectorEncoding::F32, &blob), Some(expected.clone()));
        let mut sent = vec![0, 1, 0, 0];
        sent.extend_from_slice(&1.5_f32.to_be_bytes());
        assert_eq!(of_server(&PgType::Vector(1), &sent), Some(expected));
        assert_eq!(of_server(&PgType::Vector(1), &sent[..7]), None);
        assert_eq!(of_server(&PgType::HalfVec(1), &[0, 1, 0, 0, 0x3c, 0]), Some(VectorElements::Half(vec![0x3c00])));
    }

    #[test]
    fn bits_are_reversed_in_each_byte() {
        // Ten bits 1000000011, least significant first: bytes 01, 03; 16 + 8 bits before the type byte, 14 of them
        // behind the last bit.
        let blob = [0b0000_0001, 0b0000_0011, 0, 22, 3];
        let found = of_blob(VectorEncoding::F1Bit, &blob).unwrap();
        let mut expected = vec![true];
        expected.extend([false; 7]);
        expected.extend([true, true]);
        assert_eq!(found, VectorElements::Bits(expected));
        assert_eq!(of_server(&PgType::Bit(10), &[0, 0, 0, 10, 0x80, 0xc0]), Some(found));
    }
}
