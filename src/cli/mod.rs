//! What was typed becomes requests, requests become answers, answers become an exit code.

pub mod args;

pub mod clap_errors;

mod wait;

mod value_enums;

pub mod environment;

mod config_keys;

pub mod config_file;

mod user_sql;

mod neon;

pub mod settings;

pub mod completions_man;

pub mod panic_hook;

mod signals;

mod commands;

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use clap::Parser;

use self::{
    args::{Args, ColorWord, Command},
    clap_errors::Stop,
    config_file::ConfigFile,
    environment::Environment,
    settings::{Globals, Layers},
};
use crate::{
    context,
    error::{Error, Kind},
    ui::{Manner, Ui, github::GitHub},
};

/// A command that is understood and not yet begun.
pub struct Front {
    ui: Arc<Ui>,
    globals: Globals,
    layers: Layers,
    command: Command,
    stop: context::Stop,
}

impl Front {
    /// Understands what was typed, with the environment and the configuration file.
    ///
    /// # Errors
    /// The exit status, after everything was said: 0 for help, 2 for what makes no sense.
    pub fn open(typed: impl Iterator<Item = OsString>) -> Result<Self, u8> {
        let typed: Vec<OsString> = typed.collect();
        // Until the flags are understood, only this much of them is known.
        let json = typed.iter().take_while(|word| *word != "--").any(|word| word == "--json");
        let environment = match Environment::read() {
            Ok(environment) => environment,
            Err(error) => return Err(Ui::open(Manner { json, ..Manner::default() }).fail(&error)),
        };
        let early = |error: &Error| Err(Ui::open(early_manner(json, &environment)).fail(error));
        let args = match Args::try_parse_from(&typed) {
            Ok(args) => args,
            Err(failure) => {
                let ui = || Ui::open(early_manner(json, &environment));
                return Err(match clap_errors::explain(&failure, &typed) {
                    Stop::Shown(text) => {
                        ui().help(&text);
                        0
                    }
                    Stop::Nothing(text) => {
                        ui().lost(&text);
                        Kind::Usage.exit()
                    }
                    Stop::Refused(error) => ui().fail(&error),
                });
            }
        };
        let file = match ConfigFile::load(args.global.config.as_deref()) {
            Ok(file) => file,
            Err(error) => return early(&error),
        };
        let layers = Layers { environment, file };
        let globals = layers.globals(&args.global);
        let ui = Arc::new(Ui::open(manner(&globals, &layers.environment)));
        let stop = context::Stop::default();
        if signals::heeds(&args.command)
            && let Err(error) = signals::listen(Arc::<Ui>::clone(&ui), stop.clone())
        {
            return Err(ui.fail(&error));
        }
        Ok(Self { ui, globals, layers, command: args.command, stop })
    }

    /// Carries the command out. Returns the exit status, after everything was said.
    pub async fn run(&self) -> u8 {
        match self.carry_out().await {
            Ok(exit) => exit,
            Err(error) if error.kind() == Kind::Bug => {
                let message = format!("{}{}", error.message(), panic_hook::place());
                let told = Error::new(Kind::Bug, message).with_hint(error.hint());
                let told = match error.stage() {
                    Some(stage) => told.in_stage(stage),
                    None => told,
                };
                self.ui.fail(&told)
            }
            Err(error) => self.ui.fail(&error),
        }
    }

    /// Says that the command broke off. Returns the exit status.
    pub fn crashed(&self) -> u8 {
        self.ui.fail(&panic_hook::crashed())
    }
}

fn early_manner(json: bool, environment: &Environment) -> Manner {
    Manner { json, color: color(None, environment), github: github(environment), ..Manner::default() }
}

fn manner(globals: &Globals, environment: &Environment) -> Manner {
    Manner {
        json: globals.json,
        quiet: globals.quiet,
        verbose: globals.verbose,
        no_progress: globals.no_progress || environment.has("CI") || environment.text("TERM") == Some("dumb"),
        color: color(Some(globals.color), environment),
        github: github(environment),
    }
}

/// Always, never, or by the terminal.
fn color(word: Option<ColorWord>, environment: &Environment) -> Option<bool> {
    match word {
        Some(ColorWord::Always) => Some(true),
        Some(ColorWord::Never) => Some(false),
        Some(ColorWord::Auto) | None => {
            let plain = environment.has("NO_COLOR") || environment.text("TERM") == Some("dumb");
            plain.then_some(false)
        }
    }
}

fn github(environment: &Environment) -> Option<GitHub> {
    let inside = environment.text("GITHUB_ACTIONS") == Some("true");
    inside.then(|| GitHub { summary: environment.text("GITHUB_STEP_SUMMARY").map(PathBuf::from) })
}
