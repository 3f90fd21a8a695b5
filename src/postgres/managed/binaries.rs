//! Finding PostgreSQL's programs on this machine, and running them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{cache_dir, os_user::OsUser, program_version};
use crate::{
    error::{Error, Kind, Result},
    program,
};

/// The oldest version that has `hash_record_extended`.
const OLDEST: u32 = 14;

/// Directories in which each entry is a version with its `bin` inside: Debian, RHEL, Homebrew on both kinds of Mac,
/// Postgres.app, the installer for macOS.
const VERSIONED: [(&str, &str, &str); 8] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ("/Library/PostgreSQL", "", "bin"),
    ("/opt/postgresql", "", "bin"),
];

/// Single directories: built from source, Alpine.
const SINGLE: [&str; 3] = ["/usr/local/pgsql/bin", "/usr/libexec/postgresql", "/usr/local/bin"];

/// The programs of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    /// Where they are.
    pub(super) bin: PathBuf,
    /// The major version.
    pub(super) major: u32,
    /// The whole version, such as `15.18`.
    pub(super) version: String,
}

impl Binaries {
    /// The newest installation; only in `given` if the user named a directory. `cache` is the user's cache directory.
    ///
    /// # Errors
    /// `LocalMissing`.
    pub(super) fn newest(given: Option<&Path>, cache: Option<&Path>) -> Result<Self> {
        Self::best(given, cache, |binaries| binaries.major >= OLDEST).map_err(|found| missing(given, &found))
    }

    /// An installation of this major version, which alone can open a data directory of that version.
    ///
    /// # Errors
    /// `LocalMissing`.
    pub(super) fn of_major(given: Option<&Path>, cache: Option<&Path>, major: u32) -> Result<Self> {
        Self::best(given, cache, |binaries| binaries.major == major).map_err(|_| {
            Error::new(
                Kind::LocalMissing,
                format!("the data directory is PostgreSQL {major}'s, and no PostgreSQL {major} was found"),
            )
            .with_hint(format!(
                "install PostgreSQL {major} or name it with --pg-bin, or run `turso2neon convert --fresh`"
            ))
        })
    }

    /// The newest of those that fit; all that were found if none does. `pg_config` is asked if none is in the usual places.
    fn best(
        given: Option<&Path>,
        cache: Option<&Path>,
        fits: impl Fn(&Self) -> bool,
    ) -> std::result::Result<Self, Vec<Self>> {
        let directory = cache_dir::of(cache);
        let newest = |found: &[Self]| found.iter().filter(|one| fits(one)).max_by_key(|one| one.order()).cloned();
        let mut found = match given {
            Some(given) => inspected(&[given.to_path_buf(), given.join("bin")], directory.as_deref()),
            None => inspected(&usual_places(), directory.as_deref()),
        };
        if let Some(best) = newest(&found) {
            return Ok(best);
        }
        if given.is_none()
            && let Some(said) = answer(program::command("pg_config").arg("--bindir"))
        {
            found.extend(inspected(&[PathBuf::from(said.trim())], directory.as_deref()));
        }
        newest(&found).ok_or(found)
    }

    /// A command that runs one of the programs as `os_user`, with nothing of this process's environment: it may hold
    /// tokens, and PostgreSQL's own variables would change what the programs do.
    pub(super) fn command(&self, program: &str, os_user: Option<&OsUser>) -> Command {
        let mut command = program::bare(self.bin.join(program));
        command
            .env("PATH", format!("{}:/usr/bin:/bin", self.bin.display()))
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("LD_LIBRARY_PATH", self.bin.join("../lib"));
        if let Some(os_user) = os_user {
            os_user.take_on(&mut command);
        }
        command
    }

    fn order(&self) -> Vec<u32> {
        self.version.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    }
}

/// What is in these places. Several names may lead to one directory.
fn inspected(places: &[PathBuf], cache: Option<&Path>) -> Vec<Binaries> {
    let real: BTreeSet<PathBuf> = places.iter().filter_map(|place| fs::canonicalize(place).ok()).collect();
    real.into_iter().filter_map(|bin| inspect(bin, cache)).collect()
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    // What is found may be a link into the real directory.
    for program in ["postgres", "pg_ctl", "pg_config"].into_iter().flat_map(program::on_path) {
        let real = fs::canonicalize(program).ok();
        places.extend(real.and_then(|program| program.parent().map(Path::to_path_buf)));
    }
    for (parent, prefix, inner) in VERSIONED {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let matching = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        places.extend(matching.map(|entry| entry.path().join(inner)));
    }
    places.extend(SINGLE.iter().map(PathBuf::from));
    places
}

/// What is in a directory, if it has the programs that are needed.
fn inspect(bin: PathBuf, cache: Option<&Path>) -> Option<Binaries> {
    let needed = ["postgres", "initdb", "pg_controldata"];
    if !needed.iter().all(|name| bin.join(name).is_file()) {
        return None;
    }
    let binaries = Binaries { bin, major: 0, version: String::new() };
    let ask = || version_in(&answer(binaries.command("postgres", None).arg("--version"))?);
    let version = program_version::of(&binaries.bin.join("postgres"), cache, ask)?;
    let major = version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
    Some(Binaries { major, version, ..binaries })
}

/// `15.18` out of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn version_in(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("(PostgreSQL) ")?;
    rest.split_whitespace().next().map(ToOwned::to_owned)
}

fn answer(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn missing(given: Option<&Path>, found: &[Binaries]) -> Error {
    let what = match (given, found) {
        (Some(directory), []) => format!("{} holds no PostgreSQL server programs", directory.display()),
        (None, []) => "no PostgreSQL server was found on this machine".to_owned(),
        (_, [binaries, ..]) => {
            format!("PostgreSQL {} in {} is too old", binaries.version, binaries.bin.display())
        }
    };
    Error::new(Kind::LocalMissing, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered_by_number() {
        assert_eq!(version_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some("15.18".to_owned()));
        assert_eq!(version_in("postgres (PostgreSQL) 18beta1\n"), Some("18beta1".to_owned()));
        let binaries = |version: &str| Binaries { bin: PathBuf::new(), major: 0, version: version.to_owned() }.order();
        assert!(binaries("15.10") > binaries("15.9"));
        assert!(binaries("16.0") > binaries("15.18"));
    }

    #[test]
    fn a_directory_without_programs_is_named_in_the_error() {
        let empty = tempfile::tempdir().unwrap();
        let error = Binaries::newest(Some(empty.path()), None).unwrap_err();
        assert_eq!(error.kind(), Kind::LocalMissing);
        assert!(error.message().contains(&*empty.path().to_string_lossy()));
    }
}
