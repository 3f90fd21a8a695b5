//! Reads the objects of a database as a [`Catalog`]: statements that create them again, and facts that can be compared.

mod attributes;

mod order;

mod queries;

mod tables;

use std::collections::BTreeMap;

use crate::{
    error::{Error, Kind, Result},
    model::{
        catalog::{
            Catalog, CatalogObject, ObjectFacts, ObjectKind, ObjectName, OmittedObject, Phase, SequenceDefinition,
        },
        identifier::{qualified, quote_ident, quote_literal},
    },
    postgres::Session,
    rules::migration_history,
};

const DOING: &str = "reading the objects of the database";

/// The class and the OID of an object in the system catalogs.
type Address = (u32, u32);

/// The objects while they are read.
struct Reader<'a> {
    session: &'a Session,
    /// OIDs of `pg_class`, `pg_type` and `pg_constraint`.
    classes: [u32; 3],
    objects: Vec<CatalogObject>,
    /// The place of each object.
    places: BTreeMap<Address, usize>,
}

/// Reads the catalog of the database that the session is connected to, in a transaction that the caller has begun.
/// `schema` is the one whose tables are meant; without it, `public` if it has tables, else the only one that has.
///
/// The search path of the session is changed.
///
/// # Errors
/// `Config` if no schema has tables, or several have and none is named; by role.
pub async fn read(session: &Session, schema: Option<&str>) -> Result<Catalog> {
    let schema = match schema {
        Some(schema) => schema.to_owned(),
        None => choose(session).await?,
    };
    let mut search_path = vec![schema.clone()];
    for name in session.query_column::<String>(DOING, queries::EXTENSION_SCHEMAS, &[]).await? {
        if name != schema {
            search_path.push(name);
        }
    }
    let version = session.query_value(DOING, "SELECT current_setting('server_version_num')::integer", &[]).await?;
    let mut catalog = Catalog { version, schema, search_path, ..Catalog::default() };
    session.batch(DOING, &catalog.set_search_path(false)).await?;
    let sql = "SELECT 'pg_class'::regclass::oid, 'pg_type'::regclass::oid, 'pg_constraint'::regclass::oid";
    let row = session.query_row(DOING, sql, &[]).await?;
    let classes = [row.get(0)?, row.get(1)?, row.get(2)?];
    let mut reader = Reader { session, classes, objects: Vec::new(), places: BTreeMap::new() };
    reader.plain().await?;
    reader.types().await?;
    let owned = reader.sequences().await?;
    reader.tables(&owned).await?;
    reader.constraints().await?;
    reader.indexes().await?;
    reader.attributes().await?;
    catalog.objects = order::ordered(session, reader.objects, &reader.places).await?;
    for row in session.query_rows(DOING, queries::OMITTED, &[]).await? {
        catalog.omitted.push(OmittedObject { table: row.get(0)?, what: row.get(1)?, sql: row.get(2)? });
    }
    Ok(catalog)
}

/// As [`read`], but of a database without tables `public` is meant, and the hint does not name `--schema-from`.
///
/// # Errors
/// `Config` if several schemas have tables, none of them is `public`, and none is named; by role.
pub async fn read_or_empty(session: &Session, schema: Option<&str>) -> Result<Catalog> {
    if schema.is_none() && schemas(session, &[]).await?.is_empty() {
        return read(session, Some("public")).await;
    }
    read(session, schema).await
}

/// Schemas with tables other than these.
async fn schemas(session: &Session, without: &[&str]) -> Result<Vec<String>> {
    let rows = session.query_rows(DOING, queries::SCHEMAS, &[&without]).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

async fn choose(session: &Session) -> Result<String> {
    // Some frameworks keep their migration history in a schema of its own.
    let histories: Vec<&str> = migration_history::names().collect();
    let mut names = schemas(session, &histories).await?;
    if names.is_empty() {
        names = schemas(session, &[]).await?;
    }
    match names.as_slice() {
        [] => Err(Error::new(Kind::Config, "the existing schema has no tables")
            .with_hint("--schema-from takes the SQL that creates the tables, or a database that has them")),
        [only] => Ok(only.clone()),
        several if several.iter().any(|name| name == "public") => Ok("public".to_owned()),
        several => Err(Error::new(Kind::Config, format!("the tables are in several schemas: {}", several.join(", ")))
            .with_hint("name the one that the rows go to: --schema NAME, or schema = \"NAME\" in the configuration")),
    }
}

/// When objects of a kind are created, unless they need something that comes later.
const fn usual_phase(kind: ObjectKind) -> Phase {
    match kind {
        ObjectKind::Schema
        | ObjectKind::Extension
        | ObjectKind::Collation
        | ObjectKind::Type
        | ObjectKind::Domain
        | ObjectKind::Sequence
        | ObjectKind::Function
        | ObjectKind::Table => Phase::BeforeRows,
        ObjectKind::Constraint
        | ObjectKind::Index
        | ObjectKind::TableOption
        | ObjectKind::Statistics
        | ObjectKind::View
        | ObjectKind::MaterializedView
        | ObjectKind::Rule
        | ObjectKind::Trigger
        | ObjectKind::RowSecurity
        | ObjectKind::Policy => Phase::AfterRows,
    }
}

impl Reader<'_> {
    fn add(&mut self, address: Address, name: ObjectName, create: Vec<String>, facts: ObjectFacts) {
        // Some objects have no OID of their own.
        if address.1 != 0 {
            self.places.insert(address, self.objects.len());
        }
        let phase = usual_phase(name.kind);
        self.objects.push(CatalogObject {
            name,
            phase,
            create,
            facts,
            comments: Vec::new(),
            grants: Vec::new(),
            grant_roles: Vec::new(),
            roles: Vec::new(),
            needs: Vec::new(),
        });
    }

    /// Objects of which nothing but the statements is needed.
    async fn plain(&mut self) -> Result<()> {
        for query in queries::OBJECTS {
            for row in self.session.query_rows(DOING, query, &[]).await? {
                let kind: &str = row.get(2)?;
                let kind: ObjectKind = kind.parse().map_err(|()| unknown("an object of an unknown kind"))?;
                let name = ObjectName { kind, schema: row.get(3)?, table: row.get(4)?, name: row.get(5)? };
                self.add((row.get(0)?, row.get(1)?), name, row.get(6)?, ObjectFacts::None);
            }
        }
        Ok(())
    }

    /// Enumerated types and domains.
    async fn types(&mut self) -> Result<()> {
        let class = self.classes[1];
        for row in self.session.query_rows(DOING, queries::ENUMS, &[]).await? {
            let (schema, name): (String, String) = (row.get(1)?, row.get(2)?);
            let written: String = row.get(3)?;
            let labels: Vec<String> = row.get(4)?;
            let list: Vec<String> = labels.iter().map(|label| quote_literal(label)).collect();
            let create = vec![format!("CREATE TYPE {written} AS ENUM ({})", list.join(", "))];
            let name = ObjectName::new(ObjectKind::Type, &schema, &name);
            self.add((class, row.get(0)?), name, create, ObjectFacts::Labels(labels));
        }
        for row in self.session.query_rows(DOING, queries::DOMAINS, &[]).await? {
            let (schema, name): (String, String) = (row.get(1)?, row.get(2)?);
            let (written, base): (String, String) = (row.get(3)?, row.get(4)?);
            let (collation, default): (Option<String>, Option<String>) = (row.get(5)?, row.get(6)?);
            let not_null: bool = row.get(7)?;
            let (names, definitions): (Vec<String>, Vec<String>) = (row.get(8)?, row.get(9)?);
            let mut sql = format!("CREATE DOMAIN {written} AS {base}");
            if let Some(collation) = &collation {
                sql.push_str(&format!(" COLLATE {collation}"));
            }
            if let Some(default) = &default {
                sql.push_str(&format!(" DEFAULT {default}"));
            }
            if not_null {
                sql.push_str(" NOT NULL");
            }
            for (name, definition) in names.iter().zip(&definitions) {
                sql.push_str(&format!(" CONSTRAINT {} {definition}", quote_ident(name)));
            }
            let constraints = names.into_iter().zip(definitions).collect();
            let facts = ObjectFacts::Domain { base, not_null, checks: row.get(10)?, default, collation, constraints };
            let name = ObjectName::new(ObjectKind::Domain, &schema, &name);
            self.add((class, row.get(0)?), name, vec![sql], facts);
        }
        Ok(())
    }

    /// Sequences; gives the statements that tie them to the tables that own them, by schema and table.
    async fn sequences(&mut self) -> Result<BTreeMap<(String, String), Vec<String>>> {
        let mut owned: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for row in self.session.query_rows(DOING, queries::SEQUENCES, &[]).await? {
            let (schema, name, written): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
            let mut sequence = SequenceDefinition {
                data_type: row.get(4)?,
                start: row.get(5)?,
                increment: row.get(6)?,
                least: row.get(7)?,
                most: row.get(8)?,
                cache: row.get(9)?,
                cycles: row.get(10)?,
                owner: row.get::<Option<String>>(12)?.zip(row.get(13)?),
                next: None,
            };
            sequence.next = row.get::<Option<i64>>(11)?.and_then(|last| last.checked_add(sequence.increment));
            let unlogged = if row.get(14)? { "UNLOGGED " } else { "" };
            let create =
                format!("CREATE {unlogged}SEQUENCE {written} AS {} {}", sequence.data_type, sequence.options());
            if let Some((table, column)) = &sequence.owner {
                let column = format!("{}.{}", qualified(&schema, table), quote_ident(column));
                let statement = format!("ALTER SEQUENCE {written} OWNED BY {column}");
                owned.entry((schema.clone(), table.clone())).or_default().push(statement);
            }
            let name = ObjectName::new(ObjectKind::Sequence, &schema, &name);
            self.add((self.classes[0], row.get(0)?), name, vec![create], ObjectFacts::Sequence(sequence));
        }
        Ok(owned)
    }
}

/// The catalog holds what this tool does not know.
fn unknown(what: &str) -> Error {
    Error::new(Kind::Bug, format!("the catalog of the database has {what}"))
}
