//! What the catalog is asked. `$1` is the schema. Names of the schema's own objects come out without it, because it is
//! in the search path.

/// Schemas with tables that are neither the server's, an extension's nor this tool's.
pub(super) const SCHEMAS: &str = "SELECT n.nspname::text, count(*) FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'r' AND n.nspname !~ '^(pg_|_?turso2neon|information_schema$)'
   AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid
                      AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e')
 GROUP BY 1 ORDER BY 1";

/// Schemas in which extensions keep their types and operators.
pub(super) const EXTENSION_SCHEMAS: &str = "SELECT DISTINCT n.nspname::text FROM pg_extension e
  JOIN pg_namespace n ON n.oid = e.extnamespace WHERE n.nspname <> 'pg_catalog' ORDER BY 1";

/// Extensions whose types, operator classes or functions the tables use.
pub(super) const EXTENSIONS: &str = "SELECT DISTINCT e.extname::text FROM pg_extension e
  JOIN pg_depend x ON x.refclassid = 'pg_extension'::regclass AND x.refobjid = e.oid AND x.deptype = 'e'
 WHERE e.extname <> 'plpgsql' AND CASE
   WHEN x.classid = 'pg_type'::regclass THEN EXISTS (
     SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_type t ON t.oid = a.atttypid
      WHERE n.nspname = $1 AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
        AND x.objid IN (t.oid, t.typelem, t.typbasetype))
   WHEN x.classid = 'pg_opclass'::regclass THEN EXISTS (
     SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND x.objid = ANY (i.indclass::oid[]))
   WHEN x.classid = 'pg_proc'::regclass THEN EXISTS (
     SELECT FROM pg_depend d WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = x.objid
        AND d.classid IN ('pg_attrdef'::regclass, 'pg_constraint'::regclass, 'pg_class'::regclass))
   ELSE false END
 ORDER BY 1";

/// Enumerated types with their labels.
pub(super) const ENUMS: &str = "SELECT t.typname::text,
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
 WHERE n.nspname = $1 AND t.typtype = 'e' ORDER BY 1";

/// Ordinary tables that are no extension's.
pub(super) const TABLES: &str = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relkind = 'r'
   AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid
                      AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e')
 ORDER BY 1";

/// Columns: table, name, type, what made the type, NOT NULL, identity, whether generated, default or expression,
/// whether that calls a function of the schema, whether its collation is its own, its sequence.
pub(super) const COLUMNS: &str = "SELECT c.relname::text, a.attname::text,
       CASE WHEN t.typtype = 'e' AND n.oid = t.typnamespace THEN t.typname::text
            WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod)
            ELSE format_type(a.atttypid, a.atttypmod) END,
       CASE WHEN t.typtype = 'e' AND n.oid = t.typnamespace THEN 'enum'
            WHEN t.typtype = 'd' THEN 'domain'
            WHEN b.typtype IN ('e', 'd', 'c', 'r', 'm') AND b.typnamespace <> 'pg_catalog'::regnamespace
              AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_type'::regclass AND x.objid = b.oid
                                 AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e')
              AND NOT (b.typtype = 'e' AND b.typnamespace = n.oid) THEN 'foreign'
            ELSE 'plain' END,
       a.attnotnull, a.attidentity::text, a.attgenerated = 's', pg_get_expr(d.adbin, d.adrelid),
       EXISTS (SELECT FROM pg_depend u JOIN pg_proc p ON u.refclassid = 'pg_proc'::regclass AND p.oid = u.refobjid
                WHERE u.classid = 'pg_attrdef'::regclass AND u.objid = d.oid
                  AND p.pronamespace <> 'pg_catalog'::regnamespace
                  AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_proc'::regclass AND x.objid = p.oid
                                     AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e')),
       a.attcollation <> t.typcollation,
       coalesce(
         (SELECT s.relname::text FROM pg_depend o JOIN pg_class s ON s.oid = o.objid AND s.relkind = 'S'
           WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass
             AND o.refobjid = a.attrelid AND o.refobjsubid = a.attnum AND o.deptype IN ('a', 'i')
           ORDER BY s.relname LIMIT 1),
         (SELECT s.relname::text FROM pg_depend o JOIN pg_class s ON s.oid = o.refobjid AND s.relkind = 'S'
           WHERE o.classid = 'pg_attrdef'::regclass AND o.objid = d.oid AND o.refclassid = 'pg_class'::regclass
           ORDER BY s.relname LIMIT 1))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid
  JOIN pg_type b ON b.oid = CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE t.oid END
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE n.nspname = $1 AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
   AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid
                      AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e')
 ORDER BY c.relname, a.attnum";

/// Constraints: table, name, kind, columns, definition, DEFERRABLE, INITIALLY DEFERRED, whether it calls a function of
/// the schema, a check's condition, whether validated, parent, its columns, actions.
pub(super) const CONSTRAINTS: &str = "SELECT c.relname::text, k.conname::text, k.contype::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(num, place)
              JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.place),
       pg_get_constraintdef(k.oid), k.condeferrable, k.condeferred,
       EXISTS (SELECT FROM pg_depend u JOIN pg_proc p ON u.refclassid = 'pg_proc'::regclass AND p.oid = u.refobjid
                WHERE u.classid = 'pg_constraint'::regclass AND u.objid = k.oid
                  AND p.pronamespace <> 'pg_catalog'::regnamespace
                  AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_proc'::regclass AND x.objid = p.oid
                                     AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e')),
       pg_get_expr(k.conbin, k.conrelid), k.convalidated,
       CASE WHEN p.relnamespace = c.relnamespace AND p.relkind = 'r' THEN p.relname::text END,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(num, place)
              JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.place),
       k.confupdtype::text || k.confdeltype::text
  FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_class p ON p.oid = k.confrelid
 WHERE n.nspname = $1 AND c.relkind = 'r' AND k.contype IN ('p', 'u', 'f', 'c', 'x')
   AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid
                      AND x.refclassid = 'pg_extension'::regclass AND x.deptype = 'e')
 ORDER BY c.relname, k.conname";

/// Indexes that belong to no constraint: table, name, UNIQUE, method, key expressions, definition, DESC, NULLS FIRST,
/// operator classes and collations that are not the usual ones, predicate, whether it calls a function of the schema.
pub(super) const INDEXES: &str = "SELECT c.relname::text, i.relname::text, x.indisunique, m.amname::text,
       ARRAY(SELECT pg_get_indexdef(x.indexrelid, u.place::int4, false)
               FROM unnest(x.indoption::int2[]) WITH ORDINALITY AS u(bits, place) ORDER BY u.place),
       pg_get_indexdef(x.indexrelid),
       ARRAY(SELECT u.bits & 1 <> 0 FROM unnest(x.indoption::int2[]) WITH ORDINALITY AS u(bits, place) ORDER BY u.place),
       ARRAY(SELECT u.bits & 2 <> 0 FROM unnest(x.indoption::int2[]) WITH ORDINALITY AS u(bits, place) ORDER BY u.place),
       ARRAY(SELECT CASE WHEN NOT o.opcdefault THEN o.opcname::text END
               FROM unnest(x.indclass::oid[]) WITH ORDINALITY AS u(class, place)
               JOIN pg_opclass o ON o.oid = u.class ORDER BY u.place),
       ARRAY(SELECT CASE WHEN u.num > 0 AND u.coll <> 0 AND u.coll <> a.attcollation THEN l.collname::text END
               FROM unnest(x.indcollation::oid[], x.indkey::int2[]) WITH ORDINALITY AS u(coll, num, place)
               LEFT JOIN pg_collation l ON l.oid = u.coll
               LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.num
              WHERE u.place <= x.indnkeyatts ORDER BY u.place),
       pg_get_expr(x.indpred, x.indrelid),
       EXISTS (SELECT FROM pg_depend u JOIN pg_proc p ON u.refclassid = 'pg_proc'::regclass AND p.oid = u.refobjid
                WHERE u.classid = 'pg_class'::regclass AND u.objid = x.indexrelid
                  AND p.pronamespace <> 'pg_catalog'::regnamespace
                  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid
                                     AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e'))
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
  JOIN pg_am m ON m.oid = i.relam JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relkind = 'r' AND x.indisvalid
   AND NOT EXISTS (SELECT FROM pg_constraint k
                    WHERE k.conindid = x.indexrelid AND k.contype IN ('p','u','x') AND k.conrelid = x.indrelid)
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
                      AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e')
 ORDER BY c.relname, i.relname";

/// What is not made: table, words, SQL.
pub(super) const OTHERS: &str = "SELECT table_name, words, definition FROM (
  SELECT NULL::text AS table_name, 'view ' || c.relname || ' is not made' AS words, pg_get_viewdef(c.oid) AS definition
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = $1 AND c.relkind IN ('v', 'm')
     AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
                        AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e')
  UNION ALL
  SELECT c.relname::text, CASE c.relkind WHEN 'p' THEN 'the partitioned table ' ELSE 'the foreign table ' END
         || c.relname || ' is not made', NULL
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = $1 AND c.relkind IN ('p', 'f')
  UNION ALL
  SELECT c.relname::text, 'trigger ' || g.tgname || ' is not made', pg_get_triggerdef(g.oid)
    FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = $1 AND NOT g.tgisinternal
  UNION ALL
  SELECT NULL, 'function ' || p.proname || ' is not made',
         CASE WHEN p.prokind IN ('f', 'p') THEN pg_get_functiondef(p.oid) END
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE n.nspname = $1
     AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid
                        AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e')
  UNION ALL
  SELECT c.relname::text, 'row-level security of ' || c.relname || ' is not made', NULL
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = $1 AND c.relrowsecurity) AS found ORDER BY 1 NULLS FIRST, 2";
