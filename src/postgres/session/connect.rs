//! Opens a connection: addresses, tries, and how long to wait.
//!
//! Decisions: the driver goes on to the next address after any failure, so a wrong password would be sent once per
//! address; here the next address is tried only if no connection was established. Neon accepts TCP at once and wakes the
//! compute afterwards, so a time limit lies over the whole opening, not over the TCP connect alone.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{net::lookup_host, time::timeout};
use tokio_postgres::{
    Config,
    config::{SslNegotiation, TargetSessionAttrs},
    error::SqlState,
};

use super::{
    OWN, Session,
    dial::{DialFailure, Opened, Peer, dial},
};
use crate::{
    context::Context,
    error::{Error, Result, Retry},
    model::Stage,
    postgres::{PgEndpoint, endpoint::ServerAddress, error_map},
    retry,
};

/// How long one opening may take: a compute that wakes answers within seconds, but its proxy may try for longer.
const ONE_TRY: Duration = Duration::from_secs(60);
/// How long a connection is tried in all.
const ALL_TRIES: Duration = Duration::from_secs(90);
/// What to say where a server ends a connection that begins with TLS at once.
const DIRECT_TLS: &str = "sslnegotiation=direct needs PostgreSQL 17 or newer; leave it out of the connection string";
/// How many tries are made when something most likely has to be corrected.
const BRIEF_TRIES: u32 = 3;
/// The same where each try has to wait until an answer is no longer repeated.
const TRIES_OF_REPEATED_ANSWERS: u32 = 2;

/// The servers and databases to which this process has had a session.
static REACHED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What to do while the server has no free connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Wait, as for everything that passes.
    Wait,
    /// Give up after a few tries: the caller has a session already.
    GiveUp,
}

pub(super) async fn once(endpoint: &PgEndpoint, settings: &[(&str, &str)]) -> Result<Session> {
    within(endpoint, settings, ONE_TRY).await
}

pub(super) async fn patiently(
    ctx: &Context,
    stage: Stage,
    endpoint: &PgEndpoint,
    settings: &[(&str, &str)],
    when_full: WhenFull,
) -> Result<Session> {
    let begun = Instant::now();
    let mut attempt = 1;
    loop {
        ctx.stop.check()?;
        let left = ALL_TRIES.saturating_sub(begun.elapsed());
        let error = match within(endpoint, settings, left.min(ONE_TRY)).await {
            Ok(session) => return Ok(session),
            Err(error) => error,
        };
        let wait = pause(&error, attempt);
        if attempt >= tries(&error, when_full) || begun.elapsed() + wait >= ALL_TRIES {
            // All tries are used up; the caller must not begin its own.
            return Err(error.with_retry(Retry::Never));
        }
        attempt += 1;
        retry::wait_for(ctx, stage, &error, attempt, wait).await?;
    }
}

/// How often an opening that fails in this way is tried.
fn tries(error: &Error, when_full: WhenFull) -> u32 {
    let is_full = error.sqlstate() == Some(&SqlState::TOO_MANY_CONNECTIONS);
    match error.retry() {
        Retry::Never => 1,
        Retry::Briefly if error.retry_after().is_some() => TRIES_OF_REPEATED_ANSWERS,
        Retry::Briefly => BRIEF_TRIES,
        Retry::WithPauses if is_full && when_full == WhenFull::GiveUp => BRIEF_TRIES,
        Retry::WithPauses => u32::MAX,
    }
}

/// The pause before the next try.
fn pause(error: &Error, attempt: u32) -> Duration {
    let usual = retry::pause(attempt);
    error.retry_after().map_or(usual, |repeated| usual.max(repeated + retry::pause(1)))
}

async fn within(endpoint: &PgEndpoint, settings: &[(&str, &str)], limit: Duration) -> Result<Session> {
    let opening = Box::pin(open(endpoint, settings));
    let opened = timeout(limit, opening).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        Err(error_map::lost(endpoint.role, &format!("connecting to {}: no answer in {seconds} s", endpoint.address)))
    });
    let mut reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
    match opened {
        Ok(session) => {
            reached.insert(endpoint.address.clone());
            Ok(session)
        }
        // A server that refuses connections most likely is not there, unless it was there before: then it restarts.
        Err(error) if error.retry() == Retry::Briefly && error.sqlstate().is_none() => {
            let was_there = reached.contains(&endpoint.address);
            Err(if was_there { error.with_retry(Retry::WithPauses) } else { error })
        }
        Err(error) => Err(error),
    }
}

async fn open(endpoint: &PgEndpoint, settings: &[(&str, &str)]) -> Result<Session> {
    let own = format!("{:016x}{:016x}", retry::random_below(u64::MAX), retry::random_below(u64::MAX));
    let mut config = endpoint.config.clone();
    let given = config.get_options().map(|given| format!("{given} ")).unwrap_or_default();
    config.options(format!("{given}-c {OWN}={own}"));
    let opened = match &endpoint.place {
        ServerAddress::Socket(directory) => {
            dial(&endpoint.tls, &config, Peer::Unix(directory)).await.map_err(|failure| match failure {
                DialFailure::Unreached(cause) => error_map::unreached(endpoint, &cause),
                DialFailure::Refused(cause) => error_map::refused(endpoint, &cause),
            })?
        }
        ServerAddress::Tcp { name, address, loopback } => {
            let found = addresses(endpoint, name, *address, *loopback).await?;
            first_that_answers(endpoint, &config, name, &found).await?
        }
    };
    let Opened { client, attendant, tls } = opened;
    let mut session = Session { client, attendant, role: endpoint.role, tls, process: 0, version: 0 };
    session.prepare(&own, settings).await?;
    require_access(endpoint, &session).await?;
    Ok(session)
}

/// Refuses a server that accepts writes, or none, if the connection string asks for the other kind.
async fn require_access(endpoint: &PgEndpoint, session: &Session) -> Result<()> {
    let wanted = match endpoint.config.get_target_session_attrs() {
        TargetSessionAttrs::ReadWrite => "off",
        TargetSessionAttrs::ReadOnly => "on",
        _ => return Ok(()),
    };
    let sql = "SELECT pg_catalog.current_setting('transaction_read_only')";
    let found: String = session.query_value("asking whether the server accepts writes", sql, &[]).await?;
    if found == wanted {
        return Ok(());
    }
    let accepts = if found == "off" { "accepts writes, and read-only was asked for" } else { "accepts no writes" };
    let text = format!("connecting to {}: the server {accepts}", endpoint.address);
    let hint = "name the server that target_session_attrs in the connection string asks for, or leave that setting out";
    Err(error_map::lost(endpoint.role, &text).with_retry(Retry::Briefly).with_hint(hint))
}

async fn addresses(endpoint: &PgEndpoint, name: &str, given: Option<IpAddr>, loopback: bool) -> Result<Vec<IpAddr>> {
    if let Some(address) = given {
        return Ok(vec![address]);
    }
    // The port doesn't matter for a look-up, but its type asks for one.
    let found = lookup_host((name, 0)).await.map(|list| list.map(|socket: SocketAddr| socket.ip()).collect::<Vec<_>>());
    let mut found = found.unwrap_or_default();
    found.dedup();
    if loopback {
        found.retain(IpAddr::is_loopback);
    }
    if found.is_empty() {
        let text = format!("connecting to {}: the host name is not known", endpoint.address);
        let hint = "check the host in the connection string, and this machine's name service";
        return Err(error_map::lost(endpoint.role, &text).with_retry(Retry::Briefly).with_hint(hint));
    }
    Ok(found)
}

async fn first_that_answers(
    endpoint: &PgEndpoint,
    config: &Config,
    name: &str,
    addresses: &[IpAddr],
) -> Result<Opened> {
    let mut last = None;
    for address in addresses {
        match dial(&endpoint.tls, config, Peer::Tcp(name, *address)).await {
            Ok(opened) => return Ok(opened),
            Err(DialFailure::Unreached(cause)) => last = Some(error_map::unreached(endpoint, &cause)),
            Err(DialFailure::Refused(cause)) => {
                let error = error_map::refused(endpoint, &cause);
                let direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
                return Err(if direct && error.retry() == Retry::WithPauses && cause.as_db_error().is_none() {
                    error.with_retry(Retry::Briefly).with_hint(DIRECT_TLS)
                } else {
                    error
                });
            }
        }
    }
    Err(last.unwrap_or_else(|| error_map::lost(endpoint.role, "connecting: no address to try")))
}
