//! The task that drives a connection, and how it ends.
//!
//! Invariants: the task ends with the session. A session at rest takes its leave (Terminate, then `close_notify` in TLS);
//! one whose statement still runs is cut, so that the server gives the statement up.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{Either, poll_immediate, select};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    time::sleep,
};
use tokio_postgres::Connection;

use crate::postgres::error_map;

/// Connections of this process that are driven.
static DRIVEN: AtomicUsize = AtomicUsize::new(0);
/// How long the end of the process waits for connections to take their leave.
const LEAVE: Duration = Duration::from_millis(500);

/// A connection's task. Ends it when dropped; the connection's client has to be dropped before.
pub(super) struct Attendant {
    /// Why the connection ended, once it has.
    ended: Arc<OnceLock<String>>,
    /// Its end is the signal.
    _end: oneshot::Sender<()>,
}

/// Counts a connection as long as it is driven.
struct Driven;

impl Driven {
    fn begin() -> Self {
        DRIVEN.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        DRIVEN.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Attendant {
    /// Drives the connection, and keeps the reason of its end: a server that ends a session in the middle of a COPY says
    /// why only here.
    pub(super) fn of<S, T>(mut connection: Connection<S, T>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let ended = Arc::new(OnceLock::new());
        let reason = Arc::clone(&ended);
        let (end, no_longer_needed) = oneshot::channel::<()>();
        let driven = Driven::begin();
        tokio::spawn(async move {
            match select(&mut connection, no_longer_needed).await {
                Either::Left((outcome, _)) => {
                    let words = outcome.map_or_else(
                        |failure| error_map::words_of_end(&failure),
                        |()| "closed by the server".to_owned(),
                    );
                    // The reason must be there before whoever waits on the connection learns of its end.
                    reason.get_or_init(|| words);
                }
                // The client is gone: a connection at rest ends within this one step.
                Either::Right(_) => drop(poll_immediate(&mut connection).await),
            }
            drop(connection);
            drop(driven);
        });
        Self { ended, _end: end }
    }

    /// Why the connection ended, once it has.
    pub(super) fn reason_of_end(&self) -> Option<&str> {
        self.ended.get().map(String::as_str)
    }
}

/// Waits for the connections of sessions that were dropped, for a moment only.
pub async fn all_left() {
    let begun = Instant::now();
    while DRIVEN.load(Ordering::SeqCst) > 0 && begun.elapsed() < LEAVE {
        sleep(Duration::from_millis(1)).await;
    }
}
