//! One chunk from the local PostgreSQL to the target: bytes passed through undecoded, committed with their marker.
//!
//! Decisions: the marker's row is written before the data, so that of two transactions for the same chunk (one of a
//! connection that we believe dead) the second waits for the first and then fails on the key, instead of loading the
//! chunk twice.

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, TryStreamExt};

use crate::{
    error::{Error, Result},
    model::identifier::{qualified, quote_literal},
    postgres::{Parameter, Session},
    stages::push::{load::chunk::Chunk, plan::manifest::TableToPush},
};

/// How many bytes go to the driver at once. PostgreSQL sends one message per row, which is far too little.
const PIECE: usize = 64 << 10;

/// A local and a target session that load together.
pub(crate) struct SessionPair {
    /// Reads.
    pub local: Session,
    /// Writes.
    pub target: Session,
}

/// What to send and where it goes.
pub(crate) struct ChunkCopy<'a> {
    /// The run's number.
    pub run_id: i64,
    /// The schema on the local PostgreSQL.
    pub from: &'a str,
    /// The staging schema.
    pub to: &'a str,
    /// The table.
    pub to_push: &'a TableToPush,
    /// The range.
    pub chunk: Chunk,
}

/// What was committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SentCounts {
    /// Rows of the chunk.
    pub rows: u64,
    /// Bytes of the chunk.
    pub bytes: u64,
}

impl SessionPair {
    /// Sends one chunk in one transaction. After an error the caller looks for the marker before it tries again.
    /// `count` is told of bytes as they leave.
    ///
    /// # Errors
    /// `Local*`, `Target*`.
    pub(crate) async fn send(&self, chunk_copy: &ChunkCopy<'_>, count: impl Fn(u64)) -> Result<SentCounts> {
        let sent = Box::pin(self.transact(chunk_copy, count)).await;
        if sent.is_err() && !self.target.is_lost() {
            // The error that led here is the one to tell.
            self.target.batch("leaving a failed transaction", "ROLLBACK").await.ok();
        }
        sent
    }

    async fn transact(&self, chunk_copy: &ChunkCopy<'_>, count: impl Fn(u64)) -> Result<SentCounts> {
        let ChunkCopy { run_id, from, to, to_push, chunk } = chunk_copy;
        let name = quote_literal(&to_push.table.name);
        let mut begin = format!(
            "BEGIN; SET LOCAL synchronous_commit = off; SET LOCAL lock_timeout = '30s'; \
             INSERT INTO turso2neon.chunks (run_id, table_name, chunk) VALUES ({run_id}, {name}, {})",
            chunk.number
        );
        if chunk.whole {
            begin.push_str(&format!("; TRUNCATE ONLY {}", qualified(to, &to_push.table.name)));
        }
        let (input, output) = (chunk.destination(to, to_push), chunk.source(from, to_push));
        // One round trip for both: the driver sends the second without waiting for the first.
        let prepare = async {
            let prepared = self.target.client().prepare(&input).await;
            prepared.map_err(|failure| self.target.error("preparing the load", &failure))
        };
        let ((), statement) = tokio::try_join!(self.target.batch("beginning a chunk", &begin), prepare)?;
        let sent = relay(&self.local, &output, &self.target, &statement, count).await?;
        let commit = format!(
            "UPDATE turso2neon.chunks SET row_count = {}, byte_count = {} \
             WHERE run_id = {run_id} AND table_name = {name} AND chunk = {}; COMMIT",
            sent.rows, sent.bytes, chunk.number
        );
        self.target.batch("committing a chunk", &commit).await?;
        Ok(sent)
    }

    /// The marker of a chunk, if it is committed.
    ///
    /// # Errors
    /// `Target*`.
    pub(crate) async fn marker(&self, chunk_copy: &ChunkCopy<'_>) -> Result<Option<SentCounts>> {
        let sql = "SELECT coalesce(row_count, 0), coalesce(byte_count, 0) FROM turso2neon.chunks \
                   WHERE run_id = $1 AND table_name = $2 AND chunk = $3";
        let doing = "looking whether a chunk is committed";
        let parameters: [&dyn Parameter; 3] =
            [&chunk_copy.run_id, &chunk_copy.to_push.table.name, &chunk_copy.chunk.number];
        let rows = self.target.query_rows(doing, sql, &parameters).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(SentCounts { rows: row.count(0)?, bytes: row.count(1)? }))
    }
}

/// Passes the rows of one COPY on to another, in large pieces. `count` is told of bytes as they leave.
///
/// # Errors
/// By the roles of the sessions.
pub(crate) async fn relay(
    from: &Session,
    output: &str,
    to: &Session,
    input: &tokio_postgres::Statement,
    count: impl Fn(u64),
) -> Result<SentCounts> {
    let reading = |failure: tokio_postgres::Error| from.error("reading a chunk", &failure);
    let writing = |failure: tokio_postgres::Error| to.error("loading a chunk", &failure);
    let source = async { from.client().copy_out(output).await.map_err(reading) };
    let sink = async { to.client().copy_in::<_, Bytes>(input).await.map_err(writing) };
    let (source, sink) = tokio::try_join!(source, sink)?;
    tokio::pin!(source, sink);
    let mut piece = BytesMut::with_capacity(PIECE * 2);
    let mut bytes = 0;
    while let Some(row) = source.try_next().await.map_err(reading)? {
        bytes += row.len() as u64;
        if row.len() < PIECE {
            piece.extend_from_slice(&row);
            if piece.len() < PIECE {
                continue;
            }
        }
        if !piece.is_empty() {
            count(piece.len() as u64);
            sink.feed(piece.split().freeze()).await.map_err(writing)?;
            piece.reserve(PIECE * 2);
        }
        if row.len() >= PIECE {
            count(row.len() as u64);
            sink.feed(row).await.map_err(writing)?;
        }
    }
    count(piece.len() as u64);
    sink.feed(piece.freeze()).await.map_err(writing)?;
    let rows = sink.finish().await.map_err(writing)?;
    Ok(SentCounts { rows, bytes })
}

/// How many bytes one COPY gives, without sending them anywhere.
///
/// # Errors
/// By the role of the session.
pub(crate) async fn measure_bytes(from: &Session, output: &str) -> Result<u64> {
    let failed = |failure: tokio_postgres::Error| from.error("measuring what would be sent", &failure);
    let rows = from.client().copy_out(output).await.map_err(failed)?;
    tokio::pin!(rows);
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await.map_err(failed)? {
        bytes += row.len() as u64;
    }
    Ok(bytes)
}

/// The error of a chunk, with its table.
pub(crate) fn at(chunk_copy: &ChunkCopy<'_>, error: Error) -> Error {
    error.at_table(&chunk_copy.to_push.table.source)
}
