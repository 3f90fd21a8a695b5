//! Checks both ends and this machine before anything is moved. Changes nothing anywhere.

mod local;

mod working_dir;

mod source;

mod target;

use std::{path::Path, sync::Arc};

use serde::Serialize;

use crate::{
    context::{Cancellation, Context},
    error::{Error, Kind, Result},
    event::Sink,
    postgres::managed::LocalChoice,
    secret::Secret,
    stages::dump::DumpRequest,
    workdir::Workdir,
};

words! {
    /// What a check is about; decides the exit status.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "lowercase")]
    pub enum CheckSubject: word {
        /// The working directory.
        Directory = "directory",
        /// The source.
        Source = "source",
        /// The local PostgreSQL.
        Local = "local",
        /// The target.
        Target = "target",
    }
}

words! {
    /// How a check ended.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Grade: word {
        /// As it should be.
        Ok = "ok",
        /// Works, but look at it.
        Warn = "warn",
        /// Keeps the migration from working.
        Fail = "fail",
    }
}

/// One check.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// About what.
    pub side: CheckSubject,
    /// Of what.
    pub name: &'static str,
    /// How it ended.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do; empty if nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub todo: String,
    /// The kind of the failure.
    #[serde(skip)]
    kind: Option<Kind>,
}

impl Check {
    fn ok(side: CheckSubject, name: &'static str, found: impl Into<String>) -> Self {
        Self { side, name, grade: Grade::Ok, found: found.into(), todo: String::new(), kind: None }
    }

    fn warn(side: CheckSubject, name: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { side, name, grade: Grade::Warn, found: found.into(), todo: todo.into(), kind: None }
    }

    fn fail(side: CheckSubject, name: &'static str, error: &Error) -> Self {
        let (found, todo) = (error.to_string(), advice(error));
        Self { side, name, grade: Grade::Fail, found, todo, kind: Some(error.kind()) }
    }
}

/// The error's hint, unless it would send the reader here again.
fn advice(error: &Error) -> String {
    match error.kind() {
        Kind::SourceUnreachable => "check the URL, and the network between this machine and the source".to_owned(),
        Kind::SourceRefused => "check that the URL is that of a libSQL server".to_owned(),
        Kind::TargetUnreachable if error.hint() == Kind::TargetUnreachable.hint() => {
            "check host and port of the connection string; a suspended compute may need a minute".to_owned()
        }
        Kind::TargetRejected if error.hint() == Kind::TargetRejected.hint() => "check the role's rights".to_owned(),
        _ => error.hint().to_owned(),
    }
}

/// All checks.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DoctorReport {
    /// In the order in which they were made.
    pub checks: Vec<Check>,
}

impl DoctorReport {
    /// The first failure as an error, if there is one.
    #[must_use]
    pub fn refusal(&self) -> Option<Error> {
        let failed = self.checks.iter().filter(|check| check.grade == Grade::Fail).count();
        let first = self.checks.iter().find(|check| check.kind.is_some())?;
        let more = if failed > 1 { format!(" (and {} more)", failed - 1) } else { String::new() };
        let message = format!("{} {}: {}{more}", first.side.word(), first.name, first.found);
        Some(Error::new(first.kind.unwrap_or(Kind::Bug), message).with_hint(first.todo.clone()))
    }
}

/// Makes all checks, one side after the other: the directory given by `root`, the source, the local PostgreSQL, the
/// target.
///
/// # Errors
/// None of its own: what a check finds is an answer, and a side that is not given is one too.
pub async fn examine(root: &Path, out: &Arc<dyn Sink>, request: &DoctorRequest) -> Result<DoctorReport> {
    // The doors want a directory to be in; nothing is made there.
    let workdir = Workdir::open(&working_dir::nearest_existing(root))?;
    let ctx = Context { workdir, out: Arc::clone(out), stop: Cancellation::default() };
    let (source, source_bytes) = Box::pin(source::examine(&ctx, request.source.as_ref())).await;
    let mut checks = working_dir::examine(root, source_bytes);
    checks.extend(source);
    checks.extend(Box::pin(local::examine(&request.local)).await);
    checks.extend(Box::pin(target::examine(request.target.as_ref(), &request.schema)).await);
    Ok(DoctorReport { checks })
}

/// What to check; a side that isn't given is named as not checked.
#[derive(Debug, Clone)]
pub struct DoctorRequest {
    /// The source.
    pub source: Option<DumpRequest>,
    /// The local PostgreSQL.
    pub local: LocalChoice,
    /// The target's connection string.
    pub target: Option<Secret<String>>,
    /// The schema on the target.
    pub schema: String,
}
