//! Keeps a dump from being replaced by one of another source.
//!
//! Sources are compared by what their checkpoint records: a path, or the URL of a server without user, token and query.
//! The spelling does not matter: a link to the file, the scheme, the port that the scheme implies, a slash at the end.

use std::{fs, path::Path};

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{DumpCheckpoint, checkpoint::CHECKPOINT_FORMAT, dump_method::DumpMethod},
    secret::Secret,
    source::endpoint::{Place, Source},
    workdir::sealed,
};

/// A source, apart from how it is spelled.
#[derive(Debug, PartialEq, Eq)]
enum Identity {
    /// The path as the checkpoint records it.
    File(String),
    Server {
        place: Place,
        namespace: Option<String>,
    },
}

/// Refuses a source that is not the one of the dump that is there. A checkpoint that cannot be used says nothing.
///
/// # Errors
/// `OtherSource`.
pub(super) fn refuse(ctx: &Context, source: &Source, namespace: Option<&str>) -> Result<()> {
    let stored = sealed::load::<DumpCheckpoint>(&ctx.workdir.dump_checkpoint(), CHECKPOINT_FORMAT, "dump").ok();
    let Some((stored, before)) = stored.and_then(|stored| recorded(&stored).map(|before| (stored, before))) else {
        return Ok(());
    };
    let now = match source {
        // That there is no such file is for the copy to say.
        Source::File(path) if !path.exists() => return Ok(()),
        Source::File(path) => Identity::File(resolved(path)),
        Source::Server(endpoint) => {
            Identity::Server { place: endpoint.place(), namespace: namespace.map(str::to_owned) }
        }
    };
    if before == now {
        return Ok(());
    }
    let text = format!("{} holds the dump of another source, {}", ctx.workdir.root().display(), stored.source);
    Err(Error::new(Kind::OtherSource, text))
}

/// The file that a path leads to; the path itself if there is none.
fn resolved(path: &Path) -> String {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// The source of a dump; none if it cannot be read.
fn recorded(dump: &DumpCheckpoint) -> Option<Identity> {
    if dump.method == DumpMethod::File {
        return Some(Identity::File(resolved(Path::new(&dump.source))));
    }
    let (url, namespace) = split_namespace(&dump.source);
    match Source::parse(&Secret::new(url.to_owned())).ok()? {
        Source::Server(endpoint) => {
            Some(Identity::Server { place: endpoint.place(), namespace: namespace.map(str::to_owned) })
        }
        Source::File(_) => None,
    }
}

/// How the checkpoint records a namespace behind the URL.
const NAMESPACE: &str = " (namespace ";

/// A server's URL as the checkpoint records it, with the namespace.
pub(super) fn recorded_source(url: &str, namespace: Option<&str>) -> String {
    namespace.map_or_else(|| url.to_owned(), |name| format!("{url}{NAMESPACE}{name})"))
}

/// URL and namespace; a URL has no blanks.
fn split_namespace(source: &str) -> (&str, Option<&str>) {
    match source.split_once(NAMESPACE) {
        Some((url, rest)) => (url, rest.strip_suffix(')')),
        None => (source, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_read_as_it_is_recorded() {
        for namespace in [None, Some("a"), Some("b (namespace c)")] {
            assert_eq!(split_namespace(&recorded_source("http://h:1/x", namespace)), ("http://h:1/x", namespace));
        }
    }
}
