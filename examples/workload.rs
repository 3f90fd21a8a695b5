//! Makes the SQLite files that `scripts/bench` measures with. `touch` changes one row in a thousand, and `read` reads a
//! file once, which is the least time that any reader needs.
//!
//! `cargo run --release --example workload narrow|wide|many|blobs|texts ROWS FILE`, `... touch ROWS FILE`, `... read 0 FILE`
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a script for measurements, not part of the tool")]

use std::{error::Error, fmt::Write, time::Instant};

use rusqlite::{Connection, params, types::ValueRef};

/// Ids, whole numbers, a short text, a real; no other key, no index.
const NARROW: &str = "
    CREATE TABLE narrow (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, quantity INTEGER, label TEXT, score REAL);
    INSERT INTO narrow WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
    SELECT i, (i * 2654435761) % 1000003, (i * 40503) % 100,
        'label ' || ((i * 69069) % 9973), ((i * 1103515245) % 1000000) / 999.0 FROM n";

/// What applications keep as text and whole numbers: times, UUIDs, JSON, flags, amounts, many NULLs; three indexes.
const WIDE: &str = "
    CREATE TABLE wide (id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, created_at DATETIME NOT NULL, updated_ms INTEGER,
        day DATE, is_active BOOLEAN NOT NULL, is_deleted BOOLEAN, name TEXT NOT NULL, email TEXT, status TEXT,
        country TEXT, amount DECIMAL(12,2), quantity INTEGER, ratio REAL, score REAL, payload JSON, note TEXT,
        parent_id INTEGER, token BLOB, rank INTEGER);
    INSERT INTO wide WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
    SELECT i, printf('%08x-%04x-4%03x-8%03x-%012x', (i * 2654435761) % 4294967296, i % 65536, i % 4096,
            (i * 7) % 4096, i * 40503),
        strftime('%Y-%m-%dT%H:%M:%SZ', 1500000000 + i * 61, 'unixepoch'), 1500000000000 + i * 61007,
        date(1400000000 + (i % 4000) * 86400, 'unixepoch'), i % 3 > 0, CASE i % 5 WHEN 0 THEN NULL ELSE i % 2 END,
        'Person number ' || ((i * 69069) % 99991), CASE i % 4 WHEN 0 THEN NULL ELSE 'p' || i || '@example.org' END,
        CASE i % 4 WHEN 0 THEN 'new' WHEN 1 THEN 'paid' WHEN 2 THEN 'sent' ELSE 'done' END,
        CASE i % 3 WHEN 0 THEN 'DE' WHEN 1 THEN 'JP' END, ((i * 40503) % 10000000) / 100.0, (i * 31) % 1000,
        ((i * 1103515245) % 1000000) / 999.0, i / 7.0,
        '{\"id\": ' || i || ', \"tags\": [\"a\", \"b\", \"' || (i % 97) || '\"], \"text\": \"' ||
            substr('lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore '
            || 'et dolore magna aliqua ut enim ad minim veniam quis nostrud exercitation ullamco laboris nisi ut', 1,
            150 + i % 40) || '\", \"nested\": {\"x\": ' || (i % 1000) || ', \"y\": null}}',
        CASE i % 7 WHEN 0 THEN 'a note of some words, number ' || i END, CASE WHEN i > 10 THEN i / 10 END,
        CASE i % 3 WHEN 0 THEN NULL ELSE CAST('token-' || (i * 7919) AS BLOB) END, i % 50 FROM n";

const WIDE_INDEXES: &str = "
    CREATE UNIQUE INDEX wide_uuid ON wide(uuid); CREATE INDEX wide_created ON wide(created_at, status);
    CREATE INDEX wide_parent ON wide(parent_id);";

/// Values of 50 KB that no compression makes smaller.
const BLOBS: &str = "
    CREATE TABLE blobs (id INTEGER PRIMARY KEY, content BLOB);
    INSERT INTO blobs WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
    SELECT i, randomblob(50000) FROM n";

/// Texts of 50 KB.
const TEXTS: &str = "
    CREATE TABLE texts (id INTEGER PRIMARY KEY, content TEXT);
    INSERT INTO texts WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
    SELECT i, hex(randomblob(25000)) FROM n";

/// One row in a thousand is another, none is added or taken.
const TOUCH: &str = "UPDATE wide SET quantity = quantity + 1, note = 'changed' WHERE id % 1000 = 7";

const TABLES: i64 = 500;

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: workload narrow|wide|many|blobs|texts|touch|read ROWS FILE";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, rows, file] = &arguments[..] else { return Err(usage.into()) };
    let rows: i64 = rows.parse()?;
    let connection = Connection::open(file)?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA page_size = 4096")?;
    match kind.as_str() {
        "narrow" => fill(&connection, NARROW, rows),
        "wide" => fill(&connection, WIDE, rows).and_then(|()| Ok(connection.execute_batch(WIDE_INDEXES)?)),
        "many" => many(&connection, rows),
        "blobs" => fill(&connection, BLOBS, rows),
        "texts" => fill(&connection, TEXTS, rows),
        "touch" => Ok(connection.execute_batch(TOUCH)?),
        "read" => read(&connection),
        _ => Err(usage.into()),
    }
}

/// Scattered but the same every time: multiplication by an odd number visits every residue once.
fn fill(connection: &Connection, script: &str, rows: i64) -> Result<(), Box<dyn Error>> {
    let (table, insert) = script.split_once(';').ok_or("two statements")?;
    connection.execute_batch(table)?;
    connection.execute(insert, params![rows])?;
    Ok(())
}

/// Many small tables, each with a key, two indexes and a foreign key to the one before.
fn many(connection: &Connection, rows: i64) -> Result<(), Box<dyn Error>> {
    let mut script = "BEGIN;".to_owned();
    for table in 0..TABLES {
        let parent = (table - 1).max(0);
        write!(
            script,
            "CREATE TABLE t{table} (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES t{parent}(id), name TEXT NOT NULL,
                 email TEXT UNIQUE, amount REAL, created_at TEXT DEFAULT CURRENT_TIMESTAMP);
             CREATE INDEX t{table}_name ON t{table}(name); CREATE INDEX t{table}_parent ON t{table}(parent_id);
             INSERT INTO t{table} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             SELECT i, i, 'name ' || (i % 17), 'p' || i || '@example.org', i / 3.0, '2024-01-02 03:04:05' FROM n;"
        )?;
    }
    script.push_str("COMMIT;");
    Ok(connection.execute_batch(&script)?)
}

/// Reads every value of every table once, on one thread, and prints the milliseconds that it took.
fn read(connection: &Connection) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let mut names = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'")?;
    let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut sum = 0_usize;
    for name in names {
        let mut statement = connection.prepare(&format!("SELECT * FROM \"{name}\" NOT INDEXED"))?;
        let width = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for column in 0..width {
                sum = sum.wrapping_add(match row.get_ref(column)? {
                    ValueRef::Null => 1,
                    ValueRef::Integer(_) | ValueRef::Real(_) => 8,
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
                });
            }
        }
    }
    println!("{} {sum}", begun.elapsed().as_millis());
    Ok(())
}
