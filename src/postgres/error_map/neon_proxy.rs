//! What Neon's proxy, and the PgBouncer behind it, answer while a connection is made. The proxy gives every failure the
//! SQLSTATE `XX000`, even a wrong password, so these are told apart by their text (`proxy/src/stream.rs` and the error
//! types it prints).

use tokio_postgres::error::DbError;

use super::{Role, denied, lost, unreachable};
use crate::error::{Error, Retry};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The user has to correct something.
    Denied,
    /// The user has most likely used up a quota.
    Quota,
    /// Another try can help.
    Waking,
    /// PgBouncer, which shares sessions, has answered. It gives its own SQLSTATE, which it uses for much else.
    Pooler,
}

/// Text, meaning, and what to correct where it isn't role, password or database. The first that occurs decides.
const TEXTS: [(&str, Meaning, Option<&str>); 15] = [
    ("unsupported startup parameter", Meaning::Pooler, None),
    ("password authentication failed", Meaning::Denied, None),
    (
        "endpoint cannot be found",
        Meaning::Denied,
        Some("check the host in the connection string; Neon's console shows the present one"),
    ),
    ("endpoint is disabled", Meaning::Denied, Some("enable the compute in Neon's console")),
    (
        "Endpoint ID is not specified",
        Meaning::Denied,
        Some("use Neon's host name, not an address; it names the endpoint"),
    ),
    (
        "Inconsistent project name",
        Meaning::Denied,
        Some("leave `options` out of the connection string; the host names the endpoint"),
    ),
    (
        "is not allowed to connect",
        Meaning::Denied,
        Some("add this machine's address to the project's IP allow list in Neon's console"),
    ),
    ("connection is insecure", Meaning::Denied, None),
    ("Check your quotas", Meaning::Quota, Some(QUOTA_HINT)),
    ("quota", Meaning::Quota, Some(QUOTA_HINT)),
    ("Couldn't connect to compute node", Meaning::Waking, None),
    ("Control plane request failed", Meaning::Waking, None),
    ("Too many", Meaning::Waking, None),
    ("timed out", Meaning::Waking, None),
    ("Internal error", Meaning::Waking, None),
];

const QUOTA_HINT: &str = "check the project's quotas in Neon's console";

fn meaning(message: &str) -> Option<(Meaning, Option<&'static str>)> {
    TEXTS.iter().find(|(text, ..)| message.contains(text)).map(|(_, meaning, hint)| (*meaning, *hint))
}

/// Whether a pooler has answered that refuses the session's settings.
pub(super) fn is_pooler(server: &DbError) -> bool {
    meaning(server.message()).is_some_and(|(meaning, _)| meaning == Meaning::Pooler)
}

/// The error for what the proxy answers.
pub(super) fn refused(role: Role, doing: &str, message: &str) -> Error {
    let text = format!("{doing}: {message}");
    let (meaning, hint) = meaning(message).unzip();
    let error = match meaning {
        Some(Meaning::Denied) => Error::new(denied(role), text),
        Some(Meaning::Waking) => lost(role, &text),
        // A text of the control plane that isn't known here: tell it, and try a few times.
        Some(Meaning::Quota | Meaning::Pooler) | None => Error::new(unreachable(role), text).with_retry(Retry::Briefly),
    };
    match hint.flatten() {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

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
            let error = refused(Role::Target, "connecting to h:1/d", message);
            assert_eq!((error.kind(), error.retry()), (kind, retry), "{message}");
            assert!(error.message().ends_with(message), "{error}");
            assert!(error.hint().contains(hint), "{message}: {}", error.hint());
        }
    }

    #[test]
    fn a_pooler_is_known_by_its_words() {
        for message in ["unsupported startup parameter: options", "FATAL: unsupported startup parameter in options: a"]
        {
            assert_eq!(meaning(message), Some((Meaning::Pooler, None)));
        }
        assert_eq!(meaning("a sentence of tomorrow"), None);
    }
}
