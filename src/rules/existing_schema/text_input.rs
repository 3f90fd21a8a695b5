//! Writes values as text for types that PostgreSQL's own input functions read. Where the form can be checked exactly,
//! the text is the canonical one; everything else is for PostgreSQL to judge.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
};

use serde_json::{Map, Value as Json};

use super::{Altered, CellScan, Mismatch, Note, number::Number, scalar, time};
use crate::{
    model::{
        cell::SqliteCell,
        conversion_plan::TimeEncoding,
        pg_column_type::{InputSyntax, TextForm},
    },
    rules::datetime::{self, DAY_MICROSECONDS},
};

/// The most bytes of a value of the type `name`.
const NAME_BYTES_MOST: usize = 63;

/// The text of a cell that is not NULL.
pub(super) fn read<'a>(
    syntax: InputSyntax,
    cell: SqliteCell<'a>,
    scan: &mut CellScan<'_>,
) -> Result<Cow<'a, str>, Mismatch> {
    match syntax {
        InputSyntax::Inet => address(text_of(cell)?, false).map(Cow::Owned),
        InputSyntax::Cidr => address(text_of(cell)?, true).map(Cow::Owned),
        InputSyntax::MacAddr => hardware_address(text_of(cell)?, 6).map(Cow::Owned),
        InputSyntax::MacAddr8 => hardware_address(text_of(cell)?, 8).map(Cow::Owned),
        InputSyntax::Interval => interval(cell, scan),
        InputSyntax::TimeTz { digits } => time::zoned_time(text_of(cell)?.as_bytes(), digits, scan).map(Cow::Owned),
        InputSyntax::Bit { length, varying } => bits(cell, length, varying).map(Cow::Owned),
        InputSyntax::Money => money(cell, scan).map(Cow::Owned),
        InputSyntax::Hstore => hstore(text_of(cell)?),
        InputSyntax::Name => {
            let name = scalar::text(cell, TextForm::Text, None, scan)?;
            let mut end = name.len().min(NAME_BYTES_MOST);
            while !name.is_char_boundary(end) {
                end -= 1;
            }
            if end < name.len() {
                scan.alter(Altered::LengthCut);
            }
            Ok(name.get(..end).map(|kept| Cow::Owned(kept.to_owned())).unwrap_or_default())
        }
        InputSyntax::HalfVec(dimensions) => half_vector(cell, dimensions, scan).map(Cow::Owned),
        InputSyntax::Box | InputSyntax::Unknown => scalar::text(cell, TextForm::Text, None, scan),
    }
}

fn text_of(cell: SqliteCell<'_>) -> Result<&str, Mismatch> {
    match cell {
        SqliteCell::Text(bytes) => scalar::utf8(bytes),
        _ => Err(Mismatch::Class),
    }
}

/// `192.168.0.1`, `2001:db8::1`, both also with the length of the network's part. In a `cidr` no bit may be set behind
/// it.
fn address(text: &str, is_network: bool) -> Result<String, Mismatch> {
    let (host, length) = match text.split_once('/') {
        Some((host, length)) => (host, Some(length)),
        None => (text, None),
    };
    let host: IpAddr = host.parse().map_err(|_| Mismatch::Form)?;
    let (bits, most) = match host {
        IpAddr::V4(host) => (u128::from(host.to_bits()) << 96, 32),
        IpAddr::V6(host) => (host.to_bits(), Ipv6Addr::BITS),
    };
    let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = match length {
        None => most,
        Some(text) if is_plain(text) => text.parse().map_err(|_| Mismatch::Form)?,
        Some(_) => return Err(Mismatch::Form),
    };
    if length > most || (is_network && bits.checked_shl(length).is_some_and(|rest| rest != 0)) {
        return Err(Mismatch::Form);
    }
    Ok(if length == most && !is_network { host.to_string() } else { format!("{host}/{length}") })
}

/// Pairs of hexadecimal digits, without separators or with one kind of them in the groups that PostgreSQL takes.
fn hardware_address(text: &str, bytes: usize) -> Result<String, Mismatch> {
    let separators: Vec<char> = text.chars().filter(|letter| matches!(letter, ':' | '-' | '.')).collect();
    let is_one_kind = separators.windows(2).all(|pair| matches!(pair, [one, other] if one == other));
    let groups: Vec<&str> = text.split([':', '-', '.']).collect();
    let width = groups.first().map_or(0, |group| group.len());
    let is_even = matches!(width, 2 | 4 | 6 | 8 | 12 | 16) && groups.iter().all(|group| group.len() == width);
    let digits = groups.concat();
    if !is_one_kind || !is_even || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Mismatch::Form);
    }
    let pairs: Vec<String> = digits
        .to_ascii_lowercase()
        .as_bytes()
        .chunks(2)
        .map(|pair| String::from_utf8_lossy(pair).into_owned())
        .collect();
    match (pairs.as_slice(), bytes) {
        ([head @ .., four, five, six], 8) if head.len() == 3 => {
            Ok(format!("{}:ff:fe:{four}:{five}:{six}", head.join(":")))
        }
        (pairs, bytes) if pairs.len() == bytes => Ok(pairs.join(":")),
        _ => Err(Mismatch::Form),
    }
}

/// A number counts microseconds, as Django stores it, unless the configuration names another unit. Texts are .NET's
/// `[-][d.]hh:mm:ss[.f]`, the time since 1970-01-01 that `SQLAlchemy` stores, or what PostgreSQL reads by itself.
fn interval<'a>(cell: SqliteCell<'a>, scan: &mut CellScan<'_>) -> Result<Cow<'a, str>, Mismatch> {
    let text = match cell {
        SqliteCell::Integer(_) => {
            if scan.reading.count.is_none() {
                scan.note(Note::Microseconds);
            }
            let by = scan.reading.count.unwrap_or(TimeEncoding::UnixUs);
            return time::counted(cell, Some(by), scan).map(|micros| Cow::Owned(span_text(micros)));
        }
        SqliteCell::Real(_) => {
            return time::counted(cell, scan.reading.count, scan).map(|micros| Cow::Owned(span_text(micros)));
        }
        SqliteCell::Text(bytes) => scalar::utf8(bytes)?,
        SqliteCell::Null | SqliteCell::Blob(_) => return Err(Mismatch::Class),
    };
    if let Some(micros) = dotnet_span(text, scan) {
        return Ok(Cow::Owned(span_text(micros)));
    }
    if let Some(stamp) = datetime::parse_stamp(text.as_bytes()).filter(|stamp| stamp.offset_minutes.is_none()) {
        return Ok(Cow::Owned(span_text(stamp.wall_microseconds())));
    }
    // PostgreSQL takes a bare number as seconds, which nothing says.
    let says_unit = text.bytes().any(|byte| byte.is_ascii_alphabetic() || byte == b':');
    if says_unit { Ok(Cow::Borrowed(text)) } else { Err(Mismatch::Form) }
}

/// `[-][d.]hh:mm:ss[.fffffff]`.
fn dotnet_span(text: &str, scan: &mut CellScan<'_>) -> Option<i64> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (days, clock) = match rest.split_once('.') {
        Some((days, clock)) if !days.contains(':') => (days.parse::<i64>().ok().filter(|days| *days >= 0)?, clock),
        _ => (0, rest),
    };
    let (whole, fraction) = clock.split_at_checked(8)?;
    let digits = fraction.strip_prefix('.').unwrap_or(fraction);
    if digits.len() > 9
        || (digits.is_empty() != fraction.is_empty())
        || digits.len() == fraction.len() && !digits.is_empty()
    {
        return None;
    }
    let seconds = datetime::parse_clock(whole.as_bytes())?;
    let nanoseconds: i64 = format!("{digits:0<9}").parse().ok()?;
    if nanoseconds % 1000 != 0 {
        scan.alter(Altered::FractionCut);
    }
    let micros = days.checked_mul(DAY_MICROSECONDS)?.checked_add(seconds + nanoseconds / 1000)?;
    Some(if negative { -micros } else { micros })
}

/// Days and a clock, both with the sign.
fn span_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let size = micros.unsigned_abs();
    let day = DAY_MICROSECONDS.unsigned_abs();
    let clock = time::clock_text(i64::try_from(size % day).unwrap_or(0));
    format!("{sign}{} days {sign}{clock}", size / day)
}

/// Zeros and ones. A type of one bit takes the integers 0 and 1 too.
fn bits(cell: SqliteCell<'_>, length: Option<u32>, varying: bool) -> Result<String, Mismatch> {
    let text = match cell {
        SqliteCell::Integer(bit @ (0 | 1)) if length == Some(1) => bit.to_string(),
        SqliteCell::Text(bytes) => scalar::utf8(bytes)?.to_owned(),
        _ => return Err(Mismatch::Class),
    };
    if !text.bytes().all(|bit| matches!(bit, b'0' | b'1')) {
        return Err(Mismatch::Form);
    }
    let found = u32::try_from(text.len()).map_err(|_| Mismatch::Length)?;
    let fits = length.is_none_or(|length| if varying { found <= length } else { found == length });
    if fits { Ok(text) } else { Err(Mismatch::Length) }
}

/// A number of cents. Which currency, and how many digits it has, is the server's setting.
fn money(cell: SqliteCell<'_>, scan: &mut CellScan<'_>) -> Result<String, Mismatch> {
    let number = scalar::number(cell, scan)?;
    scan.note(Note::Money);
    let rounded = scalar::scaled(number, 2, scan);
    Ok(rounded.text())
}

/// A flat JSON object, or hstore's own text.
fn hstore(text: &str) -> Result<Cow<'_, str>, Mismatch> {
    if !text.trim_start().starts_with('{') {
        return Ok(Cow::Borrowed(text));
    }
    let object: Map<String, Json> = serde_json::from_str(text).map_err(|_| Mismatch::Form)?;
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let pair = |(key, value): (&String, &Json)| {
        let value = match value {
            Json::Null => "NULL".to_owned(),
            Json::String(text) => quoted(text),
            Json::Bool(_) | Json::Number(_) => quoted(&value.to_string()),
            Json::Array(_) | Json::Object(_) => return Err(Mismatch::Form),
        };
        Ok(format!("{}=>{value}", quoted(key)))
    };
    let pairs = object.iter().map(pair).collect::<Result<Vec<_>, _>>()?.join(", ");
    if pairs.contains('\0') { Err(Mismatch::Text) } else { Ok(Cow::Owned(pairs)) }
}

/// A vector of 4-byte floats, whose elements are rounded to 2 bytes.
fn half_vector(cell: SqliteCell<'_>, dimensions: Option<u32>, scan: &mut CellScan<'_>) -> Result<String, Mismatch> {
    let values = scalar::vector(cell, dimensions, scan)?;
    if values.iter().any(|value| value.abs() > 65_504.0) {
        return Err(Mismatch::Range);
    }
    // 10 bits behind the point from 2^-14 on, and steps of 2^-24 below.
    let is_exact = |value: &f32| {
        let tiny = value.abs() < 6.103_515_6e-5;
        if tiny { (value * 16_777_216.0).fract() == 0.0 } else { value.to_bits().trailing_zeros() >= 13 }
    };
    if !values.iter().all(is_exact) {
        scan.alter(Altered::Rounded);
    }
    let shown: Vec<String> = values.iter().map(f32::to_string).collect();
    Ok(format!("[{}]", shown.join(",")))
}

impl Number {
    /// Plain digits.
    fn text(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        if self.fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{}", self.fraction) }
    }
}
