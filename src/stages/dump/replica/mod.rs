//! Method `replica`: the pages of a self-hosted server's database, from its replication log
//! ([`frame_applier`]).
//!
//! The log's last commit is pinned by a greeting; what is written meanwhile is left out. An interrupted copy goes on
//! where it stopped, and a finished one is brought up to date by what came after it, but only on the very same log:
//! the greeting must name the same log, and the last frame that was read must still be there, with its checksum.
//! Otherwise all is read again from the first frame; two logs are never spliced.

mod frame_applier;

use std::path::{Path, PathBuf};

use self::frame_applier::{ApplyOutcome, FrameApplier, FrameCounters};
use super::{
    on_thread,
    resume_state::{self, ResumeState},
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    event::Event,
    file_access,
    model::{Stage, consistency_mark::LogPosition, dump_method::DumpMethod, human_format},
    source::{
        hrana_cursor::CursorEnd,
        http::Server,
        page_assembler::PAGE_BYTES,
        replication::{self, FrameItem, FrameKind, FramesResponse, Greeting, Log},
    },
};

/// How often the reading is taken up again without a frame in between.
const TRIES: u32 = 5;

/// How often a snapshot is asked for that doesn't go beyond what is there: the server makes one in the background, and
/// has the frames in neither form until it is made.
const WAITS: u32 = 9;

/// How often all is read again because the log was replaced.
const RESTARTS: u32 = 3;

/// A complete copy in the part file.
pub(super) struct ReplicaCopy {
    pub(super) position: LogPosition,
    pub(super) pages: u64,
    pub(super) counters: FrameCounters,
    pub(super) begun: CopyBase,
    /// Whether snapshots had to come twice.
    twice: bool,
}

/// What a copy begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CopyBase {
    /// Nothing.
    Zero,
    /// An interrupted copy, which had all before this frame.
    Interrupted(u64),
    /// The dump before, which had all before this frame.
    Dump(u64),
}

/// The dump before, made from a log.
pub(super) struct PreviousDump {
    pub(super) position: LogPosition,
    pub(super) file: PathBuf,
}

/// Whether the log ends where it ended when the dump before was made; and the bytes that the question took.
pub(super) async fn is_unchanged(server: &Server, log: &Log, position: &LogPosition) -> Result<(bool, u64)> {
    if log.id != position.log_id || log.last != Some(position.frame) {
        return Ok((false, 0));
    }
    let (pump, mut reader) = match server.frames(log, FrameKind::Log, position.frame).await? {
        FramesResponse::Coming(pump, reader) => (pump, reader),
        FramesResponse::Refused(_) => return Ok((false, 0)),
    };
    let expected = (position.frame, position.checksum);
    let looked = tokio::task::spawn_blocking(move || {
        let item = reader.next_item();
        let same = matches!(item, Ok(Some(FrameItem::Frame(frame))) if (frame.number, frame.checksum) == expected);
        (same, reader.received_bytes())
    });
    pump.run().await?;
    looked.await.map_err(|_| Error::new(Kind::Bug, "the reader of the log stopped"))
}

/// Brings the part file to the last commit that the greeting named.
///
/// # Errors
/// `Source*` kinds, `ArtifactIo`, `Interrupted`. What came is kept for the next time.
pub(super) async fn pull(
    ctx: &Context,
    server: &Server,
    log: Log,
    part: &Path,
    base: Option<PreviousDump>,
) -> Result<ReplicaCopy> {
    let target = log.last.ok_or_else(|| Error::new(Kind::SourceRefused, "the server's log is empty"))?;
    let (intake, begun) = {
        let (ctx, log_id, part) = (ctx.clone(), log.id.clone(), part.to_owned());
        let twice = !server.is_encrypted();
        on_thread(move || begin(&ctx, &log_id, (target, twice), &part, base)).await?
    };
    let mut puller = FramePuller { ctx, server, log, part, intake: Some(intake), begun, flow: FrameKind::Log };
    let outcome = puller.run().await;
    if outcome.is_err()
        && let Some(mut intake) = puller.intake.take()
    {
        // The reason of the failure is the better message than one of this.
        intake.record().ok();
    }
    outcome
}

fn begin(
    ctx: &Context,
    log_id: &str,
    (target, twice): (u64, bool),
    part: &Path,
    base: Option<PreviousDump>,
) -> Result<(FrameApplier, CopyBase)> {
    let fits = |position: &LogPosition| position.log_id == log_id && position.frame <= target;
    let found = ResumeState::<LogPosition>::load(part, DumpMethod::Replica);
    let base = base.filter(|base| fits(&base.position));
    let known = base.as_ref().map(|base| base.position.frame);
    let usable = found.filter(|found| fits(&found.place) && Some(found.place.frame) >= known);
    let taken = match (usable, base) {
        (Some(unfinished), _) => {
            let begun = CopyBase::Interrupted(unfinished.place.frame + 1);
            FrameApplier::resume(ctx, part, &unfinished.place, &unfinished.pages).map(|intake| (intake, begun)).ok()
        }
        (None, Some(base)) => Some(copy_base(ctx, part, &base)?),
        (None, None) => None,
    };
    let (mut intake, begun) = match taken {
        Some(taken) => taken,
        None => {
            super::remove_part(part)?;
            (FrameApplier::begin(ctx, part, log_id)?, CopyBase::Zero)
        }
    };
    intake.aim(target, twice);
    announce(ctx, &intake);
    Ok((intake, begun))
}

fn copy_base(ctx: &Context, part: &Path, base: &PreviousDump) -> Result<(FrameApplier, CopyBase)> {
    super::remove_part(part)?;
    let bytes =
        file_access::copy(&base.file, part).map_err(|cause| Error::io(Kind::ArtifactIo, "copying to", part, &cause))?;
    let pages = bytes / PAGE_BYTES as u64;
    let mut intake = FrameApplier::resume(ctx, part, &base.position, &[(0, pages)])?;
    intake.record()?;
    Ok((intake, CopyBase::Dump(base.position.frame + 1)))
}

fn announce(ctx: &Context, intake: &FrameApplier) {
    let frames = (intake.target() + 1).saturating_sub(intake.from());
    let steps = Some(frames / frame_applier::STEP_FRAMES);
    ctx.out.emit(&Event::PhaseStarted { stage: Stage::Dump, phase: frame_applier::PHASE, steps });
}

struct FramePuller<'a> {
    ctx: &'a Context,
    server: &'a Server,
    log: Log,
    part: &'a Path,
    /// Absent only while a thread has it.
    intake: Option<FrameApplier>,
    begun: CopyBase,
    flow: FrameKind,
}

impl FramePuller<'_> {
    async fn run(&mut self) -> Result<ReplicaCopy> {
        let (mut setbacks, mut restarts, mut looks) = (0, 0, 0);
        let mut reached = self.intake()?.from();
        loop {
            let outcome = self.fetch().await?;
            // A snapshot that breaks off begins anew, however much of it came: it is no step forward.
            let now = self.intake()?.from();
            if now > reached {
                (reached, setbacks) = (now, 0);
            }
            let failure = match outcome {
                ApplyOutcome::Complete => return self.finish().await,
                ApplyOutcome::Snapshot => {
                    (self.flow, looks) = (FrameKind::Log, 0);
                    continue;
                }
                ApplyOutcome::Again => {
                    looks += 1;
                    if looks < TRIES {
                        continue;
                    }
                    Error::new(Kind::SourceTruncated, "the server returned a different snapshot on each attempt")
                }
                ApplyOutcome::Ended(status) if replication::needs_snapshot(&status) && self.flow == FrameKind::Log => {
                    self.flow = FrameKind::Snapshot;
                    setbacks += 1;
                    if setbacks < WAITS {
                        if setbacks > 1 {
                            let doing = "the server is making a snapshot of its log";
                            self.server.wait(doing, setbacks).await?;
                        }
                        continue;
                    }
                    Error::new(Kind::SourceTruncated, "the server has neither the log nor a snapshot of it")
                }
                ApplyOutcome::Ended(status) if status.code == 0 || replication::is_passing(&status) => {
                    Error::new(Kind::SourceTruncated, "the server ended its log before the last commit")
                }
                ApplyOutcome::Ended(status) => return Err(self.server.grpc_failed(&status)),
                ApplyOutcome::Broken(why) => Error::new(Kind::SourceTruncated, format!("{why} before the last commit")),
                ApplyOutcome::OtherLog(why) => {
                    restarts += 1;
                    self.restart(why, restarts).await?;
                    (reached, setbacks) = (0, 0);
                    continue;
                }
            };
            setbacks += 1;
            if setbacks >= TRIES {
                return Err(failure.with_hint("what came is kept; `turso2neon dump` goes on from there"));
            }
            self.server.wait(failure.message(), setbacks + 1).await?;
            if let Some(why) = self.greet_again().await? {
                restarts += 1;
                self.restart(why, restarts).await?;
                (reached, setbacks) = (0, 0);
            }
        }
    }

    fn intake(&mut self) -> Result<&mut FrameApplier> {
        self.intake.as_mut().ok_or_else(|| Error::new(Kind::Bug, "the reader of the log stopped"))
    }

    /// Asks for frames once, and takes what comes.
    async fn fetch(&mut self) -> Result<ApplyOutcome> {
        let from = self.intake()?.from();
        let (pump, reader) = match self.server.frames(&self.log, self.flow, from).await? {
            FramesResponse::Coming(pump, reader) => (pump, reader),
            FramesResponse::Refused(status) => return Ok(ApplyOutcome::Ended(status)),
        };
        let (mut intake, flow) = (self.intake.take(), self.flow);
        let taking = tokio::task::spawn_blocking(move || {
            let outcome = match intake.as_mut() {
                Some(intake) => intake.take(reader, flow),
                None => Err(Error::new(Kind::Bug, "the reader of the log is gone")),
            };
            (intake, outcome)
        });
        let ending = pump.run().await;
        let (intake, outcome) = taking.await.map_err(|_| Error::new(Kind::Bug, "the reader of the log stopped"))?;
        self.intake = intake;
        match (ending?, outcome?) {
            (CursorEnd::Silent, ApplyOutcome::Broken(_)) => {
                Ok(ApplyOutcome::Broken("the server said nothing for 60 s"))
            }
            (_, outcome) => Ok(outcome),
        }
    }

    /// Greets the server anew, for its session or its log may be another one; if it is another log, says so.
    async fn greet_again(&mut self) -> Result<Option<&'static str>> {
        self.flow = FrameKind::Log;
        self.log = match self.server.hello().await? {
            Greeting::Log(log) => log,
            Greeting::NotOffered(why) => {
                return Err(Error::new(Kind::SourceChanged, format!("the server no longer offers its log: {why}")));
            }
        };
        let (bytes, id, last) = (self.log.received_bytes, self.log.id.clone(), self.log.last);
        let intake = self.intake()?;
        intake.count_bytes(bytes);
        intake.prove_again();
        if intake.log_id() != id {
            return Ok(Some("the server has another log"));
        }
        Ok((last < Some(intake.target())).then_some("the server's log is shorter than it was"))
    }

    /// Begins from the first frame of the log that is there now.
    async fn restart(&mut self, why: &str, restarts: u32) -> Result<()> {
        if restarts > RESTARTS {
            return Err(Error::new(Kind::SourceChanged, format!("{why}, again and again")));
        }
        self.ctx.out.warn(format!("{why}: everything is read again from the beginning"));
        self.greet_again().await?;
        let target = self.log.last;
        let target = target.ok_or_else(|| Error::new(Kind::SourceChanged, "the server's log is empty now"))?;
        super::remove_part(self.part)?;
        let received = self.intake()?.counters().received_bytes;
        let mut intake = FrameApplier::begin(self.ctx, self.part, &self.log.id)?;
        intake.count_bytes(received);
        intake.aim(target, !self.server.is_encrypted());
        announce(self.ctx, &intake);
        (self.intake, self.begun) = (Some(intake), CopyBase::Zero);
        Ok(())
    }

    async fn finish(&mut self) -> Result<ReplicaCopy> {
        let bug = || Error::new(Kind::Bug, "a finished copy has no position");
        let mut intake = self.intake.take().ok_or_else(bug)?;
        let (begun, part, twice) = (self.begun, self.part.to_owned(), !self.server.is_encrypted());
        on_thread(move || {
            intake.record()?;
            let (position, counters) = (intake.position().ok_or_else(bug)?, intake.counters());
            match intake.finish() {
                Ok(pages) => Ok(ReplicaCopy { position, pages, counters, begun, twice }),
                Err(error) => {
                    // It is complete and yet not right: nobody can go on from it.
                    resume_state::forget(&part)?;
                    Err(error)
                }
            }
        })
        .await
    }
}

impl ReplicaCopy {
    /// What proves that the copy is one snapshot and complete, as sentences.
    pub(super) fn proof(&self) -> Vec<String> {
        let FrameCounters { frames, snapshots, .. } = self.counters;
        let mut proof = vec![format!(
            "the pages are those of the commit that ends with frame {} of the server's replication log {}: all {} \
             pages are there, and the running checksum (CRC-64) of each log frame continues that of the one before",
            self.position.frame, self.position.log_id, self.pages
        )];
        if snapshots > 0 {
            let how = if self.twice { "twice the same, for there was no TLS" } else { "over TLS" };
            proof.push(format!("what the log no longer holds came in {snapshots} snapshots, each to its end, {how}"));
        }
        match self.begun {
            CopyBase::Zero => {}
            CopyBase::Interrupted(frame) => proof.push(format!(
                "an interrupted dump was continued at frame {frame} with {}; the frame before it was the same still",
                human_format::counted(frames, "new page", "new pages")
            )),
            CopyBase::Dump(frame) => proof.push(format!(
                "the dump before was brought up to date from frame {frame} with {}; the frame before it was the same \
                 still",
                human_format::counted(frames, "new page", "new pages")
            )),
        }
        proof
    }
}
