//! What connection strings mean. A real server judges the connections themselves (tests/it/push.rs).

use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};

use super::*;
use crate::error::Kind;

const NEON: &str = "postgresql://owner:hunter2@ep-cool-1-pooler.us-east-2.aws.neon.tech/shop";

fn parsed(text: &str) -> Parsed {
    PgEndpoint::parse(&Secret::new(text.to_owned()), Role::Target).unwrap()
}

fn refused(text: &str) -> crate::error::Error {
    PgEndpoint::parse(&Secret::new(text.to_owned()), Role::Target).err().unwrap()
}

fn mode(text: &str) -> SslMode {
    parsed(text).endpoint.config.get_ssl_mode()
}

#[test]
fn neons_string_works_unchanged() {
    let Parsed { endpoint, notes } = parsed(&format!(
        "{NEON}?sslmode=require&channel_binding=require&connect_timeout=30&pool_timeout=30&pgbouncer=true&options=endpoint%3Dep-cool-1-pooler\n"
    ));
    assert_eq!(endpoint.address(), "ep-cool-1.us-east-2.aws.neon.tech:5432/shop");
    assert_eq!(endpoint.config.get_ssl_mode(), SslMode::Require);
    assert_eq!(endpoint.config.get_channel_binding(), ChannelBinding::Require);
    assert_eq!(endpoint.config.get_options(), Some("endpoint=ep-cool-1"));
    assert_eq!(endpoint.config.get_password(), Some(&b"hunter2"[..]));
    let notes = notes.join("\n");
    for words in ["pgbouncer, pool_timeout", "pooled host", "raised to verify-full", "`options`"] {
        assert!(notes.contains(words), "{words} in {notes}");
    }
    assert!(!notes.contains("hunter2"));
}

#[test]
fn every_remote_host_is_verified() {
    for end in
        ["", "?sslmode=allow", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-full", "?sslmode=verify-ca"]
    {
        assert_eq!(mode(&format!("{NEON}{end}")), SslMode::Require, "{end}");
    }
    let error = refused(&format!("{NEON}?sslmode=disable"));
    assert_eq!(error.kind(), Kind::Usage);
    assert!(error.message().contains("sslmode=disable"));
    // A name that isn't loopback is verified even if its address is.
    assert_eq!(mode("host=db.example.com hostaddr=127.0.0.1 user=u dbname=d"), SslMode::Require);
    assert_eq!(mode("host=localhost hostaddr=192.0.2.1 user=u dbname=d"), SslMode::Require);
}

#[test]
fn on_loopback_sslmode_is_respected() {
    for host in ["localhost", "127.0.0.1", "[::1]"] {
        for (end, wanted) in [
            ("", SslMode::Prefer),
            ("?sslmode=disable", SslMode::Disable),
            ("?sslmode=prefer", SslMode::Prefer),
            ("?sslmode=require", SslMode::Require),
            ("?sslmode=verify-full", SslMode::Require),
            ("?ssl=true", SslMode::Require),
        ] {
            assert_eq!(mode(&format!("postgres://u@{host}/d{end}")), wanted, "{host}{end}");
        }
    }
}

#[test]
fn sockets_and_settings() {
    let endpoint = parsed("postgres://u@%2Fvar%2Frun%2Fpg/d?port=6").endpoint;
    assert_eq!(endpoint.place, ServerAddress::Socket(PathBuf::from("/var/run/pg")));
    assert_eq!(endpoint.address(), "socket:6/d");
    let endpoint = parsed("postgres://u@h/d?sslnegotiation=direct&application_name=x&keepalives_idle=7").endpoint;
    assert_eq!(endpoint.config.get_ssl_negotiation(), SslNegotiation::Direct);
    assert_eq!(endpoint.config.get_application_name(), Some("x"));
    assert_eq!(endpoint.config.get_keepalives_idle().as_secs(), 7);
    assert_eq!(parsed("postgres://u@[2001:db8::1]/d").endpoint.address(), "[2001:db8::1]:5432/d");
}

#[test]
fn what_is_missing_or_wrong_is_said_without_quoting() {
    for (text, words) in [
        ("postgres://hunter2@h", "names no database"),
        ("postgres://h/hunter2", "names no user"),
        ("postgres:///hunter2", "names no host"),
        ("postgres://u@a,hunter2/d", "several hosts"),
        ("postgres://u@h:hunter2/d", "port"),
        ("postgres://u:p/hunter2@h/d", "port"),
        ("postgres://u@hunter2 x/d", "characters"),
        ("postgres://u@h/d?sslmode=hunter2", "sslmode"),
        ("postgres://u@h/d?channel_binding=hunter2", "channel_binding"),
        ("postgres://u@h/d?hostaddr=hunter2", "hostaddr"),
        ("postgres://u@h/d?sslrootcert=/nowhere/hunter2", "sslrootcert"),
        ("postgres://u@h/d?target_session_attrs=hunter2", "target_session_attrs"),
        ("postgres://u@localhost/d?sslnegotiation=direct", "direct"),
    ] {
        let error = refused(text);
        assert_eq!(error.kind(), Kind::Usage, "{text}");
        assert!(error.message().contains(words), "{text}: {error}");
        assert!(!format!("{error} {}", error.hint()).contains("hunter2"), "{text}");
    }
}

#[test]
fn a_key_that_may_be_a_piece_of_a_password_is_not_named() {
    let notes = parsed("host=h user=u dbname=d password=a Hunter2=b").notes;
    assert_eq!(notes.len(), 1);
    assert!(!notes[0].contains("Hunter2"), "{notes:?}");
}
