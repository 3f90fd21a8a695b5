//! Defines `run.json`: how the last `run` ended, what it changed on the target, and what changed since the run before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    model::{
        DumpCheckpoint, Plan, Stage,
        checkpoint::{CHECKPOINT_FORMAT, LoadState},
        human_format::{count, counted, duration},
        push_plan::PushPlan,
        timestamp::rfc3339_s,
    },
    workdir::{Workdir, now_s, sealed},
};

/// How many names one line lists.
const NAMED: usize = 10;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum RunOutcome {
    /// All stages came to their end.
    Completed,
    /// A stage failed.
    Failed {
        /// The stage; none if it was none of them.
        stage: Option<Stage>,
        /// The error's code.
        code: String,
        /// What happened.
        message: String,
    },
}

/// What a completed run found, for the comparison with the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunState {
    /// Seconds since 1970 at its end.
    pub finished_s: u64,
    /// Rows in the dump.
    pub rows: u64,
    /// `table.column`, by the source's names, and PostgreSQL's type.
    pub columns: BTreeMap<String, String>,
    /// Findings as `code at place`.
    pub findings: BTreeSet<String>,
}

/// The last run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`CHECKPOINT_FORMAT`].
    pub format: u32,
    /// Version of the tool.
    pub tool: String,
    /// Seconds since 1970 at its begin.
    pub started_s: u64,
    /// Seconds since 1970 at its end.
    pub finished_s: u64,
    /// How it ended.
    pub outcome: RunOutcome,
    /// What it changed on the target, in words; none if it failed before the push came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_target: Option<String>,
    /// What the last completed run found: this one, unless it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<RunState>,
    /// What the completed run before that one found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<RunState>,
}

/// What the stages of a completed run gave.
#[derive(Debug, Clone, Copy)]
pub struct RunResult<'a> {
    /// The dump.
    pub dump: &'a DumpCheckpoint,
    /// The plan.
    pub plan: &'a Plan,
    /// What the push did; none if an interrupted push had done everything.
    pub push: Option<&'a PushPlan>,
    /// Whether the push found nothing to do.
    pub unchanged: bool,
}

impl RunRecord {
    /// The record of a run that has just ended with this, after those that the working directory knows of.
    #[must_use]
    pub fn new(workdir: &Workdir, started_s: u64, ended: std::result::Result<RunResult<'_>, &Error>) -> Self {
        // An unreadable record of an earlier run only costs the comparison with it.
        let last = Self::load(workdir).ok();
        let finished_s = now_s();
        let (outcome, on_target, completed, before) = match ended {
            Ok(run) => {
                let state = RunState::of(run.plan, run.dump.rows.values().sum(), finished_s);
                (RunOutcome::Completed, Some(on_target(run)), Some(state), last.and_then(|last| last.completed))
            }
            Err(error) => {
                let (stage, code) = (error.stage(), error.kind().code().to_owned());
                let outcome = RunOutcome::Failed { stage, code, message: error.message().to_owned() };
                let (completed, before) = last.map(|last| (last.completed, last.before)).unwrap_or_default();
                (outcome, pushed_since(workdir, started_s), completed, before)
            }
        };
        let tool = env!("CARGO_PKG_VERSION").to_owned();
        Self { format: CHECKPOINT_FORMAT, tool, started_s, finished_s, outcome, on_target, completed, before }
    }

    /// Keeps it in `DIR/run.json`.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub fn store(&self, workdir: &Workdir) -> Result<()> {
        sealed::store(&workdir.run_json(), self).map(drop)
    }

    /// The last one.
    ///
    /// # Errors
    /// `ArtifactMissing`, `ArtifactDamaged`, `ArtifactNewer`.
    pub fn load(workdir: &Workdir) -> Result<Self> {
        sealed::load(&workdir.run_json(), CHECKPOINT_FORMAT, "run")
    }

    /// The run in a few lines: what, and its value.
    #[must_use]
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let time = duration(self.finished_s.saturating_sub(self.started_s) * 1000);
        let (end, began) = (rfc3339_s(self.finished_s), rfc3339_s(self.started_s));
        match &self.outcome {
            RunOutcome::Failed { stage, code, message } => {
                let stage = stage.map_or_else(|| "the start".to_owned(), |stage| format!("stage {stage}"));
                let mut lines =
                    vec![("This run", format!("began at {began} and failed at {stage} ({code}): {message}"))];
                lines.extend(self.on_target.clone().map(|text| ("On the target", text)));
                if let Some(completed) = &self.completed {
                    let text = format!("the last completed run ended at {}", rfc3339_s(completed.finished_s));
                    lines.push(("Before", text));
                }
                lines
            }
            RunOutcome::Completed => {
                let mut lines = vec![("This run", format!("completed at {end} in {time}"))];
                lines.extend(self.on_target.clone().map(|text| ("On the target", text)));
                let since = match (&self.completed, &self.before) {
                    (Some(now), Some(before)) => now.since(before),
                    _ => "this is the first completed run".to_owned(),
                };
                lines.push(("Since the last run", since));
                lines
            }
        }
    }
}

/// What a push did that came to its end in a run that failed later.
fn pushed_since(workdir: &Workdir, started_s: u64) -> Option<String> {
    let push = workdir.load_push().ok()?;
    let is_of_run = push.state == LoadState::Done && push.finished_s >= started_s;
    push.plan.filter(|_| is_of_run).map(|plan| plan.effect())
}

/// What the push of a run did to the rows on the target.
fn on_target(run: RunResult<'_>) -> String {
    match run.push {
        _ if run.unchanged => "nothing was changed".to_owned(),
        Some(plan) => plan.effect(),
        None => "a push that was interrupted before had changed everything".to_owned(),
    }
}

impl RunState {
    fn of(plan: &Plan, rows: u64, finished_s: u64) -> Self {
        let tables = plan.tables.iter();
        let columns = tables.flat_map(|table| {
            let column = |column: &crate::model::ColumnPlan| {
                (format!("{}.{}", table.source, column.source), column.pg_type.to_string())
            };
            table.columns.iter().map(column).collect::<Vec<_>>()
        });
        let finding = |finding: &crate::model::Finding| format!("{} at {}", finding.code, finding.place());
        Self { finished_s, rows, columns: columns.collect(), findings: plan.findings.iter().map(finding).collect() }
    }

    /// What changed between an earlier run and this one.
    fn since(&self, before: &Self) -> String {
        let mut parts = Vec::new();
        if self.rows != before.rows {
            parts.push(format!("{} rows in the source instead of {}", count(self.rows), count(before.rows)));
        }
        let named = |what: &str, names: Vec<String>| {
            let more = names.len().saturating_sub(NAMED);
            let list = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            (!names.is_empty()).then(|| format!("{what}: {list}{rest}"))
        };
        let new = self.columns.keys().filter(|name| !before.columns.contains_key(*name));
        let gone = before.columns.keys().filter(|name| !self.columns.contains_key(*name));
        let changed = self.columns.iter().filter_map(|(name, now)| {
            let then = before.columns.get(name).filter(|then| *then != now)?;
            Some(format!("{name} ({then} -> {now})"))
        });
        parts.extend(named("new columns", new.cloned().collect()));
        parts.extend(named("columns that are gone", gone.cloned().collect()));
        parts.extend(named("columns of another type", changed.collect()));
        parts.extend(named("new findings", self.findings.difference(&before.findings).cloned().collect()));
        parts.extend(named("findings that are gone", before.findings.difference(&self.findings).cloned().collect()));
        let what = if parts.is_empty() {
            "the same number of rows, columns, types and findings".to_owned()
        } else {
            parts.join("; ")
        };
        format!("{what} (the last run ended at {})", rfc3339_s(before.finished_s))
    }
}

impl PushPlan {
    /// What the push did to the rows on the target, as half a sentence.
    #[must_use]
    pub fn effect(&self) -> String {
        use crate::model::push_plan::Action;
        let size = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let tables = counted(size(self.tables.len()), "table", "tables");
        let now = counted(self.rows(), "row", "rows");
        let before = self.rows_before.map(|rows| format!(", {} before", count(rows))).unwrap_or_default();
        match self.action {
            Action::Nothing => "nothing was changed".to_owned(),
            Action::Create => format!("{tables} created, {now} inserted"),
            Action::Swap | Action::DropAndCreate => format!("{tables} replaced: {now}{before}"),
            Action::Load => format!("{now} loaded into {tables} of the application"),
            Action::ReplaceRows => format!("the rows of {tables} replaced: {now}{before}"),
            Action::Diff => {
                let changed: Vec<_> = self.changed().map(|(_, changes)| changes).collect();
                let sum = |of: fn(&crate::model::row_changes::RowChanges) -> u64| changed.iter().map(of).sum::<u64>();
                format!(
                    "{} inserted, {} updated, {} deleted in {} of {tables}",
                    counted(sum(|one| one.inserted), "row", "rows"),
                    count(sum(|one| one.updated)),
                    count(sum(|one| one.deleted)),
                    count(size(changed.len()))
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_since_the_last_run_is_named() {
        let state = |rows, types: &[(&str, &str)], findings: &[&str]| RunState {
            finished_s: 0,
            rows,
            columns: types.iter().map(|(name, of)| ((*name).to_owned(), (*of).to_owned())).collect(),
            findings: findings.iter().map(|text| (*text).to_owned()).collect(),
        };
        let before = state(5, &[("a.x", "bigint"), ("a.y", "text")], &["advice at a"]);
        assert!(before.since(&before).starts_with("the same number of rows"));
        let now = state(1234, &[("a.x", "text"), ("a.z", "text")], &["type-widened at a.x"]);
        assert_eq!(
            now.since(&before),
            "1,234 rows in the source instead of 5; new columns: a.z; columns that are gone: a.y; columns of another \
             type: a.x (bigint -> text); new findings: type-widened at a.x; findings that are gone: advice at a (the \
             last run ended at 1970-01-01T00:00:00Z)"
        );
    }
}
