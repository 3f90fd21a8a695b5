//! Keeps the managed server between the stages of one `run`, which would otherwise each start and stop it, and knows
//! whether anything was written to it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::LocalServer;
use crate::error::Result;

/// The place of the server while no stage uses it. Dropping the last clone stops the server.
#[derive(Clone, Default)]
pub struct HeldServer(Arc<Mutex<Option<LocalServer>>>);

/// What is known of a server that was started for reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadStart {
    /// Where the write-ahead log ended when it was started: whatever changes a row moves it.
    pub(super) log_position: String,
    /// Whether the digests in the load's checkpoint are those of the rows that it had then.
    pub(super) is_compared: bool,
}

impl HeldServer {
    /// Stops the server if one is held. Says whether nothing was written to it since it was started.
    ///
    /// # Errors
    /// `LocalUnreachable` if it does not stop.
    pub async fn release(&self) -> Result<bool> {
        let Some(mut server) = self.take() else { return Ok(false) };
        let is_unchanged = match &server.read_start {
            Some(start) => start.log_position == server.log_position().await?,
            None => false,
        };
        server.held = None;
        server.close().await.map(|()| is_unchanged)
    }

    pub(super) fn take(&self) -> Option<LocalServer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn put(&self, server: LocalServer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }
}

impl fmt::Debug for HeldServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldServer")
    }
}
