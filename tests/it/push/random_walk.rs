//! A random walk with a model: runs, changes of the source, edits of others on the target, kills, rollbacks and the end
//! of the migration, in any order and from two directories. The model says what the target must contain after each
//! step: no row of others is lost without a flag that says so, and each walk ends at an equal target.
//!
//! `TURSO2NEON_TEST_SECONDS` says how long, `TURSO2NEON_TEST_SEED` repeats one walk.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::support::{Rng, Target, Tool, Workspace, rng};

/// How long it goes on, by default.
const SECONDS: u64 = 8;
/// Steps of one walk.
const STEPS: usize = 8;
/// Commands after which the target must be equal, whatever the walk did.
const COMMANDS: usize = 6;

/// The tables, each with its columns and its rows as texts in order.
type Content = BTreeMap<String, Vec<String>>;

/// What the target holds for a push or a rollback that comes.
#[derive(Clone)]
struct Pushed {
    /// What was pushed last, which is not what others made of it.
    base: Content,
    /// What a rollback brings back, and what was pushed last before that; none if there is nothing.
    kept: Option<(Content, Content)>,
}

/// Everything that takes part in one walk, and what the model knows.
struct Walk {
    rng: Rng,
    workspace: Workspace,
    source: PathBuf,
    target: Target,
    locals: [Target; 2],
    pushed: Option<Pushed>,
    finished: bool,
    next_row: u32,
    next_column: u32,
    /// The steps so far, for the message of a failure.
    way: Vec<String>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let workspace = Workspace::new();
        let source = workspace.sqlite(
            "source.db",
            "CREATE TABLE a (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO a VALUES (1, 'one'), (2, 'two'), (3, NULL); \
             CREATE TABLE b (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a(id), n INTEGER NOT NULL); \
             INSERT INTO b VALUES (1, 1, 10), (2, 2, 20)",
        );
        let locals = [Target::start(), Target::start()];
        let (rng, target) = (Rng::new(seed), Target::start());
        let (pushed, finished, next_row, next_column) = (None, false, 100, 1);
        Self { rng, workspace, source, target, locals, pushed, finished, next_row, next_column, way: Vec::new() }
    }

    fn tool(&self, dir: usize, command: &str, flags: &[&str]) -> Tool {
        let tool = Tool::new([command, "--json", "--dir"])
            .arg(self.workspace.path().join(format!("dir{dir}")))
            .args(flags)
            .env("NEON_DATABASE_URL", self.target.url())
            .current_dir(self.workspace.path());
        match command {
            "run" => tool
                .args(["--accept", "all", "--level", "digest"])
                .env("TURSO_DATABASE_URL", &self.source)
                .env("TURSO2NEON_LOCAL_URL", self.locals[dir].admin_url()),
            "push" => tool.env("TURSO2NEON_LOCAL_URL", self.locals[dir].admin_url()),
            _ => tool,
        }
    }

    /// Runs a command; gives its exit code and the code of its error.
    fn call(&mut self, dir: usize, command: &str, flags: &[&str]) -> (i32, String) {
        let run = self.tool(dir, command, flags).run();
        let code = run.code().unwrap();
        let last = run.last_json();
        let error = last["code"].as_str().unwrap_or_default().to_owned();
        self.way.push(format!("dir{dir}: {command} {} -> {code} {error} {}", flags.join(" "), last["message"]));
        (code, error)
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{what}, after\n{}", self.way.join("\n"))
    }

    fn require(&self, is_so: bool, what: &str) {
        if !is_so {
            self.fail(what);
        }
    }

    fn in_source(&self) -> Content {
        let connection = Connection::open(&self.source).unwrap();
        let names = |sql: &str| -> Vec<String> {
            let mut statement = connection.prepare(sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        let tables = names("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1").into_iter();
        let rows = |table: String| {
            let columns = names(&format!("SELECT name FROM pragma_table_info('{table}') ORDER BY name"));
            let cells = columns.iter().map(|column| format!("'{column}=' || coalesce(CAST({column} AS TEXT), '~')"));
            let cells = cells.collect::<Vec<_>>().join(" || ' ' || ");
            let mut content = names(&format!("SELECT {cells} FROM {table}"));
            content.sort_unstable();
            content.insert(0, columns.join(" "));
            (table, content)
        };
        tables.map(rows).collect()
    }

    fn on_target(&self) -> Content {
        let columns = "SELECT table_name, string_agg(column_name, ' ' ORDER BY column_name COLLATE \"C\") \
                       FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1";
        let tables = self.target.query(columns);
        let rows = |row: Vec<Option<String>>| {
            let (table, columns) = (row[0].clone().unwrap(), row[1].clone().unwrap());
            let cells = columns.split(' ').map(|column| format!("'{column}=' || coalesce({column}::text, '~')"));
            let sql = format!("SELECT concat_ws(' ', {}) FROM public.{table}", cells.collect::<Vec<_>>().join(", "));
            let mut content: Vec<String> =
                self.target.query(&sql).into_iter().map(|row| row[0].clone().unwrap()).collect();
            content.sort_unstable();
            content.insert(0, columns);
            (table, content)
        };
        tables.into_iter().map(rows).collect()
    }

    fn number(&mut self) -> u32 {
        self.next_row += 1;
        self.next_row
    }

    fn change_source(&mut self) {
        let (number, id) = (self.number(), self.rng.between(1, 3));
        let statements = match self.rng.below(8) {
            0 => {
                self.next_column += 1;
                format!("ALTER TABLE a ADD COLUMN c{} TEXT", self.next_column)
            }
            1 => format!(
                "CREATE TABLE t{number} (id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t{number} VALUES (1, 'x')"
            ),
            2 => format!("DELETE FROM b WHERE id = {id}"),
            3 | 4 => format!("UPDATE a SET v = 'v{number}' WHERE id = {id}"),
            _ => format!("INSERT INTO a (id, v) VALUES ({number}, 'n'); INSERT INTO b VALUES ({number}, {number}, 5)"),
        };
        Connection::open(&self.source).unwrap().execute_batch(&statements).unwrap();
        self.way.push(format!("source: {statements}"));
    }

    /// What another role does on the target, if the tables are there.
    fn edit_target(&mut self) {
        let (number, id) = (self.number() + 5000, self.rng.between(1, 3));
        let statement = match self.rng.below(4) {
            0 => format!("UPDATE public.b SET n = {number} WHERE id = {id}"),
            1 => format!("DELETE FROM public.b WHERE id = {id}"),
            2 => format!("ALTER TABLE public.a ADD COLUMN o{number} text"),
            _ => format!("INSERT INTO public.a (id, v) VALUES ({number}, 'of_others')"),
        };
        if self.on_target().contains_key("b") {
            self.target.query(&statement);
            self.way.push(format!("target: {statement}"));
        }
    }

    /// Tables that others changed since the last push.
    fn drifted(&self, before: &Content) -> Vec<String> {
        let base = self.pushed.iter().flat_map(|pushed| &pushed.base);
        base.filter(|(table, rows)| before.get(*table) != Some(rows)).map(|(table, _)| table.clone()).collect()
    }

    /// A push that came to its end took the target from `before` to `after`.
    fn was_pushed(&mut self, before: Content, after: Content, base: Content) {
        let kept = match &self.pushed {
            Some(pushed) if after == before => pushed.kept.clone(),
            // Tables were altered, and no row changed: there is nothing to put back.
            Some(_) if after == in_structure_of(&before, &after) => None,
            Some(pushed) => Some((before, pushed.base.clone())),
            None => None,
        };
        self.pushed = Some(Pushed { base, kept });
    }

    fn run(&mut self, policy: &str) {
        let (dir, before, source) = (self.rng.below(2), self.on_target(), self.in_source());
        let drifted = self.drifted(&before);
        let (code, error) = self.call(dir, "run", &["--on-drift", policy]);
        let after = self.on_target();
        if self.finished {
            self.require(code == 8 && error == "finished" && after == before, "a finished migration was touched");
        } else if drifted.is_empty() || policy == "overwrite" {
            self.require(code == 0 && after == source, "the target is not equal");
            self.was_pushed(before, after, source);
        } else if policy == "refuse" || code == 8 {
            let is_named = error == "target-drifted" || policy == "keep" && error == "target-occupied";
            self.require(code == 8 && is_named && after == before, "rows of others were touched");
        } else {
            let kept = |table: &String| drifted.contains(table);
            let is_right = |(table, rows): (&String, &Vec<String>)| {
                if kept(table) { before.get(table) == Some(rows) } else { source.get(table) == Some(rows) }
            };
            self.require(matches!(code, 0 | 1) && after.iter().all(is_right), "keep did not keep");
            let old = self.pushed.as_ref().map(|pushed| pushed.base.clone()).unwrap_or_default();
            let base = source.into_iter().map(|(table, rows)| match old.get(&table) {
                Some(rows) if kept(&table) => (table, rows.clone()),
                _ => (table, rows),
            });
            let base = base.collect();
            self.was_pushed(before, after, base);
        }
    }

    /// Kills a run at a random moment.
    fn kill(&mut self) {
        let (dir, before, source) = (self.rng.below(2), self.on_target(), self.in_source());
        let drifted = self.drifted(&before);
        let running = self.tool(dir, "run", &[]).spawn();
        let wait = self.rng.within(Duration::from_millis(2500));
        std::thread::sleep(wait);
        running.kill();
        self.way.push(format!("dir{dir}: killed after {} ms", wait.as_millis()));
        // What the server was given already it may still do.
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                        AND application_name LIKE 'turso2neon%'";
        let begun = Instant::now();
        while self.target.value(sessions) != "0" && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let after = self.on_target();
        if self.finished || !drifted.is_empty() {
            self.require(after == before, "a killed run touched rows of others");
        } else if after == source && (after != before || self.pushed.is_none()) {
            self.was_pushed(before, after, source);
        } else if after != before && after == in_structure_of(&before, &after) {
            // Tables were altered, and no row changed yet.
            let base = self.pushed.iter().flat_map(|pushed| pushed.base.clone()).collect();
            self.pushed = Some(Pushed { base: in_structure_of(&base, &after), kept: None });
        } else {
            self.require(after == before, "a killed run left something half done");
        }
    }

    fn rollback(&mut self) {
        let (dir, before) = (self.rng.below(2), self.on_target());
        let (code, error) = self.call(dir, "rollback", &[]);
        let after = self.on_target();
        if self.finished {
            self.require(code == 8 && error == "finished" && after == before, "a finished migration was rolled back");
            return;
        }
        match self.pushed.clone().and_then(|pushed| Some((pushed.base, pushed.kept?))) {
            None => self.require(code == 2 && after == before, "there was nothing to roll back"),
            // Rows that others changed since are not overwritten by rows that are changed back.
            Some((base, _)) if code == 8 => self.require(base != before && after == before, "a rollback was refused"),
            Some((base, (old, old_base))) => {
                // Where rows are changed back, a column that others added stays, and so does a table that the push had not
                // changed, with the rows that others wrote into it.
                // Tables that were altered keep their structure.
                let old = in_structure_of(&old, &after);
                let old_base = in_structure_of(&old_base, &after);
                let (back, wanted) = (without_columns_of_others(&after), without_columns_of_others(&old));
                let is_untouched =
                    |table: &String| base.get(table) == old.get(table) && after.get(table) == before.get(table);
                let is_right = |table: &String| back.get(table) == wanted.get(table) || is_untouched(table);
                let is_right = code == 0 && back.keys().chain(wanted.keys()).all(is_right);
                self.require(is_right, "the rollback brought something else");
                self.pushed = Some(Pushed { base: old_base, kept: Some((before, base)) });
            }
        }
    }

    fn finish(&mut self) {
        let (dir, before) = (self.rng.below(2), self.on_target());
        let (code, _) = self.call(dir, "finish", &["--yes"]);
        let is_possible = self.pushed.is_some() || self.finished;
        self.require(code == if is_possible { 0 } else { 2 }, "finish ended otherwise");
        self.require(self.on_target() == before, "finish touched the tables");
        if is_possible {
            (self.finished, self.pushed) = (true, None);
        }
    }

    fn clean(&mut self) {
        let (dir, before) = (self.rng.below(2), self.on_target());
        let (code, _) = self.call(dir, "clean", &["--target", "--yes"]);
        self.require(code == 0 && self.on_target() == before, "clean --target touched the tables");
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..=5 => self.run("refuse"),
            6 => self.run("overwrite"),
            7 => self.run("keep"),
            8..=11 => self.change_source(),
            12 | 13 => self.edit_target(),
            14 | 15 => self.kill(),
            16 | 17 => self.rollback(),
            18 => self.clean(),
            _ if self.rng.once_in(3) => self.finish(),
            _ => self.run("refuse"),
        }
    }

    /// Follows what the errors advise until the target equals the source.
    fn arrive(&mut self) {
        for _ in 0..COMMANDS {
            let (code, error) = self.call(0, "run", &[]);
            if code == 0 {
                self.require(self.on_target() == self.in_source(), "the run ended with 0 at another content");
                return;
            }
            match error.as_str() {
                "target-drifted" => {
                    self.call(0, "run", &["--on-drift", "overwrite"]);
                }
                "finished" => {
                    self.call(0, "finish", &["--purge", "--yes"]);
                }
                "target-occupied" => {
                    let tables = self.on_target();
                    let flags: Vec<&str> = tables.keys().flat_map(|table| ["--force-table", table]).collect();
                    self.call(0, "push", &flags);
                }
                _ => self.fail("no flag leads on"),
            }
        }
        self.fail("a dead end");
    }
}

/// The content with the tables and the columns of the source that only `shape` has, without rows and without values.
fn in_structure_of(content: &Content, shape: &Content) -> Content {
    let mut made = content.clone();
    for (table, rows) in shape {
        let header = rows[0].clone();
        let Some(old) = made.get_mut(table) else {
            made.insert(table.clone(), vec![header]);
            continue;
        };
        let there: Vec<&str> = old[0].split(' ').collect();
        let new: Vec<&str> = header.split(' ').filter(|name| name.starts_with('c') && !there.contains(name)).collect();
        let widened = |(number, row): (usize, &String)| {
            let added = new.iter().map(|name| if number == 0 { (*name).to_owned() } else { format!("{name}=~") });
            let mut cells: Vec<String> = row.split(' ').map(str::to_owned).chain(added).collect();
            cells.sort_unstable();
            cells.join(" ")
        };
        let mut wider: Vec<String> = old.iter().enumerate().map(widened).collect();
        wider[1..].sort_unstable();
        *old = wider;
    }
    made
}

/// The content without the columns that [`Walk::edit_target`] adds, whose names begin with `o`.
fn without_columns_of_others(content: &Content) -> Content {
    let without = |row: &String| row.split(' ').filter(|cell| !cell.starts_with('o')).collect::<Vec<_>>().join(" ");
    content.iter().map(|(table, rows)| (table.clone(), rows.iter().map(without).collect())).collect()
}

#[test]
fn no_walk_loses_rows_of_others_or_ends_in_a_dead_end() {
    let mut walks = 0;
    rng::rounds(SECONDS, |seed| {
        let mut walk = Walk::new(seed);
        for _ in 0..STEPS {
            walk.step();
        }
        walk.arrive();
        walks += 1;
    });
    println!("{walks} walks of {STEPS} steps");
}
