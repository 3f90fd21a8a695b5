//! No dead ends: from every state that `status` can show, the commands that it names lead to a target that equals the
//! source.

use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Target, Tool, Workspace};

const SHOP: &str = "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL); \
                    INSERT INTO customers VALUES (1, 'a'), (2, 'b'); \
                    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customers(id), v REAL); \
                    INSERT INTO orders VALUES (1, 1, 0.5), (2, 2, 1.5)";

/// How many commands may be needed.
const COMMANDS: usize = 8;

/// A state by its name, and how to get there from where everything is done.
type State = (&'static str, fn(&World));

/// A source, a working directory and a target, all of their own.
struct World {
    workspace: Workspace,
    source: PathBuf,
    dir: PathBuf,
    target: Target,
}

impl World {
    /// With everything done.
    fn done() -> Self {
        let workspace = Workspace::new();
        let source = workspace.sqlite("source.db", SHOP);
        let dir = workspace.dir().clone();
        let world = Self { workspace, source, dir, target: Target::start() };
        world.tool(&["run"]).run().expect_exit(0);
        world
    }

    /// Findings are accepted where a command asks for it.
    fn tool(&self, arguments: &[&str]) -> Tool {
        let tool = Tool::new(arguments)
            .arg("--dir")
            .arg(&self.dir)
            .env("TURSO_DATABASE_URL", &self.source)
            .env("NEON_DATABASE_URL", self.target.url())
            .current_dir(self.workspace.path());
        if ["plan", "convert", "run"].contains(&arguments[0]) { tool.args(["--accept", "all"]) } else { tool }
    }

    fn change_source(&self, sql: &str) {
        rusqlite::Connection::open(&self.source).unwrap().execute_batch(sql).unwrap();
    }

    fn damage(&self, file: &str) {
        let path = self.dir.join(file);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.truncate(text.len() / 2);
        std::fs::write(path, text).unwrap();
    }

    fn remove(&self, file: &str) {
        let path = self.dir.join(file);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }

    /// Calls the commands that `status` names until the verification finds everything equal.
    fn walk(&self, state: &str) {
        let mut way = Vec::new();
        for _ in 0..COMMANDS {
            let status = self.tool(&["status", "--json"]).run().expect_exit(0).last_json()["answer"].clone();
            let command: Vec<String> = match &status["command"] {
                Value::Null => vec!["verify".to_owned()],
                words => serde_json::from_value(words.clone()).unwrap(),
            };
            let is_done = status["command"].is_null();
            let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
            let mut run = self.tool(&[&words[..], &["--json"]].concat()).run();
            way.push(format!("{} -> {}", words.join(" "), run.code().unwrap()));
            if run.code() == Some(8) && run.last_json()["code"] == "target-drifted" {
                words.extend(["--on-drift", "overwrite"]);
                run = self.tool(&[&words[..], &["--json"]].concat()).run();
                way.push(format!("{} -> {}", words.join(" "), run.code().unwrap()));
            }
            if run.code() == Some(1) && run.last_json()["code"] == "type-changed" {
                words.extend(["--on-type-change", "follow"]);
                run = self.tool(&[&words[..], &["--json"]].concat()).run();
                way.push(format!("{} -> {}", words.join(" "), run.code().unwrap()));
            }
            if is_done && run.code() == Some(0) {
                self.assert_equal(state);
                return;
            }
            assert!(matches!(run.code(), Some(0 | 1)), "{state}: {}\n{}", way.join("\n"), run.stderr);
        }
        panic!("{state}: no way leads to an equal target:\n{}", way.join("\n"));
    }

    fn assert_equal(&self, state: &str) {
        let connection = rusqlite::Connection::open(&self.source).unwrap();
        for table in ["customers", "orders"] {
            let sql = format!("SELECT count(*) || '/' || coalesce(sum(id), 0) FROM {table}");
            let source: String = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
            assert_eq!(self.target.value(&sql), source, "{state}: {table}");
        }
    }
}

/// After each walk everything is done again, which is where the next state begins.
fn walk_from(states: &[State]) {
    let world = World::done();
    for (state, change) in states {
        change(&world);
        world.walk(state);
    }
}

#[test]
fn every_state_of_dump_and_plan_has_a_way_to_an_equal_target() {
    walk_from(&[
        ("done", |_| {}),
        ("no directory", |world| std::fs::remove_dir_all(&world.dir).unwrap()),
        ("no dump", |world| world.remove("dump/checkpoint.json")),
        ("a damaged dump", |world| world.damage("dump/checkpoint.json")),
        ("no plan", |world| world.remove("plan/plan.json")),
        ("a damaged plan", |world| world.damage("plan/plan.json")),
        ("a source that changed", |world| {
            world.change_source("UPDATE orders SET v = v + 1 WHERE id = 1");
            world.tool(&["dump"]).run().expect_exit(0);
        }),
        ("findings to decide", |world| {
            world.change_source("CREATE TABLE guarded (id INTEGER PRIMARY KEY, d TEXT CHECK (julianday(d) > 0))");
            world.tool(&["dump"]).run().expect_exit(0);
            Tool::new(["plan", "--dir"]).arg(&world.dir).run().expect_exit(1);
        }),
        ("another configuration", |world| {
            std::fs::write(world.workspace.path().join("turso2neon.toml"), "[columns.\"orders.v\"]\ntype = \"text\"\n")
                .unwrap();
        }),
    ]);
}

#[test]
fn every_state_of_the_servers_has_a_way_to_an_equal_target() {
    walk_from(&[
        ("no local tables", |world| world.remove("convert/checkpoint.json")),
        ("a damaged checkpoint of convert", |world| world.damage("convert/checkpoint.json")),
        ("no local server", |world| world.remove("convert/pgdata")),
        ("an interrupted convert", |world| {
            let path = world.dir.join("convert/checkpoint.json");
            world.tool(&["convert", "--fresh"]).run().expect_exit(0);
            std::fs::remove_file(path).unwrap();
        }),
        ("no push", |world| world.remove("push/checkpoint.json")),
        ("a damaged checkpoint of push", |world| world.damage("push/checkpoint.json")),
        ("no verification", |world| world.remove("verify.json")),
        ("a damaged verification", |world| world.damage("verify.json")),
        ("a target that others changed", |world| {
            world.target.execute_as_owner("DELETE FROM orders WHERE id = 2");
            world.tool(&["verify"]).run().expect_exit(1);
        }),
        ("a target without the tables", |world| world.target.execute_as_owner("DROP TABLE orders, customers")),
        ("a rollback", |world| {
            world.change_source("UPDATE orders SET v = v + 1 WHERE id = 1");
            world.tool(&["run"]).run().expect_exit(0);
            world.tool(&["rollback"]).run().expect_exit(0);
        }),
        ("a rollback to rows of others", |world| {
            world.target.execute_as_owner("INSERT INTO orders VALUES (9, 1, 9)");
            world.tool(&["run", "--on-drift", "overwrite"]).run().expect_exit(0);
            world.tool(&["rollback"]).run().expect_exit(0);
        }),
        ("tables without rows", |world| {
            world.target.execute_as_owner("DROP TABLE orders, customers");
            world.tool(&["push", "--schema-only"]).run().expect_exit(0);
        }),
    ]);
}
