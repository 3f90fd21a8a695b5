//! Defines what the user decided in `turso2neon.toml` and by flags that change the plan.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{conversion::OffType, existing_reading::ListForm, existing_schema::ExistingSchema};

/// How names are carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// The time zone of times without one that become `timestamptz` in a type that an existing schema gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Declared type (lower case, squeezed) to PostgreSQL type.
    pub types: BTreeMap<String, String>,
    /// `table.column` to its override.
    pub columns: BTreeMap<String, ColumnOverride>,
    /// Source table to its override.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tables: BTreeMap<String, TableOverride>,
    /// The schema that gives the types.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[serde(rename = "given")]
    pub existing_schema: Option<Box<ExistingSchema>>,
    /// SQL that runs beside the tables.
    #[serde(skip_serializing_if = "UserSql::is_empty")]
    pub sql: UserSql,
    /// Finding code to the places where it is accepted: `table`, `table.column`, or `*`. The code `all` accepts all.
    pub accept: BTreeMap<String, Vec<String>>,
    /// Findings that are accepted on the command line, as `accept` has them. They belong to a plan, not to the
    /// configuration, and are digested as if they stood in `accept`.
    #[serde(skip)]
    pub consents: BTreeMap<String, Vec<String>>,
    /// Table name patterns to read; empty means all.
    pub include: Vec<String>,
    /// Table name patterns to leave out.
    pub exclude: Vec<String>,
    /// Whether the server that will hold the tables offers pgvector.
    pub vector_extension: bool,
    /// Whether views, triggers and indexes that are not carried need a decision.
    #[serde(skip_serializing_if = "is_false")]
    pub strict: bool,
}

/// For serde, which wants a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl Overrides {
    /// Everything that is accepted, by the configuration and on the command line.
    #[must_use]
    pub fn accepted(&self) -> BTreeMap<String, Vec<String>> {
        both(&self.accept, &self.consents)
    }

    /// The same, with more that is accepted on the command line.
    #[must_use]
    pub fn agreeing(self, more: &BTreeMap<String, Vec<String>>) -> Self {
        Self { consents: both(&self.consents, more), ..self }
    }

    /// SHA-256 over all of them, hexadecimal: what `Plan::overrides_sha256` records.
    #[must_use]
    pub fn sha256(&self) -> String {
        // Strings, lists and maps with string keys always have a JSON form.
        let text = serde_json::to_string(&Self { accept: self.accepted(), ..self.clone() }).unwrap_or_default();
        Sha256::digest(text.as_bytes()).iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}

/// The places of both, each once and in one order: the same decisions are the same plan, however they are given.
fn both(one: &BTreeMap<String, Vec<String>>, other: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let mut all = one.clone();
    for (code, places) in other {
        all.entry(code.clone()).or_default().extend(places.iter().cloned());
    }
    for places in all.values_mut() {
        places.sort();
        places.dedup();
    }
    all
}

/// SQL of the user's that runs before the tables are made and after they are complete, on both servers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields, expecting = "a table")]
pub struct UserSql {
    /// Statements before the tables are made.
    pub before: Vec<String>,
    /// Statements after the tables are complete.
    pub after: Vec<String>,
}

impl UserSql {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

/// One table's override.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub struct TableOverride {
    /// The PostgreSQL name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// One column's override.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, expecting = "a table")]
pub struct ColumnOverride {
    /// The PostgreSQL type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub pg_type: Option<String>,
    /// How to read the source value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Encoding>,
    /// The PostgreSQL name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What becomes of values that the type does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_type: Option<OffType>,
    /// Whether empty texts become NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_as_null: Option<bool>,
    /// Whether `yes`, `no`, `on`, `off`, `y`, `n` and their like become boolean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bool_words: Option<bool>,
    /// How to read a column with dates of several forms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dates: Option<Dates>,
    /// What becomes of texts that PostgreSQL cannot hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad_text: Option<BadText>,
    /// The time zone of times without one that become `timestamptz`: a name such as `Europe/Berlin`, or an offset such
    /// as `+02:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How a list is written that becomes an array, if it is neither JSON nor PostgreSQL's text of an array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListForm>,
}

/// How a source value is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Seconds since 1970-01-01 UTC.
    UnixS,
    /// Milliseconds since 1970-01-01 UTC.
    UnixMs,
    /// Microseconds since 1970-01-01 UTC.
    UnixUs,
    /// Nanoseconds since 1970-01-01 UTC.
    UnixNs,
    /// Julian days.
    Julian,
    /// Seconds since 2001-01-01 UTC, as in Apple's Core Data.
    CoreData,
    /// A time of day on 2000-01-01, as in Rails.
    RailsTime,
    /// A UUID in .NET's byte order.
    GuidDotnet,
}

/// How a column with dates of several forms is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Dates {
    /// Integers of one time unit, and ISO 8601 texts, become timestamptz.
    Auto,
}

/// What becomes of texts that PostgreSQL cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum BadText {
    /// The column is text. What cannot be held becomes U+FFFD, and the off-type table keeps the bytes.
    Replace,
    /// The column is bytea.
    Bytea,
    /// Nothing is loaded.
    Fail,
}
