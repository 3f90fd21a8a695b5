//! Writes `log.jsonl` in the working directory: every event of every run.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    sync::Mutex,
};

use crate::{
    error::{Error, Kind, Result},
    file_access,
};

/// The open log. A log that can't be written (disk full) falls silent; it doesn't stop the work.
pub(super) struct Log(Mutex<Option<File>>);

impl Log {
    /// Opens the log to append to it (0600).
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file =
            file_access::append(path).map_err(|cause| Error::io(Kind::ArtifactIo, "opening", path, &cause))?;
        // A log that can't be read to its end is written to all the same.
        end_last_line(&mut file).ok();
        Ok(Self(Mutex::new(Some(file))))
    }

    /// Adds a line, whole or not at all as far as the file system allows.
    pub(super) fn add(&self, line: &str) {
        let Ok(mut slot) = self.0.lock() else { return };
        let Some(file) = slot.as_mut() else { return };
        if file.write_all(format!("{line}\n").as_bytes()).is_err() {
            *slot = None;
        }
    }
}

/// Ends a last line that a crash or a full disk has left unfinished, so that it doesn't spoil the next one.
fn end_last_line(file: &mut File) -> io::Result<()> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(());
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    if last == *b"\n" { Ok(()) } else { file.write_all(b"\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_line_does_not_spoil_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.jsonl");
        for (before, after) in [("", "{}\n"), ("{\"a\":1}\n", "{\"a\":1}\n{}\n"), ("{\"a\":", "{\"a\":\n{}\n")] {
            std::fs::write(&path, before).unwrap();
            Log::open(&path).unwrap().add("{}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        }
    }
}
