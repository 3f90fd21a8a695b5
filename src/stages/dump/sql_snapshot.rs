//! One snapshot as one `/v3/cursor` request: which statements it holds, and how its answer becomes a file.
//!
//! Everything runs inside one read transaction, each statement guarded by it: if the server loses the transaction,
//! the rest is skipped and leaves no entries. The answer counts only if every statement has begun and ended, COMMIT
//! among them, and the terminator was seen. Two snapshots are never spliced: whatever goes wrong, all is read again.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{
    content_digest::{ContentHasher, DatabaseHeader, TableContent},
    file_builder::FileBuilder,
    left_out::LeftOut,
    storage_layout::{self, SchemaRow, TableShape},
};
use crate::{
    context::Context,
    error::{Error, Kind},
    event::Event,
    model::Stage,
    source::{
        hrana::{self, Cell, CellFault, CursorEntry, WireCell},
        hrana_cursor::LineReceiver,
        http,
    },
};

/// Rows between two looks at the clock and at a cancellation request.
const ROWS_PER_LOOK: u64 = 1024;

/// How often progress is reported.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Error codes that mean: the same again may work.
const PASSING_CODES: [&str; 6] =
    ["SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_SCHEMA", "SQLITE_INTERRUPT", "SQLITE_ABORT", "SQLITE_PROTOCOL"];

/// What the server said before the snapshot.
#[derive(Debug, Clone)]
pub(super) struct SnapshotFacts {
    /// `sqlite_schema`.
    pub(super) schema: Vec<SchemaRow>,
    /// What isn't read of it.
    pub(super) left_out: Vec<LeftOut>,
    /// How its tables store their rows.
    pub(super) shapes: Vec<TableShape>,
    /// `PRAGMA encoding`.
    pub(super) encoding: String,
    /// `PRAGMA page_size`.
    pub(super) page_bytes: u32,
    /// `PRAGMA page_count`; 0 where the server won't tell.
    pub(super) page_count: u64,
    /// The statements that read `user_version` and `application_id`, where the server has any.
    pub(super) number_sql: [Option<String>; 2],
}

impl SnapshotFacts {
    /// Size of the server's file, as far as it tells.
    pub(super) fn bytes(&self) -> u64 {
        self.page_count.saturating_mul(u64::from(self.page_bytes))
    }
}

/// A snapshot to be made.
#[derive(Debug, Clone)]
pub(super) struct SnapshotJob {
    facts: SnapshotFacts,
    steps: Vec<(StatementRole, String)>,
    part: PathBuf,
}

/// What a statement of the snapshot is for. Numbers are places among the shapes, or among the header's numbers.
#[derive(Debug, Clone, Copy)]
enum StatementRole {
    Begin,
    Schema,
    Number(usize),
    Count,
    Rows(usize, ValueForm),
    Commit,
}

/// How a table's values are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueForm {
    /// As they are.
    Plain,
    /// By [`hrana::safe_expression`].
    Safe,
}

/// What a complete snapshot held.
#[derive(Debug)]
pub(super) struct ReceivedSnapshot {
    /// Facts besides schema and rows.
    pub(super) header: DatabaseHeader,
    /// Rows and digest per table, of the rows as they came.
    pub(super) tables: Vec<TableContent>,
    /// Statements that began and ended.
    pub(super) steps: usize,
    /// Bytes of the answer.
    pub(super) bytes: u64,
    /// The server's newest frame, where it says so.
    pub(super) replication_index: Option<u64>,
}

/// Why there is no snapshot.
#[derive(Debug)]
pub(super) enum SnapshotFailure {
    /// Another try may work.
    Again(RetryReason),
    /// No other try can.
    Failed(Error),
}

/// Why another try is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RetryReason {
    /// The table's values can't be trusted as they are.
    Untrusted(String),
    /// The answer ended early, in this table if any.
    Ended(Option<String>),
    /// The read transaction was gone.
    TransactionLost,
    /// The schema isn't the one that the snapshot was prepared for.
    SchemaChanged,
    /// The server had another reason that may pass.
    Passing(String),
}

impl From<Error> for SnapshotFailure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type SnapshotResult<T> = Result<T, SnapshotFailure>;

impl SnapshotJob {
    /// Prepares a snapshot into the file `part`, with each table in the form that `form_of` names.
    pub(super) fn new(facts: SnapshotFacts, part: PathBuf, form_of: impl Fn(&str) -> ValueForm) -> Self {
        let mut steps = vec![
            (StatementRole::Begin, "BEGIN".to_owned()),
            (StatementRole::Schema, storage_layout::SCHEMA_SQL.to_owned()),
        ];
        for (place, sql) in facts.number_sql.iter().enumerate() {
            steps.extend(sql.clone().map(|sql| (StatementRole::Number(place), sql)));
        }
        for (place, shape) in facts.shapes.iter().enumerate() {
            let form = form_of(&shape.name);
            let rows = match form {
                ValueForm::Plain => shape.select(str::to_owned),
                ValueForm::Safe => shape.select(hrana::safe_expression),
            };
            steps.push((StatementRole::Count, shape.count()));
            steps.push((StatementRole::Rows(place, form), rows));
        }
        steps.push((StatementRole::Commit, "COMMIT".to_owned()));
        Self { facts, steps, part }
    }

    /// The request's body.
    pub(super) fn body(&self) -> String {
        hrana::cursor_body(self.steps.iter().map(|(_, sql)| sql.as_str()))
    }

    /// Reads the answer into the file. Blocks: call it on a thread of its own.
    ///
    /// The file is complete only if this succeeds.
    pub(super) fn receive(&self, lines: LineReceiver, ctx: &Context) -> SnapshotResult<ReceivedSnapshot> {
        SnapshotReader { job: self, ctx, lines, opened: false, table: None }.read()
    }
}

struct SnapshotReader<'a> {
    job: &'a SnapshotJob,
    ctx: &'a Context,
    lines: LineReceiver,
    opened: bool,
    /// The table whose rows are being read.
    table: Option<&'a str>,
}

impl<'a> SnapshotReader<'a> {
    fn read(mut self) -> SnapshotResult<ReceivedSnapshot> {
        let job = self.job;
        let facts = &job.facts;
        let mut header = DatabaseHeader { encoding: facts.encoding.clone(), user_version: 0, application_id: 0 };
        let restore =
            FileBuilder::begin(&job.part, facts.page_bytes, &header, &facts.schema, &facts.shapes, &self.ctx.stop)?;
        let mut counted = 0;
        let mut tables = Vec::with_capacity(facts.shapes.len());
        for (step, (role, _)) in job.steps.iter().enumerate() {
            self.begin(step)?;
            match *role {
                StatementRole::Begin | StatementRole::Commit => self.rows(|_| Ok(()))?,
                StatementRole::Schema => self.schema()?,
                StatementRole::Number(0) => header.user_version = self.number()?,
                StatementRole::Number(_) => header.application_id = self.number()?,
                StatementRole::Count => counted = self.number()?,
                StatementRole::Rows(place, form) => {
                    if let Some(shape) = facts.shapes.get(place) {
                        tables.push(self.load(&restore, shape, form, counted)?);
                    }
                }
            }
        }
        let replication_index = self.terminator()?;
        self.ctx.stop.check()?;
        self.finish(restore, &header)?;
        let (steps, bytes) = (job.steps.len(), self.lines.received_bytes());
        Ok(ReceivedSnapshot { header, tables, steps, bytes, replication_index })
    }

    fn finish(&self, restore: FileBuilder, header: &DatabaseHeader) -> SnapshotResult<()> {
        let schema = &self.job.facts.schema;
        let steps = u64::try_from(super::file_builder::filled_indexes(schema).len()).ok();
        self.ctx.out.emit(&Event::PhaseStarted { stage: Stage::Dump, phase: "indexes", steps });
        let on_index = || self.ctx.out.emit(&Event::Stepped { stage: Stage::Dump, phase: "indexes" });
        Ok(restore.finish(&self.job.part, header, schema, &on_index)?)
    }

    /// Waits for the statement's first entry.
    fn begin(&mut self, step: usize) -> SnapshotResult<()> {
        match self.next()? {
            OwnedEntry::Begin(begun) if usize::try_from(begun).is_ok_and(|begun| begun == step) => Ok(()),
            // A guarded statement was skipped.
            OwnedEntry::Begin(_) | OwnedEntry::Terminator(_) => {
                Err(SnapshotFailure::Again(RetryReason::TransactionLost))
            }
            OwnedEntry::End | OwnedEntry::Row(_) => Err(out_of_order()),
        }
    }

    /// Takes the rows of the statement that has begun, until it ends.
    fn rows(&mut self, mut take: impl FnMut(Vec<Cell>) -> SnapshotResult<()>) -> SnapshotResult<()> {
        loop {
            match self.next()? {
                OwnedEntry::Row(row) => take(row)?,
                OwnedEntry::End => return Ok(()),
                OwnedEntry::Begin(_) | OwnedEntry::Terminator(_) => return Err(out_of_order()),
            }
        }
    }

    fn terminator(&mut self) -> SnapshotResult<Option<u64>> {
        match self.next()? {
            OwnedEntry::Terminator(index) => Ok(index),
            OwnedEntry::Begin(_) | OwnedEntry::Row(_) | OwnedEntry::End => Err(out_of_order()),
        }
    }

    /// The next entry that means something.
    fn next(&mut self) -> SnapshotResult<OwnedEntry> {
        loop {
            let Some(line) = self.lines.next_line() else {
                return Err(SnapshotFailure::Again(RetryReason::Ended(self.table.map(str::to_owned))));
            };
            if line.is_empty() {
                continue;
            }
            let entry = match hrana::parse_entry(line) {
                Some(CursorEntry::Begin { step }) => OwnedEntry::Begin(step),
                Some(CursorEntry::End) => OwnedEntry::End,
                Some(CursorEntry::Terminator { replication_index }) => OwnedEntry::Terminator(replication_index),
                Some(CursorEntry::Row(cells)) => match cells.iter().map(WireCell::decode).collect() {
                    Ok(row) => OwnedEntry::Row(row),
                    Err(fault) => return Err(self.faulty(fault)),
                },
                Some(CursorEntry::StepError { code } | CursorEntry::Fatal { code }) => return Err(self.refused(&code)),
                Some(CursorEntry::Opening | CursorEntry::Unknown) => {
                    self.opened = true;
                    continue;
                }
                None if self.opened => {
                    return Err(SnapshotFailure::Again(RetryReason::Ended(self.table.map(str::to_owned))));
                }
                None => return Err(SnapshotFailure::Failed(Error::new(Kind::SourceRefused, http::not_hrana(line)))),
            };
            // A very large line need not stay while its values are stored.
            self.lines.release();
            return Ok(entry);
        }
    }

    fn schema(&mut self) -> SnapshotResult<()> {
        let mut found = Vec::new();
        self.rows(|row| {
            found.push(schema_row(row).ok_or_else(|| Error::new(Kind::SourceRefused, "the schema can't be read"))?);
            Ok(())
        })?;
        let facts = &self.job.facts;
        found.retain(|row: &SchemaRow| !facts.left_out.iter().any(|left| left.rowid == row.rowid));
        if found == facts.schema { Ok(()) } else { Err(SnapshotFailure::Again(RetryReason::SchemaChanged)) }
    }

    fn number(&mut self) -> SnapshotResult<i64> {
        let mut number = None;
        self.rows(|row| {
            number = row.first().and_then(Cell::integer);
            Ok(())
        })?;
        number.ok_or_else(|| {
            SnapshotFailure::Failed(Error::new(
                Kind::SourceRefused,
                "the answer to a query for one number has no number",
            ))
        })
    }

    fn load(
        &mut self,
        restore: &FileBuilder,
        shape: &'a TableShape,
        form: ValueForm,
        counted: i64,
    ) -> SnapshotResult<TableContent> {
        let mut progress = ReadProgress::begin(self.ctx, &shape.name, u64::try_from(counted).ok());
        let mut store = restore.rows_of(shape)?;
        let mut digest = ContentHasher::default();
        let safe_from = match form {
            ValueForm::Plain => usize::MAX,
            ValueForm::Safe => usize::from(shape.rowid.is_some()),
        };
        self.table = Some(&shape.name);
        let received_before = self.lines.received_bytes();
        loop {
            let mut row = match self.next()? {
                OwnedEntry::Row(row) => row,
                OwnedEntry::End => break,
                OwnedEntry::Begin(_) | OwnedEntry::Terminator(_) => return Err(out_of_order()),
            };
            for cell in row.iter_mut().skip(safe_from) {
                let taken = std::mem::replace(cell, Cell::Null);
                *cell = hrana::from_safe(taken).map_err(|fault| self.faulty(fault))?;
            }
            for cell in &row {
                digest.value(cell.as_cell());
            }
            digest.end_row();
            store.push(&row).map_err(|error| error.at_table(&shape.name))?;
            if digest.rows().is_multiple_of(ROWS_PER_LOOK) {
                self.ctx.stop.check()?;
                progress.tell(digest.rows(), self.lines.received_bytes() - received_before);
            }
        }
        self.table = None;
        progress.finish(digest.rows(), self.lines.received_bytes() - received_before);
        if i64::try_from(digest.rows()) != Ok(counted) {
            let message = format!("the server counted {counted} rows and sent {}", digest.rows());
            return Err(SnapshotFailure::Failed(Error::new(Kind::SourceTruncated, message).at_table(&shape.name)));
        }
        Ok(digest.finish(&shape.name))
    }

    fn faulty(&self, fault: CellFault) -> SnapshotFailure {
        match (fault, self.table) {
            (CellFault::NotFinite, Some(table)) => SnapshotFailure::Again(RetryReason::Untrusted(table.to_owned())),
            (CellFault::NotFinite | CellFault::Malformed, table) => {
                let error = Error::new(Kind::SourceRefused, "a value is not what Hrana 3 defines");
                SnapshotFailure::Failed(match table {
                    Some(table) => error.at_table(table),
                    None => error,
                })
            }
        }
    }

    fn refused(&self, code: &str) -> SnapshotFailure {
        match self.table {
            _ if PASSING_CODES.contains(&code) => SnapshotFailure::Again(RetryReason::Passing(code.to_owned())),
            // A server may say in its own way that a text isn't UTF-8; the safe form settles it.
            Some(table) if code != "BLOCKED" => SnapshotFailure::Again(RetryReason::Untrusted(table.to_owned())),
            Some(_) | None => SnapshotFailure::Failed(http::statement_refused("reading the snapshot", code)),
        }
    }
}

fn out_of_order() -> SnapshotFailure {
    SnapshotFailure::Failed(Error::new(Kind::SourceRefused, "the entries of the answer are out of order"))
}

/// An entry that no longer borrows its line.
enum OwnedEntry {
    Begin(u32),
    Row(Vec<Cell>),
    End,
    Terminator(Option<u64>),
}

/// A row of [`storage_layout::SCHEMA_SQL`] as it came over the wire.
pub(super) fn schema_row(row: Vec<Cell>) -> Option<SchemaRow> {
    let [rowid, kind, name, table, root, sql] = <[Cell; 6]>::try_from(row).ok()?;
    Some(SchemaRow {
        rowid: rowid.integer()?,
        kind: kind.into_string()?,
        name: name.into_string()?,
        table: table.into_string()?,
        rooted: root.integer().unwrap_or(0) != 0,
        sql: match sql {
            Cell::Null => None,
            text => Some(text.into_string()?),
        },
    })
}

/// Tells how far a table is, not too often.
struct ReadProgress<'a> {
    ctx: &'a Context,
    table: &'a str,
    begun: Instant,
    reported: Instant,
    rows: u64,
    bytes: u64,
}

impl<'a> ReadProgress<'a> {
    fn begin(ctx: &'a Context, table: &'a str, rows_total: Option<u64>) -> Self {
        ctx.out.emit(&Event::TableStarted { stage: Stage::Dump, table: table.to_owned(), rows_total });
        let now = Instant::now();
        Self { ctx, table, begun: now, reported: now, rows: 0, bytes: 0 }
    }

    fn tell(&mut self, rows: u64, bytes: u64) {
        if self.reported.elapsed() >= TELL_EVERY {
            self.report_now(rows, bytes);
        }
    }

    fn report_now(&mut self, rows: u64, bytes: u64) {
        let table = self.table.to_owned();
        let (more_rows, more_bytes) = (rows - self.rows, bytes - self.bytes);
        self.ctx.out.emit(&Event::Committed { stage: Stage::Dump, table, rows: more_rows, bytes: more_bytes });
        (self.rows, self.bytes, self.reported) = (rows, bytes, Instant::now());
    }

    fn finish(mut self, rows: u64, bytes: u64) {
        if rows > self.rows {
            self.report_now(rows, bytes);
        }
        let elapsed_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let table = self.table.to_owned();
        self.ctx.out.emit(&Event::TableFinished { stage: Stage::Dump, table, rows, elapsed_ms });
    }
}
