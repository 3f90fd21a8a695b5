//! Tables cut into ranges of pages of the local PostgreSQL, each of which is sent and committed by itself.
//!
//! Invariant: the local tables don't change while they are pushed. The layout digest names everything that the cut
//! depends on, so that chunks of another cut are never mixed.

use std::collections::BTreeSet;

use crate::{
    error::{Error, Kind, Result},
    model::identifier::{qualified, quote_ident},
    postgres::{Session, session::Row},
    stages::push::plan::{
        manifest::{Manifest, TableToPush},
        request::PushPart,
    },
    workdir::sha256_of_bytes,
};

/// About how many bytes of the local table, large values included, one chunk has.
const CHUNK_BYTES: u64 = 48 << 20;

/// One range of pages of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// The table's place in the manifest.
    pub table: usize,
    /// The chunk's number in its table, from 0.
    pub number: i32,
    /// The first page.
    pub first: u64,
    /// The page after the last one; none for the last chunk of a table.
    pub end: Option<u64>,
    /// It is the whole table.
    pub whole: bool,
}

impl Chunk {
    /// The statement that reads it from the local PostgreSQL.
    pub(crate) fn source(&self, schema: &str, to_push: &TableToPush) -> String {
        let table = qualified(schema, &to_push.table.name);
        let mut conditions = Vec::new();
        if self.first > 0 {
            conditions.push(format!("ctid >= '({},0)'::tid", self.first));
        }
        if let Some(end) = self.end {
            conditions.push(format!("ctid < '({end},0)'::tid"));
        }
        let condition =
            if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
        // The rows of tables that inherit are not the table's, those of partitions are.
        let only = if to_push.is_partitioned { "" } else { "ONLY " };
        format!("COPY (SELECT {} FROM {only}{table}{condition}) TO STDOUT (FORMAT binary)", to_push.pushed_columns())
    }

    /// The statement that writes it to the target. A whole table goes in frozen: a reader's older snapshot then sees
    /// its rows right after the cutover.
    pub(crate) fn destination(&self, schema: &str, to_push: &TableToPush) -> String {
        let table = qualified(schema, &to_push.table.name);
        let freeze = if self.whole { ", FREEZE" } else { "" };
        format!("COPY {table} ({}) FROM STDIN (FORMAT binary{freeze})", to_push.pushed_columns())
    }
}

/// What a table takes on the local PostgreSQL.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LocalSize {
    /// Pages of the table itself.
    pub pages: u64,
    /// Bytes with its large values.
    pub bytes: u64,
    /// Bytes with its indexes.
    pub bytes_in_all: u64,
    /// The file that holds it.
    file: i64,
}

/// The sizes of all tables of the manifest, in its order: of what is pushed of them.
///
/// # Errors
/// `LocalRejected` if a table is missing, `LocalUnreachable`.
pub(crate) async fn local_sizes(local: &Session, manifest: &Manifest) -> Result<Vec<LocalSize>> {
    if manifest.part == PushPart::Schema {
        return Ok(vec![LocalSize::default(); manifest.tables.len()]);
    }
    let sql = "SELECT c.relname::text, pg_relation_size(c.oid) / current_setting('block_size')::bigint, \
                 pg_table_size(c.oid), pg_total_relation_size(c.oid), c.relfilenode::bigint \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')";
    let rows = local.query_rows("measuring the local tables", sql, &[&manifest.plan.schema]).await?;
    let mut found = std::collections::BTreeMap::new();
    for row in &rows {
        let (name, size) = size(row)?;
        found.insert(name, size);
    }
    let of = |to_push: &TableToPush| {
        found.get(&to_push.table.name).copied().ok_or_else(|| {
            Error::new(
                Kind::LocalRejected,
                format!("the local PostgreSQL has no table {}", quote_ident(&to_push.table.name)),
            )
            .at_table(&to_push.table.source)
            .with_hint("run `turso2neon convert --fresh`")
        })
    };
    manifest.tables.iter().map(of).collect()
}

fn size(row: &Row<'_>) -> Result<(String, LocalSize)> {
    let size = LocalSize { pages: row.count(1)?, bytes: row.count(2)?, bytes_in_all: row.count(3)?, file: row.get(4)? };
    Ok((row.get(0)?, size))
}

/// The chunks of all tables, those of the largest table first.
pub(crate) fn cut(sizes: &[LocalSize]) -> Vec<Chunk> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(sizes.get(*index).map_or(0, |size| size.bytes)));
    order.into_iter().flat_map(|index| cut_one(index, sizes.get(index).copied().unwrap_or_default())).collect()
}

fn cut_one(table: usize, size: LocalSize) -> Vec<Chunk> {
    // Chunks are counted in pages; where most of the bytes are large values beside the table, a page stands for more.
    let pages = size.pages.saturating_mul(CHUNK_BYTES).checked_div(size.bytes.max(1)).unwrap_or(1).max(1);
    let count = size.pages.div_ceil(pages);
    let chunk = |number: u64| Chunk {
        table,
        number: i32::try_from(number).unwrap_or(i32::MAX),
        first: number * pages,
        end: (number + 1 < count).then_some((number + 1) * pages),
        whole: count == 1,
    };
    (0..count).map(chunk).collect()
}

/// A digest of everything that the cut depends on.
pub(crate) fn layout(manifest: &Manifest, sizes: &[LocalSize]) -> String {
    let load = &manifest.convert;
    let mut text = format!("{:?} {} {} {CHUNK_BYTES}\n", load.local, load.started_s, load.finished_s);
    for (to_push, size) in manifest.tables.iter().zip(sizes) {
        text.push_str(&format!("{} {} {} {}\n", to_push.table.name, size.file, size.pages, size.bytes));
    }
    sha256_of_bytes(text.as_bytes())
}

/// Chunks per table, in the manifest's order.
pub(crate) fn counts(chunks: &[Chunk], tables: usize) -> Vec<u32> {
    let mut counts = vec![0_u32; tables];
    let seen: BTreeSet<(usize, i32)> = chunks.iter().map(|chunk| (chunk.table, chunk.number)).collect();
    for (to_push, _) in seen {
        if let Some(count) = counts.get_mut(to_push) {
            *count += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(pages: u64, bytes: u64) -> LocalSize {
        LocalSize { pages, bytes, bytes_in_all: bytes, file: 1 }
    }

    #[test]
    fn every_page_is_in_exactly_one_chunk() {
        for (pages, bytes) in
            [(1, 8192), (6144, 6144 * 8192), (6145, 6145 * 8192), (100_000, 819_200_000), (10, 1 << 30)]
        {
            let chunks = cut_one(3, size(pages, bytes));
            let mut next = 0;
            for chunk in &chunks {
                assert_eq!(chunk.first, next);
                next = chunk.end.unwrap_or(pages);
                assert!(next > chunk.first);
            }
            assert_eq!(next, pages);
            assert_eq!(chunks.last().unwrap().end, None);
            assert_eq!(chunks.len() == 1, chunks[0].whole);
        }
        assert!(cut_one(0, size(0, 0)).is_empty());
    }

    #[test]
    fn chunks_have_about_their_size() {
        assert_eq!(cut_one(0, size(6144 * 3, 6144 * 3 * 8192)).len(), 3);
        // Two pages that point to 1 GB of large values.
        assert_eq!(cut_one(0, size(2, 1 << 30)).len(), 2);
    }

    #[test]
    fn the_largest_table_comes_first() {
        let chunks = cut(&[size(1, 8192), size(5, 40_960)]);
        assert_eq!(chunks.iter().map(|chunk| chunk.table).collect::<Vec<_>>(), [1, 0]);
    }
}
