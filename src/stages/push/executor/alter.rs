//! Alters the tables of the last push, so that afterwards only rows have to change.
//!
//! Invariant: the statements and what the record says of the structure commit together. A push that is cut off after
//! that finds tables of the plan's structure, whose rows differ.

use std::{collections::BTreeSet, sync::PoisonError};

use futures_util::FutureExt;

use crate::{
    error::{Error, Kind, Result},
    model::{
        TableDigest, TablePlan,
        catalog::Catalog,
        drift::DriftPolicy,
        identifier::{qualified, quote_literal},
        push_plan::{Action, PushPlan},
    },
    postgres::{Session, table_digest},
    stages::push::{
        diff::row_undo,
        load::chunk::LocalSize,
        plan::{alteration::Alteration, manifest::TableToPush, mode_selection::Choice, preflight::TargetState},
        target::{
            baseline, dependents,
            lock_acquisition::{LockMode, Locks},
            record,
            session::{path_setting, previous_schema},
            table_properties::PARTS,
        },
    },
};

use super::{PushExecutor, blocks_diff};

/// What the record calls a structure that no run has pushed rows into yet. No digest of a run is equal to it.
const ALTERED: &str = "altered";

impl PushExecutor<'_> {
    /// Alters the tables, if that was chosen, and gives the target as it is then and the choice that follows. In a dry
    /// run nothing is altered.
    ///
    /// # Errors
    /// `Target*`, `Interrupted`.
    pub(super) async fn alter_if_chosen(
        &self,
        control: &Session,
        mut target_state: TargetState,
        sizes: &[LocalSize],
        mut choice: Choice,
    ) -> Result<(TargetState, Choice)> {
        let Some(alteration) = choice.alteration.take() else { return Ok((target_state, choice)) };
        // Tables of the application are never replaced.
        let is_live = target_state.in_place.is_some();
        let action = if is_live { choice.action } else { Action::Diff };
        target_state.require_clear(action)?;
        self.note_alteration(Some(&alteration));
        let altered = Choice::new(action, format!("{}; the tables are altered in place", choice.reason));
        if self.request.dry_run {
            target_state.altered = alteration.tables().cloned().collect();
            return Ok((target_state, altered));
        }
        self.report_leaving(&self.plan(&target_state, altered.clone()));
        if !alteration.lost_columns.is_empty() {
            let columns = alteration.lost_columns.join(", ");
            self.ctx.out.warn(format!("a rollback will not restore the values of columns that are removed: {columns}"));
        }
        self.make_restore_point(&target_state).await?;
        match Box::pin(self.alter(control, &target_state, &alteration)).await {
            // Rows or objects of others stand against it. Whole tables can still take their places.
            Err(error) if !is_live && blocks_diff(&error) && !control.is_lost() => {
                self.note_alteration(None);
                self.ctx.out.warn(format!("the tables are replaced, because they can't be altered: {error}"));
                return Ok((target_state, choice));
            }
            altered => altered?,
        }
        alteration.statements().for_each(|sql| self.ctx.out.info(format!("altered: {sql}")));
        let TargetState { drift, changes, unchanged, .. } = target_state;
        let mut now = TargetState::look(control, self.manifest, self.request).await?;
        now.check_room(sizes.iter().map(|size| size.bytes_in_all).sum());
        (now.drift, now.changes, now.unchanged) = (drift, changes, unchanged);
        Ok((now, altered))
    }

    fn note_alteration(&self, alteration: Option<&Alteration>) {
        *self.altered.lock().unwrap_or_else(PoisonError::into_inner) = alteration.cloned().unwrap_or_default();
    }

    /// Enters into the plan what is altered, or was by this process.
    pub(super) fn enter_alteration(&self, plan: &mut PushPlan) {
        let alteration = self.altered.lock().unwrap_or_else(PoisonError::into_inner);
        plan.alters = alteration.statements().cloned().collect();
        plan.altered_tables = alteration.tables().cloned().collect();
        plan.lost_columns.clone_from(&alteration.lost_columns);
        plan.leaving.extend(alteration.removed.iter().cloned());
    }

    async fn alter(&self, control: &Session, target_state: &TargetState, alteration: &Alteration) -> Result<()> {
        record::create(control).await?;
        for sql in &alteration.before {
            control.batch("altering the types of the tables", sql).await?;
        }
        // Labels alone change nothing that is recorded or kept.
        if alteration.inside.is_empty() && alteration.tables().next().is_none() && alteration.removed.is_empty() {
            return Ok(());
        }
        if alteration.locked.is_empty() && alteration.made.is_empty() {
            return self.alter_types(control, alteration).await;
        }
        // What the push before kept is of tables with another structure.
        let kept = row_undo::read(control, self.target.schema).await?;
        let mut forget = row_undo::forget(self.target.schema, &kept);
        let record = &target_state.record;
        // What others made of kept tables keeps them.
        if dependents::of(control, &record.previous_relations()).await?.is_empty() {
            forget.extend(record::previous_drops(control, self.target.schema, record).await?);
        }
        let work = self.alter_statements(target_state, alteration, forget);
        let home = previous_schema(self.target.schema);
        let locks = Locks {
            target: &self.target,
            control,
            private: record.previous.iter().map(|table| qualified(&home, &table.name)).collect(),
            shared: alteration.locked.clone(),
            strength: LockMode::AgainstEverybody,
        };
        let (work, path) = (work.as_str(), format!("SET LOCAL {}", path_setting(&target_state.path)));
        let attempt = |begin: String| {
            let begin = format!("{begin}; SET LOCAL row_security = off; {path}");
            async move {
                control.batch("taking the locks", &begin).await?;
                self.refuse_rows_of_others(control, target_state, alteration).await?;
                control.batch("altering the tables", work).await?;
                control.batch("altering the tables", "COMMIT").await
            }
            .boxed()
        };
        let altering = locks.with_locks(attempt);
        self.journal.run_phase(self.ctx, "alter", None, altering).await
    }

    /// Adds labels that no other statement uses.
    async fn alter_types(&self, control: &Session, alteration: &Alteration) -> Result<()> {
        let mut sql = vec!["BEGIN".to_owned(), set_path(alteration)];
        sql.extend(alteration.inside.iter().cloned());
        sql.push("COMMIT".to_owned());
        let altered = control.batch("altering the types of the tables", &sql.join(";\n")).await;
        if altered.is_err() && !control.is_lost() {
            control.batch("leaving the transaction", "ROLLBACK").await?;
        }
        altered
    }

    /// Refuses to go on if others changed rows since they were compared: a digest that is computed anew would hide it.
    async fn refuse_rows_of_others(
        &self,
        control: &Session,
        target_state: &TargetState,
        alteration: &Alteration,
    ) -> Result<()> {
        if self.request.on_drift == DriftPolicy::Overwrite {
            return Ok(());
        }
        let schema = self.target.schema;
        let mut queries = Vec::new();
        for table in baseline::read(control, schema).await? {
            let is_altered = alteration.altered.iter().any(|name| alteration.name_before(name) == table.name);
            let is_touched = is_altered || alteration.removed.contains(&table.name);
            let is_compared = is_touched && target_state.unchanged.contains(&table.name);
            if let (true, Some(columns), Some(digest)) = (is_compared, &table.columns, table.digest) {
                let query = table_digest::recorded_query(schema, &table.name, columns);
                let (name, digest) = (quote_literal(&table.name), quote_literal(&digest.to_string()));
                queries.push(format!("SELECT {name}::text WHERE ({query}) IS DISTINCT FROM {digest}"));
            }
        }
        if queries.is_empty() {
            return Ok(());
        }
        let doing = "comparing digests before the tables are altered";
        let differing: Vec<String> = control.query_column(doing, &queries.join(" UNION ALL "), &[]).await?;
        if differing.is_empty() {
            return Ok(());
        }
        let text = format!("others changed rows on the target while the push ran: {}", differing.join(", "));
        Err(Error::new(Kind::TargetDrifted, text)
            .with_hint("nothing was changed; run the same command again to see what changed"))
    }

    /// The statements, and what the record says afterwards.
    fn alter_statements(&self, target_state: &TargetState, alteration: &Alteration, forget: Vec<String>) -> String {
        let schema = self.target.schema;
        let mut sql = vec![set_path(alteration)];
        sql.extend(alteration.inside.iter().cloned());
        sql.push(format!("SET LOCAL {}", path_setting(&target_state.path)));
        sql.extend(forget);
        let removed: Vec<&str> = alteration.removed.iter().map(String::as_str).collect();
        sql.extend(record::forget_live(schema, &removed));
        let rename = |(old, new): &(String, String)| {
            let [place, old, new] = [schema, old, new].map(quote_literal);
            format!(
                "UPDATE turso2neon.tables SET name = {new} WHERE target_schema = {place} AND state = 'live' AND name = {old}"
            )
        };
        sql.extend(alteration.renamed.iter().map(rename));
        let empty = quote_literal(&TableDigest::EMPTY.to_string());
        sql.extend(alteration.made.iter().map(|name| record::enter(schema, name, &empty, false)));
        let is_altered = |to_push: &&TableToPush| alteration.tables().any(|name| *name == to_push.table.name);
        for to_push in self.manifest.tables.iter().filter(is_altered) {
            let before = alteration.name_before(&to_push.table.name);
            let live = target_state.record.live.iter().find(|live| live.name == before);
            sql.push(recorded(schema, to_push, live.map_or(&[], |live| live.added.as_slice())));
        }
        // No run has pushed exactly these tables.
        sql.push(format!(
            "UPDATE turso2neon.tables SET run_key = '{ALTERED}' WHERE target_schema = {} AND state = 'live'",
            quote_literal(schema)
        ));
        sql.join(";\n")
    }
}

/// Names are looked up as the statements expect it.
fn set_path(alteration: &Alteration) -> String {
    Catalog { search_path: alteration.search_path.clone(), ..Catalog::default() }.set_search_path(true)
}

/// The parts of a table that the plan makes, as the record names them.
fn parts(table: &TablePlan) -> impl Iterator<Item = String> {
    let keys = table.primary_key.iter().chain(&table.uniques);
    let columns = table.columns.iter().map(|column| format!("column {}", column.name));
    let constraints = keys.clone().map(|key| &key.name).chain(table.checks.iter().map(|check| &check.name));
    let constraints = constraints.chain(table.foreign_keys.iter().map(|key| &key.name));
    let indexes = keys.map(|key| &key.name).chain(table.indexes.iter().map(|index| &index.name));
    let constraints = constraints.map(|name| format!("constraint {name}"));
    columns.chain(constraints).chain(indexes.map(|name| format!("index {name}")))
}

/// The statement that records the structure of a table that was altered or made, and the rows that it has. `added` is
/// what others added to it; what the plan has as well is the plan's.
fn recorded(schema: &str, to_push: &TableToPush, added: &[String]) -> String {
    let table = &to_push.table;
    let digest = table_digest::query(schema, &table.name, table.compared_columns());
    let [place, name, source, fingerprint, columns] =
        [schema, &table.name, &table.source, &to_push.fingerprint, &record::digest_columns(table)].map(quote_literal);
    let planned: BTreeSet<String> = parts(table).collect();
    let added: Vec<String> =
        added.iter().filter(|part| !planned.contains(*part)).map(|part| quote_literal(part)).collect();
    format!(
        "UPDATE turso2neon.tables r SET source = {source}, fingerprint = {fingerprint}, columns = {columns}, \
           digest = ({digest}), structure = NULL, contract = NULL, pushed_xid = pg_current_xact_id()::text, \
           run_id = (SELECT max(o.run_id) FROM turso2neon.tables o WHERE o.target_schema = {place} AND o.state = 'live'), \
           parts = ARRAY(SELECT p FROM unnest({PARTS}) p WHERE p <> ALL (ARRAY[{}]::text[])) \
         FROM pg_class c WHERE c.oid = r.oid AND r.target_schema = {place} AND r.state = 'live' AND r.name = {name}",
        added.join(", ")
    )
}
