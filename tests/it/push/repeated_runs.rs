//! Repeated runs: the source changes at random, `run` follows, and every table of the target is compared with the
//! source by code that shares nothing with the tool.
//!
//! `TURSO2NEON_TEST_SECONDS` says how long, `TURSO2NEON_TEST_SEED` repeats one round.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use rusqlite::{Connection, types::ValueRef};

use crate::support::{PgVersion, Rng, Target, Workspace, rng};

/// How long it goes on, by default.
const SECONDS: u64 = 8;
/// Runs of one database.
const RUNS: usize = 7;
/// The table that is never dropped or renamed: a push refuses to let all tables go.
const ANCHOR: &str = "anchor";
/// Declared types, and what makes a value of each from the row's number and a factor.
const TYPES: [(&str, &str); 4] = [
    ("TEXT", "'w' || ((i * {k}) % 977)"),
    ("INTEGER", "(i * {k}) % 1009 * 4294967296 + i % 5 - 2"),
    ("REAL", "(i * {k} % 1013 - 500) / 8.0"),
    ("BLOB", "CAST('b' || (i * {k}) % 983 AS BLOB)"),
];

/// A database whose content changes at random.
struct Source {
    connection: Connection,
    rng: Rng,
    /// Tables and columns that were made; each gets a number of its own.
    made: usize,
    /// The statements so far, for the message of a failure.
    script: Vec<String>,
}

impl Source {
    fn new(path: &Path, seed: u64) -> Self {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF").unwrap();
        let mut source = Self { connection, rng: Rng::new(seed), made: 0, script: Vec::new() };
        source.make_table(ANCHOR.to_owned(), 2500);
        for _ in 0..=source.rng.below(3) {
            source.add_table();
        }
        source
    }

    fn execute(&mut self, sql: &str) {
        self.script.push(sql.to_owned());
        self.connection.execute_batch(sql).unwrap_or_else(|cause| panic!("{cause}: {sql}"));
    }

    fn names(&self, sql: &str) -> Vec<String> {
        let mut statement = self.connection.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    fn tables(&self) -> Vec<String> {
        self.names("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    }

    /// The columns of a table that are neither its key nor unique.
    fn plain_columns(&self, table: &str) -> Vec<String> {
        self.names(&format!("SELECT name FROM pragma_table_info('{table}') WHERE name LIKE 'c%' ORDER BY cid"))
    }

    fn next(&mut self) -> usize {
        self.made += 1;
        self.made
    }

    fn add_table(&mut self) {
        let name = format!("t{}", self.next());
        let rows = self.rng.pick(&[0, 1, 3, 60, 700, 2600]);
        self.make_table(name, rows);
    }

    fn make_table(&mut self, name: String, rows: u32) {
        let key = self.rng.pick(&[
            "id INTEGER PRIMARY KEY",
            "id TEXT PRIMARY KEY NOT NULL",
            "id INTEGER",
            "id INTEGER NOT NULL UNIQUE",
        ]);
        let columns: Vec<(String, (&str, &str))> =
            (0..self.rng.below(4) + 2).map(|_| (format!("c{}", self.next()), self.rng.pick(&TYPES))).collect();
        let declared = columns.iter().map(|(column, (declared, _))| format!(", {column} {declared}"));
        self.execute(&format!("CREATE TABLE {name} ({key}, u TEXT UNIQUE{})", declared.collect::<String>()));
        self.insert(&name, 1, rows);
    }

    /// Inserts rows with these numbers, as far as they are not there.
    fn insert(&mut self, table: &str, first: u32, count: u32) {
        let factor = self.rng.between(3, 900);
        let types: BTreeMap<String, String> = self
            .names(&format!("SELECT name || ' ' || type FROM pragma_table_info('{table}')"))
            .into_iter()
            .map(|both| both.split_once(' ').map(|(name, of)| (name.to_owned(), of.to_owned())).unwrap())
            .collect();
        let value = |name: &String, declared: &String| match name.as_str() {
            "id" if declared == "TEXT" => "'k' || i".to_owned(),
            "id" => "i".to_owned(),
            "u" => "CASE WHEN i % 6 > 0 THEN 'u' || i END".to_owned(),
            _ => {
                let (_, value) = TYPES.iter().find(|(of, _)| of == declared).unwrap();
                format!("CASE WHEN (i * {factor}) % 7 > 0 THEN {} END", value.replace("{k}", &factor.to_string()))
            }
        };
        let (names, values): (Vec<_>, Vec<_>) = types.iter().map(|(name, of)| (name.clone(), value(name, of))).unzip();
        if count > 0 {
            self.execute(&format!(
                "WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n LIMIT {count}) \
                 INSERT OR IGNORE INTO {table} ({}) SELECT {} FROM n",
                names.join(", "),
                values.join(", ")
            ));
        }
    }

    /// Changes one thing, if the chosen table allows it.
    fn change(&mut self) {
        let tables = self.tables();
        let table = tables[self.rng.below(tables.len())].clone();
        let columns = self.plain_columns(&table);
        let Some(column) = (!columns.is_empty()).then(|| columns[self.rng.below(columns.len())].clone()) else {
            return;
        };
        let (part, rest) = (self.rng.between(2, 40), self.rng.between(0, 1));
        let some = format!("rowid % {part} = {rest}");
        match self.rng.below(15) {
            0 => {
                let (first, count) = (self.rng.between(1, 5000), self.rng.between(1, 200));
                self.insert(&table, u32::try_from(first).unwrap(), u32::try_from(count).unwrap());
            }
            1 => self.execute(&format!("UPDATE {table} SET {column} = NULL WHERE {some}")),
            2 => self.execute(&format!("DELETE FROM {table} WHERE {some}")),
            3..=5 => self.exchange(&table, &column),
            6 => {
                let other = columns[self.rng.below(columns.len())].clone();
                self.exchange(&table, &column);
                self.exchange(&table, &other);
            }
            7 | 8 => self.shuffle(&table, &column),
            9 => self.exchange_unique(&table),
            10 => self.change_keys(&table),
            11 => self.add_table(),
            12 if table != ANCHOR => match self.rng.below(2) {
                0 => self.execute(&format!("DROP TABLE {table}")),
                _ => {
                    let name = format!("t{}", self.next());
                    self.execute(&format!("ALTER TABLE {table} RENAME TO {name}"));
                }
            },
            13 => {
                let (name, (declared, _)) = (format!("c{}", self.next()), self.rng.pick(&TYPES));
                self.execute(&format!("ALTER TABLE {table} ADD COLUMN {name} {declared}"));
            }
            14 if columns.len() > 1 => match self.rng.below(2) {
                0 => self.execute(&format!("ALTER TABLE {table} DROP COLUMN {column}")),
                _ => {
                    let name = format!("c{}", self.next());
                    self.execute(&format!("ALTER TABLE {table} RENAME COLUMN {column} TO {name}"));
                }
            },
            _ => {}
        }
    }

    /// Two rows exchange their values of a column, three rotate them.
    fn exchange(&mut self, table: &str, column: &str) {
        let (count, skip) = (self.rng.between(2, 3), self.rng.between(0, 400));
        self.execute(&format!(
            "CREATE TEMP TABLE x AS SELECT rowid AS r, row_number() OVER (ORDER BY rowid) - 1 AS n, {column} AS v FROM {table} \
               WHERE rowid IN (SELECT rowid FROM {table} ORDER BY (rowid * 7919) % 10007 LIMIT {count} OFFSET {skip}); \
             UPDATE {table} SET {column} = (SELECT b.v FROM x a JOIN x b ON b.n = (a.n + 1) % (SELECT count(*) FROM x) \
               WHERE a.r = {table}.rowid) WHERE rowid IN (SELECT r FROM x); \
             DROP TABLE x"
        ));
    }

    /// All values of a column go to other rows.
    fn shuffle(&mut self, table: &str, column: &str) {
        let factor = self.rng.between(2, 9000);
        self.execute(&format!(
            "CREATE TEMP TABLE x AS SELECT rowid AS r, row_number() OVER (ORDER BY rowid) AS n, \
               row_number() OVER (ORDER BY (rowid * {factor}) % 10007, rowid) AS m, {column} AS v FROM {table}; \
             CREATE INDEX temp.xr ON x(r); CREATE INDEX temp.xm ON x(m); \
             UPDATE {table} SET {column} = (SELECT b.v FROM x a JOIN x b ON b.m = a.n WHERE a.r = {table}.rowid); \
             DROP TABLE x"
        ));
    }

    /// Two rows exchange their values under a unique key.
    fn exchange_unique(&mut self, table: &str) {
        self.execute(&format!(
            "CREATE TEMP TABLE x AS SELECT rowid AS r, u AS v FROM {table} ORDER BY (rowid * 6007) % 10007 LIMIT 2; \
             UPDATE {table} SET u = NULL WHERE rowid IN (SELECT r FROM x); \
             UPDATE {table} SET u = (SELECT v FROM x WHERE r <> {table}.rowid) WHERE rowid IN (SELECT r FROM x); \
             DROP TABLE x"
        ));
    }

    fn change_keys(&mut self, table: &str) {
        let of = self.names(&format!("SELECT type FROM pragma_table_info('{table}') WHERE name = 'id'")).remove(0);
        let step = self.rng.between(1, 3);
        let next = if of == "TEXT" { format!("id || 'x{step}'") } else { format!("id + {step}") };
        self.execute(&format!("UPDATE OR IGNORE {table} SET id = {next} WHERE rowid % 9 = {step}"));
    }

    /// Each table's rows, as texts in order.
    fn rows(&self) -> BTreeMap<String, Vec<String>> {
        let rows_of = |table: &String| {
            let mut statement = self.connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
            let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
            let mut order: Vec<usize> = (0..names.len()).collect();
            order.sort_by_key(|at| &names[*at]);
            let row = |row: &rusqlite::Row<'_>| {
                let cell = |at: &usize| format!("{}={}", names[*at], spelled(row.get_ref(*at).unwrap()));
                Ok(order.iter().map(cell).collect::<Vec<_>>().join(" "))
            };
            let mut rows: Vec<String> = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
            rows.sort_unstable();
            rows
        };
        self.tables().into_iter().map(|table| (table.clone(), rows_of(&table))).collect()
    }
}

fn spelled(value: ValueRef<'_>) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        ValueRef::Null => "~".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => hex(&number.to_bits().to_be_bytes()),
        ValueRef::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
        ValueRef::Blob(bytes) => hex(bytes),
    }
}

/// The same of the target.
fn rows_of_target(target: &Target) -> BTreeMap<String, Vec<String>> {
    let columns = target.query(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' \
         ORDER BY table_name, column_name COLLATE \"C\"",
    );
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in columns {
        let [table, column, data_type] = row.map_text();
        let value = match data_type.as_str() {
            "bigint" | "integer" | "text" => format!("{column}::text"),
            "double precision" => format!("encode(float8send({column}), 'hex')"),
            "bytea" => format!("encode({column}, 'hex')"),
            other => panic!("{table}.{column} became {other}"),
        };
        tables.entry(table).or_default().push(format!("'{column}=' || coalesce({value}, '~')"));
    }
    let rows_of = |(table, cells): (String, Vec<String>)| {
        let rows = target.query(&format!("SELECT concat_ws(' ', {}) FROM public.{table}", cells.join(", ")));
        let mut rows: Vec<String> = rows.into_iter().map(|row| row[0].clone().unwrap()).collect();
        rows.sort_unstable();
        (table, rows)
    };
    tables.into_iter().map(rows_of).collect()
}

/// A row of three texts.
trait ThreeTexts {
    fn map_text(self) -> [String; 3];
}

impl ThreeTexts for Vec<Option<String>> {
    fn map_text(self) -> [String; 3] {
        self.into_iter().map(Option::unwrap).collect::<Vec<_>>().try_into().unwrap()
    }
}

/// What differs, in a few words.
fn difference(source: &BTreeMap<String, Vec<String>>, target: &BTreeMap<String, Vec<String>>) -> Option<String> {
    let (in_source, in_target): (BTreeSet<_>, BTreeSet<_>) = (source.keys().collect(), target.keys().collect());
    if in_source != in_target {
        return Some(format!("tables {in_source:?} became {in_target:?}"));
    }
    let (table, rows) = source.iter().find(|(table, rows)| target[*table] != **rows)?;
    let one = rows.iter().find(|row| !target[table].contains(row));
    let other = target[table].iter().find(|row| !rows.contains(row));
    Some(format!("{table}: {} rows became {}; {one:?} became {other:?}", rows.len(), target[table].len()))
}

fn one_database(seed: u64, target: &Target, local: &Target) {
    let workspace = Workspace::new();
    let path: PathBuf = workspace.path().join("source.db");
    let mut source = Source::new(&path, seed);
    for number in 0..RUNS {
        if number > 0 {
            for _ in 0..=source.rng.below(3) {
                source.change();
            }
        }
        let run = workspace
            .tool("run")
            .args(["--accept", "all", "--on-type-change", "follow", "--source"])
            .arg(&path)
            .env("NEON_DATABASE_URL", target.url())
            .env("TURSO2NEON_LOCAL_URL", local.admin_url())
            .run();
        let script = || source.script.join(";\n");
        assert!(run.code() == Some(0), "run {number} of {seed}:\n{}\n{}\n{}", script(), run.stdout, run.stderr);
        if let Some(what) = difference(&source.rows(), &rows_of_target(target)) {
            panic!("run {number} of {seed}: {what}\n{}\n{}", script(), run.stderr);
        }
    }
}

#[test]
fn a_target_follows_its_source_through_random_changes() {
    let servers = [Target::start(), Target::start_on(PgVersion::Major(14)), Target::start_on(PgVersion::Major(18))];
    let mut databases = 0;
    rng::rounds(SECONDS, |seed| {
        let server = &servers[usize::try_from(seed % 3).unwrap()];
        one_database(seed, &server.beside(), &Target::start());
        databases += 1;
    });
    println!("{databases} databases, {} runs", databases * RUNS);
}
