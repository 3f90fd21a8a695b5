//! Rows that go straight into the application's empty tables, in the transaction that changes the others.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    context::Context,
    error::{Result, ResultExt},
    event::Event,
    model::{Stage, identifier::qualified},
    postgres::Session,
    stages::push::{
        diff::{numbering, unique_swaps::CatalogFacts},
        load::{
            chunk::Chunk,
            copy_stream::{SentCounts, relay},
            progress_journal::ProgressJournal,
        },
        plan::{in_place::LiveStatements, manifest::TableToPush},
        target::live_tables::LiveForeignKey,
    },
};

/// One table without rows.
pub(crate) struct FilledTable<'a> {
    /// What it gets.
    pub to_push: &'a TableToPush,
    /// What the catalog says of it.
    pub facts: CatalogFacts,
    /// Whether it is there before the transaction.
    pub is_there: bool,
}

/// What one table got.
pub(crate) struct SentTable {
    /// SQLite's name.
    source: String,
    sent: SentCounts,
    elapsed: Duration,
}

/// What is done in the application's tables besides changing rows that differ.
pub(crate) struct InPlaceLoad<'a> {
    /// What every stage is given.
    pub ctx: &'a Context,
    /// A session on the local PostgreSQL.
    pub reader: &'a Session,
    /// The tables' schema there.
    pub from: &'a str,
    /// Every table of the push.
    pub tables: &'a [TableToPush],
    /// Tables without rows, in the order in which they get them.
    pub filled: Vec<FilledTable<'a>>,
    /// Foreign keys whose check is put off.
    pub put_off: Vec<LiveForeignKey>,
    /// What makes objects that the target lacks.
    pub statements: &'a LiveStatements,
    /// Counts what is sent.
    pub journal: &'a ProgressJournal,
    /// What the last try sent.
    pub sent: Mutex<Vec<SentTable>>,
}

impl InPlaceLoad<'_> {
    /// Sends the rows, in the transaction of the control session.
    ///
    /// # Errors
    /// `Local*`, `Target*`.
    pub(crate) async fn fill(&self, control: &Session, schema: &str) -> Result<()> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        for FilledTable { to_push, .. } in &self.filled {
            let columns = to_push.pushed_columns();
            // COPY has no form for no columns; such a table has no rows either.
            if columns.is_empty() {
                continue;
            }
            self.ctx.stop.check()?;
            self.report_started(to_push);
            let (begun, source) = (Instant::now(), to_push.table.source.clone());
            let sent = self.copy(control, schema, to_push, &columns).await.at_table(&source)?;
            let sent = SentTable { source, sent, elapsed: begun.elapsed() };
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        }
        Ok(())
    }

    async fn copy(&self, control: &Session, schema: &str, to_push: &TableToPush, columns: &str) -> Result<SentCounts> {
        let whole = Chunk { table: 0, number: 0, first: 0, end: None, whole: true };
        let output = whole.source(self.from, to_push);
        let input = format!("COPY {} ({columns}) FROM STDIN (FORMAT binary)", qualified(schema, &to_push.table.name));
        let prepared = control.client().prepare(&input).await;
        let statement = prepared.map_err(|failure| control.error("preparing the load", &failure))?;
        relay(self.reader, &output, control, &statement, |bytes| self.journal.sent(bytes)).await
    }

    /// Moves sequences on, in the transaction of the control session.
    ///
    /// # Errors
    /// `Local*`, `Target*`.
    pub(crate) async fn number(&self, control: &Session, schema: &str) -> Result<()> {
        let raises = numbering::raises((control, self.reader), (self.from, schema), self.tables).await?;
        let sql: Vec<String> = raises.iter().map(numbering::statement).collect();
        if sql.is_empty() { Ok(()) } else { control.batch("setting the next numbers", &sql.join(";\n")).await }
    }

    fn report_started(&self, to_push: &TableToPush) {
        let index = self.tables.iter().position(|one| one.table.name == to_push.table.name);
        if index.is_some_and(|index| self.journal.is_first_report(index)) {
            let rows_total = to_push.loaded.as_ref().map(|loaded| loaded.rows);
            let table = to_push.table.source.clone();
            self.ctx.out.emit(&Event::TableStarted { stage: Stage::Push, table, rows_total });
        }
    }

    /// Counts and reports the rows as committed.
    pub(crate) fn report_committed(&self) {
        for SentTable { source, sent, elapsed } in self.sent.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            self.journal.moved(&source, sent);
            let SentCounts { rows, bytes } = sent;
            let (stage, table) = (Stage::Push, source.clone());
            self.ctx.out.emit(&Event::Committed { stage, table, rows, bytes });
            let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            self.ctx.out.emit(&Event::TableFinished { stage, table: source, rows, elapsed_ms });
        }
    }
}
