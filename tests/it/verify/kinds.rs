//! Every conversion and every storage class that it takes.

use turso2neon::{
    model::{
        ColumnPlan, Conversion, TablePlan,
        cell::StorageClass,
        conversion_plan::{BlobText, EpochUnit, IdentityPlan, KeyPlan, RowAddress, VectorEncoding},
    },
    stages::verify::{Against, VerifyLevel},
};

use crate::support::plan_builder::{column, table};

use super::fixture::Hops;

const HEX: Conversion = Conversion::Text { blobs: BlobText::Hex };

fn epoch(unit: EpochUnit) -> Conversion {
    Conversion::Epoch { unit }
}

fn vector(encoding: VectorEncoding) -> Conversion {
    Conversion::Vector { encoding }
}

/// One column of one row: the SQLite value, the type, the conversion, the PostgreSQL value.
type Kind = (&'static str, &'static str, Conversion, &'static str);

fn kinds() -> Vec<Kind> {
    use Conversion as C;
    vec![
        ("-32768", "smallint", C::Integer, "-32768"),
        ("2147483647", "integer", C::Integer, "2147483647"),
        ("-9223372036854775808", "bigint", C::Integer, "-9223372036854775808"),
        ("9223372036854775807", "bigint", C::Integer, "9223372036854775807"),
        ("0", "boolean", C::IntegerBoolean, "false"),
        ("1", "boolean", C::IntegerBoolean, "true"),
        ("'t'", "boolean", C::WordBoolean, "true"),
        ("'FALSE'", "boolean", C::WordBoolean, "false"),
        ("0.1", "double precision", C::Double, "0.1"),
        ("-0.0", "double precision", C::Double, "'-0'"),
        ("9e999", "double precision", C::Double, "'Infinity'"),
        ("5e-324", "double precision", C::Double, "5e-324"),
        ("9007199254740992", "double precision", C::Double, "9007199254740992"),
        ("0.1", "numeric", C::Numeric, "0.1"),
        ("1.0", "numeric", C::Numeric, "1"),
        ("1e300", "numeric", C::Numeric, "1e300::numeric"),
        ("1.5e-10", "numeric", C::Numeric, "0.00000000015"),
        ("-9223372036854775808", "numeric", C::Numeric, "-9223372036854775808"),
        ("9e999", "numeric", C::Numeric, "'Infinity'"),
        ("-9e999", "numeric", C::Numeric, "'-Infinity'"),
        ("10000", "numeric", C::Numeric, "10000"),
        ("12.5", "numeric(10,2)", C::Numeric, "12.5"),
        ("-7", "numeric(10,2)", C::Numeric, "-7"),
        ("0.05", "numeric(2,2)", C::Numeric, "0.05"),
        ("'x'' é😀'", "text", HEX, "'x'' é😀'"),
        ("''", "text", HEX, "''"),
        ("-12", "text", HEX, "'-12'"),
        ("1.0", "text", HEX, "'1.0'"),
        ("1e20", "text", HEX, "'1.0e+20'"),
        ("-9e999", "text", HEX, "'-Inf'"),
        ("1.25e-7", "text", HEX, "'1.25e-07'"),
        ("x'00ff'", "text", HEX, r"'\x00ff'"),
        ("x'6162'", "text", HEX, r"'\x6162'"),
        ("x'6162'", "text", C::Text { blobs: BlobText::Utf8OrHex }, "'ab'"),
        ("x'ff'", "text", C::Text { blobs: BlobText::Utf8OrHex }, r"'\xff'"),
        ("'ab '", "varchar(5)", HEX, "'ab '"),
        ("x'00ff'", "bytea", C::Bytea, r"'\x00ff'"),
        ("x''", "bytea", C::Bytea, r"'\x'"),
        ("'é'", "bytea", C::Bytea, r"'\xc3a9'"),
        ("17", "bytea", C::Bytea, r"'\x3137'"),
        ("0.5", "bytea", C::Bytea, r"'\x302e35'"),
        ("'2024-02-29'", "date", C::Date, "'2024-02-29'"),
        ("'0001-01-01'", "date", C::Date, "'0001-01-01'"),
        ("'9999-12-31'", "date", C::Date, "'9999-12-31'"),
        ("'23:59:59.999999'", "time", C::Time, "'23:59:59.999999'"),
        ("'07:30'", "time", C::Time, "'07:30'"),
        ("'1999-12-31T23:59:59.000001'", "timestamp", C::Timestamp, "'1999-12-31 23:59:59.000001'"),
        ("'0001-01-01'", "timestamp", C::Timestamp, "'0001-01-01 00:00'"),
        ("'2024-07-01 12:00:00+05:30'", "timestamptz", C::TimestampTz, "'2024-07-01 06:30:00+00'"),
        ("'2024-07-01 12:00:00.5000000Z'", "timestamptz", C::TimestampTz, "'2024-07-01 12:00:00.5+00'"),
        ("'2024-07-01'", "timestamptz", C::TimestampTz, "'2024-07-01 00:00+00'"),
        ("1700000000", "timestamptz", epoch(EpochUnit::Seconds), "'2023-11-14 22:13:20+00'"),
        ("-1", "timestamp", epoch(EpochUnit::Milliseconds), "'1969-12-31 23:59:59.999'"),
        ("1700000000000001", "timestamptz", epoch(EpochUnit::Microseconds), "'2023-11-14 22:13:20.000001+00'"),
        ("-86400", "date", epoch(EpochUnit::Seconds), "'1969-12-31'"),
        ("'A0EEBC99-9C0B-4EF8-bb6d-6bb9bd380a11'", "uuid", C::UuidText, "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
        ("x'a0eebc999c0b4ef8bb6d6bb9bd380a11'", "uuid", C::UuidBlob, "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
        (r#"'{"b": 1, "b": 2}'"#, "json", C::Json, r#"'{"b": 1, "b": 2}'"#),
        ("12", "json", C::Json, "'12'"),
        ("1.5", "json", C::Json, "'1.5'"),
        (r#"'{"b": 1.10, "a": [null, "é", 1e2]}'"#, "jsonb", C::Json, r#"'{"a":[null,"\u00e9",100],"b":1.10}'"#),
        ("-3", "jsonb", C::Json, "'-3'"),
        ("1e20", "jsonb", C::Json, "'100000000000000000000'"),
        ("vector32('[1.5, -0.1]')", "real[]", vector(VectorEncoding::F32), "'{1.5,-0.1}'"),
        ("vector64('[0.1, -2]')", "double precision[]", vector(VectorEncoding::F64), "'{0.1,-2}'"),
        ("x'003c00c005'", "real[]", vector(VectorEncoding::F16), "'{1,-2}'"),
        ("x'803f40c006'", "real[]", vector(VectorEncoding::Fb16), "'{1,-3}'"),
        ("vector1bit('[1,-1,1,1,-1,-1,-1,-1,1,1]')", "bit(10)", vector(VectorEncoding::F1Bit), "B'1011000011'"),
    ]
}

/// A table with one column for each kind, a row of values and a row of NULLs.
/// Also the SQL that makes it in SQLite and the SQL that fills it in PostgreSQL.
pub(super) fn every_kind() -> (String, TablePlan, String) {
    let kinds = kinds();
    let name = |at: usize| format!("c{at}");
    let mut columns = vec![ColumnPlan { not_null: true, ..column("id", "bigint", Conversion::Integer) }];
    columns.extend(kinds.iter().enumerate().map(|(at, kind)| column(&name(at), kind.1, kind.2)));
    columns.push(ColumnPlan {
        generated: Some(r#""id" * 2"#.to_owned()),
        ..column("twice", "bigint", Conversion::Integer)
    });
    let plan = TablePlan {
        primary_key: Some(KeyPlan { name: "kinds_pkey".to_owned(), columns: vec!["id".to_owned()] }),
        identity: Some(IdentityPlan {
            column: "id".to_owned(),
            sequence: "kinds_id_seq".to_owned(),
            next: Some(8),
            kind: turso2neon::model::conversion_plan::IdentityKind::ByDefault,
        }),
        ..table("kinds", columns)
    };
    let names: Vec<String> = (0..kinds.len()).map(name).collect();
    let values = |pick: fn(&Kind) -> &'static str| kinds.iter().map(pick).collect::<Vec<_>>().join(", ");
    let source = format!(
        "CREATE TABLE kinds (id INTEGER PRIMARY KEY, {0}, twice GENERATED ALWAYS AS (id * 2) VIRTUAL);
         INSERT INTO kinds (id, {0}) VALUES (5, {1}); INSERT INTO kinds (id) VALUES (7);",
        names.join(", "),
        values(|kind| kind.0)
    );
    let inserts = format!(
        "INSERT INTO {{s}}.kinds (id, {}) VALUES (5, {}); INSERT INTO {{s}}.kinds (id) VALUES (7)",
        names.join(", "),
        values(|kind| kind.3)
    );
    (source, plan, inserts)
}

#[test]
fn every_conversion_of_every_class_is_equal() {
    let (source, plan, inserts) = every_kind();
    let hops = Hops::new(&source, vec![plan], &inserts);
    hops.assert_equal();
    assert_eq!(hops.verify(Against::Local, VerifyLevel::Full).tables[0].rows, 2);
}

#[test]
fn every_column_is_compared() {
    let (source, plan, inserts) = every_kind();
    let hops = Hops::new(&source, vec![plan], &inserts);
    let columns: Vec<String> = hops.plan.tables[0].columns.iter().map(|column| column.name.clone()).collect();
    for name in columns.iter().filter(|name| name.starts_with('c')) {
        hops.change("local", &format!("UPDATE {{s}}.kinds SET {name} = NULL WHERE id = 5"));
    }
    let expected: Vec<String> = columns
        .iter()
        .filter(|name| name.starts_with('c'))
        .map(|name| format!("local kinds.{name} [rowid 5]: value differs: NULL, expected "))
        .collect();
    let found = hops.lines(VerifyLevel::Full);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn tables_of_every_address_are_equal_and_their_rows_have_names() {
    let text = |name: &str| column(name, "text", HEX);
    let keyed = |name: &str, key: &str| TablePlan {
        primary_key: Some(KeyPlan { name: format!("{name}_pkey"), columns: vec![key.to_owned()] }),
        ..table(name, vec![text("a"), ColumnPlan { not_null: true, ..text("b") }])
    };
    let tables = vec![
        TablePlan { address: RowAddress::PrimaryKey, ..keyed("pairs", "b") },
        TablePlan { address: RowAddress::Rowid("_rowid_".to_owned()), ..table("odd\"name", vec![text("rowid")]) },
        TablePlan { address: RowAddress::Rowid("rowid".to_owned()), ..table("notes", vec![text("body")]) },
        table("empty", vec![text("a")]),
    ];
    let hops = Hops::new(
        r#"CREATE TABLE pairs (a, b PRIMARY KEY) WITHOUT ROWID;
           INSERT INTO pairs VALUES ('1', 'y'), ('2', 'x'), ('2', 'z');
           CREATE TABLE "odd""name" (rowid); INSERT INTO "odd""name" VALUES ('r'), ('r'), (NULL);
           CREATE VIRTUAL TABLE notes USING fts5(body); INSERT INTO notes VALUES ('n1'), ('n2');
           CREATE TABLE empty (a);"#,
        tables,
        r#"INSERT INTO {s}.pairs VALUES ('2', 'z'), ('1', 'y'), ('2', 'x');
           INSERT INTO {s}."odd""name" VALUES ('r'), (NULL), ('r');
           INSERT INTO {s}.notes VALUES ('n2'), ('n1')"#,
    );
    hops.assert_equal();
    hops.change(
        "target",
        r#"UPDATE {s}.pairs SET a = '3' WHERE b = 'y'; DELETE FROM {s}."odd""name" WHERE rowid = 'r';
                             INSERT INTO {s}.empty VALUES ('')"#,
    );
    assert_eq!(
        hops.lines(VerifyLevel::Full),
        [
            "target pairs.a [row 2]: value differs",
            "target odd\"name [rowid 1]: row missing (2 equal rows)",
            "target empty [ctid (0,1)]: row added",
        ]
    );
    assert_eq!(
        hops.lines(VerifyLevel::Counts),
        ["target odd\"name: count differs: 1, expected 3", "target empty: count differs: 1, expected 0",]
    );
}

#[test]
fn what_a_conversion_cannot_place_is_a_difference_whatever_postgresql_holds() {
    let tables = vec![table(
        "odd",
        vec![
            ColumnPlan { main_class: StorageClass::Integer, ..column("n", "bigint", Conversion::Integer) },
            column("j", "jsonb", Conversion::Json),
            column("d", "date", Conversion::Date),
            column("k", "text", HEX),
            column("l", "text", HEX),
            column("m", "text", HEX),
        ],
    )];
    let hops = Hops::new(
        r#"CREATE TABLE odd (n, j, d, k, l, m);
           INSERT INTO odd VALUES ('7', '{"a":1,"a":2}', '2024-02-30', 'k', 'l', 'm')"#,
        tables,
        r#"INSERT INTO {s}.odd VALUES (7, '{"a":2}', '2024-03-01', 'k', 'l', 'm')"#,
    );
    let found = super::fixture::lines(&hops.verify(Against::Local, VerifyLevel::Full));
    assert_eq!(
        found,
        [
            "local odd.n [rowid 1]: the dump's storage class is not one that the planned conversion reads",
            "local odd.j [rowid 1]: the planned type can't hold the dump's value exactly",
            "local odd.d [rowid 1]: the dump's value hasn't the form that the planned conversion reads",
        ]
    );
}
