//! The moment in which readers get the new tables instead of the old ones: one transaction.
//!
//! Decisions: a lock is never waited for while another is held, so that readers can neither be drawn into a deadlock
//! nor wait for long: the first table is waited for 100 ms, the others not at all, in random order, and on failure
//! everything is let go and tried again after a moment. All statements go to the server in one message, so that the
//! locks are held for no round trip.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use crate::{
    error::{Error, Kind, Result, Retry},
    model::{
        Stage,
        name::{qualified, quote_ident, quote_literal},
    },
    postgres::{Session, patience},
    rules::ddl,
};

use super::{
    carry,
    compare::Wanted,
    manifest::Manifest,
    preflight::{Situation, names_of},
    record::{PARTS, unreadable},
    staging::{self, Staging},
    target::{Target, previous_schema},
};

/// How long to try to get the locks.
const PATIENCE: Duration = Duration::from_secs(300);
/// How many finished runs the record keeps per schema.
const RUNS_KEPT: u32 = 100;

/// Everything that a cutover needs.
pub(super) struct Cutover<'a> {
    /// The target.
    pub target: &'a Target<'a>,
    /// The session that holds the push's lock.
    pub control: &'a Session,
    /// What was pushed.
    pub manifest: &'a Manifest,
    /// What the target was like before.
    pub situation: &'a Situation,
    /// Where the new tables are.
    pub staging: &'a Staging,
    /// The digest that each table was found to have.
    pub digests: Vec<Wanted<'a>>,
    /// Chunks per table, in the manifest's order.
    pub chunks: Vec<u32>,
}

impl Cutover<'_> {
    /// Does it. After `TargetUnreachable` it may have happened or not; the record knows.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`.
    pub(super) async fn run(&self) -> Result<()> {
        self.record_staged().await?;
        self.drop_previous().await?;
        let enums = self.live_enums().await?;
        let replaced: BTreeSet<String> = self.situation.record.live.iter().map(|table| table.name.clone()).collect();
        let staged = self.staged_oids().await?;
        let live = self.situation.record.live_oids();
        let schema = self.target.schema;
        let carried = carry::statements(self.control, self.manifest, schema, &staged, &live, &replaced).await?;
        self.take_over(&self.work(&carried, &enums)).await
    }

    /// Drops what the push before the last one left, which nobody but us has used: before the cutover, because it
    /// needs locks of its own.
    async fn drop_previous(&self) -> Result<()> {
        let previous = &self.situation.record.previous;
        if previous.is_empty() {
            return Ok(());
        }
        let home = previous_schema(self.target.schema);
        let names: Vec<String> = previous.iter().map(|table| qualified(&home, &table.name)).collect();
        let sql = format!(
            "SET lock_timeout = '5s'; DROP TABLE IF EXISTS {} RESTRICT; \
             DELETE FROM turso2neon.tables WHERE target_schema = {} AND state = 'previous'; SET lock_timeout = 0",
            names.join(", "),
            quote_literal(self.target.schema)
        );
        let dropped = self.control.batch("dropping the tables that an earlier push replaced", &sql).await;
        self.control.batch("preparing the cutover", "SET lock_timeout = 0").await?;
        dropped?;
        let enums = staging::enums(self.control, &home).await?;
        let sql: Vec<String> = enums.iter().map(|name| staging::drop_enum(&home, name)).collect();
        self.control.batch("dropping the types that an earlier push replaced", &sql.join("; ")).await
    }

    /// Enumerated types that the tables to be replaced use: they go with them.
    async fn live_enums(&self) -> Result<Vec<String>> {
        let live = self.situation.record.live_oids();
        let sql = "SELECT DISTINCT t.typname::text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
                   JOIN pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped \
                   WHERE n.nspname = $1 AND t.typtype = 'e' AND a.attrelid = ANY($2) ORDER BY 1";
        names_of(self.control, "listing the enumerated types", sql, &[&self.target.schema, &live]).await
    }

    async fn staged_oids(&self) -> Result<Vec<u32>> {
        let sql = "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relkind = 'r'";
        let rows = self.control.rows("listing the staged tables", sql, &[&self.staging.schema]).await?;
        rows.iter().map(|row| row.try_get(0).map_err(|failure| unreadable(self.control, &failure))).collect()
    }

    /// Everything after the locks.
    fn work(&self, carried: &[String], enums: &[String]) -> String {
        let schema = self.target.schema;
        let home = previous_schema(schema);
        let mut sql = Vec::new();
        let live = &self.situation.record.live;
        if !live.is_empty() {
            sql.push(format!("CREATE SCHEMA IF NOT EXISTS {}", quote_ident(&home)));
            let comment = format!("turso2neon: what the last push into schema {schema} replaced");
            sql.push(ddl::comment_on_schema(&home, &comment));
        }
        let move_to = |from: &str, name: &str, to: &str| {
            format!("ALTER TABLE {} SET SCHEMA {}", qualified(from, name), quote_ident(to))
        };
        sql.extend(live.iter().map(|table| move_to(schema, &table.name, &home)));
        let move_type = |from: &str, name: &str, to: &str| {
            format!("ALTER TYPE {} SET SCHEMA {}", qualified(from, name), quote_ident(to))
        };
        sql.extend(enums.iter().map(|name| move_type(schema, name, &home)));
        sql.extend(ddl::enums(&self.manifest.plan).map(|made| move_type(&self.staging.schema, &made.name, schema)));
        let tables = || self.manifest.cargo.iter().map(|cargo| &cargo.table);
        sql.extend(tables().map(|table| move_to(&self.staging.schema, &table.name, schema)));
        sql.extend(carried.iter().cloned());
        sql.extend(self.record());
        sql.push(format!("DROP SCHEMA {} RESTRICT", quote_ident(&self.staging.schema)));
        sql.join(";\n")
    }

    /// Records the staged tables before the locks: what hangs on them takes a while to list.
    async fn record_staged(&self) -> Result<()> {
        let schema = quote_literal(self.target.schema);
        let staging = quote_literal(&self.staging.schema);
        let run_id = self.staging.run_id;
        let tables = self.manifest.cargo.iter().zip(&self.digests).zip(&self.chunks);
        let values: Vec<String> = tables
            .map(|((cargo, wanted), chunks)| {
                let rows = wanted.digest.split(':').next().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
                format!(
                    "({}, {}, {}, {rows}, {}, {chunks})",
                    quote_literal(&cargo.table.name),
                    quote_literal(&cargo.table.source),
                    quote_literal(&cargo.fingerprint),
                    quote_literal(&wanted.digest)
                )
            })
            .collect();
        let forget = format!("DELETE FROM turso2neon.tables WHERE target_schema = {schema} AND state = 'staged'");
        let insert = format!(
            "INSERT INTO turso2neon.tables SELECT {schema}, 'staged', c.relname, v.source, c.oid, {run_id}, {}, \
             v.fingerprint, v.row_count, v.digest, v.chunks, {PARTS} \
             FROM (VALUES {}) AS v(name, source, fingerprint, row_count, digest, chunks) \
             JOIN pg_class c ON c.relname = v.name JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = {staging}",
            quote_literal(&self.manifest.run_key),
            values.join(", ")
        );
        self.control.batch("recording the staged tables", &format!("{forget}; {insert}")).await
    }

    /// The record's part of the cutover.
    fn record(&self) -> Vec<String> {
        let schema = quote_literal(self.target.schema);
        let run_id = self.staging.run_id;
        let kept: Vec<String> = self.situation.record.live.iter().map(|table| table.oid.to_string()).collect();
        let ours = format!("UPDATE turso2neon.tables SET state = 'previous' WHERE target_schema = {schema}");
        vec![
            format!("DELETE FROM turso2neon.tables WHERE target_schema = {schema} AND state = 'previous'"),
            format!("{ours} AND state = 'live' AND oid = ANY ('{{{}}}'::oid[])", kept.join(",")),
            // What is left of the live ones was dropped, renamed or moved by somebody: no longer ours.
            format!("DELETE FROM turso2neon.tables WHERE target_schema = {schema} AND state = 'live'"),
            format!("UPDATE turso2neon.tables SET state = 'live' WHERE target_schema = {schema} AND state = 'staged'"),
            format!(
                "UPDATE turso2neon.runs SET state = 'done', finished_at = now(), row_count = {} WHERE run_id = {run_id}",
                self.manifest.rows()
            ),
            format!("DELETE FROM turso2neon.chunks WHERE run_id = {run_id}"),
            format!(
                "DELETE FROM turso2neon.runs WHERE state = 'done' AND target_schema = {schema} AND run_id NOT IN (\
                 SELECT run_id FROM turso2neon.runs WHERE state = 'done' AND target_schema = {schema} \
                 ORDER BY run_id DESC LIMIT {RUNS_KEPT})"
            ),
        ]
    }

    async fn take_over(&self, work: &str) -> Result<()> {
        let begun = Instant::now();
        let mut told = begun;
        let mut attempt: u32 = 1;
        loop {
            self.target.ctx.stop.check()?;
            let sql = format!("{}; {work}; COMMIT", self.locks());
            let Err(error) = self.control.batch("replacing the tables", &sql).await else { return Ok(()) };
            if self.control.is_lost() {
                return Err(error);
            }
            self.control.batch("letting go of the locks", "ROLLBACK").await?;
            if error.retry() != Retry::Patiently {
                return Err(error);
            }
            if begun.elapsed() > PATIENCE {
                return Err(Error::new(
                    Kind::TargetRejected,
                    format!(
                        "the tables were in use without a pause for {} s; nothing was replaced",
                        PATIENCE.as_secs()
                    ),
                )
                .with_hint(
                    "end long transactions on these tables, then run `turso2neon push` again: only the cutover is left",
                ));
            }
            attempt = attempt.saturating_add(1);
            let pause = Duration::from_millis(5 + patience::random_below(45));
            if told.elapsed() > Duration::from_secs(5) {
                told = Instant::now();
                patience::wait_for(self.target.ctx, Stage::Push, &error, attempt, pause).await?;
            } else {
                patience::rest(self.target.ctx, pause).await?;
            }
        }
    }

    /// The beginning of the transaction: its settings, and the locks.
    ///
    /// First those that no reader or writer notices, which may be waited for: a server process that vacuums one of the
    /// tables by itself gives way after a second. Then the ones that count, in an order of chance.
    fn locks(&self) -> String {
        let live = self.situation.record.live.iter();
        let mut live: Vec<String> =
            live.map(|table| format!("ONLY {}", qualified(self.target.schema, &table.name))).collect();
        let staged = self.manifest.cargo.iter();
        let staged: Vec<String> =
            staged.map(|cargo| format!("ONLY {}", qualified(&self.staging.schema, &cargo.table.name))).collect();
        // The commit is the one that makes everything before it durable too.
        let mut sql = vec!["BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '10s'".to_owned()];
        if !staged.is_empty() {
            sql.push(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", staged.join(", ")));
        }
        if !live.is_empty() {
            sql.push(format!("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE", live.join(", ")));
        }
        sql.push("SET LOCAL lock_timeout = '100ms'".to_owned());
        live.sort_by_cached_key(|_| patience::random_below(u64::MAX));
        if let Some((first, others)) = live.split_first() {
            sql.push(format!("LOCK TABLE {first} IN ACCESS EXCLUSIVE MODE"));
            if !others.is_empty() {
                sql.push(format!("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE NOWAIT", others.join(", ")));
            }
        }
        sql.join("; ")
    }
}
