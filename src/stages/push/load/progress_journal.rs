//! What is written down while a push goes on: the checkpoint, the time of each phase, the bytes sent, and what has
//! been reported already, so that a try that begins anew doesn't report it twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::{
    context::Context,
    error::Result,
    event::Event,
    model::{
        PushCheckpoint, Stage,
        checkpoint::{CHECKPOINT_FORMAT, LoadState, PushAccount, PushedTable},
        push_plan::{PushMode, PushPlan},
    },
    stages::push::{load::copy_stream::SentCounts, plan::manifest::Manifest},
    workdir::{now_s, sealed},
};

/// The journal of one push, over all its tries.
pub(crate) struct ProgressJournal {
    started_s: u64,
    begun: Instant,
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    reported: Mutex<ReportedProgress>,
}

#[derive(Default)]
struct ReportedProgress {
    phases_ms: BTreeMap<String, u64>,
    begun: BTreeSet<usize>,
    ended: BTreeSet<usize>,
    committed: BTreeMap<usize, SentCounts>,
    /// Sent outside of chunks, by source table.
    moved: BTreeMap<String, SentCounts>,
    /// Bytes on the target, by name.
    sizes: BTreeMap<String, u64>,
    database_bytes: Option<u64>,
    frameworks: Vec<String>,
}

/// What a checkpoint says besides what the manifest knows.
pub(crate) struct CheckpointEntry {
    /// `host:port/database`.
    pub target: String,
    /// The schema on the target.
    pub schema: String,
    /// How the tables were brought up to date.
    pub mode: PushMode,
    /// What the push does; none where another process did it.
    pub plan: Option<PushPlan>,
    /// Names of tables that were replaced.
    pub replaced: Vec<String>,
    /// Where they are kept.
    pub previous_schema: Option<String>,
    /// Per source table.
    pub tables: BTreeMap<String, PushedTable>,
    /// What was replaced or changed is kept.
    pub kept: bool,
    /// The Neon branch that keeps the state before.
    pub restore_point: Option<String>,
}

impl ProgressJournal {
    pub(crate) fn new() -> Self {
        Self {
            started_s: now_s(),
            begun: Instant::now(),
            sent_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            reported: Mutex::default(),
        }
    }

    fn reported(&self) -> MutexGuard<'_, ReportedProgress> {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes of row data as they leave.
    pub(crate) fn sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes of hashes that came from the target.
    pub(crate) fn received(&self, bytes: u64) {
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes sent so far.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }

    /// Takes over what former processes sent in the same run: what their checkpoint says, or at least the bytes of the
    /// chunks that they committed.
    pub(crate) fn continue_from(&self, ctx: &Context, manifest: &Manifest, target: &str, committed_bytes: u64) {
        if self.sent_bytes() > 0 {
            return;
        }
        let noted = ctx.workdir.load_push().ok().filter(|former| {
            former.state == LoadState::Loading && former.run_key == manifest.run_key && former.target == target
        });
        self.sent(noted.map_or(0, |former| former.sent_bytes).max(committed_bytes));
    }

    /// Whether this table is reported for the first time.
    pub(crate) fn is_first_report(&self, index: usize) -> bool {
        self.reported().begun.insert(index)
    }

    /// Whether this table's end is reported for the first time.
    pub(crate) fn is_first_end_report(&self, index: usize) -> bool {
        self.reported().ended.insert(index)
    }

    /// One more chunk of this table is committed.
    pub(crate) fn committed(&self, index: usize, sent: SentCounts) {
        let mut reported = self.reported();
        let sum = reported.committed.entry(index).or_default();
        *sum = SentCounts { rows: sum.rows + sent.rows, bytes: sum.bytes + sent.bytes };
    }

    /// So much of this source table was sent at once.
    pub(crate) fn moved(&self, table: &str, sent: SentCounts) {
        let mut reported = self.reported();
        let sum = reported.moved.entry(table.to_owned()).or_default();
        *sum = SentCounts { rows: sum.rows + sent.rows, bytes: sum.bytes + sent.bytes };
    }

    /// What tables take on the target: name, bytes, bytes of the database.
    pub(crate) fn record_table_sizes(&self, sizes: Vec<(String, u64, u64)>) {
        let mut reported = self.reported();
        for (name, bytes, database_bytes) in sizes {
            reported.sizes.insert(name, bytes);
            reported.database_bytes = Some(database_bytes);
        }
    }

    /// Adds to each table what was sent of it and what it takes on the target.
    /// Notes the settings of frameworks that the answer and the report show.
    pub(crate) fn record_frameworks(&self, settings: Vec<String>) {
        self.reported().frameworks = settings;
    }

    fn account(&self, manifest: &Manifest, entry: &mut CheckpointEntry) -> PushAccount {
        let reported = self.reported();
        let mut account = PushAccount {
            why: entry.plan.as_ref().map(|plan| plan.reason.clone()).unwrap_or_default(),
            elapsed_ms: u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            kept: entry.kept,
            database_bytes: reported.database_bytes,
            frameworks: reported.frameworks.clone(),
            ..PushAccount::default()
        };
        for (index, to_push) in manifest.tables.iter().enumerate() {
            let Some(pushed) = entry.tables.get_mut(&to_push.table.source) else { continue };
            let (chunks, moved) = (reported.committed.get(&index), reported.moved.get(&to_push.table.source));
            for sent in chunks.into_iter().chain(moved) {
                pushed.sent_rows += sent.rows;
                pushed.sent_bytes += sent.bytes;
            }
            pushed.target_bytes = reported.sizes.get(&to_push.table.name).copied();
            account.sent_rows += pushed.sent_rows;
            if let Some(bytes) = pushed.target_bytes {
                *account.tables_bytes.get_or_insert(0) += bytes;
            }
        }
        account
    }

    /// The part of this total that was not reported yet; it counts as reported from now on.
    pub(crate) fn catch_up(&self, index: usize, total: SentCounts) -> SentCounts {
        let mut reported = self.reported();
        let sum = reported.committed.entry(index).or_default();
        let news =
            SentCounts { rows: total.rows.saturating_sub(sum.rows), bytes: total.bytes.saturating_sub(sum.bytes) };
        *sum = total;
        news
    }

    /// Does a named part of the push, tells of it and measures it.
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) async fn run_phase<T>(
        &self,
        ctx: &Context,
        phase: &'static str,
        steps: Option<u64>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        ctx.out.emit(&Event::PhaseStarted { stage: Stage::Push, phase, steps });
        let begun = Instant::now();
        let done = work.await;
        let elapsed = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        *self.reported().phases_ms.entry(phase.to_owned()).or_default() += elapsed;
        done
    }

    /// Writes the checkpoint.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub(crate) fn write(
        &self,
        ctx: &Context,
        manifest: &Manifest,
        mut entry: CheckpointEntry,
        state: LoadState,
    ) -> Result<PushCheckpoint> {
        let account = self.account(manifest, &mut entry);
        let checkpoint = PushCheckpoint {
            format: CHECKPOINT_FORMAT,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            run_key: manifest.run_key.clone(),
            plan_sha256: manifest.plan_sha256.clone(),
            target: entry.target,
            schema: entry.schema,
            mode: entry.mode,
            plan: entry.plan,
            replaced: entry.replaced,
            previous_schema: entry.previous_schema,
            restore_point: entry.restore_point,
            state,
            tables: entry.tables,
            dropped: manifest.convert.dropped.clone(),
            sent_bytes: self.sent_bytes(),
            compared_bytes: self.received_bytes.load(Ordering::Relaxed),
            account,
            phases_ms: self.reported().phases_ms.clone(),
            started_s: self.started_s,
            finished_s: if state == LoadState::Done { now_s() } else { 0 },
        };
        ctx.workdir.subdir("push")?;
        sealed::store(&ctx.workdir.push_checkpoint(), &checkpoint)?;
        Ok(checkpoint)
    }
}
