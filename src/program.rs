//! Starts other programs. No other module does.
//!
//! A program gets none of this process's environment, which may hold tokens and passwords, except a few variables that
//! hold no secret. It starts in the root directory, so that no name is looked up in the directory of the user, and it
//! reads no input.

use std::{
    ffi::OsStr,
    path::PathBuf,
    process::{Command, Stdio},
};

/// The variables that a program may need: where programs, home and temporary files are, and the language.
const PASSED: [&str; 7] = ["PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES"];

/// A program that is found and set up by the usual variables.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = bare(program);
    for name in PASSED {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Where `PATH` has a program of this name, in the order of its directories. One that is relative, to the directory of the
/// user, does not count.
pub(crate) fn on_path(name: &str) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = std::env::split_paths(&path).filter(|directory| directory.is_absolute());
    directories.map(|directory| directory.join(name)).filter(|program| program.is_file()).collect()
}

/// A program, by its path, without any environment.
#[expect(clippy::disallowed_methods, reason = "the one place that starts programs")]
pub(crate) fn bare(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir("/").stdin(Stdio::null());
    command
}
