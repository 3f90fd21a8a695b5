//! Defines the errors: their kinds, exit codes, places and hints.
//!
//! One [`Error`] for the whole crate: a closed [`Kind`], the place (stage, table, column), a message made of safe
//! parts, and a hint. `Kind` alone decides the code and the exit status; both are exhaustive matches, so a new kind
//! doesn't compile until they are answered.
//!
//! Invariant: neither the message nor the source can quote a row value or a secret. Each door turns its library's
//! errors into such a message, and keeps of the library's error only what is safe (see `postgres::error_map`,
//! `sqlite::error_map`, `source::http`).

use std::{error::Error as StdError, fmt, io, path::Path, time::Duration};

use tokio_postgres::error::SqlState;

use crate::model::Stage;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

words! {
    /// What happened, from the caller's point of view.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum Kind: code {
        /// A flag, a URL or a combination of flags that makes no sense.
        Usage = "usage",
        /// The configuration file is wrong.
        Config = "config",
        /// The plan has findings that need a decision (a verdict, not a failure).
        PlanBlocked = "plan-blocked",
        /// Verification found differences (a verdict, not a failure).
        Different = "different",
        /// A push would change tables that are in use in a way that nobody decided (a verdict, not a failure).
        TypeChanged = "type-changed",
        /// The source can't be reached, or went away.
        SourceUnreachable = "source-unreachable",
        /// The source refused the credentials or the rights.
        SourceDenied = "source-denied",
        /// The source answered with something that isn't what was asked for.
        SourceRefused = "source-refused",
        /// The source's answer ended early.
        SourceTruncated = "source-truncated",
        /// The source changed in a way that breaks the snapshot.
        SourceChanged = "source-changed",
        /// The source isn't a SQLite or libSQL database, or doesn't exist.
        SourceInvalid = "source-invalid",
        /// An artifact of an earlier stage isn't there.
        ArtifactMissing = "artifact-missing",
        /// An artifact doesn't match its digest or can't be read.
        ArtifactDamaged = "artifact-damaged",
        /// An artifact was made from another input than the present one.
        ArtifactStale = "artifact-stale",
        /// An artifact was written by a newer version of the tool.
        ArtifactNewer = "artifact-newer",
        /// The working directory can't be read or written.
        ArtifactIo = "artifact-io",
        /// The working directory is another user's, or others can write to it, or a link stands for one of its files.
        DirUnsafe = "dir-unsafe",
        /// A value or an object that the plan can't place.
        DataRefused = "data-refused",
        /// No PostgreSQL was found on this machine.
        LocalMissing = "local-missing",
        /// The local PostgreSQL can't be reached or started.
        LocalUnreachable = "local-unreachable",
        /// The local PostgreSQL refused a statement or a value.
        LocalRejected = "local-rejected",
        /// The target can't be reached.
        TargetUnreachable = "target-unreachable",
        /// The target refused the credentials or the rights.
        TargetDenied = "target-denied",
        /// The target's certificate isn't trusted for its host name.
        TargetTls = "target-tls",
        /// The target refused a statement or a value.
        TargetRejected = "target-rejected",
        /// The target has no free disk space left.
        TargetFull = "target-full",
        /// The target holds tables of the same names that this tool didn't push.
        TargetOccupied = "target-occupied",
        /// Others changed tables on the target since the last push.
        TargetDrifted = "target-drifted",
        /// The migration is marked as finished on the target.
        Finished = "finished",
        /// The working directory holds the dump of another source.
        OtherSource = "other-source",
        /// Another run owns the working directory or the target.
        Locked = "locked",
        /// Stopped on the user's request.
        Interrupted = "interrupted",
        /// A broken promise inside this tool.
        Bug = "bug",
    }
}

impl Kind {
    /// The process's exit status.
    #[must_use]
    pub const fn exit(self) -> u8 {
        match self {
            Self::PlanBlocked | Self::Different | Self::TypeChanged => 1,
            Self::Usage | Self::Config => 2,
            Self::SourceUnreachable
            | Self::SourceDenied
            | Self::SourceRefused
            | Self::SourceTruncated
            | Self::SourceChanged
            | Self::SourceInvalid => 3,
            Self::ArtifactMissing
            | Self::ArtifactDamaged
            | Self::ArtifactStale
            | Self::ArtifactNewer
            | Self::ArtifactIo
            | Self::DirUnsafe => 4,
            Self::DataRefused => 5,
            Self::LocalMissing | Self::LocalUnreachable | Self::LocalRejected => 6,
            Self::TargetUnreachable
            | Self::TargetDenied
            | Self::TargetTls
            | Self::TargetRejected
            | Self::TargetFull => 7,
            Self::TargetOccupied | Self::TargetDrifted | Self::OtherSource | Self::Finished | Self::Locked => 8,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }

    /// Whether it is the target that failed.
    #[must_use]
    pub const fn is_of_target(self) -> bool {
        self.exit() == 7
    }

    /// What to do next when the place that raised the error knows nothing better.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Usage => "see `turso2neon --help`",
            Self::Config => "correct the configuration file and run the same command again",
            Self::PlanBlocked => "decide each finding in turso2neon.toml, or accept it with --accept CODE@TABLE.COLUMN",
            Self::Different => "run `turso2neon verify --level full --tables TABLE` to see keys and columns",
            Self::TypeChanged => "the target was not changed; use --on-type-change follow to make the changes",
            Self::SourceUnreachable => "check the URL and the network with `turso2neon doctor`",
            Self::SourceDenied => "make a new read-only token and set TURSO_AUTH_TOKEN",
            Self::SourceRefused => "check that the URL is a libSQL server with `turso2neon doctor`",
            Self::SourceTruncated | Self::SourceChanged => "nothing was kept; run `turso2neon dump` again",
            Self::SourceInvalid => "give the URL of a libSQL server or the path of a SQLite file",
            Self::ArtifactMissing => "run the stage before this one; `turso2neon status` shows which",
            Self::ArtifactDamaged => "run the stage that made it again with --fresh",
            Self::ArtifactStale => "run the stage that made it again; `turso2neon status` shows which",
            Self::ArtifactNewer => "use the newer turso2neon, or make the artifact again with --fresh",
            Self::ArtifactIo => "check the free space and the rights of the directory given by --dir",
            Self::DirUnsafe => {
                "name another directory with --dir; the tool creates a missing one, and nobody else can write to it"
            }
            Self::DataRefused => "`turso2neon plan --explain TABLE.COLUMN` shows the evidence and the choices",
            Self::LocalMissing => {
                "install PostgreSQL 14 or newer (Debian: apt install postgresql), or name it with --pg-bin or --local-url"
            }
            Self::LocalUnreachable => "see convert/postgres.log in the directory given by --dir, or use --local-url",
            Self::LocalRejected => "run `turso2neon convert` again; if it happens twice, report it",
            Self::TargetUnreachable => "check the host with `turso2neon doctor`; a suspended compute may need a minute",
            Self::TargetDenied => "check role, password and database in NEON_DATABASE_URL",
            Self::TargetTls => "use the host name of the certificate, or name its CA with sslrootcert",
            Self::TargetRejected => "run `turso2neon doctor` to check the role's rights",
            Self::TargetFull => "raise the project's storage limit, then run `turso2neon push` again",
            Self::TargetDrifted => {
                "nothing was changed; --on-drift keep leaves these tables as they are, --on-drift overwrite replaces them"
            }
            Self::OtherSource => {
                "nothing was changed; use another --dir for this source, or --fresh, which replaces the dump"
            }
            Self::TargetOccupied => "push into another --schema or an empty database",
            Self::Finished => {
                "`turso2neon finish --purge` removes the mark; after that a push asks for --force-table for each table"
            }
            Self::Locked => "wait until the other run ends",
            Self::Interrupted => "run the same command again to continue",
            Self::Bug => "please report it with log.jsonl (it holds no values and no secrets)",
        }
    }
}

/// Whether doing the same thing again on a new connection can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It can't.
    Never,
    /// Perhaps, but most likely something has to be corrected.
    Briefly,
    /// It can: a compute is starting, a connection was lost.
    WithPauses,
}

struct Inner {
    kind: Kind,
    retry: Retry,
    retry_after: Option<Duration>,
    stage: Option<Stage>,
    table: Option<String>,
    column: Option<String>,
    message: String,
    hint: Option<String>,
    sqlstate: Option<SqlState>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What went wrong, where, and what to do next.
pub struct Error(Box<Inner>);

impl Error {
    /// An error of this kind. The message must quote neither a row value nor a secret.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            retry: Retry::Never,
            retry_after: None,
            stage: None,
            table: None,
            column: None,
            message: message.into(),
            hint: None,
            sqlstate: None,
            source: None,
        }))
    }

    /// An I/O failure on a path of the working directory or the source. Says what to do where disk or memory is
    /// exhausted.
    pub fn io(kind: Kind, doing: &str, path: &Path, cause: &io::Error) -> Self {
        let cause = without_content(cause);
        let error = Self::new(kind, format!("{doing} {}: {cause}", path.display()));
        let error = match cause.kind() {
            io::ErrorKind::StorageFull => error.with_hint(disk_full_hint(path)),
            io::ErrorKind::QuotaExceeded => error.with_hint(format!(
                "the account's quota on the disk of {} is used up: remove files, or name a directory on another disk with \
                 --dir",
                path.display()
            )),
            io::ErrorKind::FileTooLarge => error.with_hint(
                "the limit for the size of a file is reached: raise it (`ulimit -f`), or use another file system",
            ),
            io::ErrorKind::OutOfMemory => error.with_hint(MEMORY_HINT),
            _ => error,
        };
        error.with_source(cause)
    }

    /// Names the stage unless one is named already.
    #[must_use]
    pub fn in_stage(mut self, stage: Stage) -> Self {
        self.0.stage.get_or_insert(stage);
        self
    }

    /// Names the table unless one is named already.
    #[must_use]
    pub fn at_table(mut self, table: impl Into<String>) -> Self {
        self.0.table.get_or_insert_with(|| table.into());
        self
    }

    /// Names the column unless one is named already.
    #[must_use]
    pub fn at_column(mut self, column: impl Into<String>) -> Self {
        self.0.column.get_or_insert_with(|| column.into());
        self
    }

    /// Replaces the kind's general hint by a better one.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Replaces the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Adds the SQLSTATE that the server gave.
    #[must_use]
    pub fn with_sqlstate(mut self, sqlstate: SqlState) -> Self {
        self.0.sqlstate = Some(sqlstate);
        self
    }

    /// Adds the error that caused it, which must quote neither a row value nor a secret.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Box::new(source));
        self
    }

    /// Says whether doing it again can help.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Whether doing it again can help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Says that another try gets the same answer before so much time has passed.
    #[must_use]
    pub fn with_retry_after(mut self, pause: Duration) -> Self {
        self.0.retry_after = Some(pause);
        self
    }

    /// How long another try gets the same answer, if that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The stage in which it happened.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        self.0.stage
    }

    /// The table at which it happened.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// The column at which it happened.
    #[must_use]
    pub fn column(&self) -> Option<&str> {
        self.0.column.as_deref()
    }

    /// The message without place and hint.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The SQLSTATE, if a PostgreSQL server refused something.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&SqlState> {
        self.0.sqlstate.as_ref()
    }

    /// Whether the SQLSTATE is of one of these classes (its first two characters).
    #[must_use]
    pub fn is_of_sqlstate_class(&self, classes: &[&str]) -> bool {
        self.sqlstate().is_some_and(|state| classes.iter().any(|class| state.code().starts_with(class)))
    }

    /// What the user can do next.
    #[must_use]
    pub fn hint(&self) -> &str {
        self.0.hint.as_deref().unwrap_or_else(|| self.0.kind.hint())
    }
}

/// One line: `stage: table.column: message`.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stage) = self.0.stage {
            write!(f, "{stage}: ")?;
        }
        match (&self.0.table, &self.0.column) {
            (Some(table), Some(column)) => write!(f, "{table}.{column}: ")?,
            (Some(table), None) => write!(f, "{table}: ")?,
            (None, Some(column)) => write!(f, "column {column}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}] {self}", self.0.kind.code())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// What to do where a program of this machine has no memory left.
pub(crate) const MEMORY_HINT: &str = "free memory on this machine, raise the limit of the container or of `ulimit -v`, or load less at once with --jobs 1";

/// What to do where the disk of this path is full.
pub(crate) fn disk_full_hint(path: &Path) -> String {
    format!(
        "free space on the disk that holds {}, then run the same command again; or name a directory on a larger disk with \
         --dir",
        path.display()
    )
}

/// Adds the place to an error on its way up.
pub trait ResultExt<T> {
    /// Names the stage unless one is named already.
    ///
    /// # Errors
    /// The same error, with its place.
    fn in_stage(self, stage: Stage) -> Result<T>;
    /// Names the table unless one is named already.
    ///
    /// # Errors
    /// The same error, with its place.
    fn at_table(self, table: &str) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T> {
    fn in_stage(self, stage: Stage) -> Result<T> {
        self.map_err(|error| error.in_stage(stage))
    }

    fn at_table(self, table: &str) -> Result<T> {
        self.map_err(|error| error.at_table(table))
    }
}

/// The same I/O error with the operating system's text alone, which never quotes content.
pub(crate) fn without_content(cause: &io::Error) -> io::Error {
    cause.raw_os_error().map_or_else(|| cause.kind().into(), io::Error::from_raw_os_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exhausted_is_named_with_its_path() {
        let hint = |number| {
            let cause = io::Error::from_raw_os_error(number);
            Error::io(Kind::ArtifactIo, "writing", Path::new("mig/dump/source.db"), &cause).hint().to_owned()
        };
        assert!(hint(28).contains("the disk that holds mig/dump/source.db"), "ENOSPC: {}", hint(28));
        assert!(hint(12).contains("free memory"), "ENOMEM: {}", hint(12));
        assert!(hint(27).contains("ulimit -f"), "EFBIG: {}", hint(27));
        assert_eq!(hint(13), Kind::ArtifactIo.hint());
    }

    #[test]
    fn all_kinds_are_in_the_list_once() {
        let codes: std::collections::BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
        // The last one declared; a kind added after it must be added to the list too.
        assert_eq!(Kind::Bug as usize + 1, Kind::ALL.len());
    }

    #[test]
    fn an_io_failure_is_its_source_without_what_it_quotes() {
        let quoting = io::Error::new(io::ErrorKind::InvalidData, "hunter2");
        let error = Error::io(Kind::ArtifactIo, "reading", Path::new("a"), &quoting);
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>()).unwrap();
        assert_eq!(source.kind(), io::ErrorKind::InvalidData);
        assert!(!format!("{error} {source}").contains("hunter2"));
    }

    #[test]
    fn a_class_is_the_beginning_of_a_sqlstate() {
        let error = Error::new(Kind::LocalRejected, "making an index: [SQLSTATE 42501] is not read from here");
        assert!(!error.is_of_sqlstate_class(&["42"]));
        let error = error.with_sqlstate(SqlState::UNIQUE_VIOLATION);
        assert!(error.is_of_sqlstate_class(&["42", "23"]) && !error.is_of_sqlstate_class(&["42", "50"]));
    }
}
