//! Opens files without following a symbolic link at their end, and says whether others could have written a file.
//!
//! Every file of the working directory is opened here, so that a link in its place is never followed, and a pipe in its
//! place is never waited for. `workdir::admission` checks the directories above the file.

use std::{
    fmt,
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::OFlags;
use uzers::os::unix::GroupExt;

/// The bits of a mode by which the group and all others may write.
const GROUP_WRITES: u32 = 0o020;
const ALL_WRITE: u32 = 0o002;

/// Why the content of a file or directory may be somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Distrust {
    /// It belongs to this account, which is neither the process's own nor root.
    Owner(u32),
    /// Its mode lets other accounts write it.
    Mode(u32),
}

impl Distrust {
    /// Why these facts cannot be trusted; none if only the process's own account and root can have written.
    ///
    /// A group that has the number of the owner and no other members is the owner's own: systems with a group for each
    /// user let it write by default.
    #[must_use]
    pub(crate) fn of(facts: &Metadata) -> Option<Self> {
        let (owner, mode) = (facts.uid(), facts.mode());
        if !is_trusted(owner) {
            return Some(Self::Owner(owner));
        }
        // The mode of a link says nothing.
        let by_group = mode & GROUP_WRITES != 0 && !is_private_group(facts.gid(), owner);
        let by_all = mode & ALL_WRITE != 0;
        (!facts.is_symlink() && (by_group || by_all)).then_some(Self::Mode(mode & 0o7777))
    }
}

/// As the end of a sentence that begins with what is meant.
impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(owner) => {
                let own = rustix::process::geteuid().as_raw();
                write!(f, "belongs to {}, and this command runs as {}", user(*owner), user(own))
            }
            Self::Mode(mode) => write!(f, "can be written by other users (mode {mode:04o})"),
        }
    }
}

/// Whether what belongs to this account cannot harm the process: it is its own, or root's.
#[must_use]
pub(crate) fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}

/// Whether it belongs to the account of this process.
#[must_use]
pub(crate) fn is_own(facts: &Metadata) -> bool {
    facts.uid() == rustix::process::geteuid().as_raw()
}

/// An account, by its name where the system knows it.
#[must_use]
pub(crate) fn user(uid: u32) -> String {
    match uzers::get_user_by_uid(uid) {
        Some(user) => format!("user {}", user.name().to_string_lossy()),
        None => format!("user {uid}"),
    }
}

fn is_private_group(group: u32, owner: u32) -> bool {
    let own = uzers::get_user_by_uid(owner).map(|user| user.name().to_owned());
    let others = |group: uzers::Group| group.members().iter().any(|member| Some(member) != own.as_ref());
    group == owner && !uzers::get_group_by_gid(group).is_some_and(others)
}

/// The space that is free on the disk of a path; none if it cannot be asked.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(path).ok()?;
    Some(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// Creates a file (0600) to read and write it; one that exists is made empty.
///
/// # Errors
/// Any failure; a link or anything else that is not a file.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true).write(true).create(true).truncate(true), path)
}

/// Creates a file (0600) that does not exist yet, to write it.
///
/// # Errors
/// As [`create`]; a file that exists.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().write(true).create_new(true), path)
}

/// Opens a file to append to it, creating it (0600) if it does not exist.
///
/// # Errors
/// As [`create`].
pub(crate) fn append(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true).append(true).create(true), path)
}

/// Opens a file to read and write it, creating it (0600) if it does not exist. Keeps its content.
///
/// # Errors
/// As [`create`].
pub(crate) fn keep(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)
}

/// Opens a file that exists, to change it.
///
/// # Errors
/// As [`create`].
pub(crate) fn change(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true).write(true), path)
}

/// Opens a file to read it.
///
/// # Errors
/// As [`create`].
pub(crate) fn read(path: &Path) -> io::Result<File> {
    open(OpenOptions::new().read(true), path)
}

/// The text of a file.
///
/// # Errors
/// As [`create`]; `InvalidData` for what is not UTF-8.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    read(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Copies a file to a new file (0600), or over one that exists. Gives the number of bytes.
///
/// # Errors
/// As [`create`].
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    io::copy(&mut read(from)?, &mut create(to)?)
}

fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    // Without waiting: opening a pipe would wait for its other end.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.mode(0o600).custom_flags(flags.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    type Opening = fn(&Path) -> io::Result<File>;

    #[test]
    fn a_link_and_a_pipe_are_opened_by_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("victim"), "keep").unwrap();
        symlink("victim", path("link")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let openings: [Opening; 6] = [create, create_new, append, keep, change, read];
        for name in ["link", "dangling", "pipe"] {
            for opening in openings {
                assert!(opening(&path(name)).is_err(), "{name}");
            }
            assert!(copy(&path(name), &path("copy")).is_err() && copy(&path("victim"), &path(name)).is_err());
        }
        assert_eq!(fs::read_to_string(path("victim")).unwrap(), "keep");
        assert!(!path("nowhere").exists());
        assert_eq!(copy(&path("victim"), &path("copy")).unwrap(), 4);
    }

    #[test]
    fn what_others_may_write_is_not_trusted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let distrust = |mode| {
            fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            Distrust::of(&file.path().metadata().unwrap())
        };
        assert_eq!([0o600, 0o644].map(distrust), [None, None]);
        assert_eq!(distrust(0o646), Some(Distrust::Mode(0o646)));
        // A group of others, where this account may give a file to one.
        if std::os::unix::fs::chown(file.path(), None, Some(65_534)).is_ok() {
            assert_eq!(distrust(0o660), Some(Distrust::Mode(0o660)));
        }
        if std::os::unix::fs::chown(file.path(), Some(65_534), None).is_ok() {
            assert_eq!(distrust(0o600), Some(Distrust::Owner(65_534)));
        }
    }
}
