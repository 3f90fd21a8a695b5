//! Tries the statements in a transaction that is rolled back, and executes them.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::{SchemaRequest, TriedIn, comparison::Comparison, scratch::Scratch, sides::Opened};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{Stage, identifier::quote_list},
    postgres::{PgEndpoint, Session, existing_schema::create_objects},
    rules::schema_sync::{Change, Synchronisation, Timing},
};

/// How much of a statement is shown in a message.
const SHOWN: usize = 200;

/// A database that is changed.
pub(super) struct Database<'a> {
    /// Where it is.
    pub(super) endpoint: &'a PgEndpoint,
    /// How long to wait for tables that others use.
    pub(super) lock_wait: Duration,
}

/// Tries the statements where the second side is: in its database, unless a new label of an enumerated type is used,
/// which PostgreSQL allows only after it is committed; a file in the scratch cluster.
///
/// # Errors
/// Naming the statement that is refused, by the role of the server; `Config` in the scratch cluster.
pub(super) async fn attempt(
    ctx: &Context,
    request: &SchemaRequest,
    sync: &Synchronisation,
    compared: &Comparison,
    second: &Opened,
    scratch: &mut Scratch,
) -> Result<TriedIn> {
    let commits_first = sync.changes.iter().any(|change| change.timing == Timing::Before);
    match second.endpoint().filter(|_| !commits_first) {
        Some(endpoint) => {
            let session = session(ctx, endpoint, sync, request.lock_wait).await?;
            session.batch("trying the statements", "BEGIN").await?;
            let tried = run_all(ctx, &session, sync, |_| true).await;
            if !session.is_lost() {
                session.batch("trying the statements", "ROLLBACK").await?;
            }
            tried.map(|()| TriedIn::Database)
        }
        None => {
            let endpoint = scratch.database().await?;
            create_objects(&Session::connect(&endpoint).await?, &compared.second, false).await?;
            let session = session(ctx, &endpoint, sync, request.lock_wait).await?;
            let tried = async {
                run_all(ctx, &session, sync, |timing| timing == Timing::Before).await?;
                session.batch("trying the statements", "BEGIN").await?;
                run_all(ctx, &session, sync, |timing| timing != Timing::Before).await?;
                session.batch("trying the statements", "COMMIT").await
            };
            tried.await.map(|()| TriedIn::Scratch).map_err(in_scratch)
        }
    }
}

/// What the scratch cluster refuses is the schema's fault.
fn in_scratch(error: Error) -> Error {
    if error.sqlstate().is_none() {
        return error;
    }
    Error::new(Kind::Config, error.message()).with_hint(error.hint().to_owned())
}

/// Executes the statements: labels first, everything else in one transaction, indexes of tables that are in use last
/// and without blocking writers.
///
/// # Errors
/// Naming the statement that is refused, and what was kept.
pub(super) async fn execute(ctx: &Context, database: &Database<'_>, sync: &Synchronisation) -> Result<()> {
    let session = session(ctx, database.endpoint, sync, database.lock_wait).await?;
    run_all(ctx, &session, sync, |timing| timing == Timing::Before).await?;
    session.batch("changing the schema", "BEGIN").await?;
    run_all(ctx, &session, sync, |timing| timing == Timing::Inside).await?;
    session.batch("changing the schema", "COMMIT").await?;
    for change in sync.changes.iter().filter(|change| change.timing == Timing::Deferrable) {
        ctx.stop.check()?;
        let sql = concurrently(&change.sql);
        let doing = format!("{}: {}", change.object, shown(&sql));
        if let Err(error) = session.batch(&doing, &sql).await {
            return Err(without_leftover(&session, change, error).await);
        }
    }
    Ok(())
}

/// Removes the invalid index that a failed concurrent build leaves.
async fn without_leftover(session: &Session, change: &Change, error: Error) -> Error {
    let kept = "everything but this index and those after it was changed; run the same command again";
    // This one was not begun. The index of that name may be another one, or what a lost connection left.
    if error.sqlstate() == Some(&SqlState::DUPLICATE_TABLE) {
        return error.with_hint(
            "an index of that name is there already; if it is invalid (pg_index.indisvalid), drop it with DROP INDEX, then \
             run the same command again",
        );
    }
    if session.is_lost() {
        return error.with_hint(kept);
    }
    let removed = remove_invalid(session, &change.sql).await.is_ok();
    let rest = if removed { "" } else { "; an invalid index may be left, see pg_index.indisvalid" };
    error.with_hint(format!("{kept}{rest}"))
}

/// Drops the index that this statement began to build, if it is there and invalid.
async fn remove_invalid(session: &Session, sql: &str) -> Result<()> {
    let Some((name, table)) = index_and_table(sql) else { return Ok(()) };
    let doing = "removing an invalid index";
    let found = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
                 JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE NOT i.indisvalid AND quote_ident(c.relname) = $1 AND i.indrelid = to_regclass($2)";
    for index in session.query_column::<String>(doing, found, &[&name, &table]).await? {
        session.batch(doing, &format!("DROP INDEX CONCURRENTLY IF EXISTS {index}")).await?;
    }
    Ok(())
}

/// The names in CREATE INDEX, as they are written.
fn index_and_table(sql: &str) -> Option<(&str, &str)> {
    let rest = sql.strip_prefix("CREATE UNIQUE INDEX ").or_else(|| sql.strip_prefix("CREATE INDEX "))?;
    let (name, rest) = rest.split_once(" ON ")?;
    let (table, _) = rest.split_once(" USING ")?;
    Some((name, table.strip_prefix("ONLY ").unwrap_or(table)))
}

/// The statement in the form that does not block writers.
pub(super) fn concurrently(sql: &str) -> String {
    for words in ["CREATE UNIQUE INDEX ", "CREATE INDEX "] {
        if let Some(rest) = sql.strip_prefix(words) {
            return format!("{words}CONCURRENTLY {rest}");
        }
    }
    sql.to_owned()
}

async fn session(ctx: &Context, endpoint: &PgEndpoint, sync: &Synchronisation, lock_wait: Duration) -> Result<Session> {
    let session = Session::connect_with_retry(ctx, Stage::Plan, endpoint).await?;
    let path = quote_list(sync.search_path.iter().map(String::as_str));
    let sql = format!("SET search_path = {path}; SET lock_timeout = '{}ms'", lock_wait.as_millis());
    session.batch("preparing the session", &sql).await?;
    Ok(session)
}

async fn run_all(
    ctx: &Context,
    session: &Session,
    sync: &Synchronisation,
    is_meant: impl Fn(Timing) -> bool,
) -> Result<()> {
    let all = sync.changes.len();
    for (place, change) in sync.changes.iter().enumerate().filter(|(_, change)| is_meant(change.timing)) {
        ctx.stop.check()?;
        let doing = format!("statement {} of {all} ({}): {}", place + 1, change.object, shown(&change.sql));
        session.batch(&doing, &change.sql).await.map_err(|error| {
            if error.sqlstate().is_none() {
                return error;
            }
            error.with_hint(
                "the transaction was rolled back, and labels that were added to enumerated types remain; correct one of the \
                 two sides, or the rows that the statement refuses, and run the same command again",
            )
        })?;
    }
    Ok(())
}

/// A statement in one line, cut where it is long.
fn shown(sql: &str) -> String {
    let line = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}...", line.get(..at).unwrap_or_default()),
        None => line,
    }
}
