use super::*;
use crate::model::overrides::Encoding;

fn refused(text: &str) -> Error {
    ConfigFile::parse(text, "t.toml").err().unwrap()
}

#[test]
fn the_contract_example_is_read() {
    let config = ConfigFile::parse(
        "identifiers = \"snake\"\njobs = 4\n[types]\n\"Money  CENTS\" = \"bigint\"\n\
         [columns.\"users.created_at\"]\ntype = \"timestamptz\"\nfrom = \"unix_ms\"\n\
         [accept]\n\"orphan-rows\" = [\"comments\"]\n",
        "t.toml",
    )
    .unwrap();
    assert_eq!(config.overrides.identifiers, Identifiers::Snake);
    assert_eq!(config.flag("jobs"), Some(vec!["4".to_owned()]));
    assert_eq!(config.overrides.types.get("money cents").map(String::as_str), Some("bigint"));
    assert_eq!(config.overrides.columns["users.created_at"].from, Some(Encoding::UnixMs));
    assert_eq!(config.accept["orphan-rows"], ["comments"]);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    assert_eq!(refused("taget = 'x'").hint(), "did you mean `target`?");
    assert_eq!(refused("auth_token_fil = 'x'").hint(), "did you mean `auth-token-file`?");
    assert_eq!(refused("[columns.'a.b']\ntyp = 'text'").hint(), "did you mean `type`?");
    assert_eq!(refused("[accept]\norphan-row = ['x']").hint(), "did you mean `orphan-rows`?");
    assert!(refused("zzzzzz = 1").hint().starts_with("the keys are dir, "));
    assert!(refused("sample = 1").message().contains("not in this version"));
}

#[test]
fn a_key_may_be_written_with_underscores() {
    for text in ["on_type_change = 'follow'", "on-type-change = 'follow'"] {
        let file = ConfigFile::parse(text, "t.toml").unwrap();
        assert_eq!(file.flag("on-type-change"), Some(vec!["follow".to_owned()]), "{text}");
    }
}

#[test]
fn values_are_checked_and_never_repeated() {
    for text in [
        "jobs = 'hunter2'",
        "jobs = 0",
        "mode = 'hunter2'",
        "target = 5",
        "target = 'hunter2' x",
        "target = \"hunter2",
        "include = 'hunter2'",
        "json = 'hunter2'",
        "format = 'hunter2'",
        "identifiers = 'hunter2'",
        "[accept]\norphan-rows = 'hunter2'",
        "\"postgres://u:hunter2@h/d\" = 1",
        "[columns.'a.b']\nfrom = 'hunter2'",
    ] {
        let error = refused(text);
        assert_eq!(error.kind(), Kind::Config, "{text}");
        assert!(!format!("{error} {}", error.hint()).contains("hunter2"), "{text}: {error} {}", error.hint());
    }
}

#[test]
fn a_wrong_value_says_what_the_key_takes() {
    for (text, said) in [
        ("jobs = 0", "`jobs` must be a whole number from 1 to 256"),
        ("lock-wait = 'soon'", "`lock-wait` must be a whole number from 1 to 86400"),
        ("verbose = 3", "`verbose` must be a whole number from 0 to 2"),
        ("mode = 'x'", "`mode` must be one of auto, create, diff, replace, swap"),
        ("format = 5", "`format` must be one of html, json, md, sql, text"),
        ("json = 1", "`json` must be true or false"),
        ("target = 5", "`target` must be a string"),
        ("schema = ' '", "`schema` is empty"),
        ("include = [1]", "`include` must be a list of strings"),
        ("tables = 5", "`tables` must be a list of strings"),
        ("accept = ['x']", "`accept` must be a table"),
        ("fts = 1", "`fts` must be one of none, tsvector"),
        ("columns.'a.b' = 1", "`columns.\"a.b\"` must be a table"),
        ("columns.'a.b'.off_type = 'drop'", "`columns.\"a.b\".off_type` must be one of reject, null"),
        ("columns.'a.b'.bool_words = 'x'", "`columns.\"a.b\".bool_words` must be true or false"),
        ("columns.'a.b'.name = ''", "`columns.\"a.b\".name` is empty"),
        ("columns.'a.b'.type = 'int9'", "`columns.\"a.b\".type` is not a PostgreSQL type that can be loaded"),
        ("sql.after = 1", "`sql.after` must be a list of strings"),
        ("accept.orphan-rows = 'x'", "`accept.orphan-rows` must be a list of places"),
    ] {
        assert!(refused(text).message().starts_with(&format!("t.toml: {said}")), "{text}: {}", refused(text));
    }
    assert_eq!(refused("on_drift = 'keep'\non-drift = 'keep'").message(), "t.toml: `on_drift` is there twice");
    assert_eq!(refused("sql.afer = []").message(), "t.toml: unknown key `sql.afer`");
    assert_eq!(refused("tables.t.nam = 'x'").hint(), "did you mean `name`?");
}
