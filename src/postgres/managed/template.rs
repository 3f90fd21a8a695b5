//! A data directory as `initdb` makes it, kept in a cache directory: to copy it takes a tenth of the time.
//!
//! The name of a template says from which programs it was made. A template is written once, brought to disk, and then
//! given its name, so that one that is found is whole. Everything here may fail: then `initdb` is run.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::binaries::Binaries;
use crate::{
    file_access::{self, Distrust},
    workdir::sha256_of_bytes,
};

/// Where a root process keeps templates. Its `HOME` may be the directory of another account.
const OF_ROOT: &str = "/var/cache/turso2neon";

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
        let directory =
            if rustix::process::geteuid().is_root() { PathBuf::from(OF_ROOT) } else { cache?.join("turso2neon") };
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).ok()?;
        let is_safe = fs::symlink_metadata(&directory)
            .is_ok_and(|facts| facts.is_dir() && file_access::is_own(&facts) && Distrust::of(&facts).is_none());
        let program = fs::metadata(binaries.bin.join("postgres")).ok().filter(|_| is_safe)?;
        let bin = hash(&binaries.bin.to_string_lossy());
        let facts = format!("{} {} {} {arguments:?}", binaries.version, program.len(), program.mtime_nsec());
        let facts = hash(&format!("{facts} {}", program.mtime()));
        Some(Self { directory, bin, facts })
    }

    fn path(&self) -> PathBuf {
        self.directory.join(format!("cluster-{}-{}", self.bin, self.facts))
    }

    /// Copies it to a directory that is there and empty, or to one that is not there. Says whether it did.
    pub(super) fn copy_to(&self, new: &Path) -> bool {
        let path = self.path();
        path.join("PG_VERSION").is_file() && copy(&path, new).is_ok()
    }

    /// Keeps a copy of a new data directory, in the place of those of earlier versions of the programs. `sync` brings a
    /// directory to disk.
    pub(super) fn keep(&self, pgdata: &Path, sync: impl Fn(&Path) -> bool) {
        let new = self.directory.join(format!("new-{}", std::process::id()));
        fs::remove_dir_all(&new).ok();
        let is_kept = copy(pgdata, &new).is_ok() && sync(&new) && fs::rename(&new, self.path()).is_ok();
        if !is_kept {
            fs::remove_dir_all(&new).ok();
            return;
        }
        let earlier = format!("cluster-{}-", self.bin);
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&earlier) && entry.path() != self.path() {
                fs::remove_dir_all(entry.path()).ok();
            }
        }
    }
}

fn hash(text: &str) -> String {
    sha256_of_bytes(text.as_bytes()).chars().take(16).collect()
}

/// Copies files and directories, which is all that a new data directory has.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(to) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(cause),
        _ => {}
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), to)?;
        } else {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(())
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
    }
}
