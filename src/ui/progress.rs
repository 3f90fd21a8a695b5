//! Computes how far a stage is, from its events and the time.
//!
//! Everything is counted on committed rows, never on rows read.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use crate::{
    event::Event,
    model::{Stage, human_format},
};

/// The rate is that of the last so many seconds.
const WINDOW: Duration = Duration::from_secs(20);

/// Where a stage is.
pub(super) struct StageProgress {
    pub(super) stage: Option<Stage>,
    pub(super) running: BTreeMap<String, TableProgress>,
    pub(super) phase: Option<PhaseProgress>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    tables_done: u64,
    tables_expected: Option<u64>,
    rows_expected: Option<u64>,
    rows_announced: Option<u64>,
    commits: VecDeque<(Instant, u64, u64)>,
    started: Instant,
}

/// Where a table is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TableProgress {
    pub(super) rows: u64,
    pub(super) rows_total: Option<u64>,
}

/// A named part of a stage.
#[derive(Debug, Clone, Copy)]
pub(super) struct PhaseProgress {
    pub(super) name: &'static str,
    pub(super) done: u64,
    pub(super) steps: Option<u64>,
    since: Instant,
}

impl PhaseProgress {
    /// Milliseconds until its last step at the pace so far; none below a second, which is no news.
    pub(super) fn time_left(&self, now: Instant) -> Option<u64> {
        let left = self.steps?.checked_sub(self.done)?;
        let left =
            milliseconds(now.saturating_duration_since(self.since)).saturating_mul(left).checked_div(self.done)?;
        (left >= 1000).then_some(left)
    }
}

impl StageProgress {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            stage: None,
            running: BTreeMap::new(),
            phase: None,
            rows: 0,
            bytes: 0,
            tables_done: 0,
            tables_expected: None,
            rows_expected: None,
            rows_announced: Some(0),
            commits: VecDeque::new(),
            started: now,
        }
    }

    /// Takes one event.
    pub(super) fn apply(&mut self, event: &Event, now: Instant) {
        match event {
            Event::StageStarted { stage } => self.enter(*stage, now),
            Event::Expected { stage, tables, rows } => {
                self.enter(*stage, now);
                self.tables_expected = Some(*tables);
                self.rows_expected = Some(*rows);
            }
            Event::PhaseStarted { phase, steps, .. } => {
                self.phase = Some(PhaseProgress { name: phase, done: 0, steps: *steps, since: now });
            }
            Event::Stepped { phase, .. } => {
                if let Some(current) = self.phase.as_mut().filter(|current| current.name == *phase) {
                    current.done += 1;
                }
            }
            Event::TableStarted { stage, table, rows_total } => {
                self.enter(*stage, now);
                self.rows_announced = self.rows_announced.zip(*rows_total).map(|(sum, rows)| sum + rows);
                self.running.insert(table.clone(), TableProgress { rows: 0, rows_total: *rows_total });
            }
            Event::Committed { table, rows, bytes, .. } => self.commit(table, *rows, *bytes, now),
            Event::TableFinished { table, .. } => {
                self.running.remove(table);
                self.tables_done += 1;
            }
            Event::StageFinished { .. } => *self = Self::new(now),
            Event::Retrying { .. } | Event::StructureChanged(_) | Event::Found(_) | Event::Note { .. } => {}
        }
    }

    fn enter(&mut self, stage: Stage, now: Instant) {
        if self.stage != Some(stage) {
            *self = Self::new(now);
            self.stage = Some(stage);
        }
    }

    fn commit(&mut self, table: &str, rows: u64, bytes: u64, now: Instant) {
        self.rows += rows;
        self.bytes += bytes;
        if let Some(running) = self.running.get_mut(table) {
            running.rows += rows;
        }
        self.commits.push_back((now, self.rows, self.bytes));
        while self.commits.len() > 2 && self.commits.front().is_some_and(|first| now - first.0 > WINDOW) {
            self.commits.pop_front();
        }
    }

    /// Rows of the whole stage, if known.
    pub(super) fn rows_total(&self) -> Option<u64> {
        self.rows_expected.or(self.rows_announced).filter(|total| *total > 0).map(|total| total.max(self.rows))
    }

    /// Rows and bytes per second over the window.
    pub(super) fn rate(&self, now: Instant) -> (u64, u64) {
        let (since, rows, bytes) = match self.commits.front() {
            Some(first) if self.commits.len() > 1 && self.rows > first.1 => *first,
            Some(_) | None => (self.started, 0, 0),
        };
        let elapsed = milliseconds(now - since);
        (human_format::per_second(self.rows - rows, elapsed), human_format::per_second(self.bytes - bytes, elapsed))
    }

    /// Milliseconds until the last row at the present rate, if both are known.
    pub(super) fn time_left(&self, now: Instant) -> Option<u64> {
        let left = self.rows_total()? - self.rows;
        let (rate, _) = self.rate(now);
        (rate > 0).then(|| left.saturating_mul(1000) / rate)
    }

    /// One line: how far, how fast, how long still.
    pub(super) fn summary(&self, now: Instant) -> Option<String> {
        let stage = self.stage?;
        let mut parts = Vec::new();
        if let Some(phase) = self.phase {
            let steps = phase.steps.map(|steps| format!(" {} of {steps}", phase.done)).unwrap_or_default();
            parts.push(format!("{}{steps}", phase.name));
            parts.extend(phase.time_left(now).map(|left| format!("{} left", human_format::duration(left))));
        }
        if self.rows > 0 || !self.running.is_empty() {
            let total =
                self.rows_total().map(|total| format!(" of {}", human_format::count(total))).unwrap_or_default();
            parts.push(format!("{}{total} rows", human_format::count(self.rows)));
            parts.push(self.tables());
            parts.push(self.speed(now));
        }
        parts.push(format!("{} so far", human_format::duration(milliseconds(now - self.started))));
        Some(format!("{stage}: {}", parts.join(", ")))
    }

    fn tables(&self) -> String {
        let total = self.tables_expected.map(|total| format!(" of {total}")).unwrap_or_default();
        format!("{}{total} tables done, {} running", self.tables_done, self.running.len())
    }

    /// Rows/s, bytes/s and time left, as far as they are known.
    pub(super) fn speed(&self, now: Instant) -> String {
        let (rows, bytes) = self.rate(now);
        let bytes = if self.bytes > 0 { format!(", {}/s", human_format::bytes(bytes)) } else { String::new() };
        let left =
            self.time_left(now).map(|left| format!(", {} left", human_format::duration(left))).unwrap_or_default();
        format!("{} rows/s{bytes}{left}", human_format::count(rows))
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(table: &str, rows: u64) -> Event {
        Event::TableStarted { stage: Stage::Convert, table: table.to_owned(), rows_total: Some(rows) }
    }

    fn committed(table: &str, rows: u64) -> Event {
        Event::Committed { stage: Stage::Convert, table: table.to_owned(), rows, bytes: rows * 10 }
    }

    #[test]
    fn rate_and_time_left_follow_the_commits() {
        let start = Instant::now();
        let mut progress = StageProgress::new(start);
        progress.apply(&Event::Expected { stage: Stage::Convert, tables: 2, rows: 1000 }, start);
        progress.apply(&started("a", 600), start);
        progress.apply(&committed("a", 100), start + Duration::from_secs(1));
        progress.apply(&committed("a", 100), start + Duration::from_secs(2));
        let now = start + Duration::from_secs(2);
        assert_eq!(progress.rate(now), (100, 1000));
        assert_eq!(progress.time_left(now), Some(8000));
        assert_eq!(
            progress.summary(now).as_deref(),
            Some(
                "convert: 200 of 1,000 rows, 0 of 2 tables done, 1 running, 100 rows/s, 1.0 kB/s, 8.0 s left, 2.0 s so far"
            )
        );
    }

    #[test]
    fn a_new_stage_starts_from_zero() {
        let start = Instant::now();
        let mut progress = StageProgress::new(start);
        progress.apply(&started("a", 5), start);
        progress.apply(&committed("a", 5), start);
        progress.apply(&Event::StageStarted { stage: Stage::Push }, start);
        assert_eq!(progress.rows, 0);
        assert_eq!(progress.rows_total(), None);
    }

    #[test]
    fn without_announced_rows_no_time_left_is_claimed() {
        let start = Instant::now();
        let mut progress = StageProgress::new(start);
        progress.apply(&Event::TableStarted { stage: Stage::Dump, table: "a".to_owned(), rows_total: None }, start);
        progress.apply(
            &Event::Committed { stage: Stage::Dump, table: "a".to_owned(), rows: 5, bytes: 5 },
            start + Duration::from_secs(1),
        );
        assert_eq!(progress.time_left(start + Duration::from_secs(1)), None);
    }
}
