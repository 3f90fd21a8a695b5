//! The plan: every decision about every table, column and object. Written by `plan`, obeyed by `convert`, `push`
//! and `verify`.
//!
//! Two names everywhere: `source` is SQLite's spelling, `name` is PostgreSQL's. All SQL fragments in here are
//! PostgreSQL's, use quoted names, and name no schema.

use serde::{Deserialize, Serialize};

use super::{
    cell::StorageClass,
    column_profile::ColumnProfile,
    existing_schema::GivenSchema,
    finding::{Finding, FindingCode},
    identifier::{quote_ident, quote_list},
    overrides::Hooks,
    pg_type::PgType,
    view_trigger_plan::{TriggerPlan, ViewPlan},
};

pub use super::conversion::{BlobText, Conversion, EpochUnit, Exceptions, OffType, Reckoning, VectorEncoding};
pub use super::offtype::LEDGER_TABLE;

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<Box<GivenSchema>>,
    /// SQL of the user's that runs beside the tables.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
}

impl Plan {
    /// Findings that still need a decision.
    pub fn blocking(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.blocks())
    }

    /// Whether any column sends cells to the ledger table.
    #[must_use]
    pub fn has_ledger(&self) -> bool {
        self.tables.iter().any(TablePlan::has_ledger)
    }

    /// The table of this source name.
    #[must_use]
    pub fn table(&self, source: &str) -> Option<&TablePlan> {
        self.tables.iter().find(|table| table.source == source)
    }

    /// Findings with this code.
    pub fn with_code(&self, code: FindingCode) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.code == code)
    }
}

/// One table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TablePlan {
    /// SQLite's name.
    pub source: String,
    /// PostgreSQL's name.
    pub name: String,
    /// Rows in the dump.
    pub rows: u64,
    /// Estimated bytes of all values, from the profile.
    pub bytes: u64,
    /// How a row is addressed in the source.
    pub address: RowAddress,
    /// Columns in PostgreSQL's order.
    pub columns: Vec<ColumnPlan>,
    /// The primary key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_key: Option<KeyPlan>,
    /// UNIQUE constraints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uniques: Vec<KeyPlan>,
    /// Other indexes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<IndexPlan>,
    /// CHECK constraints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckPlan>,
    /// Foreign keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub foreign_keys: Vec<ForeignKeyPlan>,
    /// The identity column's sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityPlan>,
    /// How many of `rows` are left out, because a column with [`OffType::Reject`] has a cell that its conversion
    /// doesn't take. They are in `convert/rejects.jsonl`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rejected: u64,
}

/// For serde, which wants a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl TablePlan {
    /// Columns whose values come from the source (generated ones are computed by PostgreSQL).
    pub fn loaded_columns(&self) -> impl Iterator<Item = &ColumnPlan> {
        self.columns.iter().filter(|column| column.generated.is_none() && column.conversion != Conversion::Absent)
    }

    /// The PostgreSQL column list of everything that one server can send to another.
    #[must_use]
    pub fn stored_columns(&self) -> String {
        let stored = self.columns.iter().filter(|column| column.generated.is_none());
        quote_list(stored.map(|column| column.name.as_str()))
    }

    /// Whether any column sends cells to the ledger table.
    #[must_use]
    pub fn has_ledger(&self) -> bool {
        self.loaded_columns().any(|column| column.ledger)
    }

    /// Rows that PostgreSQL gets: those of the dump without the rejected ones.
    #[must_use]
    pub const fn loaded_rows(&self) -> u64 {
        self.rows.saturating_sub(self.rejected)
    }

    /// The column of this PostgreSQL name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnPlan> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The SQLite query that reads the loaded columns of every row, preceded by the rowid where there is one.
    ///
    /// Columns are qualified because an unknown `"name"` alone is a string in SQLite. `NOT INDEXED` keeps an index
    /// of a module that can't be read (libSQL's vector index) from answering for the table.
    #[must_use]
    pub fn source_query(&self) -> String {
        self.source_query_where("")
    }

    /// As [`Self::source_query`], for rowids between `?1` and `?2`, both included. Only for tables with a rowid.
    #[must_use]
    pub fn source_range_query(&self) -> Option<String> {
        let rowid = self.address.rowid_name()?;
        Some(self.source_query_where(&format!(" WHERE t.{rowid} BETWEEN ?1 AND ?2 ORDER BY t.{rowid}")))
    }

    fn source_query_where(&self, condition: &str) -> String {
        if self.address == RowAddress::Absent {
            return "SELECT NULL WHERE false".to_owned();
        }
        let rowid = self.address.rowid_name().map(|name| format!("t.{name}"));
        let columns = self.loaded_columns().map(|column| format!("t.{}", quote_ident(&column.source)));
        let list = rowid.into_iter().chain(columns).collect::<Vec<_>>().join(", ");
        let hint = if self.address == RowAddress::Ordinal { "" } else { " NOT INDEXED" };
        format!("SELECT {list} FROM {} AS t{hint}{condition}", quote_ident(&self.source))
    }

    /// The PostgreSQL column list of [`Self::source_query`] without the rowid.
    #[must_use]
    pub fn copy_columns(&self) -> String {
        quote_list(self.loaded_columns().map(|column| column.name.as_str()))
    }
}

/// How a row of the source is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by", content = "name")]
pub enum RowAddress {
    /// By rowid, through this name (`rowid`, `_rowid_` or `oid`).
    Rowid(String),
    /// By primary key: a WITHOUT ROWID table. Addresses in findings are ordinals in key order, from 1.
    PrimaryKey,
    /// Only by position: a virtual table without usable rowid.
    Ordinal,
    /// The source has no such table: it is created empty.
    Absent,
}

impl RowAddress {
    /// The name under which the rowid can be selected.
    #[must_use]
    pub fn rowid_name(&self) -> Option<&str> {
        match self {
            Self::Rowid(name) => Some(name),
            Self::PrimaryKey | Self::Ordinal | Self::Absent => None,
        }
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnPlan {
    /// SQLite's name.
    pub source: String,
    /// PostgreSQL's name.
    pub name: String,
    /// SQLite's declared type, verbatim.
    pub declared: String,
    /// The chosen type.
    #[serde(rename = "type")]
    pub pg_type: PgType,
    /// How a cell becomes a value of that type.
    pub conversion: Conversion,
    /// The storage class that the PostgreSQL value stands for when the ledger doesn't say otherwise.
    pub main_class: StorageClass,
    /// Whether non-NULL cells of another class than `main_class` are written to [`LEDGER_TABLE`]. A ledger row holds
    /// the PostgreSQL table and column name, the row's key, the class's word, and the raw value: TEXT and BLOB as their
    /// bytes, INTEGER as 8 bytes big-endian, REAL as its 8 IEEE bytes big-endian. The key is the rowid in decimal where
    /// the source has one, else a JSON array of the planned primary key's cells, each as text the way
    /// `Conversion::Text` with `BlobText::Hex` writes it (a text that PostgreSQL can't hold as a blob), else the row's
    /// position from 1. Whatever `main_class` is, these are written too: a `-0.0` in a column of
    /// `Conversion::Numeric`, a TEXT that `Conversion::Text` had to change, a cell that became NULL by `exceptions`.
    #[serde(default)]
    pub ledger: bool,
    /// What becomes of cells that the conversion doesn't take.
    #[serde(default, skip_serializing_if = "Exceptions::is_none")]
    pub exceptions: Exceptions,
    /// NOT NULL.
    #[serde(default)]
    pub not_null: bool,
    /// DEFAULT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// GENERATED ALWAYS AS (...) STORED. Such a column is not loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated: Option<String>,
    /// The rule that chose the type, as a sentence.
    pub rule: String,
    /// Who decided: the rules or the configuration.
    pub origin: Origin,
    /// What the values are.
    pub evidence: ColumnProfile,
}

/// Who decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The rules of docs/conversion-rules.md.
    Rule,
    /// `turso2neon.toml`.
    Override,
}

/// A key of one table; names are PostgreSQL's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPlan {
    /// The constraint's name.
    pub name: String,
    /// Columns in key order.
    pub columns: Vec<String>,
}

/// An index. Unique with the access method `hash` is an exclusion constraint with the operator `=`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexPlan {
    /// Its name.
    pub name: String,
    /// SQLite's name.
    pub source: String,
    /// UNIQUE.
    pub unique: bool,
    /// The access method: `btree`, `hash`, `hnsw`.
    pub method: String,
    /// Each key part as it stands in the parentheses, such as `"a" DESC NULLS LAST`.
    pub keys: Vec<String>,
    /// The predicate of a partial index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub predicate: Option<String>,
}

impl IndexPlan {
    /// Whether it is the index of an exclusion constraint: PostgreSQL has no unique hash indexes.
    #[must_use]
    pub fn is_exclusion(&self) -> bool {
        self.unique && self.method == "hash"
    }
}

/// A CHECK constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckPlan {
    /// The constraint's name.
    pub name: String,
    /// The condition without the outer parentheses.
    pub expression: String,
    /// Rows of the source break it: it guards new rows only.
    #[serde(default)]
    pub not_valid: bool,
}

/// A foreign key; names are PostgreSQL's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignKeyPlan {
    /// The constraint's name.
    pub name: String,
    /// Child columns.
    pub columns: Vec<String>,
    /// The parent table.
    pub parent: String,
    /// Parent columns.
    pub parent_columns: Vec<String>,
    /// The action, as in SQL.
    pub on_update: String,
    /// The action, as in SQL.
    pub on_delete: String,
    /// DEFERRABLE INITIALLY DEFERRED.
    #[serde(default)]
    pub deferred: bool,
    /// Rows of the source break it: it guards new rows only.
    #[serde(default)]
    pub not_valid: bool,
}

/// The sequence behind an identity column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityPlan {
    /// The column.
    pub column: String,
    /// The sequence's name.
    pub sequence: String,
    /// The value that the next insert gets: past the highest key and past `sqlite_sequence`. `None` when the highest
    /// key is 2^63-1, so that no number is left.
    pub next: Option<i64>,
    /// How the column is tied to its sequence.
    #[serde(default, skip_serializing_if = "IdentityKind::is_by_default")]
    pub kind: IdentityKind,
}

/// How a column is tied to its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityKind {
    /// `GENERATED BY DEFAULT AS IDENTITY`.
    #[default]
    ByDefault,
    /// `GENERATED ALWAYS AS IDENTITY`.
    Always,
    /// A sequence that the column owns, and its next number as the default, as `serial` makes it.
    Serial,
}

impl IdentityKind {
    /// Whether it is the usual kind, which `plan.json` leaves out.
    #[must_use]
    pub const fn is_by_default(&self) -> bool {
        matches!(self, Self::ByDefault)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> ColumnPlan {
        ColumnPlan {
            source: name.to_owned(),
            name: name.to_lowercase(),
            declared: String::new(),
            pg_type: PgType::BigInt,
            conversion: Conversion::Integer,
            main_class: StorageClass::Integer,
            ledger: false,
            exceptions: Exceptions::default(),
            not_null: false,
            default: None,
            generated: None,
            rule: String::new(),
            origin: Origin::Rule,
            evidence: ColumnProfile::default(),
        }
    }

    #[test]
    fn queries_name_every_loaded_column_once() {
        let mut generated = column("G");
        generated.generated = Some("1".to_owned());
        let table = TablePlan {
            source: "T".to_owned(),
            name: "t".to_owned(),
            rows: 0,
            bytes: 0,
            address: RowAddress::Rowid("_rowid_".to_owned()),
            columns: vec![column("A"), generated, column("B")],
            primary_key: None,
            uniques: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            identity: None,
            rejected: 0,
        };
        assert_eq!(table.source_query(), r#"SELECT t._rowid_, t."A", t."B" FROM "T" AS t NOT INDEXED"#);
        assert_eq!(table.copy_columns(), r#""a", "b""#);
    }

    #[test]
    fn a_conversion_reads_back_its_json() {
        for conversion in [
            Conversion::Text { blobs: BlobText::Utf8OrHex },
            Conversion::Epoch { unit: EpochUnit::Milliseconds },
            Conversion::Reckoned { by: Reckoning::CoreData },
            Conversion::SqliteJsonb,
            Conversion::Vector { encoding: VectorEncoding::F1Bit },
        ] {
            let json = serde_json::to_string(&conversion).unwrap();
            assert_eq!(serde_json::from_str::<Conversion>(&json).unwrap(), conversion);
        }
    }
}
