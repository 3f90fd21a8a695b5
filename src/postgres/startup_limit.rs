//! Limits what a server may send before a session is established.
//!
//! Nobody knows yet who the server is, and the driver keeps what comes until a message is complete: a length of 2 GB
//! would be waited for, and its bytes kept. So the frames are looked at until the server is ready for queries, and the
//! connection ends where one is longer than anything a PostgreSQL server sends by then. The same happens where the
//! server is none, such as a web server: its text begins with what looks like a large frame.

use std::{
    error::Error as StdError,
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest message before the session is established; libpq takes 30,000 bytes of an error there.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// All messages together: settings, notices.
const ALL_BYTES_MAX: usize = 1024 * 1024;
/// Type and length.
const HEADER_BYTES: usize = 5;
/// The type of the message after which queries are sent.
const READY_FOR_QUERY: u8 = b'Z';
/// The answer by which a server agrees to TLS.
const TLS_FOLLOWS: u8 = b'S';

/// The server sent more than a PostgreSQL server does before the session is established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StartupExcess {
    /// A message of so many bytes was announced.
    Message(usize),
    /// All messages together are too long.
    All,
}

impl fmt::Display for StartupExcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message(bytes) => {
                write!(f, "a message of {bytes} bytes was announced before the session was established")
            }
            Self::All => write!(f, "more than {ALL_BYTES_MAX} bytes were sent before the session was established"),
        }
    }
}

impl StdError for StartupExcess {}

impl StartupExcess {
    /// The one in an error of the driver, if it is the cause.
    pub(super) fn in_error(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

/// What comes next on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// One byte that says whether TLS follows.
    TlsAnswer,
    /// Messages.
    Messages,
    /// Nothing that can be looked at: TLS records.
    Records,
}

/// What was seen of the messages so far.
#[derive(Debug)]
pub(super) struct StartupLimit {
    expected: Expected,
    header: [u8; HEADER_BYTES],
    in_header: usize,
    /// Bytes of the present message that are still to come.
    left: usize,
    all: usize,
}

impl StartupLimit {
    pub(super) fn new(expected: Expected) -> Self {
        Self { expected, header: [0; HEADER_BYTES], in_header: 0, left: 0, all: 0 }
    }

    /// Looks at the bytes that came.
    ///
    /// # Errors
    /// `InvalidData` with a [`StartupExcess`].
    pub(super) fn observe(&mut self, mut come: &[u8]) -> io::Result<()> {
        if self.expected == Expected::TlsAnswer
            && let Some((answer, rest)) = come.split_first()
        {
            self.expected = if *answer == TLS_FOLLOWS { Expected::Records } else { Expected::Messages };
            come = rest;
        }
        if self.expected != Expected::Messages {
            return Ok(());
        }
        self.all = self.all.saturating_add(come.len());
        while !come.is_empty() {
            let skipped = self.left.min(come.len());
            self.left -= skipped;
            come = come.get(skipped..).unwrap_or_default();
            let Some((byte, rest)) = come.split_first() else { break };
            come = rest;
            if let Some(slot) = self.header.get_mut(self.in_header) {
                *slot = *byte;
                self.in_header += 1;
            }
            if self.in_header == HEADER_BYTES {
                self.in_header = 0;
                if self.end_header()? {
                    return Ok(());
                }
            }
        }
        if self.all > ALL_BYTES_MAX { Err(excess(StartupExcess::All)) } else { Ok(()) }
    }

    /// Says whether the session is established.
    fn end_header(&mut self) -> io::Result<bool> {
        let [kind, a, b, c, d] = self.header;
        // A length below 4 is refused by the driver.
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if length > MESSAGE_BYTES_MAX {
            return Err(excess(StartupExcess::Message(length)));
        }
        self.left = length.saturating_sub(4);
        if kind == READY_FOR_QUERY {
            self.expected = Expected::Records;
        }
        Ok(kind == READY_FOR_QUERY)
    }
}

fn excess(excess: StartupExcess) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, excess)
}

/// A stream whose bytes are limited until the session is established.
pub(super) struct LimitedStream<S> {
    stream: S,
    limit: StartupLimit,
}

impl<S> LimitedStream<S> {
    pub(super) fn new(stream: S, expected: Expected) -> Self {
        Self { stream, limit: StartupLimit::new(expected) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LimitedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
        Poll::Ready(this.limit.observe(buf.filled().get(before..).unwrap_or_default()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LimitedStream<S> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
        bytes.resize(1 + length, b'x');
        bytes
    }

    /// What is found if the bytes come in parts of this size.
    fn found(expected: Expected, bytes: &[u8], part: usize) -> Option<StartupExcess> {
        let mut limit = StartupLimit::new(expected);
        bytes.chunks(part).find_map(|come| limit.observe(come).err()).and_then(|error| StartupExcess::in_error(&error))
    }

    #[test]
    fn only_messages_before_the_session_is_established_are_limited() {
        let startup = [message(b'R', 8), message(b'S', 40), message(b'K', 12), message(READY_FOR_QUERY, 5)].concat();
        let huge = [&b"E\x7f\xff\xff\xff"[..], b"rest"].concat();
        let excess = Some(StartupExcess::Message(0x7fff_ffff));
        for part in [1, 2, 3, 7, 64, 8192] {
            assert_eq!(found(Expected::Messages, &startup, part), None);
            assert_eq!(found(Expected::Messages, &huge, part), excess);
            assert_eq!(found(Expected::Messages, &[&startup[..9], &huge].concat(), part), excess);
            assert_eq!(found(Expected::Messages, &[&startup[..], &huge].concat(), part), None);
            // The answer to the question for TLS.
            assert_eq!(found(Expected::TlsAnswer, &[&b"N"[..], &huge].concat(), part), excess);
            assert_eq!(found(Expected::TlsAnswer, &[&b"S"[..], &huge].concat(), part), None);
            assert_eq!(found(Expected::Records, &huge, part), None);
            assert!(found(Expected::Messages, b"HTTP/1.1 400 Bad Request\r\n", part).is_some());
        }
    }

    #[test]
    fn messages_without_an_end_are_limited_too() {
        let notices = message(b'N', 30_000).repeat(ALL_BYTES_MAX / 30_000 + 1);
        assert_eq!(found(Expected::Messages, &notices, 8192), Some(StartupExcess::All));
        assert_eq!(found(Expected::Messages, &notices[..ALL_BYTES_MAX], 8192), None);
    }
}
