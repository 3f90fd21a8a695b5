//! PostgreSQL's binary COPY format (PostgreSQL "COPY", section "Binary Format"): values to bytes, rows out of a
//! stream, and the digest that compares what was sent with what came back.
//!
//! Owns the bytes only. What a SQLite cell becomes is decided by `stages::convert`; statements and transactions are
//! its business too.

pub mod binary_encode;

pub mod buffer_pool;

pub mod binary_decode;

pub mod row_digest;

mod json_digest;

/// The bytes before the first row: signature, no flags, no extension.
pub const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The bytes after the last row: a field count of -1.
pub const TRAILER: [u8; 2] = [0xff, 0xff];
