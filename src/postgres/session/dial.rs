//! One connection to one address: the socket, the limit of what comes before the session, TLS, the driver.
//!
//! The driver could open the socket itself, but then nothing could look at what comes before the session is established.

use std::{
    io,
    net::IpAddr,
    path::Path,
    pin::Pin,
    sync::{Arc, OnceLock},
    task,
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_postgres::{
    Client, Config, NoTls,
    config::{SslMode, SslNegotiation},
};

use super::attendant::Attendant;
use crate::postgres::{
    startup_limit::{Expected, LimitedStream},
    tls::{SessionTls, TlsPolicy, TlsVersion},
};

/// A driver's client and its task, and the version of TLS between here and the other side.
pub(super) struct Opened {
    pub(super) client: Client,
    pub(super) attendant: Attendant,
    pub(super) tls: Option<TlsVersion>,
}

/// Where one connection goes.
#[derive(Clone, Copy)]
pub(super) enum Peer<'a> {
    /// A host's name, which TLS proves, and one of its addresses.
    Tcp(&'a str, IpAddr),
    /// The directory of a Unix socket.
    Unix(&'a Path),
}

/// Why there is no session.
pub(super) enum DialFailure {
    /// No connection was made.
    Unreached(io::Error),
    /// The driver's reason.
    Refused(tokio_postgres::Error),
}

/// Connects. `policy` is that of the endpoint.
pub(super) async fn dial(policy: &TlsPolicy, config: &Config, peer: Peer<'_>) -> Result<Opened, DialFailure> {
    let socket = connect(config, peer).await.map_err(DialFailure::Unreached)?;
    match policy {
        TlsPolicy::Plain => {
            let stream = LimitedStream::new(socket, Expected::Messages);
            let connecting = Box::pin(config.connect_raw(stream, NoTls));
            let (client, connection) = connecting.await.map_err(DialFailure::Refused)?;
            Ok(Opened { client, attendant: Attendant::of(connection), tls: None })
        }
        TlsPolicy::Tls(connector) => {
            let version = Arc::new(OnceLock::new());
            let tls = SessionTls::new(connector.clone(), Arc::clone(&version));
            let name = match peer {
                Peer::Tcp(name, _) => name,
                Peer::Unix(_) => "",
            };
            let stream = LimitedStream::new(socket, expected(config));
            let connecting = Box::pin(config.connect_raw(stream, tls.handshake(name)));
            let (client, connection) = connecting.await.map_err(DialFailure::Refused)?;
            Ok(Opened { client, attendant: Attendant::of(connection), tls: version.get().copied() })
        }
    }
}

/// What the server sends first where TLS is wanted.
fn expected(config: &Config) -> Expected {
    match (config.get_ssl_mode(), config.get_ssl_negotiation()) {
        (SslMode::Disable, _) => Expected::Messages,
        (_, SslNegotiation::Direct) => Expected::Records,
        (_, _) => Expected::TlsAnswer,
    }
}

async fn connect(config: &Config, peer: Peer<'_>) -> io::Result<Socket> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match peer {
        Peer::Tcp(_, address) => {
            let stream = within(config, TcpStream::connect((address, port))).await?;
            stream.set_nodelay(true)?;
            watch(&SockRef::from(&stream), config)?;
            Ok(Socket::Tcp(stream))
        }
        Peer::Unix(directory) => {
            let path = directory.join(format!(".s.PGSQL.{port}"));
            within(config, UnixStream::connect(path)).await.map(Socket::Unix)
        }
    }
}

async fn within<S>(config: &Config, connecting: impl Future<Output = io::Result<S>>) -> io::Result<S> {
    let limit = config.get_connect_timeout().copied().unwrap_or(Duration::MAX);
    timeout(limit, connecting).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// How a connection that is cut is noticed.
fn watch(socket: &SockRef<'_>, config: &Config) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if let Some(unanswered) = config.get_tcp_user_timeout() {
        socket.set_tcp_user_timeout(Some(*unanswered))?;
    }
    if !config.get_keepalives() {
        return Ok(());
    }
    let mut keepalive = TcpKeepalive::new().with_time(config.get_keepalives_idle());
    if let Some(interval) = config.get_keepalives_interval() {
        keepalive = keepalive.with_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        keepalive = keepalive.with_retries(retries);
    }
    socket.set_tcp_keepalive(&keepalive)
}

/// A connection's bytes.
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> task::Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>, buf: &[u8]) -> task::Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
