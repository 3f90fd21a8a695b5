//! Whose name the managed server runs under. PostgreSQL refuses to run as root.
//!
//! The account gets its own directories and nothing else: the data directory, and the directory of the socket. What is
//! given is opened first, without following a link, and given by its descriptor.

use std::{
    ffi::CStr,
    fs::{self, File},
    io,
    os::unix::{
        fs::{MetadataExt, fchown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid, chownat, openat, statat};
use uzers::User;

use crate::{
    error::{Error, Kind, Result},
    program,
};

/// Accounts that a root process runs the server under, in order of preference.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// How a directory is opened: not through a link.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An account other than the process's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OsUser {
    /// For messages.
    pub(super) name: String,
    uid: u32,
    gid: u32,
}

impl OsUser {
    /// The account of the server; none where the process isn't root and everything runs as itself. As root: `postgres`,
    /// else `nobody`.
    ///
    /// # Errors
    /// `LocalUnreachable` if there is no such account.
    pub(super) fn of_server() -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let found = UNPRIVILEGED.iter().find_map(uzers::get_user_by_name);
        found.map(|user| Some(Self::of(&user))).ok_or_else(|| {
            Error::new(
                Kind::LocalUnreachable,
                "PostgreSQL doesn't run as root, and there is no user postgres or nobody",
            )
            .with_hint("run turso2neon as an ordinary user, or use --local-url")
        })
    }

    /// The account of a root process itself.
    pub(super) fn root() -> Self {
        Self { name: "root".to_owned(), uid: 0, gid: 0 }
    }

    fn of(user: &User) -> Self {
        Self { name: user.name().to_string_lossy().into_owned(), uid: user.uid(), gid: user.primary_group_id() }
    }

    /// Makes a command run under this account, without root's supplementary groups.
    pub(super) fn take_on(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Makes a directory this account's, but not what is in it.
    ///
    /// # Errors
    /// `LocalUnreachable`, also for a link and for anything else than a directory.
    pub(super) fn give(&self, directory: &Path) -> Result<()> {
        open_directory(directory)
            .and_then(|opened| fchown(&opened, Some(self.uid), Some(self.gid)))
            .map_err(|cause| self.cannot_give(directory, &cause))
    }

    /// Makes a data directory and all that is in it this account's, unless it is already: it came from another machine,
    /// where the account has another number. A file with a second name elsewhere is refused.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub(super) fn give_all(&self, pgdata: &Path) -> Result<()> {
        if self.owns(pgdata) {
            return Ok(());
        }
        open_directory(pgdata)
            .and_then(|opened| self.give_tree(&opened))
            .map_err(|cause| self.cannot_give(pgdata, &cause))
    }

    /// Whether this account owns a file or directory (not what a link points to).
    pub(super) fn owns(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|facts| facts.uid() == self.uid)
    }

    /// Whether this account can enter a directory, as the kernel says.
    pub(super) fn can_enter(&self, directory: &Path) -> bool {
        let mut command = program::bare("/bin/sh");
        command.args(["-c", "cd -- \"$1\"", "sh"]).arg(directory).stdout(Stdio::null()).stderr(Stdio::null());
        self.take_on(&mut command);
        command.status().is_ok_and(|status| status.success())
    }

    fn give_tree(&self, directory: &File) -> io::Result<()> {
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_bytes() != b"." && name.to_bytes() != b".." {
                self.give_entry(directory, name)?;
            }
        }
        fchown(directory, Some(self.uid), Some(self.gid))
    }

    fn give_entry(&self, directory: &File, name: &CStr) -> io::Result<()> {
        let facts = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(facts.st_mode) {
            FileType::Directory => self.give_tree(&openat(directory, name, DIRECTORY, Mode::empty())?.into()),
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let file = File::from(openat(directory, name, flags, Mode::empty())?);
                let facts = file.metadata()?;
                if !facts.is_file() || facts.nlink() != 1 {
                    return Err(io::ErrorKind::PermissionDenied.into());
                }
                fchown(&file, Some(self.uid), Some(self.gid))
            }
            // A link itself, or a socket.
            _ => {
                let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
                Ok(chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?)
            }
        }
    }

    fn cannot_give(&self, path: &Path, cause: &io::Error) -> Error {
        Error::io(Kind::LocalUnreachable, &format!("giving to {} the path", self.name), path, cause)
            .with_hint("run turso2neon as an ordinary user, or use --local-url")
    }
}

/// Opens a directory, not through a link.
///
/// # Errors
/// Any failure; a link or anything else than a directory.
pub(super) fn open_directory(path: &Path) -> io::Result<File> {
    Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_account_has_the_name_and_the_numbers_of_the_system() {
        let root = uzers::get_user_by_uid(0).expect("every system has root");
        assert_eq!(OsUser::of(&root), OsUser { name: "root".to_owned(), uid: 0, gid: 0 });
    }

    #[test]
    fn only_what_is_in_the_directory_is_given() {
        let Some(account) = OsUser::of_server().unwrap() else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir_all(path("pgdata/base")).unwrap();
        fs::create_dir(path("victim")).unwrap();
        for file in ["pgdata/PG_VERSION", "pgdata/base/1", "victim/file"] {
            fs::write(path(file), "x").unwrap();
        }
        symlink(path("victim"), path("pgdata/pg_wal")).unwrap();
        symlink(path("victim"), path("link")).unwrap();
        assert!(account.give(&path("link")).is_err() && account.give(&path("victim/file")).is_err());
        account.give_all(&path("pgdata")).unwrap();
        assert!(["pgdata", "pgdata/base/1", "pgdata/pg_wal"].iter().all(|name| account.owns(&path(name))));
        assert!(!account.owns(&path("victim")) && !account.owns(&path("victim/file")));
        // A second name of a file outside.
        fs::create_dir(path("other")).unwrap();
        fs::hard_link(path("victim/file"), path("other/file")).unwrap();
        assert!(account.give_all(&path("other")).is_err());
        assert!(!account.owns(&path("victim/file")));
    }
}
