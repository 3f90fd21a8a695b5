use super::*;
use crate::rules::type_choice::declared_type::TypeFamily;

fn counted<'a>(wanted: WantedShapes, cells: &[SqliteCell<'_>], from: i64) -> ColumnAccumulator<'a> {
    let mut tally = ColumnAccumulator::new(wanted, &[]);
    for (at, cell) in (from..).zip(cells) {
        tally.add(at, *cell);
    }
    tally
}

const MIXED: [SqliteCell<'static>; 14] = [
    SqliteCell::Null,
    SqliteCell::Integer(5),
    SqliteCell::Text(b"2024-01-02"),
    SqliteCell::Real(1.5),
    SqliteCell::Text(b"2024-01-02 03:04:05+02:00"),
    SqliteCell::Text(b"7"),
    SqliteCell::Blob(b"xyz"),
    SqliteCell::Integer(-3),
    SqliteCell::Text("é".as_bytes()),
    SqliteCell::Text(b"a\0b"),
    SqliteCell::Text(b"\xff"),
    SqliteCell::Real(-0.0),
    SqliteCell::Real(f64::INFINITY),
    SqliteCell::Text(b""),
];

#[test]
fn everything_is_counted() {
    let wanted = TypeFamily::Timestamp { zoned: false }.wanted(crate::model::source_schema::Affinity::Numeric);
    let (profile, _) = counted(wanted, &MIXED, 1).finish();
    assert_eq!((profile.nulls, profile.integers, profile.reals, profile.texts, profile.blobs), (1, 2, 3, 7, 1));
    assert_eq!(profile.integer_range, Some((-3, 5)));
    assert_eq!((profile.reals_integral, profile.reals_infinite, profile.reals_negative_zero), (1, 1, 1));
    assert_eq!((profile.texts_with_nul, profile.texts_not_utf8, profile.texts_empty), (1, 1, 1));
    assert_eq!(profile.first_not_storable, Some(10));
    assert_eq!(profile.texts_like_numbers, 1);
    assert_eq!((profile.shape(word::DATE), profile.shape(word::ZONED)), (1, 1));
    assert_eq!(profile.offsets, [120]);
    assert_eq!(profile.first_off_shape, Some(6));
    assert_eq!(profile.text_longest, (25, 25));
    assert_eq!(profile.first(StorageClass::Blob), Some(7));
}

#[test]
fn parts_add_up_to_the_whole() {
    for wanted in [
        TypeFamily::Json.wanted(crate::model::source_schema::Affinity::Numeric),
        TypeFamily::Timestamp { zoned: false }.wanted(crate::model::source_schema::Affinity::Numeric),
        TypeFamily::Text(Some(3)).wanted(crate::model::source_schema::Affinity::Text),
        TypeFamily::Decimal(Some((5, 2))).wanted(crate::model::source_schema::Affinity::Numeric),
    ] {
        let whole = counted(wanted, &MIXED, 1).finish().0;
        for cut in 0..=MIXED.len() {
            let (front, back) = MIXED.split_at(cut);
            let mut back = counted(wanted, back, 1 + i64::try_from(cut).unwrap());
            back.merge(counted(wanted, front, 1));
            assert_eq!(back.finish().0, whole, "cut at {cut}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn digits_are_those_of_the_shortest_decimal(values in proptest::collection::vec(
        proptest::prop_oneof![
            proptest::num::f64::NORMAL,
            (-1_000_000_i32..1_000_000, 0_usize..8).prop_map(|(number, scale)| f64::from(number) / POWERS[scale]),
        ], 1..8)) {
        let wanted = WantedShapes { decimal_digits: true, ..WantedShapes::default() };
        let cells: Vec<SqliteCell<'_>> = values.iter().map(|value| SqliteCell::Real(*value)).collect();
        let (profile, _) = counted(wanted, &cells, 1).finish();
        let decimals = || values.iter().filter_map(|value| Decimal::from_real(*value));
        let expected = (
            decimals().map(|decimal| decimal.whole_digits()).max().unwrap_or(0),
            decimals().map(|decimal| decimal.scale()).max().unwrap_or(0),
        );
        proptest::prop_assert_eq!(profile.decimal_digits, expected);
    }

    #[test]
    fn whole_numbers_are_distinguished_from_others(value in proptest::num::f64::ANY) {
        let expected = value.fract() == 0.0 && value.abs() < INTEGER_END;
        proptest::prop_assert_eq!(is_whole(value), expected);
    }
}

use proptest::strategy::Strategy as _;
