//! Method `pages`: the pages of a Turso database at one revision, by `/pull-updates`.
//!
//! The first answer names the revision; what is missing after a cut is asked for page by page at that very revision.
//! If the server gives another one, all is read again: two revisions are never spliced. A finished copy is brought up
//! to date by the pages that changed since its revision, which come in one answer or not at all.

mod changes;

mod sample;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use self::{
    changes::{Changed, read_changes},
    sample::{compare, sample},
};
use super::{on_thread, unfinished::Unfinished};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    event::Event,
    model::{Stage, units},
    source::{
        cursor::Ending,
        http::{self, Server},
        page_file::{PAGE_BYTES, PageFile, Run},
        page_updates::{Fault, Opening, Reader, Updates, Wanted},
    },
};

/// The method's name.
pub(super) const METHOD: &str = "pages";

/// The phase's name; a step is [`STEP_PAGES`] pages, a mebibyte.
const PHASE: &str = "MiB of pages";
const STEP_PAGES: u64 = (1 << 20) / PAGE_BYTES as u64;

/// How often the reading is taken up again without a page in between.
const TRIES: u32 = 5;

/// How often all is read again because the revision is gone.
const RESTARTS: u32 = 3;

/// Pages and time between two records of how far it is, at least: each waits for the disk.
const RECORD_PAGES_MIN: u64 = 64;
const RECORD_EVERY: Duration = Duration::from_millis(500);

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
    /// The text that a checkpoint keeps; the address is kept beside it.
    pub(super) fn mark(&self) -> String {
        format!("page revision {} of {} pages", self.name, self.pages)
    }

    /// Reads the text back; none if it speaks of something else.
    pub(super) fn from_mark(source: &str, mark: &str) -> Option<Self> {
        let words: Vec<&str> = mark.split(' ').collect();
        let ["page", "revision", name, "of", pages, "pages"] = words[..] else { return None };
        Some(Self { source: source.to_owned(), name: name.to_owned(), pages: pages.parse().ok()? })
    }
}

/// The dump before, made by this method from the same server.
pub(super) struct Base {
    pub(super) revision: Revision,
    pub(super) file: PathBuf,
}

/// What asking for pages comes to.
pub(super) enum Pulled {
    /// A complete copy in the part file.
    Copied(Copied),
    /// The dump before is of the server's newest revision.
    Unchanged {
        /// Bytes that it took to know.
        received_bytes: u64,
    },
    /// The server doesn't lend this database's pages, and why.
    NotOffered(String),
}

/// A complete copy in the part file.
pub(super) struct Copied {
    pub(super) revision: Revision,
    pub(super) received_bytes: u64,
    received_pages: u64,
    begun: Begun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begun {
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
    base: Option<Base>,
) -> Result<Pulled> {
    let mut puller = Puller { ctx, server, source, part, received_bytes: 0 };
    if let Some(unfinished) = Unfinished::<Revision>::load(part, METHOD).filter(|found| found.place.source == source)
        && let Ok(file) = PageFile::reopen(part, &unfinished.pages)
        && puller.is_still_there(&unfinished.place, part, &unfinished.pages).await?
    {
        return puller.whole(Some(Filling::resume(ctx, part, file, unfinished.place))).await;
    }
    if let Some(base) = base
        && puller.is_still_there(&base.revision, &base.file, &[(0, base.revision.pages)]).await?
    {
        for attempt in 1..TRIES {
            match puller.changes(&base).await? {
                Changes::Known(outcome) => return Ok(outcome),
                Changes::All(why) => {
                    ctx.out.info(format!("{why}: all pages are read"));
                    break;
                }
                Changes::Again(why) => server.pause(why, attempt + 1, http::backoff(attempt)).await?,
            }
        }
    }
    puller.whole(None).await
}

struct Puller<'a> {
    ctx: &'a Context,
    server: &'a Server,
    source: &'a str,
    part: &'a Path,
    received_bytes: u64,
}

/// What asking for changes comes to.
enum Changes {
    Known(Pulled),
    /// They can't be had or used, and why.
    All(&'static str),
    Again(&'static str),
}

/// What reading one answer comes to.
enum Outcome {
    Whole,
    /// It ended, or broke off, before the last page.
    Short(&'static str),
    /// It is of another revision than the one asked for.
    OtherRevision,
    OtherForm(&'static str),
}

impl Puller<'_> {
    /// Whether a revision is still what it was, by a few of its pages.
    ///
    /// A name with a generation in it can't come again. A bare number can, of another database in the same place.
    async fn is_still_there(&mut self, revision: &Revision, file: &Path, pages: &[Run]) -> Result<bool> {
        if !revision.name.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(true);
        }
        let sample = sample(pages);
        if sample.is_empty() {
            return Ok(false);
        }
        let wanted = Wanted::Some(revision.name.clone(), sample.iter().map(|page| *page..page + 1).collect());
        let (pump, reader) = match self.server.pull_updates(&wanted).await? {
            Updates::Coming(pump, reader) => (pump, reader),
            Updates::NotOffered(_) => return Ok(false),
        };
        let comparing = {
            let (name, file) = (revision.name.clone(), file.to_owned());
            tokio::task::spawn_blocking(move || compare(&name, &file, &sample, reader))
        };
        pump.run().await?;
        let compared = comparing.await.map_err(|_| Error::new(Kind::Bug, "the reader of the pages stopped"))?;
        let (same, received_bytes) = compared;
        self.received_bytes += received_bytes;
        if !same {
            self.ctx.out.info("the server no longer has the revision that was read before: all pages are read");
        }
        Ok(same)
    }

    /// Reads all pages of one revision, however often it takes.
    async fn whole(&mut self, mut filling: Option<Filling>) -> Result<Pulled> {
        let begun = if filling.is_some() { Begun::Interrupted } else { Begun::Zero };
        let (mut begun, mut setbacks, mut restarts) = (begun, 0, 0);
        loop {
            let before = filling.as_ref().map_or(0, |filling| filling.received_pages);
            let wanted = match &filling {
                Some(filling) => Wanted::Some(filling.revision.name.clone(), filling.missing()),
                None => Wanted::All,
            };
            let (pump, reader) = match self.server.pull_updates(&wanted).await? {
                Updates::Coming(pump, reader) => (pump, reader),
                Updates::NotOffered(_) if filling.is_some() => {
                    // A revision that is gone need not be told from a path that isn't there.
                    (filling, begun) = (None, Begun::Zero);
                    restarts += 1;
                    if restarts > RESTARTS {
                        return Err(Error::new(Kind::SourceChanged, "the server's revision is gone, again and again"));
                    }
                    super::remove_part(self.part)?;
                    continue;
                }
                Updates::NotOffered(why) => return Ok(Pulled::NotOffered(why)),
            };
            let reading = {
                let (ctx, part, source) = (self.ctx.clone(), self.part.to_owned(), self.source.to_owned());
                tokio::task::spawn_blocking(move || read_whole(&ctx, &part, source, filling, reader))
            };
            let ending = pump.run().await;
            let read = reading.await.map_err(|_| Error::new(Kind::Bug, "the reader of the pages stopped"))?;
            self.received_bytes += read.received_bytes;
            filling = read.filling;
            if let Some(filling) = &mut filling
                && !matches!(read.outcome, Ok(Outcome::Whole))
            {
                filling.record()?;
            }
            let why = match (ending?, read.outcome?) {
                (_, Outcome::Whole) => return self.finish(filling, begun).await,
                (_, Outcome::OtherForm(why)) => {
                    super::remove_part(self.part)?;
                    return Ok(Pulled::NotOffered(why.to_owned()));
                }
                (_, Outcome::OtherRevision) => {
                    restarts += 1;
                    if restarts > RESTARTS {
                        return Err(Error::new(Kind::SourceChanged, "the server's revision changes again and again"));
                    }
                    self.ctx.out.warn("the server no longer has the revision that was begun: all is read again");
                    super::remove_part(self.part)?;
                    (filling, begun) = (None, Begun::Zero);
                    continue;
                }
                (Ending::Silent, Outcome::Short(_)) => "the server said nothing for 60 s",
                (_, Outcome::Short(why)) => why,
            };
            let now = filling.as_ref().map_or(0, |filling| filling.received_pages);
            setbacks = if now > before { 1 } else { setbacks + 1 };
            if setbacks >= TRIES {
                return Err(Error::new(Kind::SourceTruncated, format!("{why} before the last page"))
                    .with_hint("what came is kept; `turso2neon dump` goes on from there"));
            }
            self.server.pause(why, setbacks + 1, http::backoff(setbacks)).await?;
        }
    }

    async fn finish(&self, filling: Option<Filling>, begun: Begun) -> Result<Pulled> {
        let filling = filling.ok_or_else(|| Error::new(Kind::Bug, "a finished copy has no file"))?;
        let received_bytes = self.received_bytes;
        on_thread(move || {
            let (revision, received_pages) = (filling.revision.clone(), filling.received_pages);
            filling.file.finish(revision.pages)?;
            Ok(Pulled::Copied(Copied { revision, received_bytes, received_pages, begun }))
        })
        .await
    }

    /// Asks what changed since the dump before, and applies it to a copy of that.
    async fn changes(&mut self, base: &Base) -> Result<Changes> {
        let wanted = Wanted::Since(base.revision.name.clone());
        let (pump, reader) = match self.server.pull_updates(&wanted).await? {
            Updates::Coming(pump, reader) => (pump, reader),
            Updates::NotOffered(_) => return Ok(Changes::All("the server knows nothing of the dump's revision")),
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
            (Changed::Nothing, Ending::Closed) => {
                Changes::Known(Pulled::Unchanged { received_bytes: self.received_bytes })
            }
            (Changed::To(revision, received_pages), Ending::Closed) => Changes::Known(Pulled::Copied(Copied {
                revision,
                received_bytes: self.received_bytes,
                received_pages,
                begun: Begun::Dump,
            })),
            (Changed::Nothing | Changed::To(..) | Changed::Short, _) => Changes::Again("the changes broke off"),
            (Changed::Unusable(why), _) => Changes::All(why),
        })
    }
}

/// A copy in the making, of all pages.
struct Filling {
    ctx: Context,
    part: PathBuf,
    file: PageFile,
    revision: Revision,
    received_pages: u64,
    recorded: Instant,
    pages_recorded: u64,
}

struct Read {
    filling: Option<Filling>,
    outcome: Result<Outcome>,
    received_bytes: u64,
}

fn read_whole(ctx: &Context, part: &Path, source: String, mut filling: Option<Filling>, mut reader: Reader) -> Read {
    let outcome = take_whole(ctx, part, source, &mut filling, &mut reader);
    Read { filling, outcome, received_bytes: reader.received_bytes() }
}

fn take_whole(
    ctx: &Context,
    part: &Path,
    source: String,
    filling: &mut Option<Filling>,
    reader: &mut Reader,
) -> Result<Outcome> {
    const CUT: &str = "the connection was cut";
    let opening = match reader.opening() {
        Ok(opening) => opening,
        Err(Fault::Cut) => return Ok(Outcome::Short(CUT)),
        Err(Fault::OtherForm(why)) => return Ok(Outcome::OtherForm(why)),
        Err(Fault::Refused(error)) => return Err(error),
    };
    let filling = match filling {
        Some(filling) if filling.revision.name != opening.revision || filling.revision.pages != opening.pages => {
            return Ok(Outcome::OtherRevision);
        }
        Some(filling) => filling,
        None => filling.insert(Filling::begin(ctx, part, source, opening)?),
    };
    loop {
        match reader.next_page() {
            Ok(Some(page)) if page.index == 0 && page.bytes.get(18..20) == Some(&[0xff, 0xff]) => {
                return Ok(Outcome::OtherForm("it is an MVCC database, whose pages are not the whole of it"));
            }
            Ok(Some(page)) => filling.take(page.index, &page.bytes)?,
            Ok(None) if filling.file.first_missing(filling.revision.pages).is_none() => return Ok(Outcome::Whole),
            Ok(None) => return Ok(Outcome::Short("the server ended its answer")),
            Err(Fault::Cut) => return Ok(Outcome::Short(CUT)),
            Err(Fault::OtherForm(why)) => return Ok(Outcome::OtherForm(why)),
            Err(Fault::Refused(error)) => return Err(error),
        }
    }
}

impl Filling {
    fn begin(ctx: &Context, part: &Path, source: String, opening: Opening) -> Result<Self> {
        super::remove_part(part)?;
        super::room::require(part, opening.pages.saturating_mul(PAGE_BYTES as u64))?;
        let revision = Revision { source, name: opening.revision, pages: opening.pages };
        let file = PageFile::create(part)?;
        Ok(Self::resume(ctx, part, file, revision))
    }

    fn resume(ctx: &Context, part: &Path, file: PageFile, revision: Revision) -> Self {
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

    fn missing(&self) -> Vec<std::ops::Range<u64>> {
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

    /// Remembers how far it is, for a later run.
    fn record(&mut self) -> Result<()> {
        self.pages_recorded = self.received_pages;
        Unfinished::new(METHOD, self.revision.clone(), self.file.settle()?).store(&self.part)?;
        self.recorded = Instant::now();
        Ok(())
    }
}

fn beyond() -> Error {
    Error::new(Kind::SourceRefused, "the server sent a page beyond the end of its database")
}

impl Copied {
    /// What proves that the copy is one snapshot and complete, as sentences.
    pub(super) fn proof(&self) -> Vec<String> {
        let mut proof = vec![format!(
            "all {} pages are those of the server's one revision {}",
            self.revision.pages, self.revision.name
        )];
        let pages = units::counted(self.received_pages, "page", "pages");
        match self.begun {
            Begun::Zero => {}
            Begun::Interrupted => {
                proof.push(format!("an interrupted dump of that revision was continued with {pages}"));
            }
            Begun::Dump => proof.push(format!("the dump before was brought up to date with {pages} in one answer")),
        }
        proof
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_and_another_methods_does_not() {
        let revision = Revision { source: "https://a.example".to_owned(), name: "g1:o0".to_owned(), pages: 77 };
        assert_eq!(Revision::from_mark("https://a.example", &revision.mark()), Some(revision));
        assert_eq!(Revision::from_mark("x", "replication_index 33"), None);
    }
}
