//! Where the managed cluster and its socket are.
//!
//! The data directory is `DIR/convert/pgdata`. A root process gives DIR and `DIR/convert`, which are 0700, to the
//! server's account, so that it can get there; where it can't even then (a home of mode 0700 above), the cluster is
//! kept under `/var/tmp`. The socket is inside the data directory if its path is short enough for a socket address,
//! else in a private directory under `/tmp`.

use std::{
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use super::os_user::OsUser;
use crate::{
    error::{Error, Kind, Result},
    workdir::{Workdir, sha256_of_bytes},
};

/// What this tool puts into DIR. Only a directory that holds nothing else is given to the server's account.
const OURS: [&str; 11] = [
    "dump",
    "plan",
    "convert",
    "push",
    "lock",
    "log.jsonl",
    "report.json",
    "report.md",
    "report.html",
    "rejects",
    "verify",
];

/// The longest path of a socket: 104 bytes with the final NUL on macOS, 108 on Linux.
const SOCKET_PATH_MAX: usize = 103;

/// The socket's name, which PostgreSQL makes from the port.
pub(super) const SOCKET_NAME: &str = ".s.PGSQL.5432";

/// Where the cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataDir {
    /// The data directory.
    pub(super) pgdata: PathBuf,
    /// Why it isn't inside DIR, if so.
    pub(super) because: Option<String>,
}

impl DataDir {
    /// The data directory inside DIR.
    pub(super) fn inside(workdir: &Workdir) -> Self {
        Self { pgdata: workdir.root().join("convert/pgdata"), because: None }
    }

    /// The data directory outside DIR, named after DIR so that it is found again.
    pub(super) fn outside(workdir: &Workdir, because: String) -> Self {
        let name = format!("turso2neon-{}", short_digest(workdir.root()));
        Self { pgdata: Path::new("/var/tmp").join(name).join("pgdata"), because: Some(because) }
    }

    /// Chooses the place and makes the directory that holds it usable for the account.
    ///
    /// # Errors
    /// `ArtifactIo`; `LocalUnreachable` if no place can be used.
    pub(super) fn prepare(workdir: &Workdir, os_user: Option<&OsUser>) -> Result<Self> {
        workdir.subdir("convert")?;
        let Some(os_user) = os_user else { return Ok(Self::inside(workdir)) };
        let root = workdir.root();
        if reach(workdir, os_user)? {
            return Ok(Self::inside(workdir));
        }
        let because = format!("{} can't reach {}", os_user.name, root.display());
        let place = Self::outside(workdir, because);
        if let Some(home) = place.pgdata.parent() {
            private_dir(home, Some(os_user))?;
        }
        Ok(place)
    }

    /// The path as it stands in the checkpoint: relative to DIR if it is inside, so that DIR can be moved.
    pub(super) fn recorded(&self, workdir: &Workdir) -> String {
        let path = self.pgdata.strip_prefix(workdir.root()).unwrap_or(&self.pgdata);
        path.to_string_lossy().into_owned()
    }

    /// The place that a checkpoint names.
    pub(super) fn of_record(workdir: &Workdir, pgdata: &str, because: Option<&String>) -> Self {
        Self { pgdata: workdir.root().join(pgdata), because: because.cloned() }
    }

    /// The directory of the socket, made if it isn't there.
    ///
    /// # Errors
    /// `LocalUnreachable`.
    pub(super) fn socket_dir(&self, os_user: Option<&OsUser>) -> Result<PathBuf> {
        if self.socket_fits() {
            return Ok(self.pgdata.clone());
        }
        let directory = self.short_socket_dir();
        private_dir(&directory, os_user)?;
        Ok(directory)
    }

    /// Removes the socket's directory if it is one under `/tmp`; a failure leaves an empty directory.
    pub(super) fn remove_socket_dir(&self) {
        if !self.socket_fits() {
            fs::remove_dir(self.short_socket_dir()).ok();
        }
    }

    fn short_socket_dir(&self) -> PathBuf {
        Path::new("/tmp").join(format!("turso2neon-{}", short_digest(&self.pgdata)))
    }

    /// Whether the path is short enough, and free of characters that have a meaning in the server's setting.
    fn socket_fits(&self) -> bool {
        let path = self.pgdata.as_os_str().as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@%=:~".contains(byte);
        path.len() + 1 + SOCKET_NAME.len() <= SOCKET_PATH_MAX && path.iter().all(plain)
    }
}

/// Lets the account get to `DIR/convert` if only DIR and `DIR/convert` themselves stand in the way. Says whether it
/// can.
///
/// # Errors
/// `LocalUnreachable`.
pub(super) fn reach(workdir: &Workdir, os_user: &OsUser) -> Result<bool> {
    let root = workdir.root();
    if !root.parent().is_none_or(|parent| os_user.can_enter(parent)) {
        return Ok(false);
    }
    if !os_user.can_enter(root) && only_ours(root) {
        os_user.give(root)?;
    }
    if !os_user.can_enter(root) {
        return Ok(false);
    }
    os_user.give(&workdir.root().join("convert"))?;
    Ok(true)
}

/// Makes a directory of mode 0700 for the account; takes one that is there only if it is exactly that, because others
/// can make names under `/tmp` too.
fn private_dir(path: &Path, os_user: Option<&OsUser>) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            if let Some(os_user) = os_user {
                os_user.give(path)?;
            }
            Ok(())
        }
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            let own = fs::symlink_metadata(path).is_ok_and(|facts| {
                let owner = match os_user {
                    Some(os_user) => os_user.owns(path),
                    None => facts.uid() == rustix::process::geteuid().as_raw(),
                };
                facts.is_dir() && owner && facts.permissions().mode() & 0o777 == 0o700
            });
            if own {
                return Ok(());
            }
            Err(Error::new(
                Kind::LocalUnreachable,
                format!("{} is there but isn't a private directory", path.display()),
            )
            .with_hint("remove it, or use --local-url"))
        }
        Err(cause) => Err(Error::io(Kind::LocalUnreachable, "creating", path, &cause)),
    }
}

fn only_ours(root: &Path) -> bool {
    fs::read_dir(root).is_ok_and(|entries| {
        entries.flatten().all(|entry| OURS.iter().any(|name| entry.file_name().as_bytes() == name.as_bytes()))
    })
}

fn short_digest(path: &Path) -> String {
    sha256_of_bytes(path.as_os_str().as_bytes()).chars().take(16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_or_odd_path_keeps_its_socket_elsewhere() {
        let place = |path: String| DataDir { pgdata: PathBuf::from(path), because: None };
        assert!(place("/srv/migration/convert/pgdata".to_owned()).socket_fits());
        assert!(place(format!("/{}", "d".repeat(88))).socket_fits());
        assert!(!place(format!("/{}", "d".repeat(89))).socket_fits());
        assert!(!place("/srv/a, b".to_owned()).socket_fits());
    }

    #[test]
    fn a_directory_with_other_files_is_not_given_away() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("dump")).unwrap();
        assert!(only_ours(directory.path()));
        fs::create_dir(directory.path().join("letters")).unwrap();
        assert!(!only_ours(directory.path()));
    }
}
