//! Writes the statements that drop an object.

use super::alter_object::{row_security, table_option};
use crate::model::{
    catalog::{CatalogObject, ObjectKind},
    identifier::{qualified, quote_ident},
};

/// The statements that drop the object. Nothing is dropped by CASCADE.
pub(super) fn statements(object: &CatalogObject) -> Vec<String> {
    let name = &object.name;
    let (own, whole) = (quote_ident(&name.name), qualified(&name.schema, &name.name));
    let table = qualified(&name.schema, &name.table);
    let sql = match name.kind {
        ObjectKind::Schema => format!("DROP SCHEMA {own}"),
        ObjectKind::Extension => format!("DROP EXTENSION {own}"),
        ObjectKind::Collation => format!("DROP COLLATION {whole}"),
        ObjectKind::Type => format!("DROP TYPE {whole}"),
        ObjectKind::Domain => format!("DROP DOMAIN {whole}"),
        // One that a column owns goes with the column.
        ObjectKind::Sequence => format!("DROP SEQUENCE IF EXISTS {whole}"),
        // The name has the types of the arguments.
        ObjectKind::Function => format!("DROP ROUTINE {}.{}", quote_ident(&name.schema), name.name),
        ObjectKind::Table => format!("DROP TABLE {whole}"),
        ObjectKind::Constraint => format!("ALTER TABLE {table} DROP CONSTRAINT {own}"),
        ObjectKind::Index => format!("DROP INDEX {whole}"),
        ObjectKind::Statistics => format!("DROP STATISTICS {whole}"),
        ObjectKind::View => format!("DROP VIEW {whole}"),
        ObjectKind::MaterializedView => format!("DROP MATERIALIZED VIEW {whole}"),
        ObjectKind::Rule => format!("DROP RULE {own} ON {table}"),
        ObjectKind::Trigger => format!("DROP TRIGGER {own} ON {table}"),
        ObjectKind::Policy => format!("DROP POLICY {own} ON {table}"),
        ObjectKind::RowSecurity => return row_security(&[], object),
        ObjectKind::TableOption => return table_option(&[], object),
    };
    vec![sql]
}

/// Whether DROP TABLE drops it too.
pub(super) fn goes_with_table(kind: ObjectKind) -> bool {
    matches!(
        kind,
        ObjectKind::Constraint
            | ObjectKind::Index
            | ObjectKind::Rule
            | ObjectKind::Trigger
            | ObjectKind::Policy
            | ObjectKind::RowSecurity
            | ObjectKind::TableOption
            | ObjectKind::Statistics
    )
}
