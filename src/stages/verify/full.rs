//! Compares every value of a table at level `full`: the dump against each server, in bounded memory.
//!
//! Where the servers' sums of row hashes are those of the dump (`row_digests`), every value is equal. Else both sides
//! stream their rows into [`BucketSums`]. Only where these differ, a last pass collects the rows of the buckets that
//! differ and names what is wrong; each pass sees one state of the table, whatever is written meanwhile.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::task::JoinHandle;

use super::{
    Difference,
    bucket_hash::{BucketSums, bucket_count},
    canonical_row::RowKey,
    comparison::{NAMED_MAX, SideAnswer, Worker, joined},
    dump_scan::DumpScan,
    printed_text::TextPrinter,
    progress::{ScanControl, ScanMeter, ScanProgress},
    row_diff::{BucketChoice, RowDifference, SuspectRows, UnmatchedRows, row_differences},
    row_digests,
    server_scan::ServerScan,
};
use crate::{
    error::{Result, ResultExt},
    event::Sink,
    model::{
        ColumnPlan, PgType, TableDigest, TablePlan,
        identifier::{qualified, quote_ident},
    },
    postgres::{Role, Session},
};

/// What the scans of one table share.
struct TableComparison {
    dump: DumpScan,
    key: RowKey,
    buckets: usize,
    watch: ScanControl,
    progress: ScanProgress,
}

/// Compares these columns of a table on every side, each with its schema. `known` is the digest that the local PostgreSQL
/// is known to have, if it is.
pub(super) async fn table(
    worker: &mut Worker,
    out: &Arc<dyn Sink>,
    (table, columns): (&TablePlan, &[&ColumnPlan]),
    sides: &[(Role, String)],
    known: Option<TableDigest>,
) -> Result<Vec<SideAnswer>> {
    let mut answers = row_digests::equal_sides(worker, out, (table, columns), sides, known).await?;
    let is_open = |(role, _): &&(Role, String)| answers.iter().all(|answer| answer.role != *role);
    let open: Vec<(Role, String)> = sides.iter().filter(is_open).cloned().collect();
    if !open.is_empty() {
        answers.extend(by_rows(worker, out, table, columns, &open).await?);
        let place = |answer: &SideAnswer| sides.iter().position(|(role, _)| *role == answer.role);
        answers.sort_by_key(place);
    }
    Ok(answers)
}

/// Compares the rows themselves.
async fn by_rows(
    worker: &mut Worker,
    out: &Arc<dyn Sink>,
    table: &TablePlan,
    columns: &[&ColumnPlan],
    sides: &[(Role, String)],
) -> Result<Vec<SideAnswer>> {
    let printer = printer(worker, table, columns, sides).await?;
    let comparison = Arc::new(TableComparison {
        dump: DumpScan::new(table, columns, printer),
        key: key(table, columns),
        buckets: bucket_count(table.rows),
        watch: worker.watch.clone(),
        progress: ScanProgress::new(out, &table.source, sides.len() + 1),
    });
    let mut readers = Vec::new();
    for (number, (role, schema)) in sides.iter().enumerate() {
        let session = worker.session(*role).await?;
        let scan = server_scan(schema, table, columns, false);
        readers.push(tokio::spawn(sum_server(Arc::clone(&comparison), session, scan, number + 1)));
    }
    let dump = worker.dump()?;
    let (dump, expected) = joined(sum_dump(Arc::clone(&comparison), dump)).await.at_table(&table.source)?;
    worker.keep_dump(dump);
    let mut answers = Vec::new();
    for ((role, schema), reader) in sides.iter().zip(readers) {
        let actual = joined(reader).await.at_table(&table.source)?;
        let differing = expected.differing(&actual);
        let mut answer = SideAnswer::equal(*role, actual.rows());
        if !differing.is_empty() {
            let choice = BucketChoice::of(&differing, comparison.buckets, columns.len());
            let scan = server_scan(schema, table, columns, true);
            let (found, overflow) = second_pass(worker, &comparison, scan, &choice, *role).await?;
            answer.differences = name_all(*role, table, columns, found);
            let unseen = u64::try_from(choice.left_out).unwrap_or(u64::MAX) + u64::from(overflow);
            finish(&mut answer, *role, &table.source, unseen);
        }
        answers.push(answer);
    }
    Ok(answers)
}

/// Compares the rows of a view, which `table` describes as if it were a table, on every side. A view's rows have no
/// place, so that a difference is named for all of them.
pub(super) async fn view(
    worker: &mut Worker,
    out: &Arc<dyn Sink>,
    table: &TablePlan,
    columns: &[&ColumnPlan],
    sides: &[(Role, String)],
) -> Result<Vec<Difference>> {
    let printer = printer(worker, table, columns, sides).await?;
    let comparison = Arc::new(TableComparison {
        dump: DumpScan::new(table, columns, printer),
        key: RowKey::Row,
        buckets: bucket_count(table.rows),
        watch: worker.watch.clone(),
        progress: ScanProgress::new(out, &table.source, sides.len() + 1),
    });
    let dump = worker.dump()?;
    let (dump, expected) = joined(sum_dump(Arc::clone(&comparison), dump)).await.at_table(&table.source)?;
    worker.keep_dump(dump);
    let mut differences = Vec::new();
    for (number, (role, schema)) in sides.iter().enumerate() {
        let session = worker.session(*role).await?;
        let scan = server_scan(schema, table, columns, false);
        let actual = sum_server(Arc::clone(&comparison), session, scan, number + 1).await.at_table(&table.source)?;
        let what = match (expected.differing(&actual).is_empty(), actual.rows() == expected.rows()) {
            (true, _) => continue,
            (false, true) => "the view's rows are not those that SQLite gives".to_owned(),
            (false, false) => format!("the view has {} rows, SQLite's has {}", actual.rows(), expected.rows()),
        };
        differences.push(Difference::new(*role, &table.source, what));
    }
    Ok(differences)
}

/// Who prints the texts of columns that PostgreSQL's own input functions read: the first side.
async fn printer(
    worker: &mut Worker,
    table: &TablePlan,
    columns: &[&ColumnPlan],
    sides: &[(Role, String)],
) -> Result<TextPrinter> {
    let Some((role, schema)) = sides.first().filter(|_| columns.iter().any(|column| column.by_text_input())) else {
        return Ok(TextPrinter::default());
    };
    let session = worker.session(*role).await?;
    TextPrinter::of(&session, schema, &table.name, columns).await.at_table(&table.source)
}

/// Adds what could not be named, and counts.
pub(super) fn finish(answer: &mut SideAnswer, role: Role, table: &str, unseen: u64) {
    let nameless = |what: String| Difference::new(role, table, what);
    if unseen > 0 {
        answer.differences.push(nameless(format!("at least {unseen} more rows differ")));
    } else if answer.differences.is_empty() {
        answer.differences.push(nameless("rows differ".to_owned()));
    }
    answer.count = u64::try_from(answer.differences.len()).unwrap_or(u64::MAX).saturating_add(unseen.saturating_sub(1));
    let last = if unseen > 0 { answer.differences.pop() } else { None };
    answer.differences.truncate(NAMED_MAX);
    answer.differences.extend(last);
}

fn sum_dump(comparison: Arc<TableComparison>, dump: Connection) -> JoinHandle<Result<(Connection, BucketSums)>> {
    tokio::task::spawn_blocking(move || {
        let mut sums = BucketSums::new(comparison.buckets);
        let mut meter = ScanMeter::new(&comparison.watch, Some((&comparison.progress, 0)));
        comparison.dump.run(&dump, &mut meter, |image, _| sums.add(image.hash(&comparison.key)))?;
        Ok((dump, sums))
    })
}

async fn sum_server(
    comparison: Arc<TableComparison>,
    session: Arc<Session>,
    scan: ServerScan,
    number: usize,
) -> Result<BucketSums> {
    let mut sums = BucketSums::new(comparison.buckets);
    let mut meter = ScanMeter::new(&comparison.watch, Some((&comparison.progress, number)));
    scan.run(&session, &mut meter, |image, _| sums.add(image.hash(&comparison.key))).await?;
    Ok(sums)
}

/// Names what differs in the chosen buckets; also says whether the memory budget left some rows out.
async fn second_pass(
    worker: &mut Worker,
    comparison: &Arc<TableComparison>,
    scan: ServerScan,
    choice: &BucketChoice,
    role: Role,
) -> Result<(Vec<RowDifference>, bool)> {
    let dump = worker.dump()?;
    let (shared, chosen) = (Arc::clone(comparison), choice.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let mut suspects = SuspectRows::default();
        let mut meter = ScanMeter::new(&shared.watch, None);
        shared.dump.run(&dump, &mut meter, |image, name| suspects.add(&chosen, image, &shared.key, name))?;
        Ok((dump, suspects))
    });
    let mut actual = SuspectRows::default();
    let mut meter = ScanMeter::new(&comparison.watch, None);
    let session = worker.session(role).await?;
    let keep = |image: &mut _, row: &super::server_scan::SentRow<'_>| {
        actual.add(choice, image, &comparison.key, || row.ctid());
    };
    scan.run(&session, &mut meter, keep).await?;
    let (dump, expected) = joined(reader).await?;
    worker.keep_dump(dump);
    Ok((row_differences(&expected, &actual, UnmatchedRows::MayMatch), expected.overflow || actual.overflow))
}

fn name_all(role: Role, table: &TablePlan, columns: &[&ColumnPlan], found: Vec<RowDifference>) -> Vec<Difference> {
    let copies = |copies: u64| if copies == 1 { String::new() } else { format!(" ({copies} equal rows)") };
    let name = |difference: RowDifference| {
        let (column, name, what) = match difference {
            RowDifference::Missing { name, copies: number } => (None, name, format!("row missing{}", copies(number))),
            RowDifference::Added { name, copies: number } => (None, name, format!("row added{}", copies(number))),
            RowDifference::Changed { name, field, what } => {
                (field.and_then(|field| columns.get(field)), name, what.to_owned())
            }
        };
        let column = column.map(|column| column.source.clone());
        Difference { column, key: Some(name.to_string()), ..Difference::new(role, &table.source, what) }
    };
    found.into_iter().map(name).collect()
}

/// The fields that identify rows: of the primary key, else of the first UNIQUE constraint without NULL, among
/// `columns`; else all.
fn key(table: &TablePlan, columns: &[&ColumnPlan]) -> RowKey {
    let is_full = |name: &String| table.column(name).is_some_and(|column| column.not_null);
    let unique = table.uniques.iter().filter(|key| key.columns.iter().all(is_full));
    for key in table.primary_key.iter().chain(unique) {
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        if let Some(fields) = key.columns.iter().map(place).collect::<Option<Vec<usize>>>() {
            return RowKey::Fields(fields);
        }
    }
    RowKey::Row
}

/// A query, because a plain COPY leaves out generated columns and the rows of tables that inherit.
fn server_scan(schema: &str, table: &TablePlan, columns: &[&ColumnPlan], with_ctid: bool) -> ServerScan {
    let from = qualified(schema, &table.name);
    let name = |column: &&ColumnPlan| {
        let cast = if column.by_text_input() { "::text" } else { "" };
        format!("t.{}{cast}", quote_ident(&column.name))
    };
    let names = columns.iter().map(name);
    let list = with_ctid.then(|| "t.ctid".to_owned()).into_iter().chain(names).collect::<Vec<_>>().join(", ");
    let sql = format!("COPY (SELECT {list} FROM {from} AS t) TO STDOUT (FORMAT binary)");
    let sent = |column: &&ColumnPlan| if column.by_text_input() { PgType::Text } else { column.pg_type.clone() };
    ServerScan { sql, types: columns.iter().map(sent).collect(), with_ctid }
}
