//! Loads the rows: reader threads, bounded channels, binary COPY, a marker in every transaction.

use std::{pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_postgres::CopyInSink;

use super::{
    chunking::{ChunkLayout, LoadJob},
    load_context::{LoadContext, SessionPool},
    post_load,
    progress::LoadProgress,
    reader::{self, ReaderMessage},
    row_encoder::ChunkTotals,
    text_input,
};
use crate::{
    error::{Error, Kind, Result, ResultExt as _},
    model::{
        TablePlan,
        identifier::quote_list,
        offtype::{self, OFFTYPE_TABLE},
    },
    postgres::{
        Session,
        copy::{self, HEADER, TRAILER},
        load_journal::{self, CommittedChunk, LoadScope},
    },
    rules::ddl,
    worker_pool::{self, FollowUps, Queue},
};

/// Buffers that a reader may be ahead of its connection, besides the limit on bytes.
const AHEAD: usize = 8;

/// Bytes of one protocol message: a large value is cut up, so that it isn't copied whole.
const MESSAGE_BYTES: usize = 256 * 1024;

/// Loads all jobs. `again` says that what is committed has been reported already.
///
/// # Errors
/// `Local*`, `DataRefused`, `SourceInvalid`, `Interrupted`; committed chunks stay.
pub(super) async fn load(
    work: &Arc<LoadContext>,
    pool: &SessionPool,
    layout: ChunkLayout,
    committed: &[CommittedChunk],
    again: bool,
) -> Result<()> {
    let progress = Arc::new(LoadProgress::new(work, &layout.chunks, if again { &[] } else { committed }));
    let hands = layout.jobs.len().min(pool.sessions().len());
    let queue = Arc::new(Queue::new(layout.jobs));
    let loading = Arc::new(FollowUps::new(hands));
    // Of an interrupted load some keys may be there already, and the tables of others keep their form.
    let is_fresh = committed.is_empty() && !again;
    let builds_keys = is_fresh && work.scope == LoadScope::All && work.plan.existing_schema.is_none();
    let mut set = JoinSet::new();
    for session in pool.sessions().iter().take(hands) {
        let (sender, feed) = mpsc::channel(AHEAD);
        let (reader_work, queue) = (Arc::clone(work), Arc::clone(&queue));
        std::thread::Builder::new()
            .name("reader".to_owned())
            .spawn(move || reader::read(&reader_work.source, &reader_work.plan, &queue, &sender))
            .map_err(|cause| Error::new(Kind::Bug, format!("a reader thread can't be started: {}", cause.kind())))?;
        let loader = Loader {
            work: Arc::clone(work),
            session: Arc::clone(session),
            progress: Arc::clone(&progress),
            loading: Arc::clone(&loading),
            builds_keys,
            job: LoadJob::default(),
            done: Vec::new(),
            copying: None,
            copied_rows: 0,
            offtype_rows: 0,
            is_staged: false,
        };
        set.spawn(loader.run(feed));
    }
    worker_pool::joined(&work.ctx, set).await.map(drop)
}

/// Obeys one reader. Dropped in the middle of a job it leaves nothing of that job, because the server rolls back.
struct Loader {
    work: Arc<LoadContext>,
    session: Arc<Session>,
    progress: Arc<LoadProgress>,
    /// The connections that load; keys of complete tables follow.
    loading: Arc<FollowUps>,
    builds_keys: bool,
    job: LoadJob,
    /// Chunks of the job that are sent.
    done: Vec<CommittedChunk>,
    copying: Option<Copying>,
    /// What the server says it has taken of the present part.
    copied_rows: u64,
    offtype_rows: u64,
    /// Whether the rows of the present part go into the temporary table.
    is_staged: bool,
}

/// A COPY that is under way.
type Copying = Pin<Box<CopyInSink<Bytes>>>;

impl Loader {
    async fn run(mut self, mut feed: mpsc::Receiver<Result<ReaderMessage>>) -> Result<()> {
        let work = Arc::clone(&self.work);
        loop {
            match feed.recv().await.unwrap_or_else(|| Err(bug("a reader thread ended early")))? {
                ReaderMessage::Begin(job) => self.begin(job).await?,
                ReaderMessage::Rows(bytes) => {
                    let table = self.table(&work)?;
                    self.rows(table, bytes).await.at_table(&table.source)?;
                }
                ReaderMessage::OffTypeRows(bytes) => self.offtype_rows(bytes).await.at_table(OFFTYPE_TABLE)?,
                ReaderMessage::PartEnd(totals) => {
                    let table = self.table(&work)?;
                    self.end_part(table, totals).await.at_table(&table.source)?;
                }
                ReaderMessage::End => self.commit().await?,
                ReaderMessage::Finished => return self.build_keys(&work).await,
            }
        }
    }

    /// The table of the present part.
    fn table<'a>(&self, work: &'a LoadContext) -> Result<&'a TablePlan> {
        let part = self.job.parts.get(self.done.len());
        part.and_then(|part| work.plan.tables.get(part.table)).ok_or_else(|| bug("rows that belong to no table"))
    }

    async fn begin(&mut self, job: LoadJob) -> Result<()> {
        let mut sql = String::from("BEGIN");
        for part in &job.parts {
            self.progress.begin(&self.work, part.table);
            if let Some(table) = self.work.plan.tables.get(part.table).filter(|_| job.creates) {
                sql.push_str(&create_sql(&self.work.plan.schema, table));
            }
        }
        self.job = job;
        self.done.clear();
        self.session.batch("creating tables", &sql).await
    }

    async fn rows(&mut self, table: &TablePlan, bytes: Bytes) -> Result<()> {
        if self.copying.is_none() {
            let schema = &self.work.plan.schema;
            let by_text = table.has_text_input();
            if by_text && !self.is_staged {
                text_input::begin(&self.session, schema, table).await?;
                self.is_staged = true;
            }
            let sql = if by_text {
                text_input::copy_statement(table)
            } else {
                copy::statement(schema, &table.name, &table.copy_columns())
            };
            self.copying = Some(open(&self.session, &sql).await?);
        }
        match &mut self.copying {
            Some(copying) => send(&self.session, copying, bytes).await,
            None => Err(bug("rows without a COPY")),
        }
    }

    /// Interrupts the table's COPY for rows of the off-type table: a connection does one COPY at a time.
    async fn offtype_rows(&mut self, bytes: Bytes) -> Result<()> {
        self.end_copy().await?;
        let columns = quote_list(offtype::COLUMNS.iter().map(|(name, _)| *name));
        let mut copying =
            open(&self.session, &copy::statement(&self.work.plan.schema, OFFTYPE_TABLE, &columns)).await?;
        send(&self.session, &mut copying, bytes).await?;
        self.offtype_rows += close(&self.session, copying).await?;
        Ok(())
    }

    async fn end_copy(&mut self) -> Result<()> {
        if let Some(copying) = self.copying.take() {
            self.copied_rows += close(&self.session, copying).await?;
        }
        Ok(())
    }

    async fn end_part(&mut self, table: &TablePlan, totals: ChunkTotals) -> Result<()> {
        self.end_copy().await?;
        let (copied, offtype) = (std::mem::take(&mut self.copied_rows), std::mem::take(&mut self.offtype_rows));
        if (copied, offtype) != (totals.rows, totals.offtype_rows) {
            let what = format!("{} rows were sent and {copied} taken", totals.rows);
            return Err(Error::new(Kind::LocalRejected, what));
        }
        let digest = if std::mem::take(&mut self.is_staged) {
            Box::pin(text_input::end(&self.session, &self.work.plan.schema, table, &totals)).await?
        } else {
            totals.digest
        };
        let part = self.job.parts.get(self.done.len()).ok_or_else(|| bug("rows that belong to no table"))?;
        self.done.push(CommittedChunk {
            table: table.name.clone(),
            number: part.number,
            bounds: part.bounds,
            rows: totals.rows,
            bytes: totals.bytes,
            digest,
            offtype_rows: totals.offtype_rows,
            offtype_digest: totals.offtype_digest,
        });
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        let mut sql = String::new();
        for chunk in &self.done {
            sql.push_str(&load_journal::chunk_sql(chunk));
            sql.push_str("; ");
        }
        self.session.batch("committing rows", &format!("{sql}COMMIT")).await?;
        for (part, chunk) in self.job.parts.iter().zip(&self.done) {
            if self.progress.committed(&self.work, part.table, chunk) {
                self.loading.add(part.table);
            }
        }
        Ok(())
    }
}

impl Loader {
    /// Builds the keys of complete tables, until no other connection loads rows.
    async fn build_keys(&self, work: &LoadContext) -> Result<()> {
        self.loading.done();
        while let Some(table) = self.loading.next().await.filter(|_| self.builds_keys) {
            // The trial that follows the rows may load a table with generated columns again.
            let is_final = |table: &&TablePlan| table.columns.iter().all(|column| column.generated.is_none());
            if let Some(table) = work.plan.tables.get(table).filter(is_final) {
                post_load::keys(work, &self.session, table).await?;
            }
        }
        Ok(())
    }
}

/// CREATE TABLE and its marker, with leading semicolons.
pub(super) fn create_sql(schema: &str, table: &TablePlan) -> String {
    format!("; {}; {}", ddl::create_table(schema, table).sql, load_journal::made_sql(schema, &table.name))
}

async fn open(session: &Session, sql: &str) -> Result<Copying> {
    let opened = Box::pin(session.client().copy_in::<_, Bytes>(sql)).await;
    let mut copying = Box::pin(opened.map_err(|failure| session.error("beginning to copy", &failure))?);
    send(session, &mut copying, Bytes::from_static(&HEADER)).await?;
    Ok(copying)
}

async fn send(session: &Session, copying: &mut Copying, mut bytes: Bytes) -> Result<()> {
    while !bytes.is_empty() {
        let message = bytes.split_to(bytes.len().min(MESSAGE_BYTES));
        copying.feed(message).await.map_err(|failure| session.error("copying rows", &failure))?;
    }
    Ok(())
}

async fn close(session: &Session, mut copying: Copying) -> Result<u64> {
    send(session, &mut copying, Bytes::from_static(&TRAILER)).await?;
    copying.as_mut().finish().await.map_err(|failure| session.error("copying rows", &failure))
}

fn bug(what: &str) -> Error {
    Error::new(Kind::Bug, what)
}
