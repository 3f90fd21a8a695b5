//! Every mode and the way back on each version of PostgreSQL that Neon offers.

use turso2neon::{
    secret::Secret,
    stages::push::{
        LOCK_WAIT,
        rollback::{RollbackRequest, rollback},
    },
};

use super::fixture::{LocalFixture, remote_url, runtime, shop_plan, shop_rows};
use crate::support::{Target, programs::PgVersion};

fn every_mode_works_on(major: u32) {
    let target = Target::start_on(PgVersion::Major(major));
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target);
    assert_eq!(fixture.push(&url).0.unwrap().checkpoint.unwrap().mode.to_string(), "create");
    target.execute_as_owner("CREATE PUBLICATION feed FOR TABLE orders");
    let mut version = 1;
    for mode in ["diff", "swap", "replace"] {
        version += 1;
        fixture.change(&format!(
            "UPDATE orders SET version = {version} WHERE id < 50; DELETE FROM orders WHERE id = 100 + {version}; \
             UPDATE customers SET email = CASE id WHEN 1 THEN 'c2@example.com' ELSE 'c1@example.com' END WHERE id IN (1, 2) AND {version} = 2"
        ));
        assert_eq!(fixture.push_in(mode, &url).0.unwrap().checkpoint.unwrap().mode.to_string(), mode, "on {major}");
        fixture.assert_equal(&target, "public");
        if mode != "replace" {
            let request = RollbackRequest {
                target: Secret::new(url.clone()),
                schema: "public".to_owned(),
                list: false,
                lock_wait: LOCK_WAIT,
            };
            runtime().block_on(rollback(&fixture.context().0, &request)).unwrap();
            assert_eq!(target.value("SELECT max(version) FROM orders"), (version - 1).to_string(), "{mode} on {major}");
            assert_eq!(fixture.push(&url).0.unwrap().checkpoint.unwrap().mode.to_string(), "diff");
            fixture.assert_equal(&target, "public");
        }
    }
    assert_eq!(target.value("SELECT count(*) FROM pg_publication_tables WHERE tablename = 'orders'"), "1");
}

#[test]
fn postgresql_14_16_17_and_18_take_every_mode() {
    [14, 16, 17, 18].into_iter().for_each(every_mode_works_on);
}
