//! Removes what the tool has on the target: at the end of a migration (`finish`), or what interrupted pushes left
//! (`clean --target`). The tables of the application are not touched.
//!
//! Decisions: the mark of a finished migration is set by the transaction that removes the rest, so that no push comes
//! between. Nothing is dropped with CASCADE: what others built on the tool's objects is named.

use std::time::Duration;

use futures_util::FutureExt;

use crate::{
    context::Context,
    error::{Error, Kind, Result, ResultExt, Retry},
    model::{
        Stage,
        conversion_plan::OFFTYPE_TABLE,
        identifier::{qualified, quote_ident},
        tool_objects::{FinishMark, SchemaPurpose, ToolObjects, ToolSchema},
    },
    postgres::{Parsed, PgEndpoint, Role, Session},
    retry,
    secret::Secret,
    stages::push::{
        diff::row_undo,
        load::staging,
        target::{
            dependents, lifecycle,
            lock_acquisition::{LockMode, Locks},
            record::{self, PushedTableRecord, TargetRecord, UnfinishedRun},
            session::{Target, changed_rows_schema, previous_schema},
            tool_objects,
        },
    },
};

/// How often a removal that loses its connection begins anew.
const TRIES: u32 = 6;

/// How much is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovalScope {
    /// What unfinished pushes into the schema left.
    UnfinishedPushes,
    /// Everything of the migration into the schema, which is marked as finished.
    Migration,
    /// Everything of the migration into the schema, its mark too.
    MigrationAndMark,
}

/// What to remove.
#[derive(Debug, Clone)]
pub struct RemovalRequest {
    /// The target's connection string.
    pub target: Secret<String>,
    /// The schema on the target.
    pub schema: String,
    /// How much is removed.
    pub scope: RemovalScope,
    /// How long to try to get the kept tables for a moment without others.
    pub lock_wait: Duration,
}

/// What a removal removes and leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// `host:port/database`.
    pub target: String,
    /// The schema on the target.
    pub schema: String,
    /// The tool's schemas that go, with what is in them.
    pub schemas: Vec<ToolSchema>,
    /// The mark that is there already.
    pub mark: Option<FinishMark>,
    /// Tables of the application that pushes brought; they stay.
    pub tables: Vec<String>,
    /// Values that fit no column type, which stay in a table of their own beside those tables.
    pub keeps_offtype: bool,
    /// The push that brought the tables; a later one kept other tables and rows.
    last_run: Option<i64>,
}

/// Lists everything that the tool has in the database of this connection string.
///
/// # Errors
/// `Usage` for a string that is none, `Target*`, `ArtifactNewer`.
pub async fn tool_objects(target: &Secret<String>) -> Result<ToolObjects> {
    let Parsed { endpoint, .. } = PgEndpoint::parse(target, Role::Target)?;
    let session = Box::pin(Session::connect(&endpoint)).await?;
    tool_objects_of(&session, endpoint.address()).await
}

/// The same of a session's database; `address` is what the answer calls it.
///
/// # Errors
/// `Target*`, `ArtifactNewer`.
pub async fn tool_objects_of(session: &Session, address: &str) -> Result<ToolObjects> {
    tool_objects::read(session, address).await
}

/// Refuses to push into the schema of a finished migration, before hours are spent on the stages before the push.
///
/// # Errors
/// `Finished`, `Target*`, `ArtifactNewer`.
pub async fn refuse_if_finished(session: &Session, schema: &str) -> Result<()> {
    lifecycle::refuse_if_finished(session, schema).await
}

/// Looks at what a removal would remove. Nothing is changed.
///
/// # Errors
/// `Usage` if there is nothing to finish, `TargetOccupied` if a push into the schema is half done or if others use what
/// would go, `Target*`.
pub async fn look(ctx: &Context, request: &RemovalRequest) -> Result<Removal> {
    let looking = async {
        let Parsed { endpoint, .. } = PgEndpoint::parse(&request.target, Role::Target)?;
        let target = Target::new(ctx, &endpoint, &request.schema, request.lock_wait);
        let control = target.control().await?;
        Ok(Box::pin(Found::look(&control, endpoint.address(), request)).await?.removal)
    };
    looking.await.in_stage(Stage::Push)
}

/// Removes what [`look`] listed. Gives the mark that the migration has afterwards.
///
/// # Errors
/// Those of [`look`]; `Locked` if a push into the schema is running, or if the tool has more there now than was listed.
pub async fn remove(ctx: &Context, request: &RemovalRequest, listed: &Removal) -> Result<Option<FinishMark>> {
    let removing = async {
        let Parsed { endpoint, .. } = PgEndpoint::parse(&request.target, Role::Target)?;
        let target = Target::new(ctx, &endpoint, &request.schema, request.lock_wait);
        let mut attempt = 1;
        loop {
            match Box::pin(attempt_once(&target, endpoint.address(), request, listed)).await {
                Err(error) if error.retry() == Retry::WithPauses && attempt < TRIES => {
                    attempt += 1;
                    retry::wait(ctx, Stage::Push, &error, attempt).await?;
                }
                other => return other,
            }
        }
    };
    removing.await.in_stage(Stage::Push)
}

async fn attempt_once(
    target: &Target<'_>,
    address: &str,
    request: &RemovalRequest,
    listed: &Removal,
) -> Result<Option<FinishMark>> {
    let control = target.control().await?;
    target.lock(&control).await?;
    if record::is_there(&control).await? {
        // What an earlier version made lacks some tables and columns.
        record::create(&control).await?;
    }
    let found = Box::pin(Found::look(&control, address, request)).await?;
    if found.removal.exceeds(listed) {
        let text = "another push changed what the tool has on the target since it was listed; nothing was removed";
        return Err(Error::new(Kind::Locked, text).with_hint("run the same command again and look at the new list"));
    }
    Box::pin(found.remove(target, &control, request)).await?;
    if let Err(error) = record::drop_if_empty(&control).await {
        let text =
            format!("the empty record of pushes is still there: {}; run the same command again", error.message());
        target.ctx.out.warn(text);
    }
    lifecycle::of_schema(&control, &request.schema).await
}

impl Removal {
    /// Whether this removes something that the other list does not name.
    fn exceeds(&self, listed: &Self) -> bool {
        let is_listed = |schema: &ToolSchema| listed.schemas.iter().any(|one| one.name == schema.name);
        !self.schemas.iter().all(is_listed) || self.last_run.is_some() && self.last_run != listed.last_run
    }
}

/// The state of the target that a removal works on.
struct Found {
    record: TargetRecord,
    removal: Removal,
}

impl Found {
    async fn look(control: &Session, address: &str, request: &RemovalRequest) -> Result<Self> {
        let schema = request.schema.as_str();
        let record = TargetRecord::read(control, schema, &previous_schema(schema)).await?;
        let objects = tool_objects::read(control, address).await?;
        let mark = objects.finished.iter().find(|mark| mark.schema == schema).cloned();
        let is_of_migration = request.scope != RemovalScope::UnfinishedPushes;
        refuse_half_done(control, &record, schema).await?;
        if is_of_migration {
            let is_pushed = record.live.iter().any(PushedTableRecord::is_pushed);
            if !is_pushed && mark.is_none() && request.scope == RemovalScope::Migration {
                let text = format!("no push into schema {schema} of {address} has come to its end");
                let hint = "there is nothing to finish; --schema names another schema, and `turso2neon clean --target` removes what \
                            an interrupted push left";
                return Err(Error::new(Kind::Usage, text).with_hint(hint));
            }
            refuse_dependents(control, &record).await?;
        }
        let is_of_others = |other: &ToolSchema| other.target_schema.as_deref().is_some_and(|of| of != schema);
        let others =
            has_other_migrations(control, schema).await? || objects.finished.iter().any(|one| one.schema != schema);
        let goes = |one: &ToolSchema| match one.purpose {
            SchemaPurpose::Staging => !is_of_others(one),
            SchemaPurpose::PreviousTables | SchemaPurpose::ChangedRows => {
                is_of_migration && one.target_schema.as_deref() == Some(schema)
            }
            SchemaPurpose::Record => request.scope == RemovalScope::MigrationAndMark && !others,
        };
        let schemas = objects.schemas.into_iter().filter(goes).collect();
        let tables = record.live.iter().filter(|table| table.is_pushed()).map(|table| table.name.clone()).collect();
        let last_run = record.live.iter().map(|table| table.run_id).max();
        let keeps_offtype = record.live.iter().any(|table| table.name == OFFTYPE_TABLE);
        let (target, schema) = (address.to_owned(), schema.to_owned());
        Ok(Self { record, removal: Removal { target, schema, schemas, mark, tables, keeps_offtype, last_run } })
    }

    /// Removes it in one transaction, which also sets or removes the mark.
    async fn remove(&self, target: &Target<'_>, control: &Session, request: &RemovalRequest) -> Result<()> {
        let schema = request.schema.as_str();
        let mut sql = Vec::new();
        for staging in self.removal.schemas.iter().filter(|one| one.purpose == SchemaPurpose::Staging) {
            sql.extend(staging::drop_schema(control, &staging.name).await?);
        }
        let has_record = record::is_there(control).await?;
        let mut private = Vec::new();
        if request.scope == RemovalScope::UnfinishedPushes {
            sql.extend(self.record.unfinished.iter().flat_map(|run| {
                ["chunks", "runs"].map(|table| format!("DELETE FROM turso2neon.{table} WHERE run_id = {}", run.run_id))
            }));
            if has_record {
                sql.push(record::forget_staged(schema));
            }
        } else {
            let home = previous_schema(schema);
            private.extend(self.record.previous.iter().map(|table| qualified(&home, &table.name)));
            sql.extend(record::previous_drops(control, schema, &self.record).await?);
            sql.extend(row_undo::drop_kept(schema, &row_undo::read(control, schema).await?));
            let emptied = [home, changed_rows_schema(schema)];
            sql.extend(emptied.map(|schema| format!("DROP SCHEMA IF EXISTS {} RESTRICT", quote_ident(&schema))));
            if has_record {
                sql.extend(record::forget(schema));
            }
        }
        match request.scope {
            RemovalScope::Migration if has_record => sql.extend(lifecycle::mark_finished(schema)),
            RemovalScope::MigrationAndMark if self.removal.mark.is_some() => sql.push(lifecycle::remove_mark(schema)),
            _ => {}
        }
        if sql.is_empty() {
            return Ok(());
        }
        let work = sql.join("; ");
        let locks = Locks { target, control, private, shared: Vec::new(), strength: LockMode::AgainstEverybody };
        let work = work.as_str();
        let attempt = |begin: String| {
            async move { control.batch("removing the tool's objects", &format!("{begin}; {work}; COMMIT")).await }
                .boxed()
        };
        locks.with_locks(attempt).await
    }
}

/// A push that has emptied or dropped tables and not filled them again must come to its end first.
async fn refuse_half_done(control: &Session, record: &TargetRecord, schema: &str) -> Result<()> {
    let is_replacing = record.unfinished.iter().any(UnfinishedRun::is_replacing);
    if !is_replacing && !record::has_carried(control, schema).await? {
        return Ok(());
    }
    let text = format!("a push into schema {schema} in mode replace was interrupted; tables may be missing or empty");
    Err(Error::new(Kind::TargetOccupied, text)
        .with_hint("nothing was changed; run `turso2neon push --mode replace` to its end first"))
}

/// Whether the record tells of pushes into another schema.
async fn has_other_migrations(control: &Session, schema: &str) -> Result<bool> {
    if !record::is_there(control).await? {
        return Ok(false);
    }
    let sql = "SELECT EXISTS (SELECT FROM turso2neon.tables WHERE target_schema <> $1) \
               OR EXISTS (SELECT FROM turso2neon.runs WHERE target_schema <> $1)";
    control.query_value("reading the record of earlier pushes", sql, &[&schema]).await
}

/// Objects of others that use the kept tables and would stop the removal.
async fn refuse_dependents(control: &Session, record: &TargetRecord) -> Result<()> {
    let relations = record.previous_relations();
    if relations.is_empty() {
        return Ok(());
    }
    let names = dependents::of(control, &relations).await?;
    if names.is_empty() {
        return Ok(());
    }
    let text = format!("tables that the last push replaced are used by other objects: {}", names.join(", "));
    Err(Error::new(Kind::TargetOccupied, text)
        .with_hint("nothing was removed; drop these objects, or create them on the present tables"))
}
