//! Profiles every value of every column: one streaming pass per table, on all cores.
//!
//! Decisions: a table with a rowid begins as one range of rowids, and a worker that runs out of work is given half of
//! what another has left. Where a range is cut changes nothing in the result, because tallies add up. Each worker has
//! its own connection without mutex. TEXT is looked at as the raw bytes that SQLite gives (in a UTF-16 database that is
//! its UTF-8 form).

mod accumulator;

mod key_collisions;

mod mismatches;

mod workers;

pub use accumulator::Mismatches;
pub use key_collisions::{KeyScan, keys_without, merged_keys};
pub use mismatches::MismatchScan;
pub use workers::survey;

use super::table_rows::TableQuery;
use crate::{
    model::{Conversion, PgType, column_profile::ColumnProfile},
    rules::value_shape::WantedShapes,
};

/// A type and a conversion that the configuration asks for, to be tested on every cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The type.
    pub pg_type: PgType,
    /// How cells become values.
    pub conversion: Conversion,
}

/// What to look for in one column.
#[derive(Debug, Clone, Default)]
pub struct ColumnScan {
    /// Shapes and counts besides what is always counted.
    pub wanted: WantedShapes,
    /// Types to test.
    pub candidates: Vec<Candidate>,
    /// An empty TEXT is read as NULL, and counted so.
    pub empty_as_null: bool,
}

/// A table to survey.
#[derive(Debug, Clone)]
pub struct TableScan {
    /// Reads its rows.
    pub query: TableQuery,
    /// Reads the least and the greatest rowid, NULL for an empty table; none for a table that is not divided.
    pub bounds: Option<String>,
    /// The columns in the query's order.
    pub columns: Vec<ColumnScan>,
}

/// What a table holds.
#[derive(Debug, Clone, Default)]
pub struct TableSurvey {
    /// Rows.
    pub rows: u64,
    /// Bytes of all values; numbers count as 8.
    pub bytes: u64,
    /// Bytes and place of the row with the most bytes.
    pub heaviest: Option<(u64, i64)>,
    /// Bytes that PostgreSQL needs at least in the page for the widest row after moving out what can be moved, and its
    /// place. Looked at only where a table has so many columns that it could matter.
    pub widest: Option<(u64, i64)>,
    /// The columns in the scan's order.
    pub columns: Vec<ColumnSurvey>,
}

/// What a column holds.
#[derive(Debug, Clone, Default)]
pub struct ColumnSurvey {
    /// Counts and ranges.
    pub profile: ColumnProfile,
    /// For each candidate the cells that it doesn't take.
    pub mismatches: Vec<Mismatches>,
}

/// What a survey reports while it works. An error that the listener returns stops it.
#[derive(Debug, Clone, Copy)]
pub enum SurveyProgress<'a> {
    /// A table begins.
    Started {
        /// Which.
        table: &'a str,
    },
    /// Rows were read.
    Read {
        /// Of which table.
        table: &'a str,
        /// Since the last time.
        rows: u64,
        /// Since the last time.
        bytes: u64,
    },
    /// A table is complete.
    Finished {
        /// Which.
        table: &'a str,
        /// All its rows.
        rows: u64,
        /// Since it began.
        elapsed_ms: u64,
    },
}

/// The profile of these cells, for tests of what is decided from profiles.
#[cfg(test)]
pub(crate) fn of_cells(wanted: WantedShapes, cells: &[crate::model::cell::SqliteCell<'_>]) -> ColumnProfile {
    let mut tally = accumulator::ColumnAccumulator::new(wanted, &[]);
    for (at, cell) in (1..).zip(cells) {
        tally.add(at, *cell);
    }
    tally.finish().0
}
