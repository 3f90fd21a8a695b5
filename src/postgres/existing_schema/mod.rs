//! A schema that the user gives: a file of SQL, run in a scratch cluster of its own, or the tables of a database, read
//! and not touched.
//!
//! What comes out ([`ExistingSchema`]) is stored in the plan, so that neither file nor database is needed again.

mod introspect;

mod sql_splitter;

use std::{fs, io, path::PathBuf};

use super::{
    PgEndpoint, Role, Session,
    managed::{LocalChoice, LocalServer},
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{Stage, existing_schema::ExistingSchema},
    secret::Secret,
    workdir::Workdir,
};

/// A schema's SQL is some hundred kilobytes; a file much larger holds rows.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Where the schema is.
#[derive(Debug, Clone)]
pub enum SchemaFrom {
    /// A file of SQL.
    File(PathBuf),
    /// A database that has the tables.
    Server(Secret<String>),
}

impl SchemaFrom {
    /// What was typed: a PostgreSQL URL or a path.
    #[must_use]
    pub fn of(typed: &Secret<String>) -> Self {
        let text = typed.expose();
        let is_url = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)));
        if is_url { Self::Server(typed.clone()) } else { Self::File(PathBuf::from(text)) }
    }

    /// Reads the schema. A server is only read; a file runs in a cluster that is removed afterwards.
    ///
    /// May be dropped and repeated: what a dropped run leaves of the scratch cluster is removed by the next.
    ///
    /// # Errors
    /// `Config` for a file that can't be read or run, or a schema that holds what this tool can't make; `Usage` and
    /// `Target*` for a database; `Local*` if the scratch cluster doesn't start.
    pub async fn load(&self, ctx: &Context, local: &LocalChoice) -> Result<ExistingSchema> {
        match self {
            Self::Server(url) => of_server(ctx, url).await,
            Self::File(path) => {
                let facts = fs::metadata(path).map_err(|cause| unreadable(path, &cause))?;
                if facts.len() > FILE_BYTES_MAX {
                    return Err(Error::new(Kind::Config, format!("{} is too large for a schema", path.display()))
                        .with_hint("make it without rows: pg_dump --schema-only"));
                }
                let bytes = fs::read(path).map_err(|cause| unreadable(path, &cause))?;
                let text = String::from_utf8(bytes).map_err(|_| {
                    Error::new(Kind::Config, format!("{} is not UTF-8", path.display()))
                        .with_hint("save the schema's SQL as UTF-8")
                })?;
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let statements = sql_splitter::statements(&text).map_err(|error| in_file(&name, &error))?;
                in_scratch(ctx, local, &name, &statements).await
            }
        }
    }
}

/// A text of SQL cut into its statements.
///
/// # Errors
/// `Config` for commands of psql and for rows.
pub fn statements_of(text: &str) -> Result<Vec<String>> {
    Ok(sql_splitter::every_statement(text)?.into_iter().map(|statement| statement.sql).collect())
}

fn unreadable(path: &std::path::Path, cause: &io::Error) -> Error {
    Error::io(Kind::Config, "reading the schema", path, cause)
        .with_hint("--schema-from takes a file of SQL, or a URL that begins with postgresql://")
}

fn in_file(name: &str, error: &Error) -> Error {
    let hint = error.hint().to_owned();
    Error::new(Kind::Config, format!("{name}: {}", error.message())).with_hint(hint)
}

async fn of_server(ctx: &Context, url: &Secret<String>) -> Result<ExistingSchema> {
    let parsed = PgEndpoint::parse(url, Role::Target)?;
    for note in parsed.notes {
        ctx.out.warn(note);
    }
    let session = Box::pin(Session::connect_with_retry(ctx, Stage::Plan, &parsed.endpoint)).await?;
    let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    session.batch("reading the existing schema", begin).await?;
    let schema = introspect::schema(&session, parsed.endpoint.address()).await?;
    session.batch("reading the existing schema", "ROLLBACK").await?;
    Ok(schema)
}

async fn in_scratch(
    ctx: &Context,
    local: &LocalChoice,
    name: &str,
    statements: &[sql_splitter::Statement],
) -> Result<ExistingSchema> {
    let home = ctx.workdir.subdir("plan")?.join("scratch");
    let workdir = Workdir::create(&home)?;
    LocalServer::discard(&workdir).await?;
    let scratch = Context { workdir: workdir.clone(), ..ctx.clone() };
    let choice = LocalChoice { url: None, pg_bin: local.pg_bin.clone(), keep_running: false };
    let server = LocalServer::open_for_load(&scratch, &choice).await?;
    let schema = Box::pin(run_and_read(ctx, &server, statements)).await;
    // The first error is the one to tell; what is left is removed by the next run.
    let closed = server.close().await;
    let discarded = LocalServer::discard(&workdir).await;
    let removed = remove(&home);
    let schema = schema.map_err(|error| in_file(name, &error))?;
    closed.and(discarded).and(removed)?;
    Ok(schema)
}

fn remove(home: &std::path::Path) -> Result<()> {
    match fs::remove_dir_all(home) {
        Ok(()) => Ok(()),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(Error::io(Kind::ArtifactIo, "removing", home, &cause)),
    }
}

async fn run_and_read(
    ctx: &Context,
    server: &LocalServer,
    statements: &[sql_splitter::Statement],
) -> Result<ExistingSchema> {
    let session = Session::connect(server.endpoint()).await?;
    session.batch("preparing the scratch cluster", "SET search_path = \"$user\", public").await?;
    for statement in statements {
        ctx.stop.check()?;
        run(&session, statement).await?;
    }
    // The script may have left its settings behind.
    let reader = Session::connect(server.endpoint()).await?;
    introspect::schema(&reader, "a file").await
}

async fn run(session: &Session, statement: &sql_splitter::Statement) -> Result<()> {
    let doing = format!("line {}", statement.line);
    let Err(error) = session.batch(&doing, &statement.sql).await else { return Ok(()) };
    if session.is_lost() {
        return Err(error);
    }
    if statement.may_fail(&error) {
        return Ok(());
    }
    let hint = if statement.begins_with(&["CREATE", "EXTENSION"]) {
        "install the extension for this machine's PostgreSQL, or give the URL of a database that has it to --schema-from"
    } else {
        "the file must run in an empty database, as psql would run it; pg_dump --schema-only makes one that does"
    };
    Err(Error::new(Kind::Config, error.message()).with_hint(hint))
}
