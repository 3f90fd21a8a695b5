//! Prepares the server for the load: an interrupted load of the same dump and plan is continued, an earlier one of this
//! tool is dropped, and a table of somebody else is never touched.

use std::collections::BTreeSet;

use super::{existing_objects, load::create_sql, load_context::LoadContext};
use crate::{
    error::{Error, Kind, Result, ResultExt as _},
    model::{
        PgType, TablePlan,
        conversion_plan::OFFTYPE_TABLE,
        dropped_objects::{DroppedObject, DroppedObjectKind},
        identifier::{qualified, quote_ident, quote_literal},
    },
    postgres::{
        Session,
        load_journal::{self, CreatedTable, LoadScope, RecordedLoad},
        managed::LocalServer,
    },
    rules::ddl,
};

/// Tables that are dropped in one transaction, so that a server of modest `max_locks_per_transaction` can do it.
const DROP_TABLES: usize = 50;

/// Makes the server ready: schema, extensions, markers; drops what an earlier load made unless it is this one.
///
/// # Errors
/// `TargetOccupied` if tables of these names are not this tool's (or hold rows, if only rows are to be loaded);
/// `Local*`.
pub(super) async fn prepare(work: &LoadContext, session: &Session, fresh: bool) -> Result<()> {
    let schema = &work.plan.schema;
    if schema != "public" {
        session.batch("creating the schema", &format!("CREATE SCHEMA IF NOT EXISTS {}", quote_ident(schema))).await?;
    }
    // The catalog of an existing schema says where its extensions are.
    let extensions = if work.plan.existing_schema.is_some() { Vec::new() } else { ddl::extensions(&work.plan) };
    for extension in extensions {
        // An extension goes to the first schema of the path, which is the catalog's otherwise.
        let sql = format!("SET search_path = {}; {extension}; SET search_path = pg_catalog", quote_ident(schema));
        session.batch("creating an extension", &sql).await.map_err(|error| {
            error.with_hint("install the extension on this PostgreSQL, or leave its types out of the plan")
        })?;
    }
    load_journal::prepare(session).await?;
    let earlier = load_journal::recorded(session).await?;
    let same_load = earlier.as_ref().is_some_and(|earlier| earlier.key == work.key);
    // Rows may follow a schema that was made alone; nothing else follows another scope.
    let follows = earlier.as_ref().is_some_and(|earlier| {
        earlier.scope == work.scope || (work.scope == LoadScope::Data && earlier.scope == LoadScope::Schema)
    });
    let continues = same_load && follows && !fresh;
    if !continues {
        if work.scope != LoadScope::Data {
            load_journal::drop_objects(session).await?;
            load_journal::drop_existing_schema(session, false).await?;
            drop_made(session).await?;
            load_journal::drop_existing_schema(session, true).await?;
        }
        session.batch("forgetting an earlier load", load_journal::FORGET).await?;
    }
    if work.scope == LoadScope::Data {
        expect_tables(work, session, continues).await?;
        if !continues {
            existing_objects::drop_after(work, session).await?;
        }
    } else {
        refuse_foreign_objects(work, session).await?;
    }
    let load = RecordedLoad { key: work.key.clone(), scope: work.scope, finished: false };
    session.batch("recording the load", &format!("BEGIN; {}; COMMIT", load_journal::record_sql(&load))).await
}

/// Runs the user's SQL that comes before the tables, unless an interrupted load has made some.
///
/// # Errors
/// `LocalRejected` with the statement's number.
pub(super) async fn before(work: &LoadContext, server: &LocalServer, session: &Session) -> Result<()> {
    if work.scope == LoadScope::Data || !load_journal::made(session).await?.is_empty() {
        return Ok(());
    }
    run(work, server, "sql.before", &work.plan.hooks.before).await
}

/// Runs the user's SQL that comes after the tables.
///
/// # Errors
/// `LocalRejected` with the statement's number.
pub(super) async fn after(work: &LoadContext, server: &LocalServer) -> Result<()> {
    run(work, server, "sql.after", &work.plan.hooks.after).await
}

async fn run(work: &LoadContext, server: &LocalServer, key: &str, statements: &[String]) -> Result<()> {
    if statements.is_empty() {
        return Ok(());
    }
    // In a session of its own, whose settings it may change.
    let session = Session::connect(server.endpoint()).await?;
    let path = format!("SET search_path = {}", quote_ident(&work.plan.schema));
    session.batch("preparing the session", &path).await?;
    for (number, statement) in (1..).zip(statements) {
        work.ctx.stop.check()?;
        session.batch(&format!("{key}, statement {number}"), statement).await?;
    }
    Ok(())
}

/// Creates those of these tables, and the off-type table if the plan needs it, that an interrupted load has not.
///
/// # Errors
/// `LocalRejected`.
pub(super) async fn create_tables<'a>(
    work: &LoadContext,
    session: &Session,
    tables: impl Iterator<Item = &'a TablePlan>,
) -> Result<()> {
    let schema = &work.plan.schema;
    let made = load_journal::made(session).await?;
    let is_made = |name: &str| made.iter().any(|made| made.schema == *schema && made.table == name);
    let missing: Vec<&TablePlan> = tables.filter(|table| !is_made(&table.name)).collect();
    for group in missing.chunks(DROP_TABLES) {
        let sql: String = group.iter().map(|table| create_sql(schema, table)).collect();
        session.batch("creating tables", &format!("BEGIN{sql}; COMMIT")).await?;
    }
    if let Some(create) = ddl::create_offtype_table(schema, &work.plan).filter(|_| !is_made(OFFTYPE_TABLE)) {
        let sql = format!("BEGIN; {create}; {}; COMMIT", load_journal::made_sql(schema, OFFTYPE_TABLE));
        session.batch("creating the off-type table", &sql).await?;
    }
    Ok(())
}

/// Drops tables of this load with their chunks and their rows in the off-type table, so that they are loaded again.
///
/// # Errors
/// `LocalRejected`, `LocalUnreachable`.
pub(super) async fn discard_tables(work: &LoadContext, session: &Session, tables: &BTreeSet<&str>) -> Result<()> {
    let schema = &work.plan.schema;
    for table in work.plan.tables.iter().filter(|table| tables.contains(table.source.as_str())) {
        let made = CreatedTable { schema: schema.clone(), table: table.name.clone() };
        let mut sql = vec![
            format!("DROP TABLE IF EXISTS {}", qualified(schema, &table.name)),
            load_journal::unmade_sql(&made),
            load_journal::forget_chunks_sql(&table.name),
        ];
        if work.plan.has_offtype_cells() {
            let offtype = qualified(schema, OFFTYPE_TABLE);
            sql.push(format!("DELETE FROM {offtype} WHERE table_name = {}", quote_literal(&table.name)));
        }
        let sql = format!("BEGIN; {}; COMMIT", sql.join("; "));
        session.batch("taking a table back", &sql).await.at_table(&table.source)?;
    }
    Ok(())
}

/// Drops indexes that were made before there were rows to try them on.
///
/// # Errors
/// `LocalRejected`, `LocalUnreachable`.
pub(super) async fn drop_indexes(work: &LoadContext, session: &Session, dropped: &[DroppedObject]) -> Result<()> {
    for one in dropped.iter().filter(|one| one.kind == DroppedObjectKind::Index) {
        let sql = format!("DROP INDEX IF EXISTS {}", qualified(&work.plan.schema, &one.object));
        session.batch("dropping an index that is not kept", &sql).await.at_table(&one.table)?;
    }
    Ok(())
}

/// Drops what this tool made, foreign keys first, and never with CASCADE: what others built on these tables stays, and
/// is named by the error.
async fn drop_made(session: &Session) -> Result<()> {
    let made = load_journal::made(session).await?;
    for made in &made {
        drop_foreign_keys(session, &made.schema, &made.table).await?;
    }
    for group in made.chunks(DROP_TABLES) {
        let names: Vec<String> = group.iter().map(|made| qualified(&made.schema, &made.table)).collect();
        let forget: Vec<String> = group.iter().map(load_journal::unmade_sql).collect();
        let sql = format!("BEGIN; DROP TABLE IF EXISTS {}; {}; COMMIT", names.join(", "), forget.join("; "));
        session.batch("dropping the tables of an earlier load", &sql).await?;
    }
    Ok(())
}

/// Drops all foreign keys of one table.
async fn drop_foreign_keys(session: &Session, schema: &str, table: &str) -> Result<()> {
    let sql = "SELECT k.conname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relname = $2 AND k.contype = 'f'";
    let names: Vec<String> = session.query_column("looking for foreign keys", sql, &[&schema, &table]).await?;
    drop_constraints(session, schema, table, names.iter().map(String::as_str)).await
}

async fn drop_constraints<'a>(
    session: &Session,
    schema: &str,
    table: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let drops: Vec<String> = names.map(|name| format!("DROP CONSTRAINT IF EXISTS {}", quote_ident(name))).collect();
    if drops.is_empty() {
        return Ok(());
    }
    let sql = format!("ALTER TABLE {} {}", qualified(schema, table), drops.join(", "));
    session.batch("taking off constraints", &sql).await
}

/// Names of relations in the plan's schema.
async fn relations(work: &LoadContext, session: &Session) -> Result<BTreeSet<String>> {
    let sql = "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1";
    let names = session.query_column("looking for tables that are there", sql, &[&work.plan.schema]).await?;
    Ok(names.into_iter().collect())
}

async fn refuse_foreign_objects(work: &LoadContext, session: &Session) -> Result<()> {
    let there = relations(work, session).await?;
    let made: BTreeSet<CreatedTable> = load_journal::made(session).await?.into_iter().collect();
    let offtype = work.plan.has_offtype_cells().then_some(OFFTYPE_TABLE);
    let planned = work.plan.tables.iter().map(|table| table.name.as_str()).chain(offtype);
    let foreign: Vec<&str> = planned
        .filter(|name| there.contains(*name))
        .filter(|name| {
            let made_here = CreatedTable { schema: work.plan.schema.clone(), table: (*name).to_owned() };
            !made.contains(&made_here)
        })
        .collect();
    match foreign.first() {
        None => Ok(()),
        Some(first) => {
            let what = format!("{} of the tables exist already and were not created by turso2neon", foreign.len());
            Err(Error::new(Kind::TargetOccupied, what)
                .at_table(*first)
                .with_hint("use an empty database for --local-url, or leave it out to use the managed PostgreSQL"))
        }
    }
}

/// Rows alone go into tables that are there, of the planned types, and without rows of others. From tables that this
/// tool made, foreign keys and checks are taken off, because rows that the source itself holds may break them;
/// `post_load` puts them back. Tables that somebody else made keep their form.
async fn expect_tables(work: &LoadContext, session: &Session, continues: bool) -> Result<()> {
    let schema = &work.plan.schema;
    let made: BTreeSet<CreatedTable> = load_journal::made(session).await?.into_iter().collect();
    for table in &work.plan.tables {
        expect_columns(work, session, table).await?;
        if !continues {
            let sql = format!("SELECT EXISTS (SELECT FROM {})", qualified(schema, &table.name));
            if session.query_value("looking at a table", &sql, &[]).await? {
                return Err(Error::new(Kind::TargetOccupied, "the table holds rows already")
                    .at_table(&table.source)
                    .with_hint("empty the tables first, or convert without --data-only"));
            }
        }
        let is_own = made.contains(&CreatedTable { schema: schema.clone(), table: table.name.clone() });
        if is_own && work.plan.existing_schema.is_none() {
            let keys = table.foreign_keys.iter().map(|key| key.name.as_str());
            let names = keys.chain(table.checks.iter().map(|check| check.name.as_str()));
            drop_constraints(session, schema, &table.name, names).await?;
        }
    }
    Ok(())
}

async fn expect_columns(work: &LoadContext, session: &Session, table: &TablePlan) -> Result<()> {
    let sql = "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a \
               JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') AND a.attnum > 0 \
               AND NOT a.attisdropped";
    let rows = session.query_rows("looking at a table", sql, &[&work.plan.schema, &table.name]).await?;
    let types: Vec<(String, String)> = rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<_>>()?;
    for column in table.loaded_columns() {
        let found = types.iter().find(|(name, _)| *name == column.name).map(|(_, found)| found.as_str());
        // A type of an extension is written with its schema.
        let read = found.and_then(|found| found.rsplit('.').next()).and_then(|found| found.parse().ok());
        let is_existing_type = match &column.pg_type {
            PgType::Enum(name) => found.is_some_and(|found| found == name || found == quote_ident(name)),
            PgType::ExistingType(sql) => found == Some(sql.as_str()),
            _ => false,
        };
        if read.as_ref() != Some(&column.pg_type) && !is_existing_type {
            let what = match found {
                Some(found) => format!("the table's column is {found}, the plan's is {}", column.pg_type),
                None => "the table or the column isn't there".to_owned(),
            };
            return Err(Error::new(Kind::LocalRejected, what)
                .at_table(&table.source)
                .at_column(&column.source)
                .with_hint("run `turso2neon convert --schema-only` first, or plan the types that are there"));
        }
    }
    Ok(())
}
