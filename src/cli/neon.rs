//! Gets the connection string of a target that is named by project and branch, from Neon's API.

use std::sync::Arc;

use super::{
    Front,
    args::{TargetArgs, TrialArgs},
    settings::target,
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    neon::{Api, Branch},
    pipeline::interruptible,
    ui::Ui,
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
            return Ok(Destination { target: typed.clone(), branch: None });
        };
        let environment = &self.layers.environment;
        let key = environment.secret("NEON_API_KEY").ok_or_else(|| {
            Error::new(Kind::Usage, "--neon-project needs the variable NEON_API_KEY")
                .with_hint("make a key in Neon's console, or give the connection string with --target")
        })?;
        let api = Api::new(key, environment.text("NEON_API_HOST"))?;
        let workdir = Workdir::create(&self.globals.dir)?;
        let ctx = Context { workdir, out: Arc::<Ui>::clone(&self.ui), stop: self.stop.clone() };
        let asking = async {
            let mut branch = Branch::find(&ctx, api, project, typed.neon_branch.as_deref()).await?;
            if let Some(name) = &trial.neon_create_branch {
                branch = branch.create(&ctx, name).await?;
            }
            let uri =
                branch.connection_string(&ctx, typed.neon_database.as_deref(), typed.neon_role.as_deref()).await?;
            Ok((branch, uri))
        };
        let (branch, uri) = interruptible(&ctx, Box::pin(asking)).await?;
        let target = TargetArgs { target: Some(uri), ..typed.clone() };
        Ok(Destination { target, branch: Some(branch) })
    }
}
