//! The catalog of a database as a [`ExistingSchema`].

mod queries;

use crate::{
    error::{Error, Kind, Result},
    model::{
        PgType,
        conversion_plan::{CheckPlan, ForeignKeyPlan, IdentityKind, IndexPlan, KeyPlan},
        existing_schema::{EnumType, ExistingColumn, ExistingSchema, ExistingSequence, ExistingTable, OmittedObject},
        identifier::quote_ident,
    },
    postgres::{Session, session::Row},
};

const DOING: &str = "reading the existing schema";

/// Reads the schema that holds the tables: `public` if it has some, else the only one that does.
///
/// # Errors
/// `Config` if there are no tables, or none can be chosen, or a column has a type that can't be made; by role.
pub(super) async fn schema(session: &Session, origin: &str) -> Result<ExistingSchema> {
    let mut existing = ExistingSchema { origin: origin.to_owned(), ..ExistingSchema::default() };
    let name = choose(session, &mut existing).await?;
    let path: Vec<String> = session.query_column(DOING, queries::EXTENSION_SCHEMAS, &[]).await?;
    let path = [&["pg_catalog".to_owned(), name.clone()], path.as_slice()].concat();
    let path: Vec<String> = path.iter().map(|schema| quote_ident(schema)).collect();
    session.batch(DOING, &format!("SET search_path = {}", path.join(", "))).await?;
    existing.extensions = session.query_column(DOING, queries::EXTENSIONS, &[&name]).await?;
    for row in session.query_rows(DOING, queries::ENUMS, &[&name]).await? {
        existing.enums.push(EnumType { name: row.get(0)?, labels: row.get(1)? });
    }
    for table in session.query_column(DOING, queries::TABLES, &[&name]).await? {
        existing.tables.push(ExistingTable { name: table, ..ExistingTable::default() });
    }
    for row in session.query_rows(DOING, queries::COLUMNS, &[&name]).await? {
        column(&mut existing, &row)?;
    }
    for row in session.query_rows(DOING, queries::CONSTRAINTS, &[&name]).await? {
        constraint(&mut existing, &row)?;
    }
    for row in session.query_rows(DOING, queries::INDEXES, &[&name]).await? {
        index(&mut existing, &row)?;
    }
    for row in session.query_rows(DOING, queries::OTHERS, &[&name]).await? {
        existing.left_out.push(OmittedObject { table: row.get(0)?, what: row.get(1)?, sql: row.get(2)? });
    }
    Ok(existing)
}

async fn choose(session: &Session, existing: &mut ExistingSchema) -> Result<String> {
    let schemas: Vec<(String, i64)> = session
        .query_rows(DOING, queries::SCHEMAS, &[])
        .await?
        .iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect::<Result<_>>()?;
    let public = schemas.iter().find(|(name, _)| name == "public");
    let chosen = match (public, schemas.as_slice()) {
        (Some((name, _)), _) | (None, [(name, _)]) => name.clone(),
        (None, []) => {
            return Err(Error::new(Kind::Config, "the existing schema has no tables")
                .with_hint("--schema-from takes the SQL that creates the tables, or a database that has them"));
        }
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Error::new(Kind::Config, format!("the tables are in several schemas: {}", names.join(", ")))
                .with_hint("give a file that creates the tables of one of them"));
        }
    };
    for (name, count) in schemas.iter().filter(|(name, _)| *name != chosen) {
        let what = format!("{count} tables of schema {name} are left out: only those of {chosen} are made");
        existing.left_out.push(OmittedObject { table: None, what, sql: None });
    }
    Ok(chosen)
}

fn table<'a>(existing: &'a mut ExistingSchema, name: &str) -> Result<&'a mut ExistingTable> {
    let found = existing.tables.iter_mut().find(|table| table.name == name);
    found.ok_or_else(|| Error::new(Kind::Bug, "the catalog speaks of a table that it doesn't list"))
}

fn leave_out(existing: &mut ExistingSchema, table: &str, what: String, sql: Option<String>) {
    existing.left_out.push(OmittedObject { table: Some(table.to_owned()), what, sql });
}

fn column(existing: &mut ExistingSchema, row: &Row<'_>) -> Result<()> {
    let of: String = row.get(0)?;
    let name: String = row.get(1)?;
    let written: String = row.get(2)?;
    let kind: String = row.get(3)?;
    if kind == "domain" {
        leave_out(
            existing,
            &of,
            format!("column {name} has the domain's base type {written}, without its checks"),
            None,
        );
    }
    if kind == "foreign" {
        let what =
            format!("column {name} of the existing schema has the type {written}, which is made by the schema itself");
        return Err(Error::new(Kind::Config, what)
            .at_table(of)
            .with_hint("give the column a type of PostgreSQL or an enumerated type of the same schema"));
    }
    let generated: bool = row.get(6)?;
    let mut expression: Option<String> = row.get(7)?;
    if row.get::<bool>(8)? {
        let what = if generated {
            format!("column {name} is made as a plain one: its expression calls a function of the schema")
        } else {
            format!("the default of column {name} is not made: it calls a function of the schema")
        };
        leave_out(existing, &of, what, expression.take());
    }
    if row.get::<bool>(9)? {
        leave_out(existing, &of, format!("column {name} is made with the default collation"), None);
    }
    let identity: String = row.get(5)?;
    let sequence: Option<String> = row.get(10)?;
    let numbers = expression.as_ref().is_some_and(|text| text.starts_with("nextval("));
    let is_first = table(existing, &of)?.columns.iter().all(|column| column.sequence.is_none());
    let sequence = match (identity.as_str(), sequence) {
        ("d", Some(name)) => Some(ExistingSequence { name, kind: IdentityKind::ByDefault }),
        ("a", Some(name)) => Some(ExistingSequence { name, kind: IdentityKind::Always }),
        (_, Some(name)) if numbers => Some(ExistingSequence { name, kind: IdentityKind::Serial }),
        _ => None,
    };
    if numbers {
        expression = None;
    }
    if sequence.is_some() && !is_first {
        leave_out(existing, &of, format!("column {name} is not numbered: only one column of a table is"), None);
    }
    let (default, generated) = if generated { (None, expression) } else { (expression, None) };
    let pg_type = type_of(&written, kind == "enum");
    let not_null = row.get(4)?;
    let sequence = sequence.filter(|_| is_first);
    table(existing, &of)?.columns.push(ExistingColumn { name, pg_type, not_null, default, generated, sequence });
    Ok(())
}

/// The type by the name that `format_type` gives it. Arrays of floats keep that name, because they may hold NULLs.
fn type_of(written: &str, is_enum: bool) -> PgType {
    if is_enum {
        return PgType::Enum(written.to_owned());
    }
    match written.parse() {
        Ok(known) if !written.ends_with("[]") && written != "character varying" => known,
        Ok(_) | Err(_) => PgType::ExistingType(written.to_owned()),
    }
}

fn constraint(existing: &mut ExistingSchema, row: &Row<'_>) -> Result<()> {
    let (of, name, kind): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (columns, definition): (Vec<String>, String) = (row.get(3)?, row.get(4)?);
    let (deferrable, deferred): (bool, bool) = (row.get(5)?, row.get(6)?);
    let calls_own: bool = row.get(7)?;
    let upper = definition.to_ascii_uppercase();
    let loses = |words: &[&str]| words.iter().any(|word| upper.contains(word));
    match kind.as_str() {
        "p" | "u" => {
            if deferrable || loses(&[" INCLUDE (", "NULLS NOT DISTINCT"]) {
                leave_out(existing, &of, format!("key {name} is made in its plain form"), Some(definition));
            }
            let key = KeyPlan { name, columns };
            let table = table(existing, &of)?;
            if kind == "p" { table.primary_key = Some(key) } else { table.uniques.push(key) }
        }
        "c" if !calls_own => {
            let expression: Option<String> = row.get(8)?;
            let not_valid = !row.get::<bool>(9)?;
            let check = CheckPlan { name, expression: expression.unwrap_or_default(), not_valid };
            table(existing, &of)?.checks.push(check);
        }
        "f" => {
            let parent: Option<String> = row.get(10)?;
            let Some(parent) = parent else {
                leave_out(
                    existing,
                    &of,
                    format!("foreign key {name} is not made: its parent is elsewhere"),
                    Some(definition),
                );
                return Ok(());
            };
            if (deferrable && !deferred) || loses(&[" MATCH FULL", "SET NULL (", "SET DEFAULT ("]) {
                leave_out(existing, &of, format!("foreign key {name} is made in its plain form"), Some(definition));
            }
            let actions: String = row.get(12)?;
            let mut actions = actions.chars().map(action);
            let mut next = || actions.next().unwrap_or("NO ACTION").to_owned();
            let key = ForeignKeyPlan {
                name,
                columns,
                parent,
                parent_columns: row.get(11)?,
                on_update: next(),
                on_delete: next(),
                deferred: deferrable && deferred,
                not_valid: !row.get::<bool>(9)?,
            };
            table(existing, &of)?.foreign_keys.push(key);
        }
        "c" | "x" => leave_out(existing, &of, format!("constraint {name} is not made"), Some(definition)),
        _ => {}
    }
    Ok(())
}

const fn action(letter: char) -> &'static str {
    match letter {
        'r' => "RESTRICT",
        'c' => "CASCADE",
        'n' => "SET NULL",
        'd' => "SET DEFAULT",
        _ => "NO ACTION",
    }
}

fn index(existing: &mut ExistingSchema, row: &Row<'_>) -> Result<()> {
    let (of, name, unique, method): (String, String, bool, String) =
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    let (expressions, definition): (Vec<String>, String) = (row.get(4)?, row.get(5)?);
    let (descending, nulls_first): (Vec<bool>, Vec<bool>) = (row.get(6)?, row.get(7)?);
    let (classes, collations): (Vec<Option<String>>, Vec<Option<String>>) = (row.get(8)?, row.get(9)?);
    if row.get::<bool>(11)? {
        leave_out(
            existing,
            &of,
            format!("index {name} is not made: it calls a function of the schema"),
            Some(definition),
        );
        return Ok(());
    }
    let upper = definition.to_ascii_uppercase();
    if [" INCLUDE (", " NULLS NOT DISTINCT", " WITH ("].iter().any(|clause| upper.contains(clause)) {
        leave_out(
            existing,
            &of,
            format!("index {name} is made without its INCLUDE, WITH and NULLS clauses"),
            Some(definition),
        );
    }
    let orders = descending.into_iter().zip(nulls_first);
    let parts = expressions.into_iter().zip(orders).zip(classes).zip(collations);
    let keys = parts
        .map(|(((expression, order), class), collation)| {
            let collation = collation.map(|name| format!(" COLLATE {}", quote_ident(&name))).unwrap_or_default();
            let class = class.map(|name| format!(" {name}")).unwrap_or_default();
            let order = match order {
                (false, false) => "",
                (false, true) => " NULLS FIRST",
                (true, true) => " DESC",
                (true, false) => " DESC NULLS LAST",
            };
            format!("{expression}{collation}{class}{order}")
        })
        .collect();
    let index = IndexPlan { name, source: String::new(), unique, method, keys, predicate: row.get(10)? };
    table(existing, &of)?.indexes.push(index);
    Ok(())
}
