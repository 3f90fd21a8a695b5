//! Frames into the part file: their order, their checksums, where it may stop, and what is remembered on the way.
//!
//! Invariant: a frame counts only in its place. Log frames come one by one, each chained to the one before by its
//! checksum; a new log file of the server's begins its chain anew, which can only be after a commit. Frames of a
//! snapshot come newest first; they count only when all have come. Most of their checksums prove nothing, for the
//! frames between them are gone: without TLS, a snapshot counts when it has come twice the same.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sha2::{Digest, Sha256};

use super::super::resume_state::ResumeState;
use crate::{
    context::Context,
    error::Result,
    event::Event,
    model::{Stage, consistency_mark::LogPosition, dump_method::DumpMethod},
    source::{
        grpc_web::{Frame, GrpcStatus},
        page_assembler::{PAGE_BYTES, PageFile, PageRange},
        replication::{FrameItem, FrameKind, FrameReader, MalformedFrames, checksum_after},
    },
};

/// The phase's name; a step is [`STEP_FRAMES`] frames, a mebibyte.
pub(super) const PHASE: &str = "MiB of pages";
pub(super) const STEP_FRAMES: u64 = (1 << 20) / PAGE_BYTES as u64;

/// Frames and time between two records of how far it is, at least: each waits for the disk.
const RECORD_FRAMES_MIN: u64 = 64;
const RECORD_EVERY: Duration = Duration::from_millis(500);

const CUT: &str = "the connection was cut";
const OUT_OF_ORDER: &str = "the frames of the server's log came out of order";
const NO_PLACE: &str = "a frame named a page that the database can't have";
const DAMAGED: &str = "a page was damaged on its way, as its checksum shows";

/// A copy in the making.
pub(super) struct FrameApplier {
    ctx: Context,
    part: PathBuf,
    file: PageFile,
    log_id: String,
    /// The frame that is wanted next.
    next: u64,
    /// The checksum of the frame before it; a log begins with 0.
    checksum: u64,
    /// Whether the frame before the next one must be seen again, to know that it is still the same log.
    unproven: bool,
    /// Whether the frame before the next one ended a transaction.
    at_boundary: bool,
    /// Enough is there when a transaction ends at or after this frame.
    target: u64,
    /// Size of the database in pages after the last transaction that ended.
    pages: u64,
    counters: FrameCounters,
    /// Whether a snapshot must come twice.
    twice: bool,
    /// What the snapshot was when it came before.
    seen: Option<[u8; 32]>,
    /// When it was remembered how far it is, and how many frames had come.
    recorded: Instant,
    frames_recorded: u64,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FrameCounters {
    /// Frames that came.
    pub(crate) frames: u64,
    /// Snapshots that came.
    pub(crate) snapshots: u64,
    /// Bytes that came.
    pub(crate) received_bytes: u64,
}

/// Why no more is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ApplyOutcome {
    /// The target is reached.
    Complete,
    /// A snapshot has ended; the log goes on from there.
    Snapshot,
    /// A snapshot has ended; it counts when the same comes again.
    Again,
    /// The server ended its answer with these words.
    Ended(GrpcStatus),
    /// The answer can't be read on, and why.
    Broken(&'static str),
    /// It isn't the log that was read before.
    OtherLog(&'static str),
}

impl FrameApplier {
    /// Begins with an empty file.
    pub(super) fn begin(ctx: &Context, part: &Path, log_id: &str) -> Result<Self> {
        Ok(Self {
            ctx: ctx.clone(),
            part: part.to_owned(),
            file: PageFile::create(part)?,
            log_id: log_id.to_owned(),
            next: 0,
            checksum: 0,
            unproven: false,
            at_boundary: true,
            target: 0,
            pages: 0,
            counters: FrameCounters::default(),
            twice: false,
            seen: None,
            recorded: Instant::now(),
            frames_recorded: 0,
        })
    }

    /// Continues with a file that holds these pages, as they were at this position.
    pub(super) fn resume(ctx: &Context, part: &Path, position: &LogPosition, pages: &[PageRange]) -> Result<Self> {
        let mut intake = Self {
            ctx: ctx.clone(),
            part: part.to_owned(),
            file: PageFile::reopen(part, pages)?,
            log_id: position.log_id.clone(),
            next: position.frame.saturating_add(1),
            checksum: position.checksum,
            unproven: true,
            at_boundary: false,
            target: 0,
            pages: 0,
            counters: FrameCounters::default(),
            twice: false,
            seen: None,
            recorded: Instant::now(),
            frames_recorded: 0,
        };
        intake.prove_again();
        Ok(intake)
    }

    /// What is wanted up to, frames that are there being counted as done; and whether a snapshot must come twice.
    pub(super) fn aim(&mut self, target: u64, twice: bool) {
        (self.target, self.twice) = (target, twice);
    }

    /// The frame to ask from.
    pub(super) fn from(&self) -> u64 {
        self.next - u64::from(self.unproven)
    }

    /// Asks to see the last frame again, after a new greeting.
    pub(super) fn prove_again(&mut self) {
        self.unproven = self.next > 0;
    }

    pub(super) fn position(&self) -> Option<LogPosition> {
        let frame = self.next.checked_sub(1)?;
        Some(LogPosition { log_id: self.log_id.clone(), frame, checksum: self.checksum })
    }

    pub(super) fn counters(&self) -> FrameCounters {
        self.counters
    }

    pub(super) fn log_id(&self) -> &str {
        &self.log_id
    }

    pub(super) fn target(&self) -> u64 {
        self.target
    }

    /// Adds the bytes of an answer without frames.
    pub(super) fn count_bytes(&mut self, bytes: u64) {
        self.counters.received_bytes += bytes;
    }

    /// Reads an answer to its end or to the target. Blocks: call it on a thread of its own.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub(super) fn take(&mut self, mut reader: FrameReader, flow: FrameKind) -> Result<ApplyOutcome> {
        let outcome = match flow {
            FrameKind::Log => self.take_log(&mut reader),
            FrameKind::Snapshot => self.take_snapshot(&mut reader),
        };
        self.counters.received_bytes += reader.received_bytes();
        outcome
    }

    fn take_log(&mut self, reader: &mut FrameReader) -> Result<ApplyOutcome> {
        loop {
            let frame = match reader.next_item() {
                Ok(Some(FrameItem::Frame(frame))) => frame,
                Ok(Some(FrameItem::End(status))) => return Ok(ApplyOutcome::Ended(status)),
                Ok(None) => return Ok(ApplyOutcome::Broken(CUT)),
                Err(MalformedFrames(why)) => return Ok(ApplyOutcome::Broken(why)),
            };
            if self.unproven {
                match self.prove(&frame) {
                    Ok(()) => continue,
                    Err(outcome) => return Ok(outcome),
                }
            }
            if frame.number != self.next {
                return Ok(ApplyOutcome::Broken(OUT_OF_ORDER));
            }
            if !self.is_chained(&frame) {
                return Ok(ApplyOutcome::Broken(DAMAGED));
            }
            if !self.write(&frame)? {
                return Ok(ApplyOutcome::Broken(NO_PLACE));
            }
            self.next += 1;
            self.checksum = frame.checksum;
            self.at_boundary = frame.size_after != 0;
            if self.at_boundary {
                self.pages = u64::from(frame.size_after);
                if frame.number >= self.target {
                    return Ok(ApplyOutcome::Complete);
                }
            }
            self.record_sometimes()?;
        }
    }

    /// Compares the frame before the next one with what it was.
    fn prove(&mut self, frame: &Frame) -> std::result::Result<(), ApplyOutcome> {
        if frame.number + 1 != self.next || frame.checksum != self.checksum {
            return Err(ApplyOutcome::OtherLog("the last frame that was read is another one"));
        }
        self.unproven = false;
        self.at_boundary = frame.size_after != 0;
        if self.at_boundary {
            self.pages = u64::from(frame.size_after);
            if frame.number >= self.target {
                return Err(ApplyOutcome::Complete);
            }
        }
        Ok(())
    }

    fn is_chained(&self, frame: &Frame) -> bool {
        let follows = |previous: u64| checksum_after(previous, &frame.page) == frame.checksum;
        follows(self.checksum) || (self.at_boundary && follows(0))
    }

    fn take_snapshot(&mut self, reader: &mut FrameReader) -> Result<ApplyOutcome> {
        let (mut digest, frames_before, unproven_before) = (Sha256::new(), self.counters.frames, self.unproven);
        let mut newest: Option<(u64, u64)> = None;
        let mut previous: Option<Frame> = None;
        loop {
            let frame = match reader.next_item() {
                Ok(Some(FrameItem::Frame(frame))) => frame,
                Ok(Some(FrameItem::End(status))) if status.code == 0 => break,
                Ok(Some(FrameItem::End(status))) => return Ok(ApplyOutcome::Ended(status)),
                Ok(None) => return Ok(ApplyOutcome::Broken(CUT)),
                Err(MalformedFrames(why)) => return Ok(ApplyOutcome::Broken(why)),
            };
            if frame.number < self.from() || previous.as_ref().is_some_and(|later| later.number <= frame.number) {
                return Ok(ApplyOutcome::Broken(OUT_OF_ORDER));
            }
            if let Some(later) = previous.as_ref().filter(|later| later.number == frame.number + 1) {
                let chained = [frame.checksum, 0].map(|before| checksum_after(before, &later.page) == later.checksum);
                if chained == [false, false] {
                    return Ok(ApplyOutcome::Broken(DAMAGED));
                }
            }
            newest.get_or_insert((frame.number, frame.checksum));
            digest.update(frame.number.to_le_bytes());
            digest.update(frame.page_number.to_le_bytes());
            digest.update(frame.size_after.to_le_bytes());
            digest.update(&frame.page);
            if self.unproven && frame.number + 1 == self.next {
                if self.checksum != frame.checksum {
                    return Ok(ApplyOutcome::OtherLog("the last frame that was read is another one"));
                }
                self.unproven = false;
            } else if !self.write(&frame)? {
                return Ok(ApplyOutcome::Broken(NO_PLACE));
            }
            previous = Some(frame);
        }
        let Some(((newest, checksum), oldest)) = newest.zip(previous) else {
            return Ok(ApplyOutcome::Broken("the server sent a snapshot without a frame"));
        };
        if oldest.size_after == 0 {
            return Ok(ApplyOutcome::Broken("the server sent a snapshot without its end"));
        }
        if self.unproven {
            return Ok(ApplyOutcome::OtherLog("the last frame that was read isn't kept any more"));
        }
        let seen: [u8; 32] = digest.finalize().into();
        if self.twice && self.seen.replace(seen) != Some(seen) {
            self.counters.frames = frames_before;
            // From the very same frame: the frame before it may be the last one of the snapshot before.
            self.unproven = unproven_before;
            return Ok(ApplyOutcome::Again);
        }
        self.seen = None;
        self.counters.snapshots += 1;
        self.pages = u64::from(oldest.size_after);
        self.next = newest + 1;
        self.checksum = checksum;
        self.at_boundary = true;
        self.record()?;
        Ok(if newest >= self.target { ApplyOutcome::Complete } else { ApplyOutcome::Snapshot })
    }

    /// Writes a frame's page; says no if the database can't have it.
    fn write(&mut self, frame: &Frame) -> Result<bool> {
        // Every page of a database was written once at least, so its number can't be beyond the log's.
        let highest = self.target.max(frame.number).saturating_add(3);
        let Some(index) = u64::from(frame.page_number).checked_sub(1).filter(|index| *index < highest) else {
            return Ok(false);
        };
        self.file.write(index, &frame.page)?;
        self.counters.frames += 1;
        if self.counters.frames.is_multiple_of(STEP_FRAMES) {
            self.ctx.out.emit(&Event::Stepped { stage: Stage::Dump, phase: PHASE });
        }
        Ok(true)
    }

    fn record_sometimes(&mut self) -> Result<()> {
        let frames = self.counters.frames - self.frames_recorded;
        if frames >= RECORD_FRAMES_MIN && self.recorded.elapsed() >= RECORD_EVERY { self.record() } else { Ok(()) }
    }

    /// Remembers how far it is, for a later run.
    pub(super) fn record(&mut self) -> Result<()> {
        let Some(position) = self.position() else { return Ok(()) };
        self.frames_recorded = self.counters.frames;
        ResumeState::new(DumpMethod::Replica, position, self.file.settle()?).store(&self.part)?;
        self.recorded = Instant::now();
        Ok(())
    }

    /// Checks that the file is whole, and gives its size in pages.
    pub(super) fn finish(self) -> Result<u64> {
        self.file.finish(self.pages)?;
        Ok(self.pages)
    }
}
