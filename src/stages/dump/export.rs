//! Method `export`: the file of a Turso database's generation, and the frames of its log since.
//!
//! The file is taken whole; frames count up to the last one that the server has when asked, which must end a
//! transaction. If the server has begun another generation meanwhile, all is read again. Not continued after an
//! interruption and not brought up to date by later frames: the protocol names neither a way to ask for the rest of the
//! file nor anything that tells another database of the same generation from this one, so all is read again.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::on_thread;
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    event::Event,
    model::Stage,
    source::{
        body_channel::BodyReceiver,
        export_client::{FrameBatch, GenerationEnd, Generations, LogFrame},
        hrana_cursor::CursorEnd,
        http::Server,
        page_assembler::{PAGE_BYTES, PageFile},
    },
};

/// The phase's name; a step is so many pages, a mebibyte.
const PHASE: &str = "MiB of pages";
const STEP_PAGES: u64 = (1 << 20) / PAGE_BYTES as u64;

/// How often everything is read.
const TRIES: u32 = 6;

/// A complete copy in the part file.
pub(super) struct Exported {
    generation: u64,
    frames: u64,
    pages: u64,
    /// Of the file and the frames as they came.
    sha256: [u8; 32],
    encrypted: bool,
    pub(super) received_bytes: u64,
}

/// What a try comes to.
enum ExportAttempt {
    Whole(Exported),
    Again(&'static str),
}

/// Copies the database, or says why the server doesn't lend it so.
///
/// # Errors
/// `Source*` kinds, `ArtifactIo`, `Interrupted`.
pub(super) async fn pull(ctx: &Context, server: &Server, part: &Path) -> Result<std::result::Result<Exported, String>> {
    let mut seen = None;
    for attempt in 1..=TRIES {
        let generation = match server.generation().await? {
            Generations::Present(generation) => generation,
            Generations::NotOffered(why) => return Ok(Err(why)),
        };
        match try_once(ctx, server, part, generation).await? {
            ExportAttempt::Whole(exported) if server.is_encrypted() => return Ok(Ok(exported)),
            // Nothing in the protocol proves a page's bytes: without TLS, all must come twice the same.
            ExportAttempt::Whole(exported) if seen == Some(exported.sha256) => return Ok(Ok(exported)),
            ExportAttempt::Whole(exported) if attempt < TRIES => seen = Some(exported.sha256),
            ExportAttempt::Whole(_) => {
                return Err(Error::new(Kind::SourceTruncated, "the server returned a different file on each attempt"));
            }
            ExportAttempt::Again(why) if attempt == TRIES => return Err(Error::new(Kind::SourceTruncated, why)),
            ExportAttempt::Again(why) => server.wait(why, attempt + 1).await?,
        }
    }
    Err(Error::new(Kind::Bug, "the tries of an export never end"))
}

async fn try_once(ctx: &Context, server: &Server, part: &Path, generation: u64) -> Result<ExportAttempt> {
    ctx.out.emit(&Event::PhaseStarted { stage: Stage::Dump, phase: PHASE, steps: None });
    let (pump, pieces) = server.export(generation).await?;
    let filling = {
        let (ctx, part) = (ctx.clone(), part.to_owned());
        tokio::task::spawn_blocking(move || fill(&ctx, &part, pieces))
    };
    let ending = pump.run().await;
    let filled = filling.await.map_err(|_| Error::new(Kind::Bug, "the reader of the export stopped"))?;
    match ending? {
        CursorEnd::Closed => {}
        CursorEnd::Silent => return Ok(ExportAttempt::Again("the server said nothing for 60 s")),
        CursorEnd::Cut => return Ok(ExportAttempt::Again("the connection was cut before the end of the file")),
        // The reader gave up, and says why.
        CursorEnd::Unwanted => {}
    }
    let Some((mut file, mut pages, mut received_bytes, mut digest)) = filled? else {
        return Ok(ExportAttempt::Again("the file doesn't end with a page"));
    };
    let (mut frames, mut inside) = (0, false);
    loop {
        match server.log_frames(generation, frames + 1).await? {
            FrameBatch::Frames(batch, bytes) => {
                received_bytes += bytes;
                frames += batch.len() as u64;
                for frame in &batch {
                    digest.update(frame.index.to_le_bytes());
                    digest.update(frame.size_after.to_le_bytes());
                    digest.update(&frame.page);
                }
                let highest = pages.saturating_add(frames);
                (file, pages, inside) = on_thread(move || apply(file, batch, pages, inside, highest)).await?;
            }
            FrameBatch::End(GenerationEnd { generation: present, .. }) if present != generation => {
                return Ok(ExportAttempt::Again("the server has begun another generation"));
            }
            FrameBatch::End(end) if end.max_frame_no != frames || inside => {
                return Ok(ExportAttempt::Again("the server's frames end inside a transaction"));
            }
            FrameBatch::End(_) => break,
        }
    }
    on_thread(move || file.finish(pages)).await?;
    let (sha256, encrypted) = (digest.finalize().into(), server.is_encrypted());
    Ok(ExportAttempt::Whole(Exported { generation, frames, pages, sha256, encrypted, received_bytes }))
}

/// The file, its pages, the bytes that came and their digest; none if it broke off inside a page.
fn fill(ctx: &Context, part: &Path, mut pieces: BodyReceiver) -> Result<Option<(PageFile, u64, u64, Sha256)>> {
    super::remove_part(part)?;
    let mut file = PageFile::create(part)?;
    let (mut buffer, mut pages, mut digest) = (bytes::BytesMut::new(), 0_u64, Sha256::new());
    while let Some(piece) = pieces.next_piece() {
        buffer.extend_from_slice(&piece);
        digest.update(&piece);
        while buffer.len() >= PAGE_BYTES {
            file.write(pages, &buffer.split_to(PAGE_BYTES))?;
            pages += 1;
            if pages.is_multiple_of(STEP_PAGES) {
                ctx.out.emit(&Event::Stepped { stage: Stage::Dump, phase: PHASE });
            }
        }
    }
    Ok((buffer.is_empty() && pages > 0).then_some((file, pages, pieces.received_bytes(), digest)))
}

/// Applies frames; gives the pages after the last transaction, and whether one is open.
fn apply(
    mut file: PageFile,
    batch: Vec<LogFrame>,
    mut pages: u64,
    mut inside: bool,
    highest: u64,
) -> Result<(PageFile, u64, bool)> {
    for frame in batch {
        if frame.index > highest {
            return Err(Error::new(Kind::SourceRefused, "the server's log names a page without a place"));
        }
        file.write(frame.index, &frame.page)?;
        inside = frame.size_after == 0;
        if !inside {
            pages = frame.size_after;
        }
    }
    Ok((file, pages, inside))
}

impl Exported {
    /// What proves that the copy is one snapshot and complete, as sentences.
    pub(super) fn proof(&self) -> Vec<String> {
        let how = if self.encrypted { "they came over TLS" } else { "they came twice, the same byte for byte" };
        vec![format!(
            "the file of generation {} and the {} frames of its log, to the last one that the server has, which ends a \
             transaction: {} pages, all there; {how}",
            self.generation, self.frames, self.pages
        )]
    }
}
