//! What the rows say about constraints: orphans, broken checks, NULLs in keys, the highest keys.

use rusqlite::Connection;

use crate::{
    error::{Error, Kind, Result},
    model::source_schema::SourceSchema,
    rules::keys::ConstraintFacts,
};

/// Counts what [`crate::rules::keys::carry`] needs beyond column profiles.
///
/// # Errors
/// `SourceInvalid` if the file can't be read.
pub fn read(_connection: &Connection, _schema: &SourceSchema) -> Result<ConstraintFacts> {
    Err(Error::new(Kind::Bug, "not built"))
}
