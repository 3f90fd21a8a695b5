//! Implements the command line: turns flags, environment and configuration file into requests, and answers into an exit
//! code.

pub mod args;

pub mod flag_groups;

pub mod clap_errors;

pub mod value_enums;

pub mod environment;

pub mod config_file;

pub mod layers;

#[cfg(test)]
mod reference;

mod user_sql;

mod neon;

pub mod settings;

pub mod completions_man;

pub mod panic_hook;

mod signals;

mod commands;

mod removals;

mod schema;

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use self::{
    args::{Args, Command, GlobalArgs},
    clap_errors::ParseOutcome,
    config_file::ConfigFile,
    environment::Environment,
    layers::Layers,
    value_enums::ColorChoice,
};
use crate::{
    context,
    error::{Error, Kind},
    event::{Event, Level, Sink},
    postgres::session,
    ui::{OutputOptions, Ui, github::GitHub},
};

/// A command that is parsed and not yet run.
pub struct Front {
    ui: Arc<Ui>,
    globals: GlobalArgs,
    layers: Layers,
    command: Command,
    stop: context::Cancellation,
}

impl Front {
    /// Parses the arguments, and completes them by the environment and the configuration file.
    ///
    /// # Errors
    /// The exit status, after everything was printed: 0 for help, 2 for a wrong usage or configuration.
    pub fn open(typed: impl Iterator<Item = OsString>) -> Result<Self, u8> {
        let typed: Vec<OsString> = typed.collect();
        // How an error is printed has to be known before the flags are parsed.
        let json = typed.iter().take_while(|word| *word != "--").any(|word| word == "--json");
        let environment = match Environment::read() {
            Ok(environment) => environment,
            Err(error) => return Err(Ui::open(OutputOptions { json, ..OutputOptions::default() }).fail(&error)),
        };
        let matches = match args::command().try_get_matches_from(&typed) {
            Ok(matches) => matches,
            Err(failure) => {
                let ui = || Ui::open(early_output_options(json, &environment));
                return Err(match clap_errors::explain(&failure, &typed) {
                    ParseOutcome::Shown(text) => {
                        ui().help(&text);
                        0
                    }
                    ParseOutcome::Nothing(text) => {
                        ui().lost(&text);
                        Kind::Usage.exit()
                    }
                    ParseOutcome::Refused(error) => ui().fail(&error),
                });
            }
        };
        let named = matches.get_one::<PathBuf>("config").map(PathBuf::as_path);
        let completed = ConfigFile::load(named).and_then(|file| {
            let layers = Layers { environment: environment.clone(), file };
            layers.complete(args::command(), &typed, &matches).map(|args| (layers, args))
        });
        let (layers, Args { global: globals, command }) = match completed {
            Ok(completed) => completed,
            Err(error) => return Err(Ui::open(early_output_options(json, &environment)).fail(&error)),
        };
        let ui = Arc::new(Ui::open(output_options(&globals, &layers.environment)));
        if let Some(event) = configuration(&layers).filter(|_| !is_document(&command)) {
            ui.emit(&event);
        }
        let stop = context::Cancellation::default();
        if signals::is_interruptible(&command)
            && let Err(error) = signals::listen(Arc::<Ui>::clone(&ui), stop.clone())
        {
            return Err(ui.fail(&error));
        }
        Ok(Self { ui, globals, layers, command, stop })
    }

    /// Runs the command. Returns the exit status, after everything was printed.
    pub async fn run(&self) -> u8 {
        let outcome = self.carry_out().await;
        session::all_left().await;
        match outcome {
            Ok(exit) => exit,
            Err(error) if error.kind() == Kind::Bug => {
                let message = format!("{}{}", error.message(), panic_hook::place());
                let placed = Error::new(Kind::Bug, message).with_hint(error.hint());
                let placed = match error.stage() {
                    Some(stage) => placed.in_stage(stage),
                    None => placed,
                };
                self.ui.fail(&placed)
            }
            Err(error) => self.ui.fail(&error),
        }
    }

    /// Prints that the command panicked. Returns the exit status.
    pub fn crashed(&self) -> u8 {
        self.ui.fail(&panic_hook::crashed())
    }
}

/// Which configuration file was read, if one was.
fn configuration(layers: &Layers) -> Option<Event> {
    let path = layers.file.path.as_ref()?;
    Some(Event::Note { level: Level::Info, text: format!("the configuration is read from {}", path.display()) })
}

/// Whether the command prints a document that no setting changes.
fn is_document(command: &Command) -> bool {
    matches!(command, Command::Completions { .. } | Command::Man | Command::Explain { .. })
}

fn early_output_options(json: bool, environment: &Environment) -> OutputOptions {
    OutputOptions { json, color: color(None, environment), github: github(environment), ..OutputOptions::default() }
}

fn output_options(globals: &GlobalArgs, environment: &Environment) -> OutputOptions {
    OutputOptions {
        json: globals.json,
        quiet: globals.quiet,
        verbose: globals.verbose,
        no_progress: globals.no_progress
            || environment.text("CI").is_some()
            || environment.text("TERM") == Some("dumb"),
        color: color(Some(globals.color), environment),
        github: github(environment),
    }
}

/// Always, never, or by the terminal.
fn color(word: Option<ColorChoice>, environment: &Environment) -> Option<bool> {
    match word {
        Some(ColorChoice::Always) => Some(true),
        Some(ColorChoice::Never) => Some(false),
        Some(ColorChoice::Auto) | None => {
            let plain = environment.text("NO_COLOR").is_some() || environment.text("TERM") == Some("dumb");
            plain.then_some(false)
        }
    }
}

fn github(environment: &Environment) -> Option<GitHub> {
    let inside = environment.text("GITHUB_ACTIONS") == Some("true");
    inside.then(|| GitHub { summary: environment.text("GITHUB_STEP_SUMMARY").map(PathBuf::from) })
}
