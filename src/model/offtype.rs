//! The ledger: the table beside the loaded ones that remembers storage classes and bytes which a PostgreSQL value no
//! longer shows. Its structure is part of what a plan promises; how its rows are made is not told here.

use super::{
    cell::StorageClass,
    column_profile::ColumnProfile,
    conversion::{BlobText, Conversion, Exceptions},
    conversion_plan::{ColumnPlan, Origin, RowAddress, TablePlan},
    pg_type::PgType,
};

/// The ledger's name.
pub const LEDGER_TABLE: &str = "_sqlite_offtype";

/// The ledger's columns and their types, in the order of its rows. All are NOT NULL.
pub const COLUMNS: [(&str, PgType); 5] = [
    ("table_name", PgType::Text),
    ("column_name", PgType::Text),
    ("row_key", PgType::Text),
    ("storage_class", PgType::Text),
    ("raw", PgType::Bytea),
];

/// The ledger as if the plan had it among its tables.
#[must_use]
pub fn plan() -> TablePlan {
    TablePlan {
        source: LEDGER_TABLE.to_owned(),
        name: LEDGER_TABLE.to_owned(),
        rows: 0,
        bytes: 0,
        address: RowAddress::Ordinal,
        columns: COLUMNS.map(column).into(),
        primary_key: None,
        uniques: Vec::new(),
        indexes: Vec::new(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        identity: None,
        rejected: 0,
    }
}

fn column((name, pg_type): (&str, PgType)) -> ColumnPlan {
    let (conversion, main_class) = if pg_type == PgType::Bytea {
        (Conversion::Bytea, StorageClass::Blob)
    } else {
        (Conversion::Text { blobs: BlobText::Hex }, StorageClass::Text)
    };
    ColumnPlan {
        source: name.to_owned(),
        name: name.to_owned(),
        declared: String::new(),
        pg_type,
        conversion,
        main_class,
        ledger: false,
        exceptions: Exceptions::default(),
        not_null: true,
        default: None,
        generated: None,
        rule: String::new(),
        origin: Origin::Rule,
        evidence: ColumnProfile::default(),
    }
}
