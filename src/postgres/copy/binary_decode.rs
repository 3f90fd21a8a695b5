//! Rows out of the stream of a binary `COPY ... TO STDOUT`.

use super::HEADER;

/// Why a stream isn't what the format says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Cuts a stream into rows, wherever its messages begin and end.
#[derive(Default)]
pub struct RowCutter {
    carried: Vec<u8>,
    seen_header: bool,
    ended: bool,
}

enum Next {
    Row(usize),
    Trailer,
    Incomplete,
}

impl RowCutter {
    /// Calls `each` with the bytes of every row that is complete now, field count included.
    ///
    /// # Errors
    /// [`Malformed`], or what `each` answers.
    pub fn feed<E: From<Malformed>>(
        &mut self,
        message: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.carried.is_empty() {
            let rest = self.cut(message, &mut each)?;
            self.carried.extend_from_slice(rest);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.carried);
        joined.extend_from_slice(message);
        let rest = self.cut(&joined, &mut each)?;
        self.carried.extend_from_slice(rest);
        Ok(())
    }

    /// Says whether the stream ended where it should.
    ///
    /// # Errors
    /// [`Malformed`] if the trailer is missing or something follows it.
    pub fn finish(self) -> Result<(), Malformed> {
        if self.ended && self.carried.is_empty() { Ok(()) } else { Err(Malformed) }
    }

    fn cut<'a, E: From<Malformed>>(
        &mut self,
        mut bytes: &'a [u8],
        each: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<&'a [u8], E> {
        if !self.seen_header {
            let Some((header, rest)) = bytes.split_at_checked(HEADER.len()) else { return Ok(bytes) };
            if header != HEADER {
                return Err(Malformed.into());
            }
            self.seen_header = true;
            bytes = rest;
        }
        while !bytes.is_empty() {
            if self.ended {
                return Err(Malformed.into());
            }
            match next(bytes)? {
                Next::Incomplete => return Ok(bytes),
                Next::Trailer => {
                    self.ended = true;
                    bytes = bytes.get(2..).unwrap_or_default();
                }
                Next::Row(length) => {
                    let (row, rest) = bytes.split_at_checked(length).ok_or(Malformed)?;
                    each(row)?;
                    bytes = rest;
                }
            }
        }
        Ok(bytes)
    }
}

fn next(bytes: &[u8]) -> Result<Next, Malformed> {
    let Some(count) = bytes.first_chunk() else { return Ok(Next::Incomplete) };
    let count = i16::from_be_bytes(*count);
    if count == -1 {
        return Ok(Next::Trailer);
    }
    let mut at = 2;
    for _ in 0..u16::try_from(count).map_err(|_| Malformed)? {
        let Some(length) = bytes.get(at..).and_then(<[u8]>::first_chunk) else { return Ok(Next::Incomplete) };
        at += 4;
        match i32::from_be_bytes(*length) {
            -1 => {}
            length => at += usize::try_from(length).map_err(|_| Malformed)?,
        }
        if at > bytes.len() {
            return Ok(Next::Incomplete);
        }
    }
    Ok(Next::Row(at))
}

/// The fields of one row; `None` is NULL. Stops early at bytes that aren't a row.
pub fn fields(row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = row.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk()?;
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            rest = after;
            return Some(None);
        };
        let (value, after) = after.split_at_checked(length)?;
        rest = after;
        Some(Some(value))
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{TRAILER, binary_encode},
        *,
    };

    fn stream() -> Vec<u8> {
        let mut out = HEADER.to_vec();
        for value in [1_i64, 2, 3] {
            binary_encode::row(&mut out, 3);
            binary_encode::int8(&mut out, value);
            binary_encode::null(&mut out);
            binary_encode::bytes(&mut out, &vec![b'x'; usize::try_from(value).unwrap()]).unwrap();
        }
        out.extend_from_slice(&TRAILER);
        out
    }

    #[test]
    fn rows_are_found_wherever_messages_are_cut() {
        let stream = stream();
        for size in 1..stream.len() {
            let mut cutter = RowCutter::default();
            let mut rows = Vec::new();
            for message in stream.chunks(size) {
                cutter
                    .feed(message, |row| {
                        rows.push(fields(row).map(|value| value.map(<[u8]>::len)).collect::<Vec<_>>());
                        Ok::<(), Malformed>(())
                    })
                    .unwrap();
            }
            cutter.finish().unwrap();
            assert_eq!(rows, [1, 2, 3].map(|length| vec![Some(8), None, Some(length)]));
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_noticed() {
        let stream = stream();
        let mut cutter = RowCutter::default();
        cutter.feed(&stream[..stream.len() - 2], |_| Ok::<(), Malformed>(())).unwrap();
        assert_eq!(cutter.finish(), Err(Malformed));
        let mut cutter = RowCutter::default();
        assert_eq!(cutter.feed(b"not a copy stream, surely", |_| Ok::<(), Malformed>(())), Err(Malformed));
    }
}
