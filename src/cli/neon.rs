//! Gets the connection string of a target that is named by project and branch, from Neon's API.

use super::{
    Front,
    flag_groups::{TargetArgs, TrialArgs},
    settings::target,
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    neon::{Api, Branch},
    pipeline::interruptible,
    workdir::Workdir,
};

/// The target's flags with a connection string, and the branch that it leads to, if it came from Neon's API.
pub(super) struct Destination {
    /// The flags.
    pub target: TargetArgs,
    /// The branch.
    pub branch: Option<Branch>,
}

impl Front {
    /// Asks Neon's API for the connection string if a project is named, and nothing else names a target.
    ///
    /// # Errors
    /// `Usage`, `Target*`, `Interrupted`.
    pub(super) async fn destination(&self, typed: &TargetArgs, trial: &TrialArgs) -> Result<Destination> {
        let has_target = target(typed)?.is_some();
        let Some(project) = typed.neon_project.as_ref().filter(|_| !has_target) else {
            let part = [&typed.neon_branch, &typed.neon_database, &typed.neon_role, &trial.neon_create_branch];
            if !has_target && part.iter().any(|part| part.is_some()) {
                return Err(Error::new(Kind::Usage, "a Neon branch, database or role needs --neon-project"));
            }
            return Ok(Destination { target: self.layers.completed(typed)?, branch: None });
        };
        let environment = &self.layers.environment;
        let key = environment.secret("NEON_API_KEY").ok_or_else(|| {
            Error::new(Kind::Usage, "--neon-project needs the variable NEON_API_KEY")
                .with_hint("make a key in Neon's console, or give the connection string with --target")
        })?;
        let api = Api::new(key, environment.text("NEON_API_HOST"))?;
        let workdir = Workdir::create(&self.globals.dir)?;
        let ctx = self.context(workdir);
        let (database, role) = (typed.neon_database.as_deref(), typed.neon_role.as_deref());
        let asking = async {
            let mut branch = Branch::find(&ctx, api, project, typed.neon_branch.as_deref()).await?;
            if let Some(name) = &trial.neon_create_branch {
                branch = trial_branch(&ctx, &branch, name, (database, role)).await?;
            }
            let uri = branch.connection_string(&ctx, database, role).await;
            let uri = uri.map_err(|error| match &trial.neon_create_branch {
                Some(name) => naming_branch(error, name),
                None => error,
            })?;
            Ok((branch, uri))
        };
        let (branch, uri) = interruptible(&ctx, Box::pin(asking)).await?;
        let target = TargetArgs { target: Some(uri), ..typed.clone() };
        Ok(Destination { target: self.layers.completed(&target)?, branch: Some(branch) })
    }
}

/// The branch for a trial: one of that name that exists, else a new one. What is asked for has to be on the branch that
/// it is made of before it is made.
async fn trial_branch(
    ctx: &Context,
    parent: &Branch,
    name: &str,
    (database, role): (Option<&str>, Option<&str>),
) -> Result<Branch> {
    if let Some(branch) = parent.existing(ctx, name).await? {
        ctx.out.info(format!("Neon branch {name} is there already"));
        return Ok(branch);
    }
    parent.choose(ctx, database, role).await?;
    parent.create(ctx, name).await.map_err(|error| naming_branch(error, name))
}

/// Says of a failed command which branch it can have left.
fn naming_branch(error: Error, name: &str) -> Error {
    let hint = error.hint().to_owned();
    error.with_hint(format!(
        "{hint}; Neon branch {name} may exist, the same command uses it, and it expires after 7 days"
    ))
}
