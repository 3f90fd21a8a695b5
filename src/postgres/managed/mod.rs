//! The PostgreSQL that the tool finds, initialises, starts and stops by itself.

use std::path::PathBuf;

use super::PgEndpoint;
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::checkpoint::LocalServerRecord,
    secret::Secret,
};

/// Which local PostgreSQL the user wants.
#[derive(Debug, Clone, Default)]
pub struct LocalChoice {
    /// `--local-url`: an external server instead of a managed one.
    pub url: Option<Secret<String>>,
    /// `--pg-bin`: where the managed server's programs are.
    pub pg_bin: Option<PathBuf>,
    /// `--keep-running`: leave the managed server running when the tool exits.
    pub keep_running: bool,
}

/// A local PostgreSQL that is ready for connections.
pub struct LocalServer {
    endpoint: PgEndpoint,
    record: LocalServerRecord,
}

impl LocalServer {
    /// Finds, initialises and starts the managed server for loading (or checks the external one).
    ///
    /// # Errors
    /// `LocalMissing`, `LocalUnreachable`.
    pub async fn open_for_load(_ctx: &Context, _choice: &LocalChoice) -> Result<Self> {
        Err(Error::new(Kind::Bug, "not built"))
    }

    /// Starts the server that `convert` filled, as its checkpoint records it, for reading.
    ///
    /// # Errors
    /// `LocalMissing`, `LocalUnreachable`, `ArtifactMissing` if its data directory is gone.
    pub async fn open_loaded(_ctx: &Context, _choice: &LocalChoice, _record: &LocalServerRecord) -> Result<Self> {
        Err(Error::new(Kind::Bug, "not built"))
    }

    /// Where to connect.
    #[must_use]
    pub fn endpoint(&self) -> &PgEndpoint {
        &self.endpoint
    }

    /// What the checkpoint says of it.
    #[must_use]
    pub fn record(&self) -> &LocalServerRecord {
        &self.record
    }

    /// Stops the managed server unless it is to keep running; does nothing for an external one.
    ///
    /// # Errors
    /// `LocalUnreachable` if it doesn't stop.
    pub async fn close(self) -> Result<()> {
        Ok(())
    }
}
