//! Describes what a push will do to the target.
//!
//! A push makes it from the artifacts and from what it sees on the target, then applies it. A dry run prints the same
//! value. The checkpoint of the push holds it.

use std::fmt;

use clap::{ValueEnum, builder::PossibleValue};
use serde::{Deserialize, Serialize};

use super::{
    drift::{DriftPolicy, TableDrift},
    human_format::counted,
    row_changes::RowChanges,
    structure_change::{StructureChange, TypeChangePolicy},
};

/// How the user asks to bring the tables on the target up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RequestedMode {
    /// The mode that the tables on the target need: create, diff, swap or load
    #[default]
    Auto,
    /// Create the tables; fail if they exist
    Create,
    /// Change only the rows that differ, in one transaction
    Diff,
    /// Load beside the current tables, then exchange all of them in one transaction
    Swap,
    /// Replace the tables one by one; readers can see a mixture of old and new tables
    Replace,
}

words! {
    /// How a push brought the tables up to date, as its records name it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum PushMode: word {
        /// It created the tables.
        Create = "create",
        /// It changed the rows that differed.
        Diff = "diff",
        /// It put new tables in the place of the old ones.
        Swap = "swap",
        /// It replaced the rows of one table after the other.
        Replace = "replace",
        /// It loaded rows into tables that the application had created.
        Load = "load",
        /// It put back what the push before had replaced or changed.
        Rollback = "rollback",
    }
}

impl fmt::Display for RequestedMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", PossibleValue::get_name))
    }
}

/// What a push does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing: the target holds these tables.
    Nothing,
    /// Creates the tables.
    Create,
    /// Puts new tables in the place of those of the last push, in one transaction.
    Swap,
    /// Changes the rows that differ, in one transaction.
    Diff,
    /// Loads rows into tables that the application created, in one transaction.
    Load,
    /// Replaces the rows of one table after the other.
    ReplaceRows,
    /// Drops the tables of the last push, then creates others.
    DropAndCreate,
}

impl Action {
    /// How the records of the push name it; none if it leaves no record of its own.
    #[must_use]
    pub const fn mode(self) -> Option<PushMode> {
        match self {
            Self::Nothing => None,
            Self::Create | Self::DropAndCreate => Some(PushMode::Create),
            Self::Swap => Some(PushMode::Swap),
            Self::Diff => Some(PushMode::Diff),
            Self::Load => Some(PushMode::Load),
            Self::ReplaceRows => Some(PushMode::Replace),
        }
    }

    /// Whether the tables stay and only their rows change, in one transaction.
    #[must_use]
    pub const fn changes_rows(self) -> bool {
        matches!(self, Self::Diff | Self::Load)
    }

    /// Whether whole tables are loaded into a staging schema first.
    #[must_use]
    pub const fn loads_tables(self) -> bool {
        matches!(self, Self::Create | Self::Swap | Self::DropAndCreate)
    }
}

/// What a push keeps, so that a rollback can put it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// The tables that others replace, in this schema.
    Tables {
        /// The schema.
        schema: String,
    },
    /// The rows that change, in this schema.
    Rows {
        /// The schema.
        schema: String,
    },
}

/// One table of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedTable {
    /// PostgreSQL's name.
    pub name: String,
    /// SQLite's name.
    pub source: String,
    /// Rows that it has after the push; none for a table whose rows the load did not count.
    pub rows: Option<u64>,
    /// In mode `diff`, the rows that differ; none if the table is equal or rows are not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<RowChanges>,
    /// Rows that the application's table has already; none for other tables and for empty ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_there: Option<u64>,
    /// The number that new rows are given first, where the identity column has to go on with another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_number: Option<i64>,
}

/// What a push will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushPlan {
    /// `host:port/database` of the target, without user and password.
    pub target: String,
    /// The schema on the target.
    pub schema: String,
    /// What it does.
    pub action: Action,
    /// Why, as half a sentence.
    pub reason: String,
    /// Every table that is pushed, in the order of the plan.
    pub tables: Vec<PlannedTable>,
    /// Rows of the tables of the last push, as it recorded them; none if it pushed none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_before: Option<u64>,
    /// Statements that create the schema and extensions that are missing.
    pub creates: Vec<String>,
    /// Statements that alter the tables of the last push, before rows change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alters: Vec<String>,
    /// Tables that have another structure or exist only after these statements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub altered_tables: Vec<String>,
    /// Columns that these statements remove, with their tables; a rollback does not restore their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost_columns: Vec<String>,
    /// Objects of the existing schema that the target lacks and gets, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub created_objects: Vec<String>,
    /// Objects on the target that are dropped or weakened, because rows of the source break them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weakened_objects: Vec<String>,
    /// Objects of the existing schema that the target lacks and does not get, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_objects: Vec<String>,
    /// Tables of the last push that others replace.
    pub replaced: Vec<String>,
    /// Tables of the last push that the target will not have any more.
    pub leaving: Vec<String>,
    /// What is kept for a rollback.
    pub kept: Kept,
    /// Tables that the last push kept, and that are dropped.
    pub dropped: Vec<String>,
    /// What others changed on the target since the last push.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<TableDrift>,
    /// What is done with the tables of `drift`.
    #[serde(default)]
    pub on_drift: DriftPolicy,
    /// What changes about the tables that are in use: types, keys, and what the target will not have any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<StructureChange>,
    /// What is done about `changes`.
    #[serde(default)]
    pub on_type_change: TypeChangePolicy,
}

impl PushPlan {
    /// Tables with rows that differ.
    pub fn changed(&self) -> impl Iterator<Item = (&PlannedTable, RowChanges)> {
        self.tables.iter().filter_map(|table| Some((table, table.changes?)))
    }

    /// Rows of all tables after the push.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().filter_map(|table| table.rows).sum()
    }

    /// What would be done, one line each. `sent` is what was measured for a dry run.
    #[must_use]
    pub fn lines(&self, sent: &str) -> Vec<String> {
        let tables = counted(u64::try_from(self.tables.len()).unwrap_or(u64::MAX), "table", "tables");
        let rows = counted(self.rows(), "row", "rows");
        let at = format!("schema {} of {}", self.schema, self.target);
        let mut lines = match self.action {
            Action::Nothing => return vec!["nothing to do: the target holds these tables already".to_owned()],
            Action::Create => vec![format!("{tables} with {rows} ({sent}) would be created in {at}")],
            Action::Swap => vec![format!("{tables} with {rows} ({sent}) would replace those in {at}")],
            Action::DropAndCreate => vec![
                format!("the tables of the last push would be dropped from {at}"),
                format!("then {tables} with {rows} ({sent}) would be created"),
            ],
            Action::ReplaceRows => {
                vec![format!(
                    "the rows of {tables} in {at} would be replaced, one table after the other: {rows} ({sent})"
                )]
            }
            Action::Diff => self.diff_lines(sent),
            Action::Load => self.load_lines(&tables, &rows, sent),
        };
        lines.push(format!("reason: {}", self.reason));
        lines.extend(self.drift_lines());
        lines.extend(self.changes.iter().map(|change| format!("would change: {change}")));
        lines.extend(self.creates.iter().chain(&self.alters).map(|sql| format!("would run: {sql}")));
        lines.extend(self.created_objects.iter().map(|words| format!("would create: {words}")));
        lines.extend(self.weakened_objects.iter().map(|words| format!("would drop or weaken: {words}")));
        lines.extend(self.missing_objects.iter().map(|words| format!("not created: {words}")));
        let listed =
            |text: &str, names: &[String]| (!names.is_empty()).then(|| format!("{text}: {}", names.join(", ")));
        lines.extend(listed("these tables of the last push would be replaced", &self.replaced));
        lines.extend(listed("these are no longer in the plan and would be gone", &self.leaving));
        lines.extend(listed("the tables kept by the last push would be dropped", &self.dropped));
        lines.extend(listed("the rows of these tables are compared after they are altered", &self.altered_tables));
        lines.extend(listed("a rollback would not restore the values of these columns", &self.lost_columns));
        if !self.alters.is_empty() {
            lines.push("a rollback would restore rows; the tables would keep their new structure".to_owned());
        }
        lines.push(match &self.kept {
            Kept::Tables { schema } => format!("the replaced tables would be kept in schema {schema} for a rollback"),
            Kept::Rows { schema } => format!("the old rows would be kept in schema {schema} for a rollback"),
            Kept::Nothing if self.action == Action::Create => return lines,
            Kept::Nothing => "nothing would be kept for a rollback".to_owned(),
        });
        lines
    }

    /// What becomes of the changes of others, one line for each table.
    pub fn drift_lines(&self) -> impl Iterator<Item = String> {
        let outcome = if self.on_drift == DriftPolicy::Keep { "left as it is" } else { "overwritten" };
        self.drift.iter().map(move |drift| format!("changed by others since the last push, {outcome}: {drift}"))
    }

    fn load_lines(&self, tables: &str, rows: &str, sent: &str) -> Vec<String> {
        let at = format!("schema {} of {}", self.schema, self.target);
        let mut lines =
            vec![format!("{rows} ({sent}) would be loaded into {tables} that are in {at}, in one transaction")];
        lines.extend(self.rows_there_lines());
        lines
    }

    /// What becomes of the rows that the application's tables have already.
    pub fn rows_there_lines(&self) -> impl Iterator<Item = String> {
        self.tables.iter().filter_map(|table| {
            let RowChanges { inserted, updated, deleted } = table.changes.unwrap_or_default();
            Some(format!(
                "table {} already contains {}: {} inserted, {updated} updated, {deleted} deleted",
                table.name,
                counted(table.rows_there?, "row", "rows"),
                counted(inserted, "row", "rows"),
            ))
        })
    }

    fn diff_lines(&self, sent: &str) -> Vec<String> {
        let touched: u64 =
            self.changed().map(|(_, changes)| changes.inserted + changes.updated + changes.deleted).sum();
        let mut lines = vec![format!(
            "{} of {} tables differ; {} would be touched in one transaction ({sent})",
            self.changed().count(),
            self.tables.len(),
            counted(touched, "row", "rows"),
        )];
        lines.extend(self.changed().map(|(table, changes)| {
            format!(
                "table {}: {} would be inserted, {} updated, {} deleted",
                table.name,
                counted(changes.inserted, "row", "rows"),
                changes.updated,
                changes.deleted
            )
        }));
        lines.extend(self.tables.iter().filter_map(|table| {
            Some(format!("table {}: new rows would be numbered from {}", table.name, table.next_number?))
        }));
        lines
    }
}
