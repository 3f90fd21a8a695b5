//! Hosts behind which several clients share one session: PgBouncer in transaction mode, as Neon's pooled host is.

use std::thread::scope;

use turso2neon::{
    error::{Error, Kind},
    postgres::{PgEndpoint, Role, Session},
    secret::Secret,
};

use super::{
    fixture::{LocalFixture, remote_url, remote_url_at, runtime, shop_plan, shop_rows},
    pooler::Pooler,
};
use crate::support::{Target, target::PASSWORD};

/// What a push would leave behind on the server.
const TRACES: &str = "SELECT count(*) FROM pg_namespace WHERE nspname ~ 'turso2neon'";

fn assert_refused(error: &Error) {
    assert_eq!((error.kind(), error.kind().exit()), (Kind::TargetRejected, 7), "{error}");
    assert!(error.message().contains("pooler"), "{error}");
    assert!(error.hint().contains("direct host"), "{}", error.hint());
    assert!(!format!("{error} {}", error.hint()).contains(PASSWORD));
}

#[test]
fn neon_s_pooled_host_is_replaced_by_the_direct_one() {
    let target = Target::start();
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target).replace("ep-test-1234.", "ep-test-1234-pooler.");
    let (pushed, recorder) = fixture.push(&format!("{url}&sslmode=require&pgbouncer=true"));
    let checkpoint = pushed.unwrap().checkpoint.unwrap();
    assert!(checkpoint.target.starts_with("ep-test-1234.neon.local:"), "{}", checkpoint.target);
    let notes = recorder.texts().join("\n");
    let note = "the pooled host is replaced by the direct one, ep-test-1234.neon.local, which loading needs";
    assert!(notes.contains(note), "{notes}");
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_pooler_is_recognised_whether_it_refuses_or_hides_what_a_session_asks_for() {
    let target = Target::start();
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    // As it is installed; as people set it up for drivers that send `options`.
    for ignored in ["extra_float_digits", "extra_float_digits, options"] {
        let pooler = Pooler::start(&target, ignored);
        for end in ["", "&channel_binding=prefer&sslmode=verify-full"] {
            let (pushed, recorder) = fixture.push(&format!("{}{end}", remote_url_at(&target, pooler.port())));
            assert_refused(&pushed.err().unwrap());
            assert_eq!(recorder.retries(), 0, "another try can't help");
        }
    }
    assert_eq!(target.value(TRACES), "0");
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(target.value(locks), "0");
}

#[test]
fn a_pooler_that_the_tool_looked_at_is_left_as_it_was_for_others() {
    let target = Target::start();
    // One server process for everybody: what one client sets, the next one would see.
    let pooler = Pooler::start(&target, "extra_float_digits, options");
    let url = remote_url_at(&target, pooler.port());
    let endpoint = PgEndpoint::parse(&Secret::new(url), Role::Target).unwrap().endpoint;
    scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let error = runtime().block_on(Session::connect(&endpoint)).err().unwrap();
                assert_refused(&error);
            });
        }
    });
    // The processes that PgBouncer opened for us still have the settings of the role.
    let mut driver = tokio_postgres::Config::new();
    driver.host("localhost").port(pooler.port()).dbname(target.database());
    driver.user(crate::support::target::OWNER).password(PASSWORD);
    let connector = native_tls::TlsConnector::builder().danger_accept_invalid_certs(true).build().unwrap();
    let found = runtime().block_on(async {
        let tls = postgres_native_tls::MakeTlsConnector::new(connector);
        let (client, connection) = driver.connect(tls).await.unwrap();
        tokio::spawn(connection);
        let sql = "SELECT current_setting('search_path') || ' ' || current_setting('check_function_bodies')";
        client.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
    });
    assert_eq!(found, "\"$user\", public on");
}

#[test]
fn a_pooler_in_session_mode_that_hides_settings_is_refused_too() {
    let target = Target::start();
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let pooler = Pooler::start_in("session", &target, "extra_float_digits, options");
    let (pushed, _) = fixture.push(&remote_url_at(&target, pooler.port()));
    assert_refused(&pushed.err().unwrap());
    assert_eq!(target.value(TRACES), "0");
}
