//! A push in mode `diff`, from the choice to the commit.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
};

use futures_util::future::try_join_all;

use crate::{
    error::{Error, Kind, Result},
    model::{
        Stage, TablePlan,
        drift::DriftPolicy,
        identifier::{qualified, quote_literal},
        push_plan::{Action, Kept, PushMode, PushPlan},
    },
    postgres::{PgEndpoint, Session},
    rules::ddl,
    stages::push::{
        diff::{
            self, ChangeSet, ChangedRows, DiffSessions, InPlaceLoad, RowIdentity, TableChange, TableDiff,
            numbering::{self, SequenceRaise},
            row_undo,
        },
        load::{
            copy_stream::{SentCounts, measure_bytes, relay},
            digest_check::{self, ExpectedDigest},
            push_scope::PushScope,
            session_pool::SessionPool,
            staging,
        },
        plan::{
            manifest::{Manifest, TableToPush},
            preflight::TargetState,
        },
        target::record::{self, TargetRecord},
    },
};

/// How often the rows are compared anew because somebody changed them in between.
const ROUNDS: u32 = 3;

/// One push that changes rows in place.
pub(crate) struct DiffPush<'a> {
    /// What it works on.
    pub scope: PushScope<'a>,
    /// Where more sessions of the local PostgreSQL come from.
    pub local: &'a PgEndpoint,
    /// What is done with rows that others change while the push runs.
    pub on_drift: DriftPolicy,
    /// Keep what is needed to change the rows back.
    pub keep_previous: bool,
    /// How the record calls the push.
    pub mode: PushMode,
}

/// What was found to differ.
pub(crate) struct TableDiffs<'a> {
    /// The digest that each table must have.
    pub wanted: Vec<ExpectedDigest<'a>>,
    tables: Vec<TableDiff<'a>>,
    /// Sessions of the local PostgreSQL, besides the usual one, whose temporary tables list the rows.
    more: Vec<Session>,
    restarts: Vec<SequenceRestart<'a>>,
    /// Sequences of the application's tables that have to go on with another number.
    raises: Vec<SequenceRaise>,
    /// Bytes of hashes that were received to find them.
    pub received: u64,
}

/// An identity column that has to go on with another number.
struct SequenceRestart<'a> {
    table: &'a TablePlan,
    now: i64,
}

impl<'a> DiffPush<'a> {
    /// Makes the change that was found. After `TargetUnreachable` it may have happened or not; the record knows. `run`
    /// is told of the run's number as soon as there is one.
    ///
    /// # Errors
    /// `Local*`, `Target*`, `Interrupted`, `ArtifactStale`.
    pub(crate) async fn run(&self, mut findings: TableDiffs<'a>, run: impl Fn(i64)) -> Result<TableDiffs<'a>> {
        record::create(self.scope.control).await?;
        for unfinished in &self.scope.target_state.record.unfinished {
            staging::drop_run(self.scope.control, unfinished).await?;
        }
        let run_id =
            record::begin_run(self.scope.control, &self.scope.manifest.run_key, self.scope.target.schema, self.mode)
                .await?;
        run(run_id);
        for _ in 0..ROUNDS {
            let items = self.send(&findings).await?;
            self.refuse_references(&items).await?;
            let work = self.work(run_id, &findings, &items).await?;
            let making = work.run(self.scope.target, self.scope.control);
            let differing = self.scope.journal.run_phase(self.scope.target.ctx, "apply", None, making).await?;
            if differing.is_empty() {
                work.in_place.iter().for_each(InPlaceLoad::report_committed);
                self.clear_up(&findings).await?;
                return Ok(findings);
            }
            let reason = digest_check::explain(self.scope.reader, self.scope.manifest, &differing).await?;
            if reason.kind() == Kind::ArtifactStale {
                return Err(reason);
            }
            if self.on_drift != DriftPolicy::Overwrite {
                let text = format!("others changed rows on the target while the push ran: {}", differing.join(", "));
                return Err(Error::new(Kind::TargetDrifted, text)
                    .with_hint("no row was changed; run the same command again to see what changed"));
            }
            self.scope
                .target
                .ctx
                .out
                .warn(format!("rows changed on the target meanwhile; comparing anew: {}", differing.join(", ")));
            findings = self.find().await?;
        }
        Err(Error::new(Kind::TargetRejected, "somebody changes the tables on the target while they are compared")
            .with_hint(if self.scope.target_state.in_place.is_some() {
                "stop what writes to these tables, then run the same command again"
            } else {
                "stop what writes to these tables, or use --mode swap"
            }))
    }

    /// Bytes of the rows that have to be sent, as they would be sent.
    ///
    /// # Errors
    /// `Local*`, `Interrupted`.
    pub(crate) async fn measure(&self, findings: &TableDiffs<'a>) -> Result<u64> {
        let mut bytes = 0;
        for (number, TableDiff { shape, place, .. }) in findings.tables.iter().enumerate() {
            for batch in shape.changed_row_queries(&self.scope.manifest.plan.schema, number) {
                self.scope.target.ctx.stop.check()?;
                bytes += measure_bytes(self.lister(findings, *place), &batch).await?;
            }
        }
        Ok(bytes)
    }

    /// The session that lists the rows of a table.
    fn lister<'b>(&'b self, findings: &'b TableDiffs<'_>, place: usize) -> &'b Session {
        place.checked_sub(1).and_then(|place| findings.more.get(place)).unwrap_or(self.scope.reader)
    }

    /// Compares the tables. Writes nothing but temporary tables on the local PostgreSQL.
    ///
    /// # Errors
    /// `Local*`, `Target*`, `Interrupted`.
    pub(crate) async fn find(&self) -> Result<TableDiffs<'a>> {
        let mut wanted = digest_check::expected_digests(self.scope.reader, self.scope.manifest).await?;
        wanted.retain(|wanted| self.is_compared(wanted.table));
        let (filled, mut wanted): (Vec<_>, Vec<_>) =
            wanted.into_iter().partition(|wanted| self.is_filled(&wanted.table.name));
        if wanted.is_empty() {
            let raises = self.raises().await?;
            let (tables, more, restarts) = (Vec::new(), Vec::new(), Vec::new());
            return Ok(TableDiffs { wanted: filled, tables, more, restarts, raises, received: 0 });
        }
        let pool = SessionPool::open(self.scope.target, &self.scope.target_state.path, self.scope.workers).await?;
        let work = digest_check::differing(&pool, self.scope.target.schema, &wanted);
        let differing =
            self.scope.journal.run_phase(self.scope.target.ctx, "digests", Some(wanted.len() as u64), work).await?;
        let shapes: Vec<RowIdentity<'a>> = wanted
            .iter()
            .map(|wanted| wanted.table)
            .filter(|table| differing.contains(&table.source))
            .map(|table| self.identity(table))
            .collect();
        let hands = pool.sessions().len().min(shapes.len());
        let open =
            || async { Box::pin(Session::connect_with_retry(self.scope.target.ctx, Stage::Push, self.local)).await };
        let more = try_join_all((1..hands).map(|_| open())).await?;
        self.scope.reader.batch("forgetting a former comparison", "DISCARD TEMP").await?;
        let locals: Vec<&Session> = std::iter::once(self.scope.reader).chain(&more).collect();
        let ends: Vec<DiffSessions<'_>> =
            locals.into_iter().zip(pool.sessions()).map(|(local, target)| self.ends(local, target)).collect();
        let size = |shape: &RowIdentity<'_>| {
            let to_push = self.scope.manifest.tables.iter().find(|to_push| to_push.table.source == shape.table.source);
            to_push.and_then(|to_push| to_push.loaded.as_ref()).map_or(0, |loaded| loaded.rows)
        };
        let work = diff::find_all(self.scope.target.ctx, &ends, shapes, size);
        let tables = self
            .scope
            .journal
            .run_phase(self.scope.target.ctx, "differences", Some(differing.len() as u64), work)
            .await?;
        let received = ends.iter().map(|ends| ends.received.load(Ordering::Relaxed)).sum();
        let (restarts, raises) = match self.scope.target_state.in_place {
            Some(_) => (Vec::new(), self.raises().await?),
            None => (self.restarts().await?, Vec::new()),
        };
        self.scope.journal.received(received);
        wanted.extend(filled);
        Ok(TableDiffs { wanted, tables, more, restarts, raises, received })
    }

    /// How the rows of a table are told apart, on the target as it is there.
    fn identity(&self, table: &'a TablePlan) -> RowIdentity<'a> {
        let live = self.scope.target_state.in_place.as_ref().and_then(|tables| tables.table(&table.name));
        RowIdentity::new(table).in_partitions(live.is_some_and(|live| live.is_partitioned))
    }

    /// Whether the rows of a table are compared and changed.
    fn is_compared(&self, table: &TablePlan) -> bool {
        let TargetState { kept, altered, .. } = self.scope.target_state;
        !kept.contains(&table.name) && !altered.contains(&table.name)
    }

    /// Whether the application's table has no rows and gets all of them.
    fn is_filled(&self, name: &str) -> bool {
        self.scope.target_state.in_place.as_ref().is_some_and(|tables| tables.is_filled(name))
    }

    async fn raises(&self) -> Result<Vec<SequenceRaise>> {
        let schemas = (self.scope.manifest.plan.schema.as_str(), self.scope.target.schema);
        numbering::raises((self.scope.control, self.scope.reader), schemas, &self.scope.manifest.tables).await
    }

    fn ends<'b>(&'b self, local: &'b Session, target: &'b Session) -> DiffSessions<'b> {
        let received = AtomicU64::new(0);
        DiffSessions { local, from: &self.scope.manifest.plan.schema, target, to: self.scope.target.schema, received }
    }

    /// Identity columns whose next number isn't the plan's.
    async fn restarts(&self) -> Result<Vec<SequenceRestart<'a>>> {
        let all = || self.scope.manifest.tables.iter().map(|to_push| &to_push.table);
        let tables = || all().filter(|table| self.is_compared(table));
        let query = |table: &TablePlan| {
            let sequence = qualified(self.scope.target.schema, &table.identity.as_ref()?.sequence);
            let name = quote_literal(&table.name);
            Some(format!("SELECT {name}::text, last_value, is_called FROM {sequence}"))
        };
        let queries: Vec<String> = tables().filter_map(query).collect();
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let doing = "reading the next numbers of identity columns";
        let rows = self.scope.control.query_rows(doing, &queries.join(" UNION ALL "), &[]).await?;
        let mut restarts = Vec::new();
        for row in &rows {
            let name: String = row.get(0)?;
            let (last, called): (i64, bool) = (row.get(1)?, row.get(2)?);
            let now = if called { last.saturating_add(1) } else { last };
            let restart = tables().find(|table| table.name == name).map(|table| SequenceRestart { table, now });
            restarts.extend(restart.filter(|restart| restart.next() != now));
        }
        Ok(restarts)
    }

    /// Sends the rows that differ into temporary tables of the target.
    async fn send(&self, findings: &TableDiffs<'a>) -> Result<Vec<TableChange<'a>>> {
        let oids: Vec<u32> = findings.tables.iter().filter_map(|found| self.oid(&found.shape.table.name)).collect();
        let mut facts = diff::facts(self.scope.control, &oids).await?;
        self.scope.control.batch("forgetting a former comparison", "DISCARD TEMP").await?;
        let mut items = Vec::new();
        let sending = async {
            for (number, TableDiff { shape, place, .. }) in findings.tables.iter().enumerate() {
                self.scope.target.ctx.stop.check()?;
                let lister = self.lister(findings, *place);
                let [inserts, updates, deletes] = ["ins", "upd", "del"].map(|word| format!("t2n_{word}_{number}"));
                let rows = shape.empty_rows(self.scope.target.schema);
                let list = shape.empty_list(self.scope.target.schema);
                let create = format!(
                    "CREATE TEMP TABLE {inserts} AS {rows}; CREATE TEMP TABLE {updates} AS {rows}; \
                     CREATE TEMP TABLE {deletes} AS {list}"
                );
                self.scope.control.batch("preparing the change", &create).await?;
                let places = [inserts, updates, deletes].map(|name| format!("pg_temp.{name}"));
                let columns = [shape.copy_columns(), shape.copy_columns(), shape.list_columns()];
                let batches = shape.changed_row_queries(&self.scope.manifest.plan.schema, number);
                for ((chunk_copy, place), columns) in batches.iter().zip(&places).zip(&columns) {
                    let input = format!("COPY {place} ({columns}) FROM STDIN (FORMAT binary)");
                    self.scope.journal.moved(&shape.table.source, self.send_one(lister, chunk_copy, &input).await?);
                }
                let [inserts, updates, deletes] = places;
                let analyze = format!("ANALYZE {inserts}; ANALYZE {updates}; ANALYZE {deletes}");
                self.scope.control.batch("preparing the change", &analyze).await?;
                items.push(TableChange {
                    shape: shape.clone(),
                    facts: facts.remove(&shape.table.name).unwrap_or_default(),
                    rows: ChangedRows { inserts, updates, deletes },
                    has_stored_rows: false,
                });
            }
            Ok(())
        };
        self.scope
            .journal
            .run_phase(self.scope.target.ctx, "send", Some(findings.tables.len() as u64), sending)
            .await?;
        Ok(items)
    }

    async fn send_one(&self, lister: &Session, output: &str, input: &str) -> Result<SentCounts> {
        let prepared = self.scope.control.client().prepare(input).await;
        let statement = prepared.map_err(|failure| self.scope.control.error("preparing the change", &failure))?;
        relay(lister, output, self.scope.control, &statement, |bytes| self.scope.journal.sent(bytes)).await
    }

    fn oid(&self, name: &str) -> Option<u32> {
        let live = self.scope.target_state.in_place.as_ref().and_then(|tables| tables.table(name));
        let recorded = || self.scope.target_state.record.live.iter().find(|live| live.name == name);
        live.map(|live| live.oid).or_else(|| recorded().map(|live| live.oid))
    }

    async fn work<'b>(
        &'b self,
        run_id: i64,
        findings: &TableDiffs<'a>,
        items: &'b [TableChange<'a>],
    ) -> Result<ChangeSet<'b>>
    where
        'a: 'b,
    {
        let schema = self.scope.target.schema;
        let kept = row_undo::read(self.scope.control, schema).await?;
        let touched = findings.touches() || findings.wanted.iter().any(|wanted| self.is_filled(&wanted.table.name));
        let is_changed =
            |wanted: &ExpectedDigest<'_>| items.iter().any(|item| item.shape.table.name == wanted.table.name);
        let (mut keep, mut after) = (self.entries(), Vec::new());
        if touched && self.keep_previous {
            let nexts: Vec<_> = findings.nexts(self.scope.manifest).collect();
            let (filled, others): (Vec<_>, Vec<_>) =
                findings.wanted.iter().partition(|wanted| self.is_filled(&wanted.table.name));
            let equal = others.into_iter().filter(|wanted| !is_changed(wanted));
            let equal: Vec<_> = equal.map(|wanted| (wanted.table.name.as_str(), wanted.digest)).collect();
            let filled: Vec<&TablePlan> = filled.into_iter().map(|wanted| wanted.table).collect();
            keep.extend(row_undo::keep(schema, run_id, items, &nexts, &equal, &filled));
            after.extend(row_undo::drop_kept(schema, &kept));
        } else if touched {
            after.extend(row_undo::forget(schema, &kept));
        }
        let restarts = findings.restarts.iter().filter_map(|restart| ddl::sequence(schema, restart.table));
        after.extend(restarts.map(|statement| statement.sql));
        let rows: u64 = self.scope.manifest.rows();
        after.extend(self.forget_absent());
        after.extend(record::live(schema, run_id, &self.scope.manifest.run_key, &self.described(findings)));
        after.extend(record::done(schema, run_id, rows));
        // A key that guards new rows only can take action on rows of tables that are not touched.
        let guarded = |table: &TablePlan| table.foreign_keys.iter().any(|key| key.not_valid);
        let all = self.scope.manifest.tables.iter().any(|to_push| guarded(&to_push.table));
        let counts = |wanted: &&ExpectedDigest<'_>| all || is_changed(wanted) || self.is_filled(&wanted.table.name);
        let wanted = findings.wanted.iter().filter(counts);
        let wanted = wanted.map(|wanted| (self.identity(wanted.table), wanted.digest)).collect();
        let in_place = self.in_place(items).await?;
        let path = self.scope.target_state.path.as_slice();
        let (emptied, unchanged, altered) = (Vec::new(), Vec::new(), BTreeSet::new());
        Ok(ChangeSet { schema, path, items, emptied, in_place, keep, after, wanted, unchanged, altered })
    }

    fn described(&self, findings: &TableDiffs<'a>) -> Vec<record::LiveTableRecord<'a>> {
        let describe = |to_push: &'a TableToPush| {
            let wanted = findings.wanted.iter().find(|wanted| wanted.table.name == to_push.table.name)?;
            Some(record::LiveTableRecord {
                name: &to_push.table.name,
                source: &to_push.table.source,
                fingerprint: &to_push.fingerprint,
                digest: wanted.digest,
                columns: Some(record::digest_columns(&to_push.table)),
            })
        };
        self.scope.manifest.tables.iter().filter_map(describe).collect()
    }

    /// What the push before kept of replaced tables is no longer what a rollback would bring back.
    async fn clear_up(&self, findings: &TableDiffs<'a>) -> Result<()> {
        self.scope.control.batch("forgetting the sent rows", "DISCARD TEMP").await?;
        if findings.touches()
            && let Err(error) =
                record::drop_previous(self.scope.control, self.scope.target.schema, &self.scope.target_state.record)
                    .await
        {
            if self.scope.control.is_lost() {
                return Err(error);
            }
            self.scope
                .target
                .ctx
                .out
                .warn(format!("the tables that an earlier push replaced are still there: {}", error.message()));
        }
        Ok(())
    }
}

impl TableDiffs<'_> {
    /// Whether anything of the tables that were compared changes.
    fn touches(&self) -> bool {
        !self.tables.is_empty() || !self.restarts.is_empty() || !self.raises.is_empty()
    }

    /// Tables whose sequence goes on with another number, and the number that it gives now. Of the application's
    /// sequences these are the ones that the plan knows by name.
    fn nexts<'b>(&'b self, manifest: &'b Manifest) -> impl Iterator<Item = (&'b TablePlan, i64)> {
        let restarts = self.restarts.iter().map(|restart| (restart.table, restart.now));
        let known = |raise: &'b SequenceRaise| {
            let tables = manifest.tables.iter().map(|to_push| &to_push.table);
            let table = tables.into_iter().find(|table| table.name == raise.sequence.table)?;
            let identity = table.identity.as_ref().filter(|identity| identity.sequence == raise.sequence.name)?;
            (identity.column == raise.sequence.column).then_some((table, raise.sequence.next))
        };
        restarts.chain(self.raises.iter().filter_map(known))
    }

    /// Enters into the plan what differs. `record` is what the last push left.
    pub(crate) fn enter(&self, plan: &mut PushPlan, record: &TargetRecord) {
        for table in &mut plan.tables {
            let found = self.tables.iter().find(|found| found.shape.table.name == table.name);
            table.changes = found.map(|found| found.changes);
            let restart = self.restarts.iter().find(|restart| restart.table.name == table.name);
            let raise = self.raises.iter().find(|raise| raise.sequence.table == table.name);
            table.next_number = restart.map(SequenceRestart::next).or_else(|| raise.map(|raise| raise.wanted));
        }
        let touched = self.touches() || plan.action == Action::Load;
        plan.dropped =
            if touched { record.previous.iter().map(|table| table.name.clone()).collect() } else { Vec::new() };
        if !touched {
            plan.kept = Kept::Nothing;
        }
    }
}

impl SequenceRestart<'_> {
    /// The number that the plan wants next.
    fn next(&self) -> i64 {
        self.table.identity.as_ref().and_then(|identity| identity.next).unwrap_or(i64::MAX).max(1)
    }
}
