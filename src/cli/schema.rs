//! Runs `schema diff` and `schema sync`.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Front,
    args::SchemaArgs,
    commands::check_urls,
    flag_groups::LocalArgs,
    settings::{self, no_target},
    value_enums::{Allowance, SchemaAction, SchemaFormat},
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    pipeline::{self, interruptible},
    postgres::{PgEndpoint, existing_schema::SchemaFrom, existing_schema::text_of},
    rules::schema_sync::{Allowed, Rename},
    secret::Secret,
    stages::schema::{self, SchemaRequest, Side, SideSource},
    ui::answers,
    workdir::{Workdir, lock::Lock},
};

/// What every SQLite database file begins with.
const SQLITE_HEADER: &[u8; 16] = b"SQLite format 3\0";

/// A side as it was typed.
enum Typed {
    Plan,
    Local,
    Target,
    Url(Secret<String>),
    File(PathBuf),
}

impl Typed {
    fn of(typed: &Secret<String>) -> Self {
        match SchemaFrom::of(typed) {
            SchemaFrom::Server(url) => Self::Url(url),
            SchemaFrom::Target { .. } => Self::Target,
            SchemaFrom::File(path) => match path.to_str() {
                Some("plan") => Self::Plan,
                Some("local") => Self::Local,
                Some("target") => Self::Target,
                Some(_) | None => Self::File(path),
            },
        }
    }

    const fn is_database(&self) -> bool {
        matches!(self, Self::Local | Self::Target | Self::Url(_))
    }
}

impl Front {
    pub(super) async fn schema(&self, typed: &SchemaArgs) -> Result<u8> {
        let sides = [Typed::of(&typed.first), Typed::of(&typed.second)];
        refuse_misuse(typed, &sides)?;
        let renames: Option<Vec<Rename>> = typed.rename.iter().map(|text| Rename::parse(text)).collect();
        let renames = renames.ok_or_else(|| {
            Error::new(Kind::Usage, "--rename must be OLD=NEW for a table, or TABLE.OLD=NEW for a column")
        })?;
        let local = LocalArgs {
            local_url: typed.local.local_url.clone(),
            pg_bin: typed.local.pg_bin.clone(),
            keep_running: false,
        };
        let local = self.layers.local_choice(&local)?;
        // Declared before the context: it is removed when the command is done.
        let directory = schema::temporary_directory()?;
        let (ctx, _lock) = self.place(&sides, directory.path())?;
        let [first, second] = &sides;
        let first = self.side(&ctx, typed, &typed.first, first).await?;
        let second = self.side(&ctx, typed, &typed.second, second).await?;
        let request = SchemaRequest {
            sides: [first, second],
            local,
            allowed: Allowed {
                drops: typed.allow.contains(&Allowance::Drop),
                narrows: typed.allow.contains(&Allowance::Narrow),
                privileges: typed.privileges,
            },
            renames,
            lock_wait: Duration::from_secs(typed.wait.lock_wait),
        };
        if typed.action == SchemaAction::Sync {
            let done = interruptible(&ctx, Box::pin(schema::sync(&ctx, &request, typed.apply))).await?;
            return Ok(self.ui.answer(&answers::schema_synchronised(&done)));
        }
        let found = interruptible(&ctx, Box::pin(schema::diff(&ctx, &request))).await?;
        let [_, second] = &sides;
        let answer = match typed.format {
            SchemaFormat::Text => answers::schema_differences(&found),
            SchemaFormat::Json => answers::schema_difference_list(&found),
            SchemaFormat::Sql => answers::schema_difference_sql(&found, second.is_database()),
        };
        Ok(self.ui.answer(&answer))
    }

    /// The working directory where a side is in it; else a temporary one.
    fn place(&self, sides: &[Typed], temporary: &Path) -> Result<(Context, Option<Lock>)> {
        if sides.iter().any(|side| matches!(side, Typed::Plan | Typed::Local)) {
            let (ctx, lock) = self.enter("schema", false)?;
            return Ok((ctx, Some(lock)));
        }
        Ok((self.context(Workdir::create(temporary)?), None))
    }

    async fn side(&self, ctx: &Context, args: &SchemaArgs, typed: &Secret<String>, side: &Typed) -> Result<Side> {
        let (label, source) = match side {
            Typed::Plan => ("plan".to_owned(), SideSource::Plan(Box::new(ctx.workdir.load_plan()?))),
            Typed::Local => ("local".to_owned(), SideSource::Local(ctx.workdir.load_plan()?.schema)),
            Typed::Target => {
                let to = self.destination(&args.target, &self.layers.group()?).await?;
                let url = settings::target(&to.target)?.ok_or_else(no_target)?;
                check_urls(None, None, Some(&url))?;
                let pushed = Workdir::open(&self.globals.dir).ok().and_then(|workdir| workdir.load_push().ok());
                let schema = match pushed {
                    // Where it was pushed to, unless another schema is named.
                    Some(push) if to.target.schema.is_none() => push.schema,
                    Some(_) | None => settings::schema(&to.target),
                };
                ("target".to_owned(), SideSource::Server(url, Some(schema)))
            }
            Typed::Url(url) => {
                check_urls(None, None, Some(url))?;
                let address = PgEndpoint::parse(url, crate::postgres::Role::Target)?.endpoint.address().to_owned();
                (address, SideSource::Server(self.layers.with_password(url), PgEndpoint::schema_in(url)))
            }
            Typed::File(path) => {
                let label = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                (label, self.file(typed, path).await?)
            }
        };
        Ok(Side { label, source })
    }

    /// A SQLite file is planned in a directory of its own.
    async fn file(&self, typed: &Secret<String>, path: &Path) -> Result<SideSource> {
        let mut begin = [0; SQLITE_HEADER.len()];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut begin));
        if read.is_err() || begin != *SQLITE_HEADER {
            return text_of(path).map(SideSource::Sql);
        }
        let directory = schema::temporary_directory()?;
        let ctx = self.context(Workdir::create(directory.path())?);
        let decisions = self.layers.decisions(&self.layers.group()?, &self.layers.group()?)?;
        let plan = interruptible(&ctx, Box::pin(pipeline::plan_of_file(&ctx, typed, &decisions))).await?;
        Ok(SideSource::Plan(Box::new(plan)))
    }
}

fn refuse_misuse(typed: &SchemaArgs, sides: &[Typed; 2]) -> Result<()> {
    if typed.action == SchemaAction::Diff && typed.apply {
        return Err(Error::new(Kind::Usage, "--apply belongs to `schema sync`")
            .with_hint("run `turso2neon schema sync` with the same sides and --apply"));
    }
    if typed.action == SchemaAction::Sync && typed.format == SchemaFormat::Json {
        return Err(Error::new(Kind::Usage, "`schema sync` prints SQL").with_hint("use --json for its JSON form"));
    }
    if typed.privileges && !sides.iter().all(Typed::is_database) {
        return Err(Error::new(Kind::Usage, "--privileges compares the grants of two databases, and one side is none")
            .with_hint("both sides must be local, target or a URL; leave --privileges out to compare the rest"));
    }
    let [_, second] = sides;
    if typed.apply && !second.is_database() {
        return Err(Error::new(Kind::Usage, "--apply changes a database, and the second side is none")
            .with_hint("the second side must be local, target or a URL; without --apply the statements are printed"));
    }
    Ok(())
}
