//! Collects the rows of the buckets that differ, in a short form, and finds how they differ.

use std::collections::HashMap;

use super::{
    bucket_hash::bucket_of,
    canonical_row::{CanonicalRow, FieldMark, FieldShape, Mismatch, RowKey},
};

/// The most bytes that the rows under suspicion on one side may take.
const BUDGET_BYTES: u64 = 8 << 20;

/// Pairs that are weighed when rows are matched by likeness.
const PAIRS_MAX: usize = 250_000;

/// How a row is named without its values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RowName {
    /// The dump's rowid.
    Rowid(i64),
    /// Its position in the dump, from 1.
    Ordinal(u64),
    /// The server's tuple: block and item.
    Ctid(u32, u16),
    /// A row of the off-type table: the table and the column it speaks of, and that table's row where it can be named.
    OffType {
        /// PostgreSQL's name.
        table: String,
        /// PostgreSQL's name.
        column: String,
        /// The row.
        row: Box<RowName>,
    },
}

impl std::fmt::Display for RowName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rowid(rowid) => write!(f, "rowid {rowid}"),
            Self::Ordinal(position) => write!(f, "row {position}"),
            Self::Ctid(block, item) => write!(f, "ctid ({block},{item})"),
            Self::OffType { row, .. } => row.fmt(f),
        }
    }
}

/// Which buckets are looked at again.
#[derive(Debug, Clone)]
pub(super) struct BucketChoice {
    chosen: Vec<bool>,
    /// Buckets that differ but are not looked at, because the memory budget is used up.
    pub(super) left_out: usize,
}

impl BucketChoice {
    /// As many of the differing buckets as the memory budget allows, at least one.
    pub(super) fn of(differing: &[(usize, u64)], buckets: usize, columns: usize) -> Self {
        let row_bytes = u64::try_from(columns * size_of::<FieldMark>() + 160).unwrap_or(u64::MAX);
        let mut chosen = vec![false; buckets];
        let mut left_out = 0;
        let mut budget = BUDGET_BYTES * 2;
        for (index, (bucket, rows)) in differing.iter().enumerate() {
            let needed = rows.saturating_mul(row_bytes);
            if index > 0 && needed > budget {
                left_out += 1;
                continue;
            }
            budget = budget.saturating_sub(needed);
            if let Some(flag) = chosen.get_mut(*bucket) {
                *flag = true;
            }
        }
        Self { chosen, left_out }
    }

    fn holds(&self, key: u128) -> bool {
        self.chosen.get(bucket_of(key, self.chosen.len())).copied().unwrap_or(false)
    }
}

/// The rows of one side that fall into the chosen buckets.
#[derive(Debug, Default)]
pub(super) struct SuspectRows {
    rows: HashMap<u128, SuspectRow>,
    bytes: u64,
    /// Whether the memory budget left some out.
    pub(super) overflow: bool,
}

#[derive(Debug, Clone)]
struct SuspectRow {
    key: u128,
    /// Equal rows.
    copies: u64,
    /// The first of them.
    name: RowName,
    marks: Vec<FieldMark>,
}

impl SuspectRows {
    /// Looks at a row.
    pub(super) fn add(
        &mut self,
        choice: &BucketChoice,
        image: &mut CanonicalRow,
        key: &RowKey,
        name: impl FnOnce() -> RowName,
    ) {
        let hash = image.hash(key);
        if !choice.holds(hash.key) {
            return;
        }
        if let Some(known) = self.rows.get_mut(&hash.row) {
            known.copies += 1;
            return;
        }
        if self.bytes > BUDGET_BYTES * 2 {
            self.overflow = true;
            return;
        }
        let marks = image.marks();
        self.bytes += u64::try_from(marks.len() * size_of::<FieldMark>() + 160).unwrap_or(u64::MAX);
        self.rows.insert(hash.row, SuspectRow { key: hash.key, copies: 1, name: name(), marks });
    }

    /// Rows that the other side hasn't, in the order of their names.
    fn without(&self, other: &Self) -> Vec<SuspectRow> {
        let missing = |(hash, row): (&u128, &SuspectRow)| {
            let there = other.rows.get(hash).map_or(0, |row| row.copies);
            let copies = row.copies.checked_sub(there).filter(|copies| *copies > 0)?;
            Some(SuspectRow { copies, ..row.clone() })
        };
        let mut rows: Vec<SuspectRow> = self.rows.iter().filter_map(missing).collect();
        rows.sort_by(|one, two| one.name.cmp(&two.name));
        rows
    }
}

/// One thing that is wrong with the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowDifference {
    /// The server lacks a row of the dump.
    Missing {
        /// The first of equal rows.
        name: RowName,
        /// How many equal rows.
        copies: u64,
    },
    /// The server has a row that the dump hasn't.
    Added {
        /// The first of equal rows.
        name: RowName,
        /// How many equal rows.
        copies: u64,
    },
    /// A row differs in a column.
    Changed {
        /// Which row.
        name: RowName,
        /// Which field, counted from 0; none if only the row's hash shows it.
        field: Option<usize>,
        /// How it differs.
        what: &'static str,
    },
}

/// Whether rows of different keys may be two versions of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnmatchedRows {
    /// If most of their fields are equal: the key itself may have been changed, or there is none.
    MayMatch,
    /// Never.
    Differ,
}

/// The difference between the dump's suspects and the server's.
pub(super) fn row_differences(
    expected: &SuspectRows,
    actual: &SuspectRows,
    unmatched: UnmatchedRows,
) -> Vec<RowDifference> {
    let mut found = Vec::new();
    let mut missing = expected.without(actual);
    let mut added = actual.without(expected);
    match_rows(&mut missing, &mut added, &mut found, MatchBy::Key);
    if unmatched == UnmatchedRows::MayMatch && missing.len().saturating_mul(added.len()) <= PAIRS_MAX {
        match_rows(&mut missing, &mut added, &mut found, MatchBy::Likeness);
    }
    found.extend(missing.into_iter().map(|row| RowDifference::Missing { name: row.name, copies: row.copies }));
    found.extend(added.into_iter().map(|row| RowDifference::Added { name: row.name, copies: row.copies }));
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MatchBy {
    Key,
    Likeness,
}

/// Moves each row of `missing` that has a partner in `added`, with the partner, to `found`.
fn match_rows(missing: &mut Vec<SuspectRow>, added: &mut Vec<SuspectRow>, found: &mut Vec<RowDifference>, by: MatchBy) {
    let mut of_key: HashMap<u128, Vec<usize>> = HashMap::new();
    added.iter().enumerate().for_each(|(at, row)| of_key.entry(row.key).or_default().push(at));
    let mut taken = vec![false; added.len()];
    missing.retain(|row| {
        let candidates = match by {
            MatchBy::Key => of_key.get(&row.key).cloned().unwrap_or_default(),
            MatchBy::Likeness => (0..taken.len()).collect(),
        };
        let free = candidates.into_iter().filter(|at| taken.get(*at) == Some(&false));
        let weighed = free.filter_map(|at| {
            let other = added.get(at).filter(|other| other.copies == row.copies)?;
            let weight = if by == MatchBy::Key { 0 } else { likeness(row, other)? };
            Some((weight, at, other))
        });
        let Some((_, at, other)) = weighed.max_by_key(|(weight, at, _)| (*weight, usize::MAX - at)) else {
            return true;
        };
        if let Some(flag) = taken.get_mut(at) {
            *flag = true;
        }
        compare(row, other, found);
        false
    });
    let mut flags = taken.into_iter();
    added.retain(|_| flags.next() == Some(false));
}

/// How many values two rows share, if it is at least half of their fields.
fn likeness(one: &SuspectRow, two: &SuspectRow) -> Option<usize> {
    let pairs = one.marks.iter().zip(&two.marks);
    let equal = pairs.clone().filter(|(left, right)| left == right).count();
    let values = pairs.filter(|(left, right)| left == right && left.shape != FieldShape::Null).count();
    (values > 0 && equal * 2 >= one.marks.len()).then_some(equal + values)
}

fn compare(expected: &SuspectRow, actual: &SuspectRow, found: &mut Vec<RowDifference>) {
    let before = found.len();
    for (field, (left, right)) in expected.marks.iter().zip(&actual.marks).enumerate() {
        if left != right {
            let what = describe(*left, *right);
            found.push(RowDifference::Changed { name: expected.name.clone(), field: Some(field), what });
        }
    }
    if found.len() == before {
        found.push(RowDifference::Changed { name: expected.name.clone(), field: None, what: "value differs" });
    }
}

fn describe(expected: FieldMark, actual: FieldMark) -> &'static str {
    match (expected.shape, actual.shape) {
        (FieldShape::Mismatch(Mismatch::Class), _) => {
            "the dump's storage class is not one that the planned conversion reads"
        }
        (FieldShape::Mismatch(Mismatch::Form), _) => {
            "the dump's value hasn't the form that the planned conversion reads"
        }
        (FieldShape::Mismatch(_), _) => "the planned type can't hold the dump's value exactly",
        (_, FieldShape::Mismatch(_)) => "value differs: it is outside of what the planned type takes from SQLite",
        (FieldShape::Null, FieldShape::Empty) => "value differs: empty, expected NULL",
        (FieldShape::Null, _) => "value differs: not NULL, expected NULL",
        (FieldShape::Empty, FieldShape::Null) => "value differs: NULL, expected empty",
        (_, FieldShape::Null) => "value differs: NULL, expected a value",
        (FieldShape::Number { scale: one }, FieldShape::Number { scale: two })
            if one != two && expected.hash == actual.hash =>
        {
            "value differs: the same number with another count of digits after the point"
        }
        _ => "value differs",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(usize, u64); 1] = [(0, 10)];

    fn suspects(rows: &[(i64, &[Option<&[u8]>])], key: &RowKey) -> SuspectRows {
        let choice = BucketChoice { chosen: vec![true; 64], left_out: 0 };
        let mut suspects = SuspectRows::default();
        for (rowid, fields) in rows {
            let mut image = CanonicalRow::default();
            for field in *fields {
                match field {
                    Some(value) => image.value(value),
                    None => image.null(),
                }
            }
            suspects.add(&choice, &mut image, key, || RowName::Rowid(*rowid));
        }
        suspects
    }

    fn changed(rowid: i64, field: usize, what: &'static str) -> RowDifference {
        RowDifference::Changed { name: RowName::Rowid(rowid), field: Some(field), what }
    }

    #[test]
    fn rows_of_one_key_are_compared_by_field() {
        let key = RowKey::Fields(vec![0]);
        let expected = suspects(&[(1, &[Some(b"k"), Some(b""), None]), (2, &[Some(b"l"), None, None])], &key);
        let actual = suspects(&[(8, &[Some(b"k"), None, Some(b"")]), (9, &[Some(b"l"), None, None])], &key);
        assert_eq!(
            row_differences(&expected, &actual, UnmatchedRows::Differ),
            [
                changed(1, 1, "value differs: NULL, expected empty"),
                changed(1, 2, "value differs: empty, expected NULL"),
            ]
        );
    }

    #[test]
    fn a_changed_row_without_key_is_found_by_its_likeness() {
        let expected = suspects(&[(1, &[Some(b"a"), Some(b"b")]), (2, &[Some(b"c"), Some(b"d")])], &RowKey::Row);
        let actual = suspects(&[(7, &[Some(b"c"), Some(b"x")]), (8, &[Some(b"y"), Some(b"z")])], &RowKey::Row);
        assert_eq!(
            row_differences(&expected, &actual, UnmatchedRows::MayMatch),
            [
                changed(2, 1, "value differs"),
                RowDifference::Missing { name: RowName::Rowid(1), copies: 1 },
                RowDifference::Added { name: RowName::Rowid(8), copies: 1 },
            ]
        );
    }

    #[test]
    fn equal_rows_are_counted() {
        let expected = suspects(&[(1, &[Some(b"a")]), (2, &[Some(b"a")]), (3, &[Some(b"a")])], &RowKey::Row);
        let actual = suspects(&[(1, &[Some(b"a")])], &RowKey::Row);
        let missing = RowDifference::Missing { name: RowName::Rowid(1), copies: 2 };
        assert_eq!(row_differences(&expected, &actual, UnmatchedRows::MayMatch), [missing]);
        assert!(row_differences(&expected, &expected, UnmatchedRows::MayMatch).is_empty());
    }

    #[test]
    fn one_bucket_is_always_chosen() {
        let choice = BucketChoice::of(&[(0, u64::MAX), (1, 10)], 64, 3);
        assert_eq!((choice.chosen[0], choice.chosen[1], choice.left_out), (true, false, 1));
        assert_eq!(BucketChoice::of(&ALL, 64, 3).left_out, 0);
    }
}
