//! The digest of a table's rows as COPY bytes: the sum modulo 2^128 of one hash per row.
//!
//! A sum doesn't depend on the order of the rows, counts equal rows, and can be put together from chunks.
//!
//! The hash of a row is the one that the server computes for the digest of the table (see `server_hash`), so that one
//! aggregate on the server says what it holds. Where a column has a type whose text only the server knows, the rows are
//! read back, and the hash is XXH3 of the bytes. The server sends back the bytes that it was sent, with one exception: `jsonb` loses spacing and key order, and
//! shows numbers without exponent. A `jsonb` field therefore enters the row's hash as a hash of what it means (see
//! `json_digest`), on both sides.

use std::{fmt, str::FromStr};

use xxhash_rust::xxh3::xxh3_128;

use super::{binary_decode, binary_encode, json_digest, server_hash::ServerRowHasher};
use crate::model::{ColumnPlan, PgType, TableDigest, TablePlan};

/// Names the hashes of rows. It changes with any of them, so that a load is not continued with others.
pub const FORM: &str = "rows-2";

/// The digest of a set of rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowDigest(u128);

impl RowDigest {
    /// Adds one row's hash.
    pub fn add(&mut self, row: u128) {
        self.0 = self.0.wrapping_add(row);
    }

    /// Adds the rows of another set.
    pub fn merge(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

/// The sum that the server computed.
impl From<TableDigest> for RowDigest {
    fn from(digest: TableDigest) -> Self {
        Self(digest.sum().cast_unsigned())
    }
}

impl fmt::Display for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for RowDigest {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// A `jsonb` field isn't JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotJson;

/// Hashes the rows of one table.
pub struct RowHasher {
    /// The server's own hash, where it is the one to be compared.
    by_server: Option<ServerRowHasher>,
    /// For each field whether it is `jsonb`; empty if none is.
    jsonb: Vec<bool>,
    scratch: Vec<u8>,
    json: json_digest::JsonHasher,
}

impl RowHasher {
    /// For rows of these columns, whose hashes are compared with those of rows that come back.
    pub fn new<'a>(columns: impl Iterator<Item = &'a ColumnPlan>) -> Self {
        let mut jsonb: Vec<bool> = columns.map(|column| column.pg_type == PgType::Jsonb).collect();
        if !jsonb.contains(&true) {
            jsonb.clear();
        }
        Self { by_server: None, jsonb, scratch: Vec::new(), json: json_digest::JsonHasher::default() }
    }

    /// For the rows of a table that are loaded: as the server hashes them, if it can (see [`is_by_server`]).
    #[must_use]
    pub fn of_table(table: &TablePlan) -> Self {
        Self { by_server: server_hasher(table), ..Self::new(table.loaded_columns()) }
    }

    /// The hash of one row, field count included.
    ///
    /// # Errors
    /// [`NotJson`].
    pub fn hash(&mut self, row: &[u8]) -> Result<u128, NotJson> {
        match &mut self.by_server {
            Some(hasher) => hasher.hash(row).map(|hash| i128::from(hash).cast_unsigned()).ok_or(NotJson),
            None if self.jsonb.is_empty() => Ok(xxh3_128(row)),
            None => self.hash_normalised(row),
        }
    }

    fn hash_normalised(&mut self, row: &[u8]) -> Result<u128, NotJson> {
        self.scratch.clear();
        self.scratch.extend_from_slice(row.get(..2).unwrap_or_default());
        for (value, jsonb) in binary_decode::fields(row).zip(&self.jsonb) {
            match value {
                None => binary_encode::null(&mut self.scratch),
                Some(value) if *jsonb => {
                    let text = value.strip_prefix(&[1]).ok_or(NotJson)?;
                    let meaning = self.json.hash(text).ok_or(NotJson)?;
                    self.scratch.extend_from_slice(&16_i32.to_be_bytes());
                    self.scratch.extend_from_slice(&meaning.to_be_bytes());
                }
                Some(value) => {
                    // A length that came out of a row fits into a row.
                    binary_encode::bytes(&mut self.scratch, value).map_err(|_| NotJson)?;
                }
            }
        }
        Ok(xxh3_128(&self.scratch))
    }
}

/// Whether the digest of the rows of a table that are loaded is the sum of the hashes that the server computes for the
/// digest of the table: every column that is compared is loaded, and its text is known here.
#[must_use]
pub fn is_by_server(table: &TablePlan) -> bool {
    server_hasher(table).is_some()
}

fn server_hasher(table: &TablePlan) -> Option<ServerRowHasher> {
    let compared = table.compared_columns();
    let is_loaded = table.loaded_columns().map(|column| &column.name).eq(compared.iter().map(|column| &column.name));
    // A field that PostgreSQL's text input reads holds a text of the source.
    let is_known = is_loaded && !table.has_text_input();
    if is_known { ServerRowHasher::new(compared.into_iter()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_and_ignores_order() {
        let (mut one, mut two) = (RowDigest::default(), RowDigest::default());
        for row in [b"a", b"b", b"b"] {
            one.add(xxh3_128(row));
        }
        for row in [b"b", b"a", b"b"] {
            two.add(xxh3_128(row));
        }
        assert_eq!(one, two);
        assert_eq!(one.to_string().parse(), Ok(one));
        two.add(xxh3_128(b"b"));
        assert_ne!(one, two);
    }
}
