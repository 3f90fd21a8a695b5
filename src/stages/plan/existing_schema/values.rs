//! Checks whether every value fits its column's type: a second reading of the columns for which the profile can't tell.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use crate::{
    context::Cancellation,
    error::Result,
    model::{
        ColumnPlan, Conversion, PgType, TablePlan,
        cell::SqliteCell,
        conversion_plan::EpochUnit,
        existing_schema::ExistingSchema,
        pg_column_type::{Element, PgColumnType, TextForm},
    },
    rules::{
        existing_schema::{self, Altered, Mismatch, ReadContent, Value},
        type_choice::value_check,
        value_shape::json::Checker,
    },
    sqlite::{error_map, profile::cell_of},
};

/// Rows between two looks at a cancellation request.
const ROWS_PER_TURN: u64 = 4096;

/// How many places are kept.
const PLACES: usize = 3;

/// How often, and where first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Occurrences {
    pub(super) count: u64,
    pub(super) first: Vec<i64>,
}

impl Occurrences {
    fn add(&mut self, at: i64) {
        self.count += 1;
        if self.first.len() < PLACES {
            self.first.push(at);
        }
    }
}

/// What was found in one column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ColumnMismatches {
    pub(super) mismatches: BTreeMap<Mismatch, Occurrences>,
    pub(super) altered: BTreeMap<Altered, Occurrences>,
}

struct ValueReader<'a> {
    /// Position in the query's row.
    position: usize,
    /// Position among the table's columns.
    column: usize,
    shape: Option<PgColumnType>,
    unit: Option<EpochUnit>,
    /// A reading that the configuration asks for.
    requested: Option<(&'a PgType, Conversion)>,
    empty_as_null: bool,
    labels: Option<BTreeSet<&'a str>>,
}

/// Reads the table; the verdicts stand in the order of its columns.
///
/// # Errors
/// `SourceInvalid` if the file can't be read; `Interrupted`.
pub(super) fn check(
    connection: &Connection,
    table: &TablePlan,
    schema: &ExistingSchema,
    stop: &Cancellation,
) -> Result<Vec<ColumnMismatches>> {
    let mut verdicts = vec![ColumnMismatches::default(); table.columns.len()];
    let before = usize::from(table.address.rowid_name().is_some());
    let loaded = table
        .columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.generated.is_none() && column.conversion != Conversion::Absent);
    let readers: Vec<ValueReader<'_>> = loaded
        .enumerate()
        .filter(|(_, (_, column))| !is_plain(column))
        .map(|(index, (at, column))| reader(before + index, at, column, schema))
        .collect();
    if readers.is_empty() || table.rows == 0 {
        return Ok(verdicts);
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
        for reader in &readers {
            let cell = cell_of(row.get_ref(reader.position).map_err(failed)?);
            if let Some(verdict) = verdicts.get_mut(reader.column).filter(|_| cell != SqliteCell::Null) {
                reader.judge(cell, place, &mut json, verdict);
            }
        }
    }
    Ok(verdicts)
}

fn reader<'a>(position: usize, column: usize, plan: &'a ColumnPlan, schema: &'a ExistingSchema) -> ValueReader<'a> {
    let (unit, requested) = match plan.conversion {
        Conversion::ExistingType { unit } => (unit, None),
        other => (None, Some((&plan.pg_type, other))),
    };
    let labels = match &plan.pg_type {
        PgType::Enum(name) => schema.labels(name).map(|labels| labels.iter().map(String::as_str).collect()),
        _ => None,
    };
    let empty_as_null = plan.exceptions.empty_as_null;
    ValueReader { position, column, shape: PgColumnType::of(&plan.pg_type), unit, requested, empty_as_null, labels }
}

impl ValueReader<'_> {
    fn judge(&self, cell: SqliteCell<'_>, place: i64, json: &mut Checker, verdict: &mut ColumnMismatches) {
        if self.empty_as_null && cell == SqliteCell::Text(b"") {
            return;
        }
        if let Some((pg_type, conversion)) = self.requested {
            if !value_check::accepts(pg_type, conversion, cell, json) {
                verdict.mismatches.entry(Mismatch::Form).or_default().add(place);
            }
            return;
        }
        let read = match self.shape {
            Some(shape) => existing_schema::read(shape, self.unit, cell, json),
            None => Err(Mismatch::NoEncoder),
        };
        let read = read.and_then(|read| match (&read.content, &self.labels) {
            (ReadContent::One(Value::Text(label)), Some(labels)) if !labels.contains(label.as_ref()) => {
                Err(Mismatch::Label)
            }
            _ => Ok(read),
        });
        match read {
            Ok(read) => {
                if let Some(altered) = read.altered {
                    verdict.altered.entry(altered).or_default().add(place);
                }
            }
            Err(mismatch) => verdict.mismatches.entry(mismatch).or_default().add(place),
        }
    }
}

/// Whether the profile alone proves that every value fits.
fn is_plain(column: &ColumnPlan) -> bool {
    if !matches!(column.conversion, Conversion::ExistingType { .. }) {
        return false;
    }
    let profile = &column.evidence;
    let only = |count: u64| count == profile.values();
    let Some(PgColumnType { element, array: false }) = PgColumnType::of(&column.pg_type) else {
        return profile.values() == 0;
    };
    match element {
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
