//! Compares two catalogs, and writes the statements that make one like the other.
//!
//! Pure: a catalog and a catalog in, differences and ordered statements out. Both catalogs must name the same main schema
//! and come from servers of one major version; who calls this sees to it (see `postgres::schema_trial`).
//!
//! How the statements come about: what is not allowed is first taken back from the desired catalog (`desired`). Then the
//! objects to be dropped are found: those that are gone, those that can only be replaced as a whole, and everything that
//! depends on them (`dropped`). One pass over the present catalog, backwards, drops them; one pass over the desired one
//! creates and alters (`passes`). Both catalogs are sorted by dependency, so each pass is in a valid order.

mod alter_column;

mod alter_object;

mod alter_table;

mod columns;

mod compare;

mod desired;

mod difference;

mod drop_object;

mod dropped;

mod passes;

mod renames;

mod words_in_sql;

#[cfg(test)]
mod tests;

pub use compare::{Compared, differences};
pub use difference::{ChangeWord, Difference, DifferenceKind, Effect};
pub use renames::{Rename, RenameProblem};

use crate::model::catalog::Catalog;

/// Which changes may be made besides those that add and widen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowed {
    /// Objects, columns and constraints may be removed.
    pub drops: bool,
    /// Columns and types may accept less than before; tables may be built again.
    pub narrows: bool,
    /// Privileges are compared and changed too.
    pub privileges: bool,
}

impl Allowed {
    /// Everything, privileges excepted.
    pub const ALL: Self = Self { drops: true, narrows: true, privileges: false };

    /// Whether a change of this effect may be made.
    #[must_use]
    pub const fn allows(self, effect: Effect) -> bool {
        match effect {
            Effect::Adds | Effect::Widens | Effect::Replaces => true,
            Effect::Narrows => self.narrows,
            Effect::Drops => self.drops,
        }
    }
}

/// When a statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timing {
    /// Before the transaction and committed by itself: a label of an enumerated type that a later statement uses.
    Before,
    /// In the transaction.
    Inside,
    /// In the transaction, or after it without blocking writers: an index of a table that was there before.
    Deferrable,
}

/// A statement and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The object, in words.
    pub object: String,
    /// What it does to the object.
    pub effect: Effect,
    /// When it runs.
    pub timing: Timing,
    /// The SQL without semicolon.
    pub sql: String,
}

/// What makes one catalog like another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Synchronisation {
    /// Schemas in which the statements look up names.
    pub search_path: Vec<String>,
    /// The statements, in order.
    pub changes: Vec<Change>,
    /// Differences that stay because they are not allowed to be removed.
    pub withheld: Vec<Difference>,
}

/// The statements that make `to` like `from`. Values of sequences and rows are no part of it.
///
/// # Errors
/// A rename that does not fit the catalogs.
pub fn statements(
    from: &Catalog,
    to: &Catalog,
    allowed: Allowed,
    renames: &[Rename],
) -> Result<Synchronisation, RenameProblem> {
    let (present, mut changes) = renames::apply(from, to, renames)?;
    let compared = differences(from, &present, allowed.privileges);
    let (wanted, withheld) = desired::catalog(from, &present, &compared, allowed);
    let mut search_path = from.search_path.clone();
    for schema in &present.search_path {
        if !search_path.contains(schema) {
            search_path.push(schema.clone());
        }
    }
    changes.extend(passes::run(&wanted, &present, allowed));
    Ok(Synchronisation { search_path, changes, withheld })
}
