//! Evaluates literals as SQLite does, and what a column's affinity does to them (SQLite "Expressions", section 3;
//! "Datatypes", sections 3 and 4.2).

use super::parse::{Quoting, unquote};
use crate::{model::source_schema::Affinity, rules::decimal};

/// A value that is known when the plan is made. From the schema's text, never from rows.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::rules) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// A numeric token: decimal, hexadecimal (wrapping to 64 bits), with `_` between digits. Integers beyond 64 bits are
/// REAL.
pub(in crate::rules) fn number(token: &str) -> Option<Value> {
    let plain: String = token.chars().filter(|digit| *digit != '_').collect();
    if let Some(digits) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        let value = u64::from_str_radix(digits, 16).ok()?;
        return Some(Value::Integer(i64::from_ne_bytes(value.to_ne_bytes())));
    }
    numeric_text(&plain)
}

/// The text of a string token.
pub(in crate::rules) fn string(token: &str) -> Option<String> {
    match unquote(token) {
        (text, Quoting::Single) => Some(text),
        (_, Quoting::Bare | Quoting::Double | Quoting::Other) => None,
    }
}

/// The bytes of a blob token without its `x''`.
pub(in crate::rules) fn blob(digits: &str) -> Option<Vec<u8>> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits
        .as_bytes()
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
            _ => None,
        })
        .collect()
}

/// Two lower-case digits for each byte.
pub(in crate::rules) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The number that text stands for under NUMERIC affinity: an optional sign, digits, point, exponent, with white space
/// around. `None` for text that SQLite keeps as text.
pub(in crate::rules) fn numeric_text(text: &str) -> Option<Value> {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let unsigned = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fine = exponent.is_none_or(|digits| {
        let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
        !digits.is_empty() && all_digits(digits)
    });
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) || !exponent_fine {
        return None;
    }
    if exponent.is_none()
        && !mantissa.contains('.')
        && let Ok(value) = trimmed.parse()
    {
        return Some(Value::Integer(value));
    }
    trimmed.parse().ok().map(Value::Real)
}

/// What is stored when this value is put into a column of this affinity.
pub(in crate::rules) fn stored(value: Value, affinity: Affinity) -> Value {
    match (affinity, value) {
        (Affinity::Text, Value::Integer(value)) => Value::Text(value.to_string()),
        (Affinity::Text, Value::Real(value)) => Value::Text(real_as_text(value)),
        (Affinity::Integer | Affinity::Numeric, Value::Text(text)) => match numeric_text(&text) {
            Some(number) => integral(number),
            None => Value::Text(text),
        },
        (Affinity::Integer | Affinity::Numeric, value @ Value::Real(_)) => integral(value),
        (Affinity::Real, Value::Text(text)) => match numeric_text(&text) {
            Some(number) => real(number),
            None => Value::Text(text),
        },
        (Affinity::Real, value @ Value::Integer(_)) => real(value),
        (_, value) => value,
    }
}

/// The text that SQLite makes of a REAL: at most 15 significant digits.
pub(in crate::rules) fn real_as_text(value: f64) -> String {
    let rounded = format!("{value:.14e}").parse().unwrap_or(value);
    decimal::real_text(if value.is_finite() { rounded } else { value })
}

/// A REAL without fraction, strictly within 64 bits, becomes an INTEGER.
fn integral(value: Value) -> Value {
    match value {
        // 2^63 is exact in a double, so that this also keeps the two bounds REAL as SQLite does.
        Value::Real(number) if number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0 => {
            format!("{number:.0}").parse().map_or(value, Value::Integer)
        }
        other => other,
    }
}

fn real(value: Value) -> Value {
    match value {
        Value::Integer(number) => number.to_string().parse().map_or(value, Value::Real),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_sqlite_reads_them() {
        for (token, expected) in [
            ("5", Value::Integer(5)),
            ("0x1F", Value::Integer(31)),
            ("0xFFFFFFFFFFFFFFFF", Value::Integer(-1)),
            ("1_000", Value::Integer(1000)),
            ("9223372036854775807", Value::Integer(i64::MAX)),
            ("9223372036854775808", Value::Real(9_223_372_036_854_775_808.0)),
            (".5", Value::Real(0.5)),
            ("5.", Value::Real(5.0)),
            ("1e3", Value::Real(1000.0)),
        ] {
            assert_eq!(number(token), Some(expected), "{token}");
        }
        for text in ["", " ", ".", "e5", "1e", "0x10x", "inf", "nan", "1 2", "--1", "12abc"] {
            assert_eq!(numeric_text(text), None, "{text}");
        }
        assert_eq!(numeric_text(" -12 "), Some(Value::Integer(-12)));
    }

    #[test]
    fn affinity_decides_what_is_stored() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (value, affinity, expected) in [
            (Value::Integer(5), Affinity::Text, text("5")),
            (Value::Real(1.0), Affinity::Text, text("1.0")),
            (text("7"), Affinity::Integer, Value::Integer(7)),
            (text("7.0"), Affinity::Numeric, Value::Integer(7)),
            (text("7.5"), Affinity::Integer, Value::Real(7.5)),
            (text(""), Affinity::Integer, text("")),
            (Value::Real(3.0), Affinity::Integer, Value::Integer(3)),
            (Value::Integer(3), Affinity::Real, Value::Real(3.0)),
            (text("1e5"), Affinity::Real, Value::Real(100_000.0)),
            (text("5"), Affinity::Blob, text("5")),
            (Value::Real(9_223_372_036_854_775_808.0), Affinity::Integer, Value::Real(9_223_372_036_854_775_808.0)),
        ] {
            assert_eq!(stored(value, affinity), expected);
        }
    }

    #[test]
    fn blobs_are_pairs_of_digits() {
        assert_eq!(blob("00fF"), Some(vec![0, 255]));
        assert_eq!(blob("0"), None);
        assert_eq!(blob(""), Some(Vec::new()));
    }
}
