//! What a role, a database or the environment sets for connections: limits, settings, passwords, schemas.

use std::{fs, os::unix::fs::PermissionsExt};

use futures_util::SinkExt;
use turso2neon::{
    error::Kind,
    postgres::{PgEndpoint, Role, Session},
    secret::Secret,
};

use super::fixture::{LocalFixture, remote_url, runtime, shop_plan, shop_rows};
use crate::support::{
    Environment, Target, Tool,
    target::{OWNER, PASSWORD},
};

#[test]
fn a_role_with_few_connections_is_served_with_those_that_it_gets() {
    let target = Target::start_alone("");
    let url = remote_url(&target);
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    target.query(&format!("ALTER ROLE {OWNER} CONNECTION LIMIT 2"));
    let (pushed, recorder) = fixture.push(&url);
    pushed.unwrap();
    let told = recorder.texts().join("\n");
    assert!(told.contains("the push goes on with 1 connection"), "{told}");
    fixture.assert_equal(&target, "public");
    target.query(&format!("ALTER ROLE {OWNER} CONNECTION LIMIT 1"));
    let (pushed, recorder) = fixture.push(&url);
    let error = pushed.err().unwrap();
    assert_eq!((error.kind(), recorder.retries()), (Kind::TargetRejected, 0), "{error}");
    assert!(error.hint().contains("--jobs"), "{}", error.hint());
    let doctor = Tool::new(["doctor", "--target", &url]).run().expect_exit(7);
    doctor.expect_text("1 at a time").expect_text("--jobs");
}

#[test]
fn settings_of_the_role_make_no_difference() {
    let environment = Environment::from(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT NOT NULL CHECK (length(a) < 9), b TEXT); \
         CREATE INDEX t_a ON t (a) WHERE id > 1; INSERT INTO t VALUES (1, 'x', 'null'), (2, 'y', NULL); \
         CREATE VIEW v AS SELECT a FROM t",
    );
    let database = environment.target.database();
    for setting in [
        "quote_all_identifiers = on",
        "array_nulls = off",
        "transform_null_equals = on",
        "statement_timeout = '1s'",
        "exit_on_error = on",
        "search_path = nowhere",
        "datestyle = 'SQL, DMY'",
    ] {
        environment.target.query(&format!("ALTER ROLE {OWNER} IN DATABASE {database} SET {setting}"));
    }
    environment.call(&["run", "push"]);
    let verified = environment.tool("verify").args(["--level", "full"]).run();
    verified.expect_exit(0);
}

#[test]
fn what_a_role_or_a_database_lacks_is_explained() {
    let fixture = LocalFixture::new(shop_plan(), &shop_rows(1));
    let target = Target::start();
    let database = target.database();
    let refused = |target: &Target, words: &str, advice: &str| {
        let (pushed, recorder) = fixture.push(&remote_url(target));
        let error = pushed.err().unwrap();
        assert!(error.message().contains(words), "{error}");
        assert!(error.hint().contains(advice), "{error}: {}", error.hint());
        assert_eq!(recorder.retries(), 0);
    };
    let of_role = format!("ALTER ROLE {OWNER} IN DATABASE {database}");
    target.query(&format!("{of_role} SET default_transaction_read_only = on"));
    refused(&target, "takes no writes", "default_transaction_read_only = off");
    target.query(&format!("{of_role} RESET ALL"));
    target.query("ALTER SCHEMA public OWNER TO postgres; REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    refused(&target, "may not create tables in schema public", "GRANT CREATE ON SCHEMA");
    let ascii = target.with_encoding("SQL_ASCII");
    refused(&ascii, "encoding is SQL_ASCII", "ENCODING 'UTF8'");
}

#[test]
fn the_function_that_refuses_a_row_is_named() {
    let target = Target::start();
    target.execute_as_owner(
        "CREATE TABLE t (id integer, a text); \
         CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION 'row %', NEW.a; END$$; \
         CREATE TRIGGER guard BEFORE INSERT ON t FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION guard()",
    );
    let endpoint = PgEndpoint::parse(&Secret::new(remote_url(&target)), Role::Target).unwrap().endpoint;
    runtime().block_on(async {
        let session = Session::connect(&endpoint).await.unwrap();
        let insert = session.batch("changing rows", "INSERT INTO public.t VALUES (1, 'secret-7')").await;
        let error = insert.unwrap_err();
        let words = "PL/pgSQL function public.guard() line 1 at RAISE";
        assert!(error.message().contains(words) && !error.message().contains("secret-7"), "{error}");
        assert_eq!(error.sqlstate().unwrap().code(), "P0001");
        let sink = session.client().copy_in::<_, bytes::Bytes>("COPY public.t FROM STDIN").await.unwrap();
        let mut sink = std::pin::pin!(sink);
        sink.send(bytes::Bytes::from_static(b"2\tx\nsecret-8\ty\n")).await.unwrap();
        let error = session.error("copying", &sink.finish().await.unwrap_err());
        assert!(error.message().contains("COPY t, line 2, column id"), "{error}");
        assert!(!error.message().contains("secret-8"), "{error}");
    });
}

#[test]
fn a_password_may_stand_beside_the_connection_string() {
    let target = Target::start();
    let url = remote_url(&target).replace(&format!(":{PASSWORD}@"), "@");
    let doctor = || Tool::new(["doctor", "--target", &url]);
    doctor().run().expect_exit(7).expect_text("PGPASSWORD");
    doctor().env("PGPASSWORD", PASSWORD).run().expect_exit(0);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    fs::write(&file, format!("ep-test-1234.neon.local:*:{}:{OWNER}:{PASSWORD}\n", target.database())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    doctor().env("PGPASSFILE", &file).run().expect_exit(0);
    doctor().env("HOME", home.path()).run().expect_exit(0);
    doctor().env("HOME", home.path()).env("PGPASSWORD", "wrong").run().expect_exit(7);
    // Others may read it.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    doctor().env("PGPASSFILE", &file).run().expect_exit(7).expect_text("PGPASSWORD");
}

#[test]
fn prismas_schema_is_the_target_schema() {
    let environment = Environment::from("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
    environment.call(&["dump", "convert"]);
    let url = format!("{}&schema=app", environment.target.url());
    let push = || environment.tool("push").env("NEON_DATABASE_URL", &url);
    let contradicting = push().args(["--schema", "other"]).run().expect_exit(2);
    assert!(contradicting.stderr.contains("--schema"), "{}", contradicting.stderr);
    push().run().expect_exit(0);
    assert_eq!(environment.target.value("SELECT count(*) FROM app.t"), "1");
    push().args(["--schema", "app"]).run().expect_exit(0);
    environment.tool("verify").env("NEON_DATABASE_URL", &url).run().expect_exit(0);
}
