//! Defines the checkpoints that a finished or interrupted stage writes beside its artifact.
//!
//! The authority for a loaded chunk is the marker that was committed with it (`postgres::load_journal`); the checkpoint
//! is the record that chains the stages by digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    consistency_mark::ConsistencyMark,
    dropped_objects::DroppedObject,
    dump_method::DumpMethod,
    push_plan::{PushMode, PushPlan},
    table_digest::{self, TableDigest},
};

/// The format number of every checkpoint that this version writes and reads.
pub const CHECKPOINT_FORMAT: u32 = 1;

/// `dump/checkpoint.json`. Exists only beside a complete `dump/source.db`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DumpCheckpoint {
    /// [`CHECKPOINT_FORMAT`].
    pub format: u32,
    /// Version of the tool.
    pub tool: String,
    /// Version of the SQLite engine that wrote the file.
    pub engine: String,
    /// Where it came from, without secrets: a URL without query and user, or a path.
    pub source: String,
    /// How it was copied.
    pub method: DumpMethod,
    /// Why this method.
    pub method_reason: String,
    /// What proves that it is one snapshot and complete, as sentences.
    pub proof: Vec<String>,
    /// A mark that shows whether the source has changed since, where the source has one.
    pub consistency_mark: Option<ConsistencyMark>,
    /// `PRAGMA encoding`.
    pub encoding: String,
    /// `PRAGMA user_version`.
    pub user_version: i64,
    /// `PRAGMA application_id`.
    pub application_id: i64,
    /// Size of `source.db` in bytes.
    pub size_bytes: u64,
    /// SHA-256 of `source.db`, hexadecimal.
    pub sha256: String,
    /// SHA-256 over schema and rows in storage order, hexadecimal: equal for equal content even if the file's layout
    /// differs.
    pub content_sha256: String,
    /// Modification time of `source.db` in nanoseconds since 1970, to notice a change without reading it all.
    pub modified_ns: u64,
    /// What else shows that `source.db` was written to; none if an earlier version recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<FileStamp>,
    /// Objects of the source that `source.db` doesn't have, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutObject>,
    /// Rows per table.
    pub rows: BTreeMap<String, u64>,
    /// Bytes received from the source.
    pub received_bytes: u64,
    /// Seconds since 1970.
    pub started_s: u64,
    /// Seconds since 1970.
    pub finished_s: u64,
}

/// An object of the source that isn't in the dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOutObject {
    /// `table`, `index`, `view` or `trigger`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The table it belongs to; its own name for tables and views.
    pub table: String,
    /// Why it was left out.
    pub reason: String,
    /// Whether it was left out because the user excludes it.
    pub excluded: bool,
    /// Whether it was left out because its table was.
    pub with_its_table: bool,
    /// Its SQL as the source stores it.
    pub sql: String,
}

/// What a write to a file changes even where its size and its modification time are set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStamp {
    /// The inode's number.
    pub inode: u64,
    /// Time of the last change of the inode in nanoseconds since 1970.
    pub changed_ns: u64,
}

/// How far a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoadState {
    /// Begun; committed chunks can be continued.
    Loading,
    /// Complete, digests compared, durable.
    Done,
}

/// `convert/checkpoint.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoadCheckpoint {
    /// [`CHECKPOINT_FORMAT`].
    pub format: u32,
    /// Version of the tool.
    pub tool: String,
    /// SHA-256 of the dump it was made from.
    pub dump_sha256: String,
    /// SHA-256 of `plan.json` it was made from.
    pub plan_sha256: String,
    /// The local PostgreSQL.
    pub local: LocalServerRecord,
    /// How far it is.
    pub state: LoadState,
    /// Per source table.
    pub tables: BTreeMap<String, TableRecord>,
    /// What was tried on the loaded rows and not created.
    #[serde(rename = "withheld", default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedObject>,
    /// Time per phase in milliseconds.
    pub phases_ms: BTreeMap<String, u64>,
    /// Seconds since 1970.
    pub started_s: u64,
    /// Seconds since 1970; 0 while loading.
    pub finished_s: u64,
}

/// Which local PostgreSQL holds the tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum LocalServerRecord {
    /// One that this tool started.
    Managed {
        /// The data directory, relative to DIR if it is inside, else absolute.
        pgdata: String,
        /// Why it isn't inside DIR, if so.
        placed_because: Option<String>,
        /// The server's version, such as `15.18`.
        version: String,
    },
    /// One that the user named by `--local-url`.
    External {
        /// `host:port/database`, without user and password.
        address: String,
        /// The server's version.
        version: String,
    },
}

/// What was loaded of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRecord {
    /// Rows loaded.
    pub rows: u64,
    /// Digest of the rows as they were sent, order-independent, hexadecimal.
    pub sent_digest: String,
    /// The same digest of the rows as PostgreSQL gave them back.
    pub read_digest: String,
    /// The server-side digest; none if an earlier version recorded another kind of digest.
    #[serde(default, deserialize_with = "table_digest::known")]
    pub server_digest: Option<TableDigest>,
}

/// `push/checkpoint.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PushCheckpoint {
    /// [`CHECKPOINT_FORMAT`].
    pub format: u32,
    /// Version of the tool.
    pub tool: String,
    /// The run's key: digest of what is pushed (plan and per-table digests).
    pub run_key: String,
    /// SHA-256 of `plan.json` it was made from.
    pub plan_sha256: String,
    /// `host:port/database` of the target, without user and password.
    pub target: String,
    /// The schema on the target.
    pub schema: String,
    /// How the tables were brought up to date.
    pub mode: PushMode,
    /// What the push did; none in checkpoints of earlier versions and after a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PushPlan>,
    /// Names of the tables that were replaced; where they are kept.
    pub replaced: Vec<String>,
    /// The schema that holds the replaced tables, if any.
    pub previous_schema: Option<String>,
    /// The Neon branch that keeps the state before the push, if one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_point: Option<String>,
    /// How far it is.
    pub state: LoadState,
    /// Per source table: rows, server-side digest on the target.
    pub tables: BTreeMap<String, PushedTable>,
    /// What was dropped from the plan when the local PostgreSQL was loaded.
    #[serde(rename = "withheld", default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedObject>,
    /// Bytes of row data sent in all tries of this run.
    pub sent_bytes: u64,
    /// Bytes of hashes received from the target to find what differs.
    #[serde(default)]
    pub compared_bytes: u64,
    /// What it was about, in numbers.
    #[serde(default)]
    pub account: PushAccount,
    /// Time per phase in milliseconds.
    pub phases_ms: BTreeMap<String, u64>,
    /// Seconds since 1970.
    pub started_s: u64,
    /// Seconds since 1970; 0 while loading.
    pub finished_s: u64,
}

impl PushCheckpoint {
    /// How the push can be taken back, as a sentence without its end.
    #[must_use]
    pub fn way_back(&self) -> String {
        let point = self
            .restore_point
            .as_ref()
            .map(|point| format!("`turso2neon rollback --restore-point {point}` sets the whole Neon branch back"));
        let own = match (self.mode, self.account.kept) {
            (PushMode::Create, _) => "nothing to put back: the tables are new".to_owned(),
            (PushMode::Replace, _) => "mode replace keeps nothing to put back".to_owned(),
            (PushMode::Rollback, _) => "run `turso2neon rollback` again to undo this".to_owned(),
            (PushMode::Diff | PushMode::Load | PushMode::Swap, false) => "nothing was kept to put back".to_owned(),
            (PushMode::Diff, true) if self.plan.as_ref().is_some_and(|plan| !plan.alters.is_empty()) => {
                "`turso2neon rollback` changes the rows back, until the next push; the tables keep their new structure"
                    .to_owned()
            }
            (PushMode::Diff, true) => "`turso2neon rollback` changes the rows back, until the next push".to_owned(),
            (PushMode::Load, true) => {
                "`turso2neon rollback` removes the loaded rows and restores the rows that were there, until the next push"
                    .to_owned()
            }
            (PushMode::Swap, true) => {
                let home = self.previous_schema.as_deref().unwrap_or_default();
                format!("`turso2neon rollback` puts back the tables kept in schema {home}, until the next push")
            }
        };
        point.map_or_else(|| own.clone(), |point| format!("{own}; {point}"))
    }
}

/// What a push sent, why it went about it so, and what it left on the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PushAccount {
    /// Why this mode, as half a sentence.
    pub why: String,
    /// Rows sent in all tries of this run; in mode `diff` with the keys of rows to be deleted.
    pub sent_rows: u64,
    /// Time from the look at the target to the end, in milliseconds, of the process that came to the end.
    pub elapsed_ms: u64,
    /// What was replaced or changed is kept for a rollback.
    pub kept: bool,
    /// Bytes that the tables take on the target, with indexes and large values; none where it is not known.
    pub tables_bytes: Option<u64>,
    /// Bytes that the whole database takes.
    pub database_bytes: Option<u64>,
    /// For each framework that records its migrations on the target, the setting that hides the tool's schemas from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub frameworks: Vec<String>,
}

/// What was pushed of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushedTable {
    /// Rows on the target.
    pub rows: u64,
    /// The server-side digest on the target, equal to the local one; none if an earlier version recorded another kind
    /// of digest.
    #[serde(default, deserialize_with = "table_digest::known")]
    pub server_digest: Option<TableDigest>,
    /// Chunks it was sent in.
    pub chunks: u32,
    /// Rows sent in all tries of this run.
    #[serde(default)]
    pub sent_rows: u64,
    /// Bytes of these rows, as they were sent.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Bytes that it takes on the target, with indexes and large values; none where it is not known.
    #[serde(default)]
    pub target_bytes: Option<u64>,
}
