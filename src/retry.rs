//! Retries after a failure: which failures are retried, how long the pauses are, and how they are waited for.

use std::{collections::hash_map::RandomState, hash::BuildHasher, time::Duration};

use tokio::time::sleep;

use crate::{
    context::Context,
    error::{Error, Result},
    event::Event,
    model::Stage,
};

/// The longest pause that a server can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A try that failed.
pub enum Failure {
    /// Another try would fail as well.
    Final(Error),
    /// Another try may succeed, after the pause that the server asks for if it does.
    Passing(Error, Option<Duration>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// The tries of one thing.
pub struct Tries<'a> {
    ctx: &'a Context,
    stage: Stage,
    most: u32,
    made: u32,
}

impl<'a> Tries<'a> {
    /// At most so many tries; the first is made at once.
    #[must_use]
    pub fn new(ctx: &'a Context, stage: Stage, most: u32) -> Self {
        Self { ctx, stage, most, made: 0 }
    }

    /// Waits until the next try after one that failed.
    ///
    /// # Errors
    /// The failure if it is final or was the last try's; `Interrupted` when the user wants to stop.
    pub async fn next(&mut self, failure: Failure) -> Result<()> {
        self.made += 1;
        let (error, requested) = match failure {
            Failure::Passing(error, requested) if self.made < self.most => (error, requested),
            Failure::Final(error) | Failure::Passing(error, _) => return Err(error),
        };
        let pause = requested.map_or_else(|| pause(self.made), |requested| requested.min(PAUSE_MAX));
        wait_for(self.ctx, self.stage, &error, self.made + 1, pause).await
    }
}

/// The pause after the first, second.. failed try: 0.5, 1, 2, 4, 8 and at most 16 seconds, varied by a quarter so that
/// several sessions don't come back at the same moment.
#[must_use]
pub fn pause(attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(1).min(5);
    let base = 500_u64 << doublings;
    Duration::from_millis(base * 3 / 4 + random_below(base / 2))
}

/// A number that nobody can foresee, below `limit`; 0 if `limit` is 0. Not for secrets.
#[must_use]
pub fn random_below(limit: u64) -> u64 {
    RandomState::new().hash_one(limit) % limit.max(1)
}

/// Reports the failed try and waits before the next one, which has the number `attempt`.
///
/// # Errors
/// `Interrupted` when the user wants to stop.
pub async fn wait(ctx: &Context, stage: Stage, error: &Error, attempt: u32) -> Result<()> {
    wait_because(ctx, stage, error.message(), attempt).await
}

/// As [`wait`], for a reason that is no error.
///
/// # Errors
/// `Interrupted` when the user wants to stop.
pub async fn wait_because(ctx: &Context, stage: Stage, reason: &str, attempt: u32) -> Result<()> {
    announced(ctx, stage, reason, attempt, pause(attempt.saturating_sub(1))).await
}

/// As [`wait`], with a pause of the caller's choice.
///
/// # Errors
/// `Interrupted` when the user wants to stop.
pub async fn wait_for(ctx: &Context, stage: Stage, error: &Error, attempt: u32, pause: Duration) -> Result<()> {
    announced(ctx, stage, error.message(), attempt, pause).await
}

async fn announced(ctx: &Context, stage: Stage, reason: &str, attempt: u32, pause: Duration) -> Result<()> {
    let wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    ctx.out.emit(&Event::Retrying { stage, reason: reason.to_owned(), attempt, wait_ms });
    rest(ctx, pause).await
}

/// Waits in silence.
///
/// # Errors
/// `Interrupted` when the user wants to stop.
pub async fn rest(ctx: &Context, pause: Duration) -> Result<()> {
    ctx.stop.or(sleep(pause)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_bounded() {
        for (attempt, least, most) in [(1, 375, 625), (2, 750, 1250), (3, 1500, 2500), (9, 12_000, 20_000)] {
            let found = pause(attempt).as_millis();
            assert!((least..=most).contains(&found), "{attempt}: {found}");
        }
    }
}
