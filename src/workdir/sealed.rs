//! Reads and writes JSON documents with a format number and a checksum over everything else in them.

use std::{io, path::Path};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{atomic, sha256_of_bytes};
use crate::{
    error::{Error, Kind, Result},
    file_access,
};

const CHECKSUM: &str = "checksum";

/// Stores a document; returns the SHA-256 of the file.
///
/// # Errors
/// `ArtifactIo`; `Bug` if the document isn't a JSON object.
pub fn store<T: Serialize>(path: &Path, document: &T) -> Result<String> {
    let text = render(document)?;
    atomic::write(path, text.as_bytes())?;
    Ok(sha256_of_bytes(text.as_bytes()))
}

/// The text that [`store`] writes: the same document always gives the same bytes.
///
/// # Errors
/// `Bug` if the document isn't a JSON object.
pub fn render<T: Serialize>(document: &T) -> Result<String> {
    let broken = |what: &str| Error::new(Kind::Bug, format!("an artifact can't be written as JSON: {what}"));
    let mut value = serde_json::to_value(document).map_err(|_| broken("not representable"))?;
    let checksum = checksum_of(&value);
    let object = value.as_object_mut().ok_or_else(|| broken("not an object"))?;
    object.insert(CHECKSUM.to_owned(), Value::String(checksum));
    let mut text = serde_json::to_string_pretty(&value).map_err(|_| broken("not representable"))?;
    text.push('\n');
    Ok(text)
}

/// Loads a document of the stage called `stage`.
///
/// # Errors
/// `ArtifactMissing`, `ArtifactNewer`, `ArtifactDamaged`, `ArtifactIo`.
pub fn load<T: DeserializeOwned>(path: &Path, format: u32, stage: &str) -> Result<T> {
    let again = format!("run `turso2neon {stage} --fresh`");
    let text = file_access::read_to_string(path).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => {
            Error::new(Kind::ArtifactMissing, format!("{stage} has left no {}", file_name(path)))
                .with_hint(format!("run `turso2neon {stage}` first"))
        }
        io::ErrorKind::InvalidData => damaged(path, "it is not text").with_hint(&again),
        _ => Error::io(Kind::ArtifactIo, "reading", path, &cause),
    })?;
    let mut value: Value =
        serde_json::from_str(&text).map_err(|_| damaged(path, "it is not JSON").with_hint(&again))?;
    let found = value.get("format").and_then(Value::as_u64);
    match found {
        Some(found) if found > u64::from(format) => {
            return Err(Error::new(
                Kind::ArtifactNewer,
                format!("{} has format {found}; this version reads up to {format}", file_name(path)),
            ));
        }
        Some(_) => {}
        None => return Err(damaged(path, "it has no format number").with_hint(&again)),
    }
    let recorded = value.as_object_mut().and_then(|object| object.remove(CHECKSUM));
    if recorded.as_ref().and_then(Value::as_str) != Some(checksum_of(&value).as_str()) {
        return Err(damaged(path, "its checksum doesn't match").with_hint(&again));
    }
    serde_json::from_value(value).map_err(|_| damaged(path, "a field is missing or wrong").with_hint(&again))
}

fn checksum_of(value: &Value) -> String {
    sha256_of_bytes(value.to_string().as_bytes())
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::new(Kind::ArtifactDamaged, format!("{} is damaged: {why}", path.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        format: u32,
        float: f64,
        word: String,
    }

    fn stored() -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("note.json");
        store(&path, &Note { format: 1, float: 0.1, word: "a".to_owned() }).unwrap();
        (directory, path)
    }

    #[test]
    fn a_document_reads_back() {
        let (_directory, path) = stored();
        let note: Note = load(&path, 1, "dump").unwrap();
        assert_eq!(note.word, "a");
    }

    #[test]
    fn a_changed_word_is_noticed() {
        let (_directory, path) = stored();
        let text = fs::read_to_string(&path).unwrap().replace("\"a\"", "\"b\"");
        fs::write(&path, text).unwrap();
        assert_eq!(load::<Note>(&path, 1, "dump").unwrap_err().kind(), Kind::ArtifactDamaged);
    }

    #[test]
    fn a_newer_format_is_refused_and_a_cut_file_is_damaged() {
        let (_directory, path) = stored();
        assert_eq!(load::<Note>(&path, 0, "dump").unwrap_err().kind(), Kind::ArtifactNewer);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.split_at(text.len() / 2).0).unwrap();
        assert_eq!(load::<Note>(&path, 1, "dump").unwrap_err().kind(), Kind::ArtifactDamaged);
        assert_eq!(load::<Note>(Path::new("/nowhere"), 1, "dump").unwrap_err().kind(), Kind::ArtifactMissing);
    }
}
