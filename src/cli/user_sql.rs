//! Reads `[sql]` of the configuration: statements, and files of statements, that run before the tables are made and
//! after they are complete.

use std::{fs, path::Path};

use super::config_file::trusted_text::{self, Named};
use crate::{
    error::{Error, Kind, Result},
    model::overrides::UserSql,
    postgres::existing_schema::statements_of,
};

/// A file of statements larger than this holds something else.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Words that would end the transaction in which the statements run on the target.
const CONTROL: [&str; 9] = ["BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"];

/// The statements, one by one.
///
/// # Errors
/// `Config` for a file that cannot be read, and for statements that begin or end transactions.
pub(super) fn read(written: &UserSql) -> Result<UserSql> {
    Ok(UserSql { before: all("before", &written.before)?, after: all("after", &written.after)? })
}

fn all(key: &str, entries: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (number, entry) in (1..).zip(entries) {
        let refused = |what: &str| Error::new(Kind::Config, format!("sql.{key}, entry {number}: {what}"));
        let text = if is_file(entry) { file(entry, &refused)? } else { entry.clone() };
        for statement in statements_of(&text).map_err(|error| refused(error.message()))? {
            let first = statement.split(|one: char| !one.is_ascii_alphabetic()).next().unwrap_or_default();
            if CONTROL.contains(&first.to_ascii_uppercase().as_str()) {
                return Err(refused("a statement begins or ends a transaction")
                    .with_hint("leave it out: the statements run in one transaction with the tables"));
            }
            found.push(statement);
        }
    }
    Ok(found)
}

/// Whether an entry is the name of a file, and not a statement.
fn is_file(entry: &str) -> bool {
    let is_sql = Path::new(entry).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("sql"));
    is_sql && !entry.contains([';', '\n'])
}

fn file(name: &str, refused: &impl Fn(&str) -> Error) -> Result<String> {
    let path = Path::new(name);
    let facts = fs::metadata(path).map_err(|cause| Error::io(Kind::Config, "reading", path, &cause))?;
    if facts.len() > FILE_BYTES_MAX {
        return Err(refused("the file is too large"));
    }
    trusted_text::read(path, Named::ByUser).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(entry: &str) -> Result<Vec<String>> {
        all("after", &[entry.to_owned()])
    }

    #[test]
    fn entries_are_statements_or_files() {
        assert_eq!(statements("SELECT 1; -- one\nSELECT ';'").unwrap(), ["SELECT 1", "SELECT ';'"]);
        assert_eq!(statements("commit").unwrap_err().kind(), Kind::Config);
        assert_eq!(statements("nowhere/setup.sql").unwrap_err().kind(), Kind::Config);
        let file = tempfile::Builder::new().suffix(".sql").tempfile().unwrap();
        fs::write(file.path(), "CREATE VIEW v AS SELECT 1;\n").unwrap();
        assert_eq!(statements(file.path().to_str().unwrap()).unwrap(), ["CREATE VIEW v AS SELECT 1"]);
    }
}
