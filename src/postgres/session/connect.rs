//! Opening a connection: addresses, tries, patience.
//!
//! Decisions: the driver goes on to the next address after any failure, so a wrong password would be sent once per
//! address; here the next address is tried only if no connection came about. Neon accepts TCP at once and wakes the
//! compute afterwards, so a time limit lies over the whole opening, not over the TCP connect alone.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use postgres_native_tls::MakeTlsConnector;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::lookup_host,
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{Client, Config, Connection, NoTls, config::SslNegotiation};

use super::{OWN, Session};
use crate::{
    context::Context,
    error::{Result, Retry},
    model::Stage,
    postgres::{PgEndpoint, endpoint::ServerAddress, error_map, tls::TlsPolicy},
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

/// A driver's client, its task, and where the task leaves the reason of its end.
type Opened = (Client, JoinHandle<()>, Arc<OnceLock<String>>);

pub(super) async fn once(endpoint: &PgEndpoint, settings: &[(&str, &str)]) -> Result<Session> {
    within(endpoint, settings, ONE_TRY).await
}

pub(super) async fn patiently(
    ctx: &Context,
    stage: Stage,
    endpoint: &PgEndpoint,
    settings: &[(&str, &str)],
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
        let wait = retry::pause(attempt);
        let hopeless = match error.retry() {
            Retry::Never => true,
            Retry::Briefly => attempt >= BRIEF_TRIES,
            Retry::Patiently => false,
        };
        if hopeless || begun.elapsed() + wait >= ALL_TRIES {
            // Patience has been had; the caller's own must not begin anew.
            return Err(error.with_retry(Retry::Never));
        }
        attempt += 1;
        retry::wait_for(ctx, stage, &error, attempt, wait).await?;
    }
}

async fn within(endpoint: &PgEndpoint, settings: &[(&str, &str)], limit: Duration) -> Result<Session> {
    let opening = Box::pin(open(endpoint, settings));
    timeout(limit, opening).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs();
        Err(error_map::lost(endpoint.role, &format!("connecting to {}: no answer in {seconds} s", endpoint.address)))
    })
}

async fn open(endpoint: &PgEndpoint, settings: &[(&str, &str)]) -> Result<Session> {
    let own = format!("{:016x}{:016x}", retry::random_below(u64::MAX), retry::random_below(u64::MAX));
    let mut config = endpoint.config.clone();
    let given = config.get_options().map(|given| format!("{given} ")).unwrap_or_default();
    config.options(format!("{given}-c {OWN}={own}"));
    let (client, task, ended) = match &endpoint.place {
        ServerAddress::Socket(directory) => {
            config.host_path(directory);
            dial(endpoint, &config)
                .await
                .map_err(|failure| error_map::refused(endpoint.role, &endpoint.address, &failure))?
        }
        ServerAddress::Tcp { name, address, loopback } => {
            let found = addresses(endpoint, name, *address, *loopback).await?;
            first_that_answers(endpoint, &config, name, &found).await?
        }
    };
    let mut session = Session { client, role: endpoint.role, task, ended, process: 0, version: 0 };
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
                let mut error = error_map::refused(endpoint.role, &endpoint.address, &failure);
                let direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
                if direct && error.retry() == Retry::Patiently && failure.as_db_error().is_none() && !unreached {
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
        TlsPolicy::Plain => Box::pin(config.connect(NoTls)).await.map(attend),
        TlsPolicy::Tls(connector) => {
            Box::pin(config.connect(MakeTlsConnector::new(connector.clone()))).await.map(attend)
        }
    }
}

/// Drives the connection in a task, which keeps the reason of its end: a server that ends a session in the middle of
/// a COPY says why only here.
fn attend<S, T>((client, mut connection): (Client, Connection<S, T>)) -> Opened
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let ended = Arc::new(OnceLock::new());
    let reason = Arc::clone(&ended);
    let task = tokio::spawn(async move {
        let outcome = (&mut connection).await;
        let words =
            outcome.map_or_else(|failure| error_map::words_of_end(&failure), |()| "closed by the server".to_owned());
        // The reason must be there before whoever waits on the connection learns of its end.
        reason.get_or_init(|| words);
        drop(connection);
    });
    (client, task, ended)
}
