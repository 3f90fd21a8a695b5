//! Walks the b-tree of a table in the order of rowids (SQLite "Database File Format", section 1.6).

use std::ops::ControlFlow;

use super::{
    PageFile, Record, TableLayout, Unexpected,
    layout::Field,
    record::{self, StoredField},
    u16_at, u32_at, varint,
};

/// Levels of a tree: each page has at least two children, and there are less than 2^32 pages.
const LEVELS_MOST: usize = 40;

const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

/// Where the cell pointers begin on either kind of page.
const INTERIOR_HEADER: usize = 12;
const LEAF_HEADER: usize = 8;

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanEnd {
    /// All rows were handed over, or as many as the caller wanted.
    Complete,
    /// Something is not as expected. All rows up to this rowid were handed over; none without one.
    Unexpected {
        /// The last row.
        last: Option<i64>,
    },
    /// Rows are not in the order of their rowids, so that nobody can go on after the last one.
    OutOfOrder,
}

/// Hands over the rows from a rowid on, in the order of rowids, until `each` breaks off.
///
/// # Errors
/// Those of `each`.
pub fn scan<E>(
    file: &mut PageFile,
    layout: &TableLayout,
    first: i64,
    mut each: impl FnMut(&Record<'_>) -> Result<ControlFlow<()>, E>,
) -> Result<ScanEnd, E> {
    let wanted = layout.fields.iter().filter_map(|field| match field {
        Field::Stored { place, .. } => Some(place + 1),
        Field::Rowid => None,
    });
    let mut walk = TableWalk {
        wanted: wanted.max().unwrap_or(0),
        pages_left: file.pages(),
        longest: usize::try_from(file.pages()).unwrap_or(usize::MAX).saturating_mul(file.usable()),
        file,
        layout,
        first,
        last: None,
        leaf: Vec::new(),
        long: Vec::new(),
        stored: Vec::new(),
    };
    match walk.below(layout.root, 0, &mut each) {
        Ok(ControlFlow::Continue(()) | ControlFlow::Break(())) => Ok(ScanEnd::Complete),
        Err(WalkStop::Unexpected) => Ok(ScanEnd::Unexpected { last: walk.last }),
        Err(WalkStop::OutOfOrder) => Ok(ScanEnd::OutOfOrder),
        Err(WalkStop::Failed(error)) => Err(error),
    }
}

enum WalkStop<E> {
    Unexpected,
    OutOfOrder,
    Failed(E),
}

impl<E> From<Unexpected> for WalkStop<E> {
    fn from(_: Unexpected) -> Self {
        Self::Unexpected
    }
}

struct TableWalk<'a> {
    file: &'a mut PageFile,
    layout: &'a TableLayout,
    /// Fields of a record that have to be measured.
    wanted: usize,
    first: i64,
    last: Option<i64>,
    /// No page belongs to a tree twice.
    pages_left: u32,
    /// No payload has more bytes than the file.
    longest: usize,
    leaf: Vec<u8>,
    /// A payload with overflow pages.
    long: Vec<u8>,
    stored: Vec<StoredField>,
}

impl TableWalk<'_> {
    fn below<E>(
        &mut self,
        number: u32,
        level: usize,
        each: &mut impl FnMut(&Record<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, WalkStop<E>> {
        self.pages_left = self.pages_left.checked_sub(1).ok_or(Unexpected)?;
        if level > LEVELS_MOST {
            return Err(WalkStop::Unexpected);
        }
        let page = self.file.page(number)?;
        // Only the root of an empty table has no cells.
        let is_empty = u16_at(page, 3)? == 0;
        if is_empty && (level > 0 || page.first() == Some(&INTERIOR)) {
            return Err(WalkStop::Unexpected);
        }
        match page.first() {
            Some(&LEAF) => {
                self.leaf.clear();
                self.leaf.extend_from_slice(page);
                let leaf = std::mem::take(&mut self.leaf);
                let end = self.rows(&leaf, each);
                self.leaf = leaf;
                end
            }
            Some(&INTERIOR) => {
                for child in children(page, self.first)? {
                    if self.below(child, level + 1, each)?.is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(ControlFlow::Continue(()))
            }
            _ => Err(WalkStop::Unexpected),
        }
    }

    fn rows<E>(
        &mut self,
        leaf: &[u8],
        each: &mut impl FnMut(&Record<'_>) -> Result<ControlFlow<()>, E>,
    ) -> Result<ControlFlow<()>, WalkStop<E>> {
        for cell in 0..u16_at(leaf, 3)? {
            let cell = leaf.get(u16_at(leaf, LEAF_HEADER + 2 * cell)?..).ok_or(Unexpected)?;
            let (length, rest) = varint(cell)?;
            let (rowid, rest) = varint(rest)?;
            let rowid = rowid.cast_signed();
            if rowid < self.first {
                continue;
            }
            if self.last.is_some_and(|last| rowid <= last) {
                return Err(WalkStop::OutOfOrder);
            }
            let length = usize::try_from(length).ok().filter(|length| *length <= self.longest).ok_or(Unexpected)?;
            let local = local_length(length, self.file.usable());
            let payload = rest.get(..local).ok_or(Unexpected)?;
            let payload = if local < length {
                let overflow = u32_at(rest, local)?;
                self.long.clear();
                self.long.extend_from_slice(payload);
                self.overflow(overflow, length)?;
                &self.long
            } else {
                payload
            };
            record::measure(payload, self.wanted, &mut self.stored)?;
            if self.stored.len() < self.layout.least_fields {
                return Err(WalkStop::Unexpected);
            }
            let record = Record { rowid, payload, stored: &self.stored, fields: &self.layout.fields };
            if each(&record).map_err(WalkStop::Failed)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.last = Some(rowid);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Completes a payload from its overflow pages, each of which begins with the number of the next.
    fn overflow(&mut self, first: u32, length: usize) -> Result<(), Unexpected> {
        let mut next = first;
        while self.long.len() < length {
            let page = self.file.page(next)?;
            next = u32_at(page, 0)?;
            let content = page.get(4..).unwrap_or_default();
            let missing = length - self.long.len();
            self.long.extend_from_slice(content.get(..missing.min(content.len())).unwrap_or_default());
        }
        // The last page of a payload has no next one.
        if next == 0 { Ok(()) } else { Err(Unexpected) }
    }
}

/// The children of an interior page that may hold rowids from `first` on.
fn children(page: &[u8], first: i64) -> Result<Vec<u32>, Unexpected> {
    let cells = u16_at(page, 3)?;
    let mut children = Vec::with_capacity(cells + 1);
    for cell in 0..cells {
        let cell = page.get(u16_at(page, INTERIOR_HEADER + 2 * cell)?..).ok_or(Unexpected)?;
        // The child's rowids are at most the key.
        let (key, _) = varint(cell.get(4..).ok_or(Unexpected)?)?;
        if key.cast_signed() >= first {
            children.push(u32_at(cell, 0)?);
        }
    }
    children.push(u32_at(page, 8)?);
    Ok(children)
}

/// Bytes of a payload that are on the leaf itself.
#[inline]
fn local_length(length: usize, usable: usize) -> usize {
    let most = usable - 35;
    if length <= most {
        return length;
    }
    let least = (usable - 12) * 32 / 255 - 23;
    let wanted = least + (length - least) % (usable - 4);
    if wanted <= most { wanted } else { least }
}
