//! Whether a copy has room on the disk: looked at before it is fetched.

use std::path::Path;

use crate::{
    error::{Error, Kind, Result, disk_full_hint},
    file_access::free_bytes,
    model::human_format,
};

/// What is left besides the copy: checkpoint, log, the engine's temporary files.
const SPARE_BYTES: u64 = 16 << 20;

/// Refuses a copy of so many bytes that has no room beside the part file. A disk that can't be asked has room.
///
/// # Errors
/// `ArtifactIo`.
pub(super) fn require(part: &Path, bytes: u64) -> Result<()> {
    let Some(directory) = part.parent() else { return Ok(()) };
    free_bytes(directory).map_or(Ok(()), |free| enough(directory, free, bytes))
}

fn enough(directory: &Path, free: u64, bytes: u64) -> Result<()> {
    let wanted = bytes.saturating_add(SPARE_BYTES);
    if free >= wanted {
        return Ok(());
    }
    let text = format!(
        "the copy needs about {}, and the disk of {} has {} free",
        human_format::bytes(wanted),
        directory.display(),
        human_format::bytes(free)
    );
    Err(Error::new(Kind::ArtifactIo, text).with_hint(disk_full_hint(directory)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_larger_than_the_disk_is_refused_before_it_is_fetched() {
        let directory = tempfile::tempdir().unwrap();
        require(&directory.path().join("part"), 1).unwrap();
        let error = require(&directory.path().join("part"), u64::MAX / 2).unwrap_err();
        assert_eq!(error.kind(), Kind::ArtifactIo);
        assert!(error.message().contains(&*directory.path().to_string_lossy()), "{error}");
        assert!(enough(directory.path(), 100 << 20, 90 << 20).is_err());
        enough(directory.path(), 107 << 20, 90 << 20).unwrap();
    }
}
