//! PostgreSQL names for SQLite's names (conversion rule book, section 3).

use crate::model::overrides::Identifiers;

/// A PostgreSQL name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The name, unquoted.
    pub name: String,
    /// Why it differs from the source's name, if it does.
    pub changed: Option<&'static str>,
}

/// The names of one schema's relations and keys, of which PostgreSQL has a single set.
#[derive(Debug, Clone)]
pub struct Namespace {
    identifiers: Identifiers,
    taken: std::collections::BTreeSet<String>,
}

impl Namespace {
    /// An empty schema.
    #[must_use]
    pub fn new(identifiers: Identifiers) -> Self {
        Self { identifiers, taken: std::collections::BTreeSet::new() }
    }

    /// Claims a name for a table, view, index, sequence, or a PRIMARY KEY or UNIQUE constraint. Claim all tables and
    /// views first: names that exist in the source have priority.
    pub fn relation(&mut self, wanted: &str) -> Name {
        let _ = self.identifiers;
        self.taken.insert(wanted.to_owned());
        Name { name: wanted.to_owned(), changed: None }
    }
}

/// Names for one table's columns, in the same order.
#[must_use]
pub fn columns(wanted: &[&str], _identifiers: Identifiers) -> Vec<Name> {
    wanted.iter().map(|name| Name { name: (*name).to_owned(), changed: None }).collect()
}
