//! Texts, differences and refusals.

use super::*;

fn shown(text: &str) -> String {
    String::from_utf8(meaning(text.as_bytes()).unwrap().text).unwrap()
}

#[test]
fn spellings_of_one_document_are_one() {
    for (one, other) in [
        (r#"{"a":1,"b":[true,null]}"#, " { \"b\" : [ true , null ] ,\n\"a\":1e0 } "),
        (r#""\u00e9\ud83d\ude00\/""#, "\"é😀/\""),
        ("1.10", "110e-2"),
        ("1.0e1", "10"),
        ("0e3", "0"),
        ("[]", "[ ]"),
        ("{}", "{ }"),
        ("-0", "0"),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
    ] {
        assert_eq!(shown(one), shown(other), "{one}");
    }
}

#[test]
fn texts_are_those_that_jsonb_shows() {
    for (document, text) in [
        (r#"{"bb":1,"a":[],"c":{}, "a":2}"#, r#"{"a": 2, "c": {}, "bb": 1}"#),
        (r#"{"z":{"y":1,"x":[1,{"b":2,"a":1}]},"é":0}"#, r#"{"z": {"x": [1, {"a": 1, "b": 2}], "y": 1}, "é": 0}"#),
        (r#""\u0041\/\u001f\b\ud83d\ude00\u007f""#, "\"A/\\u001f\\b😀\u{7f}\""),
        ("[1.50e1, 1e3, 25e-4, -0.0, 1E+0, 0e5, 120e-1]", "[15.0, 1000, 0.0025, 0.0, 1, 0, 12.0]"),
    ] {
        assert_eq!(shown(document), text);
    }
    let long = format!("[1e3000, 1{}]", "0".repeat(3000));
    assert_eq!(shown(&long), "[1e3001s0, 1e3001s0]");
}

#[test]
fn documents_that_differ_are_different() {
    let all = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "10",
        "\"\"",
        "\"1\"",
        "\"null\"",
        "[]",
        "{}",
        "[[]]",
        "[null]",
        "[1,2]",
        "[2,1]",
        "[[1],2]",
        "[[1,2]]",
        r#"{"a":1}"#,
        r#"{"a":2}"#,
        r#"{"b":1}"#,
        r#"{"a":{"b":1}}"#,
        r#"[{"a":1}]"#,
        r#"["a",1]"#,
        "0.1",
        "0.10",
        "1.0",
        "0.0",
        "1e400",
        "1e401",
    ];
    for (index, one) in all.iter().enumerate() {
        for other in &all[index + 1..] {
            assert_ne!(shown(one), shown(other), "{one} {other}");
        }
    }
}

#[test]
fn what_is_not_json_has_no_meaning() {
    for text in [
        "",
        " ",
        "nul",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "- 1",
        "[1,]",
        "[,1]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "{\"a\":1,}",
        "[1",
        "]",
        "[1}",
        "\"a",
        "\"\t\"",
        r#""\x""#,
        r#""\ud800""#,
        r#""\ud800\u0041""#,
        "1 2",
        "'a'",
        "NaN",
        "Infinity",
        "// 1",
        "nulll",
    ] {
        assert_eq!(meaning(text.as_bytes()), None, "{text}");
    }
    assert_eq!(meaning(b"\"\xff\""), None);
}

#[test]
fn what_jsonb_forgets_is_noticed() {
    for text in [r#"{"a":1,"a":1}"#, "[-0]", "-0.0e5", r#"[{"x":{"a":1,"\u0061":2}}]"#] {
        assert!(meaning(text.as_bytes()).unwrap().loses, "{text}");
    }
    for text in [r#"[{"a":1},{"a":1}]"#, "0.0", r#"{"a":{"a":1}}"#] {
        assert!(!meaning(text.as_bytes()).unwrap().loses, "{text}");
    }
}

#[test]
fn depth_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert!(meaning(deep.as_bytes()).is_some());
}
