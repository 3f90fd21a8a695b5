//! Summarises all rows of a table in a few megabytes, whatever its size: rows fall into buckets by their key's hash,
//! and a bucket keeps how many it got and the sum of their hashes. Equal buckets mean equal rows, in any order; a
//! bucket that differs says where to look closer.

use super::canonical_row::RowHash;

/// The most buckets that a table gets; 24 bytes each.
const BUCKETS_MAX: u64 = 1 << 16;

/// The fewest.
const BUCKETS_MIN: u64 = 1 << 6;

/// One table on one side.
#[derive(Debug, Clone)]
pub(super) struct BucketSums {
    buckets: Vec<Bucket>,
    rows: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    rows: u64,
    // Two halves, because a u128 would be aligned to 16 bytes.
    sum: [u64; 2],
}

impl Bucket {
    fn add(&mut self, hash: u128) {
        let [high, low] = self.sum;
        let sum = (u128::from(high) << 64 | u128::from(low)).wrapping_add(hash);
        self.rows += 1;
        self.sum = halves(sum);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves are what is wanted")]
const fn halves(sum: u128) -> [u64; 2] {
    [(sum >> 64) as u64, sum as u64]
}

/// How many buckets a table of about so many rows gets.
pub(super) fn bucket_count(rows: u64) -> usize {
    let count = rows.clamp(BUCKETS_MIN, BUCKETS_MAX).next_power_of_two();
    usize::try_from(count).unwrap_or(64)
}

/// The bucket of a key.
pub(super) fn bucket_of(key: u128, count: usize) -> usize {
    // The count is a power of two.
    let mask = u128::try_from(count.saturating_sub(1)).unwrap_or(0);
    usize::try_from(key & mask).unwrap_or(0)
}

impl BucketSums {
    /// Nothing yet.
    pub(super) fn new(buckets: usize) -> Self {
        Self { buckets: vec![Bucket::default(); buckets], rows: 0 }
    }

    /// Counts a row.
    pub(super) fn add(&mut self, hash: RowHash) {
        let at = bucket_of(hash.key, self.buckets.len());
        if let Some(bucket) = self.buckets.get_mut(at) {
            bucket.add(hash.row);
        }
        self.rows += 1;
    }

    /// Rows counted.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Buckets that differ, each with the rows of both sides in it.
    pub(super) fn differing(&self, other: &Self) -> Vec<(usize, u64)> {
        let pairs = self.buckets.iter().zip(&other.buckets).enumerate();
        pairs.filter(|(_, (one, two))| one != two).map(|(at, (one, two))| (at, one.rows + two.rows)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: u128, row: u128) -> RowHash {
        RowHash { key, row }
    }

    #[test]
    fn order_does_not_matter_and_every_row_does() {
        let sums = |rows: &[(u128, u128)]| {
            let mut sums = BucketSums::new(64);
            for (key, row) in rows {
                sums.add(hash(*key, *row));
            }
            sums
        };
        let one = sums(&[(1, 10), (2, u128::MAX), (65, 30)]);
        assert!(one.differing(&sums(&[(65, 30), (1, 10), (2, u128::MAX)])).is_empty());
        assert_eq!(one.differing(&sums(&[(1, 10), (2, u128::MAX)])), [(1, 3)]);
        assert_eq!(one.differing(&sums(&[(1, 10), (2, 0), (65, 30)])), [(2, 2)]);
    }

    #[test]
    fn buckets_follow_the_rows() {
        assert_eq!((bucket_count(0), bucket_count(100), bucket_count(u64::MAX)), (64, 128, 65_536));
    }
}
