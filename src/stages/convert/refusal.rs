//! Explains why a cell can't be loaded.

use crate::postgres::copy::binary_encode;

/// Why a cell can't become a value of its column: the end of the sentence "a text ...".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EncodeError(pub(super) &'static str);

/// The plan has not seen such a cell.
pub(super) const OFF_PLAN: EncodeError = EncodeError("is not what the plan has found in this column");

/// A field has at most 1 GB.
pub(super) const TOO_LONG: EncodeError = EncodeError("is too long for a PostgreSQL value");

/// The type holds no such value.
pub(super) const OUT_OF_RANGE: EncodeError = EncodeError("is beyond what the type holds");

impl From<binary_encode::TooLong> for EncodeError {
    fn from(_: binary_encode::TooLong) -> Self {
        TOO_LONG
    }
}
