//! Writes what GitHub Actions shows besides the log: annotations and the step summary.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

use crate::error::Error;

/// A run inside GitHub Actions.
#[derive(Debug, Clone)]
pub struct GitHub {
    /// The file that `GITHUB_STEP_SUMMARY` names.
    pub summary: Option<PathBuf>,
}

/// GitHub drops a step summary beyond 1 MiB whole.
const SUMMARY_BYTES_MAX: usize = 1_000_000;

/// The workflow command that annotates the run.
pub(super) fn annotation(error: &Error) -> String {
    let title = error.stage().map_or_else(|| "turso2neon".to_owned(), |stage| format!("turso2neon {stage}"));
    let text = format!("{error}\nhint: {}", error.hint());
    format!("::error title={}::{}", property(&title), data(&text))
}

impl GitHub {
    /// Appends Markdown to the step summary. A summary that can't be written is not worth a failed migration.
    pub(super) fn summarise(&self, markdown: &str) {
        let Some(path) = &self.summary else { return };
        let text = cut(markdown, SUMMARY_BYTES_MAX);
        drop(append(path, text));
    }
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")
}

/// The text up to the last line end within the limit.
fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = text.bytes().take(bytes_max).rposition(|byte| byte == b'\n').unwrap_or(0);
    text.get(..end).unwrap_or("")
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{error::Kind, model::Stage};

    #[test]
    fn an_annotation_is_one_line_whatever_the_message_holds() {
        let error = Error::new(Kind::TargetTls, "50 %\n::set-output").in_stage(Stage::Push).with_hint("h");
        assert_eq!(annotation(&error), "::error title=turso2neon push::push: 50 %25%0A::set-output%0Ahint: h");
    }

    #[test]
    fn a_long_summary_is_cut_at_a_line() {
        assert_eq!(cut("ab\ncd\nef", 7), "ab\ncd");
        assert_eq!(cut("ab", 7), "ab");
    }
}
