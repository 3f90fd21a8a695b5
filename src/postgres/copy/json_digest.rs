//! What a JSON text means, as a hash: the same for every text that PostgreSQL stores as the same `jsonb`.
//!
//! Strings are compared unescaped, numbers by value and the count of digits after the point, which `jsonb` keeps, objects
//! without regard to the order of their members. Accepts a little more than RFC 8259, because the server has the last word
//! on what is JSON.

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// Nesting beyond which a text isn't hashed; PostgreSQL's own parser gives up earlier.
const DEPTH_MAX: usize = 100_000;

/// Hashes texts; keeps its memory from one to the next.
#[derive(Default)]
pub(super) struct JsonHasher {
    open: Vec<Container>,
    text: Vec<u8>,
}

/// An array or object that isn't closed yet.
struct Container {
    object: bool,
    sum: u128,
    count: u128,
    key: u128,
}

impl Container {
    fn take(&mut self, value: u128) {
        self.count += 1;
        let member = if self.object { pair(self.key, value) } else { pair(self.count, value) };
        self.sum = self.sum.wrapping_add(member);
    }

    fn hash(&self) -> u128 {
        pair(pair(u128::from(self.object), self.count), self.sum)
    }
}

fn pair(one: u128, two: u128) -> u128 {
    let mut bytes = [0_u8; 32];
    let (front, back) = bytes.split_at_mut(16);
    front.copy_from_slice(&one.to_be_bytes());
    back.copy_from_slice(&two.to_be_bytes());
    xxh3_128(&bytes)
}

impl JsonHasher {
    /// The hash, or nothing if the text isn't JSON.
    pub(super) fn hash(&mut self, text: &[u8]) -> Option<u128> {
        self.open.clear();
        let mut rest = text.trim_ascii();
        loop {
            let value = match rest.split_first()? {
                (b'{' | b'[', after) => {
                    let object = rest.first() == Some(&b'{');
                    rest = after.trim_ascii_start();
                    let container = Container { object, sum: 0, count: 0, key: 0 };
                    if let Some(after) = rest.strip_prefix(closing(object)) {
                        rest = after;
                        container.hash()
                    } else {
                        self.enter(container)?;
                        rest = self.key(rest)?;
                        continue;
                    }
                }
                (b'"', after) => {
                    let hash;
                    (hash, rest) = self.string(after)?;
                    hash
                }
                _ => {
                    let length = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
                    let (word, after) = rest.split_at_checked(length)?;
                    rest = after;
                    self.word(word)?
                }
            };
            match self.close(value, rest)? {
                Closed::Whole(hash, rest) => return rest.trim_ascii_start().is_empty().then_some(hash),
                Closed::More(after) => rest = after,
            }
        }
    }

    fn enter(&mut self, container: Container) -> Option<()> {
        if self.open.len() >= DEPTH_MAX {
            return None;
        }
        self.open.push(container);
        Some(())
    }

    /// Reads `"key":` if an object is open.
    fn key<'a>(&mut self, rest: &'a [u8]) -> Option<&'a [u8]> {
        let rest = rest.trim_ascii_start();
        if !self.open.last()?.object {
            return Some(rest);
        }
        let (key, rest) = self.string(rest.strip_prefix(b"\"")?)?;
        self.open.last_mut()?.key = key;
        Some(rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start())
    }

    /// Puts a value into what encloses it, and closes what ends there.
    fn close<'a>(&mut self, mut value: u128, mut rest: &'a [u8]) -> Option<Closed<'a>> {
        loop {
            let Some(container) = self.open.last_mut() else { return Some(Closed::Whole(value, rest)) };
            container.take(value);
            rest = rest.trim_ascii_start();
            if let Some(after) = rest.strip_prefix(b",") {
                return self.key(after).map(Closed::More);
            }
            rest = rest.strip_prefix(closing(container.object))?;
            value = container.hash();
            self.open.pop();
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<u128> {
        match word {
            b"null" => Some(pair(2, 0)),
            b"false" => Some(pair(2, 1)),
            b"true" => Some(pair(2, 2)),
            number => self.number(number),
        }
    }

    /// By value (sign, digits without leading and trailing zeros, power of ten) and by the digits after the point that
    /// the number has when it is written without an exponent.
    fn number(&mut self, text: &[u8]) -> Option<u128> {
        let (negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
        let end = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
        let (digits, power) = text.split_at_checked(end)?;
        let mut exponent: i64 = match power.get(1..) {
            None => 0,
            Some(power) => str::from_utf8(power).ok()?.parse().ok()?,
        };
        self.text.clear();
        let mut parts = digits.splitn(2, |byte| *byte == b'.');
        let (whole, fraction) = (parts.next()?, parts.next());
        if whole.is_empty() || fraction.is_some_and(<[u8]>::is_empty) {
            return None;
        }
        let fraction = fraction.unwrap_or_default();
        self.text.extend_from_slice(whole);
        self.text.extend_from_slice(fraction);
        if !self.text.iter().all(u8::is_ascii_digit) {
            return None;
        }
        exponent = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let scale = u128::from(exponent.min(0).unsigned_abs());
        let zeros = self.text.iter().rev().take_while(|digit| **digit == b'0').count();
        self.text.truncate(self.text.len() - zeros);
        exponent = exponent.checked_add(i64::try_from(zeros).ok()?)?;
        let leading = self.text.iter().take_while(|digit| **digit == b'0').count();
        let significant = self.text.get(leading..)?;
        if significant.is_empty() {
            return Some(pair(3, scale));
        }
        let seed = if negative { 3 } else { 4 };
        Some(pair(xxh3_128_with_seed(significant, seed), u128::from(exponent.cast_unsigned()) << 64 | scale))
    }

    /// Reads a string behind its opening quote.
    fn string<'a>(&mut self, text: &'a [u8]) -> Option<(u128, &'a [u8])> {
        let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if text.get(end) == Some(&b'"') {
            return Some((string_hash(text.get(..end)?), text.get(end + 1..)?));
        }
        self.text.clear();
        let mut rest = text;
        loop {
            let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            self.text.extend_from_slice(rest.get(..end)?);
            rest = rest.get(end..)?;
            match *rest {
                [b'"', ref after @ ..] => return Some((string_hash(&self.text), after)),
                [b'\\', b'u', ref after @ ..] => rest = self.unicode(after)?,
                [b'\\', letter, ref after @ ..] => {
                    self.text.push(unescaped(letter)?);
                    rest = after;
                }
                _ => return None,
            }
        }
    }

    /// Reads the digits behind `\u`, and the low half of a surrogate pair.
    fn unicode<'a>(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let (first, mut rest) = hexadecimal(text)?;
        let mut code = first;
        if (0xD800..0xDC00).contains(&first) {
            let (second, after) = hexadecimal(rest.strip_prefix(b"\\u")?)?;
            let low = second.checked_sub(0xDC00).filter(|low| *low < 0x400)?;
            code = 0x10000 + ((first - 0xD800) << 10) + low;
            rest = after;
        }
        let mut bytes = [0; 4];
        self.text.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut bytes).as_bytes());
        Some(rest)
    }
}

enum Closed<'a> {
    Whole(u128, &'a [u8]),
    More(&'a [u8]),
}

fn closing(object: bool) -> &'static [u8] {
    if object { b"}" } else { b"]" }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

fn string_hash(text: &[u8]) -> u128 {
    // The seed keeps strings apart from numbers.
    xxh3_128_with_seed(text, 5)
}

fn hexadecimal(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let digits = str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some((u32::from_str_radix(digits, 16).ok()?, rest))
}

fn unescaped(letter: u8) -> Option<u8> {
    match letter {
        b'"' | b'\\' | b'/' => Some(letter),
        b'b' => Some(8),
        b'f' => Some(12),
        b'n' => Some(b'\n'),
        b'r' => Some(b'\r'),
        b't' => Some(b'\t'),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Option<u128> {
        JsonHasher::default().hash(text.as_bytes())
    }

    #[test]
    fn texts_of_the_same_meaning_hash_alike() {
        for (one, two) in [
            ("{\"a\":1,\"b\":[true,null]}", " { \"b\" : [ true , null ] , \"a\" : 1 } "),
            ("\"\\u00e9\\n\\/\"", "\"\u{e9}\\u000a/\""),
            ("\"\\ud83d\\ude00\"", "\"\u{1F600}\""),
            ("1e2", "100"),
            ("1.10e0", "1.10"),
            ("-0.0", "0.0"),
            ("0e5", "0"),
            ("1.0e1", "10"),
            ("100e-2", "1.00"),
            ("12.5e-1", "1.25"),
            ("[]", "[ ]"),
            ("{\"\":{}}", "{\"\" : { } }"),
            ("1E400", &format!("1{}", "0".repeat(400))),
        ] {
            assert_eq!(hash(one), hash(two), "{one} {two}");
            assert!(hash(one).is_some(), "{one}");
        }
    }

    #[test]
    fn texts_of_different_meaning_do_not() {
        let texts = [
            "null",
            "true",
            "false",
            "0",
            "1",
            "-1",
            "10",
            "0.1",
            "0.10",
            "0.0",
            "1.0",
            "\"\"",
            "\"1\"",
            "\"a\"",
            "[]",
            "{}",
            "[[]]",
            "[1,2]",
            "[2,1]",
            "[1,[2]]",
            "{\"a\":1}",
            "{\"a\":2}",
            "{\"b\":1}",
            "{\"a\":1,\"b\":2}",
            "{\"a\":2,\"b\":1}",
            "[\"a\",1]",
            "[null]",
            "{\"a\":{\"b\":1}}",
            "{\"a\":[1]}",
        ];
        let hashes: std::collections::BTreeSet<_> = texts.iter().map(|text| hash(text)).collect();
        assert_eq!(hashes.len(), texts.len());
        assert!(!hashes.contains(&None));
    }

    #[test]
    fn what_is_not_json_has_no_hash() {
        for text in
            ["", "{", "[1", "[1,]", "{\"a\"}", "\"a", "nul", "1 2", "{\"a\":1,}", "\"\\x\"", "\"\\ud800\"", "--1", ".5"]
        {
            assert_eq!(hash(text), None, "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_walked_without_recursion() {
        let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
        assert!(hash(&deep).is_some());
    }
}
