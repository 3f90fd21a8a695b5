//! Brings the results of both sides into one form, so that equal answers have equal bytes.

use tokio_postgres::types::Type;

use crate::model::cell::SqliteCell;

/// How a value of PostgreSQL arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerType {
    Boolean,
    Integer,
    Double,
    /// A `numeric` as its text.
    Decimal,
    Text,
    /// A text from a value that SQLite has as a text too, such as a date.
    AsText,
    Bytes,
}

impl AnswerType {
    /// How values of a type can be compared; none if it is unknown which value of SQLite is the same.
    pub(super) fn of(pg_type: &Type) -> Option<Self> {
        Some(match *pg_type {
            Type::BOOL => Self::Boolean,
            Type::INT2 | Type::INT4 | Type::INT8 => Self::Integer,
            Type::FLOAT8 => Self::Double,
            Type::NUMERIC => Self::Decimal,
            Type::TEXT | Type::VARCHAR => Self::Text,
            Type::DATE => Self::AsText,
            Type::BYTEA => Self::Bytes,
            _ => return None,
        })
    }

    /// The SQL that makes it arrive so.
    pub(super) fn sql(self, expression: &str) -> String {
        match self {
            Self::Decimal | Self::AsText => format!("({expression})::text"),
            Self::Boolean | Self::Integer | Self::Double | Self::Text | Self::Bytes => format!("({expression})"),
        }
    }

    /// Writes PostgreSQL's answer.
    pub(super) fn in_postgres(self, value: Option<&[u8]>, out: &mut Vec<u8>) {
        let Some(bytes) = value else { return out.push(b'0') };
        match self {
            Self::Boolean => number(i64::from(bytes == [1]).to_string().as_bytes(), out),
            Self::Integer => {
                let sign = if bytes.first().is_some_and(|first| *first > 127) { 255 } else { 0 };
                let mut wide = [sign; 8];
                let start = wide.len().saturating_sub(bytes.len());
                if let Some(tail) = wide.get_mut(start..) {
                    tail.copy_from_slice(bytes);
                }
                number(i64::from_be_bytes(wide).to_string().as_bytes(), out);
            }
            Self::Double => real(f64::from_be_bytes(bytes.try_into().unwrap_or_default()), out),
            Self::Decimal => number(bytes, out),
            Self::Text | Self::AsText => tagged(b't', bytes, out),
            Self::Bytes => tagged(b'b', bytes, out),
        }
    }

    /// Writes SQLite's answer, folded under the collation of the index.
    pub(super) fn in_sqlite(self, cell: SqliteCell<'_>, collation: Option<&str>, out: &mut Vec<u8>) {
        match cell {
            SqliteCell::Null => out.push(b'0'),
            // PostgreSQL's text of a column that holds words and numbers.
            SqliteCell::Integer(value) if self == Self::Text => tagged(b't', value.to_string().as_bytes(), out),
            SqliteCell::Integer(value) => number(value.to_string().as_bytes(), out),
            SqliteCell::Real(value) => real(value, out),
            SqliteCell::Text(text) => match collation {
                Some("NOCASE") => tagged(b't', &text.to_ascii_lowercase(), out),
                Some("RTRIM") => {
                    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
                    tagged(b't', text.get(..end).unwrap_or_default(), out);
                }
                _ => tagged(b't', text, out),
            },
            SqliteCell::Blob(bytes) => tagged(b'b', bytes, out),
        }
    }
}

/// The answer of a condition that holds.
pub(super) const HOLDS: [u8; 1] = *b"T";

/// Writes a condition's answer.
pub(super) fn truth(value: Option<bool>, null_as: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value.unwrap_or(null_as) { &HOLDS } else { b"F" });
}

fn tagged(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn real(value: f64, out: &mut Vec<u8>) {
    let words = match value {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        // NaN too, which SQLite has no value for.
        value => value.to_string(),
    };
    number(words.as_bytes(), out);
}

/// A number by its digits, without the zeros that say nothing.
fn number(digits: &[u8], out: &mut Vec<u8>) {
    let mut shortest = digits;
    if digits.contains(&b'.') {
        while let Some(rest) = shortest.strip_suffix(b"0") {
            shortest = rest;
        }
        shortest = shortest.strip_suffix(b".").unwrap_or(shortest);
    }
    tagged(b'n', if shortest == b"-0" { b"0" } else { shortest }, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(arrival: AnswerType, in_postgres: &[u8], in_sqlite: SqliteCell<'_>, collation: Option<&str>) -> bool {
        let (mut one, mut two) = (Vec::new(), Vec::new());
        arrival.in_postgres(Some(in_postgres), &mut one);
        arrival.in_sqlite(in_sqlite, collation, &mut two);
        one == two
    }

    #[test]
    fn the_same_value_has_the_same_bytes_on_both_sides() {
        for (arrival, in_postgres, in_sqlite) in [
            (AnswerType::Boolean, &[1][..], SqliteCell::Integer(1)),
            (AnswerType::Integer, &[255, 255, 255, 251], SqliteCell::Integer(-5)),
            (AnswerType::Integer, &7_i64.to_be_bytes(), SqliteCell::Integer(7)),
            (AnswerType::Double, &2.0_f64.to_be_bytes(), SqliteCell::Integer(2)),
            (AnswerType::Double, &(-0.0_f64).to_be_bytes(), SqliteCell::Real(0.0)),
            (AnswerType::Double, &f64::INFINITY.to_be_bytes(), SqliteCell::Real(f64::INFINITY)),
            (AnswerType::Decimal, b"0.10", SqliteCell::Real(0.1)),
            (AnswerType::Decimal, b"100", SqliteCell::Real(100.0)),
            (AnswerType::Text, b"5", SqliteCell::Integer(5)),
            (AnswerType::Bytes, b"5", SqliteCell::Blob(b"5")),
            (AnswerType::AsText, b"2024-01-01", SqliteCell::Text(b"2024-01-01")),
        ] {
            assert!(same(arrival, in_postgres, in_sqlite, None), "{arrival:?}");
        }
        assert!(!same(AnswerType::Bytes, b"5", SqliteCell::Text(b"5"), None));
        assert!(!same(AnswerType::Double, &2.5_f64.to_be_bytes(), SqliteCell::Integer(2), None));
        assert!(!same(AnswerType::Double, &f64::NAN.to_be_bytes(), SqliteCell::Real(f64::NEG_INFINITY), None));
        assert!(same(AnswerType::Text, b"abc", SqliteCell::Text(b"ABC"), Some("NOCASE")));
        assert!(same(AnswerType::Text, b"A", SqliteCell::Text(b"A  "), Some("RTRIM")));
        assert!(!same(AnswerType::Text, b"", SqliteCell::Null, None));
    }
}
