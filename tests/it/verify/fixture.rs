//! A dump, a plan written by hand, and two PostgreSQL databases filled by plain INSERT: nothing of the loader.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use turso2neon::{
    context::{Cancellation, Context},
    event::NullSink,
    model::{
        DumpCheckpoint, DumpMethod, LoadCheckpoint, Plan, PushCheckpoint, TableDigest, TablePlan,
        checkpoint::{CHECKPOINT_FORMAT, LoadState, LocalServerRecord, PushedTable, TableRecord},
        identifier::quote_ident,
        push_plan::PushMode,
    },
    postgres::{PgEndpoint, Role, Session, managed::LocalChoice, table_digest},
    rules::ddl,
    secret::Secret,
    stages::verify::{self, Against, Difference, Verified, VerifyLevel, VerifyRequest, VerifyServers},
    workdir::{Workdir, modified_ns, sealed, sha256_of},
};

use crate::support::{Target, fixture::sqlite, plan_builder, process::block_on};

/// The schema on the local side, unlike the target's.
pub(super) const LOCAL_SCHEMA: &str = "loaded";

/// The schema on the target.
pub(super) const TARGET_SCHEMA: &str = "public";

/// A dump and a plan written by hand.
pub(super) struct Prepared {
    pub(super) ctx: Context,
    pub(super) dump: DumpCheckpoint,
    pub(super) plan: Plan,
    _directory: tempfile::TempDir,
}

impl Prepared {
    /// A SQLite file that a function makes, and these tables as the plan for it.
    pub(super) fn new(source: impl FnOnce(&Path), tables: Vec<TablePlan>) -> Self {
        let directory = tempfile::Builder::new().prefix("t2n-").tempdir().unwrap();
        // The managed PostgreSQL may run under another account.
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let workdir = Workdir::create(&directory.path().join("migration")).unwrap();
        for name in ["dump", "plan", "convert", "push"] {
            workdir.subdir(name).unwrap();
        }
        source(&workdir.source_db());
        let dump = store_dump(&workdir, &tables);
        let plan = store_plan(&workdir, &dump, tables);
        let ctx = Context { workdir, out: Arc::new(NullSink), stop: Cancellation::default() };
        Self { ctx, dump, plan, _directory: directory }
    }
}

/// A migration that is done, on two databases.
pub(super) struct Hops {
    pub(super) ctx: Context,
    pub(super) plan: Plan,
    pub(super) local: Target,
    pub(super) target: Target,
    _prepared: Prepared,
}

impl Hops {
    /// `source` makes the SQLite file; `inserts` fills both databases, `{s}` standing for the schema.
    pub(super) fn new(source: &str, tables: Vec<TablePlan>, inserts: &str) -> Self {
        Self::of(Prepared::new(|path| sqlite(path, source), tables), inserts)
    }

    /// As [`Self::new`], with dump and plan that are there.
    pub(super) fn of(prepared: Prepared, inserts: &str) -> Self {
        let (ctx, plan) = (prepared.ctx.clone(), prepared.plan.clone());
        let hops = Self { ctx, plan, local: Target::start(), target: Target::start(), _prepared: prepared };
        hops.fill(&hops.local, LOCAL_SCHEMA, inserts);
        hops.fill(&hops.target, TARGET_SCHEMA, inserts);
        hops.store_checkpoints();
        hops
    }

    fn fill(&self, database: &Target, schema: &str, inserts: &str) {
        let each = |make: fn(&str, &TablePlan) -> Vec<ddl::Statement>| {
            self.plan.tables.iter().flat_map(move |table| make(schema, table)).map(|statement| statement.sql)
        };
        let tables = self.plan.tables.iter().map(|table| ddl::create_table(schema, table).sql);
        let keys = [ddl::keys, ddl::indexes, ddl::checks, ddl::foreign_keys, ddl::validations, ddl::defaults];
        let sequences = self.plan.tables.iter().filter_map(|table| ddl::sequence(schema, table));
        let all: Vec<String> = [format!("CREATE SCHEMA IF NOT EXISTS {}", quote_ident(schema))]
            .into_iter()
            .chain(tables)
            .chain(ddl::create_offtype_table(schema, &self.plan))
            .chain([inserts.replace("{s}", schema)])
            .chain(keys.into_iter().flat_map(each))
            .chain(sequences.map(|statement| statement.sql))
            .collect();
        database.query(&format!("SET timezone = 'UTC'; {}", all.join(";\n")));
    }

    fn store_checkpoints(&self) {
        let dump_sha256 = self.plan.dump_sha256.clone();
        let plan_sha256 = sha256_of(&self.ctx.workdir.plan_json()).unwrap();
        let digests = |endpoint: PgEndpoint, schema: &str| -> BTreeMap<String, TableDigest> {
            block_on(async {
                let session = Session::connect(&endpoint).await.unwrap();
                let mut digests = BTreeMap::new();
                for table in &self.plan.tables {
                    let digest = table_digest::of_table(&session, schema, &table.name, &table.columns).await.unwrap();
                    digests.insert(table.source.clone(), digest);
                }
                digests
            })
        };
        let record = |(table, digest): (String, TableDigest)| {
            let (sent_digest, read_digest) = (String::new(), String::new());
            (table, TableRecord { rows: 0, sent_digest, read_digest, server_digest: Some(digest) })
        };
        let pushed = |(table, digest): (String, TableDigest)| {
            (table, PushedTable { rows: 0, server_digest: Some(digest), chunks: 1, ..PushedTable::default() })
        };
        let servers = self.servers();
        let convert = LoadCheckpoint {
            format: CHECKPOINT_FORMAT,
            tool: String::new(),
            dump_sha256,
            plan_sha256: plan_sha256.clone(),
            local: LocalServerRecord::External { address: String::new(), version: String::new() },
            state: LoadState::Done,
            tables: digests(servers.local.unwrap(), LOCAL_SCHEMA).into_iter().map(record).collect(),
            dropped: Vec::new(),
            phases_ms: BTreeMap::new(),
            started_s: 0,
            finished_s: 0,
        };
        sealed::store(&self.ctx.workdir.convert_checkpoint(), &convert).unwrap();
        let push = PushCheckpoint {
            format: CHECKPOINT_FORMAT,
            tool: String::new(),
            run_key: String::new(),
            plan_sha256,
            target: String::new(),
            schema: TARGET_SCHEMA.to_owned(),
            mode: PushMode::Create,
            plan: None,
            replaced: Vec::new(),
            previous_schema: None,
            state: LoadState::Done,
            tables: digests(servers.target.unwrap(), TARGET_SCHEMA).into_iter().map(pushed).collect(),
            dropped: Vec::new(),
            sent_bytes: 0,
            compared_bytes: 0,
            account: turso2neon::model::checkpoint::PushAccount::default(),
            restore_point: None,
            phases_ms: BTreeMap::new(),
            started_s: 0,
            finished_s: 0,
        };
        sealed::store(&self.ctx.workdir.push_checkpoint(), &push).unwrap();
    }

    /// Both databases over the private socket.
    pub(super) fn servers(&self) -> VerifyServers {
        let endpoint = |database: &Target, role| {
            PgEndpoint::socket(&database.socket_directory(), database.port(), "postgres", database.database(), role)
        };
        VerifyServers {
            local: Some(endpoint(&self.local, Role::Local)),
            target: Some(endpoint(&self.target, Role::Target)),
            local_is_as_loaded: false,
        }
    }

    /// A request for all tables.
    pub(super) fn request(&self, against: Against, level: VerifyLevel) -> VerifyRequest {
        VerifyRequest {
            against,
            level,
            tables: Vec::new(),
            target: Some(Secret::new(self.target.url())),
            schema: TARGET_SCHEMA.to_owned(),
            local: LocalChoice { url: Some(Secret::new(self.local.admin_url())), ..LocalChoice::default() },
        }
    }

    /// Verifies on the two databases.
    pub(super) fn verify(&self, against: Against, level: VerifyLevel) -> Verified {
        self.try_verify(&self.request(against, level)).unwrap()
    }

    /// As [`Self::verify`], for any request.
    pub(super) fn try_verify(&self, request: &VerifyRequest) -> turso2neon::error::Result<Verified> {
        let servers = self.servers();
        on_two_threads(Box::pin(verify::compare(&self.ctx, request, &servers)))
    }

    /// Verifies both hops, and gives the differences as lines.
    pub(super) fn lines(&self, level: VerifyLevel) -> Vec<String> {
        lines(&self.verify(Against::Both, level))
    }

    /// Runs SQL on one side, `{s}` standing for its schema.
    pub(super) fn change(&self, side: &str, sql: &str) {
        let (database, schema) =
            if side == "local" { (&self.local, LOCAL_SCHEMA) } else { (&self.target, TARGET_SCHEMA) };
        database.query(&format!("SET timezone = 'UTC'; {}", sql.replace("{s}", schema)));
    }

    /// Asserts that every level finds both hops equal.
    pub(super) fn assert_equal(&self) {
        for level in [VerifyLevel::Counts, VerifyLevel::Digest, VerifyLevel::Full] {
            let verified = self.verify(Against::Both, level);
            assert_eq!(lines(&verified), Vec::<String>::new(), "{level:?}");
            assert_eq!(verified.difference_count, 0);
            assert!(verified.tables.iter().all(|verdict| verdict.equal));
        }
    }
}

/// `side table.column [key]: what`, one line each.
pub(super) fn lines(verified: &Verified) -> Vec<String> {
    let line = |difference: &Difference| {
        let column = difference.column.as_ref().map(|name| format!(".{name}")).unwrap_or_default();
        let key = difference.key.as_ref().map(|key| format!(" [{key}]")).unwrap_or_default();
        format!("{} {}{column}{key}: {}", difference.side, difference.table, difference.what)
    };
    verified.differences.iter().map(line).collect()
}

/// Waits for a future on a runtime with two threads, as the tool has.
pub(super) fn on_two_threads<T: Send>(future: impl Future<Output = T> + Send) -> T {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    std::thread::scope(|scope| scope.spawn(|| runtime.block_on(future)).join().unwrap())
}

fn store_dump(workdir: &Workdir, tables: &[TablePlan]) -> DumpCheckpoint {
    let path = workdir.source_db();
    let facts = std::fs::metadata(&path).unwrap();
    let rows = tables.iter().map(|table| (table.source.clone(), count(&path, &table.source)));
    let dump = DumpCheckpoint {
        format: CHECKPOINT_FORMAT,
        tool: String::new(),
        engine: String::new(),
        source: String::new(),
        method: DumpMethod::File,
        left_out: Vec::new(),
        method_reason: String::new(),
        proof: Vec::new(),
        consistency_mark: None,
        encoding: "UTF-8".to_owned(),
        user_version: 0,
        application_id: 0,
        size_bytes: facts.len(),
        sha256: sha256_of(&path).unwrap(),
        content_sha256: String::new(),
        modified_ns: modified_ns(&facts),
        stamp: None,
        rows: rows.collect(),
        received_bytes: 0,
        started_s: 0,
        finished_s: 0,
    };
    sealed::store(&workdir.dump_checkpoint(), &dump).unwrap();
    dump
}

fn store_plan(workdir: &Workdir, dump: &DumpCheckpoint, mut tables: Vec<TablePlan>) -> Plan {
    for table in &mut tables {
        table.rows = dump.rows[&table.source];
    }
    let plan = Plan { dump_sha256: dump.sha256.clone(), ..plan_builder::plan(LOCAL_SCHEMA, tables) };
    sealed::store(&workdir.plan_json(), &plan).unwrap();
    plan
}

fn count(path: &Path, table: &str) -> u64 {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql = format!("SELECT count(*) FROM {}", quote_ident(table));
    let count: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
    u64::try_from(count).unwrap()
}
