//! Decodes what PostgreSQL sends: the framing of binary COPY (PostgreSQL manual, COPY, "Binary Format") and the binary
//! form of each type, brought into the image.

use super::{
    canonical_row::{CanonicalRow, Mismatch},
    expected_value::{INFINITY, MINUS_INFINITY},
    json, vector,
};
use crate::model::{
    PgType,
    pg_column_type::{Element, PgColumnType},
};

/// The eleven bytes that every binary COPY begins with.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Days from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
const DAYS_TO_2000: i64 = 10_957;

/// Microseconds of the same.
const MICROSECONDS_TO_2000: i64 = 946_684_800_000_000;

/// Cuts the stream of a binary COPY into rows, however the chunks fall.
#[derive(Debug, Default)]
pub(super) struct CopyFrames {
    carry: Vec<u8>,
    place: StreamPosition,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum StreamPosition {
    #[default]
    Header,
    Rows,
    End,
}

/// The stream isn't a binary COPY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MalformedCopy;

/// What stands at the beginning of some bytes.
enum CopyFrame<'a> {
    /// A row; the bytes behind its field count.
    Row(&'a [u8]),
    /// Something without content, of this length.
    Mark(usize),
    /// More bytes are needed.
    Partial,
}

impl CopyFrames {
    /// Takes a chunk and hands over each complete row.
    pub(super) fn feed<E: From<MalformedCopy>>(
        &mut self,
        chunk: &[u8],
        columns: usize,
        each: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.carry.is_empty() {
            let used = self.walk(chunk, columns, each)?;
            self.carry.extend_from_slice(chunk.get(used..).unwrap_or_default());
            return Ok(());
        }
        let mut carry = std::mem::take(&mut self.carry);
        carry.extend_from_slice(chunk);
        let used = self.walk(&carry, columns, each)?;
        carry.drain(..used);
        self.carry = carry;
        Ok(())
    }

    /// Hands over the rows at the beginning of `bytes`; returns how many bytes are done with.
    fn walk<E: From<MalformedCopy>>(
        &mut self,
        bytes: &[u8],
        columns: usize,
        each: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut used = 0;
        while let Some(rest @ [_, ..]) = bytes.get(used..) {
            used += match self.frame(rest, columns)? {
                CopyFrame::Row(row) => {
                    each(row)?;
                    row.len() + 2
                }
                CopyFrame::Mark(length) => length,
                CopyFrame::Partial => break,
            };
        }
        Ok(used)
    }

    /// The stream must be complete now.
    pub(super) fn finish(&self) -> Result<(), MalformedCopy> {
        if self.place == StreamPosition::End && self.carry.is_empty() { Ok(()) } else { Err(MalformedCopy) }
    }

    fn frame<'a>(&mut self, bytes: &'a [u8], columns: usize) -> Result<CopyFrame<'a>, MalformedCopy> {
        match self.place {
            StreamPosition::End => Err(MalformedCopy),
            StreamPosition::Header => {
                let Some((head, rest)) = bytes.split_at_checked(SIGNATURE.len()) else { return Ok(CopyFrame::Partial) };
                let Some((_flags, rest)) = rest.split_first_chunk::<4>() else { return Ok(CopyFrame::Partial) };
                let Some((extension, rest)) = rest.split_first_chunk::<4>() else { return Ok(CopyFrame::Partial) };
                let extension = usize::try_from(u32::from_be_bytes(*extension)).map_err(|_| MalformedCopy)?;
                if head != SIGNATURE {
                    return Err(MalformedCopy);
                }
                if rest.len() < extension {
                    return Ok(CopyFrame::Partial);
                }
                self.place = StreamPosition::Rows;
                Ok(CopyFrame::Mark(SIGNATURE.len() + 8 + extension))
            }
            StreamPosition::Rows => {
                let Some((count, rest)) = bytes.split_first_chunk::<2>() else { return Ok(CopyFrame::Partial) };
                let count = i16::from_be_bytes(*count);
                if count == -1 {
                    self.place = StreamPosition::End;
                    return Ok(CopyFrame::Mark(2));
                }
                if usize::try_from(count) != Ok(columns) {
                    return Err(MalformedCopy);
                }
                Ok(match row_length(rest, columns)? {
                    Some(length) => CopyFrame::Row(rest.get(..length).unwrap_or_default()),
                    None => CopyFrame::Partial,
                })
            }
        }
    }
}

fn row_length(bytes: &[u8], columns: usize) -> Result<Option<usize>, MalformedCopy> {
    let mut length = 0;
    for _ in 0..columns {
        let Some(field) = bytes.get(length..).and_then(|rest| rest.first_chunk::<4>()) else { return Ok(None) };
        length += 4;
        match i32::from_be_bytes(*field) {
            -1 => {}
            field => length += usize::try_from(field).map_err(|_| MalformedCopy)?,
        }
    }
    Ok((length <= bytes.len()).then_some(length))
}

/// The fields of a row as [`CopyFrames`] hands it over; NULL is none.
pub(super) fn fields(row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = row;
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            rest = behind;
            return Some(None);
        };
        let (field, behind) = behind.split_at_checked(length)?;
        rest = behind;
        Some(Some(field))
    })
}

/// Appends a value of this type to the image.
pub(super) fn append(image: &mut CanonicalRow, pg_type: &PgType, field: Option<&[u8]>) {
    let Some(sent) = field else { return image.null() };
    if value(image, pg_type, sent).is_none() {
        image.mismatch(Mismatch::Unreadable);
    }
}

/// None, and nothing appended, if the bytes aren't such a value.
pub(super) fn value(image: &mut CanonicalRow, pg_type: &PgType, sent: &[u8]) -> Option<()> {
    match pg_type {
        PgType::Text | PgType::Varchar(_) | PgType::Json | PgType::Bytea => image.value(sent),
        PgType::SmallInt => image.value(&i64::from(i16::from_be_bytes(sent.try_into().ok()?)).to_be_bytes()),
        PgType::Integer => image.value(&i64::from(i32::from_be_bytes(sent.try_into().ok()?)).to_be_bytes()),
        PgType::BigInt | PgType::Double | PgType::Time if sent.len() == 8 => image.value(sent),
        PgType::Uuid if sent.len() == 16 => image.value(sent),
        PgType::Boolean => match sent {
            [0 | 1] => image.value(sent),
            _ => return None,
        },
        PgType::Numeric(_) => return numeric(image, sent),
        PgType::Enum(_) => image.value(sent),
        PgType::ExistingType(_) => return of_existing_type(image, pg_type, sent),
        PgType::Jsonb => image.value(&json::meaning(sent.strip_prefix(&[1])?)?.text),
        PgType::Date => {
            // The ends of the range stand for -infinity and infinity.
            let days = i32::from_be_bytes(sent.try_into().ok()?);
            let days = (i32::MIN < days && days < i32::MAX).then(|| i64::from(days) + DAYS_TO_2000)?;
            image.value(&days.to_be_bytes());
        }
        PgType::Timestamp | PgType::TimestampTz => {
            let time = i64::from_be_bytes(sent.try_into().ok()?);
            let time = if time == i64::MIN { None } else { time.checked_add(MICROSECONDS_TO_2000) }?;
            image.value(&time.to_be_bytes());
        }
        PgType::Vector(_) | PgType::HalfVec(_) | PgType::RealArray | PgType::DoubleArray | PgType::Bit(_) => {
            image.value(&vector::of_server(pg_type, sent)?.bytes());
        }
        PgType::BigInt | PgType::Double | PgType::Time | PgType::Uuid => return None,
    }
    Some(())
}

/// `numeric_send`: how many groups, weight, sign, display scale, groups of four digits.
fn numeric(image: &mut CanonicalRow, sent: &[u8]) -> Option<()> {
    let (words, []) = sent.as_chunks::<2>() else { return None };
    let (&[count, weight, sign, scale], groups) = words.split_first_chunk::<4>()?;
    let scale = u16::from_be_bytes(scale);
    let group = |bytes: &[u8; 2]| u16::from_be_bytes(*bytes);
    if groups.len() != usize::from(group(&count)) || groups.iter().any(|bytes| group(bytes) > 9999) {
        return None;
    }
    let negative = match group(&sign) {
        0x0000 => false,
        0x4000 => true,
        0xd000 => {
            image.number(0, INFINITY);
            return Some(());
        }
        0xf000 => {
            image.number(0, MINUS_INFINITY);
            return Some(());
        }
        _ => return None,
    };
    let leading = groups.iter().take_while(|group| **group == [0, 0]).count();
    let end = groups.iter().rposition(|group| *group != [0, 0]).map_or(leading, |last| last + 1);
    let kept = groups.get(leading..end)?;
    let weight =
        if kept.is_empty() { 0 } else { i16::from_be_bytes(weight).checked_sub(i16::try_from(leading).ok()?)? };
    let mut bytes = Vec::with_capacity(3 + kept.len() * 2);
    bytes.push(u8::from(negative && !kept.is_empty()));
    bytes.extend_from_slice(&weight.to_be_bytes());
    bytes.extend_from_slice(kept.as_flattened());
    image.number(scale, &bytes);
    Some(())
}

/// Appends what a server sent for a value of a type that only the existing schema knows. None, and nothing appended, if
/// the bytes aren't such a value.
fn of_existing_type(image: &mut CanonicalRow, pg_type: &PgType, sent: &[u8]) -> Option<()> {
    let shape = PgColumnType::of(pg_type);
    if !shape.array {
        return one_element(image, shape.element, sent);
    }
    let (dimensions, rest) = sent.split_first_chunk::<4>()?;
    let (_has_nulls, rest) = rest.split_first_chunk::<4>()?;
    let (_type, mut rest) = rest.split_first_chunk::<4>()?;
    let mut inner = CanonicalRow::default();
    for _ in 0..u32::from_be_bytes(*dimensions).min(6) {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (bound, behind) = behind.split_first_chunk::<4>()?;
        if bound != &[0, 0, 0, 1] {
            return None;
        }
        inner.value(&usize::try_from(u32::from_be_bytes(*length)).ok()?.to_be_bytes());
        rest = behind;
    }
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            inner.null();
            rest = behind;
            continue;
        };
        let (element, behind) = behind.split_at_checked(length)?;
        one_element(&mut inner, shape.element, element)?;
        rest = behind;
    }
    if !rest.is_empty() {
        return None;
    }
    image.value(inner.bytes());
    Some(())
}

fn one_element(image: &mut CanonicalRow, element: Element, sent: &[u8]) -> Option<()> {
    let plain = match element {
        Element::Boolean => PgType::Boolean,
        Element::SmallInt => PgType::SmallInt,
        Element::Integer => PgType::Integer,
        Element::BigInt => PgType::BigInt,
        Element::Double => PgType::Double,
        Element::Numeric(limits) => PgType::Numeric(limits),
        Element::Text { .. } | Element::Enum => PgType::Text,
        Element::Uuid => PgType::Uuid,
        Element::Bytea => PgType::Bytea,
        Element::Date => PgType::Date,
        Element::Time { .. } => PgType::Time,
        Element::Timestamp { .. } => PgType::Timestamp,
        Element::TimestampTz { .. } => PgType::TimestampTz,
        Element::Json => PgType::Json,
        Element::Jsonb => PgType::Jsonb,
        // The image of a vector doesn't depend on what its type says of dimensions.
        Element::Vector(dimensions) => PgType::Vector(dimensions.unwrap_or(1)),
        // The server is asked for its text.
        Element::TextInput(_) => PgType::Text,
        Element::Real => {
            let bits: [u8; 4] = sent.try_into().ok()?;
            image.value(&bits);
            return Some(());
        }
    };
    value(image, &plain, sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::verify::canonical_row::{FieldMark, FieldShape};

    #[derive(Debug)]
    struct Failed;

    impl From<MalformedCopy> for Failed {
        fn from(_: MalformedCopy) -> Self {
            Self
        }
    }

    fn stream() -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[0, 2, 0, 0, 0, 1, b'a', 0xff, 0xff, 0xff, 0xff]);
        bytes.extend_from_slice(&[0, 2, 0, 0, 0, 0, 0, 0, 0, 2, b'b', b'c']);
        bytes.extend_from_slice(&[0xff, 0xff]);
        bytes
    }

    fn rows(chunks: &[&[u8]]) -> Result<Vec<Vec<Option<Vec<u8>>>>, Failed> {
        let mut frames = CopyFrames::default();
        let mut rows = Vec::new();
        for chunk in chunks {
            frames.feed(chunk, 2, &mut |row| {
                rows.push(fields(row).map(|field| field.map(<[u8]>::to_vec)).collect());
                Ok::<(), Failed>(())
            })?;
        }
        frames.finish().map_err(Failed::from)?;
        Ok(rows)
    }

    #[test]
    fn rows_are_the_same_however_chunks_fall() {
        let bytes = stream();
        let expected = vec![vec![Some(b"a".to_vec()), None], vec![Some(Vec::new()), Some(b"bc".to_vec())]];
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(rows(&[head, tail]).unwrap(), expected, "{cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(rows(&single).unwrap(), expected);
    }

    #[test]
    fn a_stream_that_is_cut_or_goes_on_is_broken() {
        let bytes = stream();
        for cut in 0..bytes.len() {
            assert!(rows(&[&bytes[..cut]]).is_err(), "{cut}");
        }
        assert!(rows(&[&bytes, b"x"]).is_err());
    }

    fn mark(pg_type: &PgType, sent: &[u8]) -> FieldMark {
        let mut image = CanonicalRow::default();
        append(&mut image, pg_type, Some(sent));
        image.marks().remove(0)
    }

    #[test]
    fn what_the_tool_never_sends_is_unreadable() {
        let unreadable = FieldShape::Mismatch(Mismatch::Unreadable);
        assert_eq!(mark(&PgType::Date, &i32::MAX.to_be_bytes()).shape, unreadable);
        assert_eq!(mark(&PgType::Timestamp, &i64::MIN.to_be_bytes()).shape, unreadable);
        assert_eq!(mark(&PgType::Timestamp, &i64::MAX.to_be_bytes()).shape, unreadable);
        assert_eq!(mark(&PgType::BigInt, &[0; 4]).shape, unreadable);
        assert_eq!(mark(&PgType::Numeric(None), &[0, 0, 0, 0, 0xc0, 0, 0, 0]).shape, unreadable);
    }

    #[test]
    fn zero_groups_at_the_ends_change_nothing() {
        let plain = mark(&PgType::Numeric(None), &[0, 1, 0, 1, 0, 0, 0, 0, 0, 5]);
        let padded = mark(&PgType::Numeric(None), &[0, 3, 0, 2, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0]);
        assert_eq!(plain, padded);
    }
}
