//! PostgreSQL's binary COPY format (PostgreSQL "COPY", section "Binary Format"): values to bytes, rows out of a
//! stream, and the digest that compares what was sent with what came back.
//!
//! Owns the bytes and the statement that takes them. What a SQLite cell becomes is decided by `stages::convert`, and
//! transactions are its business.

pub mod binary_encode;

pub mod buffer_pool;

pub mod binary_decode;

pub mod row_digest;

mod json_digest;

mod jsonb_text;

mod server_hash;

mod server_text;

use crate::model::identifier::qualified;

/// The bytes before the first row: signature, no flags, no extension.
pub const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The bytes after the last row: a field count of -1.
pub const TRAILER: [u8; 2] = [0xff, 0xff];

/// The statement that sends rows into a table. Without columns there are no rows, and the list would be no SQL.
#[must_use]
pub fn statement(schema: &str, table: &str, columns: &str) -> String {
    let list = if columns.is_empty() { String::new() } else { format!(" ({columns})") };
    format!("COPY {}{list} FROM STDIN (FORMAT binary)", qualified(schema, table))
}
