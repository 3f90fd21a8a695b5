//! Writes `log.jsonl` in the working directory: every event of every run.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Mutex,
};

use crate::error::{Error, Kind, Result};

/// The open log. A log that can't be written (disk full) falls silent; it doesn't stop the work.
pub(super) struct Log(Mutex<Option<File>>);

impl Log {
    /// Opens the log to append to it (0600).
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let file = file.map_err(|cause| Error::io(Kind::ArtifactIo, "opening", path, &cause))?;
        Ok(Self(Mutex::new(Some(file))))
    }

    /// Adds a line, whole or not at all as far as the file system allows.
    pub(super) fn add(&self, line: &str) {
        let Ok(mut slot) = self.0.lock() else { return };
        let Some(file) = slot.as_mut() else { return };
        if file.write_all(format!("{line}\n").as_bytes()).is_err() {
            *slot = None;
        }
    }
}
