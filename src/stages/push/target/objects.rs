//! Views, triggers and their functions on the target: created with the new tables in the cutover, and kept with the
//! old ones. The record knows them by their OIDs, as it knows tables.

use std::collections::BTreeSet;

use crate::{
    error::Result,
    model::{
        Plan,
        identifier::{qualified, quote_ident, quote_literal},
    },
    postgres::{Parameter, Session, session::Row},
    rules::ddl,
    stages::push::target::{
        catalog::names_of,
        record::TargetRecord,
        session::previous_schema,
        table_state::{RecordState, Recorded, Transition},
    },
    workdir::sha256_of_bytes,
};

/// A view or a trigger's function that a push made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PushedObject {
    /// `view` or `function`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its OID.
    pub oid: u32,
    /// Digest of how it was made.
    pub digest: String,
}

/// An object of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedObject {
    /// `view` or `function`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The statements that make it: a view, or a function and its trigger.
    pub statements: Vec<String>,
}

impl PlannedObject {
    fn digest(&self) -> String {
        sha256_of_bytes(self.statements.join(";\n").as_bytes())
    }
}

/// The plan's views and triggers in this schema, in the order in which they are made.
pub(crate) fn planned(plan: &Plan, schema: &str) -> Vec<PlannedObject> {
    let views = plan.views.iter().map(|view| PlannedObject {
        kind: "view",
        name: view.name.clone(),
        statements: vec![ddl::create_view(schema, view).sql],
    });
    let triggers = plan.triggers.iter().map(|trigger| PlannedObject {
        kind: "function",
        name: trigger.function.clone(),
        statements: ddl::create_trigger(schema, trigger).map(|statement| statement.sql).to_vec(),
    });
    views.chain(triggers).collect()
}

/// Recorded objects in a state that are still where they belong.
///
/// # Errors
/// `Target*`.
pub(crate) async fn read(control: &Session, schema: &str, state: RecordState, home: &str) -> Result<Vec<PushedObject>> {
    let doing = "reading the record of views and triggers";
    let there = control.query_rows(doing, "SELECT 1 WHERE to_regclass('turso2neon.objects') IS NOT NULL", &[]).await?;
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT o.kind, o.name, o.oid, o.digest FROM turso2neon.objects o \
               LEFT JOIN pg_class c ON o.kind = 'view' AND c.oid = o.oid AND c.relname = o.name \
               LEFT JOIN pg_proc p ON o.kind = 'function' AND p.oid = o.oid AND p.proname = o.name \
               JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, p.pronamespace) AND n.nspname = $3 \
               WHERE o.target_schema = $1 AND o.state = $2 ORDER BY o.kind DESC, o.oid";
    let rows = control.query_rows(doing, sql, &[&schema, &state.word(), &home]).await?;
    let read = |row: &Row<'_>| {
        Ok(PushedObject { kind: row.get(0)?, name: row.get(1)?, oid: row.get(2)?, digest: row.get(3)? })
    };
    rows.iter().map(read).collect()
}

/// The statements that bring objects into another schema.
pub(crate) fn moves(objects: &[PushedObject], from: &str, to: &str) -> Vec<String> {
    let one = |object: &PushedObject| {
        let name = qualified(from, &object.name);
        let to = quote_ident(to);
        if object.kind == "view" {
            format!("ALTER VIEW {name} SET SCHEMA {to}")
        } else {
            format!("ALTER FUNCTION {name}() SET SCHEMA {to}")
        }
    };
    objects.iter().map(one).collect()
}

/// OIDs of the views among the objects.
pub(crate) fn view_oids(objects: &[PushedObject]) -> impl Iterator<Item = u32> {
    objects.iter().filter(|object| object.kind == "view").map(|object| object.oid)
}

/// Whether exactly the plan's objects are there, as they would be made.
pub(crate) fn are_there(plan: &Plan, schema: &str, live: &[PushedObject]) -> bool {
    let wanted: BTreeSet<(String, String)> =
        planned(plan, schema).iter().map(|one| (one.name.clone() + one.kind, one.digest())).collect();
    let there: BTreeSet<(String, String)> =
        live.iter().map(|one| (one.name.clone() + &one.kind, one.digest.clone())).collect();
    wanted == there
}

/// The grants and comments that the new views get from those that they replace.
///
/// # Errors
/// `Target*`.
pub(crate) async fn carried(
    control: &Session,
    plan: &Plan,
    schema: &str,
    live: &[PushedObject],
) -> Result<Vec<String>> {
    let kept = |object: &&PushedObject| plan.views.iter().any(|view| view.name == object.name);
    let oids: Vec<u32> = view_oids(&live.iter().filter(kept).cloned().collect::<Vec<_>>()).collect();
    if oids.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "SELECT format('GRANT %s ON %I.%I TO %s%s', a.privilege_type, $2::text, c.relname, \
                 coalesce(quote_ident(r.rolname), 'PUBLIC'), \
                 CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) \
               FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee \
               WHERE c.oid = ANY($1) AND a.grantee <> c.relowner \
               UNION ALL SELECT format('COMMENT ON VIEW %I.%I IS %L', $2::text, c.relname, d.description) \
               FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass \
               WHERE c.oid = ANY($1) AND d.objsubid = 0 ORDER BY 1";
    names_of(control, "reading the grants of views", sql, &[&oids, &schema]).await
}

/// The statements that make the plan's objects in the target schema, and record them instead of those that the record
/// has as live.
pub(crate) fn cutover(plan: &Plan, schema: &str, record: &TargetRecord) -> Vec<String> {
    let planned = planned(plan, schema);
    let mut sql: Vec<String> = planned.iter().flat_map(|one| one.statements.iter().cloned()).collect();
    let place = quote_literal(schema);
    sql.push(format!(
        "DELETE FROM turso2neon.objects o WHERE o.target_schema = {place} AND o.state = '{}' AND NOT EXISTS (\
         SELECT FROM pg_class c WHERE c.oid = o.oid) AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.oid = o.oid)",
        RecordState::Old.word()
    ));
    sql.extend(transition(Transition::CutOver, schema, record));
    for one in &planned {
        let whole = qualified(schema, &one.name);
        let oid = if one.kind == "view" {
            format!("{}::regclass", quote_literal(&whole))
        } else {
            format!("{}::regprocedure", quote_literal(&(whole + "()")))
        };
        sql.push(format!(
            "INSERT INTO turso2neon.objects VALUES ({place}, 'live', {}, {}, {oid}::oid, {})",
            quote_literal(one.kind),
            quote_literal(&one.name),
            quote_literal(&one.digest())
        ));
    }
    // A trigger that the push makes is no addition of somebody else's.
    sql.extend(plan.triggers.iter().map(|trigger| {
        format!(
            "UPDATE turso2neon.tables SET parts = array_append(parts, {}) WHERE target_schema = {place} \
             AND state = 'live' AND name = {}",
            quote_literal(&format!("trigger {}", trigger.name)),
            quote_literal(&trigger.relation)
        )
    }));
    sql
}

/// The statements that record what happens to the objects that were seen.
pub(crate) fn transition(transition: Transition, schema: &str, record: &TargetRecord) -> Vec<String> {
    let oids = |objects: &[PushedObject]| objects.iter().map(|object| object.oid).collect::<Vec<_>>();
    let (live, previous) = (oids(&record.live_objects), oids(&record.previous_objects));
    transition.statements(Recorded::Objects, schema, &live, &previous)
}

/// What drops the recorded objects in a schema: the views before its tables, the functions after them.
///
/// # Errors
/// `Target*`.
pub(crate) async fn drops(control: &Session, schema: &str) -> Result<(Vec<String>, Vec<String>)> {
    let doing = "looking for views and functions to drop";
    let there = control.query_rows(doing, "SELECT 1 WHERE to_regclass('turso2neon.objects') IS NOT NULL", &[]).await?;
    if there.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let sql = "SELECT format('%I.%I', n.nspname, c.relname) FROM turso2neon.objects o JOIN pg_class c ON c.oid = o.oid \
               JOIN pg_namespace n ON n.oid = c.relnamespace \
               WHERE o.kind = 'view' AND n.nspname = $1 AND c.relkind = 'v' ORDER BY 1";
    let views = names_of(control, doing, sql, &[&schema]).await?;
    let sql = "SELECT format('%I.%I()', n.nspname, p.proname) FROM turso2neon.objects o JOIN pg_proc p ON p.oid = o.oid \
               JOIN pg_namespace n ON n.oid = p.pronamespace WHERE o.kind = 'function' AND n.nspname = $1 ORDER BY 1";
    let functions = names_of(control, doing, sql, &[&schema]).await?;
    // One statement for all: they may use each other.
    let statement = |kind: &str, names: &[String]| match names {
        [] => Vec::new(),
        names => vec![format!("DROP {kind} IF EXISTS {} RESTRICT", names.join(", "))],
    };
    Ok((statement("VIEW", &views), statement("FUNCTION", &functions)))
}

/// What speaks against making and keeping the objects: functions of the same name, and triggers of others that call
/// those that a push made.
///
/// # Errors
/// `Target*`.
pub(crate) async fn conflicts(
    control: &Session,
    plan: &Plan,
    schema: &str,
    record: &TargetRecord,
) -> Result<Vec<String>> {
    let names: Vec<String> = plan.triggers.iter().map(|trigger| trigger.function.clone()).collect();
    let functions = |objects: &[PushedObject]| -> Vec<u32> {
        objects.iter().filter(|object| object.kind == "function").map(|object| object.oid).collect()
    };
    let live = functions(&record.live_objects);
    let doing = "looking for functions of the same name";
    let sql = "SELECT 'function ' || p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace \
               WHERE n.nspname = $1 AND p.proname = ANY($2) AND p.pronargs = 0 AND p.oid <> ALL($3) ORDER BY 1";
    let kept: Vec<String> = record.live_objects.iter().map(|object| object.name.clone()).collect();
    let (home, previous) = (previous_schema(schema), functions(&record.previous_objects));
    let here: [&dyn Parameter; 3] = [&schema, &names, &live];
    let there: [&dyn Parameter; 3] = [&home, &kept, &previous];
    let calls = "SELECT 'trigger ' || g.tgname || ' calls ' || p.proname FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid \
               WHERE g.tgfoid = ANY($1) AND g.tgrelid <> ALL($2) AND NOT g.tgisinternal ORDER BY 1";
    let recorded: Vec<u32> = live.iter().chain(&previous).copied().collect();
    let relations = record.live_oids().into_iter().chain(record.previous_oids());
    let views = view_oids(&record.live_objects).chain(view_oids(&record.previous_objects));
    let relations: Vec<u32> = relations.chain(views).collect();
    let callers: [&dyn Parameter; 2] = [&recorded, &relations];
    let (found, found_there, calling) = tokio::try_join!(
        names_of(control, doing, sql, &here),
        names_of(control, doing, sql, &there),
        names_of(control, doing, calls, &callers),
    )?;
    Ok(found.into_iter().chain(found_there).chain(calling).collect())
}
