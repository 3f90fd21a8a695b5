//! Behind Neon's proxy: what small TLS records and repeated answers cost.

use std::time::{Duration, Instant};

use turso2neon::{
    model::Stage,
    postgres::{PgEndpoint, Role, Session},
    secret::Secret,
};

use super::fixture::{LocalFixture, remote_url_at, runtime, shop_plan};
use crate::support::{
    NeonProxy, Target,
    neon_proxy::{REPEATED, Refusal},
};

#[test]
fn a_large_value_behind_small_tls_records_takes_no_longer_than_small_values() {
    let target = Target::start();
    let proxy = NeonProxy::start(&target, &[]);
    let url = Secret::new(remote_url_at(&target, proxy.port()));
    let endpoint = PgEndpoint::parse(&url, Role::Target).unwrap().endpoint;
    runtime().block_on(async {
        let session = Session::connect(&endpoint).await.unwrap();
        let read = async |megabytes: usize, count: i32| {
            let begun = Instant::now();
            let sql = format!("SELECT repeat('x', {}) FROM generate_series(1, {count})", megabytes << 20);
            let rows = session.rows("reading", &sql, &[]).await.unwrap();
            assert!(rows.iter().all(|row| row.get::<_, &str>(0).len() == megabytes << 20));
            begun.elapsed()
        };
        read(1, 1).await;
        let small = read(1, 48).await;
        let large = read(48, 1).await;
        assert!(large < small * 3, "{large:?} for one value, {small:?} for the same bytes in 48 values");
    });
}

#[test]
fn an_answer_that_the_proxy_repeats_is_asked_for_again_when_it_no_longer_does() {
    let target = Target::start();
    let quota = "Control plane request failed: endpoint is temporarily unavailable. Check your quotas and/or contact our \
                 support.";
    let proxy = NeonProxy::start(&target, &[Refusal::ControlPlane(quota)]);
    let (ctx, recorder) = LocalFixture::new(shop_plan(), "").context();
    let url = Secret::new(remote_url_at(&target, proxy.port()));
    let endpoint = PgEndpoint::parse(&url, Role::Target).unwrap().endpoint;
    let begun = Instant::now();
    runtime().block_on(Session::connect_with_retry(&ctx, Stage::Push, &endpoint)).unwrap();
    let waited = begun.elapsed();
    assert!(waited > REPEATED && waited < REPEATED + Duration::from_secs(15), "{waited:?}");
    assert_eq!((recorder.retries(), proxy.connections()), (1, 2));
    assert!(recorder.texts().iter().any(|text| text.contains("repeat this answer for 30 s")), "{:?}", recorder.texts());
}
