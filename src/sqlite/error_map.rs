//! Maps `rusqlite::Error` to [`Error`]. SQLite's messages quote names and SQL, and constraint messages quote column
//! names only; values appear in none of those kept here.

use rusqlite::ErrorCode;

use crate::error::{Error, Kind, MEMORY_HINT};

/// The error for a failed call on the dump or the local source.
#[must_use]
pub fn describe(doing: &str, failure: &rusqlite::Error) -> Error {
    let Some(code) = failure.sqlite_error_code() else {
        return Error::new(Kind::SourceInvalid, format!("{doing}: SQLite's answer was not as expected"));
    };
    let (kind, words) = match code {
        ErrorCode::NotADatabase => (Kind::SourceInvalid, "the file is not a SQLite database"),
        ErrorCode::DatabaseCorrupt => (Kind::SourceInvalid, "the database is malformed"),
        ErrorCode::CannotOpen => (Kind::SourceInvalid, "the file can't be opened"),
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            (Kind::SourceInvalid, "access is denied")
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => (Kind::SourceUnreachable, "the database is locked"),
        ErrorCode::DiskFull => (Kind::ArtifactIo, "the disk is full"),
        ErrorCode::SystemIoFailure => (Kind::ArtifactIo, "reading or writing failed"),
        ErrorCode::ReadOnly => (Kind::ArtifactIo, "the file is read-only"),
        ErrorCode::OutOfMemory => (Kind::ArtifactIo, "memory is exhausted"),
        _ => (Kind::SourceInvalid, "SQLite refused the statement"),
    };
    let error = Error::new(kind, format!("{doing}: {words}"));
    match code {
        ErrorCode::DiskFull => error.with_hint(
            "free space on the disk of the directory given by --dir, and on that of temporary files (TMPDIR), then run the \
             same command again",
        ),
        ErrorCode::OutOfMemory => error.with_hint(MEMORY_HINT),
        _ => error,
    }
}
