//! Runs the jobs of a verification, one per table and one for the off-type table, with a few workers at once.

use std::sync::Arc;

use super::{
    Difference, TableVerdict, VerifyLevel,
    comparison::{NAMED_MAX, ServerSide, SideAnswer, Task, Worker, joined},
    counts_digests, full, offtype,
    progress::ScanMeter,
    rejects,
    schema::SchemaAnswer,
};
use crate::{
    error::Result,
    event::Event,
    model::{ColumnPlan, Conversion, Stage, TablePlan, conversion_plan::OFFTYPE_TABLE},
    postgres::Role,
    worker_pool,
};

/// Tables that are compared at once: enough to hide the distance to the target, few enough for its connections.
const WORKERS: usize = 4;

/// One job: a table of the scope by position, or the off-type table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum VerifyJob {
    Table(usize),
    OffTypeTable,
}

/// Does all jobs; the answers come in the order of the tables, the off-type table last.
pub(super) async fn all(task: &Arc<Task>) -> Result<Vec<(String, SideAnswer)>> {
    let mut jobs: Vec<VerifyJob> = (0..task.scope.tables.len()).map(VerifyJob::Table).collect();
    // The largest first, so that none of them is left to one worker at the end.
    jobs.sort_by_key(|job| std::cmp::Reverse(size(task, *job)));
    if !task.offtype_tables.is_empty() {
        jobs.insert(0, VerifyJob::OffTypeTable);
    }
    let workers = (0..WORKERS).map(|_| Worker::new(task)).collect();
    let shared = Arc::clone(task);
    let mut answers = worker_pool::on_tasks(&task.ctx, workers, jobs, move |worker, job| {
        let task = Arc::clone(&shared);
        Box::pin(async move {
            task.watch.check()?;
            Ok((job, carry_out(&task, worker, job).await?))
        })
    })
    .await?;
    answers.sort_by_key(|(job, _)| *job);
    let name = |job: VerifyJob| match job {
        VerifyJob::Table(at) => task.scope.tables.get(at).map(|table| table.source.clone()).unwrap_or_default(),
        VerifyJob::OffTypeTable => OFFTYPE_TABLE.to_owned(),
    };
    Ok(answers
        .into_iter()
        .flat_map(|(job, of_job)| of_job.into_iter().map(move |one| (job, one)))
        .map(|(job, one)| (name(job), one))
        .collect())
}

fn size(task: &Task, job: VerifyJob) -> u64 {
    match job {
        VerifyJob::Table(at) => task.scope.tables.get(at).map_or(0, |table| table.bytes.max(table.rows)),
        VerifyJob::OffTypeTable => u64::MAX,
    }
}

async fn carry_out(task: &Task, worker: &mut Worker, job: VerifyJob) -> Result<Vec<SideAnswer>> {
    match job {
        VerifyJob::OffTypeTable => offtype_job(task, worker).await,
        VerifyJob::Table(at) => match task.scope.tables.get(at) {
            Some(table) => table_job(task, worker, table).await,
            None => Ok(Vec::new()),
        },
    }
}

async fn table_job(task: &Task, worker: &mut Worker, table: &TablePlan) -> Result<Vec<SideAnswer>> {
    let started = std::time::Instant::now();
    let name = table.source.clone();
    let stage = Stage::Verify;
    task.ctx.out.emit(&Event::TableStarted { stage, table: name.clone(), rows_total: Some(table.rows) });
    let (present, columns) = common_columns(task, table);
    let mut answers = match task.level {
        VerifyLevel::Counts => counts_digests::counts(task, worker, table, &present).await?,
        VerifyLevel::Digest => {
            let compared: Vec<&str> = table.compared_columns().iter().map(|column| column.name.as_str()).collect();
            let columns: Vec<&ColumnPlan> =
                columns.into_iter().filter(|column| compared.contains(&column.name.as_str())).collect();
            counts_digests::digests(task, worker, table, &columns, &present).await?
        }
        VerifyLevel::Full => {
            // What an existing schema computes is compared with its expression, not with the source.
            let is_existing = task.scope.plan.existing_schema.is_some();
            let is_compared =
                |column: &&ColumnPlan| is_of_source(column) && !(is_existing && column.generated.is_some());
            let columns: Vec<&ColumnPlan> = columns.into_iter().filter(is_compared).collect();
            if columns.is_empty() {
                counts_digests::counts(task, worker, table, &present).await?
            } else {
                {
                    let known = task.local_digest(table, &columns);
                    full::table(worker, &task.ctx.out, (table, &columns), &present, known).await?
                }
            }
        }
    };
    if table.rejected > 0 && task.level == VerifyLevel::Full {
        let wrong = rejected_rows(task, worker, table).await?;
        if let (Some(answer), Some(wrong)) = (answers.first_mut(), wrong) {
            answer.differs(&name, wrong);
        }
    }
    let rows = answers.iter().map(|answer| answer.rows).max().unwrap_or(0);
    let elapsed_ms = milliseconds(started);
    task.ctx.out.emit(&Event::TableFinished { stage, table: name, rows, elapsed_ms });
    Ok(answers)
}

/// What is wrong with the file of rejected rows, if anything is.
async fn rejected_rows(task: &Task, worker: &mut Worker, table: &TablePlan) -> Result<Option<String>> {
    let dump = worker.dump()?;
    let (shared, watch, path) = (table.clone(), task.watch.clone(), task.ctx.workdir.rejects());
    let reader = tokio::task::spawn_blocking(move || {
        let expected = rejects::of_dump(&dump, &shared, &mut ScanMeter::new(&watch, None))?;
        let found = rejects::of_file(&path)?.get(&shared.source).copied().unwrap_or_default();
        Ok((dump, rejects::difference(expected, found)))
    });
    let (dump, wrong) = joined(reader).await?;
    worker.keep_dump(dump);
    Ok(wrong)
}

async fn offtype_job(task: &Task, worker: &mut Worker) -> Result<Vec<SideAnswer>> {
    let plan = crate::model::offtype::plan();
    let (present, columns) = common_columns(task, &plan);
    if columns.len() < plan.columns.len() {
        return Ok(Vec::new());
    }
    match task.level {
        VerifyLevel::Counts => counts_digests::offtype_counts(task, worker, &present).await,
        VerifyLevel::Digest | VerifyLevel::Full => offtype::compare(worker, &task.offtype_tables, &present).await,
    }
}

/// Whether the dump has the column.
fn is_of_source(column: &ColumnPlan) -> bool {
    column.conversion != Conversion::Absent
}

/// The sides that have the table, and the columns that all of those have in the planned type.
fn common_columns<'a>(task: &Task, table: &'a TablePlan) -> (Vec<(Role, String)>, Vec<&'a ColumnPlan>) {
    let answers = task.sides.iter().filter_map(|side| Some((side, side.schemas.get(&table.source)?)));
    let present: Vec<(&ServerSide, &SchemaAnswer)> = answers.filter(|(_, answer)| answer.present).collect();
    let usable = |column: &&ColumnPlan| present.iter().all(|(_, answer)| !answer.unusable.contains(&column.name));
    let columns = table.columns.iter().filter(usable).collect();
    (present.iter().map(|(side, _)| (side.endpoint.role(), side.schema.clone())).collect(), columns)
}

/// Time since `started`.
pub(super) fn milliseconds(started: std::time::Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Puts the answers about schemas and rows together: verdicts by table and side, and the differences in that order.
pub(super) fn verdicts(task: &Task, answers: &[(String, SideAnswer)]) -> (Vec<TableVerdict>, Vec<Difference>, u64) {
    let mut tables: Vec<String> = task.scope.tables.iter().map(|table| table.source.clone()).collect();
    if !task.offtype_tables.is_empty() {
        tables.push(OFFTYPE_TABLE.to_owned());
    }
    let (mut verdicts, mut differences, mut count) = (Vec::new(), Vec::new(), 0);
    for table in tables {
        for side in &task.sides {
            let role = side.endpoint.role();
            let of_schema = side.schemas.get(&table).map(|answer| answer.differences.clone()).unwrap_or_default();
            let of_rows = answers.iter().find(|(name, answer)| *name == table && answer.role == role);
            let found = u64::try_from(of_schema.len()).unwrap_or(u64::MAX) + of_rows.map_or(0, |(_, rows)| rows.count);
            differences.extend(of_schema);
            differences.extend(of_rows.iter().flat_map(|(_, rows)| rows.differences.clone()));
            count += found;
            verdicts.push(TableVerdict {
                side: role.word().to_owned(),
                table: table.clone(),
                rows: of_rows.map_or(0, |(_, rows)| rows.rows),
                equal: found == 0,
            });
        }
    }
    differences.truncate(NAMED_MAX);
    (verdicts, differences, count)
}
