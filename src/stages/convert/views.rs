//! Creates the views: each is created, and its rows are compared with those that SQLite gives for the source's view.
//! Only what agrees stays; the rest is dropped with the reason.
//!
//! Rows are compared as tables are: by the digest of what binary COPY sends, which doesn't depend on their order.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    load_context::{LoadContext, SessionPool},
    readback,
    row_encoder::{ChunkTotals, RowEncoder},
    triggers,
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        DroppedObject, TablePlan,
        dropped_objects::DroppedObjectKind,
        identifier::{qualified, quote_list},
        view_trigger_plan::ViewPlan,
    },
    postgres::{Session, load_journal},
    rules::ddl,
    sqlite::{self, table_rows::SourceRow},
};

const PHASE: &str = "views";

/// How long a view may take on either side.
const VIEW_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the trials of all views may take.
const ALL_VIEWS_TIMEOUT: Duration = Duration::from_secs(600);

/// How long an interrupted engine is waited for.
const ABANDONED_AFTER: Duration = Duration::from_secs(2);

/// Creates the plan's views, and says which of them had to be dropped.
///
/// # Errors
/// `LocalUnreachable`, `LocalRejected` where the server refuses what isn't the view's doing; `Interrupted`.
pub(super) async fn create(work: &Arc<LoadContext>, pool: &SessionPool) -> Result<Vec<DroppedObject>> {
    let session = pool.first()?;
    let mut dropped: Vec<DroppedObject> = Vec::new();
    let mut missing: BTreeSet<&str> = BTreeSet::new();
    work.phase(PHASE, work.plan.views.len());
    let deadline = Instant::now() + ALL_VIEWS_TIMEOUT;
    for view in &work.plan.views {
        work.ctx.stop.check()?;
        let reason = match view.query.relations().find(|name| missing.contains(name)) {
            Some(name) => Some(format!("it reads the view {name}, which is not carried")),
            None => {
                let time_limit = deadline.saturating_duration_since(Instant::now()).min(VIEW_TIMEOUT);
                if time_limit.is_zero() {
                    Some(format!("the trials of the views took more than {} s", ALL_VIEWS_TIMEOUT.as_secs()))
                } else {
                    attempt(work, session, view, time_limit).await?
                }
            }
        };
        if let Some(reason) = reason {
            missing.insert(&view.name);
            dropped.push(DroppedObject {
                kind: DroppedObjectKind::View,
                table: view.source.clone(),
                object: view.name.clone(),
                source: view.source.clone(),
                reason,
                sql: view.sql.clone(),
                guards: false,
            });
        }
        work.stepped(PHASE, 1);
    }
    Ok(dropped)
}

/// What is dropped where the tables are somebody else's, and only rows were loaded.
pub(super) fn on_foreign_tables(work: &LoadContext) -> Vec<DroppedObject> {
    let reason = "only rows were loaded, into tables that this tool didn't make";
    let views = work.plan.views.iter().map(|view| DroppedObject {
        kind: DroppedObjectKind::View,
        table: view.source.clone(),
        object: view.name.clone(),
        source: view.source.clone(),
        reason: reason.to_owned(),
        sql: view.sql.clone(),
        guards: false,
    });
    let triggers = work.plan.triggers.iter().map(|trigger| DroppedObject {
        kind: DroppedObjectKind::Trigger,
        table: triggers::table_of(work, trigger),
        object: trigger.name.clone(),
        source: trigger.source.clone(),
        reason: reason.to_owned(),
        sql: trigger.sql.clone(),
        guards: false,
    });
    views.chain(triggers).collect()
}

/// Creates one view. Gives the reason if it can't stay; nothing is left of it then.
async fn attempt(
    work: &Arc<LoadContext>,
    session: &Session,
    view: &ViewPlan,
    time_limit: Duration,
) -> Result<Option<String>> {
    let schema = &work.plan.schema;
    let create = ddl::create_view(schema, view).sql;
    let record = load_journal::made_object_sql(schema, "view", &view.name);
    if let Err(refused) = session.batch("creating a view", &format!("{create}; {record}")).await {
        return judged(session, refused).map(|why| Some(format!("PostgreSQL refuses the translated view: {why}")));
    }
    let found = compare(work, session, view, time_limit).await?;
    if found.is_some() {
        let drop = format!(
            "DROP VIEW {}; {}",
            qualified(schema, &view.name),
            load_journal::unmade_object_sql("view", schema, &view.name)
        );
        session.batch("dropping a view", &drop).await?;
    }
    Ok(found)
}

/// An error that is the view's own, in words; the server's going away is none.
fn judged(session: &Session, error: Error) -> Result<String> {
    if session.is_lost() { Err(error) } else { Ok(error.message().to_owned()) }
}

async fn compare(
    work: &Arc<LoadContext>,
    session: &Session,
    view: &ViewPlan,
    time_limit: Duration,
) -> Result<Option<String>> {
    let table = view.as_table();
    let source = match source_rows(work, &table, time_limit).await? {
        Ok(totals) => totals,
        Err(reason) => return Ok(Some(reason)),
    };
    let limit = format!("SET statement_timeout = '{}s'", time_limit.as_secs().max(1));
    session.batch("limiting the time of a view", &limit).await?;
    let columns = quote_list(table.columns.iter().map(|column| column.name.as_str()));
    let sql = format!("SELECT {columns} FROM {}", qualified(&work.plan.schema, &view.name));
    let read = readback::read_query(session, &sql, &table.columns).await;
    let (rows, digest) = match read {
        Ok(read) => read,
        Err(refused) => {
            let why = judged(session, refused)?;
            session.batch("preparing the session", "SET statement_timeout = 0").await?;
            return Ok(Some(format!("PostgreSQL can't read the translated view: {why}")));
        }
    };
    session.batch("preparing the session", "SET statement_timeout = 0").await?;
    if rows != source.rows {
        return Ok(Some(format!("the translated view has {rows} rows, SQLite's has {}", source.rows)));
    }
    Ok((digest != source.digest)
        .then(|| format!("the {rows} rows of the translated view are not those that SQLite gives")))
}

/// What SQLite gives for the view, or why that is nothing to compare with.
async fn source_rows(
    work: &Arc<LoadContext>,
    table: &TablePlan,
    time_limit: Duration,
) -> Result<std::result::Result<ChunkTotals, String>> {
    let connection = sqlite::open::read_only(&work.source)?;
    let interrupt = connection.get_interrupt_handle();
    let table = table.clone();
    let mut reading = tokio::task::spawn_blocking(move || read(&connection, &table));
    let ended = tokio::select! {
        ended = &mut reading => ended,
        () = tokio::time::sleep(time_limit) => {
            interrupt.interrupt();
            // One function can run for hours without a look at the interruption: it is left behind then.
            tokio::time::timeout(ABANDONED_AFTER, reading).await.ok();
            return Ok(Err(format!("SQLite takes more than {} s for the view", time_limit.as_secs())));
        }
        () = work.ctx.stop.requested() => {
            interrupt.interrupt();
            tokio::time::timeout(ABANDONED_AFTER, reading).await.ok();
            work.ctx.stop.check()?;
            return Err(Error::new(Kind::Bug, "a stop was reported without a request to stop"));
        }
    };
    ended.map_err(|_| Error::new(Kind::Bug, "the reading of a view ended early"))
}

fn read(connection: &rusqlite::Connection, table: &TablePlan) -> std::result::Result<ChunkTotals, String> {
    let failed = |failure: &rusqlite::Error| {
        format!("SQLite can't read the view: {}", sqlite::error_map::describe("reading it", failure).message())
    };
    let mut statement = connection.prepare(&table.source_query()).map_err(|failure| failed(&failure))?;
    let mut rows = statement.query([]).map_err(|failure| failed(&failure))?;
    let mut writer = RowEncoder::of_query(table).map_err(|error| error.message().to_owned())?;
    let (mut totals, mut row_bytes, mut offtype) = (ChunkTotals::default(), Vec::new(), Vec::new());
    while let Some(row) = rows.next().map_err(|failure| failed(&failure))? {
        row_bytes.clear();
        writer
            .row(SourceRow::Sqlite(row), &mut row_bytes, &mut offtype, &mut totals)
            .map_err(|_| "SQLite gives values that the translated view has no type for".to_owned())?;
    }
    Ok(totals)
}
