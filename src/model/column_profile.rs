//! What the values of one column really are: exact over every row.

use serde::{Deserialize, Serialize};

use super::cell::StorageClass;

/// Counts and ranges of one column. The counts of the five classes sum up to the table's rows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ColumnProfile {
    /// NULL cells.
    pub nulls: u64,
    /// INTEGER cells.
    pub integers: u64,
    /// REAL cells.
    pub reals: u64,
    /// TEXT cells.
    pub texts: u64,
    /// BLOB cells.
    pub blobs: u64,
    /// Least and greatest INTEGER.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integer_range: Option<(i64, i64)>,
    /// INTEGER cells beyond +-2^53, which a double can't hold in general.
    pub integers_beyond_double: u64,
    /// REAL cells that are whole numbers within int64.
    pub reals_integral: u64,
    /// REAL cells that are infinite.
    pub reals_infinite: u64,
    /// Most digits before and after the point in the shortest decimal form of finite REAL and INTEGER cells.
    pub decimal_digits: (u16, u16),
    /// Longest TEXT in characters (of valid UTF-8) and in bytes.
    pub text_longest: (u64, u64),
    /// Empty TEXT cells.
    pub texts_empty: u64,
    /// TEXT cells with a NUL character.
    pub texts_with_nul: u64,
    /// TEXT cells that are not valid UTF-8.
    pub texts_not_utf8: u64,
    /// Longest BLOB in bytes.
    pub blob_longest: u64,
    /// Counts by recognised shape, such as `date`, `timestamp`, `timestamp+zone`, `uuid`, `json`; see `rules::shape`.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub shapes: std::collections::BTreeMap<String, u64>,
    /// Distinct UTC offsets of zoned timestamps in minutes, at most 8 kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<i32>,
    /// For each class present, where it occurs first: a rowid, or an ordinal (from 1) in a table without rowid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first_of_class: Vec<(StorageClass, i64)>,
    /// Where a TEXT that PostgreSQL can't hold occurs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_not_storable: Option<i64>,
}

impl ColumnProfile {
    /// Cells of this class.
    #[must_use]
    pub const fn count(&self, class: StorageClass) -> u64 {
        match class {
            StorageClass::Null => self.nulls,
            StorageClass::Integer => self.integers,
            StorageClass::Real => self.reals,
            StorageClass::Text => self.texts,
            StorageClass::Blob => self.blobs,
        }
    }

    /// Cells that are not NULL.
    #[must_use]
    pub const fn values(&self) -> u64 {
        self.integers + self.reals + self.texts + self.blobs
    }

    /// Classes other than NULL that occur.
    #[must_use]
    pub fn classes(&self) -> Vec<StorageClass> {
        [StorageClass::Integer, StorageClass::Real, StorageClass::Text, StorageClass::Blob]
            .into_iter()
            .filter(|class| self.count(*class) > 0)
            .collect()
    }
}
