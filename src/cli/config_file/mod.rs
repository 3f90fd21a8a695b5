//! `turso2neon.toml`: every flag's key of the same name, and what a command line can't hold.
//!
//! The file may hold connection strings, so no message repeats a value or a line of it: only keys, positions and
//! the words that would be right.

use std::{collections::BTreeMap, fs, io, path::Path, path::PathBuf};

use clap::ValueEnum;
use toml::{Table, Value};

use super::args::{
    AgainstWord, ColorWord, LevelWord, MethodWord, ModeWord, PlanFormatWord, ReportFormatWord, VectorWord,
};
pub use super::config_keys::KEYS;
use super::config_keys::{COLUMN_KEYS, LATER_KEYS};
use crate::{
    error::{Error, Kind, Result},
    model::{
        FindingCode, PgType,
        overrides::{
            BAD_TEXTS, ColumnOverride, DATES, FullText, Hooks, Identifiers, OFF_TYPES, READINGS, TableOverride,
        },
    },
    secret::Secret,
};

/// The file that is read when `--config` isn't given.
pub const DEFAULT_FILE: &str = "turso2neon.toml";

/// What the file says; what it doesn't say is `None`, `false` or empty.
#[derive(Debug, Default)]
#[allow(missing_docs, clippy::struct_excessive_bools, reason = "each field is the key of its name, a flag in `args`")]
pub struct ConfigFile {
    pub dir: Option<PathBuf>,
    pub json: bool,
    pub quiet: bool,
    pub verbose: u8,
    pub no_progress: bool,
    pub color: Option<ColorWord>,
    pub source: Option<Secret<String>>,
    pub auth_token_file: Option<PathBuf>,
    pub method: Option<MethodWord>,
    pub ca_file: Option<PathBuf>,
    pub namespace: Option<String>,
    pub database: Option<String>,
    pub org: Option<String>,
    pub archive: Option<PathBuf>,
    pub keep: Option<u32>,
    pub block_writes: bool,
    pub unblock_writes: bool,
    pub explain: Option<String>,
    pub format: Option<String>,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub vector: Option<VectorWord>,
    pub schema_from: Option<Secret<String>>,
    pub local_url: Option<Secret<String>>,
    pub pg_bin: Option<PathBuf>,
    pub keep_running: bool,
    pub jobs: Option<u16>,
    pub schema_only: bool,
    pub data_only: bool,
    pub target: Option<Secret<String>>,
    pub mode: Option<ModeWord>,
    pub schema: Option<String>,
    pub dry_run: bool,
    pub no_keep_previous: bool,
    pub lock_wait: Option<u32>,
    pub neon_project: Option<String>,
    pub neon_branch: Option<String>,
    pub neon_database: Option<String>,
    pub neon_role: Option<String>,
    pub neon_create_branch: Option<String>,
    pub against: Option<AgainstWord>,
    pub level: Option<LevelWord>,
    pub tables: Vec<String>,
    pub sql: Hooks,
    pub renamed: BTreeMap<String, TableOverride>,
    pub fresh: bool,
    pub yes: bool,
    pub identifiers: Identifiers,
    pub fts: FullText,
    pub types: BTreeMap<String, String>,
    pub columns: BTreeMap<String, ColumnOverride>,
    pub accept: BTreeMap<String, Vec<String>>,
}

impl ConfigFile {
    /// Reads the named file, or [`DEFAULT_FILE`] if it is there.
    ///
    /// # Errors
    /// `Config`: no such file, not TOML, an unknown key (with the nearest one), a value of the wrong kind.
    pub fn load(named: Option<&Path>) -> Result<Self> {
        let path = named.unwrap_or_else(|| Path::new(DEFAULT_FILE));
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &path.display().to_string()),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && named.is_none() => Ok(Self::default()),
            Err(cause) => Err(Error::io(Kind::Config, "reading", path, &cause)
                .with_hint("name a readable TOML file with --config, or leave the flag out")),
        }
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
        let mut config = Self::default();
        for (key, value) in &table {
            let entry = Entry { file, key, value };
            config.take_global(&entry)?;
        }
        Ok(config)
    }

    fn take_global(&mut self, entry: &Entry<'_>) -> Result<()> {
        match entry.key {
            "dir" => self.dir = Some(entry.path()?),
            "json" => self.json = entry.flag()?,
            "quiet" => self.quiet = entry.flag()?,
            "verbose" => self.verbose = entry.number("from 0 to 2", 0, 2)?,
            "no-progress" => self.no_progress = entry.flag()?,
            "color" => self.color = Some(entry.word()?),
            "explain" => self.explain = Some(entry.text()?),
            "format" => self.format = Some(entry.format()?),
            "yes" => self.yes = entry.flag()?,
            "fresh" => self.fresh = entry.flag()?,
            "identifiers" => self.identifiers = entry.identifiers()?,
            "sql" => self.sql = entry.hooks()?,
            "fts" => self.fts = entry.full_text()?,
            "types" => self.types = entry.types()?,
            "columns" => self.columns = entry.columns()?,
            "accept" => self.accept = entry.accept()?,
            _ => return self.take_stage(entry),
        }
        Ok(())
    }

    fn take_stage(&mut self, entry: &Entry<'_>) -> Result<()> {
        match entry.key {
            "source" => self.source = Some(entry.secret()?),
            "auth-token-file" => self.auth_token_file = Some(entry.path()?),
            "method" => self.method = Some(entry.word()?),
            "ca-file" => self.ca_file = Some(entry.path()?),
            "namespace" => self.namespace = Some(entry.text()?),
            "database" => self.database = Some(entry.text()?),
            "org" => self.org = Some(entry.text()?),
            "archive" => self.archive = Some(entry.path()?),
            "keep" => self.keep = Some(entry.number("of 1 or more", 1, i64::from(u32::MAX))?),
            "block-writes" => self.block_writes = entry.flag()?,
            "unblock-writes" => self.unblock_writes = entry.flag()?,
            "include" => self.include = entry.texts()?,
            "exclude" => self.exclude = entry.texts()?,
            "vector" => self.vector = Some(entry.word()?),
            "schema-from" => self.schema_from = Some(entry.secret()?),
            "local-url" => self.local_url = Some(entry.secret()?),
            "pg-bin" => self.pg_bin = Some(entry.path()?),
            "keep-running" => self.keep_running = entry.flag()?,
            "jobs" => self.jobs = Some(entry.number("from 1 to 256", 1, 256)?),
            "schema-only" => self.schema_only = entry.flag()?,
            "data-only" => self.data_only = entry.flag()?,
            "target" => self.target = Some(entry.secret()?),
            "mode" => self.mode = Some(entry.word()?),
            "schema" => self.schema = Some(entry.text()?),
            "dry-run" => self.dry_run = entry.flag()?,
            "lock-wait" => self.lock_wait = Some(entry.number("from 1 to 86400", 1, 86_400)?),
            "neon-project" => self.neon_project = Some(entry.text()?),
            "neon-branch" => self.neon_branch = Some(entry.text()?),
            "neon-database" => self.neon_database = Some(entry.text()?),
            "neon-role" => self.neon_role = Some(entry.text()?),
            "neon-create-branch" => self.neon_create_branch = Some(entry.text()?),
            "no-keep-previous" => self.no_keep_previous = entry.flag()?,
            "against" => self.against = Some(entry.word()?),
            "level" => self.level = Some(entry.word()?),
            // A list is the flag of `verify`, a table is what the tables are called.
            "tables" if entry.value.is_table() => self.renamed = entry.tables()?,
            "tables" => self.tables = entry.texts()?,
            later if LATER_KEYS.contains(&later) => {
                return Err(entry.error("is not in this version").with_hint("remove the key"));
            }
            unknown => return Err(entry.unknown(unknown, &KEYS)),
        }
        Ok(())
    }
}

/// One key with its value, and where it stands, for messages.
struct Entry<'a> {
    file: &'a str,
    key: &'a str,
    value: &'a Value,
}

impl Entry<'_> {
    fn error(&self, what: &str) -> Error {
        Error::new(Kind::Config, format!("{}: `{}` {what}", self.file, self.key))
    }

    fn unknown(&self, key: &str, known: &[&str]) -> Error {
        let hint = match nearest(key, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the keys are {}", known.join(", ")),
        };
        Error::new(Kind::Config, format!("{}: unknown key `{}`", self.file, shorten(key))).with_hint(hint)
    }

    fn text(&self) -> Result<String> {
        match self.value.as_str().map(str::trim) {
            Some("") => Err(self.error("is empty")),
            Some(text) => Ok(text.to_owned()),
            None => Err(self.error("must be a string")),
        }
    }

    fn secret(&self) -> Result<Secret<String>> {
        self.text().map(Secret::new)
    }

    fn path(&self) -> Result<PathBuf> {
        self.text().map(PathBuf::from)
    }

    /// One of these words.
    fn one_of(&self, words: &[&str]) -> Result<String> {
        let text = self.text()?;
        if words.contains(&text.as_str()) {
            return Ok(text);
        }
        Err(self.error(&format!("must be one of {}", words.join(", "))))
    }

    fn flag(&self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| self.error("must be true or false"))
    }

    fn number<T: TryFrom<i64>>(&self, range: &str, least: i64, most: i64) -> Result<T> {
        self.value
            .as_integer()
            .filter(|number| (least..=most).contains(number))
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| self.error(&format!("must be a whole number {range}")))
    }

    fn texts(&self) -> Result<Vec<String>> {
        let wrong = || self.error("must be a list of strings");
        let items = self.value.as_array().ok_or_else(wrong)?;
        items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }

    fn word<T: ValueEnum>(&self) -> Result<T> {
        let found = self.value.as_str().and_then(|text| T::from_str(text, false).ok());
        found.ok_or_else(|| self.error(&format!("must be one of {}", words::<T>().join(", "))))
    }

    /// A word that `plan` or `report` knows; which of the two is asked is known later.
    fn format(&self) -> Result<String> {
        let mut known = words::<PlanFormatWord>();
        known.extend(words::<ReportFormatWord>());
        known.sort();
        known.dedup();
        let found = self.value.as_str().filter(|text| known.iter().any(|word| word == text));
        found.map(str::to_owned).ok_or_else(|| self.error(&format!("must be one of {}", known.join(", "))))
    }

    fn identifiers(&self) -> Result<Identifiers> {
        match self.value.as_str() {
            Some("preserve") => Ok(Identifiers::Preserve),
            Some("lower") => Ok(Identifiers::Lower),
            Some("snake") => Ok(Identifiers::Snake),
            Some(_) | None => Err(self.error("must be one of preserve, lower, snake")),
        }
    }

    fn full_text(&self) -> Result<FullText> {
        match self.value.as_str() {
            Some("none") => Ok(FullText::None),
            Some("tsvector") => Ok(FullText::Tsvector),
            Some(_) | None => Err(self.error("must be one of none, tsvector")),
        }
    }

    fn table(&self) -> Result<&Table> {
        self.value.as_table().ok_or_else(|| self.error(&format!("must be a table, as in [{}]", self.key)))
    }

    fn inside<'a>(&'a self, key: &'a str, value: &'a Value) -> Entry<'a> {
        Entry { file: self.file, key, value }
    }

    fn types(&self) -> Result<BTreeMap<String, String>> {
        let pairs = self.table()?.iter().map(|(declared, value)| {
            let place = format!("types.{}", shorten(declared));
            Ok((squeeze(declared), self.inside(&place, value).pg_type()?))
        });
        pairs.collect()
    }

    fn pg_type(&self) -> Result<String> {
        let text = self.text()?;
        match text.parse::<PgType>() {
            Ok(_) => Ok(text),
            Err(sentence) => Err(self.error(&format!("is no PostgreSQL type that can be loaded: {sentence}"))),
        }
    }

    fn columns(&self) -> Result<BTreeMap<String, ColumnOverride>> {
        let mut columns = BTreeMap::new();
        for (place, value) in self.table()? {
            if !place.contains('.') {
                return Err(self
                    .error(&format!("has the key `{}`, which is no place", shorten(place)))
                    .with_hint("write the place in quotes, as in [columns.\"users.created_at\"]"));
            }
            let head = format!("columns.\"{}\"", shorten(place));
            columns.insert(place.clone(), self.inside(&head, value).column()?);
        }
        Ok(columns)
    }

    /// Statements, or names of files that hold them; which of the two is seen when they are read.
    fn hooks(&self) -> Result<Hooks> {
        let mut hooks = Hooks::default();
        for (key, value) in self.table()? {
            let place = format!("{}.{}", self.key, shorten(key));
            let inner = self.inside(&place, value);
            match key.as_str() {
                "before" => hooks.before = inner.texts()?,
                "after" => hooks.after = inner.texts()?,
                _ => return Err(inner.unknown(&place, &[]).with_hint("the keys of [sql] are before and after")),
            }
        }
        Ok(hooks)
    }

    fn tables(&self) -> Result<BTreeMap<String, TableOverride>> {
        let mut tables = BTreeMap::new();
        for (table, value) in self.table()? {
            let head = format!("tables.\"{}\"", shorten(table));
            tables.insert(table.clone(), self.inside(&head, value).one_table()?);
        }
        Ok(tables)
    }

    fn one_table(&self) -> Result<TableOverride> {
        let mut table = TableOverride::default();
        for (key, value) in self.table()? {
            let place = format!("{}.{}", self.key, shorten(key));
            let inner = self.inside(&place, value);
            if key != "name" {
                return Err(inner.unknown(&place, &[]).with_hint("the only key of a table is `name`"));
            }
            table.name = Some(inner.text()?);
        }
        Ok(table)
    }

    fn column(&self) -> Result<ColumnOverride> {
        let mut column = ColumnOverride::default();
        for (key, value) in self.table()? {
            let place = format!("{}.{}", self.key, shorten(key));
            let inner = self.inside(&place, value);
            match key.as_str() {
                "type" => column.pg_type = Some(inner.pg_type()?),
                "name" => column.name = Some(inner.text()?),
                "from" => column.from = Some(inner.one_of(&READINGS)?),
                "off_type" => column.off_type = Some(inner.one_of(&OFF_TYPES)?),
                "empty_as_null" => column.empty_as_null = Some(inner.flag()?),
                "bool_words" => column.bool_words = Some(inner.flag()?),
                "dates" => column.dates = Some(inner.one_of(&DATES)?),
                "bad_text" => column.bad_text = Some(inner.one_of(&BAD_TEXTS)?),
                unknown => {
                    let error = inner.unknown(&place, &[]);
                    let near = nearest(unknown, &COLUMN_KEYS);
                    let hint = near.map_or_else(
                        || format!("the keys of a column are {}", COLUMN_KEYS.join(", ")),
                        |near| format!("did you mean `{near}`?"),
                    );
                    return Err(error.with_hint(hint));
                }
            }
        }
        Ok(column)
    }

    fn accept(&self) -> Result<BTreeMap<String, Vec<String>>> {
        let mut accepted = BTreeMap::new();
        for (code, value) in self.table()? {
            if code != "all" && FindingCode::from_word(code).is_none() {
                return Err(self.unknown(code, &code_words()));
            }
            let place = format!("accept.{code}");
            let inner = self.inside(&place, value);
            let places = match value {
                Value::Boolean(true) => vec!["*".to_owned()],
                _ => inner.texts().map_err(|_| {
                    inner.error("must be a list of places, such as [\"comments\", \"users.email\"], or [\"*\"]")
                })?,
            };
            accepted.insert(code.clone(), places);
        }
        Ok(accepted)
    }
}

/// The words of all finding codes.
#[must_use]
pub fn code_words() -> Vec<&'static str> {
    FindingCode::ALL.iter().map(|code| code.word()).collect()
}

/// The known word that differs least from this one, if it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase().replace('_', "-");
    let ranked = known.iter().map(|candidate| (distance(&word, candidate), *candidate)).min()?;
    (ranked.0 <= 2.max(word.chars().count() / 4)).then_some(ranked.1)
}

/// Levenshtein's distance in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut before = above + 1;
        for (cell, other) in row.iter_mut().skip(1).zip(&right) {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = *cell;
            *cell = changed.min(diagonal + 1).min(before + 1);
            before = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn words<T: ValueEnum>() -> Vec<String> {
    T::value_variants()
        .iter()
        .filter_map(ValueEnum::to_possible_value)
        .map(|value| value.get_name().to_owned())
        .collect()
}

/// A key as it may stand in a message: a key can be a value in the wrong place.
fn shorten(key: &str) -> String {
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
