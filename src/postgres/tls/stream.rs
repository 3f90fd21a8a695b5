//! The TLS stream of a session.
//!
//! Decisions: the TLS library clears the whole buffer that it is offered for each TLS record. Neon's proxy sends
//! records of 1 KB, and the driver offers all the room that a large value needs, so one read is offered at most one
//! record's room here. The version is read from the server's first message, because the library does not tell it. A
//! stream that is dropped announces its end to the other side (`close_notify`) if that needs no waiting.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use crate::postgres::startup_limit::{Expected, StartupLimit};

/// What one read is offered: the content of the largest TLS record.
const OFFERED: usize = 16 * 1024;
/// The type of a TLS record with a handshake message, and the type of the server's first one.
const HANDSHAKE: u8 = 22;
const SERVER_HELLO: u8 = 2;
/// The extension by which TLS 1.3 and newer name the version.
const SUPPORTED_VERSIONS: u16 = 43;
/// The header of a TLS record.
const RECORD_HEADER: usize = 5;

/// The version of TLS that both sides agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlsVersion(u16);

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x0302 => f.write_str("TLSv1.1"),
            0x0303 => f.write_str("TLSv1.2"),
            0x0304 => f.write_str("TLSv1.3"),
            other => write!(f, "TLS version {other:#06x}"),
        }
    }
}

/// Makes the TLS stream of one session.
pub(in crate::postgres) struct SessionTls {
    connector: native_tls::TlsConnector,
    version: Arc<OnceLock<TlsVersion>>,
}

impl SessionTls {
    /// `version` learns the version once there is a TLS session.
    pub(in crate::postgres) fn new(connector: native_tls::TlsConnector, version: Arc<OnceLock<TlsVersion>>) -> Self {
        Self { connector, version }
    }

    /// The handshake with a host of this name.
    pub(in crate::postgres) fn handshake(self, name: &str) -> Handshake {
        let connector = postgres_native_tls::TlsConnector::new(self.connector, name);
        Handshake { connector, version: self.version }
    }
}

/// One TLS handshake.
pub(in crate::postgres) struct Handshake {
    connector: postgres_native_tls::TlsConnector,
    version: Arc<OnceLock<TlsVersion>>,
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = SessionStream<postgres_native_tls::TlsStream<ObservedStream<S>>>;
    type Error = native_tls::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, native_tls::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let observed = ObservedStream { stream, version: self.version, begin: Some(Vec::new()) };
        let shaking = self.connector.connect(observed);
        Box::pin(async move { shaking.await.map(SessionStream::new) })
    }
}

/// A TLS stream whose reads are offered little room, whose first messages are limited, and which announces its end.
pub(in crate::postgres) struct SessionStream<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    tls: T,
    buffer: Box<[u8]>,
    limit: StartupLimit,
    is_shut: bool,
}

impl<T> SessionStream<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    fn new(tls: T) -> Self {
        let limit = StartupLimit::new(Expected::Messages);
        Self { tls, buffer: vec![0; OFFERED].into_boxed_slice(), limit, is_shut: false }
    }
}

impl<T> AsyncRead for SessionStream<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let room = buf.remaining().min(this.buffer.len());
        let Some(offered) = this.buffer.get_mut(..room) else { return Poll::Ready(Ok(())) };
        let mut part = ReadBuf::new(offered);
        ready!(Pin::new(&mut this.tls).poll_read(cx, &mut part))?;
        buf.put_slice(part.filled());
        Poll::Ready(this.limit.observe(part.filled()))
    }
}

impl<T> AsyncWrite for SessionStream<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.tls).poll_shutdown(cx);
        self.is_shut |= ended.is_ready();
        ended
    }
}

impl<T> Drop for SessionStream<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    fn drop(&mut self) {
        if !self.is_shut {
            // A socket that has no room for these few bytes is not waited for.
            let mut cx = Context::from_waker(Waker::noop());
            drop(Pin::new(&mut self.tls).poll_shutdown(&mut cx));
        }
    }
}

impl<T> TlsStream for SessionStream<T>
where
    T: TlsStream + Unpin,
{
    fn channel_binding(&self) -> ChannelBinding {
        self.tls.channel_binding()
    }
}

/// The bytes below TLS, of which the server's first message is looked at.
pub(in crate::postgres) struct ObservedStream<S> {
    stream: S,
    version: Arc<OnceLock<TlsVersion>>,
    /// What has come, until the first record is complete.
    begin: Option<Vec<u8>>,
}

impl<S> ObservedStream<S> {
    fn observe(&mut self, come: &[u8]) {
        let Some(begin) = &mut self.begin else { return };
        begin.extend_from_slice(come);
        if !is_whole_record(begin) {
            return;
        }
        if let Some(version) = server_version(begin) {
            self.version.get_or_init(|| TlsVersion(version));
        }
        self.begin = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.observe(buf.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ObservedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn is_whole_record(bytes: &[u8]) -> bool {
    let length = bytes.get(3..RECORD_HEADER).and_then(number);
    length.is_some_and(|length| bytes.len() >= RECORD_HEADER + usize::from(length))
}

fn number(bytes: &[u8]) -> Option<u16> {
    bytes.try_into().ok().map(u16::from_be_bytes)
}

/// The version in a record with a `ServerHello` (RFC 8446, 4.1.3).
fn server_version(record: &[u8]) -> Option<u16> {
    let (header, hello) = record.split_at_checked(RECORD_HEADER)?;
    if *header.first()? != HANDSHAKE || *hello.first()? != SERVER_HELLO {
        return None;
    }
    // Type and length of the message, then the version of TLS up to 1.2, a random number and a session's name.
    let (message, rest) = hello.split_at_checked(4 + 2 + 32)?;
    let older = number(message.get(4..6)?)?;
    let session = usize::from(*rest.first()?);
    // The name, the cipher suite, the compression, the length of the extensions. Other messages can follow them.
    let Some(rest) = rest.get(1 + session + 2 + 1..) else { return Some(older) };
    let Some((length, rest)) = rest.split_at_checked(2) else { return Some(older) };
    let length = usize::from(number(length)?).min(rest.len());
    let mut extensions = rest.get(..length).unwrap_or_default();
    while let Some((head, rest)) = extensions.split_at_checked(4) {
        let (kind, length) = (number(head.get(..2)?)?, usize::from(number(head.get(2..)?)?));
        let (value, following) = rest.split_at_checked(length)?;
        if kind == SUPPORTED_VERSIONS {
            return number(value);
        }
        extensions = following;
    }
    Some(older)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;
    use crate::postgres::startup_limit::StartupExcess;

    /// The message after which nothing is limited; what follows here repeats it.
    const READY: &[u8] = b"Z\0\0\0\x05I";

    /// Clears all that it is offered, as the TLS library does, and gives 1 KB of it: a record of Neon's proxy.
    struct Records {
        left: usize,
        cleared: usize,
        is_shut: Arc<OnceLock<()>>,
    }

    impl Records {
        fn of(length: usize) -> Self {
            Self { left: length, cleared: 0, is_shut: Arc::default() }
        }
    }

    impl AsyncRead for Records {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let room = buf.initialize_unfilled();
            self.cleared += room.len();
            // A message that says that the session is established.
            room[..READY.len()].copy_from_slice(READY);
            let record = self.left.min(1024).min(buf.remaining());
            buf.advance(record);
            self.left -= record;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Records {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.is_shut.get_or_init(|| ());
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn reading_a_value_clears_as_much_for_each_byte_whatever_its_size() {
        let mut cleared = Vec::new();
        for size in [1 << 20, 8 << 20] {
            let mut stream = SessionStream::new(Records::of(size));
            let mut value = bytes::BytesMut::with_capacity(size);
            while value.len() < size {
                assert!(stream.read_buf(&mut value).await.unwrap() > 0);
            }
            cleared.push(stream.tls.cleared / size);
        }
        assert_eq!(cleared[0], cleared[1]);
        assert!(cleared[0] <= OFFERED / 1024, "{cleared:?}");
    }

    #[tokio::test]
    async fn a_huge_message_inside_tls_is_refused_before_the_session_is_established() {
        let (mut server, tls) = duplex(64);
        let mut stream = SessionStream::new(tls);
        server.write_all(b"E\x7f\xff\xff\xffx").await.unwrap();
        let error = stream.read(&mut [0; 16]).await.unwrap_err();
        assert_eq!(StartupExcess::in_error(&error), Some(StartupExcess::Message(0x7fff_ffff)));
    }

    #[tokio::test]
    async fn a_stream_that_is_dropped_announces_its_end_once() {
        let records = Records::of(0);
        let is_shut = Arc::clone(&records.is_shut);
        drop(SessionStream::new(records));
        assert!(is_shut.get().is_some());
        let mut stream = SessionStream::new(Records::of(0));
        stream.shutdown().await.unwrap();
        assert!(stream.is_shut);
    }

    /// A `ServerHello` with a session's name and these extensions.
    fn server_hello(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut tail = Vec::new();
        for (kind, value) in extensions {
            tail.extend(kind.to_be_bytes());
            tail.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
            tail.extend_from_slice(value);
        }
        let mut message = vec![SERVER_HELLO, 0, 0, 0, 3, 3];
        message.extend([7; 32]);
        message.extend([3, 1, 2, 3, 0x13, 0x02, 0]);
        message.extend(u16::try_from(tail.len()).unwrap().to_be_bytes());
        message.extend(tail);
        let mut record = vec![HANDSHAKE, 3, 3];
        record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        record.extend(message);
        record
    }

    async fn version_in(bytes: Vec<u8>) -> Option<String> {
        let (mut server, stream): (DuplexStream, DuplexStream) = duplex(4096);
        let version = Arc::new(OnceLock::new());
        let mut observed = ObservedStream { stream, version: Arc::clone(&version), begin: Some(Vec::new()) };
        for part in bytes.chunks(7) {
            server.write_all(part).await.unwrap();
            let mut come = vec![0; part.len()];
            observed.read_exact(&mut come).await.unwrap();
            assert_eq!(come, part);
        }
        version.get().map(ToString::to_string)
    }

    #[tokio::test]
    async fn the_version_is_that_of_the_server_hello() {
        let newer = server_hello(&[(51, &[0; 36]), (SUPPORTED_VERSIONS, &[3, 4])]);
        assert_eq!(version_in(newer.clone()).await.as_deref(), Some("TLSv1.3"));
        assert_eq!(version_in(server_hello(&[(23, &[])])).await.as_deref(), Some("TLSv1.2"));
        assert_eq!(version_in(server_hello(&[])).await.as_deref(), Some("TLSv1.2"));
        // The certificate follows in the same record.
        let mut longer = server_hello(&[(23, &[])]);
        longer.extend([11, 0, 0, 200, 9, 9, 9]);
        longer[4] += 7;
        assert_eq!(version_in(longer).await.as_deref(), Some("TLSv1.2"));
        // An alert, and a record that says less than it promises.
        assert_eq!(version_in(vec![21, 3, 3, 0, 2, 2, 40]).await, None);
        assert_eq!(version_in(vec![HANDSHAKE, 3, 3, 0, 2, SERVER_HELLO, 0]).await, None);
        for length in 0..newer.len() {
            assert!(server_version(&newer[..length]).is_none_or(|version| version == 0x0303));
        }
    }
}
