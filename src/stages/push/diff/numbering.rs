//! The next numbers of sequences of tables that the application made. A sequence is moved on where the loaded rows have
//! higher numbers, and is never set back.

use std::collections::BTreeMap;

use crate::{
    error::Result,
    model::{
        TablePlan,
        identifier::{qualified, quote_ident, quote_literal},
    },
    postgres::Session,
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

/// The sequences that give numbers too low. `from` is the schema on the local PostgreSQL.
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
    let maxima = maxima(reader, from, &sequences).await?;
    let mut found: BTreeMap<String, SequenceRaise> = BTreeMap::new();
    for (sequence, highest) in sequences.into_iter().zip(maxima) {
        let after_rows = highest.map_or(1, |highest| highest.saturating_add(1));
        let planned = table(&sequence.table).and_then(|table| planned_next(table, &sequence.column)).unwrap_or(1);
        let wanted = after_rows.max(planned).clamp(1, sequence.highest);
        let raise = found.entry(sequence.sequence.clone()).or_insert(SequenceRaise { sequence, wanted });
        raise.wanted = raise.wanted.max(wanted);
    }
    Ok(found.into_values().filter(|raise| raise.wanted > raise.sequence.next).collect())
}

/// The plan's next number of a column; the highest one if there is none left.
fn planned_next(table: &TablePlan, column: &str) -> Option<i64> {
    let identity = table.identity.as_ref().filter(|identity| identity.column == column)?;
    Some(identity.next.unwrap_or(i64::MAX))
}

/// The highest number in each column on the local PostgreSQL.
async fn maxima(reader: &Session, from: &str, sequences: &[ColumnSequence]) -> Result<Vec<Option<i64>>> {
    let query = |(number, one): (usize, &ColumnSequence)| {
        let (column, table) = (quote_ident(&one.column), qualified(from, &one.table));
        format!("SELECT {number}::bigint AS n, (SELECT max({column})::bigint FROM {table})")
    };
    let queries: Vec<String> = sequences.iter().enumerate().map(query).collect();
    if queries.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!("{} ORDER BY n", queries.join(" UNION ALL "));
    let rows = reader.query_rows("reading the highest numbers of the rows", &sql, &[]).await?;
    rows.iter().map(|row| row.get(1)).collect()
}

/// The statement that moves the sequence on. Unlike `setval`, it is undone with its transaction. Somebody may have taken
/// numbers since the sequence was read.
pub(crate) fn statement(raise: &SequenceRaise) -> String {
    let SequenceRaise { sequence, wanted } = raise;
    let name = &sequence.sequence;
    let body = format!(
        "BEGIN IF (SELECT CASE WHEN s.is_called THEN s.last_value::numeric + q.seqincrement ELSE s.last_value END < {wanted} \
         FROM {name} AS s, pg_sequence AS q WHERE q.seqrelid = {}::regclass) THEN \
         ALTER SEQUENCE {name} RESTART WITH {wanted}; END IF; END",
        quote_literal(name)
    );
    format!("DO {}", quote_literal(&body))
}
