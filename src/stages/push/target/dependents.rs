//! Objects of other people that hang on tables of pushed: views, foreign keys, functions, inherited tables, columns of
//! the row's type, defaults that use a sequence. What hangs on a table inside the set doesn't count.

use crate::{error::Result, postgres::Session, stages::push::target::catalog::names_of};

/// `$1` are the tables' OIDs.
const QUERY: &str = "
WITH pushed AS (SELECT oid, reltype, relname FROM pg_class WHERE oid = ANY($1)),
things AS (
  SELECT 'pg_class'::regclass AS class, oid AS id, relname FROM pushed
  UNION ALL
  SELECT 'pg_class'::regclass, s.oid, o.relname FROM pushed o
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = o.oid
    AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
  JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
  UNION ALL
  SELECT 'pg_type'::regclass, t.oid, o.relname FROM pushed o
  JOIN pg_type t ON t.oid = o.reltype OR (t.typelem = o.reltype AND t.typcategory = 'A')
)
SELECT DISTINCT CASE WHEN d.classid = 'pg_rewrite'::regclass
    THEN (SELECT pg_describe_object('pg_class'::regclass, w.ev_class, 0) FROM pg_rewrite w WHERE w.oid = d.objid)
    ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END || ' uses ' || things.relname
FROM things JOIN pg_depend d ON d.refclassid = things.class AND d.refobjid = things.id
WHERE d.deptype = 'n'
  AND NOT (d.classid = 'pg_constraint'::regclass AND EXISTS (
    SELECT FROM pg_constraint k JOIN pushed o ON o.oid = k.conrelid WHERE k.oid = d.objid))
  AND NOT (d.classid = 'pg_attrdef'::regclass AND EXISTS (
    SELECT FROM pg_attrdef a JOIN pushed o ON o.oid = a.adrelid WHERE a.oid = d.objid))
  AND NOT (d.classid = 'pg_class'::regclass AND EXISTS (
    SELECT FROM pg_index x JOIN pushed o ON o.oid = x.indrelid WHERE x.indexrelid = d.objid))
  AND NOT (d.classid = 'pg_rewrite'::regclass AND EXISTS (
    SELECT FROM pg_rewrite w JOIN pushed o ON o.oid = w.ev_class WHERE w.oid = d.objid))
  AND NOT (d.classid = 'pg_trigger'::regclass AND EXISTS (
    SELECT FROM pg_trigger g JOIN pushed o ON o.oid = g.tgrelid WHERE g.oid = d.objid))
  AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (
    SELECT FROM pg_policy p JOIN pushed o ON o.oid = p.polrelid WHERE p.oid = d.objid))
  AND NOT (d.classid = 'pg_publication_rel'::regclass AND EXISTS (
    SELECT FROM pg_publication_rel m JOIN pushed o ON o.oid = m.prrelid WHERE m.oid = d.objid))
  AND NOT (d.classid = 'pg_statistic_ext'::regclass AND EXISTS (
    SELECT FROM pg_statistic_ext s JOIN pushed o ON o.oid = s.stxrelid WHERE s.oid = d.objid))
ORDER BY 1";

/// Descriptions such as `view public.paid uses orders`.
///
/// # Errors
/// `Target*`.
pub(crate) async fn of(control: &Session, tables: &[u32]) -> Result<Vec<String>> {
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    names_of(control, "looking for what depends on the tables", QUERY, &[&tables]).await
}
