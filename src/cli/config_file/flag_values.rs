//! Reads the keys that flags have in the file; the values are checked by the parser of the flag.

use std::{any::TypeId, collections::BTreeSet};

use clap::{Arg, ArgAction, Command, CommandFactory, builder::Resettable};
use toml::Value;

use crate::cli::{args::Args, clap_errors::expected};

/// Flags without a key: what only one call can mean, and `--accept`, which has a table.
const WITHOUT_KEY: [&str; 7] = ["config", "force-table", "restore-point", "list", "accept", "apply", "rename"];

/// Most times that `verbose` counts.
const VERBOSE_MOST: i64 = 2;

/// The keys of the flags, in the order of their definition.
#[must_use]
pub fn keys() -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for flag in flags().iter().filter_map(Arg::get_long) {
        if !WITHOUT_KEY.contains(&flag) && !keys.iter().any(|key| key == flag) {
            keys.push(flag.to_owned());
        }
    }
    keys
}

fn flags() -> Vec<Arg> {
    let root = Args::command();
    let all = root.get_arguments().chain(root.get_subcommands().flat_map(Command::get_arguments));
    all.cloned().collect()
}

/// The values of a key as they would be typed. They are right if a flag of this name, of any command, takes them.
///
/// # Errors
/// What the value must be.
pub(super) fn read(key: &str, value: &Value) -> Result<Vec<String>, String> {
    let flags: Vec<Arg> = flags().into_iter().filter(|flag| flag.get_long() == Some(key)).collect();
    let mut read = Err(String::new());
    for flag in &flags {
        read = read.or_else(|_| texts(flag, value));
    }
    let choices = flags.iter().filter(|flag| flag.get_action().takes_values());
    let words = choices.flat_map(Arg::get_possible_values).map(|word| word.get_name().to_owned());
    let words: BTreeSet<String> = words.collect();
    if words.is_empty() {
        return read;
    }
    read.map_err(|_| format!("must be one of {}", words.into_iter().collect::<Vec<_>>().join(", ")))
}

fn texts(flag: &Arg, value: &Value) -> Result<Vec<String>, String> {
    let wrong = |what: &str| format!("must be {what}");
    match flag.get_action() {
        ArgAction::SetTrue => Ok(vec![value.as_bool().ok_or_else(|| wrong("true or false"))?.to_string()]),
        ArgAction::Count => {
            let count = value.as_integer().filter(|count| (0..=VERBOSE_MOST).contains(count));
            let count = count.ok_or_else(|| wrong(&format!("a whole number from 0 to {VERBOSE_MOST}")))?;
            Ok(vec![count.to_string()])
        }
        ArgAction::Append => {
            let items = value.as_array().ok_or_else(|| wrong("a list of strings"))?;
            let text = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| wrong("a list of strings"));
            items.iter().map(text).collect()
        }
        _ if is_number(flag) => parsed(flag, value.as_integer().map(|number| number.to_string()).unwrap_or_default()),
        _ => match value.as_str().map(str::trim) {
            Some("") => Err("is empty".to_owned()),
            Some(text) => parsed(flag, text.to_owned()),
            None => Err(wrong("a string")),
        },
    }
}

fn is_number(flag: &Arg) -> bool {
    let id = flag.get_value_parser().type_id();
    [TypeId::of::<u16>(), TypeId::of::<u32>(), TypeId::of::<u64>()].iter().any(|number| id == *number)
}

/// The text, if the flag alone would take it.
fn parsed(flag: &Arg, text: String) -> Result<Vec<String>, String> {
    let alone = flag.clone().conflicts_with(Resettable::Reset).global(false);
    let command = Command::new("key").no_binary_name(true).arg(alone);
    match command.try_get_matches_from([format!("--{}={text}", flag.get_long().unwrap_or_default())]) {
        Ok(_) => Ok(vec![text]),
        Err(failure) => Err(match expected(&failure) {
            Some(what) => format!("must be {what}"),
            None => "is not valid".to_owned(),
        }),
    }
}
