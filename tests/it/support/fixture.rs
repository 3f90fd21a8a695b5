//! Working directories and SQLite files for tests.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{Tool, sample_db};

/// A directory of one test with the tool's DIR below it. Whatever the tool keeps there or runs from there is removed
/// when this is dropped.
pub(crate) struct Workspace(tempfile::TempDir);

impl Workspace {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("t2n-").tempdir().unwrap();
        // As most directories are: the account that runs PostgreSQL for root can get there.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(directory)
    }

    /// The directory around DIR, for sources and other files.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The tool's DIR.
    pub(crate) fn dir(&self) -> PathBuf {
        self.0.path().join("migration")
    }

    /// A call of the tool on this DIR, with a time limit of two minutes.
    pub(crate) fn tool(&self, command: &str) -> Tool {
        Tool::new([command, "--dir"]).arg(self.dir()).current_dir(self.path())
    }

    /// Makes a SQLite file beside DIR.
    pub(crate) fn sqlite(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path().join(name);
        sqlite(&path, script);
        path
    }

    /// The text of a file in DIR.
    pub(crate) fn read(&self, file: &str) -> String {
        let path = self.dir().join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()))
    }

    /// A JSON file in DIR.
    pub(crate) fn read_json(&self, file: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(file)).unwrap()
    }

    /// The events in the log, of all calls so far. A line that is still being written is left out.
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.dir().join("log.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        // Stops a managed PostgreSQL that a killed run left, and removes data kept outside DIR.
        if self.dir().join("convert").is_dir() {
            self.tool("clean").arg("--yes").run();
        }
    }
}

/// Makes or changes a SQLite file with libSQL's engine.
pub(crate) fn sqlite(path: &Path, script: &str) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.execute_batch(script).unwrap();
}

/// The sample database at one hundredth of its size (some 1,000 rows) as a SQLite file.
pub(crate) fn small_sample_db(path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode=off; PRAGMA synchronous=off; PRAGMA foreign_keys=off; BEGIN")
        .unwrap();
    for step in sample_db::steps(1) {
        let values = step.values.iter().map(|value| match value {
            sample_db::Value::Null => rusqlite::types::Value::Null,
            sample_db::Value::Integer(number) => (*number).into(),
            sample_db::Value::Real(number) => (*number).into(),
            sample_db::Value::Text(text) => text.clone().into(),
            sample_db::Value::Blob(bytes) => bytes.clone().into(),
        });
        connection
            .execute(&step.sql, rusqlite::params_from_iter(values))
            .unwrap_or_else(|cause| panic!("{}: {cause}", step.sql));
    }
    connection.execute_batch("COMMIT").unwrap();
}
