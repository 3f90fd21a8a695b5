//! Texts that users write: connection strings of both ends, and the configuration file.

use turso2neon::{
    cli::config_file::ConfigFile,
    error::{Error, Kind},
    postgres::{PgEndpoint, Role},
    secret::Secret,
    source::endpoint::Source,
};

use super::{fuzz, mutated_text};

/// The password and token in all inputs, and the part of it that no message may have.
const SECRET: &str = "S3cretOfThisTest9";
const PART: &str = "retOfThisTes";

const CASES: usize = 500;

#[track_caller]
fn expect_harmless(error: &Error, kind: Kind, input: &str) {
    assert_eq!((error.kind(), error.kind().exit()), (kind, 2), "{input}");
    let told = format!("{error} {error:?} {}", error.hint());
    assert!(!told.contains(PART), "the secret is in a message: {told}\n{input}");
}

/// Each with the address that it names.
const TARGETS: [(&str, &str); 7] = [
    (
        "postgresql://owner:S3cretOfThisTest9@ep-cool-1.eu-central-1.aws.neon.tech/neondb?sslmode=require&channel_binding=require",
        "ep-cool-1.eu-central-1.aws.neon.tech:5432/neondb",
    ),
    (
        "postgres://owner:S3cretOfThisTest9@localhost:5499/db?sslmode=disable&options=-c%20work_mem%3D8MB&connect_timeout=3",
        "localhost:5499/db",
    ),
    ("host=localhost port=5432 user=owner password=S3cretOfThisTest9 dbname=db sslmode=prefer", "localhost:5432/db"),
    ("user='owner' password='S3cretOfThisTest9\\'' host = '127.0.0.1' dbname='a b' port='1'", "127.0.0.1:1/a b"),
    ("postgresql://owner:S3cretOfThisTest9@[::1]:5433/db?target_session_attrs=read-write", "[::1]:5433/db"),
    ("postgresql:///db?host=/tmp&user=owner&password=S3cretOfThisTest9&keepalives_idle=20", "socket:5432/db"),
    (
        "postgresql://owner:S3cretOfThisTest9@ep-cool-1-pooler.eu-central-1.aws.neon.tech/neondb?options=endpoint%3Dep-cool-1-pooler",
        "ep-cool-1.eu-central-1.aws.neon.tech:5432/neondb",
    ),
];

const TARGET_WORDS: [&str; 24] = [
    "@",
    ":",
    "/",
    "?",
    "&",
    "=",
    "%",
    "%00",
    "%zz",
    "'",
    "\\",
    "[",
    "]",
    "://",
    "sslmode=verify-ca",
    "sslmode=",
    "hostaddr=1.2.3.4",
    "options=",
    "sslrootcert=/nowhere",
    "port=99999999999",
    "password=",
    "S3cretOfThisTest9",
    ",",
    "-pooler",
];

#[test]
fn connection_strings_of_postgresql() {
    for (text, address) in TARGETS {
        let parsed = PgEndpoint::parse(&Secret::new(text.to_owned()), Role::Target)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(parsed.endpoint.address(), address);
        assert!(text.contains(SECRET) && !parsed.notes.iter().any(|note| note.contains(PART)));
    }
    fuzz(|rng| {
        let others = TARGETS.map(|(text, _)| text);
        // A connector for TLS is made for each.
        for _ in 0..CASES / 10 {
            let valid = rng.pick(&others);
            let text = mutated_text(rng, valid, &others, &TARGET_WORDS);
            match PgEndpoint::parse(&Secret::new(text.clone()), Role::Target) {
                Ok(parsed) => {
                    let notes = parsed.notes.join("\n");
                    // A mutation can make the word a part of the host, which is no secret.
                    let is_host = parsed.endpoint.address().contains(PART);
                    assert!(is_host || !notes.contains(PART), "the secret is in a note: {notes}\n{text}");
                }
                Err(error) => expect_harmless(&error, Kind::Usage, &text),
            }
        }
    });
}

const SOURCES: [&str; 8] = [
    "libsql://shop-me.turso.io?authToken=S3cretOfThisTest9",
    "https://user:S3cretOfThisTest9@host.example:8080/path?tls=1",
    "wss://host.example?jwt=S3cretOfThisTest9&tls=1",
    "ws://127.0.0.1:8080?authToken=S3cretOfThisTest9",
    "http://[::1]:8080/v?authToken=S3cretOfThisTest9#part",
    "libsql://host.example:8443?tls=0&authToken=S3cretOfThisTest9",
    "file:///data/shop.db?authToken=S3cretOfThisTest9",
    "./data/shop.db",
];

const SOURCE_WORDS: [&str; 20] = [
    "@",
    ":",
    "/",
    "?",
    "&",
    "=",
    "%",
    "%00",
    "[",
    "]",
    "://",
    "#",
    "tls=",
    "tls=2",
    "authToken=",
    ":443",
    ":0",
    ":99999",
    "xn--",
    "S3cretOfThisTest9",
];

#[test]
fn addresses_of_sources() {
    for text in &SOURCES[..6] {
        let Ok(Source::Server(endpoint)) = Source::parse(&Secret::new((*text).to_owned())) else { panic!("{text}") };
        assert!(!format!("{endpoint} {endpoint:?} {:?}", endpoint.warnings()).contains(PART), "{text}");
        assert_eq!(
            endpoint.is_encrypted(),
            !text.contains("tls=0") && !text.starts_with("ws:") && !text.starts_with("http:")
        );
    }
    fuzz(|rng| {
        for _ in 0..CASES {
            let valid = rng.pick(&SOURCES);
            let text = mutated_text(rng, valid, &SOURCES, &SOURCE_WORDS);
            match Source::parse(&Secret::new(text.clone())) {
                Ok(Source::Server(endpoint)) => {
                    let warnings = endpoint.warnings().join("\n");
                    assert!(!warnings.contains(PART), "the secret is in a warning: {warnings}\n{text}");
                    // Only an address with a scheme of its own is reached without TLS.
                    let plain = ["http:", "ws:", "libsql:"].iter().any(|scheme| {
                        text.trim().get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
                    });
                    assert!(endpoint.is_encrypted() || plain || text.contains("tls"), "{text}");
                }
                Ok(Source::File(_)) => {}
                Err(error) => expect_harmless(&error, Kind::Usage, &text),
            }
        }
    });
}

const CONFIGURATIONS: [&str; 3] = [
    "target = \"postgresql://owner:S3cretOfThisTest9@localhost/db\"\njobs = 3\nidentifiers = \"snake\"\n\
     [types]\n\"money_cents\" = \"bigint\"\n\"varchar(20)\" = \"varchar(20)\"\n\
     [columns.\"users.created_at\"]\ntype = \"timestamptz\"\nfrom = \"unix_ms\"\n\
     [accept]\n\"orphan-rows\" = [\"comments\", \"users.email\"]\nall = true\n",
    "source = \"libsql://shop.turso.io?authToken=S3cretOfThisTest9\"\nquiet = true\nexclude = [\"a*\", \"b\"]\n\
     [tables.\"Order\"]\nname = \"orders\"\n[sql]\nbefore = [\"CREATE SCHEMA x\"]\nafter = []\n",
    "tables = [\"a\", \"b\"]\nmode = \"swap\"\nlock-wait = 20\nfts = \"tsvector\"\n\
     [columns.\"a.b\"]\ntype = \"numeric(10,2)\"\noff_type = \"null\"\n",
];

const CONFIGURATION_WORDS: [&str; 28] = [
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\"",
    "'''",
    "\"\"\"",
    "\\u0000",
    "\\U0010FFFF",
    "true",
    "nan",
    "1979-05-27T07:32:00Z",
    "0xFFFFFFFFFFFFFFFFFF",
    "-1",
    "target",
    "\n[columns]\n",
    "\n[accept]\n",
    "type = ",
    "from = ",
    "S3cretOfThisTest9",
    "\"S3cretOfThisTest9\"",
    "S3cretOfThisTest9 = 1\n",
    "# ",
];

#[test]
fn configuration_files() {
    for text in CONFIGURATIONS {
        if let Err(error) = ConfigFile::parse(text, "turso2neon.toml") {
            panic!("{error}: {}\n{text}", error.hint());
        }
    }
    fuzz(|rng| {
        for _ in 0..CASES / 10 {
            let valid = rng.pick(&CONFIGURATIONS);
            let text = mutated_text(rng, valid, &CONFIGURATIONS, &CONFIGURATION_WORDS);
            // A key is named in messages, and the words above make a key of the secret.
            let is_key = text.lines().any(|line| line.split('=').next().unwrap_or_default().contains(PART));
            if let Err(error) = ConfigFile::parse(&text, "turso2neon.toml") {
                assert_eq!(error.kind(), Kind::Config, "{text}");
                if !is_key {
                    expect_harmless(&error, Kind::Config, &text);
                }
            }
        }
    });
}
