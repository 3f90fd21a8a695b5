use super::*;

fn refused(text: &str) -> Error {
    ConfigFile::parse(text, "t.toml").unwrap_err()
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
    assert_eq!(config.identifiers, Identifiers::Snake);
    assert_eq!(config.jobs, Some(4));
    assert_eq!(config.types.get("money cents").map(String::as_str), Some("bigint"));
    assert_eq!(config.columns["users.created_at"].from.as_deref(), Some("unix_ms"));
    assert_eq!(config.accept["orphan-rows"], ["comments"]);
}

#[test]
fn an_unknown_key_names_the_nearest() {
    assert_eq!(refused("taget = 'x'").hint(), "did you mean `target`?");
    assert_eq!(refused("auth_token_file = 'x'").hint(), "did you mean `auth-token-file`?");
    assert_eq!(refused("[columns.'a.b']\ntyp = 'text'").hint(), "did you mean `type`?");
    assert_eq!(refused("[accept]\norphan-row = ['x']").hint(), "did you mean `orphan-rows`?");
    assert!(refused("zzzzzz = 1").hint().starts_with("the keys are dir, "));
    assert!(refused("sample = 1").message().contains("not in this version"));
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
fn distances_are_those_of_levenshtein() {
    for (left, right, expected) in [("", "", 0), ("a", "", 1), ("kitten", "sitting", 3), ("jobs", "jbos", 2)] {
        assert_eq!(distance(left, right), expected, "{left} {right}");
    }
}
