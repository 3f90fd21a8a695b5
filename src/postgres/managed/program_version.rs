//! The version of a `postgres`, which is asked once for each file: starting it takes longer than all else that a run with
//! nothing to do needs of it.

use std::{
    fs::{self, Metadata},
    io::{Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::{file_access, workdir::sha256_of_bytes};

/// How the names of the files begin. Each has the version of one program.
const PREFIX: &str = "version-";

/// The version that is recorded for this very file, else the one that `ask` gives, which is recorded then. `directory` is
/// the tool's cache.
pub(super) fn of(program: &Path, directory: Option<&Path>, ask: impl FnOnce() -> Option<String>) -> Option<String> {
    let directory = directory.filter(|_| !is_script(program));
    let record = directory.and_then(|directory| Some(record_of(directory, program, &fs::metadata(program).ok()?)));
    let recorded = record.as_ref().and_then(|record| file_access::read_to_string(record).ok());
    if let Some(version) = recorded.filter(|version| is_version(version)) {
        return Some(version);
    }
    let version = ask()?;
    if let Some(record) = record {
        // Without the record the program is asked again.
        write(&record, &version);
    }
    Some(version)
}

fn is_version(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '.')
}

/// A script may run another program tomorrow.
fn is_script(program: &Path) -> bool {
    let mut head = [0; 2];
    fs::File::open(program).and_then(|mut file| file.read_exact(&mut head)).is_err() || head == *b"#!"
}

/// A program that was replaced or changed has another record.
fn record_of(directory: &Path, program: &Path, facts: &Metadata) -> PathBuf {
    let (changed, size) = ((facts.ctime(), facts.ctime_nsec(), facts.mtime(), facts.mtime_nsec()), facts.len());
    let key = format!("{} {} {} {size} {changed:?}", program.display(), facts.dev(), facts.ino());
    let hash: String = sha256_of_bytes(key.as_bytes()).chars().take(32).collect();
    directory.join(format!("{PREFIX}{hash}"))
}

fn write(record: &Path, version: &str) -> Option<()> {
    let mut file = tempfile::NamedTempFile::new_in(record.parent()?).ok()?;
    file.write_all(version.as_bytes()).ok()?;
    file.persist(record).ok().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_asked_again_when_it_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("postgres");
        fs::write(&program, "one").unwrap();
        let cache = Some(directory.path());
        assert_eq!(of(&program, cache, || Some("15.18".to_owned())), Some("15.18".to_owned()));
        assert_eq!(of(&program, cache, || panic!("asked twice")), Some("15.18".to_owned()));
        fs::write(&program, "another").unwrap();
        assert_eq!(of(&program, cache, || Some("16.1".to_owned())), Some("16.1".to_owned()));
        assert_eq!(of(&program, None, || None), None);
    }
}
