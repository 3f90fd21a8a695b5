//! Triggers on a converted database do what they did in SQLite.

use turso2neon::model::FindingCode;

use super::fixture::{Fixture, ObjectOutcome};
use crate::support::Target;

const SCHEMA: &str = "
CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT NOT NULL, cents INTEGER, changed_at TEXT, note TEXT);
CREATE TABLE log (id INTEGER PRIMARY KEY, what TEXT, order_id INTEGER, at TEXT DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE totals (status TEXT PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0, last_id INTEGER);
CREATE TABLE tree (id INTEGER PRIMARY KEY, parent_id INTEGER, path TEXT);
CREATE TABLE pairs (a TEXT, b TEXT, PRIMARY KEY (a, b));
CREATE VIEW open_orders AS SELECT id, cents FROM orders WHERE status = 'open';
CREATE TRIGGER touched AFTER UPDATE OF status ON orders BEGIN UPDATE orders SET changed_at = CURRENT_TIMESTAMP, note = upper(NEW.note) WHERE id = NEW.id; END;
CREATE TRIGGER logged AFTER INSERT ON orders BEGIN INSERT INTO log VALUES (NULL, 'new ' || NEW.status, NEW.id, 'now'); END;
CREATE TRIGGER counted AFTER INSERT ON orders BEGIN INSERT OR IGNORE INTO totals (status) VALUES (NEW.status);
  UPDATE totals SET n = n + 1, last_id = NEW.id WHERE status = NEW.status; END;
CREATE TRIGGER upserted AFTER UPDATE ON orders WHEN OLD.cents IS NOT NEW.cents BEGIN
  INSERT INTO totals (status, n) VALUES ('changes', 1) ON CONFLICT (status) DO UPDATE SET n = n + excluded.n; END;
CREATE TRIGGER removed AFTER DELETE ON orders BEGIN DELETE FROM log WHERE order_id = OLD.id;
  INSERT OR REPLACE INTO pairs VALUES (OLD.status, 'gone'); END;
CREATE TRIGGER no_negative BEFORE INSERT ON orders WHEN NEW.cents < 0 BEGIN SELECT RAISE(ABORT, 'cents must not be negative'); END;
CREATE TRIGGER not_void BEFORE UPDATE ON orders BEGIN SELECT CASE WHEN NEW.status = 'void' AND OLD.status = 'paid' THEN RAISE(FAIL, 'paid orders stay') END; END;
CREATE TRIGGER known BEFORE INSERT ON tree BEGIN SELECT RAISE(ABORT, 'no such parent') WHERE NEW.parent_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tree WHERE id = NEW.parent_id); END;
CREATE TRIGGER skipped BEFORE INSERT ON pairs WHEN NEW.a = NEW.b BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER paths AFTER INSERT ON tree BEGIN UPDATE tree SET path = CASE WHEN parent_id IS NULL THEN '/' ELSE (SELECT path FROM tree WHERE id = NEW.parent_id) || parent_id || '/' END WHERE id = NEW.id; END;
CREATE TRIGGER paths_again AFTER UPDATE ON tree BEGIN UPDATE tree SET path = CASE WHEN parent_id IS NULL THEN '/' ELSE (SELECT path FROM tree WHERE id = NEW.parent_id) || parent_id || '/' END WHERE id = NEW.id; END;
CREATE TRIGGER placed INSTEAD OF INSERT ON open_orders BEGIN INSERT INTO orders (status, cents) VALUES ('open', NEW.cents); END;
CREATE TRIGGER closed INSTEAD OF DELETE ON open_orders BEGIN UPDATE orders SET status = 'closed' WHERE id = OLD.id; END;
CREATE TRIGGER stranger AFTER INSERT ON log BEGIN SELECT soundex(NEW.what); END;
INSERT INTO orders (id, status, cents, note) VALUES (1, 'open', 100, 'a'), (2, 'paid', 200, 'b');
INSERT INTO tree (id, parent_id) VALUES (1, NULL), (2, 1);
";

/// What is done on both sides, one statement after the other; what a trigger refuses is refused on both.
const DEEDS: &[&str] = &[
    "INSERT INTO orders (id, status, cents) VALUES (10, 'open', 5)",
    "INSERT INTO orders (id, status, cents) VALUES (11, 'open', -5)",
    "UPDATE orders SET status = 'paid', note = 'x' WHERE id = 1",
    "UPDATE orders SET cents = cents + 1 WHERE id IN (1, 2)",
    "UPDATE orders SET status = 'void' WHERE id = 2",
    "DELETE FROM orders WHERE id = 10",
    "INSERT INTO tree (id, parent_id) VALUES (3, 2), (4, 3)",
    "INSERT INTO tree (id, parent_id) VALUES (5, 99)",
    "UPDATE tree SET parent_id = 1 WHERE id = 4",
    "INSERT INTO pairs VALUES ('p', 'p')",
    "INSERT INTO pairs VALUES ('p', 'q')",
    "INSERT INTO open_orders (cents) VALUES (77)",
    "DELETE FROM open_orders",
];

/// What is there afterwards; numbers that a sequence gave are left out.
const LOOKS: &[&str] = &[
    "SELECT status, cents, note, CASE WHEN changed_at IS NULL THEN 1 ELSE 0 END FROM orders ORDER BY 1, 2, 3",
    "SELECT what, at FROM log ORDER BY 1, 2",
    "SELECT status, n FROM totals ORDER BY 1",
    "SELECT id, parent_id, path FROM tree ORDER BY 1",
    "SELECT a, b FROM pairs ORDER BY 1, 2",
];

#[test]
fn triggers_do_what_they_did() {
    let fixture = Fixture::new(SCHEMA);
    let names: Vec<String> = [
        "touched",
        "logged",
        "counted",
        "upserted",
        "removed",
        "no_negative",
        "not_void",
        "known",
        "skipped",
        "paths",
        "paths_again",
        "placed",
        "closed",
    ]
    .map(str::to_owned)
    .to_vec();
    for major in [14, 18] {
        let (target, checkpoint) = fixture.convert_into(major);
        let plan = fixture.plan().without(&checkpoint.dropped);
        for (name, outcome) in super::fixture::outcomes(&plan, &names) {
            assert_eq!(outcome, ObjectOutcome::Carried, "{name} on {major}");
        }
        assert_eq!(plan.with_code(FindingCode::TriggerNotCarried).count(), 1);
        let source = rusqlite::Connection::open_in_memory().unwrap();
        source.execute_batch(SCHEMA).unwrap();
        for deed in DEEDS {
            let there = source.execute_batch(deed).map_err(|refused| refused.to_string());
            let here = done(&target, deed);
            assert_eq!(there.is_ok(), here.is_ok(), "{deed}: {there:?} {here:?}");
            if let (Err(there), Err(here)) = (there, here) {
                let words = there.split(" in ").next().unwrap();
                assert!(here.contains(words), "{deed}: {there} {here}");
            }
        }
        for look in LOOKS {
            assert_eq!(
                target.query(&format!("SET search_path = public; {look}")),
                rows(&source, look),
                "{look} on {major}"
            );
        }
    }
}

/// Runs a statement on PostgreSQL, or gives its error.
fn done(target: &Target, sql: &str) -> Result<(), String> {
    use crate::support::process::block_on;
    let url = target.admin_url();
    block_on(async move {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        let running = tokio::spawn(connection);
        let answer = client.batch_execute(sql).await;
        let answer = answer.map_err(|failure| failure.as_db_error().unwrap().message().to_owned());
        drop(client);
        running.await.ok();
        answer
    })
}

/// SQLite's rows as texts.
fn rows(source: &rusqlite::Connection, sql: &str) -> Vec<Vec<Option<String>>> {
    let mut statement = source.prepare(sql).unwrap();
    let count = statement.column_count();
    let rows = statement.query_map([], |row| {
        (0..count)
            .map(|at| {
                Ok(match row.get_ref(at)? {
                    rusqlite::types::ValueRef::Null => None,
                    rusqlite::types::ValueRef::Integer(number) => Some(number.to_string()),
                    rusqlite::types::ValueRef::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    _ => panic!("{sql}"),
                })
            })
            .collect()
    });
    rows.unwrap().map(Result::unwrap).collect()
}
