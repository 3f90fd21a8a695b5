//! `tokio_postgres::Error` to [`Error`]: the only place that looks into it.
//!
//! Keeps SQLSTATE, schema, table, column and constraint. Keeps the server's message only for classes that can't
//! quote data, and of CONTEXT only what names objects; never DETAIL or the messages of classes 22 and 23.

mod context;

mod driver;

mod hints;

mod neon_proxy;

use std::{error::Error as StdError, fmt, io};

use tokio_postgres::error::{DbError, SqlState};

use self::{driver::Failure, neon_proxy::ProxyAnswer};
use super::{PgEndpoint, Role, startup_limit::StartupExcess};
use crate::{
    error::{Error, Kind, Retry, without_content},
    tls_failure::{self, TlsFailure},
};

/// SQLSTATE classes whose messages name objects and conditions, never values.
const QUOTABLE_CLASSES: [&str; 13] = ["08", "0A", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57"];

/// What to do about a pooler.
const DIRECT: &str =
    "use the direct host instead of the pooled one (with PgBouncer: the server behind it); nothing was written";

/// The error for a failed statement.
#[must_use]
pub fn describe(role: Role, doing: &str, cause: &tokio_postgres::Error) -> Error {
    let retry = if is_transient(cause) { Retry::WithPauses } else { Retry::Never };
    let error = match cause.as_db_error() {
        Some(server) => describe_server(role, doing, server),
        None if cause.is_closed() => lost(role, &format!("{doing}: the connection was lost")),
        None if is_io(cause) => lost(role, &format!("{doing}: {}", client_words(cause))),
        // The client's own errors (protocol, conversion) may quote parameters, so only their kind is kept.
        None => Error::new(rejected(role), format!("{doing}: {}", client_words(cause))),
    };
    with_cause(error.with_retry(retry), cause)
}

/// The error for a value in a row that is not of the type that the query's reader expects.
#[must_use]
pub fn undecodable(role: Role, doing: &str, column: usize) -> Error {
    Error::new(rejected(role), format!("{doing}: column {} of the answer is not of the expected type", column + 1))
}

/// What a server said against a statement, without what can quote data: the source of an [`Error`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE.
    pub sqlstate: SqlState,
    /// The schema that it concerns.
    pub schema: Option<String>,
    /// The table that it concerns.
    pub table: Option<String>,
    /// The column that it concerns.
    pub column: Option<String>,
    /// The constraint that it concerns.
    pub constraint: Option<String>,
    /// The functions and the place in COPY data in which it happened, the innermost first.
    pub context: Vec<String>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SQLSTATE {}", self.sqlstate.code())
    }
}

impl StdError for ServerError {}

/// Adds the SQLSTATE and the source.
fn with_cause(error: Error, cause: &tokio_postgres::Error) -> Error {
    if let Some(server) = cause.as_db_error() {
        let owned = |name: Option<&str>| name.map(ToOwned::to_owned);
        let sqlstate = server.code().clone();
        return error.with_sqlstate(sqlstate.clone()).with_source(ServerError {
            sqlstate,
            schema: owned(server.schema()),
            table: owned(server.table()),
            column: owned(server.column()),
            constraint: owned(server.constraint()),
            context: context::names(server),
        });
    }
    match io_cause(cause) {
        Some(cause) => error.with_source(without_content(cause)),
        None => error,
    }
}

fn describe_server(role: Role, doing: &str, server: &DbError) -> Error {
    let state = server.code().code();
    let object = server.constraint().map(|name| format!(" (constraint {name})")).unwrap_or_default();
    let context = context::names(server);
    let context = if context.is_empty() { String::new() } else { format!(" ({})", context.join(", called by ")) };
    let text = format!("{doing}: {}{object}{context} [SQLSTATE {state}]", server_words(server));
    let kind = match (role, state.get(..2).unwrap_or("")) {
        (Role::Target, _) if *server.code() == SqlState::DISK_FULL => Kind::TargetFull,
        (Role::Target, "28") => Kind::TargetDenied,
        (_, "08" | "57") => unreachable(role),
        (Role::Target | Role::Local, _) => rejected(role),
    };
    let mut error = Error::new(kind, text);
    if let Some(table) = server.table() {
        error = error.at_table(table);
    }
    if let Some(column) = server.column() {
        error = error.at_column(column);
    }
    match hints::of_sqlstate(server.code()) {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The error for a connection that could not be made, so that another address may answer.
#[must_use]
pub fn unreached(endpoint: &PgEndpoint, cause: &io::Error) -> Error {
    let retry = if cause.kind() == io::ErrorKind::ConnectionRefused { Retry::Briefly } else { Retry::WithPauses };
    let text = format!("connecting to {}: the connection failed ({})", endpoint.address, cause.kind());
    lost(endpoint.role, &text).with_retry(retry).with_source(without_content(cause))
}

/// The error for a connection that the server refused, or that ended before there was a session.
#[must_use]
pub fn refused(endpoint: &PgEndpoint, cause: &tokio_postgres::Error) -> Error {
    let role = endpoint.role;
    let doing = format!("connecting to {}", endpoint.address);
    if let Some(excess) = io_cause(cause).and_then(StartupExcess::in_error) {
        return Error::new(unreachable(role), format!("{doing}: {excess}"))
            .with_hint("check that host and port are those of a PostgreSQL server");
    }
    let error = match (cause.as_db_error(), Failure::of(cause)) {
        (Some(server), _) => return refused_by_server(endpoint, &doing, server, cause),
        (None, Failure::Tls) => tls(role, &doing, cause),
        (None, Failure::ChannelBinding) => Error::new(
            if role == Role::Target { Kind::TargetTls } else { Kind::LocalRejected },
            format!("{doing}: the server did not use channel binding, which is required"),
        )
        .with_hint(
            "a proxy may be intercepting the connection; channel_binding=prefer connects without channel binding",
        ),
        (None, Failure::UnknownAuthentication) => Error::new(
            denied(role),
            format!("{doing}: the server asks for a kind of authentication that is not known here"),
        )
        .with_hint("use a role with a password (SCRAM-SHA-256)"),
        (None, Failure::Authentication) => {
            Error::new(denied(role), format!("{doing}: the server could not prove that it knows the password"))
        }
        (None, Failure::NoPassword) => Error::new(
            denied(role),
            format!("{doing}: the server asks for a password and the connection string has none"),
        )
        .with_hint("add the password, or set PGPASSWORD, or write a line for this server into ~/.pgpass (mode 0600)"),
        (None, Failure::Other) => lost(role, &format!("{doing}: {}", client_words(cause))),
    };
    with_cause(error, cause)
}

fn refused_by_server(endpoint: &PgEndpoint, doing: &str, server: &DbError, cause: &tokio_postgres::Error) -> Error {
    let role = endpoint.role;
    let answer = match neon_proxy::read(server) {
        ProxyAnswer::Pooler => {
            let text = format!("{doing}: a connection pooler answered that doesn't take the session's settings");
            return with_cause(Error::new(rejected(role), text).with_hint(DIRECT), cause);
        }
        ProxyAnswer::Own(answer) => {
            return with_cause(neon_proxy::refused(endpoint, doing, server.message(), answer), cause);
        }
        // The SQLSTATE with which the server itself says this.
        ProxyAnswer::OfServer(state) => Some(state),
        ProxyAnswer::None => None,
    };
    let state = answer.as_ref().unwrap_or_else(|| server.code());
    let error = match state.code() {
        "3D000" | "28000" | "28P01" | "42501" | "55000" => {
            let error = Error::new(denied(role), format!("{doing}: {} [SQLSTATE {}]", server.message(), state.code()));
            match endpoint.neon_host().filter(|_| *state == SqlState::INVALID_PASSWORD) {
                Some(host) => error.with_hint(neon_proxy::password_hint(host)),
                None => error,
            }
        }
        "53300" | "57P01" | "57P03" => {
            let error = lost(role, &format!("{doing}: {} [SQLSTATE {}]", server.message(), state.code()));
            match hints::of_sqlstate(state) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        }
        state => describe_server(role, doing, server).with_retry(if is_transient_state(state) {
            Retry::WithPauses
        } else {
            Retry::Never
        }),
    };
    let state = state.clone();
    with_cause(error, cause).with_sqlstate(state)
}

fn tls(role: Role, doing: &str, cause: &tokio_postgres::Error) -> Error {
    let kind = match role {
        Role::Local => Kind::LocalUnreachable,
        Role::Target => Kind::TargetTls,
    };
    match tls_failure::of(cause) {
        None => Error::new(kind, format!("{doing}: the server offers no TLS"))
            .with_hint("name a server that offers TLS; a connection in clear text is never made to another machine"),
        Some(TlsFailure::Certificate(reason)) => {
            let reason = reason.as_deref().unwrap_or("not trusted");
            let error = Error::new(kind, format!("{doing}: the server's certificate is refused ({reason})"));
            match tls_failure::certificate_hint(reason) {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        }
        Some(TlsFailure::Ended) => lost(role, &format!("{doing}: the connection ended during the TLS handshake")),
        Some(TlsFailure::NotTls | TlsFailure::Other) => Error::new(kind, format!("{doing}: the TLS handshake failed")),
    }
}

/// The error for a pooler that was recognised by what it does: settings, locks and temporary tables of a session would
/// belong to other clients, and theirs to this one.
#[must_use]
pub fn pooled(role: Role) -> Error {
    let text = "the server is behind a connection pooler that shares sessions among its clients";
    Error::new(rejected(role), text).with_hint(DIRECT)
}

/// A connection that is gone or never was; doing it again can help.
#[must_use]
pub fn lost(role: Role, text: &str) -> Error {
    Error::new(unreachable(role), text).with_retry(Retry::WithPauses)
}

/// Why a connection ended, in words that quote nothing.
#[must_use]
pub fn words_of_end(cause: &tokio_postgres::Error) -> String {
    match cause.as_db_error() {
        Some(server) => format!("{} [SQLSTATE {}]", server_words(server), server.code().code()),
        None => client_words(cause),
    }
}

/// Whether trying again on a new connection can help: the connection was lost, the server is starting or stopping,
/// or it has no room for a connection or lost a race.
#[must_use]
pub fn is_transient(cause: &tokio_postgres::Error) -> bool {
    match cause.code() {
        Some(code) => is_transient_state(code.code()),
        None => cause.is_closed() || is_io(cause),
    }
}

fn is_transient_state(state: &str) -> bool {
    let lasting = state == "08P01";
    (state.starts_with("08") && !lasting)
        || matches!(state, "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "40001" | "40P01" | "55P03" | "25P03")
}

fn is_io(cause: &tokio_postgres::Error) -> bool {
    io_cause(cause).is_some()
}

fn io_cause(cause: &tokio_postgres::Error) -> Option<&io::Error> {
    cause.source()?.downcast_ref()
}

fn client_words(cause: &tokio_postgres::Error) -> String {
    match io_cause(cause) {
        Some(io) => format!("the connection failed ({})", io.kind()),
        None if cause.is_closed() => "the server ended the connection".to_owned(),
        None => "the client could not carry it out".to_owned(),
    }
}

fn server_words(server: &DbError) -> &str {
    let class = server.code().code().get(..2).unwrap_or("");
    if QUOTABLE_CLASSES.contains(&class) {
        return server.message();
    }
    match class {
        "22" => "a value was refused",
        "23" => "a constraint was violated",
        "XX" => "the server had an internal error",
        _ => "the statement failed",
    }
}

fn rejected(role: Role) -> Kind {
    match role {
        Role::Local => Kind::LocalRejected,
        Role::Target => Kind::TargetRejected,
    }
}

fn denied(role: Role) -> Kind {
    match role {
        Role::Local => Kind::LocalRejected,
        Role::Target => Kind::TargetDenied,
    }
}

fn unreachable(role: Role) -> Kind {
    match role {
        Role::Local => Kind::LocalUnreachable,
        Role::Target => Kind::TargetUnreachable,
    }
}
