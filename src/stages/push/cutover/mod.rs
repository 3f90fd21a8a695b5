//! The moment in which readers get the new tables instead of the old ones: one transaction.
//!
//! Decisions: the old tables are got as `lock_acquisition` says. All statements go to the server in one message, so
//! that the locks are held for no round trip.

pub(super) mod grants;

mod not_valid;

pub(super) mod old_snapshots;

pub(super) mod own_values;

pub(super) mod replace_rows;

mod row_restore;

pub mod removal;

pub mod rollback;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::sync::Mutex;

use crate::{
    error::Result,
    model::identifier::{qualified, quote_ident, quote_literal},
    rules::ddl,
    stages::push::{
        diff::row_undo,
        load::{
            digest_check::ExpectedDigest,
            push_scope::PushScope,
            staging::{self, Staging},
        },
        target::{
            lock_acquisition::{LockMode, Locks},
            objects,
            record::{self, TargetRecord},
            session::{STAGING_PREFIX, previous_schema},
            table_properties::PARTS,
            table_state::Transition,
        },
    },
};

/// How long it counts what was seen to hang on the old tables.
const FRESH: Duration = Duration::from_secs(2);

/// Everything that a cutover needs.
pub(crate) struct Cutover<'a> {
    /// What it works on.
    pub scope: PushScope<'a>,
    /// Where the new tables are.
    pub staging: &'a Staging,
    /// The digest that each table was found to have.
    pub digests: Vec<ExpectedDigest<'a>>,
    /// Chunks per table, in the manifest's order.
    pub chunks: Vec<u32>,
    /// Rows of the new tables were changed after they had been loaded.
    pub has_carried_values: bool,
    /// Keep the replaced tables.
    pub keep_previous: bool,
}

impl Cutover<'_> {
    /// Does it. After `TargetUnreachable` it may have happened or not; the record knows.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`.
    pub(crate) async fn run(&self) -> Result<()> {
        self.record_staged().await?;
        if self.has_carried_values || self.chunks.iter().any(|chunks| *chunks > 1) {
            old_snapshots::wait_for_older(self.scope.target, self.scope.control).await?;
        }
        self.take_over().await?;
        self.clear_up().await
    }

    /// Everything after the locks, with what hangs on the old tables at this moment.
    async fn read(&self) -> Result<String> {
        let mut replaced: BTreeSet<String> =
            self.scope.target_state.record.live.iter().map(|table| table.name.clone()).collect();
        let mut put_down = Vec::new();
        if replaced.is_empty() {
            (replaced, put_down) = grants::saved_grants(self.scope.control, self.scope.target.schema).await?;
        }
        let live = self.scope.target_state.record.live_oids();
        let schema = self.scope.target.schema;
        let record = &self.scope.target_state.record;
        let plan = &self.scope.manifest.plan;
        // These questions follow each other without waiting for answers.
        let (staged, kept, of_views) = tokio::try_join!(
            self.staged_oids(),
            row_undo::read(self.scope.control, schema),
            objects::carried(self.scope.control, plan, schema, &record.live_objects),
        )?;
        let carrying = grants::statements(self.scope.control, self.scope.manifest, schema, &staged, &live, &replaced);
        let carried = Box::pin(carrying).await?;
        let mut work = self.work(&carried);
        // After the record of the tables, to which the triggers are added.
        work.extend(objects::cutover(plan, schema, record).into_iter().chain(of_views));
        work.extend(put_down);
        work.push(grants::forget_saved_grants(schema));
        work.extend(row_undo::forget(schema, &kept));
        if !self.scope.manifest.plan.hooks.after.is_empty() {
            work.extend(staging::hooks(schema, &self.scope.manifest.plan.hooks.after));
        }
        Ok(work.join(";\n"))
    }

    async fn staged_oids(&self) -> Result<Vec<u32>> {
        let sql = "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1 AND c.relkind = 'r'";
        let rows = self.scope.control.query_rows("listing the staged tables", sql, &[&self.staging.schema]).await?;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Everything after the locks.
    fn work(&self, carried: &[String]) -> Vec<String> {
        let schema = self.scope.target.schema;
        let home = previous_schema(schema);
        let mut sql = Vec::new();
        let TargetRecord { live, previous, .. } = &self.scope.target_state.record;
        let move_to = |from: &str, name: &str, to: &str| {
            format!("ALTER TABLE {} SET SCHEMA {}", qualified(from, name), quote_ident(to))
        };
        let (newer, older) =
            (&self.scope.target_state.record.live_objects, &self.scope.target_state.record.previous_objects);
        if !previous.is_empty() || !older.is_empty() {
            let attic = self.attic();
            sql.push(format!("CREATE SCHEMA {}", quote_ident(&attic)));
            sql.push(record::given_up(schema, &self.scope.manifest.run_key, &attic));
            sql.extend(previous.iter().map(|table| move_to(&home, &table.name, &attic)));
            sql.extend(objects::moves(older, &home, &attic));
        }
        if !live.is_empty() || !newer.is_empty() {
            sql.push(format!("CREATE SCHEMA IF NOT EXISTS {}", quote_ident(&home)));
            let comment = format!("turso2neon: what the last push into schema {schema} replaced");
            sql.push(ddl::comment_on_schema(&home, &comment));
        }
        sql.extend(live.iter().map(|table| move_to(schema, &table.name, &home)));
        sql.extend(objects::moves(newer, schema, &home));
        let tables = || self.scope.manifest.tables.iter().map(|to_push| &to_push.table);
        sql.extend(tables().map(|table| move_to(&self.staging.schema, &table.name, schema)));
        sql.extend(carried.iter().cloned());
        sql.extend(self.record());
        sql.push(format!("DROP SCHEMA {} RESTRICT", quote_ident(&self.staging.schema)));
        sql
    }

    /// Where tables that a push before the last one replaced are dropped, once they have made room.
    fn attic(&self) -> String {
        format!("{STAGING_PREFIX}old_{}", self.staging.run_id)
    }

    /// Drops what is no longer kept. The cutover stands, whatever comes of it: the next push tries again.
    async fn clear_up(&self) -> Result<()> {
        let schema = self.scope.target.schema;
        let dropping = async {
            let record = TargetRecord::read(self.scope.control, schema, &previous_schema(schema)).await?;
            for run in &record.unfinished {
                staging::drop_run(self.scope.control, run).await?;
            }
            if self.keep_previous { Ok(()) } else { record::drop_previous(self.scope.control, schema, &record).await }
        };
        if let Err(error) = dropping.await {
            if self.scope.control.is_lost() {
                return Err(error);
            }
            self.scope.target.ctx.out.warn(format!("replaced tables are still there: {}", error.message()));
        }
        Ok(())
    }

    /// Records the staged tables before the locks: what hangs on them takes a while to list.
    async fn record_staged(&self) -> Result<()> {
        let schema = quote_literal(self.scope.target.schema);
        let staging = quote_literal(&self.staging.schema);
        let run_id = self.staging.run_id;
        let tables = self.scope.manifest.tables.iter().zip(&self.digests).zip(&self.chunks);
        let values: Vec<String> = tables
            .map(|((to_push, wanted), chunks)| {
                format!(
                    "({}, {}, {}, {}, {}, {chunks}, {})",
                    quote_literal(&to_push.table.name),
                    quote_literal(&to_push.table.source),
                    quote_literal(&to_push.fingerprint),
                    wanted.digest.rows,
                    quote_literal(&wanted.digest.to_string()),
                    quote_literal(&record::digest_columns(&to_push.table))
                )
            })
            .collect();
        let forget = format!("DELETE FROM turso2neon.tables WHERE target_schema = {schema} AND state = 'staged'");
        let insert = format!(
            "INSERT INTO turso2neon.tables SELECT {schema}, 'staged', c.relname, v.source, c.oid, {run_id}, {}, \
             v.fingerprint, v.row_count, v.digest, v.chunks, {PARTS}, v.columns, pg_current_xact_id()::text \
             FROM (VALUES {}) AS v(name, source, fingerprint, row_count, digest, chunks, columns) \
             JOIN pg_class c ON c.relname = v.name JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = {staging}",
            quote_literal(&self.scope.manifest.run_key),
            values.join(", ")
        );
        self.scope.control.batch("recording the staged tables", &format!("{forget}; {insert}")).await
    }

    /// The record's part of the cutover.
    fn record(&self) -> Vec<String> {
        let record = &self.scope.target_state.record;
        let mut sql = record.enter_adopted(self.scope.target.schema);
        sql.extend(record.transition(Transition::CutOver, self.scope.target.schema));
        sql.extend(record::done(self.scope.target.schema, self.staging.run_id, self.scope.manifest.rows()));
        sql
    }

    async fn take_over(&self) -> Result<()> {
        let live = self.scope.target_state.record.live.iter();
        let staged = self.scope.manifest.tables.iter();
        let staged = staged.map(|to_push| qualified(&self.staging.schema, &to_push.table.name));
        let home = previous_schema(self.scope.target.schema);
        let previous = self.scope.target_state.record.previous.iter().map(|table| qualified(&home, &table.name));
        let locks = Locks {
            target: self.scope.target,
            control: self.scope.control,
            private: staged.chain(previous).collect(),
            shared: live.map(|table| qualified(self.scope.target.schema, &table.name)).collect(),
            strength: LockMode::AgainstEverybody,
        };
        let latest = Mutex::new((Instant::now(), self.read().await?));
        let attempt = |begin: String| self.attempt(&latest, begin).boxed();
        locks.with_locks(attempt).await
    }

    /// One try. The locks may take minutes; a grant that somebody makes meanwhile is carried over, too.
    async fn attempt(&self, latest: &Mutex<(Instant, String)>, begin: String) -> Result<()> {
        let mut latest = latest.lock().await;
        if latest.0.elapsed() > FRESH {
            *latest = (Instant::now(), self.read().await?);
        }
        self.scope.control.batch("replacing the tables", &format!("{begin}; {}; COMMIT", latest.1)).await
    }
}
