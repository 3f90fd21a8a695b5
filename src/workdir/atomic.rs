//! Replaces files atomically: a reader finds the old content or the new one.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Kind, Result},
    file_access,
};

/// Writes a file (0600) by temporary file, fsync, rename, and fsync of the directory.
///
/// # Errors
/// `ArtifactIo`; the old file is then untouched.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = unfinished(path);
    write_synced(&temporary, bytes).map_err(|cause| Error::io(Kind::ArtifactIo, "writing", &temporary, &cause))?;
    publish(&temporary, path)
}

/// What a file is called while it is written; one that is there with nobody at work was left by a killed run.
#[must_use]
pub fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

/// Makes a finished, synced file take another's name.
///
/// # Errors
/// `ArtifactIo`.
pub fn publish(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|cause| Error::io(Kind::ArtifactIo, "renaming to", to, &cause))?;
    match to.parent() {
        Some(directory) => sync_dir(directory),
        None => Ok(()),
    }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// `ArtifactIo`.
pub fn sync_dir(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|cause| Error::io(Kind::ArtifactIo, "syncing", directory, &cause))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = file_access::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
