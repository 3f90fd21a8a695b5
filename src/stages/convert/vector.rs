//! Encodes libSQL's vector blobs (libsql `vectorInt.h`, `vector.c`) in PostgreSQL's binary forms.

use super::refusal::EncodeError;
use crate::{
    model::{PgType, conversion_plan::VectorEncoding},
    postgres::copy::binary_encode,
};

const OFF_SHAPE: EncodeError = EncodeError("is not a vector of the planned shape");
const NOT_FINITE: EncodeError = EncodeError("is a vector with an element that is not a finite number");

/// How a vector is stored and what it becomes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct VectorForm {
    encoding: VectorEncoding,
    target: VectorTarget,
}

#[derive(Debug, Clone, PartialEq)]
enum VectorTarget {
    Vector(usize),
    HalfVec(usize),
    Reals,
    Doubles,
    Bits(usize),
}

impl VectorForm {
    /// The form; none if the type can't hold every element of the encoding exactly.
    pub(super) fn of(encoding: VectorEncoding, target: &PgType) -> Option<Self> {
        use VectorEncoding::{F1Bit, F16, F32, F64, Fb16};
        let dimensions = |n: u32| usize::try_from(n).ok();
        let target = match (encoding, target) {
            (F32 | F16 | Fb16, PgType::Vector(n)) => VectorTarget::Vector(dimensions(*n)?),
            (F16, PgType::HalfVec(n)) => VectorTarget::HalfVec(dimensions(*n)?),
            (F32 | F16 | Fb16, PgType::RealArray) => VectorTarget::Reals,
            (F32 | F64 | F16 | Fb16, PgType::DoubleArray) => VectorTarget::Doubles,
            (F1Bit, PgType::Bit(n)) => VectorTarget::Bits(dimensions(*n)?),
            _ => return None,
        };
        Some(Self { encoding, target })
    }

    /// Appends the blob as a field.
    ///
    /// # Errors
    /// [`EncodeError`] for a blob of another shape, or numbers that pgvector doesn't take.
    pub(super) fn write(&self, blob: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self.target {
            VectorTarget::Vector(n) => {
                let elements = self.elements(blob)?;
                let at = head(out, elements.len(), n)?;
                for index in 0..elements.len() {
                    let element = elements.single(index);
                    if !element.is_finite() {
                        return Err(NOT_FINITE);
                    }
                    out.extend_from_slice(&element.to_be_bytes());
                }
                binary_encode::end(out, at)?;
            }
            VectorTarget::HalfVec(n) => {
                let elements = self.elements(blob)?;
                let at = head(out, elements.len(), n)?;
                for half in elements.bytes.as_chunks::<2>().0 {
                    if !half_to_single(u16::from_le_bytes(*half)).is_finite() {
                        return Err(NOT_FINITE);
                    }
                    out.extend_from_slice(&[half[1], half[0]]);
                }
                binary_encode::end(out, at)?;
            }
            VectorTarget::Reals => {
                let elements = self.elements(blob)?;
                binary_encode::real_array(out, (0..elements.len()).map(|index| elements.single(index)))?;
            }
            VectorTarget::Doubles => {
                let elements = self.elements(blob)?;
                binary_encode::double_array(out, (0..elements.len()).map(|index| elements.double(index)))?;
            }
            VectorTarget::Bits(n) => bits(blob, n, out)?,
        }
        Ok(())
    }

    /// The elements' bytes without the type byte, which only `F32` may lack.
    fn elements<'a>(&self, blob: &'a [u8]) -> Result<VectorElements<'a>, EncodeError> {
        let (width, mark) = match self.encoding {
            VectorEncoding::F32 => (4, 1),
            VectorEncoding::F64 => (8, 2),
            VectorEncoding::F16 => (2, 5),
            VectorEncoding::Fb16 => (2, 6),
            VectorEncoding::F1Bit => return Err(OFF_SHAPE),
        };
        let bytes = match blob.split_last() {
            Some((last, bytes)) if *last == mark && bytes.len().is_multiple_of(width) => bytes,
            _ if self.encoding == VectorEncoding::F32 && blob.len().is_multiple_of(width) => blob,
            _ => return Err(OFF_SHAPE),
        };
        Ok(VectorElements { encoding: self.encoding, bytes, width })
    }
}

struct VectorElements<'a> {
    encoding: VectorEncoding,
    bytes: &'a [u8],
    width: usize,
}

impl VectorElements<'_> {
    fn len(&self) -> usize {
        self.bytes.len() / self.width
    }

    fn at<const N: usize>(&self, index: usize) -> [u8; N] {
        let bytes = self.bytes.get(index * N..).and_then(<[u8]>::first_chunk);
        bytes.copied().unwrap_or([0; N])
    }

    /// Exact for every encoding but `F64`, which no target of singles takes.
    fn single(&self, index: usize) -> f32 {
        match self.encoding {
            VectorEncoding::F16 => half_to_single(u16::from_le_bytes(self.at(index))),
            VectorEncoding::Fb16 => f32::from_bits(u32::from(u16::from_le_bytes(self.at(index))) << 16),
            VectorEncoding::F32 | VectorEncoding::F64 | VectorEncoding::F1Bit => f32::from_le_bytes(self.at(index)),
        }
    }

    fn double(&self, index: usize) -> f64 {
        match self.encoding {
            VectorEncoding::F64 => f64::from_le_bytes(self.at(index)),
            VectorEncoding::F32 | VectorEncoding::F16 | VectorEncoding::Fb16 | VectorEncoding::F1Bit => {
                f64::from(self.single(index))
            }
        }
    }
}

fn head(out: &mut Vec<u8>, found: usize, planned: usize) -> Result<usize, EncodeError> {
    if found != planned {
        return Err(OFF_SHAPE);
    }
    let at = binary_encode::begin(out);
    binary_encode::vector_head(out, u16::try_from(found).map_err(|_| OFF_SHAPE)?);
    Ok(at)
}

/// IEEE 754 half to single precision, which holds every half exactly.
fn half_to_single(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10 & 0x1F);
    let fraction = u32::from(half & 0x3FF);
    let magnitude = match (exponent, fraction) {
        (0, 0) => 0,
        (0, _) => {
            // Subnormal: shift the leading one to its implicit place.
            let shift = fraction.leading_zeros() - 21;
            ((113 - shift) << 23) | ((fraction << shift & 0x3FF) << 13)
        }
        (31, _) => 0xFF << 23 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | magnitude)
}

/// libSQL: bits from the least significant, padding, the count of bits that aren't data, the byte 3. PostgreSQL:
/// the count of bits, then bits from the most significant, the rest zero.
fn bits(blob: &[u8], planned: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let [data @ .., trailing, 3] = blob else { return Err(OFF_SHAPE) };
    let count = (8 * (data.len() + 1)).checked_sub(usize::from(*trailing)).ok_or(OFF_SHAPE)?;
    if count != planned {
        return Err(OFF_SHAPE);
    }
    let data = data.get(..count.div_ceil(8)).ok_or(OFF_SHAPE)?;
    let at = binary_encode::begin(out);
    out.extend_from_slice(&u32::try_from(count).map_err(|_| OFF_SHAPE)?.to_be_bytes());
    out.extend(data.iter().map(|byte| byte.reverse_bits()));
    if let (Some(last), rest @ 1..) = (out.last_mut(), count % 8) {
        *last &= 0xFF_u8 << (8 - rest);
    }
    binary_encode::end(out, at)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(encoding: VectorEncoding, target: &PgType, blob: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        VectorForm::of(encoding, target)?.write(blob, &mut out).ok()?;
        Some(out.split_off(4))
    }

    #[test]
    fn halves_are_exact_singles() {
        for (half, single) in [
            (0x0000, 0.0),
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65504.0),
            (0x0001, 2_f32.powi(-24)),
            (0x03FF, 1023.0 * 2_f32.powi(-24)),
            (0x0400, 2_f32.powi(-14)),
            (0x7C00, f32::INFINITY),
        ] {
            assert_eq!(half_to_single(half).to_bits(), single.to_bits(), "{half:04x}");
        }
        assert!(half_to_single(0x7E00).is_nan());
        assert_eq!(half_to_single(0x8000).to_bits(), (-0.0_f32).to_bits());
    }

    #[test]
    fn bits_change_their_order() {
        // vector1bit of 8 elements as the libSQL server writes it: data, 8 trailing bits, type 3.
        assert_eq!(written(VectorEncoding::F1Bit, &PgType::Bit(8), &[0xCD, 8, 3]), Some(vec![0, 0, 0, 8, 0b1011_0011]));
        // 3 elements: 1 byte of data, its 5 unused bits and the count's own 8 are trailing.
        assert_eq!(
            written(VectorEncoding::F1Bit, &PgType::Bit(3), &[0xFD, 13, 3]),
            Some(vec![0, 0, 0, 3, 0b1010_0000])
        );
        assert_eq!(written(VectorEncoding::F1Bit, &PgType::Bit(9), &[0xCD, 8, 3]), None);
    }

    #[test]
    fn shapes_and_marks_are_checked() {
        let two = [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40];
        let wanted = Some(vec![0, 2, 0, 0, 0x3F, 0x80, 0, 0, 0x40, 0, 0, 0]);
        assert_eq!(written(VectorEncoding::F32, &PgType::Vector(2), &two), wanted);
        let mut marked = two.to_vec();
        marked.push(1);
        assert_eq!(written(VectorEncoding::F32, &PgType::Vector(2), &marked), wanted);
        assert_eq!(written(VectorEncoding::F32, &PgType::Vector(3), &two), None);
        assert_eq!(written(VectorEncoding::F64, &PgType::DoubleArray, &two), None);
        assert_eq!(written(VectorEncoding::F64, &PgType::Vector(1), &two), None);
        assert_eq!(written(VectorEncoding::F32, &PgType::Vector(1), &[0, 0, 0x80, 0x7F]), None);
        assert_eq!(
            written(VectorEncoding::F16, &PgType::HalfVec(1), &[0x00, 0x3C, 5]),
            Some(vec![0, 1, 0, 0, 0x3C, 0])
        );
        assert_eq!(
            written(VectorEncoding::Fb16, &PgType::Vector(1), &[0x80, 0x3F, 6]),
            Some(vec![0, 1, 0, 0, 0x3F, 0x80, 0, 0])
        );
    }
}
