//! The text that PostgreSQL shows for a `jsonb` value, written from any JSON text of that value (PostgreSQL "JSON Types"):
//! members by the length of their keys and then by their bytes, the last one of several, numbers without exponent.

use crate::rules::value_shape::json_walk::{Number, Text, Visitor, walk};

/// Bytes that no text of PostgreSQL has (PostgreSQL "Character Types": about 1 GB).
const BYTES_MAX: usize = 1 << 30;

/// Digits on one side of the point that no `numeric` has (PostgreSQL "Numeric Types": 131,072).
const DIGITS_MAX: i64 = 200_000;

/// Writes texts; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub(super) struct JsonbWriter {
    open: Vec<bool>,
    document: Document,
}

impl JsonbWriter {
    /// The text of the same value. None if this is no JSON, or nothing that `jsonb` takes.
    pub(super) fn of(&mut self, text: &[u8]) -> Option<&[u8]> {
        self.document.text.clear();
        self.document.open.clear();
        walk(text, &mut self.open, &mut self.document)?;
        Some(&self.document.text)
    }
}

/// What was written so far.
#[derive(Debug, Default)]
struct Document {
    text: Vec<u8>,
    open: Vec<Container>,
    scratch: Vec<u8>,
}

/// An array or object that is not closed yet.
#[derive(Debug)]
struct Container {
    is_object: bool,
    /// Where its values begin in the text.
    start: usize,
    /// How many it has.
    count: usize,
    /// The members of an object.
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    key: Vec<u8>,
    /// Key and value in the text.
    start: usize,
    end: usize,
}

impl Member {
    /// By what PostgreSQL orders keys.
    fn order(&self) -> (usize, &[u8]) {
        (self.key.len(), &self.key)
    }
}

impl Document {
    /// A member or an element begins.
    fn begin(&mut self) {
        if self.open.last().is_some_and(|container| container.count > 0) {
            self.text.extend_from_slice(b", ");
        }
    }

    /// A value of an array begins. That of an object follows its key.
    fn begin_value(&mut self) {
        if self.open.last().is_some_and(|container| !container.is_object) {
            self.begin();
        }
    }

    /// A value was written. None if the text is longer than any text.
    fn end_value(&mut self) -> Option<()> {
        let end = self.text.len();
        if let Some(container) = self.open.last_mut() {
            container.count += 1;
            if let Some(member) = container.members.last_mut() {
                member.end = end;
            }
        }
        (end <= BYTES_MAX).then_some(())
    }

    /// Puts the members into their order. Of equal keys the last one counts.
    fn sort(&mut self, container: &mut Container) {
        let members = &mut container.members;
        if members.is_sorted_by(|one, other| one.order() < other.order()) {
            return;
        }
        members.sort_by(|one, other| one.order().cmp(&other.order()));
        self.scratch.clear();
        for (place, member) in members.iter().enumerate() {
            // The sort keeps the order of equal keys.
            if members.get(place + 1).is_some_and(|next| next.key == member.key) {
                continue;
            }
            if !self.scratch.is_empty() {
                self.scratch.extend_from_slice(b", ");
            }
            self.scratch.extend_from_slice(self.text.get(member.start..member.end).unwrap_or_default());
        }
        self.text.truncate(container.start);
        self.text.append(&mut self.scratch);
    }
}

impl Visitor for Document {
    /// PostgreSQL's own parser gives up earlier.
    const DEPTH_MAX: usize = 100_000;

    fn enter(&mut self, is_object: bool) {
        self.begin_value();
        self.text.push(if is_object { b'{' } else { b'[' });
        self.open.push(Container { is_object, start: self.text.len(), count: 0, members: Vec::new() });
    }

    fn leave(&mut self) -> Option<()> {
        let mut container = self.open.pop()?;
        self.sort(&mut container);
        self.text.push(if container.is_object { b'}' } else { b']' });
        self.end_value()
    }

    fn key(&mut self, key: &Text<'_>) -> Option<()> {
        self.begin();
        let start = self.text.len();
        let key = if key.escaped { key.unescaped()?.into_bytes() } else { key.raw().to_vec() };
        quoted(&mut self.text, &key);
        self.text.extend_from_slice(b": ");
        self.open.last_mut()?.members.push(Member { key, start, end: start });
        Some(())
    }

    fn text(&mut self, text: &Text<'_>) -> Option<()> {
        self.begin_value();
        if text.escaped {
            quoted(&mut self.text, text.unescaped()?.as_bytes());
        } else {
            self.text.extend_from_slice(text.quoted);
        }
        self.end_value()
    }

    fn number(&mut self, number: &Number<'_>) -> Option<()> {
        let exponent: i64 = match number.exponent {
            [] => 0,
            power => str::from_utf8(power).ok()?.parse().ok()?,
        };
        let mut digits = number.whole.to_vec();
        digits.extend_from_slice(number.fraction);
        let is_zero = digits.iter().all(|digit| *digit == b'0');
        // Where the point stands, counted from the first digit.
        let point = i64::try_from(number.whole.len()).ok()?.checked_add(exponent)?;
        let point = if is_zero { 1 } else { point };
        let scale = i64::try_from(number.fraction.len()).ok()?.checked_sub(exponent)?.max(0);
        let digit =
            |place: i64| usize::try_from(place).ok().and_then(|place| digits.get(place)).copied().unwrap_or(b'0');
        if point.max(scale) > DIGITS_MAX {
            return None;
        }
        self.begin_value();
        if number.negative && !is_zero {
            self.text.push(b'-');
        }
        let first = (0..point).find(|place| digit(*place) != b'0').unwrap_or(point - 1).min(point - 1);
        if point <= 0 {
            self.text.push(b'0');
        } else {
            self.text.extend((first..point).map(digit));
        }
        if scale > 0 {
            self.text.push(b'.');
            self.text.extend((point..point.checked_add(scale)?).map(digit));
        }
        self.end_value()
    }

    fn literal(&mut self, value: Option<bool>) {
        self.begin_value();
        self.text.extend_from_slice(match value {
            None => b"null",
            Some(true) => b"true",
            Some(false) => b"false",
        });
        self.end_value();
    }
}

/// A string with the escapes that PostgreSQL writes (`escape_json`).
fn quoted(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        match byte {
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_postgresql() {
        for (json, shown) in [
            ("{\"bb\":1,\"a\":[true,null,{}],\"a\":[]}", "{\"a\": [], \"bb\": 1}"),
            ("[ [1,2] , \"x\" ]", "[[1, 2], \"x\"]"),
            ("\"\\u00e9\\n\\/\\u0001\"", "\"\u{e9}\\n/\\u0001\""),
            ("{\"b\":{\"d\":[1,{}],\"c\":2},\"a\":[]}", "{\"a\": [], \"b\": {\"c\": 2, \"d\": [1, {}]}}"),
            ("{\"a\":1,\"b\":[{\"x\":null},3]}", "{\"a\": 1, \"b\": [{\"x\": null}, 3]}"),
            ("{\"k\\n\":\"plain\"}", "{\"k\\n\": \"plain\"}"),
            ("1e2", "100"),
            ("1.50e1", "15.0"),
            ("12e-1", "1.2"),
            ("1E-7", "0.0000001"),
            ("-0.0", "0.0"),
            ("-0", "0"),
            ("0e5", "0"),
            ("0.00e1", "0.0"),
            ("-120.0e-2", "-1.200"),
            ("0.012e2", "1.2"),
            ("0.5e1", "5"),
            ("0e20", "0"),
            ("0e-3", "0.000"),
            ("{\"\":1,\"\u{e9}\":2,\"ab\":3,\"b\":1}", "{\"\": 1, \"b\": 1, \"ab\": 3, \"\u{e9}\": 2}"),
            ("false", "false"),
        ] {
            let found =
                JsonbWriter::default().of(json.as_bytes()).map(|text| String::from_utf8_lossy(text).into_owned());
            assert_eq!(found.as_deref(), Some(shown), "{json}");
        }
        for nothing in ["[1,", "1e999999999", "1e-999999999"] {
            assert_eq!(JsonbWriter::default().of(nothing.as_bytes()), None);
        }
    }
}
