//! Copies outside the working directory, from which the original comes back.

use std::{fs, path::Path, process::Command};

use turso2neon::stages::dump::{ArchiveSettings, DumpRequest};

use super::{Fixture, code, listing, request};
use crate::support::{fixture, process::must_run};

fn archived(source: &Path, directory: &Path, keep: Option<u32>) -> DumpRequest {
    let settings = ArchiveSettings { directory: directory.to_owned(), keep };
    DumpRequest { archive: Some(settings), ..request(source.to_str().unwrap()) }
}

#[test]
fn the_original_is_restored_from_a_copy() {
    let place = tempfile::tempdir().unwrap();
    let (source, archive) = (place.path().join("source.db"), place.path().join("a/b"));
    fixture::sqlite(&source, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (x'00ff'), (-0.0); PRAGMA user_version=7");
    let fixture = Fixture::new();
    let first = fixture.dump(&archived(&source, &archive, Some(2))).unwrap();
    let names = listing(&archive);
    assert_eq!(names.len(), 2);
    assert_eq!(names[1], "latest");
    let copy = archive.join("latest");
    assert_eq!(listing(&copy), ["checkpoint.json", "source.db.gz"]);
    assert_eq!(fs::read_link(&copy).unwrap().to_str().unwrap(), names[0]);

    // By what every system has.
    let packed = copy.join("source.db.gz");
    let restored = must_run(Command::new("gzip").arg("-dc").arg(&packed));
    assert!(restored == fs::read(fixture.source_db()).unwrap());
    let path = place.path().join("restored.db");
    fs::write(&path, restored).unwrap();
    let again = Fixture::new().dump(&request(path.to_str().unwrap())).unwrap();
    assert_eq!(again.checkpoint.content_sha256, first.checkpoint.content_sha256);

    // The same dump is kept once; others push the oldest out.
    assert!(fixture.dump(&archived(&source, &archive, Some(2))).unwrap().unchanged);
    assert_eq!(listing(&archive), names);
    for round in 0..3 {
        fixture::sqlite(&source, &format!("INSERT INTO t VALUES ({round})"));
        fixture.dump(&archived(&source, &archive, Some(2))).unwrap();
    }
    let left = listing(&archive);
    assert!(left.len() == 3 && !left.contains(&names[0]), "{left:?}");
    let newest = must_run(Command::new("gzip").arg("-dc").arg(&packed));
    assert!(newest == fs::read(fixture.source_db()).unwrap());
}

#[test]
fn an_archive_that_cannot_be_written_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source.db");
    fixture::sqlite(&source, "CREATE TABLE t(a)");
    fs::write(place.path().join("file"), "in the way").unwrap();
    let error = Fixture::new().dump(&archived(&source, &place.path().join("file"), None)).unwrap_err();
    assert_eq!((code(&error), error.kind().exit()), ("artifact-io", 4));
}
