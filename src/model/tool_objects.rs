//! What the tool has in a target database beside the tables of the application.

use serde::Serialize;

words! {
    /// What a schema of the tool's is for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum SchemaPurpose: words {
        /// The record of pushes, and the marks of finished migrations.
        Record = "record of pushes",
        /// Tables that the last push replaced, for `rollback`.
        PreviousTables = "tables that the last push replaced",
        /// Rows that the last push changed, for `rollback`.
        ChangedRows = "rows that the last push changed",
        /// Tables that an interrupted or running push loads.
        Staging = "tables of an unfinished push",
    }
}

/// A table, view, sequence, function or trigger in a schema of the tool's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolObject {
    /// `table`, `view`, `sequence`, `function` or `trigger`.
    pub kind: String,
    /// Its name without the schema.
    pub name: String,
    /// What it takes on disk, with indexes, in bytes; none of what stores nothing.
    pub bytes: Option<u64>,
}

/// A schema of the tool's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolSchema {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub purpose: SchemaPurpose,
    /// The schema whose pushes it belongs to; none for the record, and for a schema that the record does not name.
    pub target_schema: Option<String>,
    /// What is in it, by kind and name.
    pub objects: Vec<ToolObject>,
}

impl ToolSchema {
    /// What its objects take on disk, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.objects.iter().filter_map(|object| object.bytes).sum()
    }
}

/// The mark of a migration that is finished: no push touches its tables any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FinishMark {
    /// The schema on the target.
    pub schema: String,
    /// When it was set, in RFC 3339.
    pub finished_at: String,
}

/// Everything that the tool has in one database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ToolObjects {
    /// Address of the server and the database.
    pub target: String,
    /// Its schemas, by name.
    pub schemas: Vec<ToolSchema>,
    /// Migrations into this database that are finished.
    pub finished: Vec<FinishMark>,
}
