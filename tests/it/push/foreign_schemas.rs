//! Schemas with the tool's names that another role made.

use turso2neon::error::Kind;

use super::fixture::{LocalFixture, remote_url, shop_plan, shop_rows};
use crate::support::{Target, Tool, target::OWNER};

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

#[test]
fn code_of_another_role_is_not_run_by_questions() {
    let target = with_stranger();
    let stranger = stranger(&target);
    // Views of the record's names call a function that leaves a trace.
    target.query(&format!(
        "CREATE SCHEMA turso2neon AUTHORIZATION {stranger}; COMMENT ON SCHEMA turso2neon IS 'turso2neon record, format 1'; \
         SET ROLE {stranger}; GRANT ALL ON SCHEMA turso2neon TO PUBLIC; CREATE TABLE turso2neon.trace (x int); \
         GRANT ALL ON turso2neon.trace TO PUBLIC; CREATE FUNCTION turso2neon.spy() RETURNS text LANGUAGE sql AS \
           $$ INSERT INTO turso2neon.trace VALUES (1) RETURNING 'public'::text $$; \
         CREATE VIEW turso2neon.lifecycle AS SELECT turso2neon.spy() AS target_schema, 'finished' AS state, now() AS since; \
         CREATE VIEW turso2neon.runs AS SELECT turso2neon.spy() AS target_schema, 'x' AS staging_schema, 'loading' AS state; \
         CREATE VIEW turso2neon.tables AS SELECT turso2neon.spy() AS target_schema; \
         GRANT ALL ON ALL TABLES IN SCHEMA turso2neon TO PUBLIC"
    ));
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    for command in [
        &["status"][..],
        &["doctor"],
        &["rollback", "--list"],
        &["finish", "--dry-run"],
        &["clean", "--yes"],
        &["push"],
    ] {
        let call = Tool::new(command).arg("--target").arg(remote_url(&target));
        let run = call.arg("--dir").arg(fixture.workdir().root()).run();
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains(&stranger), "{command:?}: {said}");
        assert_eq!(target.value("SELECT count(*) FROM turso2neon.trace"), "0", "{command:?}");
    }
    target.query("DROP SCHEMA turso2neon CASCADE");
    forget(&target);
}
