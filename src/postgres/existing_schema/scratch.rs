//! A cluster for trials: it is empty when it is opened, and removed when it is closed.

use std::{fs, io, path::PathBuf};

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    postgres::{
        PgEndpoint,
        managed::{LocalChoice, LocalServer},
    },
    workdir::Workdir,
};

/// A scratch cluster under the working directory. What a killed run leaves of one is removed by the next.
pub struct ScratchCluster {
    home: PathBuf,
    workdir: Workdir,
    server: LocalServer,
}

impl ScratchCluster {
    /// Starts an empty cluster.
    ///
    /// # Errors
    /// `Local*` if it doesn't start; `ArtifactIo`.
    pub async fn open(ctx: &Context, local: &LocalChoice) -> Result<Self> {
        let home = ctx.workdir.subdir("plan")?.join("scratch");
        let workdir = Workdir::create(&home)?;
        LocalServer::discard(&workdir).await?;
        let scratch = Context { workdir: workdir.clone(), ..ctx.clone() };
        let choice = LocalChoice { url: None, keep_running: false, held: None, ..local.clone() };
        let server = LocalServer::open_for_load(&scratch, &choice).await?;
        Ok(Self { home, workdir, server })
    }

    /// How it is reached. The role is a superuser.
    #[must_use]
    pub fn endpoint(&self) -> &PgEndpoint {
        self.server.endpoint()
    }

    /// Stops and removes it.
    ///
    /// # Errors
    /// `Local*`; `ArtifactIo`.
    pub async fn close(self) -> Result<()> {
        let closed = self.server.close().await;
        let discarded = LocalServer::discard(&self.workdir).await;
        let removed = match fs::remove_dir_all(&self.home) {
            Ok(()) => Ok(()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(cause) => Err(Error::io(Kind::ArtifactIo, "removing", &self.home, &cause)),
        };
        closed.and(discarded).and(removed)
    }
}
