//! Defines a value as SQLite stores it.

use std::fmt;

use serde::{Deserialize, Serialize};

words! {
    /// SQLite's five storage classes (SQLite "Datatypes", section 2).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum StorageClass: word {
        /// No value.
        Null = "null",
        /// 64-bit signed integer.
        Integer = "integer",
        /// IEEE 754 double.
        Real = "real",
        /// Bytes that claim to be UTF-8.
        Text = "text",
        /// Bytes.
        Blob = "blob",
    }
}

/// One value, borrowed from the row that is being read. Text is raw bytes: it may hold NUL or invalid UTF-8.
///
/// Has no `Display`; `Debug` shows class and length only, so that a value can't reach a message.
#[derive(Clone, Copy, PartialEq)]
pub enum SqliteCell<'a> {
    /// No value.
    Null,
    /// 64-bit signed integer.
    Integer(i64),
    /// IEEE 754 double; never NaN.
    Real(f64),
    /// Bytes that claim to be UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

impl SqliteCell<'_> {
    /// The storage class.
    #[must_use]
    pub const fn class(&self) -> StorageClass {
        match self {
            Self::Null => StorageClass::Null,
            Self::Integer(_) => StorageClass::Integer,
            Self::Real(_) => StorageClass::Real,
            Self::Text(_) => StorageClass::Text,
            Self::Blob(_) => StorageClass::Blob,
        }
    }
}

impl fmt::Debug for SqliteCell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null | Self::Integer(_) | Self::Real(_) => f.write_str(self.class().word()),
            Self::Text(bytes) | Self::Blob(bytes) => write!(f, "{}[{}]", self.class(), bytes.len()),
        }
    }
}
