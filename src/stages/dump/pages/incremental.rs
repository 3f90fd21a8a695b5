//! What changed since the dump before, applied to a copy of it: in one answer or not at all.

use std::path::Path;

use roaring::RoaringBitmap;

use super::{Revision, beyond};
use crate::{
    error::{Error, Kind, Result},
    file_access,
    source::{
        page_assembler::PageFile,
        pull_updates::{UpdatesFault, UpdatesReader},
    },
};

/// What became of the dump before.
pub(super) enum IncrementalOutcome {
    Nothing,
    /// To this revision, by these pages.
    To(Revision, RoaringBitmap),
    Short,
    Unusable(&'static str),
}

pub(super) fn read_changes(
    part: &Path,
    base: &Path,
    before: &Revision,
    mut reader: UpdatesReader,
) -> (Result<IncrementalOutcome>, u64) {
    let changed = take_changes(part, base, before, &mut reader);
    (changed, reader.received_bytes())
}

fn take_changes(part: &Path, base: &Path, before: &Revision, reader: &mut UpdatesReader) -> Result<IncrementalOutcome> {
    let opening = match reader.opening() {
        Ok(opening) if opening.replaces => {
            return Ok(IncrementalOutcome::Unusable("the server has replaced its database"));
        }
        Ok(opening) => opening,
        Err(UpdatesFault::Cut) => return Ok(IncrementalOutcome::Short),
        Err(UpdatesFault::OtherForm(_) | UpdatesFault::Refused(_)) => {
            return Ok(IncrementalOutcome::Unusable("the server gives no changes since the dump before"));
        }
    };
    let mut file: Option<PageFile> = None;
    let mut received = RoaringBitmap::new();
    loop {
        let page = match reader.next_page() {
            Ok(Some(page)) => page,
            Ok(None) => break,
            Err(UpdatesFault::Cut) => return Ok(IncrementalOutcome::Short),
            Err(UpdatesFault::OtherForm(why)) => return Ok(IncrementalOutcome::Unusable(why)),
            Err(UpdatesFault::Refused(error)) => return Err(error),
        };
        if page.index >= opening.pages {
            return Err(beyond());
        }
        let opened = match &mut file {
            Some(opened) => opened,
            None => file.insert(copy_of(base, part, before.pages)?),
        };
        opened.write(page.index, &page.bytes)?;
        received.insert(u32::try_from(page.index).map_err(|_| beyond())?);
    }
    let revision = Revision { source: before.source.clone(), name: opening.revision, pages: opening.pages };
    match file {
        None if revision == *before => Ok(IncrementalOutcome::Nothing),
        None => Ok(IncrementalOutcome::Unusable("the server names another revision without a change")),
        // A page that is missing was not sent although the database has grown.
        Some(file) if file.first_missing(revision.pages).is_some() => Ok(IncrementalOutcome::Short),
        Some(file) => {
            file.finish(revision.pages)?;
            Ok(IncrementalOutcome::To(revision, received))
        }
    }
}

fn copy_of(base: &Path, part: &Path, pages: u64) -> Result<PageFile> {
    super::super::remove_part(part)?;
    file_access::copy(base, part).map_err(|cause| Error::io(Kind::ArtifactIo, "copying to", part, &cause))?;
    PageFile::reopen(part, &[(0, pages)])
}
