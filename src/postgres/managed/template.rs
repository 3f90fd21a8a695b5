//! A data directory as `initdb` makes it, kept in a cache directory: to copy it takes a tenth of the time.
//!
//! The name of a template says from which programs it was made. A template is written once, brought to disk, and then
//! given its name, so that one that is found is whole. Everything here may fail: then `initdb` is run.

use std::{
    fmt,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{binaries::Binaries, cache_dir};
use crate::workdir::sha256_of_bytes;

/// The file of a template that says how much it has: who cleans caches may remove single files.
const SIZE: &str = "turso2neon.size";

/// The beginning of the names of directories that one process works in.
const TEMPORARY: &str = "new-";

/// The age at which such a directory is one that a killed process left.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// A place in a cache directory that no other account can write to.
#[derive(Debug)]
pub(super) struct Template {
    directory: PathBuf,
    /// Of the directory of the programs.
    bin: String,
    /// Of the programs and the arguments.
    facts: String,
}

impl Template {
    /// The template of `initdb` with these arguments. `cache` is the user's cache directory. None where there is no
    /// directory for it that can be trusted.
    pub(super) fn of(cache: Option<&Path>, binaries: &Binaries, arguments: &[String]) -> Option<Self> {
        let directory = cache_dir::of(cache)?;
        let program = fs::metadata(binaries.bin.join("postgres")).ok()?;
        let bin = hash(&binaries.bin.to_string_lossy());
        let facts = format!("{} {} {} {arguments:?}", binaries.version, program.len(), program.mtime_nsec());
        let facts = hash(&format!("{facts} {}", program.mtime()));
        Some(Self { directory, bin, facts })
    }

    fn path(&self) -> PathBuf {
        self.directory.join(format!("cluster-{}-{}", self.bin, self.facts))
    }

    /// Copies it to a directory that is there and empty, or to one that is not there. Says whether it did. A template that
    /// has lost files is removed.
    pub(super) fn copy_to(&self, new: &Path) -> bool {
        let path = self.path();
        let Ok(kept) = fs::read_to_string(path.join(SIZE)) else { return false };
        let is_whole = copy(&path, new).is_ok_and(|copied| copied.to_string() == kept);
        if !is_whole {
            self.remove(&path);
        }
        is_whole
    }

    /// Keeps a copy of a new data directory, in the place of those of earlier versions of the programs. No other account
    /// may be able to change the data directory meanwhile. `sync` brings a directory to disk.
    pub(super) fn keep(&self, pgdata: &Path, sync: impl Fn(&Path) -> bool) {
        let Ok(new) = self.temporary() else { return };
        let whole = new.path().join("data");
        let is_kept = copy(pgdata, &whole).is_ok_and(|copied| fs::write(whole.join(SIZE), copied.to_string()).is_ok())
            && sync(&whole)
            && fs::rename(&whole, self.path()).is_ok();
        if !is_kept {
            return;
        }
        let earlier = format!("cluster-{}-", self.bin);
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_left = name.to_string_lossy().starts_with(TEMPORARY)
                && entry
                    .metadata()
                    .and_then(|facts| facts.modified())
                    .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED));
            if is_left || (name.to_string_lossy().starts_with(&earlier) && entry.path() != self.path()) {
                self.remove(&entry.path());
            }
        }
    }

    /// A directory of its own for one process.
    fn temporary(&self) -> io::Result<tempfile::TempDir> {
        tempfile::Builder::new().prefix(TEMPORARY).tempdir_in(&self.directory)
    }

    /// Takes a directory away under another name first, so that who copies it finds all of it or nothing.
    fn remove(&self, path: &Path) {
        if let Ok(away) = self.temporary() {
            fs::rename(path, away.path().join("data")).ok();
        }
    }
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Copied {
    files: u64,
    bytes: u64,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} files, {} bytes", self.files, self.bytes)
    }
}

fn hash(text: &str) -> String {
    sha256_of_bytes(text.as_bytes()).chars().take(16).collect()
}

/// Copies files and directories, which is all that a new data directory has.
fn copy(from: &Path, to: &Path) -> io::Result<Copied> {
    match DirBuilder::new().mode(0o700).create(to) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
        _ => {}
    }
    let mut copied = Copied::default();
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            let inside = copy(&entry.path(), &to)?;
            copied.files += inside.files;
            copied.bytes += inside.bytes;
        } else if !kind.is_file() {
            return Err(io::ErrorKind::InvalidData.into());
        } else if entry.file_name() != SIZE {
            copied.bytes += fs::copy(entry.path(), to)?;
            copied.files += 1;
        }
    }
    Ok(copied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(directory: &Path, facts: &str) -> Template {
        Template { directory: directory.to_path_buf(), bin: "b".to_owned(), facts: facts.to_owned() }
    }

    #[test]
    fn a_template_is_copied_whole_and_replaces_earlier_ones() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        fs::create_dir_all(data.join("base/1")).unwrap();
        fs::write(data.join("PG_VERSION"), "15\n").unwrap();
        fs::write(data.join("base/1/112"), [7; 9000]).unwrap();
        let cache = home.path().join("cache");
        fs::create_dir(&cache).unwrap();
        let (old, new) = (template(&cache, "old"), template(&cache, "new"));
        let copied = home.path().join("copied");
        assert!(!old.copy_to(&copied) && !copied.exists());
        old.keep(&data, |_| true);
        // What could not be brought to disk is not kept.
        new.keep(&data, |_| false);
        assert!(old.copy_to(&copied) && !new.copy_to(&home.path().join("other")));
        assert_eq!(fs::read(copied.join("base/1/112")).unwrap(), [7; 9000]);
        new.keep(&data, |_| true);
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
        assert!(new.path().is_dir());
        // One that has lost a file is no template any more.
        fs::remove_file(new.path().join("base/1/112")).unwrap();
        assert!(!new.copy_to(&home.path().join("part")) && !new.path().exists());
    }
}
