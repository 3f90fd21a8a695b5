//! Method `sql`: a snapshot of a server's database through its SQL interface alone.
//!
//! What can't be trusted or doesn't arrive is asked for again as a whole, a bounded number of times. A table whose
//! values the plain form can't carry (an infinity loses its sign; a text that isn't UTF-8 makes the server break the
//! answer off) is asked for in the safe form from then on; the second time it happens, all tables are.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    billing_estimate, disk_space,
    left_out::{self, LeftOut},
    sql_snapshot::{self, ReceivedSnapshot, RetryReason, SnapshotFacts, SnapshotFailure, SnapshotJob, ValueForm},
    storage_layout::{self, SchemaRow},
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    source::{
        hrana::{Cell, StatementAnswer},
        hrana_cursor::CursorEnd,
        http::{self, Server},
    },
};

/// How often a snapshot is begun.
const TRIES: u32 = 5;

/// How large the file is; nothing but the announcement depends on it.
const PAGE_COUNT_SQL: &str = "SELECT page_count FROM pragma_page_count";

/// The header's facts: the pragma, and whether its value counts as 0 where the server won't tell it.
const PRAGMAS: [&str; 4] = ["encoding", "page_size", "user_version", "application_id"];

/// A complete snapshot in a file.
pub(super) struct Snapshot {
    /// What came.
    pub(super) received: ReceivedSnapshot,
    /// What the server declares.
    pub(super) schema: Vec<SchemaRow>,
    /// What the server declares and the file hasn't.
    pub(super) left_out: Vec<LeftOut>,
    /// Tables that were read in the safe form.
    pub(super) safe_tables: usize,
}

impl Snapshot {
    /// What proves that it is one snapshot and complete, as sentences.
    pub(super) fn proof(&self) -> Vec<String> {
        let received = &self.received;
        let rows: u64 = received.tables.iter().map(|table| table.rows).sum();
        let mut proof = vec![
            format!(
                "one cursor request in one read transaction: all {} statements began and ended, COMMIT among them, \
                 and the end of the answer was seen",
                received.steps
            ),
            format!(
                "each of {} tables was counted inside the transaction and sent as many rows, {rows} in all",
                received.tables.len()
            ),
        ];
        if self.safe_tables > 0 {
            proof.push(format!(
                "{} tables were read byte for byte, for text that isn't UTF-8 or for infinities",
                self.safe_tables
            ));
        }
        proof.extend(left_out::note(&self.left_out));
        proof
    }
}

/// Makes the snapshot.
///
/// # Errors
/// `Source*` kinds, `ArtifactIo`, `Interrupted`.
pub(super) async fn copy(ctx: &Context, server: &Server, part: &Path, exclude: &[String]) -> Result<Snapshot> {
    let mut distrust = UntrustedTables::default();
    let mut attempt = 1;
    loop {
        let facts = ask_facts(ctx, server, exclude).await?;
        if !facts.encoding.eq_ignore_ascii_case("UTF-8") {
            // Only its bytes tell exactly what a UTF-16 text is.
            distrust.all = true;
        }
        if attempt == 1 {
            disk_space::require(part, facts.bytes())?;
            billing_estimate::announce(ctx, server, &facts).await?;
        }
        let (schema, left_out) = (facts.schema.clone(), facts.left_out.clone());
        let safe_tables = facts.shapes.iter().filter(|shape| distrust.form(&shape.name) == ValueForm::Safe).count();
        super::remove_part(part)?;
        let (setback, ending) = match snapshot_once(ctx, server, facts, part.to_owned(), &distrust).await {
            Ok(received) => return Ok(Snapshot { received, schema, left_out, safe_tables }),
            Err((SnapshotFailure::Failed(error), _)) => return Err(error),
            Err((SnapshotFailure::Again(setback), ending)) => (setback, ending),
        };
        let error = describe(&setback, ending);
        if attempt == TRIES {
            return Err(error);
        }
        attempt += 1;
        distrust.learn(setback);
        server.wait(error.message(), attempt).await?;
    }
}

/// Which tables are asked for in the safe form.
#[derive(Default)]
struct UntrustedTables {
    doubts: u32,
    all: bool,
    tables: BTreeSet<String>,
}

impl UntrustedTables {
    fn form(&self, table: &str) -> ValueForm {
        if self.all || self.tables.contains(table) { ValueForm::Safe } else { ValueForm::Plain }
    }

    fn learn(&mut self, setback: RetryReason) {
        match setback {
            RetryReason::Untrusted(table) => self.tables.extend([table]),
            // A server that meets a text it can't send drops what it had not sent yet, so that the answer may end
            // in an earlier table, or in none.
            RetryReason::Ended(table) => self.tables.extend(table),
            RetryReason::TransactionLost | RetryReason::SchemaChanged | RetryReason::Passing(_) => return,
        }
        // Reading everything once per odd table would never end.
        self.doubts += 1;
        self.all = self.all || self.doubts > 1;
    }
}

async fn snapshot_once(
    ctx: &Context,
    server: &Server,
    facts: SnapshotFacts,
    part: PathBuf,
    distrust: &UntrustedTables,
) -> std::result::Result<ReceivedSnapshot, (SnapshotFailure, CursorEnd)> {
    let job = Arc::new(SnapshotJob::new(facts, part, |table| distrust.form(table)));
    let failed = |error: Error| (SnapshotFailure::Failed(error), CursorEnd::Unwanted);
    let (pump, lines) = server.cursor(job.body()).await.map_err(failed)?;
    let reader = {
        let (job, ctx) = (job.clone(), ctx.clone());
        tokio::task::spawn_blocking(move || job.receive(lines, &ctx))
    };
    let ending = pump.run().await;
    // The reader ends with the pump; nobody may touch its file before.
    let received = reader.await.map_err(|_| failed(Error::new(Kind::Bug, "the reader of the snapshot stopped")))?;
    let ending = ending.map_err(failed)?;
    received.map_err(|halt| (halt, ending))
}

fn describe(setback: &RetryReason, ending: CursorEnd) -> Error {
    match setback {
        RetryReason::Untrusted(table) => {
            let hint = "values of several MB are beyond what some servers send as rows; a method that copies pages \
                        (`--method auto` tries them all) brings them";
            let text = "the server can't send some values of this table";
            Error::new(Kind::SourceRefused, text).at_table(table).with_hint(hint)
        }
        RetryReason::Ended(table) => {
            let why = match ending {
                CursorEnd::Silent => "the server said nothing for 60 s",
                CursorEnd::Closed => "the server ended its answer before the end of the snapshot",
                CursorEnd::Cut | CursorEnd::Unwanted => "the connection was cut before the end of the snapshot",
            };
            let error = Error::new(Kind::SourceTruncated, why);
            match table {
                Some(table) => error.at_table(table),
                None => error,
            }
        }
        RetryReason::TransactionLost => {
            Error::new(Kind::SourceChanged, "the server lost the read transaction in the middle of the snapshot")
                .with_hint("nothing was kept; run `turso2neon dump` again when the server is less busy")
        }
        RetryReason::SchemaChanged => Error::new(Kind::SourceChanged, "the schema changed while the snapshot began")
            .with_hint("nothing was kept; run `turso2neon dump` again when the source's migrations are done"),
        RetryReason::Passing(code) => {
            Error::new(Kind::SourceUnreachable, format!("the server can't read at present ({code})"))
        }
    }
}

/// Reads what must be known before the snapshot can be asked for.
async fn ask_facts(ctx: &Context, server: &Server, exclude: &[String]) -> Result<SnapshotFacts> {
    let functions = PRAGMAS.map(|pragma| format!("SELECT {pragma} FROM pragma_{pragma}"));
    let statements: Vec<&str> =
        [storage_layout::SCHEMA_SQL, PAGE_COUNT_SQL].into_iter().chain(functions.iter().map(String::as_str)).collect();
    let mut answers = server.query(&statements).await?.into_iter();
    let schema = answers.next().unwrap_or(Ok(Vec::new()));
    let schema = schema.map_err(|code| http::statement_refused("reading the schema", &code))?;
    let schema: Option<Vec<SchemaRow>> = schema.into_iter().map(sql_snapshot::schema_row).collect();
    let schema = schema.ok_or_else(|| server.refused("its schema isn't one of SQLite"))?;
    let page_count = answers.next().and_then(single).and_then(|cell| cell.integer());
    let page_count = page_count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    let left_out = left_out::choose(&schema, exclude, left_out::RowsOwner::Server)?;
    let mut schema = schema;
    schema.retain(|row| !left_out.iter().any(|left| left.rowid == row.rowid));
    let shapes = storage_layout::shapes_of_text(&schema)?;
    let mut found: [Option<(String, Cell)>; 4] = Default::default();
    for ((place, sql), answer) in found.iter_mut().zip(functions).zip(answers) {
        *place = single(answer).map(|value| (sql, value));
    }
    for (place, pragma) in found.iter_mut().zip(PRAGMAS) {
        if place.is_none() {
            *place = ask_pragma(ctx, server, pragma).await?;
        }
    }
    let [encoding, page_bytes, user_version, application_id] = found;
    let encoding = encoding.and_then(|(_, cell)| cell.into_string()).unwrap_or_else(|| "UTF-8".to_owned());
    let page_bytes = page_bytes.and_then(|(_, cell)| cell.integer()).and_then(|bytes| u32::try_from(bytes).ok());
    Ok(SnapshotFacts {
        schema,
        left_out,
        shapes,
        encoding,
        page_bytes: page_bytes.unwrap_or(4096),
        page_count,
        number_sql: [user_version, application_id].map(|number| number.map(|(sql, _)| sql)),
    })
}

/// The same fact by the plain statement, for servers without pragma functions. A read-only token may be refused
/// the statement (libSQL counts it as a write), which then says nothing about the token.
async fn ask_pragma(ctx: &Context, server: &Server, pragma: &str) -> Result<Option<(String, Cell)>> {
    let sql = format!("PRAGMA {pragma}");
    let answer = match server.query(&[&sql]).await {
        Ok(answers) => answers.into_iter().next(),
        Err(error) if error.kind() == Kind::SourceDenied => None,
        Err(error) => return Err(error),
    };
    let value = answer.and_then(single);
    if value.is_none() {
        ctx.out.warn(format!("the server doesn't tell its {pragma}; the usual value is taken"));
    }
    Ok(value.map(|value| (sql, value)))
}

fn single(answer: StatementAnswer) -> Option<Cell> {
    answer.ok()?.into_iter().next()?.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_doubt_makes_all_tables_suspect() {
        let mut distrust = UntrustedTables::default();
        distrust.learn(RetryReason::TransactionLost);
        assert_eq!(distrust.form("a"), ValueForm::Plain);
        distrust.learn(RetryReason::Untrusted("a".to_owned()));
        distrust.learn(RetryReason::SchemaChanged);
        assert_eq!((distrust.form("a"), distrust.form("b")), (ValueForm::Safe, ValueForm::Plain));
        distrust.learn(RetryReason::Ended(None));
        assert_eq!(distrust.form("c"), ValueForm::Safe);
    }
}
