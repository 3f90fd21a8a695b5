//! A place in a replication log.

use serde::{Deserialize, Serialize};

/// A place in a log: everything up to and including this frame is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The log's identity.
    pub(crate) log_id: String,
    /// The frame, counted from 0.
    pub(crate) frame: u64,
    /// The frame's checksum, which stands for all before it.
    pub(crate) checksum: u64,
}

impl Position {
    /// The text that a checkpoint keeps.
    pub(crate) fn mark(&self) -> String {
        format!("replication log {} frame {} checksum {:016x}", self.log_id, self.frame, self.checksum)
    }

    /// Reads the text back; none if it speaks of something else.
    pub(crate) fn from_mark(mark: &str) -> Option<Self> {
        let words: Vec<&str> = mark.split(' ').collect();
        let ["replication", "log", log_id, "frame", frame, "checksum", checksum] = words[..] else { return None };
        let checksum = u64::from_str_radix(checksum, 16).ok()?;
        Some(Self { log_id: log_id.to_owned(), frame: frame.parse().ok()?, checksum })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_another_methods_does_not() {
        for checksum in [0, u64::MAX] {
            let position = Position { log_id: "28e9e934-bef4".to_owned(), frame: 77, checksum };
            assert_eq!(Position::from_mark(&position.mark()), Some(position));
        }
        assert_eq!(Position::from_mark("replication_index 33"), None);
        assert_eq!(Position::from_mark("replication log x frame y checksum 0"), None);
    }
}
