//! Targets that Neon's API names, on a stub in its place: what is asked for, in which order, and what the
//! tool makes of answers that a real service gives on bad days.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use turso2neon::{
    context::{Cancellation, Context},
    error::Kind,
    event::{Event, Sink},
    neon::{Api, Branch},
    secret::Secret,
    workdir::Workdir,
};

use crate::support::{
    Environment, Tool, Workspace,
    http_stub::{self, HttpStub, Request},
};

/// An answer to a request whose line begins like this. Answers are used up in order; the last one of a request stays.
type Answer = (&'static str, u16, String);

/// The status of an answer that never comes: the connection ends.
const CUT: u16 = 0;

/// The API.
struct Script(HttpStub);

impl Script {
    fn start(answers: Vec<Answer>) -> Self {
        let answers = Mutex::new(answers);
        Self(HttpStub::start(move |request| {
            let authorised = request.header("authorization") == "Bearer key-Secret-77";
            let (status, text) = if authorised { choose(&line(request), &answers) } else { (401, "{}".to_owned()) };
            if status == CUT {
                return http_stub::Answer::silence();
            }
            let pause = i32::from(text.contains("in a second"));
            http_stub::Answer::new(status, &format!("retry-after: {pause}\r\n"), text.as_bytes())
        }))
    }

    fn seen(&self) -> Vec<String> {
        self.0.requests().iter().map(|request| format!("{} {}", line(request), request.body)).collect()
    }

    fn count(&self, start: &str) -> usize {
        self.seen().iter().filter(|line| line.starts_with(start)).count()
    }

    /// A call that has nothing but the API to find its target.
    fn tool(&self, environment: &Environment, command: &str) -> Tool {
        let tool = environment.workspace.tool(command).args(["--neon-project", "proj-1"]);
        tool.env("NEON_API_KEY", "key-Secret-77").env("NEON_API_HOST", format!("{}/api/v2", self.0.url()))
    }
}

fn line(request: &Request) -> String {
    request.line().replace("/api/v2", "")
}

fn choose(request: &str, answers: &Mutex<Vec<Answer>>) -> (u16, String) {
    let mut answers = answers.lock().unwrap();
    let fits = |(start, ..): &Answer| request.starts_with(start);
    let Some(at) = answers.iter().position(fits) else {
        return (404, r#"{"code":"","message":"not in the script"}"#.to_owned());
    };
    let start = answers[at].0;
    let last = answers.iter().filter(|answer| answer.0 == start).count() == 1;
    let (_, status, text) = if last { answers[at].clone() } else { answers.remove(at) };
    (status, text)
}

fn answer(start: &'static str, status: u16, text: &str) -> Answer {
    (start, status, text.to_owned())
}

/// A project with two branches, one database and a sleeping compute that wakes after a while.
fn project(uri: &str) -> Vec<Answer> {
    vec![
        answer(
            "GET /projects/proj-1/branches?",
            200,
            r#"{"branches":[{"id":"br-main","name":"main","default":true},
            {"id":"br-old","name":"turso2neon-before-1"}],"pagination":{}}"#,
        ),
        answer("GET /projects/proj-1/branches/br-main/databases", 423, r#"{"message":"locked"}"#),
        answer("GET /projects/proj-1/branches/br-main/databases", 429, "{}"),
        answer("GET /projects/proj-1/branches/br-main/databases", 503, "oops"),
        answer(
            "GET /projects/proj-1/branches/br-main/databases",
            200,
            r#"{"databases":[{"name":"shop","owner_name":"owner"}]}"#,
        ),
        answer(
            "GET /projects/proj-1/branches/br-main/endpoints",
            200,
            r#"{"endpoints":[{"id":"ep-1","type":"read_write","current_state":"idle"}]}"#,
        ),
        answer("POST /projects/proj-1/endpoints/ep-1/start", 423, "{}"),
        answer(
            "POST /projects/proj-1/endpoints/ep-1/start",
            200,
            r#"{"operations":[{"id":"op-1","status":"scheduling"}]}"#,
        ),
        answer("GET /projects/proj-1/operations/op-1", 200, r#"{"operation":{"id":"op-1","status":"running"}}"#),
        answer("GET /projects/proj-1/operations/op-1", 200, r#"{"operation":{"id":"op-1","status":"finished"}}"#),
        answer(
            "GET /projects/proj-1/connection_uri?branch_id=br-main&database_name=shop&role_name=owner&pooled=false",
            200,
            &format!(r#"{{"uri":"{uri}"}}"#),
        ),
        answer(
            "POST /projects/proj-1/branches/br-main/restore",
            200,
            r#"{"operations":[{"id":"op-1","status":"finished"}]}"#,
        ),
        answer(
            "POST /projects/proj-1/branches",
            201,
            r#"{"branch":{"id":"br-new"},"operations":[{"id":"op-1","status":"finished"}]}"#,
        ),
        answer(
            "GET /projects/proj-1/branches/br-new/databases",
            200,
            r#"{"databases":[{"name":"shop","owner_name":"owner"}]}"#,
        ),
        answer(
            "GET /projects/proj-1/branches/br-new/endpoints",
            200,
            r#"{"endpoints":[{"id":"ep-2","type":"read_write","current_state":"active"}]}"#,
        ),
        answer("GET /projects/proj-1/connection_uri?branch_id=br-new", 200, &format!(r#"{{"uri":"{uri}"}}"#)),
        answer(
            "GET /projects?limit=100&cursor=p2",
            200,
            r#"{"projects":[{"id":"proj-1","name":"shop"}],"pagination":{"cursor":""}}"#,
        ),
        answer(
            "GET /projects?limit=100",
            200,
            r#"{"projects":[{"id":"proj-0","name":"other"}],"pagination":{"cursor":"p2"}}"#,
        ),
        answer("GET /projects/proj-1", 200, r#"{"project":{"branch_logical_size_limit_bytes":536870912}}"#),
    ]
}

#[test]
fn a_project_is_enough_to_push_with_a_restore_point_and_to_restore_it() {
    let environment =
        Environment::from("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES (1, 'x'), (2, 'y')");
    environment.call(&["dump", "convert"]);
    let script = Script::start(project(&environment.target.url()));
    // Nothing is made for a push that has nothing to push.
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir(elsewhere.path().join("empty")).unwrap();
    let early = script.tool(&environment, "push").args(["--neon-create-branch", "trial"]);
    early.replace("--dir", elsewhere.path().join("empty")).run().expect_exit(4);
    assert_eq!(script.seen(), [""; 0]);
    // The trial first: a branch of its own, with a compute, that expires.
    let trial = script.tool(&environment, "push").args(["--neon-create-branch", "trial"]).run();
    trial.expect_exit(0);
    let created = script.seen().into_iter().find(|line| line.starts_with("POST /projects/proj-1/branches ")).unwrap();
    for words in [r#""name":"trial""#, r#""parent_id":"br-main""#, "expires_at", r#""type":"read_write""#] {
        assert!(created.contains(words), "{words} in {created}");
    }
    assert_eq!(environment.target.value("SELECT count(*) FROM t"), "2");
    // Then the branch itself. Nothing differs, so no restore point is made.
    script.tool(&environment, "push").run().expect_exit(0);
    assert_eq!(script.count("POST /projects/proj-1/branches "), 1);
    assert_eq!(script.count("GET /projects/proj-1/branches/br-main/databases"), 5);
    assert_eq!(script.count("POST /projects/proj-1/endpoints/ep-1/start"), 2);
    environment.target.execute_as_owner("DELETE FROM t WHERE id = 2");
    let push = script.tool(&environment, "push").args(["--on-drift", "overwrite"]).run();
    push.expect_exit(0).expect_text("restore point turso2neon-before-20");
    let points = script
        .seen()
        .into_iter()
        .filter(|line| line.starts_with("POST /projects/proj-1/branches "))
        .collect::<Vec<_>>();
    assert!(
        points.len() == 2 && points[1].contains("turso2neon-before-20") && !points[1].contains("endpoints"),
        "{points:?}"
    );
    assert_eq!(environment.target.value("SELECT count(*) FROM t"), "2");
    // What there is to go back to, and back.
    let list = script.tool(&environment, "rollback").arg("--list").run();
    list.expect_exit(0).expect_text("restore point turso2neon-before-1");
    let back = script.tool(&environment, "rollback").args(["--restore-point", "turso2neon-before-1"]).run();
    back.expect_exit(0).expect_text("Branch main has the state of turso2neon-before-1 again");
    let restored = script.seen().into_iter().find(|line| line.contains("/restore")).unwrap();
    assert!(
        restored.contains(r#""source_branch_id":"br-old""#) && restored.contains("preserve_under_name"),
        "{restored}"
    );
    script.tool(&environment, "rollback").run().expect_exit(0);
    assert_eq!(environment.target.value("SELECT count(*) FROM t"), "1");
    // The rows of a finished migration are not set back with the branch.
    script.tool(&environment, "finish").arg("--yes").run().expect_exit(0);
    let count = || script.seen().iter().filter(|line| line.contains("/restore")).count();
    let before = count();
    let refused = script.tool(&environment, "rollback").args(["--restore-point", "turso2neon-before-1"]).run();
    refused.expect_exit(8).expect_text("was finished at");
    assert_eq!(count(), before);
}

#[test]
fn answers_that_stop_a_push_say_what_to_do() {
    let environment = Environment::from("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    environment.call(&["dump", "convert"]);
    let with = |first: Vec<Answer>| {
        let mut answers = first;
        answers.extend(project(&environment.target.url()));
        Script::start(answers)
    };
    let cases: Vec<(Vec<Answer>, &[&str], i32, &str)> = vec![
        (
            vec![answer("GET /projects/proj-1", 404, r#"{"code":"x","message":"project not found"}"#)],
            &[],
            2,
            "project not found",
        ),
        (vec![answer("GET /projects/proj-1", 401, "{}")], &[], 7, "NEON_API_KEY"),
        (vec![answer("GET /projects/proj-1", 200, "<html>")], &[], 7, "something that isn't JSON"),
        (vec![], &["--neon-branch", "nowhere"], 2, "its branches are main, turso2neon-before-1"),
        (
            vec![answer(
                "POST /projects/proj-1/branches",
                422,
                r#"{"code":"BRANCHES_LIMIT_EXCEEDED","message":"branches limit exceeded"}"#,
            )],
            &["--neon-create-branch", "b"],
            7,
            "branches limit exceeded",
        ),
        (
            vec![answer(
                "GET /projects/proj-1/operations/op-1",
                200,
                r#"{"operation":{"id":"op-1","status":"failed"}}"#,
            )],
            &[],
            7,
            "ended as failed",
        ),
        (
            vec![answer(
                "GET /projects/proj-1/branches/br-main/databases",
                200,
                r#"{"databases":[{"name":"a","owner_name":"o"},{"name":"b","owner_name":"o"}]}"#,
            )],
            &[],
            2,
            "--neon-database NAME",
        ),
        (
            vec![answer(
                "GET /projects/proj-1/branches/br-main/databases",
                200,
                r#"{"databases":[{"name":"a","owner_name":"o"},{"name":"b","owner_name":"o"}]}"#,
            )],
            // The branch would be made before it is known where to push: see the count of requests below.
            &["--neon-create-branch", "ambiguous"],
            2,
            "--neon-database NAME",
        ),
        (
            vec![answer(
                "GET /projects/proj-1/branches/br-main/databases",
                200,
                r#"{"databases":[{"name":"a","owner_name":"o"},{"name":"b","owner_name":"o"}]}"#,
            )],
            &["--neon-database", "c"],
            2,
            "its databases are a, b",
        ),
        (
            vec![answer(
                "GET /projects/proj-1/branches/br-main/roles",
                200,
                r#"{"roles":[{"name":"o"},{"name":"app"}]}"#,
            )],
            &["--neon-role", "ap"],
            2,
            "its roles are o, app",
        ),
        // Whether the branch was made nobody knows, so it isn't asked for twice.
        (
            vec![answer("POST /projects/proj-1/branches", CUT, "")],
            &["--neon-create-branch", "b"],
            7,
            "look in Neon's console",
        ),
    ];
    for (first, flags, exit, words) in cases {
        let script = with(first);
        let run = script.tool(&environment, "push").args(flags).run();
        let most = usize::from(!flags.contains(&"ambiguous"));
        assert!(script.count("POST /projects/proj-1/branches ") <= most, "{:?}", script.seen());
        let run = run.expect_exit(exit).expect_text(words);
        assert!(!run.stdout.contains("key-Secret-77") && !run.stderr.contains("key-Secret-77"), "{run:?}");
    }
    let tool = environment.workspace.tool("push").args(["--neon-project", "p"]);
    tool.run().expect_exit(2).expect_text("NEON_API_KEY");
    let tool = environment.workspace.tool("push").args(["--neon-project", "p"]).env("NEON_API_KEY", "k");
    tool.env("NEON_API_HOST", "http://example.com").run().expect_exit(2).expect_text("https://");
    assert_eq!(environment.target.value("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
}

#[test]
fn projects_go_by_their_names_and_branches_by_the_page() {
    let environment = Environment::from("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
    environment.call(&["dump", "convert"]);
    let mut answers = vec![
        answer("GET /projects/shop", 404, r#"{"message":"project not found"}"#),
        answer("GET /projects/shpo", 404, r#"{"message":"project not found"}"#),
        answer(
            "GET /projects/proj-1/branches?limit=100&cursor=b2",
            200,
            r#"{"branches":[{"id":"br-main","name":"main","default":true}],"pagination":{}}"#,
        ),
        answer(
            "GET /projects/proj-1/branches?limit=100",
            200,
            r#"{"branches":[{"id":"br-dev","name":"dev"}],"pagination":{"next":"b2"}}"#,
        ),
        // A connection that ends is no answer, and asking again does no harm.
        answer("GET /projects/proj-1/branches/br-main/databases", CUT, ""),
        answer("GET /projects/proj-1/branches/br-main/databases", 429, r#"{"message":"in a second"}"#),
        answer(
            "GET /projects/proj-1/branches/br-main/databases",
            200,
            r#"{"databases":[{"name":"neondb","owner_name":"neon"},{"name":"shop","owner_name":"neon"}]}"#,
        ),
        answer("GET /projects/proj-1/branches/br-main/roles", 200, r#"{"roles":[{"name":"neon"},{"name":"owner"}]}"#),
    ];
    answers.extend(project(&environment.target.url()));
    let script = Script::start(answers);
    let tool = script.tool(&environment, "push").replace("--neon-project", "shop");
    let run = tool.args(["--neon-database", "shop", "--neon-role", "owner"]).run();
    let run = run.expect_exit(0).expect_text("answered 429");
    assert!(run.elapsed.as_millis() >= 1000, "the pause that was asked for: {:?}", run.elapsed);
    assert_eq!(script.count("GET /projects/proj-1/branches/br-main/databases"), 3);
    assert_eq!(environment.target.value("SELECT count(*) FROM t"), "1");
    let tool = script.tool(&environment, "push").replace("--neon-project", "shpo");
    tool.run().expect_exit(2).expect_text("project not found").expect_text("proj-0 (other), proj-1 (shop)");
    // The same from the configuration.
    let settings = "neon-project = \"proj-1\"\nneon-database = \"nowhere\"\n";
    std::fs::write(environment.workspace.path().join("turso2neon.toml"), settings).unwrap();
    let tool = script.tool(&environment, "push").args(["--neon-branch", "main"]);
    tool.run().expect_exit(2).expect_text("its databases are shop");
}

#[test]
fn a_limit_that_is_too_small_is_known_before_anything_is_written() {
    let environment = Environment::from("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)");
    environment.call(&["dump", "convert"]);
    let limit = r#"{"project":{"branch_logical_size_limit_bytes":1048576}}"#;
    let mut answers = project(&environment.target.url());
    answers.retain(|(start, ..)| *start != "GET /projects/proj-1");
    answers.push(answer("GET /projects/proj-1", 200, limit));
    let script = Script::start(answers);
    let run = script.tool(&environment, "push").run();
    run.expect_exit(7).expect_text("the project may hold 1 MB");
    assert_eq!(environment.target.value("SELECT count(*) FROM pg_namespace WHERE nspname ~ 'turso2neon'"), "0");
}

#[test]
fn an_operation_that_never_ends_is_waited_for_so_long_and_no_longer() {
    let workspace = Workspace::new();
    let mut answers =
        vec![answer("GET /projects/proj-1/operations/op-1", 200, r#"{"operation":{"id":"op-1","status":"running"}}"#)];
    answers.extend(project("postgres://u@localhost/d"));
    let script = Script::start(answers);
    let key = Secret::new("key-Secret-77".to_owned());
    let host = format!("{}/api/v2", script.0.url());
    let api = Api::new(key, Some(&host)).unwrap().with_operations_timeout(Duration::from_secs(1));
    let ctx = Context {
        workdir: Workdir::create(&workspace.dir()).unwrap(),
        out: Arc::new(NullSink),
        stop: Cancellation::default(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(async {
        let branch = Branch::find(&ctx, api, "proj-1", None).await.unwrap();
        branch.connection_string(&ctx, None, None).await.err().unwrap()
    });
    assert_eq!(error.kind(), Kind::TargetUnreachable, "{error}");
    assert!(error.message().contains("operation op-1 isn't done after 1 s"), "{error}");
}

/// Hears nothing.
struct NullSink;

impl Sink for NullSink {
    fn emit(&self, _: &Event) {}
}
