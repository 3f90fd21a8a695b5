//! Unique values that move from one row to another.
//!
//! A unique index is checked row by row, so a value must be free before its next row takes it. In a table that no
//! foreign key points to, the rows in question are deleted and inserted anew; in one that is pointed to they keep their
//! place, because a deletion could take other rows along, and give the value up by an update of their own.

use std::collections::BTreeMap;

use crate::{
    error::Result,
    model::{PgType, identifier::quote_ident},
    postgres::Session,
    stages::push::diff::row_identity::RowIdentity,
};

/// What the target's catalog says of a table that will be changed.
#[derive(Debug, Default)]
pub(crate) struct CatalogFacts {
    /// Unique indexes besides the one that rows are found by.
    uniques: Vec<UniqueIndex>,
    /// Whether a foreign key, of whomever, points to it.
    referenced: bool,
    /// Its triggers that fire, and those of its partitions.
    triggers: Vec<FiringTrigger>,
}

#[derive(Debug)]
struct FiringTrigger {
    /// The qualified name of the table that has it.
    table: String,
    name: String,
    /// Whether it fires whatever the role of the session in replication.
    always: bool,
}

#[derive(Debug)]
struct UniqueIndex {
    columns: Vec<String>,
    /// It is over expressions, so that equal columns aren't all that counts.
    computed: bool,
}

/// The rows of one table that are to be inserted, changed and deleted: relations of the target.
#[derive(Debug, Clone)]
pub(crate) struct ChangedRows {
    /// Loaded columns of new rows.
    pub inserts: String,
    /// Loaded columns of changed rows.
    pub updates: String,
    /// Identities of rows to be deleted.
    pub deletes: String,
}

const UNIQUES: &str = "
SELECT c.relname::text, x.indexprs IS NOT NULL, ARRAY(SELECT a.attname::text FROM pg_attribute a
  WHERE a.attrelid = x.indrelid AND a.attnum > 0 AND (
    a.attnum = ANY ((x.indkey::int2[])[0:x.indnkeyatts - 1]) OR (x.indexprs IS NOT NULL AND EXISTS (
      SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.indrelid AND d.refobjsubid = a.attnum))))
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid WHERE x.indrelid = ANY($1) AND x.indisunique";

const REFERENCED: &str = "
SELECT DISTINCT c.relname::text FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid
WHERE k.contype = 'f' AND k.confrelid = ANY($1)";

const TRIGGERS: &str = "
SELECT c.relname::text, format('%I.%I', n.nspname, o.relname), g.tgname::text, g.tgenabled = 'A'
FROM pg_class c CROSS JOIN LATERAL (SELECT c.oid UNION SELECT relid::oid FROM pg_partition_tree(c.oid)) AS m(relid)
JOIN pg_class o ON o.oid = m.relid JOIN pg_namespace n ON n.oid = o.relnamespace
JOIN pg_trigger g ON g.tgrelid = m.relid
WHERE c.oid = ANY($1) AND NOT g.tgisinternal AND g.tgenabled IN ('O', 'A') ORDER BY 1, 2, 3";

/// The facts of these tables, by name.
///
/// # Errors
/// `Target*`.
pub(crate) async fn facts(control: &Session, oids: &[u32]) -> Result<BTreeMap<String, CatalogFacts>> {
    let mut found: BTreeMap<String, CatalogFacts> = BTreeMap::new();
    let doing = "looking for what guards the tables";
    for row in control.query_rows(doing, UNIQUES, &[&oids]).await? {
        let unique = UniqueIndex { computed: row.get(1)?, columns: row.get(2)? };
        found.entry(row.get(0)?).or_default().uniques.push(unique);
    }
    for row in control.query_rows(doing, REFERENCED, &[&oids]).await? {
        found.entry(row.get(0)?).or_default().referenced = true;
    }
    for row in control.query_rows(doing, TRIGGERS, &[&oids]).await? {
        let trigger = FiringTrigger { table: row.get(1)?, name: row.get(2)?, always: row.get(3)? };
        found.entry(row.get(0)?).or_default().triggers.push(trigger);
    }
    Ok(found)
}

impl CatalogFacts {
    /// The statements that disable the table's triggers, and those that enable them again: a push brings rows
    /// as they are, whatever the mode.
    pub(crate) fn disable_triggers(&self) -> (Vec<String>, Vec<String>) {
        // Each partition has its own mode of the trigger.
        let alter = |words: &str, trigger: &FiringTrigger| {
            format!("ALTER TABLE ONLY {} {words} TRIGGER {}", trigger.table, quote_ident(&trigger.name))
        };
        let off = self.triggers.iter().map(|trigger| alter("DISABLE", trigger));
        let on =
            self.triggers.iter().map(|trigger| alter(if trigger.always { "ENABLE ALWAYS" } else { "ENABLE" }, trigger));
        (off.collect(), on.collect())
    }

    /// Unique indexes in which different rows can meet.
    fn secondary<'a>(&'a self, shape: &'a RowIdentity<'_>) -> impl Iterator<Item = &'a UniqueIndex> {
        self.uniques.iter().filter(|unique| {
            let has = |name: &str| unique.columns.iter().any(|column| column == name);
            // The target alone makes the values of columns that the source lacks.
            let is_own = |name: &String| {
                let column = shape.table.column(name);
                column.is_none_or(|column| column.generated.is_none() && shape.loaded_names().all(|one| one != name))
            };
            let is_touched = !unique.columns.iter().all(is_own);
            is_touched && (unique.computed || !shape.has_key() || !shape.key_names().all(has))
        })
    }

    /// Whether rows are deleted before others are inserted, rather than with them.
    pub(crate) fn deletes_first(&self, shape: &RowIdentity<'_>) -> bool {
        // A row that is inserted anew would lose what the target put into columns that the source lacks.
        !self.referenced && !shape.keeps_own_values() && self.secondary(shape).next().is_some()
    }

    /// The statements that free unique values before rows are inserted and changed. `number` tells the table apart.
    pub(crate) fn free_unique_values(
        &self,
        shape: &RowIdentity<'_>,
        schema: &str,
        rows: &ChangedRows,
        number: usize,
    ) -> Vec<String> {
        if self.deletes_first(shape) {
            let mut sql = vec![shape.delete(schema, &rows.deletes)];
            if shape.has_key() {
                sql.extend(self.reinsert_changed(shape, schema, rows, number));
            }
            return sql;
        }
        if !shape.has_key() {
            return Vec::new();
        }
        self.secondary(shape).flat_map(|unique| set_placeholders(unique, shape, schema, rows)).collect()
    }

    /// Changed rows whose unique values move are deleted, and inserted with the new ones.
    fn reinsert_changed(
        &self,
        shape: &RowIdentity<'_>,
        schema: &str,
        rows: &ChangedRows,
        number: usize,
    ) -> Vec<String> {
        let table = shape.relation(schema);
        let ChangedRows { inserts, updates, .. } = rows;
        let moves: Vec<String> = self.secondary(shape).map(|unique| moves(unique, shape, rows)).collect();
        let aside = format!("pg_temp.t2n_moved_{number}");
        let keys: Vec<String> = shape.key_names().map(quote_ident).collect();
        let same = keys.iter().map(|name| format!("n.{name} = m.{name}")).collect::<Vec<_>>().join(" AND ");
        let columns = shape.copy_columns();
        vec![
            format!(
                "CREATE TEMP TABLE t2n_moved_{number} ON COMMIT DROP AS SELECT {} FROM {table} AS t JOIN {updates} AS u \
                 ON {} WHERE {}",
                keys.iter().map(|name| format!("t.{name}")).collect::<Vec<_>>().join(", "),
                shape.same_key("u"),
                moves.join(" OR ")
            ),
            format!("DELETE FROM {table} AS t USING {aside} AS m WHERE {}", shape.same_key("m")),
            format!(
                "INSERT INTO {inserts} ({columns}) SELECT {} FROM {updates} AS n JOIN {aside} AS m ON {same}",
                shape.columns("n.")
            ),
            format!("DELETE FROM {updates} AS n USING {aside} AS m WHERE {same}"),
        ]
    }
}

/// The condition that the row `t`, which becomes `u`, holds a unique value that another row gets.
fn moves(unique: &UniqueIndex, shape: &RowIdentity<'_>, rows: &ChangedRows) -> String {
    let loaded = |name: &String| shape.loaded_names().any(|other| other == name);
    if !unique.columns.iter().all(loaded) {
        return "true".to_owned();
    }
    if unique.computed {
        let texts = |alias: &str| {
            let texts = unique.columns.iter().map(|name| format!("{alias}.{}::text", quote_ident(name)));
            texts.collect::<Vec<_>>().join(", ")
        };
        return format!("(ROW({}) IS DISTINCT FROM ROW({}))", texts("u"), texts("t"));
    }
    claimed(unique, shape, rows)
}

/// The condition that another new or changed row takes the unique value of `t`.
fn claimed(unique: &UniqueIndex, shape: &RowIdentity<'_>, rows: &ChangedRows) -> String {
    let equal = unique.columns.iter().map(|name| format!("n.{0} = t.{0}", quote_ident(name)));
    let (columns, ChangedRows { inserts, updates, .. }) = (shape.copy_columns(), rows);
    format!(
        "EXISTS (SELECT FROM (SELECT {columns} FROM {inserts} UNION ALL SELECT {columns} FROM {updates}) AS n \
         WHERE {} AND NOT ({}))",
        equal.collect::<Vec<_>>().join(" AND "),
        shape.same_key("n")
    )
}

/// Gives unique values up that other rows claim, without touching keys.
fn set_placeholders(unique: &UniqueIndex, shape: &RowIdentity<'_>, schema: &str, rows: &ChangedRows) -> Vec<String> {
    let table = shape.table;
    let candidates = || {
        let free = |name: &&String| shape.key_names().all(|key| key != name.as_str());
        let columns = unique.columns.iter().filter(free).filter_map(|name| table.column(name));
        columns.filter(|column| shape.loaded_names().any(|name| name == column.name))
    };
    let nullable = candidates().find(|column| !column.not_null).map(|column| (column, "NULL".to_owned()));
    let chosen = nullable.or_else(|| candidates().find_map(|column| Some((column, placeholder(&column.pg_type)?))));
    // Without one the change is tried all the same; the index has the last word.
    let Some((column, value)) = chosen else { return Vec::new() };
    let (whole, name) = (shape.relation(schema), quote_ident(&column.name));
    let plain = !unique.computed && unique.columns.iter().all(|name| shape.loaded_names().any(|other| other == name));
    let doomed = if plain { claimed(unique, shape, rows) } else { "true".to_owned() };
    vec![
        format!(
            "UPDATE {whole} AS t SET {name} = {value} FROM {} AS u WHERE {} AND {}",
            rows.updates,
            shape.same_key("u"),
            moves(unique, shape, rows)
        ),
        format!(
            "UPDATE {whole} AS t SET {name} = {value} FROM {} AS l WHERE {} AND {doomed}",
            rows.deletes,
            shape.is_row_of("l")
        ),
    ]
}

/// An expression for a value that no row has.
fn placeholder(pg_type: &PgType) -> Option<String> {
    let expression = match pg_type {
        PgType::Text => "gen_random_uuid()::text",
        PgType::Varchar(n) => return Some(format!("left(md5(gen_random_uuid()::text), {n})")),
        PgType::Bytea => "uuid_send(gen_random_uuid())",
        PgType::Uuid => "gen_random_uuid()",
        PgType::BigInt => "-(random() * 9e18)::bigint",
        PgType::Integer => "-(random() * 2e9)::integer",
        PgType::Double => "-random() * 1e300",
        PgType::Date => "date '4713-01-01 BC' + (random() * 1e6)::integer",
        PgType::Timestamp => "timestamp '4713-01-01 BC' + random() * interval '1000 years'",
        PgType::TimestampTz => "timestamptz '4713-01-01 BC' + random() * interval '1000 years'",
        _ => return None,
    };
    Some(expression.to_owned())
}
