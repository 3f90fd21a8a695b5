//! How large a key can get. PostgreSQL refuses a B-tree entry beyond 2704 bytes (rule book, section 2); compressible
//! text may pass, so that trying proves nothing.

use crate::model::{ColumnPlan, PgType};

/// Bytes of all keys together up to which every entry fits.
pub(super) const KEY_BYTES_MAX: u64 = 2600;

/// Columns of an index (PostgreSQL `INDEX_MAX_KEYS`).
pub(super) const KEY_COLUMNS_MAX: usize = 32;

/// The most bytes that a value of the column takes.
pub(super) fn widest(column: &ColumnPlan) -> u64 {
    let evidence = &column.evidence;
    match column.pg_type {
        PgType::Text | PgType::Varchar(_) | PgType::Enum(_) | PgType::Given(_) => {
            evidence.text_longest.1.max(evidence.blob_longest.saturating_mul(2))
        }
        PgType::Json | PgType::Jsonb => evidence.text_longest.1.saturating_mul(2),
        PgType::Bytea | PgType::RealArray | PgType::DoubleArray => evidence.blob_longest.max(evidence.text_longest.1),
        PgType::Vector(dimensions) => u64::from(dimensions) * 4,
        PgType::HalfVec(dimensions) => u64::from(dimensions) * 2,
        PgType::Bit(bits) => u64::from(bits) / 8,
        PgType::Numeric(_) => u64::from(evidence.decimal_digits.0) + u64::from(evidence.decimal_digits.1),
        PgType::SmallInt
        | PgType::Integer
        | PgType::BigInt
        | PgType::Boolean
        | PgType::Double
        | PgType::Date
        | PgType::Time
        | PgType::Timestamp
        | PgType::TimestampTz
        | PgType::Uuid => 16,
    }
}

/// Why a key of these columns can't be a B-tree, if so.
pub(super) fn obstacle(columns: &[&ColumnPlan]) -> Option<&'static str> {
    if columns.len() > KEY_COLUMNS_MAX {
        Some("PostgreSQL's keys have at most 32 columns")
    } else if columns.iter().any(|column| column.pg_type == PgType::Json) {
        Some("PostgreSQL's type json can't be compared")
    } else if columns.iter().map(|column| widest(column)).sum::<u64>() > KEY_BYTES_MAX {
        Some("its values are longer than PostgreSQL's B-tree takes (2704 bytes)")
    } else {
        None
    }
}
