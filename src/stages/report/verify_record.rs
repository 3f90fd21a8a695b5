//! Defines `verify.json`: what the last verification compared and found.

use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    model::{PushCheckpoint, checkpoint::CHECKPOINT_FORMAT},
    stages::verify::{Against, Verified, VerifyRequest},
    workdir::{Workdir, now_s, sealed, sha256_of},
};

/// The answer of a verification, with the digests of what it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyRecord {
    /// [`CHECKPOINT_FORMAT`].
    pub format: u32,
    /// Version of the tool.
    pub tool: String,
    /// Which hops were checked.
    pub against: Against,
    /// The source tables that were asked for; empty means all.
    #[serde(rename = "asked")]
    pub requested_tables: Vec<String>,
    /// SHA-256 of the dump.
    pub dump_sha256: String,
    /// SHA-256 of `plan.json`.
    pub plan_sha256: String,
    /// SHA-256 of `convert/checkpoint.json`, if the local PostgreSQL was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub convert_sha256: Option<String>,
    /// SHA-256 of `push/checkpoint.json`, if the target was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_sha256: Option<String>,
    /// `host:port/database` of the target, if it was checked.
    pub target: Option<String>,
    /// The schema there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The answer.
    pub verified: Verified,
    /// Seconds since 1970.
    pub finished_s: u64,
    /// Time it took.
    pub elapsed_ms: u64,
    /// SHA-256 of `convert/rejects.jsonl`, if rows were rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejects_sha256: Option<String>,
    /// What shows that neither server has changed since, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<ServerMarks>,
}

/// What shows whether the servers have changed since a verification, apart from the rows of the target, which `push`
/// compares by their digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMarks {
    /// Of the files of the local PostgreSQL.
    pub local: String,
    /// Of the target's catalog.
    pub target: String,
}

impl VerifyRecord {
    /// The record of a verification that has just ended.
    ///
    /// # Errors
    /// Those of reading the artifacts that it was about.
    pub fn new(workdir: &Workdir, request: &VerifyRequest, verified: Verified, elapsed_ms: u64) -> Result<Self> {
        let digest = |path, looked_at: bool| if looked_at { sha256_of(path).ok() } else { None };
        let at_target = request.against != Against::Local;
        let target = request.target_address()?;
        Ok(Self {
            format: CHECKPOINT_FORMAT,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            against: request.against,
            requested_tables: request.tables.clone(),
            dump_sha256: workdir.load_dump()?.sha256,
            plan_sha256: sha256_of(&workdir.plan_json())?,
            convert_sha256: digest(&workdir.convert_checkpoint(), request.against != Against::Target),
            push_sha256: digest(&workdir.push_checkpoint(), at_target),
            schema: target.is_some().then(|| request.schema.clone()),
            target,
            verified,
            finished_s: now_s(),
            elapsed_ms,
            rejects_sha256: sha256_of(&workdir.rejects()).ok(),
            servers: None,
        })
    }

    /// Whether everything that was looked at is equal.
    #[must_use]
    pub fn equal(&self) -> bool {
        self.verified.difference_count == 0 && self.verified.tables.iter().all(|table| table.equal)
    }

    /// Whether nothing was loaded since, if the local PostgreSQL was looked at.
    #[must_use]
    pub fn is_of_load(&self, workdir: &Workdir) -> bool {
        let recorded = self.convert_sha256.is_some();
        self.against == Against::Target
            || recorded && self.convert_sha256 == sha256_of(&workdir.convert_checkpoint()).ok()
    }

    /// Whether a target was looked at, and nothing was pushed since.
    #[must_use]
    pub fn is_of_push(&self, workdir: &Workdir) -> bool {
        self.push_sha256.is_some() && self.push_sha256 == sha256_of(&workdir.push_checkpoint()).ok()
    }

    /// Whether the schema that was looked at is the one that was pushed to.
    #[must_use]
    pub fn is_at(&self, push: &PushCheckpoint) -> bool {
        self.target.as_ref() == Some(&push.target) && self.schema.as_ref() == Some(&push.schema)
    }

    /// Whether the answer to this request would be the same, because everything was compared and found equal, at this level
    /// or a deeper one, and no artifact has changed since. Says nothing of the servers.
    #[must_use]
    pub fn answers(&self, workdir: &Workdir, request: &VerifyRequest) -> bool {
        let dump = workdir.load_dump().ok().map(|dump| dump.sha256);
        let push = workdir.load_push().ok();
        let is_complete =
            self.against == request.against && self.requested_tables.is_empty() && request.tables.is_empty();
        is_complete
            && self.tool == env!("CARGO_PKG_VERSION")
            && self.verified.level >= request.level
            && self.equal()
            && dump.as_ref() == Some(&self.dump_sha256)
            && sha256_of(&workdir.plan_json()).ok().as_ref() == Some(&self.plan_sha256)
            && self.is_of_load(workdir)
            && sha256_of(&workdir.rejects()).ok() == self.rejects_sha256
            && self.is_of_push(workdir)
            && push.is_some_and(|push| self.is_at(&push))
            && self.schema.as_ref() == Some(&request.schema)
            && request.target_address().is_ok_and(|target| target == self.target)
    }

    /// Keeps it in `DIR/verify.json`.
    ///
    /// # Errors
    /// `ArtifactIo`.
    pub fn store(&self, workdir: &Workdir) -> Result<()> {
        sealed::store(&workdir.verify_json(), self).map(drop)
    }

    /// The last one.
    ///
    /// # Errors
    /// `ArtifactMissing`, `ArtifactDamaged`, `ArtifactNewer`.
    pub fn load(workdir: &Workdir) -> Result<Self> {
        sealed::load(&workdir.verify_json(), CHECKPOINT_FORMAT, "verify").map_err(|error| match error.kind() {
            // `verify` has no --fresh: it never trusts an earlier answer.
            crate::error::Kind::ArtifactDamaged => error.with_hint("run `turso2neon verify` again"),
            _ => error,
        })
    }
}
