//! Where PostgreSQL's programs are: the machine's own, one of each supported major version, and one with pgvector.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use super::{process::must_run, target::Account};

/// The major versions that the tool supports.
pub(crate) const MAJORS: [u32; 5] = [14, 15, 16, 17, 18];

/// Which PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PgVersion {
    /// The newest of this machine.
    Newest,
    /// One of [`MAJORS`]. It has no `psql` and no `pg_dump`.
    Major(u32),
    /// One with the extension `vector`. It has no TLS: only the superuser's socket leads to it.
    Pgvector,
}

/// The programs of one version.
pub(crate) struct Programs {
    /// Where they are.
    pub(crate) bin: PathBuf,
    /// Where the libraries are that they bring along.
    pub(crate) libraries: Option<PathBuf>,
}

impl Programs {
    /// Finds them; stops the test if they are missing. `spare` is a directory for a copy, needed if the account that
    /// is to run them can't reach them.
    pub(crate) fn find(which: PgVersion, account: &Account, spare: &Path) -> Self {
        match which {
            PgVersion::Newest => Self { bin: newest(), libraries: None },
            PgVersion::Major(major) => Self::fetched(&format!("postgresql-{major}"), account, spare),
            PgVersion::Pgvector => Self::fetched("pgvector", account, spare),
        }
    }

    fn fetched(name: &str, account: &Account, spare: &Path) -> Self {
        let mut place = match std::env::var_os("TURSO2NEON_TEST_SERVERS") {
            Some(path) => PathBuf::from(path),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-servers"),
        };
        place.push(name);
        assert!(
            place.join("bin/postgres").is_file(),
            "there is no PostgreSQL at {}; scripts/setup fetches it, TURSO2NEON_TEST_SERVERS names another folder",
            place.display()
        );
        let reached = account.command(Path::new("test"), spare).arg("-x").arg(place.join("bin/postgres")).status();
        if !reached.is_ok_and(|status| status.success()) {
            must_run(Command::new("cp").arg("-R").arg(&place).arg(spare.join("programs")));
            must_run(Command::new("chmod").args(["-R", "a+rX"]).arg(spare.join("programs")));
            place = spare.join("programs");
        }
        Self { bin: place.join("bin"), libraries: Some(place.join("lib")) }
    }

    /// A call of one of them.
    pub(crate) fn command(&self, program: &str, account: &Account, directory: &Path) -> Command {
        let mut command = account.command(&self.bin.join(program), directory);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

/// The newest PostgreSQL of this machine, or the one that `TURSO2NEON_TEST_PG` names.
fn newest() -> PathBuf {
    if let Some(path) = std::env::var_os("TURSO2NEON_TEST_PG") {
        return PathBuf::from(path);
    }
    let version = |path: &Path| path.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok());
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest =
        installed.map(|entry| entry.path()).filter(|path| version(path).is_some()).max_by_key(|path| version(path));
    let Some(newest) = newest else {
        panic!(
            "there is no PostgreSQL in /usr/lib/postgresql; scripts/setup installs it, TURSO2NEON_TEST_PG names another place"
        )
    };
    newest.join("bin")
}
