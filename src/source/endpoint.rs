//! Where the source is: a libSQL server's URL in any of its spellings, or a local file.
//!
//! Invariant: no error and no `Display` of this file quotes what was given; a URL may hold a token anywhere.

use std::{
    ffi::OsString,
    fmt,
    net::IpAddr,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use reqwest::Url;

use super::token;
use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
};

/// File name endings that no host has, so that `shop.db` is a file even before it exists.
const FILE_ENDINGS: [&str; 10] =
    ["db", "db3", "sqlite", "sqlite3", "sqlite-wal", "sdb", "s3db", "sl3", "gpkg", "mbtiles"];

/// What `--source` names.
#[derive(Debug, Clone)]
pub enum Source {
    /// A server that speaks Hrana over HTTP.
    Server(Endpoint),
    /// A file on this machine, which may not exist.
    File(PathBuf),
}

/// A server's address, apart from what it came with.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Scheme, host, port and path only.
    base: Url,
    token: Option<Secret<String>>,
    basic: Option<Secret<String>>,
    ignored_parameters: usize,
}

/// Where a server is, apart from how its URL is spelled: neither the scheme nor the port that it implies is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    host: String,
    port: Option<u16>,
    path: String,
}

impl Source {
    /// Reads a URL or a path: `libsql://`, `https://`, `wss://` and a bare host mean HTTPS; `http://`, `ws://` and
    /// `libsql://host:port?tls=0` mean HTTP; `file:` and anything that looks like a path mean a local file.
    ///
    /// # Errors
    /// `Usage` with the reason and, where there is one, the position; never with the text.
    pub fn parse(given: &Secret<String>) -> Result<Self> {
        let text = given.expose().trim();
        if text.is_empty() {
            return Err(wrong("the source is empty"));
        }
        if let Some(rest) = strip_scheme(text, "file:") {
            return Ok(Self::File(file_url_path(rest)?));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Ok(Self::Server(Endpoint::parse(Scheme::parse(scheme)?, rest)?));
        }
        if Path::new(text).exists() || !looks_like_host(text) {
            return Ok(Self::File(PathBuf::from(text)));
        }
        Ok(Self::Server(Endpoint::parse(Scheme::Https, text)?))
    }
}

impl Endpoint {
    fn parse(scheme: Scheme, rest: &str) -> Result<Self> {
        if let Some(position) = rest.chars().position(|c| c.is_whitespace() || c.is_control()) {
            let position = position + 1;
            return Err(wrong(&format!(
                "the source URL has a space or control character, {position} characters after the scheme"
            )));
        }
        let mut url = Url::parse(&format!("https://{rest}"))
            .map_err(|reason| wrong(&format!("the source URL can't be read: {reason}")))?;
        let parameters = Parameters::read(&url)?;
        let scheme = scheme.with_tls(parameters.tls, url.port().is_some() || has_port_443(rest))?;
        let basic = basic_credentials(&url)?;
        if basic.is_some() && parameters.token.is_some() {
            return Err(wrong("the source URL has both a user and a token; keep one"));
        }
        // Neither call can fail for an https URL that has a host.
        let stripped = url.set_username("").and_then(|()| url.set_password(None));
        // A port that is the default of https was dropped above and is lost for http; say it out loud instead.
        let rescheme = match scheme {
            Scheme::Http if has_port_443(rest) => url.set_scheme("http").and_then(|()| url.set_port(Some(443))),
            Scheme::Http => url.set_scheme("http"),
            Scheme::Https | Scheme::Libsql => Ok(()),
        };
        if stripped.is_err() || rescheme.is_err() {
            return Err(wrong("the source URL has no host"));
        }
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self { base: url, token: parameters.token, basic, ignored_parameters: parameters.ignored })
    }

    /// The address of one of the server's paths, such as `v3/pipeline`.
    #[must_use]
    pub fn path(&self, path: &str) -> String {
        format!("{self}/{path}")
    }

    /// The token that the URL held.
    #[must_use]
    pub fn token(&self) -> Option<&Secret<String>> {
        self.token.as_ref()
    }

    /// `user:password` that the URL held, for servers that take Basic authentication.
    #[must_use]
    pub fn basic(&self) -> Option<&Secret<String>> {
        self.basic.as_ref()
    }

    /// Whether what is sent is encrypted, and so can't be changed on its way without notice.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// What the user should know before anything is sent, as sentences.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.is_encrypted() && !self.is_loopback() {
            warnings.push(
                "the connection to the source is not encrypted: anybody on the way can read the token and the data"
                    .to_owned(),
            );
        }
        if self.ignored_parameters > 0 {
            let count = self.ignored_parameters;
            warnings
                .push(format!("{count} parameter(s) of the source URL are ignored; known are authToken, jwt and tls"));
        }
        warnings
    }

    /// The host's name up to the first dot, by which a server with namespaces tells them apart; none for an address.
    #[must_use]
    pub fn first_label(&self) -> Option<String> {
        let name = self.base.host_str()?;
        let is_address = name.starts_with('[') || name.parse::<IpAddr>().is_ok();
        name.split_once('.').filter(|_| !is_address).map(|(label, _)| label.to_owned())
    }

    /// Where the server is.
    #[must_use]
    pub fn place(&self) -> Place {
        let host = self.base.host_str().unwrap_or_default();
        // The names of this machine itself.
        let host = if ["127.0.0.1", "[::1]"].contains(&host) { "localhost" } else { host };
        let port = self.base.port_or_known_default().filter(|port| ![80, 443].contains(port));
        Place { host: host.to_owned(), port, path: self.base.path().trim_end_matches('/').to_owned() }
    }

    fn is_loopback(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Scheme, host, port and path; no user, query or token.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str().trim_end_matches('/'))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Https,
    Http,
    /// HTTPS unless `?tls=0` says otherwise.
    Libsql,
}

impl Scheme {
    fn parse(word: &str) -> Result<Self> {
        match word.to_ascii_lowercase().as_str() {
            "libsql" => Ok(Self::Libsql),
            "https" | "wss" => Ok(Self::Https),
            "http" | "ws" => Ok(Self::Http),
            _ => Err(wrong("the source URL's scheme is none of libsql, https, wss, http, ws and file")),
        }
    }

    fn with_tls(self, tls: Option<bool>, has_port: bool) -> Result<Self> {
        match (self, tls) {
            (Self::Libsql, Some(false)) if !has_port => Err(wrong("tls=0 in the source URL needs a port")),
            (Self::Libsql | Self::Http, Some(false)) | (Self::Http, None) => Ok(Self::Http),
            (Self::Libsql | Self::Https, Some(true) | None) => Ok(Self::Https),
            (Self::Https, Some(false)) | (Self::Http, Some(true)) => {
                Err(wrong("tls= in the source URL contradicts its scheme"))
            }
        }
    }
}

#[derive(Default)]
struct Parameters {
    token: Option<Secret<String>>,
    tls: Option<bool>,
    ignored: usize,
}

impl Parameters {
    fn read(url: &Url) -> Result<Self> {
        let mut found = Self::default();
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "authToken" | "auth_token" | "jwt" => {
                    let token = Secret::new(value.trim().to_owned());
                    found.token = token::one_of(found.token.as_ref(), Some(&token))?;
                }
                "tls" => {
                    found.tls = match value.as_ref() {
                        "0" => Some(false),
                        "1" => Some(true),
                        _ => return Err(wrong("tls= in the source URL is neither 0 nor 1")),
                    }
                }
                _ => found.ignored += 1,
            }
        }
        Ok(found)
    }
}

fn basic_credentials(url: &Url) -> Result<Option<Secret<String>>> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let text = |part: &str| {
        String::from_utf8(percent_decoded(part)?).map_err(|_| wrong("the source URL's user or password isn't text"))
    };
    Ok(Some(Secret::new(format!("{}:{}", text(url.username())?, text(url.password().unwrap_or_default())?))))
}

fn has_port_443(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.ends_with(":443")
}

fn strip_scheme<'a>(text: &'a str, scheme: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(tail)
}

/// The path of `file:path`, `file:///path` or `file://localhost/path`, with or without a query.
fn file_url_path(rest: &str) -> Result<PathBuf> {
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let path = match rest.strip_prefix("//") {
        None => rest,
        Some(with_host) => {
            let slash = with_host.find('/').unwrap_or(with_host.len());
            match with_host.split_at_checked(slash) {
                Some(("" | "localhost", path)) => path,
                Some(_) | None => return Err(wrong("the source URL names a file on another host")),
            }
        }
    };
    let path = percent_decoded(path)?;
    if path.is_empty() {
        return Err(wrong("the source URL names no file"));
    }
    Ok(PathBuf::from(OsString::from_vec(path)))
}

fn percent_decoded(text: &str) -> Result<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let value = digit(rest.next()).zip(digit(rest.next())).map(|(high, low)| high * 16 + low);
        let Some(value) = value.and_then(|value| u8::try_from(value).ok()) else {
            let position = text.len() - rest.len();
            return Err(wrong(&format!("the source URL has a broken %-sequence before position {position}")));
        };
        decoded.push(value);
    }
    Ok(decoded)
}

/// Whether a word without a scheme is a host rather than a path that doesn't exist.
fn looks_like_host(text: &str) -> bool {
    let name = text.split('?').next().unwrap_or_default();
    let host = match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => name,
    };
    let ending = host.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    let dotted = host == "localhost" || (host.contains('.') && !host.starts_with('.') && !host.ends_with('.'));
    plain && dotted && !FILE_ENDINGS.contains(&ending.as_str())
}

fn wrong(reason: &str) -> Error {
    Error::new(Kind::Usage, reason)
        .with_hint("give a URL such as libsql://NAME-ORG.turso.io, or the path of a SQLite file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(text: &str) -> Endpoint {
        match Source::parse(&Secret::new(text.to_owned())).unwrap() {
            Source::Server(endpoint) => endpoint,
            Source::File(_) => panic!("{text} was taken for a file"),
        }
    }

    fn file(text: &str) -> PathBuf {
        match Source::parse(&Secret::new(text.to_owned())).unwrap() {
            Source::File(path) => path,
            Source::Server(_) => panic!("{text} was taken for a server"),
        }
    }

    fn refused(text: &str) -> String {
        let error = Source::parse(&Secret::new(text.to_owned())).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        error.message().to_owned()
    }

    #[test]
    fn every_spelling_means_one_address() {
        for (given, address) in [
            ("libsql://db-org.turso.io", "https://db-org.turso.io"),
            ("LIBSQL://db-org.turso.io/", "https://db-org.turso.io"),
            ("https://db-org.turso.io", "https://db-org.turso.io"),
            ("wss://db-org.turso.io", "https://db-org.turso.io"),
            ("db-org.turso.io", "https://db-org.turso.io"),
            ("  db-org.turso.io:8443\n", "https://db-org.turso.io:8443"),
            ("localhost:8080", "https://localhost:8080"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("ws://[::1]:8080/", "http://[::1]:8080"),
            ("libsql://127.0.0.1:8080?tls=0", "http://127.0.0.1:8080"),
            ("libsql://host:443?tls=0", "http://host:443"),
            ("libsql://host:8080?tls=1", "https://host:8080"),
            ("http://host/dev/ns/", "http://host/dev/ns"),
        ] {
            assert_eq!(server(given).to_string(), address, "{given}");
        }
        assert_eq!(server("libsql://h.io").path("v3/cursor"), "https://h.io/v3/cursor");
    }

    #[test]
    fn the_spelling_of_a_url_does_not_change_its_place() {
        for (one, other) in [
            ("libsql://h.io", "http://H.io/?authToken=t"),
            ("https://h.io:443", "wss://user:word@h.io"),
            ("libsql://127.0.0.1:8080?tls=0", "http://localhost:8080"),
            ("http://h.io/dev/a/", "https://h.io/dev/a"),
        ] {
            assert_eq!(server(one).place(), server(other).place(), "{one}");
        }
        for (one, other) in [("h.io", "g.io"), ("h.io:8080", "h.io:8081"), ("http://h.io/dev/a", "http://h.io/dev/b")] {
            assert_ne!(server(one).place(), server(other).place(), "{one}");
        }
    }

    #[test]
    fn a_token_in_the_url_is_taken_out_of_it() {
        for given in ["libsql://h.io?authToken=s3cret", "https://h.io/?auth_token=s3cret", "h.io?jwt=s3cret"] {
            let endpoint = server(given);
            assert_eq!(endpoint.token().unwrap().expose(), "s3cret");
            assert_eq!(endpoint.to_string(), "https://h.io");
            assert!(!format!("{endpoint:?}").contains("s3cret"));
        }
        let endpoint = server("http://us%20er:p%40ss@127.0.0.1:1/#x");
        assert_eq!(endpoint.basic().unwrap().expose(), "us er:p@ss");
        assert_eq!(endpoint.to_string(), "http://127.0.0.1:1");
        assert!(!format!("{endpoint:?}").contains("p@"));
    }

    #[test]
    fn paths_are_files() {
        let existing = tempfile::NamedTempFile::new().unwrap();
        for (given, path) in [
            ("shop.db", "shop.db"),
            ("./localhost", "./localhost"),
            ("/var/lib/app", "/var/lib/app"),
            ("dir.d/host.io", "dir.d/host.io"),
            ("plainname", "plainname"),
            ("file:shop.db", "shop.db"),
            ("file:///var/my%20app.db?mode=ro", "/var/my app.db"),
            ("file://localhost/a.db", "/a.db"),
            (existing.path().to_str().unwrap(), existing.path().to_str().unwrap()),
        ] {
            assert_eq!(file(given), Path::new(path), "{given}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_being_quoted() {
        for given in [
            "",
            "  ",
            "postgres://user:s3cret@host/db",
            "libsql://",
            "libsql://?authToken=s3cret",
            "https://host:s3cret/",
            "https://ho st/s3cret",
            "libsql://host?tls=0",
            "libsql://host:1?tls=s3cret",
            "https://host:1?tls=0",
            "http://host:1?tls=1",
            "https://host?authToken=s3cret&jwt=other",
            "https://u:s3cret@host?jwt=t",
            "file://otherhost/s3cret",
            "file:",
            "file:/a%2",
            "file:/a%zz",
        ] {
            assert!(!refused(given).contains("s3cret"), "{given}");
        }
        assert!(refused("https://ho st/").contains("3 characters after"));
    }

    #[test]
    fn plain_http_is_warned_about_beyond_loopback() {
        for near in ["http://localhost:1", "http://127.8.0.1", "http://[::1]", "http://a.localhost", "https://h.io"] {
            assert!(server(near).warnings().is_empty(), "{near}");
        }
        assert_eq!(server("http://h.io").warnings().len(), 1);
        assert_eq!(server("https://h.io?colour=s3cret").warnings().len(), 1);
        assert!(!server("https://h.io?colour=s3cret").warnings()[0].contains("colour"));
    }
}
