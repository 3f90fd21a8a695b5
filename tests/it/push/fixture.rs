//! A local PostgreSQL filled by hand, with the plan and the checkpoint that `convert` would have left.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use turso2neon::{
    context::{Cancellation, Context},
    error::Error,
    event::{Event, Sink},
    model::{
        ColumnPlan, Conversion, LoadCheckpoint, PgType, Plan, TableDigest, TablePlan,
        checkpoint::{CHECKPOINT_FORMAT, LoadState, LocalServerRecord, TableRecord},
        conversion_plan::{BlobText, CheckPlan, ForeignKeyPlan, IdentityPlan, IndexPlan, KeyPlan, OFFTYPE_TABLE},
        drift::DriftPolicy,
        identifier::qualified,
        push_plan::RequestedMode,
        structure_change::TypeChangePolicy,
    },
    postgres::{managed::LocalChoice, table_digest},
    rules::ddl,
    secret::Secret,
    stages::push::{LOCK_WAIT, PushRequest, Pushed, push},
    workdir::{Workdir, sealed, sha256_of},
};

use crate::support::{Target, plan_builder};

/// Everything that was narrated.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// All notes and reasons of retries.
    pub(super) fn texts(&self) -> Vec<String> {
        let text = |event: &Event| match event {
            Event::Note { text, .. } => Some(text.clone()),
            Event::Retrying { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        self.0.lock().unwrap().iter().filter_map(text).collect()
    }

    /// How often something was tried again.
    pub(super) fn retries(&self) -> usize {
        self.0.lock().unwrap().iter().filter(|event| matches!(event, Event::Retrying { .. })).count()
    }

    /// Rows and bytes reported as committed, per table.
    pub(super) fn committed(&self) -> BTreeMap<String, (u64, u64)> {
        let mut sums = BTreeMap::new();
        for event in self.0.lock().unwrap().iter() {
            if let Event::Committed { table, rows, bytes, .. } = event {
                let sum: &mut (u64, u64) = sums.entry(table.clone()).or_default();
                *sum = (sum.0 + rows, sum.1 + bytes);
            }
        }
        sums
    }
}

impl Sink for Recorder {
    fn emit(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

/// The local PostgreSQL and the working directory.
pub(super) struct LocalFixture {
    pub(super) server: Target,
    pub(super) plan: Plan,
    directory: tempfile::TempDir,
    generation: u64,
}

impl LocalFixture {
    /// Creates the plan's tables and fills them with these statements.
    pub(super) fn new(plan: Plan, fill: &str) -> Self {
        let server = Target::start();
        server.query("CREATE SCHEMA shop");
        let mut fixture = Self { server, plan, directory: tempfile::tempdir().unwrap(), generation: 0 };
        fixture.refill(fill);
        fixture
    }

    /// Drops the tables and fills them anew.
    pub(super) fn refill(&mut self, fill: &str) {
        let plan = &self.plan;
        let mut sql = vec!["DROP SCHEMA shop CASCADE; CREATE SCHEMA shop".to_owned()];
        sql.extend(plan.tables.iter().map(|table| ddl::create_table("shop", table).sql));
        sql.extend(ddl::create_offtype_table("shop", plan));
        sql.push(format!("SET search_path = shop; {fill}"));
        // The catalogs are not read by what is tested, and vacuuming them takes longer than the tables do.
        let tables: Vec<String> = plan.tables.iter().map(|table| qualified("shop", &table.name)).collect();
        sql.push(format!("VACUUM ANALYZE {}", tables.join(", ")));
        for statement in sql {
            self.server.query(&statement);
        }
        self.seal();
    }

    /// Runs statements with the tables in reach and writes the artifacts again.
    pub(super) fn change(&mut self, sql: &str) {
        self.server.query(&format!("SET search_path = shop; {sql}"));
        self.seal();
    }

    fn seal(&mut self) {
        self.generation += 1;
        let workdir = Workdir::create(self.directory.path()).unwrap();
        for directory in ["plan", "convert"] {
            workdir.subdir(directory).unwrap();
        }
        sealed::store(&workdir.plan_json(), &self.plan).unwrap();
        let mut tables = BTreeMap::new();
        for table in &self.plan.tables {
            let settings = "SET extra_float_digits = 1; SET datestyle = 'ISO,YMD'; SET timezone = 'UTC'";
            let query = table_digest::query("shop", &table.name, &table.columns);
            let digest: TableDigest = self.server.value(&format!("{settings}; {query}")).parse().unwrap();
            let (sent_digest, read_digest) = (String::new(), String::new());
            let record = TableRecord { rows: digest.rows, sent_digest, read_digest, server_digest: Some(digest) };
            tables.insert(table.source.clone(), record);
        }
        let checkpoint = LoadCheckpoint {
            format: CHECKPOINT_FORMAT,
            tool: "test".to_owned(),
            dump_sha256: self.plan.dump_sha256.clone(),
            plan_sha256: sha256_of(&workdir.plan_json()).unwrap(),
            local: LocalServerRecord::External {
                address: format!("socket:{}/{}", self.server.port(), self.server.database()),
                version: "15".to_owned(),
            },
            state: LoadState::Done,
            tables,
            dropped: Vec::new(),
            phases_ms: BTreeMap::new(),
            started_s: self.generation,
            finished_s: self.generation,
        };
        sealed::store(&workdir.convert_checkpoint(), &checkpoint).unwrap();
    }

    pub(super) fn workdir(&self) -> Workdir {
        Workdir::open(self.directory.path()).unwrap()
    }

    /// A context and the recorder that listens to it.
    pub(super) fn context(&self) -> (Context, Arc<Recorder>) {
        let recorder = Arc::new(Recorder::default());
        let ctx = Context {
            workdir: self.workdir(),
            out: Arc::clone(&recorder) as Arc<dyn Sink>,
            stop: Cancellation::default(),
        };
        (ctx, recorder)
    }

    /// A push to this URL.
    pub(super) fn request(&self, url: &str) -> PushRequest {
        PushRequest {
            target: Secret::new(url.to_owned()),
            local: LocalChoice { url: Some(Secret::new(self.server.admin_url())), ..LocalChoice::default() },
            mode: RequestedMode::Auto,
            on_drift: DriftPolicy::default(),
            // Whether a change of the structure is made is tested in `decisions`; here, how it is made.
            on_type_change: TypeChangePolicy::Follow,
            part: turso2neon::stages::push::PushPart::All,
            jobs: 0,
            schema: "public".to_owned(),
            dry_run: false,
            keep_previous: true,
            force_tables: Vec::new(),
            neon: None,
            fresh: false,
            lock_wait: LOCK_WAIT,
        }
    }

    /// Pushes and waits.
    pub(super) fn push(&self, url: &str) -> (Result<Pushed, Error>, Arc<Recorder>) {
        let (ctx, recorder) = self.context();
        (run(&ctx, &self.request(url)), recorder)
    }

    /// The same in another mode.
    pub(super) fn push_in(&self, mode: &str, url: &str) -> (Result<Pushed, Error>, Arc<Recorder>) {
        let (ctx, recorder) = self.context();
        let request = PushRequest { mode: requested(mode), ..self.request(url) };
        (run(&ctx, &request), recorder)
    }

    /// The same over what others changed on the target.
    pub(super) fn push_over(&self, mode: &str, url: &str) -> (Result<Pushed, Error>, Arc<Recorder>) {
        let (ctx, recorder) = self.context();
        let request = PushRequest { mode: requested(mode), on_drift: DriftPolicy::Overwrite, ..self.request(url) };
        (run(&ctx, &request), recorder)
    }

    /// The digest of a table here and there; stops the test if they differ.
    pub(super) fn assert_equal(&self, target: &Target, schema: &str) {
        for table in &self.plan.tables {
            let here = self.server.value(&table_digest::query("shop", &table.name, &table.columns));
            let there = target.value(&table_digest::query(schema, &table.name, &table.columns));
            assert_eq!(here, there, "{}", table.name);
        }
        if self.plan.has_offtype_cells() {
            let count = |server: &Target, schema: &str| {
                server.value(&format!(
                    "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {} t",
                    qualified(schema, OFFTYPE_TABLE)
                ))
            };
            assert_eq!(count(&self.server, "shop"), count(target, schema), "the off-type table");
        }
    }
}

/// The mode that `--mode` calls so.
pub(super) fn requested(mode: &str) -> RequestedMode {
    serde_json::from_value(mode.into()).unwrap()
}

/// Pushes on a runtime of its own.
pub(super) fn run(ctx: &Context, request: &PushRequest) -> Result<Pushed, Error> {
    runtime().block_on(push(ctx, request))
}

pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The owner's URL by a name that only the certificate knows, so that everything is as with a remote host.
pub(super) fn remote_url(target: &Target) -> String {
    remote_url_at(target, target.port())
}

/// The same through another port.
pub(super) fn remote_url_at(target: &Target, port: u16) -> String {
    format!(
        "postgresql://{}:{}@ep-test-1234.neon.local:{port}/{}?hostaddr=127.0.0.1&sslrootcert={}",
        crate::support::target::OWNER,
        crate::support::target::PASSWORD,
        target.database(),
        target.ca_file().display()
    )
}

pub(super) fn column(name: &str, pg_type: PgType) -> ColumnPlan {
    ColumnPlan { pg_type, ..plan_builder::column(name, "text", Conversion::Text { blobs: BlobText::Hex }) }
}

pub(super) fn table(name: &str, columns: Vec<ColumnPlan>) -> TablePlan {
    TablePlan {
        source: name.to_uppercase(),
        primary_key: Some(KeyPlan { name: format!("{name}_pkey"), columns: vec!["id".to_owned()] }),
        ..plan_builder::table(name, columns)
    }
}

pub(super) fn plan(tables: Vec<TablePlan>) -> Plan {
    Plan { dump_sha256: "d".repeat(64), ..plan_builder::plan("shop", tables) }
}

/// Customers and orders with a key between them, every kind of constraint, an off-type table, and an empty table.
pub(super) fn shop_plan() -> Plan {
    let mut customers = table(
        "customers",
        vec![
            column("id", PgType::BigInt),
            column("email", PgType::Text),
            column("version", PgType::Integer),
            column("score", PgType::Double),
            column("joined", PgType::TimestampTz),
            column("raw", PgType::Bytea),
            column("doc", PgType::Jsonb),
            column("twice", PgType::Integer),
        ],
    );
    customers.columns[1].not_null = true;
    customers.columns[1].records_off_type = true;
    customers.columns[2].default = Some("7".to_owned());
    customers.columns[7].generated = Some("version * 2".to_owned());
    customers.uniques = vec![KeyPlan { name: "customers_email_key".to_owned(), columns: vec!["email".to_owned()] }];
    customers.identity = Some(IdentityPlan {
        column: "id".to_owned(),
        sequence: "customers_id_seq".to_owned(),
        next: Some(5000),
        kind: turso2neon::model::conversion_plan::IdentityKind::ByDefault,
    });
    let mut orders = table(
        "orders",
        vec![
            column("id", PgType::BigInt),
            column("customer", PgType::BigInt),
            column("version", PgType::Integer),
            column("amount", PgType::Numeric(Some((12, 2)))),
        ],
    );
    orders.indexes = vec![IndexPlan {
        name: "orders_customer".to_owned(),
        source: "orders_customer".to_owned(),
        unique: false,
        method: "btree".to_owned(),
        keys: vec!["\"customer\"".to_owned()],
        predicate: None,
    }];
    orders.checks =
        vec![CheckPlan { name: "orders_amount".to_owned(), expression: "amount >= 0".to_owned(), not_valid: false }];
    orders.foreign_keys = vec![ForeignKeyPlan {
        name: "orders_customer_fkey".to_owned(),
        columns: vec!["customer".to_owned()],
        parent: "customers".to_owned(),
        parent_columns: vec!["id".to_owned()],
        on_update: String::new(),
        on_delete: "CASCADE".to_owned(),
        deferred: false,
        not_valid: false,
    }];
    let mut empty = table("empty", vec![column("id", PgType::BigInt)]);
    empty.primary_key = None;
    plan(vec![customers, orders, empty])
}

/// Rows for [`shop_plan`], all of this version.
pub(super) fn shop_rows(version: u32) -> String {
    format!(
        "INSERT INTO customers SELECT i, 'c' || i || '@example.com', {version}, i * 0.1, \
           to_timestamp(i), decode(md5(i::text), 'hex'), jsonb_build_object('i', i) FROM generate_series(1, 2000) i; \
         INSERT INTO orders SELECT i, i % 2000 + 1, {version}, i * 0.01 FROM generate_series(1, 20000) i; \
         INSERT INTO _sqlite_offtype VALUES ('customers', 'email', '3', 'blob', '\\x6333')"
    )
}

/// One table of several chunks.
pub(super) fn wide_plan() -> Plan {
    plan(vec![table(
        "wide",
        vec![column("id", PgType::BigInt), column("version", PgType::Integer), column("body", PgType::Text)],
    )])
}

/// Rows for [`wide_plan`]: about 8 KB in ten rows.
pub(super) fn wide_rows(rows: u32, version: u32) -> String {
    format!("INSERT INTO wide SELECT i, {version}, repeat(md5(i::text), 22) FROM generate_series(1, {rows}) i")
}
