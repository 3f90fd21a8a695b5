//! Defines the plan: every decision about every table, column and object. It is written by `plan` and followed by
//! `convert`, `push` and `verify`.
//!
//! Two names everywhere: `source` is SQLite's spelling, `name` is PostgreSQL's. All SQL fragments in here are
//! PostgreSQL's, use quoted names, and name no schema.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    existing_schema::{ExistingSchema, SequenceStart, WeakenedObject},
    finding::{Finding, FindingCode},
    overrides::UserSql,
    view_trigger_plan::{TriggerPlan, ViewPlan},
};

pub use super::constraint::{CheckPlan, ForeignKeyPlan, IdentityKind, IdentityPlan, IndexPlan, KeyPlan};
pub use super::conversion::{BlobText, Conversion, EpochUnit, Exceptions, OffType, TimeEncoding, VectorEncoding};
pub use super::existing_reading::{ExistingReading, GuidOrder, ListForm, ZoneName};
pub use super::offtype::OFFTYPE_TABLE;
pub use super::table_plan::{ColumnPlan, Origin, RowAddress, TablePlan};

/// The format number of `plan.json` that this version writes and reads.
pub const PLAN_FORMAT: u32 = 1;

/// A whole plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_FORMAT`].
    pub format: u32,
    /// Version of the tool that made it.
    pub tool: String,
    /// SHA-256 of the dump it was made from.
    pub dump_sha256: String,
    /// SHA-256 of the overrides it was made with.
    pub overrides_sha256: String,
    /// Of these, the findings that were accepted on the command line: code to places.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consents: BTreeMap<String, Vec<String>>,
    /// The schema that the tables go to on the local PostgreSQL.
    pub schema: String,
    /// Extensions the types need, such as `vector`.
    pub extensions: Vec<String>,
    /// Tables in load order (the source's order).
    pub tables: Vec<TablePlan>,
    /// Views, each after those that it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<ViewPlan>,
    /// Triggers in the source's order; created after everything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<TriggerPlan>,
    /// What becomes of every object of the source.
    pub objects: Vec<ObjectPlan>,
    /// Everything that was noticed, sorted by severity (worst first), code and place.
    pub findings: Vec<Finding>,
    /// The schema that the user gave, if the types come from one.
    #[serde(rename = "given", default, skip_serializing_if = "Option::is_none")]
    pub existing_schema: Option<Box<ExistingSchema>>,
    /// Objects of that schema that are created in a weaker form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weakened: Vec<WeakenedObject>,
    /// Sequences of that schema that number columns besides the tables' own ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sequences: Vec<SequenceStart>,
    /// SQL of the user's that runs beside the tables.
    #[serde(default, skip_serializing_if = "UserSql::is_empty")]
    pub hooks: UserSql,
}

impl Plan {
    /// Findings that still need a decision.
    pub fn blocking(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.blocks())
    }

    /// Whether any column sends cells to the off-type table.
    #[must_use]
    pub fn has_offtype_cells(&self) -> bool {
        self.tables.iter().any(TablePlan::has_offtype_cells)
    }

    /// The table of this source name.
    #[must_use]
    pub fn table(&self, source: &str) -> Option<&TablePlan> {
        self.tables.iter().find(|table| table.source == source)
    }

    /// Views, triggers and indexes that the target does not get. An index or trigger of a table that is left out goes
    /// with its table.
    #[must_use]
    pub fn not_carried(&self) -> Vec<ObjectPlan> {
        let lost = |object: &&ObjectPlan| object.outcome == Outcome::NotCarried;
        let tables: Vec<&str> = self
            .objects
            .iter()
            .filter(lost)
            .filter(|object| object.kind == "table")
            .map(|object| object.source.as_str())
            .collect();
        let is_listed = |object: &&ObjectPlan| {
            ["view", "trigger", "index"].contains(&object.kind.as_str()) && !tables.contains(&object.table.as_str())
        };
        self.objects.iter().filter(lost).filter(is_listed).cloned().collect()
    }

    /// Findings with this code.
    pub fn with_code(&self, code: FindingCode) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.code == code)
    }
}

/// What becomes of one object of the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectPlan {
    /// `table`, `index`, `view`, `trigger`, `check`, `foreign key`, `unique`, `primary key`, `generated column`.
    pub kind: String,
    /// SQLite's name.
    pub source: String,
    /// The table it belongs to; its own name for tables and views.
    pub table: String,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Why, unless it is simply carried.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What becomes of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The same thing.
    Carried,
    /// The same meaning in another form.
    Translated,
    /// Not in the target.
    NotCarried,
}
