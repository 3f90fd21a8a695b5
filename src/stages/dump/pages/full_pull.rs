//! All pages of a revision into the part file: which came, and what is remembered on the way.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use roaring::RoaringBitmap;

use super::{super::resume_state::ResumeState, Revision, beyond};
use crate::{
    context::Context,
    error::Result,
    event::Event,
    model::{Stage, dump_method::DumpMethod},
    source::{
        page_assembler::{PAGE_BYTES, PageFile},
        pull_updates::{Opening, UpdatesFault, UpdatesReader},
    },
};

/// The phase's name; a step is [`STEP_PAGES`] pages, a mebibyte.
const PHASE: &str = "MiB of pages";
const STEP_PAGES: u64 = (1 << 20) / PAGE_BYTES as u64;

/// Pages and time between two records of how far it is, at least: each waits for the disk.
const RECORD_PAGES_MIN: u64 = 64;
const RECORD_EVERY: Duration = Duration::from_millis(500);

/// What reading one answer comes to.
pub(super) enum ReadOutcome {
    Whole,
    /// It ended, or broke off, before the last page.
    Short(&'static str),
    /// It is of another revision than the one asked for.
    OtherRevision,
    OtherForm(&'static str),
}

/// A copy in the making, of all pages.
pub(super) struct FullPull {
    ctx: Context,
    part: PathBuf,
    file: PageFile,
    pub(super) revision: Revision,
    pub(super) received_pages: u64,
    recorded: Instant,
    pages_recorded: u64,
}

/// What one answer came to.
pub(super) struct PullRead {
    pub(super) filling: Option<FullPull>,
    pub(super) outcome: Result<ReadOutcome>,
    pub(super) received_bytes: u64,
}

/// Reads one answer to its end.
pub(super) fn read_whole(
    ctx: &Context,
    part: &Path,
    source: String,
    mut filling: Option<FullPull>,
    mut reader: UpdatesReader,
) -> PullRead {
    let outcome = take_whole(ctx, part, source, &mut filling, &mut reader);
    PullRead { filling, outcome, received_bytes: reader.received_bytes() }
}

fn take_whole(
    ctx: &Context,
    part: &Path,
    source: String,
    filling: &mut Option<FullPull>,
    reader: &mut UpdatesReader,
) -> Result<ReadOutcome> {
    const CUT: &str = "the connection was cut";
    let opening = match reader.opening() {
        Ok(opening) => opening,
        Err(UpdatesFault::Cut) => return Ok(ReadOutcome::Short(CUT)),
        Err(UpdatesFault::OtherForm(why)) => return Ok(ReadOutcome::OtherForm(why)),
        Err(UpdatesFault::Refused(error)) => return Err(error),
    };
    let filling = match filling {
        // Asked for an older revision, a server may name the newest one's size.
        Some(filling) if filling.revision.name != opening.revision || filling.revision.pages > opening.pages => {
            return Ok(ReadOutcome::OtherRevision);
        }
        Some(filling) => filling,
        None => filling.insert(FullPull::begin(ctx, part, source, opening)?),
    };
    loop {
        match reader.next_page() {
            Ok(Some(page)) if page.index == 0 && page.bytes.get(18..20) == Some(&[0xff, 0xff]) => {
                return Ok(ReadOutcome::OtherForm("it is an MVCC database, whose pages are not the whole of it"));
            }
            Ok(Some(page)) => filling.take(page.index, &page.bytes)?,
            Ok(None) if filling.file.first_missing(filling.revision.pages).is_none() => return Ok(ReadOutcome::Whole),
            Ok(None) => return Ok(ReadOutcome::Short("the server ended its answer")),
            Err(UpdatesFault::Cut) => return Ok(ReadOutcome::Short(CUT)),
            Err(UpdatesFault::OtherForm(why)) => return Ok(ReadOutcome::OtherForm(why)),
            Err(UpdatesFault::Refused(error)) => return Err(error),
        }
    }
}

impl FullPull {
    fn begin(ctx: &Context, part: &Path, source: String, opening: Opening) -> Result<Self> {
        super::super::remove_part(part)?;
        super::super::disk_space::require(part, opening.pages.saturating_mul(PAGE_BYTES as u64))?;
        let revision = Revision { source, name: opening.revision, pages: opening.pages };
        let file = PageFile::create(part)?;
        Ok(Self::resume(ctx, part, file, revision))
    }

    /// Goes on with the file of an earlier try.
    pub(super) fn resume(ctx: &Context, part: &Path, file: PageFile, revision: Revision) -> Self {
        let steps = Some(revision.pages / STEP_PAGES);
        ctx.out.emit(&Event::PhaseStarted { stage: Stage::Dump, phase: PHASE, steps });
        Self {
            ctx: ctx.clone(),
            part: part.to_owned(),
            file,
            revision,
            received_pages: 0,
            recorded: Instant::now(),
            pages_recorded: 0,
        }
    }

    /// The pages that never came.
    pub(super) fn missing(&self) -> Vec<std::ops::Range<u64>> {
        self.file.missing(self.revision.pages)
    }

    fn take(&mut self, index: u64, page: &[u8]) -> Result<()> {
        if index >= self.revision.pages {
            return Err(beyond());
        }
        self.file.write(index, page)?;
        self.received_pages += 1;
        if self.received_pages.is_multiple_of(STEP_PAGES) {
            self.ctx.out.emit(&Event::Stepped { stage: Stage::Dump, phase: PHASE });
        }
        let pages = self.received_pages - self.pages_recorded;
        if pages >= RECORD_PAGES_MIN && self.recorded.elapsed() >= RECORD_EVERY { self.record() } else { Ok(()) }
    }

    /// The pages that came.
    pub(super) fn present(&self) -> RoaringBitmap {
        self.file.present(self.revision.pages).filter_map(|page| u32::try_from(page).ok()).collect()
    }

    /// Checks the file and makes it durable.
    ///
    /// # Errors
    /// `SourceTruncated`, `SourceRefused`, `ArtifactIo`.
    pub(super) fn finish(self) -> Result<()> {
        self.file.finish(self.revision.pages)
    }

    /// Remembers how far it is, for a later run.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub(super) fn record(&mut self) -> Result<()> {
        self.pages_recorded = self.received_pages;
        ResumeState::new(DumpMethod::Pages, self.revision.clone(), self.file.settle()?).store(&self.part)?;
        self.recorded = Instant::now();
        Ok(())
    }
}
