//! How far an unfinished copy is (`dump/part.json`), and which log a finished one was made from.
//!
//! Invariant: what the state claims of the file is on disk before the state is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Kind, Result},
    source::page_file::Run,
    workdir::sealed,
};

const FORMAT: u32 = 1;

/// A place in a log: everything up to and including this frame is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The log's identity.
    pub(crate) log_id: String,
    /// The frame, counted from 0.
    pub(crate) frame: u64,
    /// The frame's checksum, which stands for all before it.
    pub(crate) checksum: u64,
}

impl Position {
    /// The text that a checkpoint keeps.
    pub(crate) fn mark(&self) -> String {
        format!("replication log {} frame {} checksum {:016x}", self.log_id, self.frame, self.checksum)
    }

    /// Reads the text back; none if it speaks of something else.
    pub(crate) fn from_mark(mark: &str) -> Option<Self> {
        let words: Vec<&str> = mark.split(' ').collect();
        let ["replication", "log", log_id, "frame", frame, "checksum", checksum] = words[..] else { return None };
        let checksum = u64::from_str_radix(checksum, 16).ok()?;
        Some(Self { log_id: log_id.to_owned(), frame: frame.parse().ok()?, checksum })
    }
}

/// An unfinished copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unfinished {
    format: u32,
    /// How far it is.
    pub(crate) position: Position,
    /// The pages that the file holds, counted from 0.
    pub(crate) pages: Vec<Run>,
}

impl Unfinished {
    pub(crate) fn new(position: Position, pages: Vec<Run>) -> Self {
        Self { format: FORMAT, position, pages }
    }

    /// Stores it beside the part file.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub(crate) fn store(&self, part: &Path) -> Result<()> {
        sealed::store(&path_beside(part), self).map(|_| ())
    }

    /// The one beside the part file; none if there is none that can be used.
    pub(crate) fn load(part: &Path) -> Option<Self> {
        sealed::load(&path_beside(part), FORMAT, "dump").ok().filter(|_| part.exists())
    }
}

/// Whether a later run can go on with the part file.
pub(crate) fn can_continue(part: &Path) -> bool {
    Unfinished::load(part).is_some()
}

/// Forgets what is known of the part file: do it before the file goes or is written by other means.
///
/// # Errors
/// `ArtifactIo`.
pub(crate) fn forget(part: &Path) -> Result<()> {
    let path = path_beside(part);
    match fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(Error::io(Kind::ArtifactIo, "removing", &path, &cause)),
    }
}

fn path_beside(part: &Path) -> PathBuf {
    part.with_file_name("part.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_another_methods_does_not() {
        for checksum in [0, u64::MAX] {
            let position = Position { log_id: "28e9e934-bef4".to_owned(), frame: 77, checksum };
            assert_eq!(Position::from_mark(&position.mark()), Some(position));
        }
        assert_eq!(Position::from_mark("replication_index 33"), None);
        assert_eq!(Position::from_mark("replication log x frame y checksum 0"), None);
    }

    #[test]
    fn an_unfinished_copy_is_found_again_unless_its_file_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let part = directory.path().join("source.db.part");
        let position = Position { log_id: "a".to_owned(), frame: 5, checksum: u64::MAX };
        let unfinished = Unfinished::new(position, vec![(0, 7)]);
        unfinished.store(&part).unwrap();
        assert_eq!(Unfinished::load(&part), None);
        fs::write(&part, "x").unwrap();
        assert_eq!(Unfinished::load(&part), Some(unfinished));
        forget(&part).unwrap();
        assert_eq!(Unfinished::load(&part), None);
        forget(&part).unwrap();
    }
}
