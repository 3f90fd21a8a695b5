//! What the new tables take over from the ones they replace besides grants and comments: row security and its policies,
//! triggers, publications, storage options, options and statistics targets of columns, replica identity, the index to
//! cluster by; and the comments on all that belongs to a table.
//!
//! Triggers of the plan are not among them: the cutover makes them anew (`objects`).
//!
//! Everything is written as the server describes it, with the schema of the target, so that it means the new tables
//! once they are there. The old tables keep their own, except that they leave their publications.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;

use crate::{
    error::Result,
    model::{
        TablePlan,
        identifier::{qualified, quote_ident},
    },
    postgres::{Parameter, Session},
    stages::push::target::{catalog::names_of, session::previous_schema},
};

/// What hangs on a table that this tool didn't necessarily create. The same words are recorded at the cutover, so
/// that what was added afterwards shows. For a table `c` of `pg_class`.
pub(crate) const PARTS: &str = "(SELECT coalesce(array_agg(part ORDER BY part COLLATE \"C\"), '{}') FROM (
  SELECT 'index ' || i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid
  UNION ALL SELECT 'constraint ' || k.conname FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype NOT IN ('n', 't')
  UNION ALL SELECT 'column ' || a.attname FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL SELECT 'trigger ' || g.tgname FROM pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal
  UNION ALL SELECT 'rule ' || r.rulename FROM pg_rewrite r WHERE r.ev_class = c.oid
  UNION ALL SELECT 'policy ' || p.polname FROM pg_policy p WHERE p.polrelid = c.oid
  UNION ALL SELECT 'row security' WHERE c.relrowsecurity
  UNION ALL SELECT 'statistics ' || s.stxname FROM pg_statistic_ext s WHERE s.stxrelid = c.oid
  UNION ALL SELECT 'publication ' || p.pubname FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid
    WHERE m.prrelid = c.oid
  UNION ALL SELECT 'option ' || o FROM unnest(c.reloptions) o
) AS found(part))";

/// The beginnings of the words in [`PARTS`] for what is carried over.
const CARRIED: [&str; 5] = ["trigger ", "policy ", "row security", "publication ", "option "];

/// Whether a part that was added to a table is carried over when the table is replaced.
pub(crate) fn is_carried(part: &str) -> bool {
    CARRIED.iter().any(|word| part.starts_with(word))
}

/// What becomes of the old tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OldTableOutcome {
    /// They stay, in the schema of previous tables.
    Kept,
    /// They are dropped before the new ones come.
    Dropped,
}

/// Each gives the table's name, one statement for the new table of the same name, and the column, index, constraint or
/// sequence without which it makes no sense. `$1` are the old tables' OIDs.
const QUERIES: [&str; 8] = [
    "SELECT c.relname::text, 'ALTER TABLE ' || c.oid::regclass || words, part FROM pg_class c \
       LEFT JOIN pg_index y ON y.indrelid = c.oid AND y.indisreplident LEFT JOIN pg_class i ON i.oid = y.indexrelid \
       LEFT JOIN pg_index z ON z.indrelid = c.oid AND z.indisclustered LEFT JOIN pg_class k ON k.oid = z.indexrelid \
       CROSS JOIN LATERAL (VALUES (c.relrowsecurity, ' ENABLE ROW LEVEL SECURITY', NULL::text), \
         (c.relforcerowsecurity, ' FORCE ROW LEVEL SECURITY', NULL), \
         (c.relreplident = 'f', ' REPLICA IDENTITY FULL', NULL), \
         (c.relreplident = 'n', ' REPLICA IDENTITY NOTHING', NULL), \
         (c.relreplident = 'i', ' REPLICA IDENTITY USING INDEX ' || quote_ident(i.relname), i.relname::text), \
         (k.oid IS NOT NULL, ' CLUSTER ON ' || quote_ident(k.relname), k.relname::text)) AS v(holds, words, part) \
     WHERE c.oid = ANY($1) AND holds AND words IS NOT NULL ORDER BY 1, 2",
    "SELECT c.relname::text, 'CREATE POLICY ' || quote_ident(p.polname) || ' ON ' || c.oid::regclass || ' AS ' || \
       CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END || ' FOR ' || \
       CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' \
         ELSE 'ALL' END || ' TO ' || \
       (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') \
         FROM unnest(p.polroles) r) || \
       coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '') || \
       coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', ''), NULL::text \
     FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.oid = ANY($1) ORDER BY 1, p.polname",
    "SELECT c.relname::text, pg_get_triggerdef(g.oid) || CASE g.tgenabled WHEN 'O' THEN '' ELSE \
       '; ALTER TABLE ' || c.oid::regclass || CASE g.tgenabled WHEN 'D' THEN ' DISABLE' WHEN 'A' THEN ' ENABLE ALWAYS' \
         ELSE ' ENABLE REPLICA' END || ' TRIGGER ' || quote_ident(g.tgname) END, NULL::text \
     FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid \
     WHERE c.oid = ANY($1) AND NOT g.tgisinternal AND NOT EXISTS (SELECT FROM turso2neon.objects o \
       WHERE o.kind = 'function' AND o.oid = g.tgfoid) ORDER BY 1, g.tgname",
    "SELECT c.relname::text, 'ALTER TABLE ' || c.oid::regclass || ' SET (' || split_part(o, '=', 1) || ' = ' || \
       quote_literal(substr(o, strpos(o, '=') + 1)) || ')', NULL::text \
     FROM pg_class c LEFT JOIN pg_class t ON t.oid = c.reltoastrelid CROSS JOIN LATERAL (\
       SELECT unnest(c.reloptions) UNION ALL SELECT 'toast.' || unnest(t.reloptions)) AS v(o) \
     WHERE c.oid = ANY($1) ORDER BY 1, 2",
    "SELECT c.relname::text, 'ALTER TABLE ' || c.oid::regclass || ' ALTER COLUMN ' || quote_ident(a.attname) || \
       ' SET STATISTICS ' || a.attstattarget, a.attname::text \
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
     WHERE c.oid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0 ORDER BY 1, a.attnum",
    "SELECT c.relname::text, 'ALTER TABLE ' || c.oid::regclass || ' ALTER COLUMN ' || quote_ident(a.attname) || words, \
       a.attname::text \
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid \
     CROSS JOIN LATERAL (\
       SELECT ' SET STORAGE ' || CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' \
         ELSE 'EXTENDED' END WHERE a.attstorage <> t.typstorage \
       UNION ALL SELECT ' SET COMPRESSION ' || CASE a.attcompression WHEN 'l' THEN 'lz4' ELSE 'pglz' END \
         WHERE a.attcompression <> '' \
       UNION ALL SELECT ' SET (' || o || ')' FROM unnest(a.attoptions) o WHERE o ~ '^n_distinct(_inherited)?=') AS v(words) \
     WHERE c.oid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, a.attnum, 2",
    "SELECT c.relname::text, format('COMMENT ON %s %I ON %s IS %L', kind, name, c.oid::regclass, d.description), \
       CASE kind WHEN 'CONSTRAINT' THEN name::text END \
     FROM (SELECT conrelid AS owner, 'pg_constraint'::regclass AS class, oid AS id, 'CONSTRAINT' AS kind, conname AS name \
         FROM pg_constraint \
       UNION ALL SELECT tgrelid, 'pg_trigger'::regclass, oid, 'TRIGGER', tgname FROM pg_trigger WHERE NOT tgisinternal \
       UNION ALL SELECT polrelid, 'pg_policy'::regclass, oid, 'POLICY', polname FROM pg_policy) AS part \
     JOIN pg_class c ON c.oid = part.owner JOIN pg_description d ON d.classoid = part.class AND d.objoid = part.id \
     WHERE c.oid = ANY($1) AND NOT EXISTS (SELECT FROM pg_trigger g JOIN turso2neon.objects o \
       ON o.kind = 'function' AND o.oid = g.tgfoid WHERE g.oid = part.id AND kind = 'TRIGGER') ORDER BY 1, 2",
    "SELECT c.relname::text, format('COMMENT ON %s %s IS %L', \
       CASE p.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'INDEX' END, p.oid::regclass, d.description), p.relname::text \
     FROM pg_class p JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = p.oid AND d.objsubid = 0 \
     JOIN pg_class c ON c.oid = (SELECT x.indrelid FROM pg_index x WHERE x.indexrelid = p.oid) \
       OR c.oid = (SELECT s.refobjid FROM pg_depend s WHERE s.classid = 'pg_class'::regclass AND s.objid = p.oid \
         AND p.relkind = 'S' AND s.refclassid = 'pg_class'::regclass AND s.deptype = 'i') \
     WHERE c.oid = ANY($1) ORDER BY 1, 2",
];

/// Whether the table has a column, index, constraint or sequence of this name.
fn has(table: &TablePlan, part: &str) -> bool {
    let keys = table.primary_key.iter().chain(&table.uniques).map(|key| &key.name);
    let indexes = table.indexes.iter().map(|index| &index.name);
    let checks = table.checks.iter().map(|check| &check.name);
    let references = table.foreign_keys.iter().map(|key| &key.name);
    let sequence = table.identity.iter().map(|identity| &identity.sequence);
    let mut names = keys.chain(indexes).chain(checks).chain(references).chain(sequence);
    table.column(part).is_some() || names.any(|name| name == part)
}

/// Publications that name the tables: publication, table, columns and condition as they stand behind the table's name.
/// Columns and conditions came with PostgreSQL 15.
const PUBLICATIONS: &str = "SELECT p.pubname::text, c.relname::text, {} FROM pg_publication_rel m \
     JOIN pg_publication p ON p.oid = m.prpubid JOIN pg_class c ON c.oid = m.prrelid WHERE c.oid = ANY($1) ORDER BY 1, 2";
const LIMITS: &str = "coalesce((SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')' \
       FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (m.prattrs::int2[])), '') || \
     coalesce(' WHERE (' || pg_get_expr(m.prqual, m.prrelid) || ')', '')";

/// Policies, triggers and statistics of other tables that name a pushed table are found by `dependents`; publications of
/// other owners here: only their owner can put a table into them.
const FOREIGN_PUBLICATIONS: &str = "SELECT DISTINCT 'publication ' || p.pubname || ' of ' || pg_get_userbyid(p.pubowner) \
     FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid \
     WHERE m.prrelid = ANY($1) AND NOT pg_has_role(p.pubowner, 'USAGE') ORDER BY 1";

/// Publications that name the tables and that this role can't change.
///
/// # Errors
/// `Target*`.
pub(crate) async fn foreign_publications(control: &Session, tables: &[u32]) -> Result<Vec<String>> {
    names_of(control, "looking for publications", FOREIGN_PUBLICATIONS, &[&tables]).await
}

/// Statements for the cutover, to be run when the new tables are in the target schema and the old ones in the schema
/// of previous tables, or gone. `live` are the old tables' OIDs.
///
/// # Errors
/// `Target*`.
pub(crate) async fn statements(
    control: &Session,
    tables: &[&TablePlan],
    schema: &str,
    live: &[u32],
    outcome: OldTableOutcome,
) -> Result<Vec<String>> {
    let doing = "reading what hangs on the tables";
    let stays: BTreeSet<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let mut sql = Vec::new();
    // On one connection these questions follow each other without waiting for answers.
    let parameters: [&dyn Parameter; 1] = [&live];
    let questions = QUERIES.iter().map(|query| control.query_rows(doing, query, &parameters));
    let (answers, publications) =
        tokio::try_join!(try_join_all(questions), publications(control, schema, live, &stays, outcome))?;
    for rows in answers {
        for row in rows {
            let (name, statement): (String, String) = (row.get(0)?, row.get(1)?);
            let part: Option<String> = row.get(2)?;
            let table = tables.iter().find(|table| table.name == name);
            if table.is_some_and(|table| part.is_none_or(|part| has(table, &part))) {
                sql.push(statement);
            }
        }
    }
    sql.extend(publications);
    Ok(sql)
}

/// The statements that put the new tables of these names in the place of the old ones in publications.
///
/// # Errors
/// `Target*`.
pub(crate) async fn publications(
    control: &Session,
    schema: &str,
    live: &[u32],
    stays: &BTreeSet<&str>,
    outcome: OldTableOutcome,
) -> Result<Vec<String>> {
    let doing = "reading publications";
    let mut sql = Vec::new();
    let limits = if control.version() >= 150_000 { LIMITS } else { "''::text" };
    for row in control.query_rows(doing, &PUBLICATIONS.replace("{}", limits), &[&live]).await? {
        let publication: String = row.get(0)?;
        let (table, limits): (String, String) = (row.get(1)?, row.get(2)?);
        let alter = format!("ALTER PUBLICATION {}", quote_ident(&publication));
        if outcome == OldTableOutcome::Kept {
            sql.push(format!("{alter} DROP TABLE ONLY {}", qualified(&previous_schema(schema), &table)));
        }
        if stays.contains(table.as_str()) {
            sql.push(format!("{alter} ADD TABLE ONLY {}{limits}", qualified(schema, &table)));
        }
    }
    Ok(sql)
}
