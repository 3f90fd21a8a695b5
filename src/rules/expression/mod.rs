//! SQLite expressions to PostgreSQL expressions, through the parsed tree and with static types, never by text.
//! What has no exact equivalent is refused with the reason.

use crate::model::{ColumnPlan, TablePlan};

/// Why an expression was not translated. Names constructs, never values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untranslatable {
    /// One clause, such as `the function strftime with modifiers has no exact equivalent`.
    pub reason: String,
}

/// The DEFAULT of a column in its chosen type. `Ok(None)` means that no default is needed (`DEFAULT NULL`).
///
/// # Errors
/// The reason why there is no exact equivalent.
pub fn default(_sql: &str, _column: &ColumnPlan) -> Result<Option<String>, Untranslatable> {
    Err(Untranslatable { reason: "not built".to_owned() })
}

/// A condition over one table's columns (CHECK, partial index). The result names PostgreSQL columns, quoted.
///
/// # Errors
/// The reason why there is no exact equivalent.
pub fn condition(_sql: &str, _table: &TablePlan) -> Result<String, Untranslatable> {
    Err(Untranslatable { reason: "not built".to_owned() })
}

/// A value over one table's columns (index expression).
///
/// # Errors
/// The reason why there is no exact equivalent.
pub fn value(_sql: &str, _table: &TablePlan) -> Result<String, Untranslatable> {
    Err(Untranslatable { reason: "not built".to_owned() })
}
