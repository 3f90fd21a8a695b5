//! Several sessions that work through one list together.

use std::collections::{BTreeMap, VecDeque};

use futures_util::future::try_join_all;

use crate::{
    context::Context,
    error::{Result, ResultExt, Retry},
    event::Event,
    model::{Stage, TableDigest},
    postgres::Session,
    stages::push::target::session::Target,
    worker_pool,
};

/// How many jobs on small tables go to the server at once.
const BUNDLE: usize = 16;

/// A piece of work on one table.
pub(crate) struct PoolJob {
    /// What it does, for messages.
    pub doing: &'static str,
    /// The source table.
    pub table: String,
    /// The work.
    pub task: JobKind,
    /// The table is small: the work takes less time than a round trip, so it goes with others of its kind.
    pub light: bool,
}

/// What is to be done.
pub(crate) enum JobKind {
    /// Statements, separated by semicolons, that run one after the other in one transaction.
    Run(String),
    /// A query for the digest of a table.
    Compare {
        /// The query.
        sql: String,
        /// The digest that it should give.
        wanted: TableDigest,
    },
}

impl PoolJob {
    /// Does it. Gives the table's name if a comparison shows a difference.
    pub(crate) async fn work(&self, session: &Session) -> Result<Option<String>> {
        match &self.task {
            JobKind::Run(sql) => session.batch(self.doing, sql).await.map(|()| None),
            JobKind::Compare { sql, wanted } => {
                let found: Option<String> = session.query_value(self.doing, sql, &[]).await?;
                Ok((found != Some(wanted.to_string())).then(|| self.table.clone()))
            }
        }
    }

    /// Whether it can be done in one message with the other one.
    fn goes_with(&self, other: &Self) -> bool {
        let same_kind = std::mem::discriminant(&self.task) == std::mem::discriminant(&other.task);
        self.light && other.light && self.doing == other.doing && same_kind
    }
}

/// Jobs that are done one after the other, or in one message if they are of one kind.
struct JobBatch(Vec<PoolJob>);

impl JobBatch {
    /// Puts jobs of one kind that follow each other together, but leaves something to do for so many sessions.
    fn of(jobs: Vec<PoolJob>, sessions: usize) -> VecDeque<Self> {
        let light = jobs.iter().filter(|job| job.light).count();
        let most = light.div_ceil(sessions.max(1)).clamp(1, BUNDLE);
        let mut bundles: VecDeque<Self> = VecDeque::new();
        for job in jobs {
            match bundles.back_mut() {
                Some(Self(last)) if last.len() < most && last.last().is_some_and(|one| one.goes_with(&job)) => {
                    last.push(job);
                }
                Some(_) | None => bundles.push_back(Self(vec![job])),
            }
        }
        bundles
    }

    /// Does all of it. Gives the tables for which a comparison shows a difference.
    async fn work(&self, session: &Session) -> Result<Vec<String>> {
        if self.0.len() > 1 {
            match self.at_once(session).await {
                Ok(differing) => return Ok(differing),
                Err(error) if error.retry() != Retry::Never || session.is_lost() => return Err(error),
                // Nothing was done. One by one shows which table it is.
                Err(_) => {}
            }
        }
        let mut differing = Vec::new();
        for job in &self.0 {
            differing.extend(job.work(session).await.at_table(&job.table)?);
        }
        Ok(differing)
    }

    async fn at_once(&self, session: &Session) -> Result<Vec<String>> {
        let doing = self.0.first().map_or("", |job| job.doing);
        let (mut statements, mut queries) = (Vec::new(), Vec::new());
        for (number, job) in self.0.iter().enumerate() {
            match &job.task {
                JobKind::Run(sql) => statements.push(sql.as_str()),
                JobKind::Compare { sql, wanted } => queries.push((number, sql, (wanted, &job.table))),
            }
        }
        if !statements.is_empty() {
            session.batch(doing, &statements.join(";\n")).await?;
        }
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let union = queries.iter().map(|(number, sql, _)| format!("SELECT {number}::bigint, ({sql})"));
        let rows = session.query_rows(doing, &union.collect::<Vec<_>>().join(" UNION ALL "), &[]).await?;
        let mut found = BTreeMap::new();
        for row in &rows {
            found.insert(row.get::<i64>(0)?, row.get::<Option<String>>(1)?);
        }
        let differs = queries.iter().filter(|(number, _, (wanted, _))| {
            let digest = i64::try_from(*number).ok().and_then(|number| found.get(&number)?.as_deref());
            digest != Some(wanted.to_string().as_str())
        });
        Ok(differs.map(|(_, _, (_, table))| (*table).clone()).collect())
    }
}

/// Sessions of one target.
pub(crate) struct SessionPool<'a> {
    ctx: &'a Context,
    sessions: Vec<Session>,
}

impl<'a> SessionPool<'a> {
    /// Opens this many sessions, or as many as the server has free connections, at least one.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`.
    pub(crate) async fn open(target: &Target<'a>, path: &[String], size: usize) -> Result<Self> {
        let sessions = target.sessions(path, size).await?;
        // Neon sets it by the size of the compute; a server that leaves it lower than PostgreSQL's default is raised.
        let sql = "SELECT set_config('maintenance_work_mem', '64MB', false) \
                   WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes('64MB')";
        try_join_all(sessions.iter().map(|session| session.batch("preparing the session", sql))).await?;
        Ok(Self { ctx: target.ctx, sessions })
    }

    /// All sessions.
    pub(crate) fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// One of the sessions.
    pub(crate) fn any(&self) -> Option<&Session> {
        self.sessions.first()
    }

    /// Does all jobs; they are begun in this order. Gives the tables for which a comparison shows a difference.
    ///
    /// # Errors
    /// Of the first job that fails; jobs that are under way are finished before it is told.
    pub(crate) async fn run(&self, phase: &'static str, jobs: Vec<PoolJob>) -> Result<Vec<String>> {
        let batches = JobBatch::of(jobs, self.sessions.len());
        let differing = worker_pool::in_place(self.ctx, &self.sessions, batches, |session, batch| async move {
            let differing = batch.work(session).await?;
            for _ in &batch.0 {
                self.ctx.out.emit(&Event::Stepped { stage: Stage::Push, phase });
            }
            Ok((session, differing))
        });
        Ok(differing.await?.into_iter().flatten().collect())
    }
}
