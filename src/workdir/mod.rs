//! Manages the working directory: names every artifact, stores and loads them, and keeps other runs out.
//!
//! Files are 0600 and directories 0700. JSON artifacts carry a `checksum` over the rest of the document, so that a
//! damaged one is recognised.

mod admission;

pub mod atomic;

pub mod lock;

pub mod sealed;

use std::{
    fs, io,
    io::Read,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::{
    error::{Error, Kind, Result},
    file_access,
    model::{
        DumpCheckpoint, LoadCheckpoint, Plan, PushCheckpoint,
        checkpoint::{CHECKPOINT_FORMAT, FileStamp},
        conversion_plan::PLAN_FORMAT,
        dropped_objects::{DroppedObject, ExecutedPlan},
    },
};

/// The directories of the stages in DIR.
pub(crate) const STAGE_DIRECTORIES: [&str; 4] = ["dump", "plan", "convert", "push"];

/// The files that the tool writes into DIR itself.
pub(crate) const ROOT_FILES: [&str; 7] =
    ["lock", "log.jsonl", "report.html", "report.json", "report.md", "run.json", "verify.json"];

/// The directory given by `--dir`.
#[derive(Debug, Clone)]
pub struct Workdir {
    root: PathBuf,
}

impl Workdir {
    /// Opens the directory, creating it (0700) if it isn't there.
    ///
    /// # Errors
    /// `ArtifactIo` if it can't be created or isn't a directory; `DirUnsafe` if others can write to it, or if a link is
    /// in the place of one of its files.
    pub fn create(root: &Path) -> Result<Self> {
        admission::check_way(root)?;
        make_private_dir(root)?;
        let root = root.canonicalize().map_err(|cause| Error::io(Kind::ArtifactIo, "opening", root, &cause))?;
        admission::check(&root)?;
        Ok(Self { root })
    }

    /// Opens the directory only if it is there.
    ///
    /// # Errors
    /// `ArtifactMissing` if it isn't; `DirUnsafe` as for [`Self::create`].
    pub fn open(root: &Path) -> Result<Self> {
        admission::check_way(root)?;
        let root = root.canonicalize().map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => {
                Error::new(Kind::ArtifactMissing, format!("there is no directory {}", root.display()))
                    .with_hint("run `turso2neon dump` first, or name another directory with --dir")
            }
            _ => Error::io(Kind::ArtifactIo, "opening", root, &cause),
        })?;
        admission::check(&root)?;
        Ok(Self { root })
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A subdirectory, created (0700) if it isn't there.
    ///
    /// # Errors
    /// `ArtifactIo`, `DirUnsafe`.
    pub fn subdir(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        make_private_dir(&path)?;
        admission::check_stage(&path)?;
        Ok(path)
    }

    /// Removes files that a killed run was writing. Only with the directory's lock.
    ///
    /// # Errors
    /// `ArtifactIo`.
    fn remove_half_written(&self) -> Result<()> {
        let written = [
            self.dump_checkpoint(),
            self.root.join("dump/part.json"),
            self.plan_json(),
            self.schema_sql(),
            self.assessment(),
            self.convert_checkpoint(),
            self.rejects(),
            self.push_checkpoint(),
            self.verify_json(),
            self.run_json(),
            self.report("json"),
        ];
        for path in written.map(|path| atomic::unfinished(&path)) {
            match fs::remove_file(&path) {
                Ok(()) => {}
                // A file of somebody else's may have a stage's name.
                Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(cause) => return Err(Error::io(Kind::ArtifactIo, "removing", &path, &cause)),
            }
        }
        Ok(())
    }

    /// `dump/source.db`.
    #[must_use]
    pub fn source_db(&self) -> PathBuf {
        self.root.join("dump/source.db")
    }

    /// `dump/checkpoint.json`.
    #[must_use]
    pub fn dump_checkpoint(&self) -> PathBuf {
        self.root.join("dump/checkpoint.json")
    }

    /// `plan/plan.json`.
    #[must_use]
    pub fn plan_json(&self) -> PathBuf {
        self.root.join("plan/plan.json")
    }

    /// `plan/schema.sql`.
    #[must_use]
    pub fn schema_sql(&self) -> PathBuf {
        self.root.join("plan/schema.sql")
    }

    /// `plan/assessment.md`.
    #[must_use]
    pub fn assessment(&self) -> PathBuf {
        self.root.join("plan/assessment.md")
    }

    /// `convert/checkpoint.json`.
    #[must_use]
    pub fn convert_checkpoint(&self) -> PathBuf {
        self.root.join("convert/checkpoint.json")
    }

    /// `convert/plan.json`: the plan as it was carried out.
    #[must_use]
    pub fn executed_plan(&self) -> PathBuf {
        self.root.join("convert/plan.json")
    }

    /// `convert/rejects.jsonl`: rows that the configuration keeps from being loaded.
    #[must_use]
    pub fn rejects(&self) -> PathBuf {
        self.root.join("convert/rejects.jsonl")
    }

    /// `push/checkpoint.json`.
    #[must_use]
    pub fn push_checkpoint(&self) -> PathBuf {
        self.root.join("push/checkpoint.json")
    }

    /// `verify.json`: the last verification.
    #[must_use]
    pub fn verify_json(&self) -> PathBuf {
        self.root.join("verify.json")
    }

    /// `run.json`: how the last `run` ended.
    #[must_use]
    pub fn run_json(&self) -> PathBuf {
        self.root.join("run.json")
    }

    /// `report.json`, `report.md`, `report.html`.
    #[must_use]
    pub fn report(&self, extension: &str) -> PathBuf {
        self.root.join("report").with_extension(extension)
    }

    /// `log.jsonl`.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log.jsonl")
    }

    /// The dump's checkpoint, after checking that `source.db` is still the file it speaks of.
    ///
    /// Reads the whole file only if its times or its inode aren't the recorded ones. Gives them as they are now.
    ///
    /// # Errors
    /// `ArtifactMissing`, `ArtifactDamaged`, `ArtifactNewer`.
    pub fn load_dump(&self) -> Result<DumpCheckpoint> {
        let checkpoint: DumpCheckpoint = sealed::load(&self.dump_checkpoint(), CHECKPOINT_FORMAT, "dump")?;
        let path = self.source_db();
        let facts = fs::metadata(&path).map_err(|_| {
            Error::new(Kind::ArtifactMissing, "dump/source.db is missing though its checkpoint is there")
                .with_hint("run `turso2neon dump --fresh`")
        })?;
        let (modified_ns, stamp) = (modified_ns(&facts), Some(stamp(&facts)));
        let recorded = modified_ns == checkpoint.modified_ns && stamp == checkpoint.stamp;
        if facts.len() == checkpoint.size_bytes && (recorded || sha256_of(&path)? == checkpoint.sha256) {
            Ok(DumpCheckpoint { modified_ns, stamp, ..checkpoint })
        } else {
            Err(Error::new(Kind::ArtifactDamaged, "dump/source.db is not the file that its checkpoint describes")
                .with_hint("run `turso2neon dump --fresh`"))
        }
    }

    /// The plan, whatever it was made from.
    ///
    /// # Errors
    /// `ArtifactMissing`, `ArtifactDamaged`, `ArtifactNewer`.
    pub fn load_plan(&self) -> Result<Plan> {
        sealed::load(&self.plan_json(), PLAN_FORMAT, "plan")
    }

    /// The plan as `convert` carried it out. `planned` is the plan that was made, `sha256` that of its file, and
    /// `dropped` what the checkpoint says was not created: earlier versions stored no executed plan.
    ///
    /// # Errors
    /// `ArtifactDamaged`, `ArtifactNewer`, `ArtifactIo`.
    pub fn load_executed_plan(&self, planned: Plan, sha256: &str, dropped: &[DroppedObject]) -> Result<Plan> {
        match sealed::load::<ExecutedPlan>(&self.executed_plan(), PLAN_FORMAT, "convert") {
            Ok(executed) if executed.plan_sha256 == sha256 => Ok(executed.plan),
            Err(error) if error.kind() != Kind::ArtifactMissing => Err(error),
            Ok(_) | Err(_) => Ok(planned.without(dropped)),
        }
    }

    /// The checkpoint of `convert`, whatever it was made from.
    ///
    /// # Errors
    /// `ArtifactMissing`, `ArtifactDamaged`, `ArtifactNewer`.
    pub fn load_convert(&self) -> Result<LoadCheckpoint> {
        sealed::load(&self.convert_checkpoint(), CHECKPOINT_FORMAT, "convert")
    }

    /// The checkpoint of `push`, whatever it was made from.
    ///
    /// # Errors
    /// `ArtifactMissing`, `ArtifactDamaged`, `ArtifactNewer`.
    pub fn load_push(&self) -> Result<PushCheckpoint> {
        sealed::load(&self.push_checkpoint(), CHECKPOINT_FORMAT, "push")
    }
}

/// SHA-256 of a file's bytes, lower-case hexadecimal.
///
/// # Errors
/// `ArtifactIo`.
pub fn sha256_of(path: &Path) -> Result<String> {
    let failed = |cause: &io::Error| Error::io(Kind::ArtifactIo, "reading", path, cause);
    let mut file = file_access::read(path).map_err(|cause| failed(&cause))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(|cause| failed(&cause))?;
        match buffer.get(..count) {
            None | Some([]) => return Ok(hex(&hasher.finalize())),
            Some(bytes) => hasher.update(bytes),
        }
    }
}

/// SHA-256 of bytes, lower-case hexadecimal.
#[must_use]
pub fn sha256_of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// A file's modification time in nanoseconds since 1970; 0 where it is earlier.
#[must_use]
pub fn modified_ns(facts: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    nanoseconds(facts.mtime(), facts.mtime_nsec())
}

/// A file's inode and the time of its last change.
#[must_use]
pub fn stamp(facts: &fs::Metadata) -> FileStamp {
    use std::os::unix::fs::MetadataExt;
    FileStamp { inode: facts.ino(), changed_ns: nanoseconds(facts.ctime(), facts.ctime_nsec()) }
}

fn nanoseconds(seconds: i64, rest: i64) -> u64 {
    let (seconds, rest) = (u64::try_from(seconds).unwrap_or(0), u64::try_from(rest).unwrap_or(0));
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// Seconds since 1970.
#[must_use]
pub fn now_s() -> u64 {
    now_ms() / 1000
}

/// Milliseconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one reading of the wall clock")]
pub fn now_ms() -> u64 {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    elapsed.ok().and_then(|elapsed| u64::try_from(elapsed.as_millis()).ok()).unwrap_or(0)
}

fn make_private_dir(path: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            match parent {
                Some(parent) if !parent.exists() => {
                    make_private_dir(parent)?;
                    make_private_dir(path)
                }
                Some(_) | None => Err(Error::io(Kind::ArtifactIo, "creating", path, &cause)),
            }
        }
        Err(cause) => Err(Error::io(Kind::ArtifactIo, "creating", path, &cause)),
    }
}
