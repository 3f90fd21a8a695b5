//! Checks whether every value fits its column's type: a second reading of the columns for which the profile can't tell.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::value_form;
use crate::{
    context::Cancellation,
    error::Result,
    model::{
        ColumnPlan, Conversion, PgType, TablePlan,
        cell::SqliteCell,
        conversion_plan::{ExistingReading, OffType},
        existing_schema::ExistingSchema,
        pg_column_type::{Element, PgColumnType, TextForm},
    },
    rules::{
        existing_schema::{self, Altered, Mismatch, Note, ReadContent, Value},
        value_shape::{self, json::Checker},
    },
    sqlite::{error_map, table_rows::cell_of},
};

/// Rows between two looks at a cancellation request.
const ROWS_PER_TURN: u64 = 4096;

/// How many places are kept.
const PLACES: usize = 3;

/// How often, where first, and what the first one looks like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Occurrences {
    pub(super) count: u64,
    pub(super) first: Vec<i64>,
    pub(super) form: String,
    /// Empty texts among them.
    pub(super) empty: u64,
}

impl Occurrences {
    fn add(&mut self, at: i64, cell: SqliteCell<'_>) {
        self.count += 1;
        self.empty += u64::from(cell == SqliteCell::Text(b""));
        if self.first.len() < PLACES {
            self.first.push(at);
        }
        if self.form.is_empty() {
            self.form = value_form::of(cell);
        }
    }
}

/// What was found in one column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ColumnMismatches {
    pub(super) mismatches: BTreeMap<Mismatch, Occurrences>,
    pub(super) altered: BTreeMap<Altered, Occurrences>,
    pub(super) notes: BTreeMap<Note, u64>,
    pub(super) guids: GuidOrders,
    /// Values that lose something, each once.
    pub(super) altered_values: u64,
    /// Texts that PostgreSQL can't hold and that are replaced.
    pub(super) replaced_texts: u64,
}

impl ColumnMismatches {
    /// Values that are none of the type.
    pub(super) fn misfits(&self) -> u64 {
        self.mismatches.values().map(|found| found.count).sum()
    }
}

/// In which order the bytes of UUIDs show a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GuidOrders {
    /// BLOBs of 16 bytes that are not all 0.
    pub(super) blobs: u64,
    pub(super) network: u64,
    pub(super) network_v4: u64,
    pub(super) swapped_v4: u64,
}

/// What was found in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TableMismatches {
    /// In the order of its columns.
    pub(super) columns: Vec<ColumnMismatches>,
    /// Rows that the configuration leaves out because of such a value.
    pub(super) rejected: u64,
}

struct ValueReader<'a> {
    /// Position in the query's row.
    position: usize,
    /// Position among the table's columns.
    column: usize,
    shape: PgColumnType,
    reading: ExistingReading,
    empty_as_null: bool,
    rejects: bool,
    labels: Option<BTreeSet<&'a str>>,
}

/// Reads the table.
///
/// # Errors
/// `SourceInvalid` if the file can't be read; `Interrupted`.
pub(super) fn check(
    connection: &Connection,
    table: &TablePlan,
    schema: &ExistingSchema,
    stop: &Cancellation,
) -> Result<TableMismatches> {
    let mut found = TableMismatches { columns: vec![ColumnMismatches::default(); table.columns.len()], rejected: 0 };
    let before = usize::from(table.address.rowid_name().is_some());
    let loaded = table
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.generated.is_none() && column.conversion != Conversion::Absent);
    let readers: Vec<ValueReader<'_>> = loaded
        .enumerate()
        .filter(|(_, (_, column))| !is_plain(column))
        .filter_map(|(index, (at, column))| reader(before + index, at, column, schema))
        .collect();
    if readers.is_empty() || table.rows == 0 {
        return Ok(found);
    }
    let failed = |failure: rusqlite::Error| error_map::describe("reading values", &failure).at_table(&table.source);
    let mut statement = connection.prepare(&table.source_query()).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut json = Checker::default();
    let mut number: u64 = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        number += 1;
        if number.is_multiple_of(ROWS_PER_TURN) {
            stop.check()?;
        }
        let place = match cell_of(row.get_ref(0).map_err(failed)?) {
            SqliteCell::Integer(rowid) if before == 1 => rowid,
            _ => i64::try_from(number).unwrap_or(i64::MAX),
        };
        let mut rejected = false;
        for reader in &readers {
            let cell = cell_of(row.get_ref(reader.position).map_err(failed)?);
            if let Some(verdict) = found.columns.get_mut(reader.column).filter(|_| cell != SqliteCell::Null) {
                let fits = reader.judge(cell, place, &mut json, verdict);
                rejected |= reader.rejects && !fits;
            }
        }
        found.rejected += u64::from(rejected);
    }
    Ok(found)
}

fn reader<'a>(
    position: usize,
    column: usize,
    plan: &'a ColumnPlan,
    schema: &'a ExistingSchema,
) -> Option<ValueReader<'a>> {
    let Conversion::ExistingType(reading) = plan.conversion else { return None };
    let labels = match &plan.pg_type {
        PgType::Enum(name) => schema.labels(name).map(|labels| labels.iter().map(String::as_str).collect()),
        _ => None,
    };
    let empty_as_null = plan.exceptions.empty_as_null;
    let rejects = plan.exceptions.off_type == Some(OffType::Reject);
    Some(ValueReader {
        position,
        column,
        shape: PgColumnType::of(&plan.pg_type),
        reading,
        empty_as_null,
        rejects,
        labels,
    })
}

impl ValueReader<'_> {
    /// Whether the cell is a value of the type.
    fn judge(&self, cell: SqliteCell<'_>, place: i64, json: &mut Checker, verdict: &mut ColumnMismatches) -> bool {
        if self.empty_as_null && cell == SqliteCell::Text(b"") {
            return true;
        }
        let read = existing_schema::read(self.shape, &self.reading, cell, json);
        let read = read.and_then(|read| match (&read.content, &self.labels) {
            (ReadContent::One(Value::Text(label)), Some(labels)) if !labels.contains(label.as_ref()) => {
                Err(Mismatch::Label)
            }
            _ => Ok(read),
        });
        if let (Element::Uuid, SqliteCell::Blob(bytes)) = (self.shape.element, cell) {
            verdict.guids.add(bytes);
        }
        match read {
            Ok(read) => {
                let is_replaced = self.reading.replaces_text && is_unstorable(cell);
                verdict.replaced_texts += u64::from(is_replaced);
                verdict.altered_values += u64::from(is_replaced || !read.altered.is_empty());
                for altered in read.altered {
                    verdict.altered.entry(altered).or_default().add(place, cell);
                }
                for note in read.notes {
                    *verdict.notes.entry(note).or_default() += 1;
                }
                true
            }
            Err(mismatch) => {
                verdict.mismatches.entry(mismatch).or_default().add(place, cell);
                false
            }
        }
    }
}

/// Whether the cell is a text with what no text of PostgreSQL can hold.
fn is_unstorable(cell: SqliteCell<'_>) -> bool {
    matches!(cell, SqliteCell::Text(bytes) if bytes.contains(&0) || str::from_utf8(bytes).is_err())
}

impl GuidOrders {
    fn add(&mut self, bytes: &[u8]) {
        if bytes.len() != 16 || bytes.iter().all(|byte| *byte == 0) {
            return;
        }
        let found = value_shape::uuid_bytes(bytes);
        self.blobs += 1;
        self.network += u64::from(found.network);
        self.network_v4 += u64::from(found.network_v4);
        self.swapped_v4 += u64::from(found.swapped_v4);
    }
}

/// Whether the profile alone proves that every value fits.
fn is_plain(column: &ColumnPlan) -> bool {
    let profile = &column.evidence;
    let only = |count: u64| count == profile.values();
    let PgColumnType { element, array } = PgColumnType::of(&column.pg_type);
    match element {
        _ if array => profile.values() == 0,
        _ if profile.values() == 0 => true,
        Element::BigInt => only(profile.integers),
        Element::SmallInt | Element::Integer => {
            let (least, most) =
                if element == Element::SmallInt { (-32_768, 32_767) } else { (-2_147_483_648, 2_147_483_647) };
            only(profile.integers) && profile.integer_range.is_some_and(|(low, high)| least <= low && high <= most)
        }
        Element::Boolean => {
            only(profile.integers) && profile.integer_range.is_some_and(|(low, high)| low >= 0 && high <= 1)
        }
        Element::Double => only(profile.reals),
        Element::Bytea => only(profile.blobs),
        Element::Text { form: TextForm::Text | TextForm::Varchar | TextForm::Citext, most } => {
            let fits = most.is_none_or(|most| profile.text_longest.0 <= u64::from(most));
            only(profile.texts) && profile.texts_not_storable() == 0 && fits
        }
        _ => false,
    }
}
