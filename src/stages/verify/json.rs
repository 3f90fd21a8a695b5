//! Hashes the meaning of a JSON document: numbers by exact decimal value and the count of digits after the point
//! (`jsonb` keeps it), strings by their characters, members in any order. Reads RFC 8259 to the letter and keeps its
//! own stack, so that depth costs heap, not stack.

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::decimal::DecimalDigits;

/// What a document means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct JsonMeaning {
    /// Equal for documents that `jsonb` can't distinguish.
    pub(super) hash: u128,
    /// Whether it says something that `jsonb` forgets: a member twice in one object, or a negative zero.
    pub(super) loses: bool,
    /// Whether `jsonb` refuses it, or only digits without end would hold it: U+0000, numbers of more than 1000
    /// characters or with an exponent beyond, 200 MB, 5000 levels.
    beyond: bool,
}

impl JsonMeaning {
    /// Whether the plan keeps the document out of `jsonb`.
    pub(super) fn is_beyond(&self) -> bool {
        self.loses || self.beyond
    }
}

/// Whether a text is JSON of a depth that PostgreSQL reads. Escapes of lone surrogates are.
pub(super) fn is_json(document: &[u8]) -> bool {
    let parsed = serde_json::from_slice::<&serde_json::value::RawValue>(document).is_ok();
    let (mut depth, mut deepest, mut inside, mut escaped) = (0_usize, 0, false, false);
    for byte in document {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'[' | b'{' if !inside => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !inside => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    parsed && deepest <= DEPTH_MOST
}

/// Levels that a document may have.
const DEPTH_MOST: usize = 5000;

/// A container that is being read.
enum OpenContainer {
    Array(u128),
    /// Members as hashes of name and value, and the name whose value comes next.
    Object(Vec<(u128, u128)>, u128),
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    /// A value, or the end of an array that is empty.
    ValueOrEnd,
    Name,
    /// A member's name, or the end of an object that is empty.
    NameOrEnd,
    /// A comma, or the end of the container.
    More,
}

struct JsonReader<'a> {
    rest: &'a [u8],
    open: Vec<OpenContainer>,
    loses: bool,
    beyond: bool,
}

/// The meaning of a document; none if it isn't JSON.
pub(super) fn meaning(document: &[u8]) -> Option<JsonMeaning> {
    std::str::from_utf8(document).ok()?;
    let mut reader =
        JsonReader { rest: document, open: Vec::new(), loses: false, beyond: document.len() > 200_000_000 };
    let mut expect = Expect::Value;
    loop {
        reader.skip_blanks();
        let value = match expect {
            Expect::Value | Expect::ValueOrEnd => reader.value_start(expect == Expect::ValueOrEnd)?,
            Expect::Name | Expect::NameOrEnd => reader.name(expect == Expect::NameOrEnd)?,
            Expect::More => reader.more()?,
        };
        match value {
            ReadStep::Next(next) => expect = next,
            ReadStep::Value(hash) => match reader.keep(hash) {
                None => expect = Expect::More,
                Some(hash) => {
                    reader.skip_blanks();
                    let meaning = JsonMeaning { hash, loses: reader.loses, beyond: reader.beyond };
                    return reader.rest.is_empty().then_some(meaning);
                }
            },
        }
    }
}

/// What reading one thing led to.
enum ReadStep {
    /// Something else must come.
    Next(Expect),
    /// A whole value was read.
    Value(u128),
}

impl<'a> JsonReader<'a> {
    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Gives a finished value to its container, or back if it is the document.
    fn keep(&mut self, hash: u128) -> Option<u128> {
        match self.open.last_mut() {
            None => return Some(hash),
            Some(OpenContainer::Array(before)) => *before = combine(HashKind::Array, [*before, hash]),
            Some(OpenContainer::Object(members, name)) => members.push((*name, hash)),
        }
        None
    }

    fn close(&mut self) -> Option<ReadStep> {
        Some(ReadStep::Value(match self.open.pop()? {
            OpenContainer::Array(hash) => combine(HashKind::Array, [hash]),
            OpenContainer::Object(members, _) => self.object(members),
        }))
    }

    /// In the order of their names; of members of one name the last counts.
    fn object(&mut self, mut members: Vec<(u128, u128)>) -> u128 {
        members.sort_by_key(|(name, _)| *name);
        let mut hash = 0;
        let mut members = members.into_iter().peekable();
        while let Some((name, value)) = members.next() {
            if members.peek().is_some_and(|(next, _)| *next == name) {
                self.loses = true;
            } else {
                hash = combine(HashKind::Object, [hash, name, value]);
            }
        }
        combine(HashKind::Object, [hash])
    }

    fn value_start(&mut self, may_end: bool) -> Option<ReadStep> {
        let (first, rest) = self.rest.split_first()?;
        match first {
            b'[' => {
                self.rest = rest;
                self.open.push(OpenContainer::Array(0));
                self.beyond |= self.open.len() > DEPTH_MOST;
                Some(ReadStep::Next(Expect::ValueOrEnd))
            }
            b'{' => {
                self.rest = rest;
                self.open.push(OpenContainer::Object(Vec::new(), 0));
                self.beyond |= self.open.len() > DEPTH_MOST;
                Some(ReadStep::Next(Expect::NameOrEnd))
            }
            b']' if may_end => {
                self.rest = rest;
                self.close()
            }
            b'"' => self.string().map(ReadStep::Value),
            b'-' | b'0'..=b'9' => self.number().map(ReadStep::Value),
            _ => self.word().map(ReadStep::Value),
        }
    }

    fn name(&mut self, may_end: bool) -> Option<ReadStep> {
        match self.rest {
            [b'}', rest @ ..] if may_end => {
                self.rest = rest;
                self.close()
            }
            [b'"', ..] => {
                let read = self.string()?;
                self.skip_blanks();
                self.rest = self.rest.strip_prefix(b":")?;
                if let Some(OpenContainer::Object(_, name)) = self.open.last_mut() {
                    *name = read;
                }
                Some(ReadStep::Next(Expect::Value))
            }
            _ => None,
        }
    }

    fn more(&mut self) -> Option<ReadStep> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        match (first, self.open.last()?) {
            (b',', OpenContainer::Array(_)) => Some(ReadStep::Next(Expect::Value)),
            (b',', OpenContainer::Object(..)) => Some(ReadStep::Next(Expect::Name)),
            (b']', OpenContainer::Array(_)) | (b'}', OpenContainer::Object(..)) => self.close(),
            _ => None,
        }
    }

    fn word(&mut self) -> Option<u128> {
        let word = [&b"null"[..], b"true", b"false"].into_iter().find(|word| self.rest.starts_with(word))?;
        self.rest = self.rest.strip_prefix(word)?;
        Some(xxh3_128_with_seed(word, HashKind::Word.seed()))
    }

    fn number(&mut self) -> Option<u128> {
        let all = self.rest;
        self.rest = self.rest.strip_prefix(b"-").unwrap_or(self.rest);
        if self.rest.first() == Some(&b'0') {
            self.rest = self.rest.get(1..)?;
        } else {
            self.digits()?;
        }
        if let Some(rest) = self.rest.strip_prefix(b".") {
            self.rest = rest;
            self.digits()?;
        }
        self.beyond |= all.len() - self.rest.len() > 1000;
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest.strip_prefix(b"+").or_else(|| rest.strip_prefix(b"-")).unwrap_or(rest);
            let power = self.rest;
            self.digits()?;
            let power = power.get(..power.len() - self.rest.len())?;
            let power = std::str::from_utf8(power).ok()?.parse::<u64>();
            self.beyond |= power.map_or(true, |power| power > 1000);
        }
        let written = all.get(..all.len() - self.rest.len())?;
        let number = DecimalDigits::of_number(written)?;
        self.loses |= number.is_zero() && number.negative;
        let negative = number.negative && !number.is_zero();
        let digits = xxh3_128_with_seed(&number.significant, HashKind::Number.seed());
        let shift = u128::from(number.point.cast_unsigned()) << 1 | u128::from(negative);
        Some(combine(HashKind::Number, [digits, shift, digits_after_point(written)?]))
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = self.rest.get(count..)?;
        (count > 0).then_some(())
    }

    fn string(&mut self) -> Option<u128> {
        self.rest = self.rest.strip_prefix(b"\"")?;
        let plain = self.plain()?;
        if let Some(rest) = self.rest.strip_prefix(b"\"") {
            self.rest = rest;
            return Some(xxh3_128_with_seed(plain, HashKind::String.seed()));
        }
        let mut text = plain.to_vec();
        loop {
            match self.rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    return Some(xxh3_128_with_seed(&text, HashKind::String.seed()));
                }
                [b'\\', rest @ ..] => {
                    self.rest = rest;
                    let character = self.escaped()?;
                    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    text.extend_from_slice(self.plain()?);
                }
                _ => return None,
            }
        }
    }

    /// The characters up to an escape, a quote, or what no string may hold.
    fn plain(&mut self) -> Option<&'a [u8]> {
        let length = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
        let (plain, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(plain)
    }

    fn escaped(&mut self) -> Option<char> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(match first {
            b'"' | b'\\' | b'/' => char::from(*first),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                self.beyond |= unit == 0;
                if !(0xd800..0xdc00).contains(&unit) {
                    return char::from_u32(unit);
                }
                self.rest = self.rest.strip_prefix(b"\\u")?;
                let low = self.unit()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                return char::from_u32(0x1_0000 + (unit - 0xd800) * 0x400 + low);
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let (written, rest) = self.rest.split_at_checked(4)?;
        self.rest = rest;
        written.iter().try_fold(0, |unit, byte| Some(unit * 16 + char::from(*byte).to_digit(16)?))
    }
}

/// What a hash stands for: equal bytes of different sorts have different hashes.
#[derive(Clone, Copy)]
enum HashKind {
    Word,
    Number,
    String,
    Array,
    Object,
}

impl HashKind {
    const fn seed(self) -> u64 {
        match self {
            Self::Word => 1,
            Self::Number => 2,
            Self::String => 3,
            Self::Array => 4,
            Self::Object => 5,
        }
    }
}

/// Digits after the point of a number that is written without its exponent.
fn digits_after_point(number: &[u8]) -> Option<u128> {
    let mark = number.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(number.len());
    let (number, power) = number.split_at_checked(mark)?;
    let power = power.get(1..).map_or(Some(0), |power| std::str::from_utf8(power).ok()?.parse::<i128>().ok())?;
    let fraction = number.iter().position(|byte| *byte == b'.').map_or(0, |dot| number.len() - dot - 1);
    Some(i128::try_from(fraction).ok()?.saturating_sub(power).max(0).unsigned_abs())
}

fn combine<const N: usize>(sort: HashKind, hashes: [u128; N]) -> u128 {
    let bytes = hashes.map(u128::to_be_bytes);
    xxh3_128_with_seed(bytes.as_flattened(), sort.seed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> u128 {
        meaning(text.as_bytes()).unwrap().hash
    }

    #[test]
    fn spellings_of_one_document_are_one() {
        for (one, other) in [
            (r#"{"a":1,"b":[true,null]}"#, " { \"b\" : [ true , null ] ,\n\"a\":1e0 } "),
            (r#""\u00e9\ud83d\ude00\/""#, "\"é😀/\""),
            ("1.10", "110e-2"),
            ("1.0e1", "10"),
            ("0e3", "0"),
            ("[]", "[ ]"),
            ("{}", "{ }"),
            ("-0", "0"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ] {
            assert_eq!(hash(one), hash(other), "{one}");
        }
    }

    #[test]
    fn documents_that_differ_are_different() {
        let all = [
            "null",
            "true",
            "false",
            "0",
            "1",
            "-1",
            "10",
            "\"\"",
            "\"1\"",
            "\"null\"",
            "[]",
            "{}",
            "[[]]",
            "[null]",
            "[1,2]",
            "[2,1]",
            "[[1],2]",
            "[[1,2]]",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"[{"a":1}]"#,
            r#"["a",1]"#,
            "0.1",
            "0.10",
            "1.0",
            "0.0",
            "1e400",
            "1e401",
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert_ne!(hash(one), hash(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn what_is_not_json_has_no_meaning() {
        for text in [
            "",
            " ",
            "nul",
            "01",
            "1.",
            ".5",
            "+1",
            "1e",
            "- 1",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "[1",
            "]",
            "[1}",
            "\"a",
            "\"\t\"",
            r#""\x""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            "1 2",
            "'a'",
            "NaN",
            "Infinity",
            "// 1",
            "nulll",
        ] {
            assert_eq!(meaning(text.as_bytes()), None, "{text}");
        }
        assert_eq!(meaning(b"\"\xff\""), None);
    }

    #[test]
    fn what_jsonb_forgets_is_noticed() {
        for text in [r#"{"a":1,"a":1}"#, "[-0]", "-0.0e5", r#"[{"x":{"a":1,"\u0061":2}}]"#] {
            assert!(meaning(text.as_bytes()).unwrap().loses, "{text}");
        }
        for text in [r#"[{"a":1},{"a":1}]"#, "0.0", r#"{"a":{"a":1}}"#] {
            assert!(!meaning(text.as_bytes()).unwrap().loses, "{text}");
        }
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert!(meaning(deep.as_bytes()).is_some());
    }
}
