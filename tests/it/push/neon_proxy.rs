//! Behind Neon's proxy: what PostgreSQL refuses is understood as if it came directly, and sessions end in order.

use std::time::{Duration, Instant};

use turso2neon::{
    error::{Error, Kind, Retry},
    model::Stage,
    postgres::{PgEndpoint, Role, Session},
    secret::Secret,
};

use super::fixture::{LocalFixture, Recorder, remote_url_at, runtime, shop_plan, shop_rows};
use crate::support::{
    Environment, FaultProxy, NeonProxy, Target,
    fault_proxy::Script,
    neon_proxy::Refusal,
    target::{OWNER, PASSWORD},
};

fn endpoint(url: &str) -> PgEndpoint {
    PgEndpoint::parse(&Secret::new(url.to_owned()), Role::Target).unwrap().endpoint
}

/// Connects with retries. Gives what was reported meanwhile, too.
fn patiently(url: &str) -> (Result<Session, Error>, std::sync::Arc<Recorder>, Duration) {
    let (ctx, recorder) = LocalFixture::new(shop_plan(), "").context();
    let begun = Instant::now();
    let opened = runtime().block_on(Session::connect_with_retry(&ctx, Stage::Push, &endpoint(url)));
    (opened, recorder, begun.elapsed())
}

#[test]
fn what_postgresql_denies_through_the_proxy_is_denied_at_once() {
    let target = Target::start();
    let database = target.database();
    let role = format!("guest_of_{database}");
    target.query(&format!("CREATE ROLE {role} LOGIN; REVOKE CONNECT ON DATABASE {database} FROM PUBLIC"));
    let proxy = NeonProxy::start(&target, &[]);
    let url = remote_url_at(&target, proxy.port());
    let refused = |url: &str, words: &str, state: &str| {
        let before = proxy.connections();
        let (opened, recorder, _) = patiently(url);
        let error = opened.err().unwrap();
        assert_eq!((error.kind(), error.retry()), (Kind::TargetDenied, Retry::Never), "{error}");
        assert!(error.message().contains(words), "{error}");
        assert_eq!(error.sqlstate().unwrap().code(), state);
        assert_eq!((proxy.connections() - before, recorder.retries()), (1, 0), "{error}");
    };
    refused(&url.replace(database, "nowhere"), "does not exist", "3D000");
    let of_role = url.replace(&format!("//{OWNER}:"), &format!("//{role}:"));
    refused(&of_role, "permission denied for database", "42501");
    target.query(&format!("ALTER ROLE {role} NOLOGIN"));
    refused(&of_role, "is not permitted to log in", "28000");
    target.query(&format!("DROP ROLE {role}"));
}

#[test]
fn a_wrong_password_may_be_a_wrong_endpoint() {
    let target = Target::start();
    let proxy = NeonProxy::start(&target, &[]);
    let (opened, ..) = patiently(&remote_url_at(&target, proxy.port()).replace(PASSWORD, "wrong"));
    let error = opened.err().unwrap();
    assert_eq!(error.kind(), Kind::TargetDenied, "{error}");
    for words in ["ep-test-1234.neon.local", "endpoint", "branch"] {
        assert!(error.hint().contains(words), "{words} in {}", error.hint());
    }
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_server_without_a_free_connection_or_in_a_restart_is_waited_for() {
    let target = Target::start();
    let role = format!("single_of_{}", target.database());
    target.query(&format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 1"));
    let refusals = [
        Refusal::Proxy("the database system is shutting down"),
        Refusal::Proxy("the database system is starting up"),
        Refusal::Proxy("sorry, too many clients already"),
        Refusal::Proxy("remaining connection slots are reserved for roles with the SUPERUSER attribute"),
    ];
    let proxy = NeonProxy::start(&target, &refusals);
    let url = remote_url_at(&target, proxy.port()).replace(&format!("//{OWNER}:"), &format!("//{role}:"));
    let (opened, recorder, _) = patiently(&url);
    drop(opened.unwrap());
    assert_eq!(recorder.retries(), refusals.len());
    // Held from another thread for a while.
    let holding = std::thread::spawn({
        let url = url.clone();
        move || {
            let runtime = runtime();
            let held = runtime.block_on(Session::connect(&endpoint(&url))).unwrap();
            std::thread::sleep(Duration::from_secs(3));
            drop(held);
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    std::thread::sleep(Duration::from_secs(1));
    let (opened, recorder, _) = patiently(&url);
    drop(opened.unwrap());
    assert!(recorder.texts().iter().any(|text| text.contains("too many connections for role")));
    holding.join().unwrap();
    target.query(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_server_that_was_there_is_waited_for_while_it_refuses_connections() {
    let target = Target::start();
    let listen = |port: u16| {
        let server = target.port();
        FaultProxy::start(move || server, Script { listen: port, ..Script::default() })
    };
    let proxy = listen(0);
    let port = proxy.port();
    let url = remote_url_at(&target, port);
    drop(patiently(&url).0.unwrap());
    drop(proxy);
    let server = target.port();
    let back = std::thread::spawn(move || {
        // Longer than the few tries for a server that never was there.
        std::thread::sleep(Duration::from_secs(5));
        FaultProxy::start(move || server, Script { listen: port, ..Script::default() })
    });
    let (opened, recorder, waited) = patiently(&url);
    assert!(opened.is_ok() && recorder.retries() > 2 && waited > Duration::from_secs(4), "{waited:?}");
    drop(back.join().unwrap());
}

#[test]
fn every_session_of_a_run_ends_in_order() {
    let environment = Environment::from(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y'); \
         CREATE TABLE u (id INTEGER PRIMARY KEY, b BLOB); INSERT INTO u VALUES (1, randomblob(100000))",
    );
    let proxy = NeonProxy::start(&environment.target, &[]);
    let url = remote_url_at(&environment.target, proxy.port());
    environment.tool("run").env("NEON_DATABASE_URL", &url).run().expect_exit(0);
    assert!(proxy.sessions() > 3);
    assert_eq!(proxy.ends(), (proxy.sessions(), 0));
    // A refused command, too.
    environment.target.query("ALTER TABLE t RENAME TO elsewhere; CREATE VIEW t AS SELECT 1");
    environment.tool("push").env("NEON_DATABASE_URL", &url).run();
    assert_eq!(proxy.ends(), (proxy.sessions(), 0));
}

#[test]
fn a_push_through_the_proxy_holds_what_a_direct_one_holds() {
    let target = Target::start();
    let proxy = NeonProxy::start(&target, &[Refusal::Proxy("Couldn't connect to compute node")]);
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let (pushed, _) = fixture.push(&remote_url_at(&target, proxy.port()));
    pushed.unwrap();
    fixture.assert_equal(&target, "public");
}
