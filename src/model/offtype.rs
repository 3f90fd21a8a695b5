//! Defines the off-type table, which records storage classes and bytes which a PostgreSQL value no longer shows. Its
//! structure is part of what a plan promises; how its rows are made is not described here.

use super::{
    cell::StorageClass,
    conversion::{BlobText, Conversion},
    conversion_plan::{ColumnPlan, RowAddress, TablePlan},
    pg_type::PgType,
};

/// The off-type table's name.
pub const OFFTYPE_TABLE: &str = "_sqlite_offtype";

/// The off-type table's columns and their types, in the order of its rows. All are NOT NULL.
pub const COLUMNS: [(&str, PgType); 5] = [
    ("table_name", PgType::Text),
    ("column_name", PgType::Text),
    ("row_key", PgType::Text),
    ("storage_class", PgType::Text),
    ("raw", PgType::Bytea),
];

/// The off-type table as if the plan had it among its tables.
#[must_use]
pub fn plan() -> TablePlan {
    let columns = COLUMNS.map(column).into();
    TablePlan { columns, ..TablePlan::new(OFFTYPE_TABLE, OFFTYPE_TABLE, RowAddress::Ordinal) }
}

fn column((name, pg_type): (&str, PgType)) -> ColumnPlan {
    let (conversion, main_class) = if pg_type == PgType::Bytea {
        (Conversion::Bytea, StorageClass::Blob)
    } else {
        (Conversion::Text { blobs: BlobText::Hex }, StorageClass::Text)
    };
    ColumnPlan { not_null: true, ..ColumnPlan::new(name, pg_type, conversion, main_class) }
}
