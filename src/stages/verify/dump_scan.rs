//! Reads the dump: every row of a table, as the image of what PostgreSQL must hold.

use std::collections::BTreeMap;

use rusqlite::{Connection, types::ValueRef};

use super::{
    canonical_row::{CanonicalRow, Mismatch},
    expected_value::{CellOutcome, ColumnReading},
    printed_text::TextPrinter,
    progress::ScanMeter,
    row_diff::RowName,
};
use crate::{
    error::{Error, Kind, Result, ResultExt},
    model::{ColumnPlan, TablePlan, cell::SqliteCell, conversion_plan::RowAddress, identifier::quote_ident},
    sqlite::error_map,
};

/// Rows whose texts a server is asked about at once, and the bytes of these texts.
const ROWS_AT_ONCE: usize = 1000;
const BYTES_AT_ONCE: usize = 4 << 20;

/// Rows that wait for what a server prints of their texts.
#[derive(Default)]
struct WaitingRows {
    rows: Vec<WaitingRow>,
    bytes: usize,
}

/// A row with empty places for the texts.
struct WaitingRow {
    image: CanonicalRow,
    /// Positions of the columns, with their texts.
    texts: Vec<(usize, String)>,
    name: RowName,
}

/// How a table of the dump is read.
#[derive(Debug, Clone)]
pub(super) struct DumpScan {
    sql: String,
    has_rowid: bool,
    readings: Vec<ColumnReading>,
    /// Of columns that aren't compared, but may keep a row from being loaded.
    judges: Vec<ColumnReading>,
    printer: TextPrinter,
    /// Whether images hold values of any length whole.
    whole_values: bool,
}

impl DumpScan {
    /// These columns of a table; generated ones are read as SQLite computes them.
    pub(super) fn new(table: &TablePlan, columns: &[&ColumnPlan], printer: TextPrinter) -> Self {
        let rowid = table.address.rowid_name().map(|name| format!("t.{name}"));
        let judging = table.columns.iter().filter(|column| {
            ColumnReading::of(column).rejects() && columns.iter().all(|compared| compared.name != column.name)
        });
        let judging: Vec<&ColumnPlan> = judging.collect();
        let names = columns
            .iter()
            .chain(&judging)
            .map(|column| ColumnReading::of(column).expression(&format!("t.{}", quote_ident(&column.source))));
        let list: Vec<String> = rowid.into_iter().chain(names).collect();
        let list = if list.is_empty() { "NULL".to_owned() } else { list.join(", ") };
        Self {
            sql: format!("SELECT {list} FROM {}", from(table)),
            has_rowid: table.address.rowid_name().is_some(),
            readings: columns.iter().map(|column| ColumnReading::of(column)).collect(),
            judges: judging.into_iter().map(ColumnReading::of).collect(),
            printer,
            whole_values: false,
        }
    }

    /// The same, whose images hold values of any length whole.
    pub(super) fn with_whole_values(self) -> Self {
        Self { whole_values: true, ..self }
    }

    /// Hands over each row that is loaded; returns how many there are. The name is made only when it is asked for.
    pub(super) fn run(
        &self,
        dump: &Connection,
        meter: &mut ScanMeter<'_>,
        mut each: impl FnMut(&mut CanonicalRow, &dyn Fn() -> RowName),
    ) -> Result<u64> {
        let failed = |failure: rusqlite::Error| error_map::describe("reading the dump", &failure);
        let mut statement = dump.prepare(&self.sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut image = if self.whole_values { CanonicalRow::whole() } else { CanonicalRow::default() };
        let mut aside = CanonicalRow::default();
        let mut ordinal = 0;
        let mut waiting = WaitingRows::default();
        while let Some(row) = rows.next().map_err(failed)? {
            image.clear();
            aside.clear();
            ordinal += 1;
            let mut rejected = false;
            let mut texts = Vec::new();
            for (index, reading) in self.readings.iter().chain(&self.judges).enumerate() {
                let value = row.get_ref(index + usize::from(self.has_rowid)).map_err(failed)?;
                let compared = index < self.readings.len();
                match reading.input_text(cell(value)).filter(|_| compared) {
                    Some(text) if reading.append(&mut aside, cell(value)) == CellOutcome::Kept => {
                        texts.push((index, text));
                        image.null();
                    }
                    _ => {
                        let into = if compared { &mut image } else { &mut aside };
                        rejected |= reading.append(into, cell(value)) == CellOutcome::Rejected;
                    }
                }
            }
            if rejected {
                continue;
            }
            meter.row(image.len())?;
            let name = || match row.get_ref(0) {
                Ok(ValueRef::Integer(rowid)) if self.has_rowid => RowName::Rowid(rowid),
                _ => RowName::Ordinal(ordinal),
            };
            if texts.is_empty() {
                each(&mut image, &name);
                continue;
            }
            waiting.add(WaitingRow { image: std::mem::take(&mut image), texts, name: name() });
            if waiting.is_full() {
                waiting.finish(&self.printer, &mut each)?;
            }
        }
        waiting.finish(&self.printer, &mut each)?;
        meter.report()?;
        Ok(meter.rows)
    }
}

impl WaitingRows {
    fn add(&mut self, row: WaitingRow) {
        self.bytes += row.image.len() + row.texts.iter().map(|(_, text)| text.len()).sum::<usize>();
        self.rows.push(row);
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= ROWS_AT_ONCE || self.bytes >= BYTES_AT_ONCE
    }

    /// Hands over the rows with what the server prints.
    fn finish(
        &mut self,
        printer: &TextPrinter,
        each: &mut impl FnMut(&mut CanonicalRow, &dyn Fn() -> RowName),
    ) -> Result<()> {
        let rows = std::mem::take(self).rows;
        let mut asked: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (column, text) in rows.iter().flat_map(|row| &row.texts) {
            asked.entry(*column).or_default().push(text.clone());
        }
        let mut answers = BTreeMap::new();
        for (column, texts) in asked {
            answers.insert(column, printer.print(column, &texts)?.into_iter());
        }
        for row in rows {
            let mut image = CanonicalRow::default();
            for index in 0..row.image.fields() {
                if row.texts.iter().any(|(column, _)| *column == index) {
                    match answers.get_mut(&index).and_then(Iterator::next).flatten() {
                        Some(text) => image.value(text.as_bytes()),
                        None => image.mismatch(Mismatch::Form),
                    }
                } else {
                    image.copy(&row.image, index);
                }
            }
            each(&mut image, &|| row.name.clone());
        }
        Ok(())
    }
}

/// The value as the words of the model.
pub(super) fn cell(value: ValueRef<'_>) -> SqliteCell<'_> {
    match value {
        ValueRef::Null => SqliteCell::Null,
        ValueRef::Integer(integer) => SqliteCell::Integer(integer),
        ValueRef::Real(real) => SqliteCell::Real(real),
        ValueRef::Text(bytes) => SqliteCell::Text(bytes),
        ValueRef::Blob(bytes) => SqliteCell::Blob(bytes),
    }
}

/// The table under the alias `t`, from its own storage: an index of a module may not hold every row.
pub(super) fn from(table: &TablePlan) -> String {
    if table.address == RowAddress::Absent {
        return "(SELECT NULL WHERE false) AS t".to_owned();
    }
    let hint = if table.address == RowAddress::Ordinal { "" } else { " NOT INDEXED" };
    format!("{} AS t{hint}", quote_ident(&table.source))
}

/// Rows of a table, counted.
pub(super) fn count(dump: &Connection, table: &TablePlan) -> Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", from(table));
    let count: i64 = dump
        .query_row(&sql, [], |row| row.get(0))
        .map_err(|failure| error_map::describe("counting rows of the dump", &failure))
        .at_table(&table.source)?;
    u64::try_from(count).map_err(|_| Error::new(Kind::Bug, "a count is negative"))
}
