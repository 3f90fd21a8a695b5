//! Runs the steps of a load in their order: preparation, rows, equivalence check, keys and the rest, read-back, views
//! and triggers.
//!
//! What the trial drops leaves the plan that the following steps see. A generated column that PostgreSQL computes
//! otherwise than SQLite changes the table itself: the table is dropped and loaded again with that column plain.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    ConvertRequest, JOBS_MAX,
    chunking::{BegunLoad, ChunkLayout},
    equivalence_check, existing_objects, load,
    load_context::{LoadContext, PhaseTimer, SessionPool},
    post_load, prepare, readback, reader, rejects, triggers, views,
};
use crate::{
    error::{Error, Kind, Result},
    model::{checkpoint::TableRecord, dropped_objects::DroppedObject, source_schema::SourceSchema},
    postgres::{
        load_journal::{self, CommittedChunk, LoadScope, RecordedLoad},
        managed::LocalServer,
    },
    sqlite,
};

/// A load under way.
pub(super) struct LoadSteps<'a> {
    pub(super) server: &'a LocalServer,
    pub(super) request: &'a ConvertRequest,
    pub(super) clock: &'a mut PhaseTimer,
    /// What was dropped so far.
    pub(super) dropped: &'a mut Vec<DroppedObject>,
    /// Keeps what was dropped, so that an interrupted load goes on with it.
    pub(super) keep: &'a (dyn Fn(&[DroppedObject]) -> Result<()> + Sync),
}

/// What was loaded.
#[derive(Default)]
pub(super) struct Loaded {
    /// By source table.
    pub(super) tables: BTreeMap<String, TableRecord>,
    /// The number that the next transaction gets, if none has written since all tables were compared.
    pub(super) next_transaction: Option<i64>,
}

impl LoadSteps<'_> {
    /// Loads whatever of the scope isn't there yet, and proves it. `work` has the plan without what is dropped
    /// already.
    ///
    /// # Errors
    /// `Local*`, `DataRefused`, `SourceInvalid`, `TargetOccupied`, `Interrupted`.
    pub(super) async fn take(&mut self, work: LoadContext) -> Result<Loaded> {
        let mut work = Arc::new(work);
        let mut pool = self.pool(&work).await?;
        prepare::prepare(&work, pool.first()?, self.request.fresh).await?;
        prepare::before(&work, self.server, pool.first()?).await?;
        pool.see_types(&work.plan).await?;
        if work.scope != LoadScope::Data {
            existing_objects::create_before(&work, pool.first()?).await?;
        }
        let schema = equivalence_check::schema(&work).await?;
        if work.scope != LoadScope::Data {
            let refused = equivalence_check::definitions(&work, &schema, pool.first()?).await?;
            work = self.without(&work, refused)?;
        }
        if work.scope == LoadScope::Schema {
            let own = work.plan.tables.iter().filter(|_| work.plan.existing_schema.is_none());
            prepare::create_tables(&work, pool.first()?, own).await?;
            let (_, failed) = self.finish(&work, &schema, &pool).await?;
            self.dropped.extend(failed);
            post_load::sequences(&work, &pool).await?;
            prepare::after(&work, self.server).await?;
            return Ok(Loaded::default());
        }
        (work, pool) = Box::pin(self.rows(work, pool, &schema)).await?;
        let (work, failed) = self.finish(&work, &schema, &pool).await?;
        self.dropped.extend(failed);
        let writing_back = self.server.begin_writing_back();
        post_load::sequences(&work, &pool).await?;
        self.clock.record("sequences");
        post_load::analyze(&work, &pool).await?;
        self.clock.record("analyze");
        let session = pool.first()?;
        let chunks: Vec<CommittedChunk> = load_journal::chunks(session).await?.into_values().collect();
        let before = self.server.next_transaction().await?;
        let tables = readback::prove(&work, &pool, &chunks).await?;
        self.clock.record("digest");
        self.queries(&work, &pool).await?;
        prepare::after(&work, self.server).await?;
        let load = RecordedLoad { key: work.key.clone(), scope: work.scope, finished: true };
        let sql = format!("SET synchronous_commit=on; BEGIN; {}; COMMIT", load_journal::record_sql(&load));
        let is_unchanged = before == self.server.next_transaction().await?;
        session.batch("recording the load", &sql).await?;
        if let Some(writing_back) = writing_back {
            writing_back
                .await
                .map_err(|_| Error::new(Kind::Bug, "the task that brings the load to disk ended unexpectedly"))??;
        }
        // The record of the load is the one transaction since.
        let next_transaction = before.filter(|_| is_unchanged).map(|next| next + 1);
        Ok(Loaded { tables, next_transaction })
    }

    /// Views, which need rows to be compared, and triggers, which must not fire on the load.
    async fn queries(&mut self, work: &Arc<LoadContext>, pool: &SessionPool) -> Result<()> {
        let session = pool.first()?;
        let made = load_journal::made(session).await?;
        let is_own = |name: &str| made.iter().any(|made| made.schema == work.plan.schema && made.table == name);
        if !work.plan.tables.iter().all(|table| is_own(&table.name)) {
            self.dropped.extend(views::on_foreign_tables(work));
            return Ok(());
        }
        load_journal::drop_objects(session).await?;
        let dropped = views::create(work, pool).await?;
        self.clock.record("views");
        let missing = dropped.iter().map(|view| view.object.clone()).collect();
        self.dropped.extend(dropped);
        self.dropped.extend(triggers::create(work, pool, &missing).await?);
        if !work.plan.triggers.is_empty() {
            // A trial is rolled back, the numbers that it took are not.
            post_load::sequences(work, pool).await?;
        }
        self.clock.record("triggers");
        Ok(())
    }

    async fn pool(&self, work: &LoadContext) -> Result<SessionPool> {
        let jobs = match self.request.jobs {
            0 => std::thread::available_parallelism().map_or(2, usize::from),
            jobs => jobs.min(JOBS_MAX),
        };
        work.ctx.stop.check()?;
        SessionPool::connect(self.server.endpoint(), jobs).await
    }

    /// Rows and their trial, until nothing has to be loaded again.
    async fn rows(
        &mut self,
        mut work: Arc<LoadContext>,
        mut pool: SessionPool,
        schema: &SourceSchema,
    ) -> Result<(Arc<LoadContext>, SessionPool)> {
        let mut tried = BTreeSet::new();
        let mut others: Vec<DroppedObject> = Vec::new();
        let mut again = false;
        loop {
            let loaded = Box::pin(self.load(&work, &pool, again)).await;
            self.clock.record("data");
            let found = match loaded {
                Ok(()) => Box::pin(equivalence_check::run(&work, schema, &pool, &mut tried)).await?,
                Err(error) => {
                    let causes = equivalence_check::possible_causes(&work, schema, &error);
                    if causes.is_empty() {
                        return Err(error);
                    }
                    // The old connections stand in the middle of a COPY.
                    pool = self.pool(&work).await?;
                    pool.see_types(&work.plan).await?;
                    causes
                }
            };
            self.clock.record("trial");
            let (reshaping, rest): (Vec<DroppedObject>, Vec<DroppedObject>) =
                found.into_iter().partition(equivalence_check::reshapes);
            others.extend(rest);
            if reshaping.is_empty() {
                if work.scope == LoadScope::Data {
                    prepare::drop_indexes(&work, pool.first()?, &others).await?;
                }
                let work = self.without(&work, others)?;
                return Ok((work, pool));
            }
            if work.scope == LoadScope::Data {
                return Err(cannot_reshape(&reshaping));
            }
            let tables: BTreeSet<&str> = reshaping.iter().map(|one| one.table.as_str()).collect();
            others.retain(|one| !tables.contains(one.table.as_str()));
            tried.retain(|table| !tables.contains(table.as_str()));
            prepare::discard_tables(&work, pool.first()?, &tables).await?;
            work = self.without(&work, reshaping)?;
            again = true;
        }
    }

    async fn load(&self, work: &Arc<LoadContext>, pool: &SessionPool, again: bool) -> Result<()> {
        let session = pool.first()?;
        let committed = load_journal::chunks(session).await?;
        let has_whole = |table: &str| committed.get(&(table.to_owned(), 0)).is_some_and(|chunk| chunk.bounds.is_none());
        let made = load_journal::made(session).await?.into_iter();
        let begun = BegunLoad {
            in_ranges: made.map(|made| made.table).filter(|table| !has_whole(table)).collect(),
            committed,
            connections: u64::try_from(pool.sessions().len()).unwrap_or(u64::MAX),
        };
        let layout = lay_out(work, &begun)?;
        if work.scope == LoadScope::All {
            let first = layout.created_first.iter().filter_map(|index| work.plan.tables.get(*index));
            prepare::create_tables(work, session, first).await?;
        }
        let committed: Vec<CommittedChunk> = begun.committed.into_values().collect();
        load::load(work, pool, layout, &committed, again).await?;
        let of_rejects = Arc::clone(work);
        let written = tokio::task::spawn_blocking(move || rejects::write(&of_rejects)).await;
        written.map_err(|_| Error::new(Kind::Bug, "the thread that writes rejected rows panicked"))?
    }

    /// Keys and the rest; gives the plan without the objects that PostgreSQL refused to make, and these.
    async fn finish(
        &mut self,
        work: &Arc<LoadContext>,
        schema: &SourceSchema,
        pool: &SessionPool,
    ) -> Result<(Arc<LoadContext>, Vec<DroppedObject>)> {
        if work.plan.existing_schema.is_some() {
            existing_objects::create_after(work, pool).await?;
            self.clock.record("objects");
            return Ok((Arc::clone(work), Vec::new()));
        }
        let refused = post_load::finish(work, schema, pool, self.clock).await?;
        Ok((Arc::new(work.without(&refused)), refused))
    }

    /// Takes what is dropped out of the plan and keeps it.
    fn without(&mut self, work: &Arc<LoadContext>, dropped: Vec<DroppedObject>) -> Result<Arc<LoadContext>> {
        if dropped.is_empty() {
            return Ok(Arc::clone(work));
        }
        let work = Arc::new(work.without(&dropped));
        self.dropped.extend(dropped);
        (self.keep)(self.dropped)?;
        Ok(work)
    }
}

fn cannot_reshape(dropped: &[DroppedObject]) -> Error {
    let (table, column) = dropped.first().map(|one| (one.table.as_str(), one.source.as_str())).unwrap_or_default();
    let what = "PostgreSQL computes the generated column otherwise than SQLite does";
    Error::new(Kind::LocalRejected, what)
        .at_table(table)
        .at_column(column)
        .with_hint("convert without --data-only: the table is then made with a plain column")
}

fn lay_out(work: &LoadContext, begun: &BegunLoad) -> Result<ChunkLayout> {
    let connection = sqlite::open::read_only(&work.source)?;
    ChunkLayout::new(&work.plan, work.scope, begun, |table| reader::rowid_range(&connection, table))
}
