//! The local PostgreSQL to the target.
//!
//! The way: look (preflight, everything that speaks against it at once) - load into a staging schema, chunk by chunk,
//! each committed with its marker - build keys, indexes and constraints - compare digests - cut over in one
//! transaction. The target keeps a record of what this tool pushed (`target_state`), by which a later push knows its
//! own tables, and an interrupted one its committed chunks.
//!
//! Decisions: a push that loses its connection begins anew from the look, in the same process as in another one: there
//! is one way to continue, and it is always in use. Only chunks are tried again on the spot, because beginning anew
//! would waste what the other workers have under way.

mod table_properties;

mod post_load;

mod grants;

mod chunk;

mod digest_check;

mod session_pool;

mod cutover;

mod dependents;

mod progress_journal;

mod enums;

mod diff;

mod lock_queue;

mod apply_diff;

mod replace_tables;

mod lock_monitor;

mod executor;

mod chunk_loader;

mod lock_acquisition;

mod manifest;

mod objects;

mod source_identity;

mod preflight;

mod copy_stream;

mod target_state;

pub mod rollback;

mod old_snapshots;

mod staging;

mod target;

mod row_undo;

mod mode_selection;

pub use lock_acquisition::PATIENCE as LOCK_WAIT;

use std::time::{Duration, Instant};

use crate::{
    context::Context,
    error::{Error, Kind, Result, ResultExt},
    event::Event,
    model::{PushCheckpoint, Stage, human_format},
    neon::Branch,
    postgres::{Parsed, PgEndpoint, Role, managed::LocalChoice},
    secret::Secret,
};

/// What of the tables is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// Everything.
    #[default]
    All,
    /// Tables, keys, indexes, views and triggers without rows, where the target has none of the tables yet.
    Schema,
    /// Rows, into tables of this structure that an earlier push created.
    Rows,
}

/// What to push and where to.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The target's connection string.
    pub target: Secret<String>,
    /// Which local PostgreSQL.
    pub local: LocalChoice,
    /// `auto`, `create`, `diff`, `swap` or `replace`.
    pub mode: String,
    /// All of it, or the schema or the rows alone.
    pub part: Part,
    /// Connections that load at once; 0 means the default.
    pub jobs: usize,
    /// The schema on the target.
    pub schema: String,
    /// Everything but writing.
    pub dry_run: bool,
    /// Keep what is replaced or changed, so that it can be put back.
    pub keep_previous: bool,
    /// Tables of the target that may be replaced although this tool didn't push them.
    pub force_tables: Vec<String>,
    /// The Neon branch that is pushed to, where it is known: a restore point is made of it, and its limit counts.
    pub neon: Option<Branch>,
    /// Forget the earlier result: push even if nothing changed.
    pub fresh: bool,
    /// How long to try to get the tables for a moment without readers.
    pub lock_wait: Duration,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Pushed {
    /// The checkpoint; none after a dry run.
    pub checkpoint: Option<PushCheckpoint>,
    /// Whether the target held this content already.
    pub unchanged: bool,
    /// What would be done, one line each, after a dry run.
    pub dry_run: Vec<String>,
}

/// Pushes what `convert` loaded.
///
/// Safe to repeat, and to interrupt at any moment: until the cutover readers of the target see what they saw before.
///
/// # Errors
/// `Artifact*` (exit 4), `Local*` (6), `Target*` (7), `TargetOccupied` and `Locked` (8), `Usage` (2).
pub async fn push(ctx: &Context, request: &PushRequest) -> Result<Pushed> {
    Box::pin(run(ctx, request)).await.in_stage(Stage::Push)
}

async fn run(ctx: &Context, request: &PushRequest) -> Result<Pushed> {
    check(request)?;
    let mut request = request.clone();
    if request.part == Part::Rows && request.mode == "auto" {
        // Never other tables in the place of those that are there.
        "diff".clone_into(&mut request.mode);
    }
    let request = &request;
    let Parsed { endpoint, notes } = PgEndpoint::parse(&request.target, Role::Target)?;
    let manifest = manifest::Manifest::load(ctx, &request.schema, request.part)?;
    if !request.fresh {
        refuse_damaged_checkpoint(ctx)?;
    }
    ctx.out.emit(&Event::StageStarted { stage: Stage::Push });
    for note in notes {
        ctx.out.info(note);
    }
    let begun = Instant::now();
    let pushed = executor::travel(ctx, request, &endpoint, &manifest).await?;
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let summary = summary(&pushed, &manifest, endpoint.address());
    ctx.out.emit(&Event::StageFinished { stage: Stage::Push, elapsed_ms, summary });
    Ok(pushed)
}

/// The target's record is the authority on what was pushed, but a checkpoint that can't be read must not be replaced
/// in silence: somebody changed it, or a newer version wrote it.
fn refuse_damaged_checkpoint(ctx: &Context) -> Result<()> {
    match ctx.workdir.load_push() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == Kind::ArtifactMissing => Ok(()),
        Err(error) => Err(error),
    }
}

fn summary(pushed: &Pushed, manifest: &manifest::Manifest, address: &str) -> String {
    let tables = manifest.cargo.len();
    match &pushed.checkpoint {
        Some(_) if pushed.unchanged => format!("nothing to do: {address} holds these {tables} tables already"),
        Some(checkpoint) => {
            let rows: u64 = checkpoint.tables.values().map(|table| table.rows).sum();
            let verb = match checkpoint.mode.as_str() {
                "swap" | "replace" => "replaced",
                "diff" => "changed",
                _ => "created",
            };
            format!("{verb} {tables} tables with {} on {address}", human_format::counted(rows, "row", "rows"))
        }
        None => format!("{tables} tables would be pushed to {address}; nothing was written"),
    }
}

/// Checks what can be checked without looking anywhere.
fn check(request: &PushRequest) -> Result<()> {
    match request.mode.as_str() {
        "auto" | "create" | "diff" | "swap" | "replace" => {}
        _ => {
            return Err(Error::new(Kind::Usage, "--mode has a value that is not known")
                .with_hint("there are auto, create, diff, swap and replace"));
        }
    }
    match (request.part, request.mode.as_str()) {
        (Part::All, _) | (Part::Schema, "auto" | "create") | (Part::Rows, "auto" | "diff" | "replace") => {}
        (Part::Schema, mode) => {
            return Err(Error::new(Kind::Usage, format!("--schema-only can't go with --mode {mode}"))
                .with_hint("it creates tables where there are none: leave --mode out"));
        }
        (Part::Rows, mode) => {
            return Err(Error::new(Kind::Usage, format!("--data-only can't go with --mode {mode}"))
                .with_hint("it changes rows of tables that are there: leave --mode out, or give diff or replace"));
        }
    }
    let schema = request.schema.as_str();
    let reserved = schema.starts_with("pg_")
        || schema == "information_schema"
        || schema.starts_with(target_state::SCHEMA)
        || schema.starts_with(staging::PREFIX);
    if schema.is_empty() || schema.len() > 63 || schema.contains('\0') {
        return Err(Error::new(Kind::Usage, "--schema needs a name of 1 to 63 bytes"));
    }
    if reserved {
        return Err(Error::new(Kind::Usage, format!("schema {schema} is reserved; --schema needs another name")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(mode: &str, schema: &str) -> PushRequest {
        PushRequest {
            target: Secret::new(String::new()),
            local: LocalChoice::default(),
            mode: mode.to_owned(),
            part: Part::All,
            jobs: 0,
            schema: schema.to_owned(),
            dry_run: false,
            keep_previous: true,
            force_tables: Vec::new(),
            neon: None,
            fresh: false,
            lock_wait: lock_acquisition::PATIENCE,
        }
    }

    #[test]
    fn modes_and_schemas_that_do_not_exist_are_refused() {
        assert!(check(&request("auto", "public")).is_ok());
        assert!(check(&request("create", "app")).is_ok());
        for (mode, schema) in [
            ("x", "public"),
            ("auto", ""),
            ("auto", "pg_catalog"),
            ("auto", "turso2neon"),
            ("auto", "turso2neon_previous"),
            ("auto", "_turso2neon_stage_1"),
        ] {
            assert_eq!(
                check(&request(mode, schema)).err().map(|error| error.kind()),
                Some(Kind::Usage),
                "{mode} {schema}"
            );
        }
    }
}
