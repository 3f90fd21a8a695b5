//! Reads what a server's catalog says of the tables of one schema, in words that don't depend on the schema's name.
//!
//! Names come out without their schema because the session looks for them in the catalog, in that schema and in
//! those of extensions, in this order (PostgreSQL manual, 5.10.3).

use std::collections::BTreeMap;

use crate::{
    error::Result,
    model::identifier::{qualified, quote_ident},
    postgres::{Session, session::Row},
};

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// `r` for an ordinary table.
    pub(super) kind: String,
    /// `p` for a table that survives a crash.
    pub(super) persistence: String,
    /// Whether other tables inherit from it: whoever reads it reads their rows too.
    pub(super) inherited: bool,
    /// Columns in their order.
    pub(super) columns: Vec<Column>,
    /// Constraints by name.
    pub(super) constraints: BTreeMap<String, Constraint>,
    /// Indexes that belong to no key, by name; those of exclusion constraints are among them.
    pub(super) indexes: BTreeMap<String, Index>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub(super) name: String,
    /// `format_type`.
    pub(super) type_name: String,
    /// NOT NULL.
    pub(super) not_null: bool,
    /// `d` or `a` for an identity column, else empty.
    pub(super) identity: String,
    /// `s` for a stored generated column, else empty.
    pub(super) generated: String,
    /// The default or the generating expression.
    pub(super) expression: Option<String>,
    /// Whether its collation is not its type's.
    pub(super) collated: bool,
    /// The labels of its enumerated type, in their order.
    pub(super) labels: Vec<String>,
    /// The sequence behind an identity column.
    pub(super) sequence: Option<Sequence>,
}

/// The sequence behind an identity column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sequence {
    /// Its name.
    pub(super) name: String,
    /// INCREMENT.
    pub(super) increment: i64,
    /// CYCLE.
    pub(super) cycles: bool,
    /// MINVALUE, MAXVALUE, START.
    pub(super) limits: (i64, i64, i64),
    /// What the next insert gets.
    pub(super) next: i64,
}

/// One constraint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the catalog's own flags, independent of each other")]
pub(super) struct Constraint {
    /// `p`, `u`, `f`, `c`, `x`, as in `pg_constraint.contype`.
    pub(super) kind: String,
    /// Whether all rows are known to satisfy it.
    pub(super) validated: bool,
    /// DEFERRABLE.
    pub(super) deferrable: bool,
    /// INITIALLY DEFERRED.
    pub(super) deferred: bool,
    /// Whether new rows are checked: it is ENFORCED and its triggers are enabled.
    pub(super) enforced: bool,
    /// Columns in key order; empty for a check.
    pub(super) columns: Vec<String>,
    /// Columns that the index of a key only stores.
    pub(super) included: i32,
    /// NULLS NOT DISTINCT.
    pub(super) nulls_equal: bool,
    /// The parent table, if it is in the same schema.
    pub(super) parent: Option<String>,
    /// Parent columns in key order.
    pub(super) parent_columns: Vec<String>,
    /// `confupdtype`, `confdeltype`, `confmatchtype`.
    pub(super) actions: String,
    /// The operators of an exclusion constraint, in key order.
    pub(super) operators: Vec<String>,
    /// The condition of a check.
    pub(super) expression: Option<String>,
}

/// One index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    /// UNIQUE.
    pub(super) unique: bool,
    /// Whether queries may use it.
    pub(super) valid: bool,
    /// The access method.
    pub(super) method: String,
    /// Key parts in order.
    pub(super) keys: Vec<IndexKey>,
    /// Columns that are only stored.
    pub(super) included: i32,
    /// NULLS NOT DISTINCT.
    pub(super) nulls_equal: bool,
    /// The predicate of a partial index.
    pub(super) predicate: Option<String>,
}

/// One key part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexKey {
    /// The column or expression.
    pub(super) expression: String,
    /// DESC.
    pub(super) descending: bool,
    /// NULLS FIRST.
    pub(super) nulls_first: bool,
    /// The operator class; an asterisk before the name says that it is the default one.
    pub(super) class: String,
    /// The collation.
    pub(super) collation: Option<String>,
    /// Whether the collation is not that of the column.
    pub(super) collated: bool,
}

const TABLES: &str = "SELECT c.relname::text, c.relkind::text, c.relpersistence::text,
       EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhparent = c.oid)
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = ANY($2) AND c.relkind IN ('r','p','v','m','f')";

const COLUMNS: &str = "SELECT c.relname::text, a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
       a.attnotnull, a.attidentity::text, a.attgenerated::text, pg_catalog.pg_get_expr(d.adbin, d.adrelid),
       a.attcollation <> t.typcollation, s.seqname, s.seqincrement, s.seqcycle, s.seqmin, s.seqmax, s.seqstart,
       ARRAY(SELECT e.enumlabel::text FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  LEFT JOIN (SELECT p.refobjid, p.refobjsubid, q.relname::text AS seqname, q.relnamespace AS seqspace,
                    e.seqincrement, e.seqcycle, e.seqmin, e.seqmax, e.seqstart
               FROM pg_catalog.pg_depend p
               JOIN pg_catalog.pg_class q ON q.oid = p.objid AND q.relkind = 'S'
               JOIN pg_catalog.pg_sequence e ON e.seqrelid = q.oid
              WHERE p.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                AND p.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND p.deptype IN ('a', 'i')) s
         ON s.refobjid = a.attrelid AND s.refobjsubid = a.attnum AND s.seqspace = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = ANY($2) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY c.relname, a.attnum";

/// Fields of later versions (`conenforced` of 18, `indnullsnotdistinct` of 15) are read by way of JSON, which has null
/// for them before.
const CONSTRAINTS: &str = "SELECT c.relname::text, k.conname::text, k.contype::text, k.convalidated, k.condeferrable,
       k.condeferred,
       ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS u(num, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.place),
       CASE WHEN p.relnamespace = c.relnamespace THEN p.relname::text END,
       ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS u(num, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num ORDER BY u.place),
       k.confupdtype::text || k.confdeltype::text || k.confmatchtype::text,
       pg_catalog.pg_get_expr(k.conbin, k.conrelid),
       ARRAY(SELECT o.oprname::text FROM pg_catalog.unnest(k.conexclop) WITH ORDINALITY AS u(op, place)
              JOIN pg_catalog.pg_operator o ON o.oid = u.op ORDER BY u.place),
       coalesce((pg_catalog.to_jsonb(k) ->> 'conenforced')::bool, true)
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgenabled <> 'O'),
       coalesce(x.indnatts - x.indnkeyatts, 0)::int4,
       coalesce((pg_catalog.to_jsonb(x) ->> 'indnullsnotdistinct')::bool, false)
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_class p ON p.oid = k.confrelid
  LEFT JOIN pg_catalog.pg_index x ON x.indexrelid = k.conindid AND k.contype IN ('p','u')
 WHERE n.nspname = $1 AND c.relname = ANY($2) AND k.contype IN ('p','u','f','c','x')";

const INDEXES: &str = "SELECT c.relname::text, i.relname::text, x.indisunique, x.indisvalid AND x.indisready,
       m.amname::text, (x.indnatts - x.indnkeyatts)::int4, pg_catalog.pg_get_expr(x.indpred, x.indrelid),
       ARRAY(SELECT pg_catalog.pg_get_indexdef(x.indexrelid, u.place::int4, false)
               FROM pg_catalog.unnest(x.indoption::int2[]) WITH ORDINALITY AS u(bits, place) ORDER BY u.place),
       ARRAY(SELECT u.bits & 1 <> 0 FROM pg_catalog.unnest(x.indoption::int2[]) WITH ORDINALITY AS u(bits, place)
              ORDER BY u.place),
       ARRAY(SELECT u.bits & 2 <> 0 FROM pg_catalog.unnest(x.indoption::int2[]) WITH ORDINALITY AS u(bits, place)
              ORDER BY u.place),
       ARRAY(SELECT CASE WHEN o.opcdefault THEN '*' ELSE '' END || o.opcname::text
               FROM pg_catalog.unnest(x.indclass::oid[]) WITH ORDINALITY AS u(class, place)
               JOIN pg_catalog.pg_opclass o ON o.oid = u.class ORDER BY u.place),
       ARRAY(SELECT l.collname::text FROM pg_catalog.unnest(x.indcollation::oid[]) WITH ORDINALITY AS u(coll, place)
               LEFT JOIN pg_catalog.pg_collation l ON l.oid = u.coll ORDER BY u.place),
       ARRAY(SELECT a.attcollation IS NOT NULL AND a.attcollation <> u.coll
               FROM unnest(x.indcollation::oid[], x.indkey::int2[]) WITH ORDINALITY AS u(coll, num, place)
               LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.num AND u.num > 0
              WHERE u.place <= x.indnkeyatts ORDER BY u.place),
       coalesce((pg_catalog.to_jsonb(x) ->> 'indnullsnotdistinct')::bool, false)
  FROM pg_catalog.pg_index x
  JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
  JOIN pg_catalog.pg_class c ON c.oid = x.indrelid
  JOIN pg_catalog.pg_am m ON m.oid = i.relam
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = ANY($2)
   AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                    WHERE k.conindid = x.indexrelid AND k.contype IN ('p','u') AND k.conrelid = x.indrelid)";

/// Sequences that are read by one statement.
const SEQUENCES_AT_ONCE: usize = 100;

/// Makes names of this schema and of extensions come out without their schema.
///
/// # Errors
/// By role.
pub(super) async fn look_into(session: &Session, schema: &str) -> Result<()> {
    let sql = "SELECT DISTINCT n.nspname::text FROM pg_catalog.pg_extension e \
               JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY 1";
    let mut path = vec![quote_ident("pg_catalog"), quote_ident(schema)];
    let extensions: Vec<String> = session.query_column("reading the catalog", sql, &[]).await?;
    path.extend(extensions.iter().map(|name| quote_ident(name)));
    session.batch("preparing to read the catalog", &format!("SET search_path = {}", path.join(", "))).await
}

/// The server's major version.
///
/// # Errors
/// By role.
pub(super) async fn major_version(session: &Session) -> Result<i32> {
    let sql = "SELECT pg_catalog.current_setting('server_version_num')::int4 / 10000";
    session.query_value("reading the version", sql, &[]).await
}

/// The tables of these names, as far as they are there.
///
/// # Errors
/// By role.
pub(super) async fn read(session: &Session, schema: &str, names: &[String]) -> Result<BTreeMap<String, Table>> {
    let rows = async |sql: &str| session.query_rows("reading the catalog", sql, &[&schema, &names]).await;
    let mut tables = BTreeMap::new();
    for row in rows(TABLES).await? {
        let table = Table { kind: row.get(1)?, persistence: row.get(2)?, inherited: row.get(3)?, ..Table::default() };
        tables.insert(row.get::<String>(0)?, table);
    }
    for row in rows(COLUMNS).await? {
        if let Some(table) = tables.get_mut(&row.get::<String>(0)?) {
            table.columns.push(column(&row)?);
        }
    }
    for row in rows(CONSTRAINTS).await? {
        if let Some(table) = tables.get_mut(&row.get::<String>(0)?) {
            table.constraints.insert(row.get(1)?, constraint(&row)?);
        }
    }
    for row in rows(INDEXES).await? {
        if let Some(table) = tables.get_mut(&row.get::<String>(0)?) {
            table.indexes.insert(row.get(1)?, index(&row)?);
        }
    }
    read_sequences(session, schema, &mut tables).await?;
    Ok(tables)
}

fn column(row: &Row<'_>) -> Result<Column> {
    let sequence = match row.get::<Option<String>>(8)? {
        Some(name) => {
            let limits = (row.get(11)?, row.get(12)?, row.get(13)?);
            Some(Sequence { name, increment: row.get(9)?, cycles: row.get(10)?, limits, next: 0 })
        }
        None => None,
    };
    Ok(Column {
        name: row.get(1)?,
        type_name: row.get(2)?,
        not_null: row.get(3)?,
        identity: row.get(4)?,
        generated: row.get(5)?,
        expression: row.get(6)?,
        collated: row.get(7)?,
        labels: row.get(14)?,
        sequence,
    })
}

fn constraint(row: &Row<'_>) -> Result<Constraint> {
    Ok(Constraint {
        kind: row.get(2)?,
        validated: row.get(3)?,
        deferrable: row.get(4)?,
        deferred: row.get(5)?,
        columns: row.get(6)?,
        parent: row.get(7)?,
        parent_columns: row.get(8)?,
        actions: row.get(9)?,
        expression: row.get(10)?,
        operators: row.get(11)?,
        enforced: row.get(12)?,
        included: row.get(13)?,
        nulls_equal: row.get(14)?,
    })
}

fn index(row: &Row<'_>) -> Result<Index> {
    let expressions = row.get::<Vec<String>>(7)?.into_iter();
    let orders = row.get::<Vec<bool>>(8)?.into_iter().zip(row.get::<Vec<bool>>(9)?);
    let classes = row.get::<Vec<String>>(10)?.into_iter();
    let collations = row.get::<Vec<Option<String>>>(11)?.into_iter().zip(row.get::<Vec<bool>>(12)?);
    let parts = expressions.zip(orders).zip(classes).zip(collations);
    let key = |(((expression, (descending, nulls_first)), class), (collation, collated))| IndexKey {
        expression,
        descending,
        nulls_first,
        class,
        collation,
        collated,
    };
    Ok(Index {
        unique: row.get(2)?,
        valid: row.get(3)?,
        method: row.get(4)?,
        included: row.get(5)?,
        nulls_equal: row.get(13)?,
        predicate: row.get(6)?,
        keys: parts.map(key).collect(),
    })
}

async fn read_sequences(session: &Session, schema: &str, tables: &mut BTreeMap<String, Table>) -> Result<()> {
    let columns = tables.values_mut().flat_map(|table| table.columns.iter_mut());
    let mut sequences: Vec<&mut Sequence> = columns.filter_map(|column| column.sequence.as_mut()).collect();
    for group in sequences.chunks_mut(SEQUENCES_AT_ONCE) {
        let one = |(at, sequence): (usize, &&mut Sequence)| {
            format!("SELECT {at}::int4 AS at, last_value, is_called FROM {}", qualified(schema, &sequence.name))
        };
        let all: Vec<String> = group.iter().enumerate().map(one).collect();
        let sql = format!("{} ORDER BY at", all.join(" UNION ALL "));
        let rows = session.query_rows("reading sequences", &sql, &[]).await?;
        for (sequence, row) in group.iter_mut().zip(&rows) {
            let last: i64 = row.get(1)?;
            sequence.next = if row.get(2)? { last.saturating_add(sequence.increment) } else { last };
        }
    }
    Ok(())
}
