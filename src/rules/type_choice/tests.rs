use super::*;
use crate::{
    model::{
        cell::SqliteCell::{self, Blob, Integer, Null, Real, Text},
        conversion_plan::{EpochUnit, VectorEncoding},
    },
    rules::affinity,
    sqlite::profile,
};

fn column(declared: &str) -> SourceColumn {
    SourceColumn {
        name: "c".to_owned(),
        declared: declared.to_owned(),
        affinity: affinity::of(declared, false),
        not_null: false,
        default_sql: None,
        generated: None,
        collation: None,
        hidden: false,
    }
}

fn chosen_as(declared: &str, role: ColumnRole, vector_extension: bool, cells: &[SqliteCell<'_>]) -> TypeChoice {
    let column = column(declared);
    let wanted = declared_type::of(declared, column.affinity).wanted(column.affinity);
    let profile = profile::of_cells(wanted, cells);
    let address = RowAddress::Rowid("rowid".to_owned());
    choose(&ColumnInput {
        table: "t",
        column: &column,
        profile: &profile,
        role,
        address: &address,
        vector_extension,
        bad_text: None,
        core_data: false,
    })
}

fn chosen(declared: &str, cells: &[SqliteCell<'_>]) -> TypeChoice {
    chosen_as(declared, ColumnRole::Plain, false, cells)
}

/// Type, whether the off-type table is used, and the codes of warnings and worse, as one line.
fn outline(choice: &TypeChoice) -> String {
    let offtype = if choice.records_off_type { " +offtype" } else { "" };
    let loud = choice.findings.iter().filter(|finding| finding.severity > Severity::Info);
    let loud: Vec<String> = loud.map(|finding| format!(" !{}", finding.code.word())).collect();
    format!("{}{offtype}{}", choice.pg_type, loud.concat())
}

fn check(table: &[(&str, &[SqliteCell<'_>], &str)]) {
    for (declared, cells, expected) in table {
        assert_eq!(outline(&chosen(declared, cells)), *expected, "{declared} {cells:?}");
    }
}

#[test]
fn numbers_get_the_narrowest_type_that_keeps_them() {
    const BIG: i64 = (1 << 53) + 1;
    check(&[
        ("INTEGER", &[Integer(1), Null, Integer(i64::MAX)], "bigint"),
        ("TINYINT", &[Integer(300)], "bigint"),
        ("INTEGER", &[Integer(1), Real(1.5)], "double precision !type-widened"),
        ("INTEGER", &[Integer(BIG), Real(1e300)], "numeric !type-widened"),
        ("INTEGER", &[Integer(1), Text(b"")], "text !type-widened"),
        ("INTEGER", &[Integer(1), Text(b"5")], "text +offtype !class-merged !type-widened"),
        ("REAL", &[Real(1.0), Real(f64::INFINITY), Real(-0.0)], "double precision"),
        ("REAL", &[Real(1.0), Text(b"N/A")], "text !type-widened"),
        ("DECIMAL(10,2)", &[Real(10.5), Integer(99_999_999)], "numeric(10,2)"),
        ("DECIMAL(10,2)", &[Real(0.1 + 0.2)], "numeric !type-widened"),
        ("DECIMAL(10,2)", &[Integer(100_000_000)], "numeric !type-widened"),
        ("DECIMAL(10,2)", &[Real(f64::INFINITY)], "numeric !type-widened"),
        ("DECIMAL", &[Real(10.5), Integer(1)], "numeric"),
        ("NUMERIC(2,5)", &[Real(0.5)], "numeric"),
        ("DECIMAL(10,2)", &[Real(1.5), Text(b"x")], "text !type-widened"),
        ("", &[Integer(1), Real(1.0)], "double precision +offtype !class-merged !type-widened"),
        ("", &[Integer(BIG), Real(-0.0)], "numeric +offtype !class-merged !type-widened"),
    ]);
}

#[test]
fn truth_is_zero_and_one_or_one_pair_of_words() {
    check(&[
        ("BOOLEAN", &[Integer(0), Integer(1), Null], "boolean"),
        ("TINYINT(1)", &[Integer(1)], "boolean"),
        ("BOOLEAN", &[Integer(2)], "bigint !type-widened"),
        ("BOOLEAN", &[Integer(-1), Integer(0)], "bigint !type-widened"),
        ("BOOLEAN", &[Text(b"t"), Text(b"F")], "boolean"),
        ("BOOLEAN", &[Text(b"true"), Text(b"false")], "boolean"),
        ("BOOLEAN", &[Text(b"t"), Text(b"false")], "text !type-widened"),
        ("BOOLEAN", &[Text(b"yes")], "text !type-widened"),
        ("BOOLEAN", &[Integer(1), Text(b"")], "text !type-widened"),
        ("INTEGER", &[Integer(0), Integer(1)], "bigint"),
    ]);
    assert_eq!(chosen("BOOLEAN", &[Text(b"T")]).conversion, Conversion::WordBoolean);
    let advice = &chosen("INTEGER", &[Integer(0), Integer(1)]).findings[0];
    assert_eq!(
        (advice.code, advice.choices[0].as_str()),
        (FindingCode::Advice, "columns.\"t.c\" = { type = \"boolean\" }")
    );
}

#[test]
fn texts_and_blobs_keep_their_class_or_go_to_the_offtype_table() {
    check(&[
        ("TEXT", &[Text(b"a"), Text(b"")], "text"),
        ("VARCHAR(3)", &[Text("äöü".as_bytes())], "varchar(3)"),
        ("VARCHAR(3)", &[Text(b"abcd")], "text !type-widened"),
        ("VARCHAR(3)", &[Text(b"abc ")], "text !type-widened"),
        ("CHAR(3)", &[Text(b"a")], "varchar(3)"),
        ("STRING", &[Integer(7), Text(b"x")], "text !type-widened"),
        ("TEXT", &[Blob(b"a")], "bytea !type-widened"),
        ("TEXT", &[Text(b"a"), Text(b"b"), Blob(b"c")], "text +offtype !class-merged !type-widened"),
        ("TEXT", &[Text(b"a"), Blob(b"b"), Blob(b"c")], "bytea +offtype !class-merged !type-widened"),
        ("BLOB", &[Blob(b"a"), Null], "bytea"),
        ("BLOB", &[Text(b"a")], "text !type-widened"),
        ("BLOB", &[Integer(5)], "bigint !type-widened"),
        ("BLOB", &[Integer(5), Text(b"a")], "bytea +offtype !class-merged !type-widened"),
        ("BLOB", &[Blob(b"a"), Text(b"a")], "bytea +offtype !class-merged !type-widened"),
        ("BLOB", &[Text(b"a\0")], "bytea !type-widened"),
        ("", &[Text(b"a")], "text"),
        ("", &[Integer(1), Text(b"1")], "text +offtype !class-merged !type-widened"),
        ("", &[Integer(1), Text(b"one")], "text !type-widened"),
        ("", &[Text(b"\xff"), Integer(1)], "bytea +offtype !class-merged !type-widened"),
        ("POINT", &[Blob(b"x")], "bytea"),
    ]);
    let merged = chosen("TEXT", &[Text(b"a"), Text(b"b"), Blob(b"c")]);
    assert_eq!(
        (merged.main_class, merged.conversion),
        (StorageClass::Text, Conversion::Text { blobs: BlobText::Utf8OrHex })
    );
    let in_key = chosen_as("TEXT", ColumnRole::Key, false, &[Text(b"a"), Text(b"b"), Blob(b"c")]);
    assert_eq!(in_key.conversion, Conversion::Text { blobs: BlobText::Hex });
}

#[test]
fn text_that_no_text_can_hold_is_replaced_and_kept_beside_it_or_bytes() {
    let mut rare = vec![Text(b"a"); 300];
    rare.extend([Text(b"b\0"), Text(b"\xff"), Null]);
    check(&[
        ("TEXT", &[Text(b"a"), Text(b"b\0")], "bytea !text-not-storable"),
        ("DATETIME", &[Text(b"2024-01-01"), Text(b"\xc0\x80")], "bytea !text-not-storable"),
        ("TEXT", &rare, "text +offtype !text-not-storable"),
        ("VARCHAR(9)", &rare, "text +offtype !text-not-storable"),
        ("JSON", &rare, "text +offtype !text-not-storable"),
        ("BLOB", &rare, "bytea !type-widened"),
        ("INTEGER", &[rare.as_slice(), &[Integer(5)]].concat(), "text +offtype !text-not-storable !type-widened"),
    ]);
    let key = chosen_as("TEXT", ColumnRole::Key, false, &rare);
    assert_eq!(outline(&key), "bytea !text-not-storable");
    let choice = chosen("TEXT", &rare);
    let finding = &choice.findings[0];
    assert_eq!((finding.severity, finding.count), (Severity::NeedsDecision, Some(2)));
    assert_eq!(finding.place(), "t.c");
    for words in ["U+FFFD", OFFTYPE_TABLE, "rowid 301", "1 text with a NUL", "1 text of invalid UTF-8"] {
        assert!(finding.message.contains(words), "{words}: {}", finding.message);
    }
    assert_eq!(finding.choices[0], "columns.\"t.c\" = { bad_text = \"replace\" }");
    assert_eq!(finding.choices[1], "columns.\"t.c\" = { bad_text = \"bytea\" }");
}

#[test]
fn the_configuration_says_what_becomes_of_bad_text() {
    let column = column("TEXT");
    let profile = profile::of_cells(TypeFamily::Text(None).wanted(column.affinity), &[Text(b"a\0")]);
    let rowid = RowAddress::Rowid("rowid".to_owned());
    let by = |bad_text, role, address: &RowAddress| {
        choose(&ColumnInput {
            table: "t",
            column: &column,
            profile: &profile,
            role,
            address,
            vector_extension: false,
            bad_text: Some(bad_text),
            core_data: false,
        })
    };
    let severity = |choice: &TypeChoice| choice.findings[0].severity;
    let replaced = by(BadText::Replace, ColumnRole::Plain, &rowid);
    assert_eq!(
        (outline(&replaced).as_str(), severity(&replaced)),
        ("text +offtype !text-not-storable", Severity::Warning)
    );
    assert_eq!(outline(&by(BadText::Bytea, ColumnRole::Plain, &rowid)), "bytea !text-not-storable");
    assert_eq!(severity(&by(BadText::Fail, ColumnRole::Plain, &rowid)), Severity::Refused);
    assert_eq!(severity(&by(BadText::Replace, ColumnRole::Key, &rowid)), Severity::Refused);
    assert_eq!(severity(&by(BadText::Replace, ColumnRole::Plain, &RowAddress::Ordinal)), Severity::Refused);
}

#[test]
fn timestamps_are_exact_or_stay_text() {
    check(&[
        ("DATE", &[Text(b"2024-02-29")], "date"),
        ("DATE", &[Text(b"2023-02-29")], "text !type-widened"),
        ("DATE", &[Text(b"2024-02-29 10:00:00")], "timestamp"),
        ("DATETIME", &[Text(b"2024-02-29 10:00:00"), Text(b"2024-02-29T10:00"), Text(b"2024-02-29")], "timestamp"),
        ("DATETIME", &[Text(b"2024-02-29T10:00:00Z"), Text(b"2024-02-29 10:00:00+00:00")], "timestamptz"),
        ("DATETIME", &[Text(b"2024-02-29 10:00:00+02:00"), Text(b"2024-02-29 10:00:00+01:00")], "text !type-widened"),
        ("DATETIME", &[Text(b"2024-02-29 10:00:00"), Text(b"2024-02-29T10:00:00Z")], "text !type-widened"),
        ("DATETIME", &[Text(b"now")], "text !type-widened"),
        ("DATETIME", &[Text(b"2024-02-29 10:00:00.1234567")], "text !type-widened"),
        ("DATETIME", &[Text(b"")], "text !type-widened"),
        ("DATETIME", &[Integer(1_700_000_000)], "timestamptz"),
        ("DATETIME", &[Integer(1_700_000_000), Integer(1_700_000_000_000)], "bigint !type-widened"),
        ("DATETIME", &[Integer(0), Integer(1_700_000_000)], "bigint !type-widened"),
        ("DATETIME", &[Integer(1_700_000_000_000), Text(b"2024-01-01")], "text !type-widened"),
        ("TIMESTAMP", &[Real(2_460_000.5)], "double precision !type-widened"),
        ("TIME", &[Text(b"10:00"), Text(b"23:59:59.5")], "time"),
        ("TIME", &[Text(b"24:00:00")], "text !type-widened"),
        ("TIME", &[Text(b"2000-01-01 07:30:00")], "text !type-widened"),
    ]);
    for (value, unit) in [
        (1_700_000_000, EpochUnit::Seconds),
        (1_700_000_000_000, EpochUnit::Milliseconds),
        (1_700_000_000_000_000, EpochUnit::Microseconds),
    ] {
        let choice = chosen("DATETIME", &[Integer(value)]);
        assert_eq!(choice.conversion, Conversion::Epoch { unit });
        assert_eq!(choice.findings[0].code, FindingCode::EpochAssumed);
    }
    let offset = chosen("DATETIME", &[Text(b"2024-02-29 10:00:00+05:30")]);
    assert!(offset.findings.iter().any(|finding| finding.message.contains("+05:30")), "{:?}", offset.findings);
}

#[test]
fn uuids_json_and_vectors_have_types_of_their_own() {
    let uuid = b"6f1c9bd0-1111-4000-8000-00000000000a";
    let network: [u8; 16] = [1, 2, 3, 4, 5, 6, 0x47, 7, 0x88, 9, 10, 11, 12, 13, 14, 15];
    let swapped: [u8; 16] = [1, 2, 3, 4, 5, 6, 0x07, 0x47, 0x88, 9, 10, 11, 12, 13, 14, 15];
    check(&[
        ("UUID", &[Text(uuid), Null], "uuid"),
        ("UUID", &[Text(uuid), Text(b"6f1c9bd011114000800000000000000a")], "text !type-widened"),
        ("UUID", &[Blob(&network)], "uuid"),
        ("UUID", &[Blob(&swapped)], "bytea !type-widened"),
        ("UUID", &[Blob(&network[..15])], "bytea !type-widened"),
        ("UUID", &[Text(uuid), Integer(100_000)], "text !type-widened"),
        ("TEXT", &[Text(uuid)], "text"),
        ("JSON", &[Text(b"{\"a\":1}"), Text(b"[]")], "jsonb"),
        ("JSON", &[Text(b"{\"a\":1,\"a\":2}"), Text(b"[]")], "json"),
        ("JSON", &[Text(b"{\"a\":1}"), Text(b"")], "text !type-widened"),
        ("JSON", &[Text(b"{\"a\":1}"), Integer(5), Real(1.5)], "jsonb"),
        ("JSONB", &[Blob(b"\x4c")], "bytea !type-widened"),
        ("JSONB", &[Blob(b"\x0c"), Blob(b"\x1b\x00")], "jsonb"),
        ("JSON", &[Blob(b"\x0c"), Blob(b"\x8c\x17a\x131\x17a\x132")], "json"),
        ("JSONB", &[Blob(b"\x0c"), Text(b"{}")], "text +offtype !class-merged !type-widened"),
        ("BLOB", &[Blob(b"\x0c")], "bytea"),
        ("TEXT", &[Text(b"{}")], "text"),
    ]);
    let key = |cells: &[SqliteCell<'_>]| outline(&chosen_as("JSON", ColumnRole::Key, false, cells));
    assert_eq!(key(&[Text(b"{}")]), "text !type-widened");
    let vector = [0_u8, 0, 0x80, 0x3f, 0, 0, 0, 0x40];
    for (declared, cells, without, with) in [
        ("F32_BLOB(2)", vec![Blob(&vector)], "real[]", "vector(2)"),
        ("F32_BLOB(3)", vec![Blob(&vector)], "bytea !type-widened", "bytea !type-widened"),
        (
            "F32_BLOB(2)",
            vec![Blob(&vector), Text(b"[1,2]")],
            "bytea +offtype !class-merged !type-widened",
            "bytea +offtype !class-merged !type-widened",
        ),
        ("FLOAT8(2)", vec![Real(1.5)], "double precision", "double precision"),
        ("F8_BLOB(2)", vec![Blob(b"x")], "bytea !type-widened", "bytea !type-widened"),
        ("F1BIT_BLOB(8)", vec![Blob(&[0xcd, 8, 3])], "bit(8)", "bit(8)"),
        ("F64_BLOB(1)", vec![Blob(&[0, 0, 0, 0, 0, 0, 0, 0, 2])], "double precision[]", "double precision[]"),
    ] {
        let found = |extension| outline(&chosen_as(declared, ColumnRole::Plain, extension, &cells));
        assert_eq!((found(false).as_str(), found(true).as_str()), (without, with), "{declared}");
    }
    let missing = chosen("F32_BLOB(2)", &[Blob(&vector)]);
    assert_eq!(missing.conversion, Conversion::Vector { encoding: VectorEncoding::F32 });
    assert_eq!(missing.findings[0].code, FindingCode::VectorExtensionMissing);
}

#[test]
fn an_empty_column_gets_its_declared_family() {
    for (declared, expected) in [
        ("INTEGER", "bigint"),
        ("BOOLEAN", "boolean"),
        ("REAL", "double precision"),
        ("DECIMAL(10,2)", "numeric(10,2)"),
        ("VARCHAR(20)", "varchar(20)"),
        ("TEXT", "text"),
        ("BLOB", "bytea"),
        ("DATE", "date"),
        ("DATETIME", "timestamp"),
        ("TIMESTAMPTZ", "timestamptz"),
        ("TIME", "time"),
        ("UUID", "uuid"),
        ("JSON", "jsonb"),
        ("F32_BLOB(3)", "real[]"),
        ("FLOAT8(53)", "double precision"),
        ("", "text"),
        ("INET", "numeric"),
        ("POINT", "bigint"),
    ] {
        assert_eq!(outline(&chosen(declared, &[Null])), expected, "{declared}");
        assert_eq!(outline(&chosen(declared, &[])), expected, "{declared}");
    }
}

#[test]
fn rows_without_a_key_cannot_use_the_offtype_table() {
    let column = column("");
    let profile = profile::of_cells(TypeFamily::Any.wanted(column.affinity), &[Integer(1), Text(b"1")]);
    let address = RowAddress::Ordinal;
    let subject = ColumnInput {
        table: "t",
        column: &column,
        profile: &profile,
        role: ColumnRole::Plain,
        address: &address,
        vector_extension: false,
        bad_text: None,
        core_data: false,
    };
    let choice = choose(&subject);
    assert!(!choice.records_off_type);
    assert!(choice.findings.iter().any(|finding| finding.severity == Severity::NeedsDecision), "{:?}", choice.findings);
}

#[test]
fn core_data_never_counts_from_1970() {
    let column = column("TIMESTAMP");
    let address = RowAddress::Rowid("rowid".to_owned());
    let by = |cells: &[SqliteCell<'_>]| {
        let profile = profile::of_cells(TypeFamily::Timestamp { zoned: false }.wanted(column.affinity), cells);
        choose(&ColumnInput {
            table: "ZITEM",
            column: &column,
            profile: &profile,
            role: ColumnRole::Plain,
            address: &address,
            vector_extension: false,
            bad_text: None,
            core_data: true,
        })
    };
    assert_eq!(outline(&by(&[Integer(700_000_000)])), "double precision !type-widened");
    let choice = by(&[Integer(700_000_000), Real(700_000_000.5)]);
    assert_eq!(outline(&choice), "double precision !type-widened");
    assert!(choice.findings[0].choices.iter().any(|choice| choice.contains("core_data")), "{:?}", choice.findings);
}

#[test]
fn a_setting_can_be_pasted_into_the_configuration() {
    let setting = column_setting("a \"b\"", "c\\d\ne", "type = \"text\"");
    let parsed: toml::Table = setting.parse().unwrap();
    assert!(parsed["columns"].as_table().unwrap().contains_key("a \"b\".c\\d\ne"), "{setting}");
}

use declared_type::TypeFamily;
