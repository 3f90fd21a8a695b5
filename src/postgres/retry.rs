//! Pauses between tries: 0.5, 1, 2, 4, 8.. seconds, told to whoever listens, ended by the wish to stop.

use std::{collections::hash_map::RandomState, hash::BuildHasher, time::Duration};

use tokio::time::sleep;

use crate::{
    context::Context,
    error::{Error, Result},
    event::Event,
    model::Stage,
};

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

/// Tells of the failed try and waits before the next one, which has the number `attempt`.
///
/// # Errors
/// `Interrupted` when the user wants to stop.
pub async fn wait(ctx: &Context, stage: Stage, error: &Error, attempt: u32) -> Result<()> {
    wait_for(ctx, stage, error, attempt, pause(attempt.saturating_sub(1))).await
}

/// As [`wait`], with a pause of the caller's choice.
///
/// # Errors
/// `Interrupted` when the user wants to stop.
pub async fn wait_for(ctx: &Context, stage: Stage, error: &Error, attempt: u32, pause: Duration) -> Result<()> {
    let wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    ctx.out.emit(&Event::Retrying { stage, reason: error.message().to_owned(), attempt, wait_ms });
    rest(ctx, pause).await
}

/// Waits in silence.
///
/// # Errors
/// `Interrupted` when the user wants to stop.
pub async fn rest(ctx: &Context, pause: Duration) -> Result<()> {
    tokio::select! {
        () = sleep(pause) => Ok(()),
        () = ctx.stop.wished() => ctx.stop.check(),
    }
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
