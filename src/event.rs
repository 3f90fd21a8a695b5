//! Defines the events that a stage reports while it works.
//!
//! Stages know only [`Event`] and [`Sink`]; who listens (bars, lines, JSON, log file, tests) is decided by `ui`.
//! Narration can never fail the work: `emit` returns nothing.

use serde::Serialize;

use crate::model::{Finding, Stage, structure_change::StructureChange};

/// How important a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Only with `-v`.
    Detail,
    /// Shown unless `-q`.
    Info,
    /// Always shown.
    Warning,
}

/// One thing that happened. Quotes neither row values nor secrets.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// A stage begins.
    StageStarted {
        /// Which.
        stage: Stage,
    },
    /// How much a stage is going to do, for the time left.
    Expected {
        /// Which.
        stage: Stage,
        /// Tables in all.
        tables: u64,
        /// Rows in all.
        rows: u64,
    },
    /// A named part of a stage begins, such as `indexes`.
    PhaseStarted {
        /// Of which stage.
        stage: Stage,
        /// Which part.
        phase: &'static str,
        /// How many units of work it has, where known.
        steps: Option<u64>,
    },
    /// One unit of the present phase is done.
    Stepped {
        /// Of which stage.
        stage: Stage,
        /// Which part.
        phase: &'static str,
    },
    /// A table begins.
    TableStarted {
        /// Of which stage.
        stage: Stage,
        /// Which table.
        table: String,
        /// Rows expected, where known.
        rows_total: Option<u64>,
    },
    /// Rows of a table are committed (or durably written).
    Committed {
        /// Of which stage.
        stage: Stage,
        /// Which table.
        table: String,
        /// Rows since the last event of this kind.
        rows: u64,
        /// Bytes since the last event of this kind.
        bytes: u64,
    },
    /// A table is complete.
    TableFinished {
        /// Of which stage.
        stage: Stage,
        /// Which table.
        table: String,
        /// Rows in all.
        rows: u64,
        /// Time spent on it.
        elapsed_ms: u64,
    },
    /// A stage is complete.
    StageFinished {
        /// Which.
        stage: Stage,
        /// Time spent on it.
        elapsed_ms: u64,
        /// One line for people.
        summary: String,
    },
    /// Something failed and is tried again.
    Retrying {
        /// Of which stage.
        stage: Stage,
        /// What failed.
        reason: String,
        /// Which try comes next, counted from 1.
        attempt: u32,
        /// Pause before it.
        wait_ms: u64,
    },
    /// The plan noticed something.
    Found(Finding),
    /// A push changes, or would change, something about tables that are in use.
    StructureChanged(StructureChange),
    /// Anything else worth a line.
    Note {
        /// How important it is.
        level: Level,
        /// The line.
        text: String,
    },
}

/// Who listens.
pub trait Sink: Send + Sync {
    /// Takes one event. Must not block for long and cannot fail.
    fn emit(&self, event: &Event);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullSink;

impl Sink for NullSink {
    fn emit(&self, _event: &Event) {}
}

impl dyn Sink {
    /// A line that is shown unless `-q`.
    pub fn info(&self, text: impl Into<String>) {
        self.emit(&Event::Note { level: Level::Info, text: text.into() });
    }

    /// A line that is always shown.
    pub fn warn(&self, text: impl Into<String>) {
        self.emit(&Event::Note { level: Level::Warning, text: text.into() });
    }

    /// A line that is shown with `-v`.
    pub fn detail(&self, text: impl Into<String>) {
        self.emit(&Event::Note { level: Level::Detail, text: text.into() });
    }
}
