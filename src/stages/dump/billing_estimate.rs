//! What reading a server's rows costs, told before a large read: hosted servers bill each row that a query visits.

use super::{sql_snapshot::SnapshotFacts, storage_layout::TableShape};
use crate::{
    context::Context,
    error::{Error, Kind},
    model::{human_format, identifier::quote_ident},
    source::http::Server,
};

/// Databases below this many bytes are read without a word.
pub(super) const LARGE_BYTES: u64 = 32 << 20;

/// Bytes that a row takes at least, its entry in the page included.
const ROW_BYTES_MIN: u64 = 6;

/// Says how many rows a large read visits, as far as that can be known for the price of one row per table.
///
/// # Errors
/// `Interrupted`; any other failure only leaves the cost unknown.
pub(super) async fn announce(ctx: &Context, server: &Server, facts: &SnapshotFacts) -> Result<(), Error> {
    let bytes = facts.bytes();
    if bytes < LARGE_BYTES {
        return Ok(());
    }
    let known = facts.shapes.iter().filter(|shape| rows_follow_rowid(facts, shape));
    let questions: Vec<String> = known
        .filter_map(|shape| {
            let rowid = shape.rowid.as_ref()?;
            Some(format!("SELECT max(t.{rowid}) FROM {} AS t NOT INDEXED", quote_ident(&shape.name)))
        })
        .collect();
    let asked: Vec<&str> = questions.iter().map(String::as_str).collect();
    let answers = match server.query(&asked).await {
        Ok(answers) => answers,
        Err(error) if error.kind() == Kind::Interrupted => return Err(error),
        Err(_) => return Ok(()),
    };
    let highest = answers.into_iter().map(|answer| {
        let cell = answer.ok()?.into_iter().next()?.into_iter().next()?;
        u64::try_from(cell.integer()?).ok()
    });
    let rows = estimate(bytes, highest.map(Option::unwrap_or_default));
    let unknown = facts.shapes.len() - questions.len();
    let more = match unknown {
        0 => String::new(),
        count => format!(", besides those of {}", human_format::counted(count as u64, "other table", "other tables")),
    };
    ctx.out.info(format!(
        "reading {} as rows: about {} rows{more}; each is counted once and sent once, which a hosted server may bill \
         as {} rows read",
        human_format::bytes(bytes),
        human_format::count(rows),
        human_format::count(rows.saturating_mul(2))
    ));
    Ok(())
}

/// Whether the highest rowid says something about the number of rows.
fn rows_follow_rowid(facts: &SnapshotFacts, shape: &TableShape) -> bool {
    let sql = facts.schema.get(shape.index).and_then(|row| row.sql.as_deref()).unwrap_or_default();
    shape.rowid.is_some() && !sql.to_ascii_lowercase().contains("random rowid")
}

/// Rows in all: the highest rowids, but never more than fit in the file.
fn estimate(bytes: u64, highest: impl Iterator<Item = u64>) -> u64 {
    highest.fold(0, u64::saturating_add).min(bytes / ROW_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_never_exceeds_what_fits() {
        assert_eq!(estimate(600_000, [10, 20].into_iter()), 30);
        assert_eq!(estimate(600_000, [u64::MAX, 20].into_iter()), 100_000);
    }
}
