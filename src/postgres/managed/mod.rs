//! The PostgreSQL that the tool finds, initialises, starts and stops by itself, or the one that the user named.
//!
//! Called by `convert` (to load) and by `push` and `verify` (to read). Nothing here knows what is loaded.
//!
//! Decisions: the cluster is single-purpose, so it is wiped rather than repaired; loading runs without fsync, and the
//! files are brought to disk once, at the end.

mod os_user;

mod cluster;

pub mod installation;

mod data_dir;

mod postmaster;

mod binaries;

mod server_config;

mod shortage;

mod template;

use std::{path::PathBuf, time::Duration};

use cluster::RunningCluster;
use data_dir::DataDir;
use tokio_postgres::error::SqlState;

use super::{PgEndpoint, Role, Session};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::checkpoint::LocalServerRecord,
    secret::Secret,
    workdir::Workdir,
};

/// The database in the managed cluster: the one that `initdb` makes.
const DATABASE: &str = "postgres";

/// The oldest version of an external server, as `server_version_num`.
const OLDEST: u32 = 140_000;

/// How often to look whether the sessions of a killed run have ended: for 30 seconds.
const SESSIONS_END_TRIES: u32 = 600;

/// Which local PostgreSQL the user wants.
#[derive(Debug, Clone, Default)]
pub struct LocalChoice {
    /// `--local-url`: an external server instead of a managed one.
    pub url: Option<Secret<String>>,
    /// `--pg-bin`: where the managed server's programs are.
    pub pg_bin: Option<PathBuf>,
    /// `--keep-running`: leave the managed server running when the tool exits.
    pub keep_running: bool,
    /// The user's cache directory, in which a new data directory is kept to be copied. A root process has its own.
    pub cache: Option<PathBuf>,
}

/// A local PostgreSQL that is ready for connections. Dropping a managed one stops it.
pub struct LocalServer {
    endpoint: PgEndpoint,
    record: LocalServerRecord,
    running: Option<RunningCluster>,
}

impl LocalServer {
    /// Finds, initialises and starts the managed server for loading (or checks the external one).
    ///
    /// A managed cluster that a former load left is continued, or wiped if a crash may have torn it. Dropping the
    /// future leaves no server behind.
    ///
    /// # Errors
    /// `LocalMissing`, `LocalUnreachable`.
    pub async fn open_for_load(ctx: &Context, choice: &LocalChoice) -> Result<Self> {
        if let Some(url) = &choice.url {
            return Self::external(ctx, url).await;
        }
        let (workdir, choice) = (ctx.workdir.clone(), choice.clone());
        let running = in_thread(move || RunningCluster::for_load(&workdir, &choice)).await?;
        let server = Self::managed(&ctx.workdir, running)?;
        server.end_other_sessions().await?;
        Ok(server)
    }

    /// Starts the server that `convert` filled, as its checkpoint records it, for reading.
    ///
    /// # Errors
    /// `LocalMissing`, `LocalUnreachable`, `ArtifactMissing` if its data directory is gone; `Usage` if the choice names
    /// another server than the record.
    pub async fn open_loaded(ctx: &Context, choice: &LocalChoice, record: &LocalServerRecord) -> Result<Self> {
        match (record, &choice.url) {
            (LocalServerRecord::Managed { pgdata, placed_because, .. }, None) => {
                let place = DataDir::of_record(&ctx.workdir, pgdata, placed_because.as_ref());
                let (workdir, pg_bin, keep) = (ctx.workdir.clone(), choice.pg_bin.clone(), choice.keep_running);
                let running =
                    in_thread(move || RunningCluster::for_reading(&workdir, place, pg_bin.as_deref(), keep)).await?;
                Self::managed(&ctx.workdir, running)
            }
            (LocalServerRecord::External { address, .. }, Some(url)) => {
                let server = Self::external(ctx, url).await?;
                if server.endpoint.address() == address {
                    Ok(server)
                } else {
                    Err(Error::new(
                        Kind::Usage,
                        format!("convert loaded into {address}, which --local-url doesn't name"),
                    )
                    .with_hint("give the same --local-url, or run `turso2neon convert` with the new one"))
                }
            }
            (LocalServerRecord::Managed { .. }, Some(_)) => {
                Err(Error::new(Kind::Usage, "convert loaded into the managed PostgreSQL, not into --local-url")
                    .with_hint("leave --local-url out, or run `turso2neon convert` with it first"))
            }
            (LocalServerRecord::External { address, .. }, None) => {
                Err(Error::new(Kind::Usage, format!("convert loaded into {address}, whose URL isn't stored"))
                    .with_hint("give the same --local-url (or TURSO2NEON_LOCAL_URL) again"))
            }
        }
    }

    /// Whether the managed cluster of a record is there and durable. An external server has to be asked.
    #[must_use]
    pub fn is_there(workdir: &Workdir, record: &LocalServerRecord) -> bool {
        match record {
            LocalServerRecord::Managed { pgdata, placed_because, .. } => {
                cluster::is_durable(&DataDir::of_record(workdir, pgdata, placed_because.as_ref()))
            }
            LocalServerRecord::External { .. } => true,
        }
    }

    /// Stops the managed server of this directory, if one runs, and removes its data. An external server isn't touched.
    ///
    /// # Errors
    /// `LocalUnreachable` if it doesn't stop, `ArtifactIo` if files can't be removed.
    pub async fn discard(workdir: &Workdir) -> Result<()> {
        let workdir = workdir.clone();
        in_thread(move || {
            cluster::wipe(&DataDir::inside(&workdir))?;
            let outside = DataDir::outside(&workdir, String::new());
            cluster::wipe(&outside)?;
            if let Some(home) = outside.pgdata.parent() {
                // Gone already, or it has files of others.
                std::fs::remove_dir(home).ok();
            }
            Ok(())
        })
        .await
    }

    /// Stops the managed server of this directory, if one runs. Its data stay.
    ///
    /// # Errors
    /// `LocalUnreachable` if it doesn't stop.
    pub async fn stop(workdir: &Workdir) -> Result<()> {
        let places = [DataDir::inside(workdir), DataDir::outside(workdir, String::new())];
        in_thread(move || places.iter().try_for_each(cluster::stop)).await
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

    /// Adds to an error of this server what is exhausted, disk or memory, and where.
    #[must_use]
    pub fn explain(&self, error: Error) -> Error {
        match &self.running {
            Some(running) => shortage::explain(&running.place().pgdata, error),
            None if error.sqlstate() == Some(&SqlState::DISK_FULL) => {
                error.with_hint("free space on the disk of the server named by --local-url, then run the same command")
            }
            None => error,
        }
    }

    /// Ends a load: brings what was loaded to disk and stops the managed server, or leaves it running in durable
    /// settings if it is to be kept. An external server is durable by its own settings.
    ///
    /// # Errors
    /// `LocalUnreachable`; the load can then be continued.
    pub async fn close_durable(mut self) -> Result<()> {
        match self.running.take() {
            None => Ok(()),
            Some(mut running) => {
                in_thread(move || {
                    running.make_durable()?;
                    running.close()
                })
                .await
            }
        }
    }

    /// Stops the managed server unless it is to keep running; does nothing for an external one.
    ///
    /// # Errors
    /// `LocalUnreachable` if it doesn't stop.
    pub async fn close(mut self) -> Result<()> {
        match self.running.take() {
            None => Ok(()),
            Some(running) => in_thread(move || running.close()).await,
        }
    }

    /// Sessions of a killed tool may still hold locks: a backend that builds an index doesn't notice that its client
    /// is gone.
    async fn end_other_sessions(&self) -> Result<()> {
        let session = Session::connect(&self.endpoint).await?;
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        for _ in 0..SESSIONS_END_TRIES {
            if session.query_value::<i64>("ending the sessions of an interrupted run", sql, &[]).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(Error::new(Kind::LocalUnreachable, "sessions of an interrupted run don't end"))
    }

    fn managed(workdir: &Workdir, running: RunningCluster) -> Result<Self> {
        let place = running.place();
        let record = LocalServerRecord::Managed {
            pgdata: place.recorded(workdir),
            placed_because: place.because.clone(),
            version: running.version().to_owned(),
        };
        let endpoint = PgEndpoint::socket(running.socket_dir()?, 5432, cluster::USER, DATABASE, Role::Local);
        Ok(Self { endpoint, record, running: Some(running) })
    }

    async fn external(ctx: &Context, url: &Secret<String>) -> Result<Self> {
        let parsed = PgEndpoint::parse(url, Role::Local)?;
        for note in parsed.notes {
            ctx.out.warn(note);
        }
        let session = Session::connect(&parsed.endpoint).await?;
        let sql = "SELECT current_setting('server_version')";
        let version: String = session.query_value("asking for the version", sql, &[]).await?;
        if session.version() < OLDEST {
            return Err(Error::new(Kind::LocalRejected, format!("PostgreSQL {version} is too old"))
                .with_hint("use PostgreSQL 14 or newer"));
        }
        let record = LocalServerRecord::External { address: parsed.endpoint.address().to_owned(), version };
        Ok(Self { endpoint: parsed.endpoint, record, running: None })
    }
}

/// Runs what waits for processes and files on a thread of its own.
async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(Kind::Bug, "the thread that runs PostgreSQL's programs ended early")),
    }
}
