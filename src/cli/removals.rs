//! Runs the commands that remove what the tool made: `finish` and `clean`; and lists what it has on the target.

use std::time::Duration;

use serde_json::json;

use super::{
    Front,
    args::{CleanArgs, FinishArgs, StatusArgs},
    commands::check_urls,
    flag_groups::TargetArgs,
    settings::{self, no_target},
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::timestamp::rfc3339_s,
    pipeline::interruptible,
    postgres::{PgEndpoint, Role, managed::LocalServer},
    secret::Secret,
    stages::{
        clean,
        dump::{ArchiveSettings, archive_present},
        push::{
            LOCK_WAIT,
            removal::{self, RemovalRequest, RemovalScope},
        },
        status::{self, CheckpointState},
    },
    ui::{
        Answer,
        answers::{self, OnTarget},
    },
    workdir::{Workdir, lock::Lock},
};

/// How long `status` waits for the target.
const TARGET_WAIT: Duration = Duration::from_secs(15);

impl Front {
    /// What the tool has on the target of `status`, if one is named. A target that does not answer keeps nothing from
    /// being said of the artifacts.
    pub(super) async fn look_at_target(&self, typed: &StatusArgs) -> Result<OnTarget> {
        let Some(target) = &typed.target else { return Ok(OnTarget::NotAsked) };
        let typed = TargetArgs { target: Some(target.clone()), ..self.layers.group()? };
        let Some(target) = settings::target(&self.layers.completed(&typed)?)? else { return Ok(OnTarget::NotAsked) };
        check_urls(None, None, Some(&target))?;
        let found = tokio::time::timeout(TARGET_WAIT, Box::pin(removal::tool_objects(&target))).await;
        Ok(match found {
            Ok(Ok(objects)) => OnTarget::Found(objects),
            Ok(Err(error)) => OnTarget::Failed(error.message().to_owned()),
            Err(_) => OnTarget::Failed(format!("the target did not answer within {} s", TARGET_WAIT.as_secs())),
        })
    }

    pub(super) async fn finish(&self, typed: &FinishArgs) -> Result<u8> {
        let scope = if typed.purge { RemovalScope::MigrationAndMark } else { RemovalScope::Migration };
        let request = self.removal(&typed.target, scope, Duration::from_secs(typed.wait.lock_wait)).await?;
        let (ctx, _lock) = self.enter("finish", true)?;
        let listed = interruptible(&ctx, Box::pin(removal::look(&ctx, &request))).await?;
        if typed.dry_run {
            return Ok(self.ui.answer(&answers::to_remove(&listed, scope)));
        }
        warn_unless_verified(&ctx);
        let archive = typed.archive.clone().map(|directory| ArchiveSettings { directory, keep: None });
        if archive.is_some() {
            let dump = ctx.workdir.load_dump()?;
            let taken = rfc3339_s(dump.finished_s);
            ctx.out.info(format!("the dump of {} that was taken at {taken} will be archived", dump.source));
        }
        if !typed.yes && !self.agreed(&answers::removal_list(&listed, scope), "finish the migration")? {
            return Ok(self.ui.answer(&answers::nothing_removed("finish")));
        }
        if let Some(settings) = &archive {
            interruptible(&ctx, archive_present(&ctx, settings)).await?;
        }
        let mark = interruptible(&ctx, Box::pin(removal::remove(&ctx, &request, &listed))).await?;
        if let Err(error) = LocalServer::stop(&ctx.workdir).await {
            ctx.out.warn(format!("the local PostgreSQL still runs: {}; `turso2neon clean` stops it", error.message()));
        }
        Ok(self.ui.answer(&answers::finished(&listed, scope, mark.as_ref())))
    }

    pub(super) async fn clean_target(&self, typed: &CleanArgs) -> Result<u8> {
        let mut target: TargetArgs = self.layers.group()?;
        if let Some(Some(url)) = &typed.target {
            target = TargetArgs { target: Some(url.clone()), neon_project: None, ..target };
        }
        target.schema = typed.schema.clone().or(target.schema);
        let scope = RemovalScope::UnfinishedPushes;
        let request = self.removal(&target, scope, LOCK_WAIT).await?;
        let (ctx, _lock) = self.enter("clean", true)?;
        let listed = interruptible(&ctx, Box::pin(removal::look(&ctx, &request))).await?;
        let is_needed = !typed.yes && !listed.schemas.is_empty();
        if is_needed && !self.agreed(&answers::removal_list(&listed, scope), "remove them")? {
            return Ok(self.ui.answer(&answers::nothing_removed("clean")));
        }
        interruptible(&ctx, Box::pin(removal::remove(&ctx, &request, &listed))).await?;
        Ok(self.ui.answer(&answers::target_cleaned(&listed)))
    }

    async fn removal(&self, typed: &TargetArgs, scope: RemovalScope, lock_wait: Duration) -> Result<RemovalRequest> {
        let to = self.destination(typed, &self.layers.group()?).await?;
        let target = settings::target(&to.target)?.ok_or_else(no_target)?;
        check_urls(None, None, Some(&target))?;
        // Where this directory pushed to, unless another database or schema is named.
        let endpoint = PgEndpoint::parse(&target, Role::Target)?.endpoint;
        let pushed = Workdir::open(&self.globals.dir).ok().filter(|_| to.target.schema.is_none());
        let pushed = pushed.and_then(|workdir| workdir.load_push().ok());
        let pushed = pushed.filter(|push| push.target == endpoint.address());
        let schema = pushed.map_or_else(|| settings::schema(&to.target), |push| push.schema);
        Ok(RemovalRequest { target, schema, scope, lock_wait })
    }

    /// Shows what would be done and asks for it.
    ///
    /// # Errors
    /// `Usage` if nobody is there to answer.
    fn agreed(&self, list: &str, what: &str) -> Result<bool> {
        if !self.ui.can_ask() {
            return Err(Error::new(Kind::Usage, format!("cannot prompt for confirmation to {what}")).with_hint(
                "`turso2neon status` lists what the tool has on the target; use --yes to go on without a question",
            ));
        }
        Ok(self.ui.confirm(&format!("{list}\nDo you want to {what}?")))
    }

    /// Whether the whole branch may be set back: not where a migration is finished, and on a terminal only if the user
    /// agrees. A database that can't be reached has nothing to protect that could be seen.
    pub(super) async fn may_restore(
        &self,
        ctx: &Context,
        target: &Secret<String>,
        branch: &str,
        is_agreed: bool,
    ) -> Result<bool> {
        match Box::pin(removal::tool_objects(target)).await {
            Ok(objects) => {
                if let Some(mark) = objects.finished.first() {
                    let (schema, at) = (&mark.schema, &mark.finished_at);
                    let text = format!(
                        "the migration into schema {schema} was finished at {at}; branch {branch} is not restored"
                    );
                    return Err(Error::new(Kind::Finished, text));
                }
            }
            Err(error) => ctx.out.warn(format!("the branch's database could not be looked at: {}", error.message())),
        }
        let question = format!(
            "Set branch {branch} with all its databases back to the restore point? Everything that was written since is \
             kept in a branch of its own only."
        );
        Ok(is_agreed || !self.ui.can_ask() || self.ui.confirm(&question))
    }

    /// Asks on a terminal; without one, nobody can be asked, and the command is the consent.
    pub(super) fn agreed_to_rollback(&self, schema: &str) -> bool {
        let question = format!(
            "Put back what the last push into schema {schema} replaced or changed? \
             Rows that were written since are no longer in these tables afterwards."
        );
        !self.ui.can_ask() || self.ui.confirm(&question)
    }

    pub(super) async fn clean(&self, typed: &CleanArgs) -> Result<u8> {
        let workdir = Workdir::open(&self.globals.dir)?;
        let _lock = Lock::take(&workdir)?;
        let inventory = clean::inventory(&workdir)?;
        if !typed.yes && !inventory.own.is_empty() {
            let root = workdir.root().display();
            let question = format!("Remove {} artifacts from {root}?", inventory.own.len());
            if !self.ui.can_ask() {
                let what = format!("cannot prompt for confirmation to remove artifacts from {root}");
                return Err(Error::new(Kind::Usage, what).with_hint("use --yes"));
            }
            if !self.ui.confirm(&question) {
                let json = json!({ "removed": [], "kept": [], "freed_bytes": 0 });
                return Ok(self.ui.answer(&Answer::new("clean", "Nothing was removed".to_owned(), json)));
            }
        }
        LocalServer::discard(&workdir).await?;
        Ok(self.ui.answer(&answers::cleaned(&clean::clean(&workdir, &inventory)?)))
    }
}

/// A target that was not compared with the dump after the last push may lack something.
fn warn_unless_verified(ctx: &Context) {
    let status = status::status(&ctx.workdir, &[]);
    let verified = status.checkpoints.last().map(|checkpoint| checkpoint.state);
    if verified != Some(CheckpointState::Current) {
        let text =
            "this directory has no verification of the target after the last push; `turso2neon verify` makes one";
        ctx.out.warn(text.to_owned());
    }
}
