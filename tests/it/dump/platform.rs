//! A database by its name: a stub of the Platform API in front of a real libSQL server.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};
use turso2neon::event::Event;

use super::{Fixture, code, request};
use crate::support::{
    Run, Sqld, Tool,
    http_stub::{HttpStub, Request},
};

const API_TOKEN: &str = "api-secret-token";

/// An API that knows the database `shop` of the organization `acme`, which is this server.
fn api(server: &Sqld) -> HttpStub {
    let blocked = AtomicBool::new(false);
    let (host, jwt) = (server.url().replace("http://", ""), server.read_only_token());
    HttpStub::start(move |request| {
        let below = |path: &str| format!("/v1/organizations/acme/{path}");
        let (method, path) = (request.method.as_str(), request.path.as_str());
        let ok = |value: Value| (200, value.to_string().into_bytes());
        if request.header("authorization") != format!("Bearer {API_TOKEN}") {
            return (401, br#"{"error":"no"}"#.to_vec());
        }
        match (method, path) {
            ("GET", path) if path == below("databases/shop") => ok(json!({"database": {"Name": "shop",
                "DbId": "0eb771dd-6906-11ee-8553-eaa7715aeaf2", "Hostname": host, "block_reads": false,
                "block_writes": blocked.load(Ordering::SeqCst)}})),
            ("GET", path) if path == below("databases") => {
                ok(json!({"databases": [{"Name": "shop"}, {"Name": "blog"}]}))
            }
            ("POST", path) if path == below("databases/shop/auth/tokens?expiration=1h&authorization=read-only") => {
                ok(json!({"jwt": jwt}))
            }
            ("GET", path) if path == below("databases/shop/usage") => {
                ok(json!({"database": {"uuid": "x", "total": {"storage_bytes": 12_000_000, "rows_read": 5}}}))
            }
            ("GET", path) if path == below("usage") => {
                ok(json!({"organization": {"usage": {"rows_read": 120_000, "bytes_synced": 3_000_000}}}))
            }
            ("GET", path) if path == below("subscription") => ok(json!({"subscription": "starter"})),
            ("GET", path) if path == below("plans") => {
                ok(json!({"plans": [{"name": "starter", "quotas": {"rowsRead": 1_000_000_000}}]}))
            }
            ("PATCH", path) if path == below("databases/shop/configuration") => {
                let request_body: Value = serde_json::from_str(&request.body).unwrap();
                blocked.store(request_body["block_writes"].as_bool().unwrap(), Ordering::SeqCst);
                ok(request_body)
            }
            ("GET", path) if path == below("databases/shop/configuration") => {
                ok(json!({"block_writes": blocked.load(Ordering::SeqCst)}))
            }
            _ => (404, br#"{"error":"could not find it"}"#.to_vec()),
        }
    })
}

fn call(fixture: &Fixture, api: &HttpStub, args: &[&str]) -> Run {
    Tool::new(["--dir", fixture.dir().to_str().unwrap(), "dump"])
        .args(args)
        .env("TURSO_API_TOKEN", API_TOKEN)
        .env("TURSO_API_BASEURL", api.url())
        .run()
}

fn server() -> Sqld {
    let server = Sqld::start();
    server.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    server
}

#[test]
fn a_database_is_found_by_its_name_and_read_with_a_token_of_its_own() {
    let server = server();
    let api = api(&server);
    let fixture = Fixture::new();
    let run = call(&fixture, &api, &["--database", "shop", "--org", "acme"]).expect_exit(0);
    assert!(run.stderr.contains("shop holds 12.0 MB"), "{}", run.stderr);
    assert!(run.stderr.contains("120,000 of 1,000,000,000 rows read"), "{}", run.stderr);
    assert_eq!(fixture.value("SELECT a FROM t"), "1");
    let all = format!("{run:?}{}{}", fixture.everything_but_rows(), log_of(&fixture));
    assert!(!all.contains(API_TOKEN) && !all.contains("eyJ"), "{all}");
}

fn log_of(fixture: &Fixture) -> String {
    std::fs::read_to_string(fixture.dir().join("log.jsonl")).unwrap()
}

#[test]
fn a_mistyped_name_lists_those_that_are() {
    let server = server();
    let api = api(&server);
    let fixture = Fixture::new();
    let said = |args: &[&str], exit: i32| call(&fixture, &api, args).expect_exit(exit).stderr.clone();
    let unknown = said(&["--database", "shoop", "--org", "acme"], 2);
    assert!(unknown.contains("no database shoop") && unknown.contains("it has blog, shop"), "{unknown}");
    assert!(said(&["--database", "shop", "--org", "acne"], 2).contains("no such organization"));
    assert!(said(&["--database", "shop"], 2).contains("--org"));
    assert!(said(&["--database", "../x", "--org", "acme"], 2).contains("--database takes a name"));
    assert!(said(&["--database", "shop", "--org", "acme", "--source", "x"], 2).contains("--source"));
    let refused = Tool::new(["--dir", fixture.dir().to_str().unwrap(), "dump", "--database", "shop", "--org", "acme"])
        .env("TURSO_API_TOKEN", "wrong")
        .env("TURSO_API_BASEURL", api.url())
        .run()
        .expect_exit(3);
    assert!(refused.stderr.contains("401") && !refused.stderr.contains("wrong"), "{}", refused.stderr);
    let plain = Tool::new(["--dir", fixture.dir().to_str().unwrap(), "dump", "--database", "shop", "--org", "acme"])
        .env("TURSO_API_TOKEN", API_TOKEN)
        .env("TURSO_API_BASEURL", "http://api.example")
        .run()
        .expect_exit(2);
    assert!(plain.stderr.contains("https://"), "{}", plain.stderr);
}

#[test]
fn writes_are_blocked_before_the_last_dump_and_allowed_again() {
    let server = server();
    let api = api(&server);
    let fixture = Fixture::new();
    let named = ["--database", "shop", "--org", "acme"];
    let with = |flag: &'static str| [&named[..], &[flag]].concat();
    let run = call(&fixture, &api, &with("--block-writes")).expect_exit(0);
    assert!(run.stderr.contains("takes no writes from now on"), "{}", run.stderr);
    let lines: Vec<String> = api.requests().iter().map(Request::line).collect();
    let place = |word: &str| lines.iter().position(|line| line.contains(word)).unwrap();
    assert!(place("PATCH") < place("auth/tokens"), "{lines:?}");
    assert!(call(&fixture, &api, &with("--block-writes")).expect_exit(0).stderr.contains("already"));
    assert!(call(&fixture, &api, &with("--unblock-writes")).expect_exit(0).stdout.contains("takes writes again"));
    assert_eq!(api.requests().last().unwrap().line(), "GET /v1/organizations/acme/databases/shop/configuration");
    // Without the API nothing is promised.
    let mut local = request(server.url());
    local.block_writes = true;
    assert_eq!(code(&Fixture::new().dump(&local).unwrap_err()), "usage");
    let run = Tool::new(["dump", "--unblock-writes", "--source", &server.url()]).run().expect_exit(2);
    assert!(run.stderr.contains("TURSO_API_TOKEN"), "{}", run.stderr);
}

#[test]
fn a_failure_that_passes_is_survived_and_one_that_stays_is_named() {
    let server = server();
    let real = Arc::new(api(&server));
    let behind = real.clone();
    let count = std::sync::atomic::AtomicU32::new(0);
    let flaky = HttpStub::start(move |request| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            return (503, Vec::new());
        }
        request.relay(&behind.url())
    });
    let fixture = Fixture::new();
    let mut wanted = request("");
    wanted.platform = Some(turso2neon::source::turso_api::PlatformSettings {
        database: "shop".to_owned(),
        organization: "acme".to_owned(),
        token: turso2neon::secret::Secret::new(API_TOKEN.to_owned()),
        base: Some(flaky.url()),
    });
    fixture.dump(&wanted).unwrap();
    assert_eq!(fixture.events().iter().filter(|event| matches!(event, Event::Retrying { .. })).count(), 1);
    for (status, body, expected) in [
        (402, &b"{}"[..], "source-denied"),
        (403, b"{}", "source-denied"),
        (200, b"<html>", "source-refused"),
        (200, b"{}", "source-refused"),
        (418, b"{}", "source-refused"),
        (500, b"{}", "source-unreachable"),
    ] {
        let broken = HttpStub::start(move |_| (status, body.to_vec()));
        wanted.platform.as_mut().unwrap().base = Some(broken.url());
        assert_eq!(code(&Fixture::new().dump(&wanted).unwrap_err()), expected, "{status}");
    }
}

#[test]
fn doctor_finds_the_database_by_its_name() {
    let server = server();
    let api = api(&server);
    let fixture = Fixture::new();
    let look = |name: &str| {
        Tool::new(["doctor", "--dir", fixture.dir().to_str().unwrap(), "--database", name, "--org", "acme"])
            .env("TURSO_API_TOKEN", API_TOKEN)
            .env("TURSO_API_BASEURL", api.url())
            .run()
    };
    let there = look("shop").expect_exit(0).expect_text(&server.url());
    assert!(!format!("{there:?}").contains(API_TOKEN), "{there:?}");
    assert!(look("shoop").expect_text("no database shoop").expect_text("blog, shop").code() != Some(0));
}
