//! Makes one pass over one table on both sides, in bounded memory: each row gives, for every probe, a hash of the
//! columns that PostgreSQL's expressions read and of the answer. Rows that agree in those columns get one answer from
//! PostgreSQL, so that equal sums of hashes mean an equal answer for every row.

use std::{
    panic::AssertUnwindSafe,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use rusqlite::types::ValueRef;
use xxhash_rust::xxh3::xxh3_128;

use super::{
    super::{
        encode_cell::CellForm,
        load_context::LoadContext,
        readback::MalformedStream,
        row_encoder::{CellOutcome, cell_outcome},
    },
    answer::{self, AnswerType},
    subject::{CheckedObject, Probe, ProbeForm},
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        ColumnPlan, TablePlan,
        cell::SqliteCell,
        conversion_plan::OffType,
        identifier::{qualified, quote_ident},
    },
    postgres::{
        Session,
        copy::{
            binary_decode::{self, RowCutter},
            binary_encode,
            row_digest::{NotJson, RowDigest, RowHasher},
        },
    },
    rules::value_shape::json::Checker,
    sqlite::{self, table_rows::SourceRow},
};

/// Rows between two looks at a cancellation request.
const ROWS_BETWEEN_LOOKS: u64 = 10_000;

/// Instructions of the engine between two looks at the time and at a cancellation request.
const INSTRUCTIONS_PER_LOOK: i32 = 100_000;

/// How long an engine that should end is waited for.
const ABANDONED_AFTER: Duration = Duration::from_secs(2);

/// What a pass found out.
pub(super) enum PassOutcome {
    /// For each subject in which the sides differ: its place and what differs.
    Compared(Vec<(usize, String)>),
    /// SQLite takes too long.
    OutOfTime,
    /// SQLite can't compute one of the expressions.
    SqliteFailed,
    /// PostgreSQL can't; its words.
    TheirsFailed(String),
}

/// A probe that can be compared, and how PostgreSQL's answer arrives.
#[derive(Clone)]
struct ComparableProbe {
    /// The subject that it belongs to.
    subject: usize,
    probe: Probe,
    arrival: Option<AnswerType>,
}

/// What both sides compute.
struct PassQuery {
    table: TablePlan,
    columns: Vec<ColumnPlan>,
    /// Columns whose cells can keep a row from being loaded.
    rejecting: Vec<ColumnPlan>,
    probes: Vec<ComparableProbe>,
}

/// The answers to one probe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct ProbeSum {
    digest: RowDigest,
    /// Rows for which a condition holds.
    holds: u64,
}

/// Sums of one side, one per probe.
type ProbeSums = Vec<ProbeSum>;

/// Queries both sides.
///
/// # Errors
/// Of the connection; `SourceInvalid`; `Interrupted`. What an expression makes a side refuse is an answer.
pub(super) async fn run(
    work: &Arc<LoadContext>,
    session: &Session,
    table: &TablePlan,
    subjects: &[CheckedObject],
    deadline: Instant,
) -> Result<PassOutcome> {
    if Instant::now() >= deadline {
        return Ok(PassOutcome::OutOfTime);
    }
    let question = match ready(work, session, table, subjects).await {
        Ok(question) => Arc::new(question),
        Err(error) if session.is_lost() => return Err(error),
        Err(error) => return Ok(PassOutcome::TheirsFailed(error.message().to_owned())),
    };
    let (query, of) = (Arc::clone(&question), Arc::clone(work));
    let in_sqlite = tokio::task::spawn_blocking(move || in_sqlite(&of, &query, deadline));
    let in_postgres = in_postgres(work, session, &question).await;
    // One function can run for hours without a look at the time: whoever computes it is left behind then.
    let in_sqlite = tokio::select! {
        sums = in_sqlite => sums.map_err(|_| Error::new(Kind::Bug, "a trial ended early"))?,
        () = tokio::time::sleep_until((deadline + ABANDONED_AFTER).into()) => return Ok(PassOutcome::OutOfTime),
        () = async { work.ctx.stop.requested().await; tokio::time::sleep(ABANDONED_AFTER).await } => {
            return Err(Error::new(Kind::Interrupted, "stopped on request; what was committed is kept"));
        }
    };
    work.ctx.stop.check()?;
    let in_postgres = match in_postgres {
        Ok(sums) => sums,
        Err(error) if session.is_lost() || error.kind() == Kind::Bug => return Err(error),
        Err(error) => return Ok(PassOutcome::TheirsFailed(error.message().to_owned())),
    };
    let in_sqlite = match in_sqlite {
        Ok(sums) => sums,
        Err(_) if Instant::now() >= deadline => return Ok(PassOutcome::OutOfTime),
        Err(error) if error.kind() == Kind::SourceInvalid => return Ok(PassOutcome::SqliteFailed),
        Err(error) => return Err(error),
    };
    let mut differing: Vec<(usize, String)> = Vec::new();
    for ((ready, one), other) in question.probes.iter().zip(&in_sqlite).zip(&in_postgres) {
        if one != other && differing.last().is_none_or(|(subject, _)| *subject != ready.subject) {
            differing.push((ready.subject, difference(&ready.probe.form, *one, *other)));
        }
    }
    Ok(PassOutcome::Compared(differing))
}

fn difference(form: &ProbeForm, in_sqlite: ProbeSum, in_postgres: ProbeSum) -> String {
    match form {
        ProbeForm::Condition { .. } if in_sqlite.holds != in_postgres.holds => format!(
            "tried on the rows that are there, it holds for {} in SQLite and for {} in PostgreSQL",
            in_sqlite.holds, in_postgres.holds
        ),
        ProbeForm::Column(_) | ProbeForm::Condition { .. } | ProbeForm::Key { .. } => {
            "SQLite and PostgreSQL give different answers for the rows that are there".to_owned()
        }
    }
}

/// Learns the types of PostgreSQL's answers. Values of types that have no certain counterpart are not compared.
async fn ready(
    work: &LoadContext,
    session: &Session,
    table: &TablePlan,
    subjects: &[CheckedObject],
) -> Result<PassQuery> {
    let numbered = subjects.iter().enumerate();
    let all: Vec<(usize, &Probe)> =
        numbered.flat_map(|(subject, found)| found.probes.iter().map(move |probe| (subject, probe))).collect();
    let list: Vec<String> = all.iter().map(|(_, probe)| format!("({})", probe.in_postgres)).collect();
    let sql = format!("SELECT {} FROM {} AS t", list.join(", "), qualified(&work.plan.schema, &table.name));
    let prepared = session.client().prepare(&sql).await;
    let prepared = prepared.map_err(|failure| session.error("trying expressions", &failure))?;
    let mut probes = Vec::new();
    for ((subject, probe), column) in all.into_iter().zip(prepared.columns()) {
        let arrival = match &probe.form {
            ProbeForm::Key { .. } => match AnswerType::of(column.type_()) {
                Some(arrival) => Some(arrival),
                None => continue,
            },
            ProbeForm::Column(_) | ProbeForm::Condition { .. } => None,
        };
        probes.push(ComparableProbe { subject, probe: probe.clone(), arrival });
    }
    let needed = |column: &&ColumnPlan| {
        subjects.iter().any(|subject| subject.columns(table).iter().any(|other| other.name == column.name))
    };
    let columns = table.columns.iter().filter(needed).cloned().collect();
    let rejects = |column: &&ColumnPlan| column.exceptions.off_type == Some(OffType::Reject);
    let rejecting = table.loaded_columns().filter(rejects).cloned().collect();
    Ok(PassQuery { table: table.clone(), columns, rejecting, probes })
}

/// Makes the hash of a row's columns, and of those with an answer.
struct RowHashes {
    hasher: RowHasher,
    own: Vec<Option<RowHasher>>,
    row: Vec<u8>,
    scratch: Vec<u8>,
    sums: ProbeSums,
}

impl RowHashes {
    fn new(question: &PassQuery) -> Self {
        let own = question.probes.iter().map(|ready| match &ready.probe.form {
            ProbeForm::Column(column) => Some(RowHasher::new(std::iter::once(&**column))),
            ProbeForm::Condition { .. } | ProbeForm::Key { .. } => None,
        });
        Self {
            hasher: RowHasher::new(question.columns.iter()),
            own: own.collect(),
            row: Vec::new(),
            scratch: Vec::new(),
            sums: vec![ProbeSum::default(); question.probes.len()],
        }
    }

    /// The hash of the row that `self.row` holds.
    fn identity(&mut self) -> std::result::Result<u128, NotJson> {
        self.hasher.hash(&self.row)
    }

    /// Adds a probe's answer, which `self.scratch` holds: as a row of one field for a generated column.
    fn answer(&mut self, number: usize, identity: u128) -> std::result::Result<(), NotJson> {
        let holds = self.scratch == answer::HOLDS;
        if let Some(Some(hasher)) = self.own.get_mut(number) {
            let meaning = hasher.hash(&self.scratch)?;
            self.scratch.clear();
            self.scratch.extend_from_slice(&meaning.to_be_bytes());
        }
        self.scratch.extend_from_slice(&identity.to_be_bytes());
        if let Some(sum) = self.sums.get_mut(number) {
            sum.digest.add(xxh3_128(&self.scratch));
            sum.holds += u64::from(holds);
        }
        Ok(())
    }
}

fn field_count(columns: &[ColumnPlan]) -> i16 {
    i16::try_from(columns.len()).unwrap_or(i16::MAX)
}

fn not_json(_: NotJson) -> Error {
    Error::new(Kind::Bug, "a trial met a text that is not JSON")
}

fn in_sqlite(work: &LoadContext, question: &PassQuery, deadline: Instant) -> Result<ProbeSums> {
    let table = &question.table;
    let failed = |failure: &rusqlite::Error| sqlite::error_map::describe("trying expressions", failure);
    let connection = sqlite::open::read_only(&work.source)?;
    let stop = AssertUnwindSafe(work.ctx.stop.clone());
    connection.progress_handler(
        INSTRUCTIONS_PER_LOOK,
        Some(move || {
            let stop = &stop;
            stop.check().is_err() || Instant::now() >= deadline
        }),
    );
    let columns = question.columns.iter().map(|column| quote_ident(&column.source));
    let probes = question.probes.iter().map(|ready| ready.probe.in_sqlite.clone());
    let rejecting = question.rejecting.iter().map(|column| quote_ident(&column.source));
    let list = columns.chain(probes).chain(rejecting).collect::<Vec<_>>().join(", ");
    // `NOT INDEXED` keeps a vector index, which only its own module can read, from answering for the table.
    let sql = format!("SELECT {list} FROM main.{} NOT INDEXED", quote_ident(&table.source));
    let mut statement = connection.prepare(&sql).map_err(|failure| failed(&failure))?;
    let mut found = statement.query([]).map_err(|failure| failed(&failure))?;
    let forms: Option<Vec<CellForm>> = question.columns.iter().map(CellForm::of).collect();
    let forms = forms.ok_or_else(|| Error::new(Kind::Bug, "the plan's conversion can't give its type"))?;
    let (mut rows, mut checker) = (RowHashes::new(question), Checker::default());
    let mut count = 0_u64;
    while let Some(row) = found.next().map_err(|failure| failed(&failure))? {
        count += 1;
        if count.is_multiple_of(ROWS_BETWEEN_LOOKS) {
            work.ctx.stop.check()?;
        }
        let first = forms.len() + question.probes.len();
        let mut rejecting = question.rejecting.iter().enumerate();
        if rejecting.any(|(at, column)| {
            cell_outcome(column, SourceRow::Sqlite(row).cell(first + at), &mut checker) == CellOutcome::Rejected
        }) {
            continue;
        }
        rows.row.clear();
        binary_encode::row(&mut rows.row, field_count(&question.columns));
        for (index, (form, column)) in forms.iter().zip(&question.columns).enumerate() {
            match cell_outcome(column, SourceRow::Sqlite(row).cell(index), &mut checker) {
                CellOutcome::Nulled => binary_encode::null(&mut rows.row),
                CellOutcome::Written | CellOutcome::Rejected => {
                    write(form, SourceRow::Sqlite(row).cell(index), &mut rows.row)?;
                }
            }
        }
        let identity = rows.identity().map_err(not_json)?;
        for (number, ready) in question.probes.iter().enumerate() {
            rows.scratch.clear();
            our_answer(ready, row.get_ref(forms.len() + number), &mut rows.scratch)?;
            rows.answer(number, identity).map_err(not_json)?;
        }
    }
    Ok(rows.sums)
}

fn write(form: &CellForm, cell: SqliteCell<'_>, out: &mut Vec<u8>) -> Result<()> {
    form.write(cell, out).map_err(|refusal| Error::new(Kind::DataRefused, format!("a cell {}", refusal.0)))
}

fn our_answer(ready: &ComparableProbe, value: rusqlite::Result<ValueRef<'_>>, out: &mut Vec<u8>) -> Result<()> {
    let value = value.map_err(|failure| sqlite::error_map::describe("trying expressions", &failure))?;
    let cell = match value {
        ValueRef::Null => SqliteCell::Null,
        ValueRef::Integer(value) => SqliteCell::Integer(value),
        ValueRef::Real(value) => SqliteCell::Real(value),
        ValueRef::Text(bytes) => SqliteCell::Text(bytes),
        ValueRef::Blob(bytes) => SqliteCell::Blob(bytes),
    };
    match (&ready.probe.form, ready.arrival) {
        (ProbeForm::Column(column), _) => {
            binary_encode::row(out, 1);
            let form = CellForm::of(column).ok_or_else(|| Error::new(Kind::Bug, "a column without a form"))?;
            write(&form, cell, out)?;
        }
        (ProbeForm::Condition { null_as }, _) => {
            let truth = match cell {
                SqliteCell::Integer(value) => Some(value != 0),
                SqliteCell::Null | SqliteCell::Real(_) | SqliteCell::Text(_) | SqliteCell::Blob(_) => None,
            };
            answer::truth(truth, *null_as, out);
        }
        (ProbeForm::Key { collation }, Some(arrival)) => arrival.in_sqlite(cell, collation.as_deref(), out),
        (ProbeForm::Key { .. }, None) => {}
    }
    Ok(())
}

async fn in_postgres(work: &LoadContext, session: &Session, question: &PassQuery) -> Result<ProbeSums> {
    let columns = question.columns.iter().map(|column| format!("t.{}", quote_ident(&column.name)));
    let probes = question.probes.iter().map(|ready| match (&ready.probe.form, ready.arrival) {
        (ProbeForm::Column(column), _) => format!("t.{}", quote_ident(&column.name)),
        (_, Some(arrival)) => arrival.sql(&ready.probe.in_postgres),
        (_, None) => format!("({})", ready.probe.in_postgres),
    });
    let list = columns.chain(probes).collect::<Vec<_>>().join(", ");
    let table = qualified(&work.plan.schema, &question.table.name);
    let sql = format!("COPY (SELECT {list} FROM {table} AS t) TO STDOUT (FORMAT binary)");
    let doing = "trying expressions";
    let stream = Box::pin(session.client().copy_out(&sql)).await.map_err(|failure| session.error(doing, &failure))?;
    let mut stream = pin!(stream);
    let mut cutter = RowCutter::default();
    let mut rows = RowHashes::new(question);
    while let Some(message) = stream.next().await {
        let message = message.map_err(|failure| session.error(doing, &failure))?;
        cutter.feed(&message, |row| their_row(question, &mut rows, row))?;
    }
    cutter.finish().map_err(MalformedStream::from)?;
    Ok(rows.sums)
}

fn their_row(question: &PassQuery, rows: &mut RowHashes, row: &[u8]) -> std::result::Result<(), MalformedStream> {
    let mut fields = binary_decode::fields(row);
    rows.row.clear();
    binary_encode::row(&mut rows.row, field_count(&question.columns));
    for value in fields.by_ref().take(question.columns.len()) {
        put(value, &mut rows.row)?;
    }
    let identity = rows.identity()?;
    for (number, ready) in question.probes.iter().enumerate() {
        let value = fields.next().ok_or(MalformedStream)?;
        rows.scratch.clear();
        match (&ready.probe.form, ready.arrival) {
            (ProbeForm::Column(_), _) => {
                binary_encode::row(&mut rows.scratch, 1);
                put(value, &mut rows.scratch)?;
            }
            (ProbeForm::Condition { null_as }, _) => {
                answer::truth(value.map(|bytes| bytes == [1]), *null_as, &mut rows.scratch);
            }
            (ProbeForm::Key { .. }, Some(arrival)) => arrival.in_postgres(value, &mut rows.scratch),
            (ProbeForm::Key { .. }, None) => {}
        }
        rows.answer(number, identity)?;
    }
    Ok(())
}

fn put(value: Option<&[u8]>, out: &mut Vec<u8>) -> std::result::Result<(), MalformedStream> {
    match value {
        None => binary_encode::null(out),
        Some(bytes) => binary_encode::bytes(out, bytes).map_err(|_| MalformedStream)?,
    }
    Ok(())
}
