//! Compares the rows that PostgreSQL holds, by digest, with those that were sent: by the server's own digest, or by reading
//! every row back where a column has a type that only the server can hash.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::StreamExt as _;

use super::load_context::{LoadContext, SessionPool};
use crate::{
    error::{Error, Kind, Result, ResultExt as _},
    model::{
        ColumnPlan, TableDigest, TablePlan,
        checkpoint::TableRecord,
        identifier::{qualified, quote_ident},
        offtype::{self, OFFTYPE_TABLE},
    },
    postgres::{
        Session,
        copy::{
            binary_decode::{Malformed, RowCutter},
            row_digest::{self, NotJson, RowDigest, RowHasher},
        },
        load_journal::CommittedChunk,
        table_digest,
    },
};

const PHASE: &str = "digest";

/// Bytes of a table's file beyond which it is read back in parts by several connections.
const PART_BYTES: i64 = 64 << 20;

/// What is known of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TableReadback {
    sent_rows: u64,
    sent: RowDigest,
    read_rows: u64,
    read: RowDigest,
    server: Option<TableDigest>,
}

/// One reading of a table.
#[derive(Debug, Clone)]
enum ReadTask {
    /// Its rows, all of them or those in a range of pages, the last one excluded.
    Rows { subject: Arc<ReadbackTable>, pages: Option<(i64, Option<i64>)> },
    /// Its server-side digest.
    Server { subject: Arc<ReadbackTable> },
}

/// A table to be proved.
#[derive(Debug)]
struct ReadbackTable {
    /// SQLite's name.
    source: String,
    /// PostgreSQL's name.
    name: String,
    /// Loaded columns.
    loaded: Vec<ColumnPlan>,
    /// The columns of the digest by which servers are compared.
    compared: Vec<ColumnPlan>,
    /// Whether that digest is the one of the rows that were sent.
    is_by_server: bool,
}

impl ReadbackTable {
    fn of(table: &TablePlan) -> Self {
        Self {
            source: table.source.clone(),
            name: table.name.clone(),
            loaded: table.loaded_columns().cloned().collect(),
            compared: table.compared_columns().into_iter().cloned().collect(),
            is_by_server: row_digest::is_by_server(table),
        }
    }

    fn offtype() -> Self {
        let (source, name) = (OFFTYPE_TABLE.to_owned(), OFFTYPE_TABLE.to_owned());
        let columns = offtype::plan().columns;
        Self { source, name, loaded: columns.clone(), compared: columns, is_by_server: false }
    }
}

/// Reads everything back and compares it with the committed chunks.
///
/// # Errors
/// `LocalRejected` naming a table whose rows came back otherwise than they were sent; `LocalUnreachable`;
/// `Interrupted`.
pub(super) async fn prove(
    work: &Arc<LoadContext>,
    pool: &SessionPool,
    chunks: &[CommittedChunk],
) -> Result<BTreeMap<String, TableRecord>> {
    let mut subjects: Vec<Arc<ReadbackTable>> =
        work.plan.tables.iter().map(|table| Arc::new(ReadbackTable::of(table))).collect();
    if work.plan.has_offtype_cells() {
        subjects.push(Arc::new(ReadbackTable::offtype()));
    }
    let seen = Arc::new(Mutex::new(sent(chunks)));
    let readings = readings(work, pool, &subjects).await?;
    work.phase(PHASE, readings.len());
    let found = Arc::clone(&seen);
    pool.spread(work, readings, move |work, session, reading| {
        let found = Arc::clone(&found);
        Box::pin(async move {
            read(&work, &session, reading, &found).await?;
            work.stepped(PHASE, 1);
            Ok(())
        })
    })
    .await?;
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    subjects.iter().map(|subject| compare(work, subject, seen.get(&subject.name))).collect()
}

/// What was sent of each table, by PostgreSQL's name.
fn sent(chunks: &[CommittedChunk]) -> BTreeMap<String, TableReadback> {
    let mut seen: BTreeMap<String, TableReadback> = BTreeMap::new();
    for chunk in chunks {
        let table = seen.entry(chunk.table.clone()).or_default();
        table.sent_rows += chunk.rows;
        table.sent.merge(chunk.digest);
        let offtype = seen.entry(OFFTYPE_TABLE.to_owned()).or_default();
        offtype.sent_rows += chunk.offtype_rows;
        offtype.sent.merge(chunk.offtype_digest);
    }
    seen
}

async fn readings(
    work: &LoadContext,
    pool: &SessionPool,
    subjects: &[Arc<ReadbackTable>],
) -> Result<VecDeque<ReadTask>> {
    let sql = "SELECT c.relname, pg_relation_size(c.oid), current_setting('block_size')::bigint FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'r'";
    let rows = pool.first()?.query_rows("asking for sizes", sql, &[&work.plan.schema]).await?;
    let sizes: BTreeMap<String, (i64, i64)> =
        rows.iter().map(|row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).collect::<Result<_>>()?;
    let mut order: Vec<(i64, ReadTask)> = Vec::new();
    for subject in subjects {
        let (bytes, block) = sizes.get(&subject.name).copied().unwrap_or((0, 8192));
        order.push((bytes, ReadTask::Server { subject: Arc::clone(subject) }));
        if subject.is_by_server {
            continue;
        }
        let parts = (bytes / PART_BYTES).max(1);
        let step = (bytes / block.max(1) / parts).max(1);
        for part in 0..parts {
            let end = (part + 1 < parts).then_some((part + 1) * step);
            let pages = (parts > 1).then_some((part * step, end));
            order.push((bytes / parts, ReadTask::Rows { subject: Arc::clone(subject), pages }));
        }
    }
    order.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    Ok(order.into_iter().map(|(_, reading)| reading).collect())
}

async fn read(
    work: &LoadContext,
    session: &Session,
    reading: ReadTask,
    seen: &Mutex<BTreeMap<String, TableReadback>>,
) -> Result<()> {
    let note = |name: &str, change: &dyn Fn(&mut TableReadback)| {
        change(seen.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default());
    };
    match reading {
        ReadTask::Rows { subject, pages } => {
            let (rows, digest) = read_rows(work, session, &subject, pages).await.at_table(&subject.source)?;
            note(&subject.name, &|seen| {
                seen.read_rows += rows;
                seen.read.merge(digest);
            });
        }
        ReadTask::Server { subject } => {
            let digest = table_digest::of_table(session, &work.plan.schema, &subject.name, &subject.compared);
            let digest = digest.await.at_table(&subject.source)?;
            note(&subject.name, &|seen| seen.server = Some(digest));
        }
    }
    Ok(())
}

async fn read_rows(
    work: &LoadContext,
    session: &Session,
    subject: &ReadbackTable,
    pages: Option<(i64, Option<i64>)>,
) -> Result<(u64, RowDigest)> {
    let name = |column: &ColumnPlan| {
        let name = format!("t.{}", quote_ident(&column.name));
        if column.by_text_input() { format!("{name}::text") } else { name }
    };
    let columns = subject.loaded.iter().map(name).collect::<Vec<_>>().join(", ");
    let condition = match pages {
        None => String::new(),
        Some((from, None)) => format!(" WHERE t.ctid >= '({from},0)'::tid"),
        Some((from, Some(end))) => format!(" WHERE t.ctid >= '({from},0)'::tid AND t.ctid < '({end},0)'::tid"),
    };
    let table = qualified(&work.plan.schema, &subject.name);
    read_query(session, &format!("SELECT {columns} FROM {table} AS t{condition}"), &subject.loaded).await
}

/// Reads a query's rows, which are of these columns.
///
/// # Errors
/// `LocalRejected`, `LocalUnreachable`.
pub(super) async fn read_query(session: &Session, sql: &str, columns: &[ColumnPlan]) -> Result<(u64, RowDigest)> {
    let sql = format!("COPY ({sql}) TO STDOUT (FORMAT binary)");
    let doing = "reading rows back";
    let stream = Box::pin(session.client().copy_out(&sql)).await.map_err(|failure| session.error(doing, &failure))?;
    let mut stream = pin!(stream);
    let mut hasher = RowHasher::new(columns.iter());
    let (mut rows, mut digest, mut cutter) = (0_u64, RowDigest::default(), RowCutter::default());
    while let Some(message) = stream.next().await {
        let message = message.map_err(|failure| session.error(doing, &failure))?;
        cutter.feed(&message, |row| {
            digest.add(hasher.hash(row)?);
            rows += 1;
            Ok::<(), MalformedStream>(())
        })?;
    }
    cutter.finish().map_err(MalformedStream::from)?;
    Ok((rows, digest))
}

/// The server's answer isn't what its own format says.
pub(super) struct MalformedStream;

impl From<Malformed> for MalformedStream {
    fn from(_: Malformed) -> Self {
        Self
    }
}

impl From<NotJson> for MalformedStream {
    fn from(_: NotJson) -> Self {
        Self
    }
}

impl From<MalformedStream> for Error {
    fn from(_: MalformedStream) -> Self {
        Self::new(Kind::LocalRejected, "reading rows back: the server's binary COPY is not as its manual says")
    }
}

fn compare(work: &LoadContext, subject: &ReadbackTable, seen: Option<&TableReadback>) -> Result<(String, TableRecord)> {
    let mut seen = seen.cloned().unwrap_or_default();
    if let Some(digest) = seen.server.filter(|_| subject.is_by_server) {
        (seen.read_rows, seen.read) = (digest.rows, digest.into());
    }
    let planned = work.plan.table(&subject.source).map(TablePlan::loaded_rows);
    if planned.is_some_and(|rows| rows != seen.sent_rows) {
        let what = format!("{} rows were loaded, the plan counts {}", seen.sent_rows, planned.unwrap_or(0));
        return Err(Error::new(Kind::ArtifactStale, what)
            .at_table(&subject.source)
            .with_hint("run `turso2neon plan --fresh`, then `turso2neon convert`"));
    }
    if (seen.sent_rows, seen.sent) != (seen.read_rows, seen.read) {
        let what = format!(
            "PostgreSQL gave back other rows than it was sent: {} rows with digest {} instead of {} with {}",
            seen.read_rows, seen.read, seen.sent_rows, seen.sent
        );
        return Err(Error::new(Kind::LocalRejected, what)
            .at_table(&subject.source)
            .with_hint("run `turso2neon convert --fresh`; if it happens twice, report it"));
    }
    let record = TableRecord {
        rows: seen.sent_rows,
        sent_digest: seen.sent.to_string(),
        read_digest: seen.read.to_string(),
        server_digest: seen.server,
    };
    Ok((subject.source.clone(), record))
}
