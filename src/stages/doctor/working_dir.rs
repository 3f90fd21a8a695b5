//! Checks the working directory: whether it can be written, and the disk space.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access, statvfs};

use super::{Check, CheckSubject};
use crate::{
    error::{Error, Kind},
    model::human_format::bytes,
    workdir::Workdir,
};

/// Below this the disk holds only a small database: dump, managed PostgreSQL and its indexes.
const FREE_BYTES_LOW: u64 = 2_000_000_000;

/// Dump, tables and indexes take about this many times the source's size.
const SIZE_FACTOR: u64 = 4;

/// Checks the directory given by `--dir`, or the place where it would be made. `source_bytes` is the size of the
/// source, where it is known.
pub(super) fn examine(root: &Path, source_bytes: Option<u64>) -> Vec<Check> {
    let nearest = nearest_existing(root);
    let exists = if nearest == root { "exists" } else { "will be made" };
    let writable = match access(&nearest, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if nearest.is_dir() => {
            Check::ok(CheckSubject::Directory, "writable", format!("{} {exists}", root.display()))
        }
        Ok(()) => Check::fail(CheckSubject::Directory, "writable", &refused(&nearest, "is not a directory")),
        Err(cause) => Check::fail(
            CheckSubject::Directory,
            "writable",
            &refused(&nearest, &format!("can't be written: {}", std::io::Error::from(cause).kind())),
        ),
    };
    let mut checks = vec![writable];
    // A directory that the other commands refuse.
    if let Some(error) = Some(root).filter(|root| root.is_dir()).and_then(|root| Workdir::open(root).err()) {
        checks.push(Check::fail(CheckSubject::Directory, "private", &error));
    }
    checks.push(free_space(&nearest, source_bytes));
    checks
}

fn refused(path: &Path, what: &str) -> Error {
    Error::new(Kind::ArtifactIo, format!("{} {what}", path.display()))
}

fn free_space(place: &Path, source_bytes: Option<u64>) -> Check {
    let Ok(facts) = statvfs(place) else {
        return Check::warn(CheckSubject::Directory, "space", "the free space can't be read", "");
    };
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    let wanted = source_bytes.map_or(0, |size| size.saturating_mul(SIZE_FACTOR));
    if free < wanted {
        let found = format!("{} free, about {} needed", bytes(free), bytes(wanted));
        return Check::warn(
            CheckSubject::Directory,
            "space",
            found,
            "free disk space, or name a larger disk with --dir",
        );
    }
    if free < FREE_BYTES_LOW {
        let todo = format!("dump, tables and indexes take about {SIZE_FACTOR} times the size of the source");
        return Check::warn(CheckSubject::Directory, "space", format!("{} free", bytes(free)), todo);
    }
    Check::ok(CheckSubject::Directory, "space", format!("{} free", bytes(free)))
}

/// The path itself, or the nearest directory above it that is there.
pub(super) fn nearest_existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let nearest = absolute.ancestors().find(|ancestor| ancestor.exists()).map(Path::to_path_buf);
    match nearest {
        Some(nearest) if nearest == absolute => path.to_path_buf(),
        Some(nearest) => nearest,
        None => PathBuf::from("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::doctor::Grade;

    #[test]
    fn a_directory_that_is_not_there_is_judged_by_the_one_above() {
        let directory = tempfile::tempdir().unwrap();
        let checks = examine(&directory.path().join("a/b"), None);
        assert_eq!(checks.first().map(|check| check.grade), Some(Grade::Ok));
        assert!(!directory.path().join("a").exists());
    }

    #[test]
    fn a_directory_that_others_can_write_to_fails() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let checks = examine(directory.path(), None);
        assert_eq!(checks.get(1).map(|check| check.grade), Some(Grade::Fail));
    }

    #[test]
    fn a_file_in_its_place_fails() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "").unwrap();
        let checks = examine(&path, None);
        assert_eq!(checks.first().map(|check| check.grade), Some(Grade::Fail));
    }

    #[test]
    fn a_source_larger_than_the_disk_is_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        let checks = examine(directory.path(), Some(u64::MAX / 8));
        assert_eq!(checks.last().map(|check| check.grade), Some(Grade::Warn));
    }
}
