//! Lists what the tool has in the target database: its schemas and what is in them, with sizes.

use std::collections::BTreeMap;

use crate::{
    error::Result,
    model::tool_objects::{SchemaPurpose, ToolObject, ToolObjects, ToolSchema},
    postgres::Session,
    stages::push::target::{
        lifecycle, record,
        session::{STAGING_PREFIX, changed_rows_schema, previous_schema},
    },
};

/// The schemas that have a name and a comment of the tool's, and what is in them. A schema of somebody else's that has
/// such a name lacks the comment. Sequences of columns and indexes count to their tables.
const LIST: &str = "SELECT n.nspname::text, o.kind, o.name, o.bytes FROM pg_namespace n LEFT JOIN LATERAL (\
     SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'view' WHEN 'S' THEN 'sequence' ELSE 'table' END, \
         c.relname::text, CASE WHEN c.relkind IN ('r', 'm', 'S') THEN pg_total_relation_size(c.oid) END \
       FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') \
         AND NOT (c.relkind = 'S' AND EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass \
           AND d.objid = c.oid AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0)) \
     UNION ALL SELECT 'function', p.proname::text, NULL FROM pg_proc p WHERE p.pronamespace = n.oid \
     UNION ALL SELECT 'trigger', g.tgname::text, NULL FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid \
       WHERE c.relnamespace = n.oid AND NOT g.tgisinternal) AS o(kind, name, bytes) ON true \
     WHERE (n.nspname = $1 OR starts_with(n.nspname::text, $1 || '_') OR starts_with(n.nspname::text, $2)) \
       AND starts_with(obj_description(n.oid, 'pg_namespace'), 'turso2neon') \
     ORDER BY n.nspname COLLATE \"C\", o.kind, o.name COLLATE \"C\"";

/// Everything that the tool has in the database of this session. `address` is the database's, for the answer.
///
/// # Errors
/// `ArtifactNewer` as [`lifecycle::finished`], `Target*`.
pub(crate) async fn read(control: &Session, address: &str) -> Result<ToolObjects> {
    let rows = control.query_rows("listing the tool's objects", LIST, &[&record::SCHEMA, &STAGING_PREFIX]).await?;
    let mut found: BTreeMap<String, Vec<ToolObject>> = BTreeMap::new();
    for row in &rows {
        let objects = found.entry(row.get(0)?).or_default();
        if let Some(kind) = row.get::<Option<String>>(1)? {
            let bytes: Option<i64> = row.get(3)?;
            objects.push(ToolObject { kind, name: row.get(2)?, bytes: bytes.map(i64::cast_unsigned) });
        }
    }
    let known = known_schemas(control).await?;
    let finished = lifecycle::finished(control).await?;
    let schema = |(name, objects): (String, Vec<ToolObject>)| {
        let known = known.get(&name);
        let purpose = match known {
            Some((purpose, _)) => *purpose,
            None if name == record::SCHEMA => SchemaPurpose::Record,
            None if name.starts_with(STAGING_PREFIX) => SchemaPurpose::Staging,
            None if name.starts_with(&previous_schema("public")) => SchemaPurpose::PreviousTables,
            None => SchemaPurpose::ChangedRows,
        };
        ToolSchema { name, purpose, target_schema: known.map(|(_, target)| target.clone()), objects }
    };
    let schemas = found.into_iter().map(schema).collect();
    Ok(ToolObjects { target: address.to_owned(), schemas, finished })
}

/// The schemas that the record tells of, each with its purpose and the schema whose pushes it belongs to.
async fn known_schemas(control: &Session) -> Result<BTreeMap<String, (SchemaPurpose, String)>> {
    let doing = "reading the record of earlier pushes";
    let mut known = BTreeMap::new();
    if !record::is_there(control).await? {
        return Ok(known);
    }
    let sql = "SELECT target_schema, staging_schema FROM turso2neon.runs WHERE state <> 'done' \
               UNION SELECT target_schema, '' FROM turso2neon.runs UNION SELECT target_schema, '' FROM turso2neon.tables";
    for row in &control.query_rows(doing, sql, &[]).await? {
        let (target, staging): (String, String) = (row.get(0)?, row.get(1)?);
        known.insert(previous_schema(&target), (SchemaPurpose::PreviousTables, target.clone()));
        known.insert(changed_rows_schema(&target), (SchemaPurpose::ChangedRows, target.clone()));
        if !staging.is_empty() {
            known.insert(staging, (SchemaPurpose::Staging, target));
        }
    }
    Ok(known)
}
