//! Schemas with the tool's names that another role made.

use turso2neon::error::Kind;

use super::fixture::{LocalFixture, remote_url, shop_plan, shop_rows};
use crate::support::{Target, target::OWNER};

/// A role that may create schemas in the database, and nothing else.
fn with_stranger() -> Target {
    let target = Target::start();
    let database = target.database().to_owned();
    let stranger = stranger(&target);
    target.query(&format!("CREATE ROLE {stranger}; GRANT CREATE ON DATABASE {database} TO {stranger}"));
    target
}

/// Roles are the server's, so each database has a name of its own.
fn stranger(target: &Target) -> String {
    format!("stranger_{}", target.database())
}

fn forget(target: &Target) {
    target.query(&format!("DROP OWNED BY {0} CASCADE; DROP ROLE {0}", stranger(target)));
}

#[test]
fn a_schema_of_another_role_is_no_record_of_ours() {
    let target = with_stranger();
    let stranger = stranger(&target);
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let url = remote_url(&target);
    // A table of the owner that the stranger's record claims was pushed.
    target.execute_as_owner("CREATE TABLE public.precious (id int); INSERT INTO public.precious VALUES (1)");
    for schema in ["turso2neon", "turso2neon_previous", "turso2neon_undo"] {
        target.query(&format!("CREATE SCHEMA {schema} AUTHORIZATION {stranger}"));
        target.query(&format!("GRANT ALL ON SCHEMA {schema} TO PUBLIC"));
        if schema == "turso2neon" {
            target.query("COMMENT ON SCHEMA turso2neon IS 'turso2neon record, format 1'");
        }
        let before = target.content("public");
        let (pushed, _) = fixture.push(&url);
        let error = pushed.err().unwrap();
        assert_eq!((error.kind(), error.kind().exit()), (Kind::TargetOccupied, 8), "{error}");
        assert!(error.message().contains(&format!("schema {schema} ")), "{error}");
        assert!(error.message().contains(&stranger), "{error}");
        assert_eq!(target.content("public"), before);
        target.query(&format!("DROP SCHEMA {schema} CASCADE"));
    }
    // A table of the stranger's inside the owner's schema.
    target.execute_as_owner("CREATE SCHEMA turso2neon; GRANT ALL ON SCHEMA turso2neon TO PUBLIC");
    target.query(&format!("SET ROLE {stranger}; CREATE TABLE turso2neon.tables (oid oid)"));
    let error = fixture.push(&url).0.err().unwrap();
    assert_eq!(error.kind(), Kind::TargetOccupied, "{error}");
    assert!(error.message().contains("table turso2neon.tables"), "{error}");
    target.query("DROP SCHEMA turso2neon CASCADE");
    forget(&target);
    fixture.push(&url).0.unwrap();
    fixture.assert_equal(&target, "public");
}

#[test]
fn a_superuser_does_not_trust_it_either_but_trusts_the_owner_of_the_database() {
    let target = with_stranger();
    let stranger = stranger(&target);
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    target.query(&format!("CREATE SCHEMA turso2neon AUTHORIZATION {stranger}"));
    let error = fixture.push(&target.admin_url()).0.err().unwrap();
    assert_eq!(error.kind(), Kind::TargetOccupied, "{error}");
    target.query("DROP SCHEMA turso2neon");
    // The owner's record; and one of a role that the connected role is a member of.
    fixture.push(&remote_url(&target)).0.unwrap();
    target.query(&format!("GRANT {stranger} TO {OWNER}; ALTER SCHEMA turso2neon OWNER TO {stranger}"));
    fixture.change("DELETE FROM orders");
    fixture.push(&remote_url(&target)).0.unwrap();
    target.query(&format!("ALTER SCHEMA turso2neon OWNER TO {OWNER}"));
    forget(&target);
}
