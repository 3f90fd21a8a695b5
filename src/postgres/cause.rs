//! `tokio_postgres::Error` to [`Error`]: the only place that looks into it.
//!
//! Keeps SQLSTATE, schema, table, column and constraint. Keeps the server's message only for classes that can't
//! quote data; never DETAIL, CONTEXT or the messages of classes 22 and 23.

use tokio_postgres::error::{DbError, SqlState};

use super::Role;
use crate::error::{Error, Kind};

/// SQLSTATE classes whose messages name objects and conditions, never values.
const QUOTABLE_CLASSES: [&str; 13] = ["08", "0A", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57"];

/// The error for a failed statement.
#[must_use]
pub fn describe(role: Role, doing: &str, cause: &tokio_postgres::Error) -> Error {
    match cause.as_db_error() {
        Some(server) => describe_server(role, doing, server),
        None if cause.is_closed() => unreachable(role, format!("{doing}: the connection was lost")),
        // The client's own errors (protocol, conversion, I/O) may quote parameters, so only their kind is kept.
        None => Error::new(rejected(role), format!("{doing}: {}", client_words(cause))),
    }
}

fn describe_server(role: Role, doing: &str, server: &DbError) -> Error {
    let state = server.code().code();
    let class = state.get(..2).unwrap_or("");
    let words = if QUOTABLE_CLASSES.contains(&class) { server.message() } else { condition(server.code()) };
    let object = server.constraint().map(|name| format!(" (constraint {name})")).unwrap_or_default();
    let text = format!("{doing}: {words}{object} [SQLSTATE {state}]");
    let kind = match (role, class) {
        (Role::Target, _) if *server.code() == SqlState::DISK_FULL => Kind::TargetFull,
        (Role::Target, "28") => Kind::TargetDenied,
        (_, "08" | "57") => return unreachable(role, text),
        (Role::Target | Role::Local, _) => rejected(role),
    };
    let mut error = Error::new(kind, text);
    if let Some(table) = server.table() {
        error = error.at_table(table);
    }
    if let Some(column) = server.column() {
        error = error.at_column(column);
    }
    error
}

/// Whether trying again on a new connection can help: the connection was lost, the server is starting or stopping,
/// or it has no room for a connection or lost a race.
#[must_use]
pub fn is_transient(cause: &tokio_postgres::Error) -> bool {
    match cause.code() {
        Some(code) => {
            let state = code.code();
            state.starts_with("08")
                || matches!(state, "57P01" | "57P02" | "57P03" | "53300" | "40001" | "40P01" | "55P03" | "25P03")
        }
        None => cause.is_closed() || is_io(cause),
    }
}

fn is_io(cause: &tokio_postgres::Error) -> bool {
    std::error::Error::source(cause).is_some_and(<dyn std::error::Error + 'static>::is::<std::io::Error>)
}

fn client_words(cause: &tokio_postgres::Error) -> String {
    match std::error::Error::source(cause).and_then(|inner| inner.downcast_ref::<std::io::Error>()) {
        Some(io) => format!("the connection failed ({})", io.kind()),
        None => "the client could not carry it out".to_owned(),
    }
}

fn condition(code: &SqlState) -> &'static str {
    match code.code().get(..2) {
        Some("22") => "a value was refused",
        Some("23") => "a constraint was violated",
        Some("XX") => "the server had an internal error",
        Some(_) | None => "the statement failed",
    }
}

fn rejected(role: Role) -> Kind {
    match role {
        Role::Local => Kind::LocalRejected,
        Role::Target => Kind::TargetRejected,
    }
}

fn unreachable(role: Role, text: String) -> Error {
    match role {
        Role::Local => Error::new(Kind::LocalUnreachable, text),
        Role::Target => Error::new(Kind::TargetUnreachable, text),
    }
}
