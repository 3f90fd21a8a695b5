//! Writes numbers in decimal: the shortest digits that read back as the same double.

/// An integer up to this magnitude is exact as a double.
pub const DOUBLE_EXACT_MOST: u64 = 1 << 53;

/// `(-1)^negative * mantissa * 10^exponent`, the mantissa without trailing zeros (zero has exponent 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// Below zero.
    pub negative: bool,
    /// Significant digits as one number.
    pub mantissa: u64,
    /// Power of ten.
    pub exponent: i32,
}

impl Decimal {
    /// An integer, exactly.
    #[must_use]
    pub fn from_integer(value: i64) -> Self {
        Self::normalised(value < 0, value.unsigned_abs(), 0)
    }

    /// The shortest decimal that reads back as the same double, of two the nearer, of two as near the even;
    /// `None` for infinities and NaN. `-0.0` becomes 0.
    #[must_use]
    pub fn from_real(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let mut buffer = ryu::Buffer::new();
        let text = buffer.format_finite(value);
        let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let mantissa = format!("{whole}{fraction}").parse().ok()?;
        let exponent = power.parse::<i32>().ok()? - i32::try_from(fraction.len()).ok()?;
        Some(Self::normalised(negative, mantissa, exponent))
    }

    fn normalised(negative: bool, mut mantissa: u64, mut exponent: i32) -> Self {
        if mantissa == 0 {
            return Self { negative: false, mantissa: 0, exponent: 0 };
        }
        while mantissa.is_multiple_of(10) {
            mantissa /= 10;
            exponent += 1;
        }
        Self { negative, mantissa, exponent }
    }

    /// Digits after the decimal point.
    #[must_use]
    pub fn scale(&self) -> u16 {
        u16::try_from(-self.exponent).unwrap_or(0)
    }

    /// Digits before the decimal point; 0 for numbers below 1.
    #[must_use]
    pub fn whole_digits(&self) -> u16 {
        let digits = if self.mantissa == 0 { 0 } else { i32::try_from(self.mantissa.ilog10()).unwrap_or(0) + 1 };
        u16::try_from(digits + self.exponent).unwrap_or(0)
    }
}

/// A REAL as text: the shortest digits that read back, with `.0` where there is neither point nor fraction, and with
/// an exponent of at least two digits below 1e-4 and from 1e15 on, as SQLite's `%!.15g` writes it (`1.0e+20`).
#[must_use]
pub fn real_text(value: f64) -> String {
    let Some(decimal) = Decimal::from_real(value) else {
        return if value > 0.0 { "Inf".to_owned() } else { "-Inf".to_owned() };
    };
    if decimal.mantissa == 0 {
        return if value.is_sign_negative() { "-0.0".to_owned() } else { "0.0".to_owned() };
    }
    let digits = decimal.mantissa.to_string();
    let sign = if decimal.negative { "-" } else { "" };
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let power = decimal.exponent + count - 1;
    let (first, others) = digits.split_at(1);
    if !(-4..15).contains(&power) {
        let fraction = if others.is_empty() { "0" } else { others };
        let mark = if power < 0 { '-' } else { '+' };
        return format!("{sign}{first}.{fraction}e{mark}{:02}", power.abs());
    }
    if decimal.exponent >= 0 {
        let zeros = "0".repeat(usize::try_from(decimal.exponent).unwrap_or(0));
        return format!("{sign}{digits}{zeros}.0");
    }
    match usize::try_from(count + decimal.exponent) {
        Ok(point) if point > 0 => {
            let (whole, fraction) = digits.split_at(point);
            format!("{sign}{whole}.{fraction}")
        }
        Ok(_) | Err(_) => {
            let zeros = "0".repeat(usize::try_from(-(count + decimal.exponent)).unwrap_or(0));
            format!("{sign}0.{zeros}{digits}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_shortest_and_exact() {
        let decimal = Decimal::from_real(0.1 + 0.2).unwrap();
        assert_eq!((decimal.mantissa, decimal.exponent), (30_000_000_000_000_004, -17));
        let decimal = Decimal::from_real(-1e300).unwrap();
        assert_eq!((decimal.negative, decimal.mantissa, decimal.exponent), (true, 1, 300));
        assert_eq!(Decimal::from_integer(i64::MIN).mantissa, 9_223_372_036_854_775_808);
        assert_eq!(Decimal::from_real(12.5).map(|found| (found.whole_digits(), found.scale())), Some((2, 1)));
        assert_eq!(Decimal::from_real(0.05).map(|found| (found.whole_digits(), found.scale())), Some((0, 2)));
        assert_eq!(Decimal::from_real(f64::INFINITY), None);
        assert_eq!(
            Decimal::from_real(2_370_370_349_037_037.0 / 4.0).map(|found| found.mantissa),
            Some(5_925_925_872_592_592)
        );
    }

    #[test]
    fn reals_read_back_and_look_like_sqlites() {
        for (value, text) in [
            (1.0, "1.0"),
            (1e20, "1.0e+20"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e-5, "1.0e-05"),
            (0.0001, "0.0001"),
            (123_456.789, "123456.789"),
            (1e14, "100000000000000.0"),
            (1e15, "1.0e+15"),
            (-2.5e-300, "-2.5e-300"),
            (f64::INFINITY, "Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(real_text(value), text);
            assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
        }
    }
}
