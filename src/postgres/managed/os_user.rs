//! Whose name the managed server runs under. PostgreSQL refuses to run as root.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, chown, lchown},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use uzers::User;

use crate::error::{Error, Kind, Result};

/// Accounts that a root process runs the server under if DIR is root's own, in order of preference.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// An account other than the process's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OsUser {
    /// For messages.
    pub(super) name: String,
    uid: u32,
    gid: u32,
}

impl OsUser {
    /// The account for a server whose files belong to `root_dir`; none where the process isn't root and everything
    /// runs as itself. As root: the owner of the directory, else `postgres`, else `nobody`.
    ///
    /// # Errors
    /// `LocalUnreachable` if there is no such account.
    pub(super) fn for_dir(root_dir: &Path) -> Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let owner = fs::metadata(root_dir).ok().filter(|facts| facts.uid() != 0);
        if let Some(facts) = owner {
            let known = uzers::get_user_by_uid(facts.uid()).map(|user| Self::of(&user));
            let unknown = Self { name: format!("user {}", facts.uid()), uid: facts.uid(), gid: facts.gid() };
            return Ok(Some(known.unwrap_or(unknown)));
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

    fn of(user: &User) -> Self {
        Self { name: user.name().to_string_lossy().into_owned(), uid: user.uid(), gid: user.primary_group_id() }
    }

    /// Makes a command run under this account, without root's supplementary groups.
    pub(super) fn take_on(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }

    /// Makes a file or directory this account's.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub(super) fn give(&self, path: &Path) -> Result<()> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(|cause| self.cannot_give(path, &cause))
    }

    /// Makes a directory and all that is in it this account's, unless it is already.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub(super) fn give_all(&self, path: &Path) -> Result<()> {
        if self.owns(path) {
            return Ok(());
        }
        self.give_tree(path).map_err(|cause| self.cannot_give(path, &cause))
    }

    /// Whether this account owns a file or directory (not what a link points to).
    pub(super) fn owns(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|facts| facts.uid() == self.uid)
    }

    /// Whether this account can enter a directory, as the kernel says.
    pub(super) fn can_enter(&self, directory: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cd -- \"$1\"", "sh"]).arg(directory);
        command.env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.take_on(&mut command);
        command.status().is_ok_and(|status| status.success())
    }

    fn give_tree(&self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.give_tree(&entry?.path())?;
            }
        }
        lchown(path, Some(self.uid), Some(self.gid))
    }

    fn cannot_give(&self, path: &Path, cause: &io::Error) -> Error {
        Error::io(Kind::LocalUnreachable, &format!("giving to {} the path", self.name), path, cause)
            .with_hint("run turso2neon as an ordinary user, or use --local-url")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_the_name_and_the_numbers_of_the_system() {
        let root = uzers::get_user_by_uid(0).expect("every system has root");
        assert_eq!(OsUser::of(&root), OsUser { name: "root".to_owned(), uid: 0, gid: 0 });
    }
}
