//! Writes values as PostgreSQL prints them: in ISO dates and UTC, as `session` sets every connection.

use super::datetime::{DAY, civil_date};

/// A date, so many days after 1970-01-01. None beyond any calendar.
pub(super) fn date(out: &mut Vec<u8>, days: i64) -> Option<()> {
    let is_before_christ = day(out, days)?;
    era(out, is_before_christ);
    Some(())
}

/// A time of day in microseconds.
pub(super) fn clock(out: &mut Vec<u8>, microseconds: i64) -> Option<()> {
    let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
    two_digits(out, seconds / 3600)?;
    out.push(b':');
    two_digits(out, seconds / 60 % 60)?;
    out.push(b':');
    two_digits(out, seconds % 60)?;
    if fraction != 0 {
        out.push(b'.');
        for pair in [fraction / 10_000, fraction / 100 % 100, fraction % 100] {
            two_digits(out, pair)?;
        }
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    Some(())
}

/// A timestamp in microseconds after 1970-01-01, with the zone UTC if it has one.
pub(super) fn timestamp(out: &mut Vec<u8>, microseconds: i64, zoned: bool) -> Option<()> {
    let is_before_christ = day(out, microseconds.div_euclid(DAY))?;
    out.push(b' ');
    clock(out, microseconds.rem_euclid(DAY))?;
    if zoned {
        out.extend_from_slice(b"+00");
    }
    era(out, is_before_christ);
    Some(())
}

/// A number: its digits after the point, and its image (sign, weight, groups of four digits).
pub(super) fn number(out: &mut Vec<u8>, scale: u16, image: &[u8]) -> Option<()> {
    let (sign, rest) = image.split_first()?;
    let (weight, groups) = rest.split_first_chunk::<2>()?;
    let weight = i64::from(i16::from_be_bytes(*weight));
    if *sign != 0 {
        out.push(b'-');
    }
    let group = |power: i64| {
        let at = usize::try_from(weight - power).ok()?;
        let bytes = groups.get(2 * at..2 * at + 2)?;
        Some(i64::from(u16::from_be_bytes(bytes.try_into().ok()?)))
    };
    let begin = out.len();
    for power in (0..=weight).rev() {
        four_digits(out, group(power).unwrap_or(0))?;
    }
    let zeros = out.iter().skip(begin).take_while(|digit| **digit == b'0').count();
    out.drain(begin..begin + zeros);
    if out.len() == begin {
        out.push(b'0');
    }
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + usize::from(scale);
        let mut power = -1;
        while out.len() < end {
            four_digits(out, group(power).unwrap_or(0))?;
            power -= 1;
        }
        out.truncate(end);
    }
    Some(())
}

/// Writes a day; whether its era is before Christ, which stands at the end of the whole value.
fn day(out: &mut Vec<u8>, days: i64) -> Option<bool> {
    let (year, month, of_month) = civil_date(days)?;
    // There is no year 0: the one before 1 is 1 BC.
    let shown = if year > 0 { year } else { 1 - year };
    if shown > 9999 {
        out.extend_from_slice((shown / 10_000).to_string().as_bytes());
    }
    four_digits(out, shown % 10_000)?;
    out.push(b'-');
    two_digits(out, month)?;
    out.push(b'-');
    two_digits(out, of_month)?;
    Some(year <= 0)
}

fn era(out: &mut Vec<u8>, is_before_christ: bool) {
    if is_before_christ {
        out.extend_from_slice(b" BC");
    }
}

fn four_digits(out: &mut Vec<u8>, number: i64) -> Option<()> {
    two_digits(out, number / 100)?;
    two_digits(out, number % 100)
}

/// None for a number that has more digits.
fn two_digits(out: &mut Vec<u8>, number: i64) -> Option<()> {
    let number = u8::try_from(number).ok().filter(|number| *number < 100)?;
    out.extend_from_slice(&[b'0' + number / 10, b'0' + number % 10]);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::verify::decimal::DecimalDigits;

    fn text(write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_are_printed_as_postgresql_does() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-719_529, "0002-12-31 BC"),
            (2_932_897, "10000-01-01"),
            (-2_440_588, "4714-11-24 BC"),
        ] {
            assert_eq!(text(|out| date(out, days)), expected, "{days}");
        }
        assert_eq!(text(|out| timestamp(out, -1, true)), "1969-12-31 23:59:59.999999+00");
        assert_eq!(text(|out| timestamp(out, 1_500_000, false)), "1970-01-01 00:00:01.5");
        assert_eq!(text(|out| clock(out, 86_399_000_100)), "23:59:59.0001");
    }

    #[test]
    fn numbers_are_printed_as_postgresql_does() {
        for (written, scale, expected) in [
            ("0", 0, "0"),
            ("0", 2, "0.00"),
            ("12.5", 1, "12.5"),
            ("-12.5", 3, "-12.500"),
            ("10000", 0, "10000"),
            ("120000000", 0, "120000000"),
            ("0.00001", 5, "0.00001"),
            ("123456789.000123", 6, "123456789.000123"),
        ] {
            let groups = DecimalDigits::of_number(written.as_bytes()).unwrap().groups().unwrap();
            assert_eq!(text(|out| number(out, scale, &groups)), expected);
        }
    }
}
