//! Tests the report of a push: what it sent and why, what it left on the target, and how it is taken back.

use turso2neon::{model::PushCheckpoint, stages::report::push_lines};

use super::fixture::{LocalFixture, remote_url, shop_plan, shop_rows};
use crate::support::Target;

fn line(push: &PushCheckpoint, what: &str) -> String {
    let lines = push_lines(push);
    lines.into_iter().find(|(name, _)| *name == what).map(|(_, value)| value).unwrap_or_default()
}

#[test]
fn a_push_accounts_for_what_it_sent_and_what_it_left() {
    let target = Target::start();
    let url = remote_url(&target);
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let push = |fixture: &LocalFixture, mode: &str| fixture.push_in(mode, &url).0.unwrap().checkpoint.unwrap();
    let created = push(&fixture, "auto");
    // 2,000 customers, 20,000 orders, one line of the off-type table.
    assert_eq!((created.account.sent_rows, created.tables["ORDERS"].sent_rows), (22_001, 20_000));
    let sent: u64 = created.tables.values().map(|table| table.sent_bytes).sum();
    assert_eq!(sent, created.sent_bytes);
    let size = "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE relnamespace = 'public'::regnamespace \
                AND relkind = 'r'";
    assert_eq!(created.account.tables_bytes.unwrap().to_string(), target.value(size));
    assert!(created.account.database_bytes > created.account.tables_bytes);
    assert_eq!(line(&created, "mode"), "create: the target has none of these tables");
    assert!(line(&created, "rollback").starts_with("nothing to put back"), "{created:?}");
    assert!(created.account.elapsed_ms >= created.phases_ms["load"]);

    fixture.change("UPDATE orders SET amount = amount + 1 WHERE id <= 5; DELETE FROM orders WHERE id = 20000");
    let changed = push(&fixture, "auto");
    assert_eq!((changed.account.sent_rows, changed.tables["ORDERS"].sent_rows), (6, 6));
    assert_eq!(changed.tables["CUSTOMERS"].sent_bytes, 0);
    assert!(changed.compared_bytes > 0 && changed.sent_bytes < created.sent_bytes / 100, "{changed:?}");
    assert_eq!(line(&changed, "mode"), "diff: the tables of the last push have this structure");
    assert!(line(&changed, "rollback").contains("changes the rows back"));

    fixture.plan.tables[1].indexes.clear();
    fixture.change("UPDATE orders SET amount = amount + 1 WHERE id = 9");
    let swapped = push(&fixture, "swap");
    assert_eq!(line(&swapped, "mode"), "swap: --mode asks for it");
    assert!(line(&swapped, "rollback").contains("kept in schema turso2neon_previous"), "{swapped:?}");
    assert_eq!(swapped.tables["ORDERS"].sent_rows, 19_999);

    fixture.change("UPDATE orders SET amount = amount + 1 WHERE id = 8");
    let replaced = push(&fixture, "replace");
    assert_eq!(line(&replaced, "mode"), "replace: --mode asks for it");
    assert_eq!((replaced.account.sent_rows, replaced.account.kept), (22_000, false));
    assert!(line(&replaced, "rollback").contains("keeps nothing"));
}
