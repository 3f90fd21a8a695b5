//! Method `file`: a consistent copy of a SQLite file on this machine, write-ahead log included, whoever else writes.
//!
//! Invariant: the original and what lies beside it is only ever opened for reading. There are three ways, by what
//! lies beside the file:
//!
//! - *Read transaction*: the file has no write-ahead log. SQLite's backup copies it while a read lock is held.
//! - *Shared log*: there is a `-shm`, so another process is at work, or was. The backup reads through the index that
//!   is there, opened read-only.
//! - *Quiet files*: a log without `-shm` (nobody has the file open), or a journal that a crash left. SQLite would have
//!   to make files beside the original to read it; instead file and log are copied, accepted only if neither changed
//!   meanwhile, and recovered in the copy.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, backup};

use super::file_builder;
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    event::Event,
    file_access,
    model::Stage,
};

/// Pages that are copied between two looks at a cancellation request.
const PAGES_PER_STEP: i32 = 1024;

/// Bytes that are copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// How often a file that keeps changing is tried, and the pause in between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(200);

/// How long another process may keep the file locked.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// The name of the copying phase.
const PHASE: &str = "pages";

/// Copies the file at `source` to `part`, which must not exist; gives what proves that it is one snapshot.
///
/// # Errors
/// `SourceInvalid` for what isn't a SQLite file, `SourceChanged` if it never keeps still, `SourceUnreachable` if it
/// stays locked, `ArtifactIo`, `Interrupted`.
pub(super) fn copy(ctx: &Context, source: &Path, part: &Path) -> Result<String> {
    for _ in 0..TRIES {
        super::remove_part(part)?;
        let state = FileState::look(source)?;
        let files = [&state.database, &state.log, &state.journal].into_iter().flatten();
        super::disk_space::require(part, files.map(|stamp| stamp.bytes).sum())?;
        let proof = match state.way() {
            CopyStrategy::ReadTransaction => match copy_in_transaction(ctx, source, part, "mode=ro")? {
                // Reading would begin with rolling back what a crash left, and thus with writing.
                None if state.journal.is_some() => copy_quiet(ctx, source, part, &state),
                proof => Ok(proof),
            },
            CopyStrategy::SharedLog => copy_in_transaction(ctx, source, part, "mode=ro&readonly_shm=1"),
            CopyStrategy::QuietFiles => copy_quiet(ctx, source, part, &state),
        }?;
        if let Some(proof) = proof {
            return Ok(proof);
        }
        ctx.stop.check()?;
        std::thread::sleep(PAUSE);
    }
    Err(Error::new(Kind::SourceChanged, "the file was opened and changed again and again while it was copied"))
}

/// Opens the source as a file, following links.
///
/// # Errors
/// `SourceInvalid` if it isn't there or isn't a SQLite database.
pub(super) fn locate(given: &Path) -> Result<PathBuf> {
    let path = fs::canonicalize(given).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => Error::new(Kind::SourceInvalid, format!("there is no file {}", given.display())),
        _ => Error::io(Kind::SourceInvalid, "opening", given, &cause),
    })?;
    if !path.is_file() {
        return Err(Error::new(Kind::SourceInvalid, format!("{} is not a file", given.display())));
    }
    read_header(&path)?;
    Ok(path)
}

/// Which of the three ways fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CopyStrategy {
    ReadTransaction,
    SharedLog,
    QuietFiles,
}

/// The file and what lies beside it, so far as it matters.
#[derive(Debug, PartialEq, Eq)]
struct FileState {
    database: Option<FileStamp>,
    log: Option<FileStamp>,
    journal: Option<FileStamp>,
    has_index: bool,
    /// Whether the header asks for a write-ahead log.
    uses_log: bool,
}

/// What changes when a file's bytes do. Not its times of status: looking at a journal as root sets its owner anew.
#[derive(Debug, PartialEq, Eq)]
struct FileStamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl FileState {
    fn look(source: &Path) -> Result<Self> {
        let header = read_header(source)?;
        Ok(Self {
            database: stamp(source)?,
            log: stamp(&beside(source, "-wal"))?,
            journal: stamp(&beside(source, "-journal"))?,
            has_index: stamp(&beside(source, "-shm"))?.is_some(),
            uses_log: header.get(18..20) == Some(&[2, 2]),
        })
    }

    fn way(&self) -> CopyStrategy {
        match (self.has_index, self.uses_log || self.log.is_some()) {
            (true, _) => CopyStrategy::SharedLog,
            (false, true) => CopyStrategy::QuietFiles,
            (false, false) => CopyStrategy::ReadTransaction,
        }
    }
}

fn stamp(path: &Path) -> Result<Option<FileStamp>> {
    match fs::metadata(path) {
        Ok(facts) => Ok(Some(FileStamp {
            inode: facts.ino(),
            bytes: facts.len(),
            modified: (facts.mtime(), facts.mtime_nsec()),
        })),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(Error::io(Kind::SourceInvalid, "reading", path, &cause)),
    }
}

/// The database header (SQLite "Database File Format", section 1.3).
fn read_header(path: &Path) -> Result<Vec<u8>> {
    let mut header = Vec::with_capacity(100);
    File::open(path)
        .and_then(|file| file.take(100).read_to_end(&mut header))
        .map_err(|cause| Error::io(Kind::SourceInvalid, "reading", path, &cause))?;
    let invalid = |why: &str| Err(Error::new(Kind::SourceInvalid, format!("{} {why}", path.display())));
    match (header.is_empty(), header.starts_with(b"SQLite format 3\0"), header.get(18..20)) {
        (true, _, _) => invalid("is empty"),
        (_, true, Some([0xff, _] | [_, 0xff])) => {
            invalid("is a Turso database in MVCC form").map_err(|error: Error| {
                error.with_hint(
                    "its engine alone reads this form: copy the file with the -log and -wal files beside it, run \
                     `tursodb COPY \"PRAGMA journal_mode = 'wal'\"`, and give the copy as --source",
                )
            })
        }
        (_, true, Some(_)) => Ok(header),
        (_, _, _) => invalid("is not a SQLite database"),
    }
}

/// Copies inside a read transaction; none if the way turned out to be the wrong one.
fn copy_in_transaction(ctx: &Context, source: &Path, part: &Path, parameters: &str) -> Result<Option<String>> {
    let Some(from) = open_transaction(source, parameters)? else { return Ok(None) };
    file_builder::create_private(part)?;
    let written = |failure: rusqlite::Error| file_builder::describe("copying the file", &ctx.stop, &failure);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut to = Connection::open_with_flags(part, flags).map_err(written)?;
    to.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA locking_mode=EXCLUSIVE")
        .map_err(written)?;
    let copied = backup::Backup::new(&from, &mut to).map_err(written)?;
    let mut pages = 0;
    loop {
        ctx.stop.check()?;
        let step = copied.step(PAGES_PER_STEP).map_err(written)?;
        let progress = copied.progress();
        if pages == 0 {
            pages = progress.pagecount;
            let steps = u64::try_from(pages / PAGES_PER_STEP + 1).ok();
            ctx.out.emit(&Event::PhaseStarted { stage: Stage::Dump, phase: PHASE, steps });
        }
        ctx.out.emit(&Event::Stepped { stage: Stage::Dump, phase: PHASE });
        match step {
            backup::StepResult::Done => break,
            backup::StepResult::More => {}
            // The lock is held since the transaction began; only the copy's own file could be meant.
            _ => return Err(Error::new(Kind::ArtifactIo, "the working directory's file is locked by another process")),
        }
    }
    drop(copied);
    to.close().map_err(|(_, failure)| written(failure))?;
    without_log(part)?;
    Ok(Some(format!("all {pages} pages were copied by SQLite's backup inside one read transaction")))
}

/// A connection that holds a read transaction; none if the file can't be read this way.
fn open_transaction(source: &Path, parameters: &str) -> Result<Option<Connection>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let opened = Connection::open_with_flags(uri(source, parameters), flags).and_then(|connection| {
        connection.busy_timeout(LOCK_TIMEOUT)?;
        // A schema that can't be parsed in full is none of the copy's business.
        connection.execute_batch("PRAGMA writable_schema=ON; PRAGMA cache_size=-4096; BEGIN")?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    });
    let failure = match opened {
        Ok(connection) => return Ok(Some(connection)),
        Err(failure) => failure,
    };
    match failure.sqlite_error_code() {
        // What lay beside the file has gone or come in the meantime.
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly) => Ok(None),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Err(Error::new(Kind::SourceUnreachable, "another process keeps the file locked")
                .with_hint("wait until it has finished writing, or stop it for the length of the dump"))
        }
        Some(_) | None => Err(crate::sqlite::error_map::describe("reading the file", &failure)),
    }
}

/// Copies file and log (or journal) as they lie there; none if one of them changed meanwhile.
fn copy_quiet(ctx: &Context, source: &Path, part: &Path, before: &FileState) -> Result<Option<String>> {
    let ends = [("", &before.database), ("-wal", &before.log), ("-journal", &before.journal)];
    let bytes: u64 = ends.iter().filter_map(|(_, stamp)| stamp.as_ref()).map(|stamp| stamp.bytes).sum();
    let steps = Some(bytes.div_ceil(COPY_BYTES as u64));
    ctx.out.emit(&Event::PhaseStarted { stage: Stage::Dump, phase: PHASE, steps });
    for (end, _) in ends.iter().filter(|(_, stamp)| stamp.is_some()) {
        if !copy_bytes(ctx, &beside(source, end), &beside(part, end))? {
            return Ok(None);
        }
    }
    if FileState::look(source)? != *before {
        return Ok(None);
    }
    recover(ctx, part)?;
    Ok(Some(format!(
        "{bytes} bytes of the file and its log were copied while nobody had it open and neither changed; the log was \
         applied to the copy"
    )))
}

/// Copies a file's bytes; says no if it is gone.
fn copy_bytes(ctx: &Context, from: &Path, to: &Path) -> Result<bool> {
    let mut source = match File::open(from) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(Error::io(Kind::SourceInvalid, "reading", from, &cause)),
    };
    file_builder::create_private(to)?;
    let written = |cause: io::Error| Error::io(Kind::ArtifactIo, "writing", to, &cause);
    let mut copy = file_access::change(to).map_err(written)?;
    let mut buffer = vec![0_u8; COPY_BYTES];
    loop {
        ctx.stop.check()?;
        let count =
            source.read(&mut buffer).map_err(|cause| Error::io(Kind::SourceInvalid, "reading", from, &cause))?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(true),
            Some(bytes) => copy.write_all(bytes).map_err(written)?,
        }
        ctx.out.emit(&Event::Stepped { stage: Stage::Dump, phase: PHASE });
    }
}

/// Applies the log, or rolls the journal back, in the copy.
fn recover(ctx: &Context, part: &Path) -> Result<()> {
    let failed = |failure: rusqlite::Error| file_builder::describe("applying the log", &ctx.stop, &failure);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(part, flags).map_err(failed)?;
    connection
        .execute_batch(
            "PRAGMA writable_schema=ON; PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=OFF;
             PRAGMA cache_size=-4096; SELECT count(*) FROM sqlite_schema",
        )
        .map_err(failed)?;
    let mode: String = connection.query_row("PRAGMA journal_mode=DELETE", [], |row| row.get(0)).map_err(failed)?;
    connection.close().map_err(|(_, failure)| failed(failure))?;
    if mode.eq_ignore_ascii_case("delete") {
        return without_log(part);
    }
    Err(Error::new(Kind::Bug, "the copy's log can't be applied"))
}

/// Makes a file whose log has been applied say so (header bytes 18 and 19), so that reading it makes no log.
fn without_log(part: &Path) -> Result<()> {
    let failed = |cause: io::Error| Error::io(Kind::ArtifactIo, "writing", part, &cause);
    let mut file = file_access::change(part).map_err(failed)?;
    file.seek(SeekFrom::Start(18)).and_then(|_| file.write_all(&[1, 1])).map_err(failed)
}

/// The path with an ending that SQLite gives to the files beside a database.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// The path as SQLite's URI (SQLite "URI Filenames", section 3).
fn uri(path: &Path, parameters: &str) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{uri}?{parameters}")
}
