//! Every schema of the corpus: read without an error, every object accounted for, all DDL accepted by PostgreSQL.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::fixture::Planned;
use crate::support::{Corpus, Target};

/// Entries of `sqlite_schema`, by name.
fn entries(connection: &Connection) -> Vec<(String, String)> {
    let sql = "SELECT type, name FROM sqlite_schema";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn every_corpus_schema_is_accounted_for_and_created() {
    let corpus = Corpus::open();
    for file in corpus.files() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let connection = turso2neon::sqlite::open::read_only(file).unwrap();
        let planned = Planned::read(&connection, |_| true);
        let mut named: BTreeMap<String, usize> = BTreeMap::new();
        for object in &planned.carried.objects {
            if !["check", "foreign key", "generated column"].contains(&object.kind.as_str()) {
                *named.entry(object.source.clone()).or_default() += 1;
            }
        }
        // Views and triggers are planned after these.
        for (kind, entry) in entries(&connection).into_iter().filter(|(kind, _)| kind == "table" || kind == "index") {
            assert_eq!(named.get(&entry), Some(&1), "{name}: {kind} {entry}");
        }
        planned.create(&Target::start(), false);
        let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
        for finding in &planned.carried.findings {
            *codes.entry(finding.code.word()).or_default() += 1;
        }
        eprintln!("{name}: {} objects, {codes:?}", planned.carried.objects.len());
    }
}
