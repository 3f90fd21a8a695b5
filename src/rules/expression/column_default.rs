//! Translates DEFAULT: the value that SQLite would store, as a value of the column's PostgreSQL type
//! (docs/conversion-rules.md, section 5.1).

use sqlite3_parser::ast::{Expr, Literal, Operator};

use super::{
    Untranslatable,
    datetime_functions::{CurrentTimeText, epoch_text},
    literal::{Value, hexadecimal, stored},
    name_resolution::NameScope,
    random::{RandomText, random_text},
    refuse,
    translate::translate,
    typed_expr::{ExprType, TypedExpr, blob_literal, real_literal},
};
use crate::{
    model::{
        ColumnPlan, Conversion, PgType,
        conversion_plan::{BlobText, EpochUnit},
        identifier::quote_literal,
        source_schema::Affinity,
    },
    rules::{
        datetime::{parse_clock, parse_date, parse_stamp},
        decimal::{Decimal, real_text},
    },
};

/// The DEFAULT in the column's type; `None` for NULL.
pub(super) fn default_of(
    expression: &Expr<'_>,
    column: &ColumnPlan,
    affinity: Affinity,
) -> Result<Option<String>, Untranslatable> {
    if let Some(text) = random_text(expression) {
        return random_default(text, column).map(Some);
    }
    let operand = translate(&NameScope::of_default(), expression)?;
    operand.uncollated()?;
    match &operand.constant {
        Some(value) => literal(stored(value.clone(), affinity), column),
        // Whole milliseconds but for the rounding of doubles; SQLite stores them as INTEGER where it finds them whole.
        None if is_scaled(expression) && column.pg_type == PgType::BigInt && affinity != Affinity::Text => {
            match operand.kind {
                ExprType::Real(_) | ExprType::Double(_) => Ok(Some(format!("round({})::bigint", operand.sql()))),
                _ => computed(&operand, column, affinity).map(Some),
            }
        }
        None => computed(&operand, column, affinity).map(Some),
    }
}

/// Whether it is something times a thousand or more: seconds or days as milliseconds.
fn is_scaled(expression: &Expr<'_>) -> bool {
    let is_large = |side: &Expr<'_>| match side {
        Expr::Literal(Literal::Numeric(token)) => token.parse::<f64>().is_ok_and(|number| number >= 1000.0),
        _ => false,
    };
    match expression {
        Expr::Parenthesized(inner) => matches!(inner.as_slice(), [one] if is_scaled(one)),
        Expr::Binary(left, Operator::Multiply, right) => is_large(left) || is_large(right),
        _ => false,
    }
}

fn unfit(column: &ColumnPlan) -> Untranslatable {
    refuse(format!("its value is none of the column's type {}", column.pg_type))
}

fn random_default(text: RandomText, column: &ColumnPlan) -> Result<String, Untranslatable> {
    match (column.conversion, &column.pg_type) {
        (Conversion::Text { .. }, PgType::Text) => Ok(text.sql()),
        (Conversion::Text { .. }, PgType::Varchar(length)) if fits_length(text.length(), *length) => Ok(text.sql()),
        (Conversion::UuidText, PgType::Uuid)
            if matches!(text, RandomText::Uuid { .. } | RandomText::Digits { count: 32, .. }) =>
        {
            Ok("gen_random_uuid()".to_owned())
        }
        _ => Err(unfit(column)),
    }
}

fn fits_length(characters: usize, length: u32) -> bool {
    usize::try_from(length).is_ok_and(|length| characters <= length)
}

/// A value known now.
pub(super) fn literal(value: Value, column: &ColumnPlan) -> Result<Option<String>, Untranslatable> {
    let wrong = || unfit(column);
    let sql = match (column.conversion, value) {
        (_, Value::Null) => return Ok(None),
        (Conversion::Integer, Value::Integer(number)) => integer(number, &column.pg_type).ok_or_else(wrong)?,
        (Conversion::IntegerBoolean, Value::Integer(number @ (0 | 1))) => (number == 1).to_string(),
        (Conversion::IntegerBoolean | Conversion::WordBoolean, Value::Text(word)) => {
            boolean_word(&word).ok_or_else(wrong)?.to_owned()
        }
        (Conversion::Double, Value::Integer(number)) if number.unsigned_abs() <= 1 << 53 => number.to_string(),
        (Conversion::Double, Value::Real(number)) => double(number),
        (Conversion::Numeric, Value::Integer(number)) => {
            decimal(Decimal::from_integer(number), &column.pg_type).map(|()| number.to_string()).ok_or_else(wrong)?
        }
        (Conversion::Numeric, Value::Real(number)) => match Decimal::from_real(number) {
            Some(found) => decimal(found, &column.pg_type).map(|()| number.to_string()).ok_or_else(wrong)?,
            None if column.pg_type == PgType::Numeric(None) && number > 0.0 => "'Infinity'::numeric".to_owned(),
            None => return Err(wrong()),
        },
        (Conversion::Text { blobs }, value) => text(value, blobs, &column.pg_type).ok_or_else(wrong)?,
        (Conversion::Bytea, value) => blob_literal(&bytes(value)),
        (Conversion::Date | Conversion::Time | Conversion::Timestamp | Conversion::TimestampTz, Value::Text(text)) => {
            dated(&text, column.conversion).map(|()| typed(&text, &column.pg_type)).ok_or_else(wrong)?
        }
        (Conversion::Epoch { unit }, Value::Integer(number)) => {
            epoch(number, unit, &column.pg_type).ok_or_else(wrong)?
        }
        (Conversion::UuidText, Value::Text(text)) if canonical_uuid(&text) => typed(&text, &PgType::Uuid),
        (Conversion::UuidBlob, Value::Blob(bytes)) if bytes.len() == 16 => typed(&hexadecimal(&bytes), &PgType::Uuid),
        (Conversion::Json, Value::Text(text)) if storable_json(&text) => typed(&text, &column.pg_type),
        (Conversion::Json, Value::Integer(number)) => typed(&number.to_string(), &column.pg_type),
        _ => return Err(wrong()),
    };
    Ok(Some(sql))
}

fn typed(text: &str, pg_type: &PgType) -> String {
    format!("{}::{pg_type}", quote_literal(text))
}

fn integer(number: i64, pg_type: &PgType) -> Option<String> {
    let fits = match pg_type {
        PgType::SmallInt => i16::try_from(number).is_ok(),
        PgType::Integer => i32::try_from(number).is_ok(),
        _ => true,
    };
    let sql = if number == i64::MIN { format!("'{number}'::bigint") } else { number.to_string() };
    fits.then_some(sql)
}

fn boolean_word(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "t" | "true" => Some("true"),
        "f" | "false" => Some("false"),
        _ => None,
    }
}

fn double(number: f64) -> String {
    let plain = number.to_string();
    if number.is_finite() && plain.len() <= 20 { plain } else { real_literal(number) }
}

fn decimal(number: Decimal, pg_type: &PgType) -> Option<()> {
    match pg_type {
        PgType::Numeric(Some((precision, scale))) => {
            (number.scale() <= *scale && number.whole_digits() <= precision - scale).then_some(())
        }
        _ => Some(()),
    }
}

fn text(value: Value, blobs: BlobText, pg_type: &PgType) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => real_text(number),
        Value::Text(text) => text,
        Value::Blob(bytes) => match (blobs, String::from_utf8(bytes)) {
            (BlobText::Utf8OrHex, Ok(text)) if !text.starts_with("\\x") => text,
            _ => return None,
        },
    };
    let fits = match pg_type {
        PgType::Varchar(length) => fits_length(text.chars().count(), *length),
        _ => true,
    };
    (fits && !text.contains('\0')).then(|| quote_literal(&text))
}

fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::Null => Vec::new(),
        Value::Integer(number) => number.to_string().into_bytes(),
        Value::Real(number) => real_text(number).into_bytes(),
        Value::Text(text) => text.into_bytes(),
        Value::Blob(bytes) => bytes,
    }
}

/// Whether the text is what the conversion reads.
fn dated(text: &str, conversion: Conversion) -> Option<()> {
    let fits = match conversion {
        Conversion::Date => parse_date(text.as_bytes()).is_some(),
        Conversion::Time => parse_clock(text.as_bytes()).is_some(),
        Conversion::Timestamp => parse_stamp(text.as_bytes())?.offset_minutes.is_none(),
        // Without an offset the session's zone would be taken.
        _ => parse_stamp(text.as_bytes())?.offset_minutes.is_some(),
    };
    fits.then_some(())
}

fn epoch(number: i64, unit: EpochUnit, pg_type: &PgType) -> Option<String> {
    let text = epoch_text(number, unit)?;
    match pg_type {
        PgType::TimestampTz => Some(format!("'{text}+00'::timestamptz")),
        PgType::Timestamp => Some(format!("'{text}'::timestamp")),
        _ => None,
    }
}

fn canonical_uuid(text: &str) -> bool {
    let fits = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

/// Valid JSON that `jsonb` takes: without U+0000 and lone surrogates, which `serde_json` refuses too.
fn storable_json(text: &str) -> bool {
    serde_json::from_str::<serde_json::Value>(text).is_ok() && !text.contains("\\u0000")
}

/// A value that is computed for each row.
pub(super) fn computed(operand: &TypedExpr, column: &ColumnPlan, affinity: Affinity) -> Result<String, Untranslatable> {
    let numeric = matches!(affinity, Affinity::Integer | Affinity::Real | Affinity::Numeric);
    match (operand.kind, &operand.current_time) {
        (ExprType::Text, Some(current_time)) if numeric && current_time.is_digits() => {
            computed(&super::builtins::to_integer(operand.clone())?, column, affinity)
        }
        (ExprType::Text, Some(current_time)) => current_time_default(operand, current_time, column),
        (ExprType::Text, None) => match (column.conversion, &column.pg_type) {
            (Conversion::Text { .. }, PgType::Text) if !numeric => Ok(operand.sql().to_owned()),
            _ => Err(unfit(column)),
        },
        (ExprType::Int(range), _) => match (column.conversion, &column.pg_type) {
            (Conversion::Integer, PgType::BigInt) | (Conversion::Numeric, PgType::Numeric(None)) => {
                Ok(operand.sql().to_owned())
            }
            (Conversion::Double, _) => operand.double(),
            (Conversion::Text { .. }, PgType::Text) => operand.text(),
            (Conversion::Epoch { unit }, PgType::TimestampTz) if range.least >= 0 => {
                let divisor = 1_000_000 / unit.microseconds();
                Ok(match divisor {
                    1 => format!("to_timestamp({})", operand.sql()),
                    _ => format!("to_timestamp({} / {divisor}.0)", operand.arg()),
                })
            }
            _ => Err(unfit(column)),
        },
        (ExprType::Real(_), _) if column.conversion == Conversion::Double => Ok(operand.sql().to_owned()),
        (ExprType::Bool, _) => match column.conversion {
            Conversion::IntegerBoolean => Ok(operand.sql().to_owned()),
            Conversion::Integer => operand.integer(),
            _ => Err(unfit(column)),
        },
        (ExprType::Blob, _) if column.conversion == Conversion::Bytea => Ok(operand.sql().to_owned()),
        _ => Err(unfit(column)),
    }
}

/// A text that shows the current time, in a column whose type may be one of time.
fn current_time_default(
    operand: &TypedExpr,
    current_time: &CurrentTimeText,
    column: &ColumnPlan,
) -> Result<String, Untranslatable> {
    let sample = current_time.sample.as_bytes();
    let stamp = parse_stamp(sample);
    let at = &current_time.at;
    match (column.conversion, &column.pg_type, stamp) {
        (Conversion::Text { .. }, PgType::Text, _) => Ok(operand.sql().to_owned()),
        (Conversion::Text { .. }, PgType::Varchar(length), _) if fits_length(sample.len(), *length) => {
            Ok(operand.sql().to_owned())
        }
        (Conversion::Date, PgType::Date, Some(stamp)) if stamp.time.is_none() => Ok(format!("{at}::date")),
        (Conversion::Time, PgType::Time, _) if parse_clock(sample).is_some() => {
            Ok(format!("date_trunc('{}', {at})::time", precision(sample)))
        }
        (Conversion::Timestamp, PgType::Timestamp, Some(stamp)) if stamp.offset_minutes.is_none() => {
            Ok(if stamp.time.is_some() { at.clone() } else { format!("date_trunc('day', {at})") })
        }
        // Without values it is unknown whether the column's times have zones; its own are UTC.
        (Conversion::Timestamp, PgType::Timestamp, Some(stamp))
            if stamp.offset_minutes == Some(0) && column.evidence.values() == 0 =>
        {
            Ok(at.clone())
        }
        // Where the other values are numbers it is the same time nevertheless.
        (Conversion::TimestampTz | Conversion::Epoch { .. }, PgType::TimestampTz, Some(stamp)) => {
            Ok(match stamp.time {
                Some(_) if current_time.present => "now()".to_owned(),
                Some(_) => format!("({at} AT TIME ZONE 'UTC')"),
                None => format!("(date_trunc('day', {at}) AT TIME ZONE 'UTC')"),
            })
        }
        _ => Err(unfit(column)),
    }
}

fn precision(sample: &[u8]) -> &'static str {
    if sample.contains(&b'.') { "milliseconds" } else { "second" }
}
