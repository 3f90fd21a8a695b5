//! Small rules by themselves; the statements as a whole are tested on servers (`tests/it/schema`).

use super::{
    Rename, alter_object::labels, columns::widens, words_in_sql::comment_parts, words_in_sql::mentions,
    words_in_sql::with_name_replaced,
};
use crate::model::catalog::{ObjectKind, ObjectName};

#[test]
fn a_wider_type_accepts_every_value() {
    let wider = [
        ("smallint", "bigint"),
        ("integer", "numeric"),
        ("integer", "numeric(12,2)"),
        ("character varying(5)", "character varying(9)"),
        ("character varying(5)", "text"),
        ("numeric(10,2)", "numeric(12,3)"),
        ("timestamp(3) without time zone", "timestamp without time zone"),
        ("real", "double precision"),
    ];
    for (old, new) in wider {
        assert!(widens(old, new), "{old} to {new}");
        assert!(!widens(new, old), "{new} to {old}");
    }
    for (old, new) in [
        ("integer", "numeric(11,2)"),
        ("numeric(10,2)", "numeric(11,4)"),
        ("integer", "text"),
        ("text", "character varying"),
    ] {
        assert!(!widens(old, new), "{old} to {new}");
    }
}

#[test]
fn a_label_is_added_where_it_stands() {
    let name = ObjectName::new(ObjectKind::Type, "s", "mood");
    let list = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
    let found = labels(&name, &list(&["a", "b", "c", "d"]), &list(&["b", "d"]));
    let sql: Vec<&str> = found.iter().map(|(_, sql)| sql.as_str()).collect();
    assert_eq!(
        sql,
        ["ALTER TYPE \"s\".\"mood\" ADD VALUE 'a' BEFORE 'b'", "ALTER TYPE \"s\".\"mood\" ADD VALUE 'c' AFTER 'b'"]
    );
}

#[test]
fn names_are_whole_words() {
    assert!(mentions("CHECK ((a > 0))", "a") && mentions("nextval('t_id_seq'::regclass)", "t_id_seq"));
    assert!(!mentions("CHECK ((aa > 0))", "a") && !mentions("a", ""));
    assert_eq!(with_name_replaced("(a + \"a\" + aa)", "a", "New"), "(\"New\" + \"New\" + aa)");
}

#[test]
fn a_comment_has_a_target_and_a_text() {
    let parts = comment_parts("COMMENT ON TABLE \"x IS 'y\" IS 'it''s IS '");
    assert_eq!(parts, Some(("COMMENT ON TABLE \"x IS 'y\"", "'it''s IS '")));
    assert_eq!(comment_parts("COMMENT ON TABLE t IS E'a\\\\b'").map(|(target, _)| target), Some("COMMENT ON TABLE t"));
}

#[test]
fn a_rename_is_of_a_table_or_a_column() {
    let column = |table: &str, old: &str, new: &str| {
        Some(Rename { table: table.to_owned(), column: Some(old.to_owned()), new: new.to_owned() })
    };
    assert_eq!(Rename::parse("a=b"), Some(Rename { table: "a".to_owned(), column: None, new: "b".to_owned() }));
    assert_eq!(Rename::parse("t.a=b"), column("t", "a", "b"));
    assert_eq!(Rename::parse("t.a=t.b"), column("t", "a", "b"));
    for wrong in ["a", "=b", "a=", "a=t.b", ".a=b", "t.=b"] {
        assert_eq!(Rename::parse(wrong), None, "{wrong}");
    }
}
