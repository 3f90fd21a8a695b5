//! What `doctor` says of a target that can't be pushed to: the reason, and what to do.

use std::process::Command;

use super::{
    fixture::{remote_url, remote_url_at},
    pooler::Pooler,
};
use crate::support::{FaultProxy, NeonProxy, Target, Tool, neon_proxy::Refusal, process::must_run, target::PASSWORD};

/// Calls `doctor` on a target that is refused, and looks for what it says.
#[track_caller]
fn refused(url: &str, words: &str, advice: &str) {
    let run = Tool::new(["doctor", "--target", url]).run().expect_exit(7).expect_text(words).expect_text(advice);
    assert!(!run.stdout.contains(PASSWORD) && !run.stderr.contains(PASSWORD), "{run:?}");
}

#[test]
fn a_connection_that_is_refused_is_explained() {
    let target = Target::start();
    let url = remote_url(&target);
    let proxy = FaultProxy::to(target.port());
    let wrong = remote_url_at(&target, proxy.port()).replace(PASSWORD, "wrong");
    refused(&wrong, "password authentication failed", "check role, password and database");
    assert_eq!(proxy.connections(), 1, "a wrong password is sent once");
    let unknown = url.replace("ep-test-1234.neon.local", "nowhere.invalid").replace("&hostaddr=127.0.0.1", "");
    refused(&unknown.replace("hostaddr=127.0.0.1&", ""), "the host name is not known", "check the host in");
    refused(
        &url.replace("neon.local", "example.com"),
        "hostname mismatch",
        "use the host name that the certificate has",
    );
    refused(&url.replace("/ca.pem", "/foreign.pem"), "certificate is refused", "sslrootcert=FILE");
    refused(
        &format!("{}&sslrootcert=system", url.split("&sslrootcert").next().unwrap()),
        "certificate is refused",
        "sslrootcert=FILE",
    );
    refused(&url.replace(target.database(), "nowhere"), "does not exist", "check role, password and database");
}

#[test]
fn rights_and_poolers_are_explained() {
    let target = Target::start();
    let name = format!("reader_of_{}", target.database());
    target
        .query(&format!("CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'; REVOKE CREATE ON SCHEMA public FROM PUBLIC"));
    refused(
        &remote_url(&target).replace("owner:", &format!("{name}:")),
        "may not create schemas",
        "GRANT CREATE ON DATABASE",
    );
    target.query(&format!("DROP ROLE {name}"));
    for ignored in ["extra_float_digits", "extra_float_digits, options"] {
        let pooler = Pooler::start(&target, ignored);
        refused(&remote_url_at(&target, pooler.port()), "pooler", "use the direct host");
    }
}

#[test]
fn what_neon_says_is_explained() {
    let target = Target::start();
    for (message, words, advice) in [
        (
            "Control plane request failed: endpoint is temporarily unavailable. Check your quotas and/or contact our support.",
            "temporarily unavailable",
            "check the project's quotas",
        ),
        ("Control plane request failed: endpoint is disabled", "endpoint is disabled", "enable the compute"),
        ("This IP address 192.0.2.7 is not allowed to connect to this endpoint.", "is not allowed", "allow list"),
    ] {
        let proxy = NeonProxy::start(&target, &[Refusal::ControlPlane(message)]);
        refused(&remote_url_at(&target, proxy.port()), words, advice);
    }
    // A compute that sleeps is no failure: it is waited for.
    let proxy = NeonProxy::start(&target, &[Refusal::Proxy("Couldn't connect to compute node")]);
    let url = remote_url_at(&target, proxy.port());
    // The version of TLS is that of this connection: the stand-in has 1.2, and none behind it.
    let run = Tool::new(["doctor", "--target", &url]).run().expect_exit(0).expect_text("PostgreSQL");
    run.expect_text("TLSv1.2");
    Tool::new(["doctor", "--target", &remote_url(&target)]).run().expect_exit(0).expect_text("TLSv1.3");
}

#[test]
fn an_expired_certificate_is_explained() {
    let target = Target::start();
    let home = tempfile::tempdir().unwrap();
    for file in ["ca.pem", "ca.key", "server.csr", "server.key", "server.ext"] {
        std::fs::copy(target.socket_directory().join(file), home.path().join(file)).unwrap();
    }
    let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days -1 -extfile server.ext -out server.pem";
    must_run(Command::new("openssl").args(sign.split(' ')).current_dir(home.path()));
    let proxy = NeonProxy::with_certificate(&target, home.path(), &[]);
    refused(&remote_url_at(&target, proxy.port()), "certificate has expired", "needs a new certificate");
}
