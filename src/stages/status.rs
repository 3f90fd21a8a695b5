//! Reports what each checkpoint holds, whether it still follows from the ones before it, and what would run next.
//!
//! Reads artifacts alone: no network, no server, no lock.

use std::path::Path;

use serde::Serialize;

use super::{
    plan::made_with,
    report::{same_content, verify_record::VerifyRecord},
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        DumpCheckpoint, LoadCheckpoint, Plan, PushCheckpoint, Stage,
        checkpoint::{LoadState, LocalServerRecord},
        human_format,
        overrides::Overrides,
    },
    postgres::{Role, managed::LocalServer},
    workdir::{Workdir, sha256_of},
};

words! {
    /// How a checkpoint stands.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum CheckpointState: word {
        /// The stage has not run.
        Missing = "missing",
        /// It follows from what is there now.
        Current = "current",
        /// It was made from something else than what is there now.
        Stale = "stale",
        /// The stage was interrupted; it continues where it stopped.
        Unfinished = "unfinished",
        /// The plan waits for decisions.
        Blocked = "blocked",
        /// The verification found differences.
        Different = "different",
        /// It can't be used: damaged, unreadable, or of a newer version.
        Unusable = "unusable",
    }
}

/// One checkpoint.
#[derive(Debug, Clone, Serialize)]
pub struct CheckpointStatus {
    /// Whose it is.
    pub stage: Stage,
    /// How it stands.
    pub state: CheckpointState,
    /// Why, unless it is current.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What it holds, as one line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub holds: String,
    /// Tables in it.
    pub tables: Option<u64>,
    /// Rows in it.
    pub rows: Option<u64>,
    /// Seconds since 1970; none while unfinished.
    pub finished_s: Option<u64>,
}

/// The whole answer.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// In flow order.
    pub checkpoints: Vec<CheckpointStatus>,
    /// The first stage that has work to do; none if all is done.
    pub next: Option<Stage>,
    /// The command for it, and what else to do.
    pub advice: String,
    /// The arguments of that command after the program's name; none if all is done.
    pub command: Option<Vec<&'static str>>,
}

/// Everything that could be loaded.
struct Chain<'a> {
    workdir: &'a Workdir,
    dump: Result<DumpCheckpoint>,
    plan: Result<(Plan, String)>,
    convert: Result<LoadCheckpoint>,
    push: Result<PushCheckpoint>,
    verified: Result<VerifyRecord>,
}

/// Looks at every checkpoint. `overrides` are the present decisions in every form that they may take (with and
/// without pgvector, where only a server could tell); none means that the configuration is not looked at.
#[must_use]
pub fn status(workdir: &Workdir, overrides: &[Overrides]) -> Status {
    let plan = workdir.load_plan().and_then(|plan| Ok((plan, sha256_of(&workdir.plan_json())?)));
    let chain = Chain {
        workdir,
        dump: workdir.load_dump(),
        plan,
        convert: workdir.load_convert(),
        push: workdir.load_push(),
        verified: VerifyRecord::load(workdir),
    };
    let checkpoints =
        vec![chain.of_dump(), chain.of_plan(overrides), chain.of_convert(), chain.of_push(), chain.of_verify()];
    let checkpoints = chained(checkpoints);
    let first = checkpoints.iter().find(|checkpoint| checkpoint.state != CheckpointState::Current);
    let next = first.map(|checkpoint| checkpoint.stage);
    let (advice, command) = advice(first, chain.differing_side());
    Status { checkpoints, next, advice, command }
}

/// What was made from something that isn't current isn't current either. A target that was never filled keeps nothing
/// from being verified.
fn chained(mut checkpoints: Vec<CheckpointStatus>) -> Vec<CheckpointStatus> {
    let mut broken: Option<Stage> = None;
    for checkpoint in &mut checkpoints {
        if let Some(stage) = broken.filter(|_| checkpoint.state == CheckpointState::Current) {
            checkpoint.state = CheckpointState::Stale;
            checkpoint.why = format!("{stage} comes first");
        }
        let unpushed = checkpoint.stage == Stage::Push && checkpoint.state == CheckpointState::Missing;
        if checkpoint.state != CheckpointState::Current && !unpushed {
            broken.get_or_insert(checkpoint.stage);
        }
    }
    checkpoints
}

/// The status of a directory that isn't there.
#[must_use]
pub fn nothing() -> Status {
    let stages = [Stage::Dump, Stage::Plan, Stage::Convert, Stage::Push, Stage::Verify];
    let checkpoints: Vec<CheckpointStatus> = stages.into_iter().map(missing).collect();
    let (advice, command) = advice(checkpoints.first(), None);
    Status { checkpoints, next: Some(Stage::Dump), advice, command }
}

/// What to do next, as a sentence and as the arguments of the command.
fn advice(first: Option<&CheckpointStatus>, differing: Option<Role>) -> (String, Option<Vec<&'static str>>) {
    let Some(checkpoint) = first else {
        return ("everything is done; `turso2neon run` looks for changes of the source".to_owned(), None);
    };
    let stage = checkpoint.stage.word();
    match checkpoint.state {
        CheckpointState::Blocked => (
            "decide the findings that `turso2neon plan` lists, then `turso2neon convert` or `turso2neon run`".to_owned(),
            Some(vec!["convert"]),
        ),
        CheckpointState::Different if differing == Some(Role::Local) => (
            "`turso2neon verify` shows the differences; `turso2neon convert --fresh` loads the local PostgreSQL again"
                .to_owned(),
            Some(vec!["convert", "--fresh"]),
        ),
        CheckpointState::Different => (
            "`turso2neon verify` shows the differences; `turso2neon push --fresh` loads the target again, and asks for \
             --on-drift if others changed it"
                .to_owned(),
            Some(vec!["push", "--fresh"]),
        ),
        CheckpointState::Unusable if checkpoint.stage != Stage::Verify => {
            (format!("`turso2neon {stage} --fresh` makes it again"), Some(vec![stage, "--fresh"]))
        }
        _ => (format!("`turso2neon {stage}`, or `turso2neon run` for all"), Some(vec![stage])),
    }
}

impl Chain<'_> {
    /// The server that has to be loaded again before the other one, if the verification found differences.
    fn differing_side(&self) -> Option<Role> {
        let differences = &self.verified.as_ref().ok()?.verified.differences;
        let differs = |role: Role| differences.iter().any(|difference| difference.side == role.word());
        [Role::Local, Role::Target].into_iter().find(|role| differs(*role))
    }

    fn of_dump(&self) -> CheckpointStatus {
        match &self.dump {
            Err(error) => unusable(Stage::Dump, error, &self.workdir.dump_checkpoint()),
            Ok(dump) => CheckpointStatus {
                stage: Stage::Dump,
                state: CheckpointState::Current,
                why: String::new(),
                holds: format!("{} by method {}", dump.source, dump.method),
                tables: u64::try_from(dump.rows.len()).ok(),
                rows: Some(dump.rows.values().sum()),
                finished_s: Some(dump.finished_s),
            },
        }
    }

    fn of_plan(&self, overrides: &[Overrides]) -> CheckpointStatus {
        let (plan, _) = match &self.plan {
            Err(error) => return unusable(Stage::Plan, error, &self.workdir.plan_json()),
            Ok(plan) => plan,
        };
        let blocking = plan.blocking().count();
        let configured = overrides.is_empty() || made_with(plan, overrides).is_some();
        let (state, why) = match &self.dump {
            Ok(dump) if dump.sha256 != plan.dump_sha256 => {
                (CheckpointState::Stale, "made from another dump".to_owned())
            }
            Ok(_) if !configured => {
                (CheckpointState::Stale, "made with another configuration or other --accept flags".to_owned())
            }
            Ok(_) if plan.tool != env!("CARGO_PKG_VERSION") => {
                (CheckpointState::Stale, format!("made by version {}", plan.tool))
            }
            Ok(_) if blocking > 0 => (CheckpointState::Blocked, human_format::findings_to_decide(blocking as u64)),
            Ok(_) => (CheckpointState::Current, String::new()),
            Err(_) => (CheckpointState::Stale, "its dump can't be used".to_owned()),
        };
        CheckpointStatus {
            stage: Stage::Plan,
            state,
            why,
            holds: format!("{} findings", plan.findings.len()),
            tables: u64::try_from(plan.tables.len()).ok(),
            rows: Some(plan.tables.iter().map(|table| table.rows).sum()),
            finished_s: None,
        }
    }

    fn of_convert(&self) -> CheckpointStatus {
        let load = match &self.convert {
            Err(error) => return unusable(Stage::Convert, error, &self.workdir.convert_checkpoint()),
            Ok(load) => load,
        };
        let (state, why) = match (&self.dump, &self.plan) {
            (Ok(dump), _) if dump.sha256 != load.dump_sha256 => {
                (CheckpointState::Stale, "made from another dump".to_owned())
            }
            (_, Ok((_, plan_sha256))) if *plan_sha256 != load.plan_sha256 => {
                (CheckpointState::Stale, "made from another plan".to_owned())
            }
            (Ok(_), Ok(_)) if load.state == LoadState::Done && !LocalServer::is_there(self.workdir, &load.local) => {
                (CheckpointState::Stale, "the data of the local PostgreSQL are gone".to_owned())
            }
            (Ok(_), Ok(_)) => of_load(load.state),
            (Err(_), _) | (_, Err(_)) => (CheckpointState::Stale, "its dump or plan can't be used".to_owned()),
        };
        CheckpointStatus {
            stage: Stage::Convert,
            state,
            why,
            holds: match &load.local {
                LocalServerRecord::Managed { version, .. } => format!("managed PostgreSQL {version}"),
                LocalServerRecord::External { address, version } => format!("PostgreSQL {version} at {address}"),
            },
            tables: u64::try_from(load.tables.len()).ok(),
            rows: Some(load.tables.values().map(|table| table.rows).sum()),
            finished_s: finished(load.finished_s),
        }
    }

    fn of_push(&self) -> CheckpointStatus {
        let push = match &self.push {
            Err(error) => return unusable(Stage::Push, error, &self.workdir.push_checkpoint()),
            Ok(push) => push,
        };
        let (state, why) = match (&self.plan, &self.convert) {
            (Ok((_, plan_sha256)), _) if *plan_sha256 != push.plan_sha256 => {
                (CheckpointState::Stale, "made from another plan".to_owned())
            }
            (_, Ok(load)) if push.state == LoadState::Done && !same_content(load, push) => {
                let schema_only = push.tables.values().all(|table| table.rows == 0);
                let why =
                    if schema_only { "the tables there have no rows" } else { "the local tables hold something else" };
                (CheckpointState::Stale, why.to_owned())
            }
            (Ok(_), Ok(_)) => of_load(push.state),
            (Err(_), _) | (_, Err(_)) => (CheckpointState::Stale, "what it was made from can't be used".to_owned()),
        };
        CheckpointStatus {
            stage: Stage::Push,
            state,
            why,
            holds: format!("{}, schema {}, mode {}", push.target, push.schema, push.mode),
            tables: u64::try_from(push.tables.len()).ok(),
            rows: Some(push.tables.values().map(|table| table.rows).sum()),
            finished_s: finished(push.finished_s),
        }
    }

    fn of_verify(&self) -> CheckpointStatus {
        let record = match &self.verified {
            Err(error) => return unusable(Stage::Verify, error, &self.workdir.verify_json()),
            Ok(record) => record,
        };
        let made_from = self.dump.as_ref().is_ok_and(|dump| dump.sha256 == record.dump_sha256)
            && self.plan.as_ref().is_ok_and(|(_, sha256)| *sha256 == record.plan_sha256);
        let is_newest = record.is_of_load(self.workdir)
            && (record.target.is_none() || self.push.is_err() || record.is_of_push(self.workdir));
        let (state, why) = if !made_from {
            (CheckpointState::Stale, "made of another dump or plan".to_owned())
        } else if !is_newest {
            (CheckpointState::Stale, "something was loaded since".to_owned())
        } else if !record.equal() {
            (CheckpointState::Different, format!("{} differences", record.verified.difference_count))
        } else if record.target.is_none() && self.push.is_ok() {
            (CheckpointState::Stale, "the target was not looked at".to_owned())
        } else if self.push.as_ref().is_ok_and(|push| !record.is_at(push)) {
            (CheckpointState::Stale, "another database or schema was looked at".to_owned())
        } else if !record.requested_tables.is_empty() {
            (CheckpointState::Stale, "only some tables were looked at".to_owned())
        } else {
            (CheckpointState::Current, String::new())
        };
        CheckpointStatus {
            stage: Stage::Verify,
            state,
            why,
            holds: format!("level {}, {}", record.verified.level, if record.equal() { "equal" } else { "different" }),
            tables: None,
            rows: None,
            finished_s: finished(record.finished_s),
        }
    }
}

fn of_load(state: LoadState) -> (CheckpointState, String) {
    match state {
        LoadState::Done => (CheckpointState::Current, String::new()),
        LoadState::Loading => (CheckpointState::Unfinished, "interrupted; it continues where it stopped".to_owned()),
    }
}

fn finished(seconds: u64) -> Option<u64> {
    (seconds > 0).then_some(seconds)
}

fn unusable(stage: Stage, error: &Error, path: &Path) -> CheckpointStatus {
    if error.kind() == Kind::ArtifactMissing && !path.exists() {
        return missing(stage);
    }
    CheckpointStatus { state: CheckpointState::Unusable, why: error.message().to_owned(), ..missing(stage) }
}

fn missing(stage: Stage) -> CheckpointStatus {
    CheckpointStatus {
        stage,
        state: CheckpointState::Missing,
        why: String::new(),
        holds: String::new(),
        tables: None,
        rows: None,
        finished_s: None,
    }
}
