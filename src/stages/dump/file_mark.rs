//! Recognises a local file that has not changed since the last dump, without reading it.
//!
//! Decisions: a file that is written within one tick of the file system's clock keeps its times, so a mark is made only of
//! a file that had been left alone for longer than any such tick when the copy began. A file that another process has
//! open (`-shm`), or that a crash left in the middle of a transaction (`-journal`), gets no mark.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::local_file::beside;
use crate::{
    model::{DumpCheckpoint, consistency_mark::ConsistencyMark, dump_method::DumpMethod},
    workdir::{now_s, sha256_of_bytes},
};

/// Seconds for which a file must have been left alone. FAT counts in steps of two seconds.
const QUIET_SECONDS: i64 = 3;

/// Bytes at the beginning of a database or of its log that change with each transaction: a counter in the one, the salt of
/// the checksums in the other (SQLite "Database File Format", sections 1.3 and 4.1).
const HEAD_BYTES: u64 = 100;

/// The state of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileMark {
    hash: String,
    is_settled: bool,
}

impl FileMark {
    /// Looks at a file. None for one that can't be marked.
    pub(super) fn look(path: &Path) -> Option<Self> {
        let now = i64::try_from(now_s()).ok()?;
        if exists(&beside(path, "-shm"))? || exists(&beside(path, "-journal"))? {
            return None;
        }
        let log = beside(path, "-wal");
        let mut facts = path.display().to_string();
        let mut last = 0;
        for (file, is_there) in [(path, true), (log.as_path(), exists(&log)?)] {
            if is_there {
                // Opened before it is looked at: a network file system asks for the times when a file is opened.
                let mut head = Vec::new();
                let opened = File::open(file).ok()?;
                let found = opened.metadata().ok()?;
                // Under another name the file may have another log.
                if found.nlink() > 1 {
                    return None;
                }
                opened.take(HEAD_BYTES).read_to_end(&mut head).ok()?;
                let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
                facts.push_str(&format!("\n{} {} {} {times:?} {head:?}", found.dev(), found.ino(), found.len()));
                last = last.max(found.mtime()).max(found.ctime());
            }
        }
        Some(Self { hash: sha256_of_bytes(facts.as_bytes()), is_settled: last < now - QUIET_SECONDS })
    }

    /// The mark for the checkpoint of a copy that was begun after this look and is complete now.
    pub(super) fn of_copy(self, path: &Path) -> Option<ConsistencyMark> {
        let is_same = Self::look(path).is_some_and(|now| now.hash == self.hash);
        (self.is_settled && is_same).then_some(ConsistencyMark::FileState(self.hash))
    }
}

/// Whether the file is the one that the dump was taken from, unchanged, all of it.
pub(super) fn is_unchanged(path: &Path, previous: &DumpCheckpoint) -> bool {
    let is_whole = previous.method == DumpMethod::File
        && previous.left_out.is_empty()
        && previous.tool == env!("CARGO_PKG_VERSION");
    let Some(ConsistencyMark::FileState(recorded)) = &previous.consistency_mark else { return false };
    is_whole
        && previous.source == path.display().to_string()
        && FileMark::look(path).is_some_and(|now| now.hash == *recorded)
}

fn exists(path: &Path) -> Option<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Some(true),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{FileTimes, OpenOptions};

    use super::*;

    fn set_modified(path: &Path, time: std::time::SystemTime) {
        OpenOptions::new().write(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
    }

    #[test]
    fn a_file_that_was_just_written_gets_no_mark() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        fs::write(&path, [7; 200]).unwrap();
        assert_eq!(FileMark::look(&path).unwrap().of_copy(&path), None);
        // Whoever sets the time of modification back still changes the time of status.
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        set_modified(&path, modified - std::time::Duration::from_secs(100));
        assert_eq!(FileMark::look(&path).unwrap().of_copy(&path), None);
    }

    #[test]
    fn whatever_changes_the_file_changes_its_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        fs::write(&path, [7; 200]).unwrap();
        let first = FileMark::look(&path).unwrap();
        assert_eq!(FileMark::look(&path), Some(first.clone()));
        std::thread::sleep(std::time::Duration::from_millis(30));
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, [8; 200]).unwrap();
        set_modified(&path, modified);
        assert_ne!(FileMark::look(&path).unwrap().hash, first.hash);
        fs::write(beside(&path, "-wal"), "log").unwrap();
        let with_log = FileMark::look(&path).unwrap();
        fs::write(beside(&path, "-wal"), "more of the log").unwrap();
        assert_ne!(FileMark::look(&path).unwrap().hash, with_log.hash);
        fs::write(beside(&path, "-shm"), "").unwrap();
        assert_eq!(FileMark::look(&path), None);
    }
}
