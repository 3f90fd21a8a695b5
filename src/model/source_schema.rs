//! Describes the source's schema without loss: every row of `sqlite_schema` is here, as a table, a view, a trigger or a
//! skipped object with its reason. Names keep the source's spelling.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::finding::{Finding, FindingCode, Severity};

/// Column affinity (SQLite "Datatypes", section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Affinity {
    /// The declared type contains `INT`.
    Integer,
    /// `CHAR`, `CLOB`, `TEXT`.
    Text,
    /// `BLOB` or no declared type.
    Blob,
    /// `REAL`, `FLOA`, `DOUB`.
    Real,
    /// Everything else.
    Numeric,
}

impl Affinity {
    /// Whether SQLite turns every number that is stored under this affinity into text.
    #[must_use]
    pub const fn has_no_numbers(self) -> bool {
        matches!(self, Self::Text)
    }
}

/// All that the file declares.
#[derive(Debug, Clone, Default)]
pub struct SourceSchema {
    /// `PRAGMA encoding`.
    pub encoding: String,
    /// Tables whose rows are user data, in the order of `sqlite_schema`.
    pub tables: Vec<SourceTable>,
    /// Views, in the order of `sqlite_schema`.
    pub views: Vec<SourceObject>,
    /// Triggers, in the order of `sqlite_schema`.
    pub triggers: Vec<SourceObject>,
    /// Objects that hold no user data of their own, each with its reason.
    pub skipped: Vec<SkippedObject>,
    /// `sqlite_sequence`: counters of AUTOINCREMENT tables, where they are integers.
    pub sequences: BTreeMap<String, i64>,
    /// Whether the schema could only be read with `writable_schema` (libSQL's RANDOM ROWID).
    pub needed_writable_schema: bool,
}

/// A view or a trigger.
#[derive(Debug, Clone)]
pub struct SourceObject {
    /// Its name.
    pub name: String,
    /// The table that a trigger belongs to; the view's own name for a view.
    pub table: String,
    /// Its SQL as stored.
    pub sql: String,
    /// A view's columns by the names that SQLite gives them; none for a view that SQLite can't read, and for a trigger.
    pub columns: Vec<String>,
}

/// An object of `sqlite_schema` that is left out.
#[derive(Debug, Clone)]
pub struct SkippedObject {
    /// `table`, `index`, `view` or `trigger`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why it is no user data, or why it can't be read.
    pub reason: String,
    /// Whether rows are lost with it (an external module's table that can't be opened).
    pub loses_rows: bool,
    /// Whether it is skipped because its table is.
    pub with_its_table: bool,
    /// Its SQL as stored.
    pub sql: String,
    /// The table it belongs to; its own name for tables and views.
    pub table: String,
}

impl SkippedObject {
    /// What the plan says of it; nothing for what only serves a skipped table.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let not_carried = |code| Finding::new(code, Severity::Warning, format!("not carried: {}", self.reason));
        let place = |finding: Finding| finding.at_table(&self.table).at_column(&self.name).with_sql(&self.sql);
        Some(match self.kind.as_str() {
            _ if self.loses_rows => {
                let message = format!("its rows are not carried: {}", self.reason);
                let finding = Finding::new(FindingCode::TableNotReadable, Severity::NeedsDecision, message);
                finding.with_sql(&self.sql).at_table(&self.name)
            }
            "table" => Finding::new(FindingCode::TableSkipped, Severity::Info, format!("skipped: {}", self.reason))
                .at_table(&self.name),
            _ if self.with_its_table => return None,
            "index" => place(not_carried(FindingCode::IndexNotCarried)),
            "trigger" => place(not_carried(FindingCode::TriggerNotCarried)),
            "view" => not_carried(FindingCode::ViewNotCarried).at_table(&self.name).with_sql(&self.sql),
            _ => return None,
        })
    }
}

/// How a table stores its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableKind {
    /// An ordinary rowid table.
    Rowid,
    /// WITHOUT ROWID.
    WithoutRowid,
    /// A virtual table whose content can be read through its module.
    Virtual {
        /// The module, lower case.
        module: String,
    },
}

/// One table.
#[derive(Debug, Clone)]
pub struct SourceTable {
    /// Its name.
    pub name: String,
    /// How it stores rows.
    pub kind: TableKind,
    /// STRICT table (SQLite "STRICT Tables").
    pub strict: bool,
    /// libSQL's RANDOM ROWID.
    pub random_rowid: bool,
    /// Its SQL as stored.
    pub sql: String,
    /// The first of `rowid`, `_rowid_`, `oid` that no column hides; none without a rowid.
    pub rowid_name: Option<String>,
    /// Columns in declared order, generated and hidden ones included.
    pub columns: Vec<SourceColumn>,
    /// Names of the primary key's columns in key order; empty without one.
    pub primary_key: Vec<String>,
    /// The name given to the primary key constraint, if any.
    pub primary_key_name: Option<String>,
    /// The column that is the rowid itself (SQLite "CREATE TABLE", section 5), and is numbered by SQLite.
    pub rowid_alias: Option<String>,
    /// AUTOINCREMENT.
    pub autoincrement: bool,
    /// Indexes, those of constraints included.
    pub indexes: Vec<SourceIndex>,
    /// Foreign keys in declared order.
    pub foreign_keys: Vec<SourceForeignKey>,
    /// CHECK constraints in declared order.
    pub checks: Vec<SourceCheck>,
    /// Clauses that were parsed but have no equivalent, such as `ON CONFLICT REPLACE`, as words for the report.
    pub unmatched_clauses: Vec<String>,
}

/// One column.
#[derive(Debug, Clone)]
pub struct SourceColumn {
    /// Its name.
    pub name: String,
    /// The declared type verbatim; empty without one.
    pub declared: String,
    /// The affinity that follows from it.
    pub affinity: Affinity,
    /// NOT NULL.
    pub not_null: bool,
    /// The default's SQL as `table_xinfo` gives it.
    pub default_sql: Option<String>,
    /// The generating expression.
    pub generated: Option<GeneratedColumn>,
    /// The collation if it isn't BINARY, upper case.
    pub collation: Option<String>,
    /// A hidden column of a virtual table, or a generated column that only the application can compute.
    pub hidden: bool,
}

/// GENERATED ALWAYS AS.
#[derive(Debug, Clone)]
pub struct GeneratedColumn {
    /// STORED or VIRTUAL.
    pub stored: bool,
    /// The expression's SQL without the parentheses.
    pub expression: String,
}

/// Where an index comes from (`PRAGMA index_list`, column `origin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexOrigin {
    /// CREATE INDEX.
    Created,
    /// A UNIQUE constraint.
    Unique,
    /// A PRIMARY KEY constraint.
    PrimaryKey,
}

/// One index.
#[derive(Debug, Clone)]
pub struct SourceIndex {
    /// Its name (`sqlite_autoindex_...` for constraints).
    pub name: String,
    /// Where it comes from.
    pub origin: IndexOrigin,
    /// The name given to the constraint that it belongs to.
    pub constraint_name: Option<String>,
    /// UNIQUE.
    pub unique: bool,
    /// Key columns in key order.
    pub columns: Vec<SourceIndexColumn>,
    /// The partial index's predicate.
    pub predicate: Option<String>,
    /// The SQL as stored; none for constraints.
    pub sql: Option<String>,
}

/// One key column of an index.
#[derive(Debug, Clone)]
pub struct SourceIndexColumn {
    /// What is indexed.
    pub key: IndexKey,
    /// DESC.
    pub descending: bool,
    /// The collation if it isn't BINARY, upper case.
    pub collation: Option<String>,
}

/// What an index column indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexKey {
    /// A column.
    Column(String),
    /// The rowid.
    Rowid,
    /// An expression's SQL.
    Expression(String),
}

/// One foreign key.
#[derive(Debug, Clone)]
pub struct SourceForeignKey {
    /// The constraint's name, if it has one.
    pub name: Option<String>,
    /// Child columns.
    pub columns: Vec<String>,
    /// The parent table as written.
    pub parent: String,
    /// Parent columns as written; `None` means the parent's primary key.
    pub parent_columns: Option<Vec<String>>,
    /// `NO ACTION`, `RESTRICT`, `SET NULL`, `SET DEFAULT` or `CASCADE`.
    pub on_update: String,
    /// As `on_update`.
    pub on_delete: String,
    /// DEFERRABLE INITIALLY DEFERRED.
    pub deferred: bool,
    /// A MATCH clause other than SIMPLE was written (SQLite parses and ignores it).
    pub match_ignored: bool,
}

/// One CHECK constraint.
#[derive(Debug, Clone)]
pub struct SourceCheck {
    /// The constraint's name, if it has one.
    pub name: Option<String>,
    /// The expression's SQL without the outer parentheses.
    pub expression: String,
}
