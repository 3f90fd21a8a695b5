//! One push from the first look to the cutover, begun anew when a connection is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use crate::{
    context::Context,
    error::{Result, Retry},
    model::{
        PushCheckpoint, Stage, TablePlan,
        checkpoint::{LoadState, PushedTable},
    },
    postgres::{PgEndpoint, Session, managed::LocalServer, retry},
};

use super::{
    PushRequest, Pushed,
    chunk::{self, Chunk, LocalSize},
    chunk_loader::Load,
    copy_stream,
    cutover::Cutover,
    digest_check::{self, Wanted},
    manifest::Manifest,
    post_load::{Lot, build},
    preflight::{Situation, Way},
    progress_journal::{Diary, Entry},
    replace_tables, row_undo,
    session_pool::Crew,
    source_identity,
    staging::{self, Purpose, Staging},
    target::{Target, previous_schema},
    target_state::{self, Record},
};

/// How often a push begins anew without having come any further.
const TRIES: u32 = 6;
/// Connections that load at once, unless the user says otherwise.
const WORKERS: usize = 4;

/// What stays the same over all tries.
pub(super) struct Journey<'a> {
    pub(super) ctx: &'a Context,
    pub(super) request: &'a PushRequest,
    endpoint: &'a PgEndpoint,
    pub(super) manifest: &'a Manifest,
    pub(super) target: Target<'a>,
    pub(super) diary: Diary,
    /// The run that this process loads; its number shows whether a cutover whose answer was lost has happened.
    pub(super) run: Mutex<Option<i64>>,
    /// The name of the restore point that was made.
    pub(super) restore_point: Mutex<Option<String>>,
}

/// Pushes, or says that nothing is to be done.
///
/// # Errors
/// As [`super::push`].
pub(super) async fn travel(
    ctx: &Context,
    request: &PushRequest,
    endpoint: &PgEndpoint,
    manifest: &Manifest,
) -> Result<Pushed> {
    let target = Target::new(ctx, endpoint, &request.schema, request.lock_wait);
    let journey = Journey {
        ctx,
        request,
        endpoint,
        manifest,
        target,
        diary: Diary::new(),
        run: Mutex::new(None),
        restore_point: Mutex::new(None),
    };
    let mut local = None;
    let arrived = journey.all_tries(&mut local).await;
    // A managed server must be stopped whatever happened; the first error is the one to tell.
    let closed = match local {
        Some(server) => server.close().await,
        None => Ok(()),
    };
    arrived.and_then(|pushed| closed.map(|()| pushed))
}

impl Journey<'_> {
    async fn all_tries(&self, local: &mut Option<LocalServer>) -> Result<Pushed> {
        let mut attempt = 1;
        loop {
            let sent = self.diary.sent_bytes();
            let error = match Box::pin(self.one_try(local)).await {
                Err(error) if error.retry() == Retry::Patiently && attempt < TRIES => error,
                other => return other,
            };
            if self.diary.sent_bytes() > sent {
                attempt = 1;
            }
            attempt += 1;
            retry::wait(self.ctx, Stage::Push, &error, attempt).await?;
        }
    }

    async fn one_try(&self, local: &mut Option<LocalServer>) -> Result<Pushed> {
        let control = self.target.control().await?;
        if !self.request.dry_run {
            self.target.lock(&control).await?;
        }
        let pushed = Box::pin(self.go(&control, local)).await?;
        if let Some(source) = self.manifest.source.as_ref().filter(|_| pushed.checkpoint.is_some() && !pushed.unchanged)
        {
            source_identity::note(&control, &self.request.schema, source).await?;
        }
        Ok(pushed)
    }

    async fn go(&self, control: &Session, local: &mut Option<LocalServer>) -> Result<Pushed> {
        let mut situation = Situation::look(control, self.manifest, self.request).await?;
        if let Some(checkpoint) = self.is_over(&situation)? {
            self.sweep(control, &situation, self.request.keep_previous).await?;
            return Ok(Pushed { checkpoint: Some(checkpoint), unchanged: false, dry_run: Vec::new() });
        }
        if let Some(pushed) = self.nothing_to_do(control, &situation).await? {
            return Ok(pushed);
        }
        let server = match local {
            Some(server) => server,
            None => local
                .insert(LocalServer::open_loaded(self.ctx, &self.request.local, &self.manifest.convert.local).await?),
        };
        let reader = Box::pin(Session::connect_patiently(self.ctx, Stage::Push, server.endpoint())).await?;
        let sizes = chunk::local_sizes(&reader, self.manifest).await?;
        situation.check_room(sizes.iter().map(|size| size.bytes_in_all).sum());
        let way = self.way(control, &reader, &situation).await?;
        situation.require_clear(way)?;
        if self.request.mode == "replace" && !self.request.dry_run && !situation.record.live.is_empty() {
            if way == Way::InPlace {
                return Box::pin(self.replace_in_turn(control, &reader, &situation)).await;
            }
            // After that nothing tells of them any more.
            self.tell_of_leaving(&situation);
            replace_tables::drop_live(&self.target, control, self.manifest, &situation).await?;
            situation = Situation::look(control, self.manifest, self.request).await?;
        } else if way == Way::InPlace
            && self.request.mode != "replace"
            && let Some(pushed) =
                Box::pin(self.change_in_place(control, (&reader, server.endpoint()), &situation)).await?
        {
            return Ok(pushed);
        }
        if self.request.dry_run {
            return self.preview(&reader, &situation, &sizes).await;
        }
        self.tell_of_leaving(&situation);
        let staging = self.load(control, &situation, server, &sizes).await?;
        let chunks = chunk::cut(&sizes);
        let digests = self.build_and_compare(control, &situation, &staging, &reader, &sizes).await?;
        let counts = chunk_counts(&chunks, self.manifest.cargo.len());
        Box::pin(self.cut_over(control, &situation, &staging, digests, counts)).await
    }

    /// If the answer to the cutover's commit was lost: whether it happened.
    fn is_over(&self, situation: &Situation) -> Result<Option<PushCheckpoint>> {
        let run = *self.run.lock().unwrap_or_else(PoisonError::into_inner);
        let live = &situation.record.live;
        let over = run.is_some_and(|run| !live.is_empty() && live.iter().all(|table| table.run_id == run));
        if over { self.write_done(&situation.record).map(Some) } else { Ok(None) }
    }

    /// The answer if the target holds exactly this already: the record says so and the digests agree.
    async fn nothing_to_do(&self, control: &Session, situation: &Situation) -> Result<Option<Pushed>> {
        if self.request.fresh || !situation.holds(self.manifest, &self.request.schema) {
            return Ok(None);
        }
        let wanted: Vec<Wanted<'_>> = self
            .manifest
            .cargo
            .iter()
            .filter_map(|cargo| {
                let live = situation.record.live.iter().find(|live| live.name == cargo.table.name)?;
                Some(Wanted { table: &cargo.table, digest: live.digest? })
            })
            .collect();
        if wanted.len() != self.manifest.cargo.len() {
            return Ok(None);
        }
        let crew = Crew::open(&self.target, &situation.path, self.workers(wanted.len())).await?;
        let steps = Some(wanted.len() as u64);
        let work = digest_check::differing(&crew, &self.request.schema, &wanted);
        let differing = self.diary.phase(self.ctx, "digests", steps, work).await?;
        if !differing.is_empty() {
            self.ctx.out.warn(format!(
                "the target no longer holds what was pushed; it is pushed again because of: {}",
                differing.join(", ")
            ));
            return Ok(None);
        }
        if self.request.dry_run {
            let line = "nothing to do: the target holds these tables already".to_owned();
            return Ok(Some(Pushed { checkpoint: None, unchanged: true, dry_run: vec![line] }));
        }
        self.sweep(control, situation, true).await?;
        let checkpoint = match self.ctx.workdir.load_push() {
            Ok(known) if self.is_of_this_push(&known) => known,
            Ok(_) | Err(_) => self.write_done(&situation.record)?,
        };
        Ok(Some(Pushed { checkpoint: Some(checkpoint), unchanged: true, dry_run: Vec::new() }))
    }

    /// Drops what a push that was cut off after its commit has left: remains of other runs, and replaced tables that a
    /// rollback wouldn't bring back, because rows were changed since. With `keep` other replaced tables stay.
    async fn sweep(&self, control: &Session, situation: &Situation, keep: bool) -> Result<()> {
        let schema = &self.request.schema;
        let sweeping = async {
            for run in &situation.record.unfinished {
                staging::drop_run(control, run).await?;
            }
            if keep && row_undo::read(control, schema).await?.is_empty() {
                return Ok(());
            }
            target_state::drop_previous(control, schema, &situation.record).await
        };
        match sweeping.await {
            Err(error) if !control.is_lost() => {
                self.ctx.out.warn(format!("replaced tables are still there: {}", error.message()));
                Ok(())
            }
            swept => swept,
        }
    }

    fn is_of_this_push(&self, known: &PushCheckpoint) -> bool {
        known.state == LoadState::Done
            && known.run_key == self.manifest.run_key
            && known.plan_sha256 == self.manifest.plan_sha256
            && known.target == self.endpoint.address()
            && known.schema == self.request.schema
    }

    pub(super) fn workers(&self, work: usize) -> usize {
        let wished = if self.request.jobs == 0 { WORKERS } else { self.request.jobs };
        wished.min(work).max(1)
    }

    /// What would be done, with the bytes that would be sent, counted.
    async fn preview(&self, reader: &Session, situation: &Situation, sizes: &[LocalSize]) -> Result<Pushed> {
        let chunks = chunk::cut(sizes);
        let weighing = async {
            let mut bytes = 0;
            for chunk in &chunks {
                self.ctx.stop.check()?;
                let Some(cargo) = self.manifest.cargo.get(chunk.cargo) else { continue };
                bytes += copy_stream::weigh(reader, &chunk.source(&self.manifest.plan.schema, cargo)).await?;
            }
            Ok(bytes)
        };
        let bytes: u64 = self.diary.phase(self.ctx, "measuring", None, weighing).await?;
        let live = &situation.record.live;
        let mut lines = vec![format!(
            "{} tables with {} rows ({bytes} bytes in {} chunks) would be pushed into schema {} of {}",
            self.manifest.cargo.len(),
            self.manifest.rows(),
            chunks.len(),
            self.request.schema,
            self.endpoint.address()
        )];
        if situation.creates_schema {
            lines.push(format!("schema {} would be created", self.request.schema));
        }
        lines.extend(situation.creates_extensions.iter().map(|sql| format!("would run: {sql}")));
        if !live.is_empty() {
            let names: Vec<&str> = live.iter().map(|table| table.name.as_str()).collect();
            lines.push(format!("these tables of the last push would be replaced: {}", names.join(", ")));
            lines.push(format!("they would be kept in schema {}", previous_schema(&self.request.schema)));
            let leaving = situation.leaving(self.manifest);
            if !leaving.is_empty() {
                lines.push(format!("these are no longer in the plan and would be gone: {}", leaving.join(", ")));
            }
        }
        let previous: Vec<&str> = situation.record.previous.iter().map(|table| table.name.as_str()).collect();
        if !previous.is_empty() {
            lines.push(format!("the tables kept there by the last push would be dropped: {}", previous.join(", ")));
        }
        Ok(Pushed { checkpoint: None, unchanged: false, dry_run: lines })
    }

    /// Says which tables the target will not have any more.
    fn tell_of_leaving(&self, situation: &Situation) {
        let leaving = situation.leaving(self.manifest);
        if leaving.is_empty() {
            return;
        }
        let schema = &self.request.schema;
        let kept = if self.request.keep_previous && self.request.mode != "replace" {
            "`turso2neon rollback` can put them back"
        } else {
            "none is kept"
        };
        self.ctx.out.warn(format!(
            "these tables of the last push are no longer in the plan and leave schema {schema}: {}; {kept}",
            leaving.join(", ")
        ));
    }

    /// Opens the staging schema and sends every chunk that it lacks.
    async fn load(
        &self,
        control: &Session,
        situation: &Situation,
        server: &LocalServer,
        sizes: &[LocalSize],
    ) -> Result<Staging> {
        let layout = chunk::layout(self.manifest, sizes);
        let known = self.run.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let purpose = Purpose {
            manifest: self.manifest,
            schema: &self.request.schema,
            layout: &layout,
            mode: mode(&situation.record),
            fresh: self.request.fresh && !known,
        };
        let staging = Staging::open(control, situation, &purpose).await?;
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(staging.run_id);
        let committed: u64 = staging.committed.iter().map(|(.., bytes)| bytes).sum();
        self.diary.continue_from(self.ctx, self.manifest, self.endpoint.address(), committed);
        if !staging.committed.is_empty() {
            self.ctx.out.info(format!("continuing after {} committed chunks", staging.committed.len()));
        }
        self.write(&situation.record, LoadState::Loading, BTreeMap::new())?;
        let chunks = chunk::cut(sizes);
        let workers = self.workers(chunks.len());
        let load = Load {
            target: &self.target,
            local: server.endpoint(),
            manifest: self.manifest,
            staging: &staging,
            path: &situation.path,
            diary: &self.diary,
        };
        self.diary.phase(self.ctx, "load", Some(chunks.len() as u64), load.run(&chunks, workers)).await?;
        Ok(staging)
    }

    async fn build_and_compare<'a>(
        &'a self,
        control: &Session,
        situation: &Situation,
        staging: &Staging,
        reader: &Session,
        sizes: &[LocalSize],
    ) -> Result<Vec<Wanted<'a>>> {
        // A table alone has work for several: each of its indexes, and the comparison.
        let jobs = |table: &TablePlan| 2 + table.uniques.len() + table.indexes.len();
        let workers = self.workers(self.manifest.cargo.iter().map(|cargo| jobs(&cargo.table)).sum());
        let crew = Crew::open(&self.target, &staging.path(situation, self.manifest), workers).await?;
        let wanted = digest_check::wanted(reader, self.manifest).await?;
        let lot = Lot { schema: &staging.schema, sizes, wanted: &wanted };
        let differing = build(self.ctx, &crew, &self.diary, self.manifest, &lot).await?;
        if differing.is_empty() {
            return Ok(wanted);
        }
        staging.give_up(control).await?;
        Err(digest_check::explain(reader, self.manifest, &differing).await?)
    }

    async fn cut_over(
        &self,
        control: &Session,
        situation: &Situation,
        staging: &Staging,
        digests: Vec<Wanted<'_>>,
        chunks: Vec<u32>,
    ) -> Result<Pushed> {
        self.make_restore_point(situation).await?;
        let tables = self.manifest.cargo.iter().zip(&digests).zip(&chunks);
        let tables = tables.map(|((cargo, wanted), chunks)| {
            let (rows, server_digest) = (wanted.digest.rows, Some(wanted.digest));
            let pushed = PushedTable { rows, server_digest, chunks: *chunks, ..PushedTable::default() };
            (cargo.table.source.clone(), pushed)
        });
        let tables: BTreeMap<String, PushedTable> = tables.collect();
        let cutover = Cutover {
            target: &self.target,
            control,
            manifest: self.manifest,
            situation,
            staging,
            digests,
            chunks,
            keep_previous: self.request.keep_previous,
        };
        Box::pin(self.diary.phase(self.ctx, "cutover", None, cutover.run())).await?;
        self.note_sizes(control).await;
        let checkpoint = self.write(&situation.record, LoadState::Done, tables)?;
        Ok(Pushed { checkpoint: Some(checkpoint), unchanged: false, dry_run: Vec::new() })
    }

    /// Notes what the tables take on the target. The push is done by then: a failure to ask is none of the push.
    pub(super) async fn note_sizes(&self, control: &Session) {
        let sql = "SELECT c.relname::text, pg_total_relation_size(c.oid), \
                     (SELECT pg_database_size(current_database())) \
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'";
        let schema = self.request.schema.as_str();
        let Ok(rows) = control.rows("asking for the size of the tables", sql, &[&schema]).await else { return };
        let read = |row: &tokio_postgres::Row| {
            let bytes = |column: usize| u64::try_from(row.try_get::<_, i64>(column).ok()?).ok();
            Some((row.try_get::<_, String>(0).ok()?, bytes(1)?, bytes(2)?))
        };
        self.diary.weighed(rows.iter().filter_map(read));
    }

    /// The checkpoint of a push that is under way or just done, made from the record as it was before.
    fn write(
        &self,
        before: &Record,
        state: LoadState,
        tables: BTreeMap<String, PushedTable>,
    ) -> Result<PushCheckpoint> {
        let replaced: Vec<String> = before.live.iter().map(|table| table.name.clone()).collect();
        self.write_entry(replaced, mode(before), state, tables)
    }

    /// The checkpoint of a push that is done, made from the record as it is now.
    fn write_done(&self, now: &Record) -> Result<PushCheckpoint> {
        let replaced: Vec<String> = now.previous.iter().map(|table| table.name.clone()).collect();
        let pushed = |table: &super::target_state::Ours| {
            let (rows, server_digest, chunks) = (table.rows, table.digest, table.chunks);
            let entry = PushedTable { rows, server_digest, chunks, ..PushedTable::default() };
            (table.source.clone(), entry)
        };
        let mode = now.last_mode.as_deref().unwrap_or("create");
        let replaced = if matches!(mode, "diff" | "replace") { Vec::new() } else { replaced };
        self.write_entry(replaced, mode, LoadState::Done, now.live.iter().map(pushed).collect())
    }

    pub(super) fn write_entry(
        &self,
        replaced: Vec<String>,
        mode: &str,
        state: LoadState,
        tables: BTreeMap<String, PushedTable>,
    ) -> Result<PushCheckpoint> {
        let entry = Entry {
            target: self.endpoint.address().to_owned(),
            schema: self.request.schema.clone(),
            mode: mode.to_owned(),
            previous_schema: (!replaced.is_empty()).then(|| previous_schema(&self.request.schema)),
            replaced,
            tables,
            kept: self.request.keep_previous && matches!(mode, "swap" | "diff"),
            restore_point: self.restore_point.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        self.diary.write(self.ctx, self.manifest, entry, state)
    }
}

fn mode(before: &Record) -> &'static str {
    if before.live.is_empty() { "create" } else { "swap" }
}

fn chunk_counts(chunks: &[Chunk], tables: usize) -> Vec<u32> {
    let mut counts = vec![0_u32; tables];
    let seen: BTreeSet<(usize, i32)> = chunks.iter().map(|chunk| (chunk.cargo, chunk.number)).collect();
    for (cargo, _) in seen {
        if let Some(count) = counts.get_mut(cargo) {
            *count += 1;
        }
    }
    counts
}
