//! Holds what every part of the stage uses: the plan, the event sink, and the pool of sessions.

use std::{
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use futures_util::future::BoxFuture;

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    event::Event,
    model::{Plan, Stage, dropped_objects::DroppedObject, identifier::quote_list},
    postgres::{PgEndpoint, Session, load_journal::LoadScope},
    worker_pool,
};

/// One load.
pub(super) struct LoadContext {
    pub(super) ctx: Context,
    pub(super) plan: Plan,
    /// `dump/source.db`.
    pub(super) source: PathBuf,
    pub(super) scope: LoadScope,
    /// The digest of what is loaded.
    pub(super) key: String,
}

impl LoadContext {
    /// The same without what is dropped from the plan.
    pub(super) fn without(&self, dropped: &[DroppedObject]) -> Self {
        Self {
            ctx: self.ctx.clone(),
            plan: self.plan.clone().without(dropped),
            source: self.source.clone(),
            scope: self.scope,
            key: self.key.clone(),
        }
    }

    /// Reports that a phase begins.
    pub(super) fn phase(&self, phase: &'static str, steps: usize) {
        let steps = u64::try_from(steps).ok();
        self.ctx.out.emit(&Event::PhaseStarted { stage: Stage::Convert, phase, steps });
    }

    /// Reports finished steps of a phase.
    pub(super) fn stepped(&self, phase: &'static str, steps: usize) {
        for _ in 0..steps {
            self.ctx.out.emit(&Event::Stepped { stage: Stage::Convert, phase });
        }
    }
}

/// Time per phase.
pub(super) struct PhaseTimer {
    phases_ms: BTreeMap<String, u64>,
    last: Instant,
}

impl PhaseTimer {
    pub(super) fn start() -> Self {
        Self { phases_ms: BTreeMap::new(), last: Instant::now() }
    }

    /// Records the time since the last call for a phase.
    pub(super) fn record(&mut self, phase: &str) {
        let elapsed = u64::try_from(self.last.elapsed().as_millis()).unwrap_or(u64::MAX);
        *self.phases_ms.entry(phase.to_owned()).or_default() += elapsed;
        self.last = Instant::now();
    }

    pub(super) fn phases_ms(&self) -> BTreeMap<String, u64> {
        self.phases_ms.clone()
    }

    pub(super) fn total_ms(&self) -> u64 {
        self.phases_ms.values().sum()
    }
}

/// Connections that take tasks from one queue.
pub(super) struct SessionPool {
    sessions: Vec<Arc<Session>>,
}

impl SessionPool {
    /// Connects `size` times, at least once.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub(super) async fn connect(endpoint: &PgEndpoint, size: usize) -> Result<Self> {
        let mut sessions = Vec::new();
        for _ in 0..size.max(1) {
            let session = Session::connect(endpoint).await?;
            // What a crash takes is loaded again; the end of the load waits for the log.
            session.batch("preparing the session", "SET synchronous_commit=off").await?;
            sessions.push(Arc::new(session));
        }
        Ok(Self { sessions })
    }

    /// Makes the types and operator classes of the plan's extensions known to all connections, wherever they live, and
    /// what an existing schema calls its own.
    ///
    /// # Errors
    /// `LocalRejected`, `LocalUnreachable`.
    pub(super) async fn see_types(&self, plan: &Plan) -> Result<()> {
        if plan.extensions.is_empty() && plan.existing_schema.is_none() {
            return Ok(());
        }
        let sql = "SELECT DISTINCT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
                   WHERE e.extname = ANY($1)";
        let schemas: Vec<String> =
            self.first()?.query_column("looking for extensions", sql, &[&plan.extensions]).await?;
        let own = plan.existing_schema.iter().map(|_| plan.schema.as_str());
        let path = quote_list(std::iter::once("pg_catalog").chain(own).chain(schemas.iter().map(String::as_str)));
        for session in &self.sessions {
            session.batch("preparing the session", &format!("SET search_path = {path}")).await?;
        }
        Ok(())
    }

    /// The connection for what is done one after the other.
    pub(super) fn first(&self) -> Result<&Arc<Session>> {
        self.sessions
            .first()
            .ok_or_else(|| Error::new(Kind::Bug, "the local PostgreSQL was to be read without a connection"))
    }

    /// All connections.
    pub(super) fn sessions(&self) -> &[Arc<Session>] {
        &self.sessions
    }

    /// Does every task, each on a connection of its own as far as there are any. Stops at the first error, and when the
    /// user wants to stop; what is under way is then given up.
    ///
    /// # Errors
    /// The first error; `Interrupted`.
    pub(super) async fn spread<T, R, F>(&self, work: &Arc<LoadContext>, tasks: VecDeque<T>, each: F) -> Result<Vec<R>>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Fn(Arc<LoadContext>, Arc<Session>, T) -> BoxFuture<'static, Result<R>> + Send + Sync + 'static,
    {
        let shared = Arc::clone(work);
        worker_pool::on_tasks(&work.ctx, self.sessions.clone(), tasks, move |session, task| {
            each(Arc::clone(&shared), Arc::clone(session), task)
        })
        .await
    }
}
