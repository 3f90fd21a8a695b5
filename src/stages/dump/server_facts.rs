//! What the server itself says of a copy that came as pages: its schema, and its rows per table, or what is cheaper to
//! know of them.
//!
//! Comparable only if nothing was written between the copy's commit and the question; a second question about its
//! newest state tells.

use std::path::Path;

use super::{
    content_digest::DatabaseContent,
    left_out::LeftOut,
    on_thread, sql_snapshot,
    storage_layout::{self, SchemaRow, TableShape},
};
use crate::{
    error::{Error, Kind, Result, ResultExt},
    model::identifier::quote_ident,
    source::{hrana::Cell, http::Server},
    sqlite::{error_map, open},
};

/// What the server says.
pub(super) struct ServerFacts {
    schema: Vec<SchemaRow>,
    /// Per table with rows of its own, in the schema's order; none where nothing was asked.
    tables: Vec<Option<TableFact>>,
}

/// A table's lowest and highest rowid; none without rows.
type RowidRange = [Option<i64>; 2];

/// What the server says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
enum TableFact {
    /// Its number of rows.
    Rows(u64),
    /// Its lowest and highest rowid, and those of the copy.
    Ends { of_server: RowidRange, own: RowidRange },
}

/// A question about a table.
struct TableQuery {
    sql: String,
    /// The lowest and highest rowid of the copy; none where the rows are counted.
    own: Option<RowidRange>,
}

/// Asks the server for its schema and for facts about the tables that the part file has: their numbers of rows, or,
/// with `cheap`, the lowest and highest rowids, which cost two rows each. None if it won't tell.
///
/// # Errors
/// `SourceInvalid` if the part file has no schema that can be read; `Interrupted`.
pub(super) async fn ask(
    server: &Server,
    part: &Path,
    cheap: bool,
    left_out: &[LeftOut],
) -> Result<Option<ServerFacts>> {
    let questions = {
        let part = part.to_owned();
        on_thread(move || questions(&part, cheap)).await?
    };
    let mut statements = vec!["BEGIN", storage_layout::SCHEMA_SQL];
    statements.extend(questions.iter().flatten().map(|question| question.sql.as_str()));
    statements.push("COMMIT");
    let answers = match server.query(&statements).await {
        Ok(answers) => answers,
        Err(error) if error.kind() == Kind::Interrupted => return Err(error),
        Err(_) => return Ok(None),
    };
    let answers = answers.into_iter().collect::<std::result::Result<Vec<_>, _>>().ok();
    let mut facts = answers.and_then(|answers| parse(answers, &questions));
    if let Some(facts) = &mut facts {
        facts.schema.retain(|row| !left_out.iter().any(|left| left.rowid == row.rowid));
    }
    Ok(facts)
}

/// A question per table of the copy with rows of its own; none for one that has no cheap fact.
fn questions(part: &Path, cheap: bool) -> Result<Vec<Option<TableQuery>>> {
    let connection = open::read_only(part)?;
    let schema = storage_layout::read_schema(&connection)?;
    if !cheap {
        let count = |table: &SchemaRow| format!("SELECT count(*) FROM {}", quote_ident(&table.name));
        let tables = schema.iter().filter(|row| row.holds_rows());
        return Ok(tables.map(|table| Some(TableQuery { sql: count(table), own: None })).collect());
    }
    let ends = |shape: TableShape| {
        let Some(rowid) = shape.rowid else { return Ok(None) };
        let end =
            |which: &str| format!("(SELECT {which}(t.{rowid}) FROM {} AS t NOT INDEXED)", quote_ident(&shape.name));
        let sql = format!("SELECT {}, {}", end("min"), end("max"));
        let own = connection.query_row(&sql, [], |row| Ok([row.get(0)?, row.get(1)?]));
        let own = own.map_err(|failure| error_map::describe("reading the ends of a table", &failure));
        Ok(Some(TableQuery { sql, own: Some(own.at_table(&shape.name)?) }))
    };
    storage_layout::shapes(&connection, &schema)?.into_iter().map(ends).collect()
}

fn parse(answers: Vec<Vec<Vec<Cell>>>, questions: &[Option<TableQuery>]) -> Option<ServerFacts> {
    let mut answers = answers.into_iter().skip(1);
    let schema = answers.next()?.into_iter().map(sql_snapshot::schema_row).collect::<Option<_>>()?;
    let mut tables = Vec::with_capacity(questions.len());
    for question in questions {
        let fact = match question {
            None => None,
            Some(question) => {
                let row = answers.next()?.into_iter().next()?;
                Some(match question.own {
                    None => TableFact::Rows(u64::try_from(row.first()?.integer()?).ok()?),
                    Some(own) => TableFact::Ends { of_server: [row.first()?.integer(), row.get(1)?.integer()], own },
                })
            }
        };
        tables.push(fact);
    }
    Some(ServerFacts { schema, tables })
}

impl ServerFacts {
    /// Compares it with what the copy holds, and says so.
    ///
    /// # Errors
    /// `SourceTruncated` where they differ.
    pub(super) fn check(&self, content: &DatabaseContent) -> Result<String> {
        let differs = |what: &str| {
            Error::new(Kind::SourceTruncated, format!("the copy hasn't the server's {what}"))
                .with_hint("nothing was kept; run `turso2neon dump --fresh`, and report it if it comes again")
        };
        if content.schema != self.schema || content.tables.len() != self.tables.len() {
            return Err(differs("schema"));
        }
        let mut ends = 0;
        for (held, fact) in content.tables.iter().zip(&self.tables) {
            let same = match fact {
                Some(TableFact::Rows(rows)) => held.rows == *rows,
                Some(TableFact::Ends { of_server, own }) => {
                    ends += 1;
                    of_server == own
                }
                None => true,
            };
            if !same {
                return Err(differs("rows")).at_table(&held.name);
            }
        }
        let facts = match ends {
            0 => format!("as many rows in each of {} tables", self.tables.len()),
            _ => format!("the same first and last rowid in {ends} tables (counting rows would have been billed)"),
        };
        Ok(format!(
            "asked in one read transaction with nothing written since, the server has the same {} schema objects and \
             {facts}",
            self.schema.len()
        ))
    }
}
