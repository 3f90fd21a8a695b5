//! Builds the canonical image of a row: the bytes of what PostgreSQL must hold, in a form to which a row of the dump
//! and a row of a server can both be brought. Equal images mean equal rows.
//!
//! A field is a tag and, unless it is NULL, its length and bytes. Long values stand in by their length and hash, so
//! that an image stays small whatever a row holds, unless the image is to hold them whole.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Values longer than this many bytes stand in by their hash.
const LONG_BYTES: usize = 1024;

const NULL: u8 = 0;
const PLAIN: u8 = 1;
const HASHED: u8 = 2;
const NUMBER: u8 = 3;
const MISMATCH: u8 = 4;

/// Why a value has no image that the other end could equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// The dump's storage class is not one that the conversion names.
    Class,
    /// The dump's value hasn't the form that the conversion reads.
    Form,
    /// The planned type can't hold the dump's value exactly.
    Loss,
    /// The server's bytes are not a value of the planned type that the tool could have sent.
    Unreadable,
}

impl Mismatch {
    const ALL: [Self; 4] = [Self::Class, Self::Form, Self::Loss, Self::Unreadable];

    const fn byte(self) -> u8 {
        match self {
            Self::Class => 0,
            Self::Form => 1,
            Self::Loss => 2,
            Self::Unreadable => 3,
        }
    }
}

/// What a field is, apart from its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldShape {
    /// NULL.
    Null,
    /// A value of no bytes.
    Empty,
    /// A value.
    Value,
    /// A decimal number with this many digits shown after the point.
    Number {
        /// The display scale.
        scale: u16,
    },
    /// No comparable value.
    Mismatch(Mismatch),
}

/// A field in short: enough to see whether and how two differ, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FieldMark {
    /// What it is.
    pub(super) shape: FieldShape,
    /// Hash of its content (of a number: without the display scale).
    pub(super) hash: u64,
}

/// Two hashes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowHash {
    /// Of the key's fields.
    pub(super) key: u128,
    /// Of all fields.
    pub(super) row: u128,
}

/// which fields identify rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RowKey {
    /// All of them: the table has no key.
    Row,
    /// These, counted from 0.
    Fields(Vec<usize>),
}

/// The image under construction; used again for every row.
#[derive(Debug, Default)]
pub(super) struct CanonicalRow {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    key: Vec<u8>,
    is_whole: bool,
}

/// What a field of an image with whole values holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldContent<'a> {
    /// NULL.
    Null,
    /// A value.
    Value(&'a [u8]),
    /// A decimal number: digits that are shown after the point, and the rest of its image.
    Number(u16, &'a [u8]),
    /// No comparable value.
    Mismatch,
}

impl CanonicalRow {
    /// An image that holds values of any length whole.
    pub(super) fn whole() -> Self {
        Self { is_whole: true, ..Self::default() }
    }

    /// What the fields hold; of an image with whole values.
    pub(super) fn contents(&self) -> impl Iterator<Item = FieldContent<'_>> {
        const HEAD: usize = 1 + size_of::<usize>();
        (0..self.ends.len()).map(|index| {
            let field = self.field(index);
            match field.first() {
                Some(&NULL) => FieldContent::Null,
                Some(&PLAIN) => FieldContent::Value(field.get(HEAD..).unwrap_or_default()),
                Some(&NUMBER) => match field {
                    [_, high, low, rest @ ..] => FieldContent::Number(
                        u16::from_be_bytes([*high, *low]),
                        rest.get(size_of::<usize>()..).unwrap_or_default(),
                    ),
                    _ => FieldContent::Mismatch,
                },
                _ => FieldContent::Mismatch,
            }
        })
    }

    /// Forgets the row.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Appends NULL.
    pub(super) fn null(&mut self) {
        self.bytes.push(NULL);
        self.ends.push(self.bytes.len());
    }

    /// Appends a value.
    pub(super) fn value(&mut self, value: &[u8]) {
        if self.is_whole || value.len() <= LONG_BYTES {
            self.bytes.push(PLAIN);
            self.length(value.len());
            self.bytes.extend_from_slice(value);
        } else {
            self.bytes.push(HASHED);
            self.length(value.len());
            self.bytes.extend_from_slice(&xxh3_128(value).to_be_bytes());
        }
        self.ends.push(self.bytes.len());
    }

    /// Appends a decimal number.
    pub(super) fn number(&mut self, scale: u16, value: &[u8]) {
        self.bytes.push(NUMBER);
        self.bytes.extend_from_slice(&scale.to_be_bytes());
        self.length(value.len());
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len());
    }

    /// Appends what can equal no value of the other end.
    pub(super) fn mismatch(&mut self, mismatch: Mismatch) {
        self.bytes.extend_from_slice(&[MISMATCH, mismatch.byte()]);
        self.ends.push(self.bytes.len());
    }

    /// Appends a field of another row.
    pub(super) fn copy(&mut self, other: &Self, index: usize) {
        self.bytes.extend_from_slice(other.field(index));
        self.ends.push(self.bytes.len());
    }

    fn length(&mut self, length: usize) {
        self.bytes.extend_from_slice(&length.to_be_bytes());
    }

    /// The image itself.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of the image.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Fields of the row.
    pub(super) fn fields(&self) -> usize {
        self.ends.len()
    }

    /// The row's hashes.
    pub(super) fn hash(&mut self, key: &RowKey) -> RowHash {
        let row = xxh3_128(&self.bytes);
        let RowKey::Fields(fields) = key else { return RowHash { key: row, row } };
        if let [single] = fields[..] {
            return RowHash { key: xxh3_128(self.field(single)), row };
        }
        let mut scratch = std::mem::take(&mut self.key);
        scratch.clear();
        for field in fields {
            scratch.extend_from_slice(self.field(*field));
        }
        let key = xxh3_128(&scratch);
        self.key = scratch;
        RowHash { key, row }
    }

    /// All fields in short.
    pub(super) fn marks(&self) -> Vec<FieldMark> {
        (0..self.ends.len()).map(|index| mark(self.field(index))).collect()
    }

    fn field(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(index).copied().unwrap_or(start);
        self.bytes.get(start..end).unwrap_or_default()
    }
}

fn mark(field: &[u8]) -> FieldMark {
    let shape = match *field {
        [NUMBER, high, low, ref content @ ..] => {
            return FieldMark {
                shape: FieldShape::Number { scale: u16::from_be_bytes([high, low]) },
                hash: xxh3_64(content),
            };
        }
        [MISMATCH, code, ..] => Mismatch::ALL
            .into_iter()
            .find(|mismatch| mismatch.byte() == code)
            .map_or(FieldShape::Null, FieldShape::Mismatch),
        [PLAIN, ref rest @ ..] if rest.iter().all(|byte| *byte == 0) && rest.len() == size_of::<usize>() => {
            FieldShape::Empty
        }
        [PLAIN | HASHED, ..] => FieldShape::Value,
        _ => FieldShape::Null,
    };
    FieldMark { shape, hash: xxh3_64(field) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_empty_and_zero_are_three_things() {
        let mut image = CanonicalRow::default();
        image.null();
        image.value(b"");
        image.value(&[0]);
        let shapes: Vec<FieldShape> = image.marks().iter().map(|mark| mark.shape).collect();
        assert_eq!(shapes, [FieldShape::Null, FieldShape::Empty, FieldShape::Value]);
    }

    #[test]
    fn field_borders_count() {
        let hash = |fields: [&[u8]; 2]| {
            let mut image = CanonicalRow::default();
            for field in fields {
                image.value(field);
            }
            image.hash(&RowKey::Row).row
        };
        assert_ne!(hash([b"ab", b"c"]), hash([b"a", b"bc"]));
    }

    #[test]
    fn long_values_differ_by_one_byte() {
        let hash = |last: u8| {
            let mut image = CanonicalRow::default();
            let mut value = vec![7; 100_000];
            value.push(last);
            image.value(&value);
            image.hash(&RowKey::Row).row
        };
        assert_ne!(hash(1), hash(2));
        assert_eq!(hash(1), hash(1));
    }

    #[test]
    fn a_number_is_the_same_with_another_scale() {
        let mark = |scale| {
            let mut image = CanonicalRow::default();
            image.number(scale, b"15");
            image.marks().remove(0)
        };
        assert_eq!(mark(1).hash, mark(2).hash);
        assert_ne!(mark(1), mark(2));
    }

    #[test]
    fn the_key_is_part_of_the_row() {
        let mut image = CanonicalRow::default();
        image.value(b"k");
        image.value(b"v");
        let one = image.hash(&RowKey::Fields(vec![0]));
        image.clear();
        image.value(b"k");
        image.value(b"w");
        let other = image.hash(&RowKey::Fields(vec![0]));
        assert_eq!(one.key, other.key);
        assert_ne!(one.row, other.row);
    }
}
