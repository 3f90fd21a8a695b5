//! Formats events as lines, for screens and for logs.

use super::{color::Palette, std_streams::harmless};
use crate::{
    event::{Event, Level},
    model::human_format::{counted, duration},
};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verbosity {
    /// Warnings alone.
    Quiet,
    /// What a person wants to know.
    Plain,
    /// Details too.
    More,
    /// Every commit.
    Most,
}

/// Whether tables and phases are shown by bars already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bars {
    /// Bars show them.
    Shown,
    /// Only lines show it.
    None,
}

/// The line for an event, if it is worth one.
pub(super) fn line(event: &Event, verbosity: Verbosity, bars: Bars, palette: Palette) -> Option<String> {
    let (least, text) = line_of(event, bars)?;
    if verbosity < least {
        return None;
    }
    let text = harmless(&text).into_owned();
    Some(match event {
        Event::Note { level: Level::Warning, .. } | Event::StructureChanged(_) => {
            format!("{} {text}", palette.yellow("warning:"))
        }
        _ => text,
    })
}

/// The least verbosity at which the event is reported, and its text.
fn line_of(event: &Event, bars: Bars) -> Option<(Verbosity, String)> {
    let steps = if bars == Bars::Shown { Verbosity::More } else { Verbosity::Plain };
    match event {
        Event::Note { level, text } => Some((at_level(*level), text.clone())),
        Event::StageStarted { stage } => Some((steps, format!("{stage}: started"))),
        Event::Expected { .. } | Event::Stepped { .. } => None,
        Event::PhaseStarted { steps: Some(0), .. } => None,
        Event::PhaseStarted { stage, phase, steps: number } => {
            let number = number.map(|number| format!(", {}", counted(number, "step", "steps"))).unwrap_or_default();
            Some((steps, format!("{stage}: {phase}{number}")))
        }
        Event::TableStarted { stage, table, rows_total } => {
            let rows = rows_total.map(|rows| format!(", {}", counted(rows, "row", "rows"))).unwrap_or_default();
            Some((steps, format!("{stage}: {table}: started{rows}")))
        }
        Event::Committed { stage, table, rows, .. } => {
            Some((Verbosity::Most, format!("{stage}: {table}: {} committed", counted(*rows, "row", "rows"))))
        }
        Event::TableFinished { stage, table, rows, elapsed_ms } => Some((
            steps,
            format!("{stage}: {table}: done, {} in {}", counted(*rows, "row", "rows"), duration(*elapsed_ms)),
        )),
        Event::StageFinished { stage, elapsed_ms, summary } => {
            Some((Verbosity::Plain, format!("{stage}: {summary} ({})", duration(*elapsed_ms))))
        }
        Event::Retrying { stage, reason, attempt, wait_ms } => {
            Some((Verbosity::Plain, format!("{stage}: {reason}; try {attempt} in {}", duration(*wait_ms))))
        }
        Event::StructureChanged(change) => Some((Verbosity::Quiet, change.to_string())),
        Event::Found(finding) => Some((
            Verbosity::More,
            format!("plan: {} at {}: {}", finding.code.word(), finding.place(), finding.message),
        )),
    }
}

fn at_level(level: Level) -> Verbosity {
    match level {
        Level::Detail => Verbosity::More,
        Level::Info => Verbosity::Plain,
        Level::Warning => Verbosity::Quiet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stage;

    #[test]
    fn quiet_keeps_warnings_and_verbose_adds_details() {
        let note = |level| Event::Note { level, text: "x".to_owned() };
        let shown = |level, verbosity| line(&note(level), verbosity, Bars::None, Palette::Off);
        assert_eq!(shown(Level::Warning, Verbosity::Quiet).as_deref(), Some("warning: x"));
        assert_eq!(shown(Level::Info, Verbosity::Quiet), None);
        assert_eq!(shown(Level::Detail, Verbosity::Plain), None);
        assert_eq!(shown(Level::Detail, Verbosity::More).as_deref(), Some("x"));
    }

    #[test]
    fn a_table_has_its_lines_only_where_no_bar_shows_it() {
        let started = Event::TableStarted { stage: Stage::Dump, table: "a\u{7}".to_owned(), rows_total: Some(1) };
        assert_eq!(
            line(&started, Verbosity::Plain, Bars::None, Palette::Off).as_deref(),
            Some("dump: a\\u{7}: started, 1 row")
        );
        assert_eq!(line(&started, Verbosity::Plain, Bars::Shown, Palette::Off), None);
    }
}
