//! Merges flags, environment, configuration file and defaults into one set of values.
//!
//! Environment and file are laid below the flags as clap's default values, so that they are parsed as flags are.
//! Precedence: flag, environment, file, default. An empty variable counts as unset. A layer's value is left out where
//! a higher layer sets a flag that excludes it: `--database` hides `TURSO_DATABASE_URL`.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
};

use clap::{ArgMatches, Command, FromArgMatches, Id, builder::Resettable, parser::ValueSource};

use super::{
    args::Args,
    config_file::ConfigFile,
    environment::{self, Environment},
};
use crate::error::{Error, Kind, Result};

/// The two layers below the flags.
pub struct Layers {
    /// The environment.
    pub environment: Environment,
    /// The file.
    pub file: ConfigFile,
}

/// What a layer says of a flag: its values as texts.
type Layer<'a> = dyn Fn(&str) -> Option<Vec<String>> + 'a;

impl Layers {
    /// The arguments, completed by environment and file. `matches` is what `command` makes of `typed` alone.
    ///
    /// # Errors
    /// `Config` for a key whose value is for another command.
    pub fn complete(&self, command: Command, typed: &[OsString], matches: &ArgMatches) -> Result<Args> {
        let Some((name, inner)) = matches.subcommand() else { return Err(inconsistent()) };
        let is_typed = |id: &&Id| inner.value_source(id.as_str()) == Some(ValueSource::CommandLine);
        let set: BTreeSet<Id> = inner.ids().filter(is_typed).cloned().collect();
        let subcommand = command.find_subcommand(name).cloned().ok_or_else(inconsistent)?;
        let subcommand = self.with_defaults(subcommand, &set)?;
        let command = self.with_defaults(command, &set)?.mut_subcommand(name, |_| subcommand);
        let matches = command.try_get_matches_from(typed).map_err(|_| inconsistent())?;
        Args::from_arg_matches(&matches).map_err(|_| inconsistent())
    }

    /// A group of flags as environment and file alone set it, for a command that does not have these flags.
    ///
    /// # Errors
    /// `Config` as in [`Self::complete`].
    pub fn group<T: clap::Args>(&self) -> Result<T> {
        let command = T::augment_args(Command::new("group").no_binary_name(true));
        let command = command.mut_args(|arg| arg.conflicts_with(Resettable::Reset));
        let command = self.with_defaults(command, &BTreeSet::new())?;
        let matches = command.try_get_matches_from([""; 0]).map_err(|_| inconsistent())?;
        T::from_arg_matches(&matches).map_err(|_| inconsistent())
    }

    fn with_defaults(&self, command: Command, typed: &BTreeSet<Id>) -> Result<Command> {
        let mut set = typed.clone();
        let mut values = BTreeMap::new();
        let environment = |flag: &str| self.environment.flag(flag);
        let file = |flag: &str| {
            let is_replaced = flag == "auth-token-file" && self.environment.secret(environment::TOKEN).is_some();
            self.file.flag(flag).filter(|_| !is_replaced)
        };
        let layers: [&Layer<'_>; 2] = [&environment, &file];
        for layer in layers {
            // Of a flag whose value may be left out, its being typed counts.
            let has_value = |arg: &clap::Arg| {
                arg.get_num_args().is_none_or(|number| number.min_values() > 0 || !number.takes_values())
            };
            let free =
                |arg: &&clap::Arg| has_value(arg) && !set.contains(arg.get_id()) && !is_excluded(&command, arg, &set);
            let found = command.get_arguments().filter(free);
            let found = found.filter_map(|arg| Some((arg, layer(arg.get_long()?)?)));
            let found: BTreeMap<Id, Vec<String>> = found
                .map(|(arg, texts)| allowed(&command, arg, &texts).map(|()| (arg.get_id().clone(), texts)))
                .collect::<Result<_>>()?;
            set.extend(found.keys().cloned());
            values.extend(found);
        }
        Ok(command.mut_args(|arg| match values.remove(arg.get_id()) {
            Some(values) => arg.default_values(values).value_delimiter(Resettable::Reset),
            None => arg,
        }))
    }
}

/// Whether one of the flags that are set excludes this one.
fn is_excluded(command: &Command, arg: &clap::Arg, set: &BTreeSet<Id>) -> bool {
    let excludes = |one, other: &clap::Arg| {
        command.get_arg_conflicts_with(one).iter().any(|found| found.get_id() == other.get_id())
    };
    let mut others = command.get_arguments().filter(|other| set.contains(other.get_id()));
    others.any(|other| excludes(arg, other) || excludes(other, arg))
}

/// A key is checked when the file is read, but two commands can have different values for flags of one name.
fn allowed(command: &Command, arg: &clap::Arg, texts: &[String]) -> Result<()> {
    let values = arg.get_possible_values();
    let is_one = |text: &String| values.iter().any(|value| value.get_name() == text);
    if values.is_empty() || texts.iter().all(is_one) {
        return Ok(());
    }
    let (flag, command) = (arg.get_long().unwrap_or_default(), command.get_name());
    Err(Error::new(Kind::Config, format!("the configuration's `{flag}` is not one that `{command}` has"))
        .with_hint(format!("name one with --{flag}; see `turso2neon {command} --help`")))
}

fn inconsistent() -> Error {
    Error::new(Kind::Bug, "the configuration does not fit the definition of the command line")
}
