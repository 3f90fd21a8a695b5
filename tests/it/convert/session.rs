//! What a server answers arrives as types: SQLSTATE and source of an error, and values that are not swallowed.

use std::error::Error as _;

use tokio_postgres::error::SqlState;
use turso2neon::{
    error::{Error, Kind},
    postgres::{PgEndpoint, Role, Session, error_map::ServerError, load_journal},
    secret::Secret,
};

use super::{
    fixture::{Fixture, runtime},
    load::{ROWS, external, rows_plan},
};
use crate::support::Target;

async fn session(target: &Target, role: Role) -> Session {
    let parsed = PgEndpoint::parse(&Secret::new(target.admin_url()), role).unwrap();
    Session::connect(&parsed.endpoint).await.unwrap()
}

fn kind_and_state(error: &Error) -> (Kind, Option<SqlState>) {
    (error.kind(), error.sqlstate().cloned())
}

#[test]
fn a_value_of_another_type_is_an_error_and_no_missing_row() {
    let target = Target::start();
    runtime().block_on(async {
        let local = session(&target, Role::Local).await;
        for error in [
            local.query_column::<i64>("asking", "SELECT relname FROM pg_class", &[]).await.err(),
            local.query_value::<bool>("asking", "SELECT NULL::boolean", &[]).await.err(),
            local.query_value::<bool>("asking", "SELECT 'f'::text", &[]).await.err(),
            local.query_row("asking", "SELECT (-1)::bigint", &[]).await.unwrap().count(0).err(),
            local.query_row("asking", "SELECT 'x'::text", &[]).await.unwrap().parse::<load_journal::LoadScope>(0).err(),
            local.query_row("asking", "SELECT 1", &[]).await.unwrap().get::<i32>(1).err(),
        ] {
            let error = error.unwrap();
            assert_eq!(kind_and_state(&error), (Kind::LocalRejected, None), "{error}");
            assert!(error.message().starts_with("asking: column "), "{error}");
        }
        let none = local.query_value::<i32>("asking", "SELECT 1 WHERE false", &[]).await.unwrap_err();
        assert_eq!(none.kind(), Kind::Bug);
        let error =
            session(&target, Role::Target).await.query_value::<i64>("asking", "SELECT 1", &[]).await.unwrap_err();
        assert_eq!(error.kind(), Kind::TargetRejected);
    });
}

#[test]
fn an_error_has_sqlstate_and_source_without_the_values() {
    let target = Target::start();
    runtime().block_on(async {
        let session = session(&target, Role::Target).await;
        let sql = "CREATE TABLE public.t (a text CONSTRAINT one_only UNIQUE); INSERT INTO public.t VALUES ('hunter2')";
        session.batch("preparing", sql).await.unwrap();
        let error = session.batch("writing", "INSERT INTO public.t VALUES ('hunter2')").await.unwrap_err();
        assert_eq!(kind_and_state(&error), (Kind::TargetRejected, Some(SqlState::UNIQUE_VIOLATION)));
        let source = error.source().unwrap();
        assert!(!format!("{source} {source:?} {error:?}").contains("hunter2"));
        let server = source.downcast_ref::<ServerError>().unwrap();
        assert_eq!(server.sqlstate, SqlState::UNIQUE_VIOLATION);
        let place = [&server.schema, &server.table, &server.constraint].map(|name| name.as_deref().unwrap_or_default());
        assert_eq!(place, ["public", "t", "one_only"]);
    });
}

#[test]
fn markers_of_another_form_stop_the_load() {
    let target = Target::start();
    let fixture = Fixture::new(ROWS);
    target.query("CREATE SCHEMA turso2neon");
    target.query("CREATE TABLE turso2neon.load (load_key text, scope text, finished text)");
    target.query("INSERT INTO turso2neon.load VALUES ('key', 'all', 'no')");
    let error = fixture.convert(&rows_plan(), &external(&target)).unwrap_err();
    assert_eq!(error.kind(), Kind::LocalRejected, "{error}");
    assert!(error.hint().contains("drop the schema turso2neon"), "{}", error.hint());
}
