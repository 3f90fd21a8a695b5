//! The server-side digest of a table: the same SQL on the local PostgreSQL and on the target.
//!
//! Rows are counted and their 64-bit hashes are summed. This module makes every row hash that is compared between
//! servers; equality of tables is concluded from nothing weaker.
//!
//! Invariants:
//! - A row's hash is a chain: the hash of a column has the chain so far as its seed. A sum of hashes that are linear in
//!   the columns, such as PostgreSQL's own `hash_record_extended`, does not see values that change places between rows.
//! - A link of the chain is injective for values of up to 32 bits and uses all bits of longer ones. `hashint8extended`
//!   and the hashes of timestamps reduce 64 bits to 32 first, `hash_numeric_extended` ignores sign and scale, and
//!   `hashfloat8extended` and `hash_numeric_extended` give the seed back for zero: none of them is used alone.
//! - Values are equal only if their text forms are: `-0`, `1.50` and `1.0` in jsonb differ from `0`, `1.5` and `1`. The
//!   collation is `"C"`, whatever the column's.
//! - Versions 14 to 18 give the same hashes. A change of any hash raises [`DIGEST_VERSION`].
//!
//! The text forms depend on session settings that `session` pins.

use super::Session;
use crate::{
    error::Result,
    model::{
        ColumnPlan, PgType,
        identifier::{qualified, quote_ident},
        table_digest::{DIGEST_VERSION, DigestColumn, TableDigest},
    },
};

/// What a row hash is for. Hashes of different purposes are independent of each other, so that a collision of the one
/// shows in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// The digest of a table.
    Digest = 10,
    /// The hash by which rows of the same key are compared.
    Row = 20,
    /// The second half of the identity of rows that have no key.
    Copy = 30,
    /// The hash that puts rows into buckets.
    Bucket = 40,
}

/// Columns in one chain. PostgreSQL's parser refuses expressions that are nested some thousand times.
pub const CHAIN_LENGTH: usize = 100;

/// The query for one table: one row, one text column, which [`TableDigest`] reads.
#[must_use]
pub fn query<'a>(schema: &str, table: &str, columns: impl IntoIterator<Item = &'a ColumnPlan>) -> String {
    query_over(schema, table, &row_hash(columns, Seed::Digest))
}

/// As [`query`], for the columns that the record on the target names.
#[must_use]
pub fn recorded_query(schema: &str, table: &str, columns: &[DigestColumn]) -> String {
    let columns: Vec<_> = columns.iter().map(|column| (column.name.as_str(), &column.pg_type)).collect();
    query_over(schema, table, &hash_of(&columns, Seed::Digest))
}

fn query_over(schema: &str, table: &str, hash: &str) -> String {
    format!(
        "SELECT '{DIGEST_VERSION}:' || count(*) || ':' || coalesce(sum({hash}), 0) FROM {} AS t",
        qualified(schema, table)
    )
}

/// The hash of a row over the alias `t`, a `bigint` that is never NULL.
#[must_use]
pub fn row_hash<'a>(columns: impl IntoIterator<Item = &'a ColumnPlan>, seed: Seed) -> String {
    let columns: Vec<_> = columns.into_iter().map(|column| (column.name.as_str(), &column.pg_type)).collect();
    hash_of(&columns, seed)
}

fn hash_of(columns: &[(&str, &PgType)], seed: Seed) -> String {
    let chains: Vec<String> = columns.chunks(CHAIN_LENGTH).map(|columns| chain(columns, seed)).collect();
    match chains.as_slice() {
        [] => format!("{}::bigint", seed as u8),
        [one] => one.clone(),
        several => format!("hashtextextended(concat_ws(':', {}), {})", several.join(", "), seed as u8),
    }
}

fn chain(columns: &[(&str, &PgType)], seed: Seed) -> String {
    columns.iter().fold((seed as u8).to_string(), |so_far, (name, pg_type)| link(name, pg_type, &so_far))
}

/// The hash of one column, with the hash of the columns before as its seed. A NULL is hashed as some value of its type
/// with another seed, so that it differs from that value.
fn link(name: &str, pg_type: &PgType, so_far: &str) -> String {
    let value = format!("t.{}", quote_ident(name));
    let seed = format!("{so_far} # CASE WHEN {value} IS NULL THEN 1 ELSE 0 END");
    match pg_type {
        PgType::SmallInt | PgType::Integer | PgType::Boolean => {
            format!("hashint4extended(coalesce({value}::integer, 0), {seed})")
        }
        PgType::BigInt => both_halves(&format!("coalesce({value}, 0)"), &seed),
        // PostgreSQL gives 0 and -0 one hash. Only their texts differ.
        PgType::Double => both_halves(
            &format!(
                "CASE WHEN {value} <> 0 THEN hashfloat8extended({value}, 0) WHEN {value}::text = '-0' THEN 1 ELSE 0 END"
            ),
            &seed,
        ),
        PgType::Uuid => {
            format!("uuid_hash_extended(coalesce({value}, '00000000-0000-0000-0000-000000000000'), {seed})")
        }
        // The hash of a record of one field is the hash of that field: bytea has no hash function that SQL can call.
        PgType::Bytea => format!("hash_record_extended(ROW(coalesce({value}, '')), {seed})"),
        PgType::Text
        | PgType::Varchar(_)
        | PgType::Numeric(_)
        | PgType::Date
        | PgType::Time
        | PgType::Timestamp
        | PgType::TimestampTz
        | PgType::Json
        | PgType::Jsonb
        | PgType::Vector(_)
        | PgType::HalfVec(_)
        | PgType::RealArray
        | PgType::DoubleArray
        | PgType::Bit(_)
        | PgType::Enum(_)
        | PgType::ExistingType(_) => format!("hashtextextended(coalesce({value}::text, '') COLLATE \"C\", {seed})"),
    }
}

/// The hash of 64 bits. `hashint8extended` combines both halves into 32 bits by exclusive or. The upper half is hashed
/// before it, so that the pair of hashes determines all 64 bits.
fn both_halves(bits: &str, seed: &str) -> String {
    format!("hashint8extended({bits}, hashint8extended(({bits}) >> 32, {seed}))")
}

/// The digest of one table.
///
/// # Errors
/// By role and SQLSTATE.
pub async fn of_table<'a>(
    session: &Session,
    schema: &str,
    table: &str,
    columns: impl IntoIterator<Item = &'a ColumnPlan>,
) -> Result<TableDigest> {
    let sql = query(schema, table, columns);
    session.query_row("computing a digest", &sql, &[]).await?.parse(0)
}
