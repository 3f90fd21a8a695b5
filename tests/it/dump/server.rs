//! A real libSQL server as the source.

use std::sync::atomic::{AtomicBool, Ordering};

use turso2neon::{event::Event, model::DumpMethod};

use super::{Fixture, code, listing, request, request_with, sql_request};
use crate::support::{Sqld, process::block_on, sample_db};

/// Everything that a SQL interface may lose: classes at their extremes, odd names, every kind of table.
pub(super) const HARD: &str = r#"
CREATE TABLE "all ""classes""" (id INTEGER PRIMARY KEY, "a b" , "select" TEXT, n INTEGER, r REAL, u NUMERIC);
INSERT INTO "all ""classes""" VALUES (-9223372036854775808, 9223372036854775807, 'x', -9223372036854775808, 5e-324, 1);
INSERT INTO "all ""classes""" VALUES (0, -0.0, '', 9007199254740993, -1.7976931348623157e308, 1.5);
INSERT INTO "all ""classes""" VALUES (9223372036854775807, x'', 'ü' || char(0) || char(13,10) || '𝄞', '12 ', 2, '1e400');
INSERT INTO "all ""classes""" VALUES (7, NULL, NULL, 'text', x'00ff', NULL);
INSERT INTO "all ""classes""" VALUES (8, 9218868437227405312.0, '<"\n\u0000>', 1e15, 0.1, 3.0);
CREATE TABLE infinite (a, b REAL); INSERT INTO infinite VALUES (9e999, -9e999), (1.5, NULL);
CREATE TABLE not_text (a TEXT, b);
INSERT INTO not_text VALUES ('fine', x'01'), (CAST(x'41ff00c3' AS TEXT), CAST(x'ff' AS TEXT)), ('after', 9e999);
CREATE TABLE keyed (a TEXT COLLATE NOCASE, b INT, c, PRIMARY KEY (b DESC, a)) WITHOUT ROWID;
INSERT INTO keyed VALUES ('B', 1, 'x'), ('a', 1, 'y'), ('c', 2, NULL);
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
INSERT INTO counted(v) VALUES ('one'), ('two'), ('three'); DELETE FROM counted WHERE id = 3;
CREATE TABLE sparse (v); INSERT INTO sparse(rowid, v) VALUES (-5, 'neg'), (1000000000000, 'far');
CREATE TABLE rowid (rowid, _rowid_, v); INSERT INTO rowid VALUES ('mine', 2, 3);
CREATE TABLE computed (a INT, v AS (a * 2), s TEXT AS (a || '!') STORED, "with ""quote""" AS (a));
INSERT INTO computed(a) VALUES (1), (NULL), (3);
CREATE TABLE strict (i INTEGER, a ANY, CHECK (i > 0)) STRICT; INSERT INTO strict VALUES (1, '1'), (2, 1.0);
CREATE TABLE moved (a TEXT); INSERT INTO moved VALUES ('123'), ('x'), (NULL), ('1.0');
ALTER TABLE moved ALTER COLUMN a TO a INTEGER NOT NULL CHECK (a > 1000);
CREATE TABLE random (a) RANDOM ROWID; INSERT INTO random VALUES (1), (2), (3);
CREATE TABLE grown (a); INSERT INTO grown VALUES (1); ALTER TABLE grown ADD COLUMN b DEFAULT 'later';
CREATE TABLE parents (id INTEGER PRIMARY KEY); CREATE TABLE children (p REFERENCES parents(id));
INSERT INTO parents VALUES (1); INSERT INTO children VALUES (1), (NULL);
CREATE UNIQUE INDEX "odd index" ON "all ""classes"""("a b", lower("select")) WHERE id > 0;
CREATE INDEX sorted ON keyed(c COLLATE RTRIM DESC);
CREATE TABLE uniques (a UNIQUE, b, UNIQUE (b, a)); INSERT INTO uniques VALUES ('x', 1), (2.0, 1), (NULL, 1), (NULL, 1);
CREATE VIEW seen AS SELECT a, v FROM computed;
CREATE TRIGGER noticed AFTER INSERT ON sparse BEGIN INSERT INTO infinite VALUES (new.v, 1.0); END;
CREATE VIRTUAL TABLE found USING fts5(title, body, tokenize = 'porter');
INSERT INTO found VALUES ('a title', 'running words'), ('other', 'text');
CREATE VIRTUAL TABLE found4 USING fts4(body); INSERT INTO found4 VALUES ('old words');
CREATE VIRTUAL TABLE places USING rtree(id, x0, x1); INSERT INTO places VALUES (1, 0.5, 1.5), (2, -1, 0);
CREATE TABLE vectors (id INTEGER PRIMARY KEY, e F32_BLOB(3), d F64_BLOB(2));
CREATE INDEX vectors_idx ON vectors(libsql_vector_idx(e));
INSERT INTO vectors VALUES (1, vector('[1,2,3]'), vector64('[1,2]')), (2, vector('[4,5,6]'), NULL), (3, NULL, NULL);
DELETE FROM vectors WHERE id = 2;
CREATE TABLE empty (a, b); CREATE TABLE "" (x); INSERT INTO "" VALUES ('no name');
PRAGMA user_version = -42;
"#;

/// Schema, rows and header exactly as in the server's own file.
pub(super) fn assert_equals_servers_file(server: &Sqld, fixture: &Fixture, content_sha256: &str) {
    let reference = Fixture::new();
    let own = reference.dump(&request(server.data_file().to_str().unwrap())).unwrap();
    assert_eq!(own.checkpoint.method, DumpMethod::File);
    if own.checkpoint.content_sha256 != content_sha256 {
        let rows = |fixture: &Fixture, sql: &str| fixture.value(sql);
        let sql = "SELECT group_concat(type || ' ' || name || ' ' || coalesce(sql, ''), char(10)) FROM sqlite_schema";
        assert_eq!(rows(fixture, sql), rows(&reference, sql));
        panic!("the rows differ: {:?} {:?}", own.checkpoint.rows, fixture.value("SELECT 1"));
    }
}

#[test]
fn every_kind_of_object_and_value_arrives_as_it_is_stored() {
    let server = Sqld::start();
    server.execute(HARD);
    let fixture = Fixture::new();
    let dumped = fixture.dump(&sql_request(server.url(), server.read_only_token())).unwrap();
    let checkpoint = &dumped.checkpoint;
    assert!(!dumped.unchanged);
    assert_eq!(checkpoint.method, DumpMethod::Sql);
    assert_eq!(checkpoint.source, server.url());
    assert_eq!(checkpoint.user_version, -42);
    assert_eq!(checkpoint.rows["counted"], 2);
    assert_equals_servers_file(&server, &fixture, &checkpoint.content_sha256);

    // A few of them by eye, through libSQL's engine.
    for (sql, value) in [
        ("SELECT hex(a) || typeof(a) FROM not_text WHERE rowid = 2", "41FF00C3text"),
        ("SELECT typeof(b) || (b = -9e999) || (a = 9e999) FROM infinite WHERE rowid = 1", "real11"),
        ("SELECT hex(\"select\") FROM \"all \"\"classes\"\"\" WHERE id > 8", "C3BC000D0AF09D849E"),
        ("SELECT seq FROM sqlite_sequence WHERE name = 'counted'", "3"),
        ("SELECT group_concat(rowid) FROM sparse", "-5,1000000000000"),
        ("SELECT group_concat(typeof(a)) FROM moved", "text,text,null,text"),
        ("SELECT v || s FROM computed WHERE a = 3", "63!"),
        ("SELECT group_concat(typeof(a)) FROM strict", "text,real"),
        ("SELECT count(*) FROM found WHERE found MATCH 'run'", "1"),
        ("SELECT count(*) FROM found4 WHERE found4 MATCH 'words'", "1"),
        ("SELECT group_concat(id) FROM places WHERE x0 > 0", "1"),
        ("SELECT id FROM vector_top_k('vectors_idx', '[1,2,3]', 1)", "1"),
        ("SELECT count(*) FROM uniques WHERE b = 1", "4"),
        ("SELECT x FROM \"\"", "no name"),
        ("PRAGMA journal_mode", "delete"),
        ("PRAGMA integrity_check", "TEXT value in moved.a"),
    ] {
        assert_eq!(fixture.value(sql), value, "{sql}");
    }
    assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(fixture.source_db()).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn progress_is_reported_table_by_table() {
    let server = Sqld::start();
    server.execute("CREATE TABLE t (a); INSERT INTO t SELECT value FROM json_each('[1,2,3]'); CREATE TABLE u (b);");
    let fixture = Fixture::new();
    fixture.dump(&sql_request(server.url(), server.token())).unwrap();
    let mut story = Vec::new();
    for event in fixture.events() {
        match event {
            Event::StageStarted { .. } => story.push("stage".to_owned()),
            Event::TableStarted { table, rows_total, .. } => story.push(format!("{table} of {}", rows_total.unwrap())),
            Event::Committed { table, rows, .. } => story.push(format!("{table} +{rows}")),
            Event::TableFinished { table, rows, .. } => story.push(format!("{table} = {rows}")),
            Event::StageFinished { summary, .. } => story.push(summary.split(',').next().unwrap().to_owned()),
            _ => {}
        }
    }
    assert_eq!(story, ["stage", "t of 3", "t +3", "t = 3", "u of 0", "u = 0", "2 tables"]);
}

#[test]
fn an_unchanged_source_keeps_the_dump_as_it_is() {
    let server = Sqld::start();
    server.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let fixture = Fixture::new();
    let mut request = sql_request(server.url(), server.token());
    let first = fixture.dump(&request).unwrap();
    let bytes = std::fs::read(fixture.source_db()).unwrap();
    let second = fixture.dump(&request).unwrap();
    assert!(second.unchanged);
    assert_eq!(second.checkpoint.sha256, first.checkpoint.sha256);
    assert_eq!(std::fs::read(fixture.source_db()).unwrap(), bytes);
    request.fresh = true;
    assert!(!fixture.dump(&request).unwrap().unchanged);
    request.fresh = false;
    server.execute("UPDATE t SET a = 2");
    let changed = fixture.dump(&request).unwrap();
    assert!(!changed.unchanged);
    assert_ne!(changed.checkpoint.sha256, first.checkpoint.sha256);
    assert_eq!(fixture.value("SELECT a FROM t"), "2");
    // The checkpoint speaks of the file that is there.
    turso2neon::workdir::Workdir::open(&fixture.dir()).unwrap().load_dump().unwrap();
}

#[test]
fn a_dump_is_one_moment_while_others_write() {
    let server = Sqld::start();
    server.execute(
        "CREATE TABLE debit (id INTEGER PRIMARY KEY, cents INT); CREATE TABLE filler (x);
         CREATE TABLE credit (id INTEGER PRIMARY KEY, cents INT);
         INSERT INTO debit VALUES (1, 1000000); INSERT INTO credit VALUES (1, 0);
         INSERT INTO filler WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60000)
             SELECT printf('%0200d', i) FROM n;",
    );
    let done = AtomicBool::new(false);
    let (transfers, sums) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| block_on(transfer(&server, &done)));
        let sums: Vec<(String, String)> = (0..3)
            .map(|_| {
                let fixture = Fixture::new();
                fixture.dump(&sql_request(server.url(), server.read_only_token())).unwrap();
                let sum = fixture.value("SELECT (SELECT cents FROM debit) + (SELECT cents FROM credit)");
                (sum, fixture.value("SELECT cents FROM credit"))
            })
            .collect();
        done.store(true, Ordering::SeqCst);
        (writer.join().unwrap(), sums)
    });
    assert!(transfers > 10, "only {transfers} transfers happened meanwhile");
    assert!(sums.iter().all(|(sum, _)| sum == "1000000"), "{sums:?}");
    assert!(sums[0].1 != sums[2].1, "nothing was written between the dumps: {sums:?}");
}

/// Moves money with libSQL's own client, request by request, until all is done; gives the number of transfers.
pub(super) async fn transfer(server: &Sqld, done: &AtomicBool) -> u32 {
    let connector = hyper::client::HttpConnector::new();
    let database =
        libsql::Builder::new_remote(server.url(), server.token()).connector(connector).build().await.unwrap();
    let connection = database.connect().unwrap();
    let mut transfers = 0;
    while !done.load(Ordering::SeqCst) {
        let transaction = connection.transaction().await.unwrap();
        transaction.execute("UPDATE debit SET cents = cents - 7", ()).await.unwrap();
        transaction.execute("UPDATE credit SET cents = cents + 7", ()).await.unwrap();
        transaction.commit().await.unwrap();
        transfers += 1;
    }
    transfers
}

#[test]
fn a_schema_that_keeps_changing_gives_no_mixture() {
    let server = Sqld::start();
    server.execute("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                server.execute("BEGIN; ALTER TABLE t ADD COLUMN b DEFAULT 5; ALTER TABLE t DROP COLUMN b; COMMIT;");
            }
        });
        let fixture = Fixture::new();
        // Whether a try falls between two changes is chance; what comes is whole or refused.
        match fixture.dump(&sql_request(server.url(), server.token())) {
            Ok(_) => assert_eq!(fixture.value("SELECT a FROM t"), "1"),
            Err(error) => assert_eq!(code(&error), "source-changed"),
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_refused_token_is_distinguished_from_a_missing_one() {
    let server = Sqld::start();
    server.execute("CREATE TABLE t (a)");
    let expired = server.expired_token();
    for (token, why) in
        [(None, "none is given"), (Some(expired.clone()), "expired"), (Some("abc.def.ghi".into()), "invalid")]
    {
        let fixture = Fixture::new();
        let mut request = request(server.url());
        request.token = token.clone().map(turso2neon::secret::Secret::new);
        let error = fixture.dump(&request).unwrap_err();
        assert_eq!((code(&error), error.kind().exit()), ("source-denied", 3));
        assert!(error.to_string().contains(why), "{error}");
        assert!(fixture.listing().is_empty());
        if let Some(token) = token {
            let said = format!("{error} {error:?} {} {}", error.hint(), fixture.everything_but_rows());
            assert!(!said.contains(&token));
        }
    }
}

#[test]
fn a_token_in_the_url_works_and_is_never_shown() {
    let server = Sqld::start();
    server.execute("CREATE TABLE t (a)");
    let token = server.token();
    let fixture = Fixture::new();
    let url = format!("{}/?authToken={token}", server.url().replace("http://", "ws://"));
    let dumped = fixture.dump(&request(url.clone())).unwrap();
    assert_eq!(dumped.checkpoint.source, server.url());
    assert!(!fixture.everything_but_rows().contains(&token));
    let error = fixture.dump(&request_with(url, "another")).unwrap_err();
    assert_eq!(code(&error), "usage");
    assert!(!format!("{error:?}").contains(&token));
    let port = server.url().rsplit(':').next().unwrap().to_owned();
    fixture.dump(&request(format!("libsql://127.0.0.1:{port}?tls=0&jwt={token}"))).unwrap();
}

#[test]
fn namespaces_are_databases_of_their_own() {
    let server = Sqld::start_with_namespaces();
    for name in ["one", "other"] {
        server.create_namespace(name);
        server.execute_in(name, &format!("CREATE TABLE only_in_{name} (a)"));
    }
    let fixture = Fixture::new();
    let mut request = request_with(server.url(), server.token());
    request.namespace = Some("other".to_owned());
    let dumped = fixture.dump(&request).unwrap();
    assert_eq!(dumped.checkpoint.rows.keys().collect::<Vec<_>>(), ["only_in_other"]);
    assert_eq!(dumped.checkpoint.source, format!("{} (namespace other)", server.url()));
    request.namespace = Some("third".to_owned());
    assert_eq!(code(&fixture.dump(&request).unwrap_err()), "other-source");
    assert_eq!(code(&Fixture::new().dump(&request).unwrap_err()), "source-refused");
    // The dump before is still the one that counts.
    assert_eq!(fixture.value("SELECT count(*) FROM only_in_other"), "0");
}

#[test]
fn a_server_that_is_not_there_is_unreachable() {
    let port = crate::support::process::free_port();
    let fixture = Fixture::new();
    let error = fixture.dump(&request(format!("http://127.0.0.1:{port}"))).unwrap_err();
    assert_eq!(code(&error), "source-unreachable");
    assert!(error.message().contains("nobody listens"), "{error}");
    let error = fixture.dump(&request("https://no-such-host.invalid")).unwrap_err();
    assert_eq!(code(&error), "source-unreachable");
}

#[test]
fn a_server_without_tls_is_distinguished_from_one_that_is_not_there() {
    let server = Sqld::start();
    let error = Fixture::new().dump(&request(server.url().replace("http://", "https://"))).unwrap_err();
    assert_eq!(code(&error), "source-unreachable");
    assert!(error.hint().contains("tls=0"), "{error} {}", error.hint());
}

#[test]
fn the_sample_database_arrives_as_it_is() {
    let server = Sqld::start();
    fill(&server);
    let fixture = Fixture::new();
    let dumped = fixture.dump(&sql_request(server.url(), server.read_only_token())).unwrap();
    for (table, rows) in sample_db::tables(1) {
        assert_eq!(dumped.checkpoint.rows[table], u64::from(rows), "{table}");
    }
    assert_equals_servers_file(&server, &fixture, &dumped.checkpoint.content_sha256);
    assert_eq!(listing(&fixture.dir()), ["dump"]);
}

fn fill(server: &Sqld) {
    let requests: Vec<serde_json::Value> = sample_db::steps(1)
        .map(|step| {
            let args: Vec<serde_json::Value> = step
                .values
                .iter()
                .map(|value| match value {
                    sample_db::Value::Null => serde_json::json!({"type": "null"}),
                    sample_db::Value::Integer(number) => {
                        serde_json::json!({"type": "integer", "value": number.to_string()})
                    }
                    sample_db::Value::Real(number) => serde_json::json!({"type": "float", "value": number}),
                    sample_db::Value::Text(text) => serde_json::json!({"type": "text", "value": text}),
                    sample_db::Value::Blob(bytes) => serde_json::json!({
                        "type": "blob",
                        "base64": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes),
                    }),
                })
                .collect();
            serde_json::json!({"type": "execute", "stmt": {"sql": step.sql, "args": args}})
        })
        .collect();
    let pragma = serde_json::json!({"type": "execute", "stmt": {"sql": "PRAGMA foreign_keys = OFF"}});
    let all: Vec<_> = std::iter::once(pragma).chain(requests).collect();
    let call = reqwest::Client::new()
        .post(format!("{}/v3/pipeline", server.url()))
        .bearer_auth(server.token())
        .json(&serde_json::json!({"baton": null, "requests": all}));
    let answer: serde_json::Value = block_on(async { call.send().await.unwrap().json().await.unwrap() });
    for result in answer["results"].as_array().unwrap() {
        assert_eq!(result["type"], "ok", "{result}");
    }
}
