//! Everything that hangs on a table goes over to the one that takes its place and comes back with it, or is refused
//! with its name; on the oldest and the newest PostgreSQL.

use std::time::Duration;

use turso2neon::{
    error::Kind,
    secret::Secret,
    stages::push::rollback::{RollbackRequest, rollback},
};

use super::fixture::{LocalFixture, remote_url, runtime, shop_plan, shop_rows};
use crate::support::{Target, programs::PgVersion};

/// What hangs on the tables of the schema `public`, as the catalog has it, without OIDs.
const ATTACHED: &str = "
SELECT 'grants ' || c.relname || ' ' || a.grantee::regrole || ' ' || a.privilege_type || ' ' || a.is_grantable
  FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'S')
    AND a.grantee <> 0 AND a.grantee <> c.relowner
UNION ALL SELECT 'column grants ' || c.relname || ' ' || t.attname || ' ' || a.privilege_type || ' ' || a.grantee::regrole
  FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN LATERAL aclexplode(t.attacl) a
  WHERE c.relnamespace = 'public'::regnamespace AND a.grantee <> c.relowner
UNION ALL SELECT 'table ' || relname || ' ' || relrowsecurity || ' ' || relforcerowsecurity || ' ' || relreplident::text || ' '
    || coalesce((SELECT string_agg(o, ' ' ORDER BY o) FROM unnest(reloptions) o), '') || ' ' || coalesce((SELECT t.reloptions::text FROM pg_class t WHERE t.oid = c.reltoastrelid), '')
  FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
UNION ALL SELECT 'index ' || x.indexrelid::regclass || ' ' || indisclustered || ' ' || indisreplident
  FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid WHERE c.relnamespace = 'public'::regnamespace
UNION ALL SELECT 'column ' || c.relname || ' ' || attname || ' ' || coalesce(attstattarget::int, -1) || ' ' || attstorage::text || ' '
    || attcompression::text || ' ' || coalesce((SELECT min(o) FROM unnest(attoptions) o WHERE o LIKE 'n_distinct%'), '')
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND attnum > 0
UNION ALL SELECT 'policy ' || tablename || ' ' || policyname || ' ' || permissive || ' ' || roles::text || ' ' || cmd || ' '
    || coalesce(qual, '') || ' ' || coalesce(with_check, '') FROM pg_policies WHERE schemaname = 'public'
UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) || ' ' || tgenabled::text
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT tgisinternal AND c.relnamespace = 'public'::regnamespace
UNION ALL SELECT 'comment ' || i.identity || ' ' || d.description FROM pg_description d
  CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
  WHERE i.identity ~ 'public\\.' AND d.description LIKE 'a %'
UNION ALL SELECT 'publication ' || to_jsonb(p)::text FROM pg_publication_tables p WHERE schemaname = 'public'
ORDER BY 1";

fn attached(target: &Target) -> Vec<String> {
    target.query(ATTACHED).into_iter().map(|row| row[0].clone().unwrap()).collect()
}

fn everything_goes_over_on(major: u32) {
    let target = Target::start_on(PgVersion::Major(major));
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target);
    fixture.push(&url).0.unwrap();
    let role = format!("app_{}", target.database());
    target.query(&format!("CREATE ROLE {role}"));
    // Row filters and lists of columns came with PostgreSQL 15.
    let limits = if major >= 15 { ["(id, amount)", "WHERE (id > 5)"] } else { ["", ""] };
    target.execute_as_owner(&format!(
        "GRANT SELECT ON orders TO {role} WITH GRANT OPTION; GRANT UPDATE (amount), INSERT (id) ON orders TO {role}; \
         GRANT USAGE ON SEQUENCE customers_id_seq TO {role}; GRANT TRUNCATE ON empty TO {role}; \
         ALTER TABLE orders ENABLE ROW LEVEL SECURITY; ALTER TABLE orders FORCE ROW LEVEL SECURITY; \
         ALTER TABLE customers FORCE ROW LEVEL SECURITY; \
         CREATE POLICY evens ON orders AS RESTRICTIVE FOR UPDATE TO {role} USING (id % 2 = 0) WITH CHECK (amount > 0); \
         CREATE POLICY all_of_it ON orders USING (true); \
         CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
         CREATE TRIGGER one AFTER UPDATE OF amount ON orders FOR EACH ROW WHEN (NEW.version > 5) EXECUTE FUNCTION note('x'); \
         CREATE TRIGGER two AFTER UPDATE ON orders EXECUTE FUNCTION note(); ALTER TABLE orders DISABLE TRIGGER two; \
         CREATE CONSTRAINT TRIGGER three AFTER INSERT ON customers DEFERRABLE INITIALLY DEFERRED \
           FOR EACH ROW EXECUTE FUNCTION note(); ALTER TABLE customers ENABLE ALWAYS TRIGGER three; \
         COMMENT ON TABLE orders IS 'a table''s; comment'; COMMENT ON COLUMN orders.amount IS 'a column'; \
         COMMENT ON CONSTRAINT orders_amount ON orders IS 'a check'; COMMENT ON CONSTRAINT orders_pkey ON orders IS 'a key'; \
         COMMENT ON CONSTRAINT orders_customer_fkey ON orders IS 'a reference'; \
         COMMENT ON INDEX orders_customer IS 'a index'; COMMENT ON INDEX orders_pkey IS 'a key''s index'; \
         COMMENT ON SEQUENCE customers_id_seq IS 'a sequence'; COMMENT ON TRIGGER one ON orders IS 'a trigger'; \
         COMMENT ON POLICY evens ON orders IS 'a policy'; \
         ALTER TABLE orders SET (fillfactor = 70, autovacuum_enabled = false); \
         ALTER TABLE customers SET (toast.autovacuum_enabled = false); \
         ALTER TABLE orders ALTER customer SET STATISTICS 400; ALTER TABLE orders ALTER customer SET (n_distinct = -0.5); \
         ALTER TABLE customers ALTER doc SET STORAGE EXTERNAL; ALTER TABLE customers ALTER doc SET COMPRESSION pglz; \
         ALTER TABLE orders CLUSTER ON orders_customer; ALTER TABLE orders REPLICA IDENTITY USING INDEX orders_pkey; \
         ALTER TABLE customers REPLICA IDENTITY FULL; \
         CREATE PUBLICATION feed_{role} FOR TABLE orders {}, customers {}; CREATE PUBLICATION other_{role} FOR TABLE orders",
        limits[0], limits[1]
    ));
    let before = attached(&target);
    assert!(before.len() > 45, "{before:#?}");
    fixture.refill(&shop_rows(2));
    fixture.push_in("swap", &url).0.unwrap();
    fixture.assert_equal(&target, "public");
    assert_eq!(attached(&target), before, "after a swap on {major}");
    for version in ["1", "2"] {
        let request = RollbackRequest {
            target: Secret::new(url.clone()),
            schema: "public".to_owned(),
            list: false,
            lock_wait: Duration::from_secs(60),
        };
        runtime().block_on(rollback(&fixture.context().0, &request)).unwrap();
        assert_eq!(target.value("SELECT max(version) FROM orders"), version);
        assert_eq!(attached(&target), before, "after a rollback on {major}");
    }
    // A change of rows leaves everything as it is, and silences no trigger for longer than it lasts.
    fixture.change("UPDATE orders SET version = 3");
    fixture.push_in("diff", &url).0.unwrap();
    assert_eq!(attached(&target), before, "after a diff on {major}");
    what_cannot_go_over_is_named(&target, &mut fixture);
    // Where the old tables are dropped before the new ones come, all of it is kept too.
    fixture.plan.tables[2].columns[0].not_null = true;
    fixture.refill(&shop_rows(5));
    fixture.push_in("replace", &url).0.unwrap();
    fixture.assert_equal(&target, "public");
    assert_eq!(attached(&target), before, "after a replacement on {major}");
    target.query(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// What would stay with the old tables, and how it is reported.
fn what_cannot_go_over_is_named(target: &Target, fixture: &mut LocalFixture) {
    fixture.change("UPDATE orders SET version = 9");
    for (create, name, drop) in [
        (
            "CREATE STATISTICS pairs ON customer, version FROM orders",
            "statistics pairs on orders",
            "DROP STATISTICS pairs",
        ),
        (
            "CREATE MATERIALIZED VIEW sums AS SELECT sum(amount) FROM orders",
            "materialized view public.sums uses orders",
            "DROP MATERIALIZED VIEW sums",
        ),
        ("CREATE FUNCTION named(orders) RETURNS int LANGUAGE sql AS 'SELECT 1'", "named(", "DROP FUNCTION named"),
        (
            "CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM public.orders; END",
            "counted() uses orders",
            "DROP FUNCTION counted",
        ),
        (
            "CREATE TABLE notes (o bigint REFERENCES orders)",
            "constraint notes_o_fkey on table public.notes uses orders",
            "DROP TABLE notes",
        ),
        ("CREATE TABLE child () INHERITS (orders)", "table public.child uses orders", "DROP TABLE child"),
        ("CREATE TABLE holder (o orders)", "column o of table public.holder uses orders", "DROP TABLE holder"),
        ("CREATE INDEX by_version ON orders (version)", "index by_version on orders", "DROP INDEX by_version"),
        (
            "ALTER TABLE orders ADD CONSTRAINT positive CHECK (id > 0)",
            "constraint positive on orders",
            "ALTER TABLE orders DROP CONSTRAINT positive",
        ),
        ("ALTER TABLE orders ADD COLUMN note text", "column note was added", "ALTER TABLE orders DROP COLUMN note"),
    ] {
        target.execute_as_owner(create);
        let (pushed, _) = fixture.push_in("swap", &remote_url(target));
        let error = pushed.err().unwrap_or_else(|| panic!("{create} is carried over"));
        let kind = if create.contains("COLUMN") { Kind::TargetDrifted } else { Kind::TargetOccupied };
        assert_eq!(error.kind(), kind, "{create}: {error}");
        assert!(error.message().contains(name), "{create}: {error}");
        target.execute_as_owner(drop);
    }
    fixture.refill(&shop_rows(4));
    fixture.push_in("swap", &remote_url(target)).0.unwrap();
    fixture.assert_equal(target, "public");
}

#[test]
fn everything_that_hangs_on_tables_goes_over_on_postgresql_14() {
    everything_goes_over_on(14);
}

#[test]
fn everything_that_hangs_on_tables_goes_over_on_postgresql_18() {
    everything_goes_over_on(18);
}
