//! Locks on tables that readers and writers use: nobody is drawn into a deadlock, and nobody waits for long.
//!
//! Decisions: a lock that conflicts with readers or writers is never waited for while another is held. First the tables
//! are asked for politely: the first is waited for 100 ms, the others not at all, in an order of chance; on failure
//! everything is let go. Where that finds no gap for a second, the tables are closed by sessions that queue for their
//! locks (`lock_queue`).

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::{
    error::{Error, Kind, Result, Retry},
    model::Stage,
    postgres::Session,
    retry,
    stages::push::target::{
        lock_monitor::{self, LockMonitor},
        lock_queue::{LockQueue, QueueRound},
        session::Target,
    },
};

/// How long to try to get the locks, unless the user says otherwise.
pub const LOCK_WAIT: Duration = Duration::from_secs(300);
/// How long to ask politely before sessions queue for the locks.
const POLITE: Duration = Duration::from_secs(1);

/// The pause between two looks at who uses the tables.
const LOOKS: Duration = Duration::from_millis(20);

/// Which lock is meant, by PostgreSQL's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockMode {
    /// Nobody else writes; readers don't notice.
    AgainstWriters,
    /// Nobody else reads.
    AgainstEverybody,
}

impl LockMode {
    /// PostgreSQL's name in `LOCK TABLE`.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::AgainstWriters => "SHARE ROW EXCLUSIVE",
            Self::AgainstEverybody => "ACCESS EXCLUSIVE",
        }
    }

    /// The locks that it can't be held beside, as `pg_locks` calls them.
    pub(crate) const fn conflicts(self) -> &'static [&'static str] {
        const ALL: [&str; 8] = [
            "AccessShareLock",
            "RowShareLock",
            "RowExclusiveLock",
            "ShareUpdateExclusiveLock",
            "ShareLock",
            "ShareRowExclusiveLock",
            "ExclusiveLock",
            "AccessExclusiveLock",
        ];
        match self {
            Self::AgainstWriters => ALL.split_at(2).1,
            Self::AgainstEverybody => &ALL,
        }
    }
}

/// The tables that a transaction needs for itself; qualified names.
pub(crate) struct Locks<'a> {
    /// Where they are.
    pub target: &'a Target<'a>,
    /// The session whose transaction it is.
    pub control: &'a Session,
    /// Tables that nobody else knows of.
    pub private: Vec<String>,
    /// Tables that others use.
    pub shared: Vec<String>,
    /// What is taken on the latter; on the former it is everything.
    pub strength: LockMode,
}

impl Locks<'_> {
    /// Does the work in a transaction that has the locks, as often as it fails because of somebody's locks; after a
    /// failure the transaction is left. The work is given the statements that come before its own: the beginning of
    /// the transaction, its settings, the locks. It has to commit.
    ///
    /// # Errors
    /// Those of the work; `TargetRejected` with [`Retry::Briefly`] and the names of who is in the way if the tables
    /// were in use for as long as --lock-wait says; `Interrupted`.
    pub(crate) async fn with_locks<'f, T>(&self, work: impl Fn(String) -> BoxFuture<'f, Result<T>>) -> Result<T> {
        let begun = Instant::now();
        let mut progress = RetryProgress { reported: begun, attempt: 1, rounds: 0 };
        let mut lock_queue = LockQueue::none();
        let mut watch = None;
        loop {
            self.target.ctx.stop.check()?;
            let (outcome, pause) = match &watch {
                Some(watch) if begun.elapsed() > POLITE && lock_queue.open(self).await? => {
                    let length = lock_queue.length(progress.rounds);
                    progress.rounds = progress.rounds.saturating_add(1);
                    let round = QueueRound { locks: self, lock_queue: &lock_queue, watch, length };
                    // Whoever waited behind the queue sessions gets time without them.
                    (round.run(&work).await, length / 2)
                }
                _ => {
                    let pause = Duration::from_millis(5 + retry::random_below(45));
                    (work(self.begin_politely()).await, pause)
                }
            };
            let error = match outcome {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if self.control.is_lost() {
                return Err(error);
            }
            self.control.batch("letting go of the locks", "ROLLBACK").await?;
            // What is lost on the local side doesn't come back in this session.
            if error.retry() != Retry::WithPauses || !error.kind().is_of_target() {
                return Err(error);
            }
            let watch = match &watch {
                Some(watch) => watch,
                None => watch.insert(LockMonitor::of(self).await?),
            };
            lock_queue.observe(&watch.look(&[]).await?);
            if begun.elapsed() > self.target.lock_wait {
                return Err(self.give_up(&error).await?);
            }
            progress.attempt = progress.attempt.saturating_add(1);
            if progress.reported.elapsed() > Duration::from_secs(5) {
                progress.reported = Instant::now();
                retry::wait_for(self.target.ctx, Stage::Push, &error, progress.attempt, LOOKS).await?;
            }
            self.rest(pause, &lock_queue, watch).await?;
        }
    }

    /// A pause in which it is seen who comes to which tables.
    async fn rest(&self, pause: Duration, lock_queue: &LockQueue, watch: &LockMonitor<'_>) -> Result<()> {
        let begun = Instant::now();
        loop {
            let left = pause.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            retry::rest(self.target.ctx, left.min(LOOKS)).await?;
            lock_queue.observe(&watch.look(&[]).await?);
        }
    }

    async fn give_up(&self, error: &Error) -> Result<Error> {
        let names = lock_monitor::by_whom(self).await?;
        let by = if names.is_empty() { error.message().to_owned() } else { names.join(", ") };
        let text = format!(
            "the tables were in use for {} s, so nothing was changed; blocked by {by}",
            self.target.lock_wait.as_secs()
        );
        // Whole tables can't take their places either: no reason to try that instead.
        Ok(Error::new(Kind::TargetRejected, text)
            .with_retry(Retry::Briefly)
            .with_hint("end long transactions on these tables, then run the same command again: it goes on from here"))
    }

    /// The beginning of a transaction with locks that no reader or writer notices, which may be waited for: a server
    /// process that vacuums one of the tables by itself gives way after a second.
    pub(crate) fn begin(&self) -> String {
        // The commit is the one that makes everything before it durable too.
        let mut sql = vec!["BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '10s'".to_owned()];
        if !self.private.is_empty() {
            sql.push(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", only(&self.private)));
        }
        if !self.shared.is_empty() {
            sql.push(format!("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE", only(&self.shared)));
        }
        sql.push("SET LOCAL lock_timeout = '100ms'".to_owned());
        sql.join("; ")
    }

    /// The beginning with the locks that count.
    fn begin_politely(&self) -> String {
        let mut sql = vec![self.begin()];
        let mut shared = self.shared.clone();
        shared.sort_by_cached_key(|_| retry::random_below(u64::MAX));
        let words = self.strength.words();
        if let Some((first, others)) = shared.split_first() {
            sql.push(format!("LOCK TABLE ONLY {first} IN {words} MODE"));
            if !others.is_empty() {
                sql.push(format!("LOCK TABLE {} IN {words} MODE NOWAIT", only(others)));
            }
        }
        sql.join("; ")
    }
}

/// What the tries so far have shown.
struct RetryProgress {
    /// When progress was last reported.
    reported: Instant,
    /// The number of the next try.
    attempt: u32,
    /// Rounds with queue sessions.
    rounds: u32,
}

/// A list of tables for `LOCK TABLE`.
pub(crate) fn only(tables: &[String]) -> String {
    tables.iter().map(|table| format!("ONLY {table}")).collect::<Vec<_>>().join(", ")
}
