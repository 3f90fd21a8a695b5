//! Matches tables and columns of the source with those of the existing schema: by the name that the configuration
//! gives, else by the same name, else whatever the case, else in `snake_case`, as far as each is the only one.

use std::collections::BTreeMap;

use super::super::override_resolution::{self, ResolvedOverrides};
use crate::{
    error::{Error, Kind, Result},
    model::{
        existing_schema::{ExistingSchema, ExistingTable},
        overrides::{Identifiers, Overrides},
        source_schema::{SourceSchema, SourceTable},
    },
    rules::{
        identifiers::snake,
        migration_history::{self, Framework},
    },
};

/// For each source table that is planned, by its position, the position of its existing table and columns.
#[derive(Debug, Default)]
pub(super) struct Matches {
    pub(super) tables: BTreeMap<usize, TableMatch>,
}

/// A table of both.
#[derive(Debug, Default)]
pub(super) struct TableMatch {
    /// Position in the existing schema.
    pub(super) existing: usize,
    /// For each existing column, by its position, the position of the source's column.
    pub(super) columns: BTreeMap<usize, usize>,
}

/// Brings both together.
///
/// # Errors
/// `Config` for a name of the configuration that the existing schema lacks, with a similar one.
pub(super) fn find(
    schema: &SourceSchema,
    existing: &ExistingSchema,
    overrides: &Overrides,
    decisions: &ResolvedOverrides,
) -> Result<Matches> {
    let selected = |position: &usize| decisions.selected.get(*position).copied().unwrap_or(false);
    let chosen: Vec<Option<String>> = schema
        .tables
        .iter()
        .map(|table| {
            let found = overrides.tables.iter().find(|(name, _)| name.eq_ignore_ascii_case(&table.name));
            found.and_then(|(_, wanted)| wanted.name.clone())
        })
        .collect();
    for (table, name) in schema.tables.iter().zip(&chosen) {
        let names = || existing.tables.iter().map(|table| table.name.clone());
        if let Some(name) = name.as_ref().filter(|name| !names().any(|known| known == **name)) {
            let what = format!("tables.\"{}\": name: the existing schema has no table {name}", table.name);
            return Err(override_resolution::unknown(&what, name, names()));
        }
    }
    let sources: Vec<(&str, Option<&str>)> =
        schema.tables.iter().zip(&chosen).map(|(table, name)| (table.name.as_str(), name.as_deref())).collect();
    let targets: Vec<&str> = existing.tables.iter().map(|table| table.name.as_str()).collect();
    let mut matches = Matches::default();
    for (existing_at, source_at) in pair(&sources, &targets) {
        let (Some(source), Some(target)) = (schema.tables.get(source_at), existing.tables.get(existing_at)) else {
            continue;
        };
        // A history is loaded only if the configuration says where to.
        let is_history = chosen.get(source_at).is_some_and(Option::is_none) && history_of(source).is_some();
        if selected(&source_at) && !is_history {
            let columns = columns(source_at, source, target, decisions)?;
            matches.tables.insert(source_at, TableMatch { existing: existing_at, columns });
        }
    }
    Ok(matches)
}

/// The framework whose migrations the table of the source records, if it is such a table.
pub(super) fn history_of(source: &SourceTable) -> Option<Framework> {
    migration_history::recognise(&source.name, source.columns.iter().map(|column| column.name.as_str()))
}

fn columns(
    at: usize,
    source: &SourceTable,
    target: &ExistingTable,
    decisions: &ResolvedOverrides,
) -> Result<BTreeMap<usize, usize>> {
    let visible: Vec<usize> =
        source.columns.iter().enumerate().filter(|(_, column)| !column.hidden).map(|(position, _)| position).collect();
    let mut sources = Vec::new();
    for position in &visible {
        let Some(column) = source.columns.get(*position) else { continue };
        let name = decisions.columns.get(&(at, *position)).and_then(|decision| decision.name.as_deref());
        let names = || target.columns.iter().map(|column| column.name.clone());
        if let Some(name) = name.filter(|name| !names().any(|known| known == *name)) {
            let what = format!(
                "columns.\"{}.{}\": name: the existing table {} has no column {name}",
                source.name, column.name, target.name
            );
            return Err(override_resolution::unknown(&what, name, names()));
        }
        sources.push((column.name.as_str(), name));
    }
    let targets: Vec<&str> = target.columns.iter().map(|column| column.name.as_str()).collect();
    let pairs = pair(&sources, &targets).into_iter();
    Ok(pairs.filter_map(|(existing, index)| Some((existing, *visible.get(index)?))).collect())
}

/// Pairs of a target's and a source's position. Each step takes what only one of the rest fits; a name that the
/// configuration gives fits nothing else.
fn pair(sources: &[(&str, Option<&str>)], targets: &[&str]) -> BTreeMap<usize, usize> {
    let steps: [fn(&str) -> String; 3] = [str::to_owned, str::to_ascii_lowercase, |name| snake(name)];
    let mut pairs: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, (_, wanted)) in sources.iter().enumerate() {
        let target = wanted.and_then(|wanted| targets.iter().position(|name| *name == wanted));
        if let Some(target) = target {
            pairs.entry(target).or_insert(at);
        }
    }
    for form in steps {
        let left: Vec<(usize, String)> = sources
            .iter()
            .enumerate()
            .filter(|(at, (_, wanted))| wanted.is_none() && !pairs.values().any(|taken| taken == at))
            .map(|(at, (name, _))| (at, form(name)))
            .collect();
        let free: Vec<(usize, String)> = targets
            .iter()
            .enumerate()
            .filter(|(at, _)| !pairs.contains_key(at))
            .map(|(at, name)| (at, form(name)))
            .collect();
        for (target, name) in &free {
            let mut fitting = left.iter().filter(|(_, other)| other == name);
            let only_target = free.iter().filter(|(_, other)| other == name).count() == 1;
            if let (Some((source, _)), None, true) = (fitting.next(), fitting.next(), only_target) {
                pairs.insert(*target, *source);
            }
        }
    }
    pairs
}

/// What the configuration says and the existing schema does not allow.
///
/// # Errors
/// `Config`.
pub(super) fn refuse_types(overrides: &Overrides) -> Result<()> {
    let typed = overrides.columns.iter().find(|(_, one)| one.pg_type.is_some());
    let wrong = match (overrides.types.keys().next(), typed) {
        (Some(declared), _) => format!("types.\"{declared}\""),
        (None, Some((place, _))) => format!("columns.\"{place}\".type"),
        (None, None) if overrides.identifiers != Identifiers::Preserve => "identifiers".to_owned(),
        (None, None) => return Ok(()),
    };
    Err(Error::new(Kind::Config, format!("{wrong}: types and names come from the existing schema"))
        .with_hint("remove the key, or plan without --schema-from (`plan --fresh` forgets a schema given earlier)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(sources: &[(&str, Option<&str>)], targets: &[&str]) -> Vec<(String, String)> {
        let found = pair(sources, targets);
        found.into_iter().map(|(target, source)| (sources[source].0.to_owned(), targets[target].to_owned())).collect()
    }

    fn names(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(one, two)| ((*one).to_owned(), (*two).to_owned())).collect()
    }

    #[test]
    fn names_match_exactly_then_by_case_then_in_snake_case() {
        assert_eq!(
            pairs(&[("createdAt", None), ("ID", None), ("name", None)], &["id", "created_at", "name"]),
            names(&[("ID", "id"), ("createdAt", "created_at"), ("name", "name")])
        );
        assert_eq!(pairs(&[("user_id", None)], &["userId"]), names(&[("user_id", "userId")]));
        assert_eq!(pairs(&[("a", None), ("A", None)], &["A"]), names(&[("A", "A")]));
    }

    #[test]
    fn what_fits_twice_fits_nothing() {
        assert_eq!(pairs(&[("userId", None)], &["user_id", "UserId"]), names(&[("userId", "UserId")]));
        assert_eq!(pairs(&[("user-id", None)], &["user_id", "userId"]), Vec::new());
        assert_eq!(pairs(&[("aB", None), ("a_b", None)], &["A_B"]), names(&[("a_b", "A_B")]));
        assert_eq!(pairs(&[("name", Some("title")), ("title", None)], &["title", "name"]), names(&[("name", "title")]));
    }
}
