//! Locks on tables that readers and writers use, taken without ever waiting while another is held.
//!
//! Decisions: the first table is waited for 100 ms, the others not at all, in an order of chance; on failure everything
//! is let go and tried again after a moment. So nobody can be drawn into a deadlock, and nobody waits for long.

use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::{
    error::{Error, Kind, Result, Retry},
    model::Stage,
    postgres::{Session, patience},
};

use super::target::Target;

/// How long to try to get the locks.
const PATIENCE: Duration = Duration::from_secs(300);

/// Which lock is meant, by PostgreSQL's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    /// Nobody else writes; readers don't notice.
    AgainstWriters,
    /// Nobody else reads.
    AgainstEverybody,
}

impl Strength {
    const fn words(self) -> &'static str {
        match self {
            Self::AgainstWriters => "SHARE ROW EXCLUSIVE",
            Self::AgainstEverybody => "ACCESS EXCLUSIVE",
        }
    }
}

/// The beginning of a transaction that needs these tables (qualified names): its settings, and the locks. `ours` are
/// tables that nobody else knows of.
///
/// First come locks that no reader or writer notices, which may be waited for: a server process that vacuums one of the
/// tables by itself gives way after a second. Then the ones that count.
pub(super) fn begin(ours: &[String], theirs: &[String], strength: Strength) -> String {
    // The commit is the one that makes everything before it durable too.
    let mut sql = vec!["BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '10s'".to_owned()];
    let only = |tables: &[String]| tables.iter().map(|table| format!("ONLY {table}")).collect::<Vec<_>>();
    if !ours.is_empty() {
        sql.push(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", only(ours).join(", ")));
    }
    let mut theirs = only(theirs);
    if !theirs.is_empty() {
        sql.push(format!("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE", theirs.join(", ")));
    }
    sql.push("SET LOCAL lock_timeout = '100ms'".to_owned());
    theirs.sort_by_cached_key(|_| patience::random_below(u64::MAX));
    let words = strength.words();
    if let Some((first, others)) = theirs.split_first() {
        sql.push(format!("LOCK TABLE {first} IN {words} MODE"));
        if !others.is_empty() {
            sql.push(format!("LOCK TABLE {} IN {words} MODE NOWAIT", others.join(", ")));
        }
    }
    sql.join("; ")
}

/// Makes the attempt until it doesn't fail because of somebody's locks. After a failure its transaction is left.
///
/// # Errors
/// Those of the attempt; `TargetRejected` if the tables were in use for five minutes; `Interrupted`.
pub(super) async fn insist<'a, T>(
    target: &Target<'_>,
    control: &Session,
    attempt: impl Fn() -> BoxFuture<'a, Result<T>>,
) -> Result<T> {
    let begun = Instant::now();
    let mut told = begun;
    let mut number: u32 = 1;
    loop {
        target.ctx.stop.check()?;
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if control.is_lost() {
            return Err(error);
        }
        control.batch("letting go of the locks", "ROLLBACK").await?;
        if error.retry() != Retry::Patiently {
            return Err(error);
        }
        if begun.elapsed() > PATIENCE {
            let text =
                format!("the tables were in use without a pause for {} s; nothing was replaced", PATIENCE.as_secs());
            return Err(Error::new(Kind::TargetRejected, text).with_hint(
                "end long transactions on these tables, then run `turso2neon push` again: only the cutover is left",
            ));
        }
        number = number.saturating_add(1);
        let pause = Duration::from_millis(5 + patience::random_below(45));
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            patience::wait_for(target.ctx, Stage::Push, &error, number, pause).await?;
        } else {
            patience::rest(target.ctx, pause).await?;
        }
    }
}
