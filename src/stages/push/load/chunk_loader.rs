//! The workers: each pulls chunks from one queue and sends them over its own pair of sessions, reconnecting when one
//! is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::repeat_n,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use futures_util::future::try_join_all;

use crate::{
    error::{Result, ResultExt, Retry},
    event::Event,
    model::Stage,
    postgres::{PgEndpoint, Role, Session},
    retry,
    stages::push::{
        load::{
            chunk::{Chunk, LocalSize},
            copy_stream::{ChunkCopy, SentCounts, SessionPair, at},
            post_load,
            progress_journal::ProgressJournal,
            staging::Staging,
        },
        plan::manifest::Manifest,
        target::session::Target,
    },
    worker_pool::{self, FollowUps},
};

/// How often one chunk is tried.
const TRIES: u32 = 10;

/// The load of one run.
pub(crate) struct ChunkLoader<'a> {
    /// Where to.
    pub target: &'a Target<'a>,
    /// Where from.
    pub local: &'a PgEndpoint,
    /// What.
    pub manifest: &'a Manifest,
    /// Into which schema.
    pub staging: &'a Staging,
    /// Schemas of extensions.
    pub path: &'a [String],
    /// Told of what is sent.
    pub journal: &'a ProgressJournal,
    /// Sizes of the tables, in the manifest's order.
    pub sizes: &'a [LocalSize],
}

/// What a worker does.
#[derive(Clone, Copy)]
enum LoadStep {
    Chunk(Chunk),
    /// Keys and indexes of complete tables, until all chunks are committed.
    Indexes,
}

/// How far each table is.
#[derive(Default)]
struct PendingChunks {
    /// Per table: chunks that are not committed yet.
    left: BTreeMap<usize, usize>,
    begun: BTreeMap<usize, Instant>,
    rows: BTreeMap<usize, u64>,
}

impl ChunkLoader<'_> {
    /// Sends every chunk that isn't committed yet, over at most `workers` pairs of sessions.
    ///
    /// # Errors
    /// The first hard error of a worker; the others finish their chunk before it is told.
    pub(crate) async fn run(&self, chunks: &[Chunk], workers: usize) -> Result<()> {
        let (pending, queue) = self.pending(chunks);
        if queue.is_empty() {
            return Ok(());
        }
        let sessions = self.target.sessions(self.path, workers.clamp(1, 16).min(queue.len())).await?;
        let pairs = sessions
            .into_iter()
            .map(|target| async { self.open_local().await.map(|local| SessionPair { local, target }) });
        let pairs: Vec<SessionPair> = try_join_all(pairs).await?;
        let loading = FollowUps::new(queue.len());
        // Of an interrupted load some indexes may be there already.
        let builders = if self.staging.committed.is_empty() { pairs.len() } else { 0 };
        let steps = queue.into_iter().map(LoadStep::Chunk).chain(repeat_n(LoadStep::Indexes, builders));
        let (pending, loading) = (&Mutex::new(pending), &loading);
        let work = |mut pair: SessionPair, step| async move {
            let done = match step {
                LoadStep::Chunk(chunk) => Box::pin(self.load(&mut pair, (pending, loading), chunk)).await,
                LoadStep::Indexes => Box::pin(self.indexes(&pair, loading)).await,
            };
            // Whoever waits for the other chunks must not wait for ever.
            done.inspect_err(|_| loading.end())?;
            Ok((pair, ()))
        };
        worker_pool::in_place(self.target.ctx, pairs, steps, work).await.map(drop)
    }

    /// Builds keys and indexes of complete tables, until all chunks are committed.
    async fn indexes(&self, pair: &SessionPair, loading: &FollowUps) -> Result<()> {
        // Who stops between two chunks leaves the others uncommitted.
        while let Some(index) = self.target.ctx.stop.or(loading.next()).await? {
            let (Some(to_push), Some(size)) = (self.manifest.tables.get(index), self.sizes.get(index)) else {
                continue;
            };
            let building = post_load::build_early(&pair.target, &self.staging.schema, &to_push.table, size.bytes);
            match building.await {
                Ok(()) => {}
                // What is missing is built after the load.
                Err(error) if error.retry() == Retry::WithPauses => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The queue without the committed chunks, and the tables that are complete already told of.
    fn pending(&self, chunks: &[Chunk]) -> (PendingChunks, Vec<Chunk>) {
        let done: BTreeMap<(&str, i32), (u64, u64)> = self
            .staging
            .committed
            .iter()
            .map(|(table, number, rows, bytes)| ((table.as_str(), *number), (*rows, *bytes)))
            .collect();
        let (mut pending, mut queue) = (PendingChunks::default(), Vec::new());
        let mut committed: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for chunk in chunks {
            let Some(to_push) = self.manifest.tables.get(chunk.table) else { continue };
            if let Some((rows, bytes)) = done.get(&(to_push.table.name.as_str(), chunk.number)) {
                let sum = committed.entry(chunk.table).or_default();
                *sum = (sum.0 + rows, sum.1 + bytes);
            } else {
                queue.push(*chunk);
                *pending.left.entry(chunk.table).or_default() += 1;
            }
        }
        let unfinished: BTreeSet<usize> = pending.left.keys().copied().collect();
        for index in 0..self.manifest.tables.len() {
            let (rows, bytes) = committed.get(&index).copied().unwrap_or_default();
            pending.rows.insert(index, rows);
            if rows > 0 || !unfinished.contains(&index) {
                self.report_started(&mut pending, index);
                self.report_committed(index, self.journal.catch_up(index, SentCounts { rows, bytes }));
            }
            if !unfinished.contains(&index) {
                self.report_finished(&pending, index);
            }
        }
        (pending, queue)
    }

    async fn load(
        &self,
        pair: &mut SessionPair,
        (pending, loading): (&Mutex<PendingChunks>, &FollowUps),
        chunk: Chunk,
    ) -> Result<()> {
        let Some(to_push) = self.manifest.tables.get(chunk.table) else { return Ok(()) };
        self.report_started(&mut lock(pending), chunk.table);
        let chunk_copy = ChunkCopy {
            run_id: self.staging.run_id,
            from: &self.manifest.plan.schema,
            to: &self.staging.schema,
            to_push,
            chunk,
        };
        let sent = self.send(pair, &chunk_copy).await.at_table(&to_push.table.source)?;
        self.journal.committed(chunk.table, sent);
        self.report_committed(chunk.table, sent);
        let mut pending = lock(pending);
        *pending.rows.entry(chunk.table).or_default() += sent.rows;
        let left = pending.left.entry(chunk.table).or_default();
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.report_finished(&pending, chunk.table);
            loading.add(chunk.table);
        }
        drop(pending);
        loading.done();
        Ok(())
    }

    /// Sends one chunk, again after a lost connection unless its marker shows that it had been committed.
    async fn send(&self, pair: &mut SessionPair, chunk_copy: &ChunkCopy<'_>) -> Result<SentCounts> {
        let mut attempt = 1;
        loop {
            let error = match pair.send(chunk_copy, |bytes| self.journal.sent(bytes)).await {
                Ok(sent) => return Ok(sent),
                Err(error) if error.retry() == Retry::WithPauses && attempt < TRIES => at(chunk_copy, error),
                Err(error) => return Err(error),
            };
            attempt += 1;
            retry::wait(self.target.ctx, Stage::Push, &error, attempt).await?;
            self.reopen(pair).await?;
            if let Some(sent) = pair.marker(chunk_copy).await? {
                return Ok(sent);
            }
        }
    }

    /// Replaces the sessions that are lost. The server process of a lost one may still be at work: it is ended, so
    /// that it can't hold the chunk's marker.
    async fn reopen(&self, pair: &mut SessionPair) -> Result<()> {
        if pair.local.is_lost() {
            pair.local = self.open_local().await?;
        }
        if pair.target.is_lost() {
            let former = pair.target.process();
            pair.target = self.target.session(self.path).await?;
            self.target.end_process(&pair.target, former).await?;
        }
        Ok(())
    }

    async fn open_local(&self) -> Result<Session> {
        debug_assert_eq!(self.local.role(), Role::Local, "rows are read from the local PostgreSQL");
        Box::pin(Session::connect_with_retry(self.target.ctx, Stage::Push, self.local)).await
    }

    fn report_started(&self, pending: &mut PendingChunks, index: usize) {
        let Some(to_push) = self.manifest.tables.get(index) else { return };
        pending.begun.entry(index).or_insert_with(Instant::now);
        if !self.journal.is_first_report(index) {
            return;
        }
        let rows_total = to_push.loaded.as_ref().map(|loaded| loaded.rows);
        let table = to_push.table.source.clone();
        self.target.ctx.out.emit(&Event::TableStarted { stage: Stage::Push, table, rows_total });
    }

    fn report_committed(&self, index: usize, sent: SentCounts) {
        let Some(to_push) = self.manifest.tables.get(index) else { return };
        let SentCounts { rows, bytes } = sent;
        if rows == 0 && bytes == 0 {
            return;
        }
        let table = to_push.table.source.clone();
        self.target.ctx.out.emit(&Event::Committed { stage: Stage::Push, table, rows, bytes });
    }

    fn report_finished(&self, pending: &PendingChunks, index: usize) {
        let Some(to_push) = self.manifest.tables.get(index) else { return };
        if !self.journal.is_first_end_report(index) {
            return;
        }
        let elapsed = pending.begun.get(&index).map_or(0, |begun| begun.elapsed().as_millis());
        let rows = pending.rows.get(&index).copied().unwrap_or(0);
        let elapsed_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let table = to_push.table.source.clone();
        self.target.ctx.out.emit(&Event::TableFinished { stage: Stage::Push, table, rows, elapsed_ms });
    }
}

fn lock(pending: &Mutex<PendingChunks>) -> MutexGuard<'_, PendingChunks> {
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
