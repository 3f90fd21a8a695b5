//! Source to `dump/source.db`: one consistent snapshot, or nothing.

use std::path::PathBuf;

use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::DumpCheckpoint,
    secret::Secret,
};

/// What to dump.
#[derive(Debug, Clone)]
pub struct DumpRequest {
    /// URL of a libSQL server, or path of a local file. May hold a token.
    pub source: Secret<String>,
    /// The token, where it isn't in the URL.
    pub token: Option<Secret<String>>,
    /// `auto`, `sql` (other methods are refused until they exist).
    pub method: String,
    /// A CA certificate to trust besides the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// The namespace on a self-hosted server.
    pub namespace: Option<String>,
    /// Forget the earlier dump.
    pub fresh: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Dumped {
    /// The checkpoint beside the dump.
    pub checkpoint: DumpCheckpoint,
    /// Whether the content equals that of the dump before, so that later stages have nothing to do.
    pub unchanged: bool,
}

/// Makes the dump. An interrupted one leaves the previous dump untouched.
///
/// # Errors
/// `Source*` kinds (exit 3), `ArtifactIo` (exit 4).
pub async fn dump(_ctx: &Context, _request: &DumpRequest) -> Result<Dumped> {
    Err(Error::new(Kind::Bug, "not built"))
}
