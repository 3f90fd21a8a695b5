//! Checks `convert/rejects.jsonl`: whether it holds exactly the rows of the dump that are left out, value by value.
//!
//! Lines are read one at a time, so that memory follows the largest row.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, ErrorKind},
    path::Path,
};

use rusqlite::{Connection, types::ValueRef};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    canonical_row::CanonicalRow,
    dump_scan::{cell, from},
    expected_value::{CellOutcome, ColumnReading},
    progress::ScanMeter,
};
use crate::{
    error::{Error, Kind, Result},
    file_access,
    model::{TablePlan, cell::SqliteCell, identifier::quote_ident},
    sqlite::error_map,
};

/// Rows of one table: how many, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rejected {
    rows: u64,
    sum: u128,
}

impl Rejected {
    fn add(&mut self, row: &[u8]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(xxh3_128(row));
    }
}

#[derive(Deserialize)]
struct Line {
    table: String,
    #[serde(default)]
    rowid: Option<i64>,
    #[serde(default)]
    row: Option<i64>,
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    column: String,
    class: String,
    raw: String,
}

/// What the file holds, by source table; nothing if there is no file.
///
/// # Errors
/// `ArtifactDamaged` for a line that isn't a rejected row; `ArtifactIo`.
pub(super) fn of_file(path: &Path) -> Result<BTreeMap<String, Rejected>> {
    let mut found: BTreeMap<String, Rejected> = BTreeMap::new();
    let failed = |cause: &std::io::Error| Error::io(Kind::ArtifactIo, "reading", path, cause);
    let file = match file_access::read(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(found),
        Err(cause) => return Err(failed(&cause)),
    };
    let (mut reader, mut text, mut number) = (BufReader::new(file), Vec::new(), 0_u64);
    loop {
        text.clear();
        number += 1;
        if reader.read_until(b'\n', &mut text).map_err(|cause| failed(&cause))? == 0 {
            return Ok(found);
        }
        let line = serde_json::from_slice::<Line>(&text).ok().and_then(|line| Some((of_line(&line)?, line.table)));
        let Some((row, table)) = line else {
            let what = format!("convert/rejects.jsonl: line {number} is no rejected row");
            return Err(Error::new(Kind::ArtifactDamaged, what).with_hint("run `turso2neon convert --fresh`"));
        };
        found.entry(table).or_default().add(&row);
    }
}

fn of_line(line: &Line) -> Option<Vec<u8>> {
    let mut row = Row::new(line.rowid.or(line.row)?);
    for cell in &line.cells {
        row.cell(&cell.column, &cell.class, &bytes(&cell.raw)?);
    }
    Some(row.0)
}

/// The bytes of hexadecimal digits.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(nibble(*high)? * 16 + nibble(*low)?).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// A row as bytes that no other row has.
struct Row(Vec<u8>);

impl Row {
    fn new(place: i64) -> Self {
        Self(place.to_be_bytes().to_vec())
    }

    fn cell(&mut self, column: &str, class: &str, raw: &[u8]) {
        for part in [column.as_bytes(), class.as_bytes(), raw] {
            self.0.extend_from_slice(&part.len().to_be_bytes());
            self.0.extend_from_slice(part);
        }
    }
}

/// What the file must hold of a table.
///
/// # Errors
/// `SourceInvalid`, `Interrupted`.
pub(super) fn of_dump(dump: &Connection, table: &TablePlan, meter: &mut ScanMeter<'_>) -> Result<Rejected> {
    let failed = |failure: rusqlite::Error| error_map::describe("reading the dump", &failure);
    let columns: Vec<_> = table.loaded_columns().collect();
    let readings: Vec<ColumnReading> = columns.iter().map(|column| ColumnReading::of(column)).collect();
    let names = || columns.iter().map(|column| format!("t.{}", quote_ident(&column.source)));
    // Once as the conversions read them, once as they are.
    let read = names().zip(&readings).map(|(name, reading)| reading.expression(&name));
    let rowid = table.address.rowid_name().map(|name| format!("t.{name}"));
    let before = usize::from(rowid.is_some());
    let list: Vec<String> = rowid.into_iter().chain(read).chain(names()).collect();
    let mut statement = dump.prepare(&format!("SELECT {} FROM {}", list.join(", "), from(table))).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let (mut rejected, mut image, mut position) = (Rejected::default(), CanonicalRow::default(), 0);
    while let Some(row) = rows.next().map_err(failed)? {
        position += 1;
        image.clear();
        let mut fits = true;
        for (at, reading) in readings.iter().enumerate() {
            fits &=
                reading.append(&mut image, cell(row.get_ref(before + at).map_err(failed)?)) != CellOutcome::Rejected;
        }
        meter.row(image.len())?;
        if fits {
            continue;
        }
        let place = match row.get_ref(0).map_err(failed)? {
            ValueRef::Integer(rowid) if before == 1 => rowid,
            _ => position,
        };
        let mut bytes = Row::new(place);
        for (at, column) in columns.iter().enumerate() {
            let value = cell(row.get_ref(before + columns.len() + at).map_err(failed)?);
            let word = value.class().word();
            match value {
                SqliteCell::Null => bytes.cell(&column.source, word, &[]),
                SqliteCell::Integer(value) => bytes.cell(&column.source, word, &value.to_be_bytes()),
                SqliteCell::Real(value) => bytes.cell(&column.source, word, &value.to_bits().to_be_bytes()),
                SqliteCell::Text(raw) | SqliteCell::Blob(raw) => bytes.cell(&column.source, word, raw),
            }
        }
        rejected.add(&bytes.0);
    }
    Ok(rejected)
}

/// What is wrong with the file's rows of a table, in words.
pub(super) fn difference(expected: Rejected, found: Rejected) -> Option<String> {
    if expected.rows != found.rows {
        return Some(format!("rejected rows in convert/rejects.jsonl: {}, expected {}", found.rows, expected.rows));
    }
    (expected != found).then(|| "rejected rows in convert/rejects.jsonl differ from the dump's".to_owned())
}
