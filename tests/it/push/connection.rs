//! How the target is reached, and what is refused.

use std::{path::PathBuf, time::Duration};

use turso2neon::{
    error::{Error, Kind},
    model::Stage,
    postgres::{PgEndpoint, Role, Session},
    secret::Secret,
};

use super::{
    fixture::{LocalFixture, remote_url, remote_url_at, runtime, shop_plan, shop_rows},
    pooler::Pooler,
};
use crate::support::{Environment, FaultProxy, NeonProxy, PgVersion, Target, neon_proxy::Refusal, target::PASSWORD};

fn connect(url: &str) -> Result<Session, Error> {
    let endpoint = PgEndpoint::parse(&Secret::new(url.to_owned()), Role::Target)?.endpoint;
    runtime().block_on(Session::connect(&endpoint))
}

fn refusal(url: &str) -> Error {
    connect(url).err().unwrap()
}

#[test]
fn verified_tls_with_channel_binding_works_by_name_and_by_address() {
    let target = Target::start();
    for url in [
        target.url(),
        remote_url(&target),
        format!("{}&channel_binding=require&sslmode=require", remote_url(&target)),
        format!("{}&sslmode=verify-ca", remote_url(&target).replace("neon.local", "other.name")),
        target.url().replace("@localhost:", "@127.0.0.1:"),
        format!("{}?sslmode=require", target.url_without_parameters()),
    ] {
        connect(&url).unwrap();
    }
}

#[test]
fn a_foreign_certificate_and_a_wrong_name_are_refused() {
    let target = Target::start();
    let foreign = remote_url(&target).replace("/ca.pem", "/foreign.pem");
    for (url, words) in [
        (foreign.clone(), "certificate is refused"),
        (remote_url(&target).split("&sslrootcert").next().unwrap().to_owned(), "certificate is refused"),
        (remote_url(&target).replace("neon.local", "example.com"), "hostname mismatch"),
        (format!("{foreign}&sslmode=verify-ca"), "certificate is refused"),
        (format!("{foreign}&sslmode=require"), "certificate is refused"),
    ] {
        let error = refusal(&url);
        assert_eq!((error.kind(), error.kind().exit()), (Kind::TargetTls, 7), "{error}");
        assert!(error.message().contains(words), "{error}");
        assert!(!error.message().contains(PASSWORD));
    }
}

#[test]
fn the_authorities_of_the_system_are_trusted_for_a_target_that_names_none() {
    let environment = Environment::from("CREATE TABLE t (a INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
    environment.call(&["dump", "convert"]);
    let url = remote_url(&environment.target);
    let push = |ca: PathBuf| {
        let url = url.split("&sslrootcert").next().unwrap();
        environment.tool("push").env("NEON_DATABASE_URL", url).env("SSL_CERT_FILE", ca).run()
    };
    let refused = push(environment.target.foreign_ca_file()).expect_exit(7);
    assert!(refused.stderr.contains("certificate is refused"), "{}", refused.stderr);
    push(environment.target.ca_file()).expect_exit(0);
    assert_eq!(environment.target.value("SELECT a FROM public.t"), "1");
}

#[test]
fn clear_text_is_refused_for_any_host_that_is_not_this_machine() {
    let target = Target::start();
    let error = refusal(&format!("{}&sslmode=disable", remote_url(&target)));
    assert_eq!(error.kind(), Kind::Usage);
    let plain = Target::start_alone("ssl = off");
    let error = refusal(&remote_url(&plain));
    assert_eq!(error.kind(), Kind::TargetTls);
    assert!(error.message().contains("offers no TLS"), "{error}");
}

#[test]
fn a_wrong_password_is_sent_once() {
    let target = Target::start_alone("");
    let url = remote_url(&target).replace(PASSWORD, "wrong").replace("&hostaddr=127.0.0.1", "");
    let (ctx, recorder) = LocalFixture::new(shop_plan(), "").context();
    let endpoint = PgEndpoint::parse(&Secret::new(url), Role::Target).unwrap().endpoint;
    let error = runtime().block_on(Session::connect_with_retry(&ctx, Stage::Push, &endpoint)).err().unwrap();
    assert_eq!(error.kind(), Kind::TargetDenied, "{error}");
    assert_eq!(recorder.retries(), 0);
    let log = std::fs::read_to_string(target.socket_directory().join("server.log")).unwrap();
    assert_eq!(log.matches("password authentication failed").count(), 1, "{log}");
}

#[test]
fn an_unknown_database_and_a_dead_port_say_so() {
    let target = Target::start();
    let error = refusal(&remote_url(&target).replace(target.database(), "nowhere"));
    assert_eq!(error.kind(), Kind::TargetDenied, "{error}");
    let error = refusal(&remote_url_at(&target, crate::support::process::free_port()));
    assert_eq!(error.kind(), Kind::TargetUnreachable, "{error}");
}

#[test]
fn a_compute_that_wakes_is_waited_for() {
    let target = Target::start();
    let refusals = [
        Refusal::Proxy("Couldn't connect to compute node"),
        Refusal::Proxy("Too many connections attempts"),
        Refusal::Proxy("the database system is starting up"),
    ];
    let proxy = NeonProxy::start(&target, &refusals);
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.change("SELECT 1");
    let (pushed, recorder) = fixture.push(&remote_url_at(&target, proxy.port()));
    pushed.unwrap();
    assert!(recorder.texts().iter().any(|text| text.contains("compute node")), "{:?}", recorder.texts());
    fixture.assert_equal(&target, "public");
}

#[test]
fn what_the_proxy_refuses_for_good_is_tried_once() {
    let target = Target::start();
    for (message, kind) in [
        ("password authentication failed for user 'owner'", Kind::TargetDenied),
        ("Control plane request failed: endpoint cannot be found", Kind::TargetDenied),
        ("This connection is trying to access this endpoint from a blocked network.", Kind::TargetDenied),
    ] {
        let proxy = NeonProxy::start(&target, &[Refusal::ControlPlane(message)]);
        let (ctx, _) = LocalFixture::new(shop_plan(), "").context();
        let url = Secret::new(remote_url_at(&target, proxy.port()));
        let endpoint = PgEndpoint::parse(&url, Role::Target).unwrap().endpoint;
        let error = runtime().block_on(Session::connect_with_retry(&ctx, Stage::Push, &endpoint)).err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(proxy.connections(), 1);
    }
}

#[test]
fn tls_at_once_works_where_the_server_knows_it() {
    for major in [17, 18] {
        let target = Target::start_on(PgVersion::Major(major));
        let proxy = FaultProxy::to(target.port());
        let url = remote_url_at(&target, proxy.port());
        // The last messages of a connection may come through after it is closed here.
        let settled = || {
            let mut before = proxy.round_trips();
            loop {
                std::thread::sleep(Duration::from_millis(50));
                match proxy.round_trips() {
                    now if now == before => return now,
                    now => before = now,
                }
            }
        };
        let trips = |negotiation: &str| {
            let before = settled();
            connect(&format!("{url}&sslnegotiation={negotiation}&channel_binding=require")).unwrap();
            settled() - before
        };
        // Messages that cross each other on a busy machine count as more round trips, never as fewer.
        let (mut with_request, mut direct) = (u64::MAX, u64::MAX);
        for tries in 1..=20 {
            with_request = with_request.min(trips("postgres"));
            direct = direct.min(trips("direct"));
            if tries >= 5 && direct < with_request {
                break;
            }
        }
        assert!(direct < with_request, "{direct} round trips instead of {with_request}");
    }
    let error = refusal(&format!("{}&sslnegotiation=direct", remote_url(&Target::start_on(PgVersion::Major(16)))));
    assert_eq!(error.kind().exit(), 7, "{error}");
    assert!(error.hint().contains("sslnegotiation=direct needs PostgreSQL 17"), "{error}: {}", error.hint());
}

#[test]
fn channel_binding_is_what_the_string_says() {
    let target = Target::start();
    for word in ["disable", "prefer", "require"] {
        connect(&format!("{}&channel_binding={word}", remote_url(&target))).unwrap();
    }
    // PgBouncer can't bind.
    let pooler = Pooler::start(&target, "extra_float_digits, options");
    let error = refusal(&format!("{}&channel_binding=require", remote_url_at(&target, pooler.port())));
    assert_eq!(error.kind(), Kind::TargetTls, "{error}");
    assert!(error.message().contains("did not use channel binding"), "{error}");
}

#[test]
fn every_sslmode_and_every_form_of_neon_s_string_connects() {
    let target = Target::start();
    for mode in ["allow", "prefer", "require", "verify-ca", "verify-full"] {
        connect(&format!("{}&sslmode={mode}", remote_url(&target))).unwrap();
    }
    for mode in ["prefer", "require", "verify-ca", "verify-full"] {
        let root = target.ca_file();
        connect(&format!("{}?sslmode={mode}&sslrootcert={}", target.url_without_parameters(), root.display())).unwrap();
    }
    let url = remote_url(&target);
    let keepalives = "keepalives=1&keepalives_idle=20&keepalives_interval=5&keepalives_count=3&tcp_user_timeout=60000";
    for url in [
        format!("{url}&connect_timeout=5&{keepalives}&application_name=me&target_session_attrs=read-write\n"),
        url.replace(PASSWORD, &format!("endpoint%3Dep-test-1234%3B{PASSWORD}")),
        url.replace(PASSWORD, &format!("endpoint%3Dep-test-1234%24{PASSWORD}")),
        format!("{url}&options=-c%20work_mem%3D8MB&pool_timeout=3&pgbouncer=true"),
    ] {
        connect(&url).unwrap();
    }
}
