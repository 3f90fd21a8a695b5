//! Checks the local PostgreSQL: whether it answers, is new enough, and may be filled.

use super::{Check, CheckSubject};
use crate::{
    error::{Error, Kind, Result},
    postgres::{
        PgEndpoint, Role, Session,
        managed::{LocalChoice, installation::Installation},
    },
    secret::Secret,
};

/// The oldest version, as `server_version_num`.
const OLDEST: u32 = 140_000;

const FACTS: &str = "SELECT current_setting('server_version'), \
     has_database_privilege(current_database(), 'CREATE'), \
     EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector')";

/// Checks the local PostgreSQL.
pub(super) async fn examine(choice: &LocalChoice) -> Vec<Check> {
    match &choice.url {
        Some(url) => match examine_server(url).await {
            Ok(checks) => checks,
            Err(error) => vec![Check::fail(CheckSubject::Local, "connection", &error)],
        },
        None => match Installation::find(choice) {
            Ok(found) => vec![
                Check::ok(
                    CheckSubject::Local,
                    "PostgreSQL",
                    format!("{} in {}, to be managed by this tool", found.version, found.bin.display()),
                ),
                pgvector(found.pgvector),
            ],
            Err(error) => vec![Check::fail(CheckSubject::Local, "PostgreSQL", &error)],
        },
    }
}

async fn examine_server(url: &Secret<String>) -> Result<Vec<Check>> {
    let parsed = PgEndpoint::parse(url, Role::Local)?;
    let session = Session::connect(&parsed.endpoint).await?;
    let row = session.query_row("asking for the version", FACTS, &[]).await?;
    let (version, may_create, vector): (String, bool, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let at = format!("PostgreSQL {version} at {}", parsed.endpoint.address());
    let mut checks = vec![if session.version() < OLDEST {
        let error = Error::new(Kind::LocalRejected, format!("{at} is too old"));
        Check::fail(CheckSubject::Local, "PostgreSQL", &error.with_hint("use PostgreSQL 14 or newer"))
    } else {
        Check::ok(CheckSubject::Local, "PostgreSQL", at)
    }];
    if !may_create {
        let error = Error::new(Kind::LocalRejected, "the role may not create schemas in this database");
        let hint = "GRANT CREATE ON DATABASE to the role, or name another database with --local-url";
        checks.push(Check::fail(CheckSubject::Local, "rights", &error.with_hint(hint)));
    }
    checks.push(pgvector(vector));
    Ok(checks)
}

fn pgvector(there: bool) -> Check {
    let found = if there {
        "there: vectors become vector(n)"
    } else {
        "not there: vectors become real[]; install pgvector or set vector = \"on\" to change that"
    };
    Check::ok(CheckSubject::Local, "pgvector", found)
}
