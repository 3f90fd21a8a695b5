//! Prints: answers on standard output, progress on standard error, both to the log. No other module prints.
//!
//! Invariant: nothing here can fail the work. Whatever a stage says arrives as an [`Event`]; a command ends with
//! exactly one [`Ui::answer`] or [`Ui::fail`].

pub mod json;

pub mod github;

pub mod answers;

pub(crate) mod table;

mod std_streams;

mod color;

mod progress;

mod event_text;

mod plain;

mod tty;

mod log;

use std::{
    io::{self, BufRead, IsTerminal},
    path::Path,
    sync::{Arc, Mutex, OnceLock},
    time::Instant,
};

use serde_json::Value;

use self::{
    color::Palette,
    event_text::{Bars, Verbosity},
    github::GitHub,
    log::Log,
    plain::PlainOutput,
    progress::{StageProgress, TableProgress},
    std_streams::OutputStream,
    tty::Tty,
};
use crate::{
    error::{Error, Kind, Result},
    event::{Event, Sink},
    workdir::now_ms,
};

/// How the user wants to be spoken to.
#[derive(Debug, Clone, Default)]
pub struct OutputOptions {
    /// JSON Lines on stdout; stderr only with `verbose`.
    pub json: bool,
    /// Warnings and errors alone on stderr.
    pub quiet: bool,
    /// 1: details; 2: every commit.
    pub verbose: u8,
    /// No bars even on a terminal (asked for, or a CI).
    pub no_progress: bool,
    /// Colours: always, never, or by the terminal.
    pub color: Option<bool>,
    /// Inside GitHub Actions.
    pub github: Option<GitHub>,
}

/// What a command found out.
#[derive(Debug)]
pub struct Answer {
    /// The command.
    pub command: &'static str,
    /// The exit status.
    pub exit: u8,
    /// Why the answer is no, if it is: code, message and hint of the verdict.
    pub verdict: Option<Error>,
    /// For people. May hold names from the source; see [`Answer::raw`].
    pub text: String,
    /// Whether the text is a document that must not be altered.
    pub raw: bool,
    /// For programs.
    pub json: Value,
}

impl Answer {
    /// An answer that is yes.
    #[must_use]
    pub fn new(command: &'static str, text: String, json: Value) -> Self {
        Self { command, exit: 0, verdict: None, text, raw: false, json }
    }

    /// The text is a document: printed byte for byte.
    #[must_use]
    pub fn raw(mut self) -> Self {
        self.raw = true;
        self
    }

    /// The answer is no, for this reason.
    #[must_use]
    pub fn refused(mut self, reason: Error) -> Self {
        self.exit = reason.kind().exit();
        self.verdict = Some(reason);
        self
    }

    /// Whether the command did lasting work, so that a lost answer is no failure.
    fn did_work(&self) -> bool {
        matches!(self.command, "dump" | "convert" | "push" | "run" | "rollback" | "clean" | "finish" | "schema")
    }
}

enum Screen {
    Bars(Box<Tty>),
    Lines(PlainOutput),
    Warnings,
    Nothing,
}

/// Both streams and the log.
pub struct Ui {
    out: OutputStream,
    err: Arc<OutputStream>,
    screen: Screen,
    json: bool,
    err_paint: Palette,
    log: OnceLock<Log>,
    progress: Mutex<StageProgress>,
    github: Option<GitHub>,
}

impl Ui {
    /// Picks the screens once.
    #[must_use]
    pub fn open(options: OutputOptions) -> Self {
        let (out, err) =
            (OutputStream::out(options.github.is_some()), Arc::new(OutputStream::err(options.github.is_some())));
        let err_paint = if options.color.unwrap_or_else(|| err.is_terminal()) { Palette::On } else { Palette::Off };
        let verbosity = match options.verbose {
            0 => Verbosity::Plain,
            1 => Verbosity::More,
            _ => Verbosity::Most,
        };
        let screen = if options.json && options.verbose == 0 {
            Screen::Nothing
        } else if options.quiet {
            Screen::Warnings
        } else if err.is_terminal() && !options.no_progress && !options.json {
            Screen::Bars(Box::new(Tty::open(Arc::clone(&err), verbosity, err_paint)))
        } else {
            Screen::Lines(PlainOutput::open(Arc::clone(&err), verbosity, err_paint))
        };
        Self {
            out,
            err,
            screen,
            json: options.json,
            err_paint,
            log: OnceLock::new(),
            progress: Mutex::new(StageProgress::new(Instant::now())),
            github: options.github,
        }
    }

    /// Starts logging the command to a file, from now on.
    ///
    /// # Errors
    /// `ArtifactIo` if the file can't be opened.
    pub fn log_to(&self, path: &Path, command: &str) -> Result<()> {
        let log = Log::open(path)?;
        log.add(&json::command_line(command, now_ms()));
        // A second log is not opened: commands name one directory.
        drop(self.log.set(log));
        Ok(())
    }

    /// Writes an event to the log alone: it was shown before there was a log.
    pub fn log(&self, event: &Event) {
        self.to_log(&json::event_line(event, None, now_ms()));
    }

    /// Ends the command with an answer. Returns the exit status: that of the answer, or 4 if the answer was all the
    /// command was for and could not be written.
    pub fn answer(&self, answer: &Answer) -> u8 {
        self.hush();
        let line = json::result_line(answer, now_ms());
        self.to_log(&line);
        if self.json {
            self.out.say(&line);
        } else if answer.raw {
            self.out.say(&answer.text);
        } else if !answer.text.is_empty() {
            self.out.say(&std_streams::harmless_lines(&answer.text));
        }
        if let Some(reason) = &answer.verdict {
            self.complain(reason);
        }
        match self.out.failure() {
            Some(kind) => {
                self.err.say(&format!("{} the answer could not be written: {kind}", self.err_paint.yellow("warning:")));
                if answer.exit == 0 && !answer.did_work() { Kind::ArtifactIo.exit() } else { answer.exit }
            }
            None => answer.exit,
        }
    }

    /// The error for people, unless a program listens; the annotation in any case.
    fn complain(&self, error: &Error) {
        if !self.json {
            let message = std_streams::harmless_lines(&error.to_string());
            let hint = std_streams::harmless_lines(error.hint());
            self.err.say(&format!("{} {message}", self.err_paint.red("error:")));
            self.err.say(&format!("\n{} {hint}", self.err_paint.cyan("hint:")));
        }
        if self.github.is_some() {
            self.err.command(&github::annotation(error));
        }
    }

    /// Text for people that comes before the end, such as the findings that stop a run; nothing with JSON, where the
    /// events have reported.
    pub fn show(&self, text: &str) {
        self.hush();
        if !self.json {
            self.out.say(&std_streams::harmless_lines(text));
        }
    }

    /// Ends the command with an error. Returns the exit status.
    pub fn fail(&self, error: &Error) -> u8 {
        self.hush();
        let line = json::error_line(error, now_ms());
        self.to_log(&line);
        if self.json {
            self.out.say(&line);
        }
        self.complain(error);
        error.kind().exit()
    }

    /// Appends Markdown to GitHub's step summary, if there is one.
    pub fn summarise(&self, markdown: &str) {
        if let Some(github) = &self.github {
            github.summarise(markdown);
        }
    }

    /// Text that was asked for by `--help` or `--version`.
    pub fn help(&self, text: &str) {
        self.out.say(text);
    }

    /// The help of someone who typed nothing, on stderr.
    pub fn lost(&self, text: &str) {
        self.err.say(text);
    }

    /// Whether a person is there to be asked.
    pub fn can_ask(&self) -> bool {
        !self.json && io::stdin().is_terminal()
    }

    /// Asks a person, and takes nothing but yes for a yes.
    pub fn confirm(&self, question: &str) -> bool {
        self.hush();
        self.err.say(&format!("{} [y/N]", std_streams::harmless_lines(question)));
        let mut reply = String::new();
        match io::stdin().lock().read_line(&mut reply) {
            Ok(_) => matches!(reply.trim().to_ascii_lowercase().as_str(), "y" | "yes"),
            Err(_) => false,
        }
    }

    fn hush(&self) {
        match &self.screen {
            Screen::Bars(bars) => bars.close(),
            Screen::Lines(lines) => lines.close(),
            Screen::Warnings | Screen::Nothing => {}
        }
    }

    /// How far the table of a commit is.
    fn table_progress(&self, event: &Event) -> Option<TableProgress> {
        let mut progress = self.progress.lock().ok()?;
        progress.apply(event, Instant::now());
        match event {
            Event::Committed { table, .. } => progress.running.get(table).copied(),
            _ => None,
        }
    }

    fn to_log(&self, line: &str) {
        if let Some(log) = self.log.get() {
            log.add(line);
        }
    }
}

impl Sink for Ui {
    fn emit(&self, event: &Event) {
        match &self.screen {
            Screen::Bars(bars) => bars.emit(event),
            Screen::Lines(lines) => lines.emit(event),
            Screen::Warnings => {
                if let Some(text) = event_text::line(event, Verbosity::Quiet, Bars::None, self.err_paint) {
                    self.err.say(&text);
                }
            }
            Screen::Nothing => {}
        }
        if !self.json && self.log.get().is_none() {
            return;
        }
        let line = json::event_line(event, self.table_progress(event), now_ms());
        self.to_log(&line);
        if self.json {
            self.out.say(&line);
        }
    }
}
