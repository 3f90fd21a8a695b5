use super::*;
use crate::model::{
    PgType,
    conversion_plan::{GuidOrder, ListForm, TimeEncoding},
};

fn read_as<'a>(sql: &str, cell: SqliteCell<'a>) -> Result<ReadValue<'a>, Mismatch> {
    let reading = ExistingReading { count: Some(TimeEncoding::UnixMs), ..ExistingReading::default() };
    read(PgColumnType::of(&sql.parse::<PgType>().unwrap()), &reading, cell, &mut Checker::default())
}

#[test]
fn cells_are_read_by_what_the_type_means() {
    use SqliteCell::{Blob, Integer, Real, Text};
    for (sql, cell, expected) in [
        ("boolean", Integer(1), Ok(Value::Boolean(true))),
        ("boolean", Text(b"No"), Ok(Value::Boolean(false))),
        ("boolean", Integer(2), Err(Mismatch::Range)),
        ("smallint", Integer(40_000), Err(Mismatch::Range)),
        ("integer", Real(3.0), Ok(Value::Integer(3))),
        ("integer", Real(3.5), Ok(Value::Integer(4))),
        ("bigint", Text(b"-12"), Ok(Value::Integer(-12))),
        ("numeric(6,2)", Real(12.5), Ok(Value::Number(Number::from_text("12.50").unwrap()))),
        ("numeric(6,2)", Real(12.555), Ok(Value::Number(Number::from_text("12.56").unwrap()))),
        ("numeric(6,2)", Integer(10_000), Err(Mismatch::Range)),
        ("varchar(2)", Text("äöü".as_bytes()), Ok(Value::Text("äö".into()))),
        ("character(3)", Text(b"a"), Ok(Value::Text("a  ".into()))),
        ("text", Text(b"a\0"), Err(Mismatch::Text)),
        ("uuid", Text(b"00112233445566778899aabbccddeeff"), Ok(Value::Uuid(hex_16()))),
        ("uuid", Text(b"00112233-4455-6677-8899-AABBCCDDEEFF"), Ok(Value::Uuid(hex_16()))),
        ("uuid", Blob(b"x"), Err(Mismatch::Form)),
        ("date", Text(b"1970-01-03"), Ok(Value::Days(2))),
        ("date", Text(b"1970-01-03T00:00:00.000Z"), Ok(Value::Days(2))),
        ("date", Text(b"1970-01-03 01:00"), Ok(Value::Days(2))),
        ("date", Text(b"1970-01-03T00:00:00+02:00"), Ok(Value::Days(2))),
        ("timestamptz", Integer(1_500), Ok(Value::Timestamp(1_500_000))),
        ("timestamp", Text(b"1970-01-01T00:00:01Z"), Ok(Value::Timestamp(1_000_000))),
        ("timestamp(3)", Text(b"1970-01-01 00:00:00.0019"), Ok(Value::Timestamp(1_000))),
        ("timestamp", Text(b"1969-12-31 23:59:59.9999999"), Ok(Value::Timestamp(-1))),
        ("timestamptz", Text(b"1970-01-01 02:00:00.123456789 +0200 CEST m=+0.1"), Ok(Value::Timestamp(123_456))),
        ("timestamptz", Real(1.5), Ok(Value::Timestamp(1_500))),
        ("time", Text(b"2000-01-01 00:01:00"), Ok(Value::Clock(60_000_000))),
        ("jsonb", Text(b"{\"a\":1,\"a\":2}"), Err(Mismatch::Document)),
        ("json", Text(b"{"), Err(Mismatch::Form)),
        ("vector(2)", Text(b"[1, 2.5]"), Ok(Value::Vector(vec![1.0, 2.5]))),
        ("vector(3)", Text(b"[1, 2.5]"), Err(Mismatch::Dimensions)),
        ("real", Real(0.1), Ok(Value::Real(0.1))),
    ] {
        let found = read_as(sql, cell).map(|read| read.content);
        assert_eq!(found, expected.map(ReadContent::One), "{sql} {cell:?}");
    }
}

fn hex_16() -> [u8; 16] {
    0x0011_2233_4455_6677_8899_aabb_ccdd_eeff_u128.to_be_bytes()
}

#[test]
fn arrays_are_read_from_json_and_from_their_own_text() {
    let many = |sql: &str, text: &'static [u8]| match read_as(sql, SqliteCell::Text(text)).map(|read| read.content) {
        Ok(ReadContent::Many(array)) => Ok((array.lengths, array.items)),
        Ok(ReadContent::One(_)) => panic!("{sql}"),
        Err(mismatch) => Err(mismatch),
    };
    let texts = |items: &[&'static str]| items.iter().map(|item| Some(Value::Text((*item).into()))).collect();
    let numbers = |items: &[i64]| items.iter().map(|item| Some(Value::Integer(*item))).collect();
    assert_eq!(many("text[]", b"[\"a\", null]"), Ok((vec![2], vec![Some(Value::Text("a".into())), None])));
    assert_eq!(many("text[]", b"{a,\"b, \\\"c\",d\\,e}"), Ok((vec![3], texts(&["a", "b, \"c", "d,e"]))));
    assert_eq!(many("text[]", b"{\"NULL\"}"), Ok((vec![1], texts(&["NULL"]))));
    assert_eq!(many("integer[]", b"[[1,2],[3,4]]"), Ok((vec![2, 2], numbers(&[1, 2, 3, 4]))));
    assert_eq!(many("integer[]", b"{{1,2,3}}"), Ok((vec![1, 3], numbers(&[1, 2, 3]))));
    assert_eq!(many("boolean[]", b"[true]"), Ok((vec![1], vec![Some(Value::Boolean(true))])));
    for empty in [&b"[]"[..], b"{}"] {
        assert_eq!(many("text[]", empty), Ok((Vec::new(), Vec::new())));
    }
    for (sql, wrong) in [
        ("text[]", &b"[1]"[..]),
        ("integer[]", b"[1,[2]]"),
        ("integer[]", b"[[1],2]"),
        ("integer[]", b"[[1],[2,3]]"),
        ("integer[]", b"[[]]"),
        ("text[]", b"a,b"),
        ("text[]", b"{a"),
        ("text[]", b"{a}b"),
        ("text[]", b"{a,}"),
    ] {
        assert_eq!(many(sql, wrong), Err(Mismatch::Form), "{wrong:?}");
    }
}

#[test]
fn what_postgresql_reads_is_written_as_text() {
    use SqliteCell::{Integer, Text};
    for (sql, cell, expected) in [
        ("inet", Text(b"2001:DB8::1"), Some("2001:db8::1")),
        ("inet", Text(b"10.0.0.1/8"), Some("10.0.0.1/8")),
        ("inet", Text(b"10.0.0.256"), None),
        ("cidr", Text(b"10.0.0.0/8"), Some("10.0.0.0/8")),
        ("cidr", Text(b"10.0.0.1/8"), None),
        ("macaddr", Text(b"0800.2B01.0203"), Some("08:00:2b:01:02:03")),
        ("macaddr8", Text(b"08:00:2b:01:02:03"), Some("08:00:2b:ff:fe:01:02:03")),
        ("macaddr", Text(b"08:00:2b"), None),
        ("interval", Integer(86_405_000_007), Some("1000 days 01:23:20.007000")),
        ("interval", Text(b"-1.02:03:04.5000001"), Some("-1 days -02:03:04.500000")),
        ("interval", Text(b"1970-01-02 00:00:05.000007"), Some("1 days 00:00:05.000007")),
        ("interval", Text(b"1 day"), Some("1 day")),
        ("interval", Text(b"5"), None),
        ("timetz", Text(b"01:02:03.5-0330"), Some("01:02:03.500000-03:30")),
        ("timetz", Text(b"10:00:00+02"), Some("10:00:00.000000+02:00")),
        ("timetz", Text(b"10:00-15"), Some("10:00:00.000000-15:00")),
        ("timetz", Text(b"10:00:00Z"), Some("10:00:00.000000+00:00")),
        ("timetz", Text(b"10:00:00+2"), None),
        ("timetz", Text(b"10:00:00+16"), None),
        ("timetz", Text(b"10:00:00+02:"), None),
        ("bit(3)", Text(b"101"), Some("101")),
        ("bit(3)", Text(b"1011"), None),
        ("bit", Integer(1), Some("1")),
        ("money", SqliteCell::Real(1.5), Some("1.50")),
        (
            "hstore",
            Text(b"{\"a\":\"b\\\"c\",\"d\":null,\"e\":1}"),
            Some("\"a\"=>\"b\\\"c\", \"d\"=>NULL, \"e\"=>\"1\""),
        ),
        ("inet[]", Text(b"[\"::1\",null]"), Some("{\"::1\",NULL}")),
        ("app.role[]", Text(b"{admin}"), Some("{\"admin\"}")),
        ("jsonb[]", Text(b"[{\"a\":1},[2]]"), Some("{\"{\\\"a\\\":1}\",\"[2]\"}")),
        ("box[]", Text(b"[\"(1,1),(0,0)\",\"(2,2),(1,1)\"]"), Some("{\"(1,1),(0,0)\";\"(2,2),(1,1)\"}")),
        ("point", Text(b"(1,2)"), Some("(1,2)")),
    ] {
        let found = read_as(sql, cell).ok().map(|read| read.content);
        assert_eq!(found, expected.map(|text| ReadContent::One(Value::Text(text.into()))), "{sql} {cell:?}");
    }
}

#[test]
fn settings_change_the_reading() {
    let with = |sql: &str, reading: ExistingReading, cell| {
        let shape = PgColumnType::of(&sql.parse::<PgType>().unwrap());
        read(shape, &reading, cell, &mut Checker::default())
    };
    let plain = ExistingReading::default;
    let comma = ExistingReading { list: Some(ListForm::Comma), ..plain() };
    let list = with("text[]", comma, SqliteCell::Text(b"a, b")).unwrap().content;
    assert_eq!(list, with("text[]", plain(), SqliteCell::Text(b"[\"a\",\"b\"]")).unwrap().content);
    let dotnet = ExistingReading { guid: GuidOrder::Dotnet, ..plain() };
    let blob: Vec<u8> = (0..16).collect();
    let turned = with("uuid", dotnet, SqliteCell::Blob(&blob)).unwrap().content;
    let text = SqliteCell::Text(b"{03020100-0504-0706-0809-0A0B0C0D0E0F}");
    assert_eq!(turned, with("uuid", plain(), text).unwrap().content);
    let zone = ExistingReading { zone: "Europe/Berlin".parse().ok(), ..plain() };
    let found = with("timestamptz", zone, SqliteCell::Text(b"1970-01-01 01:00:00")).unwrap();
    assert_eq!((found.content, found.notes), (ReadContent::One(Value::Timestamp(0)), vec![Note::NaiveInZone]));
    let twice = with("timestamptz", zone, SqliteCell::Text(b"2024-10-27 02:30")).unwrap();
    assert_eq!(twice.altered, [Altered::Ambiguous]);
    let exact = with("date", ExistingReading::exact(), SqliteCell::Text(b"2024-01-01 01:00"));
    assert_eq!(exact, Err(Mismatch::Digits));
    let replaced = ExistingReading { replaces_text: true, ..plain() };
    let text = with("text", replaced, SqliteCell::Text(b"a\0")).unwrap().content;
    assert_eq!(text, ReadContent::One(Value::Text("a\u{fffd}".into())));
}

#[test]
fn what_is_lost_is_said() {
    let altered = |sql: &str, cell| read_as(sql, cell).unwrap().altered;
    assert_eq!(altered("real", SqliteCell::Real(0.1)), []);
    assert_eq!(altered("real", SqliteCell::Real(0.123_456_789)), [Altered::Rounded]);
    assert_eq!(altered("double precision", SqliteCell::Integer((1 << 53) + 1)), [Altered::Rounded]);
    assert_eq!(altered("double precision", SqliteCell::Integer(1 << 60)), []);
    assert_eq!(altered("timestamptz", SqliteCell::Text(b"2024-01-01T00:00:00+02:00")), [Altered::Shifted]);
    assert_eq!(altered("timestamptz", SqliteCell::Text(b"2024-01-01T00:00:00.1000000Z")), []);
    assert_eq!(altered("timestamp", SqliteCell::Text(b"2024-01-01T00:00:00.1234567Z")), [Altered::FractionCut]);
    let notes = |sql: &str, cell| read_as(sql, cell).unwrap().notes;
    assert_eq!(notes("integer", SqliteCell::Text(b"007")), [Note::NumberSpelling]);
    assert_eq!(notes("numeric", SqliteCell::Text(b"0.50")), []);
    assert_eq!(notes("bytea", SqliteCell::Text(b"a")), [Note::TextAsBytes]);
    assert_eq!(notes("timestamp", SqliteCell::Text(b"2024-01-01")), [Note::ZoneNotKept]);
}

#[test]
fn equal_values_have_equal_forms() {
    let of =
        |sql: &str, cell| form(PgColumnType::of(&sql.parse::<PgType>().unwrap()), &ExistingReading::default(), cell);
    assert_eq!(of("citext", SqliteCell::Text(b"Ab")), of("citext", SqliteCell::Text(b"aB")));
    assert_ne!(of("text", SqliteCell::Text(b"Ab")), of("text", SqliteCell::Text(b"aB")));
    assert_eq!(of("numeric", SqliteCell::Text(b"1.50")), of("numeric", SqliteCell::Real(1.5)));
    assert_eq!(of("integer", SqliteCell::Integer(7)), of("bigint", SqliteCell::Text(b"7")));
}
