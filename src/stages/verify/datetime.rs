//! Reads dates and times as the conversions document them, without the loader's rules.

use std::ops::RangeInclusive;

use crate::model::cell::SqliteCell;

/// Microseconds of a day.
pub(super) const DAY: i64 = 86_400_000_000;

/// Days from 0001-01-01 to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_162;

/// Days before each month of a common year.
const DAYS_BEFORE_MONTH: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// What a text of a date with or without time says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ParsedDateTime {
    /// Microseconds from 1970-01-01 00:00 of the clock as written.
    pub(super) wall: i64,
    /// Microseconds to subtract to get UTC; none without a zone.
    pub(super) east: Option<i64>,
}

/// A text cursor that only moves over what it was asked for.
struct TextCursor<'a>(&'a [u8]);

impl TextCursor<'_> {
    fn number(&mut self, width: usize, allowed: RangeInclusive<i64>) -> Option<i64> {
        let (written, rest) = self.0.split_at_checked(width)?;
        let mut number = 0;
        for byte in written {
            number = number * 10 + i64::from(char::from(*byte).to_digit(10)?);
        }
        self.0 = rest;
        allowed.contains(&number).then_some(number)
    }

    fn take(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// `YYYY-MM-DD` as days from 1970-01-01.
    fn date(&mut self) -> Option<i64> {
        let year = self.number(4, 1..=9999)?;
        let month = self.take(b'-').then(|| self.number(2, 1..=12))??;
        let day = self.take(b'-').then(|| self.number(2, 1..=31))??;
        let leap = i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0));
        let at = usize::try_from(month).ok()?;
        let (before, after) = (*DAYS_BEFORE_MONTH.get(at - 1)?, *DAYS_BEFORE_MONTH.get(at)?);
        let length = after - before + if month == 2 { leap } else { 0 };
        let of_year = before + if month > 2 { leap } else { 0 } + day - 1;
        let past = year - 1;
        let of_past = past * 365 + past / 4 - past / 100 + past / 400;
        (day <= length).then_some(of_past + of_year - DAYS_BEFORE_1970)
    }

    /// `HH:MM[:SS[.f]]` as microseconds from midnight; at most 6 digits of the fraction are not 0.
    fn clock(&mut self) -> Option<i64> {
        let hour = self.number(2, 0..=23)?;
        let minute = self.take(b':').then(|| self.number(2, 0..=59))??;
        let mut time = (hour * 60 + minute) * 60_000_000;
        if self.take(b':') {
            time += self.number(2, 0..=59)? * 1_000_000;
            if self.take(b'.') {
                time += self.fraction()?;
            }
        }
        Some(time)
    }

    fn fraction(&mut self) -> Option<i64> {
        let mut worth = 100_000;
        let mut sum = 0;
        let mut any = false;
        while let [byte, rest @ ..] = self.0 {
            let Some(digit) = char::from(*byte).to_digit(10) else { break };
            if worth == 0 && digit != 0 {
                return None;
            }
            sum += i64::from(digit) * worth;
            worth /= 10;
            any = true;
            self.0 = rest;
        }
        any.then_some(sum)
    }

    /// `Z`, or `[ ]+HH:MM`, `[ ]+HHMM`, as microseconds east of UTC.
    fn zone(&mut self) -> Option<i64> {
        if self.take(b'Z') {
            return Some(0);
        }
        self.take(b' ');
        let sign = if self.take(b'+') {
            1
        } else if self.take(b'-') {
            -1
        } else {
            return None;
        };
        let hours = self.number(2, 0..=15)?;
        self.take(b':');
        let minutes = self.number(2, 0..=59)?;
        Some(sign * (hours * 60 + minutes) * 60_000_000)
    }
}

/// Days of 100, 4 and 1 years, without the leap day that may end them.
const DAYS_OF_YEARS: [(i64, i64); 3] = [(100, 36_524), (4, 1_461), (1, 365)];

/// Year, month and day of the Gregorian calendar, so many days after 1970-01-01. Year 0 is the one before year 1. None
/// beyond any calendar.
pub(super) fn civil_date(days: i64) -> Option<(i64, i64, i64)> {
    let mut rest = days.checked_add(DAYS_BEFORE_1970)?;
    let eras = rest.div_euclid(146_097);
    rest -= eras * 146_097;
    let mut year = 1 + eras * 400;
    for (years, length) in DAYS_OF_YEARS {
        // The last of 4 centuries and the last of 4 years are a day longer.
        let most = if years == 4 { 24 } else { 3 };
        let count = (rest / length).min(most);
        year += count * years;
        rest -= count * length;
    }
    let leap = i64::from(year % 4 == 0 && (year % 100 != 0 || year.rem_euclid(400) == 0));
    let before = |month: usize| {
        let days = DAYS_BEFORE_MONTH.get(month - 1).copied().unwrap_or(0);
        days + if month > 2 { leap } else { 0 }
    };
    let month = (1..=12).rev().find(|month| before(*month) <= rest)?;
    Some((year, i64::try_from(month).ok()?, rest - before(month) + 1))
}

/// A date as days from 1970-01-01.
pub(super) fn date(text: &[u8]) -> Option<i64> {
    let mut cursor = TextCursor(text);
    let days = cursor.date()?;
    cursor.0.is_empty().then_some(days)
}

/// A Julian day of the years 1 to 9999 in microseconds from 1970, the nearest ones, half to even.
pub(super) fn julian(cell: SqliteCell<'_>) -> Option<i64> {
    let days = match cell {
        SqliteCell::Integer(days) => f64::from(i32::try_from(days).ok()?),
        SqliteCell::Real(days) => days,
        SqliteCell::Null | SqliteCell::Text(_) | SqliteCell::Blob(_) => return None,
    };
    // 0001-01-01 00:00 and 10000-01-01 00:00.
    if !(1_721_425.5..5_373_484.5).contains(&days) {
        return None;
    }
    let whole = days.floor();
    // Beyond 2^20 days a double has at most 32 bits behind the point, so that this is a whole number.
    let rest = (days - whole) * 4_294_967_296.0;
    let scaled = i128::from(whole_number(rest)?) * i128::from(DAY);
    let (micros, left) = (scaled >> 32, scaled & 0xffff_ffff);
    let up = left > 1 << 31 || (left == 1 << 31 && micros % 2 != 0);
    // Noon of day 2440588 is 12 hours into 1970-01-01.
    let from_1970 = (whole_number(whole)? - 2_440_588) * DAY + DAY / 2;
    from_1970.checked_add(i64::try_from(micros).ok()? + i64::from(up))
}

#[expect(clippy::cast_possible_truncation, reason = "whole numbers below 2^33")]
fn whole_number(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 8_589_934_592.0).then_some(value as i64)
}

/// A time of day in microseconds from midnight.
pub(super) fn clock(text: &[u8]) -> Option<i64> {
    let mut cursor = TextCursor(text);
    let time = cursor.clock()?;
    cursor.0.is_empty().then_some(time)
}

/// A date with or without time and zone.
pub(super) fn timestamp(text: &[u8]) -> Option<ParsedDateTime> {
    let mut cursor = TextCursor(text);
    let midnight = cursor.date()? * DAY;
    if cursor.0.is_empty() {
        return Some(ParsedDateTime { wall: midnight, east: None });
    }
    if !cursor.take(b' ') && !cursor.take(b'T') {
        return None;
    }
    let wall = midnight + cursor.clock()?;
    let east = if cursor.0.is_empty() { None } else { Some(cursor.zone()?) };
    cursor.0.is_empty().then_some(ParsedDateTime { wall, east })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = -DAYS_BEFORE_1970;
        for year in 1..=2400 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(found) = date(format!("{year:04}-{month:02}-{day:02}").as_bytes()) {
                        assert_eq!(found, expected);
                        expected += 1;
                    }
                }
            }
        }
        // Day numbers of Python's date.toordinal(), which counts 0001-01-01 as 1.
        assert_eq!(expected, 876_582 - DAYS_BEFORE_1970);
        assert_eq!(date(b"9999-12-31"), Some(3_652_059 - 1 - DAYS_BEFORE_1970));
        assert_eq!(date(b"1970-01-01"), Some(0));
    }

    #[test]
    fn timestamps_have_wall_and_zone() {
        let timestamp = |text: &str| timestamp(text.as_bytes()).map(|found| (found.wall, found.east));
        assert_eq!(timestamp("1970-01-01 00:00:00.000001"), Some((1, None)));
        assert_eq!(timestamp("1970-01-01T01:00Z"), Some((3_600_000_000, Some(0))));
        assert_eq!(timestamp("1970-01-01 01:00 +01:30"), Some((3_600_000_000, Some(5_400_000_000))));
        assert_eq!(timestamp("1970-01-01 00:00:00-0030"), Some((0, Some(-1_800_000_000))));
        assert_eq!(timestamp("1969-12-31 23:59:59.5000000"), Some((-500_000, None)));
        assert_eq!(timestamp("2024-02-29"), Some((19_782 * DAY, None)));
    }

    #[test]
    fn other_forms_are_not_read() {
        for text in [
            "",
            "now",
            "2023-02-29",
            "0000-01-01",
            "2024-01-02 24:00",
            "2024-01-02 00:00:60",
            "2024-01-02 00:00:00.1234567",
            "2024-01-02 00:00:00.",
            "2024-01-02 00:00:00+",
            "2024-01-02 00:00:00+5",
            "2024-01-02Z",
            "2024-01-02 ",
            "2024-01-02 00",
            "20240102",
            "2024-01-02 00:00:00 UTC",
        ] {
            assert_eq!(timestamp(text.as_bytes()), None, "{text}");
        }
        assert_eq!(clock(b"12:30:01.25"), Some(45_001_250_000));
        assert_eq!(clock(b"24:00"), None);
        assert_eq!(clock(b"12:30 "), None);
    }
}
