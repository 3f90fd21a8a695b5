//! Gives the rows that the last push changed their old form, and takes those out that it loaded into tables of the
//! application.

use std::collections::BTreeMap;

use super::not_valid::{self, NotValidConstraint};
use crate::{
    error::{Error, Kind, Result},
    model::{
        TableDigest,
        identifier::{qualified, quote_literal},
    },
    postgres::{Session, table_digest},
    stages::push::{
        diff::{
            self, ChangeSet, EmptiedTable, RowIdentity, TableChange, UnchangedTable,
            row_undo::{self, RecordedUndo},
        },
        target::{
            baseline,
            record::{self, LiveTableRecord, PushedTableRecord, TargetRecord},
            session::Target,
        },
    },
};

/// What the last push kept, and where it goes.
pub(super) struct RowRestore<'a> {
    /// The target.
    pub target: &'a Target<'a>,
    /// The session that holds the lock.
    pub control: &'a Session,
    /// What the target knows of pushes.
    pub record: &'a TargetRecord,
    /// The tables, each with the digest that it had.
    pub kept: &'a [(RecordedUndo, TableDigest)],
    /// The run of the rollback.
    pub run_id: i64,
}

impl<'a> RowRestore<'a> {
    /// Does it.
    ///
    /// # Errors
    /// `TargetOccupied` if a table is gone or others changed its rows, `Target*`.
    pub(super) async fn run(&self) -> Result<()> {
        let gone = self.tables().find(|table| table.is_changed() && self.live(&table.name).is_none());
        if let Some(table) = gone {
            return Err(Error::new(Kind::TargetOccupied, "the table whose rows would be changed back is gone")
                .at_table(&table.source));
        }
        if let Some(table) = self.tables().find(|table| table.is_changed() && table.plan.is_none()) {
            return Err(Error::new(Kind::ArtifactStale, "the kept rows were recorded by another version of this tool")
                .at_table(&table.source)
                .with_hint("nothing was changed; use that version for this rollback, or push again"));
        }
        let schema = self.target.schema;
        let touched = self.tables().filter(|table| table.number.is_some() || table.was_empty);
        let oids: Vec<u32> = touched.filter_map(|table| self.live(&table.name)).map(|live| live.oid).collect();
        let mut facts = diff::facts(self.control, &oids).await?;
        let mut facts = |name: &str| facts.remove(name).unwrap_or_default();
        let item = |(shape, table, _): (RowIdentity<'a>, &'a RecordedUndo, TableDigest)| {
            Some(TableChange {
                facts: facts(&shape.table.name),
                rows: row_undo::rows(schema, table.run_id, table.number?),
                has_stored_rows: true,
                shape,
            })
        };
        let items: Vec<TableChange<'_>> = self.changed().filter_map(item).collect();
        let mut emptied = Vec::new();
        for (shape, table) in self.filled() {
            let digest = self.live(&table.name).and_then(|live| live.digest).ok_or_else(|| {
                Error::new(Kind::ArtifactStale, "the record of pushes does not say what was loaded")
                    .at_table(&table.source)
            })?;
            emptied.push(EmptiedTable { facts: facts(&table.name), shape, digest });
        }
        let (constraints, unchanged) = self.not_valid(&items, &emptied).await?;
        let (drops, added) = not_valid::statements(&constraints);
        let (mut keep, statements) = self.statements(&items).await?;
        keep.extend(drops);
        let after = added.into_iter().chain(statements).collect();
        let loaded =
            self.filled().filter(|(_, table)| !self.is_dropped(table)).map(|(shape, _)| (shape, TableDigest::EMPTY));
        let wanted = self.changed().map(|(shape, _, digest)| (shape, digest)).chain(loaded).collect();
        let path = [schema.to_owned()];
        let work = ChangeSet {
            schema,
            path: &path,
            items: &items,
            emptied,
            in_place: None,
            keep,
            after,
            wanted,
            unchanged,
            altered: not_valid::locked(&constraints),
        };
        let differing = work.run(self.target, self.control).await?;
        if differing.is_empty() {
            return Ok(());
        }
        let text = format!("rows changed since the last push, so they can't be changed back: {}", differing.join(", "));
        Err(Error::new(Kind::TargetOccupied, text)
            .with_hint("nothing was changed; `turso2neon push` brings the tables into a known state"))
    }

    /// The constraints that are NOT VALID and that rows from before them can break, and the tables that have one and
    /// whose rows stay. The rows of these must be those that the push found, because nothing else checks them.
    async fn not_valid(
        &self,
        items: &[TableChange<'_>],
        emptied: &[EmptiedTable<'_>],
    ) -> Result<(Vec<NotValidConstraint>, Vec<UnchangedTable>)> {
        let oid = |name: &str| self.live(name).map(|live| live.oid);
        let written: Vec<u32> = items.iter().filter_map(|item| oid(&item.shape.table.name)).collect();
        let mut removed = written.clone();
        removed.extend(emptied.iter().filter_map(|one| oid(&one.shape.table.name)));
        let recorded: Vec<u32> = self.record.live.iter().map(|live| live.oid).collect();
        let mut constraints = not_valid::read(self.control, &written, &removed, &recorded).await?;
        if constraints.iter().all(|one| one.is_of_written_rows) {
            return Ok((constraints, Vec::new()));
        }
        let schema = self.target.schema;
        let known = baseline::read(self.control, schema).await?;
        let unchanged_table = |name: &str| {
            let (table, digest) =
                self.kept.iter().find(|(table, _)| table.name == name && table.number.is_none() && !table.was_empty)?;
            let columns = known.iter().find(|known| known.name == name)?.columns.as_ref()?;
            let query = table_digest::recorded_query(schema, name, columns);
            Some(UnchangedTable { source: table.source.clone(), query, digest: *digest })
        };
        let mut unchanged = BTreeMap::new();
        for one in constraints.iter().filter(|one| !one.is_of_written_rows) {
            unchanged.extend(unchanged_table(&one.table).map(|table| (one.table.clone(), table)));
        }
        constraints.retain(|one| one.is_of_written_rows || unchanged.contains_key(&one.table));
        Ok((constraints, unchanged.into_values().collect()))
    }

    fn tables(&self) -> impl Iterator<Item = &'a RecordedUndo> {
        self.kept.iter().map(|(table, _)| table)
    }

    fn live(&self, name: &str) -> Option<&'a PushedTableRecord> {
        self.record.live.iter().find(|live| live.name == name)
    }

    fn identity(&self, table: &'a RecordedUndo) -> Option<RowIdentity<'a>> {
        let is_partitioned = self.live(&table.name).is_some_and(|live| live.is_partitioned);
        Some(RowIdentity::new(table.plan.as_ref()?).in_partitions(is_partitioned))
    }

    /// Whether the push made the table beside those of the application.
    fn is_dropped(&self, table: &RecordedUndo) -> bool {
        table.was_unrecorded() && self.live(&table.name).is_some_and(|live| !live.is_adopted)
    }

    /// Tables with rows that changed, and the digests that they had.
    fn changed(&self) -> impl Iterator<Item = (RowIdentity<'a>, &'a RecordedUndo, TableDigest)> {
        let numbered = self.kept.iter().filter(|(table, _)| table.number.is_some());
        numbered.filter_map(|(table, digest)| Some((self.identity(table)?, table, *digest)))
    }

    /// Tables that had no rows.
    fn filled(&self) -> impl Iterator<Item = (RowIdentity<'a>, &'a RecordedUndo)> {
        let filled = self.tables().filter(|table| table.was_empty && table.number.is_none());
        filled.filter_map(|table| Some((self.identity(table)?, table)))
    }

    /// What is kept of the rows that change, and what follows the change.
    async fn statements(&self, items: &[TableChange<'_>]) -> Result<(Vec<String>, Vec<String>)> {
        let schema = self.target.schema;
        let (mut nexts, mut after) = (Vec::new(), Vec::new());
        for (plan, next) in self.tables().filter_map(|table| Some((table.plan.as_ref()?, table.next?))) {
            let Some(identity) = &plan.identity else { continue };
            let sequence = qualified(schema, &identity.sequence);
            let (now, least, most) = next_number(self.control, &sequence).await?;
            nexts.push((plan, now));
            // One that had given its last number restarts at that.
            let next = next.clamp(least, most.max(least));
            after.push(format!("ALTER SEQUENCE {sequence} RESTART WITH {next}"));
        }
        let mut keep = Vec::new();
        if self.tables().any(RecordedUndo::was_unrecorded) {
            // The application's tables are no longer of a push, so nothing could undo this.
            let kept: Vec<RecordedUndo> = self.tables().cloned().collect();
            after.extend(row_undo::forget(schema, &kept));
        } else {
            let is_changed = |name: &str| items.iter().any(|item| item.shape.table.name == name);
            let equal = self.kept.iter().filter(|(table, _)| !is_changed(&table.name));
            let equal: Vec<_> = equal.map(|(table, digest)| (table.name.as_str(), *digest)).collect();
            keep = row_undo::keep(schema, self.run_id, items, &nexts, &equal, &[]);
            after.extend(row_undo::drop_kept(schema, self.tables()));
        }
        after.extend(self.record_statements());
        Ok((keep, after))
    }

    /// The record of pushes says what it said before the push.
    fn record_statements(&self) -> Vec<String> {
        let schema = self.target.schema;
        let unrecorded = || self.tables().filter(|table| table.was_unrecorded());
        let mut sql: Vec<String> = unrecorded()
            .filter(|table| self.is_dropped(table))
            .map(|table| format!("DROP TABLE {} RESTRICT", qualified(schema, &table.name)))
            .collect();
        let names: Vec<&str> = unrecorded().map(|table| table.name.as_str()).collect();
        sql.extend(record::forget_live(schema, &names));
        let recorded = || self.kept.iter().filter(|(table, _)| !table.was_unrecorded());
        let described: Vec<LiveTableRecord<'_>> = recorded()
            .map(|(table, digest)| LiveTableRecord {
                name: &table.name,
                source: &table.source,
                fingerprint: &table.fingerprint,
                digest: table.pushed_digest.unwrap_or(*digest),
                columns: None,
            })
            .collect();
        let run_key = recorded().next().map_or("", |(table, _)| table.run_key.as_str());
        sql.extend(record::live(schema, self.run_id, run_key, &described));
        sql.extend(record::done(schema, self.run_id, 0));
        sql
    }
}

/// The number that the next row gets, the end of the sequence if it has given its last number; and its limits.
async fn next_number(control: &Session, sequence: &str) -> Result<(i64, i64, i64)> {
    let sql = format!(
        "SELECT least(greatest(CASE WHEN s.is_called THEN s.last_value::numeric + q.seqincrement ELSE s.last_value END, \
           q.seqmin), q.seqmax)::bigint, q.seqmin, q.seqmax FROM {sequence} AS s, pg_sequence AS q WHERE q.seqrelid = {}::regclass",
        quote_literal(sequence)
    );
    let row = control.query_row("reading the next number of an identity column", &sql, &[]).await?;
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}
