//! Defines the profile of a column's values, exact over every row.

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
    /// REAL cells that are `-0.0`; they count as integral too.
    pub reals_negative_zero: u64,
    /// Most digits before and after the point in the shortest decimal form of finite REAL and INTEGER cells. Looked at
    /// only where the declared type asks for decimals.
    pub decimal_digits: (u16, u16),
    /// Longest TEXT in characters (of valid UTF-8) and in bytes.
    pub text_longest: (u64, u64),
    /// Empty TEXT cells. Where the configuration reads them as NULL they count as NULL, too, and not as TEXT.
    pub texts_empty: u64,
    /// TEXT cells with a NUL character.
    pub texts_with_nul: u64,
    /// TEXT cells that are not valid UTF-8.
    pub texts_not_utf8: u64,
    /// TEXT cells that look as INTEGER and REAL cells look when they are written as text. Not looked at where the
    /// affinity leaves no numbers (TEXT).
    pub texts_like_numbers: u64,
    /// TEXT cells that are a 64-bit integer as SQLite prints it. Looked at only in columns of keys.
    pub texts_whole: u64,
    /// TEXT cells with more characters than the declared type names.
    pub texts_over_declared: u64,
    /// TEXT cells of a recognised date, time, timestamp or UUID shape that PostgreSQL prints in another spelling.
    pub texts_respelled: u64,
    /// Longest BLOB in bytes.
    pub blob_longest: u64,
    /// Counts by recognised shape, such as `date`, `timestamp`, `timestamp+zone`, `uuid`, `json`; see
    /// `rules::value_shape`.
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub shapes: std::collections::BTreeMap<String, u64>,
    /// Distinct UTC offsets of zoned timestamps in minutes, the 8 least of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub offsets: Vec<i32>,
    /// For each class present, where it occurs first: a rowid, or an ordinal (from 1) in a table without rowid.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub first_of_class: Vec<(StorageClass, i64)>,
    /// Where a TEXT that PostgreSQL can't hold occurs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_not_storable: Option<i64>,
    /// Where a TEXT or BLOB occurs first that has none of the shapes that were looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_off_shape: Option<i64>,
    /// Where a cell occurs first that the type which the declaration promises doesn't hold, if the column got another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_spoiler: Option<i64>,
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

    /// TEXT cells that PostgreSQL can't hold as text. One with both faults counts as not UTF-8 only.
    #[must_use]
    pub const fn texts_not_storable(&self) -> u64 {
        self.texts_with_nul + self.texts_not_utf8
    }

    /// Cells of this shape.
    #[must_use]
    pub fn shape(&self, name: &str) -> u64 {
        self.shapes.get(name).copied().unwrap_or(0)
    }

    /// Where a cell of this class occurs first.
    #[must_use]
    pub fn first(&self, class: StorageClass) -> Option<i64> {
        self.first_of_class.iter().find(|(found, _)| *found == class).map(|(_, at)| *at)
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
