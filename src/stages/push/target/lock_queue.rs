//! A lock queue of sessions: how tables are got that somebody uses at every moment.
//!
//! A queue session is a session of its own that asks for one table's lock and waits. Whoever comes to the table after
//! it stands in line behind it, and whoever has the table finishes. When all tables are empty, the session that needs
//! them takes them without waiting.
//!
//! Decisions:
//! - A queue session is never given its lock, because the session that needs the tables holds a weak lock on each
//!   meanwhile. A queue session holds nothing, so nobody can be failed because of it: whoever has one table and stands
//!   before the queue session of another makes a circle with the session that waits for him, and after
//!   `deadlock_timeout` the server opens it by moving him ahead of the queue session, which is no error to anybody.
//! - Therefore few tables have a queue session: those that transactions come to first, as far as it was seen.
//! - The session with the weak lock goes ahead of the queue session, and so of everybody behind it: PostgreSQL puts a
//!   request before the first waiter that has to wait for its owner anyway (`ProcSleep` in `proc.c`).
//! - It takes the tables in the message that does the work, after it has seen them empty; they stay so behind queue
//!   sessions.
//! - Queue sessions end by themselves after their time, should this process die.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{BoxFuture, join, join_all};

use crate::{
    error::{Error, Kind, Result, Retry},
    postgres::Session,
    retry,
    stages::push::target::{
        lock_acquisition::{Locks, only},
        lock_monitor::{LockMonitor, TableUsage},
    },
};

/// Most queue sessions at once: each is a connection.
const QUEUE_SESSIONS_MAX: usize = 40;
/// How many sets of tables are remembered.
const SEEN: usize = 1000;
/// The first rounds, in milliseconds: enough for transactions that come to the tables in one order.
const SHORT: [u64; 2] = [100, 300];
/// What a circle of transactions needs besides twice `deadlock_timeout` to come free.
const AFTER_CIRCLE: Duration = Duration::from_millis(600);
/// The longest round.
const LONGEST: Duration = Duration::from_secs(8);
/// How much longer a queue session stands by itself than it should have to.
const SLACK: Duration = Duration::from_millis(500);
/// The pause between two looks at the tables.
const LOOKS: Duration = Duration::from_millis(4);

/// The sessions that wait, and what tells where they have to stand. Tables by their place in the list.
pub(crate) struct LockQueue {
    sessions: BTreeMap<usize, Session>,
    /// The tables that somebody was seen to hold at one moment.
    seen: Mutex<BTreeSet<BTreeSet<usize>>>,
    /// Where queue sessions stand in this round.
    chosen: BTreeSet<usize>,
    /// After what time the server looks for circles.
    deadlock_timeout: Duration,
}

impl LockQueue {
    /// None yet.
    pub(crate) fn none() -> Self {
        Self {
            sessions: BTreeMap::new(),
            seen: Mutex::new(BTreeSet::new()),
            chosen: BTreeSet::new(),
            deadlock_timeout: Duration::from_secs(1),
        }
    }

    /// Remembers who held what.
    pub(crate) fn observe(&self, state: &TableUsage) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SEEN.saturating_sub(seen.len());
        seen.extend(state.held.iter().take(room).cloned());
    }

    /// Chooses where queue sessions stand and opens sessions for them, as many as the server has room for. Whether
    /// there is any.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`; a connection that can't be had is no error.
    pub(crate) async fn open(&mut self, locks: &Locks<'_>) -> Result<bool> {
        self.sessions.retain(|_, session| !session.is_lost());
        self.chosen = first_tables(&self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let missing: Vec<usize> =
            self.chosen.iter().filter(|table| !self.sessions.contains_key(table)).copied().collect();
        if !missing.is_empty() {
            let room = self.ask(locks.control).await?;
            let most = QUEUE_SESSIONS_MAX.saturating_sub(self.sessions.len()).min(room);
            let wanted = missing.into_iter().take(most);
            let opened = join_all(wanted.map(|table| async move { (table, locks.target.one_session().await) })).await;
            self.sessions.extend(opened.into_iter().filter_map(|(table, session)| Some((table, session.ok()?))));
        }
        Ok(self.active().next().is_some())
    }

    /// Half of the connections that are free on the server; learns `deadlock_timeout`.
    async fn ask(&mut self, control: &Session) -> Result<usize> {
        let sql = "SELECT extract(epoch FROM current_setting('deadlock_timeout')::interval)::float8, greatest(0, \
                     (current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint \
                      - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')) / 2)";
        let row = control.query_row("asking for the server's limits", sql, &[]).await?;
        let seconds: f64 = row.get(0)?;
        let room: i64 = row.get(1)?;
        self.deadlock_timeout = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST);
        Ok(usize::try_from(room).unwrap_or(0))
    }

    /// How long the queue sessions stand in this round.
    pub(crate) fn length(&self, round: u32) -> Duration {
        let round = usize::try_from(round).unwrap_or(usize::MAX);
        if let Some(short) = SHORT.get(round) {
            return Duration::from_millis(*short);
        }
        let circle = self.deadlock_timeout.saturating_mul(2).saturating_add(AFTER_CIRCLE);
        if round == SHORT.len() { circle.min(LONGEST) } else { circle.saturating_mul(2).min(LONGEST) }
    }

    /// The queue sessions of this round.
    fn active(&self) -> impl Iterator<Item = (usize, &Session)> {
        self.chosen.iter().filter_map(|table| Some((*table, self.sessions.get(table)?)))
    }

    fn processes(&self) -> Vec<i32> {
        self.active().map(|(_, session)| session.process()).collect()
    }

    /// The statement that lets everybody behind the queue sessions through.
    fn release_sql(&self) -> String {
        let list: Vec<String> = self.processes().iter().map(i32::to_string).collect();
        format!("SELECT pg_cancel_backend(pid) FROM unnest('{{{}}}'::integer[]) AS g(pid)", list.join(","))
    }
}

/// The tables that transactions come to first, as far as it shows: few tables of which each transaction held one
/// whenever it was seen, because it holds its first table until its end. The fewer tables one held, the more that says.
fn first_tables(seen: &BTreeSet<BTreeSet<usize>>) -> BTreeSet<usize> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    seen.iter().flatten().for_each(|table| *counts.entry(*table).or_default() += 1);
    let mut fewest_first: Vec<&BTreeSet<usize>> = seen.iter().collect();
    fewest_first.sort_by_key(|held| held.len());
    let mut chosen = BTreeSet::new();
    for held in fewest_first {
        if held.is_disjoint(&chosen) {
            let rank = |table: &&usize| (counts.get(table).copied(), retry::random_below(u64::MAX));
            chosen.extend(held.iter().max_by_key(rank));
        }
    }
    chosen
}

/// One time that the queue sessions stand.
pub(crate) struct QueueRound<'r, 'a> {
    /// What is needed.
    pub locks: &'r Locks<'a>,
    /// The queue sessions.
    pub lock_queue: &'r LockQueue,
    /// What shows who uses the tables.
    pub watch: &'r LockMonitor<'a>,
    /// How long.
    pub length: Duration,
}

impl QueueRound<'_, '_> {
    /// Starts the queue sessions and does the work as soon as the tables are empty.
    ///
    /// # Errors
    /// Those of the work; one with [`Retry::WithPauses`] if the tables don't come free in time.
    pub(crate) async fn run<'f, T>(&self, work: &impl Fn(String) -> BoxFuture<'f, Result<T>>) -> Result<T> {
        self.locks.control.batch("taking the locks", &self.locks.begin()).await?;
        let ((), outcome) = join(self.hold(), self.pass(work)).await;
        outcome
    }

    /// The queue sessions. They end when they are told to, or after their time.
    async fn hold(&self) {
        let words = self.locks.strength.words();
        let most = self.length.saturating_add(SLACK).as_millis();
        let lock_queue = self.lock_queue.active().filter_map(|(table, session)| {
            let name = self.locks.shared.get(table)?;
            let sql = format!("SET LOCAL lock_timeout = '{most}ms'; LOCK TABLE ONLY {name} IN {words} MODE");
            Some(async move { session.batch("standing at a table", &sql).await })
        });
        // That a queue session is told to end is an error of its statement, and the usual end.
        join_all(lock_queue).await;
    }

    /// Waits until the tables are empty and passes. Whatever comes of it, the queue sessions are told to end.
    async fn pass<'f, T>(&self, work: &impl Fn(String) -> BoxFuture<'f, Result<T>>) -> Result<T> {
        let control = self.locks.control;
        let outcome = match self.wait().await {
            Ok(true) => work(self.take()).await,
            Ok(false) => Err(Error::new(Kind::TargetRejected, "taking the locks: the tables are in use")
                .with_retry(Retry::WithPauses)),
            Err(error) => Err(error),
        };
        if outcome.is_err() && !control.is_lost() {
            control.batch("letting go of the locks", &format!("ROLLBACK; {}", self.lock_queue.release_sql())).await?;
        }
        outcome
    }

    /// Whether the tables came free in time, with every queue session in its place.
    async fn wait(&self) -> Result<bool> {
        let begun = Instant::now();
        let processes = self.lock_queue.processes();
        loop {
            let state = self.watch.look(&processes).await?;
            self.lock_queue.observe(&state);
            let closed = state.waiting == processes.len();
            if closed && state.held.is_empty() {
                return Ok(true);
            }
            let left = self.length.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            match state.busiest().and_then(|table| self.locks.shared.get(table)) {
                // Whoever alters a table would be in a circle with us that the server can't open.
                Some(table) if closed && !state.altering => self.wait_at(table, left).await?,
                Some(_) | None => retry::rest(self.locks.target.ctx, LOOKS).await?,
            }
        }
    }

    /// Waits until a table is empty and lets go of it at once. While it lasts, whoever holds the table and stands
    /// before a queue session is in a circle with us, which the server opens for him.
    async fn wait_at(&self, table: &str, most: Duration) -> Result<()> {
        self.locks.target.ctx.stop.check()?;
        let control = self.locks.control;
        let most = most.min(self.lock_queue.deadlock_timeout.saturating_add(AFTER_CIRCLE)).as_millis().max(1);
        let words = self.locks.strength.words();
        let back = "ROLLBACK TO SAVEPOINT gate; RELEASE SAVEPOINT gate";
        let sql = format!(
            "SAVEPOINT gate; SET LOCAL lock_timeout = '{most}ms'; LOCK TABLE ONLY {table} IN {words} MODE; {back}"
        );
        match control.batch("waiting for a table", &sql).await {
            Err(error) if error.retry() == Retry::WithPauses && !control.is_lost() => {
                control.batch("letting go of a table", back).await
            }
            other => other,
        }
    }

    /// The statements that take the tables. Before a queue session nothing is waited for, which `NOWAIT` would not
    /// know.
    fn take(&self) -> String {
        let words = self.locks.strength.words();
        let gated: BTreeSet<usize> = self.lock_queue.active().map(|(table, _)| table).collect();
        let tables = self.locks.shared.iter().enumerate();
        let (behind, open): (Vec<_>, Vec<_>) = tables.partition(|(table, _)| gated.contains(table));
        let names = |some: Vec<(usize, &String)>| some.into_iter().map(|(_, name)| name.clone()).collect::<Vec<_>>();
        let mut sql = vec!["SET LOCAL lock_timeout = '20ms'".to_owned()];
        if !behind.is_empty() {
            sql.push(format!("LOCK TABLE {} IN {words} MODE", only(&names(behind))));
        }
        if !open.is_empty() {
            sql.push(format!("LOCK TABLE {} IN {words} MODE NOWAIT", only(&names(open))));
        }
        sql.push(self.lock_queue.release_sql());
        sql.push("SET LOCAL lock_timeout = '100ms'".to_owned());
        sql.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(tables: &[usize]) -> BTreeSet<usize> {
        tables.iter().copied().collect()
    }

    #[test]
    fn gates_stand_where_transactions_come_first() {
        let forth_and_back = [&[0][..], &[0, 1], &[0, 1, 2], &[2], &[2, 1], &[0, 1, 2]].map(set);
        assert_eq!(first_tables(&forth_and_back.into_iter().collect()), set(&[0, 2]));
        assert_eq!(first_tables(&[set(&[3]), set(&[3, 5]), set(&[5, 3, 1])].into_iter().collect()), set(&[3]));
        assert_eq!(first_tables(&[set(&[]), set(&[1]), set(&[4])].into_iter().collect()), set(&[1, 4]));
        assert!(first_tables(&BTreeSet::new()).is_empty());
    }

    #[test]
    fn rounds_grow_up_to_a_limit() {
        let lock_queue = LockQueue::none();
        let lengths: Vec<u128> = (0..5).map(|round| lock_queue.length(round).as_millis()).collect();
        assert_eq!(lengths, [100, 300, 2600, 5200, 5200]);
        let patient = LockQueue { deadlock_timeout: Duration::from_secs(60), ..lock_queue };
        assert_eq!(patient.length(9), LONGEST);
    }
}
