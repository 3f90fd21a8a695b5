//! Turns the values of the flags into requests.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    args::VerifyArgs,
    config_file::code_words,
    environment,
    flag_groups::{DecisionArgs, FreshArgs, JobsArgs, LocalArgs, MethodArgs, PartArgs, SourceArgs, TargetArgs},
    layers::Layers,
    user_sql,
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        FindingCode, drift::DriftPolicy, overrides::Overrides, push_plan::RequestedMode, similar_name::nearest,
        structure_change::TypeChangePolicy,
    },
    pipeline::PlanDecisions,
    postgres::{PasswordSources, PgEndpoint, existing_schema::SchemaFrom, managed::LocalChoice},
    secret::Secret,
    source::turso_api::PlatformSettings,
    stages::{
        dump::{ArchiveSettings, DumpRequest},
        push::{LOCK_WAIT, PushPart, PushRequest},
        verify::Against,
    },
};

/// The schema on the target where none is named.
const DEFAULT_SCHEMA: &str = "public";

/// A token is a few hundred bytes; a file much larger is the wrong file.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

impl Layers {
    /// The request of `dump`.
    ///
    /// # Errors
    /// `Usage` without a source, or if the token cannot be read.
    pub fn dump(&self, source: &SourceArgs, method: &MethodArgs, fresh: &FreshArgs) -> Result<DumpRequest> {
        let platform = self.platform(source)?;
        let url = match &platform {
            Some(_) => Secret::new(String::new()),
            None => flag_value("--source", source.source.as_ref())?.ok_or_else(|| {
                Error::new(Kind::Usage, "no source is given")
                    .with_hint("set TURSO_DATABASE_URL, or name a URL or a file with --source")
            })?,
        };
        if method.keep.is_some() && method.archive.is_none() {
            return Err(Error::new(Kind::Usage, "--keep needs --archive"));
        }
        let archive = method.archive.clone().map(|directory| ArchiveSettings { directory, keep: method.keep });
        Ok(DumpRequest {
            source: url,
            token: self.token(source)?,
            method: method.method,
            ca_file: source.ca_file.clone(),
            namespace: source.namespace.clone(),
            fresh: fresh.fresh,
            platform,
            block_writes: method.block_writes,
            exclude: Vec::new(),
            archive,
        })
    }

    /// The database of the Turso platform, if one is named.
    ///
    /// # Errors
    /// `Usage` without its organization or an API token.
    pub fn platform(&self, typed: &SourceArgs) -> Result<Option<PlatformSettings>> {
        let Some(database) = typed.database.clone() else { return Ok(None) };
        let missing = |what: &str, hint: &str| Error::new(Kind::Usage, what).with_hint(hint);
        let organization = typed.org.clone();
        let organization =
            organization.ok_or_else(|| missing("--database needs --org", "`turso org list` shows the slugs"))?;
        let token = self.environment.secret("TURSO_API_TOKEN").ok_or_else(|| {
            missing("--database needs an API token", "set TURSO_API_TOKEN; `turso auth api-tokens mint NAME` makes one")
        })?;
        let base = self.environment.text("TURSO_API_BASEURL").map(str::to_owned);
        Ok(Some(PlatformSettings { database, organization, token, base }))
    }

    /// The source's token, if one is given.
    fn token(&self, typed: &SourceArgs) -> Result<Option<Secret<String>>> {
        match &typed.auth_token_file {
            Some(path) => read_token(path).map(Some),
            None => Ok(self.environment.secret(environment::TOKEN)),
        }
    }

    /// What the plan is made with.
    ///
    /// # Errors
    /// `Usage` for an `--accept` that names no finding code.
    pub fn decisions(&self, typed: &DecisionArgs, local: &LocalArgs) -> Result<PlanDecisions> {
        let file = &self.file.overrides;
        let mut consents = BTreeMap::<String, Vec<String>>::new();
        for text in &typed.accept {
            let (code, place) = accepted(text)?;
            consents.entry(code).or_default().push(place);
        }
        Ok(PlanDecisions {
            overrides: Overrides {
                identifiers: file.identifiers,
                fts: file.fts,
                zone: file.zone.clone(),
                types: file.types.clone(),
                columns: file.columns.clone(),
                tables: file.tables.clone(),
                existing_schema: None,
                sql: user_sql::read(&file.sql)?,
                accept: self.file.accept.clone(),
                consents,
                include: typed.include.clone(),
                exclude: typed.exclude.clone(),
                vector_extension: false,
                strict: typed.strict,
            },
            vector: typed.vector,
            local: self.local_choice(local)?,
            // The target is named by other flags: `Front::decisions` takes it from there.
            schema_from: flag_value("--schema-from", typed.schema_from.as_ref())?
                .filter(|typed| !SchemaFrom::is_target(typed))
                .map(|typed| match SchemaFrom::of(&typed) {
                    SchemaFrom::Server(url) => SchemaFrom::Server(self.with_password(&url)),
                    other => other,
                }),
            carry_missing: typed.carry_missing,
            target_schema: self.group::<TargetArgs>()?.schema,
        })
    }

    /// Which local PostgreSQL.
    ///
    /// # Errors
    /// `Usage` if the flag is empty.
    pub(super) fn local_choice(&self, typed: &LocalArgs) -> Result<LocalChoice> {
        Ok(LocalChoice {
            url: flag_value("--local-url", typed.local_url.as_ref())?.map(|url| self.with_password(&url)),
            pg_bin: typed.pg_bin.clone(),
            keep_running: typed.keep_running,
            cache: self.cache(),
            held: None,
        })
    }

    /// The user's cache directory (XDG Base Directory Specification).
    fn cache(&self) -> Option<PathBuf> {
        let home = || Some(Path::new(self.environment.text("HOME")?).join(".cache"));
        self.environment.text("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute()).or_else(home)
    }

    /// The target's flags with the password that the environment has for a connection string without one, and with the
    /// schema that the connection string names.
    ///
    /// # Errors
    /// `Usage` if `--schema` names another one, or if the flag is empty.
    pub(super) fn completed(&self, typed: &TargetArgs) -> Result<TargetArgs> {
        let Some(url) = target(typed)? else { return Ok(typed.clone()) };
        let schema = match (PgEndpoint::schema_in(&url), &typed.schema) {
            (Some(in_url), Some(flag)) if in_url != *flag => {
                return Err(Error::new(
                    Kind::Usage,
                    "the connection string names another schema (?schema=) than --schema",
                )
                .with_hint("leave one of the two out"));
            }
            (in_url, flag) => flag.clone().or(in_url),
        };
        Ok(TargetArgs { target: Some(self.with_password(&url)), schema, ..typed.clone() })
    }

    pub(super) fn with_password(&self, url: &Secret<String>) -> Secret<String> {
        let file = self.environment.text("PGPASSFILE").map(PathBuf::from);
        let home = || self.environment.text("HOME").map(|home| Path::new(home).join(".pgpass"));
        let sources = PasswordSources { password: self.environment.secret("PGPASSWORD"), file: file.or_else(home) };
        sources.complete(url)
    }
}

/// Connections that load at once; 0 means the default.
pub(super) fn jobs(typed: &JobsArgs) -> usize {
    typed.jobs.map_or(0, usize::from)
}

/// Whether only the schema, or only the rows, are converted.
///
/// # Errors
/// `Config` if the file asks for both.
pub(super) fn part(typed: &PartArgs) -> Result<PushPart> {
    match (typed.schema_only, typed.data_only) {
        (true, true) => Err(Error::new(Kind::Config, "schema-only and data-only exclude each other")),
        (true, false) => Ok(PushPart::Schema),
        (false, true) => Ok(PushPart::Rows),
        (false, false) => Ok(PushPart::All),
    }
}

/// The target's connection string, if one is given.
///
/// # Errors
/// `Usage` if the flag is empty: falling back to a variable could write to the wrong database.
pub(super) fn target(typed: &TargetArgs) -> Result<Option<Secret<String>>> {
    flag_value("--target", typed.target.as_ref())
}

/// The schema on the target.
pub(super) fn schema(typed: &TargetArgs) -> String {
    typed.schema.clone().unwrap_or_else(|| DEFAULT_SCHEMA.to_owned())
}

/// The request of `push`, with what only `push` can ask for left at its default.
///
/// # Errors
/// `Usage` without a target.
pub(super) fn push(
    to: &TargetArgs,
    mode: RequestedMode,
    local: LocalChoice,
    jobs_at_once: &JobsArgs,
    fresh: &FreshArgs,
) -> Result<PushRequest> {
    Ok(PushRequest {
        target: target(to)?.ok_or_else(no_target)?,
        local,
        mode,
        on_drift: DriftPolicy::Refuse,
        on_type_change: TypeChangePolicy::Decide,
        part: PushPart::All,
        jobs: jobs(jobs_at_once),
        schema: schema(to),
        dry_run: false,
        keep_previous: true,
        force_tables: Vec::new(),
        neon: None,
        fresh: fresh.fresh,
        lock_wait: LOCK_WAIT,
    })
}

/// Which hops to verify: what is asked for, else every hop that was made.
///
/// # Errors
/// `Usage` if the target is to be checked and none is given.
pub(super) fn against(typed: &VerifyArgs, pushed: bool) -> Result<Against> {
    let side = typed.against.unwrap_or(if pushed { Against::Both } else { Against::Local });
    if side != Against::Local && target(&typed.target)?.is_none() {
        return Err(no_target()
            .with_hint("set NEON_DATABASE_URL or name it with --target; --against local leaves the target out"));
    }
    Ok(side)
}

/// The error for a command that needs a target.
pub(super) fn no_target() -> Error {
    Error::new(Kind::Usage, "no target is given")
        .with_hint("set NEON_DATABASE_URL to the connection string that Neon shows, or name it with --target")
}

/// `CODE`, `CODE@TABLE`, `CODE@TABLE.COLUMN` or `all`.
fn accepted(text: &str) -> Result<(String, String)> {
    let (code, place) = match text.split_once('@') {
        Some((code, place)) => (code, Some(place)),
        None => (text, None),
    };
    let unknown = code != "all" && code.parse::<FindingCode>().is_err();
    if unknown {
        let near = nearest(code, code_words()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        return Err(Error::new(Kind::Usage, "--accept names no finding code")
            .with_hint(format!("{near}the codes are all, {}", code_words().join(", "))));
    }
    match place {
        Some(_) if code == "all" => Err(Error::new(Kind::Usage, "--accept all takes no place")
            .with_hint("name the code: --accept CODE@TABLE.COLUMN")),
        Some("") => Err(Error::new(Kind::Usage, "--accept has nothing after the @")
            .with_hint("write --accept CODE@TABLE or --accept CODE@TABLE.COLUMN")),
        Some(place) => Ok((code.to_owned(), place.to_owned())),
        None => Ok((code.to_owned(), "*".to_owned())),
    }
}

/// A flag's value; an empty one, as of `--target "$UNSET"`, is refused.
fn flag_value(flag: &str, typed: Option<&Secret<String>>) -> Result<Option<Secret<String>>> {
    match typed {
        Some(value) if value.expose().is_empty() => Err(Error::new(Kind::Usage, format!("{flag} is empty"))
            .with_hint(format!("give {flag} a value, or leave the flag out"))),
        Some(value) => Ok(Some(value.clone())),
        None => Ok(None),
    }
}

/// The message does not name the path: people paste the token itself there.
fn read_token(path: &Path) -> Result<Secret<String>> {
    let failed = |what: &str| {
        Error::new(Kind::Usage, format!("the file given by --auth-token-file {what}"))
            .with_hint("write the token alone into a file (mode 0600) and name it, or set TURSO_AUTH_TOKEN")
    };
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        io::stdin().lock().take(TOKEN_BYTES_MAX).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text))
    };
    match read {
        Ok(read) if u64::try_from(read).unwrap_or(TOKEN_BYTES_MAX) >= TOKEN_BYTES_MAX => Err(failed("is too large")),
        Ok(_) if text.trim().is_empty() => Err(failed("is empty")),
        Ok(_) if text.trim().contains(char::is_whitespace) => Err(failed("contains more than a token")),
        Ok(_) => Ok(Secret::new(text.trim().to_owned())),
        Err(cause) => {
            let words = cause
                .raw_os_error()
                .map_or_else(|| cause.kind().to_string(), |code| io::Error::from_raw_os_error(code).to_string());
            Err(failed(&format!("cannot be read: {words}")))
        }
    }
}

#[cfg(test)]
mod tests;
