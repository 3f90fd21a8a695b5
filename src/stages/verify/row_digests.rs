//! Compares every value of a table by one aggregate on each server: the dump's rows are hashed as the server hashes its
//! own (`server_hash`), and the sums are compared. Nothing is sent but the sums. Where they differ, `full` compares the
//! rows themselves and names what differs.

use std::sync::Arc;

use rusqlite::Connection;

use super::{
    canonical_row::CanonicalRow,
    comparison::{SideAnswer, Worker, joined},
    dump_scan::DumpScan,
    printed_text::TextPrinter,
    progress::{ScanControl, ScanMeter, ScanProgress},
    server_hash::ServerRowHash,
};
use crate::{
    error::{Result, ResultExt as _},
    event::Sink,
    model::{ColumnPlan, TablePlan, table_digest::TableDigest},
    postgres::{Role, table_digest},
};

/// Values of more bytes than this are compared by `full`, which never holds one of them twice.
const VALUE_BYTES: u64 = 16 << 20;

/// The sides whose rows are those of the dump. Nothing is said of the others: they differ, or the hash can't tell. `known` is
/// the digest that the local PostgreSQL is known to have; it is asked for any other.
pub(super) async fn equal_sides(
    worker: &mut Worker,
    out: &Arc<dyn Sink>,
    (table, columns): (&TablePlan, &[&ColumnPlan]),
    sides: &[(Role, String)],
    known: Option<TableDigest>,
) -> Result<Vec<SideAnswer>> {
    let longest = |column: &&ColumnPlan| column.evidence.blob_longest.max(column.evidence.text_longest.1);
    let is_small = columns.iter().all(|column| longest(column) <= VALUE_BYTES);
    let Some(hash) = ServerRowHash::of(columns).filter(|_| is_small) else { return Ok(Vec::new()) };
    let mut asked = Vec::new();
    for (role, schema) in sides {
        if let Some(known) = known.filter(|_| *role == Role::Local) {
            asked.push((*role, tokio::spawn(async move { Ok(known) })));
            continue;
        }
        let session = worker.session(*role).await?;
        let (schema, name) = (schema.clone(), table.name.clone());
        let columns: Vec<ColumnPlan> = columns.iter().map(|column| (*column).clone()).collect();
        let digest = tokio::spawn(async move { table_digest::of_table(&session, &schema, &name, &columns).await });
        asked.push((*role, digest));
    }
    let scan = HashedScan {
        scan: DumpScan::new(table, columns, TextPrinter::default()).with_whole_values(),
        hash,
        watch: worker.watch.clone(),
        progress: ScanProgress::new(out, &table.source, 1),
    };
    let dump = worker.dump()?;
    let (dump, expected) = joined(tokio::task::spawn_blocking(move || scan.run(dump))).await.at_table(&table.source)?;
    worker.keep_dump(dump);
    let mut equal = Vec::new();
    for (role, digest) in asked {
        let found = joined(digest).await.at_table(&table.source)?;
        if expected == Some(found) {
            equal.push(SideAnswer::equal(role, found.rows));
        }
    }
    Ok(equal)
}

/// A reading of the dump that hashes its rows.
struct HashedScan {
    scan: DumpScan,
    hash: ServerRowHash,
    watch: ScanControl,
    progress: ScanProgress,
}

impl HashedScan {
    /// The digest that a server has that holds the rows; none if no server can hold one of them.
    fn run(mut self, dump: Connection) -> Result<(Connection, Option<TableDigest>)> {
        let mut meter = ScanMeter::new(&self.watch, Some((&self.progress, 0)));
        let mut sum = Some(0_i128);
        let rows = self.scan.run(&dump, &mut meter, |image: &mut CanonicalRow, _| {
            let hash = self.hash.hash(image);
            sum = sum.zip(hash).map(|(sum, hash)| sum + i128::from(hash));
        })?;
        Ok((dump, sum.map(|sum| TableDigest::new(rows, sum))))
    }
}
