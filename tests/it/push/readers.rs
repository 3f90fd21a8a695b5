//! Applications that read the target while it is pushed to: in single statements, prepared statements and transactions
//! of every kind, in either order of the tables. They notice errors, mixed versions and how long they wait.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio_postgres::{Client, NoTls};

use crate::support::Target;

/// How an application reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// All tables in one statement.
    Statement,
    /// The same, prepared once.
    Prepared,
    /// A statement per table.
    ReadCommitted,
    /// The same with one snapshot, taken with the first table.
    RepeatableRead,
    /// The same with a snapshot that is older than the first look at any of the tables.
    OlderSnapshot,
}

/// All kinds.
pub(super) const KINDS: [Kind; 5] =
    [Kind::Statement, Kind::Prepared, Kind::ReadCommitted, Kind::RepeatableRead, Kind::OlderSnapshot];

/// One application.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader {
    pub(super) kind: Kind,
    /// The tables from the last to the first.
    pub(super) reversed: bool,
    /// How long a transaction thinks before each table but the first, and before it ends.
    pub(super) think: Duration,
    /// The pause after each read.
    pub(super) pause: Duration,
}

/// What one application saw.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) reads: usize,
    pub(super) versions: usize,
    /// The longest read, its own thinking left out.
    pub(super) longest: Duration,
}

/// Applications at work.
pub(super) struct ReaderPool {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Seen>>,
}

impl ReaderPool {
    /// Lets them read these tables, each of which has a column `version` with one value in all rows.
    pub(super) fn gather(target: &Target, tables: &[&str], readers: &[Reader]) -> Self {
        let mut config = tokio_postgres::Config::new();
        config.host_path(target.socket_directory()).port(target.port()).user("postgres").dbname(target.database());
        let stop = Arc::new(AtomicBool::new(false));
        let (tables, readers) = (tables.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), readers.to_vec());
        let stop_flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(futures_util::future::join_all(readers.into_iter().map(|reader| {
                let (config, tables, stop) = (config.clone(), tables.clone(), Arc::clone(&stop_flag));
                async move {
                    let (client, connection) = config.connect(NoTls).await.unwrap();
                    tokio::spawn(connection);
                    reader.work(&client, &tables, &stop).await
                }
            })))
        });
        Self { stop, thread }
    }

    /// Ends them.
    pub(super) fn disperse(self) -> Vec<Seen> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

impl Reader {
    async fn work(self, client: &Client, tables: &[String], stop: &AtomicBool) -> Seen {
        let mut tables = tables.to_vec();
        if self.reversed {
            tables.reverse();
        }
        let of = |table: &String| format!("SELECT min(version) || ' ' || max(version) FROM {table}");
        let single: Vec<String> = tables.iter().map(of).collect();
        let whole =
            format!("SELECT ARRAY[{}]", single.iter().map(|one| format!("({one})")).collect::<Vec<_>>().join(", "));
        let prepared = client.prepare(&whole).await.unwrap();
        let mut seen = Seen { reads: 0, versions: 0, longest: Duration::ZERO };
        let mut versions = BTreeSet::new();
        while !stop.load(Ordering::SeqCst) {
            let begun = Instant::now();
            let found: Vec<Option<String>> = match self.kind {
                Kind::Statement => client.query_one(&whole, &[]).await.unwrap().get(0),
                Kind::Prepared => client.query_one(&prepared, &[]).await.unwrap().get(0),
                Kind::ReadCommitted | Kind::RepeatableRead | Kind::OlderSnapshot => {
                    self.transact(client, &single).await
                }
            };
            let thought = if matches!(self.kind, Kind::Statement | Kind::Prepared) { 0 } else { tables.len() };
            seen.longest =
                seen.longest.max(begun.elapsed().saturating_sub(self.think * u32::try_from(thought).unwrap()));
            let mut found: Vec<&str> = found.iter().map(|one| one.as_deref().expect("a table is empty")).collect();
            for one in &found {
                let (low, high) = one.split_once(' ').unwrap();
                assert_eq!(low, high, "{self:?}: a table holds two versions");
            }
            versions.insert(found[0].to_owned());
            found.dedup();
            // Two statements of a READ COMMITTED transaction may see what is committed between them, as always.
            assert!(found.len() == 1 || self.kind == Kind::ReadCommitted, "{self:?}: {found:?}");
            seen.reads += 1;
            tokio::time::sleep(self.pause).await;
        }
        seen.versions = versions.len();
        seen
    }

    async fn transact(self, client: &Client, single: &[String]) -> Vec<Option<String>> {
        let level = if self.kind == Kind::ReadCommitted { "READ COMMITTED" } else { "REPEATABLE READ" };
        client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}")).await.unwrap();
        if self.kind == Kind::OlderSnapshot {
            client.batch_execute("SELECT 1").await.unwrap();
            tokio::time::sleep(self.think).await;
        }
        let mut found = Vec::new();
        for (number, sql) in single.iter().enumerate() {
            if number > 0 {
                tokio::time::sleep(self.think).await;
            }
            found.push(client.query_one(sql, &[]).await.unwrap().get(0));
        }
        if self.kind != Kind::OlderSnapshot {
            tokio::time::sleep(self.think).await;
        }
        client.batch_execute("COMMIT").await.unwrap();
        found
    }
}
