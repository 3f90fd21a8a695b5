//! Writes to the two standard streams. A stream that was closed is ignored; it never stops the work.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
    sync::Mutex,
};

/// Standard output or standard error.
pub(super) struct OutputStream {
    stream: Stream,
    /// Lines that GitHub's runner would take for workflow commands are changed.
    in_github: bool,
    health: Mutex<Option<io::ErrorKind>>,
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

impl OutputStream {
    /// Standard output: the answer.
    pub(super) fn out(in_github: bool) -> Self {
        Self { stream: Stream::Out, in_github, health: Mutex::new(None) }
    }

    /// Standard error: the narration.
    pub(super) fn err(in_github: bool) -> Self {
        Self { stream: Stream::Err, in_github, health: Mutex::new(None) }
    }

    /// Whether it is a terminal.
    pub(super) fn is_terminal(&self) -> bool {
        match self.stream {
            Stream::Out => io::stdout().is_terminal(),
            Stream::Err => io::stderr().is_terminal(),
        }
    }

    /// Writes the text, with a line end if it lacks one.
    pub(super) fn say(&self, text: &str) {
        if self.in_github { self.write(&without_commands(text)) } else { self.write(text) }
    }

    /// Writes a workflow command for GitHub's runner.
    pub(super) fn command(&self, text: &str) {
        self.write(text);
    }

    fn write(&self, text: &str) {
        let Ok(mut health) = self.health.lock() else { return };
        if health.is_some() {
            return;
        }
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let whole = format!("{text}{end}");
        let written = match self.stream {
            Stream::Out => write_all(&mut io::stdout().lock(), &whole),
            Stream::Err => write_all(&mut io::stderr().lock(), &whole),
        };
        if let Err(cause) = written {
            *health = Some(cause.kind());
        }
    }

    /// Why the stream fell silent, if it did; a reader who left (`| head`) is no failure.
    pub(super) fn failure(&self) -> Option<io::ErrorKind> {
        let health = self.health.lock().ok()?;
        health.filter(|kind| *kind != io::ErrorKind::BrokenPipe)
    }
}

fn write_all(stream: &mut impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// The text with lines that GitHub's runner takes for no workflow command: a line begins with none, and the older form
/// is nowhere. Table names come from the source. JSON stays the same JSON.
fn without_commands(text: &str) -> String {
    let line = |line: &str| {
        let command = line.trim_start();
        let blanks = line.len() - command.len();
        match (command.strip_prefix("::"), line.get(..blanks)) {
            (Some(rest), Some(blanks)) => format!("{blanks}\\u003a:{rest}"),
            _ => line.to_owned(),
        }
    };
    text.replace("##[", "##\\u005b").split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// One line of text that can't steer the terminal: names come from the source, and may hold escape sequences.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_steering) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(escaped).collect())
}

/// As [`harmless`], for text of several lines.
pub(super) fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

/// Control characters, and those that change the direction of the text around them (Unicode Annex 9).
fn is_steering(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(letter: char) -> Vec<char> {
    if is_steering(letter) { letter.escape_default().collect() } else { vec![letter] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(harmless("a\u{1b}[31mb\n::error::x"), "a\\u{1b}[31mb\\n::error::x");
        assert_eq!(harmless_lines("a\r\nb"), "a\\r\nb");
        assert_eq!(harmless("é"), "é");
        assert_eq!(harmless("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn names_are_no_workflow_commands() {
        let text = "t\n  ::stop-commands::x\n##[set-output name=a]b ::c::";
        assert_eq!(without_commands(text), "t\n  \\u003a:stop-commands::x\n##\\u005bset-output name=a]b ::c::");
    }
}
