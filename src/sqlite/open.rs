//! Opens a SQLite file read-only.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, limits::Limit};

use super::error_map;
use crate::error::{Error, Kind, Result};

/// Opens the file read-only, one connection per thread (serialised access costs a quarter of the speed). A collation
/// that only the application has is stood in for by the comparison of bytes, so that the rows of its tables can be
/// read; whoever searches by such a column must name another collation, because its indexes have another order.
///
/// # Errors
/// `SourceInvalid` if it doesn't exist or isn't a SQLite database.
pub fn read_only(path: &Path) -> Result<Connection> {
    let connection = without_stand_ins(path)?;
    connection
        .collation_needed(|connection, name| connection.create_collation(name, str::cmp))
        .map_err(|failure| error_map::describe("opening", &failure))?;
    Ok(connection)
}

/// As [`read_only`], without stand-ins for the application's collations: for checks of the file itself.
///
/// # Errors
/// As [`read_only`].
pub fn without_stand_ins(path: &Path) -> Result<Connection> {
    if !path.is_file() {
        return Err(Error::new(Kind::SourceInvalid, format!("there is no file {}", path.display())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|failure| error_map::describe("opening", &failure))?;
    // A schema that this engine can't parse in full must not hide the tables it can.
    connection
        .execute_batch("PRAGMA writable_schema=ON; PRAGMA mmap_size=0; PRAGMA cache_size=-4096;")
        .and_then(|()| connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())))
        .map_err(|failure| error_map::describe("opening", &failure))?;
    Ok(connection)
}

/// The least length that [`limit_lengths`] allows a value to have.
const LENGTH_MIN: i32 = 1 << 20;

/// Limits the length of values to the size of the file, while an expression of the source is computed. No stored value
/// is longer, and an expression that makes a longer one can keep the engine busy without an end. Gives the limit before.
pub fn limit_lengths(connection: &Connection) -> i32 {
    let bytes = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let bytes: i64 = connection.query_row(bytes, [], |row| row.get(0)).unwrap_or(i64::MAX);
    let before = connection.limit(Limit::SQLITE_LIMIT_LENGTH);
    let length = i32::try_from(bytes).unwrap_or(i32::MAX).max(LENGTH_MIN).min(before);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, length)
}

/// Puts back what [`limit_lengths`] has changed.
pub fn restore_lengths(connection: &Connection, before: i32) {
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, before);
}
