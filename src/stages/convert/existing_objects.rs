//! Creates the objects of an existing schema on the local PostgreSQL: those that the rows need before the load, and
//! everything else after it. What the plan found to be broken by rows is created in its weaker form.
//!
//! Rights are not carried to the local PostgreSQL, because its roles are not those of the target.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::SinkExt as _;

use super::load_context::{LoadContext, SessionPool};
use crate::{
    error::{Error, Result, ResultExt as _},
    model::{
        Plan, TablePlan,
        catalog::{Catalog, CatalogObject, ObjectFacts, ObjectKind, Phase},
        existing_schema::{ExistingRows, ExistingSchema, SequenceStart},
        identifier::{qualified, quote_list},
        number_series::NumberSeries,
        weakened_objects,
    },
    postgres::{Session, load_journal},
    rules::ddl,
};

/// Creates what the rows need, in one transaction, unless an interrupted load has done it.
///
/// # Errors
/// `LocalRejected` with the object; `LocalUnreachable`.
pub(super) async fn create_before(work: &LoadContext, session: &Session) -> Result<()> {
    let Some(existing) = &work.plan.existing_schema else { return Ok(()) };
    if !load_journal::made(session).await?.is_empty() {
        return Ok(());
    }
    let catalog = &existing.catalog;
    let settings = "SET LOCAL check_function_bodies = off";
    session
        .batch("creating the existing schema", &format!("BEGIN; {}; {settings}", catalog.set_search_path(true)))
        .await?;
    for object in catalog.in_phase(Phase::BeforeRows).filter(|object| is_local(existing, object)) {
        create(session, catalog, object, weakened_objects::object(&work.plan, object)).await?;
        if object.name.kind == ObjectKind::Table {
            let made = load_journal::made_sql(&object.name.schema, &object.name.name);
            session.batch("recording a table", &made).await?;
        }
    }
    // Rows that the source lacks values for take numbers: they go on after those that the schema's own rows have.
    let states: Vec<String> = catalog.objects.iter().flat_map(CatalogObject::sequence_states).collect();
    if !states.is_empty() {
        session.batch("setting next numbers", &states.join("; ")).await?;
    }
    for statement in weakened_objects::columns(&work.plan, |_| false) {
        session.batch("changing a column of the existing schema", &statement).await?;
    }
    for rows in &existing.rows {
        insert(session, rows).await.at_table(&rows.table)?;
    }
    let mut record = load_journal::record_drops(&drops(existing));
    record.push("COMMIT".to_owned());
    session.batch("recording the existing schema", &record.join("; ")).await
}

/// Creates everything else: keys and indexes on all connections, the rest in order.
///
/// # Errors
/// `LocalRejected` with the object; `LocalUnreachable`; `Interrupted`.
pub(super) async fn create_after(work: &Arc<LoadContext>, pool: &SessionPool) -> Result<()> {
    let Some(existing) = &work.plan.existing_schema else { return Ok(()) };
    let first = pool.first()?;
    let done = load_journal::created_objects(first).await?;
    let objects: Vec<&CatalogObject> = existing.catalog.in_phase(Phase::AfterRows).collect();
    let waiting =
        |object: &&&CatalogObject| is_local(existing, object) && !done.contains(&journal_name(existing, object));
    let (indexes, others): (Vec<&CatalogObject>, Vec<&CatalogObject>) =
        objects.iter().filter(waiting).partition(|object| is_index(&existing.catalog, object));
    let mut by_table: BTreeMap<(String, String), Vec<CatalogObject>> = BTreeMap::new();
    for object in indexes {
        let table = (object.name.schema.clone(), object.name.table.clone());
        by_table.entry(table).or_default().push(object.clone());
    }
    work.phase("indexes", by_table.values().map(Vec::len).sum());
    let tasks: VecDeque<Vec<CatalogObject>> = by_table.into_values().collect();
    pool.spread(work, tasks, |work, session, objects| {
        Box::pin(async move {
            for object in &objects {
                create_one(&work, &session, object).await?;
                work.stepped("indexes", 1);
            }
            Ok(())
        })
    })
    .await?;
    work.phase("objects", others.len());
    for object in others {
        work.ctx.stop.check()?;
        create_one(work, first, object).await?;
        work.stepped("objects", 1);
    }
    let raise = |start: &SequenceStart| ddl::raise_sequence(&start.sequence, start.next);
    let mut sql = vec![existing.catalog.set_search_path(false)];
    sql.extend(work.plan.sequences.iter().map(raise));
    first.batch("setting next numbers", &sql.join("; ")).await
}

/// Drops what was created after the rows of an earlier `--schema-only`, so that rows can be loaded as into new tables.
///
/// # Errors
/// `LocalRejected`, `LocalUnreachable`.
pub(super) async fn drop_after(work: &LoadContext, session: &Session) -> Result<()> {
    let Some(existing) = &work.plan.existing_schema else { return Ok(()) };
    let done = load_journal::created_objects(session).await?;
    let mut sql = vec!["BEGIN".to_owned(), existing.catalog.set_search_path(true)];
    for object in existing.catalog.in_phase(Phase::AfterRows).collect::<Vec<_>>().into_iter().rev() {
        if done.contains(&journal_name(existing, object)) {
            sql.extend(object.drop());
        }
    }
    sql.push(load_journal::FORGET_CREATED.to_owned());
    sql.push("COMMIT".to_owned());
    session.batch("dropping keys and indexes before rows are loaded", &sql.join("; ")).await
}

/// An object in a transaction of its own that also records it.
async fn create_one(work: &LoadContext, session: &Session, object: &CatalogObject) -> Result<()> {
    let Some(existing) = &work.plan.existing_schema else { return Ok(()) };
    let mut sql = vec!["BEGIN".to_owned(), existing.catalog.set_search_path(true)];
    sql.push("SET LOCAL check_function_bodies = off".to_owned());
    sql.extend(weakened_objects::object(&work.plan, object));
    sql.extend(object.comments.iter().filter(|_| !weakened_objects::is_dropped(&work.plan, object)).cloned());
    sql.push(load_journal::created_sql(&journal_name(existing, object)));
    sql.push("COMMIT".to_owned());
    let created = session.batch("creating an object", &sql.join(";\n")).await;
    created.map_err(|error| named(&existing.catalog, object, error))
}

async fn create(session: &Session, catalog: &Catalog, object: &CatalogObject, mut sql: Vec<String>) -> Result<()> {
    sql.extend(object.comments.iter().cloned());
    let created = session.batch("creating an object", &sql.join(";\n")).await;
    created.map_err(|error| named(catalog, object, error))
}

fn named(catalog: &Catalog, object: &CatalogObject, error: Error) -> Error {
    let what = format!("{} of the existing schema: {}", object.name.words(&catalog.schema), error.message());
    let error = error.with_message(what);
    if object.name.kind == ObjectKind::Extension {
        return error.with_hint(
            "install the extension for this machine's PostgreSQL, or name a server that has it: --local-url",
        );
    }
    error
}

/// What is created on the local PostgreSQL: everything but rights, and extensions that nothing needs.
fn is_local(existing: &ExistingSchema, object: &CatalogObject) -> bool {
    match object.name.kind {
        ObjectKind::Policy | ObjectKind::RowSecurity => false,
        ObjectKind::Extension => existing.extensions.contains(&object.name.name),
        _ => true,
    }
}

/// Whether an object can be built beside others: a key, an exclusion constraint or an index of a table.
fn is_index(catalog: &Catalog, object: &CatalogObject) -> bool {
    let is_built = match &object.facts {
        ObjectFacts::Constraint(constraint) => constraint.foreign_key.is_none() && constraint.expression.is_none(),
        ObjectFacts::Index(_) => true,
        _ => false,
    };
    let needs = object.needs.iter().filter_map(|place| catalog.objects.get(*place));
    is_built && needs.into_iter().all(|need| need.phase == Phase::BeforeRows)
}

/// What the journal calls an object.
fn journal_name(existing: &ExistingSchema, object: &CatalogObject) -> String {
    object.name.words(&existing.catalog.schema)
}

/// The statements that drop everything again: before the tables, and after them.
fn drops(existing: &ExistingSchema) -> [Vec<String>; 2] {
    let path = existing.catalog.set_search_path(true);
    let (mut before, mut after) = (vec![path.clone()], vec![path]);
    for object in existing.catalog.objects.iter().rev().filter(|object| is_local(existing, object)) {
        match object.name.kind {
            ObjectKind::View | ObjectKind::MaterializedView => before.extend(object.drop()),
            ObjectKind::Function if object.phase == Phase::AfterRows => before.extend(object.drop()),
            ObjectKind::Schema
            | ObjectKind::Collation
            | ObjectKind::Type
            | ObjectKind::Domain
            | ObjectKind::Sequence
            | ObjectKind::Function => after.extend(object.drop()),
            _ => {}
        }
    }
    [before, after]
}

async fn insert(session: &Session, rows: &ExistingRows) -> Result<()> {
    let doing = "loading rows of the existing schema";
    let columns = quote_list(rows.columns.iter().map(String::as_str));
    let sql = format!("COPY {} ({columns}) FROM STDIN", qualified(&rows.schema, &rows.table));
    let opened = session.client().copy_in::<_, Bytes>(&sql).await.map_err(|failure| session.error(doing, &failure))?;
    let mut sink = Box::pin(opened);
    let bytes = Bytes::from(rows.copy.clone().into_bytes());
    sink.send(bytes).await.map_err(|failure| session.error(doing, &failure))?;
    sink.as_mut().finish().await.map(drop).map_err(|failure| session.error(doing, &failure))
}

/// The statements that move the sequences of planned tables on to their next numbers. One without a number left stands at
/// its last number. Rows may have taken more numbers by defaults than the plan knows of.
pub(super) fn own_sequences(plan: &Plan) -> Vec<String> {
    let Some(existing) = &plan.existing_schema else { return Vec::new() };
    let statement = |table: &TablePlan| {
        let identity = table.identity.as_ref()?;
        let column = table.column(&identity.column);
        let series = existing.series(&table.name, &identity.column);
        let series = series.or_else(|| column.map(|column| NumberSeries::ascending(&column.pg_type)));
        let next = identity.next.or_else(|| series.map(NumberSeries::last))?;
        Some(ddl::raise_sequence(&qualified(&plan.schema, &identity.sequence), next))
    };
    plan.tables.iter().filter_map(statement).collect()
}
