//! The workers: each pulls chunks from one queue and sends them over its own pair of sessions, reconnecting when one
//! is lost.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use futures_util::future::join_all;

use crate::{
    error::{Error, Result, ResultExt, Retry},
    event::Event,
    model::Stage,
    postgres::{PgEndpoint, Role, Session, retry},
    stages::push::{
        load::{
            chunk::Chunk,
            copy_stream::{Pair, Parcel, Sent, at},
            progress_journal::Diary,
            staging::Staging,
        },
        plan::manifest::Manifest,
        target::session::Target,
    },
};

/// How often one chunk is tried.
const TRIES: u32 = 10;

/// The load of one run.
pub(crate) struct Load<'a> {
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
    pub diary: &'a Diary,
}

/// What is still to do, and how far each table is.
struct Yard {
    queue: VecDeque<Chunk>,
    /// Per table: chunks that are not committed yet.
    left: BTreeMap<usize, usize>,
    begun: BTreeMap<usize, Instant>,
    rows: BTreeMap<usize, u64>,
}

impl Load<'_> {
    /// Sends every chunk that isn't committed yet, over at most `workers` pairs of sessions.
    ///
    /// # Errors
    /// The first hard error of a worker; the others finish their chunk before it is told.
    pub(crate) async fn run(&self, chunks: &[Chunk], workers: usize) -> Result<()> {
        let yard = Mutex::new(self.yard(chunks));
        let failed = AtomicBool::new(false);
        let waiting = lock(&yard).queue.len();
        let crew = (0..workers.clamp(1, 16).min(waiting)).map(|_| self.worker(&yard, &failed));
        let mut errors: Vec<Error> = join_all(crew).await.into_iter().filter_map(Result::err).collect();
        // What can't be cured by another try says more than what can.
        errors.sort_by_key(|error| error.retry() != Retry::Never);
        errors.into_iter().next().map_or(Ok(()), Err)
    }

    /// The queue without the committed chunks, and the tables that are complete already told of.
    fn yard(&self, chunks: &[Chunk]) -> Yard {
        let done: BTreeMap<(&str, i32), (u64, u64)> = self
            .staging
            .committed
            .iter()
            .map(|(table, number, rows, bytes)| ((table.as_str(), *number), (*rows, *bytes)))
            .collect();
        let mut yard =
            Yard { queue: VecDeque::new(), left: BTreeMap::new(), begun: BTreeMap::new(), rows: BTreeMap::new() };
        let mut committed: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
        for chunk in chunks {
            let Some(cargo) = self.manifest.cargo.get(chunk.cargo) else { continue };
            if let Some((rows, bytes)) = done.get(&(cargo.table.name.as_str(), chunk.number)) {
                let sum = committed.entry(chunk.cargo).or_default();
                *sum = (sum.0 + rows, sum.1 + bytes);
            } else {
                yard.queue.push_back(*chunk);
                *yard.left.entry(chunk.cargo).or_default() += 1;
            }
        }
        let unfinished: BTreeSet<usize> = yard.left.keys().copied().collect();
        for index in 0..self.manifest.cargo.len() {
            let (rows, bytes) = committed.get(&index).copied().unwrap_or_default();
            yard.rows.insert(index, rows);
            if rows > 0 || !unfinished.contains(&index) {
                self.tell_begun(&mut yard, index);
                self.tell_committed(index, self.diary.catch_up(index, Sent { rows, bytes }));
            }
            if !unfinished.contains(&index) {
                self.tell_finished(&yard, index);
            }
        }
        yard
    }

    async fn worker(&self, yard: &Mutex<Yard>, failed: &AtomicBool) -> Result<()> {
        let worked = Box::pin(self.work(yard, failed)).await;
        if worked.is_err() {
            failed.store(true, Ordering::SeqCst);
        }
        worked
    }

    async fn work(&self, yard: &Mutex<Yard>, failed: &AtomicBool) -> Result<()> {
        let mut pair = Pair { local: self.open_local().await?, target: self.target.session(self.path).await? };
        while !failed.load(Ordering::SeqCst) {
            self.target.ctx.stop.check()?;
            let Some(chunk) = lock(yard).queue.pop_front() else { return Ok(()) };
            let Some(cargo) = self.manifest.cargo.get(chunk.cargo) else { continue };
            self.tell_begun(&mut lock(yard), chunk.cargo);
            let parcel = Parcel {
                run_id: self.staging.run_id,
                from: &self.manifest.plan.schema,
                to: &self.staging.schema,
                cargo,
                chunk,
            };
            let sent = self.send(&mut pair, &parcel).await.at_table(&cargo.table.source)?;
            self.diary.committed(chunk.cargo, sent);
            self.tell_committed(chunk.cargo, sent);
            let mut yard = lock(yard);
            *yard.rows.entry(chunk.cargo).or_default() += sent.rows;
            let left = yard.left.entry(chunk.cargo).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.tell_finished(&yard, chunk.cargo);
            }
        }
        Ok(())
    }

    /// Sends one chunk, again after a lost connection unless its marker shows that it had been committed.
    async fn send(&self, pair: &mut Pair, parcel: &Parcel<'_>) -> Result<Sent> {
        let mut attempt = 1;
        loop {
            let error = match pair.send(parcel, |bytes| self.diary.sent(bytes)).await {
                Ok(sent) => return Ok(sent),
                Err(error) if error.retry() == Retry::Patiently && attempt < TRIES => at(parcel, error),
                Err(error) => return Err(error),
            };
            attempt += 1;
            retry::wait(self.target.ctx, Stage::Push, &error, attempt).await?;
            self.reopen(pair).await?;
            if let Some(sent) = pair.marker(parcel).await? {
                return Ok(sent);
            }
        }
    }

    /// Replaces the sessions that are lost. The server process of a lost one may still be at work: it is ended, so
    /// that it can't hold the chunk's marker.
    async fn reopen(&self, pair: &mut Pair) -> Result<()> {
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
        Box::pin(Session::connect_patiently(self.target.ctx, Stage::Push, self.local)).await
    }

    fn tell_begun(&self, yard: &mut Yard, index: usize) {
        let Some(cargo) = self.manifest.cargo.get(index) else { return };
        yard.begun.entry(index).or_insert_with(Instant::now);
        if !self.diary.first_sight(index) {
            return;
        }
        let rows_total = cargo.loaded.as_ref().map(|loaded| loaded.rows);
        let table = cargo.table.source.clone();
        self.target.ctx.out.emit(&Event::TableStarted { stage: Stage::Push, table, rows_total });
    }

    fn tell_committed(&self, index: usize, sent: Sent) {
        let Some(cargo) = self.manifest.cargo.get(index) else { return };
        let Sent { rows, bytes } = sent;
        if rows == 0 && bytes == 0 {
            return;
        }
        let table = cargo.table.source.clone();
        self.target.ctx.out.emit(&Event::Committed { stage: Stage::Push, table, rows, bytes });
    }

    fn tell_finished(&self, yard: &Yard, index: usize) {
        let Some(cargo) = self.manifest.cargo.get(index) else { return };
        if !self.diary.first_end(index) {
            return;
        }
        let elapsed = yard.begun.get(&index).map_or(0, |begun| begun.elapsed().as_millis());
        let rows = yard.rows.get(&index).copied().unwrap_or(0);
        let elapsed_ms = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let table = cargo.table.source.clone();
        self.target.ctx.out.emit(&Event::TableFinished { stage: Stage::Push, table, rows, elapsed_ms });
    }
}

fn lock(yard: &Mutex<Yard>) -> MutexGuard<'_, Yard> {
    yard.lock().unwrap_or_else(PoisonError::into_inner)
}
