//! Implements the thread that reads the dump for one connection: it takes the next job, reads its rows, encodes them
//! and hands full buffers on. It reads ahead while the connection commits.

use std::{ops::ControlFlow, path::Path, sync::Arc};

use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::mpsc::Sender;

use super::{
    chunking::{ChunkRange, LoadJob},
    row_encoder::{ChunkTotals, RowEncoder},
};
use crate::{
    error::{Error, Kind, Result, ResultExt as _},
    model::{Plan, TablePlan, cell::SqliteCell, identifier::quote_ident},
    postgres::copy::buffer_pool::{FILLED_BYTES, Pool},
    sqlite::{
        self,
        table_rows::{SourceRow, TableQuery, TableReader},
    },
    worker_pool::Queue,
};

/// What a reader hands on, in this order: `Begin`, then per part any number of `Rows` and `OffTypeRows` and one
/// `PartEnd`, then `End`; after the last job `Finished`.
pub(super) enum ReaderMessage {
    /// A job begins.
    Begin(LoadJob),
    /// Encoded rows of the present part.
    Rows(Bytes),
    /// Encoded rows of the off-type table that belong to the present part.
    OffTypeRows(Bytes),
    /// The part is complete.
    PartEnd(ChunkTotals),
    /// The job is complete.
    End,
    /// There are no more jobs.
    Finished,
}

/// Bytes of off-type rows that are collected before the table's COPY is interrupted for them.
const OFFTYPE_BYTES: usize = 8 * FILLED_BYTES;

/// Reads until the queue is empty, or an error occurs, or nobody listens.
pub(super) fn read(source: &Path, plan: &Plan, queue: &Queue<LoadJob>, feed: &Sender<Result<ReaderMessage>>) {
    let reader = DumpReader { plan, feed, pool: Arc::new(Pool::default()) };
    let end = match reader.read_all(source, queue) {
        Ok(()) => Ok(ReaderMessage::Finished),
        Err(ReadStop::Failed(error)) => Err(error),
        Err(ReadStop::NobodyListens) => return,
    };
    // Whoever has stopped listening doesn't want to know.
    feed.blocking_send(end).ok();
}

/// The least and greatest rowid of a table; none if it is empty.
///
/// # Errors
/// `SourceInvalid`, `ArtifactIo`.
pub(super) fn rowid_range(connection: &Connection, table: &TablePlan) -> Result<Option<(i64, i64)>> {
    let Some(rowid) = table.address.rowid_name() else { return Ok(None) };
    // One query for both would scan the table.
    let ask = |end: &str| {
        let sql = format!("SELECT {end}(t.{rowid}) FROM {} AS t NOT INDEXED", quote_ident(&table.source));
        connection
            .query_row(&sql, [], |row| row.get::<_, Option<i64>>(0))
            .map_err(|failure| sqlite::error_map::describe("reading the range of rowids", &failure))
            .at_table(&table.source)
    };
    Ok(ask("min")?.zip(ask("max")?))
}

enum ReadStop {
    Failed(Error),
    NobodyListens,
}

impl From<Error> for ReadStop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

struct DumpReader<'a> {
    plan: &'a Plan,
    feed: &'a Sender<Result<ReaderMessage>>,
    pool: Arc<Pool>,
}

impl DumpReader<'_> {
    fn read_all(&self, source: &Path, queue: &Queue<LoadJob>) -> std::result::Result<(), ReadStop> {
        let mut reader = TableReader::open(source)?;
        loop {
            let next = queue.take();
            let Some(job) = next else { return Ok(()) };
            self.send(ReaderMessage::Begin(job.clone()))?;
            for part in &job.parts {
                let totals = self.part(&mut reader, part)?;
                self.send(ReaderMessage::PartEnd(totals))?;
            }
            self.send(ReaderMessage::End)?;
        }
    }

    fn part(&self, reader: &mut TableReader, part: &ChunkRange) -> std::result::Result<ChunkTotals, ReadStop> {
        let table = self.plan.tables.get(part.table);
        let table = table.ok_or_else(|| Error::new(Kind::Bug, "a chunk belongs to no table of the plan"))?;
        let mut encoder = RowEncoder::new(table)?;
        let mut totals = ChunkTotals::default();
        let (mut filled, mut offtype) = (self.pool.take(), Vec::new());
        let each = |row: SourceRow<'_>| {
            let is_beyond = |(_, last): (i64, i64)| matches!(row.cell(0), SqliteCell::Integer(rowid) if rowid > last);
            if part.bounds.is_some_and(is_beyond) {
                return Ok(ControlFlow::Break(()));
            }
            encoder.row(row, &mut filled, &mut offtype, &mut totals)?;
            if offtype.len() >= OFFTYPE_BYTES {
                self.send(ReaderMessage::OffTypeRows(self.pool.hand_on(std::mem::take(&mut offtype))))?;
            }
            if filled.len() >= FILLED_BYTES {
                totals.bytes += byte_count(&filled);
                let full = std::mem::replace(&mut filled, self.pool.take());
                self.send(ReaderMessage::Rows(self.pool.hand_on(full)))?;
            }
            Ok(ControlFlow::Continue(()))
        };
        let first = part.bounds.map(|(first, _)| first);
        reader.rows(&query_of(table), first, each).map_err(|stop| match stop {
            ReadStop::Failed(error) => ReadStop::Failed(error.at_table(&table.source)),
            ReadStop::NobodyListens => stop,
        })?;
        totals.bytes += byte_count(&filled);
        if !filled.is_empty() {
            self.send(ReaderMessage::Rows(self.pool.hand_on(filled)))?;
        }
        if !offtype.is_empty() {
            self.send(ReaderMessage::OffTypeRows(self.pool.hand_on(offtype)))?;
        }
        Ok(totals)
    }

    fn send(&self, item: ReaderMessage) -> std::result::Result<(), ReadStop> {
        self.feed.blocking_send(Ok(item)).map_err(|_| ReadStop::NobodyListens)
    }
}

/// Reads the loaded columns of a table.
fn query_of(table: &TablePlan) -> TableQuery {
    TableQuery {
        table: table.source.clone(),
        columns: table.loaded_columns().map(|column| column.source.clone()).collect(),
        every: table.source_query(),
        from_rowid: table.source_query_from_rowid(),
    }
}

fn byte_count(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
