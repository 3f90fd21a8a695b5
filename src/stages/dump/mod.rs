//! Source to `dump/source.db`: one consistent snapshot, or nothing.
//!
//! The new file is built as `dump/source.db.part` and takes its place only when it is complete, checked and on disk;
//! until then the dump before is untouched. If the content is that of the dump before (see `content_digest`), the
//! file stays the one it was, so that nothing made from it becomes stale.
//!
//! Methods: `pages` and `export` for Turso databases that lend their pages (modules of these names), `replica` for
//! servers that lend their replication log, `sql` for all servers (`sql_method`, `sql_snapshot`,
//! `file_builder`) and `file` for local files (`local_file`). `method_selection` chooses.

mod archive;

mod integrity_check;

mod server_facts;

mod content_digest;

mod billing_estimate;

mod export;

mod index_check;

mod storage_layout;

mod left_out;

mod file_mark;

mod file_method;

mod local_file;

mod other_source;

mod pages;

mod platform;

mod sql_method;

mod replica;

mod file_builder;

mod disk_space;

mod method_fallback;

mod method_selection;

mod sql_snapshot;

mod resume_state;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use self::content_digest::{DatabaseContent, DigestStep};
pub use self::{
    archive::{ArchiveSettings, archive_present},
    method_selection::Method,
    platform::{Reached, reach, unblock_writes},
};
use crate::{
    context::{Cancellation, Context},
    error::{Error, Kind, Result, ResultExt},
    event::Event,
    file_access,
    model::{
        DumpCheckpoint, Stage, checkpoint::CHECKPOINT_FORMAT, consistency_mark::ConsistencyMark,
        dump_method::DumpMethod, human_format,
    },
    secret::Secret,
    source::{endpoint::Source, http::ServerSettings, turso_api::PlatformSettings},
    workdir::{atomic, modified_ns, now_s, sealed, sha256_of, stamp},
};

/// What to dump.
#[derive(Debug, Clone)]
pub struct DumpRequest {
    /// URL of a libSQL server, or path of a local file. May hold a token.
    pub source: Secret<String>,
    /// The token, where it isn't in the URL.
    pub token: Option<Secret<String>>,
    /// How the source is read.
    pub method: Method,
    /// A CA certificate to trust besides the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// The namespace on a self-hosted server.
    pub namespace: Option<String>,
    /// Forget the earlier dump.
    pub fresh: bool,
    /// A database of the Turso platform, by name, instead of `source` and `token`.
    pub platform: Option<PlatformSettings>,
    /// Whether that database is made to take no writes first.
    pub block_writes: bool,
    /// Patterns of the names of tables that are left out.
    pub exclude: Vec<String>,
    /// Where compressed copies are kept.
    pub archive: Option<ArchiveSettings>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Dumped {
    /// The checkpoint beside the dump.
    pub checkpoint: DumpCheckpoint,
    /// Whether the content equals that of the dump before, so that later stages have nothing to do.
    pub unchanged: bool,
}

/// Makes the dump. An interrupted one leaves the previous dump untouched.
///
/// # Errors
/// `Usage` for a source, method or token that makes no sense; `Source*` kinds (exit 3); `ArtifactIo` (exit 4);
/// `OtherSource` (exit 8); `Interrupted`.
pub async fn dump(ctx: &Context, request: &DumpRequest) -> Result<Dumped> {
    Box::pin(make(ctx, request)).await.in_stage(Stage::Dump)
}

/// A complete copy in the part file, not checked yet.
struct CompleteCopy {
    source: String,
    method: DumpMethod,
    method_reason: String,
    proof: Vec<String>,
    consistency_mark: Option<ConsistencyMark>,
    received_bytes: u64,
    /// What the source has and the copy hasn't.
    left_out: Vec<left_out::LeftOut>,
    /// What a server sent row by row, to be compared with what the file holds.
    snapshot: Option<sql_method::Snapshot>,
    /// What the server says of itself at the copy's commit, where it was asked.
    server_facts: Option<server_facts::ServerFacts>,
}

async fn make(ctx: &Context, request: &DumpRequest) -> Result<Dumped> {
    let (begun, started_s) = (Instant::now(), now_s());
    let (source, token, is_mvcc) = match &request.platform {
        Some(settings) => {
            let reached = reach(ctx, settings, request.block_writes).await?;
            (Source::parse(&reached.source)?, Some(reached.token), reached.is_mvcc)
        }
        None if request.block_writes => {
            let text = "--block-writes needs a database of the Turso platform and an API token";
            return Err(Error::new(Kind::Usage, text).with_hint("give --database and --org, and set TURSO_API_TOKEN"));
        }
        None => (Source::parse(&request.source)?, request.token.clone(), false),
    };
    require_server(request.method, &source)?;
    if !request.fresh {
        other_source::refuse(ctx, &source, request.namespace.as_deref())?;
    }
    ctx.out.emit(&Event::StageStarted { stage: Stage::Dump });
    let part = local_file::beside(&ctx.workdir.subdir("dump")?.join("source.db"), ".part");
    if request.fresh {
        remove_part(&part)?;
    }
    let previous = if request.fresh { None } else { ctx.workdir.load_dump().ok() };
    let dumped = match source {
        Source::Server(endpoint) => {
            let settings = ServerSettings {
                endpoint: &endpoint,
                token: token.as_ref(),
                ca_file: request.ca_file.as_deref(),
                namespace: request.namespace.as_deref(),
                now_s: started_s,
            };
            method_fallback::from_server(ctx, &settings, (request.method, is_mvcc), (&part, &request.exclude), previous)
                .await?
        }
        Source::File(path) => {
            let made = file_method::copy(ctx, request, path, &part, previous.as_ref()).await;
            method_fallback::settle(ctx, made, &part, previous, started_s).await.map_err(|failed| failed.error)?
        }
    };
    if let Some(settings) = request.archive.clone() {
        let (ctx, checkpoint) = (ctx.clone(), dumped.checkpoint.clone());
        on_thread(move || archive::add(&ctx, &settings, &checkpoint)).await?;
    }
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    if !dumped.checkpoint.rows.keys().any(|name| !name.starts_with("sqlite_")) {
        ctx.out.warn("the source has no tables: see whether this is the database that you mean");
    }
    ctx.out.emit(&Event::StageFinished { stage: Stage::Dump, elapsed_ms, summary: summary(&dumped) });
    Ok(dumped)
}

/// Refuses a method for a file.
fn require_server(method: Method, source: &Source) -> Result<()> {
    match source {
        Source::File(_) if method != Method::Auto => {
            let what = format!("method {method} needs a server; a local file is copied as it is");
            Err(Error::new(Kind::Usage, what).with_hint("leave --method out"))
        }
        Source::File(_) | Source::Server(_) => Ok(()),
    }
}

/// Checks the copy, and makes it the dump unless its content is that of the dump already there.
fn finish(
    ctx: &Context,
    mut copy: CompleteCopy,
    part: &Path,
    previous: Option<DumpCheckpoint>,
    started_s: u64,
) -> Result<Dumped> {
    for left in copy.left_out.iter().filter(|left| !left.object.excluded) {
        let object = &left.object;
        ctx.out.warn(format!("{} {} is not part of the dump: {}", object.kind, object.name, object.reason));
    }
    let content = examine(ctx, &mut copy, part)?;
    let unchanged = previous.filter(|previous| {
        let left_out = copy.left_out.iter().map(|left| &left.object);
        previous.content_sha256 == content.sha256 && left_out.eq(&previous.left_out)
    });
    let target = ctx.workdir.source_db();
    let sha256 = if let Some(previous) = &unchanged {
        previous.sha256.clone()
    } else {
        sync(part)?;
        sha256_of(part)?
    };
    ctx.stop.check()?;
    match &unchanged {
        // The file stays, and with it the place in the log that its pages are from. A place in the log of another
        // source says nothing of this one. What was written to the file since it was read must be noticed: no new look
        // at it.
        Some(previous) => {
            let same_log = previous.source == copy.source && previous.method == copy.method;
            if copy.method != DumpMethod::File {
                copy.consistency_mark = previous.consistency_mark.clone().filter(|_| same_log);
            }
            remove_part(part)?;
        }
        None => {
            atomic::publish(part, &target)?;
            resume_state::forget(part)?;
        }
    }
    let (size_bytes, modified_ns, stamp) = match &unchanged {
        Some(previous) => (previous.size_bytes, previous.modified_ns, previous.stamp),
        None => {
            let facts = fs::metadata(&target);
            let facts = facts.map_err(|cause| Error::io(Kind::ArtifactIo, "reading", &target, &cause))?;
            (facts.len(), modified_ns(&facts), Some(stamp(&facts)))
        }
    };
    let checkpoint = DumpCheckpoint {
        format: CHECKPOINT_FORMAT,
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        engine: format!("libSQL (SQLite {})", rusqlite::version()),
        source: copy.source,
        method: copy.method,
        method_reason: copy.method_reason,
        proof: copy.proof,
        consistency_mark: copy.consistency_mark,
        encoding: content.header.encoding.clone(),
        user_version: content.header.user_version,
        application_id: content.header.application_id,
        size_bytes,
        sha256,
        content_sha256: content.sha256.clone(),
        modified_ns,
        stamp,
        left_out: copy.left_out.into_iter().map(|left| left.object).collect(),
        rows: content.rows(),
        received_bytes: copy.received_bytes,
        started_s,
        finished_s: now_s(),
    };
    sealed::store(&ctx.workdir.dump_checkpoint(), &checkpoint)?;
    Ok(Dumped { checkpoint, unchanged: unchanged.is_some() })
}

/// The dump before, which the server says is still what it holds.
fn confirm(ctx: &Context, previous: DumpCheckpoint, received_bytes: u64, started_s: u64) -> Result<Dumped> {
    let checkpoint = DumpCheckpoint {
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        received_bytes,
        started_s,
        finished_s: now_s(),
        ..previous
    };
    sealed::store(&ctx.workdir.dump_checkpoint(), &checkpoint)?;
    Ok(Dumped { checkpoint, unchanged: true })
}

/// Reads the finished file and compares it with what the server sent.
fn read_back(ctx: &Context, copy: &mut CompleteCopy, part: &Path) -> Result<DatabaseContent> {
    let Some(snapshot) = &copy.snapshot else {
        // The tables of a copy by pages are reported here; rows were reported as they came.
        let content = content_digest::read(part, &ctx.stop, &|step| report_step(ctx, &step))?;
        if let Some(facts) = &copy.server_facts {
            copy.proof.push(facts.check(&content)?);
        }
        return Ok(content);
    };
    let phase = "read-back";
    let steps = u64::try_from(snapshot.received.tables.len()).ok();
    ctx.out.emit(&Event::PhaseStarted { stage: Stage::Dump, phase, steps });
    let content = content_digest::read(part, &ctx.stop, &|step| {
        if matches!(step, DigestStep::End(..)) {
            ctx.out.emit(&Event::Stepped { stage: Stage::Dump, phase });
        }
    })?;
    let broken = |what: &str| Error::new(Kind::Bug, format!("the finished file does not match the source's {what}"));
    if content.schema != snapshot.schema {
        return Err(broken("schema"));
    }
    if content.header != snapshot.received.header {
        return Err(broken("header"));
    }
    for (held, sent) in content.tables.iter().zip(&snapshot.received.tables) {
        if held != sent {
            return Err(broken("rows")).at_table(&sent.name);
        }
    }
    if content.tables.len() != snapshot.received.tables.len() {
        return Err(broken("tables"));
    }
    copy.proof.push(format!(
        "the file was read back: its {} schema objects equal the server's, and each table's rows have the SHA-256 of \
         the rows that came",
        content.schema.len()
    ));
    Ok(content)
}

fn report_step(ctx: &Context, step: &DigestStep<'_>) {
    let stage = Stage::Dump;
    ctx.out.emit(&match *step {
        DigestStep::Begin(table) => Event::TableStarted { stage, table: table.to_owned(), rows_total: None },
        DigestStep::Rows(_, 0) => return,
        DigestStep::Rows(table, rows) => Event::Committed { stage, table: table.to_owned(), rows, bytes: 0 },
        DigestStep::End(table, rows, elapsed_ms) => {
            Event::TableFinished { stage, table: table.to_owned(), rows, elapsed_ms }
        }
    });
}

/// Reads the file back while a second thread looks for damage in it; of two errors the first one's counts, as if they
/// ran one after the other.
fn examine(ctx: &Context, copy: &mut CompleteCopy, part: &Path) -> Result<DatabaseContent> {
    let (sender, checked_tables) = mpsc::channel();
    thread::scope(|scope| {
        let on_table = move || sender.send(()).unwrap_or_default();
        let (out, begun) = (ctx.out.clone(), Instant::now());
        let working: Arc<integrity_check::Heartbeat> = Arc::new(move || {
            let elapsed_s = begun.elapsed().as_secs();
            out.info(format!("the check of tables and indexes goes on since {elapsed_s} s"));
        });
        let checking = scope.spawn(move || integrity_check::integrity(part, &ctx.stop, &on_table, &working));
        let content = read_back(ctx, copy, part)?;
        let (phase, steps) = ("check", u64::try_from(content.tables.len()).ok());
        ctx.out.emit(&Event::PhaseStarted { stage: Stage::Dump, phase, steps });
        for () in checked_tables {
            ctx.out.emit(&Event::Stepped { stage: Stage::Dump, phase });
        }
        let checked = checking.join().map_err(|_| Error::new(Kind::Bug, "the check of the file stopped"))??;
        report_damage(ctx, copy, &checked);
        Ok(content)
    })
}

fn report_damage(ctx: &Context, copy: &mut CompleteCopy, checked: &integrity_check::IntegrityReport) {
    if !checked.with_broken_rules.is_empty() {
        ctx.out.info(format!(
            "rows that break what their table declares are kept as they are, in {}",
            checked.with_broken_rules.join(", ")
        ));
    }
    if !checked.unchecked.is_empty() {
        ctx.out.info(format!(
            "not checked for damage, for lack of a function that they name: {}",
            checked.unchecked.join(", ")
        ));
    }
    let kept = checked.with_broken_rules.len();
    let mut line = if checked.small {
        format!("SQLite's integrity_check found no damage in {} tables and their indexes", checked.sound + kept)
    } else {
        format!(
            "SQLite's quick_check found no damage in {} tables, and each index holds what its table holds",
            checked.sound + kept
        )
    };
    if !checked.without_indexes.is_empty() {
        let names = checked.without_indexes.join(", ");
        ctx.out
            .detail(format!("indexes that this check leaves out (foreign, partial, of expressions): those of {names}"));
        line.push_str(&format!(
            "; some indexes of {} were left out",
            human_format::counted(checked.without_indexes.len() as u64, "table", "tables")
        ));
    }
    if !checked.unchecked.is_empty() {
        line.push_str(&format!("; {} could not be checked", checked.unchecked.len()));
    }
    copy.proof.push(line);
}

fn summary(dumped: &Dumped) -> String {
    let checkpoint = &dumped.checkpoint;
    let rows: u64 = checkpoint.rows.values().sum();
    let tables = u64::try_from(checkpoint.rows.len()).unwrap_or(u64::MAX);
    let held =
        format!("{}, {}", human_format::tables_and_rows(tables, rows), human_format::bytes(checkpoint.size_bytes));
    let received = human_format::bytes(checkpoint.received_bytes);
    let news = if dumped.unchanged { "nothing has changed since the dump before: " } else { "" };
    format!("{news}{held}; {received} received")
}

/// Removes an unfinished file and what the engine may have put beside it.
fn remove_part(part: &Path) -> Result<()> {
    resume_state::forget(part)?;
    for ending in ["", "-wal", "-shm", "-journal"] {
        let path = local_file::beside(part, ending);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(Error::io(Kind::ArtifactIo, "removing", &path, &cause)),
        }
    }
    Ok(())
}

fn sync(path: &Path) -> Result<()> {
    file_access::read(path)
        .and_then(|file| file.sync_all())
        .map_err(|cause| Error::io(Kind::ArtifactIo, "syncing", path, &cause))
}

/// How long work is waited for when the user has asked to stop.
const ABANDONED_AFTER: Duration = Duration::from_secs(3);

/// As [`on_thread`], but leaves the work behind if it doesn't end soon after a cancellation request: one SQL function
/// can run for hours without a look at it.
async fn on_thread_until_stopped<T: Send + 'static>(
    stop: &Cancellation,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::select! {
        done = on_thread(work) => done,
        () = async { stop.requested().await; tokio::time::sleep(ABANDONED_AFTER).await } => {
            stop.check()?;
            Err(Error::new(Kind::Interrupted, "stopped on request"))
        }
    }
}

/// Runs blocking work on a thread of its own.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Error::new(Kind::Bug, "a thread of the dump stopped")))
}
