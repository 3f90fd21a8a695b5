//! Describes a push as text, for the report and for the answer of `push`.

use crate::model::{
    PushCheckpoint,
    human_format::{bytes, counted, duration},
    push_plan::PushPlan,
};

/// What was done and why, what it cost, what it left, and how to take it back: each as a name and a value.
#[must_use]
pub fn push_lines(push: &PushCheckpoint) -> Vec<(&'static str, String)> {
    let account = &push.account;
    let why = if account.why.is_empty() { String::new() } else { format!(": {}", account.why) };
    let mut lines = vec![("mode", format!("{}{why}", push.mode))];
    let rows = counted(account.sent_rows, "row", "rows");
    lines.push(("sent", format!("{rows}, {} in {}", bytes(push.sent_bytes), duration(account.elapsed_ms))));
    if push.compared_bytes > 0 {
        lines.push(("compared", format!("{} of hashes received", bytes(push.compared_bytes))));
    }
    let phases = push.phases_ms.iter().map(|(phase, elapsed_ms)| format!("{phase} {}", duration(*elapsed_ms)));
    let phases = phases.collect::<Vec<_>>().join(", ");
    if !phases.is_empty() {
        lines.push(("time", phases));
    }
    if let (Some(tables), Some(database)) = (account.tables_bytes, account.database_bytes) {
        let text = format!("{} with indexes; the whole database {}", bytes(tables), bytes(database));
        lines.push(("on target", text));
    }
    for line in push.plan.iter().flat_map(PushPlan::drift_lines) {
        lines.push(("drift", line));
    }
    for change in push.plan.iter().flat_map(|plan| &plan.changes) {
        lines.push(("changed", change.to_string()));
    }
    if let Some(home) = &push.previous_schema {
        let replaced = u64::try_from(push.replaced.len()).unwrap_or(u64::MAX);
        lines.push(("replaced", format!("{}, kept in schema {home}", counted(replaced, "table", "tables"))));
    }
    if let Some(point) = &push.restore_point {
        lines.push(("restore", format!("point {point}, a Neon branch that expires after 7 days")));
    }
    for setting in &account.frameworks {
        lines.push(("framework", setting.clone()));
    }
    lines.push(("rollback", push.way_back()));
    lines
}
