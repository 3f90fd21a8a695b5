//! Describes what differs in the schema of one table.

use super::{Difference, expressions::ExpressionPair};
use crate::{
    model::{ColumnPlan, TablePlan},
    postgres::Role,
};

/// Collects what differs in one table.
pub(super) struct Notes<'a> {
    role: Role,
    table: &'a TablePlan,
    pub(super) found: Vec<Difference>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(role: Role, table: &'a TablePlan) -> Self {
        Self { role, table, found: Vec::new() }
    }

    /// Something about the table.
    pub(super) fn table(&mut self, what: impl Into<String>) {
        self.add(None, what.into());
    }

    /// Something about a column.
    pub(super) fn column(&mut self, column: &ColumnPlan, what: impl Into<String>) {
        self.add(Some(column.source.clone()), what.into());
    }

    pub(super) fn add(&mut self, column: Option<String>, what: String) {
        self.found.push(Difference { column, ..Difference::new(self.role, &self.table.source, what) });
    }
}

/// Column, words and pair of something that only the server can compare.
pub(super) type ServerComparison = (Option<String>, String, ExpressionPair);
