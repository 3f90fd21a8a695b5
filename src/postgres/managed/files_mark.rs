//! Shows whether the files of a data directory that no server uses have changed.

use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use crate::workdir::sha256_of_bytes;

/// What the file system says of all files: place, size and times. Each start of a server changes some of them, and so does
/// whoever writes to a file. None if the directory can't be read.
pub(super) fn of(pgdata: &Path) -> Option<String> {
    let mut lines = Vec::new();
    add(pgdata, pgdata, &mut lines).ok()?;
    lines.sort_unstable();
    Some(sha256_of_bytes(lines.join("\n").as_bytes()))
}

fn add(root: &Path, directory: &Path, lines: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let facts = fs::symlink_metadata(&path)?;
        let times = (facts.mtime(), facts.mtime_nsec(), facts.ctime(), facts.ctime_nsec());
        let name = path.strip_prefix(root).unwrap_or(&path);
        lines.push(format!("{} {} {} {times:?}", name.display(), facts.ino(), facts.len()));
        if facts.is_dir() {
            add(root, &path, lines)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_changed_byte_in_one_file_shows() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("base/1");
        fs::create_dir(directory.path().join("base")).unwrap();
        fs::write(&file, [7; 100]).unwrap();
        let before = of(directory.path()).unwrap();
        assert_eq!(of(directory.path()), Some(before.clone()));
        std::thread::sleep(std::time::Duration::from_millis(30));
        fs::write(&file, [8; 100]).unwrap();
        assert_ne!(of(directory.path()), Some(before));
    }
}
