//! Decides whether a working directory may be used.
//!
//! Whoever can write to DIR can make this process write anywhere with links, and run programs and SQL with the content
//! of artifacts. So DIR and the directories of its stages must belong to the account of this process or to root, nobody
//! else may be able to write to them, and nothing in them that has the name of an artifact may be a link.

use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Kind, Result},
    file_access::{self, Distrust},
    workdir::{ROOT_FILES, STAGE_DIRECTORIES},
};

/// Names in DIR of earlier versions.
const FORMER: [&str; 2] = ["rejects", "archive"];

/// Whether this is, up to the first dot, the name of something that the tool writes into DIR itself.
fn is_own(stem: &str) -> bool {
    let files = ROOT_FILES.iter().filter_map(|name| name.split('.').next());
    files.chain(STAGE_DIRECTORIES).chain(FORMER).any(|name| name == stem)
}

/// What to do about a directory that others can write to.
const PRIVATE: &str = "(the tool creates a missing directory, and nobody else can write to it)";

/// Checks the path that was given for DIR, before it is resolved: a link on the way must not be somebody else's.
///
/// # Errors
/// `DirUnsafe`; `ArtifactIo`.
pub(super) fn check_way(given: &Path) -> Result<()> {
    let path = std::path::absolute(given).map_err(|cause| Error::io(Kind::ArtifactIo, "opening", given, &cause))?;
    for part in path.ancestors() {
        let Ok(facts) = fs::symlink_metadata(part) else { continue };
        if facts.is_symlink()
            && let Some(distrust) = Distrust::of(&facts)
        {
            return Err(refused(part, &format!("is a symbolic link that {distrust}"))
                .with_hint("name the directory itself with --dir, without the link"));
        }
    }
    Ok(())
}

/// Checks DIR, whose path has no links, and what is in it.
///
/// # Errors
/// `DirUnsafe`; `ArtifactIo`.
pub(super) fn check(root: &Path) -> Result<()> {
    check_directory(root)?;
    for path in links_in(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.split('.').next().unwrap_or_default();
        if is_own(stem) {
            return Err(link(&path));
        }
    }
    for stage in STAGE_DIRECTORIES.map(|stage| root.join(stage)) {
        match fs::symlink_metadata(&stage) {
            Ok(facts) if facts.is_dir() => check_stage(&stage)?,
            // Something of somebody else's with this name is the business of the command that needs the directory.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Checks the directory of a stage and what is in it.
///
/// # Errors
/// `DirUnsafe`; `ArtifactIo`.
pub(super) fn check_stage(path: &Path) -> Result<()> {
    check_directory(path)?;
    match links_in(path)?.first() {
        Some(found) => Err(link(found)),
        None => Ok(()),
    }
}

/// The symbolic links in a directory, in the order of their names.
fn links_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |cause: io::Error| Error::io(Kind::ArtifactIo, "reading", directory, &cause);
    let mut links = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            links.push(entry.path());
        }
    }
    links.sort();
    Ok(links)
}

fn check_directory(path: &Path) -> Result<()> {
    let facts = fs::symlink_metadata(path).map_err(|cause| Error::io(Kind::ArtifactIo, "opening", path, &cause))?;
    if facts.is_symlink() {
        return Err(link(path));
    }
    if !facts.is_dir() {
        return Err(Error::new(Kind::ArtifactIo, format!("{} is not a directory", path.display())));
    }
    match Distrust::of(&facts) {
        Some(distrust) => Err(distrusted(path, &facts, distrust)),
        None => Ok(()),
    }
}

fn distrusted(path: &Path, facts: &Metadata, distrust: Distrust) -> Error {
    let error = refused(path, &distrust.to_string());
    match distrust {
        Distrust::Owner(owner) if rustix::process::geteuid().is_root() => {
            let owner = file_access::user(owner);
            error.with_hint(format!(
                "run the command as {owner}, without sudo: it needs no rights of root; or name another directory with \
                 --dir {PRIVATE}"
            ))
        }
        Distrust::Owner(_) => error.with_hint(format!("name another directory with --dir {PRIVATE}")),
        Distrust::Mode(_) if file_access::is_own(facts) => error.with_hint(format!(
            "run `chmod go-w {}`, or name a directory below it with --dir {PRIVATE}",
            path.display()
        )),
        Distrust::Mode(_) => error.with_hint(format!("name a directory below it with --dir {PRIVATE}")),
    }
}

fn link(path: &Path) -> Error {
    refused(path, "is a symbolic link").with_hint(
        "remove the link; to keep the files elsewhere, name a directory there with --dir: no link in it is followed",
    )
}

fn refused(path: &Path, what: &str) -> Error {
    Error::new(Kind::DirUnsafe, format!("{} {what}", path.display()))
}
