//! Somebody who reads the target all the time: everything in one statement, or table after table in a REPEATABLE READ
//! transaction.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage, error::SqlState};

use super::env::TABLES;
use crate::support::Target;

/// What a reader sees where there is no table.
pub(super) const NOTHING: &str = "nothing";

/// How somebody reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadMode {
    /// All tables together; some may be missing only if all are.
    Together,
    /// Each table for itself.
    Apart,
}

/// Somebody who reads until asked what was seen.
pub(super) struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Observations>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Observations {
    /// How often everything was read.
    pub(super) reads: usize,
    /// Together: one list; apart: one per table. Of what was seen, in order, each once until something else is seen.
    pub(super) seen: Vec<Vec<String>>,
    /// Errors that a reader must not get.
    pub(super) complaints: Vec<String>,
}

/// The query for one table's picture.
fn picture(table: &str) -> String {
    format!("SELECT count(*) || ':' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM public.{table} t")
}

/// The query for the picture of all tables.
fn whole_picture() -> String {
    let parts = TABLES.map(|table| format!("({})", picture(table)));
    format!("SELECT concat_ws(' ', {})", parts.join(", "))
}

/// What a reader of this target sees now.
pub(super) fn look(target: &Target) -> String {
    if target.value("SELECT to_regclass('public.owners') IS NULL") == "t" {
        return NOTHING.to_owned();
    }
    target.value(&whole_picture())
}

impl Reader {
    /// Begins to read.
    pub(super) fn start(target: &Target, gaze: ReadMode) -> Self {
        let mut config = Config::new();
        config.host_path(target.socket_directory()).port(target.port()).user("postgres").dbname(target.database());
        let stop = Arc::new(AtomicBool::new(false));
        let stop_flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(read(&config, gaze, &stop_flag))
        });
        Self { stop, thread }
    }

    /// Ends, and returns what was seen.
    pub(super) fn stop(self) -> Observations {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

async fn read(config: &Config, gaze: ReadMode, stop: &AtomicBool) -> Observations {
    let mut sight = Observations::default();
    let mut turn = 0_usize;
    while !stop.load(Ordering::SeqCst) {
        let Ok((client, connection)) = config.connect(NoTls).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        tokio::spawn(connection);
        while !stop.load(Ordering::SeqCst) && !client.is_closed() {
            let looked = match gaze {
                ReadMode::Together => together(&client, turn).await,
                ReadMode::Apart => apart(&client, turn).await,
            };
            turn += 1;
            match looked {
                Ok(pictures) => sight.note(pictures),
                Err(failure) if is_lost(&failure) => break,
                Err(failure) => sight.complaints.push(format!("{failure:?}")),
            }
            tokio::time::sleep(Duration::from_millis(8)).await;
        }
    }
    sight
}

impl Observations {
    fn note(&mut self, pictures: Vec<String>) {
        self.reads += 1;
        self.seen.resize(pictures.len(), Vec::new());
        for (list, picture) in self.seen.iter_mut().zip(pictures) {
            if list.last() != Some(&picture) {
                list.push(picture);
            }
        }
    }
}

fn is_lost(failure: &tokio_postgres::Error) -> bool {
    failure.as_db_error().is_none_or(|said| said.code().code().starts_with("57P"))
}

fn is_missing(failure: &tokio_postgres::Error) -> bool {
    failure.code() == Some(&SqlState::UNDEFINED_TABLE)
}

async fn value(client: &Client, sql: &str) -> Result<String, tokio_postgres::Error> {
    let messages = client.simple_query(sql).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(row.unwrap_or_default().to_owned())
}

async fn together(client: &Client, turn: usize) -> Result<Vec<String>, tokio_postgres::Error> {
    if turn.is_multiple_of(3) {
        let names = TABLES.map(|table| format!("'{table}'")).join(",");
        let present = format!(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname IN ({names})"
        );
        let present = value(client, &present).await?;
        if present != "0" && present != TABLES.len().to_string() {
            return Ok(vec![format!("{present} tables")]);
        }
        return match value(client, &whole_picture()).await {
            Err(failure) if is_missing(&failure) => Ok(vec![NOTHING.to_owned()]),
            other => Ok(vec![other?]),
        };
    }
    client.simple_query("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let mut order = TABLES;
    if turn % 3 == 1 {
        order.reverse();
    }
    let mut pictures = Vec::new();
    for table in order {
        match value(client, &picture(table)).await {
            Err(failure) if is_missing(&failure) && pictures.is_empty() => {
                client.simple_query("ROLLBACK").await?;
                return Ok(vec![NOTHING.to_owned()]);
            }
            other => pictures.push(other?),
        }
    }
    client.simple_query("COMMIT").await?;
    if turn % 3 == 1 {
        pictures.reverse();
    }
    Ok(vec![pictures.join(" ")])
}

async fn apart(client: &Client, turn: usize) -> Result<Vec<String>, tokio_postgres::Error> {
    let mut pictures = Vec::new();
    for table in TABLES {
        if turn.is_multiple_of(2) {
            pictures.push(value(client, &picture(table)).await?);
        } else {
            client.simple_query("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
            pictures.push(value(client, &picture(table)).await?);
            client.simple_query("COMMIT").await?;
        }
    }
    Ok(pictures)
}
