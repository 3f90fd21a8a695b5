//! The schema in which a push loads before the cutover: made, continued, thrown away.
//!
//! Invariant: only schemas that the record names and that bear our prefix are touched, and never with CASCADE: what
//! somebody else put into one stops us.

use std::collections::BTreeSet;

use crate::{
    error::{Error, Kind, Result},
    model::{
        identifier::{qualified, quote_ident, quote_literal},
        push_plan::PushMode,
    },
    postgres::Session,
    rules::ddl,
    stages::push::{
        plan::{manifest::Manifest, preflight::TargetState},
        target::{
            catalog::names_of,
            objects,
            record::{self, UnfinishedRun},
            schema_owner,
            session::{STAGING_PREFIX, search_path},
        },
    },
};

/// A staging schema that is ready to be loaded into.
pub(crate) struct Staging {
    /// The run's number.
    pub run_id: i64,
    /// The schema.
    pub schema: String,
    /// Chunks that are committed: table, number, rows, bytes.
    pub committed: Vec<(String, i32, u64, u64)>,
}

/// What a staging schema is for.
pub(crate) struct StagingRequest<'a> {
    /// What is pushed.
    pub manifest: &'a Manifest,
    /// The target schema.
    pub schema: &'a str,
    /// How the tables are cut into chunks; another layout's chunks can't be continued.
    pub layout: &'a str,
    /// `create` or `swap`.
    pub mode: PushMode,
    /// Begin anew even if a run could be continued.
    pub fresh: bool,
}

impl Staging {
    /// Continues the run that was interrupted, or begins a new one; throws away the remains of all others.
    ///
    /// # Errors
    /// `TargetOccupied` if a schema of that name is somebody else's; `Target*`.
    pub(crate) async fn open(
        control: &Session,
        target_state: &TargetState,
        purpose: &StagingRequest<'_>,
    ) -> Result<Self> {
        record::create(control).await?;
        let fits = |run: &&UnfinishedRun| {
            run.usable && run.run_key == purpose.manifest.run_key && run.layout == purpose.layout && !purpose.fresh
        };
        let unfinished = &target_state.record.unfinished;
        let continued = unfinished.iter().rev().find(fits);
        for run in unfinished.iter().filter(|run| continued.is_none_or(|kept| kept.run_id != run.run_id)) {
            drop_run(control, run).await?;
        }
        let staging = match continued {
            Some(run) => Self { run_id: run.run_id, schema: run.staging.clone(), committed: Vec::new() },
            None => begin(control, purpose).await?,
        };
        schema_owner::require_trusted(control, &[&staging.schema]).await?;
        staging.create_missing(control, target_state, purpose).await?;
        let committed = committed(control, staging.run_id).await?;
        Ok(Self { committed, ..staging })
    }

    /// Creates the schema and the tables that aren't there yet.
    async fn create_missing(
        &self,
        control: &Session,
        target_state: &TargetState,
        purpose: &StagingRequest<'_>,
    ) -> Result<()> {
        let doing = "creating the staging schema";
        let comment = format!("turso2neon staging of run {}", self.run_id);
        let mut sql = vec![
            format!("CREATE SCHEMA IF NOT EXISTS {}", quote_ident(&self.schema)),
            ddl::comment_on_schema(&self.schema, &comment),
        ];
        if target_state.creates_schema {
            sql.push(format!("CREATE SCHEMA IF NOT EXISTS {}", quote_ident(purpose.schema)));
        }
        sql.extend(target_state.creates_extensions.iter().cloned());
        control.batch(doing, &sql.join("; ")).await?;
        let there: BTreeSet<String> = relations(control, &self.schema).await?.into_iter().collect();
        let before = &purpose.manifest.plan.hooks.before;
        if there.is_empty() && !before.is_empty() {
            control.batch("running sql.before", &hooks(purpose.schema, before).join(";\n")).await?;
        }
        let missing = purpose.manifest.tables.iter().filter(|to_push| !there.contains(&to_push.table.name));
        let mut sql = vec![search_path(&target_state.path)];
        sql.extend(missing.map(|to_push| ddl::create_table(&self.schema, &to_push.table).sql));
        sql.push(search_path(&[]));
        control.batch("creating the tables", &sql.join(";\n")).await
    }

    /// Marks the run so that it is never continued.
    ///
    /// # Errors
    /// `Target*`.
    pub(crate) async fn give_up(&self, control: &Session) -> Result<()> {
        let sql = format!("UPDATE turso2neon.runs SET state = 'given up' WHERE run_id = {}", self.run_id);
        control.batch("giving up the staging schema", &sql).await
    }
}

async fn begin(control: &Session, purpose: &StagingRequest<'_>) -> Result<Staging> {
    let schema = format!("{STAGING_PREFIX}{}", purpose.manifest.short_key());
    let taken = relations(control, &schema).await?;
    if !taken.is_empty() {
        let text = format!("schema {schema} holds {} and is not known to this tool's record", taken.join(", "));
        return Err(Error::new(Kind::TargetOccupied, text).with_hint("drop or rename that schema"));
    }
    let sql = format!(
        "INSERT INTO turso2neon.runs (run_key, target_schema, staging_schema, layout, mode, tool, state) \
         VALUES ({}, {}, {}, {}, {}, {}, 'loading') RETURNING run_id",
        quote_literal(&purpose.manifest.run_key),
        quote_literal(purpose.schema),
        quote_literal(&schema),
        quote_literal(purpose.layout),
        quote_literal(&purpose.mode.to_string()),
        quote_literal(env!("CARGO_PKG_VERSION"))
    );
    let run_id = control.query_value("recording the run", &sql, &[]).await?;
    Ok(Staging { run_id, schema, committed: Vec::new() })
}

/// Drops a run's staging tables, its schema if nothing is left in it, and its record.
pub(crate) async fn drop_run(control: &Session, run: &UnfinishedRun) -> Result<()> {
    let mut sql = Vec::new();
    if run.staging.starts_with(STAGING_PREFIX) {
        sql.extend(drop_schema(control, &run.staging).await?);
    }
    sql.push(format!("DELETE FROM turso2neon.chunks WHERE run_id = {}", run.run_id));
    sql.push(format!("DELETE FROM turso2neon.runs WHERE run_id = {}", run.run_id));
    control.batch("dropping the staging schema of a former run", &sql.join("; ")).await
}

/// The statements that drop a staging schema with everything in it that a push makes.
///
/// # Errors
/// `Target*`.
pub(crate) async fn drop_schema(control: &Session, staging: &str) -> Result<Vec<String>> {
    let (mut sql, last) = objects::drops(control, staging).await?;
    let tables = tables(control, staging).await?;
    let names: Vec<String> = tables.iter().map(|name| qualified(staging, name)).collect();
    if !names.is_empty() {
        sql.push(format!("DROP TABLE IF EXISTS {} RESTRICT", names.join(", ")));
    }
    sql.extend(last);
    sql.push(format!("DROP SCHEMA IF EXISTS {} RESTRICT", quote_ident(staging)));
    Ok(sql)
}

/// What can be dropped as a table, by name.
async fn tables(control: &Session, schema: &str) -> Result<Vec<String>> {
    let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') ORDER BY 1";
    names_of(control, "listing the staging tables", sql, &[&schema]).await
}

/// Tables and the like of a schema, by name.
async fn relations(control: &Session, schema: &str) -> Result<Vec<String>> {
    let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') ORDER BY 1";
    names_of(control, "listing the staging tables", sql, &[&schema]).await
}

/// The user's statements, which find the target schema's tables and whatever the server has.
pub(crate) fn hooks(schema: &str, statements: &[String]) -> Vec<String> {
    let mut sql = vec![format!("SET search_path = {}", quote_ident(schema))];
    sql.extend(statements.iter().cloned());
    sql.push(search_path(&[]));
    sql
}

async fn committed(control: &Session, run_id: i64) -> Result<Vec<(String, i32, u64, u64)>> {
    let sql = "SELECT table_name, chunk, coalesce(row_count, 0), coalesce(byte_count, 0) \
               FROM turso2neon.chunks WHERE run_id = $1";
    let rows = control.query_rows("reading which chunks are committed", sql, &[&run_id]).await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?, row.count(2)?, row.count(3)?))).collect()
}
