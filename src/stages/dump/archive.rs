//! Compressed, time-stamped copies of dumps outside the working directory, from which the original can be restored.
//!
//! `ARCHIVE/2026-01-31T235959Z/source.db.gz` is the dump through gzip, `checkpoint.json` beside it what is known of it
//! (the SHA-256 of the unpacked file among it), and `ARCHIVE/latest` a link to the newest. A copy appears whole or not
//! at all, and only after it was unpacked again and compared.

use std::{
    fs,
    io::{self, BufReader, Read, Write},
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use sha2::{Digest, Sha256};

use super::on_thread;
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    file_access,
    model::{DumpCheckpoint, checkpoint::CHECKPOINT_FORMAT, timestamp::rfc3339_s},
    workdir::{atomic, hex, sealed},
};

const PACKED: &str = "source.db.gz";
const CHECKPOINT: &str = "checkpoint.json";
const LATEST: &str = "latest";
const UNFINISHED: &str = ".unfinished";

/// Bytes that are read at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// Where copies are kept, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveSettings {
    /// The directory, made if it isn't there.
    pub directory: PathBuf,
    /// Copies that are kept, the newest first; at least 1. None keeps all.
    pub keep: Option<u32>,
}

/// Adds the dump in the working directory, unless the newest copy is of the same file; removes what is too old.
///
/// # Errors
/// `ArtifactIo`, `ArtifactDamaged` if the copy doesn't read back, `Interrupted`.
pub(super) fn add(ctx: &Context, settings: &ArchiveSettings, dump: &DumpCheckpoint) -> Result<()> {
    let directory = &settings.directory;
    make_directory(directory)?;
    let latest = sealed::load(&directory.join(LATEST).join(CHECKPOINT), CHECKPOINT_FORMAT, "dump");
    if latest.is_ok_and(|latest: DumpCheckpoint| latest.sha256 == dump.sha256) {
        ctx.out.info(format!("the newest copy in {} is of this dump already", directory.display()));
    } else {
        let name = store(ctx, directory, dump)?;
        ctx.out.info(format!("a copy is in {}", directory.join(name).display()));
    }
    match settings.keep {
        Some(keep) => prune(directory, usize::try_from(keep.max(1)).unwrap_or(usize::MAX)),
        None => Ok(()),
    }
}

/// Adds the dump that is in the working directory now.
///
/// # Errors
/// `ArtifactMissing` without a dump, and as when a dump is taken with `--archive`.
pub async fn archive_present(ctx: &Context, settings: &ArchiveSettings) -> Result<()> {
    let (ctx, settings, dump) = (ctx.clone(), settings.clone(), ctx.workdir.load_dump()?);
    on_thread(move || add(&ctx, &settings, &dump)).await
}

fn store(ctx: &Context, directory: &Path, dump: &DumpCheckpoint) -> Result<String> {
    let unfinished = directory.join(UNFINISHED);
    remove_copy(&unfinished)?;
    make_directory(&unfinished)?;
    let packed = unfinished.join(PACKED);
    pack(ctx, &ctx.workdir.source_db(), &packed)?;
    if unpacked_sha256(ctx, &packed)? != dump.sha256 {
        let text = format!("{} doesn't unpack to the dump it was made from", packed.display());
        return Err(
            Error::new(Kind::ArtifactDamaged, text).with_hint("check the disk, then run the same command again")
        );
    }
    sealed::store(&unfinished.join(CHECKPOINT), dump)?;
    let mut name = rfc3339_s(dump.finished_s).replace(':', "");
    // Two dumps of one second, or a clock that was set back: the newest must sort last.
    if let Some(newest) = copies(directory)?.pop().filter(|newest| *newest >= name) {
        name = newest + "+";
    }
    atomic::publish(&unfinished, &directory.join(&name))?;
    let link = directory.join(".latest");
    remove_file(&link)?;
    symlink(&name, &link).map_err(|cause| Error::io(Kind::ArtifactIo, "linking", &link, &cause))?;
    atomic::publish(&link, &directory.join(LATEST))?;
    Ok(name)
}

fn pack(ctx: &Context, from: &Path, to: &Path) -> Result<()> {
    let written = |cause: io::Error| Error::io(Kind::ArtifactIo, "writing", to, &cause);
    let file = file_access::create_new(to).map_err(written)?;
    let mut encoder = GzEncoder::new(file, Compression::default());
    let read = |cause: io::Error| Error::io(Kind::ArtifactIo, "reading", from, &cause);
    let mut source = file_access::read(from).map_err(read)?;
    let mut block = vec![0_u8; BLOCK_BYTES];
    loop {
        ctx.stop.check()?;
        let count = source.read(&mut block).map_err(read)?;
        match block.get(..count) {
            None | Some([]) => break,
            Some(bytes) => encoder.write_all(bytes).map_err(written)?,
        }
    }
    encoder.finish().and_then(|file| file.sync_all()).map_err(written)
}

fn unpacked_sha256(ctx: &Context, packed: &Path) -> Result<String> {
    let failed = |cause: io::Error| Error::io(Kind::ArtifactIo, "unpacking", packed, &cause);
    let mut decoder = MultiGzDecoder::new(BufReader::new(file_access::read(packed).map_err(failed)?));
    let (mut hasher, mut block) = (Sha256::new(), vec![0_u8; BLOCK_BYTES]);
    loop {
        ctx.stop.check()?;
        let count = decoder.read(&mut block).map_err(failed)?;
        match block.get(..count) {
            None | Some([]) => return Ok(hex(&hasher.finalize())),
            Some(bytes) => hasher.update(bytes),
        }
    }
}

/// Removes the oldest copies until so many are left. Other files stay.
fn prune(directory: &Path, keep: usize) -> Result<()> {
    let names = copies(directory)?;
    let old = names.len().saturating_sub(keep);
    names.iter().take(old).try_for_each(|name| remove_copy(&directory.join(name)))
}

/// The names of our copies, the oldest first.
fn copies(directory: &Path) -> Result<Vec<String>> {
    let failed = |cause: io::Error| Error::io(Kind::ArtifactIo, "listing", directory, &cause);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.into_string().ok().filter(|name| is_copy(name)));
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether a name is one that copies get, such as `2026-01-31T235959Z`.
fn is_copy(name: &str) -> bool {
    let stem = name.trim_end_matches('+').as_bytes();
    let expected = b"dddd-dd-ddTddddddZ";
    let fits = |(byte, form): (&u8, &u8)| if *form == b'd' { byte.is_ascii_digit() } else { byte == form };
    stem.len() == expected.len() && stem.iter().zip(expected).all(fits)
}

/// Removes a copy's two files and its directory, which must hold nothing else.
fn remove_copy(copy: &Path) -> Result<()> {
    match fs::symlink_metadata(copy) {
        Ok(facts) if facts.is_dir() => {}
        // A link, or a file: what a link points to belongs to others.
        Ok(_) => return remove_file(copy),
        Err(_) => return Ok(()),
    }
    for name in [PACKED, CHECKPOINT, "checkpoint.tmp"] {
        remove_file(&copy.join(name))?;
    }
    fs::remove_dir(copy).map_err(|cause| Error::io(Kind::ArtifactIo, "removing", copy, &cause))
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(Error::io(Kind::ArtifactIo, "removing", path, &cause)),
    }
}

fn make_directory(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|cause| Error::io(Kind::ArtifactIo, "creating", path, &cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_copies_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let names = ["2026-01-31T235959Z", "2026-02-01T000000Z", "2026-02-01T000000Z+", "2026-02-01T000000", "mine"];
        for name in names {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        prune(directory.path(), 1).unwrap();
        let left = |name: &str| directory.path().join(name).exists();
        assert_eq!(names.map(left), [false, false, true, true, true]);
        // What a link points to is not removed.
        fs::create_dir(directory.path().join("victim")).unwrap();
        fs::write(directory.path().join("victim").join(PACKED), "x").unwrap();
        symlink("victim", directory.path().join(UNFINISHED)).unwrap();
        remove_copy(&directory.path().join(UNFINISHED)).unwrap();
        assert!(!left(UNFINISHED) && left("victim/source.db.gz"));
        // A directory with something else in it isn't removed with it.
        fs::create_dir(directory.path().join("2026-01-01T000000Z")).unwrap();
        fs::write(directory.path().join("2026-01-01T000000Z/mine"), "x").unwrap();
        assert_eq!(prune(directory.path(), 1).unwrap_err().kind(), Kind::ArtifactIo);
    }
}
