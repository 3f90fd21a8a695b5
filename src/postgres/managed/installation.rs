//! What may be known of the PostgreSQL that `convert` would run, without running it.

use std::path::{Path, PathBuf};

use super::{LocalChoice, binaries::Binaries};
use crate::error::Result;

/// An installation on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Where its programs are.
    pub bin: PathBuf,
    /// Its version, such as `15.18`.
    pub version: String,
    /// Whether the extension `vector` (pgvector) is installed with it.
    pub pgvector: bool,
}

impl Installation {
    /// The one that a new managed cluster would get.
    ///
    /// # Errors
    /// `LocalMissing`.
    pub fn find(choice: &LocalChoice) -> Result<Self> {
        let binaries = Binaries::newest(choice.pg_bin.as_deref(), choice.cache.as_deref())?;
        let pgvector = share_dirs(&binaries).iter().any(|share| share.join("extension/vector.control").is_file());
        Ok(Self { bin: binaries.bin, version: binaries.version, pgvector })
    }
}

/// Where the installation keeps its extensions: where it is customary, else what it says itself.
fn share_dirs(binaries: &Binaries) -> Vec<PathBuf> {
    let customary = [
        binaries.bin.join("../share/postgresql"),
        binaries.bin.join("../share"),
        binaries.bin.join(format!("../share/postgresql/{}", binaries.major)),
    ];
    // Debian's.
    let major = binaries.major.to_string();
    let debian = binaries.bin.starts_with(Path::new("/usr/lib/postgresql").join(&major));
    let debian = debian.then(|| Path::new("/usr/share/postgresql").join(&major));
    // What `initdb` reads is in the same directory.
    let found: Vec<PathBuf> =
        customary.into_iter().chain(debian).filter(|share| share.join("postgres.bki").is_file()).collect();
    if !found.is_empty() {
        return found;
    }
    let output = binaries.command("pg_config", None).arg("--sharedir").output().ok();
    let said = output.filter(|output| output.status.success()).and_then(|output| String::from_utf8(output.stdout).ok());
    said.map(|text| PathBuf::from(text.trim())).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_installation_is_described() {
        let found = Installation::find(&LocalChoice::default()).unwrap();
        assert!(found.bin.join("postgres").is_file());
        assert!(found.version.starts_with(|digit: char| digit.is_ascii_digit()));
    }
}
