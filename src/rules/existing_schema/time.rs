//! Reads dates and times for a column of a given type. Digits that the type has no room for are cut, not rounded.

use std::borrow::Cow;

use super::{Altered, CellScan, Mismatch, Note, zone};
use crate::{
    model::{cell::SqliteCell, conversion_plan::TimeEncoding},
    rules::{
        datetime::{self, DAY_MICROSECONDS, Stamp},
        decimal::Decimal,
    },
};

/// PostgreSQL's first point in time, 4713 BC, in microseconds from 1970.
const TIMESTAMP_FIRST: i64 = -210_866_803_200_000_000;

/// Microseconds from 1970-01-01 to 2001-01-01.
const TO_2001: i64 = 978_307_200_000_000;

/// The day of a time that some libraries store with a day.
const TIME_DAYS: [i64; 2] = [0, 10_957];

/// What a cell says.
enum Moment {
    /// A date with or without a time.
    Written(Stamp),
    /// Microseconds from 1970-01-01 UTC.
    Counted(i64),
}

fn moment(cell: SqliteCell<'_>, scan: &mut CellScan<'_>) -> Result<Moment, Mismatch> {
    let count = scan.reading.count;
    let counted = match cell {
        SqliteCell::Text(text) => match number_of(text).filter(|_| count.is_some()) {
            Some(number) => counted(number, count, scan)?,
            None => return stamp(text, scan).map(Moment::Written),
        },
        SqliteCell::Integer(_) | SqliteCell::Real(_) => counted(cell, count, scan)?,
        SqliteCell::Null | SqliteCell::Blob(_) => return Err(Mismatch::Class),
    };
    if counted >= TIMESTAMP_FIRST { Ok(Moment::Counted(counted)) } else { Err(Mismatch::Range) }
}

/// A plain number in a text.
fn number_of(text: &[u8]) -> Option<SqliteCell<'static>> {
    let text = str::from_utf8(text).ok()?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    if !is_plain {
        return None;
    }
    let integer = text.parse().map(SqliteCell::Integer);
    integer.ok().or_else(|| text.parse().ok().map(SqliteCell::Real))
}

/// The microseconds that a number counts.
pub(super) fn counted(
    cell: SqliteCell<'_>,
    by: Option<TimeEncoding>,
    scan: &mut CellScan<'_>,
) -> Result<i64, Mismatch> {
    // In powers of ten of a microsecond.
    let (unit, zero) = match by.ok_or(Mismatch::Unit)? {
        TimeEncoding::UnixS => (6, 0),
        TimeEncoding::UnixMs => (3, 0),
        TimeEncoding::UnixUs => (0, 0),
        TimeEncoding::UnixNs => (-3, 0),
        TimeEncoding::CoreData => (6, TO_2001),
        by @ TimeEncoding::Julian => return datetime::decode_time(by, cell).ok_or(Mismatch::Range),
    };
    let number = match cell {
        SqliteCell::Integer(value) => Decimal::from_integer(value),
        SqliteCell::Real(value) => Decimal::from_real(value).ok_or(Mismatch::Range)?,
        SqliteCell::Null | SqliteCell::Text(_) | SqliteCell::Blob(_) => return Err(Mismatch::Class),
    };
    let mantissa = i128::from(number.mantissa) * if number.negative { -1 } else { 1 };
    let power = if mantissa == 0 { 0 } else { number.exponent + unit };
    let scale = |power: u32| 10_i128.checked_pow(power);
    let size = match u32::try_from(power) {
        Ok(power) => scale(power).and_then(|scale| mantissa.checked_mul(scale)).ok_or(Mismatch::Range)?,
        Err(_) => {
            let divisor = scale(power.unsigned_abs());
            if divisor.is_none_or(|divisor| mantissa.rem_euclid(divisor) != 0) {
                scan.alter(Altered::FractionCut);
            }
            divisor.map_or(0, |divisor| mantissa.div_euclid(divisor))
        }
    };
    i64::try_from(size).ok().and_then(|size| size.checked_add(zero)).ok_or(Mismatch::Range)
}

/// A date with or without a time, as [`datetime::parse_stamp`] reads it, with more digits of a second, offsets of hours only and
/// what Go writes behind the offset.
fn stamp(text: &[u8], scan: &mut CellScan<'_>) -> Result<Stamp, Mismatch> {
    let text = without_abbreviation(text);
    let shown = shortened(text, scan);
    datetime::parse_stamp(&with_minutes(&shown)).ok_or(Mismatch::Form)
}

/// The text with `:00` behind an offset of hours only (`+02`), as PostgreSQL prints it.
fn with_minutes(text: &[u8]) -> Cow<'_, [u8]> {
    match text {
        [clock @ .., b'+' | b'-', tens, ones]
            if clock.contains(&b':') && tens.is_ascii_digit() && ones.is_ascii_digit() =>
        {
            Cow::Owned([text, b":00"].concat())
        }
        _ => Cow::Borrowed(text),
    }
}

/// Go's `time.String()` repeats the zone's abbreviation behind the offset, and may add its monotonic clock.
fn without_abbreviation(text: &[u8]) -> &[u8] {
    let clock = text.windows(3).position(|part| part == b" m=").and_then(|at| text.get(..at));
    let text = clock.unwrap_or(text);
    let letters = text.iter().rev().take_while(|byte| byte.is_ascii_uppercase()).count();
    let rest = text.get(..text.len().saturating_sub(letters)).unwrap_or_default();
    match rest.strip_suffix(b" ") {
        Some(offset @ [.., sign, _, _, _, _]) if (2..=5).contains(&letters) && matches!(sign, b'+' | b'-') => offset,
        _ => text,
    }
}

/// The text with at most six digits of a second.
fn shortened<'a>(text: &'a [u8], scan: &mut CellScan<'_>) -> Cow<'a, [u8]> {
    let Some(point) = text.iter().position(|byte| *byte == b'.') else { return Cow::Borrowed(text) };
    let (head, fraction) = text.split_at(point + 1);
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (Some(kept), Some(cut)) = (fraction.get(..digits.min(6)), fraction.get(digits.min(6)..digits)) else {
        return Cow::Borrowed(text);
    };
    if cut.iter().all(|digit| *digit == b'0') {
        return Cow::Borrowed(text);
    }
    scan.alter(Altered::FractionCut);
    Cow::Owned([head, kept, fraction.get(digits..).unwrap_or_default()].concat())
}

/// `date`: days from 1970-01-01. The day is the one that is written, whatever the offset behind it.
pub(super) fn date(cell: SqliteCell<'_>, scan: &mut CellScan<'_>) -> Result<i64, Mismatch> {
    match moment(cell, scan)? {
        Moment::Written(stamp) => {
            if stamp.time.is_some_and(|time| time != 0) {
                scan.alter(Altered::TimeCut);
            }
            if stamp.offset_minutes.is_some_and(|offset| offset != 0) {
                scan.alter(Altered::Shifted);
            }
            Ok(stamp.days)
        }
        Moment::Counted(micros) => {
            if micros.rem_euclid(DAY_MICROSECONDS) != 0 {
                scan.alter(Altered::TimeCut);
            }
            Ok(micros.div_euclid(DAY_MICROSECONDS))
        }
    }
}

/// `time`: microseconds from midnight.
pub(super) fn time(cell: SqliteCell<'_>, digits: u8, scan: &mut CellScan<'_>) -> Result<i64, Mismatch> {
    let SqliteCell::Text(text) = cell else { return Err(Mismatch::Class) };
    let shown = shortened(text, scan);
    let clock = match datetime::parse_clock(&shown) {
        Some(clock) => clock,
        None => {
            let stamp = datetime::parse_stamp(&with_minutes(&shown)).ok_or(Mismatch::Form)?;
            if stamp.offset_minutes.is_some_and(|offset| offset != 0) || !TIME_DAYS.contains(&stamp.days) {
                return Err(Mismatch::Form);
            }
            stamp.time.ok_or(Mismatch::Form)?
        }
    };
    Ok(precise(clock, digits, scan))
}

/// `time with time zone`, as text.
pub(super) fn zoned_time(text: &[u8], digits: u8, scan: &mut CellScan<'_>) -> Result<String, Mismatch> {
    let shown = shortened(text, scan);
    let shown = with_minutes(&shown);
    let zone_at = shown.iter().position(|byte| matches!(byte, b'Z' | b'+' | b'-' | b' ')).unwrap_or(shown.len());
    let (clock, zone) = shown.split_at(zone_at);
    let clock = precise(datetime::parse_clock(clock).ok_or(Mismatch::Form)?, digits, scan);
    let east = if zone.is_empty() {
        scan.note(Note::NaiveAsUtc);
        0
    } else {
        // The day only carries the offset.
        let day = [b"2000-01-01 00:00", zone].concat();
        datetime::parse_stamp(&day).and_then(|stamp| stamp.offset_minutes).ok_or(Mismatch::Form)?
    };
    let sign = if east < 0 { '-' } else { '+' };
    let (hours, minutes) = (east.unsigned_abs() / 60, east.unsigned_abs() % 60);
    Ok(format!("{}{sign}{hours:02}:{minutes:02}", clock_text(clock)))
}

/// `HH:MM:SS.ffffff`.
pub(super) fn clock_text(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:06}", seconds % 60, micros % 1_000_000)
}

/// `timestamp`, or `timestamptz` if `zoned`: microseconds from 1970-01-01.
pub(super) fn timestamp(
    cell: SqliteCell<'_>,
    digits: u8,
    zoned: bool,
    scan: &mut CellScan<'_>,
) -> Result<i64, Mismatch> {
    let micros = match moment(cell, scan)? {
        Moment::Counted(micros) => micros,
        Moment::Written(stamp) => match (stamp.offset_minutes, scan.reading.zone) {
            (None, Some(zone)) if zoned => {
                let (micros, once) = zone::to_utc(zone, stamp.wall_microseconds()).ok_or(Mismatch::Range)?;
                if !once {
                    scan.alter(Altered::Ambiguous);
                }
                scan.note(Note::NaiveInZone);
                micros
            }
            (None, _) => {
                if zoned {
                    scan.note(Note::NaiveAsUtc);
                }
                stamp.wall_microseconds()
            }
            (Some(offset), _) => {
                if offset != 0 {
                    scan.alter(Altered::Shifted);
                }
                stamp.utc_microseconds()
            }
        },
    };
    if !zoned {
        scan.note(Note::ZoneNotKept);
    }
    Ok(precise(micros, digits, scan))
}

/// Without the digits of a second that the type has no room for.
fn precise(micros: i64, digits: u8, scan: &mut CellScan<'_>) -> i64 {
    let step = 10_i64.pow(6_u32.saturating_sub(u32::from(digits)));
    let rest = micros.rem_euclid(step);
    if rest != 0 {
        scan.alter(Altered::FractionCut);
    }
    micros - rest
}
