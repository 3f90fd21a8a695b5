//! One table on both sides: SQLite's values, the plan that carries them, and PostgreSQL's values.

use std::{
    fmt::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
};

use rusqlite::{
    Connection,
    types::{Value, ValueRef},
};
use turso2neon::{
    model::{
        ColumnPlan, Conversion, TablePlan,
        column_profile::ColumnProfile,
        conversion_plan::{BlobText, EpochUnit},
        identifier::{quote_ident, quote_literal},
        source_schema::SourceSchema,
    },
    rules::{
        datetime::parse_stamp,
        decimal::Decimal,
        expression::{NameScope, Untranslatable},
    },
    sqlite::catalog,
};

use crate::support::{Target, plan_builder};

/// The declaration, the PostgreSQL type and the conversion of each column.
const COLUMNS: &[(&str, &str, &str, Conversion)] = &[
    ("i", "INT", "bigint", Conversion::Integer),
    ("j", "INTEGER", "integer", Conversion::Integer),
    ("f", "BOOLEAN", "boolean", Conversion::IntegerBoolean),
    ("r", "REAL", "double precision", Conversion::Double),
    ("m", "NUMERIC", "double precision", Conversion::Double),
    ("n", "DECIMAL(10,2)", "numeric", Conversion::Numeric),
    ("x", "TEXT", "text", TEXT),
    ("y", "TEXT COLLATE NOCASE", "text", TEXT),
    ("z", "VARCHAR(20) COLLATE RTRIM", "varchar(20)", TEXT),
    ("q", "", "text", TEXT),
    ("w", "STRING", "text", TEXT),
    ("b", "BLOB", "bytea", Conversion::Bytea),
    ("day", "DATE", "date", Conversion::Date),
    ("ms", "DATETIME", "timestamptz", Conversion::Epoch { unit: EpochUnit::Milliseconds }),
    ("doc", "JSON", "jsonb", Conversion::Json),
    ("at", "DATETIME", "timestamp", Conversion::Timestamp),
    ("Odd \"Name", "INT", "bigint", Conversion::Integer),
    ("code", "INTEGER_OR_TEXT", "text", TEXT),
];

const TEXT: Conversion = Conversion::Text { blobs: BlobText::Hex };

/// Rows as SQLite literals, in the order of [`COLUMNS`].
const ROWS: &[&str] = &[
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
    "0, 0, 0, 0.0, 0, 0, '', '', '', '', '', x'', '1970-01-01', 0, '{}', '1970-01-01 00:00:00', 0, 0",
    "1, 1, 1, 1.0, 1, 1, 'abc', 'ABC', 'abc', 'abc', 'abc', x'616263', '2024-02-29', 1700000000123, '[1]', '2024-02-29T03:04:05', 1, 'abc'",
    "-1, 2, 0, -1.5, -1.5, -1.5, 'ABC', 'abc', 'abc  ', 'ABC', 'ABC', x'00ff', '9999-12-31', -1, '\"a\"', '9999-12-31 23:59:59', 2, -1",
    "7, -8, 1, 2.5, 2.5, 0.1, 'É', 'É', 'É ', 'é', 'É', x'c3a9', '0001-01-01', 1, '1', '0001-01-01', -3, 'É'",
    "-7, 3, 1, 0.1, 3, 12.34, 'é', 'é', ' x', 'É', 'é', x'00', '2023-12-31', 951782400000, 'null', '2023-12-31', 5, '12x'",
    "100000, 2147483647, 0, 1e10, 1e10, 99999999.99, 'a%b', 'A%B', 'a_b', 'a\\b', 'a\\b', x'ffffff', '2000-01-01', 4102444800000, '{\"a\":1}', '2000-01-01 00:00', 7, 100000",
    "5, -2147483648, 1, -0.000001, 0.5, 5, '12', '12', '12', '12', 'x12', x'31', '1999-12-31', 86400000, '[]', '1999-12-31', 9, 'ABC'",
    "-100000, 10, 0, 123456.789, 7, -3, ' x ', ' X ', ' x ', ' x ', 'zz', x'2078', '1582-10-15', -62135596800000, '2', '1582-10-15', 11, ' x '",
    "9007199254740993, 5, 1, 9007199254740992.0, 12, 0.3, '日本', 'ЖЖ', 'z', '日本', 'ЖЖ', x'e697a5', '2024-03-01', 1700000000124, '[2]', '2024-03-01', 12, 9007199254740993",
];

/// Both sides.
pub(super) struct Fixture {
    connection: Connection,
    schema: SourceSchema,
    plan: TablePlan,
    target: Target,
}

/// One row's value, in a form that both sides share.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    Null,
    Number(String),
    Real(u64),
    Text(String),
}

impl Fixture {
    pub(super) fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        let columns: Vec<String> =
            COLUMNS.iter().map(|(name, declared, ..)| format!("{} {declared}", quote_ident(name))).collect();
        connection.execute_batch(&format!("CREATE TABLE t(id INTEGER PRIMARY KEY, {})", columns.join(", "))).unwrap();
        for (number, row) in ROWS.iter().enumerate() {
            connection.execute_batch(&format!("INSERT INTO t VALUES ({number}, {row})")).unwrap();
        }
        let schema = catalog::read(&connection).unwrap();
        let mut fixture =
            Self { connection, schema, plan: plan_builder::table("t", Vec::new()), target: Target::start() };
        fixture.fill();
        fixture
    }

    fn fill(&mut self) {
        let id = ("id", "INTEGER", "bigint", Conversion::Integer);
        for (name, declared, pg_type, conversion) in std::iter::once(&id).chain(COLUMNS) {
            let values = self.column(name);
            let declared = declared.split(" COLLATE").next().unwrap();
            self.plan.columns.push(planned(name, declared, pg_type, *conversion, &values));
        }
        let definitions: Vec<String> = self
            .plan
            .columns
            .iter()
            .map(|column| format!("{} {}", quote_ident(&column.name), column.pg_type))
            .collect();
        let mut script = format!("CREATE TABLE t({});", definitions.join(", "));
        let columns: Vec<Vec<Value>> = self.plan.columns.iter().map(|column| self.column(&column.source)).collect();
        for row in 0..ROWS.len() {
            let values: Vec<String> =
                self.plan.columns.iter().zip(&columns).map(|(column, values)| pg_value(column, &values[row])).collect();
            write!(script, "INSERT INTO t VALUES ({});", values.join(", ")).unwrap();
        }
        self.target.query(&script);
    }

    fn column(&self, name: &str) -> Vec<Value> {
        let sql = format!("SELECT t.{} FROM t ORDER BY t.id", quote_ident(name));
        let mut statement = self.connection.prepare(&sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn scope(&self) -> NameScope<'_> {
        NameScope::new(&self.plan, &self.schema.tables[0], &self.schema.encoding)
    }

    pub(super) fn value(&self, sql: &str) -> Result<String, Untranslatable> {
        self.scope().value(sql)
    }

    pub(super) fn condition(&self, sql: &str) -> Result<String, Untranslatable> {
        self.scope().condition(sql).map(|found| found.sql)
    }

    pub(super) fn never_false(&self, sql: &str) -> bool {
        self.scope().condition(sql).unwrap().never_false
    }

    /// SQLite's answers, or none if it refuses the expression.
    pub(super) fn sqlite(&self, sql: &str) -> Option<Vec<Answer>> {
        let mut statement = self.connection.prepare(&format!("SELECT ({sql}) FROM t ORDER BY t.id")).ok()?;
        let answers = statement.query_map([], |row| {
            Ok(match row.get_ref(0)? {
                ValueRef::Null => Answer::Null,
                ValueRef::Integer(number) => Answer::Number(number.to_string()),
                ValueRef::Real(number) => Answer::Real(number.to_bits()),
                ValueRef::Text(text) => Answer::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Answer::Text(hex(bytes)),
            })
        });
        answers.ok()?.collect::<Result<Vec<_>, _>>().ok()
    }

    /// What SQLite takes the expression for as a condition.
    pub(super) fn sqlite_condition(&self, sql: &str) -> Option<Vec<Answer>> {
        self.sqlite(&format!("CASE WHEN ({sql}) THEN 1 WHEN NOT ({sql}) THEN 0 END"))
    }

    /// PostgreSQL's answers to several expressions; an error is the answer of those that raise one.
    pub(super) fn postgres(&self, expressions: &[&str]) -> Vec<Vec<Answer>> {
        if expressions.len() > 200 {
            return expressions.chunks(200).flat_map(|chunk| self.postgres(chunk)).collect();
        }
        let list: Vec<String> =
            expressions.iter().map(|sql| format!("({sql})::text, pg_typeof(({sql}))::text")).collect();
        let query = format!("SELECT {} FROM t ORDER BY t.id", list.join(", "));
        match (catch_unwind(AssertUnwindSafe(|| self.target.query(&query))), expressions) {
            (Ok(rows), _) => (0..expressions.len())
                .map(|index| {
                    let pair =
                        |row: &Vec<Option<String>>| answer(row[index * 2].as_deref(), row[index * 2 + 1].as_deref());
                    rows.iter().map(pair).collect()
                })
                .collect(),
            (Err(_), [_]) => vec![vec![Answer::Text("an error".to_owned()); ROWS.len()]],
            (Err(_), _) => {
                let (one, other) = expressions.split_at(expressions.len() / 2);
                self.postgres(one).into_iter().chain(self.postgres(other)).collect()
            }
        }
    }

    /// Whether PostgreSQL takes it as an index key, which must be immutable. Leaves nothing behind.
    pub(super) fn index(&self, keys: &str) {
        self.target.query(&format!("BEGIN; CREATE INDEX ON t ({keys}); ROLLBACK;"));
    }

    /// Whether PostgreSQL takes it as a predicate and as a check. Leaves nothing behind.
    pub(super) fn predicate(&self, condition: &str) {
        self.target.query(&format!(
            "BEGIN; CREATE INDEX ON t (id) WHERE {condition}; ALTER TABLE t ADD CHECK ({condition}) NOT VALID; ROLLBACK;"
        ));
    }
}

fn answer(text: Option<&str>, pg_type: Option<&str>) -> Answer {
    let (Some(text), Some(pg_type)) = (text, pg_type) else { return Answer::Null };
    match pg_type {
        "boolean" => Answer::Number(i32::from(text == "true").to_string()),
        "smallint" | "integer" | "bigint" => Answer::Number(text.to_owned()),
        "double precision" => Answer::Real(text.parse::<f64>().unwrap().to_bits()),
        "numeric" if !text.contains('.') => Answer::Number(text.to_owned()),
        "numeric" => Answer::Real(text.parse::<f64>().unwrap().to_bits()),
        "timestamp with time zone" => {
            let stamp = parse_stamp(format!("{text}:00").as_bytes()).unwrap();
            Answer::Number((stamp.utc_microseconds() / 1000).to_string())
        }
        "bytea" => Answer::Text(text.trim_start_matches("\\x").to_owned()),
        _ => Answer::Text(text.to_owned()),
    }
}

/// Whether both mean the same: -0.0 is 0, and a whole number may be either class where the type merges them.
pub(super) fn same(one: &Answer, other: &Answer) -> bool {
    let number = |answer: &Answer| match answer {
        Answer::Number(text) => text.parse::<f64>().ok(),
        Answer::Real(bits) => Some(f64::from_bits(*bits)),
        Answer::Null | Answer::Text(_) => None,
    };
    one == other
        || match (one, other) {
            (Answer::Number(_), Answer::Number(_)) => false,
            _ => number(one).is_some_and(|one| number(other) == Some(one)),
        }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A value as PostgreSQL reads it.
pub(crate) fn pg_value(column: &ColumnPlan, value: &Value) -> String {
    match (column.conversion, value) {
        (_, Value::Null) => "NULL".to_owned(),
        (Conversion::IntegerBoolean, Value::Integer(number)) => (*number == 1).to_string(),
        (Conversion::Epoch { .. }, Value::Integer(number)) => format!("to_timestamp({number} / 1000.0)"),
        (Conversion::Json, Value::Integer(number)) => format!("'{number}'"),
        (Conversion::Text { .. }, Value::Integer(number)) => format!("'{number}'"),
        (_, Value::Integer(number)) => number.to_string(),
        (Conversion::Numeric, Value::Real(number)) => number.to_string(),
        (_, Value::Real(number)) => format!("'{number:?}'"),
        (_, Value::Text(text)) => quote_literal(text),
        (_, Value::Blob(bytes)) => format!("'\\x{}'", hex(bytes)),
    }
}

fn planned(name: &str, declared: &str, pg_type: &str, conversion: Conversion, values: &[Value]) -> ColumnPlan {
    ColumnPlan {
        declared: declared.to_owned(),
        evidence: evidence(values),
        ..plan_builder::column(name, pg_type, conversion)
    }
}

/// What a profile says of these values, as far as translations look at it.
pub(crate) fn evidence(values: &[Value]) -> ColumnProfile {
    let mut evidence = ColumnProfile::default();
    for value in values {
        let decimal = match value {
            Value::Null => {
                evidence.nulls += 1;
                None
            }
            Value::Integer(number) => {
                evidence.integers += 1;
                let (least, most) = evidence.integer_range.unwrap_or((*number, *number));
                evidence.integer_range = Some((least.min(*number), most.max(*number)));
                Some(Decimal::from_integer(*number))
            }
            Value::Real(number) => {
                evidence.reals += 1;
                evidence.reals_infinite += u64::from(number.is_infinite());
                Decimal::from_real(*number)
            }
            Value::Text(text) => {
                evidence.texts += 1;
                // PostgreSQL prints a blank and seconds.
                let bytes = text.as_bytes();
                let is_timestamp = parse_stamp(bytes).is_some();
                evidence.texts_respelled += u64::from(is_timestamp && (bytes.len() < 19 || bytes[10] != b' '));
                evidence.text_longest.1 = evidence.text_longest.1.max(text.len() as u64);
                None
            }
            Value::Blob(bytes) => {
                evidence.blobs += 1;
                evidence.blob_longest = evidence.blob_longest.max(bytes.len() as u64);
                None
            }
        };
        if let Some(decimal) = decimal {
            let (whole, fraction) = evidence.decimal_digits;
            evidence.decimal_digits = (whole.max(decimal.whole_digits()), fraction.max(decimal.scale()));
        }
    }
    evidence
}
