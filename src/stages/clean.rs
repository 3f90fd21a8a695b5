//! Removes what this tool created in the working directory, and nothing else.
//!
//! Called by `clean` alone, with the directory's lock held.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Kind, Result},
    workdir::{ROOT_FILES, Workdir},
};

/// Directories of the stages, and the beginnings of the names of the files that they leave there.
const STAGES: [(&str, &[&str]); 4] = [
    ("dump", &["source.", "checkpoint.", "part."]),
    ("plan", &["plan.", "schema.", "assessment."]),
    ("convert", &["checkpoint.", "rejects.", "postgres.log", "pgdata"]),
    ("push", &["checkpoint."]),
];

/// What is there.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// Files and directories of the tool.
    pub own: Vec<PathBuf>,
    /// What others created there.
    pub others: Vec<PathBuf>,
    /// Bytes in `own`.
    pub size_bytes: u64,
}

/// What was done.
#[derive(Debug, Clone)]
pub struct Cleaned {
    /// Paths that are gone.
    pub removed: Vec<String>,
    /// Paths that others made.
    pub kept: Vec<String>,
    /// Bytes in the removed ones.
    pub freed_bytes: u64,
}

/// Looks at the directory without changing it.
///
/// # Errors
/// `ArtifactIo` if a directory can't be read.
pub fn inventory(workdir: &Workdir) -> Result<Inventory> {
    let mut inventory = Inventory::default();
    for path in entries(workdir.root())? {
        let name = file_name(&path);
        match STAGES.iter().find(|(stage, _)| *stage == name) {
            Some((_, beginnings)) if is_directory(&path) => {
                for inner in entries(&path)? {
                    let is_own = beginnings.iter().any(|beginning| file_name(&inner).starts_with(beginning));
                    inventory.add(inner, is_own);
                }
            }
            Some(_) | None => {
                if name != "lock" {
                    inventory.add(path, ROOT_FILES.contains(&name.as_str()));
                }
            }
        }
    }
    Ok(inventory)
}

/// Removes what [`inventory`] found to be the tool's, then the directories that are empty. The managed PostgreSQL must
/// be stopped.
///
/// # Errors
/// `ArtifactIo` if something can't be removed; what was removed before stays removed.
pub fn clean(workdir: &Workdir, inventory: &Inventory) -> Result<Cleaned> {
    for path in &inventory.own {
        let removed = if is_directory(path) { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match removed {
            Ok(()) => {}
            // Removed with the managed PostgreSQL.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(cause) => return Err(Error::io(Kind::ArtifactIo, "removing", path, &cause)),
        }
    }
    for (stage, _) in STAGES {
        // A directory that isn't empty stays; its content is named among what is kept.
        fs::remove_dir(workdir.root().join(stage)).ok();
    }
    fs::remove_file(workdir.root().join("lock")).ok();
    fs::remove_dir(workdir.root()).ok();
    let shown = |paths: &[PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
    Ok(Cleaned { removed: shown(&inventory.own), kept: shown(&inventory.others), freed_bytes: inventory.size_bytes })
}

impl Inventory {
    fn add(&mut self, path: PathBuf, is_own: bool) {
        if is_own {
            self.size_bytes = self.size_bytes.saturating_add(size_of(&path));
            self.own.push(path);
        } else {
            self.others.push(path);
        }
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = |cause: &std::io::Error| Error::io(Kind::ArtifactIo, "reading", directory, cause);
    let listed = fs::read_dir(directory).map_err(|cause| failed(&cause))?;
    let mut paths = listed
        .map(|entry| entry.map(|entry| entry.path()).map_err(|cause| failed(&cause)))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// A link to a directory is a file here: what it points to is not the tool's.
fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|facts| facts.is_dir())
}

fn size_of(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => {
            let inner = fs::read_dir(path).into_iter().flatten().flatten();
            inner.map(|entry| size_of(&entry.path())).fold(0, u64::saturating_add)
        }
        Ok(facts) => facts.len(),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_tool_made_goes() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("migration");
        let workdir = Workdir::create(&root).unwrap();
        for (path, text) in [
            ("dump/source.db", "123"),
            ("dump/part.json", "{}"),
            ("dump/notes.txt", "mine"),
            ("plan/plan.json", "{}"),
            ("convert/pgdata/PG_VERSION", "15"),
            ("log.jsonl", ""),
            ("lock", "1"),
            ("thesis.md", "mine"),
        ] {
            let path = workdir.root().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let inventory = inventory(&workdir).unwrap();
        assert_eq!((inventory.own.len(), inventory.others.len(), inventory.size_bytes), (5, 2, 9));
        let cleaned = clean(&workdir, &inventory).unwrap();
        assert_eq!(cleaned.removed.len(), 5);
        let mut left = entries(workdir.root()).unwrap();
        left.extend(entries(&workdir.root().join("dump")).unwrap());
        let left: Vec<String> = left.iter().map(|path| file_name(path)).collect();
        assert_eq!(left, ["dump", "thesis.md", "notes.txt"]);
    }

    #[test]
    fn a_directory_of_the_tool_alone_goes_whole() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("migration");
        let workdir = Workdir::create(&root).unwrap();
        fs::write(workdir.subdir("plan").unwrap().join("plan.json"), "{}").unwrap();
        let inventory = inventory(&workdir).unwrap();
        clean(&workdir, &inventory).unwrap();
        assert!(!root.exists());
    }
}
