//! What comes after the rows: keys and indexes, checks and foreign keys, their validation, defaults, sequences,
//! statistics. Everything that is there already, from an interrupted push, is left as it is.

use std::collections::BTreeSet;

use crate::{
    context::Context,
    error::Result,
    model::{TablePlan, name::qualified},
    postgres::Session,
    rules::ddl::{self, Statement},
};

use super::{
    chunk::LocalSize,
    crew::{Crew, Job},
    diary::Diary,
    manifest::Manifest,
    record::unreadable,
};

/// Tables up to this size have all their keys and indexes built in one go.
const SMALL_BYTES: u64 = 8 << 20;
/// How many quick statements go to the server at once.
const AT_ONCE: usize = 100;

/// Builds everything in the staging schema.
///
/// # Errors
/// `Target*`, `Interrupted`.
pub(super) async fn build(
    ctx: &Context,
    crew: &Crew<'_>,
    diary: &Diary,
    manifest: &Manifest,
    schema: &str,
    sizes: &[LocalSize],
) -> Result<()> {
    let Some(session) = crew.any() else { return Ok(()) };
    let built = Built::read(session, schema).await?;
    let jobs = index_jobs(manifest, schema, sizes, &built);
    diary.phase(ctx, "indexes", Some(jobs.len() as u64), crew.run("indexes", jobs)).await?;
    let quick = quick_statements(manifest, schema, &built);
    diary.phase(ctx, "constraints", None, run_quick(session, &quick)).await?;
    let jobs: Vec<Job> = tables(manifest)
        .filter_map(|table| job("validating constraints", table, ddl::validations(schema, table)))
        .collect();
    diary.phase(ctx, "validate", Some(jobs.len() as u64), crew.run("validate", jobs)).await?;
    let jobs: Vec<Job> = tables(manifest)
        .map(|table| Job {
            doing: "gathering statistics",
            table: table.source.clone(),
            sql: format!("ANALYZE {}", qualified(schema, &table.name)),
        })
        .collect();
    diary.phase(ctx, "analyze", Some(jobs.len() as u64), crew.run("analyze", jobs)).await
}

fn tables(manifest: &Manifest) -> impl Iterator<Item = &TablePlan> {
    manifest.cargo.iter().map(|cargo| &cargo.table)
}

/// Constraints and indexes that exist in the staging schema.
struct Built {
    constraints: BTreeSet<(String, String)>,
    indexes: BTreeSet<String>,
}

impl Built {
    async fn read(session: &Session, schema: &str) -> Result<Self> {
        let sql = "SELECT c.relname::text, k.conname::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid \
                     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 \
                   UNION ALL SELECT NULL, i.relname::text FROM pg_class i JOIN pg_namespace n ON n.oid = i.relnamespace \
                     WHERE n.nspname = $1 AND i.relkind = 'i'";
        let rows = session.rows("looking what is built already", sql, &[&schema]).await?;
        let mut built = Self { constraints: BTreeSet::new(), indexes: BTreeSet::new() };
        for row in &rows {
            let failed = |failure| unreadable(session, &failure);
            let table: Option<String> = row.try_get(0).map_err(failed)?;
            let name: String = row.try_get(1).map_err(failed)?;
            match table {
                Some(table) => built.constraints.insert((table, name)),
                None => built.indexes.insert(name),
            };
        }
        Ok(built)
    }

    fn lacks(&self, table: &TablePlan, statement: &Statement) -> bool {
        match statement.kind {
            "index" => !self.indexes.contains(&statement.object),
            "primary key" | "unique" | "check" | "foreign key" => {
                !self.constraints.contains(&(table.name.clone(), statement.object.clone()))
            }
            _ => true,
        }
    }
}

/// Keys and indexes, those of the largest tables first, because they take longest.
fn index_jobs(manifest: &Manifest, schema: &str, sizes: &[LocalSize], built: &Built) -> Vec<Job> {
    let mut order: Vec<(u64, &TablePlan)> =
        tables(manifest).zip(sizes).map(|(table, size)| (size.bytes, table)).collect();
    order.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    let mut jobs = Vec::new();
    for (bytes, table) in order {
        let statements = ddl::keys(schema, table).into_iter().chain(ddl::indexes(schema, table));
        let missing: Vec<Statement> = statements.filter(|statement| built.lacks(table, statement)).collect();
        if bytes <= SMALL_BYTES {
            jobs.extend(job("building keys and indexes", table, missing));
        } else {
            let alone = |statement| job("building keys and indexes", table, vec![statement]);
            jobs.extend(missing.into_iter().filter_map(alone));
        }
    }
    jobs
}

fn job(doing: &'static str, table: &TablePlan, statements: Vec<Statement>) -> Option<Job> {
    let sql: Vec<String> = statements.into_iter().map(|statement| statement.sql).collect();
    (!sql.is_empty()).then(|| Job { doing, table: table.source.clone(), sql: sql.join(";\n") })
}

/// What takes no time, because nothing is checked against rows. One session does it, because a foreign key locks two
/// tables and two sessions could lock them crosswise.
fn quick_statements(manifest: &Manifest, schema: &str, built: &Built) -> Vec<String> {
    let of = |table: &TablePlan| {
        let statements = [
            ddl::checks(schema, table),
            ddl::foreign_keys(schema, table),
            ddl::defaults(schema, table),
            ddl::sequence(schema, table).into_iter().collect(),
        ];
        let missing = statements.into_iter().flatten().filter(|statement| built.lacks(table, statement));
        missing.map(|statement| statement.sql).collect::<Vec<_>>()
    };
    tables(manifest).flat_map(of).collect()
}

async fn run_quick(session: &Session, statements: &[String]) -> Result<()> {
    for some in statements.chunks(AT_ONCE) {
        session.batch("adding constraints", &some.join(";\n")).await?;
    }
    Ok(())
}
