//! Defines the groups of flags that several commands share.
//!
//! Arguments that can hold a secret are `Secret<String>` with a parser that cannot fail, so that neither clap nor a
//! `Debug` has a reason to print them.

#![expect(clippy::doc_markdown, reason = "the comments are the help texts")]

use std::path::PathBuf;

use clap::{Args as ClapArgs, builder::NonEmptyStringValueParser};

use super::value_enums::whole_number;
use crate::{
    model::{drift::DriftPolicy, structure_change::TypeChangePolicy},
    pipeline::VectorMode,
    secret::{Secret, parse_secret},
    stages::{dump::Method, push::LOCK_WAIT},
};

/// Where to dump from.
#[derive(Debug, Clone, ClapArgs)]
pub struct SourceArgs {
    /// URL of a libSQL server, or path of a SQLite file
    #[arg(long, value_name = "URL-or-PATH", value_parser = parse_secret)]
    pub source: Option<Secret<String>>,
    /// File that holds the token, `-` for stdin; the variable TURSO_AUTH_TOKEN holds the token itself
    #[arg(long, value_name = "FILE")]
    pub auth_token_file: Option<PathBuf>,
    /// A CA certificate (PEM) to trust besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Namespace on a self-hosted libSQL server
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub namespace: Option<String>,
    /// A database of the Turso platform by its name; needs --org and TURSO_API_TOKEN
    #[arg(long, value_name = "NAME", conflicts_with_all = ["source", "auth_token_file", "namespace"], value_parser = NonEmptyStringValueParser::new())]
    pub database: Option<String>,
    /// The organization of --database
    #[arg(long, value_name = "ORG", value_parser = NonEmptyStringValueParser::new())]
    pub org: Option<String>,
}

/// How to dump.
#[derive(Debug, Clone, ClapArgs)]
pub struct MethodArgs {
    /// Protocol to read the source with
    #[arg(long, value_name = "METHOD", default_value = "auto")]
    pub method: Method,
    /// Keep a compressed copy of the dump there, with its metadata
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,
    /// Copies that --archive keeps, the newest first [default: all]
    #[arg(long, value_name = "N", value_parser = whole_number(1..=u32::MAX))]
    pub keep: Option<u32>,
    /// Make --database take no writes before it is read, for a last run that loses none
    #[arg(long)]
    pub block_writes: bool,
}

/// What changes the plan.
#[derive(Debug, Clone, ClapArgs)]
pub struct DecisionArgs {
    /// Accept a finding, everywhere or at one place (repeatable); `all` accepts every finding
    #[arg(long, value_name = "CODE[@TABLE[.COLUMN]]")]
    pub accept: Vec<String>,
    /// Require a decision for each view, trigger and index that is not carried
    #[arg(long)]
    pub strict: bool,
    /// Only tables that match this pattern (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub include: Vec<String>,
    /// No tables that match this pattern (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub exclude: Vec<String>,
    /// A PostgreSQL schema that gives the types: a file of SQL, the URL of a database that has the tables, or `target`
    #[arg(long, value_name = "FILE-or-URL", value_parser = parse_secret)]
    pub schema_from: Option<Secret<String>>,
    /// Create the tables that only the source has beside those of --schema-from
    #[arg(long)]
    pub carry_missing: bool,
    /// Whether vectors become pgvector types
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub vector: VectorMode,
}

/// Which local PostgreSQL.
#[derive(Debug, Clone, ClapArgs)]
pub struct LocalArgs {
    /// A local PostgreSQL instead of the managed one
    #[arg(long, value_name = "URL", value_parser = parse_secret)]
    pub local_url: Option<Secret<String>>,
    /// Directory of the PostgreSQL programs [default: found on this machine, newest first]
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
    /// Leave the managed PostgreSQL running at the end
    #[arg(long)]
    pub keep_running: bool,
}

/// Where to push to.
#[derive(Debug, Clone, ClapArgs)]
pub struct TargetArgs {
    /// Connection string of the target
    #[arg(long, value_name = "URL", value_parser = parse_secret)]
    pub target: Option<Secret<String>>,
    /// Schema on the target [default: public]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub schema: Option<String>,
    /// Neon project to ask for the connection string, with the variable NEON_API_KEY
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "target")]
    pub neon_project: Option<String>,
    /// Branch of that project [default: its default branch]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "target")]
    pub neon_branch: Option<String>,
    /// Database of that branch [default: its only one]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "target")]
    pub neon_database: Option<String>,
    /// Role to connect as [default: the database's owner]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "target")]
    pub neon_role: Option<String>,
}

/// What may be replaced on the target.
#[derive(Debug, Clone, ClapArgs)]
pub struct ForceArgs {
    /// Replace this table of the target although another tool created it, or the rows of the application in a table that
    /// the application created; `*` and `?` make a pattern (repeatable)
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub force_table: Vec<String>,
}

/// Where a trial goes.
#[derive(Debug, Clone, ClapArgs)]
pub struct TrialArgs {
    /// Create this Neon branch first and push there; it expires after 7 days
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "target")]
    pub neon_create_branch: Option<String>,
}

/// How to load.
#[derive(Debug, Clone, ClapArgs)]
pub struct JobsArgs {
    /// Connections that load at once [default: by the number of cores]
    #[arg(long, value_name = "N", value_parser = whole_number(1..=256_u16))]
    pub jobs: Option<u16>,
}

/// How long to wait for others.
#[derive(Debug, Clone, ClapArgs)]
pub struct WaitArgs {
    /// How long to try to get tables that others use
    #[arg(long, value_name = "SECONDS", value_parser = whole_number(1..=86_400_u64), default_value_t = LOCK_WAIT.as_secs())]
    pub lock_wait: u64,
}

/// Tables in use that others changed on the target, or that a push changes.
#[derive(Debug, Clone, ClapArgs)]
pub struct ChangeArgs {
    /// What to do with tables that others changed on the target since the last push
    #[arg(long, value_name = "POLICY", default_value = "refuse")]
    pub on_drift: DriftPolicy,
    /// What to do if a type, a key or an object changes that the last push brought
    #[arg(long, value_name = "POLICY", default_value = "decide")]
    pub on_type_change: TypeChangePolicy,
}

/// What a push leaves for `rollback`.
#[derive(Debug, Clone, ClapArgs)]
pub struct KeepArgs {
    /// Do not keep what is replaced or changed; `rollback` cannot restore it then
    #[arg(long)]
    pub no_keep_previous: bool,
}

/// `--fresh`.
#[derive(Debug, Clone, ClapArgs)]
pub struct FreshArgs {
    /// Forget the earlier result and do the work again
    #[arg(long)]
    pub fresh: bool,
}

/// Half of the work.
#[derive(Debug, Clone, ClapArgs)]
pub struct PartArgs {
    /// Create the tables without rows
    #[arg(long, conflicts_with = "data_only")]
    pub schema_only: bool,
    /// Load rows into tables that are there
    #[arg(long)]
    pub data_only: bool,
}

/// Which local PostgreSQL to check.
#[derive(Debug, Clone, ClapArgs)]
pub struct LocalDoctorArgs {
    /// A local PostgreSQL instead of the managed one
    #[arg(long, value_name = "URL", value_parser = parse_secret)]
    pub local_url: Option<Secret<String>>,
    /// Directory of the PostgreSQL programs [default: found on this machine, newest first]
    #[arg(long, value_name = "DIR")]
    pub pg_bin: Option<PathBuf>,
}
