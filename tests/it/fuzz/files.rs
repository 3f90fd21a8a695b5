//! Database files with their write-ahead logs, and files that are put together from pages.

use std::{fs, path::Path, sync::Arc};

use rusqlite::Connection;
use turso2neon::{
    context::{Cancellation, Context},
    error::Kind,
    event::NullSink,
    source::page_assembler::{PAGE_BYTES, PageFile},
    stages::dump::dump,
    workdir::Workdir,
};

use super::{fuzz, mutate};
use crate::support::{Rng, plan_builder::dump_request, process::block_on};

/// Everything that the format has: overflow pages, indexes, tables without rowid, free pages, both kinds of vacuum.
const SCRIPT: &str = "
    CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT, t TEXT UNIQUE, b BLOB);
    CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
    CREATE INDEX i ON a (b);
    CREATE VIEW v AS SELECT t FROM a;
    CREATE TRIGGER g AFTER INSERT ON w BEGIN DELETE FROM a WHERE id < 0; END;
    INSERT INTO a (t, b) SELECT 'text ' || value, zeroblob(value * 300) FROM json_each('[1,2,3,4,5,6,7,8,9,10,40]');
    INSERT INTO w SELECT t, randomblob(90) FROM a;
    CREATE TABLE gone AS SELECT zeroblob(20000);
    DROP TABLE gone;";

/// The bytes of a database and of its log, with some of the rows only in the log.
fn sample(rng: &mut Rng, directory: &Path) -> (Vec<u8>, Vec<u8>) {
    let path = directory.join("sample.db");
    let connection = Connection::open(&path).unwrap();
    let (vacuum, page) = (rng.below(3), rng.pick(&[512, 1024, 4096]));
    connection
        .execute_batch(&format!(
            "PRAGMA page_size={page}; PRAGMA auto_vacuum={vacuum}; PRAGMA journal_mode=wal; {SCRIPT}
             PRAGMA wal_checkpoint(TRUNCATE); PRAGMA wal_autocheckpoint=0;
             INSERT INTO w VALUES ('only in the log', 1); UPDATE a SET t = t || '!' WHERE id > 5;"
        ))
        .unwrap();
    let read = |ending: &str| fs::read(directory.join(format!("sample.db{ending}"))).unwrap();
    (read(""), read("-wal"))
}

/// Changes the places that mean most: the header, the beginnings of pages, the schema; or any place.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, page: usize) {
    for _ in 0..=rng.below(3) {
        let pages = bytes.len() / page;
        let at = match rng.below(4) {
            0 => rng.below(100),
            1 => rng.below(pages) * page + rng.below(24),
            2 => 100 + rng.below(page - 100),
            _ => rng.below(bytes.len()),
        };
        if at < bytes.len() {
            bytes[at] = if rng.once_in(2) {
                rng.pick(&[0, 1, 2, 5, 10, 13, 0x7f, 0x80, 0xff])
            } else {
                bytes[at] ^ (1 << rng.below(8))
            };
        }
    }
    if rng.once_in(8) {
        let mut part = bytes.split_off(rng.below(bytes.len()));
        mutate(rng, &mut part, &[], &[b"CREATE TABLE", b"\x81\x80\x80\x80\x80\x80\x80\x80\x80"]);
        bytes.append(&mut part);
    }
}

#[test]
fn database_files_and_their_logs() {
    fuzz(|rng| {
        let directory = tempfile::tempdir().unwrap();
        let (database, log) = sample(rng, directory.path());
        let page = usize::from(u16::from_be_bytes([database[16], database[17]]));
        for case in 0..6 {
            let (mut database, mut log) = (database.clone(), log.clone());
            match rng.below(3) {
                _ if case == 0 => {}
                0 => damage(rng, &mut log, page + 24),
                1 => damage(rng, &mut database, page),
                _ => {
                    damage(rng, &mut database, page);
                    log.clear();
                }
            }
            let source = directory.path().join(format!("{case}.db"));
            fs::write(&source, &database).unwrap();
            if !log.is_empty() {
                fs::write(directory.path().join(format!("{case}.db-wal")), &log).unwrap();
            }
            let workdir = Workdir::create(&directory.path().join(format!("dir{case}"))).unwrap();
            let dumped = workdir.source_db();
            let ctx = Context { workdir, out: Arc::new(NullSink), stop: Cancellation::default() };
            let outcome = block_on(async { dump(&ctx, &dump_request(source.to_str().unwrap())).await });
            match outcome {
                Ok(outcome) => {
                    let connection = Connection::open(&dumped).unwrap();
                    // An index whose entry names another table is read all the same.
                    connection.execute_batch("PRAGMA writable_schema=ON").unwrap();
                    let mut sound = connection.prepare("PRAGMA quick_check").unwrap();
                    let sound: Vec<String> =
                        sound.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
                    let has_notes = !outcome.checkpoint.left_out.is_empty();
                    assert!(sound == ["ok"] || has_notes || sound.iter().all(|line| is_rule(line)), "{sound:?}");
                    let rows = &outcome.checkpoint.rows;
                    assert!(case > 0 || (rows["a"], rows["w"]) == (11, 12), "{rows:?}");
                    let tables = rows.keys().filter(|name| !name.starts_with("sqlite_")).count();
                    assert!(tables == 2 || has_notes || database.is_empty(), "{rows:?}");
                }
                Err(error) => {
                    assert!(case > 0 && error.kind() != Kind::Bug && error.kind().exit() == 3, "{error:?}");
                    assert!(!dumped.exists(), "a damaged dump was kept");
                }
            }
        }
    });
}

/// A row that breaks what its table declares is no damage.
fn is_rule(line: &str) -> bool {
    ["NULL value in", "non-unique entry", "CHECK constraint", "NUMERIC value in", "TEXT value in", "non-"]
        .iter()
        .any(|begin| line.starts_with(begin))
}

#[test]
fn files_of_pages() {
    fuzz(|rng| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pages");
        for _ in 0..20 {
            let pages = 1 + rng.below(4);
            let mut bytes = vec![0; pages * PAGE_BYTES];
            let head: &[u8] = b"SQLite format 3\0\x10\0\x02\x02\0\x40\x20\x20\0\0\0\x01\0\0\0\x02";
            bytes[..head.len()].copy_from_slice(head);
            bytes[28..32].copy_from_slice(&u32::try_from(pages).unwrap().to_be_bytes());
            bytes[92..96].copy_from_slice(&[0, 0, 0, 1]);
            let whole = rng.once_in(4);
            let missing = if whole { None } else { Some(rng.below(pages + 1)) };
            let mut header = bytes[..100].to_vec();
            if !whole {
                mutate(rng, &mut header, &[], &[]);
                header.resize(100, 0);
                bytes[..100].copy_from_slice(&header);
            }
            let mut file = PageFile::create(&path).unwrap();
            for (index, page) in bytes.chunks(PAGE_BYTES).enumerate() {
                if missing != Some(index) {
                    file.write(index as u64, page).unwrap();
                }
            }
            // An index that a server claims, far away.
            if rng.once_in(8) {
                assert!(file.first_missing(u64::from(u32::MAX)).is_some());
                assert!(file.write(u64::MAX / 2, &bytes[..PAGE_BYTES]).is_err());
            }
            let claimed = if whole { pages } else { rng.pick(&[0, pages, pages + 1, usize::MAX]) } as u64;
            let finished = file.finish(claimed);
            match finished {
                Ok(()) => {
                    assert!(missing.is_none_or(|missing| missing >= pages) || claimed < pages as u64);
                    assert_eq!(fs::metadata(&path).unwrap().len(), claimed * PAGE_BYTES as u64);
                }
                Err(error) => assert!(!whole && matches!(error.kind().exit(), 3 | 4), "{error:?}"),
            }
        }
    });
}
