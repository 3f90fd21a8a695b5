//! A DIR with a dump made from SQL, plans made by hand, and the server that was loaded.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use turso2neon::{
    context::{Cancellation, Context},
    error::Result,
    event::{Event, Sink},
    model::{
        ColumnPlan, Conversion, DumpCheckpoint, DumpMethod, Plan, TablePlan,
        cell::StorageClass,
        checkpoint::{CHECKPOINT_FORMAT, LocalServerRecord},
        conversion_plan::BlobText,
    },
    postgres::{
        Session,
        managed::{LocalChoice, LocalServer},
    },
    stages::{
        convert::{ConvertRequest, Converted, convert},
        plan::Planned,
    },
    workdir::{Workdir, modified_ns, sealed, sha256_of, sha256_of_bytes},
};

use crate::support::{fixture::sqlite, plan_builder, process::block_on};

/// What was said, and when to request a stop.
#[derive(Default)]
pub(super) struct Recorder {
    events: Mutex<Vec<Event>>,
    stop_after_commits: Mutex<Option<(usize, Cancellation)>>,
}

impl Recorder {
    /// Rows that were committed, per table.
    pub(super) fn committed(&self) -> BTreeMap<String, Vec<u64>> {
        let mut tables: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in self.events.lock().unwrap().iter() {
            if let Event::Committed { table, rows, .. } = event {
                tables.entry(table.clone()).or_default().push(*rows);
            }
        }
        tables
    }

    /// How many events look like this.
    pub(super) fn count(&self, like: impl Fn(&Event) -> bool) -> usize {
        self.events.lock().unwrap().iter().filter(|event| like(event)).count()
    }
}

impl Sink for Recorder {
    fn emit(&self, event: &Event) {
        self.events.lock().unwrap().push(event.clone());
        if let (Event::Committed { .. }, Some((left, stop))) = (event, &mut *self.stop_after_commits.lock().unwrap()) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                stop.request();
            }
        }
    }
}

/// A DIR with a dump.
pub(super) struct Fixture {
    home: tempfile::TempDir,
    pub(super) dir: PathBuf,
    pub(super) workdir: Workdir,
    pub(super) dump: DumpCheckpoint,
}

impl Fixture {
    /// A dump made by this script, in a DIR that every account can reach.
    pub(super) fn new(script: &str) -> Self {
        Self::below("migration", 0o755, script)
    }

    /// The same at a path below a home of this mode.
    pub(super) fn below(path: &str, mode: u32, script: &str) -> Self {
        let home = tempfile::Builder::new().prefix("t2n-").tempdir().unwrap();
        std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        let dir = home.path().join(path);
        let workdir = Workdir::create(&dir).unwrap();
        workdir.subdir("dump").unwrap();
        let mut fixture = Self { home, dir, workdir, dump: checkpoint() };
        fixture.change(script);
        fixture
    }

    /// Changes the dump as a new run of `dump` would.
    pub(super) fn change(&mut self, script: &str) {
        let source = self.workdir.source_db();
        sqlite(&source, script);
        self.dump.sha256 = sha256_of(&source).unwrap();
        let facts = std::fs::metadata(&source).unwrap();
        self.dump.size_bytes = facts.len();
        self.dump.modified_ns = modified_ns(&facts);
        sealed::store(&self.workdir.dump_checkpoint(), &self.dump).unwrap();
    }

    /// Where other files of the test can be.
    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Converts with a quiet listener.
    pub(super) fn convert(&self, plan: &Plan, request: &ConvertRequest) -> Result<Converted> {
        self.convert_heard(plan, request, &Arc::new(Recorder::default()), None)
    }

    /// Converts; requests a stop after so many commits, if a number is given.
    pub(super) fn convert_heard(
        &self,
        plan: &Plan,
        request: &ConvertRequest,
        recorder: &Arc<Recorder>,
        stop_after_commits: Option<usize>,
    ) -> Result<Converted> {
        let ctx = self.context(recorder);
        *recorder.stop_after_commits.lock().unwrap() = stop_after_commits.map(|commits| (commits, ctx.stop.clone()));
        let planned = self.planned(plan);
        runtime().block_on(convert(&ctx, request, &self.dump, planned))
    }

    pub(super) fn context(&self, recorder: &Arc<Recorder>) -> Context {
        let out: Arc<dyn Sink> = Arc::<Recorder>::clone(recorder);
        Context { workdir: self.workdir.clone(), out, stop: Cancellation::default() }
    }

    pub(super) fn planned(&self, plan: &Plan) -> Planned {
        let mut plan = plan.clone();
        plan.dump_sha256.clone_from(&self.dump.sha256);
        let sha256 = sha256_of_bytes(sealed::render(&plan).unwrap().as_bytes());
        Planned { plan, sha256, unchanged: false }
    }

    /// What the loaded server answers, each row's columns as text joined by `|`, NULL as `∅`.
    pub(super) fn query(&self, local: &LocalServerRecord, sql: &str) -> Vec<String> {
        self.query_with(local, &LocalChoice::default(), sql)
    }

    pub(super) fn query_with(&self, local: &LocalServerRecord, choice: &LocalChoice, sql: &str) -> Vec<String> {
        let ctx = self.context(&Arc::new(Recorder::default()));
        runtime().block_on(async {
            let server = LocalServer::open_loaded(&ctx, choice, local).await.unwrap();
            let session = Session::connect(server.endpoint()).await.unwrap();
            let answer = session.client().simple_query(sql).await.unwrap();
            drop(session);
            server.close().await.unwrap();
            answer.iter().filter_map(line).collect()
        })
    }

    /// Processes whose working directory is below this one: servers that were left.
    pub(super) fn servers(pgdata: &Path) -> Vec<u32> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
            if std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == pgdata) {
                found.push(pid);
            }
        }
        found
    }

    /// The data directory inside DIR.
    pub(super) fn pgdata(&self) -> PathBuf {
        self.workdir.root().join("convert/pgdata")
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let workdir = self.workdir.clone();
        block_on(async move { LocalServer::discard(&workdir).await.ok() });
    }
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn line(message: &tokio_postgres::SimpleQueryMessage) -> Option<String> {
    match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => {
            let texts = (0..row.len()).map(|column| row.get(column).unwrap_or("∅").to_owned());
            Some(texts.collect::<Vec<_>>().join("|"))
        }
        _ => None,
    }
}

fn checkpoint() -> DumpCheckpoint {
    DumpCheckpoint {
        format: CHECKPOINT_FORMAT,
        tool: "test".to_owned(),
        engine: String::new(),
        source: "test".to_owned(),
        method: DumpMethod::File,
        left_out: Vec::new(),
        method_reason: String::new(),
        proof: Vec::new(),
        consistency_mark: None,
        encoding: "UTF-8".to_owned(),
        user_version: 0,
        application_id: 0,
        size_bytes: 0,
        sha256: String::new(),
        content_sha256: String::new(),
        modified_ns: 0,
        stamp: None,
        rows: BTreeMap::new(),
        received_bytes: 0,
        started_s: 0,
        finished_s: 0,
    }
}

/// A plan of these tables.
pub(super) fn plan(tables: Vec<TablePlan>) -> Plan {
    plan_builder::plan("public", tables)
}

/// A table with a rowid.
pub(super) fn table(name: &str, rows: u64, columns: Vec<ColumnPlan>) -> TablePlan {
    TablePlan { rows, bytes: rows * 50, ..plan_builder::table(name, columns) }
}

/// A column, nullable and without a default.
pub(super) fn column(name: &str, pg_type: &str, conversion: Conversion) -> ColumnPlan {
    ColumnPlan { main_class: StorageClass::Integer, ..plan_builder::column(name, pg_type, conversion) }
}

/// A `bigint` column.
pub(super) fn integer(name: &str) -> ColumnPlan {
    column(name, "bigint", Conversion::Integer)
}

/// A `text` column.
pub(super) fn text(name: &str) -> ColumnPlan {
    let mut column = column(name, "text", Conversion::Text { blobs: BlobText::Hex });
    column.main_class = StorageClass::Text;
    column
}
