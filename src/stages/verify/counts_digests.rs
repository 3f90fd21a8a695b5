//! Compares tables at the levels `counts` and `digest`.
//!
//! A digest is compared with the one that was recorded when the load ended and was proved; only where none is
//! recorded do local PostgreSQL and target have to vouch for each other.

use super::{
    comparison::{SideAnswer, Task, Worker, joined},
    dump_scan, offtype,
};
use crate::{
    error::{Error, Kind, Result, ResultExt},
    model::{ColumnPlan, TablePlan, conversion_plan::OFFTYPE_TABLE, identifier::qualified},
    postgres::{Role, Session, table_digest},
};

/// Compares row counts: the dump's, the plan's, each side's.
pub(super) async fn counts(
    task: &Task,
    worker: &mut Worker,
    table: &TablePlan,
    sides: &[(Role, String)],
) -> Result<Vec<SideAnswer>> {
    let dump = worker.dump()?;
    let shared = table.clone();
    let reader = tokio::task::spawn_blocking(move || dump_scan::count(&dump, &shared).map(|count| (dump, count)));
    let (dump, expected) = joined(reader).await?;
    worker.keep_dump(dump);
    let recorded = task.scope.dump.rows.get(&table.source).copied().unwrap_or(table.rows);
    if expected != table.rows || expected != recorded {
        let words = format!("the dump holds {expected} rows, its checkpoint says {recorded}, the plan {}", table.rows);
        return Err(Error::new(Kind::ArtifactDamaged, words)
            .at_table(&table.source)
            .with_hint("run `turso2neon dump --fresh`"));
    }
    let mut answers = Vec::new();
    for (role, schema) in sides {
        let session = worker.session(*role).await?;
        let rows = count(&session, &qualified(schema, &table.name), "").await?;
        answers.push(counted(*role, &table.source, rows, table.loaded_rows()));
    }
    Ok(answers)
}

/// Compares the off-type table's row counts.
pub(super) async fn offtype_counts(
    task: &Task,
    worker: &mut Worker,
    sides: &[(Role, String)],
) -> Result<Vec<SideAnswer>> {
    let expected = offtype::count(worker, &task.offtype_tables).await?;
    let condition = format!(" WHERE {}", offtype::condition(&task.offtype_tables));
    let mut answers = Vec::new();
    for (role, schema) in sides {
        let session = worker.session(*role).await?;
        let rows = count(&session, &qualified(schema, OFFTYPE_TABLE), &condition).await?;
        answers.push(counted(*role, OFFTYPE_TABLE, rows, expected));
    }
    Ok(answers)
}

fn counted(role: Role, table: &str, rows: u64, expected: u64) -> SideAnswer {
    let mut answer = SideAnswer::equal(role, rows);
    if rows != expected {
        answer.differs(table, format!("count differs: {rows}, expected {expected}"));
    }
    answer
}

async fn count(session: &Session, from: &str, condition: &str) -> Result<u64> {
    let sql = format!("SELECT pg_catalog.count(*) FROM {from}{condition}");
    let count: i64 = session.query_value("counting rows", &sql, &[]).await?;
    u64::try_from(count).map_err(|_| Error::new(Kind::Bug, "a count is negative"))
}

/// Compares server-side digests over these columns.
pub(super) async fn digests(
    task: &Task,
    worker: &mut Worker,
    table: &TablePlan,
    columns: &[&ColumnPlan],
    sides: &[(Role, String)],
) -> Result<Vec<SideAnswer>> {
    let whole = columns.len() == table.compared_columns().len();
    let columns: Vec<ColumnPlan> = columns.iter().map(|column| (*column).clone()).collect();
    let loaded = task.scope.convert.as_ref().and_then(|convert| convert.tables.get(&table.source));
    let mut expected = match loaded.filter(|_| whole) {
        Some(record) => Some(record.server_digest.ok_or_else(|| unknown_digest(table))?),
        None => None,
    };
    let mut answers = Vec::new();
    for (role, schema) in sides {
        let session = worker.session(*role).await?;
        let found = table_digest::of_table(&session, schema, &table.name, &columns).await.at_table(&table.source)?;
        let mut answer = SideAnswer::equal(*role, found.rows);
        match expected {
            None => expected = Some(found),
            Some(expected) if expected == found => {}
            Some(expected) if expected.rows == found.rows => answer.differs(&table.source, "digest differs".to_owned()),
            Some(expected) => {
                answer.differs(&table.source, format!("count differs: {}, expected {}", found.rows, expected.rows));
            }
        }
        answers.push(answer);
    }
    let unrecorded = whole && loaded.is_none() && task.scope.convert.is_some();
    if let Some(answer) = answers.first_mut().filter(|_| unrecorded) {
        answer.differs(&table.source, "no digest was recorded when it was loaded".to_owned());
    }
    Ok(answers)
}

/// The load was recorded with a digest of another version, which says nothing about equality.
fn unknown_digest(table: &TablePlan) -> Error {
    Error::new(
        Kind::ArtifactStale,
        "an earlier version of this tool loaded the table, and its digest can't be compared",
    )
    .at_table(&table.source)
    .with_hint("run `turso2neon convert`, or `turso2neon verify --level full`")
}
