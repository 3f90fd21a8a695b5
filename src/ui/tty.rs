//! Prints progress on a terminal: one bar per running table, one for the stage, and notes above them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{
    color::Palette,
    event_text::{Bars, Verbosity, line},
    progress::StageProgress,
    std_streams::{OutputStream, harmless},
};
use crate::{
    event::Event,
    model::human_format::{self, count},
};

/// More bars than this push the notes off a small terminal; further tables count in the total alone.
const TABLE_BARS_MAX: usize = 8;

/// Bars on standard error.
pub(super) struct Tty {
    stream: Arc<OutputStream>,
    verbosity: Verbosity,
    palette: Palette,
    multi: MultiProgress,
    state: Mutex<TtyState>,
}

struct TtyState {
    progress: StageProgress,
    tables: BTreeMap<String, ProgressBar>,
    total: Option<ProgressBar>,
}

impl Tty {
    pub(super) fn open(stream: Arc<OutputStream>, verbosity: Verbosity, palette: Palette) -> Self {
        let state = TtyState { progress: StageProgress::new(Instant::now()), tables: BTreeMap::new(), total: None };
        Self { stream, verbosity, palette, multi: MultiProgress::new(), state: Mutex::new(state) }
    }

    pub(super) fn emit(&self, event: &Event) {
        let now = Instant::now();
        if let Ok(mut state) = self.state.lock() {
            state.progress.apply(event, now);
            state.draw(&self.multi, event, now);
        }
        if let Some(text) = line(event, self.verbosity, Bars::Shown, self.palette) {
            self.say(&text);
        }
    }

    /// A line above the bars.
    pub(super) fn say(&self, text: &str) {
        self.multi.suspend(|| self.stream.say(text));
    }

    /// Takes the bars away.
    pub(super) fn close(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.clear();
        }
        // What can't be cleared stays on the screen; nothing depends on it.
        drop(self.multi.clear());
    }
}

impl TtyState {
    fn draw(&mut self, multi: &MultiProgress, event: &Event, now: Instant) {
        match event {
            Event::TableStarted { table, rows_total, .. } => {
                self.show_total(multi, now);
                if self.tables.len() < TABLE_BARS_MAX {
                    let bar = multi.add(table_bar(table, *rows_total));
                    self.tables.insert(table.clone(), bar);
                }
            }
            Event::Committed { table, rows, .. } => {
                if let Some(bar) = self.tables.get(table) {
                    bar.inc(*rows);
                    let done = self.progress.running.get(table).copied().unwrap_or_default();
                    bar.set_message(amount(done.rows, done.rows_total));
                }
                self.show_total(multi, now);
            }
            Event::TableFinished { table, .. } => {
                if let Some(bar) = self.tables.remove(table) {
                    bar.finish_and_clear();
                }
                self.show_total(multi, now);
            }
            Event::StageFinished { .. } => self.clear(),
            Event::StageStarted { .. }
            | Event::Expected { .. }
            | Event::PhaseStarted { .. }
            | Event::Stepped { .. } => {
                self.show_total(multi, now);
            }
            Event::Retrying { .. } | Event::StructureChanged(_) | Event::Found(_) | Event::Note { .. } => {}
        }
    }

    fn show_total(&mut self, multi: &MultiProgress, now: Instant) {
        let Some(stage) = self.progress.stage else { return };
        let (position, length, message) = self.standing(now);
        let bar = self.total.get_or_insert_with(|| {
            let bar = multi.insert(0, ProgressBar::new_spinner().with_prefix(stage.word()));
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        if bar.prefix() != stage.word() {
            bar.set_prefix(stage.word());
            bar.reset();
        }
        match length {
            Some(length) => {
                bar.set_style(style("{prefix:<10} {bar:24} {elapsed:>4} {msg}"));
                bar.set_length(length);
                bar.set_position(position);
            }
            None => bar.set_style(style("{prefix:<10} {spinner:<24} {elapsed:>4} {msg}")),
        }
        bar.set_message(message);
    }

    /// Position, length and words of the stage's bar: steps of a phase where no table runs, else rows.
    fn standing(&self, now: Instant) -> (u64, Option<u64>, String) {
        let phase = self.progress.phase;
        let steps = phase.and_then(|phase| Some((phase, phase.steps?)));
        match (steps, self.progress.rows_total()) {
            (Some((phase, steps)), _) if self.progress.running.is_empty() => {
                let left = phase.time_left(now).map(|left| format!(", {} left", human_format::duration(left)));
                let words = format!("{} {}/{steps}{}", phase.name, phase.done, left.unwrap_or_default());
                (phase.done, Some(steps), words)
            }
            (_, Some(total)) => (self.progress.rows, Some(total), self.rows_message(now)),
            (_, None) if self.progress.rows > 0 => (0, None, self.rows_message(now)),
            (_, None) => (0, None, phase.map(|phase| phase.name.to_owned()).unwrap_or_default()),
        }
    }

    fn rows_message(&self, now: Instant) -> String {
        format!("{} rows, {}", amount(self.progress.rows, self.progress.rows_total()), self.progress.speed(now))
    }

    fn clear(&mut self) {
        for bar in std::mem::take(&mut self.tables).into_values().chain(self.total.take()) {
            bar.finish_and_clear();
        }
    }
}

fn table_bar(table: &str, rows_total: Option<u64>) -> ProgressBar {
    let name: String = harmless(table).chars().take(32).collect();
    let bar = match rows_total {
        Some(total) => ProgressBar::new(total).with_style(style("  {prefix:<32} {bar:20} {msg}")),
        None => ProgressBar::new_spinner().with_style(style("  {prefix:<32} {spinner:<20} {msg}")),
    };
    bar.with_prefix(name)
}

fn amount(rows: u64, total: Option<u64>) -> String {
    match total {
        Some(total) => format!("{}/{}", count(rows), count(total)),
        None => count(rows),
    }
}

/// The templates are constants; a wrong one falls back to indicatif's own.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_valid() {
        for template in [
            "{prefix:<10} {bar:24} {elapsed:>4} {msg}",
            "{prefix:<10} {spinner:<24} {elapsed:>4} {msg}",
            "  {prefix:<32} {bar:20} {msg}",
            "  {prefix:<32} {spinner:<20} {msg}",
        ] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
