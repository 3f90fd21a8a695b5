//! Recognises JSON that PostgreSQL accepts: RFC 8259, and for `jsonb` only what it keeps
//! (docs/conversion-rules.md, section 1.7).

use xxhash_rust::xxh3::xxh3_64;

use super::json_walk::{Number, Text, Visitor, walk};

/// `jsonb` takes 268435455 bytes of strings in one document; this leaves space for its own headers.
const JSONB_BYTES_MOST: usize = 200_000_000;

/// Digits and exponent up to which a number becomes a `numeric` of sensible size.
const NUMBER_DIGITS_MOST: usize = 1000;

/// Which PostgreSQL type keeps a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonTarget {
    /// `jsonb`: only spacing, key order and number spelling change.
    Jsonb,
    /// Only `json`: duplicate keys, `\u0000`, lone surrogates, `-0`, huge numbers or sheer size.
    Json,
}

/// A checker with its buffers, to be used for one document after the other.
#[derive(Debug, Default)]
pub struct Checker {
    open: Vec<bool>,
    losses: Losses,
}

/// What `jsonb` would lose of a document.
#[derive(Debug, Default)]
struct Losses {
    any: bool,
    /// Hashes of the keys of the objects that are open.
    keys: Vec<u64>,
    /// How many keys the enclosing objects of each open array or object have.
    keys_from: Vec<usize>,
}

impl Checker {
    /// Checks one document, which must be valid UTF-8. `None` if it isn't JSON.
    #[must_use]
    pub fn check(&mut self, text: &[u8]) -> Option<JsonTarget> {
        self.losses.any = text.len() > JSONB_BYTES_MOST;
        self.losses.keys.clear();
        self.losses.keys_from.clear();
        walk(text, &mut self.open, &mut self.losses)?;
        Some(if self.losses.any { JsonTarget::Json } else { JsonTarget::Jsonb })
    }
}

impl Visitor for Losses {
    /// Deeper nesting overflows PostgreSQL's stack at its default `max_stack_depth` (6000 levels load, 100000 don't).
    const DEPTH_MAX: usize = 5000;

    fn enter(&mut self, _: bool) {
        self.keys_from.push(self.keys.len());
    }

    fn leave(&mut self) -> Option<()> {
        let from = self.keys_from.pop()?;
        self.any |= self.repeats(from);
        self.keys.truncate(from);
        Some(())
    }

    #[inline]
    fn key(&mut self, key: &Text<'_>) -> Option<()> {
        self.any |= key.unstorable;
        if !self.any {
            self.keys.push(if key.escaped { hash(key.unescaped()?.as_bytes()) } else { hash(key.raw()) });
        }
        Some(())
    }

    #[inline]
    fn text(&mut self, text: &Text<'_>) -> Option<()> {
        self.any |= text.unstorable;
        Some(())
    }

    #[inline]
    fn number(&mut self, number: &Number<'_>) -> Option<()> {
        let mut digits = number.whole.iter().chain(number.fraction);
        self.any |= number.whole.len() + number.fraction.len() > NUMBER_DIGITS_MOST;
        self.any |= number.negative && digits.all(|digit| *digit == b'0');
        if !number.exponent.is_empty() {
            let power = str::from_utf8(number.exponent).ok()?;
            self.any |= power.parse::<i64>().map_or(true, |power| power.unsigned_abs() > NUMBER_DIGITS_MOST as u64);
        }
        Some(())
    }

    fn literal(&mut self, _: Option<bool>) {}
}

impl Losses {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Option<JsonTarget> {
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
            assert_eq!(check(text), Some(JsonTarget::Jsonb), "{text}");
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
            assert_eq!(check(text), Some(JsonTarget::Json), "{text}");
        }
        assert_eq!(check("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"), Some(JsonTarget::Jsonb));
    }

    #[test]
    fn depth_has_a_limit_and_a_checker_can_be_used_again() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let mut checker = Checker::default();
        assert_eq!(checker.check(nested(Losses::DEPTH_MAX).as_bytes()), Some(JsonTarget::Jsonb));
        assert_eq!(checker.check(nested(Losses::DEPTH_MAX + 1).as_bytes()), None);
        assert_eq!(checker.check(b"{\"a\":"), None);
        assert_eq!(checker.check(b"{\"b\":1}"), Some(JsonTarget::Jsonb));
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_another_parser(text in "[\\[\\]{}:,\"a0-9.eE+\\-tru\\\\ n]{0,24}") {
            let accepted = check(&text).is_some();
            let theirs = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
            proptest::prop_assert_eq!(accepted, theirs, "{}", text);
        }
    }
}
