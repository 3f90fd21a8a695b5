//! Where the managed cluster and its socket are.
//!
//! The data directory is `DIR/convert/pgdata`. A root process lets other accounts pass through DIR and `DIR/convert`
//! (mode 0711), so that the server's account can get there; both stay root's. Where it can't even then (a home of mode
//! 0700 above), the cluster is kept under `/var/tmp`. The socket is inside the data directory if its path is short enough for a socket address,
//! else in a private directory under `/tmp`.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use super::os_user::{OsUser, open_directory};
use crate::{
    error::{Error, Kind, Result},
    file_access::Distrust,
    workdir::{ROOT_FILES, STAGE_DIRECTORIES, Workdir, sha256_of_bytes},
};

/// Where clusters are kept that can't be in DIR, and how the names of the tool's directories outside DIR begin.
const OUTSIDE: &str = "/var/tmp";
const PREFIX: &str = "turso2neon-";

/// What lets other accounts pass through a directory without seeing what is in it.
const PASSAGE: u32 = 0o011;

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
        let name = format!("{PREFIX}{}", short_digest(workdir.root()));
        Self { pgdata: Path::new(OUTSIDE).join(name).join("pgdata"), because: Some(because) }
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
            home_dir(home)?;
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

    /// Whether the place is one where this tool keeps the cluster of a working directory. After DIR was moved, a cluster
    /// outside has the name that it was given before.
    pub(super) fn is_of(&self, workdir: &Workdir) -> bool {
        if self.pgdata == Self::inside(workdir).pgdata {
            return true;
        }
        let (Some(home), Some(name)) = (self.pgdata.parent(), self.pgdata.file_name()) else { return false };
        let is_home = home.parent() == Some(Path::new(OUTSIDE))
            && home.file_name().is_some_and(|name| name.as_bytes().starts_with(PREFIX.as_bytes()));
        let trusted = fs::symlink_metadata(home).map_or(true, |facts| facts.is_dir() && Distrust::of(&facts).is_none());
        is_home && name == "pgdata" && trusted
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
        Path::new("/tmp").join(format!("{PREFIX}{}", short_digest(&self.pgdata)))
    }

    /// Whether the path is short enough, and free of characters that have a meaning in the server's setting.
    fn socket_fits(&self) -> bool {
        let path = self.pgdata.as_os_str().as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@%=:~".contains(byte);
        path.len() + 1 + SOCKET_NAME.len() <= SOCKET_PATH_MAX && path.iter().all(plain)
    }
}

/// Lets other accounts pass through DIR and `DIR/convert` if only these two block the server's account. Says whether
/// it can get to `DIR/convert`.
///
/// # Errors
/// `LocalUnreachable`.
pub(super) fn reach(workdir: &Workdir, os_user: &OsUser) -> Result<bool> {
    let root = workdir.root();
    if !root.parent().is_none_or(|parent| os_user.can_enter(parent)) {
        return Ok(false);
    }
    let convert = root.join("convert");
    for (directory, is_ours) in [(root, holds_only_artifacts(root)), (convert.as_path(), true)] {
        if !os_user.can_enter(directory) && is_ours {
            let_pass(directory).map_err(|cause| Error::io(Kind::LocalUnreachable, "opening", directory, &cause))?;
        }
        if !os_user.can_enter(directory) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Adds the permission to pass through, by the directory's descriptor.
fn let_pass(directory: &Path) -> io::Result<()> {
    let opened = open_directory(directory)?;
    let mode = opened.metadata()?.permissions().mode() & 0o7777;
    opened.set_permissions(Permissions::from_mode(mode | PASSAGE))
}

/// Makes the directory around a cluster outside DIR: root's, with passage for the server's account.
fn home_dir(path: &Path) -> Result<()> {
    let failed = |cause: io::Error| Error::io(Kind::LocalUnreachable, "creating", path, &cause);
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(cause) if cause.kind() != io::ErrorKind::AlreadyExists => return Err(failed(cause)),
        Ok(()) | Err(_) => {}
    }
    let facts = fs::symlink_metadata(path).map_err(failed)?;
    if !facts.is_dir() || Distrust::of(&facts).is_some() {
        return Err(not_private(path));
    }
    let_pass(path).map_err(failed)
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
            Err(not_private(path))
        }
        Err(cause) => Err(Error::io(Kind::LocalUnreachable, "creating", path, &cause)),
    }
}

fn not_private(path: &Path) -> Error {
    Error::new(Kind::LocalUnreachable, format!("{} is there but isn't a private directory", path.display()))
        .with_hint("remove it, or use --local-url")
}

fn holds_only_artifacts(root: &Path) -> bool {
    fs::read_dir(root).is_ok_and(|entries| {
        let is_own = |name: &str| ROOT_FILES.iter().chain(&STAGE_DIRECTORIES).any(|own| *own == name);
        entries.flatten().all(|entry| entry.file_name().to_str().is_some_and(is_own))
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
        assert!(holds_only_artifacts(directory.path()));
        fs::create_dir(directory.path().join("letters")).unwrap();
        assert!(!holds_only_artifacts(directory.path()));
    }
}
