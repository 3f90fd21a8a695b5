//! Requests and plans in their plainest form, to which a test adds what it is about.

use turso2neon::{
    model::{
        ColumnPlan, Conversion, Plan, TablePlan,
        cell::StorageClass,
        conversion_plan::{PLAN_FORMAT, RowAddress},
        overrides::UserSql,
    },
    secret::Secret,
    stages::dump::{DumpRequest, Method},
};

/// A dump of this file or URL, as without any flag.
pub(crate) fn dump_request(source: impl Into<String>) -> DumpRequest {
    DumpRequest {
        source: Secret::new(source.into()),
        token: None,
        method: Method::Auto,
        ca_file: None,
        namespace: None,
        fresh: false,
        platform: None,
        block_writes: false,
        exclude: Vec::new(),
        archive: None,
    }
}

/// A column of texts, nullable and without a default.
pub(crate) fn column(name: &str, pg_type: &str, conversion: Conversion) -> ColumnPlan {
    ColumnPlan::new(name, pg_type.parse().unwrap(), conversion, StorageClass::Text)
}

/// An empty rowid table without keys.
pub(crate) fn table(name: &str, columns: Vec<ColumnPlan>) -> TablePlan {
    TablePlan { columns, ..TablePlan::new(name, name, RowAddress::Rowid("rowid".to_owned())) }
}

/// A plan of these tables, without findings.
pub(crate) fn plan(schema: &str, tables: Vec<TablePlan>) -> Plan {
    Plan {
        format: PLAN_FORMAT,
        tool: "test".to_owned(),
        dump_sha256: String::new(),
        overrides_sha256: String::new(),
        consents: std::collections::BTreeMap::new(),
        existing_schema: None,
        weakened: Vec::new(),
        sequences: Vec::new(),
        hooks: UserSql::default(),
        schema: schema.to_owned(),
        extensions: Vec::new(),
        tables,
        views: Vec::new(),
        triggers: Vec::new(),
        objects: Vec::new(),
        findings: Vec::new(),
    }
}
