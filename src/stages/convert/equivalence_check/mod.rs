//! Checks translated expressions by execution: generated columns, checks, predicates and index expressions are run by
//! SQLite over the dump and by PostgreSQL over the loaded rows. What doesn't agree on every row is dropped.
//!
//! An expression that PostgreSQL refuses to run is dropped too, with PostgreSQL's words.

mod answer;

mod pass;

mod subject;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use pass::PassOutcome;
use subject::{CheckedObject, TableChecks};

use super::load_context::{LoadContext, SessionPool};
use crate::{
    error::{Error, Kind, Result, ResultExt as _},
    model::{
        TablePlan,
        dropped_objects::{DroppedObject, DroppedObjectKind},
        source_schema::{IndexKey, SourceSchema},
    },
    postgres::{
        Session,
        load_journal::{self, LoadScope},
    },
    rules::ddl::{self, Statement, StatementKind},
    sqlite,
};

const PHASE: &str = "trial";

/// How long all trials together may take, besides the time that reading the tables takes.
const TRIALS_TIMEOUT: Duration = Duration::from_secs(300);

/// Bytes of tables that are read in a second, at least.
const BYTES_PER_SECOND: u64 = 1 << 20;

/// Reads the schema of the dump, where SQLite's expressions are.
///
/// # Errors
/// `SourceInvalid`, `ArtifactIo`.
pub(super) async fn schema(work: &LoadContext) -> Result<SourceSchema> {
    let source = work.source.clone();
    let task = tokio::task::spawn_blocking(move || sqlite::catalog::read(&sqlite::open::read_only(&source)?));
    task.await.map_err(|_| Error::new(Kind::Bug, "reading the schema ended early"))?
}

/// Generated columns whose definition PostgreSQL refuses, found by creating each table and taking it back.
///
/// # Errors
/// `LocalUnreachable`.
pub(super) async fn definitions(
    work: &LoadContext,
    schema: &SourceSchema,
    session: &Session,
) -> Result<Vec<DroppedObject>> {
    // What an existing schema defines was not translated from anything.
    if work.plan.existing_schema.is_some() {
        return Ok(Vec::new());
    }
    let made = load_journal::made(session).await?;
    let mut dropped = Vec::new();
    for table in work.plan.tables.iter().filter(|table| is_generating(table)) {
        if made.iter().any(|made| made.schema == work.plan.schema && made.table == table.name) {
            continue;
        }
        let Some(reason) = refusal(work, session, table).await? else { continue };
        let subjects = generated(schema, table);
        let mut causes = Vec::new();
        for subject in &subjects {
            let others: Vec<DroppedObject> = subjects
                .iter()
                .filter(|other| !std::ptr::eq(*other, subject))
                .map(|other| other.dropped(table, ""))
                .collect();
            let alone = work.plan.clone().without(&others);
            let alone = alone.table(&table.source).cloned();
            let refused = match &alone {
                Some(alone) => refusal(work, session, alone).await?,
                None => None,
            };
            causes.extend(refused.map(|reason| subject.dropped(table, &unable(&reason))));
        }
        if causes.is_empty() {
            causes = subjects.iter().map(|subject| subject.dropped(table, &unable(&reason))).collect();
        }
        dropped.extend(causes);
    }
    Ok(dropped)
}

fn is_generating(table: &TablePlan) -> bool {
    table.columns.iter().any(|column| column.generated.is_some())
}

fn unable(words: &str) -> String {
    format!("PostgreSQL can't compute it: {words}; the column holds SQLite's values")
}

async fn refusal(work: &LoadContext, session: &Session, table: &TablePlan) -> Result<Option<String>> {
    let sql = format!("BEGIN; {}; ROLLBACK", ddl::create_table(&work.plan.schema, table).sql);
    match session.batch("trying the definition", &sql).await {
        Ok(()) => Ok(None),
        Err(error) if session.is_lost() => Err(error),
        Err(error) => {
            session.batch("leaving a failed transaction", "ROLLBACK").await?;
            Ok(Some(error.message().to_owned()))
        }
    }
}

fn generated(schema: &SourceSchema, table: &TablePlan) -> Vec<CheckedObject> {
    let source = schema.tables.iter().find(|source| source.name == table.source);
    source.map(|source| subject::generated(source, table)).unwrap_or_default()
}

/// The generated columns that an error of the data phase may come from: PostgreSQL computes them while it takes
/// rows. None if the error has another reason.
pub(super) fn possible_causes(work: &LoadContext, schema: &SourceSchema, error: &Error) -> Vec<DroppedObject> {
    let translated = work.plan.existing_schema.is_none() && work.scope == LoadScope::All;
    if !translated || !error.is_of_sqlstate_class(&["22", "23", "42", "54"]) {
        return Vec::new();
    }
    let table = work.plan.tables.iter().find(|table| {
        let named = |name: &str| name == table.source || name == table.name;
        is_generating(table) && error.table().is_some_and(named)
    });
    let Some(table) = table else { return Vec::new() };
    let reason = unable(error.message());
    generated(schema, table).iter().map(|subject| subject.dropped(table, &reason)).collect()
}

/// What becomes of an index or check that PostgreSQL refused to make. None for a unique index on nothing but columns,
/// whose refusal would be a mistake of this tool.
pub(super) fn refused(
    work: &LoadContext,
    schema: &SourceSchema,
    statement: &Statement,
    words: &str,
) -> Option<DroppedObject> {
    if work.plan.existing_schema.is_some() {
        return None;
    }
    let table = work.plan.table(&statement.table)?;
    let source = schema.tables.iter().find(|source| source.name == table.source)?;
    let reason = format!("PostgreSQL refuses it: {words}");
    if statement.kind == StatementKind::Check {
        let checks = subject::checks(schema, source, table);
        return checks.iter().find(|check| check.is(&statement.object)).map(|check| check.dropped(table, &reason));
    }
    let planned = table.indexes.iter().find(|index| index.name == statement.object)?;
    let Some(index) = source.indexes.iter().find(|index| index.name == planned.source) else {
        // An index that the source doesn't have guards nothing.
        return (!planned.unique).then(|| subject::added(planned, &statement.sql).dropped(table, &reason));
    };
    let of_columns = index.predicate.is_none()
        && index.columns.iter().all(|column| matches!(column.key, IndexKey::Column(_) | IndexKey::Rowid));
    (!planned.unique || !of_columns).then(|| subject::of_index(planned, index, Vec::new()).dropped(table, &reason))
}

/// Tries everything of the tables that `tried` doesn't name, and names them there.
///
/// # Errors
/// `Local*`, `SourceInvalid`, `Interrupted`.
pub(super) async fn run(
    work: &Arc<LoadContext>,
    schema: &SourceSchema,
    pool: &SessionPool,
    tried: &mut BTreeSet<String>,
) -> Result<Vec<DroppedObject>> {
    if work.plan.existing_schema.is_some() {
        return Ok(Vec::new());
    }
    let to_check: BTreeSet<String> = match work.scope {
        LoadScope::All => work.plan.tables.iter().map(|table| table.name.clone()).collect(),
        // Somebody else's tables keep the form that they have.
        LoadScope::Data | LoadScope::Schema => {
            load_journal::made(pool.first()?).await?.into_iter().map(|made| made.table).collect()
        }
    };
    let mut trials = Vec::new();
    for (index, table) in work.plan.tables.iter().enumerate() {
        let source = schema.tables.iter().find(|source| source.name == table.source);
        let Some(source) = source.filter(|_| table.rows > 0 && to_check.contains(&table.name)) else { continue };
        if tried.insert(table.source.clone()) {
            let (subjects, unknown): (Vec<_>, Vec<_>) =
                subject::subjects(schema, source, table).into_iter().partition(|subject| !subject.probes.is_empty());
            for subject in &unknown {
                work.ctx.out.warn(subject.untried(table));
            }
            if !subjects.is_empty() {
                trials.push((table.bytes, TableChecks { table: index, subjects }));
            }
        }
    }
    trials.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let trials: VecDeque<TableChecks> = trials.into_iter().map(|(_, trial)| trial).collect();
    work.phase(PHASE, trials.len());
    let bytes: u64 = work.plan.tables.iter().map(|table| table.bytes).sum();
    let deadline = Instant::now() + TRIALS_TIMEOUT + Duration::from_secs(bytes / BYTES_PER_SECOND);
    let found = pool
        .spread(work, trials, move |work, session, trial| {
            Box::pin(async move {
                let dropped = Box::pin(one(&work, &session, &trial, deadline)).await?;
                work.stepped(PHASE, 1);
                Ok(dropped)
            })
        })
        .await?;
    let mut found: Vec<DroppedObject> = found.into_iter().flatten().collect();
    found.sort_by(|one, other| (&one.table, &one.object).cmp(&(&other.table, &other.object)));
    Ok(found)
}

/// Tries a table's objects together; one by one if a side can't run them all.
async fn one(
    work: &Arc<LoadContext>,
    session: &Session,
    trial: &TableChecks,
    deadline: Instant,
) -> Result<Vec<DroppedObject>> {
    let table = work.plan.tables.get(trial.table).ok_or_else(|| Error::new(Kind::Bug, "a trial without a table"))?;
    let mut dropped = Vec::new();
    let together =
        pass::run(work, session, table, &trial.subjects, share(deadline, 2)).await.at_table(&table.source)?;
    if let PassOutcome::Compared(differing) = together {
        dropped.extend(disagreeing(table, &trial.subjects, &differing));
        return Ok(dropped);
    }
    for (place, subject) in trial.subjects.iter().enumerate() {
        let alone = std::slice::from_ref(subject);
        let until = share(deadline, trial.subjects.len().saturating_sub(place));
        match pass::run(work, session, table, alone, until).await.at_table(&table.source)? {
            PassOutcome::Compared(differing) => dropped.extend(disagreeing(table, alone, &differing)),
            PassOutcome::OutOfTime => {
                dropped.push(subject.dropped(
                    table,
                    "SQLite takes too long to compute it; one time limit holds for all trials together",
                ));
            }
            PassOutcome::SqliteFailed => dropped.push(subject.dropped(table, "SQLite itself can't compute it here")),
            PassOutcome::TheirsFailed(words) => {
                dropped.push(subject.dropped(table, &format!("PostgreSQL can't compute it: {words}")));
            }
        }
    }
    Ok(dropped)
}

/// The end of one of so many equal parts of the time that is left.
fn share(deadline: Instant, parts: usize) -> Instant {
    let now = Instant::now();
    let parts = u32::try_from(parts.max(1)).unwrap_or(u32::MAX);
    now + deadline.saturating_duration_since(now) / parts
}

fn disagreeing(table: &TablePlan, subjects: &[CheckedObject], differing: &[(usize, String)]) -> Vec<DroppedObject> {
    let one = |(place, reason): &(usize, String)| Some(subjects.get(*place)?.dropped(table, reason));
    differing.iter().filter_map(one).collect()
}

/// Whether something was dropped that shapes the table itself, so that its rows must be loaded again.
pub(super) fn reshapes(dropped: &DroppedObject) -> bool {
    dropped.kind == DroppedObjectKind::Generated
}
