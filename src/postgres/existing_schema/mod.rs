//! A schema that the user gives: a file of SQL, run in a scratch cluster of its own, or the tables of a database, read
//! and not touched.
//!
//! What comes out ([`ExistingSchema`]) is stored in the plan, so that neither file nor database is needed again.

mod copy;

mod carry;

mod rows;

mod scratch;

mod script;

mod sql_splitter;

use std::{collections::BTreeSet, fs, io, path::PathBuf};

pub use carry::add_tables;
pub use copy::create_objects;
pub use scratch::ScratchCluster;

use super::{PgEndpoint, Role, Session, catalog, managed::LocalChoice};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{
        Stage,
        catalog::{Catalog, ConstraintDefinition, ObjectFacts, ObjectName},
        existing_schema::ExistingSchema,
    },
    secret::Secret,
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
    /// The database that is pushed to, and the schema of its tables there.
    Target {
        /// Its connection string.
        url: Secret<String>,
        /// The schema, if one is named.
        schema: Option<String>,
    },
}

/// The word for the database that is pushed to.
const TARGET: &str = "target";

impl SchemaFrom {
    /// Whether the target is meant. A file of that name is `./target`.
    #[must_use]
    pub fn is_target(typed: &Secret<String>) -> bool {
        typed.expose() == TARGET
    }

    /// What was typed: a PostgreSQL URL or a path.
    #[must_use]
    pub fn of(typed: &Secret<String>) -> Self {
        let text = typed.expose();
        let is_url = ["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)));
        if is_url { Self::Server(typed.clone()) } else { Self::File(PathBuf::from(text)) }
    }

    /// Reads the schema. A server is only read; a file runs in a cluster that is removed afterwards. `schema` is the one
    /// whose tables the rows go to; `fed` says for a table's name whether the source has rows for it.
    ///
    /// May be dropped and repeated: what a dropped run leaves of the scratch cluster is removed by the next.
    ///
    /// # Errors
    /// `Config` for a file that can't be read or run, or a schema that holds what this tool can't make; `Usage` and
    /// `Target*` for a database; `Local*` if the scratch cluster doesn't start.
    pub async fn load(
        &self,
        ctx: &Context,
        local: &LocalChoice,
        schema: Option<&str>,
        fed: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<ExistingSchema> {
        match self {
            Self::Server(url) => of_server(ctx, url, schema, fed).await,
            Self::Target { url, schema: named } => of_server(ctx, url, named.as_deref().or(schema), fed).await,
            Self::File(path) => {
                let text = text_of(path)?;
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let statements = sql_splitter::statements(&text).map_err(|error| in_file(&name, &error))?;
                let cluster = ScratchCluster::open(ctx, local).await?;
                let read = Box::pin(run_and_read(ctx, cluster.endpoint(), &statements, schema, fed)).await;
                // The first error is the one to report.
                let closed = cluster.close().await;
                let read = read.map_err(|error| in_file(&name, &error))?;
                closed.map(|()| read)
            }
        }
    }
}

/// Runs a text of SQL in an empty database of a scratch cluster, as psql would run it. `name` is for messages.
///
/// # Errors
/// `Config` with the line and PostgreSQL's reason; `Local*`; `Interrupted`.
pub async fn run_text(ctx: &Context, session: &Session, name: &str, text: &str) -> Result<()> {
    let statements = sql_splitter::statements(text).map_err(|error| in_file(name, &error))?;
    let ran = script::run_all(ctx, session, &statements).await;
    ran.map_err(|error| if error.kind() == Kind::Config { in_file(name, &error) } else { error })
}

/// The text of a file of SQL.
///
/// # Errors
/// `Config` if it cannot be read, is too large for a schema or is not UTF-8.
pub fn text_of(path: &std::path::Path) -> Result<String> {
    let facts = fs::metadata(path).map_err(|cause| unreadable(path, &cause))?;
    if facts.len() > FILE_BYTES_MAX {
        return Err(Error::new(Kind::Config, format!("{} is too large for a schema", path.display()))
            .with_hint("make it without rows: pg_dump --schema-only"));
    }
    let bytes = fs::read(path).map_err(|cause| unreadable(path, &cause))?;
    String::from_utf8(bytes).map_err(|_| {
        Error::new(Kind::Config, format!("{} is not UTF-8", path.display())).with_hint("save the schema's SQL as UTF-8")
    })
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

async fn of_server(
    ctx: &Context,
    url: &Secret<String>,
    schema: Option<&str>,
    fed: &(dyn Fn(&str) -> bool + Sync),
) -> Result<ExistingSchema> {
    let parsed = PgEndpoint::parse(url, Role::Target)?;
    for note in parsed.notes {
        ctx.out.warn(note);
    }
    let session = Box::pin(Session::connect_with_retry(ctx, Stage::Plan, &parsed.endpoint)).await?;
    let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
    session.batch("reading the existing schema", begin).await?;
    let mut catalog = catalog::read(&session, schema).await?;
    if catalog.tables().next().is_none() {
        return Err(Error::new(Kind::Config, format!("schema {} of the database has no tables", catalog.schema))
            .with_hint("name the schema that has the tables with --schema, or give a file of SQL to --schema-from"));
    }
    forget_numbers(&mut catalog, fed);
    // A foreign key of a table that gets rows must find the rows that it refers to.
    let parents: BTreeSet<(String, String)> = foreign_parents(&catalog, fed);
    // The rows of a partitioned table are in its partitions.
    let wanted = |name: &ObjectName| {
        let root = catalog.partition_root(name);
        parents.contains(&(root.schema.clone(), root.name.clone()))
    };
    let rows = rows::of_tables(&session, &catalog, wanted).await?;
    session.batch("reading the existing schema", "ROLLBACK").await?;
    Ok(ExistingSchema::new(parsed.endpoint.address(), true, catalog, rows))
}

/// The numbers of identity columns follow from the rows of the source where it has some.
fn forget_numbers(catalog: &mut Catalog, fed: &(dyn Fn(&str) -> bool + Sync)) {
    let home = catalog.schema.clone();
    for object in catalog.objects.iter_mut().filter(|object| object.name.schema == home && fed(&object.name.name)) {
        let ObjectFacts::Table(table) = &mut object.facts else { continue };
        table.columns.iter_mut().filter_map(|column| column.identity.as_mut()).for_each(|one| one.options.next = None);
    }
}

/// Tables without rows of the source to which tables with such rows refer, and those to which these refer in turn.
fn foreign_parents(catalog: &Catalog, fed: &(dyn Fn(&str) -> bool + Sync)) -> BTreeSet<(String, String)> {
    let is_fed = |schema: &str, table: &str| schema == catalog.schema && fed(table);
    let mut found: BTreeSet<(String, String)> = BTreeSet::new();
    loop {
        let before = found.len();
        for object in &catalog.objects {
            let ObjectFacts::Constraint(ConstraintDefinition { foreign_key: Some(key), .. }) = &object.facts else {
                continue;
            };
            let child = (object.name.schema.clone(), object.name.table.clone());
            let refers = is_fed(&child.0, &child.1) || found.contains(&child);
            if refers && !is_fed(&key.schema, &key.table) {
                found.insert((key.schema.clone(), key.table.clone()));
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

async fn run_and_read(
    ctx: &Context,
    endpoint: &PgEndpoint,
    statements: &[sql_splitter::Statement],
    schema: Option<&str>,
    fed: &(dyn Fn(&str) -> bool + Sync),
) -> Result<ExistingSchema> {
    let session = Session::connect(endpoint).await?;
    script::run_all(ctx, &session, statements).await?;
    // The script may have left its settings behind.
    let reader = Session::connect(endpoint).await?;
    let mut catalog = catalog::read(&reader, schema).await?;
    forget_numbers(&mut catalog, fed);
    let is_fed = |name: &ObjectName| name.schema == catalog.schema && fed(&name.name);
    let rows = rows::of_tables(&reader, &catalog, |name| !is_fed(catalog.partition_root(name))).await?;
    let fed: Vec<String> =
        catalog.all_tables().map(|(name, _)| name).filter(|name| is_fed(name)).map(|name| name.name.clone()).collect();
    rows::count(&reader, &mut catalog, &fed).await?;
    Ok(ExistingSchema::new("a file", false, catalog, rows))
}
