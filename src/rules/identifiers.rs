//! Chooses PostgreSQL names for SQLite's names (docs/conversion-rules.md, section 3.1;
//! docs/conversion-rules.md, section 3.2).
//!
//! Decisions: names are kept exactly and always quoted, unless the configuration asks for another case. A name that
//! PostgreSQL would cut is cut here, with a digest, so that two long names stay apart.

use std::collections::BTreeSet;

use md5::{Digest, Md5};

use crate::model::{conversion_plan::OFFTYPE_TABLE, overrides::Identifiers};

/// Longest name in bytes (PostgreSQL 4.1.1, NAMEDATALEN - 1).
const NAME_MAX: usize = 63;

/// Bytes kept of a longer name, before `_` and 8 digits.
const KEPT: usize = 54;

/// Columns that every table has (PostgreSQL 5.5).
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

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
    taken: BTreeSet<String>,
}

impl Namespace {
    /// An empty schema. The off-type table's name is not given away.
    #[must_use]
    pub fn new(identifiers: Identifiers) -> Self {
        Self { identifiers, taken: BTreeSet::from([OFFTYPE_TABLE.to_owned()]) }
    }

    /// How names are carried.
    #[must_use]
    pub fn identifiers(&self) -> Identifiers {
        self.identifiers
    }

    /// Claims exactly this name, which the configuration gives; false if it is taken.
    pub fn reserve(&mut self, name: &str) -> bool {
        self.taken.insert(name.to_owned())
    }

    /// Claims a name for a table, view, index, sequence, or a PRIMARY KEY or UNIQUE constraint. Claim all tables and
    /// views first: names that exist in the source have priority.
    pub fn relation(&mut self, wanted: &str) -> Name {
        claim(wanted, self.identifiers, &mut self.taken)
    }
}

/// Names for one table's columns, in the same order. A column that can keep its name keeps it, whatever stands
/// before it.
#[must_use]
pub fn columns(wanted: &[&str], identifiers: Identifiers) -> Vec<Name> {
    let mut taken: BTreeSet<String> = SYSTEM_COLUMNS.iter().map(|&name| name.to_owned()).collect();
    let kept: Vec<bool> = wanted
        .iter()
        .map(|&name| formed(name, identifiers).changed.is_none() && taken.insert(name.to_owned()))
        .collect();
    let one = |(&name, kept): (&&str, bool)| {
        if kept { Name { name: name.to_owned(), changed: None } } else { claim(name, identifiers, &mut taken) }
    };
    wanted.iter().zip(kept).map(one).collect()
}

/// Names for what is unique within one table only: CHECK and FOREIGN KEY constraints.
pub(crate) fn constraint(wanted: &str, identifiers: Identifiers, taken: &mut BTreeSet<String>) -> Name {
    claim(wanted, identifiers, taken)
}

fn claim(wanted: &str, identifiers: Identifiers, taken: &mut BTreeSet<String>) -> Name {
    let mut found = formed(wanted, identifiers);
    if SYSTEM_COLUMNS.contains(&found.name.as_str()) && taken.contains(&found.name) {
        found = Name { name: format!("{}_", found.name), changed: Some("PostgreSQL keeps this name for itself") };
    }
    let base = found.name.clone();
    let mut number = 0_u64;
    while !taken.insert(found.name.clone()) {
        number += 1;
        let suffix = format!("_{number}");
        found = Name {
            name: format!("{}{suffix}", prefix(&base, NAME_MAX - suffix.len())),
            changed: Some("the name is taken already"),
        };
    }
    found
}

/// The name in the case asked for, neither empty nor too long.
fn formed(wanted: &str, identifiers: Identifiers) -> Name {
    let (cased, mut changed) = match identifiers {
        Identifiers::Preserve => (wanted.to_owned(), None),
        Identifiers::Lower => (wanted.to_lowercase(), Some("names are carried in lower case")),
        Identifiers::Snake => (snake(wanted), Some("names are carried in snake_case")),
    };
    let mut name = cased;
    if name == wanted {
        changed = None;
    }
    if name.is_empty() {
        (name, changed) = ("_unnamed".to_owned(), Some("PostgreSQL has no empty names"));
    }
    if name.len() > NAME_MAX {
        let digest = Md5::digest(wanted.as_bytes());
        let number = digest.iter().take(4).fold(0_u32, |number, byte| number << 8 | u32::from(*byte));
        name = format!("{}_{number:08x}", prefix(&name, KEPT));
        changed = Some("PostgreSQL's names have at most 63 bytes");
    }
    Name { name, changed }
}

/// At most so many bytes, in whole characters.
fn prefix(name: &str, bytes: usize) -> &str {
    (0..=bytes.min(name.len())).rev().find_map(|end| name.get(..end)).unwrap_or_default()
}

/// Whether a name of the source matches one of an existing schema: the same, in another case, or in snake case.
pub(crate) fn is_match(source: &str, existing: &str) -> bool {
    source.eq_ignore_ascii_case(existing) || snake(source) == snake(existing)
}

/// `createdAt` to `created_at`, `HTTPServer` to `http_server`, everything but letters and digits to `_`.
pub(crate) fn snake(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    let mut text = String::new();
    for (index, &one) in characters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| characters.get(before));
        let after = characters.get(index + 1);
        let starts = one.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if starts {
            text.push('_');
        }
        if one.is_alphanumeric() {
            text.extend(one.to_lowercase());
        } else if !text.ends_with('_') || one == '_' {
            text.push('_');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &[&str], identifiers: Identifiers) -> Vec<String> {
        columns(wanted, identifiers).into_iter().map(|name| name.name).collect()
    }

    #[test]
    fn names_are_kept_exactly() {
        let odd = ["a b", "Ünïcode", "select", "a\"b", "CTID", "oid", "%", "🦀"];
        assert_eq!(names(&odd, Identifiers::Preserve), odd);
        assert!(columns(&odd, Identifiers::Preserve).iter().all(|name| name.changed.is_none()));
    }

    #[test]
    fn what_postgresql_refuses_is_renamed_and_existing_names_have_priority() {
        assert_eq!(names(&["xmin", "xmin_", ""], Identifiers::Preserve), ["xmin__1", "xmin_", "_unnamed"]);
        assert_eq!(names(&["", "_unnamed"], Identifiers::Preserve), ["_unnamed_1", "_unnamed"]);
        assert_eq!(names(&["ctid"], Identifiers::Preserve), ["ctid_"]);
    }

    #[test]
    fn long_names_stay_apart_and_within_the_limit() {
        let one = format!("{}1", "ä".repeat(40));
        let other = format!("{}2", "ä".repeat(40));
        let found = names(&[&one, &other], Identifiers::Preserve);
        assert!(found.iter().all(|name| name.len() <= 63 && name.starts_with(&"ä".repeat(27))), "{found:?}");
        assert_ne!(found[0], found[1]);
        let cut = columns(&["x".repeat(64).as_str()], Identifiers::Preserve);
        assert_eq!(cut[0].name, format!("{}_c1bb4f81", "x".repeat(54)));
        let exact = "x".repeat(63);
        assert_eq!(names(&[&exact], Identifiers::Preserve), [exact]);
    }

    #[test]
    fn cases_are_changed_without_collisions() {
        assert_eq!(names(&["userId", "userid"], Identifiers::Lower), ["userid_1", "userid"]);
        assert_eq!(
            names(&["createdAt", "HTTPServer", "id2Name", "a-b c", "__x", "ABC"], Identifiers::Snake),
            ["created_at", "http_server", "id2_name", "a_b_c", "__x", "abc"]
        );
    }

    #[test]
    fn relations_share_one_set_of_names() {
        let mut namespace = Namespace::new(Identifiers::Preserve);
        assert_eq!(namespace.relation("users").name, "users");
        assert_eq!(namespace.relation("users_pkey").name, "users_pkey");
        let second = namespace.relation("users_pkey");
        assert_eq!((second.name.as_str(), second.changed), ("users_pkey_1", Some("the name is taken already")));
        assert_eq!(namespace.relation("Users").name, "Users");
        assert_ne!(namespace.relation("_sqlite_offtype").name, "_sqlite_offtype");
        assert_eq!(namespace.relation("xmin").name, "xmin");
        let long = "y".repeat(63);
        assert_eq!(namespace.relation(&long).name, long);
        let cut = namespace.relation(&long);
        assert_eq!(cut.name.len(), 63);
    }
}
