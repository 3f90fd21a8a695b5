//! A push in mode `replace`: for a target too small to hold two versions of the tables. Each table is emptied and
//! loaded in a transaction of its own, so readers see new tables beside old ones until the last is done. Nothing is
//! kept that a rollback could put back.
//!
//! Decisions: foreign keys among the tables go first and come back last, because between two tables they can't hold.
//! Tables that are done are marked in the transaction that loads them, so that an interrupted push goes on after them.

use std::collections::BTreeSet;

use futures_util::FutureExt;

use crate::{
    error::{Error, Kind, Result, ResultExt},
    model::{
        identifier::{qualified, quote_ident, quote_literal},
        push_plan::PushMode,
    },
    postgres::Session,
    rules::ddl,
    stages::push::{
        cutover::grants,
        diff::{self, row_undo},
        load::{
            chunk::Chunk,
            copy_stream::{SentCounts, relay},
            digest_check::{self, ExpectedDigest},
            push_scope::PushScope,
            session_pool::SessionPool,
            staging,
        },
        plan::{
            manifest::{Manifest, TableToPush},
            preflight::TargetState,
        },
        target::{
            catalog::names_of,
            lock_acquisition::{LockMode, Locks},
            objects,
            record::{self, LiveTableRecord, UnfinishedRun},
            session::{Target, search_path},
            table_state::Transition,
        },
    },
};

/// Foreign keys of other tables that point to private: PostgreSQL doesn't empty a table that others point to.
const FOREIGN_KEYS: &str = "SELECT 'constraint ' || k.conname || ' on table ' || k.conrelid::regclass FROM pg_constraint k \
     WHERE k.contype = 'f' AND k.confrelid = ANY($1) AND k.conrelid <> ALL($1) ORDER BY 1";

/// One push that replaces the rows of table after table.
pub(crate) struct ReplaceRows<'a> {
    /// What it works on.
    pub scope: PushScope<'a>,
    /// Load every table, whatever an interrupted run has done.
    pub fresh: bool,
}

impl<'a> ReplaceRows<'a> {
    /// Does it. `run` is told of the run's number as soon as there is one.
    ///
    /// # Errors
    /// `TargetOccupied` if foreign keys of others point to the tables; `Local*`, `Target*`, `Interrupted`.
    pub(crate) async fn run(&self, run: impl Fn(i64)) -> Result<Vec<ExpectedDigest<'a>>> {
        self.refuse_foreign_keys().await?;
        record::create(self.scope.control).await?;
        let run_id = self.begin().await?;
        run(run_id);
        make_room(self.scope.target, self.scope.control, self.scope.target_state).await?;
        let wanted = digest_check::expected_digests(self.scope.reader, self.scope.manifest).await?;
        self.locked("dropping foreign keys", &self.foreign_keys_off()).await?;
        let loading = self.load_all(run_id);
        self.scope
            .journal
            .run_phase(self.scope.target.ctx, "load", Some(self.scope.manifest.tables.len() as u64), loading)
            .await?;
        self.scope.journal.run_phase(self.scope.target.ctx, "constraints", None, self.foreign_keys_on()).await?;
        let pool = SessionPool::open(self.scope.target, &self.scope.target_state.path, self.scope.workers).await?;
        let comparing = digest_check::differing(&pool, self.scope.target.schema, &wanted);
        let differing = self
            .scope
            .journal
            .run_phase(self.scope.target.ctx, "digests", Some(wanted.len() as u64), comparing)
            .await?;
        if !differing.is_empty() {
            self.unmark(run_id, &differing).await?;
            return Err(digest_check::explain(self.scope.reader, self.scope.manifest, &differing).await?);
        }
        self.finish(run_id, &wanted).await?;
        Ok(wanted)
    }

    async fn refuse_foreign_keys(&self) -> Result<()> {
        let live = self.scope.target_state.record.live_oids();
        let keys = names_of(self.scope.control, "looking for foreign keys", FOREIGN_KEYS, &[&live]).await?;
        if keys.is_empty() {
            return Ok(());
        }
        let text = format!("tables can't be emptied while others point to them: {}", keys.join(", "));
        Err(Error::new(Kind::TargetOccupied, text).with_hint("nothing was changed; use --mode diff, which keeps them"))
    }

    /// Continues an interrupted run of the same content, or begins one.
    async fn begin(&self) -> Result<i64> {
        let key = &self.scope.manifest.run_key;
        let unfinished = &self.scope.target_state.record.unfinished;
        let fits = |run: &&UnfinishedRun| run.mode == "replace" && run.staging.is_empty() && run.run_key == *key;
        let continued = unfinished.iter().rev().find(fits).filter(|_| !self.fresh);
        for run in unfinished.iter().filter(|run| continued.is_none_or(|kept| kept.run_id != run.run_id)) {
            staging::drop_run(self.scope.control, run).await?;
        }
        match continued {
            Some(run) => Ok(run.run_id),
            None => record::begin_run(self.scope.control, key, self.scope.target.schema, PushMode::Replace).await,
        }
    }

    /// Takes the marks from these source tables, so that the next try loads them.
    async fn unmark(&self, run_id: i64, sources: &[String]) -> Result<()> {
        let tables = self.scope.manifest.tables.iter().map(|to_push| &to_push.table);
        let names = tables.filter(|table| sources.contains(&table.source)).map(|table| quote_literal(&table.name));
        let names = names.collect::<Vec<_>>().join(", ");
        // The mark goes on saying that the run changed the table.
        let sql =
            format!("UPDATE turso2neon.chunks SET chunk = -1 WHERE run_id = {run_id} AND table_name IN ({names})");
        self.scope.control.batch("taking the marks of tables that differ", &sql).await
    }

    fn foreign_keys_off(&self) -> Vec<String> {
        let tables = self.scope.manifest.tables.iter().map(|to_push| &to_push.table);
        let drop = |name: &str, key: &str| {
            format!(
                "ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}",
                qualified(self.scope.target.schema, name),
                quote_ident(key)
            )
        };
        tables.flat_map(|table| table.foreign_keys.iter().map(move |key| drop(&table.name, &key.name))).collect()
    }

    async fn foreign_keys_on(&self) -> Result<()> {
        let schema = self.scope.target.schema;
        let tables = || self.scope.manifest.tables.iter().map(|to_push| &to_push.table);
        let mut sql = self.foreign_keys_off();
        sql.extend(tables().flat_map(|table| ddl::foreign_keys(schema, table)).map(|statement| statement.sql));
        self.locked("adding foreign keys", &sql).await?;
        let validations = tables().flat_map(|table| ddl::validations(schema, table));
        for statement in validations {
            self.scope.target.ctx.stop.check()?;
            self.scope.control.batch("validating constraints", &statement.sql).await.at_table(&statement.table)?;
        }
        let sequences = tables().filter_map(|table| ddl::sequence(schema, table)).map(|statement| statement.sql);
        let analyze = tables().map(|table| format!("ANALYZE {}", qualified(schema, &table.name)));
        let last: Vec<String> = sequences.chain(analyze).collect();
        self.scope.control.batch("gathering statistics", &last.join("; ")).await
    }

    /// Runs statements in one transaction with all tables locked.
    async fn locked(&self, doing: &'static str, statements: &[String]) -> Result<()> {
        if statements.is_empty() {
            return Ok(());
        }
        let tables: Vec<String> = self
            .scope
            .manifest
            .tables
            .iter()
            .map(|to_push| qualified(self.scope.target.schema, &to_push.table.name))
            .collect();
        alone(self.scope.target, self.scope.control, tables, doing, &statements.join(";\n")).await
    }

    async fn load_all(&self, run_id: i64) -> Result<()> {
        let sql = "SELECT table_name FROM turso2neon.chunks WHERE run_id = $1 AND chunk >= 0";
        let done = names_of(self.scope.control, "reading which tables are done", sql, &[&run_id]).await?;
        let done: BTreeSet<String> = done.into_iter().collect();
        let live = &self.scope.target_state.record.live;
        let mut facts = diff::facts(self.scope.control, &self.scope.target_state.record.live_oids()).await?;
        self.scope.control.batch("preparing the session", &search_path(&self.scope.target_state.path)).await?;
        for to_push in self.scope.manifest.tables.iter().filter(|to_push| !done.contains(&to_push.table.name)) {
            debug_assert!(live.iter().any(|live| live.name == to_push.table.name), "the structure is the same");
            let facts = facts.remove(&to_push.table.name).unwrap_or_default();
            let trigger_toggles = facts.disable_triggers();
            let attempt = |begin: String| self.load(run_id, to_push, &trigger_toggles, begin).boxed();
            let table = qualified(self.scope.target.schema, &to_push.table.name);
            let locks = locks(self.scope.target, self.scope.control, vec![table]);
            let sent = locks.with_locks(attempt).await.at_table(&to_push.table.source)?;
            self.scope.journal.moved(&to_push.table.source, sent);
            self.scope.target.ctx.out.info(format!("{}: {} rows replaced", to_push.table.source, sent.rows));
        }
        self.scope.control.batch("preparing the session", &search_path(&[])).await
    }

    async fn load(
        &self,
        run_id: i64,
        to_push: &TableToPush,
        trigger_toggles: &(Vec<String>, Vec<String>),
        begin: String,
    ) -> Result<SentCounts> {
        let schema = self.scope.target.schema;
        let table = qualified(schema, &to_push.table.name);
        let (off, on) = trigger_toggles;
        let mut begin = vec![begin];
        begin.extend(off.iter().cloned());
        begin.push(format!("TRUNCATE ONLY {table}"));
        self.scope.control.batch("emptying the table", &begin.join("; ")).await?;
        let whole = Chunk { table: 0, number: 0, first: 0, end: None, whole: true };
        let prepared = self.scope.control.client().prepare(&whole.destination(schema, to_push)).await;
        let statement = prepared.map_err(|failure| self.scope.control.error("preparing the load", &failure))?;
        let output = whole.source(&self.scope.manifest.plan.schema, to_push);
        let sent =
            relay(self.scope.reader, &output, self.scope.control, &statement, |bytes| self.scope.journal.sent(bytes))
                .await?;
        let mut end = on.clone();
        end.push(format!(
            "INSERT INTO turso2neon.chunks (run_id, table_name, chunk, row_count, byte_count) VALUES ({run_id}, {}, 0, {}, {})",
            quote_literal(&to_push.table.name),
            sent.rows,
            sent.bytes
        ));
        end.push("COMMIT".to_owned());
        self.scope.control.batch("committing the table", &end.join("; ")).await?;
        Ok(sent)
    }

    async fn finish(&self, run_id: i64, wanted: &[ExpectedDigest<'_>]) -> Result<()> {
        let tables: Vec<LiveTableRecord<'_>> = self
            .scope
            .manifest
            .tables
            .iter()
            .zip(wanted)
            .map(|(to_push, wanted)| LiveTableRecord {
                name: &to_push.table.name,
                source: &to_push.table.source,
                fingerprint: &to_push.fingerprint,
                digest: wanted.digest,
                columns: Some(record::digest_columns(&to_push.table)),
            })
            .collect();
        let mut sql = vec!["BEGIN".to_owned()];
        sql.extend(record::live(self.scope.target.schema, run_id, &self.scope.manifest.run_key, &tables));
        sql.extend(record::done(self.scope.target.schema, run_id, self.scope.manifest.rows()));
        sql.push("COMMIT".to_owned());
        self.scope.control.batch("recording the push", &sql.join("; ")).await
    }
}

/// Drops what is kept for a rollback.
///
/// # Errors
/// `Target*`.
pub(crate) async fn make_room(target: &Target<'_>, control: &Session, target_state: &TargetState) -> Result<()> {
    let kept = row_undo::read(control, target.schema).await?;
    let forget = row_undo::forget(target.schema, &kept);
    if !forget.is_empty() {
        control.batch("dropping what the last push kept", &forget.join("; ")).await?;
    }
    record::drop_previous(control, target.schema, &target_state.record).await
}

/// Drops the tables themselves, because others take their place that have another structure. What hangs on them and can
/// be carried over is put down in the record.
///
/// # Errors
/// `Target*`.
pub(crate) async fn drop_live(
    target: &Target<'_>,
    control: &Session,
    manifest: &Manifest,
    target_state: &TargetState,
) -> Result<()> {
    record::create(control).await?;
    make_room(target, control, target_state).await?;
    let put_down = grants::save_grants(control, manifest, target.schema, &target_state.record).await?;
    let tables: Vec<String> =
        target_state.record.live.iter().map(|table| qualified(target.schema, &table.name)).collect();
    let (views, functions) = objects::drops(control, target.schema).await?;
    let mut work = put_down;
    work.extend(views);
    work.push(format!("DROP TABLE {} RESTRICT", tables.join(", ")));
    work.extend(functions);
    work.extend(target_state.record.transition(Transition::DropLive, target.schema));
    work.extend(objects::transition(Transition::DropLive, target.schema, &target_state.record));
    alone(target, control, tables, "dropping the tables", &work.join("; ")).await
}

fn locks<'a>(target: &'a Target<'a>, control: &'a Session, shared: Vec<String>) -> Locks<'a> {
    Locks { target, control, private: Vec::new(), shared, strength: LockMode::AgainstEverybody }
}

/// Runs statements in one transaction that has these tables for itself.
async fn alone(
    target: &Target<'_>,
    control: &Session,
    tables: Vec<String>,
    doing: &'static str,
    work: &str,
) -> Result<()> {
    let attempt =
        |begin: String| async move { control.batch(doing, &format!("{begin}; {work}; COMMIT")).await }.boxed();
    locks(target, control, tables).with_locks(attempt).await
}
