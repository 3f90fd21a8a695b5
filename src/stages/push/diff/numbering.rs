//! The next numbers of sequences of tables that the application made. A sequence is moved on to the
//! first of its numbers that is beyond those of the loaded rows, and is never set back.

use std::collections::BTreeMap;

use crate::{
    error::Result,
    model::{
        TablePlan,
        identifier::{qualified, quote_ident},
    },
    postgres::Session,
    rules::ddl,
    stages::push::{
        plan::manifest::TableToPush,
        target::live_tables::{self, ColumnSequence},
    },
};

/// A sequence that has to go on with another number.
#[derive(Debug, Clone)]
pub(crate) struct SequenceRaise {
    /// The sequence, and the column by which it was found.
    pub sequence: ColumnSequence,
    /// The number that it has to give next.
    pub wanted: i64,
}

/// The sequences that would give numbers which rows have. `from` is the schema on the local PostgreSQL.
///
/// # Errors
/// `Local*`, `Target*`.
pub(crate) async fn raises(
    (control, reader): (&Session, &Session),
    (from, schema): (&str, &str),
    tables: &[TableToPush],
) -> Result<Vec<SequenceRaise>> {
    let names: Vec<&str> = tables.iter().map(|to_push| to_push.table.name.as_str()).collect();
    let mut sequences = live_tables::sequences(control, schema, &names).await?;
    let table = |name: &str| tables.iter().map(|to_push| &to_push.table).find(|table| table.name == name);
    let is_pushed = |one: &ColumnSequence| {
        table(&one.table).is_some_and(|table| table.pushed_columns().any(|column| column.name == one.column))
    };
    sequences.retain(is_pushed);
    let used = used_numbers(reader, from, &sequences).await?;
    let mut found: BTreeMap<String, SequenceRaise> = BTreeMap::new();
    for (sequence, used) in sequences.into_iter().zip(used) {
        let series = sequence.series;
        // Where no number is left, the sequence goes to its last one.
        let after_rows = series.after(used).unwrap_or_else(|| series.last());
        let planned = table(&sequence.table).and_then(|table| planned_next(table, &sequence));
        let wanted = planned.map_or(after_rows, |planned| series.later(planned, after_rows));
        let raise = found.entry(sequence.sequence.clone()).or_insert(SequenceRaise { sequence, wanted });
        raise.wanted = series.later(raise.wanted, wanted);
    }
    Ok(found.into_values().filter(|raise| raise.sequence.series.is_beyond(raise.wanted, raise.sequence.next)).collect())
}

/// The plan's next number of a column, or the first one behind it that the sequence gives; the last one if there is none
/// left.
fn planned_next(table: &TablePlan, sequence: &ColumnSequence) -> Option<i64> {
    let identity = table.identity.as_ref().filter(|identity| identity.column == sequence.column)?;
    let series = sequence.series;
    Some(identity.next.and_then(|next| series.at_or_after(next)).unwrap_or_else(|| series.last()))
}

/// The number in each column on the local PostgreSQL that the sequence gives last: the greatest, or the least where it
/// counts down.
async fn used_numbers(reader: &Session, from: &str, sequences: &[ColumnSequence]) -> Result<Vec<Option<i64>>> {
    let query = |(number, one): (usize, &ColumnSequence)| {
        let (column, table) = (quote_ident(&one.column), qualified(from, &one.table));
        let most = if one.series.descends() { "min" } else { "max" };
        format!("SELECT {number}::bigint AS n, (SELECT {most}({column})::bigint FROM {table})")
    };
    let queries: Vec<String> = sequences.iter().enumerate().map(query).collect();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("{} ORDER BY n", queries.join(" UNION ALL "));
    let rows = reader.query_rows("reading the numbers of the rows", &sql, &[]).await?;
    rows.iter().map(|row| row.get(1)).collect()
}

/// The statement that moves the sequence on. Somebody may have taken numbers since the sequence was read.
pub(crate) fn statement(raise: &SequenceRaise) -> String {
    ddl::raise_sequence(&raise.sequence.sequence, raise.wanted)
}
