use super::*;
use crate::stages::verify::canonical_row::{FieldMark, FieldShape};

fn reading(conversion: Conversion, pg_type: PgType) -> ColumnReading {
    ColumnReading {
        conversion,
        pg_type,
        chosen: false,
        exceptions: Exceptions::default(),
        replaces: false,
        labels: Vec::new(),
        by_text: false,
    }
}

fn mark(reading: &ColumnReading, cell: SqliteCell<'_>) -> FieldMark {
    let mut image = CanonicalRow::default();
    reading.append(&mut image, cell);
    image.marks().remove(0)
}

#[test]
fn cells_that_a_conversion_does_not_name_never_fit() {
    for (conversion, pg_type, cell, mismatch) in [
        (Conversion::Integer, PgType::BigInt, SqliteCell::Text(b"1"), Mismatch::Class),
        (Conversion::Integer, PgType::SmallInt, SqliteCell::Integer(40_000), Mismatch::Loss),
        (Conversion::IntegerBoolean, PgType::Boolean, SqliteCell::Integer(2), Mismatch::Loss),
        (Conversion::WordBoolean, PgType::Boolean, SqliteCell::Text(b"yes"), Mismatch::Form),
        (Conversion::Double, PgType::Double, SqliteCell::Integer(i64::MAX), Mismatch::Loss),
        (Conversion::Numeric, PgType::Numeric(Some((4, 2))), SqliteCell::Real(1.005), Mismatch::Loss),
        (Conversion::Numeric, PgType::Numeric(Some((4, 2))), SqliteCell::Integer(100), Mismatch::Loss),
        (Conversion::Numeric, PgType::Numeric(Some((4, 2))), SqliteCell::Real(f64::INFINITY), Mismatch::Loss),
        (Conversion::Date, PgType::Date, SqliteCell::Text(b"2024-02-30"), Mismatch::Form),
        (Conversion::Timestamp, PgType::Timestamp, SqliteCell::Text(b"2024-02-20 00:00Z"), Mismatch::Form),
        (Conversion::Epoch { unit: EpochUnit::Seconds }, PgType::Date, SqliteCell::Integer(1), Mismatch::Loss),
        (Conversion::UuidText, PgType::Uuid, SqliteCell::Text(b"{0}"), Mismatch::Form),
        (Conversion::UuidBlob, PgType::Uuid, SqliteCell::Blob(b"0"), Mismatch::Form),
        (Conversion::Json, PgType::Jsonb, SqliteCell::Text(b"{\"a\":1,\"a\":2}"), Mismatch::Loss),
        (Conversion::Json, PgType::Jsonb, SqliteCell::Text(b"{a:1}"), Mismatch::Form),
    ] {
        let found = mark(&reading(conversion, pg_type), cell).shape;
        assert_eq!(found, FieldShape::Mismatch(mismatch), "{conversion:?}");
    }
}

#[test]
fn ill_formed_text_is_repaired_as_the_standard_library_repairs_it() {
    for bytes in [
        &b"plain"[..],
        b"a\0b\xffc",
        b"\xe2\x82\xac\xe2\x82",
        b"\xed\xa0\x80\xf4\x90\x80\x80\xf0\x9f\x98",
        b"\xc0\xaf\xe0\x80\xf8\x88",
    ] {
        assert_eq!(
            replace_invalid_utf8(bytes),
            String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}").into_bytes(),
            "{bytes:?}"
        );
    }
}

#[test]
fn exceptions_are_null_or_reject() {
    let outcome = |exceptions: Exceptions, cell| {
        let mut image = CanonicalRow::default();
        let reading = ColumnReading { exceptions, ..reading(Conversion::Integer, PgType::BigInt) };
        (reading.append(&mut image, cell), image.marks().remove(0).shape)
    };
    let null = Exceptions { off_type: Some(OffType::Null), ..Exceptions::default() };
    let reject = Exceptions { off_type: Some(OffType::Reject), empty_as_null: true };
    assert_eq!(outcome(null, SqliteCell::Text(b"x")), (CellOutcome::Nulled, FieldShape::Null));
    assert_eq!(outcome(null, SqliteCell::Integer(1)).0, CellOutcome::Kept);
    assert_eq!(outcome(reject, SqliteCell::Text(b"x")).0, CellOutcome::Rejected);
    assert_eq!(outcome(reject, SqliteCell::Text(b"")), (CellOutcome::Nulled, FieldShape::Null));
}

#[test]
fn counts_of_time_and_turned_uuids() {
    let value = |conversion, pg_type, cell| mark(&reading(conversion, pg_type), cell);
    let at = |micros: i64| {
        let mut image = CanonicalRow::default();
        image.value(&micros.to_be_bytes());
        image.marks().remove(0)
    };
    for (by, cell, expected) in [
        (TimeEncoding::UnixS, SqliteCell::Real(1.25), 1_250_000),
        (TimeEncoding::UnixNs, SqliteCell::Integer(5_000), 5),
        (TimeEncoding::CoreData, SqliteCell::Integer(0), 978_307_200_000_000),
        (TimeEncoding::Julian, SqliteCell::Real(2_440_587.75), datetime::DAY / 4),
        (TimeEncoding::Julian, SqliteCell::Integer(2_440_588), datetime::DAY / 2),
    ] {
        assert_eq!(value(Conversion::Computed { by }, PgType::TimestampTz, cell), at(expected), "{by:?}");
    }
    for (by, cell) in [
        (TimeEncoding::UnixNs, SqliteCell::Integer(5_001)),
        (TimeEncoding::UnixMs, SqliteCell::Real(0.000_1)),
        (TimeEncoding::Julian, SqliteCell::Real(1.0)),
    ] {
        let found = value(Conversion::Computed { by }, PgType::TimestampTz, cell).shape;
        assert!(matches!(found, FieldShape::Mismatch(_)), "{by:?}");
    }
    let blob: Vec<u8> = (0..16).collect();
    let turned = value(Conversion::UuidDotnet, PgType::Uuid, SqliteCell::Blob(&blob));
    let text = SqliteCell::Text(b"03020100-0504-0706-0809-0a0b0c0d0e0f");
    assert_eq!(turned, value(Conversion::UuidText, PgType::Uuid, text));
}

#[test]
fn numbers_show_their_scale() {
    let scale = |pg_type, cell| match mark(&reading(Conversion::Numeric, pg_type), cell).shape {
        FieldShape::Number { scale } => scale,
        other => panic!("{other:?}"),
    };
    assert_eq!(scale(PgType::Numeric(None), SqliteCell::Real(1.5)), 1);
    assert_eq!(scale(PgType::Numeric(None), SqliteCell::Integer(7)), 0);
    assert_eq!(scale(PgType::Numeric(Some((5, 2))), SqliteCell::Real(1.5)), 2);
    assert_eq!(scale(PgType::Numeric(Some((2, 2))), SqliteCell::Real(0.25)), 2);
}

#[test]
fn a_choice_of_the_user_covers_what_jsonb_forgets() {
    let chosen = ColumnReading { chosen: true, ..reading(Conversion::Json, PgType::Jsonb) };
    let found = mark(&chosen, SqliteCell::Text(b"{\"a\":1,\"a\":2}"));
    assert_eq!(found, mark(&chosen, SqliteCell::Text(b"{\"a\":2}")));
}

#[test]
fn blobs_in_text_are_hexadecimal_unless_they_are_text() {
    let hex = reading(Conversion::Text { blobs: BlobText::Hex }, PgType::Text);
    let either = reading(Conversion::Text { blobs: BlobText::Utf8OrHex }, PgType::Text);
    assert_eq!(mark(&hex, SqliteCell::Blob(b"ab")), mark(&hex, SqliteCell::Text(b"\\x6162")));
    assert_eq!(mark(&either, SqliteCell::Blob(b"ab")), mark(&hex, SqliteCell::Text(b"ab")));
    assert_eq!(mark(&either, SqliteCell::Blob(b"a\0")), mark(&hex, SqliteCell::Text(b"\\x6100")));
}
