//! Puts back what the last push replaced or changed on the target. Needs nothing but the target: everything is in its
//! record.
//!
//! Decisions: replaced tables and those that replaced them change places, changed rows are changed back, both in one
//! transaction as in a push; so a second rollback takes the first one back.

use std::time::Duration;

use futures_util::FutureExt;

use crate::{
    context::Context,
    error::{Error, Kind, Result, ResultExt, Retry},
    model::{
        PushCheckpoint, Stage, TableDigest,
        checkpoint::{LoadState, PushAccount, PushedTable},
        identifier::{qualified, quote_ident},
        push_plan::PushMode,
    },
    postgres::{Parsed, PgEndpoint, Role, Session},
    retry,
    secret::Secret,
    stages::push::{
        cutover::row_restore::RowRestore,
        diff::row_undo::{self, RecordedUndo},
        load::staging,
        target::{
            dependents, lifecycle,
            lock_acquisition::{LockMode, Locks},
            objects,
            record::{self, PushedTableRecord, TargetRecord},
            session::{STAGING_PREFIX, Target, previous_schema},
            source_identity,
            table_properties::{self, OldTableOutcome},
            table_state::Transition,
        },
    },
    workdir::{now_s, sealed},
};

/// How often a rollback that loses its connection begins anew.
const TRIES: u32 = 6;

/// What to roll back.
#[derive(Debug, Clone)]
pub struct RollbackRequest {
    /// The target's connection string.
    pub target: Secret<String>,
    /// The schema on the target.
    pub schema: String,
    /// Only say what there is.
    pub list: bool,
    /// How long to try to get the tables for a moment without readers.
    pub lock_wait: Duration,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct RolledBack {
    /// `host:port/database`.
    pub target: String,
    /// What was put back, or with `list` what could be.
    pub tables: Vec<RestoredTable>,
    /// Nothing was done but looking.
    pub listed: bool,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredTable {
    /// Its name.
    pub name: String,
    /// SQLite's name.
    pub source: String,
    /// Rows that it has afterwards.
    pub rows: u64,
    /// Its digest afterwards; none if an earlier version recorded another kind of digest.
    pub digest: Option<TableDigest>,
    /// `replaced`, `changed` or `unchanged` by the last push.
    pub how: &'static str,
}

/// What a rollback would bring back.
enum PreviousState {
    /// Tables.
    Tables(Vec<PushedTableRecord>),
    /// Rows, and the digests of the tables that have them.
    Rows(Vec<(RecordedUndo, TableDigest)>),
}

/// Puts back what the last push replaced, or with `list` says what there is.
///
/// # Errors
/// `Usage` if there is nothing, `TargetOccupied` if something else hangs on the tables, `Target*`, `Locked`.
pub async fn rollback(ctx: &Context, request: &RollbackRequest) -> Result<RolledBack> {
    Box::pin(run(ctx, request)).await.in_stage(Stage::Push)
}

async fn run(ctx: &Context, request: &RollbackRequest) -> Result<RolledBack> {
    let Parsed { endpoint, .. } = PgEndpoint::parse(&request.target, Role::Target)?;
    let target = Target::new(ctx, &endpoint, &request.schema, request.lock_wait);
    let address = endpoint.address().to_owned();
    let mut begun = None;
    let mut attempt = 1;
    loop {
        let error = match Box::pin(attempt_once(&target, request, &mut begun)).await {
            Ok((tables, run_key)) => {
                if !request.list {
                    record_rollback(ctx, &address, &request.schema, run_key, &tables)?;
                }
                return Ok(RolledBack { target: address, tables, listed: request.list });
            }
            Err(error) if error.retry() == Retry::WithPauses && attempt < TRIES => error,
            Err(error) => return Err(error),
        };
        attempt += 1;
        retry::wait(ctx, Stage::Push, &error, attempt).await?;
    }
}

async fn attempt_once(
    target: &Target<'_>,
    request: &RollbackRequest,
    begun: &mut Option<(i64, Vec<RestoredTable>, String)>,
) -> Result<(Vec<RestoredTable>, String)> {
    let control = target.control().await?;
    let schema = request.schema.as_str();
    if !request.list {
        target.lock(&control).await?;
    }
    if let Some((run_id, tables, run_key)) = begun
        && record::is_done(&control, *run_id).await?
    {
        return Ok((tables.clone(), run_key.clone()));
    }
    lifecycle::refuse_if_finished(&control, schema).await?;
    let record = TargetRecord::read(&control, schema, &previous_schema(schema)).await?;
    let former = previous_state(&control, schema, &record).await?;
    let tables = former.described();
    if request.list {
        return Ok((tables, String::new()));
    }
    if tables.is_empty() {
        return Err(Error::new(Kind::Usage, format!("there is nothing to put back in schema {schema}"))
            .with_hint("a push keeps what it replaces unless it is told --no-keep-previous, until the next push"));
    }
    record::create(&control).await?;
    for unfinished in &record.unfinished {
        staging::drop_run(&control, unfinished).await?;
    }
    let run_key = former.run_key().to_owned();
    let run_id = record::begin_run(&control, &run_key, schema, PushMode::Rollback).await?;
    *begun = Some((run_id, tables.clone(), run_key.clone()));
    match &former {
        PreviousState::Tables(previous) => swap_tables(target, &control, &record, previous, run_id).await?,
        PreviousState::Rows(kept) => {
            RowRestore { target, control: &control, record: &record, kept, run_id }.run().await?;
        }
    }
    source_identity::swap(&control, schema).await?;
    Ok((tables, run_key))
}

/// The checkpoint of the push that was taken back says so, if it is about this target.
fn record_rollback(
    ctx: &Context,
    address: &str,
    schema: &str,
    run_key: String,
    tables: &[RestoredTable],
) -> Result<()> {
    let Ok(push) = ctx.workdir.load_push() else { return Ok(()) };
    if push.target != address || push.schema != schema {
        return Ok(());
    }
    let pushed = |table: &RestoredTable| {
        let pushed = PushedTable { rows: table.rows, server_digest: table.digest, ..PushedTable::default() };
        (table.source.clone(), pushed)
    };
    let tables = tables.iter().map(pushed).collect();
    sealed::store(
        &ctx.workdir.push_checkpoint(),
        &PushCheckpoint {
            run_key,
            tables,
            mode: PushMode::Rollback,
            plan: None,
            state: LoadState::Done,
            account: PushAccount::default(),
            finished_s: now_s(),
            ..push
        },
    )?;
    Ok(())
}

async fn previous_state(control: &Session, schema: &str, record: &TargetRecord) -> Result<PreviousState> {
    let kept = row_undo::read(control, schema).await?;
    // Rows are kept by the last push alone; tables of the push before it may not have been dropped yet.
    if kept.is_empty() {
        return Ok(PreviousState::Tables(record.previous.clone()));
    }
    let known = |kept: RecordedUndo| match kept.digest {
        Some(digest) => Ok((kept, digest)),
        // Whether rows changed since could only be concluded from a sum that does not see every change.
        None => Err(Error::new(Kind::ArtifactStale, "the kept rows were recorded by an earlier version of this tool")
            .at_table(&kept.source)
            .with_hint("nothing was changed; use that version for this rollback, or push again")),
    };
    kept.into_iter().map(known).collect::<Result<_>>().map(PreviousState::Rows)
}

impl PreviousState {
    fn described(&self) -> Vec<RestoredTable> {
        match self {
            Self::Tables(tables) => tables
                .iter()
                .map(|table| RestoredTable {
                    name: table.name.clone(),
                    source: table.source.clone(),
                    rows: table.rows,
                    digest: table.digest,
                    how: "replaced",
                })
                .collect(),
            Self::Rows(kept) => kept
                .iter()
                .map(|(table, digest)| RestoredTable {
                    name: table.name.clone(),
                    source: table.source.clone(),
                    digest: Some(*digest),
                    rows: digest.rows,
                    how: if table.is_changed() { "changed" } else { "unchanged" },
                })
                .collect(),
        }
    }

    fn run_key(&self) -> &str {
        match self {
            Self::Tables(tables) => tables.first().map_or("", |table| table.run_key.as_str()),
            Self::Rows(kept) => kept.first().map_or("", |(table, _)| table.run_key.as_str()),
        }
    }
}

/// The live tables and the previous ones change places.
async fn swap_tables(
    target: &Target<'_>,
    control: &Session,
    record: &TargetRecord,
    previous: &[PushedTableRecord],
    run_id: i64,
) -> Result<()> {
    let (schema, home) = (target.schema, previous_schema(target.schema));
    refuse_dependents(control, record).await?;
    let between = format!("{STAGING_PREFIX}back_{run_id}");
    let move_to = |from: &str, name: &str, to: &str| {
        format!("ALTER TABLE {} SET SCHEMA {}", qualified(from, name), quote_ident(to))
    };
    let mut sql = vec![format!("CREATE SCHEMA {}", quote_ident(&between))];
    sql.extend(previous.iter().map(|table| move_to(&home, &table.name, &between)));
    sql.extend(objects::moves(&record.previous_objects, &home, &between));
    sql.extend(record.live.iter().map(|table| move_to(schema, &table.name, &home)));
    sql.extend(objects::moves(&record.live_objects, schema, &home));
    sql.extend(previous.iter().map(|table| move_to(&between, &table.name, schema)));
    sql.extend(objects::moves(&record.previous_objects, &between, schema));
    sql.push(format!("DROP SCHEMA {} RESTRICT", quote_ident(&between)));
    let names = previous.iter().map(|table| table.name.as_str()).collect();
    sql.extend(
        table_properties::publications(control, schema, &record.live_oids(), &names, OldTableOutcome::Kept).await?,
    );
    sql.extend(record.transition(Transition::RollBack, schema));
    sql.extend(objects::transition(Transition::RollBack, schema, record));
    sql.extend(record::done(schema, run_id, previous.iter().map(|table| table.rows).sum()));
    let work = sql.join(";\n");
    let private: Vec<String> = previous.iter().map(|table| qualified(&home, &table.name)).collect();
    let live: Vec<String> = record.live.iter().map(|table| qualified(schema, &table.name)).collect();
    let locks = Locks { target, control, private, shared: live, strength: LockMode::AgainstEverybody };
    let work = work.as_str();
    let attempt = |begin: String| {
        async move { control.batch("putting the replaced tables back", &format!("{begin}; {work}; COMMIT")).await }
            .boxed()
    };
    locks.with_locks(attempt).await
}

async fn refuse_dependents(control: &Session, record: &TargetRecord) -> Result<()> {
    let hanging = dependents::of(control, &record.live_relations()).await?;
    if hanging.is_empty() {
        return Ok(());
    }
    let text = format!("the tables are used by objects that would stay with the newer ones: {}", hanging.join(", "));
    Err(Error::new(Kind::TargetOccupied, text)
        .with_hint("nothing was changed; drop these and create them again afterwards"))
}
