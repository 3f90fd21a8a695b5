//! A connection string as its author wrote it, taken apart into key and value: URLs and `key=value` strings.
//!
//! Invariant: an error names a reason, never a piece of the text, because any piece may be the password.

use crate::error::{Error, Kind, Result};

/// One setting; the value is bytes because a percent-encoded password may be any bytes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The key as written.
    pub key: String,
    /// The decoded value.
    pub value: Vec<u8>,
}

impl Setting {
    fn new(key: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { key: key.to_owned(), value: value.into() }
    }
}

/// Takes a connection string apart. A key may come more than once; the last one counts, as in libpq.
pub(super) fn read(text: &str) -> Result<Vec<Setting>> {
    let text = bare(text);
    if text.is_empty() {
        return Err(unreadable("is empty"));
    }
    if text.contains(['\n', '\r', '\0']) {
        return Err(unreadable("holds a line break; it must be one line"));
    }
    match text.split_once("://") {
        Some((scheme, rest)) if is_word(scheme) => {
            check_scheme(scheme)?;
            read_url(rest)
        }
        Some(_) | None => read_pairs(text),
    }
}

/// The connection string with this password, which counts instead of an empty one that it has.
pub(super) fn with_password(text: &str, password: &str) -> String {
    let text = bare(text);
    if !text.split_once("://").is_some_and(|(scheme, _)| is_word(scheme)) {
        return format!("{text} password='{}'", password.replace('\\', "\\\\").replace('\'', "\\'"));
    }
    let encoded: Vec<String> = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let encoded = encoded.concat();
    let separator = if text.contains('?') { '&' } else { '?' };
    format!("{text}{separator}password={encoded}")
}

/// The string without the blanks, quotes and the `psql` that come along when it is pasted.
fn bare(text: &str) -> &str {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let text = text.strip_prefix("psql ").map_or(text, str::trim);
    let unquoted = |quote: char| {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        inner.starts_with("postgres").then_some(inner.trim())
    };
    unquoted('\'').or_else(|| unquoted('"')).unwrap_or(text)
}

fn is_word(scheme: &str) -> bool {
    !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.:".contains(&byte))
}

fn check_scheme(scheme: &str) -> Result<()> {
    let lower = scheme.to_ascii_lowercase();
    // SQLAlchemy writes the driver behind a plus sign.
    match lower.split_once('+').map_or(lower.as_str(), |(base, _)| base) {
        "postgres" | "postgresql" => Ok(()),
        base if base.starts_with("jdbc:") => Err(unreadable("is a JDBC URL")
            .with_hint("write it as postgresql://USER:PASSWORD@HOST/DATABASE (without `jdbc:`)")),
        _ => Err(unreadable("is not a PostgreSQL URL").with_hint("it begins with postgresql:// or postgres://")),
    }
}

fn read_url(rest: &str) -> Result<Vec<Setting>> {
    let (before_query, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = match before_query.split_once('/') {
        Some((authority, path)) => (authority, Some(path)),
        None => (before_query, None),
    };
    let mut settings = Vec::new();
    let place = match authority.rsplit_once('@') {
        Some((credentials, place)) => {
            read_credentials(credentials, &mut settings)?;
            place
        }
        None => authority,
    };
    read_place(place, &mut settings)?;
    if let Some(path) = path.filter(|path| !path.is_empty()) {
        settings.push(Setting::new("dbname", decoded(path)?));
    }
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or_else(|| unreadable("has a parameter without `=`"))?;
        let key = String::from_utf8(decoded(key)?).map_err(|_| unreadable("has a parameter that is not text"))?;
        settings.push(Setting::new(&key, decoded(value)?));
    }
    Ok(settings)
}

fn read_credentials(credentials: &str, settings: &mut Vec<Setting>) -> Result<()> {
    let (user, password) = match credentials.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (credentials, None),
    };
    if !user.is_empty() {
        settings.push(Setting::new("user", decoded(user)?));
    }
    if let Some(password) = password {
        settings.push(Setting::new("password", decoded(password)?));
    }
    Ok(())
}

fn read_place(place: &str, settings: &mut Vec<Setting>) -> Result<()> {
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) =
                bracketed.split_once(']').ok_or_else(|| unreadable("has an IPv6 address without its bracket"))?;
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(unreadable("has something between the IPv6 address and the port")),
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if !host.is_empty() {
        settings.push(Setting::new("host", decoded(host)?));
    }
    if let Some(port) = port.filter(|port| !port.is_empty()) {
        settings.push(Setting::new("port", decoded(port)?));
    }
    Ok(())
}

/// Percent-decoding as libpq does it: `+` stays, an unfinished escape and a NUL are errors.
fn decoded(text: &str) -> Result<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let high = bytes.next().and_then(hex_digit);
        let low = bytes.next().and_then(hex_digit);
        match (high, low) {
            (Some(high), Some(low)) if (high, low) != (0, 0) => out.push(high << 4 | low),
            (Some(_), Some(_)) => return Err(unreadable("holds %00")),
            (_, _) => {
                return Err(unreadable("holds a % that two hexadecimal digits don't follow")
                    .with_hint("write a % in the password as %25"));
            }
        }
    }
    Ok(out)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// `key=value key='quoted value'`, with `\` before quotes and backslashes (libpq 34.1.1.1).
fn read_pairs(text: &str) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or_else(not_a_connection_string)?;
        let key = key.trim_end();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(not_a_connection_string());
        }
        let (value, after) = match after.trim_start().strip_prefix('\'') {
            Some(quoted) => quoted_value(quoted)?,
            None => bare_value(after.trim_start()),
        };
        settings.push(Setting::new(key, value));
        rest = after.trim_start();
    }
    Ok(settings)
}

fn quoted_value(text: &str) -> Result<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => return Ok((value, chars.as_str())),
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    Err(unreadable("has a quote that is not closed"))
}

fn bare_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => break,
            '\\' => value.extend(chars.next()),
            c => value.push(c),
        }
    }
    (value, chars.as_str())
}

fn not_a_connection_string() -> Error {
    unreadable("is neither a PostgreSQL URL nor a list of key=value")
        .with_hint("it looks like postgresql://USER:PASSWORD@HOST/DATABASE")
}

/// An error about the string that quotes nothing of it.
pub(super) fn unreadable(reason: &str) -> Error {
    Error::new(Kind::Usage, format!("the connection string {reason}"))
        .with_hint("it looks like postgresql://USER:PASSWORD@HOST/DATABASE")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let text_of = |setting: Setting| (setting.key, String::from_utf8_lossy(&setting.value).into_owned());
        read(text).unwrap().into_iter().map(text_of).collect()
    }

    fn expect(text: &str, wanted: &[(&str, &str)]) {
        let wanted: Vec<_> = wanted.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(pairs(text), wanted, "{text}");
    }

    #[test]
    fn urls_come_apart() {
        expect(
            "postgresql://u:p%40w@h:6/d?sslmode=require&channel_binding=require",
            &[
                ("user", "u"),
                ("password", "p@w"),
                ("host", "h"),
                ("port", "6"),
                ("dbname", "d"),
                ("sslmode", "require"),
                ("channel_binding", "require"),
            ],
        );
        expect("postgres://h", &[("host", "h")]);
        expect("postgres:///d?host=/var/run", &[("dbname", "d"), ("host", "/var/run")]);
        expect("postgres://%2Fvar%2Frun/d", &[("host", "/var/run"), ("dbname", "d")]);
        expect("postgres://[::1]:5/d", &[("host", "::1"), ("port", "5"), ("dbname", "d")]);
        expect("postgres://[fe80::1]/d", &[("host", "fe80::1"), ("dbname", "d")]);
        expect("postgres://u:@h/", &[("user", "u"), ("password", ""), ("host", "h")]);
        expect("postgres://u:a@b@h/", &[("user", "u"), ("password", "a@b"), ("host", "h")]);
        expect("postgresql+psycopg2://h/a+b", &[("host", "h"), ("dbname", "a+b")]);
        expect(
            "postgres://h/d?options=endpoint%3Dep-x",
            &[("host", "h"), ("dbname", "d"), ("options", "endpoint=ep-x")],
        );
    }

    #[test]
    fn what_comes_along_with_pasting_goes_away() {
        for text in [" postgres://h/d\n", "\u{feff}postgres://h/d\r\n", "psql 'postgres://h/d'", "\"postgres://h/d\""] {
            expect(text, &[("host", "h"), ("dbname", "d")]);
        }
    }

    #[test]
    fn pairs_come_apart() {
        expect("host=h user = 'a b' password='it\\'s\\\\'", &[("host", "h"), ("user", "a b"), ("password", "it's\\")]);
        expect("password=a\\ b\thost=''", &[("password", "a b"), ("host", "")]);
    }

    #[test]
    fn errors_quote_nothing() {
        for text in [
            "",
            "jdbc:postgresql://hunter2/d",
            "mysql://u:hunter2@h/d",
            "hunter2",
            "postgres://u:hunter2%@h/d",
            "postgres://u:hunter2%zz@h/d",
            "postgres://u:hunter2%00@h/d",
            "postgres://u:hunter2@[::1/d",
            "postgres://u:p@h/d?hunter2",
            "postgres://u:p@h/d\nhunter2",
            "host=h password='hunter2",
            "host=h hunter2 x=1",
        ] {
            let error = read(text).err().unwrap();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
            assert!(!format!("{error} {}", error.hint()).contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_jdbc_url_gets_its_own_words() {
        assert!(read("jdbc:postgresql://h/d").err().unwrap().message().contains("JDBC"));
    }
}
