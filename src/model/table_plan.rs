//! Defines the plan of one table: its columns with their types and conversions, and its constraints.

use serde::{Deserialize, Serialize};

use super::{
    cell::StorageClass,
    column_profile::ColumnProfile,
    constraint::{CheckPlan, ForeignKeyPlan, IdentityKind, IdentityPlan, IndexPlan, KeyPlan},
    conversion::{Conversion, Exceptions},
    identifier::{quote_ident, quote_list},
    pg_column_type::PgColumnType,
    pg_type::PgType,
};

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
    /// How many of `rows` are left out, because a column with [`OffType::Reject`](super::conversion::OffType::Reject)
    /// has a cell that its conversion doesn't take. They are in `convert/rejects.jsonl`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rejected: u64,
}

/// For serde, which wants a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl TablePlan {
    /// A table without rows, columns and constraints.
    pub fn new(source: impl Into<String>, name: impl Into<String>, address: RowAddress) -> Self {
        Self {
            source: source.into(),
            name: name.into(),
            rows: 0,
            bytes: 0,
            address,
            columns: Vec::new(),
            primary_key: None,
            uniques: Vec::new(),
            indexes: Vec::new(),
            checks: Vec::new(),
            foreign_keys: Vec::new(),
            identity: None,
            rejected: 0,
        }
    }

    /// Columns whose values come from the source (generated ones are computed by PostgreSQL).
    pub fn loaded_columns(&self) -> impl Iterator<Item = &ColumnPlan> {
        self.columns.iter().filter(|column| column.generated.is_none() && column.conversion != Conversion::Absent)
    }

    /// Columns whose values a push sends from one server to another. The target computes generated columns, and it puts
    /// the default into those that the source lacks: only there a value such as `gen_random_uuid()` is made, once.
    /// Without any column of the source, what the local PostgreSQL has is sent.
    pub fn pushed_columns(&self) -> impl Iterator<Item = &ColumnPlan> {
        let is_of_source = self.address != RowAddress::Absent;
        let is_left = move |column: &&ColumnPlan| is_of_source && column.conversion == Conversion::Absent;
        self.columns.iter().filter(move |column| column.generated.is_none() && !is_left(column))
    }

    /// Whether the target makes values of its own, in columns that the source lacks.
    #[must_use]
    pub fn has_own_values(&self) -> bool {
        let has_absent = self.columns.iter().any(|column| column.conversion == Conversion::Absent);
        self.address != RowAddress::Absent && has_absent
    }

    /// Columns whose values are equal on the dump's side and on the target: without those in which the target has values
    /// of its own, and then without generated ones, which may depend on them.
    #[must_use]
    pub fn compared_columns(&self) -> Vec<&ColumnPlan> {
        if self.has_own_values() { self.pushed_columns().collect() } else { self.columns.iter().collect() }
    }

    /// Whether this is an identity column, which takes no NULL.
    #[must_use]
    pub fn is_identity(&self, column: &str) -> bool {
        let identity = self.identity.as_ref().filter(|identity| identity.column == column);
        identity.is_some_and(|identity| identity.kind != IdentityKind::Serial)
    }

    /// Whether any column sends cells to the off-type table.
    #[must_use]
    pub fn has_offtype_cells(&self) -> bool {
        self.loaded_columns().any(|column| column.records_off_type)
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

    /// As [`Self::source_query`], from the rowid `?1` on in the order of rowids. Only for tables with a rowid.
    #[must_use]
    pub fn source_query_from_rowid(&self) -> Option<String> {
        let rowid = self.address.rowid_name()?;
        Some(self.source_query_where(&format!(" WHERE t.{rowid} >= ?1 ORDER BY t.{rowid}")))
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

    /// Whether a column is loaded through PostgreSQL's own text input.
    #[must_use]
    pub fn has_text_input(&self) -> bool {
        self.loaded_columns().any(ColumnPlan::by_text_input)
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
    /// The storage class that the PostgreSQL value stands for when the off-type table doesn't say otherwise.
    pub main_class: StorageClass,
    /// Whether non-NULL cells of another class than `main_class` are written to
    /// [`OFFTYPE_TABLE`](super::offtype::OFFTYPE_TABLE). An off-type row holds the PostgreSQL table and column name, the
    /// row's key, the class's word, and the raw value: TEXT and BLOB as their bytes, INTEGER as 8 bytes big-endian,
    /// REAL as its 8 IEEE bytes big-endian. The key is the rowid in decimal where the source has one, else a JSON array
    /// of the planned primary key's cells, each as text the way `Conversion::Text` with `BlobText::Hex` writes it (a
    /// text that PostgreSQL can't hold as a blob), else the row's position from 1. Whatever `main_class` is, these are
    /// written too: a `-0.0` in a column of `Conversion::Numeric`, a TEXT that `Conversion::Text` had to change, a cell
    /// that became NULL by `exceptions`.
    #[serde(default)]
    #[serde(rename = "ledger")]
    pub records_off_type: bool,
    /// What becomes of cells that the conversion doesn't take.
    #[serde(default, skip_serializing_if = "Exceptions::is_none")]
    pub exceptions: Exceptions,
    /// The labels of the enumerated type, where a value that is none of them is an exception.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
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

impl ColumnPlan {
    /// A column that may be NULL, by the rules, of whose values nothing is known.
    pub fn new(name: impl Into<String>, pg_type: PgType, conversion: Conversion, main_class: StorageClass) -> Self {
        let name = name.into();
        Self {
            source: name.clone(),
            name,
            declared: String::new(),
            pg_type,
            conversion,
            main_class,
            records_off_type: false,
            exceptions: Exceptions::default(),
            labels: Vec::new(),
            not_null: false,
            default: None,
            generated: None,
            rule: String::new(),
            origin: Origin::Rule,
            evidence: ColumnProfile::default(),
        }
    }

    /// Whether the column is loaded as text that PostgreSQL's own input function of the type reads. Such a value is
    /// compared by the text that PostgreSQL prints of it.
    #[must_use]
    pub fn by_text_input(&self) -> bool {
        matches!(self.conversion, Conversion::ExistingType(_)) && PgColumnType::of(&self.pg_type).by_text_input()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> ColumnPlan {
        let column = ColumnPlan::new(name.to_lowercase(), PgType::BigInt, Conversion::Integer, StorageClass::Integer);
        ColumnPlan { source: name.to_owned(), ..column }
    }

    #[test]
    fn queries_name_every_loaded_column_once() {
        let mut generated = column("G");
        generated.generated = Some("1".to_owned());
        let columns = vec![column("A"), generated, column("B")];
        let address = RowAddress::Rowid("_rowid_".to_owned());
        let table = TablePlan { columns, ..TablePlan::new("T", "t", address) };
        assert_eq!(table.source_query(), r#"SELECT t._rowid_, t."A", t."B" FROM "T" AS t NOT INDEXED"#);
        assert_eq!(table.copy_columns(), r#""a", "b""#);
    }

    #[test]
    fn columns_that_the_source_lacks_are_neither_pushed_nor_compared() {
        let mut absent = column("N");
        absent.conversion = Conversion::Absent;
        let mut generated = column("G");
        generated.generated = Some("n + 1".to_owned());
        let names = |columns: Vec<&ColumnPlan>| columns.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        let columns = vec![column("A"), absent, generated];
        let address = RowAddress::Rowid("rowid".to_owned());
        let mut table = TablePlan { columns, ..TablePlan::new("T", "t", address) };
        assert_eq!(names(table.pushed_columns().collect()), ["a"]);
        assert_eq!(names(table.compared_columns()), ["a"]);
        table.columns.remove(1);
        assert_eq!(names(table.compared_columns()), ["a", "g"]);
    }
}
