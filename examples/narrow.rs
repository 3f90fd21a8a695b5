//! Makes the SQLite file that `scripts/bench` measures with: one narrow table of five columns, without other keys and
//! indexes. `cargo run --release --example narrow ROWS FILE`.
#![allow(clippy::disallowed_methods, reason = "a script for measurements, not part of the tool")]

use std::error::Error;

use rusqlite::{Connection, params};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rows: i64 = arguments.next().ok_or("usage: narrow ROWS FILE")?.parse()?;
    let file = arguments.next().ok_or("usage: narrow ROWS FILE")?;
    let connection = Connection::open(file)?;
    connection.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA page_size = 4096; \
         CREATE TABLE narrow (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, quantity INTEGER, label TEXT, score REAL)",
    )?;
    // Scattered but the same every time: multiplication by an odd number visits every residue once.
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
         INSERT INTO narrow SELECT i, (i * 2654435761) % 1000003, (i * 40503) % 100, \
         'label ' || ((i * 69069) % 9973), ((i * 1103515245) % 1000000) / 999.0 FROM n",
        params![rows],
    )?;
    Ok(())
}
