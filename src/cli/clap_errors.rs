//! Converts clap's errors to errors of this tool.
//!
//! clap quotes what was typed, and what was typed in the wrong place may be a connection string. No value is repeated
//! here, only names of flags, of commands and of the values that are allowed.

use std::{error::Error as _, ffi::OsString};

use clap::{
    CommandFactory,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::{
    args::{Args, LATER},
    value_enums::Expected,
};
use crate::error::{Error, Kind};

/// Said of a flag of [`LATER`].
const NOT_YET: &str = "is not in this version";

/// Why nothing was run.
pub enum ParseOutcome {
    /// Help or version was asked for: print it and exit 0.
    Shown(String),
    /// Nothing was typed: print the help on stderr and exit 2.
    Nothing(String),
    /// What was typed is not valid.
    Refused(Error),
}

/// What clap's error means.
#[must_use]
pub fn explain(failure: &clap::Error, typed: &[OsString]) -> ParseOutcome {
    match failure.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ParseOutcome::Shown(failure.to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => ParseOutcome::Nothing(failure.to_string()),
        kind => {
            let command = command_of(typed);
            let text = message(kind, failure, command.as_deref());
            let hint = match (command.as_deref(), suggestion(failure)) {
                (_, Some(better)) if !text.contains(NOT_YET) => format!("did you mean `{better}`?"),
                (Some(command), _) => format!("see `turso2neon {command} --help`"),
                (None, _) => "see `turso2neon --help`".to_owned(),
            };
            let error = Error::new(Kind::Usage, text);
            ParseOutcome::Refused(error.with_hint(hint))
        }
    }
}

fn message(kind: ErrorKind, failure: &clap::Error, command: Option<&str>) -> String {
    let argument = name_of(failure, ContextKind::InvalidArg);
    match kind {
        ErrorKind::UnknownArgument => unknown_argument(argument.as_deref(), command),
        ErrorKind::InvalidSubcommand => unknown_command(failure),
        ErrorKind::InvalidValue => invalid_value(failure, argument.as_deref()),
        ErrorKind::ValueValidation => match expected(failure) {
            Some(what) => format!("{} must be {what}", shown(argument.as_deref())),
            None => format!("the value of {} is not valid", shown(argument.as_deref())),
        },
        ErrorKind::MissingRequiredArgument => format!("{} is missing", shown(argument.as_deref())),
        ErrorKind::MissingSubcommand => "a command is missing".to_owned(),
        ErrorKind::ArgumentConflict => match name_of(failure, ContextKind::PriorArg) {
            Some(prior) if Some(prior.as_str()) != argument.as_deref() => {
                format!("{} and {prior} exclude each other", shown(argument.as_deref()))
            }
            Some(_) | None => format!("{} is given twice", shown(argument.as_deref())),
        },
        ErrorKind::InvalidUtf8 => "an argument is not valid UTF-8".to_owned(),
        ErrorKind::TooManyValues => format!("{} takes no value", shown(argument.as_deref())),
        ErrorKind::NoEquals | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("{} has the wrong number of values", shown(argument.as_deref()))
        }
        _ => "the arguments are not valid".to_owned(),
    }
}

fn unknown_argument(argument: Option<&str>, command: Option<&str>) -> String {
    let place = command.map(|command| format!(" of `{command}`")).unwrap_or_default();
    match argument.filter(|text| text.starts_with("--")).map(flag_name) {
        Some(flag) if LATER.iter().any(|later| flag.strip_prefix("--") == Some(later)) => format!("{flag} {NOT_YET}"),
        Some(flag) if is_word(flag) => format!("{flag} is not a flag{place}"),
        Some(_) | None => "unexpected argument (not shown: it may hold a secret)".to_owned(),
    }
}

fn unknown_command(failure: &clap::Error) -> String {
    match name_of(failure, ContextKind::InvalidSubcommand) {
        Some(word) if is_word(&word) && word.len() <= 16 => format!("there is no command `{word}`"),
        Some(_) | None => "the first argument is not a command (not shown: it may hold a secret)".to_owned(),
    }
}

fn invalid_value(failure: &clap::Error, argument: Option<&str>) -> String {
    let flag = shown(argument);
    let allowed = match failure.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(words)) => words.join(", "),
        _ => String::new(),
    };
    match name_of(failure, ContextKind::InvalidValue) {
        Some(word) if word.is_empty() && allowed.is_empty() => format!("{flag} needs a value"),
        None if allowed.is_empty() => format!("{flag} needs a value"),
        Some(_) | None if allowed.is_empty() => format!("the value of {flag} is not valid"),
        Some(_) | None => format!("{flag} must be one of {allowed}"),
    }
}

/// What a flag takes, where its parser is one of this tool's.
pub(super) fn expected(failure: &clap::Error) -> Option<&Expected> {
    failure.source()?.downcast_ref()
}

fn suggestion(failure: &clap::Error) -> Option<String> {
    [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| name_of(failure, kind))
}

fn name_of(failure: &clap::Error, kind: ContextKind) -> Option<String> {
    match failure.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

/// A flag as clap names it (`--jobs <N>`), which never holds what was typed for it.
fn shown(argument: Option<&str>) -> String {
    argument.map_or_else(|| "an argument".to_owned(), |text| flag_name(text).to_owned())
}

fn flag_name(text: &str) -> &str {
    text.split(['=', ' ']).next().unwrap_or(text)
}

fn is_word(text: &str) -> bool {
    text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// The first typed word that is a command.
fn command_of(typed: &[OsString]) -> Option<String> {
    let known = Args::command();
    typed
        .iter()
        .skip(1)
        .filter_map(|word| word.to_str())
        .find(|word| known.get_subcommands().any(|command| command.get_name() == *word))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn refused(line: &str) -> Error {
        let typed: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let failure = Args::try_parse_from(&typed).unwrap_err();
        match explain(&failure, &typed) {
            ParseOutcome::Refused(error) => error,
            ParseOutcome::Shown(_) | ParseOutcome::Nothing(_) => panic!("{line} is not refused"),
        }
    }

    #[test]
    fn what_was_typed_is_never_repeated() {
        for line in [
            "turso2neon push postgres://u:hunter2@h/d",
            "turso2neon postgres://u:hunter2@h/d",
            "turso2neon push --mode hunter2",
            "turso2neon push --jobs hunter2",
            "turso2neon push --hunter2=x --target=hunter2",
            "turso2neon push --bogus=hunter2",
            "turso2neon run --target a --target hunter2",
            "turso2neon dump -xhunter2",
            "turso2neon dump --fresh=hunter2",
            "turso2neon completions hunter2",
        ] {
            let error = refused(line);
            let said = format!("{error} {}", error.hint());
            assert!(!said.contains("hunter2") || line.contains("--hunter2"), "{line}: {said}");
            assert_eq!(error.kind(), Kind::Usage);
        }
    }

    #[test]
    fn a_flag_of_a_later_version_is_named() {
        let error = refused("turso2neon plan --sample 10");
        assert!(error.message().contains("not in this version"), "{error}");
    }

    #[test]
    fn a_typing_error_gets_a_suggestion() {
        assert_eq!(refused("turso2neon convret").hint(), "did you mean `convert`?");
        assert_eq!(refused("turso2neon push --job 3").hint(), "did you mean `--jobs`?");
        assert_eq!(refused("turso2neon push --mode creat").hint(), "did you mean `create`?");
        assert_eq!(refused("turso2neon dump --bogus").hint(), "see `turso2neon dump --help`");
        assert_eq!(refused("turso2neon push --jobs 0").message(), "--jobs must be a whole number from 1 to 256");
        assert_eq!(refused("turso2neon push --target").message(), "--target needs a value");
    }
}
