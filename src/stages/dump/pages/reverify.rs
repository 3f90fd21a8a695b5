//! Whether pages on this machine are those of the server's revision: asked for again, and compared byte for byte.
//!
//! The protocol has no checksum, and a bare number for a revision says little. So a few pages are looked at before an
//! earlier copy is gone on from, and all that came over a connection without TLS are asked for twice.

use std::{fs::File, os::unix::fs::FileExt, path::Path};

use roaring::RoaringBitmap;

use super::PagePuller;
use crate::{
    error::{Error, Kind, Result},
    file_access,
    source::{
        page_assembler::{PAGE_BYTES, PageRange},
        pull_updates::{PageSelection, Updates, UpdatesFault, UpdatesReader},
    },
};

/// Frames before the last one whose pages are looked at: a server that was restored and written to differs there.
const LAST_FRAMES: u64 = 4;

/// What asking again comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReverifyOutcome {
    /// All pages are the same.
    Same,
    /// One is another.
    Different,
    /// The server no longer has the revision.
    Gone,
}

/// What one answer comes to.
enum ReverifyAnswer {
    To(ReverifyOutcome),
    /// All that was asked for is the same; these pages are left.
    Part(RoaringBitmap, File),
    /// It broke off; these pages are left.
    Short(RoaringBitmap, File),
    Failed(Error),
}

impl PagePuller<'_> {
    /// Whether a revision is still what it was, by a few of its pages.
    ///
    /// A name with a generation in it can't come again. A bare number can, of another database in the same place: it
    /// must not be beyond the server's, and the first, a middle, the last page and those of the last frames must be
    /// the same.
    pub(super) async fn is_still_there(
        &mut self,
        revision: &super::Revision,
        file: &Path,
        pages: &[PageRange],
    ) -> Result<bool> {
        let Some(number) = number(&revision.name) else { return Ok(true) };
        let sample = sample(pages);
        let same = !sample.is_empty()
            && self.newest(&revision.name).await?.is_some_and(|newest| newest >= number)
            && self.same_last(revision, number, file, pages).await?
            && self.confirm(&revision.name, file, sample).await? == ReverifyOutcome::Same;
        if !same {
            self.ctx.out.info("the server no longer has the revision that was read before: all pages are read");
        }
        Ok(same)
    }

    /// The number of the server's newest revision.
    async fn newest(&mut self, since: &str) -> Result<Option<u64>> {
        let Updates::Coming(pump, mut reader) =
            self.server.pull_updates(&PageSelection::Since(since.to_owned())).await?
        else {
            return Ok(None);
        };
        let looking = tokio::task::spawn_blocking(move || {
            let opening = reader.opening().ok();
            (opening.and_then(|opening| number(&opening.revision)), reader.received_bytes())
        });
        pump.run().await?;
        let (newest, received_bytes) = looking.await.map_err(|_| stopped())?;
        self.received_bytes += received_bytes;
        Ok(newest)
    }

    /// Whether the pages of the revision's last frames are the same.
    async fn same_last(
        &mut self,
        revision: &super::Revision,
        number: u64,
        file: &Path,
        pages: &[PageRange],
    ) -> Result<bool> {
        let before = number.saturating_sub(LAST_FRAMES).to_string();
        let wanted = PageSelection::Between(before, revision.name.clone());
        let Updates::Coming(pump, reader) = self.server.pull_updates(&wanted).await? else { return Ok(false) };
        let present: RoaringBitmap = pages.iter().flat_map(|run| bounds(*run)).collect();
        let name = revision.name.clone();
        let file = open(file)?;
        let comparing = tokio::task::spawn_blocking(move || {
            let mut reader = reader;
            let same = is_opened(&mut reader, &name) && all_same(&file, &present, &mut reader);
            (same, reader.received_bytes())
        });
        pump.run().await?;
        let (same, received_bytes) = comparing.await.map_err(|_| stopped())?;
        self.received_bytes += received_bytes;
        Ok(same)
    }

    /// Asks for these pages of a revision again, until each has come and was compared with the file.
    pub(super) async fn confirm(&mut self, name: &str, file: &Path, pages: RoaringBitmap) -> Result<ReverifyOutcome> {
        let (mut left, mut opened, mut setbacks) = (pages, open(file)?, 0);
        // The second half first: what damages every answer at the same place now meets another page.
        let mut asked = second_half(&left);
        loop {
            let wanted = PageSelection::Some(name.to_owned(), runs(&asked));
            let (pump, reader) = match self.server.pull_updates(&wanted).await? {
                Updates::Coming(pump, reader) => (pump, reader),
                Updates::NotOffered(_) => return Ok(ReverifyOutcome::Gone),
            };
            let (before, name) = (left.len(), name.to_owned());
            let comparing = tokio::task::spawn_blocking(move || compare(&name, opened, (left, asked), reader));
            let ending = pump.run().await;
            let (compared, received_bytes) = comparing.await.map_err(|_| stopped())?;
            self.received_bytes += received_bytes;
            ending?;
            (left, opened) = match compared {
                ReverifyAnswer::To(confirmed) => return Ok(confirmed),
                ReverifyAnswer::Failed(error) => return Err(error),
                ReverifyAnswer::Part(left, file) => {
                    setbacks = 0;
                    (left, file)
                }
                ReverifyAnswer::Short(left, file) => {
                    setbacks = if left.len() < before { 1 } else { setbacks + 1 };
                    (left, file)
                }
            };
            asked = left.clone();
            if setbacks == 0 {
                continue;
            }
            let why = "the connection was cut while pages were compared";
            if setbacks >= super::TRIES {
                return Err(Error::new(Kind::SourceTruncated, why)
                    .with_hint("what came is kept; `turso2neon dump` goes on from there"));
            }
            self.server.wait(why, setbacks + 1).await?;
        }
    }
}

fn compare(
    name: &str,
    file: File,
    (mut left, asked): (RoaringBitmap, RoaringBitmap),
    mut reader: UpdatesReader,
) -> (ReverifyAnswer, u64) {
    let compared = match reader.opening() {
        Ok(opening) if opening.revision != name => ReverifyAnswer::To(ReverifyOutcome::Gone),
        Err(UpdatesFault::Cut) => ReverifyAnswer::Short(left, file),
        Err(UpdatesFault::OtherForm(_) | UpdatesFault::Refused(_)) => ReverifyAnswer::To(ReverifyOutcome::Gone),
        Ok(_) => loop {
            match reader.next_page() {
                Ok(Some(page)) => match is_same(&file, page.index, &page.bytes) {
                    Ok(true) => left.remove(u32::try_from(page.index).unwrap_or(u32::MAX)),
                    Ok(false) => break ReverifyAnswer::To(ReverifyOutcome::Different),
                    Err(error) => break ReverifyAnswer::Failed(error),
                },
                Ok(None) if left.is_empty() => break ReverifyAnswer::To(ReverifyOutcome::Same),
                Ok(None) if left.is_disjoint(&asked) => break ReverifyAnswer::Part(left, file),
                Ok(None) | Err(UpdatesFault::Cut) => break ReverifyAnswer::Short(left, file),
                Err(UpdatesFault::OtherForm(_) | UpdatesFault::Refused(_)) => {
                    break ReverifyAnswer::To(ReverifyOutcome::Different);
                }
            };
        },
    };
    (compared, reader.received_bytes())
}

fn is_opened(reader: &mut UpdatesReader, name: &str) -> bool {
    reader.opening().is_ok_and(|opening| opening.revision == name)
}

/// Whether all pages that come, of those that are present, are the same; to the answer's end.
fn all_same(file: &File, present: &RoaringBitmap, reader: &mut UpdatesReader) -> bool {
    loop {
        match reader.next_page() {
            Ok(Some(page)) if !u32::try_from(page.index).is_ok_and(|index| present.contains(index)) => {}
            Ok(Some(page)) if is_same(file, page.index, &page.bytes).unwrap_or(false) => {}
            Ok(None) => return true,
            Ok(Some(_)) | Err(_) => return false,
        }
    }
}

fn is_same(file: &File, index: u64, page: &[u8]) -> Result<bool> {
    let mut own = vec![0; PAGE_BYTES];
    match file.read_exact_at(&mut own, index.saturating_mul(PAGE_BYTES as u64)) {
        Ok(()) => Ok(settled(index, &own) == settled(index, page)),
        Err(cause) if cause.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(_) => Err(Error::new(Kind::ArtifactIo, "the copy can't be read while its pages are compared")),
    }
}

/// A page without the two bytes of the header that a finished copy sets anew.
fn settled(index: u64, page: &[u8]) -> Vec<u8> {
    let is_changed = |place: usize| index == 0 && (place == 18 || place == 19);
    page.iter().enumerate().map(|(place, byte)| if is_changed(place) { 0 } else { *byte }).collect()
}

/// The first, a middle and the last of the pages.
fn sample(pages: &[PageRange]) -> RoaringBitmap {
    let first = pages.first().map(|run| run.0);
    let middle = pages.get(pages.len() / 2).map(|run| run.0.midpoint(run.1 - 1));
    let last = pages.last().map(|run| run.1 - 1);
    [first, middle, last].into_iter().flatten().filter_map(|page| u32::try_from(page).ok()).collect()
}

fn second_half(pages: &RoaringBitmap) -> RoaringBitmap {
    let skipped = usize::try_from(pages.len() / 2).unwrap_or(usize::MAX);
    pages.iter().skip(skipped).collect()
}

fn bounds((first, end): PageRange) -> std::ops::Range<u32> {
    u32::try_from(first).unwrap_or(u32::MAX)..u32::try_from(end).unwrap_or(u32::MAX)
}

fn runs(pages: &RoaringBitmap) -> Vec<std::ops::Range<u64>> {
    let mut runs: Vec<std::ops::Range<u64>> = Vec::new();
    for page in pages.iter().map(u64::from) {
        match runs.last_mut().filter(|run| run.end == page) {
            Some(run) => run.end += 1,
            None => runs.push(page..page + 1),
        }
    }
    runs
}

fn number(name: &str) -> Option<u64> {
    Some(name).filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

fn open(path: &Path) -> Result<File> {
    file_access::read(path).map_err(|cause| Error::io(Kind::ArtifactIo, "reading", path, &cause))
}

fn stopped() -> Error {
    Error::new(Kind::Bug, "the reader of the pages stopped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_of_pages_that_are_there() {
        let pages = |runs: &[PageRange]| sample(runs).iter().collect::<Vec<_>>();
        assert_eq!(pages(&[(0, 9)]), [0, 4, 8]);
        assert_eq!(pages(&[(3, 4)]), [3]);
        assert_eq!(pages(&[(1, 2), (5, 7), (9, 10)]), [1, 5, 9]);
        assert_eq!(pages(&[]), Vec::<u32>::new());
    }

    #[test]
    fn runs_cover_exactly_the_pages() {
        let pages: RoaringBitmap = [0, 1, 2, 7, 9, 10].into_iter().collect();
        assert_eq!(runs(&pages), [0..3, 7..8, 9..11]);
        assert_eq!(second_half(&pages).iter().collect::<Vec<_>>(), [7, 9, 10]);
        assert_eq!(number("53"), Some(53));
        assert_eq!(number("g1:o0"), None);
    }
}
