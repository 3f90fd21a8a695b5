//! Reads comments and grants, and attaches them to their objects.

use super::{DOING, Reader, queries};
use crate::error::Result;

/// Comments: class, OID, statement. A check of a domain belongs to the domain, the index of a constraint to the constraint,
/// the columns of a composite type to the type, the sequence of an identity column to the table.
const COMMENTS: &str =
    "SELECT coalesce(w.class, d.classoid), coalesce(w.oid, d.objoid), format('COMMENT ON %s IS %L', CASE
    WHEN d.classoid = 'pg_class'::regclass AND d.objsubid > 0 THEN format('COLUMN %s.%I', d.objoid::regclass,
      (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = d.objoid AND a.attnum = d.objsubid))
    WHEN d.classoid = 'pg_class'::regclass THEN (SELECT CASE c.relkind WHEN 'v' THEN 'VIEW ' WHEN 'm' THEN
      'MATERIALIZED VIEW ' WHEN 'S' THEN 'SEQUENCE ' WHEN 'i' THEN 'INDEX ' WHEN 'I' THEN 'INDEX ' ELSE 'TABLE ' END
      || c.oid::regclass FROM pg_class c WHERE c.oid = d.objoid)
    WHEN d.classoid = 'pg_proc'::regclass THEN (SELECT CASE p.prokind WHEN 'p' THEN 'PROCEDURE ' ELSE 'FUNCTION ' END
      || p.oid::regprocedure FROM pg_proc p WHERE p.oid = d.objoid)
    WHEN d.classoid = 'pg_type'::regclass THEN (SELECT CASE t.typtype WHEN 'd' THEN 'DOMAIN ' ELSE 'TYPE ' END
      || format_type(t.oid, NULL) FROM pg_type t WHERE t.oid = d.objoid)
    WHEN d.classoid = 'pg_namespace'::regclass THEN 'SCHEMA ' || d.objoid::regnamespace
    WHEN d.classoid = 'pg_constraint'::regclass THEN (SELECT format('CONSTRAINT %I ON %s', k.conname,
      CASE WHEN k.conrelid <> 0 THEN k.conrelid::regclass::text ELSE 'DOMAIN ' || format_type(k.contypid, NULL) END)
      FROM pg_constraint k WHERE k.oid = d.objoid)
    WHEN d.classoid = 'pg_trigger'::regclass THEN (SELECT format('TRIGGER %I ON %s', g.tgname, g.tgrelid::regclass)
      FROM pg_trigger g WHERE g.oid = d.objoid)
    WHEN d.classoid = 'pg_policy'::regclass THEN (SELECT format('POLICY %I ON %s', p.polname, p.polrelid::regclass)
      FROM pg_policy p WHERE p.oid = d.objoid)
    WHEN d.classoid = 'pg_rewrite'::regclass THEN (SELECT format('RULE %I ON %s', r.rulename, r.ev_class::regclass)
      FROM pg_rewrite r WHERE r.oid = d.objoid)
    WHEN d.classoid = 'pg_statistic_ext'::regclass THEN (SELECT format('STATISTICS %s.%I', s.stxnamespace::regnamespace,
      s.stxname) FROM pg_statistic_ext s WHERE s.oid = d.objoid)
    WHEN d.classoid = 'pg_collation'::regclass THEN 'COLLATION ' || d.objoid::regcollation END, d.description)
  FROM pg_description d LEFT JOIN LATERAL (
    SELECT 'pg_type'::regclass::oid, k.contypid FROM pg_constraint k
     WHERE d.classoid = 'pg_constraint'::regclass AND k.oid = d.objoid AND k.contypid <> 0
    UNION ALL SELECT 'pg_constraint'::regclass::oid, k.oid FROM pg_constraint k
     WHERE d.classoid = 'pg_class'::regclass AND k.conindid = d.objoid AND k.contype IN ('p', 'u', 'x')
    UNION ALL SELECT 'pg_type'::regclass::oid, c.reltype FROM pg_class c
     WHERE d.classoid = 'pg_class'::regclass AND c.oid = d.objoid AND c.relkind = 'c'
    UNION ALL SELECT 'pg_class'::regclass::oid, o.refobjid FROM pg_depend o JOIN pg_class c ON c.oid = o.objid
     WHERE d.classoid = 'pg_class'::regclass AND o.classid = 'pg_class'::regclass AND o.objid = d.objoid
       AND o.deptype = 'i' AND c.relkind = 'S') AS w(class, oid) ON true
  WHERE d.classoid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass,
    'pg_namespace'::regclass, 'pg_constraint'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass,
    'pg_rewrite'::regclass, 'pg_statistic_ext'::regclass, 'pg_collation'::regclass) AND d.objoid >= 16384
  ORDER BY 1, 2, d.objsubid";

impl Reader<'_> {
    /// Comments and grants.
    ///
    /// # Errors
    /// By role.
    pub(super) async fn attributes(&mut self) -> Result<()> {
        for row in self.session.query_rows(DOING, COMMENTS, &[]).await? {
            let place = self.places.get(&(row.get(0)?, row.get(1)?)).copied();
            let statement: Option<String> = row.get(2)?;
            if let (Some(object), Some(statement)) = (place.and_then(|place| self.objects.get_mut(place)), statement) {
                object.comments.push(statement);
            }
        }
        for row in self.session.query_rows(DOING, queries::GRANTS, &[]).await? {
            let place = self.places.get(&(row.get(0)?, row.get(1)?)).copied();
            if let Some(object) = place.and_then(|place| self.objects.get_mut(place)) {
                object.grants.push(row.get(2)?);
                object.grant_roles.push(row.get(3)?);
            }
        }
        for row in self.session.query_rows(DOING, queries::POLICY_ROLES, &[]).await? {
            let place = self.places.get(&(row.get(0)?, row.get(1)?)).copied();
            if let Some(object) = place.and_then(|place| self.objects.get_mut(place)) {
                object.roles = row.get(2)?;
            }
        }
        Ok(())
    }
}
