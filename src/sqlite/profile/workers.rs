//! The workers of a survey: who reads which rows.

use std::{
    path::Path,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use rusqlite::{Connection, Row, types::ValueRef};

use super::{ColumnSurvey, Progress, TableScan, TableSurvey, accumulator::ColumnTally};
use crate::{
    error::{Error, Kind, Result, ResultExt},
    model::cell::SqliteCell,
    sqlite::{error_map, open},
};

/// Rows between two looks at the clock, the other workers and the wish to stop.
const ROWS_PER_TURN: u64 = 4096;

/// A range with fewer rowids left isn't divided.
const SPAN_LEAST: i64 = 16_384;

/// More workers would need more memory for their page caches than a run may take.
const WORKERS_MOST: usize = 8;

/// A row of fewer columns fits a page whatever they hold: 18 bytes each at most, once moved out.
const WIDE_COLUMNS: usize = 400;

/// Who listens.
type Listener<'a> = &'a (dyn Fn(Progress<'_>) -> Result<()> + Sync);

/// Surveys all tables of a file, the results in the order of the scans.
///
/// # Errors
/// `SourceInvalid` if the file can't be read; whatever the listener returns.
pub fn survey(path: &Path, scans: &[TableScan], listener: Listener<'_>) -> Result<Vec<TableSurvey>> {
    let cores = thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MOST);
    let work = Work::new(scans, listener);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| work.take_part(path));
        }
    });
    work.finish()
}

/// Rows that one worker reads.
struct Job {
    table: usize,
    /// Rowids, both included; all rows without.
    range: Option<(i64, i64)>,
}

struct Work<'a> {
    scans: &'a [TableScan],
    listener: Listener<'a>,
    state: Mutex<State<'a>>,
    changed: Condvar,
    /// Workers that wait for a job.
    hungry: AtomicUsize,
}

struct State<'a> {
    /// Tables that nobody has begun, the next one last.
    fresh: Vec<usize>,
    jobs: Vec<Job>,
    /// Jobs that are being read or wait.
    open: usize,
    tables: Vec<TableTally<'a>>,
    failure: Option<Error>,
}

/// What was counted of one table so far.
struct TableTally<'a> {
    rows: u64,
    bytes: u64,
    heaviest: Option<(u64, i64)>,
    widest: Option<(u64, i64)>,
    columns: Vec<ColumnTally<'a>>,
    /// Jobs of this table that are not finished.
    open: usize,
    began: Option<Instant>,
}

impl<'a> Work<'a> {
    fn new(scans: &'a [TableScan], listener: Listener<'a>) -> Self {
        let state = State {
            fresh: (0..scans.len()).rev().collect(),
            jobs: Vec::new(),
            open: 0,
            tables: scans.iter().map(TableTally::new).collect(),
            failure: None,
        };
        Self { scans, listener, state: Mutex::new(state), changed: Condvar::new(), hungry: AtomicUsize::new(0) }
    }

    /// A worker that panicked has left its failure; the counts are not used then.
    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_part(&self, path: &Path) {
        let _alarm = Alarm { work: self };
        let worked = open::read_only(path).and_then(|connection| {
            while let Some(job) = self.next_job(&connection)? {
                let scan = self.scan(job.table)?;
                let tally = self.read(&connection, scan, &job).at_table(&scan.table)?;
                self.done(job.table, tally)?;
            }
            Ok(())
        });
        if let Err(failure) = worked {
            self.lock().failure.get_or_insert(failure);
            self.changed.notify_all();
        }
    }

    fn scan(&self, table: usize) -> Result<&'a TableScan> {
        self.scans.get(table).ok_or_else(|| Error::new(Kind::Bug, "a survey job names no table"))
    }

    /// The next rows to read; none when all are read or somebody failed.
    fn next_job(&self, connection: &Connection) -> Result<Option<Job>> {
        let mut state = self.lock();
        loop {
            if state.failure.is_some() {
                return Ok(None);
            }
            if let Some(job) = state.jobs.pop() {
                return Ok(Some(job));
            }
            if let Some(table) = state.fresh.pop() {
                state.open += 1;
                if let Some(tally) = state.tables.get_mut(table) {
                    tally.open += 1;
                    tally.began = Some(Instant::now());
                }
                drop(state);
                let scan = self.scan(table)?;
                (self.listener)(Progress::Started { table: &scan.table })?;
                return Ok(Some(Job { table, range: bounds(connection, scan).at_table(&scan.table)? }));
            }
            if state.open == 0 {
                return Ok(None);
            }
            self.hungry.fetch_add(1, Ordering::Relaxed);
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            self.hungry.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn done(&self, table: usize, part: TableTally<'a>) -> Result<()> {
        let mut state = self.lock();
        state.open -= 1;
        let mut finished = None;
        if let Some(tally) = state.tables.get_mut(table) {
            tally.open -= 1;
            tally.merge(part);
            if tally.open == 0 {
                finished = Some((tally.rows, tally.began.map_or(0, |began| elapsed_ms(&began))));
            }
        }
        drop(state);
        self.changed.notify_all();
        match finished {
            Some((rows, elapsed_ms)) => {
                (self.listener)(Progress::Finished { table: &self.scan(table)?.table, rows, elapsed_ms })
            }
            None => Ok(()),
        }
    }

    fn read(&self, connection: &Connection, scan: &'a TableScan, job: &Job) -> Result<TableTally<'a>> {
        let failed = |failure: rusqlite::Error| error_map::describe("reading the rows", &failure);
        let mut tally = TableTally::new(scan);
        let mut turn = Turn { rows: 0, bytes: 0, last: job.range.map_or(i64::MAX, |(_, last)| last) };
        let query = scan.ranges.as_ref().filter(|_| job.range.is_some()).map_or(&scan.query, |ranges| &ranges.query);
        let mut statement = connection.prepare(query).map_err(failed)?;
        let mut rows = match job.range {
            Some((first, _)) => statement.query((first,)),
            None => statement.query(()),
        }
        .map_err(failed)?;
        let has_rowid = scan.ranges.is_some();
        let mut place = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            place = if has_rowid { rowid_of(row).map_err(failed)? } else { place + 1 };
            if place > turn.last {
                break;
            }
            let bytes = tally.add(place, row, usize::from(has_rowid)).map_err(failed)?;
            turn.rows += 1;
            turn.bytes += bytes;
            if turn.rows >= ROWS_PER_TURN {
                self.look_up(scan, job, place, &mut turn)?;
            }
        }
        self.look_up(scan, job, i64::MAX, &mut turn)?;
        Ok(tally)
    }

    /// Tells of the rows read, and gives half of what is left to a worker that waits.
    fn look_up(&self, scan: &TableScan, job: &Job, place: i64, turn: &mut Turn) -> Result<()> {
        (self.listener)(Progress::Read { table: &scan.table, rows: turn.rows, bytes: turn.bytes })?;
        (turn.rows, turn.bytes) = (0, 0);
        let left = turn.last.saturating_sub(place);
        if job.range.is_none() || left < SPAN_LEAST || self.hungry.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let mut state = self.lock();
        if state.failure.is_some() || !state.jobs.is_empty() {
            return Ok(());
        }
        let middle = place + left / 2;
        state.jobs.push(Job { table: job.table, range: Some((middle + 1, turn.last)) });
        state.open += 1;
        if let Some(tally) = state.tables.get_mut(job.table) {
            tally.open += 1;
        }
        turn.last = middle;
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    fn finish(self) -> Result<Vec<TableSurvey>> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        match state.failure {
            Some(failure) => Err(failure),
            None => Ok(state.tables.into_iter().map(TableTally::finish).collect()),
        }
    }
}

/// Wakes the other workers if this one panics, so that they don't wait for its part.
struct Alarm<'w, 'a> {
    work: &'w Work<'a>,
}

impl Drop for Alarm<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.work.lock().failure.get_or_insert_with(|| Error::new(Kind::Bug, "a worker of the survey panicked"));
            self.work.changed.notify_all();
        }
    }
}

/// What a worker has read since it last looked up.
struct Turn {
    rows: u64,
    bytes: u64,
    /// The last rowid that is the worker's own.
    last: i64,
}

impl<'a> TableTally<'a> {
    fn new(scan: &'a TableScan) -> Self {
        let columns = scan.columns.iter().map(ColumnTally::of).collect();
        Self { rows: 0, bytes: 0, heaviest: None, widest: None, columns, open: 0, began: None }
    }

    /// Counts one row; returns its bytes.
    fn add(&mut self, place: i64, row: &Row<'_>, skipped: usize) -> rusqlite::Result<u64> {
        let mut bytes = 0;
        for (position, column) in self.columns.iter_mut().enumerate() {
            bytes += column.add(place, cell(row.get_ref(position + skipped)?));
        }
        self.rows += 1;
        self.bytes += bytes;
        if self.heaviest.is_none_or(|(most, _)| bytes > most) {
            self.heaviest = Some((bytes, place));
        }
        if self.columns.len() >= WIDE_COLUMNS {
            let width = width_in_page(row, skipped, self.columns.len())?;
            if self.widest.is_none_or(|(most, _)| width > most) {
                self.widest = Some((width, place));
            }
        }
        Ok(bytes)
    }

    fn merge(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.heaviest = greater(self.heaviest, other.heaviest);
        self.widest = greater(self.widest, other.widest);
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            mine.merge(theirs);
        }
    }

    fn finish(self) -> TableSurvey {
        let columns = self.columns.into_iter().map(|column| {
            let (profile, misfits) = column.finish();
            ColumnSurvey { profile, misfits }
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

/// The value as the model's word for it.
#[must_use]
pub fn cell(value: ValueRef<'_>) -> SqliteCell<'_> {
    match value {
        ValueRef::Null => SqliteCell::Null,
        ValueRef::Integer(value) => SqliteCell::Integer(value),
        ValueRef::Real(value) => SqliteCell::Real(value),
        ValueRef::Text(text) => SqliteCell::Text(text),
        ValueRef::Blob(blob) => SqliteCell::Blob(blob),
    }
}

/// The least room of a row in a PostgreSQL page (header and null bitmap included): numbers take 8 bytes, a longer value
/// can be moved out and leaves 18 (PostgreSQL, "Database Physical Storage", TOAST).
fn width_in_page(row: &Row<'_>, skipped: usize, columns: usize) -> rusqlite::Result<u64> {
    let mut width = 24 + columns / 8;
    for position in 0..columns {
        width += match row.get_ref(position + skipped)? {
            ValueRef::Null => 0,
            ValueRef::Integer(_) | ValueRef::Real(_) => 8,
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => (bytes.len() + 1).min(18),
        };
    }
    Ok(width as u64)
}

fn rowid_of(row: &Row<'_>) -> rusqlite::Result<i64> {
    row.get(0)
}

/// All rowids of a table as one range; none for a table that is read as a whole.
fn bounds(connection: &Connection, scan: &TableScan) -> Result<Option<(i64, i64)>> {
    let Some(ranges) = &scan.ranges else { return Ok(None) };
    let (least, most): (Option<i64>, Option<i64>) = connection
        .query_row(&ranges.bounds, (), |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(|failure| error_map::describe("reading the least and greatest rowid", &failure))?;
    // An empty table is the empty range.
    Ok(Some((least.unwrap_or(1), most.unwrap_or(0))))
}

fn elapsed_ms(since: &Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
