//! What a JSON text means, as a hash: the same for every text that PostgreSQL stores as the same `jsonb`.
//!
//! Strings are compared unescaped, numbers by value and the count of digits after the point, which `jsonb` keeps,
//! objects without regard to the order of their members.

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use crate::rules::value_shape::json_walk::{Number, Text, Visitor, walk};

/// Hashes texts; keeps its memory from one to the next.
#[derive(Default)]
pub(super) struct JsonHasher {
    open: Vec<bool>,
    meaning: Meaning,
}

/// The hash of what was read so far.
#[derive(Default)]
struct Meaning {
    open: Vec<Container>,
    whole: u128,
    digits: Vec<u8>,
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
        self.meaning.open.clear();
        walk(text, &mut self.open, &mut self.meaning)?;
        Some(self.meaning.whole)
    }
}

impl Meaning {
    fn value(&mut self, value: u128) {
        match self.open.last_mut() {
            Some(container) => container.take(value),
            None => self.whole = value,
        }
    }
}

impl Visitor for Meaning {
    /// PostgreSQL's own parser gives up earlier.
    const DEPTH_MAX: usize = 100_000;

    fn enter(&mut self, is_object: bool) {
        self.open.push(Container { object: is_object, sum: 0, count: 0, key: 0 });
    }

    fn leave(&mut self) -> Option<()> {
        let container = self.open.pop()?;
        self.value(container.hash());
        Some(())
    }

    fn key(&mut self, key: &Text<'_>) -> Option<()> {
        self.open.last_mut()?.key = string_hash(key)?;
        Some(())
    }

    fn text(&mut self, text: &Text<'_>) -> Option<()> {
        self.value(string_hash(text)?);
        Some(())
    }

    /// By value (sign, digits without leading and trailing zeros, power of ten) and by the digits after the point that
    /// the number has when it is written without an exponent.
    fn number(&mut self, number: &Number<'_>) -> Option<()> {
        let mut exponent: i64 = match number.exponent {
            [] => 0,
            power => str::from_utf8(power).ok()?.parse().ok()?,
        };
        self.digits.clear();
        self.digits.extend_from_slice(number.whole);
        self.digits.extend_from_slice(number.fraction);
        exponent = exponent.checked_sub(i64::try_from(number.fraction.len()).ok()?)?;
        let scale = u128::from(exponent.min(0).unsigned_abs());
        let zeros = self.digits.iter().rev().take_while(|digit| **digit == b'0').count();
        self.digits.truncate(self.digits.len() - zeros);
        exponent = exponent.checked_add(i64::try_from(zeros).ok()?)?;
        let leading = self.digits.iter().take_while(|digit| **digit == b'0').count();
        let significant = self.digits.get(leading..)?;
        let value = if significant.is_empty() {
            pair(3, scale)
        } else {
            let seed = if number.negative { 3 } else { 4 };
            pair(xxh3_128_with_seed(significant, seed), u128::from(exponent.cast_unsigned()) << 64 | scale)
        };
        self.value(value);
        Some(())
    }

    fn literal(&mut self, value: Option<bool>) {
        self.value(pair(2, value.map_or(0, |value| 1 + u128::from(value))));
    }
}

fn string_hash(text: &Text<'_>) -> Option<u128> {
    // The seed keeps strings apart from numbers.
    const SEED: u64 = 5;
    Some(if text.escaped {
        xxh3_128_with_seed(text.unescaped()?.as_bytes(), SEED)
    } else {
        xxh3_128_with_seed(text.raw(), SEED)
    })
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
