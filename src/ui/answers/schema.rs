//! Formats the answers of `schema diff` and `schema sync`.

use serde_json::{Value, json};

use super::json as value_of;
use crate::{
    error::{Error, Kind},
    model::human_format::counted,
    stages::schema::{Change, Difference, SchemaDiff, SchemaSync, Timing, TriedIn},
    ui::{Answer, std_streams::harmless},
};

/// `schema diff`: the differences in plain words.
#[must_use]
pub fn schema_differences(diff: &SchemaDiff) -> Answer {
    let [first, second] = &diff.labels;
    let text = if diff.differences.is_empty() {
        format!("{} and {} have the same schema\n", harmless(first), harmless(second))
    } else {
        lines(diff, &diff.differences)
    };
    refused_if_different(Answer::new("schema", text, difference_json(diff)), diff)
}

/// `schema diff --format json`: the sides and the differences.
#[must_use]
pub fn schema_difference_list(diff: &SchemaDiff) -> Answer {
    let json = difference_json(diff);
    let text = serde_json::to_string_pretty(&json).unwrap_or_default() + "\n";
    refused_if_different(Answer::new("schema", text, json).raw(), diff)
}

/// `schema diff --format sql`: the statements of `schema sync`.
#[must_use]
pub fn schema_difference_sql(diff: &SchemaDiff, is_live: bool) -> Answer {
    let text = diff.sql(is_live);
    let json = json!({ "format": "sql", "text": text });
    refused_if_different(Answer::new("schema", text, json).raw(), diff)
}

fn refused_if_different(answer: Answer, diff: &SchemaDiff) -> Answer {
    if diff.differences.is_empty() {
        return answer;
    }
    let count = counted(number(diff.differences.len()), "difference", "differences");
    let [first, second] = &diff.labels;
    answer.refused(
        Error::new(Kind::Different, format!("the schemas of {first} and {second} differ: {count}")).with_hint(
            "run `turso2neon schema sync` with the same sides to see the SQL that makes the second like the first",
        ),
    )
}

/// `schema sync`: the statements, and what became of them.
#[must_use]
pub fn schema_synchronised(sync: &SchemaSync) -> Answer {
    let diff = &sync.diff;
    let [first, second] = &diff.labels;
    let mut text = diff.sql(sync.is_live);
    text.push_str(&format!("-- {}\n", harmless(&outcome(sync)).replace('\n', " ")));
    let json = json!({
        "first": first,
        "second": second,
        "schema": diff.home,
        "statements": sync.changes().iter().map(statement).collect::<Vec<_>>(),
        "tried_in": match sync.tried {
            TriedIn::Nothing => Value::Null,
            TriedIn::Database => json!("database"),
            TriedIn::Scratch => json!("scratch"),
        },
        "applied": sync.applied,
        "withheld": value_of(&diff.sync.withheld),
        "remaining": value_of(&sync.remaining),
    });
    let answer = Answer::new("schema", text, json).raw();
    if sync.remaining.is_empty() {
        return answer;
    }
    let count = counted(number(sync.remaining.len()), "difference remains", "differences remain");
    let reason = Error::new(Kind::Different, format!("{count} between {first} and {second}"));
    let hint = if diff.sync.withheld.is_empty() {
        "run `turso2neon schema diff` with the same sides to see them"
    } else {
        "add --allow drop, --allow narrow or both after a look at what they would change"
    };
    answer.refused(reason.with_hint(hint))
}

/// What became of the statements, in one sentence.
fn outcome(sync: &SchemaSync) -> String {
    let [first, second] = &sync.diff.labels;
    let count = counted(number(sync.changes().len()), "statement", "statements");
    match (sync.applied, sync.tried) {
        (true, _) if sync.remaining.is_empty() => {
            format!("{count} executed; {second} has the same schema as {first} (compared again)")
        }
        (true, _) => format!("{count} executed; {second} was compared again with {first}"),
        (false, TriedIn::Nothing) => "nothing was changed".to_owned(),
        (false, TriedIn::Database) => {
            format!("{count} tried in a transaction on {second} and rolled back; nothing was changed")
        }
        (false, TriedIn::Scratch) => format!("{count} tried in a scratch cluster, without rows; nothing was changed"),
    }
}

fn statement(change: &Change) -> Value {
    let when = match change.timing {
        Timing::Before => "before",
        Timing::Inside => "transaction",
        Timing::Deferrable => "after",
    };
    json!({ "object": change.object, "effect": change.effect.word(), "when": when, "sql": change.sql })
}

fn lines(diff: &SchemaDiff, differences: &[Difference]) -> String {
    let [first, second] = &diff.labels;
    let line = |difference: &Difference| format!("{}\n", harmless(&difference.line(&diff.home, first, second)));
    differences.iter().map(line).collect()
}

fn difference_json(diff: &SchemaDiff) -> Value {
    let [first, second] = &diff.labels;
    json!({
        "first": first,
        "second": second,
        "schema": diff.home,
        "equal": diff.differences.is_empty(),
        "differences": value_of(&diff.differences),
    })
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
