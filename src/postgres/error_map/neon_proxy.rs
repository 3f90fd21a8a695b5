//! What Neon's proxy, and the PgBouncer behind it, answer while a connection is made. The proxy gives every failure the
//! SQLSTATE `XX000`, even a wrong password and what PostgreSQL itself answers to it, so these are told apart by their
//! text (`proxy/src/stream.rs` and the error types it prints; PostgreSQL's `postinit.c`, `postmaster.c`).

use std::time::Duration;

use tokio_postgres::error::{DbError, SqlState};

use super::{denied, lost, unreachable};
use crate::{
    error::{Error, Retry},
    postgres::PgEndpoint,
};

/// For how long the proxy repeats what the control plane answered (`proxy/src/cache`), and a second more.
const REPEATED: Duration = Duration::from_secs(31);

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ProxyAnswer {
    /// Nothing of the proxy: the SQLSTATE is that of the server.
    None,
    /// The server's own answer, with the SQLSTATE that the proxy left out.
    OfServer(SqlState),
    /// PgBouncer, which shares sessions, has answered. It gives its own SQLSTATE, which it uses for much else.
    Pooler,
    /// The proxy's own answer.
    Own(OwnAnswer),
}

/// What the proxy itself, or the control plane through it, says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnAnswer {
    /// The user has to correct something; what, where it isn't role, password or database.
    Denied(Option<&'static str>),
    /// The same by the control plane, whose answer is repeated for a while after it was corrected.
    DeniedByControlPlane(&'static str),
    /// The password is wrong, or the endpoint is: for one that it does not know the proxy makes up a password.
    Password,
    /// The user has most likely used up a quota. The answer is repeated for a while.
    Quota,
    /// Another try can help.
    Waking,
    /// The same, but the answer may be repeated for a while.
    ControlPlane,
    /// A text that is not known here.
    Unknown,
}

/// How a text is recognised.
#[derive(Debug, Clone, Copy)]
enum Words {
    /// Somewhere in it.
    In(&'static str),
    /// At its beginning.
    Begin(&'static str),
    /// At its beginning and at its end, around a name.
    Around(&'static str, &'static str),
}

impl Words {
    fn fit(self, message: &str) -> bool {
        match self {
            Self::In(words) => message.contains(words),
            Self::Begin(words) => message.starts_with(words),
            Self::Around(begin, end) => message.strip_prefix(begin).is_some_and(|rest| rest.ends_with(end)),
        }
    }
}

const POOLER: Words = Words::In("unsupported startup parameter");

/// PostgreSQL's texts for a connection that it refuses, and their SQLSTATEs.
const OF_SERVER: [(Words, SqlState); 16] = [
    (Words::Around("database \"", "\" does not exist"), SqlState::INVALID_CATALOG_NAME),
    (Words::Around("role \"", "\" does not exist"), SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
    (Words::Around("role \"", "\" is not permitted to log in"), SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
    (Words::Begin("permission denied for database \""), SqlState::INSUFFICIENT_PRIVILEGE),
    (
        Words::Around("database \"", "\" is not currently accepting connections"),
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
    ),
    (Words::Begin("cannot connect to invalid database \""), SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE),
    (Words::Begin("password authentication failed for user \""), SqlState::INVALID_PASSWORD),
    (Words::Begin("no pg_hba.conf entry for "), SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
    (Words::Begin("pg_hba.conf rejects connection "), SqlState::INVALID_AUTHORIZATION_SPECIFICATION),
    // Is starting up, is shutting down, is in recovery mode, is not (yet) accepting connections.
    (Words::Begin("the database system is "), SqlState::CANNOT_CONNECT_NOW),
    (Words::Begin("terminating connection due to administrator command"), SqlState::ADMIN_SHUTDOWN),
    (Words::Begin("sorry, too many clients already"), SqlState::TOO_MANY_CONNECTIONS),
    (Words::Begin("remaining connection slots are reserved"), SqlState::TOO_MANY_CONNECTIONS),
    (Words::Begin("too many connections for role \""), SqlState::TOO_MANY_CONNECTIONS),
    (Words::Begin("too many connections for database \""), SqlState::TOO_MANY_CONNECTIONS),
    (Words::Begin("too many connections"), SqlState::TOO_MANY_CONNECTIONS),
];

/// The proxy's own texts. The first that fits decides.
const OWN: [(Words, OwnAnswer); 25] = [
    (Words::Begin("password authentication failed"), OwnAnswer::Password),
    (Words::In("endpoint cannot be found"), OwnAnswer::DeniedByControlPlane(HOST_HINT)),
    (Words::In("endpoint is disabled"), OwnAnswer::DeniedByControlPlane("enable the compute in Neon's console")),
    (Words::Begin("Endpoint ID is not specified"), OwnAnswer::Denied(Some(NAME_HINT))),
    (
        Words::Begin("Inconsistent project name"),
        OwnAnswer::Denied(Some("leave `options` out of the connection string; the host names the endpoint")),
    ),
    (Words::Begin("Project name ('"), OwnAnswer::Denied(Some(HOST_HINT))),
    (Words::Begin("Common name inferred from SNI"), OwnAnswer::Denied(Some(HOST_HINT))),
    (Words::Begin("This IP address "), OwnAnswer::Denied(Some(ADDRESS_HINT))),
    (
        Words::In("from a blocked network"),
        OwnAnswer::Denied(Some("allow public connections for the project in Neon's console, or connect from its VPC")),
    ),
    (Words::Begin("VPC endpoint ID is not specified"), OwnAnswer::Denied(Some(VPC_HINT))),
    (Words::Begin("This VPC endpoint id "), OwnAnswer::Denied(Some(VPC_HINT))),
    (Words::In("is not allowed to connect"), OwnAnswer::Denied(Some(ADDRESS_HINT))),
    (Words::Begin("connection is insecure"), OwnAnswer::Denied(Some("write sslmode=verify-full"))),
    (Words::Begin("Unsupported authentication method"), OwnAnswer::Denied(Some("use a role with a password"))),
    (Words::Begin("Malformed password message"), OwnAnswer::Denied(None)),
    (Words::Begin("Couldn't connect to compute node"), OwnAnswer::Waking),
    (Words::Begin("Too many"), OwnAnswer::Waking),
    (Words::Begin("Failed to acquire permit"), OwnAnswer::Waking),
    (Words::In("timed out"), OwnAnswer::Waking),
    (Words::Begin("Internal error"), OwnAnswer::Waking),
    (Words::In("Check your quotas"), OwnAnswer::Quota),
    (Words::In("quota"), OwnAnswer::Quota),
    // Of data transfer, of endpoints that are active at once, of requests in a time.
    (Words::In("limit"), OwnAnswer::Quota),
    (Words::In("Disconnected due to inactivity"), OwnAnswer::Waking),
    (Words::Begin("Control plane request failed"), OwnAnswer::ControlPlane),
];

const HOST_HINT: &str = "check the host in the connection string; Neon's console shows the present one";
const NAME_HINT: &str = "use Neon's host name, not an address; it names the endpoint";
const ADDRESS_HINT: &str = "add this machine's address to the project's IP allow list in Neon's console";
const VPC_HINT: &str = "connect through a VPC endpoint that the project allows in Neon's console";
const REPEATS: &str = "Neon's proxy can repeat this answer for 30 s";

/// What an answer means.
pub(super) fn read(server: &DbError) -> ProxyAnswer {
    meaning(server.code() == &SqlState::INTERNAL_ERROR, server.message())
}

fn meaning(is_internal: bool, message: &str) -> ProxyAnswer {
    if POOLER.fit(message) {
        return ProxyAnswer::Pooler;
    }
    if !is_internal {
        return ProxyAnswer::None;
    }
    if let Some((_, state)) = OF_SERVER.iter().find(|(words, _)| words.fit(message)) {
        return ProxyAnswer::OfServer(state.clone());
    }
    let own = OWN.iter().find(|(words, _)| words.fit(message));
    ProxyAnswer::Own(own.map_or(OwnAnswer::Unknown, |(_, answer)| *answer))
}

/// What to check where a password is refused: the proxy refuses it, too, for an endpoint that it does not know.
pub(super) fn password_hint(host: &str) -> String {
    format!(
        "check role, password and database in NEON_DATABASE_URL, and its host {host}: it names the endpoint, and with it \
         the branch; another endpoint's password is refused in the same words"
    )
}

/// The error for what the proxy itself answers.
pub(super) fn refused(endpoint: &PgEndpoint, doing: &str, message: &str, answer: OwnAnswer) -> Error {
    let role = endpoint.role;
    let text = format!("{doing}: {message}");
    match answer {
        OwnAnswer::Denied(Some(hint)) => Error::new(denied(role), text).with_hint(hint),
        OwnAnswer::Denied(None) => Error::new(denied(role), text),
        OwnAnswer::DeniedByControlPlane(hint) => {
            Error::new(denied(role), text).with_hint(format!("{hint}; {REPEATS} after that"))
        }
        OwnAnswer::Password => {
            let host = endpoint.neon_host().unwrap_or(endpoint.address.as_str());
            Error::new(denied(role), text).with_hint(password_hint(host))
        }
        OwnAnswer::Waking => lost(role, &text),
        OwnAnswer::ControlPlane => lost(role, &format!("{text} ({REPEATS})")),
        OwnAnswer::Quota => Error::new(unreachable(role), format!("{text} ({REPEATS})"))
            .with_retry(Retry::Briefly)
            .with_retry_after(REPEATED)
            .with_hint("check the project's quotas in Neon's console"),
        // Most likely a text of the control plane.
        OwnAnswer::Unknown => Error::new(unreachable(role), format!("{text} ({REPEATS})"))
            .with_retry(Retry::Briefly)
            .with_retry_after(REPEATED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Kind, postgres::Role, secret::Secret};

    fn refusal(message: &str) -> Error {
        let url = Secret::new("postgresql://u:p@ep-cool-1.us-east-2.aws.neon.tech/d".to_owned());
        let endpoint = PgEndpoint::parse(&url, Role::Target).unwrap().endpoint;
        match meaning(true, message) {
            ProxyAnswer::Own(answer) => refused(&endpoint, "connecting to h:1/d", message, answer),
            other => panic!("{message}: {other:?}"),
        }
    }

    #[test]
    fn what_neons_proxy_says_is_classified_by_its_words() {
        const DENIED: (Kind, Retry, bool) = (Kind::TargetDenied, Retry::Never, false);
        const WAKING: (Kind, Retry, bool) = (Kind::TargetUnreachable, Retry::WithPauses, false);
        const QUOTA: (Kind, Retry, bool) = (Kind::TargetUnreachable, Retry::Briefly, true);
        for (message, expected, hint) in [
            ("password authentication failed for user 'u'", DENIED, "its host ep-cool-1.us-east-2.aws.neon.tech"),
            ("password authentication failed for user 'u'", DENIED, "the branch"),
            ("Control plane request failed: endpoint cannot be found", DENIED, "the host"),
            ("Control plane request failed: endpoint is disabled", DENIED, "enable"),
            ("Control plane request failed: endpoint is disabled", DENIED, "for 30 s"),
            ("Endpoint ID is not specified. Either please upgrade", DENIED, "host name"),
            ("Inconsistent project name inferred from SNI ('a')", DENIED, "`options`"),
            ("Project name ('a b') must contain only alphanumeric characters and hyphen.", DENIED, "check the host"),
            ("This IP address 192.0.2.7 is not allowed to connect", DENIED, "allow list"),
            ("This connection is trying to access this endpoint from a blocked network.", DENIED, "public connections"),
            ("VPC endpoint ID is not specified. This endpoint requires a VPC endpoint ID to connect.", DENIED, "VPC"),
            ("This VPC endpoint id vpce-1 is not allowed to connect to this endpoint.", DENIED, "a VPC endpoint"),
            ("connection is insecure (try using `sslmode=require`)", DENIED, "sslmode=verify-full"),
            (
                "Control plane request failed: endpoint is temporarily unavailable. Check your quotas and/or contact our support.",
                QUOTA,
                "quotas",
            ),
            ("Your project has exceeded the compute time quota.", QUOTA, "quotas"),
            ("Your account has reached the data transfer limit.", QUOTA, "quotas"),
            ("The number of concurrently active endpoints is at the limit.", QUOTA, "quotas"),
            ("Rate limit exceeded", QUOTA, "quotas"),
            ("Couldn't connect to compute node", WAKING, "suspended"),
            ("Control plane request failed", WAKING, "suspended"),
            ("Too many connections attempts", WAKING, "suspended"),
            ("Too many connections to this endpoint. Please try again later.", WAKING, "suspended"),
            (
                "Failed to acquire permit to connect to the database. Too many database connection attempts are currently ongoing.",
                WAKING,
                "suspended",
            ),
            ("Authentication timed out", WAKING, "suspended"),
            ("a sentence of tomorrow", QUOTA, "suspended"),
        ] {
            let error = refusal(message);
            let found = (error.kind(), error.retry(), error.retry_after().is_some_and(|pause| pause.as_secs() > 30));
            assert_eq!(found, expected, "{message}");
            assert!(error.message().contains(message), "{error}");
            assert!(error.hint().contains(hint), "{message}: {}", error.hint());
        }
        assert!(refusal("Control plane request failed").message().contains("for 30 s"));
    }

    #[test]
    fn what_postgresql_says_through_the_proxy_has_its_sqlstate_again() {
        for (message, state) in [
            ("database \"x\" does not exist", "3D000"),
            ("database \"timed out\" does not exist", "3D000"),
            ("role \"x\" does not exist", "28000"),
            ("role \"x\" is not permitted to log in", "28000"),
            ("permission denied for database \"x\"", "42501"),
            ("database \"x\" is not currently accepting connections", "55000"),
            ("password authentication failed for user \"x\"", "28P01"),
            ("no pg_hba.conf entry for host \"10.0.0.1\", user \"x\", database \"y\", SSL off", "28000"),
            ("the database system is starting up", "57P03"),
            ("the database system is shutting down", "57P03"),
            ("the database system is in recovery mode", "57P03"),
            ("the database system is not yet accepting connections", "57P03"),
            ("terminating connection due to administrator command", "57P01"),
            ("sorry, too many clients already", "53300"),
            ("remaining connection slots are reserved for roles with the SUPERUSER attribute", "53300"),
            ("remaining connection slots are reserved for non-replication superuser connections", "53300"),
            ("too many connections for role \"x\"", "53300"),
            ("too many connections for database \"x\"", "53300"),
        ] {
            assert_eq!(meaning(true, message), ProxyAnswer::OfServer(SqlState::from_code(state)), "{message}");
            assert_eq!(meaning(false, message), ProxyAnswer::None, "{message}");
        }
    }

    #[test]
    fn a_pooler_is_known_by_its_words() {
        for message in ["unsupported startup parameter: options", "FATAL: unsupported startup parameter in options: a"]
        {
            assert_eq!(meaning(false, message), ProxyAnswer::Pooler);
        }
        assert_eq!(meaning(false, "a sentence of tomorrow"), ProxyAnswer::None);
    }
}
