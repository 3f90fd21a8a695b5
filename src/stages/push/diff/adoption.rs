//! What a push does to tables of the application besides changing rows: it brings them into the record, fills those
//! without rows, and forgets those that are no longer in the plan.

use std::{collections::BTreeSet, sync::Mutex};

use crate::{
    error::{Error, Kind, Result},
    model::{
        TableDigest,
        human_format::counted,
        identifier::{qualified, quote_literal},
    },
    postgres::table_digest,
    stages::push::{
        diff::{self, FilledTable, InPlaceLoad, TableChange, diff_push::DiffPush, load_order},
        plan::manifest::TableToPush,
        target::{live_tables, record},
    },
};

impl DiffPush<'_> {
    /// The statements that bring tables into the record.
    pub(super) fn entries(&self) -> Vec<String> {
        let Some(in_place) = &self.scope.target_state.in_place else { return Vec::new() };
        let schema = self.scope.target.schema;
        let enter = |(name, is_adopted): (&str, bool)| {
            let to_push = self.scope.manifest.tables.iter().find(|to_push| to_push.table.name == name);
            let digest = match to_push {
                Some(to_push) if !in_place.is_filled(name) => {
                    format!("({})", table_digest::query(schema, name, to_push.table.compared_columns()))
                }
                _ => quote_literal(&TableDigest::EMPTY.to_string()),
            };
            record::enter(schema, name, &digest, is_adopted)
        };
        in_place.entering().map(enter).collect()
    }

    /// The statements for recorded tables that are not in the plan: those of the application stay, with their rows.
    pub(super) fn forget_absent(&self) -> Vec<String> {
        if self.scope.target_state.in_place.is_none() {
            return Vec::new();
        }
        let schema = self.scope.target.schema;
        let is_planned = |name: &str| self.scope.manifest.tables.iter().any(|to_push| to_push.table.name == name);
        let absent = || self.scope.target_state.record.live.iter().filter(|table| !is_planned(&table.name));
        let own = absent().filter(|table| !table.is_adopted);
        let drops = own.map(|table| format!("DROP TABLE {} RESTRICT", qualified(schema, &table.name)));
        let names: Vec<&str> = absent().map(|table| table.name.as_str()).collect();
        drops.chain(record::forget_live(schema, &names)).collect()
    }

    /// What is loaded into tables of the application; none if pushes create the tables.
    ///
    /// # Errors
    /// `Target*`.
    pub(super) async fn in_place<'b>(&'b self, items: &[TableChange<'_>]) -> Result<Option<InPlaceLoad<'b>>> {
        let Some(in_place) = &self.scope.target_state.in_place else { return Ok(None) };
        let control = self.scope.control;
        let tables = self.scope.manifest.tables.as_slice();
        let filled = || tables.iter().filter(|to_push| in_place.is_filled(&to_push.table.name));
        let oids: Vec<u32> = in_place.tables.iter().map(|table| table.oid).collect();
        let keys = live_tables::foreign_keys(control, &oids).await?;
        let mut facts = diff::facts(control, &oids).await?;
        let names: Vec<&str> = filled().map(|to_push| to_push.table.name.as_str()).collect();
        let later: BTreeSet<&str> = items.iter().map(|item| item.shape.table.name.as_str()).collect();
        let (order, put_off) = load_order::order(&names, &later, &keys);
        let find = |name: &&str| filled().find(|to_push| to_push.table.name == *name);
        let table = |to_push: &'b TableToPush| FilledTable {
            to_push,
            facts: facts.remove(&to_push.table.name).unwrap_or_default(),
            is_there: in_place.table(&to_push.table.name).is_some(),
        };
        let filled = order.iter().filter_map(find).map(table).collect();
        Ok(Some(InPlaceLoad {
            ctx: self.scope.target.ctx,
            reader: self.scope.reader,
            from: &self.scope.manifest.plan.schema,
            tables,
            filled,
            put_off,
            statements: &in_place.statements,
            journal: self.scope.journal,
            sent: Mutex::default(),
        }))
    }

    /// Refuses to delete rows that rows of other tables refer to: the key could delete those, too.
    ///
    /// # Errors
    /// `TargetOccupied`, `Target*`.
    pub(super) async fn refuse_references(&self, items: &[TableChange<'_>]) -> Result<()> {
        let Some(in_place) = &self.scope.target_state.in_place else { return Ok(()) };
        let oids: Vec<u32> = in_place.tables.iter().map(|table| table.oid).collect();
        let schema = self.scope.target.schema;
        let mut found = Vec::new();
        for reference in live_tables::references(self.scope.control, &oids).await? {
            let item = items.iter().find(|item| item.shape.table.name == reference.parent);
            let Some(item) = item.filter(|item| item.shape.has_key()) else { continue };
            let columns = reference.child_columns.iter().zip(&reference.parent_columns);
            let same: Vec<String> = columns.map(|(child, parent)| format!("o.{child} = t.{parent}")).collect();
            let sql = format!(
                "SELECT count(*) FROM {} AS o JOIN {} AS t ON {} JOIN {} AS l ON {}",
                reference.child,
                item.shape.relation(schema),
                same.join(" AND "),
                item.rows.deletes,
                item.shape.is_row_of("l")
            );
            let row = self.scope.control.query_row("looking for rows that refer to others", &sql, &[]).await?;
            let rows = row.count(0)?;
            if rows > 0 {
                found.push(format!("{} ({}) to {}", reference.child, counted(rows, "row", "rows"), reference.parent));
            }
        }
        if found.is_empty() {
            return Ok(());
        }
        let text = format!("tables outside the plan refer to rows that would be deleted: {}", found.join(", "));
        Err(Error::new(Kind::TargetOccupied, text)
            .with_hint("no row was changed; remove these references, or keep the rows in the source"))
    }
}
