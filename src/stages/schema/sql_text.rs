//! Writes a synchronisation as a file of SQL.

use super::{SchemaDiff, trial::concurrently};
use crate::{
    model::identifier::quote_list,
    rules::schema_sync::{Effect, Timing},
};

/// The statements, with what is left out as comments. `is_live`: indexes of tables that are in use are built without
/// blocking writers.
pub(super) fn render(diff: &SchemaDiff, is_live: bool) -> String {
    let [first, second] = &diff.labels;
    let mut text = format!("-- makes {} like {}\n", in_one_line(second), in_one_line(first));
    for difference in &diff.sync.withheld {
        let flag = if difference.sync == Effect::Drops { "drop" } else { "narrow" };
        let line = in_one_line(&difference.line(&diff.home, first, second));
        text.push_str(&format!("-- left as it is, requires --allow {flag}: {line}\n"));
    }
    if diff.sync.changes.is_empty() {
        text.push_str("-- there is nothing to change\n");
        return text;
    }
    let path = quote_list(diff.sync.search_path.iter().map(String::as_str));
    text.push_str(&format!("SET search_path = {path};\nSET check_function_bodies = off;\n"));
    let mut add = |title: &str, timings: &[Timing], end: &str| {
        let mut chosen = diff.sync.changes.iter().filter(|change| timings.contains(&change.timing)).peekable();
        if chosen.peek().is_none() {
            return;
        }
        text.push_str(title);
        for change in chosen {
            let is_alone = is_live && change.timing == Timing::Deferrable;
            let sql = if is_alone { concurrently(&change.sql) } else { change.sql.clone() };
            text.push_str(&format!("{sql};\n"));
        }
        text.push_str(end);
    };
    add("", &[Timing::Before], "");
    if is_live {
        add("BEGIN;\n", &[Timing::Inside], "COMMIT;\n");
        add("", &[Timing::Deferrable], "");
    } else {
        add("BEGIN;\n", &[Timing::Inside, Timing::Deferrable], "COMMIT;\n");
    }
    text
}

/// Names can contain line breaks.
fn in_one_line(text: &str) -> String {
    text.split(char::is_control).collect::<Vec<_>>().join(" ")
}
