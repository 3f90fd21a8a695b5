//! Names what a push changes about tables that are in use, and does with it what `--on-type-change` says.

use crate::{
    error::Result,
    event::Event,
    model::{
        push_plan::{Action, RequestedMode},
        structure_change::TypeChangePolicy,
    },
    postgres::Session,
    stages::push::{
        plan::{preflight::TargetState, structure_changes},
        target::{contract, record::PushedTableRecord},
    },
};

use super::PushExecutor;

impl PushExecutor<'_> {
    /// Enters the changes into the state of the target, or refuses them.
    ///
    /// # Errors
    /// `TypeChanged`, after what speaks against any push of whole tables; `Target*`.
    pub(super) async fn decide_changes(&self, control: &Session, target_state: &mut TargetState) -> Result<()> {
        // On a new target nothing is in use.
        if !target_state.record.live.iter().any(PushedTableRecord::is_pushed) {
            return Ok(());
        }
        let mut live = contract::read(control, &self.request.schema).await?;
        // The user allows to replace these, or others changed them and they stay.
        live.retain(|table| !self.request.is_forced(&table.name) && !target_state.kept.contains(&table.name));
        let changes = structure_changes::find(&live, &target_state.record.live_objects, &self.manifest.plan);
        if changes.is_empty() {
            return Ok(());
        }
        let is_refused = self.request.on_type_change == TypeChangePolicy::Decide;
        if is_refused {
            // Where tables are altered, what others built on them stays.
            let is_altered = self.request.mode == RequestedMode::Auto && !self.request.fresh;
            target_state.require_clear(if is_altered { Action::Diff } else { Action::Swap })?;
        }
        for change in &changes {
            self.ctx.out.emit(&Event::StructureChanged(change.clone()));
        }
        if is_refused {
            return Err(structure_changes::undecided(&changes));
        }
        target_state.changes = changes;
        Ok(())
    }

    /// Records what users of the pushed tables rely on.
    ///
    /// # Errors
    /// `Target*`.
    pub(super) async fn note_contract(&self, control: &Session) -> Result<()> {
        let tables = self.manifest.tables.iter().map(|to_push| (to_push.fingerprint.as_str(), &to_push.table));
        contract::note(control, &self.request.schema, &tables.collect::<Vec<_>>()).await
    }
}
