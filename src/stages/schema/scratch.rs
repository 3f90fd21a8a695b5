//! One scratch cluster for a command, started when it is needed first, with a database for each use.

use tempfile::TempDir;

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::identifier::quote_ident,
    postgres::{PgEndpoint, Session, existing_schema::ScratchCluster, managed::LocalChoice},
    workdir::Workdir,
};

/// The cluster, if it was started.
pub(super) struct Scratch {
    ctx: Context,
    local: LocalChoice,
    cluster: Option<ScratchCluster>,
    databases: u32,
    // Declared last: it is removed after the cluster.
    directory: Option<TempDir>,
}

impl Scratch {
    /// Not started yet.
    pub(super) fn new(ctx: &Context, local: &LocalChoice) -> Self {
        Self { ctx: ctx.clone(), local: local.clone(), cluster: None, databases: 0, directory: None }
    }

    /// A new, empty database.
    ///
    /// # Errors
    /// `Local*` if the cluster does not start; `ArtifactIo`.
    pub(super) async fn database(&mut self) -> Result<PgEndpoint> {
        if self.cluster.is_none() {
            let directory = temporary_directory()?;
            let ctx = Context { workdir: Workdir::create(directory.path())?, ..self.ctx.clone() };
            self.directory = Some(directory);
            self.cluster = Some(Box::pin(ScratchCluster::open(&ctx, &self.local)).await?);
        }
        let Some(cluster) = &self.cluster else {
            return Err(Error::new(Kind::Bug, "the scratch cluster was not started"));
        };
        self.databases += 1;
        let name = format!("schema_{}", self.databases);
        let session = Session::connect(cluster.endpoint()).await?;
        let sql = format!("CREATE DATABASE {} TEMPLATE template0", quote_ident(&name));
        session.batch("creating a scratch database", &sql).await?;
        Ok(cluster.endpoint().with_database(&name))
    }

    /// Stops and removes the cluster.
    ///
    /// # Errors
    /// `Local*`; `ArtifactIo`.
    pub(super) async fn close(&mut self) -> Result<()> {
        match self.cluster.take() {
            Some(cluster) => cluster.close().await,
            None => Ok(()),
        }
    }
}

/// A private directory that is removed when it is dropped.
///
/// # Errors
/// `ArtifactIo`.
pub fn temporary_directory() -> Result<TempDir> {
    tempfile::Builder::new().prefix("turso2neon-").tempdir().map_err(|cause| {
        let reason = cause.raw_os_error().map(std::io::Error::from_raw_os_error);
        let reason = reason.map_or_else(|| cause.kind().to_string(), |reason| reason.to_string());
        Error::new(Kind::ArtifactIo, format!("cannot create a temporary directory: {reason}"))
            .with_hint("set TMPDIR to a directory that can be written")
    })
}
