//! Names the stages, and quotes identifiers and literals.

use serde::{Deserialize, Serialize};

words! {
    /// A part of the tool's work that leaves an artifact or an answer.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Stage: word {
        /// Source to `dump/source.db`.
        Dump = "dump",
        /// Dump to decisions.
        Plan = "plan",
        /// Dump and plan to the local PostgreSQL.
        Convert = "convert",
        /// Local PostgreSQL to the target.
        Push = "push",
        /// Comparison of dump, local PostgreSQL and target.
        Verify = "verify",
    }
}

/// Quotes an identifier. SQLite and PostgreSQL agree: double quotes, doubled inside
/// (SQLite "SQL Language: Keywords"; PostgreSQL 4.1.1).
#[must_use]
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a string literal for PostgreSQL with `standard_conforming_strings = on` (4.1.2.1), and for SQLite.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `"schema"."name"`.
#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_ident(schema), quote_ident(name))
}

/// `"a", "b"`.
#[must_use]
pub fn quote_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(quote_ident).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quote_ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(qualified("s", "t"), "\"s\".\"t\"");
        assert_eq!(quote_list(["a", "b"]), "\"a\", \"b\"");
    }
}
