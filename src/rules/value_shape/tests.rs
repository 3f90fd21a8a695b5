use super::*;

#[test]
fn scan_finds_every_nul_and_high_byte_wherever_it_is() {
    for length in 0..40 {
        let plain = vec![b'x'; length];
        assert_eq!(scan(&plain), Scan { ascii: true, nul: false });
        for at in 0..length {
            let mut bytes = plain.clone();
            bytes[at] = 0;
            assert_eq!(scan(&bytes), Scan { ascii: true, nul: true }, "{at} of {length}");
            bytes[at] = 0x80;
            assert_eq!(scan(&bytes), Scan { ascii: false, nul: false }, "{at} of {length}");
        }
    }
}

#[test]
fn stamps_know_how_postgresql_prints_them() {
    for (text, expected) in [
        ("2024-01-02", Some((StampKind::Date, true))),
        ("2024-01-02 03:04:05", Some((StampKind::Naive, true))),
        ("2024-01-02 03:04:05.5", Some((StampKind::Naive, true))),
        ("2024-01-02 03:04:05.50", Some((StampKind::Naive, false))),
        ("2024-01-02 03:04", Some((StampKind::Naive, false))),
        ("2024-01-02T03:04:05", Some((StampKind::Naive, false))),
        ("2024-01-02T03:04:05Z", Some((StampKind::Zoned(0), false))),
        ("2024-01-02 03:04:05+05:30", Some((StampKind::Zoned(330), false))),
        ("now", None),
        ("2024-01-02 03:04:05.1234567", None),
    ] {
        assert_eq!(stamp(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(clock(b"03:04"), Some(false));
    assert_eq!(clock(b"03:04:05"), Some(true));
    assert_eq!(clock(b"03:04:05.10"), Some(false));
    assert_eq!(clock(b"24:00:00"), None);
}

proptest::proptest! {
    #[test]
    fn the_short_cut_for_timestamps_says_what_the_recogniser_says(
        text in "[0-2][0-9]{3}-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9]Z?",
        at in 0_usize..20,
        byte in proptest::num::u8::ANY,
    ) {
        let mut changed = text.clone().into_bytes();
        if let Some(place) = changed.get_mut(at) {
            *place = byte;
        }
        for text in [text.as_bytes(), &changed] {
            if let Some((kind, printed)) = usual_stamp(text) {
                let slow = datetime::parse_stamp(text);
                let expected = slow.map(|stamp| stamp.offset_minutes.map_or(StampKind::Naive, StampKind::Zoned));
                proptest::prop_assert_eq!(Some(kind), expected);
                proptest::prop_assert_eq!(printed, kind == StampKind::Naive && text[10] == b' ');
            }
        }
    }

    #[test]
    fn a_uuid_has_no_other_byte(
        text in "[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-fA-F]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        at in 0_usize..36,
        byte in proptest::num::u8::ANY,
    ) {
        proptest::prop_assert_eq!(uuid(text.as_bytes()), Some(!text.bytes().any(|byte| byte.is_ascii_uppercase())));
        let mut changed = text.into_bytes();
        changed[at] = byte;
        let fits = if [8, 13, 18, 23].contains(&at) { byte == b'-' } else { byte.is_ascii_hexdigit() };
        proptest::prop_assert_eq!(uuid(&changed).is_some(), fits);
    }
}

#[test]
fn uuids_are_canonical_or_nothing() {
    assert_eq!(uuid(b"6f1c9bd0-0000-4000-8000-00000000000a"), Some(true));
    assert_eq!(uuid(b"6F1C9BD0-0000-4000-8000-00000000000a"), Some(false));
    assert_eq!(uuid(b"{6f1c9bd0-0000-4000-8000-0000000000}"), None);
    assert_eq!(uuid(b"6f1c9bd000004000800000000000000a"), None);
    let mut blob = [0x11_u8; 16];
    let none = UuidBytes::default();
    assert_eq!(uuid_bytes(&blob), none);
    blob[8] = 0x91;
    assert_eq!(uuid_bytes(&blob), UuidBytes { network: true, ..none });
    blob[7] = 0x41;
    assert_eq!(uuid_bytes(&blob), UuidBytes { network: true, network_v4: false, swapped_v4: true });
    blob[6] = 0x01;
    assert_eq!(uuid_bytes(&blob), UuidBytes { swapped_v4: true, ..none });
    assert_eq!(uuid_bytes(&blob[1..]), none);
}

#[test]
fn numbers_written_as_text_are_noticed() {
    for text in ["1", "-1", "1.0", "1.0e+20", "Inf", "-Inf", "9223372036854775807", "0.1"] {
        assert!(like_number(text.as_bytes()), "{text}");
    }
    for text in ["", "abc", "2024-01-02", "1a", "0x10", " 1", "-"] {
        assert!(!like_number(text.as_bytes()), "{text}");
    }
}

#[test]
fn what_no_text_can_hold_is_replaced_piece_by_piece() {
    for (text, expected) in [
        (&b"a\0b"[..], "a\u{fffd}b"),
        (b"\0\0", "\u{fffd}\u{fffd}"),
        (b"\xc0\x80", "\u{fffd}\u{fffd}"),
        (b"\xed\xa0\xbd", "\u{fffd}\u{fffd}\u{fffd}"),
        (b"\xe2\x82", "\u{fffd}"),
        (b"\xe2\x82x\xff", "\u{fffd}x\u{fffd}"),
        (b"fine", "fine"),
    ] {
        assert_eq!(replaced(text), expected, "{text:?}");
        assert_eq!(is_storable(text), text == b"fine");
    }
}

#[test]
fn whole_numbers_have_one_spelling() {
    for (text, expected) in [
        ("0", Some(0)),
        ("-7", Some(-7)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-0", None),
        ("007", None),
        ("+7", None),
        (" 7", None),
        ("7.0", None),
        ("", None),
        ("-", None),
    ] {
        assert_eq!(whole_number(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn a_guid_turns_back_and_forth() {
    let network: [u8; 16] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let turned = turned_guid(&network).unwrap();
    assert_eq!(turned[..8], [3, 2, 1, 0, 5, 4, 7, 6]);
    assert_eq!(turned_guid(&turned), Some(network));
    assert_eq!(turned_guid(&network[1..]), None);
}

#[test]
fn words_of_truth() {
    assert_eq!(bool_word(b"Yes"), Some(true));
    assert_eq!(bool_word(b"OFF"), Some(false));
    assert_eq!(bool_word(b"0"), Some(false));
    assert_eq!(bool_word(b"maybe"), None);
    assert_eq!(truth(b"T"), Some(BooleanWord::Letter));
    assert_eq!(truth(b"False"), Some(BooleanWord::Word));
    assert_eq!(truth(b"yes"), None);
    assert_eq!(truth(b""), None);
}
