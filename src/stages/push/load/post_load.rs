//! What comes after the rows: keys and indexes, checks and foreign keys, their validation, defaults, sequences,
//! statistics. Everything that is there already, from an interrupted push, is left as it is.

use std::collections::BTreeSet;

use crate::{
    context::Context,
    error::{Result, ResultExt as _},
    model::{TablePlan, identifier::qualified},
    postgres::Session,
    rules::ddl::{self, Statement, StatementKind},
    stages::push::{
        load::{
            chunk::LocalSize,
            digest_check::{ExpectedDigest, digest_job},
            progress_journal::ProgressJournal,
            session_pool::{JobKind, PoolJob, SessionPool},
        },
        plan::manifest::Manifest,
    },
};

/// Tables up to this size have all their keys and indexes built in one go.
const SMALL_BYTES: u64 = 8 << 20;
/// Tables up to this size are worked on together with others.
const LIGHT_BYTES: u64 = 256 << 10;
/// How many quick statements go to the server at once.
const AT_ONCE: usize = 100;

/// Builds everything in the staging schema, and compares every table with what it should hold. Gives the source names
/// of those that differ.
///
/// # Errors
/// `Target*`, `Interrupted`.
pub(crate) async fn build(
    ctx: &Context,
    pool: &SessionPool<'_>,
    journal: &ProgressJournal,
    manifest: &Manifest,
    input: &PostLoadInput<'_>,
) -> Result<Vec<String>> {
    let Some(session) = pool.any() else { return Ok(Vec::new()) };
    let schema = input.schema;
    let built = StagedObjects::read(session, schema).await?;
    let large_first = largest_first(manifest, input.sizes);
    let tables = || large_first.iter().map(|(bytes, table)| (is_light(*bytes), *table));
    let mut jobs = index_jobs(manifest, schema, input.sizes, &built);
    // Comparison needs no index and locks nobody out: it fills the time until the last index is there.
    for (light, table) in tables() {
        let wanted = input.wanted.iter().find(|wanted| wanted.table.name == table.name);
        jobs.extend(wanted.map(|wanted| digest_job(schema, wanted, light)));
    }
    let steps = Some(jobs.len() as u64);
    let differing = journal.run_phase(ctx, "indexes", steps, pool.run("indexes", jobs)).await?;
    if !differing.is_empty() {
        return Ok(differing);
    }
    // The keys of small tables are there by now.
    let quick = quick_statements(manifest, schema, &StagedObjects::read(session, schema).await?);
    journal.run_phase(ctx, "constraints", None, run_quick(session, &quick)).await?;
    // Validation and statistics lock each other out on the same table: so they are one job.
    let check = |(light, table): (bool, &TablePlan)| {
        let mut sql: Vec<String> = ddl::validations(schema, table).into_iter().map(|statement| statement.sql).collect();
        sql.push(format!("ANALYZE {}", qualified(schema, &table.name)));
        let task = JobKind::Run(sql.join(";\n"));
        PoolJob { doing: "validating constraints and gathering statistics", table: table.source.clone(), task, light }
    };
    let jobs: Vec<PoolJob> = tables().map(check).collect();
    journal.run_phase(ctx, "checks", Some(jobs.len() as u64), pool.run("checks", jobs)).await
}

/// The staged tables as the build needs to know them.
pub(crate) struct PostLoadInput<'a> {
    /// The staging schema.
    pub schema: &'a str,
    /// Sizes of the tables, in the manifest's order.
    pub sizes: &'a [LocalSize],
    /// What each of them should hold.
    pub wanted: &'a [ExpectedDigest<'a>],
}

fn tables(manifest: &Manifest) -> impl Iterator<Item = &TablePlan> {
    manifest.tables.iter().map(|to_push| &to_push.table)
}

/// Tables with their bytes; the largest takes longest, so it is begun first.
fn largest_first<'a>(manifest: &'a Manifest, sizes: &[LocalSize]) -> Vec<(u64, &'a TablePlan)> {
    let mut order: Vec<_> = tables(manifest).zip(sizes).map(|(table, size)| (size.bytes, table)).collect();
    order.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    order
}

/// Constraints and indexes that exist in the staging schema.
struct StagedObjects {
    constraints: BTreeSet<(String, String)>,
    indexes: BTreeSet<String>,
}

impl StagedObjects {
    async fn read(session: &Session, schema: &str) -> Result<Self> {
        let sql = "SELECT c.relname::text, k.conname::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid \
                     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 \
                   UNION ALL SELECT NULL, i.relname::text FROM pg_class i JOIN pg_namespace n ON n.oid = i.relnamespace \
                     WHERE n.nspname = $1 AND i.relkind = 'i'";
        let rows = session.query_rows("looking what is built already", sql, &[&schema]).await?;
        let mut built = Self { constraints: BTreeSet::new(), indexes: BTreeSet::new() };
        for row in &rows {
            let table: Option<String> = row.get(0)?;
            let name: String = row.get(1)?;
            match table {
                Some(table) => built.constraints.insert((table, name)),
                None => built.indexes.insert(name),
            };
        }
        Ok(built)
    }

    fn lacks(&self, table: &TablePlan, statement: &Statement) -> bool {
        match statement.kind {
            StatementKind::Index => !self.indexes.contains(&statement.object),
            StatementKind::PrimaryKey | StatementKind::Unique | StatementKind::Check | StatementKind::ForeignKey => {
                !self.constraints.contains(&(table.name.clone(), statement.object.clone()))
            }
            _ => true,
        }
    }
}

/// Keys and indexes. A large table has its indexes built
/// side by side, and the constraints take them over afterwards.
fn index_jobs(manifest: &Manifest, schema: &str, sizes: &[LocalSize], built: &StagedObjects) -> Vec<PoolJob> {
    let of_table = |(bytes, table)| table_jobs(schema, table, bytes, |statement| built.lacks(table, statement));
    largest_first(manifest, sizes).into_iter().flat_map(of_table).collect()
}

/// Those keys and indexes of one table of so many bytes that it lacks.
fn table_jobs(schema: &str, table: &TablePlan, bytes: u64, lacks: impl Fn(&Statement) -> bool) -> Vec<PoolJob> {
    let doing = "building keys and indexes";
    if bytes <= SMALL_BYTES {
        let statements = ddl::keys(schema, table).into_iter().chain(ddl::indexes(schema, table));
        return job(doing, table, statements.filter(lacks).collect(), is_light(bytes)).into_iter().collect();
    }
    let keys = ddl::keys_by_index(schema, table).into_iter().map(|[index, _]| index);
    let missing = keys.chain(ddl::indexes(schema, table)).filter(lacks);
    missing.filter_map(|statement| job(doing, table, vec![statement], false)).collect()
}

/// Builds the keys and indexes of a table that has all its rows, while others are still loaded.
///
/// # Errors
/// `Target*`.
pub(crate) async fn build_early(session: &Session, schema: &str, table: &TablePlan, bytes: u64) -> Result<()> {
    for job in table_jobs(schema, table, bytes, |_| true) {
        job.work(session).await.at_table(&table.source)?;
    }
    Ok(())
}

fn job(doing: &'static str, table: &TablePlan, statements: Vec<Statement>, light: bool) -> Option<PoolJob> {
    let sql: Vec<String> = statements.into_iter().map(|statement| statement.sql).collect();
    (!sql.is_empty()).then(|| PoolJob {
        doing,
        table: table.source.clone(),
        task: JobKind::Run(sql.join(";\n")),
        light,
    })
}

/// Whether work on a table takes less time than a round trip.
fn is_light(bytes: u64) -> bool {
    bytes <= LIGHT_BYTES
}

/// What takes no time, because nothing is checked against rows. One session does it, because a foreign key locks two
/// tables and two sessions could lock them crosswise.
fn quick_statements(manifest: &Manifest, schema: &str, built: &StagedObjects) -> Vec<String> {
    let of = |table: &TablePlan| {
        let statements = [
            ddl::keys_by_index(schema, table).into_iter().map(|[_, constraint]| constraint).collect(),
            ddl::checks(schema, table),
            ddl::foreign_keys(schema, table),
            ddl::defaults(schema, table),
            ddl::sequence(schema, table).into_iter().collect(),
        ];
        let missing = statements.into_iter().flatten().filter(|statement| built.lacks(table, statement));
        missing.collect::<Vec<_>>()
    };
    // Foreign keys come after the keys of every table.
    let (foreign, own): (Vec<Statement>, Vec<Statement>) =
        tables(manifest).flat_map(of).partition(|statement| statement.kind == StatementKind::ForeignKey);
    own.into_iter().chain(foreign).map(|statement| statement.sql).collect()
}

async fn run_quick(session: &Session, statements: &[String]) -> Result<()> {
    for some in statements.chunks(AT_ONCE) {
        session.batch("adding constraints", &some.join(";\n")).await?;
    }
    Ok(())
}
