//! `--schema-from`: the tables that an ORM made for PostgreSQL, filled from SQLite.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Target, Workspace};

/// What Drizzle writes for PostgreSQL.
const DRIZZLE: &str = r#"CREATE TYPE "public"."role" AS ENUM('admin', 'user', 'it''s');--> statement-breakpoint
CREATE TABLE "users" (
	"id" serial PRIMARY KEY NOT NULL,
	"external_id" uuid DEFAULT gen_random_uuid() NOT NULL,
	"email" varchar(255) NOT NULL,
	"role" "role" DEFAULT 'user' NOT NULL,
	"is_active" boolean DEFAULT true NOT NULL,
	"balance" numeric(12, 2) DEFAULT '0' NOT NULL,
	"tags" text[] DEFAULT '{}'::text[] NOT NULL,
	"scores" integer[],
	"settings" jsonb,
	"birthday" date,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"updated_at" timestamp (3),
	"code" char(4),
	"ratio" real,
	"note" text DEFAULT 'none',
	CONSTRAINT "users_email_unique" UNIQUE("email")
);
--> statement-breakpoint
CREATE TABLE "posts" (
	"id" uuid PRIMARY KEY NOT NULL,
	"author_id" integer NOT NULL,
	"title" text NOT NULL,
	"slug" text GENERATED ALWAYS AS (lower(title)) STORED,
	CONSTRAINT "title_there" CHECK (length("posts"."title") > 0)
);
--> statement-breakpoint
CREATE TABLE "audit" ("id" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, "what" "role");
--> statement-breakpoint
ALTER TABLE "posts" ADD CONSTRAINT "posts_author_fk" FOREIGN KEY ("author_id") REFERENCES "public"."users"("id") ON DELETE cascade;--> statement-breakpoint
CREATE INDEX "posts_author_idx" ON "posts" USING btree ("author_id" DESC NULLS LAST,lower("title"));"#;

/// The same application's tables in SQLite.
const SOURCE: &str = r#"CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, externalId TEXT NOT NULL,
  email TEXT NOT NULL UNIQUE, role TEXT NOT NULL, isActive INTEGER NOT NULL, balance TEXT NOT NULL, tags TEXT NOT NULL,
  scores TEXT, settings TEXT, birthday TEXT, createdAt INTEGER NOT NULL, updatedAt TEXT, code TEXT, ratio REAL);
CREATE TABLE posts(id BLOB PRIMARY KEY, authorId INTEGER NOT NULL REFERENCES users(id), title TEXT NOT NULL);
CREATE TABLE __drizzle_migrations(id INTEGER PRIMARY KEY, hash TEXT NOT NULL);
INSERT INTO __drizzle_migrations VALUES (1, 'abc');
INSERT INTO users VALUES
  (1, '00112233-4455-6677-8899-AABBCCDDEEFF', 'a@x', 'it''s', 1, '10.50', '["a","b, c",null]', '[1,-2]',
   '{"b":1,"a":[1.50,null]}', '2001-02-03', 1700000000123, '2024-01-02T03:04:05.678Z', 'ab', 0.1),
  (5, 'ffeeddccbbaa99887766554433221100', 'b@x', 'admin', 0, '-3', '[]', NULL, NULL, NULL, 1600000000000, NULL, NULL, NULL);
INSERT INTO posts VALUES (x'0102030405064708890a0b0c0d0e0f10', 5, 'Hello World');"#;

fn file(workspace: &Workspace, name: &str, sql: &str) -> PathBuf {
    let path = workspace.path().join(name);
    std::fs::write(&path, sql).unwrap();
    path
}

fn dumped(script: &str) -> Workspace {
    let workspace = Workspace::new();
    let source = workspace.sqlite("app.db", script);
    workspace.tool("dump").arg("--source").arg(source).run().expect_exit(0);
    workspace
}

/// `code@place severity` of every finding.
fn findings(workspace: &Workspace) -> Vec<String> {
    let plan = workspace.read_json("plan/plan.json");
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let one = |finding: &Value| {
        let place = [text(finding, "table"), text(finding, "column")];
        let place: Vec<&str> = place.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
        format!("{}@{} {}", text(finding, "code"), place.join("."), text(finding, "severity"))
    };
    plan["findings"].as_array().unwrap().iter().map(one).collect()
}

#[test]
fn the_tables_that_drizzle_made_are_filled_by_their_types() {
    let workspace = Workspace::new();
    let source = workspace.sqlite("app.db", SOURCE);
    let schema = file(&workspace, "drizzle.sql", DRIZZLE);
    let after = "CREATE VIEW active AS SELECT email FROM users WHERE is_active";
    file(&workspace, "turso2neon.toml", &format!("[sql]\nafter = [\"{after}\"]\n"));
    let target = Target::start();
    let run = workspace.tool("run").arg("--source").arg(source).arg("--schema-from").arg(&schema);
    run.env("NEON_DATABASE_URL", target.url()).run().expect_exit(0);
    let rows = target.query(
        "SET timezone='UTC'; SELECT id::text, external_id::text, role::text, is_active::text, balance::text, tags::text, \
         scores::text, settings::text, birthday::text, created_at::text, updated_at::text, code::text, ratio::text, note \
         FROM users ORDER BY id",
    );
    let row = |cells: [&str; 14]| cells.map(|cell| Some(cell.to_owned()).filter(|cell| cell != "-")).to_vec();
    let first = row([
        "1",
        "00112233-4455-6677-8899-aabbccddeeff",
        "it's",
        "true",
        "10.50",
        "{a,\"b, c\",NULL}",
        "{1,-2}",
        "{\"a\": [1.50, null], \"b\": 1}",
        "2001-02-03",
        "2023-11-14 22:13:20.123+00",
        "2024-01-02 03:04:05.678",
        "ab",
        "0.1",
        "none",
    ]);
    let second = row([
        "5",
        "ffeeddcc-bbaa-9988-7766-554433221100",
        "admin",
        "false",
        "-3.00",
        "{}",
        "-",
        "-",
        "-",
        "2020-09-13 12:26:40+00",
        "-",
        "-",
        "-",
        "none",
    ]);
    assert_eq!(rows, [first, second]);
    assert_eq!(target.value("SELECT id || ' ' || slug FROM posts"), "01020304-0506-4708-890a-0b0c0d0e0f10 hello world");
    assert_eq!(target.value("SELECT string_agg(email, ' ') FROM active"), "a@x");
    target.execute_as_owner(
        "INSERT INTO users (email, external_id) VALUES ('new', DEFAULT); INSERT INTO audit (what) VALUES ('user')",
    );
    assert_eq!(
        target.value("SELECT id || ' ' || role || ' ' || (SELECT id FROM audit) FROM users WHERE email = 'new'"),
        "6 user 1"
    );
    let definitions = target.definitions("public");
    for expected in ["posts_author_fk", "ON DELETE CASCADE", "title_there", "author_id DESC NULLS LAST, lower(title)"] {
        assert!(definitions.contains(expected), "{expected}:\n{definitions}");
    }
    assert!(findings(&workspace).contains(&"table-skipped@__drizzle_migrations warning".to_owned()));
    assert!(!workspace.dir().join("plan/scratch").exists());
}

/// What Prisma writes for PostgreSQL.
const PRISMA: &str = r#"-- CreateEnum
CREATE TYPE "Role" AS ENUM ('USER', 'ADMIN');
-- CreateTable
CREATE TABLE "User" (
    "id" TEXT NOT NULL,
    "role" "Role" NOT NULL DEFAULT 'USER',
    "verified" BOOLEAN NOT NULL DEFAULT false,
    "price" DECIMAL(65,30),
    "meta" JSONB,
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT "User_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "Item" ("id" SERIAL NOT NULL, "ownerId" TEXT, "label" TEXT NOT NULL, CONSTRAINT "Item_pkey" PRIMARY KEY ("id"));
CREATE UNIQUE INDEX "Item_label_key" ON "Item"("label");
ALTER TABLE "Item" ADD CONSTRAINT "Item_ownerId_fkey" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON DELETE SET NULL ON UPDATE CASCADE;"#;

const PRISMA_SOURCE: &str = r#"CREATE TABLE "User" ("id" TEXT NOT NULL PRIMARY KEY, "role" TEXT NOT NULL DEFAULT 'USER',
  "verified" BOOLEAN NOT NULL DEFAULT false, "price" DECIMAL, "meta" JSONB, "createdAt" DATETIME NOT NULL);
CREATE TABLE "Item" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "ownerId" TEXT, "label" TEXT NOT NULL);
INSERT INTO "User" VALUES ('c1', 'ADMIN', 1, 12.125, '[1]', 1700000000123), ('c2', 'USER', 0, NULL, NULL, '2024-03-04T05:06:07.089+00:00');
INSERT INTO "Item" VALUES (1, 'c1', 'one'), (2, NULL, 'two');"#;

#[test]
fn a_database_that_has_the_tables_gives_them_once() {
    let workspace = dumped(PRISMA_SOURCE);
    let target = Target::start();
    target.execute_as_owner(PRISMA);
    workspace.tool("plan").arg("--schema-from").arg(target.url()).run().expect_exit(0);
    let before = workspace.read("plan/plan.json");
    assert!(!before.contains("pw7-Correct") && !workspace.read("log.jsonl").contains("pw7-Correct"));
    // The tables stay what they are, and are not needed again.
    target.execute_as_owner("DROP TABLE \"Item\", \"User\"; DROP TYPE \"Role\"");
    workspace.tool("convert").run().expect_exit(0);
    assert_eq!(workspace.read("plan/plan.json"), before);
    workspace.tool("verify").run().expect_exit(0);
    // A label that the file has more is added to the type on the target. A rollback of rows leaves it there.
    let push = |workspace: &Workspace, command: &str| {
        workspace.tool(command).env("NEON_DATABASE_URL", target.url()).run().expect_exit(0);
    };
    push(&workspace, "push");
    let labels = || target.value("SELECT array_agg(e::text)::text FROM unnest(enum_range(NULL::\"Role\")) e");
    let wider = PRISMA.replace("'USER', 'ADMIN'", "'USER', 'ADMIN', 'GUEST'");
    let schema = file(&workspace, "wider.sql", &wider);
    workspace.tool("convert").arg("--schema-from").arg(schema).run().expect_exit(0);
    push(&workspace, "push");
    assert_eq!(labels(), "{USER,ADMIN,GUEST}");
    push(&workspace, "verify");
    push(&workspace, "rollback");
    assert_eq!(labels(), "{USER,ADMIN,GUEST}");
    assert_eq!(target.value("SELECT count(*) FROM \"User\""), "0");
}

#[test]
fn what_does_not_fit_is_found_before_loading() {
    let workspace = dumped(&format!(
        "{PRISMA_SOURCE} ALTER TABLE \"User\" ADD legacy TEXT; CREATE TABLE old_items(id INTEGER PRIMARY KEY); \
         INSERT INTO old_items VALUES (1); \
         INSERT INTO \"User\" VALUES ('x', 'GUEST', 2, '1.2.3', '{{', '2024-01-01 00:00:00.1234', 'l'); \
         INSERT INTO \"Item\" VALUES (9, 'nobody', 'one');"
    ));
    let schema = file(&workspace, "schema.sql", PRISMA);
    let plan = |extra: &[&str]| workspace.tool("plan").arg("--schema-from").arg(&schema).args(extra.iter()).run();
    plan(&[]).expect_exit(5);
    let found = findings(&workspace);
    for expected in [
        "type-does-not-fit@User.role refused",
        "type-does-not-fit@User.verified refused",
        "type-does-not-fit@User.price refused",
        "type-does-not-fit@User.meta refused",
        "type-does-not-fit@User.createdAt needs-decision",
        "keys-merged@Item.label needs-decision",
        "orphan-rows@Item.ownerId needs-decision",
        "column-skipped@User.legacy needs-decision",
        "table-skipped@old_items needs-decision",
    ] {
        assert!(found.contains(&expected.to_owned()), "{expected}: {found:#?}");
    }
    // The second message names the places.
    plan(&[]).expect_exit(5).expect_text(
        "they are not a label of the enumerated type (first at rowid 3; the form of the first is the text `aaaaa`)",
    );
}

#[test]
fn a_schema_that_can_not_be_run_is_a_mistake_of_the_configuration() {
    let workspace = dumped(PRISMA_SOURCE);
    let refused = |sql: &str, text: &str| {
        let schema = file(&workspace, "bad.sql", sql);
        workspace.tool("plan").arg("--schema-from").arg(schema).run().expect_exit(2).expect_text(text);
    };
    refused("CREATE TABLE a (x int);\nCREATE EXTENSION no_such_thing;", "bad.sql: line 2");
    refused("COPY a FROM stdin;\n1\n\\.\n", "pg_dump --schema-only");
    let missing = workspace.tool("plan").args(["--schema-from", "nowhere.sql"]).run();
    missing.expect_exit(2).expect_text("nowhere.sql");
    assert!(!workspace.dir().join("plan/scratch").exists());
}

#[test]
fn tables_are_renamed_and_wrong_names_get_the_nearest() {
    let workspace =
        dumped("CREATE TABLE t1(a INTEGER, b TEXT); INSERT INTO t1 VALUES (1, 'x'); CREATE TABLE t2(a INTEGER);");
    let plan = |toml: &str| {
        file(&workspace, "turso2neon.toml", toml);
        workspace.tool("plan").run()
    };
    plan("[tables.t1]\nname = \"first\"\n[columns.\"t1.b\"]\nname = \"words\"\n").expect_exit(0);
    let sql = workspace.read("plan/schema.sql");
    assert!(sql.contains("\"public\".\"first\"") && sql.contains("\"words\" text"), "{sql}");
    plan("[tables.t3]\nname = \"x\"").expect_exit(2).expect_text("did you mean `t");
    plan("[tables.t1]\nnames = \"x\"").expect_exit(2).expect_text("did you mean `name`?");
    plan("[tables.t1]\nname = \"same\"\n[tables.t2]\nname = \"same\"")
        .expect_exit(2)
        .expect_text("another table has this name");
    plan("[sql]\nafter = [\"COMMIT\"]").expect_exit(2).expect_text("sql.after, entry 1");
    assert!(Path::new(&workspace.dir().join("plan")).is_dir());
}

#[test]
fn what_a_file_has_more_is_created_and_what_it_inserts_is_named() {
    let workspace = dumped("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x');");
    let target = Target::start();
    let push = |sql: &str| {
        let schema = file(&workspace, "schema.sql", sql);
        workspace.tool("convert").arg("--schema-from").arg(schema).run().expect_exit(0);
        workspace.tool("push").env("NEON_DATABASE_URL", target.url()).run().expect_exit(0);
    };
    let table = "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (7, 'seed');";
    push(table);
    assert!(findings(&workspace).contains(&"clause-not-carried@t warning".to_owned()));
    assert_eq!(target.value("SELECT string_agg(a, ' ') FROM t"), "x");
    // The rows are the same; the push still has something to do.
    push(&format!("{table} CREATE VIEW v AS SELECT a FROM t;"));
    assert_eq!(target.value("SELECT a FROM v"), "x");
}

#[test]
fn the_schema_with_the_tables_of_the_application_is_found() {
    let workspace = Workspace::new();
    let source =
        workspace.sqlite("app.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x');");
    let target = Target::start();
    target.execute_as_owner(
        "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, a text); CREATE SCHEMA drizzle; \
         CREATE TABLE drizzle.__drizzle_migrations (id serial PRIMARY KEY, hash text, created_at bigint)",
    );
    let run = |more: &[&str]| {
        let run = workspace.tool("run").arg("--source").arg(&source).args(["--schema-from", "target"]).args(more);
        run.env("NEON_DATABASE_URL", target.url()).run()
    };
    run(&["--schema", "other"]).expect_exit(2).expect_text("schema other of the database has no tables");
    run(&[]).expect_exit(0);
    assert_eq!(target.value("SELECT a FROM app.t"), "x");
    workspace.tool("rollback").arg("--yes").env("NEON_DATABASE_URL", target.url()).run().expect_exit(0);
    assert_eq!(target.value("SELECT count(*)::text FROM app.t"), "0");
}

#[test]
fn numbers_that_defaults_take_are_given_once() {
    let schema = "CREATE SEQUENCE codes START 1000;
         CREATE TABLE seeds (code text DEFAULT 'S-' || nextval('codes')); INSERT INTO seeds SELECT FROM generate_series(1, 2);
         CREATE TABLE t (id int PRIMARY KEY, code text DEFAULT 'S-' || nextval('codes'));
         CREATE TABLE u (id int PRIMARY KEY, number bigint DEFAULT nextval('codes'));
         CREATE TABLE w (id int PRIMARY KEY, number bigint DEFAULT nextval('codes'));";
    let workspace = dumped(
        "CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2);
         CREATE TABLE u(id INTEGER PRIMARY KEY); INSERT INTO u VALUES (1), (2), (3);
         CREATE TABLE w(id INTEGER PRIMARY KEY); INSERT INTO w VALUES (1), (2), (3), (4);",
    );
    let empty = Target::start();
    let (live, local) = (empty.beside(), empty.beside());
    live.execute_as_owner(schema);
    let call = |command: &str, target: &Target, flags: &[&str]| {
        let tool = workspace.tool(command).args(flags).env("TURSO2NEON_LOCAL_URL", local.admin_url());
        tool.env("NEON_DATABASE_URL", target.url()).run().expect_exit(0);
    };
    let schema = file(&workspace, "schema.sql", schema);
    call("convert", &empty, &["--schema-from", schema.to_str().unwrap()]);
    call("push", &empty, &[]);
    call("push", &live, &[]);
    let given = "SELECT string_agg(n, ' ' ORDER BY n) || ' ' || nextval('codes') FROM (SELECT code FROM seeds \
                 UNION ALL SELECT code FROM t UNION ALL SELECT 'S-' || number FROM u \
                 UNION ALL SELECT 'S-' || number FROM w) AS given (n)";
    let numbers: Vec<String> = (1000..1011).map(|number| format!("S-{number}")).collect();
    for database in [&local, &empty, &live] {
        assert_eq!(database.value(given), format!("{} 1011", numbers.join(" ")));
    }
}

#[test]
fn a_sequence_that_has_given_its_last_number_gives_no_other() {
    let workspace = dumped("CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (5);");
    let target = Target::start();
    let schema = "CREATE SEQUENCE few MAXVALUE 2; CREATE TABLE seeds (code int DEFAULT nextval('few'));
         INSERT INTO seeds SELECT FROM generate_series(1, 2);
         CREATE TABLE t (id int GENERATED BY DEFAULT AS IDENTITY (MAXVALUE 5) PRIMARY KEY);";
    let schema = file(&workspace, "schema.sql", schema);
    workspace.tool("convert").arg("--schema-from").arg(schema).run().expect_exit(0);
    assert!(findings(&workspace).contains(&"identity-exhausted@t.id warning".to_owned()));
    for command in ["push", "verify"] {
        workspace.tool(command).env("NEON_DATABASE_URL", target.url()).run().expect_exit(0);
    }
    let (code, _) = target.try_query("SELECT nextval('few')").unwrap_err();
    assert_eq!(code, "2200H");
    let (code, _) = target.try_query("INSERT INTO t DEFAULT VALUES").unwrap_err();
    assert_eq!(code, "23505");
}
