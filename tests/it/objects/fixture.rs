//! A SQLite schema with rows, planned with the plainest types that hold them, and created on PostgreSQL in the order
//! of a load.

use std::{collections::BTreeMap, fmt::Write as _};

use rusqlite::{
    Connection,
    types::{Value, ValueRef},
};
use turso2neon::{
    model::{
        ColumnPlan, Conversion, Finding, FindingCode, PgType, TablePlan,
        cell::StorageClass,
        column_profile::ColumnProfile,
        conversion_plan::{BlobText, ObjectPlan, Outcome, RowAddress},
        identifier::quote_ident,
        overrides::Identifiers,
        source_schema::{Affinity, SourceColumn, SourceTable},
    },
    rules::{
        constraints::{self, Carried},
        datetime::parse_date,
        ddl,
        identifiers::{self, Namespace},
    },
    sqlite::{catalog, constraint_stats},
};

use crate::{
    expressions::fixture::{evidence, pg_value},
    support::{Target, plan_builder},
};

/// A planned schema.
pub(super) struct Planned {
    pub(super) tables: Vec<TablePlan>,
    pub(super) carried: Carried,
    rows: BTreeMap<String, Vec<Vec<Value>>>,
}

impl Planned {
    /// Of what this script makes.
    pub(super) fn of(script: &str) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("PRAGMA foreign_keys=off; PRAGMA ignore_check_constraints=on").unwrap();
        connection.execute_batch(script).unwrap();
        Self::read(&connection, |_| true)
    }

    /// Of an open file, without the tables that `wanted` refuses.
    pub(super) fn read(connection: &Connection, wanted: impl Fn(&str) -> bool) -> Self {
        let schema = catalog::read(connection).unwrap();
        let facts = constraint_stats::read(connection, &schema).unwrap();
        let mut namespace = Namespace::new(Identifiers::Preserve);
        let mut rows = BTreeMap::new();
        let mut tables = Vec::new();
        for source in schema.tables.iter().filter(|source| wanted(&source.name)) {
            let values = values(connection, source);
            tables.push(plan(source, &values, namespace.relation(&source.name).name));
            rows.insert(source.name.clone(), values);
        }
        for view in &schema.views {
            namespace.relation(&view.name);
        }
        let carried = constraints::carry(&schema, &schema, &facts, &mut namespace, &mut tables);
        Self { tables, carried, rows }
    }

    pub(super) fn table(&self, source: &str) -> &TablePlan {
        self.tables.iter().find(|table| table.source == source).unwrap()
    }

    pub(super) fn column(&self, table: &str, column: &str) -> &ColumnPlan {
        self.table(table).columns.iter().find(|found| found.source == column).unwrap()
    }

    pub(super) fn object(&self, kind: &str, source: &str) -> &ObjectPlan {
        let found = self.carried.objects.iter().find(|object| object.kind == kind && object.source == source);
        found.unwrap_or_else(|| panic!("no {kind} {source} in {:#?}", self.carried.objects))
    }

    pub(super) fn outcome(&self, kind: &str, source: &str) -> Outcome {
        self.object(kind, source).outcome
    }

    pub(super) fn finding(&self, code: FindingCode) -> &Finding {
        let found = self.carried.findings.iter().find(|finding| finding.code == code);
        found.unwrap_or_else(|| panic!("no {code:?} in {:#?}", self.carried.findings))
    }

    pub(super) fn has(&self, code: FindingCode) -> bool {
        self.carried.findings.iter().any(|finding| finding.code == code)
    }

    /// Creates tables, rows, keys, indexes, checks, foreign keys, defaults and sequences; stops the test at the first
    /// statement that PostgreSQL refuses.
    pub(super) fn create(&self, target: &Target, with_rows: bool) {
        let each = |make: &dyn Fn(&TablePlan) -> Vec<ddl::Statement>| {
            self.tables.iter().flat_map(make).map(|statement| statement.sql + ";\n").collect::<String>()
        };
        let mut script = "SET timezone = 'Asia/Tokyo';\n".to_owned();
        script.push_str(&each(&|table| vec![ddl::create_table("public", table)]));
        if with_rows {
            self.tables.iter().for_each(|table| self.insert(table, &mut script));
        }
        for part in [ddl::keys, ddl::indexes, ddl::checks, ddl::foreign_keys, ddl::validations, ddl::defaults] {
            script.push_str(&each(&|table| part("public", table)));
        }
        script.push_str(&each(&|table| ddl::sequence("public", table).into_iter().collect()));
        target.query(&script);
    }

    fn insert(&self, table: &TablePlan, script: &mut String) {
        for row in &self.rows[&table.source] {
            let values: Vec<String> =
                table.columns.iter().zip(row).map(|(column, value)| pg_value(column, value)).collect();
            let name = quote_ident(&table.name);
            writeln!(script, "INSERT INTO {name} OVERRIDING SYSTEM VALUE VALUES ({});", values.join(", ")).unwrap();
        }
    }
}

fn values(connection: &Connection, source: &SourceTable) -> Vec<Vec<Value>> {
    let columns: Vec<String> = visible(source).map(|column| format!("t.{}", quote_ident(&column.name))).collect();
    let sql = format!("SELECT {} FROM {} AS t", columns.join(", "), quote_ident(&source.name));
    let mut statement = connection.prepare(&sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let cell = |index| match row.get_ref(index).unwrap() {
            ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            other => Value::from(other),
        };
        found.push((0..columns.len()).map(cell).collect());
    }
    found
}

fn visible(source: &SourceTable) -> impl Iterator<Item = &SourceColumn> {
    source.columns.iter().filter(|column| !column.hidden)
}

fn plan(source: &SourceTable, rows: &[Vec<Value>], name: String) -> TablePlan {
    let wanted: Vec<&str> = visible(source).map(|column| column.name.as_str()).collect();
    let names = identifiers::columns(&wanted, Identifiers::Preserve);
    let columns = visible(source).zip(names).enumerate().map(|(index, (column, name))| {
        let values: Vec<Value> = rows.iter().map(|row| row[index].clone()).collect();
        column_plan(column, name.name, &values)
    });
    TablePlan {
        source: source.name.clone(),
        name,
        rows: rows.len() as u64,
        bytes: 0,
        address: source.rowid_name.clone().map_or(RowAddress::PrimaryKey, RowAddress::Rowid),
        columns: columns.collect(),
        primary_key: None,
        uniques: Vec::new(),
        indexes: Vec::new(),
        checks: Vec::new(),
        foreign_keys: Vec::new(),
        identity: None,
        rejected: 0,
    }
}

/// The plainest type: what the storage classes ask for, and the declared type where it decides.
fn column_plan(column: &SourceColumn, name: String, values: &[Value]) -> ColumnPlan {
    let evidence = evidence(values);
    let (pg_type, conversion) = choose(column, values, &evidence);
    ColumnPlan {
        name,
        declared: column.declared.clone(),
        pg_type,
        evidence,
        ..plan_builder::column(&column.name, "text", conversion)
    }
}

fn choose(column: &SourceColumn, values: &[Value], evidence: &ColumnProfile) -> (PgType, Conversion) {
    let declared = column.declared.to_ascii_uppercase();
    let text = (PgType::Text, Conversion::Text { blobs: BlobText::Hex });
    let bits = evidence.integer_range.is_none_or(|(least, most)| least >= 0 && most <= 1);
    let dates = values.iter().all(|value| match value {
        Value::Text(text) => parse_date(text.as_bytes()).is_some(),
        _ => true,
    });
    let known = declared.as_str();
    match evidence.classes().as_slice() {
        [] | [StorageClass::Integer] if known.starts_with("BOOL") && bits => {
            (PgType::Boolean, Conversion::IntegerBoolean)
        }
        [] | [StorageClass::Text] if known == "DATE" && dates => (PgType::Date, Conversion::Date),
        [] | [StorageClass::Text] if known.starts_with("JSON") => (PgType::Jsonb, Conversion::Json),
        [] if known == "DATETIME" || known == "TIMESTAMP" => (PgType::Timestamp, Conversion::Timestamp),
        [] if known == "BLOB" => (PgType::Bytea, Conversion::Bytea),
        [] if known == "UUID" => (PgType::Uuid, Conversion::UuidText),
        [] => match column.affinity {
            Affinity::Integer => (PgType::BigInt, Conversion::Integer),
            Affinity::Real => (PgType::Double, Conversion::Double),
            Affinity::Numeric => (PgType::Numeric(None), Conversion::Numeric),
            Affinity::Text | Affinity::Blob => text,
        },
        [StorageClass::Integer] => (PgType::BigInt, Conversion::Integer),
        [StorageClass::Real] if column.affinity == Affinity::Real => (PgType::Double, Conversion::Double),
        [StorageClass::Integer, StorageClass::Real] | [StorageClass::Real] => {
            (PgType::Numeric(None), Conversion::Numeric)
        }
        [StorageClass::Blob] => (PgType::Bytea, Conversion::Bytea),
        _ => text,
    }
}
