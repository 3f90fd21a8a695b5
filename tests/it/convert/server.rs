//! The managed PostgreSQL: where it is, what a crash leaves, and that nothing is left running.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use turso2neon::{
    error::Kind,
    model::{Plan, checkpoint::LocalServerRecord},
    postgres::{
        Session,
        managed::{LocalChoice, LocalServer},
    },
    stages::convert::ConvertRequest,
};

use super::fixture::{Fixture, Recorder, integer, plan, runtime, table};
use crate::support::process::send;

const ONE: &str = "CREATE TABLE one (id INTEGER PRIMARY KEY); INSERT INTO one VALUES (1), (2);";

fn one() -> Plan {
    plan(vec![table("one", 2, vec![integer("id")])])
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn place(local: &LocalServerRecord) -> (PathBuf, Option<String>) {
    match local {
        LocalServerRecord::Managed { pgdata, placed_because, .. } => (pgdata.into(), placed_because.clone()),
        LocalServerRecord::External { .. } => panic!("not managed"),
    }
}

#[test]
fn the_cluster_is_private_and_stopped_when_the_work_is_done() {
    let fixture = Fixture::new(ONE);
    let converted = fixture.convert(&one(), &ConvertRequest::default()).unwrap();
    assert_eq!(place(&converted.checkpoint.local), ("convert/pgdata".into(), None));
    // The account that runs the server passes through two directories of root's; nobody else can see what is in them.
    let passed = if is_root() { 0o711 } else { 0o700 };
    let modes = [(fixture.dir.clone(), passed), (fixture.dir.join("convert"), passed), (fixture.pgdata(), 0o700)];
    for (path, expected) in modes {
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
    assert_eq!(mode(&fixture.dir.join("convert/postgres.log")), 0o600);
    if is_root() {
        assert_ne!(std::fs::metadata(fixture.pgdata()).unwrap().uid(), 0);
        for root in ["", "dump", "convert"] {
            assert_eq!(std::fs::metadata(fixture.dir.join(root)).unwrap().uid(), 0, "{root}");
        }
    }
    assert!(Fixture::servers(&fixture.pgdata()).is_empty());
    let sql = "SELECT name, setting FROM pg_settings
               WHERE name IN ('fsync', 'full_page_writes', 'listen_addresses', 'synchronous_commit') ORDER BY 1";
    assert_eq!(
        fixture.query(&converted.checkpoint.local, sql),
        ["fsync|on", "full_page_writes|on", "listen_addresses|", "synchronous_commit|on"]
    );
    assert!(Fixture::servers(&fixture.pgdata()).is_empty());
}

#[test]
fn a_home_that_the_servers_account_cannot_enter_is_reported() {
    let fixture = Fixture::below("migration", 0o700, ONE);
    let converted = fixture.convert(&one(), &ConvertRequest::default()).unwrap();
    let (pgdata, because) = place(&converted.checkpoint.local);
    if is_root() {
        assert!(pgdata.starts_with("/var/tmp"), "{}", pgdata.display());
        assert!(because.unwrap().contains("can't reach"));
        assert_eq!((mode(pgdata.parent().unwrap()), mode(&pgdata)), (0o711, 0o700));
        assert_eq!(std::fs::metadata(pgdata.parent().unwrap()).unwrap().uid(), 0);
    } else {
        assert_eq!((pgdata.as_path(), because), (Path::new("convert/pgdata"), None));
    }
    assert_eq!(fixture.query(&converted.checkpoint.local, "SELECT count(*) FROM public.one"), ["2"]);
    assert!(fixture.convert(&one(), &ConvertRequest::default()).unwrap().unchanged);
    let workdir = fixture.workdir.clone();
    runtime().block_on(LocalServer::discard(&workdir)).unwrap();
    assert!(!fixture.dir.join(pgdata).exists());
}

#[test]
fn a_directory_of_somebody_is_not_given_away() {
    let fixture = Fixture::new(ONE);
    std::fs::write(fixture.dir.join("letter.txt"), "").unwrap();
    let owner = std::fs::metadata(&fixture.dir).unwrap().uid();
    fixture.convert(&one(), &ConvertRequest::default()).unwrap();
    assert_eq!(std::fs::metadata(&fixture.dir).unwrap().uid(), owner);
}

#[test]
fn a_path_too_long_for_a_socket_does_no_harm() {
    let long = format!("{}/{}/migration", "a".repeat(80), "b, '\"c".repeat(10));
    let fixture = Fixture::below(&long, 0o755, ONE);
    // What the tool creates is private; these are a user's directories above DIR.
    for above in fixture.dir.ancestors().skip(1).take(2) {
        std::fs::set_permissions(above, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let converted = fixture.convert(&one(), &ConvertRequest::default()).unwrap();
    assert_eq!(place(&converted.checkpoint.local).1, None);
    assert_eq!(fixture.query(&converted.checkpoint.local, "SELECT count(*) FROM public.one"), ["2"]);
    let left = std::fs::read_dir("/tmp").unwrap().flatten().any(|entry| {
        std::fs::read_dir(entry.path()).is_ok_and(|mut inside| {
            entry.file_name().to_string_lossy().starts_with("turso2neon-") && inside.next().is_none()
        })
    });
    assert!(!left, "an empty socket directory is left in /tmp");
}

#[test]
fn no_postgresql_is_one_error_with_a_hint() {
    let fixture = Fixture::new(ONE);
    let empty = fixture.home().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let local = LocalChoice { pg_bin: Some(empty), ..LocalChoice::default() };
    let error = fixture.convert(&one(), &ConvertRequest { local, ..ConvertRequest::default() }).unwrap_err();
    assert_eq!((error.kind(), error.kind().exit()), (Kind::LocalMissing, 6));
    assert!(error.hint().contains("install PostgreSQL"), "{}", error.hint());
}

/// The first process of a server, by its data directory.
fn postmaster(pgdata: &Path) -> u32 {
    let text = std::fs::read_to_string(pgdata.join("postmaster.pid")).unwrap();
    text.lines().next().unwrap().trim().parse().unwrap()
}

#[test]
fn a_server_left_by_a_killed_tool_is_found_and_used() {
    let fixture = Fixture::new(ONE);
    let ctx = fixture.context(&Arc::new(Recorder::default()));
    let runtime = runtime();
    // What kill -9 does: nobody stops the server, and a session of it waits with a lock.
    let left = runtime.block_on(async {
        let server = LocalServer::open_for_load(&ctx, &LocalChoice::default()).await.unwrap();
        let session = Session::connect(server.endpoint()).await.unwrap();
        session.batch("test", "BEGIN; CREATE TABLE public.one (x int); SELECT pg_backend_pid()").await.unwrap();
        std::mem::forget(session);
        std::mem::forget(server);
        postmaster(&fixture.pgdata())
    });
    let used = runtime.block_on(async {
        let server = LocalServer::open_for_load(&ctx, &LocalChoice::default()).await.unwrap();
        let session = Session::connect(server.endpoint()).await.unwrap();
        session.batch("test", "CREATE TABLE public.one (x int); DROP TABLE public.one").await.unwrap();
        let used = postmaster(&fixture.pgdata());
        drop(session);
        server.close().await.unwrap();
        used
    });
    assert_eq!(left, used);
    // It says that it has ended a moment before it is gone.
    let deadline = Instant::now() + Duration::from_secs(5);
    while !Fixture::servers(&fixture.pgdata()).is_empty() {
        assert!(Instant::now() < deadline, "the server still runs");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_torn_cluster_is_wiped_and_loaded_anew() {
    let fixture = Fixture::new(ONE);
    let ctx = fixture.context(&Arc::new(Recorder::default()));
    runtime().block_on(async {
        let server = LocalServer::open_for_load(&ctx, &LocalChoice::default()).await.unwrap();
        let session = Session::connect(server.endpoint()).await.unwrap();
        session.batch("test", "CREATE TABLE public.torn (x int)").await.unwrap();
        drop(session);
        std::mem::forget(server);
    });
    send(postmaster(&fixture.pgdata()), Signal::KILL);
    let tables = runtime().block_on(async {
        let server = LocalServer::open_for_load(&ctx, &LocalChoice::default()).await.unwrap();
        let session = Session::connect(server.endpoint()).await.unwrap();
        let rows = session.rows("test", "SELECT to_regclass('public.torn')::text", &[]).await.unwrap();
        drop(session);
        server.close().await.unwrap();
        rows[0].get::<_, Option<String>>(0)
    });
    assert_eq!(tables, None);
}

#[test]
fn a_load_interrupted_before_a_reboot_is_done_anew() {
    let fixture = Fixture::new(ONE);
    let ctx = fixture.context(&Arc::new(Recorder::default()));
    let count = || {
        runtime().block_on(async {
            let server = LocalServer::open_for_load(&ctx, &LocalChoice::default()).await.unwrap();
            let session = Session::connect(server.endpoint()).await.unwrap();
            session
                .batch("test", "CREATE TABLE IF NOT EXISTS public.x (x int); INSERT INTO public.x VALUES (1)")
                .await
                .unwrap();
            let rows = session.rows("test", "SELECT count(*) FROM public.x", &[]).await.unwrap();
            drop(session);
            server.close().await.unwrap();
            rows[0].get::<_, i64>(0)
        })
    };
    assert_eq!([count(), count()], [1, 2]);
    std::fs::write(fixture.pgdata().join("turso2neon.loading"), "another boot").unwrap();
    assert_eq!(count(), 1);
}

#[test]
fn a_durable_cluster_survives_a_crash_of_its_server() {
    let fixture = Fixture::new(ONE);
    let local = fixture.convert(&one(), &ConvertRequest::default()).unwrap().checkpoint.local;
    let ctx = fixture.context(&Arc::new(Recorder::default()));
    runtime().block_on(async {
        std::mem::forget(LocalServer::open_loaded(&ctx, &LocalChoice::default(), &local).await.unwrap());
    });
    send(postmaster(&fixture.pgdata()), Signal::KILL);
    assert_eq!(fixture.query(&local, "SELECT count(*) FROM public.one"), ["2"]);
    assert!(fixture.convert(&one(), &ConvertRequest::default()).unwrap().unchanged);
}

#[test]
fn a_server_kept_running_serves_the_next_command_and_stays() {
    let fixture = Fixture::new(ONE);
    let local = LocalChoice { keep_running: true, ..LocalChoice::default() };
    let converted = fixture.convert(&one(), &ConvertRequest { local, ..ConvertRequest::default() }).unwrap();
    let kept = postmaster(&fixture.pgdata());
    let sql = "SELECT count(*) FROM public.one; SHOW fsync";
    assert_eq!(fixture.query(&converted.checkpoint.local, sql), ["2", "on"]);
    assert_eq!(postmaster(&fixture.pgdata()), kept);
    runtime().block_on(LocalServer::discard(&fixture.workdir)).unwrap();
    assert!(Fixture::servers(&fixture.pgdata()).is_empty() && !fixture.pgdata().exists());
}

#[test]
fn a_missing_data_directory_is_reported() {
    let fixture = Fixture::new(ONE);
    let local = fixture.convert(&one(), &ConvertRequest::default()).unwrap().checkpoint.local;
    std::fs::remove_dir_all(fixture.pgdata()).unwrap();
    let ctx = fixture.context(&Arc::new(Recorder::default()));
    let error = runtime().block_on(LocalServer::open_loaded(&ctx, &LocalChoice::default(), &local)).err().unwrap();
    assert_eq!(error.kind(), Kind::ArtifactMissing);
}
