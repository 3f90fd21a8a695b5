//! Writes the text that `jsonb` shows of a JSON document (PostgreSQL manual, "JSON Types"): members in the order of the
//! lengths and bytes of their names, the last one of a name, numbers without exponent. Equal texts mean equal documents.
//! Reads RFC 8259 to the letter and keeps its own stack, so that depth costs heap, not stack.

use super::decimal::DecimalDigits;

/// What a document means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JsonMeaning {
    /// Equal for documents that `jsonb` can't distinguish: what it shows of them, except for numbers of more than
    /// [`PLAIN_DIGITS`] digits.
    pub(super) text: Vec<u8>,
    /// Whether it says something that `jsonb` forgets: a member twice in one object, or a negative zero.
    pub(super) loses: bool,
    /// Whether `jsonb` refuses it, or only digits without end would hold it: U+0000, numbers of more than 1000
    /// characters or with an exponent beyond, 200 MB, 5000 levels.
    beyond: bool,
}

/// Digits before or after the point of a number that is written out.
const PLAIN_DIGITS: usize = 400;

/// Bytes of a text. No server shows a longer one.
const TEXT_BYTES: usize = 1 << 30;

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
    Array,
    Object {
        members: Vec<JsonMember>,
        /// Where its text begins, after the brace.
        start: usize,
    },
}

/// A member of an object that is being read.
#[derive(Clone, Copy)]
struct JsonMember {
    /// The characters of its name, in `names`.
    name: (usize, usize),
    /// Where it begins in the text of the document. It ends before the separator of the next.
    start: usize,
    end: usize,
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
    out: Vec<u8>,
    /// The names of members of open objects, without escapes.
    names: Vec<u8>,
    loses: bool,
    beyond: bool,
}

/// The meaning of a document; none if it isn't JSON.
pub(super) fn meaning(document: &[u8]) -> Option<JsonMeaning> {
    std::str::from_utf8(document).ok()?;
    let mut reader = JsonReader {
        rest: document,
        open: Vec::new(),
        out: Vec::with_capacity(document.len() + document.len() / 4),
        names: Vec::new(),
        loses: false,
        beyond: document.len() > 200_000_000,
    };
    let mut expect = Expect::Value;
    loop {
        reader.skip_blanks();
        let step = match expect {
            Expect::Value | Expect::ValueOrEnd => reader.value_start(expect == Expect::ValueOrEnd)?,
            Expect::Name | Expect::NameOrEnd => reader.name(expect == Expect::NameOrEnd)?,
            Expect::More => reader.more()?,
        };
        if reader.out.len() > TEXT_BYTES {
            return None;
        }
        match step {
            ReadStep::Next(next) => expect = next,
            ReadStep::Value if reader.keep() => expect = Expect::More,
            ReadStep::Value => {
                reader.skip_blanks();
                let meaning = JsonMeaning { text: reader.out, loses: reader.loses, beyond: reader.beyond };
                return reader.rest.is_empty().then_some(meaning);
            }
        }
    }
}

/// What reading one thing led to.
enum ReadStep {
    /// Something else must come.
    Next(Expect),
    /// A whole value was read and written.
    Value,
}

impl<'a> JsonReader<'a> {
    fn skip_blanks(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Notes that a value of the innermost container is complete. False for the document itself.
    fn keep(&mut self) -> bool {
        match self.open.last_mut() {
            None => return false,
            Some(OpenContainer::Array) => {}
            Some(OpenContainer::Object { members, .. }) => {
                if let Some(last) = members.last_mut() {
                    last.end = self.out.len();
                }
            }
        }
        true
    }

    fn close(&mut self) -> Option<ReadStep> {
        match self.open.pop()? {
            OpenContainer::Array => self.out.push(b']'),
            OpenContainer::Object { members, start } => {
                self.sort(&members, start);
                if let Some(first) = members.first() {
                    self.names.truncate(first.name.0);
                }
                self.out.push(b'}');
            }
        }
        Some(ReadStep::Value)
    }

    /// Puts the members of a complete object into their order; of members of one name the last counts.
    fn sort(&mut self, members: &[JsonMember], start: usize) {
        let name = |member: &JsonMember| self.names.get(member.name.0..member.name.1).unwrap_or_default();
        let order = |member: &JsonMember| (member.name.1 - member.name.0, name(member));
        // What is beyond any server needs no order.
        let is_deep = self.open.len() >= DEPTH_MOST;
        if is_deep || members.windows(2).all(|pair| matches!(pair, [one, next] if order(one) < order(next))) {
            return;
        }
        let mut sorted = members.to_vec();
        sorted.sort_by(|one, other| order(one).cmp(&order(other)));
        let mut text = Vec::with_capacity(self.out.len() - start);
        let mut repeated = false;
        let mut rest = sorted.iter().peekable();
        while let Some(member) = rest.next() {
            if rest.peek().is_some_and(|next| order(next) == order(member)) {
                repeated = true;
                continue;
            }
            if !text.is_empty() {
                text.extend_from_slice(b", ");
            }
            text.extend_from_slice(self.out.get(member.start..member.end).unwrap_or_default());
        }
        self.loses |= repeated;
        self.out.truncate(start);
        self.out.append(&mut text);
    }

    fn value_start(&mut self, may_end: bool) -> Option<ReadStep> {
        let (first, rest) = self.rest.split_first()?;
        match first {
            b'[' => {
                self.rest = rest;
                self.out.push(b'[');
                self.open.push(OpenContainer::Array);
                self.beyond |= self.open.len() > DEPTH_MOST;
                Some(ReadStep::Next(Expect::ValueOrEnd))
            }
            b'{' => {
                self.rest = rest;
                self.out.push(b'{');
                self.open.push(OpenContainer::Object { members: Vec::new(), start: self.out.len() });
                self.beyond |= self.open.len() > DEPTH_MOST;
                Some(ReadStep::Next(Expect::NameOrEnd))
            }
            b']' if may_end => {
                self.rest = rest;
                self.close()
            }
            b'"' => self.string(false).map(|()| ReadStep::Value),
            b'-' | b'0'..=b'9' => self.number().map(|()| ReadStep::Value),
            _ => self.word().map(|()| ReadStep::Value),
        }
    }

    fn name(&mut self, may_end: bool) -> Option<ReadStep> {
        match self.rest {
            [b'}', rest @ ..] if may_end => {
                self.rest = rest;
                self.close()
            }
            [b'"', ..] => {
                let (start, from) = (self.out.len(), self.names.len());
                self.string(true)?;
                self.skip_blanks();
                self.rest = self.rest.strip_prefix(b":")?;
                self.out.extend_from_slice(b": ");
                let member = JsonMember { name: (from, self.names.len()), start, end: start };
                if let Some(OpenContainer::Object { members, .. }) = self.open.last_mut() {
                    members.push(member);
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
            (b']', OpenContainer::Array) | (b'}', OpenContainer::Object { .. }) => return self.close(),
            (b',', _) => {}
            _ => return None,
        }
        self.out.extend_from_slice(b", ");
        let is_array = matches!(self.open.last()?, OpenContainer::Array);
        Some(ReadStep::Next(if is_array { Expect::Value } else { Expect::Name }))
    }

    fn word(&mut self) -> Option<()> {
        let word = [&b"null"[..], b"true", b"false"].into_iter().find(|word| self.rest.starts_with(word))?;
        self.rest = self.rest.strip_prefix(word)?;
        self.out.extend_from_slice(word);
        Some(())
    }

    fn number(&mut self) -> Option<()> {
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
        let is_zero =
            !written.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| (b'1'..=b'9').contains(byte));
        self.loses |= is_zero && written.starts_with(b"-");
        if written.len() <= PLAIN_DIGITS && !written.iter().any(|byte| matches!(byte, b'e' | b'E')) {
            self.out.extend_from_slice(if is_zero { written.strip_prefix(b"-").unwrap_or(written) } else { written });
            return Some(());
        }
        let number = DecimalDigits::of_number(written)?;
        let scale = digits_after_point(written)?;
        if number.negative && !number.is_zero() {
            self.out.push(b'-');
        }
        let scale = usize::try_from(scale).unwrap_or(usize::MAX);
        let is_plain = number.point.unsigned_abs() <= PLAIN_DIGITS as u64 && scale <= PLAIN_DIGITS;
        if is_plain {
            self.plain_number(&number, scale);
        } else {
            // No number is shown like this. Both sides write it the same way.
            self.out.extend_from_slice(&number.significant);
            self.out.extend_from_slice(format!("e{}s{scale}", number.point).as_bytes());
        }
        Some(())
    }

    /// Writes a number without exponent, with so many digits after the point.
    fn plain_number(&mut self, number: &DecimalDigits, scale: usize) {
        let digit = |at: i64| {
            let at = usize::try_from(at).ok();
            at.and_then(|at| number.significant.get(at)).copied().unwrap_or(b'0')
        };
        if number.point <= 0 {
            self.out.push(b'0');
        }
        self.out.extend((0..number.point).map(digit));
        if scale > 0 {
            self.out.push(b'.');
            self.out.extend((number.point..).take(scale).map(digit));
        }
    }

    fn digits(&mut self) -> Option<()> {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.rest = self.rest.get(count..)?;
        (count > 0).then_some(())
    }

    /// Reads and writes a string; the characters of a name are kept, too.
    fn string(&mut self, is_name: bool) -> Option<()> {
        self.rest = self.rest.strip_prefix(b"\"")?;
        self.out.push(b'"');
        loop {
            let plain = self.plain()?;
            self.out.extend_from_slice(plain);
            if is_name {
                self.names.extend_from_slice(plain);
            }
            match self.rest {
                [b'"', rest @ ..] => {
                    self.rest = rest;
                    self.out.push(b'"');
                    return Some(());
                }
                [b'\\', rest @ ..] => {
                    self.rest = rest;
                    let character = self.escaped()?;
                    if is_name {
                        self.names.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                    self.character(character);
                }
                _ => return None,
            }
        }
    }

    /// Writes a character as PostgreSQL does (`escape_json`).
    fn character(&mut self, character: char) {
        let short = match character {
            '"' => b'"',
            '\\' => b'\\',
            '\u{8}' => b'b',
            '\u{c}' => b'f',
            '\n' => b'n',
            '\r' => b'r',
            '\t' => b't',
            '\0'..='\u{1f}' => {
                self.out.extend_from_slice(format!("\\u{:04x}", u32::from(character)).as_bytes());
                return;
            }
            _ => {
                self.out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return;
            }
        };
        self.out.extend_from_slice(&[b'\\', short]);
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

/// Digits after the point of a number that is written without its exponent.
fn digits_after_point(number: &[u8]) -> Option<u128> {
    let mark = number.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(number.len());
    let (number, power) = number.split_at_checked(mark)?;
    let power = power.get(1..).map_or(Some(0), |power| std::str::from_utf8(power).ok()?.parse::<i128>().ok())?;
    let fraction = number.iter().position(|byte| *byte == b'.').map_or(0, |dot| number.len() - dot - 1);
    Some(i128::try_from(fraction).ok()?.saturating_sub(power).max(0).unsigned_abs())
}

#[cfg(test)]
mod tests;
