//! Transactions that look at the past.
//!
//! A table that went in as one piece is frozen: whatever snapshot a transaction has, it sees all rows. One that went in
//! as several, or one whose rows changed after it, can't be: a transaction with a snapshot from the time of the load, that comes to the table after the
//! cutover for the first time, would see some of its rows. So those transactions are waited for.

use std::time::{Duration, Instant};

use crate::{
    error::{Error, Kind, Result, Retry},
    model::Stage,
    postgres::Session,
    retry,
    stages::push::target::{catalog::names_of, session::Target},
};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Transactions that have begun before a look and whose snapshot is older than transaction `$1`. A statement outside a
/// transaction has chosen its tables when it began; whether it is one, a role without `pg_read_all_stats` isn't reported.
const OLDER: &str = "SELECT pid || ' ' || coalesce(xact_start::text, backend_xmin::text) FROM pg_stat_activity \
     WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend' \
       AND pid <> pg_backend_pid() AND age(backend_xmin) > age($1::text::xid) \
       AND coalesce(state <> 'active' OR query_start > xact_start + interval '2 ms', true) ORDER BY xact_start, pid";

/// Waits for transactions whose snapshot is older than this moment.
///
/// # Errors
/// `TargetRejected` with [`Retry::Briefly`] if they don't end for as long as --lock-wait says; `Target*`,
/// `Interrupted`.
pub(crate) async fn wait_for_older(target: &Target<'_>, control: &Session) -> Result<()> {
    let doing = "looking for transactions with an older snapshot";
    let now: String = control.query_value(doing, "SELECT pg_current_xact_id()::xid::text", &[]).await?;
    let mut older = names_of(control, doing, OLDER, &[&now]).await?;
    let (begun, mut reported) = (Instant::now(), Instant::now());
    let mut attempt = 1;
    while !older.is_empty() {
        let names: Vec<&str> = older.iter().filter_map(|one| one.split(' ').next()).take(5).collect();
        let text = format!("transactions from before the load are still open: processes {}", names.join(", "));
        let error = Error::new(Kind::TargetRejected, text).with_retry(Retry::Briefly);
        if begun.elapsed() > target.lock_wait {
            return Err(error.with_hint(
                "nothing was replaced; end them, then run the same command again: only the cutover is left",
            ));
        }
        attempt += 1;
        if reported.elapsed() > Duration::from_secs(5) {
            reported = Instant::now();
            retry::wait_for(target.ctx, Stage::Push, &error, attempt, PAUSE).await?;
        } else {
            retry::rest(target.ctx, PAUSE).await?;
        }
        let still = names_of(control, doing, OLDER, &[&now]).await?;
        // One that has begun since sees everything, whatever its oldest neighbour makes its snapshot look like.
        older.retain(|one| still.contains(one));
    }
    Ok(())
}
