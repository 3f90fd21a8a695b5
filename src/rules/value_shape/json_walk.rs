//! Reads a JSON text token by token (RFC 8259) and passes each to a visitor.
//!
//! One pass without recursion. Strings are skipped eight bytes at a time, because a profile reads every document.

use super::{HIGH, ONES};

const TENS: u64 = 0xf0f0_f0f0_f0f0_f0f0;

/// The parts of a document. A method that gives `None` ends the reading.
pub trait Visitor {
    /// How deep arrays and objects may be nested.
    const DEPTH_MAX: usize;

    /// An array or object begins.
    fn enter(&mut self, is_object: bool);

    /// The innermost array or object ends.
    fn leave(&mut self) -> Option<()>;

    /// The key of the member that follows.
    fn key(&mut self, key: &Text<'_>) -> Option<()>;

    /// A string that is a value.
    fn text(&mut self, text: &Text<'_>) -> Option<()>;

    /// A number.
    fn number(&mut self, number: &Number<'_>) -> Option<()>;

    /// `true`, `false`; `None` for `null`.
    fn literal(&mut self, value: Option<bool>);
}

/// A string as it is written.
pub struct Text<'a> {
    /// With its quotes.
    pub quoted: &'a [u8],
    /// Whether it has escapes.
    pub escaped: bool,
    /// Whether an escape is one that PostgreSQL's text cannot hold: NUL or half of a surrogate pair.
    pub unstorable: bool,
}

impl Text<'_> {
    /// What stands between the quotes.
    #[inline]
    pub fn raw(&self) -> &[u8] {
        match self.quoted {
            [_, raw @ .., _] => raw,
            _ => &[],
        }
    }

    /// The string with its escapes resolved; `None` if it has half of a surrogate pair.
    #[cold]
    pub fn unescaped(&self) -> Option<String> {
        serde_json::from_slice(self.quoted).ok()
    }
}

/// A number as it is written.
pub struct Number<'a> {
    /// Whether a minus sign stands before it.
    pub negative: bool,
    /// The digits before the point.
    pub whole: &'a [u8],
    /// The digits behind the point.
    pub fraction: &'a [u8],
    /// The power of ten, possibly with a sign; empty without one.
    pub exponent: &'a [u8],
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum State {
    Value,
    Key,
    AfterValue,
}

/// Reads a document, which must be valid UTF-8. `None` if it isn't JSON or the visitor ends the reading.
///
/// `open` is memory that can be used again for the next document.
// Positions are passed and returned by value all the way, so that they stay in registers.
pub fn walk<V: Visitor>(text: &[u8], open: &mut Vec<bool>, visitor: &mut V) -> Option<()> {
    open.clear();
    let (mut at, mut state) = (0, State::Value);
    loop {
        at = skip_space(text, at);
        let Some(byte) = text.get(at).copied() else {
            return (matches!(state, State::AfterValue) && open.is_empty()).then_some(());
        };
        state = match (state, byte) {
            (State::Key, b'"') => {
                let key = string(text, at)?;
                visitor.key(&key)?;
                at = skip_space(text, at + key.quoted.len());
                if text.get(at) != Some(&b':') {
                    return None;
                }
                at += 1;
                State::Value
            }
            (State::Value, b'"') => {
                let found = string(text, at)?;
                at += found.quoted.len();
                visitor.text(&found)?;
                State::AfterValue
            }
            (State::Value, b'{' | b'[') => {
                let is_object = byte == b'{';
                let inside = skip_space(text, at + 1);
                if open.len() >= V::DEPTH_MAX {
                    return None;
                }
                visitor.enter(is_object);
                if text.get(inside) == Some(&closing(is_object)) {
                    visitor.leave()?;
                    at = inside + 1;
                    State::AfterValue
                } else {
                    open.push(is_object);
                    at = inside;
                    if is_object { State::Key } else { State::Value }
                }
            }
            (State::Value, b'-' | b'0'..=b'9') => {
                let (found, end) = number(text, at)?;
                visitor.number(&found)?;
                at = end;
                State::AfterValue
            }
            (State::Value, _) => {
                let (value, end) = literal(text, at)?;
                visitor.literal(value);
                at = end;
                State::AfterValue
            }
            (State::AfterValue, b',') => {
                at += 1;
                if *open.last()? { State::Key } else { State::Value }
            }
            (State::AfterValue, _) => {
                if byte != closing(open.pop()?) {
                    return None;
                }
                visitor.leave()?;
                at += 1;
                State::AfterValue
            }
            (State::Key, _) => return None,
        }
    }
}

const fn closing(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}

#[inline]
fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

fn literal(text: &[u8], at: usize) -> Option<(Option<bool>, usize)> {
    let rest = text.get(at..)?;
    let literals = [("true", Some(true)), ("false", Some(false)), ("null", None)];
    let (word, value) = literals.into_iter().find(|(word, _)| rest.starts_with(word.as_bytes()))?;
    Some((value, at + word.len()))
}

/// Reads a string from its opening quote.
#[inline]
fn string(text: &[u8], from: usize) -> Option<Text<'_>> {
    let (mut at, mut escaped, mut unstorable) = (from + 1, false, false);
    loop {
        at = skip_plain(text, at);
        match text.get(at)? {
            b'"' => return Some(Text { quoted: text.get(from..=at)?, escaped, unstorable }),
            b'\\' => {
                escaped = true;
                at = escape(text, at + 1, &mut unstorable)?;
            }
            0..=0x1f => return None,
            _ => at += 1,
        }
    }
}

/// Skips to the next quote, backslash or control character, or to within eight bytes of the end.
#[inline]
fn skip_plain(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * 0x22);
        let backslash = word ^ (ONES * 0x5c);
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if found & HIGH != 0 {
            // The lowest mark is exact; only marks above a true one can be wrong.
            return at + ((found & HIGH).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at
}

#[cold]
fn escape(text: &[u8], at: usize, unstorable: &mut bool) -> Option<usize> {
    match text.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let end = at + 5;
            match hex4(text, at + 1)? {
                0 | 0xdc00..=0xdfff => *unstorable = true,
                // `jsonb` wants the low surrogate after the high one, `json` takes anything.
                0xd800..=0xdbff => {
                    let low = text.get(end..)?.starts_with(b"\\u").then(|| hex4(text, end + 2)).flatten();
                    if matches!(low, Some(0xdc00..=0xdfff)) {
                        return Some(end + 6);
                    }
                    *unstorable = true;
                }
                _ => {}
            }
            Some(end)
        }
        _ => None,
    }
}

fn hex4(text: &[u8], at: usize) -> Option<u32> {
    let digits = text.get(at..)?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

#[inline]
fn number(text: &[u8], from: usize) -> Option<(Number<'_>, usize)> {
    let negative = text.get(from) == Some(&b'-');
    let lead = from + usize::from(negative);
    let mut at = digits(text, lead);
    let whole =
        text.get(lead..at).filter(|whole| !whole.is_empty() && (whole.len() == 1 || whole.first() != Some(&b'0')))?;
    let mut found = Number { negative, whole, fraction: &[], exponent: &[] };
    if text.get(at) == Some(&b'.') {
        let end = digits(text, at + 1);
        found.fraction = text.get(at + 1..end).filter(|fraction| !fraction.is_empty())?;
        at = end;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        let signed = matches!(text.get(at + 1), Some(b'+' | b'-'));
        let first = at + 1 + usize::from(signed);
        let end = digits(text, first);
        if end == first {
            return None;
        }
        found.exponent = text.get(at + 1..end)?;
        at = end;
    }
    Some((found, at))
}

/// Where the digits end.
#[inline]
fn digits(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*word);
        // Digits are the bytes 0x30 to 0x39: high half 3, and still 3 with 6 added.
        if word & TENS != ONES * 0x30 || word.wrapping_add(ONES * 6) & TENS != ONES * 0x30 {
            break;
        }
        at += 8;
    }
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    at
}
