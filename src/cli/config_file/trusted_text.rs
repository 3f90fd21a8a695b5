//! Reads a file that decides which programs and which SQL run: only one that nobody else could have written.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::OFlags;

use crate::{
    error::{Error, Kind, Result},
    file_access::{self, Distrust},
};

/// How the path came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Named {
    /// The user named it. It can be a pipe.
    ByUser,
    /// It is looked for in the current directory, which can be anybody's.
    ByDefault,
}

/// The text of a file; none if it was not named and does not exist.
///
/// # Errors
/// `Config` for a file, or a link to it, of another user than the process's own and root; for a file that others can
/// write; for a file that cannot be read.
pub(in crate::cli) fn read(path: &Path, named: Named) -> Result<Option<String>> {
    let failed = |cause: io::Error| {
        Error::io(Kind::Config, "reading", path, &cause)
            .with_hint("name a readable TOML file with --config, or leave the flag out")
    };
    match fs::symlink_metadata(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound && named == Named::ByDefault => return Ok(None),
        Err(cause) => return Err(failed(cause)),
        Ok(facts) => check(path, &facts)?,
    }
    let opened = match named {
        Named::ByUser => File::open(path),
        // A pipe in its place would be waited for.
        Named::ByDefault => {
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            File::options().read(true).custom_flags(flags).open(path)
        }
    };
    let mut file = opened.map_err(failed)?;
    check(path, &file.metadata().map_err(failed)?)?;
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(Some(text))
}

fn check(path: &Path, facts: &Metadata) -> Result<()> {
    // What everybody writes to a device is not kept in it.
    let is_device = facts.file_type().is_char_device();
    let refused = |distrust: Distrust| Error::new(Kind::Config, format!("{} {distrust}", path.display()));
    match Distrust::of(facts) {
        Some(Distrust::Mode(_)) if is_device => Ok(()),
        None => Ok(()),
        Some(distrust @ Distrust::Owner(owner)) => Err(refused(distrust).with_hint(format!(
            "the file can name programs and SQL that run as this user: read it, then run the command as {} (without \
             sudo), or make a copy of your own and name it with --config",
            file_access::user(owner)
        ))),
        Some(distrust @ Distrust::Mode(_)) => Err(refused(distrust).with_hint(format!(
            "the file can name programs and SQL that run as this user: read it, then run `chmod go-w {}`",
            path.display()
        ))),
    }
}
