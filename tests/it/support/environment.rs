//! A source server, a target server and a working directory: what a user has when the tool is called.

use super::{Sqld, Target, Tool, fixture::Workspace};

/// All three, dropped together.
pub(crate) struct Environment {
    /// Where DIR is.
    pub(crate) workspace: Workspace,
    /// Where the data are.
    pub(crate) source: Sqld,
    /// Where they are to be.
    pub(crate) target: Target,
}

impl Environment {
    /// With an empty source.
    pub(crate) fn new() -> Self {
        Self { workspace: Workspace::new(), source: Sqld::start(), target: Target::start() }
    }

    /// With this content at the source.
    pub(crate) fn from(script: &str) -> Self {
        let environment = Self::new();
        environment.source.execute(script);
        environment
    }

    /// With the sample database at this percentage of 100,000 rows.
    pub(crate) fn with_sample_db(percent: u32) -> Self {
        let environment = Self::new();
        environment.source.fill_sample_db(percent);
        environment
    }

    /// A call on DIR with the secrets in the environment. Findings are accepted where a command asks for it.
    pub(crate) fn tool(&self, command: &str) -> Tool {
        let tool = self
            .workspace
            .tool(command)
            .env("TURSO_DATABASE_URL", self.source.url())
            .env("TURSO_AUTH_TOKEN", self.source.read_only_token())
            .env("NEON_DATABASE_URL", self.target.url());
        if ["plan", "convert", "run"].contains(&command) { tool.args(["--accept", "all"]) } else { tool }
    }

    /// Calls commands one after the other, each in a process of its own, and stops the test unless all end with 0.
    #[track_caller]
    pub(crate) fn call(&self, commands: &[&str]) {
        for command in commands {
            self.tool(command).run().expect_exit(0);
        }
    }
}
