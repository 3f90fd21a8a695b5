//! A SQLite file on its way: dumped, planned, and converted into servers of several versions.

use std::{path::Path, sync::Arc};

use turso2neon::{
    context::{Cancellation, Context},
    event::{Event, Sink},
    model::{LoadCheckpoint, Plan},
    postgres::managed::LocalChoice,
    secret::Secret,
    stages::{
        convert::{ConvertRequest, convert},
        dump::dump,
        plan::{PlanRequest, plan},
    },
    workdir::Workdir,
};

use crate::support::{PgVersion, Target, Workspace, plan_builder, process::block_on};

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ObjectOutcome {
    Carried,
    Lost(String),
}

struct NullSink;

impl Sink for NullSink {
    fn emit(&self, _: &Event) {}
}

/// A dump.
pub(crate) struct Fixture {
    _workspace: Workspace,
    ctx: Context,
}

impl Fixture {
    /// Of what this script makes.
    pub(crate) fn new(script: &str) -> Self {
        let workspace = Workspace::new();
        let source = workspace.sqlite("source.db", script);
        Self::of_file(workspace, &source)
    }

    fn of_file(workspace: Workspace, source: &Path) -> Self {
        let workdir = Workdir::create(&workspace.dir()).unwrap();
        let ctx = Context { workdir, out: Arc::new(NullSink), stop: Cancellation::default() };
        let request = plan_builder::dump_request(source.to_str().unwrap());
        block_on(async { dump(&ctx, &request).await }).unwrap();
        Self { _workspace: workspace, ctx }
    }

    pub(crate) fn plan(&self) -> Plan {
        block_on(async { plan(&self.ctx, &PlanRequest::default()).await }).unwrap().plan
    }

    /// What the plan makes of these views and triggers.
    pub(crate) fn planned(&self, names: &[String]) -> Vec<(String, ObjectOutcome)> {
        outcomes(&self.plan(), names)
    }

    /// What is left of them on a server of this version.
    pub(crate) fn converted(&self, major: u32, names: &[String]) -> Vec<(String, ObjectOutcome)> {
        let (_target, checkpoint) = self.convert_into(major);
        outcomes(&self.plan().without(&checkpoint.dropped), names)
    }

    /// Converts into a fresh database of a server of this version.
    pub(crate) fn convert_into(&self, major: u32) -> (Target, LoadCheckpoint) {
        let target = Target::start_on(PgVersion::Major(major));
        let local = LocalChoice { url: Some(Secret::new(target.admin_url())), ..LocalChoice::default() };
        let request = ConvertRequest { local, jobs: 1, fresh: true, ..ConvertRequest::default() };
        let dump = self.ctx.workdir.load_dump().unwrap();
        let converted = block_on(async {
            let planned = plan(&self.ctx, &PlanRequest::default()).await?;
            convert(&self.ctx, &request, &dump, planned).await
        });
        let converted = converted.unwrap();
        (target, converted.checkpoint)
    }
}

pub(crate) fn outcomes(plan: &Plan, names: &[String]) -> Vec<(String, ObjectOutcome)> {
    let outcome = |name: &String| {
        let carried = plan.views.iter().any(|view| view.source == *name)
            || plan.triggers.iter().any(|trigger| trigger.source == *name);
        if carried {
            return ObjectOutcome::Carried;
        }
        let object = plan.objects.iter().find(|object| object.source == *name);
        ObjectOutcome::Lost(
            object.map_or_else(|| "it is not among the objects".to_owned(), |object| object.reason.clone()),
        )
    };
    names.iter().map(|name| (name.clone(), outcome(name))).collect()
}
