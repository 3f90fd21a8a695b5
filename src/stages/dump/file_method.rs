//! Makes the copy of a local file, unless the file is the one that the dump was taken from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{CompleteCopy, DumpRequest, file_mark, left_out, local_file, method_selection::MethodOutcome, on_thread};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{DumpCheckpoint, dump_method::DumpMethod},
};

/// Copies the file at `path` to `part`.
///
/// # Errors
/// `Usage` for a namespace; those of [`local_file`] and [`left_out`].
pub(super) async fn copy(
    ctx: &Context,
    request: &DumpRequest,
    path: PathBuf,
    part: &Path,
    previous: Option<&DumpCheckpoint>,
) -> Result<MethodOutcome> {
    if request.namespace.is_some() {
        return Err(Error::new(Kind::Usage, "a local file has no namespaces").with_hint("leave --namespace out"));
    }
    let (ctx, part, exclude, previous) = (ctx.clone(), part.to_owned(), request.exclude.clone(), previous.cloned());
    on_thread(move || {
        let path = local_file::locate(&path)?;
        if exclude.is_empty() && previous.is_some_and(|previous| file_mark::is_unchanged(&path, &previous)) {
            return Ok(MethodOutcome::Unchanged { received_bytes: 0 });
        }
        let mark = file_mark::FileMark::look(&path);
        let mut proof = vec![local_file::copy(&ctx, &path, &part)?];
        let received_bytes =
            fs::metadata(&part).map_err(|cause| Error::io(Kind::ArtifactIo, "reading", &part, &cause))?.len();
        let left_out = left_out::remove(&part, &exclude, left_out::RowsOwner::File)?;
        proof.extend(left_out::note(&left_out));
        let mark = mark.filter(|_| left_out.is_empty()).and_then(|mark| mark.of_copy(&path));
        Ok(MethodOutcome::Copied(Box::new(CompleteCopy {
            source: path.display().to_string(),
            method: DumpMethod::File,
            method_reason: "the source is a file on this machine".to_owned(),
            proof,
            consistency_mark: mark,
            received_bytes,
            left_out,
            snapshot: None,
            server_facts: None,
        })))
    })
    .await
}
