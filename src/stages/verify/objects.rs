//! Compares views and triggers of one side with the plan: that they are there, what they are made of, and at level
//! `full` the rows of each view against those of SQLite's view in the dump.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Difference, VerifyLevel,
    comparison::{ServerSide, Task, Worker},
    expressions::{self, ExpressionPair},
    full,
};
use crate::{
    error::Result,
    model::{
        PgType,
        identifier::qualified,
        view_trigger_plan::{Timing, TriggerPlan, ViewPlan},
    },
    postgres::{Role, Session, session::Row},
};

/// Bits of `pg_trigger.tgtype` (PostgreSQL `pg_trigger.h`).
const ROW: i32 = 1;
const BEFORE: i32 = 2;
const INSERT: i32 = 4;
const DELETE: i32 = 8;
const UPDATE: i32 = 16;
const INSTEAD: i32 = 64;

/// What one side has of the views: name, definition, columns with types, whether it has options.
type CatalogViews = Vec<(String, String, Vec<String>, bool)>;

/// Everything that differs in views and triggers.
///
/// # Errors
/// By role; those of the dump.
pub(super) async fn compare(task: &Arc<Task>) -> Result<Vec<Difference>> {
    let plan = &task.scope.plan;
    if plan.views.is_empty() && plan.triggers.is_empty() {
        return Ok(Vec::new());
    }
    let mut worker = Worker::new(task);
    let mut differences = Vec::new();
    let mut first: Option<(u32, CatalogViews)> = None;
    for side in &task.sides {
        let role = side.endpoint.role();
        let session = worker.session(role).await?;
        let found = views(&session, &side.schema).await?;
        for view in &plan.views {
            differences.extend(view_on(side, view, &found));
        }
        if let Some((version, other)) = &first
            && *version == session.version() / 10_000
        {
            differences.extend(plan.views.iter().filter_map(|view| unlike(role, view, other, &found)));
        }
        first.get_or_insert_with(|| (session.version() / 10_000, found.clone()));
        differences.extend(triggers(&session, side, &plan.triggers).await?);
    }
    if task.level == VerifyLevel::Full {
        for view in &plan.views {
            differences.extend(rows(task, &mut worker, view, &differences).await?);
        }
    }
    Ok(differences)
}

/// The views of a schema, with names as a session sees them that looks into this schema.
async fn views(session: &Session, schema: &str) -> Result<CatalogViews> {
    let sql = "SELECT c.relname::text, pg_get_viewdef(c.oid), ARRAY(SELECT a.attname || chr(31) || \
                 replace(t.typname, 'varchar', 'text') FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum), \
                 c.reloptions IS NOT NULL \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind = 'v'";
    let rows = session.query_rows("reading the catalog of views", sql, &[&schema]).await?;
    let read = |row: &Row<'_>| Ok((row.get(0)?, unqualified(row.get(1)?, schema), row.get(2)?, row.get(3)?));
    rows.iter().map(read).collect()
}

/// A definition without the schema's name, which differs between the sides.
fn unqualified(sql: &str, schema: &str) -> String {
    sql.replace(&format!("{schema}."), "").replace(&format!("\"{schema}\"."), "")
}

fn view_on(side: &ServerSide, view: &ViewPlan, found: &CatalogViews) -> Option<Difference> {
    let role = side.endpoint.role();
    let Some((_, _, columns, has_options)) = found.iter().find(|(name, ..)| *name == view.name) else {
        return Some(Difference::new(role, &view.source, "view missing"));
    };
    // Type arguments are no part of the type where a value is computed.
    let planned = view.columns.iter().map(|column| format!("{}\u{1f}{}", column.name, catalog_name(&column.pg_type)));
    if !planned.eq(columns.iter().cloned()) {
        return Some(Difference::new(role, &view.source, "the view's columns are not those planned"));
    }
    has_options.then(|| Difference::new(role, &view.source, "the view has options that are not planned"))
}

/// The catalog's name of a type, in which `varchar` is `text`.
fn catalog_name(pg_type: &PgType) -> &'static str {
    match pg_type {
        PgType::SmallInt => "int2",
        PgType::Integer => "int4",
        PgType::BigInt => "int8",
        PgType::Boolean => "bool",
        PgType::Double => "float8",
        PgType::Numeric(_) => "numeric",
        PgType::Text | PgType::Varchar(_) => "text",
        PgType::Bytea => "bytea",
        PgType::Date => "date",
        PgType::Time => "time",
        PgType::Timestamp => "timestamp",
        PgType::TimestampTz => "timestamptz",
        PgType::Uuid => "uuid",
        PgType::Json => "json",
        PgType::Jsonb => "jsonb",
        PgType::Vector(_) => "vector",
        PgType::HalfVec(_) => "halfvec",
        PgType::RealArray => "_float4",
        PgType::DoubleArray => "_float8",
        PgType::Bit(_) => "bit",
        // Views are planned for types of the rules only.
        PgType::Enum(_) | PgType::ExistingType(_) => "",
    }
}

/// Another definition than on the side before.
fn unlike(role: Role, view: &ViewPlan, other: &CatalogViews, found: &CatalogViews) -> Option<Difference> {
    let definition =
        |found: &CatalogViews| found.iter().find(|(name, ..)| *name == view.name).map(|(_, sql, ..)| sql.clone());
    let (one, two) = (definition(other)?, definition(found)?);
    (one != two).then(|| Difference::new(role, &view.source, "the view's definition is not the local one"))
}

async fn triggers(session: &Session, side: &ServerSide, planned: &[TriggerPlan]) -> Result<Vec<Difference>> {
    let doing = "reading the catalog of triggers";
    let sql = "SELECT c.relname::text, g.tgname::text, g.tgtype::integer, g.tgenabled::text, p.proname::text, p.prosrc, \
                 p.pronamespace = c.relnamespace \
                   AND coalesce(p.proconfig = ARRAY['search_path=pg_catalog'], false) AND l.lanname = 'plpgsql' \
                   AND NOT p.prosecdef AND g.tgconstraint = 0 AND g.tgnargs = 0, \
                 ARRAY(SELECT a.attname::text FROM pg_attribute a \
                        WHERE a.attrelid = g.tgrelid AND a.attnum = ANY (g.tgattr::int2[])), \
                 pg_get_triggerdef(g.oid) FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid \
               JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_proc p ON p.oid = g.tgfoid \
               JOIN pg_language l ON l.oid = p.prolang \
               WHERE n.nspname = $1 AND NOT g.tgisinternal";
    let rows = session.query_rows(doing, sql, &[&side.schema]).await?;
    let read = |row: &Row<'_>| {
        Ok(CatalogTrigger {
            relation: row.get(0)?,
            name: row.get(1)?,
            bits: row.get(2)?,
            enabled: row.get::<&str>(3)? == "O",
            function: row.get(4)?,
            body: row.get(5)?,
            plain: row.get(6)?,
            columns: row.get::<Vec<String>>(7)?.into_iter().collect(),
            definition: row.get(8)?,
        })
    };
    let found = rows.iter().map(read).collect::<Result<Vec<CatalogTrigger>>>()?;
    let role = side.endpoint.role();
    let mut differences = Vec::new();
    for trigger in planned {
        let there = found.iter().find(|one| one.relation == trigger.relation && one.name == trigger.name);
        let what = match there {
            None => "missing",
            Some(one) if !one.enabled => "is disabled",
            Some(one) if one.is(trigger, &side.schema) && one.same_when(session, &side.schema, trigger).await? => {
                continue;
            }
            Some(_) => "differs",
        };
        differences.push(Difference::new(role, &trigger.relation, format!("trigger {} {what}", trigger.name)));
    }
    let known =
        |one: &CatalogTrigger| planned.iter().any(|plan| plan.relation == one.relation && plan.name == one.name);
    let added = found.iter().filter(|one| !known(one));
    differences.extend(added.map(|one| Difference::new(role, &one.relation, format!("trigger {} added", one.name))));
    Ok(differences)
}

/// A trigger of the catalog.
struct CatalogTrigger {
    relation: String,
    name: String,
    bits: i32,
    enabled: bool,
    function: String,
    body: String,
    /// Neither it nor its function has what no planned one has, such as arguments or SECURITY DEFINER.
    plain: bool,
    /// Those of UPDATE OF.
    columns: BTreeSet<String>,
    /// CREATE TRIGGER, as PostgreSQL prints it.
    definition: String,
}

impl CatalogTrigger {
    fn is(&self, trigger: &TriggerPlan, schema: &str) -> bool {
        let timing = match trigger.timing {
            Timing::Before => BEFORE,
            Timing::After => 0,
            Timing::InsteadOf => INSTEAD,
        };
        let event = match trigger.event.as_str() {
            "INSERT" => INSERT,
            "DELETE" => DELETE,
            _ => UPDATE,
        };
        self.bits == ROW | timing | event
            && self.function == trigger.function
            && self.plain
            && self.columns == trigger.columns.iter().cloned().collect()
            && self.body.trim() == trigger.body.render(schema).trim()
    }

    /// Whether it fires under the planned condition.
    async fn same_when(&self, session: &Session, schema: &str, trigger: &TriggerPlan) -> Result<bool> {
        let found = self.definition.split_once(" FOR EACH ROW WHEN (");
        let found = found.and_then(|(_, rest)| rest.rsplit_once(") EXECUTE FUNCTION ")).map(|(found, _)| found);
        let (Some(planned), Some(found)) = (&trigger.condition, found) else {
            return Ok(trigger.condition.is_none() && found.is_none());
        };
        let pair = ExpressionPair { planned: planned.clone(), found: found.to_owned(), as_type: None };
        let table = qualified(schema, &self.relation);
        let same = expressions::same(session, &format!("{table} AS old, {table} AS new"), &[pair]).await?;
        Ok(same == [true])
    }
}

/// The view's rows on every side against the dump's.
async fn rows(task: &Task, worker: &mut Worker, view: &ViewPlan, known: &[Difference]) -> Result<Vec<Difference>> {
    let table = view.as_table();
    let columns: Vec<_> = table.columns.iter().collect();
    let usable = |side: &&ServerSide| {
        let word = side.endpoint.role().word();
        !known.iter().any(|found| found.side == word && found.table == view.source)
    };
    let sides: Vec<(Role, String)> =
        task.sides.iter().filter(usable).map(|side| (side.endpoint.role(), side.schema.clone())).collect();
    if sides.is_empty() {
        return Ok(Vec::new());
    }
    full::view(worker, &task.ctx.out, &table, &columns, &sides).await
}
