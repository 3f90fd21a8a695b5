//! Tests the whole pipeline as a user runs it: real source, real target, one process per command.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _};

use crate::support::{Environment, FaultProxy, Target, Workspace, sample_db};

/// One row of edges, one of nothing, one of small things.
const ZOO: &str = "CREATE TABLE zoo (id INTEGER PRIMARY KEY, whole INTEGER, ratio REAL, words TEXT, bytes BLOB, \
     yes BOOLEAN, price DECIMAL(10,2), born DATE, seen DATETIME, doc JSON, place F32_BLOB(3)); \
     INSERT INTO zoo VALUES \
     (1, 9223372036854775807, 0.1, 'it''s \"ü\" \\ 🐈' || char(10) || char(9) || 'end ', x'00ff10', 1, 12.5, \
        '2024-02-29', '2024-02-29 12:34:56', '{\"a\":[1,null,\"é\"]}', vector32('[1,2.5,-3]')), \
     (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), \
     (7, -9223372036854775808, -1e300, '', x'', 0, -0.05, '0001-01-01', '1969-12-31 23:59:59', '[]', vector32('[0,0,0]'))";

#[test]
fn a_run_brings_every_value_to_the_target() {
    let environment = Environment::from(ZOO);
    environment.call(&["run"]);
    let rows = environment.target.query(
        "SELECT id::text, whole::text, ratio::text, words, encode(bytes, 'hex'), yes::text, (price * 100)::bigint::text, \
         born::text, seen::text, doc::jsonb::text, place::text FROM zoo ORDER BY id",
    );
    let row = |cells: &[&str]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
    let first = row(&[
        "1",
        "9223372036854775807",
        "0.1",
        "it's \"ü\" \\ 🐈\n\tend ",
        "00ff10",
        "true",
        "1250",
        "2024-02-29",
        "2024-02-29 12:34:56",
        "{\"a\": [1, null, \"é\"]}",
        "{1,2.5,-3}",
    ]);
    let mut second = vec![None; 11];
    second[0] = Some("2".to_owned());
    let third = row(&[
        "7",
        "-9223372036854775808",
        "-1e+300",
        "",
        "",
        "false",
        "-5",
        "0001-01-01",
        "1969-12-31 23:59:59",
        "[]",
        "{0,0,0}",
    ]);
    assert_eq!(rows, [first, second, third]);
    // The next row gets a number that was never used.
    environment.target.execute_as_owner("INSERT INTO zoo (words) VALUES ('new')");
    assert_eq!(environment.target.value("SELECT id FROM zoo WHERE words = 'new'"), "8");
}

#[test]
fn the_sample_database_arrives_with_its_keys_and_rules() {
    let environment = Environment::with_sample_db(1);
    let run = environment.tool("run").arg("--json").run().expect_exit(0);
    let last = run.last_json();
    assert_eq!(last["type"], "result", "{last}");
    for (table, rows) in sample_db::tables(1) {
        assert_eq!(environment.target.value(&format!("SELECT count(*) FROM {table}")), rows.to_string(), "{table}");
    }
    let target = &environment.target;
    let kinds = "SELECT contype::text, count(*)::text FROM pg_constraint JOIN pg_namespace n ON n.oid = connamespace \
                 WHERE nspname = 'public' AND contype IN ('p', 'f', 'c') GROUP BY 1";
    let kinds: BTreeMap<String, u32> = target
        .query(kinds)
        .into_iter()
        .map(|row| (row[0].clone().unwrap(), row[1].as_deref().unwrap().parse().unwrap()))
        .collect();
    assert_eq!(kinds["p"], 14, "one primary key per table");
    // 14 references; those of reviews to products have lost parents and stay without a validated constraint at most.
    assert!(kinds["f"] >= 13, "{kinds:?}");
    assert!(kinds["c"] >= 5, "{kinds:?}");
    // AUTOINCREMENT never gives a number twice, deleted rows included.
    target.execute_as_owner(
        "INSERT INTO orders (customer_id, placed_at) SELECT customer_id, placed_at FROM orders LIMIT 1",
    );
    assert_eq!(target.value("SELECT max(id) FROM orders"), "163");
    let report = environment.workspace.read("report.md");
    assert!(report.contains("reviews"), "the report doesn't name the table with lost parents:\n{report}");
}

#[test]
fn a_second_run_finds_nothing_to_do_and_touches_nothing() {
    let environment = Environment::from(ZOO);
    environment.call(&["run"]);
    let identity = "SELECT oid || '/' || relfilenode FROM pg_class WHERE relname = 'zoo'";
    let before = environment.target.value(identity);
    let again = environment.tool("run").run().expect_exit(0);
    let said = format!("{}{}", again.stdout, again.stderr).to_lowercase();
    assert!(said.contains("unchanged"), "{said}");
    assert_eq!(environment.target.value(identity), before, "the table was loaded again");
}

/// What a run says, in lower case.
fn said(environment: &Environment, code: i32) -> String {
    let run = environment.tool("run").run().expect_exit(code);
    format!("{}{}", run.stdout, run.stderr).to_lowercase()
}

#[test]
fn a_run_without_changes_starts_no_server_and_compares_nothing_again() {
    let environment = Environment::from(ZOO);
    // What convert has compared in the same run is not read again either.
    let first = said(&environment, 0);
    assert!(
        first.contains("nothing was written to the local postgresql since convert has compared its tables"),
        "{first}"
    );
    let control = environment.workspace.dir().join("convert/pgdata/global/pg_control");
    let written = || std::fs::metadata(&control).unwrap().modified().unwrap();
    let before = written();
    // The programs that could be asked where PostgreSQL is, and which version.
    let (programs, called) = (environment.workspace.path().join("bin"), environment.workspace.path().join("called"));
    std::fs::create_dir(&programs).unwrap();
    for name in ["sh", "pg_config", "postgres", "pg_ctl"] {
        std::fs::write(programs.join(name), format!("#!/bin/sh\necho {name} >>{}\n", called.display())).unwrap();
        std::fs::set_permissions(programs.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let run = environment.tool("run").env("PATH", path).run().expect_exit(0);
    let again = format!("{}{}", run.stdout, run.stderr).to_lowercase();
    assert!(!called.exists(), "{}", std::fs::read_to_string(&called).unwrap());
    assert!(again.contains("verify: nothing to do"), "{again}");
    assert_eq!(written(), before, "the local server was started");
}

#[test]
fn every_value_of_the_target_is_compared_without_fetching_its_rows() {
    let environment = Environment::from(
        "CREATE TABLE wide (id INTEGER PRIMARY KEY, whole INTEGER, ratio REAL, words TEXT, bytes BLOB, yes BOOLEAN, \
           price DECIMAL(10,2), born DATE, seen DATETIME, doc JSON, code VARCHAR(40)); \
         INSERT INTO wide WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         SELECT i, i * i * 40503 - 7000000000, CASE i % 5 WHEN 0 THEN NULL WHEN 1 THEN -0.0 ELSE i / 7.0 END, \
           CASE WHEN i % 11 THEN 'ü\"\\ ' || i END, CAST(i || 'b' AS BLOB), i % 2, i / 100.0, \
           date(i * 86400 - 600000000, 'unixepoch'), datetime(i * 86399 - 600000000, 'unixepoch'), \
           '{\"zz\":[' || i || ',1.50,1e3,-0],\"a\":\"\\u00e9\\n/\"}', 'c' || i FROM n",
    );
    environment.call(&["run"]);
    let proxy = FaultProxy::to(environment.target.port());
    let url = environment.target.url().replace(&environment.target.port().to_string(), &proxy.port().to_string());
    let verify = |code| {
        let verify = environment.tool("verify").arg("--against").arg("target");
        verify.env("NEON_DATABASE_URL", url.clone()).run().expect_exit(code)
    };
    verify(0);
    assert!(proxy.received() < 100_000, "{} bytes came from the target", proxy.received());
    // One bit, and two values that change places: the rows are fetched, and the places are named.
    environment.target.execute_as_owner(
        "UPDATE wide SET bytes = set_bit(bytes, 3, 1 - get_bit(bytes, 3)) WHERE id = 19000; \
         UPDATE wide SET code = CASE id WHEN 3 THEN 'c4' ELSE 'c3' END WHERE id IN (3, 4)",
    );
    let said = verify(1).stdout;
    for place in ["bytes   rowid 19000", "code    rowid 3", "code    rowid 4"] {
        assert!(said.contains(place), "{said}");
    }
}

#[test]
fn keys_of_a_complete_table_are_built_on_the_target_while_another_loads() {
    let environment = Environment::from(
        "CREATE TABLE large (id INTEGER PRIMARY KEY, name TEXT); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) \
         INSERT INTO large SELECT i, 'a name of some length, number ' || i FROM n; \
         CREATE TABLE small (id INTEGER PRIMARY KEY, name TEXT); \
         INSERT INTO small SELECT id, name FROM large LIMIT 100",
    );
    environment.call(&["dump", "plan", "convert"]);
    environment.tool("push").args(["--jobs", "2"]).run().expect_exit(0);
    // After the rows the key of the larger table would be built first.
    let order = "SELECT ((SELECT oid FROM pg_class WHERE relname = 'small_pkey') < \
                         (SELECT oid FROM pg_class WHERE relname = 'large_pkey'))::text";
    assert_eq!(environment.target.value(order), "true");
    environment.tool("verify").run().expect_exit(0);
}

#[test]
fn a_file_that_did_not_change_is_not_read_again() {
    let workspace = Workspace::new();
    let file = workspace.path().join("app.db");
    rusqlite::Connection::open(&file).unwrap().execute_batch(ZOO).unwrap();
    // A file that was written just now may be written again within the same tick of the clock.
    std::thread::sleep(std::time::Duration::from_millis(4_500));
    let dump = || {
        let dumped = workspace.tool("dump").arg("--source").arg(&file).arg("--json").run().expect_exit(0);
        dumped.last_json()["answer"]["checkpoint"]["received_bytes"].as_u64()
    };
    assert!(dump().is_some_and(|bytes| bytes > 0));
    assert_eq!(dump(), Some(0));
    rusqlite::Connection::open(&file).unwrap().execute_batch("UPDATE zoo SET words = 'new' WHERE id = 1").unwrap();
    assert!(dump().is_some_and(|bytes| bytes > 0));
}

#[test]
fn what_changed_on_either_server_is_compared_by_the_next_run() {
    let environment = Environment::from(
        "CREATE TABLE zoo (id INTEGER PRIMARY KEY, words TEXT); INSERT INTO zoo VALUES (1, 'first'), (2, 'second')",
    );
    environment.call(&["run"]);
    // One bit of one value, in the file of the local server.
    let find = |bytes: &[u8]| bytes.windows(6).position(|window| window == b"second");
    let base = environment.workspace.dir().join("convert/pgdata/base");
    let files =
        std::fs::read_dir(base).unwrap().flat_map(|database| std::fs::read_dir(database.unwrap().path()).unwrap());
    let mut changed = 0;
    for path in files.map(|entry| entry.unwrap().path()) {
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = find(&bytes) {
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            changed += 1;
        }
    }
    assert!(changed > 0);
    let differing = said(&environment, 1);
    assert!(differing.contains("local  zoo    words   rowid 2  value differs"), "{differing}");
    environment.tool("convert").arg("--fresh").run().expect_exit(0);
    environment.call(&["run"]);
    // A number that a row of the target will get twice is not a difference of rows.
    environment.target.execute_as_owner("SELECT setval(pg_get_serial_sequence('zoo', 'id'), 1)");
    let differing = said(&environment, 1);
    assert!(differing.contains("sequence"), "{differing}");
}

#[test]
fn a_changed_row_arrives_with_the_next_run() {
    let environment = Environment::from(ZOO);
    environment.call(&["run"]);
    environment.source.execute("UPDATE zoo SET words = 'changed' WHERE id = 2; DELETE FROM zoo WHERE id = 7");
    environment.call(&["run"]);
    assert_eq!(
        environment.target.value("SELECT string_agg(id || ':' || left(words, 7), ' ' ORDER BY id) FROM zoo"),
        "1:it's \"ü 2:changed"
    );
}

#[test]
fn stage_by_stage_in_separate_processes_gives_what_a_run_gives() {
    let environment = Environment::with_sample_db(1);
    environment.call(&["run"]);
    let (other, workspace) = (Target::start(), Workspace::new());
    let stage = |command: &str| {
        let tool = environment.tool(command).replace("--dir", workspace.dir());
        tool.env("NEON_DATABASE_URL", other.url()).run().expect_exit(0)
    };
    for command in ["dump", "plan", "convert", "push", "verify"] {
        stage(command);
    }
    assert!(other.content("public").len() >= 14);
    assert_eq!(other.content("public"), environment.target.content("public"));
    assert_eq!(other.definitions("public"), environment.target.definitions("public"));
}

#[test]
fn the_directory_can_be_moved_between_stages() {
    let environment = Environment::from(ZOO);
    environment.call(&["dump", "plan", "convert"]);
    let moved = environment.workspace.path().join("elsewhere");
    std::fs::rename(environment.workspace.dir(), &moved).unwrap();
    environment.tool("push").replace("--dir", &moved).run().expect_exit(0);
    environment.tool("verify").replace("--dir", &moved).run().expect_exit(0);
    // Where the workspace expects it, so that it is cleaned.
    std::fs::rename(&moved, environment.workspace.dir()).unwrap();
    assert_eq!(environment.target.value("SELECT count(*) FROM zoo"), "3");
}

#[test]
fn a_local_file_is_a_source_too_and_is_never_written_to() {
    let workspace = Workspace::new();
    let target = Target::start();
    let path = workspace.path().join("shop.db");
    crate::support::fixture::small_sample_db(&path);
    let before = std::fs::read(&path).unwrap();
    let run =
        workspace.tool("run").args(["--accept", "all", "--source"]).arg(&path).env("NEON_DATABASE_URL", target.url());
    run.run().expect_exit(0);
    assert_eq!(target.value("SELECT count(*) FROM order_items"), "400");
    assert!(std::fs::read(&path).unwrap() == before, "the source was written to");
    let beside: Vec<_> = std::fs::read_dir(workspace.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside.len(), 2, "something was left beside the source: {beside:?}");
}

#[test]
fn looking_changes_nothing() {
    let environment = Environment::from(ZOO);
    environment.call(&["doctor"]);
    assert!(!environment.workspace.dir().join("dump").exists(), "doctor left something in DIR");
    assert_eq!(
        environment.target.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        "0"
    );
    environment.call(&["dump", "plan", "convert"]);
    environment.tool("push").arg("--dry-run").run().expect_exit(0);
    assert_eq!(
        environment.target.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"),
        "0"
    );
    environment.call(&["push"]);
    environment.call(&["status", "report", "verify"]);
}

#[test]
fn a_difference_on_the_target_is_found_named_and_exit_1() {
    let environment = Environment::from(ZOO);
    environment.call(&["run"]);
    environment.target.query("UPDATE zoo SET words = NULL WHERE id = 7");
    let verify = environment.tool("verify").args(["--against", "target", "--level", "full"]).run().expect_exit(1);
    let said = verify.stdout.clone() + &verify.stderr;
    assert!(said.contains("zoo") && said.contains("words") && said.contains('7'), "{said}");
}
