//! Every conversion with its edge values.

use turso2neon::{
    error::Kind,
    model::{
        ColumnPlan, Conversion,
        cell::StorageClass,
        conversion_plan::{BlobText, EpochUnit, KeyPlan, RowAddress, VectorEncoding},
    },
    stages::convert::ConvertRequest,
};

use super::fixture::{Fixture, column, integer, plan, table, text};

/// One column, its cells as SQL, and what PostgreSQL then shows.
struct Case {
    pg_type: &'static str,
    conversion: Conversion,
    cells: &'static [(&'static str, &'static str)],
}

fn case(pg_type: &'static str, conversion: Conversion, cells: &'static [(&'static str, &'static str)]) -> Case {
    Case { pg_type, conversion, cells }
}

fn numbers_and_texts() -> Vec<Case> {
    vec![
        case(
            "bigint",
            Conversion::Integer,
            &[
                ("9223372036854775807", "9223372036854775807"),
                ("-9223372036854775808", "-9223372036854775808"),
                ("0", "0"),
                ("NULL", "∅"),
            ],
        ),
        case("integer", Conversion::Integer, &[("2147483647", "2147483647"), ("-2147483648", "-2147483648")]),
        case("smallint", Conversion::Integer, &[("32767", "32767"), ("-32768", "-32768")]),
        case("boolean", Conversion::IntegerBoolean, &[("0", "f"), ("1", "t"), ("NULL", "∅")]),
        case("boolean", Conversion::WordBoolean, &[("'t'", "t"), ("'F'", "f"), ("'True'", "t"), ("'FALSE'", "f")]),
        case(
            "double precision",
            Conversion::Double,
            &[
                ("-0.0", "-0"),
                ("9e999", "Infinity"),
                ("-9e999", "-Infinity"),
                ("4.9406564584124654e-324", "5e-324"),
                ("2.2250738585072011e-308", "2.225073858507201e-308"),
                ("1.7976931348623157e308", "1.7976931348623157e+308"),
                ("0.1+0.2", "0.30000000000000004"),
                ("9007199254740992", "9.007199254740992e+15"),
                ("-9007199254740992", "-9.007199254740992e+15"),
                ("100000", "100000"),
            ],
        ),
        case(
            "numeric",
            Conversion::Numeric,
            &[
                ("0.1+0.2", "0.30000000000000004"),
                ("12.50", "12.5"),
                ("1e20", "100000000000000000000"),
                ("10000", "10000"),
                ("100000000", "100000000"),
                ("-9223372036854775808", "-9223372036854775808"),
                ("123456789.123", "123456789.123"),
                ("1e-7", "0.0000001"),
                ("-0.0", "0"),
                ("0", "0"),
                ("9e999", "Infinity"),
                ("-9e999", "-Infinity"),
            ],
        ),
        case(
            "numeric(10,2)",
            Conversion::Numeric,
            &[("12.5", "12.50"), ("99999999.99", "99999999.99"), ("-1", "-1.00"), ("0", "0.00"), ("0.01", "0.01")],
        ),
        case(
            "text",
            Conversion::Text { blobs: BlobText::Hex },
            &[
                ("''", ""),
                ("NULL", "∅"),
                ("' a|b '", " a|b "),
                ("'é😀'", "é😀"),
                ("42", "42"),
                ("1e20", "1.0e+20"),
                ("1.0", "1.0"),
                ("x'6162'", "\\x6162"),
            ],
        ),
        case("text", Conversion::Text { blobs: BlobText::Utf8OrHex }, &[("x'6162'", "ab"), ("x'61ff'", "\\x61ff")]),
        case("varchar(3)", Conversion::Text { blobs: BlobText::Hex }, &[("'äöü'", "äöü"), ("'a  '", "a  ")]),
        case(
            "bytea",
            Conversion::Bytea,
            &[
                ("x''", "\\x"),
                ("NULL", "∅"),
                ("x'00ff'", "\\x00ff"),
                ("'ab'", "\\x6162"),
                ("12", "\\x3132"),
                ("0.5", "\\x302e35"),
            ],
        ),
    ]
}

fn timestamps() -> Vec<Case> {
    vec![
        case(
            "date",
            Conversion::Date,
            &[
                ("'0001-01-01'", "0001-01-01"),
                ("'9999-12-31'", "9999-12-31"),
                ("'2000-02-29'", "2000-02-29"),
                ("'1999-12-31'", "1999-12-31"),
            ],
        ),
        case("time", Conversion::Time, &[("'00:00'", "00:00:00"), ("'23:59:59.999999'", "23:59:59.999999")]),
        case(
            "timestamp",
            Conversion::Timestamp,
            &[
                ("'0001-01-01'", "0001-01-01 00:00:00"),
                ("'9999-12-31 23:59:59.999999'", "9999-12-31 23:59:59.999999"),
                ("'2024-03-10T02:30:00'", "2024-03-10 02:30:00"),
                ("'1999-12-31 23:59:59.5'", "1999-12-31 23:59:59.5"),
            ],
        ),
        case(
            "timestamptz",
            Conversion::TimestampTz,
            &[
                ("'2024-01-01T00:00:00Z'", "2024-01-01 00:00:00+00"),
                ("'2024-01-01 00:00:00+05:30'", "2023-12-31 18:30:00+00"),
                ("'2024-01-01 00:00:00'", "2024-01-01 00:00:00+00"),
                ("'0001-01-01 00:00:00+14:00'", "0001-12-31 10:00:00+00 BC"),
            ],
        ),
        case(
            "timestamptz",
            Conversion::Epoch { unit: EpochUnit::Seconds },
            &[
                ("0", "1970-01-01 00:00:00+00"),
                ("-1", "1969-12-31 23:59:59+00"),
                ("1700000000", "2023-11-14 22:13:20+00"),
            ],
        ),
        case(
            "timestamptz",
            Conversion::Epoch { unit: EpochUnit::Milliseconds },
            &[("1700000000123", "2023-11-14 22:13:20.123+00"), ("-1", "1969-12-31 23:59:59.999+00")],
        ),
        case(
            "timestamp",
            Conversion::Epoch { unit: EpochUnit::Microseconds },
            &[("1700000000123456", "2023-11-14 22:13:20.123456")],
        ),
        case(
            "date",
            Conversion::Epoch { unit: EpochUnit::Seconds },
            &[("86400", "1970-01-02"), ("-86400", "1969-12-31")],
        ),
    ]
}

fn documents_and_vectors() -> Vec<Case> {
    vec![
        case(
            "uuid",
            Conversion::UuidText,
            &[("'00112233-4455-6677-8899-AABBccddeeff'", "00112233-4455-6677-8899-aabbccddeeff")],
        ),
        case(
            "uuid",
            Conversion::UuidBlob,
            &[("x'00112233445566778899aabbccddeeff'", "00112233-4455-6677-8899-aabbccddeeff")],
        ),
        case(
            "json",
            Conversion::Json,
            &[("'{\"b\":1,  \"a\":-0.0, \"b\":2}'", "{\"b\":1,  \"a\":-0.0, \"b\":2}"), ("5", "5"), ("0.5", "0.5")],
        ),
        case(
            "jsonb",
            Conversion::Json,
            &[
                (
                    "'{\"bb\":[1e2,1.10,null],\"a\":{\"x\":\"\\u00e9\\n\"}}'",
                    "{\"a\": {\"x\": \"é\\n\"}, \"bb\": [100, 1.10, null]}",
                ),
                ("'\"\"'", "\"\""),
                ("7", "7"),
                ("1e20", "100000000000000000000"),
                ("NULL", "∅"),
            ],
        ),
        case(
            "real[]",
            Conversion::Vector { encoding: VectorEncoding::F32 },
            &[("x'0000803f0000c0bf'", "{1,-1.5}"), ("x'0000803f01'", "{1}"), ("x''", "{}")],
        ),
        case(
            "double precision[]",
            Conversion::Vector { encoding: VectorEncoding::F64 },
            &[("x'9a9999999999b93f000000000000f0bf02'", "{0.1,-1}")],
        ),
        case("real[]", Conversion::Vector { encoding: VectorEncoding::F16 }, &[("x'003cff7b05'", "{1,65504}")]),
        case("real[]", Conversion::Vector { encoding: VectorEncoding::Fb16 }, &[("x'803f06'", "{1}")]),
        case("bit(8)", Conversion::Vector { encoding: VectorEncoding::F1Bit }, &[("x'cd0803'", "10110011")]),
        case("bit(3)", Conversion::Vector { encoding: VectorEncoding::F1Bit }, &[("x'fd0d03'", "101")]),
    ]
}

#[test]
fn every_conversion_gives_postgresql_the_very_value() {
    let cases: Vec<Case> = numbers_and_texts().into_iter().chain(timestamps()).chain(documents_and_vectors()).collect();
    let mut script = String::new();
    let mut tables = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        script.push_str(&format!("CREATE TABLE t{number} (n INTEGER PRIMARY KEY, v);"));
        for (row, (cell, _)) in cases[number].cells.iter().enumerate() {
            script.push_str(&format!("INSERT INTO t{number} VALUES ({row}, {cell});"));
        }
        let columns = vec![integer("n"), column("v", case.pg_type, case.conversion)];
        tables.push(table(&format!("t{number}"), u64::try_from(case.cells.len()).unwrap(), columns));
    }
    let fixture = Fixture::new(&script);
    let converted = fixture.convert(&plan(tables), &ConvertRequest::default()).unwrap();
    let mut sql = String::new();
    let mut expected = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        sql.push_str(&format!("SELECT v FROM public.t{number} ORDER BY n;"));
        expected.extend(case.cells.iter().map(|(_, shown)| (*shown).to_owned()));
    }
    let shown = fixture.query(&converted.checkpoint.local, &sql);
    assert_eq!(shown.len(), expected.len());
    let mut rows = shown.iter().zip(&expected);
    for case in &cases {
        for (cell, _) in case.cells {
            let (shown, expected) = rows.next().unwrap();
            assert_eq!(shown, expected, "{cell} as {}", case.pg_type);
        }
    }
}

#[test]
fn cells_of_another_class_are_in_the_offtype_table() {
    let fixture = Fixture::new(
        "CREATE TABLE r (v, w NUMERIC);
         INSERT INTO r(rowid, v) VALUES (-5, 'text'), (7, 42), (8, 0.5), (9, x'00ff'), (10, NULL);
         CREATE TABLE k (a, b, v, PRIMARY KEY (b, a)) WITHOUT ROWID;
         INSERT INTO k VALUES ('x', 1, 'plain'), (x'01', 2.5, 3), ('quo\"te', 2, x'');
         CREATE TABLE z (v);
         INSERT INTO z VALUES (-0.0), (0.0), (1.5), (2);",
    );
    let recording = |mut column: ColumnPlan| {
        column.records_off_type = true;
        column
    };
    let mut keyed = table("k", 3, vec![text("a"), text("b"), recording(text("v"))]);
    keyed.address = RowAddress::PrimaryKey;
    keyed.primary_key = Some(KeyPlan { name: "k_pkey".to_owned(), columns: vec!["b".to_owned(), "a".to_owned()] });
    let mut zero = recording(column("v", "numeric", Conversion::Numeric));
    zero.main_class = StorageClass::Real;
    let plan = plan(vec![table("r", 5, vec![recording(text("v"))]), keyed, table("z", 4, vec![zero])]);
    let converted = fixture.convert(&plan, &ConvertRequest::default()).unwrap();
    let local = &converted.checkpoint.local;
    let mut rows = fixture.query(local, "SELECT * FROM public._sqlite_offtype");
    rows.sort();
    assert_eq!(
        rows,
        [
            "k|v|[\"2\",\"quo\\\"te\"]|blob|\\x",
            "k|v|[\"2.5\",\"\\\\x01\"]|integer|\\x0000000000000003",
            "r|v|7|integer|\\x000000000000002a",
            "r|v|8|real|\\x3fe0000000000000",
            "r|v|9|blob|\\x00ff",
            "z|v|1|real|\\x8000000000000000",
            "z|v|4|integer|\\x0000000000000002",
        ]
    );
    assert_eq!(
        fixture.query(local, "SELECT v FROM public.r WHERE v IS NOT NULL ORDER BY v"),
        ["0.5", "42", "\\x00ff", "text"]
    );
    assert_eq!(converted.checkpoint.tables["_sqlite_offtype"].rows, 7);
}

#[test]
fn many_offtype_rows_interrupt_the_copy_and_lose_nothing() {
    let fixture = Fixture::new(
        "CREATE TABLE t (v);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
         INSERT INTO t SELECT i FROM n;",
    );
    let mut column = text("v");
    column.records_off_type = true;
    let converted = fixture.convert(&plan(vec![table("t", 60_000, vec![column])]), &ConvertRequest::default()).unwrap();
    let sql = "SELECT count(*), sum(v::bigint), count(DISTINCT v) FROM public.t;
               SELECT count(*), count(DISTINCT row_key), min(storage_class) FROM public._sqlite_offtype";
    assert_eq!(fixture.query(&converted.checkpoint.local, sql), ["60000|1800030000|60000", "60000|60000|integer"]);
}

#[test]
fn a_cell_off_the_plan_is_named_by_its_place_and_never_by_its_value() {
    let fixture = Fixture::new("CREATE TABLE t (v); INSERT INTO t(rowid, v) VALUES (1, 5), (77, 'CANARY');");
    let error =
        fixture.convert(&plan(vec![table("t", 2, vec![integer("v")])]), &ConvertRequest::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::DataRefused);
    assert_eq!((error.table(), error.column()), (Some("t"), Some("v")));
    assert!(error.message().contains("row 77") && error.message().contains("text"), "{error}");
    assert!(!format!("{error:?} {}", error.hint()).contains("CANARY"));
    assert!(Fixture::servers(&fixture.pgdata()).is_empty());
    let log = std::fs::read_to_string(fixture.dir.join("convert/postgres.log")).unwrap();
    assert!(!log.contains("CANARY"));
}

#[test]
fn a_jsonb_text_that_is_not_json_is_refused_before_the_server_sees_it() {
    let fixture = Fixture::new("CREATE TABLE t (v); INSERT INTO t VALUES ('{\"a\":1}'), ('{CANARY');");
    let column = column("v", "jsonb", Conversion::Json);
    let error = fixture.convert(&plan(vec![table("t", 2, vec![column])]), &ConvertRequest::default()).unwrap_err();
    assert_eq!((error.kind(), error.column()), (Kind::DataRefused, Some("v")));
    assert!(error.message().contains("row 2") && !error.message().contains("CANARY"), "{error}");
}
