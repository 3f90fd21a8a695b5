//! How the target is reached, and what is refused.

use turso2neon::{
    error::{Error, Kind},
    model::Stage,
    postgres::{PgEndpoint, Role, Session},
    secret::Secret,
};

use super::{
    depot::{Depot, remote_url, remote_url_at, runtime, shop_plan, shop_rows},
    proxy::NeonProxy,
};
use crate::support::{Target, target::PASSWORD};

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
fn a_stranger_s_certificate_and_a_wrong_name_are_refused() {
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
    let (ctx, recorder) = Depot::new(shop_plan(), "").context();
    let endpoint = PgEndpoint::parse(&Secret::new(url), Role::Target).unwrap().endpoint;
    let error = runtime().block_on(Session::connect_patiently(&ctx, Stage::Push, &endpoint)).err().unwrap();
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
    let messages = &["Couldn't connect to compute node", "Control plane request failed"];
    let proxy = NeonProxy::start(&target.socket_directory(), messages, target.port());
    let mut depot = Depot::new(shop_plan(), &shop_rows(1));
    depot.change("SELECT 1");
    let (pushed, recorder) = depot.push(&remote_url_at(&target, proxy.port()));
    pushed.unwrap();
    assert!(recorder.texts().iter().any(|text| text.contains("compute node")), "{:?}", recorder.texts());
    depot.assert_equal(&target, "public");
}

#[test]
fn what_the_proxy_refuses_for_good_is_tried_once() {
    let target = Target::start();
    let cases: [(&'static [&'static str], Kind); 2] = [
        (&["password authentication failed for user 'owner'"; 9], Kind::TargetDenied),
        (&["Control plane request failed: endpoint cannot be found"; 9], Kind::TargetDenied),
    ];
    for (messages, kind) in cases {
        let proxy = NeonProxy::start(&target.socket_directory(), messages, target.port());
        let (ctx, _) = Depot::new(shop_plan(), "").context();
        let url = Secret::new(remote_url_at(&target, proxy.port()));
        let endpoint = PgEndpoint::parse(&url, Role::Target).unwrap().endpoint;
        let error = runtime().block_on(Session::connect_patiently(&ctx, Stage::Push, &endpoint)).err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(proxy.connections(), 1);
    }
}
