//! Dates, times and intervals.

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use super::{
    super::{canonical_row::Mismatch, datetime, decimal::DecimalDigits},
    CellReading,
};
use crate::model::{
    cell::SqliteCell,
    conversion_plan::{TimeEncoding, ZoneName},
};

/// 4713-11-24 BC, with which PostgreSQL's timestamps begin, in microseconds from 1970.
const FIRST_TIMESTAMP: i64 = -2_440_588 * datetime::DAY;

/// From 1970 to 2001.
const MICROSECONDS_TO_2001: i64 = 11_323 * datetime::DAY;

/// What a cell says: a clock with or without offset, or a count.
enum Said {
    Clock { wall: i64, east: Option<i64> },
    Count(i64),
}

fn said(cell: SqliteCell<'_>, reading: &mut CellReading<'_>) -> Result<Said, Mismatch> {
    let count = match (cell, reading.settings.count) {
        (SqliteCell::Integer(_) | SqliteCell::Real(_), unit) => count(cell, unit, reading)?,
        (SqliteCell::Text(text), unit) => match plain_number(text).filter(|_| unit.is_some()) {
            Some(number) => count(number, unit, reading)?,
            None => {
                let text = cut(text, reading);
                let parsed = datetime::timestamp(&whole_offset(without_go_suffix(&text))).ok_or(Mismatch::Form)?;
                return Ok(Said::Clock { wall: parsed.wall, east: parsed.east });
            }
        },
        (SqliteCell::Null | SqliteCell::Blob(_), _) => return Err(Mismatch::Class),
    };
    if count < FIRST_TIMESTAMP { Err(Mismatch::Loss) } else { Ok(Said::Count(count)) }
}

fn plain_number(text: &[u8]) -> Option<SqliteCell<'static>> {
    if text.iter().any(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'.')) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    match text.parse::<i64>() {
        Ok(number) => Some(SqliteCell::Integer(number)),
        Err(_) => text.parse().ok().map(SqliteCell::Real),
    }
}

/// The microseconds that a number counts, cut below.
pub(super) fn count(
    cell: SqliteCell<'_>,
    unit: Option<TimeEncoding>,
    reading: &mut CellReading<'_>,
) -> Result<i64, Mismatch> {
    let places = match unit.ok_or(Mismatch::Form)? {
        TimeEncoding::UnixS | TimeEncoding::CoreData => 6,
        TimeEncoding::UnixMs => 3,
        TimeEncoding::UnixUs => 0,
        TimeEncoding::UnixNs => -3,
        TimeEncoding::Julian => return datetime::julian(cell).ok_or(Mismatch::Loss),
    };
    let digits = match cell {
        SqliteCell::Integer(number) => DecimalDigits::of_integer(number),
        SqliteCell::Real(number) => DecimalDigits::of_real(number).ok_or(Mismatch::Loss)?,
        _ => return Err(Mismatch::Class),
    };
    let (micros, exact) = digits.floor(places).ok_or(Mismatch::Loss)?;
    reading.loses |= !exact;
    let from = if unit == Some(TimeEncoding::CoreData) { MICROSECONDS_TO_2001 } else { 0 };
    micros.checked_add(from).ok_or(Mismatch::Loss)
}

/// The text without digits behind the sixth of a second.
pub(super) fn cut(text: &[u8], reading: &mut CellReading<'_>) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    let mut behind_point = None;
    for byte in text {
        behind_point = match (behind_point, byte) {
            (None, b'.') if !kept.contains(&b'.') => Some(0),
            (Some(count), b'0'..=b'9') => Some(count + 1),
            _ => None,
        };
        if behind_point.is_some_and(|count| count > 6) {
            reading.loses |= *byte != b'0';
        } else {
            kept.push(*byte);
        }
    }
    kept
}

/// Go prints `2006-01-02 15:04:05.9 +0200 CEST m=+0.1`.
fn without_go_suffix(text: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
    match words[..] {
        [date, clock, offset @ [b'+' | b'-', _, _, _, _], zone, ref rest @ ..]
            if (2..=5).contains(&zone.len())
                && zone.iter().all(u8::is_ascii_uppercase)
                && rest.first().is_none_or(|word| word.starts_with(b"m=")) =>
        {
            [date, clock, offset].join(&b' ')
        }
        [date, clock, offset, monotonic] if monotonic.starts_with(b"m=") => [date, clock, offset].join(&b' '),
        _ => text.to_vec(),
    }
}

/// An offset that has hours only gets its minutes. What is before it ends with a time of day, not with a date.
fn whole_offset(mut text: Vec<u8>) -> Vec<u8> {
    let sign = text.len().checked_sub(3).filter(|at| matches!(text.get(*at), Some(b'+' | b'-')));
    let is_short = sign
        .and_then(|at| text.split_at_checked(at))
        .is_some_and(|(before, offset)| before.contains(&b':') && offset.iter().skip(1).all(u8::is_ascii_digit));
    if is_short {
        text.extend_from_slice(b"00");
    }
    text
}

/// Days from 1970-01-01 of the day as written.
pub(super) fn date(cell: SqliteCell<'_>, reading: &mut CellReading<'_>) -> Result<i64, Mismatch> {
    let (micros, east) = match said(cell, reading)? {
        Said::Clock { wall, east } => (wall, east.unwrap_or(0)),
        Said::Count(count) => (count, 0),
    };
    reading.loses |= east != 0 || micros.rem_euclid(datetime::DAY) != 0;
    Ok(micros.div_euclid(datetime::DAY))
}

/// Microseconds from midnight.
pub(super) fn time(cell: SqliteCell<'_>, digits: u8, reading: &mut CellReading<'_>) -> Result<i64, Mismatch> {
    let SqliteCell::Text(text) = cell else { return Err(Mismatch::Class) };
    let text = cut(text, reading);
    let clock = match datetime::clock(&text) {
        Some(clock) => clock,
        None => {
            let parsed = datetime::timestamp(&whole_offset(text.clone())).ok_or(Mismatch::Form)?;
            let day = parsed.wall.div_euclid(datetime::DAY);
            if text.len() <= 10 || parsed.east.unwrap_or(0) != 0 || (day != 0 && day != 10_957) {
                return Err(Mismatch::Form);
            }
            parsed.wall.rem_euclid(datetime::DAY)
        }
    };
    Ok(kept(clock, digits, reading))
}

/// Microseconds from 1970-01-01.
pub(super) fn timestamp(
    cell: SqliteCell<'_>,
    digits: u8,
    zoned: bool,
    reading: &mut CellReading<'_>,
) -> Result<i64, Mismatch> {
    let micros = match said(cell, reading)? {
        Said::Count(count) => count,
        Said::Clock { wall, east: Some(east) } => {
            reading.loses |= east != 0;
            wall - east
        }
        Said::Clock { wall, east: None } => match reading.settings.zone.filter(|_| zoned) {
            Some(zone) => {
                let (micros, once) = in_zone(wall, zone).ok_or(Mismatch::Loss)?;
                reading.loses |= !once;
                micros
            }
            None => wall,
        },
    };
    Ok(kept(micros, digits, reading))
}

/// A clock of a zone in UTC. Of two points in time the first; a clock in a gap as if it had not been put forward.
fn in_zone(wall: i64, zone: ZoneName) -> Option<(i64, bool)> {
    if let Some(seconds) = zone.offset_seconds() {
        return Some((wall - i64::from(seconds) * 1_000_000, true));
    }
    let zone = TimeZoneDatabase::bundled().get(zone.as_str()).ok()?;
    let clock = TimeZone::UTC.to_datetime(Timestamp::from_microsecond(wall).ok()?);
    let found = zone.to_ambiguous_timestamp(clock);
    let once = !found.is_ambiguous();
    let micros = found.compatible().ok()?.as_microsecond();
    Some((micros, once))
}

/// The time with so many digits of a second.
fn kept(micros: i64, digits: u8, reading: &mut CellReading<'_>) -> i64 {
    let mut step = 1;
    for _ in digits..6 {
        step *= 10;
    }
    let kept = micros.div_euclid(step) * step;
    reading.loses |= kept != micros;
    kept
}

/// A time of day with its offset, for PostgreSQL.
pub(super) fn zoned_time(text: &str, digits: u8, reading: &mut CellReading<'_>) -> Result<String, Mismatch> {
    let text = whole_offset(cut(text.as_bytes(), reading));
    let mark = text.iter().position(|byte| matches!(byte, b'Z' | b'+' | b'-' | b' ')).unwrap_or(text.len());
    let (clock, zone) = text.split_at_checked(mark).ok_or(Mismatch::Form)?;
    let clock = kept(datetime::clock(clock).ok_or(Mismatch::Form)?, digits, reading);
    let east = if zone.is_empty() {
        0
    } else {
        datetime::timestamp(&[b"2000-01-01 00:00", zone].concat()).and_then(|found| found.east).ok_or(Mismatch::Form)?
    };
    let sign = if east < 0 { "-" } else { "+" };
    let minutes = east.abs() / 60_000_000;
    Ok(format!("{}{sign}{:02}{:02}", of_day(clock), minutes / 60, minutes % 60))
}

fn of_day(micros: i64) -> String {
    let minutes = micros / 60_000_000;
    let seconds = micros % 60_000_000;
    format!("{:02}:{:02}:{:02}.{:06}", minutes / 60, minutes % 60, seconds / 1_000_000, seconds % 1_000_000)
}

/// An interval, for PostgreSQL.
pub(super) fn interval(cell: SqliteCell<'_>, reading: &mut CellReading<'_>) -> Result<String, Mismatch> {
    let text = match cell {
        SqliteCell::Integer(_) => {
            let unit = reading.settings.count.or(Some(TimeEncoding::UnixUs));
            return count(cell, unit, reading).map(in_days);
        }
        SqliteCell::Real(_) => {
            let unit = reading.settings.count;
            return count(cell, unit, reading).map(in_days);
        }
        SqliteCell::Text(bytes) => std::str::from_utf8(bytes).map_err(|_| Mismatch::Form)?,
        SqliteCell::Null | SqliteCell::Blob(_) => return Err(Mismatch::Class),
    };
    if text.contains('\0') {
        return Err(Mismatch::Form);
    }
    if let Some((micros, exact)) = dotnet(text) {
        reading.loses |= !exact;
        return Ok(in_days(micros));
    }
    match datetime::timestamp(text.as_bytes()).filter(|found| found.east.is_none()) {
        Some(since_1970) => Ok(in_days(since_1970.wall)),
        None if text.contains(|letter: char| letter.is_ascii_alphabetic() || letter == ':') => Ok(text.to_owned()),
        None => Err(Mismatch::Form),
    }
}

/// `[-][d.]hh:mm:ss[.fffffffff]` in microseconds, and whether all digits were kept.
fn dotnet(text: &str) -> Option<(i64, bool)> {
    let size = text.strip_prefix('-').unwrap_or(text);
    let colon = size.find(':')?;
    let (days, clock) = match size.get(..colon)?.find('.') {
        Some(point) => (size.get(..point)?, size.get(point + 1..)?),
        None => ("0", size),
    };
    let days: u32 = days.parse().ok().filter(|_| days.bytes().all(|digit| digit.is_ascii_digit()))?;
    let (whole, fraction) = match clock.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (clock, None),
    };
    if whole.len() != 8 || fraction.is_some_and(|digits| !(1..=9).contains(&digits.len())) {
        return None;
    }
    let nanoseconds: i64 = format!("{:0<9}", fraction.unwrap_or("0")).parse().ok().filter(|number| *number >= 0)?;
    let micros = i64::from(days) * datetime::DAY + datetime::clock(whole.as_bytes())? + nanoseconds / 1000;
    Some((if text.starts_with('-') { -micros } else { micros }, nanoseconds % 1000 == 0))
}

fn in_days(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "+" };
    let (days, rest) = ((micros / datetime::DAY).abs(), (micros % datetime::DAY).abs());
    format!("{sign}{days} day {sign}{}", of_day(rest))
}
