//! The tool's process ends as a power loss would end it, at any moment of a dump; the next call is right.
//!
//! `TURSO2NEON_TEST_FAULTS` asks for more kills than the usual few, `TURSO2NEON_TEST_SEED` for the same again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use turso2neon::workdir::Workdir;

use super::{Fixture, pages, replica};
use crate::support::{ConnectionFault, FaultProxy, Rng, Sqld, Tool};

/// What a series of kills counted.
#[derive(Debug, Default)]
struct Tally {
    /// Calls that were killed before their end.
    killed: AtomicU32,
    /// Of these, those that left something to go on from.
    kept: AtomicU32,
    /// Bytes that the calls after those took.
    bytes: AtomicU64,
}

/// The source and the method.
struct Subject {
    method: &'static str,
    port: u16,
    token: String,
    content: String,
    /// Bytes and time of a dump from zero, over the slow proxy.
    zero: (u64, Duration),
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// A proxy that is slow until it is healed. The same one throughout: to some methods another address is another source.
fn slow(port: u16) -> (FaultProxy, Arc<AtomicBool>) {
    let healed = Arc::new(AtomicBool::new(false));
    let healed_too = healed.clone();
    let proxy = FaultProxy::with_connections(port, move |_| {
        let bytes_per_ms = (!healed_too.load(Ordering::SeqCst)).then_some(3_000);
        ConnectionFault { bytes_per_ms, ..ConnectionFault::default() }
    });
    (proxy, healed)
}

impl Subject {
    fn new(method: &'static str, port: u16, token: String) -> Self {
        let mut subject = Self { method, port, token, content: String::new(), zero: (0, Duration::ZERO) };
        let (fixture, (proxy, _), begun) = (Fixture::new(), slow(port), Instant::now());
        subject.call(&fixture, &proxy).run().expect_exit(0);
        subject.zero = (proxy.received(), begun.elapsed());
        subject.content = content(&fixture);
        subject
    }

    fn call(&self, fixture: &Fixture, proxy: &FaultProxy) -> Tool {
        Tool::new(["--dir", fixture.dir().to_str().unwrap(), "dump", "--method", self.method, "--source", &proxy.url()])
            .env("TURSO_AUTH_TOKEN", &self.token)
            .timeout(Duration::from_secs(400))
    }

    /// Kills a dump at a random moment, and takes it up again.
    fn kill_one(&self, rng: &mut Rng, tally: &Tally) {
        let ((proxy, healed), fixture) = (slow(self.port), Fixture::new());
        let running = self.call(&fixture, &proxy).spawn();
        let thousandths = u64::try_from(rng.below(1000)).unwrap();
        let (begun, by_bytes) = (Instant::now(), rng.once_in(2));
        // By bytes, so that it falls into the transfer; by time, so that it falls into what comes after, too.
        let is_due = || {
            if by_bytes {
                proxy.received() >= (self.zero.0 * thousandths / 1000).max(1)
            } else {
                begun.elapsed() >= self.zero.1 * u32::try_from(thousandths).unwrap() / 1000
            }
        };
        while !is_due() && begun.elapsed() < self.zero.1 * 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let was_killed = running.kill().code() != Some(0);
        let kept = fixture.dir().join("dump/part.json").exists();
        healed.store(true, Ordering::SeqCst);
        let before = proxy.received();
        self.call(&fixture, &proxy).run().expect_exit(0);
        let again = proxy.received() - before;
        assert_eq!(content(&fixture), self.content, "{} after {thousandths} thousandths", self.method);
        assert_eq!(fixture.listing(), ["checkpoint.json", "source.db"]);
        tally.killed.fetch_add(u32::from(was_killed), Ordering::SeqCst);
        if was_killed && kept {
            tally.kept.fetch_add(1, Ordering::SeqCst);
            tally.bytes.fetch_add(again, Ordering::SeqCst);
            // Where next to nothing had come, the question where to go on comes on top.
            assert!(again < self.zero.0 + self.zero.0 / 20, "{again} of {} bytes again", self.zero.0);
        }
    }

    /// A series of kills, several at a time.
    fn kill_many(&self) -> Tally {
        let kills = number("TURSO2NEON_TEST_FAULTS").unwrap_or(6);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = number("TURSO2NEON_TEST_SEED").unwrap_or_else(|| u64::from(since.subsec_nanos()));
        println!("TURSO2NEON_TEST_SEED={seed}");
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let tally = &tally;
                scope.spawn(move || {
                    let mut rng = Rng::new(seed + worker);
                    (worker..kills).step_by(3).for_each(|_| self.kill_one(&mut rng, tally));
                });
            }
        });
        let kept = u64::from(tally.kept.load(Ordering::SeqCst));
        let mean = tally.bytes.load(Ordering::SeqCst) / kept.max(1);
        assert!(kept < 3 || mean < self.zero.0, "{mean} bytes on average, {} from zero", self.zero.0);
        println!("{}: {tally:?}; from zero {} bytes, continued {mean} on average", self.method, self.zero.0);
        tally
    }
}

/// The content of the dump, which must be whole.
fn content(fixture: &Fixture) -> String {
    Workdir::open(&fixture.dir()).unwrap().load_dump().unwrap().content_sha256
}

#[test]
fn a_killed_replica_goes_on_where_it_was() {
    let server = Sqld::start();
    replica::fill(&server, 16);
    let tally = Subject::new("replica", server.port(), server.token()).kill_many();
    assert!(tally.killed.into_inner() > 0);
}

#[test]
fn killed_pages_go_on_where_they_were() {
    let server = pages::source();
    pages::fill(&server, 40);
    let tally = Subject::new("pages", server.port(), String::new()).kill_many();
    assert!(tally.killed.into_inner() > 0);
}

#[test]
fn a_killed_read_of_rows_begins_again_and_is_right() {
    let server = Sqld::start();
    replica::fill(&server, 8);
    let tally = Subject::new("sql", server.port(), server.token()).kill_many();
    // A transaction can't be gone on with.
    assert_eq!(tally.kept.into_inner(), 0);
}
