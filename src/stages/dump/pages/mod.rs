//! Method `pages`: the pages of a Turso database at one revision, by `/pull-updates`.
//!
//! The first answer names the revision; what is missing after a cut is asked for page by page at that very revision.
//! If the server gives another one, all is read again: two revisions are never spliced. A finished copy is brought up
//! to date by the pages that changed since its revision, which come in one answer or not at all. Nothing in the
//! protocol proves a page's bytes: TLS does, and without TLS each page is asked for twice ([`reverify`]).

mod incremental;

mod reverify;

mod full_pull;

use std::path::{Path, PathBuf};

use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};

use self::{
    full_pull::{FullPull, PullRead, ReadOutcome, read_whole},
    incremental::{IncrementalOutcome, read_changes},
    reverify::ReverifyOutcome,
};
use super::{
    on_thread,
    resume_state::{self, ResumeState},
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    event::Event,
    model::{Stage, consistency_mark::ConsistencyMark, dump_method::DumpMethod, human_format},
    source::{
        hrana_cursor::CursorEnd,
        http::Server,
        page_assembler::PageFile,
        pull_updates::{PageSelection, Updates},
    },
};

/// How often the reading is taken up again without a page in between.
const TRIES: u32 = 5;

/// How often all is read again because the revision is gone.
const RESTARTS: u32 = 3;

/// A revision of a database; revisions of different databases can't be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Revision {
    /// The server's address.
    pub(super) source: String,
    /// Its word for the revision.
    pub(super) name: String,
    /// Size of the database in pages.
    pub(super) pages: u64,
}

impl Revision {
    /// What a checkpoint keeps; the address is kept beside it.
    pub(super) fn mark(&self) -> ConsistencyMark {
        ConsistencyMark::PageRevision { name: self.name.clone(), pages: self.pages }
    }
}

/// The dump before, made by this method from the same server.
pub(super) struct PreviousDump {
    pub(super) revision: Revision,
    pub(super) file: PathBuf,
}

/// What asking for pages comes to.
pub(super) enum PullOutcome {
    /// A complete copy in the part file.
    Copied(PageCopy),
    /// The dump before is of the server's newest revision.
    Unchanged {
        /// Bytes that it took to know.
        received_bytes: u64,
    },
    /// The server doesn't lend this database's pages, and why.
    NotOffered(String),
}

/// A complete copy in the part file.
pub(super) struct PageCopy {
    pub(super) revision: Revision,
    pub(super) received_bytes: u64,
    received_pages: u64,
    begun: CopyBase,
    /// What asking for each page a second time came to; none where TLS proves them.
    confirmed: Option<ReverifyOutcome>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CopyBase {
    Zero,
    Interrupted,
    Dump,
}

/// Brings the part file to one revision: that of an interrupted copy, or the newest.
///
/// # Errors
/// `Source*` kinds, `ArtifactIo`, `Interrupted`. Of a whole copy, what came is kept for the next time.
pub(super) async fn pull(
    ctx: &Context,
    server: &Server,
    source: &str,
    part: &Path,
    base: Option<PreviousDump>,
) -> Result<PullOutcome> {
    let mut puller = PagePuller { ctx, server, source, part, encrypted: server.is_encrypted(), received_bytes: 0 };
    if let Some(unfinished) =
        ResumeState::<Revision>::load(part, DumpMethod::Pages).filter(|found| found.place.source == source)
        && let Ok(file) = PageFile::reopen(part, &unfinished.pages)
        && puller.is_still_there(&unfinished.place, part, &unfinished.pages).await?
    {
        return puller.whole(Some(FullPull::resume(ctx, part, file, unfinished.place))).await;
    }
    if let Some(base) = base
        && puller.is_still_there(&base.revision, &base.file, &[(0, base.revision.pages)]).await?
    {
        for attempt in 1..TRIES {
            match puller.changes(&base).await? {
                ChangesAnswer::Known(outcome) => return Ok(outcome),
                ChangesAnswer::All(why) => {
                    ctx.out.info(format!("{why}: all pages are read"));
                    break;
                }
                ChangesAnswer::Again(why) => server.wait(why, attempt + 1).await?,
            }
        }
    }
    puller.whole(None).await
}

/// Whether the server's newest revision is this one. Small, unless it has gone on.
pub(super) async fn is_newest(server: &Server, revision: &Revision) -> Result<bool> {
    let wanted = PageSelection::Since(revision.name.clone());
    let Updates::Coming(pump, mut reader) = server.pull_updates(&wanted).await? else { return Ok(false) };
    let name = revision.name.clone();
    let looking = tokio::task::spawn_blocking(move || {
        reader.opening().is_ok_and(|opening| opening.revision == name) && matches!(reader.next_page(), Ok(None))
    });
    pump.run().await?;
    looking.await.map_err(|_| Error::new(Kind::Bug, "the reader of the pages stopped"))
}

struct PagePuller<'a> {
    ctx: &'a Context,
    server: &'a Server,
    source: &'a str,
    part: &'a Path,
    encrypted: bool,
    received_bytes: u64,
}

/// What asking for all pages comes to.
enum PagesAnswer {
    Read(Box<PullRead>, CursorEnd),
    /// The server refuses, and why; and whether it was asked for a revision of its past.
    Refused(String, bool),
}

/// What asking for changes comes to.
enum ChangesAnswer {
    Known(PullOutcome),
    /// They can't be had or used, and why.
    All(&'static str),
    Again(&'static str),
}

impl PagePuller<'_> {
    /// Reads all pages of one revision, however often it takes.
    async fn whole(&mut self, mut filling: Option<FullPull>) -> Result<PullOutcome> {
        let begun = if filling.is_some() { CopyBase::Interrupted } else { CopyBase::Zero };
        let (mut begun, mut setbacks, mut restarts) = (begun, 0, 0);
        loop {
            let before = filling.as_ref().map_or(0, |filling| filling.received_pages);
            let (read, ending) = match self.read_once(filling.take()).await? {
                PagesAnswer::Read(read, ending) => (*read, ending),
                PagesAnswer::Refused(why, false) => return Ok(PullOutcome::NotOffered(why)),
                PagesAnswer::Refused(_, true) => {
                    // A revision that is gone need not be told from a path that isn't there.
                    begun = self.restart("the server no longer has the revision that was begun", &mut restarts)?;
                    continue;
                }
            };
            filling = read.filling;
            if let Some(filling) = &mut filling
                && !matches!(read.outcome, Ok(ReadOutcome::Whole))
            {
                filling.record()?;
            }
            let why = match (ending, read.outcome?) {
                (_, ReadOutcome::Whole) => match self.confirm_whole(filling.as_ref()).await? {
                    Some(ReverifyOutcome::Different) => {
                        begun = self.restart("a page came in two forms, one of them damaged", &mut restarts)?;
                        filling = None;
                        continue;
                    }
                    confirmed => return self.finish(filling, begun, confirmed).await,
                },
                (_, ReadOutcome::OtherForm(why)) => {
                    super::remove_part(self.part)?;
                    return Ok(PullOutcome::NotOffered(why.to_owned()));
                }
                (_, ReadOutcome::OtherRevision) => {
                    begun = self.restart("the server no longer has the revision that was begun", &mut restarts)?;
                    filling = None;
                    continue;
                }
                (CursorEnd::Silent, ReadOutcome::Short(_)) => "the server said nothing for 60 s",
                (_, ReadOutcome::Short(why)) => why,
            };
            let now = filling.as_ref().map_or(0, |filling| filling.received_pages);
            setbacks = if now > before { 1 } else { setbacks + 1 };
            if setbacks >= TRIES {
                return Err(Error::new(Kind::SourceTruncated, format!("{why} before the last page"))
                    .with_hint("what came is kept; `turso2neon dump` goes on from there"));
            }
            self.server.wait(why, setbacks + 1).await?;
        }
    }

    /// Asks for all pages, or for those that are missing, and takes what comes.
    async fn read_once(&mut self, filling: Option<FullPull>) -> Result<PagesAnswer> {
        let missing = filling.as_ref().map(|filling| (filling.revision.name.clone(), filling.missing()));
        let wanted = match missing {
            Some((_, missing)) if missing.is_empty() => {
                let read = PullRead { filling, outcome: Ok(ReadOutcome::Whole), received_bytes: 0 };
                return Ok(PagesAnswer::Read(Box::new(read), CursorEnd::Closed));
            }
            Some((name, missing)) => PageSelection::Some(name, missing),
            None => PageSelection::All,
        };
        let (pump, reader) = match self.server.pull_updates(&wanted).await? {
            Updates::Coming(pump, reader) => (pump, reader),
            Updates::NotOffered(why) => return Ok(PagesAnswer::Refused(why, filling.is_some())),
        };
        let reading = {
            let (ctx, part, source) = (self.ctx.clone(), self.part.to_owned(), self.source.to_owned());
            tokio::task::spawn_blocking(move || read_whole(&ctx, &part, source, filling, reader))
        };
        let ending = pump.run().await;
        let mut read = reading.await.map_err(|_| Error::new(Kind::Bug, "the reader of the pages stopped"))?;
        self.received_bytes += read.received_bytes;
        match ending {
            Ok(ending) => Ok(PagesAnswer::Read(Box::new(read), ending)),
            Err(error) => {
                if let Some(filling) = &mut read.filling {
                    filling.record()?;
                }
                Err(error)
            }
        }
    }

    /// Throws away what came, for another try from the beginning.
    fn restart(&self, why: &str, restarts: &mut u32) -> Result<CopyBase> {
        *restarts += 1;
        super::remove_part(self.part)?;
        if *restarts > RESTARTS {
            return Err(Error::new(Kind::SourceChanged, format!("{why}, again and again")));
        }
        self.ctx.out.warn(format!("{why}: all is read again"));
        Ok(CopyBase::Zero)
    }

    /// Asks for all pages a second time where nothing else proves them; none where TLS does.
    async fn confirm_whole(&mut self, filling: Option<&FullPull>) -> Result<Option<ReverifyOutcome>> {
        let Some(filling) = filling.filter(|_| !self.encrypted) else { return Ok(None) };
        self.second(&filling.revision.name, filling.present()).await.map(Some)
    }

    async fn second(&mut self, name: &str, pages: RoaringBitmap) -> Result<ReverifyOutcome> {
        self.ctx.out.emit(&Event::PhaseStarted { stage: Stage::Dump, phase: "second look", steps: None });
        let part = self.part.to_owned();
        self.confirm(name, &part, pages).await
    }

    async fn finish(
        &self,
        filling: Option<FullPull>,
        begun: CopyBase,
        confirmed: Option<ReverifyOutcome>,
    ) -> Result<PullOutcome> {
        let filling = filling.ok_or_else(|| Error::new(Kind::Bug, "a finished copy has no file"))?;
        let (received_bytes, part) = (self.received_bytes, self.part.to_owned());
        on_thread(move || {
            let (revision, received_pages) = (filling.revision.clone(), filling.received_pages);
            if let Err(error) = filling.finish() {
                // It is complete and yet not right: nobody can go on from it.
                resume_state::forget(&part)?;
                return Err(error);
            }
            Ok(PullOutcome::Copied(PageCopy { revision, received_bytes, received_pages, begun, confirmed }))
        })
        .await
    }

    /// Asks what changed since the dump before, and applies it to a copy of that.
    async fn changes(&mut self, base: &PreviousDump) -> Result<ChangesAnswer> {
        let wanted = PageSelection::Since(base.revision.name.clone());
        let (pump, reader) = match self.server.pull_updates(&wanted).await? {
            Updates::Coming(pump, reader) => (pump, reader),
            Updates::NotOffered(_) => return Ok(ChangesAnswer::All("the server knows nothing of the dump's revision")),
        };
        let reading = {
            let (part, file, revision) = (self.part.to_owned(), base.file.clone(), base.revision.clone());
            tokio::task::spawn_blocking(move || read_changes(&part, &file, &revision, reader))
        };
        let ending = pump.run().await?;
        let (changes, received_bytes) =
            reading.await.map_err(|_| Error::new(Kind::Bug, "the reader of the pages stopped"))?;
        self.received_bytes += received_bytes;
        Ok(match (changes?, ending) {
            (IncrementalOutcome::Nothing, CursorEnd::Closed) => {
                ChangesAnswer::Known(PullOutcome::Unchanged { received_bytes: self.received_bytes })
            }
            (IncrementalOutcome::To(revision, received), CursorEnd::Closed) => {
                let received_pages = received.len();
                let confirmed = if self.encrypted { None } else { Some(self.second(&revision.name, received).await?) };
                if confirmed == Some(ReverifyOutcome::Different) {
                    return Ok(ChangesAnswer::Again("a page came in two forms, one of them damaged"));
                }
                let received_bytes = self.received_bytes;
                let copied = PageCopy { revision, received_bytes, received_pages, begun: CopyBase::Dump, confirmed };
                ChangesAnswer::Known(PullOutcome::Copied(copied))
            }
            (IncrementalOutcome::Nothing | IncrementalOutcome::To(..) | IncrementalOutcome::Short, _) => {
                ChangesAnswer::Again("the changes broke off")
            }
            (IncrementalOutcome::Unusable(why), _) => ChangesAnswer::All(why),
        })
    }
}

fn beyond() -> Error {
    Error::new(Kind::SourceRefused, "the server sent a page beyond the end of its database")
}

impl PageCopy {
    /// What proves that the copy is one snapshot and complete, as sentences.
    pub(super) fn proof(&self) -> Vec<String> {
        let mut proof = vec![format!(
            "all {} pages are those of the server's one revision {}",
            self.revision.pages, self.revision.name
        )];
        let pages = human_format::counted(self.received_pages, "page", "pages");
        match self.begun {
            CopyBase::Zero => {}
            CopyBase::Interrupted => {
                proof.push(format!("an interrupted dump of that revision was continued with {pages}"));
            }
            CopyBase::Dump => proof.push(format!("the dump before was brought up to date with {pages} in one answer")),
        }
        proof.push(match self.confirmed {
            None => "they came over TLS, which lets no byte change on its way".to_owned(),
            Some(ReverifyOutcome::Same) => "they came twice, the same byte for byte".to_owned(),
            Some(_) => "the server had no second look at that revision to give; without TLS, only the checks of the \
                        file itself speak for its bytes"
                .to_owned(),
        });
        proof
    }
}
