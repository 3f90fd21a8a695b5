//! Reads SQLite's binary JSON ("The JSONB Format") strictly, and writes it as SQLite's `json()` does.
//!
//! Plan and load read it here; a verification has SQLite read it, so that a mistake here is found there. What isn't
//! understood to the letter is refused.

/// SQLite takes no deeper nesting (`JSON_MAX_DEPTH`).
const DEPTH_MOST: usize = 1000;

/// The document as text; `None` if the blob isn't JSONB from its first byte to its last, or uses JSON5 spellings whose
/// translation isn't plain.
#[must_use]
pub fn text_of(blob: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(blob.len() + blob.len() / 4);
    let rest = element(blob, &mut out, 0)?;
    if rest.is_empty() { String::from_utf8(out).ok() } else { None }
}

/// Writes the element at the beginning of `bytes`; returns what is behind it.
fn element<'a>(bytes: &'a [u8], out: &mut Vec<u8>, depth: usize) -> Option<&'a [u8]> {
    let (kind, payload, rest) = take_apart(bytes)?;
    match kind {
        // SQLite takes these in one byte alone, without a length of its own.
        0..=2 if bytes.first() == Some(&kind) => out.extend_from_slice(match kind {
            0 => b"null",
            1 => b"true",
            _ => b"false",
        }),
        3 => integer(payload, out)?,
        4 => hexadecimal(payload, out)?,
        5 | 6 => float(kind, payload, out)?,
        7..=10 => string(kind, payload, out)?,
        11 if depth < DEPTH_MOST => array(payload, out, depth + 1)?,
        12 if depth < DEPTH_MOST => object(payload, out, depth + 1)?,
        _ => return None,
    }
    Some(rest)
}

/// Kind and payload of the first element, and what is behind it.
fn take_apart(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first()?;
    let (size, rest) = match head >> 4 {
        small @ 0..=11 => (u64::from(small), rest),
        wide => {
            let (number, rest) = rest.split_at_checked(1 << (wide - 12))?;
            (number.iter().fold(0, |size, byte| size << 8 | u64::from(*byte)), rest)
        }
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(size).ok()?)?;
    Some((head & 15, payload, rest))
}

fn unsigned(number: &[u8]) -> (&[u8], &[u8]) {
    number.strip_prefix(b"-").map_or((&[][..], number), |rest| (&b"-"[..], rest))
}

fn integer(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (_, digits) = unsigned(payload);
    let is_plain = match digits {
        [b'0'] => true,
        [b'1'..=b'9', others @ ..] => others.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    out.extend_from_slice(payload);
    is_plain.then_some(())
}

fn hexadecimal(payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (sign, digits) = unsigned(payload);
    let digits = digits.strip_prefix(b"0x").or_else(|| digits.strip_prefix(b"0X"))?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let value = u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
    out.extend_from_slice(sign);
    out.extend_from_slice(value.to_string().as_bytes());
    Some(())
}

/// A number with point or exponent, or both. Kind 6 is JSON5's, which may leave out the digits on one side of the point.
fn float(kind: u8, payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (sign, number) = unsigned(payload);
    let mark = number.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(number.len());
    let (digits, power) = number.split_at_checked(mark)?;
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(point) => (digits.get(..point)?, digits.get(point + 1..)),
        None => (digits, None),
    };
    let all_digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let leading_zero = whole.len() > 1 && whole.first() == Some(&b'0');
    let nothing = whole.is_empty() && fraction.is_none_or(<[u8]>::is_empty);
    let is_json = !whole.is_empty() && !fraction.is_some_and(<[u8]>::is_empty);
    if (fraction.is_none() && power.is_empty()) || (kind == 5 && !is_json) {
        return None;
    }
    if !all_digits(whole) || !fraction.is_none_or(all_digits) || leading_zero || nothing {
        return None;
    }
    let exponent = power.get(1..).unwrap_or_default();
    let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
    if !all_digits(exponent) || (exponent.is_empty() && !power.is_empty()) {
        return None;
    }
    out.extend_from_slice(sign);
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    if let Some(fraction) = fraction {
        out.push(b'.');
        out.extend_from_slice(if fraction.is_empty() { b"0" } else { fraction });
    }
    out.extend_from_slice(power);
    Some(())
}

/// Kinds 7 (no escapes), 8 (JSON's escapes), 9 (JSON5's escapes, of which only JSON's are taken), 10 (raw).
fn string(kind: u8, payload: &[u8], out: &mut Vec<u8>) -> Option<()> {
    str::from_utf8(payload).ok()?;
    out.push(b'"');
    if kind == 10 {
        for byte in payload {
            escape(*byte, out);
        }
    } else {
        let mut bytes = payload.iter();
        while let Some(byte) = bytes.next() {
            let is_fine = match byte {
                b'"' | 0..=0x1f => false,
                b'\\' if kind == 7 => false,
                b'\\' => match bytes.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => true,
                    b'u' => (0..4).all(|_| bytes.next().is_some_and(u8::is_ascii_hexdigit)),
                    _ => false,
                },
                _ => true,
            };
            if !is_fine {
                return None;
            }
        }
        out.extend_from_slice(payload);
    }
    out.push(b'"');
    Some(())
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        8 => out.extend_from_slice(b"\\b"),
        9 => out.extend_from_slice(b"\\t"),
        10 => out.extend_from_slice(b"\\n"),
        12 => out.extend_from_slice(b"\\f"),
        13 => out.extend_from_slice(b"\\r"),
        0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
        _ => out.push(byte),
    }
}

fn array(mut payload: &[u8], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    out.push(b'[');
    let mut first = true;
    while !payload.is_empty() {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        payload = element(payload, out, depth)?;
    }
    out.push(b']');
    Some(())
}

fn object(mut payload: &[u8], out: &mut Vec<u8>, depth: usize) -> Option<()> {
    out.push(b'{');
    let mut first = true;
    while let Some(head) = payload.first() {
        if !matches!(head & 15, 7..=10) {
            return None;
        }
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        let value = element(payload, out, depth)?;
        out.push(b':');
        payload = element(value, out, depth)?;
    }
    out.push(b'}');
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite() -> rusqlite::Connection {
        rusqlite::Connection::open_in_memory().unwrap()
    }

    /// What SQLite says: the blob's text if it is strictly valid JSONB.
    fn judged(connection: &rusqlite::Connection, blob: &[u8]) -> Option<String> {
        let sql = "SELECT CASE WHEN json_valid(?1, 8) THEN json(?1) END";
        connection.query_row(sql, [blob], |row| row.get(0)).ok().flatten()
    }

    #[test]
    fn documents_are_what_sqlite_reads() {
        let connection = sqlite();
        for text in [
            "null",
            "true",
            "[]",
            "{}",
            "-12",
            "0",
            "1.5e-7",
            "0x1F",
            ".5",
            "-5.",
            "\"a\\n\\u00e9\\\"\"",
            "'it''s'",
            "{a:1,'b c':[1,2,{\"d\":null}]}",
            "\"grüße 😀\"",
            "[1,[2,[3,[4.0]]],\"x\"]",
            "{\"a\":1,\"a\":2}",
            &format!("\"{}\"", "long ".repeat(20_000)),
        ] {
            let sql = "SELECT jsonb(?1)";
            let Ok(blob) = connection.query_row(sql, [text], |row| row.get::<_, Vec<u8>>(0)) else { continue };
            assert_eq!(text_of(&blob), judged(&connection, &blob), "{text:.60}");
            assert!(text_of(&blob).is_some(), "{text:.60}");
            assert_eq!(text_of(&blob[..blob.len() - 1]), None, "{text:.60}");
            assert_eq!(text_of(&[blob.as_slice(), b"\0"].concat()), None, "{text:.60}");
        }
        let raw: Vec<u8> = connection
            .query_row("SELECT jsonb_set('{}', '$.a', 'tab\t\"quote\" ' || char(1))", [], |row| row.get(0))
            .unwrap();
        assert_eq!(text_of(&raw), judged(&connection, &raw));
        assert!(text_of(&raw).is_some());
    }

    #[test]
    fn a_number_of_another_kind_than_it_claims_is_refused() {
        let connection = sqlite();
        for blob in
            [&b"\x25-2"[..], b"\xd1\0\0", b"\xc0\0", b"\x1512", b"\x25.5", b"\x255.", b"\x3612", b"\x16.", b"\x26-."]
        {
            assert_eq!(judged(&connection, blob), None, "{blob:02x?}");
            assert_eq!(text_of(blob), None, "{blob:02x?}");
        }
        for blob in [&b"\x26.5"[..], b"\x265.", b"\x351.5", b"\x351e5"] {
            assert_eq!(text_of(blob), judged(&connection, blob), "{blob:02x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_sqlite_takes_and_writes_alike(blob in proptest::collection::vec(proptest::num::u8::ANY, 0..12)) {
            if let Some(text) = text_of(&blob) {
                proptest::prop_assert_eq!(Some(text), judged(&sqlite(), &blob), "{:?}", blob);
            }
        }

        #[test]
        fn random_documents_read_back(text in "\\[(\"[a-z\"\\\\é]{0,3}\"|-?[0-9]{1,3}|null|[0-9]\\.[0-9]),(\\{\"k\":[0-9]\\}|\\[\\])\\]") {
            let connection = sqlite();
            if let Ok(blob) = connection.query_row("SELECT jsonb(?1)", [&text], |row| row.get::<_, Vec<u8>>(0)) {
                let found = text_of(&blob);
                // An escape of JSON5 alone, which is not taken: SQLite writes it as another character.
                if found.is_some() || !text.contains("\\v") {
                    proptest::prop_assert_eq!(found, judged(&connection, &blob));
                }
            }
        }
    }
}
