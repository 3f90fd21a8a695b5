//! Several sessions that work through one list together.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::{join_all, try_join_all};

use crate::{
    context::Context,
    error::{Error, Result, ResultExt, Retry},
    event::Event,
    model::Stage,
    postgres::Session,
};

use super::target::Target;

/// A piece of work on one table.
pub(super) struct Job {
    /// What it does, for messages.
    pub doing: &'static str,
    /// The source table.
    pub table: String,
    /// The work.
    pub task: Task,
}

/// What is to be done.
pub(super) enum Task {
    /// Statements, separated by semicolons, that run one after the other in one transaction.
    Run(String),
    /// A query for one text, and the text that it should give.
    Compare {
        /// The query.
        sql: String,
        /// What it should give.
        wanted: String,
    },
}

impl Job {
    /// Does it. Gives the table's name if a comparison shows a difference.
    async fn work(&self, session: &Session) -> Result<Option<String>> {
        match &self.task {
            Task::Run(sql) => session.batch(self.doing, sql).await.map(|()| None),
            Task::Compare { sql, wanted } => {
                let rows = session.rows(self.doing, sql, &[]).await?;
                let found: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
                Ok((found.as_ref() != Some(wanted)).then(|| self.table.clone()))
            }
        }
    }
}

/// Sessions of one target.
pub(super) struct Crew<'a> {
    ctx: &'a Context,
    sessions: Vec<Session>,
}

impl<'a> Crew<'a> {
    /// Opens this many sessions, at least one.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`.
    pub(super) async fn open(target: &Target<'a>, path: &[String], size: usize) -> Result<Self> {
        let sessions = try_join_all((0..size.clamp(1, 16)).map(|_| target.session(path))).await?;
        // Neon sets it by the size of the compute; a server that leaves it lower than PostgreSQL's default is raised.
        let sql = "SELECT set_config('maintenance_work_mem', '64MB', false) \
                   WHERE pg_size_bytes(current_setting('maintenance_work_mem')) < pg_size_bytes('64MB')";
        try_join_all(sessions.iter().map(|session| session.batch("preparing the session", sql))).await?;
        Ok(Self { ctx: target.ctx, sessions })
    }

    /// All sessions.
    pub(super) fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// One of the sessions.
    pub(super) fn any(&self) -> Option<&Session> {
        self.sessions.first()
    }

    /// Does all jobs; they are begun in this order. Gives the tables for which a comparison shows a difference.
    ///
    /// # Errors
    /// Of the first job that fails; jobs that are under way are finished before it is told.
    pub(super) async fn run(&self, phase: &'static str, jobs: Vec<Job>) -> Result<Vec<String>> {
        let queue = Mutex::new(VecDeque::from(jobs));
        let failed = AtomicBool::new(false);
        let hands = self.sessions.iter().map(|session| async {
            let mut differing = Vec::new();
            while !failed.load(Ordering::SeqCst) {
                self.ctx.stop.check()?;
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(job) = next else { break };
                match job.work(session).await.at_table(&job.table) {
                    Ok(found) => differing.extend(found),
                    Err(error) => {
                        failed.store(true, Ordering::SeqCst);
                        return Err(error);
                    }
                }
                self.ctx.out.emit(&Event::Stepped { stage: Stage::Push, phase });
            }
            Ok(differing)
        });
        let mut differing = Vec::new();
        let mut errors: Vec<Error> = Vec::new();
        for outcome in join_all(hands).await {
            match outcome {
                Ok(some) => differing.extend(some),
                Err(error) => errors.push(error),
            }
        }
        errors.sort_by_key(|error| error.retry() != Retry::Never);
        errors.into_iter().next().map_or(Ok(differing), Err)
    }
}
