//! Passwords that stand beside the connection string, as for libpq: the variable PGPASSWORD, and the file of passwords.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use super::{
    PgEndpoint,
    dsn::{self, Setting},
    neon,
};
use crate::secret::Secret;

/// Where a password is looked for if the connection string has none. The first that has one counts.
#[derive(Debug, Clone, Default)]
pub struct PasswordSources {
    /// The password itself.
    pub password: Option<Secret<String>>,
    /// A file of lines `host:port:database:user:password`. One that others may read is left alone.
    pub file: Option<PathBuf>,
}

impl PasswordSources {
    /// The connection string with a password, if it has none and one is found. A string that cannot be read stays as it
    /// is.
    #[must_use]
    pub fn complete(&self, url: &Secret<String>) -> Secret<String> {
        let text = url.expose();
        let Ok(settings) = dsn::read(text) else { return url.clone() };
        if value(&settings, "password").is_some() {
            return url.clone();
        }
        let found = self.password.as_ref().map(|password| password.expose().clone());
        match found.or_else(|| self.in_file(&settings)) {
            Some(password) => Secret::new(dsn::with_password(text, &password)),
            None => url.clone(),
        }
    }

    fn in_file(&self, settings: &[Setting]) -> Option<String> {
        let path = self.file.as_ref()?;
        let metadata = fs::metadata(path).ok()?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 {
            return None;
        }
        let text = fs::read_to_string(path).ok()?;
        let host = value(settings, "host").or_else(|| value(settings, "hostaddr"))?;
        let direct = neon::direct_host(&host);
        let port = value(settings, "port").unwrap_or_else(|| "5432".to_owned());
        let (database, user) = (value(settings, "dbname")?, value(settings, "user")?);
        [Some(host), direct].into_iter().flatten().find_map(|host| {
            // A unix socket counts as this machine.
            let host = if host.starts_with('/') { "localhost".to_owned() } else { host };
            password_of(&text, [host.as_str(), port.as_str(), database.as_str(), user.as_str()])
        })
    }
}

impl PgEndpoint {
    /// The schema that a connection string names as Prisma does, by the parameter `schema`.
    #[must_use]
    pub fn schema_in(url: &Secret<String>) -> Option<String> {
        value(&dsn::read(url.expose()).ok()?, "schema")
    }
}

/// The value of a key, if it has one that is text. The last one counts.
fn value(settings: &[Setting], key: &str) -> Option<String> {
    let last = settings.iter().rev().find(|setting| setting.key == key)?;
    String::from_utf8(last.value.clone()).ok().filter(|value| !value.is_empty())
}

/// The password of the first line that fits. `*` fits all; `\` stands before a colon or a backslash of a value.
fn password_of(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for wanted in wanted {
            let (field, after) = field(rest)?;
            if rest.get(..2) != Some("*:") && field != wanted {
                return None;
            }
            rest = after;
        }
        // What follows a colon after the password is not a part of it.
        let password = field(rest).map_or_else(|| unescaped(rest), |(password, _)| password);
        Some(password).filter(|password| !password.is_empty())
    })
}

/// The text before the next colon, and what follows it.
fn field(line: &str) -> Option<(String, &str)> {
    let mut escaped = false;
    let end = line.char_indices().find_map(|(at, c)| {
        let ends = c == ':' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })?;
    let (field, rest) = line.split_at_checked(end)?;
    Some((unescaped(field), rest.strip_prefix(':')?))
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next().or(Some(c)) } else { Some(c) });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::Role;

    fn completed(sources: &PasswordSources, url: &str) -> Option<String> {
        let url = sources.complete(&Secret::new(url.to_owned()));
        let endpoint = PgEndpoint::parse(&url, Role::Target).unwrap().endpoint;
        endpoint.config.get_password().map(|password| String::from_utf8(password.to_vec()).unwrap())
    }

    #[test]
    fn a_password_of_the_environment_is_for_strings_without_one() {
        let awkward = "p@ss:w/o?r#d%'\\ ü";
        let sources = PasswordSources { password: Some(Secret::new(awkward.to_owned())), file: None };
        for url in [
            "postgresql://u@h/d",
            "postgresql://u:@h/d?sslmode=verify-full",
            "psql 'postgresql://u@h/d'",
            "host=h user=u dbname=d",
            "host=h user=u dbname=d password=''",
        ] {
            assert_eq!(completed(&sources, url).as_deref(), Some(awkward), "{url}");
        }
        assert_eq!(completed(&sources, "postgresql://u:own@h/d").as_deref(), Some("own"));
        assert_eq!(completed(&PasswordSources::default(), "postgresql://u@h/d"), None);
        let unreadable = Secret::new("postgresql://u@h:%zz/d".to_owned());
        assert_eq!(sources.complete(&unreadable).expose(), unreadable.expose());
    }

    #[test]
    fn a_line_of_the_file_is_found_by_host_port_database_and_user() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passwords");
        let lines = "# h:*:*:*:comment\nh:1:d:u:one\nh:*:d:u:any\\:port\\\\\n*:5432:e:*:e\n\
                     ep-a-1.x.neon.tech:*:*:*:neon\nlocalhost:*:*:*:socket:rest\n";
        fs::write(&path, lines).unwrap();
        let sources = PasswordSources { password: None, file: Some(path.clone()) };
        let mode = |bits| fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
        mode(0o600);
        for (url, password) in [
            ("postgresql://u@h:1/d", Some("one")),
            ("postgresql://u@h/d", Some("any:port\\")),
            ("postgresql://v@i/e", Some("e")),
            ("postgresql://v@h/d", None),
            ("postgresql://u@ep-a-1-pooler.x.neon.tech/d", Some("neon")),
            ("postgresql://u@%2Ftmp/d", Some("socket")),
            ("host=h user=u dbname=d port=1", Some("one")),
        ] {
            assert_eq!(completed(&sources, url).as_deref(), password, "{url}");
        }
        mode(0o640);
        assert_eq!(completed(&sources, "postgresql://u@h/d"), None);
    }

    #[test]
    fn prismas_schema_is_found() {
        let schema = |url: &str| PgEndpoint::schema_in(&Secret::new(url.to_owned()));
        assert_eq!(schema("postgresql://u:p@h/d?schema=my%20app&pgbouncer=true").as_deref(), Some("my app"));
        assert_eq!(schema("postgresql://u:p@h/d?schema="), None);
        assert_eq!(schema("postgresql://u:p@h/d"), None);
    }
}
