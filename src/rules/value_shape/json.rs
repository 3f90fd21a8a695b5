//! JSON as PostgreSQL takes it: RFC 8259, and for `jsonb` only what it keeps
//! (docs/conversion-rules.md, section 1.7).
//!
//! One pass without recursion. Strings are skipped eight bytes at a time, because a profile reads every document.

use xxhash_rust::xxh3::xxh3_64;

/// Deeper nesting overflows PostgreSQL's stack at its default `max_stack_depth` (6000 levels load, 100000 don't).
const DEPTH_MOST: usize = 5000;

/// `jsonb` takes 268435455 bytes of strings in one document; this leaves room for its own headers.
const JSONB_BYTES_MOST: usize = 200_000_000;

/// Digits and exponent up to which a number becomes a `numeric` of sensible size.
const NUMBER_DIGITS_MOST: usize = 1000;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
const TENS: u64 = 0xf0f0_f0f0_f0f0_f0f0;

/// Which PostgreSQL type keeps a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// `jsonb`: only spacing, key order and number spelling change.
    Jsonb,
    /// Only `json`: duplicate keys, `\u0000`, lone surrogates, `-0`, huge numbers or sheer size.
    Json,
}

/// A checker with its buffers, to be used for one document after the other.
#[derive(Debug, Default)]
pub struct Checker {
    open: Vec<Open>,
    keys: Vec<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    object: bool,
    /// How many keys the enclosing objects have.
    keys_from: usize,
}

/// What comes next.
#[derive(Debug, Clone, Copy)]
enum State {
    Value,
    Key,
    AfterValue,
}

// Positions are passed and returned by value all the way, so that they stay in registers.
impl Checker {
    /// Checks one document, which must be valid UTF-8. `None` if it isn't JSON.
    #[must_use]
    pub fn check(&mut self, text: &[u8]) -> Option<Keeps> {
        self.open.clear();
        self.keys.clear();
        let lossy = self.document(text, text.len() > JSONB_BYTES_MOST)?;
        Some(if lossy { Keeps::Json } else { Keeps::Jsonb })
    }

    fn document(&mut self, text: &[u8], mut lossy: bool) -> Option<bool> {
        let (mut at, mut state) = (0, State::Value);
        loop {
            at = skip_space(text, at);
            let Some(byte) = text.get(at).copied() else {
                return (matches!(state, State::AfterValue) && self.open.is_empty()).then_some(lossy);
            };
            at += 1;
            state = match (state, byte) {
                (State::Value | State::Key, b'"') => {
                    let from = at;
                    let (end, escaped) = string(text, at, &mut lossy)?;
                    at = end;
                    if let State::Key = state {
                        at = self.key(text, from, end, escaped, lossy)?;
                        State::Value
                    } else {
                        State::AfterValue
                    }
                }
                (State::Value, b'{' | b'[') => {
                    let object = byte == b'{';
                    let close = if object { b'}' } else { b']' };
                    let inside = skip_space(text, at);
                    if text.get(inside) == Some(&close) {
                        at = inside + 1;
                        State::AfterValue
                    } else {
                        self.enter(object)?
                    }
                }
                (State::Value, b'-' | b'0'..=b'9') => {
                    at = number(text, at - 1, &mut lossy)?;
                    State::AfterValue
                }
                (State::Value, _) => {
                    at = word(text, at - 1)?;
                    State::AfterValue
                }
                (State::AfterValue, b',') => self.next_state()?,
                (State::AfterValue, b'}' | b']') => {
                    lossy |= self.leave(byte == b'}')?;
                    State::AfterValue
                }
                (State::Key | State::AfterValue, _) => return None,
            }
        }
    }

    fn enter(&mut self, object: bool) -> Option<State> {
        if self.open.len() >= DEPTH_MOST {
            return None;
        }
        self.open.push(Open { object, keys_from: self.keys.len() });
        Some(if object { State::Key } else { State::Value })
    }

    fn next_state(&self) -> Option<State> {
        self.open.last().map(|top| if top.object { State::Key } else { State::Value })
    }

    /// Leaves an object or array; says whether a key occurs twice.
    fn leave(&mut self, object: bool) -> Option<bool> {
        let top = self.open.pop().filter(|top| top.object == object)?;
        let repeats = object && self.repeats(top.keys_from);
        self.keys.truncate(top.keys_from);
        Some(repeats)
    }

    /// Keeps a key's hash and skips the colon.
    #[inline]
    fn key(&mut self, text: &[u8], from: usize, end: usize, escaped: bool, lossy: bool) -> Option<usize> {
        if !lossy {
            let raw = text.get(from..end - 1)?;
            self.keys.push(if escaped { unescaped_hash(raw) } else { hash(raw) });
        }
        let at = skip_space(text, end);
        (text.get(at) == Some(&b':')).then_some(at + 1)
    }

    /// Whether a key occurs twice among the last. Equal hashes of different keys would only make the choice `json`.
    fn repeats(&mut self, from: usize) -> bool {
        let Some(keys) = self.keys.get_mut(from..) else { return false };
        if keys.len() <= 8 {
            return keys.iter().enumerate().any(|(at, key)| keys.iter().take(at).any(|earlier| earlier == key));
        }
        keys.sort_unstable();
        keys.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
    }
}

/// A short key is its own hash.
#[inline]
fn hash(key: &[u8]) -> u64 {
    if key.len() < 8 {
        return key.iter().fold(1, |packed, byte| packed << 8 | u64::from(*byte));
    }
    xxh3_64(key)
}

/// The hash of a key whose escapes are resolved. A lone surrogate makes the document `json` anyway.
#[cold]
fn unescaped_hash(raw: &[u8]) -> u64 {
    let quoted = [b"\"".as_slice(), raw, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).map_or(0, |key| hash(key.as_bytes()))
}

#[inline]
fn skip_space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// `true`, `false`, `null`.
fn word(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    ["true", "false", "null"].iter().find(|word| rest.starts_with(word.as_bytes())).map(|word| at + word.len())
}

/// Skips a string whose opening quote is taken; where it ends, and whether it has escapes.
#[inline]
fn string(text: &[u8], mut at: usize, lossy: &mut bool) -> Option<(usize, bool)> {
    let mut escaped = false;
    loop {
        at = skip_plain(text, at);
        match text.get(at)? {
            b'"' => return Some((at + 1, escaped)),
            b'\\' => {
                escaped = true;
                at = escape(text, at + 1, lossy)?;
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
fn escape(text: &[u8], at: usize, lossy: &mut bool) -> Option<usize> {
    match text.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 1),
        b'u' => {
            let end = at + 5;
            match hex4(text, at + 1)? {
                0 | 0xdc00..=0xdfff => *lossy = true,
                // `jsonb` wants the low surrogate after the high one, `json` takes anything.
                0xd800..=0xdbff => {
                    let low = text.get(end..)?.starts_with(b"\\u").then(|| hex4(text, end + 2)).flatten();
                    if matches!(low, Some(0xdc00..=0xdfff)) {
                        return Some(end + 6);
                    }
                    *lossy = true;
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
fn number(text: &[u8], from: usize, lossy: &mut bool) -> Option<usize> {
    let negative = text.get(from) == Some(&b'-');
    let lead = from + usize::from(negative);
    let mut at = digits(text, lead);
    if at == lead || (at > lead + 1 && text.get(lead) == Some(&b'0')) {
        return None;
    }
    if text.get(at) == Some(&b'.') {
        let fraction = at + 1;
        at = digits(text, fraction);
        if at == fraction {
            return None;
        }
    }
    *lossy |= at - from > NUMBER_DIGITS_MOST;
    *lossy |= negative && !text.get(lead..at)?.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    if let Some(b'e' | b'E') = text.get(at) {
        let signed = matches!(text.get(at + 1), Some(b'+' | b'-'));
        let exponent = at + 1 + usize::from(signed);
        at = digits(text, exponent);
        if at == exponent {
            return None;
        }
        let power = str::from_utf8(text.get(exponent..at)?).ok()?;
        *lossy |= power.parse::<usize>().map_or(true, |power| power > NUMBER_DIGITS_MOST);
    }
    Some(at)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Option<Keeps> {
        Checker::default().check(text.as_bytes())
    }

    #[test]
    fn json_is_rfc_8259() {
        for text in [
            "{}",
            "[]",
            "null",
            " true ",
            "0",
            "-1.5e+3",
            "\"a\"",
            "[1, 2,3]",
            "{\"a\": [ ] , \"b\":{\"a\":1}}",
            "\"é\\n\"",
            "\"\\ud83d\\ude00\"",
            "[[[[]]]]",
            "1e2",
            "0.10",
            "{\"a\":{},\"b\":[]}",
            "\"a long string without anything\"",
        ] {
            assert_eq!(check(text), Some(Keeps::Jsonb), "{text}");
        }
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            "{a:1}",
            "{'a':1}",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "tru",
            "nul",
            "\"a",
            "\"\\x\"",
            "\"\\u12g4\"",
            "[1 2]",
            "{\"a\" 1}",
            "{\"a\":1,}",
            "// c",
            "1 2",
            "\"tab\there and more to fill\"",
            "NaN",
            "-",
            "\"\u{1}\"",
            "]",
            "[}",
        ] {
            assert_eq!(check(text), None, "{text}");
        }
    }

    #[test]
    fn what_jsonb_would_lose_stays_json() {
        for text in [
            "{\"a\":1,\"a\":2}",
            "{\"a\":1,\"\\u0061\":2}",
            "[{\"x\":{\"k\":1,\"l\":2,\"k\":3}}]",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "-0",
            "[-0.0]",
            "1e1001",
            "1e99999999999999999999",
        ] {
            assert_eq!(check(text), Some(Keeps::Json), "{text}");
        }
        assert_eq!(check("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"), Some(Keeps::Jsonb));
    }

    #[test]
    fn depth_has_a_limit_and_a_checker_can_be_used_again() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let mut checker = Checker::default();
        assert_eq!(checker.check(nested(DEPTH_MOST).as_bytes()), Some(Keeps::Jsonb));
        assert_eq!(checker.check(nested(DEPTH_MOST + 2).as_bytes()), None);
        assert_eq!(checker.check(b"{\"a\":"), None);
        assert_eq!(checker.check(b"{\"b\":1}"), Some(Keeps::Jsonb));
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_another_parser(text in "[\\[\\]{}:,\"a0-9.eE+\\-tru\\\\ n]{0,24}") {
            let ours = check(&text).is_some();
            let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
            proptest::prop_assert_eq!(ours, theirs, "{}", text);
        }
    }
}
