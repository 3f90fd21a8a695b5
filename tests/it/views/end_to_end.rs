//! Views and triggers on the whole way: they reach the target, are replaced with their tables, and come back with them.

use crate::support::Environment;

const SCRIPT: &str = "
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, cents INTEGER, changed_at TIMESTAMP, stock INTEGER);
CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT);
CREATE VIEW cheap AS SELECT id, name FROM items WHERE cents < 500;
CREATE VIEW cheap_names (label) AS SELECT upper(name) FROM cheap ORDER BY name;
CREATE TRIGGER touched AFTER UPDATE OF name ON items BEGIN UPDATE items SET changed_at = CURRENT_TIMESTAMP WHERE id = NEW.id; END;
CREATE TRIGGER logged AFTER INSERT ON items BEGIN INSERT INTO log (what) VALUES ('new ' || NEW.name); END;
INSERT INTO items VALUES (1, 'ä', 100, '2024-01-02 03:04:05', 1), (2, 'b', 900, '2024-01-02 03:04:06', NULL);
DELETE FROM log;";

#[test]
fn views_and_triggers_reach_the_target_are_replaced_and_come_back() {
    let environment = Environment::from(SCRIPT);
    let target = &environment.target;
    environment.call(&["run"]);
    let names = || target.query("SELECT label FROM public.cheap_names ORDER BY 1");
    let row = |text: &str| vec![Some(text.to_owned())];
    // Only A to Z have an upper case in SQLite.
    assert_eq!(names(), [row("ä")]);
    target.execute_as_owner(
        "UPDATE public.items SET name = 'ä' WHERE id = 1; INSERT INTO public.items (name, cents) VALUES ('c', 5)",
    );
    assert_eq!(target.value("SELECT (changed_at > '2025-01-01')::text FROM public.items WHERE id = 1"), "true");
    assert_eq!(target.value("SELECT what FROM public.log"), "new c");
    environment.tool("verify").args(["--against", "target", "--level", "counts"]).run().expect_exit(1);
    target.execute_as_owner("GRANT SELECT ON public.cheap TO PUBLIC; COMMENT ON VIEW public.cheap IS 'ours'");
    // A replacement replaces views created by turso2neon, and keeps the old ones whole.
    let replace = || environment.tool("run").args(["--mode", "swap", "--on-drift", "overwrite"]).run();
    environment.source.execute("INSERT INTO items VALUES (3, 'z', 1, NULL, NULL); DELETE FROM log");
    replace().expect_exit(0);
    assert_eq!(names(), [row("Z"), row("ä")]);
    assert_eq!(target.value("SELECT obj_description('public.cheap'::regclass)"), "ours");
    assert_eq!(target.value("SELECT has_table_privilege('public', 'public.cheap', 'SELECT')::text"), "true");
    let previous = target.query("SELECT label FROM turso2neon_previous.cheap_names ORDER BY 1");
    assert_eq!(previous, [row("C"), row("ä")]);
    environment.tool("verify").args(["--against", "both", "--level", "full"]).run().expect_exit(0);
    // What somebody else made of them stops a push, and nothing is lost.
    target.execute_as_owner("CREATE VIEW public.mine AS SELECT * FROM public.cheap");
    environment.source.execute("INSERT INTO items VALUES (4, 'y', 2, NULL, NULL); DELETE FROM log");
    replace().expect_exit(8);
    target.execute_as_owner("DROP VIEW public.mine");
    replace().expect_exit(0);
    assert_eq!(names(), [row("Y"), row("Z"), row("ä")]);
    target.execute_as_owner("UPDATE public.items SET name = name");
    assert_eq!(target.value("SELECT count(*)::text FROM public.items WHERE changed_at IS NULL"), "0");
    // A rollback brings the former family back.
    environment.tool("rollback").run().expect_exit(0);
    assert_eq!(names(), [row("Z"), row("ä")]);
    target.execute_as_owner("DELETE FROM public.log; INSERT INTO public.items (name) VALUES ('again')");
    assert_eq!(target.value("SELECT what FROM public.log"), "new again");
}

#[test]
fn a_view_or_trigger_that_was_changed_is_a_difference() {
    let environment = Environment::from(SCRIPT);
    environment.call(&["run"]);
    let verify = || environment.tool("verify").args(["--against", "both", "--level", "full"]).run();
    verify().expect_exit(0);
    environment.target.execute_as_owner(
        "CREATE OR REPLACE VIEW public.cheap AS SELECT id, name FROM public.items WHERE cents < 50; \
         ALTER TABLE public.items DISABLE TRIGGER logged; DROP TRIGGER touched ON public.items",
    );
    verify()
        .expect_exit(1)
        .expect_text("definition is not the local one")
        .expect_text("trigger logged is disabled")
        .expect_text("trigger touched missing");
    let sql = environment.workspace.read("plan/schema.sql");
    let place = |part: &str| sql.find(part).unwrap_or_else(|| panic!("{part}: {sql}"));
    assert!(place("CREATE TABLE \"public\".\"items\"") < place("CREATE VIEW \"public\".\"cheap\""));
    assert!(place("CREATE VIEW \"public\".\"cheap_names\"") < place("CREATE FUNCTION \"public\".\"touched\"()"));
}

#[test]
fn every_part_of_a_trigger_and_the_options_of_a_view_are_compared() {
    let environment = Environment::from(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT); CREATE TABLE log (what TEXT);
         CREATE VIEW v AS SELECT a FROM t;
         CREATE TRIGGER g AFTER UPDATE OF a ON t WHEN OLD.a <> NEW.a BEGIN INSERT INTO log VALUES (NEW.a); END;
         INSERT INTO t VALUES (1, 'x', 'y')",
    );
    environment.call(&["run"]);
    let verify = || environment.tool("verify").args(["--against", "target", "--level", "full"]).run();
    verify().expect_exit(0);
    let schema = environment.workspace.read("plan/schema.sql");
    let made = schema.split(";\n").find(|statement| statement.contains("CREATE TRIGGER")).unwrap();
    let made = made[made.find("CREATE TRIGGER").unwrap()..].to_owned();
    let anew = |sql: &str| format!("DROP TRIGGER g ON public.t; {sql}");
    let when = |sql: &str| {
        let (start, end) = (made.find(" WHEN (").unwrap(), made.find(" EXECUTE").unwrap());
        format!("{}{sql}{}", &made[..start], &made[end..])
    };
    for change in [
        when(""),
        when(" WHEN (OLD.a IS DISTINCT FROM NEW.a)"),
        made.replace(" OF \"a\"", ""),
        made.replace(" OF \"a\"", " OF \"a\", \"b\""),
        made.replace("g\"()", "g\"('x')"),
    ] {
        assert_ne!(change, made);
        environment.target.execute_as_owner(&anew(&change));
        verify().expect_exit(1).expect_text("trigger g differs");
    }
    environment.target.execute_as_owner(&anew(&made));
    verify().expect_exit(0);
    for (change, undo) in [("SECURITY DEFINER", "SECURITY INVOKER"), ("RESET ALL", "SET search_path = pg_catalog")] {
        environment.target.execute_as_owner(&format!("ALTER FUNCTION public.g() {change}"));
        verify().expect_exit(1).expect_text("trigger g differs");
        environment.target.execute_as_owner(&format!("ALTER FUNCTION public.g() {undo}"));
        verify().expect_exit(0);
    }
    environment.target.execute_as_owner("ALTER VIEW public.v SET (security_barrier)");
    verify().expect_exit(1).expect_text("the view has options that are not planned");
}
