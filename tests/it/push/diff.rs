//! Pushes that change rows in place: what they send, what they leave alone, and the hard cases of keys.

use turso2neon::{
    error::Kind,
    model::{
        PgType, Plan,
        conversion_plan::{ForeignKeyPlan, IdentityKind, KeyPlan},
    },
    stages::push::PushRequest,
};

use super::fixture::{LocalFixture, column, plan, remote_url, run, shop_plan, shop_rows, table, wide_plan, wide_rows};
use crate::support::Target;

fn foreign_key(column: &str, parent: &str, on_delete: &str) -> ForeignKeyPlan {
    ForeignKeyPlan {
        name: format!("{column}_{parent}_fkey"),
        columns: vec![column.to_owned()],
        parent: parent.to_owned(),
        parent_columns: vec!["id".to_owned()],
        on_update: String::new(),
        on_delete: on_delete.to_owned(),
        deferred: false,
        not_valid: false,
    }
}

#[test]
fn one_row_in_a_thousand_costs_a_small_part_of_the_whole() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(wide_plan(), &wide_rows(60_000, 1));
    let whole = fixture.push(&remote_url(&target)).0.unwrap().checkpoint.unwrap();
    assert_eq!((whole.mode.to_string().as_str(), whole.compared_bytes), ("create", 0));
    // Scattered changes, new rows, and a hole.
    fixture.change(
        "UPDATE wide SET version = 2 WHERE id % 1500 = 7; DELETE FROM wide WHERE id BETWEEN 900 AND 909; \
         INSERT INTO wide SELECT i, 2, 'new' FROM generate_series(60001, 60010) i",
    );
    let (ctx, _) = fixture.context();
    let request = PushRequest { dry_run: true, ..fixture.request(&remote_url(&target)) };
    let lines = run(&ctx, &request).unwrap().dry_run;
    assert_eq!(lines[1], "table wide: 10 rows would be inserted, 40 updated, 10 deleted", "{lines:?}");
    assert_eq!(target.value("SELECT max(version) FROM wide"), "1");
    let (pushed, recorder) = fixture.push(&remote_url(&target));
    let part = pushed.unwrap().checkpoint.unwrap();
    assert_eq!(part.mode.to_string(), "diff");
    assert!(recorder.texts().iter().any(|text| text == "WIDE: 10 rows inserted, 40 updated, 10 deleted"));
    fixture.assert_equal(&target, "public");
    assert!(lines[0].contains(&format!("({} bytes of rows", part.sent_bytes)), "{lines:?} {}", part.sent_bytes);
    assert!(
        (part.sent_bytes + part.compared_bytes) * 20 < whole.sent_bytes,
        "{} + {} of {}",
        part.sent_bytes,
        part.compared_bytes,
        whole.sent_bytes
    );
    assert!(fixture.push(&remote_url(&target)).0.unwrap().unchanged);
}

#[test]
fn what_others_built_on_the_tables_stays_and_sees_the_new_rows() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push(&remote_url(&target)).0.unwrap();
    target.execute_as_owner(
        "CREATE VIEW totals AS SELECT count(*) AS orders, sum(amount) FROM orders; \
         CREATE TABLE notes (customer bigint REFERENCES customers); INSERT INTO notes VALUES (3); \
         CREATE INDEX by_score ON customers (score); \
         ALTER TABLE orders ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON orders USING (id % 2 = 0); \
         CREATE TABLE seen (what text); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
           'BEGIN INSERT INTO public.seen VALUES (TG_OP); RETURN NEW; END'; \
         CREATE TRIGGER note AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note()",
    );
    let before = target.value("SELECT 'orders'::regclass::oid");
    fixture.change(
        "UPDATE orders SET amount = 77 WHERE id = 2; INSERT INTO orders VALUES (20001, 1, 1, 5); \
         DELETE FROM _sqlite_offtype; INSERT INTO _sqlite_offtype \
         SELECT 'customers', 'email', '4', 'blob', '\\x00' FROM generate_series(1, 3)",
    );
    let checkpoint = fixture.push(&remote_url(&target)).0.unwrap().checkpoint.unwrap();
    assert_eq!(checkpoint.mode.to_string(), "diff");
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT 'orders'::regclass::oid"), before);
    assert_eq!(target.value("SELECT orders FROM totals"), "20001");
    // Triggers are silent during a push, whatever its mode, and speak again afterwards.
    assert_eq!(target.value("SELECT count(*) FROM seen"), "0");
    target.execute_as_owner("UPDATE orders SET version = 9 WHERE id = 4");
    assert_eq!(target.value("SELECT count(*) FROM seen"), "1");
    // A row that somebody else refers to can't go, and the tables can't be replaced either: nothing changes.
    fixture.change("DELETE FROM orders WHERE customer = 3; DELETE FROM customers WHERE id = 3");
    let error = fixture.push_over("auto", &remote_url(&target)).0.err().unwrap();
    assert_eq!(error.kind(), Kind::TargetOccupied, "{error}");
    assert_eq!(target.value("SELECT count(*) FROM customers"), "2000");
    let error = fixture.push_over("diff", &remote_url(&target)).0.err().unwrap();
    assert!(error.message().contains("notes_customer_fkey"), "{error}");
}

/// Tables whose keys point in a circle, to themselves, and one to one.
fn circles() -> Plan {
    let mut staff = table(
        "staff",
        vec![
            column("id", PgType::BigInt),
            column("badge", PgType::Text),
            column("boss", PgType::BigInt),
            column("team", PgType::BigInt),
        ],
    );
    staff.columns[1].not_null = true;
    staff.uniques = vec![KeyPlan { name: "staff_badge_key".to_owned(), columns: vec!["badge".to_owned()] }];
    staff.foreign_keys = vec![foreign_key("boss", "staff", "RESTRICT"), foreign_key("team", "teams", "SET NULL")];
    let mut teams = table("teams", vec![column("id", PgType::BigInt), column("lead", PgType::BigInt)]);
    teams.foreign_keys = vec![foreign_key("lead", "staff", "CASCADE")];
    let mut desks = table("desks", vec![column("id", PgType::BigInt), column("sitter", PgType::BigInt)]);
    desks.columns[1].not_null = true;
    desks.uniques = vec![KeyPlan { name: "desks_sitter_key".to_owned(), columns: vec!["sitter".to_owned()] }];
    desks.foreign_keys = vec![foreign_key("sitter", "staff", "")];
    let mut log = table("log", vec![column("line", PgType::Text), column("mark", PgType::Integer)]);
    log.primary_key = None;
    let mut pairs =
        table("pairs", vec![column("id", PgType::Text), column("b", PgType::Numeric(None)), column("c", PgType::Text)]);
    pairs.primary_key = Some(KeyPlan { name: "pairs_pkey".to_owned(), columns: vec!["id".to_owned(), "b".to_owned()] });
    plan(vec![teams, staff, desks, log, pairs])
}

const CIRCLES: &str = "INSERT INTO teams VALUES (1, 1), (2, 2), (3, 9); \
    INSERT INTO staff VALUES (1, 'a', NULL, 1), (2, 'b', 1, 2), (3, 'c', 2, 1), (9, 'z', 9, 3); \
    INSERT INTO desks VALUES (1, 1), (2, 2), (3, 3); \
    INSERT INTO log VALUES ('x', 1), ('x', 1), ('x', 1), ('y', NULL), (NULL, NULL); \
    INSERT INTO pairs VALUES ('p', 1.5, 'one'), ('p', 2, 'two'), ('q', 1.5, NULL)";

#[test]
fn exchanged_values_key_circles_and_rows_without_key_are_changed_in_place() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(circles(), CIRCLES);
    fixture.push(&remote_url(&target)).0.unwrap();
    // Badges go round, desks are exchanged, a team and its lead go, others come that point at each other.
    fixture.change(
        "UPDATE staff SET badge = CASE badge WHEN 'a' THEN 'b' WHEN 'b' THEN 'c' ELSE 'a' END WHERE id < 9; \
         UPDATE desks SET sitter = 4 - sitter; \
         DELETE FROM staff WHERE id = 9; DELETE FROM teams WHERE id = 3; \
         INSERT INTO teams VALUES (4, 5); INSERT INTO staff VALUES (5, 'z', 6, 4), (6, 'y', 5, 4); \
         UPDATE staff SET team = 4, boss = 5 WHERE id = 3; \
         DELETE FROM log WHERE ctid IN (SELECT ctid FROM log WHERE line = 'x' LIMIT 1); \
         INSERT INTO log VALUES ('y', NULL), ('new', 3); \
         UPDATE pairs SET b = 1.50, c = 'uno' WHERE id = 'p' AND b = 1.5; DELETE FROM pairs WHERE id = 'q'",
    );
    let (pushed, recorder) = fixture.push_in("diff", &remote_url(&target));
    assert_eq!(pushed.unwrap().checkpoint.unwrap().mode.to_string(), "diff", "{:?}", recorder.texts());
    fixture.assert_equal(&target, "public");
    assert_eq!(target.value("SELECT string_agg(badge, '' ORDER BY id) FROM staff"), "bcazy");
    assert_eq!(target.value("SELECT string_agg(sitter::text, '' ORDER BY id) FROM desks"), "321");
    assert_eq!(target.value("SELECT string_agg(b::text, ' ' ORDER BY b) FROM pairs"), "1.50 2");
    assert_eq!(target.value("SELECT count(*) FILTER (WHERE line = 'x') || ' ' || count(*) FROM log"), "2 6");
    // And all of it back again.
    fixture.refill(CIRCLES);
    fixture.push_in("diff", &remote_url(&target)).0.unwrap();
    fixture.assert_equal(&target, "public");
}

#[test]
fn next_numbers_follow_and_other_structures_replace_the_tables() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push(&remote_url(&target)).0.unwrap();
    fixture.plan.tables[0].identity.as_mut().unwrap().next = Some(7000);
    fixture.change("SELECT 1");
    assert_eq!(fixture.push(&remote_url(&target)).0.unwrap().checkpoint.unwrap().mode.to_string(), "diff");
    target.execute_as_owner("INSERT INTO customers (email) VALUES ('new@example.com')");
    assert_eq!(target.value("SELECT max(id) FROM customers"), "7000");
    // The row and the used number are taken back.
    assert_eq!(fixture.push_over("auto", &remote_url(&target)).0.unwrap().checkpoint.unwrap().mode.to_string(), "diff");
    assert_eq!(target.value("SELECT last_value || ' ' || is_called FROM customers_id_seq"), "7000 false");
    fixture.plan.tables[1].checks.clear();
    fixture.refill(&shop_rows(2));
    let error = fixture.push_in("diff", &remote_url(&target)).0.err().unwrap();
    assert_eq!(error.kind(), Kind::Usage, "{error}");
    let checkpoint = fixture.push(&remote_url(&target)).0.unwrap().checkpoint.unwrap();
    assert_eq!(checkpoint.mode.to_string(), "diff");
    let plan = checkpoint.plan.unwrap();
    assert!(plan.reason.starts_with("the structure of table orders changed; "), "{plan:?}");
    assert_eq!(plan.alters, ["ALTER TABLE \"public\".\"orders\" DROP CONSTRAINT \"orders_amount\""]);
    // What is gone from the target comes back by replacement too.
    target.execute_as_owner("DROP INDEX orders_customer");
    fixture.change("UPDATE orders SET amount = 3 WHERE id = 1");
    assert_eq!(fixture.push_over("auto", &remote_url(&target)).0.unwrap().checkpoint.unwrap().mode.to_string(), "swap");
    assert_eq!(target.value("SELECT to_regclass('public.orders_customer') IS NOT NULL"), "t");
}

#[test]
fn every_kind_of_numbering_column_is_changed_in_place() {
    for kind in [IdentityKind::Always, IdentityKind::Serial] {
        let target = Target::start();
        let mut plan = shop_plan();
        plan.tables[0].identity.as_mut().unwrap().kind = kind;
        let rows = |version| {
            shop_rows(version)
                .replace("INSERT INTO customers", "INSERT INTO customers OVERRIDING SYSTEM VALUE")
                .replace("20000)", "400)")
        };
        let mut fixture = LocalFixture::new(plan, &rows(1));
        fixture.push(&remote_url(&target)).0.unwrap();
        fixture.change(
            "DELETE FROM customers WHERE id > 1990; UPDATE customers SET version = 9 WHERE id = 500; \
             UPDATE customers SET email = CASE id WHEN 6 THEN 'c7@example.com' ELSE 'c6@example.com' END WHERE id IN (6, 7); \
             INSERT INTO customers (id, email, version) OVERRIDING SYSTEM VALUE VALUES (2500, 'more@example.com', 1)",
        );
        assert_eq!(
            fixture.push(&remote_url(&target)).0.unwrap().checkpoint.unwrap().mode.to_string(),
            "diff",
            "{kind:?}"
        );
        fixture.assert_equal(&target, "public");
        fixture.push_in("swap", &remote_url(&target)).0.unwrap();
        fixture.change("DELETE FROM orders WHERE id < 9");
        fixture.push_in("swap", &remote_url(&target)).0.unwrap();
        fixture.assert_equal(&target, "public");
        target.execute_as_owner("INSERT INTO customers (email) VALUES ('new@example.com')");
        assert_eq!(target.value("SELECT max(id) FROM customers"), "5000", "{kind:?}");
    }
}
