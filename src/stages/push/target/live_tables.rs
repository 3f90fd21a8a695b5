//! Tables that the application made on the target, as its catalog describes them. Nothing is written here.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    error::Result,
    model::{
        identifier::{qualified, quote_literal},
        number_series::NumberSeries,
    },
    postgres::{Session, session::Row},
    rules::migration_history::{self, Framework},
};

/// A table of the application.
#[derive(Debug, Clone)]
pub(crate) struct LiveTable {
    /// Its name.
    pub name: String,
    /// Its OID.
    pub oid: u32,
    /// Its rows are in partitions.
    pub is_partitioned: bool,
    /// The role that it belongs to, if the connected role has not its rights.
    pub foreign_owner: Option<String>,
    /// It has rewrite rules, which would redirect rows.
    pub has_rules: bool,
}

const TABLES: &str = "SELECT c.relname::text, c.oid, c.relkind = 'p', \
       CASE WHEN NOT pg_has_role(c.relowner, 'USAGE') THEN pg_get_userbyid(c.relowner)::text END, \
       EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND c.relname = ANY ($2) AND c.relkind IN ('r', 'p') ORDER BY c.relname COLLATE \"C\"";

/// The tables of these names in a schema.
///
/// # Errors
/// `Target*`.
pub(crate) async fn read(control: &Session, schema: &str, names: &[&str]) -> Result<Vec<LiveTable>> {
    let rows = control.query_rows("looking for tables of the application", TABLES, &[&schema, &names]).await?;
    let table = |row: &Row<'_>| {
        Ok(LiveTable {
            name: row.get(0)?,
            oid: row.get(1)?,
            is_partitioned: row.get(2)?,
            foreign_owner: row.get(3)?,
            has_rules: row.get(4)?,
        })
    };
    rows.iter().map(table).collect()
}

/// How many rows these tables have; those without rows are left out. Row-level security that would hide rows is an
/// error.
///
/// # Errors
/// `Target*`.
pub(crate) async fn row_counts(control: &Session, schema: &str, names: &[&str]) -> Result<BTreeMap<String, u64>> {
    let count = |name: &&str| {
        format!("SELECT {}::text, (SELECT count(*) FROM {})", quote_literal(name), qualified(schema, name))
    };
    let queries: Vec<String> = names.iter().map(count).collect();
    if queries.is_empty() {
        return Ok(BTreeMap::new());
    }
    let doing = "counting the rows of the application's tables";
    control.batch(doing, "BEGIN READ ONLY; SET LOCAL row_security = off").await?;
    let rows = control.query_rows(doing, &queries.join(" UNION ALL "), &[]).await;
    if !control.is_lost() {
        control.batch(doing, "ROLLBACK").await?;
    }
    let mut counts = BTreeMap::new();
    for row in &rows? {
        counts.insert(row.get::<String>(0)?, row.count(1)?);
    }
    counts.retain(|_, rows| *rows > 0);
    Ok(counts)
}

/// A foreign key between two of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LiveForeignKey {
    /// Its name.
    pub name: String,
    /// The table that has it.
    pub child: String,
    /// The table that it points to.
    pub parent: String,
    /// Whether its check can be put off until the end of a transaction.
    pub is_deferrable: bool,
}

const FOREIGN_KEYS: &str = "SELECT k.conname::text, c.relname::text, p.relname::text, k.condeferrable \
     FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid \
     WHERE k.contype = 'f' AND k.conparentid = 0 AND k.conrelid = ANY ($1) AND k.confrelid = ANY ($1) \
       AND coalesce((to_jsonb(k) ->> 'conenforced')::boolean, true) ORDER BY 2, 1";

/// The foreign keys among tables with these OIDs.
///
/// # Errors
/// `Target*`.
pub(crate) async fn foreign_keys(control: &Session, oids: &[u32]) -> Result<Vec<LiveForeignKey>> {
    let rows = control.query_rows("reading the foreign keys of the tables", FOREIGN_KEYS, &[&oids]).await?;
    let key = |row: &Row<'_>| {
        Ok(LiveForeignKey { name: row.get(0)?, child: row.get(1)?, parent: row.get(2)?, is_deferrable: row.get(3)? })
    };
    rows.iter().map(key).collect()
}

/// A sequence that numbers the rows of a column: an identity's, a serial's, or one that a default takes numbers of.
#[derive(Debug, Clone)]
pub(crate) struct ColumnSequence {
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
    /// The sequence, as SQL.
    pub sequence: String,
    /// Its name alone.
    pub name: String,
    /// The number that it gives next.
    pub next: i64,
    /// The numbers that it gives.
    pub series: NumberSeries,
}

/// The limits are also those of the column's type. A default that does more than take a number is not the column's value.
const SEQUENCES: &str = "SELECT DISTINCT c.relname::text, a.attname::text, format('%I.%I', m.nspname, s.relname), \
       CASE WHEN s.relnamespace = c.relnamespace THEN s.relname::text ELSE '' END, q.seqincrement, \
       least(q.seqmax, l.most), q.seqstart, greatest(q.seqmin, -l.most - 1) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
     CROSS JOIN LATERAL (\
       SELECT d.objid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'i' \
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum \
       UNION SELECT d.refobjid FROM pg_attrdef e JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass \
           AND d.objid = e.oid AND d.refclassid = 'pg_class'::regclass \
         WHERE e.adrelid = c.oid AND e.adnum = a.attnum \
           AND pg_get_expr(e.adbin, e.adrelid) ~ '^nextval\\(''[^'']*''::regclass\\)$') AS found(oid) \
     JOIN pg_class s ON s.oid = found.oid AND s.relkind = 'S' \
     JOIN pg_sequence q ON q.seqrelid = s.oid JOIN pg_namespace m ON m.oid = s.relnamespace \
     CROSS JOIN LATERAL (SELECT CASE a.atttypid WHEN 21 THEN 32767 WHEN 23 THEN 2147483647 \
       ELSE 9223372036854775807 END) AS l(most) \
     WHERE n.nspname = $1 AND c.relname = ANY ($2) AND c.relkind IN ('r', 'p') AND NOT a.attisdropped \
       AND a.atttypid IN (20, 21, 23) ORDER BY 1, 2";

/// The sequences of these tables with their next numbers.
///
/// # Errors
/// `Target*`.
pub(crate) async fn sequences(control: &Session, schema: &str, names: &[&str]) -> Result<Vec<ColumnSequence>> {
    let doing = "reading the sequences of the tables";
    let rows = control.query_rows(doing, SEQUENCES, &[&schema, &names]).await?;
    let mut found = Vec::new();
    let mut queries = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let (sequence, increment): (String, i64) = (row.get(2)?, row.get(4)?);
        // One that has given its last number gives no other.
        queries.push(format!(
            "SELECT {number}::bigint, CASE WHEN NOT is_called THEN last_value \
             ELSE least(greatest(last_value::numeric + ({increment}), -9223372036854775808), 9223372036854775807)::bigint \
             END FROM {sequence}"
        ));
        let series = NumberSeries { start: row.get(6)?, increment, least: row.get(7)?, most: row.get(5)? };
        let (name, next) = (row.get(3)?, series.start);
        found.push(ColumnSequence { table: row.get(0)?, column: row.get(1)?, sequence, name, next, series });
    }
    if queries.is_empty() {
        return Ok(found);
    }
    for row in &control.query_rows(doing, &queries.join(" UNION ALL "), &[]).await? {
        let place = usize::try_from(row.get::<i64>(0)?).ok();
        if let Some(one) = place.and_then(|place| found.get_mut(place)) {
            one.next = row.get(1)?;
        }
    }
    Ok(found)
}

/// Foreign keys of tables outside the set that point to tables of it: the table outside, and the key's columns there
/// and here.
#[derive(Debug, Clone)]
pub(crate) struct ForeignReference {
    /// The table outside, as SQL.
    pub child: String,
    /// The name of the table that it points to.
    pub parent: String,
    /// Columns outside, as SQL.
    pub child_columns: Vec<String>,
    /// Columns here, as SQL.
    pub parent_columns: Vec<String>,
}

const REFERENCES: &str = "SELECT format('%I.%I', n.nspname, c.relname), p.relname::text, \
       ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.conkey) WITH ORDINALITY u(n, i) \
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i), \
       ARRAY(SELECT quote_ident(a.attname) FROM unnest(k.confkey) WITH ORDINALITY u(n, i) \
         JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i) \
     FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_class p ON p.oid = k.confrelid \
     WHERE k.contype = 'f' AND k.conparentid = 0 AND k.confrelid = ANY ($1) AND k.conrelid <> ALL ($1) ORDER BY 1, 2";

/// The foreign keys of other tables that point to tables with these OIDs.
///
/// # Errors
/// `Target*`.
pub(crate) async fn references(control: &Session, oids: &[u32]) -> Result<Vec<ForeignReference>> {
    let rows = control.query_rows("looking for foreign keys of other tables", REFERENCES, &[&oids]).await?;
    let reference = |row: &Row<'_>| {
        Ok(ForeignReference {
            child: row.get(0)?,
            parent: row.get(1)?,
            child_columns: row.get(2)?,
            parent_columns: row.get(3)?,
        })
    };
    rows.iter().map(reference).collect()
}

const HISTORIES: &str = "SELECT c.relname::text, ARRAY(SELECT a.attname::text FROM pg_attribute a \
       WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) \
     FROM pg_class c WHERE lower(c.relname) = ANY ($1) AND c.relkind IN ('r', 'p')";

/// Frameworks that record their migrations in this database, in whichever schema.
///
/// # Errors
/// `Target*`.
pub(crate) async fn frameworks(control: &Session) -> Result<BTreeSet<Framework>> {
    let names: Vec<&str> = migration_history::names().collect();
    let rows = control.query_rows("looking for migration histories", HISTORIES, &[&names]).await?;
    let mut found = BTreeSet::new();
    for row in &rows {
        let columns: Vec<String> = row.get(1)?;
        found.extend(migration_history::recognise(row.get(0)?, columns.iter().map(String::as_str)));
    }
    Ok(found)
}
