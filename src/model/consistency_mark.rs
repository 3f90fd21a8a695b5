//! Names the state of the source that a dump was taken from, so that a later dump can check whether the source has
//! changed since.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A place in a replication log: everything up to and including this frame is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// The log's identity.
    pub log_id: String,
    /// The frame, counted from 0.
    pub frame: u64,
    /// The frame's checksum, which stands for all before it.
    pub checksum: u64,
}

/// Which state of the source a dump is of. Stored as a sentence, which [`fmt::Display`] writes and `From` reads back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum ConsistencyMark {
    /// A revision of a Turso database, and its size in pages.
    PageRevision {
        /// The server's name of the revision.
        name: String,
        /// Pages.
        pages: u64,
    },
    /// A frame of a replication log.
    Log(LogPosition),
    /// The index of the last write that the server had applied.
    ReplicationIndex(u64),
    /// A local file by what the file system and its header say of it: a SHA-256 of these.
    FileState(String),
    /// A text that this version doesn't know. It is equal to no state of a source.
    Unknown(String),
}

impl fmt::Display for ConsistencyMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PageRevision { name, pages } => write!(f, "page revision {name} of {pages} pages"),
            Self::Log(LogPosition { log_id, frame, checksum }) => {
                write!(f, "replication log {log_id} frame {frame} checksum {checksum:016x}")
            }
            Self::ReplicationIndex(index) => write!(f, "replication_index {index}"),
            Self::FileState(hash) => write!(f, "file state {hash}"),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

impl From<ConsistencyMark> for String {
    fn from(mark: ConsistencyMark) -> Self {
        mark.to_string()
    }
}

impl From<String> for ConsistencyMark {
    fn from(text: String) -> Self {
        page_revision(&text)
            .or_else(|| log(&text))
            .or_else(|| text.strip_prefix("replication_index ")?.parse().ok().map(Self::ReplicationIndex))
            .or_else(|| Some(Self::FileState(text.strip_prefix("file state ")?.to_owned())))
            // What is not written back the same way was not written by this code.
            .filter(|mark| mark.to_string() == text)
            .unwrap_or(Self::Unknown(text))
    }
}

fn page_revision(text: &str) -> Option<ConsistencyMark> {
    let (name, pages) = text.strip_prefix("page revision ")?.strip_suffix(" pages")?.rsplit_once(" of ")?;
    Some(ConsistencyMark::PageRevision { name: name.to_owned(), pages: pages.parse().ok()? })
}

fn log(text: &str) -> Option<ConsistencyMark> {
    let (rest, checksum) = text.strip_prefix("replication log ")?.rsplit_once(" checksum ")?;
    let (log_id, frame) = rest.rsplit_once(" frame ")?;
    let checksum = u64::from_str_radix(checksum, 16).ok()?;
    Some(ConsistencyMark::Log(LogPosition { log_id: log_id.to_owned(), frame: u64::from_str(frame).ok()?, checksum }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ConsistencyMark {
        serde_json::from_value(text.into()).unwrap()
    }

    #[test]
    fn marks_of_earlier_versions_are_read_and_written_as_they_were() {
        for (text, mark) in [
            ("page revision g1:o0 of 77 pages", ConsistencyMark::PageRevision { name: "g1:o0".to_owned(), pages: 77 }),
            (
                "page revision a name of two words of 1 pages",
                ConsistencyMark::PageRevision { name: "a name of two words".to_owned(), pages: 1 },
            ),
            (
                "replication log 28e9e934-bef4 frame 77 checksum ffffffffffffffff",
                ConsistencyMark::Log(LogPosition { log_id: "28e9e934-bef4".to_owned(), frame: 77, checksum: u64::MAX }),
            ),
            ("file state 0af1", ConsistencyMark::FileState("0af1".to_owned())),
            ("replication_index 33", ConsistencyMark::ReplicationIndex(33)),
        ] {
            assert_eq!(read(text), mark);
            assert_eq!(serde_json::to_value(&mark).unwrap(), text);
        }
    }

    #[test]
    fn what_is_not_understood_is_kept_and_is_no_state() {
        for text in [
            "",
            "a mark of tomorrow",
            "page revision g1 of many pages",
            "page revision g1 of +7 pages",
            "replication log x frame y checksum 0",
            "replication log x frame 1 checksum 0",
            "replication_index",
        ] {
            assert_eq!(read(text), ConsistencyMark::Unknown(text.to_owned()));
            assert_eq!(serde_json::to_value(read(text)).unwrap(), text);
        }
    }
}
