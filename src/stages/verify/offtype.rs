//! Compares the off-type table: which cells of the dump must be in it, and whether they are.

use std::sync::Arc;

use rusqlite::Connection;

use super::{
    Difference,
    bucket_hash::{BucketSums, bucket_count},
    canonical_row::{CanonicalRow, RowKey},
    comparison::{SideAnswer, Worker, joined},
    decimal::real_text,
    dump_scan::{cell, from},
    expected_value::{CellOutcome, ColumnReading},
    full::finish,
    progress::ScanMeter,
    row_diff::{BucketChoice, RowDifference, RowName, SuspectRows, UnmatchedRows, row_differences},
    server_scan::{SentRow, ServerScan},
    stored_text::{hexadecimal, is_text},
};
use crate::{
    error::{Result, ResultExt},
    model::{
        ColumnPlan, Conversion, TablePlan,
        cell::{SqliteCell, StorageClass},
        identifier::{qualified, quote_ident, quote_literal},
        offtype::{COLUMNS, OFFTYPE_TABLE},
    },
    postgres::Role,
    sqlite::error_map,
};

/// Compares the off-type table's rows about these tables on every side.
pub(super) async fn compare(
    worker: &mut Worker,
    tables: &Arc<Vec<TablePlan>>,
    sides: &[(Role, String)],
) -> Result<Vec<SideAnswer>> {
    let rows = tables.iter().map(|table| table.rows).sum();
    let buckets = bucket_count(rows);
    let key = RowKey::Fields(vec![0, 1, 2]);
    let expected = sum_dump(worker, tables, buckets, &key).await?;
    let mut answers = Vec::new();
    for (role, schema) in sides {
        let session = worker.session(*role).await?;
        let mut sums = BucketSums::new(buckets);
        let watch = worker.watch.clone();
        let mut meter = ScanMeter::new(&watch, None);
        let scan = scan(schema, tables, false);
        scan.run(&session, &mut meter, |image, _| sums.add(image.hash(&key))).await?;
        let differing = expected.differing(&sums);
        let mut answer = SideAnswer::equal(*role, sums.rows());
        if !differing.is_empty() {
            let choice = BucketChoice::of(&differing, buckets, COLUMNS.len());
            let (found, overflow) = second_pass(worker, tables, schema, *role, &choice, &key).await?;
            answer.differences = found.into_iter().map(|difference| name(*role, tables, difference)).collect();
            let unseen = u64::try_from(choice.left_out).unwrap_or(u64::MAX) + u64::from(overflow);
            finish(&mut answer, *role, OFFTYPE_TABLE, unseen);
        }
        answers.push(answer);
    }
    Ok(answers)
}

/// How many rows about these tables the off-type table must have.
pub(super) async fn count(worker: &mut Worker, tables: &Arc<Vec<TablePlan>>) -> Result<u64> {
    Ok(sum_dump(worker, tables, bucket_count(0), &RowKey::Row).await?.rows())
}

/// The condition on the off-type table's rows that speak of these tables.
pub(super) fn condition(tables: &[TablePlan]) -> String {
    let names: Vec<String> = tables.iter().map(|table| quote_literal(&table.name)).collect();
    format!("\"table_name\" IN ({})", names.join(", "))
}

async fn sum_dump(
    worker: &mut Worker,
    tables: &Arc<Vec<TablePlan>>,
    buckets: usize,
    key: &RowKey,
) -> Result<BucketSums> {
    let dump = worker.dump()?;
    let (tables, watch, key) = (Arc::clone(tables), worker.watch.clone(), key.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let mut sums = BucketSums::new(buckets);
        let mut meter = ScanMeter::new(&watch, None);
        expected_rows(&dump, &tables, &mut meter, |image, _| sums.add(image.hash(&key)))?;
        Ok((dump, sums))
    });
    let (dump, sums) = joined(reader).await?;
    worker.keep_dump(dump);
    Ok(sums)
}

async fn second_pass(
    worker: &mut Worker,
    tables: &Arc<Vec<TablePlan>>,
    schema: &str,
    role: Role,
    choice: &BucketChoice,
    key: &RowKey,
) -> Result<(Vec<RowDifference>, bool)> {
    let session = worker.session(role).await?;
    let watch = worker.watch.clone();
    let mut meter = ScanMeter::new(&watch, None);
    let mut actual = SuspectRows::default();
    let keep = |image: &mut CanonicalRow, row: &SentRow<'_>| {
        actual.add(choice, image, key, || sent_name(tables, row));
    };
    scan(schema, tables, true).run(&session, &mut meter, keep).await?;
    let dump = worker.dump()?;
    let (shared, chosen, key) = (Arc::clone(tables), choice.clone(), key.clone());
    let reader = tokio::task::spawn_blocking(move || {
        let mut expected = SuspectRows::default();
        let mut meter = ScanMeter::new(&watch, None);
        expected_rows(&dump, &shared, &mut meter, |image, name| expected.add(&chosen, image, &key, name))?;
        Ok((dump, expected))
    });
    let (dump, expected) = joined(reader).await?;
    worker.keep_dump(dump);
    Ok((row_differences(&expected, &actual, UnmatchedRows::Differ), expected.overflow || actual.overflow))
}

fn scan(schema: &str, tables: &[TablePlan], with_ctid: bool) -> ServerScan {
    let ctid = with_ctid.then(|| "ctid".to_owned());
    let names = COLUMNS.iter().map(|(name, _)| quote_ident(name));
    let list = ctid.into_iter().chain(names).collect::<Vec<_>>().join(", ");
    let from = qualified(schema, OFFTYPE_TABLE);
    ServerScan {
        sql: format!("COPY (SELECT {list} FROM {from} WHERE {}) TO STDOUT (FORMAT binary)", condition(tables)),
        types: COLUMNS.map(|(_, pg_type)| pg_type).into(),
        with_ctid,
    }
}

/// Names a row of the server's off-type table: by the rowid it speaks of where its table has rowids, else by its place.
fn sent_name(tables: &[TablePlan], row: &SentRow<'_>) -> RowName {
    let mut values = row.values().map(|value| String::from_utf8_lossy(value.unwrap_or_default()).into_owned());
    let (table, column) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
    let plan = tables.iter().find(|plan| plan.name == table).filter(|plan| plan.address.rowid_name().is_some());
    let rowid = plan.and_then(|_| values.next()?.parse().ok());
    let row = Box::new(rowid.map_or_else(|| row.ctid(), RowName::Rowid));
    RowName::OffType { table, column, row }
}

fn name(role: Role, tables: &[TablePlan], difference: RowDifference) -> Difference {
    let (name, what) = match difference {
        RowDifference::Missing { name, .. } => (name, "off-type row missing".to_owned()),
        RowDifference::Added { name, .. } => (name, "off-type row added".to_owned()),
        RowDifference::Changed { name, field, .. } => {
            let column = field.and_then(|field| COLUMNS.get(field)).map_or("row", |(column, _)| column);
            (name, format!("off-type row differs in {column}"))
        }
    };
    let key = Some(name.to_string());
    let (table, column) = match name {
        RowName::OffType { table, column, .. } => {
            let plan = tables.iter().find(|plan| plan.name == table);
            // A name that the plan doesn't know comes from the server's rows: it is not repeated.
            let column = plan.and_then(|plan| plan.column(&column)).map(|column| column.source.clone());
            (plan.map_or_else(|| OFFTYPE_TABLE.to_owned(), |plan| plan.source.clone()), column)
        }
        RowName::Rowid(_) | RowName::Ordinal(_) | RowName::Ctid(..) => (OFFTYPE_TABLE.to_owned(), None),
    };
    Difference { side: role.word().to_owned(), table, column, key, what }
}

/// Hands over each row that the off-type table must have.
fn expected_rows(
    dump: &Connection,
    tables: &[TablePlan],
    meter: &mut ScanMeter<'_>,
    mut each: impl FnMut(&mut CanonicalRow, &dyn Fn() -> RowName),
) -> Result<()> {
    for table in tables {
        for column in table.loaded_columns().filter(|column| column.records_off_type) {
            expected_of_column(dump, table, column, meter, &mut each).at_table(&table.source)?;
        }
    }
    meter.report()
}

fn expected_of_column(
    dump: &Connection,
    table: &TablePlan,
    column: &ColumnPlan,
    meter: &mut ScanMeter<'_>,
    each: &mut impl FnMut(&mut CanonicalRow, &dyn Fn() -> RowName),
) -> Result<()> {
    let failed = |failure: rusqlite::Error| error_map::describe("reading the dump", &failure);
    let judges: Vec<&ColumnPlan> = table.columns.iter().filter(|other| ColumnReading::of(other).rejects()).collect();
    let judgements: Vec<ColumnReading> = judges.iter().map(|judge| ColumnReading::of(judge)).collect();
    let own = ColumnReading::of(column);
    let (keys, condition) = match table.address.rowid_name() {
        Some(rowid) => (vec![format!("t.{rowid}")], off_class(column)),
        None => (key_columns(table), String::new()),
    };
    let name = |of: &ColumnPlan| format!("t.{}", quote_ident(&of.source));
    let read = std::iter::once(own.expression(&name(column)))
        .chain(judges.iter().zip(&judgements).map(|(judge, reading)| reading.expression(&name(judge))));
    let list: Vec<String> = keys.iter().cloned().chain([name(column)]).chain(read).collect();
    let list = list.join(", ");
    let mut statement = dump.prepare(&format!("SELECT {list} FROM {}{condition}", from(table))).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut image = CanonicalRow::default();
    let mut ordinal = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        ordinal += 1;
        let value = cell(row.get_ref(keys.len()).map_err(failed)?);
        image.clear();
        let outcome = own.append(&mut image, cell(row.get_ref(keys.len() + 1).map_err(failed)?));
        if !is_off_class(column, value) && outcome != CellOutcome::Nulled {
            continue;
        }
        let mut rejected = outcome == CellOutcome::Rejected;
        for (at, judgement) in judgements.iter().enumerate() {
            let other = cell(row.get_ref(keys.len() + 2 + at).map_err(failed)?);
            rejected |= judgement.append(&mut image, other) == CellOutcome::Rejected;
        }
        if rejected {
            continue;
        }
        let mut key = Vec::with_capacity(keys.len());
        for index in 0..keys.len() {
            key.push(key_text(cell(row.get_ref(index).map_err(failed)?)));
        }
        let rowid = table.address.rowid_name().and_then(|_| key.first()?.parse::<i64>().ok());
        let key = match rowid {
            Some(rowid) => rowid.to_string(),
            None if key.is_empty() => ordinal.to_string(),
            None => serde_json::Value::from(key).to_string(),
        };
        image.clear();
        for text in [&table.name, &column.name, &key, value.class().word()] {
            image.value(text.as_bytes());
        }
        raw(&mut image, value);
        meter.row(image.len())?;
        let address = rowid.map_or(RowName::Ordinal(ordinal), RowName::Rowid);
        let name = || RowName::OffType {
            table: table.name.clone(),
            column: column.name.clone(),
            row: Box::new(address.clone()),
        };
        each(&mut image, &name);
    }
    Ok(())
}

/// SQLite's condition that leaves out most of the cells that need no entry.
fn off_class(column: &ColumnPlan) -> String {
    if !column.exceptions.is_none() || holds_bad_text(column) {
        return String::new();
    }
    let name = format!("t.{}", quote_ident(&column.source));
    let zero = if column.conversion == Conversion::Numeric { format!(" OR {name} = 0.0") } else { String::new() };
    format!(" WHERE typeof({name}) NOT IN ('null', {}){zero}", quote_literal(column.main_class.word()))
}

fn holds_bad_text(column: &ColumnPlan) -> bool {
    column.conversion.replaces_text() && column.evidence.texts_not_storable() > 0
}

/// Whether a cell must be in the off-type table even if it fits: its class is not the column's, or it is the `-0.0`
/// that `numeric` forgets, or a text with invalid UTF-8 or NUL that was replaced.
fn is_off_class(column: &ColumnPlan, cell: SqliteCell<'_>) -> bool {
    match cell {
        SqliteCell::Null => false,
        SqliteCell::Real(value) if value == 0.0 && value.is_sign_negative() => {
            column.conversion == Conversion::Numeric || column.main_class != StorageClass::Real
        }
        SqliteCell::Text(bytes) if column.conversion.replaces_text() && !is_text(bytes) => true,
        other => other.class() != column.main_class,
    }
}

/// The primary key's columns of a table without rowid, in key order; none if the plan has no key that addresses rows.
fn key_columns(table: &TablePlan) -> Vec<String> {
    let source = |name: &String| Some(format!("t.{}", quote_ident(&table.column(name)?.source)));
    let key = table.primary_key.iter().flat_map(|key| &key.columns);
    key.map(source).collect::<Option<_>>().unwrap_or_default()
}

fn key_text(cell: SqliteCell<'_>) -> String {
    match cell {
        SqliteCell::Null => String::new(),
        SqliteCell::Integer(value) => value.to_string(),
        SqliteCell::Real(value) => real_text(value),
        SqliteCell::Text(bytes) if is_text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => hexadecimal(bytes),
    }
}

fn raw(image: &mut CanonicalRow, cell: SqliteCell<'_>) {
    match cell {
        SqliteCell::Null => image.null(),
        SqliteCell::Integer(value) => image.value(&value.to_be_bytes()),
        SqliteCell::Real(value) => image.value(&value.to_bits().to_be_bytes()),
        SqliteCell::Text(bytes) | SqliteCell::Blob(bytes) => image.value(bytes),
    }
}
