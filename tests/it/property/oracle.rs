//! Converts back to SQLite, independent of the tool's code: PostgreSQL's text of a value, and the off-type table's raw
//! bytes where there are any, put into a SQLite table of the same declaration. SQLite's own affinity does the rest.

use std::{collections::BTreeMap, path::Path};

use rusqlite::{
    Connection,
    types::{Value, ValueRef},
};
use turso2neon::model::{
    ColumnPlan, Conversion, Plan, TablePlan,
    cell::StorageClass,
    conversion_plan::{EpochUnit, OFFTYPE_TABLE, RowAddress},
    identifier::{quote_ident, quote_literal},
};

use crate::support::Target;

/// A row's cells as SQLite has them: class and bytes.
type Cell = (&'static str, Vec<u8>);

/// Rows by the text of their key.
type Rows = BTreeMap<String, Vec<Cell>>;

/// Says what differs, if anything.
pub(super) fn compare(source: &Path, plan: &Plan, target: &Target) -> Result<(), String> {
    let original = Connection::open(source).unwrap();
    let copy = Connection::open_in_memory().unwrap();
    let encoding: String = original.query_row("PRAGMA encoding", [], |row| row.get(0)).unwrap();
    copy.execute_batch(&format!("PRAGMA encoding = '{encoding}'; PRAGMA foreign_keys=off")).unwrap();
    let offtype = offtype(plan, target);
    for table in &plan.tables {
        let sql: String = original
            .query_row("SELECT sql FROM sqlite_schema WHERE name = ?1 AND type = 'table'", [&table.source], |row| {
                row.get(0)
            })
            .unwrap();
        copy.execute_batch(&sql).unwrap();
        judge_respelled(&original, table, target)?;
        rebuild(&original, &copy, table, target, &offtype)?;
        let (before, after) = (rows(&original, table), rows(&copy, table));
        if before.len() != after.len() {
            return Err(format!("{}: {} rows became {}", table.source, before.len(), after.len()));
        }
        for (key, cells) in &before {
            let Some(rebuilt) = after.get(key) else { return Err(format!("{} has lost {key}", table.source)) };
            for (at, (one, other)) in cells.iter().zip(rebuilt).enumerate() {
                if one != other {
                    let column = &table.columns[at];
                    return Err(format!(
                        "{}.{} [{key}]: {} {} became {} {} ({} {:?} main {:?} off-type {})",
                        table.source,
                        column.source,
                        one.0,
                        String::from_utf8_lossy(&one.1),
                        other.0,
                        String::from_utf8_lossy(&other.1),
                        column.pg_type,
                        column.conversion,
                        column.main_class,
                        column.records_off_type
                    ));
                }
            }
        }
    }
    Ok(())
}

/// `(table, column, row)` to the class and the raw bytes.
fn offtype(plan: &Plan, target: &Target) -> BTreeMap<(String, String, String), (String, Vec<u8>)> {
    if !plan.has_offtype_cells() {
        return BTreeMap::new();
    }
    let sql = format!("SELECT table_name, column_name, row_key, storage_class, raw FROM public.{OFFTYPE_TABLE}");
    let text = |cell: &Option<String>| cell.clone().unwrap();
    target
        .query(&sql)
        .iter()
        .map(|row| ((text(&row[0]), text(&row[1]), text(&row[2])), (text(&row[3]), unhex(&text(&row[4])))))
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let Some(digits) = text.strip_prefix("\\x").map(str::as_bytes) else { panic!("{text} doesn't begin with \\x") };
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Conversions that keep the value but not its spelling: PostgreSQL says whether the value is the same.
fn is_respelled(column: &ColumnPlan) -> bool {
    match column.conversion {
        Conversion::Timestamp
        | Conversion::TimestampTz
        | Conversion::Time
        | Conversion::UuidText
        | Conversion::WordBoolean => true,
        Conversion::Json => column.pg_type.to_string() == "jsonb",
        _ => false,
    }
}

/// The columns that identify the rows, by the names on both sides.
fn key(table: &TablePlan) -> Vec<&ColumnPlan> {
    table.columns.iter().filter(|column| ["id", "id2"].contains(&column.source.as_str())).collect()
}

fn judge_respelled(original: &Connection, table: &TablePlan, target: &Target) -> Result<(), String> {
    for column in table.columns.iter().filter(|column| is_respelled(column)) {
        let keys: Vec<String> =
            key(table).iter().map(|key| format!("CAST(t.{} AS TEXT)", quote_ident(&key.source))).collect();
        let sql = format!(
            "SELECT {}, t.{} FROM {} AS t",
            keys.join(" || ' ' || "),
            quote_ident(&column.source),
            quote_ident(&table.source)
        );
        let mut statement = original.prepare(&sql).unwrap();
        let pairs = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, spelled(row.get_ref(1)?)))).unwrap();
        let literals: Vec<String> = pairs
            .map(Result::unwrap)
            .map(|(key, value)| {
                let value = value.map_or_else(|| "NULL".to_owned(), |value| quote_literal(&value));
                format!("({}, {value}::{})", quote_literal(&key), column.pg_type)
            })
            .collect();
        if literals.is_empty() {
            continue;
        }
        let pg_keys: Vec<String> = key(table).iter().map(|key| format!("t.{}::text", quote_ident(&key.name))).collect();
        let sql = format!(
            "SET timezone = 'UTC'; SELECT v.k FROM (VALUES {}) v(k, v) LEFT JOIN public.{} t ON {} = v.k \
             WHERE t.{} IS DISTINCT FROM v.v OR t.tableoid IS NULL",
            literals.join(", "),
            quote_ident(&table.name),
            pg_keys.join(" || ' ' || "),
            quote_ident(&column.name)
        );
        match target.try_query(&sql) {
            Ok(different) if different.is_empty() => {}
            Ok(different) => return Err(format!("{}.{} differs at {different:?}", table.source, column.source)),
            Err(refusal) => return Err(format!("{}.{}: {refusal:?}", table.source, column.source)),
        }
    }
    Ok(())
}

/// SQLite's own text of a REAL has too few digits.
fn spelled(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(format!("{number:e}")),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// Fills the copy's table from PostgreSQL.
fn rebuild(
    original: &Connection,
    copy: &Connection,
    table: &TablePlan,
    target: &Target,
    offtype: &BTreeMap<(String, String, String), (String, Vec<u8>)>,
) -> Result<(), String> {
    let parts: Vec<String> = table.columns.iter().map(selected).collect();
    let sql = format!("SET timezone = 'UTC'; SELECT {} FROM public.{}", parts.join(", "), quote_ident(&table.name));
    let found = target.try_query(&sql).map_err(|refusal| format!("{sql}: {refusal:?}"))?;
    for row in found {
        let row_key = row_key(original, table, &row);
        let mut marks = Vec::new();
        let mut values = Vec::new();
        for (column, text) in table.columns.iter().zip(&row) {
            let entry = offtype.get(&(table.name.clone(), column.name.clone(), row_key.clone()));
            let (mark, value) = match (entry, text) {
                (Some((class, raw)), _) => from_offtype(class, raw),
                (None, None) => ("?", Value::Null),
                (None, Some(_)) if is_respelled(column) => ("?", original_cell(original, table, column, &row)),
                (None, Some(text)) => from_text(column, text),
            };
            marks.push(mark);
            values.push(value);
        }
        let names: Vec<String> = table.columns.iter().map(|column| quote_ident(&column.source)).collect();
        let sql =
            format!("INSERT INTO {} ({}) VALUES ({})", quote_ident(&table.source), names.join(", "), marks.join(", "));
        copy.execute(&sql, rusqlite::params_from_iter(values))
            .map_err(|cause| format!("{}: SQLite refuses what came back at {row_key}: {cause}", table.source))?;
    }
    Ok(())
}

fn selected(column: &ColumnPlan) -> String {
    let name = quote_ident(&column.name);
    match column.conversion {
        Conversion::Epoch { unit } => {
            let factor = match unit {
                EpochUnit::Seconds => 1,
                EpochUnit::Milliseconds => 1_000,
                EpochUnit::Microseconds => 1_000_000,
            };
            format!("trim_scale(extract(epoch FROM {name}) * {factor})::text")
        }
        _ => format!("{name}::text"),
    }
}

/// How the off-type table addresses this row: by rowid, which only the source knows, or by the key's text as JSON.
fn row_key(original: &Connection, table: &TablePlan, row: &[Option<String>]) -> String {
    let of = |name: &str| table.columns.iter().position(|column| column.source == name).and_then(|at| row[at].clone());
    match &table.address {
        RowAddress::Rowid(rowid) => {
            let sql = format!("SELECT t.{rowid} FROM {} AS t WHERE t.id = ?1", quote_ident(&table.source));
            let id = of("id").expect("the key has a value");
            original.query_row(&sql, [id], |row| row.get::<_, i64>(0)).unwrap().to_string()
        }
        _ => {
            let parts: Vec<String> = [of("id"), of("id2")].into_iter().flatten().collect();
            serde_json::to_string(&parts).unwrap()
        }
    }
}

fn original_cell(original: &Connection, table: &TablePlan, column: &ColumnPlan, row: &[Option<String>]) -> Value {
    let at = |key: &ColumnPlan| table.columns.iter().position(|found| found.source == key.source).unwrap();
    let keys = key(table);
    let conditions: Vec<String> = keys
        .iter()
        .enumerate()
        .map(|(number, key)| format!("CAST(t.{} AS TEXT) = ?{}", quote_ident(&key.source), number + 1))
        .collect();
    let sql = format!(
        "SELECT t.{} FROM {} AS t WHERE {}",
        quote_ident(&column.source),
        quote_ident(&table.source),
        conditions.join(" AND ")
    );
    let values: Vec<Option<String>> = keys.iter().map(|key| row[at(key)].clone()).collect();
    original.query_row(&sql, rusqlite::params_from_iter(values), |row| row.get(0)).unwrap()
}

/// A text that isn't valid goes in as bytes.
fn text_value(bytes: &[u8]) -> (&'static str, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => ("?", Value::Text(text.to_owned())),
        Err(_) => ("CAST(? AS TEXT)", Value::Blob(bytes.to_vec())),
    }
}

fn from_offtype(class: &str, raw: &[u8]) -> (&'static str, Value) {
    let eight = || <[u8; 8]>::try_from(raw).expect("numbers have eight bytes");
    match class {
        "integer" => ("?", Value::Integer(i64::from_be_bytes(eight()))),
        "real" => ("?", Value::Real(f64::from_be_bytes(eight()))),
        "text" => text_value(raw),
        "blob" => ("?", Value::Blob(raw.to_vec())),
        other => panic!("the off-type table has the class {other}"),
    }
}

fn from_text(column: &ColumnPlan, text: &str) -> (&'static str, Value) {
    // With an off-type table the class is said; without one, whole numbers are INTEGER if the column has any of that
    // class.
    let whole =
        if column.records_off_type { column.main_class == StorageClass::Integer } else { column.evidence.integers > 0 };
    let number = |text: &str| {
        let value: f64 = text.parse().unwrap_or_else(|_| panic!("{text} is no number"));
        match text.parse() {
            Ok(integer) if whole => Value::Integer(integer),
            Err(_) if whole && value.fract() == 0.0 && value.abs() <= 9e15 => {
                Value::Integer(format!("{value:.0}").parse().unwrap())
            }
            _ => Value::Real(value),
        }
    };
    match column.conversion {
        Conversion::IntegerBoolean => ("?", Value::Integer(i64::from(text == "true"))),
        Conversion::Integer | Conversion::Epoch { .. } => ("?", Value::Integer(text.parse().unwrap())),
        Conversion::Double => ("?", number(text)),
        Conversion::Numeric => {
            let trimmed = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
            ("?", number(trimmed))
        }
        Conversion::UuidBlob => ("?", Value::Blob(unhex(&format!("\\x{}", text.replace('-', ""))))),
        Conversion::Bytea => of_class(column, &unhex(text), Value::Blob(unhex(text))),
        Conversion::Text { .. } => {
            let blob = if text.starts_with("\\x") { unhex(text) } else { text.as_bytes().to_vec() };
            of_class(column, text.as_bytes(), Value::Blob(blob))
        }
        _ => text_value(text.as_bytes()),
    }
}

/// What the text of a cell stands for. Without an off-type table no text of the column looks like a number of it.
fn of_class(column: &ColumnPlan, text: &[u8], other: Value) -> (&'static str, Value) {
    let word = std::str::from_utf8(text).unwrap_or("");
    if column.records_off_type {
        return match column.main_class {
            StorageClass::Integer => ("?", Value::Integer(word.parse().unwrap())),
            StorageClass::Real => ("?", Value::Real(word.parse().unwrap())),
            StorageClass::Text | StorageClass::Null => text_value(text),
            StorageClass::Blob => ("?", other),
        };
    }
    let evidence = &column.evidence;
    let integer = word.parse::<i64>().ok().filter(|number| evidence.integers > 0 && number.to_string() == word);
    let real = word.parse::<f64>().ok().filter(|_| evidence.reals > 0 && (is_plain_real(word) || evidence.texts == 0));
    match (integer, real, column.main_class) {
        (Some(number), ..) => ("?", Value::Integer(number)),
        (None, Some(number), _) => ("?", Value::Real(number)),
        (None, None, StorageClass::Blob) => ("?", other),
        (None, None, _) => text_value(text),
    }
}

/// `1.5`, `-0.25`, `1.0e+20`: a point, no zeros that could be left out.
fn is_plain_real(text: &str) -> bool {
    let mantissa = text.split('e').next().unwrap().trim_start_matches('-');
    let Some((whole, fraction)) = mantissa.split_once('.') else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && (whole == "0" || !whole.starts_with('0'))
        && (fraction == "0" || !fraction.ends_with('0'))
}

fn rows(connection: &Connection, table: &TablePlan) -> Rows {
    let columns: Vec<String> =
        table.columns.iter().map(|column| format!("t.{}", quote_ident(&column.source))).collect();
    let keys: Vec<String> = key(table).iter().map(|key| format!("quote(t.{})", quote_ident(&key.source))).collect();
    let sql =
        format!("SELECT {}, {} FROM {} AS t", keys.join(" || ' ' || "), columns.join(", "), quote_ident(&table.source));
    let mut statement = connection.prepare(&sql).unwrap();
    let found = statement.query_map([], |row| {
        let cells =
            (1..=columns.len()).map(|at| Ok(cell(row.get_ref(at)?))).collect::<rusqlite::Result<Vec<Cell>>>()?;
        Ok((row.get::<_, String>(0)?, cells))
    });
    found.unwrap().map(Result::unwrap).collect()
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => ("null", Vec::new()),
        ValueRef::Integer(number) => ("integer", number.to_string().into_bytes()),
        ValueRef::Real(number) => ("real", format!("{number:?} {:016x}", number.to_bits()).into_bytes()),
        ValueRef::Text(text) => ("text", text.to_vec()),
        ValueRef::Blob(bytes) => ("blob", bytes.to_vec()),
    }
}
