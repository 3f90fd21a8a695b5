//! Opening a connection: addresses, tries, patience.
//!
//! Decisions: the driver goes on to the next address after any failure, so a wrong password would be sent once per
//! address; here the next address is tried only if no connection was established. Neon accepts TCP at once and wakes the
//! compute afterwards, so a time limit lies over the whole opening, not over the TCP connect alone.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio::{net::lookup_host, time::timeout};
use tokio_postgres::{Client, Config, NoTls, config::SslNegotiation, error::SqlState};

use super::{OWN, Session, attendant::Attendant};
use crate::{
    context::Context,
    error::{Error, Result, Retry},
    model::Stage,
    postgres::{
        PgEndpoint,
        endpoint::ServerAddress,
        error_map,
        tls::{SessionTls, TlsPolicy, TlsVersion},
    },
    retry,
};

/// How long one opening may take: a compute that wakes answers within seconds, but its proxy may try for longer.
const ONE_TRY: Duration = Duration::from_secs(60);
/// How long patience lasts in all.
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

/// A driver's client and its task, and the version of TLS between here and the other side.
pub(super) struct Opened {
    client: Client,
    attendant: Attendant,
    tls: Option<TlsVersion>,
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
            // Patience has been had; the caller's own must not begin anew.
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
            config.host_path(directory);
            dial(endpoint, &config).await.map_err(|failure| error_map::refused(endpoint, &failure))?
        }
        ServerAddress::Tcp { name, address, loopback } => {
            let found = addresses(endpoint, name, *address, *loopback).await?;
            first_that_answers(endpoint, &config, name, &found).await?
        }
    };
    let Opened { client, attendant, tls } = opened;
    let mut session = Session { client, attendant, role: endpoint.role, tls, process: 0, version: 0 };
    session.prepare(&own, settings).await?;
    Ok(session)
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
        let mut config = config.clone();
        config.host(name).hostaddr(*address);
        match dial(endpoint, &config).await {
            Ok(opened) => return Ok(opened),
            Err(failure) => {
                let unreached = error_map::is_unreached(&failure);
                let mut error = error_map::refused(endpoint, &failure);
                let direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
                if direct && error.retry() == Retry::WithPauses && failure.as_db_error().is_none() && !unreached {
                    error = error.with_retry(Retry::Briefly).with_hint(DIRECT_TLS);
                }
                if !unreached {
                    return Err(error);
                }
                last = Some(error);
            }
        }
    }
    Err(last.unwrap_or_else(|| error_map::lost(endpoint.role, "connecting: no address to try")))
}

async fn dial(endpoint: &PgEndpoint, config: &Config) -> std::result::Result<Opened, tokio_postgres::Error> {
    match &endpoint.tls {
        TlsPolicy::Plain => {
            let (client, connection) = Box::pin(config.connect(NoTls)).await?;
            Ok(Opened { client, attendant: Attendant::of(connection), tls: None })
        }
        TlsPolicy::Tls(connector) => {
            let version = Arc::new(OnceLock::new());
            let tls = SessionTls::new(connector.clone(), Arc::clone(&version));
            let (client, connection) = Box::pin(config.connect(tls)).await?;
            Ok(Opened { client, attendant: Attendant::of(connection), tls: version.get().copied() })
        }
    }
}
