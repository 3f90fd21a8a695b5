//! A connection with pinned settings, whose background task is owned and whose errors are sanitised.

use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, Row};

use super::{PgEndpoint, Role, cause, endpoint::TlsPolicy};
use crate::error::Result;

/// Settings that every session starts with: what digests, dates and quoting depend on is the same on both servers.
const SETTINGS: &str = "SET timezone='UTC'; SET datestyle='ISO,YMD'; SET intervalstyle='postgres'; \
     SET bytea_output='hex'; SET extra_float_digits=1; SET standard_conforming_strings=on; \
     SET client_min_messages=warning; SET search_path=pg_catalog; SET check_function_bodies=off; \
     SET statement_timeout=0; SET lock_timeout=0; SET idle_in_transaction_session_timeout=0";

/// One connection.
pub struct Session {
    client: Client,
    role: Role,
    task: JoinHandle<()>,
}

impl Session {
    /// Connects and pins the settings.
    ///
    /// # Errors
    /// By role: `LocalUnreachable`, `TargetUnreachable`, `TargetDenied`, `TargetTls`.
    pub async fn connect(endpoint: &PgEndpoint) -> Result<Self> {
        let role = endpoint.role;
        let (client, connection) = match endpoint.tls {
            TlsPolicy::Plain => {
                endpoint.config.connect(NoTls).await.map_err(|failure| cause::describe(role, "connecting", &failure))?
            }
        };
        let task = tokio::spawn(async move {
            // The connection's own error reaches the caller as a closed connection.
            drop(connection.await);
        });
        let session = Self { client, role, task };
        session.batch("preparing the session", SETTINGS).await?;
        Ok(session)
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

    /// The sanitised form of a driver error in this session's role.
    #[must_use]
    pub fn error(&self, doing: &str, failure: &tokio_postgres::Error) -> crate::error::Error {
        cause::describe(self.role, doing, failure)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}
