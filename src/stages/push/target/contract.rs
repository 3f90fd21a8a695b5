//! What users of the pushed tables rely on, as each push records it: types, nullability, keys and indexes.
//!
//! It is recorded after the push has committed. Where it is not recorded (an earlier version pushed, or the push was
//! interrupted after its commit), the catalog is asked, for the parts that the push brought.

use crate::{
    error::{Error, Kind, Result},
    model::{
        TablePlan,
        identifier::quote_literal,
        structure_change::{TableContract, type_words},
    },
    postgres::{Session, session::Row},
};

/// The contract of the table `c` of `pg_class`, of which `t` is the record, as JSON.
const OF_CATALOG: &str = "(SELECT jsonb_build_object(\
   'columns', (SELECT coalesce(jsonb_object_agg(a.attname, jsonb_build_object('type', \
       CASE WHEN starts_with(f, quote_ident(m.nspname) || '.') THEN substr(f, length(quote_ident(m.nspname)) + 2) \
         ELSE f END, 'not_null', a.attnotnull)), '{}') \
     FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid JOIN pg_namespace m ON m.oid = y.typnamespace \
     CROSS JOIN LATERAL format_type(a.atttypid, a.atttypmod) f \
     WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND 'column ' || a.attname = ANY (t.parts)), \
   'keys', (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object('name', k.conname, 'part', \
       CASE k.contype WHEN 'p' THEN 'primary-key' WHEN 'u' THEN 'unique' ELSE 'foreign-key' END, \
       'columns', (SELECT jsonb_agg(a.attname ORDER BY u.i) FROM unnest(k.conkey) WITH ORDINALITY u(n, i) \
         JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n), \
       'parent', CASE k.contype WHEN 'f' THEN jsonb_build_array(p.relname, (SELECT jsonb_agg(a.attname ORDER BY u.i) \
         FROM unnest(k.confkey) WITH ORDINALITY u(n, i) \
         JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n)) END))), '[]') \
     FROM pg_constraint k LEFT JOIN pg_class p ON p.oid = k.confrelid \
     WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'f') AND 'constraint ' || k.conname = ANY (t.parts)), \
   'indexes', (SELECT coalesce(jsonb_object_agg(i.relname, jsonb_build_object('unique', x.indisunique OR x.indisexclusion)), '{}') \
     FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid \
     AND 'index ' || i.relname = ANY (t.parts) AND NOT EXISTS (SELECT FROM pg_constraint k \
       WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u')))))";

/// One table of the last push.
pub(crate) struct RecordedContract {
    /// Its name.
    pub name: String,
    /// SQLite's name.
    pub source: String,
    /// Digest of the structure that was pushed.
    pub fingerprint: String,
    /// What its users rely on.
    pub contract: TableContract,
}

/// Reads those of the tables that readers see and that a push created: what the application made is for it to change.
/// There must be a record.
///
/// # Errors
/// `Target*`.
pub(crate) async fn read(control: &Session, schema: &str) -> Result<Vec<RecordedContract>> {
    let doing = "reading what users of the tables rely on";
    // A record that an earlier version made lacks the column.
    let sql = format!(
        "SELECT t.name, t.source, t.fingerprint, r.known, CASE WHEN r.known IS NULL THEN {OF_CATALOG}::text END \
         FROM turso2neon.tables t CROSS JOIN LATERAL (SELECT to_jsonb(t) ->> 'contract') AS r(known) \
         JOIN pg_class c ON c.oid = t.oid AND c.relname = t.name \
         JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1 \
         WHERE t.target_schema = $1 AND t.state = 'live' AND t.run_id <> 0 \
           AND coalesce((to_jsonb(t) ->> 'is_adopted')::boolean, false) = false ORDER BY t.name COLLATE \"C\""
    );
    control.query_rows(doing, &sql, &[&schema]).await?.iter().map(recorded).collect()
}

fn recorded(row: &Row<'_>) -> Result<RecordedContract> {
    let read = |text: &str| {
        serde_json::from_str::<TableContract>(text)
            .map_err(|_| Error::new(Kind::ArtifactDamaged, "the record of pushes on the target cannot be read"))
    };
    let contract = match row.get::<Option<&str>>(3)? {
        Some(known) => read(known)?,
        None => {
            let mut found = read(row.get::<Option<&str>>(4)?.unwrap_or_default())?;
            found.columns.values_mut().for_each(|column| column.pg_type = type_words(&column.pg_type));
            found
        }
    };
    Ok(RecordedContract { name: row.get(0)?, source: row.get(1)?, fingerprint: row.get(2)?, contract })
}

/// Records it for the tables of a push that has just committed: each with the fingerprint that was pushed.
///
/// # Errors
/// `Target*`.
pub(crate) async fn note(control: &Session, schema: &str, tables: &[(&str, &TablePlan)]) -> Result<()> {
    let value = |(fingerprint, table): &(&str, &TablePlan)| {
        // Names, lists and maps with names as keys always have a JSON form.
        let text = serde_json::to_string(&TableContract::of(table)).unwrap_or_default();
        format!("({}, {}, {})", quote_literal(&table.name), quote_literal(fingerprint), quote_literal(&text))
    };
    let values: Vec<String> = tables.iter().map(value).collect();
    if values.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "UPDATE turso2neon.tables t SET contract = v.contract FROM (VALUES {}) AS v(name, fingerprint, contract) \
         WHERE t.target_schema = {} AND t.state = 'live' AND t.name = v.name AND t.fingerprint = v.fingerprint",
        values.join(", "),
        quote_literal(schema)
    );
    control.batch("recording what users of the tables rely on", &sql).await
}
