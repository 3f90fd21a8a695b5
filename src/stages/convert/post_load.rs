//! Creates what follows the rows: keys, indexes, checks, foreign keys, defaults, next numbers, statistics.
//!
//! Each phase runs on all connections, because within a phase no statement waits for another table: what takes locks on
//! two tables (foreign keys) is done on one connection, and only validated on many. Small tables share round trips.
//! Whatever is there already, from an interrupted run, is left out.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    equivalence_check, existing_objects,
    load_context::{LoadContext, PhaseTimer, SessionPool},
};
use crate::{
    error::{Error, Kind, Result},
    model::{
        TablePlan,
        conversion_plan::{IdentityPlan, OFFTYPE_TABLE},
        dropped_objects::DroppedObject,
        identifier::{qualified, quote_ident, quote_literal},
        source_schema::SourceSchema,
    },
    postgres::{
        Session,
        load_journal::{self, LoadScope},
    },
    rules::ddl::{self, Statement, StatementKind},
};

/// Estimated bytes of a table beyond which each of its statements is a task of its own.
const LARGE_BYTES: u64 = 16 << 20;

/// Statements of small tables in one round trip.
const BATCH_STATEMENTS: usize = 64;

/// Statements that one connection carries out in one round trip.
#[derive(Debug, Default)]
struct StatementBatch {
    statements: Vec<Statement>,
    weight_bytes: u64,
}

/// Statements that the server refused to carry out, with its words.
type RefusedStatements = Arc<Mutex<Vec<(Statement, String)>>>;

/// Brings the tables into their final form. Gives what rests on a translated expression and was refused by PostgreSQL.
///
/// # Errors
/// `LocalRejected` with table and object; `LocalUnreachable`; `Interrupted`.
pub(super) async fn finish(
    work: &Arc<LoadContext>,
    schema: &SourceSchema,
    pool: &SessionPool,
    clock: &mut PhaseTimer,
) -> Result<Vec<DroppedObject>> {
    let present = ExistingObjects::ask(work, pool.first()?).await?;
    let refused = RefusedStatements::default();
    carry_out(work, pool, "keys", batches(work, &present, ddl::keys), &refused).await?;
    clock.record("keys");
    carry_out(work, pool, "indexes", batches(work, &present, ddl::indexes), &refused).await?;
    clock.record("indexes");
    carry_out(work, pool, "checks", batches(work, &present, ddl::checks), &refused).await?;
    clock.record("checks");
    let dropped = dropped(work, schema, &refused)?;
    let work = &Arc::new(work.without(&dropped));
    let foreign_keys = batches(work, &present, ddl::foreign_keys);
    in_order(work, pool.first()?, "foreign keys", foreign_keys).await?;
    clock.record("foreign keys");
    carry_out(work, pool, "validation", batches(work, &present, ddl::validations), &refused).await?;
    clock.record("validation");
    in_order(work, pool.first()?, "defaults", batches(work, &present, ddl::defaults)).await?;
    clock.record("defaults");
    Ok(dropped)
}

/// Builds the keys of one table.
///
/// # Errors
/// `LocalRejected` with the key; `LocalUnreachable`.
pub(super) async fn keys(work: &LoadContext, session: &Session, table: &TablePlan) -> Result<()> {
    for statement in ddl::keys(&work.plan.schema, table) {
        session.batch("keys", &statement.sql).await.map_err(|error| named(error, &statement))?;
    }
    Ok(())
}

/// What becomes of refused statements. One that rests on nothing but columns has no business being refused.
fn dropped(work: &LoadContext, schema: &SourceSchema, refused: &RefusedStatements) -> Result<Vec<DroppedObject>> {
    let refused = std::mem::take(&mut *refused.lock().unwrap_or_else(PoisonError::into_inner));
    let one = |(statement, words): (Statement, String)| {
        equivalence_check::refused(work, schema, &statement, &words)
            .ok_or_else(|| Error::new(Kind::LocalRejected, words).at_table(&statement.table))
    };
    refused.into_iter().map(one).collect()
}

/// Moves the identity columns' sequences to their next numbers.
///
/// # Errors
/// `LocalRejected`, `LocalUnreachable`, `Interrupted`.
pub(super) async fn sequences(work: &LoadContext, pool: &SessionPool) -> Result<()> {
    let session = pool.first()?;
    let schema = &work.plan.schema;
    if work.scope != LoadScope::Data && work.plan.existing_schema.is_some() {
        let sql = existing_objects::own_sequences(&work.plan);
        return if sql.is_empty() { Ok(()) } else { session.batch("setting next numbers", &sql.join("; ")).await };
    }
    if work.scope != LoadScope::Data {
        let statements: Vec<_> = work.plan.tables.iter().filter_map(|table| ddl::sequence(schema, table)).collect();
        return in_order(work, session, "sequences", grouped(&statements)).await;
    }
    // Somebody else's table has a sequence of another name.
    let mut sql = String::new();
    for table in &work.plan.tables {
        let Some(identity) = &table.identity else { continue };
        sql.push_str(&set_next_number(schema, table, identity));
        sql.push_str("; ");
    }
    session.batch("setting next numbers", &sql).await
}

/// Sets the sequence of a table that this tool did not create to the first of its numbers that is beyond those in use:
/// the sequence may have another increment, count down or end earlier. One without a number left stands at its end.
fn set_next_number(schema: &str, table: &TablePlan, identity: &IdentityPlan) -> String {
    let whole = qualified(schema, &table.name);
    let (name, column) = (quote_literal(&whole), quote_literal(&identity.column));
    let highest = identity.next.map_or(i64::MAX, |next| next.saturating_sub(1));
    let lowest = format!("(SELECT min({}) FROM {whole})", quote_ident(&identity.column));
    format!(
        "SELECT setval(q.seqrelid::regclass, least(greatest(CASE WHEN u.used IS NULL OR u.steps < 0 THEN q.seqstart \
           ELSE q.seqstart + (floor(u.steps) + 1) * q.seqincrement END, q.seqmin), q.seqmax)::bigint, false) \
         FROM pg_sequence q CROSS JOIN LATERAL (SELECT n.used, (n.used - q.seqstart) / q.seqincrement \
           FROM (SELECT CASE WHEN q.seqincrement > 0 THEN {highest} ELSE {lowest} END::numeric) AS n(used)) AS u(used, steps) \
         WHERE q.seqrelid = pg_get_serial_sequence({name}, {column})::regclass"
    )
}

/// Gathers the planner's statistics.
///
/// # Errors
/// `LocalRejected`, `LocalUnreachable`, `Interrupted`.
pub(super) async fn analyze(work: &Arc<LoadContext>, pool: &SessionPool) -> Result<()> {
    let statement = |table: &TablePlan| Statement {
        kind: StatementKind::Analyze,
        table: table.source.clone(),
        object: table.name.clone(),
        sql: format!("ANALYZE {}", qualified(&work.plan.schema, &table.name)),
    };
    let mut batches = VecDeque::new();
    let mut order: Vec<&TablePlan> = work.plan.tables.iter().collect();
    order.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    for table in order {
        add(&mut batches, vec![statement(table)], table.bytes);
    }
    if work.plan.has_offtype_cells() {
        let sql = format!("ANALYZE {}", qualified(&work.plan.schema, OFFTYPE_TABLE));
        let (table, object) = (OFFTYPE_TABLE.to_owned(), OFFTYPE_TABLE.to_owned());
        add(&mut batches, vec![Statement { kind: StatementKind::Analyze, table, object, sql }], 0);
    }
    carry_out(work, pool, "analyze", batches, &RefusedStatements::default()).await
}

/// The statements of a phase that aren't carried out yet, the largest tables first.
fn batches(
    work: &LoadContext,
    present: &ExistingObjects,
    make: fn(&str, &TablePlan) -> Vec<Statement>,
) -> VecDeque<StatementBatch> {
    let mut order: Vec<&TablePlan> = work.plan.tables.iter().filter(|table| present.is_own(table)).collect();
    order.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let mut batches = VecDeque::new();
    for table in order {
        let mut statements = make(&work.plan.schema, table);
        statements.retain(|statement| !present.has(table, statement));
        add(&mut batches, statements, table.bytes);
    }
    batches
}

/// Adds the statements of one table, which stay together unless it is large: two connections that alter the same tables
/// in different order could wait for each other.
fn add(batches: &mut VecDeque<StatementBatch>, statements: Vec<Statement>, bytes: u64) {
    if bytes > LARGE_BYTES {
        let alone = |statement| StatementBatch { statements: vec![statement], weight_bytes: bytes };
        batches.extend(statements.into_iter().map(alone));
        return;
    }
    if statements.is_empty() {
        return;
    }
    match batches.back_mut() {
        Some(last)
            if last.statements.len() + statements.len() <= BATCH_STATEMENTS
                && last.weight_bytes + bytes <= LARGE_BYTES =>
        {
            last.statements.extend(statements);
            last.weight_bytes += bytes;
        }
        Some(_) | None => batches.push_back(StatementBatch { statements, weight_bytes: bytes }),
    }
}

fn grouped(statements: &[Statement]) -> VecDeque<StatementBatch> {
    let groups = statements.chunks(BATCH_STATEMENTS);
    groups.map(|group| StatementBatch { statements: group.to_vec(), weight_bytes: 0 }).collect()
}

async fn carry_out(
    work: &Arc<LoadContext>,
    pool: &SessionPool,
    phase: &'static str,
    batches: VecDeque<StatementBatch>,
    refused: &RefusedStatements,
) -> Result<()> {
    work.phase(phase, batches.iter().map(|batch| batch.statements.len()).sum());
    let refused = Arc::clone(refused);
    pool.spread(work, batches, move |work, session, batch| {
        let refused = Arc::clone(&refused);
        Box::pin(async move {
            let failed = run(&work, &session, phase, &batch).await?;
            refused.lock().unwrap_or_else(PoisonError::into_inner).extend(failed);
            Ok(())
        })
    })
    .await
    .map(drop)
}

async fn in_order(
    work: &LoadContext,
    session: &Session,
    phase: &'static str,
    batches: VecDeque<StatementBatch>,
) -> Result<()> {
    work.phase(phase, batches.iter().map(|batch| batch.statements.len()).sum());
    for batch in batches {
        work.ctx.stop.check()?;
        let failed = run(work, session, phase, &batch).await?;
        if let Some((statement, words)) = failed.into_iter().next() {
            return Err(Error::new(Kind::LocalRejected, words).at_table(&statement.table));
        }
    }
    Ok(())
}

/// Runs a batch in one round trip, which the server makes one transaction. If it fails, its statements are run one by
/// one, so that the error names the one that fails. Gives the refused ones that a load can do without.
async fn run(
    work: &LoadContext,
    session: &Session,
    phase: &'static str,
    batch: &StatementBatch,
) -> Result<Vec<(Statement, String)>> {
    let sql: Vec<&str> = batch.statements.iter().map(|statement| statement.sql.as_str()).collect();
    let mut refused = Vec::new();
    match session.batch(phase, &sql.join(";\n")).await {
        Ok(()) => {}
        Err(error) if session.is_lost() => return Err(error),
        Err(_) => {
            for statement in &batch.statements {
                match session.batch(statement.kind.word(), &statement.sql).await {
                    Ok(()) => {}
                    Err(error) if !session.is_lost() && is_dispensable(statement, &error) => {
                        refused.push((statement.clone(), named(error, statement).message().to_owned()));
                    }
                    Err(error) => return Err(named(error, statement)),
                }
            }
        }
    }
    work.stepped(phase, batch.statements.len());
    Ok(refused)
}

/// Whether the server refused an index or check for what it says, not for want of something.
fn is_dispensable(statement: &Statement, error: &Error) -> bool {
    matches!(statement.kind, StatementKind::Index | StatementKind::Check)
        && error.is_of_sqlstate_class(&["0A", "22", "23", "42", "54"])
}

fn named(error: Error, statement: &Statement) -> Error {
    let what = format!("{} {}: {}", statement.kind.word(), quote_ident(&statement.object), error.message());
    error.with_message(what).at_table(&statement.table)
}

/// What an interrupted run has made already.
struct ExistingObjects {
    scope: LoadScope,
    made: BTreeSet<String>,
    /// Table and name.
    constraints: BTreeSet<(String, String)>,
    validated: BTreeSet<(String, String)>,
    indexes: BTreeSet<(String, String)>,
}

impl ExistingObjects {
    async fn ask(work: &LoadContext, session: &Session) -> Result<Self> {
        let doing = "looking for what is made already";
        let schema = &work.plan.schema;
        let sql = "SELECT c.relname, k.conname, k.convalidated FROM pg_constraint k \
                   JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                   WHERE n.nspname = $1";
        let (mut constraints, mut validated) = (BTreeSet::new(), BTreeSet::new());
        for row in session.query_rows(doing, sql, &[schema]).await? {
            let name: (String, String) = (row.get(0)?, row.get(1)?);
            if row.get(2)? {
                validated.insert(name.clone());
            }
            constraints.insert(name);
        }
        let sql = "SELECT t.relname, i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid \
                   JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
                   WHERE n.nspname = $1 AND x.indisvalid";
        let indexes = session.query_rows(doing, sql, &[schema]).await?;
        let indexes = indexes.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<_>>()?;
        let made = load_journal::made(session).await?;
        let made = made.into_iter().filter(|made| made.schema == *schema).map(|made| made.table).collect();
        Ok(Self { scope: work.scope, made, constraints, validated, indexes })
    }

    /// Tables that somebody else made keep their form.
    fn is_own(&self, table: &TablePlan) -> bool {
        self.scope != LoadScope::Data || self.made.contains(&table.name)
    }

    fn has(&self, table: &TablePlan, statement: &Statement) -> bool {
        let name = (table.name.clone(), statement.object.clone());
        match statement.kind {
            StatementKind::PrimaryKey | StatementKind::Unique | StatementKind::Check | StatementKind::ForeignKey => {
                self.constraints.contains(&name)
            }
            StatementKind::Index => self.indexes.contains(&name),
            StatementKind::Validate => self.validated.contains(&name),
            _ => false,
        }
    }
}
