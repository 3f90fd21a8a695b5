//! Defines what numbers count that stand for times.

use serde::{Deserialize, Serialize};

/// A count of time. What isn't a whole number of microseconds isn't taken, with one exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeEncoding {
    /// Seconds since 1970-01-01 UTC: INTEGER, or REAL whose shortest decimal has at most 6 digits after the point.
    UnixS,
    /// Milliseconds since 1970: the same with at most 3 digits.
    UnixMs,
    /// Microseconds since 1970: the same without digits after the point.
    UnixUs,
    /// Nanoseconds since 1970: multiples of 1000, no REAL with digits after the point.
    UnixNs,
    /// Seconds since 2001-01-01 UTC: as `UnixS`.
    CoreData,
    /// Julian days of the years 1 to 9999, as the nearest microsecond (of two as near the even): the double that is
    /// nearest to that microsecond is the one that was read.
    Julian,
}
