//! What a user reads when the target refuses a statement: the SQLSTATE, what to do, and the function that raised it.

use tokio_postgres::error::SqlState;
use turso2neon::{
    error::{Error, Kind},
    model::overrides::UserSql,
};

use super::fixture::{LocalFixture, remote_url, shop_plan, shop_rows};
use crate::support::{Target, target::OWNER};

fn refusal(fixture: &LocalFixture, target: &Target) -> Error {
    fixture.push(&remote_url(target)).0.err().unwrap()
}

#[track_caller]
fn expect(error: &Error, sqlstate: &str, words: &[&str]) {
    assert_eq!((error.kind(), error.kind().exit()), (Kind::TargetRejected, 7), "{error}");
    assert_eq!(error.sqlstate().map(SqlState::code), Some(sqlstate), "{error}");
    assert!(error.message().contains(sqlstate), "{error}");
    for word in words {
        assert!(error.hint().contains(word), "{error}: {}", error.hint());
    }
}

/// A plan with these statements before the tables.
fn with_statements(statements: &[&str]) -> LocalFixture {
    let mut plan = shop_plan();
    plan.hooks = UserSql { before: statements.iter().map(|sql| (*sql).to_owned()).collect(), after: Vec::new() };
    LocalFixture::new(plan, &shop_rows(1))
}

#[test]
fn a_role_that_may_only_read_is_told_so() {
    let target = Target::start();
    let database = target.database().to_owned();
    target.query(&format!("ALTER ROLE {OWNER} IN DATABASE {database} SET default_transaction_read_only = on"));
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    // The check before the push names it.
    let error = refusal(&fixture, &target);
    assert_eq!((error.kind(), error.kind().exit()), (Kind::TargetRejected, 7), "{error}");
    assert!(error.message().contains("takes no writes"), "{error}");
    assert_eq!(target.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    // A transaction that becomes one after the check.
    let fixture = with_statements(&["SET TRANSACTION READ ONLY", "CREATE TABLE mine (a int)"]);
    let error = refusal(&fixture, &Target::start());
    expect(&error, "25006", &["primary", "default_transaction_read_only"]);
}

#[test]
fn a_role_without_the_right_to_create_in_public_is_told_which() {
    let target = Target::start();
    target.query("ALTER SCHEMA public OWNER TO CURRENT_USER; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    target.query(&format!("REVOKE ALL ON SCHEMA public FROM {OWNER}; GRANT USAGE ON SCHEMA public TO {OWNER}"));
    // The check before the push names it.
    let error = refusal(&LocalFixture::new(shop_plan(), &shop_rows(1)), &target);
    assert_eq!(error.kind().exit(), 7, "{error}");
    let told = format!("{error} {}", error.hint());
    assert!(told.contains("schema public") && told.contains("GRANT CREATE ON SCHEMA"), "{told}");
    assert_eq!(target.value("SELECT count(*) FROM pg_tables WHERE schemaname LIKE '%turso2neon%'"), "0");
    // A statement of the user's that needs a right which the check does not know.
    let target = Target::start();
    target.query("CREATE SCHEMA closed");
    let error = refusal(&with_statements(&["CREATE TABLE closed.mine (a int)"]), &target);
    expect(&error, "42501", &["GRANT", "CREATE ON SCHEMA"]);
}

#[test]
fn a_type_whose_schema_is_not_on_the_path_is_explained() {
    let target = Target::start();
    target.query(&format!(
        "CREATE SCHEMA other; CREATE TYPE other.mood AS ENUM ('x'); GRANT USAGE ON SCHEMA other TO {OWNER}"
    ));
    expect(
        &refusal(&with_statements(&["CREATE TABLE feelings (a mood)"]), &target),
        "42704",
        &["named with its schema"],
    );
    with_statements(&["CREATE TABLE feelings (a other.mood)"]).push(&remote_url(&target)).0.unwrap();
}

#[test]
fn the_function_that_raised_an_error_is_named_and_its_values_are_not() {
    let target = Target::start();
    let mut fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    fixture.push(&remote_url(&target)).0.unwrap();
    target.query(
        "CREATE FUNCTION public.inner_guard(v text) RETURNS void LANGUAGE plpgsql AS \
           'BEGIN RAISE EXCEPTION ''hunter2 %'', v USING ERRCODE = ''23514''; END'; \
         CREATE FUNCTION public.outer_guard() RETURNS trigger LANGUAGE plpgsql AS \
           'BEGIN PERFORM public.inner_guard(''hunter3''); RETURN NEW; END'; \
         CREATE TRIGGER guard BEFORE UPDATE ON turso2neon.runs FOR EACH ROW EXECUTE FUNCTION public.outer_guard()",
    );
    fixture.refill(&shop_rows(2));
    let error = refusal(&fixture, &target);
    expect(&error, "23514", &[]);
    let message = error.message();
    assert!(message.contains("inner_guard") && message.contains("outer_guard"), "{error}");
    assert!(!format!("{error} {}", error.hint()).contains("hunter"), "{error}");
}
