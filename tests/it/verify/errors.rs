//! What keeps a verification from comparing, and what it is asked to leave out.

use std::sync::{Arc, Mutex};

use turso2neon::{
    context::{Cancellation, Context},
    error::Kind,
    event::{Event, Sink},
    model::{
        Conversion, PushCheckpoint,
        checkpoint::{CHECKPOINT_FORMAT, LoadState},
    },
    stages::verify::{self, Against, VerifyLevel, VerifyServers},
    workdir::sealed,
};

use crate::support::plan_builder::{column, table};

use super::fixture::{Hops, lines, on_two_threads};

fn two_tables() -> Hops {
    let one = |name: &str| table(name, vec![column("n", "bigint", Conversion::Integer)]);
    Hops::new(
        "CREATE TABLE orders (n); INSERT INTO orders VALUES (1); CREATE TABLE users (n); INSERT INTO users VALUES (2)",
        vec![one("orders"), one("users")],
        "INSERT INTO {s}.orders VALUES (1); INSERT INTO {s}.users VALUES (2)",
    )
}

#[test]
fn only_the_tables_asked_for_are_compared() {
    let hops = two_tables();
    hops.change("local", "UPDATE {s}.users SET n = 3");
    let mut request = hops.request(Against::Both, VerifyLevel::Full);
    request.tables = vec!["ORDERS".to_owned()];
    let verified = hops.try_verify(&request).unwrap();
    assert_eq!((verified.tables.len(), verified.difference_count), (2, 0));
    request.tables = vec!["order".to_owned()];
    let refused = hops.try_verify(&request).unwrap_err();
    assert_eq!(refused.kind(), Kind::Usage);
    assert_eq!(refused.hint(), "did you mean `orders`?");
}

#[test]
fn artifacts_that_do_not_belong_together_are_refused() {
    let hops = two_tables();
    let request = hops.request(Against::Both, VerifyLevel::Counts);
    let refusal = || hops.try_verify(&request).unwrap_err();
    let mut push: PushCheckpoint =
        sealed::load(&hops.ctx.workdir.push_checkpoint(), CHECKPOINT_FORMAT, "push").unwrap();
    push.state = LoadState::Loading;
    sealed::store(&hops.ctx.workdir.push_checkpoint(), &push).unwrap();
    assert_eq!(refusal().kind(), Kind::ArtifactStale);
    assert_eq!(refusal().hint(), "run `turso2neon push`");
    std::fs::remove_file(hops.ctx.workdir.push_checkpoint()).unwrap();
    assert_eq!(
        hops.lines(VerifyLevel::Counts),
        Vec::<String>::new(),
        "a target filled by somebody else can be compared"
    );
    let mut plan = hops.plan.clone();
    plan.tool = "another".to_owned();
    sealed::store(&hops.ctx.workdir.plan_json(), &plan).unwrap();
    assert_eq!(refusal().kind(), Kind::ArtifactStale);
    assert_eq!(refusal().hint(), "run `turso2neon convert`");
    plan.dump_sha256 = "another".to_owned();
    sealed::store(&hops.ctx.workdir.plan_json(), &plan).unwrap();
    assert_eq!(refusal().hint(), "run `turso2neon plan`");
    std::fs::remove_file(hops.ctx.workdir.plan_json()).unwrap();
    assert_eq!(refusal().kind(), Kind::ArtifactMissing);
}

#[test]
fn a_target_that_nothing_was_pushed_to_is_no_difference() {
    let hops = two_tables();
    std::fs::remove_file(hops.ctx.workdir.push_checkpoint()).unwrap();
    hops.change("target", "DROP TABLE {s}.orders, {s}.users");
    let refused = hops.try_verify(&hops.request(Against::Target, VerifyLevel::Full)).unwrap_err();
    assert_eq!(refused.kind(), Kind::ArtifactMissing);
    let mut request = hops.request(Against::Target, VerifyLevel::Full);
    request.target = None;
    let refused = on_two_threads(Box::pin(verify::verify(&hops.ctx, &request))).unwrap_err();
    assert_eq!(refused.kind(), Kind::Usage);
}

#[test]
fn another_schema_than_that_of_the_push_is_a_mistake() {
    let hops = two_tables();
    let mut request = hops.request(Against::Target, VerifyLevel::Full);
    request.schema = "app".to_owned();
    let refused = hops.try_verify(&request).unwrap_err();
    assert_eq!((refused.kind(), refused.hint()), (Kind::Usage, "give --schema public"));
    hops.change("target", "DROP TABLE {s}.orders, {s}.users");
    assert_eq!(
        lines(&hops.verify(Against::Target, VerifyLevel::Full)),
        ["target orders: table missing", "target users: table missing",]
    );
}

#[test]
fn a_dump_that_changed_on_disk_is_not_reported_as_a_difference_of_postgresql() {
    let hops = two_tables();
    let path = hops.ctx.workdir.source_db();
    let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch("UPDATE users SET n = 3").unwrap();
    drop(connection);
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    for level in [VerifyLevel::Digest, VerifyLevel::Full] {
        let refused = hops.try_verify(&hops.request(Against::Local, level)).unwrap_err();
        assert_eq!(refused.kind(), Kind::ArtifactDamaged, "{level:?}");
    }
}

#[test]
fn the_target_is_verified_without_the_local_postgresql_over_verified_tls() {
    let hops = two_tables();
    std::fs::remove_file(hops.ctx.workdir.convert_checkpoint()).unwrap();
    hops.target.query("GRANT USAGE ON SCHEMA public TO owner; GRANT SELECT ON ALL TABLES IN SCHEMA public TO owner");
    let verified =
        on_two_threads(Box::pin(verify::verify(&hops.ctx, &hops.request(Against::Target, VerifyLevel::Full)))).unwrap();
    assert_eq!(lines(&verified), Vec::<String>::new());
    assert_eq!(verified.tables.len(), 2);
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Sink for Recorder {
    fn emit(&self, event: &Event) {
        let words = match event {
            Event::StageStarted { .. } => "started".to_owned(),
            Event::TableStarted { table, rows_total, .. } => format!("{table} of {}", rows_total.unwrap_or(0)),
            Event::Committed { table, rows, .. } => format!("{table} +{rows}"),
            Event::TableFinished { table, rows, .. } => format!("{table} = {rows}"),
            Event::StageFinished { summary, .. } => summary.clone(),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(words);
    }
}

#[test]
fn events_report_what_is_compared() {
    let hops = two_tables();
    let recorder = Arc::new(Recorder::default());
    let out = Arc::clone(&recorder);
    let ctx = Context { out, ..hops.ctx.clone() };
    let servers = hops.servers();
    let request = hops.request(Against::Both, VerifyLevel::Full);
    on_two_threads(Box::pin(verify::compare(&ctx, &request, &servers))).unwrap();
    let events = recorder.0.lock().unwrap().clone();
    assert_eq!(events.first().unwrap(), "started");
    assert_eq!(events.last().unwrap(), "4 comparisons of tables, 4 rows: no difference");
    let of_users: Vec<&String> = events.iter().filter(|words| words.starts_with("users")).collect();
    assert_eq!(of_users, ["users of 1", "users +1", "users = 1"]);
}

#[test]
fn a_request_to_stop_ends_it() {
    let hops = two_tables();
    let stop = Cancellation::default();
    stop.request();
    let ctx = Context { stop, ..hops.ctx.clone() };
    let servers = hops.servers();
    let request = hops.request(Against::Both, VerifyLevel::Full);
    let stopped = on_two_threads(Box::pin(verify::compare(&ctx, &request, &servers))).unwrap_err();
    assert_eq!(stopped.kind(), Kind::Interrupted);
    let none = VerifyServers::default();
    let missing = on_two_threads(Box::pin(verify::compare(&hops.ctx, &request, &none))).unwrap_err();
    assert_eq!(missing.kind(), Kind::Bug);
}
