//! How far an unfinished copy is (`dump/part.json`), for methods whose copies can be continued.
//!
//! Invariant: what it claims of the part file is on disk before it is.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    error::{Error, Kind, Result},
    model::dump_method::DumpMethod,
    source::page_assembler::PageRange,
    workdir::sealed,
};

const FORMAT: u32 = 1;

/// An unfinished copy; `P` is a method's word for a place in its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ResumeState<P> {
    format: u32,
    method: DumpMethod,
    /// Where in the source it is.
    pub(super) place: P,
    /// The pages that the file holds, counted from 0.
    pub(super) pages: Vec<PageRange>,
}

impl<P: Serialize + DeserializeOwned> ResumeState<P> {
    pub(super) fn new(method: DumpMethod, place: P, pages: Vec<PageRange>) -> Self {
        Self { format: FORMAT, method, place, pages }
    }

    /// Stores it beside the part file.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub(super) fn store(&self, part: &Path) -> Result<()> {
        sealed::store(&path_beside(part), self).map(|_| ())
    }

    /// The one of this method beside the part file; none if there is none that can be used.
    pub(super) fn load(part: &Path, method: DumpMethod) -> Option<Self> {
        let found: Self = sealed::load(&path_beside(part), FORMAT, "dump").ok()?;
        Some(found).filter(|found| found.method == method && part.exists())
    }
}

/// Whether a later run can go on with the part file.
pub(super) fn can_continue(part: &Path) -> bool {
    let found = sealed::load::<ResumeState<serde_json::Value>>(&path_beside(part), FORMAT, "dump");
    found.is_ok() && part.exists()
}

/// Forgets what is known of the part file: do it before the file goes or is written by other means.
///
/// # Errors
/// `ArtifactIo`.
pub(super) fn forget(part: &Path) -> Result<()> {
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
    fn an_unfinished_copy_is_found_again_unless_its_file_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let part = directory.path().join("source.db.part");
        let unfinished = ResumeState::new(DumpMethod::Replica, u64::MAX, vec![(0, 7)]);
        unfinished.store(&part).unwrap();
        assert_eq!(ResumeState::<u64>::load(&part, DumpMethod::Replica), None);
        fs::write(&part, "x").unwrap();
        assert_eq!(ResumeState::load(&part, DumpMethod::Replica), Some(unfinished));
        assert_eq!(ResumeState::<u64>::load(&part, DumpMethod::Pages), None);
        assert!(can_continue(&part));
        forget(&part).unwrap();
        assert!(!can_continue(&part));
        forget(&part).unwrap();
    }
}
