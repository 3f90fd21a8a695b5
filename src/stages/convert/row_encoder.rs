//! Encodes the rows of one table as binary COPY, with their digest and their entries in the off-type table.

use super::{
    encode_cell::CellForm,
    offtype::{self, RowKey},
    refusal::EncodeError,
};
use crate::{
    error::{Error, Kind, Result},
    model::{ColumnPlan, PgType, TablePlan, cell::SqliteCell, conversion_plan::OffType},
    postgres::copy::{
        binary_encode,
        row_digest::{RowDigest, RowHasher},
    },
    rules::{type_choice::value_check, value_shape::json::Checker},
    sqlite::table_rows::SourceRow,
};

/// What was encoded of one chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ChunkTotals {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) digest: RowDigest,
    pub(super) offtype_rows: u64,
    pub(super) offtype_digest: RowDigest,
}

/// Encodes the rows of `TablePlan::source_query`.
pub(super) struct RowEncoder<'a> {
    table: &'a TablePlan,
    columns: Vec<(&'a ColumnPlan, CellForm)>,
    /// Columns of the query before the loaded ones: the rowid, where there is one.
    before: usize,
    fields: i16,
    hasher: RowHasher,
    offtype: Option<(RowKey, RowHasher)>,
    /// For each column whether its cell of the present row became NULL.
    nulled: Vec<bool>,
    checker: Checker,
    ordinal: i64,
}

impl<'a> RowEncoder<'a> {
    /// The encoder of a table that is loaded.
    ///
    /// # Errors
    /// `Bug` for a column whose conversion can't give its type.
    pub(super) fn new(table: &'a TablePlan) -> Result<Self> {
        Self::with_hasher(table, RowHasher::of_table(table))
    }

    /// As [`Self::new`], for rows that are compared with those of a query.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn of_query(table: &'a TablePlan) -> Result<Self> {
        Self::with_hasher(table, RowHasher::new(table.loaded_columns()))
    }

    fn with_hasher(table: &'a TablePlan, hasher: RowHasher) -> Result<Self> {
        let form = |column: &'a ColumnPlan| {
            let form = CellForm::of(column).ok_or_else(|| {
                let what = format!("the plan's conversion can't give {}", column.pg_type);
                Error::new(Kind::Bug, what).at_table(&table.source).at_column(&column.source)
            })?;
            Ok((column, form))
        };
        let columns: Vec<_> = table.loaded_columns().map(form).collect::<Result<_>>()?;
        let fields = i16::try_from(columns.len())
            .map_err(|_| Error::new(Kind::DataRefused, "more columns than PostgreSQL takes").at_table(&table.source))?;
        let offtype_hasher = || RowHasher::new(std::iter::empty());
        Ok(Self {
            table,
            before: usize::from(table.address.rowid_name().is_some()),
            fields,
            hasher,
            offtype: table.has_offtype_cells().then(|| (RowKey::of(table), offtype_hasher())),
            nulled: vec![false; columns.len()],
            checker: Checker::default(),
            columns,
            ordinal: 0,
        })
    }

    /// Appends a row to `out`, and to `offtype_out` its entries in the off-type table; nothing for a row that is left
    /// out.
    ///
    /// # Errors
    /// `DataRefused` with the place of a cell that the conversion doesn't name.
    pub(super) fn row(
        &mut self,
        row: SourceRow<'_>,
        out: &mut Vec<u8>,
        offtype_out: &mut Vec<u8>,
        totals: &mut ChunkTotals,
    ) -> Result<()> {
        let start = out.len();
        self.ordinal += 1;
        binary_encode::row(out, self.fields);
        for (index, (column, form)) in self.columns.iter().enumerate() {
            let cell = row.cell(self.before + index);
            if !column.exceptions.is_none() {
                let outcome = cell_outcome(column, cell, &mut self.checker);
                if let Some(nulled) = self.nulled.get_mut(index) {
                    *nulled = outcome == CellOutcome::Nulled;
                }
                match outcome {
                    CellOutcome::Written => {}
                    CellOutcome::Nulled => {
                        binary_encode::null(out);
                        continue;
                    }
                    CellOutcome::Rejected => {
                        out.truncate(start);
                        return Ok(());
                    }
                }
            }
            form.write(cell, out).map_err(|refusal| self.refused(row, column, cell, refusal))?;
        }
        let encoded = out.get(start..).unwrap_or_default();
        let hash = self.hasher.hash(encoded).map_err(|_| self.refused_json(row))?;
        totals.digest.add(hash);
        totals.rows += 1;
        if self.offtype.is_some() {
            self.offtype_rows(row, offtype_out, totals)?;
        }
        Ok(())
    }

    fn offtype_rows(&mut self, row: SourceRow<'_>, out: &mut Vec<u8>, totals: &mut ChunkTotals) -> Result<()> {
        let number = self.number(row);
        let Some((key, hasher)) = &mut self.offtype else { return Ok(()) };
        for (index, (column, _)) in self.columns.iter().enumerate() {
            let cell = row.cell(self.before + index);
            let nulled = self.nulled.get(index).copied().unwrap_or(false);
            if !nulled && !offtype::has_entry(column, cell) {
                continue;
            }
            let start = out.len();
            key.text(number, |place| row.cell(self.before + place))
                .and_then(|key| offtype::write_row(out, self.table, column, &key, cell))
                .map_err(|refusal| refused(self.table, number, column, cell, refusal))?;
            let hash = hasher.hash(out.get(start..).unwrap_or_default());
            totals
                .offtype_digest
                .add(hash.map_err(|_| Error::new(Kind::Bug, "a row for the off-type table is not a JSON document"))?);
            totals.offtype_rows += 1;
        }
        Ok(())
    }

    /// The rowid, or the position where there is none.
    pub(super) fn number(&self, row: SourceRow<'_>) -> i64 {
        match (self.before, row.cell(0)) {
            (1, SqliteCell::Integer(rowid)) => rowid,
            _ => self.ordinal,
        }
    }

    /// The columns whose cells keep a row from being loaded; empty for a row that is loaded.
    pub(super) fn rejecting(&mut self, row: SourceRow<'_>) -> Vec<&'a ColumnPlan> {
        let mut rejecting = Vec::new();
        for (index, (column, _)) in self.columns.iter().enumerate() {
            if cell_outcome(column, row.cell(self.before + index), &mut self.checker) == CellOutcome::Rejected {
                rejecting.push(*column);
            }
        }
        rejecting
    }

    /// The cells of a row with their columns.
    pub(super) fn cells<'r>(
        &'r self,
        row: SourceRow<'r>,
    ) -> impl Iterator<Item = (&'a ColumnPlan, SqliteCell<'r>)> + 'r {
        let columns = self.columns.iter().enumerate();
        columns.map(move |(index, (column, _))| (*column, row.cell(self.before + index)))
    }

    #[cold]
    fn refused(&self, row: SourceRow<'_>, column: &ColumnPlan, cell: SqliteCell<'_>, refusal: EncodeError) -> Error {
        refused(self.table, self.number(row), column, cell, refusal)
    }

    #[cold]
    fn refused_json(&self, row: SourceRow<'_>) -> Error {
        let what = format!("row {}: a text is not JSON", self.number(row));
        let error = Error::new(Kind::DataRefused, what).at_table(&self.table.source);
        let mut json = self.columns.iter().filter(|(column, _)| column.pg_type == PgType::Jsonb);
        match (json.next(), json.next()) {
            (Some((column, _)), None) => error.at_column(&column.source),
            _ => error,
        }
    }
}

/// What becomes of a cell in a column with exceptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellOutcome {
    Written,
    Nulled,
    Rejected,
}

/// By the very rule by which the plan has counted.
pub(super) fn cell_outcome(column: &ColumnPlan, cell: SqliteCell<'_>, checker: &mut Checker) -> CellOutcome {
    if column.exceptions.empty_as_null && cell == SqliteCell::Text(b"") {
        return CellOutcome::Nulled;
    }
    match column.exceptions.off_type {
        None => CellOutcome::Written,
        Some(_) if fits(column, cell, checker) => CellOutcome::Written,
        Some(OffType::Null) => CellOutcome::Nulled,
        Some(OffType::Reject) => CellOutcome::Rejected,
    }
}

fn fits(column: &ColumnPlan, cell: SqliteCell<'_>, checker: &mut Checker) -> bool {
    let is_label = |text: &[u8]| column.labels.iter().any(|label| label.as_bytes() == text);
    let is_known = column.labels.is_empty() || !matches!(cell, SqliteCell::Text(text) if !is_label(text));
    is_known && value_check::accepts(&column.pg_type, column.conversion, cell, checker)
}

fn refused(table: &TablePlan, number: i64, column: &ColumnPlan, cell: SqliteCell<'_>, refusal: EncodeError) -> Error {
    let what = format!("row {number}: a cell of class {} {}", cell.class(), refusal.0);
    Error::new(Kind::DataRefused, what).at_table(&table.source).at_column(&column.source).with_hint(format!(
        "`turso2neon plan --explain {}.{}` shows what the plan expects; `turso2neon plan` makes it anew",
        table.source, column.source
    ))
}
