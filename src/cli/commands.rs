//! Runs the commands, one function each: makes the request, calls the pipeline, prints the answer.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use super::{
    Front,
    args::{
        Command, ConvertArgs, DoctorArgs, DumpArgs, PlanArgs, PushArgs, ReportArgs, RollbackArgs, RunArgs, StatusArgs,
        VerifyArgs,
    },
    completions_man, configuration,
    flag_groups::{DecisionArgs, KeepArgs, LocalArgs, TargetArgs},
    settings::{self, no_target},
    value_enums::{PlanFormat, ReportFormat},
};
use crate::{
    context::Context,
    error::{Error, Kind, Result, ResultExt},
    event::Sink,
    file_access,
    model::{Stage, overrides::Overrides},
    pipeline::{self, PlanDecisions, Ran, RunRequest, interruptible},
    postgres::{PgEndpoint, Role, existing_schema::SchemaFrom},
    secret::Secret,
    source::endpoint::Source,
    stages::{
        convert::ConvertRequest,
        doctor::{self, DoctorRequest},
        dump, plan,
        push::{
            self, PushPart, PushRequest,
            rollback::{self, RollbackRequest},
        },
        report::{Report, run_record::RunRecord, verify_record::VerifyRecord},
        status,
        verify::VerifyRequest,
    },
    ui::{Answer, Ui, answers},
    workdir::{Workdir, lock::Lock, now_s},
};

impl Front {
    /// Runs the command. An error is not printed yet.
    pub(super) async fn carry_out(&self) -> Result<u8> {
        match &self.command {
            Command::Dump(typed) => self.dump(typed).await,
            Command::Plan(typed) => self.plan(typed).await,
            Command::Convert(typed) => self.convert(typed).await,
            Command::Push(typed) => self.push(typed).await,
            Command::Run(typed) => self.all(typed).await,
            Command::Verify(typed) => self.verify(typed).await,
            Command::Status(typed) => self.status(typed).await,
            Command::Report(typed) => self.report(typed),
            Command::Rollback(typed) => self.rollback(typed).await,
            Command::Doctor(typed) => self.doctor(typed).await,
            Command::Finish(typed) => self.finish(typed).await,
            Command::Clean(typed) if typed.target.is_some() => self.clean_target(typed).await,
            Command::Clean(typed) => self.clean(typed).await,
            Command::Schema(typed) => self.schema(typed).await,
            Command::Completions { shell } => Ok(self.document("completions", completions_man::completions(*shell)?)),
            Command::Explain { code } => Ok(self.ui.answer(&answers::code_explained(code)?)),
            Command::Man => Ok(self.document("man", completions_man::manual()?)),
        }
    }

    /// The working directory, locked, with the log open. `create` makes the directory if it does not exist.
    pub(super) fn enter(&self, command: &str, create: bool) -> Result<(Context, Lock)> {
        let root = &self.globals.dir;
        let workdir = if create { Workdir::create(root)? } else { Workdir::open(root)? };
        let lock = Lock::take(&workdir)?;
        self.ui.log_to(&workdir.log(), command)?;
        if let Some(event) = configuration(&self.layers) {
            self.ui.log(&event);
        }
        Ok((self.context(workdir), lock))
    }

    pub(super) fn context(&self, workdir: Workdir) -> Context {
        Context { workdir, out: Arc::<Ui>::clone(&self.ui), stop: self.stop.clone() }
    }

    async fn dump(&self, typed: &DumpArgs) -> Result<u8> {
        if typed.unblock_writes {
            return self.unblock_writes(typed).await;
        }
        let mut request = self.layers.dump(&typed.source, &typed.method, &typed.fresh)?;
        request.exclude.clone_from(&typed.exclude);
        check_urls(request.platform.is_none().then_some(&request.source), None, None)?;
        let (ctx, _lock) = self.enter("dump", true)?;
        let dumped = interruptible(&ctx, Box::pin(pipeline::dump(&ctx, &request))).await?;
        Ok(self.ui.answer(&answers::dumped(&dumped)))
    }

    async fn unblock_writes(&self, typed: &DumpArgs) -> Result<u8> {
        let settings = self.layers.platform(&typed.source)?.ok_or_else(|| {
            Error::new(Kind::Usage, "--unblock-writes needs a database of the Turso platform and an API token")
                .with_hint("give --database and --org, and set TURSO_API_TOKEN")
        })?;
        let (ctx, _lock) = self.enter("dump", true)?;
        interruptible(&ctx, Box::pin(dump::unblock_writes(&ctx, &settings))).await?;
        let text = format!("{} takes writes again\n", settings.database);
        Ok(self.ui.answer(&Answer::new("dump", text, json!({ "writes": "unblocked" }))))
    }

    async fn plan(&self, typed: &PlanArgs) -> Result<u8> {
        let decisions = self.decisions(&typed.decisions, &self.layers.group()?, &typed.target).await?;
        let (ctx, _lock) = self.enter("plan", false)?;
        let planned = interruptible(&ctx, Box::pin(pipeline::plan(&ctx, &decisions, typed.fresh.fresh))).await?;
        if let Some(place) = &typed.explain {
            let explained = Box::pin(plan::explain_settings(&ctx, planned.plan, &decisions.overrides, place));
            let explained = interruptible(&ctx, explained).await.in_stage(Stage::Plan)?;
            return Ok(self.ui.answer(&answers::explained(place, &explained)));
        }
        let verdict = plan::refuse_if_blocked(&planned.plan).in_stage(Stage::Plan).err();
        let (path, word) = match typed.format {
            PlanFormat::Text => return Ok(self.ui.answer(&answers::planned(&planned, verdict))),
            PlanFormat::Json => (ctx.workdir.plan_json(), "json"),
            PlanFormat::Md => (ctx.workdir.assessment(), "md"),
            PlanFormat::Sql => (ctx.workdir.schema_sql(), "sql"),
        };
        let text = file_access::read_to_string(&path)
            .map_err(|cause| Error::io(Kind::ArtifactIo, "reading", &path, &cause).in_stage(Stage::Plan))?;
        let json = match word {
            "json" => serde_json::to_value(&planned.plan).unwrap_or(Value::Null),
            _ => json!({ "format": word, "text": text }),
        };
        Ok(self.ui.answer(&answers::plan_document(text, json, verdict)))
    }

    /// What the plan is made with, the target's schema where `--schema-from` names it.
    async fn decisions(&self, typed: &DecisionArgs, local: &LocalArgs, target: &TargetArgs) -> Result<PlanDecisions> {
        let mut decisions = self.layers.decisions(typed, local)?;
        if names_target(typed) {
            let to = self.destination(target, &self.layers.group()?).await?;
            decisions.schema_from = Some(schema_of(&to.target)?);
        }
        Ok(decisions)
    }

    async fn convert(&self, typed: &ConvertArgs) -> Result<u8> {
        let decisions = self.decisions(&typed.decisions, &typed.local, &typed.target).await?;
        let part = settings::part(&typed.part)?;
        let request = ConvertRequest {
            schema_only: part == PushPart::Schema,
            data_only: part == PushPart::Rows,
            local: decisions.local.clone(),
            jobs: settings::jobs(&typed.jobs),
            fresh: typed.fresh.fresh,
            overrides: Overrides::default(),
        };
        check_urls(None, request.local.url.as_ref(), None)?;
        let (ctx, _lock) = self.enter("convert", false)?;
        let work = Box::pin(pipeline::convert(&ctx, &decisions, &request));
        let converted = interruptible(&ctx, work).await.inspect_err(|error| self.show_findings(&ctx, error))?;
        Ok(self.ui.answer(&answers::converted(&converted)))
    }

    /// Shows all findings if some of them block the command, whichever command made the plan.
    fn show_findings(&self, ctx: &Context, error: &Error) {
        let blocked = matches!(error.kind(), Kind::PlanBlocked | Kind::DataRefused);
        if let Some(plan) = ctx.workdir.load_plan().ok().filter(|_| blocked) {
            self.ui.show(&answers::plan_text(&plan));
        }
    }

    async fn push(&self, typed: &PushArgs) -> Result<u8> {
        let part = settings::part(&typed.part)?;
        let local = self.layers.local_choice(&typed.local)?;
        check_urls(None, local.url.as_ref(), None)?;
        if typed.trial.neon_create_branch.is_some() {
            // No branch is made for a push that has nothing to push.
            push::ready(&self.context(Workdir::open(&self.globals.dir)?), &settings::schema(&typed.target), part)?;
        }
        let to = self.destination(&typed.target, &typed.trial).await?;
        let request = settings::push(&to.target, typed.mode, local, &typed.jobs, &typed.fresh)?;
        let request = PushRequest {
            force_tables: typed.force.force_table.clone(),
            neon: to.branch,
            part,
            dry_run: typed.dry_run,
            keep_previous: !typed.keep.no_keep_previous,
            lock_wait: Duration::from_secs(typed.wait.lock_wait),
            on_drift: typed.changes.on_drift,
            on_type_change: typed.changes.on_type_change,
            ..request
        };
        check_urls(None, None, Some(&request.target))?;
        let (ctx, _lock) = self.enter("push", false)?;
        let pushed = interruptible(&ctx, Box::pin(pipeline::push(&ctx, &request))).await?;
        Ok(self.ui.answer(&answers::pushed(&pushed)))
    }

    async fn verify(&self, typed: &VerifyArgs) -> Result<u8> {
        let to = self.destination(&typed.target, &self.layers.group()?).await?;
        let typed = VerifyArgs { target: to.target.clone(), ..typed.clone() };
        let pushed = Workdir::open(&self.globals.dir).ok().filter(|workdir| workdir.push_checkpoint().exists());
        let request = VerifyRequest {
            against: settings::against(&typed, pushed.is_some())?,
            level: typed.level,
            tables: typed.tables.clone(),
            target: settings::target(&to.target)?,
            schema: match pushed.and_then(|workdir| workdir.load_push().ok()) {
                // Where it was pushed to, unless another schema is named.
                Some(push) if typed.target.schema.is_none() => push.schema,
                Some(_) | None => settings::schema(&typed.target),
            },
            local: self.layers.local_choice(&typed.local)?,
        };
        check_urls(None, request.local.url.as_ref(), request.target.as_ref())?;
        let (ctx, _lock) = self.enter("verify", false)?;
        let record: VerifyRecord = interruptible(&ctx, Box::pin(pipeline::verify(&ctx, &request))).await?;
        Ok(self.ui.answer(&answers::verified(&record)))
    }

    async fn all(&self, typed: &RunArgs) -> Result<u8> {
        let layers = &self.layers;
        let mut decisions = layers.decisions(&typed.decisions, &typed.local)?;
        let mut dump = layers.dump(&typed.source, &typed.method, &typed.fresh)?;
        dump.exclude.clone_from(&typed.decisions.exclude);
        let source = dump.platform.is_none().then_some(&dump.source);
        check_urls(source, decisions.local.url.as_ref(), None)?;
        let to = self.destination(&typed.target, &typed.trial).await?;
        let push = settings::push(&to.target, typed.mode, decisions.local.clone(), &typed.jobs, &typed.fresh)?;
        if names_target(&typed.decisions) {
            decisions.schema_from = Some(schema_of(&to.target)?);
        }
        let request = RunRequest {
            dump,
            convert: ConvertRequest {
                local: decisions.local.clone(),
                jobs: settings::jobs(&typed.jobs),
                fresh: typed.fresh.fresh,
                ..ConvertRequest::default()
            },
            push: PushRequest {
                force_tables: typed.force.force_table.clone(),
                neon: to.branch,
                keep_previous: !layers.group::<KeepArgs>()?.no_keep_previous,
                lock_wait: Duration::from_secs(typed.wait.lock_wait),
                on_drift: typed.changes.on_drift,
                on_type_change: typed.changes.on_type_change,
                ..push
            },
            level: typed.level,
            decisions,
        };
        check_urls(None, None, Some(&request.push.target))?;
        let (ctx, _lock) = self.enter("run", true)?;
        let started_s = now_s();
        let ran = interruptible(&ctx, Box::pin(pipeline::run(&ctx, &request))).await;
        // A failed run has a report, too. If it cannot be made, the error of the run is still the one to show.
        let recorded = RunRecord::new(&ctx.workdir, started_s, ran.as_ref().map(Ran::result)).store(&ctx.workdir);
        let report = recorded
            .and_then(|()| Report::build(&ctx.workdir))
            .and_then(|report| report.store(&ctx.workdir).map(|()| report));
        match ran {
            Ok(ran) => {
                self.ui.summarise(&report?.markdown());
                Ok(self.ui.answer(&answers::ran(&ran, &ctx.workdir.report("html"))))
            }
            Err(error) => {
                self.show_findings(&ctx, &error);
                // The report describes the stages that are complete, which may be those of an earlier run.
                let code = error.kind().code();
                self.ui.summarise(&format!(
                    "# turso2neon run failed ({code})\n\n{error}\n\n{}\n\nNothing later than stage `{}` of this run \
                     took place. `report.md` describes the stages that are complete.",
                    error.hint(),
                    error.stage().map_or_else(|| "dump".to_owned(), |stage| stage.to_string()),
                ));
                Err(error)
            }
        }
    }

    async fn status(&self, typed: &StatusArgs) -> Result<u8> {
        let on_target = self.look_at_target(typed).await?;
        if !self.globals.dir.exists() {
            return Ok(self.ui.answer(&answers::status(&status::nothing(), &on_target)));
        }
        let workdir = Workdir::open(&self.globals.dir)?;
        let decisions = self.layers.decisions(&self.layers.group()?, &self.layers.group()?)?;
        Ok(self.ui.answer(&answers::status(&status::status(&workdir, &decisions.forms()), &on_target)))
    }

    fn report(&self, typed: &ReportArgs) -> Result<u8> {
        let workdir = Workdir::open(&self.globals.dir)?;
        let report = Report::build(&workdir)?;
        report.store(&workdir)?;
        let whole = || serde_json::to_value(&report).unwrap_or(Value::Null);
        let (text, json) = match typed.format {
            None => (report.markdown(), whole()),
            Some(ReportFormat::Json) => (report.json()?, whole()),
            Some(ReportFormat::Md) => document("md", report.markdown()),
            Some(ReportFormat::Html) => document("html", report.html()),
        };
        self.ui.summarise(&report.markdown());
        Ok(self.ui.answer(&Answer::new("report", text, json).raw()))
    }

    async fn rollback(&self, typed: &RollbackArgs) -> Result<u8> {
        let to = self.destination(&typed.target, &self.layers.group()?).await?;
        let target = settings::target(&to.target)?.ok_or_else(no_target)?;
        check_urls(None, None, Some(&target))?;
        let (ctx, _lock) = self.enter("rollback", true)?;
        if let Some(point) = &typed.restore_point {
            let branch = to.branch.ok_or_else(|| Error::new(Kind::Usage, "--restore-point needs --neon-project"))?;
            if !self.may_restore(&ctx, &target, &branch.name, typed.yes).await? {
                return Ok(self.ui.answer(&answers::nothing_put_back()));
            }
            let preserved = interruptible(&ctx, Box::pin(branch.restore(&ctx, point))).await?;
            return Ok(self.ui.answer(&answers::restored(&branch.name, point, &preserved)));
        }
        let pushed = ctx.workdir.load_push().ok().filter(|_| to.target.schema.is_none());
        let schema = pushed.map_or_else(|| settings::schema(&to.target), |push| push.schema);
        if !typed.list && !typed.yes && !self.agreed_to_rollback(&schema) {
            return Ok(self.ui.answer(&answers::nothing_put_back()));
        }
        let request =
            RollbackRequest { target, schema, list: typed.list, lock_wait: Duration::from_secs(typed.wait.lock_wait) };
        let back = interruptible(&ctx, Box::pin(rollback::rollback(&ctx, &request))).await?;
        let points = match &to.branch {
            Some(branch) if typed.list => branch.restore_points(&ctx).await?,
            Some(_) | None => Vec::new(),
        };
        Ok(self.ui.answer(&answers::rolled_back(&back, &points)))
    }

    async fn doctor(&self, typed: &DoctorArgs) -> Result<u8> {
        let layers = &self.layers;
        let to = self.destination(&typed.target, &self.layers.group()?).await?;
        let is_named = typed.source.database.is_some() || typed.source.source.is_some();
        let request = || layers.dump(&typed.source, &layers.group()?, &layers.group()?);
        let source = if is_named { Some(request()?) } else { None };
        let local = LocalArgs {
            local_url: typed.local.local_url.clone(),
            pg_bin: typed.local.pg_bin.clone(),
            keep_running: false,
        };
        let request = DoctorRequest {
            source,
            local: layers.local_choice(&local)?,
            target: settings::target(&to.target)?,
            schema: settings::schema(&to.target),
        };
        let out: Arc<dyn Sink> = Arc::<Ui>::clone(&self.ui);
        let examination = doctor::examine(&self.globals.dir, &out, &request).await?;
        Ok(self.ui.answer(&answers::doctor(&examination)))
    }

    fn document(&self, command: &'static str, text: String) -> u8 {
        let json = Value::String(text.clone());
        self.ui.answer(&Answer::new(command, text, json).raw())
    }
}

/// Parses the URLs before anything else is done, so that a mistyped one is a usage error in every command.
pub(super) fn check_urls(
    source: Option<&Secret<String>>,
    local: Option<&Secret<String>>,
    target: Option<&Secret<String>>,
) -> Result<()> {
    if let Some(source) = source {
        Source::parse(source)?;
    }
    if let Some(local) = local {
        PgEndpoint::parse(local, Role::Local)?;
    }
    if let Some(target) = target {
        PgEndpoint::parse(target, Role::Target)?;
    }
    Ok(())
}

/// A document as it is, and the same inside JSON.
fn document(format: &str, text: String) -> (String, Value) {
    let json = json!({ "format": format, "text": text });
    (text, json)
}

/// Whether `--schema-from` names the target.
fn names_target(typed: &DecisionArgs) -> bool {
    typed.schema_from.as_ref().is_some_and(SchemaFrom::is_target)
}

/// The schema of the target as an existing schema.
fn schema_of(target: &TargetArgs) -> Result<SchemaFrom> {
    let url = settings::target(target)?.ok_or_else(|| {
        no_target().with_hint("--schema-from target requires --target, NEON_DATABASE_URL or --neon-project")
    })?;
    check_urls(None, None, Some(&url))?;
    Ok(SchemaFrom::Target { url, schema: target.schema.clone() })
}
