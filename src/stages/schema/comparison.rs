//! Compares two catalogs, in the words of one server.

use super::{
    SchemaRequest,
    scratch::Scratch,
    sides::{Opened, as_far_as_planned},
};
use crate::{
    context::Context,
    error::{Error, Kind, Result},
    model::{
        catalog::{Catalog, ObjectFacts, ObjectKind, ObjectName},
        identifier::{quote_ident, quote_literal},
    },
    postgres::{Session, catalog, existing_schema::create_objects},
    rules::schema_sync::{self, ChangeWord, Difference, DifferenceKind},
};

/// Both catalogs with the same main schema, and how they differ.
#[derive(Debug, Clone)]
pub(super) struct Comparison {
    pub(super) first: Catalog,
    pub(super) second: Catalog,
    pub(super) differences: Vec<Difference>,
}

impl Comparison {
    /// Compares the sides.
    ///
    /// # Errors
    /// `Config` if a schema cannot be created in the scratch cluster; `Local*`.
    pub(super) async fn make(
        ctx: &Context,
        request: &SchemaRequest,
        sides: [&Opened; 2],
        scratch: &mut Scratch,
    ) -> Result<Self> {
        let [mut first, mut second] = sides.map(|side| side.catalog().clone());
        match sides.map(Opened::is_plan) {
            [true, false] => second = as_far_as_planned(second, &first),
            [false, true] => first = as_far_as_planned(first, &second),
            _ => {}
        }
        let labels = sides.map(Opened::label);
        compare(ctx, request, labels, first, second, scratch).await
    }
}

/// The differences between a catalog of an earlier comparison and one that was read since.
///
/// # Errors
/// As [`Comparison::make`].
pub(super) async fn between(
    ctx: &Context,
    request: &SchemaRequest,
    first: &Catalog,
    second: Catalog,
    scratch: &mut Scratch,
) -> Result<Vec<Difference>> {
    let [one, other] = &request.sides;
    let labels = [one.label.as_str(), other.label.as_str()];
    Ok(compare(ctx, request, labels, first.clone(), second, scratch).await?.differences)
}

async fn compare(
    ctx: &Context,
    request: &SchemaRequest,
    labels: [&str; 2],
    first: Catalog,
    second: Catalog,
    scratch: &mut Scratch,
) -> Result<Comparison> {
    let privileges = request.allowed.privileges;
    let is_comparable = first.version / 10_000 == second.version / 10_000 && first.schema == second.schema;
    let direct = if is_comparable { Some(schema_sync::differences(&first, &second, privileges)) } else { None };
    let direct = match direct {
        Some(differences) if !differences.iter().any(|difference| is_of_text(&first, difference)) => {
            return Ok(Comparison { first, second, differences });
        }
        other => other,
    };
    ctx.stop.check()?;
    let home = second.schema.clone();
    let copies = async {
        let one = copied(request, labels[0], &first, &home, scratch).await?;
        let other = copied(request, labels[1], &second, &home, scratch).await?;
        Ok::<_, Error>((one, other))
    };
    match (Box::pin(copies).await, direct) {
        (Ok((first, second)), _) => {
            let differences = schema_sync::differences(&first, &second, privileges);
            Ok(Comparison { first, second, differences })
        }
        // What the servers print themselves is compared: more may differ than does.
        (Err(error), Some(differences)) if error.kind() == Kind::Config || error.kind() == Kind::LocalMissing => {
            ctx.out.warn(format!(
                "the schemas are compared as their servers print them, because one cannot be created in a scratch cluster: \
                 {}",
                error.message()
            ));
            Ok(Comparison { first, second, differences })
        }
        (Err(error), _) => Err(error),
    }
}

/// Whether the difference is one of SQL as a server prints it, so that it may be none in the words of one server.
fn is_of_text(first: &Catalog, difference: &Difference) -> bool {
    let is_plain = |name| {
        let facts = first.object(name).map(|object| &object.facts);
        matches!(facts, Some(ObjectFacts::Sequence(_) | ObjectFacts::Labels(_)))
    };
    difference.change == ChangeWord::Changed
        && match difference.part {
            DifferenceKind::Object => !is_plain(&difference.object),
            DifferenceKind::Default | DifferenceKind::Generated | DifferenceKind::Partitioning => true,
            _ => false,
        }
}

/// The catalog as a scratch cluster prints it, with its main schema renamed to `home`.
async fn copied(
    request: &SchemaRequest,
    label: &str,
    catalog: &Catalog,
    home: &str,
    scratch: &mut Scratch,
) -> Result<Catalog> {
    let named = |error: Error| {
        if error.kind() != Kind::Config {
            return error;
        }
        let (message, hint) = (format!("{label}: {}", error.message()), error.hint().to_owned());
        error.with_message(message).with_hint(hint)
    };
    let endpoint = scratch.database().await?;
    let session = Session::connect(&endpoint).await?;
    create_objects(&session, catalog, request.allowed.privileges).await.map_err(named)?;
    let main = ObjectName::new(ObjectKind::Schema, "", &catalog.schema);
    // A schema that is not there has no objects.
    let is_there = catalog.schema == "public" || catalog.object(&main).is_some();
    if catalog.schema != home && is_there {
        rename_main(&session, &catalog.schema, home).await.map_err(named)?;
    }
    catalog::read(&Session::connect(&endpoint).await?, Some(home)).await
}

/// Gives the main schema another name. What extensions have in a schema of that name moves along.
async fn rename_main(session: &Session, old: &str, new: &str) -> Result<()> {
    let doing = "renaming the main schema";
    let sql = format!(
        "SELECT e.extname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE n.nspname = {}",
        quote_literal(new)
    );
    for extension in session.query_column::<String>(doing, &sql, &[]).await? {
        let sql = format!("ALTER EXTENSION {} SET SCHEMA {}", quote_ident(&extension), quote_ident(old));
        session.batch(doing, &sql).await?;
    }
    let sql = format!("DROP SCHEMA IF EXISTS {}", quote_ident(new));
    session.batch(doing, &sql).await.map_err(|error| {
        Error::new(
            Kind::Config,
            format!("the side whose schema is {old} has objects in a schema {new} as well: {}", error.message()),
        )
        .with_hint(
            "compare schemas of the same name, or name the schema: ?schema=NAME in a URL, --schema NAME for the target",
        )
    })?;
    session.batch(doing, &format!("ALTER SCHEMA {} RENAME TO {}", quote_ident(old), quote_ident(new))).await
}
