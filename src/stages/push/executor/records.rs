//! What the working directory keeps of a push: its checkpoint.

use std::{collections::BTreeMap, sync::PoisonError};

use crate::{
    error::{Kind, Result},
    model::{
        PushCheckpoint,
        checkpoint::{LoadState, PushedTable},
        push_plan::{PushMode, PushPlan},
    },
    postgres::Session,
    stages::push::{
        load::{digest_check::ExpectedDigest, progress_journal::CheckpointEntry},
        plan::{preflight::TargetState, request::Pushed},
        target::{
            catalog, live_tables,
            record::{self, TargetRecord},
            session::previous_schema,
            tool_objects,
        },
    },
};

use super::PushExecutor;

impl PushExecutor<'_> {
    pub(super) fn is_of_this_push(&self, known: &PushCheckpoint) -> bool {
        known.state == LoadState::Done
            && known.run_key == self.manifest.run_key
            && known.plan_sha256 == self.manifest.plan_sha256
            && known.target == self.endpoint.address()
            && known.schema == self.request.schema
    }

    /// Notes what the tables take on the target. The push is done by then: a failure to ask is none of the push.
    pub(super) async fn record_sizes(&self, control: &Session) {
        let sizes = catalog::table_sizes(control, &self.request.schema).await;
        self.journal.record_table_sizes(sizes.unwrap_or_default());
    }

    /// What the checkpoint says of the tables.
    pub(super) fn pushed_tables(digests: &[ExpectedDigest<'_>]) -> BTreeMap<String, PushedTable> {
        let tables = digests.iter().map(|wanted| {
            let (rows, server_digest) = (wanted.digest.rows, Some(wanted.digest));
            (wanted.table.source.clone(), PushedTable { rows, server_digest, ..PushedTable::default() })
        });
        tables.collect()
    }

    /// Records the setting that keeps this tool's schemas out of the comparison of a framework that is used there: the
    /// answer and the report show it. The push is done by then: a failure to ask is none of the push.
    pub(super) async fn record_frameworks(&self, control: &Session) {
        let frameworks = live_tables::frameworks(control).await.unwrap_or_default();
        if frameworks.is_empty() {
            return;
        }
        let listed = tool_objects::read(control, self.endpoint.address()).await.map(|found| found.schemas);
        let mut schemas: Vec<String> = listed.unwrap_or_default().into_iter().map(|schema| schema.name).collect();
        if schemas.is_empty() {
            schemas.push(record::SCHEMA.to_owned());
        }
        let settings = frameworks.into_iter().filter_map(|one| one.schema_filter(&self.request.schema, &schemas));
        let remove = |setting| format!("{setting}; `turso2neon finish --purge` removes them");
        self.journal.record_frameworks(settings.map(remove).collect());
    }

    pub(super) fn done(&self, plan: PushPlan, tables: BTreeMap<String, PushedTable>) -> Result<Pushed> {
        let checkpoint = self.write(&plan, LoadState::Done, tables)?;
        Ok(Pushed { checkpoint: Some(checkpoint), plan: Some(plan), ..Pushed::default() })
    }

    /// Writes the checkpoint of a push that is under way or just done.
    pub(super) fn write(
        &self,
        plan: &PushPlan,
        state: LoadState,
        tables: BTreeMap<String, PushedTable>,
    ) -> Result<PushCheckpoint> {
        let mode = plan.action.mode().unwrap_or(PushMode::Create);
        let replaced = if mode == PushMode::Swap { plan.replaced.clone() } else { Vec::new() };
        self.write_entry(replaced, mode, Some(plan), state, tables)
    }

    /// Writes the checkpoint of a push that is done, made from the record as it is now.
    pub(super) fn write_done(&self, now: &TargetRecord, plan: Option<&PushPlan>) -> Result<PushCheckpoint> {
        let pushed = |table: &record::PushedTableRecord| {
            let (rows, server_digest, chunks) = (table.rows, table.digest, table.chunks);
            (table.source.clone(), PushedTable { rows, server_digest, chunks, ..PushedTable::default() })
        };
        let mode = now.last_mode.unwrap_or(PushMode::Create);
        let kept = |mode| !matches!(mode, PushMode::Diff | PushMode::Load | PushMode::Replace);
        let replaced = now.previous.iter().filter(|_| kept(mode)).map(|table| table.name.clone()).collect();
        self.write_entry(replaced, mode, plan, LoadState::Done, now.live.iter().map(pushed).collect())
    }

    fn write_entry(
        &self,
        replaced: Vec<String>,
        mode: PushMode,
        plan: Option<&PushPlan>,
        state: LoadState,
        tables: BTreeMap<String, PushedTable>,
    ) -> Result<PushCheckpoint> {
        let entry = CheckpointEntry {
            target: self.endpoint.address().to_owned(),
            schema: self.request.schema.clone(),
            mode,
            plan: plan.cloned(),
            previous_schema: (!replaced.is_empty()).then(|| previous_schema(&self.request.schema)),
            replaced,
            tables,
            kept: self.request.keep_previous && matches!(mode, PushMode::Swap | PushMode::Diff | PushMode::Load),
            restore_point: self.restore_point.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        self.journal.write(self.ctx, self.manifest, entry, state)
    }

    /// Keeps the state of the branch as it is before tables that are in use change, where Neon's API can be used. The
    /// push doesn't depend on it: what it replaces is kept on the branch too.
    pub(super) async fn make_restore_point(&self, target_state: &TargetState) -> Result<()> {
        let Some(branch) = self.request.neon.as_ref().filter(|branch| !branch.on_trial) else { return Ok(()) };
        let made = self.restore_point.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if made || target_state.record.live.is_empty() {
            return Ok(());
        }
        match branch.restore_point(self.ctx).await {
            Ok(name) => {
                self.ctx.out.info(format!("restore point {name} keeps the present state of the branch for 7 days"));
                *self.restore_point.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
            }
            Err(error) if error.kind() == Kind::Interrupted => return Err(error),
            Err(error) => self.ctx.out.warn(format!("no restore point was made: {error}")),
        }
        Ok(())
    }
}
