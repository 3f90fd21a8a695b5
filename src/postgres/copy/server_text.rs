//! The text that PostgreSQL shows for a value, written from the bytes of its COPY field, in the session settings that
//! `session` pins: ISO dates, UTC.

use super::jsonb_text::JsonbWriter;
use crate::model::PgType;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Days from 1970-01-01 to PostgreSQL's 2000-01-01.
const EPOCH_DAYS: i64 = 10_957;

/// Writes texts; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub(super) struct TextWriter {
    text: Vec<u8>,
    jsonb: JsonbWriter,
}

impl TextWriter {
    /// The text of a value. None if the field is not what the type sends.
    pub(super) fn of(&mut self, pg_type: &PgType, value: &[u8]) -> Option<&[u8]> {
        self.text.clear();
        let out = &mut self.text;
        match pg_type {
            PgType::Numeric(_) => numeric(out, value)?,
            PgType::Date => match i32::from_be_bytes(value.try_into().ok()?) {
                i32::MAX => out.extend_from_slice(b"infinity"),
                i32::MIN => out.extend_from_slice(b"-infinity"),
                days => {
                    if date(out, i64::from(days)) {
                        out.extend_from_slice(b" BC");
                    }
                }
            },
            PgType::Time => time(out, i64::from_be_bytes(value.try_into().ok()?)),
            PgType::Timestamp => timestamp(out, value, "")?,
            PgType::TimestampTz => timestamp(out, value, "+00")?,
            PgType::Jsonb => return self.jsonb.of(value.strip_prefix(&[1])?),
            PgType::Bit(_) => bits(out, value)?,
            _ => return None,
        }
        Some(&self.text)
    }
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn timestamp(out: &mut Vec<u8>, value: &[u8], zone: &str) -> Option<()> {
    match i64::from_be_bytes(value.try_into().ok()?) {
        i64::MAX => push(out, "infinity"),
        i64::MIN => push(out, "-infinity"),
        micros => {
            let is_before_christ = date(out, micros.div_euclid(DAY));
            out.push(b' ');
            time(out, micros.rem_euclid(DAY));
            push(out, zone);
            if is_before_christ {
                push(out, " BC");
            }
        }
    }
    Some(())
}

/// Writes the date so many days after 2000-01-01. Says whether it is before Christ, which follows the whole value.
fn date(out: &mut Vec<u8>, days: i64) -> bool {
    let (year, month, day) = civil(days + EPOCH_DAYS);
    let is_before_christ = year <= 0;
    let year = if is_before_christ { 1 - year } else { year };
    push(out, &format!("{year:04}-{month:02}-{day:02}"));
    is_before_christ
}

/// Year, month and day of the proleptic Gregorian calendar, so many days after 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years begin in March, so that the leap day is the last of its year; an era has 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

fn time(out: &mut Vec<u8>, micros: i64) {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    push(out, &format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60));
    if fraction != 0 {
        push(out, format!(".{fraction:06}").trim_end_matches('0'));
    }
}

/// Sign, groups of four digits and scale, as `numeric_send` writes them.
fn numeric(out: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    let (words, rest) = value.as_chunks::<2>();
    let [count, weight, sign, scale, groups @ ..] = words else { return None };
    if !rest.is_empty() || groups.len() != usize::from(u16::from_be_bytes(*count)) {
        return None;
    }
    match u16::from_be_bytes(*sign) {
        0 => {}
        0x4000 => out.push(b'-'),
        special => {
            push(out, special_number(special)?);
            return Some(());
        }
    }
    let weight = i32::from(i16::from_be_bytes(*weight));
    let group = |place: i32| {
        let group = usize::try_from(place).ok().and_then(|place| groups.get(place));
        group.map_or(0, |group| u16::from_be_bytes(*group))
    };
    // The group of the weight is the first one.
    match weight {
        ..0 => out.push(b'0'),
        _ => {
            push(out, &group(0).to_string());
            (1..=weight).for_each(|place| push(out, &format!("{:04}", group(place))));
        }
    }
    let scale = usize::from(u16::from_be_bytes(*scale));
    if scale > 0 {
        out.push(b'.');
        let end = out.len() + scale;
        let mut place = weight + 1;
        while out.len() < end {
            push(out, &format!("{:04}", group(place)));
            place += 1;
        }
        out.truncate(end);
    }
    Some(())
}

/// What `numeric_send` writes in the place of the sign for values without digits.
const fn special_number(sign: u16) -> Option<&'static str> {
    match sign {
        0xc000 => Some("NaN"),
        0xd000 => Some("Infinity"),
        0xf000 => Some("-Infinity"),
        _ => None,
    }
}

/// `bit` and `bit varying`: the number of bits, then the bits from the highest of each byte.
fn bits(out: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    let (length, bytes) = value.split_first_chunk::<4>()?;
    let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
    let digits = bytes.iter().flat_map(|byte| (0..8).map(move |place| b'0' + (byte >> (7 - place) & 1)));
    out.extend(digits.take(length));
    (out.len() == length).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pg_type: &PgType, value: &[u8]) -> String {
        String::from_utf8(TextWriter::default().of(pg_type, value).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn times_are_written_as_postgresql_shows_them() {
        let date = |days: i32| text(&PgType::Date, &days.to_be_bytes());
        assert_eq!(
            [date(0), date(-1), date(59), date(i32::MAX)],
            ["2000-01-01", "1999-12-31", "2000-02-29", "infinity"]
        );
        assert_eq!([date(-730_119), date(-730_120), date(-730_486)], ["0001-01-01", "0001-12-31 BC", "0002-12-31 BC"]);
        assert_eq!(date(2_921_940), "10000-01-01");
        let stamp = |micros: i64| text(&PgType::TimestampTz, &micros.to_be_bytes());
        assert_eq!([stamp(1), stamp(-500_000)], ["2000-01-01 00:00:00.000001+00", "1999-12-31 23:59:59.5+00"]);
        assert_eq!(text(&PgType::Time, &DAY.to_be_bytes()), "24:00:00");
    }

    #[test]
    fn numbers_are_written_with_their_scale() {
        let numeric = |weight: i16, sign: u16, scale: u16, groups: &[u16]| {
            let count = u16::try_from(groups.len()).unwrap();
            let head = [count, weight.cast_unsigned(), sign, scale];
            let bytes: Vec<u8> = head.iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect();
            text(&PgType::Numeric(None), &bytes)
        };
        assert_eq!([numeric(0, 0, 0, &[]), numeric(0, 0, 3, &[])], ["0", "0.000"]);
        assert_eq!([numeric(1, 0x4000, 2, &[1, 2, 3400]), numeric(2, 0, 0, &[12])], ["-10002.34", "1200000000"]);
        assert_eq!([numeric(-2, 0, 8, &[7]), numeric(0, 0xd000, 0, &[])], ["0.00000007", "Infinity"]);
    }
}
