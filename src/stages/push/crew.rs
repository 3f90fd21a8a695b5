//! Several sessions that work through one list together.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::future::{BoxFuture, join_all, try_join_all};

use crate::{
    context::Context,
    error::{Error, Result, ResultExt, Retry},
    event::Event,
    model::Stage,
    postgres::Session,
};

use super::target::Target;

/// A piece of work: statements that run one after the other in one transaction.
pub(super) struct Job {
    /// What it does, for messages.
    pub doing: &'static str,
    /// The source table.
    pub table: String,
    /// The statements, separated by semicolons.
    pub sql: String,
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

    /// One of the sessions.
    pub(super) fn any(&self) -> Option<&Session> {
        self.sessions.first()
    }

    /// Runs all jobs, in any order.
    ///
    /// # Errors
    /// Of the first job that fails; jobs that are under way are finished before it is told.
    pub(super) async fn run(&self, phase: &'static str, jobs: Vec<Job>) -> Result<()> {
        fn run<'x>(session: &'x Session, job: &'x Job) -> BoxFuture<'x, Result<()>> {
            Box::pin(async move { session.batch(job.doing, &job.sql).await.at_table(&job.table) })
        }
        self.each(phase, jobs, run).await.map(drop)
    }

    /// Does the work for every item, in any order; the answers come in any order too.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) async fn each<T, R>(
        &self,
        phase: &'static str,
        items: Vec<T>,
        work: impl for<'x> Fn(&'x Session, &'x T) -> BoxFuture<'x, Result<R>>,
    ) -> Result<Vec<R>> {
        let queue = Mutex::new(VecDeque::from(items));
        let failed = AtomicBool::new(false);
        let hands = self.sessions.iter().map(|session| async {
            let mut answers = Vec::new();
            while !failed.load(Ordering::SeqCst) {
                self.ctx.stop.check()?;
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(item) = next else { break };
                match work(session, &item).await {
                    Ok(answer) => answers.push(answer),
                    Err(error) => {
                        failed.store(true, Ordering::SeqCst);
                        return Err(error);
                    }
                }
                self.ctx.out.emit(&Event::Stepped { stage: Stage::Push, phase });
            }
            Ok(answers)
        });
        let mut answers = Vec::new();
        let mut errors: Vec<Error> = Vec::new();
        for outcome in join_all(hands).await {
            match outcome {
                Ok(some) => answers.extend(some),
                Err(error) => errors.push(error),
            }
        }
        errors.sort_by_key(|error| error.retry() != Retry::Never);
        errors.into_iter().next().map_or(Ok(answers), Err)
    }
}
