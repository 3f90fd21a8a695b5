//! A connection with pinned settings, whose background task is owned and whose errors are sanitised.

mod connect;

use std::sync::{Arc, OnceLock};

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use super::{PgEndpoint, Role, cause};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::Stage,
};

/// Settings that every session starts with: what digests, dates and quoting depend on is the same on both servers.
const SETTINGS: &str = "SET timezone='UTC'; SET datestyle='ISO,YMD'; SET intervalstyle='postgres'; \
     SET bytea_output='hex'; SET extra_float_digits=1; SET standard_conforming_strings=on; \
     SET client_min_messages=warning; SET search_path=pg_catalog; SET check_function_bodies=off; \
     SET statement_timeout=0; SET lock_timeout=0; SET idle_in_transaction_session_timeout=0";

/// Who is at the other end.
const IDENTITY: &str = "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version_num')";

/// One connection.
pub struct Session {
    client: Client,
    role: Role,
    task: JoinHandle<()>,
    /// Why the connection ended, once it has.
    ended: Arc<OnceLock<String>>,
    process: i32,
    version: u32,
}

impl Session {
    /// Connects and pins the settings. One try, at most 60 seconds long.
    ///
    /// # Errors
    /// By role: `LocalUnreachable`, `TargetUnreachable`, `TargetDenied`, `TargetTls`; `retry()` says whether another
    /// try can help.
    pub async fn connect(endpoint: &PgEndpoint) -> Result<Self> {
        connect::once(endpoint).await
    }

    /// As [`Self::connect`], but waits for a server that is starting, a compute that is waking or a connection that is
    /// free: tries again after 0.5, 1, 2, 4, 8.. seconds, 90 seconds in all. A refused password is tried once.
    ///
    /// # Errors
    /// As [`Self::connect`]; `Interrupted` when the user wants to stop.
    pub async fn connect_patiently(ctx: &Context, stage: Stage, endpoint: &PgEndpoint) -> Result<Self> {
        connect::patiently(ctx, stage, endpoint).await
    }

    /// The driver's client, for COPY and transactions.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The driver's client, for transactions.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Which PostgreSQL it is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The server process that serves this session.
    #[must_use]
    pub fn process(&self) -> i32 {
        self.process
    }

    /// `server_version_num`, such as 150018.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether the connection is gone.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs statements without parameters; `doing` is for the message.
    ///
    /// # Errors
    /// By role and SQLSTATE, see [`cause`].
    pub async fn batch(&self, doing: &str, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|failure| self.error(doing, &failure))
    }

    /// Rows of a query.
    ///
    /// # Errors
    /// By role and SQLSTATE, see [`cause`].
    pub async fn rows(
        &self,
        doing: &str,
        sql: &str,
        parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        self.client.query(sql, parameters).await.map_err(|failure| self.error(doing, &failure))
    }

    /// The sanitised form of a driver error in this session's role, with the reason why the connection ended if it has.
    #[must_use]
    pub fn error(&self, doing: &str, failure: &tokio_postgres::Error) -> Error {
        match self.ended.get() {
            Some(reason) if failure.as_db_error().is_none() => {
                cause::lost(self.role, &format!("{doing}: the connection was lost ({reason})"))
            }
            Some(_) | None => cause::describe(self.role, doing, failure),
        }
    }

    /// Pins the settings and learns who is at the other end, in one round trip.
    async fn prepare(&mut self) -> Result<()> {
        let doing = "preparing the session";
        let sql = format!("{SETTINGS}; {IDENTITY}");
        let answer = self.client.simple_query(&sql).await.map_err(|failure| self.error(doing, &failure))?;
        let facts = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((row.get(0)?.parse().ok()?, row.get(1)?.parse().ok()?)),
            _ => None,
        });
        let (process, version) =
            facts.ok_or_else(|| Error::new(Kind::Bug, "the server's process and version could not be read"))?;
        self.process = process;
        self.version = version;
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}
