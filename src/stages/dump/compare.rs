//! What the server itself says of a copy that came as pages: its schema, and its rows per table.
//!
//! Comparable only if nothing was written between the copy's commit and the question; a second greeting tells.

use std::path::Path;

use super::{
    content::Content,
    layout::{self, SchemaRow},
    on_thread, snapshot,
};
use crate::{
    error::{Error, Kind, Result, ResultExt},
    model::name::quote_ident,
    source::{hrana::Cell, http::Server},
    sqlite::open,
};

/// What the server says.
pub(super) struct Told {
    schema: Vec<SchemaRow>,
    /// Per table with rows of its own, in the schema's order.
    rows: Vec<u64>,
}

/// Asks the server for its schema and for the rows of the tables that the part file has; none if it won't tell.
///
/// # Errors
/// `SourceInvalid` if the part file has no schema that can be read; `Interrupted`.
pub(super) async fn ask(server: &Server, part: &Path) -> Result<Option<Told>> {
    let tables = {
        let part = part.to_owned();
        on_thread(move || {
            let schema = layout::read_schema(&open::read_only(&part)?)?;
            Ok(schema.into_iter().filter(SchemaRow::holds_rows).map(|row| row.name).collect::<Vec<_>>())
        })
        .await?
    };
    let counts = tables.iter().map(|table| format!("SELECT count(*) FROM {}", quote_ident(table)));
    let mut statements = vec!["BEGIN".to_owned(), layout::SCHEMA_SQL.to_owned()];
    statements.extend(counts);
    statements.push("COMMIT".to_owned());
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let answers = match server.query(&statements).await {
        Ok(answers) => answers,
        Err(error) if error.kind() == Kind::Interrupted => return Err(error),
        Err(_) => return Ok(None),
    };
    Ok(told(answers.into_iter().collect::<std::result::Result<Vec<_>, _>>().ok()))
}

fn told(answers: Option<Vec<Vec<Vec<Cell>>>>) -> Option<Told> {
    let mut answers = answers?.into_iter().skip(1);
    let schema = answers.next()?.into_iter().map(snapshot::schema_row).collect::<Option<_>>()?;
    let mut rows = answers
        .map(|rows| rows.first()?.first()?.integer())
        .map(|rows| rows.and_then(|rows| u64::try_from(rows).ok()))
        .collect::<Vec<_>>();
    // COMMIT gives no row.
    rows.pop();
    Some(Told { schema, rows: rows.into_iter().collect::<Option<_>>()? })
}

impl Told {
    /// Compares it with what the copy holds, and says so.
    ///
    /// # Errors
    /// `SourceTruncated` where they differ.
    pub(super) fn check(&self, content: &Content) -> Result<String> {
        let differs = |what: &str| Error::new(Kind::SourceTruncated, format!("the copy hasn't the server's {what}"));
        if content.schema != self.schema || content.tables.len() != self.rows.len() {
            return Err(differs("schema"));
        }
        for (held, rows) in content.tables.iter().zip(&self.rows) {
            if held.rows != *rows {
                return Err(differs("number of rows")).at_table(&held.name);
            }
        }
        Ok(format!(
            "asked in one read transaction with nothing written since, the server has the same {} schema objects and \
             as many rows in each of {} tables",
            self.schema.len(),
            self.rows.len()
        ))
    }
}
