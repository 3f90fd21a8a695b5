//! Recognises libSQL's vector blobs (libsql `vector.c`, `vectorParseMeta`; docs/conversion-rules.md, section 1.8).

use crate::model::conversion_plan::VectorEncoding;

/// Whether a blob is a vector of this encoding and length, with finite numbers only: pgvector refuses others.
#[must_use]
pub fn fits(encoding: VectorEncoding, length: u32, blob: &[u8]) -> bool {
    let Ok(length) = usize::try_from(length) else { return false };
    match encoding {
        VectorEncoding::F32 => {
            let numbers = if blob.len() % 4 == 1 { blob.strip_suffix(&[1]) } else { Some(blob) };
            numbers.is_some_and(|numbers| all::<4>(numbers, length, |word| f32::from_le_bytes(word).is_finite()))
        }
        VectorEncoding::F64 => typed::<8>(blob, 2, length, |word| f64::from_le_bytes(word).is_finite()),
        VectorEncoding::F16 => typed::<2>(blob, 5, length, |word| u16::from_le_bytes(word) & 0x7c00 != 0x7c00),
        VectorEncoding::Fb16 => typed::<2>(blob, 6, length, |word| u16::from_le_bytes(word) & 0x7f80 != 0x7f80),
        VectorEncoding::F1Bit => bits(blob, length),
    }
}

fn typed<const WIDTH: usize>(blob: &[u8], mark: u8, length: usize, finite: impl Fn([u8; WIDTH]) -> bool) -> bool {
    blob.strip_suffix(&[mark]).is_some_and(|numbers| all(numbers, length, finite))
}

fn all<const WIDTH: usize>(numbers: &[u8], length: usize, finite: impl Fn([u8; WIDTH]) -> bool) -> bool {
    let (words, rest) = numbers.as_chunks::<WIDTH>();
    rest.is_empty() && words.len() == length && words.iter().all(|word| finite(*word))
}

/// Bits, padding, the count of bits that are no data (padding and the count itself included), the byte 3. What the
/// count leaves out must be zero, or it would be lost.
fn bits(blob: &[u8], length: usize) -> bool {
    let Some([data @ .., trailing]) = blob.strip_suffix(&[3]) else { return false };
    let counted = (data.len() + 1) * 8;
    if counted % 16 != 0 || counted.checked_sub(usize::from(*trailing)) != Some(length) {
        return false;
    }
    let unused = data.get(length / 8..).unwrap_or_default();
    match (length % 8, unused) {
        (0, padding) => padding.iter().all(|byte| *byte == 0),
        (used, [last, padding @ ..]) => last >> used == 0 && padding.iter().all(|byte| *byte == 0),
        (_, []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_exact() {
        let f32s: Vec<u8> = [0.5_f32, -1.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        assert!(fits(VectorEncoding::F32, 2, &f32s));
        assert!(!fits(VectorEncoding::F32, 3, &f32s));
        assert!(fits(VectorEncoding::F32, 2, &[f32s.as_slice(), &[1]].concat()));
        assert!(!fits(VectorEncoding::F32, 2, &[f32s.as_slice(), &[2]].concat()));
        let bad: Vec<u8> = [f32::NAN, 0.0].iter().flat_map(|number| number.to_le_bytes()).collect();
        assert!(!fits(VectorEncoding::F32, 2, &bad));
        let f64s: Vec<u8> = [0.1_f64].iter().flat_map(|number| number.to_le_bytes()).chain([2]).collect();
        assert!(fits(VectorEncoding::F64, 1, &f64s));
        assert!(!fits(VectorEncoding::F64, 1, &f64s[..8]));
        assert!(fits(VectorEncoding::F16, 1, &[0, 0x3c, 5]));
        assert!(!fits(VectorEncoding::F16, 1, &[0, 0x7c, 5]));
        assert!(fits(VectorEncoding::Fb16, 1, &[0x80, 0x3f, 6]));
        assert!(!fits(VectorEncoding::Fb16, 1, &[0x80, 0x7f, 6]));
    }

    #[test]
    fn bit_vectors_count_their_trailing_bits() {
        assert!(fits(VectorEncoding::F1Bit, 8, &[0xcd, 8, 3]));
        assert!(fits(VectorEncoding::F1Bit, 5, &[0x1f, 11, 3]));
        assert!(!fits(VectorEncoding::F1Bit, 5, &[0x3f, 11, 3]));
        assert!(fits(VectorEncoding::F1Bit, 16, &[1, 2, 0, 16, 3]));
        assert!(!fits(VectorEncoding::F1Bit, 16, &[1, 2, 9, 16, 3]));
        assert!(!fits(VectorEncoding::F1Bit, 16, &[1, 2, 16, 3]));
        assert!(!fits(VectorEncoding::F1Bit, 8, &[]));
    }
}
