//! Defines the command line: every command and every flag, each once.
//!
//! The parser, the keys of the configuration file, the help, the manual page, the completions and `docs/flags.md` all
//! follow from these definitions. The fields have the values after flags, environment, file and defaults were put
//! together: see [`super::layers`].
//!
//! Arguments that can hold a secret are `Secret<String>` with a parser that cannot fail, so that neither clap nor a
//! `Debug` has a reason to print them.

use std::path::PathBuf;

use clap::{
    ArgAction, Args as ClapArgs, CommandFactory, Parser, Subcommand,
    builder::{NonEmptyStringValueParser, StyledStr},
};

use super::{
    environment::{self, VARIABLES},
    flag_groups::{
        ChangeArgs, DecisionArgs, ForceArgs, FreshArgs, JobsArgs, KeepArgs, LocalArgs, LocalDoctorArgs, MethodArgs,
        PartArgs, SourceArgs, TargetArgs, TrialArgs, WaitArgs,
    },
    value_enums::{Allowance, ColorChoice, PlanFormat, ReportFormat, SchemaAction, SchemaFormat},
};
use crate::{
    model::push_plan::RequestedMode,
    secret::{Secret, parse_secret},
    stages::verify::{Against, VerifyLevel},
};

/// Flags and keys of later versions.
pub const LATER: [&str; 1] = ["sample"];

const EXIT_CODES_AND_EXAMPLE: &str = "\
Exit codes:
  0 done, or verified equal       1 the answer is no (differences, findings to decide)
  2 usage or configuration        3 source               4 artifact
  5 data                          6 local PostgreSQL     7 target
  8 state (occupied, locked)     70 a bug in this tool 130 interrupted

Example:
  export TURSO_DATABASE_URL=libsql://shop-me.turso.io TURSO_AUTH_TOKEN=...
  export NEON_DATABASE_URL='postgresql://...neon.tech/neondb?sslmode=require'
  turso2neon run";

/// The definition as clap's commands. The help names the environment variables, but never their values.
#[must_use]
pub fn command() -> clap::Command {
    let variables = VARIABLES.iter().map(|variable| format!("  {:<22} {}\n", variable.name, variable.meaning));
    let after = format!("Environment:\n{}\n{EXIT_CODES_AND_EXAMPLE}", variables.collect::<String>());
    let command = Args::command().after_help(after).mut_args(with_variables);
    command.mut_subcommands(|subcommand| subcommand.mut_args(with_variables))
}

fn with_variables(arg: clap::Arg) -> clap::Arg {
    let names: Vec<&str> = arg.get_long().map(|flag| environment::of_flag(flag).collect()).unwrap_or_default();
    if names.is_empty() {
        return arg;
    }
    let help = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
    arg.help(format!("{help} [env: {}]", names.join(", then ")))
}

/// Moves a Turso/libSQL database to Neon PostgreSQL and proves that nothing was lost.
#[derive(Debug, Parser)]
#[command(
    name = "turso2neon",
    bin_name = "turso2neon",
    version,
    about,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Args {
    /// Flags of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Working directory that holds all artifacts
    #[arg(long, global = true, value_name = "DIR", default_value = "migration")]
    pub dir: PathBuf,
    /// Configuration file [default: turso2neon.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Answer in JSON Lines on stdout; the last line has the type `result` or `error`
    #[arg(long, global = true)]
    pub json: bool,
    /// Only warnings and errors on stderr; the answer stays
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more on stderr; twice also reports every commit
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Plain lines instead of progress bars
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

/// The commands in flow order.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take a consistent copy of the source into DIR/dump
    Dump(DumpArgs),
    /// Assess the dump and decide every type and object, into DIR/plan
    Plan(PlanArgs),
    /// Load dump and plan into the local PostgreSQL
    Convert(ConvertArgs),
    /// Copy the local PostgreSQL to Neon
    Push(PushArgs),
    /// dump, plan, convert, push, verify in order; continues where a former run stopped
    Run(Box<RunArgs>),
    /// Compare dump, local PostgreSQL and target, value by value
    Verify(VerifyArgs),
    /// What each checkpoint holds, what is stale, what would run next; what the tool has on the target
    Status(StatusArgs),
    /// Render the migration report from the artifacts
    Report(ReportArgs),
    /// Put back what the last push replaced or changed on the target
    Rollback(RollbackArgs),
    /// Check both ends, versions, rights, TLS, disk space; change nothing
    Doctor(DoctorArgs),
    /// Mark the migration as finished and remove the tool's own objects from the target
    Finish(FinishArgs),
    /// Stop the managed PostgreSQL and remove the local artifacts; or remove what unfinished pushes left on the target
    Clean(CleanArgs),
    /// Compare two schemas, or write the SQL that makes the second like the first
    Schema(Box<SchemaArgs>),
    /// Describe the code of a finding or an error; needs no network and no working directory
    Explain {
        /// Such as orphan-rows or target-drifted
        #[arg(value_name = "CODE", value_parser = NonEmptyStringValueParser::new())]
        code: String,
    },
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff)
    Man,
}

/// `dump`.
#[derive(Debug, Clone, ClapArgs)]
#[allow(missing_docs, reason = "groups of flags, documented where they are defined")]
pub struct DumpArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub fresh: FreshArgs,
    /// Undo --block-writes; nothing is dumped
    #[arg(long, conflicts_with = "block_writes")]
    pub unblock_writes: bool,
    /// No tables that match this pattern (repeatable): the dump leaves them out
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
}

/// `plan`.
#[derive(Debug, Clone, ClapArgs)]
#[allow(missing_docs, reason = "groups of flags, documented where they are defined")]
pub struct PlanArgs {
    #[command(flatten)]
    pub decisions: DecisionArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub fresh: FreshArgs,
    /// Show the evidence behind one table or column
    #[arg(long, value_name = "TABLE[.COLUMN]", conflicts_with = "format", value_parser = NonEmptyStringValueParser::new())]
    pub explain: Option<String>,
    /// Form of the answer
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: PlanFormat,
}

/// `convert`.
#[derive(Debug, Clone, ClapArgs)]
#[allow(missing_docs, reason = "groups of flags, documented where they are defined")]
pub struct ConvertArgs {
    #[command(flatten)]
    pub decisions: DecisionArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub local: LocalArgs,
    #[command(flatten)]
    pub jobs: JobsArgs,
    #[command(flatten)]
    pub fresh: FreshArgs,
    #[command(flatten)]
    pub part: PartArgs,
}

/// `push`.
#[derive(Debug, Clone, ClapArgs)]
#[allow(missing_docs, reason = "groups of flags, documented where they are defined")]
pub struct PushArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// How the tables get to the target
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub mode: RequestedMode,
    #[command(flatten)]
    pub local: LocalArgs,
    #[command(flatten)]
    pub jobs: JobsArgs,
    #[command(flatten)]
    pub fresh: FreshArgs,
    /// Check everything and say what would be done; write nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub keep: KeepArgs,
    #[command(flatten)]
    pub part: PartArgs,
    #[command(flatten)]
    pub force: ForceArgs,
    #[command(flatten)]
    pub trial: TrialArgs,
    #[command(flatten)]
    pub wait: WaitArgs,
    #[command(flatten)]
    pub changes: ChangeArgs,
}

/// `run`.
#[derive(Debug, Clone, ClapArgs)]
#[allow(missing_docs, reason = "groups of flags, documented where they are defined")]
pub struct RunArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    #[command(flatten)]
    pub decisions: DecisionArgs,
    #[command(flatten)]
    pub local: LocalArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub trial: TrialArgs,
    #[command(flatten)]
    pub force: ForceArgs,
    /// How the tables get to the target
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub mode: RequestedMode,
    /// How deep to verify at the end
    #[arg(long, value_name = "LEVEL", default_value = "full")]
    pub level: VerifyLevel,
    #[command(flatten)]
    pub wait: WaitArgs,
    #[command(flatten)]
    pub changes: ChangeArgs,
    #[command(flatten)]
    pub jobs: JobsArgs,
    #[command(flatten)]
    pub fresh: FreshArgs,
}

/// `verify`.
#[derive(Debug, Clone, ClapArgs)]
#[allow(missing_docs, reason = "groups of flags, documented where they are defined")]
pub struct VerifyArgs {
    /// What to compare with the dump [default: both once something was pushed, else local]
    #[arg(long, value_name = "SIDE")]
    pub against: Option<Against>,
    /// How deep to look
    #[arg(long, value_name = "LEVEL", default_value = "full")]
    pub level: VerifyLevel,
    /// Only these tables, by their names in the source
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub tables: Vec<String>,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub local: LocalArgs,
}

/// `report`.
#[derive(Debug, Clone, ClapArgs)]
pub struct ReportArgs {
    /// Which of the three to print; all are written to DIR [default: md]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<ReportFormat>,
}

/// `rollback`.
#[derive(Debug, Clone, ClapArgs)]
#[allow(missing_docs, reason = "groups of flags, documented where they are defined")]
pub struct RollbackArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Only say what would be put back
    #[arg(long)]
    pub list: bool,
    /// Put back without a question
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub wait: WaitArgs,
    /// Overwrite the Neon branch, with all its databases, by this restore point
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "list")]
    pub restore_point: Option<String>,
}

/// `doctor`.
#[derive(Debug, Clone, ClapArgs)]
#[allow(missing_docs, reason = "groups of flags, documented where they are defined")]
pub struct DoctorArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub local: LocalDoctorArgs,
    #[command(flatten)]
    pub target: TargetArgs,
}

/// `status`.
#[derive(Debug, Clone, ClapArgs)]
pub struct StatusArgs {
    /// Connection string of a target whose objects of this tool are listed
    #[arg(long, value_name = "URL", value_parser = parse_secret)]
    pub target: Option<Secret<String>>,
}

/// `finish`.
#[derive(Debug, Clone, ClapArgs)]
#[allow(missing_docs, reason = "groups of flags, documented where they are defined")]
pub struct FinishArgs {
    #[command(flatten)]
    pub target: TargetArgs,
    /// Only list what the tool has on the target and what would be removed
    #[arg(long)]
    pub dry_run: bool,
    /// Keep a compressed copy of the dump there, with its metadata
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,
    /// Remove the mark of the finished migration too; a later push is not refused because of it
    #[arg(long)]
    pub purge: bool,
    /// Remove without a question
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `schema`.
#[derive(Debug, Clone, ClapArgs)]
#[allow(missing_docs, reason = "groups of flags, documented where they are defined")]
pub struct SchemaArgs {
    /// Compare, or make the second schema like the first
    #[arg(value_name = "ACTION")]
    pub action: SchemaAction,
    /// A schema: plan, local, target, a PostgreSQL URL, a file of SQL or a SQLite file
    #[arg(value_name = "FIRST", value_parser = parse_secret)]
    pub first: Secret<String>,
    /// Another schema, named in the same way
    #[arg(value_name = "SECOND", value_parser = parse_secret)]
    pub second: Secret<String>,
    /// Form of the answer of diff
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: SchemaFormat,
    /// Changes that sync makes besides those that add and widen (repeatable, or separated by commas)
    #[arg(long, value_name = "CHANGES", value_delimiter = ',')]
    pub allow: Vec<Allowance>,
    /// A table or column of the second schema that has another name in the first (repeatable)
    #[arg(long, value_name = "[TABLE.]OLD=NEW", value_parser = NonEmptyStringValueParser::new())]
    pub rename: Vec<String>,
    /// Execute the statements on the second schema: local, target or a URL
    #[arg(long)]
    pub apply: bool,
    /// Compare grants, too, if both schemas are databases
    #[arg(long)]
    pub privileges: bool,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub local: LocalDoctorArgs,
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// `clean`.
#[derive(Debug, Clone, ClapArgs)]
pub struct CleanArgs {
    /// Remove what unfinished pushes left on the target, and no local artifacts [default: the target of a push]
    #[arg(long, value_name = "URL", value_parser = parse_secret)]
    pub target: Option<Option<Secret<String>>>,
    /// Schema on the target [default: public]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub schema: Option<String>,
    /// Remove without a question
    #[arg(long)]
    pub yes: bool,
}
