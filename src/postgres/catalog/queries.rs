//! What the catalog is asked. Objects of the server, of extensions and of this tool are left out. Names come out as the
//! search path needs them. `$1` is the schema whose tables are meant.

/// A condition on the namespace `n`: not the server's and not this tool's.
macro_rules! of_users {
    () => {
        "n.nspname !~ '^(pg_|_?turso2neon)' AND n.nspname <> 'information_schema'"
    };
}

/// A condition on an object: it belongs to no extension.
macro_rules! no_extension {
    ($class:literal, $oid:literal) => {
        concat!(
            "NOT EXISTS (SELECT FROM pg_depend member WHERE member.deptype = 'e' AND member.classid = '",
            $class,
            "'::regclass AND member.objid = ",
            $oid,
            ")"
        )
    };
}

/// Schemas with tables, and how many. `$1` are names of tables that do not count, in lower case.
pub(super) const SCHEMAS: &str = concat!(
    "SELECT n.nspname::text, count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND lower(c.relname) <> ALL ($1) AND ",
    of_users!(),
    " AND ",
    no_extension!("pg_class", "c.oid"),
    " GROUP BY 1 ORDER BY 1"
);

/// Schemas in which extensions keep their types and operators.
pub(super) const EXTENSION_SCHEMAS: &str = "SELECT DISTINCT n.nspname::text FROM pg_extension e
  JOIN pg_namespace n ON n.oid = e.extnamespace WHERE n.nspname <> 'pg_catalog' ORDER BY 1";

/// Objects that are described by their statements alone: class, OID, kind, schema, table, name, statements.
pub(super) const OBJECTS: &[&str] = &[
    concat!(
        "SELECT 'pg_namespace'::regclass::oid, n.oid, 'schema', '', '', n.nspname::text,
           ARRAY['CREATE SCHEMA IF NOT EXISTS ' || quote_ident(n.nspname)]
           FROM pg_namespace n WHERE n.nspname <> 'public' AND ",
        of_users!(),
        " AND ",
        no_extension!("pg_namespace", "n.oid")
    ),
    "SELECT 'pg_extension'::regclass::oid, e.oid, 'extension', '', '', e.extname::text,
       ARRAY[format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I', e.extname, n.nspname)]
       FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE n.nspname <> 'pg_catalog'",
    concat!(
        "SELECT 'pg_collation'::regclass::oid, c.oid, 'collation', n.nspname::text, '', c.collname::text,
           ARRAY[format('CREATE COLLATION %I.%I (PROVIDER = %s, %s, DETERMINISTIC = %s)', n.nspname, c.collname,
             CASE c.collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
             CASE WHEN c.collprovider = 'c' THEN format('LC_COLLATE = %L, LC_CTYPE = %L', c.collcollate, c.collctype)
                  ELSE format('LOCALE = %L', coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale',
                                                      c.collcollate)) END,
             CASE WHEN c.collisdeterministic THEN 'true' ELSE 'false' END)]
           FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE ",
        of_users!(),
        " AND ",
        no_extension!("pg_collation", "c.oid")
    ),
    concat!(
        "SELECT 'pg_type'::regclass::oid, t.oid, 'type', n.nspname::text, '', t.typname::text,
           ARRAY[format('CREATE TYPE %s AS (%s)', format_type(t.oid, NULL),
             (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
                FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))]
           FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_class c ON c.oid = t.typrelid
          WHERE t.typtype = 'c' AND c.relkind = 'c' AND ",
        of_users!(),
        " AND ",
        no_extension!("pg_type", "t.oid")
    ),
    concat!(
        "SELECT 'pg_type'::regclass::oid, t.oid, 'type', n.nspname::text, '', t.typname::text,
           ARRAY[format('CREATE TYPE %s AS RANGE (SUBTYPE = %s%s, MULTIRANGE_TYPE_NAME = %s)', format_type(t.oid, NULL),
             format_type(r.rngsubtype, NULL),
             CASE WHEN r.rngsubdiff <> 0 THEN ', SUBTYPE_DIFF = ' || r.rngsubdiff::regproc ELSE '' END,
             format_type(r.rngmultitypid, NULL))]
           FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_range r ON r.rngtypid = t.oid WHERE ",
        of_users!(),
        " AND ",
        no_extension!("pg_type", "t.oid")
    ),
    concat!(
        "SELECT 'pg_proc'::regclass::oid, p.oid, 'function', n.nspname::text, '',
           format('%I(%s)', p.proname, oidvectortypes(p.proargtypes)), ARRAY[pg_get_functiondef(p.oid)]
           FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prokind IN ('f', 'p', 'w')
          AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid AND i.deptype = 'i')
          AND ",
        of_users!(),
        " AND ",
        no_extension!("pg_proc", "p.oid")
    ),
    concat!(
        "SELECT 'pg_statistic_ext'::regclass::oid, s.oid, 'statistics', n.nspname::text, c.relname::text,
           s.stxname::text, ARRAY[pg_get_statisticsobjdef(s.oid)]
             || CASE WHEN coalesce(s.stxstattarget, -1) >= 0
                     THEN ARRAY[format('ALTER STATISTICS %I.%I SET STATISTICS %s', n.nspname, s.stxname, s.stxstattarget)]
                     ELSE ARRAY[]::text[] END
           FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace JOIN pg_class c ON c.oid = s.stxrelid
          WHERE ",
        of_users!()
    ),
    concat!(
        "SELECT 'pg_class'::regclass::oid, c.oid, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END,
           n.nspname::text, '', c.relname::text,
           ARRAY[format('CREATE %s %s%s AS %s%s', CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END,
             c.oid::regclass, ' WITH (' || array_to_string(c.reloptions, ', ') || ')',
             rtrim(pg_get_viewdef(c.oid), ';'), CASE WHEN NOT c.relispopulated THEN ' WITH NO DATA' ELSE '' END)]
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND ",
        of_users!(),
        " AND ",
        no_extension!("pg_class", "c.oid")
    ),
    concat!(
        "SELECT 'pg_rewrite'::regclass::oid, r.oid, 'rule', n.nspname::text, c.relname::text, r.rulename::text,
           ARRAY[rtrim(pg_get_ruledef(r.oid, true), ';')]
           FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE r.rulename <> '_RETURN' AND ",
        of_users!(),
        " AND ",
        no_extension!("pg_class", "c.oid")
    ),
    concat!(
        "SELECT 'pg_trigger'::regclass::oid, g.oid, 'trigger', n.nspname::text, c.relname::text, g.tgname::text,
           ARRAY[pg_get_triggerdef(g.oid, true)] || CASE g.tgenabled WHEN 'O' THEN ARRAY[]::text[] ELSE
             ARRAY[format('ALTER TABLE %s %s TRIGGER %I', c.oid::regclass,
               CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, g.tgname)]
             END
           FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND ",
        of_users!(),
        " AND ",
        no_extension!("pg_class", "c.oid")
    ),
    concat!(
        "SELECT 'pg_class'::regclass::oid, 0::oid, 'row-level security', n.nspname::text, c.relname::text, '',
           CASE WHEN c.relrowsecurity THEN ARRAY[format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', c.oid::regclass)]
                ELSE ARRAY[]::text[] END
             || CASE WHEN c.relforcerowsecurity
                     THEN ARRAY[format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', c.oid::regclass)]
                     ELSE ARRAY[]::text[] END
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE (c.relrowsecurity OR c.relforcerowsecurity) AND c.relkind IN ('r', 'p') AND ",
        of_users!(),
        " AND ",
        no_extension!("pg_class", "c.oid")
    ),
    concat!(
        "SELECT 'pg_policy'::regclass::oid, p.oid, 'policy', n.nspname::text, c.relname::text, p.polname::text,
           ARRAY[format('CREATE POLICY %I ON %s AS %s FOR %s TO %s%s%s', p.polname, c.oid::regclass,
             CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
             CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE'
                           ELSE 'ALL' END,
             (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(o)) END, ', ')
                FROM unnest(p.polroles) o),
             ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',
             ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')]
           FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ",
        of_users!(),
        " AND ",
        no_extension!("pg_class", "c.oid")
    ),
    concat!(
        "SELECT 'pg_class'::regclass::oid, 0::oid, 'table option', n.nspname::text, c.relname::text, '', s.statements
           FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           CROSS JOIN LATERAL (SELECT array_remove(ARRAY[
             CASE c.relreplident WHEN 'f' THEN format('ALTER TABLE %s REPLICA IDENTITY FULL', c.oid::regclass)
               WHEN 'n' THEN format('ALTER TABLE %s REPLICA IDENTITY NOTHING', c.oid::regclass)
               WHEN 'i' THEN format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', c.oid::regclass,
                 (SELECT i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
                   WHERE x.indrelid = c.oid AND x.indisreplident)) END,
             (SELECT format('ALTER TABLE %s CLUSTER ON %I', c.oid::regclass, i.relname)
                FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
               WHERE x.indrelid = c.oid AND x.indisclustered)], NULL)) AS s(statements)
          WHERE c.relkind IN ('r', 'p') AND cardinality(s.statements) > 0 AND ",
        of_users!(),
        " AND ",
        no_extension!("pg_class", "c.oid")
    ),
];

/// Enumerated types: OID, schema, name, the name that columns have, labels.
pub(super) const ENUMS: &str = concat!(
    "SELECT t.oid, n.nspname::text, t.typname::text, format_type(t.oid, NULL),
       ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
       FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'e' AND ",
    of_users!(),
    " AND ",
    no_extension!("pg_type", "t.oid"),
    " ORDER BY 2, 3"
);

/// Domains: OID, schema, name, the name that columns have, type, collation, default, NOT NULL, names of its checks, their
/// definitions, and the conditions.
pub(super) const DOMAINS: &str = concat!(
    "SELECT t.oid, n.nspname::text, t.typname::text, format_type(t.oid, NULL), format_type(t.typbasetype, t.typtypmod),
       CASE WHEN t.typcollation <> b.typcollation AND t.typcollation <> 0 THEN t.typcollation::regcollation::text END,
       t.typdefault, t.typnotnull,
       ARRAY(SELECT k.conname::text FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY k.conname),
       ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k
              WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY k.conname),
       ARRAY(SELECT pg_get_expr(k.conbin, 0) FROM pg_constraint k
              WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY k.conname)
       FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_type b ON b.oid = t.typbasetype
      WHERE t.typtype = 'd' AND ",
    of_users!(),
    " AND ",
    no_extension!("pg_type", "t.oid"),
    " ORDER BY 2, 3"
);

/// Sequences that are not of identity columns: OID, schema, name, the name in the search path, type, start, increment,
/// least, most, cache, cycle, last number, owning table, owning column.
pub(super) const SEQUENCES: &str = concat!(
    "SELECT c.oid, n.nspname::text, c.relname::text, c.oid::regclass::text, format_type(s.seqtypid, NULL), s.seqstart,
       s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, pg_sequence_last_value(c.oid), o.relname::text,
       a.attname::text, c.relpersistence = 'u'
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid
       LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
         AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
       LEFT JOIN pg_class o ON o.oid = d.refobjid
       LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
      WHERE d.deptype IS DISTINCT FROM 'i' AND ",
    of_users!(),
    " AND ",
    no_extension!("pg_class", "c.oid"),
    " ORDER BY 2, 3"
);

/// Tables: OID, schema, name, the name in the search path, UNLOGGED, partition key, parent of a partition and its bounds,
/// parents, storage options, statements that set column options.
pub(super) const TABLES: &str = concat!(
    "SELECT c.oid, n.nspname::text, c.relname::text, c.oid::regclass::text, c.relpersistence = 'u',
       pg_get_partkeydef(c.oid),
       CASE WHEN c.relispartition THEN (SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid) END,
       pg_get_expr(c.relpartbound, c.oid),
       CASE WHEN c.relispartition THEN ARRAY[]::text[] ELSE
         ARRAY(SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid ORDER BY i.inhseqno) END,
       coalesce(c.reloptions, '{}'),
       ARRAY(SELECT s.statement FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
         CROSS JOIN LATERAL (VALUES
           (CASE WHEN a.attstorage <> t.typstorage THEN format('ALTER TABLE %s ALTER COLUMN %I SET STORAGE %s',
              c.oid::regclass, a.attname, CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL'
                                                            WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) END),
           (CASE a.attcompression WHEN 'p' THEN format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION pglz',
                                                       c.oid::regclass, a.attname)
                                  WHEN 'l' THEN format('ALTER TABLE %s ALTER COLUMN %I SET COMPRESSION lz4',
                                                       c.oid::regclass, a.attname) END),
           (CASE WHEN coalesce(a.attstattarget, -1) >= 0 THEN format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s',
              c.oid::regclass, a.attname, a.attstattarget) END),
           (CASE WHEN a.attoptions IS NOT NULL THEN format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', c.oid::regclass,
              a.attname, array_to_string(a.attoptions, ', ')) END)) AS s(statement)
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND s.statement IS NOT NULL ORDER BY 1)
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND ",
    of_users!(),
    " AND ",
    no_extension!("pg_class", "c.oid"),
    " ORDER BY 2, 3"
);

/// Columns: table OID, name, type, base type, whether that is an enumerated type, collation, NOT NULL, default or
/// expression, whether it is volatile, generated, identity, sequence of the identity with its options, sequence of the
/// default, whether something reads the column, whether it is inherited only, last number of the identity,
/// default and NOT NULL of the parent's column.
pub(super) const COLUMNS: &str = concat!(
    "WITH RECURSIVE domains(oid, base, typmod) AS (
       SELECT t.oid, t.typbasetype, t.typtypmod FROM pg_type t WHERE t.typtype = 'd'
       UNION ALL
       SELECT d.oid, t.typbasetype, CASE WHEN t.typtypmod >= 0 THEN t.typtypmod ELSE d.typmod END
         FROM domains d JOIN pg_type t ON t.oid = d.base WHERE t.typtype = 'd'),
     bases AS (SELECT d.oid, d.base, d.typmod FROM domains d JOIN pg_type t ON t.oid = d.base WHERE t.typtype <> 'd')
     SELECT c.oid, a.attname::text, format_type(a.atttypid, a.atttypmod),
       CASE WHEN b.oid IS NULL THEN format_type(a.atttypid, a.atttypmod) ELSE format_type(b.base, b.typmod) END,
       (SELECT e.typtype = 'e' FROM pg_type e WHERE e.oid = coalesce(b.base, a.atttypid)),
       CASE WHEN a.attcollation <> t.typcollation AND a.attcollation <> 0 THEN a.attcollation::regcollation::text END,
       a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       coalesce(d.adbin::text LIKE '%{SQLVALUEFUNCTION%' OR EXISTS (
         SELECT FROM regexp_matches(d.adbin::text, ':(?:funcid|opfuncid) (\\d+)', 'g') f
           JOIN pg_proc p ON p.oid = f[1]::oid WHERE p.provolatile <> 'i'), false),
       a.attgenerated::text, a.attidentity::text, i.relname::text, format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement,
       s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
       (SELECT u.refobjid::regclass::text FROM pg_depend u JOIN pg_class q ON q.oid = u.refobjid AND q.relkind = 'S'
         WHERE u.classid = 'pg_attrdef'::regclass AND u.objid = d.oid AND u.refclassid = 'pg_class'::regclass LIMIT 1),
       c.relkind = 'p' OR EXISTS (
         SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND a.attnum = ANY (k.conkey) AND k.contype <> 'n')
         OR EXISTS (SELECT FROM pg_constraint k WHERE k.confrelid = c.oid AND a.attnum = ANY (k.confkey))
         OR EXISTS (SELECT FROM pg_index x WHERE x.indrelid = c.oid AND a.attnum = ANY (x.indkey::int2[]))
         OR EXISTS (SELECT FROM pg_depend u WHERE u.refclassid = 'pg_class'::regclass AND u.refobjid = c.oid
                       AND u.refobjsubid = a.attnum AND (u.classid = 'pg_constraint'::regclass
                         OR (u.classid = 'pg_attrdef'::regclass AND u.objid IS DISTINCT FROM d.oid)
                         OR (u.classid = 'pg_class'::regclass AND EXISTS (
                              SELECT FROM pg_index x WHERE x.indexrelid = u.objid)))),
       NOT a.attislocal OR c.relispartition, pg_sequence_last_value(i.oid), above.default_text, above.not_null
       FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_type t ON t.oid = a.atttypid
       LEFT JOIN bases b ON b.oid = a.atttypid
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
       LEFT JOIN pg_depend o ON o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass
         AND o.refobjid = a.attrelid AND o.refobjsubid = a.attnum AND o.deptype = 'i' AND a.attidentity <> ''
       LEFT JOIN pg_class i ON i.oid = o.objid AND i.relkind = 'S'
       LEFT JOIN pg_sequence s ON s.seqrelid = i.oid
       LEFT JOIN LATERAL (SELECT pg_get_expr(pd.adbin, pd.adrelid) AS default_text, pa.attnotnull AS not_null
         FROM pg_inherits h JOIN pg_attribute pa ON pa.attrelid = h.inhparent AND pa.attname = a.attname
         LEFT JOIN pg_attrdef pd ON pd.adrelid = pa.attrelid AND pd.adnum = pa.attnum
        WHERE h.inhrelid = c.oid ORDER BY h.inhseqno LIMIT 1) AS above ON true
      WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND ",
    of_users!(),
    " AND ",
    no_extension!("pg_class", "c.oid"),
    " ORDER BY c.oid, a.attnum"
);

/// Constraints of tables: OID, schema, table, name, kind, columns, definition, condition, validated, DEFERRABLE, INITIALLY
/// DEFERRED, parent's schema, parent, its columns, MATCH FULL, actions, its index, options of that.
pub(super) const CONSTRAINTS: &str = concat!(
    "SELECT k.oid, n.nspname::text, c.relname::text, k.conname::text, k.contype::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(num, place)
              JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.place),
       pg_get_constraintdef(k.oid), pg_get_expr(k.conbin, k.conrelid), k.convalidated, k.condeferrable, k.condeferred,
       pn.nspname::text, p.relname::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(num, place)
              JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.place),
       k.confmatchtype = 'f', k.confupdtype::text || k.confdeltype::text, k.conindid, c.oid::regclass::text,
       i.relname::text, coalesce(i.reloptions, '{}')
       FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       LEFT JOIN pg_class p ON p.oid = k.confrelid LEFT JOIN pg_namespace pn ON pn.oid = p.relnamespace
       LEFT JOIN pg_class i ON i.oid = k.conindid AND k.contype IN ('p', 'u', 'x')
      WHERE c.relkind IN ('r', 'p') AND k.contype IN ('p', 'u', 'f', 'c', 'x') AND k.conparentid = 0
        AND (k.conislocal OR k.coninhcount = 0) AND ",
    of_users!(),
    " AND ",
    no_extension!("pg_class", "c.oid"),
    " ORDER BY n.nspname, c.relname, k.contype, k.conname"
);

/// Indexes that belong to no constraint: OID, schema, table, name, UNIQUE, method, keys, whether a key is an expression or
/// has an order, operator class or collation of its own, plain columns, predicate, definition, statistics settings.
pub(super) const INDEXES: &str = concat!(
    "SELECT i.oid, n.nspname::text, c.relname::text, i.relname::text, x.indisunique, m.amname::text,
       ARRAY(SELECT pg_get_indexdef(x.indexrelid, u::int4, false) FROM generate_series(1, x.indnkeyatts) u ORDER BY u),
       x.indexprs IS NOT NULL OR EXISTS (SELECT FROM unnest(x.indclass::oid[]) o JOIN pg_opclass oc ON oc.oid = o
                                          WHERE NOT oc.opcdefault)
         OR EXISTS (SELECT FROM unnest(x.indcollation::oid[], x.indkey::int2[]) u(coll, num)
                      JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.num
                     WHERE u.coll <> 0 AND u.coll <> a.attcollation)
         OR coalesce((to_jsonb(x) ->> 'indnullsnotdistinct')::bool, false),
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS u(num, place)
              JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.num
             WHERE u.place <= x.indnkeyatts ORDER BY u.place),
       pg_get_expr(x.indpred, x.indrelid), pg_get_indexdef(i.oid, 0, true),
       ARRAY(SELECT format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', i.oid::regclass, a.attnum, a.attstattarget)
               FROM pg_attribute a WHERE a.attrelid = i.oid AND coalesce(a.attstattarget, -1) >= 0 ORDER BY a.attnum)
       FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
       JOIN pg_am m ON m.oid = i.relam JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p', 'm') AND x.indisvalid AND NOT i.relispartition
        AND NOT EXISTS (SELECT FROM pg_constraint k
                         WHERE k.conindid = x.indexrelid AND k.contype IN ('p','u','x') AND k.conrelid = x.indrelid) AND ",
    of_users!(),
    " AND ",
    no_extension!("pg_class", "c.oid"),
    " ORDER BY n.nspname, c.relname, i.relname"
);

/// Roles that policies name: class, OID, roles.
pub(super) const POLICY_ROLES: &str = "SELECT 'pg_policy'::regclass::oid, p.oid,
    ARRAY(SELECT pg_get_userbyid(o)::text FROM unnest(p.polroles) o WHERE o <> 0) FROM pg_policy p";

/// Grants: class, OID, statement, role. What an owner may by being the owner is left out.
pub(super) const GRANTS: &str = "WITH acls(class, oid, owner, what, acl, place) AS (
    SELECT 'pg_class'::regclass::oid, c.oid, c.relowner,
           CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass, c.relacl, NULL
      FROM pg_class c WHERE c.relacl IS NOT NULL AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
    UNION ALL SELECT 'pg_class'::regclass::oid, c.oid, c.relowner, 'TABLE ' || c.oid::regclass, a.attacl,
           format(' (%I)', a.attname)
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL SELECT 'pg_namespace'::regclass::oid, n.oid, n.nspowner, 'SCHEMA ' || n.oid::regnamespace, n.nspacl, NULL
      FROM pg_namespace n WHERE n.nspacl IS NOT NULL
    UNION ALL SELECT 'pg_type'::regclass::oid, t.oid, t.typowner, 'TYPE ' || format_type(t.oid, NULL), t.typacl, NULL
      FROM pg_type t WHERE t.typacl IS NOT NULL
    UNION ALL SELECT 'pg_proc'::regclass::oid, p.oid, p.proowner, CASE p.prokind WHEN 'p' THEN 'PROCEDURE ' ELSE
           'FUNCTION ' END || p.oid::regprocedure, p.proacl, NULL FROM pg_proc p WHERE p.proacl IS NOT NULL)
  SELECT class, oid, statement, role FROM (
    SELECT l.class, l.oid, format('GRANT %s ON %s TO %s%s', string_agg(a.privilege_type || coalesce(l.place, ''), ', '
             ORDER BY a.privilege_type), l.what, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE
             quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
             AS statement, CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END AS role
      FROM acls l CROSS JOIN LATERAL aclexplode(l.acl) a WHERE l.oid >= 16384 AND a.grantee <> l.owner
       AND NOT (a.grantee = 0 AND l.class IN ('pg_proc'::regclass, 'pg_type'::regclass))
     GROUP BY l.class, l.oid, l.what, l.place, a.grantee, a.is_grantable
    UNION ALL
    SELECT l.class, l.oid, format('REVOKE ALL ON %s FROM PUBLIC', l.what), NULL FROM acls l
     WHERE l.oid >= 16384 AND l.class IN ('pg_proc'::regclass, 'pg_type'::regclass)
       AND NOT EXISTS (SELECT FROM aclexplode(l.acl) a WHERE a.grantee = 0)) found ORDER BY 1, 2, 3";

/// Dependencies: class and OID of the object, class and OID of what it needs. Parts of an object stand for it: the default
/// of a column for its table, a view's rule for the view, a row type for its table, an array type for its element.
pub(super) const DEPENDENCIES: &str = "WITH links AS (
    SELECT d.classid, d.objid, d.refclassid, d.refobjid FROM pg_depend d
     WHERE d.deptype IN ('n', 'a') AND NOT (d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND EXISTS (
       SELECT FROM pg_class s WHERE s.oid = d.objid AND s.relkind = 'S'))),
   parts(class, oid, whole_class, whole) AS (
    SELECT 'pg_attrdef'::regclass::oid, a.oid, 'pg_class'::regclass::oid, a.adrelid FROM pg_attrdef a
    UNION ALL SELECT 'pg_rewrite'::regclass::oid, r.oid, 'pg_class'::regclass::oid, r.ev_class FROM pg_rewrite r
      WHERE r.rulename = '_RETURN'
    UNION ALL SELECT 'pg_type'::regclass::oid, t.oid, 'pg_class'::regclass::oid, t.typrelid FROM pg_type t
      JOIN pg_class c ON c.oid = t.typrelid AND c.relkind <> 'c'
    UNION ALL SELECT 'pg_class'::regclass::oid, t.typrelid, 'pg_type'::regclass::oid, t.oid FROM pg_type t
      JOIN pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
    UNION ALL SELECT 'pg_type'::regclass::oid, t.typarray, 'pg_type'::regclass::oid, t.oid FROM pg_type t
      WHERE t.typarray <> 0
    UNION ALL SELECT 'pg_type'::regclass::oid, r.rngmultitypid, 'pg_type'::regclass::oid, r.rngtypid FROM pg_range r
    UNION ALL SELECT 'pg_constraint'::regclass::oid, k.oid, 'pg_type'::regclass::oid, k.contypid FROM pg_constraint k
      WHERE k.contypid <> 0
    UNION ALL SELECT 'pg_class'::regclass::oid, k.conindid, 'pg_constraint'::regclass::oid, k.oid FROM pg_constraint k
      WHERE k.contype IN ('p', 'u', 'x')
    UNION ALL SELECT d.classid, d.objid, d.refclassid, d.refobjid FROM pg_depend d WHERE d.deptype = 'e')
  SELECT DISTINCT coalesce(p.whole_class, l.classid), coalesce(p.whole, l.objid),
         coalesce(q2.whole_class, q.whole_class, l.refclassid), coalesce(q2.whole, q.whole, l.refobjid)
    FROM links l LEFT JOIN parts p ON p.class = l.classid AND p.oid = l.objid
    LEFT JOIN parts q ON q.class = l.refclassid AND q.oid = l.refobjid
    LEFT JOIN parts q2 ON q2.class = q.whole_class AND q2.oid = q.whole
   WHERE l.objid >= 16384 AND l.refobjid >= 16384";

/// What is not described: table, words, SQL.
pub(super) const OMITTED: &str = concat!(
    "SELECT c.relname::text, 'the foreign table ' || c.relname || ' is not created', NULL::text
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' AND ",
    of_users!(),
    " UNION ALL SELECT NULL, 'the aggregate ' || p.oid::regprocedure || ' is not created', NULL
       FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prokind = 'a' AND ",
    of_users!(),
    " AND ",
    no_extension!("pg_proc", "p.oid"),
    " UNION ALL SELECT NULL, 'the base type ' || format_type(t.oid, NULL) || ' is not created', NULL
       FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'b' AND t.typelem = 0 AND ",
    of_users!(),
    " AND ",
    no_extension!("pg_type", "t.oid"),
    " UNION ALL SELECT NULL, 'the operator ' || o.oid::regoperator || ' is not created', NULL
       FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE ",
    of_users!(),
    " AND ",
    no_extension!("pg_operator", "o.oid"),
    " UNION ALL SELECT NULL, 'the operator class ' || o.opcname || ' is not created', NULL
       FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE ",
    of_users!(),
    " AND ",
    no_extension!("pg_opclass", "o.oid"),
    " UNION ALL SELECT NULL, 'the text search configuration ' || o.cfgname || ' is not created', NULL
       FROM pg_ts_config o JOIN pg_namespace n ON n.oid = o.cfgnamespace WHERE ",
    of_users!(),
    " AND ",
    no_extension!("pg_ts_config", "o.oid"),
    " UNION ALL SELECT NULL, 'the text search dictionary ' || o.dictname || ' is not created', NULL
       FROM pg_ts_dict o JOIN pg_namespace n ON n.oid = o.dictnamespace WHERE ",
    of_users!(),
    " AND ",
    no_extension!("pg_ts_dict", "o.oid"),
    " UNION ALL SELECT NULL, format('the cast from %s to %s is not created', format_type(k.castsource, NULL),
         format_type(k.casttarget, NULL)), NULL FROM pg_cast k WHERE k.oid >= 16384
         AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_cast'::regclass AND i.objid = k.oid AND i.deptype = 'i')
         AND ",
    no_extension!("pg_cast", "k.oid"),
    " UNION ALL SELECT NULL, 'the event trigger ' || e.evtname || ' is not created', NULL FROM pg_event_trigger e WHERE ",
    no_extension!("pg_event_trigger", "e.oid"),
    " UNION ALL SELECT NULL, 'the publication ' || p.pubname || ' is not created', NULL FROM pg_publication p
     UNION ALL SELECT NULL, 'the foreign server ' || s.srvname || ' is not created', NULL FROM pg_foreign_server s
     UNION ALL SELECT NULL, 'default privileges of ' || pg_get_userbyid(d.defaclrole) || ' are not carried', NULL
       FROM pg_default_acl d ORDER BY 1 NULLS FIRST, 2"
);
