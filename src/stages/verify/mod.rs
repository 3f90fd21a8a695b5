//! Compares dump, local PostgreSQL and target, independent of the code that loads.
//!
//! Owns: its own reading of every `Conversion`, its own decoder of PostgreSQL's binary values, and the comparison of
//! schemas. Never writes: dump and servers are only read, and the answer is kept by the caller.
//! Invariant: nothing of the loader (`stages::convert`, `postgres::copy`, `rules::datetime`, `rules::decimal`) is used
//! here, so that a mistake there is found here. Differences name tables, columns and rows by their place, never values.

mod inputs;

mod schema;

mod schema_notes;

mod catalog;

mod index_keys;

mod expressions;

mod objects;

mod comparison;

mod workers;

mod counts_digests;

mod full;

mod existing_catalog;

mod existing_schema;

mod offtype;

mod rejects;

mod row_digests;

mod dump_scan;

mod printed_text;

mod printed_value;

mod server_hash;

mod stored_text;

mod guid;

mod expected_value;

mod datetime;

mod decimal;

mod json;

mod vector;

mod server_scan;

mod decode_server;

mod canonical_row;

mod bucket_hash;

mod row_diff;

mod progress;

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use clap::ValueEnum;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use self::{
    comparison::{NAMED_MAX, ServerSide, Task, joined},
    inputs::VerifyInputs,
    progress::{FailOnDrop, ScanControl},
    schema::{SchemaAnswer, SideCatalog},
};
use crate::{
    context::Context,
    error::{Error, Kind, Result, ResultExt},
    event::Event,
    model::{
        Plan, Stage, TablePlan,
        catalog::{Catalog, CatalogObject, ObjectKind},
        human_format,
        identifier::qualified,
    },
    postgres::{
        self, PgEndpoint, Role, Session,
        managed::{LocalChoice, LocalServer},
    },
    secret::Secret,
    workdir::sha256_of_bytes,
};

/// Tables whose expressions one session is asked about without waiting for its answers.
const TABLES_AT_ONCE: usize = 16;

/// Which hop to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    /// Dump against local PostgreSQL
    Local,
    /// Local PostgreSQL (or the dump, at level full) against target
    Target,
    /// Both
    Both,
}

words! {
    /// How deep to look.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
    #[serde(rename_all = "lowercase")]
    pub enum VerifyLevel: word {
        /// The number of rows of each table
        Counts = "counts",
        /// A digest of each table, computed by the servers
        Digest = "digest",
        /// Every value, against the dump
        Full = "full",
    }
}

/// What to verify.
#[derive(Debug, Clone)]
pub struct VerifyRequest {
    /// Which hop.
    pub against: Against,
    /// How deep.
    pub level: VerifyLevel,
    /// Source tables to look at; empty means all.
    pub tables: Vec<String>,
    /// The target's connection string, unless only the local hop is checked.
    pub target: Option<Secret<String>>,
    /// The schema on the target.
    pub schema: String,
    /// Which local PostgreSQL.
    pub local: LocalChoice,
}

impl VerifyRequest {
    /// `host:port/database` of the target, if it takes part.
    ///
    /// # Errors
    /// `Usage` for a connection string that can't be read.
    pub fn target_address(&self) -> Result<Option<String>> {
        let Some(url) = self.target.as_ref().filter(|_| inputs::needs_target(self)) else { return Ok(None) };
        Ok(Some(PgEndpoint::parse(url, Role::Target)?.endpoint.address().to_owned()))
    }
}

/// One difference. Names places, never values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// `local` or `target`.
    pub side: String,
    /// The source table.
    pub table: String,
    /// The source column, where one differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The row's key (names of key columns and the row's position or integer key), where one row differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What differs, such as `value differs`, `row missing`, `row added`, `count differs: 5, expected 6`.
    pub what: String,
}

impl Difference {
    fn new(role: Role, table: &str, what: impl Into<String>) -> Self {
        Self { side: role.word().to_owned(), table: table.to_owned(), column: None, key: None, what: what.into() }
    }
}

/// One table's verdict on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableVerdict {
    /// `local` or `target`.
    pub side: String,
    /// The source table.
    pub table: String,
    /// Rows compared.
    pub rows: u64,
    /// Whether everything looked at is equal.
    pub equal: bool,
}

/// The whole answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// How deep it looked.
    pub level: VerifyLevel,
    /// Per table and side.
    pub tables: Vec<TableVerdict>,
    /// Every difference found, at most 1000 named.
    pub differences: Vec<Difference>,
    /// Differences in all, named or not.
    pub difference_count: u64,
}

/// The servers that take part, ready for connections.
#[derive(Clone, Default)]
pub struct VerifyServers {
    /// The local PostgreSQL.
    pub local: Option<PgEndpoint>,
    /// The target.
    pub target: Option<PgEndpoint>,
    /// Whether nothing was written to the local PostgreSQL since this run has loaded it and compared its tables by the
    /// digests in the load's checkpoint.
    pub local_is_as_loaded: bool,
}

/// Compares. Differences are an answer, not an error. Starts the local PostgreSQL if it takes part and stops it again.
/// Safe to drop and repeat.
///
/// # Errors
/// Those that keep it from comparing: `Artifact*`, `Local*`, `Target*`; `Usage` without a target's URL or for a table
/// that isn't planned.
pub async fn verify(ctx: &Context, request: &VerifyRequest) -> Result<Verified> {
    let scope = VerifyInputs::load(&ctx.workdir, request).in_stage(Stage::Verify)?;
    let target = if inputs::needs_target(request) { Some(target_endpoint(ctx, request)?) } else { None };
    let Some(convert) = &scope.convert else {
        let servers = VerifyServers { target, ..VerifyServers::default() };
        return Box::pin(compare(ctx, request, &servers)).await;
    };
    let server = LocalServer::open_loaded(ctx, &request.local, &convert.local).await.in_stage(Stage::Verify)?;
    let answer = async {
        let local_is_as_loaded = server.is_as_loaded().await.in_stage(Stage::Verify)?;
        let servers = VerifyServers { local: Some(server.endpoint().clone()), target, local_is_as_loaded };
        Box::pin(compare(ctx, request, &servers)).await
    };
    let answer = answer.await;
    let closed = server.close().await.in_stage(Stage::Verify);
    answer.and_then(|answer| closed.map(|()| answer))
}

/// Compares on servers that are open already.
///
/// # Errors
/// As [`verify`]; `Bug` if a server that the request needs isn't given.
pub async fn compare(ctx: &Context, request: &VerifyRequest, servers: &VerifyServers) -> Result<Verified> {
    let started = Instant::now();
    ctx.out.emit(&Event::StageStarted { stage: Stage::Verify });
    let verified = Box::pin(compared(ctx, request, servers)).await.in_stage(Stage::Verify)?;
    let elapsed_ms = workers::milliseconds(started);
    ctx.out.emit(&Event::StageFinished { stage: Stage::Verify, elapsed_ms, summary: summary(&verified) });
    Ok(verified)
}

async fn compared(ctx: &Context, request: &VerifyRequest, servers: &VerifyServers) -> Result<Verified> {
    let scope = VerifyInputs::load(&ctx.workdir, request)?;
    let watch = ScanControl::new(ctx);
    let _end_scans = FailOnDrop(watch.clone());
    let proof = (request.level == VerifyLevel::Digest).then(|| prove_dump(ctx, &scope));
    let offtype_tables =
        Arc::new(scope.tables.iter().filter(|table| table.has_offtype_cells()).cloned().collect::<Vec<_>>());
    let sides = open_sides(ctx, request, servers, &scope, !offtype_tables.is_empty()).await?;
    let local_is_as_loaded = servers.local_is_as_loaded && request.level == VerifyLevel::Full;
    if local_is_as_loaded && scope.convert.is_some() {
        ctx.out.info(
            "verify: nothing was written to the local PostgreSQL since convert has compared its tables: the dump is compared \
             with the digests that the server computed then",
        );
    }
    let level = request.level;
    let task = Task { ctx: ctx.clone(), watch, scope, level, sides, offtype_tables, local_is_as_loaded };
    let task = Arc::new(task);
    let answers = workers::all(&task).await?;
    if let Some(proof) = proof {
        joined(proof).await?;
    }
    let (tables, mut differences, mut difference_count) = workers::verdicts(&task, &answers);
    if request.tables.is_empty() {
        let objects = objects::compare(&task).await?;
        difference_count += u64::try_from(objects.len()).unwrap_or(u64::MAX);
        differences.extend(objects);
        differences.truncate(NAMED_MAX);
    }
    if request.level == VerifyLevel::Full && difference_count > 0 {
        // A dump that changed on disk must not be reported as a difference of PostgreSQL.
        joined(prove_dump(ctx, &task.scope)).await?;
    }
    Ok(Verified { level: request.level, tables, differences, difference_count })
}

/// A text that is the same as long as the target's schema has the same objects: tables with their columns, keys and next
/// numbers, views, triggers, functions.
///
/// # Errors
/// `Artifact*`, `Target*`.
pub async fn target_mark(ctx: &Context, request: &VerifyRequest) -> Result<String> {
    let request = VerifyRequest { against: Against::Target, level: VerifyLevel::Counts, ..request.clone() };
    let scope = VerifyInputs::load(&ctx.workdir, &request).in_stage(Stage::Verify)?;
    let endpoint = target_endpoint(ctx, &request)?;
    let reading = async {
        let session = Box::pin(Session::connect_with_retry(ctx, Stage::Verify, &endpoint)).await?;
        let tables = SideCatalog::read(&session, &request.schema, &scope.tables).await?;
        let mut objects = catalog_of(&session, &request.schema).await?.objects;
        objects.retain(|object| object.name.schema == request.schema);
        let numbers = next_numbers(&session, &objects).await?;
        let text = format!("{} {:?} {objects:?} {numbers:?}", tables.version, tables.tables);
        Ok::<_, Error>(sha256_of_bytes(text.as_bytes()))
    };
    reading.await.in_stage(Stage::Verify)
}

/// Where the sequences among these objects stand.
async fn next_numbers(session: &Session, objects: &[CatalogObject]) -> Result<Vec<(String, i64, bool)>> {
    let mut numbers = Vec::new();
    for object in objects.iter().filter(|object| object.name.kind == ObjectKind::Sequence) {
        let name = qualified(&object.name.schema, &object.name.name);
        let sql = format!("SELECT last_value, is_called FROM {name}");
        let row = session.query_row("reading a sequence", &sql, &[]).await?;
        numbers.push((name, row.get(0)?, row.get(1)?));
    }
    Ok(numbers)
}

async fn catalog_of(session: &Session, schema: &str) -> Result<Catalog> {
    session.batch("reading the catalog", "BEGIN TRANSACTION READ ONLY").await?;
    let found = postgres::catalog::read(session, Some(schema)).await?;
    session.batch("reading the catalog", "ROLLBACK").await?;
    Ok(found)
}

fn prove_dump(ctx: &Context, scope: &VerifyInputs) -> tokio::task::JoinHandle<Result<()>> {
    let (workdir, sha256) = (ctx.workdir.clone(), scope.dump.sha256.clone());
    tokio::task::spawn_blocking(move || inputs::prove_dump(&workdir, &sha256))
}

fn target_endpoint(ctx: &Context, request: &VerifyRequest) -> Result<PgEndpoint> {
    let url = request.target.as_ref().ok_or_else(|| {
        Error::new(Kind::Usage, "the target's connection string is missing")
            .with_hint("set NEON_DATABASE_URL, give --target, or verify --against local")
            .in_stage(Stage::Verify)
    })?;
    let parsed = PgEndpoint::parse(url, Role::Target).in_stage(Stage::Verify)?;
    for note in parsed.notes {
        ctx.out.info(note);
    }
    Ok(parsed.endpoint)
}

/// Connects to each side that takes part and compares its schema.
async fn open_sides(
    ctx: &Context,
    request: &VerifyRequest,
    servers: &VerifyServers,
    scope: &VerifyInputs,
    offtype: bool,
) -> Result<Vec<ServerSide>> {
    let mut tables = scope.tables.clone();
    tables.extend(offtype.then(crate::model::offtype::plan));
    let mut sides = Vec::new();
    let mut local: Option<(SideCatalog, BTreeMap<String, SchemaAnswer>)> = None;
    if request.against != Against::Target {
        let endpoint = needed(servers.local.as_ref())?;
        let (catalog, schemas) = side_schemas(ctx, endpoint, &scope.plan.schema, &tables, &scope.plan).await?;
        sides.push(ServerSide {
            endpoint: endpoint.clone(),
            schema: scope.plan.schema.clone(),
            schemas: schemas.clone(),
        });
        local = Some((catalog, schemas));
    }
    if inputs::needs_target(request) {
        let endpoint = needed(servers.target.as_ref())?;
        let (catalog, mut schemas) = side_schemas(ctx, endpoint, &request.schema, &tables, &scope.plan).await?;
        if !tables.is_empty() && schemas.values().all(|answer| !answer.present) {
            nothing_there(request, scope)?;
        }
        if let Some((local, of_local)) = local.as_ref().filter(|_| scope.plan.existing_schema.is_none()) {
            like_local(&tables, (local, of_local), &catalog, &mut schemas);
        }
        sides.push(ServerSide { endpoint: endpoint.clone(), schema: request.schema.clone(), schemas });
    }
    Ok(sides)
}

/// An error if that none of the tables is on the target has a plain reason.
fn nothing_there(request: &VerifyRequest, scope: &VerifyInputs) -> Result<()> {
    match &scope.push {
        None => {
            let error = Error::new(Kind::ArtifactMissing, "the target has none of the tables, and nothing was pushed");
            Err(error.with_hint("run `turso2neon push` first, or name the schema with --schema"))
        }
        Some(push) if push.schema != request.schema => {
            let what =
                format!("schema {} has none of the tables; the last push went to {}", request.schema, push.schema);
            Err(Error::new(Kind::Usage, what).with_hint(format!("give --schema {}", push.schema)))
        }
        Some(_) => Ok(()),
    }
}

fn needed(endpoint: Option<&PgEndpoint>) -> Result<&PgEndpoint> {
    endpoint.ok_or_else(|| Error::new(Kind::Bug, "a server that takes part was not opened"))
}

async fn side_schemas(
    ctx: &Context,
    endpoint: &PgEndpoint,
    schema: &str,
    tables: &[TablePlan],
    plan: &Plan,
) -> Result<(SideCatalog, BTreeMap<String, SchemaAnswer>)> {
    let session = Box::pin(Session::connect_with_retry(ctx, Stage::Verify, endpoint)).await?;
    let catalog = SideCatalog::read(&session, schema, tables).await?;
    if let Some(existing) = &plan.existing_schema {
        let answers = existing_catalog::against_plan(&session, schema, plan, existing, tables).await?;
        return Ok((catalog, answers));
    }
    let compare = async |table: &TablePlan| {
        let found = catalog.tables.get(&table.name);
        let answer = schema::against_plan(&session, schema, table, found).await.at_table(&table.source)?;
        Ok::<_, Error>((table.source.clone(), answer))
    };
    // Many at once, because the target may be far away.
    let answers = stream::iter(tables.iter().map(compare)).buffered(TABLES_AT_ONCE).try_collect().await?;
    Ok((catalog, answers))
}

/// Compares the catalogs of tables in which both sides agree with the plan. Other versions of PostgreSQL may print the
/// same expression in other words.
fn like_local(
    tables: &[TablePlan],
    (local, of_local): (&SideCatalog, &BTreeMap<String, SchemaAnswer>),
    target: &SideCatalog,
    of_target: &mut BTreeMap<String, SchemaAnswer>,
) {
    let same_version = local.version == target.version;
    for table in tables {
        let agrees = |answer: &SchemaAnswer| answer.differences.is_empty();
        let clean = of_local.get(&table.source).is_some_and(agrees);
        let answer = of_target.get_mut(&table.source).filter(|answer| clean && agrees(answer));
        let (one, two) = (local.tables.get(&table.name), target.tables.get(&table.name));
        if let (Some(answer), Some(one), Some(two)) = (answer, one, two) {
            answer.differences = schema::against_local(table, one, two, same_version);
        }
    }
}

fn summary(verified: &Verified) -> String {
    let rows: u64 = verified.tables.iter().map(|verdict| verdict.rows).sum();
    let unequal = verified.tables.iter().filter(|verdict| !verdict.equal).count();
    let tables = human_format::counted(verified.tables.len() as u64, "comparison of tables", "comparisons of tables");
    let checked = format!("{tables}, {}", human_format::counted(rows, "row", "rows"));
    let differences = |count| human_format::counted(count, "difference", "differences");
    match verified.difference_count {
        0 => format!("{checked}: no difference"),
        count if verified.differences.len() == NAMED_MAX => {
            format!("{checked}: {} or more in {unequal} of them", differences(count))
        }
        count => format!("{checked}: {} in {unequal} of them", differences(count)),
    }
}
