//! The databases that every stage must be able to take: those of `tests/corpus`, and those of the folder that
//! `TURSO2NEON_CORPUS` names.

use std::path::{Path, PathBuf};

use super::fixture::sqlite;

/// SQLite files. Those that a script made are removed when this is dropped.
pub(crate) struct Corpus {
    _made: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl Corpus {
    /// Runs each script into a file of its name and adds the files of the named folder, which must have some.
    pub(crate) fn open() -> Self {
        let made = tempfile::tempdir().unwrap();
        let scripts = files_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus"), &["sql"]);
        let mut files: Vec<PathBuf> = Vec::new();
        for script in scripts {
            let file = made.path().join(script.with_extension("db").file_name().unwrap());
            sqlite(&file, &std::fs::read_to_string(&script).unwrap());
            files.push(file);
        }
        if let Some(folder) = std::env::var_os("TURSO2NEON_CORPUS") {
            files.extend(files_in(Path::new(&folder), &["db", "sqlite", "sqlite3"]));
        }
        Self { _made: made, files }
    }

    /// The files, sorted by folder and name.
    pub(crate) fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

/// The files of a folder with one of these extensions. Stops the test if there are none.
fn files_in(folder: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|cause| panic!("{}: {cause}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| extensions.iter().any(|extension| found == *extension)));
    files.sort();
    assert!(!files.is_empty(), "there is no database in {}", folder.display());
    files
}
