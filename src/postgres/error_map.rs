//! `tokio_postgres::Error` to [`Error`]: the only place that looks into it.
//!
//! Keeps SQLSTATE, schema, table, column and constraint. Keeps the server's message only for classes that can't
//! quote data; never DETAIL, CONTEXT or the messages of classes 22 and 23.
//!
//! Neon's proxy answers every failure to connect with SQLSTATE `XX000`, even a wrong password, so these are told apart
//! by their text (`proxy/src/stream.rs` and the error types it prints).

use tokio_postgres::error::{DbError, SqlState};

use super::Role;
use crate::error::{Error, Kind, Retry};

/// SQLSTATE classes whose messages name objects and conditions, never values.
const QUOTABLE_CLASSES: [&str; 13] = ["08", "0A", "25", "28", "2B", "3D", "3F", "40", "42", "53", "54", "55", "57"];

/// What to do about a pooler.
const DIRECT: &str =
    "use the direct host instead of the pooled one (with PgBouncer: the server behind it); nothing was written";

/// The error for a failed statement.
#[must_use]
pub fn describe(role: Role, doing: &str, cause: &tokio_postgres::Error) -> Error {
    let retry = if is_transient(cause) { Retry::Patiently } else { Retry::Never };
    let error = match cause.as_db_error() {
        Some(server) => describe_server(role, doing, server),
        None if cause.is_closed() => lost(role, &format!("{doing}: the connection was lost")),
        None if is_io(cause) => lost(role, &format!("{doing}: {}", client_words(cause))),
        // The client's own errors (protocol, conversion) may quote parameters, so only their kind is kept.
        None => Error::new(rejected(role), format!("{doing}: {}", client_words(cause))),
    };
    error.with_retry(retry)
}

fn describe_server(role: Role, doing: &str, server: &DbError) -> Error {
    let state = server.code().code();
    let object = server.constraint().map(|name| format!(" (constraint {name})")).unwrap_or_default();
    let text = format!("{doing}: {}{object} [SQLSTATE {state}]", server_words(server));
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
    // Class 54 is "program limit exceeded": the same load would meet it again.
    if state.starts_with("54") {
        error = error.with_hint("no PostgreSQL holds this; leave the table out with `exclude` in turso2neon.toml");
    }
    error
}

/// The error for a connection that didn't come about, or that the server refused.
#[must_use]
pub fn refused(role: Role, address: &str, cause: &tokio_postgres::Error) -> Error {
    let doing = format!("connecting to {address}");
    if let Some(server) = cause.as_db_error() {
        return refused_by_server(role, &doing, server);
    }
    let source = std::error::Error::source(cause);
    // The driver has no other way to tell its kinds apart; its `Display` never prints the cause.
    match cause.to_string().as_str() {
        "error performing TLS handshake" => tls(role, &doing, source),
        "authentication error" => unauthenticated(role, &doing, source),
        "invalid configuration" => Error::new(
            denied(role),
            format!("{doing}: the server asks for a password and the connection string has none"),
        ),
        _ => {
            let retry = if io_kind(cause) == Some(std::io::ErrorKind::ConnectionRefused) {
                Retry::Briefly
            } else {
                Retry::Patiently
            };
            lost(role, &format!("{doing}: {}", client_words(cause))).with_retry(retry)
        }
    }
}

fn refused_by_server(role: Role, doing: &str, server: &DbError) -> Error {
    let state = server.code().code();
    // PgBouncer's words, possibly passed on by Neon's proxy under another SQLSTATE.
    if server.message().contains("unsupported startup parameter") {
        let text = format!("{doing}: a connection pooler answered that doesn't take the session's settings");
        return Error::new(rejected(role), text).with_hint(DIRECT);
    }
    match state {
        "XX000" => refused_by_proxy(role, doing, server.message()),
        "3D000" | "28000" | "28P01" | "42501" => {
            Error::new(denied(role), format!("{doing}: {} [SQLSTATE {state}]", server.message()))
        }
        "53300" | "57P03" => lost(role, &format!("{doing}: {} [SQLSTATE {state}]", server.message())),
        _ => describe_server(role, doing, server).with_retry(if is_transient_state(state) {
            Retry::Patiently
        } else {
            Retry::Never
        }),
    }
}

/// What Neon's proxy says while it connects: text, kind of failure, whether to try again.
const PROXY_WORDS: [(&str, ProxyAnswer); 14] = [
    ("password authentication failed", ProxyAnswer::Denied),
    ("endpoint cannot be found", ProxyAnswer::Denied),
    ("endpoint is disabled", ProxyAnswer::Denied),
    ("Endpoint ID is not specified", ProxyAnswer::Denied),
    ("Inconsistent project name", ProxyAnswer::Denied),
    ("is not allowed to connect", ProxyAnswer::Denied),
    ("connection is insecure", ProxyAnswer::Denied),
    ("Check your quotas", ProxyAnswer::Quota),
    ("quota", ProxyAnswer::Quota),
    ("Couldn't connect to compute node", ProxyAnswer::Waking),
    ("Control plane request failed", ProxyAnswer::Waking),
    ("Too many", ProxyAnswer::Waking),
    ("timed out", ProxyAnswer::Waking),
    ("Internal error", ProxyAnswer::Waking),
];

/// What to correct where it isn't role, password or database.
const PROXY_HINTS: [(&str, &str); 5] = [
    ("endpoint cannot be found", "check the host in the connection string; Neon's console shows the present one"),
    ("endpoint is disabled", "enable the compute in Neon's console"),
    ("Endpoint ID is not specified", "use Neon's host name, not an address; it names the endpoint"),
    ("Inconsistent project name", "leave `options` out of the connection string; the host names the endpoint"),
    ("is not allowed to connect", "add this machine's address to the project's IP allow list in Neon's console"),
];

#[derive(Clone, Copy)]
enum ProxyAnswer {
    /// The user has to correct something.
    Denied,
    /// The user has most likely used up a quota.
    Quota,
    /// Another try can help.
    Waking,
}

fn refused_by_proxy(role: Role, doing: &str, message: &str) -> Error {
    let answer = PROXY_WORDS.iter().find(|(words, _)| message.contains(words)).map(|(_, answer)| *answer);
    let text = format!("{doing}: {message}");
    match answer {
        Some(ProxyAnswer::Denied) => match PROXY_HINTS.iter().find(|(words, _)| message.contains(words)) {
            Some((_, hint)) => Error::new(denied(role), text).with_hint(*hint),
            None => Error::new(denied(role), text),
        },
        Some(ProxyAnswer::Quota) => Error::new(unreachable(role), text)
            .with_retry(Retry::Briefly)
            .with_hint("check the project's quotas in Neon's console"),
        Some(ProxyAnswer::Waking) => lost(role, &text),
        // A text of the control plane that isn't known here: tell it, and try a few times.
        None => Error::new(unreachable(role), text).with_retry(Retry::Briefly),
    }
}

/// What to do about a certificate, by OpenSSL's reason against it.
const CERTIFICATE_HINTS: [(&str, &str); 5] = [
    ("expired", "the server needs a new certificate; check this machine's clock, too"),
    ("not yet valid", "check this machine's clock"),
    ("mismatch", "use the host name that the certificate has"),
    ("issuer", "name the certificate of the server's authority with sslrootcert=FILE"),
    ("self", "name the certificate of the server's authority with sslrootcert=FILE"),
];

fn tls(role: Role, doing: &str, source: Option<&(dyn std::error::Error + 'static)>) -> Error {
    let kind = match role {
        Role::Local => Kind::LocalUnreachable,
        Role::Target => Kind::TargetTls,
    };
    let Some(failure) = source.and_then(|source| source.downcast_ref::<native_tls::Error>()) else {
        return Error::new(kind, format!("{doing}: the server offers no TLS"))
            .with_hint("name a server that offers TLS; a connection in clear text is never made to another machine");
    };
    let words = failure.to_string();
    if words.contains("certificate") || words.contains("hostname") || words.contains("not trusted") {
        // OpenSSL adds the result of the verification in parentheses.
        let reason = words.rsplit_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or("not trusted");
        let error = Error::new(kind, format!("{doing}: the server's certificate is refused ({reason})"));
        let hint = CERTIFICATE_HINTS.iter().find(|(words, _)| reason.contains(words)).map(|(_, hint)| *hint);
        return match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        };
    }
    if words.contains("EOF") || words.contains("reset") || words.contains("closed") {
        return lost(role, &format!("{doing}: the connection ended during the TLS handshake"));
    }
    Error::new(kind, format!("{doing}: no TLS session came about"))
}

fn unauthenticated(role: Role, doing: &str, source: Option<&(dyn std::error::Error + 'static)>) -> Error {
    let words = source.map(ToString::to_string).unwrap_or_default();
    if words.contains("channel binding") {
        let kind = if role == Role::Target { Kind::TargetTls } else { Kind::LocalRejected };
        return Error::new(kind, format!("{doing}: the server did not use channel binding, which is required"))
            .with_hint("something may sit between you and the server; channel_binding=prefer does without");
    }
    if words.contains("unsupported") {
        return Error::new(
            denied(role),
            format!("{doing}: the server asks for a kind of authentication that is not known here"),
        )
        .with_hint("use a role with a password (SCRAM-SHA-256)");
    }
    Error::new(denied(role), format!("{doing}: the server could not prove that it knows the password"))
}

/// The error for a pooler that was recognised by what it does: settings, locks and temporary tables of a session would
/// be other clients', and theirs ours.
#[must_use]
pub fn pooled(role: Role) -> Error {
    let text = "the server is behind a connection pooler that shares sessions among its clients";
    Error::new(rejected(role), text).with_hint(DIRECT)
}

/// A connection that is gone or never was; doing it again can help.
#[must_use]
pub fn lost(role: Role, text: &str) -> Error {
    Error::new(unreachable(role), text).with_retry(Retry::Patiently)
}

/// Why a connection ended, in words that quote nothing.
#[must_use]
pub fn words_of_end(cause: &tokio_postgres::Error) -> String {
    match cause.as_db_error() {
        Some(server) => format!("{} [SQLSTATE {}]", server_words(server), server.code().code()),
        None => client_words(cause),
    }
}

/// Whether no connection came about at all, so that another address may answer.
#[must_use]
pub fn is_unreached(cause: &tokio_postgres::Error) -> bool {
    cause.to_string() == "error connecting to server"
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
    io_kind(cause).is_some()
}

fn io_kind(cause: &tokio_postgres::Error) -> Option<std::io::ErrorKind> {
    let source = std::error::Error::source(cause)?;
    source.downcast_ref::<std::io::Error>().map(std::io::Error::kind)
}

fn client_words(cause: &tokio_postgres::Error) -> String {
    match io_kind(cause) {
        Some(kind) => format!("the connection failed ({kind})"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_neons_proxy_says_is_classified_by_its_words() {
        for (message, kind, retry, hint) in [
            ("password authentication failed for user 'u'", Kind::TargetDenied, Retry::Never, "password"),
            ("Control plane request failed: endpoint cannot be found", Kind::TargetDenied, Retry::Never, "the host"),
            ("Control plane request failed: endpoint is disabled", Kind::TargetDenied, Retry::Never, "enable"),
            ("Endpoint ID is not specified. Either please upgrade", Kind::TargetDenied, Retry::Never, "host name"),
            ("Inconsistent project name inferred from SNI ('a')", Kind::TargetDenied, Retry::Never, "`options`"),
            ("This IP address 192.0.2.7 is not allowed to connect", Kind::TargetDenied, Retry::Never, "allow list"),
            (
                "Control plane request failed: endpoint is temporarily unavailable. Check your quotas and/or contact our support.",
                Kind::TargetUnreachable,
                Retry::Briefly,
                "quotas",
            ),
            ("Your project has exceeded the compute time quota.", Kind::TargetUnreachable, Retry::Briefly, "quotas"),
            ("Couldn't connect to compute node", Kind::TargetUnreachable, Retry::Patiently, "suspended"),
            ("Control plane request failed", Kind::TargetUnreachable, Retry::Patiently, "suspended"),
            ("Too many connections attempts", Kind::TargetUnreachable, Retry::Patiently, "suspended"),
            (
                "Failed to acquire permit to connect to the database. Too many database connection attempts are currently ongoing.",
                Kind::TargetUnreachable,
                Retry::Patiently,
                "suspended",
            ),
            ("Authentication timed out", Kind::TargetUnreachable, Retry::Patiently, "suspended"),
            ("a sentence of tomorrow", Kind::TargetUnreachable, Retry::Briefly, "suspended"),
        ] {
            let error = refused_by_proxy(Role::Target, "connecting to h:1/d", message);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{message}");
            assert!(error.message().ends_with(message), "{error}");
            assert!(error.hint().contains(hint), "{message}: {}", error.hint());
        }
    }
}
