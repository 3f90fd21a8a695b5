//! Locks the working directory, so that only one run uses it.
//!
//! The lock is the kernel's lock on `DIR/lock`, so that a dead owner's lock is free by itself; the file holds the
//! owner's pid for the message.

use std::{
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
};

use super::Workdir;
use crate::{
    error::{Error, Kind, Result},
    file_access,
};

/// Held for the length of a run; released when dropped or when the process dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the directory's lock, and removes what a run that died left half-written.
    ///
    /// # Errors
    /// `Locked` with the owner's pid; `ArtifactIo`.
    pub fn take(workdir: &Workdir) -> Result<Self> {
        let path = workdir.root().join("lock");
        let failed = |cause: &std::io::Error| Error::io(Kind::ArtifactIo, "locking", &path, cause);
        let mut file = file_access::keep(&path).map_err(|cause| failed(&cause))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(owned_by_another(&mut file, workdir)),
            Err(TryLockError::Error(cause)) => return Err(failed(&cause)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(|cause| failed(&cause))?;
        workdir.remove_half_written()?;
        Ok(Self { _file: file })
    }
}

fn owned_by_another(file: &mut File, workdir: &Workdir) -> Error {
    let mut pid = String::new();
    let owner = match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        Ok(_) | Err(_) => "another process".to_owned(),
    };
    Error::new(Kind::Locked, format!("{owner} is at work in {}", workdir.root().display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_run_is_kept_out_until_the_first_ends() {
        let directory = tempfile::tempdir().unwrap();
        let workdir = Workdir::create(directory.path()).unwrap();
        let first = Lock::take(&workdir).unwrap();
        let refused = Lock::take(&workdir).unwrap_err();
        assert_eq!(refused.kind(), Kind::Locked);
        assert!(refused.message().contains(&std::process::id().to_string()));
        drop(first);
        assert!(Lock::take(&workdir).is_ok());
    }

    #[test]
    fn what_a_dead_run_left_half_written_goes_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let workdir = Workdir::create(directory.path()).unwrap();
        let dump = workdir.subdir("dump").unwrap();
        std::fs::write(workdir.root().join("plan"), "somebody's").unwrap();
        for name in ["part.json", "part.tmp", "notes.tmp"] {
            std::fs::write(dump.join(name), "{").unwrap();
        }
        drop(Lock::take(&workdir).unwrap());
        let mut left: Vec<_> = std::fs::read_dir(&dump).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["notes.tmp", "part.json"]);
    }
}
