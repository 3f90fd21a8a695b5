//! Reads `turso2neon.toml`: a key for every flag, and tables for what a command line cannot hold.
//!
//! The file may hold connection strings, so no message repeats a value or a line of it: only keys, positions and the
//! words that would be right.

mod deserialize;

mod flag_values;

pub(super) mod trusted_text;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Table, Value};

use self::{
    deserialize::{Entry, What, below},
    trusted_text::Named,
};
use super::args::LATER;
use crate::{
    error::{Error, Kind, Result},
    model::{
        FindingCode, PgType,
        overrides::{ColumnOverride, FullText, Identifiers, TableOverride, UserSql},
        similar_name::nearest,
    },
};

pub use flag_values::keys;

/// The file that is read when `--config` is not given.
pub const DEFAULT_FILE: &str = "turso2neon.toml";

/// What the file says.
#[derive(Default)]
pub struct ConfigFile {
    /// Flag, without its dashes, to its values, which may be secrets.
    flags: BTreeMap<String, Vec<String>>,
    /// Finding code, or `all`, to the places where it is accepted.
    pub accept: BTreeMap<String, Vec<String>>,
    /// What has no flag.
    pub overrides: FileOverrides,
    /// Where it is; none if there is no file.
    pub path: Option<PathBuf>,
}

/// The keys that have no flag, and what `[accept]` adds to `--accept`.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct FileOverrides {
    /// How tables and columns are named on the target.
    pub identifiers: Identifiers,
    /// What SQLite's full-text indexes become, besides tables with their texts.
    pub fts: FullText,
    /// The time zone of times that have none, where they become `timestamptz` of an existing schema: a name such as
    /// `Europe/Berlin`, or an offset such as `+02:00`.
    pub zone: Option<String>,
    /// The PostgreSQL type of each declared type. One with arguments (`varchar(20)`) is preferred to one without.
    pub types: BTreeMap<String, String>,
    /// The settings of each column, as in `[columns."users.created_at"]`.
    pub columns: BTreeMap<String, ColumnOverride>,
    /// The settings of each table, as in `[tables."Order"]`. A list of strings is the key of `--tables`.
    pub tables: BTreeMap<String, TableOverride>,
    /// SQL for the local PostgreSQL and the target: statements, or names of `*.sql` files.
    pub sql: UserSql,
    /// For each finding code, or `all`, a list of places where it is accepted: `table`, `table.column` or `*`. The
    /// places of `--accept` are added.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, Vec<String>>"))]
    accept: BTreeMap<String, Value>,
}

impl ConfigFile {
    /// Reads the named file, or [`DEFAULT_FILE`] if it exists.
    ///
    /// # Errors
    /// `Config`: no such file, another user's or one that others can write, not TOML, an unknown key (with a similar one), a value that its key does not take.
    pub fn load(named: Option<&Path>) -> Result<Self> {
        let path = named.unwrap_or_else(|| Path::new(DEFAULT_FILE));
        let how = if named.is_some() { Named::ByUser } else { Named::ByDefault };
        let Some(text) = trusted_text::read(path, how)? else { return Ok(Self::default()) };
        let file = Self::parse(&text, &path.display().to_string())?;
        Ok(Self { path: Some(std::path::absolute(path).unwrap_or_else(|_| path.to_owned())), ..file })
    }

    /// Reads the text of a file called `file`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, file: &str) -> Result<Self> {
        let table: Table = text.parse().map_err(|failure: toml::de::Error| {
            let place = failure.span().map(|span| position(text, span.start)).unwrap_or_default();
            Error::new(Kind::Config, format!("{file}{place} is not valid TOML"))
                .with_hint("strings are quoted, tables are in [brackets]; docs/configuration.md has an example")
        })?;
        let refused = |key: &str, what: &str| Error::new(Kind::Config, format!("{file}: `{key}` {what}"));
        let keys = keys();
        let (mut flags, mut tables) = (BTreeMap::new(), Table::new());
        for (key, value) in table {
            if LATER.contains(&key.as_str()) {
                return Err(refused(&key, "is not in this version").with_hint("remove the key"));
            }
            // A list is the flag of `verify`, a table is what the tables are called.
            let flag = key.replace('_', "-");
            if keys.contains(&flag) && !(key == "tables" && value.is_table()) {
                let values = flag_values::read(&flag, &value).map_err(|sentence| refused(&key, &sentence))?;
                if flags.insert(flag, values).is_some() {
                    return Err(refused(&key, "is there twice").with_hint("remove the spelling with `_` or with `-`"));
                }
            } else {
                tables.insert(key, value);
            }
        }
        let root = Entry::new(String::new(), Value::Table(tables));
        let mut overrides = FileOverrides::deserialize(root).map_err(|wrong| match (wrong.what, wrong.key) {
            (What::Sentence(sentence), key) => refused(&key.unwrap_or_default(), &sentence),
            (What::UnknownKey(key, known), table) => {
                let table = table.unwrap_or_default();
                let flags = keys.iter().map(String::as_str).filter(|_| table.is_empty());
                unknown(file, &below(&table, &key), &key, &flags.chain(known.iter().copied()).collect::<Vec<_>>())
            }
        })?;
        overrides.check(file)?;
        let accept = overrides.accept.iter().map(|(code, value)| {
            let places = places(value).ok_or_else(|| refused(&below("accept", code), PLACES))?;
            Ok((code.clone(), places))
        });
        let accept = accept.collect::<Result<_>>()?;
        overrides.types = overrides.types.into_iter().map(|(declared, wanted)| (squeeze(&declared), wanted)).collect();
        Ok(Self { flags, accept, overrides, path: None })
    }

    /// What the file says about a flag.
    pub(super) fn flag(&self, flag: &str) -> Option<Vec<String>> {
        self.flags.get(flag).cloned()
    }
}

impl FileOverrides {
    /// Checks what serde does not know: codes, places and PostgreSQL types.
    fn check(&self, file: &str) -> Result<()> {
        let refused = |key: &str, what: &str| Error::new(Kind::Config, format!("{file}: `{key}` {what}"));
        if let Some(place) = self.columns.keys().find(|place| !place.contains('.')) {
            let what = format!("has the key `{}`, which is not of the form \"table.column\"", printable(place));
            return Err(
                refused("columns", &what).with_hint("write the place in quotes, as in [columns.\"users.created_at\"]")
            );
        }
        let of_types = self.types.iter().map(|(declared, wanted)| (below("types", declared), wanted));
        let of_columns = self
            .columns
            .iter()
            .filter_map(|(place, column)| Some((below(&below("columns", place), "type"), column.pg_type.as_ref()?)));
        for (key, wanted) in of_types.chain(of_columns) {
            if let Err(sentence) = wanted.parse::<PgType>() {
                return Err(refused(&key, &format!("is not a PostgreSQL type that can be loaded: {sentence}")));
            }
        }
        let is_code = |code: &&String| *code == "all" || code.parse::<FindingCode>().is_ok();
        match self.accept.keys().find(|code| !is_code(code)) {
            Some(code) => Err(unknown(file, &below("accept", code), code, &code_words())),
            None => Ok(()),
        }
    }
}

/// What a code of `[accept]` takes.
const PLACES: &str = "must be a list of places, such as [\"comments\", \"users.email\"], or [\"*\"]";

fn places(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Boolean(true) => Some(vec!["*".to_owned()]),
        _ => value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
    }
}

/// The words of all finding codes.
#[must_use]
pub fn code_words() -> Vec<&'static str> {
    FindingCode::ALL.iter().map(|code| code.word()).collect()
}

fn unknown(file: &str, place: &str, key: &str, known: &[&str]) -> Error {
    let hint = match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("the keys are {}", known.join(", ")),
    };
    Error::new(Kind::Config, format!("{file}: unknown key `{place}`")).with_hint(hint)
}

/// A key as it may stand in a message: a key can be a value in the wrong place.
fn printable(key: &str) -> String {
    let plain: String = key.chars().take(60).map(|letter| if letter.is_control() { '?' } else { letter }).collect();
    if plain.contains("://") { "(looks like a URL)".to_owned() } else { plain }
}

/// A declared type as the plan compares it: lower case, single blanks.
fn squeeze(declared: &str) -> String {
    declared.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |tail| tail.chars().count()) + 1;
    format!(", line {line}, column {column},")
}

#[cfg(test)]
mod tests;
