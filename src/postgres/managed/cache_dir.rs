//! The directory in which the tool keeps what it would otherwise make or ask anew in each run: copies of new clusters, and
//! the versions of programs. Whatever is missing there is made again.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::file_access::{self, Distrust};

/// Where a root process keeps it. Its `HOME` may be the directory of another account.
const OF_ROOT: &str = "/var/cache/turso2neon";

/// The directory, made if it is not there. `cache` is the user's cache directory. None where no directory is one that no
/// other account can write to.
pub(super) fn of(cache: Option<&Path>) -> Option<PathBuf> {
    let directory =
        if rustix::process::geteuid().is_root() { PathBuf::from(OF_ROOT) } else { cache?.join("turso2neon") };
    DirBuilder::new().recursive(true).mode(0o700).create(&directory).ok()?;
    let is_safe = fs::symlink_metadata(&directory)
        .is_ok_and(|facts| facts.is_dir() && file_access::is_own(&facts) && Distrust::of(&facts).is_none());
    is_safe.then_some(directory)
}
