//! Tests `dump`: from a real libSQL server, from a server that misbehaves, and from files.

mod archive;

mod extremes;

mod export;

mod faults;

mod files;

mod kills;

mod pages;

mod platform;

mod proxy;

mod replica;

mod server;

mod turso_engine;

mod corrupted_responses;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use rusqlite::types::Value;
use turso2neon::{
    context::{Cancellation, Context},
    error::{Error, Result},
    event::{Event, Sink},
    model::{DumpCheckpoint, checkpoint::CHECKPOINT_FORMAT},
    secret::Secret,
    stages::dump::{DumpRequest, Dumped, Method, dump},
    workdir::{Workdir, sealed},
};

use crate::support::{plan_builder::dump_request as request, process::block_on};

/// A working directory, and everything the stage said.
struct Fixture {
    directory: tempfile::TempDir,
    events: Arc<Recorder>,
    stop: Cancellation,
}

#[derive(Default)]
struct Recorder(Mutex<Vec<Event>>);

impl Sink for Recorder {
    fn emit(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Fixture {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), events: Arc::default(), stop: Cancellation::default() }
    }

    fn dir(&self) -> PathBuf {
        self.directory.path().join("migration")
    }

    fn source_db(&self) -> PathBuf {
        self.dir().join("dump/source.db")
    }

    fn dump(&self, request: &DumpRequest) -> Result<Dumped> {
        let workdir = Workdir::create(&self.dir())?;
        let ctx = Context { workdir, out: self.events.clone(), stop: self.stop.clone() };
        block_on(async { dump(&ctx, request).await })
    }

    /// Lets the dump that is there count as one of this address: what stands before a server has a port of its own.
    fn take_for_dump_of(&self, url: &str) {
        let path = Workdir::create(&self.dir()).unwrap().dump_checkpoint();
        let checkpoint: DumpCheckpoint = sealed::load(&path, CHECKPOINT_FORMAT, "dump").unwrap();
        sealed::store(&path, &DumpCheckpoint { source: url.to_owned(), ..checkpoint }).unwrap();
    }

    fn events(&self) -> Vec<Event> {
        self.events.0.lock().unwrap().clone()
    }

    /// What has been said and stored, to look for what must not be there.
    fn everything_but_rows(&self) -> String {
        let mut all = format!("{:?}", self.events());
        let checkpoint = self.dir().join("dump/checkpoint.json");
        all.push_str(&std::fs::read_to_string(checkpoint).unwrap_or_default());
        all
    }

    /// The names in the dump's directory.
    fn listing(&self) -> Vec<String> {
        listing(&self.dir().join("dump"))
    }

    /// One value of the dump, as SQLite shows it.
    fn value(&self, sql: &str) -> String {
        let connection = rusqlite::Connection::open(self.source_db()).unwrap();
        match connection.query_row(sql, [], |row| row.get::<_, Value>(0)) {
            Ok(Value::Null) => "NULL".to_owned(),
            Ok(Value::Integer(number)) => number.to_string(),
            Ok(Value::Real(number)) => format!("{number:?}"),
            Ok(Value::Text(text)) => text,
            Ok(Value::Blob(bytes)) => format!("{bytes:?}"),
            Err(failure) => panic!("{sql}: {failure}"),
        }
    }
}

fn listing(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn request_with(source: impl Into<String>, token: impl Into<String>) -> DumpRequest {
    DumpRequest { token: Some(Secret::new(token.into())), ..request(source) }
}

fn sql_request(source: impl Into<String>, token: impl Into<String>) -> DumpRequest {
    DumpRequest { method: Method::Sql, ..request_with(source, token) }
}

fn code(error: &Error) -> &'static str {
    error.kind().code()
}
