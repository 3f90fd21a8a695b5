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

mod cache_dir;

mod held;

mod files_mark;

mod program_version;

mod server_config;

mod shortage;

mod template;

use std::{path::PathBuf, time::Duration};

use cluster::RunningCluster;
use data_dir::DataDir;
pub use held::HeldServer;
use held::ReadStart;
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
    /// Where the managed server waits between the stages of one `run`.
    pub held: Option<HeldServer>,
}

/// A local PostgreSQL that is ready for connections. Dropping a managed one stops it.
pub struct LocalServer {
    endpoint: PgEndpoint,
    record: LocalServerRecord,
    running: Option<RunningCluster>,
    held: Option<HeldServer>,
    /// What was known when it was started for reading, if it is to be held.
    read_start: Option<ReadStart>,
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
        if let Some(held) = &choice.held {
            held.release().await?;
        }
        let (workdir, asked) = (ctx.workdir.clone(), choice.clone());
        let running = in_thread(move || RunningCluster::for_load(&workdir, &asked)).await?;
        let server = Self { held: choice.held.clone(), ..Self::managed(&ctx.workdir, running)? };
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
                if let Some(server) = choice.held.as_ref().and_then(HeldServer::take) {
                    return Ok(Self { held: choice.held.clone(), ..server });
                }
                let (workdir, asked) = (ctx.workdir.clone(), choice.clone());
                let running = in_thread(move || RunningCluster::for_reading(&workdir, place, &asked)).await?;
                let server = Self { held: choice.held.clone(), ..Self::managed(&ctx.workdir, running)? };
                if server.held.is_some() { server.started_for_reading(false).await } else { Ok(server) }
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

    /// A text that is the same as long as nobody starts the managed server of a record or changes its files. None while a
    /// server runs, and for an external one.
    #[must_use]
    pub fn unchanged_mark(workdir: &Workdir, record: &LocalServerRecord) -> Option<String> {
        let LocalServerRecord::Managed { pgdata, placed_because, .. } = record else { return None };
        let place = DataDir::of_record(workdir, pgdata, placed_because.as_ref());
        if cluster::is_durable(&place) && cluster::is_stopped(&place) { files_mark::of(&place.pgdata) } else { None }
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

    /// Stops the managed server of this directory, if one runs, and takes its data out of the way. They are removed when the
    /// next load has started its server.
    ///
    /// # Errors
    /// As [`Self::discard`].
    pub async fn set_aside(workdir: &Workdir) -> Result<()> {
        let places = [DataDir::inside(workdir), DataDir::outside(workdir, String::new())];
        in_thread(move || places.iter().try_for_each(cluster::set_aside)).await
    }

    /// Begins to bring to disk what a load has written so far, so that little is left to do at its end. None for an external
    /// server. A failure of the disk is reported once, so the load has failed then.
    #[must_use]
    pub fn begin_writing_back(&self) -> Option<tokio::task::JoinHandle<Result<()>>> {
        let pgdata = self.running.as_ref()?.place().pgdata.clone();
        let endpoint = self.endpoint.clone();
        Some(tokio::spawn(async move {
            let session = Session::connect(&endpoint).await?;
            session.batch("writing back", "CHECKPOINT").await?;
            in_thread(move || cluster::write_back(&pgdata)).await
        }))
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
    /// settings if it is to be kept or held. An external server is durable by its own settings. `next_transaction` is the
    /// number that the next transaction had to get when the load had compared all its tables and nothing was written since.
    ///
    /// # Errors
    /// `LocalUnreachable`; the load can then be continued.
    pub async fn close_durable(mut self, next_transaction: Option<i64>) -> Result<()> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        let is_held = self.held.is_some();
        let running = in_thread(move || running.make_durable(is_held).map(|()| running)).await?;
        if !is_held {
            return in_thread(move || running.close()).await;
        }
        self.running = Some(running);
        let is_compared = next_transaction.is_some() && next_transaction == self.next_transaction().await?;
        self.started_for_reading(is_compared).await?.close().await
    }

    async fn started_for_reading(self, is_compared: bool) -> Result<Self> {
        let log_position = self.log_position().await?;
        Ok(Self { read_start: Some(ReadStart { log_position, is_compared }), ..self })
    }

    /// Whether nothing was written to the server since this run has loaded it and has compared all its tables.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub async fn is_as_loaded(&self) -> Result<bool> {
        match &self.read_start {
            Some(start) if start.is_compared => Ok(start.log_position == self.log_position().await?),
            Some(_) | None => Ok(false),
        }
    }

    async fn log_position(&self) -> Result<String> {
        let session = Session::connect(&self.endpoint).await?;
        session.query_value("asking for the position of the log", "SELECT pg_current_wal_insert_lsn()::text", &[]).await
    }

    /// The number that the next transaction gets. Whatever writes a row has taken one.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub async fn next_transaction(&self) -> Result<Option<i64>> {
        let session = Session::connect(&self.endpoint).await?;
        let sql = "SELECT txid_snapshot_xmax(txid_current_snapshot())";
        session.query_value("asking for the next transaction", sql, &[]).await.map(Some)
    }

    /// Stops the managed server unless it is to keep running or is held; does nothing for an external one.
    ///
    /// # Errors
    /// `LocalUnreachable` if it doesn't stop.
    pub async fn close(mut self) -> Result<()> {
        match (self.held.take(), self.running.take()) {
            (_, None) => Ok(()),
            (Some(held), running @ Some(_)) => {
                held.put(Self { running, ..self });
                Ok(())
            }
            (None, Some(running)) => in_thread(move || running.close()).await,
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
        Ok(Self { endpoint, record, running: Some(running), held: None, read_start: None })
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
        Ok(Self { endpoint: parsed.endpoint, record, running: None, held: None, read_start: None })
    }
}

/// Runs what waits for processes and files on a thread of its own.
async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::new(Kind::Bug, "the thread that runs PostgreSQL's programs ended early")),
    }
}
