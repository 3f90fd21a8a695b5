//! Checks the target: whether it answers over TLS and is new enough, the role's rights, and the disk space.

use std::time::Duration;

use super::{Check, CheckSubject};
use crate::{
    error::{Error, Kind, Result, Retry},
    model::{
        human_format::{bytes, counted},
        tool_objects::{SchemaPurpose, ToolObjects},
    },
    postgres::{PgEndpoint, Role, Session, TlsVersion},
    secret::Secret,
    stages::push::removal,
};

/// The oldest version, as `server_version_num`.
const OLDEST: u32 = 140_000;

/// A suspended compute wakes within this time.
const WAKING: Duration = Duration::from_secs(5);

const FACTS: &str = "SELECT current_setting('server_version'), \
     (SELECT pg_encoding_to_char(encoding)::text FROM pg_database WHERE datname = current_database()), \
     pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on', \
     has_database_privilege(current_database(), 'CREATE'), \
     (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1), \
     pg_database_size(current_database()), \
     current_setting('neon.max_cluster_size', true), \
     EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector'), \
     (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
      WHERE n.nspname = $1 AND c.relkind IN ('r', 'p'))";

/// What the target says of itself.
struct TargetFacts {
    version: String,
    encoding: String,
    read_only: bool,
    may_create_schemas: bool,
    may_create_in_schema: Option<bool>,
    size_bytes: u64,
    limit_bytes: Option<u64>,
    pgvector: bool,
    /// Between this process and the other side. What the server itself knows is the connection behind a proxy.
    tls: Option<TlsVersion>,
    tables: u64,
    /// The most connections of the role, or of all roles to this database.
    connections: Option<i32>,
}

/// Checks the target.
pub(super) async fn examine(url: Option<&Secret<String>>, schema: &str) -> Vec<Check> {
    let Some(url) = url else {
        let todo = "set NEON_DATABASE_URL, or name a connection string with --target";
        return vec![Check::warn(CheckSubject::Target, "given", "no, so it is not checked", todo)];
    };
    let parsed = match PgEndpoint::parse(url, Role::Target) {
        Ok(parsed) => parsed,
        Err(error) => return vec![Check::fail(CheckSubject::Target, "given", &error)],
    };
    let mut checks: Vec<Check> =
        parsed.notes.iter().map(|note| Check::ok(CheckSubject::Target, "connection string", note)).collect();
    match look(&parsed.endpoint, schema).await {
        Ok((facts, number, objects)) => {
            checks.extend(judge(&facts, number, parsed.endpoint.address(), schema));
            checks.extend(of_tool(&objects, schema));
        }
        Err(error) => checks.push(Check::fail(CheckSubject::Target, "connection", &error)),
    }
    checks
}

async fn look(endpoint: &PgEndpoint, schema: &str) -> Result<(TargetFacts, u32, ToolObjects)> {
    let session = match Session::connect(endpoint).await {
        Err(error) if error.retry() == Retry::WithPauses => {
            tokio::time::sleep(error.retry_after().unwrap_or(WAKING)).await;
            Session::connect(endpoint).await?
        }
        other => other?,
    };
    let row = session.query_row("asking what the target is", FACTS, &[&schema]).await?;
    let facts = TargetFacts {
        version: row.get(0)?,
        encoding: row.get(1)?,
        read_only: row.get(2)?,
        may_create_schemas: row.get(3)?,
        may_create_in_schema: row.get(4)?,
        size_bytes: row.count(5)?,
        limit_bytes: row.get::<Option<&str>>(6)?.and_then(megabytes),
        pgvector: row.get(7)?,
        tls: session.tls_version(),
        tables: row.count(8)?,
        connections: connections(&session).await?,
    };
    let objects = removal::tool_objects_of(&session, endpoint.address()).await?;
    Ok((facts, session.version(), objects))
}

/// What the tool has there from earlier pushes, and whether the migration is finished.
fn of_tool(objects: &ToolObjects, schema: &str) -> Vec<Check> {
    let mut checks = Vec::new();
    for one in &objects.schemas {
        let found = format!("schema {}, {}: {}", one.name, bytes(one.bytes()), one.purpose.words());
        checks.push(match one.purpose {
            SchemaPurpose::Staging => {
                let todo = "a push that is run again goes on with it; `turso2neon clean --target` removes it";
                Check::warn(CheckSubject::Target, "tool's objects", &found, todo)
            }
            _ => Check::ok(CheckSubject::Target, "tool's objects", found),
        });
    }
    if let Some(mark) = objects.finished.iter().find(|mark| mark.schema == schema) {
        let found = format!("the migration into schema {schema} was finished at {}", mark.finished_at);
        let error = Error::new(Kind::Finished, found);
        checks.push(Check::warn(CheckSubject::Target, "finished", error.message(), error.hint()));
    }
    checks
}

/// The connection limit of the role or the database, whichever is lower; none if there is none.
async fn connections(session: &Session) -> Result<Option<i32>> {
    let sql = "SELECT min(most) FROM (SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user AND NOT rolsuper \
               UNION ALL SELECT datconnlimit FROM pg_database WHERE datname = current_database()) l(most) WHERE most >= 0";
    session.query_value("asking for connection limits", sql, &[]).await
}

/// `512MB`, or a bare number of megabytes; -1 is no limit.
fn megabytes(text: &str) -> Option<u64> {
    let (number, factor) = match text.strip_suffix("GB") {
        Some(number) => (number, 1 << 30),
        None => (text.strip_suffix("MB").unwrap_or(text), 1 << 20),
    };
    number.trim().parse::<u64>().ok().filter(|number| *number > 0).map(|number| number * factor)
}

fn judge(facts: &TargetFacts, number: u32, address: &str, schema: &str) -> Vec<Check> {
    let refused = |kind: Kind, text: String, hint: &str| Error::new(kind, text).with_hint(hint);
    let mut checks = vec![if number < OLDEST {
        let text = format!("PostgreSQL {} at {address} is too old", facts.version);
        Check::fail(CheckSubject::Target, "version", &refused(Kind::TargetRejected, text, "use PostgreSQL 14 or newer"))
    } else {
        Check::ok(CheckSubject::Target, "version", format!("PostgreSQL {} at {address}", facts.version))
    }];
    checks.push(match &facts.tls {
        Some(version) => {
            Check::ok(CheckSubject::Target, "encryption", format!("{version}, certificate verified as the host asks"))
        }
        None => Check::ok(CheckSubject::Target, "encryption", "none: the connection doesn't leave this machine"),
    });
    if facts.encoding != "UTF8" {
        let text = format!("the database's encoding is {}, not UTF8", facts.encoding);
        checks.push(Check::fail(
            CheckSubject::Target,
            "encoding",
            &refused(Kind::TargetRejected, text, "make a database with encoding UTF8"),
        ));
    }
    if facts.read_only {
        let text = "the target takes no writes (a replica, or read-only by setting)".to_owned();
        checks.push(Check::fail(
            CheckSubject::Target,
            "writable",
            &refused(Kind::TargetRejected, text, "connect to the primary"),
        ));
    }
    checks.push(rights(facts, schema));
    checks.extend(facts.connections.map(few_connections));
    let limit = facts.limit_bytes.map(|limit| format!(" of {}", bytes(limit))).unwrap_or_default();
    checks.push(Check::ok(
        CheckSubject::Target,
        "space",
        format!("the database takes {}{limit}", bytes(facts.size_bytes)),
    ));
    checks.push(Check::ok(
        CheckSubject::Target,
        "content",
        format!("{} in schema {schema}", counted(facts.tables, "table", "tables")),
    ));
    let pgvector = if facts.pgvector { "available" } else { "not available" };
    checks.push(Check::ok(CheckSubject::Target, "pgvector", pgvector));
    checks
}

/// A push needs a session that decides and one that loads.
fn few_connections(most: i32) -> Check {
    let found = format!("the role may have {most} at a time in this database");
    if most >= 2 {
        return Check::ok(CheckSubject::Target, "connections", format!("{found}; a push uses no more than it gets"));
    }
    let error = Error::new(Kind::TargetRejected, found);
    let hint = "raise the connection limit of the role and of the database to 2 or more (ALTER ROLE, ALTER DATABASE); \
                --jobs 1 needs two connections";
    Check::fail(CheckSubject::Target, "connections", &error.with_hint(hint))
}

fn rights(facts: &TargetFacts, schema: &str) -> Check {
    let denied = |text: String, hint: &str| {
        Check::fail(CheckSubject::Target, "rights", &Error::new(Kind::TargetDenied, text).with_hint(hint))
    };
    if !facts.may_create_schemas {
        let text = "the role may not create schemas in this database".to_owned();
        return denied(text, "GRANT CREATE ON DATABASE to the role, or use the database's owner");
    }
    match facts.may_create_in_schema {
        Some(false) => {
            denied(format!("the role may not create tables in schema {schema}"), "GRANT CREATE ON SCHEMA to the role")
        }
        Some(true) => Check::ok(CheckSubject::Target, "rights", format!("may create schemas, and tables in {schema}")),
        None => Check::ok(CheckSubject::Target, "rights", format!("may create schemas; {schema} will be made")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> TargetFacts {
        TargetFacts {
            version: "17.2".to_owned(),
            encoding: "UTF8".to_owned(),
            read_only: false,
            may_create_schemas: true,
            may_create_in_schema: Some(true),
            size_bytes: 8_000_000,
            limit_bytes: Some(512 << 20),
            pgvector: true,
            tls: None,
            tables: 0,
            connections: None,
        }
    }

    #[test]
    fn what_stands_against_a_push_is_said_with_what_to_do() {
        let failures = |facts: &TargetFacts, number| {
            let checks = judge(facts, number, "h:1/d", "public");
            let failed = checks.into_iter().filter(|check| check.kind.is_some());
            failed.map(|check| format!("{}: {}; {}", check.name, check.found, check.todo)).collect::<Vec<_>>()
        };
        assert_eq!(failures(&facts(), 170_002), [""; 0]);
        let old = failures(&TargetFacts { version: "13.9".to_owned(), ..facts() }, 130_009);
        assert_eq!(old, ["version: PostgreSQL 13.9 at h:1/d is too old; use PostgreSQL 14 or newer"]);
        let latin = failures(&TargetFacts { encoding: "LATIN1".to_owned(), ..facts() }, 170_002);
        assert!(latin.len() == 1 && latin[0].contains("make a database with encoding UTF8"), "{latin:?}");
        let replica = failures(&TargetFacts { read_only: true, ..facts() }, 170_002);
        assert!(replica.len() == 1 && replica[0].contains("connect to the primary"), "{replica:?}");
        let poor = failures(&TargetFacts { may_create_schemas: false, ..facts() }, 170_002);
        assert!(poor.len() == 1 && poor[0].contains("GRANT CREATE ON DATABASE"), "{poor:?}");
        assert_eq!(failures(&TargetFacts { connections: Some(2), ..facts() }, 170_002), [""; 0]);
        let single = failures(&TargetFacts { connections: Some(1), ..facts() }, 170_002);
        assert!(single.len() == 1 && single[0].contains("--jobs 1 needs two connections"), "{single:?}");
        let poor = failures(&TargetFacts { may_create_in_schema: Some(false), ..facts() }, 170_002);
        assert!(poor.len() == 1 && poor[0].contains("GRANT CREATE ON SCHEMA"), "{poor:?}");
    }

    #[test]
    fn the_limit_is_read_with_and_without_its_unit() {
        assert_eq!(megabytes("512MB"), Some(512 << 20));
        assert_eq!(megabytes("2GB"), Some(2 << 30));
        assert_eq!((megabytes("-1"), megabytes("")), (None, None));
    }
}
