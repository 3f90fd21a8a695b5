//! Generates completion scripts and the manual page from the definition of the command line.

use clap::Command;
use clap_mangen::Man;

use super::args;
use crate::error::{Error, Kind, Result};

/// The completion script for a shell.
///
/// # Errors
/// `Bug` if it is not text.
pub fn completions(shell: clap_complete::Shell) -> Result<String> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "turso2neon", &mut script);
    text(script)
}

/// The manual page in roff, with a section per command.
///
/// # Errors
/// `Bug` if it cannot be rendered.
pub fn manual() -> Result<String> {
    let mut command = args::command();
    command.build();
    let man = Man::new(command.clone()).date("");
    let mut page = Vec::new();
    let rendered = man
        .render_title(&mut page)
        .and_then(|()| man.render_name_section(&mut page))
        .and_then(|()| man.render_synopsis_section(&mut page))
        .and_then(|()| man.render_description_section(&mut page))
        .and_then(|()| man.render_options_section(&mut page));
    rendered.map_err(|_| broken())?;
    let mut whole = text(page)?;
    for subcommand in command.get_subcommands() {
        whole.push_str(&section(subcommand)?);
    }
    let mut end = Vec::new();
    man.render_extra_section(&mut end).map_err(|_| broken())?;
    Ok(whole + &text(end)?)
}

/// One command: its own sections, one level below.
fn section(command: &Command) -> Result<String> {
    let man = Man::new(command.clone());
    let mut body = Vec::new();
    let rendered = man
        .render_synopsis_section(&mut body)
        .and_then(|()| man.render_description_section(&mut body))
        .and_then(|()| man.render_options_section(&mut body));
    rendered.map_err(|_| broken())?;
    let body = text(body)?.lines().map(lowered).collect::<Vec<_>>().join("\n");
    Ok(format!(".SH \"COMMAND {}\"\n{body}\n", command.get_name().to_uppercase()))
}

/// A section's heading becomes a subsection's.
fn lowered(line: &str) -> String {
    match line.strip_prefix(".SH ") {
        Some(title) => format!(".SS {title}"),
        None => line.to_owned(),
    }
}

fn text(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|_| broken())
}

fn broken() -> Error {
    Error::new(Kind::Bug, "a document made from the command line's definition is not text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_has_every_command_and_no_value_of_the_environment() {
        let page = manual().unwrap();
        for subcommand in args::command().get_subcommands() {
            assert!(page.contains(&format!("COMMAND {}", subcommand.get_name().to_uppercase())));
        }
        assert!(page.starts_with(".ie"));
    }

    #[test]
    fn completions_know_the_commands() {
        assert!(completions(clap_complete::Shell::Bash).unwrap().contains("convert"));
    }
}
