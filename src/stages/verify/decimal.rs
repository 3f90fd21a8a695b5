//! Computes decimal numbers as digits: of integers, of doubles (the shortest digits that read back, by the standard
//! library's algorithm), of JSON; as the text of a REAL and as PostgreSQL's groups of four digits.

use std::fmt::Write as _;

/// `0.d1d2d3... * 10^point`, without leading and trailing zeros; zero has no digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DecimalDigits {
    /// Below zero.
    pub(super) negative: bool,
    /// ASCII digits.
    pub(super) significant: Vec<u8>,
    /// How many digits stand before the decimal point; negative for zeros after it.
    pub(super) point: i64,
}

impl DecimalDigits {
    /// Of an integer.
    pub(super) fn of_integer(value: i64) -> Self {
        Self::trimmed(value < 0, value.unsigned_abs().to_string().into_bytes(), 0)
    }

    /// The shortest that read back as the same double, of two the nearer, of two as near the even; none of infinities
    /// and NaN.
    ///
    /// The standard library's shortest form doesn't say which of two equally near it takes, its form of a given length
    /// does: rounded from the exact value, half to even.
    pub(super) fn of_real(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let shortest = format!("{value:e}");
        let fraction = shortest.split_once('.').map_or(0, |(_, rest)| rest.find('e').unwrap_or(0));
        let nearest = format!("{value:.fraction$e}");
        let reads_back = nearest.parse::<f64>().is_ok_and(|read| read.to_bits() == value.to_bits());
        Self::of_number(if reads_back { nearest.as_bytes() } else { shortest.as_bytes() })
    }

    /// Of `[-]digits[.digits][e[+-]digits]`; none if the exponent is beyond any use.
    pub(super) fn of_number(text: &[u8]) -> Option<Self> {
        let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
        let mark = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
        let (number, power) = text.split_at_checked(mark)?;
        let power = match power {
            [] => 0,
            [_, power @ ..] => std::str::from_utf8(power).ok()?.parse::<i64>().ok()?,
        };
        let dot = number.iter().position(|byte| *byte == b'.').unwrap_or(number.len());
        let (whole, fraction) = number.split_at_checked(dot)?;
        let fraction = fraction.strip_prefix(b".").unwrap_or_default();
        let mut digits = Vec::with_capacity(whole.len() + fraction.len());
        digits.extend_from_slice(whole);
        digits.extend_from_slice(fraction);
        let shift = power.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        Some(Self::trimmed(negative, digits, shift))
    }

    /// `digits * 10^shift`.
    fn trimmed(negative: bool, mut digits: Vec<u8>, shift: i64) -> Self {
        let point = i64::try_from(digits.len()).unwrap_or(i64::MAX).saturating_add(shift);
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..leading);
        let kept = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
        digits.truncate(kept);
        let point = point.saturating_sub(i64::try_from(leading).unwrap_or(i64::MAX));
        let point = if digits.is_empty() { 0 } else { point };
        Self { negative, significant: digits, point }
    }

    /// Whether it is 0 or -0.
    pub(super) fn is_zero(&self) -> bool {
        self.significant.is_empty()
    }

    /// The number times `10^places` if that is a whole number of 64 bits.
    pub(super) fn shifted(&self, places: i64) -> Option<i64> {
        if self.is_zero() {
            return Some(0);
        }
        let length = usize::try_from(self.point.checked_add(places)?).ok()?;
        let zeros = length.checked_sub(self.significant.len()).filter(|zeros| *zeros < 20)?;
        let digits = self.significant.iter().copied().chain(std::iter::repeat_n(b'0', zeros));
        let mut digits = digits;
        let size = digits.try_fold(0_i64, |sum, digit| sum.checked_mul(10)?.checked_add(i64::from(digit - b'0')))?;
        Some(if self.negative { -size } else { size })
    }

    /// The whole part of the number times `10^places`, towards minus infinity, if 64 bits hold it, and whether it is all
    /// of the number.
    pub(super) fn floor(&self, places: i64) -> Option<(i64, bool)> {
        let length = self.point.checked_add(places)?;
        let whole = usize::try_from(length.max(0)).ok()?.min(self.significant.len());
        let zeros = usize::try_from(length.max(0)).ok()? - whole;
        if self.is_zero() {
            return Some((0, true));
        }
        let digits = self.significant.get(..whole)?.iter().copied().chain(std::iter::repeat_n(b'0', zeros.min(20)));
        let mut digits = digits;
        let size = digits.try_fold(0_i64, |sum, digit| sum.checked_mul(10)?.checked_sub(i64::from(digit - b'0')))?;
        let exact = whole == self.significant.len();
        if self.negative {
            return Some((if exact { size } else { size.checked_sub(1)? }, exact));
        }
        Some((size.checked_neg()?, exact))
    }

    /// The number with at most so many digits after the point, rounded half away from zero, and whether that is the
    /// same number.
    pub(super) fn rounded(&self, scale: i64) -> (Self, bool) {
        let kept = self.point.saturating_add(scale);
        let length = i64::try_from(self.significant.len()).unwrap_or(i64::MAX);
        if kept >= length {
            return (self.clone(), true);
        }
        let Ok(kept) = usize::try_from(kept) else { return (Self::trimmed(false, Vec::new(), 0), false) };
        let mut digits = self.significant.get(..kept).unwrap_or_default().to_vec();
        digits.insert(0, b'0');
        if self.significant.get(kept).is_some_and(|digit| *digit >= b'5') {
            for digit in digits.iter_mut().rev() {
                if *digit < b'9' {
                    *digit += 1;
                    break;
                }
                *digit = b'0';
            }
        }
        let rounded = Self::trimmed(self.negative, digits, -scale);
        let negative = rounded.negative && !rounded.is_zero();
        (Self { negative, ..rounded }, false)
    }

    /// Digits after the decimal point.
    pub(super) fn scale(&self) -> u64 {
        let length = i64::try_from(self.significant.len()).unwrap_or(i64::MAX);
        u64::try_from(length.saturating_sub(self.point)).unwrap_or(0)
    }

    /// Sign, weight and groups of four digits, most significant first, without zero groups at either end. The same
    /// for every spelling of a number; -0 is 0. None beyond PostgreSQL's range.
    pub(super) fn groups(&self) -> Option<Vec<u8>> {
        // The first group holds 1 to 4 digits: the number of digits before the point, to a multiple of four.
        let weight = if self.is_zero() { 0 } else { (self.point - 1).div_euclid(4) };
        let first = usize::try_from(self.point - weight * 4).ok()?;
        let mut bytes = Vec::with_capacity(8 + self.significant.len());
        bytes.push(u8::from(self.negative && !self.is_zero()));
        bytes.extend_from_slice(&i16::try_from(weight).ok()?.to_be_bytes());
        let (head, tail) = self.significant.split_at_checked(first).unwrap_or((&self.significant, &[]));
        let missing = first - head.len();
        push_group(&mut bytes, head, missing);
        for group in tail.chunks(4) {
            push_group(&mut bytes, group, 4 - group.len());
        }
        Some(bytes)
    }
}

fn push_group(bytes: &mut Vec<u8>, digits: &[u8], missing: usize) {
    if digits.is_empty() {
        return;
    }
    let zeros = std::iter::repeat_n(&b'0', missing);
    let group = digits.iter().chain(zeros).fold(0_u16, |group, digit| group * 10 + u16::from(digit - b'0'));
    bytes.extend_from_slice(&group.to_be_bytes());
}

/// A REAL as the conversion to text documents it: shortest digits, always with a point, an exponent below 1e-4 and
/// from 1e15 on.
pub(super) fn real_text(value: f64) -> String {
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let Some(number) = DecimalDigits::of_real(value) else { return format!("{sign}Inf") };
    let digits = String::from_utf8_lossy(&number.significant);
    let mut text = sign.to_owned();
    if number.is_zero() {
        text.push_str("0.0");
    } else if (-3..=15).contains(&number.point) {
        let place = |at: i64| {
            usize::try_from(at).ok().and_then(|at| number.significant.get(at)).map_or('0', |d| char::from(*d))
        };
        let whole = number.point.max(1);
        let end = i64::try_from(number.significant.len()).unwrap_or(0).max(number.point + 1).max(1);
        for at in (number.point - whole)..end {
            if at == number.point {
                text.push('.');
            }
            text.push(place(at));
        }
    } else {
        let (first, others) = digits.split_at_checked(1).unwrap_or((&digits, ""));
        let power = number.point - 1;
        let mark = if power < 0 { '-' } else { '+' };
        let others = if others.is_empty() { "0" } else { others };
        // Writing to a String cannot fail.
        write!(text, "{first}.{others}e{mark}{:02}", power.abs()).ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_below_and_rounded_away_from_zero() {
        let number = |text: &str| DecimalDigits::of_number(text.as_bytes()).unwrap();
        for (text, places, expected) in [
            ("1.5", 0, Some((1, false))),
            ("-1.5", 0, Some((-2, false))),
            ("-1.5", 1, Some((-15, true))),
            ("0.0004", 2, Some((0, false))),
            ("12", 3, Some((12_000, true))),
            ("0", 6, Some((0, true))),
            ("1e30", 0, None),
        ] {
            assert_eq!(number(text).floor(places), expected, "{text}");
        }
        for (text, scale, expected, exact) in [
            ("1.55", 1, "1.6", false),
            ("-1.45", 1, "-1.5", false),
            ("9.995", 2, "10", false),
            ("0.5", 0, "1", false),
            ("0.04", 1, "0", false),
            ("0.004", 1, "0", false),
            ("0.05", 1, "0.1", false),
            ("-0.004", 2, "0", false),
            ("1.5", 2, "1.5", true),
        ] {
            assert_eq!(number(text).rounded(scale), (number(expected), exact), "{text}");
        }
    }

    #[test]
    fn of_two_shortest_forms_the_even_one_is_taken() {
        for (value, digits) in [
            (2_370_370_349_037_037.0 / 4.0, "5925925872592592"),
            (2_370_370_349_037_039.0 / 4.0, "5925925872592598"),
            (5e-324, "5"),
            (9_007_199_254_740_993.0, "9007199254740992"),
            (f64::MAX, "17976931348623157"),
        ] {
            assert_eq!(DecimalDigits::of_real(value).unwrap().significant, digits.as_bytes());
        }
    }

    #[test]
    fn spellings_of_one_number_are_one() {
        let number = |text: &str| DecimalDigits::of_number(text.as_bytes()).unwrap();
        for same in ["150", "1.5e2", "1.50E+2", "0.0150e4", "15000e-2"] {
            assert_eq!(number(same), number("150"), "{same}");
        }
        assert_ne!(number("150"), number("-150"));
        assert_eq!(number("0e99"), number("0.00"));
        assert_eq!(DecimalDigits::of_number(b"1e99999999999999999999"), None);
        assert_eq!(DecimalDigits::of_integer(i64::MIN), number("-9223372036854775808"));
        assert_eq!(DecimalDigits::of_real(0.1 + 0.2).unwrap(), number("0.30000000000000004"));
    }

    #[test]
    fn scales_count_digits_after_the_point() {
        for (value, scale) in [(1.5, 1), (100.0, 0), (0.05, 2), (1e300, 0), (1e-7, 7), (0.0, 0)] {
            assert_eq!(DecimalDigits::of_real(value).unwrap().scale(), scale, "{value}");
        }
    }

    #[test]
    fn groups_are_postgresqls() {
        let groups = |text: &str| DecimalDigits::of_number(text.as_bytes()).unwrap().groups().unwrap();
        assert_eq!(groups("12345.678"), [0, 0, 1, 0, 1, 0x09, 0x29, 0x1a, 0x7c]);
        assert_eq!(groups("-0.00001"), [1, 0xff, 0xfe, 0x03, 0xe8]);
        assert_eq!(groups("10000"), [0, 0, 1, 0, 1]);
        assert_eq!(groups("0"), [0, 0, 0]);
        assert_eq!(groups("-0.0"), [0, 0, 0]);
        assert_eq!(groups("0.5"), [0, 0xff, 0xff, 0x13, 0x88]);
    }

    #[test]
    fn reals_read_back() {
        for (value, text) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.0, "0.0"),
            (12.5, "12.5"),
            (0.0001, "0.0001"),
            (0.00001, "1.0e-05"),
            (123_456.789, "123456.789"),
            (100.0, "100.0"),
            (1e14, "100000000000000.0"),
            (1e15, "1.0e+15"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (1.25e-300, "1.25e-300"),
            (f64::INFINITY, "Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(real_text(value), text);
        }
    }
}
