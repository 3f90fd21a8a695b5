//! Computes how large an index key can get (docs/conversion-rules.md, section 2.3). PostgreSQL refuses a B-tree entry
//! beyond 2704 bytes; compressible text may pass, so that trying proves nothing.

use crate::model::{ColumnPlan, PgType};

/// Bytes of all keys together up to which every entry fits.
pub(super) const KEY_BYTES_MAX: u64 = 2600;

/// Columns of an index (PostgreSQL `INDEX_MAX_KEYS`).
pub(super) const KEY_COLUMNS_MAX: usize = 32;

/// The most bytes that a value of the column takes.
pub(super) fn widest(column: &ColumnPlan) -> u64 {
    let evidence = &column.evidence;
    match column.pg_type {
        PgType::Text | PgType::Varchar(_) | PgType::Enum(_) | PgType::ExistingType(_) => {
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

/// One part of a key.
#[derive(Debug, Clone)]
pub(super) struct KeyPart {
    /// What is compared.
    pub(super) sql: String,
    /// Order and place of NULL, with a leading blank.
    pub(super) order: &'static str,
    /// The most bytes that a value takes.
    pub(super) bytes: u64,
    /// How a long value is made short.
    pub(super) short: Shortening,
}

/// How a long value is made short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortening {
    /// `text`.
    Text,
    /// `bytea`.
    Bytes,
    /// `jsonb`, by its text.
    Document,
    /// It can't be.
    No,
}

/// A key in a form that every value fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FittedKey {
    /// `btree` or `hash`; unique and `hash` is an exclusion constraint.
    pub(super) method: &'static str,
    /// Key parts as they stand in the parentheses.
    pub(super) keys: Vec<String>,
    /// What is not as it was.
    pub(super) change: Option<&'static str>,
}

/// Bytes of an MD5 digest in hexadecimal, as an index stores it.
const DIGEST_BYTES: u64 = 40;

const EXCLUSION: &str = "an exclusion constraint with a hash index guards it, because its values are longer than a B-tree \
                         takes (2704 bytes): INSERT ... ON CONFLICT and foreign keys can't name it";
const DIGESTS: &str = "its long values are compared by their md5(), because they are longer than a B-tree takes (2704 \
                       bytes): ON CONFLICT must name the same expressions, and foreign keys can't refer to it";
const HASHED: &str =
    "a hash index, as its values are longer than a B-tree takes (2704 bytes); it finds equal values only";
const PREFIXES: &str = "its long values are indexed by their beginning, as they are longer than a B-tree takes (2704 \
                        bytes); queries use it where they compare the same left() or substr()";

/// The form of a column in a key.
pub(super) fn part(column: &ColumnPlan, sql: String, order: &'static str) -> KeyPart {
    let short = match column.pg_type {
        PgType::Text | PgType::Varchar(_) => Shortening::Text,
        PgType::Bytea => Shortening::Bytes,
        PgType::Jsonb => Shortening::Document,
        _ => Shortening::No,
    };
    KeyPart { sql, order, bytes: widest(column), short }
}

/// Whether PostgreSQL compares values of the type.
///
/// # Errors
/// Why not.
pub(super) fn is_comparable(pg_type: &PgType) -> Result<(), &'static str> {
    if *pg_type == PgType::Json { Err("PostgreSQL's type json can't be compared") } else { Ok(()) }
}

/// The form that a key can have.
///
/// # Errors
/// Why it can have none.
pub(super) fn fit(parts: &[KeyPart], unique: bool) -> Result<FittedKey, &'static str> {
    if parts.len() > KEY_COLUMNS_MAX {
        return Err("PostgreSQL's keys have at most 32 columns");
    }
    let total: u64 = parts.iter().map(|part| part.bytes).sum();
    let whole = |part: &KeyPart| format!("{}{}", part.sql, part.order);
    if total <= KEY_BYTES_MAX {
        return Ok(FittedKey { method: "btree", keys: parts.iter().map(whole).collect(), change: None });
    }
    if let [only] = parts {
        // The types without a hash are of a fixed size.
        let change = Some(if unique { EXCLUSION } else { HASHED });
        return Ok(FittedKey { method: "hash", keys: vec![only.sql.clone()], change });
    }
    let is_long = |part: &&KeyPart| part.short != Shortening::No && part.bytes > DIGEST_BYTES;
    let others: u64 = parts.iter().filter(|part| !is_long(part)).map(|part| part.bytes).sum();
    let count = u64::try_from(parts.iter().filter(is_long).count()).unwrap_or(u64::MAX);
    if others.saturating_add(count.saturating_mul(DIGEST_BYTES)) > KEY_BYTES_MAX {
        return Err("its values are longer than PostgreSQL's B-tree takes (2704 bytes)");
    }
    // Characters have up to 4 bytes.
    let length = (KEY_BYTES_MAX - others) / 4 / count.max(1);
    let keys = parts.iter().map(|part| {
        let key = if is_long(&part) { shortened(part, unique, length) } else { None };
        key.map_or_else(|| whole(part), |key| format!("{key}{}", part.order))
    });
    Ok(FittedKey { method: "btree", keys: keys.collect(), change: Some(if unique { DIGESTS } else { PREFIXES }) })
}

fn shortened(part: &KeyPart, unique: bool, length: u64) -> Option<String> {
    let sql = &part.sql;
    Some(match (part.short, unique) {
        (Shortening::No, _) => return None,
        (Shortening::Text | Shortening::Bytes, true) => format!("md5({sql})"),
        (Shortening::Document, _) => format!("md5(({sql})::text)"),
        (Shortening::Text, false) => format!("left({sql}, {length})"),
        (Shortening::Bytes, false) => format!("substr({sql}, 1, {length})"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(sql: &str, bytes: u64) -> KeyPart {
        KeyPart { sql: sql.to_owned(), order: "", bytes, short: Shortening::Text }
    }

    fn number(sql: &str) -> KeyPart {
        KeyPart { sql: sql.to_owned(), order: " DESC", bytes: 16, short: Shortening::No }
    }

    fn keys(parts: &[KeyPart], unique: bool) -> Option<String> {
        fit(parts, unique).ok().map(|fitted| format!("{} {}", fitted.method, fitted.keys.join(", ")))
    }

    #[test]
    fn long_values_get_a_form_that_holds_them() {
        let found = |parts: &[KeyPart], unique| keys(parts, unique).unwrap();
        assert_eq!(found(&[text("a", 100), number("n")], true), "btree a, n DESC");
        assert_eq!(found(&[text("a", 3000)], true), "hash a");
        assert_eq!(found(&[text("a", 3000)], false), "hash a");
        assert_eq!(found(&[text("a", 3000), number("n")], true), "btree md5(a), n DESC");
        assert_eq!(found(&[text("a", 3000), text("b", 9)], true), "btree md5(a), b");
        assert_eq!(found(&[text("a", 3000), text("b", 3000)], false), "btree left(a, 325), left(b, 325)");
        let fixed = KeyPart { bytes: 4000, ..number("n") };
        assert_eq!(keys(&[text("a", 1), fixed], true), None);
        assert_eq!(keys(&vec![number("n"); 33], false), None);
    }
}
