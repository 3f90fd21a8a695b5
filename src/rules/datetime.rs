//! Recognises dates and times in text, exactly or not at all (docs/conversion-rules.md, section 1.5).
//!
//! PostgreSQL's own input functions are never used: it accepts `now`, rounds fractions and drops offsets. What this
//! module doesn't recognise keeps its column text.

use jiff::civil::{Date, date};

use crate::{
    model::{cell::SqliteCell, conversion_plan::TimeEncoding},
    rules::decimal::Decimal,
};

/// Where days are counted from.
const EPOCH: Date = date(1970, 1, 1);

/// Microseconds from 1970-01-01 to 2001-01-01.
const TO_2001: i64 = 978_307_200_000_000;

/// Microseconds from the beginning of Julian day 0 (noon) to 1970-01-01 00:00.
const JULIAN_TO_1970: i128 = 210_866_760_000_000_000;

/// Microseconds of one day.
pub const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// A date, or a date with a time, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Days since 1970-01-01 of the date as written.
    pub days: i64,
    /// Microseconds since midnight as written; `None` for a date alone.
    pub time: Option<i64>,
    /// Minutes east of UTC; `None` without a zone.
    pub offset_minutes: Option<i32>,
}

impl Stamp {
    /// Microseconds since 1970-01-01 00:00 of the wall clock as written, without regard to the offset.
    #[must_use]
    pub fn wall_microseconds(&self) -> i64 {
        self.days * DAY_MICROSECONDS + self.time.unwrap_or(0)
    }

    /// Microseconds since 1970-01-01 00:00 UTC; without a zone the text is taken as UTC.
    #[must_use]
    pub fn utc_microseconds(&self) -> i64 {
        self.wall_microseconds() - i64::from(self.offset_minutes.unwrap_or(0)) * 60_000_000
    }
}

/// Reads `YYYY-MM-DD`, optionally `[ T]HH:MM[:SS[.f]]`, optionally `Z` or `[ ]+HH:MM`, `+HHMM`: year 0001 to 9999, a
/// real calendar day, hour 00 to 23, second 00 to 59, at most 6 significant fraction digits.
#[must_use]
pub fn parse_stamp(text: &[u8]) -> Option<Stamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let days = parse_date(date)?;
    if rest.is_empty() {
        return Some(Stamp { days, time: None, offset_minutes: None });
    }
    let rest = rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"T"))?;
    let zone_at = rest.iter().position(|byte| matches!(byte, b'Z' | b'+' | b'-' | b' ')).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at_checked(zone_at)?;
    let offset_minutes = if zone.is_empty() { None } else { Some(parse_zone(zone)?) };
    Some(Stamp { days, time: Some(parse_clock(clock)?), offset_minutes })
}

/// Reads `HH:MM[:SS[.f]]` as microseconds since midnight.
#[must_use]
pub fn parse_clock(text: &[u8]) -> Option<i64> {
    let (hour_minute, rest) = text.split_at_checked(5)?;
    let [h1, h2, b':', m1, m2] = *hour_minute else { return None };
    let (hour, minute) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let (second, fraction) = match rest {
        [] => (0, 0),
        [b':', s1, s2, fraction @ ..] => (digits(&[*s1, *s2])?, parse_fraction(fraction)?),
        _ => return None,
    };
    (second <= 59).then_some(((hour * 60 + minute) * 60 + second) * 1_000_000 + fraction)
}

/// Reads what Rails writes into a column of type time: the clock, alone or behind the date 2000-01-01.
#[must_use]
pub fn parse_rails_clock(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"2000-01-01") {
        Some([b' ' | b'T', clock @ ..]) => parse_clock(clock),
        Some(_) => None,
        None => parse_clock(text),
    }
}

/// The microseconds since 1970-01-01 UTC that a count of time means; `None` where that is no whole number of them
/// (Julian days: outside the years 1 to 9999).
#[must_use]
pub fn decode_time(by: TimeEncoding, cell: SqliteCell<'_>) -> Option<i64> {
    // In powers of ten of a microsecond.
    let (unit, zero) = match by {
        TimeEncoding::UnixS => (6, 0),
        TimeEncoding::UnixMs => (3, 0),
        TimeEncoding::UnixUs => (0, 0),
        TimeEncoding::UnixNs => (-3, 0),
        TimeEncoding::CoreData => (6, TO_2001),
        TimeEncoding::Julian => return julian(cell),
    };
    let number = match cell {
        SqliteCell::Integer(value) => Decimal::from_integer(value),
        SqliteCell::Real(value) if value != 0.0 || value.is_sign_positive() => Decimal::from_real(value)?,
        _ => return None,
    };
    // The mantissa has no zeros at its end.
    let power = if number.mantissa == 0 { 0 } else { u32::try_from(number.exponent + unit).ok()? };
    let size = i64::try_from(number.mantissa).ok()?.checked_mul(10_i64.checked_pow(power)?)?;
    zero.checked_add(if number.negative { -size } else { size })
}

/// Between 2^20 and 2^23 days neighbouring doubles are 20 microseconds apart at least, so that the nearest microsecond
/// leads back to the same double.
fn julian(cell: SqliteCell<'_>) -> Option<i64> {
    let (mantissa, shift) = match cell {
        SqliteCell::Integer(days) if (1_721_426..=5_373_484).contains(&days) => (i128::from(days), 0),
        SqliteCell::Real(days) if (1_721_425.5..5_373_484.5).contains(&days) => {
            let bits = days.to_bits();
            let shift = 1075 - (bits >> 52 & 0x7ff);
            (i128::from(bits & 0x000f_ffff_ffff_ffff | 0x0010_0000_0000_0000), shift)
        }
        _ => return None,
    };
    let scaled = mantissa * i128::from(DAY_MICROSECONDS);
    let (whole, rest) = (scaled >> shift, scaled & ((1 << shift) - 1));
    let half = (1_i128 << shift) / 2;
    let up = shift > 0 && (rest > half || (rest == half && whole & 1 == 1));
    i64::try_from(whole + i128::from(up) - JULIAN_TO_1970).ok()
}

/// Microseconds of `.f`, or 0 for nothing; refused beyond 6 significant digits.
fn parse_fraction(text: &[u8]) -> Option<i64> {
    let Some(written) = text.strip_prefix(b".") else { return text.is_empty().then_some(0) };
    if written.is_empty() || !written.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let significant = written.len() - written.iter().rev().take_while(|digit| **digit == b'0').count();
    let kept = written.get(..significant)?;
    if kept.len() > 6 {
        return None;
    }
    let value = if kept.is_empty() { 0 } else { digits(kept)? };
    let missing = u32::try_from(6 - kept.len()).ok()?;
    Some(value * 10_i64.pow(missing))
}

fn parse_zone(zone: &[u8]) -> Option<i32> {
    if zone == b"Z" {
        return Some(0);
    }
    let zone = zone.strip_prefix(b" ").unwrap_or(zone);
    let (sign, hours, minutes) = match *zone {
        [sign, h1, h2, b':', m1, m2] | [sign, h1, h2, m1, m2] => (sign, digits(&[h1, h2])?, digits(&[m1, m2])?),
        _ => return None,
    };
    let minutes = i32::try_from(hours * 60 + minutes).ok().filter(|_| hours <= 15 && minutes <= 59)?;
    match sign {
        b'+' => Some(minutes),
        b'-' => Some(-minutes),
        _ => None,
    }
}

/// Reads `YYYY-MM-DD` as days since 1970-01-01.
#[must_use]
pub fn parse_date(text: &[u8]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text else { return None };
    let (year, month, day) = (digits(&[y1, y2, y3, y4])?, digits(&[m1, m2])?, digits(&[d1, d2])?);
    let [year, month, day] = [year, month, day].map(|part| i16::try_from(part).ok());
    let date = Date::new(year.filter(|year| *year >= 1)?, i8::try_from(month?).ok()?, i8::try_from(day?).ok()?).ok()?;
    Some(date.duration_since(EPOCH).as_hours() / 24)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0_i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_from_1970() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("2000-01-01", 10_957),
            ("1969-12-31", -1),
            ("0001-01-01", -719_162),
            ("9999-12-31", 2_932_896),
            ("2024-02-29", 19_782),
        ] {
            assert_eq!(parse_date(text.as_bytes()), Some(days), "{text}");
        }
    }

    #[test]
    fn stamps_keep_time_and_offset() {
        let stamp = parse_stamp(b"1970-01-02T03:04:05.678900+05:30").unwrap();
        assert_eq!(stamp.wall_microseconds(), DAY_MICROSECONDS + 11_045_678_900);
        assert_eq!(stamp.offset_minutes, Some(330));
        assert_eq!(stamp.utc_microseconds(), stamp.wall_microseconds() - 330 * 60_000_000);
        assert_eq!(parse_stamp(b"1970-01-01 00:00 -0100").unwrap().utc_microseconds(), 3_600_000_000);
        assert_eq!(parse_stamp(b"1970-01-01 00:00:00Z").unwrap().offset_minutes, Some(0));
        assert_eq!(parse_stamp(b"1970-01-01").unwrap().time, None);
    }

    #[test]
    fn what_postgresql_would_guess_is_refused() {
        for text in [
            "now",
            "today",
            "2024-02-30",
            "2023-02-29",
            "0000-01-01",
            "10000-01-01",
            "2024-1-2",
            "20240102",
            "2024-01-02 24:00:00",
            "2024-01-02 23:59:60",
            "2024-01-02 03:04:05.1234567",
            "2024-01-02 03:04 PM",
            "2024-01-02 03:04:05 IST",
            "2024-01-02T",
            "2024-01-02 03",
            "2024-01-02 03:04:05.",
            " 2024-01-02",
            "2024-01-02 03:04:05+5",
            "2024-01-02Z",
            "",
        ] {
            assert_eq!(parse_stamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn counts_of_time_are_exact_or_nothing() {
        use SqliteCell::{Integer, Real};
        for (by, cell, expected) in [
            (TimeEncoding::UnixS, Integer(-1), Some(-1_000_000)),
            (TimeEncoding::UnixS, Real(1_700_000_000.25), Some(1_700_000_000_250_000)),
            (TimeEncoding::UnixS, Real(1_700_000_000.123_456_7), None),
            (TimeEncoding::UnixMs, Real(0.5), Some(500)),
            (TimeEncoding::UnixUs, Real(0.5), None),
            (TimeEncoding::UnixNs, Integer(1_700_000_000_123_456_000), Some(1_700_000_000_123_456)),
            (TimeEncoding::UnixNs, Integer(1_700_000_000_123_456_001), None),
            (TimeEncoding::UnixNs, Integer(0), Some(0)),
            (TimeEncoding::CoreData, Real(0.5), Some(TO_2001 + 500_000)),
            (TimeEncoding::CoreData, Integer(-978_307_200), Some(0)),
            (TimeEncoding::UnixS, Real(-0.0), None),
            (TimeEncoding::UnixS, Real(f64::INFINITY), None),
            (TimeEncoding::UnixS, SqliteCell::Text(b"1"), None),
            (TimeEncoding::Julian, Real(2_440_587.5), Some(0)),
            (TimeEncoding::Julian, Integer(2_440_588), Some(DAY_MICROSECONDS / 2)),
            // julianday('2024-02-29 12:34:56.789') as SQLite computes it.
            (TimeEncoding::Julian, Real(2_460_370.024_268_391), Some(1_709_210_096_789_000 - 18)),
            (TimeEncoding::Julian, Real(1_721_425.5), Some(-62_135_596_800_000_000)),
            (TimeEncoding::Julian, Real(1_721_425.4), None),
            (TimeEncoding::Julian, Real(5_373_484.5), None),
        ] {
            let found = decode_time(by, cell);
            match (by, expected, found) {
                // A Julian day has 40 microseconds between two doubles.
                (TimeEncoding::Julian, Some(expected), Some(found)) => {
                    assert!(expected.abs_diff(found) <= 40, "{found}");
                }
                _ => assert_eq!(found, expected, "{by:?} {cell:?}"),
            }
        }
        assert_eq!(parse_rails_clock(b"2000-01-01 07:30:00"), Some(27_000_000_000));
        assert_eq!(parse_rails_clock(b"07:30"), Some(27_000_000_000));
        assert_eq!(parse_rails_clock(b"2000-01-02 07:30:00"), None);
        assert_eq!(parse_rails_clock(b"2000-01-01"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_julian_day_leads_back_to_its_double(days in 1_721_425.5_f64..5_373_484.0) {
            let micros = decode_time(TimeEncoding::Julian, SqliteCell::Real(days)).unwrap();
            // Split so that every step is exact but the last.
            let (day, rest) = (micros.div_euclid(DAY_MICROSECONDS), micros.rem_euclid(DAY_MICROSECONDS));
            let day = f64::from(i32::try_from(day).unwrap()) + 2_440_587.5;
            let back = day + f64::from(u32::try_from(rest / 1000).unwrap()) / 86_400_000.0
                + f64::from(u32::try_from(rest % 1000).unwrap()) / 86_400_000_000.0;
            proptest::prop_assert!((back - days).abs() <= 1e-9, "{} {}", back, days);
        }
    }

    #[test]
    fn trailing_zeros_of_a_fraction_are_free() {
        assert_eq!(parse_clock(b"00:00:01.50000000"), Some(1_500_000));
        assert_eq!(parse_clock(b"23:59"), Some(86_340_000_000));
        assert_eq!(parse_clock(b"24:00"), None);
    }
}
