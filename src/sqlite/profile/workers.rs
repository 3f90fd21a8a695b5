//! Distributes the rows of a survey among its workers.

use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use rusqlite::Connection;

use super::{ColumnSurvey, SurveyProgress, TableScan, TableSurvey, accumulator::ColumnAccumulator};
use crate::{
    error::{Error, Kind, Result, ResultExt},
    model::cell::SqliteCell,
    sqlite::{
        error_map,
        table_rows::{SourceRow, TableReader},
    },
    worker_pool::{self, Queue},
};

/// Rows between two looks at the clock, the other workers and a cancellation request.
const ROWS_PER_TURN: u64 = 4096;

/// A range with fewer rowids left isn't divided.
const SPAN_LEAST: i64 = 16_384;

/// More workers would need more memory for their page caches than a run may take.
const WORKERS_MOST: usize = 8;

/// A row of fewer columns fits a page whatever they hold: 18 bytes each at most, once moved out.
const WIDE_COLUMNS: usize = 400;

/// Who listens.
type ProgressListener<'a> = &'a (dyn Fn(SurveyProgress<'_>) -> Result<()> + Sync);

/// Surveys all tables of a file, the results in the order of the scans.
///
/// # Errors
/// `SourceInvalid` if the file can't be read; whatever the listener returns.
pub fn survey(path: &Path, scans: &[TableScan], listener: ProgressListener<'_>) -> Result<Vec<TableSurvey>> {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MOST);
    let work = SurveyQueue {
        scans,
        listener,
        queue: Queue::new((0..scans.len()).map(SurveyJob::Begin)),
        tables: Mutex::new(scans.iter().map(TableAccumulator::new).collect()),
    };
    let open = || TableReader::open(path);
    worker_pool::on_threads(cores, &work.queue, open, |reader, job| work.carry_out(reader, job))?;
    let tables = work.tables.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(tables.into_iter().map(TableAccumulator::finish).collect())
}

/// Rows that one worker reads.
#[derive(Clone, Copy)]
enum SurveyJob {
    /// A table that nobody has begun.
    Begin(usize),
    /// Of a table, these rowids, both included.
    Range(usize, (i64, i64)),
}

struct SurveyQueue<'a> {
    scans: &'a [TableScan],
    listener: ProgressListener<'a>,
    queue: Queue<SurveyJob>,
    tables: Mutex<Vec<TableAccumulator<'a>>>,
}

/// What was counted of one table so far.
struct TableAccumulator<'a> {
    rows: u64,
    bytes: u64,
    heaviest: Option<(u64, i64)>,
    widest: Option<(u64, i64)>,
    columns: Vec<ColumnAccumulator<'a>>,
    /// Jobs of this table that are not finished.
    open: usize,
    began: Option<Instant>,
}

impl<'a> SurveyQueue<'a> {
    fn tally<T>(&self, table: usize, change: impl FnOnce(&mut TableAccumulator<'a>) -> T) -> Option<T> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).get_mut(table).map(change)
    }

    fn carry_out(&self, reader: &mut TableReader, job: SurveyJob) -> Result<()> {
        let (SurveyJob::Begin(table) | SurveyJob::Range(table, _)) = job;
        let scan = self.scans.get(table).ok_or_else(|| Error::new(Kind::Bug, "a survey job names no table"))?;
        let range = match job {
            SurveyJob::Begin(_) => {
                self.tally(table, |tally| (tally.open, tally.began) = (1, Some(Instant::now())));
                (self.listener)(SurveyProgress::Started { table: &scan.query.table })?;
                bounds(reader.connection(), scan).at_table(&scan.query.table)?
            }
            SurveyJob::Range(_, range) => Some(range),
        };
        let part = self.read(reader, scan, table, range).at_table(&scan.query.table)?;
        let finished = self.tally(table, |tally| {
            tally.open -= 1;
            tally.merge(part);
            (tally.open == 0).then(|| (tally.rows, tally.began.map_or(0, |began| elapsed_ms(&began))))
        });
        match finished.flatten() {
            Some((rows, elapsed_ms)) => {
                (self.listener)(SurveyProgress::Finished { table: &scan.query.table, rows, elapsed_ms })
            }
            None => Ok(()),
        }
    }

    fn read(
        &self,
        reader: &mut TableReader,
        scan: &'a TableScan,
        table: usize,
        range: Option<(i64, i64)>,
    ) -> Result<TableAccumulator<'a>> {
        let mut tally = TableAccumulator::new(scan);
        let last = range.map_or(i64::MAX, |(_, last)| last);
        let mut turn = BatchCounts { rows: 0, bytes: 0, last, divisible: range.is_some() };
        let skipped = usize::from(scan.bounds.is_some());
        let mut place = 0;
        reader.rows(&scan.query, range.map(|(first, _)| first), |row| {
            place = match row.cell(0) {
                SqliteCell::Integer(rowid) if scan.bounds.is_some() => rowid,
                _ => place + 1,
            };
            if place > turn.last {
                return Ok(ControlFlow::Break(()));
            }
            turn.bytes += tally.add(place, row, skipped);
            turn.rows += 1;
            if turn.rows >= ROWS_PER_TURN {
                self.look_up(scan, table, place, &mut turn)?;
            }
            Ok::<_, Error>(ControlFlow::Continue(()))
        })?;
        self.look_up(scan, table, i64::MAX, &mut turn)?;
        Ok(tally)
    }

    /// Reports the rows read, and gives half of what is left to a worker that waits.
    fn look_up(&self, scan: &TableScan, table: usize, place: i64, turn: &mut BatchCounts) -> Result<()> {
        (self.listener)(SurveyProgress::Read { table: &scan.query.table, rows: turn.rows, bytes: turn.bytes })?;
        (turn.rows, turn.bytes) = (0, 0);
        let left = turn.last.saturating_sub(place);
        if !turn.divisible || left < SPAN_LEAST {
            return Ok(());
        }
        let middle = place + left / 2;
        let offered = self.queue.offer(|| {
            self.tally(table, |tally| tally.open += 1);
            SurveyJob::Range(table, (middle + 1, turn.last))
        });
        if offered {
            turn.last = middle;
        }
        Ok(())
    }
}

/// What a worker has read since it last looked up.
struct BatchCounts {
    rows: u64,
    bytes: u64,
    /// The last rowid that is the worker's own.
    last: i64,
    /// Whether another worker can take a part of the rows.
    divisible: bool,
}

impl<'a> TableAccumulator<'a> {
    fn new(scan: &'a TableScan) -> Self {
        let columns = scan.columns.iter().map(ColumnAccumulator::of).collect();
        Self { rows: 0, bytes: 0, heaviest: None, widest: None, columns, open: 0, began: None }
    }

    /// Counts one row; returns its bytes.
    fn add(&mut self, place: i64, row: SourceRow<'_>, skipped: usize) -> u64 {
        let mut bytes = 0;
        for (position, column) in self.columns.iter_mut().enumerate() {
            bytes += column.add(place, row.cell(position + skipped));
        }
        self.rows += 1;
        self.bytes += bytes;
        if self.heaviest.is_none_or(|(most, _)| bytes > most) {
            self.heaviest = Some((bytes, place));
        }
        if self.columns.len() >= WIDE_COLUMNS {
            let width = width_in_page(row, skipped, self.columns.len());
            if self.widest.is_none_or(|(most, _)| width > most) {
                self.widest = Some((width, place));
            }
        }
        bytes
    }

    fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.heaviest = greater(self.heaviest, other.heaviest);
        self.widest = greater(self.widest, other.widest);
        for (own, other) in self.columns.iter_mut().zip(other.columns) {
            own.merge(other);
        }
    }

    fn finish(self) -> TableSurvey {
        let columns = self.columns.into_iter().map(|column| {
            let (profile, mismatches) = column.finish();
            ColumnSurvey { profile, mismatches }
        });
        TableSurvey {
            rows: self.rows,
            bytes: self.bytes,
            heaviest: self.heaviest,
            widest: self.widest,
            columns: columns.collect(),
        }
    }
}

/// The greater of two rows; of equal ones the first.
fn greater(one: Option<(u64, i64)>, other: Option<(u64, i64)>) -> Option<(u64, i64)> {
    one.into_iter().chain(other).max_by_key(|(size, place)| (*size, std::cmp::Reverse(*place)))
}

/// The least size of a row in a PostgreSQL page (header and null bitmap included): numbers take 8 bytes, a longer value
/// can be moved out and leaves 18 (PostgreSQL, "Database Physical Storage", TOAST).
fn width_in_page(row: SourceRow<'_>, skipped: usize, columns: usize) -> u64 {
    let mut width = 24 + columns / 8;
    for position in 0..columns {
        width += match row.cell(position + skipped) {
            SqliteCell::Null => 0,
            SqliteCell::Integer(_) | SqliteCell::Real(_) => 8,
            SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => (bytes.len() + 1).min(18),
        };
    }
    width as u64
}

/// All rowids of a table as one range; none for a table that is read as a whole.
fn bounds(connection: &Connection, scan: &TableScan) -> Result<Option<(i64, i64)>> {
    let Some(bounds) = &scan.bounds else { return Ok(None) };
    let (least, most): (Option<i64>, Option<i64>) = connection
        .query_row(bounds, (), |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|failure| error_map::describe("reading the least and greatest rowid", &failure))?;
    // An empty table is the empty range.
    Ok(Some((least.unwrap_or(1), most.unwrap_or(0))))
}

fn elapsed_ms(since: &Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
