//! Translates triggers to PL/pgSQL (docs/conversion-rules.md, section 6.4): a function and a trigger each.
//!
//! Decisions: a trigger that only changes its own row afterwards becomes one that changes it before, because the
//! literal translation would call itself. Every other trigger that could come back to itself is kept from it by a
//! setting of the transaction, because SQLite doesn't call a trigger that is running. Triggers of full-text indexes
//! have nothing to maintain and are left out.

mod body;

mod self_update;

mod raise;

mod dml;

use std::collections::{BTreeMap, BTreeSet};

use sqlite3_parser::ast::{Stmt, TriggerCmd, TriggerEvent, TriggerTime};

use super::{
    expression::{Untranslatable, refuse, unquote, with_statement},
    identifiers,
    query::{
        TranslatedViews, UntranslatedObject,
        relations::{RelationName, Relations},
        view::{fragment, readable},
    },
};
use crate::model::{
    TablePlan,
    overrides::Identifiers,
    source_schema::{SourceObject, SourceSchema, TableKind},
    view_trigger_plan::{Timing, TriggerPlan},
};
use body::TriggerBody;

/// What became of the triggers.
#[derive(Debug, Default)]
pub struct TranslatedTriggers {
    /// Those that are translated, in the source's order.
    pub made: Vec<TriggerPlan>,
    /// The others.
    pub lost: Vec<UntranslatedObject>,
}

/// The tables of the plan, and what SQLite says of them.
pub(super) struct TriggerTables<'a> {
    pub schema: &'a SourceSchema,
    pub plans: &'a [TablePlan],
    pub catalogue: &'a Relations,
}

/// Translates all triggers.
#[must_use]
pub fn triggers(
    schema: &SourceSchema,
    plans: &[TablePlan],
    views: &TranslatedViews,
    identifiers: Identifiers,
) -> TranslatedTriggers {
    let tables = TriggerTables { schema, plans, catalogue: &views.catalogue };
    let graph = TriggerGraph::of(&schema.triggers);
    let mut taken = BTreeSet::new();
    let mut found = TranslatedTriggers::default();
    for source in &schema.triggers {
        let name = identifiers::constraint(&source.name, identifiers, &mut taken).name;
        match translated(&tables, source, &name, graph.comes_back(&source.name)) {
            Ok(plan) => found.made.push(plan),
            Err(refused) => found.lost.push(UntranslatedObject { name: source.name.clone(), reason: refused.reason }),
        }
    }
    found
}

fn translated(
    tables: &TriggerTables<'_>,
    source: &SourceObject,
    name: &str,
    comes_back: bool,
) -> Result<TriggerPlan, Untranslatable> {
    let comma_limits = readable(&source.sql)?;
    let plan = with_statement(&source.sql, |statement| {
        let Stmt::CreateTrigger { temporary: false, time, event, tbl_name, when_clause, commands, .. } = statement
        else {
            return Err(refuse("its SQL is no CREATE TRIGGER"));
        };
        let table = unquote(tbl_name.name.0).0;
        if let Some(reason) = tables.index_of(commands) {
            return Err(refuse(reason));
        }
        let relation = tables.catalogue.relation(&table)?;
        let RelationName::Plan(home) = &relation.home else { return Err(refuse("its table can't be found")) };
        let timing = match time {
            None | Some(TriggerTime::Before) => Timing::Before,
            Some(TriggerTime::After) => Timing::After,
            Some(TriggerTime::InsteadOf) => Timing::InsteadOf,
        };
        let (event, names) = match event {
            TriggerEvent::Insert => ("INSERT", Vec::new()),
            TriggerEvent::Delete => ("DELETE", Vec::new()),
            TriggerEvent::Update => ("UPDATE", Vec::new()),
            TriggerEvent::UpdateOf(names) => ("UPDATE", names.iter().map(|name| unquote(name.0).0).collect()),
        };
        let columns = names.iter().map(|name| tables.column_name(&table, name)).collect::<Result<Vec<_>, _>>()?;
        if timing == Timing::InsteadOf && !columns.is_empty() {
            return Err(refuse("PostgreSQL has no INSTEAD OF UPDATE of single columns"));
        }
        let body = TriggerBody { tables, table: &table, relation: &relation, timing, event, comma_limits };
        let made = body.translate(when_clause.as_ref(), commands, comes_back.then_some(name))?;
        Ok(TriggerPlan {
            source: source.name.clone(),
            name: name.to_owned(),
            function: name.to_owned(),
            relation: home.clone(),
            timing: made.timing,
            event: event.to_owned(),
            columns,
            condition: made.condition,
            body: fragment(&made.sql)?,
            sql: source.sql.clone(),
        })
    });
    plan.unwrap_or_else(|reason| Err(refuse(reason)))
}

impl TriggerTables<'_> {
    /// The planned table of a source name.
    pub(super) fn plan(&self, name: &str) -> Result<&TablePlan, Untranslatable> {
        self.plans
            .iter()
            .find(|plan| plan.source.eq_ignore_ascii_case(name))
            .ok_or_else(|| refuse(format!("it writes to {name}, which is no table of the plan")))
    }

    fn column_name(&self, table: &str, column: &str) -> Result<String, Untranslatable> {
        let found = self.plan(table)?.columns.iter().find(|found| found.source.eq_ignore_ascii_case(column));
        found.map(|found| found.name.clone()).ok_or_else(|| refuse("it names a column that its table doesn't have"))
    }

    /// Why a trigger that maintains an index of a module is not carried.
    fn index_of(&self, commands: &[TriggerCmd<'_>]) -> Option<String> {
        commands.iter().find_map(|command| {
            let target = target(command)?;
            let skipped = self.schema.skipped.iter().any(|object| object.name.eq_ignore_ascii_case(&target));
            let module = self.schema.tables.iter().find_map(|table| match &table.kind {
                TableKind::Virtual { module } if table.name.eq_ignore_ascii_case(&target) => Some(module.clone()),
                _ => None,
            });
            match (skipped, module) {
                (true, _) => Some(format!("it maintains {target}, which is not carried")),
                (false, Some(module)) => Some(format!("it maintains {target}, an index of the module {module}")),
                (false, None) => None,
            }
        })
    }
}

/// The table that a command writes to.
fn target(command: &TriggerCmd<'_>) -> Option<String> {
    match command {
        TriggerCmd::Update { tbl_name, .. }
        | TriggerCmd::Insert { tbl_name, .. }
        | TriggerCmd::Delete { tbl_name, .. } => Some(unquote(tbl_name.name.0).0),
        TriggerCmd::Select(_) => None,
    }
}

/// Which trigger can set off which.
struct TriggerGraph {
    /// By lower-case name: what fires it, and what it does, as table and event.
    triggers: BTreeMap<String, (TableEvent, BTreeSet<TableEvent>)>,
}

/// A table in lower case, and `INSERT`, `UPDATE` or `DELETE`.
type TableEvent = (String, &'static str);

impl TriggerGraph {
    fn of(triggers: &[SourceObject]) -> Self {
        let read = |source: &SourceObject| {
            let found = with_statement(&source.sql, |statement| {
                let Stmt::CreateTrigger { event, tbl_name, commands, .. } = statement else { return None };
                let event = match event {
                    TriggerEvent::Insert => "INSERT",
                    TriggerEvent::Delete => "DELETE",
                    TriggerEvent::Update | TriggerEvent::UpdateOf(_) => "UPDATE",
                };
                let cause = (unquote(tbl_name.name.0).0.to_ascii_lowercase(), event);
                let mut deeds = BTreeSet::new();
                for command in *commands {
                    let Some(table) = target(command).map(|table| table.to_ascii_lowercase()) else { continue };
                    deeds.extend(done_by(command).iter().map(|event| (table.clone(), *event)));
                }
                Some((cause, deeds))
            });
            Some((source.name.to_ascii_lowercase(), found.ok().flatten()?))
        };
        Self { triggers: triggers.iter().filter_map(read).collect() }
    }

    /// Whether what a trigger does can set it off again.
    fn comes_back(&self, name: &str) -> bool {
        let Some((cause, deeds)) = self.triggers.get(&name.to_ascii_lowercase()) else { return true };
        let mut reached = deeds.clone();
        let mut open: Vec<TableEvent> = deeds.iter().cloned().collect();
        while let Some(deed) = open.pop() {
            for (fired_by, does) in self.triggers.values() {
                if *fired_by == deed {
                    open.extend(does.iter().filter(|&deed| reached.insert(deed.clone())).cloned());
                }
            }
        }
        reached.contains(cause)
    }
}

fn done_by(command: &TriggerCmd<'_>) -> &'static [&'static str] {
    match command {
        TriggerCmd::Update { .. } => &["UPDATE"],
        TriggerCmd::Delete { .. } => &["DELETE"],
        // A conflict may become an UPDATE.
        TriggerCmd::Insert { or_conflict: None, upsert: None, .. } => &["INSERT"],
        TriggerCmd::Insert { .. } => &["INSERT", "UPDATE"],
        TriggerCmd::Select(_) => &[],
    }
}
