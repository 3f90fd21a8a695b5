//! Generates `docs/flags.md` from the definitions of commands, flags, keys and variables.

use std::{collections::BTreeMap, fs, path::Path};

use clap::{Arg, Command, builder::StyledStr};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use super::{
    args,
    config_file::{FileOverrides, keys},
    environment::VARIABLES,
};

const HEAD: &str = "\
# Flags, keys and variables

This page is generated from the source: `TURSO2NEON_UPDATE_DOCS=1 cargo test --lib docs_flags` writes it again.

Every flag has a key of the same name at the top level of `turso2neon.toml`, unless it is marked \"no key\". The order of
precedence is flag, environment variable, key, default. A value of a lower layer is not used where a higher layer sets a
flag that excludes it. An empty variable counts as unset.
";

const KEYS_HEAD: &str = "\
## Tables and keys without a flag

Unknown keys are errors.

";

fn page() -> String {
    let root = args::command();
    let mut page = format!("{HEAD}\n## Options of all commands\n\n{}", flags(&root));
    for command in root.get_subcommands() {
        let about = command.get_about().map(StyledStr::to_string).unwrap_or_default();
        page += &format!("\n## turso2neon {}\n\n{about}.\n\n{}", command.get_name(), flags(command));
    }
    page += &format!("\n{KEYS_HEAD}{}", file_keys());
    page += "\n## Environment variables\n\n| variable | flag | meaning |\n|---|---|---|\n";
    for variable in &VARIABLES {
        let flag = variable.flag.map(|flag| format!("`--{flag}`")).unwrap_or_default();
        page += &format!("| `{}` | {flag} | {} |\n", variable.name, variable.meaning);
    }
    page.replace("\n\n\n", "\n\n")
}

fn flags(command: &Command) -> String {
    let keys = keys();
    command.get_arguments().map(|arg| flag(arg, &keys)).collect()
}

fn flag(arg: &Arg, keys: &[String]) -> String {
    let takes_value = arg.get_action().takes_values();
    let value = arg.get_value_names().and_then(<[_]>::first).map(|name| format!(" {name}")).filter(|_| takes_value);
    let name = match (arg.get_long(), arg.get_short()) {
        (Some(long), Some(short)) => format!("-{short}, --{long}"),
        (Some(long), None) => format!("--{long}"),
        (None, _) => String::new(),
    };
    let name = format!("{name}{}", value.unwrap_or_default());
    let help = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = format!(" [default: {}]", default.join(", "));
    let default = if takes_value && default != " [default: ]" { default } else { String::new() };
    let is_without_key = arg.get_long().is_some_and(|long| !keys.iter().any(|key| key == long));
    let key = if is_without_key { " (no key)" } else { "" };
    let mut text = format!("- `{}`: {help}{default}{key}\n", name.trim());
    for value in arg.get_possible_values().iter().filter(|_| takes_value) {
        let meaning = value.get_help().map(|help| format!(": {help}")).unwrap_or_default();
        text += &format!("  - `{}`{meaning}\n", value.get_name());
    }
    text
}

/// The keys of the file that are no flags, from the JSON schema of their types.
fn file_keys() -> String {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = SchemaGenerator::new(settings).into_root_schema_for::<FileOverrides>().to_value();
    let mut text = String::new();
    for (key, schema) in properties(&schema) {
        text += &entry(&key, &schema, "");
        let inner = schema.get("additionalProperties").filter(|inner| inner.is_object()).unwrap_or(&schema);
        for (key, schema) in properties(inner) {
            text += &entry(&key, &schema, "  ");
        }
    }
    text
}

fn properties(schema: &Value) -> BTreeMap<String, Value> {
    schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_else(Map::new).into_iter().collect()
}

fn entry(key: &str, schema: &Value, indent: &str) -> String {
    let about = |schema: &Value| schema["description"].as_str().unwrap_or_default().replace('\n', " ");
    let mut text = format!("{indent}- `{key}`: {}\n", about(schema));
    // An optional enum is `anyOf` the enum and null.
    let variants = schema["anyOf"][0]["oneOf"].as_array().or_else(|| schema["oneOf"].as_array());
    for variant in variants.into_iter().flatten() {
        text += &format!("{indent}  - `{}`: {}\n", variant["const"].as_str().unwrap_or("?"), about(variant));
    }
    text
}

#[test]
fn docs_flags_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/flags.md");
    let page = page();
    if std::env::var_os("TURSO2NEON_UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let is_current = fs::read_to_string(&path).is_ok_and(|stored| stored == page);
    assert!(is_current, "docs/flags.md is stale: run `TURSO2NEON_UPDATE_DOCS=1 cargo test --lib docs_flags`");
}

#[test]
fn every_flag_of_a_variable_exists() {
    let keys = keys();
    for variable in &VARIABLES {
        assert!(variable.flag.is_none_or(|flag| keys.iter().any(|key| key == flag)), "{}", variable.name);
    }
}
