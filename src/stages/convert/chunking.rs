//! Divides the rows into the chunks that are loaded. The ranges of a table are the same for the same dump and plan, and a
//! table that was begun in ranges is continued in them, so that an interrupted load finds its chunks again.
//!
//! A table is created and loaded in one transaction, several small ones together. This saves the log (PostgreSQL
//! "Populating a Database", `wal_level`), a fifth of the server's work. A table is loaded in rowid ranges, by several
//! connections and with a commit each, if otherwise it alone would be loaded at the end while processors are idle, or if
//! an interruption would cost too much. Its CREATE TABLE comes first, so its rows are written to the log too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    error::Result,
    model::{Plan, TablePlan},
    postgres::load_journal::{CommittedChunk, LoadScope},
};

/// Estimated bytes up to which a table is never split.
const SPLIT_BYTES: u64 = 64 << 20;

/// Estimated bytes beyond which a table is always split: what an interruption may cost.
const TRANSACTION_BYTES: u64 = 1 << 30;

/// Processors that the load of one table keeps busy: its reader and its backend.
const PROCESSORS_PER_TABLE: u64 = 2;

/// Estimated bytes of one range.
const RANGE_BYTES: u64 = 64 << 20;

/// Estimated bytes and count of tables that are loaded in one transaction.
const GROUP_BYTES: u64 = 4 << 20;
const GROUP_TABLES: usize = 64;

/// A chunk: a table or a range of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChunkRange {
    /// Index into the plan's tables.
    pub(super) table: usize,
    /// Which chunk of the table, from 0.
    pub(super) number: u32,
    /// First and last rowid; none for a whole table.
    pub(super) bounds: Option<(i64, i64)>,
}

/// What is loaded in one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct LoadJob {
    /// Its chunks.
    pub(super) parts: Vec<ChunkRange>,
    /// Whether the tables are created in the same transaction.
    pub(super) creates: bool,
}

/// What an interrupted load left, and what this one has.
#[derive(Debug, Default)]
pub(super) struct BegunLoad {
    /// Committed chunks, by table and number.
    pub(super) committed: BTreeMap<(String, u32), CommittedChunk>,
    /// Tables that were created before their rows, to be loaded in ranges.
    pub(super) in_ranges: BTreeSet<String>,
    /// Connections that load at once.
    pub(super) connections: u64,
}

impl BegunLoad {
    /// Whether the committed chunks of a table are ranges; none if it has no committed chunk.
    fn was_split(&self, table: &str) -> Option<bool> {
        let mut chunks = self.committed.iter().filter(|((name, _), _)| name == table);
        chunks.next().map(|(_, chunk)| chunk.bounds.is_some())
    }
}

/// All the work of the data phase.
#[derive(Debug, Default)]
pub(super) struct ChunkLayout {
    /// Tables that are created beforehand, because several connections load them.
    pub(super) created_first: Vec<usize>,
    /// Transactions, the largest tables first.
    pub(super) jobs: VecDeque<LoadJob>,
    /// Chunks per table, by index into the plan's tables; committed ones too.
    pub(super) chunks: Vec<u32>,
}

impl ChunkLayout {
    /// Lays out what isn't committed yet. `rowids` gives the least and greatest rowid of a table.
    ///
    /// # Errors
    /// Those of `rowids`.
    pub(super) fn new(
        plan: &Plan,
        scope: LoadScope,
        begun: &BegunLoad,
        rowids: impl Fn(&TablePlan) -> Result<Option<(i64, i64)>>,
    ) -> Result<Self> {
        let mut layout = Self { chunks: vec![1; plan.tables.len()], ..Self::default() };
        let mut order: Vec<(usize, &TablePlan)> = plan.tables.iter().enumerate().collect();
        order.sort_by_key(|(_, table)| std::cmp::Reverse(table.bytes));
        // The tables of an existing schema are created with its other objects.
        let creates = scope == LoadScope::All && plan.existing_schema.is_none();
        let mut group = LoadJob { creates, ..LoadJob::default() };
        let mut group_bytes = 0;
        let tables_at_once = (begun.connections / PROCESSORS_PER_TABLE).max(1);
        let share = plan.tables.iter().map(|table| table.bytes).sum::<u64>() / tables_at_once;
        // With fewer than four connections one table is loaded at a time, so that no processor is idle.
        let is_alone = |table: &TablePlan| tables_at_once > 1 && table.bytes > share;
        let is_large = |table: &TablePlan| {
            table.bytes > TRANSACTION_BYTES || is_alone(table) || begun.in_ranges.contains(&table.name)
        };
        // What is committed decides, whatever the number of connections is now.
        let is_split = |table: &TablePlan| begun.was_split(&table.name).unwrap_or_else(|| is_large(table));
        let committed = &begun.committed;
        for (index, table) in order {
            let is_possible = table.bytes > SPLIT_BYTES && table.address.rowid_name().is_some();
            let ranges = if is_possible && is_split(table) {
                rowids(table)?.map(|(low, high)| split(low, high, table))
            } else {
                None
            };
            if let Some(ranges) = ranges {
                if creates {
                    layout.created_first.push(index);
                }
                layout.add_ranges(index, table, &ranges, committed);
                continue;
            }
            if committed.contains_key(&(table.name.clone(), 0)) {
                continue;
            }
            let part = ChunkRange { table: index, number: 0, bounds: None };
            if table.bytes > GROUP_BYTES {
                layout.jobs.push_back(LoadJob { parts: vec![part], creates });
                continue;
            }
            if group.parts.len() >= GROUP_TABLES || group_bytes + table.bytes > GROUP_BYTES {
                layout.jobs.push_back(std::mem::replace(&mut group, LoadJob { creates, ..LoadJob::default() }));
                group_bytes = 0;
            }
            group_bytes += table.bytes;
            group.parts.push(part);
        }
        layout.jobs.push_back(group);
        layout.jobs.retain(|job| !job.parts.is_empty());
        Ok(layout)
    }

    fn add_ranges(
        &mut self,
        index: usize,
        table: &TablePlan,
        ranges: &[(i64, i64)],
        committed: &BTreeMap<(String, u32), CommittedChunk>,
    ) {
        for (number, bounds) in (0_u32..).zip(ranges) {
            if !committed.contains_key(&(table.name.clone(), number)) {
                let part = ChunkRange { table: index, number, bounds: Some(*bounds) };
                self.jobs.push_back(LoadJob { parts: vec![part], creates: false });
            }
        }
        if let Some(chunks) = self.chunks.get_mut(index) {
            *chunks = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
        }
    }
}

/// Ranges of equal width that cover all rowids from `low` to `high`.
fn split(low: i64, high: i64, table: &TablePlan) -> Vec<(i64, i64)> {
    let span = i128::from(high) - i128::from(low) + 1;
    let wanted = table.bytes.div_ceil(RANGE_BYTES).min(table.rows).clamp(1, 1 << 20);
    let count = i128::from(wanted).min(span).max(1);
    let edge = |number: i128| i128::from(low) + span * number / count;
    let bound = |value: i128| i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX });
    (0..count).map(|number| (bound(edge(number)), bound(edge(number + 1) - 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::conversion_plan::RowAddress;

    fn table(name: &str, rows: u64, bytes: u64, address: RowAddress) -> TablePlan {
        TablePlan { rows, bytes, ..TablePlan::new(name, name, address) }
    }

    fn plan(tables: Vec<TablePlan>) -> Plan {
        Plan {
            format: 1,
            tool: String::new(),
            dump_sha256: String::new(),
            overrides_sha256: String::new(),
            consents: std::collections::BTreeMap::new(),
            existing_schema: None,
            weakened: Vec::new(),
            sequences: Vec::new(),
            hooks: crate::model::overrides::UserSql::default(),
            schema: "public".to_owned(),
            extensions: Vec::new(),
            tables,
            views: Vec::new(),
            triggers: Vec::new(),
            objects: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn rowid() -> RowAddress {
        RowAddress::Rowid("rowid".to_owned())
    }

    #[test]
    fn ranges_cover_every_rowid_once() {
        for (low, high, bytes) in [
            (1, 10, 640 << 20),
            (i64::MIN, i64::MAX, 1 << 40),
            (-5, 1, 200 << 20),
            (7, 7, 1 << 40),
            (i64::MAX - 3, i64::MAX, 1 << 30),
        ] {
            let ranges = split(low, high, &table("t", 1 << 40, bytes, rowid()));
            assert_eq!(ranges.first().unwrap().0, low);
            assert_eq!(ranges.last().unwrap().1, high);
            assert!(ranges.iter().all(|(first, last)| first <= last));
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
        }
    }

    #[test]
    fn committed_chunks_are_left_out() {
        let plan = plan(vec![
            table("small", 1, 10, rowid()),
            table("large", 1_000_000, 200 << 20, rowid()),
            table("keyed", 1_000_000, 200 << 20, RowAddress::PrimaryKey),
            table("tiny", 0, 0, rowid()),
        ]);
        let rowids = |_: &TablePlan| Ok(Some((1, 1_000_000)));
        let fresh = |connections| BegunLoad { connections, ..BegunLoad::default() };
        // On two processors one table keeps both busy; on six, a table of more than a third would be the last.
        let together = ChunkLayout::new(&plan, LoadScope::All, &fresh(2), rowids).unwrap();
        assert_eq!((together.chunks, together.created_first), (vec![1; 4], Vec::new()));
        let whole = ChunkLayout::new(&plan, LoadScope::All, &fresh(6), rowids).unwrap();
        assert_eq!(whole.chunks, [1, 4, 1, 1]);
        assert_eq!(whole.created_first, [1]);
        assert_eq!(whole.jobs.len(), 4 + 1 + 1);
        assert_eq!(whole.jobs.back().unwrap().parts.len(), 2);
        let committed = [("large", 2), ("small", 0)].map(|(table, number)| {
            let chunk = CommittedChunk {
                table: table.to_owned(),
                number,
                bounds: (table == "large").then_some((1, 2)),
                rows: 0,
                bytes: 0,
                digest: crate::postgres::copy::row_digest::RowDigest::default(),
                offtype_rows: 0,
                offtype_digest: crate::postgres::copy::row_digest::RowDigest::default(),
            };
            ((table.to_owned(), number), chunk)
        });
        let in_ranges = BTreeSet::from(["large".to_owned()]);
        let begun = BegunLoad { committed: committed.into_iter().collect(), in_ranges, connections: 2 };
        let rest = ChunkLayout::new(&plan, LoadScope::All, &begun, rowids).unwrap();
        let numbers: Vec<_> =
            rest.jobs.iter().flat_map(|job| job.parts.iter().map(|part| (part.table, part.number))).collect();
        assert_eq!(numbers, [(1, 0), (1, 1), (1, 3), (2, 0), (3, 0)]);
        // A table that was loaded whole is not loaded again in ranges by more connections.
        let mut begun = begun;
        begun.in_ranges.clear();
        begun.connections = 6;
        let chunk = begun.committed.remove(&("large".to_owned(), 2)).unwrap();
        begun.committed.insert(("large".to_owned(), 0), CommittedChunk { number: 0, bounds: None, ..chunk });
        let rest = ChunkLayout::new(&plan, LoadScope::All, &begun, rowids).unwrap();
        let tables: Vec<usize> = rest.jobs.iter().flat_map(|job| job.parts.iter().map(|part| part.table)).collect();
        assert_eq!(tables, [2, 3]);
    }
}
