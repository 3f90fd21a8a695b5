//! A row of an answer, whose values are read by type. A value of another type is an error, never a missing row.

use tokio_postgres::types::FromSql;

use crate::{
    error::Result,
    postgres::{Role, error_map},
};

/// A row of an answer, and what was being done, for errors.
#[derive(Debug)]
pub struct Row<'a> {
    values: tokio_postgres::Row,
    role: Role,
    doing: &'a str,
}

impl<'a> Row<'a> {
    pub(super) fn new(values: tokio_postgres::Row, role: Role, doing: &'a str) -> Self {
        Self { values, role, doing }
    }

    /// The value of a column, counted from 0.
    ///
    /// # Errors
    /// `LocalRejected` or `TargetRejected` if it is of another type, NULL where the type takes none, or not there.
    pub fn get<'row, T: FromSql<'row>>(&'row self, column: usize) -> Result<T> {
        self.values.try_get(column).map_err(|_| error_map::undecodable(self.role, self.doing, column))
    }

    /// The number in a column of type `bigint` that is never negative.
    ///
    /// # Errors
    /// As [`Self::get`], also for a negative number.
    pub fn count(&self, column: usize) -> Result<u64> {
        let number: i64 = self.get(column)?;
        u64::try_from(number).map_err(|_| error_map::undecodable(self.role, self.doing, column))
    }

    /// The value of a text column in the form that its type has in the source code.
    ///
    /// # Errors
    /// As [`Self::get`], also for a text that has not this form.
    pub fn parse<T: std::str::FromStr>(&self, column: usize) -> Result<T> {
        let text: &str = self.get(column)?;
        text.parse().map_err(|_| error_map::undecodable(self.role, self.doing, column))
    }
}
