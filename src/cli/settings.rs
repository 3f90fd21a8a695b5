//! Flags, environment and file become requests.
//!
//! Precedence: flag, then environment, then file, then default. An empty variable counts as unset.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use super::{
    args::{
        AgainstWord, ColorWord, DecisionArgs, DumpArgs, FreshArgs, GlobalArgs, JobsArgs, LevelWord, LocalArgs,
        MethodArgs, MethodWord, ModeWord, PartArgs, PlanFormatWord, ReportFormatWord, SourceArgs, TargetArgs,
        VectorWord, VerifyArgs,
    },
    config_file::{ConfigFile, code_words, nearest},
    environment::Environment,
    user_sql,
};
use crate::{
    error::{Error, Kind, Result},
    model::{FindingCode, overrides::Overrides},
    pipeline::{Decisions, Vector},
    postgres::managed::LocalChoice,
    secret::Secret,
    source::turso_api::PlatformSettings,
    stages::{
        dump::{ArchiveSettings, DumpRequest},
        push::{LOCK_WAIT, Part, PushRequest},
        verify::{Against, Level},
    },
};

/// The working directory where none is named.
const DEFAULT_DIR: &str = "migration";

/// The schema on the target where none is named.
const DEFAULT_SCHEMA: &str = "public";

/// A token is a few hundred bytes; a file much larger is the wrong file.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// The two layers below the flags.
pub struct Layers {
    /// The environment.
    pub environment: Environment,
    /// The file.
    pub file: ConfigFile,
}

/// What the global flags mean.
#[derive(Debug, Clone)]
pub struct Globals {
    /// The working directory.
    pub dir: PathBuf,
    /// JSON Lines on stdout.
    pub json: bool,
    /// No narration.
    pub quiet: bool,
    /// How much more narration.
    pub verbose: u8,
    /// No bars.
    pub no_progress: bool,
    /// Colours.
    pub color: ColorWord,
}

impl Layers {
    /// What the global flags mean.
    #[must_use]
    pub fn globals(&self, typed: &GlobalArgs) -> Globals {
        let named = typed.dir.clone().or_else(|| self.environment.text("TURSO2NEON_DIR").map(PathBuf::from));
        Globals {
            dir: named.or_else(|| self.file.dir.clone()).unwrap_or_else(|| PathBuf::from(DEFAULT_DIR)),
            json: typed.json || self.file.json,
            quiet: typed.quiet || (self.file.quiet && typed.verbose == 0),
            verbose: if typed.verbose > 0 { typed.verbose } else { self.file.verbose },
            no_progress: typed.no_progress || self.file.no_progress,
            color: typed.color.or(self.file.color).unwrap_or(ColorWord::Auto),
        }
    }

    /// The request of `dump`.
    ///
    /// # Errors
    /// `Usage` without a source, or if the token can't be read.
    pub fn dump(&self, typed: &DumpArgs) -> Result<DumpRequest> {
        self.dump_of(&typed.source, &typed.method, &typed.fresh)
    }

    /// The request of `dump` inside another command.
    ///
    /// # Errors
    /// As [`Self::dump`].
    pub fn dump_of(&self, source: &SourceArgs, method: &MethodArgs, fresh: &FreshArgs) -> Result<DumpRequest> {
        let platform = self.platform(source)?;
        let url = match &platform {
            Some(_) => Secret::new(String::new()),
            None => self.source(source)?.ok_or_else(|| {
                Error::new(Kind::Usage, "no source is given")
                    .with_hint("set TURSO_DATABASE_URL, or name a URL or a file with --source")
            })?,
        };
        let keep = method.keep.or(self.file.keep);
        let directory = method.archive.clone().or_else(|| self.file.archive.clone());
        if keep.is_some() && directory.is_none() {
            return Err(Error::new(Kind::Usage, "--keep needs --archive"));
        }
        let block_writes = method.block_writes || self.file.block_writes;
        let method = method.method.or(self.file.method).unwrap_or(MethodWord::Auto);
        Ok(DumpRequest {
            source: url,
            token: self.token(source)?,
            method: word(&method),
            ca_file: source.ca_file.clone().or_else(|| self.file.ca_file.clone()),
            namespace: source.namespace.clone().or_else(|| self.file.namespace.clone()),
            fresh: self.fresh(fresh),
            platform,
            block_writes,
            archive: directory.map(|directory| ArchiveSettings { directory, keep }),
        })
    }

    /// The database of the Turso platform, if one is named: by a flag, or by the file where nothing else is given.
    ///
    /// # Errors
    /// `Usage` without its organization or an API token.
    pub fn platform(&self, typed: &SourceArgs) -> Result<Option<PlatformSettings>> {
        let by_file = || self.file.database.clone().filter(|_| typed.source.is_none());
        let by_file = || by_file().filter(|_| self.environment.secret("TURSO_DATABASE_URL").is_none());
        let Some(database) = typed.database.clone().or_else(by_file) else { return Ok(None) };
        let missing = |what: &str, hint: &str| Error::new(Kind::Usage, what).with_hint(hint);
        let organization = typed.org.clone().or_else(|| self.file.org.clone());
        let organization =
            organization.ok_or_else(|| missing("--database needs --org", "`turso org list` shows the slugs"))?;
        let token = self.environment.secret("TURSO_API_TOKEN").ok_or_else(|| {
            missing("--database needs an API token", "set TURSO_API_TOKEN; `turso auth api-tokens mint NAME` makes one")
        })?;
        let base = self.environment.text("TURSO_API_BASEURL").map(str::to_owned);
        Ok(Some(PlatformSettings { database, organization, token, base }))
    }

    /// The source's URL or path, if one is given.
    ///
    /// # Errors
    /// `Usage` if the flag is empty.
    pub fn source(&self, typed: &SourceArgs) -> Result<Option<Secret<String>>> {
        let named = given("--source", typed.source.as_ref())?;
        let named = named.or_else(|| self.environment.secret("TURSO_DATABASE_URL"));
        Ok(named.or_else(|| self.file.source.clone()))
    }

    /// The source's token, if one is given.
    ///
    /// # Errors
    /// `Usage` if the file with it can't be read or doesn't look like one.
    pub fn token(&self, typed: &SourceArgs) -> Result<Option<Secret<String>>> {
        if let Some(path) = &typed.auth_token_file {
            return read_token(path).map(Some);
        }
        if let Some(token) = self.environment.secret("TURSO_AUTH_TOKEN") {
            return Ok(Some(token));
        }
        self.file.auth_token_file.as_deref().map(read_token).transpose()
    }

    /// What the plan is made with.
    ///
    /// # Errors
    /// `Usage` for an `--accept` that names no finding code.
    pub fn decisions(&self, typed: &DecisionArgs, local: &LocalArgs) -> Result<Decisions> {
        let mut accept = self.file.accept.clone();
        for text in &typed.accept {
            let (code, place) = accepted(text)?;
            accept.entry(code).or_default().push(place);
        }
        // The same decisions are the same plan, in whatever order they were typed.
        for places in accept.values_mut() {
            places.sort();
            places.dedup();
        }
        let list =
            |flags: &Vec<String>, file: &Vec<String>| if flags.is_empty() { file.clone() } else { flags.clone() };
        Ok(Decisions {
            overrides: Overrides {
                identifiers: self.file.identifiers,
                fts: self.file.fts,
                types: self.file.types.clone(),
                columns: self.file.columns.clone(),
                tables: self.file.renamed.clone(),
                given: None,
                sql: user_sql::read(&self.file.sql)?,
                accept,
                include: list(&typed.include, &self.file.include),
                exclude: list(&typed.exclude, &self.file.exclude),
                vector_extension: false,
            },
            vector: match typed.vector.or(self.file.vector).unwrap_or(VectorWord::Auto) {
                VectorWord::Auto => Vector::Auto,
                VectorWord::On => Vector::On,
                VectorWord::Off => Vector::Off,
            },
            local: self.local(local)?,
            schema_from: given("--schema-from", typed.schema_from.as_ref())?.or_else(|| self.file.schema_from.clone()),
        })
    }

    /// Which local PostgreSQL.
    ///
    /// # Errors
    /// `Usage` if the flag is empty.
    pub fn local(&self, typed: &LocalArgs) -> Result<LocalChoice> {
        let named = given("--local-url", typed.local_url.as_ref())?;
        let named = named.or_else(|| self.environment.secret("TURSO2NEON_LOCAL_URL"));
        Ok(LocalChoice {
            url: named.or_else(|| self.file.local_url.clone()),
            pg_bin: typed.pg_bin.clone().or_else(|| self.file.pg_bin.clone()),
            keep_running: typed.keep_running || self.file.keep_running,
        })
    }

    /// Connections that load at once; 0 means the default.
    #[must_use]
    pub fn jobs(&self, typed: &JobsArgs) -> usize {
        typed.jobs.or(self.file.jobs).map_or(0, usize::from)
    }

    /// Whether to forget the earlier result.
    #[must_use]
    pub fn fresh(&self, typed: &FreshArgs) -> bool {
        typed.fresh || self.file.fresh
    }

    /// Whether only the schema, or only the rows, are converted.
    ///
    /// # Errors
    /// `Usage` if both are asked for.
    pub fn parts(&self, typed: &PartArgs) -> Result<(bool, bool)> {
        let schema_only = typed.schema_only || (self.file.schema_only && !typed.data_only);
        let data_only = typed.data_only || (self.file.data_only && !schema_only);
        if schema_only && data_only {
            return Err(Error::new(Kind::Config, "schema-only and data-only exclude each other"));
        }
        Ok((schema_only, data_only))
    }

    /// The target's connection string, if one is given.
    ///
    /// # Errors
    /// `Usage` if the flag is empty: falling back to a variable could write to the wrong database.
    pub fn target(&self, typed: &TargetArgs) -> Result<Option<Secret<String>>> {
        let environment = &self.environment;
        let named = given("--target", typed.target.as_ref())?.or_else(|| environment.secret("NEON_DATABASE_URL"));
        Ok(named.or_else(|| environment.secret("DATABASE_URL")).or_else(|| self.file.target.clone()))
    }

    /// The schema on the target.
    #[must_use]
    pub fn schema(&self, typed: &TargetArgs) -> String {
        let named = typed.schema.clone().or_else(|| self.file.schema.clone());
        named.unwrap_or_else(|| DEFAULT_SCHEMA.to_owned())
    }

    /// Whether flag or file name the schema on the target.
    #[must_use]
    pub fn names_schema(&self, typed: &TargetArgs) -> bool {
        typed.schema.is_some() || self.file.schema.is_some()
    }

    /// The request of `push`.
    ///
    /// # Errors
    /// `Usage` without a target.
    pub fn push(
        &self,
        target: &TargetArgs,
        mode: Option<ModeWord>,
        local: &LocalArgs,
        jobs: &JobsArgs,
        fresh: &FreshArgs,
    ) -> Result<PushRequest> {
        Ok(PushRequest {
            target: self.target(target)?.ok_or_else(no_target)?,
            local: self.local(local)?,
            mode: mode.or(self.file.mode).unwrap_or(ModeWord::Auto).into(),
            part: Part::All,
            jobs: self.jobs(jobs),
            schema: self.schema(target),
            dry_run: false,
            keep_previous: !self.file.no_keep_previous,
            force_tables: Vec::new(),
            neon: None,
            fresh: self.fresh(fresh),
            lock_wait: LOCK_WAIT,
        })
    }

    /// Which hops to verify: what is asked for, else every hop that was made.
    ///
    /// # Errors
    /// `Usage` if the target is to be checked and none is given.
    pub fn against(&self, typed: &VerifyArgs, pushed: bool) -> Result<Against> {
        let side = match typed.against.or(self.file.against) {
            Some(AgainstWord::Target) => Against::Target,
            Some(AgainstWord::Both) => Against::Both,
            None if pushed => Against::Both,
            Some(AgainstWord::Local) | None => Against::Local,
        };
        if side != Against::Local && self.target(&typed.target)?.is_none() {
            return Err(no_target()
                .with_hint("set NEON_DATABASE_URL or name it with --target; --against local leaves the target out"));
        }
        Ok(side)
    }

    /// How deep to verify.
    #[must_use]
    pub fn level(&self, typed: Option<LevelWord>) -> Level {
        match typed.or(self.file.level).unwrap_or(LevelWord::Full) {
            LevelWord::Counts => Level::Counts,
            LevelWord::Digest => Level::Digest,
            LevelWord::Full => Level::Full,
        }
    }

    /// The form of `plan`'s answer, and whether it was asked for.
    ///
    /// # Errors
    /// `Config` if the file names a form that only `report` has.
    pub fn plan_format(&self, typed: Option<PlanFormatWord>) -> Result<Option<PlanFormatWord>> {
        format_of(typed, self.file.format.as_deref(), "plan")
    }

    /// The form of `report`'s answer, and whether it was asked for.
    ///
    /// # Errors
    /// `Config` if the file names a form that only `plan` has.
    pub fn report_format(&self, typed: Option<ReportFormatWord>) -> Result<Option<ReportFormatWord>> {
        format_of(typed, self.file.format.as_deref(), "report")
    }
}

/// The error for a command that needs a target.
pub(super) fn no_target() -> Error {
    Error::new(Kind::Usage, "no target is given")
        .with_hint("set NEON_DATABASE_URL to the connection string that Neon shows, or name it with --target")
}

fn format_of<T: ValueEnum>(typed: Option<T>, file: Option<&str>, command: &str) -> Result<Option<T>> {
    match (typed, file) {
        (Some(typed), _) => Ok(Some(typed)),
        (None, None) => Ok(None),
        (None, Some(text)) => T::from_str(text, false).map(Some).map_err(|_| {
            Error::new(Kind::Config, format!("the configuration's `format` is not one that `{command}` has"))
                .with_hint(format!("name one with --format; see `turso2neon {command} --help`"))
        }),
    }
}

/// `CODE`, `CODE@TABLE`, `CODE@TABLE.COLUMN` or `all`.
fn accepted(text: &str) -> Result<(String, String)> {
    let (code, place) = match text.split_once('@') {
        Some((code, place)) => (code, Some(place)),
        None => (text, None),
    };
    let unknown = code != "all" && FindingCode::from_word(code).is_none();
    if unknown {
        let near = nearest(code, &code_words()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
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
fn given(flag: &str, typed: Option<&Secret<String>>) -> Result<Option<Secret<String>>> {
    match typed {
        Some(value) if value.expose().is_empty() => Err(Error::new(Kind::Usage, format!("{flag} is empty"))
            .with_hint(format!("give {flag} a value, or leave the flag out"))),
        Some(value) => Ok(Some(value.clone())),
        None => Ok(None),
    }
}

fn word<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().map(|word| word.get_name().to_owned()).unwrap_or_default()
}

/// The message doesn't name the path: people paste the token itself there.
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
        Ok(_) if text.trim().contains(char::is_whitespace) => Err(failed("holds more than a token")),
        Ok(_) => Ok(Secret::new(text.trim().to_owned())),
        Err(cause) => {
            let words = cause
                .raw_os_error()
                .map_or_else(|| cause.kind().to_string(), |code| io::Error::from_raw_os_error(code).to_string());
            Err(failed(&format!("can't be read: {words}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(variables: &[(&'static str, &str)], file: &str) -> Layers {
        Layers { environment: Environment::of(variables), file: ConfigFile::parse(file, "t.toml").unwrap() }
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file() {
        let all = layers(&[("TURSO2NEON_DIR", "b")], "dir = 'c'");
        let typed = GlobalArgs { dir: Some(PathBuf::from("a")), ..GlobalArgs::default() };
        assert_eq!(all.globals(&typed).dir, Path::new("a"));
        assert_eq!(all.globals(&GlobalArgs::default()).dir, Path::new("b"));
        assert_eq!(layers(&[], "dir = 'c'").globals(&GlobalArgs::default()).dir, Path::new("c"));
        assert_eq!(layers(&[], "").globals(&GlobalArgs::default()).dir, Path::new("migration"));
    }

    #[test]
    fn the_target_prefers_neon_over_the_general_variable() {
        let none = TargetArgs::default();
        let shown = |layers: &Layers| layers.target(&none).unwrap().map(|url| url.expose().clone());
        assert_eq!(shown(&layers(&[("DATABASE_URL", "d"), ("NEON_DATABASE_URL", "n")], "")), Some("n".to_owned()));
        assert_eq!(shown(&layers(&[("DATABASE_URL", "d")], "target = 'f'")), Some("d".to_owned()));
        assert_eq!(shown(&layers(&[], "target = 'f'")), Some("f".to_owned()));
        assert_eq!(shown(&layers(&[], "")), None);
        let empty = TargetArgs { target: Some(Secret::new(String::new())), ..TargetArgs::default() };
        assert_eq!(layers(&[("DATABASE_URL", "d")], "").target(&empty).unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn accepted_findings_of_file_and_flags_add_up() {
        let typed = DecisionArgs {
            accept: vec!["orphan-rows@posts.author_id".to_owned(), "view-not-carried".to_owned()],
            ..DecisionArgs::default()
        };
        let decisions =
            layers(&[], "[accept]\norphan-rows = ['comments']").decisions(&typed, &LocalArgs::default()).unwrap();
        assert_eq!(decisions.overrides.accept["orphan-rows"], ["comments", "posts.author_id"]);
        assert_eq!(decisions.overrides.accept["view-not-carried"], ["*"]);
    }

    #[test]
    fn a_wrong_accept_is_refused_with_the_codes() {
        for text in ["orphans", "all@x", "orphan-rows@"] {
            let typed = DecisionArgs { accept: vec![text.to_owned()], ..DecisionArgs::default() };
            assert_eq!(
                layers(&[], "").decisions(&typed, &LocalArgs::default()).unwrap_err().kind(),
                Kind::Usage,
                "{text}"
            );
        }
        let typed = DecisionArgs { accept: vec!["orphan-row".to_owned()], ..DecisionArgs::default() };
        let error = layers(&[], "").decisions(&typed, &LocalArgs::default()).unwrap_err();
        assert!(error.hint().starts_with("did you mean `orphan-rows`? the codes are all, "), "{}", error.hint());
    }

    #[test]
    fn what_is_verified_follows_what_was_pushed() {
        let with = layers(&[("NEON_DATABASE_URL", "n")], "");
        let without = layers(&[], "");
        let typed = VerifyArgs::default();
        assert_eq!(with.against(&typed, true).unwrap(), Against::Both);
        assert_eq!(with.against(&typed, false).unwrap(), Against::Local);
        assert_eq!(without.against(&typed, true).unwrap_err().kind(), Kind::Usage);
        assert_eq!(without.against(&typed, false).unwrap(), Against::Local);
    }

    #[test]
    fn a_token_file_is_never_named() {
        let error = read_token(Path::new("/nowhere/eyJhunter2")).unwrap_err();
        assert!(!format!("{error} {}", error.hint()).contains("hunter2"));
    }
}
