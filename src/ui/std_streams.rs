//! Writes to the two standard streams. A stream that was closed is ignored; it never stops the work.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
    sync::Mutex,
};

/// Standard output or standard error.
pub(super) struct OutputStream {
    stream: Stream,
    health: Mutex<Option<io::ErrorKind>>,
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

impl OutputStream {
    /// Standard output: the answer.
    pub(super) fn out() -> Self {
        Self { stream: Stream::Out, health: Mutex::new(None) }
    }

    /// Standard error: the narration.
    pub(super) fn err() -> Self {
        Self { stream: Stream::Err, health: Mutex::new(None) }
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

/// One line of text that can't steer the terminal: names come from the source, and may hold escape sequences.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().flat_map(escaped).collect())
}

/// As [`harmless`], for text of several lines.
pub(super) fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

fn escaped(letter: char) -> Vec<char> {
    if letter.is_control() { letter.escape_default().collect() } else { vec![letter] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(harmless("a\u{1b}[31mb\n::error::x"), "a\\u{1b}[31mb\\n::error::x");
        assert_eq!(harmless_lines("a\r\nb"), "a\\r\nb");
        assert_eq!(harmless("é"), "é");
    }
}
