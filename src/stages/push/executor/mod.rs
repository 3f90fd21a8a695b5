//! Carries out one push: look, plan, apply, and begin anew when a connection is lost.

mod alter;

mod drift_guard;

mod records;

mod structure_guard;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::{
    context::Context,
    error::{Error, Kind, Result, Retry},
    model::{
        PushCheckpoint, Stage, TablePlan,
        checkpoint::LoadState,
        human_format::counted,
        push_plan::{Action, Kept, PushMode, PushPlan, RequestedMode},
        row_changes::RowChanges,
    },
    postgres::{PgEndpoint, Session, managed::LocalServer},
    retry,
    stages::push::{
        cutover::{
            Cutover, own_values,
            replace_rows::{self, ReplaceRows},
        },
        diff::{
            diff_push::{DiffPush, TableDiffs},
            row_undo,
        },
        load::{
            chunk::{self, LocalSize},
            chunk_loader::ChunkLoader,
            copy_stream,
            digest_check::{self, ExpectedDigest},
            post_load::{PostLoadInput, build},
            progress_journal::ProgressJournal,
            push_scope::PushScope,
            session_pool::SessionPool,
            staging::{self, Staging, StagingRequest},
        },
        plan::{
            self,
            alteration::Alteration,
            in_place,
            manifest::{Manifest, TableToPush},
            mode_selection::{self, Choice},
            preflight::TargetState,
            request::{PushRequest, Pushed},
        },
        target::{baseline, record, session::Target, source_identity},
    },
};

use drift_guard::DriftCheck;

/// How often a push begins anew without having come any further.
const TRIES: u32 = 6;
/// Connections that load at once, unless the user says otherwise.
const WORKERS: usize = 4;

/// One push over all its tries.
pub(super) struct PushExecutor<'a> {
    ctx: &'a Context,
    request: &'a PushRequest,
    endpoint: &'a PgEndpoint,
    manifest: &'a Manifest,
    target: Target<'a>,
    journal: ProgressJournal,
    /// The run that this process loads; its number shows whether a cutover whose answer was lost has happened.
    run: Mutex<Option<i64>>,
    /// The name of the restore point that was made.
    restore_point: Mutex<Option<String>>,
    /// What was altered, or in a dry run would be.
    altered: Mutex<Alteration>,
}

/// The sessions of one try.
#[derive(Clone, Copy)]
struct Sessions<'a> {
    /// The session on the target that holds the push's lock.
    control: &'a Session,
    /// A session on the local PostgreSQL.
    reader: &'a Session,
    /// Where more sessions of the local PostgreSQL come from.
    local: &'a PgEndpoint,
}

impl<'a> PushExecutor<'a> {
    pub(super) fn new(
        ctx: &'a Context,
        request: &'a PushRequest,
        endpoint: &'a PgEndpoint,
        manifest: &'a Manifest,
    ) -> Self {
        let target = Target::new(ctx, endpoint, &request.schema, request.lock_wait);
        let (run, restore_point) = (Mutex::new(None), Mutex::new(None));
        let (journal, altered) = (ProgressJournal::new(), Mutex::default());
        Self { ctx, request, endpoint, manifest, target, journal, run, restore_point, altered }
    }

    /// Pushes, or finds that there is nothing to do.
    ///
    /// # Errors
    /// As [`super::push`].
    pub(super) async fn run(&self) -> Result<Pushed> {
        let mut local = None;
        let pushed = self.run_with_retries(&mut local).await;
        // A managed server must be stopped whatever happened; the first error is the one to report.
        let closed = match local {
            Some(server) => server.close().await,
            None => Ok(()),
        };
        pushed.and_then(|pushed| closed.map(|()| pushed))
    }

    async fn run_with_retries(&self, local: &mut Option<LocalServer>) -> Result<Pushed> {
        let mut attempt = 1;
        loop {
            let sent = self.journal.sent_bytes();
            let error = match Box::pin(self.attempt(local)).await {
                Err(error) if error.retry() == Retry::WithPauses && attempt < TRIES => error,
                other => return other,
            };
            if self.journal.sent_bytes() > sent {
                attempt = 1;
            }
            attempt += 1;
            retry::wait(self.ctx, Stage::Push, &error, attempt).await?;
        }
    }

    async fn attempt(&self, local: &mut Option<LocalServer>) -> Result<Pushed> {
        let control = self.target.control().await?;
        if !self.request.dry_run {
            self.target.lock(&control).await?;
        }
        let pushed = Box::pin(self.look_and_apply(&control, local)).await?;
        if pushed.checkpoint.is_some() && !pushed.unchanged {
            baseline::note_structure(&control, &self.request.schema).await?;
            self.note_contract(&control).await?;
        }
        if let Some(source) = self.manifest.source.as_ref().filter(|_| pushed.checkpoint.is_some() && !pushed.unchanged)
        {
            source_identity::note(&control, &self.request.schema, source).await?;
        }
        Ok(pushed)
    }

    async fn look_and_apply(&self, control: &Session, local: &mut Option<LocalServer>) -> Result<Pushed> {
        let mut target_state = TargetState::look(control, self.manifest, self.request).await?;
        if let Some(checkpoint) = self.committed_result(&target_state)? {
            self.drop_leftovers(control, &target_state, self.request.keep_previous).await?;
            return Ok(Pushed { checkpoint: Some(checkpoint), ..Pushed::default() });
        }
        let drift = Box::pin(self.find_drift(control, &target_state)).await?;
        if self.holds_already(&target_state, &drift) {
            return self.unchanged_result(control, &target_state).await;
        }
        let server = match local {
            Some(server) => server,
            None => local
                .insert(LocalServer::open_loaded(self.ctx, &self.request.local, &self.manifest.convert.local).await?),
        };
        let reader = Box::pin(Session::connect_with_retry(self.ctx, Stage::Push, server.endpoint())).await?;
        let sizes = chunk::local_sizes(&reader, self.manifest).await?;
        target_state.check_room(sizes.iter().map(|size| size.bytes_in_all).sum());
        let sessions = Sessions { control, reader: &reader, local: server.endpoint() };
        let servers = (control, &reader);
        self.decide_drift(servers, drift, &mut target_state).await?;
        self.decide_changes(control, &mut target_state).await?;
        let choice = mode_selection::choose(self.ctx, servers, self.manifest, &target_state, self.request).await?;
        let altering = self.alter_if_chosen(control, target_state, &sizes, choice);
        let (target_state, choice) = Box::pin(altering).await?;
        let is_diff = choice.action == Action::Diff
            && self.request.mode == RequestedMode::Auto
            && target_state.kept.is_empty()
            && target_state.in_place.is_none();
        match Box::pin(self.plan_and_apply(sessions, &target_state, &sizes, choice)).await {
            // A constraint refuses a change row by row; whole tables can still take their places.
            Err(error) if is_diff && blocks_diff(&error) && !control.is_lost() => {
                self.ctx.out.warn(format!("the tables are replaced, because their rows can't be changed: {error}"));
                let choice = mode_selection::without_diff();
                Box::pin(self.plan_and_apply(sessions, &target_state, &sizes, choice)).await
            }
            Err(error) if blocks_diff(&error) => Err(drift_guard::naming_kept(error, &target_state)),
            applied => applied,
        }
    }

    /// If the answer to the cutover's commit was lost: whether it happened.
    fn committed_result(&self, target_state: &TargetState) -> Result<Option<PushCheckpoint>> {
        let run = *self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let live = &target_state.record.live;
        let over = run.is_some_and(|run| !live.is_empty() && live.iter().all(|table| table.run_id == run));
        if over { self.write_done(&target_state.record, None).map(Some) } else { Ok(None) }
    }

    /// Whether the target holds exactly this already: the record says so, and nobody changed it.
    fn holds_already(&self, target_state: &TargetState, drift: &DriftCheck) -> bool {
        let is_unchanged = |to_push: &TableToPush| drift.unchanged.contains(&to_push.table.name);
        !self.request.fresh
            && drift.is_empty()
            && target_state.holds(self.manifest, &self.request.schema)
            && self.manifest.tables.iter().all(is_unchanged)
    }

    async fn unchanged_result(&self, control: &Session, target_state: &TargetState) -> Result<Pushed> {
        let reason = "the target holds these tables with these rows".to_owned();
        let plan = self.plan(target_state, Choice::new(Action::Nothing, reason));
        if self.request.dry_run {
            return Ok(Pushed { unchanged: true, dry_run: plan.lines(""), plan: Some(plan), ..Pushed::default() });
        }
        self.drop_leftovers(control, target_state, true).await?;
        let checkpoint = match self.ctx.workdir.load_push() {
            Ok(known) if self.is_of_this_push(&known) => known,
            Ok(_) | Err(_) => self.write_done(&target_state.record, Some(&plan))?,
        };
        Ok(Pushed { checkpoint: Some(checkpoint), unchanged: true, plan: Some(plan), ..Pushed::default() })
    }

    /// Drops what a push that was cut off after its commit has left: remains of other runs, and replaced tables that a
    /// rollback wouldn't bring back, because rows were changed since. With `keep` other replaced tables stay.
    async fn drop_leftovers(&self, control: &Session, target_state: &TargetState, keep: bool) -> Result<()> {
        let schema = &self.request.schema;
        let sweeping = async {
            for run in &target_state.record.unfinished {
                staging::drop_run(control, run).await?;
            }
            if keep && row_undo::read(control, schema).await?.is_empty() {
                return Ok(());
            }
            record::drop_previous(control, schema, &target_state.record).await
        };
        match sweeping.await {
            Err(error) if !control.is_lost() => {
                self.ctx.out.warn(format!("replaced tables are still there: {}", error.message()));
                Ok(())
            }
            swept => swept,
        }
    }

    fn workers(&self, work: usize) -> usize {
        let requested = if self.request.jobs == 0 { WORKERS } else { self.request.jobs };
        requested.min(work).max(1)
    }

    fn plan(&self, target_state: &TargetState, choice: Choice) -> PushPlan {
        let mut plan = plan::make(self.request, self.endpoint.address(), self.manifest, target_state, choice);
        self.enter_alteration(&mut plan);
        plan
    }

    /// Makes the plan, and applies it unless this is a dry run.
    async fn plan_and_apply(
        &self,
        sessions: Sessions<'_>,
        target_state: &TargetState,
        sizes: &[LocalSize],
        choice: Choice,
    ) -> Result<Pushed> {
        target_state.require_clear(choice.action)?;
        mode_selection::require_kept_in_place(target_state, &choice)?;
        let mut plan = self.plan(target_state, choice);
        if plan.action.changes_rows() {
            let change = self.row_change(sessions, target_state, plan.action);
            let findings = Box::pin(change.find()).await?;
            let kept = plan.kept.clone();
            findings.enter(&mut plan, &target_state.record);
            in_place::require_consent(self.request, self.manifest, &plan)?;
            if self.request.dry_run {
                if !target_state.altered.is_empty() {
                    plan.kept = kept;
                }
                let bytes = self.journal.run_phase(self.ctx, "measuring", None, change.measure(&findings)).await?;
                let sent = format!("{bytes} bytes of rows; {} bytes of hashes were compared", findings.received);
                return Ok(dry_run(plan, &sent));
            }
            self.report_drift(&plan);
            return Box::pin(self.change_rows(&change, findings, plan)).await;
        }
        if self.request.dry_run {
            let sent = self.measure(sessions.reader, sizes).await?;
            return Ok(dry_run(plan, &sent));
        }
        self.report_drift(&plan);
        self.report_leaving(&plan);
        if plan.action == Action::ReplaceRows {
            return Box::pin(self.replace_rows(sessions, target_state, plan)).await;
        }
        if plan.action != Action::DropAndCreate {
            return Box::pin(self.load_and_cut_over(sessions, target_state, sizes, plan)).await;
        }
        replace_rows::drop_live(&self.target, sessions.control, self.manifest, target_state).await?;
        let target_state = TargetState::look(sessions.control, self.manifest, self.request).await?;
        Box::pin(self.load_and_cut_over(sessions, &target_state, sizes, plan)).await
    }

    /// What a load of whole tables would send, counted for a dry run.
    async fn measure(&self, reader: &Session, sizes: &[LocalSize]) -> Result<String> {
        let chunks = chunk::cut(sizes);
        let measuring = async {
            let mut bytes = 0;
            for chunk in &chunks {
                self.ctx.stop.check()?;
                let Some(to_push) = self.manifest.tables.get(chunk.table) else { continue };
                bytes += copy_stream::measure_bytes(reader, &chunk.source(&self.manifest.plan.schema, to_push)).await?;
            }
            Ok(bytes)
        };
        let bytes: u64 = self.journal.run_phase(self.ctx, "measuring", None, measuring).await?;
        Ok(format!("{bytes} bytes in {}", counted(chunks.len() as u64, "chunk", "chunks")))
    }

    /// Says which tables the target will not have any more.
    fn report_leaving(&self, plan: &PushPlan) {
        if plan.leaving.is_empty() {
            return;
        }
        let kept = if plan.kept == Kept::Nothing { "none is kept" } else { "`turso2neon rollback` can put them back" };
        self.ctx.out.warn(format!(
            "these tables of the last push are no longer in the plan and leave schema {}: {}; {kept}",
            plan.schema,
            plan.leaving.join(", ")
        ));
    }

    async fn load_and_cut_over(
        &self,
        sessions: Sessions<'_>,
        target_state: &TargetState,
        sizes: &[LocalSize],
        plan: PushPlan,
    ) -> Result<Pushed> {
        let control = sessions.control;
        let staging = Box::pin(self.load(sessions, target_state, sizes, &plan)).await?;
        let schemas = (staging.schema.as_str(), self.request.schema.as_str());
        let carrying = own_values::carry(control, self.manifest, &target_state.record, schemas);
        let has_carried_values = Box::pin(carrying).await?;
        let digests = Box::pin(self.build_and_compare(sessions, target_state, &staging, sizes)).await?;
        if plan.action == Action::Swap {
            Box::pin(self.refuse_later_drift((control, sessions.reader), target_state)).await?;
        }
        self.make_restore_point(target_state).await?;
        let chunks = chunk::counts(&chunk::cut(sizes), self.manifest.tables.len());
        let mut tables = Self::pushed_tables(&digests);
        for (to_push, chunks) in self.manifest.tables.iter().zip(&chunks) {
            if let Some(pushed) = tables.get_mut(&to_push.table.source) {
                pushed.chunks = *chunks;
            }
        }
        let cutover = Cutover {
            scope: self.scope(sessions, target_state),
            staging: &staging,
            digests,
            chunks,
            has_carried_values,
            keep_previous: self.request.keep_previous,
        };
        Box::pin(self.journal.run_phase(self.ctx, "cutover", None, cutover.run())).await?;
        self.record_sizes(control).await;
        self.done(plan, tables)
    }

    /// Opens the staging schema and sends every chunk that it lacks.
    async fn load(
        &self,
        sessions: Sessions<'_>,
        target_state: &TargetState,
        sizes: &[LocalSize],
        plan: &PushPlan,
    ) -> Result<Staging> {
        let layout = chunk::layout(self.manifest, sizes);
        let known = self.run.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let purpose = StagingRequest {
            manifest: self.manifest,
            schema: &self.request.schema,
            layout: &layout,
            mode: plan.action.mode().unwrap_or(PushMode::Create),
            fresh: self.request.fresh && !known,
        };
        let staging = Staging::open(sessions.control, target_state, &purpose).await?;
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(staging.run_id);
        let committed: u64 = staging.committed.iter().map(|(.., bytes)| bytes).sum();
        self.journal.continue_from(self.ctx, self.manifest, self.endpoint.address(), committed);
        if !staging.committed.is_empty() {
            let chunks = counted(staging.committed.len() as u64, "committed chunk", "committed chunks");
            self.ctx.out.info(format!("continuing after {chunks}"));
        }
        self.write(plan, LoadState::Loading, BTreeMap::new())?;
        let chunks = chunk::cut(sizes);
        let workers = self.workers(chunks.len());
        let load = ChunkLoader {
            target: &self.target,
            local: sessions.local,
            manifest: self.manifest,
            staging: &staging,
            path: &target_state.path,
            journal: &self.journal,
            sizes,
        };
        self.journal.run_phase(self.ctx, "load", Some(chunks.len() as u64), load.run(&chunks, workers)).await?;
        Ok(staging)
    }

    async fn build_and_compare(
        &self,
        sessions: Sessions<'_>,
        target_state: &TargetState,
        staging: &Staging,
        sizes: &[LocalSize],
    ) -> Result<Vec<ExpectedDigest<'a>>> {
        // A table alone has work for several: each of its indexes, and the comparison.
        let jobs = |table: &TablePlan| 2 + table.uniques.len() + table.indexes.len();
        let workers = self.workers(self.manifest.tables.iter().map(|to_push| jobs(&to_push.table)).sum());
        let pool = SessionPool::open(&self.target, &target_state.path, workers).await?;
        let wanted = digest_check::expected_digests(sessions.reader, self.manifest).await?;
        let input = PostLoadInput { schema: &staging.schema, sizes, wanted: &wanted };
        let differing = build(self.ctx, &pool, &self.journal, self.manifest, &input).await?;
        if differing.is_empty() {
            return Ok(wanted);
        }
        staging.give_up(sessions.control).await?;
        Err(digest_check::explain(sessions.reader, self.manifest, &differing).await?)
    }

    async fn replace_rows(&self, sessions: Sessions<'_>, target_state: &TargetState, plan: PushPlan) -> Result<Pushed> {
        self.make_restore_point(target_state).await?;
        let known = self.run.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let scope = self.scope(sessions, target_state);
        let replacement = ReplaceRows { scope, fresh: self.request.fresh && !known };
        let know = |run| *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
        let digests = Box::pin(replacement.run(know)).await?;
        self.record_sizes(sessions.control).await;
        self.done(plan, Self::pushed_tables(&digests))
    }

    fn row_change<'b>(&'b self, sessions: Sessions<'b>, target_state: &'b TargetState, action: Action) -> DiffPush<'b> {
        DiffPush {
            scope: self.scope(sessions, target_state),
            local: sessions.local,
            on_drift: self.request.on_drift,
            keep_previous: self.request.keep_previous,
            mode: action.mode().unwrap_or(PushMode::Diff),
        }
    }

    fn scope<'b>(&'b self, sessions: Sessions<'b>, target_state: &'b TargetState) -> PushScope<'b> {
        PushScope {
            target: &self.target,
            control: sessions.control,
            reader: sessions.reader,
            manifest: self.manifest,
            target_state,
            journal: &self.journal,
            workers: self.workers(self.manifest.tables.len()),
        }
    }

    async fn change_rows(&self, change: &DiffPush<'_>, findings: TableDiffs<'_>, mut plan: PushPlan) -> Result<Pushed> {
        self.make_restore_point(change.scope.target_state).await?;
        let know = |run| *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
        let changed = Box::pin(change.run(findings, know)).await?;
        // Rows that somebody changed meanwhile were compared anew.
        changed.enter(&mut plan, &change.scope.target_state.record);
        for (table, RowChanges { inserted, updated, deleted }) in plan.changed() {
            let inserted = counted(inserted, "row", "rows");
            self.ctx.out.info(format!("{}: {inserted} inserted, {updated} updated, {deleted} deleted", table.source));
        }
        self.record_sizes(change.scope.control).await;
        if plan.action == Action::Load {
            plan.rows_there_lines().for_each(|line| self.ctx.out.info(line));
            self.record_frameworks(change.scope.control).await;
        }
        let tables = Self::pushed_tables(&changed.wanted);
        self.done(plan, tables)
    }
}

fn dry_run(plan: PushPlan, sent: &str) -> Pushed {
    Pushed { dry_run: plan.lines(sent), plan: Some(plan), ..Pushed::default() }
}

/// Whether a change of rows was refused for a reason that replacing whole tables may not meet.
fn blocks_diff(error: &Error) -> bool {
    error.kind() == Kind::TargetRejected && error.retry() == Retry::Never
}
