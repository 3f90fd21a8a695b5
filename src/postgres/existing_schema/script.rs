//! Runs a file of SQL in a scratch cluster.

use tokio_postgres::error::SqlState;

use super::sql_splitter::Statement;
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::identifier::quote_ident,
    postgres::Session,
};

/// Runs the statements as psql would run them.
///
/// # Errors
/// `Config` with the line and PostgreSQL's reason; `Local*`; `Interrupted`.
pub(super) async fn run_all(ctx: &Context, session: &Session, statements: &[Statement]) -> Result<()> {
    session.batch("preparing the scratch cluster", "SET search_path = \"$user\", public").await?;
    for statement in statements {
        ctx.stop.check()?;
        run(session, statement).await?;
    }
    Ok(())
}

async fn run(session: &Session, statement: &Statement) -> Result<()> {
    let doing = format!("line {}", statement.line);
    let Err(error) = with_roles(session, &doing, &statement.sql).await else { return Ok(()) };
    if session.is_lost() || error.kind() == Kind::Config {
        return Err(error);
    }
    if statement.may_fail(&error) { Ok(()) } else { Err(refused(statement, &error)) }
}

/// Runs a statement, and creates the roles that it names and that are not there. A role that a schema names is of another
/// server: in a scratch cluster it only has to exist.
///
/// # Errors
/// By role; `Config` for a statement that names more roles than is usual.
pub(super) async fn with_roles(session: &Session, doing: &str, sql: &str) -> Result<()> {
    // Each role that is not there costs one more try.
    for _ in 0..100 {
        let Err(error) = session.batch(doing, sql).await else { return Ok(()) };
        let Some(role) = missing_role(&error).filter(|_| !session.is_lost()) else { return Err(error) };
        session.batch("creating a role in the scratch cluster", &format!("CREATE ROLE {}", quote_ident(&role))).await?;
    }
    Err(Error::new(Kind::Config, format!("{doing}: it names more than 100 roles that do not exist"))
        .with_hint("split the statement, or leave it out of the file"))
}

/// The role that the server does not know.
fn missing_role(error: &Error) -> Option<String> {
    if error.sqlstate() != Some(&SqlState::UNDEFINED_OBJECT) {
        return None;
    }
    let (_, rest) = error.message().split_once("role \"")?;
    let (role, _) = rest.split_once("\" does not exist")?;
    Some(role.to_owned())
}

fn refused(statement: &Statement, error: &Error) -> Error {
    let hint = if statement.begins_with(&["CREATE", "EXTENSION"]) {
        "install the extension for this machine's PostgreSQL, or give the URL of a database that has it to --schema-from"
    } else {
        "the file must run in an empty database, as psql would run it; pg_dump --schema-only makes one that does"
    };
    Error::new(Kind::Config, error.message()).with_hint(hint)
}
