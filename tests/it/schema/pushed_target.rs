//! `schema sync --apply` on a target that pushes go to: pushes go on afterwards, and none runs meanwhile.

use std::thread;

use turso2neon::workdir::sha256_of_bytes;

use crate::support::{Run, Target, Workspace};

const SOURCE: &str = "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE posts (id INTEGER PRIMARY KEY, author INTEGER REFERENCES users (id), size INTEGER);
CREATE INDEX posts_author ON posts (author);
INSERT INTO users VALUES (1, 'a'), (2, 'b'); INSERT INTO posts VALUES (1, 1, 7);";

struct Case {
    workspace: Workspace,
    target: Target,
}

impl Case {
    fn new() -> Self {
        let case = Self { workspace: Workspace::new(), target: Target::start() };
        case.source(SOURCE);
        case
    }

    fn source(&self, sql: &str) {
        self.workspace.sqlite("app.db", sql);
    }

    fn call(&self, command: &str, args: &[&str]) -> Run {
        self.workspace.tool(command).args(args).env("NEON_DATABASE_URL", self.target.url()).run()
    }

    fn run(&self, flags: &[&str]) -> Run {
        let source = self.workspace.path().join("app.db");
        self.call("run", &[&["--source", source.to_str().unwrap(), "--accept", "all"], flags].concat())
    }

    /// Makes the target like a copy of itself that was changed.
    fn sync(&self, change: &str, flags: &[&str]) -> Run {
        let wanted = self.target.copy("");
        wanted.execute_as_owner(change);
        self.call("schema", &[&["sync", &wanted.url(), "target", "--apply"], flags].concat())
    }

    /// Which tables there are, whatever is changed in them.
    fn tables(&self) -> String {
        self.target.value(
            "SELECT string_agg(relname || oid, ' ' ORDER BY relname) FROM pg_class \
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
        )
    }

    fn mode(&self) -> String {
        self.workspace.read_json("push/checkpoint.json")["mode"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_push_goes_on_after_columns_and_indexes_were_added() {
    let case = Case::new();
    case.run(&[]).expect_exit(0);
    let tables = case.tables();
    case.sync(
        "ALTER TABLE users ADD COLUMN added text DEFAULT 'x'; CREATE INDEX users_name ON users (name); \
         ALTER TABLE users ADD CONSTRAINT named CHECK (name <> '')",
        &["--allow", "narrow"],
    )
    .expect_exit(0);
    case.call("push", &[]).expect_exit(0).expect_text("holds these");
    case.source("INSERT INTO users VALUES (3, 'c')");
    // The push goes on. That the target has more than the plan is for `verify` to say.
    case.run(&[]).expect_exit(1).expect_text("verify");
    assert_eq!((case.mode().as_str(), case.tables()), ("diff", tables.clone()));
    assert_eq!(case.target.value("SELECT string_agg(name || added, ' ' ORDER BY id) FROM users"), "ax bx cx");
    // What others change is still theirs.
    case.target.execute_as_owner("ALTER TABLE users ADD COLUMN theirs integer");
    case.sync("ALTER TABLE posts ADD COLUMN more integer", &[]).expect_exit(0);
    case.run(&[]).expect_exit(8).expect_text("column theirs was added");
    assert_eq!(case.tables(), tables);
}

#[test]
fn a_push_goes_on_after_the_target_was_made_like_the_source() {
    let case = Case::new();
    case.run(&[]).expect_exit(0);
    let tables = case.tables();
    case.source(
        "ALTER TABLE users ADD COLUMN age INTEGER; CREATE INDEX users_age ON users (age); UPDATE users SET age = id; \
         CREATE UNIQUE INDEX users_name ON users (name)",
    );
    case.call("schema", &["sync", "app.db", "target", "--apply", "--allow", "narrow"]).expect_exit(0);
    case.run(&[]).expect_exit(0);
    assert_eq!((case.mode().as_str(), case.tables()), ("diff", tables.clone()));
    assert_eq!(case.target.value("SELECT string_agg(name || age, ' ' ORDER BY id) FROM users"), "a1 b2");
    // The plan has these parts now: nothing of them is an addition of others.
    case.run(&["--mode", "swap", "--fresh"]).expect_exit(0);
    assert_ne!(case.tables(), tables);
}

#[test]
fn the_type_of_a_pushed_column_can_change_and_rows_of_others_stay_known() {
    let case = Case::new();
    case.run(&[]).expect_exit(0);
    let tables = case.tables();
    let widen = "ALTER TABLE posts ALTER COLUMN size TYPE numeric(20)";
    case.sync(widen, &["--allow", "narrow"]).expect_exit(0);
    let overrides = case.workspace.path().join("turso2neon.toml");
    std::fs::write(&overrides, "[columns.\"posts.size\"]\ntype = \"numeric(20)\"\n").unwrap();
    case.run(&[]).expect_exit(0);
    assert_eq!(case.tables(), tables);
    assert_eq!(case.target.value("SELECT pg_typeof(size) || ' ' || size FROM posts"), "numeric 7");
    // Rows that others changed before are not taken for pushed ones.
    case.target.execute_as_owner("UPDATE posts SET size = 9");
    case.sync("ALTER TABLE posts ALTER COLUMN size TYPE numeric(22)", &["--allow", "narrow"]).expect_exit(0);
    case.run(&[]).expect_exit(8);
    assert_eq!(case.target.value("SELECT size FROM posts"), "9");
}

#[test]
fn tables_of_the_application_are_loaded_after_it() {
    let case = Case::new();
    case.target.execute_as_owner(
        "CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL); \
         CREATE TABLE posts (id int PRIMARY KEY, author int REFERENCES users (id), size int)",
    );
    case.run(&["--schema-from", "target"]).expect_exit(0);
    let tables = case.tables();
    case.sync("ALTER TABLE posts ADD COLUMN added int DEFAULT 4, ALTER COLUMN size TYPE bigint", &[]).expect_exit(0);
    case.source("INSERT INTO posts VALUES (2, 2, 8)");
    case.run(&["--schema-from", "target"]).expect_exit(0).expect_text("1 row inserted, 0 updated, 0 deleted");
    assert_eq!((case.mode().as_str(), case.tables()), ("diff", tables));
    assert_eq!(case.target.value("SELECT string_agg(size || ' ' || added, ', ' ORDER BY id) FROM posts"), "7 4, 8 4");
}

#[test]
fn a_running_push_and_a_finished_migration_are_not_disturbed() {
    let case = Case::new();
    case.run(&[]).expect_exit(0);
    let digest = sha256_of_bytes(b"turso2neon push public");
    let key = u64::from_str_radix(digest.get(..16).unwrap(), 16).unwrap().cast_signed();
    let add = "ALTER TABLE users ADD COLUMN added text";
    let wanted = case.target.copy("");
    wanted.execute_as_owner(add);
    let url = wanted.url();
    let sync = || case.call("schema", &["sync", &url, "target", "--apply"]);
    let columns =
        || case.target.value("SELECT count(*) FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0");
    thread::scope(|scope| {
        let pushing = scope.spawn(|| {
            let ended = "SELECT pg_advisory_lock($K), pg_sleep(300)".replace("$K", &key.to_string());
            case.target.try_query(&ended).err()
        });
        let held = "FROM pg_locks WHERE locktype = 'advisory' AND database = \
                    (SELECT oid FROM pg_database WHERE datname = current_database())";
        while case.target.value(&format!("SELECT count(*) {held}")) == "0" {
            thread::yield_now();
        }
        sync().expect_exit(8).expect_text("another push");
        assert_eq!(columns(), "2");
        case.target.query(&format!("SELECT pg_terminate_backend(pid) {held}"));
        pushing.join().unwrap();
    });
    case.call("finish", &["--yes"]).expect_exit(0);
    sync().expect_exit(8).expect_text("was finished");
    // Without --apply nothing is touched.
    case.call("schema", &["sync", &url, "target"]).expect_exit(0);
    assert_eq!(columns(), "2");
}
