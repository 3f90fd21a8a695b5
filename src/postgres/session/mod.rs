//! A connection with pinned settings, whose background task is owned and whose errors are sanitised.

mod attendant;

mod connect;

mod dial;

mod parameter;

mod row;

use tokio_postgres::{Client, SimpleQueryMessage, types::FromSqlOwned};

use self::{attendant::Attendant, connect::WhenFull};
pub use self::{attendant::all_left, parameter::Parameter, row::Row};
use super::{PgEndpoint, Role, error_map, tls::TlsVersion};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{Stage, identifier::quote_literal},
};

/// Settings that every session starts with: what digests, dates and quoting depend on is the same on both servers.
/// A role or a database can have other values for them.
const SETTINGS: [(&str, &str); 18] = [
    ("timezone", "UTC"),
    ("datestyle", "ISO,YMD"),
    ("intervalstyle", "postgres"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("standard_conforming_strings", "on"),
    ("client_min_messages", "warning"),
    ("search_path", "pg_catalog"),
    ("quote_all_identifiers", "off"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("gin_fuzzy_search_limit", "0"),
    ("exit_on_error", "off"),
    ("check_function_bodies", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("transaction_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// How often the server looks whether its client is still there while it works. Not every system can; Linux can.
pub const CLIENT_CHECK: &str = "client_connection_check_interval";

/// The setting by which a session knows that the server process which answers is its own. It goes with the startup
/// packet; something in between that hands out connections either refuses it or keeps it to itself.
const OWN: &str = "turso2neon.session";

/// One connection.
pub struct Session {
    client: Client,
    // Declared after the client: it is dropped after it.
    attendant: Attendant,
    role: Role,
    tls: Option<TlsVersion>,
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
        connect::once(endpoint, &[]).await
    }

    /// As [`Self::connect`], with more settings, which cost no round trip. Those that the server doesn't know are left
    /// out.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn connect_once_with(endpoint: &PgEndpoint, settings: &[(&str, &str)]) -> Result<Self> {
        connect::once(endpoint, settings).await
    }

    /// As [`Self::connect`], but waits for a server that is starting, a compute that is waking or a connection that is
    /// free: tries again after 0.5, 1, 2, 4, 8.. seconds, 90 seconds in all. A refused password is tried once.
    ///
    /// # Errors
    /// As [`Self::connect`]; `Interrupted` when the user wants to stop.
    pub async fn connect_with_retry(ctx: &Context, stage: Stage, endpoint: &PgEndpoint) -> Result<Self> {
        connect::patiently(ctx, stage, endpoint, &[], WhenFull::Wait).await
    }

    /// As [`Self::connect_with_retry`], with more settings, which cost no round trip. Those that the server doesn't know
    /// are left out.
    ///
    /// # Errors
    /// As [`Self::connect_with_retry`].
    pub async fn connect_with(
        ctx: &Context,
        stage: Stage,
        endpoint: &PgEndpoint,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        connect::patiently(ctx, stage, endpoint, settings, WhenFull::Wait).await
    }

    /// As [`Self::connect_with`], but gives up after a few tries if the server has no free connection (SQLSTATE 53300).
    ///
    /// # Errors
    /// As [`Self::connect_with_retry`].
    pub async fn connect_if_free(
        ctx: &Context,
        stage: Stage,
        endpoint: &PgEndpoint,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        connect::patiently(ctx, stage, endpoint, settings, WhenFull::GiveUp).await
    }

    /// The driver's client, for COPY and transactions.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Which PostgreSQL it is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The version of TLS between this process and the other side; none without TLS. Behind a proxy the server itself
    /// knows only of the connection between the proxy and it.
    #[must_use]
    pub fn tls_version(&self) -> Option<TlsVersion> {
        self.tls
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
    /// By role and SQLSTATE, see [`error_map`].
    pub async fn batch(&self, doing: &str, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.map_err(|failure| self.error(doing, &failure))
    }

    /// Rows of a query, in one round trip; `doing` is for messages.
    ///
    /// # Errors
    /// By role and SQLSTATE, see [`error_map`].
    pub async fn query_rows<'a>(
        &self,
        doing: &'a str,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<Vec<Row<'a>>> {
        let rows = self.rows(doing, sql, parameters).await?;
        Ok(rows.into_iter().map(|row| Row::new(row, self.role, doing)).collect())
    }

    /// The first column of all rows of a query.
    ///
    /// # Errors
    /// As [`Self::query_rows`] and [`Row::get`].
    pub async fn query_column<T: FromSqlOwned>(
        &self,
        doing: &str,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<Vec<T>> {
        self.query_rows(doing, sql, parameters).await?.iter().map(|row| row.get(0)).collect()
    }

    /// The row of a query that gives one row.
    ///
    /// # Errors
    /// As [`Self::query_rows`]; `Bug` if there is no row.
    pub async fn query_row<'a>(&self, doing: &'a str, sql: &str, parameters: &[&dyn Parameter]) -> Result<Row<'a>> {
        let rows = self.query_rows(doing, sql, parameters).await?;
        rows.into_iter().next().ok_or_else(|| Error::new(Kind::Bug, format!("{doing}: the server gave no row")))
    }

    /// The value of a query that gives one row of one column.
    ///
    /// # Errors
    /// As [`Self::query_row`] and [`Row::get`].
    pub async fn query_value<T: FromSqlOwned>(
        &self,
        doing: &str,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<T> {
        self.query_row(doing, sql, parameters).await?.get(0)
    }

    /// Rows of a query as the driver gives them, in one round trip.
    ///
    /// # Errors
    /// By role and SQLSTATE, see [`error_map`].
    pub async fn rows(
        &self,
        doing: &str,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<Vec<tokio_postgres::Row>> {
        let typed: Vec<_> = parameters.iter().map(|value| (value.as_sql(), value.pg_type())).collect();
        self.client.query_typed(sql, &typed).await.map_err(|failure| self.error(doing, &failure))
    }

    /// The sanitised form of a driver error in this session's role, with the reason why the connection ended if it has.
    #[must_use]
    pub fn error(&self, doing: &str, failure: &tokio_postgres::Error) -> Error {
        match self.attendant.reason_of_end() {
            Some(reason) if failure.as_db_error().is_none() => {
                error_map::lost(self.role, &format!("{doing}: the connection was lost ({reason})"))
            }
            Some(_) | None => error_map::describe(self.role, doing, failure),
        }
    }

    /// Pins the settings and learns who is at the other end, in one round trip. The settings are made only where the
    /// session's own one has arrived: behind a pooler they would reach other clients' transactions.
    async fn prepare(&mut self, own: &str, settings: &[(&str, &str)]) -> Result<()> {
        let doing = "preparing the session";
        let pins = SETTINGS.iter().chain(settings).map(|(name, value)| {
            let place = if *name == CLIENT_CHECK { "AND pg_catalog.version() LIKE '%linux%' " } else { "" };
            let (name, value) = (quote_literal(name), quote_literal(value));
            format!(
                "CASE WHEN pg_catalog.current_setting({name}, true) IS NOT NULL {place}\
                 THEN pg_catalog.set_config({name}, {value}, false) END"
            )
        });
        let pins: Vec<String> = pins.collect();
        let sql = format!(
            "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_version_num'), {} \
             WHERE pg_catalog.current_setting('{OWN}', true) = {}",
            pins.join(", "),
            quote_literal(own)
        );
        let answer = self.client.simple_query(&sql).await.map_err(|failure| self.error(doing, &failure))?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let Some(row) = row else { return Err(error_map::pooled(self.role)) };
        let number = |column: usize| row.get(column).and_then(|text| text.parse::<u32>().ok());
        let (Some(process), Some(version)) = (number(0), number(1)) else {
            return Err(Error::new(Kind::Bug, "the server's process and version could not be read"));
        };
        self.process = process.cast_signed();
        self.version = version;
        Ok(())
    }
}
