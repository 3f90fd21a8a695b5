//! Defines the digest of a table's rows, as PostgreSQL computes it.
//!
//! Its text form begins with a version. A digest of another version says nothing about equality: it is unknown, never
//! equal and never different.

use std::{fmt, str::FromStr};

use super::{conversion_plan::ColumnPlan, pg_type::PgType};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The version of the row hash that [`crate::postgres::table_digest`] computes. It rises whenever the same rows get
/// another sum.
///
/// Version 1 summed `hash_record_extended`, which is linear in the columns: it did not see values that changed places
/// between rows. It had no version in its text.
pub const DIGEST_VERSION: u32 = 2;

/// The number of a table's rows, and the sum of their 64-bit hashes. The order of rows has no influence.
///
/// Written as `version:rows:sum`, in artifacts and in the record on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableDigest {
    /// Rows.
    pub rows: u64,
    /// Sum of the row hashes.
    sum: i128,
}

impl TableDigest {
    /// The digest of a table without rows.
    pub const EMPTY: Self = Self { rows: 0, sum: 0 };

    /// Of so many rows, whose hashes have this sum.
    #[must_use]
    pub const fn new(rows: u64, sum: i128) -> Self {
        Self { rows, sum }
    }

    /// The sum of the row hashes.
    #[must_use]
    pub const fn sum(&self) -> i128 {
        self.sum
    }
}

/// A column that a digest covers. The record on the target keeps the columns of each table, in their order, so that the
/// digest can be computed when the plan has other columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestColumn {
    /// PostgreSQL's name.
    pub name: String,
    /// Its type.
    pub pg_type: PgType,
}

impl From<&ColumnPlan> for DigestColumn {
    fn from(column: &ColumnPlan) -> Self {
        Self { name: column.name.clone(), pg_type: column.pg_type.clone() }
    }
}

impl fmt::Display for TableDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{DIGEST_VERSION}:{}:{}", self.rows, self.sum)
    }
}

/// The text is not a digest of [`DIGEST_VERSION`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownDigest;

impl FromStr for TableDigest {
    type Err = UnknownDigest;

    fn from_str(text: &str) -> Result<Self, UnknownDigest> {
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or(UnknownDigest);
        let (version, rows, sum) = (next()?, next()?, next()?);
        if version.parse() != Ok(DIGEST_VERSION) || parts.next().is_some() {
            return Err(UnknownDigest);
        }
        let rows = rows.parse().map_err(|_| UnknownDigest)?;
        Ok(Self { rows, sum: sum.parse().map_err(|_| UnknownDigest)? })
    }
}

impl Serialize for TableDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Reads a recorded digest. One of another version, or what is no digest, becomes `None`: unknown.
///
/// # Errors
/// If the field is neither a text nor null.
pub fn known<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TableDigest>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_what_it_writes() {
        for digest in [TableDigest::EMPTY, TableDigest { rows: u64::MAX, sum: i128::from(i64::MIN) * 12 }] {
            assert_eq!(digest.to_string().parse(), Ok(digest));
        }
        assert_eq!("2:3:-4".parse(), Ok(TableDigest { rows: 3, sum: -4 }));
    }

    #[test]
    fn digests_of_other_versions_and_damaged_ones_are_unknown() {
        for text in ["", "3:77", "0:0", "1:3:77", "3:3:77", "2:3", "2:3:77:1", "2:x:77", "2:3:", "2:-3:77", "2:3:7.5"] {
            assert_eq!(text.parse::<TableDigest>(), Err(UnknownDigest), "{text}");
        }
    }
}
