//! What the user decided in `turso2neon.toml` and by flags that change the plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::existing_schema::GivenSchema;

/// How names are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identifiers {
    /// As they are, always quoted.
    #[default]
    Preserve,
    /// Lower case.
    Lower,
    /// `snake_case`.
    Snake,
}

/// What becomes of SQLite's full-text indexes besides tables with their texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FullText {
    /// Nothing.
    #[default]
    None,
    /// A GIN index on the texts.
    Tsvector,
}

/// Everything that makes the plan differ from docs/conversion-rules.md. Digested into the plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// How names are carried.
    pub identifiers: Identifiers,
    /// What becomes of full-text indexes.
    pub fts: FullText,
    /// Declared type (lower case, squeezed) to PostgreSQL type.
    pub types: BTreeMap<String, String>,
    /// `table.column` to its override.
    pub columns: BTreeMap<String, ColumnOverride>,
    /// Source table to its override.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, TableOverride>,
    /// The schema that gives the types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<Box<GivenSchema>>,
    /// SQL that runs beside the tables.
    #[serde(skip_serializing_if = "Hooks::is_empty")]
    pub sql: Hooks,
    /// Finding code to the places where it is accepted: `table`, `table.column`, or `*`. The code `all` accepts all.
    pub accept: BTreeMap<String, Vec<String>>,
    /// Table name patterns to read; empty means all.
    pub include: Vec<String>,
    /// Table name patterns to leave out.
    pub exclude: Vec<String>,
    /// Whether the server that will hold the tables offers pgvector.
    pub vector_extension: bool,
}

impl Overrides {
    /// SHA-256 over all of them, hexadecimal: what `Plan::overrides_sha256` records.
    #[must_use]
    pub fn sha256(&self) -> String {
        // Strings, lists and maps with string keys always have a JSON form.
        let text = serde_json::to_string(self).unwrap_or_default();
        Sha256::digest(text.as_bytes()).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

/// SQL of the user's that runs before the tables are made and after they are complete, on both servers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hooks {
    /// Statements before the tables are made.
    pub before: Vec<String>,
    /// Statements after the tables are complete.
    pub after: Vec<String>,
}

impl Hooks {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

/// One table's override.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableOverride {
    /// The PostgreSQL name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One column's override.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnOverride {
    /// The PostgreSQL type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub pg_type: Option<String>,
    /// How to read the source value: one of [`READINGS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The PostgreSQL name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What becomes of values that the type doesn't hold: one of [`OFF_TYPES`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_type: Option<String>,
    /// Whether empty texts become NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_as_null: Option<bool>,
    /// Whether `yes`, `no`, `on`, `off`, `y`, `n` and their like become boolean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bool_words: Option<bool>,
    /// `auto`: integers in one unit's window and texts of dates become timestamptz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dates: Option<String>,
    /// What becomes of texts that PostgreSQL can't hold: one of [`BAD_TEXTS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_text: Option<String>,
}

/// The words of [`ColumnOverride::from`].
pub const READINGS: [&str; 8] =
    ["unix_s", "unix_ms", "unix_us", "unix_ns", "julian", "core_data", "rails_time", "guid_dotnet"];

/// The words of [`ColumnOverride::off_type`].
pub const OFF_TYPES: [&str; 2] = ["reject", "null"];

/// The words of [`ColumnOverride::dates`].
pub const DATES: [&str; 1] = ["auto"];

/// The words of [`ColumnOverride::bad_text`].
pub const BAD_TEXTS: [&str; 3] = ["replace", "bytea", "fail"];
