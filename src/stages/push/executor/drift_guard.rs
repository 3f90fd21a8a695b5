//! Finds what others changed on the target since the last push, before anything is written there, and does with it
//! what `--on-drift` says.
//!
//! Rows are compared by the digest that the last push recorded. The rows that others inserted or updated are those of
//! later transactions (`xmin`); which of them are updates is seen from the keys on the local PostgreSQL.

use std::collections::BTreeSet;

use crate::{
    error::{Error, Kind, Result},
    model::{
        TablePlan,
        drift::{DriftPolicy, TableDrift},
        human_format::counted,
        identifier::{qualified, quote_ident},
        push_plan::{PushMode, PushPlan},
        row_changes::RowChanges,
        table_digest::DigestColumn,
    },
    postgres::{Parameter, Session, table_digest},
    stages::push::{
        load::{
            digest_check::LIGHT_BYTES,
            session_pool::{JobKind, PoolJob, SessionPool},
        },
        plan::preflight::TargetState,
        target::baseline::{self, TableBaseline},
    },
};

use super::PushExecutor;

/// How many tables a message names.
const NAMED: usize = 20;
/// Of so many rows at most the keys are compared, to tell inserted rows from updated ones.
const KEYS_COMPARED: usize = 100_000;

/// What a comparison of the target with the last push found.
#[derive(Default)]
pub(super) struct DriftCheck {
    /// Tables that others changed.
    drifted: Vec<DriftedTable>,
    /// Tables that have exactly the rows that were pushed.
    pub unchanged: BTreeSet<String>,
}

struct DriftedTable {
    baseline: TableBaseline,
    rows_differ: bool,
}

impl DriftCheck {
    pub(super) fn is_empty(&self) -> bool {
        self.drifted.is_empty()
    }
}

impl PushExecutor<'_> {
    /// Compares the tables of the last push with what it recorded.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`.
    pub(super) async fn find_drift(&self, control: &Session, target_state: &TargetState) -> Result<DriftCheck> {
        let mut tables = baseline::read(control, &self.request.schema).await?;
        // The user allows to replace these, whoever made or changed them.
        tables.retain(|table| !self.request.is_forced(&table.name));
        // A target without any of the tables is a new one.
        if tables.iter().all(|table| table.is_gone) {
            return Ok(DriftCheck::default());
        }
        self.leave_out_replaced(control, target_state, &mut tables).await?;
        let jobs: Vec<PoolJob> = tables.iter().filter_map(|table| self.digest_job(table)).collect();
        let mut unchanged: BTreeSet<String> = jobs.iter().map(|job| job.table.clone()).collect();
        let mut differing = Vec::new();
        if !jobs.is_empty() {
            let pool = SessionPool::open(&self.target, &target_state.path, self.workers(jobs.len())).await?;
            let steps = Some(jobs.len() as u64);
            differing = self.journal.run_phase(self.ctx, "digests", steps, pool.run("digests", jobs)).await?;
        }
        unchanged.retain(|name| !differing.contains(name));
        let drifted = tables.into_iter().filter_map(|mut baseline| {
            // What the application changes about its own tables is compared with the plan (`plan::in_place`).
            if baseline.is_adopted {
                baseline.structure.clear();
                return differing.contains(&baseline.name).then_some(DriftedTable { baseline, rows_differ: true });
            }
            if baseline.is_gone {
                baseline.structure = vec!["the table was dropped, renamed or moved".to_owned()];
            }
            let rows_differ = differing.contains(&baseline.name);
            (rows_differ || !baseline.structure.is_empty()).then_some(DriftedTable { baseline, rows_differ })
        });
        Ok(DriftCheck { drifted: drifted.collect(), unchanged })
    }

    /// An interrupted push in mode `replace` has changed tables that the record describes as they were before.
    async fn leave_out_replaced(
        &self,
        control: &Session,
        target_state: &TargetState,
        tables: &mut Vec<TableBaseline>,
    ) -> Result<()> {
        let replacing = target_state.record.unfinished.iter().filter(|run| run.mode == PushMode::Replace.to_string());
        let runs: Vec<i64> = replacing.map(|run| run.run_id).collect();
        if runs.is_empty() {
            return Ok(());
        }
        let sql = "SELECT DISTINCT table_name FROM turso2neon.chunks WHERE run_id = ANY ($1)";
        let replaced: Vec<String> = control.query_column("reading which tables are replaced", sql, &[&runs]).await?;
        tables.retain(|table| !replaced.contains(&table.name));
        // It drops foreign keys first and adds them at the end.
        for table in tables {
            table.structure.clear();
        }
        Ok(())
    }

    fn planned(&self, name: &str) -> Option<&TablePlan> {
        self.manifest.tables.iter().map(|to_push| &to_push.table).find(|table| table.name == name)
    }

    /// The comparison of the rows; none if the record does not say enough.
    fn digest_job(&self, table: &TableBaseline) -> Option<PoolJob> {
        if table.is_gone || table.is_unreadable {
            return None;
        }
        let wanted = table.digest?;
        let to_push = self.manifest.tables.iter().find(|to_push| to_push.table.name == table.name);
        let columns: Vec<DigestColumn> = match (&table.columns, to_push) {
            (Some(columns), _) => columns.clone(),
            (None, Some(to_push)) if to_push.fingerprint == table.fingerprint => {
                to_push.table.compared_columns().into_iter().map(DigestColumn::from).collect()
            }
            (None, _) => return None,
        };
        let sql = table_digest::recorded_query(&self.request.schema, &table.name, &columns);
        let light = to_push.is_some_and(|to_push| to_push.table.bytes <= LIGHT_BYTES);
        let task = JobKind::Compare { sql, wanted };
        Some(PoolJob { doing: "computing a digest", table: table.name.clone(), task, light })
    }

    /// Counts what was found, and refuses it, or enters into the state of the target what becomes of it.
    ///
    /// # Errors
    /// `TargetDrifted`, `Target*`, `Local*`.
    pub(super) async fn decide_drift(
        &self,
        (control, reader): (&Session, &Session),
        found: DriftCheck,
        target_state: &mut TargetState,
    ) -> Result<()> {
        target_state.unchanged = found.unchanged;
        let mut drift = Vec::new();
        for table in found.drifted {
            drift.push(self.count(control, reader, table).await?);
        }
        if drift.is_empty() {
            return Ok(());
        }
        if self.request.on_drift == DriftPolicy::Refuse {
            return Err(drifted(&drift, "since the last push"));
        }
        if self.request.on_drift == DriftPolicy::Keep {
            target_state.kept = drift.iter().map(|table| table.name.clone()).collect();
        }
        target_state.drift = drift;
        Ok(())
    }

    async fn count(&self, control: &Session, reader: &Session, table: DriftedTable) -> Result<TableDrift> {
        let DriftedTable { baseline, rows_differ } = table;
        let rows = match (&baseline.pushed_xid, baseline.digest) {
            (Some(xid), Some(digest)) if rows_differ => {
                self.count_rows(control, reader, (&baseline, xid), digest.rows).await?
            }
            _ => None,
        };
        let TableBaseline { name, source, structure, .. } = baseline;
        Ok(TableDrift { name, source, rows_differ, rows, structure })
    }

    /// The rows that others inserted, updated and deleted. `pushed` is how many rows there were.
    async fn count_rows(
        &self,
        control: &Session,
        reader: &Session,
        (table, xid): (&TableBaseline, &str),
        pushed: u64,
    ) -> Result<Option<RowChanges>> {
        let Ok(xid) = xid.parse::<u64>() else { return Ok(None) };
        let name = qualified(&self.request.schema, &table.name);
        let later = format!("age(t.xmin) < age('{xid}'::xid8::xid)");
        let sql = format!("SELECT count(*), count(*) FILTER (WHERE {later}) FROM {name} AS t");
        let row = control.query_row("counting the rows that others changed", &sql, &[]).await?;
        let (now, written) = (row.count(0)?, row.count(1)?);
        let lost = pushed.saturating_sub(now.saturating_sub(written));
        let updated = match self.planned(&table.name).filter(|_| written > 0 && lost > 0) {
            Some(plan) => self.count_updates(control, reader, plan, &later).await?,
            None => Some(0),
        };
        Ok(updated.map(|updated| {
            let updated = updated.min(lost).min(written);
            RowChanges { inserted: written - updated, updated, deleted: lost - updated }
        }))
    }

    /// How many rows of later transactions have keys that the local PostgreSQL has; none if there are too many.
    async fn count_updates(
        &self,
        control: &Session,
        reader: &Session,
        table: &TablePlan,
        later: &str,
    ) -> Result<Option<u64>> {
        let Some(key) = &table.primary_key else { return Ok(Some(0)) };
        let columns: Vec<String> = key.columns.iter().map(|name| format!("t.{}::text", quote_ident(name))).collect();
        let columns = columns.join(", ");
        let name = qualified(&self.request.schema, &table.name);
        let sql = format!("SELECT ARRAY[{columns}] FROM {name} AS t WHERE {later} LIMIT {}", KEYS_COMPARED + 1);
        let keys: Vec<Vec<String>> = control.query_column("reading the keys of changed rows", &sql, &[]).await?;
        if keys.len() > KEYS_COMPARED {
            return Ok(None);
        }
        let parts: Vec<Vec<String>> =
            (0..key.columns.len()).map(|part| keys.iter().filter_map(|key| key.get(part).cloned()).collect()).collect();
        let lists: Vec<String> = (1..=parts.len()).map(|number| format!("${number}::text[]")).collect();
        let local = qualified(&self.manifest.plan.schema, &table.name);
        let sql = format!(
            "SELECT count(*) FROM {local} AS t WHERE ({columns}) IN (SELECT * FROM unnest({}))",
            lists.join(", ")
        );
        let parameters: Vec<&dyn Parameter> = parts.iter().map(|part| part as &dyn Parameter).collect();
        let row = reader.query_row("comparing the keys of changed rows", &sql, &parameters).await?;
        row.count(0).map(Some)
    }

    /// Says what becomes of the changes of others.
    pub(super) fn report_drift(&self, plan: &PushPlan) {
        plan.drift_lines().for_each(|line| self.ctx.out.warn(line));
    }

    /// Refuses to go on if others changed tables while this push loaded its own.
    ///
    /// # Errors
    /// `TargetDrifted`, `Target*`, `Interrupted`.
    pub(super) async fn refuse_later_drift(
        &self,
        servers: (&Session, &Session),
        target_state: &TargetState,
    ) -> Result<()> {
        if self.request.on_drift != DriftPolicy::Refuse || target_state.record.live.is_empty() {
            return Ok(());
        }
        let found = self.find_drift(servers.0, target_state).await?;
        let mut drift = Vec::new();
        for table in found.drifted.into_iter().filter(|table| target_state.unchanged.contains(&table.baseline.name)) {
            drift.push(self.count(servers.0, servers.1, table).await?);
        }
        if drift.is_empty() { Ok(()) } else { Err(drifted(&drift, "while this push loaded the new ones")) }
    }
}

/// The error that names the tables.
fn drifted(drift: &[TableDrift], when: &str) -> Error {
    let tables = counted(drift.len() as u64, "table", "tables");
    let mut list: Vec<String> = drift.iter().take(NAMED).map(ToString::to_string).collect();
    if drift.len() > NAMED {
        list.push(format!("and {} more", drift.len() - NAMED));
    }
    Error::new(Kind::TargetDrifted, format!("others changed {tables} on the target {when}: {}", list.join("; ")))
}

/// Rows may refer to rows of tables that are left as they are.
pub(super) fn naming_kept(error: Error, target_state: &TargetState) -> Error {
    if target_state.kept.is_empty() {
        return error;
    }
    let kept: Vec<&str> = target_state.kept.iter().map(String::as_str).collect();
    let text = format!(
        "the rows can't be changed while tables that others changed are left as they are ({}): {}",
        kept.join(", "),
        error.message()
    );
    Error::new(Kind::TargetDrifted, text).with_hint("nothing was changed; use --on-drift overwrite")
}
