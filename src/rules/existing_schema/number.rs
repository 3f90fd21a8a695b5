//! Parses decimal numbers of any length.

use crate::rules::decimal::Decimal;

/// The most digits before and after the point that PostgreSQL's `numeric` takes.
const WHOLE_MOST: usize = 131_072;
const FRACTION_MOST: usize = 16_383;

/// A decimal number, with the digits that are shown after the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// Below zero.
    pub negative: bool,
    /// ASCII digits before the point, without leading zeros.
    pub whole: String,
    /// ASCII digits after the point, as many as are shown.
    pub fraction: String,
}

impl Number {
    /// An integer.
    #[must_use]
    pub fn from_integer(value: i64) -> Self {
        Self { negative: value < 0, whole: digits_of(value.unsigned_abs()), fraction: String::new() }
    }

    /// The shortest decimal that reads back as the same double; none for infinities.
    #[must_use]
    pub fn from_real(value: f64) -> Option<Self> {
        let decimal = Decimal::from_real(value)?;
        Self::shifted(decimal.negative, &digits_of(decimal.mantissa), i64::from(decimal.exponent))
    }

    /// `[+-]digits[.digits][e[+-]digits]`; none for anything else.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (number, power) = match rest.split_once(['e', 'E']) {
            Some((number, power)) => (number, power.parse::<i16>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        let shift = i64::from(power) - i64::try_from(fraction.len()).ok()?;
        Self::shifted(negative, &format!("{whole}{fraction}"), shift)
    }

    /// `digits * 10^power`.
    fn shifted(negative: bool, digits: &str, power: i64) -> Option<Self> {
        let (whole, fraction) = match usize::try_from(power) {
            Ok(zeros) => (format!("{digits}{}", "0".repeat(zeros.min(WHOLE_MOST + 1))), String::new()),
            Err(_) => {
                let places = usize::try_from(power.unsigned_abs()).ok().filter(|places| *places <= FRACTION_MOST)?;
                let padded = format!("{digits:0>places$}");
                let (whole, fraction) = padded.split_at_checked(padded.len() - places)?;
                (whole.to_owned(), fraction.to_owned())
            }
        };
        let whole = whole.trim_start_matches('0').to_owned();
        if whole.len() > WHOLE_MOST {
            return None;
        }
        let is_zero = whole.is_empty() && fraction.bytes().all(|byte| byte == b'0');
        Some(Self { negative: negative && !is_zero, whole, fraction })
    }

    /// The number with so many digits after the point, rounded half away from zero, and whether that is the same
    /// number.
    #[must_use]
    pub fn rounded(mut self, scale: u16) -> (Self, bool) {
        let scale = usize::from(scale);
        let significant = self.fraction.trim_end_matches('0').len();
        if significant <= scale {
            self.fraction.truncate(significant);
            self.fraction.push_str(&"0".repeat(scale - significant));
            return (self, true);
        }
        let goes_up = self.fraction.as_bytes().get(scale).is_some_and(|digit| *digit >= b'5');
        self.fraction.truncate(scale);
        if goes_up {
            let mut digits = format!("{}{}", self.whole, self.fraction).into_bytes();
            let nines = digits.iter().rev().take_while(|digit| **digit == b'9').count();
            let at = digits.len() - nines;
            digits.iter_mut().skip(at).for_each(|digit| *digit = b'0');
            match at.checked_sub(1).and_then(|before| digits.get_mut(before)) {
                Some(digit) => *digit += 1,
                None => digits.insert(0, b'1'),
            }
            let text: String = digits.into_iter().map(char::from).collect();
            let (whole, fraction) = text.split_at_checked(text.len().saturating_sub(scale)).unwrap_or((&text, ""));
            (self.whole, self.fraction) = (whole.trim_start_matches('0').to_owned(), fraction.to_owned());
        }
        let is_zero = self.whole.is_empty() && self.fraction.bytes().all(|byte| byte == b'0');
        self.negative &= !is_zero;
        (self, false)
    }

    /// The whole number that it is, if it is one that 64 bits hold.
    #[must_use]
    pub fn to_integer(&self) -> Option<i64> {
        if self.fraction.bytes().any(|byte| byte != b'0') {
            return None;
        }
        if self.whole.is_empty() {
            return Some(0);
        }
        format!("{}{}", if self.negative { "-" } else { "" }, self.whole).parse().ok()
    }

    /// A text that is the same for equal numbers, whatever digits they show.
    #[must_use]
    pub fn key(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}.{}", self.whole, self.fraction.trim_end_matches('0'))
    }

    /// Groups of four digits as PostgreSQL stores them, without zero groups at the ends, and the weight of the first.
    #[must_use]
    pub fn groups(&self) -> (i16, Vec<i16>) {
        let head = self.whole.len().div_ceil(4) * 4;
        let tail = self.fraction.len().div_ceil(4) * 4;
        let digits = format!("{:0>head$}{:0<tail$}", self.whole, self.fraction);
        let group = |chunk: &[u8]| chunk.iter().fold(0_i16, |number, digit| number * 10 + i16::from(digit - b'0'));
        let mut groups: Vec<i16> = digits.as_bytes().chunks(4).map(group).collect();
        let leading = groups.iter().take_while(|group| **group == 0).count();
        groups.drain(..leading);
        while groups.last() == Some(&0) {
            groups.pop();
        }
        let weight = i16::try_from(head / 4).unwrap_or(i16::MAX) - 1;
        let weight = weight.saturating_sub(i16::try_from(leading).unwrap_or(i16::MAX));
        if groups.is_empty() { (0, groups) } else { (weight, groups) }
    }
}

fn digits_of(number: u64) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_exactly() {
        let shown = |text: &str| Number::from_text(text).map(|found| (found.negative, found.whole, found.fraction));
        let some = |negative, whole: &str, fraction: &str| Some((negative, whole.to_owned(), fraction.to_owned()));
        assert_eq!(shown("10.50"), some(false, "10", "50"));
        assert_eq!(shown("-007"), some(true, "7", ""));
        assert_eq!(shown("-0.00"), some(false, "", "00"));
        assert_eq!(shown("1.5e3"), some(false, "1500", ""));
        assert_eq!(shown("15e-3"), some(false, "", "015"));
        assert_eq!(shown("+.5"), some(false, "", "5"));
        for wrong in ["", ".", "1.2.3", "NaN", "0x10", " 1", "1e", "1_0"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn groups_and_scales() {
        let groups = |text: &str| Number::from_text(text).map(|found| found.groups());
        assert_eq!(groups("12345.678"), Some((1, vec![1, 2345, 6780])));
        assert_eq!(groups("0.00001"), Some((-2, vec![1000])));
        assert_eq!(groups("10000"), Some((1, vec![1])));
        assert_eq!(groups("0.0"), Some((0, Vec::new())));
        for (text, scale, expected, is_exact) in [
            ("1.5", 2, "1.50", true),
            ("1.500", 1, "1.5", true),
            ("1.55", 1, "1.6", false),
            ("-1.45", 1, "-1.5", false),
            ("0.4", 0, "", false),
            ("0.5", 0, "1", false),
            ("9.995", 2, "10.00", false),
            ("-0.004", 2, ".00", false),
        ] {
            let (found, exact) = Number::from_text(text).unwrap().rounded(scale);
            let point = if found.fraction.is_empty() { "" } else { "." };
            let sign = if found.negative { "-" } else { "" };
            let shown = format!("{sign}{}{point}{}", found.whole, found.fraction);
            assert_eq!((shown.as_str(), exact), (expected, is_exact), "{text}");
        }
        assert_eq!(Number::from_real(0.1).map(|found| found.key()), Some(".1".to_owned()));
        assert_eq!(Number::from_text("-9223372036854775808").and_then(|found| found.to_integer()), Some(i64::MIN));
        assert_eq!(Number::from_text("7.0").and_then(|found| found.to_integer()), Some(7));
    }
}
