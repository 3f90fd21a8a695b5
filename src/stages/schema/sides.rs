//! Reads the sides of a comparison as catalogs.

use super::{SchemaRequest, scratch::Scratch};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{
        Plan, Stage,
        catalog::{Catalog, ObjectKind, ObjectName},
        conversion_plan::OFFTYPE_TABLE,
    },
    postgres::{PgEndpoint, Role, Session, catalog, existing_schema::run_text, managed::LocalServer},
    rules::ddl,
    secret::Secret,
};

/// One side of a comparison.
#[derive(Debug, Clone)]
pub struct Side {
    /// What it is called in messages.
    pub label: String,
    /// Where it is.
    pub source: SideSource,
}

/// Where a schema is.
#[derive(Debug, Clone)]
pub enum SideSource {
    /// The tables of a plan.
    Plan(Box<Plan>),
    /// The local PostgreSQL that `convert` loaded, and the schema that it loaded into.
    Local(String),
    /// A database, and the schema that is meant, if one is named.
    Server(Secret<String>, Option<String>),
    /// The text of a file of SQL.
    Sql(String),
}

/// A side that is ready to be read.
pub(super) struct Opened {
    label: String,
    catalog: Catalog,
    schema: Option<String>,
    endpoint: Option<PgEndpoint>,
    local: Option<LocalServer>,
    is_plan: bool,
}

impl Opened {
    /// Reads the side. A file runs in the scratch cluster.
    ///
    /// # Errors
    /// By the kind of the side.
    pub(super) async fn open(
        ctx: &Context,
        request: &SchemaRequest,
        side: &Side,
        scratch: &mut Scratch,
    ) -> Result<Self> {
        let label = side.label.clone();
        let mut opened = Self {
            label,
            catalog: Catalog::default(),
            schema: None,
            endpoint: None,
            local: None,
            is_plan: matches!(side.source, SideSource::Plan(_)),
        };
        match &side.source {
            SideSource::Plan(plan) => match &plan.existing_schema {
                Some(existing) if !existing.catalog.objects.is_empty() => {
                    opened.catalog = without_tool_objects(existing.catalog.clone());
                }
                Some(_) | None => {
                    let text = ddl::schema_sql(plan);
                    opened.catalog = of_text(ctx, &side.label, &text, Some(&plan.schema), scratch).await?;
                }
            },
            SideSource::Sql(text) => opened.catalog = of_text(ctx, &side.label, text, None, scratch).await?,
            SideSource::Local(schema) => {
                let convert = ctx.workdir.load_convert()?;
                let server = Box::pin(LocalServer::open_loaded(ctx, &request.local, &convert.local)).await?;
                opened.endpoint = Some(server.endpoint().clone());
                opened.local = Some(server);
                opened.schema = Some(schema.clone());
            }
            SideSource::Server(url, schema) => {
                let parsed = PgEndpoint::parse(url, Role::Target)?;
                for note in parsed.notes {
                    ctx.out.warn(note);
                }
                opened.endpoint = Some(parsed.endpoint);
                opened.schema.clone_from(schema);
                drop(Session::connect_with_retry(ctx, Stage::Plan, &opened_endpoint(&opened)?).await?);
            }
        }
        if opened.endpoint.is_some() {
            let read = opened.read().await;
            match read {
                Ok(catalog) => opened.catalog = catalog,
                Err(error) => {
                    opened.close().await?;
                    return Err(error);
                }
            }
        }
        for omitted in &opened.catalog.omitted {
            let what = omitted.what.replace(" is not created", "").replace(" are not carried", "");
            ctx.out.info(format!("{}: not compared: {what}", opened.label));
        }
        Ok(opened)
    }

    /// The catalog as it was read.
    pub(super) fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Whether it is a plan.
    pub(super) const fn is_plan(&self) -> bool {
        self.is_plan
    }

    /// What the side is called.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// The database, if it is one.
    pub(super) fn endpoint(&self) -> Option<&PgEndpoint> {
        self.endpoint.as_ref()
    }

    /// Reads a database again.
    ///
    /// # Errors
    /// By role.
    pub(super) async fn read(&self) -> Result<Catalog> {
        let session = Session::connect(&opened_endpoint(self)?).await?;
        let begin = "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        session.batch("reading the schema", begin).await?;
        let catalog = catalog::read_or_empty(&session, self.schema.as_deref()).await?;
        session.batch("reading the schema", "ROLLBACK").await?;
        Ok(without_tool_objects(catalog))
    }

    /// Stops what was started.
    ///
    /// # Errors
    /// `Local*`.
    pub(super) async fn close(self) -> Result<()> {
        match self.local {
            Some(server) => server.close().await,
            None => Ok(()),
        }
    }
}

fn opened_endpoint(opened: &Opened) -> Result<PgEndpoint> {
    opened.endpoint.clone().ok_or_else(|| Error::new(Kind::Bug, "a file is read as a database"))
}

async fn of_text(
    ctx: &Context,
    label: &str,
    text: &str,
    schema: Option<&str>,
    scratch: &mut Scratch,
) -> Result<Catalog> {
    let endpoint = scratch.database().await?;
    run_text(ctx, &Session::connect(&endpoint).await?, label, text).await?;
    // The script may have left its settings behind.
    let session = Session::connect(&endpoint).await?;
    Ok(without_tool_objects(catalog::read_or_empty(&session, schema).await?))
}

/// The catalog without the off-type table. The tool's own schemas are not read at all.
fn without_tool_objects(catalog: Catalog) -> Catalog {
    let is_tool =
        |name: &ObjectName| name.table == OFFTYPE_TABLE || (name.table.is_empty() && name.name == OFFTYPE_TABLE);
    catalog.only(|object| !is_tool(&object.name))
}

/// The catalog without the schemas and extensions that a plan does not have: a plan is not about them.
pub(super) fn as_far_as_planned(catalog: Catalog, plan: &Catalog) -> Catalog {
    let home = catalog.schema.clone();
    let has_schema = |schema: &str| schema == home || plan.objects.iter().any(|object| object.name.schema == schema);
    catalog.only(|object| match object.name.kind {
        ObjectKind::Schema => has_schema(&object.name.name),
        ObjectKind::Extension => plan.object(&object.name).is_some(),
        _ => has_schema(&object.name.schema),
    })
}
