//! Says that the disk is full, or memory exhausted, where that is why the managed server failed.
//!
//! The server reports a full disk by its SQLSTATE, or ends because of it. In the second case the free space decides,
//! not the text of its log.

use std::path::Path;

use tokio_postgres::error::SqlState;

use crate::{
    error::{Error, Kind, MEMORY_HINT, Result, disk_full_hint},
    file_access::free_bytes,
    model::human_format::bytes,
};

/// What a new cluster takes: its databases, and one segment of the write-ahead log.
const CLUSTER_BYTES: u64 = 64 << 20;

/// Less than a segment of the write-ahead log: the server could not go on.
const FULL_BELOW_BYTES: u64 = 16 << 20;

/// Refuses to make a cluster where it has no room.
///
/// # Errors
/// `LocalUnreachable`.
pub(super) fn require_room(pgdata: &Path) -> Result<()> {
    let Some(free) = pgdata.parent().and_then(free_bytes).filter(|free| *free < CLUSTER_BYTES) else { return Ok(()) };
    let text = format!(
        "the disk of {} has {} free; a PostgreSQL cluster needs about {}",
        pgdata.display(),
        bytes(free),
        bytes(CLUSTER_BYTES)
    );
    Err(Error::new(Kind::LocalUnreachable, text).with_hint(disk_full_hint(pgdata)))
}

/// Adds what is exhausted to an error of the server on this data directory.
pub(super) fn explain(pgdata: &Path, error: Error) -> Error {
    if error.sqlstate() == Some(&SqlState::OUT_OF_MEMORY) {
        return error.with_hint(MEMORY_HINT);
    }
    if error.sqlstate() == Some(&SqlState::DISK_FULL) {
        return error.with_hint(disk_full_hint(pgdata));
    }
    let is_end = error.kind() == Kind::LocalUnreachable && error.sqlstate().is_none();
    match free_bytes(pgdata).filter(|free| is_end && *free < FULL_BELOW_BYTES) {
        Some(free) => {
            let text = format!("{}; the disk of {} has {} free", error.message(), pgdata.display(), bytes(free));
            error.with_message(text).with_hint(disk_full_hint(pgdata))
        }
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_lacks_is_in_the_hint() {
        let directory = tempfile::tempdir().unwrap();
        let explained = |state| {
            let error = Error::new(Kind::LocalRejected, "loading a chunk").with_sqlstate(state);
            explain(directory.path(), error).hint().to_owned()
        };
        assert!(explained(SqlState::DISK_FULL).contains(&*directory.path().to_string_lossy()));
        assert!(explained(SqlState::OUT_OF_MEMORY).contains("--jobs 1"));
        assert_eq!(explained(SqlState::UNIQUE_VIOLATION), Kind::LocalRejected.hint());
    }
}
