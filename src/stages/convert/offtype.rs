//! Writes the rows of the off-type table: which storage class a cell had, where the PostgreSQL value no longer shows
//! it.

use super::{encode_cell, refusal::EncodeError};
use crate::{
    model::{ColumnPlan, Conversion, TablePlan, cell::SqliteCell, conversion_plan::BlobText},
    postgres::copy::binary_encode,
    rules::value_shape::is_storable,
};

/// Whether a cell of this column has an entry in the off-type table, apart from those that became NULL.
pub(super) fn has_entry(column: &ColumnPlan, cell: SqliteCell<'_>) -> bool {
    if !column.records_off_type || cell == SqliteCell::Null {
        return false;
    }
    // A numeric has one zero.
    let lost_sign = column.conversion == Conversion::Numeric
        && matches!(cell, SqliteCell::Real(value) if value == 0.0 && value.is_sign_negative());
    let replaced = column.conversion.replaces_text() && matches!(cell, SqliteCell::Text(text) if !is_storable(text));
    cell.class() != column.main_class || lost_sign || replaced
}

/// How a row is named in the off-type table.
pub(super) enum RowKey {
    /// By its rowid, or by its position where nothing else addresses it.
    Number,
    /// By the cells of its primary key, at these places among the loaded columns.
    Cells(Vec<usize>),
}

impl RowKey {
    pub(super) fn of(table: &TablePlan) -> Self {
        let (None, Some(key)) = (table.address.rowid_name(), &table.primary_key) else { return Self::Number };
        let place = |name: &String| table.loaded_columns().position(|column| column.name == *name);
        key.columns.iter().map(place).collect::<Option<_>>().map_or(Self::Number, Self::Cells)
    }

    /// The key of one row as text: the number in decimal, or a JSON array of texts.
    ///
    /// # Errors
    /// [`EncodeError`] for a text in the key that isn't text.
    pub(super) fn text<'a>(
        &self,
        number: i64,
        cell_at: impl Fn(usize) -> SqliteCell<'a>,
    ) -> Result<String, EncodeError> {
        let places = match self {
            Self::Number => return Ok(number.to_string()),
            Self::Cells(places) => places,
        };
        let mut texts = Vec::with_capacity(places.len());
        for place in places {
            let mut text = Vec::new();
            let cell = match cell_at(*place) {
                SqliteCell::Text(bytes) if !is_storable(bytes) => SqliteCell::Blob(bytes),
                cell => cell,
            };
            encode_cell::text(&mut text, cell, BlobText::Hex)?;
            texts.push(String::from_utf8_lossy(&text).into_owned());
        }
        serde_json::to_string(&texts).map_err(|_| EncodeError("can't be written as JSON"))
    }
}

/// Appends one row of the off-type table.
///
/// # Errors
/// [`EncodeError`] for a value that is too long.
pub(super) fn write_row(
    out: &mut Vec<u8>,
    table: &TablePlan,
    column: &ColumnPlan,
    key: &str,
    cell: SqliteCell<'_>,
) -> Result<(), EncodeError> {
    binary_encode::row(out, 5);
    binary_encode::bytes(out, table.name.as_bytes())?;
    binary_encode::bytes(out, column.name.as_bytes())?;
    binary_encode::bytes(out, key.as_bytes())?;
    binary_encode::bytes(out, cell.class().word().as_bytes())?;
    match cell {
        SqliteCell::Null => binary_encode::bytes(out, b"")?,
        SqliteCell::Integer(value) => binary_encode::int8(out, value),
        SqliteCell::Real(value) => binary_encode::float8(out, value),
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => binary_encode::bytes(out, bytes)?,
    }
    Ok(())
}
