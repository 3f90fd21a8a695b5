//! What this tool knows on the target itself: which tables it pushed, which chunks are committed, which runs there
//! were. Kept in a schema of its own, so that another machine's DIR can go on with the same target.
//!
//! Invariant: a table is known by its OID, never by its name. A chunk's row commits with the chunk's data.

use crate::{
    error::{Error, Kind, Result},
    model::{
        TableDigest,
        identifier::{qualified, quote_literal},
        push_plan::PushMode,
    },
    postgres::{Session, session::Row},
    stages::push::target::{
        objects::{self, PushedObject},
        schema_owner,
        session::{changed_rows_schema, previous_schema},
        table_properties::PARTS,
        table_state::{RecordState, Recorded, Transition},
    },
};

pub(crate) use super::live_record::{LiveTableRecord, digest_columns, enter, forget_live, live};

/// The schema of the record.
pub(crate) const SCHEMA: &str = "turso2neon";

/// The comment that marks the record's schema. The number rises with its format.
const MARK: &str = "turso2neon record, format ";
const FORMAT: u32 = 1;
/// How many finished runs the record keeps per schema.
const RUNS_KEPT: u32 = 100;

/// The statements that create the record, without the end of their transaction.
const CREATE: &str = include_str!("record.sql");
/// The statements that drop the record if it is empty.
const DROP_EMPTY: &str = include_str!("drop_empty_record.sql");

/// A table that a push brought.
#[derive(Debug, Clone)]
pub(crate) struct PushedTableRecord {
    /// Its name.
    pub name: String,
    /// SQLite's name.
    pub source: String,
    /// Its OID.
    pub oid: u32,
    /// Which run pushed it.
    pub run_id: i64,
    /// What that run pushed.
    pub run_key: String,
    /// Rows pushed.
    pub rows: u64,
    /// The server-side digest when it was pushed; none if an earlier version recorded another kind of digest.
    pub digest: Option<TableDigest>,
    /// Chunks it was sent in.
    pub chunks: u32,
    /// What has been added to it since.
    pub added: Vec<String>,
    /// What has been taken from it since.
    pub lost: Vec<String>,
    /// Digest of its structure when it was pushed.
    pub fingerprint: String,
    /// It belongs to another role now.
    pub foreign_owner: Option<String>,
    /// The application made it, and pushes only change its rows.
    pub is_adopted: bool,
    /// Its rows are in partitions.
    pub is_partitioned: bool,
}

impl PushedTableRecord {
    /// Whether a push brought it, rather than that one was allowed to replace it.
    pub(crate) fn is_pushed(&self) -> bool {
        self.run_id != 0
    }
}

/// A run that didn't come to its end.
#[derive(Debug, Clone)]
pub(crate) struct UnfinishedRun {
    /// Its number.
    pub run_id: i64,
    /// What it was to push.
    pub run_key: String,
    /// `create`, `diff`, `swap`, `replace` or `rollback`.
    pub mode: String,
    /// How it cut the tables into chunks.
    pub layout: String,
    /// Where it loads.
    pub staging: String,
    /// Whether it may be continued: it was interrupted, not given up.
    pub usable: bool,
}

impl UnfinishedRun {
    /// Whether it was replacing the rows of one table after the other, so that some may be empty.
    pub(crate) fn is_replacing(&self) -> bool {
        self.usable && self.mode == PushMode::Replace.word()
    }
}

/// What the target knows of pushes into one schema.
#[derive(Debug, Clone, Default)]
pub(crate) struct TargetRecord {
    /// Tables that readers see.
    pub live: Vec<PushedTableRecord>,
    /// Tables that the last push replaced.
    pub previous: Vec<PushedTableRecord>,
    /// Views and trigger functions that readers see.
    pub live_objects: Vec<PushedObject>,
    /// Those of the tables that the last push replaced.
    pub previous_objects: Vec<PushedObject>,
    /// Runs that didn't come to their end.
    pub unfinished: Vec<UnfinishedRun>,
    /// How the last push that came to its end went about it.
    pub last_mode: Option<PushMode>,
}

impl TargetRecord {
    /// Reads it; an absent record is an empty one. Tables that are gone, renamed or moved since are left out.
    ///
    /// # Errors
    /// `TargetOccupied` if the record's schema, or another one with a name of this tool, is somebody else's, `ArtifactNewer`, `Target*`.
    pub(crate) async fn read(control: &Session, schema: &str, previous_schema: &str) -> Result<Self> {
        schema_owner::require_trusted(control, &[SCHEMA, previous_schema, &changed_rows_schema(schema)]).await?;
        if !is_there(control).await? {
            return Ok(Self::default());
        }
        // On one connection these questions follow each other without waiting for answers.
        let (live, previous, live_objects, previous_objects, unfinished, last_mode) = tokio::try_join!(
            tables(control, schema, RecordState::Live, schema),
            tables(control, schema, RecordState::Previous, previous_schema),
            objects::read(control, schema, RecordState::Live, schema),
            objects::read(control, schema, RecordState::Previous, previous_schema),
            unfinished(control, schema),
            last_mode(control, schema),
        )?;
        Ok(Self { live, previous, live_objects, previous_objects, unfinished, last_mode })
    }

    /// Adopts tables of these names that somebody else created, because the user says so.
    ///
    /// # Errors
    /// `Target*`.
    pub(crate) async fn adopt(&mut self, control: &Session, schema: &str, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let sql = "SELECT c.relname::text, c.oid, CASE WHEN NOT pg_has_role(c.relowner, 'USAGE') \
                     THEN pg_get_userbyid(c.relowner)::text END \
                   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relname = ANY($2) AND c.relkind = 'r' AND c.oid <> ALL($3)";
        let rows =
            control.query_rows("looking for tables to replace", sql, &[&schema, &names, &self.live_oids()]).await?;
        for row in &rows {
            let name: String = row.get(0)?;
            self.live.retain(|table| table.name != name);
            self.live.push(PushedTableRecord {
                source: name.clone(),
                name,
                oid: row.get(1)?,
                run_id: 0,
                run_key: String::new(),
                rows: 0,
                digest: None,
                chunks: 0,
                added: Vec::new(),
                lost: Vec::new(),
                fingerprint: String::new(),
                foreign_owner: row.get(2)?,
                is_adopted: false,
                is_partitioned: false,
            });
        }
        self.live.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(())
    }

    /// Whether the application made some of the tables.
    pub(crate) fn has_adopted(&self) -> bool {
        self.live.iter().any(|table| table.is_adopted)
    }

    /// The statements that enter adopted tables, so that they are kept like others.
    pub(crate) fn enter_adopted(&self, schema: &str) -> Vec<String> {
        let enter = |table: &PushedTableRecord| {
            format!(
                "INSERT INTO turso2neon.tables SELECT {}, 'live', {name}, {name}, {}, 0, '', '', \
                   greatest(c.reltuples, 0)::bigint, '', 0, {PARTS} FROM pg_class c WHERE c.oid = {} \
                 ON CONFLICT (target_schema, state, name) DO UPDATE SET oid = EXCLUDED.oid, run_id = 0, run_key = '', \
                   fingerprint = '', digest = '', parts = EXCLUDED.parts",
                quote_literal(schema),
                table.oid,
                table.oid,
                name = quote_literal(&table.name)
            )
        };
        self.live.iter().filter(|table| !table.is_pushed()).map(enter).collect()
    }

    /// The statements that record what happens to the tables that were seen.
    pub(crate) fn transition(&self, transition: Transition, schema: &str) -> Vec<String> {
        transition.statements(Recorded::Tables, schema, &self.live_oids(), &self.previous_oids())
    }

    /// OIDs of the live tables and views.
    pub(crate) fn live_relations(&self) -> Vec<u32> {
        self.live_oids().into_iter().chain(objects::view_oids(&self.live_objects)).collect()
    }

    /// OIDs of the tables and views that are kept.
    pub(crate) fn previous_relations(&self) -> Vec<u32> {
        self.previous_oids().into_iter().chain(objects::view_oids(&self.previous_objects)).collect()
    }

    /// OIDs of the live tables.
    pub(crate) fn live_oids(&self) -> Vec<u32> {
        self.live.iter().map(|table| table.oid).collect()
    }

    /// OIDs of the tables that are kept.
    pub(crate) fn previous_oids(&self) -> Vec<u32> {
        self.previous.iter().map(|table| table.oid).collect()
    }
}

/// Whether the record exists, in this version's format. After `finish` its schema has the marks alone.
///
/// # Errors
/// `TargetOccupied` if the record's schema is somebody else's, `ArtifactNewer`, `Target*`.
pub(crate) async fn is_there(control: &Session) -> Result<bool> {
    schema_owner::require_trusted(control, &[SCHEMA]).await?;
    let sql = "SELECT coalesce(obj_description(n.oid, 'pg_namespace'), ''), \
               EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid), \
               EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'runs') \
               FROM pg_namespace n WHERE n.nspname = $1";
    let rows = control.query_rows("looking for the record of earlier pushes", sql, &[&SCHEMA]).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    let (comment, used) = (row.get::<&str>(0)?, row.get::<bool>(1)?);
    match comment.strip_prefix(MARK).and_then(|number| number.parse::<u32>().ok()) {
        Some(format) if format > FORMAT => Err(Error::new(
            Kind::ArtifactNewer,
            format!("schema {SCHEMA} on the target has format {format}; this version reads up to {FORMAT}"),
        )
        .with_hint("use the newer turso2neon that pushed there")),
        Some(_) => row.get(2),
        None if used => Err(Error::new(
            Kind::TargetOccupied,
            format!("schema {SCHEMA} on the target holds something that is not this tool's record"),
        )
        .with_hint("rename that schema: this tool keeps its record under that name")),
        None => Ok(false),
    }
}

/// Creates the record where it isn't yet.
pub(crate) async fn create(control: &Session) -> Result<()> {
    let comment = format!("COMMENT ON SCHEMA turso2neon IS {}; COMMIT", quote_literal(&format!("{MARK}{FORMAT}")));
    let created = control.batch("creating the record of pushes", &format!("{CREATE}{comment}")).await;
    if created.is_err() && !control.is_lost() {
        control.batch("leaving a failed transaction", "ROLLBACK").await?;
    }
    created
}

async fn tables(control: &Session, schema: &str, state: RecordState, home: &str) -> Result<Vec<PushedTableRecord>> {
    let sql = format!(
        "SELECT t.name, t.source, t.oid, t.run_id, t.run_key, t.row_count, t.digest, t.chunk_count, \
           ARRAY(SELECT p FROM unnest({PARTS}) p WHERE p <> ALL (t.parts)), \
           ARRAY(SELECT p FROM unnest(t.parts) p WHERE p <> ALL (({PARTS})::text[])), t.fingerprint, \
           CASE WHEN CASE WHEN r.is_adopted THEN NOT pg_has_role(c.relowner, 'USAGE') \
               ELSE c.relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user) END \
             THEN pg_get_userbyid(c.relowner)::text END, r.is_adopted, c.relkind = 'p' \
         FROM turso2neon.tables t \
         CROSS JOIN LATERAL (SELECT coalesce((to_jsonb(t) ->> 'is_adopted')::boolean, false)) AS r(is_adopted) JOIN pg_class c ON c.oid = t.oid AND c.relname = t.name \
         JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $3 \
         WHERE t.target_schema = $1 AND t.state = $2 ORDER BY t.name COLLATE \"C\""
    );
    let rows =
        control.query_rows("reading the record of earlier pushes", &sql, &[&schema, &state.word(), &home]).await?;
    rows.iter().map(table).collect()
}

fn table(row: &Row<'_>) -> Result<PushedTableRecord> {
    Ok(PushedTableRecord {
        name: row.get(0)?,
        source: row.get(1)?,
        oid: row.get(2)?,
        run_id: row.get(3)?,
        run_key: row.get(4)?,
        rows: row.count(5)?,
        digest: row.get::<&str>(6)?.parse().ok(),
        chunks: row.get::<i32>(7)?.cast_unsigned(),
        added: row.get(8)?,
        lost: row.get(9)?,
        fingerprint: row.get(10)?,
        foreign_owner: row.get(11)?,
        is_adopted: row.get(12)?,
        is_partitioned: row.get(13)?,
    })
}

/// Enters a run that loads no chunks. Gives its number.
///
/// # Errors
/// `Target*`.
pub(crate) async fn begin_run(control: &Session, run_key: &str, schema: &str, mode: PushMode) -> Result<i64> {
    let sql = format!(
        "INSERT INTO turso2neon.runs (run_key, target_schema, staging_schema, layout, mode, tool, state) \
         VALUES ({}, {}, '', '', {}, {}, 'loading') RETURNING run_id",
        quote_literal(run_key),
        quote_literal(schema),
        quote_literal(&mode.to_string()),
        quote_literal(env!("CARGO_PKG_VERSION"))
    );
    control.query_value("recording the run", &sql, &[]).await
}

/// The statement that enters a schema with tables which nobody needs any more: the next push drops them if this one
/// doesn't.
pub(crate) fn given_up(schema: &str, run_key: &str, attic: &str) -> String {
    format!(
        "INSERT INTO turso2neon.runs (run_key, target_schema, staging_schema, layout, mode, tool, state) \
         VALUES ({}, {}, {}, '', 'attic', {}, 'given up')",
        quote_literal(run_key),
        quote_literal(schema),
        quote_literal(attic),
        quote_literal(env!("CARGO_PKG_VERSION"))
    )
}

/// The statements that record the end of a run.
pub(crate) fn done(schema: &str, run_id: i64, rows: u64) -> Vec<String> {
    let schema = quote_literal(schema);
    vec![
        format!(
            "UPDATE turso2neon.runs SET state = 'done', finished_at = now(), row_count = {rows} WHERE run_id = {run_id}"
        ),
        format!("DELETE FROM turso2neon.chunks WHERE run_id = {run_id}"),
        format!(
            "DELETE FROM turso2neon.runs WHERE state = 'done' AND target_schema = {schema} AND run_id NOT IN (\
             SELECT run_id FROM turso2neon.runs WHERE state = 'done' AND target_schema = {schema} \
             ORDER BY run_id DESC LIMIT {RUNS_KEPT})"
        ),
    ]
}

/// Drops the tables that an earlier push replaced, which nobody but us has used.
///
/// # Errors
/// `Target*`.
pub(crate) async fn drop_previous(control: &Session, schema: &str, record: &TargetRecord) -> Result<()> {
    let drops = previous_drops(control, schema, record).await?;
    if drops.is_empty() {
        return Ok(());
    }
    let sql = format!("BEGIN; SET LOCAL lock_timeout = '5s'; {}; COMMIT", drops.join("; "));
    let dropped = control.batch("dropping the tables that an earlier push replaced", &sql).await;
    if dropped.is_err() && !control.is_lost() {
        control.batch("leaving a failed transaction", "ROLLBACK").await?;
    }
    dropped
}

/// The statements that drop the tables and objects that an earlier push replaced.
///
/// # Errors
/// `Target*`.
pub(crate) async fn previous_drops(control: &Session, schema: &str, record: &TargetRecord) -> Result<Vec<String>> {
    if record.previous.is_empty() && record.previous_objects.is_empty() {
        return Ok(Vec::new());
    }
    let home = previous_schema(schema);
    let (mut work, last) = objects::drops(control, &home).await?;
    let names: Vec<String> = record.previous.iter().map(|table| qualified(&home, &table.name)).collect();
    if !names.is_empty() {
        work.push(format!("DROP TABLE IF EXISTS {} RESTRICT", names.join(", ")));
    }
    work.extend(last);
    work.extend(objects::transition(Transition::DropPrevious, schema, record));
    work.extend(record.transition(Transition::DropPrevious, schema));
    Ok(work)
}

/// The statements that remove everything that the record says of pushes into a schema.
pub(crate) fn forget(schema: &str) -> Vec<String> {
    let place = quote_literal(schema);
    let mut sql = vec![format!(
        "DELETE FROM turso2neon.chunks WHERE run_id IN (SELECT run_id FROM turso2neon.runs WHERE target_schema = {place})"
    )];
    let tables = ["runs", "tables", "objects", "undo", "origins"];
    sql.extend(tables.map(|table| format!("DELETE FROM turso2neon.{table} WHERE target_schema = {place}")));
    sql
}

/// The statement that forgets the tables that an unfinished push into a schema has staged.
pub(crate) fn forget_staged(schema: &str) -> String {
    format!("DELETE FROM turso2neon.tables WHERE target_schema = {} AND state = 'staged'", quote_literal(schema))
}

/// Whether a push into a schema has dropped tables and keeps what it has to give to their successors.
///
/// # Errors
/// `Target*`.
pub(crate) async fn has_carried(control: &Session, schema: &str) -> Result<bool> {
    let doing = "reading the record of earlier pushes";
    let there = "SELECT to_regclass('turso2neon.carried') IS NOT NULL";
    if !control.query_value::<bool>(doing, there, &[]).await? {
        return Ok(false);
    }
    let sql = "SELECT EXISTS (SELECT FROM turso2neon.carried WHERE target_schema = $1)";
    control.query_value(doing, sql, &[&schema]).await
}

/// Drops the record if it says nothing of any push, and its schema if no migration is marked as finished.
///
/// # Errors
/// `Target*`.
pub(crate) async fn drop_if_empty(control: &Session) -> Result<()> {
    let dropped = control.batch("dropping the record of pushes", DROP_EMPTY).await;
    if dropped.is_err() && !control.is_lost() {
        control.batch("leaving a failed transaction", "ROLLBACK").await?;
    }
    dropped
}

/// Whether a run came to its end.
///
/// # Errors
/// `Target*`.
pub(crate) async fn is_done(control: &Session, run_id: i64) -> Result<bool> {
    let sql = "SELECT 1 FROM turso2neon.runs WHERE run_id = $1 AND state = 'done'";
    Ok(!control.query_rows("looking whether a change is committed", sql, &[&run_id]).await?.is_empty())
}

async fn last_mode(control: &Session, schema: &str) -> Result<Option<PushMode>> {
    let sql =
        "SELECT mode FROM turso2neon.runs WHERE target_schema = $1 AND state = 'done' ORDER BY run_id DESC LIMIT 1";
    let rows = control.query_rows("reading the record of earlier pushes", sql, &[&schema]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let word: &str = row.get(0)?;
    // A newer version may have modes that this one doesn't know.
    Ok(word.parse().ok())
}

async fn unfinished(control: &Session, schema: &str) -> Result<Vec<UnfinishedRun>> {
    let sql = "SELECT run_id, run_key, layout, staging_schema, state = 'loading', mode FROM turso2neon.runs \
               WHERE target_schema = $1 AND state <> 'done' ORDER BY run_id";
    let rows = control.query_rows("reading the record of earlier pushes", sql, &[&schema]).await?;
    let read = |row: &Row<'_>| {
        Ok(UnfinishedRun {
            run_id: row.get(0)?,
            run_key: row.get(1)?,
            layout: row.get(2)?,
            staging: row.get(3)?,
            usable: row.get(4)?,
            mode: row.get(5)?,
        })
    };
    rows.iter().map(read).collect()
}
